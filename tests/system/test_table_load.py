# SPDX-License-Identifier: ISC
"""Tables under load: a slow database behind a thousand sessions, and tables that are replaced while they are in use."""

import os
import resource
import smtplib
import socket
import threading

from foreground import Foreground
from frames import Peer
from instance import PATIENCE, SANITIZED, wait_until
from servers import Postgres
from test_proxymap import FOUND, NOT_THERE, look_up

SLOW = """
CREATE TABLE access (address text PRIMARY KEY, action text);
INSERT INTO access SELECT 'good' || n || '@example.org', 'OK' FROM generate_series(0, 2000) n;
INSERT INTO access SELECT 'bad' || n || '@example.org', 'REJECT nobody' || n || ' here' FROM generate_series(0, 2000) n;
CREATE FUNCTION slow(text) RETURNS SETOF text AS $$ BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN QUERY SELECT action FROM access WHERE address = $1; END $$
LANGUAGE plpgsql;
"""


def read_replies(client, count):
    answer = b""
    while answer.count(b"\r\n") < count:
        piece = client.recv(4000)
        assert piece, answer
        answer += piece
    return answer.decode().split("\r\n")[:-1]


def is_waiting(client):
    client.setblocking(False)
    try:
        return client.recv(1, socket.MSG_PEEK) == b"never"
    except BlockingIOError:
        return True
    finally:
        client.settimeout(60 * PATIENCE)


def test_a_thousand_sessions_wait_for_a_slow_database_and_nobody_else_does(instance):
    count = 1000 if not SANITIZED else 100
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count + 200:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(count + 500, hard), hard))
    with Postgres() as database:
        database.start().sql(SLOW)
        mail = instance(start=False, main={"smtpd_client_connection_count_limit": "0", "mydestination": "example.org"})
        table = mail.file("access.cf", f"hosts = 127.0.0.1:{database.port}\nuser = test\ndbname = postgres\nselect_function = slow\ntimeout = 60\n")
        mail.set(smtpd_sender_restrictions="check_sender_access inline:{ quick@example.net=REJECT }", smtpd_relay_restrictions="permit_mynetworks",
                 smtpd_delay_reject="no", smtpd_recipient_restrictions=f"check_recipient_access pgsql:{table} reject")
        mail.start()
        clients = []
        held = database.hold_lock(1)
        try:
            for _ in range(count):
                clients.append(socket.create_connection((mail.address, mail.smtp_port), timeout=60 * PATIENCE))
            for client in clients:
                client.sendall(b"EHLO client.example.net\r\n")
            for client in clients:
                answer = b""
                while not answer.rpartition(b"\r\n")[0].rpartition(b"\r\n")[2].startswith(b"250 "):
                    answer += client.recv(4000)
                client.sendall(b"MAIL FROM:<a@example.net>\r\n")
            for number, client in enumerate(clients):
                assert read_replies(client, 1)[0].startswith("250")
                name = ("good", "bad", "nobody")[number % 3]
                client.sendall(f"RCPT TO:<{name}{number}@example.org>\r\n".encode())
            # All are waiting, and who needs no answer of the database is served at once.
            waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            wait_until(lambda: int(database.sql(waiting)) >= 10, 30)
            for _ in range(5):
                with smtplib.SMTP(mail.address, mail.smtp_port, timeout=20 * PATIENCE) as other:
                    assert other.noop()[0] == 250
                    assert other.mail("quick@example.net")[0] == 554
            assert all(map(is_waiting, clients)) and int(database.sql(waiting)) >= 10
            held.close()
            for number, client in enumerate(clients):
                recipient = read_replies(client, 1)[0]
                expected = ("250 2.1.5 Ok", f"554 5.7.1 <bad{number}@example.org>: Recipient address rejected: nobody{number} here",
                            f"554 5.7.1 <nobody{number}@example.org>: Recipient address rejected: Access denied")[number % 3]
                assert recipient == expected
            # the database goes away: nobody is refused for good, and nobody is let in
            database.kill()
            for number, client in enumerate(clients[:30]):
                client.sendall(f"RSET\r\nMAIL FROM:<a@example.net>\r\nRCPT TO:<{('good', 'bad', 'nobody')[number % 3]}{number}@example.org>\r\n".encode())
            for client in clients[:30]:
                assert read_replies(client, 3)[2].startswith("451 4.3.")
            database.start()

            def accepted():
                clients[0].sendall(b"RSET\r\nMAIL FROM:<a@example.net>\r\nRCPT TO:<good1@example.org>\r\n")
                last = read_replies(clients[0], 3)[2]
                assert last.startswith(("250", "451")), last
                return last.startswith("250")

            wait_until(accepted, 30)
        finally:
            held.close()
            for client in clients:
                client.close()


class Replaced:
    """A table that is replaced again and again, by one thread, while another one asks for what is always there and for what never is."""

    filler = "".join(f"filler{number} {'x' * 40}\n" for number in range(300))

    def __init__(self, service, kind):
        self.service, self.kind, self.path = service, kind, service.instance.etc / kind
        self.spec = f"{kind}:{self.path}"
        self.newest, self.asked, self.wrong, self.ended = 0, 0, [], threading.Event()
        self.write(0)

    def write(self, version):
        fresh = self.path.with_suffix(".fresh")
        fresh.write_text(f"{self.filler}always version {version}\neven{version % 2} yes\n")
        os.rename(fresh, self.path)
        if self.kind != "texthash":
            self.service.instance.command("postmap", self.spec, timeout=120)

    def keep_writing(self, rounds):
        try:
            for version in range(1, rounds + 1):
                self.write(version)
                self.newest = version
                if self.wrong:
                    return
            with Peer(self.service.path) as peer:
                wait_until(lambda: look_up(peer, self.spec, "always")[1] == f"version {rounds}", 20)
        except Exception as error:
            self.wrong.append(repr(error))
        finally:
            self.ended.set()

    def keep_asking(self):
        seen = 0
        with Peer(self.service.path) as peer:
            while not self.ended.is_set():
                status, value, why = look_up(peer, self.spec, "ALWAYS")
                version = int(value.split()[1]) if status == FOUND else -1
                if status != FOUND or not seen <= version <= self.newest + 1:
                    self.wrong.append((status, value, why, seen, self.newest))
                seen = max(seen, version)
                if look_up(peer, self.spec, "never")[0] != NOT_THERE:
                    self.wrong.append("never")
                self.asked += 1


def test_tables_replaced_a_thousand_times_never_give_a_wrong_answer():
    rounds = 250 if not SANITIZED else 25
    service = Foreground("proxymap", {})
    try:
        tables = [Replaced(service, kind) for kind in ("hash", "lmdb", "cdb", "texthash")]
        service.instance.set(proxy_read_maps=" ".join(f"proxy:{table.spec}" for table in tables))
        service.start()
        threads = [threading.Thread(target=table.keep_asking) for table in tables] + [threading.Thread(target=table.keep_writing, args=(rounds,)) for table in tables]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        service.close()
    for table in tables:
        assert not table.wrong, (table.kind, table.wrong[:3])
        assert table.newest == rounds and table.asked > 0, (table.kind, table.newest, table.asked)
    assert sum(table.asked for table in tables) > 4 * rounds
