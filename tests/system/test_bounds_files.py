# SPDX-License-Identifier: ISC
"""What lies in files: queue files with absurd heads, alias and include bombs, configurations and tables that explode, programs that die at once."""

import contextlib
import os
import random
import re
import resource
import socket
import subprocess
import time

import pytest

from crc32c import crc32c
from instance import COMMANDS, SANITIZED, wait_until
from sink import Sink
from toll import LONG, Toll, cpu_seconds, kib

DOMAIN = "mail.example.org"
MESSAGE = "Subject: s\r\n\r\nhello\r\n"


# ---- queue files ----

def absurd_files(mail, sample):
    """{name: bytes}: the sample with parts replaced, its checksum put right."""
    data = sample.read_bytes()
    head, rest = data[:512].decode(), data[512:]
    made = {}

    def variant(number, change, rest=rest):
        name = sample.name[:-3] + f"{number:03d}"
        text = change(head.replace(sample.name, name))
        text = text[:512 - 15]
        made[name] = (text + f"check {crc32c(text.encode()):08x}\n").encode() + rest

    def digits(keyword, *values):
        """Replaces the decimal numbers of a line by others of the same width."""
        def change(text):
            line = re.search(rf"^{keyword} .*$", text, re.M).group(0)
            new, given = line, list(values)
            for old in re.findall(r"(?<![0-9a-f])\d{8,}(?![0-9a-f])", line):
                if given:
                    new = new.replace(old, str(given.pop(0)).rjust(len(old), "0")[-len(old):], 1)
            return text.replace(line, new)
        return change

    huge = 2 ** 63 - 1
    for number, change in enumerate([
            digits("headers", huge), digits("headers", 512, huge), digits("body", huge, huge), digits("body", 0, 10 ** 15),
            digits("envelope", huge), digits("envelope", 512, 16 << 20), digits("envelope", 0, 512), digits("journal", huge), digits("journal", 0),
            digits("arrival", huge), lambda text: text.replace("queue-file 1", "queue-file 9"), lambda text: text.replace("recipients", "Recipients"),
            lambda text: re.sub(r"recipients +\d+", lambda m: m.group(0)[:-10] + "4294967295", text)]):
        variant(number, change)
    variant(100, lambda text: text, rest + b"x" * 10_000_000)                                   # a journal of one line
    variant(101, lambda text: text, rest + b"12345678 outcome\n" * 500_000)
    variant(102, lambda text: text, rest + b"\n" * 5_000_000)
    made[sample.name[:-3] + "200"] = b""
    made[sample.name[:-3] + "201"] = b"\0" * 1_000_000
    made[sample.name[:-3] + "202"] = b"postroad-queue-file 1\n" * 1000
    dice = random.Random(1)
    for number in range(300, 300 + (500 if LONG else 60)):
        damaged = bytearray(data)
        for _ in range(dice.randrange(1, 8)):
            damaged[dice.randrange(512)] = dice.choice(b"0123456789abcdef \n\xff\0-")
        text = bytes(damaged[:512 - 15])
        made[sample.name[:-3] + str(number)] = text + f"check {crc32c(text):08x}\n".encode() + bytes(damaged[512:])
    return made


def test_queue_files_with_absurd_heads_stop_nobody(instance):
    with Sink() as sink:
        mail = instance(main={"relayhost": f"[127.0.0.1]:{sink.port}", "defer_transports": "smtp", "worker_processes": "1"})
        mail.send(MESSAGE, recipients=["b@example.com"])
        mail.wait_for_log("status=deferred")
        mail.stop()
        (sample,) = mail.queue_files()
        owner = sample.stat()
        files = absurd_files(mail, sample)
        for name, data in files.items():
            for directory in (sample.parent, mail.queue / "incoming"):
                path = directory / name
                path.write_bytes(data)
                path.chmod(owner.st_mode & 0o777)
                os.chown(path, owner.st_uid, owner.st_gid)
        mail.set(defer_transports="")
        mail.start()
        mail.send(MESSAGE, recipients=["new@example.com"])
        wait_until(lambda: any("<new@" in message.recipients[0] for message in sink.messages), 30, mail.log_tail)
        mail.command("postqueue", "-p", timeout=60)
        mail.command("postqueue", "-j", timeout=60)
        mail.command("postqueue", "-f")
        (pid,) = mail.pids("qmgr")
        wait_until(lambda: not list((mail.queue / "incoming").rglob("*300")), 30, "what is damaged is set aside")
        assert kib(pid, "VmHWM") < (64 << 10 if not SANITIZED else 1 << 20)
        assert mail.pids("qmgr") == [pid]
        for name in files:
            for path in mail.queue.rglob(name):
                done = subprocess.run([COMMANDS / "postcat", "-c", mail.etc, path], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=60,
                                      preexec_fn=None if SANITIZED else lambda: resource.setrlimit(resource.RLIMIT_AS, (256 << 20, 256 << 20)))
                assert done.returncode >= 0, f"postcat {path}: signal {-done.returncode}\n{done.stderr}"
        done = mail.command("postsuper", "-s", check=False, timeout=60)
        assert done.returncode in (0, 1), done.stderr


# ---- aliases ----

@pytest.fixture
def aliases(instance):
    """aliases(text, {file: text}): an instance that delivers locally; big things are in $root/out."""
    def make(text, files=(), main=None):
        one = instance(start=False, main={"mydestination": DOMAIN, "minimal_backoff_time": "1000s", "queue_run_delay": "1000s", **(main or {})})
        (one.root / "out").mkdir()
        (one.root / "out").chmod(0o755)
        for name, content in dict(files).items():
            path = one.root / "out" / name
            path.write_text(content.replace("ROOT", str(one.root)))
            path.chmod(0o644)
        one.main["alias_maps"] = f"hash:{one.etc}/aliases"
        one.file("aliases", text.replace("ROOT", str(one.root)))
        one.write()
        one.command("postalias", f"hash:{one.etc}/aliases")
        one.start()
        one.send(MESSAGE, recipients=[f"warm@{DOMAIN}"])
        one.wait_for_log(f"to=<warm@{DOMAIN}>")
        return one
    return make


def test_aliases_that_explode_come_back(aliases):
    """Each kind of bomb ends as a bounce or a deferral that says why; the agents live and do other work."""
    many = ", ".join(f"u{number}@elsewhere.example" for number in range(20_000))
    tree = "".join(f"t{level}: t{level + 1}a, t{level + 1}b\nt{level}a: t{level}\nt{level}b: t{level}\n" for level in range(1, 40))
    text = ("warm: /dev/null\nself: self\nring1: ring2\nring2: ring3\nring3: ring1\nwide: :include:ROOT/out/wide\n"
            "deep: :include:ROOT/out/deep0\nzero: :include:/dev/zero\nrandom: :include:/dev/urandom\nfifo: :include:ROOT/out/fifo\n"
            "directory: :include:ROOT/out\nhuge: :include:ROOT/out/huge\nline: :include:ROOT/out/line\n"
            "comments: :include:ROOT/out/comments\nquotes: :include:ROOT/out/quotes\nt40: /dev/null\n" + tree)
    files = {"wide": many, "huge": "x@elsewhere.example\n" * 2_000_000, "line": "y" * 5_000_000, "comments": "(" * 1_000_000,
             "quotes": '"\\' * 500_000, **{f"deep{n}": f":include:ROOT/out/deep{n + 1}\n" for n in range(30)}}
    one = aliases(text, files, main={"default_transport": "discard:"})
    os.mkfifo(one.root / "out/fifo")
    names = ["self", "ring1", "wide", "deep", "zero", "random", "fifo", "directory", "huge", "line", "comments", "quotes", "t1"]
    with Toll(one, "qmgr", "cleanup", "smtpd") as toll:
        for name in names:
            one.send(MESSAGE, recipients=[f"{name}@{DOMAIN}"])
        verdicts = {}
        for name in names:          # of itself, or of whom it leads to; what is forwarded is not yet everybody's verdict
            who = f": to=<{name}@{DOMAIN}>" if name in ("wide", "t1") else f"to=<{name}@{DOMAIN}>"
            verdicts[name] = one.wait_for_log(rf"{who}, .*status=(bounced|deferred|sent) \(", timeout=60)[0].partition("status=")[2]
    toll.check(most_mib=64, left_mib=48)
    peaks = [kib(pid, "VmHWM") for pid in one.pids("local")]
    assert not peaks or max(peaks) < (64 << 10 if not SANITIZED else 1 << 20), peaks
    for name in names:
        assert verdicts[name].startswith("sent" if name in ("wide", "t1") else ("bounced", "deferred")), verdicts
    one.send(MESSAGE, recipients=[f"warm@{DOMAIN}"])
    one.wait_for_log(f"to=<warm@{DOMAIN}>, .*status=sent", count=2)


# ---- sendmail ----

SUBMISSIONS = {         # arguments, standard input, exit statuses that are right
    "100,000 recipients in To": (["-t"], b"To: " + b",\n ".join(b"u%d@example.com" % n for n in range(100_000)) + b"\n\nx\n", (0, 65, 75)),
    "100,000 To headers": (["-t"], b"".join(b"To: u%d@example.com\n" % n for n in range(100_000)) + b"\nx\n", (0, 65, 75)),
    "deep comments": (["-t"], b"To: " + b"(" * 500_000 + b"\n\nx\n", (0, 65)),
    "deep comments that close": (["-t"], b"To: " + b"(" * 250_000 + b")" * 250_000 + b" a@example.com\n\nx\n", (0, 65)),
    "empty addresses": (["-t"], b"To: " + b"<>," * 300_000 + b"\n\nx\n", (0, 65)),
    "commas": (["-t"], b"To: " + b",;" * 400_000 + b"\n\nx\n", (0, 65)),
    "groups": (["-t"], b"To: " + b"a:" * 300_000 + b";\n\nx\n", (0, 65)),
    "one address of a megabyte": (["-t"], b"To: " + b"a" * 1_000_000 + b"@example.com\n\nx\n", (0, 65)),
    "no end of headers": (["-t"], b"X: y\n" * 500_000, (0, 65)),
    "a long argument": (["a" * 100_000 + "@example.com"], b"x\n", (64,)),
    "an argument of many": ([",".join(["a@example.com"] * 9_000)], b"x\n", (0,)),
    "many arguments": (["a@example.com"] * 20_000, b"x\n", (0,)),
    "a long sender": (["-f", "(" * 100_000, "a@example.com"], b"x\n", (64,)),
    "a long name": (["-F", "n" * 100_000, "a@example.com"], b"x\n", (0, 64, 75)),
    "a line of 5 megabytes": (["a@example.com"], b"x" * 5_000_000, (0,)),
    "far above the limit": (["a@example.com"], b"x\n" * 20_000_000, (65, 75)),
}


def test_submissions_that_explode_are_refused_or_carried(instance):
    mail = instance(main={"default_transport": "discard:", "worker_processes": "1"})
    mail.command("sendmail", "-f", "me@example.net", "warm@example.com", input=b"x\n")
    mail.wait_for_log("to=<warm@example.com>, .*status=sent")
    limit = None if SANITIZED else lambda: resource.setrlimit(resource.RLIMIT_AS, (700 << 20, 700 << 20))
    with Toll(mail, "pickup", "cleanup", "qmgr", "smtpd") as toll:
        for name, (arguments, data, right) in SUBMISSIONS.items():
            done = mail.command("sendmail", "-f", "me@example.net", *arguments, input=data, check=False, timeout=60, preexec_fn=limit)
            assert done.returncode in right, f"{name}: exit {done.returncode} {done.stderr[:300]}"
        wait_until(lambda: not mail.queue_files(), 60, mail.log_tail)
    toll.check(most_mib=128, left_mib=64)


# ---- configuration ----

BOMBS = {
    "itself": "myorigin = $myorigin\n",
    "a ring": "a = $b\nb = $c\nc = $a\nmyorigin = $a\n",
    "doubling": "".join(f"x{n} = $x{n + 1}$x{n + 1}\n" for n in range(60)) + "x60 = yyyyyyyyyyyyyyyy\nmyorigin = $x0\n",
    "nested conditions": "myorigin = " + "${a?{" * 20_000 + "}}" * 20_000 + "\n",
    "open braces": "myorigin = " + "${" * 200_000 + "\n",
    "a value of 50 megabytes": "myorigin = " + "y" * 50_000_000 + "\n",
    "a hundred thousand parameters": "".join(f"p{n} = v\n" for n in range(100_000)),
    "a million continuations": "myorigin = a\n" + " b\n" * 1_000_000,
    "no equals sign": "z" * 1_000_000 + "\n",
    "zeros": "\0" * 1_000_000,
}


@pytest.mark.parametrize("name", BOMBS)
def test_configurations_that_explode_are_refused_in_bounded_time_and_memory(instance, name):
    mail = instance(start=False)
    mail.write()
    (mail.etc / "main.cf").write_text((mail.etc / "main.cf").read_text() + BOMBS[name])
    limit = None if SANITIZED else lambda: (resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30)), resource.setrlimit(resource.RLIMIT_CPU, (20, 20)))
    for words in (["postconf", "-x", "myorigin"], ["postconf", "-n"], ["postroad", "check"]):
        done = mail.command(*words, check=False, timeout=60, preexec_fn=limit)
        assert done.returncode >= 0, f"{words}: signal {-done.returncode}: {done.stderr[-500:]}"
        assert "panic" not in done.stderr, done.stderr[-500:]


def test_tables_that_explode_are_read_in_bounded_time_and_memory(instance, tmp_path):
    tables = {
        "pcre": ["/" + "(" * 300 + ")" * 300 + "/ x\n", "/(a{1,1000}){1,1000}/ x\n", "/[" + "a-z" * 100_000 + "]/ x\n", "if /x/\n" * 100_000,
                 "/(?R)*/ x\n", "/x/ $1\n" * 100_000, "/" + "x|" * 200_000 + "/ x\n", "/x{65535}{65535}/ x\n"],
        "regexp": ["/" + "(" * 10_000 + ")" * 10_000 + "/ x\n", "/((a{1,200}){1,200}){1,200}/ x\n", "/" + "x|" * 50_000 + "/ x\n", "if /x/\n" * 100_000,
                   "/x{1,32767}{1,32767}/ x\n", "/" + "(x*)*" * 10 + "/ x\n"],
        "cidr": ["0.0.0.0/0 x\n" * 100_000, "::/129 x\n" * 100_000, "1" * 1_000_000 + " x\n", "if ::/0\n" * 100_000],
        "texthash": ["k" * 5_000_000 + " v\n", "k v\n" * 500_000, '"' * 1_000_000 + "\n", "\\" * 1_000_000 + "\n"],
    }
    mail = instance(start=False)
    mail.write()
    limit = None if SANITIZED else lambda: (resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30)), resource.setrlimit(resource.RLIMIT_CPU, (20, 20)))
    for kind, texts in tables.items():
        for number, text in enumerate(texts):
            path = tmp_path / f"{kind}{number}"
            path.write_text(text)
            done = mail.command("postmap", "-q", "x" * 3000, f"{kind}:{path}", check=False, timeout=60, preexec_fn=limit)
            assert done.returncode >= 0, f"{kind} {number} ({text[:40]}): signal {-done.returncode}: {done.stderr[-500:]}"
            assert "panic" not in done.stderr, done.stderr[-500:]


# ---- programs that die at once ----

def test_a_service_that_dies_at_once_is_no_fork_storm(instance):
    """A client that keeps knocking costs a start now and then, and master does nothing else meanwhile."""
    mail = instance(main={"service_throttle_time": "2s"}, master="broken unix - - n - - error -o soft_bounce=nonsense\n")
    begin, master = time.monotonic(), mail.master_pid()
    used = cpu_seconds(master)
    with contextlib.ExitStack() as stack:
        while time.monotonic() - begin < 3:
            peer = stack.enter_context(socket.socket(socket.AF_UNIX))
            with contextlib.suppress(OSError):
                peer.connect(str(mail.queue / "private/broken"))
                peer.send(b"x")
            time.sleep(0.01)
        mail.wait_for_log(r"/error pid \d+ exit status")
        most = 4 + (time.monotonic() - begin) / 2       # it rests two seconds after each
        assert len(mail.log_lines(r"/error pid \d+ exit status")) <= most, mail.log_tail()
        assert cpu_seconds(master) - used < 1
        mail.client().quit()
