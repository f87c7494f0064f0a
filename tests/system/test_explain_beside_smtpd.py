# SPDX-License-Identifier: ISC
"""postroad explain says what smtpd does: the same clients, senders and recipients through both."""

import re
import smtplib

from auth_server import AuthServer
from instance import free_port
from test_policy import Policy

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
    server, early, unsure = AuthServer(), free_port(), free_port()
    try:
        one = instance(main=dict(SETTINGS, smtpd_sasl_path=server.path), master=f"127.0.0.1:{early} inet n - n - - smtpd -o smtpd_delay_reject=no -o soft_bounce=yes\n"
                       f"127.0.0.1:{unsure} inet n - n - - smtpd -o {{ local_header_rewrite_clients = check_address_map fail:broken }}\n", start=False)
        one.file("clients", "198.51.100.77 REJECT go away\n192.0.2.0/24 DUNNO\n")
        one.start()
        seen = set()
        for port, cases in ((one.smtp_port, CASES), (early, CASES[::3]), (unsure, CASES[:1])):
            for case in cases:
                real, explained = by_smtp(one, port, *case), by_explain(one, port, *case)
                assert real == explained, (port, case)
                seen.add(re.sub("<.*?>", "", real))
        assert len(seen) > 22, seen
    finally:
        server.close()


# ---- the way of a mail, on a relay at the edge ----

EDGE = {
    "smtpd_authorized_xclient_hosts": "127.0.0.1", "mynetworks": "203.0.113.0/24", "mydestination": "$myhostname", "recipient_delimiter": "+",
    "local_recipient_maps": "inline:{postmaster=x, root=x}", "relay_domains": "corp.example, branch.corp.example",
    "relay_recipient_maps": "inline:{ {ann@corp.example=x} {bob@corp.example=x} {held@corp.example=x} {dropped@corp.example=x} {moved@corp.example=x} {@branch.corp.example=x}"
                            " {special@corp.example=x} {scan@corp.example=x} {elsewhere@corp.example=x} {copied@corp.example=x} {ann.smith@corp.example=x} }",
    "transport_maps": "inline:{ {corp.example=relay:[10.1.1.1]:26} {.corp.example=relay:[10.1.1.2]} {special@corp.example=two:} {slow.example=:[192.0.2.50]}"
                      " {broken.example=error:5.1.2 gone} {later.example=retry:4.4.1 later} }",
    "virtual_alias_domains": "alias.example", "relocated_maps": "inline:{ {moved@corp.example=ann@new.example} }",
    "virtual_alias_maps": "inline:{ {info@alias.example=ann@corp.example, bob@corp.example} {all@alias.example=info@alias.example, x@far.example} {root=ann@corp.example}"
                          " {@catch.example=@corp.example} }",
    "recipient_canonical_maps": "inline:{ {ann.smith@corp.example=ann@corp.example} {old@far.example=new@far.example} }",
    "sender_canonical_maps": "inline:{ {user@inside.example=User.Name@inside.example} }", "masquerade_domains": "corp.example",
    "relayhost": "[198.51.100.25]:587", "sender_dependent_relayhost_maps": "inline:{ {@other.example=[198.51.100.26]:587} }",
    "sender_dependent_default_transport_maps": "inline:{ {bulk@inside.example=two:} }",
    "recipient_bcc_maps": "inline:{ {Bob@corp.example=archive@far.example} }", "sender_bcc_maps": "inline:{ {audited@inside.example=root} }", "always_bcc": "all-mail@corp.example",
    "smtpd_client_restrictions": "check_client_access cidr:{ {198.51.100.66/32 REJECT spam} }",
    "smtpd_helo_restrictions": "permit_mynetworks, reject_non_fqdn_helo_hostname",
    "smtpd_sender_restrictions": "reject_non_fqdn_sender, check_sender_access inline:{ {prepended@far.example=PREPEND X-Seen: yes} }",
    "smtpd_relay_restrictions": "permit_mynetworks, reject_unauth_destination",
    "smtpd_recipient_restrictions": "check_recipient_access inline:{ {held@corp.example=HOLD} {dropped@corp.example=DISCARD} {scan@corp.example=FILTER two:[10.9.9.9]:25}"
                                    " {elsewhere@corp.example=REDIRECT quarantine@corp.example} {copied@corp.example=BCC copy@far.example} }",
}
SERVICES = "smtp", "relay", "local", "two", "scan", "error", "retry"
STRANGER, INSIDE, BANNED = ("198.51.100.9", "host.far.example"), ("203.0.113.5", "pc.corp.example"), ("198.51.100.66", "bad.far.example")
# which smtpd: 0 the usual one, 1 with a content filter and no address mappings, 2 with a cleanup of its own; client, sender, recipients
MAILS = [
    (0, STRANGER, "x@far.example", "ann@corp.example"), (0, STRANGER, "x@far.example", "bob@corp.example"), (0, STRANGER, "x@far.example", "bob+tag@corp.example"),
    (0, STRANGER, "x@far.example", "nobody@corp.example"), (0, STRANGER, "x@far.example", "any@branch.corp.example"), (0, STRANGER, "x@far.example", "any@deep.branch.corp.example"),
    (0, STRANGER, "x@far.example", "special@corp.example"), (0, STRANGER, "x@far.example", "info@alias.example"), (0, STRANGER, "", "all@alias.example"),
    (0, STRANGER, "x@far.example", "none@alias.example"), (0, STRANGER, "x@far.example", "moved@corp.example"), (0, STRANGER, "x@far.example", "x@elsewhere.example"),
    (0, STRANGER, "x@far.example", "held@corp.example"), (0, STRANGER, "x@far.example", "dropped@corp.example"), (0, STRANGER, "x@far.example", "scan@corp.example"),
    (0, STRANGER, "x@far.example", "elsewhere@corp.example"), (0, STRANGER, "x@far.example", "copied@corp.example"), (0, STRANGER, "x@far.example", "postmaster"),
    (0, STRANGER, "x@far.example", "root@mail.example.org"), (0, STRANGER, "prepended@far.example", "ANN@Corp.Example"), (0, STRANGER, "x@far.example", "ann.smith@corp.example", "ann@corp.example"),
    (0, STRANGER, "unqualified", "ann@corp.example"), (0, BANNED, "x@far.example", "ann@corp.example"), (0, INSIDE, "user@inside.example", "x@slow.example"),
    (0, INSIDE, "user@inside.example", "x@far.example", "y@slow.example", "ann@corp.example"), (0, INSIDE, "me@other.example", "x@far.example"),
    (0, INSIDE, "bulk@inside.example", "x@far.example"), (0, INSIDE, "audited@inside.example", "old@far.example"), (0, INSIDE, "user@host.corp.example", "x@broken.example"),
    (0, INSIDE, "user@host.corp.example", "x@later.example"), (0, INSIDE, "", "bob@catch.example"), (0, INSIDE, "user@inside.example", "a%far.example@mail.example.org"),
    (1, STRANGER, "x@far.example", "info@alias.example"), (1, INSIDE, "user@inside.example", "x@far.example", "ann@corp.example"),
    (2, STRANGER, "x@far.example", "info@alias.example"), (2, INSIDE, "me@other.example", "bob@corp.example", "x@slow.example"),
]


def foretold(text):
    """What explain's answer comes to: an address, its transport and next hop each; or one word for all."""
    if "DISCARD: " in text:
        return {"thrown away"}
    if "HOLD: " in text:
        return {"held"}
    to = set(re.findall(r"^    transport  (.*)\n    next hop   (.*)\n    recipient  (.*)$", text, re.M))
    to |= {("error", why, address) for address, why in re.findall(r"^  <(.*)>\n    class .*\n    returned   (.*)$", text, re.M)}
    if found := re.search(r"^access: REDIRECT <(.*)>", text, re.M):
        to = {found.group(1)}
    if found := re.search(r"^access: FILTER (\S+?):(\S*) gets the message first$", text, re.M):
        to = {(found.group(1), found.group(2), one[2]) for one in to}
    return to | {f"and {copy}" for copy in re.findall(r"^access: BCC <(.*)>", text, re.M)}


def explained(one, port, client, sender, *recipients):
    done = one.command("postroad", "-c", one.etc, "explain", "--service", f"{one.address}:{port}", "--client", client[0], "--name", client[1], "--from", sender, *recipients, check=False)
    answers = [found[1] for found in re.findall(r"^(\w+) is answered: (.*)$", done.stdout, re.M) if not found[1].startswith("250")]
    assert done.returncode == bool(answers), (done.returncode, done.stdout, done.stderr)
    return answers[0] if answers else foretold(done.stdout)


def sent(one, port, client, sender, *recipients):
    """The first refusal, or the queue id."""
    with smtplib.SMTP(one.address, port, local_hostname="localhost", timeout=60) as smtp:
        smtp.ehlo()
        lines = [("XCLIENT", f"ADDR={client[0]} NAME={client[1]} REVERSE_NAME={client[1]}"), ("EHLO", client[1]), ("MAIL", f"FROM:<{sender}>")]
        for verb, arguments in lines + [("RCPT", f"TO:<{recipient}>") for recipient in recipients]:
            answer = smtp.docmd(verb, arguments)
            if answer[0] >= 400:
                return f"{answer[0]} {answer[1].decode()}"
        code, text = smtp.data(b"Subject: x\r\n\r\nx\r\n")
        assert code == 250, text
        return re.search(r"queued as (\S+)", text.decode()).group(1)


def delivered(one, queue_id, expected):
    """In the words of foretold()."""
    if expected == {"thrown away"}:
        assert not one.log_lines(f"{queue_id}: to=")
        return expected if one.wait_for_log(": discard: RCPT ") else set()
    if expected == {"held"}:
        return expected if [message for message in one.queue_list() if message["queue_id"] == queue_id and message["queue_name"] == "hold"] else set()
    one.wait_for_log(f"{queue_id}: removed", timeout=60)
    recipients = int(re.search(r"nrcpt=(\d+) \(queue active\)", one.wait_for_log(f"{queue_id}: from=<.*nrcpt=")[0]).group(1))
    lines = one.wait_for_log(f"{queue_id}: to=<", count=recipients)        # an agent may say so after qmgr has heard from it
    lines = [re.search(r"via-(\w+)/\w+\[\d+\]: \S+ to=<(.*?)>.* dsn=(\S+), status=(\w+) \((.*)\)$", line).groups() for line in lines]
    found = {(via, text, to) for via, to, _, status, text in lines if status == "sent"}
    found |= {(via, f"{dsn} {text}", to) for via, to, dsn, status, text in lines if status != "sent"}
    if any(isinstance(fact, str) and not fact.startswith("and ") for fact in expected):        # a redirected message
        found = {to for _, _, to in found}
    return found | {fact for fact in expected if isinstance(fact, str) and fact.startswith("and ") and fact[4:] in {to for _, to, *_ in lines}}


def test_every_mail_goes_where_explain_said(instance):
    ports = [free_port(), free_port()]
    rows = "".join(f"{name} unix - - n - - {'error' if name in ('error', 'retry') else 'discard'} -o syslog_name=via-{name}\n" for name in SERVICES)
    one = instance(main=EDGE, master=rows + f"127.0.0.1:{ports[0]} inet n - n - - smtpd -o receive_override_options=no_address_mappings -o content_filter=scan:[10.8.8.8]:10024\n"
                   f"127.0.0.1:{ports[1]} inet n - n - - smtpd -o cleanup_service_name=plain\nplain unix n - n - 0 cleanup -o virtual_alias_maps= -o always_bcc=all-mail@far.example\n")
    ports.insert(0, one.smtp_port)
    foretellings = [explained(one, ports[which], *mail) for which, *mail in MAILS]
    ids = [sent(one, ports[which], *mail) for which, *mail in MAILS]
    for mail, said, queue_id in zip(MAILS, foretellings, ids):
        if isinstance(said, str):
            assert said == queue_id, mail
            continue
        really = delivered(one, queue_id, said)
        for copy in [fact for fact in said if isinstance(fact, str) and fact.startswith("and ")]:
            assert copy in really, mail
            really = {fact for fact in really if fact[2] != copy[4:]}
        assert said == really and said, (mail, one.log_lines(queue_id))
    assert len(MAILS) >= 36 and len([said for said in foretellings if not isinstance(said, str)]) >= 27


def test_policy_servers_are_asked_on_request_only(instance):
    port = free_port()
    server = Policy(("127.0.0.1", port))
    try:
        one = instance(main={"relay_domains": "corp.example", "smtpd_recipient_restrictions": f"check_policy_service inet:127.0.0.1:{port}"}, start=False)
        one.write()
        server.answers["ann@corp.example"] = "DEFER greylisted"
        words = ("postroad", "-c", one.etc, "explain", "--name", "unknown", "--from", "x@far.example", "ann@corp.example")
        said = one.command(*words).stdout
        assert f"check_policy_service inet:127.0.0.1:{port}: not asked: another program's decision\n" in said and not server.requests
        done = one.command(*words, "--ask-policy", check=False)
        assert done.returncode == 1 and "RCPT is answered: 450 4.7.1 <ann@corp.example>: Recipient address rejected: greylisted\n" in done.stdout, done.stdout
        (request,) = server.requests
        assert request["instance"].startswith("explain.") and request["protocol_state"] == "RCPT" and request["client_address"] == "192.0.2.1"
    finally:
        server.close()
