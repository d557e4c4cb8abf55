"""The recorded chain of signed commits (`_derived/signed-chain` of the fixtures) as a network: a relay, a directory, a
PDS.

Owns: what each of them says at a moment of the chain, and its first bad answers about a repo.
Does not know: what recordkv makes of it.

Two things of the recording can't be served as they are. The PDS of its DID documents is replaced by this one. carol's
did:web names a host of the top-level domain .example, which recordkv never asks. She gets a did:web of this machine and
two keys of the same kinds, and her commits are signed again. No record of hers is in the final state.
"""

import base64
import contextlib
import http.server
import json
import os
import subprocess
import threading
import urllib.parse

from fake_source import Client, FakeSource, car
import atproto_repo  # from test/oracle, which fake_source has put into the path
import dag_cbor
from atproto_repo import Cid, as_json
from signed_network import Message, read_message

CAROL = "did:web:carol.shared.example"
BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
CURVES = {"p256": ("prime256v1", b"\x80\x24"), "k256": ("secp256k1", b"\xe7\x01")}


def fixture_directory() -> str:
    """Empty: it is not on this machine."""
    found = os.path.join(os.environ.get("RECORDKV_FIXTURES", ""), "_derived", "signed-chain")
    return found if os.path.exists(os.path.join(found, "stream.bin")) else ""


class Key:
    """A fresh key, by the command `openssl`."""

    def __init__(self, curve: str, directory: str):
        self.curve, self.file = curve, os.path.join(directory, curve + ".pem")
        name, prefix = CURVES[curve]
        self.run("ecparam", "-name", name, "-genkey", "-noout", "-out", self.file)
        public = self.run("ec", "-in", self.file, "-pubout", "-conv_form", "compressed", "-outform", "DER")[-33:]
        n, text = int.from_bytes(prefix + public, "big"), ""
        while n:
            n, digit = divmod(n, 58)
            text = BASE58[digit] + text
        self.multikey = "z" + text

    @staticmethod
    def run(*words: str, data: bytes = b"") -> bytes:
        return subprocess.run(["openssl", *words], input=data, check=True, capture_output=True, timeout=20).stdout

    def sign(self, data: bytes) -> bytes:
        der = self.run("dgst", "-sha256", "-sign", self.file, data=data)
        r = der[4:4 + der[3]]
        s = int.from_bytes(der[6 + der[3]:], "big")
        order = atproto_repo.ORDER[self.curve]
        return int.from_bytes(r, "big").to_bytes(32, "big") + min(s, order - s).to_bytes(32, "big")


class Chain:
    """The recording. `host` is where documents and repos are served."""

    def __init__(self, directory: str, host: str, keys: list[Key]):
        self.directory, self.host, self.keys = directory, host, keys
        self.carol = f"did:web:localhost%3A{host.rsplit(':', 1)[1]}"
        self.manifest, documents, self.expected = (
            json.loads(self.read(name)) for name in ("manifest.json", "did_docs.json", "expected_kv.json"))
        self.documents = {self.renamed(did): versions for did, versions in documents.items()}
        self.commits: dict[str, list] = {}  # by DID: (seq, rev, CID of the commit)
        self.statuses: dict[str, list] = {}  # by DID: (seq, active, status)
        self.blocks: dict[Cid, bytes] = {}
        self.frames = [self.adapted(raw) for raw in self.recorded()]  # of (seq or 0, bytes)
        self.cars = [(c["availableFromSeq"], c["did"], c["rev"], self.read(c["file"], "rb"))
                     for c in self.manifest["getRepo"]]
        for *_, raw in self.cars:
            self.blocks |= atproto_repo.read_car(raw)[1]

    def read(self, name: str, mode: str = "r"):
        with open(os.path.join(self.directory, name), mode) as f:
            return f.read()

    def renamed(self, did: str) -> str:
        return self.carol if did == CAROL else did

    def recorded(self):
        raw, at = self.read("stream.bin", "rb"), 0
        while at < len(raw):
            size = int.from_bytes(raw[at:at + 4], "little")
            yield raw[at + 4:at + 4 + size]
            at += 4 + size

    def adapted(self, raw: bytes) -> tuple[int, bytes]:
        if raw.startswith(b"\xa3"):
            return 0, raw  # an op that nothing knows
        m = read_message(raw)
        if m.did == CAROL:
            raw = self.of_carol(m)
            m = read_message(raw)
        if m.kind in ("#commit", "#sync"):
            root, blocks = atproto_repo.read_car(m.body["blocks"])
            self.blocks |= blocks
            if m.kind == "#commit":
                self.commits.setdefault(m.did, []).append((m.body["seq"], m.body["rev"], root))
        if m.kind == "#account":
            self.statuses.setdefault(m.did, []).append((m.body["seq"], m.body["active"], m.body.get("status")))
        return m.body.get("seq", 0), raw

    def of_carol(self, m: Message) -> bytes:
        body = {k: self.carol if v == CAROL else v for k, v in m.body.items()}
        if "blocks" in body:
            root, blocks = atproto_repo.read_car(body["blocks"])
            commit = as_json(atproto_repo.decode(blocks.pop(root)))
            unsigned = {k: v for k, v in commit.items() if k != "sig"} | {"did": self.carol}
            version = sum(v["fromSeq"] <= body["seq"] for v in self.documents[self.carol]) - 1
            signature = self.keys[version].sign(dag_cbor.encode(unsigned))
            block = dag_cbor.encode(unsigned | {"sig": {"$bytes": base64.b64encode(signature).decode()}})
            head = atproto_repo.cid_of(block)
            rest = [(str(cid), content) for cid, content in blocks.items()]
            body["blocks"] = car(str(head), [(str(head), block), *rest])
            if "commit" in body:
                body["commit"] = head
        return dag_cbor.encode({"op": 1, "t": m.kind}) + dag_cbor.encode(as_json(body))

    def document(self, did: str, seq: int) -> bytes | None:
        versions = [v["doc"] for v in self.documents.get(did, []) if v["fromSeq"] <= seq]
        if not versions:
            return None
        document = json.loads(json.dumps(versions[-1]).replace(CAROL, self.carol))
        document["service"][0]["serviceEndpoint"] = self.host
        if did == self.carol:
            document["verificationMethod"][0]["publicKeyMultibase"] = self.keys[len(versions) - 1].multikey
        return json.dumps(document).encode()

    def status(self, did: str, seq: int) -> tuple[bool, str | None]:
        told = [(active, status) for at, active, status in self.statuses.get(did, []) if at <= seq]
        return told[-1] if told else (False, "deleted")

    def export(self, did: str, seq: int) -> tuple[str, bytes]:
        """The rev and the CAR: the recorded one, or if a commit has come since, the repo at that commit."""
        recorded = max(((rev, raw) for since, of, rev, raw in self.cars if of == did and since <= seq),
                       default=("", b""))
        _, rev, root = max((c for c in self.commits[did] if c[0] <= seq), key=lambda c: c[1])
        if recorded[0] >= rev:
            return recorded
        found = {root: self.blocks[root]}
        self.gather(atproto_repo.read_commit(self.blocks[root]).data, found)
        return rev, car(str(root), [(str(cid), block) for cid, block in found.items()])

    def gather(self, cid: Cid | None, into: dict[Cid, bytes]) -> None:
        if cid is None:
            return
        into[cid] = self.blocks[cid]
        node = atproto_repo.decode(self.blocks[cid])
        self.gather(node["l"], into)
        for entry in node["e"]:
            into[entry["v"]] = self.blocks[entry["v"]]
            self.gather(entry["t"], into)


class ChainNetwork:
    """Use as a context manager. `now`: the newest number that the relay has told. `given`: the answers about repos, as
    (DID, "429", "torn" or the rev)."""

    def __init__(self, fixture: str, directory: str):
        network = self

        class Pages(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                status, body, headers = network.answer(self.path)
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.pages = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages)
        self.host = f"http://127.0.0.1:{self.pages.server_address[1]}"
        self.chain = Chain(fixture, self.host, [Key("p256", directory), Key("k256", directory)])
        self.relay = FakeSource(self.serve)
        self.lock = threading.Lock()
        self.told: list[tuple[int, bytes]] = []
        self.client: Client | None = None
        self.again = False  # the next connection gets everything once more
        self.now = 0
        self.given: list[tuple[str, str]] = []
        self.spoilt: dict[str, list[str]] = {}  # by DID and recorded CAR: bad answers still to come

    def __enter__(self):
        threading.Thread(target=self.pages.serve_forever, daemon=True).start()
        self.relay.__enter__()
        return self

    def __exit__(self, *rest):
        self.relay.__exit__(*rest)
        self.pages.shutdown()
        self.pages.server_close()

    # the relay

    def serve(self, client: Client) -> None:
        """What the client has missed, and what is told from now on."""
        with self.lock:
            everything, self.again = self.again, False
            for seq, raw in self.told:
                if everything or seq > (client.cursor or 0):
                    client.binary(raw)
            self.client = client
        client.stay()

    def tell(self, count: int) -> None:
        """The next frames. One without a number reaches only a client that is connected now."""
        for seq, raw in self.chain.frames[len(self.told):len(self.told) + count]:
            with self.lock:
                self.told.append((seq, raw))
                self.now = max(self.now, seq)
                with contextlib.suppress(OSError):
                    if self.client:
                        self.client.binary(raw)

    # directory and PDS

    def answer(self, target: str) -> tuple[int, bytes, dict]:
        path, _, query = target.partition("?")
        did = urllib.parse.parse_qs(query).get("did", [""])[0]
        if path.startswith("/did:") or path == "/.well-known/did.json":
            document = self.chain.document(self.chain.carol if path[1] == "." else path[1:], self.now)
            return (200, document, {}) if document else (404, b"{}", {})
        if did not in self.chain.commits:
            return self.refusal("RepoNotFound")
        active, status = self.chain.status(did, self.now)
        if status == "deleted":
            return self.refusal("RepoNotFound")
        if path == "/xrpc/com.atproto.sync.getRepoStatus":
            return 200, json.dumps({"did": did, "active": active} | ({"status": status} if status else {})).encode(), {}
        if path != "/xrpc/com.atproto.sync.getRepo":
            return 501, b"{}", {}
        return self.repo(did) if active else self.refusal("RepoDeactivated")

    @staticmethod
    def refusal(error: str) -> tuple[int, bytes, dict]:
        return 400, json.dumps({"error": error, "message": error}).encode(), {}

    def repo(self, did: str) -> tuple[int, bytes, dict]:
        """Of each recorded export, the first request meets 429 and the second a torn CAR."""
        with self.lock:
            rev, raw = self.chain.export(did, self.now)
            recorded = [r for since, of, r, _ in self.chain.cars if of == did and since <= self.now]
            bad = self.spoilt.setdefault(f"{did} {len(recorded)}", ["429", "torn"])
            what = bad.pop(0) if bad else rev
            self.given.append((did, what))
        if what == "429":
            return 429, b'{"error":"RateLimitExceeded"}', {"Retry-After": "1"}
        return 200, torn(raw) if what == "torn" else raw, {"Content-Type": "application/vnd.ipld.car"}


def torn(raw: bytes) -> bytes:
    """A CAR without its last block but one: half of the tree, or a record, is missing."""
    root, blocks = atproto_repo.read_car(raw)
    left = [(str(cid), block) for cid, block in blocks.items()]
    del left[-2]
    return car(str(root), left)
