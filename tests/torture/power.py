# SPDX-License-Identifier: ISC
"""Power cuts: queue and mailboxes lie on disks of our own, and what those would hold after a cut is mounted, started from, and compared."""

import shutil
import tempfile
import time
from pathlib import Path

from calls import library
from disks import MKFS, SIZES, Disks, mounted_image, need_loop_devices, need_tool, run
from experiment import experiment
from kills import summary
from instance import PATIENCE
from scene import BOX, FILE, RELAY, Scene, wait_until

CUTS = 3                # during one load
ANY = 10 ** 9           # a power cut may repeat what the disk had not yet heard of


class Cut:
    """The disks, the promises and the next hop's messages at one instant. The promises are read before, the messages after it."""

    def __init__(self, scene, disks, seed, directory):
        self.directory, self.seed = directory, seed
        self.keep = scene.dice.choice([0, 0, 50, 100])
        self.required = scene.ledger.promises()
        self.words = disks.cut(seed, self.keep, directory)
        self.at_next_hop = len(scene.sink.messages)


def mount_both(scene, disks, kind):
    for name, place in {"queue": scene.mail.queue, "boxes": scene.boxes}.items():
        disks.mount(name, kind, place)
    scene.boxes.chmod(0o777)
    run("sync", "-f", scene.boxes)


def load_and_cut(scene, disks, kind, work, number):
    mount_both(scene, disks, kind)
    scene.mail.start()
    scene.load()
    cuts = []
    for i in range(CUTS):
        scene.wait_for_promises(scene.dice.randrange(5, 80))
        cuts.append(Cut(scene, disks, scene.dice.randrange(1 << 30), work / f"cut{number}-{i}"))
    scene.mail.kill_everything()
    scene.end_load()
    disks.unmount_all()
    return cuts


def recover(scene, kind, cut, duplicates=ANY):
    """A start from what the cut left; the number of duplicates. Fails when a promise was broken, or more came twice."""
    with mounted_image(kind, cut.directory / "queue", scene.mail.queue), mounted_image(kind, cut.directory / "boxes", scene.boxes):
        since = len(scene.sink.messages)
        scene.heard = lambda: scene.sink.messages[:cut.at_next_hop] + scene.sink.messages[since:]
        try:
            scene.mail.start()
            return scene.settle(cut.required, duplicates=duplicates, torn=ANY, corrupt=ANY)
        except AssertionError as error:
            raise AssertionError(f"cut with seed {cut.seed}, {cut.keep} % of the cache kept, {cut.words}: {error}") from None
        finally:
            scene.mail.stop()


def one_round(kind, seed, number, environment):
    work = Path(tempfile.mkdtemp(prefix="postroad-power-"))
    try:
        with Scene(f"{seed} {number}", environment=environment, torn_maildir=True, keep=environment is None) as scene:
            with Disks(work, queue=SIZES[kind], boxes=SIZES[kind]) as disks:
                try:
                    cuts = load_and_cut(scene, disks, kind, work, number)
                finally:
                    if scene.mail.running:
                        scene.mail.kill_everything()
            extra = sum(recover(scene, kind, cut) for cut in cuts)
            return summary(scene, extra)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def power(kind, seed, rounds, environment=None):
    need_loop_devices()
    need_tool(MKFS[kind][0])
    words = [one_round(kind, seed, number, environment) for number in range(rounds)]
    return f"{rounds * CUTS} cuts; the last load: {words[-1]}"


AT_REST = 3             # seconds after the last delivery: ledgers are synced once a second
DELIVERED = [[RELAY], [BOX], [RELAY, BOX], [FILE]]


def cut_at_rest(kind, seed):
    """What was recorded some seconds ago has been delivered, whatever the disk had not heard of by itself."""
    need_tool(MKFS[kind][0])
    work = Path(tempfile.mkdtemp(prefix="postroad-power-"))
    try:
        with Scene(seed, routes=DELIVERED, torn_maildir=True) as scene:
            with Disks(work, queue=SIZES[kind], boxes=SIZES[kind]) as disks:
                mount_both(scene, disks, kind)
                try:
                    scene.mail.start()
                    scene.load()
                    scene.wait_for_promises(scene.dice.randrange(20, 100))
                    scene.end_load()
                    wait_until(lambda: scene.ledger.promises() <= scene.arrivals().done() and not scene.mail.queue_list(), 60, "deliveries", pause=0.1)
                    time.sleep(AT_REST * PATIENCE)
                    cut = Cut(scene, disks, scene.dice.randrange(1 << 30), work / "cut")
                finally:
                    scene.mail.kill_everything()
                disks.unmount_all()
            return recover(scene, kind, cut, duplicates=0)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def proves_itself(kind, seed, rounds):
    """Without fsync the same cuts must lose mail: else the experiment shows nothing."""
    environment = {"LD_PRELOAD": str(library()), "TORTURE_NOSYNC": "1"}
    try:
        power(kind, seed, rounds, environment)
    except AssertionError as error:
        if "LOST" in str(error):
            return "mail was lost without fsync, as it must be"
        raise
    raise AssertionError(f"seed {seed}: {rounds * CUTS} power cuts without fsync lost nothing: the experiment does not test what it says")


@experiment("power-ext4", rounds=20, short=1)
def power_ext4(seed, rounds):
    """the power fails with queue and mailboxes on ext4"""
    return power("ext4", seed, rounds)


@experiment("power-xfs", rounds=20, short=1)
def power_xfs(seed, rounds):
    """the power fails with queue and mailboxes on xfs"""
    return power("xfs", seed, rounds)


@experiment("power-btrfs", rounds=20, short=1)
def power_btrfs(seed, rounds):
    """the power fails with queue and mailboxes on btrfs"""
    return power("btrfs", seed, rounds)


@experiment("power-at-rest", rounds=4)
def power_at_rest(seed, rounds):
    """the power fails some seconds after the last delivery, on ext4 and xfs: nothing comes twice"""
    need_loop_devices()
    for number in range(rounds):
        cut_at_rest(("ext4", "xfs")[number % 2], f"{seed} {number}")
    return f"{rounds} cuts, no duplicates"


@experiment("power-ext4-nosync", rounds=3, short=3)
def power_ext4_nosync(seed, rounds):
    """the same without fsync must lose mail"""
    return proves_itself("ext4", seed, rounds)


@experiment("power-xfs-nosync", rounds=3)
def power_xfs_nosync(seed, rounds):
    """the same without fsync must lose mail"""
    return proves_itself("xfs", seed, rounds)


@experiment("power-btrfs-nosync", rounds=3)
def power_btrfs_nosync(seed, rounds):
    """the same without fsync must lose mail"""
    return proves_itself("btrfs", seed, rounds)
