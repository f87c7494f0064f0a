# SPDX-License-Identifier: ISC
"""One daemon of a private instance by itself, in the foreground, without master: for tests of a single service."""

import os
import signal
import socket
import subprocess

from instance import DAEMONS, PATIENCE, Instance, wait_until


def listens(path):
    """Whether path is a socket that takes connections: its name is there a moment before that."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


class Foreground:
    """with Foreground("resolver", {"dns_resolver_addresses": ...}) as service: Peer(service.path)"""

    def __init__(self, program, main=None, options=()):
        self.instance = Instance(main=main)
        self.instance.write()
        self.path = self.instance.queue / program
        self.program = program
        self.options = options
        self.process = None
        self.errors = self.instance.root / "stderr"

    def run(self):
        """Starts it without waiting for anything."""
        words = [str(DAEMONS / self.program), "-d", "-c", str(self.instance.etc), "-n", self.program, *self.options, str(self.path)]
        self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=open(self.errors, "ab"), stderr=subprocess.STDOUT,
                                        env=os.environ | self.instance.environment)

    def start(self):
        self.run()
        wait_until(lambda: self.process.poll() is not None or listens(self.path), what=f"{self.program} listens")
        assert self.process.poll() is None, self.log()
        return self


    def log(self):
        return self.errors.read_text(errors="replace")

    def kill(self, number=signal.SIGKILL):
        self.process.send_signal(number)
        self.process.wait(30 * PATIENCE)
        if self.path.exists():
            os.unlink(self.path)

    def close(self):
        try:
            if self.process.poll() is None:
                self.process.send_signal(signal.SIGTERM)
                assert self.process.wait(30 * PATIENCE) == 0, self.log()
            for trouble in ("panic:", "ERROR: AddressSanitizer", "runtime error:", "LeakSanitizer"):
                assert trouble not in self.log(), self.log()
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            self.instance.close()

    def __enter__(self):
        return self.start()

    def __exit__(self, *error):
        self.close()
