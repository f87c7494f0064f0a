# SPDX-License-Identifier: ISC
"""postroad lint has nothing to say about configurations as sites have them, ours as it is installed among them."""

import grp
import os
import pwd
import subprocess

import pytest

from instance import COMMANDS, DAEMONS, IS_ROOT, TOP, free_port

ALIASES = "postmaster: root\nroot: ann@elsewhere.example\nmailer-daemon: postmaster\nabuse: postmaster\n"
COMMON = {"myhostname": "mail.example.org", "mydomain": "example.org", "alias_maps": "hash:$config_directory/aliases", "alias_database": "$alias_maps", "local_recipient_maps": None,
          "recipient_delimiter": "+", "smtpd_banner": "$myhostname ESMTP $mail_name", "biff": "no"}
POSTGRES = "hosts = unix:/run/postgresql\nuser = mail\npassword = x\ndbname = mail\nquery = SELECT goto FROM alias WHERE address = '%s'\n"
SUBMISSION = """{port} inet n - n - - smtpd
  -o syslog_name=postfix/submission -o smtpd_tls_security_level=encrypt -o smtpd_sasl_auth_enable=yes -o smtpd_tls_auth_only=yes
  -o smtpd_client_restrictions=$mua_client_restrictions -o smtpd_helo_restrictions=$mua_helo_restrictions -o smtpd_sender_restrictions=$mua_sender_restrictions
  -o smtpd_recipient_restrictions= -o smtpd_relay_restrictions=permit_sasl_authenticated,reject
"""

# What is not said is COMMON's; files: made beside main.cf, those in `databases` are given to postmap.
SITES = {
    "relay host with a password": {
        "main": {"relayhost": "[smtp.provider.example]:587", "smtp_sasl_auth_enable": "yes", "smtp_sasl_password_maps": "hash:$config_directory/passwords",
                 "smtp_sasl_security_options": "noanonymous", "smtp_sasl_tls_security_options": "noanonymous", "smtp_tls_security_level": "encrypt", "mydestination": "$myhostname, localhost",
                 "sender_canonical_maps": "regexp:$config_directory/rewrite", "smtp_tls_CApath": "/etc/ssl/certs", "inet_interfaces": "loopback-only"},
        "files": {"passwords": "[smtp.provider.example]:587 me:secret\n", "rewrite": "/^(.*)@localhost$/ $1@example.org\n"}, "databases": ["passwords"]},
    "null client": {
        "main": {"mydestination": "", "relayhost": "[mailhub.example.org]", "inet_interfaces": "loopback-only", "myorigin": "$mydomain", "local_transport": "error:local delivery is disabled",
                 "alias_maps": "", "alias_database": "", "mynetworks_style": "host", "mynetworks": None, "masquerade_domains": "$mydomain"}},
    "backup MX": {
        "main": {"relay_domains": "hash:$config_directory/relay", "relay_recipient_maps": "hash:$config_directory/relay_recipients", "transport_maps": "hash:$config_directory/transport",
                 "smtpd_recipient_restrictions": "reject_unauth_destination, reject_unlisted_recipient, reject_rbl_client zen.spamhaus.example, permit", "maximal_queue_lifetime": "10d",
                 "proxy_interfaces": "192.0.2.200", "delay_warning_time": "4h", "mydestination": "$myhostname, localhost.$mydomain, localhost"},
        "files": {"relay": "example.com OK\nexample.net OK\n", "relay_recipients": "@example.com x\njoe@example.net x\n", "transport": "example.com relay:[mx1.example.com]\nexample.net relay:[192.0.2.99]:2525\n"},
        "databases": ["relay", "relay_recipients", "transport"]},
    "virtual mailboxes in SQL": {
        "main": {"virtual_mailbox_domains": "proxy:pgsql:$config_directory/domains.cf", "virtual_mailbox_maps": "proxy:pgsql:$config_directory/boxes.cf", "virtual_alias_maps": "proxy:pgsql:$config_directory/goto.cf",
                 "virtual_mailbox_base": "/var/vmail", "virtual_uid_maps": "static:5000", "virtual_gid_maps": "static:5000", "virtual_minimum_uid": "5000", "mydestination": "$myhostname, localhost",
                 "virtual_transport": "lmtp:unix:private/dovecot-lmtp", "smtpd_sender_login_maps": "proxy:pgsql:$config_directory/goto.cf",
                 "proxy_read_maps": "$virtual_mailbox_domains $virtual_mailbox_maps $virtual_alias_maps $smtpd_sender_login_maps", "dovecot_destination_recipient_limit": "1"},
        "files": {name: POSTGRES for name in ("domains.cf", "boxes.cf", "goto.cf")}, "mode": 0o640, "said": ["domains.cf", "boxes.cf", "goto.cf"],     # the server does not run
        "master": "dovecot unix - n n - - pipe\n  flags=DRXhu user={user} argv=/bin/cat -f ${{sender}} -d ${{recipient}}\n"},
    "edge of a provider": {
        "main": {"mynetworks": "127.0.0.0/8 192.0.2.0/24 [2001:db8::]/32", "mydestination": "$myhostname, localhost.$mydomain, localhost, $mydomain", "smtpd_restriction_classes": "from_dialup, greylist",
                 "from_dialup": "check_recipient_access hash:$config_directory/known, reject", "greylist": "check_policy_service unix:private/greylist",
                 "smtpd_client_restrictions": "permit_mynetworks, check_client_access cidr:$config_directory/clients, reject_unknown_reverse_client_hostname",
                 "smtpd_helo_required": "yes", "smtpd_helo_restrictions": "permit_mynetworks, reject_invalid_helo_hostname, reject_non_fqdn_helo_hostname",
                 "smtpd_sender_restrictions": "reject_non_fqdn_sender, reject_unknown_sender_domain, check_sender_access hash:$config_directory/known",
                 "smtpd_relay_restrictions": "permit_mynetworks, reject_unauth_destination", "header_checks": "pcre:$config_directory/headers",
                 "smtpd_recipient_restrictions": "reject_non_fqdn_recipient, permit_mynetworks, reject_rbl_client zen.spamhaus.example=127.0.0.[2..11], greylist, permit",
                 "smtpd_data_restrictions": "reject_unauth_pipelining", "smtpd_client_connection_count_limit": "20", "smtpd_tls_security_level": "may", "smtpd_tls_chain_files": "$config_directory/chain",
                 "smtpd_tls_loglevel": "1", "smtp_tls_security_level": "may", "slow_destination_concurrency_limit": "2", "slow_destination_rate_delay": "1s",
                 "transport_maps": "texthash:$config_directory/transport", "disable_vrfy_command": "yes", "message_size_limit": "52428800", "mailbox_size_limit": "0"},
        "files": {"known": "example.com OK\nbad.example REJECT\n", "clients": "198.51.100.0/24 from_dialup\n203.0.113.7 REJECT\n", "headers": "/^Subject: buy/ REJECT\n", "transport": "yahoo.example slow:\n"},
        "databases": ["known"], "chain": True, "master": "slow unix - - n - 5 smtp\n  -o syslog_name=postfix/slow\n"},
    "submission with Dovecot": {
        "main": {"smtpd_sasl_type": "dovecot", "smtpd_sasl_path": "private/auth", "smtpd_tls_security_level": "may", "smtpd_tls_chain_files": "$config_directory/chain", "mydestination": "$myhostname, localhost",
                 "smtpd_sender_login_maps": "hash:$config_directory/logins", "mua_client_restrictions": "permit_sasl_authenticated, reject", "mua_helo_restrictions": "",
                 "mua_sender_restrictions": "reject_authenticated_sender_login_mismatch", "virtual_mailbox_domains": "example.com", "virtual_mailbox_maps": "hash:$config_directory/boxes",
                 "virtual_transport": "lmtp:unix:private/dovecot-lmtp", "smtp_tls_security_level": "dane", "dns_resolver_trust_anchor_file": None, "smtputf8_enable": "yes"},
        "files": {"logins": "ann@example.com ann@example.com\n", "boxes": "ann@example.com x\n"}, "databases": ["logins", "boxes"], "chain": True, "master": SUBMISSION,
        "said": ["smtp_tls_security_level = dane: without dns_resolver_trust_anchor_file"]},
    "content filter": {
        "main": {"content_filter": "smtp-amavis:[127.0.0.1]:10024", "mydestination": "$myhostname, localhost, $mydomain", "smtp-amavis_destination_concurrency_limit": "4"},
        "master": """smtp-amavis unix - - n - 4 smtp
  -o smtp_data_done_timeout=1200 -o smtp_send_xforward_command=no -o disable_dns_lookups=no -o max_use=20 -o smtp_tls_security_level=none
127.0.0.1:{port} inet n - n - - smtpd
  -o content_filter= -o smtpd_delay_reject=no -o smtpd_client_restrictions=permit_mynetworks,reject -o smtpd_helo_restrictions= -o smtpd_sender_restrictions=
  -o smtpd_recipient_restrictions=permit_mynetworks,reject -o smtpd_relay_restrictions= -o smtpd_data_restrictions=reject_unauth_pipelining -o mynetworks=127.0.0.0/8
  -o smtpd_error_sleep_time=0 -o smtpd_soft_error_limit=1001 -o smtpd_hard_error_limit=1000 -o receive_override_options=no_header_body_checks,no_unknown_recipient_checks
""", "said": ["smtp_send_xforward_command", "disable_dns_lookups"]},
    "hub of a company": {
        "main": {"mynetworks": "127.0.0.0/8 10.0.0.0/8", "relay_domains": "$mydestination, internal.example.org", "transport_maps": "hash:$config_directory/transport", "canonical_maps": "hash:$config_directory/canonical",
                 "virtual_alias_domains": "example.com, example.net", "virtual_alias_maps": "hash:$config_directory/virtual", "masquerade_domains": "example.org", "masquerade_exceptions": "root",
                 "sender_dependent_relayhost_maps": "hash:$config_directory/relayhosts", "always_bcc": "archive@internal.example.org", "mydestination": "$myhostname, localhost, example.org",
                 "smtp_generic_maps": "hash:$config_directory/generic", "local_transport": "local:$myhostname", "mailbox_command": "/usr/lib/dovecot/deliver -m \"${EXTENSION}\""},
        "files": {"transport": "internal.example.org smtp:[10.1.2.3]\n", "canonical": "ann a.nother@example.org\n", "virtual": "info@example.com ann, joe@internal.example.org\n@example.net @example.com\n",
                  "relayhosts": "@example.com [smtp.example.com]:587\n", "generic": "root@mail.example.org postmaster@example.org\n"},
        "databases": ["transport", "canonical", "virtual", "relayhosts", "generic"]},
    "mailing lists": {
        "main": {"alias_maps": "hash:$config_directory/aliases, hash:$config_directory/lists", "owner_request_special": "no", "transport_maps": "regexp:$config_directory/mailman",
                 "local_recipient_maps": "proxy:unix:passwd.byname $alias_maps regexp:$config_directory/mailman", "relay_domains": "lists.example.org",
                 "relay_recipient_maps": "regexp:$config_directory/mailman", "smtp_destination_recipient_limit": "50", "enable_original_recipient": "no"},
        "files": {"mailman": "/^staff(-.*)?@lists\\.example\\.org$/ lmtp:[127.0.0.1]:8024\n", "lists": "staff: :include:/dev/null\nowner-staff: ann@example.org\n"}, "aliases": ["lists"]},
    "satellite behind a table server": {
        "main": {"relayhost": "[gate.example.org]:2525", "mydestination": "$myhostname, localhost", "smtpd_client_restrictions": "permit_mynetworks, check_client_access tcp:127.0.0.1:9, reject",
                 "mynetworks": "$config_directory/networks", "smtp_fallback_relay": "[gate2.example.org]", "local_header_rewrite_clients": "permit_mynetworks", "inet_protocols": "ipv4",
                 "append_dot_mydomain": "no", "readme_directory": "no", "compatibility_level": "3.6"},
        "files": {"networks": "127.0.0.0/8\n192.0.2.0/28\n"}, "said": ["readme_directory", "tcp:127.0.0.1:9"]},
}


def lines(one):
    """What lint says, without what it says of programs that are not installed with their rights here."""
    done = one.command("postroad", "-c", one.etc, "lint", check=False)
    said = [line for line in done.stderr.splitlines() if f" {COMMANDS}/" not in line and line != "postroad: no errors found"]
    return done.returncode, said


@pytest.mark.parametrize("name", SITES)
def test_sites_that_are_in_order(instance, name):
    site = SITES[name]
    one = instance(main=dict(COMMON, **site["main"]), start=False,
                   master=site.get("master", "").format(port=free_port(), user=pwd.getpwnam("nobody").pw_name))
    one.write()
    for file, text in {"aliases": ALIASES, **site.get("files", {})}.items():
        one.file(file, text, site.get("mode", 0o640 if file == "passwords" else 0o644))
    for file in ["aliases", *site.get("aliases", [])]:
        one.command("postalias", f"hash:{one.etc}/{file}")
    for file in site.get("databases", []):
        one.command("postmap", f"hash:{one.etc}/{file}")
    if site.get("chain"):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=a", "-days", "3",
                        "-keyout", one.etc / "chain", "-out", one.etc / "crt"], check=True, capture_output=True, timeout=60)
        with (one.etc / "chain").open("a") as chain:
            chain.write((one.etc / "crt").read_text())
    said = lines(one)[1]
    for expected in site.get("said", []):
        assert any(expected in line for line in said), (expected, said)
    unexpected = [line for line in said if not any(expected in line for expected in site.get("said", []))]
    assert not unexpected, "\n".join(unexpected)


def test_what_is_installed_is_in_order(instance):
    one = instance(start=False)
    one.write()
    (one.etc / "main.cf").write_text((TOP / "conf/main.cf").read_text() + f"queue_directory = {one.queue}\ndata_directory = {one.data}\ndaemon_directory = {DAEMONS}\n"
                                     f"command_directory = {COMMANDS}\nshlib_directory = {one.main['shlib_directory']}\nmail_owner = {one.main['mail_owner']}\n"
                                     f"setgid_group = {one.main['setgid_group']}\nmyhostname = mail.example.org\n")
    (one.etc / "master.cf").write_text((TOP / "conf/master.cf").read_text().replace("\nsmtp      inet", f"\n{free_port()} inet"))
    one.file("aliases", (TOP / "conf/aliases").read_text())
    one.command("newaliases")
    said = lines(one)[1]
    assert len(said) == 1 and "alias_maps: there is no alias for root (mend: " in said[0], "\n".join(said)       # whoever that is, nobody knows but he
