# SPDX-License-Identifier: ISC
"""Logging in to relay hosts: real ones (Exim), each mechanism to its end, and servers that are not what they seem."""

import base64
import hashlib
import hmac
import os
import pwd
import re
import shutil
import ssl

import pytest

from certificates import Authority
from instance import IS_ROOT, Instance, wait_until
from sink import Sink

USER, PASSWORD = "relay@example.org", "pass, word=\u00fc"


def b64(data):
    return base64.b64encode(data if isinstance(data, bytes) else data.encode()).decode()


def pbkdf(algorithm, password, salt, rounds):
    return hashlib.pbkdf2_hmac(algorithm, password.encode(), salt, rounds)


class AuthSink(Sink):
    """A sink that wants a login first. mechanisms: offered in the clear, and behind TLS when there is a chain; logins: (mechanism, user or None)."""

    def __init__(self, mechanisms, user=USER, password=PASSWORD, chain=None, mechanisms_tls=None, strip=False, twist=None, **more):
        self.mechanisms, self.mechanisms_tls = mechanisms, mechanisms_tls or mechanisms
        self.user, self.password, self.chain, self.strip, self.twist = user, password, chain, strip, twist
        self.logins, self.said = [], []
        super().__init__(**more)

    def _session(self, handler):
        self.put(handler, "220 sink.example ESMTP")
        secure = False
        while line := handler.rfile.readline():
            text = line.decode().strip()
            self.said.append(text)
            if text.startswith(("EHLO", "LHLO")):
                offers = [f"AUTH {self.mechanisms_tls if secure else self.mechanisms}"] if self.mechanisms else []
                if self.chain and not secure and not self.strip:
                    offers.append("STARTTLS")
                words = ["sink.example", *offers, "8BITMIME"]
                for word in words:
                    self.put(handler, f"250{'-' if word != '8BITMIME' else ' '}{word}")
            elif text == "STARTTLS":
                self.put(handler, "220 2.0.0 go")
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(*map(str, self.chain))
                handler.request = handler.connection = context.wrap_socket(handler.request, server_side=True)
                handler.rfile, handler.wfile = handler.request.makefile("rb"), handler.request.makefile("wb")
                secure = True
            elif text.startswith("AUTH "):
                _, mechanism, *first = text.split(" ")
                user = getattr(self, mechanism.lower().replace("-", "_"))(handler, first[0] if first else None, mechanism)
                self.logins.append((mechanism, user))
                self.put(handler, "235 2.7.0 welcome" if user else "535 5.7.8 who?")
            elif text == "QUIT":
                self.put(handler, "221 bye")
                return None
            else:
                handler.rfile = Again(line, handler.rfile)
                handler.wfile = Silent(handler.wfile)
                return super()._session(handler)
        return None

    def put(self, handler, text):
        handler.wfile.write(text.encode() + b"\r\n")
        handler.wfile.flush()

    def ask(self, handler, challenge):
        self.put(handler, "334 " + b64(challenge))
        line = handler.rfile.readline().decode().strip()
        self.said.append(line)
        if line == "*":
            raise OSError("cancelled")
        return base64.b64decode(line)

    def first(self, handler, initial, challenge=b""):
        return base64.b64decode(initial) if initial else self.ask(handler, challenge)

    # ---- mechanisms: the user, or None ----

    def plain(self, handler, initial, _):
        _, user, password = self.first(handler, initial).decode().split("\0")
        return user if (user, password) == (self.user, self.password) else None

    def login(self, handler, initial, _):
        user = self.first(handler, initial, b"Username:").decode()
        password = self.ask(handler, b"Password:").decode()
        return user if (user, password) == (self.user, self.password) else None

    def cram_md5(self, handler, _, __):
        challenge = b"<" + os.urandom(8).hex().encode() + b"@sink.example>"
        user, digest = self.ask(handler, challenge).decode().rsplit(" ", 1)
        return user if digest == hmac.new(self.password.encode(), challenge, "md5").hexdigest() else None

    def digest_md5(self, handler, _, __):
        nonce = os.urandom(8).hex()
        answer = self.ask(handler, f'realm="sink.example",nonce="{nonce}",qop="auth",charset=utf-8,algorithm=md5-sess'.encode()).decode()
        given = dict(re.findall(r'([a-z-]+)="?([^",]*)"?', answer))
        # what is Latin-1 is hashed as such (RFC 2831 2.1.2.1)
        a1 = hashlib.md5(f"{given['username']}:{given.get('realm', '')}:{self.password}".encode("latin-1")).digest() + f":{nonce}:{given['cnonce']}".encode()

        def response(method):
            a2 = hashlib.md5(f"{method}:{given['digest-uri']}".encode()).hexdigest()
            return hashlib.md5(f"{hashlib.md5(a1).hexdigest()}:{nonce}:{given['nc']}:{given['cnonce']}:auth:{a2}".encode()).hexdigest()
        if given["response"] != response("AUTHENTICATE"):
            return None
        assert self.ask(handler, f"rspauth={response('' if self.twist != 'proof' else 'x')}".encode()) == b""
        return given["username"]

    def scram(self, handler, initial, algorithm):
        first = self.first(handler, initial).decode()
        assert first.startswith("n,,")
        user, nonce = re.match(r"n=([^,]*),r=(.*)", first[3:]).groups()
        nonce, salt, rounds = nonce + os.urandom(6).hex(), os.urandom(12), {"rounds": 1000000000, "few": 1}.get(self.twist, 4096)
        server_first = f"r={nonce},s={b64(salt)},i={rounds}"
        final = self.ask(handler, server_first.encode()).decode()
        without, proof = re.match(r"(c=biws,r=[^,]*),p=(.*)", final).groups()
        said = f"{first[3:]},{server_first},{without}".encode()
        salted = pbkdf(algorithm, self.password, salt, rounds)
        client_key = hmac.new(salted, b"Client Key", algorithm).digest()
        signature = hmac.new(hashlib.new(algorithm, client_key).digest(), said, algorithm).digest()
        if base64.b64decode(proof) != bytes(a ^ b for a, b in zip(client_key, signature)):
            return None
        server_key = hmac.new(salted, b"Server Key", algorithm).digest()
        proof = hmac.new(server_key, said if self.twist != "proof" else b"x", algorithm).digest()
        if self.twist != "silent":
            assert self.ask(handler, b"v=" + b64(proof).encode()) == b""
        return user.replace("=2C", ",").replace("=3D", "=")

    def scram_sha_256(self, handler, initial, _):
        return self.scram(handler, initial, "sha256")

    def scram_sha_1(self, handler, initial, _):
        return self.scram(handler, initial, "sha1")

    def xoauth2(self, handler, initial, _):
        said = self.first(handler, initial).decode()
        if said == f"user={self.user}\1auth=Bearer {self.password}\1\1":
            return self.user
        assert self.ask(handler, b'{"status":"401","schemes":"bearer"}') == b""
        return None

    def oauthbearer(self, handler, initial, _):
        said = self.first(handler, initial).decode()
        if said == f"n,a={self.user},\1host=localhost\1port={self.port}\1auth=Bearer {self.password}\1\1":
            return self.user
        assert self.ask(handler, b'{"status":"invalid_token"}') == b"\1"
        return None


class Again:
    """A line that was read already, then the rest."""

    def __init__(self, line, rest):
        self.line, self.rest = line, rest

    def readline(self):
        line, self.line = self.line, None
        return self.rest.readline() if line is None else line

    def __getattr__(self, name):
        return getattr(self.rest, name)


class Silent:
    """Swallows the greeting: the session has had one."""

    def __init__(self, to):
        self.to, self.greeted = to, False

    def write(self, data):
        if self.greeted:
            self.to.write(data)
        self.greeted = True

    def __getattr__(self, name):
        return getattr(self.to, name)


WRONG = "relay@example.org:wrong"
RIGHT = f"{USER}:{PASSWORD}"
CLEAR = {"smtp_sasl_security_options": "noanonymous"}
TLS = {"smtp_tls_security_level": "encrypt", "smtp_sasl_tls_security_options": "noanonymous"}
CACHE = "proxy:btree:$data_directory/smtp_auth_cache"
SERVICES = {
    "strict": {},
    "clear": CLEAR,
    "hard": {**CLEAR, "smtp_sasl_auth_soft_bounce": "no"},
    "token": {**CLEAR, "smtp_sasl_mechanism_filter": "xoauth2,oauthbearer"},
    "may": {"smtp_tls_security_level": "may", "smtp_sasl_tls_security_options": "noanonymous"},
    "encrypt": {"smtp_tls_security_level": "encrypt", "smtp_sasl_tls_verified_security_options": "noanonymous"},
    "secure": {"smtp_tls_security_level": "secure", "smtp_sasl_tls_verified_security_options": "noanonymous"},
    "sender": {**CLEAR, "smtp_sender_dependent_authentication": "yes"},
    "cached": {**CLEAR, "smtp_sasl_auth_cache_name": CACHE},
    "hard-cached": {**CLEAR, "smtp_sasl_auth_cache_name": CACHE, "smtp_sasl_auth_soft_bounce": "no"},
    "briefly": {**CLEAR, "smtp_connection_cache_on_demand": "no", "smtp_sasl_auth_cache_name": CACHE, "smtp_sasl_auth_cache_time": "1s"},
    "local": {**CLEAR, "lmtp_sasl_auth_enable": "yes", "lmtp_sasl_security_options": "noanonymous", "lmtp_sasl_password_maps": "$smtp_sasl_password_maps"},
}
ALL = "PLAIN LOGIN CRAM-MD5 DIGEST-MD5 SCRAM-SHA-1 SCRAM-SHA-256"
NOTHING = "cannot authenticate to server localhost[127.0.0.1]: no mechanism available"
SAID = "server localhost[127.0.0.1] said: 535 5.7.8 who?"
UNPROVEN = "cannot authenticate to server localhost[127.0.0.1]: the server agrees before it has proven that it knows the password"

# name: service, mechanisms, what the sink does besides, what is in the table, the mechanism that is used, the reason why not
CASES = {
    "plain": ("clear", "PLAIN", {}, RIGHT, "PLAIN", None),
    "login": ("clear", "LOGIN", {}, RIGHT, "LOGIN", None),
    "cram": ("strict", "CRAM-MD5 PLAIN", {}, RIGHT, "CRAM-MD5", None),
    "digest": ("strict", "DIGEST-MD5 CRAM-MD5", {}, RIGHT, "DIGEST-MD5", None),
    "scram1": ("strict", "SCRAM-SHA-1 LOGIN", {}, RIGHT, "SCRAM-SHA-1", None),
    "best": ("strict", ALL, {}, RIGHT, "SCRAM-SHA-256", None),
    "xoauth2": ("token", ALL + " XOAUTH2", {}, RIGHT, "XOAUTH2", None),
    "bearer": ("token", ALL + " XOAUTH2 OAUTHBEARER", {}, RIGHT, "OAUTHBEARER", None),
    "lmtp": ("local", "PLAIN", {"lmtp": True}, RIGHT, "PLAIN", None),
    "proxied": ("clear", "PLAIN", {}, RIGHT, "PLAIN", None),
    "wrong-plain": ("clear", "PLAIN", {}, WRONG, "PLAIN", SAID),
    "wrong-login": ("clear", "LOGIN", {}, WRONG, "LOGIN", SAID),
    "wrong-cram": ("clear", "CRAM-MD5", {}, WRONG, "CRAM-MD5", SAID),
    "wrong-digest": ("clear", "DIGEST-MD5", {}, WRONG, "DIGEST-MD5", SAID),
    "wrong-scram": ("clear", "SCRAM-SHA-256", {}, WRONG, "SCRAM-SHA-256", SAID),
    "wrong-token": ("token", "XOAUTH2", {}, WRONG, "XOAUTH2", SAID),
    "wrong-bearer": ("token", "OAUTHBEARER", {}, WRONG, "OAUTHBEARER", SAID),
    "hard": ("hard", "PLAIN", {}, WRONG, "PLAIN", SAID),
    # servers that are not what they seem: the password does not get there
    "downgraded": ("strict", "PLAIN LOGIN", {}, RIGHT, None, NOTHING),
    "unfit": ("token", "PLAIN LOGIN", {}, RIGHT, None, "offered no compatible authentication mechanisms for this type of connection security"),
    "false-scram": ("strict", "SCRAM-SHA-256", {"twist": "proof"}, RIGHT, None, "SCRAM-SHA-256: Error authenticating user"),
    "silent-scram": ("strict", "SCRAM-SHA-256", {"twist": "silent"}, RIGHT, "SCRAM-SHA-256", UNPROVEN),
    "false-digest": ("strict", "DIGEST-MD5", {"twist": "proof"}, RIGHT, None, "DIGEST-MD5: "),
    "busy-scram": ("strict", "SCRAM-SHA-256", {"twist": "rounds"}, RIGHT, None, "the server asks for \"1000000000\" rounds of hashing"),
    "lazy-scram": ("strict", "SCRAM-SHA-256", {"twist": "few"}, RIGHT, None, "the server asks for \"1\" rounds of hashing"),
    # TLS: what is offered before it does not count, and where it is taken away a password that it would have protected is not said
    "behind": ("may", "SCRAM-SHA-256", {"tls": True, "mechanisms_tls": "PLAIN"}, RIGHT, "PLAIN", None),
    "stripped": ("may", "PLAIN", {"tls": True, "strip": True}, RIGHT, None, NOTHING),
    "unproven": ("encrypt", "PLAIN", {"tls": True}, RIGHT, None, NOTHING),
    "proven": ("secure", "PLAIN", {"tls": True}, RIGHT, "PLAIN", None),
}


class World:
    """One instance for all cases, and a sink for each: mail for NAME.example goes there, as whoever the table says, which only root can read."""

    def __init__(self, directory):
        ca = Authority(directory)
        chain = ca.issue("good", name="localhost")
        self.sinks, transport, passwords, proxied = {}, [], [], []
        for name, (service, mechanisms, more, credentials, _, _) in CASES.items():
            more = dict(more)
            if more.pop("tls", False):
                more["chain"] = chain
            self.sinks[name] = sink = AuthSink(mechanisms, **more)
            kind, nexthop = ("lmtp:inet:", "localhost") if service == "local" else (service + ":", "[localhost]")
            transport.append(f"{name}.example {kind}{nexthop}:{sink.port}")
            (proxied if name == "proxied" else passwords).append(f"{nexthop}:{sink.port} {credentials}")
        self.sinks["sender"], self.sinks["cached"] = AuthSink("PLAIN"), AuthSink("PLAIN")
        transport.append(f"sender.example sender:[localhost]:{self.sinks['sender'].port}")
        transport += [f"{name}.example {name}:[localhost]:{self.sinks['cached'].port}" for name in ("cached", "hard-cached", "briefly")]
        proxied.append(f"[localhost]:{self.sinks['cached'].port} {WRONG}")
        passwords += [f"ours@example.net {RIGHT}", "@theirs.example ann:else"]
        rows = "".join(f"{name} unix - - n - - smtp\n" + "".join(f"  -o {{ {key} = {value} }}\n" for key, value in options.items())
                       for name, options in SERVICES.items() if name != "local")
        self.mail = Instance(main={"smtp_sasl_auth_enable": "yes", "smtp_host_lookup": "native", "inet_protocols": "ipv4",
                                   "smtp_tls_CAfile": ca.certificate, "proxy_write_maps": CACHE, **{k: v for k, v in SERVICES["local"].items() if k.startswith("lmtp")}},
                             master=rows + "proxywrite unix - - n - 1 proxymap\n")
        etc = self.mail.etc
        self.mail.main.update(transport_maps=f"texthash:{etc}/transport", smtp_sasl_password_maps=f"texthash:{etc}/passwords, proxy:texthash:{etc}/proxied")
        for name, lines in (("transport", transport), ("passwords", passwords), ("proxied", proxied)):
            self.mail.file(name, "\n".join(lines) + "\n", 0o600 if name == "passwords" else 0o644)
        if IS_ROOT:
            os.chown(etc / "passwords", 0, 0)
        self.mail.start()

    def deliver(self, name, sender="sender@example.net"):
        queue_id = self.mail.send("Subject: x\r\n\r\nx\r\n", sender=sender, recipients=[f"someone@{name}.example"])
        line, *_ = self.mail.wait_for_log(rf"{queue_id}: to=<someone@{name}.example>.* status=", timeout=60)
        return line

    def close(self):
        try:
            self.mail.close()
        finally:
            for sink in self.sinks.values():
                sink.close()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    one = World(tmp_path_factory.mktemp("ca"))
    yield one
    one.close()


@pytest.mark.parametrize("name", CASES)
def test_each_mechanism_and_each_trick(world, name):
    _, _, _, _, mechanism, reason = CASES[name]
    sink, line = world.sinks[name], world.deliver(name)
    if reason is None:
        assert "status=sent" in line, line
        assert sink.logins == [(mechanism, USER)] and len(sink.messages) == 1
        return
    assert ("dsn=5.7.8, status=bounced" if name == "hard" else "status=deferred") in line and "SASL authentication failed" in line and reason in line, line
    assert ("dsn=4.7.8" if reason == SAID else "dsn=4.7.0") in line or name == "hard", line
    assert not sink.messages
    assert [used for used, _ in sink.logins] == ([mechanism] if mechanism else [])
    if reason is NOTHING or "compatible" in reason:
        assert not [said for said in sink.said if said.startswith("AUTH")]


def test_senders_have_logins_of_their_own_and_sessions_too(world):
    sink = world.sinks["sender"]
    for _ in range(2):
        assert "status=sent" in world.deliver("sender", "ours@example.net")
    assert "SASL authentication failed; server localhost[127.0.0.1] said: 535" in world.deliver("sender", "bob@theirs.example")
    assert "status=sent" in world.deliver("sender", "nobody@elsewhere.example")
    assert sink.logins[0] == ("PLAIN", USER) and ("PLAIN", None) in sink.logins
    assert [message.sender.split()[0] for message in sink.messages] == ["<ours@example.net>"] * 2 + ["<nobody@elsewhere.example>"]


REMEMBERED = "SASL [CACHED] authentication failed; server localhost[127.0.0.1] said: 535 5.7.8 who?"


def test_a_refused_login_is_remembered_by_all_processes_until_the_password_changes(world):
    sink, mail, proxied = world.sinks["cached"], world.mail, world.mail.etc / "proxied"
    assert "SASL authentication failed; server" in world.deliver("cached")
    assert "smtp_auth_cache is unavailable" not in mail.log()       # it was merely not made yet
    mail.stop()
    mail.start()                                            # nothing that only a process knew is left
    line = world.deliver("cached")
    assert REMEMBERED in line and "dsn=4.7.8, status=deferred" in line
    line = world.deliver("hard-cached")
    assert REMEMBERED in line and "dsn=5.7.8, status=bounced" in line
    assert len(sink.logins) == 1
    kept = (mail.data / "smtp_auth_cache.db").read_bytes()
    assert b"localhost;relay@example.org" in kept and b"pbkdf2-sha256$" in kept and b"535 5.7.8 who?" in kept
    assert b"wrong" not in kept and b64("wrong").encode() not in kept

    text = proxied.read_text()
    mail.file("proxied", text.replace(f":{sink.port} {WRONG}", f":{sink.port} {USER}:wrongly"))
    wait_until(lambda: "said: 535" in world.deliver("cached") and len(sink.logins) == 2, 30, "the new password, tried")     # refused as well
    mail.file("proxied", text.replace(f":{sink.port} {WRONG}", f":{sink.port} {RIGHT}"))
    wait_until(lambda: "status=sent" in world.deliver("cached"), 30, "the right password, tried")
    assert sink.logins[2:] == [("PLAIN", USER)]
    mail.file("proxied", text)


def test_a_refused_login_is_tried_again_after_a_while(world):
    sink = world.sinks["cached"]
    wait_until(lambda: "said: 535" in world.deliver("briefly"), 30, "the wrong password again")
    before = len(sink.logins)
    wait_until(lambda: "SASL authentication failed; server" in world.deliver("briefly") and len(sink.logins) > before, 30, "another try")


HELPER = """#!/bin/sh
echo "$1 $(id -un) $HOME" >>{directory}/runs
case $1 in
fine@example.org) echo "token-$(wc -l <{directory}/runs | tr -d ' ')"; echo 3600;;
json@example.org) echo '{{"token_type":"Bearer","expires_in":3599,"access_token":"from.json"}}';;
fails@example.org) echo "the refresh token has been revoked" >&2; exit 3;;
slow@example.org) exec sleep 600;;
*) echo no token at all;;
esac
"""


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    directory = tmp_path_factory.mktemp("helper")
    helper = directory / "get-token"
    helper.write_text(HELPER.format(directory=directory))
    helper.chmod(0o755)
    runs = directory / "runs"
    runs.touch()
    user = "nobody" if IS_ROOT else pwd.getpwuid(os.getuid()).pw_name
    if IS_ROOT:
        shutil.chown(runs, user)
    sinks = {name: AuthSink("PLAIN XOAUTH2", user=f"{name}@example.org", password=password) for name, password in
             (("fine", "token-1"), ("json", "from.json"), ("fails", "x"), ("slow", "x"), ("odd", "x"))}
    with Instance(main={"smtp_sasl_auth_enable": "yes", "smtp_host_lookup": "native", "inet_protocols": "ipv4", "smtp_sasl_token_service": "tokens",
                        "smtp_sasl_security_options": "noanonymous", "tokens_time_limit": "6s", "smtp_connection_cache_on_demand": "no",
                        "transport_maps": "inline:{" + ",".join(f"{{ {name}.example = smtp:[localhost]:{s.port} }}" for name, s in sinks.items()) + "}",
                        "smtp_sasl_password_maps": "inline:{" + ",".join(f"{{ [localhost]:{s.port} = {s.user}: }}" for s in sinks.values()) + "}"},
                  master=f"tokens unix - n n - 1 tokens user={user} argv={helper} ${{user}}\n") as mail:
        yield mail, sinks, runs, user
    for sink in sinks.values():
        sink.close()


def test_tokens_come_from_the_helper_and_are_kept_until_they_are_refused(tokens):
    mail, sinks, runs, user = tokens

    def deliver(name):
        queue_id = mail.send("Subject: x\r\n\r\nx\r\n", recipients=[f"someone@{name}.example"])
        line, *_ = mail.wait_for_log(rf"{queue_id}: to=<someone@{name}.example>.* status=", timeout=60)
        return line

    def ran(name):
        return [line for line in runs.read_text().splitlines() if line.startswith(name)]
    for _ in range(3):
        assert "status=sent" in deliver("fine")
    home = pwd.getpwnam(user).pw_dir
    assert ran("fine") == [f"fine@example.org {user} {home}"]
    assert sinks["fine"].logins == [("XOAUTH2", "fine@example.org")] * 3
    assert "status=sent" in deliver("json")
    sinks["fine"].password = "token-3"                      # the server has forgotten the first one; the helper's next will be the third it makes
    assert "status=deferred (SASL authentication failed; server localhost[127.0.0.1] said: 535" in deliver("fine")
    mail.wait_for_log(r'server localhost\[127.0.0.1\] said about the token: {"status":"401","schemes":"bearer"}')
    assert "status=sent" in deliver("fine")
    for name, words in (("fails", "the helper ended with status 3: the refresh token has been revoked"), ("odd", "what the helper wrote is no token"),
                        ("slow", "the helper failed: it took too long")):
        line = deliver(name)
        assert "dsn=4.3.0, status=deferred (local data error while talking to localhost[127.0.0.1])" in line, line
        mail.wait_for_log(rf"tokens\[\d+\]: warning: no token for {name}@example.org: {words}")
        assert not sinks[name].messages and not sinks[name].logins
    assert "token-" not in mail.log() and "from.json" not in mail.log()


def test_no_password_is_in_the_log(world):
    """The last of these cases: whatever they did is in the log by now."""
    log = world.mail.log()
    for secret in (PASSWORD, b64(PASSWORD), b64(f"\0{USER}\0{PASSWORD}"), ":wrong", b64("wrong")):
        assert secret not in log
    assert "password" not in log.replace(UNPROVEN, "").replace("smtp_sasl_password_maps", "")
