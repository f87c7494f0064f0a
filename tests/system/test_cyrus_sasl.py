# SPDX-License-Identifier: ISC
"""Cyrus libsasl2 checks the passwords, in the service cyrus-sasl: from its own database, and by a saslauthd that does not answer."""

import base64
import hashlib
import hmac
import shutil
import socket
import subprocess
import threading

import pytest

from auth_server import Raw
from instance import DAEMONS, IS_ROOT, Instance, wait_until

pytestmark = pytest.mark.skipif(not (DAEMONS / "cyrus-sasl").exists(), reason="built without libsasl2")
SASLPASSWD = shutil.which("saslpasswd2", path="/usr/sbin:/usr/bin")


def b64(text):
    return base64.b64encode(text.encode()).decode()


@pytest.fixture(scope="module")
def mail():
    if SASLPASSWD is None:
        pytest.skip("saslpasswd2 is missing (Debian: sasl2-bin)")
    one = Instance(main={
        "smtpd_sasl_auth_enable": "yes", "smtpd_sasl_type": "cyrus", "smtpd_sasl_path": "ourmail", "smtpd_sasl_local_domain": "example.org",
        "mynetworks": "192.0.2.1", "smtpd_soft_error_limit": "100", "default_transport": "discard"},
        master="cyrus-sasl unix - - n - - cyrus-sasl\n")
    one.set(cyrus_sasl_config_path=one.etc)
    database, mux = one.root / "sasldb2", one.root / "run/mux"
    subprocess.run([SASLPASSWD, "-p", "-c", "-f", database, "-u", "example.org", "jane"], input=b"secret", check=True, timeout=60)
    if IS_ROOT:
        shutil.chown(database, "daemon")
    mux.parent.mkdir()
    one.file("ourmail.conf", f"pwcheck_method: auxprop saslauthd\nauxprop_plugin: sasldb\nsasldb_path: {database}\nsaslauthd_path: {mux}\n"
             "mech_list: PLAIN LOGIN CRAM-MD5\n")
    with one:
        yield one


@pytest.fixture
def silent(mail):
    """A saslauthd that takes a question and says nothing; its connections."""
    asked = []
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(mail.root / "run/mux"))
    (mail.root / "run/mux").chmod(0o666)
    listener.listen(50)

    def accept():
        try:
            while True:
                asked.append(listener.accept()[0])
        except OSError:
            pass
    threading.Thread(target=accept, daemon=True).start()
    yield asked
    (mail.root / "run/mux").unlink()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    for connection in asked:
        connection.close()


def test_the_library_checks_passwords(mail):
    with Raw(mail) as client:
        (offer,) = [line for line in client.capabilities if line.startswith("AUTH ")]
        assert sorted(offer.split()[1:]) == ["CRAM-MD5", "LOGIN", "PLAIN"]
        assert client.say("AUTH LOGIN")[0] == 334
        assert client.say(b64("jane"))[0] == 334
        assert client.say(b64("secret"))[0] == 235
        assert client.say("MAIL FROM:<jane@example.org>")[0] == 250
        assert client.say("RCPT TO:<there@elsewhere.example>")[0] == 250
    mail.wait_for_log("client=.*, sasl_method=LOGIN, sasl_username=jane@example.org$")
    with Raw(mail) as client:
        code, (challenge,) = client.say("AUTH CRAM-MD5")
        assert code == 334
        digest = hmac.new(b"secret", base64.b64decode(challenge), hashlib.md5).hexdigest()
        assert client.say(b64(f"jane {digest}"))[0] == 235
    with Raw(mail) as client:
        for line in ("AUTH CRAM-MD5", "AUTH PLAIN", "AUTH LOGIN"):
            assert client.say(line)[0] == 334
            assert client.say("*") == (501, ["5.7.0 Authentication aborted"])
        assert client.say("AUTH PLAIN =")[0] == 535
        assert client.say("AUTH CRAM-MD5")[0] == 334
        assert client.say(b64("jane 0123456789abcdef0123456789abcdef")) == (535, ["5.7.8 Error: authentication failed: authentication failure"])
        assert client.login()[0] == 235
    mail.wait_for_log(r"SASL CRAM-MD5 authentication failed: authentication failure, sasl_username=jane@example\.org")      # whom to look after


def test_without_saslauthd_nothing_is_refused_for_good(mail):
    with Raw(mail) as client:
        code, text = client.login("jane", "wrong")      # which saslauthd might know
        assert (code, text[0][:5]) == (454, "4.7.0")
    mail.wait_for_log("warning: SASL authentication problem: cannot connect to saslauthd server")


def test_one_that_hangs_holds_up_nobody_else(mail, silent):
    waiting = [Raw(mail) for _ in range(10)]
    for client in waiting:
        client.tell(f"AUTH PLAIN {b64(chr(0) + 'jane' + chr(0) + 'wrong')}")
    wait_until(lambda: len(silent) == 10, 60, mail.log_tail)
    with Raw(mail) as client:
        assert client.login()[0] == 235
        assert client.say("MAIL FROM:<jane@example.org>")[0] == 250
    for client in waiting:
        client.close()
