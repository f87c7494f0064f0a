# SPDX-License-Identifier: ISC
"""A private Postroad: its own directories, free loopback ports, programs of the build tree.

Works as root (daemons drop to the account "daemon") and as an ordinary user. Nothing outside its scratch directory is touched.
"""

import contextlib
import errno
import functools
import grp
import itertools
import json
import os
import pwd
import re
import shutil
import signal
import smtplib
import socket
import subprocess
import tempfile
import time
import zlib
from pathlib import Path

from dns_server import DnsServer

TOP = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("POSTROAD_BUILD", TOP / "build")).resolve()
COMMANDS = BUILD / "sbin"
DAEMONS = BUILD / "daemons"
IS_ROOT = os.geteuid() == 0
SANITIZED = "WITH_SANITIZERS 1" in (BUILD / "config.h").read_text()
PATIENCE = 4 if SANITIZED else 1        # how much slower things may be

# Below the range that the kernel gives to outgoing connections, so that a port stays free between two binds. Each worker of a run has a part of it.
_share = 12000 // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1))
_first = 20000 + _share * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_marks = itertools.count()
_ports = (_first + number % _share for number in itertools.count(os.getpid() * 131))


def free_port(address="127.0.0.1", kind=socket.SOCK_STREAM):
    """A port that nobody listens on now; from a range of this process's own, so that parallel runs do not collide."""
    for port in _ports:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with contextlib.closing(socket.socket(family, kind)) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:         # this machine does not have that address
                    raise
                continue
            return port


def wait_until(question, timeout=30.0, what="", pause=0.01):
    """Asks until the answer is true; its value. Fails with `what` after timeout seconds."""
    deadline = time.monotonic() + timeout * PATIENCE
    while True:
        answer = question()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout * PATIENCE:g} s: {what() if callable(what) else what or question}")
        time.sleep(pause)


@functools.cache
def seed():
    """For what is tried at random: another for each version of the server, and the same as often as it is tested. POSTROAD_SEED: this one."""
    sources = b"".join(path.read_bytes() for path in sorted((TOP / "smtpd").glob("*.c")))
    return int(os.environ.get("POSTROAD_SEED", zlib.crc32(sources)))


@functools.cache
def nowhere():
    """The name server of tests that bring none: no name is there, whatever this machine's name servers say or do not say."""
    return DnsServer()


MASTER = """
{smtp}    inet  n       -       -       -       {smtpd_limit}   smtpd
pickup    unix  n       -       n       60      1       pickup
cleanup   unix  n       -       n       -       0       cleanup
qmgr      unix  n       -       n       300     1       qmgr
bounce    unix  -       -       n       -       0       bounce
defer     unix  -       -       n       -       0       bounce
trace     unix  -       -       n       -       0       bounce
proxymap  unix  -       -       n       -       -       proxymap
resolver  unix  -       -       n       -       1       resolver
tlsmgr    unix  -       -       n       1000?   1       tlsmgr
anvil     unix  -       -       n       -       1       anvil
mtasts    unix  -       -       n       -       1       mtasts
tlsrpt    unix  -       -       n       -       1       tlsrpt
smtp      unix  -       -       n       -       -       smtp
relay     unix  -       -       n       -       -       smtp
lmtp      unix  -       -       n       -       -       lmtp
showq     unix  n       -       n       -       -       showq
error     unix  -       -       n       -       -       error
retry     unix  -       -       n       -       -       error
discard   unix  -       -       n       -       -       discard
local     unix  -       n       n       -       -       local
virtual   unix  -       n       n       -       -       virtual
postlog   unix-dgram n  -       n       -       1       postlogd
"""


# They start commands and deliveries by a child of their own, which is none of master's and goes by their name: it ends when it notices that they have, and they
# wait for that, but not for ever. So what of these names is left after a stop gets some more time.
HAVE_SPAWNERS = ("local", "virtual", "pipe", "tokens")


class Instance:
    """main: parameters that differ from the private defaults below. master: extra lines for master.cf."""

    CONTROL = "postroad"

    def __init__(self, main=None, master="", address="127.0.0.1", hostname="mail.example.org", smtpd_limit="2500"):
        self.root = Path(tempfile.mkdtemp(prefix="postroad-test-"))
        self.root.chmod(0o755)
        self.address = address
        self.hostname = hostname
        self.smtp_port = free_port(address)
        self.etc = self.root / "etc"
        self.queue = self.root / "queue"
        self.data = self.root / "data"
        self.maillog = self.root / "maillog"
        self.reports = self.root / "reports"
        self.running = False
        self.master_extra = master
        self.smtpd_limit = smtpd_limit
        self.environment = self.about_leaks() if SANITIZED else {}      # what commands (and the daemons that they start) find besides ours
        owner = "daemon" if IS_ROOT else pwd.getpwuid(os.geteuid()).pw_name
        group = "daemon" if IS_ROOT else grp.getgrgid(os.getegid()).gr_name
        for directory in (self.etc, self.queue, self.data):
            directory.mkdir()
        if IS_ROOT:
            shutil.chown(self.data, owner)
        self.main = {
            "queue_directory": self.queue,
            "data_directory": self.data,
            "daemon_directory": DAEMONS,
            "command_directory": COMMANDS,
            "meta_directory": self.etc,
            "shlib_directory": BUILD / "modules",
            "mail_owner": owner,
            "setgid_group": group,
            "maillog_file": self.maillog,
            "maillog_file_prefixes": self.root,
            "myhostname": hostname,
            "mydomain": hostname.partition(".")[2],
            "inet_interfaces": address,
            "inet_protocols": "ipv4",
            "smtp_log_tls_feature_status": "yes",
            "lmtp_log_tls_feature_status": "yes",
            "mynetworks": "127.0.0.0/8",
            "alias_maps": "",
            "alias_database": "",
            "local_recipient_maps": "",
            "dns_resolver_addresses": nowhere().at,
            "max_idle": "1h",       # toll.py: a process that is no longer there has died, and none has merely had nothing to do for a while
            "service_throttle_time": "1s",          # what a test kills before it was ready is there again soon
            "import_environment": "MAIL_CONFIG TZ ASAN_OPTIONS UBSAN_OPTIONS LSAN_OPTIONS POSTROAD_STACK_CENSUS",
        }
        self.main.update(main or {})

    def about_leaks(self):
        """Berkeley DB refers to what it keeps by offset, which the leak checker does not understand."""
        path = self.root / "leaks"
        path.write_text("leak:libdb-\n")
        return {"LSAN_OPTIONS": f"{os.environ.get('LSAN_OPTIONS', '')}:suppressions={path}:print_suppressions=0"}

    # ---- configuration ----

    def master_cf(self):
        """What master.cf says."""
        return MASTER.format(smtp=f"{self.address}:{self.smtp_port}", smtpd_limit=self.smtpd_limit) + self.master_extra

    def write(self):
        lines = [f"{name} = {value}\n" for name, value in self.main.items() if value is not None]
        self.file("main.cf", "".join(lines))
        self.file("master.cf", self.master_cf())

    def set(self, **parameters):
        """Changes main.cf; takes effect with the next start or reload()."""
        self.main.update(parameters)
        self.write()

    def file(self, name, text, mode=0o644):
        """A file beside main.cf, put in place in one step: a daemon that looks meanwhile sees the former or this one."""
        path, beside = self.etc / name, self.etc / f".{name}"
        beside.write_text(text)
        beside.chmod(mode)
        return beside.rename(path)

    # ---- life ----

    def command(self, name, *arguments, check=True, input=None, timeout=60, **more):
        """Runs a command of the suite on this instance; CompletedProcess with text."""
        environment = dict(os.environ, MAIL_CONFIG=str(self.etc), **self.environment)
        words = [str(COMMANDS / name), *map(str, arguments)]
        kind = {} if isinstance(input, bytes) else {"text": True}
        with contextlib.ExitStack() as stack:
            said = subprocess.PIPE
            if SANITIZED and name == "postroad" and "start" in arguments:    # its daemons keep it, for what the sanitizers say
                said = stack.enter_context(open(self.reports, "ab"))
            done = subprocess.run(words, env=environment, input=input, timeout=timeout * PATIENCE, stdout=subprocess.PIPE, stderr=said, **kind, **more)
            if said != subprocess.PIPE:
                done.stderr = self.reports.read_text(errors="replace")[-2000:]
        if check and done.returncode != 0:
            raise AssertionError(f"{name} {arguments}: exit {done.returncode}\n{done.stdout}\n{done.stderr}\n{self.log_tail()}")
        return done

    def start(self):
        self.write()
        self.command(self.CONTROL, "-c", self.etc, "start")
        self.running = True
        return self

    def stop(self):
        if self.running:
            self.running = False
            self.command(self.CONTROL, "-c", self.etc, "stop")

    def reload(self):
        self.command(self.CONTROL, "-c", self.etc, "reload")

    def master_pid(self):
        return int((self.queue / "pid" / "master.pid").read_text().split()[0])

    def pids(self, program):
        """The processes of this instance that run `program`: children of its master."""
        return [pid for pid in children_of(self.master_pid()) if _program_of(pid) == program]

    def kill(self, program, number=signal.SIGKILL):
        """Signals every process of that program; how many there were."""
        pids = self.pids(program)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        return len(pids)

    def copy_deferred(self, count):
        """Multiplies the one deferred message of the stopped instance; the copies are due in an hour."""
        program = BUILD / "tests/fill_queue"
        subprocess.run(["make", "-s", "-C", BUILD, "tests/fill_queue"], check=True, timeout=120, stdout=subprocess.DEVNULL)
        (one,) = self.queue_files()
        subprocess.run([program, self.queue, one.name, str(count), str(int(time.time()) + 3600)], check=True, timeout=300 * PATIENCE)

    def kill_everything(self):
        """SIGKILL for master and all its children at once, whatever may still be read of the queue; returns when they are gone."""
        def gone():
            """Also who was being forked meanwhile."""
            pids = processes_below(self.root)
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return not pids

        wait_until(gone, 30, "the end of what was killed")
        self.running = False

    def close(self):
        """Stops, checks that nothing is left and that no sanitizer complained, and removes the scratch directory."""
        try:
            self.stop()
            left = [pid for pid in processes_below(self.root) if _program_of(pid) not in (None, *HAVE_SPAWNERS)]
            assert not left, f"left running: {left}\n{self.log_tail()}"
            wait_until(lambda: not processes_below(self.root), 30, lambda: f"the end of {processes_below(self.root)}\n{self.log_tail()}")
            log = self.log()
            reports = self.reports.read_text(errors="replace") if self.reports.exists() else ""
            for trouble in ("panic:", "ERROR: AddressSanitizer", "runtime error:", "LeakSanitizer"):
                where = log.find(trouble)
                assert where < 0, f"{trouble} in the log\n{log[max(where - 3000, 0):where + 3000]}"
                assert trouble not in reports, f"{trouble} on standard error\n{reports[:6000]}"
        finally:
            for pid in processes_below(self.root):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if not os.environ.get("POSTROAD_KEEP"):
                shutil.rmtree(self.root, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, *error):
        self.close()

    # ---- looking ----

    def log(self):
        return self.maillog.read_text(errors="replace") if self.maillog.exists() else ""

    def log_tail(self, lines=40):
        return "\n".join(self.log().splitlines()[-lines:])

    def log_lines(self, pattern):
        return [line for line in self.log().splitlines() if re.search(pattern, line)]

    def wait_for_log(self, pattern, count=1, timeout=30):
        """The first `count` log lines that match, waiting for them."""
        def look():
            found = self.log_lines(pattern)
            return found if len(found) >= count else None
        try:
            return wait_until(look, timeout)
        except AssertionError:
            about = re.match(r"[0-9A-Za-z]{10,}", pattern)             # a queue id: all about it
            lines = "\n".join(self.log_lines(about.group(0)) if about else [])
            raise AssertionError(f"{count} x {pattern!r} not in the log:\n{lines}\n...\n{self.log_tail()}") from None

    def queue_list(self):
        """postqueue -j as a list of dictionaries."""
        return [json.loads(line) for line in self.command("postqueue", "-j").stdout.splitlines()]

    def wait_empty(self, timeout=30):
        wait_until(lambda: not self.queue_files() and not self.queue_list(), timeout, lambda: f"queue empty\n{self.log_tail()}", pause=0.05)
        self.settle_log()

    def settle_log(self):
        """Returns when all that the daemons have said until now is in the log: postlogd writes lines in the order in which they came."""
        mark = f"all is said, {next(_marks)}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as talker:
            talker.settimeout(30 * PATIENCE)
            talker.connect(str(self.queue / "public/postlog"))
            talker.send(mark.encode())
        wait_until(lambda: mark in self.log().splitlines(), 30, lambda: f"{mark!r} in the log\n{self.log_tail()}", pause=0.002)

    def queue_files(self):
        """Every message that has a file of its own, by path. Looked for twice, or one that moves at this moment might be met nowhere."""
        found = {path.name: path for name in ("incoming", "active", "deferred", "hold", "maildrop") * 2
                 for path in (self.queue / name).rglob("*") if path.is_file()}
        return list(found.values())

    # ---- using ----

    def client(self, timeout=30, **more):
        """A connected smtplib client."""
        return smtplib.SMTP(self.address, self.smtp_port, local_hostname="client.example.net", timeout=timeout * PATIENCE, **more)

    def send(self, message, sender="sender@example.net", recipients=("user@example.org",), **options):
        """Sends one message; the queue id that the server named."""
        if isinstance(message, str):
            message = message.encode()
        with self.client() as client:
            client.ehlo_or_helo_if_needed()
            code, text = client.mail(sender, options.get("mail_options", []))
            assert code == 250, (code, text)
            for recipient in recipients:
                code, text = client.rcpt(recipient, options.get("rcpt_options", []))
                assert code == 250, (code, text)
            code, text = client.data(message)
            assert code == 250, (code, text)
            return re.search(r"queued as (\S+)", text.decode()).group(1)


    def send_raw(self, content, sender="sender@example.net", recipient="someone@example.com"):
        """Sends content that has CRLF line ends already, byte for byte (dots are doubled); the queue id."""
        if content and not content.endswith(b"\r\n"):
            raise ValueError("content must end with CRLF")
        stuffed = content.replace(b"\r\n.", b"\r\n..")
        if stuffed.startswith(b"."):
            stuffed = b"." + stuffed
        with self.client() as client:
            client.ehlo()
            assert client.mail(sender, ["BODY=8BITMIME"])[0] == 250
            assert client.rcpt(recipient)[0] == 250
            code, text = client.docmd("DATA")
            assert code == 354, (code, text)
            client.sock.sendall(stuffed + b".\r\n")
            code, text = client.getreply()
            assert code == 250, (code, text)
            return re.search(r"queued as (\S+)", text.decode()).group(1)


def children_of(pid):
    """The kernel may leave out a child when one before it ends during the reading: so until it says the same twice."""
    path = Path(f"/proc/{pid}/task/{pid}/children")
    before, now = None, path.read_text()
    while now != before:
        before, now = now, path.read_text()
    return [int(child) for child in now.split()]


def _program_of(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode().rpartition("/")[2]
    except OSError:
        return None


def processes_below(root):
    """Processes that work in or with the directory."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes()
            place = os.readlink(entry / "cwd")
            program = os.readlink(entry / "exe")
            if (str(root).encode() in words or place.startswith(str(root))) and program.startswith(str(BUILD)):
                found.append(int(entry.name))
    return found
