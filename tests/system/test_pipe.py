# SPDX-License-Identifier: ISC
"""pipe: commands that master.cf names, their arguments, what they get to read, what their end means."""

import os
import pwd
import re

import pytest

from instance import IS_ROOT, wait_until

USER, OTHER = ("games", "news") if IS_ROOT else (pwd.getpwuid(os.geteuid()).pw_name,) * 2
MESSAGE = "From: a@example.net\r\nTo: b@example.org\r\nSubject: s\r\n\r\nhello\r\nFrom the start\r\n..dots\r\n"


@pytest.fixture
def pipe(instance):
    """pipe("flags=... argv=..."): mail for p.example goes through that service; ROOT/out may be written by everybody."""

    def make(attributes, script=None, start=True, **main):
        one = instance(start=False)
        out = one.root / "out"
        out.mkdir()
        out.chmod(0o1777)
        program = one.root / "program"
        program.write_text("#!/bin/sh\n" + (script or 'printf "%s\\n" "$@" > ROOT/out/arguments; cat > ROOT/out/input\n').replace("ROOT", str(one.root)))
        program.chmod(0o755)
        one.master_extra = "through unix - n n - 10 pipe\n  " + attributes.replace("ROOT", str(one.root)) + "\n"
        one.main.update({"mydestination": "", "transport_maps": "inline:{ {p.example = through:Next.Hop} }", "relay_domains": "p.example",
                         "minimal_backoff_time": "600s", "queue_run_delay": "600s", "recipient_delimiter": "+", **main})
        return one.start() if start else one

    return make


def status(one, address, verdict):
    line = one.wait_for_log(rf"pipe\[\d+\]: \S+: to=<{re.escape(address)}>, .*relay=through, .*status={verdict} \(")[0]
    return re.search(r"dsn=(\S+), status=\w+ \((.*)\)$", line).groups()


def test_a_command_gets_arguments_and_the_message_as_its_user(pipe):
    one = pipe(f"user={USER} argv=ROOT/program -f $sender -i {{with blank}} $$x $nexthop $recipient",
               script='printf "%s\\n" "$@" > ROOT/out/arguments; cat > ROOT/out/input; id -un > ROOT/out/who; ls /proc/self/fd > ROOT/out/fds; env > ROOT/out/env\n',
               export_environment="GREETING=hi {FAREWELL = bye, all}")
    one.send(MESSAGE, recipients=["Joe+x@p.example", "ann@p.example"])
    assert status(one, "Joe+x@p.example", "sent") == ("2.0.0", "delivered via through service")
    assert status(one, "ann@p.example", "sent") == ("2.0.0", "delivered via through service")
    out = one.root / "out"
    assert (out / "arguments").read_text().splitlines() == ["-f", "sender@example.net", "-i", "with blank", "$x", "Next.Hop",
                                                            "Joe+x@p.example", "ann@p.example"]
    message = (out / "input").read_bytes()
    assert message.startswith(b"Received: from ") and message.endswith(b"\n\nhello\nFrom the start\n..dots\n")
    assert b"\r" not in message
    assert (out / "who").read_text().strip() == USER
    assert len((out / "fds").read_text().split()) == 4      # the fourth is that of ls
    environment = (out / "env").read_text().splitlines()
    assert "GREETING=hi" in environment and "FAREWELL=bye, all" in environment
    assert {line.partition("=")[0] for line in environment} <= {"PATH", "GREETING", "FAREWELL", "PWD", "SHLVL", "_", "OLDPWD"}
    one.wait_empty()


def test_hundreds_of_recipients_are_as_many_arguments(pipe):
    one = pipe(f"user={USER} argv=ROOT/program $recipient $user", script='echo $# > ROOT/out/count\n', through_destination_recipient_limit="1000")
    one.send(MESSAGE, recipients=[f"r{number}@p.example" for number in range(300)])
    assert status(one, "r299@p.example", "sent") == ("2.0.0", "delivered via through service")
    assert (one.root / "out/count").read_text() == "600\n"


def test_a_path_that_is_exported_is_the_only_one(pipe):
    """Of two, one program would take the first and another the last."""
    one = pipe(f"user={USER} argv=/usr/bin/env", export_environment="PATH=/own:/bin")
    one.send(MESSAGE, recipients=["joe@p.example"])
    assert status(one, "joe@p.example", "sent") == ("2.0.0", "delivered via through service (PATH=/own:/bin)")


def test_flags_and_line_ends_shape_what_it_reads(pipe):
    one = pipe(f"flags=BDFOR.> user={USER} eol=\\r\\n directory=ROOT/out argv=ROOT/program $original_recipient",
               script='cat > input; pwd > where\n', through_destination_recipient_limit="1")
    one.send(MESSAGE, recipients=["joe@p.example"])
    assert status(one, "joe@p.example", "sent")[0] == "2.0.0"
    lines = (one.root / "out/input").read_bytes().split(b"\r\n")
    assert lines[0].startswith(b"From sender@example.net  ")
    assert lines[1:4] == [b"Return-Path: <sender@example.net>", b"X-Original-To: joe@p.example", b"Delivered-To: joe@p.example"]
    assert lines[-6:] == [b"", b"hello", b">From the start", b"...dots", b"", b""]
    assert (one.root / "out/where").read_text().strip() == f"{one.root}/out"


def test_mail_that_came_through_before_and_mail_that_is_too_large_come_back(pipe):
    one = pipe(f"flags=D user={USER} size=2000 argv=ROOT/program", through_destination_recipient_limit="1")
    one.send("Delivered-To: JOE@p.example\r\n" + MESSAGE, recipients=["joe@p.example"])
    assert status(one, "joe@p.example", "bounced") == ("5.4.6", "mail forwarding loop for joe@p.example")
    one.send(MESSAGE + "x" * 900 + "\r\n" + "y" * 900 + "\r\n", recipients=["big@p.example"])
    dsn, text = status(one, "big@p.example", "bounced")
    assert dsn == "5.2.3" and "exceeds size limit 2000" in text
    assert not (one.root / "out/input").exists()


@pytest.mark.parametrize("script, verdict, dsn, text", [
    ("echo all is well; cat > /dev/null", "sent", "2.0.0", "delivered via through service (all is well)"),
    ("exit 75", "deferred", "4.3.0", "temporary failure"),
    ("echo nobody here; exit 67", "bounced", "5.1.1", "user unknown. Command output: nobody here"),
    ("echo 4.2.2 full; exit 67", "deferred", "4.2.2", "full"),
    ("exit 99", "bounced", "5.3.0", 'Command died with status 99: "ROOT/program"'),
    ("kill -9 $$", "deferred", "4.3.0", 'Command died with signal 9: "ROOT/program"'),
])
def test_its_end_decides(pipe, script, verdict, dsn, text):
    one = pipe(f"user={USER} argv=ROOT/program", script=script + "\n")
    one.send(MESSAGE, recipients=["joe@p.example"])
    assert status(one, "joe@p.example", verdict) == (dsn, text.replace("ROOT", str(one.root)))


def test_a_command_that_takes_too_long_is_killed(pipe):
    one = pipe(f"user={USER} argv=ROOT/program", script="cat > /dev/null; sleep 1000\n", through_time_limit="1s")
    one.send(MESSAGE, recipients=["joe@p.example"])
    assert "Command time limit exceeded" in status(one, "joe@p.example", "deferred")[1]


def test_who_only_asks_hears_what_command_it_would_be(pipe):
    one = pipe(f"user={USER} argv=ROOT/program")
    one.command("sendmail", "-bv", "-f", "a@elsewhere.example", "joe@p.example")
    assert status(one, "joe@p.example", "deliverable") == ("2.0.0", f"delivers to command: {one.root}/program")
    assert not (one.root / "out/input").exists()


def test_who_asked_hears_of_relayed_or_delivered(pipe):
    one = pipe(f"flags=X user={USER} argv=ROOT/program")
    one.send(MESSAGE, recipients=["joe@p.example"], rcpt_options=["NOTIFY=SUCCESS"])
    status(one, "joe@p.example", "sent")
    one.wait_for_log("sender delivery status notification")


def test_without_the_limit_that_its_header_needs_mail_for_one_is_delivered_and_mail_for_two_waits(pipe):
    """As with Postfix: many a site has never had two recipients in one mail, and not noticed."""
    one = pipe(f"flags=D user={USER} argv=ROOT/program")
    one.send(MESSAGE, recipients=["joe@p.example"])
    status(one, "joe@p.example", "sent")
    one.send(MESSAGE, recipients=["ann@p.example", "bob@p.example"])
    for name in ("ann", "bob"):
        assert status(one, f"{name}@p.example", "deferred") == ("4.3.5", "flags D and O need through_destination_recipient_limit = 1")
    one.wait_for_log("warning: flags D and O need one recipient at a time: mail for more waits until main.cf says through_destination_recipient_limit = 1")


@pytest.mark.root
@pytest.mark.parametrize("attributes, words", [
    ("user=root argv=/bin/true", "not run with root's rights"),
    ("user=daemon argv=/bin/true", "not run with the mail system's own rights"),
    ("user=nosuchuserhere argv=/bin/true", "no such user"),
    ("user=games:nosuchgroup argv=/bin/true", "no such group"),
    ("flags=? user=games argv=/bin/true", "unknown flag"),
    ("user=games", "no command"),
])
def test_a_row_that_must_not_be_is_refused_and_the_mail_waits(pipe, attributes, words):
    """Also over a stop, which does not wait for an agent that never comes."""
    one = pipe(attributes, stop_time_limit="300s")
    one.send(MESSAGE, recipients=["joe@p.example"])
    one.wait_for_log(rf"fatal: .*{words}", timeout=30)
    wait_until(lambda: "joe@p.example" in one.command("postqueue", "-p").stdout, 30, one.log_tail)
    one.stop()
    assert "joe@p.example" in one.command("postqueue", "-p").stdout and not one.log_lines("status=")


@pytest.mark.root
def test_a_command_may_be_shut_into_a_directory(pipe):
    """With a root of its own there is no /bin/sh: the program that is asked for is not found there, and nothing else is run instead."""
    one = pipe(f"user={USER} chroot=ROOT/out argv=/program", script="exit 0\n")
    one.send(MESSAGE, recipients=["joe@p.example"])
    dsn, text = status(one, "joe@p.example", "deferred")
    assert dsn == "4.3.0" and "cannot execute /program: No such file or directory" in text
