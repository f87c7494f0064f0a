# SPDX-License-Identifier: ISC
"""Mail from programs on this machine: sendmail, postdrop, maildrop/, pickup."""

import contextlib
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess

import pytest

from instance import COMMANDS, IS_ROOT, PATIENCE, SANITIZED, processes_below, wait_until
from sink import Sink

MESSAGE = "To: someone@example.com\nSubject: hello\n\nfirst line\n.leading dot\nlast line\n"
ROWS = "hole unix - - n - - discard\n"


@pytest.fixture
def still(instance, tmp_path):
    """An instance whose directories exist and that does not run: nobody takes anything out of maildrop/."""
    one = instance(master=ROWS, main={"default_transport": "hole:", "local_transport": "hole:"})
    one.stop()
    return one


@pytest.fixture
def running(instance):
    return instance(master=ROWS, main={"default_transport": "hole:", "local_transport": "hole:"})


def maildrop(one):
    return sorted(path for path in (one.queue / "maildrop").iterdir())


def content(one, path=None):
    """The message in maildrop/ or hold/ as postcat shows it, without the envelope."""
    path = path or maildrop(one)[0]
    return one.command("postcat", "-bh", path, input=b"").stdout


def envelope(one):
    return one.command("postcat", "-e", maildrop(one)[0]).stdout


def test_success_while_the_system_is_down_means_a_file_in_maildrop(still):
    still.command("sendmail", "-i", "-f", "me@example.net", "someone@example.com", input=MESSAGE)
    assert len(maildrop(still)) == 1
    assert MESSAGE.encode() in content(still)
    assert "me@example.net" in envelope(still)
    assert "someone@example.com" in envelope(still)


def test_success_is_said_to_callers_who_ignore_their_children(still):
    """As a program in Perl with $SIG{CHLD} = "IGNORE": what it starts inherits that, and would never hear of a child of its own."""
    still.command("sendmail", "-i", "someone@example.com", input=MESSAGE, preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN))


def test_what_waited_in_maildrop_goes_out_at_the_start(still):
    still.command("sendmail", "-f", "me@example.net", "someone@example.com", input=MESSAGE)
    still.start()
    still.wait_for_log(r"pickup\[\d+\]: \w+: uid=%d from=<me@example.net>" % os.getuid())
    still.wait_for_log(r"to=<someone@example.com>, relay=none, .*status=sent")
    wait_until(lambda: not maildrop(still), 30, "maildrop empty")


def test_a_message_is_picked_up_at_once(running):
    running.command("sendmail", "-f", "me@example.net", "someone@example.com", input=MESSAGE)
    running.wait_for_log(r"to=<someone@example.com>, .*status=sent", timeout=30)    # master's timer would take a minute
    wait_until(lambda: not maildrop(running), 30, "maildrop empty")


def test_submissions_at_the_same_time_do_not_wait_for_the_timer(running):
    environment = dict(os.environ, MAIL_CONFIG=str(running.etc))
    script = "i=0; while [ $i -lt 40 ]; do \"$0\" -i -f me@example.net someone@example.com </dev/null || exit 1; i=$((i+1)); done"
    shells = [subprocess.Popen(["sh", "-c", script, COMMANDS / "sendmail"], env=environment) for _ in range(5)]
    assert [shell.wait(120 * PATIENCE) for shell in shells] == [0] * 5
    running.wait_for_log("to=<someone@example.com>, .*status=sent", count=200, timeout=30)
    wait_until(lambda: not maildrop(running), 30, "maildrop empty")


@pytest.mark.skipif(not IS_ROOT, reason="maildrop must belong to somebody else for a while")
def test_what_cannot_be_removed_from_maildrop_is_sent_once_and_bounds_what_else_is_sent(running):
    # a file that is through and stays would be sent again by the next pickup: so there are never more than 50 of them
    dialogue = "MAIL FROM:<me@example.net>\r\nRCPT TO:<someone@example.com>\r\nDATA\r\nhello\r\n.\r\n"
    place, before = running.queue / "maildrop", (running.queue / "maildrop").stat()
    sent = r"pickup\[\d+\]: \w+: uid=\d+ from="
    os.chown(place, 0, before.st_gid)
    place.chmod(0o750)
    running.command("sendmail", "-bs", input=("EHLO me\r\n" + 70 * dialogue + "QUIT\r\n").encode())
    running.wait_for_log("cannot remove maildrop file", count=50)
    assert len(maildrop(running)) == 70 and len(running.log_lines(sent)) == 50
    os.chown(place, before.st_uid, before.st_gid)
    place.chmod(before.st_mode)
    wait_until(lambda: not maildrop(running), 60, "maildrop empty")
    assert len(running.wait_for_log(sent, count=70)) == 70, "each was sent once"


def test_sendmail_bs_speaks_smtp_and_the_message_goes_its_way(running):
    dialogue = "EHLO me\r\nMAIL FROM:<me@example.net>\r\nRCPT TO:<someone@example.com>\r\nDATA\r\n" \
        "Subject: x\r\n\r\nhello\r\n..dot\r\n.\r\nQUIT\r\n"
    done = running.command("sendmail", "-bs", input=dialogue.encode())
    assert re.search(rb"250 2.0.0 Ok: queued as \w+", done.stdout)
    line, *_ = running.wait_for_log(r"pickup\[\d+\]: \w+: uid=\d+ from=<me@example.net>$")
    identity = re.search(r"pickup\[\d+\]: (\w+):", line).group(1)
    running.wait_for_log(rf"cleanup\[\d+\]: {identity}: message-id=")
    running.wait_for_log(rf"qmgr\[\d+\]: {identity}: removed")


def test_a_lone_dot_ends_the_message_unless_i_is_given(still):
    still.command("sendmail", "a@example.com", input="Subject: x\n\nbefore\n.\nafter\n")
    assert b"before\n" in content(still) and b"after" not in content(still)
    maildrop(still)[0].unlink()
    still.command("sendmail", "-oi", "a@example.com", input="Subject: x\n\nbefore\n.\nafter\n")
    assert b"before\n.\nafter\n" in content(still)


def test_lines_of_a_mailbox_in_front_of_the_message_are_left_out(still):
    still.command("sendmail", "-t", input="From a Mon Nov 23\n>From b\n>>From c\nTo: a@example.com\n\nFrom here\n")
    assert content(still).endswith(b"To: a@example.com\n\nFrom here\n") and b"Nov 23" not in content(still) and b">" not in content(still)


def test_the_configuration_is_a_directory_or_its_main_cf(still):
    for name in (still.etc, still.etc / "main.cf", "main.cf"):
        still.command("sendmail", "-C", name, "a@example.com", input="x\n", cwd=still.etc)
    assert len(maildrop(still)) == 3


def test_line_ends_become_lf(still):
    still.command("sendmail", "-i", "a@example.com", input=b"Subject: x\r\n\r\none\r\ntwo\rthree\nfour")
    assert b"Subject: x\n\none\ntwo\rthree\nfour\n" in content(still)


def test_long_lines_and_binary_content_pass_unchanged(still):
    body = b"x" * 200000 + b"\r\n" + bytes(range(1, 256)).replace(b"\n", b"").replace(b"\r", b"") + b"\0end\n"
    still.command("sendmail", "-i", "a@example.com", input=b"Subject: x\n\n" + body)
    assert body.replace(b"\r\n", b"\n") in maildrop(still)[0].read_bytes()


def test_options_shape_the_envelope(still):
    still.command("sendmail", "-i", "-N", "success,delay", "-R", "hdrs", "-V", "env-1", "-F", "My Name", "-B", "8BITMIME",
                  "-f", "<me@example.net>", "a@example.com, B Person <b@example.com>", input="\nhello\n")
    text = maildrop(still)[0].read_text()
    assert re.search(r"^sender\tme@example.net$", text, re.M)
    assert "env-1" in text and "My Name" in text
    assert re.search(r"^to\t0\ta@example.com\t", text, re.M) and re.search(r"^to\t1\tb@example.com\t", text, re.M)


def test_the_environment_may_name_the_sender(still, monkeypatch):
    monkeypatch.setenv("NAME", "Zed Zett")
    still.command("sendmail", "a@example.com", input="hello\n")
    assert "full_name=Zed Zett\n" in envelope(still)
    still.command("sendmail", "-F", "My Name", "a@example.com", input="hello\n")
    assert any("\nfull_name\tMy Name\n" in path.read_text() for path in maildrop(still))


def test_recipients_behind_brackets_that_do_not_match_get_the_mail(running):
    message = "To: ann@example.com>, joe <joe@example.com\nCc: bob@example.com (unclosed\n\nx\n"
    assert running.command("sendmail", "-t", input=message).stderr == ""
    for name in ("ann", "joe", "bob"):
        running.wait_for_log(f"to=<{name}@example.com>.* status=sent")


def test_who_asks_for_a_report_is_warned_of_delays_as_everybody_is(still):
    for options, flags in (([], []), (["-v"], ["SUCCESS,FAILURE,DELAY"]), (["-v", "-N", "failure"], ["FAILURE"]), (["-N", "never", "-v"], ["NEVER"])):
        still.command("sendmail", *options, "a@example.com", input="x\n")
        assert re.findall("notify_flags=(.*)", envelope(still)) == flags, options
        maildrop(still)[0].unlink()


def test_source_routes_are_taken_off_addresses(still):
    """RFC 5321 F.2: also without the angle brackets, on the command line and in headers."""
    still.command("sendmail", "-f", "@relay.example:me@example.net", "@relay.example:one@example.com", "<@a,@b:two@example.com>", "@[192.0.2.1]: three@example.com", input="x\n")
    seen = re.findall(r"^(?:sender|recipient): (.*)$", envelope(still), re.M)
    assert seen == ["me@example.net", "one@example.com", "two@example.com", "three@example.com"]
    maildrop(still)[0].unlink()
    done = still.command("sendmail", "-t", input="To: @relay.example:one@example.com, @only.example, two@example.com\n\nx\n")
    assert "header To: a malformed address in it gets no mail" in done.stderr
    assert still.command("sendmail", "-t", input="To: @only.example\n\nx\n", check=False).returncode == 65
    assert still.command("sendmail", "@only.example", input="x\n", check=False).returncode == 64


def test_recipients_in_headers_need_no_commas_between_them(still):
    done = still.command("sendmail", "-t", input="To: one@example.com two@example.com\n\nx\n")
    assert not done.stderr and len(maildrop(still)) == 1


def test_null_sender(still):
    still.command("sendmail", "-f", "", "a@example.com", input="\nx\n")
    still.command("sendmail", "-f", "<>", "a@example.com", input="\nx\n")
    for path in maildrop(still):
        assert re.search(r"^sender\t$", path.read_text(), re.M)


def test_what_makes_no_sense_is_refused_with_a_status(still):
    def status(*arguments, input="Subject: x\n\nx\n"):
        done = still.command("sendmail", *arguments, check=False, input=input)
        assert done.stderr
        return done.returncode
    assert status() == 64
    assert status("-t", input="Subject: to nobody\n\nx\n") == 65
    assert status("a@example.com, <broken") == 64
    # What is not about the message or its recipients: who calls shall keep it, as with Postfix.
    for options in (["-bs", "-t"], ["-B", "9BIT", "a@example.com"], ["-bv", "-t", "a@example.com"], ["-Z", "a@example.com"], ["-bx"], ["-qx"], ["-qR"],
                    ["-bs", "x"], ["-bp", "x"], ["-q", "x"], ["-bi", "x"], ["-C", "/nonexistent", "a@example.com"]):
        assert status(*options) == 75, options
    assert still.command("mailq", "x", check=False).returncode == still.command("newaliases", "x", check=False).returncode == 75
    assert still.command("postqueue", "-c", "/nonexistent", "-p", check=False).returncode == 69
    assert maildrop(still) == []


def test_options_without_meaning_do_not_keep_the_message(still):
    still.command("sendmail", "-bh")
    still.command("sendmail", "-bH")
    assert maildrop(still) == []
    done = still.command("sendmail", "-N", "sometimes", "-R", "half", "a@example.com", input=MESSAGE)
    assert "bad -N option value -- ignored" in done.stderr and "bad -R option value -- ignored" in done.stderr
    assert len(maildrop(still)) == 1
    done = still.command("sendmail", "-V", "x" * 101, "-f", "some body", "-e", "m", "-Q", "x", "a@example.com", input=MESSAGE)
    assert "bad -V option value -- ignored" in done.stderr and "malformed sender address: some body" in done.stderr
    assert re.search(r"^sender\tsome$", maildrop(still)[1].read_text(), re.M)
    assert "m@" not in maildrop(still)[1].read_text()


def test_old_options_are_accepted(still):
    still.command("sendmail", "-Am", "-em", "-G", "-h", "5", "-L", "tag", "-m", "-n", "-odi", "-oem", "-o7", "-om", "-p", "smtp",
                  "-U", "-X", "/dev/null", "-O", "DeliveryMode=b", "-oi", "-bm", "--", "a@example.com", input="\nx\n")
    assert len(maildrop(still)) == 1


def test_g_lets_a_message_pass_as_it_is(instance):
    one = instance(main={"default_transport": "hole:", "header_checks": "static:HOLD"}, master=ROWS)
    for count, options in enumerate(((), ("-G",)), 1):       # one by one: who is picked up first of two is nobody's promise
        one.command("sendmail", *options, "-i", "-f", "me@example.net", "a@example.com", input="To: bob\nSubject: x\n\ny\n")
        held = one.wait_for_log(r"cleanup\[\d+\]: \w+: hold: header To", count)
    ours, passing = (one.command("postcat", "-hq", re.search(r": (\w+): hold", line).group(1)).stdout for line in held)
    assert re.search("^To: bob@mail.example.org$", ours, re.M) and re.search("^From: .*^Date: |^Date: .*^From: ", ours, re.M | re.S)
    assert passing.endswith("\nTo: bob\nSubject: x\n")


def test_t_takes_recipients_from_the_headers_and_removes_bcc(running):
    running.command("sendmail", "-t", "-f", "me@example.net", "extra@example.com", input=(
        "To: one@example.com,\n two@example.com\nCc: Three <three@example.com>\nBcc: four@example.com\nSubject: x\n\nhello\n"))
    for name in ("one", "two", "three", "four", "extra"):
        running.wait_for_log(rf"to=<{name}@example.com>, .*status=sent")
    assert len(running.log_lines(r"status=sent")) == 5


def test_n_is_for_recipients_in_the_headers_too(instance):
    one = instance(main={"default_transport": "error:5.1.1 no", "header_checks": "static:HOLD"})
    one.command("sendmail", "-t", "-N", "never", "-f", "me@example.net", "extra@example.com", input="To: one@example.com\nSubject: x\n\nhello\n")
    held = re.search(r": (\w+): hold", one.wait_for_log(r"cleanup\[\d+\]: \w+: hold: header .* from local; from=<me@example.net> ")[0]).group(1)
    wait_until(lambda: one.command("postcat", "-eq", held, check=False).stdout.count("notify_flags=NEVER\n") == 2)


def test_a_refused_message_comes_back_to_its_sender(instance):
    one = instance(master=ROWS, main={"default_transport": "hole:", "local_transport": "hole:", "hopcount_limit": "3"})
    received = "".join(f"Received: from a{i} by b{i}; Sun, 22 Nov 2026 00:00:00 +0000\n" for i in range(10))
    one.command("sendmail", "-i", "-f", "me@example.net", "someone@example.com", input=received + MESSAGE)
    one.wait_for_log(r"pickup\[\d+\]: \w+: refused: 5\d\d")
    one.wait_for_log(r"cleanup\[\d+\]: warning: \w+: message rejected: hopcount exceeded$")
    one.wait_for_log(r": \w+: to=<someone@example.com>, relay=none, delay=[\d.]+, delays=[\d./]+, dsn=5.4.0, status=bounced \(Error: too many hops\)$")
    one.wait_for_log(r"to=<me@example.net>, .*status=sent")
    wait_until(lambda: not maildrop(one), 30, "maildrop empty")
    assert not one.log_lines("to=<someone@example.com>, .*status=sent")


def test_a_resent_message_without_an_id_of_its_own_says_so_in_the_log(running):
    running.command("sendmail", "-i", "x@example.com", input="Resent-From: a@example.net\n\nx\n")
    resent = running.wait_for_log(r"cleanup\[\d+\]: \w+: resent-message-id=<.+>$")[0]
    running.wait_for_log(rf"cleanup\[\d+\]: {resent.split(': ')[1]}: message-id=<>$")


def test_a_message_that_needs_more_memory_than_any_may_have_comes_back_to_its_sender(instance):
    one = instance(master=ROWS, main={"default_transport": "hole:", "local_transport": "hole:", "virtual_alias_maps": "static:list@example.org"})
    envelope = "sender\tme@example.net\n" + "".join(f"to\t{i}\tu{i}@example.org\t\t6\t\n" for i in range(100000))
    one.command("postdrop", input=f"postroad-submission 1\nenvelope {len(envelope)}\n{envelope}data 1\n\nend\n")
    one.wait_for_log(r"pickup\[\d+\]: \w+: refused: 552 5.3.4 Error: message needs too much memory")
    one.wait_for_log(r"cleanup\[\d+\]: \w+: message-id=<.+>")         # the notification
    wait_until(lambda: not maildrop(one), 30, "maildrop empty")


def test_starting_what_runs_is_no_error_and_times_of_queue_runs_are_ignored(running, still):
    for words in (["-bd"], ["-bd", "-q30m"], ["-q30m"]):
        done = running.command("sendmail", *words, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), words
    assert still.command("sendmail", "-q30m").stderr == ""
    assert not still.pids("master")
    done = still.command("sendmail", "-q30m", "a@example.com", check=False, input=MESSAGE)
    assert done.returncode == 75 and "this mode requires no recipient" in done.stderr


def test_message_size_limit_holds_for_local_users(still):
    still.set(message_size_limit=10000)
    done = still.command("sendmail", "a@example.com", check=False, input="Subject: x\n\n" + "x\n" * 10000)
    assert done.returncode == 65 and "too big" in done.stderr
    assert maildrop(still) == []


def test_a_message_that_ends_early_is_not_queued(still):
    done = still.command("postdrop", check=False, input="postroad-submission 1\nenvelope 8\nsender\t\ndata 3\nabc")
    assert done.returncode == 65
    for nonsense in ("", "hello\n", "postroad-submission 1\nenvelope 99999999999\n", "\0" * 100):
        assert still.command("postdrop", check=False, input=nonsense).returncode == 65
    assert maildrop(still) == []


def test_a_killed_sendmail_leaves_nothing(still):
    process = subprocess.Popen([COMMANDS / "sendmail", "-i", "a@example.com"], stdin=subprocess.PIPE,
                               env=dict(os.environ, MAIL_CONFIG=str(still.etc)))
    process.stdin.write(b"Subject: x\n\n" + b"0123456789\n" * 100000)
    process.stdin.flush()
    process.kill()
    process.wait(20)
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()
    wait_until(lambda: not processes_below(still.root), 30, "the end of postdrop")
    assert maildrop(still) == []


def test_full_queue_directory_is_a_temporary_error(still):
    shutil.rmtree(still.queue / "maildrop")
    done = still.command("sendmail", "a@example.com", check=False, input="Subject: x\n\nx\n")
    assert done.returncode == 75
    assert "maildrop" in done.stderr


def test_an_address_of_megabytes_is_malformed(still):
    envelope = b"sender\tme@example.net\nto\t0\ta@" + b"x" * 5000000 + b".test\t\t0\t\n"
    message = b"postroad-submission 1\nenvelope %d\n%bdata 1\n\nend\n" % (len(envelope), envelope)
    done = still.command("postdrop", check=False, input=message.decode())
    assert done.returncode == 65 and "the envelope is malformed" in done.stderr
    assert maildrop(still) == []


def test_hostile_files_in_maildrop_harm_nobody(still):
    directory = still.queue / "maildrop"
    still.command("sendmail", "-f", "me@example.net", "someone@example.com", input=MESSAGE)
    (good,) = maildrop(still)
    (directory / "4bBadBadBadBad").write_bytes(b"postroad-queue-file 1\n" + os.urandom(5000))
    (directory / "4bEmptyEmpty").write_bytes(b"")
    (directory / "4bZeros").write_bytes(b"\0" * 4096)
    (directory / "4bLinkLinkLink").symlink_to("/etc/passwd")
    (directory / "4bDirectory").mkdir()
    os.mkfifo(directory / "4bFifoFifoFifo")
    (directory / "-rf").write_bytes(b"x")
    (directory / "4bCopyCopyCopy").write_bytes(good.read_bytes())
    (directory / "4bOther").write_bytes(good.read_bytes())
    os.link(directory / "4bOther", directory / "4bOtherLink")
    still.start()
    still.wait_for_log(r"to=<someone@example.com>, .*status=sent")
    for name in ("again", "and-again"):
        still.command("sendmail", "-f", "me@example.net", f"{name}@example.com", input=MESSAGE)
        still.wait_for_log(f"to=<{name}@example.com>, .*status=sent")
    assert len(still.log_lines("to=<someone@example.com>, .*status=sent")) == 1
    wait_until(lambda: len(maildrop(still)) == 10, 30, lambda: f"what is left: {maildrop(still)}")
    told = [re.sub(r".*pickup\[\d+\]: ", "", line) for line in still.log_lines(r"pickup\[\d+\]: warning")]
    assert len(told) >= 8 and len(set(told)) == len(told), "each oddity is told once"
    assert not still.log_lines("root:x:")


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6, socket.AF_UNIX])
def test_dialogue_is_not_for_the_network(still, family):
    """As behind inetd: whoever connected would be taken for a user of this machine, whom no access rule stops."""
    with socket.socket(family) as door, socket.socket(family) as client:
        try:
            door.bind({socket.AF_INET: ("127.0.0.1", 0), socket.AF_INET6: ("::1", 0), socket.AF_UNIX: str(still.root / "door")}[family])
        except OSError:
            pytest.skip("no such addresses here")
        door.listen()
        client.connect(door.getsockname())
        accepted, _ = door.accept()
        client.sendall(b"MAIL FROM:<a@b.c>\r\nRCPT TO:<d@e.f>\r\nQUIT\r\n")
        with accepted:
            done = still.command("sendmail", "-bs", check=False, stdin=accepted)
    assert done.returncode == (0 if family == socket.AF_UNIX else 75)
    assert done.stdout.count("\n") == (4 if family == socket.AF_UNIX else 0), "the greeting and three answers, or nothing"
    assert ("network" in done.stderr) == (family != socket.AF_UNIX)


@pytest.mark.skipif(not IS_ROOT, reason="another account")
@pytest.mark.parametrize("who", ["mail_owner", "nobody"])
def test_dialogue_is_not_for_the_mail_owner_either(still, who):
    """Whoever runs it as mail_owner wants access rules, says Postfix's manual."""
    user = pwd.getpwnam(still.main.get(who, who))
    program = shutil.copy(COMMANDS / "sendmail", still.root)           # where everybody gets to it
    done = subprocess.run([program, "-C", still.etc, "-bs"], input=b"MAIL FROM:<a@b.c>\r\nQUIT\r\n", capture_output=True, check=False, user=user.pw_uid,
                          group=user.pw_gid, extra_groups=[])
    assert (done.returncode, done.stdout.count(b"\n")) == ((75, 0) if who == "mail_owner" else (0, 3)), done
    assert (b"access rules" in done.stderr) == (who == "mail_owner")


def test_dialogue_refuses_what_smtp_refuses(still):
    dialogue = ("DATA\r\nEHLO x\r\nRCPT TO:<a@b.c>\r\nMAIL FROM:<a@b.c> SIZE=99999999999\r\nMAIL FROM:<a@b.c> FOO=BAR\r\n"
                "MAIL FROM:<a@b.c>\r\nMAIL FROM:<a@b.c>\r\nDATA\r\nRCPT TO:<>\r\nNONSENSE\r\n" + "x" * 100000 + "\r\nRSET\r\nNOOP\r\n"
                "VRFY a\r\nHELP\r\nQUIT\r\n")
    done = still.command("sendmail", "-bs", input=dialogue.encode())
    codes = [line[:3] for line in done.stdout.decode().split("\r\n") if line and line[3] == " "]
    assert codes == ["220", "503", "250", "503", "552", "555", "250", "503", "554", "501", "502", "500", "250", "250", "252", "214",
                     "221"]


def test_dialogue_data_keeps_content(still):
    dialogue = b"EHLO x\r\nMAIL FROM:<a@b.c> BODY=8BITMIME RET=HDRS ENVID=abc\r\nRCPT TO:<d@e.f> NOTIFY=NEVER\r\nDATA\r\n" \
        b"Subject: x\r\n\r\n..dot\r\n\xe4\r\nbare\nlf\r\n.\r\nQUIT\r\n"
    assert b"250 2.0.0 Ok: queued as " in still.command("sendmail", "-bs", input=dialogue).stdout
    assert b"Subject: x\n\n.dot\n\xe4\nbare\nlf\n" in content(still)


@pytest.mark.parametrize("body, stored", [(b"Subject: x\n\nx\n..\ny\n.\n", b"x\n.\ny\n"), (b"Subject: x\r\n\nx\n.\r\n", b"x\n"),
                                          (b"Subject: x\n\n" + b"x" * 100000 + b"\n.\n", b"x" * 100000 + b"\n"), (b".\n", b"")],
                         ids=["bare-lf", "mixed", "long", "nothing"])
def test_dialogue_may_be_typed_at_a_terminal_without_a_greeting(still, body, stored):
    done = still.command("sendmail", "-bs", input=b"MAIL FROM:<a@b.c>\nRCPT TO:<d@e.f>\nDATA\n" + body + b"QUIT\n")
    assert re.search(rb"354 .*\r\n250 2.0.0 Ok: queued as \w+\r\n221 ", done.stdout)
    assert content(still).endswith(b"Subject: x\n\n" + stored if stored else stored)


def test_dialogue_with_crlf_ends_content_nowhere_else(still):
    smuggled = b"Subject: x\r\n\r\nx\n.\nMAIL FROM:<x@y.z>\r\n\n.\r\n.\n\r\n.\r\nQUIT\r\n"
    done = still.command("sendmail", "-bs", input=b"MAIL FROM:<a@b.c>\r\nRCPT TO:<d@e.f>\r\nDATA\r\n" + smuggled)
    assert done.stdout.count(b"\r\n250 2.0.0 Ok: queued as ") == 1 and done.stdout.count(b"\r\n") == 6
    assert b"x\n\nMAIL FROM:<x@y.z>\n\n\n\n\n" in content(still)


@pytest.mark.parametrize("end", [b"\n.\n", b"\n.\r\n"], ids=["lf", "crlf"])
def test_dialogue_content_may_have_other_line_ends_than_the_commands(still, end):
    """A program that hands over a file, and knows how commands end."""
    done = still.command("sendmail", "-bs", input=b"MAIL FROM:<a@b.c>\r\nRCPT TO:<d@e.f>\r\nDATA\r\nSubject: x\n\nx\r\n..\ny" + end + b"NOOP\r\nQUIT\r\n")
    assert re.search(rb"354 .*\r\n250 2.0.0 Ok: queued as \w+\r\n250 2.0.0 Ok\r\n221 ", done.stdout)
    assert content(still).endswith(b"Subject: x\n\nx\n.\ny\n")


def test_dialogue_that_breaks_off_queues_nothing(still):
    still.command("sendmail", "-bs", input=b"EHLO x\r\nMAIL FROM:<a@b.c>\r\nRCPT TO:<d@e.f>\r\nDATA\r\nSubject: x\r\n")
    assert maildrop(still) == []


def test_mailq_and_newaliases(running):
    assert "Mail queue is empty" in running.command("mailq").stdout
    running.file("aliases", "someone: me\n")
    running.set(alias_database=f"hash:{running.etc}/aliases")
    running.command("newaliases")
    assert (running.etc / "aliases.db").exists()


# ---- the setgid program, as it is installed ----

INSTALL = """
set -e
mount -t tmpfs none "$PARENT"
mkdir "$PARENT/postroad"
cp "$ETC"/main.cf "$ETC"/master.cf "$PARENT/postroad"
exec runuser -u nobody -- "$BIN/sendmail" "$@"
"""


@pytest.fixture
def installed(still):
    """installed(arguments...): sendmail run by nobody, with a setgid postdrop, on the directory that is compiled in."""
    if SANITIZED:
        pytest.skip("the leak checker cannot look into a setgid process")
    if not IS_ROOT or subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode != 0:
        pytest.skip("needs root and a mount namespace")
    etc = still.command("postconf", "-dh", "config_directory").stdout.strip()
    bin = still.root / "bin"
    bin.mkdir()
    for name in ("sendmail", "postdrop"):
        shutil.copy(COMMANDS / name, bin / name)
    shutil.chown(bin / "postdrop", group="daemon")
    (bin / "postdrop").chmod(0o2755)
    still.set(command_directory=bin)
    parent = os.path.dirname(etc)
    os.makedirs(parent, exist_ok=True)

    def run(*arguments, text="\nx\n", **environment):
        words = ["unshare", "--mount", "sh", "-c", INSTALL, "sh", *arguments]
        return subprocess.run(words, env=dict(os.environ, PARENT=parent, ETC=str(still.etc), BIN=str(bin), **environment),
                              input=text, text=True, capture_output=True, timeout=60)

    return run


def test_setgid_postdrop_lets_everybody_submit(still, installed):
    done = installed("-f", "me@example.net", "a@example.com")
    assert done.returncode == 0, done.stderr
    (path,) = maildrop(still)
    nobody = subprocess.run(["id", "-u", "nobody"], capture_output=True, text=True).stdout.strip()
    assert str(path.stat().st_uid) == nobody
    still.set(command_directory=COMMANDS)
    still.start()
    still.wait_for_log(f"uid={nobody} from=<me@example.net>")
    still.wait_for_log("to=<a@example.com>, .*status=sent")


def test_setgid_postdrop_reads_no_configuration_of_the_users_choice(still, installed):
    done = installed("-C", str(still.etc), "a@example.com")
    assert done.returncode == 77 and "alternate_config_directories" in done.stderr
    assert maildrop(still) == []
    still.set(alternate_config_directories=still.etc)
    done = installed("-C", str(still.etc), "a@example.com")
    assert done.returncode == 0, done.stderr
    assert len(maildrop(still)) == 1


def test_who_may_submit(still, installed):
    still.set(authorized_submit_users="!nobody, static:anyone")
    done = installed("a@example.com")
    assert done.returncode == 77 and "not allowed to submit" in done.stderr
    still.set(authorized_submit_users="/no/such/file")
    assert installed("a@example.com").returncode == 75
    assert maildrop(still) == []
    still.set(authorized_submit_users="daemon, regexp:{ {/^nob/ x} }")
    done = installed("a@example.com")
    assert done.returncode == 0, done.stderr
    still.set(authorized_submit_users="hash:/etc/x")
    assert installed("a@example.com").returncode == 75


def test_who_may_send_as_whom(still, installed):
    still.set(local_login_sender_maps="inline:{ {root = *} }, regexp:{ {/^(nob.*)/ $$1 $$1@example.com, @example.net} }", recipient_delimiter="+")
    for sender in ("nobody", "nobody@example.com", "Nobody+list@example.com", "any@example.net"):
        done = installed("-f", sender, "a@example.com")
        assert done.returncode == 0, done.stderr
    for sender in ("nobody@example.org", "joe", "<>", "*", "any@sub.example.net"):
        done = installed("-f", sender, "a@example.com")
        assert done.returncode == 77 and "may not send mail as <" in done.stderr, sender
    still.set(local_login_sender_maps="inline:{ {nobody = <>} }")
    assert installed("-f", "", "a@example.com").returncode == 0
    still.set(local_login_sender_maps="fail:oops")
    assert installed("-f", "nobody", "a@example.com").returncode in (75, 78)
    still.set(local_login_sender_maps="")
    assert installed("-f", "nobody", "a@example.com").returncode == 77
    assert len(maildrop(still)) == 5


def test_the_setgid_program_links_no_database():
    needed = subprocess.run(["ldd", (COMMANDS / "postdrop").resolve()], capture_output=True, text=True, check=True).stdout
    assert "libdb" not in needed and "pcre" not in needed


def test_bv_reports_what_would_happen_and_delivers_nothing(instance):
    refusing = {"RCPT": lambda line: "550 5.1.1 no such user" if "<nobody@" in line else "450 4.2.0 later" if "<later@" in line else "250 2.1.5 Ok"}
    with Sink(answers=refusing) as sink:
        mail = instance(main={"relayhost": f"[127.0.0.1]:{sink.port}", "virtual_alias_maps": "inline:{ {list@example.org=user@example.com other@example.com} }",
                              "always_bcc": "copy@example.com", "transport_maps": "inline:{ {gone.example=discard:nothing} }"})
        said = mail.command("sendmail", "-bv", "-f", "asker@example.com", "user@example.com", "nobody@example.com", "later@example.com",
                            "list@example.org", "x@gone.example", input="not read").stdout
        assert said == "Mail Delivery Status Report will be mailed to <asker@example.com>.\n"
        mail.wait_for_log(r"to=<asker@example.com>.*status=sent")
        mail.wait_empty()
        (report,) = sink.messages
        assert [r.partition(">")[0] for r in report.recipients] == ["<asker@example.com"]
        text = report.content.decode()
        assert "Subject: Mail Delivery Status Report" in text
        actions = dict(re.findall(r"Final-Recipient: rfc822; (\S+)\r\n(?:.*\r\n)*?Action: (\S+)", text))
        assert actions == {"user@example.com": "deliverable", "other@example.com": "deliverable", "nobody@example.com": "undeliverable",
                           "later@example.com": "undeliverable", "x@gone.example": "deliverable"}
        assert "no such user" in text and "delivers to discard" in text
        mail.wait_for_log(r"to=<user@example.com>.*status=deliverable")
        assert not mail.log_lines("copy@example.com")
        assert not mail.log_lines("status=(deferred|bounced)")


def bounced_to(sink):
    """Envelope recipient and the address that failed, of every notification."""
    found = [re.search(r"Final-Recipient: rfc822; (\S+)", m.content.decode()) for m in sink.messages]
    return sorted((m.recipients[0].partition(">")[0][1:], f.group(1)) for m, f in zip(sink.messages, found) if f)


def test_verp_gives_each_recipient_a_sender_of_his_own(instance):
    refusing = {"RCPT": lambda line: "550 5.1.1 no" if "<no" in line else "250 2.1.5 Ok"}
    with Sink(answers=refusing) as sink:
        mail = instance(main={"relayhost": f"[127.0.0.1]:{sink.port}", "virtual_alias_maps": "inline:{ {al@example.org=real@example.com} }",
                              "smtpd_authorized_verp_clients": "127.0.0.1"})
        people = ["a@example.com", "b+x@example.com", "al@example.org", "no1@example.com", "no2@example.com"]
        mail.command("sendmail", "-XV", "-f", "owner-list@lists.example", *people, input=MESSAGE)
        wait_until(lambda: len(bounced_to(sink)) == 2, 30, mail.log_tail)
        mail.wait_empty()
        got = sorted(m.sender.partition(">")[0][1:] for m in sink.messages if m.sender.startswith("<o"))
        assert got == ["owner-list+a=example.com@lists.example", "owner-list+al=example.org@lists.example", "owner-list+b+x=example.com@lists.example"]
        assert bounced_to(sink) == [("owner-list+no1=example.com@lists.example", "no1@example.com"),
                                    ("owner-list+no2=example.com@lists.example", "no2@example.com")]
        mail.set(disable_verp_bounces="yes")
        mail.reload()
        sink.messages.clear()
        with mail.client() as client:
            assert b"XVERP" in client.ehlo()[1]
            assert client.docmd("MAIL FROM:<> XVERP")[0] == 503
            assert client.docmd("MAIL FROM:<l@lists.example> XVERP=xx")[0] == 501
            assert client.docmd("MAIL FROM:<l@lists.example> XVERP=-=")[0] == 250
            for person in people:
                assert client.rcpt(person)[0] == 250
            assert client.data(MESSAGE)[0] == 250
        wait_until(lambda: len(sink.messages) == 4, 30, mail.log_tail)
        mail.wait_empty()
        assert "<l-a=example.com@lists.example" in [m.sender.partition(">")[0] for m in sink.messages]
        assert [to for to, _ in bounced_to(sink)] == ["l@lists.example"]


def test_verp_needs_a_sender_and_good_delimiters(still):
    for arguments in (["-XV", "-f", ""], ["-XVxy", "-f", "a@example.com"], ["-XV+", "-f", "a@example.com"]):
        assert still.command("sendmail", *arguments, "b@example.com", check=False, input=MESSAGE).returncode == 64
    assert maildrop(still) == []
