#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""SMTP dialogues as data: tests/system/dialogues/*.txt, which also document what the server does.

Before the first line of the dialogue:

    # a comment
    main NAME = VALUE             a parameter of main.cf; $etc is the configuration directory
    file NAME                     a file in $etc: the indented lines that follow
    dns NAME TYPE DATA            a record of the DNS server that the instance asks
    dns NAME fail KIND            SERVFAIL, DROP, ... for everything about that name
    from ADDRESS                  where the client connects from; 127.0.0.1 when not given

The dialogue:

    S: 250 2.1.0 Ok               the next line from the server; "..." stands for anything
    S* 250                        a whole reply, of any number of lines, with that code
    C: MAIL FROM:<a@b.example>    a line to the server; \\r \\n \\t \\0 \\xHH \\\\ are bytes
    C- BDAT 4\\r\\nab             the same without line end
    C* 100 NOOP                   a line, a hundred times
    pause 0.2                     what was given so far goes out now, then waits
    closed                        the server closes
    close                         the client closes
    connect                       another connection
    L: reject: RCPT from ...      the log has this text in one line from here on; "..." stands for anything
    L! warning:                   the log has it not
    mails 1                       so many messages arrived at the next hop, all in all
    mail subject: x\\r\\n          the last message that arrived has this text
    mail! text                    and has not this

Lines for the server gather and go out with one write, before the next thing that is not C: pipelining is the natural case.
"""

import re
import socket
import time
from pathlib import Path

from instance import PATIENCE, wait_until

HERE = Path(__file__).resolve().parent / "dialogues"
ESCAPES = {"r": b"\r", "n": b"\n", "t": b"\t", "0": b"\0", "\\": b"\\"}


def unescape(text):
    def one(match):
        code = match.group(1)
        return bytes([int(code[1:], 16)]) if code.startswith("x") else ESCAPES[code]
    parts = re.split(r"\\(x[0-9a-fA-F]{2}|[rnt0\\])", text)
    out = b""
    for number, part in enumerate(parts):
        out += part.encode() if number % 2 == 0 else one(re.match(r"(.*)", part))
    return out


def pattern(text):
    return ".*".join(re.escape(part) for part in text.split("..."))


class Script:
    """A file, read: settings and steps."""

    def __init__(self, path):
        self.name = Path(path).stem
        self.main, self.files, self.dns, self.steps = {}, {}, [], []
        self.client = "127.0.0.1"
        current = None
        for number, raw in enumerate(Path(path).read_text().splitlines(), 1):
            if raw.startswith((" ", "\t")) and current is not None:
                self.files[current] += raw.strip() + "\n"
                continue
            current = None
            if not raw.strip() or raw.startswith("#"):
                continue
            word, _, rest = raw.partition(" ")
            if word == "main":
                name, _, value = rest.partition("=")
                self.main[name.strip()] = value.strip()
            elif word == "file":
                current = rest.strip()
                self.files[current] = ""
            elif word == "from":
                self.client = rest.strip()
            elif word == "dns":
                self.dns.append(rest.split(None, 2))
            else:
                self.steps.append((number, word, rest))

    def settings(self):
        """What an instance must be like; scripts with equal settings share one."""
        return repr((sorted(self.main.items()), sorted(self.files.items()), self.dns))


class Dialogue:
    """One run of a script against an instance, with the sink that is its next hop."""

    def __init__(self, script, mail, sink):
        self.script, self.mail, self.sink = script, mail, sink
        self.log_start = len(mail.log())
        self.mails_before = len(sink.messages)
        self.transcript = []
        self.pending = b""
        self.open()

    def open(self):
        self.socket = socket.create_connection((self.mail.address, self.mail.smtp_port), timeout=20 * PATIENCE,
                                               source_address=(self.script.client, 0))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = b""

    def fail(self, number, words):
        shown = "\n".join(self.transcript[-30:])
        raise AssertionError(f"{self.script.name}.txt:{number}: {words}\n{shown}\n---- log\n{self.mail.log_tail(15)}")

    def send_pending(self):
        if self.pending:
            data, self.pending = self.pending, b""
            self.transcript.append(f"C: {data[:300]!r}")
            try:
                self.socket.sendall(data)
            except OSError as error:
                self.transcript.append(f"   {error}")

    def line(self, number):
        while b"\n" not in self.received:
            try:
                more = self.socket.recv(65536)
            except ConnectionResetError:
                more = b""
            except TimeoutError:
                self.fail(number, "no answer")
            if not more:
                self.fail(number, f"the server closed; before that {self.received!r}")
            self.received += more
        line, _, self.received = self.received.partition(b"\n")
        if not line.endswith(b"\r"):
            self.fail(number, f"a reply without CR LF: {line!r}")
        text = line[:-1].decode()
        self.transcript.append(f"S: {text}")
        return text

    def expect(self, number, wanted):
        text = self.line(number)
        if not re.fullmatch(pattern(wanted), text):
            self.fail(number, f"got {text!r}, expected {wanted!r}")

    def expect_reply(self, number, code):
        while True:
            text = self.line(number)
            if text[:3] != code.strip():
                self.fail(number, f"got {text!r}, expected {code}")
            if text[3:4] != "-":
                return

    def expect_eof(self, number):
        self.socket.settimeout(20 * PATIENCE)
        try:
            more = self.received + self.socket.recv(65536)
        except ConnectionResetError:
            more = self.received
        except TimeoutError:
            self.fail(number, "the server does not close")
        if more:
            self.fail(number, f"got {more!r}, expected the end")

    def log(self):
        return self.mail.log()[self.log_start:]

    def expect_log(self, number, wanted):
        found = re.compile(pattern(wanted))
        try:
            wait_until(lambda: found.search(self.log()), 10, wanted)
        except AssertionError:
            self.fail(number, f"not in the log: {wanted}")

    def expect_mails(self, number, count):
        def arrived():
            return len(self.sink.messages) - self.mails_before
        try:
            wait_until(lambda: arrived() >= count, 30, "mails")
        except AssertionError:
            self.fail(number, f"{arrived()} messages arrived, expected {count}")
        if count == 0 or arrived() > count:
            time.sleep(0.3)             # an extra one would be on its way
        if arrived() != count:
            self.fail(number, f"{arrived()} messages arrived, expected {count}")

    def step(self, number, word, rest):
        if word == "C:":
            self.pending += unescape(rest) + b"\r\n"
            return
        if word == "C-":
            self.pending += unescape(rest)
            return
        if word == "C*":
            times, _, text = rest.partition(" ")
            self.pending += (unescape(text) + b"\r\n") * int(times)
            return
        self.send_pending()
        if word == "S:":
            self.expect(number, rest)
        elif word == "S*":
            self.expect_reply(number, rest)
        elif word == "pause":
            time.sleep(float(rest))
        elif word == "closed":
            self.expect_eof(number)
        elif word == "close":
            self.socket.close()
        elif word == "connect":
            self.socket.close()
            self.open()
        elif word == "L:":
            self.expect_log(number, rest)
        elif word == "L!":
            if re.search(pattern(rest), self.log()):
                self.fail(number, f"in the log: {rest}")
        elif word == "mails":
            self.expect_mails(number, int(rest))
        elif word in ("mail", "mail!"):
            there = unescape(rest) in self.sink.messages[-1].content
            if there != (word == "mail"):
                self.fail(number, f"{word} {rest}: {self.sink.messages[-1].content!r}")
        else:
            self.fail(number, f"what is {word!r}?")

    def run(self):
        try:
            for number, word, rest in self.script.steps:
                self.step(number, word, rest)
            self.send_pending()
        finally:
            self.socket.close()


def scripts():
    return sorted((Script(path) for path in HERE.glob("*.txt")), key=lambda script: (script.settings(), script.name))
