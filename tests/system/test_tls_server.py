# SPDX-License-Identifier: ISC
"""TLS in smtpd: STARTTLS and wrapper mode, what is refused without, certificates of both sides, hostile handshakes."""

import os
import re
import shutil
import smtplib
import socket
import ssl
import subprocess
import time

import pytest

from certificates import Authority, fingerprint, key_fingerprint, let_others_search, openssl
from instance import IS_ROOT, PATIENCE, SANITIZED, free_port, wait_until
from sink import Sink

HELLO = b"EHLO client.example\r\n"


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


def trusting(ca, chain=None):
    context = ssl.create_default_context(cafile=str(ca.certificate))
    if chain is not None:
        context.load_cert_chain(*map(str, chain))
    return context


def secure(ca, label="server", **more):
    """main.cf for a server with a certificate of its own."""
    certificate, key = ca.issue(label)
    return {"smtpd_tls_cert_file": certificate, "smtpd_tls_key_file": key, "smtpd_tls_security_level": "may", "smtpd_tls_loglevel": "1",
            **more}


class Raw:
    """A client that says bytes and reads replies."""

    def __init__(self, mail, port=None):
        self.sock = socket.create_connection((mail.address, port or mail.smtp_port), timeout=30 * PATIENCE)
        self.file = self.sock.makefile("rb")

    def reply(self):
        lines = []
        while True:
            line = self.file.readline()
            lines.append(line.decode().rstrip("\r\n"))
            if line[3:4] != b"-":
                return lines

    def say(self, bytes_):
        self.sock.sendall(bytes_)
        return self.reply()

    def close(self):
        self.file.close()
        self.sock.close()


def test_a_message_comes_in_over_starttls(instance, ca):
    with Sink() as sink:
        mail = instance(main=secure(ca, smtpd_tls_received_header="yes", relayhost=f"[127.0.0.1]:{sink.port}"))
        with mail.client() as client:
            client.ehlo()
            assert client.has_extn("starttls")
            client._host = "localhost"
            client.starttls(context=trusting(ca))
            assert client.sock.version() == "TLSv1.3"
            client.ehlo()
            assert not client.has_extn("starttls")
            assert client.docmd("STARTTLS")[0] == 554
            client.sendmail("a@example.net", ["b@example.com"], "Subject: x\n\n" + "hello\n" * 20000)
        wait_until(lambda: sink.messages, 30, "the message")
        message = sink.messages[0].content.decode()
    assert message.count("hello") == 20000
    assert re.search(r"\n\t\(using TLSv1\.3 with cipher TLS_AES_256_GCM_SHA384 \(256/256 bits\)\r?\n\t key-exchange X25519 "
                     r"server-signature ECDSA \(prime256v1\) server-digest SHA256\)\r?\n\t\(No client certificate requested\)\r?\n\t"
                     r"by mail\.example\.org \(\S+\) with ESMTPS id ", message), message[:2000]
    mail.wait_for_log(r"Anonymous TLS connection established from \S+\[127\.0\.0\.1\]: TLSv1\.3 with cipher TLS_AES_256_GCM_SHA384 "
                      r"\(256/256 bits\) key-exchange X25519 server-signature ECDSA \(prime256v1\) server-digest SHA256$")
    mail.wait_for_log(r"disconnect from \S+\[127.0.0.1\] ehlo=2 starttls=1/2 mail=1 rcpt=1 data=1 quit=1 commands=7/8")


def test_without_configuration_there_is_no_tls(instance):
    mail = instance()
    with mail.client() as client:
        client.ehlo()
        assert not client.has_extn("starttls")
        assert client.docmd("STARTTLS")[0] == 502


def test_what_is_sent_behind_starttls_in_the_clear_is_never_heard(instance, ca):
    mail = instance(main=secure(ca, smtpd_forbid_unauth_pipelining="no"))
    client = Raw(mail)
    client.reply()
    client.say(HELLO)
    client.say(b"MAIL FROM:<before@example.net>\r\n")
    assert client.say(b"STARTTLS\r\nRSET\r\nMAIL FROM:<injected@example.net>\r\n")[0].startswith("220 ")
    client.file.close()
    context = trusting(ca)
    with context.wrap_socket(client.sock, server_hostname="localhost") as safe:
        file = safe.makefile("rb")
        # neither the name nor the transaction of before is known, and no reply to the injected commands comes
        safe.sendall(b"RCPT TO:<x@example.org>\r\n")
        assert file.readline().startswith(b"503 5.5.1 Error: need MAIL")
        safe.sendall(b"NOOP\r\nQUIT\r\n")
        assert file.readline().startswith(b"250 2.0.0")
        assert file.readline().startswith(b"221 2.0.0")
        assert file.readline() == b""
    mail.wait_for_log(r"warning: input from \S+\[127.0.0.1\] behind STARTTLS is thrown away")
    assert "injected" not in "\n".join(line for line in mail.log().splitlines() if "improper" not in line)


def test_encrypt_lets_nothing_pass_in_the_clear(instance, ca):
    mail = instance(main=secure(ca, smtpd_tls_security_level="encrypt"))
    client = Raw(mail)
    client.reply()
    assert any("STARTTLS" in line for line in client.say(HELLO))
    for command in (b"MAIL FROM:<>", b"RCPT TO:<x@example.org>", b"VRFY x", b"RSET", b"ETRN example.org", b"DATA", b"HELP"):
        assert client.say(command + b"\r\n") == ["530 5.7.0 Must issue a STARTTLS command first"]
    assert client.say(b"NOOP\r\n")[0].startswith("250")
    assert client.say(b"QUIT\r\n")[0].startswith("221")
    client.close()
    with mail.client() as client:
        client.starttls(context=ssl._create_unverified_context())
        client.ehlo()
        assert client.mail("a@example.net")[0] == 250


def test_wrapper_mode_and_its_row_in_master_cf(instance, ca):
    port = free_port()
    mail = instance(main=secure(ca), master=f"127.0.0.1:{port} inet n - n - - smtpd\n  -o syslog_name=postfix/submissions\n"
                    "  -o smtpd_tls_wrappermode=yes\n")
    with smtplib.SMTP_SSL("localhost", port, context=trusting(ca), timeout=30 * PATIENCE) as client:
        client.ehlo()
        assert not client.has_extn("starttls")
        assert client.mail("a@example.net")[0] == 250
    mail.wait_for_log(r"postfix/submissions/smtpd\[\d+\]: Anonymous TLS connection established from")
    plain = socket.create_connection(("127.0.0.1", port), timeout=30 * PATIENCE)
    plain.sendall(b"EHLO client.example\r\n")
    assert not plain.recv(1000).startswith(b"220")
    mail.wait_for_log(r"SSL_accept error from \S+\[127.0.0.1\]: -1")
    mail.wait_for_log(r"warning: TLS library problem: error:")
    mail.wait_for_log(r"lost connection after CONNECT from")
    plain.close()


def test_protocols_and_ciphers_are_those_configured(instance, ca):
    port = free_port()
    mail = instance(main=secure(ca, smtpd_tls_protocols="TLSv1.2", smtpd_tls_ciphers="high", smtpd_tls_exclude_ciphers="AES128, CAMELLIA"),
                    master=f"127.0.0.1:{port} inet n - n - - smtpd\n  -o smtpd_tls_security_level=encrypt -o smtpd_tls_mandatory_ciphers=null\n"
                           "  -o { tls_null_cipherlist = eNULL:aNULL } -o tls_eecdh_auto_curves=\n")
    def probe(*options, port=mail.smtp_port):
        with Closing(mail, port) as raw:
            context = ssl._create_unverified_context()
            for change in options:
                change(context)
            raw.sock.settimeout(30 * PATIENCE)
            with context.wrap_socket(raw.sock) as safe:
                return safe.version(), safe.cipher()[0]
    assert probe() == ("TLSv1.2", "ECDHE-ECDSA-AES256-GCM-SHA384")
    with pytest.raises((ssl.SSLError, OSError)):
        probe(lambda context: context.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256"))
    with pytest.raises((ssl.SSLError, OSError)):
        probe(lambda context: setattr(context, "minimum_version", ssl.TLSVersion.TLSv1_3))
    mail.wait_for_log(r"SSL_accept error from", 2)
    # where TLS is mandatory, too, whatever the library thinks of such versions and ciphers
    def old(ciphers):
        def change(context):
            context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1
            context.set_ciphers(f"{ciphers}:@SECLEVEL=0")
        return change
    assert probe(old("eNULL"), port=port) == ("TLSv1", "ECDHE-ECDSA-NULL-SHA")
    assert probe(old("aNULL"), port=port)[1].startswith("AECDH")
    assert probe(lambda context: context.set_ecdh_curve("prime256v1"), port=port)[0] == "TLSv1.3"


class Closing:
    """A raw client that has said STARTTLS."""

    def __init__(self, mail, port=None):
        self.raw = Raw(mail, port)
        self.raw.reply()
        self.raw.say(HELLO)
        assert self.raw.say(b"STARTTLS\r\n")[0].startswith("220")
        self.raw.file.close()

    def __enter__(self):
        return self.raw

    def __exit__(self, *error):
        self.raw.sock.close()


def test_several_kinds_of_keys_in_chain_files(instance, ca):
    both = ca.directory / "both.chain"
    both.write_text(ca.chain_file("multi-ec").read_text() + ca.chain_file("multi-rsa", kind="rsa").read_text())
    primes = ca.directory / "dh"
    openssl("genpkey", "-genparam", "-algorithm", "DH", "-pkeyopt", "group:ffdhe3072", "-out", primes)
    mail = instance(main=secure(ca, smtpd_tls_chain_files=f"{both}, {ca.chain_file('multi-ed', kind='ED25519')}", smtpd_tls_dh1024_param_file=primes))
    shown = openssl("s_client", "-connect", f"127.0.0.1:{mail.smtp_port}", "-starttls", "smtp", "-tls1_2", "-cipher", "DHE-RSA-AES256-GCM-SHA384", "-ign_eof",
                    input=b"QUIT\r\n")
    assert "Server Temp Key: DH, 3072 bits" in shown
    assert re.search(r"Session-ID: [0-9A-F]{64}", shown)        # smtpd_tls_always_issue_session_ids
    for algorithms, words in (("ECDSA+SHA256", "ECDSA (prime256v1)"), ("RSA-PSS+SHA256", "RSA-PSS (2048 bits)"), ("ed25519", "ED25519 (256 bits)")):
        openssl("s_client", "-connect", f"127.0.0.1:{mail.smtp_port}", "-starttls", "smtp", "-sigalgs", algorithms, "-CAfile", ca.certificate,
                "-verify_return_error", "-verify_hostname", "localhost", input=b"QUIT\r\n")
        mail.wait_for_log(r"TLS connection established from .* server-signature " + re.escape(words))


def test_client_certificates_are_known_by_their_fingerprints(instance, ca):
    known, unknown, foreign = ca.issue("known", name="known.example"), ca.issue("unknown"), Authority(ca.directory / "foreign").issue("foreign")
    access = ca.directory / "access"
    access.write_text(f"{key_fingerprint(foreign[0])} REJECT we know this one\n")
    relay = ca.directory / "relay"
    relay.write_text(f"{fingerprint(known[0])} known\n")
    # each kind of key says something else: which is looked up first, or at all, is told by what is found
    kinds = ca.directory / "kinds"
    kinds.write_text(f"{fingerprint(known[0])} WARN by the certificate\n{key_fingerprint(known[0])} WARN by the key\n")
    orders = ("texthash:{0}", "{{ texthash:{0} }}", "{{ texthash:{0}, {{ search_order = pubkey_fingerprint, cert_fingerprint }} }}",
              "{{ texthash:{0} {{ search_order = cert_fingerprint }} }}", "{{ texthash:{0} {{ search_order = pubkey_fingerprint }} }}")
    mail = instance(main=secure(ca, smtpd_tls_ask_ccert="yes", smtpd_tls_loglevel="2", smtpd_tls_CAfile=ca.certificate, mynetworks="192.0.2.1", smtpd_tls_received_header="yes",
                                relay_clientcerts=f"texthash:{relay}",
                                smtpd_client_restrictions=f"check_ccert_access texthash:{access}, " + ", ".join(
                                    "check_ccert_access " + order.format(kinds) for order in orders),
                                smtpd_relay_restrictions="permit_tls_clientcerts, reject_unauth_destination"))

    def rcpt(certificate):
        with mail.client() as client:
            client._host = "localhost"
            client.starttls(context=trusting(ca, certificate))
            client.ehlo()
            client.mail("a@example.net")
            return client.rcpt("b@elsewhere.example")
    assert rcpt(known)[0] == 250
    found = [re.search(r"by the (\w+);", line).group(1) for line in mail.wait_for_log(r"NOQUEUE: warn: RCPT from \S+: by the ", 8)]
    # a WARN is no opinion: the other fingerprint is asked too
    assert found == ["certificate", "key", "certificate", "key", "key", "certificate", "certificate", "key"]
    assert rcpt(unknown) == (554, b"5.7.1 <b@elsewhere.example>: Relay access denied")
    assert rcpt(None)[0] == 554
    code, text = rcpt(foreign)
    assert code == 554 and b"Client certificate rejected: we know this one" in text
    mail.wait_for_log(r"\[127.0.0.1\]: subject_CN=known\.example, issuer=Test CA, fingerprint=" + fingerprint(known[0])
                      + ", pkey_fingerprint=" + key_fingerprint(known[0]))
    mail.wait_for_log(r"Trusted TLS connection established from", 2)
    mail.wait_for_log(r"Untrusted TLS connection established from")
    mail.wait_for_log(r"certificate verification failed for \S+\[127.0.0.1\]: untrusted issuer /CN=Test CA$")


def test_a_trusted_certificate_can_be_demanded(instance, ca):
    good, foreign = ca.issue("good"), Authority(ca.directory / "others").issue("bad")
    first = ca.below("first-above")
    second = first.below("second-above")
    far = second.issue("far")
    far[0].write_text("".join(path.read_text() for path in (far[0], second.certificate, first.certificate)))
    mail = instance(main=secure(ca, smtpd_tls_security_level="encrypt", smtpd_tls_req_ccert="yes", smtpd_tls_CApath=ca.hashed_directory(), smtpd_tls_ccert_verifydepth="0",
                                smtpd_tls_loglevel="0", smtpd_tls_loglevel_maps="inline:{ 127.0.0=ssl-developer }", smtpd_tls_trace_size_limit="600",
                                tls_trace_rate_limit="0"))
    refused = {foreign: "Client certificate not trusted", far: "Client certificate not trusted", None: "No client certificate presented"}
    for certificate in (good, foreign, far, None):
        with mail.client() as client:
            client._host = "localhost"
            client.starttls(context=trusting(ca, certificate))
            if certificate == good:
                client.ehlo()
                assert client.mail("a@example.net")[0] == 250
                continue
            assert client.docmd("EHLO client.example") == (421, f"4.7.1 mail.example.org Error: {refused[certificate]}".encode())
        mail.wait_for_log(rf"NOQUEUE: abort: TLS from localhost\[127.0.0.1\]: {refused[certificate]}$")
    mail.wait_for_log(r"certificate verification failed for localhost\[127.0.0.1\]: untrusted issuer /CN=")
    # what was asked for to be seen: steps, certificates, bytes
    mail.wait_for_log(r"\[127\.0\.0\.1\]: SSL_accept:SSLv3/TLS read client hello$", 3)
    mail.wait_for_log(r"\[127\.0\.0\.1\]: depth=1 verify=1 subject=/CN=Test CA$")
    mail.wait_for_log(r"\[127\.0\.0\.1\]: 0000 16 03 01 ", 3)
    mail.wait_for_log(r"\[127\.0\.0\.1\]: the rest is not shown$", 3)
    mail.set(smtpd_tls_ccert_verifydepth="1")
    mail.reload()

    def is_trusted():
        with mail.client() as client:
            client._host = "localhost"
            client.starttls(context=trusting(ca, far))
            return client.docmd("EHLO client.example")[0] == 250
    wait_until(is_trusted, 30, mail.log_tail, pause=0.1)


@pytest.mark.parametrize("trusted", ("no", "yes"))
def test_a_certificate_for_servers_may_count_as_a_clients(instance, ca, trusted):
    certificate, key = ca.issue("for-servers", more="extendedKeyUsage=serverAuth\n")
    mail = instance(main=secure(ca, smtpd_tls_ask_ccert="yes", smtpd_tls_CAfile=ca.certificate, tls_trust_server_ccerts=trusted))
    with mail.client() as client:
        client._host = "localhost"
        client.starttls(context=trusting(ca, (certificate, key)))
        client.ehlo()
    mail.wait_for_log(("Trusted" if trusted == "yes" else "Untrusted") + r" TLS connection established from")


def greet_over_tls(port, *options):
    """What openssl s_client shows of a session over STARTTLS."""
    return openssl("s_client", "-connect", f"127.0.0.1:{port}", "-starttls", "smtp", "-ign_eof", *options, input=b"QUIT\r\n")


def ticket_key_name(port):
    """A ticket begins with the name of the key that sealed it (RFC 5077 4). None: there was no ticket."""
    ticket = re.search(r"TLS session ticket:\n\s+0000 - ((?:[0-9a-f]{2}[ -]){16})", greet_over_tls(port, "-tls1_2"))
    return ticket and ticket.group(1)


def test_sessions_are_resumed_by_all_workers_of_a_service_and_by_no_other(instance, ca):
    port = free_port()
    mail = instance(main=secure(ca, smtpd_client_port_logging="yes", worker_session_limit="1"),     # so that who is busy with one client does not get the next
                    master=f"127.0.0.1:{port} inet n - n - - smtpd\n  -o syslog_name=postfix/other\n")
    wait_until(lambda: ticket_key_name(mail.smtp_port) and ticket_key_name(port), 30, "tickets, once the keys are there")

    def session(*options):
        """What s_client shows, and which worker it met: by its port, since the lines of sessions before may come late."""
        own = free_port()
        shown = greet_over_tls(mail.smtp_port, "-bind", f"127.0.0.1:{own}", *options)
        line, *_ = mail.wait_for_log(rf"smtpd\[\d+\]: Anonymous TLS connection established from \S+\[127.0.0.1\]:{own}: ")
        return shown, re.search(r"smtpd\[(\d+)\]", line).group(1)

    for version in ("-tls1_2", "-tls1_3"):
        saved, busy = ca.directory / f"session{version}", []
        _, giver = session(version, "-sess_out", saved)

        def resumed_by_another():
            shown, worker = session(version, "-sess_in", saved)
            if worker == giver:
                busy.append(Raw(mail))
            return worker != giver and "Reused, TLSv1" in shown
        wait_until(resumed_by_another, 60, "another worker resumes the session")
        for client in busy:
            client.close()
        assert "Reused, TLSv1" not in greet_over_tls(port, version, "-sess_in", saved)
    # a process that has just begun may not have keys yet
    ours, others = ({ticket_key_name(one) for _ in range(5)} - {None} for one in (mail.smtp_port, port))
    assert len(ours) == len(others) == 1 and ours != others
    # keys outlast the death of tlsmgr, and a reload, for the first clients of a new process too; not the end of the mail system
    (pid,) = mail.pids("tlsmgr")
    os.kill(pid, 9)
    wait_until(lambda: mail.pids("tlsmgr") not in ([], [pid]), 30, "another tlsmgr")
    saved, old = ca.directory / "session-before", set(mail.pids("smtpd"))
    greet_over_tls(port, "-tls1_3", "-sess_out", saved)
    mail.reload()
    wait_until(lambda: not old & set(mail.pids("smtpd")), 30, "the processes of before have gone")
    wait_until(lambda: "Reused, TLSv1" in greet_over_tls(port, "-tls1_3", "-sess_in", saved), 30, "the session is resumed by a new process")
    assert {ticket_key_name(port) for _ in range(3)} == others
    mail.stop()
    mail.start()
    wait_until(lambda: ticket_key_name(port) not in (None, *others), 30, "new keys")


def test_keys_of_tickets_are_replaced_and_files_out_of_sight_are_no_reason_to_leave(instance, tmp_path):
    private = Authority(tmp_path / "private")
    private.directory.chmod(0o700)              # for root, whose daemons cannot look whether a file there has changed
    mail = instance(main=secure(private, worker_processes="1", smtpd_tls_session_cache_timeout="1s"))
    names, begin = set(), time.monotonic()
    wait_until(lambda: names.add(ticket_key_name(mail.smtp_port)) or len(names - {None}) >= 3, 60, lambda: f"three keys: {names}")
    pids = mail.pids("smtpd")
    saved = private.directory / "session-old"
    greet_over_tls(mail.smtp_port, "-tls1_2", "-sess_out", saved)
    wait_until(lambda: "Reused" not in greet_over_tls(mail.smtp_port, "-tls1_2", "-sess_in", saved), 30, "the ticket is too old")
    # files are looked at each second, and taken up when they have been quiet for two
    wait_until(lambda: greet_over_tls(mail.smtp_port) and time.monotonic() > begin + 5, 60, pause=0.2)
    assert mail.pids("smtpd") == pids


@pytest.mark.parametrize("without", ({"smtpd_tls_session_cache_timeout": "0"}, {"tls_session_ticket_cipher": ""}, {"tlsmgr_service_name": "nobody"}))
def test_without_tickets_there_are_full_handshakes(instance, ca, without):
    mail = instance(main=secure(ca, worker_processes="1", **without))
    for version in ("-tls1_2", "-tls1_3"):
        saved = ca.directory / "session-none"
        saved.unlink(missing_ok=True)
        greet_over_tls(mail.smtp_port, version, "-sess_out", saved)
        if saved.exists():
            assert "Reused" not in greet_over_tls(mail.smtp_port, version, "-sess_in", saved)
    assert ticket_key_name(mail.smtp_port) is None
    trouble = "no new keys for TLS session tickets: service tlsmgr: No such file"
    if "tlsmgr_service_name" in without:
        mail.wait_for_log(trouble)
    else:
        assert not mail.log_lines(trouble)


def presented_for(mail, name):
    """The certificate that a client sees which asks for this name."""
    with Closing(mail) as raw:
        context = ssl._create_unverified_context()
        with context.wrap_socket(raw.sock, server_hostname=name) as safe:
            return ssl.DER_cert_to_PEM_cert(safe.getpeercert(True))


def test_certificates_by_the_name_that_is_asked_for(instance, ca):
    directory = ca.directory / "sni"
    directory.mkdir(mode=0o700)
    chains = {kind: ca.chain_file(f"sni-{kind}", name=f"{kind}.example") for kind in ("texthash", "hash", "lmdb", "pcre", "inline")}
    rsa = ca.chain_file("sni-rsa", name="hash.example", kind="rsa")
    expected = {f"{kind}.example": (ca.directory / f"sni-{kind}.pem").read_text() for kind in chains}
    (directory / "texthash").write_text(f"texthash.example {chains['texthash']}\n.below.example {chains['texthash']}\n"
                                        f"broken.example {ca.certificate}\n")
    (directory / "hash").write_text(f"hash.example {chains['hash']}, {rsa}\n")
    (directory / "lmdb").write_text(f"lmdb.example {chains['lmdb']}\n")
    (directory / "pcre").write_text(f"/^pcre\\.example$/ {chains['pcre']}\n")
    maps = ", ".join(f"{kind}:{directory / kind}" for kind in ("texthash", "hash", "lmdb", "pcre"))
    mail = instance(main=secure(ca, tls_server_sni_maps=f"{maps}, inline:{{ inline.example={chains['inline']} }}"), start=False)
    mail.write()
    for kind in ("hash", "lmdb"):
        mail.command("postmap", "-F", f"{kind}:{directory / kind}")
        chains[kind].unlink()           # the table has what was in it
    mail.start()
    for name, certificate in expected.items():
        assert presented_for(mail, name) == certificate, name
    assert presented_for(mail, "TextHash.Example") == expected["texthash.example"]
    assert presented_for(mail, "a.b.below.example") == expected["texthash.example"]
    own = presented_for(mail, None)
    assert own == mail.main["smtpd_tls_cert_file"].read_text()
    assert presented_for(mail, "below.example") == own
    assert presented_for(mail, "other.example") == own
    assert presented_for(mail, "not_a-.name.example") == own
    for algorithms, words in (("ECDSA+SHA256", "ECDSA"), ("RSA-PSS+SHA256", "RSA-PSS")):
        shown = greet_over_tls(mail.smtp_port, "-servername", "hash.example", "-sigalgs", algorithms, "-tlsextdebug")
        assert 'server extension "server name"' in shown
        mail.wait_for_log(r"Anonymous TLS connection established from \S+\[127\.0\.0\.1\] to hash\.example: TLSv1\.3 .* server-signature " + words)
    with pytest.raises((ssl.SSLError, OSError)):
        presented_for(mail, "broken.example")
    mail.wait_for_log(r"warning: TLS library problem: the certificates for that name: a private key and its certificate are needed, and there is no key")
    mail.wait_for_log(r"TLS SNI other\.example from \S+\[127\.0\.0\.1\] not matched, using default chain")
    mail.wait_for_log(r"warning: TLS SNI not_a-\.name\.example from \S+\[127\.0\.0\.1\] is invalid")


@pytest.mark.skipif(not shutil.which("gnutls-cli"), reason="there is no gnutls-cli")
@pytest.mark.parametrize("version", ("1.2", "1.3"))
def test_another_library_agrees(instance, ca, version):
    """GnuTLS: the version that it insists on, the certificate, and its session resumed by another connection."""
    mail = instance(main=secure(ca, worker_processes="1"))
    wait_until(lambda: ticket_key_name(mail.smtp_port), 30, "tickets, once the keys are there")
    done = subprocess.run(["gnutls-cli", "--starttls-proto=smtp", f"--x509cafile={ca.certificate}", "--sni-hostname=localhost", "--verify-hostname=localhost",
                           f"--priority=NORMAL:-VERS-ALL:+VERS-TLS{version}", "--resume", "--waitresumption", "-p", str(mail.smtp_port), "127.0.0.1"],
                          input=b"QUIT\r\n", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60 * PATIENCE)
    said = done.stdout.decode(errors="replace")
    assert "The certificate is trusted" in said and f"(TLS{version}-" in said and "This is a resumed session" in said, said
    mail.wait_for_log(rf"TLS connection established from \S+: TLSv{re.escape(version)} with cipher", 2)


def peer_name(mail):
    with Closing(mail) as raw:
        with ssl._create_unverified_context().wrap_socket(raw.sock) as safe:
            return safe.getpeercert(True)


def test_new_certificates_are_taken_up_and_wrong_ones_are_not(instance, ca):
    main = secure(ca, "renewed", worker_processes="1")
    certificate, key = main["smtpd_tls_cert_file"], main["smtpd_tls_key_file"]
    if IS_ROOT:                 # so that the daemon may read it again
        key.chmod(0o644)
        let_others_search(ca.directory)
    mail = instance(main=main)
    first = peer_name(mail)
    pids = mail.pids("smtpd")
    other_certificate, other_key = ca.issue("renewed-other")
    certificate.write_text(other_certificate.read_text())       # does not fit the key
    wait_until(lambda: peer_name(mail) and mail.log_lines("new TLS key or certificate files are not used: .*private key mismatch"), 30, pause=0.3)
    assert peer_name(mail) == first
    key.write_text("-----BEGIN PRIVATE KEY-----\nnonsense\n-----END PRIVATE KEY-----\n")
    wait_until(lambda: peer_name(mail) and mail.log_lines("new TLS key or certificate files are not used: .*renewed.key: the private key cannot be read"), 30, pause=0.3)
    assert peer_name(mail) == first
    key.write_text(other_key.read_text())
    wait_until(lambda: peer_name(mail) != first, 30, pause=0.3)
    mail.wait_for_log("TLS key and certificate files have changed and are in use")
    assert mail.pids("smtpd") == pids


@pytest.mark.skipif(not IS_ROOT, reason="only root has keys that daemons cannot read")
def test_keys_that_only_root_can_read_are_taken_up_by_new_processes(instance, ca):
    main = secure(ca, "private")
    let_others_search(ca.directory)
    mail = instance(main={**main, "worker_processes": "1"})         # of several, one would still show the first pair when another has the second
    first = peer_name(mail)
    certificate, key = ca.issue("private-new")
    main["smtpd_tls_key_file"].write_text(key.read_text())
    main["smtpd_tls_cert_file"].write_text(certificate.read_text())
    second = wait_until(lambda: peer_name(mail) != first and peer_name(mail), 40, pause=0.3)
    # those that are no good keep nobody out, however often processes begin anew: the good ones outlast them
    main["smtpd_tls_key_file"].write_text("this is no key")
    def is_refused():
        assert peer_name(mail) == second
        return mail.log_lines("warning: new TLS key or certificate files are not used: .*there is no key")
    wait_until(is_refused, 40, pause=0.3)
    assert mail.kill("smtpd") >= 1
    wait_until(lambda: len(is_refused()) >= 2, 40, pause=0.3)
    third, key = ca.issue("private-third")
    main["smtpd_tls_cert_file"].write_text(third.read_text())
    main["smtpd_tls_key_file"].write_text(key.read_text())
    wait_until(lambda: peer_name(mail) != second, 40, pause=0.3)


def test_without_a_usable_certificate_mail_goes_on_in_the_clear(instance, ca):
    certificate, _ = ca.issue("lonely")
    _, key = ca.issue("stranger")
    mail = instance(main={"smtpd_tls_security_level": "may", "smtpd_tls_cert_file": certificate, "smtpd_tls_key_file": key})
    with mail.client() as client:
        client.ehlo()
        assert not client.has_extn("starttls")
        assert client.docmd("STARTTLS") == (454, b"4.7.0 TLS not available due to local problem")
        assert client.mail("a@example.net")[0] == 250
    mail.wait_for_log("warning: TLS is not available: .*private key mismatch")


def test_without_certificates_on_purpose_there_are_anonymous_ciphers(instance):
    mail = instance(main={"smtpd_tls_security_level": "may", "smtpd_tls_cert_file": "none", "smtpd_tls_ask_ccert": "yes", "smtpd_tls_loglevel": "1"})
    assert "New, TLSv1.2, Cipher is ADH-AES256-GCM-SHA384" in greet_over_tls(mail.smtp_port, "-cipher", "ALL:@SECLEVEL=0")
    mail.wait_for_log(r"Anonymous TLS connection established from localhost\[127.0.0.1\]: TLSv1.2 with cipher ADH-AES256-GCM-SHA384 \(256/256 bits\)")
    mail.wait_for_log("warning: a server without a certificate cannot ask clients for one")


@pytest.mark.parametrize("setting, words, offered", [
    ({"smtpd_tls_CApath": "/nonexistent/ca"}, "TLS is not available: CA directory /nonexistent/ca: No such file", False),
    ({"smtpd_tls_CAfile": "/nonexistent/ca"}, "TLS is not available: CA file /nonexistent/ca: ", False),
    ({"smtpd_tls_dh1024_param_file": "/nonexistent/dh"}, "DH parameters /nonexistent/dh: .* the standard ones are used", True),
])
def test_a_file_beside_the_certificate_that_is_missing_stops_no_mail(instance, ca, setting, words, offered):
    mail = instance(main=secure(ca, **setting))
    with mail.client() as client:
        client.ehlo()
        assert client.has_extn("starttls") == offered
        if offered:
            client.starttls(context=ssl._create_unverified_context())
            client.ehlo()
        assert client.mail("a@example.net")[0] == 250
    mail.wait_for_log(words)
    assert words.split(":")[0] in mail.command("postroad", "lint", check=False).stderr


REFUSED = {
    "level": ({"smtpd_tls_security_level": "perhaps"}, 'smtpd_tls_security_level: "perhaps" is none of'),
    "protocols": ({"smtpd_tls_protocols": "TLSv9"}, 'smtpd_tls_protocols: "TLSv9" is no TLS protocol version'),
    "grade": ({"smtpd_tls_ciphers": "best"}, 'smtpd_tls_ciphers: "best" is no cipher grade'),
    "ciphers": ({"tls_medium_cipherlist": "nonsense"}, "TLS: cipher list nonsense"),
    "digest": ({"smtpd_tls_fingerprint_digest": "sha257"}, 'there is no digest "sha257"'),
    "log level": ({"smtpd_tls_loglevel": "loud"}, 'smtpd_tls_loglevel: "loud" is no log level'),
    "library": ({"tls_config_file": "/nonexistent/openssl.cnf"}, "tls_config_file /nonexistent/openssl.cnf: "),
    "options": ({"tls_ssl_options": "NO_SUCH"}, 'tls_ssl_options or tls_disable_workarounds: "NO_SUCH" is no name'),
    "tickets": ({"tls_session_ticket_cipher": "aes-256-gcm"}, 'session ticket cipher "aes-256-gcm": it has to be a CBC cipher'),
}


@pytest.mark.parametrize("name", REFUSED)
def test_wrong_settings_end_the_start_and_are_named(instance, ca, name):
    from test_smtpd import foreground
    parameters, words = REFUSED[name]
    _, process = foreground(instance(main=secure(ca, **parameters), start=False))
    try:
        said, _ = process.communicate(timeout=20 * PATIENCE)
    finally:
        process.kill()
    assert process.returncode == 78 and re.search(words, said), said


# ---- hostile ----

def test_slow_and_broken_handshakes_hold_up_nobody(instance, ca):
    mail = instance(main=secure(ca, smtpd_starttls_timeout="4s", worker_processes="1"))
    slow = []
    for number in range(100):
        slow.append(Closing(mail).raw)
        slow[-1].sock.sendall(b"\x16\x03\x01\x02\x00\x01"[:1 + number % 6])     # a record that begins, and never ends
    with mail.client() as client:
        client.starttls(context=ssl._create_unverified_context())
        client.ehlo()
        assert client.mail("a@example.net")[0] == 250
    for raw in slow:
        raw.sock.settimeout(30 * PATIENCE)
        assert raw.sock.recv(100) == b""        # nothing in the clear after 220
        raw.sock.close()
    mail.wait_for_log(r"SSL_accept error from \S+: timeout", 100)
    mail.wait_for_log(r"timeout after STARTTLS from", 100)


def test_a_truncated_record_is_a_lost_connection_and_no_message(instance, ca):
    mail = instance(main=secure(ca))
    inner, outer = ssl.MemoryBIO(), ssl.MemoryBIO()
    with Closing(mail) as raw:
        tls = ssl._create_unverified_context().wrap_bio(inner, outer)

        def pump(call, *arguments):
            while True:
                try:
                    result = call(*arguments)
                except ssl.SSLWantReadError:
                    result = None
                if outer.pending:
                    raw.sock.sendall(outer.read())
                if result is not None or call == tls.do_handshake and tls.cipher() and tls.version() and not inner.pending and done():
                    return result
                inner.write(raw.sock.recv(65536))

        def done():
            try:
                tls.do_handshake()
                return True
            except ssl.SSLWantReadError:
                return False
        pump(tls.do_handshake)
        for line in (b"EHLO x\r\n", b"MAIL FROM:<a@example.net>\r\n", b"RCPT TO:<b@example.org>\r\n", b"DATA\r\n"):
            tls.write(line)
            raw.sock.sendall(outer.read())
            pump(tls.read, 10000)
        tls.write(b"Subject: x\r\n\r\nall of it\r\n.\r\n")
        record = outer.read()
        raw.sock.sendall(record[:-5])
        raw.sock.shutdown(socket.SHUT_WR)
        while raw.sock.recv(65536):
            pass
    mail.wait_for_log(r"lost connection after DATA .* from \S+\[127.0.0.1\]")
    assert not mail.log_lines("queued as|message-id=")


def test_an_idle_session_with_tls_is_small(instance, ca):
    if SANITIZED:
        pytest.skip("sanitizers have their own idea of memory")
    mail = instance(main=secure(ca, worker_processes="1", smtpd_client_connection_count_limit="0"))
    def memory():
        (pid,) = mail.pids("smtpd")
        text = open(f"/proc/{pid}/smaps_rollup").read()
        return int(re.search(r"Pss_Anon:\s+(\d+)", text).group(1)) if "Pss_Anon" in text else int(re.search(r"Anonymous:\s+(\d+)", text).group(1))
    def open_some(count):
        made = []
        for _ in range(count):
            client = smtplib.SMTP(mail.address, mail.smtp_port, timeout=60 * PATIENCE)
            client.starttls(context=ssl._create_unverified_context())
            client.ehlo()
            made.append(client)
        return made
    first = open_some(50)
    before = memory()
    more = open_some(200)
    grown = wait_until(lambda: (memory() - before) / 200, 20)
    time_of_trim = time.monotonic() + 20 * PATIENCE
    while grown > 48 and time.monotonic() < time_of_trim:       # stacks are given back when a wait lasts
        grown = (memory() - before) / 200
        time.sleep(0.2)
    for client in first + more:
        client.close()
    print(f"{grown:.1f} KiB for each idle TLS session")
    assert grown <= 48
