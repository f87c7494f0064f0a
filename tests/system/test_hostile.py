# SPDX-License-Identifier: ISC
"""Hostile clients of the SMTP server: whatever they send, memory, descriptors and time stay bounded, others are served, and the daemon lives.

POSTROAD_HOSTILE=long (make hostile) runs the same attacks ten times as long.
"""

import contextlib
import socket
import struct
import threading

import pytest

from dns_server import DnsServer
from instance import PATIENCE, Instance, wait_until
from sink import Sink
from toll import LONG, Toll, cpu_seconds, kib

MUCH = 10 if LONG else 1


@pytest.fixture(scope="module")
def mail():
    """One server for all: what an attack leaves behind would show in the next one. All sessions share one process."""
    with Sink(extensions=("PIPELINING", "SIZE 100000000", "DSN")) as sink:
        one = Instance(main={
            "relayhost": f"[127.0.0.1]:{sink.port}", "worker_processes": "1", "smtpd_error_sleep_time": "0",
            "smtpd_client_connection_count_limit": "50", "smtpd_client_event_limit_exceptions": "127.0.0.77",
            "smtpd_helo_required": "no", "smtpd_forbid_unauth_pipelining": "no",
            "smtpd_helo_restrictions": "check_helo_access pcre:{{/^(a+)+$$/ REJECT}}",
            "header_checks": "pcre:{{/^X-Bomb: (x+x+)+y/ REJECT}} regexp:{{/^Subject: (y+y+)+z/ REJECT}}",
            "nested_header_checks": "pcre:{{/^nothing like this$$/ REJECT}}",
            "mime_header_checks": "pcre:{{/^nothing like this$$/ REJECT}}",
        })
        one.sink = sink
        one.start()
        one.send("Subject: warm\r\n\r\nup\r\n", recipients=["warm@example.com"])       # every daemon has started
        wait_until(lambda: sink.messages, 30, one.log_tail)
        yield one
        one.close()


class Attacker:
    """A connection that can send without listening. Its thread reads replies and counts them, unless it is deaf.

    Who goes on sending when the server hangs up is reset, and may lose the last replies with the connection: the log has the server's reason.
    """

    def __init__(self, mail, source="127.0.0.66", deaf=False):
        self.socket = socket.create_connection((mail.address, mail.smtp_port), timeout=30 * PATIENCE, source_address=(source, 0))
        self.replies, self.last, self.closed = 0, b"", False
        self.codes = {}
        self.reader = None
        if not deaf:
            self.reader = threading.Thread(target=self._read, daemon=True)
            self.reader.start()

    def _read(self):
        rest = b""
        with contextlib.suppress(OSError):
            while part := self.socket.recv(65536):
                *lines, rest = (rest + part).split(b"\r\n")
                for line in lines:
                    if line[3:4] != b"-":
                        self.replies += 1
                        self.last = line
                        self.codes[line[:3]] = self.codes.get(line[:3], 0) + 1
        self.closed = True

    def send(self, data):
        """False: the server has hung up, which is one right answer."""
        try:
            self.socket.sendall(data)
            return True
        except OSError:
            return False

    def send_many(self, piece, times):
        return all(self.send(piece) for _ in range(times))

    def wait_replies(self, count, timeout=60):
        wait_until(lambda: self.replies >= count or self.closed, timeout, lambda: f"{self.replies} of {count} replies: {self.codes}")

    def wait_closed(self, timeout=60):
        wait_until(lambda: self.closed, timeout, lambda: f"still open after {self.codes}")

    def close(self):
        self.socket.close()
        if self.reader:
            self.reader.join(10)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.close()


# ---- floods in one session ----

def test_a_line_without_end_is_cut_off(mail):
    with Toll(mail, "smtpd") as toll, Attacker(mail) as one:
        went_on = one.send_many(b"x" * (1 << 20), 256 * MUCH)
        if went_on:
            one.send(b"\r\n")
        one.wait_closed()
        assert not went_on and one.codes.get(b"500", 1) == 1, one.codes
    toll.check(most_mib=4)


def test_a_million_noops_end_the_session(mail):
    with Toll(mail, "smtpd") as toll, Attacker(mail) as one:
        one.send_many(b"NOOP\r\n" * 10000, 100)
        one.wait_closed()
        assert one.replies < 1000, (one.codes, one.last)
        mail.wait_for_log(r"too many errors after NOOP from \S+\[127.0.0.66\]")
    toll.check(most_mib=4)


def test_who_sends_a_flood_and_reads_no_reply_is_not_read_either(mail):
    with Toll(mail, "smtpd") as toll:
        sent = 0
        with contextlib.ExitStack() as stack:
            deaf = [stack.enter_context(Attacker(mail, deaf=True)) for _ in range(20)]
            for one in deaf:
                one.socket.setblocking(False)
                with contextlib.suppress(BlockingIOError, ConnectionResetError, BrokenPipeError):
                    one.socket.send(b"EHLO client.example\r\n")
                    for _ in range(2000):
                        sent += one.socket.send(b"MAIL FROM:<a@example.net>\r\nRSET\r\n" * 200)
        assert sent < 20 * (16 << 20)
    toll.check(most_mib=8)


def test_a_hundred_thousand_recipients_end_the_session(mail):
    with Toll(mail, "smtpd") as toll, Attacker(mail) as one:
        one.send(b"EHLO client.example\r\nMAIL FROM:<a@example.net>\r\n")
        for number in range(100):
            if not one.send(b"".join(b"RCPT TO:<user%d-%d@example.com>\r\n" % (number, n) for n in range(1000))):
                break
        one.wait_closed()
        assert one.codes[b"250"] <= 1000 + 2 and one.codes.get(b"452", 0) < 1200, one.codes
        mail.wait_for_log(r"too many errors after RCPT from \S+\[127.0.0.66\]")
    toll.check(most_mib=8)


def test_tiny_chunks_by_the_hundred_thousand(mail):
    with Toll(mail, "smtpd", "cleanup") as toll, Attacker(mail) as one:
        one.send(b"EHLO client.example\r\nMAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.com>\r\n")
        count = 10000 * MUCH
        for _ in range(10):
            one.send(b"BDAT 1\r\nx" * count)
        one.wait_replies(3 + 10 * count, 120)
        assert one.codes[b"250"] == 3 + 10 * count, one.codes
    toll.check(most_mib=8)


@pytest.mark.parametrize("start, name", [
    (b"BDAT 9223372036854775807\r\n", "without a transaction"),
    (b"MAIL FROM:<a@example.net>\r\nBDAT 9223372036854775807 LAST\r\n", "without a recipient"),
    (b"MAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.com>\r\nBDAT 9223372036854775807\r\n", "above the limit"),
])
def test_a_refused_chunk_is_not_read_for_ever(mail, start, name):
    with Toll(mail, "smtpd", "cleanup") as toll, Attacker(mail) as one:
        one.send(b"EHLO client.example\r\n" + start)
        assert not one.send_many(b"y" * (1 << 20), 400), "the server reads on and on"
        one.wait_closed()
    toll.check(most_mib=4)


def test_content_far_above_the_limit_is_not_read_for_ever(mail):
    with Toll(mail, "smtpd", "cleanup") as toll, Attacker(mail) as one:
        one.send(b"EHLO client.example\r\nMAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n")
        one.wait_replies(5)
        assert not one.send_many(b"z" * 998 + b"\r\n" * 1, 400 << 10), "the server reads on and on"
        one.wait_closed()
    toll.check(most_mib=8)


HUGE = {
    "a path": b"MAIL FROM:<" + b"a" * 1900 + b"@example.net>\r\n",
    "comments": b"MAIL FROM:<" + b"(" * 1900 + b"a@example.net>\r\n",
    "quotes": b"RCPT TO:<" + b'"\\"' * 600 + b"@example.net>\r\n",
    "a route": b"RCPT TO:<" + b"@a," * 600 + b"@b:c@example.com>\r\n",
    "an envelope id": b"MAIL FROM:<a@example.net> ENVID=" + b"+41" * 600 + b"\r\n",
    "an original recipient": b"MAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.com> ORCPT=rfc822;" + b"+2B" * 600 + b"\r\nRSET\r\n",
    "notify": b"MAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.com> NOTIFY=" + b"SUCCESS," * 200 + b"\r\nRSET\r\n",
    "many parameters": b"MAIL FROM:<a@example.net>" + b" SIZE=1" * 250 + b"\r\n",
    "a hello name": b"EHLO " + b"a." * 1000 + b"\r\n",
    "a hello name that a pattern loves": b"HELO " + b"a" * 2000 + b"!\r\nMAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.com>\r\nRSET\r\n",
    "verify": b"VRFY <" + b"<" * 1900 + b"\r\n",
    "etrn": b"ETRN " + b"@" * 1900 + b"\r\n",
    "a verb": b"\xff" * 2000 + b"\r\n",
    "nothing but blanks": b" \t" * 1000 + b"\r\n",
}


@pytest.mark.parametrize("name", HUGE)
def test_huge_arguments_cost_nothing(mail, name):
    with Toll(mail, "smtpd") as toll, Attacker(mail) as one:
        one.send(b"EHLO client.example\r\n")
        for _ in range(30 * MUCH):
            if not one.send(HUGE[name]):
                break
        one.send(b"QUIT\r\n")
        one.wait_closed()
    toll.check(most_mib=6)


# ---- connections ----

def test_thousands_of_connections_from_one_client_leave_room_for_others(mail):
    """Beyond its limit a client hears 421; it may come again as often as it likes."""
    with Toll(mail, "smtpd") as toll:
        with contextlib.ExitStack() as stack:
            held = [stack.enter_context(socket.create_connection((mail.address, mail.smtp_port), source_address=("127.0.0.65", 0)))
                    for _ in range(50)]
            for one in held:
                one.settimeout(30 * PATIENCE)
                assert one.recv(100).startswith(b"220 ")
            refused = 0
            for _ in range(1000 * MUCH):
                with socket.create_connection((mail.address, mail.smtp_port), source_address=("127.0.0.65", 0)) as more:
                    more.settimeout(30 * PATIENCE)
                    refused += more.recv(100).startswith(b"421 4.7.0 ")
            assert refused == 1000 * MUCH
    toll.check(most_mib=8)


def test_connections_that_are_reset_at_once_leave_nothing(mail):
    with Toll(mail, "smtpd") as toll:
        for number in range(2000 * MUCH):
            one = socket.create_connection((mail.address, mail.smtp_port), source_address=("127.0.0.64", 0))
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if number % 2:
                one.send(b"EHLO client.example\r\nMAIL FROM:<a@example.net>\r\nDATA\r\n"[:number % 70])
            one.close()
    toll.check(most_mib=8)


def test_slow_clients_hold_nobody_up(mail):
    """Forty sessions in all stages that drip, one that stops in the middle of its message."""
    stages = [b"", b"EH", b"EHLO client.example\r\nMAIL FROM:<a@exam", b"EHLO client.example\r\nMAIL FROM:<a@example.net>\r\nRCPT TO:<b@ex",
              b"EHLO c.example\r\nMAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.com>\r\nDATA\r\nSubject: x\r\n\r\nbo",
              b"EHLO c.example\r\nMAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.com>\r\nBDAT 100000\r\nSubject"]
    with Toll(mail, "smtpd", "cleanup") as toll, contextlib.ExitStack() as stack:
        slow = [stack.enter_context(Attacker(mail, source="127.0.0.63")) for _ in range(40)]
        for number, one in enumerate(slow):
            one.send(stages[number % len(stages)])
        for _ in range(10 * MUCH):
            for one in slow:
                one.send(b"x")
            mail.send("Subject: meanwhile\r\n\r\nx\r\n", recipients=["meanwhile@example.com"])
    toll.check(most_mib=8)


# ---- messages ----

def submit(mail, content, wait=60):
    """The reply to the content, or None: the connection was closed."""
    with Attacker(mail) as one:
        one.send(b"EHLO client.example\r\nMAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n")
        one.wait_replies(5)                     # the greeting, and four
        one.send(content + b"\r\n.\r\n")
        one.wait_replies(6, wait)
        return one.last if one.replies >= 6 else None


def nested(depth, boundary=b"b"):
    text = b"MIME-Version: 1.0\r\n"
    for level in range(depth):
        text += b'Content-Type: multipart/mixed; boundary="%s%d"\r\n\r\n--%s%d\r\n' % (boundary, level, boundary, level)
    return text + b"Content-Type: text/plain; charset=utf-8\r\n\r\ndeep \xc3\xa4\r\n"


BOMBS = {       # content, codes that are right
    "500,000 headers": (b"a: b\r\n" * 500_000, b"552 5.3.4"),
    "a header of a megabyte": (b"Subject: " + b"x" * 900_000 + b"\r\n\r\nx\r\n", b"2"),
    "one folded header of 100,000 lines": (b"Subject: x\r\n" + b" y\r\n" * 100_000 + b"\r\nx\r\n", b"2"),
    "only header names": (b":\r\n" * 100_000 + b"\r\nx\r\n", b"2"),
    "100,000 addresses": (b"To: " + b"a@b.example,\r\n " * 100_000 + b"c@d.example\r\n\r\nx\r\n", b"2"),
    "deep comments": (b"From: " + b"(" * 500_000 + b"\r\n\r\nx\r\n", b"2"),
    "10,000 levels": (nested(10_000), b"550 5.6.0"),       # there are checks, and they could not look into all of them
    "parameters": (b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed" + b"; a=b" * 100_000 + b"; boundary=x\r\n\r\n--x\r\n", b"2"),
    "encoded parameters": (b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed;\r\n" +
                           b"".join(b" boundary*%d*=%%41;\r\n" % n for n in range(20_000)) + b" x=y\r\n\r\n--A\r\n\xc3\xa4\r\n", b"2"),
    "boundaries": (nested(20) + b"--b0\r\nContent-Type: multipart/mixed; boundary=b1\r\n\r\n" * 20_000, b"2"),
    "a line of 5 megabytes": (b"Subject: x\r\n\r\n" + b"\xc3\xa4" * 2_500_000 + b"\r\n", b"2"),
    "two million empty lines": (b"Subject: x\r\n\r\n" + b"\r\n" * 2_000_000, b"2"),
    "dots": (b"Subject: x\r\n\r\n" + b"..\r\n" * 1_000_000, b"2"),
    "a hundred hops": (b"Received: from x by y; z\r\n" * 100 + b"\r\nx\r\n", b"554 5.4.0"),
    "a header that a pattern loves": (b"X-Bomb: " + b"x" * 50_000 + b"\r\n\r\nx\r\n", b"451 4.3.0"),
    "a header that a pattern of the C library loves": (b"Subject: " + b"y" * 90_000 + b"\r\n\r\nx\r\n", b"2"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_message_bombs_are_stored_or_refused(mail, name):
    content, right = BOMBS[name]
    spent = {program: sum(map(cpu_seconds, mail.pids(program))) for program in ("smtpd", "cleanup", "smtp")}
    with Toll(mail, "smtpd", "cleanup", "qmgr") as toll:
        reply = submit(mail, content)
        wait_until(lambda: not mail.queue_files(), 60, mail.log_tail)
    assert reply is not None and reply.startswith(right), reply
    toll.check(most_mib=16)
    for program, before in spent.items():
        used = sum(map(cpu_seconds, mail.pids(program))) - before
        assert used < 4 * PATIENCE, f"{program} worked {used:.1f} s"


def test_what_fifty_clients_can_make_cleanup_hold(mail):
    """Headers are kept until their end is seen: two megabytes a message at most, and a client has so many sessions."""
    with Toll(mail, "smtpd", "cleanup") as toll, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Attacker(mail, source=f"127.0.1.{number}")) for number in range(50)]
        for one in clients:
            one.send(b"EHLO client.example\r\nMAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n")
            one.wait_replies(5)
            one.send(b"X-Long: %s\r\n" % (b"x" * 90) * 19_000)
        held = wait_until(lambda: sum(kib(pid, "VmRSS") - toll.held[pid] for pid in mail.pids("cleanup")) > 50 << 10, 30, "cleanup holds it")
        assert held
    toll.check(most_mib=50 * 5, left_mib=16)


def test_servers_with_thousands_of_addresses_end_no_process(instance):
    """Who says MAIL decides how many there are. Nor does trouble with the AAAA half of a name pass for an answer about the A half."""
    with DnsServer() as dns:
        dns.ptr("127.0.0.5", "half.example")
        dns.add("half.example", "AAAA", "2001:db8::1")
        dns.fail("half.example", "SERVFAIL", "A")
        dns.add("many.example", "MX", *[f"10 mx{i}.many.example" for i in range(6)])
        for i in range(6):
            dns.add(f"mx{i}.many.example", "A", *[f"10.{i}.{j // 250}.{j % 250}" for j in range(1000)])
            dns.add(f"mx{i}.many.example", "AAAA", *[f"2001:db8:1111:2222:3333:4444:{i + 1:x}:{j + 1:x}" for j in range(1000)])
        one = instance(main={
            "dns_resolver_addresses": dns.at, "inet_protocols": "all", "mynetworks": "", "relay_domains": "relay.example", "relay_transport": "discard",
            "smtpd_sender_restrictions": ", ".join(f"check_sender_mx_access inline:{{{{{i}.example = REJECT}}}}" for i in range(20)),
            "smtpd_client_restrictions": "reject_unknown_client_hostname", "unknown_client_reject_code": "550"})
        for source, answer in (("127.0.0.1", 250), ("127.0.0.5", 450)):
            with one.client(source_address=(source, 0)) as client:
                client.ehlo()
                client.mail("a@many.example")
                assert client.rcpt("b@relay.example")[0] == answer
    assert not one.log_lines("killed by signal|unable to look up")
