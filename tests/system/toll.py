# SPDX-License-Identifier: ISC
"""What an attack costs: memory and descriptors of the daemons, and how long an innocent client waits meanwhile.

    with Toll(mail, "smtpd") as toll:
        attack()
    toll.check(most_mib=16)

The same processes must be there afterwards: nobody died and was replaced.
"""

import contextlib
import os
import re
import socket
import threading
import time
from pathlib import Path

from instance import PATIENCE, SANITIZED, processes_below, wait_until

LONG = os.environ.get("POSTROAD_HOSTILE") == "long"
MOST_WAIT = 5.0         # seconds that an innocent client may have to wait for an answer, on a machine that others load too


def kib(pid, field):
    """VmHWM, VmRSS of a process in KiB; 0 when it has gone."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(rf"{field}:\s+(\d+)", text)
    return int(found.group(1)) if found else 0


def descriptors(pid):
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return 0


def cpu_seconds(pid):
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def reset_peak(pid):
    """VmHWM begins again at what the process holds now."""
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/clear_refs").write_text("5")


class Innocent:
    """A well-behaved client in a thread: NOOP now and then in its own session, and sometimes a new session. Remembers the longest wait."""

    def __init__(self, address, port, source="127.0.0.77"):
        self.address, self.port, self.source = address, port, source
        self.longest, self.answers, self.trouble = 0.0, 0, None
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _connect(self):
        begin = time.monotonic()
        connection = socket.create_connection((self.address, self.port), timeout=60 * PATIENCE, source_address=(self.source, 0))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._expect(connection, b"220 ", begin)
        return connection

    def _expect(self, connection, start, begin):
        answer = b""
        while not answer.endswith(b"\n"):
            part = connection.recv(4096)
            if not part:
                break
            answer += part
        self.longest = max(self.longest, time.monotonic() - begin)
        assert answer.startswith(start), answer
        self.answers += 1

    def _ask(self, connection, line, start):
        begin = time.monotonic()
        connection.sendall(line)
        self._expect(connection, start, begin)

    def _run(self):
        try:
            while not self.ended.is_set():
                with self._connect() as connection:
                    for _ in range(40):         # fewer than smtpd_junk_command_limit
                        self._ask(connection, b"NOOP\r\n", b"250 ")
                        if self.ended.wait(0.02):
                            break
                    self._ask(connection, b"QUIT\r\n", b"221 ")
        except (OSError, AssertionError) as error:
            self.trouble = error

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *error):
        self.ended.set()
        self.thread.join(60 * PATIENCE)


class Toll:
    """innocent: a client of mail's SMTP port during the attack. programs: those that must survive; all are measured."""

    def __init__(self, mail, *programs, innocent=True):
        self.mail = mail
        self.programs = programs
        self.innocent = Innocent(mail.address, mail.smtp_port) if innocent else None

    def _pids(self):
        return {pid for program in self.programs for pid in self.mail.pids(program)}

    def __enter__(self):
        if self.innocent:
            self.innocent.__enter__()
            wait_until(lambda: self.innocent.answers > 3 or self.innocent.trouble, 30, "the innocent client is served")
        self.before = self._pids()
        self.held, self.open = {}, {}
        for pid in processes_below(self.mail.root):
            reset_peak(pid)
            self.held[pid] = kib(pid, "VmRSS")
            self.open[pid] = descriptors(pid)
        return self

    def __exit__(self, kind, *error):
        self.peaks = {pid: kib(pid, "VmHWM") for pid in processes_below(self.mail.root)}
        if self.innocent:
            self.innocent.__exit__()

    def name(self, pid):
        with contextlib.suppress(OSError):
            return Path(f"/proc/{pid}/comm").read_text().strip() + f"[{pid}]"
        return f"[{pid}]"

    def check(self, most_mib=16, left_mib=8, fds_left=8):
        """No process grew by more; what it took is given back, the descriptors too; nobody died; the innocent one did not wait long."""
        scale = 40 if SANITIZED else 1           # what was freed is kept in quarantine, up to 256 MiB
        tail = self.mail.log_tail
        gone = self.before - self._pids()
        assert not gone, f"died: {gone}\n{tail()}"
        for pid, peak in self.peaks.items():
            grown = (peak - self.held.get(pid, kib(pid, "VmRSS") if pid not in self.held else 0)) / 1024
            assert grown < most_mib * scale, f"{self.name(pid)} grew by {grown:.1f} MiB\n{tail(10)}"
        for pid in self.before:
            wait_until(lambda: descriptors(pid) <= self.open.get(pid, 0) + fds_left, 20,
                       lambda: f"{self.name(pid)}: {self.open.get(pid)} descriptors before, {descriptors(pid)} after")
            if not SANITIZED:
                wait_until(lambda: kib(pid, "VmRSS") - self.held.get(pid, 0) < left_mib * 1024, 20,
                           lambda: f"{self.name(pid)}: {self.held.get(pid)} KiB before, {kib(pid, 'VmRSS')} after")
        if self.innocent:
            assert self.innocent.trouble is None, f"{self.innocent.trouble}\n{tail()}"
            assert self.innocent.longest < MOST_WAIT * PATIENCE, f"an innocent client waited {self.innocent.longest:.2f} s"
        if os.environ.get("POSTROAD_SHOW_TOLL"):
            grown = {self.name(pid): (peak - self.held.get(pid, 0)) // 1024 for pid, peak in self.peaks.items() if pid in self.held}
            print("\ngrown, MiB:", {name: mib for name, mib in grown.items() if mib > 0},
                  f"longest wait {self.innocent.longest:.3f} s of {self.innocent.answers} answers" if self.innocent else "")
