# SPDX-License-Identifier: ISC
"""postroad lint and postroad explain: what is wrong with a configuration, and what would become of a mail."""

import os
import socket
import subprocess

import pytest

from instance import IS_ROOT, free_port

GOOD = {"alias_maps": "inline:{postmaster=nobody, root=nobody, mailer-daemon=nobody}", "mydestination": "$myhostname, example.org",
        "local_recipient_maps": "inline:{joe=x, postmaster=x}"}


def lint(one):
    done = one.command("postroad", "-c", one.etc, "lint", check=False)
    return done.returncode, done.stderr


def explain(one, *words):
    done = one.command("postroad", "-c", one.etc, "explain", *words, check=False)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, done.stdout


def test_a_good_configuration_has_no_faults(instance):
    one = instance(main=GOOD)
    status, said = lint(one)
    assert status == 0 and said.endswith("postroad: no errors found\n"), said
    assert "error:" not in said


@pytest.mark.parametrize("change, words", [
    ({"typo": "1"}, ["main.cf:@LINE@: unused parameter: typo=1"]),
    ({"relayhsot": "a"}, ["unused parameter: relayhsot=a (did you mean relayhost?)"]),
    ({"html_directory": "/x"}, ["main.cf:", ": html_directory is a Postfix parameter that has no effect here"]),
    ({"smtpd_banner": "$myhostname ESMTP  # ours"}, ["main.cf:@LINE@: smtpd_banner: a comment behind a value is none"]),
    ({"smtpd_banner": "$myhostname ESMTP\n    smtpd_tls_security_level = may"}, [': smtpd_banner: "smtpd_tls_security_level =" is a part of its value']),
    ({"smtpd_timeout": "never"}, ["main.cf:", "smtpd_timeout = never: a time from"]),
    ({"transport_maps": "hash:/nonexistent/t"}, ["error: ", "main.cf:", ": transport_maps: ", "/nonexistent/t"]),
    ({"mynetworks": "0.0.0.0/0"}, ["error: ", "master.cf:2: service ", "open relay", "someone@not-here.invalid"]),
    ({"smtpd_relay_restrictions": "permit_mynetworks, check_client_access static:OK, reject_unauth_destination"}, ["open relay"]),
    ({"smtpd_relay_restrictions": "permit"}, ["specify at least one working instance"]),
    ({"smtpd_recipient_restrictions": "reject_unauth_destination, permit, reject_unlisted_recipient"},
     ["smtpd_recipient_restrictions: reject_unlisted_recipient is never reached behind permit"]),
    ({"smtpd_restriction_classes": "dialup, loose", "dialup": "permit_mynetworks, reject, permit_sasl_authenticated", "loose": "permit_mynetworks, dialup", "smtpd_client_restrictions": "loose, permit_mynetworks"},
     [": dialup: permit_sasl_authenticated is never reached behind reject", ": smtpd_client_restrictions: permit_mynetworks is never reached behind loose"]),
    ({"alias_maps": "inline:{ {postmaster=root, postmaster2} {root=postmaster} {postmaster2=postmaster2x} {postmaster2x=root} {mailer-daemon=mailer-daemon} }", "alias_database": "hash:$config_directory/aliases"},
     [": alias_maps: the alias for postmaster leads to other aliases in a circle, and to nobody", ": alias_maps: the alias for root leads", ": alias_database: newaliases makes hash:/"]),
    ({"virtual_alias_maps": "ldap:$config_directory/ldap.cf, mysql:mine", "mine_password": "x", "mine_hosts": "127.0.0.1:9", "mine_user": "u", "mine_dbname": "d", "mine_query": "SELECT 1"},
     [": virtual_alias_maps: /", "/ldap.cf: everybody may read the password in it (mend: chmod o-rwx ", ": mine_password: everybody may read this password"]),
    ({"smtpd_client_restrictions": "check_client_access inline:{a=OK}, permit_mynetworks, check_client_access inline:{a=OK}"},
     ["smtpd_client_restrictions: check_client_access stands there twice"]),
    ({"smtpd_client_restrictions": "reject_nothing"}, ["smtpd_client_restrictions: unknown restriction \"reject_nothing\""]),
    ({"relayhost": "[127.0.0.1]"}, ["error: ", "relayhost: mail for someone@not-here.invalid goes to [127.0.0.1], which is this machine"]),
    ({"virtual_mailbox_domains": "example.org"}, ["virtual_mailbox_domains: domain example.org is in mydestination too"]),
    ({"alias_maps": "inline:{root=joe}"}, ["alias_maps: there is no alias for postmaster"]),
    ({"virtual_alias_maps": "nosuch:/x"}, ["main.cf:@LINE@: virtual_alias_domains: unsupported table type: nosuch:/x"]),
    ({"smtpd_restriction_classes": "mine"}, ["main.cf:@LINE@: smtpd_restriction_classes: restriction class mine is not defined"]),
    ({"virtual_alias_maps": "inline:{ {a@example.org=b@example.org} {b@example.org=a@example.org} {c@example.org=d@example.com} }"},
     ["virtual_alias_maps: <a@example.org>: unreasonable virtual_alias_maps map nesting"]),
    ({"canonical_maps": "texthash:$config_directory/circle"}, ["canonical_maps: <x@example.org>: unreasonable canonical_maps map nesting"]),
    ({"transport_maps": "inline:{ {example.com=smtp:[127.0.0.1]} {example.net=smtp:[192.0.2.1]} {example.edu=bar:} }"},
     ["transport_maps: mail for postmaster@example.com goes to [127.0.0.1], which is this machine",
      "main.cf:@LINE@: transport_maps: mail for postmaster@example.edu goes to service bar, which master.cf does not have"]),
    ({"smtp_sasl_auth_enable": "yes", "relayhost": "[mail.example.com]:587", "smtp_sasl_security_options": "noanonymous",
      "smtp_sasl_password_maps": "texthash:$config_directory/circle, static:", "smtp_tls_security_level": "may"},
     ["smtp_sasl_security_options: passwords may be said in the clear", "/circle: everybody may read the passwords (mend: chmod o-rwx "]),
    ({"smtp_sasl_auth_enable": "yes", "relayhost": "[mail.example.com]:587", "smtp_sasl_password_maps": "inline:{ {mail.example.com:587=x:y} }"},
     ["smtp_sasl_password_maps: passwords stand in a file that everybody may read",
      'no user and password for relayhost, neither for "[mail.example.com]:587" nor for "mail.example.com"']),
], ids=lambda value: next(iter(value)) if isinstance(value, dict) else "")
def test_faults_are_found(instance, change, words):
    one = instance(main=dict(GOOD, **change), start=False)
    one.write()
    one.file("circle", "x@example.org y@example.org\ny@example.org x@example.org\n")
    one.file("ldap.cf", "server_host = 127.0.0.1:9\nsearch_base = x\nbind = yes\nbind_dn = cn=x\nbind_pw = secret\n")
    status, said = lint(one)
    assert status == 1
    last = len((one.etc / "main.cf").read_text().splitlines())
    for word in words:
        assert word.replace("@LINE@", str(last)) in said


def expect_said(one, words):
    status, said = lint(one)
    missing = [word for word in words if word not in said]
    assert status == 1 and not missing, (missing, said)
    return said


def test_loops_are_found_wherever_a_next_hop_is_named(instance):
    second = free_port()
    one = instance(main=dict(GOOD, local_transport="lmtp:[127.0.0.1]:@PORT@", virtual_mailbox_domains="v.example", virtual_transport="smtp:localhost", relay_domains="r.example, com",
                             relay_transport="relay:[mail.example.org]", mailbox_transport="local:", fallback_transport="smtp:[127.0.0.1]:25", smtp_fallback_relay="[192.0.2.77]",
                             proxy_interfaces="192.0.2.77", sender_dependent_relayhost_maps="inline:{@a.example=[127.0.0.1]}", virtual_alias_domains="va.example",
                             sender_dependent_default_transport_maps="inline:{ {@b.example=smtp:[127.0.0.1]:%d} {@c.example=nosuch:} }" % second, content_filter="smtp:[127.0.0.1]:%d" % second,
                             transport_maps="texthash:$config_directory/transport", header_checks="regexp:$config_directory/checks", relayhost="relay:[192.0.2.1]",
                             virtual_alias_maps="inline:{ {x@va.example=y@va.example} {z@va.example=joe} }"),
                   master=f"127.0.0.1:{second} inet n - n - - smtpd\n", start=False)
    one.set(local_transport=f"lmtp:[127.0.0.1]:{one.smtp_port}")
    one.write()
    one.file("transport", "* smtp:[127.0.0.1]\n")
    one.file("checks", "/^a/ FILTER smtp:[127.0.0.1]\n/^b/ REJCT typo\nif /x/\n/^c/ DUNNO\nendif\n")
    own, other = (f"this system's own service 127.0.0.1:{port} (master.cf, line " for port in (one.smtp_port, second))
    said = expect_said(one, [
        f": local_transport: [127.0.0.1]:{one.smtp_port} is {own}2): the mail would come back for ever", ": virtual_transport: localhost is this machine", ": relay_transport: [mail.example.org] is this machine",
        ": mailbox_transport: local: is local delivery again, for ever", ": fallback_transport: [127.0.0.1]:25 is this machine", ": smtp_fallback_relay: [192.0.2.77] is this machine",
        ": sender_dependent_relayhost_maps: [127.0.0.1] is this machine", f": sender_dependent_default_transport_maps: [127.0.0.1]:{second} is {other}",
        ': sender_dependent_default_transport_maps: master.cf has no service "nosuch"', f": service pickup: its content_filter is {other}", "which has one too: the mail would go round for ever (mend: -o content_filter= there)",
        ": content_filter: every service that takes mail sends it to the filter", ": transport_maps: mail for someone@not-here.invalid goes to [127.0.0.1], which is this machine", "/checks:1: : [127.0.0.1] is this machine",
        '/checks:2: "REJCT" is no action of header_checks', ': relayhost: "relay:[192.0.2.1]" is no next hop', ': relay_domains: "com" is a top-level domain',
        ": virtual_alias_maps: <x@va.example> comes to <y@va.example>, whose domain is one of virtual_alias_domains: nobody is there"])
    assert "z@va.example" not in said and "DUNNO" not in said and all("main.cf:" in line for line in said.splitlines() if "is this machine" in line and "/checks" not in line)
    one.set(content_filter=f"smtp:[127.0.0.1]:{second}")
    (one.etc / "master.cf").write_text((one.etc / "master.cf").read_text().rstrip("\n") + " -o content_filter=\n")
    assert "content_filter" not in lint(one)[1]


def test_what_strangers_may_claim_and_what_means_nothing_in_access_tables(instance):
    one = instance(main=dict(GOOD, smtpd_restriction_classes="picky", picky="check_helo_access inline:{ {friend.example=OK} }, check_client_access texthash:$config_directory/clients",
                             smtpd_relay_restrictions="picky, check_sender_access texthash:$config_directory/senders, reject_unauth_destination", smtpd_sasl_auth_enable="yes",
                             smtpd_sender_restrictions="check_sender_access inline:{ {example.org=OK} }", smtpd_sasl_security_options="noplaintext", smtpd_authorized_xclient_hosts="[2001:db8::]/31"), start=False)
    one.write()
    one.file("senders", "example.com OK\nann@ permit\nx@example.net REJECT\n<> 250\n")
    one.file("clients", "192.0.2.77 REJCT no\n192.0.2.78 554 5.7.1 no\n192.0.2.79 picky\n192.0.2.80 REDIRECT nobody\n")
    said = expect_said(one, [
        "/senders:1: open relay: any stranger may relay who says MAIL FROM example.com (mend: ", "/senders:2: open relay: any stranger may relay who says MAIL FROM ann@",
        "/senders:4: open relay: any stranger may relay who says MAIL FROM <>", ": picky: open relay: any stranger may relay who says HELO friend.example", '/clients:1: key 192.0.2.77: "REJCT no" is no action',
        '/clients:4: key 192.0.2.80: "REDIRECT nobody" is no action', "smtpd_authorized_xclient_hosts: a stranger (client 2001:db8::1) may say that he is anybody",
        "smtpd_sasl_security_options: without noanonymous"])
    assert "MAIL FROM example.org" not in said and "x@example.net" not in said and "/clients:2" not in said and "/clients:3" not in said


def test_rows_and_programs_that_are_missing(instance):
    one = instance(main=dict(GOOD, virtual_mailbox_domains="v.example"), master="gone unix - n n - - pipe\n  user=nobody argv=/nonexistent/program ${recipient}\nhere unix - n n - - pipe\n  user=nobody argv=/bin/cat\n", start=False)
    one.write()
    rows = [line for line in (one.etc / "master.cf").read_text().splitlines() if line.split()[:1] not in (["cleanup"], ["local"], ["virtual"])]
    (one.etc / "master.cf").write_text("\n".join(rows) + "\n")
    said = expect_said(one, ["master.cf: there is no service cleanup, without which no mail is delivered", ": mydestination: mail for postmaster@example.org goes to service local, which master.cf does not have",
                             ": virtual_mailbox_domains: mail for postmaster@v.example goes to service virtual, which", ": service gone: argv=/nonexistent/program: No such file or directory"])
    assert "/bin/cat" not in said and "service bounce" not in said


def test_rows_that_want_the_same(instance):
    first, second = free_port(), free_port()
    one = instance(main=GOOD, master=f"127.0.0.1:{first} inet n - n - - smtpd\n0.0.0.0:{first} inet n - n - - smtpd\n127.0.0.1:{second} inet n - n - - smtpd\n127.0.0.1:{second} inet n - n - 1 smtpd\n", start=False)
    one.write()
    last = len((one.etc / "master.cf").read_text().splitlines())
    expect_said(one, [f"master.cf:{last - 2}: service 0.0.0.0:{first}: the service in line {last - 3} has that port already", f"master.cf:{last}: service 127.0.0.1:{second}: the row for it in line {last - 1} does not count"])


def test_overrides_of_a_service_are_its_own_fault(instance):
    one = instance(main=GOOD, master="127.0.0.1:20271 inet n - n - - smtpd -o smtpd_relay_restrictions=$nowhere,check_sender_access,static:OK,reject\n"
                   "127.0.0.1:20272 inet n - n - - smtpd -o mynetworks=192.0.0.0/8 -o content_filter=none:\n", start=False)
    one.write()
    status, said = lint(one)
    assert status == 1
    rows = (one.etc / "master.cf").read_text().splitlines()
    for port in ("20271", "20272"):
        line = 1 + next(number for number, row in enumerate(rows) if port in row)
        assert port != "20271" or f"master.cf:{line}: undefined parameter: nowhere" in said
        assert port != "20272" or f'master.cf:{line}: content_filter = none:: master.cf has no service "none"' in said
        assert f"master.cf:{line}: service 127.0.0.1:{port}: open relay" in said
    assert f"service {one.address}:{one.smtp_port}: open relay" not in said


def test_overrides_that_their_program_does_not_read_and_classes_that_nothing_names(instance):
    one = instance(main=dict(GOOD, smtpd_restriction_classes="used, by_table, by_static, by_class, forgotten", used="reject_unauth_pipelining", by_table="reject", by_static="reject", by_class="reject_unauth_pipelining",
                             forgotten="by_class, permit_mynetworks", smtpd_client_restrictions="used, check_client_access texthash:$config_directory/clients, check_client_access static:by_static",
                             mine_destination_rate_delay="1s"), start=False,
                   master="127.0.0.1:20274 inet n - n - - smtpd\n  -o smtp_tls_security_level=may -o header_checks=pcre:/x -o mynetworks=127.0.0.1 -o alias_maps=inline:{joe=x} -o worker_processes=1 -o max_use=3\n"
                   "  -o smtpd_reject_unlisted_recipient=$disable_mime_output_conversion -o disable_mime_output_conversion=no\n"
                   "mine unix - - n - - smtp -o mine_destination_rate_delay=1s -o lmtp_data_init_timeout=9s -o smtp_data_init_timeout=9s -o relayhost=[192.0.2.1]\n"
                   "over unix - - n - - lmtp -o lmtp_data_init_timeout=9s -o smtp_connect_timeout=9s\nown unix - - n - - spawn -o header_checks=\n"
                   "rewrite unix - - n - - trivial-rewrite -o transport_maps=\n")
    one.write()
    one.file("clients", "192.0.2.77 By_Table\n")
    rows = (one.etc / "master.cf").read_text().splitlines()
    at = {name: 1 + next(number for number, row in enumerate(rows) if row.startswith(name)) for name in ("127.0.0.1:20274", "mine", "over", "rewrite")}
    said = expect_said(one, [
        f"master.cf:{at['127.0.0.1:20274']}: service 127.0.0.1:20274: -o smtp_tls_security_level is not read by smtpd, but by smtp (mend: -o smtpd_tls_security_level)",
        f"master.cf:{at['127.0.0.1:20274']}: service 127.0.0.1:20274: -o header_checks is not read by smtpd, but by cleanup (mend: set it in main.cf, or in a row of who reads it)",
        ": -o worker_processes is not read by smtpd, but by master (mend: ", f"master.cf:{at['mine']}: service mine: -o mine_destination_rate_delay is not read by smtp, but by qmgr (mend: ",
        ": service mine: -o lmtp_data_init_timeout is not read by smtp, but by lmtp (mend: -o smtp_data_init_timeout)", ": service mine: -o relayhost is not read by smtp, but by smtpd qmgr local (mend: ",
        f"master.cf:{at['over']}: service over: -o smtp_connect_timeout is not read by lmtp, but by smtp (mend: -o lmtp_connect_timeout)",
        f"master.cf:{at['rewrite']}: service rewrite: -o transport_maps has no effect: no trivial-rewrite runs here",
        ": smtpd_restriction_classes: no list of restrictions and no table of theirs names forgotten (mend: "])
    unread = [line for line in said.splitlines() if " is not read by " in line or "restriction_classes" in line]
    assert len(unread) == 8, unread
    one.set(smtpd_client_restrictions="used, check_client_access texthash:$config_directory/clients, check_policy_service inet:127.0.0.1:9")
    assert "no table of theirs names" not in lint(one)[1]      # the policy service may name any


def test_what_aliases_name_and_is_not_there(instance):
    one = instance(main={"mydestination": "$myhostname, example.org", "recipient_delimiter": "+"}, start=False)
    one.write()
    here = one.etc
    for name, mode in (("good", 0o644), ("writable", 0o666), ("program", 0o755), ("data", 0o644)):
        one.file(name, f"nobody, :include:{here}/inner\n" if name == "good" else "nobody\n", mode)
        (here / name).chmod(mode)
    one.file("inner", f"typo-in-file, |{here}/program\n")
    one.file("aliases", f"postmaster: root\nroot:nobody+box\nmailer-daemon: postmaster\n# no alias\nlists: :include:{here}/good,\n  :include:{here}/gone, away@elsewhere.example\n"
             f"all: :include:{here}/writable, :include:relative, :include:{here}\nfilter: \"|{here}/program -x\", \"|{here}/missing -x $USER\", |{here}/data\nshell: \"|exec {here}/missing; true\"\n"
             f"files: {here}/new, {here}/none/new, {here}/none/maildir/\nnobody: nobody\njoe: jeo, root\nother: \\\\postmastre\nbroken: a b <c\n")
    one.set(alias_maps=f"hash:{here}/aliases, inline:{{ {{in=:include:/gone}} }}")
    one.command("postalias", "-c", here, f"hash:{here}/aliases")
    said = expect_said(one, [
        f"/aliases:5: lists: :include:{here}/good: :include:{here}/inner: there is neither an alias nor a user \"typo-in-file\" (mend: ", f"/aliases:5: lists: :include:{here}/gone: No such file or directory: mail is deferred (mend: ",
        f"/aliases:7: all: :include:{here}/writable: mail is deferred: everybody may write to the file", "/aliases:7: all: :include:relative: mail is deferred: no path from the root", f"/aliases:7: all: :include:{here}: mail is deferred: not a file",
        f"/aliases:8: filter: |{here}/missing: No such file or directory (mend: ", f"/aliases:8: filter: |{here}/data: is no program that can be run (mend: chmod a+x ",
        f"/aliases:10: files: {here}/none/new: {here}/none: No such file or directory", f"/aliases:10: files: {here}/none/maildir: {here}/none: No such", '/aliases:12: joe: there is neither an alias nor a user "jeo"',
        '/aliases:13: other: there is neither an alias nor a user "postmastre"', ": alias_maps: in: :include:/gone: No such file or directory"])
    about = [line for line in said.splitlines() if "aliases:" in line]
    assert len(about) == 11 + any("broken" in line for line in about), about
    one.set(luser_relay="ann@example.com")
    assert "neither an alias nor a user" not in lint(one)[1]


def test_tls_policies_that_would_hold_up_mail(instance):
    print_of = ":".join(["ab"] * 32)
    one = instance(main=dict(GOOD, smtp_tls_policy_maps="texthash:$config_directory/policies, inline:{ {in.example=encript} }", smtp_tls_per_site="texthash:$config_directory/sites", smtp_tls_security_level="may"), start=False)
    one.write()
    one.file("policies", f"good.example secure match=nexthop:.example.org protocols=>=TLSv1.2 ciphers=high\na.example incrypt\nb.example encrypt mtch=x\nc.example encrypt ciphers=hihg\nd.example encrypt protocols=!SSLv9\n"
             f"e.example secure match=nexthope\nf.example fingerprint\ng.example fingerprint match=ab:cd\nh.example fingerprint match={print_of}\ni.example secure tafile=/nonexistent\nj.example none match=x\n"
             "*.example.com encrypt\nk.example encrypt match=k.example\n[l.example]:587 dane-only\nm.example secure match\n")
    one.file("sites", "x.example MSUT\ny.example MUST\n")
    said = expect_said(one, [
        '/policies:2: a.example: invalid security level "incrypt"', '/policies:3: b.example: invalid attribute name: "mtch"', '/policies:4: c.example: ciphers: "hihg" is no cipher grade', '/policies:5: d.example: protocols: "!SSLv9" is no TLS',
        "/policies:6: e.example: match=nexthope is none of nexthop, dot-nexthop, hostname, and no domain", "/policies:7: f.example: configured at fingerprint security level, but with no fingerprints", "/policies:8: g.example: match=ab:cd is no fingerprint by sha256",
        "/policies:10: i.example: ", '/policies:11: j.example: ignoring attribute "match=x"', "/policies:12: *.example.com: no next hop is called that", '/policies:13: k.example: attribute "match" invalid at security level',
        '/policies:15: m.example: malformed attribute', 'smtp_tls_policy_maps: in.example: invalid security level "encript"', '/sites:1: x.example: unknown TLS policy "MSUT"'])
    assert len([line for line in said.splitlines() if "/policies:" in line]) == 12 and "/sites:2" not in said, said


def test_slips_of_tired_administrators(instance):
    one = instance(main=dict(GOOD, smtpd_client_restrictions="permit_mynetworks, reject_rbl_client reject_unauth_pipelining", mynetworks="127.0.0.0/8 192.168.1.", relay_domains='"r.example", @s.example, *.t.example',
                             relayhost="mx.example.com 587", default_transport="smtp:[192.0.2.1", virtual_transport="lmtp://unix:private/x", transport_maps="texthash:$config_directory/transport", mailbox_command="/usr/bin/nosuch -a $EXTENSION",
                             home_mailbox="~/Maildir/", smtp_sasl_password_maps="texthash:$config_directory/passwords", smtp_sasl_auth_enable="yes", smtp_tls_security_level="encrypt",
                             smtpd_sender_restrictions="check_sender_access texthash:$config_directory/senders", virtual_alias_maps="texthash:$config_directory/virtual"), start=False,
                   master="127.0.0.1:20275 inet n - n - - smtpd\n  smtpd_tls_security_level=encrypt\n127.0.0.1:20276 inet n - n - - smtpd -o smtpd_relay_restrictions=permit_mynetworks, reject\n")
    one.write()
    one.file("transport", "a.example smtp:mx.example.net:twentyfive\n@b.example smtp:\n*.c.example smtp:\nsocket.example lmtp:unix:private/d\nfine.example smtp:[2001:db8::1]:25, other.example\n")
    one.file("passwords", "mx.example.com me secret\ngood.example me:secret\n", 0o640)
    one.file("senders", "@bad.example REJECT\n*@bad.example REJECT\nbad.example REJECT\n<> REJECT\n")
    one.file("virtual", "*@v.example joe\n@w.example joe\n")
    said = expect_said(one, [
        ": smtpd_client_restrictions: reject_rbl_client has the restriction reject_unauth_pipelining for its argument", ': mynetworks: "192.168.1." is no address or network', ': relay_domains: ""r.example"" is no domain', ': relay_domains: "@s.example" is no domain',
        ': relay_domains: "*.t.example" is no domain', ': relayhost: "587" is no next hop', ': virtual_transport: "//unix:private/x" is no next hop: a host, [host] or either with :port, or unix:path',
        ': transport_maps: "mx.example.net:twentyfive" is no next hop', ': transport_maps: nothing is looked up under "@b.example" (mend: example.com, .example.com or *)', ': transport_maps: nothing is looked up under "*.c.example"',
        ": mailbox_command: |/usr/bin/nosuch: No such file or directory", ": home_mailbox: it is below the home anyway: ~/Maildir/", "/passwords:1: mx.example.com: no password behind the user's name",
        '/senders:1: nothing is looked up under "@bad.example"', '/senders:2: nothing is looked up under "*@bad.example"', ': virtual_alias_maps: nothing is looked up under "*@v.example" (mend: @example.com)',
        ': service 127.0.0.1:20275: "smtpd_tls_security_level=encrypt" belongs to no option (mend: -o before it', ': service 127.0.0.1:20276: "reject" belongs to no option'])
    assert not any(word in said for word in ("secret", "socket.example", "fine.example", "w.example")), said
    one.set(relayhost="", default_transport="smtp:[192.0.2.1")
    assert ': default_transport: "[192.0.2.1" is no next hop' in lint(one)[1]


def test_names_that_are_no_domain_no_directory_and_no_id(instance):
    one = instance(main=dict(GOOD, myorigin="@example.org", mail_spool_directory="/nowhere/mail", virtual_uid_maps="static:vmail", virtual_gid_maps="inline:{ {a@v.example = 8} {b@v.example = mail} }",
                             virtual_minimum_uid="100"), start=False)
    one.write()
    said = expect_said(one, [': myorigin: "@example.org" is no domain', "mail_spool_directory: /nowhere/mail: No such file or directory", ': virtual_uid_maps: "vmail" is no id, a number from 100', ': virtual_gid_maps: "mail" is no id, a number from 1:'])
    assert '"8"' not in said
    one.set(myorigin="example.org", mail_spool_directory="/nowhere/mail", home_mailbox="Maildir/", virtual_uid_maps="static:5000", virtual_gid_maps="static:8")
    said = lint(one)[1]
    assert not any(name in said for name in ("myorigin", "mail_spool_directory", "virtual_")), said


def test_words_and_figures_that_daemons_other_than_smtpd_do_not_know(instance):
    """One value each, as Postfix's daemons would refuse or adjust it."""
    wrong = {"smtp_host_lookup": ("nativ", "has no effect here"), "lmtp_connect_timeout": ("x", "a time from"),
             "internal_mail_filter_classes": ("bounces", '"bounces" is none of bounce, notify'), "smtpd_tls_mandatory_ciphers": ("hgh", '"hgh" is no cipher grade'), "bounce_queue_lifetime": ("6d", "is larger than maximal_queue_lifetime: adjusted"),
             "maximal_backoff_time": ("200s", "is smaller than minimal_backoff_time: adjusted"), "qmgr_message_recipient_limit": ("10", "is smaller than qmgr_message_active_limit: adjusted"), "anvil_rate_time_unit": ("0", "a time from 1s"),
             "virtual_minimum_uid": ("0", "a number from 1"), "pipe_time_limit": ("1y", "a time")}
    if IS_ROOT:
        wrong["default_privs"] = ("nosuchuser", 'there is no account "nosuchuser"')
    one = instance(main=dict(GOOD, smtpd_tls_security_level="may", **{name: value for name, (value, _) in wrong.items()}), master="pipe unix - n n - - pipe\n  user=nobody argv=/bin/true\n", start=False)
    one.write()
    said = lint(one)[1].splitlines()
    lines = (one.etc / "main.cf").read_text().splitlines()
    for name, (value, words) in wrong.items():
        at = f"main.cf:{lines.index(f'{name} = {value}') + 1}: {name}"
        assert any(at in line and words in line for line in said), (name, said)
    one = instance(main=dict(GOOD, propagate_unmatched_extensions="canonical, virtuel", prepend_delivered_header="files"), start=False)
    one.write()
    expect_said(one, [': propagate_unmatched_extensions: unknown class "virtuel"', ': prepend_delivered_header: "files" is none of command, file, forward'])


def test_a_table_that_is_older_than_its_source(instance):
    one = instance(main=GOOD, start=False)
    source = one.file("transport", "example.com discard:\n")
    one.set(transport_maps=f"hash:{source}")
    one.command("postmap", "-c", one.etc, f"hash:{source}")
    assert lint(one)[0] == 0
    source.chmod(0o666)
    assert f"transport_maps: {source}: everybody may write to it" in lint(one)[1]
    os.utime(source, (2e9, 2e9))
    status, said = lint(one)
    assert status == 1 and f"transport_maps: hash:{source} is older than its source" in said


def test_rights_and_tables_that_are_not_made_yet(instance):
    one = instance(main=dict(GOOD, transport_maps="hash:$config_directory/transport"))
    source = one.file("transport", "example.com discard:\n")
    (one.etc / "main.cf").chmod(0o666)
    (one.queue / "deferred").chmod(0o755)
    status, said = lint(one)
    assert status == 1
    for words in (f"transport_maps: open {source}.db: No such file or directory (mend: run postmap, or for aliases newaliases)", f"main.cf:1: queue_directory {one.queue}/deferred: mode is 755, should be 700 (mend: chmod 700 {one.queue}/deferred)",
                  f"{one.etc}/main.cf: "):
        assert words in said, said
    (one.etc / "main.cf").chmod(0o644)
    (one.queue / "deferred").chmod(0o700)


def test_a_table_that_is_not_there_is_said_once_and_what_nothing_reads_is_no_table(instance):
    one = instance(main=dict(GOOD, transport_maps="hash:$config_directory/transport", proxy_read_maps="$transport_maps",
                             smtp_tls_session_cache_database="btree:${data_directory}/smtp_scache", postscreen_access_list="cidr:/nonexistent"), start=False)
    one.write()
    said = lint(one)[1]
    assert said.count("/transport.db: No such file") == 1, said
    assert "transport_maps: open" in said and "btree" not in said and "cidr:" not in said, said


def test_a_port_that_somebody_has(instance):
    one = instance(main=GOOD, start=False)
    one.write()
    with socket.create_server((one.address, one.smtp_port)):
        status, said = lint(one)
    assert status == 1 and f"master.cf:2: service {one.address}:{one.smtp_port}: cannot listen at port {one.smtp_port} of {one.address}: Address already in use" in said


def test_explaining_shows_each_answer_rewriting_and_way(instance):
    one = instance(main=dict(GOOD, smtpd_restriction_classes="picky", picky="check_sender_access inline:{bad@example.com=REJECT}, permit_mynetworks",
                             smtpd_client_restrictions="check_client_access inline:{192.0.2.7=OK}, reject_rbl_client list.invalid",
                             smtpd_recipient_restrictions="picky, reject_unlisted_recipient",
                             virtual_alias_maps="inline:{ {sales@example.org=joe, friend@elsewhere.example} }",
                             recipient_canonical_maps="inline:{old@example.org=joe@example.org}",
                             transport_maps="inline:{elsewhere.example=smtp:[192.0.2.99]:2525}"))
    status, text = explain(one, "--client", "192.0.2.7", "--name", "host.example", "--from", "someone@example.com", "sales@example.org")
    assert status == 0
    for line in ("client host.example[192.0.2.7], service ", "check_client_access inline:{192.0.2.7=OK}: PERMIT", "reject_rbl_client list.invalid: not asked",
                 "defer_unauth_destination: no objection", "    picky: no objection", "RCPT is answered: 250 2.1.5 Ok",
                 "virtual_alias_maps: 2 addresses", "transport  smtp\n    next hop   [192.0.2.99]:2525", "runs local", "class      elsewhere"):
        assert line in text, line
    assert text.index("smtpd_client_restrictions") < text.index("smtpd_relay_restrictions") < text.index("smtpd_recipient_restrictions")

    status, text = explain(one, "--client", "192.0.2.8", "--name", "h.example", "--from", "bad@example.com", "joe@example.org", "x@elsewhere.example")
    assert status == 1
    assert "check_sender_access inline:{bad@example.com=REJECT}: REJECT 554 5.7.1 <bad@example.com>: Sender address rejected: Access denied" in text
    assert "permit_mynetworks: not asked" in text
    assert "defer_unauth_destination: DEFER 454 4.7.1 <x@elsewhere.example>: Relay access denied" in text

    text = explain(one, "--client", "127.0.0.1", "--name", "localhost", "--from", "me", "old@example.org")[1]
    assert "permit_mynetworks: PERMIT" in text
    assert "sender <me>\n  rewritten to <me@mail.example.org>" in text
    assert "recipient <old@example.org>\n  canonical_maps, masquerade_domains: <joe@example.org>" in text
    assert "    recipient  joe@example.org\n" in explain(one, '"joe"@example.org')[1]
    said = explain(one, "postmaster@example.org")[1]
    assert f"    alias      postmaster ({GOOD['alias_maps']})\n      user       nobody\n" in said
    assert list((one.queue / "incoming").iterdir()) == []
    assert not one.log_lines(r"4[0-9A-Za-z]+: client=")


def test_aliases_and_forward_files_are_followed(instance):
    one = instance(main={"mydestination": "$myhostname, example.org", "home_mailbox": "Maildir/", "recipient_delimiter": "+",
                         "mail_spool_directory": "/nowhere"}, start=False)
    aliases = one.file("aliases", f"crowd: daemon, \\nobody, \"|/bin/cmd arg\", /var/spool/file, :include:{one.etc}/inc, away@example.com, loop, nosuchuser\nloop: crowd\n")
    one.file("inc", "# those\nfirst@example.net\n:include:/nonexistent/file\n")
    one.file("forward.daemon", "daemon@elsewhere.example, \\daemon, daemon+x\n")
    one.file("forward.daemon+x", "daemon, x@elsewhere.example\n")
    one.set(alias_maps=f"hash:{aliases}", forward_path=f"{one.etc}/forward.$user+$extension {one.etc}/forward.$user")
    one.command("postalias", "-c", one.etc, f"hash:{aliases}")
    one.write()
    text = explain(one, "--client", "127.0.0.1", "crowd@example.org")[1].replace(str(one.etc), "ETC")
    for line in ("alias      crowd (hash:ETC/aliases)", "  user       daemon", "    ETC/forward.daemon says", "      forwarded to <daemon@elsewhere.example>",
                 "      user       daemon+x", "        ETC/forward.daemon+x says", "          forwarded to <x@elsewhere.example>",
                 "  user       nobody", "  command    |/bin/cmd arg", "  file       /var/spool/file", "  ETC/inc says", "    forwarded to <first@example.net>",
                 "    include    /nonexistent/file: there is no such file", "  forwarded to <away@example.com>", "  user       nosuchuser: there is none", "    alias      crowd: see above"):
        assert f"    {line}" in text, (line, text)
    assert text.count("alias      crowd") == 2 and "Maildir" in text


def test_clients_with_tls_certificates_and_logins(instance):
    one = instance(main=dict(GOOD, smtpd_sasl_auth_enable="yes", smtpd_sasl_type="dovecot", smtpd_sasl_path="inet:127.0.0.1:9", smtpd_tls_auth_only="yes",
                             smtpd_tls_chain_files="$config_directory/chain", relay_clientcerts="inline:{ {AB:CD=x} }",
                             smtpd_tls_security_level="may", smtpd_relay_restrictions="permit_sasl_authenticated, permit_tls_clientcerts, reject_unauth_destination",
                             smtpd_sender_restrictions="reject_sender_login_mismatch", smtpd_sender_login_maps="inline:{ {joe@example.org=joe} }"),
                   master="127.0.0.1:20273 inet n - n - - smtpd -o smtpd_tls_security_level=encrypt\n", start=False)
    one.write()
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=a", "-days", "3",
                    "-keyout", one.etc / "chain", "-out", one.etc / "crt"], check=True, capture_output=True, timeout=60)
    with (one.etc / "chain").open("a") as chain:
        chain.write((one.etc / "crt").read_text())
    far = "someone@elsewhere.example"
    for words, answer in (([], "RCPT is answered: 554 5.7.1 <someone@elsewhere.example>: Relay access denied"),
                          (["--sasl", "joe"], "AUTH is answered: 503 5.5.1 Error: authentication not enabled"),
                          (["--tls", "--sasl", "joe"], "permit_sasl_authenticated: PERMIT"),
                          (["--tls", "--sasl", "ann"], "553 5.7.1 <joe@example.org>: Sender address rejected: not owned by user ann"),
                          (["--tls"], "553 5.7.1 <joe@example.org>: Sender address rejected: not logged in"), (["--ccert", "AB:CD"], "permit_tls_clientcerts: PERMIT"),
                          (["--ccert", "AB:CE"], "permit_tls_clientcerts: no objection"),
                          (["--service", "127.0.0.1:20273"], "MAIL is answered: 530 5.7.0 Must issue a STARTTLS command first"),
                          (["--service", "127.0.0.1:20273", "--tls", "--sasl", "joe"], "RCPT is answered: 250")):
        sender = "someone@example.net" if not words or "--ccert" in words else "joe@example.org"
        text = explain(one, "--client", "192.0.2.9", "--name", "unknown", "--from", sender, *words, far)[1]
        assert answer in text, (words, text)
    one.set(smtpd_tls_security_level="none")
    assert "STARTTLS is answered: there is no TLS in this service" in explain(one, "--tls", far)[1]


def test_hosts_policies_and_logins_of_mail_that_leaves(instance):
    one = instance(main=dict(GOOD, relayhost="[127.0.0.9]:2525", smtp_sasl_auth_enable="yes", smtp_sasl_password_maps="inline:{ {[127.0.0.9]:2525=me:secret} }",
                             smtp_tls_security_level="may", smtp_tls_policy_maps="inline:{ {[127.0.0.9]:2525=secure match=relay.example.com} {[127.0.0.8]=encrypt} {bad.example=x} }",
                             transport_maps="inline:{ {a.example=smtp:[127.0.0.8]} {b.example=smtp:b.example} {c.example=lmtp:unix:/x/y} {d.example=smtp:bad.example} "
                             "{e.example=smtp:[a:b:c]:x} }", lmtp_tls_security_level="none"), start=False)
    one.write()
    text = explain(one, "x@example.com", "x@a.example", "x@b.example", "x@c.example", "x@d.example", "x@e.example", "--client", "127.0.0.1", "--name", "localhost")[1]
    for lines in ("    host       127.0.0.9[127.0.0.9]:2525\n      TLS      secure (smtp_tls_policy_maps), the certificate has to be for relay.example.com\n      login    as me, ",
                  "    host       127.0.0.8[127.0.0.8]:25\n      TLS      encrypt (smtp_tls_policy_maps)\n      login    none: smtp_sasl_password_maps has nothing for it\n",
                  "    hosts      not asked for: the mail system, whose resolver answers, is down\n    TLS        may (smtp_tls_security_level)\n",
                  "    host       /x/y\n      TLS      none (lmtp_tls_security_level)\n", "put off: 4.7.5 client TLS configuration problem", "not a next hop: [a:b:c]:x"):
        assert lines in text, (lines, text)
    assert "secret" not in text


def test_what_is_explained_is_what_happens(instance):
    """The same answers as a client gets."""
    one = instance(main=dict(GOOD, smtpd_client_restrictions="permit_mynetworks, reject", smtpd_delay_reject="no", mynetworks="127.0.0.2"))
    assert "CONNECT is answered: 554 5.7.1 <localhost[127.0.0.1]>: Client host rejected: Access denied" in explain(
        one, "--client", "127.0.0.1", "--name", "localhost", "joe@example.org")[1]
    with pytest.raises(Exception) as refused:
        one.client()
    assert "Client host rejected: Access denied" in str(refused.value)


def test_a_certificate_and_a_key_that_do_not_match(instance):
    one = instance(main=GOOD, start=False)
    for name in ("one", "other"):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=a", "-days", "3",
                        "-keyout", one.etc / f"{name}.key", "-out", one.etc / f"{name}.crt"], check=True, capture_output=True, timeout=60)
    one.set(smtpd_tls_security_level="may", smtpd_tls_cert_file=one.etc / "one.crt", smtpd_tls_key_file=one.etc / "one.key")
    (one.etc / "one.key").chmod(0o604)
    status, said = lint(one)
    assert status == 1 and "smtpd_tls_key_file: " in said and "everybody may read the key" in said
    (one.etc / "one.key").chmod(0o600)
    assert lint(one)[0] == 0
    one.set(smtpd_tls_key_file=one.etc / "other.key")
    status, said = lint(one)
    assert status == 1 and f"service {one.address}:{one.smtp_port}: TLS is not available: " in said and "mismatch" in said


def test_certificates_that_have_expired_chains_in_disorder_and_those_for_names(instance):
    one = instance(main=GOOD, start=False)
    one.write()
    (one.etc / "ext").write_text("basicConstraints=CA:TRUE\n")

    def openssl(*words):
        subprocess.run(["openssl", *words], check=True, capture_output=True, timeout=60, cwd=one.etc)

    def make(name, issuer, days, *more):
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        openssl("x509", "-req", "-in", f"{name}.csr", "-days", days, "-out", f"{name}.crt", *more, *(["-signkey", f"{name}.key"] if issuer == name else ["-CA", f"{issuer}.crt", "-CAkey", f"{issuer}.key", "-CAcreateserial"]))

    make("root", "root", "30", "-extfile", "ext")
    make("middle", "root", "30", "-extfile", "ext")
    for name, days in (("leaf", "30"), ("old", "-1"), ("soon", "1")):
        make(name, "middle", days)

    def chain(file, *parts):
        path = one.file(file, "".join((one.etc / part).read_text() for part in parts), 0o600)
        return str(path)

    good = chain("good", "leaf.key", "leaf.crt", "middle.crt")
    one.set(smtpd_tls_security_level="may", smtpd_tls_chain_files=good)
    assert lint(one)[0] == 0
    one.set(smtpd_tls_chain_files=chain("odd", "leaf.key", "leaf.crt", "root.crt"), smtp_tls_security_level="may", smtp_tls_chain_files=chain("expired", "old.key", "old.crt", "middle.crt"))
    expect_said(one, [": smtpd_tls_chain_files: the certificate of /CN=leaf is followed by that of /CN=root, who did not issue it (mend: ", ": smtp_tls_chain_files: the certificate of /CN=old has expired: 20"])
    one.set(smtpd_tls_chain_files=chain("nearly", "soon.key", "soon.crt", "middle.crt"), smtp_tls_chain_files="", tls_server_sni_maps=f"hash:{one.etc}/names, texthash:{one.etc}/more")
    one.file("names", f"good.example {good}\nold.example {chain('expired', 'old.key', 'old.crt')}\nnone.example {chain('crossed', 'old.key', 'leaf.crt')}\n")
    one.file("more", f".example.org {good}\nodd.example {one.etc}/odd\n")
    one.command("postmap", "-F", f"hash:{one.etc}/names")
    said = expect_said(one, [": smtpd_tls_chain_files: the certificate of /CN=soon expires soon: ", "/names:2: old.example: the certificate of /CN=old has expired", "/names:3: none.example: its key and certificates cannot be used: ",
                             "/more:2: odd.example: the certificate of /CN=leaf is followed by that of /CN=root", f"tls_server_sni_maps: {one.etc}/names.db: everybody may read the keys in it (mend: chmod o-rwx "])
    assert "good.example" not in said and "/more:1" not in said
    chain("good", "soon.key", "soon.crt")
    assert "/names:1: good.example: the files have changed since the table was made (mend: postmap -F)" in lint(one)[1]
    one.command("postmap", f"hash:{one.etc}/names")
    assert "/names:1: good.example: the table does not have its key and certificates (mend: make it with postmap -F)" in lint(one)[1]
