# SPDX-License-Identifier: ISC
"""An authentication server that speaks Dovecot's protocol, or whatever else a test wants it to."""

import base64
import contextlib
import shutil
import socket
import tempfile
import threading
from pathlib import Path

from instance import PATIENCE

GREETING = b"VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nMECH\tLOGIN\tplaintext\nMECH\tXOAUTH2\nSPID\t1\nCUID\t1\nCOOKIE\t0\nDONE\n"


def check_password(server, connection, words):
    """PLAIN only: the user "jane" with the password "secret"."""
    response = words[-1].partition("=")[2] if words[-1].startswith("resp=") else ""
    _, user, password = (base64.b64decode(response).decode().split("\0") + ["", ""])[:3]
    connection.sendall(f"OK\t{words[1]}\tuser={user}\n".encode() if password == "secret" else f"FAIL\t{words[1]}\tuser={user}\n".encode())


class AuthServer:
    """greeting: bytes, or None: silence. answer(server, connection, words): what happens at AUTH and CONT lines; both may change at any time."""

    def __init__(self, greeting=GREETING, answer=check_password):
        self.greeting, self.answer = greeting, answer
        self.root = Path(tempfile.mkdtemp(prefix="postroad-auth-"))
        self.root.chmod(0o755)
        self.path = self.root / "auth"
        self.lines = []
        self.connections = []
        self.accepted = 0
        self.listener = None
        self.listen()

    def listen(self):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        self.path.chmod(0o666)
        self.listener.listen(100)
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def _accept(self, listener):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                self.accepted += 1
                self.connections.append(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with contextlib.suppress(OSError, ValueError):
            if self.greeting is not None:
                connection.sendall(self.greeting)
            for line in connection.makefile("rb"):
                words = line.decode(errors="replace").rstrip("\n").split("\t")
                self.lines.append(words)
                if words[0] in ("AUTH", "CONT"):
                    self.answer(self, connection, words)
        connection.close()

    def hang_up(self):
        """Ends every connection, as a restart does."""
        ended, self.connections = self.connections, []      # whoever comes back meanwhile is not one of them
        for connection in ended:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def go_away(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.path.unlink()
        self.hang_up()

    def close(self):
        with contextlib.suppress(OSError):
            self.go_away()
        shutil.rmtree(self.root, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()


class Raw:
    """An SMTP client that says lines and reads replies."""

    def __init__(self, mail, port=None, hello=True):
        self.sock = socket.create_connection((mail.address, port or mail.smtp_port), timeout=60 * PATIENCE)
        self.file = self.sock.makefile("rb")
        self.greeting = self.reply()
        self.capabilities = self.say("EHLO client.example")[1] if hello else []

    def reply(self):
        """(code, lines without the code)"""
        lines = []
        while True:
            line = self.file.readline().decode().rstrip("\r\n")
            lines.append(line[4:])
            if line[3:4] != "-":
                return (int(line[:3]) if line else 0), lines

    def tell(self, line):
        self.sock.sendall((line if isinstance(line, bytes) else line.encode()) + b"\r\n")

    def say(self, line):
        self.tell(line)
        return self.reply()

    def login(self, user="jane", password="secret"):
        return self.say("AUTH PLAIN " + base64.b64encode(f"\0{user}\0{password}".encode()).decode())

    def close(self):
        self.file.close()
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()
