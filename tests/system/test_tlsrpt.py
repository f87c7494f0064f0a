# SPDX-License-Identifier: ISC
"""TLSRPT: what came of TLS with each domain's servers is counted, survives a restart, and reaches those who asked for it, by mail and by HTTPS."""

import contextlib
import email
import gzip
import http.server
import json
import re
import ssl
import threading
import time

import pytest

from dnssec import Signer
from frames import Peer
from instance import Instance, free_port, wait_until
from mail_hosts import Outside, opened
from signed_zones import tlsa
from test_mtasts import PolicyServer, policy

PERIOD = 2                              # seconds, in place of a day


class Collector:
    """Takes reports by HTTPS; the first `refused` of them it does not want."""

    def __init__(self, pair, refused=0):
        self.port, self.posted, self.refused = free_port(), [], refused
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            timeout = 60

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                good = outer.refused <= 0
                outer.refused -= 1
                if good:
                    outer.posted.append((self.path, self.headers["Content-Type"], body))
                self.send_response(201 if good else 503)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*map(str, pair))
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


class World(Outside):
    def __init__(self, root):
        super().__init__(root)
        self.web = PolicyServer(self.authority)
        self.reports = self.hosts.add("mx.reports.mail")
        self.dns.add("reports.mail", "MX", "0 mx.reports.mail")
        self.anchors = root / "anchors"
        self.anchors.write_text("")
        self.signers = {domain: self._sign(domain) for domain in ("strong.mail", "wrong.mail", "forged.mail", "useless.mail")}

    def _sign(self, domain):
        """A signed zone of its own."""
        signer = Signer(self.dns, domain, self.root)
        with self.anchors.open("a") as anchors:
            anchors.write(signer.anchor)
        return signer

    def publish_signed(self, domain, tlsa_record, certificate_for, forge=False, named="mx.elsewhere.mail"):
        """A signed domain with one host, its TLSA record, and an MTA-STS policy that names this host."""
        signer, host = self.signers[domain], f"mx.{domain}"
        sink = self.hosts.add(host, certificate_for)
        self.publish(domain, policy("enforce", (named,)), host)
        self.dns.add(f"_{self.hosts.port}._tcp.{host}", "TLSA", tlsa_record(self.hosts.all[-1].chain[0]))
        for name, kind in ((domain, "MX"), (host, "A"), (f"mta-sts.{domain}", "A"), (f"_mta-sts.{domain}", "TXT"), (f"_smtp._tls.{domain}", "TXT")):
            signer.sign(name, kind)
        signer.sign(f"_{self.hosts.port}._tcp.{host}", "TLSA", forge=forge)
        return sink

    def settings(self):
        return {**super().settings(), "https_tls_CAfile": self.authority.certificate, "mtasts_fetch_port": self.web.port, "smtp_mtasts_enable": "yes",
                "smtp_tlsrpt_enable": "yes", "smtp_tls_security_level": "dane", "dns_resolver_trust_anchor_file": self.anchors, "inet_protocols": "ipv4",
                "smtp_tls_policy_maps": "inline:{ { useless.mail = dane-only }, { plugin.mail = secure match=mx.named.example policy_type=sts "
                                        "policy_domain=plugin.mail mx_host_pattern=mx.plugin.mail { policy_string = version: STSv1 } { policy_string = mode: enforce } } }",
                "tlsrpt_report_interval": f"{PERIOD}s", "tlsrpt_report_delay": "1s", "tlsrpt_retry_interval": "1s",
                "tlsrpt_organization_name": "Example Organization", "tlsrpt_sender": "tls-reports@example.org"}

    def publish(self, domain, text, *exchangers, rua="mailto:tls@reports.mail"):
        host = f"mta-sts.{domain}"
        self.web.certificates[host] = self.authority.issue(f"web-{domain}", name=host)
        self.dns.add(f"_mta-sts.{domain}", "TXT", "v=STSv1; id=1;")
        self.dns.add(host, "A", "127.0.0.1")
        self.web.answers[host] = (200, {}, text.format(domain))
        for preference, one in enumerate(exchangers):
            self.dns.add(domain, "MX", f"{preference} {one}")
        if rua:
            self.dns.add(f"_smtp._tls.{domain}", "TXT", f"v=TLSRPTv1; rua={rua}")

    def close(self):
        self.web.stop()
        super().close()


@pytest.fixture(scope="module")
def world():
    with opened(World) as one:
        yield one


@pytest.fixture(scope="module")
def mail(world):
    with Instance(main=world.settings()) as one:
        yield one


def send(one, domain, times=1):
    for _ in range(times):
        queue_id = one.send("Subject: x\r\n\r\nx\r\n", recipients=[f"user@{domain}"])
        one.wait_for_log(f"{queue_id}: to=<user@{domain}>.* status=", timeout=60)


def unpack_mail(message):
    """(message, report)"""
    parsed = email.message_from_bytes(message.content)
    assert parsed.get_content_type() == "multipart/report" and parsed.get_param("report-type") == "tlsrpt"
    words, packed = parsed.get_payload()
    assert (words.get_content_type(), packed.get_content_type(), packed["Content-Transfer-Encoding"]) == ("text/plain", "application/tlsrpt+gzip", "base64")
    assert packed.get_filename().endswith(".json.gz")
    return parsed, json.loads(gzip.decompress(packed.get_payload(decode=True)))


def reports_about(world, domain):
    with world.reports.lock:
        found = list(world.reports.messages)
    found = [unpack_mail(one) for one in found]
    return [(message, report) for message, report in found if message["TLS-Report-Domain"] == domain]


def added(reports):
    """What several periods' reports say together, by policy type: successes, failures, and failures by (type, host)."""
    sums = {}
    for _, report in reports:
        for one in report["policies"]:
            good, bad, details = sums.setdefault(one["policy"]["policy-type"], [0, 0, {}])
            for row in one["failure-details"]:
                key = row["result-type"], row.get("receiving-mx-hostname")
                details[key] = details.get(key, 0) + row["failed-session-count"]
            sums[one["policy"]["policy-type"]] = [good + one["summary"]["total-successful-session-count"], bad + one["summary"]["total-failure-session-count"], details]
    return sums


def test_a_report_by_mail_says_field_by_field_what_happened(world, mail):
    world.hosts.add("mx.a.mail", "mx.a.mail")
    world.hosts.add("old.a.mail", "elsewhere.mail")
    world.publish("a.mail", policy("testing"), "mx.a.mail")
    send(mail, "a.mail", 2)
    wait_until(lambda: added(reports_about(world, "a.mail")).get("sts", [0])[0] >= 1, 60, "the report")
    message, report = reports_about(world, "a.mail")[0]
    assert set(report) == {"organization-name", "date-range", "contact-info", "report-id", "policies"}
    assert (report["organization-name"], report["contact-info"]) == ("Example Organization", "tls-reports@example.org")
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
    begin, end = report["date-range"]["start-datetime"], report["date-range"]["end-datetime"]
    assert re.fullmatch(stamp, begin) and re.fullmatch(stamp, end)
    assert (time.mktime(time.strptime(end, "%Y-%m-%dT%H:%M:%SZ")) - time.mktime(time.strptime(begin, "%Y-%m-%dT%H:%M:%SZ"))) == PERIOD - 1
    assert report["report-id"].endswith(".a.mail@mail.example.org")
    (one,) = report["policies"]
    assert one["policy"] == {"policy-type": "sts", "policy-string": ["version: STSv1", "mode: testing", "mx: mx.a.mail", "max_age: 86400"],
                             "policy-domain": "a.mail", "mx-host": ["mx.a.mail"]}
    assert one["failure-details"] == [] and one["summary"]["total-failure-session-count"] == 0
    assert message["Subject"].split() == ["Report", "Domain:", "a.mail", "Submitter:", "mail.example.org", "Report-ID:", f"<{report['report-id']}>"]
    assert (message["TLS-Report-Submitter"], message["TLS-Required"], message["From"], message["To"]) == \
        ("mail.example.org", "No", "tls-reports@example.org", "<tls@reports.mail>")
    with world.reports.lock:
        assert all(one.sender.startswith("<>") for one in world.reports.messages)


def test_failures_are_counted_by_kind_and_host_and_mail_goes_as_the_policy_says(world, mail):
    world.hosts.add("mx.named.mail", "elsewhere.mail")
    world.hosts.add("mx.bare.mail")
    world.hosts.add("other.odd.mail", "other.odd.mail")
    world.hosts.add("mx.held.mail", "elsewhere.mail")
    cases = (("named.mail", "testing", "mx.named.mail", "certificate-host-mismatch", True),
             ("bare.mail", "testing", "mx.bare.mail", "starttls-not-supported", True),
             ("odd.mail", "testing", "other.odd.mail", "validation-failure", True),
             ("held.mail", "enforce", "mx.held.mail", "certificate-host-mismatch", False))
    for domain, mode, host, _, sent in cases:
        world.publish(domain, policy(mode), host)
        send(mail, domain)
        assert bool(mail.log_lines(f"to=<user@{domain}>.*status=sent")) == sent
    for domain, _, host, kind, _ in cases:
        wait_until(lambda: reports_about(world, domain), 60, "the report")
        sums = added(reports_about(world, domain))
        assert sums["sts"] == [0, 1, {(kind, host): 1}], (domain, sums)
        row = reports_about(world, domain)[0][1]["policies"][0]["failure-details"][0]
        if kind != "validation-failure":
            assert row["sending-mta-ip"].startswith("127.")
        assert row["receiving-ip"].startswith("127.0.3.")


def test_a_policy_that_cannot_be_fetched_and_a_domain_without_one_are_reported_too(world, mail):
    world.hosts.add("mx.c.mail", "mx.c.mail")
    world.publish("c.mail", "nonsense", "mx.c.mail")
    world.hosts.add("mx.d.mail", "mx.d.mail")
    world.dns.add("d.mail", "MX", "0 mx.d.mail")
    world.dns.add("_smtp._tls.d.mail", "TXT", "v=TLSRPTv1; rua=mailto:tls@reports.mail")
    send(mail, "c.mail")
    send(mail, "d.mail")
    wait_until(lambda: set(added(reports_about(world, "c.mail"))) >= {"sts", "no-policy-found"} and reports_about(world, "d.mail"), 60, "the reports")
    sums = added(reports_about(world, "c.mail"))
    assert ("sts-policy-invalid", None) in sums["sts"][2] and sums["no-policy-found"][0] >= 1
    assert added(reports_about(world, "d.mail")) == {"no-policy-found": [1, 0, {}]}


def the_policy_of(world, domain, kind):
    """What the first report says of it."""
    return [one for one in reports_about(world, domain)[0][1]["policies"] if one["policy"]["policy-type"] == kind][0]


def test_dane_comes_before_mta_sts_and_is_reported_with_its_records(world, mail):
    """No policy of MTA-STS takes anything away from DANE, neither where DANE lets mail pass nor where it holds it up."""
    other = world.authority.issue("other")[0]
    strong = world.publish_signed("strong.mail", lambda own: tlsa(own, 3, 1, 1), "any.name")
    wrong = world.publish_signed("wrong.mail", lambda own: tlsa(other, 3, 1, 1), "mx.wrong.mail", named="mx.wrong.mail")
    forged = world.publish_signed("forged.mail", lambda own: tlsa(own, 3, 1, 1), "mx.forged.mail", forge=True)
    useless = world.publish_signed("useless.mail", lambda own: "3 1 1 abcd", "mx.useless.mail")
    expected = {"strong.mail": (", tls=dane, dsn=2.0.0, status=sent", None, tlsa(strong.chain[0], 3, 1, 1)),
                "wrong.mail": ("Server certificate not verified", "certificate-not-trusted", tlsa(other, 3, 1, 1)),
                "forged.mail": ("TLSA lookup error for mx.forged.mail", "dnssec-invalid", None), "useless.mail": ("DANE is required", "tlsa-invalid", None)}
    for domain, (words, _, _) in expected.items():
        send(mail, domain)
        assert words in mail.log_lines(f"to=<user@{domain}>.*status=")[0]
    assert (len(strong.messages), wrong.messages, forged.messages, useless.messages) == (1, [], [], [])
    for domain, (_, result, record) in expected.items():
        wait_until(lambda: "tlsa" in added(reports_about(world, domain)), 60, lambda: f"the report for {domain}: {reports_about(world, domain)}")
        said = the_policy_of(world, domain, "tlsa")
        assert said["policy"]["policy-domain"] == domain
        assert said["summary"] == {"total-successful-session-count": result is None, "total-failure-session-count": result is not None}
        assert [(one["result-type"], one["receiving-mx-hostname"], one["receiving-ip"][:8]) for one in said["failure-details"]] == \
            ([(result, f"mx.{domain}", "127.0.3.")] if result else [])
        if record:
            assert [one.lower() for one in said["policy"]["policy-string"]] == [record]


def test_a_plug_in_s_policy_is_enforced_and_reported_in_its_own_words(world, mail):
    world.hosts.add("mx.plugin.mail", "mx.named.example")
    world.hosts.add("other.plugin.mail", "mx.named.example")
    world.dns.add("plugin.mail", "MX", "0 mx.plugin.mail", "10 other.plugin.mail")
    world.dns.add("_smtp._tls.plugin.mail", "TXT", "v=TLSRPTv1; rua=mailto:tls@reports.mail")
    send(mail, "plugin.mail")
    mail.wait_for_log("server certificate verification failed for mx.plugin.mail.*: hostname mismatch")
    assert "host other.plugin.mail is not a mail exchanger that the MTA-STS policy of plugin.mail names" in mail.log_lines("to=<user@plugin.mail>.*status=deferred")[0]
    failures = {("certificate-host-mismatch", "mx.plugin.mail"), ("validation-failure", "other.plugin.mail")}
    wait_until(lambda: set(added(reports_about(world, "plugin.mail")).get("sts", [0, 0, {}])[2]) == failures, 60,
               lambda: f"the reports, of one period or two: {reports_about(world, 'plugin.mail')}")
    assert the_policy_of(world, "plugin.mail", "sts")["policy"]["policy-string"] == ["version: STSv1", "mode: enforce"]


def test_who_has_no_record_gets_no_report_and_costs_nothing(world, mail):
    world.hosts.add("mx.e.mail", "mx.e.mail")
    world.publish("e.mail", policy("testing"), "mx.e.mail", rua=None)
    world.hosts.add("mx.f.mail", "mx.f.mail")
    world.publish("f.mail", policy("testing"), "mx.f.mail")
    send(mail, "e.mail")
    send(mail, "f.mail")
    wait_until(lambda: reports_about(world, "f.mail"), 60, "the report for another domain")
    assert not reports_about(world, "e.mail")
    assert "e.mail" not in (mail.data / "tlsrpt_counts").read_text() if (mail.data / "tlsrpt_counts").exists() else True


def test_by_https_and_again_when_it_is_refused(world, mail):
    with contextlib.closing(Collector(world.authority.issue("collector", name="collector.mail"), refused=1)) as collector:
        world.dns.add("collector.mail", "A", "127.0.0.1")
        world.hosts.add("mx.g.mail", "mx.g.mail")
        world.publish("g.mail", policy("enforce"), "mx.g.mail", rua=f"https://collector.mail:{collector.port}/v1/tlsrpt?x=y")
        send(mail, "g.mail")
        wait_until(lambda: collector.posted, 60, "the report")
        path, kind, body = collector.posted[0]
        assert (path, kind) == ("/v1/tlsrpt?x=y", "application/tlsrpt+gzip")
        report = json.loads(gzip.decompress(body))
        assert report["policies"][0]["policy"]["policy-domain"] == "g.mail"
        assert report["policies"][0]["summary"] == {"total-successful-session-count": 1, "total-failure-session-count": 0}
        mail.wait_for_log("not sent to collector.mail: HTTP status 503")


def test_counts_survive_a_restart(world, instance):
    if time.time() % 86400 > 86400 - 120:       # all of it must be of one day
        time.sleep(86400 - time.time() % 86400)
    one = instance(main={**world.settings(), "tlsrpt_report_interval": "1d", "tlsrpt_store_size": "65536"})
    world.dns.add("_smtp._tls.h.mail", "TXT", "v=TLSRPTv1; rua=mailto:tls@reports.mail")
    for round in range(2):
        with Peer(one.queue / "private/tlsrpt") as peer:
            for result in "success", "certificate-expired":
                peer.socket.sendall(event(domain="h.mail", type="no-policy-found", policy="", result=result, mx="mx.h.mail", ip="", local_ip="", words="x\ty"))
            wait_until(lambda: one.pids("tlsrpt"), 30, "it runs")
            wait_until(lambda: f"policy\tno-policy-found\t{round + 1}\t{round + 1}" in counts(one), 30, lambda: f"written: {counts(one)}")
            assert not one.log_lines("tlsrpt_store_size")
            for number in range(200 if round == 1 else 0):
                peer.socket.sendall(event(domain="h.mail", type="no-policy-found", policy="", result="validation-failure", mx=f"{number}.{'m' * 200}.mail", ip="", local_ip="", words="w" * 200))
            if round == 1:
                one.wait_for_log("tlsrpt_store_size is used up: sessions are not counted")
        one.stop()
        if round == 0:
            one.start()
    assert "detail\t2\tcertificate-expired\tmx.h.mail\t\t\tx?y" in counts(one)


def event(**fields):
    from frames import pack
    return pack("tlsrpt_event", 0, **fields)


def counts(one):
    path = one.data / "tlsrpt_counts"
    return path.read_text() if path.exists() else ""
