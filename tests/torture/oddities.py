# SPDX-License-Identifier: ISC
"""Damaged files, wrong clocks, peers that stand still or talk nonsense, reload storms, a log that nobody takes."""

import contextlib
import os
import signal
import socket
import time

from calls import Calls
from experiment import experiment
from kills import IN_FLIGHT, KILLABLE, summary
from scene import BOX, LATER, RELAY, Scene, wait_until
from sink import Sink
from wide import WideScene

LONG_AGO = 1_500_000_000


# ---- damage ----

def truncate(dice, path):
    os.truncate(path, dice.randrange(path.stat().st_size))
    return True


def flip_bits(dice, path):
    content = bytearray(path.read_bytes())
    for _ in range(dice.choice([1, 1, 1, 5, 100])):
        content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
    path.write_bytes(content)
    return True


def overwrite(dice, path):
    with open(path, "r+b") as file:
        file.seek(dice.randrange(path.stat().st_size))
        file.write(dice.choice([b"\0", b"\xff", b"9"]) * dice.randrange(1, 3000))
    return True


def link_elsewhere(dice, path):
    """As a power cut on btrfs can leave it: the message stays whole, and must arrive once."""
    incoming = path.parents[len(path.parents) - 1 - path.parts.index("queue")] / "incoming"
    if path.parent != incoming:
        os.link(path, incoming / path.name)
    return False


def age(path):
    """Nobody is writing to it any more. (In deferred the time is that of the next attempt.)"""
    os.utime(path, (LONG_AGO, LONG_AGO))


def in_corrupt(scene, number):
    """Is what was damaged kept for a person to look at?"""
    mark, queue_id = b"X-Torture: %d\n" % number, scene.ledger.promised[number]
    return any(path.name == queue_id or mark in path.read_bytes() for path in (scene.mail.queue / "corrupt").iterdir())


def settle_damaged(scene, damaged, duplicates=0):
    """Undamaged messages arrive; each damaged one arrives whole, or is set aside for a person, or is not touched."""
    whole = {(number, to) for number, to in scene.ledger.promises() if number not in damaged}
    extra = scene.settle(whole, duplicates=duplicates, corrupt=10 ** 9)
    done = {number for number, _ in scene.arrivals().done()}
    in_place = {path.name for path in scene.mail.queue_files()}
    gone = [number for number in damaged if number not in done and not in_corrupt(scene, number) and scene.ledger.promised[number] not in in_place]
    assert not gone, f"seed {scene.seed}: nothing is left of damaged messages {gone}\n{scene.mail.log_tail()}"
    return extra


@experiment("damaged-files", rounds=20, short=1)
def damaged_files(seed, rounds):
    """files of a stopped queue are truncated, flipped, overwritten, linked twice"""
    words = []
    for number in range(rounds):
        with Scene(f"{seed} {number}", routes=[[LATER]]) as scene:
            scene.mail.start()
            scene.load(smtp=2, sendmail=0)
            scene.wait_for_promises(60)
            scene.end_load()
            scene.mail.stop()
            damaged = set()
            by_id = {queue_id: n for n, queue_id in scene.ledger.promised.items()}
            for path in scene.mail.queue_files():
                if scene.dice.random() < 0.6:
                    if scene.dice.choice([truncate, flip_bits, flip_bits, overwrite, link_elsewhere])(scene.dice, path):
                        damaged.add(by_id[path.name])
                    age(path)
            scene.mail.start()
            extra = settle_damaged(scene, damaged)
            set_aside = len(list((scene.mail.queue / "corrupt").iterdir()))
            words.append(f"{len(damaged)} damaged, {set_aside} set aside, {extra} duplicates")
    return words[-1]


def numbers_at(content, position, length):
    """Whose bytes these are: the messages whose text lies in the same stretch of the segment, and its neighbours."""
    found = set()
    start = content.rfind(b"X-Torture: ", 0, position)
    for at in (start, content.find(b"X-Torture: ", position)):
        while 0 <= at <= position + length + 70_000:
            word = content[at + 11:at + 30].split(b"\n")[0]
            if word.isdigit():
                found.add(int(word))
            if at > position + length:
                break
            at = content.find(b"X-Torture: ", at + 1)
    return found


@experiment("damaged-segments", rounds=20, short=1)
def damaged_segments(seed, rounds):
    """segments of the intake log are damaged while everybody is dead: what was not hit arrives"""
    words = []
    for number in range(rounds):
        with Scene(f"{seed} {number}", routes=[[RELAY], [BOX], [LATER]]) as scene:
            scene.mail.start()
            scene.load(smtp=3, sendmail=0)
            scene.wait_for_promises(scene.dice.randrange(40, 150))
            scene.mail.kill_everything()
            scene.end_load()
            damaged, hits = set(), 0
            for path in sorted((scene.mail.queue / "intake").glob("log-*")):
                content = bytearray(path.read_bytes())
                used = len(content.rstrip(b"\0"))
                for _ in range(scene.dice.randrange(0, 4)):
                    if used == 0:
                        break
                    position, length = scene.dice.randrange(used), scene.dice.choice([1, 1, 100, 3000])
                    damaged |= numbers_at(bytes(content), position, length)
                    for at in range(position, min(position + length, used)):
                        content[at] ^= scene.dice.randrange(1, 256)
                    hits += 1
                path.write_bytes(content)
            damaged &= set(scene.ledger.promised)
            scene.mail.start()
            whole = {(n, to) for n, to in scene.ledger.promises() if n not in damaged}
            extra = scene.settle(whole, duplicates=IN_FLIGHT, corrupt=10 ** 9)
            done = {n for n, _ in scene.arrivals().done()}
            gone = [n for n in damaged if n not in done and not in_corrupt(scene, n)]
            assert len(gone) <= hits, f"seed {scene.seed}: {hits} places were damaged, and {len(gone)} messages are gone: {gone}"
            words.append(f"{hits} places damaged, {len(damaged)} messages near them, {len(gone)} of them gone, {extra} duplicates")
    return words[-1]


# ---- clocks ----

@experiment("clock-steps", rounds=30, short=4)
def clock_steps(seed, rounds):
    """the wall clock jumps by hours and days, and back to 1970"""
    with Scene(seed, environment={"LD_PRELOAD": "", "TORTURE_CALLS": ""}) as scene:
        calls = Calls(scene.mail.root / "calls")
        scene.mail.environment.update(calls.environment())
        scene.mail.start()
        scene.load(pause=0.005)
        for _ in range(rounds):
            calls.step_clock(scene.dice.choice([0, 3600, -3600, 86400, -86400, 60, -60, 100 - int(time.time())]))
            scene.wait_for_promises(scene.dice.randrange(3, 30), 90)
        calls.step_clock(0)
        scene.end_load()
        return summary(scene, scene.settle(timeout=120))


@experiment("clock-steps-of-a-backlog", rounds=12, short=1)
def clock_steps_of_a_backlog(seed, rounds):
    """the clock jumps while mail waits for its next attempt: that comes as soon as ever, unasked, and nothing is returned"""
    with Scene(seed, routes=[[LATER]], environment={"LD_PRELOAD": "", "TORTURE_CALLS": ""}) as scene:
        calls = Calls(scene.mail.root / "calls")
        scene.mail.environment.update(calls.environment())
        scene.mail.start()
        for _ in range(rounds):
            scene.load(smtp=2, sendmail=0)
            scene.wait_for_promises(scene.dice.randrange(5, 40))
            scene.end_load()
            if scene.dice.random() < 0.5:           # else some of it is still on its way there
                scene.wait_until_all_is_deferred()
            calls.step_clock(scene.dice.choice([0, 3600, -3600, 86400, -86400, 100, -100]))
            with Sink(address="127.0.0.6", port=scene.closed_port) as sink:
                scene.late.append(sink)
                wait_until(lambda: not scene.mail.queue_list(), 30, lambda: f"the backlog's delivery\n{scene.mail.log_tail()}", pause=0.1)
        extra = scene.settle()
        assert not scene.arrivals().returned, f"seed {seed}: returned: {scene.arrivals().returned}\n{scene.mail.log_tail()}"
        return summary(scene, extra)


# ---- peers ----

@contextlib.contextmanager
def stopped(pids):
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


@experiment("stopped-peers", rounds=60, short=3)
def stopped_peers(seed, rounds):
    """a daemon stands still for a while, often longer than the others wait"""
    limits = {"ipc_timeout": "2s", "daemon_timeout": "2s", "resolver_timeout": "4s", "dns_resolver_time_limit": "3s"}
    with WideScene(seed, main=limits) as scene:
        scene.mail.start()
        scene.load(smtp=2, pause=0.02)
        scene.wait_for_promises(20)
        for number in range(rounds):
            program = scene.dice.choice(KILLABLE + ["postlogd", "showq", "master"])
            with stopped([scene.mail.master_pid()] if program == "master" else scene.mail.pids(program)):
                if program != "smtpd":
                    with scene.mail.client() as client:
                        assert client.ehlo()[0] == 250, f"no answer while {program} stands still"
                time.sleep(scene.dice.choice([0.2, 0.5, 3]))
            scene.wait_for_promises(2, 90)
        scene.end_load()
        extra = scene.settle(duplicates=rounds * IN_FLIGHT, torn=rounds, timeout=150)
        return summary(scene, extra)


GIVEN_UP = r"status=deferred \(delivery agent \w+ does not answer"


@experiment("stopped-agents", rounds=10)
def stopped_agents(seed, rounds):
    """an agent stands still, for less or for more than the queue manager's patience: only what it was given up with may come twice"""
    with Scene(seed, routes=[[RELAY], [BOX], [RELAY, BOX]], main={"ipc_timeout": "2s"}) as scene:
        given_up = lambda: len(scene.mail.log_lines(GIVEN_UP))
        scene.mail.start()
        scene.load(smtp=2, pause=0.01)
        scene.wait_for_promises(20)
        for number in range(rounds):
            before, promised = given_up(), len(scene.ledger.promised)
            with stopped(scene.mail.pids(scene.dice.choice(["smtp", "virtual"]))):
                if number % 2 == 0:
                    wait_until(lambda: given_up() > before, 60, lambda: f"the end of patience\n{scene.mail.log_tail()}", pause=0.1)
                else:
                    time.sleep(scene.dice.uniform(0.1, 4))
                wait_until(lambda: len(scene.ledger.promised) > promised, 30, lambda: f"mail is taken meanwhile\n{scene.mail.log_tail()}")
            scene.wait_for_promises(5, 90)
        scene.end_load()
        extra = scene.settle(duplicates=given_up())
        return f"{given_up()} deliveries given up, {summary(scene, extra)}"


def nonsense(dice):
    size = dice.choice([1, 4, 100, 5000, 200_000])
    kind = dice.randrange(4)
    if kind == 0:
        return dice.randbytes(size)
    if kind == 1:
        return b"\xff\xff\xff\xff" + dice.randbytes(size)
    if kind == 2:
        return size.to_bytes(4, "little") + dice.randbytes(size // 2)
    return b"\0" * size


@experiment("garbage", rounds=20, short=1)
def garbage(seed, rounds):
    """every socket in public/ and private/ is fed with nonsense, or connected to and left alone"""
    with WideScene(seed) as scene:
        scene.mail.start()
        scene.load()
        scene.wait_for_promises(20)
        kept = []
        for _ in range(rounds):
            for path in [*(scene.mail.queue / "public").iterdir(), *(scene.mail.queue / "private").iterdir()]:
                if not path.is_socket():
                    continue
                one = socket.socket(socket.AF_UNIX)
                one.settimeout(0.2)
                with contextlib.suppress(OSError):
                    one.connect(str(path))
                    if scene.dice.random() < 0.8:
                        one.sendall(nonsense(scene.dice))
                kept.append(one)
                if len(kept) > 40:
                    kept.pop(scene.dice.randrange(len(kept))).close()
            scene.wait_for_promises(3, 90)
        for one in kept:
            one.close()
        scene.end_load()
        extra = scene.settle(duplicates=IN_FLIGHT)
        return summary(scene, extra)


@experiment("reload-storm", rounds=300, short=6)
def reload_storm(seed, rounds):
    """reload after reload under load and with TLS sessions open: nothing lost, nothing twice"""
    with WideScene(seed) as scene:
        scene.mail.start()
        scene.load()
        for _ in range(rounds):
            scene.mail.reload()
            scene.wait_for_promises(1, 90)
        scene.end_load()
        return summary(scene, scene.settle())


@experiment("stuck-log", rounds=10, short=1)
def stuck_log(seed, rounds):
    """nobody takes log lines for a while: mail flows or waits, and none is lost"""
    with Scene(seed) as scene:
        scene.mail.start()
        scene.load(smtp=4)
        for _ in range(rounds):
            scene.wait_for_promises(20)
            with stopped(scene.mail.pids("postlogd")):
                time.sleep(scene.dice.choice([1, 3]))
            scene.wait_for_promises(5, 90)
        scene.end_load()
        return summary(scene, scene.settle(duplicates=rounds * IN_FLIGHT))
