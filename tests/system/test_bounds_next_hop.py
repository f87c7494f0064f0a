# SPDX-License-Identifier: ISC
"""Hostile next hops and name servers: mail for them waits or comes back, other mail goes, and nobody's memory grows."""

import contextlib
import re
import socket
import struct
import threading

import pytest

from dns_server import DnsServer
from instance import PATIENCE, free_port, wait_until
from sink import Sink
from toll import Toll

BODY = "Subject: x\r\n\r\n" + "body\r\n" * 10


class Fiend:
    """A server that does to each client what `behave(connection)` does."""

    def __init__(self, behave):
        self.behave = behave
        self.port = free_port()
        self.ended = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", self.port))
        self.listener.settimeout(0.2)
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        while not self.ended.is_set():
            with contextlib.suppress(OSError):
                connection, _ = self.listener.accept()
                connection.settimeout(20)
                threading.Thread(target=self._run, args=(connection,), daemon=True).start()

    def _run(self, connection):
        with connection, contextlib.suppress(OSError):
            self.behave(connection, self.ended)

    def close(self):
        self.ended.set()
        self.thread.join()
        self.listener.close()


def command(connection):
    """Reads a command line, slowly but surely."""
    line = b""
    while not line.endswith(b"\n"):
        part = connection.recv(1)
        if not part:
            raise OSError("the client has gone")
        line += part
    return line


def greet(connection, extensions=b"250 PIPELINING\r\n"):
    connection.sendall(b"220 fiend.example ESMTP\r\n")
    command(connection)
    connection.sendall(b"250-fiend.example\r\n" + extensions)


def until_data(connection):
    greet(connection)
    while not (line := command(connection)).upper().startswith(b"DATA"):
        connection.sendall(b"250 2.0.0 Ok\r\n")
    return line


# The behaviours. Each runs until the client has had enough.

def never_greets(connection, ended):
    ended.wait(60)


def hangs_up(connection, ended):
    pass


def resets(connection, ended):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def drips(connection, ended):
    for byte in b"220-" + b"x" * 100_000:
        connection.sendall(bytes([byte]))
        if ended.wait(0.1):
            return


def greets_for_ever(connection, ended):
    while not ended.is_set():
        connection.sendall(b"220-and\r\n" * 1000)


def greets_without_line_end(connection, ended):
    while not ended.is_set():
        connection.sendall(b"2" * 65536)


def sends_zeros(connection, ended):
    while not ended.is_set():
        connection.sendall(b"\0" * 65536)


def sends_garbage(connection, ended):
    while not ended.is_set():
        connection.sendall(bytes(range(256)) * 100 + b"\r\n")


def has_a_hundred_thousand_extensions(connection, ended):
    greet(connection, b"".join(b"250-X%d\r\n" % number for number in range(100_000)) + b"250 SIZE\r\n")
    command(connection)
    ended.wait(60)


def has_a_huge_extension(connection, ended):
    greet(connection, b"250-SIZE " + b"9" * 1_000_000 + b"\r\n250 DSN\r\n")
    command(connection)
    ended.wait(60)


def has_odd_extensions(connection, ended):
    """Not hostile enough to refuse: mail is delivered."""
    greet(connection, b"250-SIZE 99999999999999999999999\r\n250-SIZE -1\r\n250-PIPELINING PIPELINING\r\n250-\xff\xfe\r\n250-\r\n250 DSN x y z\r\n")
    while line := command(connection):
        connection.sendall(b"354 go\r\n" if line.startswith(b"DATA") else b"250 2.0.0 Ok\r\n")
        if line.startswith(b"DATA"):
            while command(connection) != b".\r\n":
                pass
            connection.sendall(b"250 2.0.0 fine\r\n")


def answers_with_odd_codes(connection, ended):
    greet(connection)
    while command(connection):
        connection.sendall(b"999 what\r\n")


def answers_before_it_is_asked(connection, ended):
    greet(connection)
    connection.sendall(b"450 4.0.0 no\r\n" * 1_000_000)
    while command(connection):
        pass


def explains_at_length(connection, ended):
    greet(connection)
    while command(connection):
        connection.sendall(b"".join(b"450-4.0.0 %d %s\r\n" % (number, b"w" * 500) for number in range(10_000)) + b"450 4.0.0 so no\r\n")


def refuses_with_control_characters(connection, ended):
    greet(connection)
    while command(connection):
        connection.sendall(b"450 4.0.0 \x1b[2Jgone\x07\x9b\xe2\x80\xa8\r\n")


def takes_no_content(connection, ended):
    until_data(connection)
    connection.sendall(b"354 go on\r\n")
    ended.wait(60)


def floods_during_content(connection, ended):
    until_data(connection)
    connection.sendall(b"354 go on\r\n")
    while not ended.is_set():
        connection.sendall(b"250-wait\r\n" * 1000)


def accepts_at_snails_pace(connection, ended):
    until_data(connection)
    connection.sendall(b"354 go on\r\n")
    while connection.recv(1):
        if ended.wait(0.01):
            return


FIENDS = [never_greets, hangs_up, resets, drips, greets_for_ever, greets_without_line_end, sends_zeros, sends_garbage,
          has_a_hundred_thousand_extensions, has_a_huge_extension, has_odd_extensions, answers_with_odd_codes, answers_before_it_is_asked,
          explains_at_length, refuses_with_control_characters, takes_no_content, floods_during_content, accepts_at_snails_pace]
LIMITS = {f"smtp_{what}_timeout": f"{8 * PATIENCE}s" for what in ("helo", "mail", "rcpt", "data_init", "data_xfer", "data_done", "quit", "rset")}


def test_hostile_servers_cost_a_deferral_each_and_nobody_else_waits(instance):
    """All of them at once, in one process that also serves a good one."""
    with contextlib.ExitStack() as stack:
        fiends = {behave.__name__: Fiend(behave) for behave in FIENDS}
        for one in fiends.values():
            stack.callback(one.close)
        sink = stack.enter_context(Sink())
        routes = " ".join(f"{{{name.replace('_', '-')}.example = smtp:[127.0.0.1]:{one.port}}}" for name, one in fiends.items())
        mail = instance(main={"transport_maps": f"inline:{{{routes}}}", "relayhost": f"[127.0.0.1]:{sink.port}", "worker_processes": "1",
                              "smtp_per_request_deadline": "yes", "minimal_backoff_time": "1000s", "queue_run_delay": "1000s",
                              "message_size_limit": "50000000", **LIMITS})
        mail.send("Subject: warm\r\n\r\nup\r\n", recipients=["warm@example.com"])
        wait_until(lambda: sink.messages, 30, mail.log_tail)
        with Toll(mail, "smtp", "qmgr") as toll:
            for name in fiends:
                big = name in ("takes_no_content", "accepts_at_snails_pace", "floods_during_content")
                mail.send(BODY if not big else "Subject: big\r\n\r\n" + ("x" * 70 + "\r\n") * 150_000,
                          recipients=[f"user@{name.replace('_', '-')}.example"])
            for number in range(20):
                mail.send(BODY, recipients=[f"good{number}@example.com"])
            wait_until(lambda: len(sink.messages) == 21, 30, mail.log_tail)
            for name in fiends:
                right = "sent" if name == "has_odd_extensions" else "deferred"
                mail.wait_for_log(rf"to=<user@{name.replace('_', '-')}.example>, .*status={right} \(", timeout=60)
        toll.check(most_mib=16)
        log = mail.maillog.read_bytes()
        assert not re.search(rb"[\x00-\x08\x0b-\x1f\x7f]", log), "control characters reached the log"
        assert max(map(len, log.splitlines())) < 10_000


# ---- DNS ----

def test_names_of_hostile_zones_cost_a_deferral_or_a_bounce_and_no_memory(instance):
    with DnsServer() as dns, Sink(address="127.0.0.2", port=free_port("127.0.0.2")) as sink:
        dns.host("good.example", "127.0.0.2")
        zones = {
            "loop": lambda name: (dns.add(name, "CNAME", f"a.{name}"), dns.add(f"a.{name}", "CNAME", name)),
            "chain": lambda name: [dns.add(f"c{number}.{name}" if number else name, "CNAME", f"c{number + 1}.{name}") for number in range(30)],
            "garbage": lambda name: dns.fail(name, "GARBAGE"),
            "short": lambda name: dns.add(name, "MX", b"", b"\0", b"\0\0", b"\0\x0a\x3fabc"),
            "backwards": lambda name: dns.add(name, "MX", b"\0\x0a\xc0\xff", b"\0\x0a\xc0\x0c"),
            "controls": lambda name: dns.add(name, "MX", b"\0\x0a\x05a\nb\0c\x00", b"\0\x0a\x03a b\x00"),
            "address": lambda name: dns.add(name, "A", b"\x7f", b"\x7f\0\0\x01\x01"),
            "exchangers": lambda name: dns.add(name, "MX", *(f"10 e{number}.{name}" for number in range(1500))),
            "texts": lambda name: dns.add(name, "TXT", *("x" * 60000,)),
            "crowd": lambda name: (dns.add(name, "MX", *(f"10 e{number}.{name}" for number in range(100))),
                                   dns.add(f"*.{name}", "A", *(f"192.0.2.{n % 256}" for n in range(250)), *(b"\xc0\0\x02" + bytes([n])
                                                                                                           for n in range(250)))),
            "slow": lambda name: dns.delay(name, 30),
        }
        for name, prepare in zones.items():
            prepare(f"{name}.example")
        mail = instance(main={"dns_resolver_addresses": dns.at, "smtp_tcp_port": sink.port, "worker_processes": "1", "dns_resolver_time_limit": f"{3 * PATIENCE}s",
                              "smtp_connect_timeout": "1s", "smtp_mx_address_limit": "2", "smtp_mx_session_limit": "2",
                              "minimal_backoff_time": "1000s", "queue_run_delay": "1000s"})
        mail.send(BODY, recipients=["warm@good.example"])
        wait_until(lambda: sink.messages, 30, mail.log_tail)
        with Toll(mail, "resolver", "smtp", "qmgr", "smtpd") as toll:
            for name in zones:
                mail.send(BODY, recipients=[f"user@{name}.example"])
            mail.send(BODY, recipients=["user@good.example"])
            wait_until(lambda: len(sink.messages) >= 2, 30, mail.log_tail)
            for name in zones:
                mail.wait_for_log(rf"to=<user@{name}.example>, .*status=(deferred|bounced) \(", timeout=60)
        toll.check(most_mib=64, left_mib=48)            # libunbound's cache among it
        assert not re.search(rb"[\x00-\x08\x0b-\x1f\x7f]", mail.maillog.read_bytes())


@pytest.mark.parametrize("name", [b"\x05a\nb\0c", b"\x03\xff\xfe\xfd", b"\x0c127.0.0.1.in"])
def test_a_client_whose_name_is_hostile_is_unknown(instance, name):
    with DnsServer() as dns:
        dns.add("66.0.0.127.in-addr.arpa", "PTR", name + b"\x07example\0")
        mail = instance(main={"dns_resolver_addresses": dns.at, "smtpd_peername_lookup": "yes", "dns_hosts_file": ""})
        with socket.create_connection((mail.address, mail.smtp_port), source_address=("127.0.0.66", 0)) as client:
            client.settimeout(30 * PATIENCE)
            assert client.recv(1000).startswith(b"220 ")
        mail.wait_for_log(r"disconnect from unknown\[127.0.0.66\]")
        assert not re.search(rb"[\x00-\x08\x0b-\x1f\x7f]", mail.maillog.read_bytes())
