# SPDX-License-Identifier: ISC
"""local: aliases, .forward files, commands, files, mailboxes, as the user they belong to."""

import contextlib
import mailbox
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from instance import IS_ROOT, _program_of, wait_until
from sink import Sink

# As root, mail goes to accounts that every system has; their mailboxes are in the instance's own spool directory.
USER, OTHER = ("games", "news") if IS_ROOT else (pwd.getpwuid(os.geteuid()).pw_name,) * 2
UID = pwd.getpwnam(USER).pw_uid
DOMAIN = "mail.example.org"
MESSAGE = "From: a@example.net\r\nTo: b@example.org\r\nSubject: s\r\n\r\nhello\r\nFrom the start\r\n.\r\n>From\r\n"


@pytest.fixture
def local(instance):
    """local(aliases, main): an instance whose mailboxes, .forward files and other things are in directories that everybody may use."""

    def make(aliases="", main=None, **options):
        one = instance(start=False, **options)
        for name in ("spool", "forward", "out"):
            (one.root / name).mkdir()
            (one.root / name).chmod(0o1777)
        if aliases:
            one.file("aliases", aliases.replace("ROOT", str(one.root)))
        one.main.update({
            "mydestination": f"{DOMAIN} localhost",
            "mail_spool_directory": f"{one.root}/spool/",
            "forward_path": f"{one.root}/forward/$user$recipient_delimiter$extension {one.root}/forward/$user",
            "default_privs": OTHER,
            "alias_maps": f"hash:{one.etc}/aliases" if aliases else "",
            "recipient_delimiter": "+",
            "minimal_backoff_time": "600s", "queue_run_delay": "600s",
        })
        one.main.update({name: value.replace("ROOT", str(one.root)) for name, value in (main or {}).items()})
        one.write()
        if aliases:
            one.command("postalias", f"hash:{one.etc}/aliases")
        return one.start()

    return make


def forward_file(one, text, name=USER, owner=None, mode=0o644):
    path = one.root / "forward" / name
    path.write_text(text.replace("ROOT", str(one.root)))
    path.chmod(mode)
    os.chown(path, pwd.getpwnam(owner or USER).pw_uid, -1) if IS_ROOT else None
    return path


def maildir(one, user=USER):
    return one.root / "spool" / user


def letters(one, user=USER):
    new = maildir(one, user) / "new"
    return [path.read_bytes() for path in sorted(new.iterdir())] if new.is_dir() else []


def wait_for_letters(one, count=1, user=USER):
    wait_until(lambda: len(letters(one, user)) >= count, 30, lambda: f"{count} letters\n{one.log_tail()}")
    found = letters(one, user)
    assert len(found) == count
    return found


def status(one, address, verdict):
    """The text in brackets of the log line about this recipient."""
    line = one.wait_for_log(rf"local\[\d+\]: \S+: to=<{re.escape(address)}>, .*relay=local, .*status={verdict} \(")[0]
    return re.search(r"status=\w+ \((.*)\)$", line).group(1)


def wait_for_deliveries(one, queue_id):
    """Until the log has all of this message's, and those of the messages that were made of it: an agent may say so after qmgr has heard from it."""
    one.wait_for_log(f"{queue_id}: removed")
    recipients = re.search(r"nrcpt=(\d+) ", one.wait_for_log(f"{queue_id}: from=<.*nrcpt=")[0]).group(1)
    for line in one.wait_for_log(f"{queue_id}: to=<", int(recipients)):
        for new_id in re.findall(r"forwarded as (\w+)", line):
            wait_for_deliveries(one, new_id)


# ---- mailboxes ----

def test_a_maildir_gets_the_message_byte_for_byte_with_its_trace(local):
    one = local()
    one.send(MESSAGE, recipients=[f"{USER.upper()}@{DOMAIN}"])
    (letter,) = wait_for_letters(one)
    head, _, body = letter.partition(b"\n\n")
    assert body == b"hello\nFrom the start\n.\n>From\n"
    lines = head.split(b"\n")
    assert lines[0] == b"Return-Path: <sender@example.net>"
    assert lines[1] == b"X-Original-To: %s@%s" % (USER.upper().encode(), DOMAIN.encode())
    assert lines[2] == b"Delivered-To: %s@%s" % (USER.upper().encode(), DOMAIN.encode())
    assert lines[3].startswith(b"Received: from ")
    assert status(one, f"{USER.upper()}@{DOMAIN}", "sent") == "delivered to maildir"
    (path,) = (maildir(one) / "new").iterdir()
    assert path.stat().st_uid == UID and path.stat().st_mode & 0o777 == 0o600
    one.wait_empty()


def test_an_mbox_file_gets_messages_one_after_the_other(local):
    one = local(main={"mail_spool_directory": "ROOT/spool"})
    for _ in range(2):
        one.send(MESSAGE, recipients=[f"{USER}+ext@{DOMAIN}"])
    one.wait_for_log(r"status=sent \(delivered to mailbox\)", 2)
    path = one.root / "spool" / USER
    text = path.read_bytes()
    assert text.startswith(b"From sender@example.net  ")
    assert text.count(b"\n>From the start\n.\n>From\n\n") == 2
    box = mailbox.mbox(path, create=False)
    assert [message["Delivered-To"] for message in box] == [f"{USER}+ext@{DOMAIN}"] * 2
    assert path.stat().st_uid == UID and path.stat().st_mode & 0o777 == 0o600
    assert not (one.root / "spool" / f"{USER}.lock").exists()


def test_a_mailbox_that_is_full_or_no_mailbox_is_left_as_it_is(local):
    one = local(main={"mail_spool_directory": "ROOT/spool", "mailbox_size_limit": "100000", "message_size_limit": "90000"})
    path = one.root / "spool" / USER
    path.write_bytes(b"x" * 99990)
    os.chown(path, UID, -1) if IS_ROOT else None
    one.send(MESSAGE, recipients=[f"{USER}@{DOMAIN}"])
    assert "error writing message: File too large" in status(one, f"{USER}@{DOMAIN}", "bounced")
    assert path.stat().st_size == 99990
    os.link(path, one.root / "spool" / "other-name")
    one.send(MESSAGE, recipients=[f"{USER}+x@{DOMAIN}"])
    assert "multiple hard links" in status(one, f"{USER}+x@{DOMAIN}", "bounced")
    assert path.stat().st_size == 99990


@pytest.mark.root
def test_a_foreign_link_or_file_in_the_spool_is_never_written_to(local):
    one = local(main={"mail_spool_directory": "ROOT/spool"})
    target = one.root / "out" / "target"
    target.write_text("")
    os.chown(target, UID, -1)
    path = one.root / "spool" / USER
    path.symlink_to(target)
    os.chown(path, pwd.getpwnam(OTHER).pw_uid, -1, follow_symlinks=False)
    one.send(MESSAGE, recipients=[f"{USER}@{DOMAIN}"])
    assert "symbolic link that belongs to somebody else" in status(one, f"{USER}@{DOMAIN}", "deferred")
    path.unlink()
    path.write_text("")
    os.chown(path, pwd.getpwnam(OTHER).pw_uid, -1)
    path.chmod(0o666)
    one.send(MESSAGE, recipients=[f"{USER}+x@{DOMAIN}"])
    assert "not owned by recipient" in status(one, f"{USER}+x@{DOMAIN}", "deferred")
    assert target.read_text() == "" and path.read_text() == ""


@pytest.mark.root
def test_swapping_the_mailbox_for_a_link_during_deliveries_gains_nothing(local):
    one = local(main={"mail_spool_directory": "ROOT/spool", "minimal_backoff_time": "1s", "queue_run_delay": "1s"})
    target, path = one.root / "out" / "target", one.root / "spool" / USER
    target.write_text("")
    os.chown(target, UID, -1)
    done = threading.Event()

    def swap():
        while not done.is_set():
            beside = one.root / "out" / "link"
            beside.symlink_to(target)
            os.chown(beside, pwd.getpwnam(OTHER).pw_uid, -1, follow_symlinks=False)
            beside.rename(path)
            path.unlink()

    attacker = threading.Thread(target=swap)
    attacker.start()
    try:
        for _ in range(150):
            one.send(MESSAGE, recipients=[f"{USER}@{DOMAIN}"])
        one.wait_for_log(rf"to=<{USER}@{DOMAIN}>.*status=", 150, timeout=60)
    finally:
        done.set()
        attacker.join()
    assert target.read_text() == ""
    # and when it wins the race for certain: in one step, since deliveries that were put off may still make a mailbox here
    sure = one.root / "out" / "link"
    sure.symlink_to(target)
    os.chown(sure, pwd.getpwnam(OTHER).pw_uid, -1, follow_symlinks=False)
    sure.rename(path)
    one.send(MESSAGE, recipients=[f"{USER}+sure@{DOMAIN}"])
    one.wait_for_log(rf"to=<{USER}\+sure@{DOMAIN}>.*status=deferred .*symbolic link that belongs to somebody else")
    assert target.read_text() == ""


@pytest.mark.root
def test_a_full_disk_puts_mail_off_and_leaves_the_mailbox_as_it_was(local):
    one = local(main={"mail_spool_directory": "ROOT/disk", "minimal_backoff_time": "1s", "queue_run_delay": "1s"})
    disk = one.root / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=1777", "none", disk], stderr=subprocess.DEVNULL).returncode != 0:
        pytest.skip("cannot mount a small file system here")
    try:
        one.send(MESSAGE, recipients=[f"{USER}@{DOMAIN}"])
        one.wait_for_log("status=sent")
        before = (disk / USER).read_bytes()
        one.send(MESSAGE + "x" * 100000, recipients=[f"{USER}+big@{DOMAIN}"])
        assert "No space left on device" in status(one, f"{USER}+big@{DOMAIN}", "deferred")
        one.wait_for_log(rf"to=<{USER}\+big@{DOMAIN}>.*dsn=4.2.2, status=deferred")
        assert (disk / USER).read_bytes() == before
        subprocess.run(["mount", "-o", "remount,size=1m", disk], check=True)
        one.command("postqueue", "-f")
        one.wait_for_log(rf"to=<{USER}\+big@{DOMAIN}>.*status=sent")
        assert (disk / USER).read_bytes().startswith(before)
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


@pytest.mark.root
@pytest.mark.parametrize("spool", ["ROOT/disk/", "ROOT/disk"], ids=["maildir", "mbox"])
def test_what_was_reported_as_delivered_survives_a_power_cut(local, spool):
    """What the file system had given to its disk at that moment is what a machine would find there after losing power."""
    if shutil.which("mkfs.ext4") is None:
        pytest.skip("needs mkfs.ext4")
    one = local(main={"mail_spool_directory": spool})
    disk, image, copy = (one.root / name for name in ("disk", "image", "copy"))
    disk.mkdir()
    with image.open("wb") as file:
        file.truncate(16 << 20)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    mounted = subprocess.run(["mount", "-o", "loop", image, disk], stderr=subprocess.DEVNULL).returncode == 0
    if not mounted:
        pytest.skip("cannot mount an image here")
    try:
        disk.chmod(0o1777)
        os.sync()
        one.send(MESSAGE, recipients=[f"{USER}@{DOMAIN}"])
        one.wait_for_log("status=sent")
        shutil.copyfile(image, copy)
    finally:
        subprocess.run(["umount", "-l", disk], check=True)
    subprocess.run(["mount", "-o", "loop", copy, disk], check=True)
    try:
        path = disk / USER
        (found,) = (path / "new").iterdir() if spool.endswith("/") else [path]
        assert found.read_bytes().rstrip(b"\n").endswith(b"\n.\n>From")
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


@pytest.mark.root
def test_a_spool_that_a_group_may_write_needs_no_more_than_that_group(local):
    one = local(main={"mail_spool_directory": "ROOT/spool"})
    (one.root / "spool").chmod(0o2775)
    os.chown(one.root / "spool", 0, pwd.getpwnam("mail").pw_gid)
    one.send(MESSAGE, recipients=[f"{USER}@{DOMAIN}"])
    assert status(one, f"{USER}@{DOMAIN}", "sent") == "delivered to mailbox"
    info = (one.root / "spool" / USER).stat()
    assert (info.st_uid, info.st_mode & 0o777) == (UID, 0o600)


def test_where_no_lock_file_can_be_made_another_lock_has_to_do_and_the_log_tells(local):
    one = local(aliases="file: ROOT/closed/file\n", main={"mailbox_delivery_lock": "dotlock", "mail_spool_directory": "ROOT/closed"})
    closed = one.root / "closed"
    closed.mkdir()
    for name, owner in (("file", OTHER), (USER, USER)):
        (closed / name).touch(0o600)
        os.chown(closed / name, pwd.getpwnam(owner).pw_uid, -1) if IS_ROOT else None
    closed.chmod(0o555)
    try:
        one.send(MESSAGE, recipients=[f"file@{DOMAIN}"])
        assert status(one, f"file@{DOMAIN}", "sent") == f"delivered to file: {closed}/file"
        one.wait_for_log(rf"warning: .*unable to create lock file {closed}/file.lock")
        one.send(MESSAGE, recipients=[f"{USER}@{DOMAIN}"])
        assert "unable to create lock file: Permission denied" in status(one, f"{USER}@{DOMAIN}", "deferred")
        one.set(mailbox_delivery_lock="fcntl, dotlock")
        one.reload()
        one.send(MESSAGE, recipients=[f"{USER}+x@{DOMAIN}"])
        assert status(one, f"{USER}+x@{DOMAIN}", "sent") == "delivered to mailbox"
        one.wait_for_log(rf"warning: .*unable to create lock file {closed}/{USER}.lock")
    finally:
        closed.chmod(0o755)


@pytest.mark.root
def test_a_mailbox_may_be_mounted_into_a_directory_that_is_read_only(local):
    """As containers do it: the directory's file system takes no lock file."""
    one = local(main={"mail_spool_directory": "ROOT/disk"})
    disk, box = one.root / "disk", one.root / "out" / "box"
    disk.mkdir()
    box.touch(0o600)
    os.chown(box, UID, -1)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", disk], stderr=subprocess.DEVNULL).returncode != 0:
        pytest.skip("cannot mount a small file system here")
    try:
        (disk / USER).touch()
        subprocess.run(["mount", "--bind", box, disk / USER], check=True)
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        one.send(MESSAGE, recipients=[f"{USER}@{DOMAIN}"])
        assert status(one, f"{USER}@{DOMAIN}", "sent") == "delivered to mailbox"
        one.wait_for_log(rf"warning: .*unable to create lock file {disk}/{USER}.lock")
        one.set(mailbox_delivery_lock="dotlock")
        one.reload()
        one.send(MESSAGE, recipients=[f"{USER}+x@{DOMAIN}"])
        assert "unable to create lock file: Read-only file system" in status(one, f"{USER}+x@{DOMAIN}", "deferred")
        assert box.read_text().count("Subject: s") == 1
    finally:
        subprocess.run(["umount", "-l", disk / USER], check=False)
        subprocess.run(["umount", "-l", disk], check=True)


@pytest.mark.root
def test_mail_is_not_delivered_with_roots_rights(local):
    one = local()
    one.send(MESSAGE, recipients=[f"root@{DOMAIN}"])
    assert "make an alias for root" in status(one, f"root@{DOMAIN}", "deferred")


def test_nobody_is_told_from_somebody(local):
    one = local(main={"luser_relay": ""})
    one.send(MESSAGE, recipients=[f"no-such-user@{DOMAIN}"])
    assert status(one, f"no-such-user@{DOMAIN}", "bounced") == 'unknown user: "no-such-user"'
    one.set(luser_relay=f"{USER}+$local@{DOMAIN}")
    one.reload()
    one.send(MESSAGE, recipients=[f"somebody@{DOMAIN}"])
    assert status(one, f"somebody@{DOMAIN}", "sent").startswith("forwarded as ")
    (letter,) = wait_for_letters(one)
    assert b"\nDelivered-To: %s+somebody@%s\n" % (USER.encode(), DOMAIN.encode()) in letter
    for count, name in enumerate(("a b", "a, b", "(c) d", "x>"), 2):
        one.send(MESSAGE, recipients=[f'"{name}"@{DOMAIN}'])
        assert wait_for_letters(one, count)
        assert any(f'\nDelivered-To: "{USER}+{name}"@{DOMAIN}\n'.encode() in letter for letter in letters(one))


def test_a_luser_relay_that_leads_to_nobody_makes_no_messages_unless_a_map_knows_better(local):
    """Each with a longer name, until there are too many hops: for want of a recipient_delimiter, say."""
    one = local(main={"luser_relay": f"catch-all+$local@{DOMAIN}", "recipient_delimiter": ""})
    one.send(MESSAGE, recipients=[f"no-such-user@{DOMAIN}"])
    assert status(one, f"no-such-user@{DOMAIN}", "bounced") == f"luser_relay: nobody is catch-all+no-such-user@{DOMAIN} either"
    one.set(virtual_alias_maps=f"inline:{{ {{catch-all+somebody@{DOMAIN} = {USER}@{DOMAIN}}} }}")
    one.reload()
    one.send(MESSAGE, recipients=[f"somebody@{DOMAIN}"])
    wait_for_letters(one)


# ---- aliases ----

def test_an_alias_for_one_name_is_followed_without_a_new_message(local):
    one = local(aliases=f"one: Two\ntwo: {USER}\n{USER}: {USER}\n")
    queue_id = one.send(MESSAGE, recipients=[f"One@{DOMAIN}"])
    (letter,) = wait_for_letters(one)
    assert b"\nDelivered-To: One@" + DOMAIN.encode() in letter
    one.wait_for_log(rf"{queue_id}: to=<{USER}@{DOMAIN}>, orig_to=<One@{DOMAIN}>, relay=local, .*, dsn=2.0.0, status=sent \(delivered to maildir\)")


def test_a_message_of_the_largest_size_is_forwarded(local):
    """With the headers that it has got by then it is larger."""
    one = local(aliases="several: a@example.invalid, b@example.invalid\n",
                main={"message_size_limit": "5000", "transport_maps": "inline:{ {example.invalid = discard:} }"})
    queue_id = one.send((MESSAGE + f"{'x' * 900}\r\n" * 10)[:4998] + "\r\n", recipients=[f"several@{DOMAIN}"])
    assert status(one, f"several@{DOMAIN}", "sent").startswith("forwarded as ")
    wait_for_deliveries(one, queue_id)


def test_an_alias_for_several_makes_one_new_message(local):
    """Which nobody gets a second copy of; so does an alias for a name of this machine whose domain a transport map leads elsewhere, or whose user has moved."""
    one = local(aliases=f"list: {USER}, {USER}+b, somebody@example.invalid\nowner-list: {USER}\naway: {USER}@localhost\nmoved: {USER}+moved\n",
                main={"transport_maps": "inline:{ {example.invalid = discard:gone} {localhost = discard:away} }",
                      "always_bcc": "copies@example.invalid", "recipient_bcc_maps": "static:more-copies@example.invalid",
                      "relocated_maps": f"inline:{{ {{{USER}+moved@{DOMAIN} = new@example.invalid}} }}"})
    one.send(MESSAGE, recipients=[f"list@{DOMAIN}"])
    text = status(one, f"list@{DOMAIN}", "sent")
    new_id = re.fullmatch(r"forwarded as (\S+)", text).group(1)
    found = wait_for_letters(one, 2)
    for letter in found:
        assert letter.startswith(b"Return-Path: <owner-list@%s>\n" % DOMAIN.encode())
        assert re.search(rb"\nX-Original-To: (%s(\+b)?@%s)\nDelivered-To: \1\n" % (USER.encode(), DOMAIN.encode()), letter)     # whose list it was, its owner knows
        assert b"\nDelivered-To: list@%s\n" % DOMAIN.encode() in letter
        assert letter.endswith(b"\n\nhello\nFrom the start\n.\n>From\n")
    one.wait_for_log(rf"{new_id}: from=<owner-list@{DOMAIN}>, size=\d+, nrcpt=3")
    one.wait_for_log(rf"{new_id}: to=<somebody@example.invalid>.*\(gone\)")
    one.send(MESSAGE, recipients=[f"away@{DOMAIN}"])
    assert "forwarded as" in status(one, f"away@{DOMAIN}", "sent")
    one.wait_for_log(rf"to=<{USER}@localhost>, orig_to=<away@{DOMAIN}>, relay=none, .*\(away\)")
    one.send(MESSAGE, sender="", recipients=[f"moved@{DOMAIN}"])
    assert "forwarded as" in status(one, f"moved@{DOMAIN}", "sent")
    one.wait_for_log(rf"to=<{USER}\+moved@{DOMAIN}>, orig_to=<moved@{DOMAIN}>, relay=none, .*\(User has moved to new@example.invalid\)")
    one.wait_empty()


def test_maps_do_not_lead_the_names_in_an_alias_away_unless_it_has_an_owner(local):
    """Least of all back to it: joe may be a virtual alias of an alias that has joe on its list."""
    one = local(aliases=f"crew: {USER}, mate@example.invalid\nstuck: {USER}, loop@example.invalid\nowned: {USER}+b, mate@example.invalid\nowner-owned: {USER}\n",
                main={"virtual_alias_maps": f"inline:{{ {{{USER}@{DOMAIN} = crew@{DOMAIN}}} {{{USER}+b@{DOMAIN} = b@example.invalid}} {{mate@example.invalid = m@example.invalid}} {{loop@example.invalid = loop1@example.invalid}} {{loop1@example.invalid = loop@example.invalid}} }}",
                      "propagate_unmatched_extensions": "", "myorigin": DOMAIN, "transport_maps": "inline:{ {example.invalid = discard:} }"})
    one.send(MESSAGE, recipients=[f"stuck@{DOMAIN}"])       # a map that fails keeps everybody waiting, so nobody gets it at every attempt
    assert status(one, f"stuck@{DOMAIN}", "deferred").startswith("cannot forward: ")
    one.send(MESSAGE, sender="", recipients=[f"{USER}@{DOMAIN}"])
    assert re.fullmatch(r"forwarded as \S+; forwarded as \S+", status(one, f"crew@{DOMAIN}", "sent"))
    (letter,) = wait_for_letters(one)
    assert letter.count(b"\nDelivered-To: ") == 2
    one.wait_for_log(r"to=<m@example.invalid>, .*status=sent")
    one.send(MESSAGE, recipients=[f"owned@{DOMAIN}"])
    one.wait_for_log(r"to=<b@example.invalid>, .*status=sent")
    assert len(letters(one)) == 1 and not one.log_lines("forwarding loop")


def test_who_asked_for_success_only_hears_of_the_expansion_and_of_nothing_else(local):
    one = local(aliases=f"list: {USER}+a, no-such-user\n")
    with one.client() as client:
        client.ehlo()
        client.mail(f"{USER}@{DOMAIN}", ["RET=HDRS", "ENVID=x1"])
        assert client.rcpt(f"list@{DOMAIN}", ["NOTIFY=SUCCESS"])[0] == 250
        assert client.data(MESSAGE)[0] == 250
    one.wait_for_log(r"to=<no-such-user@\S+, orig_to=<list@\S+, .*status=bounced")
    found = wait_for_letters(one, 2)
    one.wait_empty()
    assert len(letters(one)) == 2
    (report,) = [letter for letter in found if letter.startswith(b"Return-Path: <>")]
    assert b"\nFinal-Recipient: rfc822; list@%s\nAction: expanded\n" % DOMAIN.encode() in report
    assert b"\nOriginal-Envelope-Id: x1\n" in report
    assert not one.log_lines("sender non-delivery notification")


def test_mail_for_a_list_with_an_owner_has_arrived_there(local):
    """RFC 3461, 5.2.7.3: what becomes of it is no longer the sender's affair."""
    one = local(aliases=f"list: {USER}+a, {USER}+b\nowner-list: {USER}\n")
    with one.client() as client:
        client.ehlo()
        client.mail(f"{USER}@{DOMAIN}")
        assert client.rcpt(f"list@{DOMAIN}", ["NOTIFY=SUCCESS"])[0] == 250
        assert client.data(MESSAGE)[0] == 250
    found = wait_for_letters(one, 3)
    (report,) = [letter for letter in found if letter.startswith(b"Return-Path: <>")]
    assert b"\nFinal-Recipient: rfc822; list@%s\nAction: delivered\n" % DOMAIN.encode() in report


def test_what_is_a_name_of_ours_is_a_matter_of_the_transport_and_not_of_the_domain(local):
    """As in Postfix: local asks where an address in a list would go, and whether that is itself."""
    one = local(aliases=f"{USER}: {USER}@foreign.example\nboth: {USER}@foreign.example, {USER}@{DOMAIN}\naway: {USER}@elsewhere.example, {OTHER}@single.example\nvirtual: joe@va.example\n",
                main={"transport_maps": f"inline:{{ {{foreign.example=local:}} {{{OTHER}@single.example=local:}} {{{DOMAIN}=discard:}} {{va.example=local:}} }}", "default_transport": "discard",
                      "virtual_alias_domains": "va.example", "virtual_alias_maps": f"inline:{{joe@va.example={USER}@foreign.example}}"})
    one.send(MESSAGE, recipients=[f"{USER}@foreign.example"])       # to itself: the user, and no loop
    assert status(one, f"{USER}@foreign.example", "sent") == "delivered to maildir"
    one.send(MESSAGE, recipients=["virtual@foreign.example"])       # a virtual alias comes first, whatever its domain's transport would be
    assert status(one, "virtual@foreign.example", "sent").startswith("forwarded as ")
    wait_for_letters(one, 2)
    one.send(MESSAGE, recipients=["both@foreign.example"])
    one.wait_for_log(rf"discard\[\d+\]: \S+: to=<{USER}@{DOMAIN}>")
    wait_for_letters(one, 3)
    one.send(MESSAGE, recipients=["away@foreign.example"])
    one.wait_for_log(rf"discard\[\d+\]: \S+: to=<{USER}@elsewhere.example>")
    wait_for_letters(one, 1, OTHER)
    assert not one.log_lines("status=bounced")


def test_alias_loops_end(local):
    one = local(aliases="a: b\nb: a\nc: d, e@example.invalid\nd: c, f@example.invalid\n",
                main={"transport_maps": f"inline:{{ {{example.invalid = discard:}} {{x.{DOMAIN} = discard:}} }}"})
    one.send(MESSAGE, recipients=[f"c@{DOMAIN}"])
    for name in "ef":
        one.wait_for_log(rf"to=<{name}@example.invalid>, orig_to=<c@{DOMAIN}>.*status=sent")
    assert len(one.wait_for_log("status=sent .forwarded as")) == 1
    one.set(transport_maps="", append_at_myorigin="no")     # a name without a domain is one of this machine's all the same
    one.reload()
    one.send(MESSAGE, recipients=[f"a@{DOMAIN}"])
    assert status(one, f"a@{DOMAIN}", "bounced") == f"alias database loop for a@{DOMAIN}"


def test_lists_within_lists_reach_everybody_once(local):
    """Also when they are many: two names a level would be a trillion messages."""
    tree = "".join(f"t{level}: t{level + 1}a, t{level + 1}b\nt{level}a: t{level}, a{level}@example.invalid\nt{level}b: t{level}\n"
                   for level in range(40))
    one = local(aliases=f"all: staff, devs, x@example.invalid\nstaff: devs, ann@example.invalid\ndevs: bob@example.invalid, Ann@example.invalid\n"
                        f"owned: list, y@example.invalid\nlist: z@example.invalid\nowner-list: {USER}\nrouted: special, v@example.invalid\n"
                        f"special: w@example.invalid\nring1: ring2, ring3\nring2: ring1, ring3\nring3: ring1, ring2\nt40a: {USER}\nt40b: {USER}\n{USER}: {USER}, u@example.invalid\n"
                        f"crew: {USER}, c@example.invalid\n" + tree,
                main={"transport_maps": f"inline:{{ {{example.invalid = discard:}} {{special@{DOMAIN} = discard:special}} }}"})

    def reached(name):
        """Who gets the message, and in how many new messages."""
        queue_id = one.send(MESSAGE, recipients=[f"{name}@{DOMAIN}"])
        wait_for_deliveries(one, queue_id)
        one.wait_empty()
        return sorted(re.search("to=<([^>]*)>", line).group(1) for line in one.log_lines(rf"discard\[.*orig_to=<{name}@{DOMAIN}>")), \
            len(one.log_lines(rf"to=<.*<?{name}@{DOMAIN}>.*forwarded as"))

    assert reached("all") == (["Ann@example.invalid", "bob@example.invalid", "x@example.invalid"], 1)
    assert reached("owned") == (["y@example.invalid"], 2)       # a list with an owner is a message of its own
    one.wait_for_log("to=<z@example.invalid>, relay=")
    assert reached("crew") == (["c@example.invalid", "u@example.invalid"], 1)
    wait_for_letters(one, 1)                                # an alias that names its user too
    assert reached("routed") == ([f"special@{DOMAIN}", "v@example.invalid"], 1)
    assert reached("ring1")[0] == [] and status(one, f"ring1@{DOMAIN}", "bounced") == f"alias database loop for ring1@{DOMAIN}"
    assert len(reached("t0")[0]) == 40
    wait_for_letters(one, 2)
    assert reached(USER) == (["u@example.invalid"], 1)      # the user himself, and others
    wait_for_letters(one, 3)


def test_include_files_are_read_with_the_rights_of_nobody_in_particular(local):
    one = local(aliases="list: :include:ROOT/out/list\nself: :include:ROOT/out/self\nbad: :include:ROOT/out/writable\n"
                        "secret: :include:ROOT/out/secret\ndirectory: :include:ROOT/out\n")
    out = one.root / "out"
    (out / "list").write_text(f"# people\n{USER}\n{USER}+b, {USER}+c\n|touch {out}/run\n")
    (out / "self").write_text(f":include:{out}/self\n")
    (out / "writable").write_text(f"{USER}\n")
    (out / "writable").chmod(0o666)
    (out / "secret").write_text(f"{USER}\n")
    (out / "secret").chmod(0o000)
    one.send(MESSAGE, recipients=[f"list@{DOMAIN}"])
    assert status(one, f"list@{DOMAIN}", "bounced") == "mail to command is restricted"
    wait_for_letters(one, 3)
    assert not (out / "run").exists()
    one.send(MESSAGE, recipients=[f"self@{DOMAIN}"])
    assert status(one, f"self@{DOMAIN}", "bounced") == f"alias database loop for self@{DOMAIN}"
    one.send(MESSAGE, recipients=[f"bad@{DOMAIN}"])
    assert "world writable" in status(one, f"bad@{DOMAIN}", "deferred")
    one.send(MESSAGE, recipients=[f"secret@{DOMAIN}"])
    assert "Permission denied" in status(one, f"secret@{DOMAIN}", "deferred")
    one.send(MESSAGE, recipients=[f"directory@{DOMAIN}"])
    assert status(one, f"directory@{DOMAIN}", "deferred").endswith(": not a regular file")


def test_what_a_list_includes_twice_or_itself_counts_once(local):
    one = local(aliases="all: :include:ROOT/out/all\n", main={"allow_mail_to_files": "include"})
    out = one.root / "out"
    (out / "all").write_text(f"{USER}\n:include:{out}/more\n:include:{out}/all\n:include:{out}/more\n")
    (out / "more").write_text(f"{out}/file\n")
    one.send(MESSAGE, recipients=[f"all@{DOMAIN}"])
    assert status(one, f"all@{DOMAIN}", "sent").startswith(f"delivered to file: {out}/file; forwarded as ")
    wait_for_letters(one)
    assert (out / "file").read_text().count("Subject: s") == 1
    (out / "all").write_text(f":include:{out}/more\n:include:{out}/more\n")
    (out / "more").write_text("")           # somebody may be writing it just now
    one.send(MESSAGE, recipients=[f"all@{DOMAIN}"])
    assert status(one, f"all@{DOMAIN}", "deferred") == 'alias "all" has no destinations'


@pytest.mark.root
def test_a_list_of_somebody_acts_with_his_rights_whomever_it_includes(local):
    """A user's file whose lines happen to be paths is no list of that user's."""
    one = local(aliases="list: :include:ROOT/out/his\n", main={"allow_mail_to_files": "include", "allow_mail_to_commands": "include"})
    out = one.root / "out"
    (out / "his").write_text(f"{out}/by-him\n:include:{out}/paths\n")
    (out / "paths").write_text(f'{out}/not-by-the-other\n"|id -u > {out}/uid"\n')
    os.chown(out / "his", UID, -1)
    os.chown(out / "paths", pwd.getpwnam("mail").pw_uid, -1)
    one.send(MESSAGE, recipients=[f"list@{DOMAIN}"])
    status(one, f"list@{DOMAIN}", "sent")
    assert [(out / name).stat().st_uid for name in ("by-him", "not-by-the-other")] == [UID, UID]
    assert (out / "uid").read_text() == f"{UID}\n"


def test_a_tree_of_include_files_is_cut_off_and_a_deep_one_is_gone_through(local):
    deep = 99       # aliases, each with four files in one another
    one = local(aliases="wide: :include:ROOT/out/wide\ntree: :include:ROOT/out/0\n" + "".join(f"d{level}: :include:ROOT/out/d{level}-0\n" for level in range(deep)) +
                        f"d{deep}: /dev/null\n")
    out = one.root / "out"
    (out / "wide").write_text("".join(f":include:{out}/w{number}\n" for number in range(500)))
    for number in range(500):
        (out / f"w{number}").write_text("# nobody\n")
    one.send(MESSAGE, recipients=[f"wide@{DOMAIN}"])
    assert status(one, f"wide@{DOMAIN}", "bounced") == "too many or too large include files"
    for level in range(10):
        (out / str(level)).write_text(f":include:{out}/{level + 1}\n" * 3)
    one.send(MESSAGE, recipients=[f"tree@{DOMAIN}"])
    assert "nesting too deep" in status(one, f"tree@{DOMAIN}", "bounced")
    for level in range(deep):
        for file in range(4):
            (out / f"d{level}-{file}").write_text(f":include:{out}/d{level}-{file + 1}\n" if file < 3 else f"d{level + 1}\n")
    one.send(MESSAGE, recipients=[f"d0@{DOMAIN}"])
    assert status(one, f"d0@{DOMAIN}", "sent") == "delivered to file: /dev/null"


def test_a_broken_alias_table_puts_mail_off(local):
    one = local(aliases="x: y\n", main={"alias_maps": "fail:x"})
    one.send(MESSAGE, recipients=[f"{USER}@{DOMAIN}"])
    assert status(one, f"{USER}@{DOMAIN}", "deferred") == "alias database unavailable"


# ---- commands and files ----

def test_a_command_gets_the_message_an_environment_and_nothing_else(local):
    one = local(aliases='cmd: "|ROOT/out/script one \'two three\'"\nword: "|exec true"\nnothing: "|no-such-program-here x"\nmissing: "|ROOT/out/missing x"\n')
    out = one.root / "out"
    script = out / "script"
    script.write_text(f"""#!/bin/sh
exec > {out}/result 2>&1
echo "args=$# $1,$2"
echo "files=$(ulimit -f)"
env | sort
id -u; id -G
ls -l /proc/self/fd | wc -l
for fd in 3 4 5 6 7 8 9; do test -e /proc/$$/fd/$fd && echo "open $fd"; done
pwd
cat > {out}/message
""")
    script.chmod(0o755)
    with one.client() as client:
        client.ehlo()
        client.mail("we`$id|ird@example.net", ["ENVID=abc+2B1"])
        client.rcpt(f"cmd+e`x@{DOMAIN}")
        client.data(MESSAGE)
    assert status(one, f"cmd+e`x@{DOMAIN}", "sent") == f"delivered to command: {script} one 'two three'"
    lines = (out / "result").read_text().splitlines()
    environment = dict(line.split("=", 1) for line in lines if "=" in line)
    account = pwd.getpwnam(OTHER)
    assert lines[0] == "args=2 one,two three"
    assert environment["SENDER"] == "we__id_ird@example.net"
    assert environment["RECIPIENT"] == f"cmd+e_x@{DOMAIN}"
    assert (environment["LOCAL"], environment["EXTENSION"], environment["DOMAIN"]) == ("cmd+e_x", "e_x", DOMAIN)
    assert environment["ENVID"] == "abc+1"
    assert environment["LOGNAME"] == environment["USER"] == "cmd"       # there is no account
    assert environment["files"] == str(51200000 // 512)       # mailbox_size_limit
    assert environment["CLIENT_ADDRESS"] == "127.0.0.1"
    assert "PATH" in environment and "HOME" not in environment
    assert str(account.pw_uid) in lines and str(account.pw_gid) in lines
    assert not [line for line in lines if line.startswith("open ")]
    message = (out / "message").read_bytes()
    assert message.startswith(b"From we`$id|ird@example.net  ")
    assert message.endswith(b"\n\nhello\nFrom the start\n.\n>From\n")
    one.send(MESSAGE, recipients=[f"word@{DOMAIN}", f"nothing@{DOMAIN}", f"missing@{DOMAIN}"])
    assert status(one, f"word@{DOMAIN}", "sent") == "delivered to command: exec true"     # the shell's own word
    assert status(one, f"nothing@{DOMAIN}", "bounced").startswith('Command died with status 127: "no-such-program-here x"')
    assert f"cannot execute {out}/missing: No such file" in status(one, f"missing@{DOMAIN}", "deferred")      # it may come yet


def test_commands_hear_of_whom_aliases_lead_to(local):
    one = local(aliases=f'first: second, /dev/null\nsecond: third\nthird: "|env > ROOT/out/third"\ninfo: {USER}\nlist: x+y, "|env > ROOT/out/list"\nx: /dev/null\n',
                main={"mailbox_command": "env > ROOT/out/user", "mydestination": f"{DOMAIN} second.example"})
    one.send(MESSAGE, recipients=[f"first+e@second.example", f"info+e@second.example", f"list+e@second.example"])
    one.wait_empty()
    names = ("RECIPIENT", "LOCAL", "USER", "LOGNAME", "EXTENSION", "DOMAIN", "ORIGINAL_RECIPIENT")
    for file, expected in (("third", [f"third@{DOMAIN}", "third", "third", "third", None, DOMAIN, "first+e@second.example"]),
                           ("user", [f"{USER}@{DOMAIN}", USER, USER, USER, None, DOMAIN, "info+e@second.example"]),
                           ("list", ["list+e@second.example", "list+e", "list", "list", "e", "second.example", "list+e@second.example"])):
        environment = dict(line.split("=", 1) for line in (one.root / "out" / file).read_text().splitlines())
        assert [environment.get(name) for name in names] == expected


def test_a_command_hears_that_nobody_is_the_sender_and_the_domain_in_small_letters(local):
    """A script that looks for SENDER and finds no such variable would fail for bounces only."""
    one = local(aliases='cmd: "|env > ROOT/out/env"\n')
    one.send(MESSAGE, sender="", recipients=[f"cmd@{DOMAIN.upper()}"])
    assert status(one, f"cmd@{DOMAIN.upper()}", "sent").startswith("delivered to command")
    lines = (one.root / "out" / "env").read_text().splitlines()
    assert [line for line in lines if line.endswith("=")] == ["SENDER="]    # of export_environment only what is set
    assert f"DOMAIN={DOMAIN}" in lines and f"RECIPIENT=cmd@{DOMAIN.upper()}" in lines


def test_what_is_exported_stands_behind_what_comes_of_the_mail(local):
    one = local(aliases='cmd: "|cat /proc/$$/environ > ROOT/out/env"\n', main={"export_environment": "SENDER=nobody HOME=/home/there PATH=/own"})
    one.send(MESSAGE, recipients=[f"cmd@{DOMAIN}"])
    assert status(one, f"cmd@{DOMAIN}", "sent").startswith("delivered to command")
    found = (one.root / "out" / "env").read_text().split("\0")
    assert [line for line in found if line.startswith(("SENDER=", "HOME=", "PATH="))] == ["PATH=/usr/local/bin:/usr/bin:/bin", "SENDER=sender@example.net", "HOME=/home/there"]


def test_commands_behind_a_new_message_hear_of_the_client_too(local):
    one = local(aliases=f"list: {USER}, /dev/null\n", main={"mailbox_command": "env > ROOT/out/user"})
    one.send(MESSAGE, recipients=[f"list@{DOMAIN}"])
    one.wait_for_log(rf"to=<{USER}@{DOMAIN}>, orig_to=<list@{DOMAIN}>, .*delivered to command")
    environment = dict(line.split("=", 1) for line in (one.root / "out/user").read_text().splitlines())
    assert environment["CLIENT_ADDRESS"] == "127.0.0.1" and environment["CLIENT_PROTOCOL"] == "ESMTP"


@pytest.mark.parametrize("script, verdict, dsn, text", [
    ("exit 75", "deferred", "4.3.0", "temporary failure"),
    ("echo try later; exit 75", "deferred", "4.3.0", "temporary failure. Command output: try later"),
    ("echo no such person; exit 67", "bounced", "5.1.1", "user unknown. Command output: no such person"),
    ("exit 77", "bounced", "5.7.0", "permission denied"),
    ("exit 13", "bounced", "5.3.0", "Command died with status 13"),
    ("echo 4.7.9 not now; exit 67", "deferred", "4.7.9", "not now"),
    ("echo 5.7.9 never; exit 75", "bounced", "5.7.9", "never"),
    ("kill -9 $$", "deferred", "4.3.0", "Command died with signal 9"),
    ("head -c 10 > /dev/null; exit 0", "sent", "2.0.0", "delivered to command"),
    ("(sleep 30 &) ; exit 0", "sent", "2.0.0", "delivered to command"),
])
def test_the_exit_status_of_a_command_decides(local, script, verdict, dsn, text):
    one = local(aliases=f'cmd: "|sh -c \'{script}\'"\n'.replace("$", "\\$") if "$" not in script else f'cmd: "|{script}"\n')
    one.send(MESSAGE + "x" * 300000, recipients=[f"cmd@{DOMAIN}"])
    assert status(one, f"cmd@{DOMAIN}", verdict).startswith(text)
    one.wait_for_log(rf"to=<cmd@{DOMAIN}>.*dsn={dsn}, status={verdict}")


def test_a_command_that_takes_too_long_is_killed_with_all_it_started(local):
    one = local(aliases='cmd: "|sleep 1000 & echo $! > ROOT/out/pid; sleep 1000"\n', main={"command_time_limit": "1s"})
    one.send(MESSAGE, recipients=[f"cmd@{DOMAIN}"])
    assert status(one, f"cmd@{DOMAIN}", "deferred").startswith("Command time limit exceeded")
    pid = one.root / "out" / "pid"

    def begun():
        """On a busy machine an attempt may be over before that: then in another one."""
        text = pid.read_text() if pid.exists() else ""
        if not text:
            one.command("postqueue", "-f")
        return text

    started = int(wait_until(begun, 30, one.log_tail, pause=0.3))
    wait_until(lambda: not is_alive(started), 30, "the end of the command")


def test_a_mailbox_command_gets_the_mail_of_users(local):
    one = local(aliases=f"alias: {USER}\n", main={"mailbox_command": "cat > ROOT/out/$USER.$EXTENSION; id -u"})
    one.send(MESSAGE, recipients=[f"{USER}+ext@{DOMAIN}"])
    assert status(one, f"{USER}+ext@{DOMAIN}", "sent") == f"delivered to command: cat > {one.root}/out/$USER.$EXTENSION; id -u"
    path = one.root / "out" / f"{USER}.ext"
    assert path.read_bytes().endswith(b"\n\nhello\nFrom the start\n.\n>From\n")
    assert path.stat().st_uid == UID
    one.send(MESSAGE, recipients=[f"alias@{DOMAIN}"])
    wait_until(lambda: (one.root / "out" / f"{USER}.").exists(), 30, one.log_tail)


def test_files_are_written_with_the_rights_of_the_tables_owner(local):
    one = local(aliases="file: ROOT/out/file\ndir: ROOT/out/dir/\nnull: /dev/null\nsystem: /etc/postroad-test-must-not-exist/x\n")
    for name in ("file", "dir", "null"):
        one.send(MESSAGE, recipients=[f"{name}@{DOMAIN}"])
    out = one.root / "out"
    assert status(one, f"file@{DOMAIN}", "sent") == f"delivered to file: {out}/file"
    assert status(one, f"dir@{DOMAIN}", "sent") == "delivered to maildir"
    assert status(one, f"null@{DOMAIN}", "sent") == "delivered to file: /dev/null"
    assert (out / "file").read_bytes().startswith(b"From sender@example.net  ")
    assert (out / "file").stat().st_uid == pwd.getpwnam(OTHER).pw_uid
    (letter,) = (out / "dir" / "new").iterdir()
    assert letter.stat().st_uid == pwd.getpwnam(OTHER).pw_uid
    one.send(MESSAGE, recipients=[f"system@{DOMAIN}"])
    status(one, f"system@{DOMAIN}", "deferred")
    assert not Path("/etc/postroad-test-must-not-exist").exists()
    one.file("more", f"own: {out}/own\n")
    one.command("postalias", f"cdb:{one.etc}/more")
    os.chown(one.etc / "more.cdb", UID, -1) if IS_ROOT else None        # that of the file which is read counts
    one.main["alias_maps"] += f", cdb:{one.etc}/more"
    one.write()
    one.reload()
    one.send(MESSAGE, recipients=[f"own@{DOMAIN}"])
    assert status(one, f"own@{DOMAIN}", "sent") == f"delivered to file: {out}/own"
    assert (out / "own").stat().st_uid == UID


@pytest.mark.root
def test_a_file_that_may_be_written_and_not_read_gets_mail(local):
    one = local(aliases="box: ROOT/out/box\n")
    box = one.root / "out" / "box"
    box.write_text("before\n")
    box.chmod(0o602)
    one.send(MESSAGE, recipients=[f"box@{DOMAIN}"])
    assert status(one, f"box@{DOMAIN}", "sent") == f"delivered to file: {box}"
    text = box.read_text()
    assert text.startswith("before\n") and text.count("Subject: s") == 1


@pytest.mark.root
def test_a_file_that_may_only_be_written_is_as_long_as_before_when_its_disk_is_full(local):
    one = local(aliases="box: ROOT/out/box\n")
    out = one.root / "out"
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=1777", "none", out], stderr=subprocess.DEVNULL).returncode != 0:
        pytest.skip("cannot mount a small file system here")
    try:
        box = out / "box"
        box.write_text("before\n")
        box.chmod(0o602)
        one.send(MESSAGE + f"{'x' * 900}\r\n" * 100, recipients=[f"box@{DOMAIN}"])
        assert "error writing message: No space left on device" in status(one, f"box@{DOMAIN}", "deferred")
        assert box.read_text() == "before\n"
    finally:
        subprocess.run(["umount", "-l", out], check=True)


def test_lists_are_read_as_postfix_reads_them(local):
    one = local(aliases=f"""quoted: |"echo in quotes; exit 1"
comma: |/bin/false, {USER}
builtin: "|exit 67"
percent: u%example.invalid
bang: example.invalid!u
nowhere: ~/x
twice: {USER}, {USER.upper()}@localhost, "{USER}"@{DOMAIN} x@example.invalid
file: ROOT/out/list@example.invalid
""", main={"transport_maps": "inline:{ {example.invalid = discard:gone} }"})
    for name in ("quoted", "comma", "builtin", "percent", "bang", "nowhere", "twice", "file"):
        one.send(MESSAGE, recipients=[f"{name}@{DOMAIN}"])
    assert status(one, f"quoted@{DOMAIN}", "bounced") == 'Command died with status 1: "echo in quotes; exit 1". Command output: in quotes'
    assert status(one, f"comma@{DOMAIN}", "bounced") == 'Command died with status 1: "/bin/false"'
    assert status(one, f"builtin@{DOMAIN}", "bounced").startswith("user unknown")
    for name in ("percent", "bang"):
        one.wait_for_log(rf"to=<u@example.invalid>, orig_to=<{name}@{DOMAIN}>, .*status=sent \(gone\)")
    assert status(one, f"nowhere@{DOMAIN}", "bounced") == "~/x: nobody's home"
    one.wait_for_log(rf"to=<x@example.invalid>, orig_to=<twice@{DOMAIN}>, .*status=sent")
    assert status(one, f"file@{DOMAIN}", "sent") == f"delivered to file: {one.root}/out/list@example.invalid"
    one.wait_empty()
    assert len(letters(one)) == 2           # of "comma" and of "twice"


# ---- .forward ----

def test_a_forward_file_may_name_a_file_in_its_users_home(local):
    one = local()
    forward_file(one, "~/postroad-test-must-not-exist/x\n")
    one.send(MESSAGE, recipients=[f"{USER}@{DOMAIN}"])
    assert f"{pwd.getpwuid(UID).pw_dir}/postroad-test-must-not-exist/x" in status(one, f"{USER}@{DOMAIN}", "deferred")


def test_a_forward_file_sends_mail_on_and_keeps_a_copy(local):
    one = local(main={"transport_maps": "inline:{ {example.invalid = discard:gone} }"})
    forward_file(one, f"\\{USER}, away@example.invalid\n\"|cat > ROOT/out/copy; id -u > ROOT/out/uid\"\n")
    one.send(MESSAGE, recipients=[f"{USER}@{DOMAIN}"])
    (letter,) = wait_for_letters(one)
    text = status(one, f"{USER}@{DOMAIN}", "sent")
    assert "delivered to command: cat" in text and "delivered to maildir" in text
    new_id = re.search(r"forwarded as (\S+)", text).group(1)
    one.wait_for_log(rf"{new_id}: to=<away@example.invalid>.*\(gone\)")
    assert (one.root / "out" / "copy").read_bytes().endswith(b"\n\nhello\nFrom the start\n.\n>From\n")
    assert int((one.root / "out" / "uid").read_text()) == UID


def test_a_user_on_his_own_list_by_whatever_name_gets_one_copy_and_so_does_everybody_else(local):
    """Not a new message, which would find the same file again: the others would get it twice, and he a loop."""
    one = local(aliases=f"first.last: {USER}\ncrew: {USER}, mate@example.invalid\n",
                main={"mydestination": f"{DOMAIN} second.example localhost", "transport_maps": "inline:{ {example.invalid = discard:gone} }"})
    for count, himself in enumerate((f"{USER}@second.example", "First.Last", "crew", f"{USER}, \\{USER}, {USER}+x@localhost"), 1):
        forward_file(one, f"friend@example.invalid, {himself}\n\"|echo >> ROOT/out/{count}\"\n\"|echo >> ROOT/out/{count}\"\n:include:ROOT/forward/{USER}\n")
        wait_for_deliveries(one, one.send(MESSAGE, recipients=[f"{USER}@{DOMAIN}"]))
        one.wait_empty()
        assert len(letters(one)) == count
        assert len(one.log_lines("to=<friend@example.invalid>")) == count
        assert (one.root / "out" / str(count)).read_text() == "\n"
    assert len(one.log_lines("to=<mate@example.invalid>")) == 1


@pytest.mark.parametrize("other", ['"|exit 75"', "team"])
@pytest.mark.parametrize("himself", [USER, f"\\{USER}"])
def test_while_something_in_a_forward_file_has_to_be_tried_again_the_mailbox_waits_too(local, himself, other):
    """Or it gets the mail at every attempt."""
    one = local(aliases="team: \"|exit 75\"\n")
    forward_file(one, f"{himself}, {other}\n")
    one.send(MESSAGE, recipients=[f"{USER}@{DOMAIN}"])
    assert status(one, f"{USER}@{DOMAIN}", "deferred") == "temporary failure"
    assert not letters(one)
    forward_file(one, f"{himself}\n")

    def arrived():
        one.command("postqueue", "-f")
        return letters(one)

    wait_until(arrived, 30, one.log_tail, pause=0.3)
    one.wait_empty()
    assert len(letters(one)) == 1


def test_while_another_agent_puts_somebody_of_a_list_off_the_user_gets_no_copy_yet(local):
    one = local(aliases="team: \\\\nobody-here\n",
                main={"mailbox_transport_maps": f"inline:{{ {{{USER} = discard:kept}} {{nobody-here = retry:4.3.0 come back}} }}"})
    forward_file(one, f"{USER}, team\n")
    one.send(MESSAGE, recipients=[f"{USER}@{DOMAIN}"])
    one.wait_for_log(r"to=<nobody-here@\S+, .*status=deferred \(come back\)")
    one.set(mailbox_transport_maps="static:{discard:kept}")
    one.reload()

    def arrived():
        one.command("postqueue", "-f")
        return one.log_lines(rf"discard\[\d+\]: \S+: to=<{USER}@{DOMAIN}>, ")

    wait_until(arrived, 30, one.log_tail, pause=0.3)
    one.wait_empty()
    assert len(arrived()) == 1


def test_a_user_who_names_himself_with_a_backslash_has_the_extension_that_he_writes(local):
    one = local(main={"mailbox_command": "env > ROOT/out/$RECIPIENT"})
    for name, expected in ((USER, None), (f"{USER}+box", "box")):
        forward_file(one, f"\\{name}\n", name=f"{USER}+work")
        one.send(MESSAGE, recipients=[f"{USER}+work@localhost"])
        one.wait_empty()
        one.wait_for_log(rf"to=<{re.escape(USER)}\+work@localhost>, relay=local, .*status=sent")
        lines = (one.root / "out" / f"{name}@{DOMAIN}").read_text().splitlines()
        assert dict(line.split("=", 1) for line in lines).get("EXTENSION") == expected


def test_in_a_forward_file_the_user_with_an_extension_that_has_a_file_means_that_file_once(local):
    one = local(main={"transport_maps": "inline:{ {example.invalid = discard:} }"})
    forward_file(one, f"{USER}+lists, {USER}+none, a@example.invalid\n")
    forward_file(one, f'"|echo >> ROOT/out/lists", {USER}+other@localhost, {USER}+LISTS\n', name=f"{USER}+lists")
    forward_file(one, f'"|echo >> ROOT/out/other", {USER}+lists, {USER}, b@example.invalid\n', name=f"{USER}+other")
    for count, name in enumerate((USER, f"{USER}+lists"), 1):
        wait_for_deliveries(one, one.send(MESSAGE, recipients=[f"{name}@{DOMAIN}"]))
        assert status(one, f"{name}@{DOMAIN}", "sent").count("delivered to") == 3
        assert [(one.root / "out" / file).read_text() for file in ("lists", "other")] == ["\n" * count] * 2
        assert len(letters(one)) == count
    one.wait_empty()
    assert [len(one.log_lines(f"to=<{who}@example.invalid>")) for who in "ab"] == [2, 2]
    forward_file(one, f'"|exit 75", {USER}\n', name=f"{USER}+other")
    one.send(MESSAGE, recipients=[f"{USER}+none@{DOMAIN}"])
    assert status(one, f"{USER}+none@{DOMAIN}", "deferred") == "temporary failure"
    assert len(letters(one)) == 2
    forward_file(one, f"\\{USER}+lists, /dev/null\n")
    one.send(MESSAGE, recipients=[f"{USER}+x@{DOMAIN}"])
    assert status(one, f"{USER}+x@{DOMAIN}", "sent") == "delivered to file: /dev/null; delivered to maildir"


def test_an_extension_without_a_forward_file_of_its_own_goes_on_where_that_is_configured(local):
    one = local(main={"transport_maps": "inline:{ {example.invalid = discard:} }", "propagate_unmatched_extensions": "forward"})
    forward_file(one, f"a@example.invalid, {USER}\n")
    forward_file(one, "b@example.invalid\n", name=f"{USER}+own")
    for count, (extension, expected) in enumerate((("+ext", "a+ext"), ("", "a"), ("+own", "b")), 1):
        wait_for_deliveries(one, one.send(MESSAGE, recipients=[f"{USER}{extension}@{DOMAIN}"]))
        one.wait_for_log(f"to=<{re.escape(expected)}@example.invalid>, orig_to=<{USER}{re.escape(extension)}@{DOMAIN}>")
        assert len(one.log_lines("to=<.*@example.invalid>")) == count and len(letters(one)) == min(count, 2)
    assert any(f"\nDelivered-To: {USER}+ext@{DOMAIN}\n".encode() in letter for letter in letters(one))


def test_a_list_waits_as_a_whole_while_it_cannot_be_told_where_an_address_on_it_leads(local):
    """To take it for one of other machines is to make a new message: for who is on his own list one that bounces as a loop, and his friends get another one."""
    names = (USER, "one", "several", "filed")
    known = " ".join(f"{{{name}@{DOMAIN} = local:}}" for name in names) + " {example.invalid = discard:gone}"
    one = local(aliases=f"one: {USER}@localhost\nseveral: mate@example.invalid, {USER}@localhost\nfiled: ROOT/out/file, :include:ROOT/out/include, {USER}@localhost\n",
                main={"transport_maps": f"inline:{{ {known} {{friend@example.invalid = discard:}} {{mate@example.invalid = discard:}} }} fail:x"})
    (one.root / "out" / "include").write_text(f"{USER}\n")
    forward_file(one, f"\\{USER}, friend@example.invalid, {USER}@localhost\n")
    for name in names:
        one.send(MESSAGE, recipients=[f"{name}@{DOMAIN}"])
        assert status(one, f"{name}@{DOMAIN}", "deferred") == "address resolver failure"
    assert one.log_lines(rf"local\[\d+\]: warning: \S+: cannot resolve <{USER}@localhost>: ")
    assert not letters(one) and not one.log_lines("to=<(friend|mate)@") and not (one.root / "out" / "file").exists()
    one.set(transport_maps=f"inline:{{ {known} }}")
    one.reload()
    one.command("postqueue", "-f")
    wait_until(lambda: len(letters(one)) >= len(names), 30, one.log_tail)
    one.wait_empty()
    assert len(letters(one)) == len(one.log_lines("to=<friend@")) == len(names)


def test_the_forward_file_of_the_extension_comes_first_and_bad_ones_do_not_count(local):
    one = local()
    forward_file(one, "/dev/null\n", name=f"{USER}+null")
    forward_file(one, "/dev/null\n", mode=0o666)
    forward_file(one, "/dev/null\n", name=f"{USER}+")      # of an extension that nobody wrote
    one.send(MESSAGE, recipients=[f"{USER}+null@{DOMAIN}"])
    assert status(one, f"{USER}+null@{DOMAIN}", "sent") == "delivered to file: /dev/null"
    one.send(MESSAGE, recipients=[f"{USER}@{DOMAIN}"])
    assert status(one, f"{USER}@{DOMAIN}", "sent") == "delivered to maildir"
    one.wait_for_log(rf"warning: .*/forward/{USER} is world writable: ignored")
    if IS_ROOT:
        forward_file(one, "/dev/null\n", owner=OTHER)
        one.send(MESSAGE, recipients=[f"{USER}+x@{DOMAIN}"])
        assert status(one, f"{USER}+x@{DOMAIN}", "sent") == "delivered to maildir"
        one.wait_for_log(rf"warning: .*/forward/{USER} has a foreign owner: ignored")
    forward_file(one, "/dev/null\n", name=f"{USER}+z", mode=0o000)
    one.send(MESSAGE, recipients=[f"{USER}+z@{DOMAIN}"])
    one.wait_for_log(rf"warning: .*/forward/{USER}\+z cannot be opened \(Permission denied\): ignored")
    forward_file(one, "/dev/null\n", name=f"{USER}+y", mode=0o666)
    forward_file(one, "\n# nothing\n")
    one.send(MESSAGE, recipients=[f"{USER}+y@{DOMAIN}"])
    assert status(one, f"{USER}+y@{DOMAIN}", "sent") == "delivered to maildir"


def test_mail_that_comes_back_is_a_loop(local):
    one = local()
    one.send(f"Delivered-To: {USER}@{DOMAIN}\r\n" + MESSAGE, recipients=[f"{USER}@{DOMAIN}"])
    assert status(one, f"{USER}@{DOMAIN}", "bounced") == f"mail forwarding loop for {USER}@{DOMAIN}"
    assert not letters(one)


@pytest.mark.root
def test_two_users_who_forward_to_each_other_do_not_do_so_for_ever(local):
    one = local()
    forward_file(one, f"{OTHER}\n")
    forward_file(one, f"{USER}\n", name=OTHER, owner=OTHER)
    one.send(MESSAGE, sender="", recipients=[f"{USER}@{DOMAIN}"])
    one.wait_for_log(rf"to=<{USER}@{DOMAIN}>.*status=bounced \(mail forwarding loop")
    one.wait_empty()


# ---- other agents ----

def test_mailbox_and_fallback_transports_get_what_is_theirs(local):
    one = local(aliases=f"alias: {USER}\n", main={"mailbox_transport": "discard:not kept", "fallback_transport": "discard:unknown here"})
    one.send(MESSAGE, recipients=[f"alias@{DOMAIN}"])
    one.wait_for_log(rf"local\[\d+\]: \S+: passing <{USER}@{DOMAIN}> to transport=discard")     # which knows users, and no aliases
    one.wait_for_log(rf"discard\[\d+\]: \S+: to=<{USER}@{DOMAIN}>, orig_to=<alias@{DOMAIN}>, .*status=sent \(not kept\)")
    one.wait_empty()
    one.set(mailbox_transport="")
    one.reload()
    one.send(MESSAGE, recipients=[f"no-such-user@{DOMAIN}"])
    one.wait_for_log(rf"discard\[\d+\]: \S+: to=<no-such-user@{DOMAIN}>, .*status=sent \(unknown here\)")
    assert not one.log_lines(r"local\[\d+\]: \S+: to=<")
    one.set(fallback_transport_maps="inline:{nobody-here=no-such-service:}")
    one.reload()
    one.send(MESSAGE, recipients=[f"nobody-here@{DOMAIN}"])
    assert status(one, f"nobody-here@{DOMAIN}", "deferred").startswith("no-such-service transport unavailable")
    # a stranger does not choose the transport by what he writes
    one.set(fallback_transport="", fallback_transport_maps="regexp:{ { /^chosen-(.*)/ discard:$$1 } }")
    one.reload()
    one.send(MESSAGE, recipients=[f"chosen-here@{DOMAIN}"])
    assert "unknown user" in status(one, f"chosen-here@{DOMAIN}", "bounced")


def test_who_has_a_transport_instead_of_an_account_is_deliverable(local):
    one = local(main={"mailbox_transport_maps": "inline:{ {remote-one=discard:} }", "fallback_transport_maps": "inline:{ {remote-two=discard:} }"})
    for name, verdict in (("remote-one", "deliverable"), ("remote-two+x", "deliverable"), (USER, "deliverable"), ("nobody-here", "undeliverable")):
        one.command("sendmail", "-bv", "-f", USER, f"{name}@{DOMAIN}")
        status(one, f"{name}@{DOMAIN}", verdict)


def test_who_else_is_on_a_list_gets_the_mail_that_another_agent_gets_too(local):
    one = local(aliases=f"{USER}: {USER}, x@example.invalid\n",
                main={"mailbox_transport": "discard:kept", "transport_maps": "inline:{ {example.invalid = discard:gone} }"})
    one.send(MESSAGE, recipients=[f"{USER}@{DOMAIN}"])
    assert re.fullmatch(r"kept; forwarded as \S+", status(one, f"{USER}@{DOMAIN}", "sent"))
    one.wait_for_log(rf"to=<x@example.invalid>, orig_to=<{USER}@{DOMAIN}>, .*\(gone\)")
    forward_file(one, f"\\{USER}\nfriend@example.invalid\n")
    one.send(MESSAGE, recipients=[f"{USER}@{DOMAIN}"])
    one.wait_for_log(rf"to=<friend@example.invalid>, orig_to=<{USER}@{DOMAIN}>, .*\(gone\)")
    one.wait_empty()
    assert len(one.log_lines(rf"discard\[\d+\]: \S+: to=<{USER}@{DOMAIN}>")) == 2
    assert len(one.log_lines("to=<x@example.invalid>")) == 2
    one.set(mailbox_transport="retry:4.3.0 come back")             # what is put off there is put off for all
    one.reload()
    one.send(MESSAGE, recipients=[f"{USER}@{DOMAIN}"])
    assert status(one, f"{USER}@{DOMAIN}", "deferred") == "come back"
    assert len(one.log_lines("to=<x@example.invalid>")) == 2


# ---- names and tables as they are by default ----

def test_by_default_only_users_and_aliases_exist(local):
    one = local(aliases=f"an-alias: {USER}\n", main={"local_recipient_maps": "proxy:unix:passwd.byname $alias_maps"})
    with one.client() as client:
        client.ehlo()
        client.mail("a@example.net")
        for name in (USER, f"{USER}+ext", "an-alias", "AN-alias+ext", "postmaster"):
            assert client.rcpt(f"{name}@{DOMAIN}")[0] == 250, name
        code, text = client.rcpt(f"no-such-user@{DOMAIN}")
        assert code == 550 and b"5.1.1" in text and b"User unknown in local recipient table" in text
    one.send(MESSAGE, recipients=[f"an-alias@{DOMAIN}"])
    wait_for_letters(one)


def test_alias_tables_may_be_asked_through_proxymap(local):
    one = local(aliases=f"an-alias: {USER}\n", main={"alias_maps": "proxy:hash:ROOT/etc/aliases"})
    one.send(MESSAGE, recipients=[f"an-alias@{DOMAIN}"])
    wait_for_letters(one)


def test_delivered_to_is_frozen_or_follows_the_aliases(local):
    for frozen, expected in (("yes", f"first@{DOMAIN}"), ("no", f"{USER}@{DOMAIN}")):
        one = local(aliases=f"first: second\nsecond: {USER}\n", main={"frozen_delivered_to": frozen})
        one.send(MESSAGE, recipients=[f"first@{DOMAIN}"])
        (letter,) = wait_for_letters(one)
        assert f"\nDelivered-To: {expected}\n".encode() in letter
        assert f"\nX-Original-To: first@{DOMAIN}\n".encode() in letter
        one.stop()


@pytest.mark.parametrize("expand, owner, sender", [
    ("no", "boss@example.net", f"owner-team@{DOMAIN}"),
    ("yes", "boss@example.net", "boss@example.net"),
    ("yes", f"{USER}", f"{USER}@{DOMAIN}"),
    ("yes", "boss@example.net, deputy@example.net", f"owner-team@{DOMAIN}"),
])
def test_the_owner_of_an_alias_or_who_that_is_becomes_the_sender(local, expand, owner, sender):
    one = local(aliases=f"team: {USER}, other@{DOMAIN}\nother: /dev/null\nowner-team: {owner}\n",
                main={"expand_owner_alias": expand, "myorigin": DOMAIN})
    one.send(MESSAGE, recipients=["team@localhost"])        # myorigin counts, not the domain that the mail is for
    (letter,) = wait_for_letters(one)
    assert letter.startswith(f"Return-Path: <{sender}>\n".encode())


@pytest.mark.parametrize("name", ["team-request", "owner-team"])
def test_whatever_has_an_owner_is_a_list(local, name):
    one = local(aliases=f"{name}: {USER}\nowner-{name}: boss@example.net\n")
    one.send(MESSAGE, recipients=[f"{name}@{DOMAIN}"])
    (letter,) = wait_for_letters(one)
    assert letter.startswith(f"Return-Path: <owner-{name}@{DOMAIN}>\n".encode())


def test_without_special_treatment_an_owner_is_an_alias_like_any_other(local):
    one = local(aliases=f"team: {USER}, other@{DOMAIN}\nother: /dev/null\nowner-team: boss@example.net\n", main={"owner_request_special": "no"})
    one.send(MESSAGE, recipients=[f"team@{DOMAIN}"])
    (letter,) = wait_for_letters(one)
    assert letter.startswith(b"Return-Path: <sender@example.net>\n")


@pytest.mark.parametrize("wish", ["SUCCESS,FAILURE", "SUCCESS", "NEVER"])
def test_the_owner_hears_of_what_his_list_cannot_deliver_and_who_wrote_to_it_does_not(local, wish):
    one = local(aliases="team: \"|echo inner matters; exit 1\", x@example.invalid\nowner-team: boss@example.invalid\n",
                main={"transport_maps": "inline:{ {example.invalid = discard:gone} {example.net = discard:gone} }"})
    queue_id = one.send(MESSAGE, recipients=[f"team@{DOMAIN}"], rcpt_options=[f"NOTIFY={wish}"])
    one.wait_for_log(rf"{queue_id}: to=<team@{DOMAIN}>, .*dsn=5.3.0, status=bounced \(Command died with status 1")
    one.wait_for_log(rf"{queue_id}: removed")
    one.wait_empty()
    assert len(one.log_lines("sender non-delivery notification")) == 1
    assert len(one.log_lines(rf"to=<owner-team@{DOMAIN}>|to=<boss@example.invalid>, orig_to=<owner-team@{DOMAIN}>")) == 2
    assert not one.log_lines("to=<sender@example.net>")
    assert len(one.log_lines("to=<x@example.invalid>")) == 1


def test_what_another_agent_gets_for_a_list_comes_from_its_owner_and_so_does_its_failure(local):
    one = local(aliases=f"team: \\\\{USER}\nowner-team: boss@example.invalid\n",
                main={"transport_maps": "inline:{ {example.invalid = discard:gone} {example.net = discard:gone} }"})
    with Sink(lmtp=True) as sink:
        one.set(mailbox_transport=f"lmtp:inet:127.0.0.1:{sink.port}")
        one.reload()
        one.send(MESSAGE, recipients=[f"team@{DOMAIN}"])
        wait_until(lambda: sink.messages, 30, one.log_tail)
        assert sink.messages[0].sender.startswith(f"<owner-team@{DOMAIN}>")
    one.wait_empty()
    one.set(mailbox_transport="error:5.7.1 not here")
    one.reload()
    queue_id = one.send(MESSAGE, recipients=[f"team@{DOMAIN}"], rcpt_options=["NOTIFY=NEVER"])
    one.wait_for_log(rf"{queue_id}: to=<{USER}@{DOMAIN}>, .*dsn=5.7.1, status=bounced \(not here\)")
    one.wait_empty()
    assert len(one.log_lines("to=<boss@example.invalid>")) == 1 and not one.log_lines("to=<sender@example.net>")


def test_the_owner_hears_which_server_refused_what_another_agent_got_for_his_list(local):
    answers = {"RCPT": lambda line: "250 2.1.5 Ok" if "boss@" in line else "550 5.1.6 moved away"}
    with Sink(answers=answers, lmtp=True) as sink:
        one = local(aliases=f"team: \\\\{USER}\nowner-team: boss@example.invalid\n",
                    main={"mailbox_transport": f"lmtp:inet:127.0.0.1:{sink.port}",
                          "transport_maps": f"inline:{{ {{example.invalid = lmtp:inet:127.0.0.1:{sink.port}}} }}"})
        queue_id = one.send(MESSAGE, recipients=[f"team@{DOMAIN}"])
        one.wait_for_log(rf"{queue_id}: to=<{USER}@{DOMAIN}>, .*dsn=5.1.6, status=bounced")
        one.wait_empty()
    (notice,) = (message.content for message in sink.messages)
    assert b"\r\nRemote-MTA: dns; 127.0.0.1\r\n" in notice and b"\r\nDiagnostic-Code: smtp; 550 5.1.6 moved away\r\n" in notice
    assert b"\r\nStatus: 5.1.6\r\n" in notice


@pytest.mark.parametrize("agent", ["", "error:5.7.1 not here"])
def test_while_the_owner_cannot_be_told_the_sender_is(local, agent):
    member, refused = (f"\\\\{USER}", USER) if agent else ('"|exit 1"', "team")
    one = local(aliases=f"team: {member}\nowner-team: boss@example.invalid\n",
                main={"transport_maps": "inline:{ {example.invalid = discard:gone} {example.net = discard:gone} }", "mailbox_transport": agent})
    bounce, away = one.queue / "private/bounce", one.queue / "private/away"
    bounce.rename(away)
    queue_id = one.send(MESSAGE, recipients=[f"team@{DOMAIN}"])
    one.wait_for_log(rf"local\[\d+\]: warning: {queue_id}: owner <owner-team@{DOMAIN}> cannot be notified now")
    one.wait_for_log(rf"{queue_id}: to=<{refused}@{DOMAIN}>, .*status=bounced")
    away.rename(bounce)

    def told():
        one.command("postqueue", "-f")
        return one.log_lines("to=<sender@example.net>, .*status=sent")

    wait_until(told, 30, one.log_tail, pause=0.3)
    one.wait_empty()
    assert not one.log_lines("to=<boss@example.invalid>") and len(one.log_lines("sender non-delivery notification")) == 1


def test_commands_are_started_where_the_configuration_says(local):
    one = local(aliases='cmd: "|pwd > ROOT/out/where"\nbad+no: "|pwd > ROOT/out/nowhere"\n',
                main={"command_execution_directory": "ROOT/out/${extension?in/}$extension", "alias_maps": "hash:ROOT/etc/aliases"})
    one.send(MESSAGE, recipients=[f"cmd@{DOMAIN}"])
    assert status(one, f"cmd@{DOMAIN}", "sent").startswith("delivered to command")
    assert (one.root / "out/where").read_text().strip() == f"{one.root}/out"
    one.send(MESSAGE, recipients=[f"bad+no@{DOMAIN}"])
    assert "cannot change directory to" in status(one, f"bad+no@{DOMAIN}", "deferred")
    assert not (one.root / "out/nowhere").exists()


@pytest.mark.root
def test_who_listens_hears_of_new_mail(local):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as comsat:
        try:
            comsat.bind(("127.0.0.1", 512))
        except OSError:
            pytest.skip("somebody has the port of comsat")
        comsat.settimeout(20)
        one = local(main={"mail_spool_directory": "ROOT/spool"})
        path = one.root / "spool" / USER
        for _ in range(2):
            before = path.stat().st_size if path.exists() else 0
            one.send(MESSAGE, recipients=[f"{USER}@{DOMAIN}"])
            wait_until(lambda before=before: path.exists() and path.stat().st_size > before, 30, "the mailbox grows")
            while True:                         # another instance on this machine may have told it something
                words = comsat.recv(1000).decode()
                if words == f"{USER}@{before}":
                    break


# ---- crashes ----

def test_a_killed_agent_costs_a_second_attempt_and_no_mail(local):
    one = local(aliases='slow: "|test -e ROOT/out/second || { touch ROOT/out/first; sleep 1000; }; cat > ROOT/out/copy"\n')
    out = one.root / "out"
    one.send(MESSAGE, recipients=[f"slow@{DOMAIN}"])
    wait_until(lambda: (out / "first").exists(), 30, "the first attempt")
    (out / "second").touch()
    agents = one.pids("local")
    wait_until(lambda: any(_program_of(pid) == "sleep" for agent in agents for pid in with_children(agent)), 30, "the command's sleep")
    for pid in [pid for agent in agents for pid in with_children(agent)]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, 9)

    def arrived():
        one.command("postqueue", "-f")
        return (out / "copy").exists()

    wait_until(arrived, 30, one.log_tail, pause=0.3)
    one.wait_for_log(rf"to=<slow@{DOMAIN}>.*status=sent")
    assert (out / "copy").read_bytes().endswith(b"\n\nhello\nFrom the start\n.\n>From\n")
    one.wait_empty()


def test_what_a_killed_agent_was_doing_ends_with_it_and_is_done_again_once(local):
    """Only the agent itself dies: the command that it had started for a user does not go on behind its back."""
    one = local(aliases='slow: "|test -e ROOT/out/second || { touch ROOT/out/first; sleep 1000; }; echo x >> ROOT/out/done"\n')
    out = one.root / "out"
    one.send(MESSAGE, recipients=[f"slow@{DOMAIN}"])

    def busy():
        for agent in one.pids("local"):
            _, *below = with_children(agent)
            if any(_program_of(pid) == "sleep" for pid in below):
                return agent, below
        return None

    agent, below = wait_until(busy, 30, "the first attempt")
    (out / "second").touch()
    os.kill(agent, signal.SIGKILL)          # not also the one that starts for the next message: who dies before it is ready is given a rest
    wait_until(lambda: all(not is_alive(pid) for pid in below), 30, "spawner, hand and command have ended")

    def arrived():
        one.command("postqueue", "-f")
        return (out / "done").exists()

    wait_until(arrived, 30, one.log_tail, pause=0.3)
    one.wait_empty()
    assert (out / "done").read_text() == "x\n"


@pytest.mark.parametrize("name", ["both", USER])
def test_when_the_queue_manager_dies_the_rest_of_a_list_is_not_begun(local, name):
    """Nobody hears of it, and the next attempt is of the whole list."""
    items = '"|test -e ROOT/out/second || { touch ROOT/out/first; sleep 1000; }", ROOT/out/file, ROOT/out/dir/\n'
    one = local(aliases=f"both: {items}")
    forward_file(one, items)
    out = one.root / "out"
    one.send(MESSAGE, recipients=[f"{name}@{DOMAIN}"])
    wait_until(lambda: (out / "first").exists(), 30, "the first attempt")
    (out / "second").touch()
    (manager,) = one.pids("qmgr")
    os.kill(manager, signal.SIGKILL)

    def arrived():
        one.command("postqueue", "-f", check=False)
        return one.log_lines(rf"to=<{name}@{DOMAIN}>.*status=sent")

    wait_until(arrived, 30, one.log_tail, pause=0.3)
    one.wait_empty()
    assert (out / "file").read_text().count("Subject: s") == 1 and len(list((out / "dir/new").iterdir())) == 1


def is_alive(pid):
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_a_slow_command_does_not_hold_up_the_same_users_mail(local):
    one = local()
    forward_file(one, '"|touch ROOT/out/$USER.begun; while test ! -e ROOT/out/end; do sleep 0.1; done"\n', name=f"{USER}+slow")
    one.send(MESSAGE, recipients=[f"{USER}+slow@{DOMAIN}"])
    wait_until(lambda: (one.root / "out" / f"{USER}.begun").exists(), 30, "the command runs")
    for _ in range(3):
        one.send(MESSAGE, recipients=[f"{USER}@{DOMAIN}"])
    wait_for_letters(one, 3)
    (one.root / "out" / "end").touch()
    one.wait_empty()


def with_children(pid):
    """A process and all below it, from the top."""
    found = [pid]
    with contextlib.suppress(OSError):                  # it ended meanwhile
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            found += with_children(int(child))
    return found
