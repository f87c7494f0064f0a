# SPDX-License-Identifier: ISC
"""Hostile peers on the sockets in public/ and private/: frames of absurd size and shape, floods without listening, descriptors nobody asked for."""

import array
import contextlib
import os
import socket
import struct

import pytest

from frames import Peer, pack
from instance import Instance, wait_until
from sink import Sink
from toll import LONG, Toll

MUCH = 4 if LONG else 1
SERVICES = {        # socket -> program, a request that it answers
    "public/qmgr": ("qmgr", pack("qmgr_command", command="nonsense", argument="")),
    "public/cleanup": ("cleanup", None),
    "public/showq": ("showq", pack("showq_request", queue_id="")),
    "public/pickup": ("pickup", None),
    "private/bounce": ("bounce", None),
    "private/proxymap": ("proxymap", pack("table_request", spec="unix:passwd.byname", flags=0, key="nobody")),
    "private/resolver": ("resolver", pack("dns_request", name="localhost", type=1, flags=0)),
    "private/smtp": ("smtp", None),
    "private/local": ("local", None),
    "private/virtual": ("virtual", None),
    "private/error": ("error", None),
    "private/discard": ("discard", None),
}


@pytest.fixture(scope="module")
def mail():
    with Sink() as sink:
        one = Instance(main={"relayhost": f"[127.0.0.1]:{sink.port}", "alias_maps": "proxy:unix:passwd.byname"})
        one.start()
        one.send("Subject: warm\r\n\r\nup\r\n", recipients=["warm@example.com"])
        wait_until(lambda: sink.messages, 30, one.log_tail)
        yield one
        one.close()


def awake(mail, door):
    """The program behind the door runs."""
    program = SERVICES[door][0]
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as knock:
        knock.connect(str(mail.queue / door))
        wait_until(lambda: mail.pids(program), 30, f"{program} runs")
    return program


def attribute(name, value):
    return bytes([len(name)]) + name + struct.pack("!I", len(value)) + value


def frame(message, attributes, call=1, descriptors=0):
    body = struct.pack("!IB", call, len(message)) + message + bytes([descriptors]) + attributes
    return struct.pack("!I", len(body)) + body


MEGABYTE = 1 << 20
FRAMES = {
    "an empty frame": b"\0\0\0\0" * 1000,
    "a frame of 4 gigabytes": b"\xff\xff\xff\xff" + b"x" * 100_000,
    "a frame just above the limit": struct.pack("!I", (16 << 20) + 1) + b"x" * 100_000,
    "a frame that never ends": struct.pack("!I", 16 << 20) + b"x" * (4 * MEGABYTE),
    "three million attributes": frame(b"cleanup_request", attribute(b"", b"") * 3_000_000),
    "an attribute longer than its frame": frame(b"qmgr_command", b"\x07command\xff\xff\xff\xff"),
    "a message nobody knows": frame(b"\xff" * 255, b""),
    "two hundred descriptors and none": frame(b"deliver_request", b"", descriptors=200),
    "numbers that are none": pack("cleanup_request", origin="smtpd", flags="9" * 20, queue_id="x" * 32, envelope="to\t", content=""),
    "an envelope of a million recipients": pack("cleanup_request", origin="smtpd", flags=0, queue_id="", content="",
                                                envelope="sender\ta@example.net\n" + "to\t0\ta\t\t0\t\n" * 1_000_000),
    "an announcement of nothing": pack("qmgr_announce", queue_id="4kbWbq0TestGivenId", queue="incoming", size=1 << 63, headers_at=1 << 63,
                                       headers_len=1 << 63, body_at=1 << 62, body_len=1 << 63, envelope="sender\t\n"),
    "a million ids": pack("qmgr_command", command="flush_id", argument="4kbWbq0TestGivenId\n" * 500_000),
}


@pytest.mark.parametrize("door", SERVICES)
def test_frames_of_absurd_size_and_shape_end_their_connection(mail, door):
    program = awake(mail, door)
    for name, data in FRAMES.items():
        with Toll(mail, program, innocent=False) as toll:
            for _ in range(2 * MUCH):
                with socket.socket(socket.AF_UNIX) as peer, contextlib.suppress(OSError):
                    peer.settimeout(20)
                    peer.connect(str(mail.queue / door))
                    peer.sendall(data)
                    peer.shutdown(socket.SHUT_WR)
                    while peer.recv(65536):
                        pass
        try:
            # a delivery agent may be replaced: it serves qmgr only, who went
            toll.check(most_mib=96, left_mib=16)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from None


@pytest.mark.parametrize("door", [door for door, (_, request) in SERVICES.items() if request])
def test_who_asks_and_never_listens_is_not_read_on(mail, door):
    """The answers must not pile up: after some of them the service waits until they are taken."""
    program, request = SERVICES[door]
    awake(mail, door)
    with Toll(mail, program, innocent=False) as toll, contextlib.ExitStack() as stack:
        peer = stack.enter_context(socket.socket(socket.AF_UNIX))
        peer.connect(str(mail.queue / door))
        peer.settimeout(2)
        with pytest.raises(TimeoutError):
            for _ in range(2000):
                peer.sendall(request * 200)
        with Peer(mail.queue / door) as other:      # meanwhile another one is served
            other.socket.sendall(request)
            assert other.receive()
    toll.check(most_mib=96, left_mib=32)            # one connection may have 5,000 calls under way, each with a stack; malloc keeps some of it


@pytest.mark.parametrize("door", SERVICES)
def test_descriptors_that_nobody_asked_for_are_closed(mail, door):
    program = awake(mail, door)
    with Toll(mail, program, innocent=False) as toll:
        for _ in range(3):
            with socket.socket(socket.AF_UNIX) as peer, contextlib.suppress(OSError), open("/dev/null") as null:
                peer.settimeout(20)
                peer.connect(str(mail.queue / door))
                for data in (b"\0", b"\0", b"\0", b"\x10") + (b"x",) * 40:
                    peer.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [null.fileno()] * 250))])
                peer.shutdown(socket.SHUT_WR)
                while peer.recv(65536):
                    pass
    toll.check(most_mib=32)


@pytest.mark.parametrize("door", ["public/qmgr", "public/cleanup", "private/proxymap", "private/resolver"])
def test_hundreds_of_connections_that_say_nothing_leave_room(mail, door):
    program = awake(mail, door)
    with Toll(mail, program, innocent=False) as toll, contextlib.ExitStack() as stack:
        for _ in range(300 * MUCH):
            peer = stack.enter_context(socket.socket(socket.AF_UNIX))
            peer.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                peer.connect(str(mail.queue / door))
        mail.send("Subject: meanwhile\r\n\r\nx\r\n", recipients=["meanwhile@example.com"])
    toll.check(most_mib=32, left_mib=32)


def test_log_lines_by_the_hundred_thousand_do_not_stop_the_logger(mail):
    with Toll(mail, "postlogd", innocent=False) as toll, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
        peer.connect(str(mail.queue / "public/postlog"))
        peer.setblocking(False)
        for number in range(20_000 * MUCH):
            with contextlib.suppress(BlockingIOError):
                peer.send(os.urandom(30) * 50 if number % 10 else b"\n" * 60_000)
    toll.check(most_mib=16)
    mail.send("Subject: logged\r\n\r\nx\r\n", recipients=["logged@example.com"])
    mail.wait_for_log("to=<logged@example.com>, .*status=sent")
