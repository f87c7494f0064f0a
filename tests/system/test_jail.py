# SPDX-License-Identifier: ISC
"""Breaking out of each daemon: system calls are injected into the running programs, as somebody would who has taken one over."""

import errno
import os
import platform
import socket
import struct
from pathlib import Path

import pytest

from inject import Injector, Refused
from instance import DAEMONS, SANITIZED, wait_until

pytestmark = [
    pytest.mark.skipif(SANITIZED, reason="there is no jail under sanitizers"),
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the injector knows x86-64 only"),
]

# What each daemon may do besides what all may: write below these queue directories, read the configuration (tables), call out.
MAY = {
    "smtpd": (),
    "cleanup": ("incoming", "hold", "config"),
    "qmgr": ("incoming", "deferred", "hold", "corrupt", "maildrop", "config"),
    "pickup": ("maildrop", "config"),
    "bounce": (),
    "smtp": ("inet",),
    "showq": ("read",),
    "error": (),
    "discard": (),
    "local": ("read",),
    "virtual": (),
    "proxymap": ("read",),                  # and the directories of the tables, which this instance has none of
    "resolver": ("inet", "datagrams", "read"),
    "mtasts": ("inet", "read"),
    "tlsrpt": ("inet", "read"),
    "postlogd": (),
    "tlsmgr": (),
    "anvil": (),
    "cyrus-sasl": ("inet", "datagrams", "read", "config"),  # what its user may read: the library's back ends are anywhere
}
# Not in every master.cf.
ROWS = {"cyrus-sasl": "cyrus-sasl unix - - n - - cyrus-sasl\n"}
# How to make master start one: a socket to connect to.
DOOR = {
    "cleanup": "public/cleanup", "qmgr": "public/qmgr", "pickup": "public/pickup", "bounce": "private/bounce", "smtp": "private/smtp",
    "showq": "public/showq", "error": "private/error", "discard": "private/discard", "proxymap": "private/proxymap",
    "resolver": "private/resolver", "tlsmgr": "private/tlsmgr", "anvil": "private/anvil", "mtasts": "private/mtasts", "tlsrpt": "private/tlsrpt",
    "cyrus-sasl": "private/cyrus-sasl",
    "local": "private/local", "virtual": "private/virtual",
    "pipe": "private/through", "tokens": "private/tokens",
}
REFUSED = (-errno.EPERM, -errno.EACCES)


def landlock_abi():
    import ctypes
    return ctypes.CDLL(None).syscall(444, None, 0, 1)


def start_daemon(instance, program):
    """Its process, and the connection that keeps it there."""
    if program == "smtpd":
        client = socket.create_connection((instance.address, instance.smtp_port), timeout=20)
    elif program in DOOR:
        client = socket.socket(socket.AF_UNIX)
        client.connect(str(instance.queue / DOOR[program]))
    else:
        client = None
    pid = wait_until(lambda: instance.pids(program), 30, f"{program} runs")[0]
    wait_until(lambda: seccomp_mode(pid) == "2", 30, f"{program} is locked up")
    return pid, client


def seccomp_mode(pid):
    return status_of(pid)["Seccomp"]


def status_of(pid):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def built(program):
    return (DAEMONS / program).exists()


@pytest.mark.parametrize("program", MAY)
def test_nobody_breaks_out(instance, program):
    if not built(program):
        pytest.skip(f"{program} is not built")
    one = instance(master=ROWS.get(program, ""))
    may = MAY[program]
    pid, client = start_daemon(one, program)
    outside = one.root / "outside"
    outside.mkdir()
    outside.chmod(0o777)
    try:
        with Injector(pid) as inside:
            check_processes(inside)
            check_network(inside, may)
            check_files(inside, one, outside, may)
    except Refused as refused:
        pytest.skip(str(refused))
    assert list(outside.iterdir()) == []
    os.kill(pid, 0)                                     # none the worse
    if client:
        client.close()


def check_processes(inside):
    for name, *arguments in (
            ("execve", b"/bin/true", 0, 0), ("fork",), ("kill", os.getpid(), 0), ("ptrace", 16, os.getpid(), 0, 0), ("setuid", 0),
            ("chroot", b"/"), ("mount", b"none", b"/tmp", b"tmpfs", 0, 0), ("unshare", 0x10000000), ("bpf", 0, 0, 0),
            ("io_uring_setup", 1, 0), ("process_vm_readv", os.getpid(), 0, 0, 0, 0, 0), ("init_module", 0, 0, 0), ("keyctl", 0, 0, 0, 0, 0),
            ("userfaultfd", 0), ("perf_event_open", 0, 0, 0, 0, 0), ("personality", 0x0040000),
            ("mmap", 0, 4096, 4 | 1, 0x22, -1, 0), ("prlimit64", 0, 7, struct.pack("QQ", 64, 64), 0),
            ("mknod", b"/tmp/outside-device", 0o20666, 0x103)):
        assert inside.call(name, *arguments) in REFUSED, name


def check_network(inside, may):
    inet, inet6, packet, netlink = 2, 10, 17, 16
    stream, datagram, raw = 1, 2, 3
    assert inside.call("socket", packet, raw, 0) in REFUSED
    assert inside.call("socket", netlink, raw, 0) in REFUSED
    assert inside.call("socket", inet, raw, 1) in REFUSED
    for family in (inet, inet6):
        assert (inside.call("socket", family, datagram, 0) in REFUSED) == ("datagrams" not in may)
        fd = inside.call("socket", family, stream, 0)
        assert (fd in REFUSED) == ("inet" not in may), fd
        if fd >= 0 and family == inet and landlock_abi() >= 4:      # whoever calls out does not wait for calls
            assert inside.call("bind", fd, struct.pack("!HH4s8x", 0x0200, 40404, bytes([127, 0, 0, 1])), 16) in REFUSED
        if fd >= 0:
            inside.call("close", fd)


def check_files(inside, one, outside, may):
    creates, reads = os.O_CREAT | os.O_RDWR, os.O_RDONLY
    here = -100                                         # AT_FDCWD: queue_directory

    def opens(path, flags):
        fd = inside.call("openat", here, os.fsencode(path), flags, 0o600)
        if fd >= 0:
            inside.call("close", fd)
        return fd

    if "read" not in may and "config" not in may:
        assert opens("/", reads | os.O_DIRECTORY) == -errno.EPERM       # by the filter of calls; the kernel's paths would say EACCES
    if landlock_abi() < 1 and ("read" in may or "config" in may):
        return
    assert opens(outside / "new", creates) in REFUSED
    assert opens("/etc/shadow", reads) in REFUSED
    assert opens(f"/proc/{os.getpid()}/mem", reads) in REFUSED
    assert opens("/root", reads | os.O_DIRECTORY) in REFUSED
    assert opens("pid/master.pid", os.O_RDWR) in REFUSED
    if "config" not in may:
        assert opens(one.etc / "main.cf", reads) in REFUSED
    assert opens(one.etc / "main.cf", os.O_RDWR) in REFUSED
    for directory in ("incoming", "deferred", "hold", "corrupt", "maildrop"):
        path = f"{directory}/outside-test"
        assert (opens(path, creates) in REFUSED) == (directory not in may), directory
        if directory in may:
            assert inside.call("unlink", path.encode()) == 0


@pytest.mark.root
@pytest.mark.parametrize("program", ["local", "virtual", "pipe", "tokens"])
def test_who_starts_processes_for_users_has_few_capabilities_and_knows_nobody(instance, program):
    """setuid, setgid, and kill for commands that take too long; one socket to the agent, and none to anybody else."""
    one = instance(main={"virtual_mailbox_base": "/nowhere"}, master="through unix - n n - - pipe user=games argv=/bin/true\n"
                   "tokens unix - n n - 1 tokens user=games argv=/bin/true\n")
    pid, client = start_daemon(one, program)
    (spawner,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    wait_until(lambda: int(status_of(spawner)["CapEff"], 16) == 0xe0, 10,
               f"{program} has capabilities {status_of(spawner)['CapEff']}")
    assert sorted(os.listdir(f"/proc/{spawner}/fd")) == ["0", "1", "2", "3"]
    client.close()


@pytest.mark.root
def test_status_shows_who_has_which_powers(instance):
    one = instance()
    start_daemon(one, "postlogd")
    done = one.command("postroad", "-v", "status")
    line = next(line for line in done.stdout.splitlines() if "postlogd" in line)
    assert "uid=1 " in line and "no_new_privs=1" in line and "seccomp=on" in line and "capabilities=0000000000000000" in line
