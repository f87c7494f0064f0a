# SPDX-License-Identifier: ISC
"""What is measured: Postroad, and its peers as Debian packages, unpacked and not installed.

A System is one instance with its own directories, ports and sink. Postroad and Postfix read the same main.cf and master.cf. The others
have their paths compiled in: each runs in a mount namespace of its own where its package lies over /usr and its accounts over /etc.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from instance import BUILD, MASTER, free_port

PROGRAMS = BUILD / "tests/bench"
PEERS = BUILD / "peers"
CGROUP = Path("/sys/fs/cgroup/cpuacct")
TICK = os.sysconf("SC_CLK_TCK")


class Accounting:
    """CPU, memory and context switches of everything started inside: by a cpuacct cgroup, else by the process tree."""

    def __init__(self, name):
        self.directory = CGROUP / f"postroad-bench.{os.getpid()}.{name}"
        self.root = None                    # of the process tree
        try:
            self.directory.mkdir()
        except OSError:
            self.directory = None

    def enter(self):
        """In the child, before exec."""
        if self.directory:
            (self.directory / "cgroup.procs").write_text("0")

    def pids(self):
        if self.directory:
            return [int(pid) for pid in (self.directory / "cgroup.procs").read_text().split()]
        found, todo = [], [self.root] if self.root else []
        while todo:
            pid = todo.pop()
            with contextlib.suppress(OSError):
                todo += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
                found.append(pid)
        return found

    def cpu(self):
        """Seconds, of dead ones too."""
        if self.directory:
            return int((self.directory / "cpuacct.usage").read_text()) / 1e9
        total = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                total += sum(int(fields[i]) for i in (11, 12, 13, 14))
        return total / TICK

    def switches(self):
        """Context switches of those alive; so a little low where processes come and go."""
        total = 0
        for pid in self.pids():
            for status in Path(f"/proc/{pid}/task").glob("*/status"):
                with contextlib.suppress(OSError):
                    total += sum(int(line.split()[1]) for line in status.read_text().splitlines() if "ctxt_switches" in line)
        return total

    def memory(self):
        """Proportional set size of all processes, in bytes."""
        total = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                    if line.startswith("Pss:"):
                        total += int(line.split()[1]) * 1024
        return total

    def close(self):
        """What a failed stop left behind is killed: only what was started inside."""
        deadline = time.monotonic() + 20
        while self.directory and time.monotonic() < deadline:
            try:
                self.directory.rmdir()
                return
            except OSError:
                if time.monotonic() > deadline - 10:
                    for pid in self.pids():
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(pid, signal.SIGKILL)
                time.sleep(0.1)


class Peak(threading.Thread):
    """with Peak(accounting) as peak: ...; then peak.bytes is the most memory that was seen."""

    def __init__(self, accounting):
        super().__init__(daemon=True)
        self.accounting, self.bytes, self.over = accounting, 0, threading.Event()

    def run(self):
        while not self.over.wait(0.1):
            self.bytes = max(self.bytes, self.accounting.memory())

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *error):
        self.over.set()
        self.join()


class Sink:
    """The next hop. Its results lie in a file: see sink.c."""

    RING = 65536

    def __init__(self, port, file, addresses=0, certificate=None):
        self.file = file
        words = [PROGRAMS / "sink", *(["-T", certificate] if certificate else []), port, file] + ([addresses] if addresses else [])
        self.process = subprocess.Popen(list(map(str, words)))
        deadline = time.monotonic() + 10
        while not (file.exists() and file.stat().st_size):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit("the sink does not start")
            time.sleep(0.01)

    def read(self):
        """messages, recipients, bytes, mono_us of the last arrival"""
        with self.file.open("rb") as file:
            return struct.unpack("4q", file.read(32))

    def messages(self):
        return self.read()[0]

    def took_us(self, first, end):
        """How long the messages number first to end - 1 took."""
        ring = struct.unpack_from(f"{self.RING}q", self.file.read_bytes(), 32)
        return [ring[number % self.RING] for number in range(max(first, end - self.RING), end)]

    def stop(self):
        self.process.terminate()
        self.process.wait()


class System:
    name = None
    pipelining = True

    def __init__(self, work, scratch, label=None):
        self.work = work
        self.label = label or self.name
        self.root = Path(tempfile.mkdtemp(prefix=f"bench-{self.label.replace(' ', '-')}-", dir=scratch))
        self.root.chmod(0o755)
        self.port, self.sink_port = free_port(), free_port()
        self.accounting = Accounting(self.label.replace(" ", "-"))
        self.sink = None

    def start(self):
        self.work.prepare(self)
        self.sink = Sink(self.sink_port, self.root / "sink", self.work.sink_addresses, self.work.sink_certificate(self))
        self.up()
        self.wait_for_greeting()

    def wait_for_greeting(self, seconds=60):
        deadline = time.monotonic() + seconds
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as client:
                client.settimeout(5)
                if client.recv(100).startswith(b"220"):
                    client.sendall(b"QUIT\r\n")
                    return
            if time.monotonic() > deadline:
                raise SystemExit(f"{self.label} does not answer\n{self.tail()}")
            time.sleep(0.02)

    def stop(self):
        try:
            self.down()
        finally:
            if self.sink:
                self.sink.stop()
            self.accounting.close()
            shutil.rmtree(self.root, ignore_errors=True)

    def inside(self):
        """Words before a command that shall run as if the system were installed."""
        return []

    def load(self, program, *words, inside=False, timeout=900):
        """Runs one of our load programs, inside: as a part of the system; what it says as JSON."""
        words = [*(self.inside() if inside else []), PROGRAMS / program, *words]
        with (self.root / "errors").open("a") as errors:
            done = subprocess.run(list(map(str, words)), stdout=subprocess.PIPE, stderr=errors, timeout=timeout, text=True,
                                  env=self.environment(), preexec_fn=self.accounting.enter if inside else None)
        return json.loads(done.stdout.splitlines()[-1])

    def source(self, *words):
        return self.load("source", "-p", self.port, *words, *([] if self.pipelining else ["-l"]))

    def environment(self):
        return dict(os.environ)

    def tail(self):
        """The last lines of the log, for whoever reads why it failed."""
        log = self.root / "maillog"
        return "\n".join(log.read_text(errors="replace").splitlines()[-10:]) if log.exists() else ""


class LikePostfix(System):
    """Both read main.cf and master.cf; defaults but for directories, ports and what the work is about."""

    def __init__(self, *arguments, settings=None, **more):
        super().__init__(*arguments, **more)
        self.settings = settings or {}
        for name in ("etc", "queue", "data"):
            (self.root / name).mkdir()
        shutil.chown(self.root / "data", self.owner)

    def main_cf(self):
        return {
            "compatibility_level": "3.6", "queue_directory": self.root / "queue", "data_directory": self.root / "data",
            "command_directory": self.commands, "daemon_directory": self.daemons, "meta_directory": self.meta,
            "mail_owner": self.owner, "setgid_group": self.group, "myhostname": "bench.example.org", "mydestination": "",
            "inet_interfaces": "127.0.0.1", "inet_protocols": "ipv4", "mynetworks": "127.0.0.0/8",
            "relayhost": f"[127.0.0.1]:{self.sink_port}", "smtp_dns_support_level": "disabled",
            "maillog_file": self.root / "maillog", "maillog_file_prefixes": self.root,
            "alias_maps": "", "alias_database": "", "local_recipient_maps": "",
            "default_process_limit": 150, "smtpd_client_connection_count_limit": 0,
            "default_destination_concurrency_limit": 100, "initial_destination_concurrency": 50,
            **self.work.settings(self), **self.settings,
        }

    def up(self):
        text = "".join(f"{name} = {value}\n" for name, value in self.main_cf().items())
        (self.root / "etc" / "main.cf").write_text(text)
        (self.root / "etc" / "master.cf").write_text(self.master_cf())
        self.control("start")

    def down(self):
        self.control("stop")

    def control(self, verb):
        subprocess.run([*self.control_words, "-c", self.root / "etc", verb], check=True, preexec_fn=self.accounting.enter,
                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=120, env=self.environment())
        if verb == "start":
            self.accounting.root = int((self.root / "queue/pid/master.pid").read_text().split()[0])

    def environment(self):
        return dict(os.environ, MAIL_CONFIG=str(self.root / "etc"))


class Postroad(LikePostfix):
    name, owner, group = "postroad", "daemon", "daemon"
    commands, daemons, meta = BUILD / "sbin", BUILD / "daemons", BUILD
    control_words = [BUILD / "sbin/postroad"]

    def master_cf(self):
        return MASTER.format(smtp=f"127.0.0.1:{self.port}", smtpd_limit=self.work.session_limit(self))


class Postfix(LikePostfix):
    """The package's programs where `unpack` puts them."""
    name, owner, group = "postfix", "postfix", "postdrop"
    tree = PEERS / "postfix"
    commands, daemons, meta = tree / "usr/sbin", tree / "usr/lib/postfix/sbin", tree / "etc/postfix"
    control_words = [commands / "postfix"]

    def environment(self):
        libraries = f"{self.tree}/usr/lib/postfix:{self.tree}/usr/lib/x86_64-linux-gnu:{self.tree}/usr/lib/aarch64-linux-gnu"
        return dict(super().environment(), LD_LIBRARY_PATH=libraries, PATH=f"{self.commands}:{os.environ['PATH']}")

    def inside(self):
        """postdrop reads no other main.cf than that of /etc/postfix, so it gets to see ours there."""
        over = self.root / "over/postfix"
        if not over.exists():
            over.parent.mkdir()
            shutil.copytree(self.root / "etc", over)
        mount = f"mount -t overlay overlay -o lowerdir={over.parent}:/etc /etc && exec \"$@\""
        return ["unshare", "-m", "sh", "-c", mount, "sh"]

    def main_cf(self):
        return {**super().main_cf(), "shlib_directory": self.daemons.parent, "sendmail_path": self.commands / "sendmail",
                "import_environment": "MAIL_CONFIG LD_LIBRARY_PATH", "export_environment": "LD_LIBRARY_PATH"}

    def master_cf(self):
        rows = MASTER.format(smtp=f"127.0.0.1:{self.port}", smtpd_limit=self.work.session_limit(self)).splitlines()
        rows = [row for row in rows if "resolver" not in row]
        rows += ["rewrite unix - - n - - trivial-rewrite", "anvil unix - - n - 1 anvil", "scache unix - - n - 1 scache",
                 "verify unix - - n - 1 verify", "flush unix n - n 1000? 0 flush"]
        return "\n".join(rows) + "\n"

    @classmethod
    def unpack(cls):
        """Its accounts are made if missing: its programs insist on them."""
        unpack(cls.tree, "postfix", "libnsl2")
        for name in ("main.cf.proto", "master.cf.proto"):
            source = cls.tree / "usr/share/postfix" / name.replace("proto", "dist")
            if source.exists():
                shutil.copy(source, cls.tree / "etc/postfix" / name)
        for group in ("postfix", "postdrop"):
            subprocess.run(["groupadd", "-f", "-r", group], check=True)
        if subprocess.run(["id", "postfix"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode:
            subprocess.run(["useradd", "-r", "-g", "postfix", "-d", "/nonexistent", "-s", "/usr/sbin/nologin", "postfix"], check=True)


class Apart(System):
    """In a mount namespace with its package over /usr, its accounts over /etc, and directories of the scratch tree where it writes."""

    SCRIPT = """
        set -e
        mount -t overlay overlay -o lowerdir=/etc,upperdir=$ROOT/etc,workdir=$ROOT/etc-work /etc
        mount -t overlay overlay -o lowerdir=$TREE/usr:/usr,upperdir=$ROOT/usr,workdir=$ROOT/usr-work /usr
        mount -t tmpfs tmpfs /run
    """

    def up(self):
        for name in ("etc", "etc-work", "usr", "usr-work", "spool"):
            (self.root / name).mkdir()
        for name, kind in (("passwd", "{0}:x:{1}:{1}::/nonexistent:/usr/sbin/nologin\n"), ("group", "{0}:x:{1}:\n")):
            text = "".join(line for line in Path("/etc", name).read_text().splitlines(True) if line.split(":")[0] not in self.accounts)
            text += "".join(kind.format(account, 61000 + i) for i, account in enumerate(self.accounts))
            (self.root / "etc" / name).write_text(text)
        self.configure(self.root / "etc")
        with (self.root / "console").open("w") as console:
            self.process = subprocess.Popen(["unshare", "-m", "sh", "-c", self.SCRIPT + self.script], stdout=console, stderr=console,
                                            stdin=subprocess.DEVNULL, preexec_fn=self.accounting.enter,
                                            env=dict(os.environ, ROOT=str(self.root), TREE=str(self.tree)))
        self.accounting.root = self.process.pid

    def down(self):
        self.process.terminate()
        self.process.wait(60)


class OpenSMTPD(Apart):
    name, pipelining = "opensmtpd", False
    tree = PEERS / "opensmtpd"
    accounts = ("opensmtpd", "opensmtpq")
    script = """
        mkdir -p $ROOT/var/lib/opensmtpd/empty $ROOT/var/spool/smtpd
        chmod 711 $ROOT/var/spool/smtpd; ln -s /run $ROOT/var/run
        mount --bind $ROOT/var /var
        exec smtpd -F -f /etc/smtpd.conf
    """

    def configure(self, etc):
        (etc / "mailname").write_text("bench.example.org\n")
        (etc / "resolv.conf").write_text("lookup file\n")      # no waiting for a name server
        (etc / "smtpd.conf").write_text(f"""
            smtp max-message-size "100M"
            smtp limit max-mails 1000000
            smtp limit max-rcpt 200000
            listen on 127.0.0.1 port {self.port}
            action "relay" relay host "smtp+notls://127.0.0.1:{self.sink_port}"
            match from any for any action "relay"\n""")
        (etc / "smtpd.conf").chmod(0o600)

    @classmethod
    def unpack(cls):
        unpack(cls.tree, "opensmtpd")


class Exim(Apart):
    name = "exim"
    tree = PEERS / "exim"
    accounts = ("Debian-exim",)
    script = """
        chown Debian-exim $ROOT/spool $ROOT/etc/exim4
        exec exim4 -C /etc/exim4/exim.conf -bdf -q1m
    """

    def configure(self, etc):
        (etc / "exim4").mkdir()
        (etc / "exim4/trusted_configs").write_text("/etc/exim4/exim.conf\n")
        (etc / "exim4/exim.conf").write_text(f"""
primary_hostname = bench.example.org
exim_path = /usr/sbin/exim4
spool_directory = {self.root}/spool
log_file_path = {self.root}/spool/%slog
pid_file_path = {self.root}/spool/exim.pid
local_interfaces = 127.0.0.1
daemon_smtp_ports = {self.port}
disable_ipv6
host_lookup =
rfc1413_query_timeout = 0s
smtp_accept_max = 0
smtp_accept_queue_per_connection = 0
recipients_max = 200000
message_size_limit = 100M
tls_advertise_hosts =
acl_smtp_rcpt = acl_all
acl_smtp_data = acl_all
begin acl
acl_all:
  accept
begin routers
relay:
  driver = manualroute
  route_list = * 127.0.0.1::{self.sink_port} byname
  self = send
  transport = out
begin transports
out:
  driver = smtp
  allow_localhost
  hosts_avoid_tls = *
begin retry
* * F,2h,1m
""")

    @classmethod
    def unpack(cls):
        unpack(cls.tree, "exim4-daemon-light", "exim4-base", "libspf2-2", "libgnutls-dane0", "libidn12", "libnsl2")


def unpack(tree, *packages):
    """Debian packages, downloaded and unpacked beside the build."""
    if (tree / "usr").exists():
        return
    tree.mkdir(parents=True, exist_ok=True)
    subprocess.run(["apt-get", "download", "-qq", *packages], cwd=tree, check=True, stderr=subprocess.DEVNULL)
    for package in tree.glob("*.deb"):
        subprocess.run(["dpkg", "-x", package, tree], check=True)


SYSTEMS = {one.name: one for one in (Postfix, Postroad, OpenSMTPD, Exim)}
