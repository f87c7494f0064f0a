# SPDX-License-Identifier: ISC
"""Debian's pflogsumm reads our log as it reads Postfix's: every mail counts as what became of it."""

import os
import re
import shutil
import smtplib
import subprocess

import pytest

from instance import Instance, wait_until
from peers import unpacked
from sink import Sink

TABLES = {
    "transport_maps": "inline:{down.example=smtp:[127.0.0.1]:9}",
    "smtpd_sender_restrictions": "check_sender_access inline:{ {bad.example=REJECT go away} {warn.example=WARN look} {hold.example=HOLD wait} {bin.example=DISCARD gone} }",
    "header_checks": "regexp:{ {/^Subject: badword/ REJECT bad words} {/^Content-Disposition: .*exe/ REJECT no programs} }", "mydestination": "local.example", "local_recipient_maps": "inline:{daemon=x}",
    "local_transport": "discard:", "alias_maps": "", "smtp_log_tls_feature_status": None}


def send(mail, sender, recipient, subject="x"):
    with smtplib.SMTP("127.0.0.1", mail.smtp_port, timeout=60) as client:
        client.ehlo("client.example")
        client.docmd(f"MAIL FROM:<{sender}>")
        if client.docmd(f"RCPT TO:<{recipient}>")[0] == 250:
            client.data(f"Subject: {subject}\r\n\r\nx\r\n".encode())


@pytest.fixture(scope="module")
def report():
    if not shutil.which("perl"):
        pytest.skip("pflogsumm is a Perl program")
    tree = unpacked("pflogsumm", "usr/sbin/pflogsumm", "libdate-calc-perl", "libcarp-clan-perl", "libbit-vector-perl")
    with Sink(answers={"RCPT": lambda to: "550 5.1.1 gone away" if "@gone.example" in to else "250 2.1.5 Ok"}) as sink:
        mail = Instance(main={"relayhost": f"[127.0.0.1]:{sink.port}", **TABLES})
        try:
            mail.start()
            for number in range(5):
                send(mail, "ann@sender.example", f"u{number}@dest.example")
            send(mail, "ann@sender.example", "x@down.example")
            send(mail, "ann@sender.example", "x@gone.example")
            send(mail, "ann@bad.example", "x@dest.example")
            send(mail, "ann@sender.example", "nobody@local.example")
            send(mail, "ann@sender.example", "x@dest.example", "badword")
            send(mail, "ann@sender.example", "x@dest.example", "x\r\nContent-Disposition: attachment; filename=a.exe")
            send(mail, "ann@warn.example", "daemon@local.example")
            send(mail, "ann@hold.example", "x@dest.example")
            send(mail, "ann@bin.example", "x@dest.example")
            # five, what was discarded at the end of its way, and the notification of what bounced; and the last lines of the rest
            wait_until(lambda: len(mail.log_lines("status=sent")) >= 7 and len(mail.log_lines(": removed")) >= 8 and mail.log_lines("status=deferred")
                       and mail.log_lines(": discard: RCPT") and len(mail.log_lines("disconnect from")) >= 14, 60, mail.log_tail)
            log = mail.log()
        finally:
            mail.close()
    libraries = ":".join(str(tree / "usr" / place) for place in ("share/perl5", f"lib/{os.uname().machine}-linux-gnu/perl5/5.36"))
    done = subprocess.run(["perl", tree / "usr/sbin/pflogsumm"], input=log, capture_output=True, text=True, timeout=60, env=dict(os.environ, PERL5LIB=libraries))
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("what, number", [("delivered", 7), ("deferred", 1), ("bounced", 1), ("rejected", 4), ("held", 1), ("discarded", 1)])
def test_every_mail_counts_as_what_became_of_it(report, what, number):
    assert re.search(rf"^ *{number} +{what}\b", report, re.M), report


def test_recipients_senders_and_reasons_are_in_the_report(report):
    for words in ("u4@dest.example", "ann@sender.example", "Connection refused", "Subject: badword", "filename=a.exe", "gone away", "User unknown in local recipient table"):
        assert words in report, report
