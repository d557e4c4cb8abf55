"""Reading a Jetstream over one blocking socket, and running recordkv-sim for a test.

Owns: the WebSocket client, one child process.
Does not know: what events mean. The program is $RECORDKV_SIM; without it a test that wants it fails.
"""

import json
import os
import select
import signal
import socket
import subprocess
import tempfile
import urllib.request

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


class Refused(Exception):
    """The server answered with something else than 101."""


class Jetstream:
    path = "/subscribe"

    def __init__(self, port: int, query: str = "", timeout: float = 10):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        self.socket.sendall(f"GET {self.path}?{query} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
                            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode())
        self.buffer, self.at = b"", 0
        while (end := self.buffer.find(b"\r\n\r\n")) < 0:
            self._more()
        head, self.at = self.buffer[:end].decode(), end + 4
        if not head.startswith("HTTP/1.1 101"):
            self.socket.close()
            raise Refused(head)
        assert "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head  # the sample of RFC 6455

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def _more(self) -> None:
        data = self.socket.recv(1 << 20)
        if not data:
            raise EOFError
        self.buffer, self.at = self.buffer[self.at:] + data, 0

    def _take(self, size: int) -> bytes:
        while len(self.buffer) - self.at < size:
            self._more()
        self.at += size
        return self.buffer[self.at - size:self.at]

    def frame(self) -> tuple[int, bytes]:
        first, size = self._take(2)
        if size >= 126:
            size = int.from_bytes(self._take(2 if size == 126 else 8), "big")
        return first & 15, self._take(size)

    def send(self, opcode: int, payload: bytes) -> None:
        assert len(payload) < 65536
        size = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + len(payload).to_bytes(2, "big")
        mask = os.urandom(4)
        masked = bytes(b ^ mask[i % 4] for i, b in enumerate(payload))
        self.socket.sendall(bytes([0x80 | opcode]) + size + mask + masked)

    def texts(self, count: int) -> list[bytes]:
        out = []
        while len(out) < count:
            opcode, payload = self.frame()
            assert opcode == TEXT, (opcode, payload)
            out.append(payload)
        return out

    def events(self, count: int) -> list[dict]:
        return [json.loads(text) for text in self.texts(count)]

    def silent(self, seconds: float = 0.3) -> bool:
        return self.at == len(self.buffer) and not select.select([self.socket], [], [], seconds)[0]


class Simulator:
    def __init__(self, *options: str):
        program = os.environ.get("RECORDKV_SIM")
        if not program:
            raise FileNotFoundError("RECORDKV_SIM names no recordkv-sim")
        self.command = [program, "--die-with-parent", *options]

    def __enter__(self):
        self.directory = tempfile.TemporaryDirectory(prefix="oracle-sim-")
        self.truth = os.path.join(self.directory.name, "truth.tsv")
        self.process = subprocess.Popen([*self.command, "--truth", self.truth], stdout=subprocess.PIPE, text=True)
        self.printed = []
        for line in self.process.stdout:
            if line.startswith("listening ws://127.0.0.1:"):
                self.port = int(line.rsplit(":", 1)[1])
                return self
            self.printed.append(line.rstrip("\n"))
        raise RuntimeError("recordkv-sim did not start")

    def __exit__(self, *_):
        self.end()
        self.process.stdout.close()
        self.directory.cleanup()

    def end(self, how=signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(20)

    def get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=20) as answer:
            return answer.read().decode()
