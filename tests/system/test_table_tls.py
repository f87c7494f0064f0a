# SPDX-License-Identifier: ISC
"""Tables over TLS, with certificates of a CA of our own, against the real servers: PostgreSQL, MariaDB, slapd. Whom they believe, and who believes them; SASL with LDAP.

Each is asked by postmap, and by proxymap in its jail.
"""

import shutil

import pytest

from certificates import Authority
from instance import IS_ROOT, Instance, free_port
from servers import Mariadb, Postgres, Slapd
from test_proxymap import FOUND, look_up
from test_table_servers import Service, ask


class Certificates:
    """Files of a server (below its own directory, its own) and of us (in a directory that only the tables name): our CA, somebody else's, and certificates of both."""

    def __init__(self, mail):
        self.directory = mail.root / "pki"
        self.directory.mkdir(mode=0o755)
        self.authority, self.stranger = Authority(mail.root / "ca"), Authority(mail.root / "stranger", name="Another CA")
        self.ca, self.other_ca = self.ours(mail, self.authority.certificate), self.ours(mail, self.stranger.certificate, "other-ca.pem")
        self.of_name = self.authority.issue("name", name="localhost")
        self.of_address = self.authority.issue("address", name="server", names=["server,IP:127.0.0.1"])
        self.cert, self.key = (self.ours(mail, path) for path in self.authority.issue("client", name="test"))
        self.other_cert, self.other_key = (self.ours(mail, path) for path in self.stranger.issue("other", name="test"))

    def ours(self, mail, path, name=None):
        copy = self.directory / (name or path.name)
        shutil.copy(path, copy)
        copy.chmod(0o600 if path.suffix == ".key" else 0o644)
        if IS_ROOT:
            shutil.chown(copy, mail.main["mail_owner"])         # proxymap's user
        return copy

    def for_server(self, server, pair):
        """(CA, certificate, key) where that server may read them."""
        files = []
        for path in (self.authority.certificate, *pair):
            files.append(server.root / path.name)
            shutil.copy(path, files[-1])
            files[-1].chmod(0o600)
            server.own(files[-1])
        return files


@pytest.fixture(scope="module")
def mail():
    instance = Instance()
    instance.write()
    instance.certificates = Certificates(instance)
    yield instance
    instance.close()


def fails(mail, kind, text, words):
    with pytest.raises(RuntimeError, match=words):
        ask(mail, f"{kind}:{mail.file('fails.cf', text)}", "joe")


def found_by_proxymap(mail, spec):
    with Service(spec) as peer:
        answer = look_up(peer, spec, "joe")
        assert answer[:2] == (FOUND, "here"), answer


def test_postgresql(mail, monkeypatch):
    monkeypatch.delenv("HOME", raising=False)                   # as master has it; libpq looks for certificates there
    tls = mail.certificates
    with Postgres() as server:
        ca, cert, key = tls.for_server(server, tls.of_name)
        (server.data / "pg_hba.conf").write_text("local all all trust\nhostssl all certain 127.0.0.1/32 cert map=names\nhostssl all test 127.0.0.1/32 trust\n")
        (server.data / "pg_ident.conf").write_text("names test certain\n")
        with (server.data / "postgresql.conf").open("a") as conf:
            conf.write(f"ssl = on\nssl_ca_file = '{ca}'\nssl_cert_file = '{cert}'\nssl_key_file = '{key}'\n")
        server.answers = lambda: (server.root / f".s.PGSQL.{server.port}").exists() and "accept connections" in server.log.read_text()
        server.start()
        server.sql("CREATE USER certain; CREATE TABLE alias AS SELECT 'joe' AS address, 'here' AS goto; GRANT SELECT ON alias TO certain")

        def text(user="test", host="localhost", **words):
            options = "&".join(f"{name}={value}" for name, value in words.items())
            return (f"hosts = postgresql://{user}@{host}:{server.port}/postgres?{options}\n"
                    "query = SELECT goto FROM alias, pg_stat_ssl WHERE address = '%s' AND ssl AND pid = pg_backend_pid()\n")

        verified = text(sslmode="verify-full", sslrootcert=tls.ca)
        spec = f"pgsql:{mail.file('pg.cf', verified)}"
        assert ask(mail, spec, "joe") == "here"
        found_by_proxymap(mail, spec)
        fails(mail, "pgsql", text(sslmode="disable"), "no encryption")
        fails(mail, "pgsql", text(sslmode="verify-full", sslrootcert=tls.other_ca), "certificate verify failed")
        fails(mail, "pgsql", text(host="127.0.0.1", sslmode="verify-full", sslrootcert=tls.ca), "does not match host name")
        certain = {"user": "certain", "sslmode": "verify-full", "sslrootcert": tls.ca}
        fails(mail, "pgsql", text(**certain, sslcert="/nonexistent"), "requires a valid client certificate")
        fails(mail, "pgsql", text(**certain, sslcert=tls.other_cert, sslkey=tls.other_key), "unknown ca|certificate|closed")
        spec = f"pgsql:{mail.file('pg-cert.cf', text(**certain, sslcert=tls.cert, sslkey=tls.key))}"
        assert ask(mail, spec, "joe") == "here"
        found_by_proxymap(mail, spec)


def test_mariadb(mail):
    tls = mail.certificates
    with Mariadb() as server:
        ca, cert, key = tls.for_server(server, tls.of_address)
        plain = server.words()
        server.words = lambda: [*plain, f"--ssl-ca={ca}", f"--ssl-cert={cert}", f"--ssl-key={key}"]
        server.start().make_system_tables()
        server.sql("CREATE DATABASE m; CREATE TABLE m.alias AS SELECT 'joe' AS address, 'here' AS goto; FLUSH PRIVILEGES; CREATE USER tls@'%' IDENTIFIED BY 'x' REQUIRE SSL; "
                   "CREATE USER certain@'%' IDENTIFIED BY 'x' REQUIRE X509; CREATE USER open@'%' IDENTIFIED BY 'x'; GRANT SELECT ON m.* TO tls@'%', certain@'%', open@'%'")

        def text(user="tls", host="127.0.0.1", **words):
            return (f"hosts = inet:{host}:{server.port}\nuser = {user}\npassword = x\ndbname = m\nquery = SELECT goto FROM alias WHERE address = '%s'\n"
                    + "".join(f"{name} = {value}\n" for name, value in words.items()))

        assert ask(mail, f"mysql:{mail.file('open.cf', text(user='open'))}", "joe") == "here"
        fails(mail, "mysql", text(), "Access denied")
        spec = f"mysql:{mail.file('my.cf', text(tls_CAfile=tls.ca, tls_verify_cert='yes'))}"
        assert ask(mail, spec, "joe") == "here"
        found_by_proxymap(mail, spec)
        fails(mail, "mysql", text(tls_CAfile=tls.other_ca, tls_verify_cert="yes"), "(?i)certificate")
        fails(mail, "mysql", text(host="127.1", tls_CAfile=tls.ca, tls_verify_cert="yes"), "(?i)certificate|host name")
        fails(mail, "mysql", text(user="certain", tls_CAfile=tls.ca), "Access denied")
        spec = f"mysql:{mail.file('my-cert.cf', text(user='certain', tls_CAfile=tls.ca, tls_cert_file=tls.cert, tls_key_file=tls.key, tls_verify_cert='yes'))}"
        assert ask(mail, spec, "joe") == "here"
        found_by_proxymap(mail, spec)
        # a server without TLS is not talked to in the clear
        server.kill()
        server.words = lambda: [*plain, "--skip-ssl"]
        server.start()
        fails(mail, "mysql", text(user="open", tls_CAfile=tls.ca), "(?i)ssl|tls")
        assert ask(mail, f"mysql:{mail.etc}/open.cf", "joe") == "here"


SLAPD = """\
access to dn.base="" by * read
access to * by dn.exact="cn=reader,dc=example" read by * auth
"""
ENTRIES = """\
dn: dc=example
objectClass: dcObject
objectClass: organization
o: Example
dc: example

dn: cn=reader,dc=example
objectClass: person
cn: reader
sn: reader
userPassword: geheim

dn: uid=joe,dc=example
objectClass: inetOrgPerson
uid: joe
cn: joe
sn: joe
title: here
"""


def test_ldap(mail):
    tls = mail.certificates
    with Slapd() as server:
        ca, cert, key = tls.for_server(server, tls.of_address)
        lines = server.conf.read_text().replace("access to * by * read\n", "")
        front, back = lines.split("database mdb\n")
        server.conf.write_text(front + f"TLSCACertificateFile {ca}\nTLSCertificateFile {cert}\nTLSCertificateKeyFile {key}\nTLSVerifyClient try\nsasl-host localhost\n"
                               'sasl-secprops none\nauthz-regexp "cn=test" "cn=reader,dc=example"\nauthz-regexp "uid=([^,]*),.*" "cn=$1,dc=example"\n'
                               "database mdb\n" + back + SLAPD)
        secure = free_port()
        words = server.words()
        server.words = lambda: [*words[:-1], f"{words[-1]} ldaps://127.0.0.1:{secure}"]
        server.start().load(ENTRIES)

        def text(uri=f"ldap://127.0.0.1:{server.port}", **words):
            return (f"server_host = {uri}\nsearch_base = dc=example\nquery_filter = (uid=%s)\nresult_attribute = title\ntimeout = 5\n"
                    + "".join(f"{name} = {value}\n" for name, value in words.items()))

        simple = {"bind_dn": "cn=reader,dc=example", "bind_pw": "geheim"}
        verified = {"start_tls": "yes", "tls_require_cert": "yes", "tls_ca_cert_file": tls.ca}
        ldaps = f"ldaps://127.0.0.1:{secure}"
        fails(mail, "ldap", text(), "Insufficient access")                   # anonymous
        for number, more in enumerate([
                {**simple, **verified}, {**simple, "uri": ldaps, "tls_require_cert": "yes", "tls_ca_cert_file": tls.ca},
                {**verified, "bind": "sasl", "sasl_mechs": "external", "tls_cert": tls.cert, "tls_key": tls.key},
                {"uri": ldaps, "tls_require_cert": "yes", "tls_ca_cert_file": tls.ca, "bind": "sasl", "sasl_mechs": "EXTERNAL", "tls_cert": tls.cert, "tls_key": tls.key},
                {"bind": "sasl", "sasl_mechs": "DIGEST-MD5", "bind_dn": "reader", "bind_pw": "geheim", "sasl_minssf": "1"},
                {**verified, "bind": "sasl", "sasl_mechs": "PLAIN", "bind_dn": "reader", "bind_pw": "geheim"},
                {"bind": "sasl", "sasl_mechs": "SCRAM-SHA-256", "bind_dn": "reader", "bind_pw": "geheim"}]):
            spec = f"ldap:{mail.file(f'good-{number}.cf', text(**more))}"
            assert ask(mail, spec, "joe") == "here", more
            assert ask(mail, spec, "nobody") is None
            found_by_proxymap(mail, spec)
        impostor = {**simple, "tls_require_cert": "yes", "tls_ca_cert_file": tls.other_ca}
        fails(mail, "ldap", text(**impostor, start_tls="yes"), "start TLS with .*Connect error")
        fails(mail, "ldap", text(uri=ldaps, **impostor), "bind to .*Can't contact")
        fails(mail, "ldap", text(uri=f"ldap://localhost:{server.port}", **simple, **verified), "start TLS with .*Connect error")
        fails(mail, "ldap", text(**verified, bind_dn="cn=reader,dc=example", bind_pw="wrong"), "Invalid credentials")
        fails(mail, "ldap", text(bind="sasl", sasl_mechs="DIGEST-MD5", bind_dn="reader", bind_pw="wrong"), "Invalid credentials")
        fails(mail, "ldap", text(**verified, bind="sasl", sasl_mechs="EXTERNAL"), "mechanism|method|credentials")
        fails(mail, "ldap", text(bind="sasl", sasl_mechs="DIGEST-MD5", sasl_minssf="1000", bind_dn="reader", bind_pw="geheim"), "(?i)mechanism|method|encryption|strong")
