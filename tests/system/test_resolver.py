# SPDX-License-Identifier: ISC
"""The resolver service against a name server whose answers the test sets."""

import os
import signal
import socket
import struct
import time

import pytest

from dns_server import TYPES, DnsServer, name_bytes
from dnssec import Signer
from foreground import Foreground
from frames import Peer
from instance import PATIENCE, free_port, wait_until
from sink import Sink

OK, NO_DOMAIN, NO_DATA, CANNOT_TELL, BOGUS, BAD_NAME = range(6)


@pytest.fixture
def dns():
    with DnsServer() as server:
        yield server


@pytest.fixture
def resolver(dns):
    """resolver(parameter=value) starts the service; it asks `dns`."""
    made = []

    def make(**main):
        main = {"dns_resolver_addresses": dns.at, "dns_hosts_file": "", **main}
        made.append(Foreground("resolver", main))
        return made[-1].start()

    yield make
    for one in made:
        one.close()


class Answer:
    def __init__(self, reply):
        self.status, self.security, self.ttl = (int(reply[name]) for name in ("status", "security", "ttl"))
        self.canonical, self.why = reply["canonical"].decode(), reply["why"].decode()
        self.records, at, raw = [], 0, reply["records"]
        while at < len(raw):
            size = struct.unpack("!H", raw[at:at + 2])[0]
            self.records.append(raw[at + 2:at + 2 + size])
            at += 2 + size


def ask(peer, name, kind):
    return Answer(peer.ask("dns_request", name=name, type=TYPES.get(kind, kind), flags=0))


def test_every_record_type_arrives_as_it_was_sent(dns, resolver):
    dns.add("example.org", "MX", "10 mx.example.org", "20 mx2.example.org")
    dns.add("example.org", "TXT", '"v=spf1" " -all"')
    dns.host("mx.example.org", "127.0.0.7", "2001:db8::7")
    dns.add("_25._tcp.mx.example.org", "TLSA", "3 1 1 " + "ab" * 32)
    dns.add("alias.example.org", "CNAME", "mx.example.org")
    dns.add("_s._tcp.example.org", "SRV", "1 2 25 mx.example.org")
    with Peer(resolver().path) as peer:
        answer = ask(peer, "Example.ORG", "MX")
        assert answer.status == OK and answer.security == 0
        assert sorted(answer.records) == [b"\0\x0a" + name_bytes("mx.example.org"), b"\0\x14" + name_bytes("mx2.example.org")]
        assert ask(peer, "example.org", "TXT").records == [b"\6v=spf1\5 -all"]
        assert ask(peer, "mx.example.org", "A").records == [socket.inet_aton("127.0.0.7")]
        assert ask(peer, "mx.example.org", "AAAA").records == [socket.inet_pton(socket.AF_INET6, "2001:db8::7")]
        assert ask(peer, "7.0.0.127.in-addr.arpa", "PTR").records == [name_bytes("mx.example.org")]
        assert ask(peer, "_25._tcp.mx.example.org", "TLSA").records == [b"\3\1\1" + b"\xab" * 32]
        assert ask(peer, "_s._tcp.example.org", "SRV").records == [b"\0\1\0\2\0\x19" + name_bytes("mx.example.org")]
        answer = ask(peer, "alias.example.org", "A")
        assert answer.records == [socket.inet_aton("127.0.0.7")] and answer.canonical == "mx.example.org"
        assert ask(peer, "alias.example.org", "CNAME").records == [name_bytes("mx.example.org")]


def test_records_come_in_the_order_of_the_name_server(dns, resolver):
    addresses = [f"127.0.0.{number}" for number in (3, 1, 4, 2)]
    dns.add("fixed.example.org", "A", *addresses, ttl=300)
    dns.add("fresh.example.org", "A", *addresses)
    with Peer(resolver().path) as peer:
        for name in ["fixed.example.org", "fresh.example.org"] * 10:
            assert ask(peer, name, "A").records == [socket.inet_aton(address) for address in addresses]


def test_not_there_and_cannot_tell_are_told_apart(dns, resolver):
    dns.add("example.org", "A", "127.0.0.1")
    dns.fail("servfail.example.org", "SERVFAIL")
    dns.fail("refused.example.org", "REFUSED")
    dns.fail("garbage.example.org", "GARBAGE")
    dns.add("loop1.example.org", "CNAME", "loop2.example.org")
    dns.add("loop2.example.org", "CNAME", "loop1.example.org")
    dns.add("short.example.org", "MX", b"\0")
    with Peer(resolver().path) as peer:
        assert ask(peer, "nowhere.example.org", "MX").status == NO_DOMAIN
        assert ask(peer, "example.org", "MX").status == NO_DATA
        assert ask(peer, "org", "MX").status == NO_DATA             # names below it exist
        for name in ("servfail", "refused", "garbage", "loop1"):
            assert ask(peer, f"{name}.example.org", "A").status == CANNOT_TELL, name
        assert ask(peer, "short.example.org", "MX").status == CANNOT_TELL
        for name in ("", ".", "a..b", "a b", "x" * 64 + ".org", "[127.0.0.1]", "a\x00b"):
            assert ask(peer, name, "A").status == BAD_NAME, name
        assert ask(peer, "example.org", 0).status == BAD_NAME
        assert ask(peer, "example.org", "A").status == OK           # and it still works


def test_a_silent_name_server_cannot_tell_after_the_time_limit(dns, resolver):
    dns.fail("silent.example.org", "DROP")
    dns.add("example.org", "A", "127.0.0.1")
    with Peer(resolver(dns_resolver_time_limit="3s").path) as peer:      # within which the quick one is answered, however busy the machine
        start = time.monotonic()
        slow = peer.send("dns_request", name="silent.example.org", type=1, flags=0)
        quick = peer.send("dns_request", name="example.org", type=1, flags=0)
        call, _, reply = peer.receive()
        assert call == quick and Answer(reply).status == OK        # nobody waits behind the slow one
        call, _, reply = peer.receive()
        assert call == slow and Answer(reply).status == CANNOT_TELL
        assert Answer(reply).why == "no answer in time"
        assert 2.9 < time.monotonic() - start < 30 * PATIENCE


def test_large_answers_come_over_tcp(dns, resolver):
    dns.add("big.example.org", "TXT", *[f"{number:04}" * 60 for number in range(40)])
    dns.fail("truncated.example.org", "TRUNCATE")
    dns.add("truncated.example.org", "A", "127.0.0.9")
    with Peer(resolver().path) as peer:
        assert len(ask(peer, "big.example.org", "TXT").records) == 40
        assert ask(peer, "truncated.example.org", "A").records == [socket.inet_aton("127.0.0.9")]
    assert ("big.example.org", "TXT", "tcp") in dns.queries


def test_a_thousand_mx_records_are_bounded_not_fatal(dns, resolver):
    dns.add("many.example.org", "MX", *[f"{number} mx{number}.org" for number in range(1500)])
    with Peer(resolver().path) as peer:
        answer = ask(peer, "many.example.org", "MX")
        assert answer.status == OK and len(answer.records) == 1000


def test_many_questions_at_once_over_one_connection(dns, resolver):
    for number in range(500):
        dns.add(f"h{number}.example.org", "A", f"127.1.{number // 250}.{number % 250}")
    with Peer(resolver().path) as peer:
        calls = {peer.send("dns_request", name=f"h{number}.example.org", type=1, flags=0): number for number in range(500)}
        for _ in range(500):
            call, _, reply = peer.receive()
            number = calls.pop(call)
            assert Answer(reply).records == [socket.inet_aton(f"127.1.{number // 250}.{number % 250}")]
    assert not calls


def test_answers_are_cached_for_their_ttl(dns, resolver):
    dns.add("kept.example.org", "A", "127.0.0.1", ttl=300)
    dns.add("fresh.example.org", "A", "127.0.0.1", ttl=0)
    with Peer(resolver().path) as peer:
        assert 290 <= ask(peer, "kept.example.org", "A").ttl <= 300
        for _ in range(3):
            ask(peer, "kept.example.org", "A")
            ask(peer, "fresh.example.org", "A")
    assert dns.count("kept.example.org") < 3 <= dns.count("fresh.example.org")      # who gets no answer for a moment asks twice


def test_a_name_server_that_was_down_is_found_again_soon(resolver):
    first = DnsServer(port=free_port())
    at, port = first.at, first.port
    first.close()
    with Peer(resolver(dns_resolver_addresses=at, dns_resolver_time_limit="5s").path) as peer:
        for number in range(3):
            assert ask(peer, f"n{number}.example.org", "A").status == CANNOT_TELL
        with DnsServer(port=port) as again:
            again.add("*.example.org", "A", "127.0.0.1")
            numbers = iter(range(100, 10000))
            wait_until(lambda: ask(peer, f"n{next(numbers)}.example.org", "A").status == OK, 40, pause=0.1)


def test_the_hosts_file_comes_first_and_is_followed(dns, resolver, tmp_path):
    hosts = tmp_path / "hosts"
    hosts.write_text("# comment\n127.0.0.5 Filed.example.org filed # more\n2001:db8::5\tsix.example.org\nbad line\n")
    dns.add("filed.example.org", "MX", "10 mx.example.org")
    dns.add("filed.example.org", "A", "127.0.0.99")
    with Peer(resolver(dns_hosts_file=hosts).path) as peer:
        assert ask(peer, "filed.example.org", "A").records == [socket.inet_aton("127.0.0.5")]
        assert ask(peer, "filed.example.org", "AAAA").status == NO_DATA
        assert ask(peer, "filed.example.org", "MX").status == OK
        assert ask(peer, "5.0.0.127.in-addr.arpa", "PTR").records == [name_bytes("filed.example.org")]
        assert ask(peer, "localhost", "A").records == [socket.inet_aton("127.0.0.1")]
        assert ask(peer, "1.0.0.127.in-addr.arpa", "PTR").records == [name_bytes("localhost")]
        replacement = tmp_path / "hosts.new"
        replacement.write_text("127.0.0.6 filed.example.org\n")
        replacement.rename(hosts)
        wait_until(lambda: ask(peer, "filed.example.org", "A").records == [socket.inet_aton("127.0.0.6")], 30)
        hosts.unlink()
        wait_until(lambda: ask(peer, "filed.example.org", "A").records == [socket.inet_aton("127.0.0.99")], 30)


def test_resolv_conf_is_followed(dns, resolver, tmp_path):
    resolv = tmp_path / "resolv.conf"
    resolv.write_text("search example.org\nnameserver 127.0.0.41\n")
    service = resolver(dns_resolver_addresses="", dns_resolver_configuration_file=resolv, dns_resolver_time_limit="2s")
    # resolv.conf has no ports: what shows that it was read is the log, and that the old servers' questions still end
    with Peer(service.path) as peer:
        assert ask(peer, "localhost", "A").status == OK         # it listens before it has read the file
        waiting = peer.send("dns_request", name="a.example.org", type=1, flags=0)
        replacement = tmp_path / "resolv.new"
        replacement.write_text("nameserver 127.0.0.42\nnameserver ::1\nnameserver nonsense\n")
        replacement.rename(resolv)
        wait_until(lambda: "name servers are now 127.0.0.42 ::1" in service.log(), 30, service.log)
        call, _, reply = peer.receive()
        assert call == waiting and Answer(reply).status == CANNOT_TELL
    wait_until(lambda: '"nonsense" is not the address of a name server' in service.log(), 30, service.log)


@pytest.mark.parametrize("value, words", [
    ("localhost", "is not the address of a name server"),
    ("127.0.0.1@99999", "is not the address of a name server"),
    ("127.0.0.1:53", "is not the address of a name server"),
])
def test_a_wrong_name_server_address_is_named_at_start(value, words):
    service = Foreground("resolver", {"dns_resolver_addresses": value})
    service.run()
    assert service.process.wait(30) == os.EX_CONFIG
    assert f'dns_resolver_addresses: "{value}" {words}' in service.log()
    service.instance.close()


def test_nonsense_on_the_socket_ends_that_connection_only(resolver):
    service = resolver()
    for rubbish in (os.urandom(200), b"\xff\xff\xff\xff" + b"x" * 100, b"\0\0\0\1x"):
        with Peer(service.path) as peer:
            peer.socket.sendall(rubbish)
            peer.socket.shutdown(socket.SHUT_WR)
            assert peer.is_closed()
    with Peer(service.path) as peer:
        assert ask(peer, "localhost", "A").status == OK


def test_who_goes_away_while_waiting_harms_nobody(dns, resolver):
    dns.fail("silent.example.org", "DROP")
    dns.add("example.org", "A", "127.0.0.1")
    service = resolver(dns_resolver_time_limit="3s")
    for _ in range(20):
        with Peer(service.path) as peer:
            for number in range(5):
                peer.send("dns_request", name="silent.example.org", type=1, flags=0)
    with Peer(service.path) as peer:
        assert ask(peer, "example.org", "A").status == OK
    service.kill(signal.SIGTERM)


def test_validated_unsigned_and_bogus_are_told_apart(dns, resolver, tmp_path):
    signer = Signer(dns, "signed.example", tmp_path)
    anchors = tmp_path / "anchors"
    anchors.write_text(signer.anchor)
    dns.add("mx.signed.example", "A", "127.0.0.7", "127.0.0.8", ttl=60)
    signer.sign("mx.signed.example", "A")
    dns.add("_25._tcp.mx.signed.example", "TLSA", "3 1 1 " + "ab" * 32, ttl=60)
    signer.sign("_25._tcp.mx.signed.example", "TLSA")
    dns.add("alias.signed.example", "CNAME", "mx.signed.example", ttl=60)
    signer.sign("alias.signed.example", "CNAME")
    dns.add("out.signed.example", "CNAME", "plain.example", ttl=60)
    signer.sign("out.signed.example", "CNAME")
    dns.add("forged.signed.example", "A", "127.0.0.9", ttl=60)
    signer.sign("forged.signed.example", "A", forge=True)
    dns.add("expired.signed.example", "A", "127.0.0.9", ttl=60)
    signer.sign("expired.signed.example", "A", expired=True)
    dns.add("stripped.signed.example", "A", "127.0.0.9", ttl=60)
    dns.add("plain.example", "A", "127.0.0.10", ttl=60)
    with Peer(resolver(dns_resolver_trust_anchor_file=anchors).path) as peer:
        for name, kind in (("mx.signed.example", "A"), ("_25._tcp.mx.signed.example", "TLSA"), ("alias.signed.example", "A")):
            answer = ask(peer, name, kind)
            assert (answer.status, answer.security) == (OK, 1), (name, answer.why)
        for name in ("plain.example", "out.signed.example"):
            answer = ask(peer, name, "A")
            assert (answer.status, answer.security) == (OK, 0), name
        for name in ("forged", "expired", "stripped", "nowhere"):        # the last: denied without proof
            answer = ask(peer, f"{name}.signed.example", "A")
            assert answer.status == BOGUS and not answer.records and answer.why, name
    with Peer(resolver().path) as peer:                                   # without trust anchors nothing is validated
        answer = ask(peer, "forged.signed.example", "A")
        assert (answer.status, answer.security) == (OK, 0)


def test_missing_trust_anchors_are_an_error_at_start(tmp_path):
    service = Foreground("resolver", {"dns_resolver_trust_anchor_file": tmp_path / "nothing"})
    service.run()
    assert service.process.wait(30) == os.EX_CONFIG
    assert "nothing: No such file or directory" in service.log()
    service.instance.close()


def test_a_stalled_resolver_defers_mail_and_a_dead_one_is_replaced(instance, dns):
    with Sink(address="127.0.0.5") as sink:
        dns.add("*.example", "MX", "10 mx.example.com")        # a domain for each message: no session is reused
        dns.add("mx.example.com", "A", sink.address)
        mail = instance(main={"dns_resolver_addresses": dns.at, "smtp_tcp_port": sink.port, "resolver_timeout": "6s", "smtpd_peername_lookup": "no"})

        def send(domain):
            return mail.send("Subject: x\r\n\r\nbody\r\n", recipients=[f"someone@{domain}"])

        def arrived(count):
            wait_until(lambda: len(sink.messages) == count, 30, mail.log_tail)

        send("one.example")
        arrived(1)
        mail.kill("resolver", signal.SIGSTOP)
        queue_id = send("two.example")
        mail.wait_for_log(rf"{queue_id}: .*dsn=4\.\d\.\d, status=deferred \(Host or domain name not found. Name service error for "
                          r"name=two.example type=MX: Host not found, try again \(resolver service: Connection timed out\)\)", timeout=30)
        mail.kill("resolver", signal.SIGCONT)
        wait_until(lambda: [entry["queue_name"] for entry in mail.queue_list()] == ["deferred"], 30, mail.log_tail)     # what is being delivered cannot be flushed
        mail.command("postqueue", "-f")
        arrived(2)
        assert mail.kill("resolver") == 1
        send("three.example")
        arrived(3)
        mail.wait_empty()
