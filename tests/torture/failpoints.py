# SPDX-License-Identifier: ISC
"""The named places of a build with --enable-failpoints: a process dies at each of them while the others go on."""

import contextlib
import mmap
import os
import re
import signal
import struct
import threading
import time
from pathlib import Path

from experiment import Skip, experiment
from kills import IN_FLIGHT, summary
from scene import PATIENCE, processes_below, wait_until
from instance import BUILD, TOP
from wide import WideScene

RECORD = struct.Struct("48siiiI")                       # struct order of lib/base/failpoint.c
PLACE = re.compile(r'\b(?:FAILPOINT|FAILS_AT)\("([^"]+)"\)')
# What must happen besides load for a place to be reached.
RELOAD, REQUEUE = re.compile(r"^(qmgr\.handover|master\.reload)\."), re.compile(r"^queue\.requeue\.")
CHANGE = re.compile(r"^proxymap\.change$")


def places():
    """Every name in the sources."""
    found = set()
    for room in TOP.iterdir():          # what is built comes and goes while others run
        if room.is_dir() and "build" not in room.name and not room.name.startswith("."):
            for source in room.rglob("*.c"):
                found |= set(PLACE.findall(source.read_text(errors="replace")))
    return sorted(found)


class Orders:
    """The file of orders, as the daemons map it."""

    def __init__(self, path, names):
        self.at = {name: RECORD.size * number for number, name in enumerate(names)}
        path.write_bytes(b"".join(RECORD.pack(name.encode(), 0, 0, 0, 0) for name in names))
        path.chmod(0o666)
        self.file = open(path, "r+b")
        self.map = mmap.mmap(self.file.fileno(), 0)

    def give(self, name, action, wait=1, error=0):
        """Whoever reaches the place for the wait-th time from now: "K" dies, "S" stands still, "F" fails with the error."""
        struct.pack_into("ii", self.map, self.at[name] + 52, error, wait)
        struct.pack_into("i", self.map, self.at[name] + 48, ord(action))

    def is_pending(self, name):
        return struct.unpack_from("i", self.map, self.at[name] + 48)[0] != 0

    def withdraw(self, name):
        struct.pack_into("i", self.map, self.at[name] + 48, 0)

    def reached(self, name):
        return struct.unpack_from("I", self.map, self.at[name] + 60)[0]


def scene_with_orders(seed, names):
    if "WITH_FAILPOINTS 1" not in (BUILD / "config.h").read_text():
        raise Skip("the build has no failpoints: ../configure --enable-failpoints")
    # small segments: one is soon full, and the next is taken
    scene = WideScene(seed, main={"intake_segment_size": "1048576"}, environment={"POSTROAD_FAILPOINTS": ""})
    path = scene.mail.root / "failpoints"
    scene.mail.environment["POSTROAD_FAILPOINTS"] = str(path)
    return scene, Orders(path, names)


def revive(scene):
    """The supervisor was the one to die."""
    wait_until(lambda: not processes_below(scene.mail.root), 60, lambda: f"the end of the orphans\n{scene.mail.log_tail()}")
    scene.mail.running = False
    scene.mail.start()


def provoke(scene, orders, name):
    """Load runs; what does not come of it by itself is done here, until somebody obeyed."""
    deadline = time.monotonic() + 30 * PATIENCE
    while orders.is_pending(name) and time.monotonic() < deadline:
        if RELOAD.match(name):
            scene.mail.command("postroad", "-c", scene.mail.etc, "reload", check=False)
        if REQUEUE.match(name):
            scene.mail.command("postsuper", "-r", "ALL", check=False)
        if CHANGE.match(name):
            scene.write_down()
        end = time.monotonic() + 1
        while orders.is_pending(name) and time.monotonic() < end:
            time.sleep(0.01)
    obeyed = not orders.is_pending(name)
    orders.withdraw(name)
    return obeyed


@experiment("failpoints", rounds=10, short=1)
def failpoints(seed, rounds):
    """a process dies at every named place (--enable-failpoints)"""
    names = places()
    scene, orders = scene_with_orders(seed, names)
    with scene:
        scene.mail.start()
        scene.load(smtp=2, sendmail=1, pause=0.005)
        scene.wait_for_promises(5)
        missed = []
        for _ in range(rounds):
            for name in scene.dice.sample(names, len(names)):
                orders.give(name, "K", wait=scene.dice.randrange(1, 4) if rounds > 1 else 1)
                if not provoke(scene, orders, name):
                    missed.append(name)
                elif name.startswith("master."):
                    revive(scene)
                scene.wait_for_promises(1)
        scene.end_load()
        deaths = rounds * len(names)
        extra = scene.settle(duplicates=deaths * IN_FLIGHT, torn=deaths)
        assert not missed, f"seed {seed}: nobody came by {missed}\n{scene.mail.log_tail()}"
        return f"{deaths} deaths at {len(names)} places, {summary(scene, extra)}"


def set_going(scene, stop):
    """Whoever a place has stopped goes on a moment later."""
    while not stop.wait(0.05):
        for pid in scene.processes():
            with contextlib.suppress(OSError):
                if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T":
                    stop.wait(scene.dice.uniform(0, 1))
                    os.kill(pid, signal.SIGCONT)


@experiment("failpoints-stopped", rounds=3)
def failpoints_stopped(seed, rounds):
    """a process stands still for a moment at every named place: nobody gets anything twice (--enable-failpoints)"""
    names = places()
    scene, orders = scene_with_orders(seed, names)
    stop = threading.Event()
    with scene:
        scene.mail.start()
        thread = threading.Thread(target=set_going, args=(scene, stop), daemon=True)
        thread.start()
        scene.load(smtp=2, sendmail=1, pause=0.005)
        scene.wait_for_promises(5)
        missed = []
        for name in scene.dice.sample(names, len(names)) * rounds:
            orders.give(name, "S", wait=scene.dice.randrange(1, 4) if rounds > 1 else 1)
            if not provoke(scene, orders, name):
                missed.append(name)
            scene.wait_for_promises(1)
        scene.end_load()
        extra = scene.settle()
        stop.set()
        thread.join(30)
        assert not missed, f"seed {seed}: nobody came by {missed}\n{scene.mail.log_tail()}"
        return f"{rounds * len(names)} halts at {len(names)} places, {summary(scene, extra)}"
