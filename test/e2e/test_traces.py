"""Promise: after an account was deleted, one command proves that no stream, state, view or reject table holds its
content; and it finds what is left, in each kind of place.

Owns: an account of the signed network that is deleted, and what is put by hand into each place afterwards.
Does not know: how an account's records are removed.
"""

import base64
import json
import os
import sqlite3
import unittest

from postgres import Postgres
from rig import ROOT, Rig, nats_wire, wait_for
from signed_rig import SignedRig
from record_place import encoded, partition_of  # from test/oracle, which rig has put into the path

STRICT = """
[[view]]
name = "strict"
collection = "app.bsky.feed.post"
columns = [{ name = "nowhere", pointer = "/nowhere", type = "text", required = true }]
"""
LIKE, POST = "app.bsky.feed.like", "app.bsky.feed.post"


def key_of(did: str, collection: str, rkey: str, partition: str = "") -> str:
    return f"$KV.record.{partition or partition_of(did)}.{collection}.{encoded(did)}.{rkey}"


class Tracing:
    """What `repo traces` says."""
    rig: Rig

    def traces(self, code: int, account: str, *options, config: tuple = ()) -> dict:
        """By kind and place. Only the exit code is promised to a script, so it is checked first."""
        done = self.rig.command(*config, "repo", "traces", account, "--json", *options)
        self.said = done.stderr
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return {(p["place"], p["where"]): p for p in map(json.loads, done.stdout.splitlines())}

    def left(self, account: str) -> set:
        """The places that still hold something."""
        return {place for place, p in self.traces(1, account).items() if p.get("found")}

    def put(self, subject: str, value: str, headers: dict | None = None) -> None:
        answer = json.loads(self.rig.wire.request(subject, value.encode(), headers).payload)
        self.assertIn("seq", answer, subject)

    def delete(self, subject: str) -> None:
        self.put(subject, "", {"KV-Operation": "DEL"})


class Deletion(Tracing):
    """Runs once for each database."""

    def database(self) -> str:
        raise NotImplementedError

    def sql(self, statement: str) -> str:
        raise NotImplementedError

    def network(self) -> None:
        self.rig = self.enterContext(SignedRig(
            "--accounts", 80, "--settled", 100, "--records", 30, "--events", 60, "--past", 60,
            **{"repos.repair": True, "index.database": self.database()}))
        with open(self.rig.path("strict.toml"), "w", encoding="utf-8") as f:
            f.write(STRICT)
        self.rig.settings["index.views"] = [os.path.join(ROOT, "config", "views", "likes.toml"),
                                            self.rig.path("strict.toml")]
        self.part = self.rig.recordkv(name="recordkv")
        wait_for("there is a store", lambda: self.rig.stream("KV_repo"))
        by_partition: dict[str, list] = {}
        for did in self.rig.accounts():
            by_partition.setdefault(partition_of(did), []).append(did)
        self.did, self.other = next(dids for dids in by_partition.values() if len(dids) > 1)[:2]
        self.handle = self.rig.accounts()[self.did]["handle"]
        added = self.rig.command("repo", "add", self.did, self.other, "--wait", seconds=60)
        self.assertEqual(added.returncode, 0, added.stderr)
        self.caught_up()

    def caught_up(self) -> None:
        done = self.rig.command("wait", seconds=60)
        self.assertEqual(done.returncode, 0, done.stderr)

    def delete_account(self) -> None:
        self.rig.control("fault", kind="deleted", did=self.did)
        wait_for("its records are removed", lambda: self.rig.states().get(self.did, {}).get("status") == "deleted",
                 40)
        wait_for("the buffer is empty", self.rig.drained)
        self.caught_up()

    def state(self) -> tuple:
        subject = f"$KV.repo.{partition_of(self.did)}.{encoded(self.did)}"
        stored = self.rig.api("STREAM.MSG.GET.KV_repo", last_by_subj=subject)["message"]
        return subject, base64.b64decode(stored["data"]).decode()

    def test_the_proof(self):
        self.network()
        everywhere = {("store", "bucket record"), ("state", "bucket repo"), ("view", "likes"),
                      ("rejects", "strict_rejects")}
        wait_for("the buffer is empty", self.rig.drained)
        self.assertEqual(self.left(self.did), everywhere)
        by_handle = self.traces(1, self.handle)
        self.assertEqual(by_handle["store", "bucket record"]["found"],
                         len([s for s, _, payload, _ in nats_wire.read_stream(self.rig.url, "KV_record", "$KV.record.>")
                              if f".{encoded(self.did)}." in s and payload]))
        self.assertRegex(by_handle["view", "likes"]["example"], f"^{LIKE}/")
        self.assertRegex(by_handle["rejects", "strict_rejects"]["example"], f"^at://{self.did}/{POST}/")

        self.delete_account()
        gone = self.traces(0, self.did)
        self.assertEqual(self.said, f"recordkv: no content of {self.did} is left\n")
        self.assertEqual({p["found"] for p in gone.values()}, {0})
        self.assertTrue(everywhere <= gone.keys())
        self.assertRegex(gone["state", "bucket repo"]["note"], "^kept: .*rev, .*status")
        self.assertIn("deleted", self.rig.command("repo", "show", self.did).stdout)
        self.assertEqual(self.left(self.other), everywhere)
        text = self.rig.command("repo", "traces", self.did).stdout
        self.assertRegex(text, r"(?m)^store    bucket record +nothing$")
        unknown = self.rig.command("repo", "traces", self.handle)  # no state has it any more
        self.assertIn(unknown.returncode, (2, 3), unknown.stderr)  # 3: there is no DNS here
        self.assertEqual(unknown.stdout, "")
        self.assertEqual(self.part.stop(), 0)
        self.plant_in_nats()
        self.plant_in_views()
        self.plant_in_buffer()

    def plant_in_nats(self) -> None:
        """Nothing runs, so what is put stays where it is."""
        for key in (key_of(self.did, POST, "a"), key_of(self.did, "com.example.a.b.c.d.e.f.g", "a"),
                    key_of(self.did, POST, "a", "0")):
            with self.subTest(key):
                self.put(key, '{"text":"left"}')
                found = self.traces(1, self.did)["store", "bucket record"]
                self.assertEqual((found["found"], found["example"]), (1, key))
                self.assertIn("recordkv repo remove", self.said)
                self.delete(key)
                self.traces(0, self.did)
        self.put(key_of(self.other, LIKE, "of-it"), json.dumps({"subject": {"uri": f"at://{self.did}/{POST}/a"}}))
        self.traces(0, self.did)

        subject, tombstone = self.state()
        for name, value in {"handle": "h.example.com", "pds": "https://h.example.com", "key": "zX",
                            "collections": [POST], "error": f"{POST}/a can't be read"}.items():
            with self.subTest(name):
                self.put(subject, json.dumps({**json.loads(tombstone), name: value}))
                found = self.traces(1, self.did)["state", "bucket repo"]
                self.assertEqual((found["found"], found["example"]), (1, name))
        self.put(subject, "torn")
        self.assertEqual(self.left(self.did), {("state", "bucket repo")})
        self.put(subject, tombstone)
        want = "$KV.repo.want." + encoded(self.did)
        self.put(want, json.dumps({"did": self.did, "what": "add", "at": "2026-11-28T09:00:00Z"}))
        self.assertEqual(self.left(self.did), {("wish", "bucket repo")})
        self.delete(want)
        self.traces(0, self.did)

        put = self.rig.command("put", f"at://{self.did}/{POST}/a", '{"text":"left"}')
        self.assertEqual(put.returncode, 0, put.stderr)
        self.put(subject, json.dumps({**json.loads(tombstone), "handle": "h.example.com"}))
        self.traces(1, self.did)
        self.assertIn("`recordkv repo remove", self.said)
        self.part.start()
        done = self.rig.command("repo", "remove", self.did, "--wait", seconds=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.caught_up()
        self.traces(0, self.did)
        self.assertEqual(self.part.stop(), 0)

    def plant_in_views(self) -> None:
        columns = "did, collection, rkey, subject"
        self.sql(f"INSERT INTO likes ({columns}) VALUES ('{self.other}', '{LIKE}', 'x', 'at://{self.did}/{POST}/a')")
        self.traces(0, self.did)
        self.sql(f"INSERT INTO likes ({columns}) VALUES ('{self.did}', '{LIKE}', 'x', 'at://{self.other}/{POST}/a')")
        self.assertEqual(self.left(self.did), {("view", "likes")})
        self.assertIn("recordkv view rebuild likes", self.said)
        self.sql(f"DELETE FROM likes WHERE did = '{self.did}'")

        # Neighbours in the order of bytes: other accounts, and a name that only begins like this one.
        for uri in (f"at://{self.did}.x/{POST}/a", f"at://{self.did}", f"at://{self.did}0/{POST}/a"):
            self.sql(f"INSERT INTO likes_rejects VALUES ('{uri}', 'by hand', 1)")
        self.traces(0, self.did)
        self.sql(f"INSERT INTO likes_rejects VALUES ('at://{self.did}/{LIKE}/x', 'by hand', 1)")
        found = self.traces(1, self.did)["rejects", "likes_rejects"]
        self.assertEqual((found["found"], found["example"]), (1, f"at://{self.did}/{LIKE}/x"))
        self.sql("DELETE FROM likes_rejects")

        # A next build, as it is between its beginning and its swap.
        self.sql("INSERT INTO recordkv_builds (view, live, hash, definition, counters, created, generation, seq, "
                 "bulk_until) SELECT view, FALSE, hash, definition, counters, created, generation, seq, 0 FROM "
                 "recordkv_builds WHERE view = 'likes'")
        self.traces(0, self.did)  # its tables are not there
        self.sql("CREATE TABLE likes__next AS SELECT * FROM likes WHERE FALSE")
        self.sql("CREATE TABLE likes__next_rejects AS SELECT * FROM likes_rejects WHERE FALSE")
        self.traces(0, self.did)
        self.sql(f"INSERT INTO likes__next ({columns}) VALUES ('{self.did}', '{LIKE}', 'x', 'at://x/{POST}/a')")
        self.assertEqual(self.left(self.did), {("view", "likes__next")})
        self.sql("DELETE FROM likes__next")
        self.sql(f"INSERT INTO likes__next_rejects VALUES ('at://{self.did}/{LIKE}/x', 'by hand', 1)")
        self.assertEqual(self.left(self.did), {("rejects", "likes__next_rejects")})
        for statement in ("DROP TABLE likes__next", "DROP TABLE likes__next_rejects",
                          "DELETE FROM recordkv_builds WHERE NOT live"):
            self.sql(statement)
        self.traces(0, self.did)

    def plant_in_buffer(self) -> None:
        """Stage kv does not run. The account begins again, under the same DID."""
        ingest = self.rig.recordkv("ingest", name="ingest")
        self.rig.commit(self.other, 5)
        wait_for("the buffer has frames of another account", lambda: self.rig.report("ingest").get("buffered", 0) >= 5)
        buffer = self.traces(0, self.did)["buffer", "stream ingest"]
        self.assertRegex(buffer["note"], r"^up to sequence \d+$")
        self.rig.control("fault", kind="recreated", did=self.did)
        wait_for("its frames are in the buffer", lambda: ("buffer", "stream ingest") in self.left_or_none())
        self.assertIn("stage kv has still to read them", self.said)
        self.assertEqual(ingest.stop(), 0)

    def left_or_none(self) -> set:
        done = self.rig.command("repo", "traces", self.did, "--json")
        self.said = done.stderr
        self.assertIn(done.returncode, (0, 1), done.stderr)
        reports = map(json.loads, done.stdout.splitlines())
        return {(p["place"], p["where"]) for p in reports if p.get("found")}


class Sqlite(Deletion, unittest.TestCase):
    def database(self) -> str:
        return "sqlite:views.db"

    def sql(self, statement: str) -> None:
        with sqlite3.connect(self.rig.path("state", "views.db"), timeout=10) as db:
            db.execute(statement)
        db.close()


class PostgreSQL(Deletion, unittest.TestCase):
    def database(self) -> str:
        self.postgres = self.enterContext(Postgres())
        return self.postgres.url()

    def sql(self, statement: str) -> None:
        self.postgres.query(statement)


DID = "did:plc:" + "a" * 24


class Unread(Tracing, unittest.TestCase):
    """A place that can't be read is never an empty one."""

    def setUp(self):
        self.rig = self.enterContext(Rig(**{"index.views": []}))
        self.rig.nats()

    def bucket(self, name: str, history: int = 1) -> None:
        self.rig.api(f"STREAM.CREATE.KV_{name}", name=f"KV_{name}", subjects=[f"$KV.{name}.>"],
                     max_msgs_per_subject=history)

    def test_an_older_value_behind_a_delete_marker(self):
        """recordkv keeps one message for each key. A bucket that another program has made may keep more."""
        self.bucket("record", history=5)
        key = key_of(DID, POST, "a")
        self.put(key, '{"text":"old"}')
        self.delete(key)
        self.assertEqual(self.traces(1, DID)["store", "bucket record"]["found"], 1)
        self.rig.api("STREAM.PURGE.KV_record", filter=key)
        self.traces(0, DID)

    def test_what_does_not_exist(self):
        self.traces(2, DID)
        self.assertIn("there is no store yet", self.said)
        self.bucket("record")
        places = self.traces(0, DID)
        self.assertEqual({p["note"] for k, p in places.items() if k[0] in ("buffer", "state", "wish")},
                         {"it does not exist"})
        for words in (("repo", "traces"), ("repo", "traces", "nodots"), ("repo", "traces", "nobody.invalid")):
            self.assertEqual(self.rig.command(*words).returncode, 2, words)
        self.assertIn("Example:", self.rig.command("repo", "traces", "--help").stdout)

    def test_without_nats(self):
        self.bucket("record")
        self.rig.parts["nats"].kill()
        self.assertEqual(self.traces(3, DID), {})

    def test_without_the_database(self):
        self.bucket("record")
        self.rig.settings["index.views"] = [os.path.join(ROOT, "config", "views", "likes.toml")]
        missing = self.traces(3, DID)
        self.assertIn("there is no database", next(p["error"] for p in missing.values() if not p["read"]))
        self.assertIn("it is not known", self.said)
        os.makedirs(self.rig.path("state"))
        with open(self.rig.path("state", "likes.db"), "w", encoding="utf-8") as f:
            f.write("this is no database, however often it is read " * 100)
        self.traces(3, DID)
        self.put(key_of(DID, POST, "a"), "{}")
        self.traces(1, DID)  # what was found is certain

    def test_whose_message_of_the_buffer_it_is(self):
        self.bucket("record")
        self.rig.api("STREAM.CREATE.ingest", name="ingest", subjects=["ingest.*"], retention="workqueue")
        subject = f"ingest.{partition_of(DID)}"
        self.put(subject, "no frame")
        self.traces(0, DID)
        of_another = {"did": "did:plc:" + "b" * 24, "time_us": 1764320000000000, "kind": "commit",
                      "commit": {"rev": "3kabcdefgh222", "operation": "create", "collection": LIKE, "rkey": "a",
                                 "record": {"subject": {"uri": f"at://{DID}/{POST}/a"}}}}
        self.put(subject, json.dumps(of_another))
        self.traces(0, DID)  # it names the account
        self.put(subject, json.dumps({"marker": "oversize", "did": DID}))
        self.assertEqual(self.traces(1, DID)["buffer", "stream ingest"]["example"], "sequence 3")
        self.put(subject, f"no frame, and {DID} in it")
        self.assertEqual(self.traces(1, DID)["buffer", "stream ingest"]["found"], 2)
        self.assertEqual(self.left(DID), {("buffer", "stream ingest")})


if __name__ == "__main__":
    unittest.main()
