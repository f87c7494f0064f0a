# SPDX-License-Identifier: ISC
"""A server under load: a private instance, a next hop and mailboxes that keep what they get, and clients that write down promises."""

import base64
import contextlib
import os
import pwd
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time

from experiment import Skip
from instance import COMMANDS, PATIENCE, Instance, free_port, processes_below, wait_until
from ledger import NUMBER, Arrivals, Ledger
from sink import Sink

RELAY, BOX, FILE, NOBODY, LATER = "r@relay.example", "box@box.example", "file@box.example", "nobody@bad.example", "later@later.example"
LIST, USER = "list@local.example", f"{pwd.getpwuid(os.getuid() or 1).pw_name}@local.example"
DISCARDED = "away@discard.example"
ALIASES = {LIST: ["l1@relay.example", "l2@relay.example"], DISCARDED: []}       # who gets what is sent there
ROUTES = [[RELAY]] * 6 + [[BOX]] * 3 + [[FILE], [RELAY, BOX], [RELAY, BOX, FILE], [NOBODY], [RELAY, NOBODY], [LATER], [LATER, BOX], [LIST], [USER]]


class Refused(Exception):
    pass


class Client:
    """Hands in mail over SMTP with as few packets as a pipelining client sends."""

    def __init__(self, address, port, timeout):
        self.socket = socket.create_connection((address, port), timeout=timeout)
        try:
            self.file = self.socket.makefile("rb")
            self._expect("220")
            self._command("EHLO client.example.net", "250")
        except BaseException:
            self.close()
            raise

    def close(self):
        self.socket.close()

    def _command(self, words, code):
        self.socket.sendall(words.encode() + b"\r\n")
        return self._expect(code)

    def start_tls(self, context, session=None):
        self._command("STARTTLS", "220")
        self.socket = context.wrap_socket(self.socket, session=session)
        self.file = self.socket.makefile("rb")
        self._command("EHLO client.example.net", "250")

    def login(self, user, password):
        self._command("AUTH PLAIN " + base64.b64encode(f"\0{user}\0{password}".encode()).decode(), "235")

    def _expect(self, code):
        """The last line of one reply, read to its end."""
        while True:
            line = self.file.readline()
            if not line.endswith(b"\r\n"):
                raise Refused("the connection is gone")
            if line[3:4] == b" ":
                break
        text = line.decode(errors="replace").rstrip()
        if not text.startswith(code):
            raise Refused(text)
        return text

    def send(self, letter):
        """The queue id under which the server promised to keep it."""
        commands = [f"MAIL FROM:<{letter.sender}>"] + [f"RCPT TO:<{to}>" for to in letter.recipients] + ["DATA"]
        for at in range(0, len(commands), 500):         # no more than their replies leave room for on the way back
            some = commands[at:at + 500]
            self.socket.sendall("".join(f"{command}\r\n" for command in some).encode())
            for command in some:
                self._expect("354" if command == "DATA" else "250")
        text = letter.text(b"\r\n")
        text = text.replace(b"\r\n.", b"\r\n..")
        self.socket.sendall(text + b".\r\n")
        return re.search(r"queued as (\w+)", self._expect("250")).group(1)


class Load(threading.Thread):
    """Hands in letters until told to stop, and tells the ledger what was promised."""

    def __init__(self, scene, name, by_sendmail=False, pause=0.0):
        super().__init__(daemon=True, name=name)
        self.scene, self.by_sendmail, self.pause = scene, by_sendmail, pause
        self.dice = random.Random(f"{scene.seed} {name}")
        self.stop = threading.Event()
        self.client = None
        self.error = None

    def _smtp(self, letter):
        if self.client is None:
            self.client = self.scene.client(self.dice)
        queue_id = self.client.send(letter)
        self.scene.ledger.promise(letter, queue_id)
        if self.dice.random() < 0.5:
            self._hang_up()

    def _hang_up(self):
        if self.client is not None:
            self.client.close()
        self.client = None

    def _sendmail(self, letter):
        words = [str(COMMANDS / "sendmail"), "-i", "-f", letter.sender, *letter.recipients]
        environment = dict(os.environ, MAIL_CONFIG=str(self.scene.mail.etc), **self.scene.mail.environment)
        try:
            done = subprocess.run(words, env=environment, input=letter.text(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                  timeout=60 * PATIENCE)
        except subprocess.TimeoutExpired:
            raise Refused("sendmail takes too long") from None
        if done.returncode != 0:
            raise Refused(f"exit status {done.returncode}")
        self.scene.ledger.promise(letter, None)

    def run(self):
        try:
            while not self.stop.is_set():
                letter = self.scene.ledger.new(self.dice, self.scene.routes)
                try:
                    (self._sendmail if self.by_sendmail else self._smtp)(letter)
                except (OSError, Refused):      # a fault struck: nothing was promised
                    self.scene.ledger.refusal()
                    self._hang_up()
                    self.stop.wait(0.02)
                if self.pause:
                    self.stop.wait(self.pause)
        except Exception as error:
            self.error = error
        finally:
            self._hang_up()


class Scene:
    """with Scene(seed, work): an instance that is not yet started, its next hop and its mailboxes.

    main: more parameters. environment: what the programs find in theirs. routes: whom the letters are for. torn_maildir: a power cut may
    leave a message in a Maildir that nobody promised yet. keep: after a failure the scene stays for whoever looks into it.
    """

    def __init__(self, seed, main=None, environment=None, routes=None, master="", torn_maildir=False, keep=True):
        self.seed = seed
        self.dice = random.Random(f"{seed} scene")
        self.routes = routes or ROUTES
        self.sink = Sink(address="127.0.0.5")
        self.closed_port = free_port("127.0.0.6")
        self.mail = Instance(master=master)
        self.mail.environment.update(environment or {})
        self.boxes = self.mail.root / "boxes"
        self.boxes.mkdir()
        self.boxes.chmod(0o777)
        relay, later = f"smtp:[{self.sink.address}]:{self.sink.port}", f"smtp:[127.0.0.6]:{self.closed_port}"
        uid, gid = os.getuid() or 1, os.getgid() or 1
        self.mail.main.update({
            "transport_maps": f"inline:{{ relay.example={relay}, back.example={relay}, later.example={later}, {{bad.example = error:5.1.1 nobody}}, discard.example=discard: }}",
            "minimal_backoff_time": "1s", "maximal_backoff_time": "2s", "queue_run_delay": "1s", "transport_retry_time": "1s",
            "service_throttle_time": "1s", "mydestination": "local.example", "virtual_mailbox_domains": "box.example", "virtual_minimum_uid": "1",
            "virtual_mailbox_maps": "inline:{ box@box.example=box/, file@box.example=file }", "virtual_mailbox_base": self.boxes,
            "virtual_uid_maps": f"static:{uid}", "virtual_gid_maps": f"static:{gid}", "virtual_mailbox_limit": "0",
            "mailbox_size_limit": "0", "queue_minfree": "0", "virtual_mailbox_lock": "fcntl", "deliver_lock_delay": "1s",
            "smtpd_client_connection_count_limit": "0", "ipc_timeout": "20s", "daemon_timeout": "20s", "mail_spool_directory": f"{self.boxes}/",
            "virtual_destination_recipient_limit": "1", "virtual_destination_concurrency_limit": "2",
            "alias_maps": f"inline:{{ {{list = {', '.join(ALIASES[LIST])}}} }}"})
        self.mail.main.update(main or {})
        self.mail.main["import_environment"] += "".join(f" {name}" for name in self.mail.environment)
        self.ledger = Ledger(seed, ALIASES, self.mail.root / "ledger")
        self.loads = []
        self.opened = False
        self.late = []              # the next hop that is away, each time that it was there
        self.torn_maildir, self.keep = torn_maildir, keep
        self.heard = lambda: list(self.sink.messages)       # what the next hop counts as received

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        for load in self.loads:
            load.stop.set()
        self.sink.close()
        if kind is not None and kind is not Skip and self.keep:
            os.environ["POSTROAD_KEEP"] = "1"
            print(f"the scene is left in {self.mail.root}", file=sys.stderr)
        try:
            self.mail.close()
        except Exception:
            if kind is None:
                raise

    # ---- load ----

    def client(self, dice):
        """A connection for one of the loads."""
        return Client(self.mail.address, self.mail.smtp_port, 30 * PATIENCE)

    def load(self, smtp=3, sendmail=1, pause=0.0):
        """Clients begin to hand in mail."""
        number = len(self.loads)
        self.loads += [Load(self, f"smtp {number + i}", pause=pause) for i in range(smtp)]
        self.loads += [Load(self, f"sendmail {number + smtp + i}", by_sendmail=True, pause=pause) for i in range(sendmail)]
        for load in self.loads[number:]:
            load.start()

    def end_load(self):
        for load in self.loads:
            load.stop.set()
        for load in self.loads:
            load.join(120 * PATIENCE)
            assert not load.is_alive(), "a client does not come to its end"
            if load.error:
                raise load.error
        self.loads = []

    def wait_for_promises(self, count, timeout=60):
        """Until that many more were given: the server works."""
        goal = len(self.ledger.promised) + count
        wait_until(lambda: len(self.ledger.promised) >= goal, timeout, lambda: f"{count} more promises\n{self.mail.log_tail()}")

    # ---- what arrived ----

    def arrivals(self):
        """Everything that the next hop and the mailboxes hold now."""
        found = Arrivals(self.ledger)
        for message in self.heard() + [message for sink in self.late for message in list(sink.messages)]:
            for to in message.recipients:
                address = to.split(">")[0].lstrip("<")
                if number_of(address) is not None:
                    found.notification(message.content, "the sink")
                else:
                    found.delivery(message.content, address, "the sink")
        for name, owner in (("box", BOX), (USER.partition("@")[0], USER)):
            for path in self.boxes.glob(f"{name}/new/*"):
                with contextlib.suppress(FileNotFoundError):
                    found.delivery(path.read_bytes(), owner, path.name, may_be_torn=self.torn_maildir)
        if (self.boxes / "file").exists():
            for content in mbox_messages((self.boxes / "file").read_bytes()):
                found.delivery(content, FILE, "the mbox file", may_be_torn=True)
        return found

    def queued(self):
        """(number, recipient) of what the queue still holds, each confirmed by reading its content."""
        keys = set()
        for entry in self.mail.queue_list():
            shown = self.mail.command("postcat", "-q", entry["queue_id"], check=False)
            number = NUMBER.search(shown.stdout.encode())
            if number:
                keys |= {(int(number.group(1)), one) for recipient in entry["recipients"]
                         for one in ALIASES.get(recipient["address"], [recipient["address"]])}
        return keys

    def let_through(self):
        """The next hop that is away is there for a moment: else what waits for it, and is tried again every second, becomes more and more."""
        deferred = self.mail.queue / "deferred"
        with Sink(address="127.0.0.6", port=self.closed_port) as sink:
            self.late.append(sink)          # a connection may live on, and bring it more
            wait_until(lambda: sum(path.is_file() for path in deferred.rglob("*")) < 30, 90, lambda: f"an empty queue\n{self.mail.log_tail()}", pause=0.1)

    def release(self):
        """The next hop that was away is there from now on."""
        if not self.opened:
            self.opened = True
            relay = f"smtp:[{self.sink.address}]:{self.sink.port}"
            self.mail.set(transport_maps=re.sub(r"later.example=[^,]*", f"later.example={relay}", self.mail.main["transport_maps"]))

    def wait_until_all_is_deferred(self):
        wait_until(lambda: all(entry["queue_name"] == "deferred" for entry in self.mail.queue_list()), 60, "a backlog", pause=0.05)

    def settle(self, required=None, timeout=90, duplicates=0, corrupt=0, torn=0, commands=(("postqueue", "-f"),), reload=True):
        """Lets the running server deliver what it has and compares with the ledger. The number of duplicates.

        reload: nobody rests for long after a failure. Else the processes stay.
        """
        required = self.ledger.promises() if required is None else required
        self.release()
        flushed, busy, reloaded = [0.0], [time.monotonic()], [0.0]

        def through():
            if time.monotonic() > flushed[0] + 2:
                for words in commands:
                    self.mail.command(*words, check=False)
                flushed[0] = time.monotonic()
            if reload and time.monotonic() > reloaded[0] + 8:
                self.mail.reload()
                reloaded[0] = time.monotonic()
            if self.mail.queue_list():
                busy[0] = time.monotonic()
                return False
            # an empty queue brings nothing any more; a little later than that, since qmgr removes in batches
            return required <= self.arrivals().done() or time.monotonic() > busy[0] + 5

        drained = True
        try:
            wait_until(through, timeout, pause=0.2)
        except AssertionError:
            drained = False
        extra = self.compare(required, duplicates, corrupt, torn)
        self.expect_free_segments()
        assert drained, f"seed {self.seed}: nothing is lost, but the queue does not empty: {self.mail.queue_list()[:5]}\n{self.mail.log_tail()}"
        return extra

    def expect_free_segments(self):
        """Segments of the intake log are freed when their mail is through, whoever died: else there are soon none to write to."""
        in_use = lambda: list((self.mail.queue / "intake").glob("log-*"))
        wait_until(lambda: len(in_use()) <= 2 * (os.cpu_count() or 1) or self.mail.queue_list(), 30,
                   lambda: f"free segments: {in_use()}\n{self.mail.log_tail()}", pause=0.1)

    def compare(self, required, duplicates, corrupt, torn):
        found = self.arrivals()
        missing = required - found.done()
        if missing:
            missing -= self.queued()
        set_aside = [path.name for path in (self.mail.queue / "corrupt").glob("*")]
        complaints = list(found.trouble[:10])
        if missing:
            example = sorted(missing)[:10]
            ids = [self.ledger.promised.get(number) for number, _ in example]
            complaints.append(f"LOST: {len(missing)} of {len(required)}: {example} with ids {ids}")
        if len(set_aside) > corrupt:
            complaints.append(f"set aside in corrupt/: {set_aside[:10]}")
        if found.torn > torn:
            complaints.append(f"{found.torn} incomplete messages in mailboxes, not more than {torn} are excused")
        repeated = found.repeated()
        extra = sum(repeated.values())
        if extra > duplicates:
            complaints.append(f"{extra} duplicates, not more than {duplicates} are excused: {sorted(repeated.items())[:10]}")
        assert not complaints, f"seed {self.seed}: " + "\n".join(complaints) + f"\n{self.mail.log_tail()}"
        return extra

    def forget(self):
        """What was promised and has arrived is thrown away, while nothing is under way."""
        self.ledger.forget()
        for sink in self.sinks():
            sink.messages.clear()
            sink.commands.clear()
        for path in self.boxes.rglob("*"):
            if path.is_file():
                path.unlink()

    def sinks(self):
        return [self.sink, *self.late]

    # ---- processes ----

    def some_process(self, programs):
        """(pid, program) of one process of this instance at random; None while there is none of these."""
        all_of_them = [(pid, program) for program in programs for pid in self.mail.pids(program)]
        return self.dice.choice(all_of_them) if all_of_them else None

    def processes(self):
        return processes_below(self.mail.root)

    def kill_master(self):
        """Only the supervisor dies; its children notice and follow."""
        os.kill(self.mail.master_pid(), signal.SIGKILL)
        wait_until(lambda: not processes_below(self.mail.root), 60, lambda: f"the end of the orphans\n{self.mail.log_tail()}")
        self.mail.running = False


def number_of(sender):
    """Whose letter has that sender. None: it is a notice."""
    found = re.fullmatch(r"torture\+(\d+)@back\.example", sender)
    return int(found.group(1)) if found else None


def mbox_messages(content):
    """The messages of an mbox file, without the separators and the quoting that it adds."""
    found = []
    for part in re.split(rb"(?:^|(?<=\n\n))From \S+ +\w{3} \w{3} [^\n]*\n", content)[1:]:
        found.append(re.sub(rb"^>From ", b"From ", part[:-1], flags=re.M))
    return found
