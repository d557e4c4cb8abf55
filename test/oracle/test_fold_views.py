"""The oracle of views finds what it is there to find.

Owns: faults planted one by one in tables that are otherwise right, in SQLite and in PostgreSQL; the program's exit
codes.
Does not know: what the rows of a record are (test_view_rows.py).
"""

import io
import json
import os
import sqlite3
import sys
import tempfile
import threading
import unittest
from contextlib import closing

import fold_views
import nats_wire
import view_rows
import view_tables
from check_store import Found
from real_server import RealServer, make_bucket
from record_place import Place, key_of
from view_rows import VIEWS

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
DID, OTHER = "did:plc:l3rouwludahu3ui3bt66mfvj", "did:web:example.com"
POST = f"at://{OTHER}/app.bsky.feed.post/3k5nobkf2w72g"
LIKE, PROFILE = "app.bsky.feed.like", "app.bsky.actor.profile"


def message(seq: int, record, place: Place, **headers) -> tuple:
    return key_of(place), Found(headers, json.dumps(record).encode() if record is not None else b"", seq)


STORE = dict([
    message(1, {"subject": {"uri": POST}}, Place(DID, LIKE, "one")),
    message(2, {"subject": {"uri": POST, "cid": ""}, "createdAt": "\\N\t'"}, Place(OTHER, LIKE, "two")),
    message(3, {"subject": {"uri": f"at://{DID}"}}, Place(DID, LIKE, "three")),
    message(4, {"subject": {"uri": 42}}, Place(DID, LIKE, "unfit")),
    message(5, {"subject": {"uri": POST}}, Place(DID, LIKE + ".extra", "_")),
    message(6, None, Place(DID, LIKE, "gone"), **{"KV-Operation": "DEL"}),
    message(7, {"displayName": "é\u2028😀", "avatar": {"n": 2**53 + 1}}, Place(DID, PROFILE, "self")),
    ("not.a.key", Found({}, b"{}", 8)),
])
NAMES = ["likes", "profiles", "links"]


class Database:
    """Tables that are right, in either database; faults are planted by SQL."""

    def __init__(self, url: str, run):
        self.url, self.run = url, run
        for name in NAMES:
            self.fill(VIEWS[name], fold_views.fold(STORE, VIEWS[name]))

    @staticmethod
    def literal(value) -> str:
        value = json.dumps(value) if isinstance(value, (dict, list)) else value
        return "NULL" if value is None else str(value) if isinstance(value, int) else "'" + value.replace("'",
                                                                                                          "''") + "'"

    def fill(self, view, fold) -> None:
        key = ["did TEXT", "collection TEXT", "rkey TEXT", *(["idx BIGINT"] if view.many else [])]
        sql = [f"CREATE TABLE {view.name}({', '.join(key + [name + ' TEXT' for name, _ in view.columns])})",
               f"CREATE TABLE {view.name}_rejects(uri TEXT, reason TEXT, seq BIGINT)"]
        sql += [f"INSERT INTO {view.name} VALUES({', '.join(map(self.literal, [*at, *row]))})" for at,
                row in fold.rows.items()]
        sql += [f"INSERT INTO {view.name}_rejects VALUES('{uri}', 'no', {seq})" for uri, seq in fold.rejects.items()]
        sql += [f"CREATE TABLE {view.name}_by_{c} AS SELECT {c}, count(*) AS count FROM {view.name} WHERE {c} IS NOT "
                f"NULL GROUP BY 1" for c in view.counted]
        for statement in sql:
            self.run(statement)


FAULTS = {
    "row missing": "DELETE FROM likes WHERE rkey = 'three'",
    "row too many": "INSERT INTO profiles(did, collection, rkey) VALUES('did:web:x', 'app.bsky.actor.profile', 'self')",
    "row twice": "INSERT INTO profiles SELECT * FROM profiles",
    "another link's place": "UPDATE links SET idx = 7 WHERE rkey = 'one'",
    "a part of an at-uri": "UPDATE likes SET subject_did = NULL WHERE rkey = 'one'",
    "NULL for an empty text": "UPDATE likes SET subject_cid = NULL WHERE rkey = 'two'",
    "an empty text for NULL": "UPDATE likes SET subject_cid = '' WHERE rkey = 'one'",
    "an escape taken off": "UPDATE likes SET created_at = NULL WHERE rkey = 'two'",
    "a number rounded": "UPDATE profiles SET avatar = '{\"n\":9007199254740992}'",
    "the deleted one's reject": f"INSERT INTO likes_rejects VALUES('at://{DID}/{LIKE}/gone', 'no', 6)",
    "no reject": "DELETE FROM likes_rejects",
    "a reject of an older message": "UPDATE likes_rejects SET seq = 3",
    "a reject without a reason": "UPDATE likes_rejects SET reason = ''",
    "a counter too high": "UPDATE likes_by_subject SET count = count + 1",
    "a counter of nothing": "INSERT INTO likes_by_subject VALUES('at://did:web:x', 0)",
    "no counter": "DELETE FROM links_by_target",
    "another column": "ALTER TABLE likes RENAME COLUMN created_at TO written_at",
    "one more column": "ALTER TABLE likes ADD COLUMN more TEXT",
    "no table": "DROP TABLE likes",
    "no counters": "DROP TABLE likes_by_subject",
}


class Faults(unittest.TestCase):
    def check(self, database: Database) -> list:
        return fold_views.check_once(STORE, database.url, [VIEWS[name] for name in NAMES]).differences

    def test_sqlite(self):
        for what, fault in {"": "SELECT 1", **FAULTS}.items():
            with self.subTest(fault=what), tempfile.TemporaryDirectory() as directory:
                path = os.path.join(directory, "views.db")
                with closing(sqlite3.connect(path, isolation_level=None)) as connection:
                    database = Database(f"sqlite:{path}", connection.execute)
                    connection.execute(fault)
                self.assertEqual(bool(self.check(database)), bool(what), self.check(database))

    def test_postgres(self):
        sys.path.insert(0, os.path.join(ROOT, "test", "e2e"))
        from postgres import Postgres
        with Postgres() as server:
            for what, fault in {"": "SELECT 1", **FAULTS}.items():
                with self.subTest(fault=what):
                    server.query("DROP SCHEMA IF EXISTS public CASCADE; CREATE SCHEMA public")
                    script: list = []
                    database = Database(server.url(), script.append)
                    server.query(";".join([*script, fault]))
                    self.assertEqual(bool(self.check(database)), bool(what), self.check(database))
            server.query("CREATE TABLE times(a timestamptz, b text); CREATE TABLE times_rejects(uri text, reason text, "
                         "seq bigint);"
                         "INSERT INTO times VALUES('2024-11-05 14:00:00.5+02', '2024-11-05T14:00:00+02:00'), (NULL, "
                         "E'\U0010FFFF')")
            self.assertEqual(view_tables.read(server.url(), "times", []).rows,
                             [["2024-11-05T12:00:00.500000Z", "2024-11-05T14:00:00+02:00"], [None, "\U0010ffff"]])

    def test_an_added_column(self):
        added = view_rows.Added(VIEWS["likes"], "added", "/createdAt")
        self.assertEqual(added.columns[0], ("added", "text"))
        self.assertEqual(added.rows({"subject": {"uri": POST}, "createdAt": "x"}, None, {})[0][:2], ["x", POST])


class Program(unittest.TestCase):
    """From a real store, by its exit codes."""

    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(RealServer())

    def ask(self, *words) -> tuple:
        out = io.StringIO()
        return fold_views.main(["--url", self.server.url, *words], out), out.getvalue()

    def test_from_the_store_to_the_verdict(self):
        nats = self.enterContext(nats_wire.Connection(self.server.url))
        make_bucket(nats)
        for key, found in STORE.items():
            nats.request("$KV.record." + key, found.payload, found.headers)
        path = os.path.join(self.enterContext(tempfile.TemporaryDirectory()), "views.db")
        words = ["--database", path, "--views", "likes,profiles"]
        self.assertEqual(self.ask(*words)[0], 3)
        connection = self.enterContext(closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)))
        Database(path, connection.execute)
        self.assertEqual(self.ask(*words)[0], 0)
        connection.execute("DELETE FROM likes WHERE rkey = 'one'")
        code, said = self.ask(*words)
        self.assertEqual(code, 1)
        self.assertIn("likes: row missing", said)
        timer = threading.Timer(0.5,
                                lambda: connection.execute(f"INSERT INTO likes VALUES('{DID}', '{LIKE}', 'one', "
                                                           f"'{POST}', '{OTHER}', 'app.bsky.feed.post', "
                                                           "'3k5nobkf2w72g', NULL, NULL)"))
        timer.start()
        self.assertEqual(self.ask(*words, "--wait", "20")[0], 0)
        timer.join()
        connection.execute("DELETE FROM likes")
        connection.executemany("INSERT INTO likes(did, collection, rkey) VALUES('x', 'y', ?)",
                               [(n,) for n in range(100)])
        self.assertIn("and 83 more", self.ask(*words)[1])  # 3 that are missing, 100 too many; 20 are shown

    def test_wrong_words_and_no_server(self):
        self.assertEqual(self.ask("--database", "x", "--views", "likes,nothing")[0], 2)
        self.assertEqual(fold_views.main(["--url", "nats://127.0.0.1:1", "--database", "x"], io.StringIO()), 3)


if __name__ == "__main__":
    unittest.main()
