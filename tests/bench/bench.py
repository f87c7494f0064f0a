#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Postroad beside Postfix (the Debian package, unpacked, not installed), in one run, same work, same durability, both logging.

    make bench [BENCH="--rounds 5 --secs 3 relay20 accept20 maildir20"]

Rounds of the two systems alternate, so that disturbance hits both alike; ratios are taken per round and reduced to the median.
CPU is that of all processes of the system, dead ones included (cpuacct cgroup, else /proc), not of source and sink.
Needs root: Postfix does.
"""

import argparse
import json
import os
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("POSTROAD_BUILD", TOP / "build")).resolve()
sys.path.insert(0, str(TOP / "tests" / "system"))
from instance import MASTER, free_port  # noqa: E402

WORKS = {
    # name: (what, sessions, bytes, reuse connections, where to, messages per second of --secs as a first guess)
    "accept1": ("accepted into a queue that does not move, 1 session", 1, 4096, False, "hold"),
    "accept20": ("accepted into a queue that does not move, 20 sessions", 20, 4096, False, "hold"),
    "relay1": ("relayed, 4 KiB, 1 session, a connection per message", 1, 4096, False, "sink"),
    "relay20": ("relayed, 4 KiB, 20 sessions, a connection per message", 20, 4096, False, "sink"),
    "relay20r": ("relayed, 4 KiB, 20 sessions, reused connections", 20, 4096, True, "sink"),
    "relay100": ("relayed, 4 KiB, 100 sessions, a connection per message", 100, 4096, False, "sink"),
    "relay20l": ("relayed, 64 KiB, 20 sessions, a connection per message", 20, 65536, False, "sink"),
    "maildir20": ("delivered to ten Maildirs, 4 KiB, 20 sessions", 20, 4096, False, "maildir"),
}
CGROUP = Path("/sys/fs/cgroup/cpuacct")
TICK = os.sysconf("SC_CLK_TCK")


class Accounting:
    """CPU seconds of everything started inside: a cpuacct cgroup, else a sum over the process tree."""

    def __init__(self, name):
        self.directory = CGROUP / f"postroad-bench.{os.getpid()}.{name}"
        try:
            self.directory.mkdir()
        except OSError:
            self.directory = None
        self.mark = name

    def enter(self):
        if self.directory:
            (self.directory / "cgroup.procs").write_text("0")

    def cpu(self, master_pid):
        if self.directory:
            return int((self.directory / "cpuacct.usage").read_text()) / 1e9
        total, todo = 0, [master_pid]
        while todo:
            pid = todo.pop()
            try:
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                todo += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
            except OSError:
                continue
            total += sum(int(fields[i]) for i in (11, 12, 13, 14))
        return total / TICK

    def close(self):
        if self.directory:
            for _ in range(100):
                try:
                    self.directory.rmdir()
                    return
                except OSError:
                    time.sleep(0.1)


class System:
    """What both have in common: they read the same main.cf and master.cf."""

    def __init__(self, work, scratch):
        self.what, self.sessions, self.bytes, self.reuse, self.goal = work
        self.root = Path(tempfile.mkdtemp(prefix=f"bench-{self.name}-", dir=scratch))
        self.root.chmod(0o755)
        for name in ("etc", "queue", "data", "vmail"):
            (self.root / name).mkdir()
        shutil.chown(self.root / "data", self.owner)
        shutil.chown(self.root / "vmail", "nobody")
        self.port, self.sink_port = free_port(), free_port()
        self.counters = self.root / "counters"
        self.accounting = Accounting(self.name)
        self.sink = None

    def main_cf(self):
        maps = " ".join(f"{{ u{i}@v.example = u{i}/ }}" for i in range(10))
        settings = {
            "compatibility_level": "3.6", "queue_directory": self.root / "queue", "data_directory": self.root / "data",
            "command_directory": self.commands, "daemon_directory": self.daemons, "meta_directory": self.meta,
            "mail_owner": self.owner, "setgid_group": self.group, "myhostname": "bench.example.org", "mydestination": "",
            "inet_interfaces": "127.0.0.1", "inet_protocols": "ipv4", "mynetworks": "127.0.0.0/8",
            "relayhost": f"[127.0.0.1]:{self.sink_port}", "smtp_dns_support_level": "disabled",
            "maillog_file": self.root / "maillog", "maillog_file_prefixes": self.root,
            "alias_maps": "", "alias_database": "", "local_recipient_maps": "",
            "default_process_limit": 150, "smtpd_client_connection_count_limit": 0,
            "default_destination_concurrency_limit": 100, "initial_destination_concurrency": 50,
            "virtual_mailbox_domains": "v.example", "virtual_mailbox_base": self.root / "vmail",
            "virtual_mailbox_maps": f"inline:{{ {maps} }}", "virtual_uid_maps": "static:65534", "virtual_gid_maps": "static:65534",
        }
        if self.goal == "hold":
            settings["smtpd_sender_restrictions"] = "check_sender_access static:HOLD"
        return settings

    def start(self):
        text = "".join(f"{name} = {value}\n" for name, value in self.main_cf().items())
        (self.root / "etc" / "main.cf").write_text(text)
        (self.root / "etc" / "master.cf").write_text(self.master_cf())
        if self.goal == "sink":
            self.sink = subprocess.Popen([BUILD / "tests/bench/sink", str(self.sink_port), self.counters])
        self.control("start")
        time.sleep(0.3)

    def control(self, verb):
        subprocess.run([*self.control_words, "-c", self.root / "etc", verb], check=True, preexec_fn=self.accounting.enter,
                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=60, env=self.environment())

    def environment(self):
        return dict(os.environ)

    def arrived(self):
        if self.goal == "sink":
            return struct.unpack("QQQ", self.counters.read_bytes())[0] if self.counters.exists() else 0
        if self.goal == "maildir":
            return sum(len(os.listdir(new)) for new in self.root.glob("vmail/*/new"))
        return None

    def master_pid(self):
        return int((self.root / "queue/pid/master.pid").read_text().split()[0])

    def round(self, messages):
        """Sends `messages`; waits for their arrival; (accepted per s, arrived per s, CPU ms per message, p50, p99 us)."""
        before = self.arrived()
        cpu = self.accounting.cpu(self.master_pid())
        to = "u%d@v.example" if self.goal == "maildir" else "user@example.com"
        words = [BUILD / "tests/bench/source", "-p", self.port, "-s", self.sessions, "-n", messages, "-b", self.bytes, "-t", to]
        start = time.monotonic()
        done = subprocess.run(list(map(str, words + (["-r"] if self.reuse else []))), stdout=subprocess.PIPE, timeout=600, text=True)
        result = json.loads(done.stdout)
        last = start + result["seconds"]
        while before is not None and self.arrived() - before < result["acknowledged"]:
            last = time.monotonic()
            if last - start > 300:
                raise SystemExit(f"{self.name}: {self.arrived() - before} of {result['acknowledged']} arrived\n"
                                 + "\n".join((self.root / "maillog").read_text().splitlines()[-10:]))
            time.sleep(0.002)
        time.sleep(0.3)                     # the tail: unlinks, log lines
        cpu = self.accounting.cpu(self.master_pid()) - cpu
        n = max(result["acknowledged"], 1)
        return {"accepted": n / result["seconds"], "arrived": n / (last - start), "cpu_ms": cpu * 1000 / n,
                "p50_ms": result["p50_us"] / 1000, "p99_ms": result["p99_us"] / 1000, "failed": result["failed"]}

    def stop(self):
        try:
            self.control("stop")
        finally:
            if self.sink:
                self.sink.terminate()
                self.sink.wait()
            self.accounting.close()
            shutil.rmtree(self.root, ignore_errors=True)


class Postroad(System):
    name, owner, group = "postroad", "daemon", "daemon"
    commands, daemons, meta = BUILD / "sbin", BUILD / "daemons", BUILD
    control_words = [BUILD / "sbin/postroad"]

    def master_cf(self):
        return MASTER.format(smtp=f"127.0.0.1:{self.port}", smtpd_limit="150")


class Postfix(System):
    """The package's programs where `unpack` put them."""
    name, owner, group = "postfix", "postfix", "postdrop"
    tree = None

    def __init__(self, *arguments):
        self.commands, self.daemons, self.meta = self.tree / "usr/sbin", self.tree / "usr/lib/postfix/sbin", self.tree / "etc/postfix"
        self.control_words = [self.commands / "postfix"]
        super().__init__(*arguments)

    def environment(self):
        libraries = f"{self.tree}/usr/lib/postfix:{self.tree}/usr/lib/x86_64-linux-gnu:{self.tree}/usr/lib/aarch64-linux-gnu"
        return dict(os.environ, LD_LIBRARY_PATH=libraries, PATH=f"{self.commands}:{os.environ['PATH']}")

    def main_cf(self):
        return {**super().main_cf(), "shlib_directory": self.daemons.parent, "sendmail_path": self.commands / "sendmail",
                "import_environment": "MAIL_CONFIG LD_LIBRARY_PATH", "export_environment": "LD_LIBRARY_PATH"}

    def master_cf(self):
        rows = [row for row in MASTER.format(smtp=f"127.0.0.1:{self.port}", smtpd_limit="150").splitlines() if "resolver" not in row]
        rows += ["rewrite unix - - n - - trivial-rewrite", "anvil unix - - n - 1 anvil", "scache unix - - n - 1 scache",
                 "tlsmgr unix - - n 1000? 1 tlsmgr", "verify unix - - n - 1 verify", "flush unix n - n 1000? 0 flush"]
        return "\n".join(rows) + "\n"


def unpack_postfix():
    """The Debian package, downloaded and unpacked beside the build; its accounts are made if missing."""
    tree = BUILD / "peers/postfix"
    if not (tree / "usr/sbin/postfix").exists():
        tree.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", "-qq", "postfix", "libnsl2"], cwd=tree, check=True)
        for package in tree.glob("*.deb"):
            subprocess.run(["dpkg", "-x", package, tree], check=True)
        for name in ("main.cf.proto", "master.cf.proto"):
            source = tree / "usr/share/postfix" / name.replace("proto", "dist")
            if source.exists():
                shutil.copy(source, tree / "etc/postfix" / name)
    for group in ("postfix", "postdrop"):
        subprocess.run(["groupadd", "-f", "-r", group], check=True)
    if subprocess.run(["id", "postfix"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode:
        subprocess.run(["useradd", "-r", "-g", "postfix", "-d", "/nonexistent", "-s", "/usr/sbin/nologin", "postfix"], check=True)
    return tree


def measure(name, rounds, seconds, scratch):
    systems = [Postfix(WORKS[name], scratch), Postroad(WORKS[name], scratch)]
    results = {one.name: [] for one in systems}
    started = []
    try:
        for one in systems:
            one.start()
            started.append(one)
        guess = {}
        for one in systems:                 # warm up, and learn how many messages fill a round
            guess[one.name] = max(int(one.round(max(one.sessions * 10, 100))["arrived"] * seconds), one.sessions * 5)
        for number in range(rounds):
            for one in systems if number % 2 == 0 else reversed(systems):
                results[one.name].append(one.round(guess[one.name]))
    finally:
        for one in started:
            one.stop()
    return results


def median(rows, key):
    return statistics.median(row[key] for row in rows)


def table(name, results):
    print(f"\n{name}: {WORKS[name][0]}")
    print(f"  {'':10} {'accepted/s':>11} {'arrived/s (min-max)':>24} {'CPU ms/msg':>11} {'p50/p99 ms':>13}  {'rate x':>7} {'CPU /':>6}")
    base = results["postfix"]
    for system, rows in results.items():
        rate = statistics.median(r["arrived"] / b["arrived"] for r, b in zip(rows, base))
        cpu = statistics.median(b["cpu_ms"] / r["cpu_ms"] for r, b in zip(rows, base))
        spread = f"{median(rows, 'arrived'):.0f} ({min(r['arrived'] for r in rows):.0f}-{max(r['arrived'] for r in rows):.0f})"
        latency = f"{median(rows, 'p50_ms'):.1f}/{median(rows, 'p99_ms'):.1f}"
        failed = sum(r["failed"] for r in rows)
        print(f"  {system:10} {median(rows, 'accepted'):11.0f} {spread:>24} {median(rows, 'cpu_ms'):11.3f} {latency:>13}"
              f"  {rate:7.2f} {cpu:6.2f}" + (f"  {failed} FAILED" if failed else ""), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--secs", type=float, default=2)
    parser.add_argument("--json", type=Path, default=BUILD / "bench.json")
    parser.add_argument("works", nargs="*", default=["accept20", "relay1", "relay20", "maildir20"], metavar="WORK",
                        help=" ".join(WORKS))
    options = parser.parse_args()
    Postfix.tree = unpack_postfix()
    everything = {}
    with tempfile.TemporaryDirectory(prefix="postroad-bench-") as scratch:
        os.chmod(scratch, 0o755)
        for name in options.works:
            everything[name] = measure(name, options.rounds, options.secs, scratch)
            table(name, everything[name])
    options.json.write_text(json.dumps(everything, indent=1))


if __name__ == "__main__":
    main()
