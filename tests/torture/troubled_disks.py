# SPDX-License-Identifier: ISC
"""Disks that are full, out of inodes or over quota, that fail, turn read-only, or hold the mailboxes apart; processes out of descriptors."""

import contextlib
import ctypes
import os
import resource
import shutil
import struct
import tempfile
import threading
import time
from pathlib import Path

from disks import MEGABYTE, SIZES, Disks, mount, need_root, need_tool, run, small_file_system, unmount_for_good
from experiment import Skip, experiment
from kills import IN_FLIGHT, summary
from oddities import stopped
from scene import BOX, FILE, LATER, RELAY, Refused, Scene, wait_until
from sink import Sink

ROUTES = [[RELAY], [LATER], [LATER, BOX], [BOX], [FILE], [RELAY, BOX]]


@contextlib.contextmanager
def work_directory():
    work = Path(tempfile.mkdtemp(prefix="postroad-disk-"))
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def may_come_again(scene):
    """What was delivered, and could not be recorded or removed because there was no room, may come again after a restart: the log says so."""
    return IN_FLIGHT * len(scene.mail.log_lines("cannot record|cannot be removed|cannot remove|cannot write intake/done"))


class Filler(threading.Thread):
    """Takes the room that is left on a file system, bit by bit, and gives it back, again and again."""

    def __init__(self, scene, place, most_bytes):
        super().__init__(daemon=True)
        self.dice, self.place, self.most = scene.dice, place, most_bytes
        self.stop, self.full = threading.Event(), 0

    def run(self):
        path = self.place / "filler"
        while not self.stop.is_set():
            with contextlib.suppress(OSError), open(path, "ab", buffering=0) as file:
                for _ in range(self.most // 65536):
                    try:
                        file.write(b"\xff" * 65536)
                    except OSError:
                        self.full += 1
                        self.stop.wait(self.dice.uniform(0, 0.3))
                        break
                    if self.stop.is_set():
                        break
            with contextlib.suppress(OSError):
                path.unlink()
            self.stop.wait(self.dice.uniform(0, 0.2))


def run_short_of_room(scene, rounds, filler=None):
    """Load until refusals have come, in rounds; then room is made and all must arrive."""
    scene.mail.start()
    scene.load(smtp=2, sendmail=1)
    if filler:
        filler.start()
    for _ in range(rounds):
        refused = scene.ledger.refused
        wait_until(lambda: scene.ledger.refused >= refused + 15, 60, lambda: f"the disk to be full\n{scene.mail.log_tail()}")
        if filler:
            scene.wait_for_promises(3)
    scene.end_load()
    if filler:
        filler.stop.set()
        filler.join(30)


def until_full(seed, rounds, kind, size, *more):
    """The queue's file system is so small that deferred mail fills it."""
    with work_directory() as work, Scene(seed, routes=ROUTES) as scene:
        with small_file_system(kind, work, scene.mail.queue, size, *more):
            run_short_of_room(scene, rounds)
            extra = scene.settle(duplicates=may_come_again(scene))
            scene.mail.stop()
    return summary(scene, extra)


@experiment("disk-full", rounds=10, short=1)
def disk_full(seed, rounds):
    """the queue's file system is full, again and again"""
    with work_directory() as work, Scene(seed, routes=ROUTES) as scene:
        with small_file_system("ext4", work, scene.mail.queue, 24 * MEGABYTE):
            run_short_of_room(scene, rounds, Filler(scene, scene.mail.queue, 24 * MEGABYTE))
            extra = scene.settle(duplicates=may_come_again(scene))
            scene.mail.stop()
    return summary(scene, extra)


@experiment("disk-full-btrfs", rounds=5)
def disk_full_btrfs(seed, rounds):
    """the same on btrfs, where even an unlink may find no room"""
    with work_directory() as work, Scene(seed, routes=ROUTES) as scene:
        with small_file_system("btrfs", work, scene.mail.queue, 128 * MEGABYTE):
            run_short_of_room(scene, rounds, Filler(scene, scene.mail.queue, 128 * MEGABYTE))
            extra = scene.settle(duplicates=may_come_again(scene), timeout=180)
            scene.mail.stop()
    return summary(scene, extra)


@experiment("deferred-full", rounds=2)
def deferred_full(seed, rounds):
    """deferred mail fills a tmpfs"""
    return until_full(seed, rounds, "tmpfs", 12 * MEGABYTE)


@experiment("inodes-gone", rounds=4)
def inodes_gone(seed, rounds):
    """the queue's file system has no inode left"""
    return until_full(seed, rounds, "tmpfs", 64 * MEGABYTE, "nr_inodes=150")


@experiment("mailboxes-full", rounds=6, short=1)
def mailboxes_full(seed, rounds):
    """the mailboxes' own file system is full: no message in half, nothing lost"""
    with work_directory() as work, Scene(seed, routes=[[BOX], [FILE], [RELAY, BOX, FILE]]) as scene:
        with small_file_system("ext4", work, scene.boxes, 32 * MEGABYTE):
            scene.boxes.chmod(0o777)
            filler = Filler(scene, scene.boxes, 32 * MEGABYTE)
            scene.mail.start()
            scene.load(smtp=1, sendmail=0, pause=0.01)
            filler.start()
            wait_until(lambda: filler.full >= 3 * rounds, 120, lambda: f"full mailboxes\n{scene.mail.log_tail()}")
            scene.end_load()
            filler.stop.set()
            filler.join(30)
            extra = scene.settle(duplicates=may_come_again(scene))
            scene.mail.stop()
    return summary(scene, extra)


Q_SETQUOTA, QIF_BLIMITS = 0x800008 << 8, 1


def set_quota(device, uid, kilobytes):
    libc = ctypes.CDLL(None, use_errno=True)
    block = struct.pack("=8QII", kilobytes, kilobytes, 0, 0, 0, 0, 0, 0, QIF_BLIMITS, 0)
    if libc.quotactl(Q_SETQUOTA, device.encode(), uid, block) < 0:
        raise Skip(f"this kernel has no quotas on ext4: {os.strerror(ctypes.get_errno())}")


@experiment("over-quota", rounds=3, short=1)
def over_quota(seed, rounds):
    """the mail owner is over quota"""
    need_root()
    with work_directory() as work, Scene(seed, routes=ROUTES) as scene:
        try:
            place = small_file_system("ext4", work, scene.mail.queue, 64 * MEGABYTE, "-O", "quota", "-E", "quotatype=usrquota")
            stack = contextlib.ExitStack()
            stack.enter_context(place)
        except AssertionError as error:
            raise Skip(f"no quotas on ext4 here: {error}") from None
        with stack:
            run("mount", "-o", "remount,usrquota", scene.mail.queue, check=False)
            device = run("findmnt", "-n", "-o", "SOURCE", scene.mail.queue).stdout.strip()
            owner = shutil._get_uid(scene.mail.main["mail_owner"])
            set_quota(device, owner, 8 * 1024)
            run_short_of_room(scene, rounds)
            set_quota(device, owner, 0)
            extra = scene.settle(duplicates=may_come_again(scene))
            scene.mail.stop()
    return summary(scene, extra)


@experiment("over-quota-btrfs", rounds=3)
def over_quota_btrfs(seed, rounds):
    """the queue's subvolume is over quota: EDQUOT from a kernel that has no quotas but those of btrfs"""
    with work_directory() as work, Scene(seed, routes=ROUTES) as scene:
        with small_file_system("btrfs", work, scene.mail.queue, 320 * MEGABYTE):
            for words in (["quota", "enable"], ["qgroup", "limit", "24M"]):
                done = run("btrfs", *words, scene.mail.queue, check=False)
                if done.returncode != 0:
                    raise Skip(f"no quotas on btrfs here: {done.stdout}")
            run_short_of_room(scene, rounds)
            assert scene.mail.log_lines("Disk quota exceeded"), f"nobody met the quota\n{scene.mail.log_tail()}"
            run("btrfs", "qgroup", "limit", "none", scene.mail.queue)
            extra = scene.settle(duplicates=may_come_again(scene))
            scene.mail.stop()
    return summary(scene, extra)


@experiment("log-full", rounds=200)
def log_full(seed, rounds):
    """the log's file system is full: mail flows"""
    with work_directory() as work, Scene(seed) as scene:
        place = scene.mail.root / "log"
        place.mkdir()
        scene.mail.maillog = scene.mail.main["maillog_file"] = place / "maillog"
        with small_file_system("tmpfs", work, place, 64 * 1024):
            scene.mail.start()
            scene.load()
            wait_until(lambda: os.statvfs(place).f_bavail == 0, 120, "a full log")
            scene.wait_for_promises(5 * rounds, 60 + rounds)
            scene.end_load()
            extra = scene.settle()
            scene.mail.stop()
    return summary(scene, extra)


def failing_device(seed, rounds, kind):
    """Each round the device begins to fail in the middle of the load; then the machine is rescued: all is killed, the disk repaired.

    On ext4 only what was promised before the first failure counts, for the reason that read_only() gives.
    """
    excused = set()
    with work_directory() as work, Scene(seed, routes=ROUTES) as scene, Disks(work, queue=SIZES[kind]) as disks:
        disks.mount("queue", kind, scene.mail.queue)
        try:
            for _ in range(rounds):
                scene.mail.start()
                scene.load()
                scene.wait_for_promises(scene.dice.randrange(5, 60))
                refused = scene.ledger.refused
                disks.command(f"fail {scene.dice.choice('wws')} {scene.dice.randrange(1, 60)}")
                wait_until(lambda: scene.ledger.refused >= refused + 10, 60, lambda: f"refusals\n{scene.mail.log_tail()}")
                scene.mail.kill_everything()
                scene.end_load()
                unmount_for_good(disks.device["queue"], scene.mail.queue)
                since = float(disks.command("heal").split()[-1])
                if kind == "ext4" and since > 0:
                    excused |= scene.ledger.promises(since)
                if kind == "ext4":
                    run("fsck.ext4", "-p", disks.device["queue"], check=False)
                mount(kind, disks.device["queue"], scene.mail.queue)
            scene.mail.start()
            extra = scene.settle(scene.ledger.promises() - excused, duplicates=10 ** 9, corrupt=10 ** 9, torn=10 ** 9)
            scene.mail.stop()
        finally:
            if scene.mail.running:
                scene.mail.kill_everything()
    return summary(scene, extra)


@experiment("device-errors-ext4", rounds=10, short=1)
def device_errors_ext4(seed, rounds):
    """writes and flushes of the queue's device fail: EIO, and ext4 turns read-only"""
    return failing_device(seed, rounds, "ext4")


@experiment("device-errors-xfs", rounds=10)
def device_errors_xfs(seed, rounds):
    """writes and flushes of the queue's device fail: xfs shuts down"""
    return failing_device(seed, rounds, "xfs")


@experiment("device-errors-btrfs", rounds=10)
def device_errors_btrfs(seed, rounds):
    """writes and flushes of the queue's device fail: btrfs turns read-only"""
    return failing_device(seed, rounds, "btrfs")


@experiment("read-only", rounds=5, short=1)
def read_only(seed, rounds):
    """the queue's file system turns read-only under load: 4xx, nobody dies, and after the repair nothing is missing

    ext4 takes some milliseconds over it in which fsync still says 0 and what it said so of is gone (seen with Linux 6.18: the journal
    is aborted first, and its transactions count as complete). Nothing that a program could do helps: promises of that time do not count.
    """
    with work_directory() as work, Scene(seed, routes=ROUTES) as scene, Disks(work, queue=SIZES["ext4"]) as disks:
        disks.mount("queue", "ext4", scene.mail.queue)
        device = disks.device["queue"]
        trigger = Path(f"/sys/fs/ext4/{Path(device).name}/trigger_fs_error")
        if not trigger.exists():
            raise Skip("this kernel cannot trigger an error of ext4")
        run("tune2fs", "-e", "remount-ro", device)
        run("mount", "-o", "remount,errors=remount-ro", scene.mail.queue)
        excused = set()
        try:
            for _ in range(rounds):
                scene.mail.start()
                scene.load()
                scene.wait_for_promises(scene.dice.randrange(5, 60))
                refused, master = scene.ledger.refused, scene.mail.master_pid()
                durable = scene.ledger.promises()
                if scene.dice.random() < 0.5:
                    (scene.mail.queue / "pid/unix.resolver").unlink(missing_ok=True)
                trigger.write_text("1")
                wait_until(lambda: scene.ledger.refused >= refused + 20, 60, lambda: f"refusals\n{scene.mail.log_tail()}")
                for program in ("resolver", "smtpd"):       # others start on this disk, and the one asks the other for the client's name
                    scene.mail.kill(program)
                with scene.mail.client() as client:
                    assert client.ehlo()[0] == 250, "the server is still there"
                assert scene.mail.master_pid() == master
                scene.mail.kill_everything()
                scene.end_load()
                excused |= scene.ledger.promises() - excused - durable
                unmount_for_good(device, scene.mail.queue)
                run("fsck.ext4", "-p", device, check=False)
                mount("ext4", device, scene.mail.queue, "-o", "errors=remount-ro")
            scene.mail.start()
            extra = scene.settle(scene.ledger.promises() - excused, duplicates=10 ** 9, corrupt=10 ** 9, torn=10 ** 9)
            scene.mail.stop()
        finally:
            if scene.mail.running:
                scene.mail.kill_everything()
    return summary(scene, extra)


def remount(place, how):
    """Read-only only at a moment when nobody has a file open for writing."""
    wait_until(lambda: run("mount", "-o", f"remount,{how}", place, check=False).returncode == 0, 60, f"a moment to remount {how}", pause=0)


def refusal(scene):
    """What is said to who hands in a message now."""
    client = scene.client(scene.dice)
    try:
        client.send(scene.ledger.new(scene.dice, [[RELAY]]))
    except Refused as words:
        return str(words)
    finally:
        client.close()
    raise AssertionError(f"a promise, and nothing can be written\n{scene.mail.log_tail()}")


def refused_for_a_while(scene, rounds, refuse, allow):
    """Load, and now and then a disk that takes nothing: 4xx, nobody dies, and afterwards nothing has come twice."""
    scene.load(pause=0.005)
    for _ in range(rounds):
        scene.wait_for_promises(scene.dice.randrange(5, 60))
        refuse()
        refused, pids = scene.ledger.refused, {name: scene.mail.pids(name) for name in ("qmgr", "cleanup", "smtpd")}
        wait_until(lambda: scene.ledger.refused >= refused + 20, 60, lambda: f"refusals\n{scene.mail.log_tail()}")
        words = refusal(scene)
        assert words.startswith("4"), words
        assert all(set(pids[name]) <= set(scene.mail.pids(name)) for name in pids), f"somebody died\n{scene.mail.log_tail()}"    # others may begin
        allow()
        scene.wait_for_promises(5, 90)
    scene.end_load()
    return scene.settle()


@experiment("remounted", rounds=10)
def remounted(seed, rounds):
    """the queue's file system is read-only for a while under load, and writable again: 4xx meanwhile, nobody starts anything anew, nothing comes twice"""
    # without the intake log: the kernel refuses while a file is open for writing
    with work_directory() as work, Scene(seed, routes=ROUTES, main={"intake_segment_size": "0"}) as scene:
        with small_file_system("ext4", work, scene.mail.queue, 128 * MEGABYTE), contextlib.ExitStack() as stack:
            locks = scene.mail.queue / "pid"            # of those who run: always open for writing
            locks.mkdir()
            stack.enter_context(small_file_system("tmpfs", work, locks, MEGABYTE))
            scene.mail.start()
            stack.callback(scene.mail.kill_everything)
            extra = refused_for_a_while(scene, rounds, lambda: remount(scene.mail.queue, "ro"), lambda: remount(scene.mail.queue, "rw"))
            scene.mail.stop()
    return summary(scene, extra)


@contextlib.contextmanager
def refusing_disk(scene, work):
    """Gives two functions: from the first to the second the kernel refuses every change below the queue's directories, to those too who have a file open."""
    need_tool("chattr")
    places = [scene.mail.queue / name for name in ("incoming", "deferred", "hold", "corrupt", "maildrop", "intake")]

    def change(sign):
        run("chattr", "-R", "-f", f"{sign}i", *places, check=False)

    with small_file_system("ext4", work, scene.mail.queue, 128 * MEGABYTE):
        scene.mail.start()
        try:
            yield lambda: change("+"), lambda: change("-")
        finally:
            change("-")
            scene.mail.kill_everything()


@experiment("refusing-disk", rounds=10, short=1)
def refusing_disk_under_load(seed, rounds):
    """the queue's file system takes nothing for a while under load, from those either who have the intake log open, and then it does: as for `remounted`"""
    with work_directory() as work, Scene(seed, routes=ROUTES) as scene:
        with refusing_disk(scene, work) as (refuse, allow):
            extra = refused_for_a_while(scene, rounds, refuse, allow)
            scene.mail.stop()
    return summary(scene, extra)


UNRECORDED = 100        # MOST_UNRECORDED of qmgr/unwritten.c
UNDER_WAY = 20          # deliveries to one destination; as many again before the first is found to be stuck, and the few that go on


def kill_while_refusing(seed):
    with work_directory() as work, Scene(seed, routes=[[LATER]]) as scene, refusing_disk(scene, work) as (refuse, allow):
        scene.load(smtp=2, sendmail=0)
        scene.wait_for_promises(3 * UNRECORDED)
        scene.end_load()
        deferred = scene.mail.queue / "deferred"
        wait_until(lambda: sum(path.is_file() for path in deferred.rglob("*")) >= 3 * UNRECORDED, 60, "a backlog")
        refuse()
        with Sink(address="127.0.0.6", port=scene.closed_port) as sink:
            scene.late.append(sink)
            scene.mail.wait_for_log("deliveries wait until it can")
            with stopped([scene.mail.master_pid()]):
                scene.mail.kill("qmgr")
                allow()
            extra = scene.settle(duplicates=UNRECORDED + 3 * UNDER_WAY)
        assert extra >= UNRECORDED // 2, f"only {extra}: this shows nothing"
        scene.mail.stop()
        return summary(scene, extra)


@experiment("killed-while-refusing", rounds=3)
def killed_while_refusing(seed, rounds):
    """a disk takes nothing while a backlog could go out, and then qmgr dies: what only it knew comes twice, and that is bounded"""
    return "; ".join(kill_while_refusing(f"{seed} {number}") for number in range(rounds))


PROGRAMS = ["smtpd", "cleanup", "qmgr", "smtp", "bounce", "virtual", "local", "pickup", "proxymap", "resolver", "error", "master"]


def pids_of(scene, program):
    return [scene.mail.master_pid()] if program == "master" else scene.mail.pids(program)


@experiment("descriptors-gone", rounds=60, short=3)
def descriptors_gone(seed, rounds):
    """a daemon at random may open hardly any more descriptors for a while"""
    # who ends without descriptors cannot be looked at for leaks
    with Scene(seed, environment={"ASAN_OPTIONS": f"{os.environ.get('ASAN_OPTIONS', '')}:detect_leaks=0"}) as scene:
        scene.mail.start()
        scene.load()
        scene.wait_for_promises(20)
        for _ in range(rounds):
            program = scene.dice.choice(PROGRAMS)
            pids, saved = pids_of(scene, program), {}
            for pid in pids:
                with contextlib.suppress(OSError):
                    limit = len(os.listdir(f"/proc/{pid}/fd")) + scene.dice.randrange(0, 4)
                    saved[pid] = resource.prlimit(pid, resource.RLIMIT_NOFILE)
                    resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, saved[pid][1]))
            time.sleep(scene.dice.uniform(0.1, 0.6))
            for pid, limits in saved.items():
                with contextlib.suppress(OSError):
                    resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
            scene.wait_for_promises(3, 90)
        scene.end_load()
        extra = scene.settle(duplicates=rounds)
        return summary(scene, extra)
