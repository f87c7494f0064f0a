# SPDX-License-Identifier: ISC
"""With other people's programs: clients that submit, a peer MTA that gets the relay by MX, Dovecot that shows and takes the mail."""

import os
import shutil
import subprocess
from email import message_from_bytes

import pytest

from dns_server import DnsServer
from instance import wait_until
from peers import Dovecot, Exim
from sink import Sink


def submit_with_swaks(mail, tmp_path):
    subprocess.run(["swaks", "--server", mail.address, "--port", str(mail.smtp_port), "--from", "a@example.net", "--to", "swaks@example.com",
                    "--h-Subject", "by swaks", "--pipeline"], check=True, stdout=subprocess.DEVNULL, timeout=60)


def submit_with_msmtp(mail, tmp_path):
    subprocess.run(["msmtp", f"--host={mail.address}", f"--port={mail.smtp_port}", "--from=a@example.net", "--tls=off", "--auth=off",
                    "msmtp@example.com"], input=b"Subject: by msmtp\n\nbody\n", check=True, timeout=60)


def submit_with_s_nail(mail, tmp_path):
    (tmp_path / "mailrc").write_text("")
    subprocess.run(["s-nail", "-:/", "-S", "v15-compat", "-S", f"mta=smtp://{mail.address}:{mail.smtp_port}", "-S", "smtp-auth=none", "-S",
                    "smtp-config=-all", "-S", "from=a@example.net", "-S", "hostname=client.example.net", "-S", "sendwait",
                    "-s", "by s-nail", "s-nail@example.com"], input=b"body\n", check=True, timeout=60,
                   env=dict(os.environ, MAILRC=str(tmp_path / "mailrc")))


def submit_with_smtplib(mail, tmp_path):
    with mail.client() as client:
        client.sendmail("a@example.net", ["smtplib@example.com"], b"Subject: by smtplib\r\n\r\nbody\r\n")


@pytest.mark.parametrize("submit", [submit_with_swaks, submit_with_msmtp, submit_with_s_nail, submit_with_smtplib])
def test_a_real_client_submits(instance, tmp_path, submit):
    with Sink() as sink:
        mail = instance(main={"relayhost": f"[127.0.0.1]:{sink.port}"})
        submit(mail, tmp_path)
        wait_until(lambda: sink.messages, 30, mail.log_tail)
        who = submit.__name__.removeprefix("submit_with_").replace("_", "-")
        assert f"Subject: by {who}".encode() in sink.messages[0].content
        assert sink.messages[0].recipients[0].startswith(f"<{who}@example.com>")


@pytest.mark.root
def test_a_peer_found_by_mx_gets_the_relay(instance):
    with DnsServer() as dns, Exim() as exim:
        dns.add("example.com", "MX", "20 down.example.com", "10 mx.example.com")
        dns.add("mx.example.com", "A", exim.address)
        dns.add("down.example.com", "A", "127.0.0.9")
        mail = instance(main={"dns_resolver_addresses": dns.at, "smtp_tcp_port": exim.port})
        queue_id = mail.send("Subject: to exim\r\n\r\nFrom here.\r\n.dot\r\n", recipients=["someone@example.com"])
        mail.wait_for_log(rf"{queue_id}: to=<someone@example.com>, relay=mx.example.com\[127.0.0.3\]:\d+, .*status=sent")
        wait_until(lambda: exim.mbox.exists() and "to exim" in exim.mbox.read_text(), 30, "exim's delivery")
        assert dns.count("example.com", "MX") >= 1


def test_dovecot_shows_a_delivered_maildir(instance):
    with Dovecot() as dovecot:
        uid = dovecot.user.pw_uid
        mail = instance(main={
            "virtual_mailbox_domains": "example.org", "virtual_mailbox_base": dovecot.home, "mydestination": "",
            "virtual_mailbox_maps": "inline:{ jane@example.org=Maildir/ }", "virtual_minimum_uid": "1",
            "virtual_uid_maps": f"static:{uid}", "virtual_gid_maps": f"static:{dovecot.user.pw_gid}"})
        queue_id = mail.send("Subject: hello jane\r\n\r\nline\r\n..dots\r\n", recipients=["jane@example.org"])
        mail.wait_for_log(rf"{queue_id}: to=<jane@example.org>, relay=virtual, .*status=sent \(delivered to maildir\)")
        shown = wait_until(dovecot.messages, 30, "IMAP shows it")
        message = message_from_bytes(shown[0])
        assert message["Subject"] == "hello jane"
        assert message["Return-Path"] == "<sender@example.net>"
        assert message["Delivered-To"] == "jane@example.org"
        assert queue_id in message["Received"]
        assert message.get_payload() == "line\r\n..dots\r\n"


@pytest.mark.parametrize("socket_kind", ["inet", "unix"])
def test_dovecot_takes_delivery_by_lmtp(instance, socket_kind):
    with Dovecot() as dovecot:
        nexthop = f"inet:127.0.0.1:{dovecot.lmtp_port}" if socket_kind == "inet" else f"unix:{dovecot.lmtp_socket}"
        mail = instance(main={"virtual_mailbox_domains": "example.org", "virtual_mailbox_maps": "static:x", "mydestination": "",
                              "virtual_transport": f"lmtp:{nexthop}"})
        mail.send("Subject: by lmtp\r\n\r\nbody\r\n", recipients=["jane@example.org", "nobody@example.org"])
        shown = wait_until(dovecot.messages, 30, mail.log_tail)
        assert b"Subject: by lmtp" in shown[0]
        mail.wait_for_log(r"to=<jane@example.org>, relay=.*, dsn=2.0.0, status=sent \(250 2.0.0 .*Saved\)")
        mail.wait_for_log(r"to=<nobody@example.org>, relay=.*, dsn=5.1.1, status=bounced \(host .* said: 550 5.1.1")


def test_the_programs_that_these_tests_need_are_there():
    for program in ("swaks", "msmtp", "s-nail", "dovecot"):
        assert shutil.which(program), f"{program} is not installed"
