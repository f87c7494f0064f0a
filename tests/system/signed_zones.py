# SPDX-License-Identifier: ISC
"""Signed zones: made with ldns-signzone, served by nsd as somebody else's name server would, and seen through unbound as somebody else's resolver would."""

import shutil
import subprocess

import pytest

from peers import unpacked
from servers import Server, program

SOA = "@ 60 IN SOA ns.invalid. root.invalid. 1 3600 600 86400 60\n@ 60 IN NS ns.invalid.\n"


class Nsd(Server):
    """zones: name -> lines of records (relative names; TTL and class are added). Those in `signed` are signed; those in `forged` lose a signature's truth afterwards:
    name -> (what, instead) in the signed text. anchor: file with the keys of the signed ones."""

    def __init__(self, zones, signed, forged=None):
        super().__init__()
        self.anchor = self.file("anchor", "")
        self.zones = list(zones)
        config = (f"server:\n  ip-address: 127.0.0.1@{self.port}\n  username: \"\"\n  chroot: \"\"\n  zonesdir: \"{self.root}\"\n  pidfile: \"{self.root}/pid\"\n"
                  f"  database: \"\"\n  xfrdfile: \"{self.root}/xfrd\"\n  xfrdir: \"{self.root}\"\n  zonelistfile: \"{self.root}/zones\"\n  server-count: 1\n  do-ip6: no\n  verbosity: 1\n"
                  "remote-control:\n  control-enable: no\n")
        for name, lines in zones.items():
            path = self.file(f"{name}.zone", f"$ORIGIN {name}.\n$TTL 60\n{SOA}" + "".join(line + "\n" for line in lines))
            if name in signed:
                path = self._sign(name, path, (forged or {}).get(name))
            config += f"zone:\n  name: {name}\n  zonefile: {path}\n"
        self.config = self.file("nsd.conf", config)

    def _sign(self, name, path, forgery):
        key = self.run(program("ldns-keygen", "ldnsutils"), "-k", "-a", "ECDSAP256SHA256", name).strip()
        self.run(program("ldns-signzone", "ldnsutils"), "-f", f"{path}.signed", path, key)
        with self.anchor.open("a") as anchor:
            anchor.write((self.root / f"{key}.key").read_text())
        signed = self.root / f"{path.name}.signed"
        if forgery is not None:
            text = signed.read_text()
            assert forgery[0] in text
            signed.write_text(text.replace(*forgery))
        return signed

    def words(self):
        return [program("nsd", "nsd"), "-d", "-c", self.config]

    @property
    def at(self):
        return f"127.0.0.1@{self.port}"


class Unbound(Server):
    """A resolver that validates what the name server says about its zones. The program is unpacked from its package; skips when it cannot be had."""

    def __init__(self, nsd):
        super().__init__()
        try:
            self.program = shutil.copy(unpacked("unbound", "usr/sbin/unbound") / "usr/sbin/unbound", self.root)
            subprocess.run([self.program, "-V"], check=True, timeout=60, stdout=subprocess.DEVNULL)
        except (OSError, subprocess.SubprocessError) as trouble:
            self.close()
            pytest.skip(f"no unbound: {trouble}")
        self.config = self.file("unbound.conf", f"""server:
  interface: 127.0.0.1@{self.port}
  username: ""
  chroot: ""
  directory: "{self.root}"
  pidfile: ""
  do-daemonize: no
  use-syslog: no
  do-ip6: no
  do-not-query-localhost: no
  local-zone: "test." nodefault
  module-config: "validator iterator"
  trust-anchor-file: "{nsd.anchor}"
remote-control:
  control-enable: no
""" + "".join(f"stub-zone:\n  name: {name}\n  stub-addr: {nsd.at}\n" for name in nsd.zones))

    def words(self):
        return [self.program, "-d", "-c", self.config]

    @property
    def at(self):
        return f"127.0.0.1@{self.port}"


def tlsa(certificate, usage, selector, matching):
    """The record's text for a certificate file."""
    if selector:
        key = subprocess.run(["openssl", "x509", "-in", certificate, "-noout", "-pubkey"], stdout=subprocess.PIPE, check=True, timeout=60).stdout
        der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "DER"], input=key, stdout=subprocess.PIPE, check=True, timeout=60).stdout
    else:
        der = subprocess.run(["openssl", "x509", "-in", certificate, "-outform", "DER"], stdout=subprocess.PIPE, check=True, timeout=60).stdout
    if matching:
        name = {1: "-sha256", 2: "-sha512"}[matching]
        der = subprocess.run(["openssl", "dgst", name, "-binary"], input=der, stdout=subprocess.PIPE, check=True, timeout=60).stdout
    return f"{usage} {selector} {matching} {der.hex()}"
