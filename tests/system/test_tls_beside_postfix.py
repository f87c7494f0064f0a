# SPDX-License-Identifier: ISC
"""The same TLS dialogues with Debian's Postfix and with us: replies, log lines and Received headers are the same."""

import re
import smtplib
import ssl

import pytest

from certificates import Authority
from instance import IS_ROOT, PATIENCE, Instance, wait_until
from postfix import Postfix
from sink import Sink

pytestmark = pytest.mark.skipif(not IS_ROOT, reason="Postfix's programs want to be started by root")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Both servers, each with a next hop, and certificates."""
    ca = Authority(tmp_path_factory.mktemp("ca"))
    certificate, key = ca.issue("server")
    rsa_certificate, rsa_key = ca.issue("server-rsa", kind="rsa")
    both = {}
    with Sink() as ours, Sink() as theirs:
        for kind, sink in ((Instance, ours), (Postfix, theirs)):
            one = kind(main={
                "smtpd_tls_security_level": "may", "smtpd_tls_loglevel": "2", "smtpd_tls_received_header": "yes", "smtpd_tls_ask_ccert": "yes",
                "smtpd_tls_eccert_file": certificate, "smtpd_tls_eckey_file": key, "smtpd_tls_cert_file": rsa_certificate,
                "smtpd_tls_key_file": rsa_key, "smtpd_tls_CAfile": ca.certificate, "smtpd_tls_fingerprint_digest": "sha256",
                "tls_medium_cipherlist": "ALL:@SECLEVEL=0", "smtpd_tls_protocols": ">=TLSv1",
                "tls_server_sni_maps": f"inline:{{ sni.example={ca.chain_file('sni', name='sni.example')} }}",
                "relayhost": f"[127.0.0.1]:{sink.port}", "mydestination": "", "smtp_tls_security_level": "none"})
            both[kind] = (one, sink)
        try:
            for one, _ in both.values():
                one.start()
            yield ca, both
        finally:
            for one, _ in both.values():
                one.close()


def context_of(ca, certificate=None, maximum=None, minimum=None, ciphers=None):
    context = ssl._create_unverified_context()
    if certificate:
        context.load_cert_chain(*map(str, certificate))
    if maximum:
        context.maximum_version = maximum
    if minimum:
        context.minimum_version = minimum
    if ciphers:
        context.set_ciphers(ciphers)
    return context


def normal(text):
    text = re.sub(r"^.*?(?:postfix/)?smtpd\[\d+\]: ", "", text)
    text = re.sub(r"\bid [0-9A-Za-z]{8,}", "id ID", text)
    text = re.sub(r"\((Postfix|Postroad)[^)]*\)", "(MTA)", text)
    text = re.sub(r"error:[0-9A-F]+:SSL routines:[^:]*:", "error:N:SSL routines::", text)
    text = re.sub(r"(error:N:SSL routines::[^:]*):.*", r"\1", text)
    return re.sub(r"; (Sun|Mon|Tue|Wed|Thu|Fri|Sat),.*", "; DATE", text)


def about_tls(line):
    """
    Neither the engine, which is started once, nor the steps of the handshake, of which we say whose they are, nor what is wrong with a certificate that was only
    asked for: Postfix says it when that is asked for by name ("untrusted"), we do at level 2.
    """
    if re.search("server-side TLS engine|SSL_accept:|SSL3 alert|: depth=|certificate verification failed", line):
        return False
    return re.search(r"smtpd\[\d+\]: ", line) and re.search(r"TLS|SSL|certificate|subject_CN|STARTTLS|disconnect", line)


def send(one, sink, context, greeting, name):
    """A message over STARTTLS; its Received header and what the server logged about TLS."""
    seen = len(one.log())
    known = len(sink.messages)
    with smtplib.SMTP(one.address, one.smtp_port, timeout=30 * PATIENCE, local_hostname="client.example") as client:
        getattr(client, greeting)("client.example")
        client.does_esmtp = False       # as for smtplib
        assert client.docmd("STARTTLS")[0] == 220
        client.sock, client.file = context.wrap_socket(client.sock, server_hostname=name), None
        getattr(client, greeting)("client.example")
        client.does_esmtp = False
        client.mail("a@example.net")
        client.rcpt("b@example.com")
        client.data("Subject: x\r\n\r\nhello\r\n")
    wait_until(lambda: len(sink.messages) > known, 60, "the message")
    wait_until(lambda: "disconnect from" in one.log()[seen:], 60, "the end in the log")
    header = sink.messages[-1].content.decode().replace("\r\n", "\n")
    received = re.search(r"^Received: .*?\n(?=\S)", header, re.M | re.S).group(0)
    return [normal(line) for line in one.log()[seen:].splitlines() if about_tls(line)], normal(received.replace("\n", "|"))


CASES = {
    "anonymous": {},
    "HELO": {"greeting": "helo"},
    "TLS 1.2": {"maximum": ssl.TLSVersion.TLSv1_2},
    "TLS 1.2, RSA": {"maximum": ssl.TLSVersion.TLSv1_2, "ciphers": "ECDHE-RSA-AES128-GCM-SHA256"},
    "TLS 1.2, DHE": {"maximum": ssl.TLSVersion.TLSv1_2, "ciphers": "DHE-RSA-AES256-GCM-SHA384"},
    "TLS 1.2, no forward secrecy": {"maximum": ssl.TLSVersion.TLSv1_2, "ciphers": "AES256-SHA"},
    "TLS 1.0": {"maximum": ssl.TLSVersion.TLSv1, "minimum": ssl.TLSVersion.TLSv1, "ciphers": "ALL:@SECLEVEL=0"},
    "trusted": {"certificate": "good"},
    "trusted, TLS 1.2": {"certificate": "good", "maximum": ssl.TLSVersion.TLSv1_2},
    "expired": {"certificate": "expired"},
    "foreign": {"certificate": "foreign"},
    "SNI": {"name": "sni.example"},
    "another SNI": {"name": "other.example"},
}


@pytest.mark.parametrize("case", CASES)
def test_log_and_received_are_the_same(world, case):
    ca, both = world
    what = dict(CASES[case])
    greeting, name = what.pop("greeting", "ehlo"), what.pop("name", None)
    if "certificate" in what:
        issuer = Authority(ca.directory / "foreign") if what["certificate"] == "foreign" else ca
        what["certificate"] = issuer.issue(what["certificate"], name="client.example", valid=(-10, -1) if what["certificate"] == "expired" else (-1, 30))
    ours, theirs = (send(one, sink, context_of(ca, **what), greeting, name) for one, sink in both.values())
    assert "\n".join([*ours[0], ours[1]]).replace("|", "\n") == "\n".join([*theirs[0], theirs[1]]).replace("|", "\n")
