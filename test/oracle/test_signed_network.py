"""The signed network under the eyes of a second reading of its specifications, in Python.

Trees are built anew for every commit, each commit is undone from its own blocks, signatures are
checked by the command openssl, and every fault is found in the stream where it was reported.
"""

import collections
import json
import os
import shutil
import subprocess
import tempfile
import time
import unittest

from atproto_repo import (EMPTY, Malformed, as_json, build, cid_of, decode, is_low, read_car, read_commit,
                          read_multikey, records_of, load, root_of, roots_before, verifies)
from json_value import same
from signed_network import SignedNetwork, document_key, fetch

BASE = ("--seed", "5", "--accounts", "60", "--churn", "60000")
EVENTS = 2500


class Mirror:
    """Every account's records, and the checks that a message must pass."""

    def __init__(self):
        self.records = collections.defaultdict(dict)  # did -> path -> cid
        self.values = {}
        self.root, self.rev = {}, {}

    def take(self, m):
        root, blocks = read_car(m.body["blocks"])
        commit = read_commit(blocks[root])
        assert (commit.did, commit.rev) == (m.did, m.body["rev"])
        if m.kind == "#sync":
            assert len(blocks) == 1
            return commit, blocks
        assert m.body["commit"] == root
        first = m.did not in self.root
        assert first == ("prevData" not in m.body)
        assert commit.rev > self.rev.get(m.did, "")
        if not first:
            assert m.body["prevData"] == self.root[m.did]
            assert roots_before(blocks, commit.data, m.body["ops"]) == {self.root[m.did]}
        self.apply(m, commit, blocks)
        return commit, blocks

    def apply(self, m, commit, blocks):
        records = self.records[m.did]
        for op in m.body["ops"]:
            path = op["path"].encode()
            assert records.get(path) == op.get("prev")
            assert op["action"] == ("delete" if op["cid"] is None else "update" if path in records else "create")
            if op["cid"] is None:
                del records[path]
            else:
                records[path] = op["cid"]
                self.values[op["cid"]] = blocks[op["cid"]]
        assert root_of(build(records)) == commit.data
        self.root[m.did], self.rev[m.did] = commit.data, commit.rev


class Faultless(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.network = cls.enterClassContext(SignedNetwork(*BASE, "--events", str(EVENTS), "--p256", "50"))
        with cls.network.stream() as stream:
            cls.messages = stream.messages(EVENTS)
        cls.mirror = Mirror()
        cls.commits = [(m, *cls.mirror.take(m)) for m in cls.messages if m.kind in ("#commit", "#sync")]
        cls.accounts = cls.network.accounts()

    def test_every_shape_of_commit_has_come(self):
        shapes = collections.Counter()
        for m in self.messages:
            if m.kind == "#commit":
                actions = {op["action"] for op in m.body["ops"]}
                shapes[" ".join(sorted(actions)) if len(m.body["ops"]) < 2 else "many"] += 1
        for shape in ("", "create", "update", "delete", "many"):
            self.assertGreater(shapes[shape], 0, shape)

    def test_seq_rises(self):
        seqs = [m.body["seq"] for m in self.messages]
        self.assertTrue(all(a < b for a, b in zip(seqs, seqs[1:])))

    def test_an_account_begins_as_the_reference_has_it(self):
        begins = collections.defaultdict(list)
        for m in self.messages:
            begins[m.did].append(m)
        for messages in begins.values():
            self.assertEqual([m.kind for m in messages[:4]], ["#identity", "#account", "#commit", "#sync"])
            first = messages[2].body
            self.assertEqual((first["ops"], first["since"], first["blobs"]), ([], None, []))
            self.assertNotIn("prevData", first)
            self.assertEqual(read_commit(read_car(first["blocks"])[1][first["commit"]]).data, root_of(EMPTY))
            self.assertTrue(messages[1].body["active"])

    def test_since_is_the_rev_before(self):
        revs = {}
        for m in self.messages:
            if m.kind == "#commit":
                self.assertEqual(m.body["since"], revs.get(m.did))
                revs[m.did] = m.body["rev"]

    def test_truth_is_what_the_stream_said(self):
        truth = {}
        for line in self.network.get("/control/truth").split("\n")[1:-1]:
            _, state, uri, cid, rev, op, _, record = line.split("\t")
            truth[uri] = (state, cid, record)
        live = {f"at://{did}/{path.decode()}": cid
                for did, records in self.mirror.records.items() for path, cid in records.items()}
        self.assertEqual({u: c for u, (s, c, _) in truth.items() if s == "live"}, {u: str(c) for u, c in live.items()})
        for uri, (state, _, record) in truth.items():
            if state == "live":
                self.assertTrue(same(json.loads(record), as_json(decode(self.mirror.values[live[uri]]))), uri)
        self.assertGreater(sum(s == "deleted" for s, _, _ in truth.values()), 10)

    def test_the_accounts_are_what_the_stream_said(self):
        self.assertEqual(self.accounts.keys(), self.mirror.root.keys())
        for did, a in self.accounts.items():
            self.assertEqual((a["rev"], a["data"]), (self.mirror.rev[did], str(self.mirror.root[did])))
            self.assertEqual((a["status"], a["expect"], a["faults"]), ("active", "equal", []))
            self.assertEqual(document_key(fetch(f"{self.network.plc}/{did}")[1]), a["key"])

    @unittest.skipUnless(shutil.which("openssl"), "wants the command openssl")
    def test_signatures(self):
        checked = collections.Counter()
        for m, commit, _ in self.commits:
            key = self.accounts[m.did]["key"]
            curve = read_multikey(key)[0]
            self.assertTrue(is_low(curve, commit.sig))
            if checked[curve] < 15:
                checked[curve] += 1
                self.assertTrue(verifies(key, commit.signed, commit.sig), curve)
                self.assertFalse(verifies(key, commit.signed + b" ", commit.sig), curve)
        self.assertEqual(checked, {"k256": 15, "p256": 15})

    def test_exports(self):
        for did, a in self.accounts.items():
            status, car = fetch(f"{a['pds']}/xrpc/com.atproto.sync.getRepo", did=did)
            self.assertEqual(status, 200)
            root, blocks = read_car(car)
            self.assertEqual((str(root), str(read_commit(blocks[root]).data)), (a["commit"], a["data"]))
            records = records_of(load(blocks, read_commit(blocks[root]).data))
            self.assertEqual(records, self.mirror.records[did])
            self.assertTrue(all(cid in blocks for cid in records.values()))

    def test_one_record_and_the_proof_that_there_is_none(self):
        did = max(self.mirror.records, key=lambda d: len(self.mirror.records[d]))
        url = f"{self.accounts[did]['pds']}/xrpc/com.atproto.sync.getRecord"
        path, cid = next(iter(self.mirror.records[did].items()))
        for rkey, present in ((path.decode().split("/")[1], True), ("none", False)):
            status, car = fetch(url, did=did, collection=path.decode().split("/")[0], rkey=rkey)
            root, blocks = read_car(car)
            self.assertEqual((status, cid in blocks), (200, present))
            self.assertIn(read_commit(blocks[root]).data, blocks)


class Lists(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.network = cls.enterClassContext(
            SignedNetwork(*BASE, "--events", "300", "--settled", "60", "--records", "7", "--pds", "3", "--web", "2"))
        cls.network.control("emit", count=300)
        cls.accounts = cls.network.accounts()
        cls.relay = f"http://127.0.0.1:{cls.network.port}"

    def pages(self, host, method, **query):
        found, cursor = [], None
        while True:
            status, body = fetch(f"{host}/xrpc/{method}", **query, **({"cursor": cursor} if cursor else {}))
            self.assertEqual(status, 200, body)
            page = json.loads(body)
            found += page["repos"]
            cursor = page.get("cursor")
            if cursor is None:
                return found

    def test_lists_of_repos(self):
        everywhere = {}
        for pds in self.network.pds:
            for repo in self.pages(pds, "com.atproto.sync.listRepos", limit=7):
                self.assertEqual(self.accounts[repo["did"]]["pds"], pds)
                everywhere[repo["did"]] = (repo["head"], repo["rev"])
        self.assertEqual(everywhere, {d: (a["commit"], a["rev"]) for d, a in self.accounts.items()})
        relay = self.pages(self.relay, "com.atproto.sync.listRepos", limit=11)
        self.assertEqual({r["did"] for r in relay}, everywhere.keys())

    def test_lists_by_collection(self):
        for collection in ("app.bsky.feed.like", "app.bsky.feed.like.extra", "app.bsky.actor.profile", "no.such.one"):
            expected = set()
            for did in self.accounts:
                records = self.network.control("truth", did=did)["records"]
                if any(r["path"].startswith(collection + "/") for r in records):
                    expected.add(did)
            found = self.pages(self.relay, "com.atproto.sync.listReposByCollection", collection=collection, limit=9)
            self.assertEqual({r["did"] for r in found}, expected)

    def test_hosts(self):
        hosts = json.loads(fetch(f"{self.relay}/xrpc/com.atproto.sync.listHosts")[1])["hosts"]
        self.assertEqual([f"http://{h['hostname']}" for h in hosts], self.network.pds)
        status, body = fetch(f"{self.relay}/xrpc/com.atproto.sync.getRepo", did=next(iter(self.accounts)))
        self.assertEqual(status, 302, body)

    def test_web_accounts(self):
        self.assertEqual(len(self.network.web), 2)
        for did in self.network.web:
            port = did.rsplit("%3A", 1)[1]
            document = json.loads(fetch(f"http://localhost:{port}/.well-known/did.json")[1])
            self.assertEqual(document["id"], did)
            self.assertEqual(fetch(f"{self.network.plc}/{did}")[0], 404)

    def test_handles(self):
        did, a = next(iter(self.accounts.items()))
        method = f"{self.network.pds[0]}/xrpc/com.atproto.identity.resolveHandle"
        self.assertEqual(json.loads(fetch(method, handle=a["handle"])[1])["did"], did)
        self.assertEqual(fetch(method, handle="nobody.sim.test")[0], 400)

    def test_settled_accounts_go_on_from_what_they_had(self):
        with self.network.stream() as stream:
            first = {}
            for m in stream.messages(300):
                if m.kind == "#commit":
                    first.setdefault(m.did, m)
        settled = [m for m in first.values() if "prevData" in m.body]
        self.assertGreater(len(settled), 10)
        for m in settled:
            root, blocks = read_car(m.body["blocks"])
            before = roots_before(blocks, read_commit(blocks[root]).data, m.body["ops"])
            self.assertEqual(before, {m.body["prevData"]})


BEFORE = ("forged", "mutated", "future_rev")  # a message more, which a mirror ignores
AFTER = ("replay", "repeat", "sync")
INSTEAD = ("corrupted", "wrong_key", "high_s", "wrong_prev_data", "no_prev_data", "op_left_out", "seq_back", "gap")
OTHERS = ("foreign", "bad_record", "sync_moved", "rotation", "rotation_silent", "rotation_late", "handle",
          "deactivated", "deleted")


class CarefulMirror:
    """A mirror as the protocol wants it, without resync. Keys are those at the end of the run."""

    def __init__(self, accounts, valid_from):
        self.accounts, self.valid_from = accounts, valid_from
        self.last_seq, self.now = 0, ""
        self.records, self.root, self.rev = collections.defaultdict(dict), {}, {}
        self.bad, self.lost, self.away = collections.Counter(), {}, {}

    def take(self, m):
        if m.body["seq"] <= self.last_seq:
            return
        self.last_seq = m.body["seq"]
        if m.kind == "#account":
            self.away[m.did] = m.body.get("status")
        elif m.kind in ("#commit", "#sync") and not self.away.get(m.did):
            self.take_signed(m)

    def take_signed(self, m):
        try:
            root, blocks = read_car(m.body["blocks"])
            commit = read_commit(blocks[root])
        except (Malformed, KeyError, ValueError):
            self.bad[m.did, "blocks"] += 1
            return
        if m.body["rev"] <= self.rev.get(m.did, "") or commit.rev > FIRST_FUTURE:
            return
        if not self.is_signed(m, commit):
            self.bad[m.did, "signature"] += 1
        elif m.kind == "#sync":
            if commit.data != self.root.get(m.did):
                self.lost[m.did] = "sync"
        else:
            self.take_commit(m, commit, blocks)

    def is_signed(self, m, commit):
        key = self.accounts[m.did]["key"]
        if not is_low(read_multikey(key)[0], commit.sig):
            return False
        if m.body["seq"] < self.valid_from.get(m.did, 1 << 60):
            return True  # the key of that time is not known here, or nobody doubts it
        return verifies(key, commit.signed, commit.sig)

    def take_commit(self, m, commit, blocks):
        before = m.body.get("prevData")
        first = m.did not in self.root
        if first and before is None:
            before = root_of(EMPTY)
        try:
            undone = roots_before(blocks, commit.data, m.body["ops"])
        except Malformed:
            undone = set()
        if m.did in self.lost or undone != {before} or (not first and before != self.root[m.did]):
            self.lost.setdefault(m.did, "proof" if undone != {before} else "prevData")
            return
        for op in m.body["ops"]:
            self.records[m.did].pop(op["path"], None)
            if op.get("cid") is not None and self.is_record(blocks[op["cid"]]):
                self.records[m.did][op["path"]] = str(op["cid"])
        self.root[m.did], self.rev[m.did] = commit.data, commit.rev

    @staticmethod
    def is_record(block):
        try:
            return isinstance(decode(block), dict)
        except Malformed:
            return False


FIRST_FUTURE = "3o"  # revs of the run begin with 3m


class Faults(unittest.TestCase):
    """Each fault happens as often as it was asked for, shows in the stream, and leads where README.md says."""

    @classmethod
    def setUpClass(cls):
        kinds = BEFORE + AFTER + INSTEAD + OTHERS
        wanted = ",".join(f"{kind}=2" for kind in kinds)
        cls.network = cls.enterClassContext(SignedNetwork("--seed", "9", "--accounts", "150", "--churn", "60000",
                                                          "--events", "4000", "--fault", wanted))
        with cls.network.stream() as stream:
            cls.messages = stream.messages(4000)
        cls.report = cls.network.control("faults")
        cls.accounts = cls.network.accounts()
        cls.by_seq = {}
        for at, m in enumerate(cls.messages):
            cls.by_seq.setdefault(m.body["seq"], at)
        cls.kinds = kinds

    def of_kind(self, kind):
        """(injection, message or None)"""
        for i in self.report["injected"]:
            if i["kind"] == kind:
                at = self.by_seq.get(i["seq"])
                yield i, None if at is None else self.messages[at]

    def test_all_have_happened(self):
        self.assertEqual({k: n for k, n in self.report["counts"].items() if k != "reactivated"},
                         {kind: 2 for kind in self.kinds})
        self.assertEqual(self.report["armed"], {})
        for i in self.report["injected"]:
            self.assertIn(i["kind"], self.accounts[i["did"]]["faults"])

    @unittest.skipUnless(shutil.which("openssl"), "wants the command openssl")
    def test_signatures_of_another_key(self):
        for kind in ("forged", "wrong_key"):
            for i, m in self.of_kind(kind):
                commit = read_commit(read_car(m.body["blocks"])[1][m.body["commit"]])
                self.assertEqual((m.did, commit.did, commit.rev), (i["did"], i["did"], i["rev"]))
                if not any(f.startswith("rotation") for f in self.accounts[m.did]["faults"]):
                    self.assertFalse(verifies(self.accounts[m.did]["key"], commit.signed, commit.sig))

    def test_blocks_with_another_bit(self):
        for kind in ("mutated", "corrupted"):
            for _, m in self.of_kind(kind):
                with self.assertRaises((Malformed, KeyError, ValueError)):
                    root, blocks = read_car(m.body["blocks"])
                    self.assertEqual(root, m.body["commit"])
                    blocks[root]

    def test_high_s(self):
        for i, m in self.of_kind("high_s"):
            commit = read_commit(read_car(m.body["blocks"])[1][m.body["commit"]])
            curve = read_multikey(self.accounts[i["did"]]["key"])[0]
            self.assertFalse(is_low(curve, commit.sig))

    def test_false_messages(self):
        for kind in ("wrong_prev_data", "op_left_out"):
            for _, m in self.of_kind(kind):
                root, blocks = read_car(m.body["blocks"])
                try:
                    undone = roots_before(blocks, read_commit(blocks[root]).data, m.body["ops"])
                except Malformed:
                    undone = set()
                self.assertNotEqual(undone, {m.body["prevData"]})
        for _, m in self.of_kind("no_prev_data"):
            self.assertNotIn("prevData", m.body)
        for i, m in self.of_kind("future_rev"):
            self.assertGreater(m.body["rev"], FIRST_FUTURE)
        for _, m in self.of_kind("foreign"):
            self.assertTrue(m.raw.startswith(b"\xa2\x62op"))
            self.assertFalse({"tooBig", "since", "blobs"} & m.body.keys())

    def test_sequence(self):
        for _, m in self.of_kind("gap"):
            self.assertIsNone(m)
        for i, m in self.of_kind("seq_back"):
            self.assertIsNone(m)
            late = [m for m in self.messages if m.kind == "#commit" and m.body["rev"] == i["rev"] and m.did == i["did"]]
            self.assertEqual([m.body["seq"] for m in late], [max(1, i["seq"] - 1000)])
        for i, m in self.of_kind("replay"):
            self.assertEqual((m.did, m.body["rev"]), (i["did"], i["rev"]))
            before = self.messages[self.by_seq[i["seq"]] - 1]
            self.assertEqual(before.body["commit"], m.body["commit"])
        for i, m in self.of_kind("repeat"):
            again = self.messages[self.by_seq[i["seq"]] + 1]
            self.assertEqual(m.raw, again.raw)

    def test_bad_records(self):
        for i, m in self.of_kind("bad_record"):
            _, blocks = read_car(m.body["blocks"])
            bad = [op for op in m.body["ops"] if op["cid"] and not CarefulMirror.is_record(blocks[op["cid"]])]
            self.assertEqual(len(bad), 1)
            self.assertNotIn(f"at://{i['did']}/{bad[0]['path']}\t", self.network.get("/control/truth"))

    def test_keys_change(self):
        for kind in ("rotation", "rotation_silent", "rotation_late"):
            for i, m in self.of_kind(kind):
                self.assertEqual(m.kind, "#commit" if kind == "rotation_silent" else "#identity")
        for i, _ in self.of_kind("rotation_late"):
            url = f"{self.network.plc}/{i['did']}"
            if self.accounts[i["did"]]["faults"].count("rotation_late") == 1:
                first, second = document_key(fetch(url)[1]), document_key(fetch(url)[1])
                self.assertEqual(second, self.accounts[i["did"]]["key"])
                self.assertNotEqual(first, second)

    @unittest.skipUnless(shutil.which("openssl"), "wants the command openssl")
    def test_a_careful_mirror_ends_as_expected(self):
        valid_from = {i["did"]: 1 for i in self.report["injected"] if i["kind"] in ("forged", "wrong_key")}
        for i in self.report["injected"]:
            if i["kind"].startswith("rotation"):
                valid_from[i["did"]] = i["seq"]
        mirror = CarefulMirror(self.accounts, valid_from)
        for m in self.messages:
            mirror.take(m)
        truth = collections.defaultdict(dict)
        for line in self.network.get("/control/truth").split("\n")[1:-1]:
            _, state, uri, cid, *_ = line.split("\t")
            if state == "live":
                did, path = uri.removeprefix("at://").split("/", 1)
                truth[did][path] = cid
        for did, a in self.accounts.items():
            if a["expect"] == "equal":
                self.assertNotIn(did, mirror.lost, a)
                self.assertEqual(mirror.records[did], truth[did], a)
            elif a["expect"] == "desynchronised":
                later = mirror.root.get(did) != a["data"]
                self.assertTrue(did in mirror.lost or later, a)
            else:
                self.assertEqual(mirror.away[did], a["status"])
                self.assertEqual(truth[did], {})
        self.assertGreater(sum(a["expect"] == "equal" and a["faults"] != [] for a in self.accounts.values()), 5)


class Control(unittest.TestCase):
    def setUp(self):
        self.network = self.enterContext(SignedNetwork(*BASE, "--events", "300"))
        self.network.control("emit", count=300)
        self.did = next(d for d, a in self.network.accounts().items() if a["records"] > 3)
        self.stream = self.enterContext(self.network.stream(""))

    def counts(self):
        return self.network.control("faults")["counts"]

    def test_a_fault_waits_for_its_account(self):
        self.network.control("fault", kind="wrong_prev_data", did=self.did)
        other = next(d for d, a in self.network.accounts().items() if d != self.did and a["status"] == "active")
        self.network.control("commit", did=other)
        self.assertEqual(self.counts(), {})
        self.assertEqual(self.network.control("faults")["armed"], {"wrong_prev_data": 1})
        self.network.control("commit", did=self.did, count=2)
        self.assertEqual(self.counts(), {"wrong_prev_data": 1})
        _, false, true = self.stream.messages(3)
        self.assertNotEqual(false.body["prevData"], true.body["prevData"])
        self.assertEqual(self.network.accounts()[self.did]["expect"], "desynchronised")

    def test_away_and_back(self):
        url = f"{self.network.pds[0]}/xrpc/com.atproto.sync.getRepoStatus"
        self.network.control("fault", kind="deactivated", did=self.did)
        self.assertEqual(json.loads(fetch(url, did=self.did)[1])["active"], False)
        self.assertIn(b"RepoDeactivated", fetch(url.replace("RepoStatus", "Repo"), did=self.did)[1])
        self.assertEqual(fetch(f"http://127.0.0.1:{self.network.port}/control/commit", did=self.did)[0], 400)
        self.network.control("fault", kind="reactivated", did=self.did)
        self.assertEqual([m.kind for m in self.stream.messages(4)], ["#account", "#account", "#identity", "#sync"])
        self.assertEqual(self.network.accounts()[self.did]["expect"], "equal")
        self.network.control("fault", kind="deleted", did=self.did)
        self.assertEqual(self.stream.messages(1)[0].body["status"], "deleted")
        self.assertIn(b"RepoNotFound", fetch(url, did=self.did)[1])
        self.assertEqual(self.network.accounts()[self.did]["expect"], "gone")

    def test_a_directory_that_fails(self):
        url = f"{self.network.plc}/{self.did}"
        for mode, expected in (("429", 429), ("404", 404), ("410", 410), ("500", 500)):
            self.network.control("plc", mode=mode, count=1)
            self.assertEqual((fetch(url)[0], fetch(url)[0]), (expected, 200))
        self.network.control("plc", mode="down", did=self.did)
        with self.assertRaises(OSError):
            fetch(url)
        other = next(d for d in self.network.accounts() if d != self.did)
        self.assertEqual(fetch(f"{self.network.plc}/{other}")[0], 200)
        self.network.control("plc", mode="slow", ms=200)
        begin = time.monotonic()
        self.assertEqual(fetch(f"{self.network.plc}/{other}")[0], 200)
        self.assertGreaterEqual(time.monotonic() - begin, 0.2)
        self.network.control("plc", mode="ok")
        self.assertEqual(fetch(url)[0], 200)
        self.assertEqual(self.counts(), {f"plc_{m}": 1 for m in ("429", "404", "410", "500", "down", "slow")})

    def test_an_export_that_is_torn(self):
        a = self.network.accounts()[self.did]
        self.network.control("pds", mode="torn", count=1)
        url = f"{a['pds']}/xrpc/com.atproto.sync.getRepo"
        root, blocks = read_car(fetch(url, did=self.did)[1])
        whole = read_car(fetch(url, did=self.did)[1])[1]
        self.assertEqual(len(blocks), len(whole) - 1)
        with self.assertRaises(Malformed):
            records_of(load(blocks, read_commit(blocks[root]).data))

    def test_cursors(self):
        with self.network.stream("cursor=1000000") as stream:
            self.assertEqual([(m.kind, m.body) for m in stream.rest()], [("error", {"error": "FutureCursor"})])
        with self.network.stream("cursor=0") as stream:
            seqs = [m.body["seq"] for m in stream.messages(300)]
        with self.network.stream(f"cursor={seqs[100]}") as stream:
            self.assertEqual(stream.messages(1)[0].body["seq"], seqs[101])

    def test_connections_are_cut(self):
        self.network.control("fault", kind="disconnect")
        self.assertEqual(self.stream.rest(), [])
        self.assertEqual(self.counts(), {"disconnect": 1})

    def test_mistakes(self):
        for route in ("fault?kind=nonsense", "fault?kind=gap&did=did:plc:none", "commit?did=none", "plc?mode=bad",
                      "emit?count=x", "truth?did=none"):
            status, body = fetch(f"http://127.0.0.1:{self.network.port}/control/{route}")
            self.assertEqual((status, json.loads(body)["error"]), (400, "InvalidRequest"), route)


class Runs(unittest.TestCase):
    def raws(self, *options, seed="5"):
        with SignedNetwork("--seed", seed, *BASE[2:], "--events", "800", *options) as network:
            with network.stream() as stream:
                return [m.raw for m in stream.messages(800)]

    def test_the_same_seed_is_the_same_network(self):
        once = self.raws("--fault", "forged=2,high_s=1")
        self.assertEqual(once, self.raws("--fault", "forged=2,high_s=1"))
        self.assertNotEqual(once, self.raws("--fault", "forged=2,high_s=1", seed="6"))

    def test_cut_after_so_many(self):
        with SignedNetwork(*BASE, "--events", "500", "--disconnect-after", "70") as network:
            seen, cursor = [], 0
            while len(seen) < 350:
                with network.stream(f"cursor={cursor}") as stream:
                    part = stream.rest()
                self.assertEqual(len(part), 70)
                seen += part
                cursor = seen[-1].body["seq"]
            self.assertEqual(len({m.raw for m in seen}), 350)
            self.assertEqual(network.control("faults")["counts"]["disconnect"], 5)

    def test_a_recording_is_the_stream(self):
        with tempfile.TemporaryDirectory(prefix="oracle-rec-") as directory:
            file = os.path.join(directory, "frames.bin")
            subprocess.run([os.environ["RECORDKV_SIM"], "--network", "signed", *BASE, "--events", "800",
                            "--fault", "rotation=2", "--record", file], check=True, capture_output=True)
            live = self.raws("--fault", "rotation=2")
            with SignedNetwork("--replay", file) as network:
                with network.stream() as stream:
                    messages = stream.messages(800)
                self.assertEqual([m.raw for m in messages], live)
                with open(file + ".accounts", encoding="utf-8") as lines:
                    accounts = [json.loads(line) for line in lines]
                self.assertEqual(sum(len(a["keys"]) > 1 for a in accounts), 2)
                for a in accounts:
                    document = fetch(f"{network.plc}/{a['did']}")[1]
                    self.assertEqual(document_key(document), a["keys"][-1]["key"])

    def test_truth_files(self):
        with SignedNetwork(*BASE, "--events", "400", "--exit-when-served") as network:
            with network.stream() as stream:
                stream.rest()
            self.assertEqual(network.process.wait(20), 0)
            with open(network.truth, encoding="utf-8") as truth:
                self.assertRegex(truth.readline(), r"^# seed=5 accounts=60 .* events=4\d\d live=\d+ deleted=\d+$")


if __name__ == "__main__":
    unittest.main()
