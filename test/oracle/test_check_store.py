"""The checker finds what it is there to find: every kind of fault is planted once."""

import io
import json
import pathlib
import sqlite3
import tempfile
import threading
import unittest

import check_store
import dag_cbor
import nats_wire
from real_server import RealServer, make_bucket

DID = "did:plc:l3rouwludahu3ui3bt66mfvj"
LIKE = {"$type": "app.bsky.feed.like", "subject": {"cid": "c", "uri": "at://x"}, "big": 2**53 + 1, "flag": 1}
TIME_US = 1_767_225_600_000_487


class Line:
    """One key of the truth, and the message a faultless mirror would have written."""

    def __init__(self, collection, rkey, record, op="create", rev="3mbd353yrh6d3"):
        self.uri, self.op, self.rev = f"at://{DID}/{collection}/{rkey}", op, rev
        self.key = f"1.{collection}.{DID.replace(':', '/3A')}.{rkey}"
        self.live = record is not None
        self.cid = dag_cbor.cid(record) if self.live else ""
        self.payload = json.dumps(record).encode() if self.live else b""
        self.headers = {"rev": rev, "op": op, "time": "2026-01-01T00:00:00.000487Z"}
        self.headers |= {"cid": self.cid} if self.live else {"KV-Operation": "DEL"}

    def truth(self):
        state = "live" if self.live else "deleted"
        return "\t".join([self.key, state, self.uri, self.cid, self.rev, self.op, str(TIME_US), self.payload.decode()])


def faultless():
    return [
        Line("app.bsky.feed.like", "3k5nobkf2w72g", LIKE),
        Line("app.bsky.feed.like", "3k5nobkf2w72h", {"$type": "app.bsky.feed.like", "subject": {"uri": 42}}),
        Line("app.bsky.feed.like.extra", "_", {"subject": {"uri": "at://no/row"}}),
        Line("app.bsky.feed.post", "3k5nobkf2w72i", {"text": "é 😀\n", "n": [None, True, {}]}, op="update"),
        Line("app.bsky.feed.like", "3k5nobkf2w72j", None, op="delete"),
    ]


class CheckStore(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(RealServer())

    def setUp(self):
        self.directory = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.truth = self.directory / "truth.tsv"
        self.truth.write_text("# a comment\n" + "".join(line.truth() + "\n" for line in faultless()))
        self.nats = self.enterContext(nats_wire.Connection(self.server.url))
        make_bucket(self.nats)
        self.addCleanup(lambda: self.nats.api("STREAM.DELETE.KV_record"))
        for line in faultless():
            self.put(line)

    def put(self, line, **headers):
        self.nats.request("$KV.record." + line.key, line.payload, line.headers | headers)

    def check(self, *more):
        out = io.StringIO()
        code = check_store.main(["--url", self.server.url, "--truth", str(self.truth), "--cids", *more], out)
        return code, out.getvalue()

    def assert_fault(self, kind, *more):
        code, text = self.check(*more)
        self.assertEqual(code, 1, text)
        self.assertRegex(text, f"(?m)^{kind}: 1$")
        return text

    def likes(self, rows):
        path = self.directory / "likes.db"
        with sqlite3.connect(path) as database:
            database.execute("CREATE TABLE likes (did, collection, rkey, subject)")
            database.executemany("INSERT INTO likes VALUES (?, 'app.bsky.feed.like', ?, ?)", rows)
        database.close()
        return "--sqlite", str(path)

    def test_equal(self):
        code, text = self.check()
        self.assertEqual((code, text), (0, "EQUAL: live keys 4, delete markers 1, deleted without marker 0\n"))

    def test_the_same_value_in_another_text(self):
        line = faultless()[0]
        line.payload = json.dumps(dict(reversed(LIKE.items())), indent=1).encode()
        self.put(line)
        self.assertEqual(self.check()[0], 0)

    def test_one_missing(self):
        self.nats.api("STREAM.PURGE.KV_record", filter="$KV.record." + faultless()[0].key)
        self.assertIn("3k5nobkf2w72g", self.assert_fault("missing"))

    def test_one_deleted_that_lives(self):
        self.put(Line("app.bsky.feed.like", "3k5nobkf2w72g", None, op="delete", rev="4"))
        self.assert_fault("missing")

    def test_one_stale(self):
        self.put(Line("app.bsky.feed.post", "3k5nobkf2w72i", {"text": "before"}, rev="3"))
        self.assert_fault("different")

    def test_one_extra(self):
        self.put(Line("app.bsky.feed.post", "invented", {}))
        self.assert_fault("extra")

    def test_one_resurrected(self):
        self.put(Line("app.bsky.feed.like", "3k5nobkf2w72j", LIKE))
        self.assert_fault("resurrected")

    def test_true_is_not_one_and_no_digit_is_lost(self):
        for record in (LIKE | {"flag": True}, LIKE | {"big": 2**53}, LIKE | {"flag": 1.0}):
            line = faultless()[0]
            line.payload = json.dumps(record).encode()
            self.put(line)
            self.assertRegex(self.check_without_cids(), "(?m)^different: 1$")

    def check_without_cids(self):
        out = io.StringIO()
        check_store.main(["--url", self.server.url, "--truth", str(self.truth)], out)
        return out.getvalue()

    def test_a_delete_is_nothing_but_del(self):
        line = faultless()[4]
        self.put(line, **{"KV-Operation": "PURGE"})
        self.assert_fault("bad delete")
        line.payload = b"null"
        self.put(line)
        self.assert_fault("bad delete")

    def test_headers(self):
        wrong = {"cid": dag_cbor.cid({}), "rev": "3mbd353yrh6d2", "op": "update", "time": "2026-01-01T00:00:00Z ago"}
        for name, value in wrong.items():
            self.put(faultless()[0], **{name: value})
            self.assertIn(f"header {name}", self.assert_fault("header"))
            self.assertEqual(self.check("--no-headers")[0], 1 if name == "cid" else 0)
        self.put(faultless()[0], time="2026-01-01T00:00:00.000Z")  # the same time, told less exactly
        self.assertEqual(self.check()[0], 0)

    def test_a_value_that_is_not_its_cid(self):
        text = self.truth.read_text().replace(dag_cbor.cid(LIKE), dag_cbor.cid({}))
        self.truth.write_text(text)
        self.put(faultless()[0], cid=dag_cbor.cid({}))
        self.assert_fault("cid")

    def test_a_value_that_is_no_json(self):
        line = faultless()[0]
        line.payload = b'{"subject":'
        self.put(line)
        self.assert_fault("cid", *self.likes([]))

    def test_collections(self):
        for line in faultless()[2:4]:
            self.nats.api("STREAM.PURGE.KV_record", filter="$KV.record." + line.key)
        self.assertEqual(self.check()[0], 1)
        self.assertEqual(self.check("--collection", "app.bsky.feed.like")[0], 0)
        self.assertEqual(self.check("--collection", "app.bsky.feed.*")[0], 1)

    def test_likes(self):
        right = (DID, "3k5nobkf2w72g", "at://x")
        self.assertEqual(self.check(*self.likes([right]))[0], 0)

    def test_likes_missing(self):
        self.assert_fault("likes row missing", *self.likes([]))

    def test_likes_extra(self):
        right, deleted = (DID, "3k5nobkf2w72g", "at://x"), (DID, "3k5nobkf2w72j", "at://x")
        self.assert_fault("likes row extra", *self.likes([right, deleted]))

    def test_likes_different(self):
        self.assert_fault("likes row different", *self.likes([(DID, "3k5nobkf2w72g", "at://y")]))

    def test_waiting_for_a_fact(self):
        late = faultless()[0]
        self.nats.api("STREAM.PURGE.KV_record", filter="$KV.record." + late.key)
        self.assertEqual(self.check("--wait", "0.5")[0], 1)
        timer = threading.Timer(1, lambda: self.put(late))
        timer.start()
        self.assertEqual(self.check("--wait", "20")[0], 0)
        timer.join()

    def test_no_bucket_and_no_server(self):
        self.assertEqual(self.check("--bucket", "absent")[0], 3)
        self.assertEqual(check_store.main(["--url", "nats://127.0.0.1:1", "--truth", str(self.truth)]), 3)


class Cid(unittest.TestCase):
    def test_known(self):
        # the empty map and the number 1 are textbook values of DAG-CBOR
        self.assertEqual(dag_cbor.cid({}), "bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua")
        self.assertEqual(dag_cbor.encode({"bb": -25, "a": [1, None, True], "c": {"$bytes": "AP8"}}).hex(),
                         "a361618301f6f561634200ff6262623818")


if __name__ == "__main__":
    unittest.main()
