"""The signed network under the eyes of a second reading of its specifications, in Python.

Trees are built anew for every commit, each commit is undone from its own blocks, and signatures are
checked by the command openssl.
"""

import collections
import json
import shutil
import unittest

from atproto_repo import (EMPTY, as_json, build, decode, is_low, load, read_car, read_commit, read_multikey,
                          records_of, root_of, roots_before, verifies)
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


if __name__ == "__main__":
    unittest.main()
