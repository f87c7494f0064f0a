# SPDX-License-Identifier: ISC
"""smtpd as a whole: configurations it refuses, neighbours that fail, hostile clients, what a session costs.

The dialogue itself is in dialogues/*.txt.
"""

import os
import random
import re
import signal
import smtplib
import socket
import subprocess
import time

import pytest

from dialogue import scripts, unescape
from dns_server import DnsServer
from instance import DAEMONS, PATIENCE, SANITIZED, free_port, seed, wait_until
from sink import Sink


# ---- configurations ----

REFUSED = {
    "not here yet": ({"smtpd_recipient_restrictions": "permit_mx_backup"},
                     r"main\.cf, line \d+: smtpd_recipient_restrictions: permit_mx_backup is not available yet"),
    "unknown word": ({"smtpd_recipient_restrictions": "permit_mynetworks, reject_evrything"},
                     r'main\.cf, line \d+: smtpd_recipient_restrictions: unknown restriction "reject_evrything"'),
    "unknown table type": ({"smtpd_client_restrictions": "check_client_access hsah:/etc/access"},
                           r"main\.cf, line \d+: smtpd_client_restrictions: .*hsah"),
    "no table": ({"smtpd_client_restrictions": "check_client_access permit"},
                 r'smtpd_client_restrictions: check_client_access needs a type:table, not "permit"'),
    "argument missing": ({"smtpd_client_restrictions": "check_client_access"},
                         r"smtpd_client_restrictions: check_client_access needs an argument"),
    "wrong stage": ({"smtpd_delay_reject": "no", "smtpd_client_restrictions": "reject_unauth_destination"},
                    r"smtpd_client_restrictions: reject_unauth_destination cannot work here"),
    "bad blocklist filter": ({"smtpd_client_restrictions": "reject_rbl_client list.example=127.0.0.[9..2]"},
                             r'reject_rbl_client: bad domain or filter "list.example=127.0.0.\[9..2\]"'),
    "open relay": ({"smtpd_relay_restrictions": "permit_mynetworks", "smtpd_recipient_restrictions": "permit, reject_unauth_destination"},
                   r"in parameter smtpd_relay_restrictions or smtpd_recipient_restrictions, specify at least one working instance of"),
    "only a warning": ({"smtpd_relay_restrictions": "warn_if_reject reject_unauth_destination"},
                       r"specify at least one working instance of"),
    "undefined class": ({"smtpd_restriction_classes": "mine"}, r"restriction class mine is not defined"),
    "class that opens": ({"smtpd_restriction_classes": "mine", "mine": "permit, reject", "smtpd_relay_restrictions": "mine"},
                         r"specify at least one working instance of"),
    "bare newline": ({"smtpd_forbid_bare_newline": "perhaps"}, r'smtpd_forbid_bare_newline: "perhaps" is none of'),
    "keyword": ({"smtpd_discard_ehlo_keywords": "chunkign"}, r'smtpd_discard_ehlo_keywords: unknown EHLO keyword "chunkign"'),
}


def foreground(mail, seconds=10):
    """Starts smtpd by hand; it ends by itself if it does not like its configuration."""
    mail.write()
    port = free_port()
    words = [str(DAEMONS / "smtpd"), "-d", "-c", str(mail.etc), "-n", "smtp", f"127.0.0.1:{port}"]
    return port, subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.parametrize("name", REFUSED)
def test_a_wrong_configuration_ends_the_start_and_is_named(instance, name):
    parameters, words = REFUSED[name]
    _, process = foreground(instance(main=parameters, start=False))
    try:
        said, _ = process.communicate(timeout=20 * PATIENCE)
    finally:
        process.kill()
    assert process.returncode == 78, said       # EX_CONFIG
    assert re.search(words, said), said


def test_by_hand_in_the_foreground_it_serves_and_ends_cleanly_when_told(instance):
    mail = instance(start=False)
    port, process = foreground(mail)
    try:
        def connected():
            try:
                return socket.create_connection(("127.0.0.1", port), timeout=20)
            except OSError:
                return None
        with wait_until(connected, 30, "listening") as client:
            client.settimeout(20 * PATIENCE)
            assert client.recv(200).startswith(b"220 mail.example.org")
            client.sendall(b"EHLO client.example\r\n")
            assert client.recv(2000).startswith(b"250-mail.example.org")
            client.sendall(b"QUIT\r\n")
            assert client.recv(200).startswith(b"221 ")
            assert client.recv(200) == b""
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=20 * PATIENCE)
    finally:
        process.kill()
    assert process.returncode == 0, said
    assert "ehlo=1 quit=1 commands=2" in said
    assert "Sanitizer" not in said, said


# ---- relay control ----

OWN = "permit_mynetworks, "
CLOSED = {
    "defaults": {},
    "rejecting": {"smtpd_relay_restrictions": OWN + "reject_unauth_destination"},
    "recipient list only": {"smtpd_relay_restrictions": "", "smtpd_recipient_restrictions": OWN + "reject_unauth_destination, permit"},
    "a permit elsewhere": {"smtpd_recipient_restrictions": "permit"},
    "permits in all other lists": {"smtpd_client_restrictions": "permit", "smtpd_helo_restrictions": "permit", "smtpd_sender_restrictions": "permit"},
    "a table that permits senders": {"smtpd_recipient_restrictions": "check_sender_access static:OK"},
    "a table that permits everything": {"smtpd_relay_restrictions": "reject_unauth_destination, check_recipient_access static:OK"},
    "a table that permits recipients first": {"smtpd_relay_restrictions": "check_recipient_access inline:{{relay.example=OK}}, reject_unauth_destination"},
    "relaying by class": {"smtpd_restriction_classes": "ours", "ours": "permit_auth_destination, reject",
                          "smtpd_relay_restrictions": OWN + "ours"},
    "catch-all recipients": {"smtpd_relay_restrictions": OWN + "permit_auth_destination, reject", "relay_recipient_maps": ""},
    "at once": {"smtpd_delay_reject": "no", "smtpd_sender_restrictions": "permit_mynetworks, reject_unlisted_sender"},
    "no percent hack": {"allow_percent_hack": "no", "swap_bangpath": "no"},
    "a broken table of networks": {"mynetworks": "fail:broken"},
    "broken relay domains": {"relay_domains": "fail:broken"},
}
STRANGE = ["victim@elsewhere.example", "victim%elsewhere.example@relay.example", "victim%elsewhere.example@mail.example.org",
           "elsewhere.example!victim@relay.example", "elsewhere.example!victim", "@relay.example:victim@elsewhere.example",
           "@mail.example.org,@relay.example:victim@elsewhere.example", '"victim@elsewhere.example"@relay.example',
           '"victim%elsewhere.example"@relay.example', "victim@elsewhere.example.", "victim@ELSEWHERE.EXAMPLE", "victim%elsewhere.example",
           "victim@[192.0.2.9]", '"victim@elsewhere.example"', "victim%elsewhere.example%relay.example@relay.example",
           "elsewhere.example!victim%relay.example@relay.example", "victim@xrelay.example", "victim@relay.example.elsewhere.example"]


@pytest.mark.parametrize("name", CLOSED)
def test_no_stranger_relays_whatever_way_he_writes_the_address(instance, name):
    main = {"mynetworks": "127.0.0.1", "relay_domains": "relay.example", "relayhost": "[127.0.0.1]:9", "smtpd_error_sleep_time": "0",
            "relay_recipient_maps": "inline:{user@relay.example=x}", "local_recipient_maps": "inline:{root=x}", "smtpd_hard_error_limit": "1000"}
    mail = instance(main={**main, **CLOSED[name]})
    with Client(mail, source="127.0.0.5") as client:
        assert client.reply() == 220
        assert client.ask("EHLO client.example") == 250
        assert client.ask("MAIL FROM:<root@mail.example.org>") == 250
        for address in STRANGE:
            code = client.ask(f"RCPT TO:<{address}>")
            assert code >= 400, f"{address}: {client.text}"
        if "broken" not in name:
            assert client.ask("RCPT TO:<user@relay.example>") == 250, client.text
            assert client.ask("RCPT TO:<root@mail.example.org>") == 250, client.text


# ---- neighbours that fail ----

class Client:
    """A bare SMTP client: what it sends and gets is up to the test."""

    def __init__(self, mail, source="127.0.0.1"):
        self.socket = socket.create_connection((mail.address, mail.smtp_port), timeout=60 * PATIENCE, source_address=(source, 0))
        self.file = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.file.close()
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def reply(self):
        """The code of the next reply, None at the end of the connection; the text of its last line in .text."""
        while True:
            try:
                line = self.file.readline()
            except ConnectionResetError:
                line = b""
            if not line:
                return None
            self.text = line.decode(errors="replace").rstrip("\r\n")
            if line[3:4] != b"-":
                return int(line[:3])

    def ask(self, line):
        self.send(line.encode() + b"\r\n")
        return self.reply()


def test_who_has_said_too_much_is_not_let_in_for_it(instance):
    """Of a name with N times "a" N tables want to keep a header; the doubt that comes behind them counts whether there is room for its words or not."""
    tables = [f"check_helo_access pcre:$config_directory/helo{number}" for number in range(60)]
    mail = instance(main={"smtpd_delay_reject": "no", "smtpd_helo_restrictions": ", ".join([*tables, "check_helo_access pcre:$config_directory/wait"]),
                          "mydestination": "example.org", "local_recipient_maps": "", "smtpd_hard_error_limit": "1000", "smtpd_soft_error_limit": "1000"}, start=False)
    for number in range(60):
        mail.file(f"helo{number}", f"/^p(a{{{number + 1}}}.*)$/ PREPEND X-Helo-{number}: $1\n")
    mail.file("wait", "/wait$/ DEFER_IF_PERMIT\n")
    mail.start()
    with Client(mail) as client:
        assert client.reply() == 220
        codes = []
        for number in [*range(0, 61, 4), *range(20, 41), 60, 1]:
            codes.append(client.ask(f"EHLO p{'a' * number}{'x' * 1400}.wait"))
            assert client.ask("MAIL FROM:<sender@example.net>") == (250 if codes[-1] == 250 else 503)
            assert client.ask("RCPT TO:<user@example.org>") == 450, client.text
        assert codes[0] == 250 and codes[-2:] == [451, 250]         # there is no room for more


def test_a_cleanup_that_dies_costs_one_message_a_451(instance):
    with Sink() as sink:
        mail = instance(main={"relayhost": f"[127.0.0.1]:{sink.port}"})
        mail.send("Subject: first\r\n\r\n")
        mail.wait_empty()
        with Client(mail) as client:
            assert client.reply() == 220
            assert client.ask("EHLO client.example") == 250
            for line, code in (("MAIL FROM:<a@example.net>", 250), ("RCPT TO:<b@example.com>", 250), ("DATA", 354)):
                assert client.ask(line) == code
            client.send(b"Subject: lost\r\n\r\n" + (b"x" * 70 + b"\r\n") * 20000)      # more than goes in one frame
            wait_until(lambda: any((mail.queue / "incoming").iterdir()), 30, "content under way")
            assert mail.kill("cleanup") >= 1
            client.send(b"\r\n.\r\n")
            assert client.reply() == 451, client.text
            # the session goes on
            for line, code in (("MAIL FROM:<a@example.net>", 250), ("RCPT TO:<b@example.com>", 250), ("DATA", 354)):
                assert client.ask(line) == code
            client.send(b"Subject: again\r\n\r\n.\r\n")
            code = client.reply()
            if code == 451:             # master may need a moment after a crash
                mail.wait_for_log("killed by signal 9")
            else:
                assert code == 250, client.text
        wait_until(lambda: len(sink.messages) >= 1, 30, "the others arrive")
        assert not any(b"Subject: lost" in message.content for message in sink.messages)


def test_dns_that_does_not_answer_means_later_and_never_no(instance):
    with DnsServer() as dns:
        dns.fail("silent.example", "DROP")
        dns.fail("5.0.0.127.in-addr.arpa", "SERVFAIL")
        mail = instance(main={"dns_resolver_addresses": dns.at, "unknown_address_reject_code": "550", "unknown_client_reject_code": "550",
                              "relayhost": "[127.0.0.1]:9", "smtpd_sender_restrictions": "reject_unknown_sender_domain",
                              "smtpd_helo_restrictions": "check_helo_access inline:{{strict.example=reject_unknown_client_hostname}}"})
        with Client(mail, source="127.0.0.5") as client:
            assert client.reply() == 220
            assert client.ask("EHLO client.example") == 250
            assert client.ask("MAIL FROM:<a@silent.example>") == 250
            assert client.ask("RCPT TO:<b@example.com>") == 450, client.text
            assert client.ask("EHLO strict.example") == 250
            assert client.ask("MAIL FROM:<>") == 250
            assert client.ask("RCPT TO:<b@example.com>") == 450, client.text
            assert "cannot find your hostname" in client.text


def test_all_that_a_blocklist_says_about_a_client_is_passed_on_up_to_500_bytes(instance):
    with DnsServer() as dns:
        dns.add("5.0.0.127.list.example", "A", "127.0.0.2")
        dns.add("5.0.0.127.list.example", "TXT", "first reason", "second reason")
        dns.add("6.0.0.127.list.example", "A", "127.0.0.2")
        dns.add("6.0.0.127.list.example", "TXT", "x" * 700)
        mail = instance(main={"dns_resolver_addresses": dns.at, "smtpd_client_restrictions": "reject_rbl_client list.example", "smtpd_delay_reject": "no"})
        said = {}
        for address in ("127.0.0.5", "127.0.0.6"):
            with Client(mail, source=address) as client:
                assert client.reply() == 554
                said[address] = client.text.strip().partition("list.example; ")[2]
        assert sorted(said["127.0.0.5"].split(" / ")) == ["first reason", "second reason"]
        assert said["127.0.0.6"] == "x" * 500


def test_etrn_brings_the_mail_that_waits(instance):
    port = free_port()
    mail = instance(main={"relayhost": f"[127.0.0.1]:{port}", "relay_domains": "later.example", "relay_recipient_maps": "",
                          "minimal_backoff_time": "600s", "queue_run_delay": "600s"})
    mail.send("Subject: later\r\n\r\n", recipients=["user@later.example"])
    mail.wait_for_log("status=deferred")
    wait_until(lambda: [entry["queue_name"] for entry in mail.queue_list()] == ["deferred"], 30, mail.log_tail)     # what is being delivered is left alone
    with Sink(port=port) as sink, Client(mail) as client:
        assert client.reply() == 220
        assert client.ask("EHLO client.example") == 250
        assert client.ask("ETRN later.example") == 250
        wait_until(lambda: sink.messages, 30, f"arrival\n{mail.log_tail()}")


def test_a_table_that_changes_is_followed(instance):
    mail = instance(start=False)
    table = mail.file("access", "user@example.com REJECT before\n")
    mail.main["smtpd_recipient_restrictions"] = f"check_recipient_access texthash:{table}"
    mail.start()
    with Client(mail) as client:
        assert client.reply() == 220
        assert client.ask("EHLO client.example") == 250
        assert client.ask("MAIL FROM:<a@example.net>") == 250
        assert client.ask("RCPT TO:<user@example.com>") == 554 and client.text.endswith("before")
        replacement = mail.file("access.new", "user@example.com REJECT after\n")
        os.utime(replacement, (1, time.time() + 5))
        replacement.rename(table)

        def changed():
            return client.ask("RSET") == 250 and client.ask("MAIL FROM:<a@example.net>") == 250 and \
                client.ask("RCPT TO:<user@example.com>") == 554 and client.text.endswith("after")
        wait_until(changed, 30, "the new table is used", pause=0.3)


def test_a_client_may_have_so_many_sessions_and_others_are_served(instance):
    mail = instance(main={"smtpd_client_connection_count_limit": "3", "smtpd_client_event_limit_exceptions": "127.0.0.9",
                          "worker_processes": "1"})
    clients = [Client(mail, source="127.0.0.5") for _ in range(3)]
    assert [client.reply() for client in clients] == [220] * 3
    with Client(mail, source="127.0.0.5") as fourth:
        assert fourth.reply() == 421 and fourth.text == "421 4.7.0 mail.example.org Error: too many connections from 127.0.0.5"
        assert fourth.reply() is None
    mail.wait_for_log(r"warning: Connection concurrency limit exceeded: 4 from unknown\[127.0.0.5\] for service ")
    with Client(mail, source="127.0.0.6") as another:
        assert another.reply() == 220
    exempt = [Client(mail, source="127.0.0.9") for _ in range(5)]
    assert [client.reply() for client in exempt] == [220] * 5
    clients[0].ask("QUIT")
    clients[0].__exit__()

    def there_is_room_again():
        with Client(mail, source="127.0.0.5") as again:
            return again.reply() == 220
    wait_until(there_is_room_again, 30, "room for another session")
    for client in clients[1:] + exempt:
        client.__exit__()


def test_a_stop_tells_idle_sessions_so_and_does_not_wait_for_them(instance):
    mail = instance(main={"stop_time_limit": "120s"})
    with Client(mail) as idle:
        assert idle.reply() == 220
        assert idle.ask("EHLO client.example") == 250
        begin = time.monotonic()
        mail.stop()
        assert time.monotonic() - begin < 100
        assert idle.reply() == 421 and idle.text == "421 4.3.2 mail.example.org Service shutting down"
        assert idle.reply() is None
    mail.wait_for_log(r"disconnect from .* ehlo=1 commands=1")


def test_a_reload_leaves_sessions_alone(instance):
    mail = instance()
    with Client(mail) as client:
        assert client.reply() == 220
        assert client.ask("EHLO client.example") == 250
        mail.reload()
        mail.wait_for_log("reload -- version")
        assert client.ask("NOOP") == 250
        with Client(mail) as other:
            assert other.reply() == 220
        assert client.ask("QUIT") == 221


# ---- hostile clients ----

def script_bytes(script):
    """Everything that a dialogue's client sends."""
    sent = b""
    for _, word, rest in script.steps:
        if word in ("C:", "C-"):
            sent += unescape(rest) + (b"\r\n" if word == "C:" else b"")
    return sent


def resident_kib(mail):
    sizes = []
    for pid in mail.pids("smtpd"):
        with open(f"/proc/{pid}/status") as status:
            sizes.append(int(re.search(r"VmRSS:\s+(\d+)", status.read()).group(1)))
    return max(sizes)


HOSTILE = {
    "a line without end": (b"NOOP ", b"x" * 65536, 1000),
    "a verb without end": (b"", b"X" * 65536, 1000),
    "tiny chunks": (b"MAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.com>\r\n", b"BDAT 1\r\nx" * 1000, 100),
    "content without end": (b"MAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n", b"y" * 65536, 1000),
    "recipients without end": (b"MAIL FROM:<a@example.net>\r\n", b"RCPT TO:<b@example.com>\r\n" * 1000, 50),
    "only line ends": (b"", b"\r\n" * 1000, 10),
    "parameters without end": (b"MAIL FROM:<a@example.net>" + b" SIZE=1" * 200 + b"\r\n", b"RSET\r\n", 50),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_memory_stays_bounded_whatever_a_client_sends(instance, name):
    first, piece, times = HOSTILE[name]
    mail = instance(main={"smtpd_error_sleep_time": "0", "relayhost": "[127.0.0.1]:9", "smtpd_timeout": "60s", "worker_processes": "1"})
    with Client(mail) as client:
        assert client.reply() == 220
        assert client.ask("EHLO client.example") == 250
        before = resident_kib(mail)
        client.socket.settimeout(20)
        try:
            client.send(first)
            if b"DATA" in first:
                assert [client.reply() for _ in range(3)] == [250, 250, 354]
            for _ in range(times):
                client.send(piece)
                client.socket.setblocking(False)
                try:
                    while client.socket.recv(65536):
                        pass
                except BlockingIOError:
                    pass
                client.socket.settimeout(20)
        except OSError:
            pass                        # the server had enough, which is one right answer
        wait_until(lambda: mail.pids("smtpd"), 30)
        assert resident_kib(mail) - before < (8 << 10 if not SANITIZED else 64 << 10)
    with Client(mail) as client:        # and others are served
        assert client.reply() == 220


def mutate(dice, data):
    """A few changes to bytes that once were good."""
    data = bytearray(data)
    for _ in range(dice.randrange(1, 6)):
        at = dice.randrange(len(data) + 1)
        kind = dice.randrange(5)
        if kind == 0:
            data[at:at + dice.randrange(1, 20)] = b""
        elif kind == 1:
            data[at:at] = bytes(dice.choice(b"\r\n\0<>@:;\\\"%!+=[]{}(),. \t\xff\xc3\x80a0") for _ in range(dice.randrange(1, 9)))
        elif kind == 2 and data:
            data[at % len(data)] = dice.randrange(256)
        elif kind == 3:
            data[at:at] = data[at - 40:at] * dice.randrange(1, 30)
        else:
            data[at:at] = dice.choice([b"\r\n.\r\n", b"BDAT 4 LAST\r\n", b"RSET\r\n", b"DATA\r\n", b"XCLIENT ADDR=", b"9" * 30, b"+0A"])
    return bytes(data)


def test_mutated_dialogues_do_not_hurt(instance):
    dice = random.Random(seed())
    mail = instance(main={"smtpd_error_sleep_time": "0", "smtpd_hard_error_limit": "1000", "smtpd_soft_error_limit": "1000",
                          "smtpd_timeout": "2s", "relayhost": "[127.0.0.1]:9", "worker_processes": "1", "smtpd_forbid_unauth_pipelining": "no",
                          "relay_domains": "relay.example",
                          "relay_recipient_maps": "", "smtpd_authorized_xclient_hosts": "127.0.0.0/8",
                          "smtpd_sender_restrictions": "check_sender_access inline:{{evil@example.net=REDIRECT x@relay.example}}",
                          "smtpd_data_restrictions": "reject_multi_recipient_bounce", "defer_transports": "smtp relay"})
    talk = [script_bytes(script) for script in scripts()]
    with Client(mail) as client:
        assert client.reply() == 220
    before = mail.pids("smtpd")
    for number in range(400 if not SANITIZED else 150):
        with Client(mail) as client:
            assert client.reply() == 220
            try:
                client.send(b"EHLO client.example\r\n")
                client.reply()
                client.send(mutate(dice, dice.choice(talk)))
                client.socket.shutdown(socket.SHUT_WR)
                while client.file.read(65536):
                    pass
            except (BrokenPipeError, ConnectionResetError):
                pass
    assert mail.pids("smtpd") == before, f"seed {seed()}\n{mail.log_tail()}"


# ---- costs ----

def test_replies_to_a_pipelined_group_come_in_one_piece(instance):
    mail = instance()
    with Client(mail) as client:
        assert client.reply() == 220
        assert client.ask("EHLO client.example") == 250
        client.send(b"MAIL FROM:<a@example.net>\r\n" + b"RCPT TO:<b@example.com>\r\n" * 20 + b"DATA\r\n")
        replies = client.socket.recv(65536)
        assert replies.count(b"\r\n") == 22 and replies.endswith(b"354 End data with <CR><LF>.<CR><LF>\r\n"), replies


@pytest.mark.skipif(SANITIZED, reason="sanitizers need memory of their own")
def test_an_idle_session_costs_less_than_sixteen_kibibytes(instance):
    count = 500
    mail = instance(main={"worker_processes": "1"})

    def open_sessions(n):
        clients = [Client(mail) for _ in range(n)]
        for client in clients:
            assert client.reply() == 220
            assert client.ask("EHLO client.example") == 250
        return clients
    clients = open_sessions(20)
    before = resident_kib(mail)
    clients += open_sessions(count)
    wait_until(lambda: (resident_kib(mail) - before) / count < 16, 30, "memory per session")
    for client in clients:
        client.__exit__()


# ---- what the end of data may still ask for ----

@pytest.mark.parametrize("size", [1000, 300000])
def test_actions_at_the_end_of_data_reach_small_and_streamed_messages(instance, size):
    with Sink() as sink, Sink() as filter_:
        actions = {"hold": "HOLD", "redirect": "REDIRECT other@relay.example", "bcc": "BCC copy@relay.example",
                   "filter": f"FILTER smtp:[127.0.0.1]:{filter_.port}", "discard": "DISCARD"}
        rows = " ".join(f"{{{name}@example.net={action}}}" for name, action in actions.items())
        mail = instance(main={"relayhost": f"[127.0.0.1]:{sink.port}", "smtpd_end_of_data_restrictions": f"check_sender_access inline:{{{rows}}}"})
        text = "Subject: x\n\n" + "0123456789" * 6 * (size // 60)
        text = re.sub("(.{60})", r"\1\n", text)
        ids = {name: mail.send(text, sender=f"{name}@example.net", recipients=["a@relay.example", "b@relay.example"]) for name in actions}
        for name in ("redirect", "bcc", "filter"):
            mail.wait_for_log(f"{ids[name]}: removed")
        got = {m.sender.partition(">")[0]: sorted(r.partition(">")[0] for r in m.recipients) for m in sink.messages}
        assert got == {"<redirect@example.net": ["<other@relay.example"],
                       "<bcc@example.net": ["<a@relay.example", "<b@relay.example", "<copy@relay.example"]}
        assert len(filter_.messages) == 1 and len(filter_.messages[0].recipients) == 2
        assert [path.name for path in (mail.queue / "hold").rglob("*") if path.is_file()] == [ids["hold"]]
        mail.command("postsuper", "-d", "ALL")


@pytest.mark.parametrize("stage", ["sender", "end_of_data"])
@pytest.mark.parametrize("size", [1000, 300000])
def test_what_is_redirected_goes_nowhere_else(instance, stage, size):
    # access(5): it overrides FILTER, and all recipients
    with Sink() as sink, Sink() as filter_:
        check = "check_sender_access inline:{{a@example.net=REDIRECT other@relay.example}}"
        mail = instance(main={"relayhost": f"[127.0.0.1]:{sink.port}", "content_filter": f"smtp:[127.0.0.1]:{filter_.port}", "always_bcc": "all@relay.example",
                              f"smtpd_{stage}_restrictions": check, "smtpd_helo_restrictions": "check_helo_access static:{BCC copy@relay.example}",
                              "header_checks": "static:{BCC too@relay.example}"})
        mail.send("Subject: x\n\n" + "0123456789\n" * (size // 11), sender="a@example.net", recipients=["a@relay.example", "b@relay.example"])
        mail.wait_for_log(": removed")
        assert [recipient.partition(">")[0] for message in sink.messages for recipient in message.recipients] == ["<other@relay.example"]
        assert not filter_.messages
        mail.wait_for_log("to=<other@relay.example>, orig_to=<a@relay.example>, ")


def test_a_cleanup_service_that_is_not_there_is_named_in_the_log(instance):
    mail = instance(main={"cleanup_service_name": "nowhere"})
    with mail.client() as client, pytest.raises(smtplib.SMTPDataError, match="queue file write error"):
        client.sendmail("a@example.net", ["user@example.org"], "Subject: s\r\n\r\nbody\r\n")
    mail.wait_for_log(r"smtpd\[\d+\]: warning: service public/nowhere: No such file or directory")
