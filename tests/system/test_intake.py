# SPDX-License-Identifier: ISC
"""The intake log from outside: new mail has no file of its own, and is found, kept and finished all the same."""

import re

import pytest

from instance import PATIENCE, wait_until
from sink import Sink


@pytest.fixture
def sink():
    with Sink() as one:
        yield one


@pytest.fixture
def slow(instance, sink):
    """slow(**main): an instance whose next hop takes content and does not answer until slow.let_go() is called."""
    class Slow:
        holds = True
        asked = 0

        def __call__(self, **main):
            self.mail = instance(main={"relayhost": f"[127.0.0.1]:{sink.port}", **main})
            return self.mail

        def answer(self, _message):
            self.asked += 1
            wait_until(lambda: not self.holds, 100, "the test lets go")
            return "250 2.0.0 Ok"

        def let_go(self):
            self.holds = False

    one = Slow()
    sink.answers["."] = one.answer
    yield one
    one.let_go()


def names(mail, kind):
    return sorted(path.name for path in (mail.queue / "intake").iterdir() if path.name.startswith(kind))


def queues(mail):
    return [entry["queue_name"] for entry in mail.queue_list()]


def test_a_message_that_is_delivered_at_once_never_has_a_file(slow, sink):
    mail = slow()
    queue_id = mail.send("Subject: small\r\n\r\nbody\r\n")
    wait_until(lambda: queues(mail) == ["active"], what=mail.log_tail)
    assert mail.queue_files() == [] and len(names(mail, "log-")) == 1
    assert "Subject: small" in mail.command("postcat", "-q", queue_id).stdout
    slow.let_go()
    mail.wait_empty()
    mail.wait_for_log(f"{queue_id}: removed")
    assert len(sink.messages) == 1


@pytest.mark.root
def test_while_the_system_is_down_it_is_found_by_all_commands(slow, sink):
    mail = slow()
    ids = [mail.send(f"Subject: {number}\r\n\r\nbody\r\n") for number in range(4)]
    wait_until(lambda: len(mail.queue_list()) == slow.asked == 4, what=mail.log_tail)
    mail.kill_everything()
    listing = mail.command("postqueue", "-p").stdout
    assert all(queue_id in listing for queue_id in ids)
    assert "Subject: 0" in mail.command("postcat", "-q", ids[0]).stdout
    assert "Deleted: 1 message" in mail.command("postsuper", "-d", ids[1]).stderr
    assert "Placed on hold: 1 message" in mail.command("postsuper", "-h", ids[2]).stderr
    assert "Requeued: 1 message" in mail.command("postsuper", "-r", ids[3]).stderr
    slow.let_go()
    wait_until(lambda: len(sink.messages) == 4, 30, "the next hop has taken what it was sent")
    mail.start()
    wait_until(lambda: queues(mail) == ["hold"], 30, mail.log_tail)
    subjects = {re.search(rb"Subject: (\d)", message.content).group(1) for message in sink.messages if b"Subject" in message.content}
    assert subjects >= {b"0", b"3"} and b"1" not in {re.search(rb"Subject: (\d)", m.content).group(1) for m in sink.messages[4:]}


def test_what_was_under_way_when_everything_was_killed_arrives(slow, sink):
    mail = slow()
    ids = [mail.send(f"Subject: {number}\r\n\r\nbody\r\n") for number in range(20)]
    wait_until(lambda: len(mail.queue_list()) == 20, what=mail.log_tail)
    mail.kill_everything()
    slow.let_go()
    mail.start()
    mail.wait_empty(60)
    for queue_id in ids:
        mail.wait_for_log(f"{queue_id}: to=.*status=sent")
    assert mail.log_lines("(error|fatal|panic):") == []


def test_turned_off_every_message_has_a_file_and_what_lies_in_the_log_goes_on(slow):
    mail = slow()
    mail.send("Subject: in the log\r\n\r\nbody\r\n")
    wait_until(lambda: len(mail.queue_list()) == 1, what=mail.log_tail)
    mail.set(intake_segment_size="0")
    mail.reload()
    # the former cleanup may still have taken it: until one comes that knows
    wait_until(lambda: mail.send("Subject: a file\r\n\r\nbody\r\n") and mail.queue_files(), 30, mail.log_tail, pause=0.2)
    slow.let_go()
    mail.wait_empty(60)
    wait_until(lambda: len(mail.log_lines("status=sent")) == len(mail.log_lines(": client=")), what=mail.log_tail)


def test_when_the_log_is_full_mail_goes_on_in_files_and_the_log_is_emptied(slow):
    mail = slow(intake_segment_size="65536", intake_segment_limit="4", smtp_destination_concurrency_limit="2")
    count = 40
    ids = [mail.send("Subject: x\r\n\r\n" + "x" * 70 + "\r\n" * 20000) for _ in range(count)]
    assert mail.queue_files(), "some did not fit"
    # those that linger in the log are given files too, and segments are freed, although nothing is delivered
    wait_until(lambda: len(mail.queue_files()) > count - 8 and len(names(mail, "log-")) < 4, 60, mail.log_tail, pause=0.2)
    assert len(mail.queue_list()) == count
    slow.let_go()
    mail.wait_empty(60 * PATIENCE)
    for queue_id in ids:
        assert len(mail.wait_for_log(f"{queue_id}: to=.*status=sent")) == 1


def test_a_held_message_has_a_file_wherever_it_was_when_it_was_held(slow):
    mail = slow(minimal_backoff_time="600s")
    queue_id = mail.send("Subject: x\r\n\r\nbody\r\n")
    wait_until(lambda: slow.asked > 0, 30, mail.log_tail)
    mail.command("postsuper", "-h", queue_id)
    mail.kill("smtp")                           # the delivery under way fails, and then it is held
    wait_until(lambda: queues(mail) == ["hold"], 30, mail.log_tail)
    assert [path.parent.name for path in mail.queue_files()] == ["hold"]
    slow.let_go()
    mail.command("postsuper", "-H", queue_id)
    mail.wait_empty(120)
