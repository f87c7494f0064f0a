# SPDX-License-Identifier: ISC
"""Runs every dialogue of tests/system/dialogues. Neighbours with equal settings share an instance."""

import pytest

from dialogue import Dialogue, scripts
from dns_server import DnsServer
from instance import Instance
from sink import Sink


class Stage:
    """The instance of the moment, its next hop and its DNS."""

    def __init__(self):
        self.settings = self.mail = self.sink = self.dns = None

    def prepare(self, script):
        if self.settings == script.settings():
            return
        self.close()
        self.sink = Sink()
        self.dns = DnsServer()
        for name, kind, data in script.dns:
            if kind == "fail":
                self.dns.fail(name, data)
            elif kind == "PTR":
                self.dns.ptr(name, data)
            else:
                self.dns.add(name, kind, data)
        self.mail = Instance()
        self.mail.main.update({
            "relayhost": f"[127.0.0.1]:{self.sink.port}",
            "dns_resolver_addresses": self.dns.at,
            "relay_domains": "relay.example",
            "relay_recipient_maps": "inline:{{user@relay.example=ok},{list@relay.example=ok}}",
            "smtpd_error_sleep_time": "0",
        })
        for name, value in script.main.items():
            self.mail.main[name] = value.replace("$etc", str(self.mail.etc))
        for name, text in script.files.items():
            self.mail.file(name, text)
        self.mail.start()
        self.settings = script.settings()

    def close(self):
        self.settings = None
        for part in (self.mail, self.sink, self.dns):
            if part is not None:
                part.close()
        self.mail = self.sink = self.dns = None


@pytest.fixture(scope="module")
def stage():
    one = Stage()
    yield one
    one.close()


@pytest.mark.parametrize("script", scripts(), ids=lambda script: script.name)
def test_dialogue(stage, script):
    stage.prepare(script)
    Dialogue(script, stage.mail, stage.sink).run()
