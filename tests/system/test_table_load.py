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
CREATE FUNCTION slow(text) RETURNS SETOF text AS $$ BEGIN PERFORM pg_sleep(0.05); RETURN QUERY SELECT action FROM access WHERE address = $1; END $$ LANGUAGE plpgsql;
"""


def read_replies(client, count):
    answer = b""
    while answer.count(b"\r\n") < count:
        piece = client.recv(4000)
        assert piece, answer
        answer += piece
    return answer.decode().split("\r\n")[:-1]


def test_a_thousand_sessions_wait_for_a_slow_database_and_nobody_else_does(instance):
    count = 1000 if not SANITIZED else 100
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count + 200:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(count + 500, hard), hard))
    with Postgres() as database:
        database.start()
        database.sql(SLOW)
        mail = instance(start=False, main={"smtpd_client_connection_count_limit": "0", "mydestination": "example.org"})
        table = mail.file("access.cf", f"hosts = 127.0.0.1:{database.port}\nuser = test\ndbname = postgres\nselect_function = slow\ntimeout = 5\n")
        mail.set(smtpd_sender_restrictions="check_sender_access inline:{ quick@example.net=REJECT }", smtpd_relay_restrictions="permit_mynetworks",
                 smtpd_delay_reject="no", smtpd_recipient_restrictions=f"check_recipient_access pgsql:{table} reject")
        mail.start()
        clients = []
        try:
            for _ in range(count):
                clients.append(socket.create_connection((mail.address, mail.smtp_port), timeout=60 * PATIENCE))
            for client in clients:
                client.sendall(b"EHLO client.example.net\r\n")
            for client in clients:
                answer = b""
                while not answer.rpartition(b"\r\n")[0].rpartition(b"\r\n")[2].startswith(b"250 "):
                    answer += client.recv(4000)
            for number, client in enumerate(clients):
                name = ("good", "bad", "nobody")[number % 3]
                client.sendall(b"MAIL FROM:<a@example.net>\r\n" + f"RCPT TO:<{name}{number}@example.org>\r\n".encode())
            # 20 connections, 50 ms for each: seconds of work are waiting, and who needs none of it is served at once
            served = 0
            while served < 5:
                with smtplib.SMTP(mail.address, mail.smtp_port, timeout=20 * PATIENCE) as other:
                    assert other.noop()[0] == 250
                    assert other.mail("quick@example.net")[0] == 554
                served += 1
            clients[-1].setblocking(False)
            try:
                late = clients[-1].recv(4000).count(b"\r\n") < 2
            except BlockingIOError:
                late = True
            assert late, "the last of them has its verdict already: nothing was waiting"
            clients[-1].settimeout(60 * PATIENCE)
            for number, client in enumerate(clients[:-1]):
                sender, recipient = read_replies(client, 2)
                assert sender.startswith("250"), sender
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
            for client in clients:
                client.close()


def test_tables_replaced_a_thousand_times_never_give_a_wrong_answer():
    rounds = 250 if not SANITIZED else 25
    service = Foreground("proxymap", {})
    mail = service.instance
    kinds = ("hash", "lmdb", "cdb", "texthash")
    specs = {kind: f"{kind}:{mail.etc}/{kind}" for kind in kinds}
    mail.set(proxy_read_maps=" ".join(f"proxy:{spec}" for spec in specs.values()))
    filler = "".join(f"filler{number} {'x' * 40}\n" for number in range(300))

    def write(version):
        for kind in kinds:
            fresh = mail.etc / f"{kind}.fresh"
            fresh.write_text(f"{filler}always version {version}\neven{version % 2} yes\n")
            os.rename(fresh, mail.etc / kind)
        mail.command("postmap", *(specs[kind] for kind in kinds[:3]), timeout=120)

    write(0)
    newest, ended, wrong, asked = 0, threading.Event(), [], dict.fromkeys(kinds, 0)

    def keep_asking(kind):
        seen = 0
        with Peer(service.path) as peer:
            while not ended.is_set():
                before = newest
                status, value, why = look_up(peer, specs[kind], "ALWAYS")
                version = int(value.split()[1]) if status == FOUND else -1
                if status != FOUND or not max(seen, 0) <= version <= newest + 1:
                    wrong.append((kind, status, value, why, seen, before, newest))
                seen = max(seen, version)
                if look_up(peer, specs[kind], "never")[0] != NOT_THERE:
                    wrong.append((kind, "never"))
                asked[kind] += 1
        if seen < newest - 20 * PATIENCE and not wrong:
            wrong.append((kind, "does not follow", seen, newest))

    with_threads = [threading.Thread(target=keep_asking, args=(kind,)) for kind in kinds]
    try:
        service.start()
        for thread in with_threads:
            thread.start()
        for version in range(1, rounds + 1):
            write(version)
            newest = version
            assert not wrong, wrong[:3]
        with Peer(service.path) as peer:
            for kind in kinds:
                wait_until(lambda k=kind: look_up(peer, specs[k], "always")[1] == f"version {rounds}", 20)
    finally:
        ended.set()
        for thread in with_threads:
            thread.join(30)
        service.close()
    assert not wrong, wrong[:3]
    assert min(asked.values()) > rounds
