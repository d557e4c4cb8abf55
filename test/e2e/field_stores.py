"""Stores as people treat them: their consumers edited, their settings changed, their creation time moved by the server,
two of them in one account, a name mistyped.

Owns: what users see of that. Does not know: how an edit is noticed (test/nats/pull_consumer.cpp), what tells one
store from another (test/nats/store_meta.cpp).
"""

import base64
import json
import unittest

from histories import Writer
from record_place import Place, key_of
from rig import Rig, wait_for
from test_tail import Tail

LIKE = "app.bsky.feed.like"
NAMES = "234567abcdefghijklmnopqrstuvwxyz"
ACCOUNTS = ["did:plc:" + (a + b) * 12 for a in NAMES[:8] for b in NAMES[:5]]


def likes(first: int, count: int) -> list:
    record = {"$type": LIKE, "subject": {"uri": "at://did:plc:a/app.bsky.feed.post/1", "cid": "b"},
              "createdAt": "2024-01-01T00:00:00Z"}
    return [(key_of(Place(ACCOUNTS[n % len(ACCOUNTS)], LIKE, str(n))), {}, json.dumps(record).encode())
            for n in range(first, first + count)]


def rows(rig: Rig) -> int:
    done = rig.command("query", "likes", "--limit", "10000", "--json")
    return len(done.stdout.splitlines()) if done.returncode == 0 else -1


def running(rig: Rig, *parts: str):
    wait_for("it runs", lambda: all(rig.report(p).get("state") == "running" for p in parts))


def edit(rig: Rig, stream: str, durable: str, **changes) -> None:
    config = rig.api(f"CONSUMER.INFO.{stream}.{durable}")["config"]
    rig.api(f"CONSUMER.DURABLE.CREATE.{stream}.{durable}", stream_name=stream, config=config | changes)


def update(rig: Rig, stream: str, **changes) -> None:
    rig.api(f"STREAM.UPDATE.{stream}", **(rig.api(f"STREAM.INFO.{stream}")["config"] | changes))


def meta(rig: Rig) -> dict:
    return json.loads(base64.b64decode(rig.api("STREAM.MSG.GET.KV_repo",
                                               last_by_subj="$KV.repo.meta")["message"]["data"]))


class EditedConsumerTest(unittest.TestCase):
    def test_a_view_has_every_row(self):
        with Rig() as rig:
            rig.nats()
            process = rig.recordkv("kv,index")
            running(rig, "kv", "view-likes")
            writer = Writer(rig.url)
            writer.write(likes(0, 500))
            wait_for("500 rows", lambda: rows(rig) == 500)
            edit(rig, "KV_record", "view-likes",
                 filter_subject=f"$KV.record.{key_of(Place(ACCOUNTS[0], LIKE, '1'))[0]}.{LIKE}.*.*")
            writer.write(likes(500, 100))
            wait_for("the position has moved past those that the filter kept out", lambda: rows(rig) > 500)
            process.kill()  # noticed or not
            process.start()
            running(rig, "view-likes")
            writer.write(likes(600, 100))
            wait_for("700 rows", lambda: rows(rig) == 700, 40)
            self.assertEqual(rig.command("wait", seconds=40).returncode, 0)
            self.assertIn("was edited by another program", process.text())
            writer.close()
            self.assertEqual(process.stop(), 0)

    def reader_has_every_record(self, end) -> None:
        with Rig() as rig:
            rig.nats()
            process = rig.recordkv("kv")
            running(rig, "kv")
            writer = Writer(rig.url)
            writer.write(likes(0, 50))
            words = ("--durable", "mine", LIKE)
            with Tail(rig, *words) as tail:
                tail.read_until("50 lines", lambda lines: len(lines) >= 50)
                edit(rig, "KV_record", "mine",
                     filter_subject=f"$KV.record.{key_of(Place(ACCOUNTS[0], LIKE, '1'))[0]}.{LIKE}.*.*")
                writer.write(likes(50, 100))
                tail.read_until("some of the others", lambda lines: len(lines) > 50)
                end(tail)
                while tail.read():
                    pass
                seen = {line["uri"] for line in tail.lines}
            with Tail(rig, *words) as tail:
                tail.read_until("the rest", lambda lines: len(seen | {line["uri"] for line in lines}) == 150)
            writer.close()
            self.assertEqual(process.stop(), 0)

    def test_a_reader_that_is_killed_before_it_notices_misses_nothing(self):
        # its lines are still to be read
        self.reader_has_every_record(lambda tail: (tail.process.kill(), tail.process.wait(10)))

    def test_a_reader_ends_and_goes_on_where_all_was_proven(self):
        def ended(tail):
            wait_for("it ends", lambda: tail.process.poll() is not None, 40, meanwhile=tail.read)
            self.assertNotEqual(tail.process.returncode, 0)
        self.reader_has_every_record(ended)

    def test_the_buffer_empties(self):
        with Rig() as rig:
            rig.nats()
            process = rig.recordkv("kv")
            running(rig, "kv")
            edit(rig, "ingest", "kv", filter_subject="ingest.1")
            rig.simulator("--events", 2000, "--rate", 0, "--accounts", 100)
            ingest = rig.recordkv("ingest")
            wait_for("everything is in the store", lambda: "was edited" in process.text() and rig.drained(), 40)
            self.assertEqual(ingest.stop(), 0)
            self.assertEqual(process.stop(), 0)


class ChangedSettingsTest(unittest.TestCase):
    def test_what_breaks_the_contract_is_a_stall_with_both_values(self):
        with Rig() as rig:
            rig.nats()
            process = rig.recordkv("kv")
            running(rig, "kv")
            for stream, changes, said in (("KV_record", {"max_age": 3600 * 10**9, "duplicate_window": 10**9},
                                           "max_age is 3600000000000, must be 0"),
                                          ("ingest", {"max_age": 3600 * 10**9, "duplicate_window": 10**9},
                                           "max_age is 3600000000000, must be 0"),
                                          ("KV_lock", {"max_msgs_per_subject": 5},
                                           "max_msgs_per_subject is 5, must be 1")):
                with self.subTest(stream):
                    good = rig.api(f"STREAM.INFO.{stream}")["config"]
                    update(rig, stream, **changes)
                    wait_for("the stall", lambda: said in rig.report("kv").get("reason", ""), 40)
                    self.assertIn(stream, rig.report("kv")["reason"])
                    rig.api(f"STREAM.UPDATE.{stream}", **good)
                    wait_for("it ends", lambda: rig.report("kv").get("state") == "running", 40)
            self.assertEqual(process.stop(), 0)


class CreationTimeTest(unittest.TestCase):
    def test_a_store_whose_creation_time_has_changed_goes_on(self):
        with Rig() as rig:
            rig.nats()
            process = rig.recordkv("kv,index")
            writer = Writer(rig.url)
            running(rig, "kv", "view-likes")
            writer.write(likes(0, 50))
            wait_for("50 rows", lambda: rows(rig) == 50)
            now = wait_for("samples are noted", lambda: meta(rig).get("samples") and meta(rig), 40)
            self.assertEqual(process.stop(), 0)
            rig.api("STREAM.INFO.KV_repo")
            changed = json.dumps(now | {"created": "2025-01-01T00:00:00Z"}).encode()
            writer.nats.publish("$KV.repo.meta", changed)
            wait_for("the store is called otherwise", lambda: meta(rig)["created"].startswith("2025"))
            process.start()
            running(rig, "kv", "view-likes")
            wait_for("it is noted", lambda: meta(rig)["created"] == now["created"], 40)
            writer.write(likes(50, 50))
            wait_for("100 rows", lambda: rows(rig) == 100)
            self.assertNotIn("rebuilding from its first key", process.text())
            writer.close()
            self.assertEqual(process.stop(), 0)


class TwoStoresTest(unittest.TestCase):
    def names(self, rig: Rig) -> set:
        return set(rig.api("STREAM.NAMES")["streams"] or [])

    def test_two_live_in_one_account_and_a_mistyped_name_harms_none(self):
        uri = f"at://{ACCOUNTS[0]}/{LIKE}/1"
        with Rig() as rig:
            rig.nats()
            first = rig.recordkv("kv", name="first")
            second = rig.recordkv("kv", name="second", sets=("kv.bucket=other",))
            wait_for("both run", lambda: {"KV_record", "ingest", "KV_lock", "KV_other", "other_ingest",
                                          "KV_other_lock"} <= self.names(rig))
            running(rig, "kv")
            refused = rig.command("reset", "--yes")
            self.assertEqual(refused.returncode, 1)
            self.assertIn("is running", refused.stderr)
            self.assertEqual(rig.command("put", uri, "{}").returncode, 0)
            self.assertEqual(first.stop(), 0)
            self.assertEqual(second.stop(), 0)
            before = self.names(rig)
            wrong = ("--set", "kv.bucket=recrod")
            refused = rig.command(*wrong, "put", uri, "{}")
            self.assertNotEqual(refused.returncode, 0)
            self.assertIn("record", refused.stderr)
            self.assertNotIn("reset", refused.stderr)
            done = rig.command(*wrong, "reset", "--yes")
            self.assertIn("recordkv has made nothing here for bucket recrod", done.stdout)
            self.assertEqual(self.names(rig), before)
            self.assertEqual(rig.command("--set", "kv.bucket=other", "reset", "--yes").returncode, 0)
            self.assertFalse({n for n in self.names(rig) if "other" in n}, "something of the second store is left")
            self.assertEqual(rig.command("get", uri).returncode, 0, "the first store is harmed")


if __name__ == "__main__":
    unittest.main()
