"""Promise: the table of accounts is what bucket `repo` says of them, whatever is killed meanwhile.

Owns: the kills of the index process, the accounts that go and change their handles, and the comparison of the table
with what `repo list --json` prints.
Does not know: how a state comes about (test_verify.py), and views of records (test_views_property.py).
"""

import collections
import json
import unittest

from rig import Rig, nats_wire, wait_for
from signed_rig import SignedRig
from views_rig import POINTS
from record_place import encoded, partition_of  # from test/oracle, which rig has put into the path

EVENTS, RATE, ACCOUNTS, KILLS = 500, 120, 60, 5
COLUMNS = ["did", "handle", "status", "pds", "rev", "complete", "verified", "error"]


class AccountsViewTest(unittest.TestCase):
    def rows(self, rig, table="accounts") -> list:
        done = rig.command("query", table, "--json", "--limit", "100000")
        if done.returncode not in (0, 1):
            raise nats_wire.Failure(done.stderr)  # the view is not there yet
        return [json.loads(line) for line in done.stdout.splitlines()]

    def expected(self, rig) -> dict:
        done = rig.command("repo", "list", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        states = [json.loads(line) for line in done.stdout.splitlines()]
        return {s["did"]: {column: s.get(column) for column in COLUMNS} for s in states}

    def check(self, rig) -> dict:
        """Waits for the view, and compares. A state may be written between the two readings, so this is tried again."""
        def equal():
            done = rig.command("wait", "--view", "accounts")
            self.assertEqual(done.returncode, 0, done.stderr)
            rows = self.rows(rig)
            self.assertTrue(all(list(row) == COLUMNS for row in rows), rows[:1])
            found, wanted = {row["did"]: row for row in rows}, self.expected(rig)
            self.assertEqual(len(found), len(rows), "an account has one row")
            if found != wanted:
                self.differs = {did for did in found.keys() | wanted.keys() if found.get(did) != wanted.get(did)}
                return None
            counted = {row["status"]: row["count"] for row in self.rows(rig, "accounts_by_status")}
            return found if counted == collections.Counter(row["status"] for row in rows) else None
        try:
            return wait_for("the table is what the states say", equal, 20, every=0.3)
        except AssertionError as e:
            raise AssertionError(f"{e}; different: {sorted(getattr(self, 'differs', ()))[:5]}") from e

    def crash_at_each_point(self, rig, index) -> None:
        """The process kills itself at each point of a build's way, then of the live build's transactions."""
        building = ["view.in_bulk", "view.after_bulk", "view.before_swap", "view.after_swap"]
        self.assertLess(set(building), set(POINTS))
        did = next(iter(self.expected(rig)))
        for point in building + [p for p in POINTS if p not in building]:
            index.env["RECORDKV_TEST_CRASH"] = f"{point}:1"
            index.start()
            wait_for(f"the index dies at {point}", lambda: not index.running(), 30, every=0.2,
                     meanwhile=lambda: rig.commit(did))
            self.assertEqual(index.state(), "killed by SIGKILL", f"{point}: {index.text()[-2000:]}")
        del index.env["RECORDKV_TEST_CRASH"]

    def test_the_table_is_what_the_states_say(self):
        with SignedRig("--seed", 5, "--events", EVENTS, "--rate", RATE, "--accounts", ACCOUNTS, "--settled", 20,
                       "--records", 3, "--pds", 2, "--wait-for-client", "--fault", "gap=3,forged=3",
                       **{"index.views": ["builtin:accounts"], "index.database": "sqlite:views.db",
                          "repos.repair": True}) as rig:
            rig.recordkv("ingest,kv", "store")
            wait_for("accounts are known", lambda: len(rig.states()) > 20)
            index = rig.recordkv("index", "index")
            index.kill()
            self.crash_at_each_point(rig, index)
            index.start()
            for _ in range(KILLS):
                wait_for("it holds its lease", lambda: rig.report("view-accounts").get("pid") == index.process.pid)
                rig.control("emit", count=50)
                index.kill()
                index.start()
            rig.wait_level(60)
            self.check(rig)
            self.follow_accounts(rig)
            index.kill()
            index.start()
            rows = self.check(rig)
            print(f"{len(rows)} accounts, {KILLS + 1} kills and {len(POINTS)} crashes: "
                  f"{dict(collections.Counter(row['status'] for row in rows.values()))}")
            self.look_and_rebuild(rig)
            self.reject_and_retry(rig)
            self.remove_all(rig)

    def test_reset_leaves_a_bucket_that_was_there_without_our_consumer(self):
        with Rig(**{"index.views": ["builtin:accounts"]}) as rig:
            rig.nats()
            rig.api("STREAM.CREATE.KV_repo", name="KV_repo", subjects=["$KV.repo.>"], max_msgs_per_subject=1,
                    discard="new", allow_direct=True, allow_rollup_hdrs=True, deny_delete=True, num_replicas=1)
            rig.simulator("--events", 300, "--accounts", 30)
            part = rig.recordkv()
            wait_for("there are accounts", lambda: len(self.rows(rig)) > 10)
            self.assertEqual(part.stop(), 0)
            self.assertIn("view-accounts", rig.api("CONSUMER.NAMES.KV_repo")["consumers"])
            self.assertEqual(rig.command("reset", "--yes").returncode, 0)
            self.assertEqual(rig.api("STREAM.NAMES")["streams"], ["KV_repo"])
            self.assertNotIn("view-accounts", rig.api("CONSUMER.NAMES.KV_repo")["consumers"] or [])

    def follow_accounts(self, rig) -> None:
        """Two accounts change: one its handle, one is deleted."""
        usable = [did for did, row in self.check(rig).items()
                  if row["status"] == "synchronised" and row["handle"] and not rig.accounts()[did]["faults"]]
        renamed, gone = usable[:2]
        before = self.check(rig)[renamed]["handle"]
        rig.control("fault", kind="handle", did=renamed)
        rig.control("fault", kind="deleted", did=gone)
        rig.wait_level(40)
        now = wait_for("both rows have followed", lambda: (
            (rows := self.check(rig))[renamed]["handle"] != before
            and rows[gone]["status"] in ("deleted", "removing") and rows), 40, every=0.5)
        self.assertEqual(now[renamed]["handle"], rig.accounts()[renamed]["handle"])

    def look_and_rebuild(self, rig) -> None:
        status = rig.status()
        part = next(s for s in status["stages"] if s["key"] == "view-accounts")
        self.assertEqual(part["stream"], "KV_repo")
        self.assertEqual(part["consumer"]["num_pending"], 0)
        self.assertIn("answers", rig.command("view", "list").stdout)
        before = rig.command("view", "show", "accounts").stdout
        self.assertIn("folded up to sequence", before)
        self.assertEqual(rig.command("view", "rebuild", "accounts").returncode, 0)
        self.assertNotEqual(rig.command("view", "show", "accounts").stdout, before)
        self.check(rig)
        names = rig.api("CONSUMER.NAMES.KV_repo")["consumers"]  # a `repo list` may have left one as well
        self.assertEqual([name for name in names if name.startswith("view-")], ["view-accounts"])

    def reject_and_retry(self, rig) -> None:
        """Stage kv has ended: it writes states, and no other program should."""
        self.assertEqual(rig.parts["store"].stop(), 0, rig.parts["store"].text()[-2000:])
        did = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"
        rig.wire.request(f"$KV.repo.{partition_of(did)}.{encoded(did)}", b"no JSON")
        self.assertEqual(rig.command("wait", "--view", "accounts").returncode, 0)
        reject = self.rows(rig, "accounts_rejects")
        self.assertEqual([(r["uri"], r["seq"]) for r in reject], [(f"at://{did}", rig.stream("KV_repo")["last_seq"])])
        done = rig.command("view", "retry", "accounts")
        self.assertEqual((done.returncode, done.stdout), (1, "0 of 1 rejects fit now\n"), done.stderr)

    def remove_all(self, rig) -> None:
        self.assertEqual(rig.parts["index"].stop(), 0, rig.parts["index"].text()[-2000:])
        done = rig.command("reset", "--yes")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(rig.api("STREAM.NAMES")["streams"] or [], [])
        self.assertNotEqual(rig.command("query", "accounts").returncode, 0)


if __name__ == "__main__":
    unittest.main()
