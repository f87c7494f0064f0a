# SPDX-License-Identifier: ISC
"""Other people's programs for tests: Dovecot as installed, Exim and Postfix unpacked from their Debian packages (not installed: they would replace
the system's MTA)."""

import contextlib
import fcntl
import imaplib
import os
import pwd
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from instance import BUILD, IS_ROOT, free_port, wait_until


class Dovecot:
    """IMAP over a Maildir, LMTP into it, and the authentication service, for the user "jane" with password "secret". more: configuration."""

    def __init__(self, maildir=None, mechanisms="plain login cram-md5 scram-sha-256", more=""):
        self.root = Path(tempfile.mkdtemp(prefix="postroad-dovecot-"))
        self.root.chmod(0o755)
        self.user = pwd.getpwnam("daemon" if IS_ROOT else pwd.getpwuid(os.getuid()).pw_name)
        self.home = self.root / "home"
        self.home.mkdir()
        if IS_ROOT:
            os.chown(self.home, self.user.pw_uid, self.user.pw_gid)
        self.maildir = maildir or self.home / "Maildir"
        self.imap_port, self.lmtp_port, self.auth_port = free_port(), free_port(), free_port()
        (self.root / "users").write_text(f"jane:{{PLAIN}}secret:{self.user.pw_uid}:{self.user.pw_gid}::{self.home}\n")
        me = self.user.pw_name if IS_ROOT else pwd.getpwuid(os.getuid()).pw_name
        group = "daemon" if IS_ROOT else me
        (self.root / "dovecot.conf").write_text(f"""
base_dir = {self.root}/run
state_dir = {self.root}/state
log_path = {self.root}/log
protocols = imap lmtp
ssl = no
disable_plaintext_auth = no
listen = 127.0.0.1
default_internal_user = {me}
default_login_user = {me}
default_internal_group = {group}
first_valid_uid = 1
first_valid_gid = 1
mail_location = maildir:{self.maildir}
auth_mechanisms = {mechanisms}
auth_failure_delay = 0
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%n {self.root}/users
}}
userdb {{
  driver = passwd-file
  args = username_format=%n {self.root}/users
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {self.imap_port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {self.lmtp_port}
  }}
  unix_listener lmtp {{
    mode = 0666
  }}
}}
service stats {{
  chroot =
}}
service auth {{
  inet_listener {{
    address = 127.0.0.1
    port = {self.auth_port}
  }}
  unix_listener smtp-auth {{
    mode = 0666
  }}
}}
{more}
""")
        subprocess.run(["dovecot", "-c", self.root / "dovecot.conf"], check=True, timeout=30)
        wait_until(self._answers, 30, lambda: (self.root / "log").read_text())

    def _answers(self):
        with contextlib.suppress(OSError, imaplib.IMAP4.error):
            self.imap().logout()
            return True
        return False

    @property
    def lmtp_socket(self):
        return self.root / "run/lmtp"

    @property
    def auth_socket(self):
        return self.root / "run/smtp-auth"

    def imap(self):
        client = imaplib.IMAP4("127.0.0.1", self.imap_port)
        client.login("jane", "secret")
        return client

    def messages(self):
        """Every message of the inbox as IMAP shows it."""
        client = self.imap()
        try:
            client.select("INBOX", readonly=True)
            _, (numbers,) = client.search(None, "ALL")
            return [client.fetch(number, "(RFC822)")[1][0][1] for number in numbers.split()]
        finally:
            client.logout()

    def close(self):
        pid = int((self.root / "run/master.pid").read_text())
        subprocess.run(["doveadm", "-c", self.root / "dovecot.conf", "stop"], timeout=30, check=False)
        wait_until(lambda: not Path(f"/proc/{pid}").exists(), 30, "dovecot's end")
        shutil.rmtree(self.root, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()


@contextlib.contextmanager
def alone_with(package):
    """The package's tree under the build directory, which no other test prepares meanwhile."""
    tree = BUILD / "peers" / package
    tree.mkdir(parents=True, exist_ok=True)
    with open(tree / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield tree


def unpacked(package, program, *libraries):
    """The package's tree under the build directory, and these libraries in it; downloaded at the first use."""
    with alone_with(package) as tree:
        if not (tree / program).exists():
            words = ["apt-get", "download", "-qq", "-o", "Acquire::Retries=5", package, *libraries]
            subprocess.run(words, cwd=tree, check=True, timeout=120, stderr=subprocess.DEVNULL)
            for deb in sorted(tree.glob("*.deb")):
                subprocess.run(["dpkg", "-x", deb, tree], check=True, timeout=60)
    return tree


class Exim:
    """A host that accepts mail for example.com into one mbox file; needs root (Exim does).

    chain: certificate and key; then it has TLS. login: (user, password), without which it takes nothing: PLAIN and LOGIN behind TLS, CRAM-MD5 always.
    smarthost: (address, port, user, password, mechanism), where all other mail goes, by TLS only; wrapped: TLS from the start.
    """

    def __init__(self, address="127.0.0.3", port=None, chain=None, login=None, smarthost=None, wrapped=False):
        self.address, self.port = address, port or free_port(address)
        self.tree = unpacked("exim4-daemon-light", "usr/sbin/exim4")
        with contextlib.suppress(subprocess.CalledProcessError):    # the account that the package was built for; there already: fine
            subprocess.run(["useradd", "-r", "-d", "/nonexistent", "-s", "/usr/sbin/nologin", "Debian-exim"], check=True,
                           stderr=subprocess.DEVNULL)
        self.root = Path(tempfile.mkdtemp(prefix="postroad-exim-"))
        self.root.chmod(0o755)
        self.mbox = self.root / "mail/inbox"
        for name in ("spool", "log", "mail"):
            (self.root / name).mkdir()
            shutil.chown(self.root / name, "mail", "mail")
        for name, file in zip(("certificate", "key"), chain or ()):      # it reads them as its user
            shutil.copy(file, self.root / name)
            shutil.chown(self.root / name, "mail", "mail")
        tls = f"tls_advertise_hosts = *\ntls_certificate = {self.root}/certificate\ntls_privatekey = {self.root}/key" if chain else "tls_advertise_hosts ="
        (self.root / "conf").write_text(f"""
exim_path = {self.tree}/usr/sbin/exim4
keep_environment =
exim_user = mail
exim_group = mail
never_users =
primary_hostname = mx.example.com
spool_directory = {self.root}/spool
log_file_path = {self.root}/log/%slog
pid_file_path = {self.root}/spool/exim.pid
local_interfaces = {self.address}
daemon_smtp_ports = {self.port}
{tls}
host_lookup =
dsn_advertise_hosts = *
rfc1413_query_timeout = 0s
acl_smtp_rcpt = accept_ours
acl_smtp_data = accept_data
begin acl
accept_ours:
  accept hosts = :
{"  deny message = log in first" + chr(10) + "    !authenticated = *" if login else ""}
  accept domains = example.com
  deny message = relay not permitted
accept_data:
  accept
begin routers
inbox:
  driver = accept
  domains = example.com
  transport = inbox
{self._smarthost_router(smarthost)}
begin transports
inbox:
  driver = appendfile
  file = {self.mbox}
  user = mail
  group = mail
smarthost:
  driver = smtp
  allow_localhost
  hosts_require_tls = *
  hosts_require_auth = *
  protocol = {"smtps" if wrapped else "smtp"}
begin authenticators
{self._authenticators(login, smarthost)}
""")
        (self.root / "conf").chmod(0o644)
        self.process = subprocess.Popen([self.tree / "usr/sbin/exim4", "-C", self.root / "conf", "-bdf"])
        try:
            wait_until(self._answers, 30, "exim's greeting")
        except BaseException:
            self.close()
            raise

    @staticmethod
    def _smarthost_router(smarthost):
        if smarthost is None:
            return ""
        return f"smarthost:\n  driver = manualroute\n  route_list = * {smarthost[0]}::{smarthost[1]} byname\n  self = send\n  transport = smarthost"

    @staticmethod
    def _authenticators(login, smarthost):
        rows = []
        if login:
            user, password = login
            right = "${if and {{eq{$auth%d}{" + user + "}}{eq{$auth%d}{" + password + "}}}}"
            rows += ["plain:", "driver = plaintext", "public_name = PLAIN", "server_prompts = :", "server_advertise_condition = ${if def:tls_in_cipher}",
                     "server_condition = " + right % (2, 3), "server_set_id = $auth2",
                     "login:", "driver = plaintext", "public_name = LOGIN", "server_prompts = Username:: : Password::",
                     "server_advertise_condition = ${if def:tls_in_cipher}", "server_condition = " + right % (1, 2), "server_set_id = $auth1",
                     "cram:", "driver = cram_md5", "public_name = CRAM-MD5", "server_secret = ${if eq{$auth1}{" + user + "}{" + password + "}fail}",
                     "server_set_id = $auth1"]
        elif smarthost:
            _, _, user, password, mechanism = smarthost
            rows += ["out:", f"public_name = {mechanism}", *(["driver = cram_md5", f"client_name = {user}", f"client_secret = {password}"]
                     if mechanism == "CRAM-MD5" else ["driver = plaintext", f"client_send = ^{user}^{password}"])]
        return "\n".join(rows)

    def send(self, message, sender, recipient):
        """Takes a message from the command line and delivers it at once."""
        words = [self.tree / "usr/sbin/exim4", "-C", self.root / "conf", "-odf", "-oi", "-f", sender, recipient]
        subprocess.run(words, input=message, text=True, check=True, timeout=60)

    def relay(self, *dialogue):
        """Takes a message by SMTP, said on its standard input, and delivers it at once."""
        words = [self.tree / "usr/sbin/exim4", "-C", self.root / "conf", "-odf", "-bs"]
        answers = subprocess.run(words, input="".join(line + "\r\n" for line in dialogue).encode(), check=True, timeout=60, stdout=subprocess.PIPE).stdout.decode()
        assert not re.search(r"^[45]\d\d", answers, re.M), answers

    def log(self):
        return "".join(path.read_text() for path in (self.root / "log").iterdir())

    def _answers(self):
        import socket
        with contextlib.suppress(OSError):
            with socket.create_connection((self.address, self.port), timeout=5) as probe:
                return probe.recv(100).startswith(b"220")
        return False

    def close(self):
        self.process.terminate()
        self.process.wait(timeout=20)
        shutil.rmtree(self.root, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()


class PostfixCommands:
    """Postfix's own postmap and the like, unpacked, not installed, with a configuration of their own: what they answer is what ours are compared with."""

    PACKAGES = {"postfix": "usr/sbin/postmap", "postfix-lmdb": "usr/lib/postfix/postfix-lmdb.so", "postfix-cdb": "usr/lib/postfix/postfix-cdb.so",
                "postfix-sqlite": "usr/lib/postfix/postfix-sqlite.so"}

    def __init__(self):
        trees = {package: unpacked(package, program) for package, program in self.PACKAGES.items()}
        self.tree = trees["postfix"]
        self.root = Path(tempfile.mkdtemp(prefix="postroad-oracle-"))
        self.root.chmod(0o755)
        (self.root / "data").mkdir()
        (self.root / "main.cf").write_text(f"queue_directory = {self.root}\ndata_directory = {self.root}/data\nmail_owner = bin\n"
                                           f"setgid_group = daemon\nmyhostname = a.example\ncompatibility_level = 3.6\n"
                                           f"meta_directory = {self.root}\nshlib_directory = {self.tree}/usr/lib/postfix\n")
        rows = [f"{kind}\t{trees['postfix-' + kind]}/usr/lib/postfix/postfix-{kind}.so\tdict_{kind}_open"
                + (f"\tmkmap_{kind}_open" if kind != "sqlite" else "") for kind in ("lmdb", "cdb", "sqlite")]
        (self.root / "dynamicmaps.cf").write_text("\n".join(rows) + "\n")

    def command(self, name, *arguments, **options):
        return self.bare(name, "-c", self.root, *arguments, **options)

    def bare(self, name, *arguments, **options):
        """Without -c, which means something else to some."""
        libraries = [self.tree / "usr/lib/postfix", *(self.tree / "usr/lib").glob("*-linux-gnu")]
        environment = {"PATH": "/usr/bin:/bin", "LD_LIBRARY_PATH": ":".join(map(str, libraries)), "MAIL_CONFIG": str(self.root)}
        words = [self.tree / "usr/sbin" / name, *map(str, arguments)]
        return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60, check=False, **options)

    def close(self):
        shutil.rmtree(self.root, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()
