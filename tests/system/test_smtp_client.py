# SPDX-License-Identifier: ISC
"""The smtp and lmtp programs as administrators see them: in their jail, with DNS, restarts and log lines. Each reply at each stage: smtp/*_test.c."""

import contextlib
import re
import threading

import pytest

from dns_server import DnsServer
from instance import free_port, wait_until
from sink import Sink

BODY = "Subject: x\r\n\r\nbody\r\n"


@pytest.fixture
def dns():
    with DnsServer() as server:
        yield server


def exchangers(dns, **preferences):
    """mx1.example.com and so on at 127.0.0.2, 127.0.0.3, ..., with these preferences."""
    dns.add("example.com", "MX", *(f"{preference} {name}.example.com" for name, preference in preferences.items()))
    for name in preferences:
        dns.add(f"{name}.example.com", "A", f"127.0.0.{int(name[2:]) + 1}")


def test_the_next_exchanger_gets_what_the_best_one_puts_off(instance, dns):
    exchangers(dns, mx2=20, mx1=10)
    port = free_port("127.0.0.2")
    answers = {"RCPT": lambda argument: "450 4.2.0 not now" if "grey" in argument else "550 5.1.1 never" if "bad" in argument else None}
    with Sink(address="127.0.0.2", port=port, answers={"RCPT": lambda a: answers["RCPT"](a) or "250 2.1.5 Ok"}) as first, \
            Sink(address="127.0.0.3", port=port) as second:
        mail = instance(main={"dns_resolver_addresses": dns.at, "smtp_tcp_port": port})
        queue_id = mail.send(BODY, recipients=["grey@example.com", "good@example.com"])
        mail.wait_for_log(rf"{queue_id}: removed")
        assert [m.recipients[0].partition(" ")[0] for m in first.messages] == ["<good@example.com>"]
        assert [m.recipients[0].partition(" ")[0] for m in second.messages] == ["<grey@example.com>"]
        mail.wait_for_log(rf"{queue_id}: host mx1.example.com\[127.0.0.2\] said: 450 4.2.0 not now \(in reply to RCPT TO command\)")
        mail.wait_for_log(rf"{queue_id}: to=<grey@example.com>, relay=mx2.example.com\[127.0.0.3\]:{port}, delay=\S+, delays=\S+, tls=may:none, "
                          r"dsn=2.0.0, status=sent \(250 2.0.0 Ok: kept\)")
        bounced = mail.send(BODY, recipients=["bad@example.com"])
        mail.wait_for_log(rf"{bounced}: to=<bad@example.com>, relay=mx1.example.com\[127.0.0.2\]:{port}, .*dsn=5.1.1, status=bounced "
                          r"\(host mx1.example.com\[127.0.0.2\] said: 550 5.1.1 never \(in reply to RCPT TO command\)\)")
        assert not any("bad" in m.recipients[0] for m in second.messages)


def test_what_dns_says_becomes_the_verdict(instance, dns):
    dns.add("null.example", "MX", "0 .")
    dns.fail("broken.example", "SERVFAIL")
    dns.add("maybe.example", "MX", "10 nowhere.example")
    mail = instance(main={"dns_resolver_addresses": dns.at})
    queue_id = mail.send(BODY, recipients=["a@gone.example", "b@null.example", "c@broken.example", "d@maybe.example"])
    mail.wait_for_log(rf"{queue_id}: to=<a@gone.example>, relay=none, .*dsn=5.4.4, status=bounced \(Host or domain name not found. "
                      r"Name service error for name=gone.example type=A: Host not found\)")
    mail.wait_for_log(rf"{queue_id}: to=<b@null.example>, .*dsn=5.1.0, status=bounced \(Domain null.example does not accept mail \(nullMX\)\)")
    mail.wait_for_log(rf"{queue_id}: to=<c@broken.example>, .*dsn=4.4.3, status=deferred \(Host or domain name not found. "
                      r"Name service error for name=broken.example type=MX: Host not found, try again.*\)")
    mail.wait_for_log(rf"{queue_id}: to=<d@maybe.example>, .*dsn=5.4.4, status=bounced")


def test_a_stream_of_mail_shares_a_few_sessions(instance):
    with Sink() as sink:
        mail = instance(main={"relayhost": f"[127.0.0.1]:{sink.port}", "default_destination_concurrency_limit": 2})
        for number in range(30):
            mail.send(BODY, recipients=[f"user{number}@example.com"])
        wait_until(lambda: len(sink.messages) == 30, 30, mail.log_tail)
        mail.wait_empty()
        assert sink.connections <= 6, sink.connections
        mail.wait_for_log(r"conn_use=\d+, delay=")
        # nobody keeps a session that is not used: they end by themselves, and the next message gets a new one
        before = sink.connections
        wait_until(lambda: sink.open == 0, 30, "the end of the sessions")
        mail.send(BODY, recipients=["late@example.com"])
        wait_until(lambda: len(sink.messages) == 31, 30, mail.log_tail)
        assert sink.connections == before + 1


def test_without_the_cache_each_message_has_a_session(instance):
    with Sink() as sink:
        mail = instance(main={"relayhost": f"[127.0.0.1]:{sink.port}", "smtp_connection_cache_on_demand": "no"})
        for number in range(5):
            mail.send(BODY, recipients=[f"user{number}@example.com"])
        wait_until(lambda: len(sink.messages) == 5, 30, mail.log_tail)
        assert sink.connections == 5


def test_a_server_that_hangs_up_on_a_kept_session_costs_no_deferral(instance):
    mails = []

    def once_per_connection(_):
        mails.append(1)
        return "250 2.1.0 Ok" if len(mails) - refused[0] <= sink.connections else hang_up()

    def hang_up():
        refused[0] += 1

    refused = [0]
    with Sink(answers={"MAIL": once_per_connection}) as sink:
        mail = instance(main={"relayhost": f"[127.0.0.1]:{sink.port}", "smtp_connection_cache_time_limit": "30s"})
        for number in range(4):
            queue_id = mail.send(BODY, recipients=[f"user{number}@example.com"])
            mail.wait_for_log(f"{queue_id}: removed")       # and the session is kept for the next
    assert refused[0] == 3 and sink.connections == 4
    assert not mail.log_lines("status=deferred")


def test_what_is_logged_of_a_session_is_whole_when_the_session_is_gone(instance):
    with Sink(address="127.0.0.2", answers={"MAIL": "421 4.3.2 not now"}) as sink:
        mail = instance(main={"relayhost": f"[127.0.0.2]:{sink.port}"})
        queue_id = mail.send(BODY, recipients=["one@example.com", "two@example.com"])
        mail.wait_for_log(rf"{queue_id}: to=<(one|two)@example.com>, .*, tls=may:none, dsn=4.3.2, status=deferred", count=2)


def test_a_fallback_relay_takes_over(instance, dns):
    dns.add("down.example", "MX", "10 mx.down.example")
    dns.add("mx.down.example", "A", "127.0.0.9")
    with Sink() as sink:
        mail = instance(main={"dns_resolver_addresses": dns.at, "smtp_fallback_relay": f"[127.0.0.1]:{sink.port}", "smtp_tcp_port": free_port("127.0.0.9")})
        queue_id = mail.send(BODY, recipients=["a@down.example", "b@gone.example"])
        mail.wait_for_log(rf"{queue_id}: removed")
        assert sorted(m.recipients[0].partition(" ")[0] for m in sink.messages) == ["<a@down.example>", "<b@gone.example>"]
        mail.wait_for_log(r"postfix/smtp\[\d+\]: connect to mx.down.example\[127.0.0.9\]:\d+: Connection refused")


def test_mail_waits_for_a_relayhost_that_dns_does_not_know(instance, dns):
    mail = instance(main={"dns_resolver_addresses": dns.at, "relayhost": "gone.example"})
    queue_id = mail.send(BODY, recipients=["a@example.com"])
    mail.wait_for_log(rf"{queue_id}: to=<a@example.com>, relay=none, .*dsn=4.3.5, status=deferred \(Host or domain name not found")
    mail.wait_for_log("warning: relayhost configuration problem")
    said = mail.command("postroad", "explain", "--client", "127.0.0.1", "--name", "localhost", "a@example.com", check=False).stdout
    assert "deferred   4.3.5 Host or domain name not found" in said, said


def test_mail_for_an_exchanger_that_we_are_does_not_loop(instance, dns):
    exchangers(dns, mx1=10)
    mail = instance(main={"dns_resolver_addresses": dns.at, "proxy_interfaces": "127.0.0.2", "smtp_tcp_port": free_port("127.0.0.2")})
    queue_id = mail.send(BODY, recipients=["a@example.com"])
    mail.wait_for_log(rf"{queue_id}: to=<a@example.com>, relay=none, .*dsn=5.4.6, status=bounced \(mail for example.com loops back to myself\)")


def has_ipv6():
    with contextlib.suppress(OSError):
        return bool(free_port("::1"))
    return False


@pytest.mark.skipif(not has_ipv6(), reason="IPv6 is switched off here")
@pytest.mark.parametrize("host", ["[::1]", "[IPv6:::1]", "[six.example]", "six.example"])
def test_mail_goes_over_ipv6(instance, dns, host):
    dns.add("six.example", "AAAA", "::1")
    with Sink(address="::1") as sink:
        mail = instance(main={"inet_protocols": "all", "dns_resolver_addresses": dns.at, "relayhost": f"{host}:{sink.port}"})
        queue_id = mail.send(BODY, recipients=["a@example.com"])
        mail.wait_for_log(rf"{queue_id}: to=<a@example.com>, relay=\S+\[::1\]:{sink.port}, .*status=sent")
        assert len(sink.messages) == 1


def test_lmtp_says_who_got_it(instance):
    answers = {".": lambda recipient: "452 4.2.2 full" if "full" in recipient else "250 2.0.0 saved"}
    with Sink(lmtp=True, answers=answers) as sink:
        mail = instance(main={"mydestination": "", "relay_domains": "example.com", "relay_transport": f"lmtp:inet:127.0.0.1:{sink.port}"})
        queue_id = mail.send(BODY, recipients=["a@example.com", "full@example.com", "c@example.com"])
        mail.wait_for_log(rf"{queue_id}: to=<full@example.com>, relay=127.0.0.1\[127.0.0.1\]:{sink.port}, .*status=deferred \(host 127.0.0.1\[127.0.0.1\] "
                          r"said: 452 4.2.2 full \(in reply to end of DATA command\)\)")
        assert len(mail.wait_for_log(rf"postfix/lmtp\[\d+\]: {queue_id}: .*status=sent \(250 2.0.0 saved\)", count=2)) == 2


def test_a_message_under_way_survives_a_reload(instance):
    release = threading.Event()

    def slow(_):
        release.wait(20)
        return "250 2.0.0 Ok: at last"

    with Sink(answers={".": slow}) as sink:
        mail = instance(main={"relayhost": f"[127.0.0.1]:{sink.port}"})
        queue_id = mail.send(BODY, recipients=["a@example.com"])
        wait_until(lambda: sink.connections, 30, mail.log_tail)
        old = mail.pids("smtp")
        mail.reload()
        mail.wait_for_log("reload -- version")
        assert old
        release.set()
        mail.wait_for_log(rf"{queue_id}: to=<a@example.com>, .*status=sent \(250 2.0.0 Ok: at last\)")
        mail.wait_empty()
        assert len(sink.messages) == 1


def test_stacks_are_far_from_full(instance, tmp_path, monkeypatch):
    table = tmp_path / "census"
    table.touch()
    table.chmod(0o666)
    monkeypatch.setenv("POSTROAD_STACK_CENSUS", str(table))
    with Sink() as sink:
        mail = instance(main={"relayhost": f"[127.0.0.1]:{sink.port}", "mydestination": "example.org"})
        for number in range(5):
            mail.send(BODY, recipients=[f"user{number}@example.com", "nobody@example.net"])
        wait_until(lambda: len(sink.messages) >= 5, 30, mail.log_tail)
        mail.wait_empty()
        mail.stop()
    rows = [re.fullmatch(r"(.*) (\d+) (\d+)", line).groups() for line in table.read_text().splitlines()]
    deepest = {}
    for name, used, size in rows:
        deepest[name] = max(deepest.get(name, 0), int(used) / int(size))
    assert {"smtpd", "cleanup_request", "deliver"} <= set(deepest), deepest
    assert all(part < 0.5 for part in deepest.values()), deepest
