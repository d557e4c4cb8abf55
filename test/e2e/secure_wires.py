"""What stands between a client and a NATS server that speaks TLS: a door for those who don't, a wire that can be cut.

Owns: passing bytes on. Refuses to know: what they mean, but for the greeting before TLS.
"""

import socket
import ssl
import threading


class PlainDoor:
    """Listens without TLS and passes everything on to a NATS server that requires it."""

    def __init__(self, port: int, ca: str, certificate: tuple | None = None):
        self.context = ssl.create_default_context(cafile=ca)
        if certificate:
            self.context.load_cert_chain(*certificate)
        self.server = port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()

    def serve(self) -> None:
        while True:
            try:
                guest, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.lead_in, args=(guest,), daemon=True).start()

    def lead_in(self, guest: socket.socket) -> None:
        try:
            raw = socket.create_connection(("127.0.0.1", self.server), 10)
            greeting = b""
            while not greeting.endswith(b"\r\n"):
                greeting += raw.recv(1) or b"\r\n"
            inner = self.context.wrap_socket(raw, server_hostname="127.0.0.1")
            inner.settimeout(None)
            guest.sendall(greeting)
        except OSError:
            guest.close()
            return
        threading.Thread(target=self.pump, args=(guest, inner), daemon=True).start()
        self.pump(inner, guest)

    @staticmethod
    def pump(a: socket.socket, b: socket.socket) -> None:
        try:
            while data := a.recv(1 << 16):
                b.sendall(data)
        except OSError:
            pass
        for s in (a, b):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        a.close()


class CutWire:
    """Between recordkv and its server; cut() lets half of what comes next through, and then nothing more on the
    connections that stand. Later ones are whole."""

    def __init__(self, port: int):
        self.server, self.cutting, self.cuts, self.withheld = port, False, 0, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()

    def cut(self) -> None:
        self.cutting = True

    def serve(self) -> None:
        while True:
            try:
                guest, _ = self.listener.accept()
                server = socket.create_connection(("127.0.0.1", self.server), 10)
            except OSError:
                return
            server.settimeout(None)
            threading.Thread(target=self.pump, args=(guest, server, False), daemon=True).start()
            threading.Thread(target=self.pump, args=(server, guest, True), daemon=True).start()

    def pump(self, a: socket.socket, b: socket.socket, down: bool) -> None:
        mine = False
        try:
            while data := a.recv(1 << 16):
                if mine:
                    self.withheld += 1
                    continue
                if down and self.cutting:
                    mine, self.cutting, self.cuts = True, False, self.cuts + 1
                    data = data[:len(data) // 2]
                b.sendall(data)
        except OSError:
            pass
        for s in (a, b):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        a.close()
