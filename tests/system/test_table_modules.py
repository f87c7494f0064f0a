# SPDX-License-Identifier: ISC
"""Table types as loadable modules: which file serves which type, what is said when it is not there, and who loads what."""

import contextlib
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from instance import BUILD, COMMANDS, IS_ROOT, Instance, wait_until

MODULES = {"hash": "bdb", "btree": "bdb", "lmdb": "lmdb", "pcre": "pcre", "pgsql": "pgsql", "mysql": "mysql", "sqlite": "sqlite", "ldap": "ldap", "redis": "redis"}
LIBRARY = re.compile(r"/(?:lib(?:db-|lmdb|pcre2|pq\.|mariadb|sqlite3|ldap|lber|hiredis)|modules/)[^/]*$", re.M)


@pytest.fixture
def mail(tmp_path):
    instance = Instance()
    modules = instance.root / "modules"
    modules.mkdir()
    for module in (BUILD / "modules").iterdir():
        (modules / module.name).symlink_to(module.resolve())
    instance.set(shlib_directory=modules)
    instance.modules = modules
    yield instance
    instance.close()


def ask(mail, spec, key):
    return mail.command("postmap", "-q", key, spec, check=False)


def test_a_type_is_there_when_its_module_is(mail):
    assert set(MODULES) <= set(mail.command("postconf", "-m").stdout.split())
    mail.command("postmap", f"hash:{mail.file('h', 'a 1' + chr(10))}", f"lmdb:{mail.file('l', 'a 1' + chr(10))}", f"cdb:{mail.file('c', 'a 1' + chr(10))}")
    for module in set(MODULES.values()):
        (mail.modules / f"{module}.so").unlink()
    left = mail.command("postconf", "-m").stdout.split()
    assert not set(MODULES) & set(left) and {"cdb", "texthash", "regexp", "tcp"} <= set(left)
    for kind, module in MODULES.items():
        done = ask(mail, f"{kind}:{mail.etc}/h", "a")
        assert done.returncode == 1
        assert f"no module for tables of type {kind}: {mail.modules}/{module}.so: No such file or directory (is its package installed?)" in done.stderr
    for arguments in ((f"hash:{mail.etc}/h",), ("-s", f"btree:{mail.etc}/h"), ("-i", f"lmdb:{mail.etc}/l"), ("-d", "a", f"hash:{mail.etc}/h")):
        done = mail.command("postmap", *arguments, check=False, input="")
        assert done.returncode == 1 and "is its package installed?" in done.stderr, arguments
    assert ask(mail, f"cdb:{mail.etc}/c", "a").stdout == "1\n"


def test_a_missing_module_is_a_temporary_failure_in_a_daemon(mail):
    mail.command("postmap", f"hash:{mail.file('h', 'a 1' + chr(10))}")
    (mail.modules / "bdb.so").unlink()
    mail.set(smtpd_recipient_restrictions=f"check_recipient_access hash:{mail.etc}/h permit")
    with mail:
        with mail.client() as client:
            client.ehlo()
            client.mail("a@example.net")
            assert client.rcpt("b@example.org")[0] == 451
        mail.wait_for_log(r"warning: hash:\S+ is unavailable. no module for tables of type hash: \S+bdb.so")


def test_dynamicmaps_says_which_file_it_is(mail):
    spec = f"hash:{mail.file('h', 'a 1' + chr(10))}"
    mail.command("postmap", spec)
    os.rename(mail.modules / "bdb.so", mail.modules / "other.so")
    assert "bdb.so" in ask(mail, spec, "a").stderr
    mail.file("dynamicmaps.cf", "# comment\n\nhash other.so dict_hash_open mkmap_hash_open\n")
    assert ask(mail, spec, "a").stdout == "1\n"
    assert "btree" not in mail.command("postconf", "-m").stdout.split() and "hash" in mail.command("postconf", "-m").stdout.split()
    # what packages put beside it, in order of names; the first line of a type counts
    (mail.etc / "dynamicmaps.cf.d").mkdir()
    (mail.etc / "dynamicmaps.cf.d" / "b").write_text(f"btree\t{mail.modules}/other.so\tdict_btree_open\nhash nonsense.so x\n")
    (mail.etc / "dynamicmaps.cf.d" / ".hidden").write_text("btree hidden.so x\n")
    done = ask(mail, spec, "a")
    assert done.stdout == "1\n" and "dynamicmaps.cf.d/b: there is another line for type hash" in done.stderr
    mail.command("postmap", f"btree:{mail.file('b', 'a 1' + chr(10))}")
    assert ask(mail, f"btree:{mail.etc}/b", "a").stdout == "1\n"
    # what Postfix's packages write is about files of another program
    (mail.modules / "bdb.so").symlink_to((BUILD / "modules" / "bdb.so").resolve())
    mail.file("dynamicmaps.cf", "hash postfix-hash.so dict_hash_open mkmap_hash_open\nlmdb\n")
    done = ask(mail, spec, "a")
    assert done.stdout == "1\n" and 'expected "type file function" instead of "lmdb"' in done.stderr


def test_what_is_no_module_for_the_type_is_not_used(mail):
    spec = f"hash:{mail.file('h', 'a 1' + chr(10))}"
    mail.file("dynamicmaps.cf", "hash lmdb.so x\n")
    assert "has nothing for this type" in ask(mail, spec, "a").stderr
    mail.file("dynamicmaps.cf", "hash text.so x\n")
    (mail.modules / "text.so").write_text("text")
    assert "text.so: " in ask(mail, spec, "a").stderr
    mail.file("dynamicmaps.cf", "hash libc.so x\n")
    shutil.copy("/lib/x86_64-linux-gnu/libz.so.1" if Path("/lib/x86_64-linux-gnu/libz.so.1").exists() else BUILD / "smtpd/smtpd", mail.modules / "libc.so")
    assert "fatal:" in ask(mail, spec, "a").stderr
    (mail.etc / "dynamicmaps.cf").unlink()
    (mail.modules / "bdb.so").unlink()
    shutil.copy(BUILD / "modules" / "bdb.so", mail.modules)
    (mail.modules / "bdb.so").chmod(0o666)
    assert "not loaded, because others than its owner" in ask(mail, spec, "a").stderr
    if IS_ROOT:
        (mail.modules / "bdb.so").chmod(0o644)
        shutil.chown(mail.modules / "bdb.so", "nobody")
        assert "not loaded, because others than its owner" in ask(mail, spec, "a").stderr


def mapped(pids):
    names = set()
    for pid in pids:
        with contextlib.suppress(OSError):          # it has ended since
            names |= {found.group() for found in LIBRARY.finditer(Path(f"/proc/{pid}/maps").read_text())}
    return sorted(names)


def test_who_does_not_use_a_type_does_not_load_its_library(mail):
    mail.set(smtpd_recipient_restrictions=f"check_recipient_access texthash:{mail.file('t', 'b@example.org OK' + chr(10))} permit")
    programs = ("smtpd", "cleanup", "qmgr", "smtp", "bounce")
    with mail:
        mail.send("Subject: x\n\nx\n", recipients=["b@example.org"])
        assert mail.pids("smtpd") and mapped(pid for program in programs for pid in mail.pids(program)) == []
        spec = f"hash:{mail.file('h', 'b@example.org OK' + chr(10))}"
        mail.command("postmap", spec)
        mail.set(smtpd_recipient_restrictions=f"check_recipient_access {spec} permit")
        mail.reload()
        mail.send("Subject: x\n\nx\n", recipients=["b@example.org"])
        with mail.client():
            wait_until(lambda: any("libdb-" in name for name in mapped(mail.pids("smtpd"))), 30, lambda: mapped(mail.pids("smtpd")))
        assert mapped(pid for program in programs[1:] for pid in mail.pids(program)) == []


@pytest.mark.parametrize("program", ["postdrop", "postqueue"])
def test_a_setgid_program_cannot_load_anything(program):
    done = subprocess.run(["nm", "-D", COMMANDS / program], stdout=subprocess.PIPE, text=True, check=True, timeout=30)
    assert " U " in done.stdout and not re.search(r"\b(dlopen|db_create|mdb_)", done.stdout)
