"""The NATS client protocol over one blocking socket, and reading a JetStream stream from end to end.

Owns: frames, subscriptions, request and reply, one pull consumer without acknowledgements.
Does not know: recordkv, key-value stores. Written for the oracle, so it shares nothing with what it checks.
"""

import contextlib
import json
import os
import socket
import time
from typing import Iterator, NamedTuple
from urllib.parse import unquote, urlsplit

BATCH = 1000


class Failure(Exception):
    """The server is not there, or said no."""


class Message(NamedTuple):
    subject: str
    reply: str
    headers: dict
    payload: bytes
    status: int  # of a message that is only a status, else 0


def parse_headers(raw: bytes) -> tuple[dict, int]:
    lines = raw.decode().split("\r\n")
    headers = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if colon:
            headers[name] = value.strip()
    status = lines[0][9:12]
    return headers, int(status) if status.isdigit() else 0


class Connection:
    def __init__(self, url: str, timeout: float = 10):
        parts = urlsplit(url if "://" in url else "nats://" + url)
        self.timeout = timeout
        try:
            self.socket = socket.create_connection((parts.hostname or "127.0.0.1", parts.port or 4222), timeout)
        except OSError as e:
            raise Failure(f"no NATS server at {url}: {e}") from e
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer, self.at, self.sids = b"", 0, 0
        self.info = json.loads(self._line()[5:])
        options = {"verbose": False, "pedantic": False, "headers": True, "no_responders": True, "lang": "oracle"}
        if parts.username:
            secret = {"user": unquote(parts.username), "pass": unquote(parts.password or "")}
            options.update(secret if parts.password else {"auth_token": unquote(parts.username)})
        self.socket.sendall(b"CONNECT " + json.dumps(options).encode() + b"\r\nPING\r\n")
        while (line := self._line()) != b"PONG":
            if line.startswith(b"-ERR"):
                raise Failure(line.decode())
        self.inbox = "_INBOX." + os.urandom(8).hex()

    def close(self) -> None:
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def publish(self, subject: str, payload: bytes = b"", reply: str = "", headers: dict | None = None) -> None:
        if headers is None:
            self.socket.sendall(f"PUB {subject} {reply} {len(payload)}\r\n".encode() + payload + b"\r\n")
            return
        head = ("NATS/1.0\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers.items()) + "\r\n").encode()
        line = f"HPUB {subject} {reply} {len(head)} {len(head) + len(payload)}\r\n"
        self.socket.sendall(line.encode() + head + payload + b"\r\n")

    def subscribe(self, subject: str) -> int:
        self.sids += 1
        self.socket.sendall(f"SUB {subject} {self.sids}\r\n".encode())
        return self.sids

    def unsubscribe(self, sid: int) -> None:
        self.socket.sendall(f"UNSUB {sid}\r\n".encode())

    def next(self, timeout: float | None = None) -> Message:
        """The next message of any subscription."""
        self.socket.settimeout(self.timeout if timeout is None else max(timeout, 0.001))
        while True:
            line = self._line()
            if line == b"PING":
                self.socket.sendall(b"PONG\r\n")
            elif line.startswith(b"-ERR"):
                raise Failure(line.decode())
            elif line.startswith((b"MSG ", b"HMSG ")):
                words = line.decode().split(" ")
                head = int(words[-2]) if words[0] == "HMSG" else 0
                reply = words[3] if len(words) == (6 if head else 5) else ""
                body = self._take(int(words[-1]) + 2)
                headers, status = parse_headers(body[:head]) if head else ({}, 0)
                return Message(words[1], reply, headers, body[head:-2], status)

    def request(self, subject: str, payload: bytes = b"", headers: dict | None = None, timeout: float = 10) -> Message:
        """Publishes and waits for the answer. Only while no other subscription of this connection receives."""
        inbox = f"{self.inbox}.{self.sids}"
        sid = self.subscribe(inbox)
        self.publish(subject, payload, inbox, headers)
        message = self.next(timeout)
        self.unsubscribe(sid)
        if message.status == 503:
            raise Failure(f"nobody answers {subject}: is JetStream on?")
        return message

    def api(self, what: str, **body) -> dict:
        """A JetStream API call; its error becomes a Failure."""
        answer = json.loads(self.request("$JS.API." + what, json.dumps(body).encode() if body else b"").payload)
        if "error" in answer:
            raise Failure(f"{what}: {answer['error'].get('description')} ({answer['error'].get('err_code')})")
        return answer

    def _more(self) -> None:
        try:
            data = self.socket.recv(1 << 20)
        except OSError as e:
            raise Failure(f"NATS connection: {e}") from e
        if not data:
            raise Failure("NATS connection closed by the server")
        self.buffer = self.buffer[self.at:] + data
        self.at = 0

    def _line(self) -> bytes:
        while (end := self.buffer.find(b"\r\n", self.at)) < 0:
            self._more()
        line = self.buffer[self.at:end]
        self.at = end + 2
        return line

    def _take(self, size: int) -> bytes:
        while len(self.buffer) - self.at < size:
            self._more()
        self.at += size
        return self.buffer[self.at - size:self.at]


def _place(ack: str) -> tuple[int, int]:
    """Stream sequence and messages still to come, from the reply subject of a delivery."""
    words = ack.split(".")
    return (int(words[5]), int(words[8])) if len(words) == 9 else (int(words[7]), int(words[10]))


def read_stream(url: str, stream: str, filter: str | None = None) -> Iterator[tuple[str, dict, bytes, int]]:
    """Yields (subject, headers, payload, sequence) of everything that stands in the stream when it is called."""
    with Connection(url) as nats:
        last = nats.api(f"STREAM.INFO.{stream}")["state"]["last_seq"]
        name = "oracle-" + os.urandom(6).hex()
        config = {"name": name, "deliver_policy": "all", "ack_policy": "none", "replay_policy": "instant",
                  "inactive_threshold": 60_000_000_000, "mem_storage": True, "num_replicas": 1}
        if filter:
            config["filter_subject"] = filter
        made = nats.api(f"CONSUMER.CREATE.{stream}.{name}", stream_name=stream, config=config)
        try:  # however the reading ends, no consumer stays behind: tests compare what is left
            if made["num_pending"] == 0:
                return
            pulls = Connection(url)
            with pulls:
                inbox = pulls.inbox + ".pull"
                pulls.subscribe(inbox)
                ask = json.dumps({"batch": BATCH, "expires": 2_000_000_000}).encode()
                subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{name}"
                asked = 0
                while True:
                    if asked <= BATCH // 2:
                        pulls.publish(subject, ask, inbox)
                        asked += BATCH
                    m = pulls.next()
                    if m.status in (404, 408):  # what was still to come has been removed meanwhile
                        asked -= int(m.headers.get("Nats-Pending-Messages", BATCH))
                        if nats.api(f"CONSUMER.INFO.{stream}.{name}")["num_pending"] == 0:
                            break
                        continue
                    if m.status == 100:
                        continue
                    if m.status:
                        raise Failure(f"pull from {stream}: status {m.status}")
                    asked -= 1
                    seq, pending = _place(m.reply)
                    yield m.subject, m.headers, m.payload, seq
                    if pending == 0 or seq >= last:
                        break
        finally:
            with contextlib.suppress(Failure, OSError):  # the server may be gone
                nats.api(f"CONSUMER.DELETE.{stream}.{name}")


def wait_until(condition, seconds: float, every: float = 0.2) -> bool:
    """Waits for a fact. False when the deadline passed first."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(every)
    return True
