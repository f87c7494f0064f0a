# SPDX-License-Identifier: ISC
"""The scene with every program on the road: mail by way of DNS, proxied tables, LMTP, commands, and mail that is thrown away."""

import os
import pwd

from dns_server import DnsServer
from instance import IS_ROOT
from scene import BOX, DISCARDED, FILE, LATER, LIST, NOBODY, RELAY, USER, Scene
from sink import Sink

BY_DNS, BY_LMTP, PIPED, COMMAND = "dns@dns.example", "lmtp@lmtp.example", "piped@piped.example", "command@local.example"
WIDE_ROUTES = [[RELAY], [BOX], [FILE], [USER], [LIST], [NOBODY], [LATER], [BY_DNS], [BY_DNS, BOX], [BY_LMTP], [PIPED], [COMMAND], [DISCARDED],
               [RELAY, BOX, BY_LMTP, DISCARDED, NOBODY]]
# A file of its own, complete under its name. Whoever is killed meanwhile leaves at most what came in too short.
SCRIPT = '#!/bin/sh\nmade=$(mktemp "$1/tmp.XXXXXX") && cat > "$made" && mv "$made" "$1/new.${made##*.}" || exit 75\n'
PROGRAMS_SERVICE = "piped unix - n n - 5 pipe\n  flags= user={user} argv={script} {place}\n"


class WideScene(Scene):
    def __init__(self, seed, **more):
        user = "nobody" if IS_ROOT else pwd.getpwuid(os.getuid()).pw_name
        super().__init__(seed, routes=WIDE_ROUTES, **more)
        self.dns, self.lmtp = DnsServer(), Sink(address="127.0.0.5", lmtp=True)
        self.dns.add("dns.example", "MX", "10 mx.dns.example")
        self.dns.add("mx.dns.example", "A", self.sink.address)
        script = self.mail.file("deliver", SCRIPT, 0o755)
        for name in ("piped", "command"):
            (self.boxes / name).mkdir()
            (self.boxes / name).chmod(0o777)
        self.mail.master_extra += PROGRAMS_SERVICE.format(user=user, script=script, place=self.boxes / "piped")
        main = self.mail.main
        main["transport_maps"] = main["transport_maps"].replace(
            "inline:{", f"inline:{{ dns.example=smtp:dns.example:{self.sink.port}, lmtp.example=lmtp:inet:{self.lmtp.address}:{self.lmtp.port},"
            " piped.example=piped:,")
        main["alias_maps"] = main["alias_maps"].replace("inline:{", f'inline:{{ {{command = "|{script} {self.boxes}/command"}},')
        main["dns_resolver_addresses"] = self.dns.at
        self.mail.file("canonical", "unused@relay.example used@relay.example\n")
        main["recipient_canonical_maps"] = f"proxy:texthash:{self.mail.etc}/canonical"

    def __exit__(self, *error):
        super().__exit__(*error)
        self.lmtp.close()
        self.dns.close()

    def arrivals(self):
        found = super().arrivals()
        for message in list(self.lmtp.messages):
            found.delivery(message.content, BY_LMTP, "the LMTP server")
        for name, owner in (("piped", PIPED), ("command", COMMAND)):
            for path in (self.boxes / name).glob("new.*"):
                found.delivery(path.read_bytes(), owner, path.name, may_be_torn=True)
        return found
