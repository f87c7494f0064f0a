# SPDX-License-Identifier: ISC
"""Many sessions at once, and a big deferred queue."""

import resource
import socket
import time

from instance import PATIENCE, SANITIZED, wait_until
from sink import Sink


def test_two_thousand_sessions_at_once_are_all_served(instance):
    count = 2000 if not SANITIZED else 300
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count + 200:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(count + 500, hard), hard))
    with Sink() as sink:
        mail = instance(main={"relayhost": f"[127.0.0.1]:{sink.port}", "smtpd_client_connection_count_limit": "0"})
        clients = []
        try:
            for _ in range(count):
                clients.append(socket.create_connection((mail.address, mail.smtp_port), timeout=60))
            for client in clients:
                client.settimeout(60 * PATIENCE)
                assert client.recv(200).startswith(b"220 ")
            for client in clients:      # all at once: a whole transaction in one write each
                client.sendall(b"EHLO client.example.net\r\n")
            for client in clients:
                assert b"250 " in client.recv(2000)
            for client in clients:
                client.sendall(b"MAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n")
            for client in clients:
                answer = b""
                while answer.count(b"\r\n") < 3:
                    answer += client.recv(2000)
                assert answer.split(b"\r\n")[2].startswith(b"354"), answer
            for client in clients:
                client.sendall(b"Subject: x\r\n\r\nbody\r\n.\r\nQUIT\r\n")
            for client in clients:
                answer = b""
                while chunk := client.recv(2000):
                    answer += chunk
                assert answer.startswith(b"250 2.0.0 Ok: queued as"), answer
        finally:
            for client in clients:
                client.close()
        wait_until(lambda: len(sink.messages) >= count, 120, lambda: f"{len(sink.messages)} arrived\n{mail.log_tail()}")
        mail.wait_empty(60)


def test_a_hundred_thousand_deferred_messages_do_not_hold_up_new_mail(instance):
    count = 100_000 if not SANITIZED else 3000
    with Sink() as sink:
        mail = instance(main={"relayhost": f"[127.0.0.1]:{sink.port}", "defer_transports": "relay", "relay_domains": "later.example",
                              "relay_recipient_maps": ""})
        mail.send("Subject: template\r\n\r\nbody\r\n", recipients=["a@later.example"])
        mail.wait_for_log("status=deferred")
        mail.stop()
        mail.copy_deferred(count)
        start = time.monotonic()
        mail.start()
        mail.send("Subject: new\r\n\r\nbody\r\n", recipients=["b@example.com"])
        wait_until(lambda: sink.messages, 60, mail.log_tail, pause=0.002)
        took = time.monotonic() - start
        assert took < 30 * PATIENCE, f"{took:.2f} s from start to the arrival of new mail"
        assert len(mail.queue_files()) >= count
