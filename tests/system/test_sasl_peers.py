# SPDX-License-Identifier: ISC
"""Other MTAs, with TLS and logins both ways: Exim, and Debian's Postfix with Dovecot behind it."""

import pytest

from certificates import Authority
from instance import wait_until
from peers import Dovecot, Exim
from postfix import Postfix

pytestmark = pytest.mark.root
MECHANISMS = ("PLAIN", "LOGIN", "CRAM-MD5", "DIGEST-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256")


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def dovecot():
    with Dovecot(mechanisms=" ".join(MECHANISMS).lower()) as one:
        yield one


def service(name, **options):
    return f"{name} unix - - n - - smtp\n" + "".join(f"  -o {{ {key} = {value} }}\n" for key, value in options.items())


def deliver(mail, domain):
    queue_id = mail.send(f"Subject: {domain}\r\n\r\nx\r\n", recipients=[f"someone@{domain}"])
    line, *_ = mail.wait_for_log(rf"{queue_id}: to=<someone@{domain}>.* status=", timeout=60)
    return line


def test_exim_wants_tls_and_a_password(instance, ca):
    chain = ca.issue("exim", name="localhost")
    with Exim(address="127.0.0.1", chain=chain, login=("jane", "se cret:2")) as exim:
        mail = instance(main={
            "smtp_sasl_auth_enable": "yes", "smtp_sasl_password_maps": f"inline:{{ {{ [localhost]:{exim.port} = jane:se cret:2 }} }}",
            "smtp_host_lookup": "native", "inet_protocols": "ipv4", "smtp_tls_CAfile": ca.certificate,
            "transport_maps": f"inline:{{ {{ example.com = tls:[localhost]:{exim.port} }} }}"},
            master=service("tls", smtp_tls_security_level="secure", smtp_sasl_tls_security_options="noanonymous"))
        assert "tls=secure, dsn=2.0.0, status=sent" in deliver(mail, "example.com")
        wait_until(lambda: exim.mbox.exists() and "Subject: example.com" in exim.mbox.read_text(), 30, "exim's delivery")
        assert "A=cram:jane" in exim.log()                     # the best that it offers
        mail.set(smtp_sasl_mechanism_filter="plain", smtp_connection_cache_on_demand="no")
        mail.reload()
        assert "status=sent" in deliver(mail, "example.com")
        wait_until(lambda: "A=plain:jane" in exim.log(), 30, exim.log)
        mail.set(smtp_sasl_password_maps=f"inline:{{ {{ [localhost]:{exim.port} = jane:wrong }} }}")
        mail.reload()
        assert "status=deferred (SASL authentication failed; server localhost[127.0.0.1] said: 535 Incorrect authentication data)" in deliver(mail, "example.com")
        assert "wrong" not in mail.log()


def test_exim_brings_mail_with_tls_and_a_password(instance, ca, dovecot):
    chain = ca.issue("ours", name="localhost")
    mail = instance(main={
        "smtpd_tls_cert_file": chain[0], "smtpd_tls_key_file": chain[1], "smtpd_tls_security_level": "may", "smtpd_tls_auth_only": "yes",
        "mynetworks": "192.0.2.1", "smtpd_sasl_auth_enable": "yes", "smtpd_sasl_type": "dovecot", "smtpd_sasl_path": dovecot.auth_socket,
        "default_transport": "discard", "smtpd_relay_restrictions": "permit_sasl_authenticated, reject"})
    for mechanism in ("PLAIN", "CRAM-MD5"):
        with Exim(smarthost=("127.0.0.1", mail.smtp_port, "jane", "secret", mechanism)) as exim:
            exim.send("Subject: from exim\n\nx\n", "jane@example.com", f"{mechanism}@elsewhere.example")
            mail.wait_for_log(rf"smtpd\[\d+\]: \w+: client=localhost\[127.0.0.1\], sasl_method={mechanism}, sasl_username=jane")
            mail.wait_for_log(rf"to=<{mechanism}@elsewhere.example>, .*status=sent")


def test_every_mechanism_with_debians_postfix_and_dovecot(instance, ca, dovecot):
    chain = ca.issue("postfix", name="localhost")
    peer = Postfix(main={
        "smtpd_sasl_auth_enable": "yes", "smtpd_sasl_type": "dovecot", "smtpd_sasl_path": dovecot.auth_socket, "broken_sasl_auth_clients": "yes", "smtpd_error_sleep_time": "0",
        "smtpd_tls_cert_file": chain[0], "smtpd_tls_key_file": chain[1], "smtpd_tls_security_level": "may", "mynetworks": "192.0.2.1",
        "smtpd_relay_restrictions": "permit_sasl_authenticated, reject", "default_transport": "discard", "relay_transport": "discard"})
    with peer:
        names = {mechanism: mechanism.lower() for mechanism in MECHANISMS}
        right, wrong = (f"inline:{{ {{ [localhost]:{peer.smtp_port} = jane:{password} }} }}" for password in ("secret", "secre"))
        options = {"smtp_sasl_tls_security_options": "noanonymous", "smtp_tls_security_level": "encrypt", "smtp_connection_cache_on_demand": "no"}
        mail = instance(main={
            "smtp_sasl_auth_enable": "yes", "smtp_host_lookup": "native", "inet_protocols": "ipv4", "smtp_sasl_password_maps": right,
            "transport_maps": "inline:{" + ",".join(f"{{ {name}{kind}.example = {name}{kind}:[localhost]:{peer.smtp_port} }}"
                                                    for name in names.values() for kind in ("", "-wrong")) + "}"},
            master="".join(service(name + kind, **options, smtp_sasl_mechanism_filter=mechanism, smtp_sasl_password_maps=table)
                           for mechanism, name in names.items() for kind, table in (("", right), ("-wrong", wrong))))
        for mechanism, name in names.items():
            assert "tls=encrypt, dsn=2.0.0, status=sent" in deliver(mail, f"{name}.example")
            peer.wait_for_log(rf"client=localhost\[127.0.0.1\], sasl_method={mechanism}, sasl_username=jane", timeout=30)
            line = deliver(mail, f"{name}-wrong.example")
            assert "dsn=4.7.8, status=deferred (SASL authentication failed; server localhost[127.0.0.1] said: 535 5.7.8 Error: authentication failed" in line
