# SPDX-License-Identifier: ISC
"""Clients that authenticate: with a real Dovecot, beside Postfix itself, with authentication servers and clients that do what they should not."""

import base64
import re

import pytest

from auth_server import AuthServer, Raw
from instance import Instance, free_port, wait_until
from peers import Dovecot

SASL = {"smtpd_sasl_auth_enable": "yes", "smtpd_sasl_type": "dovecot", "smtpd_soft_error_limit": "100", "smtpd_hard_error_limit": "200",
        "mynetworks": "192.0.2.1", "mydestination": "example.org"}


def b64(text):
    return base64.b64encode(text.encode()).decode()


GOOD, BAD = b64("\0jane\0secret"), b64("\0jane\0wrong")

OWNERLESS = free_port()


@pytest.fixture(scope="module")
def dovecot():
    with Dovecot() as one:
        yield one


@pytest.fixture(scope="module")
def mail(dovecot):
    """One server for all tests that need nothing special; jane may send as what the tables say."""
    with Instance(main={**SASL, "smtpd_sasl_path": dovecot.auth_socket, "smtpd_authorized_xclient_hosts": "127.0.0.1",
                        "smtpd_restriction_classes": "users,known,authed,unauthed,access",
                        "users": "reject_sender_login_mismatch", "known": "reject_known_sender_login_mismatch",
                        "authed": "reject_authenticated_sender_login_mismatch", "unauthed": "reject_unauthenticated_sender_login_mismatch",
                        "access": "check_sasl_access inline:{jane=REJECT-not-jane}",
                        "smtpd_sender_login_maps": "inline:{ {jane@example.net = jane} {joint@example.net = joe, JANE} {@example.com = jane} "
                                                   "{other@example.net = joe} {local = jane} }",
                        "smtpd_sender_restrictions": "check_recipient_access inline:{ users@example.org=users known@example.org=known "
                                                     "authed@example.org=authed unauthed@example.org=unauthed "
                                                     "access@example.org=access }",
                        "default_transport": "discard", "local_transport": "discard"},
                  master=f"127.0.0.1:{OWNERLESS} inet n - n - - smtpd\n  -o smtpd_sender_login_maps= -o smtpd_sender_restrictions=reject_sender_login_mismatch\n") as one:
        yield one


# ---- the dialogue ----

def test_a_user_sends_mail_elsewhere_and_the_log_says_who(mail):
    with Raw(mail) as client:
        assert "AUTH PLAIN LOGIN CRAM-MD5 SCRAM-SHA-256" in client.capabilities
        assert client.say("MAIL FROM:<jane@example.net>")[0] == 250
        assert client.say("RCPT TO:<there@elsewhere.example>")[0] == 454
        assert client.say("RSET")[0] == 250
        assert client.login() == (235, ["2.7.0 Authentication successful"])
        assert client.say("MAIL FROM:<jane@example.net> AUTH=ja+2Bne@example.net")[0] == 250
        assert client.say("RCPT TO:<there@elsewhere.example>")[0] == 250
        assert client.say("DATA")[0] == 354
        queue_id = re.search("queued as (\\S+)", client.say("Subject: x\r\n\r\nx\r\n.")[1][0]).group(1)
    mail.wait_for_log(rf"{queue_id}: client=\S+\[127.0.0.1\], sasl_method=PLAIN, sasl_username=jane, sasl_sender=ja\+ne@example.net$")
    with Raw(mail) as client:           # the next session begins anew
        assert client.say("MAIL FROM:<jane@example.net> AUTH=x@example.net")[0] == 250
        assert client.say("RCPT TO:<there@elsewhere.example>")[0] == 454
        assert client.say("RCPT TO:<here@example.org>")[0] == 250
    line = mail.wait_for_log(r"client=\S+\[127.0.0.1\]$")[0]
    assert "sasl" not in line


DIALOGUES = [
    ["EHLO a.b", f"AUTH PLAIN {GOOD}", "EHLO a.b", f"AUTH PLAIN {GOOD}", "RSET", "MAIL FROM:<a@example.net> AUTH=<>", f"AUTH PLAIN {GOOD}"],
    ["HELO a.b", f"AUTH PLAIN {GOOD}"], [f"AUTH PLAIN {GOOD}"],
    ["EHLO a.b", f"AUTH PLAIN {BAD}", f"AUTH PLAIN {GOOD}"],
    ["EHLO a.b", "AUTH PLAIN", GOOD], ["EHLO a.b", "AUTH PLAIN", BAD], ["EHLO a.b", "AUTH PLAIN =", "RSET"], ["EHLO a.b", "AUTH PLAIN", "", "RSET"],
    ["EHLO a.b", "AUTH PLAIN", "*", "AUTH PLAIN", "*", f"AUTH PLAIN {GOOD}"], ["EHLO a.b", "AUTH PLAIN", "!!!", "RSET"],
    ["EHLO a.b", "AUTH PLAIN !!!", "RSET"], ["EHLO a.b", "AUTH LOGIN", b64("jane"), b64("secret")], ["EHLO a.b", "AUTH LOGIN", b64("jane"), b64("wrong")],
    ["EHLO a.b", f"AUTH login {b64('jane')}", "*"], ["EHLO a.b", f"AUTH LOGIN {b64('jane')}", b64("secret"), "AUTH"],
    ["EHLO a.b", "AUTH", "AUTH PLAIN x y", "AUTH NOSUCH", "AUTH NOSUCH x", "AUTH EXTERNAL =", f"AUTH ANONYMOUS {b64('me')}", "AUTH PLAIN\x01user x"],
    ["EHLO a.b", "MAIL FROM:<a@example.net>", f"AUTH PLAIN {GOOD}"], ["EHLO a.b", "AUTH PLAIN", "A" * 8100, "NOOP"],
    ["EHLO a.b", "AUTH PLAIN", "A" * 12289, "NOOP"], ["EHLO a.b", "AUTH PLAIN", "A" * 40000, "NOOP"], ["EHLO a.b", "AUTH PLAIN " + "A" * 2000, "NOOP"],
    ["EHLO a.b", "AUTH PLAIN ", "*", "NOOP"], ["EHLO a.b", "XCLIENT LOGIN=joe", "EHLO a.b", f"AUTH PLAIN {GOOD}", "XCLIENT LOGIN=[UNAVAILABLE]",
                                               f"AUTH PLAIN {GOOD}"],
    # whoever logged in before XCLIENT is not who comes with it, unless it fails
    *(["EHLO a.b", login, xclient, "MAIL FROM:<a@example.net>", "RCPT TO:<there@elsewhere.example>"]
      for login in (f"AUTH PLAIN {GOOD}", "XCLIENT LOGIN=joe") for xclient in ("XCLIENT ADDR=127.0.0.9", "XCLIENT LOGIN=joe", "XCLIENT FOO=x")),
    *([*login, f"MAIL FROM:<{sender}>", f"RCPT TO:<{kind}@example.org>"]
      for login in (["EHLO a.b"], ["EHLO a.b", f"AUTH PLAIN {GOOD}"]) for kind in ("users", "known", "authed", "unauthed")
      for sender in ("jane@example.net", "joint@example.net", "other@example.net", "nobody@example.net", "any@example.com", "local@example.org", "")),
    ["EHLO a.b", f"AUTH PLAIN {GOOD}", "MAIL FROM:<jane+x@example.net>", "RCPT TO:<access@example.org>"],
]


def converse(mail, dialogue):
    with Raw(mail, hello=False) as client:
        return [client.say(line) for line in dialogue]


def comparable(mail, dialogue):
    """Replies without names of programs, and without what a challenge drew by chance."""
    return [(code, [re.sub("Postroad|Postfix", "MTA", text) for text in lines]) for code, lines in converse(mail, dialogue)]


@pytest.mark.root
def test_replies_and_log_lines_are_those_of_postfix(dovecot, mail):
    from postfix import Postfix
    same = {name: value for name, value in mail.main.items() if name.startswith(("smtpd_", "users", "known", "authed", "unauthed", "access", "my"))}
    with Postfix(main=same) as postfix:
        for dialogue in DIALOGUES:
            assert comparable(mail, dialogue) == comparable(postfix, dialogue), dialogue
        postfix.wait_for_log("SASL PLAIN authentication failed")
        for line in {re.sub(r".*?smtpd\[\d+\]: ", "", line) for line in postfix.log_lines("SASL ")}:
            mail.wait_for_log(re.escape(line) + "$")


def test_without_tables_of_owners_no_address_is_a_users(mail):
    with Raw(mail, OWNERLESS) as client:
        for expected in (250, 553):
            assert client.say("MAIL FROM:<jane@example.net>")[0] == 250
            assert client.say("RCPT TO:<here@example.org>")[0] == expected
            assert client.say("RSET")[0] == 250
            assert expected == 553 or client.login()[0] == 235


def test_an_answer_may_be_as_long_as_the_limit(mail):
    with Raw(mail) as client:
        assert client.say("AUTH PLAIN")[0] == 334
        assert client.say("A" * 12288)[0] == 535
        assert client.say("AUTH PLAIN")[0] == 334
        assert client.say("A" * 12289) == (500, ["5.5.6 SASL response limit exceeded"])
        assert client.say("AUTH PLAIN " + "A" * (12288 - 11))[0] == 535         # and so may the command with it (RFC 4954 4)
        assert client.say("AUTH PLAIN " + "A" * 12289)[0] == 500
        assert client.say("NOOP " + "A" * 3000)[0] == 500
        assert client.login()[0] == 235
        assert client.say("NOOP " + "A" * 3000)[0] == 500


def test_who_goes_away_in_the_middle_harms_nobody(mail, dovecot):
    steps = ["AUTH PLAIN", "AUTH LOGIN", b64("jane"), b64("wrong")]
    for length in range(len(steps)):
        with Raw(mail) as client:
            for line in steps[:1] if length == 0 else steps[1:length + 1]:
                client.say(line)
        with Raw(mail) as client:       # in the middle of a line, or right behind it
            client.sock.sendall(b"AUTH LOGIN" + b"\r\n" * (length % 2))
        with Raw(mail) as client:
            assert client.login()[0] == 235
    assert "BUG:" not in (dovecot.root / "log").read_text()         # without the colon it may be in a session's random name


def test_each_attempt_begins_anew(mail):
    with Raw(mail) as client:
        for number in range(8):
            assert client.say(("AUTH PLAIN", "AUTH LOGIN", "AUTH CRAM-MD5", "AUTH SCRAM-SHA-256")[number % 4])[0] == 334
            code, _ = client.say(("*", "", "YQ==", b64("\0\0\0"), "\0\0", "AUTH PLAIN", "\xff\xfe")[number % 7])
            if code == 334:             # LOGIN asks for the password too
                code, _ = client.say("*")
            assert code in (501, 535)
            assert client.say("NOOP")[0] == 250
        assert client.login()[0] == 235


def test_special_users_are_kept_apart(mail):
    with Raw(mail) as client:
        assert client.login()[0] == 235
        assert client.say("MAIL FROM:<jane@example.net>")[0] == 250
        assert client.say("RCPT TO:<access@example.org>")[0] >= 400
    mail.wait_for_log(r"reject: RCPT from .*helo=<client.example> sasl_username=<jane>$")


# ---- settings ----

def test_what_is_offered_depends_on_the_settings(instance, dovecot):
    rows = {
        "noplaintext": {"smtpd_sasl_security_options": "noplaintext, noanonymous"}, "mutual": {"smtpd_sasl_security_options": "mutual_auth"},
        "filter": {"smtpd_sasl_mechanism_filter": "!login, plain"}, "exempt": {"smtpd_sasl_exceptions_networks": "127.0.0.0/8"},
        "discard": {"smtpd_discard_ehlo_keywords": "auth"}, "tlsonly": {"smtpd_tls_auth_only": "yes"}, "broken": {"broken_sasl_auth_clients": "yes"},
        "inet": {"smtpd_sasl_path": f"inet:127.0.0.1:{dovecot.auth_port}"}, "off": {"smtpd_sasl_auth_enable": "no"},
        "nothing": {"smtpd_sasl_security_options": "forward_secrecy"},
        "rate": {"smtpd_client_auth_rate_limit": "2", "smtpd_client_event_limit_exceptions": ""},
    }
    ports = {}
    master = ""
    from instance import free_port
    for name, settings in rows.items():
        ports[name] = free_port()
        master += f"127.0.0.1:{ports[name]} inet n - n - - smtpd\n" + "".join(f"  -o {{ {key} = {value} }}\n" for key, value in settings.items())
    one = instance(main={**SASL, "smtpd_sasl_path": dovecot.auth_socket}, master=master)

    def offered(name):
        with Raw(one, ports[name]) as client:
            return [line for line in client.capabilities if line.startswith("AUTH")], client.login()[0]
    everything = "PLAIN LOGIN CRAM-MD5 SCRAM-SHA-256"
    assert offered("noplaintext") == (["AUTH CRAM-MD5 SCRAM-SHA-256"], 535)
    assert offered("mutual") == (["AUTH SCRAM-SHA-256"], 535)
    assert offered("filter") == (["AUTH PLAIN"], 235)
    assert offered("exempt") == ([], 235)
    assert offered("discard") == ([], 503)
    assert offered("tlsonly") == ([], 503)
    assert offered("broken") == ([f"AUTH {everything}", f"AUTH={everything}"], 235)
    assert offered("inet") == ([f"AUTH {everything}"], 235)
    assert offered("off") == ([], 503)
    assert offered("nothing") == ([], 535)
    one.wait_for_log("warning: the authentication server has no mechanism that")
    with Raw(one, ports["rate"]) as client:
        assert [client.say(line)[0] for line in (f"AUTH PLAIN {BAD}", "AUTH PLAIN", "*")] == [535, 334, 501]
        assert client.login() == (450, ["4.7.1 Error: too many AUTH commands from 127.0.0.1"])
    one.wait_for_log(rf"warning: AUTH command rate limit exceeded: 3 from \S+\[127.0.0.1\] for service 127.0.0.1:{ports['rate']}$")


# ---- servers that do what they should not ----

@pytest.fixture(scope="module")
def fake():
    with AuthServer() as one:
        yield one


@pytest.fixture(scope="module")
def faked(fake):
    with Instance(main={**SASL, "smtpd_sasl_path": fake.path, "smtpd_sasl_service": "submission", "default_transport": "discard", "local_transport": "discard"}) as one:
        yield one


@pytest.fixture
def afresh(fake, faked):
    """No connection, and a server as it should be at the beginning."""
    from auth_server import GREETING, check_password
    fake.greeting, fake.answer = GREETING, check_password
    fake.hang_up()
    faked.reload()
    fake.lines.clear()
    yield
    fake.greeting, fake.answer = GREETING, check_password


def accepts_mail(mail):
    with Raw(mail) as client:
        return [client.say(line)[0] for line in ("MAIL FROM:<a@example.net>", "RCPT TO:<b@example.org>", "RCPT TO:<b@elsewhere.example>")]


def can_log_in(mail):
    def attempt():
        with Raw(mail) as client:
            return client.login()[0] == 235
    wait_until(attempt, 60, mail.log_tail, pause=0.2)


UNAVAILABLE = (454, ["4.7.0 Temporary authentication failure: Connection lost to authentication server"])


@pytest.mark.parametrize("greeting", [b"220 hello, who are you?\r\n", b"VERSION\t2\t0\nDONE\n", b"MECH\tPLAIN\n" * 3 + b"DONE\n", b"x" * 200000,
                                      b"VERSION\t1\t1\nMECH\tPLAIN\0\nDONE\n"], ids=["smtp", "version", "without", "endless", "nul"])
def test_a_server_that_talks_nonsense_is_no_server(fake, faked, afresh, greeting):
    fake.greeting = greeting
    with Raw(faked) as client:
        assert not [line for line in client.capabilities if line.startswith("AUTH")]
        assert client.login() == UNAVAILABLE
    assert accepts_mail(faked) == [250, 250, 454]       # nobody knows who is a user: for now


def test_without_a_server_mail_goes_on_and_nothing_is_refused_for_good(fake, faked, afresh):
    fake.go_away()
    try:
        with Raw(faked) as client:
            assert client.login() == UNAVAILABLE
        assert accepts_mail(faked) == [250, 250, 454]
        faked.wait_for_log(r"warning: SASL: connect to \S+/auth: No such file or directory")
        faked.wait_for_log(r"warning: \S+\[127.0.0.1\]: SASL PLAIN authentication failed: Connection lost to authentication server, "
                           r"sasl_username=\(unavailable\)")
    finally:
        fake.listen()
    can_log_in(faked)


def test_while_the_filter_of_mechanisms_cannot_be_asked_nothing_is_refused_for_good(fake, faked, afresh):
    faked.set(smtpd_sasl_mechanism_filter="fail:broken")
    faked.reload()
    try:
        with Raw(faked) as client:
            assert not [line for line in client.capabilities if line.startswith("AUTH PLAIN")]
            assert client.login() == UNAVAILABLE
        assert accepts_mail(faked) == [250, 250, 454]
    finally:
        faked.set(smtpd_sasl_mechanism_filter=None)
        faked.reload()


def test_a_server_that_is_restarted_is_found_again_at_once(fake, faked, afresh):
    can_log_in(faked)
    for _ in range(5):
        fake.hang_up()
        with Raw(faked) as client:
            assert client.login()[0] == 235


def test_a_server_that_dies_in_the_middle_costs_one_attempt(fake, faked, afresh):
    def die_later(server, connection, words):
        if words[0] == "AUTH":
            connection.sendall(f"CONT\t{words[1]}\tVXNlcm5hbWU6\n".encode())
        else:
            server.hang_up()
    fake.answer = die_later
    with Raw(faked) as client:
        assert client.say("AUTH LOGIN")[0] == 334
        assert client.say(b64("jane")) == UNAVAILABLE
        assert client.say("AUTH LOGIN")[0] == 334
        assert client.say("*")[0] == 501
    fake.answer = lambda server, connection, words: server.hang_up()
    with Raw(faked) as client:
        assert client.login() == UNAVAILABLE


@pytest.mark.parametrize("answer", [b"OK\t%d\n", b"OK\t%d\tuser=\n", b"OK\tx%d\tuser=root\n", b"CONT\t%d\tno base64\n", b"FAIL\t%d\tuser=jane\ttemp\n",
                                    b"CONT\t%d\t" + b"QUFB" * 30000 + b"\n", b"FAIL\t%d\tcode=temp_fail\treason=back\001nlater\n"],
                         ids=["nobody", "empty", "number", "base64", "temporary", "endless", "later"])
def test_an_answer_that_makes_no_sense_lets_nobody_in(fake, faked, afresh, answer):
    fake.answer = lambda server, connection, words: connection.sendall(answer % int(words[1]))
    with Raw(faked) as client:
        code, text = client.login()
        assert code == 454 and text[0].startswith("4.7.0 Temporary authentication failure: "), text
        assert client.say("MAIL FROM:<a@example.net>")[0] == 250
        assert client.say("RCPT TO:<b@elsewhere.example>")[0] >= 400


def test_answers_to_others_are_not_mine(fake, faked, afresh):
    def confuse(server, connection, words):
        number = int(words[1])
        connection.sendall(b"".join(b"OK\t%d\tuser=root\n" % (number + away) for away in (1, 2, 1000)) + b"FAIL\t%d\tuser=jane\n" % number)
    fake.answer = confuse
    with Raw(faked) as client:
        assert client.login()[0] == 535
        assert client.login()[0] == 535


def test_nobody_waits_for_a_server_but_who_asked_it(fake, faked, afresh):
    can_log_in(faked)
    fake.answer = lambda server, connection, words: None
    waiting = [Raw(faked) for _ in range(30)]
    for client in waiting:
        client.tell(f"AUTH PLAIN {GOOD}")
    wait_until(lambda: sum(words[0] == "AUTH" for words in fake.lines) >= 31, 30)
    assert accepts_mail(faked)[:2] == [250, 250]
    for client in waiting[::2]:         # go away while they wait
        client.close()
    left = [f"rport={client.sock.getsockname()[1]}" for client in waiting[1::2]]
    fake.hang_up()                      # the others are asked for again, once
    wait_until(lambda: all(sum(port in words for words in fake.lines) == 2 for port in left), 30)
    fake.hang_up()
    for client in waiting[1::2]:
        assert client.reply() == UNAVAILABLE
        client.close()


def test_a_token_longer_than_other_commands_goes_through(fake, faked, afresh):
    token = b64("user=jane\x01auth=Bearer " + "x" * 6000 + "\x01\x01")
    problem = b64('{"status":"401","schemes":"bearer"}')

    def check(server, connection, words):
        if words[0] == "AUTH" and words[-1] == f"resp={token}":
            connection.sendall(f"OK\t{words[1]}\tuser=jane\n".encode())
        elif words[0] == "AUTH":
            connection.sendall(f"CONT\t{words[1]}\t{problem}\n".encode())
        else:
            connection.sendall(f"FAIL\t{words[1]}\tuser=jane\n".encode())
    fake.answer = check
    with Raw(faked) as client:
        assert client.say(f"AUTH XOAUTH2 {b64('other')}") == (334, [problem])
        assert client.say("")[0] == 535
        assert client.say(f"AUTH XOAUTH2 {token}")[0] == 235


def test_the_server_is_told_who_and_where(fake, faked, afresh):
    with Raw(faked) as client:
        client.login()
        port = client.sock.getsockname()[1]
    (words,) = [words for words in fake.lines if words[0] == "AUTH"]
    assert words[2:-1] == ["PLAIN", "service=submission", "nologin", "lip=127.0.0.1", f"lport={faked.smtp_port}", "rip=127.0.0.1", f"rport={port}"]
