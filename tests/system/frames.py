# SPDX-License-Identifier: ISC
"""Frames as daemons exchange them on the sockets in private/ (lib/ipc/frame.h): a client for tests, also of services that misbehave."""

import socket
import struct

from instance import PATIENCE


def pack(message, call=1, **attributes):
    body = struct.pack("!IB", call, len(message)) + message.encode() + b"\0"
    for name, value in attributes.items():
        raw = value if isinstance(value, bytes) else str(value).encode()
        body += bytes([len(name)]) + name.encode() + struct.pack("!I", len(raw)) + raw
    return struct.pack("!I", len(body)) + body


def unpack(body):
    """(call, message, {name: bytes})"""
    call, length = struct.unpack("!IB", body[:5])
    message = body[5:5 + length].decode()
    at = 6 + length
    attributes = {}
    while at < len(body):
        name_length = body[at]
        name = body[at + 1:at + 1 + name_length].decode()
        at += 1 + name_length
        size = struct.unpack("!I", body[at:at + 4])[0]
        attributes[name] = body[at + 4:at + 4 + size]
        at += 4 + size
    return call, message, attributes


class Peer:
    """A connection to a service."""

    def __init__(self, path, timeout=30 * PATIENCE):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        self.socket.connect(str(path))
        self.calls = 0

    def send(self, message, **attributes):
        self.calls += 1
        self.socket.sendall(pack(message, self.calls, **attributes))
        return self.calls

    def receive(self):
        size = struct.unpack("!I", self._read(4))[0]
        return unpack(self._read(size))

    def ask(self, message, **attributes):
        """The attributes of the reply."""
        number = self.send(message, **attributes)
        call, _, reply = self.receive()
        assert call == number, (call, number)
        return reply

    def is_closed(self):
        """Did the other side end the connection?"""
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def _read(self, count):
        data = b""
        while len(data) < count:
            part = self.socket.recv(count - len(data))
            if not part:
                raise EOFError("the service closed the connection")
            data += part
        return data

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()
