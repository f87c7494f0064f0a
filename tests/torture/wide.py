# SPDX-License-Identifier: ISC
"""The scene with every program on the road: mail by way of DNS, proxied tables, LMTP, commands, and mail that is thrown away; TLS and logins in
both directions, with policies, reports, tokens and the services behind them."""

import os
import pwd
import shutil
import ssl
import subprocess

from certificates import Authority
from dns_server import DnsServer
from instance import DAEMONS, IS_ROOT
from mail_hosts import Hosts
from scene import BOX, DISCARDED, FILE, LATER, LIST, NOBODY, RELAY, USER, Scene
from sink import Sink
from test_mtasts import PolicyServer, policy
from test_sasl_client import AuthSink

BY_DNS, BY_LMTP, PIPED, COMMAND = "dns@dns.example", "lmtp@lmtp.example", "piped@piped.example", "command@local.example"
BY_POLICY, BY_TOKEN = "sts@d0.test", "token@token.example"
WIDE_ROUTES = [[RELAY], [BOX], [FILE], [USER], [LIST], [NOBODY], [LATER], [BY_DNS], [BY_DNS, BOX], [BY_LMTP], [PIPED], [COMMAND], [DISCARDED],
               [BY_POLICY], [BY_TOKEN], [RELAY, BOX, BY_LMTP, DISCARDED, NOBODY]]
# A file of its own, complete under its name. Whoever is killed meanwhile leaves at most what came in too short. mktemp makes names of the clock
# and the stack's address, some 31 bits, so one may come that is in use as new.*: ln leaves that message alone, and the mail is tried again.
SCRIPT = '#!/bin/sh\nmade=$(mktemp "$1/tmp.XXXXXX") && cat > "$made" && ln "$made" "$1/new.${made##*.}" && rm "$made" || exit 75\n'
HELPER = "#!/bin/sh\necho right; echo 2\n"              # a token for two seconds
SASLPASSWD = shutil.which("saslpasswd2", path="/usr/sbin:/usr/bin")
HAS_CYRUS = SASLPASSWD is not None and (DAEMONS / "cyrus-sasl").exists()
# What serves the others' TLS, logins and limits. proxywrite is proxymap by another name.
SERVICES = ["tlsmgr", "tokens", "mtasts", "tlsrpt", "anvil", "proxywrite"] + ["cyrus-sasl"] * HAS_CYRUS
MASTER = """
piped unix - n n - 5 pipe
  flags= user={user} argv={script} {boxes}/piped
afresh unix - - n - - smtp
  -o smtp_connection_cache_on_demand=no
  -o smtp_sasl_auth_enable=yes -o smtp_sasl_token_service=tokens -o smtp_sasl_security_options=noanonymous -o smtp_sasl_mechanism_filter=xoauth2
tokens unix - n n - 1 tokens
  user={user} argv={helper}
proxywrite unix - - n - 1 proxywrite
cyrus-sasl unix - - n - - cyrus-sasl
"""


class WideScene(Scene):
    def __init__(self, seed, **more):
        super().__init__(seed, routes=WIDE_ROUTES, **more)
        user = "nobody" if IS_ROOT else pwd.getpwuid(os.getuid()).pw_name
        self.dns, self.lmtp = DnsServer(), Sink(address="127.0.0.5", lmtp=True)
        self.authority = Authority(self.mail.root / "ca")
        self.tokened = AuthSink("XOAUTH2", user=BY_TOKEN, password="right", address="127.0.0.5")
        script, helper = self.mail.file("deliver", SCRIPT, 0o755), self.mail.file("helper", HELPER, 0o755)
        for name in ("piped", "command"):
            (self.boxes / name).mkdir()
            (self.boxes / name).chmod(0o777)
        self.mail.master_extra += MASTER.format(user=user, script=script, helper=helper, boxes=self.boxes)
        main = self.mail.main
        main["transport_maps"] = main["transport_maps"].replace(
            "inline:{", f"inline:{{ dns.example=smtp:dns.example:{self.sink.port}, lmtp.example=lmtp:inet:{self.lmtp.address}:{self.lmtp.port},"
            f" piped.example=piped:, token.example=afresh:[127.0.0.5]:{self.tokened.port}, d0.test=afresh:,")
        main["alias_maps"] = main["alias_maps"].replace("inline:{", f'inline:{{ {{command = "|{script} {self.boxes}/command"}},')
        main["smtp_sasl_password_maps"] = f"inline:{{ {{ [127.0.0.5]:{self.tokened.port} = {BY_TOKEN}: }} }}"
        main["dns_resolver_addresses"] = self.dns.at
        self.dns.add("dns.example", "MX", "10 mx.dns.example")
        self.dns.add("mx.dns.example", "A", self.sink.address)
        self.by_tables()
        self.serve_tls()
        self.publish_policy()
        self.count_everything()
        if HAS_CYRUS:
            self.check_passwords()

    def by_tables(self):
        """Addresses go through proxymap, and another service of it writes."""
        self.mail.file("canonical", "unused@relay.example used@relay.example\n")
        self.mail.main["recipient_canonical_maps"] = f"proxy:texthash:{self.mail.etc}/canonical"
        self.table = self.mail.main["proxy_write_maps"] = f"proxy:hash:{self.mail.data}/written"
        self.written = set()
        daemons = self.mail.root / "daemons"
        daemons.mkdir()
        for path in DAEMONS.iterdir():
            (daemons / path.name).symlink_to(path)
        (daemons / "proxywrite").symlink_to(DAEMONS / "proxymap")
        self.mail.main["daemon_directory"] = daemons

    def serve_tls(self):
        chain = self.authority.chain_file("mail", name=self.mail.hostname)
        self.mail.main.update(smtpd_tls_security_level="may", smtpd_tls_chain_files=chain, smtpd_tls_session_cache_timeout="5s")
        self.context = ssl.create_default_context(cafile=self.authority.certificate)
        self.context.check_hostname = False
        self.session = None

    def publish_policy(self):
        """A domain that wants TLS, and reports about it by mail and by HTTPS: so briefly that everything is fetched, counted and sent all the time."""
        self.web, self.hosts = PolicyServer(self.authority), Hosts(self.authority, self.dns)
        self.secure = self.hosts.add("mx.d0.test", "mx.d0.test")
        self.dns.add("d0.test", "MX", "0 mx.d0.test")
        self.dns.add("_mta-sts.d0.test", "TXT", "v=STSv1; id=1;")
        self.dns.add("mta-sts.d0.test", "A", "127.0.0.1")
        self.web.answers["mta-sts.d0.test"] = (200, {}, policy(max_age=2).format("d0.test"))
        self.dns.add("_smtp._tls.d0.test", "TXT", f"v=TLSRPTv1; rua=mailto:{DISCARDED},https://mta-sts.d0.test:{self.web.port}/")
        self.mail.main.update(
            smtp_mtasts_enable="yes", smtp_tlsrpt_enable="yes", smtp_tls_security_level="may", smtp_tls_CAfile=self.authority.certificate,
            https_tls_CAfile=self.authority.certificate, smtp_tcp_port=self.hosts.port, mtasts_fetch_port=self.web.port, dns_hosts_file="",
            mtasts_retry_interval="1s", tlsrpt_report_interval="2s", tlsrpt_report_delay="1s", tlsrpt_retry_interval="1s")

    def count_everything(self):
        """anvil is asked at each step of a client, and never too much for it."""
        self.mail.main["smtpd_client_event_limit_exceptions"] = ""
        for what in ("connection", "message", "recipient", "new_tls_session", "auth"):
            self.mail.main[f"smtpd_client_{what}_rate_limit"] = "1000000"

    def check_passwords(self):
        database = self.mail.root / "sasldb2"
        subprocess.run([SASLPASSWD, "-p", "-c", "-f", database, "-u", "example.org", "jane"], input=b"secret", check=True, timeout=60)
        if IS_ROOT:
            shutil.chown(database, self.mail.main["mail_owner"])
        self.mail.file("ourmail.conf", f"pwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: {database}\nmech_list: PLAIN\n")
        self.mail.main.update(smtpd_sasl_auth_enable="yes", smtpd_sasl_type="cyrus", smtpd_sasl_path="ourmail", smtpd_sasl_local_domain="example.org",
                              cyrus_sasl_config_path=self.mail.etc)

    def __exit__(self, *error):
        super().__exit__(*error)
        for server in (self.lmtp, self.dns, self.tokened, self.hosts):
            server.close()
        self.web.stop()

    def client(self, dice):
        """Every other client speaks TLS, and logs in."""
        client = super().client(dice)
        try:
            if dice.random() < 0.5:
                client.start_tls(self.context, self.session)
                if HAS_CYRUS:
                    client.login("jane", "secret")
                self.session = client.socket.session
        except BaseException:
            client.close()
            raise
        return client

    def write_down(self):
        """One more row by way of proxywrite; it is there from now on if the command says so."""
        key = f"row{len(self.written)}x{self.dice.randrange(10 ** 9)}"
        if self.mail.command("postmap", "-i", self.table, input=f"{key} there\n", check=False).returncode == 0:
            self.written.add(key)

    def compare(self, *words):
        found = self.mail.command("postmap", "-s", self.table.removeprefix("proxy:"), check=False).stdout.split()[::2]
        missing = self.written - set(found)
        assert not missing, f"seed {self.seed}: rows that were written are gone: {sorted(missing)[:10]}\n{self.mail.log_tail()}"
        return super().compare(*words)

    def sinks(self):
        return [*super().sinks(), self.lmtp, self.tokened, self.secure]

    def arrivals(self):
        found = super().arrivals()
        for sink, owner in ((self.lmtp, BY_LMTP), (self.tokened, BY_TOKEN), (self.secure, BY_POLICY)):
            for message in list(sink.messages):
                found.delivery(message.content, owner, f"the server of {owner}")
        for name, owner in (("piped", PIPED), ("command", COMMAND)):
            for path in (self.boxes / name).glob("new.*"):
                found.delivery(path.read_bytes(), owner, path.name, may_be_torn=True)
        return found
