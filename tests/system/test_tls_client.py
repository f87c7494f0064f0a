# SPDX-License-Identifier: ISC
"""TLS in the SMTP client: levels, names and fingerprints, what is deferred and why, and when mail goes in the clear."""

import ssl

import pytest

from certificates import Authority, fingerprint
from instance import wait_until
from sink import Sink


class TlsSink(Sink):
    """A sink that offers STARTTLS (or begins with TLS: wrapped). reply: to STARTTLS. After 220 without a certificate it talks nonsense."""

    def __init__(self, chain=None, wrapped=False, reply="220 2.0.0 go", **more):
        self.chain, self.wrapped, self.reply = chain, wrapped, reply
        self.tls = []
        super().__init__(**more)

    def secure(self, handler):
        if self.chain is None:
            handler.wfile.write(b"this is no TLS, is it?\r\n" * 10)
            raise OSError("nonsense")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*map(str, self.chain))
        handler.request = handler.connection = context.wrap_socket(handler.request, server_side=True)
        handler.rfile, handler.wfile = handler.request.makefile("rb"), handler.request.makefile("wb")
        with self.lock:
            self.tls.append((handler.request.version(), handler.request.session_reused))

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
            handler.wfile.write(b"250-sink.example\r\n250 STARTTLS\r\n")


class Behind:
    """Swallows the greeting of a session that goes on after STARTTLS."""

    def __init__(self, to):
        self.to, self.greeted = to, False

    def write(self, data):
        if self.greeted:
            self.to.write(data)
        self.greeted = True

    def flush(self):
        self.to.flush()


class Pending:
    def __init__(self, handler):
        self.rfile, self.wfile = handler.rfile, Behind(handler.wfile)


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


def relaying(instance, sink, **main):
    return instance(main={"relayhost": f"[localhost]:{sink.port}", "smtp_tls_loglevel": "1", "smtp_host_lookup": "native",
                          "inet_protocols": "ipv4", **main})


def deliver(mail):
    queue_id = mail.send("Subject: x\r\n\r\nx\r\n", recipients=["someone@example.com"])
    (line,) = mail.wait_for_log(rf"{queue_id}: to=<someone@example.com>.* status=")
    return line


def test_tls_is_used_when_it_is_offered(instance, ca):
    with TlsSink(ca.issue("any")) as sink:
        mail = relaying(instance, sink)
        assert ", tls=may, dsn=2.0.0, status=sent" in deliver(mail)
        mail.wait_for_log(r"smtp\[\d+\]: Untrusted TLS connection established to localhost\[127.0.0.1\]:\d+: TLSv1.3 with cipher "
                          r"TLS_AES_256_GCM_SHA384 \(256/256 bits\) key-exchange X25519 server-signature ECDSA \(256 bits\) server-digest SHA256")
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
    trusted, named = "Server certificate not trusted", "Server certificate not verified"
    for chain, level, more, words in (
            (good, "verify", {}, None), (good, "secure", {}, None), (other, "secure", {}, named), (other, "verify", {}, named),
            (other, "verify", {"smtp_tls_verify_cert_match": "hostname, .example"}, None),
            (expired, "verify", {}, trusted), (foreign, "secure", {}, trusted),
            (foreign, "fingerprint", {"smtp_tls_fingerprint_cert_match": fingerprint(foreign[0]).lower()}, None),
            (good, "fingerprint", {"smtp_tls_fingerprint_cert_match": fingerprint(foreign[0])}, named)):
        with TlsSink(chain) as sink:
            mail = relaying(instance, sink, smtp_tls_security_level=level, smtp_tls_CAfile=ca.certificate, **more)
            line = deliver(mail)
            if words is None:
                assert f", tls={level}, dsn=2.0.0, status=sent" in line
                mail.wait_for_log("Verified TLS connection established to")
            else:
                assert "dsn=4.7.5, status=deferred" in line and words in line, line
                assert not sink.messages
            mail.stop()


def test_mandatory_tls_waits_rather_than_going_in_the_clear(instance, ca):
    with Sink() as sink:
        line = deliver(relaying(instance, sink, smtp_tls_security_level="encrypt"))
        assert "dsn=4.7.4, status=deferred (TLS is required, but was not offered by host localhost[127.0.0.1])" in line
        assert not sink.messages
    with TlsSink(reply="454 4.7.0 not now") as sink:
        line = deliver(relaying(instance, sink, smtp_tls_security_level="encrypt"))
        assert "(TLS is required, but host localhost[127.0.0.1] refused to start TLS: 454 4.7.0 not now)" in line
        assert not sink.messages


def test_may_goes_on_when_starttls_is_refused_and_waits_when_it_fails(instance, ca):
    with TlsSink(reply="454 4.7.0 not now") as sink:
        assert ", tls=may:none, dsn=2.0.0, status=sent" in deliver(relaying(instance, sink))
    with TlsSink(None) as sink:
        mail = relaying(instance, sink)
        assert "dsn=4.7.5, status=deferred (Cannot start TLS: handshake failure)" in deliver(mail)
        mail.wait_for_log(r"SSL_connect error to localhost\[127.0.0.1\]:\d+: (-1|lost connection)")
        assert not sink.messages


def test_may_goes_in_the_clear_when_tls_fails_for_mail_that_has_waited(instance):
    with TlsSink(None) as sink:
        mail = relaying(instance, sink, minimal_backoff_time="1s")
        assert "status=deferred (Cannot start TLS" in deliver(mail)
        assert not any(command.startswith("MAIL") for command in sink.commands)

        def is_tried():
            mail.command("postqueue", "-f")
            return any(command.startswith("MAIL") for command in sink.commands)
        wait_until(is_tried, 30, mail.log_tail, pause=0.5)


@pytest.mark.parametrize("level,words", [("dane", "dane is not available yet"), ("mya", '"mya" is none of')])
def test_levels_that_are_not_there_are_refused(instance, level, words):
    mail = instance(main={"smtp_tls_security_level": level, "relayhost": "[127.0.0.1]:1"})
    mail.send("Subject: x\r\n\r\nx\r\n", recipients=["someone@example.com"])
    mail.wait_for_log(f"fatal: smtp_tls_security_level: {words}")
