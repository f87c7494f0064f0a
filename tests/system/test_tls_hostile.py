# SPDX-License-Identifier: ISC
"""Hostile TLS clients of the SMTP server: handshakes that never end, nonsense instead of records, renegotiation, other protocols, names with a NUL.

POSTROAD_HOSTILE=long (make hostile) opens ten times as many half-open handshakes.
"""

import contextlib
import os
import re
import resource
import socket
import ssl
import subprocess

import pytest

from certificates import Authority, certificate_with_nul
from instance import PATIENCE, SANITIZED, Instance, wait_until
from toll import LONG, Toll

HALF_OPEN = 10000 if LONG else 200 if SANITIZED else 1000
KIB_EACH = 100          # of a handshake that stands still: two stack pages more, and the library's state


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def mail(ca):
    """One server for all: what an attack leaves behind would show in the next one. All sessions share one process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, HALF_OPEN + 1000)), hard))
    certificate, key = ca.issue("server")
    one = Instance(smtpd_limit="0", main={
        "smtpd_tls_security_level": "may", "smtpd_tls_cert_file": certificate, "smtpd_tls_key_file": key, "smtpd_tls_loglevel": "2",
        "smtpd_tls_ask_ccert": "yes", "smtpd_tls_CAfile": ca.certificate, "smtpd_tls_received_header": "yes", "worker_processes": "1", "max_use": "1000000",
        "smtpd_client_connection_count_limit": "0", "smtpd_starttls_timeout": "600s", "mynetworks": "192.0.2.1"})
    one.start()
    with one.client() as client:
        client.starttls(context=ssl._create_unverified_context())       # what is made once is made
        client.ehlo()
    yield one
    one.close()


def hello_of(context=None):
    """A client's first flight."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = (context or ssl._create_unverified_context()).wrap_bio(incoming, outgoing)
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


def after_starttls(mail):
    connection = socket.create_connection((mail.address, mail.smtp_port), timeout=60 * PATIENCE)
    assert connection.recv(1000).startswith(b"220 ")
    connection.sendall(b"STARTTLS\r\n")
    assert connection.recv(1000).startswith(b"220 ")
    return connection


def test_half_open_handshakes_cost_little_and_hold_up_nobody(mail):
    hello = hello_of()
    with contextlib.ExitStack() as stack:
        with Toll(mail, "smtpd") as toll:
            for number in range(HALF_OPEN):
                connection = stack.enter_context(after_starttls(mail))
                connection.sendall(hello if number % 2 else hello[:11])         # the server has answered, or waits for the rest
                if number % 2:
                    assert connection.recv(1) == b"\x16"
        stack.close()
        toll.check(most_mib=4 + HALF_OPEN * KIB_EACH / 1024, left_mib=4 + HALF_OPEN * 32 / 1024)
    with mail.client() as client:
        client.starttls(context=ssl._create_unverified_context())


def test_nonsense_instead_of_records_ends_the_connection(mail):
    hello = hello_of()
    with Toll(mail, "smtpd") as toll:
        for bytes_ in (b"\x16\x03\x01\xff\xff" + b"x" * 70000,          # a record longer than records may be
                       b"\x17\x03\x03\x00\x10" + bytes(16),             # data before the handshake
                       b"\x15\x03\x01\x00\x02\x02\x28",                 # a fatal alert
                       b"\x15\x03\x01\x00\x02\x01\x5a" * 100,           # warnings without end
                       b"\x14\x03\x03\x00\x01\x01" * 100,               # change cipher spec, again and again
                       hello[:5] + b"\x01\xff\xff\xff" + hello[9:],     # a hello of 16 MiB
                       hello[:43] + b"\xff" * (len(hello) - 43),        # a session id longer than the message
                       b"\x16\x03\x01\x00\x00" * 100,                   # empty records
                       b"EHLO client.example\r\nMAIL FROM:<>\r\n", os.urandom(20000)):
            with after_starttls(mail) as connection:
                with contextlib.suppress(OSError):
                    connection.sendall(bytes_)
                    connection.shutdown(socket.SHUT_WR)
                said = b""
                with contextlib.suppress(OSError):
                    while part := connection.recv(4096):
                        said += part
                assert said[:1] in (b"", b"\x15", b"\x16") and b"250" not in said[:4], (bytes_[:20], said)
    toll.check()


def test_renegotiation_is_refused(mail):
    process = subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{mail.smtp_port}", "-starttls", "smtp", "-tls1_2"],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    said = b""
    while b"250 CHUNKING" not in said:
        part = os.read(process.stdout.fileno(), 4096)
        assert part, said
        said += part
    process.stdin.write(b"R\n")
    process.stdin.flush()
    said, _ = process.communicate(timeout=60 * PATIENCE)
    assert b"no renegotiation" in said and b"verify return" not in said.partition(b"RENEGOTIATING")[2], said
    assert process.returncode != 0


def test_another_protocol_is_not_agreed_upon(mail):
    context = ssl._create_unverified_context()
    context.set_alpn_protocols(["http/1.1", "h2"])
    with after_starttls(mail) as connection, context.wrap_socket(connection) as safe:
        assert safe.selected_alpn_protocol() is None
        safe.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert safe.recv(1000).startswith(b"221 2.7.0 ")
        assert safe.recv(1000) == b""


def test_a_certificate_with_a_nul_in_its_name_has_none(mail, ca):
    certificate, key = certificate_with_nul(ca, "nul", "good.example", ".evil.example")
    context = ssl._create_unverified_context()
    context.load_cert_chain(str(certificate), str(key))
    with mail.client() as client:
        client.starttls(context=context)
        client.ehlo("x")
    line, *_ = mail.wait_for_log(r"subject_CN=")
    assert re.search(r"subject_CN=, issuer=Test CA, fingerprint=[0-9A-F:]{95},", line), line
    assert not mail.log_lines(r"subject_CN=good\.example")
    mail.wait_for_log(r"Trusted TLS connection established from ")      # a name is not what trust is about


def test_a_hello_in_a_thousand_pieces_is_a_hello(mail):
    """Each of its bytes in a record of its own: legal in TLS 1.2, and slow; whatever comes of it, it ends."""
    hello = hello_of()
    with after_starttls(mail) as connection:
        with contextlib.suppress(OSError):
            connection.sendall(b"".join(b"\x16\x03\x01\x00\x01" + hello[i:i + 1] for i in range(5, len(hello))))
        with contextlib.suppress(ConnectionResetError):         # what it left unread makes this of its end
            assert connection.recv(1) in (b"\x16", b"\x15", b"")
    wait_until(lambda: mail.client().__enter__() is not None, 30, "the server lives")
