# SPDX-License-Identifier: ISC
"""A hundred varied messages arrive with their content unchanged, byte for byte."""

import random
import socket

from instance import wait_until
from sink import Sink

HEADERS = b"From: a@example.net\r\nTo: b@example.com\r\nSubject: %s\r\nDate: Sun, 22 Nov 2026 00:00:00 +0000\r\nMessage-Id: <%s@x>\r\n"


def varied_messages():
    """(name, content as sent with CRLF); deterministic."""
    dice = random.Random(822)
    yield "empty", b""
    yield "only an empty line", b"\r\n"
    yield "no headers", b"this is no header\r\nnor this\r\n"
    yield "headers only", HEADERS % (b"x", b"1")
    yield "headers and empty line", HEADERS % (b"x", b"2") + b"\r\n"
    yield "dots", HEADERS % (b"dots", b"3") + b"\r\n.\x20\r\n..\r\n...\r\n.x\r\n"
    yield "NULs", HEADERS % (b"nul", b"4") + b"\r\na\0b\0\0c\r\n"
    yield "bare CR", HEADERS % (b"cr", b"5") + b"\r\na\rb\r\r\n"
    yield "8-bit", HEADERS % (b"8-bit", b"6") + b"Content-Transfer-Encoding: 8bit\r\n\r\n" + bytes(c for c in range(1, 256) if c not in (10, 13)) + b"\r\n"
    yield "folded", b"X-Long: one\r\n\ttwo\r\n  three\r\nSubject:\r\n folded\r\n" + HEADERS % (b"f", b"7") + b"\r\nbody\r\n"
    yield "header without space", b"A:b\r\nSubject:none\r\n\r\nbody\r\n"
    yield "body that looks like headers", HEADERS % (b"h", b"8") + b"\r\nSubject: not a header\r\nX: y\r\n\r\nz\r\n"
    yield "long line", HEADERS % (b"long", b"9") + b"\r\n" + b"x" * 990 + b"\r\n"
    yield "many headers", b"".join(b"X-H%d: %d\r\n" % (i, i) for i in range(500)) + HEADERS % (b"m", b"10") + b"\r\nbody\r\n"
    yield "64 KiB", HEADERS % (b"64k", b"11") + b"\r\n" + b"0123456789abcdef" * 4 * 1024 + b"\r\n"
    for size in (1000, 65000, 65535, 65536, 65537, 200000, 1000000):
        yield f"size {size}", HEADERS % (b"s", b"s%d" % size) + b"\r\n" + b"".join(b"%070d\r\n" % i for i in range(size // 72))
    yield "multipart", (HEADERS % (b"mime", b"12") + b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\npreamble\r\n'
                        b"--b\r\n\r\npart\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: nested\r\n\r\nx\r\n--b--\r\nepilogue\r\n")
    number = 0
    while True:
        number += 1
        lines = [bytes(dice.choices(range(32, 127), k=dice.randrange(0, 200))) for _ in range(dice.randrange(0, 60))]
        yield f"random {number}", HEADERS % (b"random", b"r%d" % number) + b"\r\n" + b"".join(line + b"\r\n" for line in lines)


def without_trace(content):
    """The content without the Received header that the server put in front."""
    assert content.startswith(b"Received: "), content[:200]
    lines = content.split(b"\r\n")
    first = next(i for i, line in enumerate(lines[1:], 1) if not line.startswith((b" ", b"\t")))
    return b"\r\n".join(lines[first:])


def expected(sent):
    """What the next hop gets after the Received header. A message without any header gets the empty line that separates it from its body."""
    head = sent.split(b"\r\n")[0]
    if sent and not (b":" in head and not head.startswith((b" ", b":"))) and not sent.startswith(b"\r\n"):
        return b"\r\n" + sent
    return sent


def test_a_hundred_varied_messages_arrive_unchanged(instance):
    with Sink() as sink:
        mail = instance(main={"relayhost": f"[127.0.0.1]:{sink.port}", "message_size_limit": "40000000",
                              "local_header_rewrite_clients": "",        # as for a remote client: nothing is added
                              "smtp_line_length_limit": "0",             # long lines are not divided
                              "cleanup_replace_stray_cr_lf": "no"})      # and a bare CR is none of our business
        sent = {}
        source = varied_messages()
        for _ in range(100):
            name, content = next(source)
            sent[name] = (content, mail.send_raw(content))
        wait_until(lambda: len(sink.messages) >= len(sent), 60, lambda: f"{len(sink.messages)} of {len(sent)}\n{mail.log_tail()}")
        by_id = {}
        for message in sink.messages:
            queue_id = message.content.split(b" id ", 1)[1].split(b"\r\n")[0].split(b";")[0].decode()
            by_id[queue_id] = message
        for name, (content, queue_id) in sent.items():
            assert without_trace(by_id[queue_id].content) == expected(content), name


def test_25_megabytes_arrive_unchanged(instance):
    with Sink() as sink:
        mail = instance(main={"relayhost": f"[127.0.0.1]:{sink.port}", "message_size_limit": "40000000"})
        content = HEADERS % (b"big", b"big") + b"\r\n" + b"".join(b"%078d\r\n" % i for i in range(25_000_000 // 80))
        mail.send_raw(content)
        wait_until(lambda: sink.messages, 120)
        assert without_trace(sink.messages[0].content) == content


def test_a_thousand_recipients_get_one_message(instance):
    with Sink() as sink:
        mail = instance(main={"relayhost": f"[127.0.0.1]:{sink.port}"})
        recipients = [f"user{i}@example.com" for i in range(1000)]
        mail.send("Subject: many\r\n\r\nbody\r\n", recipients=recipients)
        wait_until(lambda: sum(len(m.recipients) for m in sink.messages) >= 1000, 60, mail.log_tail)
        arrived = [r.strip("<>").split(">")[0] for m in sink.messages for r in m.recipients]
        assert sorted(arrived) == sorted(recipients)
        assert all(len(m.recipients) <= 50 for m in sink.messages)      # default_destination_recipient_limit
        mail.wait_empty()


def test_an_internationalised_message_keeps_its_addresses_and_headers(instance):
    with Sink() as sink:
        mail = instance(main={"relayhost": f"[127.0.0.1]:{sink.port}"})
        with socket.create_connection((mail.address, mail.smtp_port), timeout=30) as raw:
            stream = raw.makefile("rwb")

            def say(line, code):
                stream.write(line + b"\r\n")
                stream.flush()
                while True:
                    reply = stream.readline()
                    if reply[3:4] != b"-":
                        break
                assert reply.startswith(code), (line, reply)
            assert stream.readline().startswith(b"220")
            say(b"EHLO client.example.net", b"250")
            say("MAIL FROM:<jürgen@example.net> SMTPUTF8 BODY=8BITMIME".encode(), b"250")
            say("RCPT TO:<用户@example.com>".encode(), b"250")
            say(b"DATA", b"354")
            say("Subject: Grüße\r\n\r\nschön\r\n.".encode(), b"250")
            say(b"QUIT", b"221")
        wait_until(lambda: sink.messages, 30, mail.log_tail)
        message = sink.messages[0]
        assert "Subject: Grüße\r\n".encode() in message.content
        assert any("MAIL FROM" in line and "SMTPUTF8" in line for line in sink.commands)
        assert b"UTF8SMTP" in message.content
