"""Promise: `recordkv up --repo ACCOUNT` answers a developer's first question. The account's records from before the
start are in the store, its likes in the likes table, and what can't be had is said in a line.

Owns: `up` on the signed network, with accounts that have records, fail, or do not exist.
Does not know: how a repo is fetched.
"""

import contextlib
import os
import re
import signal
import sqlite3
import unittest

from rig import ROOT, nats_wire, program, wait_for
from signed_rig import SignedRig
from record_place import place_of  # from test/oracle, which rig has put into the path

LIKE = "app.bsky.feed.like"
AN_HOUR_MS = 3_600_000


class UpTest(unittest.TestCase):
    def setUp(self):
        self.rig = self.enterContext(SignedRig(
            "--accounts", 20, "--settled", 100, "--records", 40, "--events", 1, "--past", 1,
            **{"repos.repair": True, "repos.retry": "200ms",
               "index.views": [os.path.join(ROOT, "config", "views", "likes.toml")]}))
        self.rig.write_config()
        self.ups = 0

    def up(self, *accounts):
        words = [word for account in accounts for word in ("--repo", account)]
        self.ups += 1
        return self.rig.add(f"up-{self.ups}", [program("RECORDKV", "recordkv"), "--config", self.rig.config, "up",
                                               *words])

    def truth(self, did: str) -> set:
        return {r["path"] for r in self.rig.control("truth", did=did)["records"]}

    def store(self, did: str) -> set:
        found = (place_of(subject.removeprefix("$KV.record.")) for subject, _, payload, _ in
                 nats_wire.read_stream(self.rig.url, "KV_record", "$KV.record.>") if payload)
        return {f"{p.collection}/{p.rkey}" for p in found if p and p.did == did}

    def likes(self, did: str) -> set:
        with sqlite3.connect(f"file:{self.rig.path('state', 'likes.db')}?mode=ro", uri=True) as db:
            return {f"{LIKE}/{rkey}" for rkey, in db.execute("SELECT rkey FROM likes WHERE did = ?", (did,))}

    def said(self, part, pattern: str):
        def there():
            self.assertTrue(part.running(), part.text())
            return re.search(pattern, part.text(), re.M)
        return wait_for(f"it says {pattern}", there, 40)

    def end(self, part) -> None:
        part.process.send_signal(signal.SIGINT)
        self.assertEqual(part.exit_code(15), 0, part.text())
        self.assertNotIn("not everything is settled", part.text())

    def test_an_account_with_records_from_before(self):
        did, named, *_ = self.rig.accounts()
        handle = self.rig.accounts()[named]["handle"]
        truth = self.truth(did)
        likes = {path for path in truth if path.startswith(LIKE + "/")}
        self.assertGreater(len(truth), 30)
        self.assertGreater(len(likes), 0)
        part = self.up(did, "nobody.invalid", named)
        count, by_collection = self.said(part, rf"^{did}: in the store after \d+\.\d s: (\d+) records: (.*)$").groups()
        self.assertEqual(int(count), len(truth))
        self.assertIn(f"{len(likes)} {LIKE}", by_collection.split(", "))
        # What is said is there already: nothing is waited for.
        self.said(part, rf"^try: recordkv likes --by {did} --limit 5$")
        self.assertEqual(self.store(did), truth)
        self.assertEqual(self.likes(did), likes)
        self.said(part, rf"^rows of it in views after \d+\.\d s: likes {len(likes)}$")
        self.assertEqual(len(self.rig.command("likes", "--by", did).stdout.splitlines()), len(likes))
        self.said(part, r"^recordkv: nobody\.invalid: .* is no handle that can be looked up: .* tried again$")
        self.said(part, rf"^{named}: in the store")
        self.assertTrue(self.rig.states()[did]["followed"])
        self.end(part)
        self.assertEqual(part.text().count("nobody.invalid: "), 1, part.text())

        part = self.up("@" + handle)  # it is known by now
        self.said(part, rf"^{re.escape(handle)} \({named}\): in the store")
        self.end(part)

    def test_an_account_that_fails_at_first(self):
        did = next(iter(self.rig.accounts()))
        self.rig.control("pds", mode="500", did=did, count=2)
        part = self.up(did)
        self.said(part, rf"^recordkv: {did}: the try has failed: .*HTTP 500")
        count, = self.said(part, rf"^{did}: in the store after .* s: (\d+) records").groups()
        self.assertEqual(int(count), len(self.truth(did)))
        self.end(part)

    def test_the_views_are_waited_for(self):
        """Another program holds the database while the records arrive."""
        first, did, *_ = self.rig.accounts()
        self.rig.control("pds", mode="500", did=did)
        part = self.up(first, did)
        self.said(part, rf"^{first}: in the store")
        with contextlib.closing(sqlite3.connect(self.rig.path("state", "likes.db"), isolation_level=None)) as db:
            wait_for("the database is free", lambda: self.locked(db))
            self.rig.control("pds", mode="ok", did=did)
            wait_for("the records are in the store", lambda: self.store(did) == self.truth(did), 40)
            wait_for("the view has stalled", lambda: self.rig.report("view-likes").get("state") == "stalled", 40)
            db.execute("ROLLBACK")
        likes = [path for path in self.truth(did) if path.startswith(LIKE + "/")]
        self.said(part, rf"^{did}: in the store")
        self.said(part, rf"^rows of it in views after .* s: likes {len(likes)}\ntry: recordkv likes --by {did} ")
        self.end(part)

    def locked(self, db) -> bool:
        with contextlib.suppress(sqlite3.OperationalError):
            db.execute("BEGIN IMMEDIATE")
            return True
        return False

    def test_an_account_that_is_gone(self):
        did, other, *_ = self.rig.accounts()
        self.rig.control("fault", kind="deactivated", did=did)
        part = self.up(did)
        self.said(part, rf"^recordkv: {did}: its PDS says that it is not active")
        self.rig.commit(other)
        wait_for("the stages go on", lambda: self.rig.states().get(other))
        self.end(part)

    def test_an_end_during_the_fetch(self):
        did = next(iter(self.rig.accounts()))
        self.rig.control("pds", mode="slow", did=did, ms=AN_HOUR_MS)
        part = self.up(did, "nobody.recordkv-tests.test")  # may be looked up for seconds
        wait_for("the fetch has begun", lambda: self.rig.counts().get("pds_slow"), 40)
        self.end(part)
        self.assertNotIn("in the store", part.text())
        self.rig.control("pds", mode="ok", did=did)
        part.start()
        self.said(part, rf"^{did}: in the store")
        self.assertEqual(self.store(did), self.truth(did))
        self.end(part)

    def test_wrong_usage(self):
        for words in (("--repo",), ("--repo", "nodots"), ("--repo", "did:")):
            done = self.rig.command("up", *words)
            self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("recordkv up --repo", self.rig.command("up", "--help").stdout)


if __name__ == "__main__":
    unittest.main()
