# SPDX-License-Identifier: ISC
"""What a relayed message costs: system calls and instructions, beside the figures recorded in tests/bench/cost.json.

Where a change makes it dearer for a reason, or cheaper, record anew: tests/bench/cost.py --record
"""

import json
import platform
import shutil
import subprocess
import sys

import pytest

from instance import SANITIZED, TOP

sys.path.insert(0, str(TOP / "tests/bench"))
import cost  # noqa: E402

MARGIN = 1.1


def can_trace():
    """May this account trace its processes?"""
    if not shutil.which("strace"):
        return False
    one = subprocess.run(["strace", "-c", "-o", "/dev/null", "true"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return one.returncode == 0


def compare(what, measure):
    """The least of three attempts: on a busy machine less gathers for one system call, at 20 sessions."""
    recorded = json.loads(cost.RECORDED.read_text())[what]
    least = {}
    for _ in range(3):
        for sessions, number in measure().items():
            least[sessions] = min(number, least.get(sessions, number))
        if all(least[n] <= recorded[str(n)] * MARGIN for n in least):
            return
    pytest.fail(f"{what} a message by sessions: {least}; recorded: {recorded}")


@pytest.mark.skipif(SANITIZED, reason="sanitizers add their own")
@pytest.mark.skipif(not can_trace(), reason="strace is missing or not permitted")
def test_a_message_takes_no_more_system_calls_than_recorded():
    compare("system calls", lambda: {n: cost.total_calls(of) for n, of in cost.system_calls().items()})


@pytest.mark.skipif(SANITIZED, reason="sanitizers add their own")
@pytest.mark.skipif(not shutil.which("valgrind"), reason="valgrind is missing")
@pytest.mark.skipif(platform.machine() != "x86_64", reason="recorded on x86-64")
def test_a_message_takes_no_more_instructions_than_recorded():
    compare("instructions", lambda: {n: sum(of.values()) for n, of in cost.instructions().items()})
