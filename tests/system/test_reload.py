# SPDX-License-Identifier: ISC
"""A configuration that the new generation cannot work with leaves the old one serving, and says why: to who asked, and in the log."""

import re

from instance import IS_ROOT

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


def test_mistakes_leave_the_old_configuration_in_force(instance):
    one = instance()
    main, master = (one.etc / "main.cf").read_text(), (one.etc / "master.cf").read_text()
    master_pid = one.master_pid()
    for more_main, more_master, words in MISTAKES if IS_ROOT else MISTAKES[:-1]:
        (one.etc / "main.cf").write_text(main + more_main)
        (one.etc / "master.cf").write_text(master + more_master)
        done = one.command("postroad", "-c", one.etc, "reload", check=False)
        assert done.returncode == 78 and re.search(words, done.stderr), (more_main + more_master, done.stderr)
        one.wait_for_log("error: reload: .*" + words)
        with one.client() as client:
            assert client.noop()[0] == 250
    assert one.master_pid() == master_pid
    (one.etc / "main.cf").write_text(main)
    (one.etc / "master.cf").write_text(master + "foo unix - - n - - nosuch\n")
    done = one.command("postroad", "-c", one.etc, "reload")
    assert "service foo: there is no program " in done.stderr
    one.send("Subject: x\r\n\r\nx\r\n", recipients=["someone@example.com"])
