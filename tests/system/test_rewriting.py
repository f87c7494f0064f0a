# SPDX-License-Identifier: ISC
"""Rewriting, beside Postfix: the same configuration, the same messages; what comes out of both must name the same addresses.

Headers are compared without white space and folding, which Postfix makes anew and Postroad leaves as they were (that is asked separately).
"""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from instance import Instance
from postfix import Postfix, postfix_with_accounts
from sink import Sink

pytestmark = pytest.mark.root

SENDER_HEADERS = ["From", "Sender", "Reply-To", "Errors-To", "Resent-From", "Resent-Sender", "Disposition-Notification-To",
                  "Return-Receipt-To", "Mail-Followup-To"]
RECIPIENT_HEADERS = ["To", "Cc", "Resent-To", "Resent-Cc", "Apparently-To", "Resent-Reply-To"]

# What stands in headers. Each becomes a header of its own, of a kind in turn.
HEADERS = r'''
user
user@host
user@a.example
user@a.example.
user+ext@a.example
USER@A.Example
<user>
<user@a.example>
John Doe <user@a.example>
"Doe, John" <user@a.example>
user@a.example (John Doe)
user (John Doe)
(John) user (Doe) @a.example
one, two@b.example, <three>
one@a.example,two@b.example
friends: one, two@b.example;
undisclosed-recipients:;
"quoted user"@a.example
"quoted user"
"quo\"ted"@a.example
"quoted.user"@a.example
first."middle part".last@a.example
<@relay.example:user@a.example>
<@one.example,@two.example:user@a.example>
user%b.example
user%b.example@a.example
b.example!user
b.example!user@a.example
c.example!b.example!user
user@[192.0.2.1]
user@[127.0.0.1]
user@host.sub.mask.example
user@mask.example
root@host.sub.mask.example
user@host.keep.mask.example
user@keep.mask.example
user@notmask.example
canon
canon@c.example
canon+ext@c.example
Canon@C.Example
chain@c.example
twice+x@c.example
any@whole.example
any+ext@whole.example
self@c.example
both@c.example
sonly@c.example
ronly@c.example
<>
postmaster
owner-list@c.example
list-request@c.example
canon+ext
"canon"@c.example
user@host.sub
A Very Long Display Name That Goes On And On <user@host.sub.mask.example>, canon@c.example, another.user@b.example (with a comment), last
=?utf-8?q?J=C3=B6rg?= <canon@c.example>
user@a.example, canon@c.example (x, y), "a, b" <chain@c.example>
user@HOST.SUB.MASK.EXAMPLE
gen@g.example
gen+ext@g.example
any@gwhole.example
gen
'''.strip("\n").split("\n")

# Who gets a message, as the client names them.
RECIPIENTS = r'''
user
user@host
user@a.example
user@a.example.
user+ext@a.example
"quoted user"@a.example
"quo\"ted"@a.example
first.last@a.example
user%b.example
user%b.example@mail.example.org
b.example!user
c.example!b.example!user
user@[127.0.0.1]
user@[192.0.2.1]
@one.example,@two.example:user@a.example
user@localhost
user@mail.example.org
user+ext@mail.example.org
postmaster
canon
canon@c.example
canon+ext@c.example
Canon@C.Example
chain@c.example
twice+x@c.example
any@whole.example
any+ext@whole.example
self@c.example
both@c.example
ronly@c.example
user@host.sub.mask.example
root@host.sub.mask.example
user@keep.mask.example
user@host.keep.mask.example
owner-list@c.example
list-request@c.example
list@v.example
list+ext@v.example
alias@v.example
alias+ext@v.example
nested@v.example
unknown@v.example
any@vcatch.example
any+ext@vcatch.example
any@vwhole.example
any+ext@vwhole.example
bare
bare@mail.example.org
bare+ext@mail.example.org
bare@elsewhere.example
vself@v.example
user@t.example
user@sub.t.example
user@deep.sub.t.example
user@only.t2.example
user@t2.example
tuser@t3.example
tuser+ext@t3.example
other@t3.example
user@terror.example
user@tnexthop.example
user@tempty.example
user@relay.example
user@sub.relay.example
user@vmailbox.example
nobody@vmailbox.example
moved@a.example
any@moved.example
gen@g.example
gen+ext@g.example
any@gwhole.example
any+ext@gwhole.example
bcc@c.example
"list"@v.example
user@A.EXAMPLE
'''.strip("\n").split("\n")

UTF8 = r'''
jörg@a.example
jörg
jörg+wärme@a.example
user@bücher.example
user@BÜCHER.example
alias@bücher.example
alias+wärme@bücher.example
canon@bücher.example
kanón@c.example
kanón+ext@c.example
ä@a.example
wer@fällt.example
user@höst.maske.example
gén@g.example
"jörg müller"@a.example
user@xn--bcher-kva.example
'''.strip("\n").split("\n")
UTF8_HEADERS = ["Jörg <jörg@a.example>", "jörg (Müller)", "Ä <ä@a.example>, kanón@c.example (é), canon@bücher.example"] + UTF8

SENDERS = ["user", "user@host", "user@a.example", "user+ext@a.example", "canon@c.example", "canon+ext@c.example", "chain@c.example",
           "any@whole.example", "both@c.example", "sonly@c.example", "user@host.sub.mask.example", "root@host.sub.mask.example",
           "user@host.keep.mask.example", "", "\"quoted user\"@a.example", "user%b.example", "b.example!user", "gen@g.example",
           "gen+ext@g.example", "sdep@a.example", "sdep+ext@a.example", "any@sdep.example", "deft@a.example", "bccs@a.example", "canon", "gen"]

PLAIN = {"recipient_delimiter": "+", "append_dot_mydomain": "yes"}
CANONICAL = {
    "recipient_delimiter": "+",
    "canonical_maps": "inline:{ {canon@c.example=new@n.example} {canon=bare@n.example} {chain@c.example=link@c.example}"
                      " {link@c.example=end@n.example} {twice@c.example=canon@c.example} {@whole.example=@whole.n.example}"
                      " {self@c.example=self@c.example} {both@c.example=common@n.example} {owner-list@c.example=o@n.example}"
                      " {list@c.example=wrong@n.example} {sonly2@n.example=sonly3} }",
    "sender_canonical_maps": "inline:{ {both@c.example=s@n.example} {sonly@c.example=sonly2@n.example} }",
    "recipient_canonical_maps": "inline:{ {both@c.example=r@n.example} {ronly@c.example=ronly2} }",
}
CONFIGURATIONS = {
    "plain": PLAIN,
    "remote": {"local_header_rewrite_clients": "", "remote_header_rewrite_domain": "domain.invalid"},
    "untouched": {"local_header_rewrite_clients": "", "remote_header_rewrite_domain": "", "canonical_maps": CANONICAL["canonical_maps"]},
    "odd": {"swap_bangpath": "no", "allow_percent_hack": "no", "append_at_myorigin": "yes", "recipient_delimiter": "+-",
            "owner_request_special": "no", "myorigin": "origin.example", "recipient_bcc_maps": "inline:{ {bcc@c.example=copy} }",
            "virtual_alias_maps": "inline:{ {owner@c.example=o@n.example} {list@c.example=l@n.example} {canon@c.example=@n.example} }"},
    "utf8": {
        "recipient_delimiter": "+", "canonical_maps": "inline:{ {kanón@c.example=neu@n.example} {canon@bücher.example=x@ü.example} }",
        "virtual_alias_maps": "inline:{ {alias@bücher.example=größe@ü.example} {@fällt.example=@ü.example} {jörg=hans} {ä@a.example=a+b@a.example} }",
        "masquerade_domains": "maske.example",
        "smtp_generic_maps": "inline:{ {gén@g.example=gen@ascii.example} }",
    },
    "canonical": CANONICAL,
    "canonical classes": {**CANONICAL, "canonical_classes": "envelope_sender, header_recipient",
                          "sender_canonical_classes": "header_sender", "recipient_canonical_classes": "envelope_recipient",
                          "propagate_unmatched_extensions": "virtual"},
    "masquerade": {"masquerade_domains": "!keep.mask.example mask.example host.sub", "masquerade_exceptions": "root"},
    "masquerade classes": {"masquerade_domains": "mask.example", "masquerade_classes": "envelope_recipient, header_recipient"},
    "virtual": {
        "recipient_delimiter": "+", "virtual_alias_domains": "v.example vwhole.example vcatch.example",
        "virtual_alias_maps": "inline:{ {list@v.example=one@x.example, two, three@v.example} {three@v.example=three@y.example}"
                              " {alias@v.example=real@x.example} {nested@v.example=list@v.example} {@vwhole.example=@w.example}"
                              " {@vcatch.example=all@x.example} {bare=bare2} {vself@v.example=vself@v.example, copy@x.example} }",
        "always_bcc": "always@bcc.example", "recipient_bcc_maps": "inline:{ {Bcc@C.example=rbcc@bcc.example} {alias@v.example=before} {bare2=mine@bcc.example} {postmaster=pm@bcc.example} }",
        "sender_bcc_maps": "inline:{ {bccs@a.example=sbcc} {@sdep.example=domain@bcc.example} {<>=null@bcc.example} }",
    },
    "generic": {
        "recipient_delimiter": "+", "propagate_unmatched_extensions": "canonical virtual generic",
        "smtp_generic_maps": "inline:{ {gen@g.example=outside@i.example} {@gwhole.example=@j.example} {gen=bare@i.example}"
                             " {user@mail.example.org=me@i.example} {canon@c.example=plain} }",
    },
    "generic without extensions": {"recipient_delimiter": "+",
                                   "smtp_generic_maps": "inline:{ {gen@g.example=outside@i.example} {@gwhole.example=all@j.example} }"},
    "routing": {
        "recipient_delimiter": "+", "relay_domains": "relay.example", "virtual_mailbox_domains": "vmailbox.example",
        "virtual_mailbox_maps": "inline:{ {user@vmailbox.example=x} }", "relocated_maps": "inline:{ {moved@a.example=new@place} {@moved.example=away} }",
        "transport_maps": "inline:{ {t.example=two:} {.t.example=relay:[127.0.0.1]:@2@} {only.t2.example=two:} {tuser@t3.example=:[127.0.0.1]:@2@}"
                          " {terror.example=error:5.7.1 not here} {tnexthop.example=:[127.0.0.1]:@2@} {tempty.example=:} {host=smtp:[127.0.0.1]:@2@} }",
        "sender_dependent_relayhost_maps": "inline:{ {sdep@a.example=[127.0.0.1]:@2@} {@sdep.example=[127.0.0.1]:@2@} {<>=[127.0.0.1]:@2@} }",
        "sender_dependent_default_transport_maps": "inline:{ {deft@a.example=two:} }",
    },
    "routing by class": {
        "recipient_delimiter": "+-", "smtpd_reject_unlisted_sender": "yes", "mydestination": "$myhostname t.example",
        "local_recipient_maps": "inline:{ {user=x} {bare=x} }", "relay_domains": "relay.example .t2.example g.example",
        "relay_recipient_maps": "inline:{ {user@relay.example=x} {@t2.example=x} {gen@g.example=x} }",
        "virtual_alias_domains": "v.example vcatch.example", "virtual_alias_maps": "inline:{ {alias@v.example=user} {list@v.example=user@b.example} }",
        "virtual_mailbox_domains": "vmailbox.example c.example", "virtual_mailbox_maps": "inline:{ {user@vmailbox.example=x} {@c.example=x} {moved@c.example=x} }",
        "canonical_maps": "inline:{ {nobody@vmailbox.example=user@vmailbox.example} }", "sender_canonical_maps": "inline:{ {sdep+x@c.example=x} {scanon@relay.example=x} }",
        "relocated_maps": "inline:{ {ronly@c.example=elsewhere} }", "transport_maps": "inline:{ {twice+x@c.example=error:5.7.1 closed} {both@c.example=two:} {none@relay.example=retry:4.7.1 later} }",
        "unknown_relay_recipient_reject_code": "554", "unknown_virtual_mailbox_reject_code": "551", "unknown_local_recipient_reject_code": "450", "show_user_unknown_table_name": "yes",
    },
    "routing by star": {"transport_maps": "inline:{ {*=relay:[127.0.0.1]:@2@} {a.example=:} }", "parent_domain_matches_subdomains": "transport_maps",
                        "resolve_dequoted_address": "no", "relay_domains": "relay.example",
                        "local_transport": "error:5.1.1 no local mail"},
}



# ---- one system with one configuration ----

SERVICES = ("smtp", "relay", "local", "virtual", "two", "error")


class System:
    """Postfix or Postroad. discard: everything goes nowhere, and the log says by which transport to which next hop; otherwise to a sink."""

    def __init__(self, kind, configuration, discard):
        self.sink = Sink()
        self.discard = discard
        self.utf8 = configuration is CONFIGURATIONS["utf8"]
        to_sink = f"smtp:[127.0.0.1]:{self.sink.port}"
        main = {"virtual_alias_domains": "", "smtputf8_enable": "yes", "mydestination": "$myhostname, localhost.$mydomain, localhost",
                "smtpd_recipient_limit": "1000", "default_process_limit": "20", "smtpd_peername_lookup": "no", "disable_vrfy_command": "no",
                "smtp_dns_support_level": "disabled", "delay_logging_resolution_limit": "0", "smtpd_hard_error_limit": "1000", "smtpd_error_sleep_time": "0"}
        if discard:
            main["default_destination_recipient_limit"] = "1"
        else:
            main |= {name: to_sink for name in ("local_transport", "default_transport", "relay_transport", "virtual_transport")}
        main |= {name: value.replace("@2@", "2525") for name, value in configuration.items()}
        if not issubclass(kind, Postfix):
            main.pop("smtpd_peername_lookup")
        self.instance = kind(main=main, master=self._services(kind) if discard else "")
        if discard:
            self._without_agents()

    @staticmethod
    def _services(kind):
        flags = "- - n - -" if issubclass(kind, Postfix) else "- - n - -"
        return "".join(f"{name} unix {flags} {'error' if name == 'error' else 'discard'} -o syslog_name=via-{name}\n" for name in SERVICES)

    def _without_agents(self):
        """The rows of the usual agents make room for those that only log."""
        rows = self.instance.master_cf().splitlines(keepends=True)
        text = "".join(row for row in rows if row.split() and (row.split()[0] not in SERVICES or "via-" in row))
        self.instance.master_cf = lambda: text

    def __enter__(self):
        self.instance.start()
        return self

    def __exit__(self, *error):
        try:
            self.instance.close()
        finally:
            self.sink.close()

    def send(self, sender, recipients, content):
        """(queue id, replies to RCPT)"""
        replies = {}
        with self.instance.client() as client:
            client.ehlo()
            client.command_encoding = "utf-8"
            code, text = client.docmd(f"MAIL FROM:<{sender}>" + (" SMTPUTF8 BODY=8BITMIME" if self.utf8 else ""))
            assert code == 250, (sender, text)
            for recipient in recipients:
                replies[recipient] = client.docmd(f"RCPT TO:<{recipient}>")
            code, text = client.data(content.encode())
            assert code == 250, text
            return re.search(rb"queued as (\S+)", text).group(1).decode(), replies


def words_of(configuration):
    """Headers, recipients and senders to try."""
    return (UTF8_HEADERS, UTF8, UTF8) if configuration is CONFIGURATIONS["utf8"] else (HEADERS, RECIPIENTS, SENDERS)


def message_of(headers):
    """Each text in a header of a sender's and in one of a recipient's kind."""
    lines = [f"{kinds[number % len(kinds)]}: {text}\n" for number, text in enumerate(headers)
             for kinds in (SENDER_HEADERS, RECIPIENT_HEADERS)]
    return "X-First: x\n" + "".join(lines) + "X-Last: x\n\nbody\n"


# Quotes that are not needed go away in Postfix, and stay here.
NEEDLESS_QUOTES = {'"quoted.user"@a.example': "quoted.user@a.example", '"canon"@c.example': "canon@c.example",
                   'first."middlepart".last@a.example': '"first.middlepart.last"@a.example'}
# Postfix remembers how the client wrote an address, and takes these for others than the same without quotes or route, or in UTF-8.
REMEMBERED = ('"list"@v.example', "@one.example,@two.example:user@a.example", "user@xn--bcher-kva.example")


def folded_away(value):
    value = re.sub(r"\s+", "", value)
    return NEEDLESS_QUOTES.get(value, value)


def headers_of(content):
    """What stands between the marks, each as (name, value without white space); and the names of all."""
    text = re.sub(r"\r\n(?=[ \t])", "", content.decode(errors="surrogateescape").partition("\r\n\r\n")[0])
    every = [(name, folded_away(value)) for name, _, value in (line.partition(":") for line in text.split("\r\n"))]
    first, last = every.index(("X-First", "x")), every.index(("X-Last", "x"))
    return every[first:last], [name for name, _ in every]


def envelope_fact(path):
    """A MAIL or RCPT argument: the address, and the original one unless it is the same."""
    address, _, options = path.rpartition(">")
    original = re.search(r"ORCPT=rfc822;(\S+)", options)
    same = not original or xtext_decoded(original.group(1)) == address[1:]
    return address[1:] if same else f"{address[1:]} for {xtext_decoded(original.group(1))}"


def xtext_decoded(text):
    return re.sub(rb"\+([0-9A-F]{2})", lambda m: bytes([int(m.group(1), 16)]), text.encode()).decode()


def delivered(system, queue_id):
    """When the message has left the queue: what the sink got of it, as envelope facts and headers."""
    system.instance.wait_for_log(rf"{queue_id}: removed", timeout=60)
    parts = [m for m in system.sink.messages if re.match(rf"(?s)Received: [^;]*\bid {queue_id}\b".encode(), m.content)]
    (sender,) = {envelope_fact(part.sender) for part in parts}
    recipients = sorted(envelope_fact(r) for part in parts for r in part.recipients)
    headers, names = headers_of(parts[0].content) if b"X-First" in parts[0].content else ([], [])
    return sender, recipients, headers, names


def through(kind, configuration):
    """Everything about one configuration that reaches the next hop."""
    headers, recipients, senders = words_of(configuration)
    with System(kind, configuration, discard=False) as system:
        first, replies = system.send("user@a.example", recipients, message_of(headers))
        others = {sender: system.send(sender, ["someone@b.example"], "Subject: x\n\nx\n")[0] for sender in senders}
        _, recipients, headers, names = delivered(system, first)
        return {"replies": replies, "recipients": recipients, "headers": headers, "names": names,
                "senders": {sender: delivered(system, queue_id)[:2] for sender, queue_id in others.items()}}


def asked_as(system, senders):
    """What a recipient is told when the mail comes from each of these."""
    told = {}
    with system.instance.client() as client:
        client.ehlo()
        for sender in senders:
            told[sender] = (client.docmd(f"MAIL FROM:<{sender}>"), client.docmd("RCPT TO:<someone@b.example>"), client.docmd(f"RCPT TO:<{sender}>"))
            client.rset()
    return told


ASKING = ["nobody@vmailbox.example", "user@vmailbox.example", "none@vmailbox.example", "gone@v.example", "alias+x@v.example", "sdep+x@c.example", "",
          "user", "nobody", "user@relay.example", "none@relay.example", "ronly@c.example", "twice+x@c.example", "x@b.example", "any@t2.example",
          "any@sub.t2.example", "user@t.example", "nobody@t.example", "postmaster", "scanon@relay.example",
          "user@", "user@a..b", "user@.b", '"a b"@', "-user@a.example", "%@[127.0.0.1]", "user%a..b@mail.example.org", "user@[bad]", "-user", "user@b.", "user@b..", "b..c!user"]


def routed(kind, configuration):
    """Where everybody's mail would go: (sender, to, original, service, status, text)."""
    found, replies = set(), {}
    with System(kind, configuration, discard=True) as system:
        ids, told = {}, asked_as(system, ASKING)
        for sender in ("user@a.example", "sdep+x@a.example", "any@sdep.example", "deft@a.example", "", "alias@v.example"):
            queue_id, replies[sender] = system.send(sender, RECIPIENTS, "Subject: x\n\nx\n")
            ids[queue_id] = sender
        for queue_id in ids:
            system.instance.wait_for_log(rf"{queue_id}: removed", timeout=60)
            (active,) = system.instance.wait_for_log(rf"{queue_id}: from=<.* nrcpt=\d+ \(queue active\)")
            # an agent may say what became of its recipients after qmgr has heard of it
            system.instance.wait_for_log(rf": {queue_id}: to=<", count=int(re.search(r"nrcpt=(\d+)", active).group(1)))
        for line in system.instance.log().splitlines():
            m = re.search(r"via-(\w+)/\w+\[\d+\]: (\w+): to=<(.*?)>,(?: orig_to=<(.*?)>,)? relay=none,.* dsn=(\S+), status=(\w+) \((.*)\)$", line)
            if m and m.group(2) in ids:
                found.add((ids[m.group(2)], m.group(3), m.group(4) or "", m.group(1), m.group(5), m.group(6), m.group(7)))
    return {"replies": replies, "found": found, "told": told}


# ---- both, side by side ----

def of_postfix(ask, configuration):
    """On a very busy machine one of its agents was once given half of a message, and was never heard of again: then it is asked anew."""
    try:
        return ask(Postfix, configuration)
    except AssertionError:
        return ask(Postfix, configuration)


def both(ask, name):
    """ask() of Postfix and of Postroad at the same time."""
    with ThreadPoolExecutor(2) as pool:
        theirs = pool.submit(of_postfix, ask, CONFIGURATIONS[name])
        ours = pool.submit(ask, Instance, CONFIGURATIONS[name])
        return theirs.result(), ours.result()


@pytest.fixture(scope="module")
def answers():
    """All configurations, three at a time: most of it is waiting for programs to start and stop."""
    postfix_with_accounts()
    with ThreadPoolExecutor(3) as pool:
        asked = {name: pool.submit(both, routed if name.startswith("routing") else through, name) for name in CONFIGURATIONS}
    return {name: one.result() for name, one in asked.items()}


ENVELOPES = [name for name in CONFIGURATIONS if not name.startswith("routing")]


@pytest.mark.parametrize("name", ENVELOPES)
def test_envelopes_and_headers_come_out_as_from_postfix(answers, name):
    theirs, ours = answers[name]
    assert min(len(theirs[kind]) for kind in ("replies", "recipients", "senders", "names")) >= 15
    assert ours["replies"] == theirs["replies"]
    assert ours["recipients"] == [r for r in theirs["recipients"] if not r.endswith(REMEMBERED)]
    assert ours["senders"] == theirs["senders"]
    assert len(theirs["headers"]) > 2 * len(words_of(CONFIGURATIONS[name])[0])
    for mine, other in zip(ours["headers"], theirs["headers"], strict=True):
        assert mine == other
    assert ours["names"] == theirs["names"]


@pytest.mark.parametrize("name", [name for name in CONFIGURATIONS if name.startswith("routing")])
def test_everybody_goes_where_postfix_would_send_them(answers, name):
    theirs, ours = answers[name]
    assert ours["replies"] == theirs["replies"]
    assert ours["told"] == theirs["told"]
    assert len(theirs["found"]) > 300
    assert ours["found"] == theirs["found"]
