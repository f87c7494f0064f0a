# SPDX-License-Identifier: ISC
"""What senders are told, as it arrives at the next hop: parsed with Python's email package."""

import email
import email.policy
import time

import pytest

from frames import Peer
from instance import wait_until
from sink import Sink

NEVER, SUCCESS, FAILURE, DELAY = 1, 2, 4, 8
RECEIVED, EXTERNAL = 8, 32


def refuse_some(argument):
    if "gone" in argument:
        return "550 5.1.1 nobody of that name,\tsorry"
    if "later" in argument:
        return "450 4.2.1 come back"
    return "250 2.1.5 Ok"


@pytest.fixture
def sink():
    with Sink(answers={"RCPT": refuse_some}) as one:
        yield one


@pytest.fixture
def mail(instance, sink):
    """mail(parameter=value): an instance whose next hop is the sink."""
    def make(**main):
        return instance(main={"relayhost": f"[127.0.0.1]:{sink.port}", **main})
    return make


def hand_in(instance, recipients, sender="alice@example.com", content=b"Subject: original\n\noriginal body\n", **attributes):
    """A message by the way that smtpd takes; recipients: address -> NOTIFY bits, or (bits, ORCPT). The queue id."""
    lines = [f"sender\t{sender}", f"arrival\t{time.time_ns() // 1000}"] + [f"{name}\t{value}" for name, value in attributes.items()]
    for number, (address, notify) in enumerate(recipients.items()):
        bits, orcpt = notify if isinstance(notify, tuple) else (notify, "")
        lines.append(f"to\t{number}\t{address}\t\t{bits}\t{orcpt}")
    with Peer(instance.queue / "public/cleanup") as peer:
        reply = peer.ask("cleanup_request", origin="smtpd", flags=RECEIVED | EXTERNAL, queue_id="",
                         envelope="".join(line + "\n" for line in lines), content=content)
    assert reply["code"] == b"250", reply
    return reply["text"].decode().split()[-1]


def wait_for_notification(instance, sink, to, count=1):
    def look():
        found = [m for m in sink.messages if m.recipients[0].startswith(f"<{to}>")]
        return found if len(found) >= count else None
    (found, *_) = wait_until(look, 30, f"a notification\n{instance.log_tail()}")
    return found, email.message_from_bytes(found.content, policy=email.policy.default)


def report_of(notice):
    """(fields of the message, [fields of each recipient])"""
    status = notice.get_payload()[1]
    assert status.get_content_type() == "message/delivery-status"
    first, *recipients = status.get_payload()
    return first, recipients


def test_what_is_refused_is_returned(mail, sink):
    one = mail()
    queue_id = hand_in(one, {"gone@example.org": 0, "fine@example.org": 0}, envid="QQ314")
    arrived, notice = wait_for_notification(one, sink, "alice@example.com")
    assert arrived.sender.startswith("<>")
    assert notice["Subject"] == "Undelivered Mail Returned to Sender"
    assert notice["From"].addresses[0].addr_spec == "MAILER-DAEMON@mail.example.org"
    assert notice["To"] == "alice@example.com" and notice["Auto-Submitted"] == "auto-replied"
    assert notice["Date"] and notice["Message-Id"] and notice["Received"].startswith("by mail.example.org (Postroad)")
    assert notice.get_content_type() == "multipart/report" and not notice.defects
    words, _, original = notice.get_payload()
    assert "<gone@example.org>: host 127.0.0.1[127.0.0.1] said: 550 5.1.1" in words.get_content()
    assert "fine@" not in words.get_content()
    message, (recipient,) = report_of(notice)
    assert message["Reporting-MTA"] == "dns; mail.example.org" and message["Original-Envelope-Id"] == "QQ314"
    assert message["X-Postroad-Queue-ID"] == queue_id
    assert recipient["Final-Recipient"] == "rfc822; gone@example.org" and recipient["Action"] == "failed"
    assert recipient["Status"] == "5.1.1" and recipient["Diagnostic-Code"].startswith("smtp; 550 5.1.1 nobody")
    assert original.get_content_type() == "message/rfc822"
    assert original.get_payload()[0].get_payload() == "original body\r\n"
    one.wait_for_log(rf"bounce\[\d+\]: {queue_id}: sender non-delivery notification: \w+")
    one.wait_empty()


def test_the_administrator_words_it_himself(mail, sink):
    one = mail(bounce_template_file="$config_directory/bounce.cf", notify_classes="bounce", bounce_notice_recipient="boss@example.net")
    one.file("bounce.cf", "failure_template = <<EOF\nCharset: utf-8\nFrom: Postamt <amt>\nSubject: Zurück? Nein: Zurueck\n\nx\nEOF\n")
    assert "non-ASCII" in one.command("postconf", "-c", one.etc, "-b").stderr
    one.file("bounce.cf", "failure_template = <<EOF\nCharset: utf-8\nFrom: Postamt <amt>\nSubject: Zurueck\n\nZurück von $myhostname nach "
             "$maximal_queue_lifetime_days Tagen\nEOF\n")
    shown = one.command("postconf", "-c", one.etc, "-b")
    assert shown.stdout.startswith("expanded_failure_text = <<EOF\nZurück von mail.example.org nach 5 Tagen\nEOF\n") and "template" not in shown.stderr
    one.command("postroad", "-c", one.etc, "reload")
    hand_in(one, {"gone@example.org": 0})
    _, notice = wait_for_notification(one, sink, "alice@example.com")
    assert notice["From"].addresses[0].addr_spec == "amt@mail.example.org" and notice["Subject"] == "Zurueck" and not notice.defects
    words = notice.get_payload()[0]
    assert words.get_content_charset() == "utf-8"
    assert words.get_content().startswith("Zurück von mail.example.org nach 5 Tagen\r\n\r\n<gone@example.org>: host 127.0.0.1[127.0.0.1] said")
    _, copy = wait_for_notification(one, sink, "boss@example.net")
    assert copy["Subject"] == "Postmaster Copy: Undelivered Mail" and "Zur" not in copy.get_payload()[0].get_content()


def test_everybody_is_named_however_many_fail_and_however_large_that_is(mail, sink):
    """More than one notification has room for, and each of them beyond message_size_limit."""
    number = 20_500
    one = mail(message_size_limit="100000", mailbox_size_limit="200000", transport_maps="inline:{{gone.example = error:5.1.1 no such host}}")
    hand_in(one, {f"u{i}@gone.example": 0 for i in range(number)}, sender="alice@example.com")
    wait_until(lambda: len(sink.messages) >= 2, 60, one.log_tail)
    one.wait_empty()
    named = [line.split()[-1] for m in sink.messages for line in m.content.decode().splitlines() if line.startswith("Final-Recipient:")]
    assert len(named) == number and len(set(named)) == number


def test_notify_is_honoured(mail, sink):
    one = mail()
    hand_in(one, {"gone1@example.org": NEVER, "gone2@example.org": DELAY, "gone3@example.org": (FAILURE, "rfc822;Gone@Example.org"),
                  "fine@example.org": FAILURE})
    _, notice = wait_for_notification(one, sink, "alice@example.com")
    _, recipients = report_of(notice)
    assert [recipient["Final-Recipient"] for recipient in recipients] == ["rfc822; gone3@example.org"]
    assert recipients[0]["Original-Recipient"] == "rfc822;Gone@Example.org"
    one.wait_empty()
    assert len([m for m in sink.messages if m.sender.startswith("<>")]) == 1


def test_nobody_is_told_when_nobody_wants_to_know(mail, sink):
    one = mail()
    queue_id = hand_in(one, {"gone@example.org": NEVER})
    one.wait_for_log(f"{queue_id}: removed")
    one.wait_empty()
    assert not sink.messages


def test_there_is_no_notification_about_a_notification(mail, sink):
    one = mail()
    queue_id = hand_in(one, {"gone@example.org": 0}, sender="")
    one.wait_for_log(f"{queue_id}: removed")
    # neither when the notification itself cannot be delivered
    queue_id = hand_in(one, {"gone@example.org": 0}, sender="gone-too@example.com")
    one.wait_for_log(f"{queue_id}: removed")
    one.wait_empty()
    assert not sink.messages


def test_the_postmaster_gets_what_cannot_be_returned(mail, sink):
    one = mail(notify_classes="2bounce", **{"2bounce_notice_recipient": "watch@example.net"})
    hand_in(one, {"gone@example.org": 0}, sender="gone-too@example.com")
    arrived, notice = wait_for_notification(one, sink, "watch@example.net")
    assert arrived.sender.startswith("<double-bounce@mail.example.org>")
    assert notice["Subject"] == "Postmaster Copy: Undelivered Mail"
    one.wait_empty()
    # and when that fails too, it is over
    hand_in(one, {"gone@example.org": 0}, sender="double-bounce@mail.example.org")
    one.wait_for_log("undeliverable postmaster notification discarded")
    one.wait_empty()
    assert len(sink.messages) == 1


def test_large_messages_and_ret_hdrs_return_headers_only(mail, sink):
    one = mail(bounce_size_limit="3000")
    hand_in(one, {"gone@example.org": 0}, content=b"Subject: large\n\n" + b"secret line\n" * 500)
    hand_in(one, {"gone@example.org": 0}, sender="bob@example.com", ret=2)
    for to in ("alice@example.com", "bob@example.com"):
        arrived, notice = wait_for_notification(one, sink, to)
        assert notice.get_payload()[2].get_content_type() == "text/rfc822-headers"
        assert b"Subject: " in arrived.content and b"secret line" not in arrived.content and b"original body" not in arrived.content


def test_an_internationalised_address_makes_a_global_notification(mail, sink):
    one = mail()
    hand_in(one, {"gone-r\u00e9mi@example.org": 0}, flags=2)
    arrived, notice = wait_for_notification(one, sink, "alice@example.com")
    assert "SMTPUTF8" in arrived.sender
    assert [part.get_content_type() for part in notice.get_payload()] == ["text/plain", "message/global-delivery-status", "message/global"]
    assert "Final-Recipient: utf-8; gone-r\u00e9mi@example.org".encode() in arrived.content


def test_the_message_waits_until_its_notification_is_queued(instance, sink):
    """A cleanup that refuses the notification for the time being: the message stays, and the sender is told later, once."""
    one = instance(start=False, main={"relayhost": f"[127.0.0.1]:{sink.port}", "minimal_backoff_time": "1s", "maximal_backoff_time": "1s",
                                      "queue_run_delay": "1s"})
    checks = one.file("checks", "/^Subject: Undelivered/ REJECT 4.7.0 not now\n")
    one.set(header_checks=f"regexp:{checks}", internal_mail_filter_classes="bounce")
    one.start()
    queue_id = hand_in(one, {"gone@example.org": 0})
    one.wait_for_log(rf"warning: {queue_id}: notification to <alice@example.com> was not queued: 451 4.7.0 not now", count=2)
    assert any(path.name == queue_id for path in one.queue_files()) and not sink.messages
    one.file("checks", "/^Nothing/ REJECT\n")
    wait_for_notification(one, sink, "alice@example.com")
    one.wait_for_log(f"{queue_id}: removed")
    one.wait_empty()
    assert len(sink.messages) == 1
    assert len(one.log_lines(f"{queue_id}: to=<gone@example.org>.*status=bounced")) == 1


def test_a_message_that_is_late_is_announced_once(mail, sink):
    one = mail(delay_warning_time="2s", minimal_backoff_time="1s", maximal_backoff_time="1s", queue_run_delay="1s")
    hand_in(one, {"later@example.org": 0, "later2@example.org": NEVER})
    _, notice = wait_for_notification(one, sink, "alice@example.com")
    assert notice["Subject"] == "Delayed Mail (still being retried)"
    _, (recipient,) = report_of(notice)
    assert recipient["Action"] == "delayed" and recipient["Status"] == "4.2.1" and recipient["Will-Retry-Until"]
    one.wait_for_log("to=<later@example.org>.*status=deferred", count=5)
    assert len(sink.messages) == 1


def test_an_alias_with_several_members_is_reported_as_expanded(mail, sink):
    one = mail(virtual_alias_maps="inline:{ { list@example.org = one@example.net, two@example.net } }", virtual_alias_domains="")
    hand_in(one, {"list@example.org": SUCCESS | FAILURE})
    _, notice = wait_for_notification(one, sink, "alice@example.com")
    assert notice["Subject"] == "Successful Mail Delivery Report"
    _, (recipient,) = report_of(notice)
    assert recipient["Final-Recipient"] == "rfc822; list@example.org" and recipient["Action"] == "expanded"
    one.wait_empty()
    (members,) = [m for m in sink.messages if m.sender.startswith("<alice@example.com>")]
    assert [recipient.split(" ", 1)[0] for recipient in members.recipients] == ["<one@example.net>", "<two@example.net>"]
    assert all("NOTIFY=FAILURE" in recipient and "SUCCESS" not in recipient for recipient in members.recipients)


def test_a_next_hop_that_knows_dsn_reports_success_itself(instance):
    with Sink(extensions=("PIPELINING", "8BITMIME", "DSN")) as able:
        one = instance(main={"relayhost": f"[127.0.0.1]:{able.port}"})
        hand_in(one, {"asks@example.org": SUCCESS})
        one.wait_empty()
        (message,) = able.messages
        assert message.recipients[0].startswith("<asks@example.org> ") and "NOTIFY=SUCCESS" in message.recipients[0]
        assert not one.log_lines("postfix/bounce|sender delivery status notification"), one.log_tail()


def test_success_is_reported_when_asked_for(instance):
    with Sink(extensions=("PIPELINING", "8BITMIME")) as plain:
        one = instance(main={"relayhost": f"[127.0.0.1]:{plain.port}"})
        hand_in(one, {"asks@example.org": SUCCESS, "silent@example.org": 0})
        _, notice = wait_for_notification(one, plain, "alice@example.com")
        assert notice["Subject"] == "Successful Mail Delivery Report"
        _, (recipient,) = report_of(notice)
        assert recipient["Final-Recipient"] == "rfc822; asks@example.org" and recipient["Action"] == "relayed"
