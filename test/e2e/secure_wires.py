"""What stands between a client and a NATS server that speaks TLS: a door for clients without TLS, a wire that can be
cut.

Owns: passing bytes on. Does not know: what they mean, but for the greeting before TLS.
"""

import select
import socket
import ssl
import threading

PIECE, LIMIT = 1 << 16, 1 << 20
NOT_NOW = (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError)


def receive(s: socket.socket) -> bytes | None:
    """The bytes that are there now, perhaps none; None at the end of the connection."""
    try:
        return s.recv(PIECE) or None
    except NOT_NOW:
        return b""
    except OSError:
        return None


def send(s: socket.socket, data: bytes) -> bytes | None:
    """Sends what the connection takes now, and returns the rest; None at the end of the connection."""
    try:
        return data[s.send(data):] if data else data
    except NOT_NOW:
        return data
    except OSError:
        return None


def pass_on(guest: socket.socket, inner: ssl.SSLSocket) -> None:
    """Carries bytes both ways until one side ends, and then ends the other. One thread does both directions, because a
    TLS connection of OpenSSL may not be used by two threads: Python takes no lock before 3.13, and dies by SIGSEGV."""
    other = {guest: inner, inner: guest}
    unsent = {guest: b"", inner: b""}
    for s in other:
        s.setblocking(False)
    try:
        while True:
            for s, to in other.items():
                while len(unsent[to]) < LIMIT and (data := receive(s)) != b"":
                    if data is None:
                        return
                    unsent[to] += data
            for to in other:
                if (rest := send(to, unsent[to])) is None:
                    return
                unsent[to] = rest
            reading = [s for s, to in other.items() if len(unsent[to]) < LIMIT]
            # What OpenSSL has already taken from the socket does not wake select().
            patience = 0 if inner in reading and inner.pending() else None
            select.select(reading, [s for s in other if unsent[s]], [], patience)
    finally:
        for s in other:
            s.close()


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
        self.listener.shutdown(socket.SHUT_RDWR)  # wakes accept(); close() alone would not
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
            guest.sendall(greeting)
        except OSError:
            guest.close()
            return
        pass_on(guest, inner)


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
        self.listener.shutdown(socket.SHUT_RDWR)  # wakes accept(); close() alone would not
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
