# SPDX-License-Identifier: ISC
"""A scripted SMTP (or LMTP) server that keeps what it gets: the next hop in tests."""

import socket
import socketserver
import threading

from instance import free_port


class Message:
    def __init__(self, sender, recipients, content, helo):
        self.sender, self.recipients, self.content, self.helo = sender, recipients, content, helo


class Sink:
    """answers: maps a stage ("connect", "EHLO", "MAIL", "RCPT", "DATA", ".", "QUIT") to a reply text or a function of the argument.

    A reply of None closes the connection without an answer. extensions: EHLO keywords. connections: how many there were; open: how many there are.
    """

    def __init__(self, address="127.0.0.1", port=None, answers=None, extensions=("PIPELINING", "8BITMIME", "SIZE 100000000", "DSN", "SMTPUTF8"),
                 lmtp=False):
        self.address = address
        self.port = port or free_port(address)
        self.answers = answers or {}
        self.extensions = extensions
        self.lmtp = lmtp
        self.messages = []
        self.commands = []
        self.connections = self.open = 0
        self.lock = threading.Lock()
        sink = self

        class Handler(socketserver.StreamRequestHandler):
            def setup(self):
                self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.timeout = 60
                super().setup()

            def handle(self):
                with sink.lock:
                    sink.open += 1
                try:
                    sink._session(self)
                except OSError:
                    pass
                finally:
                    with sink.lock:
                        sink.open -= 1

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True
            request_queue_size = 128
            address_family = socket.AF_INET6 if ":" in address else socket.AF_INET

        self.server = Server((address, self.port), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def _answer(self, stage, default, argument=""):
        answer = self.answers.get(stage, default)
        return answer(argument) if callable(answer) else answer

    def _session(self, handler):
        with self.lock:
            self.connections += 1

        def say(text):
            if text is None:
                raise OSError("scripted end")
            handler.wfile.write(text.encode() + b"\r\n")
            handler.wfile.flush()

        say(self._answer("connect", "220 sink.example ESMTP"))
        sender, recipients, helo = None, [], None
        while line := handler.rfile.readline():
            text = line.rstrip(b"\r\n").decode(errors="surrogateescape")
            with self.lock:
                self.commands.append(text)
            verb = text.split(" ")[0].split(":")[0].upper()
            if verb in ("EHLO", "LHLO", "HELO"):
                helo = text.partition(" ")[2]
                lines = ["sink.example", *self.extensions] if verb != "HELO" else ["sink.example"]
                default = "\r\n".join(f"250{'-' if i < len(lines) - 1 else ' '}{word}" for i, word in enumerate(lines))
                say(self._answer("EHLO" if verb == "LHLO" else verb, default, text))
            elif verb == "MAIL":
                sender, recipients = text.partition(":")[2], []
                say(self._answer("MAIL", "250 2.1.0 Ok", text))
            elif verb == "RCPT":
                reply = self._answer("RCPT", "250 2.1.5 Ok", text)
                if reply and reply.startswith("2"):
                    recipients.append(text.partition(":")[2])
                say(reply)
            elif verb == "DATA":
                reply = self._answer("DATA", "354 go on" if recipients else "554 5.5.1 no valid recipients", text)
                say(reply)
                if not reply.startswith("354"):
                    continue
                content = bytearray()
                while (part := handler.rfile.readline()) not in (b".\r\n", b""):
                    content += part[1:] if part.startswith(b".") else part
                if part == b"":
                    return
                message = Message(sender, list(recipients), bytes(content), helo)
                replies = [self._answer(".", "250 2.0.0 Ok: kept", r) for r in recipients] if self.lmtp \
                    else [self._answer(".", "250 2.0.0 Ok: kept", message)]
                if any(reply and reply.startswith("2") for reply in replies):
                    with self.lock:
                        self.messages.append(message)       # written down before it is answered for
                for reply in replies:
                    say(reply)
                sender, recipients = None, []
            elif verb == "QUIT":
                say(self._answer("QUIT", "221 2.0.0 Bye"))
                return
            elif verb in ("RSET", "NOOP"):
                say(self._answer(verb, "250 2.0.0 Ok"))
            else:
                say("502 5.5.2 what?")
