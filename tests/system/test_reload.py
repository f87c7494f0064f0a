# SPDX-License-Identifier: ISC
"""A configuration that the new generation cannot work with leaves the old one serving, and says why: to who asked, and in the log."""

import contextlib
import re
import socket

from instance import IS_ROOT, free_port, wait_until

MISTAKES = [        # main.cf, master.cf, what is said
    ("nonsense\n", "", "main.cf, line \\d+: missing '='"), ("relayhost = ${x\n", "", "relayhost = .*truncated"), ("smtpd_timeout = never\n", "", "smtpd_timeout = never: a time from"),
    ("smtpd_recipient_limit = -3\n", "", "smtpd_recipient_limit = -3: a number from"), ("minimal_backoff_time = x\n", "", "minimal_backoff_time = x: a time from"),
    ("", "foo unix - -\n", 'master.cf, line \\d+: missing "chroot" field'), ("", "foo bar - - n - - smtp\n", 'field "type": "bar"'), ("", "foo unix - - n - x smtp\n", 'field "maxproc"'),
    ("", "2526 inet n - n - - smtpd -o smtpd_timeout=never\n", "service 2526: parameter smtpd_timeout"), ("transport_maps = hash:/nonexistent/x\n", "", "transport_maps: open /nonexistent/x.db"),
    ("alias_maps = hash:/nonexistent/x\n", "", "alias_maps: open /nonexistent/x.db"), ("header_checks = pcre:/nonexistent\n", "", "header_checks: open /nonexistent"),
    ("virtual_alias_maps = nosuch:/x\n", "", "unsupported table type: nosuch"), ("smtpd_tls_security_level = may\nsmtpd_tls_chain_files = /nonexistent.pem\n", "", "TLS is not available: open /nonexistent.pem"),
    ("smtp_tls_security_level = may\nsmtp_tls_chain_files = /nonexistent.pem\n", "", "service smtp: TLS is not available"), ("smtpd_recipient_restrictions = nosuch\n", "", 'unknown restriction "nosuch"'),
    ("smtpd_relay_restrictions = permit\n", "", "specify at least one working instance"), ("mynetworks = 1.2.3.4/99\n", "", "bad network length"),
    ("mail_owner = nosuchuser\n", "", "mail_owner = nosuchuser: there is no such account"),
]
# All of these at once, and each is named with its place: what master could not do, and what the daemons do not take.
MORE_MAIN = [("default_transport = foo:bar", "main.cf, line \\d+: default_transport = foo:bar: master.cf has no service \"foo\""),
             ("smtp_destination_recipient_limit = x", "main.cf, line \\d+: smtp_destination_recipient_limit = x: a number from"),
             ("notify_classes = foo", "main.cf, line \\d+: notify_classes: \"foo\" is none of"), ("virtual_mailbox_limit = 5", "line \\d+: virtual_mailbox_limit: smaller than message_size_limit"),
             ("allow_mail_to_commands = foo", "main.cf, line \\d+: allow_mail_to_commands: \"foo\" is none of"), ("maillog_file = /nonexistent/x", "line \\d+: maillog_file = /nonexistent/x does not begin"),
             ("setgid_group = nosuch", "main.cf, line \\d+: setgid_group = nosuch: there is no such group"),
             ("transport_maps = proxy:texthash:/nonexistent", "service proxymap: table texthash:/nonexistent: open /nonexistent")]
MORE_ROWS = [("foo1 unix - - n - - nosuch", "master.cf, line \\d+: service foo1: there is no program "), ("1 inet n - n - - postscreen", "service 1: there is no program .*postscreen"),
             ("192.0.2.1:2 inet n - n - - smtpd", "master.cf, line \\d+: service 192.0.2.1:2: cannot listen at 192.0.2.1:2: "), ("nosuch.invalid:2 inet n - n - - smtpd", "service nosuch.invalid:2: nosuch.invalid: "),
             ("0.0.0.0:{port} inet n - n - - smtpd", "cannot listen at 0.0.0.0:{port}: service 127.0.0.1:{port} \\(line 2\\) does"),
             ("127.0.0.1:{taken} inet n - n - - smtpd", "cannot listen at 127.0.0.1:{taken}: Address already in use"), ("a/b unix - - n - - smtp", "service a/b: cannot listen at private/a/b: No such file"),
             ("3 inet n - n - - smtpd -o content_filter=none:", "master.cf, line \\d+: content_filter = none:: master.cf has no service \"none\""),
             ("foo2 unix - n n - - pipe user=nosuch argv=/bin/x", "master.cf, line \\d+: service foo2: no such user: \"nosuch\"")]
ALONE = [("inet_interfaces = nosuch.invalid\n", "", "main.cf, line \\d+: inet_interfaces = nosuch.invalid: "), ("inet_protocols = ipv5\n", "", "inet_protocols = ipv5: all, ipv4 or ipv6"),
         ("myhostname = a b\n", "", "main.cf, line \\d+: myhostname = a b: not a host name")]


def test_mistakes_leave_the_old_configuration_in_force(instance):
    one = instance()
    main, master = (one.etc / "main.cf").read_text(), (one.etc / "master.cf").read_text()
    master_pid = one.master_pid()

    def reload(more_main, more_master):
        (one.etc / "main.cf").write_text(main + more_main)
        (one.etc / "master.cf").write_text(master + more_master)
        return one.command("postroad", "-c", one.etc, "reload", check=False)

    for more_main, more_master, words in ALONE + (MISTAKES if IS_ROOT else MISTAKES[:-1]):
        done = reload(more_main, more_master)
        assert done.returncode == 78 and re.search(words, done.stderr), (more_main + more_master, done.stderr)
        one.wait_for_log("error: reload: .*" + words)
        with one.client() as client:
            assert client.noop()[0] == 250
    (one.etc / "main.cf").write_text(main)
    (one.etc / "master.cf").write_text("# cut off\n")
    done = one.command("postroad", "-c", one.etc, "reload", check=False)
    assert done.returncode == 78 and "master.cf: there is no service in it" in done.stderr, done.stderr
    with one.client() as client:
        assert client.noop()[0] == 250
    assert one.master_pid() == master_pid
    with socket.create_server(("127.0.0.1", free_port())) as taken:
        names = {"port": one.smtp_port, "taken": taken.getsockname()[1]}
        done = reload("".join(line + "\n" for line, _ in MORE_MAIN), "".join(row.format(**names) + "\n" for row, _ in MORE_ROWS))
        for words in [words for _, words in MORE_MAIN + MORE_ROWS]:
            assert re.search(words.format(**names), done.stderr), (words, done.stderr)
    with one.client() as client:
        assert client.noop()[0] == 250
    # A rule that cannot be used is left out, as in Postfix; who reloads hears of it.
    (one.etc / "rules").write_text("/a(/ REJECT\n/not in it/ REJECT\n")
    done = reload(f"header_checks = regexp:{one.etc}/rules\n", "")
    assert done.returncode == 0 and re.search("service cleanup: regexp map .*/rules, line 1: .*: skipping this rule", done.stderr), done.stderr
    assert one.master_pid() == master_pid
    one.send("Subject: x\r\n\r\nx\r\n", recipients=["someone@example.com"])


def test_a_listener_may_take_the_place_of_a_broader_one(instance):
    """What a service of now holds, and the next generation does not, will be free."""
    one = instance(master=f"0.0.0.0:{(port := free_port('0.0.0.0'))} inet n - n - - smtpd\n")
    one.master_extra = f"127.0.0.1:{port} inet n - n - - smtpd\n"
    one.write()
    one.reload()
    one.wait_for_log("now listening at 127.0.0.1|reload -- ")

    def answers():
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5) as client:
            return client.recv(100).startswith(b"220")
    wait_until(answers)
