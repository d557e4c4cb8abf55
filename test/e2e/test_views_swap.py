"""The swap: readers ask a view once a millisecond, through rebuilds and a changed definition. Only the rows tell them.

Owns: the readers, what happens meanwhile, and the proof that tables were swapped while they read. The store only grows,
so a half-built table would show itself as a count below the one at the start, and an answer between two tables as an
error.
"""

import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
import unittest
from contextlib import closing

from histories import LIKE, Writer
from postgres import Postgres
from rig import HERE, SLOW, die_with_parent, plain_environment, wait_for
from views_rig import ADDED, ViewsRig

import view_tables
from record_place import Place, key_of

LIKES = int(os.environ.get("RECORDKV_SWAP_LIKES", "20000"))
KINDS = ["statement", "transaction", "row"]
DID, RKEY = "did:plc:l3rouwludahu3ui3bt66mfvj", "3kfirst"


def like(number: int) -> tuple:
    place = Place(DID if number == 0 else f"did:plc:{number % 500:a>24}", LIKE, RKEY if number == 0 else f"3k{number}")
    subject = f"at://did:plc:{number % 97:b>24}/app.bsky.feed.post/3k{number % 301}"
    record = {"$type": LIKE, "subject": {"uri": subject, "cid": "bafyrei"}, "createdAt": "2024-11-05T12:00:00.000Z"}
    return key_of(place), {"op": "create", "rev": "3k", "cid": "bafyrei",
                           "time": "2024-11-05T12:00:00.000Z"}, json.dumps(record).encode()


class Stream(threading.Thread):
    """More likes, without end: the view that is being rebuilt has a live end to catch up with."""

    def __init__(self, url: str):
        super().__init__(daemon=True)
        self.writer, self.number, self.ended = Writer(url), LIKES, threading.Event()
        self.start()

    def run(self) -> None:
        while not self.ended.wait(0.02):
            self.writer.write([like(self.number + n) for n in range(5)])
            self.number += 5

    def end(self) -> None:
        self.ended.set()
        self.join()
        self.writer.close()


class Readers:
    def __init__(self, rig: ViewsRig, floor: int):
        self.rig, self.ended, self.asked, self.wrong = rig, threading.Event(), 0, []
        words = [rig.database, "likes", "subject", str(floor), DID, RKEY]
        self.processes = [subprocess.Popen([sys.executable, "-B", os.path.join(HERE, "view_reader.py"), *words, kind],
                                           text=True,
                                           stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                           env=plain_environment(("RECORDKV_POSTGRES_BIN",)),
                                           preexec_fn=die_with_parent) for kind in KINDS]
        rig.write_config()
        self.thread = threading.Thread(target=self.query, daemon=True)
        self.thread.start()

    def query(self) -> None:
        """`recordkv query` is a reader, too, if a slow one."""
        while not self.ended.is_set():
            for words in (["likes", "--where", f"did={DID}"], ["likes_by_subject"]):
                done = subprocess.run([self.rig.program(), "--config", self.rig.config, "query", *words, "--limit", "1",
                                       "--json"], text=True,
                                      capture_output=True, cwd=self.rig.directory, env=plain_environment(), check=False)
                self.asked += 1
                if done.returncode != 0 or not done.stdout.strip():
                    said = f"exit code {done.returncode}: {done.stdout}{done.stderr}"
                    self.wrong.append(f"recordkv query {words}: {said}")

    def end(self) -> list:
        self.ended.set()
        self.thread.join()
        return [json.loads(process.communicate()[0].splitlines()[-1]) for process in self.processes]


class SwapTest(unittest.TestCase):
    def table(self, rig: ViewsRig, postgres: Postgres | None) -> str:
        """Something that another table of the same name does not have."""
        if postgres:
            return postgres.query("SELECT to_regclass('likes')::oid")
        with closing(sqlite3.connect(f"file:{rig.database}?mode=ro", uri=True, timeout=10)) as database:
            query = "SELECT rootpage FROM sqlite_master WHERE type = 'table' AND name = 'likes'"
            return str(database.execute(query).fetchall())

    def await_swap(self, rig: ViewsRig, postgres: Postgres | None, before: str, meanwhile=None) -> None:
        wait_for("another table bears the name", lambda: self.table(rig, postgres) != before, 60, every=0.01,
                 meanwhile=meanwhile)

    def rebuild(self, rig: ViewsRig, postgres: Postgres | None, crash: str = "") -> None:
        before = self.table(rig, postgres)
        if crash:
            rig.kill_index()
            rig.index(crash)
        done = rig.command("view", "rebuild", "likes")
        # 3: it says that no process keeps the view now
        self.assertIn(done.returncode, (0, 3) if crash else (0,), done.stderr)
        if crash:
            wait_for(f"it dies at {crash}", rig.died_by_itself, 60, every=0.01)
            rig.index()
        self.await_swap(rig, postgres, before, rig.assert_all_running)

    def redefine(self, rig: ViewsRig, postgres: Postgres | None) -> None:
        before = self.table(rig, postgres)
        rig.change("likes", "/subject/cid")
        rig.kill_index()
        rig.index()
        self.await_swap(rig, postgres, before, rig.assert_all_running)

    def caught_up(self, rig: ViewsRig) -> bool:
        try:
            counted = view_tables.read(rig.database, "likes", ["subject"]).counters["subject"]
        except (view_tables.NoTable, view_tables.Unreachable):
            return False
        return sum(count for _, count in counted) == LIKES

    def swaps(self, database: str, postgres: Postgres | None) -> None:
        with ViewsRig(database, views="likes.toml") as rig:
            rig.nats()
            rig.make_bucket()
            writer = Writer(rig.url)
            for first in range(0, LIKES, 1000):
                writer.write([like(number) for number in range(first, min(first + 1000, LIKES))])
            writer.close()
            rig.index()
            wait_for("the view is there", lambda: self.caught_up(rig), 60)
            stream, readers = Stream(rig.url), Readers(rig, LIKES)
            try:
                time.sleep(0.3)  # the readers' own time, before anything happens
                for crash in ("", "", "view.in_bulk:1", "view.before_swap:1", "view.after_swap:1"):
                    self.rebuild(rig, postgres, crash)
                self.redefine(rig, postgres)
                self.rebuild(rig, postgres)
                time.sleep(0.3)
            finally:
                stream.end()
                told = readers.end()
            self.judge(told, readers)
            print(rig.check_views(60, ["likes"]).text())

    def judge(self, told: list, readers: Readers) -> None:
        for kind, seen in zip(KINDS, told):
            counted = "" if kind == "row" else (f"; {seen['least']} to {seen['most']} rows; {seen['steps_back']} steps "
                                                f"back, the deepest {seen['deepest']}")
            print(f"reader ({kind}): {seen['reads']} reads, {seen['reads'] / seen['seconds']:.0f} a second, "
                  f"the slowest {seen['slowest'] * 1000:.0f} ms{counted}")
        print(f"recordkv query: asked {readers.asked} times", flush=True)
        for seen in told:
            self.assertEqual(seen["wrong"], [])
            self.assertGreater(seen["reads"], 200 // SLOW, "too few reads prove nothing")
            self.assertEqual([ADDED in names for names in seen["columns"]], [False, True],
                             "the old definition answers until the new one does")
        self.assertEqual(readers.wrong, [])
        self.assertGreater(readers.asked, 10 // SLOW)

    def test_sqlite(self):
        self.swaps("sqlite:views.db", None)

    @staticmethod
    def refusals(rig: ViewsRig) -> int:
        return rig.parts["index-all"].text().count("the old rows go on answering")

    def test_a_swap_that_is_refused_lets_the_old_rows_live_on(self):
        """A user's VIEW on the table holds the old one fast. Nothing else comes meanwhile that could wake a process."""
        with Postgres() as postgres, ViewsRig(postgres.url(), views="likes.toml") as rig:
            rig.nats()
            rig.make_bucket()
            writer = Writer(rig.url)
            writer.write([like(0), like(1)])
            rig.index()
            wait_for("the view is there", lambda: "is live" in rig.parts["index-all"].text(), 60)
            postgres.query("CREATE VIEW mine AS SELECT rkey FROM likes")
            before = self.table(rig, postgres)
            rig.change("likes", "/subject/cid")
            rig.kill_index()
            rig.index()
            number, between = 2, 0
            for _ in range(10):  # some rows, one after the other, before the next attempt: the live build has its time
                refusals = self.refusals(rig)
                wait_for("a swap is refused", lambda: self.refusals(rig) > refusals, 60, every=0.01)
                refusals, between = self.refusals(rig), 0
                while between < 5 and self.refusals(rig) == refusals:
                    writer.write([like(number)])
                    number += 1
                    wait_for("the old table has the new row",
                             lambda: postgres.query("SELECT count(*) FROM mine") == str(number), 60, every=0.01)
                    between += self.refusals(rig) == refusals
                self.assertEqual(self.table(rig, postgres), before)
                if between == 5:
                    break
            self.assertEqual(between, 5, "the live build stands still most of the time")
            postgres.query("DROP VIEW mine")
            self.await_swap(rig, postgres, before)
            writer.close()
            print(rig.check_views(60, ["likes"]).text())

    def test_postgres(self):
        with Postgres() as postgres:
            self.swaps(postgres.url(), postgres)


if __name__ == "__main__":
    unittest.main()
