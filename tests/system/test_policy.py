# SPDX-License-Identifier: ISC
"""check_policy_service: what a policy server is asked, what its answers do, and that one that is slow or gone holds up nobody else."""

import contextlib
import os
import socketserver
import ssl
import threading
import time

import pytest

from certificates import Authority
from instance import PATIENCE, free_port, wait_until

NAMES = """request protocol_state protocol_name client_address client_name client_port reverse_client_name server_address server_port helo_name sender
recipient recipient_count queue_id instance size etrn_domain stress sasl_method sasl_username sasl_sender ccert_subject ccert_issuer ccert_fingerprint
ccert_pubkey_fingerprint encryption_protocol encryption_cipher encryption_keysize tls_sni policy_context compatibility_level mail_version""".split()


class Policy:
    """A policy server in threads. `answers`: recipient -> text behind action=, bytes as they are, or an Event to wait for; else DUNNO."""

    def __init__(self, where):
        self.requests, self.connections, self.answers, self.hang_up = [], 0, {}, False
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                outer.connections += 1
                with contextlib.suppress(OSError):
                    outer.talk(self)

        base = socketserver.ThreadingTCPServer if isinstance(where, tuple) else socketserver.ThreadingUnixStreamServer
        self.server = type("Server", (base,), {"allow_reuse_address": True, "daemon_threads": True, "request_queue_size": 100})(where, Handler)
        if isinstance(where, str):
            os.chmod(where, 0o666)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def talk(self, handler):
        while True:
            attributes = []
            for line in iter(handler.rfile.readline, b"\n"):
                if not line:
                    return
                attributes.append(tuple(line.decode().rstrip("\n").split("=", 1)))
            request = dict(attributes, names=[name for name, _ in attributes])
            self.requests.append(request)
            answer = self.answers.get(request["recipient"], "DUNNO")
            if isinstance(answer, threading.Event):
                answer.wait(60 * PATIENCE)
                answer = "DUNNO"
            handler.wfile.write(answer if isinstance(answer, bytes) else f"action={answer}\n\n".encode())
            if self.hang_up:
                return

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def policy():
    one = Policy(("127.0.0.1", free_port()))
    one.where = "inet:127.0.0.1:%d" % one.server.server_address[1]
    yield one
    one.close()


def rcpt(client, *addresses):
    """The replies to RCPT in one transaction, which then ends."""
    assert client.mail("jane@example.net")[0] == 250
    replies = [client.rcpt(address) for address in addresses]
    client.rset()
    return [f"{code} {text.decode()}" for code, text in replies]


def test_what_a_policy_server_is_asked_and_what_its_answers_do(instance, policy):
    one = instance(main={"smtpd_recipient_restrictions": "check_policy_service { %s, { policy_context = my own } }" % policy.where,
                         "smtpd_end_of_data_restrictions": "check_policy_service unix:private/policy", "mydestination": "example.org",
                         "smtpd_policy_service_request_limit": "1000", "local_recipient_maps": "", "relayhost": "[127.0.0.1]:1"})
    at_end = Policy(str(one.queue / "private/policy"))
    policy.answers = {"no@example.org": "REJECT 5.7.9 not you", "later@example.org": "451 4.7.1 not now", "hold@example.org": "PREPEND X-Policy:\tSeen it",
                      "odd@example.org": "NOSUCH thing"}
    with one.client() as client:
        client.ehlo()
        assert rcpt(client, "no@example.org", "later@example.org", "odd@example.org") == [
            "554 5.7.9 <no@example.org>: Recipient address rejected: not you", "451 4.7.1 <later@example.org>: Recipient address rejected: not now",
            "451 4.3.5 Server configuration error"]
        client.mail("jane@example.net", ["SIZE=777"])
        client.rcpt("hold@example.org")
        client.rcpt("other@example.org")
        code, text = client.data(b"Subject: x\r\n\r\nbody\r\n")
        assert code == 250
        port = str(client.sock.getsockname()[1])
    one.wait_for_log(rb"prepend: RCPT from \S+: X-Policy:\S+Seen it; from=<jane@example.net>".decode())

    first = policy.requests[0]
    assert first["names"] == NAMES
    assert first == dict(first, request="smtpd_access_policy", protocol_state="RCPT", protocol_name="ESMTP", client_address="127.0.0.1", client_port=port,
                         client_name="localhost", reverse_client_name="localhost", server_address="127.0.0.1", server_port=str(one.smtp_port),
                         helo_name="client.example.net", sender="jane@example.net", recipient="no@example.org", recipient_count="0", queue_id="", size="0",
                         encryption_keysize="0", encryption_protocol="", policy_context="my own", stress="", etrn_domain="")
    assert len({request["instance"] for request in policy.requests[:3]}) == 1
    assert policy.requests[3]["instance"] == policy.requests[4]["instance"] != first["instance"]
    assert policy.requests[3]["size"] == "777" and policy.requests[3]["queue_id"] == "" and policy.requests[4]["queue_id"] != ""
    assert policy.connections == 1

    (last,) = at_end.requests
    assert last == dict(last, protocol_state="END-OF-MESSAGE", recipient="", recipient_count="2", size="20", policy_context="",
                        instance=policy.requests[4]["instance"], queue_id=text.decode().split()[-1])
    at_end.close()

    with one.client() as client:
        client.verify("joe@example.org")
    assert policy.requests[-1]["protocol_state"] == "VRFY" and policy.requests[-1]["instance"] == ""    # there is no message

    before = len(policy.requests)
    said = one.command("postroad", "-c", one.etc, "explain", "--client", "127.0.0.1", "joe@example.org").stdout
    assert "check_policy_service { %s, { policy_context = my own } }: not asked" % policy.where in said and len(policy.requests) == before


def test_a_policy_server_hears_of_the_encryption_and_which_server_was_meant(instance, policy, tmp_path):
    ca = Authority(tmp_path)
    certificate, key = ca.issue("server")
    one = instance(main={"smtpd_recipient_restrictions": f"check_policy_service {policy.where}", "mydestination": "example.org", "local_recipient_maps": "",
                         "smtpd_tls_security_level": "may", "smtpd_tls_cert_file": certificate, "smtpd_tls_key_file": key,
                         "tls_server_sni_maps": f"inline:{{ mx.example.org={ca.chain_file('mx', name='mx.example.org')} }}"})
    for name, known in (("mx.example.org", "mx.example.org"), ("other.example.org", "")):
        with one.client() as client:
            client._host = name                         # what smtplib names to the server
            client.starttls(context=ssl._create_unverified_context())
            client.ehlo()
            assert rcpt(client, "joe@example.org") == ["250 2.1.5 Ok"]
        asked = policy.requests[-1]
        assert asked["tls_sni"] == known and asked["encryption_protocol"] == "TLSv1.3" and int(asked["encryption_keysize"]) >= 128


def test_a_policy_server_that_is_slow_gone_or_mad_costs_a_deferral(instance, policy):
    gone = f"inet:127.0.0.1:{free_port()}"
    one = instance(main={"smtpd_restriction_classes": "slow, late, gone, lenient", "slow": f"check_policy_service {{ {policy.where}, timeout=1000s }}",
                         "late": f"check_policy_service {{ {policy.where}, timeout=1s, try_limit=1 }}",
                         "gone": f"check_policy_service {{ {gone}, retry_delay=0s }}",
                         "lenient": f"check_policy_service {{ {gone} , retry_delay=0s, default_action=DUNNO }}",
                         "smtpd_recipient_restrictions": f"check_recipient_access inline:{{slow@example.org=slow, late@example.org=late, gone@example.org=gone, lenient@example.org=lenient}},"
                         f" check_policy_service {{ {policy.where}, retry_delay=0s }}",
                         "mydestination": "example.org", "local_recipient_maps": ""})
    later, never = threading.Event(), threading.Event()
    policy.answers = {"slow@example.org": later, "late@example.org": never, "mad@example.org": b"what?\n\n", "more@example.org": b"action=OK\nmore=1\n\n",
                      "last@example.org": b"more=1\naction=REJECT last\naction=OK\n\n", "none@example.org": b"more=1\n\n",
                      "much@example.org": b"more=1\n" * 98 + b"action=REJECT much\n\n", "endless@example.org": b"more=1\n" * 1000 + b"action=OK\n\n"}
    trouble = "451 4.3.5 <%s>: Recipient address rejected: Server configuration problem"
    slow = {}

    def ask_slowly():
        with one.client() as client:
            slow["reply"] = rcpt(client, "slow@example.org")

    with one.client() as client:
        assert rcpt(client, "fine@example.org") == ["250 2.1.5 Ok"]
        asker = threading.Thread(target=ask_slowly)
        asker.start()
        wait_until(lambda: any(request["recipient"] == "slow@example.org" for request in policy.requests), 30, "the slow question")
        assert rcpt(client, "fine@example.org", "mad@example.org", "more@example.org", "last@example.org", "none@example.org") == [
            "250 2.1.5 Ok", trouble % "mad@example.org", "250 2.1.5 Ok", "554 5.7.1 <last@example.org>: Recipient address rejected: last", trouble % "none@example.org"]
        assert rcpt(client, "much@example.org", "endless@example.org", "fine@example.org") == [
            "554 5.7.1 <much@example.org>: Recipient address rejected: much", trouble % "endless@example.org", "250 2.1.5 Ok"]
        assert "reply" not in slow
        later.set()
        asker.join(60 * PATIENCE)
        assert slow["reply"] == ["250 2.1.5 Ok"]
        assert rcpt(client, "late@example.org") == [trouble % "late@example.org"]
        never.set()
        assert rcpt(client, "gone@example.org", "lenient@example.org") == [trouble % "gone@example.org", "250 2.1.5 Ok"]
        policy.hang_up = True               # a server that serves one request per connection, or is started anew
        assert rcpt(client, *["fine@example.org"] * 5) == ["250 2.1.5 Ok"] * 5
    one.wait_for_log(f"problem talking to server {policy.where}: .*timed out")
    one.wait_for_log(f"problem talking to server {policy.where}: an answer that is not in the protocol: \"what\\?\"")
    one.wait_for_log(f"problem talking to server {gone}: .*refused", 2)


def test_connections_to_policy_servers_are_not_kept_for_ever(instance, policy):
    one = instance(main={"smtpd_client_restrictions": f"check_policy_service {{ {policy.where}, max_idle=1s }}",
                         "smtpd_sender_restrictions": f"check_policy_service {{ {policy.where}, request_limit=2 }}"})
    idle = []
    talk = policy.talk
    policy.talk = lambda handler: (talk(handler), idle.append(handler))
    begin = time.monotonic()
    with one.client() as client:
        rcpt(client, "a@example.com", "b@example.com", "c@example.com")
    assert len(policy.requests) == 6 and (policy.connections == 3 or time.monotonic() - begin >= 1)
    wait_until(lambda: len(idle) >= 2, 30, "the end of the connection that nobody uses, and of the one that was used twice")


def test_wrong_services_stop_the_start(instance):
    for words, said in (("check_policy_service private/policy", "expected inet:host:port or unix:path instead of \"private/policy\""),
                        ("check_policy_service { unix:x, nosuch=1 }", "unknown setting \"nosuch\""), ("check_policy_service", "needs an argument"),
                        ("check_policy_service { unix:x, timeout=soon }", "timeout = soon: not a time")):
        one = instance(main={"smtpd_client_restrictions": words}, start=False)
        one.write()
        done = one.command("postroad", "-c", one.etc, "lint", check=False)
        assert done.returncode == 1 and said in done.stderr
