# SPDX-License-Identifier: ISC
"""Real database servers on private directories, sockets and high ports, run as an unprivileged user: what tables are looked up in.

Each starts with start(), can be killed, stopped (SIGSTOP) and resumed, and goes with close(). A test that wants one without its package is skipped.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

from instance import IS_ROOT, PATIENCE, free_port, wait_until


def program(name, package):
    found = shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin") or next((str(path) for path in sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))), None)
    if found is None:
        pytest.skip(f"{name} is missing (Debian: {package})")
    return found


class Server:
    """One process that listens on self.port of 127.0.0.1, and on a Unix socket where it has one."""

    def __init__(self):
        self.root = Path(tempfile.mkdtemp(prefix="postroad-db-", dir="/tmp"))
        self.root.chmod(0o755)
        self.own(self.root)
        self.port = free_port()
        self.process = None
        self.log = self.root / "log"

    as_somebody = {"user": "nobody", "group": "nogroup", "extra_groups": []} if IS_ROOT else {}

    def own(self, path):
        if IS_ROOT:
            shutil.chown(path, "nobody", "nogroup")

    def file(self, name, text):
        path = self.root / name
        path.parent.mkdir(exist_ok=True)
        self.own(path.parent)
        path.write_text(text)
        self.own(path)
        return path

    def run(self, *words, **options):
        done = subprocess.run([str(word) for word in words], cwd=self.root, capture_output=True, text=True, timeout=120 * PATIENCE, check=False, **self.as_somebody, **options)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def words(self):
        raise NotImplementedError

    def answers(self):
        """Is it ready for questions?"""
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def start(self):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([str(word) for word in self.words()], cwd=self.root, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            start_new_session=True, **self.as_somebody)

        def ready():
            assert self.process.poll() is None, self.log.read_text(errors="replace")[-3000:]
            return self.answers()

        wait_until(ready, 60, lambda: self.log.read_text(errors="replace")[-3000:])
        return self

    def processes(self):
        """The server and all that it started, which may have groups of their own."""
        found, seen = [self.process.pid], 0
        while seen < len(found):
            with contextlib.suppress(OSError):
                for task in Path(f"/proc/{found[seen]}/task").iterdir():
                    found += map(int, (task / "children").read_text().split())
            seen += 1
        return found

    def signal(self, number):
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        if number == signal.SIGSTOP:            # which each thread has to come upon
            wait_until(lambda: all(state == "T" for pid in self.processes() for state in self.thread_states(pid)), 30)

    @staticmethod
    def thread_states(pid):
        states = []
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{pid}/task").iterdir():
                states.append((task / "stat").read_text().rpartition(") ")[2][0])
        return states

    def kill(self):
        pids = self.processes()
        self.signal(signal.SIGKILL)
        self.process.wait(30)
        wait_until(lambda: all(state == "Z" for pid in pids for state in self.thread_states(pid)), 30)

    def close(self):
        if self.process is not None and self.process.poll() is None:
            self.signal(signal.SIGCONT)
            self.kill()
        shutil.rmtree(self.root, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()


class Postgres(Server):
    def __init__(self):
        self.program, initdb = program("postgres", "postgresql-15"), program("initdb", "postgresql-15")
        self.psql = program("psql", "postgresql-client-15")
        super().__init__()
        self.data = self.root / "data"
        self.run(initdb, "-D", self.data, "-U", "test", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions")

    def words(self):
        return [self.program, "-D", self.data, "-c", "listen_addresses=127.0.0.1", "-c", f"port={self.port}", "-c", f"unix_socket_directories={self.root}",
                "-c", "fsync=off", "-c", "shared_buffers=4MB", "-c", "max_connections=50", "-c", "autovacuum=off"]

    def sql(self, text):
        return self.run(self.psql, "-h", self.root, "-p", self.port, "-U", "test", "-d", "postgres", "-v", "ON_ERROR_STOP=1", "-Atqc", text)

    @contextlib.contextmanager
    def _locked(self, number):
        words = [self.psql, "-h", self.root, "-p", str(self.port), "-U", "test", "-d", "postgres", "-Atq"]
        with subprocess.Popen(words, cwd=self.root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **self.as_somebody) as session:
            session.stdin.write(f"SELECT pg_advisory_lock({number}); SELECT 'held';\n")
            session.stdin.flush()
            while session.stdout.readline() != "held\n":
                assert session.poll() is None
            yield

    def hold_lock(self, number):
        """Takes an advisory lock until close() of what is returned: what queries can be made to wait for."""
        held = contextlib.ExitStack()
        held.enter_context(self._locked(number))
        return held

    def answers(self):
        return subprocess.run([self.psql, "-h", "127.0.0.1", "-p", str(self.port), "-U", "test", "-d", "postgres", "-Atc", "SELECT 1"], cwd=self.root,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60, check=False).stdout == b"1\n"

    def kill(self):
        super().kill()
        (self.data / "postmaster.pid").unlink(missing_ok=True)


class Mariadb(Server):
    def __init__(self):
        self.program, self.client = program("mariadbd", "mariadb-server-core"), program("mariadb", "mariadb-client-core")
        super().__init__()
        self.data, self.socket = self.root / "data", self.root / "sock"
        self.data.mkdir()
        self.own(self.data)

    def words(self):
        return [self.program, "--no-defaults", f"--datadir={self.data}", f"--socket={self.socket}", f"--port={self.port}", "--bind-address=127.0.0.1",
                "--skip-grant-tables", "--innodb-buffer-pool-size=8M", "--innodb-log-file-size=4M", "--innodb-flush-method=nosync", "--innodb-flush-log-at-trx-commit=0",
                f"--pid-file={self.root}/pid", f"--tmpdir={self.root}", "--skip-networking=0", "--performance-schema=OFF", "--lc-messages-dir=/usr/share/mysql"]

    def make_system_tables(self):
        """What procedures need; nothing else here does."""
        self.run(self.client, "--no-defaults", f"--socket={self.socket}", "-e", "CREATE DATABASE mysql")
        with open("/usr/share/mysql/mysql_system_tables.sql", encoding="utf8") as script:
            self.run(self.client, "--no-defaults", f"--socket={self.socket}", "--force", "mysql", stdin=script)

    def sql(self, text, *options):
        return self.run(self.client, "--no-defaults", f"--socket={self.socket}", "-N", *options, "-e", text)

    def answers(self):
        return subprocess.run([self.client, "--no-defaults", f"--socket={self.socket}", "-e", "SELECT 1"], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, timeout=60, check=False).returncode == 0


class Slapd(Server):
    """Suffix dc=example; rootdn cn=admin,dc=example with the password secret."""

    def __init__(self, tls=None):
        self.program = program("slapd", "slapd")
        self.add = program("ldapadd", "ldap-utils")
        super().__init__()
        (self.root / "db").mkdir()
        self.own(self.root / "db")
        lines = ["include /etc/ldap/schema/core.schema", "include /etc/ldap/schema/cosine.schema", "include /etc/ldap/schema/inetorgperson.schema",
                 "modulepath /usr/lib/ldap", "moduleload back_mdb", f"pidfile {self.root}/pid"]
        if tls:
            lines += [f"TLSCACertificateFile {tls.ca}", f"TLSCertificateFile {tls.cert}", f"TLSCertificateKeyFile {tls.key}"]
        lines += ["attributetype ( 1.3.6.1.4.1.4203.666.1.1 NAME 'maildrop' EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )"]
        lines += ["database mdb", 'suffix "dc=example"', 'rootdn "cn=admin,dc=example"', "rootpw secret", f"directory {self.root}/db", "maxsize 10485760",
                  "access to * by * read"]
        self.conf = self.file("slapd.conf", "\n".join(lines) + "\n")

    def words(self):
        path = str(self.root / "sock").replace("/", "%2F")
        return [self.program, "-d", "0", "-f", self.conf, "-h", f"ldap://127.0.0.1:{self.port} ldapi://{path}"]

    def load(self, ldif):
        self.run(self.add, "-x", "-H", f"ldap://127.0.0.1:{self.port}", "-D", "cn=admin,dc=example", "-w", "secret", input=ldif)


class Redis(Server):
    def __init__(self, *more, tls=None):
        self.program, self.client = program("redis-server", "redis-server"), program("redis-cli", "redis-tools")
        super().__init__()
        self.more, self.tls = list(more), tls

    def words(self):
        ports = ["--port", self.port] if not self.tls else ["--port", "0", "--tls-port", self.port, "--tls-cert-file", self.tls.cert, "--tls-key-file", self.tls.key,
                                                            "--tls-ca-cert-file", self.tls.ca, "--tls-auth-clients", "no"]
        return [self.program, *ports, "--bind", "127.0.0.1", "--unixsocket", self.root / "sock", "--unixsocketperm", "777", "--save", "", "--dir", self.root, *self.more]

    def cli(self, *words):
        return self.run(self.client, "-s", self.root / "sock", *words).strip()

    def answers(self):
        with socket.socket(socket.AF_UNIX) as probe:            # it listens there last
            return super().answers() and probe.connect_ex(str(self.root / "sock")) == 0


class Memcached(Server):
    def __init__(self):
        self.program = program("memcached", "memcached")
        super().__init__()

    def words(self):
        return [self.program, "-l", "127.0.0.1", "-p", self.port, "-m", "16"]

    def set(self, key, value, flags=0):
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as peer:
            peer.sendall(f"set {key} {flags} 0 {len(value)}\r\n{value}\r\n".encode())
            assert peer.recv(100) == b"STORED\r\n"


class Certificates:
    """An authority of its own and a certificate for localhost and 127.0.0.1."""

    def __init__(self, root):
        self.ca, self.cert, self.key = root / "ca.pem", root / "cert.pem", root / "key.pem"
        openssl = program("openssl", "openssl")
        words = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-keyout", self.key, "-out", self.cert,
                 "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
        subprocess.run([str(word) for word in words], check=True, capture_output=True, timeout=60)
        shutil.copy(self.cert, self.ca)
        for path in (self.ca, self.cert, self.key):
            path.chmod(0o644)
