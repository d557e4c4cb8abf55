"""The newcomer's path of docs/views.md does what it says: its blocks are run in order, in a directory of one's own.

Owns: the machine that the blocks expect: `recordkv` and `nats` in PATH, a network with reposts, a store that fills.
Does not know: what the blocks hold, and how they are run (page_blocks.py).
"""

import os
import shutil
import tomllib
import unittest

from page_blocks import blocks, run_page
from rig import ROOT, Rig, wait_for

import fold_views
import view_tables
from check_store import read_store
from view_rows import VIEWS

PAGE = "docs/views.md"
REPOST = "app.bsky.feed.repost"
EVENTS = 4000


class ViewsPageTest(unittest.TestCase):
    def reposts_stand(self, rig: Rig) -> bool:
        subjects = rig.api("STREAM.INFO.KV_record",
                           subjects_filter=f"$KV.record.*.{REPOST}.*.*")["state"].get("subjects") or {}
        return len(subjects) > 50

    def check_rows(self, rig: Rig, view: str) -> None:
        """The page's view is the fold of the store, as far as the shipped one has the same columns."""
        fold = fold_views.fold(read_store(rig.url, "record", ["KV_record"]), VIEWS["reposts"])
        got = view_tables.read(rig.path("state", "views.db"), view, ["subject"])
        place = got.columns.index("subject")
        self.assertEqual({tuple(row[:3]): row[place] for row in got.rows},
                         {at: row[0] for at, row in fold.rows.items()})
        self.assertEqual(sum(count for _, count in got.counters["subject"]), len(fold.rows))
        print(f"{view}: {len(got.rows)} rows")

    def test_the_page_is_run(self):
        todo = blocks(PAGE)
        views = [view for _, file, text in todo if file for view in tomllib.loads(text).get("view", [])]
        commands = "".join(text for _, file, text in todo if not file)
        self.assertEqual([view["collection"] for view in views], [REPOST],
                         f"the page no longer writes a view of {REPOST}")
        for word in ("view check", "query"):
            self.assertIn(word, commands, "the page has lost a part of its path")
        with Rig() as rig:
            rig.settings["index.views"] = ["config/views/*.toml"]
            rig.settings["index.database"] = "sqlite:views.db"
            rig.settings["source.silent_after"] = "1h"  # the network ends before the test does
            environment = rig.machine()
            shutil.copytree(os.path.join(ROOT, "config", "views"), rig.path("config", "views"))
            rig.nats()
            rig.simulator("--events", EVENTS, "--accounts", 200)
            rig.recordkv("ingest,kv", name="store")
            wait_for("all of the network is stored", lambda: rig.sim_state()["emitted"] >= EVENTS and rig.drained()
                     and self.reposts_stand(rig), 60)
            said = run_page(self, rig, PAGE, environment)
            self.assertTrue(said.strip(), "the last block asks the view, and the answer is empty")
            self.check_rows(rig, views[0]["name"])


if __name__ == "__main__":
    unittest.main()
