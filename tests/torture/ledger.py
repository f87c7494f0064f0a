# SPDX-License-Identifier: ISC
"""The ledger: what was handed in, what the server promised to keep, and what became of it.

A promise is written down only after the last byte of the 250 (or the exit status 0 of sendmail) was read; an arrival before the sink
answers. Afterwards everything promised must have arrived, been returned to its sender, or still be queued, with the same bytes.
"""

import hashlib
import json
import random
import re
import threading
import time

SIZES = [200, 200, 2_000, 4_000, 4_000, 20_000, 60_000, 65_400, 65_600, 70_000, 200_000]
NUMBER = re.compile(rb"^X-Torture: (\d+)\r?$", re.M)
SUM = re.compile(rb"^X-Sum: (\w+)\r?$", re.M)
FINAL_RECIPIENT = re.compile(rb"^Final-Recipient: rfc822; ?(\S+?)\r?$", re.M)


class Letter:
    """One message as it is handed in: its number in a header, recipients, and a body. owed: who is to get it (aliases resolved)."""

    def __init__(self, number, recipients, owed, body):
        self.number, self.recipients, self.owed, self.body = number, recipients, owed, body
        self.sum = hashlib.sha256(body).hexdigest()[:32]
        self.sender = f"torture+{number}@back.example"

    def text(self, line_end=b"\n"):
        head = b"From: <torture@back.example>\nSubject: torture\nX-Torture: %d\nX-Sum: %s\n\n" % (self.number, self.sum.encode())
        return (head + self.body).replace(b"\n", line_end)


def _filler(dice):
    lines = []
    for number in range(4000):
        line = f"{number:x} " + "".join(dice.choices("abcdefghijklmnopqrstuvwxyz .=+", k=dice.randrange(0, 150)))
        lines.append(("." if number % 17 == 0 else "") + line.rstrip() + "\n")
    return "".join(lines).encode()


class Ledger:
    """aliases: address -> the addresses that it stands for. path: a file that keeps the promises for whoever looks into a failure."""

    def __init__(self, seed, aliases, path=None):
        self.seed, self.aliases = seed, aliases
        self.lock = threading.Lock()
        self.file = open(path, "w") if path else None
        self.filler = _filler(random.Random(seed))
        self.letters = {}           # number -> (who is to get it, sum)
        self.promised = {}          # number -> queue id, None for sendmail's
        self.when = {}              # number -> time of the promise
        self.refused = 0
        self.sent = 0

    def new(self, dice, routes):
        """A letter for the recipients of one of the routes."""
        size = dice.choice(SIZES) + dice.randrange(200)
        start = self.filler.index(b"\n", dice.randrange(len(self.filler) - 250_000)) + 1
        body = self.filler[start:start + size].rstrip(b"\n") + b"\n"
        with self.lock:
            self.sent += 1
            recipients = dice.choice(routes)
            letter = Letter(self.sent, recipients, [one for to in recipients for one in self.aliases.get(to, [to])], body)
            self.letters[letter.number] = (letter.owed, letter.sum)
        return letter

    def promise(self, letter, queue_id):
        with self.lock:
            self.promised[letter.number] = queue_id
            self.when[letter.number] = time.time()
            self._note(promised=letter.number, id=queue_id, to=letter.owed, sum=letter.sum)

    def refusal(self):
        with self.lock:
            self.refused += 1

    def _note(self, **words):
        if self.file:
            self.file.write(json.dumps({"at": round(time.time(), 6), **words}) + "\n")
            self.file.flush()

    def forget(self):
        with self.lock:
            for table in (self.letters, self.promised, self.when):
                table.clear()

    def promises(self, since=0.0):
        """The promises given up to now, as {(number, recipient)}."""
        with self.lock:
            numbers = [number for number in self.promised if self.when[number] >= since]
        return {(number, to) for number in numbers for to in self.letters[number][0]}


class Arrivals:
    """Copies that arrived, read from what sinks and mailboxes hold: (number, recipient) -> how many, and what is wrong with them."""

    def __init__(self, ledger):
        self.ledger = ledger
        self.delivered, self.returned = {}, {}
        self.trouble, self.torn = [], 0

    def _known(self, content, where):
        number = NUMBER.search(content)
        if number is None or int(number.group(1)) not in self.ledger.letters:
            self.trouble.append(f"{where}: a message that was never handed in: {content[:300]!r}")
            return None
        return int(number.group(1))

    def delivery(self, content, recipient, where, may_be_torn=False):
        """may_be_torn: its writer may have been killed in the middle of it, and what is incomplete is not delivered."""
        content = content.replace(b"\r\n", b"\n")
        if may_be_torn and NUMBER.search(content) is None:
            self.torn += 1
            return
        number = self._known(content, where)
        if number is None:
            return
        body = content.partition(b"\n\n")[2]
        recipients, expected = self.ledger.letters[number]
        found = hashlib.sha256(body).hexdigest()[:32]
        if found != expected and may_be_torn:
            self.torn += 1
            return
        if found != expected:
            self.trouble.append(f"{where}: the body of {number} has changed ({len(body)} bytes)")
        if recipient not in recipients:
            self.trouble.append(f"{where}: {number} arrived for {recipient}, not {recipients}")
        self.delivered[number, recipient] = self.delivered.get((number, recipient), 0) + 1

    def notification(self, content, where):
        number = self._known(content, where)
        if number is None:
            return
        for recipient in FINAL_RECIPIENT.findall(content):
            key = number, recipient.decode()
            self.returned[key] = self.returned.get(key, 0) + 1

    def done(self):
        return set(self.delivered) | set(self.returned)

    def repeated(self):
        """What came more often than once, and how much more often."""
        times = {key: self.delivered.get(key, 0) + self.returned.get(key, 0) for key in self.done()}
        return {key: count - 1 for key, count in times.items() if count > 1}
