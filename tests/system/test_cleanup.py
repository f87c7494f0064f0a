# SPDX-License-Identifier: ISC
"""The cleanup service by itself: what it acknowledges is in the queue, and what it does not acknowledge leaves nothing."""

import errno
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from foreground import Foreground
from frames import Peer, pack
from instance import IS_ROOT, PATIENCE, SANITIZED, wait_until

RECEIVED, EXTERNAL = 8, 32


def make_directories(instance, names=("incoming", "hold", "deferred", "corrupt", "maildrop", "public", "private")):
    for name in names:
        path = instance.queue / name
        path.mkdir(exist_ok=True)
        if IS_ROOT:
            shutil.chown(path, "daemon")


@pytest.fixture
def cleanup():
    """cleanup(parameter=value) starts the service."""
    made = []

    def make(start=True, **main):
        service = Foreground("cleanup", main)
        made.append(service)
        make_directories(service.instance)
        return service.start() if start else service

    yield make
    for one in made:
        one.close()


def envelope(sender="alice@example.com", *recipients):
    lines = [f"sender\t{sender}", f"arrival\t{time.time_ns() // 1000}", "client_name\tc.example", "client_address\t192.0.2.1",
             "client_helo\thelo", "client_protocol\tESMTP"]
    lines += [f"to\t{number}\t{address}\t\t0\t" for number, address in enumerate(recipients or ["bob@example.net"])]
    return "".join(line + "\n" for line in lines)


def request(content=b"Subject: x\n\nbody\n", **more):
    return {"origin": "smtpd", "flags": RECEIVED | EXTERNAL, "queue_id": "", "envelope": envelope(), "content": content, **more}


def stream_begin(**more):
    given = request(**more)
    del given["content"]
    return given


def id_of(reply):
    assert reply["code"] == b"250", reply
    return re.fullmatch(r"Ok: queued as (\S+)", reply["text"].decode()).group(1)


PREPENDED = 64


def incoming(service):
    return {path.name: path for path in (service.instance.queue / "incoming").iterdir()}


def stored(service, queue_id, *options):
    return service.instance.command("postcat", *(options or ["-bh"]), "-q", queue_id).stdout


def test_what_is_acknowledged_is_in_the_queue(cleanup):
    service = cleanup()
    with Peer(service.path) as peer:
        queue_id = id_of(peer.ask("cleanup_request", **request()))
        assert stored(service, queue_id).startswith("Received: from helo (c.example [192.0.2.1])\n")
        assert stored(service, queue_id).endswith("Subject: x\n\nbody\n")
        shown = stored(service, queue_id, "-e")
        assert "sender: alice@example.com\n" in shown and "recipient: bob@example.net\n" in shown
        given = "4KbWbq0TestGivenId"
        assert id_of(peer.ask("cleanup_request", **request(queue_id=given))) == given


def test_a_large_message_streams(cleanup):
    service = cleanup(message_size_limit="100000000")
    body = os.urandom(30_000_000).replace(b"\r", b"r") + b"\n"
    with Peer(service.path) as peer:
        call = peer.send("cleanup_stream", **stream_begin())
        for at in range(0, len(body), 60_000):
            peer.send("cleanup_content", last=0, abort=0, content=(b"A: b\n\n" if at == 0 else b"") + body[at:at + 60_000])
        peer.send("cleanup_content", last=1, abort=0, content=b"")
        number, _, reply = peer.receive()
        assert number == call
        queue_id = id_of(reply)
    raw = incoming(service)[queue_id].read_bytes()
    assert body in raw
    done = service.instance.command("postcat", "-b", "-q", queue_id, input=b"")
    assert done.stdout == b"\n" + body
    peak = int(re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{service.process.pid}/status").read_text()).group(1))
    if PATIENCE == 1:
        assert peak < 40_000, f"{peak} KiB for one message"


def test_what_the_server_prepends_stands_above_received_however_it_comes(cleanup):
    service = cleanup()
    content = b"X-First: 1\nX-Second: 2\n\nSubject: own\n\nbody\n"
    with Peer(service.path) as peer:
        whole = id_of(peer.ask("cleanup_request", **request(content, flags=RECEIVED | EXTERNAL | PREPENDED)))
        call = peer.send("cleanup_stream", **stream_begin(flags=RECEIVED | EXTERNAL | PREPENDED))
        for at in range(len(content)):
            peer.send("cleanup_content", last=0, abort=0, content=content[at:at + 1])
        peer.send("cleanup_content", last=1, abort=0, content=b"")
        number, _, reply = peer.receive()
        assert number == call
        bytewise = id_of(reply)
        only = id_of(peer.ask("cleanup_request", **request(b"X-First: 1\n\n", flags=RECEIVED | EXTERNAL | PREPENDED)))
    for queue_id in (whole, bytewise):
        shown = stored(service, queue_id)
        assert re.match(r"X-First: 1\nX-Second: 2\nReceived: from (.*\n\s)*.*\nSubject: own\n\nbody\n", shown), shown
    assert stored(service, only).startswith("X-First: 1\nReceived: from ")


@pytest.mark.parametrize("how", ["abort", "close"])
def test_a_stream_that_ends_early_leaves_nothing(cleanup, how):
    service = cleanup()
    with Peer(service.path) as peer:
        peer.send("cleanup_stream", **stream_begin())
        peer.send("cleanup_content", last=0, abort=0, content=b"A: b\n\n" + b"x" * 300_000 + b"\n")
        wait_until(lambda: incoming(service), what="a file that grows")
        if how == "abort":
            peer.send("cleanup_content", last=0, abort=1, content=b"")
            wait_until(lambda: not incoming(service), what="the file's removal")
            assert id_of(peer.ask("cleanup_request", **request()))      # the connection lives on
    if how == "close":
        wait_until(lambda: not incoming(service), what="the file's removal")


def test_a_thousand_small_messages_share_a_connection(cleanup):
    service = cleanup()
    with Peer(service.path) as peer:
        peer.socket.sendall(b"".join(pack("cleanup_request", number, **request(b"N: %d\n\n" % number)) for number in range(1, 1001)))
        replies = [peer.receive() for _ in range(1000)]
    assert sorted(call for call, _, _ in replies) == list(range(1, 1001))
    assert len({id_of(reply) for _, _, reply in replies}) == 1000 == len(incoming(service))
    for call, _, reply in replies[::100]:
        assert f"N: {call}\n" in stored(service, id_of(reply), "-h")


def test_killed_at_any_moment_nothing_acknowledged_is_lost(cleanup):
    service = cleanup(start=False)
    acknowledged = set()

    def load(stop):
        with Peer(service.path) as peer:
            number = 0
            while not stop.is_set():
                try:
                    for _ in range(20):
                        number += 1
                        peer.send("cleanup_request", **request(b"N: 1\n\n" + b"y" * 3000 + b"\n"))
                    for _ in range(20):
                        acknowledged.add(id_of(peer.receive()[2]))
                except (EOFError, OSError):
                    return

    for moment in range(6):
        service.start()
        stop = threading.Event()
        threads = [threading.Thread(target=load, args=[stop]) for _ in range(3)]
        for thread in threads:
            thread.start()
        goal = len(acknowledged) + 20
        wait_until(lambda goal=goal: len(acknowledged) >= goal, what="messages that are acknowledged")
        time.sleep(0.037 * moment)
        service.kill()
        stop.set()
        for thread in threads:
            thread.join()
    service.start()
    files = incoming(service)
    assert len(acknowledged) > 100
    assert not acknowledged - set(files)
    for queue_id in acknowledged:
        head = files[queue_id].read_bytes()[:100]
        assert head.startswith(b"postroad-queue-file 1\nid " + queue_id.encode()), queue_id
    # What was not acknowledged is whole, or recognisable as debris.
    for queue_id in set(files) - acknowledged:
        done = service.instance.command("postcat", files[queue_id], check=False)
        assert done.returncode == 0 or "no valid head" in done.stderr, done.stderr


def test_winding_down_answers_what_came_before(cleanup):
    service = cleanup()
    with Peer(service.path) as peer:
        peer.socket.sendall(b"".join(pack("cleanup_request", number, **request()) for number in range(1, 301)))
        assert id_of(peer.receive()[2])
        service.process.send_signal(signal.SIGTERM)
        messages = [peer.receive() for _ in range(300)]
    replies = [reply for _, message, reply in messages if message == "cleanup_reply"]
    assert [message for _, message, _ in messages].count("goodbye") == 1
    assert service.process.wait(30) == 0
    assert len({id_of(reply) for reply in replies}) == 299 and len(incoming(service)) == 300


def test_nonsense_ends_that_connection_only(cleanup):
    service = cleanup()
    with Peer(service.path) as good:
        for bad in (b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 100, pack("dns_request", name="x"), pack("cleanup_content", last=1)):
            with Peer(service.path) as peer:
                peer.socket.sendall(bad)
                assert peer.is_closed()
        with Peer(service.path) as peer:
            assert peer.ask("cleanup_request", origin="smtpd")["code"] == b"451"
            reply = peer.ask("cleanup_request", **request(envelope="nonsense"))
            assert (reply["code"], reply["dsn"]) == (b"451", b"4.3.0")
        assert id_of(good.ask("cleanup_request", **request()))
    assert len(incoming(service)) == 1


@pytest.fixture
def failing(tmp_path, monkeypatch):
    """failing(call, error): from now on these calls of the service fail; failing(): no longer."""
    library, order = tmp_path / "failing_calls.so", tmp_path / "order"
    source = Path(__file__).parent / "failing_calls.c"
    subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-O", "-o", library, source, "-ldl"], check=True)
    order.write_bytes(b"--")
    monkeypatch.setenv("LD_PRELOAD", str(library))
    monkeypatch.setenv("FAILING_CALLS", str(order))

    def order_it(call="-", error=0):
        with open(order, "r+b") as file:
            file.write({"openat": b"o", "pwritev": b"w", "fsync": b"s"}.get(call, b"-") + bytes([error]))

    return order_it


@pytest.mark.skipif(SANITIZED, reason="a preloaded library and the sanitizers exclude each other")
@pytest.mark.parametrize("call,error,code", [
    ("openat", errno.ENOSPC, b"452"), ("openat", errno.EMFILE, b"451"), ("openat", errno.EROFS, b"451"),
    ("pwritev", errno.ENOSPC, b"452"), ("pwritev", errno.EDQUOT, b"452"), ("pwritev", errno.EIO, b"451"),
    ("fsync", errno.EIO, b"451"), ("fsync", errno.ENOSPC, b"452")])
def test_a_failing_system_call_is_a_temporary_error_and_leaves_nothing(failing, cleanup, call, error, code):
    service = cleanup()
    with Peer(service.path) as peer:
        good = {id_of(peer.ask("cleanup_request", **request()))}
        failing(call, error)
        assert peer.ask("cleanup_request", **request())["code"] == code
        peer.send("cleanup_stream", **stream_begin())
        for _ in range(5):
            peer.send("cleanup_content", last=0, abort=0, content=b"A: b\n\n" + b"x" * 60_000)
        peer.send("cleanup_content", last=1, abort=0, content=b"")
        assert peer.receive()[2]["code"] == code
        assert set(incoming(service)) == good
        failing()
        good.add(id_of(peer.ask("cleanup_request", **request())))
    assert set(incoming(service)) == good


@pytest.mark.root
def test_strangers_are_refused(cleanup):
    service = cleanup()
    os.chmod(service.path, 0o777)
    program = ("import os, socket, sys; os.setuid(65534); s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); "
               "sys.exit(0 if s.recv(1) == b'' else 1)")
    assert subprocess.run([sys.executable, "-c", program, str(service.path)], timeout=30).returncode == 0
    wait_until(lambda: "refused a connection of uid 65534" in service.log(), what=service.log)


@pytest.mark.root
def test_a_full_disk_is_a_452_and_recovers_by_itself(cleanup):
    service = cleanup(start=False)
    spool = service.instance.queue
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m,mode=755", "none", str(spool)], check=True)
    try:
        make_directories(service.instance)
        service.start()
        codes = []
        with Peer(service.path) as peer:
            for _ in range(60):
                reply = peer.ask("cleanup_request", **request(b"A: b\n\n" + b"x" * 60_000 + b"\n"))
                codes.append((reply["code"], reply["dsn"]))
            full = (b"452", b"4.3.1")
            assert codes[0][0] == b"250" and codes[-1] == full and set(codes) == {(b"250", b"2.0.0"), full}
            peer.send("cleanup_stream", **stream_begin())
            for _ in range(40):
                peer.send("cleanup_content", last=0, abort=0, content=b"A: b\n\n" + b"x" * 60_000 + b"\n")
            peer.send("cleanup_content", last=1, abort=0, content=b"")
            assert peer.receive()[2]["code"] == b"452"
            files = incoming(service)
            assert len(files) == codes.count((b"250", b"2.0.0"))
            for path in files.values():
                service.instance.command("postcat", path)
                path.unlink()
            assert id_of(peer.ask("cleanup_request", **request()))
        service.kill(signal.SIGTERM)
    finally:
        subprocess.run(["umount", "-l", str(spool)], check=True)


def test_tables_outside_the_configuration_are_followed_inside_the_jail(cleanup, tmp_path):
    table = tmp_path / "virtual"
    table.write_text("list@example.org one@example.net\n")
    service = cleanup(virtual_alias_maps=f"texthash:{table}", virtual_alias_domains="")

    def member():
        with Peer(service.path) as peer:
            queue_id = id_of(peer.ask("cleanup_request", **request(envelope=envelope("a@example.com", "list@example.org"))))
        return re.search(r"^recipient: (.*)$", stored(service, queue_id, "-e"), re.M).group(1)

    assert member() == "one@example.net"
    other = tmp_path / "new"
    other.write_text("list@example.org another@example.net\n")
    other.rename(table)
    wait_until(lambda: member() == "another@example.net", what="the new table's answer")


def test_any_number_of_recipients_is_accepted_or_refused(cleanup):
    service = cleanup(virtual_alias_maps="inline:{ { x@y = z@y } }")
    codes = {}
    with Peer(service.path) as peer:
        for count in (10_000, 100_000, 200_000, 300_000, 400_000):
            many = envelope("a@example.com", *(f"u{number}@x.y" for number in range(count)))
            reply = peer.ask("cleanup_request", **request(envelope=many))
            codes[count] = reply["code"]
            assert reply["code"] in (b"250", b"552"), reply
    assert codes[10_000] == codes[100_000] == b"250" and codes[400_000] != b"250"
    extracted = b"".join(b"To: " + b", ".join(b"u%d@x.y" % number for number in range(at, at + 5000)) + b"\n" for at in range(0, 100_000, 5000))
    with Peer(service.path) as peer:
        reply = peer.ask("cleanup_request", **request(extracted + b"\n", flags=1, envelope="sender\ta\n"))
        assert reply["code"] == b"250", reply


def test_minimum_free_space(cleanup):
    service = cleanup(queue_minfree="1000000000000")
    with Peer(service.path) as peer:
        reply = peer.ask("cleanup_request", **request())
    assert (reply["code"], reply["dsn"]) == (b"452", b"4.3.1")
    assert not incoming(service)
