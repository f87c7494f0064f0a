# SPDX-License-Identifier: ISC
"""The main job from end to end: a client hands in mail, another host gets it."""

import pytest

from instance import wait_until
from sink import Sink


@pytest.fixture
def sink():
    with Sink() as one:
        yield one


def test_a_message_goes_from_a_client_to_the_next_hop(instance, sink):
    mail = instance(main={"relayhost": f"[127.0.0.1]:{sink.port}"})
    queue_id = mail.send("Subject: hello\r\n\r\nworld\r\n.leading dot\r\n", recipients=["someone@example.com"])
    wait_until(lambda: sink.messages, what=f"arrival\n{mail.log_tail()}")
    message = sink.messages[0]
    assert message.sender.startswith("<sender@example.net>")
    assert message.recipients[0].startswith("<someone@example.com>")
    headers, _, body = message.content.partition(b"\r\n\r\n")
    assert body == b"world\r\n.leading dot\r\n"
    assert headers.startswith(b"Received: from client.example.net (")
    assert f"id {queue_id}".encode() in headers
    mail.wait_for_log(rf"{queue_id}: to=<someone@example.com>, relay=127.0.0.1\[127.0.0.1\]:{sink.port}, .*dsn=2.0.0, status=sent \(250 2.0.0 Ok: kept\)")
    mail.wait_for_log(rf"{queue_id}: removed")
    assert not mail.queue_files()


def test_strangers_cannot_relay(instance, sink):
    mail = instance(main={"relayhost": f"[127.0.0.1]:{sink.port}", "mynetworks": "192.0.2.0/24"})
    with mail.client() as client:
        client.ehlo()
        assert client.mail("a@example.net")[0] == 250
        code, text = client.rcpt("b@example.com")
    assert (code, text) == (454, b"4.7.1 <b@example.com>: Relay access denied")
    mail.wait_for_log("NOQUEUE: reject: RCPT from .*: 454 4.7.1 <b@example.com>: Relay access denied; "
                      "from=<a@example.net> to=<b@example.com> proto=ESMTP helo=<client.example.net>")


def test_mail_waits_for_a_next_hop_that_is_down_and_goes_when_it_is_up(instance, sink):
    port = sink.port
    sink.close()
    mail = instance(main={"relayhost": f"[127.0.0.1]:{port}", "minimal_backoff_time": "600s"})
    mail.send("Subject: later\r\n\r\nbody\r\n", recipients=["someone@example.com"])
    mail.wait_for_log(r"status=deferred \(connect to 127.0.0.1\[127.0.0.1\]:\d+: Connection refused\)")
    wait_until(lambda: len(mail.queue_files()) == 1, what=mail.log_tail)
    with Sink(port=port) as again:
        mail.command("postqueue", "-f")
        wait_until(lambda: again.messages, what=f"arrival after the flush\n{mail.log_tail()}")
        mail.wait_empty()
