"""The signed network on command: faults, outages, cursors, recordings, files."""

import http.client
import json
import os
import shutil
import subprocess
import tempfile
import time
import unittest
import urllib.error
import urllib.request

from atproto_repo import Malformed, load, read_car, read_commit, records_of, verifies
from signed_network import SignedNetwork, document_key, fetch

BASE = ("--seed", "5", "--accounts", "60", "--churn", "60000")


class Control(unittest.TestCase):
    def setUp(self):
        self.network = self.enterContext(SignedNetwork(*BASE, "--events", "300", "--pds", "2"))
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
        url = f"{self.network.accounts()[self.did]['pds']}/xrpc/com.atproto.sync.getRepoStatus"
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

    def export(self, did=None, **query):
        a = self.network.accounts()[did or self.did]
        return fetch(f"{a['pds']}/xrpc/com.atproto.sync.getRepo", did=a["did"], **query)

    def follow(self):
        """The export, wherever redirects lead."""
        pds = self.network.accounts()[self.did]["pds"]
        return urllib.request.urlopen(f"{pds}/xrpc/com.atproto.sync.getRepo?did={self.did}", timeout=20)

    def status_at(self, pds):
        status, body = fetch(f"{pds}/xrpc/com.atproto.sync.getRepoStatus", did=self.did)
        return json.loads(body)["error"] if status != 200 else json.loads(body).get("status", "active")

    def test_an_export_that_is_cut(self):
        """One account's host promises a length, another's sends chunks. Neither comes to an end."""
        whole = {did: self.export(did)[1] for did, a in self.network.accounts().items() if a["status"] == "active"}
        self.network.control("pds", mode="half")
        partial = {}
        for did in whole:
            with self.assertRaises(http.client.IncompleteRead) as caught:
                self.export(did)
            partial[did] = caught.exception
        self.network.control("pds", mode="ok")
        for did, e in partial.items():
            self.assertEqual(e.partial, whole[did][:len(whole[did]) // 2])
        self.assertEqual({e.expected is None for e in partial.values()}, {True, False})
        self.assertEqual(self.counts(), {"pds_half": len(whole)})

    def test_an_export_elsewhere(self):
        other = next(url for url in self.network.pds if url != self.network.accounts()[self.did]["pds"])
        whole = self.export()
        self.network.control("pds", mode="redirect", did=self.did, count=1)
        with self.follow() as answer:
            self.assertTrue(answer.url.startswith(other), answer.url)
            self.assertEqual(answer.read(), whole[1])
        self.assertEqual(self.export(), whole)
        self.assertEqual(self.counts(), {"pds_redirect": 1})

    def test_an_export_of_before(self):
        self.network.control("commit", did=self.did, count=5)
        self.network.control("pds", mode="old", did=self.did, count=1)
        self.assertEqual(self.status_at(self.network.accounts()[self.did]["pds"]), "active")
        self.assertEqual(self.counts(), {}, "it waits for an export")
        old, new = (read_car(self.export()[1]) for _ in range(2))
        commits = [read_commit(blocks[root]) for root, blocks in (old, new)]
        self.assertLess(commits[0].rev, commits[1].rev)
        self.assertEqual(commits[1].rev, self.network.accounts()[self.did]["rev"])
        lists = [records_of(load(blocks, c.data)) for (_, blocks), c in zip((old, new), commits)]
        self.assertEqual(len(lists[0]) + 3, len(lists[1]))
        if shutil.which("openssl"):
            self.assertTrue(verifies(self.network.accounts()[self.did]["key"], commits[0].signed, commits[0].sig))
        self.assertEqual(self.counts(), {"pds_old": 1})

    def test_a_host_that_refuses(self):
        for mode, expected in (("429", 429), ("401", 401), ("500", 500), ("404", 404)):
            self.network.control("pds", mode=mode, count=1, did=self.did, retry_after=7)
            if mode == "429":
                with self.assertRaises(urllib.error.HTTPError) as caught:
                    self.follow()
                self.assertEqual(caught.exception.headers["Retry-After"], "7")
                caught.exception.close()
            else:
                self.assertEqual(self.export()[0], expected)
            self.assertEqual(self.export()[0], 200)
        self.assertEqual(self.counts(), {f"pds_{m}": 1 for m in ("429", "401", "500", "404")})

    def test_an_export_that_trickles(self):
        whole = self.export()
        self.network.control("pds", mode="slow", ms=400, count=1, did=self.did)
        begin = time.monotonic()
        self.assertEqual(self.export(), whole)
        self.assertGreaterEqual(time.monotonic() - begin, 0.3)

    def test_an_account_that_moves(self):
        before = self.network.accounts()[self.did]["pds"]
        self.network.control("fault", kind="migrated", did=self.did)
        a = self.network.accounts()[self.did]
        self.assertNotEqual(a["pds"], before)
        self.assertEqual((self.status_at(a["pds"]), self.status_at(before)), ("active", "deactivated"))
        self.assertEqual(self.export()[0], 200)
        self.assertIn(b"RepoDeactivated", fetch(f"{before}/xrpc/com.atproto.sync.getRepo", did=self.did)[1])
        self.assertEqual((a["expect"], a["repaired"]), ("equal", "equal"))

    def test_an_account_that_is_away(self):
        pds = self.network.accounts()[self.did]["pds"]
        for kind, error in (("takendown", b"RepoTakendown"), ("suspended", b"RepoSuspended"),
                            ("deactivated", b"RepoDeactivated")):
            self.network.control("fault", kind=kind, did=self.did)
            self.assertEqual(self.status_at(pds), kind)
            self.assertIn(error, self.export()[1])
            self.assertEqual(self.network.accounts()[self.did]["repaired"], "inactive")
            self.network.control("fault", kind="reactivated", did=self.did)
        self.network.control("fault", kind="false_deleted", did=self.did)
        relay = f"http://127.0.0.1:{self.network.port}"
        self.assertEqual((self.status_at(pds), self.status_at(relay)), ("active", "RepoNotFound"))
        a = self.network.accounts()[self.did]
        self.assertEqual((a["expect"], a["repaired"]), ("desynchronised", "equal"))
        self.network.control("fault", kind="deleted", did=self.did)
        self.assertEqual(self.status_at(pds), "RepoNotFound")
        self.network.control("fault", kind="recreated", did=self.did)
        self.network.control("commit", did=self.did)
        self.assertEqual(self.status_at(pds), "active")
        root, blocks = read_car(self.export()[1])
        self.assertEqual(len(records_of(load(blocks, read_commit(blocks[root]).data))), 1)
        a = self.network.accounts()[self.did]
        self.assertEqual((a["records"], a["expect"], a["repaired"]), (1, "equal", "equal"))

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
                      "plc?mode=torn", "emit?count=x", "truth?did=none"):
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
