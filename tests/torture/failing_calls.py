# SPDX-License-Identifier: ISC
"""The N-th call of one kind in one program fails, for N = 1, 2, ... until none fails any more: SQLite's way."""

import errno
import os
import random
import signal
import time

from calls import Calls
from experiment import experiment
from kills import IN_FLIGHT, summary
from scene import Scene, wait_until

PROGRAMS = ["smtpd", "cleanup", "qmgr", "smtp", "bounce", "virtual", "local", "pickup", "proxymap", "resolver", "error", "showq", "postdrop",
            "sendmail", "master"]
DISK = [errno.EIO, errno.ENOSPC, errno.EDQUOT]
ERRORS = {"write": DISK, "writev": DISK, "pwrite": DISK, "pwritev": DISK, "fsync": [errno.EIO], "fdatasync": [errno.EIO], "ftruncate": [errno.EIO],
          "openat": [errno.EMFILE, errno.ENOSPC, errno.EIO, errno.ENFILE], "renameat": [errno.EIO, errno.ENOSPC], "renameat2": [errno.EIO, errno.ENOSPC],
          "linkat": [errno.EIO, errno.EMLINK], "unlinkat": [errno.EIO, errno.ENOSPC], "utimensat": [errno.EIO], "mkdirat": [errno.ENOSPC],
          "read": [errno.EIO], "pread": [errno.EIO], "sendmsg": [errno.ENOBUFS, errno.EPIPE], "socket": [errno.EMFILE, errno.ENOBUFS],
          "connect": [errno.EAGAIN, errno.ECONNREFUSED], "accept4": [errno.EMFILE, errno.ECONNABORTED], "fork": [errno.EAGAIN],
          "malloc": [errno.ENOMEM], "posix_fallocate": [errno.ENOSPC], "fallocate": [errno.ENOSPC]}
COMMANDS = {"postdrop", "sendmail"}
# Unlinking failed after the message was delivered, or the record of it could not be written: it is delivered again.
AGAIN = 3 * IN_FLIGHT


def fresh(scene, program):
    """A process that counts its calls from its first one. Starting anew is itself what is to be tried."""
    if program in COMMANDS or program == "master":
        return
    for pid in scene.mail.pids(program):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def one_failure(scene, calls, program, call, number, dice):
    """Whether the call failed before some more mail went through. Whatever it broke, mail must flow again."""
    calls.fail(program, call, dice.choice(ERRORS[call]), number)
    fresh(scene, program)
    goal = len(scene.ledger.promised) + 6
    end = time.monotonic() + 3
    while not calls.has_failed(program, call) and (len(scene.ledger.promised) < goal or time.monotonic() < end - 2.5) and time.monotonic() < end:
        time.sleep(0.01)
    failed = calls.has_failed(program, call)
    calls.withdraw(program, call)
    if program == "master" and not master_lives(scene):
        scene.mail.running = False
        wait_until(lambda: not scene.processes(), 60, lambda: f"the end of the orphans\n{scene.mail.log_tail()}")
        scene.mail.start()
    scene.wait_for_promises(1, 90)
    return failed


def master_lives(scene):
    try:
        scene.mail.pids("qmgr")
        return True
    except OSError:
        return False


def in_scene(seed, plan):
    """plan(scene, calls, dice) makes failures and returns how many there were."""
    with Scene(seed, environment={"LD_PRELOAD": "", "TORTURE_CALLS": ""}) as scene:
        calls = Calls(scene.mail.root / "calls")
        scene.mail.environment.update(calls.environment())
        scene.mail.start()
        scene.load(smtp=2, sendmail=1, pause=0.01)
        scene.wait_for_promises(10)
        failures = plan(scene, calls, random.Random(f"{seed} failures"))
        scene.end_load()
        extra = scene.settle(duplicates=failures * AGAIN, torn=failures, timeout=150)
        return f"{failures} failures, {summary(scene, extra)}"


@experiment("failing-calls", rounds=200, short=12)
def failing_calls(seed, rounds):
    """a random call of a random program fails"""
    def plan(scene, calls, dice):
        failures = 0
        for _ in range(rounds):
            failures += one_failure(scene, calls, dice.choice(PROGRAMS), dice.choice(list(ERRORS)), int(dice.expovariate(0.2)) + 1, dice)
        assert failures > rounds // 8, f"only {failures} of {rounds} orders met a call"
        return failures
    return in_scene(seed, plan)


def every_call_of(program, seed, rounds):
    """For each kind of call N = 1, 2, ... up to `rounds` or until the N-th does not come any more."""
    def plan(scene, calls, dice):
        failures = 0
        for call in ERRORS:
            for number in range(1, rounds + 1):
                if not one_failure(scene, calls, program, call, number, dice):
                    break
                failures += 1
        return failures
    return in_scene(seed, plan)


def enter(program):
    def every_call(seed, rounds):
        return every_call_of(program, seed, rounds)
    every_call.__doc__ = f"each call of {program} fails, the first, the second, ... of each kind"
    experiment(f"nth-call-{program}", rounds=60)(every_call)


for name in PROGRAMS:
    enter(name)
