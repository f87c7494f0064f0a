# SPDX-License-Identifier: ISC
"""What is around the server: a disk whose clock is wrong, a machine short of memory, programs that are replaced, Postfix's queue, nobody there at boot."""

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
from pathlib import Path

from calls import Calls
from crc32c import crc32c
from experiment import Skip, experiment
from kills import IN_FLIGHT, summary
from dns_server import DnsServer
from instance import DAEMONS, SANITIZED, free_port, wait_until
from scene import BOX, LATER, RELAY, Scene
from sink import Sink
from wide import WideScene


@experiment("clock-of-the-disk", rounds=2, short=1)
def clock_of_the_disk(seed, rounds):
    """the file system's clock is an hour ahead of the server's, and behind it: mail is delivered as promptly"""
    with Scene(seed, environment={"LD_PRELOAD": "", "TORTURE_CALLS": ""}) as scene:
        calls = Calls(scene.mail.root / "calls")
        scene.mail.environment.update(calls.environment())
        for hours in (-1, 1) * rounds:
            calls.step_clock(hours * 3600)
            scene.mail.start()
            scene.load(smtp=2, pause=0.005)
            scene.wait_for_promises(40)
            scene.end_load()
            extra = scene.settle()
            scene.mail.stop()
        return summary(scene, extra)


# ---- a machine short of memory ----

CROWD = 20_000          # recipients of one message
WINDOW = 50 * 20 * 2    # what is under way to one destination: recipients of a delivery, deliveries; to the next hop and as notices


def memory(pid):
    """What is resident of a process, in KiB; 0: it is gone."""
    try:
        return next(int(line.split()[1]) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    except (OSError, StopIteration):
        return 0


@experiment("biggest-killed", rounds=8)
def biggest_killed(seed, rounds):
    """one message with 20,000 recipients, and the biggest process is killed again and again, as by a kernel without memory"""
    crowd = [f"u{number}@relay.example" for number in range(CROWD)]
    with Scene(seed, routes=[crowd], main={"smtpd_recipient_limit": CROWD, "ipc_timeout": "60s", "daemon_timeout": "60s"}) as scene:
        scene.mail.start()
        client = scene.client(scene.dice)
        letter = scene.ledger.new(scene.dice, [crowd])
        scene.ledger.promise(letter, client.send(letter))
        client.close()
        most, kills = 0, 0
        for _ in range(rounds):
            before = len(scene.sink.messages)
            wait_until(lambda: len(scene.sink.messages) > before + 5 or not scene.mail.queue_list(), 60, lambda: f"deliveries\n{scene.mail.log_tail()}")
            biggest = max((pid for pid in scene.processes() if pid != scene.mail.master_pid()), key=memory)
            most, kills = max(most, memory(biggest)), kills + 1
            with contextlib.suppress(ProcessLookupError):
                os.kill(biggest, signal.SIGKILL)
        extra = scene.settle(duplicates=kills * WINDOW, timeout=300)
        assert SANITIZED or most < 40_000 + CROWD, f"{most} KiB for {CROWD} recipients"
        return f"the biggest had {most} KiB, {summary(scene, extra)}"


# ---- an upgrade ----

def replace(path, source):
    """As a package manager does it: the new file under another name first."""
    fresh = path.with_suffix(".new")
    shutil.copy(source, fresh)
    fresh.rename(path)


@experiment("replaced-programs", rounds=60)
def replaced_programs(seed, rounds):
    """the files of the programs are replaced under load, one after the other, with a reload now and then"""
    with WideScene(seed) as scene:
        programs = sorted((scene.mail.root / "daemons").iterdir())
        scene.mail.start()
        scene.load(pause=0.005)
        for number in range(rounds):
            path = scene.dice.choice(programs)
            replace(path, DAEMONS / ("proxymap" if path.name == "proxywrite" else path.name))
            if number % 5 == 4:
                scene.mail.reload()
            scene.wait_for_promises(3, 90)
        scene.end_load()
        return summary(scene, scene.settle())


@experiment("queue-of-postfix", rounds=2)
def queue_of_postfix(seed, rounds):
    """the queue holds Postfix's messages: nobody touches them, and Postfix delivers them when it is back"""
    if os.geteuid() != 0:
        raise Skip("needs root")
    try:
        from postfix import Postfix
        postfix = Postfix()
    except (OSError, subprocess.SubprocessError) as error:
        raise Skip(f"Postfix cannot be had: {error}") from None
    with Scene(seed, main={"mail_owner": "postfix", "setgid_group": "postdrop", "queue_directory": postfix.queue}) as scene:
        scene.mail.queue = postfix.queue
        shutil.chown(scene.mail.data, "postfix")
        away = free_port("127.0.0.6")
        postfix.main.update(relayhost=f"[127.0.0.6]:{away}", minimal_backoff_time="1s", queue_run_delay="1s")
        kept = 0
        try:
            for _ in range(rounds):
                postfix.start()
                for number in range(10):
                    postfix.send(f"Subject: x\r\n\r\n{number}\r\n" + "x" * (number * 100), recipients=["one@example.com", "two@example.net"])
                kept += 20
                postfix.wait_for_log("status=deferred", kept // rounds)
                postfix.stop()
                scene.mail.start()
                scene.load(smtp=2, sendmail=0)
                scene.wait_for_promises(50)
                scene.mail.kill("qmgr")
                scene.mail.command("postsuper", check=False)
                scene.end_load()
                extra = scene.settle(duplicates=rounds * IN_FLIGHT)
                scene.mail.stop()
            with Sink(address="127.0.0.6", port=away) as sink:
                postfix.start()
                arrived = lambda: sum(len(message.recipients) for message in sink.messages)
                wait_until(lambda: arrived() >= kept, 60, lambda: f"{kept} deliveries by Postfix, {arrived()} came\n{postfix.log_tail()}")
                postfix.stop()
        finally:
            postfix.close()
        return f"{kept} of Postfix's kept, {summary(scene, extra)}"


# ---- a version that is newer ----

HEAD = 512
MAGIC, CHECK = b"postroad-queue-file ", b"check %08x\n"


def with_version(head, version):
    """A head as that version would sign it; None: there is none."""
    if not head.startswith(MAGIC):
        return None
    head = MAGIC + b"%d" % version + head[len(MAGIC) + 1:-len(CHECK % 0)]
    return head + CHECK % crc32c(head)


def change_version(queue, version):
    """Of all that lies in the queue: its files, and the intake log as far as it is used. How many messages."""
    count = 0
    for path in queue.rglob("*"):
        if not path.is_file() or path.parent.name in ("pid", "public", "private"):
            continue
        content = bytearray(path.read_bytes())
        name = path.name.removeprefix("log-").encode()
        for at in range(0, len(content), HEAD) if path.name.startswith("log-") else [0]:
            head = bytes(content[at:at + HEAD])
            changed = with_version(head, version) if at == 0 or b"segment %s %020d\n" % (name, at) in head else None
            if changed:
                content[at:at + HEAD] = changed
                count += 1
        with open(path, "r+b") as file:
            file.write(content)
    return count


def heads_of(queue, version):
    """The messages of that version: each file's name, and what is in it."""
    found = set()
    for path in queue.rglob("*"):
        if path.is_file() and path.read_bytes().startswith(MAGIC + b"%d\n" % version):
            found.add((path.name, hashlib.sha256(path.read_bytes()).hexdigest()))
    return found


@experiment("queue-of-a-newer-version", rounds=3, short=1)
def queue_of_a_newer_version(seed, rounds):
    """a downgrade: what a newer version left in the queue is not touched, mail flows, and when that version is back it delivers it"""
    words = []
    for number in range(rounds):
        with Scene(f"{seed} {number}", routes=[[LATER], [LATER, BOX], [RELAY]]) as scene:
            scene.mail.start()
            scene.load(smtp=3)
            scene.wait_for_promises(60)
            scene.mail.command("postsuper", "-h", "ALL")
            scene.wait_for_promises(60)
            scene.mail.kill_everything()             # so there is something in the log
            scene.end_load()
            scene.load(smtp=0, sendmail=1)      # into maildrop, where nobody looks now
            scene.wait_for_promises(5)
            scene.end_load()
            count = change_version(scene.mail.queue, 2)
            newer, before = heads_of(scene.mail.queue, 2), scene.ledger.promises()
            scene.mail.start()
            scene.load(smtp=2)
            scene.wait_for_promises(20)
            for command in (["postqueue", "-j"], ["postqueue", "-f"], ["postsuper"], ["postsuper", "-s"], ["postsuper", "-r", "ALL"], ["postsuper", "-H", "ALL"]):
                scene.mail.command(*command, check=False)
            shown = scene.mail.command("postcat", "-q", min(newer)[0], check=False)
            assert "newer version" in shown.stdout + shown.stderr, shown
            scene.mail.kill("qmgr")
            scene.mail.reload()
            scene.wait_for_promises(20)
            scene.end_load()
            expected = {key for key in scene.ledger.promises() - before if key[1] != LATER}
            wait_until(lambda: expected <= scene.arrivals().done(), 60, lambda: f"new mail\n{scene.mail.log_tail()}")
            scene.mail.stop()
            assert newer <= heads_of(scene.mail.queue, 2), f"touched: {newer - heads_of(scene.mail.queue, 2)}\n{scene.mail.log_tail()}"
            change_version(scene.mail.queue, 1)
            scene.mail.start()
            scene.mail.command("postsuper", "-H", "ALL")
            extra = scene.settle(duplicates=2 * IN_FLIGHT)
            scene.mail.stop()
            words.append(f"{count} messages of a newer version, {summary(scene, extra)}")
    return words[-1]


# ---- boot ----

BY_NAME = "someone@named.example"


@experiment("nothing-at-boot", rounds=2, short=1)
def nothing_at_boot(seed, rounds):
    """neither name servers nor next hops are there at the start: mail is taken, and goes when they appear, without a restart"""
    for number in range(rounds):
        port, hop = free_port(), free_port("127.0.0.5")
        with Scene(f"{seed} {number}", routes=[[BY_NAME], [BOX], [BY_NAME, BOX]], main={"dns_resolver_addresses": f"127.0.0.1@{port}"}) as scene:
            scene.sink.close()
            scene.mail.set(transport_maps=scene.mail.main["transport_maps"].replace("inline:{", f"inline:{{ named.example=smtp:named.example:{hop},", 1))
            scene.mail.start()
            scene.load(smtp=2)
            scene.wait_for_promises(60)
            scene.end_load()
            wait_until(lambda: any(BOX == to for _, to in scene.arrivals().delivered), 60, "a message that needs no network")
            with DnsServer(port=port) as dns:
                dns.add("named.example", "A", "127.0.0.5")
                scene.sink = Sink(address="127.0.0.5", port=hop)
                extra = scene.settle()
                words = summary(scene, extra)
                scene.mail.stop()
    return words
