# SPDX-License-Identifier: ISC
"""MTA-STS: which policies are fetched, believed, kept and refreshed; web servers that are wrong, slow, big or gone."""

import contextlib
import http.server
import json
import re
import ssl
import threading

import pytest

from certificates import Authority
from dns_server import DnsServer
from frames import Peer
from instance import free_port, wait_until
from mail_hosts import Hosts, opened

NO_POLICY, NONE, TESTING, ENFORCE = range(4)


def policy(mode="enforce", mx=("mx.{0}",), max_age=86400):
    return "version: STSv1\r\nmode: %s\r\n%smax_age: %d\r\n" % (mode, "".join(f"mx: {one}\r\n" for one in mx), max_age)


class PolicyServer:
    """HTTPS for many domains at one address: what answers says for the host, (status, headers, body) or a function of the handler."""

    def __init__(self, authority, wildcard="*.test"):
        self.authority = authority
        self.answers, self.certificates, self.requests = {}, {}, []
        self.port = free_port()
        self.server = None
        self.default = authority.issue("web", name="web.test", names=[f"mta-sts.d{n}.test" for n in range(30)])
        self.start()

    def start(self):
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 60

            def do_GET(self):
                host = self.headers["Host"].partition(":")[0]
                outer.requests.append((host, self.path))
                answer = outer.answers.get(host, (404, {}, "no such host"))
                if callable(answer):
                    self.close_connection = True
                    answer(self)
                    return
                status, headers, body = answer
                body = body.encode() if isinstance(body, str) else body
                self.send_response(status)
                for name, value in {"Content-Type": "text/plain", "Content-Length": len(body), **headers}.items():
                    self.send_header(name, str(value))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *_):
                pass

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*map(str, self.default))
        contexts = {None: context}

        def choose(sock, name, _):
            pair = outer.certificates.get(name)
            if pair is not None and name not in contexts:
                contexts[name] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                contexts[name].load_cert_chain(*map(str, pair))
            if name in contexts:
                sock.context = contexts[name]

        context.sni_callback = choose
        self.server = Server(("127.0.0.1", self.port), Handler)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()

    def stop(self):
        if self.server:
            self.server.shutdown()
            self.server.server_close()
            self.thread.join()
            self.server = None

    def fetched(self, domain):
        return len([host for host, _ in self.requests if host == f"mta-sts.{domain}"])


class World:
    """An instance, its name servers, and the web servers of d0.test to d29.test."""

    def __init__(self, root):
        self.authority = Authority(root / "ca")
        self.stranger = Authority(root / "stranger", name="Nobody's CA")
        self.dns = DnsServer()
        self.web = PolicyServer(self.authority)

    def settings(self):
        return {"dns_resolver_addresses": self.dns.at, "https_tls_CAfile": self.authority.certificate, "mtasts_fetch_port": self.web.port,
                "dns_hosts_file": ""}

    def publish(self, domain, text=None, id="1", records=None, **headers):
        self.dns.remove(f"_mta-sts.{domain}")
        self.dns.add(f"_mta-sts.{domain}", "TXT", *(records or [f"v=STSv1; id={id};"]))
        self.dns.add(f"mta-sts.{domain}", "A", "127.0.0.1")
        if text is not None:
            self.web.answers[f"mta-sts.{domain}"] = (200, headers, text.format(domain) if isinstance(text, str) else text)

    def close(self):
        self.web.stop()
        self.dns.close()


@pytest.fixture(scope="module")
def world():
    with opened(World) as one:
        yield one


@pytest.fixture(scope="module")
def shared(world):
    """One instance for everything that does not restart it. What fails is tried again at once, unless a test says otherwise."""
    from instance import Instance
    one = Instance(main={**world.settings(), "mtasts_fetch_time_limit": "8s"})
    with one:
        yield one


def ask(one, domain):
    with Peer(one.queue / "private/mtasts") as peer:
        reply = peer.ask("mtasts_request", domain=domain)
    return int(reply["mode"]), reply["mx"].decode().split(), reply["failure"].decode(), reply["why"].decode(), reply["id"].decode()


def test_policies_are_found_fetched_once_and_known_from_then_on(world, shared):
    world.publish("d0.test", policy("enforce", ("mx.{0}", "*.backup.{0}")), id="a1")
    world.publish("d1.test", policy("testing"))
    world.publish("d2.test", policy("none", ()))
    for _ in range(2):
        assert ask(shared, "D0.test") == (ENFORCE, ["mx.d0.test", "*.backup.d0.test"], "", "", "a1")
        assert ask(shared, "d1.test")[:2] == (TESTING, ["mx.d1.test"])
        assert ask(shared, "d2.test")[:2] == (NONE, [])
        assert ask(shared, "unpublished.test") == (NO_POLICY, [], "", "", "")
        assert ask(shared, "not a domain")[0] == NO_POLICY
    assert [world.web.fetched(f"d{n}.test") for n in range(3)] == [1, 1, 1]
    assert ("mta-sts.d0.test", "/.well-known/mta-sts.txt") in world.web.requests


def test_a_new_id_brings_the_new_policy_and_a_withdrawn_record_does_not_end_the_old_one(world, shared):
    world.publish("d3.test", policy("enforce"), id="1")
    assert ask(shared, "d3.test")[0] == ENFORCE
    world.publish("d3.test", policy("testing", ("new.{0}",)), id="2")
    wait_until(lambda: ask(shared, "d3.test")[:2] == (TESTING, ["new.d3.test"]), 30, "the new one, as soon as DNS has it")
    assert ask(shared, "d3.test")[4] == "2"
    world.dns.remove("_mta-sts.d3.test")
    assert ask(shared, "d3.test")[:2] == (TESTING, ["new.d3.test"])
    assert world.web.fetched("d3.test") == 2


@pytest.mark.parametrize("record", ["v=STSv2; id=1;", "v=STSv1; id=;", "v=STSv1", "id=1", "v=STSv1; id=1; x"])
def test_without_a_valid_record_nothing_is_fetched(world, shared, record):
    world.publish("d4.test", policy(), records=[record])
    assert ask(shared, "d4.test")[0] == NO_POLICY
    assert world.web.fetched("d4.test") == 0


def test_two_records_are_none(world, shared):
    world.publish("d5.test", policy(), records=["v=STSv1; id=1;", "v=STSv1; id=2;"])
    assert ask(shared, "d5.test")[0] == NO_POLICY
    world.publish("d5.test", policy(), records=["v=STSv1; id=1;", "something else"])
    wait_until(lambda: ask(shared, "d5.test")[0] == ENFORCE, 30, "one of them is no record of MTA-STS")


def dribble(handler):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1000\r\n\r\n")
    with contextlib.suppress(OSError):
        for _ in range(300):
            handler.wfile.write(b"x")
            handler.wfile.flush()
            if threading.Event().wait(0.1):
                break


def endless(what):
    def answer(handler):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n" + what[0])
        with contextlib.suppress(OSError):
            for _ in range(20000):
                handler.wfile.write(what[1])
    return answer


BIG = policy().format("x") + "x: " + "y" * 70000 + "\r\n"
BAD_SERVERS = {
    "redirect": ((301, {"Location": "https://mta-sts.d0.test/.well-known/mta-sts.txt"}, ""), "sts-policy-fetch-error", "status 301"),
    "missing": ((404, {}, "no"), "sts-policy-fetch-error", "status 404"),
    "html": ((200, {"Content-Type": "text/html"}, policy()), "sts-policy-fetch-error", "text/plain"),
    "untyped": ((200, {"Content-Type": ""}, policy()), "sts-policy-fetch-error", "text/plain"),
    "big": ((200, {}, BIG), "sts-policy-fetch-error", "too large"),
    "endless body": (endless((b"Content-Type: text/plain\r\n\r\n", b"x" * 1000)), "sts-policy-fetch-error", "too large"),
    "endless header": (endless((b"", b"X-Header: " + b"x" * 1000 + b"\r\n")), "sts-policy-fetch-error", "too large"),
    "slow": (dribble, "sts-policy-fetch-error", "timed out"),
    "closing": (lambda handler: None, "sts-policy-fetch-error", ""),
    "nonsense": (lambda handler: handler.wfile.write(b"\0\1\2 what?\r\n" * 100), "sts-policy-fetch-error", ""),
    "invalid": ((200, {}, "version: STSv1\nmode: enforce\nmax_age: 1\n"), "sts-policy-invalid", "no mx"),
    "other version": ((200, {}, "version: STSv9\nmode: none\nmax_age: 1\n"), "sts-policy-invalid", "version"),
}


def test_bad_web_servers_cost_their_own_domain_only_and_are_told_apart(world, shared):
    """All at once, so that the slow ones hold back nobody."""
    names = {kind: f"d{10 + n}.test" for n, kind in enumerate(BAD_SERVERS)}
    for kind, domain in names.items():
        world.publish(domain)
        world.web.answers[f"mta-sts.{domain}"] = BAD_SERVERS[kind][0]
    world.publish("d6.test", policy("testing"))
    peers = {kind: Peer(shared.queue / "private/mtasts") for kind in names}
    for kind, domain in names.items():
        peers[kind].send("mtasts_request", domain=domain)
    assert ask(shared, "d6.test")[0] == TESTING
    for kind, (_, failure, words) in BAD_SERVERS.items():
        _, _, reply = peers[kind].receive()
        peers[kind].close()
        assert (int(reply["mode"]), reply["failure"].decode()) == (NO_POLICY, failure), (kind, reply)
        assert words in reply["why"].decode(), (kind, reply)
    fetched = {domain: world.web.fetched(domain) for domain in names.values()}
    for domain in names.values():                   # and they are left alone for a while
        assert ask(shared, domain)[0] == NO_POLICY
    assert fetched == {domain: world.web.fetched(domain) for domain in names.values()}


def test_certificates_must_be_the_host_s_valid_and_trusted(world, shared):
    wrong = {
        "d22.test": world.authority.issue("other", name="other.test"),
        "d23.test": world.authority.issue("expired", name="mta-sts.d23.test", valid=(-20, -10)),
        "d24.test": world.stranger.issue("strange", name="mta-sts.d24.test"),
        "d25.test": world.authority.issue("parent", name="d25.test"),
    }
    for domain, pair in wrong.items():
        world.publish(domain, policy())
        world.web.certificates[f"mta-sts.{domain}"] = pair
        assert ask(shared, domain)[::2] == (NO_POLICY, "sts-webpki-invalid", ""), domain
    world.web.certificates["mta-sts.d26.test"] = world.authority.issue("wild", name="*.d26.test")
    world.publish("d26.test", policy())
    assert ask(shared, "d26.test")[0] == ENFORCE


def test_many_who_ask_at_once_are_one_fetch(world, shared):
    world.publish("d27.test", policy())
    peers = [Peer(shared.queue / "private/mtasts") for _ in range(30)]
    for peer in peers:
        peer.send("mtasts_request", domain="d27.test")
    assert {int(peer.receive()[2]["mode"]) for peer in peers} == {ENFORCE}
    for peer in peers:
        peer.close()
    assert world.web.fetched("d27.test") == 1


def test_policies_survive_restarts_lost_servers_and_end_with_their_max_age(world, instance):
    one = instance(main={**world.settings(), "mtasts_refresh_interval": "1s", "mtasts_retry_interval": "1s", "mtasts_fetch_time_limit": "10s"})
    world.publish("d28.test", policy("enforce"))
    world.publish("d29.test", policy("enforce", max_age=3))
    assert ask(one, "d28.test")[0] == ENFORCE
    before = world.web.fetched("d28.test")
    wait_until(lambda: world.web.fetched("d28.test") > before, 30, "fetched anew before it expires")
    assert ask(one, "d29.test")[0] == ENFORCE
    world.web.stop()
    one.stop()                                      # writes the file
    assert "d28.test\t1\tenforce\t86400\t" in (one.data / "mtasts_policies").read_text()
    with (one.data / "mtasts_policies").open("a") as file:
        file.write("damaged line\n")
    one.start()
    assert ask(one, "d28.test")[:2] == (ENFORCE, ["mx.d28.test"])
    one.wait_for_log("mtasts_policies: 1 malformed lines left out")
    one.wait_for_log("policy of d28.test: sts-policy-fetch-error: .*the former one stays in force")
    wait_until(lambda: ask(one, "d29.test")[0] == NO_POLICY, 30, "expired while it could not be refreshed")
    assert ask(one, "d28.test")[0] == ENFORCE
    world.web.start()
    wait_until(lambda: ask(one, "d29.test")[0] == ENFORCE, 30, "there again with its server")


# ---- what smtp makes of it ----

@pytest.fixture(scope="module")
def mail(world):
    from instance import Instance
    with contextlib.closing(Hosts(world.authority, world.dns)) as hosts:
        one = Instance(main={**world.settings(), "smtp_mtasts_enable": "yes", "smtp_tls_security_level": "may", "smtp_tls_loglevel": "1",
                             "smtp_tls_CAfile": world.authority.certificate, "smtp_tcp_port": hosts.port, "smtp_tls_policy_maps": "inline:{d17.mail=may}"})
        with one:
            yield one, hosts


def publish_mail(world, domain, text, *exchangers):
    world.web.certificates[f"mta-sts.{domain}"] = world.authority.issue(f"web-{domain}", name=f"mta-sts.{domain}")
    if text:
        world.publish(domain, text)
    for preference, host in enumerate(exchangers):
        world.dns.add(domain, "MX", f"{preference} {host}")


def deliver(one, domain, status):
    """The log line of a message's first attempt."""
    queue_id = one.send("Subject: x\r\n\r\nx\r\n", recipients=[f"user@{domain}"])
    line, *_ = one.wait_for_log(f"{queue_id}: to=<user@{domain}>.* status=", timeout=60)
    assert f"status={status}" in line, line
    return line


def test_enforce_means_the_named_hosts_with_their_certificates_or_not_at_all(world, mail):
    one, hosts = mail
    good = hosts.add("mx.d10.mail", "mx.d10.mail")
    publish_mail(world, "d10.mail", policy("enforce"), "mx.d10.mail")
    assert ", tls=may:secure, dsn=2.0.0, " in deliver(one, "d10.mail", "sent")
    assert len(good.messages) == 1 and good.tls
    one.wait_for_log("Verified TLS connection established to mx.d10.mail")
    found = json.loads(one.command("posttls-finger", "-j", "-l", "configured", "d10.mail").stdout)["policy"]
    assert (found["asked"], found["level"], found["source"], found["holds"]) == ("may", "secure", "MTA-STS", True), found
    assert found["mta_sts"]["mode"] == "enforce" and found["mta_sts"]["domain"] == "d10.mail"

    said = one.command("postroad", "explain", "--client", "127.0.0.1", "--name", "localhost", "user@d10.mail").stdout
    assert "    MTA-STS    enforce, policy of d10.mail: mx.d10.mail\n" in said
    assert re.search(r"\n    host       mx\.d10\.mail\[127\.0\.\d+\.\d+\]:\d+\n      TLS      secure \(MTA-STS\)", said), said

    unnamed = hosts.add("other.d11.mail", "other.d11.mail")
    publish_mail(world, "d11.mail", policy("enforce"), "other.d11.mail")
    assert "host other.d11.mail is not a mail exchanger that the MTA-STS policy of d11.mail names" in deliver(one, "d11.mail", "deferred")
    assert unnamed.connections == 0

    wrong = hosts.add("mx.d12.mail", "elsewhere.mail")
    publish_mail(world, "d12.mail", policy("enforce"), "mx.d12.mail")
    assert "Server certificate not verified" in deliver(one, "d12.mail", "deferred")
    assert wrong.messages == []

    wild, deep = hosts.add("mx.d20.mail", "*.d20.mail"), hosts.add("a.b.d21.mail", "*.d21.mail")      # a star is one label here
    publish_mail(world, "d20.mail", policy("enforce"), "mx.d20.mail")
    publish_mail(world, "d21.mail", policy("enforce", ("a.b.{0}",)), "a.b.d21.mail")
    assert ", tls=may:secure, dsn=2.0.0, " in deliver(one, "d20.mail", "sent")
    assert "Server certificate not verified" in deliver(one, "d21.mail", "deferred")
    assert (len(wild.messages), deep.messages) == (1, [])

    bare = hosts.add("mx.d13.mail")
    publish_mail(world, "d13.mail", policy("enforce"), "mx.d13.mail")
    assert "TLS is required, but was not offered by host mx.d13.mail" in deliver(one, "d13.mail", "deferred")
    assert bare.messages == []


def test_a_host_that_the_policy_does_not_name_is_passed_over_for_one_that_it_does(world, mail):
    one, hosts = mail
    first, second = hosts.add("wrong.d14.mail", "wrong.d14.mail"), hosts.add("mx2.d14.mail", "mx2.d14.mail")
    publish_mail(world, "d14.mail", policy("enforce", ("*.d14.mail", "mx9.{0}")), "wrong.sub.d14.mail", "mx2.d14.mail")
    world.dns.add("wrong.sub.d14.mail", "A", first.address)
    assert "relay=mx2.d14.mail" in deliver(one, "d14.mail", "sent")
    assert (first.connections, len(second.messages)) == (0, 1)


def test_testing_none_no_policy_and_the_administrator_s_word_hold_back_nothing(world, mail):
    one, hosts = mail
    for domain, text in ("d15.mail", policy("testing")), ("d16.mail", policy("none", ())), ("d17.mail", policy("enforce")), ("d18.mail", None):
        hosts.add(f"bare.{domain}")
        publish_mail(world, domain, text, f"bare.{domain}")
        deliver(one, domain, "sent")
        assert world.web.fetched(domain) == (text is not None and domain != "d17.mail")


def addresses_asleep(one):
    return [recipient["address"] for entry in one.queue_list() if entry["queue_name"] == "deferred" for recipient in entry["recipients"]]


def test_while_mtasts_cannot_be_asked_mail_waits(world, mail):
    one, hosts = mail
    hosts.add("mx.d19.mail", "mx.d19.mail")
    publish_mail(world, "d19.mail", policy("enforce"), "mx.d19.mail")
    door = one.queue / "private/mtasts"
    door.rename(one.queue / "private/elsewhere")
    one.kill("mtasts")
    assert "MTA-STS policy cannot be looked up" in deliver(one, "d19.mail", "deferred")
    wait_until(lambda: "user@d19.mail" in addresses_asleep(one), 30, one.log_tail)     # what is being delivered cannot be flushed
    (one.queue / "private/elsewhere").rename(door)
    one.command("postqueue", "-f")
    one.wait_for_log("to=<user@d19.mail>.* status=sent", timeout=60)
