#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""A small authoritative DNS server over UDP and TCP whose answers a test sets, also the wrong ones.

    with DnsServer() as dns:                                   # a free port of 127.0.0.1
        dns.add("example.org", "MX", "10 mx.example.org")      # name, type, data [, ttl=seconds; 0 is the default]
        dns.add("mx.example.org", "A", "127.0.0.2", "127.0.0.3")
        dns.ptr("127.0.0.2", "mx.example.org")
        dns.fail("broken.example.org", "SERVFAIL")             # or REFUSED, NXDOMAIN, DROP, TRUNCATE, GARBAGE
        dns.delay("slow.example.org", 2.5)
        instance(main={"dns_resolver_addresses": dns.at, ...})
        dns.queries                                            # [(name, type, "udp" or "tcp"), ...] in order of arrival

Every name that is not there is NXDOMAIN. "*.example.org" answers for names below that are not there. Data is text as in a zone file;
b"..." is raw rdata, for malformed records. As a program it serves a file of lines "name [ttl] type data" ("-" reads standard input):

    dns_server.py 127.0.0.1:5353 zone.txt
"""

import contextlib
import ipaddress
import socket
import struct
import sys
import threading
import time

TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28, "SRV": 33, "OPT": 41, "DS": 43, "RRSIG": 46,
         "DNSKEY": 48, "TLSA": 52, "ANY": 255}
NAMES = {number: name for name, number in TYPES.items()}
RCODES = {"NOERROR": 0, "FORMERR": 1, "SERVFAIL": 2, "NXDOMAIN": 3, "NOTIMP": 4, "REFUSED": 5}


def name_bytes(name):
    """A domain name in wire format, without compression."""
    wire = b""
    for label in name.rstrip(".").split("."):
        if label:
            raw = label.encode("latin-1")
            if len(raw) > 63:
                raise ValueError(f"label too long: {label}")
            wire += bytes([len(raw)]) + raw
    return wire + b"\0"


def _text_bytes(data):
    """Character strings: "a b" "c", or one bare text, cut into pieces of 255 bytes."""
    strings, rest = [], data.strip()
    if not rest.startswith('"'):
        strings = [rest]
    while rest.startswith('"'):
        text, quote, rest = rest[1:].partition('"')
        if not quote:
            raise ValueError(f"quote not closed: {data}")
        strings.append(text)
        rest = rest.strip()
    wire = b""
    for text in strings:
        raw = text.encode()
        for start in range(0, len(raw) or 1, 255):
            piece = raw[start:start + 255]
            wire += bytes([len(piece)]) + piece
    return wire


def rdata(kind, data):
    """Rdata in wire format from zone file text; bytes pass as they are."""
    if isinstance(data, bytes):
        return data
    words = data.split()
    if kind == "A":
        return ipaddress.IPv4Address(data).packed
    if kind == "AAAA":
        return ipaddress.IPv6Address(data).packed
    if kind in ("NS", "CNAME", "PTR"):
        return name_bytes(data)
    if kind == "MX":
        return struct.pack("!H", int(words[0])) + name_bytes(words[1])
    if kind == "SRV":
        return struct.pack("!HHH", *map(int, words[:3])) + name_bytes(words[3])
    if kind == "TLSA":
        return bytes(map(int, words[:3])) + bytes.fromhex("".join(words[3:]))
    if kind == "TXT":
        return _text_bytes(data)
    if kind == "SOA":
        return name_bytes(words[0]) + name_bytes(words[1]) + struct.pack("!IIIII", *map(int, words[2:7]))
    raise ValueError(f"no way to write {kind} records: give bytes")


def reverse_name(address):
    return ipaddress.ip_address(address).reverse_pointer


class DnsServer:
    """negative_ttl: how long resolvers may keep "not there" (0: not at all)."""

    def __init__(self, address="127.0.0.1", port=0, negative_ttl=0):
        self.negative_ttl = negative_ttl
        self.queries = []
        self._records = {}              # name -> {type number: [(ttl, rdata)]}
        self._signatures = {}           # (name, type number) -> (ttl, RRSIG rdata)
        self._failures = {}             # (name or "*", type number or None) -> what
        self._delays = {}               # name -> seconds
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._udp, self._tcp = self._bind(address, port)
        self.address, self.port = self._udp.getsockname()[:2]
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._serve_udp, self._serve_tcp)]
        for thread in self._threads:
            thread.start()

    @property
    def at(self):
        """As dns_resolver_addresses wants it."""
        return f"{self.address}@{self.port}"

    # ---- the zone ----

    def add(self, name, kind, *data, ttl=0):
        rows = [(ttl, rdata(kind, one)) for one in data]
        with self._lock:
            self._records.setdefault(self._key(name), {}).setdefault(TYPES.get(kind) or int(kind[4:]), []).extend(rows)

    def ptr(self, address, name, ttl=0):
        self.add(reverse_name(address), "PTR", name, ttl=ttl)

    def host(self, name, *addresses, ttl=0):
        """A or AAAA and the PTR back."""
        for address in addresses:
            self.add(name, "AAAA" if ":" in address else "A", address, ttl=ttl)
            self.ptr(address, name, ttl=ttl)

    def remove(self, name, kind=None):
        with self._lock:
            if kind is None:
                self._records.pop(self._key(name), None)
            else:
                self._records.get(self._key(name), {}).pop(TYPES[kind], None)

    def records(self, name, kind_number):
        with self._lock:
            return list(self._records[self._key(name)][kind_number])

    def add_signature(self, name, kind_number, ttl, data):
        """Goes along with the records of that type when the question asks for signatures (see dnssec.py)."""
        with self._lock:
            self._signatures[self._key(name), kind_number] = (ttl, data)

    def fail(self, name, what, kind=None):
        """name "*": everything. what None: works again."""
        key = (self._key(name), TYPES[kind] if kind else None)
        with self._lock:
            if what is None:
                self._failures.pop(key, None)
            else:
                self._failures[key] = what

    def delay(self, name, seconds):
        with self._lock:
            self._delays[self._key(name)] = seconds

    def load(self, lines):
        """Lines "name [ttl] type data"; # starts a comment line."""
        for line in lines:
            words = line.split(None, 3)
            if not words or words[0].startswith(("#", ";")):
                continue
            ttl = int(words.pop(1)) if words[1].isdigit() else 0
            kind, data = " ".join(words[1:]).split(None, 1)
            self.add(words[0], kind.upper(), data.strip(), ttl=ttl)

    def count(self, name, kind=None):
        """How often a name was asked for."""
        with self._lock:
            return sum(1 for asked, asked_kind, _ in self.queries
                       if asked == self._key(name) and kind in (None, asked_kind))

    @staticmethod
    def _key(name):
        return name.rstrip(".").lower()

    # ---- answering ----

    def _lookup(self, name, kind):
        """rcode and answer rows (name, type, ttl, rdata), CNAMEs followed."""
        rows, asked = [], name
        for _ in range(20):
            node = self._records.get(asked)
            if node is None:
                parent = asked
                while "." in parent and node is None:
                    parent = parent.partition(".")[2]
                    node = self._records.get("*." + parent)
            if node is None:
                below = any(known.endswith("." + asked) for known in self._records)
                return ("NOERROR" if below else "NXDOMAIN"), rows
            if kind in node:
                return "NOERROR", rows + [(asked, kind, ttl, data) for ttl, data in node[kind]]
            if TYPES["CNAME"] not in node:
                return "NOERROR", rows
            ttl, data = node[TYPES["CNAME"]][0]
            rows.append((asked, TYPES["CNAME"], ttl, data))
            asked = _read_name(data, 0)[0]
        return "NOERROR", rows

    def _answer(self, query, transport):
        """The reply's bytes, or None for silence."""
        try:
            ident, flags, questions = struct.unpack("!HHH", query[:6])
            name, at = _read_name(query, 12)
            kind, _class = struct.unpack("!HH", query[at:at + 4])
        except (struct.error, IndexError, ValueError):
            return None
        question = query[12:at + 4]
        room = _edns_size(query, at + 4)
        key = self._key(name)
        with self._lock:
            self.queries.append((key, NAMES.get(kind, f"TYPE{kind}"), transport))
            what = next((self._failures[k] for k in ((key, kind), (key, None), ("*", kind), ("*", None)) if k in self._failures), None)
            pause = self._delays.get(key, 0)
            rcode, rows = self._lookup(key, kind)
            if room:
                rows += [(name, TYPES["RRSIG"], *self._signatures[name, kind]) for name, kind in dict.fromkeys(row[:2] for row in rows)
                         if (name, kind) in self._signatures]
        if pause and self._ended.wait(pause):
            return None
        if what == "DROP":
            return None
        if what == "GARBAGE":
            return struct.pack("!HHHHHH", ident, 0x8580, 1, 7, 0, 0) + question + b"\xc0\x0c\x00\x01\xff"
        truncated = what == "TRUNCATE" and transport == "udp"
        if what in RCODES:
            rcode, rows = what, []
        answers = b"".join(_record(*row, asked=key) for row in rows)
        authority = b""
        if not any(row[1] == kind for row in rows) and rcode in ("NOERROR", "NXDOMAIN"):
            soa = rdata("SOA", f"ns.invalid hostmaster.invalid 1 3600 600 86400 {self.negative_ttl}")
            authority = _record("", TYPES["SOA"], self.negative_ttl, soa)
        extra = _record("", TYPES["OPT"], 0, b"", 1232) if room else b""
        limit = 65535 if transport == "tcp" else max(room, 512)
        if truncated or 12 + len(question) + len(answers) + len(authority) + len(extra) > limit:
            truncated, answers, authority, rows = True, b"", b"", []
        header = struct.pack("!HHHHHH", ident, 0x8400 | (flags & 0x0100) | 0x0080 | (0x0200 if truncated else 0) | RCODES[rcode],
                             1, len(rows), 1 if authority else 0, 1 if extra else 0)
        return header + question + answers + authority + extra

    def _serve_udp(self):
        while not self._ended.is_set():
            try:
                query, peer = self._udp.recvfrom(4096)
            except socket.timeout:
                continue
            except OSError:
                return
            if self._delays:
                threading.Thread(target=self._reply_udp, args=(query, peer), daemon=True).start()
            else:
                self._reply_udp(query, peer)

    def _reply_udp(self, query, peer):
        reply = self._answer(query, "udp")
        if reply is not None:
            with contextlib.suppress(OSError):
                self._udp.sendto(reply, peer)

    def _serve_tcp(self):
        while not self._ended.is_set():
            try:
                connection, _ = self._tcp.accept()
            except socket.timeout:
                continue
            except OSError:
                return
            threading.Thread(target=self._serve_connection, args=(connection,), daemon=True).start()

    def _serve_connection(self, connection):
        connection.settimeout(10)
        with connection, contextlib.suppress(OSError, struct.error):
            while head := _read_exactly(connection, 2):
                query = _read_exactly(connection, struct.unpack("!H", head)[0])
                reply = self._answer(query, "tcp")
                if reply is None:
                    return
                connection.sendall(struct.pack("!H", len(reply)) + reply)

    # ---- life ----

    @staticmethod
    def _bind(address, port):
        """UDP and TCP on the same port; port 0: any that is free for both."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        for _ in range(50):
            udp = socket.socket(family, socket.SOCK_DGRAM)
            tcp = socket.socket(family, socket.SOCK_STREAM)
            try:
                tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                udp.bind((address, port))
                tcp.bind((address, udp.getsockname()[1]))
                tcp.listen(64)
                udp.settimeout(0.1)
                tcp.settimeout(0.1)
                return udp, tcp
            except OSError:
                udp.close()
                tcp.close()
                if port:
                    raise
        raise RuntimeError("no port that is free for UDP and TCP")

    def close(self):
        self._ended.set()
        for thread in self._threads:
            thread.join()
        self._udp.close()
        self._tcp.close()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()


def _read_name(wire, at):
    """(name, where it ends) of a name without compression."""
    labels = []
    while wire[at]:
        length = wire[at]
        if length > 63:
            raise ValueError("compressed name")
        labels.append(wire[at + 1:at + 1 + length].decode("latin-1"))
        at += 1 + length
    return ".".join(labels).lower(), at + 1


def _record(name, kind, ttl, data, dns_class=1, asked=None):
    """The name that was asked for is a pointer to the question."""
    return (b"\xc0\x0c" if name == asked else name_bytes(name)) + struct.pack("!HHIH", kind, dns_class, ttl, len(data)) + data


def _edns_size(query, at):
    """The UDP size that the query's OPT record offers; 0: it has none."""
    if struct.unpack("!H", query[10:12])[0] and query[at:at + 3] == b"\0\0\x29":
        return struct.unpack("!H", query[at + 3:at + 5])[0]
    return 0


def _read_exactly(connection, count):
    data = b""
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            return b""
        data += part
    return data


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: dns_server.py ADDRESS:PORT ZONEFILE")
    address, _, port = sys.argv[1].rpartition(":")
    server = DnsServer(address.strip("[]"), int(port))
    with (sys.stdin if sys.argv[2] == "-" else open(sys.argv[2])) as lines:
        server.load(lines)
    print(f"serving on {server.at}", flush=True)
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        server.close()


if __name__ == "__main__":
    main()
