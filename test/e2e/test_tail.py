"""`recordkv tail`: what a program in any language reads, whatever is killed, and what it never reads.

Owns: the lines, the filters, acknowledgement by line, back-pressure, how it ends. Does not know: the stages
(test_kill.py).
"""

import json
import os
import random
import selectors
import signal
import subprocess
import time
import unittest

import rig as support
from rig import SLOW, Rig, die_with_parent, plain_environment, program, wait_for

A, B = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", "did:web:records.example.com"
LIKE, LONGER = "app.bsky.feed.like", "app.bsky.feed.like.extra"
FOLLOW, BLOCK = "app.bsky.graph.follow", "app.bsky.graph.block"
NEXT_DOOR = "app.bsky.graphs.follow"


class Tail:
    """One running `recordkv tail`. Its lines are read when asked for, so that the pipe can fill."""

    def __init__(self, rig: Rig, *words, acks: bool = False):
        rig.write_config()
        self.errors = open(rig.path("tail.err"), "a+")
        command = [program("RECORDKV", "recordkv"), "--config", rig.config, "tail", *map(str, words)]
        self.process = subprocess.Popen(command + (["--ack", "stdin"] if acks else []), stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=self.errors, cwd=rig.directory,
                                        env=plain_environment(), preexec_fn=die_with_parent)
        self.ready = selectors.DefaultSelector()
        self.ready.register(self.process.stdout, selectors.EVENT_READ)
        self.rest = b""
        self.lines = []  # all that were read, in order

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()
        self.errors.close()

    def read(self, seconds: float = 0.05) -> list:
        """The lines that have come, waiting for the first one no longer than that."""
        new = []
        while self.ready.select(0 if new else seconds):
            piece = os.read(self.process.stdout.fileno(), 1 << 20)
            if not piece:
                break
            *whole, self.rest = (self.rest + piece).split(b"\n")
            new += [json.loads(line) for line in whole]
            if len(new) > 5000:
                break
        self.lines += new
        return new

    def read_until(self, what: str, condition, seconds: float = 30) -> None:
        def look():
            self.read()
            return condition(self.lines)
        wait_for(what, look, seconds, every=0)

    def acknowledge(self, lines: int) -> None:
        self.process.stdin.write(b"ok\n" * lines)
        self.process.stdin.flush()

    def end(self, signum: int | None = None, seconds: float = 20) -> int:
        if signum:
            self.process.send_signal(signum)
        return self.process.wait(seconds * SLOW)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)
        for pipe in (self.process.stdin, self.process.stdout):
            try:
                pipe.close()
            except BrokenPipeError:
                pass

    def said(self) -> str:
        self.errors.seek(0)
        return self.errors.read()


def states(lines: list) -> dict:
    """uri -> the CID of its last state; None: deleted."""
    return {line["uri"]: line["cid"] if line["op"] != "delete" else None for line in lines}


def store(rig: Rig, wanted=lambda collection: True) -> dict:
    found = {}
    for subject, headers, _, _ in support.nats_wire.read_stream(rig.url, "KV_record", "$KV.record.>"):
        _, _, _, *collection, did, rkey = subject.replace("/3A", ":").split(".")
        if wanted(".".join(collection)):
            found[f"at://{did}/{'.'.join(collection)}/{rkey}".replace("/2E", ".").replace("/7E", "~").replace("/5F",
                                                                                                              "_")] = (
         None if headers.get("KV-Operation") else headers["cid"])
    return found


def complete(rig: Rig, events: int) -> bool:
    """All that ever happens in the network is in the store."""
    return rig.report("ingest").get("events", 0) >= events and rig.drained()


def consumers(rig: Rig) -> list:
    return rig.api("CONSUMER.LIST.KV_record").get("consumers", [])


def floor(rig: Rig, durable: str) -> int:
    return rig.api(f"CONSUMER.INFO.KV_record.{durable}")["ack_floor"]["stream_seq"]


class TailTest(unittest.TestCase):
    def served(self, rig: Rig, *options) -> None:
        rig.nats()
        rig.simulator("--accounts", 60, *options, truth=False)
        rig.recordkv("ingest,kv")
        wait_for("the store holds records", lambda: rig.stream("KV_record")["messages"] > 100, 60)

    def put(self, rig: Rig, *uris) -> None:
        for n, uri in enumerate(uris):
            done = rig.command("put", uri, json.dumps({"n": n}))
            self.assertEqual(done.returncode, 0, done.stderr)

    def ascending(self, lines: list) -> None:
        seqs = [line["seq"] for line in lines]
        self.assertEqual(seqs, sorted(set(seqs)), "a line came twice, or out of order")

    def test_from_the_first_key_into_live(self):
        with Rig() as rig:
            self.served(rig, "--past", 1500, "--events", 4000, "--rate", 1500)
            with Tail(rig, "*") as tail:
                tail.read_until("all events are in the store", lambda _: complete(rig, 4000), 60)
                last = rig.stream("KV_record")["last_seq"]
                tail.read_until("the last line", lambda lines: lines and lines[-1]["seq"] == last)
                self.ascending(tail.lines)
                self.assertEqual(states(tail.lines), store(rig))
                self.assertIn(None, states(tail.lines).values(), "a history without deletes proves little")
                for line in tail.lines:
                    shape = ["uri", "cid", "rev", "time", "op", "seq"] + ["record"] * (line["op"] != "delete")
                    self.assertEqual(list(line), shape)
                    self.assertTrue(line["op"] == "delete" or line["record"]["$type"] == line["uri"].split("/")[3])
                self.assertEqual(tail.end(signal.SIGTERM), 0, tail.said())

    def test_only_new_and_a_limit(self):
        with Rig() as rig:
            rig.nats()
            self.put(rig, f"at://{A}/{LIKE}/1", f"at://{A}/{LIKE}/2")
            with Tail(rig, LIKE, "--new", "--limit", 2) as tail:
                wait_for("its consumer is there", lambda: len(consumers(rig)) == 1)
                self.put(rig, f"at://{A}/{LIKE}/3")
                self.assertEqual(rig.command("del", f"at://{A}/{LIKE}/1").returncode, 0)
                self.put(rig, f"at://{A}/{LIKE}/4")
                self.assertEqual(tail.end(), 0, tail.said())
                tail.read(1)
                self.assertEqual([(line["uri"][-1], line["op"]) for line in tail.lines],
                                 [("3", "create"), ("1", "delete")])
                self.assertNotIn("record", tail.lines[1])

    def test_filters_are_exact(self):
        with Rig() as rig:
            rig.nats()
            names = [f"at://{did}/{collection}/1" for did in (A, B)
                     for collection in (LIKE, LONGER, FOLLOW, BLOCK, NEXT_DOOR)]
            self.put(rig, *names)
            partition = {did: json.loads(rig.command("get", f"at://{did}/{LIKE}/1", "--meta").stdout)["key"][0]
                         for did in (A, B)}
            self.assertNotEqual(partition[A], partition[B])
            of = lambda *wanted: [uri for uri in names if uri.split("/")[3] in wanted]  # noqa: E731
            cases = [([LIKE], of(LIKE)), ([LONGER], of(LONGER)), (["app.bsky.graph.*"], of(FOLLOW, BLOCK)),
                     (["app.bsky.feed.like.*"], of(LONGER)), (["*"], names),
                     ([LIKE, "app.bsky.graph.*", FOLLOW], of(LIKE, FOLLOW, BLOCK)),
                     (["app.bsky.*", "--did", A], [uri for uri in names if A in uri]),
                     ([LIKE, "--did", B], [f"at://{B}/{LIKE}/1"]),
                     (["*", "--partition", partition[B]], [uri for uri in names if B in uri])]
            for words, right in cases:
                with self.subTest(words=words), Tail(rig, *words) as tail:
                    # What ends it is the newest of all: whatever else a filter let through would stand before it.
                    tail.read_until("as many lines as are right", lambda lines: len(lines) >= len(right))
                    self.put(rig, right[-1])
                    tail.read_until("the record that was written last", lambda lines: lines[-1]["op"] == "update")
                    self.assertEqual(sorted(line["uri"] for line in tail.lines[:-1]), sorted(right))
                    self.assertEqual(tail.end(signal.SIGINT), 0, tail.said())

    def test_what_is_refused(self):
        with Rig() as rig:
            rig.nats()
            self.assertIn("no store yet", rig.command("tail", "*").stderr)
            self.put(rig, f"at://{A}/{LIKE}/1")
            for words, code, why in ((["like"], 2, "no collection"), ([LIKE + "*"], 2, "no collection"),
                                     ([], 2, "required"),
                                     ([LIKE, "--did", "me"], 2, "no DID"), ([LIKE, "--partition", "x"], 2, "x"),
                                     ([LIKE, "--durable", "view-likes"], 2, "own stages"),
                                     ([LIKE, "--durable", "kv"], 2, "own stages"),
                                     ([LIKE, "--durable", "a.b"], 2, "no name"),
                                     ([LIKE, "--ack", "stdin"], 2, "--durable"),
                                     ([LIKE, "--ack", "yes", "--durable", "d"], 2, "--ack")):
                with self.subTest(words=words):
                    done = rig.command("tail", *words)
                    self.assertEqual(done.returncode, code, done.stderr)
                    self.assertIn(why, done.stderr)
            with Tail(rig, LIKE, "--durable", "d") as tail:
                tail.read_until("it runs", lambda lines: lines)
                done = rig.command("tail", LIKE, "--durable", "d")
                self.assertEqual(done.returncode, 1)
                self.assertIn("already run by process", done.stderr)
                self.assertEqual(tail.end(signal.SIGTERM), 0)
            self.assertEqual(rig.report("tail-d"), {}, "the lock is given back")
            done = rig.command("tail", FOLLOW, "--durable", "d")
            self.assertEqual(done.returncode, 2)
            self.assertIn("exists with other settings", done.stderr)
            with Tail(rig, LIKE, "--durable", "e", acks=True) as tail:
                tail.read_until("its line", lambda lines: lines)
                tail.acknowledge(2)
                self.assertEqual(tail.end(), 2)
                self.assertIn("acknowledges 2 lines, but only 1", tail.said())

    def test_whatever_stands_in_the_store_is_one_line(self):
        with Rig() as rig:
            rig.nats()
            self.put(rig, f"at://{A}/{LIKE}/1")
            key = json.loads(rig.command("get", f"at://{A}/{LIKE}/1", "--meta").stdout)["key"][:-1]
            wire = support.nats_wire.Connection(rig.url)
            for n, payload in enumerate((b'{\n  "a": 1,\r\n  "b": "x\\n"\n}\n', b"{", b'"\xff"', b"[" * 5000,
                                         b"{}\n{}")):
                wire.request(f"$KV.record.{key}{n + 2}", payload, {"cid": 'x"y', "time": "\x01"} if n else None)
            wire.request("$KV.record.not.a", b"{}")
            wire.close()
            with Tail(rig, "*", "--limit", 6) as tail:
                self.assertEqual(tail.end(), 0, tail.said())
                tail.read(1)
                self.assertEqual([line["record"] for line in tail.lines], [{"n": 0}, {"a": 1, "b": "x\n"}] + [None] * 4)
                self.assertTrue(tail.lines[1]["cid"].startswith("bafyrei"), "the CID of another program's value")

    def test_killed_at_any_point_nothing_is_lost(self):
        """Acknowledged lines stay acknowledged, the others come again, and no key's last state is missed."""
        with Rig() as rig:
            draw = random.Random(5)
            self.served(rig, "--past", 2500, "--events", 5000, "--rate", 300, "--churn", 200000)
            done, sure, kills = {}, 0, 0
            likes = lambda: store(rig, lambda collection: collection == LIKE)  # noqa: E731
            while True:
                with Tail(rig, LIKE, "--durable", "mine", acks=True) as tail:
                    last = kills >= 12
                    goal = 1 if last else draw.randint(0, 150)
                    open_lines = []

                    def work(lines, goal=goal, open_lines=open_lines, tail=tail):
                        open_lines += lines[work.read:]
                        work.read = len(lines)
                        some = len(open_lines) if last else draw.randint(0, len(open_lines))
                        tail.acknowledge(some)
                        for line in open_lines[:some]:
                            done[line["uri"]] = line["cid"] if line["op"] != "delete" else None
                            work.acknowledged = line["seq"]
                        del open_lines[:some]
                        return work.read >= goal and (not last or (complete(rig, 5000) and done == likes()))

                    work.read, work.acknowledged = 0, sure
                    tail.read_until(f"lines after kill {kills}", work, 60)
                    self.ascending(tail.lines)
                    self.assertGreater(tail.lines[0]["seq"] if tail.lines else sure + 1, sure,
                                       "an acknowledged line came again")
                    if last:
                        self.assertEqual(tail.end(signal.SIGTERM), 0, tail.said())
                        break
                    if draw.random() < 0.5:  # what NATS knows to be done stays done
                        wait_for("NATS knows", lambda: floor(rig, "mine") >= work.acknowledged)
                        sure = work.acknowledged
                    tail.kill()
                    kills += 1
            self.assertEqual(done, likes())
            with Tail(rig, LIKE, "--durable", "mine", "--limit", 1) as tail:  # all is done: only what is new comes
                wait_for("it runs", lambda: rig.report("tail-mine").get("state") == "running")
                self.put(rig, f"at://{A}/{LIKE}/new")
                self.assertEqual(tail.end(), 0)
                tail.read(1)
                self.assertEqual([line["uri"] for line in tail.lines], [f"at://{A}/{LIKE}/new"])

    def test_nats_comes_back(self):
        """In one life no line comes twice, although the durable is rewound under it."""
        with Rig() as rig:
            nats = rig.nats()
            self.put(rig, *(f"at://{A}/{LIKE}/{n}" for n in range(4)))
            with Tail(rig, LIKE, "--durable", "d", acks=True) as tail:
                tail.read_until("four lines", lambda lines: len(lines) == 4)
                tail.acknowledge(1)
                wait_for("NATS knows", lambda: floor(rig, "d") == 1)
                nats.kill()
                nats.start()
                rig.wait_nats()
                self.put(rig, f"at://{A}/{LIKE}/4")
                tail.read_until("the new line", lambda lines: len(lines) >= 5)
                self.assertEqual([line["uri"][-1] for line in tail.lines], list("01234"))
                tail.acknowledge(4)
                wait_for("NATS knows all", lambda: floor(rig, "d") == 5)
                self.assertEqual(tail.end(signal.SIGTERM), 0, tail.said())

    def test_a_slow_reader_and_one_who_goes(self):
        with Rig() as rig:
            rig.nats()
            self.put(rig, f"at://{A}/{LIKE}/1")
            key = json.loads(rig.command("get", f"at://{A}/{LIKE}/1", "--meta").stdout)["key"][:-1]
            wire = support.nats_wire.Connection(rig.url)
            for n in range(200):
                wire.request(f"$KV.record.{key}x{n}", json.dumps({"n": n, "long": "x" * 200_000}).encode())
            wire.close()
            with Tail(rig, LIKE, "--durable", "slow") as tail:
                wait_for("it has begun", lambda: tail.ready.select(0)
                         and consumers(rig)[0]["delivered"]["stream_seq"] > 1)
                seen = [0, time.monotonic()]

                def stands_still():
                    now = consumers(rig)[0]["delivered"]["stream_seq"]
                    if now != seen[0]:
                        seen[:] = now, time.monotonic()
                    return time.monotonic() - seen[1] > 1
                wait_for("nothing more is asked for", stands_still)
                self.assertLess(seen[0], 150, "a reader who does not read must hold it up")
                wait_for("the lock is renewed meanwhile", lambda: rig.report("tail-slow").get("events", 0) > 1)
                tail.read_until("everything, once it is read", lambda lines: len(lines) == 201, 60)
                self.ascending(tail.lines)
                tail.process.stdout.close()  # nothing more happens in the store: it notices by itself
                self.assertEqual(tail.end(), 0, tail.said())
            with Tail(rig, LIKE, "--durable", "other", acks=True) as tail:
                tail.read_until("a line", lambda lines: lines)
                tail.process.stdin.close()
                self.assertEqual(tail.end(), 0, tail.said())
                self.assertEqual(floor(rig, "other"), 0)
