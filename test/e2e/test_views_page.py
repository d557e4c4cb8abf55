"""The newcomer's path of docs/views.md does what it says: its blocks are run in order, in a directory of one's own.

Owns: reading the blocks (`sh run` is run, `toml file=NAME` is written), and the machine they expect: `recordkv` and
`nats` in PATH, a network with reposts, a store that fills. Does not know: what the blocks hold.
"""

import os
import re
import shutil
import signal
import subprocess
import tomllib
import unittest

from rig import ROOT, SLOW, Rig, die_with_parent, wait_for

import fold_views
import view_tables
from check_store import read_store
from view_rows import VIEWS

PAGE = os.path.join(ROOT, "docs", "views.md")
REPOST = "app.bsky.feed.repost"
EVENTS = 4000


def blocks() -> list:
    """(line, file to be written or "", text) of each block that is used."""
    with open(PAGE, encoding="utf-8") as f:
        page = f.read()
    found = re.finditer(r"(?ms)^```(?:sh run|toml file=(\S+))[ \t]*\n(.*?)^```[ \t]*$", page)
    return [(page.count("\n", 0, m.start()) + 1, m[1] or "", m[2]) for m in found]


class ViewsPageTest(unittest.TestCase):
    def run_block(self, rig: Rig, line: int, commands: str, environment: dict) -> str:
        """What a block prints. A process that it leaves running goes on; the end of the test ends it."""
        log = rig.path(f"line-{line}.log")
        with open(log, "wb") as out:
            process = subprocess.Popen(["bash", "-euo", "pipefail", "-c", commands], cwd=rig.directory, env=environment,
                                       stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
                                       preexec_fn=die_with_parent)
            self.addCleanup(self.end_group, process.pid)
            code = process.wait(120 * SLOW)
        with open(log, encoding="utf-8", errors="replace") as f:
            said = f.read()
        print(f"docs/views.md:{line}: {commands.count(chr(10))} lines, exit code {code}")
        self.assertEqual(code, 0, f"docs/views.md:{line}:\n{commands}{said}")
        return said

    @staticmethod
    def end_group(group: int) -> None:
        try:
            os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            pass

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
        todo = blocks()
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
            said = ""
            for line, file, text in todo:
                if file:
                    os.makedirs(os.path.dirname(rig.path(file)), exist_ok=True)
                    with open(rig.path(file), "w", encoding="utf-8") as f:
                        f.write(text)
                    continue
                said = self.run_block(rig, line, text, environment)
            self.assertTrue(said.strip(), "the last block asks the view, and the answer is empty")
            self.check_rows(rig, views[0]["name"])


if __name__ == "__main__":
    unittest.main()
