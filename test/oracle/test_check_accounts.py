"""The checker of accounts finds what it is there to find: every kind of lie is planted once."""

import json
import unittest

from check_accounts import Mirror, Truth, check
from check_store import Fact, Found
from record_place import Place, key_of
import dag_cbor

DID = "did:plc:l3rouwludahu3ui3bt66mfvj"
POST = "app.bsky.feed.post"
FIRST, SECOND, THIRD = "3mbd353yrh6d3", "3mbd353yrh6d4", "3mbd353yrh6d5"
TIME_US, TIME = 1_767_225_600_000_487, "2026-01-01T00:00:00.000487Z"


class Scene:
    """An account with two posts, and a mirror that has both; each test changes something."""

    def __init__(self):
        self.account = {"did": DID, "handle": "u1.sim.test", "pds": "http://127.0.0.1:1", "key": "zKey",
                        "status": "active", "rev": SECOND, "data": "bTree"}
        self.state = {"did": DID, "status": "synchronised", "rev": SECOND, "data": "bTree", "key": "zKey",
                      "pds": "http://127.0.0.1:1", "handle": "u1.sim.test", "verified": True, "complete": True,
                      "begun": FIRST}
        self.injected, self.facts, self.store = [], {}, {}
        for rev in (FIRST, SECOND):
            self.fact(rev)
            self.found(rev)

    @staticmethod
    def record(rev: str) -> str:
        return json.dumps({"$type": POST, "text": f"post {rev}"})

    def fact(self, rev: str, op: str = "create") -> None:
        place, record = Place(DID, POST, rev), self.record(rev)
        self.facts[key_of(place)] = Fact(True, place.uri, dag_cbor.cid(json.loads(record)), rev, op, TIME_US, record)

    def found(self, rev: str, record: str = "") -> None:
        record = record or self.record(rev)
        headers = {"cid": dag_cbor.cid(json.loads(record)), "rev": rev, "time": TIME, "op": "create"}
        self.store[key_of(Place(DID, POST, rev))] = Found(headers, record.encode(), 1)

    def lose(self, rev: str) -> None:
        del self.store[key_of(Place(DID, POST, rev))]

    def fault(self, kind: str, rev: str = SECOND) -> None:
        self.injected.append({"kind": kind, "did": DID, "rev": rev})

    def mark(self, *reasons: str) -> None:
        self.state |= {"status": "desynchronised", "reasons": list(reasons)}

    def faults(self, quiet: bool = True) -> str:
        truth = Truth({DID: self.account}, self.injected, self.facts)
        report = check(truth, Mirror({DID: self.state} if self.state else {}, self.store), {DID} if quiet else set())
        return "\n".join(text for texts in report.faults.values() for text in texts)


class CheckAccounts(unittest.TestCase):
    def setUp(self):
        self.scene = Scene()

    def finds(self, text: str) -> None:
        self.assertIn(text, self.scene.faults())

    def test_what_is_equal(self):
        self.assertEqual(self.scene.faults(), "")

    def test_a_lost_record_of_an_untouched_account(self):
        self.scene.lose(SECOND)
        self.finds("missing")

    def test_a_lost_record_of_an_account_that_goes_on(self):
        self.scene.fault("forged")
        self.scene.lose(SECOND)
        self.finds("missing")

    def test_records_are_compared_from_the_beginning_on(self):
        self.scene.state |= {"complete": False, "begun": SECOND}
        self.scene.lose(FIRST)
        self.finds("is incomplete")
        self.scene.fault("gap", rev=FIRST)
        self.assertEqual(self.scene.faults(), "")

    def test_a_settled_record_that_the_stream_has_not_told(self):
        self.scene.fact(FIRST, op="settled")
        self.finds("extra")
        self.scene.lose(FIRST)
        self.scene.state |= {"complete": False, "begun": SECOND}
        self.assertEqual(self.scene.faults(), "")

    def test_false_records(self):
        for kind in ("forged", "future_rev"):
            self.scene.found(THIRD, f'{{"text":"{kind}","$type":"{POST}"}}')
            self.finds(f'"text":"{kind}"')

    def test_a_record_of_a_commit_with_a_bad_signature(self):
        self.scene.fault("wrong_key")
        self.scene.mark("gap")
        self.finds("never proved")
        self.scene.lose(SECOND)
        self.assertEqual(self.scene.faults(), "")

    def test_a_value_that_is_not_that_of_its_cid(self):
        self.scene.fault("gap", rev=THIRD)
        self.scene.mark("gap")
        key = key_of(Place(DID, POST, FIRST))
        self.scene.store[key] = self.scene.store[key]._replace(payload=b'{"text":"other"}')
        self.finds("not that of its CID")

    def test_marks(self):
        self.scene.mark("gap")
        self.finds("is marked for ['gap']")
        self.scene.fault("op_left_out", rev=THIRD)
        self.finds("op_left_out was not noticed")
        self.scene.mark("prev_data", "gap")
        self.assertEqual(self.scene.faults(), "")
        self.scene.state["status"] = "synchronised"
        self.finds("is synchronised with reasons")

    def test_a_fault_before_the_beginning_need_not_be_noticed(self):
        self.scene.fault("gap", rev=FIRST)
        self.scene.state |= {"complete": False, "begun": SECOND}
        self.scene.lose(FIRST)
        self.assertEqual(self.scene.faults(), "")

    def test_a_gap_may_be_named_by_the_commit_behind_it(self):
        self.scene.fault("gap", rev=THIRD)
        self.scene.mark("no_prev_data")
        self.finds("gap was not noticed")
        self.scene.fault("no_prev_data", rev=THIRD)
        self.assertEqual(self.scene.faults(), "")

    def test_a_rotation_costs_nothing_unless_the_mirror_lagged(self):
        self.scene.fault("rotation")
        self.scene.mark("gap")
        self.finds("is marked for ['gap']")
        self.assertEqual(self.scene.faults(quiet=False), "")

    def test_records_from_before_a_second_beginning(self):
        self.scene.fault("rotation")
        self.scene.state |= {"complete": False, "begun": SECOND}
        self.finds("extra")
        self.assertEqual(self.scene.faults(quiet=False), "")

    def test_each_field_of_the_state(self):
        for field in ("rev", "data", "key", "pds", "handle"):
            with self.subTest(field=field):
                self.scene = Scene()
                self.scene.state[field] = "other"
                self.finds(f"{field} is 'other'")
        self.scene.state["verified"] = False
        self.finds("is not verified")

    def test_an_account_without_a_state(self):
        self.scene.state = {}
        self.finds("has no state")

    def test_inactive_accounts(self):
        self.scene.account["status"] = "deleted"
        self.finds("upstream_status is None")
        self.scene.state["upstream_status"] = "deleted"
        self.assertEqual(self.scene.faults(), "")
        self.scene.account["status"] = "active"
        self.finds("is active")

    def test_an_account_that_does_not_exist(self):
        self.scene.account["did"] = "did:plc:other"
        truth = Truth({}, [], {})
        report = check(truth, Mirror({DID: self.scene.state}, self.scene.store))
        self.assertEqual(report.faults.keys(), {DID, "extra"})


if __name__ == "__main__":
    unittest.main()
