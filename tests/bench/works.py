# SPDX-License-Identifier: ISC
"""What is measured: one class per kind of work, one row of WORKS per load, with the goals.

A work's round() does it once on one system and returns figures. A goal is a factor against the base (Postfix, unless the work says otherwise)
or a limit in the figure's own unit.
"""

import contextlib
import json
import os
import shutil
import socket
import statistics
import subprocess
import time
from pathlib import Path

from instance import BUILD
from systems import Exim, OpenSMTPD, Peak, Postfix, Postroad

# Accounts that every Debian has, for local delivery.
LOCAL_USERS = ("bin", "sys", "games", "man", "lp", "mail", "news", "uucp", "proxy", "backup")
QUIET = 0.3                                 # for the tail: unlinks, log lines
PATIENCE = 120


class Figure:
    """more: whether more is better. factor: so many times better than the base. limit: at least (more) or at most so much."""

    def __init__(self, key, words, more=False, factor=None, limit=None):
        self.key, self.words, self.more, self.factor, self.limit = key, words, more, factor, limit

    def ratio(self, value, base):
        """How many times better than the base."""
        value, base = (value, base) if self.more else (base, value)
        return value / base if base else float("inf")


class Work:
    base = "postfix"
    peers = (Postfix, Postroad)
    sink_addresses = 0
    figures = ()
    fixed_rounds = None

    def __init__(self, what):
        self.what = what

    def systems(self, scratch, wanted):
        return [kind(self, scratch) for kind in self.peers if kind.name in wanted]

    def settings(self, system):
        return {}

    def session_limit(self, system):
        return 150

    def sink_certificate(self, system):
        """For a next hop that speaks TLS: key and certificate in one file."""

    def prepare(self, system):
        """Before its start."""

    def size(self, system, seconds):
        """How much a round of so many seconds is; asked once, on the started system."""

    def round(self, system, size):
        raise NotImplementedError


def wait_for(arrived, count, system):
    """Until `count` arrived; polls."""
    deadline = time.monotonic() + PATIENCE
    while arrived() < count:
        if time.monotonic() > deadline:
            raise SystemExit(f"{system.label}: {arrived()} of {count} arrived\n{system.tail()}")
        time.sleep(0.002)


def mono_us():
    return time.monotonic_ns() // 1000


class Costs:
    """with Costs(system) as costs: ...; then costs.each(n) has what one of n cost. With count_calls, perf counts system calls."""

    count_calls = False

    def __init__(self, system):
        self.accounting = system.accounting
        self.perf = None

    def __enter__(self):
        if self.count_calls:
            pids = ",".join(map(str, self.accounting.pids()))
            self.perf = subprocess.Popen(["perf", "stat", "-x,", "-e", "raw_syscalls:sys_enter", "-p", pids], stderr=subprocess.PIPE,
                                         text=True)
            time.sleep(0.5)
        self.cpu, self.switches = self.accounting.cpu(), self.accounting.switches()
        return self

    def __exit__(self, *error):
        time.sleep(QUIET)
        self.cpu = self.accounting.cpu() - self.cpu
        self.switches = self.accounting.switches() - self.switches
        if self.perf:
            self.perf.send_signal(2)
            self.calls = int(self.perf.communicate()[1].split(",")[0])

    def each(self, n):
        n = max(n, 1)
        return {"cpu_ms": self.cpu * 1000 / n, "switches": self.switches / n, **({"calls": self.calls / n} if self.perf else {})}


class Stream(Work):
    """Messages as fast as some sessions can send them; arrived() says how many came."""

    to = "user@example.com"
    options = ()

    def __init__(self, what, sessions=20, size=4096, reuse=False, rate=None, cpu=None, peers=None):
        super().__init__(what)
        self.sessions, self.bytes, self.reuse = sessions, size, reuse
        self.peers = peers or self.peers
        self.figures = (Figure("rate", "messages a second", True, factor=rate), Figure("cpu_ms", "CPU ms each", factor=cpu),
                        Figure("switches", "context switches each"), Figure("calls", "system calls each"), Figure("accepted", "accepted a second", True),
                        Figure("p50_ms", "end of data to 250, p50, ms"), Figure("p99_ms", "the same, p99"))

    def arrived(self, system):
        return system.sink.messages()

    def size(self, system, seconds):
        first = self.round(system, max(self.sessions * 5, 50))
        return max(int(first["rate"] * seconds), self.sessions * 5, 50)

    def round(self, system, size):
        before = self.arrived(system)
        with Costs(system) as costs:
            sent = system.source("-s", self.sessions, "-n", size, "-b", self.bytes, "-t", self.to, *self.options, *(["-r"] if self.reuse else []))
            wait_for(lambda: self.arrived(system) - before, sent["acknowledged"], system)
            last = system.sink.read()[3] if system.sink.messages() else 0
            if last < sent["start_us"]:     # not through the sink
                last = mono_us()
        n = max(sent["acknowledged"], 1)
        return {"rate": n * 1e6 / (last - sent["start_us"]), "accepted": n / sent["seconds"], "failed": sent["failed"],
                "p50_ms": sent["reply"]["p50_us"] / 1000, "p99_ms": sent["reply"]["p99_us"] / 1000, **costs.each(n)}


class Lockstep(Stream):
    """A client that waits for each reply."""

    options = ("-l",)


class Encrypted(Stream):
    """The same over STARTTLS, with an ECDSA certificate. resume: a client that comes again, as mail servers do."""

    def __init__(self, what, sessions=20, resume=False, **more):
        super().__init__(what, sessions, **more)
        self.options = ["-T", *(["-S"] if resume else [])]

    def prepare(self, system):
        make_certificate(system.root / "tls.pem")

    def settings(self, system):
        return {"smtpd_tls_security_level": "may", "smtpd_tls_chain_files": system.root / "tls.pem"}


class EncryptedOut(Stream):
    """To a next hop with TLS. Postroad keeps such connections, as others; Postfix does not by default."""

    def prepare(self, system):
        make_certificate(system.root / "tls.pem")

    def settings(self, system):
        return {"smtp_tls_security_level": "encrypt"}

    def sink_certificate(self, system):
        return system.root / "tls.pem"


class Handshakes(Encrypted):
    """Connections that come, agree on keys, and go."""

    def __init__(self, what, sessions=20, **more):
        super().__init__(what, sessions, **more)
        self.figures = (Figure("rate", "handshakes a second", True, factor=more.get("rate")), Figure("cpu_ms", "CPU ms each", factor=more.get("cpu")),
                        Figure("resumed", "of these resumed, %", True), Figure("calls", "system calls each"))

    def round(self, system, size):
        with Costs(system) as costs:
            sent = system.source("-s", self.sessions, "-n", size, "-H", *self.options)
        n = max(sent["acknowledged"], 1)
        return {"rate": n / sent["seconds"], "failed": sent["failed"], "resumed": 100 * sent["resumed"] / n, **costs.each(n)}


def make_certificate(path, key="ec"):
    """Key and certificate in one file."""
    curve = ["-pkeyopt", "ec_paramgen_curve:P-256"] if key == "ec" else []
    subprocess.run(["openssl", "req", "-x509", "-newkey", key, *curve, "-nodes", "-keyout", path, "-out", f"{path}.crt",
                    "-days", "30", "-subj", "/CN=bench.example.org"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60)
    path.write_text(path.read_text() + Path(f"{path}.crt").read_text())


class Accept(Stream):
    """Into a queue that does not move."""

    def settings(self, system):
        return {"smtpd_sender_restrictions": "check_sender_access static:HOLD"}

    def round(self, system, size):
        with Costs(system) as costs:
            sent = system.source("-s", self.sessions, "-n", size, "-b", self.bytes)
        n = max(sent["acknowledged"], 1)
        return {"rate": n / sent["seconds"], "accepted": n / sent["seconds"], "failed": sent["failed"],
                "p50_ms": sent["reply"]["p50_us"] / 1000, "p99_ms": sent["reply"]["p99_us"] / 1000, **costs.each(n)}


class Mailboxes(Stream):
    """By local or virtual, to one mailbox of one or of ten users; Maildir where the path ends in a slash."""

    def __init__(self, what, agent, maildir, users, **more):
        super().__init__(what, rate=4, **more)
        self.agent, self.end = agent, "/" if maildir else ""
        self.users = [f"u{i}" for i in range(users)] if agent == "virtual" else LOCAL_USERS[:users]
        self.to = ",".join(f"{user}@m.example" for user in self.users)
        self.counted = {}

    def settings(self, system):
        if self.agent == "local":
            return {"mydestination": "m.example", "mail_spool_directory": f"{system.root}/mail{self.end}"}
        maps = " ".join(f"{{ {user}@m.example = {user}{self.end} }}" for user in self.users)
        return {"virtual_mailbox_domains": "m.example", "virtual_mailbox_base": system.root / "mail",
                "virtual_mailbox_maps": f"inline:{{ {maps} }}", "virtual_uid_maps": "static:65534", "virtual_gid_maps": "static:65534"}

    def prepare(self, system):
        directory = system.root / "mail"
        directory.mkdir()
        directory.chmod(0o1777)
        if self.agent == "local" and self.end:
            for name in self.users:     # in a directory that is everybody's
                (directory / name).mkdir()
                shutil.chown(directory / name, name)

    def arrived(self, system):
        directory = system.root / "mail"
        if self.end:
            return sum(len(os.listdir(new)) for new in directory.glob("*/new"))
        total = 0
        for path in directory.iterdir():                # mboxes grow: what was counted is not read again
            if path.suffix == ".lock":
                continue
            at, count = self.counted.get(path, (0, 0))
            with path.open("rb") as file:
                file.seek(at)
                new = file.read()
            whole = new.rfind(b"\n") + 1
            count += new[:whole].count(b"\nX-Sent: ")
            self.counted[path] = (at + max(whole - 1, 0), count)
            total += count
        return total

    def round(self, system, size):
        before = self.arrived(system)
        with Costs(system) as costs:
            sent = system.source("-s", self.sessions, "-n", size, "-b", self.bytes, "-t", self.to)
            wait_for(lambda: self.arrived(system) - before, sent["acknowledged"], system)
            last = mono_us()
        n = max(sent["acknowledged"], 1)
        return {"rate": n * 1e6 / (last - sent["start_us"]), "accepted": n / sent["seconds"], "failed": sent["failed"],
                "p50_ms": sent["reply"]["p50_us"] / 1000, "p99_ms": sent["reply"]["p99_us"] / 1000, **costs.each(n)}


class Alias(Stream):
    """To an alias of ten remote addresses."""

    to = "team@m.example"

    def settings(self, system):
        members = ", ".join(f"m{i}@example.com" for i in range(10))
        return {"mydestination": "m.example", "alias_maps": f"inline:{{ {{ team = {members} }} }}"}


class Submit(Work):
    """sendmail so many times at once. Its own CPU counts: it is a part of the system."""

    figures = (Figure("rate", "messages a second", True, factor=3), Figure("cpu_ms", "CPU ms each"),
               Figure("exit_s", "until all have exited, s"))

    def prepare(self, system):
        text = "From: <sender@example.net>\nTo: <user@example.com>\nSubject: submitted\n\n" + "A line of the message.\n" * 40
        (system.root / "message").write_text(text)

    def size(self, system, seconds):
        self.round(system, 50)
        return 1000

    def round(self, system, size):
        before = system.sink.messages()
        with Costs(system) as costs:
            sent = system.load("submit", size, system.root / "message", system.commands / "sendmail", "-C", system.root / "etc",
                               "-f", "sender@example.net", "user@example.com", inside=True)
            wait_for(lambda: system.sink.messages() - before, sent["acknowledged"], system)
        n = max(sent["acknowledged"], 1)
        return {"rate": n * 1e6 / (system.sink.read()[3] - sent["start_us"]), "exit_s": sent["seconds"], "failed": sent["failed"],
                **costs.each(n)}


class Recipients(Work):
    """One message, many recipients of one destination."""

    peers = (Postfix, Postroad, Exim)

    def __init__(self, what, count):
        super().__init__(what)
        self.count = count
        self.figures = (Figure("seconds", "last RCPT to last arrival, s", factor=3), Figure("cpu_s", "CPU s", factor=5),
                        Figure("intake_s", "MAIL to last RCPT, s"), Figure("peak_mib", "memory above idle, peak, MiB"))

    def settings(self, system):
        return {"smtpd_recipient_limit": self.count + 10}

    def round(self, system, size):
        before = system.sink.read()[1]
        idle, cpu = system.accounting.memory(), system.accounting.cpu()
        with Peak(system.accounting) as peak:
            sent = system.source("-s", 1, "-n", 1, "-R", self.count)
            if sent["failed"]:
                return {"failed": 1}
            wait_for(lambda: system.sink.read()[1] - before, self.count, system)
        time.sleep(QUIET)
        return {"seconds": (system.sink.read()[3] - sent["last_recipient_us"]) / 1e6, "cpu_s": system.accounting.cpu() - cpu,
                "intake_s": (sent["last_recipient_us"] - sent["start_us"]) / 1e6, "peak_mib": max(peak.bytes - idle, 0) / 2**20,
                "failed": 0}


class Latency(Work):
    """Ten messages a second, each on its own connection."""

    peers = (Postfix, Postroad, OpenSMTPD, Exim)
    figures = (Figure("reply_p50", "end of data to 250, p50, ms", factor=1.5), Figure("reply_p99", "the same, p99", factor=1.5),
               Figure("arrival_p50", "end of data to arrival, p50, ms", factor=1.5), Figure("arrival_p99", "the same, p99", factor=1.5),
               Figure("cpu_ms", "CPU ms each"))

    def size(self, system, seconds):
        self.round(system, 20)
        return max(int(seconds * 10), 500)  # of fewer the p99 is chance

    def round(self, system, size):
        before = system.sink.messages()
        with Costs(system) as costs:
            sent = system.source("-n", size, "-i", 100000)
            wait_for(lambda: system.sink.messages() - before, sent["acknowledged"], system)
        took = sorted(system.sink.took_us(before, system.sink.messages()))
        return {"reply_p50": sent["reply"]["p50_us"] / 1000, "reply_p99": sent["reply"]["p99_us"] / 1000, "failed": sent["failed"],
                "arrival_p50": took[len(took) // 2] / 1000, "arrival_p99": took[len(took) * 99 // 100] / 1000,
                **costs.each(sent["acknowledged"])}


class Crowd(Work):
    """Many sessions at once; of the systems with a process per session, fewer."""

    few = 300
    fixed_rounds = 1

    def __init__(self, what, sessions):
        super().__init__(what)
        self.sessions = sessions

    def count(self, system):
        return self.sessions if isinstance(system, Postroad) else self.few

    def session_limit(self, system):
        return self.count(system) + 50

    def settings(self, system):
        return {"smtpd_client_connection_count_limit": 0}

    @contextlib.contextmanager
    def crowd(self, system, *words):
        """(open and seconds, go()): go() measures and gives the result."""
        one = subprocess.Popen([str(word) for word in (BUILD / "tests/bench/crowd", "-p", system.port, "-s", self.count(system), *words)],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

        def go():
            one.stdin.write("go\n")
            one.stdin.flush()
            return load_line(one)

        try:
            yield load_line(one), go
        finally:
            one.stdin.close()
            one.wait(PATIENCE)


def load_line(process):
    return json.loads(process.stdout.readline() or "{}")


class Idle(Crowd):
    peers = (Postfix, Postroad, Exim)
    figures = (Figure("each_kib", "memory per session, KiB", limit=16), Figure("noop_p99", "NOOP answered, p99, ms", limit=5),
               Figure("sessions", "sessions", True), Figure("open_s", "time to open them, s"))

    def round(self, system, size):
        before = system.accounting.memory()
        with self.crowd(system) as (opened, go):
            time.sleep(1.5)                 # as idle as they get
            memory = system.accounting.memory()
            measured = go()
        return {"each_kib": (memory - before) / max(opened["open"], 1) / 1024, "noop_p99": measured["noop"]["p99_us"] / 1000,
                "sessions": opened["open"], "open_s": opened["seconds"], "failed": self.count(system) - opened["open"]}


class Trickle(Crowd):
    figures = (Figure("greeting_p99", "a new client greeted, p99, ms", limit=100), Figure("greeting_max", "the same, longest"),
               Figure("sessions", "sessions", True), Figure("served_percent", "of them served, %", True, limit=100))

    def round(self, system, size):
        with self.crowd(system, "-T", 8) as (opened, go):
            measured = go()
        return {"greeting_p99": measured["greeting"]["p99_us"] / 1000, "greeting_max": measured["greeting"]["max_us"] / 1000,
                "sessions": opened["open"], "served_percent": measured["served"] * 100 / self.count(system), "failed": 0}


class Deferred(Work):
    """A deferred queue; then a restart, and new mail. Postfix's cannot be filled by copying, so it is not there."""

    peers = (Postroad,)
    base = None
    fixed_rounds = 1
    figures = (Figure("ready_s", "start to arrival of new mail, s", limit=10), Figure("all_s", "start until all are known, s"),
               Figure("each_bytes", "memory each, bytes", limit=200),
               Figure("disk", "disk use / content", limit=1.1), Figure("blocks", "disk use / content in whole blocks"))

    def __init__(self, what, count):
        super().__init__(what)
        self.count = count

    def settings(self, system):
        return {"defer_transports": "relay", "relay_domains": "later.example", "relay_recipient_maps": ""}

    def round(self, system, size):
        deferred = system.root / "queue/deferred"
        system.source("-s", 1, "-n", 1, "-t", "x@later.example")
        wait_for(lambda: len(files_below(deferred)), 1, system)
        system.down()
        before = disk_use(deferred)
        one = files_below(deferred)[0]
        content = one.stat().st_size
        subprocess.run([BUILD / "tests/fill_queue", system.root / "queue", one.name, str(self.count), str(int(time.time()) + 36000)],
                       check=True)
        disk = disk_use(deferred) - before
        block = os.statvfs(deferred).f_frsize
        system.up()
        start = mono_us()
        empty = system.accounting.memory()
        system.wait_for_greeting()
        seen = system.sink.messages()
        system.source("-s", 1, "-n", 1)
        wait_for(lambda: system.sink.messages() - seen, 1, system)
        ready = (system.sink.read()[3] - start) / 1e6
        cpu = system.accounting.cpu()
        while True:                         # until it has read them all: nothing moves any more
            time.sleep(1)
            now = system.accounting.cpu()
            if now - cpu < 0.1:
                break
            cpu = now
        all_known = (mono_us() - start) / 1e6 - 1
        return {"ready_s": ready, "all_s": all_known, "each_bytes": (system.accounting.memory() - empty) / self.count,
                "disk": disk / (content * self.count), "blocks": disk / (-(-content // block) * block * self.count), "failed": 0}


def files_below(directory):
    return [Path(place, name) for place, _, names in os.walk(directory) for name in names]


def disk_use(directory):
    total = 0
    for place, _, names in os.walk(directory):
        total += os.stat(place).st_blocks * 512
        for entry in os.scandir(place):
            if entry.is_file():
                total += entry.stat(follow_symlinks=False).st_blocks * 512
    return total


class Destinations(Work):
    """Mail for living destinations alone, and while as many dead ones are tried: half of these refuse, half do not even do that."""

    figures = (Figure("kept", "rate kept by the living, %", True, limit=90), Figure("alone", "messages a second alone", True),
               Figure("beside", "messages a second beside the dead", True))
    fixed_rounds = 1

    def __init__(self, what, count):
        super().__init__(what)
        self.sink_addresses = self.living = count // 2
        self.holes = []

    def settings(self, system):
        return {"relayhost": "", "smtp_tcp_port": system.sink_port}

    def dig_holes(self, port):
        """Listeners with a full backlog: who connects there hears nothing at all."""
        for i in range(self.living // 2):
            address = (f"127.2.{i // 250}.{i % 250 + 1}", port)
            hole, plug = socket.socket(), socket.socket()
            hole.bind(address)
            hole.listen(0)
            plug.setblocking(False)
            plug.connect_ex(address)
            self.holes += [hole, plug]

    def send(self, system, network, count):
        """One message to each of so many addresses."""
        return system.source("-s", 20, "-r", "-n", count, "-a", network)

    def rate_of_living(self, system):
        """Of those that arrive within a minute."""
        before, start = system.sink.messages(), mono_us()
        self.send(system, 1, self.living)
        while system.sink.messages() - before < self.living and mono_us() < start + 60_000_000:
            time.sleep(0.01)
        count, last = system.sink.messages() - before, system.sink.read()[3]
        return count * 1e6 / ((last if count >= self.living else mono_us()) - start)

    def round(self, system, size):
        self.rate_of_living(system)         # warm up
        alone = statistics.median(self.rate_of_living(system) for _ in range(2))
        self.dig_holes(system.sink_port)
        try:
            self.send(system, 2, self.living)
            beside = self.rate_of_living(system)
        finally:
            for hole in self.holes:
                hole.close()
            self.holes = []
        return {"alone": alone, "beside": beside, "kept": beside * 100 / alone, "failed": 0}


class Workers(Handshakes):
    """The same load on one and on two workers a service: handshakes with a large RSA key, which cost the server fifty times what they cost clients, so that both
    processors of a small machine are the server's."""

    base = "1 worker"

    def prepare(self, system):
        make_certificate(system.root / "tls.pem", "rsa:4096")

    def systems(self, scratch, wanted):
        return [Postroad(self, scratch, label=f"{n} worker{'s' * (n > 1)}", settings={"worker_processes": n}) for n in (1, 2)]


# OpenSMTPD listens with a backlog of 5: of twenty connections at once some wait for seconds, or for ever. So it has one session here.
WITH_EXIM = (Postfix, Postroad, Exim)
ALL = (*WITH_EXIM, OpenSMTPD)
WORKS = {
    "relay1": Stream("relayed, 4 KiB, 1 session, a connection per message", 1, rate=2, cpu=4, peers=ALL),
    "relay20": Stream("relayed, 4 KiB, 20 sessions, a connection per message", 20, rate=10, cpu=10, peers=WITH_EXIM),
    "relay100": Stream("relayed, 4 KiB, 100 sessions, a connection per message", 100, rate=10, cpu=10, peers=WITH_EXIM),
    "relay1-reuse": Stream("relayed, 4 KiB, 1 session, one connection", 1, reuse=True, rate=2, cpu=4, peers=ALL),
    "relay20-lockstep": Lockstep("relayed, 4 KiB, 20 sessions, a connection per message, no pipelining", 20),
    "relay20-reuse": Stream("relayed, 4 KiB, 20 sessions, reused connections", 20, reuse=True, rate=10, cpu=10, peers=WITH_EXIM),
    "relay100-reuse": Stream("relayed, 4 KiB, 100 sessions, reused connections", 100, reuse=True, rate=10, cpu=10),
    "relay20-64k": Stream("relayed, 64 KiB, 20 sessions, a connection per message", 20, 65536, rate=3, peers=WITH_EXIM),
    "relay20-1m": Stream("relayed, 1 MiB, 20 sessions, a connection per message", 20, 1 << 20, rate=1.8, peers=WITH_EXIM),
    "tls20": Encrypted("relayed, 4 KiB, 20 sessions, a TLS connection per message", 20),
    "tls20-resumed": Encrypted("relayed, 4 KiB, 20 sessions, a resumed TLS connection per message", 20, resume=True),
    "tls-out20": EncryptedOut("relayed to a next hop with TLS, 4 KiB, 20 sessions, a connection per message", 20),
    "handshakes": Handshakes("TLS handshakes, 20 at once"),
    "handshakes-resumed": Handshakes("TLS handshakes, 20 at once, of sessions that are resumed", resume=True),
    "accept20": Accept("accepted into a queue that does not move, 20 sessions", 20),
    "recipients10k": Recipients("one message, 10,000 recipients", 10_000),
    "recipients100k": Recipients("one message, 100,000 recipients", 100_000),
    "maildir": Mailboxes("virtual, ten Maildirs, 20 sessions", "virtual", True, 10),
    "maildir-one": Mailboxes("virtual, one Maildir, 20 sessions", "virtual", True, 1),
    "mbox": Mailboxes("virtual, ten mboxes, 20 sessions", "virtual", False, 10),
    "mbox-one": Mailboxes("virtual, one mbox, 20 sessions", "virtual", False, 1),
    "local-maildir": Mailboxes("local, ten Maildirs, 20 sessions", "local", True, 10),
    "local-mbox": Mailboxes("local, ten mboxes, 20 sessions", "local", False, 10),
    "alias": Alias("an alias of ten remote addresses, 20 sessions", rate=4),
    "submit1000": Submit("sendmail, 1,000 at once"),
    "latency": Latency("10 messages a second, a connection each"),
    "idle10k": Idle("10,000 idle sessions (300 where each is a process)", 10_000),
    "trickle5k": Trickle("5,000 sessions trickling data (300 where each is a process)", 5_000),
    "deferred100k": Deferred("100,000 deferred messages", 100_000),
    "deferred1m": Deferred("1,000,000 deferred messages", 1_000_000),
    "destinations": Destinations("10,000 destinations, half of them dead", 10_000),
    "workers": Workers("TLS handshakes, 20 at once, RSA, by 1 or 2 workers a service", 20, rate=1.7),
}
EVERYDAY = [name for name in WORKS if name not in ("deferred1m", "recipients100k")]
