# SPDX-License-Identifier: ISC
"""The proxymap service by itself: what it looks up, and what it refuses."""

import contextlib
import os
import pwd
import socket
import threading

import pytest

from foreground import Foreground
from frames import Peer
from instance import SANITIZED, wait_until

FOUND, NOT_THERE, CANNOT_TELL = 1, 0, 2
FOLD = 1


@pytest.fixture
def proxymap():
    """proxymap(maps, files={name: text}): proxy_read_maps with {etc} for the configuration directory."""
    made = []

    def make(maps, files=None, start=True, **main):
        service = Foreground("proxymap", main)
        service.instance.set(proxy_read_maps=maps.format(etc=service.instance.etc))
        for name, text in (files or {}).items():
            service.instance.file(name, text)
        made.append(service)
        return service.start() if start else service

    yield make
    for one in made:
        one.close()


def look_up(peer, spec, key, flags=FOLD):
    reply = peer.ask("table_request", spec=spec, flags=flags, key=key)
    return int(reply["status"]), reply["value"].decode(), reply["why"].decode()


def test_approved_tables_are_looked_up(proxymap):
    service = proxymap("proxy:texthash:{etc}/users, !proxy:inline:{{ a=b }} {{ check_x proxy:regexp:{etc}/patterns }} hash:{etc}/other",
                       {"users": "Alice one\nbob two words\n", "patterns": "/^x(.*)$/ got $1\n"})
    etc = service.instance.etc
    with Peer(service.path) as peer:
        assert look_up(peer, f"texthash:{etc}/users", "ALICE")[:2] == (FOUND, "one")
        assert look_up(peer, f"texthash:{etc}/users", "ALICE", 0)[:2] == (NOT_THERE, "")
        assert look_up(peer, f"texthash:{etc}/users", "Alice", 0)[:2] == (FOUND, "one")
        assert look_up(peer, f"texthash:{etc}/users", "carol")[:2] == (NOT_THERE, "")
        assert look_up(peer, "inline:{ a=b }", "a")[:2] == (FOUND, "b")
        assert look_up(peer, f"regexp:{etc}/patterns", "xyz")[:2] == (FOUND, "got yz")
        assert look_up(peer, f"regexp:{etc}/patterns", "xyz", 4)[:2] == (NOT_THERE, "")      # no substitution wanted: the rule does not count


def test_other_tables_are_refused(proxymap):
    service = proxymap("proxy:inline:{{ a=b }} hash:{etc}/plain")
    with Peer(service.path) as peer:
        for spec in (f"hash:{service.instance.etc}/plain", "texthash:/etc/passwd", "static:x", "", "unix:passwd.byname", "proxy:inline:{ a=b }"):
            status, _, why = look_up(peer, spec, "root")
            assert status == CANNOT_TELL and "is not approved" in why, spec
        assert look_up(peer, "inline:{ a=b }", "a")[0] == FOUND
    wait_until(lambda: "proxy_read_maps does not name" in service.log(), 30, service.log)


def test_servers_may_be_asked_wherever_the_configuration_names_them(proxymap):
    service = proxymap("", start=False, smtpd_restriction_classes="strict", strict="check_sender_access unix:passwd.byname", data_checks="{{ proxy:inline:{ a=b } }}")
    with (service.instance.etc / "master.cf").open("a") as rows:
        rows.write("extra unix - - n - - smtpd -o { smtpd_data_restrictions = check_sender_access unix:group.byname }\n")
    service.start()
    with Peer(service.path) as peer:
        assert look_up(peer, "unix:passwd.byname", "daemon")[0] == FOUND
        assert look_up(peer, "unix:group.byname", "daemon")[0] == FOUND
        assert look_up(peer, "inline:{ a=b }", "a")[0] == CANNOT_TELL      # proxy: has to be in proxy_read_maps


def test_accounts_are_found_and_not_found(proxymap):
    me = pwd.getpwuid(os.getuid())
    service = proxymap("unix:passwd.byname proxy:unix:group.byname")
    with Peer(service.path) as peer:
        status, line, _ = look_up(peer, "unix:passwd.byname", me.pw_name.upper())
        assert status == FOUND and line.split(":")[2] == str(me.pw_uid)
        assert look_up(peer, "unix:passwd.byname", me.pw_name.upper(), 0)[0] == NOT_THERE
        assert look_up(peer, "unix:group.byname", "daemon")[0] == FOUND
        for name in ("nosuchuser", "", "a/b", "x" * 300, "root\0", "root:x"):
            assert look_up(peer, "unix:passwd.byname", name)[0] == NOT_THERE, name


def test_broken_tables_cannot_tell(proxymap):
    service = proxymap("proxy:fail:on-purpose proxy:hash:{etc}/missing proxy:nosuch:type proxy:texthash:{etc}/long", {"long": "x " + "y" * 1048577 + "\n"})
    with Peer(service.path) as peer:
        status, _, why = look_up(peer, f"texthash:{service.instance.etc}/long", "x")
        assert status == CANNOT_TELL and "1048577 bytes" in why
        assert look_up(peer, "fail:on-purpose", "x")[0] == CANNOT_TELL
        status, _, why = look_up(peer, f"hash:{service.instance.etc}/missing", "x")
        assert status == CANNOT_TELL and "missing.db: No such file or directory" in why
        assert look_up(peer, "nosuch:type", "x")[0] == CANNOT_TELL


def test_a_table_that_was_replaced_is_read_again_inside_the_jail(proxymap):
    service = proxymap("proxy:texthash:{etc}/users", {"users": "alice one\n"})
    etc = service.instance.etc
    with Peer(service.path) as peer:
        assert look_up(peer, f"texthash:{etc}/users", "alice")[:2] == (FOUND, "one")
        (etc / "users.new").write_text("alice two\n")
        (etc / "users.new").rename(etc / "users")
        wait_until(lambda: look_up(peer, f"texthash:{etc}/users", "alice")[:2] == (FOUND, "two"), 30)


def test_many_clients_with_many_questions_at_once(proxymap):
    service = proxymap("proxy:texthash:{etc}/numbers unix:passwd.byname", {"numbers": "".join(f"k{n} v{n}\n" for n in range(1000))})
    spec = f"texthash:{service.instance.etc}/numbers"
    peers = [Peer(service.path) for _ in range(50)]
    asked = {}
    for n in range(1000):
        peer = peers[n % 50]
        asked[n % 50, peer.send("table_request", spec=spec, flags=1, key=f"K{n}")] = f"v{n}"
        if n % 20 == 0:
            asked[n % 50, peer.send("table_request", spec="unix:passwd.byname", flags=1, key="nosuchuser")] = ""
    while asked:
        number = next(iter(asked))[0]
        call, _, reply = peers[number].receive()
        assert reply["value"].decode() == asked.pop((number, call))
    for peer in peers:
        peer.close()


def test_nonsense_on_the_socket_ends_that_connection_only(proxymap):
    service = proxymap("proxy:static:x")
    with Peer(service.path) as peer:
        peer.socket.sendall(os.urandom(500))
        peer.socket.shutdown(socket.SHUT_WR)
        assert peer.is_closed()
    with Peer(service.path) as peer:
        peer.send("dns_request", name="x", type=1, flags=0)
        assert peer.is_closed()
    with Peer(service.path) as peer:
        assert look_up(peer, "static:x", "a")[:2] == (FOUND, "x")


def test_a_request_that_is_not_understood_is_answered_at_once(proxymap):
    """It cannot be told; who asks shall not wait until his patience ends."""
    service = proxymap("proxy:static:x")
    with Peer(service.path) as peer:
        for request in ("table_request", "table_change"):
            reply = peer.ask(request, spec="static:x", flags=1)
            assert int(reply["status"]) == CANNOT_TELL and reply["why"]
        assert look_up(peer, "static:x", "a")[:2] == (FOUND, "x")


@pytest.mark.root
@pytest.mark.skipif(SANITIZED, reason="the leak checker needs /proc")
def test_a_table_that_was_replaced_is_read_again_inside_a_chroot(proxymap):
    service = proxymap("proxy:hash:{etc}/users proxy:texthash:{etc}/users", {"users": "alice one\n"}, start=False)
    etc = service.instance.etc
    service.instance.command("postmap", f"hash:{etc}/users")
    service.options = ("-r",)
    service.start()
    wait_until(lambda: os.readlink(f"/proc/{service.process.pid}/root") == str(service.instance.queue), 30)
    with Peer(service.path) as peer:
        for kind in ("hash", "texthash"):
            assert look_up(peer, f"{kind}:{etc}/users", "alice")[:2] == (FOUND, "one")
        (etc / "users.new").write_text("alice two\n")
        (etc / "users.new").rename(etc / "users")
        service.instance.command("postmap", f"hash:{etc}/users")
        for kind in ("hash", "texthash"):
            wait_until(lambda: look_up(peer, f"{kind}:{etc}/users", "alice")[:2] == (FOUND, "two"), 30)


@pytest.mark.root
def test_a_table_that_only_root_may_read_is_followed_by_a_fresh_process(instance):
    mail = instance(start=False)
    secret = mail.file("secret", "alice one\n", mode=0o600)
    mail.set(proxy_read_maps=f"proxy:texthash:{secret}")
    mail.start()
    door = mail.queue / "private" / "proxymap"
    with Peer(door) as peer:
        assert look_up(peer, f"texthash:{secret}", "alice")[:2] == (FOUND, "one")
        (mail.etc / "secret.new").write_text("alice two\n")
        (mail.etc / "secret.new").chmod(0o600)
        (mail.etc / "secret.new").rename(secret)

        def fresh():
            with Peer(door) as another:
                status, value, why = look_up(another, f"texthash:{secret}", "alice")
                assert status == FOUND and value in ("one", "two"), why          # never "not there", never "cannot tell"
                return value == "two"

        wait_until(fresh, 30, mail.log_tail)


# ---- proxywrite ----

class Writing:
    """The service proxywrite, with one table of each kind that it can change."""

    def __init__(self):
        self.service = Foreground("proxymap", {}, options=("-n", "proxywrite"))
        self.data = self.service.instance.data
        self.specs = {kind: f"{kind}:{self.data}/{kind}" for kind in ("hash", "btree", "lmdb")}
        self.service.instance.file("t", "a 1\n")
        self.more = [f"cdb:{self.data}/cdb", f"texthash:{self.service.instance.etc}/t"]
        self.service.instance.set(proxy_write_maps=" ".join(f"proxy:{spec}" for spec in [*self.specs.values(), *self.more]), proxy_read_maps="")

    def __enter__(self):
        self.service.start()
        return self

    def __exit__(self, *error):
        self.service.close()

    def change(self, peer, spec, key, value=None, flags=1):
        call = peer.send("table_change", spec=spec, flags=flags, key=key, removal=int(value is None), value=value or "")
        answered, _, reply = peer.receive()
        assert answered == call
        return int(reply["status"]), reply["why"].decode()


def test_proxywrite_changes_tables_and_only_those_that_are_approved():
    with Writing() as writing, Peer(writing.service.path) as peer:
        for spec in writing.specs.values():
            assert look_up(peer, spec, "key")[0] == NOT_THERE                # there is no file yet
            assert writing.change(peer, spec, "key") == (0, "")              # and nothing to delete
            for value in ("one", "two", ""):
                assert writing.change(peer, spec, "KEY", value) == (0, "")
                assert look_up(peer, spec, "Key")[:2] == (FOUND, value)
            assert writing.change(peer, spec, "kEy") == (1, "")
            assert look_up(peer, spec, "key")[0] == NOT_THERE
            assert writing.change(peer, spec, "long", "x" * 100000) == (0, "")
            assert look_up(peer, spec, "long")[1] == "x" * 100000
        for spec in writing.more:
            status, why = writing.change(peer, spec, "key", "value")
            assert status == CANNOT_TELL and "cannot be changed" in why
        assert look_up(peer, writing.more[1], "a")[:2] == (FOUND, "1")
        status, why = writing.change(peer, f"hash:{writing.data}/another", "key", "value")
        assert status == CANNOT_TELL and "proxy_write_maps does not name" in why
        assert sorted(path.name for path in writing.data.iterdir()) == ["btree.db", "hash.db", "lmdb.lmdb"]
    # a service that only reads changes nothing
    service = Foreground("proxymap", {"proxy_read_maps": "proxy:hash:/tmp/x"})
    service.start()
    with Peer(service.path) as peer:
        call = peer.send("table_change", spec="hash:/tmp/x", flags=1, key="a", removal=0, value="b")
        assert peer.receive()[0] == call and not os.path.exists("/tmp/x.db")
    service.close()


def test_what_proxywrite_says_is_done_is_there_after_it_is_killed():
    """Many change three tables at once, in few steps; the process is killed in the middle."""
    writing = Writing()
    try:
        for round_ in range(3):
            writing.service.start()
            promised = []
            with Peer(writing.service.path) as peer:
                sent = {peer.send("table_change", spec=spec, flags=0, key=f"{round_}-{number}", removal=0, value=str(number)): (spec, f"{round_}-{number}", str(number))
                        for number in range(100) for spec in writing.specs.values()}
                for _ in range(len(sent) // 2):
                    call, _, reply = peer.receive()
                    assert int(reply["status"]) == 0, reply
                    promised.append(sent[call])
                writing.service.kill()
            for spec in {one for one, _, _ in promised}:        # a table whose turn did not come yet has no file
                there = dict(line.split("\t") for line in writing.service.instance.command("postmap", "-s", spec).stdout.splitlines())
                for one, key, value in promised:
                    assert one != spec or there.get(key) == value, (spec, key)
        writing.service.start()
        with Peer(writing.service.path) as peer:
            for spec in writing.specs.values():
                assert writing.change(peer, spec, "last", "one") == (0, "")
        assert sorted(path.name for path in writing.data.iterdir()) == ["btree.db", "hash.db", "lmdb.lmdb"]          # debris is swept
    finally:
        writing.service.close()


def test_postmap_changes_a_table_through_proxywrite(instance):
    mail = instance(start=False, master="proxywrite unix - - n - 1 proxymap\n")
    spec = f"proxy:hash:{mail.data}/cache"
    mail.set(proxy_write_maps=spec, proxy_read_maps=spec)
    mail.start()
    for number in range(3):                         # each another client of the one process
        mail.command("postmap", "-i", spec, input=f"Key{number} value{number}\n")
    assert mail.command("postmap", "-q", "key2", f"hash:{mail.data}/cache").stdout == "value2\n"
    assert mail.command("postmap", "-q", "KEY1", spec).stdout == "value1\n"
    mail.command("postmap", "-d", "key1", spec)
    assert mail.command("postmap", "-d", "key1", spec, check=False).returncode == 1
    done = mail.command("postmap", spec, check=False)
    assert done.returncode == 1 and "not made" in done.stderr
    done = mail.command("postmap", "-i", f"proxy:hash:{mail.data}/other", input="a b\n", check=False)
    assert done.returncode == 1 and "not approved" in done.stderr


def test_a_server_of_a_tcp_table_that_hangs_keeps_only_those_who_ask_it(instance):
    """And they hear 451 when it goes away; otherwise after 90 seconds."""
    with socket.create_server(("127.0.0.1", 0)) as silent, socket.create_server(("127.0.0.1", 0)) as quick:
        threading.Thread(target=answer_not_found, args=(quick,), daemon=True).start()
        one = instance(main={"relay_domains": "corp.example", "smtpd_recipient_restrictions": f"check_sender_access tcp:127.0.0.1:{quick.getsockname()[1]}, "
                             "check_sender_access inline:{other@far.example=OK}, " f"check_recipient_access tcp:127.0.0.1:{silent.getsockname()[1]}"})
        with one.client() as waiting, one.client() as other:
            for client, name in (waiting, "waiting"), (other, "other"):
                client.ehlo()
                client.mail(f"{name}@far.example")
            waiting.putcmd("RCPT", "TO:<ask@corp.example>")
            silent.settimeout(60)
            asking, _ = silent.accept()
            assert asking.recv(100) == b"get ask@corp.example\n"
            for number in range(20):
                assert other.rcpt(f"user{number}@corp.example")[0] == 250
            silent.close()
            asking.close()
            assert waiting.getreply()[0] == 451


def answer_not_found(listener):
    with contextlib.suppress(OSError):
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=answer_each, args=(connection,), daemon=True).start()


def answer_each(connection):
    with connection, contextlib.suppress(OSError):
        for _ in connection.makefile("rb"):
            connection.sendall(b"500 not here\n")
