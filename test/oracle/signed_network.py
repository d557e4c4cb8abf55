"""recordkv-sim --network signed for a test: its stream, its directory, its control routes.

Owns: the child process and its addresses, the decoding of stream messages.
Does not know: whether a message is true.
"""

import json
import urllib.error
import urllib.parse
import urllib.request
from typing import NamedTuple

import atproto_repo
from jetstream_client import CLOSE, Jetstream, Simulator

BINARY = 2


class Message(NamedTuple):
    kind: str  # "#commit", …; "error"
    body: dict
    raw: bytes

    @property
    def did(self) -> str:
        return self.body.get("repo") or self.body.get("did", "")


def read_message(raw: bytes, canonical: bool = True) -> Message:
    if not canonical and raw.startswith(b"\xa2\x62op"):
        raw_head, at = b"\xa2\x62op\x01\x61t", len(b"\xa2\x62op\x01\x61t")
        assert raw.startswith(raw_head)
        kind, at = atproto_repo.decode_one(raw, at)
        return Message(kind, atproto_repo.decode(raw[at:]), raw)
    head, at = atproto_repo.decode_one(raw)
    return Message(head["t"] if head["op"] == 1 else "error", atproto_repo.decode(raw[at:]), raw)


class Stream(Jetstream):
    path = "/xrpc/com.atproto.sync.subscribeRepos"

    def messages(self, count: int) -> list[Message]:
        out = []
        while len(out) < count:
            opcode, payload = self.frame()
            assert opcode == BINARY, (opcode, payload)
            out.append(read_message(payload, canonical=False))
        return out

    def rest(self) -> list[Message]:
        """Until the server ends it."""
        out = []
        try:
            while (frame := self.frame())[0] != CLOSE:
                out.append(read_message(frame[1], canonical=False))
        except (EOFError, ConnectionError):
            pass
        return out


class SignedNetwork(Simulator):
    def __init__(self, *options: str):
        super().__init__("--network", "signed", *options)

    def __enter__(self):
        super().__enter__()
        self.plc = self.addresses("plc")[0]
        self.pds = self.addresses("pds")
        self.web = self.addresses("web")
        return self

    def addresses(self, what: str) -> list[str]:
        return [line.split(" ", 1)[1] for line in self.printed if line.startswith(what + " ")]

    def stream(self, query: str = "cursor=0") -> Stream:
        return Stream(self.port, query)

    def control(self, route: str, **query):
        """The answer's JSON value."""
        encoded = urllib.parse.urlencode(query)
        return json.loads(self.get(f"/control/{route}?{encoded}"))

    def accounts(self) -> dict[str, dict]:
        lines = self.get("/control/accounts").split("\n")[:-1]
        return {a["did"]: a for a in map(json.loads, lines)}


def fetch(url: str, **query) -> tuple[int, bytes]:
    """Status and body, without following redirects."""
    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_):
            return None
    encoded = "?" + urllib.parse.urlencode(query) if query else ""
    try:
        with urllib.request.build_opener(Stay).open(url + encoded, timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as e:
        return e.code, e.read()


def document_key(document: bytes) -> str:
    return json.loads(document)["verificationMethod"][0]["publicKeyMultibase"]
