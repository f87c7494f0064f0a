# SPDX-License-Identifier: ISC
"""The configuration that Debian 12's postfix package makes for an Internet site, with nothing changed but directories and the port."""

import re

import pytest

from instance import Instance, wait_until

pytestmark = pytest.mark.root       # the rows below ask for a chroot

# name, type, private, unprivileged, chroot, wakeup, maxproc, program with arguments
ROWS = """
    PORT              inet       n - y -     - smtpd
    pickup            unix       n - y 60    1 pickup
    cleanup           unix       n - y -     0 cleanup
    qmgr              unix       n - n 300   1 qmgr
    tlsmgr            unix       - - y 1000? 1 tlsmgr
    rewrite           unix       - - y -     - trivial-rewrite
    bounce            unix       - - y -     0 bounce
    defer             unix       - - y -     0 bounce
    trace             unix       - - y -     0 bounce
    verify            unix       - - y -     1 verify
    flush             unix       n - y 1000? 0 flush
    proxymap          unix       - - n -     - proxymap
    proxywrite        unix       - - n -     1 proxymap
    smtp              unix       - - y -     - smtp
    relay             unix       - - y -     - smtp -o syslog_name=postfix/$service_name
    showq             unix       n - y -     - showq
    error             unix       - - y -     - error
    retry             unix       - - y -     - error
    discard           unix       - - y -     - discard
    local             unix       - n n -     - local
    virtual           unix       - n n -     - virtual
    lmtp              unix       - - y -     - lmtp
    anvil             unix       - - y -     1 anvil
    scache            unix       - - y -     1 scache
    postlog           unix-dgram n - n -     1 postlogd
    maildrop          unix       - n n -     - pipe flags=DRXhu user=vmail argv=/usr/bin/maildrop -d ${recipient}
    uucp              unix       - n n -     - pipe flags=Fqhu user=uucp argv=uux -r -n -z -a$sender - $nexthop!rmail ($recipient)
    ifmail            unix       - n n -     - pipe flags=F user=ftn argv=/usr/lib/ifmail/ifmail -r $nexthop ($recipient)
    bsmtp             unix       - n n -     - pipe flags=Fq. user=bsmtp argv=/usr/lib/bsmtp/bsmtp -t$nexthop -f$sender $recipient
    scalemail-backend unix       - n n -     2 pipe flags=R user=scalemail argv=/usr/lib/scalemail/bin/scalemail-store ${nexthop} ${user}
    mailman           unix       - n n -     - pipe flags=FRX user=list argv=/usr/lib/mailman/bin/postfix-to-mailman.py ${nexthop} ${user}
"""

MAIN = {
    "smtpd_banner": "$myhostname ESMTP $mail_name (Debian/GNU)",
    "biff": "no",
    "append_dot_mydomain": "no",
    "readme_directory": "no",
    "compatibility_level": "3.6",
    "smtp_tls_CApath": "/etc/ssl/certs",
    "smtp_tls_security_level": "may",
    "smtp_tls_session_cache_database": "btree:${data_directory}/smtp_scache",
    "smtpd_relay_restrictions": "permit_mynetworks permit_sasl_authenticated defer_unauth_destination",
    "mydestination": "$myhostname, mail.example.org, localhost.example.org, , localhost",
    "relayhost": "",
    "mynetworks": "127.0.0.0/8 [::ffff:127.0.0.0]/104 [::1]/128",
    "mailbox_size_limit": "0",
    "recipient_delimiter": "+",
    "inet_protocols": "all",
    "inet_interfaces": "all",
    "mydomain": None,
    "local_recipient_maps": None,
    "import_environment": None,
}


class DebianInstance(Instance):
    def master_cf(self):
        return "\n".join(line.strip() for line in ROWS.splitlines()).replace("PORT", f"{self.address}:{self.smtp_port}")


@pytest.fixture
def debian():
    one = DebianInstance(main=MAIN)
    try:
        (one.root / "spool").mkdir(mode=0o1777)
        (one.root / "spool").chmod(0o1777)
        one.main.update({
            "myorigin": one.file("mailname", "mail.example.org\n"),
            "mail_spool_directory": f"{one.root}/spool",
            "alias_maps": f"hash:{one.etc}/aliases",
            "alias_database": f"hash:{one.etc}/aliases",
        })
        one.file("aliases", "postmaster: games\n")
        one.write()
        one.command("newaliases")
        yield one
    finally:
        one.close()


def test_check_is_content_and_names_what_is_not_there(debian):
    checked = debian.command("postroad", "-c", debian.etc, "check")
    missing = set(re.findall(r"service (\S+): there is no program", checked.stderr))
    assert missing <= {"maildrop", "uucp", "ifmail", "bsmtp", "scalemail-backend", "mailman"}, checked.stderr
    assert "error" not in checked.stderr


def test_check_fails_without_the_file_that_myorigin_names(debian):
    (debian.etc / "mailname").unlink()
    checked = debian.command("postroad", "-c", debian.etc, "check", check=False)
    assert checked.returncode == 1
    assert f"myorigin = {debian.etc}/mailname: No such file" in checked.stderr


def test_mail_from_network_and_host_reaches_the_mailbox(debian):
    debian.start()
    debian.send("Subject: from the network\r\n\r\nbody\r\n", recipients=["games+tag@localhost", "postmaster@mail.example.org"])
    debian.command("sendmail", "-f", "root", "games", input="Subject: from the host\n\nbody\n")
    mailbox = debian.root / "spool" / "games"
    wait_until(lambda: mailbox.exists() and mailbox.read_text().count("\nSubject: ") == 3, 30, debian.log_tail)
    debian.wait_empty()
    assert "Return-Path: <root@mail.example.org>" in mailbox.read_text()
    debian.wait_for_log("orig_to=<postmaster@mail.example.org>")
    debian.stop()
    assert not debian.log_lines("warning|error:|fatal|panic"), debian.log()
