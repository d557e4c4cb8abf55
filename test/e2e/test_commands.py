"""The command line on a real server: what it prints, its exit codes (0 done, 1 no, 2 usage, 3 unreachable), its errors.

Owns: records by hand, the likes view asked, status, reset. How it refuses what it can't work with: test_refusals.py.
"""

import json
import os
import re
import signal
import sqlite3
import unittest

import rig as support
from rig import Rig, program, wait_for

import dag_cbor

ME, OTHER = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", "did:web:example.com"
POST = f"at://{OTHER}/app.bsky.feed.post/3k5nobkf2w72g"
LIKE = f"at://{ME}/app.bsky.feed.like/3kaaaaaaaaa22"
PROFILE = f"at://{ME}/app.bsky.actor.profile/self"
CID = "bafyreiclp443lavogvhj3d2ob2cxbfuscni2k5jk7bebjzg7khl3esabwq"
RECORD = {"$type": "app.bsky.feed.like", "subject": {"uri": POST, "cid": CID}, "createdAt": "2024-11-05T12:00:00.000Z"}


class CommandTest(unittest.TestCase):
    def ask(self, rig: Rig, code: int, *words, stdin: str = "") -> str:
        """What a command prints that must end with `code`. An error is one line; an empty answer may say nothing."""
        done = rig.command(*words, stdin=stdin)
        self.assertEqual(done.returncode, code, f"{words}: {done.stdout}{done.stderr}")
        lines = done.stderr.splitlines()
        self.assertLessEqual(len(lines), 1, done.stderr)
        for line in lines:
            self.assertTrue(line.startswith("recordkv: "), line)
        if code >= 2:
            self.assertEqual(len(lines), 1, f"{words} says nothing")
        self.said = done.stderr
        return done.stdout

    def served(self, rig: Rig, stages: str = "ingest,kv,index"):
        rig.nats()
        rig.simulator("--events", 2000, "--accounts", 50)
        part = rig.recordkv(stages)
        wait_for("the likes view exists", lambda: os.path.exists(rig.path("state", "likes.db")))
        wait_for("all is folded", lambda: rig.report("view-likes").get("events", 0) > 0 and rig.drained())
        if set(stages.split(",")) == {"ingest", "kv", "index"}:
            wait_for("each has said that it runs", lambda: rig.command("status", "--quiet").returncode == 0)
        return part


class RecordTest(CommandTest):
    def test_put_get_ls_del(self):
        with Rig() as rig:
            rig.nats()
            text = json.dumps(RECORD)
            self.ask(rig, 1, "get", LIKE)
            self.ask(rig, 0, "put", LIKE, text)
            self.assertEqual(json.loads(self.ask(rig, 0, "get", LIKE)), RECORD)
            meta = json.loads(self.ask(rig, 0, "get", LIKE, "--meta"))
            self.assertEqual(meta["uri"], LIKE)
            self.assertEqual(meta["cid"], dag_cbor.cid(RECORD))
            self.assertEqual(meta["rev"], "")
            self.assertEqual(meta["value"], RECORD)
            self.assertRegex(meta["key"], r"^[0-9a-f]\.app\.bsky\.feed\.like\.did/3Aplc/3Aa{24}\.3kaaaaaaaaa22$")
            self.assertEqual(meta["seq"], 1)
            self.ask(rig, 0, "put", PROFILE, "-", stdin='{"displayName":"ä"}\n')
            self.assertEqual(self.ask(rig, 0, "get", PROFILE), '{"displayName":"ä"}\n')
            self.assertEqual(sorted(self.ask(rig, 0, "ls", ME).split()), [PROFILE, LIKE])
            self.assertEqual(self.ask(rig, 0, "ls", ME, "app.bsky.feed.like").split(), [LIKE])
            self.assertEqual(self.ask(rig, 1, "ls", ME, "app.bsky.feed"), "")
            self.assertEqual(self.ask(rig, 1, "ls", OTHER), "")
            self.ask(rig, 0, "del", LIKE)
            self.ask(rig, 1, "get", LIKE)
            self.assertIn("deleted", self.said)
            self.ask(rig, 1, "del", LIKE)
            self.assertEqual(self.ask(rig, 0, "ls", ME).split(), [PROFILE])

    def test_stored_bytes_are_the_contract(self):
        """A value is the bare record, a delete a DEL marker without payload."""
        with Rig() as rig:
            rig.nats()
            self.ask(rig, 0, "put", LIKE, ' {"a" : 1}')
            self.assertEqual(json.loads(self.ask(rig, 0, "get", LIKE)), {"a": 1})
            self.ask(rig, 0, "del", LIKE)
            (_, headers, payload, _), = support.nats_wire.read_stream(rig.url, "KV_record")
            self.assertEqual((headers["KV-Operation"], headers["op"], payload), ("DEL", "delete", b""))

    def test_what_is_no_record_or_place(self):
        with Rig() as rig:
            rig.nats()
            for words in (("put", LIKE, "{"), ("put", LIKE, "[1]"), ("put", LIKE, '{"a":1.5}'), ("put", LIKE),
                          ("put", "at://x"), ("get", f"at://{ME}"), ("get", f"at://{ME}/app.bsky.feed.like"),
                          ("get", "https://example.com"), ("get", "at://jay.example.com/app.bsky.feed.like/a"),
                          ("del", f"at://{ME}/nodots/a"), ("ls", "jay.example.com"), ("ls", ME, "like"),
                          ("likes", "--by", POST), ("likes", "--of", ME)):
                with self.subTest(words=words):
                    self.ask(rig, 2, *words)

    def test_wrong_usage(self):
        with Rig() as rig:
            for words in (("frobnicate",), ("get",), ("get", LIKE, "--frobnicate"), ("config", "burn"), ("--stages",)):
                done = rig.command(*words)
                self.assertEqual(done.returncode, 2, f"{words}: {done.stderr}")
                self.assertTrue(done.stderr, words)
            for name in ("run", "up", "init", "get", "ls", "put", "del", "wait", "likes", "query", "view", "tail",
                         "frames", "status", "reset", "config"):
                done = rig.command(name, "--help")
                self.assertEqual(done.returncode, 0, name)
                self.assertIn("Example:\n  recordkv", done.stdout, name)


class LikesTest(CommandTest):
    def test_by_hand_into_the_view(self):
        with Rig() as rig:
            self.served(rig)
            self.ask(rig, 1, "likes", "--by", ME)
            self.ask(rig, 0, "put", LIKE, json.dumps(RECORD))
            wait_for("the like is in the view", lambda: rig.command("likes", "--by", ME).returncode == 0)
            self.assertEqual(self.ask(rig, 0, "likes", "--by", ME), POST + "\n")
            self.assertEqual(self.ask(rig, 0, "likes", "--of", POST), f"{ME}  {LIKE}\n")
            self.assertEqual(self.ask(rig, 0, "likes", stdin=f"{ME}\n{POST}\n"), f"{POST}\n{ME}  {LIKE}\n")
            self.assertEqual(self.ask(rig, 0, "likes", stdin=f"{OTHER}\n\n{POST}\n"), f"{ME}  {LIKE}\n")
            self.ask(rig, 1, "likes", stdin=f"{OTHER}\n")
            self.ask(rig, 2, "likes", stdin="hello\n")
            row = json.loads(self.ask(rig, 0, "likes", "--by", ME, "--json"))
            self.assertEqual((row["did"], row["rkey"], row["subject"]), (ME, "3kaaaaaaaaa22", POST))
            self.ask(rig, 0, "put", LIKE, json.dumps({**RECORD, "subject": {"uri": LIKE}}))
            wait_for("the update is in the view", lambda: rig.command("likes", "--of", LIKE).returncode == 0)
            self.ask(rig, 1, "likes", "--of", POST)
            self.ask(rig, 0, "del", LIKE)
            wait_for("the like has left the view", lambda: rig.command("likes", "--by", ME).returncode == 1)

    def test_read_your_own_writes_where_no_view_is_kept(self):
        with Rig() as rig:
            rig.settings["index.views"] = []
            rig.nats()
            self.ask(rig, 0, "put", LIKE, json.dumps(RECORD), "--wait")
            self.ask(rig, 0, "wait")
            self.ask(rig, 2, "wait", "--view", "likes")
            self.assertIn('there is no view "likes"', self.said)

    def test_answers_are_the_table(self):
        with Rig() as rig:
            self.served(rig)
            rig.check_store(30)
            with sqlite3.connect(rig.path("state", "likes.db")) as database:
                rows = database.execute("SELECT subject, count(*) FROM likes GROUP BY 1 ORDER BY 2 DESC")
                subject, count = rows.fetchone()
            self.assertEqual(len(self.ask(rig, 0, "likes", "--of", subject).splitlines()), count)
            done = rig.command("likes", "--of", subject, "--limit", "1")
            self.assertEqual((done.returncode, len(done.stdout.splitlines())), (0, 1))
            self.assertIn("--limit", done.stderr)

    def test_without_a_view(self):
        with Rig() as rig:
            done = rig.command("likes", "--by", ME)
            self.assertIn(done.returncode, (1, 2), done.stderr)
            self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)


class StatusTest(CommandTest):
    def test_all_well(self):
        with Rig() as rig:
            part = self.served(rig)
            told = json.loads(self.ask(rig, 0, "status", "--json"))
            self.assertEqual([s["key"] for s in told["stages"]], ["ingest", "kv", "view-likes"])
            self.assertEqual({s["state"] for s in told["stages"]}, {"running"})
            self.assertEqual({s["pid"] for s in told["stages"]}, {part.process.pid})
            self.assertEqual(told["store"]["keys"], rig.stream("KV_record")["messages"])
            self.assertEqual(told["nats"]["url"], rig.url)
            text = self.ask(rig, 0, "status")
            for word in ("ingest", "kv", "view-likes", "store", "buffer", "running"):
                self.assertIn(word, text)
            part.kill()
            wait_for("the lease is over", lambda: rig.command("status").stdout.count("NOT RUNNING") == 3, 30, every=0.5)
            self.ask(rig, 1, "status")

    def test_watch(self):
        """A live view: rates appear from the second picture on; it ends with its reader."""
        with Rig() as rig:
            self.served(rig)
            rig.write_config()
            command = [program("RECORDKV", "recordkv"), "--config", rig.config, "status", "--watch"]
            live = rig.add("watch", command)
            wait_for("the third picture", lambda: live.text().count("events/s") >= 3, 30)
            picture = live.text().split("events/s")[2]
            for words in ("ingest ", " buffer ", "kv ", "view-likes ", "running"):
                self.assertIn(words, picture)
            live.kill()

    def test_nothing_there(self):
        with Rig() as rig:
            rig.nats()
            self.assertIn("none", self.ask(rig, 1, "status"))
            told = json.loads(self.ask(rig, 1, "status", "--json"))
            self.assertEqual((told["stages"], told["missing"]), ([], ["ingest", "kv", "view-likes"]))
            self.assertEqual(self.ask(rig, 1, "status", "--quiet"), "")

    def test_stalled_stage_says_since_when_and_why(self):
        with Rig(**{"ingest.max_msgs": 500}) as rig:
            rig.nats()
            rig.simulator("--events", 20_000, "--accounts", 50)
            kv, _ = rig.recordkv("kv,index"), rig.recordkv("ingest")
            wait_for("records arrive", lambda: rig.stream("KV_record")["messages"] > 0)
            kv.kill()
            wait_for("ingest stalls", lambda: rig.report("ingest").get("state") == "stalled")
            told = json.loads(self.ask(rig, 1, "status", "--json"))
            ingest, = (s for s in told["stages"] if s["key"] == "ingest")
            self.assertEqual(ingest["state"], "stalled")
            self.assertRegex(ingest["stalled_since"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
            self.assertIn("the buffer takes nothing: ", ingest["reason"])
            self.assertTrue(told["buffer"]["full"])
            # What the server says alternates while the first message behind a refused one is tried again.
            wait_for("status says why",
                     lambda: re.search(r"ingest +STALLED since \S+: the buffer takes nothing: .*maximum",
                                      self.ask(rig, 1, "status")))


class ResetTest(CommandTest):
    def test_removes_what_is_ours_and_nothing_else(self):
        with Rig() as rig:
            part = self.served(rig)
            rig.api("STREAM.CREATE.theirs", name="theirs", subjects=["theirs.>"])
            self.ask(rig, 1, "reset", "--yes")
            self.assertIn("is running", self.said)
            self.assertEqual(part.stop(), 0)
            listed = self.ask(rig, 1, "reset")
            for name in ("ingest", "KV_record", "KV_cursor", "KV_repo", "KV_lock", "likes.db"):
                self.assertIn(name, listed)
            self.assertGreater(rig.stream("KV_record")["messages"], 0)
            self.ask(rig, 0, "reset", "--yes")
            self.assertEqual(rig.api("STREAM.NAMES")["streams"], ["theirs"])
            self.assertEqual([f for f in os.listdir(rig.path("state")) if f.startswith("likes.db")], [])
            self.ask(rig, 0, "reset", "--yes")
            part.start()
            rig.check_store(30)

    def test_a_bucket_that_was_there_is_left(self):
        with Rig() as rig:
            rig.nats()
            rig.api("STREAM.CREATE.KV_record", name="KV_record", subjects=["$KV.record.>"], max_msgs_per_subject=1,
                    discard="new", allow_direct=True, allow_rollup_hdrs=True, deny_delete=True, num_replicas=1)
            rig.simulator("--events", 2000, "--accounts", 50)
            part = rig.recordkv()
            rig.check_store(30)
            part.stop()
            self.ask(rig, 0, "reset", "--yes")
            self.assertEqual(rig.api("STREAM.NAMES")["streams"], ["KV_record"])
            self.assertEqual(rig.api("CONSUMER.NAMES.KV_record")["consumers"], [])

    def test_who_stood_by_meanwhile_begins_anew(self):
        with Rig() as rig:
            rig.nats()
            rig.simulator("--events", 2000, "--accounts", 50)
            first = rig.recordkv("ingest", "first")
            wait_for("the first one runs", lambda: rig.report("ingest").get("state") == "running")
            heir = rig.recordkv("ingest", "heir")
            wait_for("the other stands by", lambda: "standing by" in heir.text())
            heir.process.send_signal(signal.SIGSTOP)
            first.kill()
            wait_for("its lease is over", lambda: rig.command("reset", "--yes").returncode == 0, every=0.5)
            self.assertEqual(rig.api("STREAM.NAMES")["streams"] or [], [])
            heir.process.send_signal(signal.SIGCONT)
            wait_for("it follows", lambda: rig.report("ingest").get("pid") == heir.process.pid)
            rig.recordkv("kv,index")
            rig.check_store(30)
            wait_for("its cursor is kept", lambda: rig.stream("KV_cursor")["messages"] == 1)


if __name__ == "__main__":
    unittest.main()
