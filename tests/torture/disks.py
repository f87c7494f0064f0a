# SPDX-License-Identifier: ISC
"""Small file systems of our own: on disks in user space whose power can be cut (disk.c), or on a loop device or tmpfs."""

import contextlib
import os
import shutil
import subprocess
import time
from pathlib import Path

from experiment import Skip
from scene import PATIENCE
from instance import BUILD, wait_until

MEGABYTE = 1 << 20
MKFS = {"ext4": ["mkfs.ext4", "-q", "-F"], "xfs": ["mkfs.xfs", "-q", "-f", "-K"], "btrfs": ["mkfs.btrfs", "-q", "-f", "-K"]}
SIZES = {"ext4": 256 * MEGABYTE, "xfs": 320 * MEGABYTE, "btrfs": 320 * MEGABYTE}


def run(*words, check=True):
    done = subprocess.run([str(word) for word in words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120 * PATIENCE)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, words))}: {done.stdout}")
    return done


def need_root():
    if os.geteuid() != 0:
        raise Skip("needs root")


def need_tool(name):
    if shutil.which(name) is None:
        raise Skip(f"there is no {name}")


def need_loop_devices():
    need_root()
    if not os.path.exists("/dev/loop-control") or run("losetup", "-f", check=False).returncode != 0:
        raise Skip("there are no loop devices")


def make_file_system(kind, device, *more):
    need_tool(f"mkfs.{kind}")
    run(*MKFS[kind], *more, device)


def mount(kind, device, place, *options):
    """Skips where the kernel does not know the file system."""
    done = run("mount", "-t", kind, *options, device, place, check=False)
    if "unknown filesystem type" in done.stdout:
        raise Skip(f"this kernel has no {kind}")
    if done.returncode != 0:
        raise AssertionError(f"mount {kind} {device}: {done.stdout}")


def is_attached(file):
    """Whether a loop device still has the file."""
    for path in Path("/sys/block").glob("loop*/loop/backing_file"):
        with contextlib.suppress(OSError):          # detached meanwhile
            if path.read_text().startswith(str(file)):
                return True
    return False


def wait_detached(file):
    """A process that was started in a mount namespace of its own has a copy of the mount, and while it lives the file system goes on: a copy
    of that is not mounted beside it (xfs), or taken for it (btrfs)."""
    wait_until(lambda: not is_attached(file), 120, f"{file} is no loop device's any more")


def is_released(device):
    """Whether no file system claims it."""
    try:
        os.close(os.open(device, os.O_RDWR | os.O_EXCL))
    except OSError:
        return False
    return True


def unmount_for_good(device, place):
    """So that the next mount reads the disk: one that failed or turned read-only would be found as it was, while somebody has a copy of its mount."""
    unmount(place)
    wait_until(lambda: is_released(device), 120, f"{device} is no file system's any more", pause=0.05)


def unmount(place):
    """It may be busy for a moment after its users died."""
    for _ in range(300):
        if run("umount", place, check=False).returncode == 0:
            return
        if not os.path.ismount(place):
            return
        time.sleep(0.1)
    run("umount", "-l", place)


class Disks:
    """with Disks(work, queue=bytes, ...) as disks: disks.device["queue"] is a block device; disks.cut(...) what a power cut leaves."""

    def __init__(self, work, **sizes):
        need_loop_devices()
        if not os.path.exists("/dev/fuse"):
            raise Skip("there is no /dev/fuse")
        self.sizes, self.work, self.place = sizes, work, work / "disks"
        self.device, self.mounted = {}, []
        self.server = None

    def __enter__(self):
        subprocess.run(["make", "-s", "-C", BUILD, "tests/torture/disk"], check=True, timeout=120, stdout=subprocess.DEVNULL)
        self.place.mkdir()
        words = [BUILD / "tests/torture/disk", self.place, *(f"{name}:{size}" for name, size in self.sizes.items())]
        self.server = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            if self.server.stdout.readline() != "ready\n":
                raise Skip("FUSE cannot be mounted here")
            for name in self.sizes:
                self.device[name] = run("losetup", "-f", "--show", self.place / name).stdout.strip()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error):
        for place in reversed(self.mounted):
            unmount(place)
        for device in self.device.values():
            run("losetup", "-d", device, check=False)
        for name in self.device:
            wait_detached(self.place / name)
        if os.path.ismount(self.place):
            unmount(self.place)
        self.server.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.server.wait(10)
        self.server.kill()
        self.server.wait()
        self.server.stdout.close()

    def mount(self, name, kind, place):
        make_file_system(kind, self.device[name])
        mount(kind, self.device[name], place)
        self.mounted.append(place)

    def unmount_all(self):
        while self.mounted:
            unmount(self.mounted.pop())

    def command(self, text):
        self.server.stdin.write(text + "\n")
        self.server.stdin.flush()
        answer = self.server.stdout.readline()
        assert answer.startswith("ok"), f"{text}: {answer}"
        return answer

    def cut(self, seed, keep, directory):
        """Writes an image per disk into the directory; keep per cent of what no flush has confirmed survive."""
        Path(directory).mkdir()
        return self.command(f"cut {seed} {keep} {directory}")


@contextlib.contextmanager
def mounted_image(kind, image, place):
    mount(kind, image, place, "-o", "loop")
    try:
        yield
    finally:
        unmount(place)
        wait_detached(image)


@contextlib.contextmanager
def small_file_system(kind, work, place, size, *more):
    """A file system of so many bytes on a loop device; or kind "tmpfs", with mount options."""
    need_root()
    if kind == "tmpfs":
        run("mount", "-t", "tmpfs", "-o", ",".join([f"size={size}", "mode=755", *more]), "none", place)
    else:
        need_loop_devices()
        image = work / f"{place.name}.image"
        with open(image, "wb") as file:
            file.truncate(size)
        make_file_system(kind, image, *more)
        mount(kind, image, place, "-o", "loop")
    try:
        yield
    finally:
        unmount(place)
