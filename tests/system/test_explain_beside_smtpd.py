# SPDX-License-Identifier: ISC
"""postroad explain says what smtpd does: the same clients, senders and recipients through both."""

import re
import smtplib

from auth_server import AuthServer
from instance import free_port

GOOD_CLIENT, OTHER, FRIEND = ("192.0.2.7", "host.example.net"), ("198.51.100.9", "unknown"), ("203.0.113.5", "friend.example.com")
SETTINGS = {
    "smtpd_authorized_xclient_hosts": "127.0.0.1", "mynetworks": "203.0.113.0/24", "mydestination": "$myhostname, example.org", "relay_domains": "relay.example",
    "relay_recipient_maps": "inline:{known@relay.example=x}", "local_recipient_maps": "inline:{joe=x, ann=x, postmaster=x}", "recipient_delimiter": "+",
    "virtual_alias_domains": "alias.example", "virtual_alias_maps": "inline:{ {info@alias.example=joe@example.org} }", "smtpd_helo_required": "yes",
    "virtual_mailbox_domains": "boxes.example", "virtual_mailbox_maps": "inline:{ {box@boxes.example=box/} }", "relocated_maps": "inline:{ann@example.org=ann@new.example}",
    "smtpd_restriction_classes": "strict", "strict": "check_sender_access inline:{ {bulk@example.com=REJECT no bulk here} }, reject_unlisted_sender",
    "smtpd_client_restrictions": "check_client_access cidr:$config_directory/clients, check_reverse_client_hostname_access inline:{evil.example=REJECT}",
    "smtpd_helo_restrictions": "permit_mynetworks, check_helo_access inline:{ {mail.example.org=REJECT that is me} }, reject_invalid_helo_hostname, reject_non_fqdn_helo_hostname",
    "smtpd_sender_restrictions": "reject_authenticated_sender_login_mismatch, reject_non_fqdn_sender, check_sender_access inline:{ {later@example.com=DEFER} "
    "{maybe@example.com=DEFER_IF_PERMIT later, please} {known@example.com=OK} {code@example.com=550 5.7.9 with a code} {hold@example.com=HOLD} }",
    "smtpd_sender_login_maps": "inline:{ {joe@example.org=joe} {ann@example.org=ann, joe} }",
    "smtpd_relay_restrictions": "permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination",
    "smtpd_recipient_restrictions": "check_recipient_access inline:{ {strict@example.org=strict} {joe+no@example.org=REJECT} }",
    "smtpd_data_restrictions": "check_sender_access inline:{ {data@example.com=REJECT at data} }",
    "smtpd_sasl_auth_enable": "yes", "smtpd_sasl_type": "dovecot",
}
ALLOWED = "someone@example.com"
# client, helo, login, sender, recipient
CASES = [
    (GOOD_CLIENT, "host.example.net", None, ALLOWED, "joe@example.org"), (GOOD_CLIENT, "host.example.net", None, ALLOWED, "nobody@example.org"),
    (GOOD_CLIENT, "host.example.net", None, ALLOWED, "joe+x@example.org"), (GOOD_CLIENT, "host.example.net", None, ALLOWED, "joe+no@example.org"),
    (GOOD_CLIENT, "host.example.net", None, ALLOWED, "ann@example.org"), (GOOD_CLIENT, "host.example.net", None, ALLOWED, "someone@elsewhere.example"),
    (GOOD_CLIENT, "host.example.net", None, ALLOWED, "info@alias.example"), (GOOD_CLIENT, "host.example.net", None, ALLOWED, "x@alias.example"),
    (GOOD_CLIENT, "host.example.net", None, ALLOWED, "box@boxes.example"), (GOOD_CLIENT, "host.example.net", None, ALLOWED, "no@boxes.example"),
    (GOOD_CLIENT, "host.example.net", None, ALLOWED, "known@relay.example"), (GOOD_CLIENT, "host.example.net", None, ALLOWED, "unknown@relay.example"),
    (GOOD_CLIENT, "host.example.net", None, ALLOWED, "a%b@example.org"), (GOOD_CLIENT, "host.example.net", None, ALLOWED, "postmaster"),
    (GOOD_CLIENT, "mail.example.org", None, ALLOWED, "joe@example.org"), (GOOD_CLIENT, "x_y", None, ALLOWED, "joe@example.org"),
    (GOOD_CLIENT, "short", None, ALLOWED, "joe@example.org"), (FRIEND, "short", None, ALLOWED, "someone@elsewhere.example"),
    (("198.51.100.77", "h.example"), "h.example", None, ALLOWED, "joe@example.org"), (("192.0.2.8", "evil.example"), "evil.example", None, ALLOWED, "joe@example.org"),
    (OTHER, "x.example", None, "", "joe@example.org"), (OTHER, "x.example", None, "local", "joe@example.org"), (OTHER, "x.example", None, "later@example.com", "joe@example.org"),
    (OTHER, "x.example", None, "maybe@example.com", "joe@example.org"), (OTHER, "x.example", None, "maybe@example.com", "nobody@example.org"),
    (OTHER, "x.example", None, "known@example.com", "joe@example.org"), (OTHER, "x.example", None, "code@example.com", "joe@example.org"),
    (OTHER, "x.example", None, "hold@example.com", "joe@example.org"), (OTHER, "x.example", None, "bulk@example.com", "strict@example.org"),
    (OTHER, "x.example", None, "nobody@example.org", "strict@example.org"), (OTHER, "x.example", None, "data@example.com", "joe@example.org"),
    (OTHER, "x.example", "joe", "joe@example.org", "someone@elsewhere.example"), (OTHER, "x.example", "joe", "ann@example.org", "someone@elsewhere.example"),
    (OTHER, "x.example", "ann", "joe@example.org", "someone@elsewhere.example"), (OTHER, "x.example", "ann", "free@example.org", "someone@elsewhere.example"),
    (OTHER, "x.example", None, "joe@example.org", "someone@elsewhere.example"), (OTHER, "x.example", None, "a b@example.com", "joe@example.org"),
    (OTHER, "x.example", None, ALLOWED, "joe@"),
]


def by_smtp(one, port, client, helo, login, sender, recipient):
    """The first refusal, else the answer to DATA's end: code and text."""
    with smtplib.SMTP(one.address, port, local_hostname="localhost", timeout=60) as smtp:
        smtp.ehlo()
        name = "[UNAVAILABLE]" if client[1] == "unknown" else client[1]
        answer = smtp.docmd("XCLIENT", f"ADDR={client[0]} NAME={name} REVERSE_NAME={name}" + (f" LOGIN={login}" if login else ""))
        if answer[0] != 220:
            return f"CONNECT {answer[0]} {answer[1].decode()}"
        for verb, arguments in (("EHLO", helo), ("MAIL", f"FROM:<{sender}>"), ("RCPT", f"TO:<{recipient}>"), ("DATA", "")):
            answer = smtp.docmd(verb, arguments)
            if answer[0] >= 400:
                return f"{verb} {answer[0]} {answer[1].decode()}"
        smtp.close()        # in the middle of the content
        return "accepted"


def by_explain(one, port, client, helo, login, sender, recipient):
    done = one.command("postroad", "-c", one.etc, "explain", "--service", f"{one.address}:{port}", "--client", client[0], "--name", client[1], "--helo", helo,
                       "--from", sender, *(["--sasl", login] if login else []), recipient, check=False)
    answers = [found for found in re.findall(r"^(\w+) is answered: (.*)$", done.stdout, re.M) if not found[1].startswith("250")]
    assert done.returncode == bool(answers), (done.returncode, done.stdout, done.stderr)
    return " ".join(answers[0]) if answers else "accepted"


def test_the_same_answers(instance):
    server, early = AuthServer(), free_port()
    try:
        one = instance(main=dict(SETTINGS, smtpd_sasl_path=server.path), master=f"127.0.0.1:{early} inet n - n - - smtpd -o smtpd_delay_reject=no -o soft_bounce=yes\n",
                       start=False)
        one.file("clients", "198.51.100.77 REJECT go away\n192.0.2.0/24 DUNNO\n")
        one.start()
        seen = set()
        for port, cases in ((one.smtp_port, CASES), (early, CASES[::3])):
            for case in cases:
                real, explained = by_smtp(one, port, *case), by_explain(one, port, *case)
                assert real == explained, (port, case)
                seen.add(re.sub("<.*?>", "", real))
        assert len(seen) > 22, seen
    finally:
        server.close()
