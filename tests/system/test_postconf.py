# SPDX-License-Identifier: ISC
"""postconf: what it prints and how it edits, in the shapes that scripts expect. Needs no running mail system."""

import contextlib
import fcntl
import json
import os
import shutil
import stat
import subprocess
import sys

import pytest

from instance import BUILD, COMMANDS

MAIN = """\
# the host
compatibility_level = 3.6
myhostname = mail.example.org
mydestination = $myhostname, localhost
  # in between
  example.com long-enough.example.org to-be-folded.example.org and-another-one.example.org
unknown = $undef
helper = x
relayhost = $helper
slow_destination_concurrency_limit = 3
inet_protocols=ipv4
"""

MASTER = """\
smtp inet n - y - - smtpd
  -o syslog_name=postfix/$service_name -v
  -o { smtpd_banner = hello world }
slow unix - - n - - smtp
maildrop  unix  -       n       n       -       -       pipe
  flags=DRXhu user=vmail argv=/usr/bin/maildrop -d ${recipient} {with blank}
"""


@pytest.fixture
def postconf(tmp_path):
    (tmp_path / "main.cf").write_text(MAIN)
    (tmp_path / "master.cf").write_text(MASTER)

    def run(*arguments, status=0):
        done = subprocess.run([COMMANDS / "postconf", "-c", str(tmp_path), *arguments], capture_output=True, text=True, timeout=60)
        assert done.returncode == status, done.stderr
        run.errors = done.stderr
        return done.stdout

    run.dir = tmp_path
    run.main = tmp_path / "main.cf"
    return run


def test_named_parameters_are_shown_in_the_order_of_the_question(postconf):
    assert postconf("relayhost", "myhostname", "virtual_alias_maps") == (
        "relayhost = $helper\nmyhostname = mail.example.org\nvirtual_alias_maps = $virtual_maps\n")


def test_values_are_expanded_on_request(postconf):
    assert postconf("-x", "relayhost", "myorigin") == "relayhost = x\nmyorigin = mail.example.org\n"


def test_defaults_do_not_look_at_main_cf(postconf):
    assert postconf("-d", "relayhost", "mydestination") == (
        "relayhost =\nmydestination = $myhostname, localhost.$mydomain, localhost\n")


def test_an_empty_value_has_no_space_behind(postconf):
    assert postconf("recipient_delimiter") == "recipient_delimiter =\n"


def test_names_or_values_alone(postconf):
    assert postconf("-h", "inet_protocols") == "ipv4\n"
    assert postconf("-H", "inet_protocols") == "inet_protocols\n"


def test_what_main_cf_sets_in_order_of_name(postconf):
    lines = postconf("-n").splitlines()
    assert [line.split(" =")[0] for line in lines] == [
        "compatibility_level", "config_directory", "helper", "inet_protocols", "mydestination", "myhostname", "relayhost",
        "slow_destination_concurrency_limit"]
    assert "mydestination = $myhostname, localhost example.com long-enough.example.org to-be-folded.example.org " \
        "and-another-one.example.org" in lines


def test_everything_is_listed_once_in_order(postconf):
    names = [line.split(" =")[0] for line in postconf().splitlines()]
    assert len(names) > 100
    assert names == sorted(set(names))
    assert "slow_destination_recipient_limit" in names


def test_classes_of_parameters(postconf):
    assert postconf("-C", "user") == "helper = x\n"
    assert "slow_destination_concurrency_limit = 3\n" in postconf("-C", "service")
    assert "myhostname" not in postconf("-C", "service")


def test_long_lines_are_folded(postconf):
    assert postconf("-f", "mydestination") == (
        "mydestination = $myhostname, localhost example.com long-enough.example.org\n"
        "    to-be-folded.example.org and-another-one.example.org\n")


def test_unknown_unused_undefined_and_planned_are_told(postconf):
    assert postconf("nonsense") == ""
    assert "postconf: warning: nonsense: unknown parameter\n" in postconf.errors
    assert f"postconf: warning: {postconf.main}: unused parameter: unknown=$undef\n" in postconf.errors
    assert f"postconf: warning: {postconf.main}: undefined parameter: undef\n" in postconf.errors
    postconf("-e", "qmgr_clog_warn_time=2s")
    assert postconf("-n", "qmgr_clog_warn_time") == "qmgr_clog_warn_time = 2s\n"
    assert "qmgr_clog_warn_time is a Postfix parameter that is not supported yet" in postconf.errors
    postconf("-e", "html_directory=/x")
    postconf("-n")
    assert "html_directory is a Postfix parameter that has no effect here: documents are" in postconf.errors


def test_override_for_one_question(postconf):
    assert postconf("-o", "relayhost=abc", "relayhost") == "relayhost = abc\n"
    assert postconf("-o", "{ helper = z }", "-x", "relayhost") == "relayhost = z\n"


def test_a_missing_or_broken_main_cf_is_an_error_with_file_and_line(postconf):
    postconf.main.write_text("a = b\nnonsense\n")
    postconf(status=1)
    assert postconf.errors == f"postconf: fatal: {postconf.main}, line 2: missing '=' after attribute name: \"nonsense\"\n"
    postconf.main.unlink()
    postconf(status=1)
    assert str(postconf.main) in postconf.errors
    assert postconf("-d", "relayhost") == "relayhost =\n"


def test_master_rows(postconf):
    assert postconf("-M") == (
        "smtp       inet  n       -       y       -       -       smtpd -o syslog_name=postfix/$service_name -v "
        "-o {smtpd_banner=hello world}\n"
        "slow       unix  -       -       n       -       -       smtp\n"
        "maildrop   unix  -       n       n       -       -       pipe flags=DRXhu user=vmail argv=/usr/bin/maildrop "
        "-d ${recipient} {with blank}\n")
    assert postconf("-M", "slow/unix") == "slow       unix  -       -       n       -       -       smtp\n"
    assert postconf("-M", "fast/unix") == ""
    assert 'warning: unmatched request: "fast/unix"' in postconf.errors


def test_master_rows_folded(postconf):
    assert postconf("-Mf", "smtp") == (
        "smtp       inet  n       -       y       -       -       smtpd\n"
        "    -o syslog_name=postfix/$service_name\n"
        "    -v\n"
        "    -o {smtpd_banner=hello world}\n")
    assert postconf("-Mf", "maildrop").splitlines()[1] == "    user=vmail argv=/usr/bin/maildrop -d ${recipient} {with blank}"


def test_master_columns(postconf):
    assert postconf("-F", "slow/unix") == (
        "slow/unix/service = slow\nslow/unix/type = unix\nslow/unix/private = -\nslow/unix/unprivileged = -\n"
        "slow/unix/chroot = n\nslow/unix/wakeup = -\nslow/unix/process_limit = -\nslow/unix/command = smtp\n")
    assert postconf("-Fh", "*/inet/chroot") == "y\n"


def test_master_overrides(postconf):
    assert postconf("-P") == (
        "smtp/inet/smtpd_banner = hello world\nsmtp/inet/syslog_name = postfix/$service_name\n")
    assert postconf("-Px", "smtp/inet/syslog_name") == "smtp/inet/syslog_name = postfix/smtp\n"


def test_edit_replaces_appends_and_keeps_the_rest(postconf):
    os.chmod(postconf.main, 0o640)
    postconf("-e", "mydestination=zzz", "newone = y z", "relayhost=")
    assert postconf.main.read_text() == (
        MAIN.replace("mydestination = $myhostname, localhost\n  # in between\n"
                     "  example.com long-enough.example.org to-be-folded.example.org and-another-one.example.org\n",
                     "mydestination = zzz\n  # in between\n")
            .replace("relayhost = $helper", "relayhost = ") + "newone = y z\n")
    assert stat.S_IMODE(postconf.main.stat().st_mode) == 0o640
    assert sorted(os.listdir(postconf.dir)) == ["main.cf", "master.cf"]


def test_edit_by_assignment_alone(postconf):
    postconf("relayhost=[gate.example.org]:587")
    assert postconf("-h", "relayhost") == "[gate.example.org]:587\n"


def test_remove_and_comment_out(postconf):
    postconf("-X", "mydestination", "not_there")
    assert "mydestination" not in postconf.main.read_text()
    assert "example.com" not in postconf.main.read_text()
    postconf("-#", "relayhost")
    assert "#relayhost = $helper\n" in postconf.main.read_text()


def test_edit_refuses_what_would_not_be_one_setting(postconf):
    for arguments in (["-e", "foo"], ["-e", "#foo = bar"], ["-e", "a = b\nc = d"], ["-e", "a b = c"], ["-X", "a=b"], ["-e"]):
        postconf(*arguments, status=1)
        assert postconf.main.read_text() == MAIN


def test_manual_page_documents_every_parameter(postconf):
    page = postconf("--man")
    names = [line.split(" =")[0] for line in postconf("-d", "-C", "builtin").splitlines()]
    for name in names:
        assert f".TP\n.B {name}\n" in page, name


def test_table_types(postconf):
    postconf.main.write_text(f"shlib_directory = {BUILD}/modules\n")
    types = postconf("-m").split()
    assert types == sorted(types)
    assert {"hash", "btree", "texthash", "static", "inline", "cidr", "regexp", "pcre"} <= set(types)


def test_a_word_is_proposed_for_a_mistyped_one(postconf):
    assert postconf("relayhsot") == ""
    assert "relayhsot: unknown parameter (did you mean relayhost?)" in postconf.errors
    postconf("slow_destination_concurency_limit")
    assert "(did you mean slow_destination_concurrency_limit?)" in postconf.errors
    postconf("nothing_like_it_anywhere")
    assert "did you mean" not in postconf.errors


def test_json(postconf):
    assert json.loads(postconf("-nj"))["relayhost"] == "$helper"
    assert json.loads(postconf("-jx", "relayhost", "myorigin")) == {"relayhost": "x", "myorigin": "mail.example.org"}
    rows = json.loads(postconf("-Mj"))
    assert [(row["service"], row["type"], row["command"]) for row in rows] == [
        ("smtp", "inet", "smtpd"), ("slow", "unix", "smtp"), ("maildrop", "unix", "pipe")]
    assert rows[2]["arguments"][-2:] == ["${recipient}", "with blank"]
    assert json.loads(postconf("-Fj", "slow"))["slow/unix/chroot"] == "n"
    assert json.loads(postconf("-Pj")) == {"smtp/inet/smtpd_banner": "hello world", "smtp/inet/syslog_name": "postfix/$service_name"}
    assert "texthash" in json.loads(postconf("-mj"))
    assert json.loads(postconf("-lj")) == ["flock", "fcntl", "dotlock"]
    assert json.loads(postconf("-j", "nonsense")) == {}
    postconf.main.write_bytes(b'helper = "a\\b\x01\xff"\nmyorigin = $helper\n')
    assert json.loads(postconf("-j", "helper")) == {"helper": '"a\\b\x01\xff"'}


def test_what_is_set_and_differs_and_what_is_set_for_nothing(postconf):
    postconf("-e", "smtpd_banner=$myhostname ESMTP $mail_name", "mail_name=Postroad", "soft_bounce=no", "queue_minfree=1")
    assert {"soft_bounce", "mail_name", "smtpd_banner"} <= {line.split(" =")[0] for line in postconf("-N").splitlines()}
    assert "relayhost = $helper" in postconf("-D")
    assert not {"soft_bounce =", "mail_name ="} & {line.split(" ")[0] + " =" for line in postconf("-D").splitlines()}


def test_quiet_says_nothing_of_unused_parameters(postconf):
    postconf("-q", "relayhost")
    assert "unused" not in postconf.errors


def test_a_checked_edit_refuses_what_a_program_would_refuse(postconf):
    before = postconf.main.read_text()
    postconf("-E", "smtpd_timeout=forever", status=1)
    assert "smtpd_timeout = forever: a time from" in postconf.errors
    assert postconf.main.read_text() == before
    postconf("-E", "smtpd_timeout=10s")
    assert postconf("-h", "smtpd_timeout") == "10s\n"


def test_what_was_commented_out_comes_back(postconf):
    before = postconf.main.read_text()
    postconf("-#", "mydestination", "relayhost")
    assert postconf("-n", "relayhost", "mydestination") == ""
    postconf("-r", "mydestination", "relayhost")
    assert postconf.main.read_text() == before


def test_explain(postconf):
    text = postconf("--explain", "relayhost")
    assert f"set in     {postconf.main}, line 9\n" in text
    assert "value      $helper\n" in text and "which is   x\n" in text and "type       text" in text
    assert "smtp/inet has hello world" in postconf("--explain", "smtpd_banner")
    assert "yes or no" in postconf("--explain", "soft_bounce")
    assert "not supported yet" in postconf("--explain", "qmgr_clog_warn_time")
    facts = json.loads(postconf("-j", "--explain", "smtpd_timeout"))["smtpd_timeout"]
    assert facts["type"].startswith("time, from 1s") and facts["default"] == "${stress?{10}:{300}}s" and facts["read by"] == "smtpd"
    assert postconf("--explain", "relayhsot") == "" and "did you mean relayhost" in postconf.errors


def test_differences_between_two_configurations(postconf):
    other = postconf.dir / "other"
    other.mkdir()
    for name in ("main.cf", "master.cf"):
        shutil.copy(postconf.dir / name, other)
    assert postconf("--diff", str(other)) == ""
    with (other / "main.cf").open("a") as f:
        f.write("helper = y\nsoft_bounce = no\nmydestination = localhost\n")
    (other / "master.cf").write_text(MASTER.replace("slow unix - - n", "slow unix - - y"))
    text = postconf("--diff", str(other), status=1)
    assert "-helper = x\n+helper = y\n" in text
    assert "-relayhost = x\n+relayhost = y\n" in text          # $helper in both
    assert "proxy_read_maps" not in text and "-mydestination = " in text        # a default of names that are told
    assert "soft_bounce" not in text           # the default, written out
    assert "-slow       unix  -       -       n" in text and "+slow       unix  -       -       y" in text
    found = json.loads(postconf("-j", "--diff", str(other), status=1))
    assert found["helper"] == {"here": "x", "there": "y"} and "master.cf slow/unix" in found


def test_an_edit_follows_a_symbolic_link_and_keeps_owner_and_mode(postconf):
    real = postconf.dir / "elsewhere"
    real.mkdir()
    shutil.move(postconf.main, real / "real.cf")
    postconf.main.symlink_to(real / "real.cf")
    os.chmod(real / "real.cf", 0o640)
    if os.getuid() == 0:
        os.chown(real / "real.cf", 1, 2)
    owner = os.stat(real / "real.cf")
    postconf("-e", "relayhost=linked")
    assert postconf.main.is_symlink()
    now = os.stat(real / "real.cf")
    assert (now.st_uid, now.st_gid, now.st_mode) == (owner.st_uid, owner.st_gid, owner.st_mode)
    assert "relayhost = linked\n" in (real / "real.cf").read_text()
    assert os.listdir(real) == ["real.cf"]


def test_editors_at_once_lose_nothing_and_readers_always_see_a_whole_file(postconf):
    script = ("import subprocess,sys\nfor i in range(2):\n"
              " subprocess.run([sys.argv[1],'-c',sys.argv[2],'-e',f'user_{sys.argv[3]}_{i}=1'],check=True)\n"
              " subprocess.run([sys.argv[1],'-c',sys.argv[2],'-Pe',f'slow/unix/user_{sys.argv[3]}_{i}=1'],check=True)\n")
    editors = [subprocess.Popen([sys.executable, "-c", script, COMMANDS / "postconf", postconf.dir, str(n)]) for n in range(20)]
    while any(editor.poll() is None for editor in editors):
        assert "# the host" in postconf.main.read_text() and "inet_protocols=ipv4\n" in postconf.main.read_text()
        assert "maildrop" in (postconf.dir / "master.cf").read_text()
    assert [editor.wait(timeout=60) for editor in editors] == [0] * 20
    wanted = {f"user_{n}_{i}" for n in range(20) for i in range(2)}
    assert {line.split(" =")[0] for line in postconf.main.read_text().splitlines()} >= wanted
    assert {name.split("/")[-1] for name in postconf("-PH", "slow").split()} >= wanted
    assert sorted(os.listdir(postconf.dir)) == ["main.cf", "master.cf"]


def test_nobody_who_may_only_read_can_keep_an_editor_waiting(postconf):
    with contextlib.ExitStack() as held:
        for path in postconf.dir, postconf.main:
            fd = os.open(path, os.O_RDONLY)
            held.callback(os.close, fd)
            fcntl.flock(fd, fcntl.LOCK_EX)
        postconf("-e", "relayhost=a")
        postconf("-e", "relayhost=a")                          # changes nothing
        postconf("-e", "no assignment", status=1)
        postconf.dir.joinpath("main.cf.tmp").write_text("what a killed editor left, and longer than what comes" * 100)
        postconf("-e", "relayhost=b")
    assert "relayhost = b\n" in postconf.main.read_text() and "killed" not in postconf.main.read_text()
    assert sorted(os.listdir(postconf.dir)) == ["main.cf", "master.cf"]
