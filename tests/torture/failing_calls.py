# SPDX-License-Identifier: ISC
"""The N-th call of one kind in one program fails, for N = 1, 2, ... until none fails any more: SQLite's way."""

import contextlib
import errno
import os
import random
import signal
import time

from calls import Calls
from experiment import experiment
from kills import IN_FLIGHT, summary
from scene import wait_until
from wide import SERVICES, WideScene

PROGRAMS = ["smtpd", "cleanup", "qmgr", "smtp", "lmtp", "bounce", "virtual", "local", "pipe", "pickup", "proxymap", "resolver", "error", "discard",
            "showq", "postlogd", "postdrop", "sendmail", "postqueue", "postsuper", "master", *SERVICES]
DISK = [errno.EIO, errno.ENOSPC, errno.EDQUOT]
ERRORS = {"write": DISK, "writev": DISK, "pwrite": DISK, "pwritev": DISK, "fsync": [errno.EIO], "fdatasync": [errno.EIO], "ftruncate": [errno.EIO],
          "openat": [errno.EMFILE, errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ENFILE], "renameat": [errno.EIO, errno.ENOSPC], "renameat2": [errno.EIO, errno.ENOSPC],
          "linkat": [errno.EIO, errno.EMLINK], "unlinkat": [errno.EIO, errno.ENOSPC], "unlink": [errno.EIO], "utimensat": [errno.EIO],
          "mkdirat": [errno.ENOSPC, errno.EDQUOT], "read": [errno.EIO], "pread": [errno.EIO], "flock": [errno.ENOLCK], "close": [errno.EIO, errno.EDQUOT], "fchmod": [errno.EIO, errno.EPERM],
          "sendmsg": [errno.ENOBUFS, errno.ENOMEM], "recvmsg": [errno.ECONNRESET, errno.ENOMEM], "recv": [errno.ECONNRESET],
          "socket": [errno.EMFILE, errno.ENOBUFS], "socketpair": [errno.EMFILE], "pipe2": [errno.EMFILE], "dup3": [errno.EMFILE], "bind": [errno.EADDRINUSE],
          "listen": [errno.EADDRINUSE], "connect": [errno.EAGAIN, errno.ECONNREFUSED], "accept4": [errno.EMFILE, errno.ECONNABORTED],
          "epoll_ctl": [errno.ENOMEM, errno.ENOSPC], "eventfd": [errno.EMFILE], "fork": [errno.EAGAIN], "posix_spawn": [errno.EAGAIN],
          "pthread_create": [errno.EAGAIN], "setresuid": [errno.EAGAIN], "malloc": [errno.ENOMEM], "posix_fallocate": [errno.ENOSPC, errno.EDQUOT],
          "fallocate": [errno.ENOSPC]}
# What runs when somebody calls it, and how it is called here; without words the load calls it.
COMMANDS = {"postdrop": None, "sendmail": None, "postqueue": ["-p"], "postsuper": ["-r", "ALL"]}
# Unlinking failed after the message was delivered, or the record of it could not be written: it is delivered again, by a failure.
AGAIN = 2 * IN_FLIGHT


def fresh(scene, program):
    """A process that counts its calls from its first one: starting anew is itself what is to be tried."""
    if program not in COMMANDS and program != "master":
        scene.mail.kill(program)


def occupy(scene, program):
    """What the load alone does not let the program do."""
    if COMMANDS.get(program):
        scene.mail.command(program, *COMMANDS[program], check=False)
    elif program == "proxywrite":
        scene.write_down()
    elif program == "showq":
        scene.mail.command("postqueue", "-p", check=False)
    elif program == "master":
        with contextlib.suppress(OSError, IndexError):      # it dies of the call that fails: at any moment
            scene.mail.kill(scene.dice.choice(["smtp", "cleanup", "qmgr", "virtual"]))
            os.kill(scene.mail.master_pid(), signal.SIGHUP)


def is_there(scene, program):
    return program in COMMANDS or (master_lives(scene) and (program == "master" or bool(scene.mail.pids(program))))


def wait_for_failure(scene, calls, program):
    """Until the call has failed, or the program has worked for a while without coming to it. One that died at its start rests before the next."""
    end, since, goal = time.monotonic() + 8, None, 0
    while not calls.has_failed() and time.monotonic() < end:
        if not is_there(scene, program):
            since = None
        elif since is None:
            since, goal = time.monotonic(), len(scene.ledger.promised) + 10
        elif time.monotonic() > since + 0.5 and len(scene.ledger.promised) >= goal:
            break
        if master_lives(scene):
            occupy(scene, program)
        time.sleep(0.01)
    return calls.has_failed()


def one_failure(scene, calls, program, call, number, dice, errors=None):
    """Whether the call failed before some more mail went through. Whatever it broke, mail must flow again."""
    calls.fail(program, call, dice.choice(errors or ERRORS[call]), number)
    fresh(scene, program)
    failed = wait_for_failure(scene, calls, program)
    calls.withdraw()
    if program == "master":
        scene.mail.command("postroad", "-c", scene.mail.etc, "reload", check=False)     # it answers, or it is dead
        if not master_lives(scene):
            start_again(scene)
    scene.wait_for_promises(1, 90)
    return failed


def failing_start(scene, calls, call, number, dice):
    """The same for a master that starts: it comes up, or says why not and leaves nobody behind."""
    scene.mail.stop()
    calls.fail("master", call, dice.choice(ERRORS[call]), number)
    with contextlib.suppress(AssertionError):
        scene.mail.start()
    failed = calls.has_failed()
    calls.withdraw()
    if not scene.mail.running or not master_lives(scene):
        start_again(scene)
    scene.wait_for_promises(1, 90)
    return failed


def start_again(scene):
    """There is no master, or one that could not tell that it has started."""
    scene.mail.running = master_lives(scene)
    scene.mail.stop()
    wait_until(lambda: not scene.processes(), 60, lambda: f"the end of the orphans\n{scene.mail.log_tail()}")
    scene.mail.start()


def master_lives(scene):
    try:
        os.readlink(f"/proc/{scene.mail.master_pid()}/exe")
        return True
    except (OSError, IndexError):       # IndexError: it died before it wrote its number
        return False


def in_scene(seed, plan, pause=0.01):
    """plan(scene, calls, dice) makes failures and returns how many there were. pause: between two messages of a client."""
    with WideScene(seed, environment={"LD_PRELOAD": "", "TORTURE_CALLS": "", "ASAN_OPTIONS": ""}) as scene:
        calls = Calls(scene.mail.root / "calls")
        scene.mail.environment.update(calls.environment())
        scene.mail.start()
        scene.load(smtp=2, sendmail=1, pause=pause)
        scene.wait_for_promises(10)
        failures = plan(scene, calls, random.Random(f"{seed} failures"))
        scene.end_load()
        extra = scene.settle(duplicates=failures * AGAIN, torn=failures, timeout=150)
        return f"{failures} failures, {summary(scene, extra)}"


def some_that_fail(rounds, one):
    """So many orders, and more where hardly one has met a call: how many did."""
    failures = given = 0
    while given < rounds or failures <= rounds // 8:
        assert given < 4 * rounds, f"only {failures} of {given} orders met a call"
        failures += one()
        given += 1
    return failures


@experiment("failing-calls", rounds=200, short=12)
def failing_calls(seed, rounds):
    """a random call of a random program fails"""
    def plan(scene, calls, dice):
        return some_that_fail(rounds, lambda: one_failure(scene, calls, dice.choice(PROGRAMS), dice.choice(list(ERRORS)), int(dice.expovariate(0.2)) + 1, dice))
    return in_scene(seed, plan)


def numbers(rounds):
    """1, 2, 3, ... up to `rounds`, and then by ever longer steps: a process makes some ten thousand calls before it has all that it needs."""
    number = 1
    while True:
        yield number
        number += max(1, (number - rounds) // 2 + 1)


DEATH = 0       # instead of an error


@experiment("killed-at-call", rounds=200)
def killed_at_call(seed, rounds):
    """a random program dies at a random call of its own"""
    def plan(scene, calls, dice):
        return some_that_fail(rounds, lambda: one_failure(scene, calls, dice.choice(PROGRAMS), dice.choice(list(ERRORS)), int(dice.expovariate(0.1)) + 1, dice,
                                                          [DEATH]))
    return in_scene(seed, plan)


def every_call_of(what, seed, rounds, one, pause=0.01):
    """For each kind of call the first, the second, ... until the N-th does not come any more. one(scene, calls, call, number, dice)."""
    def plan(scene, calls, dice):
        failed = {}
        for call in ERRORS:
            scene.let_through()
            twice = sum(scene.arrivals().repeated().values())
            for number in numbers(rounds):
                # twice: the load is random, and may have had nothing for the program just then
                if not one(scene, calls, call, number, dice) and not one(scene, calls, call, number, dice):
                    break
                failed[call] = failed.get(call, 0) + 1
            if call in failed:
                print(f"      {what}: {call} {failed[call]}", flush=True)
            # by kind: many failures that harm nobody would excuse what one of another kind does
            twice = sum(scene.arrivals().repeated().values()) - twice
            assert twice <= (failed.get(call, 0) + 2) * AGAIN, f"seed {seed}: {what}: {call} failed {failed.get(call, 0)} times: {twice} duplicates"
        assert "malloc" in failed, f"{what} was not met: {failed}"
        return sum(failed.values())
    return in_scene(seed, plan, pause)


def enter(program):
    def every_call(seed, rounds):
        def one(scene, calls, call, number, dice):
            return one_failure(scene, calls, program, call, number, dice)
        return every_call_of(program, seed, rounds, one)
    every_call.__doc__ = f"each call of {program} fails, the first, the second, ... of each kind"
    experiment(f"nth-call-{program}", rounds=20)(every_call)


for name in PROGRAMS:
    enter(name)


@experiment("killed-at-nth-call", rounds=6)
def killed_at_nth_call(seed, rounds):
    """who takes in mail dies at its first, second, ... call of each kind"""
    def plan(scene, calls, dice):
        kills = 0
        for program in ("sendmail", "postdrop", "pickup", "smtpd", "cleanup", "bounce"):
            for call in ERRORS:
                for number in range(1, rounds + 1):
                    if not one_failure(scene, calls, program, call, number, dice, [DEATH]):
                        break
                    kills += 1
        return kills
    return in_scene(seed, plan)


@experiment("nth-call-start", rounds=20)
def nth_call_start(seed, rounds):
    """each call of a master that starts fails, the first, the second, ... of each kind"""
    return every_call_of("master at its start", seed, rounds, failing_start, pause=0.3)
