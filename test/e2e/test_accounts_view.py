"""Promise: the table of accounts is what bucket `repo` says of them, whatever is killed meanwhile.

Owns: the kills of the index process, the accounts that go and change their handles, and the comparison of the table
with what `repo list --json` prints.
Does not know: how a state comes about (test_verify.py), and views of records (test_views_property.py).
"""

import collections
import json
import unittest

from rig import wait_for
from signed_rig import SignedRig
from views_rig import POINTS

EVENTS, RATE, ACCOUNTS, KILLS = 500, 120, 60, 5
COLUMNS = ["did", "handle", "status", "pds", "rev", "complete", "verified", "error"]


class AccountsViewTest(unittest.TestCase):
    def rows(self, rig, table="accounts") -> list:
        done = rig.command("query", table, "--json", "--limit", "100000")
        self.assertIn(done.returncode, (0, 1), done.stderr)
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
            self.remove_all(rig)

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

    def remove_all(self, rig) -> None:
        for name in ("index", "store"):
            self.assertEqual(rig.parts[name].stop(), 0, rig.parts[name].text()[-2000:])
        done = rig.command("reset", "--yes")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(rig.api("STREAM.NAMES")["streams"] or [], [])
        self.assertNotEqual(rig.command("query", "accounts").returncode, 0)


if __name__ == "__main__":
    unittest.main()
