# SPDX-License-Identifier: ISC
"""The rows submission and submissions of the stock master.cf: users send mail with real clients over TLS; Dovecot checks their passwords and gets the mail."""

import os
import pwd
import re
import smtplib
import ssl
import subprocess
from email import message_from_bytes

import pytest

from certificates import Authority
from instance import IS_ROOT, TOP, Instance, free_port, wait_until
from peers import Dovecot, Exim

PASSWORD = "secret"
EIGHT_BIT = "grüße"


def stock_rows(**ports):
    """The rows of conf/master.cf that are commented out, without their #, on other ports."""
    rows = ""
    for name, port in ports.items():
        block = re.search(rf"^#{name} +inet .*\n(?:#  -o .*\n)+", (TOP / "conf/master.cf").read_text(), re.M).group()
        rows += re.sub("^#", "", block, flags=re.M).replace(f"{name} ", f"127.0.0.1:{port} ", 1)
    return rows


def snippets():
    """What README tells people with passwords to put into main.cf, and into Dovecot's configuration."""
    chapter = (TOP / "README.md").read_text().partition("Users who send mail, from anywhere")[2].partition("Give root an alias")[0]
    blocks = [re.sub("^    ", "", block, flags=re.M) for block in re.findall("(?:^    .*\n)+", chapter, re.M)]
    main, dovecot = blocks
    return dict(line.split(" = ") for line in main.splitlines()), dovecot


class Service:
    def __init__(self, directory):
        self.ca = Authority(directory / "ca")
        main, block = snippets()
        assert (main.pop("smtpd_sasl_path"), main.pop("smtpd_tls_chain_files")) == ("private/auth", "/etc/ssl/private/mail.pem")
        user = "daemon" if IS_ROOT else pwd.getpwuid(os.getuid()).pw_name
        self.dovecot = Dovecot(more=block.replace("/var/spool/postroad/private/auth", "of-postroad").replace("postfix", user))
        self.starttls, self.wrapped, self.clear = free_port(), free_port(), free_port()
        self.mail = Instance(hostname="localhost", main={
            **main, "smtpd_tls_chain_files": self.ca.chain_file("server"), "smtpd_sasl_path": self.dovecot.root / "run/of-postroad", "myhostname": "mail.example.org", "mydomain": "example.org", "mynetworks": "192.0.2.1",
            "myorigin": "example.org", "append_dot_mydomain": "yes", "smtpd_soft_error_limit": "100",
            "mydestination": "", "virtual_mailbox_domains": "example.org", "virtual_mailbox_maps": "static:x",
            "virtual_transport": f"lmtp:unix:{self.dovecot.lmtp_socket}", "smtpd_client_restrictions": "reject_unknown_reverse_client_hostname, reject",
            "smtpd_sasl_authenticated_header": "yes", "transport_maps": "inline:{ utf8.example=discard: }"}, master=stock_rows(submission=self.starttls, submissions=self.wrapped) +
            f"127.0.0.1:{self.clear} inet n - n - - smtpd\n  -o smtpd_sasl_auth_enable=yes -o smtpd_client_restrictions=\n"
            "  -o smtpd_relay_restrictions=permit_sasl_authenticated,reject\n")
        self.mail.start()

    def close(self):
        self.mail.close()
        self.dovecot.close()

    def received(self, subject):
        def look():
            return [message for message in map(message_from_bytes, self.dovecot.messages()) if message["Subject"] == subject]
        (message,) = wait_until(look, 60, self.mail.log_tail, pause=0.1)
        return message

    def session(self, wrapped=False):
        trust = ssl.create_default_context(cafile=str(self.ca.certificate))
        if wrapped:
            return smtplib.SMTP_SSL("localhost", self.wrapped, local_hostname="client.example", context=trust, timeout=60)
        client = smtplib.SMTP("localhost", self.starttls, local_hostname="client.example", timeout=60)
        client.starttls(context=trust)
        return client


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    one = Service(tmp_path_factory.mktemp("submission"))
    yield one
    one.close()


# ---- clients ----

def swaks(mechanism):
    def submit(service, subject, scratch):
        subprocess.run(["swaks", "--server", "127.0.0.1", "--port", str(service.starttls), "--tls", "--auth", mechanism, "--auth-user", "jane",
                        "--auth-password", PASSWORD, "--from", "jane@example.org", "--to", "jane@example.org", "--h-Subject", subject, "--body", EIGHT_BIT],
                       check=True, stdout=subprocess.PIPE, timeout=120)
    return submit


def msmtp(*options):
    def submit(service, subject, scratch):
        port = service.wrapped if "--tls-starttls=off" in options else service.starttls
        subprocess.run(["msmtp", "--host=localhost", f"--port={port}", "--tls=on", f"--tls-trust-file={service.ca.certificate}", "--user=jane",
                        f"--passwordeval=echo {PASSWORD}", "--from=jane@example.org", *options, "jane@example.org"],
                       input=f"Subject: {subject}\nFrom: jane@example.org\n\n{EIGHT_BIT}\n".encode(), check=True, timeout=120)
    return submit


def curl(scheme, sender="jane@example.org", recipient="jane@example.org"):
    def submit(service, subject, scratch):
        (scratch / "message").write_text(f"Subject: {subject}\r\nFrom: jane@example.org\r\n\r\n{EIGHT_BIT}\r\n")
        port = service.wrapped if scheme == "smtps" else service.starttls
        subprocess.run(["curl", "-sS", "--ssl-reqd", "--cacert", service.ca.certificate, "--user", f"jane:{PASSWORD}", "--mail-from", sender,
                        "--mail-rcpt", recipient, "--upload-file", scratch / "message", f"{scheme}://localhost:{port}/client.example"],
                       check=True, timeout=120)
    return submit


def s_nail(service, subject, scratch):
    (scratch / "mailrc").write_text("")
    settings = ["v15-compat", f"mta=smtps://jane:{PASSWORD}@localhost:{service.wrapped}", "smtp-config=-all,plain", "tls-verify=strict",
                f"tls-ca-file={service.ca.certificate}", "tls-ca-no-defaults", "from=jane@example.org", "hostname=client.example", "sendwait", "mime-encoding=8b"]
    subprocess.run(["s-nail", "-:/", *[word for setting in settings for word in ("-S", setting)], "-s", subject, "jane@example.org"],
                   input=f"{EIGHT_BIT}\n".encode(), check=True, timeout=120, env=dict(os.environ, LC_ALL="C.UTF-8", MAILRC=str(scratch / "mailrc")))


def python(wrapped):
    def submit(service, subject, scratch):
        with service.session(wrapped) as client:
            client.login("jane", PASSWORD)
            client.sendmail("jane@example.org", ["jane@example.org"], f"Subject: {subject}\r\n\r\n{EIGHT_BIT}\r\n".encode())
    return submit


CLIENTS = {
    "swaks-plain": swaks("PLAIN"), "swaks-login": swaks("LOGIN"), "swaks-cram-md5": swaks("CRAM-MD5"), "msmtp-starttls": msmtp("--auth=plain"),
    "msmtp-scram": msmtp("--auth=scram-sha-256", "--tls-starttls=off"), "curl-starttls": curl("smtp"), "curl-wrapped": curl("smtps"), "s-nail": s_nail,
    "python-starttls": python(False), "python-wrapped": python(True),
}


@pytest.mark.parametrize("name", CLIENTS)
def test_a_user_sends_mail_with(service, tmp_path, name):
    CLIENTS[name](service, f"by {name}", tmp_path)
    message = service.received(f"by {name}")
    received = message.get_all("Received")[-1]
    assert re.search(r"by mail.example.org \(\S+\) with (UTF8S|ES)MTPSA id", received) and "(Authenticated sender: jane)" in received
    # RFC 6409 8: what a client left out is there
    assert len(message.get_all("Date")) == len(message.get_all("Message-Id")) == len(message.get_all("From")) == 1
    assert "jane@example.org" in message["From"]
    assert EIGHT_BIT.encode() in message.get_payload(decode=True)


def test_the_log_says_who_and_by_which_service(service, tmp_path):
    python(True)(service, "for the log", tmp_path)
    service.received("for the log")
    service.mail.wait_for_log(r"postfix/submissions/smtpd\[\d+\]: \w+: client=\S+\[127.0.0.1\], sasl_method=\S+, sasl_username=jane$")


def test_nothing_goes_without_tls_and_a_password(service):
    with smtplib.SMTP("127.0.0.1", service.starttls, local_hostname="client.example", timeout=60) as client:
        client.ehlo()
        assert not client.has_extn("auth")
        assert client.docmd("AUTH PLAIN AGphbmUAc2VjcmV0")[0] == 530
        assert client.docmd("MAIL FROM:<jane@example.org>")[0] == 530
    for wrapped in (False, True):
        with service.session(wrapped) as client:
            client.ehlo()
            assert client.mail("jane@example.org")[0] == 250
            assert client.rcpt("jane@example.org") == (554, b"5.7.1 <jane@example.org>: Recipient address rejected: Access denied")
            assert client.rset()[0] == 250
            with pytest.raises(smtplib.SMTPAuthenticationError):
                client.login("jane", "wrong")
    service.mail.wait_for_log(r"submission/smtpd\[\d+\]: warning: \S+\[127.0.0.1\]: SASL \S+ authentication failed: "
                              r"\(reason unavailable\), sasl_username=jane$")


def test_who_was_known_before_starttls_is_not_known_behind_it(service):
    with smtplib.SMTP("localhost", service.clear, local_hostname="client.example", timeout=60) as client:
        client.login("jane", PASSWORD)
        client.starttls(context=ssl.create_default_context(cafile=str(service.ca.certificate)))
        client.ehlo()
        assert client.mail("jane@example.org")[0] == 250
        assert client.rcpt("jane@example.org")[0] == 554
        assert client.rset()[0] == 250
        client.login("jane", PASSWORD)
        assert client.mail("jane@example.org")[0] == 250
        assert client.rcpt("jane@example.org")[0] == 250


def test_extensions_and_headers_of_a_submission(service):
    with service.session() as client:
        client.ehlo()
        for word in ("8bitmime", "smtputf8", "dsn", "chunking", "pipelining", "size", "enhancedstatuscodes"):
            assert client.has_extn(word), word
        client.login("jane", PASSWORD)
        assert client.docmd("MAIL FROM:<jane@example.org> BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=abc AUTH=jane@example.org")[0] == 250
        assert client.docmd("RCPT TO:<jane@example.org> NOTIFY=FAILURE")[0] == 250
        content = "Subject: grüße\r\nTo: j, someone@sub\r\n\r\nä\r\n".encode()
        client.sock.sendall(f"BDAT {len(content)} LAST\r\n".encode() + content)
        code, text = client.getreply()
        assert code == 250, text
    # Dovecot does not take SMTPUTF8, so the headers come back
    message = wait_until(lambda: [one for one in service.dovecot.messages() if "Subject: grüße".encode() in one], 60, service.mail.log_tail, pause=0.1)[0].decode()
    assert "with UTF8SMTPSA id" in message
    # incomplete addresses are completed, and missing headers made
    assert "To: j@example.org, someone@sub.example.org\r\n" in message
    assert "From: jane@example.org\r\n" in message
    assert re.search(r"Message-Id: <\S+@mail.example.org>\r\n", message) and "\r\nDate: " in message
    service.mail.wait_for_log("sasl_username=jane, sasl_sender=jane@example.org")


def assert_notified(service, what):
    """A notification of success came back, with the headers only, as they were asked for."""
    def look():
        return [one for one in map(message_from_bytes, service.dovecot.messages()) if one.get_content_type() == "multipart/report" and what in one.as_string()]
    report = wait_until(look, 60, service.mail.log_tail, pause=0.1)[0]
    assert [part.get_content_type() for part in report.get_payload()] == ["text/plain", "message/delivery-status", "text/rfc822-headers"]
    assert "Action: relayed" in report.as_string()         # by LMTP to a server without DSN


def test_msmtp_asks_for_notifications(service, tmp_path):
    msmtp("--auth=plain", "--dsn-notify=success,failure", "--dsn-return=headers")(service, "notify by msmtp", tmp_path)
    assert_notified(service, "Subject: notify by msmtp")


@pytest.mark.parametrize("scheme", ("smtp", "smtps"))
def test_curl_sends_from_an_address_in_utf8(service, tmp_path, scheme):
    curl(scheme, sender="jäne@example.org", recipient=f"öl-{scheme}@utf8.example")(service, "in UTF-8", tmp_path)
    line, *_ = service.mail.wait_for_log(rf"to=<öl-{scheme}@utf8.example>, .*status=sent")
    queue_id = re.search(r": (\w+): to=", line).group(1)
    service.mail.wait_for_log(rf"{queue_id}: from=<jäne@example.org>")


@pytest.mark.root
@pytest.mark.parametrize("wrapped", (False, True))
def test_exim_submits_by_chunks_and_with_dsn_and_8_bit_content(service, wrapped):
    port = service.wrapped if wrapped else service.starttls
    with Exim(smarthost=("127.0.0.1", port, "jane", PASSWORD, "PLAIN"), wrapped=wrapped) as exim:
        exim.relay("EHLO client.example", f"MAIL FROM:<jane@example.org> BODY=8BITMIME RET=HDRS ENVID=exim-{port}", "RCPT TO:<jane@example.org> NOTIFY=SUCCESS,FAILURE",
                   "RCPT TO:<x@utf8.example>", "DATA", f"Subject: by exim {port}", "", "ä" * 70, ".", "QUIT")
        message = service.received(f"by exim {port}")
        service.mail.wait_for_log(rf"{'submissions' if wrapped else 'submission'}/smtpd\[\d+\]: disconnect from localhost\[127.0.0.1\] .* auth=1 mail=1 rcpt=2 bdat=1 quit=1")
    assert "with ESMTPSA id" in message.get_all("Received")[1] and message.get_payload(decode=True).decode() == "ä" * 70 + "\r\n"
    assert_notified(service, f"Original-Envelope-Id: exim-{port}")
