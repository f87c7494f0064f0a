# SPDX-License-Identifier: ISC
"""A content filter in the classic arrangement: mail comes in, goes to the filter, comes in again behind it, and is rewritten and checked once."""

from instance import free_port, wait_until
from sink import Sink


def test_mail_through_a_filter_and_back(instance):
    back_port = free_port()
    with Sink(answers={}) as filter_, Sink(answers={}) as next_hop:
        one = instance(main={"content_filter": f"scan:[127.0.0.1]:{filter_.port}", "relayhost": f"[127.0.0.1]:{next_hop.port}", "mydestination": "example.org",
                             "receive_override_options": "no_address_mappings", "local_recipient_maps": "inline:{joe=x}",
                             "virtual_alias_domains": "alias.example",
                             "virtual_alias_maps": "inline:{ {joe@example.org=out@example.com} {info@alias.example=x@example.com} }", "always_bcc": "copy@example.com",
                             "header_checks": "regexp:{ {/^Subject: bad/ REJECT no} {/^Subject: seen/ PREPEND X-Seen: once} }"},
                       master=f"scan unix - - n - - smtp\n127.0.0.1:{back_port} inet n - n - - smtpd -o content_filter= -o "
                              "receive_override_options=no_unknown_recipient_checks,no_header_body_checks,no_milters\n")
        one.send("Subject: seen\n\nhello\n", recipients=["joe@example.org"])
        one.command("sendmail", "-f", "me@example.org", "info@alias.example", input="Subject: from here\n\nhello\n")
        wait_until(lambda: len(filter_.messages) == 2, 30, lambda: one.log_tail())
        by_smtp, by_sendmail = sorted(filter_.messages, key=lambda m: b"from here" in m.content)
        for message, name in (by_smtp, "joe@example.org"), (by_sendmail, "info@alias.example"):      # no alias, no copy yet, nor is it asked whether there is one
            assert [r.partition(">")[0] for r in message.recipients] == [f"<{name}"]
        assert by_smtp.content.count(b"X-Seen: once") == 1
        assert not next_hop.messages

        port, one.smtp_port = one.smtp_port, back_port
        one.send(by_smtp.content.replace(b"\r\n", b"\n").decode(), recipients=["joe@example.org", "nobody-here@example.org"])
        # the alias, the copy, and the notice of the recipient that nobody knows
        wait_until(lambda: sum(len(m.recipients) for m in next_hop.messages) >= 3, 30, lambda: one.log_tail())
        assert sorted(r.partition(">")[0] for m in next_hop.messages for r in m.recipients) == ["<copy@example.com", "<out@example.com", "<sender@example.net"]
        for message in next_hop.messages:
            assert message.content.count(b"X-Seen: once") == 1
        one.wait_for_log("to=<nobody-here@example.org>, .*unknown user")
        one.send("Subject: bad\n\nlet through: it was checked before\n", recipients=["joe@example.org"])

        one.smtp_port = port
        with one.client() as client:
            client.ehlo()
            client.mail("a@example.net")
            assert client.rcpt("nobody-here@example.org")[0] == 550
            client.rcpt("joe@example.org")
            assert client.data(b"Subject: bad\r\n\r\nx\r\n")[0] == 550
        assert f"content_filter: scan:[127.0.0.1]:{filter_.port}" in one.command("postroad", "-c", one.etc, "explain", "joe@example.org").stdout


def test_a_service_with_a_cleanup_of_its_own(instance):
    """As submission services have it, for header_checks of their own. The others here are proxymap's, which is asked about headers of any length."""
    port = free_port()
    references = "\n".join(f" <{n}.abcdefgh@example.com>" for n in range(400))
    with Sink(answers={}) as sink:
        one = instance(main={"relayhost": f"[127.0.0.1]:{sink.port}", "header_checks": "proxy:regexp:{ {/^References: .*399/ PREPEND X-Found: yes} }"},
                       master="subcleanup unix n - - - 0 cleanup -o {header_checks=regexp:{{/^X-Mailer:/ IGNORE}}}\n"
                              f"127.0.0.1:{port} inet n - n - - smtpd -o cleanup_service_name=subcleanup\n")
        one.send(f"Subject: a\nX-Mailer: x\nReferences:{references}\n\nx\n", recipients=["a@example.com"])
        one.smtp_port = port
        one.send("Subject: b\nX-Mailer: x\n\nx\n", recipients=["a@example.com"])
        wait_until(lambda: len(sink.messages) == 2, 30, lambda: one.log_tail())
        assert {(b"Subject: a" in m.content, b"X-Mailer" in m.content, b"X-Found" in m.content) for m in sink.messages} == {(True, True, True), (False, False, False)}
        one.wait_empty()


def test_notifications_are_not_checked_unless_asked_for(instance):
    with Sink(answers={"RCPT": lambda line: "550 5.1.1 no" if "gone" in line else "250 2.1.5 Ok"}) as sink:
        one = instance(main={"relayhost": f"[127.0.0.1]:{sink.port}", "header_checks": "regexp:{ {/^Subject: Undelivered/ REJECT no} }"})
        one.send("Subject: x\n\nx\n", sender="jane@example.com", recipients=["gone@example.com"])
        wait_until(lambda: any("jane@" in r for m in sink.messages for r in m.recipients), 30, lambda: one.log_tail())
        one.set(internal_mail_filter_classes="bounce")
        one.reload()
        one.send("Subject: x\n\nx\n", sender="jane@example.com", recipients=["gone@example.com"])
        one.wait_for_log("notification to <jane@example.com> was not queued: 550")
