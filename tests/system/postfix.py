# SPDX-License-Identifier: ISC
"""Postfix itself as the oracle: Debian's package, unpacked beside the build and not installed, as an Instance with the same parameters."""

import contextlib
import os
import shutil
import subprocess
from pathlib import Path

from instance import Instance
from peers import alone_with, unpacked

ROWS = """
{smtp}    inet  n       -       n       -       -       smtpd
pickup    unix  n       -       n       60      1       pickup
cleanup   unix  n       -       n       -       0       cleanup
qmgr      unix  n       -       n       300     1       qmgr
rewrite   unix  -       -       n       -       -       trivial-rewrite
bounce    unix  -       -       n       -       0       bounce
defer     unix  -       -       n       -       0       bounce
trace     unix  -       -       n       -       0       bounce
verify    unix  -       -       n       -       1       verify
flush     unix  n       -       n       1000?   0       flush
proxymap  unix  -       -       n       -       -       proxymap
smtp      unix  -       -       n       -       -       smtp
relay     unix  -       -       n       -       -       smtp
lmtp      unix  -       -       n       -       -       lmtp
showq     unix  n       -       n       -       -       showq
error     unix  -       -       n       -       -       error
retry     unix  -       -       n       -       -       error
discard   unix  -       -       n       -       -       discard
local     unix  -       n       n       -       -       local
virtual   unix  -       n       n       -       -       virtual
anvil     unix  -       -       n       -       1       anvil
scache    unix  -       -       n       -       1       scache
tlsmgr    unix  -       -       n       1000?   1       tlsmgr
postlog   unix-dgram n  -       n       -       1       postlogd
"""


def postfix_tree():
    """The package's tree; of this only commands can be run that need neither an account nor a queue."""
    return unpacked("postfix", "usr/sbin/postfix", "libnsl2")


def postfix_with_accounts():
    """The package's tree, and its accounts, made if they are missing. Needs root."""
    tree = postfix_tree()
    with alone_with("postfix"):
        for name in ("main.cf", "master.cf"):
            if not (tree / "etc/postfix" / f"{name}.proto").exists():
                shutil.copy(tree / "usr/share/postfix" / f"{name}.dist", tree / "etc/postfix" / f"{name}.proto")
        for group in ("postfix", "postdrop"):
            subprocess.run(["groupadd", "-f", "-r", group], check=True)
        if subprocess.run(["id", "postfix"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode:
            subprocess.run(["useradd", "-r", "-g", "postfix", "-d", "/nonexistent", "-s", "/usr/sbin/nologin", "postfix"], check=True)
    return tree


class Postfix(Instance):
    CONTROL = "postfix"

    def __init__(self, **options):
        super().__init__(**options)
        self.tree = postfix_with_accounts()
        self.commands = self.tree / "usr/sbin"
        daemons = self.tree / "usr/lib/postfix/sbin"
        self.main = {**self.main, "compatibility_level": "3.6", "daemon_directory": daemons, "shlib_directory": daemons.parent,
                     "command_directory": self.commands, "meta_directory": self.tree / "etc/postfix", "mail_owner": "postfix",
                     "setgid_group": "postdrop", "sendmail_path": self.commands / "sendmail",
                     "import_environment": "MAIL_CONFIG LD_LIBRARY_PATH TZ", "export_environment": "LD_LIBRARY_PATH TZ",
                     "dns_resolver_addresses": None, "smtp_log_tls_feature_status": None, "lmtp_log_tls_feature_status": None}
        shutil.chown(self.data, "postfix")

    def master_cf(self):
        return ROWS.format(smtp=f"{self.address}:{self.smtp_port}") + self.master_extra

    def command(self, name, *arguments, check=True, input=None, timeout=60, **more):
        libraries = f"{self.tree}/usr/lib/postfix:{self.tree}/usr/lib/x86_64-linux-gnu:{self.tree}/usr/lib/aarch64-linux-gnu"
        environment = dict(os.environ, MAIL_CONFIG=str(self.etc), LD_LIBRARY_PATH=libraries,
                           PATH=f"{self.commands}:{os.environ['PATH']}")
        words = [str(self.commands / name), *map(str, arguments)]
        done = subprocess.run(words, env=environment, input=input, timeout=timeout, text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, **more)
        if check and done.returncode != 0:
            raise AssertionError(f"postfix's {name} {arguments}: exit {done.returncode}\n{done.stdout}\n{done.stderr}\n{self.log_tail()}")
        return done

    def close(self):
        try:
            self.stop()
        finally:
            for pid in _processes_of(self.tree, self.root):
                with contextlib.suppress(ProcessLookupError):       # postfix stop waits for master, and not for its children
                    os.kill(pid, 9)
            if not os.environ.get("POSTROAD_KEEP"):
                shutil.rmtree(self.root, ignore_errors=True)


def _processes_of(tree, root):
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if os.readlink(entry / "cwd").startswith(str(root)) and os.readlink(entry / "exe").startswith(str(tree)):
                found.append(int(entry.name))
        except OSError:
            continue
    return found
