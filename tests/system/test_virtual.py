# SPDX-License-Identifier: ISC
"""virtual: mailboxes that tables name, as the user and group that tables name."""

import os
import pwd
import re

import pytest

from instance import IS_ROOT

# As root, mailboxes belong to an account that every system has.
UID = pwd.getpwnam("games").pw_uid if IS_ROOT else os.geteuid()
MESSAGE = "From: a@example.net\r\nTo: b@example.org\r\nSubject: s\r\n\r\nhello\r\nFrom the start\r\n.\r\n>From\r\n"


@pytest.fixture
def virtual(instance):
    def make(**main):
        one = instance(start=False)
        (one.root / "vmail").mkdir()
        if IS_ROOT:
            os.chown(one.root / "vmail", UID, -1)
        numbers = {"virtual_uid_maps": f"static:{UID}", "virtual_gid_maps": f"static:{os.getgid() if not IS_ROOT else 1}",
                   "virtual_minimum_uid": str(UID)}
        one.main.update({"mydestination": "", "virtual_mailbox_domains": "box.example", "virtual_mailbox_base": f"{one.root}/vmail",
                         "recipient_delimiter": "+", "minimal_backoff_time": "600s", **numbers, **main})
        return one.start()

    return make


def virtual_status(one, address, verdict):
    line = one.wait_for_log(rf"virtual\[\d+\]: \S+: to=<{re.escape(address)}>, .*relay=virtual, .*status={verdict} \(")[0]
    return re.search(r"status=\w+ \((.*)\)$", line).group(1)


def test_virtual_mailboxes_are_written_as_their_owner(virtual):
    one = virtual(virtual_mailbox_maps="inline:{ {joe@box.example = box.example/joe/} {ann@box.example = ann.mbox} {@box.example = rest/} }")
    for address in ("joe+x@box.example", "ann@box.example", "who@box.example"):
        one.send(MESSAGE, recipients=[address])
    assert virtual_status(one, "joe+x@box.example", "sent") == "delivered to maildir"
    assert virtual_status(one, "ann@box.example", "sent") == "delivered to mailbox"
    assert virtual_status(one, "who@box.example", "sent") == "delivered to maildir"
    (letter,) = (one.root / "vmail/box.example/joe/new").iterdir()
    assert letter.stat().st_uid == UID
    assert letter.read_bytes().startswith(b"Return-Path: <sender@example.net>\nX-Original-To: joe+x@box.example\nDelivered-To: joe+x@box.example\n")
    assert letter.read_bytes().endswith(b"\n\nhello\nFrom the start\n.\n>From\n")
    assert (one.root / "vmail/ann.mbox").read_bytes().startswith(b"From sender@example.net  ")
    one.wait_empty()


def test_without_original_recipients_the_log_knows_them_and_the_letter_does_not(virtual):
    one = virtual(virtual_mailbox_maps="inline:{ {joe@box.example = joe/} }", virtual_alias_maps="inline:{ {al@box.example = joe@box.example} }", enable_original_recipient="no")
    one.send(MESSAGE, recipients=["al@box.example"])
    one.wait_for_log("to=<joe@box.example>, orig_to=<al@box.example>, .*status=sent")
    (letter,) = (one.root / "vmail/joe/new").iterdir()
    assert letter.read_bytes().startswith(b"Return-Path: <sender@example.net>\nDelivered-To: joe@box.example\n")


def test_what_virtual_tables_say_is_not_trusted(virtual):
    one = virtual(virtual_mailbox_maps="inline:{ {up@box.example = ../../etc/x/} {ok@box.example = ok/} {none@box.example = none/} "
                                       "{zero@box.example = zero/} {text@box.example = text/} }",
                  virtual_uid_maps=f"inline:{{ {{up@box.example = {UID}}} {{ok@box.example = {UID}}} {{zero@box.example = 0}} {{text@box.example = me}} }}")
    for name in ("up", "none", "zero", "text"):
        one.send(MESSAGE, recipients=[f"{name}@box.example"])
        assert virtual_status(one, f"{name}@box.example", "deferred") == "mail system configuration error"
    one.send(MESSAGE, recipients=["ok@box.example"])
    virtual_status(one, "ok@box.example", "sent")
    assert sorted(path.name for path in (one.root / "vmail").iterdir()) == ["ok"]


def test_a_mailbox_with_a_second_name_or_that_is_a_directory_puts_mail_off(virtual):
    """An administrator's mistake is no reason to return mail."""
    one = virtual(virtual_mailbox_maps="inline:{ {two@box.example = two} {dir@box.example = dir} }")
    (one.root / "vmail/dir").mkdir()
    (one.root / "vmail/two").touch(0o600)
    (one.root / "vmail/name").hardlink_to(one.root / "vmail/two")
    for name in ("two", "dir"):
        if IS_ROOT:
            os.chown(one.root / "vmail" / name, UID, -1)
        one.send(MESSAGE, recipients=[f"{name}@box.example"])
    assert "multiple hard links" in virtual_status(one, "two@box.example", "deferred")
    assert "not a regular file" in virtual_status(one, "dir@box.example", "deferred")


def test_where_no_lock_file_can_be_made_the_log_tells_or_the_mail_waits(virtual):
    one = virtual(virtual_mailbox_maps="static:closed/joe", virtual_mailbox_lock="fcntl, dotlock")
    closed = one.root / "vmail/closed"
    closed.mkdir()
    (closed / "joe").touch(0o600)
    os.chown(closed / "joe", UID, -1) if IS_ROOT else None
    closed.chmod(0o555)
    try:
        one.send(MESSAGE, recipients=["joe@box.example"])
        assert virtual_status(one, "joe@box.example", "sent") == "delivered to mailbox"
        one.wait_for_log(rf"virtual\[\d+\]: warning: \S+: unable to create lock file {closed}/joe.lock")
        one.set(virtual_mailbox_lock="dotlock")
        one.reload()
        one.send(MESSAGE, recipients=["joe+x@box.example"])
        assert "unable to create lock file: Permission denied" in virtual_status(one, "joe+x@box.example", "deferred")
        assert len(one.log_lines("warning: .*unable to create lock file")) == 1
    finally:
        closed.chmod(0o755)


@pytest.mark.parametrize("path", ["joe", "joe/"])
def test_what_somebody_sends_himself_out_of_his_mailbox_arrives(virtual, path):
    one = virtual(virtual_mailbox_maps=f"inline:{{ {{joe@box.example = {path}}} }}")
    one.send("Delivered-To: joe@box.example\r\n" + MESSAGE, recipients=["joe@box.example"])
    assert virtual_status(one, "joe@box.example", "sent").startswith("delivered to mail")


def test_without_a_base_directory_nothing_is_delivered_anywhere(virtual):
    one = virtual(virtual_mailbox_maps="static:all/", virtual_mailbox_base="")
    one.send(MESSAGE, recipients=["joe@box.example"])
    assert virtual_status(one, "joe@box.example", "deferred") == "mail system configuration error"
    one.wait_for_log("warning: .*virtual_mailbox_base must be an absolute path")


def test_unknown_virtual_recipients_bounce_and_broken_tables_do_not(virtual):
    one = virtual(virtual_mailbox_maps="", virtual_mailbox_domains="box.example")
    one.send(MESSAGE, recipients=["who@box.example"])
    assert virtual_status(one, "who@box.example", "bounced") == 'unknown user: "who@box.example"'
    one.set(virtual_uid_maps="fail:x", virtual_mailbox_maps="inline:{ {who@box.example = who/} }")
    one.reload()
    one.send(MESSAGE, recipients=["who@box.example"])
    assert virtual_status(one, "who@box.example", "deferred") == "virtual_uid_maps lookup failure"


def test_hundreds_of_recipients_of_one_message_get_it_once_each(virtual):
    one = virtual(virtual_mailbox_maps="static:all/")
    one.send(MESSAGE, recipients=[f"user{i}@box.example" for i in range(300)])
    one.wait_for_log(r"virtual\[\d+\]: \S+: to=<user\d+@box.example>.*status=sent", 300, timeout=60)
    one.wait_empty()
    found = [path.read_bytes() for path in (one.root / "vmail/all/new").iterdir()]
    addresses = {re.search(rb"\nDelivered-To: (\S+)\n", letter).group(1) for letter in found}
    assert len(found) == len(addresses) == 300
