# SPDX-License-Identifier: ISC
"""Certificates for tests, made with the openssl command: a CA, and what it signs."""

import copy
import os
import re
import subprocess
from datetime import datetime, timedelta, timezone
from pathlib import Path


def openssl(*arguments, **more):
    done = subprocess.run(["openssl", *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120, **more)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


class Authority:
    """A CA in a directory. EC keys by default: quick to make."""

    def __init__(self, directory, name="Test CA"):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.key, self.certificate = self.directory / "ca.key", self.directory / "ca.pem"
        new_key(self.key, "ec")
        openssl("req", "-x509", "-new", "-key", self.key, "-out", self.certificate, "-days", "30", "-subj", f"/CN={name}")

    def issue(self, label, name="localhost", names=None, kind="ec", valid=(-1, 30), more=""):
        """(certificate file, key file); names: alternative DNS names (default: name); valid: days from now."""
        key, request, certificate = (self.directory / f"{label}.{end}" for end in ("key", "req", "pem"))
        extensions = self.directory / f"{label}.ext"
        new_key(key, kind)
        openssl("req", "-new", "-key", key, "-out", request, "-subj", f"/CN={name}")
        extensions.write_text("subjectAltName=" + ",".join(f"DNS:{one}" for one in names or [name]) + "\n" + more)
        begin, end = (datetime.now(timezone.utc) + timedelta(days=days) for days in valid)
        index = self.directory / "index.txt"
        index.write_text("")
        (self.directory / "index.txt.attr").write_text("unique_subject = no\n")
        config = self.directory / "ca.cnf"
        config.write_text(f"[ca]\ndefault_ca=d\n[d]\ndatabase={index}\nnew_certs_dir={self.directory}\nrand_serial=yes\n"
                          "default_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n")
        openssl("ca", "-batch", "-notext", "-config", config, "-cert", self.certificate, "-keyfile", self.key, "-in", request,
                "-out", certificate, "-extfile", extensions, "-startdate", begin.strftime("%Y%m%d%H%M%SZ"),
                "-enddate", end.strftime("%Y%m%d%H%M%SZ"))
        return certificate, key

    def below(self, label):
        """Another CA, which this one vouches for."""
        other = copy.copy(self)
        other.certificate, other.key = self.issue(label, name=label, more="basicConstraints=critical,CA:TRUE\n")
        return other

    def chain_file(self, label, **more):
        """Key, certificate and the CA in one file."""
        certificate, key = self.issue(label, **more)
        path = self.directory / f"{label}.chain"
        path.write_text(key.read_text() + certificate.read_text() + self.certificate.read_text())
        path.chmod(0o600)
        return path

    def hashed_directory(self):
        """As openssl rehash makes it: with a link to the CA, which leads out of it."""
        path = self.directory / "hashed"
        path.mkdir()
        (path / (openssl("x509", "-in", self.certificate, "-noout", "-hash").strip() + ".0")).symlink_to(self.certificate)
        return path


def new_key(path, kind):
    if kind == "ec":
        openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", path)
    elif kind == "rsa":
        openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", path)
    else:
        openssl("genpkey", "-algorithm", kind, "-out", path)
    path.chmod(0o600)


def let_others_search(directory):
    """So that a daemon can see that a file in it has changed."""
    directory.chmod(0o755)
    for parent in directory.parents:
        if parent != parent.parent and parent.stat().st_uid == os.geteuid() and not parent.stat().st_mode & 0o001:
            parent.chmod(parent.stat().st_mode | 0o011)


def fingerprint(certificate):
    return openssl("x509", "-in", certificate, "-noout", "-fingerprint", "-sha256").partition("=")[2].strip()


def key_fingerprint(certificate):
    public = openssl("x509", "-in", certificate, "-noout", "-pubkey")
    der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "DER"], input=public.encode(), stdout=subprocess.PIPE, check=True).stdout
    digest = subprocess.run(["openssl", "dgst", "-sha256", "-r"], input=der, stdout=subprocess.PIPE, check=True).stdout.decode()
    return ":".join(re.findall("..", digest.split()[0].upper()))


def certificate_with_nul(ca, label, before, behind):
    """(certificate file, key file): its CN is `before`, a NUL, `behind`. openssl makes no such name: one of the same length is replaced, and signed anew."""
    certificate, key = ca.issue(label, name=f"{before}~{behind}", names=["other.example"])
    der = subprocess.run(["openssl", "x509", "-in", certificate, "-outform", "DER"], stdout=subprocess.PIPE, check=True).stdout
    body, algorithm, _ = _elements(_content(der))
    body = body.replace(f"{before}~{behind}".encode(), f"{before}\0{behind}".encode())
    signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", ca.key], input=body, stdout=subprocess.PIPE, check=True).stdout
    changed = _element(0x30, body + algorithm + _element(0x03, b"\0" + signature))
    subprocess.run(["openssl", "x509", "-inform", "DER", "-out", certificate], input=changed, check=True)
    return certificate, key


def _header(der):
    """(length of tag and length, length of the content)"""
    if der[1] < 0x80:
        return 2, der[1]
    count = der[1] & 0x7f
    return 2 + count, int.from_bytes(der[2:2 + count], "big")


def _content(der):
    begin, size = _header(der)
    return der[begin:begin + size]


def _elements(content):
    found = []
    while content:
        end = sum(_header(content))
        found.append(content[:end])
        content = content[end:]
    return found


def _element(tag, content):
    size = len(content)
    length = bytes([size]) if size < 0x80 else bytes([0x80 | (size.bit_length() + 7) // 8]) + size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag]) + length + content
