"""The signed network on command: faults, outages, cursors, recordings, files."""

import json
import os
import subprocess
import tempfile
import time
import unittest

from atproto_repo import Malformed, load, read_car, read_commit, records_of
from signed_network import SignedNetwork, document_key, fetch

BASE = ("--seed", "5", "--accounts", "60", "--churn", "60000")


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
