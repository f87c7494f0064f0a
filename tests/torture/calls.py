# SPDX-License-Identifier: ISC
"""System calls and allocations that fail: the N-th of one kind in one program, for N = 1, 2, ... until none fails any more."""

import errno
import mmap
import os
import struct
import subprocess
import tempfile
from pathlib import Path

from instance import SANITIZED

RECORD = struct.Struct("=16s16siiIIq")                   # struct record of calls.c


def library():
    """The preloaded library, compiled once per process."""
    if not hasattr(library, "path"):
        library.directory = tempfile.TemporaryDirectory(prefix="postroad-torture-")
        os.chmod(library.directory.name, 0o755)
        path = Path(library.directory.name) / "calls.so"
        source = Path(__file__).parent / "calls.c"
        subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-O2", "-o", path, source, "-ldl"], check=True, timeout=120)
        library.path = path
    return library.path


def sanitizer_options():
    """A preloaded library comes before the sanitizer's, and what a program has in hand when memory is gone is not its leak."""
    options = os.environ.get("ASAN_OPTIONS", "")
    return {"ASAN_OPTIONS": f"{options}:verify_asan_link_order=0:allocator_may_return_null=1"} if SANITIZED else {}


class Calls:
    """The order that stands: calls.fail("cleanup", "fsync", errno.EIO, 3) makes the third fsync of cleanup from now on fail."""

    AT = RECORD.size                                    # the first record is the clock's

    def __init__(self, path):
        path.write_bytes(b"\0" * RECORD.size * 2)
        path.chmod(0o666)
        self.file = open(path, "r+b")
        self.map = mmap.mmap(self.file.fileno(), 0)
        self.path = path

    def environment(self):
        return {"LD_PRELOAD": str(library()), "TORTURE_CALLS": str(self.path), **sanitizer_options()}

    def fail(self, program, call, error=errno.EIO, number=1):
        self.withdraw()
        RECORD.pack_into(self.map, self.AT, program.encode(), call.encode(), error, 0, 0, 0, 0)
        struct.pack_into("=i", self.map, self.AT + 36, number)

    def has_failed(self):
        return struct.unpack_from("=I", self.map, self.AT + 40)[0] > 0

    def withdraw(self):
        struct.pack_into("=i", self.map, self.AT + 36, 0)

    def step_clock(self, seconds):
        """The wall clock of all programs goes wrong by so much from now on."""
        struct.pack_into("=q", self.map, 48, seconds)
