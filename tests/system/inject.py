# SPDX-License-Identifier: ISC
"""Makes a running process do a system call, by ptrace: what would happen if an attacker had its instruction pointer.

x86-64 only. The process is a daemon as installed, with no back door for tests.
"""

import ctypes
import errno
import os
import re
import signal
import struct

ATTACH, DETACH, CONTINUE, SINGLESTEP, GETREGS, SETREGS = 16, 17, 7, 9, 12, 13
REGISTERS = ("r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp ss fs_base gs_base ds es fs gs").split()
NUMBERS = {"read": 0, "open": 2, "close": 3, "mmap": 9, "socket": 41, "connect": 42, "bind": 49, "fork": 57, "execve": 59, "kill": 62,
           "mkdir": 83, "unlink": 87, "chmod": 90, "chown": 92, "ptrace": 101, "setuid": 105, "mknod": 133, "chroot": 161, "mount": 165,
           "bpf": 321, "openat": 257, "unshare": 272, "prlimit64": 302, "io_uring_setup": 425, "process_vm_readv": 310,
           "personality": 135, "init_module": 175, "keyctl": 250, "userfaultfd": 323, "perf_event_open": 298}

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long


class Refused(Exception):
    """ptrace itself is not permitted here."""


def _ptrace(request, pid, data=None):
    if libc.ptrace(request, pid, None, data) < 0:
        number = ctypes.get_errno()
        raise Refused(f"ptrace request {request}: {os.strerror(number)}") if number == errno.EPERM else OSError(number, os.strerror(number))


class Injector:
    """with Injector(pid) as inside: inside.call("open", b"/etc/shadow", 0) is the result, or -errno."""

    def __init__(self, pid):
        self.pid = pid

    def __enter__(self):
        _ptrace(ATTACH, self.pid)
        os.waitpid(self.pid, 0x40000000)                # __WALL
        self.memory = os.open(f"/proc/{self.pid}/mem", os.O_RDWR)
        self.saved = self._registers()
        self.instruction = self._find_syscall_instruction()
        self.scratch = self.saved["rsp"] - 8192         # below the red zone: nobody's
        return self

    def __exit__(self, *error):
        self._set(self.saved)
        while self._trap_is_pending():                  # it would end the process; delivered before the next instruction
            _ptrace(CONTINUE, self.pid)
            os.waitpid(self.pid, 0x40000000)
        os.close(self.memory)
        _ptrace(DETACH, self.pid)

    def _trap_is_pending(self):
        with open(f"/proc/{self.pid}/status") as status:
            pending = re.search(r"^SigPnd:\s*(\w+)", status.read(), re.M).group(1)
        return int(pending, 16) >> (signal.SIGTRAP - 1) & 1

    def _registers(self):
        buffer = ctypes.create_string_buffer(8 * len(REGISTERS))
        _ptrace(GETREGS, self.pid, ctypes.cast(buffer, ctypes.c_void_p))
        return dict(zip(REGISTERS, struct.unpack(f"{len(REGISTERS)}Q", buffer.raw)))

    def _set(self, registers):
        raw = struct.pack(f"{len(REGISTERS)}Q", *(registers[name] & 0xffffffffffffffff for name in REGISTERS))
        buffer = ctypes.create_string_buffer(raw, len(raw))
        _ptrace(SETREGS, self.pid, ctypes.cast(buffer, ctypes.c_void_p))

    def _find_syscall_instruction(self):
        with open(f"/proc/{self.pid}/maps") as maps:
            for line in maps:
                if not re.search(r"r-xp .*libc", line):
                    continue
                start, end = (int(word, 16) for word in line.split()[0].split("-"))
                at = os.pread(self.memory, end - start, start).find(b"\x0f\x05")
                if at >= 0:
                    return start + at
        raise AssertionError("no system call instruction in the C library")

    def call(self, name, *arguments):
        words = []
        place = self.scratch
        for argument in arguments:
            if isinstance(argument, bytes):
                data = argument + b"\0" * (16 - len(argument) % 16)
                os.pwrite(self.memory, data, place)
                words.append(place)
                place += len(data)
            else:
                words.append(argument)
        words += [0] * (6 - len(words))
        registers = dict(self.saved, rip=self.instruction, rax=NUMBERS[name], orig_rax=-1)
        registers.update(zip(("rdi", "rsi", "rdx", "r10", "r8", "r9"), words))
        self._set(registers)
        for _ in range(5):                              # a trap left over from the step before comes first
            _ptrace(SINGLESTEP, self.pid)
            _, status = os.waitpid(self.pid, 0x40000000)
            if not os.WIFSTOPPED(status):
                raise AssertionError(f"{name}: the process ended: status {status:#x}")
            if os.WSTOPSIG(status) == signal.SIGSYS:    # the filter; its handler would make this of it
                return -errno.EPERM
            after = self._registers()
            if after["rip"] != self.instruction:
                return after["rax"] - (1 << 64) if after["rax"] >> 63 else after["rax"]
        raise AssertionError(f"{name}: the process does not step")
