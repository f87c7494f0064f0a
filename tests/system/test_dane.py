# SPDX-License-Identifier: ISC
"""The level dane: signed zones of nsd, seen through the resolver service, against one server whose certificate fits or does not."""

import contextlib
import json
import re

import pytest

from certificates import Authority, fingerprint
from instance import COMMANDS, IS_ROOT, PATIENCE, Instance, free_port, wait_until
from peers import PostfixCommands
from signed_zones import Nsd, Unbound, tlsa
from test_tls_client import TlsSink

NOT_VERIFIED = "Server certificate not verified"
SERVICES = {"sha256.dane.test": ("sha256", "tls_dane_digests=sha256"), "forced.plain.test": ("forced", "smtp_tls_force_insecure_host_tlsa_lookup=yes")}


class World:
    """dane.test is signed, plain.test is not, bogus.test has a forged record; every host is 127.0.0.1."""

    def __init__(self, directory):
        ca = Authority(directory)
        self.ca = ca
        chain = ca.issue("good", names=["mx-ta.dane.test", "ta-domain.dane.test"])
        chain[0].write_text(chain[0].read_text() + ca.certificate.read_text())
        self.sink = TlsSink(chain)
        self.expired = TlsSink(ca.issue("expired", name="else.example", valid=(-20, -1)))
        self.other = ca.issue("other")[0]
        right, wrong = tlsa(chain[0], 3, 1, 1), tlsa(self.other, 3, 1, 1)
        hosts = {
            "ok": [right], "full": [tlsa(chain[0], 3, 0, 0)], "sha512": [tlsa(chain[0], 3, 0, 2)], "two": [wrong, right], "wrong": [wrong], "none": [],
            "unusable": [tlsa(chain[0], 1, 1, 1), "3 1 1 abcd", "3 1 9 abcd"],
            "agile": [tlsa(self.other, 3, 1, 2), right], "sha256": [tlsa(self.other, 3, 1, 2), right],
            "ta": [tlsa(ca.certificate, 2, 0, 1)], "ta-domain": [tlsa(ca.certificate, 2, 1, 1)],
            "ta-name": [tlsa(ca.certificate, 2, 0, 1)], "ta-wrong": [tlsa(self.other, 2, 0, 1)], "only": [right], "only-none": [],
        }
        lines, self.domains = [], {}
        for name, records in hosts.items():
            lines += [f"{name} MX 10 mx-{name}", f"mx-{name} A 127.0.0.1"] + [f"_{self.sink.port}._tcp.mx-{name} TLSA {one}" for one in records]
        lines += ["expired MX 10 mx-expired", "mx-expired A 127.0.0.1", f"_{self.expired.port}._tcp.mx-expired TLSA {tlsa(self.expired.chain[0], 3, 1, 1)}",
                  "alias MX 10 mx-alias", "mx-alias CNAME mx-ok",
                  "records-alias MX 10 mx-records-alias", "mx-records-alias A 127.0.0.1", f"_{self.sink.port}._tcp.mx-records-alias CNAME _{self.sink.port}._tcp.mx-ok",
                  "leads-out MX 10 mx-leads-out", "mx-leads-out CNAME mx.plain.test.", f"_{self.sink.port}._tcp.mx-leads-out TLSA {wrong}"]
        plain = ["@ MX 10 mx", "mx A 127.0.0.1", f"_{self.sink.port}._tcp.mx TLSA {wrong}", "half MX 10 mx-ok.dane.test.", "half-wrong MX 10 mx-wrong.dane.test.",
                 "only-half MX 10 mx-ok.dane.test.", "forced MX 10 mx-below", "unforced MX 10 mx-below", "mx-below A 127.0.0.1"]
        below = "_tcp.mx-below.plain.test"          # signed, with a key that is known otherwise
        bogus = ["@ MX 10 mx", "mx A 127.0.0.1", f"_{self.sink.port}._tcp.mx TLSA {right}", "mxless MX 10 mx-that-was", "mx-that-was A 127.0.0.1"]
        self.dns = Nsd({"dane.test": lines, "plain.test": plain, "bogus.test": bogus, below: [f"_{self.sink.port} TLSA {wrong}"]}, ["dane.test", "bogus.test", below],
                       {"bogus.test": (f"TLSA\t{right}", f"TLSA\t{wrong}")})
        self.dns.start()

    def close(self):
        self.dns.close()
        for sink in (self.sink, self.expired):
            sink.__exit__(None, None, None)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    made = World(tmp_path_factory.mktemp("ca"))
    yield made
    made.close()


def start(instance, world, domains, **main):
    routes = ", ".join(f"{{ {name} = {SERVICES.get(name, ['smtp'])[0]}:{name}:{world.expired.port if name.startswith('expired') else world.sink.port} }}" for name in domains)
    only = ", ".join(f"{{ {name}:{world.sink.port} = dane-only }}" for name in domains if name.startswith("only"))
    rows = "".join(f"{service} unix - - n - - smtp -o {option}\n" for service, option in SERVICES.values())
    return instance(master=rows, main={"transport_maps": f"inline:{{ {routes} }}", "smtp_tls_policy_maps": f"inline:{{ {only} }}" if only else "",
                          "dns_resolver_addresses": world.dns.at, "dns_hosts_file": "", "inet_protocols": "ipv4",
                          "dns_resolver_trust_anchor_file": str(world.dns.anchor), "smtp_tls_security_level": "dane", "smtp_tls_loglevel": "1",
                          "smtp_connection_cache_on_demand": "no", "minimal_backoff_time": "1s", "queue_run_delay": "1s", **main})


def outcomes(mail, domains):
    """{domain: the first line that tells what became of its mail}, other than that the name server was too slow, which a busy machine makes of any."""
    slow = r"(?!.*(try again|TLSA lookup error for mx-))"
    queue_id = mail.send("Subject: x\r\n\r\nx\r\n", recipients=[f"a@{name}" for name in domains])
    return {name: mail.wait_for_log(rf"{queue_id}: to=<a@{re.escape(name)}>{slow}.* status=", timeout=60 * PATIENCE)[0] for name in domains}


def test_what_dns_vouches_for_decides(instance, world):
    expected = {
        "ok.dane.test": "tls=dane", "full.dane.test": "tls=dane", "sha512.dane.test": "tls=dane", "two.dane.test": "tls=dane",
        "expired.dane.test": "tls=dane", "alias.dane.test": "tls=dane", "records-alias.dane.test": "tls=dane", "ta.dane.test": "tls=dane",
        "ta-domain.dane.test": "tls=dane", "only.dane.test": "tls=dane-only", "sha256.dane.test": "tls=dane",
        "none.dane.test": "tls=dane:may", "plain.test": "tls=dane:may", "unusable.dane.test": "tls=dane:encrypt", "half.plain.test": "tls=dane:halfdane",
        "unforced.plain.test": "tls=dane:may", "forced.plain.test": NOT_VERIFIED,
        "wrong.dane.test": NOT_VERIFIED, "agile.dane.test": NOT_VERIFIED, "ta-wrong.dane.test": NOT_VERIFIED, "half-wrong.plain.test": NOT_VERIFIED,
        "leads-out.dane.test": NOT_VERIFIED, "ta-name.dane.test": NOT_VERIFIED,
        "bogus.test": f"TLSA lookup error for mx.bogus.test:{world.sink.port}",
        "only-none.dane.test": "DANE is required, but there are no signed TLSA records for host mx-only-none.dane.test",
        "only-half.plain.test": "DANE is required, but the MX records are not signed for host mx-ok.dane.test",
    }
    mail = start(instance, world, expected)
    for name, line in outcomes(mail, expected).items():
        words = expected[name]
        if words.startswith("tls="):
            assert f", {words}, dsn=2.0.0, status=sent" in line, line
        else:
            assert "dsn=4.7.5, status=deferred" in line and words in line, line
    assert len(world.sink.messages) + len(world.expired.messages) == sum(words.startswith("tls=") for words in expected.values())
    verified = mail.wait_for_log(r"Verified TLS connection established to mx-ok.dane.test\[127.0.0.1\]:\d+: TLSv1.3")
    assert verified
    told = mail.command("postroad", "-c", mail.etc, "explain", "--client", "127.0.0.1", "--name", "localhost",
                        *(f"a@{name}" for name in ("two.dane.test", "none.dane.test", "unusable.dane.test", "only-none.dane.test", "bogus.test"))).stdout
    for host, words in (("two.dane.test", "dane (DANE), 2 TLSA records"), ("none.dane.test", "may (smtp_tls_security_level) where dane was asked for"),
                        ("unusable.dane.test", "encrypt (smtp_tls_security_level) where dane"), ("only-none.dane.test", "put off: 4.7.5 DANE is required"), ("bogus.test", "put off: 4.7.5 TLSA lookup error")):
        assert re.search(rf"host       mx[-.]{host}\[127.0.0.1\]:\d+\n      TLS      {re.escape(words)}", told), (host, told)


def test_through_somebody_elses_validating_resolver(instance, world):
    expected = {"ok.dane.test": "tls=dane", "alias.dane.test": "tls=dane", "ta.dane.test": "tls=dane", "none.dane.test": "tls=dane:may", "plain.test": "tls=dane:may",
                "wrong.dane.test": NOT_VERIFIED, "leads-out.dane.test": NOT_VERIFIED, "bogus.test": f"TLSA lookup error for mx.bogus.test:{world.sink.port}"}
    with contextlib.closing(Unbound(world.dns)) as unbound:
        unbound.start()
        mail = start(instance, world, expected, dns_resolver_addresses=unbound.at)
        for name, line in outcomes(mail, expected).items():
            assert expected[name] in line, line


def test_unsigned_mx_records_count_as_one_wants(instance, world):
    domains = ["half.plain.test", "half-wrong.plain.test"]
    for policy, words in (("may", "tls=dane:may, dsn=2.0.0, status=sent"), ("encrypt", "tls=dane:encrypt, dsn=2.0.0, status=sent")):
        mail = start(instance, world, domains, smtp_tls_dane_insecure_mx_policy=policy)
        assert all(f", {words}" in line for line in outcomes(mail, domains).values())
        mail.stop()


def test_without_validation_there_is_no_dane_and_that_is_said(instance, world):
    mail = start(instance, world, ["wrong.dane.test"], dns_resolver_trust_anchor_file="")
    assert ", tls=dane:may, dsn=2.0.0, status=sent" in outcomes(mail, ["wrong.dane.test"])["wrong.dane.test"]
    wait_until(lambda: "without dns_resolver_trust_anchor_file no DNS answer is validated" in mail.log(), 30, mail.log_tail)


# ---- posttls-finger ----

def nobody_may_enter(directory):
    """Below /root, for example, he may not."""
    return all(path.stat().st_mode & 0o001 for path in [directory, *directory.parents])


@pytest.fixture(scope="module")
def finger(world):
    """finger(options..., domain): exit status and output of posttls-finger, run by somebody without rights while no mail system runs."""
    with contextlib.closing(Instance(main={"dns_resolver_addresses": world.dns.at, "dns_hosts_file": "", "dns_resolver_trust_anchor_file": str(world.dns.anchor)})) as mail:
        mail.write()
        mail.root.chmod(0o755)
        (mail.root / "tmp").mkdir()
        (mail.root / "tmp").chmod(0o1777)
        mail.file("ca.pem", world.ca.certificate.read_text())
        mail.environment["TMPDIR"] = str(mail.root / "tmp")

        def run(*words, port=None):
            *options, name = words
            matches = options[options.index("--") + 1:] if "--" in options else []
            options = options[:options.index("--")] if "--" in options else options
            somebody = {"user": "nobody", "group": "nogroup", "extra_groups": []} if IS_ROOT and nobody_may_enter(COMMANDS) else {}
            done = mail.command("posttls-finger", *options, f"{name}:{port or world.sink.port}", *matches, check=False, timeout=120, **somebody)
            return done.returncode, done.stdout + done.stderr
        run.ca = mail.etc / "ca.pem"
        yield run
        assert not list((mail.root / "tmp").iterdir())


def test_posttls_finger_says_whether_dane_holds(finger, world):
    status, said = finger("ok.dane.test")
    assert status == 0, said
    for words in (f"using DANE RR: _{world.sink.port}._tcp.mx-ok.dane.test IN TLSA 3 1 1 ", f"Connected to mx-ok.dane.test[127.0.0.1]:{world.sink.port}", "> EHLO ", "< 250 STARTTLS",
                  f"mx-ok.dane.test[127.0.0.1]:{world.sink.port}: subject_CN=localhost, issuer_CN=Test CA, fingerprint=", "Verified TLS connection established to mx-ok.dane.test[127.0.0.1]", "policy: dane (DANE): holds"):
        assert f"posttls-finger: {words}" in said, said
    for name, words in (("wrong.dane.test", "does not hold: Server certificate not verified"), ("bogus.test", "does not hold: TLSA lookup error for mx.bogus.test")):
        status, said = finger("-c", name)
        assert status == 1 and words in said and "EHLO" not in said, said
    status, said = finger("-c", "-l", "secure", "-F", finger.ca, "--", "mx-ta.dane.test", "ok.dane.test")
    assert status == 0 and "Verified TLS connection established" in said, said
    status, said = finger("-c", "-l", "secure", "-F", finger.ca, "ok.dane.test")
    assert status == 1 and "does not hold: Server certificate not verified" in said, said
    status, said = finger("-cC", "-l", "may", "[mx-ok.dane.test]")
    assert status == 0 and said.count("-----BEGIN CERTIFICATE-----") == 2, said
    status, said = finger("-c", "-l", "encrypt", "-t", "5", "ok.dane.test", port=free_port())
    assert status == 1 and "Connection refused" in said, said


def test_posttls_finger_speaks_json(finger, world):
    status, said = finger("-j", "unusable.dane.test")
    found = json.loads(said)
    assert status == 0 and found["host"] == "mx-unusable.dane.test" and found["starttls"] and found["mx_signed"] and "PIPELINING" in found["ehlo"]
    assert found["policy"] == {"asked": "dane", "level": "encrypt", "source": "main.cf", "holds": True, "tlsa": []}
    assert found["tls"]["protocol"] == "TLSv1.3" and found["tls"]["status"] == "Untrusted" and found["tls"]["fingerprint"] == fingerprint(world.sink.chain[0])
    status, said = finger("-j", "wrong.dane.test")
    found = json.loads(said)
    assert status == 1 and not found["policy"]["holds"] and found["policy"]["reason"] == NOT_VERIFIED and found["policy"]["source"] == "DANE"
    assert found["policy"]["tlsa"] == [tlsa(world.other, 3, 1, 1)]


def test_posttls_finger_beside_that_of_postfix(finger, world):
    """The same dialogue, certificate and connection in the same lines."""
    def lines(text, host):
        kept = [line for line in text.replace("mail.example.org", host).splitlines() if re.search(r"(: [<>] |Connected to| TLS connection |subject_CN=)", line)]
        return [line for line in kept if "injected" not in line and "221 " not in line]
    with PostfixCommands() as postfix:
        destination = f"[127.0.0.1]:{world.sink.port}"
        for options, matches in ((["-l", "may"], []), (["-c", "-l", "encrypt", "-F", finger.ca], []), (["-c", "-l", "secure", "-F", finger.ca], ["mx-ta.dane.test"])):
            status, ours = finger(*options, "--", *matches, "[127.0.0.1]")
            theirs = postfix.bare("posttls-finger", *options, destination, *matches)
            assert status == theirs.returncode == 0, ours + theirs.stderr
            assert lines(ours, "a.example") == lines(theirs.stdout + theirs.stderr, "a.example")
