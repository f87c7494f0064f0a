#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""What a relayed message costs each daemon, in system calls and in instructions: figures that hold still where times do not.

    tests/bench/cost.py [--calls] [--instructions] [--record]

System calls are counted by strace, instructions (user mode) by valgrind's cachegrind, each over some hundred messages of 4 KiB on a private
instance with one worker a service, and divided by their number. --record writes cost.json, against which tests/system/test_cost.py
compares; do so, and commit it with the change that made the difference.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests" / "system"))
from instance import BUILD, DAEMONS, Instance, free_port, wait_until  # noqa: E402
from systems import PROGRAMS, Sink  # noqa: E402

RECORDED = Path(__file__).with_name("cost.json")
SESSIONS = (1, 20)
ROAD = ("smtpd", "cleanup", "qmgr", "smtp", "postlogd")
SUMMARY = re.compile(r"^\s*(\d+)\s+(\w+)$")
TOTAL = re.compile(r"^summary: (\d+)", re.M)


class Relay:
    """with Relay() as relay: an instance that relays to a sink."""

    def __init__(self, **settings):
        subprocess.run(["make", "-s", "-C", BUILD, "tests/bench/source", "tests/bench/sink"], check=True, timeout=300, stdout=subprocess.DEVNULL)
        self.mail = Instance(main={"worker_processes": "1", "smtp_dns_support_level": "disabled", **settings})
        port = free_port()
        self.mail.main["relayhost"] = f"[127.0.0.1]:{port}"
        self.sink = Sink(port, self.mail.root / "sink")
        self.sent = 0

    def __enter__(self):
        self.mail.start()
        return self

    def __exit__(self, *error):
        self.sink.stop()
        self.mail.close()

    def send(self, sessions, messages):
        """Returns when they have arrived and the queue is empty."""
        subprocess.run(list(map(str, [PROGRAMS / "source", "-p", self.mail.smtp_port, "-s", sessions, "-n", messages])), check=True,
                       timeout=300, stdout=subprocess.DEVNULL)
        self.sent += messages
        wait_until(lambda: len(self.mail.log_lines(r"qmgr\[\d+\]: \w+: removed")) >= self.sent, 300, self.mail.log_tail)
        self.mail.wait_empty(60)


def count_calls(relay, sessions, messages):
    """{daemon: {call: how many per message}}"""
    scratch = Path(tempfile.mkdtemp(prefix="postroad-cost-"))
    tracers = []
    try:
        for daemon in ROAD:
            for pid in relay.mail.pids(daemon):
                output = scratch / f"{daemon}.{pid}"
                words = ["strace", "-f", "-c", "-U", "calls,name", "-o", output, "-p", pid]
                tracers.append((daemon, output, subprocess.Popen(list(map(str, words)), stderr=subprocess.PIPE, text=True)))
                assert "attached" in tracers[-1][2].stderr.readline()
        relay.send(sessions, messages)
        result = {}
        for daemon, output, tracer in tracers:
            tracer.send_signal(2)
            tracer.communicate(timeout=60)
            calls = result.setdefault(daemon, {})
            for line in output.read_text().splitlines():
                found = SUMMARY.match(line)
                if found and found.group(2) != "total":
                    calls[found.group(2)] = calls.get(found.group(2), 0) + int(found.group(1)) / messages
        return result
    finally:
        for _, _, tracer in tracers:
            if tracer.poll() is None:
                tracer.terminate()
                tracer.communicate()
        shutil.rmtree(scratch, ignore_errors=True)


def system_calls(messages=300):
    """{sessions: {daemon: {call: number}}}"""
    with Relay() as relay:
        relay.send(20, 40)                  # everybody is there, pools and caches are warm
        return {sessions: count_calls(relay, sessions, messages) for sessions in SESSIONS}


def counted_run(sessions, messages):
    """Instructions of each daemon from its start to its end."""
    scratch = Path(tempfile.mkdtemp(prefix="postroad-cost-"))
    scratch.chmod(0o777)
    daemons = scratch / "daemons"
    daemons.mkdir()
    for program in DAEMONS.iterdir():
        if program.name in ROAD:
            (daemons / program.name).write_text(
                "#!/bin/sh\n"
                f"exec valgrind -q --tool=cachegrind --cache-sim=no --branch-sim=no --vgdb=no --cachegrind-out-file={scratch}/{program.name}.%p"
                f" {program} \"$@\" 2>>{scratch}/valgrind.log\n")
            (daemons / program.name).chmod(0o755)
        else:
            (daemons / program.name).symlink_to(program)
    try:
        with Relay(daemon_directory=daemons) as relay:
            relay.send(1, 20)
            relay.send(sessions, messages)
        totals = {}
        for daemon in ROAD:
            totals[daemon] = sum(int(TOTAL.search(file.read_text()).group(1)) for file in scratch.glob(f"{daemon}.*"))
        return totals
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def instructions(messages=200):
    """{sessions: {daemon: number}}: the difference of two runs, so that start and end do not count."""
    result = {}
    few = counted_run(1, 20)
    for sessions in SESSIONS:
        many = counted_run(sessions, messages + 20)
        result[sessions] = {daemon: (many[daemon] - few[daemon]) // messages for daemon in ROAD}
    return result


def total_calls(of_daemons):
    return sum(sum(calls.values()) for calls in of_daemons.values())


def show(calls, counts):
    for sessions in SESSIONS:
        if calls:
            print(f"{sessions} sessions: {total_calls(calls[sessions]):.1f} system calls a message")
            for daemon, of in calls[sessions].items():
                rest = "  ".join(f"{name} {n:.2f}" for name, n in sorted(of.items(), key=lambda one: -one[1]) if n >= 0.01)
                print(f"  {daemon:10}{sum(of.values()):7.2f}  {rest}")
        if counts:
            print(f"{sessions} sessions: {sum(counts[sessions].values())} instructions a message: "
                  + ", ".join(f"{daemon} {n}" for daemon, n in counts[sessions].items()))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", action="store_true", help="count system calls only")
    parser.add_argument("--instructions", action="store_true", help="count instructions only")
    parser.add_argument("--record", action="store_true", help=f"write {RECORDED.name}")
    options = parser.parse_args()
    both = options.calls == options.instructions
    calls = system_calls() if options.calls or both else None
    counts = instructions() if options.instructions or both else None
    show(calls, counts)
    if options.record:
        recorded = json.loads(RECORDED.read_text()) if RECORDED.exists() else {}
        if calls:
            recorded["system calls"] = {str(n): round(total_calls(calls[n]), 1) for n in SESSIONS}
        if counts:
            recorded["instructions"] = {str(n): sum(counts[n].values()) for n in SESSIONS}
        RECORDED.write_text(json.dumps(recorded, indent=1) + "\n")


if __name__ == "__main__":
    os.umask(0o022)
    main()
