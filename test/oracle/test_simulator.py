"""The simulator on the wire, and simulator and checker against each other over a mirror of thirty lines."""

import collections
import io
import json
import signal
import time
import unittest

import check_store
import nats_wire
from jetstream_client import CLOSE, PING, PONG, TEXT, Jetstream, Refused, Simulator
from real_server import RealServer, make_bucket

EVENTS = 6000


def partition(did: str) -> str:
    """First non-zero hex digit of MurmurHash3."""
    def scramble(k):
        k = k * 0xCC9E2D51 & 0xFFFFFFFF
        return (k << 15 | k >> 17) * 0x1B873593 & 0xFFFFFFFF
    raw, h = did.encode(), 0
    for i in range(0, len(raw) - len(raw) % 4, 4):
        h ^= scramble(int.from_bytes(raw[i:i + 4], "little"))
        h = (h << 13 | h >> 19) * 5 + 0xE6546B64 & 0xFFFFFFFF
    h ^= scramble(int.from_bytes(raw[len(raw) - len(raw) % 4:], "little")) ^ len(raw)
    h = (h ^ h >> 16) * 0x85EBCA6B & 0xFFFFFFFF
    h = (h ^ h >> 13) * 0xC2B2AE35 & 0xFFFFFFFF
    return f"{h ^ h >> 16:02x}"[0]


def encoded(part: str) -> str:
    return "".join(c if c.isascii() and (c.isalnum() or c in "_=/-") else f"/{ord(c):02X}" for c in part)


def mirror(events, nats):
    """Writes commits into the bucket, as the contract has it."""
    for e in events:
        if e["kind"] != "commit":
            continue
        c, us = e["commit"], e["time_us"]
        key = f"{partition(e['did'])}.{c['collection']}.{encoded(e['did'])}.{encoded(c['rkey'])}"
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(us // 10**6)) + f".{us % 10**6:06}Z"
        headers = {"rev": c["rev"], "op": c["operation"], "time": stamp}
        headers |= {"cid": c["cid"]} if "cid" in c else {"KV-Operation": "DEL"}
        nats.publish("$KV.record." + key, json.dumps(c["record"]).encode() if "record" in c else b"", headers=headers)
    nats.api("INFO")


class Mirrored(unittest.TestCase):
    """The checker finds a faultless mirror equal, and each fault that real mirrors have had."""

    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(RealServer())
        cls.simulator = cls.enterClassContext(Simulator("--seed", "3", "--events", str(EVENTS), "--churn", "50000"))
        with Jetstream(cls.simulator.port, "cursor=0") as stream:
            cls.events = stream.events(EVENTS)

    def check(self, events):
        with nats_wire.Connection(self.server.url) as nats:
            make_bucket(nats)
            self.addCleanup(self.drop)
            mirror(events, nats)
        out = io.StringIO()
        code = check_store.main(["--url", self.server.url, "--truth", self.simulator.truth, "--cids"], out)
        return code, out.getvalue()

    def drop(self):
        with nats_wire.Connection(self.server.url) as nats:
            nats.api("STREAM.DELETE.KV_record")

    def test_faultless(self):
        code, text = self.check(self.events)
        self.assertEqual(code, 0, text)

    def test_everything_twice(self):
        self.assertEqual(self.check(self.events + self.events[-2000:])[0], 0)

    def test_a_lost_delete(self):
        lost = max(i for i, e in enumerate(self.events) if e.get("commit", {}).get("operation") == "delete")
        code, text = self.check(self.events[:lost] + self.events[lost + 1:])
        self.assertEqual(code, 1)
        self.assertRegex(text, "(?m)^resurrected: 1$|^DIFFERENT")

    def test_an_old_version_last(self):
        self.assertIn("DIFFERENT", self.check(self.events + self.events[:3000])[1])

    def test_keys_see_every_kind_of_history(self):
        histories = collections.defaultdict(list)
        for e in self.events:
            if e["kind"] == "commit":
                c = e["commit"]
                histories[e["did"], c["collection"], c["rkey"]].append(c["operation"][0])
        seen = "\n".join(map("".join, histories.values()))
        for history in ("cd", "dc", "cuu", "ud", "dcu"):
            self.assertIn(history, seen)
        self.assertTrue(any(h[0] == "d" for h in histories.values()))
        self.assertTrue(any(h[0] == "u" for h in histories.values()))


class Wire(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.simulator = cls.enterClassContext(Simulator("--seed", "7", "--events", str(EVENTS)))
        with Jetstream(cls.simulator.port, "cursor=0") as stream:
            cls.all = stream.texts(EVENTS)
        cls.events = [json.loads(text) for text in cls.all]

    def stream(self, query=""):
        return self.enterContext(Jetstream(self.simulator.port, query))

    def test_deterministic(self):
        for seed, equal in (("7", True), ("8", False)):
            with Simulator("--seed", seed, "--events", "0", "--rate", "100000", "--wait-for-client") as other:
                with Jetstream(other.port) as stream:  # live, from the very first event
                    self.assertEqual(stream.texts(EVENTS) == self.all, equal)

    def test_times_rise_and_revs_rise(self):
        times = [e["time_us"] for e in self.events]
        self.assertTrue(all(a < b for a, b in zip(times, times[1:])))
        revs = {}
        for e in self.events:
            if e["kind"] == "commit":
                self.assertGreaterEqual(e["commit"]["rev"], revs.get(e["did"], ""))
                revs[e["did"]] = e["commit"]["rev"]

    def test_cursor_is_inclusive(self):
        at = self.events[4321]["time_us"]
        self.assertEqual(self.stream(f"cursor={at}").texts(1)[0], self.all[4321])
        self.assertEqual(self.stream(f"cursor={at + 1}").texts(1)[0], self.all[4322])
        self.assertEqual(len(self.stream(f"cursor={at}").texts(EVENTS - 4321)), EVENTS - 4321)

    def test_no_cursor_and_one_in_the_future_mean_live(self):
        self.assertTrue(self.stream().silent())
        self.assertTrue(self.stream(f"cursor={10**17}").silent())

    def test_bad_queries(self):
        for query in ("cursor=yesterday", "wantedDids=me", "wantedCollections=like", "compress=true"):
            with self.assertRaisesRegex(Refused, "400"):
                Jetstream(self.simulator.port, query)

    def expected(self, wanted):
        return [t for t, e in zip(self.all, self.events) if e["kind"] != "commit" or wanted(e["commit"]["collection"])]

    def test_wanted_collections(self):
        for query, wanted in (
            ("app.bsky.feed.like", lambda c: c == "app.bsky.feed.like"),
            ("app.bsky.feed.like.%2A", lambda c: c == "app.bsky.feed.like.extra"),
            ("app.bsky.graph.*&wantedCollections=a-0.b-1.c", lambda c: c.startswith(("app.bsky.graph.", "a-0.b-1.c"))),
            ("no.such.thing", lambda c: False),
        ):
            expected = self.expected(wanted)
            stream = self.stream("cursor=0&wantedCollections=" + query)
            self.assertEqual(stream.texts(len(expected)), expected)
            self.assertTrue(stream.silent(0.05))

    def test_wanted_dids(self):
        did = collections.Counter(e["did"] for e in self.events).most_common(1)[0][0]
        expected = [t for t, e in zip(self.all, self.events) if e["did"] == did]
        self.assertEqual(self.stream("cursor=0&wantedDids=" + did).texts(len(expected)), expected)

    def test_messages_from_the_client(self):
        stream = self.stream("cursor=0&requireHello=true")
        self.assertTrue(stream.silent())
        stream.send(PING, b"are you there")
        self.assertEqual(stream.frame(), (PONG, b"are you there"))
        options = {"wantedCollections": ["app.bsky.feed.like.extra"]}
        stream.send(TEXT, json.dumps({"type": "options_update", "payload": options}).encode())
        expected = self.expected(lambda c: c == "app.bsky.feed.like.extra")
        self.assertEqual(stream.texts(len(expected)), expected)
        stream.send(TEXT, b"what?")
        opcode, payload = stream.frame()
        self.assertEqual((opcode, payload[:2]), (CLOSE, b"\x03\xf0"))
        with self.assertRaises((EOFError, ConnectionError)):
            stream.frame()

    def test_closing(self):
        stream = self.stream()
        stream.send(CLOSE, b"\x03\xe8")
        self.assertEqual(stream.frame(), (CLOSE, b"\x03\xe8"))

    def test_many_clients_one_of_them_asleep(self):
        asleep = self.stream("cursor=0")
        for _ in range(5):
            self.assertEqual(self.stream("cursor=0").texts(EVENTS), self.all)
        self.assertEqual(asleep.texts(EVENTS), self.all)

    def test_pages(self):
        about = json.loads(self.simulator.get("/"))
        self.assertEqual((about["emitted"], about["total"], about["seed"]), (EVENTS, EVENTS, 7))
        with open(self.simulator.truth, encoding="utf-8") as truth:
            self.assertEqual(self.simulator.get("/truth"), truth.read())


class Life(unittest.TestCase):
    def test_rate(self):
        with Simulator("--events", "0", "--rate", "2000", "--past", "500") as simulator:
            with Jetstream(simulator.port, "cursor=0") as stream:
                stream.texts(500)
                begin = time.monotonic()
                stream.texts(2000)
                self.assertGreater(time.monotonic() - begin, 0.8)

    def test_an_endless_history_keeps_a_window_and_tells_its_truth_at_the_end(self):
        with Simulator("--events", "0", "--window", "10000") as simulator:
            with Jetstream(simulator.port, "cursor=0") as stream:
                first = json.loads(stream.texts(30_000)[0])["time_us"]
            with Jetstream(simulator.port, "cursor=0") as stream:
                self.assertGreater(stream.events(1)[0]["time_us"], first)
            about = json.loads(simulator.get("/"))
            self.assertGreater(about["oldest"], 0)
            self.assertEqual(simulator.end(signal.SIGINT), 0)
            with open(simulator.truth, encoding="utf-8") as truth:
                self.assertIn(f" events={about['emitted']} ", truth.readline())

    def test_exit_when_served(self):
        with Simulator("--events", "2000", "--exit-when-served") as simulator:
            with Jetstream(simulator.port, "cursor=0") as stream:
                stream.texts(2000)
                self.assertEqual(stream.frame(), (CLOSE, b"\x03\xe8that was all"))
            self.assertEqual(simulator.process.wait(10), 0)

    def test_tour(self):
        with Simulator("--events", "20000", "--print", "3") as simulator:
            posts = [line.split(" ") for line in simulator.printed if line.startswith("post at://")]
            likers = [line for line in simulator.printed if line.startswith("  liked by did:plc:")]
            self.assertEqual(len(posts), 3)
            more = [int(line.split()[2]) for line in simulator.printed if line.startswith("  … and ")]
            self.assertEqual(sum(int(words[3]) for words in posts), len(likers) + sum(more))
            self.assertEqual(len(likers), 15, "five a post")
            self.assertGreater(int(posts[0][3]), 20)
            facts = check_store.read_truth(simulator.truth, [])
            likes = {f.uri.split("/")[2] for f in facts.values()
                     if f.live and "/app.bsky.feed.like/" in f.uri
                     and (json.loads(f.record).get("subject") or {}).get("uri") == posts[0][1]}
            self.assertEqual(len(likes), int(posts[0][3]))


if __name__ == "__main__":
    unittest.main()
