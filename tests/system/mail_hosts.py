# SPDX-License-Identifier: ISC
"""Other domains' mail servers for tests of the client, with the name server that tells of them and the CA that vouches for them."""

import contextlib
import tempfile
from pathlib import Path

from certificates import Authority
from dns_server import DnsServer
from instance import free_port
from sink import Sink
from test_tls_client import TlsSink


class Hosts:
    """Mail servers, each at an address of its own in network (of 127.0.0.0/8) and all at one port."""

    def __init__(self, authority, dns, network="127.0.3"):
        self.authority, self.dns, self.network, self.all = authority, dns, network, []
        self.port = free_port(f"{network}.1")

    def add(self, name, certificate_for=None, **more):
        """A server with TLS and a certificate for this name, or without TLS."""
        address = f"{self.network}.{len(self.all) + 1}"
        chain = certificate_for and self.authority.issue(f"host{len(self.all)}", name=certificate_for)
        sink = TlsSink(chain, address=address, port=self.port, **more) if chain else Sink(address=address, port=self.port, **more)
        self.dns.add(name, "A", address)
        self.all.append(sink)
        return sink

    def close(self):
        for sink in self.all:
            sink.close()


class Outside:
    """All of it, as .authority, .dns and .hosts. A directory of its own, which the daemons may read."""

    def __init__(self, root, network="127.0.3"):
        self.root, self.authority, self.dns = root, Authority(root / "ca"), DnsServer()
        self.hosts = Hosts(self.authority, self.dns, network)

    def settings(self):
        """main.cf that has mail go to these hosts."""
        return {"dns_resolver_addresses": self.dns.at, "dns_hosts_file": "", "smtp_tcp_port": self.hosts.port, "smtp_tls_CAfile": self.authority.certificate,
                "smtp_tls_security_level": "may"}

    def close(self):
        self.hosts.close()
        self.dns.close()


@contextlib.contextmanager
def opened(kind):
    """An Outside, or a class derived from it, for a fixture."""
    with tempfile.TemporaryDirectory(prefix="postroad-test-") as directory:
        Path(directory).chmod(0o755)
        with contextlib.closing(kind(Path(directory))) as one:
            yield one
