"""The newcomer's path of docs/app-collections.md does what it says: one file and one command, and the records of an
app are there, those from before included.

Owns: the network that the page expects, and what must stand in the store and the table at its end.
Does not know: what the blocks hold (page_blocks.py).
"""

import tomllib
import unittest

from page_blocks import blocks, run_page
from rig import wait_for
from test_follow import FollowRig, SOME
import check_store  # from test/oracle, which rig has put into the path
import fold_views
import view_tables
from view_rows import VIEWS

PAGE = "docs/app-collections.md"


class AppPageTest(unittest.TestCase):
    def test_the_page_is_run(self):
        settings = [tomllib.loads(text) for _, file, text in blocks(PAGE) if file]
        self.assertEqual(len(settings), 1, "the page writes one file")
        collection = settings[0]["repos"]["signal_collection"]
        self.assertEqual(settings[0]["source"]["collections"], [collection])
        with FollowRig(*SOME, **{"index.database": "sqlite:views.db"}) as rig:
            del rig.settings["index.views"]
            rig.write_config()
            environment = {**rig.machine(), "RECORDKV_REPOS_RETRY": "200ms"}
            had = rig.with_record_of(collection)
            self.assertGreater(len(had), 10, "the network has too few of such accounts")
            said = run_page(self, rig, PAGE, environment)
            self.assertTrue(said.strip(), "the last block asks the view, and the answer is empty")
            states = rig.states()
            self.assertEqual({did for did in had if not states.get(did, {}).get("complete")}, set())
            self.assertLess(len(states), len(rig.accounts()), "all accounts have the signal: nothing was tried")
            followed = {did for did, state in states.items() if state.get("followed")}
            wait_for("the store is the truth of those who are followed",
                     lambda: rig.emitted_all() and not rig.faults(followed | set(rig.states()), collection))
            self.check_rows(rig)

    def check_rows(self, rig: FollowRig) -> None:
        """The table is the fold of the store."""
        fold = fold_views.fold(check_store.read_store(rig.url, "record", ["KV_record"]), VIEWS["reposts"])

        def equal() -> bool:
            got = view_tables.read(rig.path("state", "views.db"), "reposts", ["subject"])
            place = got.columns.index("subject")
            return {tuple(row[:3]): row[place] for row in got.rows} == {at: row[0] for at, row in fold.rows.items()}
        wait_for("the table is the fold of the store", equal)


if __name__ == "__main__":
    unittest.main()
