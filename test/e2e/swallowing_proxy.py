"""A NATS server that does not answer some requests: a proxy that drops the client's publishes to certain subjects.

Owns: the client's half of the protocol, line by line. Does not know: what is swallowed, and why.
"""

import contextlib
import re
import socket
import threading


class SwallowingProxy:
    def __init__(self, server_port: int):
        self.server_port, self.pattern, self.swallowed = server_port, None, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.open = [self.listener]
        threading.Thread(target=self.accept, daemon=True).start()

    def swallow(self, pattern: str | None) -> None:
        self.pattern = re.compile(pattern) if pattern else None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for s in self.open:
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)
            s.close()

    def accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client = self.listener.accept()[0]
                try:
                    server = socket.create_connection(("127.0.0.1", self.server_port))
                except ConnectionRefusedError:  # the server is just being started again, and the client will try again
                    client.close()
                    continue
                self.open += [client, server]
                threading.Thread(target=self.pump, args=(server, client), daemon=True).start()
                threading.Thread(target=self.requests, args=(client, server), daemon=True).start()

    @staticmethod
    def pump(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_RDWR)

    def requests(self, client: socket.socket, server: socket.socket) -> None:
        lines = client.makefile("rb")
        with contextlib.suppress(OSError, ValueError):
            while line := lines.readline():
                words = line.split()
                body = lines.read(int(words[-1]) + 2) if words and words[0] in (b"PUB", b"HPUB") else b""
                if body and self.pattern and self.pattern.search(words[1].decode()):
                    self.swallowed.append(words[1].decode())
                else:
                    server.sendall(line + body)
            server.shutdown(socket.SHUT_RDWR)
