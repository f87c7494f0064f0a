# SPDX-License-Identifier: ISC
"""What a relayed message costs: system calls and instructions, beside the figures recorded in tests/bench/cost.json.

Where a change makes it dearer for a reason, or cheaper, record anew: tests/bench/cost.py --record
"""

import json
import os
import platform
import shutil
import subprocess
import sys

import pytest

from instance import SANITIZED, TOP

sys.path.insert(0, str(TOP / "tests/bench"))
import cost  # noqa: E402

# on a single processor who is woken runs later, and postlogd gets the lines one by one
MARGIN = 1.1 if len(os.sched_getaffinity(0)) > 1 else 1.2


def can_trace():
    """May this account trace its processes?"""
    if not shutil.which("strace"):
        return False
    one = subprocess.run(["strace", "-c", "-o", "/dev/null", "true"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return one.returncode == 0


def compare(what, measure):
    """Each daemon's least of some attempts: on a busy machine more gathers for one system call at 20 sessions, and less at one, now here and now there."""
    recorded = json.loads(cost.RECORDED.read_text())[what]
    least = {}
    for _ in range(5):
        for sessions, of_daemons in measure().items():
            before = least.setdefault(sessions, of_daemons)
            least[sessions] = {daemon: min(number, before[daemon]) for daemon, number in of_daemons.items()}
        if all(sum(of.values()) <= recorded[str(n)] * MARGIN for n, of in least.items()):
            return
    pytest.fail(f"{what} a message by sessions and daemon: {least}; recorded: {recorded}")


@pytest.mark.skipif(SANITIZED, reason="sanitizers add their own")
@pytest.mark.skipif(not can_trace(), reason="strace is missing or not permitted")
def test_a_message_takes_no_more_system_calls_than_recorded():
    compare("system calls", lambda: {n: {daemon: sum(calls.values()) for daemon, calls in of.items()} for n, of in cost.system_calls().items()})


@pytest.mark.skipif(SANITIZED, reason="sanitizers add their own")
@pytest.mark.skipif(not shutil.which("valgrind"), reason="valgrind is missing")
@pytest.mark.skipif(platform.machine() != "x86_64", reason="recorded on x86-64")
def test_a_message_takes_no_more_instructions_than_recorded():
    compare("instructions", cost.instructions)
