# SPDX-License-Identifier: ISC
"""Restrictions that need no DNS, held against Postfix's, reply by reply and log line by log line."""

import re

import pytest

from auth_server import Raw
from instance import Instance

CLASSES = {
    "reverse": "check_reverse_client_hostname_access inline:{rev.example=REJECT}",
    "spared": "check_reverse_client_hostname_access inline:{rev.example=DUNNO}, reject",
    "client": "check_client_access inline:{ {cl.example=OK} {198.51.100=REJECT} }, reject",
    "valid": "reject_invalid_helo_hostname",
    "full": "reject_non_fqdn_helo_hostname",
    "known": "reject_unknown_helo_hostname",
    "helo": "check_helo_access inline:{b.example=REJECT 2.3.4=REJECT 4=REJECT [1.2.3.4]=REJECT ::1=REJECT}",
    "sender": "reject_non_fqdn_sender",
    "recipient": "reject_non_fqdn_recipient",
    "bounce": "reject_multi_recipient_bounce",
    "listed": "reject_unlisted_recipient",
    "access": "check_sender_access inline:{ {s1@e.example = 550} {s2@e.example = 550 5.1.1 text} {s3@e.example=REJECT 4.1.1 xx} {s4@e.example=DEFER} "
              "{s5@e.example=421 bye} {s6@e.example=521 go} {s7@e.example=REJECT 5.1.8 foo} {s8@e.example=450 4.1.8} {s9@e.example=OK foo} "
              "{s10@e.example=DUNNO foo} {s11@e.example=reject} {s12@e.example=PERMIT} {s13@e.example=defer_if_permit} "
              "{s14@e.example=DEFER_IF_PERMIT 4.7.9 wait} {s15@e.example=warn_if_reject, reject} {s16@e.example=REJECT 5.7.1} }, reject",
}
HELLOS = ["a", "a.b", "[1.2.3.4]", "[1.2.3.4", "1.2.3.4", "a..b", "-a.b", "a_b.c", "[IPv6:::1]", "[::1]", "::1", "[IPv6:zz]", "a.b.", "a@b.c", "a.b..", ".a.b",
          "[1.2.3.999]", "[]", "1.2.3.4.", "b.example", "x.b.example", "127.1", "a." + "x" * 70 + ".c"]
SENDERS = ["a@b", "a@b.", "a@[1.2.3.4]", "a", "a@b..c", "a@-b.c", "postmaster", "a@b.c.", "a@b_c.d", "a@b.c", "", "a@1.2.3.4"]
MAIN = {"mydestination": "example.org", "local_recipient_maps": "inline:{" + " ".join(f"{name}=x" for name in CLASSES if name != "listed") + "}",
        "mynetworks": "192.0.2.1", "smtpd_authorized_xclient_hosts": "127.0.0.0/8", "smtpd_error_sleep_time": "0", "smtpd_hard_error_limit": "100",
        "smtpd_soft_error_limit": "100", "smtpd_relay_restrictions": "reject_unauth_destination", "smtpd_restriction_classes": ",".join(CLASSES), **CLASSES,
        "smtpd_recipient_restrictions": "check_recipient_access inline:{" + " ".join(f"{name}@example.org={name}" for name in CLASSES) + "}"}


def ask(recipient, hello="client.example", sender="x@e.example", before=()):
    return [*before, f"EHLO {hello}", f"MAIL FROM:<{sender}>", f"RCPT TO:<{recipient}@example.org>"]


NAMED = ["XCLIENT NAME=cl.example REVERSE_NAME=rev.example ADDR=192.0.2.5"]
NAMELESS = ["XCLIENT NAME=[UNAVAILABLE] REVERSE_NAME=rev.example ADDR=198.51.100.3"]
DIALOGUES = [*(ask(what, before=who) for who in (NAMED, NAMELESS) for what in ("reverse", "spared", "client")),
             *(ask(what, hello=name) for name in HELLOS for what in ("valid", "full", "helo")),
             *(ask("known", hello=name) for name in HELLOS if name.startswith("[")),
             *(ask("sender", sender=sender) for sender in SENDERS),
             *(ask("access", sender=f"s{number}@e.example") for number in range(1, 17)),
             ["EHLO a.b", "MAIL FROM:<a@e.example>", "RCPT TO:<postmaster>", "RCPT TO:<recipient>", "RCPT TO:<recipient@example.org>"],
             ["EHLO a.b", "MAIL FROM:<>", "RCPT TO:<bounce@example.org>", "RCPT TO:<bounce@example.org>", "RCPT TO:<valid@example.org>"],
             ask("listed"), ask("nobody")]


def comparable(mail, dialogue):
    with Raw(mail, hello=False) as client:
        return [(code, [re.sub("Postroad|Postfix", "MTA", text) for text in lines]) for code, lines in map(client.say, dialogue)]


@pytest.mark.root
@pytest.mark.parametrize("options", ["", "no_unknown_recipient_checks"])
def test_replies_and_refusals_are_those_of_postfix(options):
    from postfix import Postfix
    main = {**MAIN, "receive_override_options": options}
    with Instance(main=main) as ours, Postfix(main=main) as postfix:
        for dialogue in DIALOGUES:
            assert comparable(ours, dialogue) == comparable(postfix, dialogue), dialogue
        postfix.wait_for_log("reject: RCPT")
        for line in {re.sub(r".*?smtpd\[\d+\]: \w+: ", "", line) for line in postfix.log_lines(r"smtpd\[\d+\]: \w+: reject")}:
            ours.wait_for_log(re.escape(line) + "$")
