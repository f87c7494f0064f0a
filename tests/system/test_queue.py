# SPDX-License-Identifier: ISC
"""The queue: what is tried when, what administrators see of it and do with it, and what survives."""

import os
import pathlib
import pwd
import re
import shutil
import signal
import subprocess
import time

import pytest

from foreground import listens
from frames import Peer
from instance import COMMANDS, DAEMONS, IS_ROOT, wait_until
from sink import Sink

LIST_HEADER = "----Queue ID----- --Size-- ---Arrival Time---- --Sender/Recipient------"
TO_DISCARD = "inline:{ discard.example=discard: refused.example=error:5.7.1_go_away }"


@pytest.fixture
def sink():
    with Sink() as one:
        yield one


def hand_in(mail, recipients):
    """Past smtpd, which would refuse what the error agent is to return: as pickup and bounce do it. The queue id."""
    envelope = f"sender\tsender@example.net\narrival\t{int(time.time() * 1e6)}\n"
    envelope += "".join(f"to\t{i}\t{r}\t\t0\t\n" for i, r in enumerate(recipients))
    with Peer(mail.queue / "public" / "cleanup") as cleanup:
        reply = cleanup.ask("cleanup_request", queue_id="", origin="pickup", flags=8, envelope=envelope, content=b"Subject: x\n\nbody\n")
    assert reply["code"] == b"250", reply
    return reply["text"].decode().split()[-1]


def nobody_listens():
    """A port that refuses."""
    with Sink() as gone:
        return gone.port


def waiting_mail(instance, **main):
    """An instance whose next hop refuses, with a message that waits for it."""
    mail = instance(main={"relayhost": f"[127.0.0.1]:{nobody_listens()}", "minimal_backoff_time": "600s", **main})
    queue_id = mail.send("Subject: later\r\n\r\nbody\r\n", recipients=["someone@example.com"])
    mail.wait_for_log(f"{queue_id}: to=.*status=deferred")
    wait_until(lambda: any(m["queue_name"] == "deferred" for m in mail.queue_list()), what=mail.log_tail)
    return mail, queue_id


# ---- what is delivered ----


def test_delivery_log_lines_have_the_shape_that_analysers_know(instance):
    mail = instance(main={"transport_maps": TO_DISCARD, "relay_domains": "discard.example, refused.example", "relay_recipient_maps": ""})
    queue_id = hand_in(mail, ["a@discard.example", "b@refused.example"])
    number = r"\d+(\.\d{1,2})?"
    delays = rf"delay={number}, delays={number}/{number}/{number}/{number}"
    mail.wait_for_log(rf"postfix/qmgr\[\d+\]: {queue_id}: from=<sender@example.net>, size=\d+, nrcpt=2 \(queue active\)$")
    mail.wait_for_log(rf"postfix/discard\[\d+\]: {queue_id}: to=<a@discard.example>, relay=none, {delays}, dsn=2.0.0, status=sent \(discard.example\)$")
    mail.wait_for_log(rf"postfix/error\[\d+\]: {queue_id}: to=<b@refused.example>, relay=none, {delays}, dsn=5.0.0, status=bounced \(5.7.1_go_away\)$")
    mail.wait_for_log(rf"postfix/qmgr\[\d+\]: {queue_id}: removed$")
    mail.wait_empty()


def test_recipients_that_got_it_do_not_get_it_again(instance, sink):
    answers = {"now": False}
    sink.answers["RCPT"] = lambda line: "250 2.1.5 Ok" if answers["now"] or "ok@" in line else "450 4.2.0 later"
    mail = instance(main={"relayhost": f"[127.0.0.1]:{sink.port}", "minimal_backoff_time": "600s"})
    mail.send("Subject: x\r\n\r\nbody\r\n", recipients=["ok@example.com", "slow@example.com"])
    mail.wait_for_log("slow@example.com.*status=deferred")
    answers["now"] = True
    wait_until(lambda: mail.queue_list() and mail.queue_list()[0]["queue_name"] == "deferred", what=mail.log_tail)
    assert [r["address"] for r in mail.queue_list()[0]["recipients"]] == ["slow@example.com"]
    mail.command("postqueue", "-f")
    mail.wait_empty()
    recipients = [r for m in sink.messages for r in m.recipients]
    assert sum("ok@" in r for r in recipients) == 1
    assert sum("slow@" in r for r in recipients) == 1


def test_mail_for_a_host_that_refuses_is_deferred_without_being_tried_again_and_again(instance):
    mail = instance(main={"relayhost": f"[127.0.0.1]:{nobody_listens()}", "initial_destination_concurrency": "1", "minimal_backoff_time": "600s"})
    for _ in range(5):
        mail.send("Subject: x\r\n\r\nbody\r\n", recipients=["someone@example.com"])
    mail.wait_for_log("status=deferred", count=5)
    assert len(mail.log_lines(r"postfix/smtp\[\d+\]: .*status=deferred \(connect to ")) < 5
    mail.wait_for_log(r"postfix/error\[\d+\]: .*relay=none, .*dsn=4.4.1, status=deferred "
                      r"\(delivery temporarily suspended: connect to 127.0.0.1\[127.0.0.1\]:\d+: Connection refused\)")


def test_a_message_that_is_too_old_is_returned_to_its_sender(instance, sink):
    mail = instance(main={"transport_maps": f"inline:{{ example.net=smtp:[127.0.0.1]:{sink.port} }}",
                          "relayhost": f"[127.0.0.1]:{nobody_listens()}", "minimal_backoff_time": "1s", "queue_run_delay": "1s"})
    queue_id = mail.send("Subject: x\r\n\r\nbody\r\n", recipients=["someone@example.com"])
    mail.wait_for_log(rf"{queue_id}: to=.*status=deferred", count=2)
    mail.set(maximal_queue_lifetime="1s")
    mail.reload()
    mail.wait_for_log(rf"{queue_id}: from=<sender@example.net>, status=expired, returned to sender")
    wait_until(lambda: sink.messages, what=mail.log_tail)
    assert sink.messages[0].sender.startswith("<>")
    assert sink.messages[0].recipients[0].startswith("<sender@example.net>")
    mail.wait_empty()


def test_deferred_transports_wait_for_a_flush(instance):
    with Sink() as sink:
        mail = instance(main={"defer_transports": "smtp", "relayhost": f"[127.0.0.1]:{sink.port}"})
        mail.send("Subject: x\r\n\r\nbody\r\n", recipients=["someone@example.com"])
        mail.wait_for_log(r"dsn=4.3.2, status=deferred \(deferred transport\)")
        wait_until(lambda: [m["queue_name"] for m in mail.queue_list()] == ["deferred"], what=mail.log_tail)
        assert not sink.messages
        mail.command("postqueue", "-f")
        wait_until(lambda: sink.messages, what=mail.log_tail)
        mail.wait_empty()


# ---- listing ----


def test_an_empty_queue_says_so(instance):
    mail = instance()
    assert mail.command("postqueue", "-p").stdout == "Mail queue is empty\n"
    assert mail.command("postqueue", "-j").stdout == ""


def test_the_listing_for_people(instance):
    mail, queue_id = waiting_mail(instance)
    lines = mail.command("postqueue", "-p").stdout.splitlines()
    assert lines[0] == LIST_HEADER
    assert re.fullmatch(rf"{queue_id}{' ' * (17 - len(queue_id))} +\d+ \w\w\w \w\w\w [ \d]\d \d\d:\d\d:\d\d sender@example.net", lines[1]), lines[1]
    assert re.fullmatch(r" *\(connect to 127.0.0.1\[127.0.0.1\]:\d+: Connection refused\)", lines[2])
    assert len(lines[2]) == 78
    assert lines[3] == " " * 47 + "someone@example.com"
    assert lines[4:] == ["", "-- 0 Kbytes in 1 Request."]
    mail.command("postsuper", "-h", queue_id)
    assert f"{queue_id}! " in mail.command("postqueue", "-p").stdout


def test_the_listing_for_programs(instance):
    mail, queue_id = waiting_mail(instance)
    (entry,) = mail.queue_list()
    assert entry["queue_name"] == "deferred"
    assert entry["queue_id"] == queue_id
    assert abs(entry["arrival_time"] - time.time()) < 60
    assert entry["message_size"] > 0
    assert entry["forced_expire"] is False
    assert entry["sender"] == "sender@example.net"
    (recipient,) = entry["recipients"]
    assert recipient["address"] == "someone@example.com"
    assert recipient["orig_address"] == ""
    assert recipient["delay_reason"].endswith("Connection refused")


def test_a_message_being_delivered_is_listed_as_active(instance, sink):
    hang = {"on": True}

    def slowly(_message):
        wait_until(lambda: not hang["on"], 60, "the test lets go")
        return "250 2.0.0 Ok"
    sink.answers["."] = slowly
    mail = instance(main={"relayhost": f"[127.0.0.1]:{sink.port}"})
    try:
        queue_id = mail.send("Subject: x\r\n\r\nbody\r\n", recipients=["someone@example.com"])
        wait_until(lambda: [m["queue_name"] for m in mail.queue_list()] == ["active"], what=mail.log_tail)
        assert f"{queue_id}* " in mail.command("postqueue", "-p").stdout
    finally:
        hang["on"] = False
    mail.wait_empty()


@pytest.mark.root
def test_root_can_list_while_the_system_is_down(instance):
    mail, queue_id = waiting_mail(instance)
    mail.stop()
    done = mail.command("postqueue", "-p")
    assert queue_id in done.stdout
    assert "Mail system is down -- accessing queue directly" in done.stderr
    assert mail.command("postqueue", "-f", check=False).returncode == 69
    mail.command("postsuper", "-h", queue_id)
    assert f"{queue_id}! " in mail.command("postqueue", "-p").stdout
    mail.command("postsuper", "-d", queue_id)
    assert mail.command("postqueue", "-p").stdout == "Mail queue is empty\n"


# ---- asking for attempts ----


@pytest.mark.parametrize("how", ["-f", "-i", "-s"])
def test_a_flush_delivers_at_once(instance, how):
    mail, queue_id = waiting_mail(instance)
    port = int(mail.main["relayhost"].rpartition(":")[2])
    with Sink(port=port) as sink:
        mail.command("postqueue", *{"-f": ["-f"], "-i": ["-i", queue_id], "-s": ["-s", "example.com"]}[how])
        wait_until(lambda: sink.messages, what=mail.log_tail)
        mail.wait_empty()


def test_a_site_that_is_none_is_refused(instance):
    mail = instance()
    for site in ("user@example.com", "a..b", "[example.com]", "", "a b"):
        done = mail.command("postqueue", "-s", site, check=False)
        assert done.returncode == 69 and "invalid destination" in done.stderr, site
    for site in ("example.com", "host_1.example", "[192.0.2.1]", "[IPv6:2001:db8::1]", "exämple.org"):
        assert mail.command("postqueue", "-s", site).stderr == "", site


@pytest.mark.skipif(not IS_ROOT, reason="another account")
@pytest.mark.parametrize("options", [["-p"], ["-f"], ["-s", "example.com"]])
def test_a_command_that_lacks_its_group_does_not_say_that_the_mail_system_is_down(instance, options):
    mail, nobody = instance(), pwd.getpwnam("nobody")
    program = shutil.copy(COMMANDS / "postqueue", mail.root)            # where everybody gets to it
    done = subprocess.run([program, "-c", mail.etc, *options], capture_output=True, text=True, check=False, user=nobody.pw_uid, group=nobody.pw_gid,
                          extra_groups=[])
    assert done.returncode == 69 and "Permission denied" in done.stderr and "down" not in done.stderr


def test_a_queue_id_that_is_none_is_refused(instance):
    mail = instance()
    assert mail.command("postqueue", "-i", "../../etc/passwd", check=False).returncode == 69
    done = mail.command("postsuper", "-d", "../../etc/passwd")
    assert done.stderr == "postsuper: warning: invalid mail queue id: ../../etc/passwd\npostsuper: Deleted: 0 messages\n"


# ---- postsuper ----


def test_hold_release_expire_and_delete(instance):
    mail, queue_id = waiting_mail(instance)
    done = mail.command("postsuper", "-h", queue_id)
    assert done.stderr == f"postsuper: {queue_id}: placed on hold\npostsuper: Placed on hold: 1 message\n"
    assert mail.queue_list()[0]["queue_name"] == "hold"
    assert mail.command("postsuper", "-h", queue_id).stderr == "postsuper: Placed on hold: 0 messages\n"
    done = mail.command("postsuper", "-H", "ALL")
    assert done.stderr == "postsuper: Released from hold: 1 message\n"
    mail.wait_for_log(f"{queue_id}: to=.*status=deferred", count=2)
    done = mail.command("postsuper", "-d", "-", input=f"{queue_id}\n")
    assert done.stderr == f"postsuper: {queue_id}: removed\npostsuper: Deleted: 1 message\n"
    assert mail.queue_list() == []
    mail.wait_for_log(rf"postfix/postsuper\[\d+\]: {queue_id}: removed")
    assert mail.command("postsuper", "-d", queue_id).stderr == "postsuper: Deleted: 0 messages\n"


def test_the_end_of_a_long_line_is_no_id(instance):
    mail, queue_id = waiting_mail(instance)
    for line in ("x" * 1023 + queue_id, queue_id + "\0x", f"x {queue_id}"):
        assert mail.command("postsuper", "-d", "-", input=line + "\n").stderr.endswith("Deleted: 0 messages\n")
    assert mail.command("postsuper", "-h", "-", input=f"x\n{queue_id}").stderr.endswith("Placed on hold: 1 message\n")


def test_a_list_shows_what_is_on_hold_and_will_be_returned_behind_that(instance):
    mail, queue_id = waiting_mail(instance)
    mail.command("postsuper", "-h", queue_id, "-e", queue_id)
    assert f"{queue_id}!# " in mail.command("postqueue", "-p").stdout


def test_orders_that_a_reload_crosses_are_carried_out(instance):
    """The queue manager that leaves stops half-way, its successor goes on."""
    mail, first = waiting_mail(instance)
    others = [mail.send("Subject: later\r\n\r\nbody\r\n", recipients=["someone@example.com"]) for _ in range(299)]
    wait_until(lambda: sum(m["queue_name"] == "deferred" for m in mail.queue_list()) == 300, what=mail.log_tail)
    for _ in range(4):
        reload = subprocess.Popen([COMMANDS / "postroad", "-c", mail.etc, "reload"], stderr=subprocess.PIPE)
        while reload.poll() is None:
            for letter in ("-H", "-h"):
                done = mail.command("postsuper", letter, "ALL", check=False)
                assert done.returncode == 0, done.stderr
        reload.communicate()
        wait_until(lambda: {m["queue_name"] for m in mail.queue_list()} == {"hold"}, what=mail.log_tail)
    assert {m["queue_id"] for m in mail.queue_list()} == {first, *others}


class SlowSink:
    """A next hop that has the content and does not answer until it may."""

    def __init__(self):
        self.may_answer = False
        self.asked = 0
        self.sink = Sink(answers={".": self.answer})

    def answer(self, _message):
        self.asked += 1
        wait_until(lambda: self.may_answer, 60, "the test lets go")
        return "250 2.0.0 Ok"

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.may_answer = True
        self.sink.close()


def slow_mail(instance, slow, sink):
    """Two recipients: the content of one is at a slow next hop, the other one waits."""
    mail = instance(main={"relayhost": f"[127.0.0.1]:{sink.port}", "minimal_backoff_time": "600s",
                          "transport_maps": f"inline:{{ slow.example=smtp:[127.0.0.1]:{slow.sink.port},"
                                            f" refused.example=smtp:[127.0.0.1]:{nobody_listens()} }}"})
    queue_id = mail.send("Subject: slow\r\n\r\nbody\r\n", recipients=["one@slow.example", "two@refused.example"])
    wait_until(lambda: slow.asked, what=mail.log_tail)
    mail.wait_for_log(f"{queue_id}: to=<two@refused.example>.*status=deferred")
    return mail, queue_id


def test_an_order_to_hold_that_waits_is_taken_back_without_a_queue_manager(instance, sink):
    with SlowSink() as slow:
        mail, queue_id = slow_mail(instance, slow, sink)
        mail.command("postsuper", "-h", queue_id)
        mail.kill_everything()
        assert "postsuper: Released from hold: 1 message\n" in mail.command("postsuper", "-H", queue_id).stderr
        assert "postsuper: Released from hold: 0 messages\n" in mail.command("postsuper", "-H", queue_id).stderr
        slow.may_answer = True
        mail.start()
        mail.wait_for_log(f"{queue_id}: to=<one@slow.example>.*status=sent")
        wait_until(lambda: [m["queue_name"] for m in mail.queue_list()] == ["deferred"], what=mail.log_tail)


def test_release_of_all_takes_back_orders_to_hold_that_wait(instance, sink):
    with SlowSink() as slow:
        mail, queue_id = slow_mail(instance, slow, sink)
        mail.command("postsuper", "-h", queue_id)
        assert mail.command("postsuper", "-H", "ALL").stderr == "postsuper: Released from hold: 1 message\n"
        assert mail.command("postsuper", "-H", "ALL").stderr == "postsuper: Released from hold: 0 messages\n"
        slow.may_answer = True
        wait_until(lambda: [m["queue_name"] for m in mail.queue_list()] == ["deferred"], what=mail.log_tail)


@pytest.mark.parametrize("letter", ["h", "r"])
def test_what_a_queue_manager_without_a_master_still_delivers_is_not_moved_meanwhile(instance, sink, letter):
    with SlowSink() as slow:
        mail, queue_id = slow_mail(instance, slow, sink)
        (qmgr,) = mail.pids("qmgr")
        os.kill(mail.master_pid(), signal.SIGKILL)
        wait_until(lambda: not listens(mail.queue / "public" / "qmgr"), what=mail.log_tail)
        assert "1 message\n" in mail.command("postsuper", f"-{letter}", queue_id).stderr
        assert not list((mail.queue / "hold").iterdir()) and not list((mail.queue / "maildrop").iterdir())
        slow.may_answer = True
        wait_until(lambda: not pathlib.Path(f"/proc/{qmgr}").exists(), what=mail.log_tail)
        mail.start()
        if letter == "h":
            wait_until(lambda: [m["queue_name"] for m in mail.queue_list()] == ["hold"], what=mail.log_tail)
        else:
            mail.wait_for_log("to=<two@refused.example>.*status=deferred", count=2)
        assert slow.asked == 1


def test_a_requeued_message_is_routed_anew_for_whom_it_did_not_reach_yet(instance, sink):
    sink.answers["RCPT"] = lambda line: "250 2.1.5 Ok" if "ok@" in line else "450 4.2.0 later"
    mail = instance(main={"relayhost": f"[127.0.0.1]:{sink.port}", "minimal_backoff_time": "600s", "virtual_alias_maps": "inline:{ x=y }"})
    queue_id = mail.send("Subject: x\r\n\r\nbody\r\n", recipients=["ok@example.com", "slow@example.com"])
    mail.wait_for_log("slow@example.com.*status=deferred")
    wait_until(lambda: mail.queue_list() and mail.queue_list()[0]["queue_name"] == "deferred", what=mail.log_tail)
    mail.set(virtual_alias_maps="inline:{ slow@example.com=ok@example.org }")
    mail.reload()
    assert mail.command("postsuper", "-r", queue_id).stderr == f"postsuper: {queue_id}: requeued\npostsuper: Requeued: 1 message\n"
    mail.wait_for_log(rf"pickup\[\d+\]: (?!{queue_id})\w+: uid=\d+ from=<sender@example.net> orig_id={queue_id}")
    wait_until(lambda: len(sink.messages) == 2, 30, mail.log_tail)
    assert sink.messages[1].recipients[0].startswith("<ok@example.org>")
    assert len(sink.messages[1].recipients) == 1
    mail.wait_empty()


def test_a_requeued_message_still_knows_whom_it_was_for_at_first(instance, sink):
    sink.answers["RCPT"] = "450 4.2.0 later"
    mail = instance(main={"relayhost": f"[127.0.0.1]:{sink.port}", "minimal_backoff_time": "600s", "virtual_alias_maps": "inline:{ ann@example.com=slow@example.org }"})
    queue_id = mail.send("Subject: x\r\n\r\nbody\r\n", recipients=["ann@example.com"])
    mail.wait_for_log("slow@example.org.*orig_to=<ann@example.com>.*status=deferred")
    wait_until(lambda: mail.queue_list() and mail.queue_list()[0]["queue_name"] == "deferred", what=mail.log_tail)
    del sink.answers["RCPT"]
    mail.command("postsuper", "-r", queue_id)
    mail.wait_for_log("to=<slow@example.org>, orig_to=<ann@example.com>, .*status=sent")
    assert sink.messages[0].recipients == ["<slow@example.org> ORCPT=rfc822;ann@example.com"]
    mail.wait_empty()


def test_forced_expiry_returns_a_message_at_once(instance, sink):
    mail, queue_id = waiting_mail(instance, transport_maps=f"inline:{{ example.net=smtp:[127.0.0.1]:{sink.port} }}")
    mail.command("postsuper", "-h", queue_id)
    mail.command("postsuper", "-f", queue_id)
    mail.wait_for_log(rf"{queue_id}: from=<sender@example.net>, status=force-expired, returned to sender")
    wait_until(lambda: sink.messages, what=mail.log_tail)
    mail.wait_empty()


def test_what_is_to_expire_is_not_tried_again(instance, sink):
    """The sender hears why it waited, or that nobody tried."""
    sink.answers["RCPT"] = lambda command: "450 4.2.0 not yet" if "waits@" in command else "250 2.1.5 Ok"
    mail = instance(main={"relayhost": f"[127.0.0.1]:{sink.port}", "minimal_backoff_time": "600s", "smtpd_delay_reject": "yes",
                          "smtpd_sender_restrictions": "check_sender_access inline:{held@example.net=HOLD}"})
    tried = mail.send("Subject: x\r\n\r\nbody\r\n", recipients=["gets@example.com", "waits@example.com"])
    held = mail.send("Subject: x\r\n\r\nbody\r\n", sender="held@example.net", recipients=["waits@example.com"])
    mail.wait_for_log(f"{tried}: to=<waits@example.com>.*status=deferred")
    wait_until(lambda: sorted(m["queue_name"] for m in mail.queue_list()) == ["deferred", "hold"], what=mail.log_tail)
    del sink.answers["RCPT"]
    mail.command("postsuper", "-e", tried, "-f", held)
    mail.wait_for_log(f"({tried}|{held}): from=.*, status=force-expired, returned to sender", count=2)
    mail.wait_empty()
    (first, *notices) = sink.messages
    assert first.recipients == ["<gets@example.com>"]
    notices.sort(key=lambda notice: notice.recipients)
    assert [notice.recipients for notice in notices] == [["<held@example.net>"], ["<sender@example.net>"]]
    assert all(notice.sender.startswith("<> ") and b"<waits@example.com>" in notice.content and b"<gets@" not in notice.content for notice in notices)
    assert b"message is administratively expired" in notices[0].content and b"450 4.2.0 not yet" in notices[1].content


def test_the_structure_check_mends_what_a_power_cut_left(instance):
    mail, queue_id = waiting_mail(instance)
    mail.stop()
    (path,) = mail.queue_files()
    (mail.queue / "incoming" / queue_id).hardlink_to(path)         # half a rename
    stray = mail.queue / "incoming" / "4jXBBBBBBBBz00HbYb"
    stray.write_bytes(b"not a message" * 100)
    mail.command("postsuper", "-s")
    assert path.exists()
    assert not (mail.queue / "incoming" / queue_id).exists()
    assert path.stat().st_nlink == 1
    mail.start()
    assert [m["queue_id"] for m in mail.queue_list()] == [queue_id]


# ---- what survives ----


def test_a_killed_queue_manager_loses_nothing(instance, sink):
    mail = instance(main={"relayhost": f"[127.0.0.1]:{sink.port}"})
    sent = set()
    for number in range(60):
        mail.send(f"Subject: {number}\r\nX-Number: {number}.\r\n\r\nbody\r\n", recipients=["someone@example.com"])
        sent.add(f"X-Number: {number}.".encode())
        if number % 15 == 7:
            mail.kill("qmgr", signal.SIGKILL)
    wait_until(lambda: all(any(mark in m.content for m in sink.messages) for mark in sent), 60, mail.log_tail)
    mail.wait_empty(60)


def test_reloads_cost_no_delivery(instance, sink):
    mail = instance(main={"relayhost": f"[127.0.0.1]:{sink.port}"})
    for number in range(40):
        mail.send("Subject: x\r\n\r\nbody\r\n", recipients=["someone@example.com"])
        if number % 10 == 5:
            mail.reload()
    wait_until(lambda: len(sink.messages) >= 40, 60, mail.log_tail)
    mail.wait_empty(60)
    assert len(sink.messages) == 40
    assert not mail.log_lines("status=deferred"), mail.log_tail()


def test_a_reload_does_not_wait_for_a_slow_delivery_and_does_not_repeat_it(instance, sink):
    hang = {"on": True, "times": 0}

    def slowly(_message):
        hang["times"] += 1
        wait_until(lambda: not hang["on"], 60, "the test lets go")
        return "250 2.0.0 Ok"
    with Sink(answers={".": slowly}) as slow:
        mail = instance(main={"relayhost": f"[127.0.0.1]:{sink.port}",
                              "transport_maps": f"inline:{{ slow.example=smtp:[127.0.0.1]:{slow.port} }}"})
        try:
            slow_id = mail.send("Subject: slow\r\n\r\nbody\r\n", recipients=["someone@slow.example"])
            wait_until(lambda: hang["times"], what=mail.log_tail)       # the content is there, the answer is not
            mail.reload()
            mail.send("Subject: quick\r\n\r\nbody\r\n", recipients=["someone@example.com"])
            wait_until(lambda: sink.messages, what=mail.log_tail)
            mail.wait_for_log(f"{slow_id}: skipped, still being delivered")
        finally:
            hang["on"] = False
        mail.wait_for_log(f"{slow_id}: to=<someone@slow.example>.*status=sent")
        mail.wait_empty()
        assert hang["times"] == len(slow.messages) == 1


def test_agents_that_die_cost_a_deferral_and_no_message(instance, sink):
    mail = instance(main={"relayhost": f"[127.0.0.1]:{sink.port}", "minimal_backoff_time": "1s", "maximal_backoff_time": "1s",
                          "transport_retry_time": "1s"})
    for number in range(40):
        mail.send(f"Subject: x\r\nX-Number: {number}.\r\n\r\nbody\r\n", recipients=["someone@example.com"])
        if number % 8 == 3:
            mail.kill("smtp", signal.SIGKILL)
    wait_until(lambda: all(any(f"X-Number: {n}.".encode() in m.content for m in sink.messages) for n in range(40)), 60, mail.log_tail)
    mail.wait_empty(60)


def test_a_bounce_service_that_is_down_delays_the_notice_only(instance, sink):
    mail = instance(main={"transport_maps": f"inline:{{ {{example.net = smtp:[127.0.0.1]:{sink.port}}}, {{refused.example = error:5.7.1 go away}} }}",
                          "relay_domains": "refused.example", "relay_recipient_maps": "", "minimal_backoff_time": "1s"})
    socket = mail.queue / "private" / "bounce"
    socket.rename(socket.with_name("aside"))
    queue_id = hand_in(mail, ["b@refused.example"])
    mail.wait_for_log(f"{queue_id}: the sender cannot be notified now: bounce service: No such file or directory")
    wait_until(lambda: [recipient["bounce_reason"] for entry in mail.queue_list() for recipient in entry["recipients"]] == ["go away"], what=mail.log_tail)
    socket.with_name("aside").rename(socket)
    wait_until(lambda: sink.messages, what=mail.log_tail)
    assert b"b@refused.example" in sink.messages[0].content
    mail.wait_empty()
    assert len(mail.wait_for_log(f"{queue_id}: to=<b@refused.example>")) == 1       # tried once, told later


def test_only_one_queue_manager_works_on_a_queue(instance):
    mail = instance(main={"relayhost": f"[127.0.0.1]:{nobody_listens()}", "minimal_backoff_time": "600s"})
    mail.send("Subject: x\r\n\r\nbody\r\n", recipients=["someone@example.com"])
    mail.wait_for_log("queue active")
    other = subprocess.Popen([str(DAEMONS / "qmgr"), "-d", "-c", str(mail.etc), "-n", "other", str(mail.queue / "other")],
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        wait_until(lambda: listens(mail.queue / "other"), what="the other one listens")
        for _ in range(3):
            mail.command("postqueue", "-f")
            mail.send("Subject: x\r\n\r\nbody\r\n", recipients=["someone@example.com"])
        mail.wait_for_log("queue active", count=4)
        assert other.poll() is None
    finally:
        other.terminate()
        output = other.communicate(timeout=20)[0]
    assert "queue active" not in output
