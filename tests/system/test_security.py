# SPDX-License-Identifier: ISC
"""Old mistakes of mail servers that must not come back: what others were attacked with, from the local side. (The SMTP side: dialogues/, walk.py, test_hostile.py.)"""

import os
import random
import re
import resource
import subprocess

import pytest

from instance import COMMANDS, DAEMONS, SANITIZED, seed, wait_until
from toll import LONG

DOMAIN = "mail.example.org"
MESSAGE = b"Subject: x\n\nbody\n"


@pytest.fixture
def still(instance):
    """Directories exist, nothing runs."""
    one = instance(main={"default_transport": "discard:", "local_transport": "discard:"})
    one.stop()
    return one


def maildrop(one):
    return sorted((one.queue / "maildrop").iterdir())


# ---- words that mean something to somebody else ----

def test_no_recipient_is_a_command_a_file_or_an_option(instance):
    one = instance(main={"mydestination": DOMAIN, "alias_maps": "", "local_recipient_maps": "", "smtpd_reject_unlisted_recipient": "no",
                         "allow_percent_hack": "no", "swap_bangpath": "no", "recipient_delimiter": "+"})
    out = one.root / "out"
    out.mkdir()
    out.chmod(0o777)
    locals_ = [f"|touch {out}/a", f"{out}/b", f":include:{out}/c", "-oQ/tmp", "-bd", f";touch {out}/d", f"$(touch {out}/e)", f"`touch {out}/f`",
               "${run{/bin/touch " + str(out) + "/g}}", "../../../../etc/passwd", "a/../../b", "user+/../x", "%n%s%x", "\\root", "~root", "x" * 64]
    for local in locals_:
        quoted = local.replace("\\", "\\\\").replace('"', '\\"')
        if local.startswith("-"):       # allow_min_user
            with one.client() as client:
                client.ehlo()
                client.mail("a@example.net")
                assert client.rcpt(f'<"{quoted}"@{DOMAIN}>')[0] == 501
            continue
        one.send("Subject: x\r\n\r\nx\r\n", recipients=[f'<"{quoted}"@{DOMAIN}>'])
    one.wait_empty(60)
    assert not one.log_lines("status=(sent|deferred)")
    assert not list(out.iterdir())
    assert not one.log_lines(r"warning: (?!Illegal address syntax).*(pipe|command)|panic")


@pytest.mark.parametrize("word", ["a\nTo: x@y", "a\r\nb", "a\x1b[2J", "a\tb\x7f"])
def test_control_characters_in_arguments_are_refused_or_dropped(still, word):
    for option in ("-f", "-F", "-V"):
        done = still.command("sendmail", option, word, "someone@example.com", input=MESSAGE, check=False)
        assert done.returncode in (0, 64, 65, 75), (option, done.stderr)
    done = still.command("sendmail", "-f", "me@example.net", word, input=MESSAGE, check=False)
    assert done.returncode in (0, 64, 65)
    for path in maildrop(still):
        envelope = still.command("postcat", "-e", path).stdout
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", envelope), envelope
        assert len(re.findall(r"^sender: ", envelope, re.M)) == 1
        assert b"\nTo: x@y" not in still.command("postcat", "-h", path, input=b"").stdout


# ---- the environment of a setgid program ----

def test_postdrop_with_closed_descriptors_writes_nowhere_else(still):
    """The next file opened would be 0, 1 or 2, and what is meant for a terminal would go into it."""
    words = [COMMANDS / "sendmail", "-C", still.etc, "-f", "me@example.net", "someone@example.com"]
    for closed in ("0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"):
        before = {path.name: path.read_bytes() for path in maildrop(still)}
        subprocess.run(["sh", "-c", f'exec "$@" {closed}', "sh", *words], input=MESSAGE, timeout=60, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, env=dict(os.environ, MAIL_CONFIG=str(still.etc)))
        for path in maildrop(still):
            if path.name not in before:
                content = still.command("postcat", "-bh", path, input=b"", check=False)
                assert content.returncode == 0 and (b"body" in content.stdout or closed.startswith("0")), content
        assert all((still.queue / "maildrop" / name).read_bytes() == data for name, data in before.items())


@pytest.mark.parametrize("limit", ["file size", "descriptors"])
def test_a_submission_under_hostile_limits_is_a_temporary_error_and_leaves_nothing(still, limit):
    kind, value = {"file size": (resource.RLIMIT_FSIZE, 0), "descriptors": (resource.RLIMIT_NOFILE, 4)}[limit]
    done = still.command("sendmail", "-f", "me@example.net", "someone@example.com", input=MESSAGE, check=False,
                         preexec_fn=lambda: resource.setrlimit(kind, (value, value)))
    assert done.returncode != 0, "success without a file"
    assert not maildrop(still)


def test_files_in_the_current_directory_configure_nothing(still, tmp_path):
    (tmp_path / "DB_CONFIG").write_text("set_data_dir /nonexistent\nset_lg_dir /nonexistent\n")
    (tmp_path / "main.cf").write_text("queue_directory = /nonexistent\n")
    done = still.command("sendmail", "-f", "me@example.net", "someone@example.com", input=MESSAGE, cwd=tmp_path)
    assert done.returncode == 0 and len(maildrop(still)) == 1


# ---- files that a member of the group can make ----

def test_mutated_files_in_maildrop_stop_nobody(still):
    """postdrop writes them, and whoever gets its group could write others."""
    dice = random.Random(seed())
    still.command("sendmail", "-f", "me@example.net", "someone@example.com", input=MESSAGE * 50)
    (good,) = maildrop(still)
    data, owner = good.read_bytes(), good.stat()
    for number in range(3000 if LONG else 200):
        mutant = bytearray(data)
        for _ in range(dice.randrange(1, 10)):
            at = dice.randrange(len(mutant))
            if dice.random() < 0.2:
                del mutant[at:at + dice.randrange(1, 100)]
            elif dice.random() < 0.3:
                mutant[at:at] = bytes(dice.choice(b"0123456789 \n\t\0\xffto") for _ in range(dice.randrange(1, 40)))
            else:
                mutant[at] = dice.randrange(256)
        path = good.with_name(good.name[:-4] + f"{number:04d}")
        path.write_bytes(mutant)
        path.chmod(owner.st_mode & 0o777)
        os.chown(path, owner.st_uid, owner.st_gid)
    still.start()
    wait_until(lambda: not good.exists(), 60, still.log_tail)
    pids = {program: still.pids(program) for program in ("pickup", "cleanup", "qmgr")}
    still.command("postqueue", "-p", timeout=60)
    still.command("sendmail", "-f", "me@example.net", "again@example.com", input=MESSAGE)
    still.wait_for_log("to=<again@example.com>, .*status=sent", timeout=60)
    assert pids["pickup"] == still.pids("pickup") and pids["qmgr"] == still.pids("qmgr"), f"seed {seed()}\n{still.log_tail()}"
    assert not still.log_lines(r"killed by signal (?!15)|panic:"), f"seed {seed()}"


# ---- what privileged programs are made of ----

PLAIN = {"linux-vdso.so.1", "libc.so.6", "libevent_core-2.1.so.7", "libresolv.so.2", "libm.so.6", "libpthread.so.0"}


@pytest.mark.skipif(SANITIZED, reason="sanitizers bring libraries along")
@pytest.mark.parametrize("program", [DAEMONS / "master", COMMANDS / "postdrop", COMMANDS / "postqueue", COMMANDS / "sendmail"])
def test_programs_with_privileges_link_the_plainest_libraries(program):
    done = subprocess.run(["ldd", program], stdout=subprocess.PIPE, text=True, check=True, timeout=30)
    linked = {line.split()[0] for line in done.stdout.splitlines()}
    assert {name for name in linked if not name.startswith("/")} <= PLAIN, linked
