"""Every fault of the signed network is found in the stream where it was reported, and leads where README.md says.

A careful mirror in Python reads the whole stream: accounts that no fault should harm equal the truth.
"""

import collections
import json
import shutil
import unittest

from atproto_repo import (EMPTY, Malformed, decode, is_low, load, read_car, read_commit, read_multikey, records_of,
                          root_of, roots_before, verifies)
from signed_network import SignedNetwork, document_key, fetch

BEFORE = ("forged", "mutated", "future_rev")  # a message more, which a mirror ignores
AFTER = ("replay", "repeat", "sync")
INSTEAD = ("corrupted", "wrong_key", "high_s", "wrong_prev_data", "no_prev_data", "op_left_out", "seq_back", "gap")
OTHERS = ("foreign", "bad_record", "sync_moved", "rotation", "rotation_silent", "rotation_late", "handle",
          "deactivated", "deleted", "takendown", "suspended", "migrated", "recreated", "false_deleted")
AWAY = ("deactivated", "takendown", "suspended")


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
            self.take_account(m)
        elif m.kind in ("#commit", "#sync") and not self.away.get(m.did):
            self.take_signed(m)

    def take_account(self, m):
        """A deletion is final, until the account is there again. The old host of an account that has moved is not
        believed: the new one says that it is active."""
        faults = self.accounts[m.did]["faults"]
        status = m.body.get("status")
        if status == "deactivated" and "migrated" in faults and self.accounts[m.did]["status"] == "active":
            return
        if self.away.get(m.did) == "deleted" and status is None:
            self.records.pop(m.did, None), self.root.pop(m.did, None), self.lost.pop(m.did, None)
        self.away[m.did] = status

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
            return True  # the key of that time is not known here, or there is no doubt about it
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
                                                          "--pds", "2", "--events", "4000", "--fault", wanted))
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

    def after(self, i, count):
        """The account's messages from an injection on, as kind and status."""
        own = [m for m in self.messages[self.by_seq[i["seq"]]:] if m.did == i["did"]]
        return [(m.kind, m.body.get("status")) for m in own[:count]]

    def test_accounts_go(self):
        for kind in (*AWAY, "deleted", "false_deleted"):
            for i, _ in self.of_kind(kind):
                self.assertEqual(self.after(i, 1), [("#account", kind.removeprefix("false_"))])

    def test_accounts_move(self):
        for i, _ in self.of_kind("migrated"):
            self.assertEqual(self.after(i, 4), [("#identity", None), ("#account", None), ("#sync", None),
                                                ("#account", "deactivated")])
            document = json.loads(fetch(f"{self.network.plc}/{i['did']}")[1])
            self.assertEqual(document["service"][0]["serviceEndpoint"], self.accounts[i["did"]]["pds"])

    def test_accounts_begin_anew(self):
        for i, _ in self.of_kind("recreated"):
            self.assertEqual(self.after(i, 5), [("#account", "deleted"), ("#identity", None), ("#account", None),
                                                ("#commit", None), ("#sync", None)])
            first = next(m for m in self.messages[self.by_seq[i["seq"]]:] if m.did == i["did"] and m.kind == "#commit")
            self.assertEqual((first.body.get("prevData"), first.body["ops"]), (None, []))
            revs = [m.body["rev"] for m in self.messages if m.did == i["did"] and m.body["seq"] < i["seq"]
                    and m.kind == "#commit" and "future_rev" not in self.accounts[i["did"]]["faults"]]
            self.assertGreater(first.body["rev"], max(revs, default=""))

    def test_what_repair_must_reach(self):
        expected = {"active": "equal", "deleted": "gone", **{s: "inactive" for s in AWAY}}
        for a in self.accounts.values():
            self.assertEqual(a["repaired"], expected[a["status"]], a)
            if a["expect"] != "desynchronised":
                self.assertEqual(a["repaired"], a["expect"], a)

    def true_records(self):
        truth = collections.defaultdict(dict)
        for line in self.network.get("/control/truth").split("\n")[1:-1]:
            _, state, uri, cid, *_ = line.split("\t")
            if state == "live":
                did, path = uri.removeprefix("at://").split("/", 1)
                truth[did][path] = cid
        return truth

    @unittest.skipUnless(shutil.which("openssl"), "wants the command openssl")
    def test_exports_are_the_truth(self):
        """A mirror that fetches every repo has what it must reach."""
        truth = self.true_records()
        for did, a in self.accounts.items():
            status, body = fetch(f"{a['pds']}/xrpc/com.atproto.sync.getRepo", did=did)
            if a["repaired"] != "equal":
                error = "RepoNotFound" if a["status"] == "deleted" else "Repo" + a["status"].capitalize()
                self.assertEqual((status, json.loads(body)["error"], truth[did]), (400, error, {}), a)
                continue
            root, blocks = read_car(body)
            commit = read_commit(blocks[root])
            self.assertEqual((commit.did, commit.rev, str(commit.data)), (did, a["rev"], a["data"]))
            self.assertTrue(not a["faults"] or verifies(a["key"], commit.signed, commit.sig), a)
            records = records_of(load(blocks, commit.data))
            self.assertEqual({p.decode(): str(c) for p, c in records.items() if CarefulMirror.is_record(blocks[c])},
                             truth[did], a)

    @unittest.skipUnless(shutil.which("openssl"), "wants the command openssl")
    def test_a_careful_mirror_ends_as_expected(self):
        valid_from = {i["did"]: 1 for i in self.report["injected"] if i["kind"] in ("forged", "wrong_key")}
        for i in self.report["injected"]:
            if i["kind"].startswith("rotation"):
                valid_from[i["did"]] = i["seq"]
        mirror = CarefulMirror(self.accounts, valid_from)
        for m in self.messages:
            mirror.take(m)
        truth = self.true_records()
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


if __name__ == "__main__":
    unittest.main()
