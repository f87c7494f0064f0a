# SPDX-License-Identifier: ISC
"""What becomes of mail when a login does not work: case by case as with Postfix itself, with servers that say what a script says."""

import contextlib
import re
import socketserver
import threading

import pytest

from instance import Instance, free_port

CLEAR = {"smtp_sasl_security_options": "noanonymous"}
HARD = {**CLEAR, "smtp_sasl_auth_soft_bounce": "no"}
PLAIN = "AGphbmUAc2VjcmV0"
LOST = object()

# name: (parameters of the client, mechanisms that are offered or None, what the server says to AUTH and to what follows)
CASES = {
    "fine": (CLEAR, "PLAIN", ["235 2.7.0 ok"]),
    "refused": (CLEAR, "PLAIN", ["535 5.7.8 who?"]),
    "refused-hard": (HARD, "PLAIN", ["535 5.7.8 who?"]),
    "refused-in-lines": (HARD, "PLAIN", ["535-5.7.8 who\r\n535 5.7.8 are you?"]),
    "refused-without-a-code": (HARD, "PLAIN", ["535 who?"]),
    "refused-otherwise": (HARD, "PLAIN", ["534 5.7.9 mechanism is too weak"]),
    "refused-for-now": (HARD, "PLAIN", ["454 4.7.0 later"]),
    "refused-for-now-in-contradiction": (HARD, "PLAIN", ["454 5.7.0 later"]),
    "refused-for-good-in-contradiction": (HARD, "PLAIN", ["535 4.7.0 no"]),
    "not-known": (HARD, "PLAIN", ["502 5.5.1 what?"]),
    "goes-away": (CLEAR, "PLAIN", ["421 4.3.2 bye", LOST]),
    "breaks-off": (CLEAR, "PLAIN", [LOST]),
    "breaks-off-later": (CLEAR, "LOGIN", ["334 VXNlcm5hbWU6", LOST]),
    "login": (CLEAR, "LOGIN", ["334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6", "235 2.7.0 ok"]),
    "login-refused": (CLEAR, "LOGIN", ["334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6", "535 5.7.8 no"]),
    "login-of-few-words": (CLEAR, "LOGIN", ["334 VXNlcm5hbWU6", "235 2.7.0 welcome"]),
    "first-host-refuses": (CLEAR, "PLAIN", ["535 5.7.8 who?"]),         # and the second one is fine
    "first-host-refuses-hard": (HARD, "PLAIN", ["535 5.7.8 who?"]),
    "first-host-offers-nothing-good": ({**CLEAR, "smtp_sasl_mechanism_filter": "plain"}, "LOGIN", []),
    "not-offered": (CLEAR, None, []),
    "offered-empty": (CLEAR, "", []),
    "offered-what-is-not-known": (CLEAR, "X-NOSUCH", []),
    "offered-too-weak": ({}, "PLAIN LOGIN", []),
    "filtered": ({**CLEAR, "smtp_sasl_mechanism_filter": "cram-md5"}, "PLAIN LOGIN", []),
    "filter-takes-one-away": ({**CLEAR, "smtp_sasl_mechanism_filter": "!plain, static:rest"}, "PLAIN LOGIN", ["334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6", "235 ok"]),
    "consents-with-2xx": (CLEAR, "PLAIN", ["250 2.0.0 fine"]),
    "agrees-with-354": (CLEAR, "PLAIN", ["354 go ahead"]),
}


class Script:
    """Greets, offers, answers AUTH and each line after it as the script says, takes mail after a login, or without one where nothing is offered."""

    def __init__(self, mechanisms, replies):
        self.said = []
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            def put(self, text):
                self.wfile.write(text.encode() + b"\r\n")

            def handle(self):
                with contextlib.suppress(OSError):
                    self.session(list(replies))

            def session(self, left):
                in_auth = False
                self.put("220 script ESMTP")
                for line in self.rfile:
                    text = line.decode().strip()
                    outer.said.append(text)
                    if text.startswith("AUTH") or in_auth:
                        reply = left.pop(0) if left else "503 5.5.1 no more"
                        if reply is LOST:
                            return
                        in_auth = reply.startswith("3")
                        self.put(reply)
                        if reply.startswith("421"):
                            return
                    elif text.startswith("EHLO"):
                        self.put("250-script")
                        if mechanisms is not None:
                            self.put(f"250-AUTH {mechanisms}".rstrip() if mechanisms else "250-AUTH ")
                        self.put("250 8BITMIME")
                    elif text == "DATA":
                        self.put("354 go")
                        for content in self.rfile:
                            if content == b".\r\n":
                                break
                        self.put("250 2.0.0 kept")
                    elif text == "QUIT":
                        self.put("221 bye")
                        return
                    else:
                        self.put("250 2.0.0 ok")

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", free_port()), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def run(kind):
    """name -> what the log says of the mail, and what the server heard."""
    scripts = {name: Script(mechanisms, replies) for name, (_, mechanisms, replies) in CASES.items()}
    rows = "".join(f"{name} unix - - n - - smtp\n" + "".join(f"  -o {{ {key} = {value} }}\n" for key, value in options.items())
                   for name, (options, _, _) in CASES.items())
    main = {"smtp_sasl_auth_enable": "yes", "smtp_sasl_password_maps": "static:jane:secret", "smtp_host_lookup": "native", "inet_protocols": "ipv4",
            "smtp_tls_security_level": "none"}
    found = {}
    second = Script("PLAIN", ["235 2.7.0 ok"])

    def where(name, script):
        hosts = [script, second] if name.startswith("first-host") else [script]
        return f"{name}:" + ", ".join(f"[127.0.0.1]:{one.port}" for one in hosts)
    main["transport_maps"] = "inline:{" + ", ".join(f"{{ {name}.example = {where(name, script)} }}" for name, script in scripts.items()) + "}"
    try:
        with kind(main=main, master=rows) as one:
            ids = {name: one.send("Subject: x\r\n\r\nx\r\n", recipients=[f"a@{name}.example"]) for name in CASES}
            for name, script in scripts.items():
                line = one.wait_for_log(rf"{ids[name]}: to=<a@{name}.example>.* status=", timeout=90)[0]
                what = re.search(r"dsn=(\S+), status=(.*)", line).groups()
                found[name] = (*what, [text for text in script.said if text.startswith("AUTH") or text in ("*", PLAIN, "amFuZQ==", "c2VjcmV0")])
            warnings = sorted({re.sub(r".*?: warning: |:\d+(?= offered)|\[\d+\]", "", line) for line in one.log_lines("warning: .*AUTH mechanism")})
    finally:
        for script in (second, *scripts.values()):
            script.close()
    return found, warnings


# Where we say it in our own words: a reply of several lines as one, a status code that contradicts its reply, and what the library says of a bad challenge.
OUR_OWN = {
    "refused-in-lines": ("5.7.8", "bounced (SASL authentication failed; server 127.0.0.1[127.0.0.1] said: 535-5.7.8 who 535 5.7.8 are you?)"),
    "refused-for-now-in-contradiction": ("4.7.0", "deferred (SASL authentication failed; server 127.0.0.1[127.0.0.1] said: 454 5.7.0 later)"),
    "refused-for-good-in-contradiction": ("5.7.0", "bounced (SASL authentication failed; server 127.0.0.1[127.0.0.1] said: 535 4.7.0 no)"),
    "agrees-with-354": ("4.7.0", "deferred (SASL authentication failed; cannot authenticate to server 127.0.0.1[127.0.0.1]: "
                                 "the server's challenge is not base64)"),
}


@pytest.mark.root
def test_troubles_and_their_words_are_those_of_postfix():
    from postfix import Postfix
    (ours, our_warnings), (theirs, their_warnings) = run(Instance), run(Postfix)
    for name in CASES:
        if name not in OUR_OWN:
            assert ours[name] == theirs[name], name
            continue
        assert ours[name][:2] == OUR_OWN[name]
        assert theirs[name][1].split()[0] == ours[name][1].split()[0] and theirs[name][0][0] == ours[name][0][0], name
    assert our_warnings == their_warnings
