# SPDX-License-Identifier: ISC
"""How often a client may do what, and how many sessions it may have: counted by anvil for all processes of a service together, with the words of Postfix."""

import contextlib
import os
import re
import signal
import socket
import ssl

import pytest

from auth_server import AuthServer, Raw
from certificates import Authority
from instance import Instance, free_port, wait_until

SASL = {"smtpd_sasl_auth_enable": "yes", "smtpd_sasl_type": "dovecot"}
COUNTED = {"smtpd_client_event_limit_exceptions": "", "mydestination": "example.org", "local_transport": "discard:", "default_transport": "discard:",
           "smtpd_soft_error_limit": "100", "smtpd_hard_error_limit": "200", "anvil_rate_time_unit": "1h"}
LIMITS = {"smtpd_client_auth_rate_limit": "2", "smtpd_client_message_rate_limit": "4", "smtpd_client_recipient_rate_limit": "5",
          "smtpd_client_connection_rate_limit": "8", "smtpd_client_new_tls_session_rate_limit": "2"}
LOGIN = "AUTH PLAIN AGphbmUAd3Jvbmc="


def services(settings):
    """A port for each name, and the rows of master.cf."""
    ports = {name: free_port() for name in settings}
    return ports, "".join(f"127.0.0.1:{ports[name]} inet n - n - - smtpd\n" + "".join(f"  -o {key}={value}\n" for key, value in options.items())
                          for name, options in settings.items())


@pytest.fixture(scope="module")
def auth():
    with AuthServer() as one:
        yield one


@pytest.fixture(scope="module")
def world(auth, tmp_path_factory):
    tls = {"smtpd_tls_chain_files": Authority(tmp_path_factory.mktemp("ca")).chain_file("server"), "smtpd_tls_wrappermode": "yes", "smtpd_client_new_tls_session_rate_limit": "2"}
    limits = {name: {f"smtpd_client_{name}_rate_limit": "6"} for name in ("auth", "message", "recipient", "connection")}
    limits["sessions"] = {"smtpd_client_connection_count_limit": "3", "smtpd_client_port_logging": "yes"}
    ports, rows = services({**limits, "tls": tls, "exempt": {"smtpd_client_auth_rate_limit": "1", "smtpd_client_event_limit_exceptions": "127.0.0.1"}})
    with Instance(main={**SASL, **COUNTED, "smtpd_sasl_path": auth.path, "worker_session_limit": "1", "anvil_status_update_time": "1s"}, master=rows) as mail:
        yield mail, ports


def workers(mail, port):
    """The processes that have turned away a client of this service."""
    return {re.search(r"smtpd\[(\d+)\]", line).group(1) for line in mail.log_lines(r" smtpd\[|/smtpd\[") if f"service 127.0.0.1:{port}" in line}


WORDS = {"auth": ("AUTH command", "too many AUTH commands from 127.0.0.1"), "message": ("Message delivery request", "too much mail from 127.0.0.1"),
         "recipient": ("Recipient address", "too many recipients from 127.0.0.1")}


@pytest.mark.parametrize("what", WORDS)
def test_all_processes_count_together(world, what):
    """Each of twelve clients at once, each served by a process of its own, does it once: six are heard."""
    mail, ports = world
    name, words = WORDS[what]
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Raw(mail, ports[what])) for _ in range(12)]
        if what == "recipient":
            assert {client.say("MAIL FROM:<a@example.net>")[0] for client in clients} == {250}
        command = {"auth": LOGIN, "message": "MAIL FROM:<a@example.net>", "recipient": "RCPT TO:<b@example.org>"}[what]
        replies = [client.say(command) for client in clients]
    assert replies.count((450, [f"4.7.1 Error: {words}"])) == 6
    assert {code for code, _ in replies} == {450, 535 if what == "auth" else 250}
    mail.wait_for_log(rf"warning: {name} rate limit exceeded: 12 from \S+\[127.0.0.1\] for service 127.0.0.1:{ports[what]}$")
    wait_until(lambda: len(workers(mail, ports[what])) == 6, 30, lambda: f"six processes say so\n{mail.log_tail()}")


def test_connections_are_counted_too(world):
    mail, ports = world

    def connect():
        with Raw(mail, ports["connection"], hello=False) as client:
            return client.say("QUIT")[0]
    with contextlib.suppress(ConnectionError):
        assert [connect() for _ in range(6)] == [221] * 6
        connect()
    mail.wait_for_log(rf"warning: Connection rate limit exceeded: 7 from \S+\[127.0.0.1\] for service 127.0.0.1:{ports['connection']}$")


def greeted_over_tls(mail, port, context, session=None):
    """What the server says first, and the session, to be resumed."""
    with socket.create_connection((mail.address, port), timeout=60) as plain, context.wrap_socket(plain, session=session) as safe, safe.makefile("rb") as replies:
        return replies.readline()[:4], safe.session


def test_resumed_tls_sessions_are_not_counted(world):
    mail, ports = world
    context = ssl._create_unverified_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2            # there the session is known when the handshake ends
    said, session = greeted_over_tls(mail, ports["tls"], context)
    assert {said} | {greeted_over_tls(mail, ports["tls"], context, session)[0] for _ in range(5)} == {b"220 "}
    assert [greeted_over_tls(mail, ports["tls"], context)[0] for _ in range(2)] == [b"220 ", b"421 "]
    with pytest.raises(OSError):                                # no handshake is begun any more
        greeted_over_tls(mail, ports["tls"], context, session)
    mail.wait_for_log(rf"warning: Refusing TLS service request from \S+\[127.0.0.1\] for service 127.0.0.1:{ports['tls']}$")


def test_sessions_in_all_processes_are_counted_until_they_end_or_their_process_does(world):
    mail, ports = world

    def connect(n):
        """So many sessions, each of them heard; else nothing."""
        clients = [Raw(mail, ports["sessions"], hello=False) for _ in range(n)]
        if {client.greeting[0] for client in clients} == {220}:
            return clients
        for client in clients:
            client.close()

    def kill_worker(client):
        *_, line = mail.wait_for_log(rf"smtpd\[\d+\]: connect from \S+:{client.sock.getsockname()[1]}$")
        os.kill(int(re.search(r"smtpd\[(\d+)\]", line).group(1)), signal.SIGKILL)
    for end in (lambda client: client.say("QUIT"), kill_worker):
        clients = wait_until(lambda: connect(3), 60, "what was before does not count")
        with Raw(mail, ports["sessions"], hello=False) as fourth:
            assert fourth.greeting == (421, ["4.7.0 mail.example.org Error: too many connections from 127.0.0.1"])
        end(clients[0])
        clients += wait_until(lambda: connect(1), 60, "what has ended does not count")
        for client in clients:
            client.close()
    mail.wait_for_log(rf"warning: Connection concurrency limit exceeded: 4 from \S+\[127.0.0.1\]:\d+ for service 127.0.0.1:{ports['sessions']}$", 2)
    mail.wait_for_log(r"anvil\[\d+\]: statistics: max connection count \d+ for \(127.0.0.1:\d+:127.0.0.1\) at ")


def test_who_has_few_sessions_costs_anvil_nothing(tmp_path):
    """Two processes keep up to three sessions each to themselves, of fifty."""
    with Instance(main={"mynetworks": "192.0.2.1", "worker_processes": "2"}) as mail:
        for _ in range(5):
            with Raw(mail) as client:
                assert client.say("QUIT")[0] == 221
        assert not mail.pids("anvil")
        for _ in range(2):
            clients = wait_until(lambda: crowd(mail, 50), 60, "what has ended does not count", pause=0.5)
            more = [Raw(mail, hello=False) for _ in range(12)]
            greetings = [client.greeting[0] for client in more]     # whom one process refuses the other may serve, of its three
            assert set(greetings) <= {220, 421} and greetings.count(220) <= 2 * 3
            for client in clients + more:
                client.close()
        assert mail.pids("anvil")


def crowd(mail, n):
    """So many sessions, each of them heard; else nothing."""
    clients = [Raw(mail, hello=False) for _ in range(n)]
    if {client.greeting[0] for client in clients} == {220}:
        return clients
    for client in clients:
        client.close()


def test_some_are_not_counted(world):
    mail, ports = world
    with Raw(mail, ports["exempt"]) as client:
        assert [client.say(LOGIN)[0] for _ in range(3)] == [535] * 3


def test_the_log_has_the_highest_rates(world):
    mail, ports = world
    mail.wait_for_log(rf"anvil\[\d+\]: statistics: max auth rate \d+/3600s for \(127.0.0.1:{ports['auth']}:127.0.0.1\) at \w+ +\d+ \d\d:\d\d:\d\d$")
    mail.wait_for_log(r"anvil\[\d+\]: statistics: max cache size \d at ")


def test_without_anvil_nobody_is_kept_out(world):
    """Last: what anvil knew is gone with it."""
    mail, ports = world
    assert mail.kill("anvil") == 1
    wait_until(lambda: not mail.pids("anvil") or mail.log_lines(r"anvil pid \d+ killed by signal 9"), 30, "its end")
    with Raw(mail, ports["auth"]) as client:
        assert client.say(LOGIN)[0] == 535


DIALOGUES = [
    ["EHLO a.b", LOGIN, "AUTH", LOGIN, "AUTH NOSUCH"],
    ["EHLO a.b", "MAIL", "MAIL FROM:<", "MAIL FROM:<a@example.net>", "MAIL FROM:<a@example.net>", "RCPT", "RCPT TO:<", "RCPT TO:<b@elsewhere.example>",
     *["RCPT TO:<b@example.org>"] * 6, "DATA", "Subject: x\r\n\r\nx\r\n.", "MAIL FROM:<a@example.net>", "RCPT TO:<b@example.org>"],
    ["EHLO a.b", *["MAIL FROM:<a@example.net>", "RSET"] * 4, "VRFY", "VRFY b@example.org"],
]


def converse(mail, dialogue):
    said = []
    with Raw(mail, hello=False) as client:
        for line in dialogue:
            code, text = client.say(line)
            said.append((code, [re.sub("Postroad|Postfix|queued as .*", "", line) for line in text]))
            if code == 421:
                assert client.file.readline() == b"", "the connection ends"
                break
    return said


def new_tls_session(mail, authority):
    """The replies to STARTTLS and to EHLO behind it."""
    with Raw(mail) as client:
        code, text = client.say("STARTTLS")
        if code != 220:
            return code, text
        client.sock = ssl.create_default_context(cafile=str(authority.certificate)).wrap_socket(client.sock, server_hostname="localhost")
        client.file = client.sock.makefile("rb")
        client.tell("EHLO client.example")
        code, text = client.reply()
        return code, text if code != 250 else []


def greeting(mail):
    with socket.create_connection((mail.address, mail.smtp_port), timeout=60) as client:
        return client.makefile().readline()


@pytest.mark.root
def test_replies_and_log_lines_are_those_of_postfix(auth, tmp_path):
    from postfix import Postfix
    authority = Authority(tmp_path)
    main = {"smtpd_tls_chain_files": authority.chain_file("server"), "smtpd_tls_security_level": "may", **SASL, **COUNTED, **LIMITS, "smtpd_sasl_path": auth.path, "mynetworks": "192.0.2.1"}
    with Instance(main=main) as mail, Postfix(main=main) as postfix:
        for dialogue in DIALOGUES:
            assert converse(mail, dialogue) == converse(postfix, dialogue), dialogue
        sessions = [new_tls_session(mail, authority) for _ in range(4)]
        assert sessions == [new_tls_session(postfix, authority) for _ in range(4)]
        assert [code for code, _ in sessions] == [250, 250, 421, 454]
        assert greeting(mail).startswith("220 ") and greeting(postfix).startswith("220 ")
        assert greeting(mail) == greeting(postfix) == "421 4.7.0 mail.example.org Error: too many connections from 127.0.0.1\n"

        def told(one):
            return [re.sub(r".*?smtpd\[\d+\]: |service .*", "", line) for line in one.log_lines("rate limit exceeded|Refusing STARTTLS")]
        wait_until(lambda: told(mail) == told(postfix) and len(told(mail)) > 8, 30, lambda: (told(mail), told(postfix)))
