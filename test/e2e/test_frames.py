"""`recordkv frames`: the verdict of every check for recordings, standard input and a live host.

Owns: the lines, the exit codes, recording, and what no recording does to it. No NATS is running. Does not know: how a
check decides (unit/atproto).
"""

import contextlib
import http.server
import json
import os
import re
import signal
import subprocess
import threading
import unittest

import rig as support
from fake_source import FakeSource
from rig import SLOW, Rig, die_with_parent, plain_environment, program, wait_for

DERIVED = os.path.join(support.ROOT, "test", "fixtures", "_derived")
CHAIN = os.path.join(DERIVED, "signed-chain", "stream.bin")
KEYS = ["--keys", os.path.join(DERIVED, "signed-chain", "did_docs.json")]
NOW = ["--now", "2026-08-01T00:00:00Z"]  # the chain's revs are older


def manifest() -> list:
    with open(os.path.join(DERIVED, "signed-chain", "manifest.json"), encoding="utf-8") as f:
        return json.load(f)["frames"]


def recorded(*messages: bytes) -> bytes:
    return b"".join(len(m).to_bytes(4, "little") + m for m in messages)


def chain() -> list:
    with open(CHAIN, "rb") as f:
        data = f.read()
    out = []
    while data:
        size = int.from_bytes(data[:4], "little")
        out.append(data[4:4 + size])
        data = data[4 + size:]
    return out


@contextlib.contextmanager
def directory(documents: dict):
    """A PLC directory that knows these DID documents. Yields the options that name it, and the DIDs it was asked for."""
    asked = []

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):  # noqa: N802 (the base class names it)
            did = self.path.removeprefix("/")
            asked.append(did)
            body = json.dumps(documents.get(did, {"message": "DID not registered"})).encode()
            self.send_response(200 if did in documents else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield ["--set", f"identity.plc_url=http://127.0.0.1:{server.server_port}",
               "--set", "identity.allow_private_hosts=true"], asked
    finally:
        server.shutdown()
        server.server_close()


def expected(frame: dict, known: set) -> str:
    """What the checks must say of a frame of the chain."""
    kind, account = frame["type"], frame.get("did")
    if kind == "error":
        return "frame error (ConsumerTooSlow: Stream consumer too slow)"
    if kind == "#info":
        return "frame ok (OutdatedCursor)"
    if kind not in ("#commit", "#sync"):
        return "frame ok"
    out = ["frame ok"] + (["records ok", "proof ok"] if kind == "#commit" else []) + ["signature ok"]
    repeated = (account, frame["rev"]) in known
    first = account not in {did for did, _ in known}
    known.add((account, frame["rev"]))
    if repeated:
        return "  ".join([*out, "rev same"])
    word = {"desync": "gap (prev_data)", "resync": "reset"}.get(frame["expect"], "first" if first else "ok")
    return "  ".join([*out, "rev ok", "chain " + word])


class FramesTest(unittest.TestCase):
    def start(self, rig: Rig, *words, **streams) -> subprocess.Popen:
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
        return subprocess.Popen([program("RECORDKV", "recordkv"), "frames", *words], cwd=rig.directory,
                                env=plain_environment(), preexec_fn=die_with_parent, **streams)

    def frames(self, rig: Rig, code: int, *words, stdin: bytes | None = None) -> list:
        """The lines it prints, and what it says in self.said."""
        running = self.start(rig, *words, stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL)
        out, errors = running.communicate(stdin, timeout=60 * SLOW)
        self.said = errors.decode()
        self.assertEqual(running.returncode, code, f"{words}: {self.said}")
        for line in self.said.splitlines():
            self.assertTrue(line.startswith("recordkv: "), self.said)
        return out.decode().splitlines()

    def file(self, rig: Rig, name: str, content: bytes) -> str:
        with open(rig.path(name), "wb") as f:
            f.write(content)
        return rig.path(name)


class VerdictTest(FramesTest):
    def test_every_frame_of_the_signed_chain(self):
        with Rig() as rig:
            lines = self.frames(rig, 1, CHAIN, *KEYS, *NOW)
            known = set()
            for frame, line in zip(manifest(), lines, strict=True):
                columns, checks = re.fullmatch(r"(.* bytes)  (frame .*)", line).groups()
                seq, _, did, rev, _, _, size, _ = columns.split()
                self.assertEqual(checks, expected(frame, known), line)
                shown = {"seq": seq, "did": did, "rev": rev, "bytes": size}
                # A frame of an unknown kind or op shows its number only; the rest may mean anything.
                unknown = frame["type"] not in ("#commit", "#sync", "#identity", "#account")
                for name in ("seq", "bytes") if unknown else shown:
                    self.assertEqual(shown[name], str(frame.get(name, "-")), line)
            self.assertEqual([line.split()[4] for line in lines[24:27]], ["5", "0", "60"])
            self.assertEqual(self.said, "recordkv: 63 frames, 2 failed; frame error 1, ok 62; records ok 42; "
                             "proof ok 42; signature ok 47; rev ok 42, same 5; chain first 3, gap 1, ok 37, reset 1\n")

    def test_a_stale_key_and_no_key(self):
        with Rig() as rig, open(KEYS[1], encoding="utf-8") as f:
            versions = json.load(f)
            first = [v[0]["doc"] for v in versions.values() if "bob" not in v[0]["doc"]["id"]]
            keys = self.file(rig, "first.json", json.dumps(first).encode())
            lines = self.frames(rig, 1, CHAIN, "--keys", keys, *NOW)
            self.assertEqual(sum("signature bad" in line for line in lines), 10)
            self.assertTrue(all("chain" not in line for line in lines if "signature bad" in line))
            bob = [line for line in lines if "did:plc:bob" in line and " commit " in line]
            self.assertTrue(all("signature unknown_key (not in the file of keys)" in line for line in bob))
            newest = {did: v[-1]["doc"] for did, v in versions.items()}
            keys = self.file(rig, "newest.json", json.dumps(newest).encode())
            lines = self.frames(rig, 1, CHAIN, "--keys", keys, *NOW)
            self.assertTrue(all("signature ok" in line for line in lines[41:43]))
            self.assertIn("signature bad", lines[12])
            self.assertFalse(any("signature" in line for line in self.frames(rig, 1, CHAIN, "--no-identity", *NOW)))

    def test_malformed_frames(self):
        said = {"sig-bit-flip": "signature bad", "wrong-prevdata": "proof bad (prev_data)",
                "ops-missing-one": "proof bad (prev_data)", "header-only": "frame bad (no_payload)",
                "trailing-item": "frame bad (payload)", "record-map-keys-unsorted": "records bad (malformed)"}
        with Rig() as rig:
            for name, words in said.items():
                with self.subTest(name=name), open(os.path.join(DERIVED, "malformed", "frame", name + ".bin"),
                                                   "rb") as f:
                    line, = self.frames(rig, 1, "-", "--keys", os.path.join(DERIVED, "malformed", "did_docs.json"),
                                        *NOW, stdin=recorded(f.read()))
                    self.assertIn("  " + words, line)

    def test_a_rev_from_the_future(self):
        with Rig() as rig:
            lines = self.frames(rig, 1, CHAIN, *KEYS, "--now", "2026-05-01T00:00:00Z", "--count", "13")
            self.assertEqual(len(lines), 13)
            for line in lines:
                self.assertEqual("rev future" in line, " commit " in line or " sync " in line, line)

    def test_json(self):
        with Rig() as rig:
            told = [json.loads(line) for line in self.frames(rig, 1, CHAIN, *KEYS, *NOW, "--json")]
            self.assertEqual(len(told), 63)
            self.assertEqual(told[24], {
                "seq": 1025, "kind": "commit", "did": "did:plc:alicesharedaaaaaaaaaaaaa", "rev": "3mn7zs2nqwu2b",
                "ops": 5, "size": 2617, "ok": True,
                "checks": {"frame": "ok", "records": "ok", "proof": "ok", "signature": "ok", "rev": "ok",
                           "chain": "ok"}})
            self.assertEqual((told[38]["ok"], told[38]["checks"]["chain"], told[38]["reasons"]),
                             (False, "gap", {"chain": "prev_data"}))
            self.assertEqual(sum(not t["ok"] for t in told), 2)


class LookUpTest(FramesTest):
    def test_keys_are_looked_up_once(self):
        with open(KEYS[1], encoding="utf-8") as f:
            first = {did: versions[0]["doc"] for did, versions in json.load(f).items()}
        alice_did, bob = "did:plc:alicesharedaaaaaaaaaaaaa", "did:plc:bobsharedaaaaaaaaaaaaaaa"
        known = {did: doc for did, doc in first.items() if did != bob}
        with Rig() as rig, directory(known) as (options, asked):
            told = [json.loads(line) for line in
                    self.frames(rig, 0, CHAIN, *NOW, "--count", "36", "--json", *options)]
            signed = [t for t in told if "signature" in t["checks"]]
            alice = [t["checks"]["signature"] for t in signed if t["did"] == alice_did]
            self.assertEqual(alice, ["ok"] * 19)
            for t in signed:
                if t["did"] == bob:
                    self.assertEqual((t["checks"]["signature"], t["reasons"]["signature"]),
                                     ("unknown_key", "not_found"))
                elif t["did"].startswith("did:web:"):  # its host does not exist
                    self.assertEqual(t["checks"]["signature"], "unknown_key")
            # Each once ahead of its frames, and once after its #identity.
            self.assertEqual({did: asked.count(did) for did in asked}, {alice_did: 2, bob: 2})

    def test_an_identity_event_asks_again(self):
        with open(KEYS[1], encoding="utf-8") as f:
            newest = {did: versions[-1]["doc"] for did, versions in json.load(f).items()}
        alice = "did:plc:alicesharedaaaaaaaaaaaaa"
        frames = [m for m, row in zip(chain(), manifest(), strict=True)
                  if row.get("did") == alice and row["seq"] >= 1040]
        with Rig() as rig, directory(newest) as (options, asked):
            recording = self.file(rig, "alice.bin", recorded(frames[1], *frames))
            lines = self.frames(rig, 0, recording, *NOW, *options)
            self.assertIn("identity", lines[1])
            self.assertTrue(all("signature ok" in line for line in lines if " commit " in line))
            self.assertEqual(asked, [alice] * 2)  # nothing follows the second #identity


class InputTest(FramesTest):
    def test_a_recording_of_a_recording(self):
        with Rig() as rig:
            copy, again = rig.path("copy.bin"), rig.path("again.bin")
            lines = self.frames(rig, 1, CHAIN, *KEYS, *NOW, "--record", copy)
            with open(CHAIN, "rb") as f:
                whole = f.read()
            with open(copy, "rb") as f:
                self.assertEqual(f.read(), whole)
            self.assertEqual(self.frames(rig, 1, "-", *KEYS, *NOW, "--record", again, stdin=whole), lines)
            self.frames(rig, 2, CHAIN, "--no-identity", "--record", copy)
            self.assertIn("exists", self.said)
            self.frames(rig, 0, CHAIN, "--no-identity", *NOW, "--count", "3", "--record", rig.path("three.bin"))
            with open(rig.path("three.bin"), "rb") as f:
                self.assertEqual(f.read(), recorded(*chain()[:3]))

    def test_what_is_no_recording(self):
        good = recorded(*chain()[:2])
        with Rig() as rig:
            for name, tail, words in (("cut in the length", b"\x10\0", "ends within a message"),
                                      ("cut in the message", b"\x10\0\0\0abc", "ends within a message"),
                                      ("four gigabytes", b"\xff\xff\xff\xff" + bytes(100), "is this a recording?"),
                                      ("garbage", bytes(range(255, 0, -1)) * 100, "is this a recording?")):
                with self.subTest(name=name):
                    lines = self.frames(rig, 1, self.file(rig, "bad.bin", good + tail), "--no-identity")
                    self.assertEqual(len(lines), 2)
                    self.assertIn(words, self.said)
                    self.assertIn(f"offset {len(good)}", self.said)
            for message in (b"", b"\xa0", b"\xff" * 50, b"{", b"\xa1bop\x01" + b"\x9f" * 1000):
                with self.subTest(message=message[:20]):
                    line, = self.frames(rig, 1, "-", "--no-identity", stdin=recorded(message))
                    self.assertIn("  frame bad (", line)
            self.assertEqual(self.frames(rig, 0, self.file(rig, "empty.bin", b"")), [])
            self.assertEqual(self.said, "recordkv: 0 frames, 0 failed\n")

    def test_wrong_usage(self):
        with Rig() as rig:
            no_keys = self.file(rig, "no_keys.json", b'{"did:plc:x": [1]}')
            no_json = self.file(rig, "no_json.json", b'{')
            for words in ((), (rig.path("absent.bin"),), ("ws://",), (CHAIN, "--keys", rig.path("absent.json")),
                          (CHAIN, "--keys", no_keys), (CHAIN, "--keys", no_json), (CHAIN, "--now", "tomorrow"),
                          (CHAIN, "--count", "x"), (CHAIN, *KEYS, "--no-identity"),
                          (CHAIN, "--record", rig.path("absent", "file.bin"))):
                with self.subTest(words=words):
                    done = self.start(rig, *words)
                    out, errors = done.communicate(timeout=60 * SLOW)
                    self.assertEqual((done.returncode, out), (2, b""), errors)
                    self.assertTrue(errors, words)

    def test_a_reader_that_goes(self):
        with Rig() as rig:
            running = self.start(rig, "-", "--no-identity", stdin=subprocess.PIPE)
            running.stdin.write(recorded(chain()[0]))
            running.stdin.flush()
            self.assertIn(b"identity", running.stdout.readline())
            running.stdout.close()
            self.assertEqual(running.wait(20 * SLOW), 0)  # although its input goes on
            running.stdin.close()
            self.assertIn(b"recordkv: 1 frame, 0 failed", running.stderr.read())
            running.stderr.close()


class LiveTest(FramesTest):
    def test_a_live_host(self):
        def serve(client):
            for message in chain()[:20]:
                client.binary(message)
            client.stay()
        with Rig() as rig, FakeSource(serve) as relay:
            lines = self.frames(rig, 0, relay.url + "?cursor=7", *KEYS, *NOW, "--count", "20", "--record",
                                rig.path("live.bin"))
            self.assertEqual(relay.targets, ["/xrpc/com.atproto.sync.subscribeRepos?cursor=7"])
            self.assertEqual(lines, self.frames(rig, 0, CHAIN, *KEYS, *NOW, "--count", "20"))
            with open(rig.path("live.bin"), "rb") as f:
                self.assertEqual(f.read(), recorded(*chain()[:20]))

    def test_an_interrupt_ends_it_properly(self):
        def serve(client):
            for message in chain()[:3]:
                client.binary(message)
            client.stay()
        with Rig() as rig, FakeSource(serve) as relay:
            running = self.start(rig, relay.url, *KEYS, *NOW, "--record", rig.path("live.bin"))
            for _ in range(3):
                self.assertIn(b"frame ok", running.stdout.readline())
            running.send_signal(signal.SIGINT)
            out, errors = running.communicate(timeout=20 * SLOW)
            self.assertEqual((running.returncode, out), (0, b""), errors)
            self.assertIn(b"recordkv: 3 frames, 0 failed;", errors)
            with open(rig.path("live.bin"), "rb") as f:
                self.assertEqual(f.read(), recorded(*chain()[:3]))

    def test_a_host_that_closes_or_sends_something_else(self):
        def serve(client):
            client.text("hello")
            client.binary(bytes(5_000_001))
            client.binary(chain()[0])
            client.close()
        with Rig() as rig, FakeSource(serve) as relay:
            lines = self.frames(rig, 3, relay.url, "--no-identity")
            self.assertEqual([line.split("  ")[-1] for line in lines],
                             ["frame bad (text_message)", "frame bad (oversize)", "frame ok"])
            self.assertIn("closed", self.said)
            self.assertIn("recordkv: 3 frames, 2 failed", self.said)

    def test_no_host(self):
        with Rig() as rig:
            self.frames(rig, 3, f"ws://127.0.0.1:{support.free_port()}", "--no-identity")
            with FakeSource(answer=lambda _: "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n") as relay:
                self.frames(rig, 3, relay.url, "--no-identity")
            with FakeSource(answer=lambda _: "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n") as relay:
                self.frames(rig, 2, relay.url, "--no-identity")


if __name__ == "__main__":
    unittest.main()
