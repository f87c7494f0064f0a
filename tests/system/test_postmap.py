# SPDX-License-Identifier: ISC
"""postmap and postalias from outside: what they make, what readers see meanwhile, whose rights they use.

Expected values are what Postfix's own commands answer for the same sources.
"""

import os
import pwd
import shutil
import signal
import subprocess
import threading

import pytest

from instance import BUILD, COMMANDS, Instance

SOURCE = '''"a b"@x.com   v1
"quo\\"te\\\\d" v2
trail   v4   
k:  v5
only
# comment
cont one
# inner comment

\ttwo
 three   
UPPER Value MIXED
dup 1
dup 2
"unbal v
back\\ slash v9
'''

ALIASES = '''Root:   bob,   alice (comment),  "x y"@foo
"spa ce": |"/usr/bin/x -a  b"
foo.bar : :include:/etc/x, "|cmd  a b", /file/x
# c
x@y: z
list: a,
  b,
  c
empty:
a b: c
postmaster: root
wild: <a@b.c>, Joe Doe <joe@x.y>
'''


@pytest.fixture
def mail():
    instance = Instance()
    instance.write()
    yield instance
    instance.close()


def run(mail, name, *arguments, **options):
    return mail.command(name, *arguments, check=False, **options)


def listed(mail, spec, name="postmap"):
    return dict(line.split("\t", 1) for line in mail.command(name, "-s", spec).stdout.splitlines())


@pytest.mark.parametrize("kind", ["hash", "btree"])
def test_a_table_is_made_from_its_source(mail, kind):
    spec = f"{kind}:{mail.file('s', SOURCE)}"
    done = run(mail, "postmap", spec)
    assert done.returncode == 0 and done.stdout == ""
    for words in ('line 4: record is in "key: value" format; is this an alias file?', "line 5: expected format: key whitespace value",
                  'line 14: duplicate entry: "dup"', "line 15: unbalanced '\"'"):
        assert words in done.stderr
    assert listed(mail, spec) == {'"a b"@x.com': "v1", '"quo\\"te\\\\d"': "v2", "trail": "v4", "k:": "v5", "cont": "one\ttwo three",
                                  "upper": "Value MIXED", "dup": "1", "back\\ slash": "v9"}
    assert mail.command("postmap", "-q", "Upper", spec).stdout == "Value MIXED\n"
    assert run(mail, "postmap", "-q", "nothere", spec).returncode == 1
    assert run(mail, "postmap", "-fq", "Upper", spec).returncode == 1
    done = run(mail, "postmap", "-q", "-", spec, input="TRAIL\nnothere\nk:\n")
    assert (done.returncode, done.stdout) == (0, "TRAIL\tv4\nk:\tv5\n")
    assert run(mail, "postmap", "-q", "-", spec, input="nothere\n").returncode == 1


def test_the_default_type_and_relative_names(mail):
    mail.file("s", "a 1\n")
    mail.command("postmap", "s", cwd=mail.etc)
    assert mail.command("postmap", "-q", "a", "hash:s", cwd=mail.etc).stdout == "1\n"
    assert (mail.etc / "s.db").exists()


def test_aliases(mail):
    spec = f"hash:{mail.file('aliases', ALIASES)}"
    done = run(mail, "postalias", spec)
    assert "line 5: name must be local" in done.stderr and "line 9: need name:value pair" in done.stderr
    done = mail.command("postalias", "-s", spec)
    assert sorted(done.stdout.splitlines()) == sorted([
        "list:\ta, b, c", "postmaster:\troot", 'root:\tbob, alice (comment), "x y"@foo', 'spa ce:\t|"/usr/bin/x -a  b"',
        "wild:\t<a@b.c>, Joe Doe <joe@x.y>", "a b:\tc", 'foo.bar:\t:include:/etc/x, "|cmd  a b", /file/x'])
    assert mail.command("postalias", "-q", "ROOT", spec).stdout == 'bob, alice (comment), "x y"@foo\n'
    assert run(mail, "postalias", "-q", "-", spec, input="root\n").stdout == 'root:\tbob, alice (comment), "x y"@foo\n'


def test_changing_a_table(mail):
    source = mail.file("t", "k2 c\nk3 d\n")
    spec = f"hash:{source}"
    mail.command("postmap", spec)
    done = run(mail, "postmap", "-i", spec, input="k2 e\nk4 f\n")
    assert done.returncode == 0 and 'duplicate entry: "k2"' in done.stderr
    assert listed(mail, spec) == {"k2": "c", "k3": "d", "k4": "f"}
    assert run(mail, "postmap", "-wi", spec, input="k2 e\nk5 g\n").stderr == ""
    assert run(mail, "postmap", "-ri", spec, input="K2 e\n").stderr == ""
    assert listed(mail, spec) == {"k2": "e", "k3": "d", "k4": "f", "k5": "g"}
    assert run(mail, "postmap", "-d", "K5", spec).returncode == 0
    assert run(mail, "postmap", "-d", "k5", spec).returncode == 1
    assert run(mail, "postmap", "-d", "-", spec, input="k3\nk9\n").returncode == 0
    assert listed(mail, spec) == {"k2": "e", "k4": "f"}
    source.write_text("one 1\none 2\n")
    mail.command("postmap", "-r", spec)
    assert listed(mail, spec) == {"one": "2"}
    mail.command("postmap", "-fi", spec, input="Mixed x\n")
    assert mail.command("postmap", "-fq", "Mixed", spec).stdout == "x\n"


def test_nul_terminated_entries(mail):
    source = mail.file("t", "a 1\n")
    spec = f"hash:{source}"
    mail.command("postmap", "-N", spec)
    assert b"a\0" in (mail.etc / "t.db").read_bytes() or b"1\0" in (mail.etc / "t.db").read_bytes()
    assert mail.command("postmap", "-q", "a", spec).stdout == "1\n"
    mail.command("postmap", "-i", spec, input="b 2\n")
    assert listed(mail, spec) == {"a": "1", "b": "2"}
    assert mail.command("postmap", "-q", "b", spec).stdout == "2\n"


def test_tables_that_are_only_queried(mail):
    mail.file("c", "10.0.0.0/8 ten\n")
    mail.file("r", "/^x(.*)/ got $1\n")
    for spec, key, value in [("inline:{ a=b, { c = d e } }", "C", "d e"), ("static:yes", "any", "yes"), (f"cidr:{mail.etc}/c", "10.1.2.3", "ten"),
                             (f"regexp:{mail.etc}/r", "Xyz", "got yz"), (f"pcre:{mail.etc}/r", "xyz", "got yz"),
                             (f"texthash:{mail.etc}/c", "10.0.0.0/8", "ten")]:
        assert mail.command("postmap", "-q", key, spec).stdout == f"{value}\n", spec
    me = pwd.getpwuid(os.getuid())
    assert mail.command("postmap", "-q", me.pw_name, "unix:passwd.byname").stdout.split(":")[2] == str(me.pw_uid)
    assert mail.command("postmap", "-q", "a", "inline:{ x=y }", "static:z").stdout == "z\n"


@pytest.mark.parametrize("arguments, words", [
    ([], "usage: postmap"), (["-q", "a", "-s", "hash:x"], "specify only one of"), (["-q", "a", "nosuch:x"], "unsupported table type"),
    (["-q", "a", "hash:/nonexistent/x"], "No such file or directory"), (["hash:/nonexistent/x"], "No such file or directory"),
    (["regexp:/etc/passwd"], "not made by a command"), (["-q", "a", "fail:x"], "table fail:x"), (["-Z", "hash:x"], "usage: postmap"),
    (["-s", "static:x"], "cannot be listed"), (["-q", "a", "inline:"], "expecting \"type:name\""), (["hash:/etc"], "not a regular file"),
])
def test_what_cannot_be_done_is_said(mail, arguments, words):
    done = run(mail, "postmap", *arguments)
    assert done.returncode == 1 and words in done.stderr
    assert done.stdout == ""


def test_the_mode_follows_the_source_and_then_stays(mail):
    source = mail.file("t", "a 1\n", mode=0o640)
    table = mail.etc / "t.db"
    mail.command("postmap", f"hash:{source}")
    assert table.stat().st_mode & 0o777 == 0o640
    table.chmod(0o600)
    mail.command("postmap", f"hash:{source}")
    assert table.stat().st_mode & 0o777 == 0o600
    table.unlink()
    mail.command("postmap", "-p", f"hash:{source}")
    assert table.stat().st_mode & 0o777 == 0o644


def test_readers_see_the_old_table_or_the_new_one(mail):
    """postmap runs again and again, also killed at any moment, while a key that is always there is looked up."""
    lines = "".join(f"key{number} {'v' * 60}\n" for number in range(3000))
    source = mail.file("t", "always here\n" + lines)
    spec = f"hash:{source}"
    mail.command("postmap", spec)
    before = open(mail.etc / "t.db", "rb")          # held, so that its inode is not used again
    ended = threading.Event()
    wrong = []

    def keep_asking():
        while not ended.is_set():
            done = run(mail, "postmap", "-q", "always", spec)
            if (done.returncode, done.stdout) != (0, "here\n"):
                wrong.append((done.returncode, done.stdout, done.stderr))

    asker = threading.Thread(target=keep_asking)
    asker.start()
    try:
        environment = dict(os.environ, MAIL_CONFIG=str(mail.etc))
        for step in range(40):
            writer = subprocess.Popen([str(COMMANDS / "postmap"), spec], env=environment, stderr=subprocess.DEVNULL)
            if step % 2:
                try:
                    writer.wait(0.002 * (step % 20))
                except subprocess.TimeoutExpired:
                    writer.send_signal(signal.SIGKILL)
            writer.wait(60)
    finally:
        ended.set()
        asker.join()
    assert not wrong, wrong[:3]
    mail.command("postmap", spec)
    with before:
        assert (mail.etc / "t.db").stat().st_ino != os.fstat(before.fileno()).st_ino
    assert sorted(path.name for path in mail.etc.iterdir() if path.name.startswith("t.")) == ["t.db"]     # nothing left behind


def test_two_writers_lose_nothing(mail):
    source = mail.file("t", "first 0\n")
    spec = f"hash:{source}"
    mail.command("postmap", spec)
    environment = dict(os.environ, MAIL_CONFIG=str(mail.etc))
    writers = [subprocess.Popen([str(COMMANDS / "postmap"), "-i", spec], env=environment, stdin=subprocess.PIPE) for _ in range(12)]
    for number, writer in enumerate(writers):
        writer.stdin.write(f"key{number} {number}\n".encode())
        writer.stdin.close()
    assert [writer.wait(60) for writer in writers] == [0] * 12
    assert listed(mail, spec) == {"first": "0", **{f"key{number}": str(number) for number in range(12)}}


@pytest.mark.root
def test_a_table_of_somebody_else_does_not_get_him_what_he_may_not_read(mail):
    """He can let the name of the source lead to root's file, and root makes his table of that."""
    nobody = pwd.getpwnam("nobody")
    theirs = mail.root / "theirs"
    theirs.mkdir()
    secret = mail.file("secret", "root: password\n")
    secret.chmod(0o600)
    (theirs / "aliases").symlink_to(secret)
    for name in ("aliases.cdb", "plain.cdb"):
        (theirs / name).write_bytes(b"")
        os.chown(theirs / name, nobody.pw_uid, nobody.pw_gid)
    mail.command("postalias", f"cdb:{theirs}/aliases")
    made = (theirs / "aliases.cdb").stat()
    assert (made.st_uid, made.st_mode & 0o777) == (0, 0o600)
    (theirs / "plain").symlink_to(mail.file("plain", "a: b\n"))
    mail.command("postalias", f"cdb:{theirs}/plain")
    assert (theirs / "plain.cdb").stat().st_uid == nobody.pw_uid


@pytest.mark.root
def test_root_works_as_the_owner_of_the_source(mail):
    nobody = pwd.getpwnam("nobody")
    mail.set(shlib_directory=shutil.copytree(BUILD / "modules", mail.root / "modules"))         # he may not look into /root, for example
    theirs = mail.root / "theirs"
    theirs.mkdir()
    source = theirs / "t"
    source.write_text("a 1\n")
    for path in (theirs, source):
        os.chown(path, nobody.pw_uid, nobody.pw_gid)
    own = mail.file("own", "b 2\n")
    mail.command("postmap", f"hash:{source}", f"hash:{own}")
    assert (theirs / "t.db").stat().st_uid == nobody.pw_uid
    assert (mail.etc / "own.db").stat().st_uid == 0
    mail.command("postmap", "-i", f"hash:{source}", input="c 3\n")
    assert (theirs / "t.db").stat().st_uid == nobody.pw_uid
    # a source or table that leads to a file which its owner may not read or write
    secret = mail.file("secret", "root only\n", mode=0o600)
    (theirs / "trap").symlink_to(secret)
    os.lchown(theirs / "trap", nobody.pw_uid, nobody.pw_gid)
    (theirs / "t.db").unlink()
    (theirs / "t.db").symlink_to(secret)
    mail.command("postmap", f"hash:{source}")
    assert secret.read_text() == "root only\n"
    assert not (theirs / "t.db").is_symlink()
    # in a directory where the owner may not create files
    odd = mail.file("odd", "a 1\n")
    os.chown(odd, nobody.pw_uid, nobody.pw_gid)
    done = run(mail, "postmap", f"hash:{odd}")
    assert done.returncode == 1 and "Permission denied for the owner of the source (mend: -o, or make root its owner)" in done.stderr
    mail.command("postmap", "-o", f"hash:{odd}")
    assert (mail.etc / "odd.db").stat().st_uid == 0


FAILURES = """postmap|postmap -z|postmap -q x|postmap -q x hash:/nonexistent/y|postmap -q x bogus:/y|postmap hash:/nonexistent|postmap -s static:x|postmap -q x fail:x
postmap -c /nonexistent -q x static:y|postmap texthash:/etc/passwd hash:/nonexistent|postmap -d x static:x|postmap -q a -d b hash:/x|postalias|postalias hash:/nonexistent
postalias -bh hash:/x|postsuper -z|postsuper -d|postsuper -d ALL bogus|postsuper -c /nonexistent|postcat -z|postcat /nonexistent|postcat -q X|postcat -c /nonexistent /etc/passwd
postlog -z|postlog -p bogus foo|postlog -c /nonexistent foo"""


def test_whatever_goes_wrong_scripts_see_status_1_as_they_do_with_postfix(mail):
    for line in FAILURES.replace("\n", "|").split("|"):
        name, *arguments = line.split()
        done = run(mail, name, *arguments, input="")
        assert done.returncode == 1 and f"{name}: " in done.stderr, (line, done.returncode, done.stderr)
    assert run(mail, "postqueue", "-z").returncode == run(mail, "postqueue", "-i", "x").returncode == 69
