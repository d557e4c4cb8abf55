"""A source that says exactly what a test wants: a WebSocket server that runs a script for each client, and builders of
messages.

Owns: the server's side of RFC 6455, the bytes of Jetstream events and of firehose frames, faults included.
Does not know: what recordkv makes of them. An encoder of its own (test/oracle/dag_cbor.py), sharing nothing with
src/.
"""

import base64
import contextlib
import hashlib
import json
import os
import socket
import sys
import threading
import time
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "oracle"))
import dag_cbor  # noqa: E402

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
SORTABLE = "234567abcdefghijklmnopqrstuvwxyz"
LIKE = "app.bsky.feed.like"


def now_us() -> int:
    return int(time.time() * 1e6)


def tid(micros: int, clock: int = 0) -> str:
    n = micros << 10 | clock
    return "".join(SORTABLE[n >> 5 * i & 31] for i in reversed(range(13)))


def did(n: int) -> str:
    """A did:plc of the right shape, another for each n."""
    return "did:plc:" + base64.b32encode(hashlib.sha256(b"did %d" % n).digest()).decode().lower()[:24]


def rfc3339(micros: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(micros // 1_000_000)) + f".{micros % 1_000_000:06d}Z"


def like(n: int) -> dict:
    subject = {"cid": dag_cbor.cid({"n": n}),
               "uri": f"at://{did(0)}/app.bsky.feed.post/{tid(1_700_000_000_000_000 + n)}"}
    return {"$type": LIKE, "createdAt": "2026-01-01T00:00:00.000Z", "subject": subject}


# Jetstream

def jetstream_event(account: str, rkey: str, record, time_us: int | None = None, operation: str = "create",
                    collection: str = LIKE, **commit) -> dict:
    """One commit event. Members of `commit` are added, or replace what stands there; None removes them."""
    at = now_us() if time_us is None else time_us
    body = {"rev": tid(at), "operation": operation, "collection": collection, "rkey": rkey}
    if operation != "delete":
        body |= {"record": record, "cid": dag_cbor.cid(record)} if "cid" not in commit else {"record": record}
    body = {k: v for k, v in {**body, **commit}.items() if v is not None}
    return {"did": account, "time_us": at, "kind": "commit", "commit": body}


# Firehose: a frame is a header and a payload, each DAG-CBOR; "$link" and "$bytes" as in records.

def as_bytes(raw: bytes) -> dict:
    return {"$bytes": base64.b64encode(raw).decode().rstrip("=")}


def link(cid: str) -> dict:
    return {"$link": cid}


def varint(n: int) -> bytes:
    out = bytearray()
    while n > 0x7f:
        out.append(n & 0x7f | 0x80)
        n >>= 7
    return bytes(out + bytes([n]))


def car(root: str, blocks: list) -> bytes:
    """A CAR v1 of (cid, bytes) pairs."""
    head = dag_cbor.encode({"roots": [link(root)], "version": 1})
    out = varint(len(head)) + head
    for cid, raw in blocks:
        binary = base64.b32decode(cid[1:].upper() + "=" * (-len(cid[1:]) % 8))
        out += varint(len(binary) + len(raw)) + binary + raw
    return out


def frame(kind: str, payload: dict, op: int = 1) -> bytes:
    return dag_cbor.encode({"op": op, "t": kind}) + dag_cbor.encode(payload)


def commit_payload(account: str, seq: int, changes: list, rev: str | None = None, since: str | None = None,
                   time_us: int | None = None, data: str | None = None, **members) -> dict:
    """`changes`: (action, path, record) each. Signature and tree are made up: recordkv reads them and believes them so
    far. Members given by name replace those of the payload; an Ellipsis removes one."""
    at = now_us() if time_us is None else time_us
    rev = rev or tid(at)
    root = data or dag_cbor.cid({"tree of": rev})
    commit = {"did": account, "version": 3, "data": link(root), "rev": rev, "prev": None, "sig": as_bytes(bytes(64))}
    head = dag_cbor.cid(commit)
    blocks, ops = [(head, dag_cbor.encode(commit))], []
    for action, path, record in changes:
        op = {"action": action, "path": path, "cid": None}
        if action != "delete":
            op["cid"] = link(dag_cbor.cid(record))
            blocks.append((dag_cbor.cid(record), dag_cbor.encode(record)))
        ops.append(op)
    payload = {"repo": account, "seq": seq, "rev": rev, "since": since, "commit": link(head), "time": rfc3339(at),
               "ops": ops, "blocks": as_bytes(car(head, blocks)), "blobs": [], "rebase": False, "tooBig": False}
    return {k: v for k, v in {**payload, **members}.items() if v is not ...}


def commit_frame(*args, **members) -> bytes:
    return frame("#commit", commit_payload(*args, **members))


# The server

class Client:
    """One connection, as the script sees it. Sending to one that has gone raises OSError, which ends the script
    quietly."""

    def __init__(self, connection: socket.socket, target: str):
        self.socket = connection
        self.path, _, query = target.partition("?")
        self.query = urllib.parse.parse_qs(query, keep_blank_values=True)
        self.cursor = int(self.query["cursor"][0]) if "cursor" in self.query else None
        self.connected_at = time.monotonic()
        self.closed_at = None
        self.gone = threading.Event()
        self.writing = threading.Lock()

    def send(self, opcode: int, payload: bytes) -> None:
        size = len(payload)
        if size < 126:
            head = bytes([0x80 | opcode, size])
        elif size < 65536:
            head = bytes([0x80 | opcode, 126]) + size.to_bytes(2, "big")
        else:
            head = bytes([0x80 | opcode, 127]) + size.to_bytes(8, "big")
        self.raw(head + payload)

    def raw(self, data: bytes) -> None:
        """Bytes as they are: for framing that is broken on purpose."""
        with self.writing:
            self.socket.sendall(data)

    def text(self, message) -> None:
        self.send(TEXT, (message if isinstance(message, str) else json.dumps(message)).encode())

    def binary(self, message: bytes) -> None:
        self.send(BINARY, message)

    def close(self, code: int = 1000) -> None:
        with contextlib.suppress(OSError):
            self.send(CLOSE, code.to_bytes(2, "big"))
            self.socket.shutdown(socket.SHUT_RDWR)

    def stay(self) -> None:
        """Until the client goes, or the server ends."""
        self.gone.wait()


class FakeSource:
    """Use as a context manager. `script(client)` runs in a thread of its own for each connection; when it returns, the
    connection stays open. `clients` lists all connections there were, in order. `answer(target)` may refuse an upgrade:
    it returns the response's text, or None to accept."""

    def __init__(self, script=lambda client: None, port: int = 0, answer=lambda target: None, pongs: bool = True):
        self.script, self.answer, self.pongs = script, answer, pongs
        self.clients: list[Client] = []
        self.targets: list[str] = []
        self.listener = socket.create_server(("127.0.0.1", port))
        self.port = self.listener.getsockname()[1]
        self.url = f"ws://127.0.0.1:{self.port}"

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for c in self.clients:
            c.gone.set()
            with contextlib.suppress(OSError):
                c.socket.shutdown(socket.SHUT_RDWR)
            c.socket.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, EOFError):
            stream = connection.makefile("rb")
            target = stream.readline().split()[1].decode()
            self.targets.append(target)
            key = b""
            while (line := stream.readline().strip()):
                if line.lower().startswith(b"sec-websocket-key:"):
                    key = line.split(b":", 1)[1].strip()
            if refusal := self.answer(target):
                connection.sendall(refusal.encode())
                connection.close()
                return
            accept = base64.b64encode(hashlib.sha1(key + GUID).digest()).decode()
            connection.sendall(f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                               f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode())
            client = Client(connection, target)
            self.clients.append(client)
            threading.Thread(target=self._run, args=(client,), daemon=True).start()
            self._listen(stream, client)

    def _run(self, client: Client) -> None:
        with contextlib.suppress(OSError):
            self.script(client)

    def _listen(self, stream, client: Client) -> None:
        try:
            while True:
                first, size = self._exactly(stream, 2)
                size &= 0x7f
                if size >= 126:
                    size = int.from_bytes(self._exactly(stream, 2 if size == 126 else 8), "big")
                mask = self._exactly(stream, 4)
                payload = bytes(b ^ mask[i % 4] for i, b in enumerate(self._exactly(stream, size)))
                if first & 15 == PING and self.pongs:
                    client.send(PONG, payload)
                elif first & 15 == CLOSE:
                    return
        finally:
            client.closed_at = time.monotonic()
            client.gone.set()

    @staticmethod
    def _exactly(stream, size: int) -> bytes:
        data = stream.read(size)
        if len(data) < size:
            raise EOFError
        return data
