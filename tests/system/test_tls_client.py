# SPDX-License-Identifier: ISC
"""TLS in the SMTP client: levels, names and fingerprints, what is deferred and why, and when mail goes in the clear."""

import contextlib
import re
import socket
import ssl

import pytest

from certificates import Authority, fingerprint, key_fingerprint, let_others_search, openssl
from instance import IS_ROOT, wait_until
from sink import Sink


class TlsSink(Sink):
    """A sink that offers STARTTLS (or begins with TLS: wrapped). reply: to STARTTLS. After 220 without a certificate it talks nonsense."""

    def __init__(self, chain=None, wrapped=False, reply="220 2.0.0 go", old=False, **more):
        self.chain, self.wrapped, self.reply, self.old = chain, wrapped, reply, old
        self.tls, self.names, self.hellos, self.clients = [], [], [], []
        self.client_authority = None            # a CA: clients have to have a certificate of its
        super().__init__(**more)

    def secure(self, handler):
        if self.chain is None:
            handler.wfile.write(b"this is no TLS, is it?\r\n" * 10)
            raise OSError("nonsense")
        with self.lock:
            self.hellos.append(handler.request.recv(16384, socket.MSG_PEEK))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*map(str, self.chain))
        if self.old:            # no more than TLS 1.0
            context.set_ciphers("ALL:@SECLEVEL=0")
            context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1
        if self.client_authority:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(str(self.client_authority.certificate))
        context.sni_callback = lambda _socket, name, _context: self.names.append(name)
        handler.request = handler.connection = context.wrap_socket(handler.request, server_side=True)
        handler.rfile, handler.wfile = handler.request.makefile("rb"), handler.request.makefile("wb")
        with self.lock:
            self.tls.append((handler.request.version(), handler.request.session_reused))
            self.clients.append(dict(pair[0] for pair in (handler.request.getpeercert() or {}).get("subject", ())).get("commonName"))

    def _session(self, handler):
        if self.wrapped:
            self.secure(handler)
            return super()._session(handler)
        handler.wfile.write(b"220 sink.example ESMTP\r\n")
        while line := handler.rfile.readline():
            with self.lock:
                self.commands.append(line.decode().strip())
            if line.startswith(b"STARTTLS"):
                handler.wfile.write(self.reply.encode() + (b"\r\n250 injected\r\n" if self.reply.startswith("2") else b"\r\n"))
                if self.reply.startswith("2"):
                    self.secure(handler)
                    handler.wfile = Behind(handler.wfile)
                return super()._session(handler if self.reply.startswith("2") else Pending(handler))
            if not line.startswith((b"EHLO", b"LHLO")):
                return super()._session(Pending(handler, line))
            handler.wfile.write(b"250-sink.example\r\n250 STARTTLS\r\n")


class Behind:
    """Swallows the greeting of a session that goes on after STARTTLS."""

    closed = False

    def __init__(self, to):
        self.to, self.greeted = to, False

    def write(self, data):
        if self.greeted:
            self.to.write(data)
        self.greeted = True

    def flush(self):
        self.to.flush()

    def close(self):
        with contextlib.suppress(OSError):      # the client left in the middle of something
            self.to.close()


class Pending:
    """A session that goes on in the clear, with a line that was read already."""

    def __init__(self, handler, line=b""):
        self.line, self.rest, self.rfile, self.wfile = line, handler.rfile, self, Behind(handler.wfile)

    def readline(self, *limit):
        line, self.line = self.line, b""
        return line or self.rest.readline(*limit)

    def __getattr__(self, name):
        return getattr(self.rest, name)


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


def relaying(instance, sink, **main):
    return instance(main={"relayhost": f"[localhost]:{sink.port}", "smtp_tls_loglevel": "1", "smtp_host_lookup": "native",
                          "inet_protocols": "ipv4", **main})


def deliver(mail):
    queue_id = mail.send("Subject: x\r\n\r\nx\r\n", recipients=["someone@example.com"])
    line, *_ = mail.wait_for_log(rf"{queue_id}: to=<someone@example.com>.* status=")
    return line


def test_tls_is_used_when_it_is_offered(instance, ca):
    with TlsSink(ca.issue("any")) as sink:
        mail = relaying(instance, sink)
        assert ", tls=may, dsn=2.0.0, status=sent" in deliver(mail)
        mail.wait_for_log(r"smtp\[\d+\]: Untrusted TLS connection established to localhost\[127.0.0.1\]:\d+: TLSv1.3 with cipher "
                          r"TLS_AES_256_GCM_SHA384 \(256/256 bits\) key-exchange X25519 server-signature ECDSA \(prime256v1\) server-digest SHA256")
        assert sink.commands.count("EHLO mail.example.org") == 2
    with Sink() as sink:
        assert ", tls=may:none, dsn=2.0.0, status=sent" in deliver(relaying(instance, sink))


def test_wrapped_and_resumed(instance, ca):
    with TlsSink(ca.issue("wrapped"), wrapped=True) as sink:
        mail = relaying(instance, sink, smtp_tls_security_level="encrypt", smtp_tls_wrappermode="yes", smtp_connection_cache_on_demand="no")
        for _ in range(2):
            assert ", tls=encrypt, dsn=2.0.0, status=sent" in deliver(mail)
        assert len(sink.tls) == 2


def test_levels_that_prove_the_server(instance, ca):
    good, expired = ca.issue("good", name="localhost"), ca.issue("expired", name="localhost", valid=(-20, -1))
    other, foreign = ca.issue("other", name="other.example"), Authority(ca.directory / "foreign").issue("foreign", name="localhost")
    wrong = "Server certificate not verified"
    hashed = ca.hashed_directory()
    for chain, level, more, words in (
            (good, "verify", {"smtp_tls_CAfile": "", "smtp_tls_CApath": hashed}, None), (good, "secure", {}, None), (other, "secure", {}, wrong), (other, "verify", {}, wrong),
            (other, "verify", {"smtp_tls_verify_cert_match": "hostname, .example"}, None),
            (expired, "verify", {}, wrong), (foreign, "secure", {}, wrong),
            (foreign, "fingerprint", {"smtp_tls_fingerprint_cert_match": fingerprint(foreign[0]).lower()}, None),
            (good, "fingerprint", {"smtp_tls_fingerprint_cert_match": fingerprint(foreign[0])}, wrong)):
        with TlsSink(chain) as sink:
            mail = relaying(instance, sink, **{"smtp_tls_security_level": level, "smtp_tls_CAfile": ca.certificate, **more})
            line = deliver(mail)
            if words is None:
                assert f", tls={level}, dsn=2.0.0, status=sent" in line
                mail.wait_for_log("Verified TLS connection established to")
            else:
                assert "dsn=4.7.5, status=deferred" in line and words in line, line
                assert not sink.messages
            mail.stop()


class Renewing(TlsSink):
    """TLS 1.2, whose sessions show the certificate that they began with, and tickets that outlast a new one."""

    def secure(self, handler):
        if not hasattr(self, "context"):
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.maximum_version = ssl.TLSVersion.TLSv1_2
        self.context.load_cert_chain(*map(str, self.chain))
        handler.request = handler.connection = self.context.wrap_socket(handler.request, server_side=True)
        handler.rfile, handler.wfile = handler.request.makefile("rb"), handler.request.makefile("wb")
        with self.lock:
            self.tls.append(handler.request.session_reused)


def test_a_new_certificate_of_a_server_counts_at_once(instance, ca):
    with Renewing(ca.issue("outdated", valid=(-20, -1))) as sink:
        mail = relaying(instance, sink, smtp_tls_security_level="verify", smtp_tls_CAfile=ca.certificate, smtp_connection_cache_on_demand="no",
                        worker_processes="1")
        assert "Server certificate not verified" in deliver(mail)
        sink.chain = ca.issue("renewed")
        mail.command("postqueue", "-f")
        wait_until(lambda: len(sink.messages) == 1, 30, mail.log_tail)
        # and what proved itself is resumed
        assert "status=sent" in deliver(mail)
        assert sink.tls == [False, False, True]


def test_a_chain_may_be_so_long_and_no_longer(instance, ca):
    first = ca.below("first-below")
    second = first.below("second-below")
    certificate, key = second.issue("far", name="localhost")
    certificate.write_text("".join(path.read_text() for path in (certificate, second.certificate, first.certificate)))
    with TlsSink((certificate, key)) as sink:
        mail = relaying(instance, sink, smtp_tls_security_level="verify", smtp_tls_CAfile=ca.certificate, smtp_tls_scert_verifydepth="0")
        assert "Server certificate not verified" in deliver(mail)
        mail.set(smtp_tls_scert_verifydepth="1")        # as many as Postfix takes then
        mail.reload()
        wait_until(lambda: "status=sent" in deliver(mail), 60, pause=0.5)


def test_mandatory_tls_waits_rather_than_going_in_the_clear(instance, ca):
    with Sink() as sink:
        line = deliver(relaying(instance, sink, smtp_tls_security_level="encrypt"))
        assert "dsn=4.7.4, status=deferred (TLS is required, but was not offered by host localhost[127.0.0.1])" in line
        assert not sink.messages
    with TlsSink(reply="454 4.7.0 not now") as sink:
        line = deliver(relaying(instance, sink, smtp_tls_security_level="encrypt"))
        assert "(TLS is required, but host localhost[127.0.0.1] refused to start TLS: 454 4.7.0 not now)" in line
        assert not sink.messages


class Hasty(TlsSink):
    """Answers commands over TLS that nobody has sent yet: those that somebody in between has put in front."""

    def secure(self, handler):
        super().secure(handler)
        handler.rfile.readline()
        handler.wfile.write(b"250-sink.example\r\n250 8BITMIME\r\n250 2.1.0 Ok\r\n")
        handler.wfile.flush()


def test_replies_to_what_was_not_said_end_the_session_where_they_shall(instance, ca):
    with Hasty(ca.issue("hasty")) as sink:
        mail = relaying(instance, sink, smtp_tls_security_level="encrypt", smtp_tls_block_early_mail_reply="yes")
        assert "dsn=4.7.0, status=deferred (unexpected server message)" in deliver(mail)
        mail.wait_for_log(r"warning: server localhost\[127.0.0.1\] violates smtp_tls_block_early_mail_reply policy")
        assert not any(command.startswith("MAIL") for command in sink.commands)


def test_may_goes_on_when_starttls_is_refused_and_waits_when_it_fails(instance, ca):
    with TlsSink(reply="454 4.7.0 not now") as sink:
        assert ", tls=may:none, dsn=2.0.0, status=sent" in deliver(relaying(instance, sink))
    with TlsSink(None) as sink:
        mail = relaying(instance, sink)
        assert "dsn=4.7.5, status=deferred (Cannot start TLS: handshake failure)" in deliver(mail)
        mail.wait_for_log(r"SSL_connect error to localhost\[127.0.0.1\]:\d+: (-1|lost connection)")
        assert not sink.messages
    with TlsSink(reply="354 go") as sink:
        assert "dsn=4.5.0, status=deferred (Protocol error: host localhost[127.0.0.1] said: 354 go (while sending STARTTLS))" in deliver(relaying(instance, sink))
        assert not any(command.startswith("MAIL") for command in sink.commands)


def test_may_goes_in_the_clear_when_tls_fails_for_mail_that_has_waited(instance):
    with TlsSink(None) as sink:
        mail = relaying(instance, sink, minimal_backoff_time="1s")
        assert "status=deferred (Cannot start TLS" in deliver(mail)
        assert not any(command.startswith("MAIL") for command in sink.commands)

        def is_tried():
            mail.command("postqueue", "-f")
            return any(command.startswith("MAIL") for command in sink.commands)
        wait_until(is_tried, 30, mail.log_tail, pause=0.5)


def test_may_goes_in_the_clear_when_a_connection_with_tls_is_lost_for_mail_that_has_waited(instance, ca):
    broken = [0]

    def lose_tls(_argument):
        known, broken[0] = broken[0], len(sink.tls)
        return "250 2.1.0 Ok" if len(sink.tls) == known else None
    with TlsSink(ca.issue("lost"), answers={"MAIL": lose_tls}) as sink:
        mail = relaying(instance, sink, minimal_backoff_time="1s")
        assert "status=deferred (lost connection with localhost[127.0.0.1] while sending MAIL FROM)" in deliver(mail)

        def is_sent():
            mail.command("postqueue", "-f")
            return mail.log_lines(", tls=may:none, dsn=2.0.0, status=sent")
        wait_until(is_sent, 30, mail.log_tail, pause=0.5)
        assert len(sink.tls) >= 2


def test_mail_whose_recipients_were_all_answered_over_tls_does_not_go_in_the_clear(instance, ca):
    with TlsSink(ca.issue("greylisting"), answers={"RCPT": "450 4.2.0 grey", "DATA": None}) as sink:
        mail = relaying(instance, sink, minimal_backoff_time="1s")
        assert "450 4.2.0 grey" in deliver(mail)

        def has_tried_often():
            mail.command("postqueue", "-f")
            return sink.commands.count("STARTTLS") >= 6
        wait_until(has_tried_often, 30, mail.log_tail, pause=0.5)
        mail.stop()
        assert sum(command.startswith("MAIL") for command in sink.commands) <= sink.commands.count("STARTTLS")


def test_lmtp_has_its_own_levels(instance, ca):
    with TlsSink(ca.issue("lmtp"), lmtp=True) as sink:
        mail = instance(main={"transport_maps": f"inline:{{ {{ example.com = lmtp:inet:[localhost]:{sink.port} }} }}", "inet_protocols": "ipv4", "lmtp_tls_CAfile": ca.certificate,
                              "lmtp_tls_security_level": "secure", "lmtp_tls_secure_cert_match": "nexthop", "smtp_tls_security_level": "none"})
        assert ", tls=secure, dsn=2.0.0, status=sent" in deliver(mail)
        assert sink.commands.count("LHLO mail.example.org") == 2


def routed(instance, sink, directory, domains, **main):
    """Each domain is a host of its own, all of them the sink. Files in the directory of the policy table are within reach."""
    routes = ", ".join(f"{{ {name} = smtp:[{name}]:{sink.port} }}" for name in domains)
    (directory / "hosts").write_text("".join(f"127.0.0.1 {name}\n" for name in domains))
    return instance(main={"transport_maps": f"inline:{{ {routes} }}", "smtp_tls_loglevel": "1", "inet_protocols": "ipv4", "dns_hosts_file": str(directory / "hosts"),
                          "smtp_connection_cache_on_demand": "no", **main})


def outcomes(mail, expected):
    """Of one message to all of them: "tls=..." is sent, other words are the reason of a deferral."""
    queue_id = mail.send("Subject: x\r\n\r\nx\r\n", recipients=[f"a@{name}" for name in expected])
    for name, words in expected.items():
        line, *_ = mail.wait_for_log(rf"{queue_id}: to=<a@{name}>.* status=")
        assert (f", {words}, dsn=2.0.0, status=sent" if words.startswith("tls=") else f"dsn=4.7.5, status=deferred ({words}") in line, line


def test_the_policy_table_says_it_for_each_destination(instance, ca, tmp_path):
    chain, foreign = ca.issue("table", names=["good.test", "below.dot.test", "*.wild.test"]), Authority(ca.directory / "foreign2")
    chain[0].write_text(chain[0].read_text() + ca.certificate.read_text())
    wrong, nonsense = "Server certificate not verified", "client TLS configuration problem"
    names = ("none encrypt unlisted good other match dot host fingerprint key wrong nothing anchor anchor-key anchor-wrong anchor-name anchor-none old named bad "
             "level version wild").split()
    with TlsSink(chain) as sink:
        mail = routed(instance, sink, tmp_path, [f"{name}.test" for name in names], smtp_tls_CAfile=ca.certificate, smtp_tls_note_starttls_offer="yes",
                      smtp_tls_loglevel_maps="inline:{ .test=routine, old.test=ssl-expert }")
        etc = mail.etc
        mail.file("ca.pem", ca.certificate.read_text())
        mail.file("foreign.pem", foreign.certificate.read_text())
        mail.file("key.pem", openssl("x509", "-in", ca.certificate, "-noout", "-pubkey"))
        rows = {
            "none.test": ("none", "tls=none"), "encrypt.test": ("encrypt", "tls=encrypt"), "unlisted.test": (None, "tls=may"),
            "good.test": ("secure", "tls=secure"), "other.test": ("verify", wrong), "match.test": ("secure match=x.test:good.test", "tls=secure"),
            "dot.test": ("secure match=dot-nexthop", "tls=secure"), "host.test": ("secure match=hostname", wrong),
            "fingerprint.test": (f"fingerprint match={fingerprint(chain[0])}", "tls=fingerprint"),
            "key.test": (f"fingerprint match=00:11|{key_fingerprint(chain[0])}", "tls=fingerprint"), "wrong.test": ("fingerprint match=00:11", wrong),
            "nothing.test": ("fingerprint", nonsense),
            "anchor.test": (f"verify match=good.test tafile={etc}/ca.pem", "tls=verify"), "anchor-key.test": (f"secure match=good.test tafile={etc}/key.pem", "tls=secure"),
            "anchor-wrong.test": (f"verify match=good.test tafile={etc}/foreign.pem", wrong), "anchor-name.test": (f"verify tafile={etc}/ca.pem", wrong),
            "anchor-none.test": (f"verify tafile={etc}/missing.pem", nonsense),
            "old.test": ("encrypt protocols=!TLSv1.3 ciphers=high exclude=AESGCM:CHACHA20 servername=hostname", "tls=encrypt"),
            "named.test": ("encrypt servername=some.name.test", "tls=encrypt"),
            "bad.test": ("encrypt nonsense", nonsense), "level.test": ("strong", nonsense), "version.test": ("encrypt protocols=TLSv9", nonsense),
            "wild.test": ("verify match=a.b.wild.test", "tls=verify"),
        }
        assert [f"{name}.test" for name in names] == list(rows)
        mail.file("policy", "".join(f"[{name}]:{sink.port} {row[0]}\n" for name, row in rows.items() if row[0] is not None))
        mail.set(smtp_tls_policy_maps=f"texthash:{etc}/policy")
        mail.command("postroad", "reload")
        outcomes(mail, {name: row[1] for name, row in rows.items()})
        mail.wait_for_log(r"TLS connection established to old.test\[127.0.0.1\]:\d+: TLSv1.2 with cipher ECDHE-ECDSA-AES256-")
        mail.wait_for_log(r"Verified TLS connection established to anchor-key.test")
        mail.wait_for_log(r"old.test\[127.0.0.1\]:\d+: 0000 16 03 01 ")
        assert not re.search(r"anchor-key.test\S+: SSL_connect", mail.log())
        mail.wait_for_log(r"smtp_tls_policy_maps, next-hop destination \"\[level.test\]:\d+\": invalid security level \"strong\"")
        mail.wait_for_log(r"Host offered STARTTLS: \[none.test\]")
        assert {"old.test", "some.name.test"} <= {name for name in sink.names if name}
        # What the table says now is what counts: the file is read again, and kept sessions of another policy are not used.
        mail.file("policy", f"[encrypt.test]:{sink.port} secure\n[good.test]:{sink.port} {rows['good.test'][0]}\n")
        wait_until(lambda: "tls=" in deliver_to(mail, "good.test") and wrong in deliver_to(mail, "encrypt.test"), 30, mail.log_tail, pause=0.3)
        mail.file("policy", f"[wild.test]:{sink.port} verify match=a.b.wild.test\n[encrypt.test]:{sink.port} verify match=a.wild.test\n")
        mail.set(tls_wildcard_matches_multiple_labels="no")
        mail.command("postroad", "reload")
        wait_until(lambda: wrong in deliver_to(mail, "wild.test"), 30, mail.log_tail, pause=0.3)
        assert "tls=verify" in deliver_to(mail, "encrypt.test")


def test_a_kept_connection_serves_only_under_its_own_policy(instance, ca, tmp_path):
    rows = {"one.test": "encrypt", "two.test": "encrypt", "high.test": "encrypt ciphers=high", "alone.test": "encrypt connection_reuse=no"}
    with TlsSink(ca.issue("kept")) as sink:
        table = ", ".join(f"{{ [{name}]:{sink.port} = {policy} }}" for name, policy in rows.items())
        mail = routed(instance, sink, tmp_path, rows, smtp_tls_policy_maps=f"inline:{{ {table} }}", smtp_connection_cache_on_demand="yes",
                      smtp_connection_cache_time_limit="60s", worker_processes="1")
        for name, connections, reused in (("one", 1, False), ("one", 1, True), ("two", 1, True), ("high", 2, False), ("high", 2, True), ("one", 2, True),
                                          ("alone", 3, False), ("alone", 4, False)):
            line = deliver_to(mail, f"{name}.test")
            assert "status=sent" in line and ("conn_use=" in line) == reused and len(sink.tls) == connections, (name, line, len(sink.tls))
        told = re.findall(r"Untrusted TLS connection (\w+) to \w+\.test\[127\.0\.0\.1\]:\d+: TLSv1\.3 with cipher \w+ \(256/256 bits\) key-exchange", mail.log())
        assert (told.count("established"), told.count("reused")) == (4, 4)          # as those expect who count


def test_the_older_parameters_say_it_where_no_level_is_given(instance, ca, tmp_path):
    rows = {"may.test": "tls=may", "no.test": "tls=none", "must.test": "Server certificate not verified", "nopeer.test": "tls=encrypt"}
    with TlsSink(ca.issue("site")) as sink:
        table = "inline:{ { no.test = NONE }, { must.test = MUST }, { nopeer.test = MUST_NOPEERMATCH }, { may.test = MAY } }"
        mail = routed(instance, sink, tmp_path, rows, smtp_tls_security_level="", smtp_tls_per_site=table)
        outcomes(mail, rows)
        mail.set(smtp_tls_per_site="", smtp_enforce_tls="yes", smtp_tls_enforce_peername="no")
        mail.command("postroad", "reload")
        wait_until(lambda: "tls=encrypt" in deliver_to(mail, "no.test"), 30, mail.log_tail, pause=0.3)
        mail.set(smtp_tls_security_level="mya")
        refused = mail.command("postroad", "reload", check=False)
        assert refused.returncode != 0 and 'smtp_tls_security_level: "mya" is none of' in refused.stdout + refused.stderr + mail.log()


def deliver_to(mail, name):
    queue_id = mail.send("Subject: x\r\n\r\nx\r\n", recipients=[f"a@{name}"])
    line, *_ = mail.wait_for_log(rf"{queue_id}: to=<a@{name}>.* status=")
    if "status=sent" in line:
        mail.wait_for_log(f"{queue_id}: removed")           # and the connection, if it is kept, is
    return line


def test_the_librarys_own_settings_count_for_the_client_too(instance, ca):
    session_ticket = b"\0\x23\0\0"          # an extension that says: I have none yet
    for settings, offers in (({}, True), ({"tls_ssl_options": "NO_TICKET"}, False)):
        with TlsSink(ca.issue("any")) as sink:
            assert "status=sent" in deliver(relaying(instance, sink, **settings))
            assert (session_ticket in sink.hellos[0]) == offers
    for settings, words in (({"tls_ssl_options": "NO_WORRIES"}, 'tls_ssl_options or tls_disable_workarounds: "NO_WORRIES"'),
                            ({"tls_config_file": "/no/such/file"}, "tls_config_file /no/such/file")):
        mail = instance(main={"smtp_tls_security_level": "may", **settings}, start=False)
        mail.write()
        done = mail.command("posttls-finger", "localhost", check=False)
        assert done.returncode != 0 and words in done.stderr


def test_a_new_certificate_of_the_client_is_taken_up_and_a_wrong_one_is_not(instance, ca):
    first, second = ca.issue("client-first", name="first.example"), ca.issue("client-second", name="second.example")
    with TlsSink(ca.issue("wants-one")) as sink:
        sink.client_authority = ca
        mail = relaying(instance, sink, smtp_tls_security_level="encrypt", smtp_connection_cache_on_demand="no", smtp_tls_session_cache_timeout="1s")
        files = [mail.file(f"client.{end}", path.read_text()) for end, path in zip(("pem", "key"), first)]
        mail.set(smtp_tls_cert_file=files[0], smtp_tls_key_file=files[1])
        mail.reload()
        assert "status=sent" in deliver(mail) and sink.clients == ["first.example"]
        files[0].write_text(second[0].read_text())              # no longer the key's
        wait_until(lambda: "status=sent" in deliver(mail) and mail.log_lines("new TLS key or certificate files are not used: .*private key mismatch"), 60, pause=0.5)
        assert set(sink.clients) == {"first.example"}
        files[1].write_text(second[1].read_text())
        wait_until(lambda: "status=sent" in deliver(mail) and sink.clients[-1] == "second.example", 60, pause=0.5)


def test_a_process_that_began_without_tls_makes_way_for_one_that_has_it(instance, ca):
    with TlsSink(ca.issue("is-patient")) as sink:
        mail = relaying(instance, sink, smtp_connection_cache_on_demand="no")
        authorities = mail.file("authorities.pem", ca.certificate.read_text())
        mail.set(smtp_tls_CAfile=authorities)
        mail.reload()
        assert ", tls=may, " in deliver(mail)
        authorities.write_text("no certificate")
        assert mail.kill("smtp") >= 1
        wait_until(lambda: ", tls=may, " not in deliver(mail) and mail.log_lines("TLS is not available: "), 60, pause=0.5)
        authorities.write_text(ca.certificate.read_text())
        wait_until(lambda: ", tls=may, " in deliver(mail), 60, pause=0.5)


@pytest.mark.skipif(not IS_ROOT, reason="only root has keys that daemons cannot read")
def test_the_good_pair_of_the_client_outlasts_bad_files_that_only_root_can_read(instance, ca):
    first, second = ca.issue("rooted-first", name="first.example"), ca.issue("rooted-second", name="second.example")
    let_others_search(ca.directory)
    with TlsSink(ca.issue("wants-a-rooted-one")) as sink:
        sink.client_authority = ca
        mail = relaying(instance, sink, smtp_tls_security_level="encrypt", smtp_connection_cache_on_demand="no", smtp_tls_session_cache_timeout="1s",
                        smtp_tls_cert_file=first[0], smtp_tls_key_file=first[1])
        first[1].chmod(0o600)
        assert "status=sent" in deliver(mail)
        first[1].write_text("this is no key")
        refusals = "warning: new TLS key or certificate files are not used: .*there is no key"
        for count in 1, 2:
            # what a process had in its hands when it was killed waits
            wait_until(lambda: "status=sent" in deliver(mail) and len(mail.log_lines(refusals)) >= count, 60, pause=0.5)
            assert mail.kill("smtp") >= 1
        assert set(sink.clients) == {"first.example"}
        first[0].write_text(second[0].read_text())
        first[1].write_text(second[1].read_text())
        wait_until(lambda: "status=sent" in deliver(mail) and sink.clients[-1] == "second.example", 60, pause=0.5)
