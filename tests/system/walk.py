#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""Random walks over all SMTP verbs, against a model of the server.

The model reads the very bytes that the server reads, and says which replies must come, and which messages were accepted with what content.
Many connections at once send random commands, wrong arguments, groups of commands and content, cut into pieces at random places, and hang up
at random moments. At the end the next hop must have got exactly the accepted messages, byte for byte.

    walk.py [STEPS [SEED]]                 a command, a chunk, a line of content is a step; make walk does a million
"""

import random
import re
import selectors
import socket
import sys
import time

from instance import PATIENCE, Instance
from sink import Sink

LINE_LIMIT, SIZE_LIMIT, RECIPIENT_LIMIT = 2048, 6000, 5
TRUSTED = "127.0.0.9"                       # may relay; clients become it by XCLIENT

SETTINGS = {
    "worker_processes": "2", "relay_domains": "relay.example", "relay_recipient_maps": "inline:{user@relay.example=x, other@relay.example=x}",
    "mynetworks": TRUSTED, "smtpd_relay_restrictions": "permit_mynetworks, reject_unauth_destination",
    "local_header_rewrite_clients": "", "smtpd_authorized_xclient_hosts": "127.0.0.0/8", "smtpd_peername_lookup": "no",
    "smtpd_sender_restrictions": "check_sender_access inline:{{defer@example.net=DEFER}}",
    "smtpd_data_restrictions": "check_sender_access inline:{{data@example.net=REJECT}}",
    "smtpd_end_of_data_restrictions": "check_sender_access inline:{{end@example.net=REJECT}}",
    "message_size_limit": str(SIZE_LIMIT), "smtpd_recipient_limit": str(RECIPIENT_LIMIT), "line_length_limit": str(LINE_LIMIT),
    "smtpd_error_sleep_time": "0", "smtpd_hard_error_limit": "1000000", "smtpd_soft_error_limit": "1000000",
    "smtpd_junk_command_limit": "1000000", "smtpd_recipient_overshoot_limit": "1000000",
    "smtpd_client_connection_count_limit": "0",
    "smtp_line_length_limit": "0",
}


# ---- the model ----

class Content:
    """The content of one message under way, decoded from what the client sends: lines without their ends, and what has no line end yet."""

    def __init__(self):
        self.lines, self.rest = [], b""
        self.bytes = 0                      # with <CR><LF> line ends

    def line(self, text):
        self.lines.append(text)
        self.bytes += len(text) + 2

    def add(self, data):
        *lines, self.rest = (self.rest + data).split(b"\n")
        for line in lines:
            self.line(line[:-1] if line.endswith(b"\r") else line)

    def size(self):
        return self.bytes + len(self.rest) - self.rest.endswith(b"\r")      # a last CR may yet belong to a line end

    def decoded(self):
        """As the next hop gets it: every line end is <CR><LF>, whatever CRs were before it; every other CR is a blank."""
        return b"".join(line.rstrip(b"\r").replace(b"\r", b" ") + b"\r\n" for line in self.lines)


class Model:
    """The server's side of one connection. feed() takes what the client sends, in any pieces."""

    def __init__(self, rude):
        self.rude = rude                    # may commands be sent ahead anywhere?
        self.expected = [220]               # the codes that must come, in this order
        self.accepted = []                  # (number of replies that say so, sender, recipients, content)
        self.closed = False                 # the server hangs up
        self.input = b""
        self.mode = self.command
        self.trusted = self.esmtp = False
        self.may_xclient = True
        self.reset()

    def reset(self):
        self.sender = None                  # None: no transaction
        self.recipients = []                # [(address, parameters)]
        self.chunks = None                  # None, "coming", "failed"
        self.content = None

    def feed(self, data):
        self.input += data
        while not self.closed and self.mode():
            pass

    def say(self, code):
        self.expected.append(code)

    def close(self, code):
        self.say(code)
        self.closed = True

    # ---- kinds of input; False: it is not complete yet ----

    def command(self):
        line, found, rest = self.input.partition(b"\n")
        if not found:
            return False
        self.input = rest
        line = line[:-1] if line.endswith(b"\r") else line
        verb, _, arguments = line.replace(b"\t", b" ").strip(b" ").partition(b" ")
        if len(line) > LINE_LIMIT or not verb or b"\0" in line or not is_utf8(line):
            self.say(500)
        elif verb.upper() in self.VERBS:
            self.VERBS[verb.upper()](self, arguments.strip(b" "))
        elif re.match(rb"[!-9;-~]+:|[^A-Za-z]|(CONNECT|GET|POST)$", verb, re.I):
            self.close(221)                 # a header, a web client
        else:
            self.say(500)
        return True

    def data(self):
        text, found, rest = self.input.partition(b"\n")
        if not found:
            return False
        self.input = rest
        crlf = text.endswith(b"\r")
        text = text[:-1] if crlf else text
        if text == b"." and crlf and self.after_crlf:       # <CR><LF>.<CR><LF>, and nothing else
            self.mode = self.command
            self.finish()
            return True
        self.content.line(text[1:] if text.startswith(b".") else text)
        self.after_crlf = crlf
        return True

    def chunk(self):
        if len(self.input) < self.chunk_size:
            return False
        data, self.input = self.input[:self.chunk_size], self.input[self.chunk_size:]
        self.mode = self.command
        refusal = self.chunk_refusal()
        if refusal:
            self.say(refusal)
            if self.sender is not None and self.last:
                self.reset()
            elif self.sender is not None:
                self.chunks = "failed"
            return True
        self.content = self.content or Content()
        self.content.add(data)
        self.chunks = "coming"
        if self.last:
            self.finish()
        else:
            self.say(250)
        return True

    # ---- verbs ----

    def hello(self, arguments, esmtp):
        if not arguments:
            return self.say(501)
        self.reset()
        self.esmtp = self.esmtp or esmtp
        self.say(250)

    def mail(self, arguments):
        address, parameters = split_path(arguments, b"FROM:")
        if self.sender is not None:
            return self.say(503)
        if address is None:
            return self.say(501)
        for parameter in parameters:
            if MAIL_PARAMETERS[parameter] != 250:
                return self.say(MAIL_PARAMETERS[parameter])
        if TOO_BIG in parameters:
            return self.say(552)
        self.sender = address
        self.say(250)

    def verdict(self, address):
        if self.sender == "defer@example.net":
            return 450
        if address.endswith("@relay.example"):
            return 250 if address in KNOWN else 550
        return 250 if self.trusted else 554

    def rcpt(self, arguments):
        address, parameters = split_path(arguments, b"TO:")
        if self.chunks or self.sender is None:
            return self.say(503)
        if not address:
            return self.say(501)
        for parameter in parameters:
            if RCPT_PARAMETERS[parameter] != 250:
                return self.say(RCPT_PARAMETERS[parameter])
        code = 452 if len(self.recipients) >= RECIPIENT_LIMIT else self.verdict(address)
        if code == 250:
            self.recipients.append((address, tuple(sorted(parameters))))
        self.say(code)

    def begin_data(self, arguments):
        if self.chunks or self.sender is None:
            return self.say(503)
        if not self.recipients or (not arguments and self.sender == "data@example.net"):
            return self.say(554)
        if arguments:
            return self.say(501)
        self.say(354)
        self.content, self.after_crlf, self.mode = Content(), True, self.data

    def finish(self):
        too_big = self.content.size() > SIZE_LIMIT
        if self.content.rest:               # a last chunk need not end with a line end
            self.content.line(self.content.rest)
        if not too_big and self.sender == "end@example.net":
            self.say(554)
        elif too_big or self.content.bytes - len(self.content.lines) > SIZE_LIMIT:
            self.say(552)
        else:
            self.say(250)
            recipients = sorted(address for address, _ in set(self.recipients))
            self.accepted.append((len(self.expected), self.sender, recipients, self.content.decoded()))
        self.reset()

    def bdat(self, arguments):
        found = re.fullmatch(rb"(\d{1,18})(?: +(LAST))?", arguments, re.I)
        if not found:
            return self.close(521)          # what follows is content, and nobody knows how much
        self.chunk_size, self.last = int(found[1]), bool(found[2])
        self.mode = self.chunk

    def chunk_refusal(self):
        if self.sender is None:
            return 503
        if self.chunks == "failed":
            return 551
        if not self.recipients:
            return 554
        if self.chunk_size == 0 and not self.last:
            return 551
        if self.chunks is None and self.sender == "data@example.net":
            return 554
        if self.chunk_size + (self.content.size() if self.content else 0) > SIZE_LIMIT:
            return 552
        return None

    def rset(self, arguments):
        if arguments:
            return self.say(501)
        self.reset()
        self.say(250)

    def vrfy(self, arguments):
        address = PATHS.get(arguments)
        if not address:
            return self.say(501)
        code = self.verdict(address)
        self.say(252 if code == 250 else code)

    def etrn(self, arguments):
        if self.sender is not None:
            return self.say(503)
        if len(arguments.split()) != 1:
            return self.say(500)
        self.say({b"relay.example": 250, b"elsewhere.example": 459}.get(arguments, 501))

    def xclient(self, arguments):
        if self.sender is not None:
            return self.say(503)
        if not self.may_xclient:
            return self.say(550)
        code, address = XCLIENT_ARGUMENTS[arguments]
        if code == 220:
            self.esmtp = False
        if address:
            self.trusted, self.may_xclient = address == TRUSTED, address.startswith("127.")
        self.say(code)

    VERBS = {
        b"HELO": lambda self, a: self.hello(a, False), b"EHLO": lambda self, a: self.hello(a, True), b"MAIL": mail, b"RCPT": rcpt,
        b"DATA": begin_data, b"BDAT": bdat, b"RSET": rset, b"NOOP": lambda self, a: self.say(250), b"VRFY": vrfy, b"ETRN": etrn,
        b"HELP": lambda self, a: self.say(214), b"QUIT": lambda self, a: self.close(221), b"STARTTLS": lambda self, a: self.say(502),
        b"AUTH": lambda self, a: self.say(503), b"XCLIENT": xclient,
    }


def is_utf8(line):
    try:
        line.decode()
        return True
    except UnicodeDecodeError:
        return False


def split_path(arguments, keyword):
    """(address or None, [parameters])"""
    if arguments[:len(keyword)].upper() != keyword:
        return None, []
    rest = arguments[len(keyword):].lstrip(b" ")
    for path in PATHS_BY_LENGTH:
        if rest == path or rest.startswith(path + b" "):
            return PATHS[path], rest[len(path):].split()
    return None, []


KNOWN = ("user@relay.example", "other@relay.example")
PATHS = {       # what stands behind FROM: or TO:, and the address that it means; None: none
    b"<a@example.net>": "a@example.net", b"a@example.net": "a@example.net", b"<data@example.net>": "data@example.net",
    b"<end@example.net>": "end@example.net", b"<defer@example.net>": "defer@example.net", b"<>": "",
    b"<user@relay.example>": "user@relay.example", b"user@relay.example": "user@relay.example",
    b"<other@relay.example>": "other@relay.example", b"<nobody@relay.example>": "nobody@relay.example",
    b"<@hop.example:user@relay.example>": "user@relay.example", b'<"user"@relay.example>': "user@relay.example",
    b"<far@elsewhere.example>": "far@elsewhere.example", b"< a@example.net >": "a@example.net",
    b"<a@": None, b"a@example.net>": None, b"<a@b@example.net>": None, b"<a(x)@example.net>": None, b"": None, b"<a@[>": None, b'<"a@b>': None,
    b"<a@example.net>x": None, b"<a,b@example.net>": None, b"\x01": None,
}
PATHS_BY_LENGTH = sorted(PATHS, key=len, reverse=True)
TOO_BIG = b"SIZE=%d" % (SIZE_LIMIT + 1)
MAIL_PARAMETERS = {b"SIZE=100": 250, b"SIZE=%d" % SIZE_LIMIT: 250, TOO_BIG: 250, b"SIZE=x": 501, b"SIZE=-1": 501,
                   b"SIZE=99999999999999999999": 552, b"BODY=8BITMIME": 250, b"BODY=7BIT": 250, b"BODY=BINARYMIME": 555, b"RET=FULL": 250,
                   b"RET=NONE": 501, b"ENVID=abc+2B": 250, b"ENVID=+0A": 501, b"SMTPUTF8": 250, b"FOO=BAR": 555, b"FOO": 555, b"=": 555}
RCPT_PARAMETERS = {b"NOTIFY=NEVER": 250, b"NOTIFY=SUCCESS,FAILURE": 250, b"NOTIFY=NEVER,DELAY": 501, b"NOTIFY=": 501,
                   b"ORCPT=rfc822;a+40b": 250, b"ORCPT=nothing": 501, b"ORCPT=rfc822;+00": 501, b"SIZE=1": 555}
XCLIENT_ARGUMENTS = {b"ADDR=" + TRUSTED.encode(): (220, TRUSTED), b"ADDR=192.0.2.1": (220, "192.0.2.1"), b"HELO=x": (220, None),
                     b"NAME=client.example ADDR=192.0.2.9": (220, "192.0.2.9"), b"ADDR=nothing": (501, None), b"FOO=bar": (501, None),
                     b"": (501, None), b"ADDR": (501, None)}
NOT_AHEAD = (b"HELO", b"EHLO", b"NOOP", b"VRFY", b"ETRN", b"DATA", b"XCLIENT", b"STARTTLS", b"AUTH")    # last of their group (RFC 2920)


# ---- what a client says ----

NOISE = [b"FOO", b"foo bar", b"MAILFROM:<a@example.net>", b"", b"\xff\xfe", b"NOOP \0", b"QUITE", b"DAT", b"NOOP " + b"x" * LINE_LIMIT,
         b"RCPT" + b" " * 3000]
BODY_LINES = [b"", b"x", b"words and words", b".", b"..", b".x", b"RSET", b"QUIT", b"MAIL FROM:<a@example.net>", b"\xe4\xff 8 bit", b"a\rb",
              b"\r", b"end with cr\r", b"y" * 997, b"z" * 2500, b"a\nbare", b"\n.\nRSET", b"\n.", b".\r\r", b"From x", b"\tindented"]


class Talker:
    """Makes one client's bytes, batch by batch. The model says what state the dialogue is in."""

    def __init__(self, dice, rude):
        self.dice, self.rude = dice, rude
        self.model = Model(rude)
        self.steps = 0
        self.message = b""                  # what is left of the message that goes out in chunks

    def path(self, usual, parameters=None):
        """A path and sometimes parameters, no name twice. (Without a path the first parameter would be one: brackets are not insisted on.)"""
        path = self.dice.choice(usual) if self.dice.random() < 0.8 else self.dice.choice(list(PATHS))
        if parameters is None or not path or self.dice.random() < 0.6:
            return path
        chosen = {word.partition(b"=")[0]: word for word in self.dice.sample(list(parameters), 2)}
        return b" ".join([path, *chosen.values()])

    def new_message(self):
        """Begins with headers, which say which message it is; the rest may be anything."""
        dice = self.dice
        Talker.number = getattr(Talker, "number", 0) + 1
        lines = [b"X-Walk: %d" % Talker.number, b"Subject: s", b""] + dice.choices(BODY_LINES, k=dice.choice((0, 1, 3, 8, 20)))
        return b"".join(line + b"\r\n" for line in lines)

    def command(self):
        dice, model = self.dice, self.model
        if model.sender is None:
            weights = {"mail": 12, "rcpt": 1, "data": 1, "bdat": 1, "hello": 2, "misc": 4, "xclient": 2, "noise": 1, "quit": 0.15}
        elif not model.recipients:
            weights = {"mail": 1, "rcpt": 12, "data": 1, "bdat": 2, "hello": 0.5, "misc": 2, "xclient": 0.3, "noise": 1, "quit": 0.1}
        else:
            weights = {"mail": 1, "rcpt": 6, "data": 8, "bdat": 8, "hello": 0.5, "misc": 2, "xclient": 0.3, "noise": 1, "quit": 0.1}
        return getattr(self, "make_" + dice.choices(list(weights), list(weights.values()))[0])()

    def make_mail(self):
        usual = [b"<a@example.net>"] * 6 + [b"<data@example.net>", b"<end@example.net>", b"<defer@example.net>", b"<>"]
        return b"MAIL FROM:" + self.dice.choice((b"", b"", b" ")) + self.path(usual, MAIL_PARAMETERS)

    def make_rcpt(self):
        usual = [b"<user@relay.example>"] * 6 + [b"<other@relay.example>", b"<nobody@relay.example>", b"<far@elsewhere.example>"]
        return b"RCPT TO:" + self.path(usual, RCPT_PARAMETERS)

    def make_data(self):
        return b"DATA" if self.dice.random() < 0.95 else b"DATA now"

    def make_bdat(self):
        dice = self.dice
        if not self.rude and not self.model.esmtp:
            return b"BDAT"                  # a chunk without EHLO is sent ahead of its time
        if self.model.chunks != "coming":
            self.message = self.new_message()
        kind = dice.random()
        if kind < 0.03:
            return dice.choice((b"BDAT", b"BDAT x", b"BDAT 1 FIRST", b"BDAT -1", b"BDAT 1 LAST x"))
        last = kind < 0.5
        size = len(self.message) if last else dice.randrange(len(self.message) + 1)
        piece, self.message = self.message[:size], self.message[size:]
        if last and dice.random() < 0.1:
            piece = piece[:-1]
        return b"BDAT %d%s\r\n" % (len(piece), b" LAST" if last else b"") + piece

    def make_hello(self):
        return self.dice.choice((b"EHLO c.example", b"EHLO c.example", b"HELO c.example", b"EHLO", b"HELO", b"ehlo [127.0.0.1]", b"EHLO <x\x01>"))

    def make_misc(self):
        dice = self.dice
        return dice.choice((b"NOOP", b"NOOP x y", b"RSET", b"RSET", b"RSET x", b"HELP", b"HELP me", b"STARTTLS", b"AUTH PLAIN AAA=", b"VRFY",
                            b"VRFY " + self.path([b"user@relay.example"]), b"ETRN relay.example", b"ETRN elsewhere.example", b"ETRN", b"ETRN a b",
                            b"ETRN -x-", b"rset", b"nOOp"))

    def make_xclient(self):
        return b"XCLIENT " + self.dice.choice(list(XCLIENT_ARGUMENTS))

    def make_noise(self):
        if self.dice.random() < 0.02:
            return self.dice.choice((b"Subject: x", b"GET / HTTP/1.1", b"\x16\x03\x01", b"{}"))
        return self.dice.choice(NOISE)

    def make_quit(self):
        return b"QUIT"

    def content(self):
        """Content behind DATA, mostly dot-stuffed; sometimes only the beginning of it."""
        dice, text = self.dice, self.new_message()
        if not self.rude or dice.random() < 0.7:
            text = re.sub(rb"(^|\n)\.", rb"\1..", text)
        self.steps += text.count(b"\n")
        return text + b".\r\n"

    def one(self):
        self.steps += 1
        if self.model.mode == self.model.data:
            return self.content()
        command = self.command()
        if command.startswith(b"BDAT ") and b"\r\n" in command:
            return command                  # with its chunk
        return command + (b"\r\n" if self.dice.random() < 0.95 else b"\n")

    def batch(self):
        """Some commands to be sent in one go; the model has read them."""
        out, model = b"", self.model
        for _ in range(self.dice.choice((1, 1, 2, 4, 10))):
            piece = self.one()
            model.feed(piece)
            out += piece
            if model.closed:
                break
            last = out.rpartition(b"\n")[0].rpartition(b"\n")[2]
            if not self.rude and (not model.esmtp or piece.split(None, 1)[:1] == [] or piece.split(None, 1)[0].upper() in NOT_AHEAD
                                  or model.mode == model.data or last == b".\r"):
                break
        return out


# ---- many clients at once ----

class Mistake(AssertionError):
    pass


class Client:
    def __init__(self, mail, dice, rude, number):
        self.talker = Talker(dice, rude)
        self.model = self.talker.model
        self.dice = dice
        self.socket = socket.create_connection((mail.address, mail.smtp_port), source_address=(f"127.0.0.{10 + number % 200}", 0))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.to_send = []
        self.received = b""
        self.answers = 0
        self.was_reset = False              # it talked on when the server had hung up: replies under way may have been lost with the connection
        self.trail = []
        self.batches_left = dice.randrange(1, 100)

    def step(self):
        """True: there is something to send. A new batch begins when all replies to the last one have come; rude clients do not wait."""
        if self.to_send:
            return True
        if self.model.closed or (self.answers < len(self.model.expected) and not (self.talker.rude and self.dice.random() < 0.02)):
            return False
        if self.model.expected and self.answers < len(self.model.expected) - 100:
            return False                    # not too far ahead
        batch = self.talker.batch()
        self.batches_left -= 1
        self.trail = self.trail[-8:] + [re.sub(rb"(.)\1{20,}", rb"\1...\1", batch)]
        while batch:
            size = self.dice.choice((len(batch), len(batch), self.dice.randrange(1, len(batch) + 1), self.dice.randrange(1, 4)))
            self.to_send.append(batch[:size])
            batch = batch[size:]
        return True

    def send(self):
        self.socket.send(self.to_send[0]) if self.to_send else None
        del self.to_send[:1]

    def read(self):
        """False: the server has closed."""
        try:
            data = self.socket.recv(65536)
        except BlockingIOError:
            return True
        *lines, self.received = (self.received + data).split(b"\r\n")
        for line in lines:
            if line[3:4] == b"-":
                continue
            if self.answers >= len(self.model.expected) or int(line[:3]) != self.model.expected[self.answers]:
                wanted = self.model.expected[self.answers:self.answers + 1]
                raise Mistake(f"got {line}, the model says {wanted}, after {self.trail}")
            self.answers += 1
        return bool(data)

    def settled(self):
        """(messages that must have been accepted, those whose reply was never read)"""
        sure = [one[1:] for one in self.model.accepted if one[0] <= self.answers]
        perhaps = [one[1:] for one in self.model.accepted if one[0] > self.answers]
        return sure, perhaps


class Walk:
    def __init__(self, mail, seed, rude, clients=40):
        self.mail, self.seed, self.rude, self.count = mail, seed, rude, clients
        self.dice = random.Random(seed)
        self.sure, self.perhaps = [], []
        self.done = self.opened = 0
        self.selector = selectors.DefaultSelector()

    def open(self):
        client = Client(self.mail, random.Random(self.dice.random()), self.rude, self.opened)
        self.opened += 1
        self.selector.register(client.socket, selectors.EVENT_READ, client)
        return client

    def close(self, client):
        self.selector.unregister(client.socket)
        client.socket.close()
        sure, perhaps = client.settled()
        self.sure += sure
        self.perhaps += perhaps
        self.done += client.talker.steps
        client.talker.steps = 0

    def turn(self, clients, last_words):
        """Everybody says a piece, then everybody listens. last_words: no new batches, only what is under way."""
        for number, client in enumerate(clients):
            try:
                if client.to_send or (not last_words and client.step()):
                    client.send()
            except BlockingIOError:
                pass
            except (BrokenPipeError, ConnectionResetError):
                client.to_send.clear()      # closed by the server: read() will see whether that was right
                client.was_reset = True
            if client.batches_left < 0 and not last_words and self.dice.random() < 0.1:
                self.close(client)          # at any point of the dialogue
                clients[number] = self.open()
        for key, _ in self.selector.select(0):
            client = key.data
            if client not in clients:
                continue
            try:
                alive = client.read()
            except ConnectionResetError:
                alive, client.was_reset = False, True
            if not alive:
                if not client.model.closed or (client.answers < len(client.model.expected) and not client.was_reset):
                    raise Mistake(f"the server hung up after {client.answers} of {len(client.model.expected)} replies, after {client.trail}")
                self.close(client)
                clients[clients.index(client)] = self.open()

    def run(self, steps, patience=60):
        clients = [self.open() for _ in range(self.count)]
        waiting_since = time.monotonic()
        try:
            answers = -1
            while self.done + sum(client.talker.steps for client in clients) < steps:
                self.turn(clients, False)
                now = sum(client.answers for client in clients) + self.done
                if now != answers:
                    answers, waiting_since = now, time.monotonic()
                elif time.monotonic() - waiting_since > patience * PATIENCE:
                    raise Mistake(f"nobody answers: {[(c.model.expected[c.answers:c.answers + 3], c.trail[-1:]) for c in clients][:5]}")
            for client in list(clients):
                self.close(client)
        except Mistake as mistake:
            raise Mistake(f"seed {self.seed}, {'rude' if self.rude else 'polite'}: {mistake}\n{self.mail.log_tail(5)}") from None

    def check(self, sink):
        """The next hop has every message that was accepted, perhaps those whose reply nobody read, no other, and nothing twice."""
        sure, perhaps = ({number_of(content): (sender, recipients, content) for sender, recipients, content in messages}
                         for messages in (self.sure, self.perhaps))
        self.mail.wait_empty(120)
        got = {}
        for message in sink.messages:
            trace, _, content = message.content.partition(b"X-Walk: ")
            if not trace.startswith(b"Received: "):
                raise Mistake(f"seed {self.seed}: a message that was never sent: {message.content[:500]}")
            content = b"X-Walk: " + content
            sender, recipients, before = got.get(number_of(content), (address_of(message.sender), [], content))
            if before != content:
                raise Mistake(f"seed {self.seed}: one message in two forms: {content[:300]} {before[:300]}")
            got[number_of(content)] = sender, sorted(recipients + [address_of(one) for one in message.recipients]), content
        for number, message in got.items():
            wanted = sure.pop(number, None) or perhaps.pop(number, None)
            if message != wanted:
                raise Mistake(f"seed {self.seed}: message {number} arrived as\n{message}\nbut was accepted as\n{wanted}")
        if sure:
            raise Mistake(f"seed {self.seed}: {len(sure)} accepted messages did not arrive: {list(sure.items())[:2]}")
        return len(got)


def number_of(content):
    return int(re.match(rb"X-Walk: (\d+)", content)[1])


def address_of(text):
    return re.search(r"<([^>]*)>", text)[1]


def walk(steps, seed, rude):
    """(steps, connections, messages)"""
    with Sink() as sink:
        mail = Instance(main=dict(SETTINGS, relayhost=f"[127.0.0.1]:{sink.port}", smtpd_forbid_unauth_pipelining="no" if rude else "yes"))
        with mail:
            mail.client().quit()
            before = mail.pids("smtpd")
            one = Walk(mail, seed, rude)
            one.run(steps)
            if not set(before) <= set(mail.pids("smtpd")):
                raise Mistake(f"seed {seed}: a server died\n{mail.log_tail()}")
            return one.done, one.opened, one.check(sink)


def main():
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(1 << 30)
    for rude in (False, True):
        begin = time.monotonic()
        print(f"{'rude' if rude else 'polite'} walk, seed {seed}:", end=" ", flush=True)
        done, connections, messages = walk(steps // 2, seed, rude)
        print(f"{done} steps, {connections} connections, {messages} messages, {done / (time.monotonic() - begin):.0f} steps/s", flush=True)


if __name__ == "__main__":
    main()
