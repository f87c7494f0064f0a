# SPDX-License-Identifier: ISC
"""Tokens instead of passwords (OAUTHBEARER, XOAUTH2): a real Dovecot asks an OAuth server about them, curl and msmtp send mail with them, and so does our own client."""

import base64
import contextlib
import http.server
import json
import subprocess
import threading
import urllib.parse

import pytest

from auth_server import Raw
from certificates import Authority
from instance import Instance, free_port
from peers import Dovecot

GOOD, SLOW = "good-0123456789", "slow-0123456789"


class Introspection:
    """RFC 7662: jane's tokens are the two above; the slow one's answer waits until it is let go."""

    def __init__(self):
        self.asked, self.is_waiting, self.may_go = [], threading.Event(), threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                length = int(self.headers["Content-Length"])
                (token,) = urllib.parse.parse_qs(self.rfile.read(length).decode())["token"]
                outer.asked.append(token)
                if token == SLOW:
                    outer.is_waiting.set()
                    outer.may_go.wait(120)
                words = {"active": True, "username": "jane", "token_type": "bearer"} if token in (GOOD, SLOW) else {"active": False}
                body = json.dumps(words).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/introspect"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.may_go.set()
        self.server.shutdown()
        self.server.server_close()


class World:
    def __init__(self, directory):
        self.ca = Authority(directory / "ca")
        self.oauth = Introspection()
        (directory / "oauth2.conf").write_text(f"introspection_url = {self.oauth.url}\nintrospection_mode = post\nusername_attribute = username\n"
                                               "active_attribute = active\nactive_value = true\n")
        self.dovecot = Dovecot(mechanisms="plain xoauth2 oauthbearer", more=f"""
passdb {{
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {directory}/oauth2.conf
}}
""")
        self.submission = free_port()
        rows = "".join(f"{name} unix - - n - - smtp -o smtp_sasl_mechanism_filter={name} -o smtp_sasl_password_maps=static:jane:{token}\n"
                       for name, token in (("oauthbearer", GOOD), ("xoauth2", GOOD), ("refused", "expired")))
        rows = rows.replace("filter=refused", "filter=xoauth2")
        to_itself = ", ".join(f"{{ {name}.example = {name}:[localhost]:{self.submission} }}" for name in ("oauthbearer", "xoauth2", "refused"))
        self.mail = Instance(main={
            "smtpd_tls_chain_files": self.ca.chain_file("server"), "smtpd_tls_security_level": "may", "smtpd_sasl_type": "dovecot",
            "smtpd_sasl_path": self.dovecot.auth_socket, "transport_maps": f"inline:{{ {to_itself} }}", "default_transport": "discard",
            "smtp_sasl_auth_enable": "yes", "smtp_tls_security_level": "secure", "smtp_tls_CAfile": self.ca.certificate,
            "smtp_sasl_security_options": "noanonymous", "smtp_host_lookup": "native"},
            master=rows + f"127.0.0.1:{self.submission} inet n - n - - smtpd -o mynetworks=192.0.2.1 -o smtpd_sasl_auth_enable=yes\n"
                          "  -o content_filter=discard:\n")
        self.mail.start()

    def close(self):
        self.mail.close()
        self.dovecot.close()
        self.oauth.close()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    directory = tmp_path_factory.mktemp("oauth")
    for parent in (directory, *directory.parents[:2]):
        parent.chmod(0o755)             # dovecot reads a file there
    one = World(directory)
    yield one
    one.close()


def said(mechanism, token, user="jane"):
    text = f"n,a={user},\1host=localhost\1port=587\1auth=Bearer {token}\1\1" if mechanism == "OAUTHBEARER" else f"user={user}\1auth=Bearer {token}\1\1"
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize("mechanism", ("OAUTHBEARER", "XOAUTH2"))
def test_a_token_opens_the_door_and_one_that_is_no_good_is_explained(world, mechanism):
    with Raw(world.mail, world.submission) as client:
        assert {mechanism, "PLAIN"} <= set(next(line for line in client.capabilities if line.startswith("AUTH ")).split())
        code, (challenge,) = client.say(f"AUTH {mechanism} {said(mechanism, 'expired')}")
        assert code == 334 and "status" in json.loads(base64.b64decode(challenge))
        assert client.say("AQ==" if mechanism == "OAUTHBEARER" else "")[0] == 535
        code, _ = client.say(f"AUTH {mechanism} {said(mechanism, GOOD, user='joe')}")       # somebody else's
        assert code in (334, 535)
        if code == 334:
            assert client.say("")[0] == 535
        assert client.say(f"AUTH {mechanism}") == (334, [""])
        assert client.say(said(mechanism, GOOD)) == (235, ["2.7.0 Authentication successful"])
        assert client.say("MAIL FROM:<jane@example.org>")[0] == 250
        assert client.say("RCPT TO:<a@elsewhere.example>")[0] == 250
        assert client.say("DATA")[0] == 354
        assert client.say("Subject: x\r\n\r\nx\r\n.")[0] == 250
    world.mail.wait_for_log(rf"client=localhost\[127.0.0.1\], sasl_method={mechanism}, sasl_username=jane$")
    assert "expired" in world.oauth.asked and GOOD in world.oauth.asked


def curl(world, mechanism, message):             # which has its own mind about the mechanism
    return ["curl", "-sS", "--ssl-reqd", "--cacert", world.ca.certificate, "--user", "jane:", "--oauth2-bearer", GOOD,
            "--mail-from", "jane@example.org", "--mail-rcpt", "a@elsewhere.example", "--upload-file", message, f"smtp://localhost:{world.submission}/"]


def msmtp(world, mechanism, message):
    return ["msmtp", "--host=localhost", f"--port={world.submission}", "--tls=on", f"--tls-trust-file={world.ca.certificate}", "--user=jane",
            f"--passwordeval=echo {GOOD}", "--from=jane@example.org", f"--auth={mechanism.lower()}", "a@elsewhere.example"]


@pytest.mark.parametrize("program, mechanism", ((curl, "OAUTHBEARER"), (msmtp, "OAUTHBEARER"), (msmtp, "XOAUTH2")))
def test_other_peoples_clients_submit_with_a_token(world, tmp_path, program, mechanism):
    log = rf"sasl_method={mechanism}, sasl_username=jane$"
    before = len(world.mail.log_lines(log))
    message = tmp_path / "message"
    message.write_text("Subject: x\r\n\r\nx\r\n")
    subprocess.run(program(world, mechanism, message), check=True, timeout=120, input=message.read_bytes())
    world.mail.wait_for_log(log, before + 1)


def test_our_own_client_logs_in_with_a_token(world):
    def deliver(name):
        queue_id = world.mail.send("Subject: x\r\n\r\nx\r\n", recipients=[f"someone@{name}.example"])
        line, *_ = world.mail.wait_for_log(rf"{queue_id}: to=<someone@{name}.example>.* status=", timeout=60)
        return line
    for name in ("oauthbearer", "xoauth2"):
        line = deliver(name)
        assert "status=sent" in line, line
    line = deliver("refused")
    assert "status=deferred (SASL authentication failed; server localhost[127.0.0.1] said: 535 5.7.8 " in line, line
    world.mail.wait_for_log(r"server localhost\[127.0.0.1\] said about the token: \{")


def test_an_oauth_server_that_takes_its_time_keeps_nobody_else_waiting(world):
    with Raw(world.mail, world.submission) as patient, Raw(world.mail, world.submission) as other:
        patient.tell(f"AUTH XOAUTH2 {said('XOAUTH2', SLOW)}")
        assert world.oauth.is_waiting.wait(60)
        assert other.login()[0] == 235
        world.oauth.may_go.set()
        assert patient.reply()[0] == 235


def test_no_token_is_in_the_log(world):
    log = world.mail.log()
    for token in (GOOD, SLOW, base64.b64encode(f"Bearer {GOOD}".encode()).decode()[4:-4]):
        assert token not in log
