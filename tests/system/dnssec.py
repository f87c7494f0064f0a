# SPDX-License-Identifier: ISC
"""Signs records of a DnsServer zone with the openssl command (RSA/SHA-256, RFC 4034, RFC 5702), for tests of validation."""

import base64
import re
import struct
import subprocess
import time

from dns_server import TYPES, name_bytes

ALGORITHM = 8


class Signer:
    """One key for a zone. sign() adds the RRSIG beside the records that are there; anchor is the zone's DNSKEY as a line."""

    def __init__(self, server, zone, directory):
        self.server, self.zone = server, zone
        self.key_file = directory / f"{zone}.pem"
        subprocess.run(["openssl", "genrsa", "-out", self.key_file, "2048"], check=True, capture_output=True)
        text = subprocess.run(["openssl", "rsa", "-in", self.key_file, "-noout", "-modulus"], check=True, capture_output=True, text=True).stdout
        modulus = bytes.fromhex(re.search(r"Modulus=(\w+)", text).group(1))
        exponent = (65537).to_bytes(3, "big")
        self.dnskey = struct.pack("!HBB", 257, 3, ALGORITHM) + bytes([len(exponent)]) + exponent + modulus
        self.tag = self._key_tag(self.dnskey)
        self.anchor = f"{zone}. IN DNSKEY 257 3 {ALGORITHM} {base64.b64encode(self.dnskey[4:]).decode()}\n"
        server.add(zone, "DNSKEY", self.dnskey, ttl=60)
        self.sign(zone, "DNSKEY")

    @staticmethod
    def _key_tag(rdata):
        total = sum(byte << 8 if at % 2 == 0 else byte for at, byte in enumerate(rdata))
        return (total + (total >> 16 & 0xffff)) & 0xffff

    def sign(self, name, kind, forge=False, expired=False):
        """forge: the signature is of something else."""
        rows = self.server.records(name, TYPES[kind])
        ttl = rows[0][0]
        now = int(time.time()) - (10 * 86400 if expired else 0)
        head = struct.pack("!HBBIIIH", TYPES[kind], ALGORITHM, len(name.split(".")), ttl, now + 86400, now - 86400, self.tag) + name_bytes(self.zone)
        signed = head
        for data in sorted(data for _, data in rows):
            signed += name_bytes(name) + struct.pack("!HHIH", TYPES[kind], 1, ttl, len(data)) + data
        if forge:
            signed += b"x"
        signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", self.key_file], input=signed, check=True, capture_output=True).stdout
        self.server.add_signature(name, TYPES[kind], ttl, head + signature)
