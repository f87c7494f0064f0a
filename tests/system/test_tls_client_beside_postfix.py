# SPDX-License-Identifier: ISC
"""The same servers seen by Debian's Postfix and by us as clients: what is sent, what waits and why, and the lines about TLS are the same."""

import contextlib
import re

import pytest

from certificates import Authority, fingerprint, key_fingerprint
from instance import IS_ROOT, Instance
from postfix import Postfix
from sink import Sink
from test_tls_client import TlsSink

pytestmark = pytest.mark.skipif(not IS_ROOT, reason="Postfix's programs want to be started by root")

# name: (the server's certificate or what it does instead, the policy for it). Left out: what we find wrong with a policy before we connect, and Postfix after.
CASES = {
    "none": ("good", "none"),
    "may, trusted": ("good", "may"),
    "may, untrusted": ("foreign", "may"),
    "may, expired": ("expired", "may"),
    "may, self-signed": ("alone", "may"),
    "may, not offered": (None, "may"),
    "may, refused": ("454 4.7.0 not now", "may"),
    "may, refused for good": ("502 5.5.1 not at all", "may"),
    "may, nonsense": ("nonsense", "may"),
    "encrypt, untrusted": ("foreign", "encrypt"),
    "encrypt, not offered": (None, "encrypt"),
    "encrypt, refused": ("454 4.7.0 not now", "encrypt"),
    "encrypt, refused for good": ("502 5.5.1 not at all", "encrypt"),
    "encrypt, refused without a code": ("502 not at all", "encrypt"),
    "verify, refused for good": ("554 5.7.0 never", "verify"),
    "encrypt, nonsense": ("nonsense", "encrypt"),
    "encrypt, no version in common": ("good", "encrypt protocols=<=TLSv1.1 ciphers=medium"),
    "encrypt, an old server": ("old", "encrypt"),
    "verify": ("good", "verify"),
    "verify, an old server": ("old", "verify"),
    "verify, another name": ("other name", "verify"),
    "verify, untrusted": ("foreign", "verify"),
    "verify, expired": ("expired", "verify"),
    "verify, self-signed": ("alone", "verify"),
    "secure, its name": ("good", "secure match=localhost"),
    "secure, a name below": ("below", "secure match=.example.com"),
    "secure, another name": ("good", "secure match=other.example"),
    "secure, not offered": (None, "secure match=localhost"),
    "fingerprint": ("foreign", "fingerprint match={cert}"),
    "fingerprint of the key": ("foreign", "fingerprint match={key}"),
    "another fingerprint": ("good", "fingerprint match={cert}|{key}"),
    "no such level": ("good", "sometimes"),
    "no such attribute": ("good", "may colour=blue"),
    "an attribute of another level": ("good", "encrypt match=localhost"),
}


def certificates(ca):
    foreign = Authority(ca.directory / "foreign")
    alone = Authority(ca.directory / "alone", name="localhost")
    return {"good": ca.issue("good", name="localhost"), "foreign": foreign.issue("any", name="localhost"), "other name": ca.issue("other", name="other.example"),
            "below": ca.issue("below", name="mx.example.com"), "expired": ca.issue("old", name="localhost", valid=(-10, -1)),
            "alone": (alone.certificate, alone.key)}


def server(what, chains):
    if what is None:
        return Sink()
    if what == "old":
        return TlsSink(chains["good"], old=True)
    if what in chains:
        return TlsSink(chains[what])
    return TlsSink() if what == "nonsense" else TlsSink(chains["good"], reply=what)


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """For each case the lines of both."""
    ca = Authority(tmp_path_factory.mktemp("ca"))
    chains = certificates(ca)
    prints = {"cert": fingerprint(chains["foreign"][0]), "key": key_fingerprint(chains["foreign"][0])}
    with contextlib.ExitStack() as stack:
        result = {}
        for kind in (Instance, Postfix):
            sinks = {case: stack.enter_context(server(what, chains)) for case, (what, _) in CASES.items()}
            ways = ", ".join(f"{{ {number}.example = smtp:[localhost]:{sink.port} }}" for number, sink in enumerate(sinks.values()))
            policies = ", ".join(f"{{ [localhost]:{sinks[case].port} = {policy.format(**prints)} }}" for case, (_, policy) in CASES.items())
            one = stack.enter_context(kind(main={
                "transport_maps": f"inline:{{ {ways} }}", "smtp_tls_policy_maps": f"inline:{{ {policies} }}", "smtp_tls_CAfile": ca.certificate,
                "smtp_tls_loglevel": "debug", "smtp_tls_fingerprint_digest": "sha256", "smtp_host_lookup": "native", "inet_protocols": "ipv4",
                "mydestination": "", "smtp_log_tls_feature_status": "no", "tls_medium_cipherlist": "aNULL:-aNULL:HIGH:@STRENGTH",
                "smtp_tls_connection_reuse": "no", "minimal_backoff_time": "1000s"}))
            ids = {case: one.send("Subject: x\r\n\r\nx\r\n", recipients=[f"someone@{number}.example"]) for number, case in enumerate(CASES)}
            for queue_id in ids.values():
                one.wait_for_log(rf"{queue_id}: to=<someone@.* status=", timeout=120)
            result[kind] = {case: [line for line in map(normal, one.log().splitlines()) if line and about(line, ids[case], sinks[case].port)] for case in CASES}
            result[kind] = {case: [words(line, ids[case], sinks[case].port) for line in lines] for case, lines in result[kind].items()}
        yield result


def normal(line):
    """Without time and process; nothing for other programs."""
    match = re.search(r"/smtp\[\d+\]: (.*)", line)
    return match and match.group(1)


def about(line, queue_id, port):
    return queue_id in line or f"localhost[127.0.0.1]:{port}" in line or f"[localhost]:{port}" in line


def words(line, queue_id, port):
    line = line.replace(queue_id, "ID").replace(str(port), "PORT")
    line = re.sub(r"delay=\S+, delays=\S+ ", "", line)
    line = re.sub(r"(certificate verification failed for \S+): (num=\d+:)?(no matching DANE TLSA records|no fingerprint matches)", r"\1: NO MATCH", line)
    line = re.sub(r"(SSL_connect error to \S+): (-1|lost connection)", r"\1: FAILED", line)           # who sees the end of the connection first
    line = line.replace(": num=62:hostname mismatch", ": hostname mismatch")
    return re.sub(r"\d+\.example", "DOMAIN", line)


def is_step(line):
    """Of the handshake's steps Postfix does not say whose they are; where no CA counts it shows other certificates."""
    return re.search("SSL_connect:|SSL3 alert|: depth=|^warning: TLS policy lookup for", line)


@pytest.mark.parametrize("case", CASES)
def test_the_same_is_sent_and_said(said, case):
    ours, theirs = ([line for line in said[kind][case] if not is_step(line)] for kind in (Instance, Postfix))
    assert "\n".join(ours) == "\n".join(theirs)
