# SPDX-License-Identifier: ISC
"""REQUIRETLS and TLS-Required (RFC 8689), from the client's MAIL command to the next hop's, or back to the sender."""

import ssl

import pytest

from instance import Instance, wait_until
from mail_hosts import Outside, opened

KNOWS = ("PIPELINING", "8BITMIME", "SIZE 100000000", "DSN", "REQUIRETLS")


class World(Outside):
    def __init__(self, root):
        super().__init__(root, "127.0.4")
        self.chain = self.authority.chain_file("server", name="mail.example.org")

    def host(self, domain, certificate_for=None, extensions=KNOWS):
        self.dns.add(domain, "MX", f"0 mx.{domain}")
        return self.hosts.add(f"mx.{domain}", certificate_for, extensions=extensions)


@pytest.fixture(scope="module")
def world():
    with opened(World) as one:
        yield one


@pytest.fixture(scope="module")
def mail(world):
    main = {**world.settings(), "smtp_requiretls_policy": "inline:{{easy.mail=opportunistic}, {.tls.mail=opportunistic+starttls}, {not.mail=disable}}, enforce", "smtpd_tls_security_level": "may", "smtpd_tls_chain_files": world.chain,
            "smtp_tls_policy_maps": "inline:{{proved.mail=secure match=hostname}, {named.mail=secure match=hostname}, {busy.mail=secure match=hostname}, {lacking.mail=secure match=hostname},"
                                    "{strict.mail=secure match=hostname}, {sender.mail=secure match=hostname}}"}
    with Instance(main=main) as one:
        yield one


def send(mail, domain, options=("REQUIRETLS",), text="Subject: x\r\n\r\nsecret body\r\n", sender="sender@sender.mail"):
    with mail.client() as client:
        client.starttls(context=ssl._create_unverified_context())
        client.ehlo()
        client.mail(sender, list(options))
        assert client.rcpt(f"user@{domain}")[0] == 250
        code, reply = client.data(text)
        assert code == 250, reply
        return reply.decode().rpartition(" ")[2]


def outcome(mail, domain, *arguments, **more):
    queue_id = send(mail, domain, *arguments, **more)
    line, *_ = mail.wait_for_log(f"{queue_id}: to=<user@{domain}>.* status=", timeout=60)
    return line


def mail_commands(sink):
    with sink.lock:
        return [line for line in sink.commands if line.upper().startswith("MAIL")]


def test_the_server_offers_it_over_tls_only(mail):
    with mail.client() as client:
        client.ehlo()
        assert not client.has_extn("requiretls")
        assert client.docmd("MAIL FROM:<a@b.example> REQUIRETLS") == (555, b"5.5.4 Unsupported option: REQUIRETLS")
        client.starttls(context=ssl._create_unverified_context())
        client.ehlo()
        assert client.has_extn("requiretls")
        assert client.docmd("MAIL FROM:<a@b.example> REQUIRETLS=1")[0] == 555
        assert client.docmd("MAIL FROM:<a@b.example> REQUIRETLS")[0] == 250


def test_it_is_passed_on_to_a_server_that_is_proved_and_knows_it(world, mail):
    sink = world.host("proved.mail", "mx.proved.mail")
    assert ", tls=secure/requiretls, dsn=2.0.0, status=sent" in outcome(mail, "proved.mail")
    assert mail_commands(sink)[-1].endswith(" REQUIRETLS") and b"\nRequire-TLS-ESMTP: yes" in sink.messages[-1].content
    assert "status=sent" in outcome(mail, "proved.mail", options=())         # over the same connection or not
    assert not mail_commands(sink)[-1].endswith("REQUIRETLS") and b"Require-TLS" not in sink.messages[-1].content
    assert "status=sent" in outcome(mail, "proved.mail", options=(), text="Require-TLS-ESMTP: yes\r\n\r\nback from a filter\r\n")
    assert mail_commands(sink)[-1].endswith(" REQUIRETLS")


def test_what_no_server_takes_on_these_terms_goes_back_without_its_body_and_on_the_same_terms(world, mail):
    sender = world.host("sender.mail", "mx.sender.mail")
    for domain, certificate, extensions, words in (
            ("lacking.mail", "mx.lacking.mail", ("PIPELINING",), "REQUIRETLS is required, but was not offered by host mx.lacking.mail"),
            ("unproved.mail", "mx.unproved.mail", KNOWS, "REQUIRETLS is required, but nothing authenticates host mx.unproved.mail"),
            ("strict.mail", None, KNOWS, "REQUIRETLS is required, but TLS was not offered by host mx.strict.mail")):
        sink = world.host(domain, certificate, extensions)
        before = len(sender.messages)
        line = outcome(mail, domain)
        assert "dsn=5.7.30, status=bounced" in line and words in line, line
        assert sink.messages == []
        wait_until(lambda: len(sender.messages) > before, 60, "the notification")
        notice = sender.messages[-1].content
        assert b"Status: 5.7.30" in notice and b"Subject: x" in notice and b"secret body" not in notice
        assert mail_commands(sender)[-1].endswith(" REQUIRETLS")


def test_who_is_asked_for_less_gets_more(world, mail):
    """smtp_requiretls_policy, and what the log says of it."""
    for domain, certificate, extensions, words, told in (
            ("easy.mail", None, KNOWS, "tls=may:none/!requiretls:nostarttls, dsn=2.0.0, status=sent", False),
            ("a.tls.mail", "elsewhere.mail", KNOWS, "tls=may:encrypt/!requiretls:nocertmatch, dsn=2.0.0, status=sent", True),
            ("b.tls.mail", "elsewhere.mail", ("PIPELINING",), "tls=may:encrypt/!requiretls:nocertmatch, dsn=2.0.0, status=sent", False),
            ("c.tls.mail", None, KNOWS, "dsn=5.7.30, status=bounced (REQUIRETLS is required, but TLS was not offered by host mx.c.tls.mail", None),
            ("not.mail", "elsewhere.mail", KNOWS, "tls=may, dsn=2.0.0, status=sent", False)):
        sink = world.host(domain, certificate, extensions)
        assert words in outcome(mail, domain), mail.log_lines(f"to=<user@{domain}>")
        assert [line.endswith(" REQUIRETLS") for line in mail_commands(sink)] == ([] if told is None else [told])


def test_a_wrong_certificate_is_a_reason_to_wait(world, mail):
    world.host("named.mail", "elsewhere.mail")
    assert "Server certificate not verified" in outcome(mail, "named.mail")
    assert "dsn=4.7.5, status=deferred" in mail.log_lines("to=<user@named.mail>")[-1]


def test_a_server_that_has_no_tls_for_the_moment_is_too(world, mail):
    world.dns.add("busy.mail", "MX", "0 mx.busy.mail")
    world.hosts.add("mx.busy.mail", "mx.busy.mail", reply="454 4.7.0 not now")
    line = outcome(mail, "busy.mail")
    assert "dsn=4.7.0, status=deferred" in line and "refused to start TLS: 454 4.7.0 not now" in line, line


def test_a_second_server_may_do_what_the_first_does_not(world, mail):
    first, second = world.host("two.proved.mail", "mx.two.proved.mail", ("PIPELINING",)), world.host("three.proved.mail", "mx.three.proved.mail")
    world.dns.remove("two.proved.mail")
    world.dns.add("two.proved.mail", "MX", "0 mx.two.proved.mail", "10 mx.three.proved.mail")
    mail.set(smtp_tls_policy_maps=mail.main["smtp_tls_policy_maps"].replace("inline:{{", "inline:{{.proved.mail=secure match=hostname}, {"))
    mail.reload()
    assert "status=sent" in outcome(mail, "two.proved.mail")
    assert (first.messages, len(second.messages)) == ([], 1)


def test_tls_required_no_lowers_what_main_cf_and_tables_ask_for(world, mail):
    sink = world.host("bare.mail")
    mail.set(smtp_tls_policy_maps=mail.main["smtp_tls_policy_maps"].replace("inline:{{", "inline:{{bare.mail=secure}, {"))
    mail.reload()
    assert "tls=secure:none" in outcome(mail, "bare.mail", options=(), text="TLS-Required: No\r\nSubject: x\r\n\r\nx\r\n")
    assert len(sink.messages) == 1 and b"TLS-Required: No" in sink.messages[0].content
    assert "dsn=5.7.30" in outcome(mail, "bare.mail", text="TLS-Required: No\r\n\r\nx\r\n")
    assert "status=deferred" in outcome(mail, "bare.mail", options=())


def is_offered(mail):
    with mail.client() as client:
        client.starttls(context=ssl._create_unverified_context())
        client.ehlo()
        return client.has_extn("requiretls")


def test_both_can_be_switched_off(world, mail):
    sink = world.host("plain.mail")
    mail.set(requiretls_enable="no", tls_required_enable="no", smtp_tls_policy_maps="inline:{off.mail=encrypt}")
    mail.reload()
    wait_until(lambda: not is_offered(mail), 30, "no longer offered")
    assert mail.command("sendmail", "-O", "requiretls=yes", "-f", "a@sender.mail", "user@plain.mail", input="Subject: x\n\nx\n").returncode == 0
    wait_until(lambda: sink.messages, 60, "sent as any other mail")
