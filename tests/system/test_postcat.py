# SPDX-License-Identifier: ISC
"""postcat on whole and on damaged queue files."""

import shutil

import pytest

from crc32c import crc32c
from foreground import Foreground
from frames import Peer
from instance import IS_ROOT
from test_cleanup import id_of, make_directories, request


@pytest.fixture(scope="module")
def stored():
    """(instance, path of a queue file)"""
    with_cleanup = Foreground("cleanup")
    make_directories(with_cleanup.instance)
    with with_cleanup as service:
        with Peer(service.path) as peer:
            queue_id = id_of(peer.ask("cleanup_request", **request(b"Subject: shown\n\nthe body\n")))
        yield service.instance, service.instance.queue / "incoming" / queue_id


@pytest.fixture
def damaged(stored, tmp_path):
    """damaged(change) is postcat's result on a copy that change(bytearray) worked on."""
    instance, path = stored

    def show(change, *options):
        data = bytearray(path.read_bytes())
        changed = change(data)
        copy = tmp_path / path.name
        copy.write_bytes(data if changed is None else changed)
        return instance.command("postcat", *options, copy, check=False)

    return show


def test_sections(stored):
    instance, path = stored
    shown = instance.command("postcat", path).stdout
    sections = [line for line in shown.splitlines() if line.startswith("*** ")]
    assert sections == [f"*** {words} {path} ***" for words in
                        ("ENVELOPE RECORDS", "MESSAGE CONTENTS", "HEADER EXTRACTED", "MESSAGE FILE END")]
    assert "sender: alice@example.com\n" in shown and "recipient: bob@example.net\n" in shown
    assert "named_attribute: log_client_address=192.0.2.1\n" in shown
    assert "Subject: shown\n\nthe body\n*** HEADER" in shown


def test_options_choose(stored):
    instance, path = stored
    assert instance.command("postcat", "-b", path).stdout == "\nthe body\n"
    headers = instance.command("postcat", "-h", path).stdout
    assert headers.startswith("Received: ") and headers.endswith("Subject: shown\n")
    assert instance.command("postcat", "-bh", path).stdout == headers + "\nthe body\n"
    assert "the body" not in instance.command("postcat", "-e", path).stdout


def test_a_message_is_found_by_its_id_wherever_it_is(stored):
    instance, path = stored
    hold = instance.queue / "hold"
    shutil.copy(path, hold / path.name)
    path_away = path.rename(instance.root / path.name)
    try:
        assert f"MESSAGE CONTENTS hold/{path.name}" in instance.command("postcat", "-q", path.name).stdout
    finally:
        (hold / path.name).unlink()
        path_away.rename(path)
    missing = instance.command("postcat", "-q", "4XNotThereAtAll", check=False)
    assert missing.returncode == 1 and "no message 4XNotThereAtAll in the queue" in missing.stderr
    assert instance.command("postcat", "-q", "../etc/passwd", check=False).returncode == 1


def test_a_damaged_body_is_shown_and_said(damaged):
    def flip(data):
        data[data.index(b"the body")] ^= 1
    done = damaged(flip)
    assert done.returncode == 1 and "the body is damaged: its checksum does not hold" in done.stderr
    assert "uhe body\n" in done.stdout and "recipient: bob@example.net\n" in done.stdout


def test_a_damaged_envelope_leaves_the_message(damaged):
    def flip(data):
        data[data.index(b"bob@example.net\t")] ^= 1
    done = damaged(flip)
    assert done.returncode == 1 and "the envelope is damaged" in done.stderr
    assert "the body\n" in done.stdout and "cob@example.net" in done.stdout


def test_a_damaged_head_is_guessed_from(damaged):
    def flip(data):
        data[data.index(b"arrival ") + 8] ^= 1
    done = damaged(flip)
    assert done.returncode == 1 and "the head is damaged" in done.stderr
    assert "Subject: shown\n\nthe body\n" in done.stdout and "recipient: bob@example.net\n" in done.stdout


@pytest.mark.parametrize("length", [0, 100, 511, 512, 600, 700])
def test_a_file_that_was_cut_is_shown_as_far_as_it_goes(damaged, length):
    done = damaged(lambda data: data[:length])
    assert done.returncode == 1 and ("no valid head" if length < 512 else "head is damaged") in done.stderr


def test_debris_is_called_debris(damaged):
    done = damaged(lambda data: bytes(512) + b"a body that was streaming in\n")
    assert done.returncode == 1 and "the writer died before the message was accepted" in done.stderr
    assert "a body that was streaming in" in done.stdout


def test_a_torn_journal_costs_its_last_line(damaged):
    done = damaged(lambda data: bytes(data) + b"0badc0de outcome 0\tdelivered\t1\t2.0.0\tr\t\t\tt")
    assert done.returncode == 1 and "1 damaged records in the journal were left out" in done.stderr
    assert "recipient: bob@example.net\n" in done.stdout and "done_recipient" not in done.stdout


def test_who_is_through_is_no_recipient_any_more(stored, damaged):
    """A killed qmgr had no time to write down the last outcomes, only that nobody is left."""
    _, path = stored
    done = damaged(lambda data: bytes(data) + b"%08x done\n" % crc32c(b"done", crc32c(path.name.encode())))
    assert done.returncode == 0 and done.stderr == ""
    assert "\ndone_recipient: bob@example.net\n" in done.stdout and "\nrecipient: " not in done.stdout
    assert "\nthrough: yes\n" in done.stdout


def test_what_is_no_queue_file_is_refused(stored, tmp_path):
    instance, _ = stored
    link = tmp_path / "link"
    link.symlink_to("/etc/passwd")
    for path in (link, tmp_path, tmp_path / "missing"):
        done = instance.command("postcat", path, check=False)
        assert done.returncode == 1 and "root:" not in done.stdout
    if IS_ROOT:
        assert instance.command("postcat", "/etc/passwd", "-b", check=False).returncode == 1
