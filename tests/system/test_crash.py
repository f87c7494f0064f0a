# SPDX-License-Identifier: ISC
"""Nothing that was acknowledged is lost: daemons killed under load, the next hop away, the disk full, tables and DNS failing."""

import os
import random
import re
import subprocess
import threading
import time

import pytest

from dns_server import DnsServer
from instance import PATIENCE, free_port, wait_until
from sink import Sink

KILLABLE = ["smtpd", "cleanup", "qmgr", "smtp", "resolver", "proxymap", "bounce", "virtual", "pickup"]


class Load(threading.Thread):
    """Keeps handing in numbered messages; `acknowledged` holds the numbers whose 250 (or exit status 0) was seen."""

    def __init__(self, mail, start, recipient, by_sendmail=False):
        super().__init__(daemon=True)
        self.mail, self.number, self.recipient = mail, start, recipient
        self.hand_in = self.sendmail if by_sendmail else self.smtp
        self.acknowledged, self.refused = set(), 0
        self.stop = threading.Event()

    def smtp(self, text):
        with self.mail.client(timeout=20) as client:
            client.sendmail("sender@example.net", [self.recipient], text)

    def sendmail(self, text):
        self.mail.command("sendmail", "-i", "-f", "sender@example.net", self.recipient, input=text.replace("\r\n", "\n"))

    def run(self):
        while not self.stop.is_set():
            self.number += 1
            try:
                self.hand_in(f"Subject: t\r\nX-Number: {self.number}\r\n\r\nbody {self.number}\r\n")
                self.acknowledged.add(self.number)
            except Exception:       # a daemon died under it: not acknowledged
                self.refused += 1
                time.sleep(0.02)


def number_in(content):
    return int(re.search(rb"^X-Number: (\d+)", content, re.M).group(1))


def numbers_in(messages):
    return [number_in(message.content) for message in messages]


def test_daemons_killed_at_random_under_load_lose_nothing(instance):
    dice = random.Random(2026)
    with DnsServer() as dns, Sink(address="127.0.0.5") as sink:
        for domain in ("example.com", "example.net"):
            dns.add(domain, "MX", "10 mx.example.com", ttl=1)
        dns.add("mx.example.com", "A", sink.address, ttl=1)
        mail = instance(start=False, main={
            "dns_resolver_addresses": dns.at, "smtp_tcp_port": sink.port, "minimal_backoff_time": "1s", "maximal_backoff_time": "2s",
            "queue_run_delay": "1s", "transport_retry_time": "1s", "mydestination": "", "virtual_mailbox_domains": "example.org",
            "virtual_mailbox_maps": "static:box/", "virtual_minimum_uid": "1", "virtual_uid_maps": f"static:{os.getuid() or 1}",
            "virtual_gid_maps": f"static:{os.getgid() or 1}"})
        mailboxes = mail.root / "mailboxes"
        mailboxes.mkdir()
        mailboxes.chmod(0o777)
        mail.main["virtual_mailbox_base"] = mailboxes
        mail.start()

        def arrived():
            """number -> contents, of what the next hop and the Maildir hold"""
            found = {}
            for content in [message.content for message in list(sink.messages)] + [path.read_bytes() for path in mailboxes.glob("box/new/*")]:
                found.setdefault(number_in(content), []).append(content)
            return found

        loads = [Load(mail, 1_000_000, "someone@example.com"), Load(mail, 2_000_000, "someone@example.com"),
                 Load(mail, 3_000_000, "box@example.org"), Load(mail, 4_000_000, "someone@example.com", by_sendmail=True)]
        for load in loads:
            load.start()
        kills = 0
        deadline = time.monotonic() + 120 * PATIENCE
        while (kills < 20 or any(len(load.acknowledged) <= 10 for load in loads)) and time.monotonic() < deadline:
            time.sleep(dice.uniform(0.1, 0.4))
            kills += mail.kill(dice.choice(KILLABLE)) > 0
        for load in loads:
            load.stop.set()
        for load in loads:
            load.join(120 * PATIENCE)
        assert kills >= 20
        assert all(len(load.acknowledged) > 10 for load in loads)
        acknowledged = set().union(*(load.acknowledged for load in loads))
        wait_until(lambda: acknowledged <= set(arrived()), 90,
                   lambda: f"missing {sorted(acknowledged - set(arrived()))[:10]} of {len(acknowledged)}\n{mail.log_tail()}", pause=0.5)
        # A file that cleanup was writing when it died stays until it is old; it was never acknowledged and is in no listing.
        wait_until(lambda: not mail.queue_list(), 60, lambda: f"{mail.queue_list()}\n{mail.log_tail()}", pause=0.2)
        found = arrived()
        duplicates = sum(len(contents) - 1 for contents in found.values())
        # Only what was in flight when an agent, qmgr, pickup or cleanup died may come twice: for each kill at most a destination's concurrency.
        assert duplicates <= kills * 20, duplicates
        for number, contents in found.items():
            for content in contents:
                assert content.replace(b"\r\n", b"\n").endswith(f"\n\nbody {number}\n".encode())


def test_master_killed_leaves_a_queue_that_the_next_start_delivers(instance):
    with Sink() as sink:
        mail = instance(main={"relayhost": f"[127.0.0.1]:{sink.port}", "defer_transports": "smtp"})
        sent = {mail.send(f"X-Number: {i}\r\n\r\nbody {i}\r\n", recipients=["a@example.com"]) for i in range(20)}
        mail.kill_everything()
        mail.set(defer_transports="")
        mail.start()
        mail.command("postqueue", "-f")
        wait_until(lambda: len(set(numbers_in(list(sink.messages)))) == len(sent), 30, mail.log_tail)
        mail.wait_empty()


def test_expired_mail_is_returned_to_its_sender(instance):
    port = free_port()
    with Sink() as senders_host:
        mail = instance(main={"transport_maps": f"inline:{{ example.com=smtp:[127.0.0.1]:{port}, example.net=smtp:[127.0.0.1]:{senders_host.port} }}",
                              "minimal_backoff_time": "1s", "maximal_backoff_time": "1s", "queue_run_delay": "1s", "maximal_queue_lifetime": "2s"})
        queue_id = mail.send("Subject: never arrives\r\n\r\nbody\r\n", recipients=["someone@example.com"])
        mail.wait_for_log(rf"{queue_id}: from=<sender@example.net>, status=expired, returned to sender", timeout=30)
        notice = wait_until(lambda: senders_host.messages, 30, mail.log_tail)[0]
        assert notice.sender.startswith("<>")
        assert b"multipart/report" in notice.content
        assert b"Final-Recipient: rfc822; someone@example.com" in notice.content
        assert b"Subject: never arrives" in notice.content
        mail.wait_empty()


@pytest.mark.root
def test_a_full_disk_is_a_452_and_recovers_by_itself(instance, tmp_path):
    with Sink() as sink:
        mail = instance(start=False, main={"relayhost": f"[127.0.0.1]:{sink.port}", "queue_minfree": "0", "message_size_limit": "0"})
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m,mode=755", "none", mail.queue], check=True)
        try:
            mail.start()
            filler = mail.queue / "filler"
            filler.write_bytes(b"x" * (2 << 20))
            with mail.client() as client:
                client.ehlo()
                client.mail("a@example.net")
                client.rcpt("b@example.com")
                code, text = client.data(b"Subject: x\r\n\r\n" + b"y" * 70 * 20000 + b"\r\n")
            assert code in (451, 452), (code, text)
            assert code == 452 and text.startswith(b"4.3.1"), (code, text)
            filler.unlink()
            mail.send("Subject: fits now\r\n\r\nbody\r\n", recipients=["b@example.com"])
            wait_until(lambda: sink.messages, 30, mail.log_tail)
            mail.wait_empty()
            mail.stop()
        finally:
            mail.running and mail.stop()
            subprocess.run(["umount", "-l", mail.queue], check=True)


def test_a_failing_table_is_a_4xx(instance):
    mail = instance(main={"relay_domains": "example.com", "relay_recipient_maps": "fail:broken"})
    with mail.client() as client:
        client.ehlo()
        client.mail("a@example.net")
        code, text = client.rcpt("b@example.com")
    assert 400 <= code < 500, (code, text)


def test_failing_dns_is_a_deferral(instance):
    with DnsServer() as dns:
        dns.fail("example.com", "SERVFAIL")
        mail = instance(main={"dns_resolver_addresses": dns.at})
        mail.send("Subject: x\r\n\r\nbody\r\n", recipients=["b@example.com"])
        mail.wait_for_log(r"to=<b@example.com>, relay=none, .*dsn=4\.\d\.\d, status=deferred \(Host or domain name not found. "
                          r"Name service error for name=example.com type=MX: Host not found, try again\)", timeout=40)


def test_a_domain_that_does_not_exist_is_a_bounce(instance):
    with DnsServer() as dns:
        mail = instance(main={"dns_resolver_addresses": dns.at})
        mail.send("Subject: x\r\n\r\nbody\r\n", recipients=["b@nowhere.example"])
        mail.wait_for_log(r"to=<b@nowhere.example>, relay=none, .*dsn=5\.4\.4, status=bounced \(Host or domain name not found. "
                          r"Name service error for name=nowhere.example type=\w+: Host not found\)")
