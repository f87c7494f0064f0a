# SPDX-License-Identifier: ISC
"""Passwords do not stay: what has been said in AUTH, by clients to us and by us to servers, is nowhere in our processes' memory when the login is over."""

import base64
import re
import socket
import ssl
from pathlib import Path

import pytest

from auth_server import AuthServer, Raw
from certificates import Authority
from instance import SANITIZED, Instance, wait_until
from test_sasl_client import AuthSink

pytestmark = pytest.mark.skipif(SANITIZED, reason="sanitizers keep what was freed, and map more memory than can be looked through")
PASSWORD = "Peregrinus-4711-xyzzy"


def b64(text):
    return base64.b64encode(text.encode()).decode()


# As it is, and as it is said; of what is base64 a piece in the middle, since the beginning of a freed block is malloc's
SECRETS = {name: text.encode() for name, text in {
    "the password": PASSWORD[8:], "LOGIN": b64(PASSWORD)[8:-4], "PLAIN": b64(f"\0jane\0{PASSWORD}")[16:-4]}.items()}


def memory(pid):
    """All that a process may write to, mapping by mapping."""
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as file:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            start, end, rights, name = re.match(r"(\w+)-(\w+) (\S+) \S+ \S+ \S+ *(.*)", line).groups()
            if rights.startswith("rw") and not name.startswith("[v"):
                file.seek(int(start, 16))
                try:
                    yield name, file.read(int(end, 16) - int(start, 16))
                except OSError:
                    pass                # a guard page


def found(mail, program):
    return [(name, where, content[max(0, at - 60):at + 60]) for pid in mail.pids(program) for where, content in memory(pid)
            for name, secret in SECRETS.items() for at in [content.find(secret)] if at >= 0]


def check(server, connection, words):
    """A user with that password, by PLAIN, or by LOGIN in two steps."""
    said = words[-1].partition("=")[2] if words[-1].startswith("resp=") else words[-1]
    if words[0] == "AUTH" and not words[-1].startswith("resp="):
        return connection.sendall(f"CONT\t{words[1]}\t{b64('Password:')}\n".encode())
    right = said in (b64(PASSWORD), b64(f"\0jane\0{PASSWORD}"))
    return connection.sendall(f"OK\t{words[1]}\tuser=jane\n".encode() if right else f"FAIL\t{words[1]}\tuser=jane\n".encode())


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    ca = Authority(tmp_path_factory.mktemp("ca"))
    sink = AuthSink("PLAIN LOGIN", user="jane", password=PASSWORD)
    with AuthServer(answer=check) as auth:
        with Instance(main={
                "smtpd_sasl_auth_enable": "yes", "smtpd_sasl_type": "dovecot", "smtpd_sasl_path": auth.path, "smtpd_soft_error_limit": "100",
                "smtpd_tls_chain_files": ca.chain_file("server"), "smtpd_tls_security_level": "may", "worker_processes": "1",
                "smtpd_discard_ehlo_keyword_address_maps": "inline:{192.0.2.1=etrn}", "smtp_connection_cache_time_limit": "1000s",
                "smtp_sasl_auth_enable": "yes", "smtp_sasl_security_options": "noanonymous", "smtp_sasl_password_maps": "proxy:texthash:$config_directory/passwords",
                "transport_maps": f"inline:{{ {{ relay.example = smtp:[127.0.0.1]:{sink.port} }} }}"}) as mail:
            mail.file("passwords", f"[127.0.0.1]:{sink.port} jane:{PASSWORD}\n")
            yield mail, ca
    sink.close()


def say_passwords(client):
    for command in (f"AUTH PLAIN {b64(f'{chr(0)}jane{chr(0)}{PASSWORD}')}x", "AUTH PLAIN * " + PASSWORD, f"AUTH LOGIN {b64(PASSWORD)}=="):
        assert client.say(command)[0] >= 500
    assert client.say("AUTH LOGIN")[0] == 334
    assert client.say(b64(PASSWORD) + "A===")[0] == 535
    assert client.say("AUTH LOGIN")[0] == 334
    assert client.say(b64(PASSWORD) + "A" * 13000)[0] == 500
    assert client.say("AUTH LOGIN")[0] == 334
    assert client.say(b64(PASSWORD))[0] == 235
    assert client.say(f"AUTH PLAIN {b64(f'{chr(0)}jane{chr(0)}{PASSWORD}')}")[0] == 503


@pytest.mark.parametrize("way", ("in the clear", "behind TLS"))
def test_what_a_client_said_does_not_stay(world, way):
    mail, ca = world
    with Raw(mail) as client:
        if way == "behind TLS":
            assert client.say("STARTTLS")[0] == 220
            client.sock = ssl.create_default_context(cafile=str(ca.certificate)).wrap_socket(client.sock, server_hostname="localhost")
            client.file = client.sock.makefile("rb")
            assert client.say("EHLO client.example")[0] == 250
        say_passwords(client)
        wait_until(lambda: not found(mail, "smtpd"), 30, lambda: found(mail, "smtpd"))      # it may be about to wipe it when the answer is here
    with Raw(mail) as client:           # all in one line, and right: tables about clients are asked again
        assert client.login(password=PASSWORD)[0] == 235
        wait_until(lambda: not found(mail, "smtpd"), 30, lambda: found(mail, "smtpd"))
    for first in ("AUTH LOGIN\r\n" + b64(PASSWORD), "EHLO x\r\nNOOP\r\naUTH PLAIN " + b64(PASSWORD)):
        with Raw(mail) as client:       # ahead of its time, which is noted in the log
            client.tell(first)
            assert client.reply()[0] == 554
    with Raw(mail) as client:           # in pieces, and broken off
        client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line = f"AUTH PLAIN {b64(f'{chr(0)}jane{chr(0)}{PASSWORD}')}"
        for end in range(0, len(line), 8):
            client.sock.sendall(line[end:end + 8].encode())
        wait_until(lambda: found(mail, "smtpd"), 30, "a piece of it: who looks for it finds it")
    wait_until(lambda: not found(mail, "smtpd"), 30, lambda: found(mail, "smtpd"))


@pytest.mark.root
def test_who_hears_passwords_leaves_no_core_file_and_lets_nobody_look(world):
    """A process that has given up root's rights is not dumpable: its files in /proc are root's."""
    mail, _ = world
    for pid in mail.pids("smtpd"):
        assert Path(f"/proc/{pid}/status").read_text().split("Uid:")[1].split()[0] != "0"
        assert Path(f"/proc/{pid}/maps").stat().st_uid == 0


def test_what_we_said_does_not_stay(world):
    mail, _ = world
    queue_id = mail.send("Subject: x\r\n\r\nx\r\n", recipients=["someone@relay.example"])
    line, *_ = mail.wait_for_log(rf"{queue_id}: to=<someone@relay.example>.* status=", timeout=60)
    assert "status=sent" in line
    wait_until(lambda: not found(mail, "smtp"), 30, lambda: found(mail, "smtp"))


def test_nothing_of_it_is_in_the_log(world):
    mail, _ = world
    mail.wait_for_log("improper command pipelining after AUTH")
    log = mail.log().encode()
    assert not [name for name, secret in SECRETS.items() if secret in log]
