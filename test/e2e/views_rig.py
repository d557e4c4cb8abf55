"""The parts of a test of views: a store that any client fills, `index` with the shipped views, and their comparison.

Owns: copies of the view files that a test may change, the bucket, crash points, waiting for the oracle's verdict.
Does not know: what stands in the store (histories.py), and what the rows ought to be (oracle/fold_views.py).
"""

import os
import re
import shutil
import signal

from rig import ROOT, SLOW, Part, Rig, program, wait_for

import fold_views
from fold_views import SHIPPED  # noqa: F401

POINTS = ["view.before_commit", "view.after_commit", "view.after_ack", "view.before_swap", "view.after_swap",
          "view.in_bulk",
          "view.after_bulk"]
ADDED = "added"  # the column by which a changed definition differs


class ViewsRig(Rig):
    def __init__(self, database: str = "sqlite:views.db", views: str = "*.toml", **settings):
        super().__init__(**settings)
        self.settings["index.views"] = [self.path("views", views)]
        self.settings["index.database"] = database
        self.indexes: list[Part] = []
        self.changed: dict[str, str] = {}  # view -> pointer of its added column
        os.makedirs(self.path("views"))
        for view in fold_views.SHIPPED:  # those of records: any client can fill a store of them
            shutil.copy(os.path.join(ROOT, "config", "views", view + ".toml"), self.path("views"))

    @property
    def database(self) -> str:
        """As the oracle and other readers reach it."""
        named = self.settings["index.database"]
        return self.path("state", named.removeprefix("sqlite:")) if named.startswith("sqlite:") else named

    def make_bucket(self) -> None:
        """As a stock client makes it."""
        self.api("STREAM.CREATE.KV_record", name="KV_record", subjects=["$KV.record.>"], max_msgs_per_subject=1,
                 discard="new",
                 allow_direct=True, allow_rollup_hdrs=True, deny_delete=True, num_replicas=1, storage="file")

    def recreate_store(self) -> None:
        """What `recordkv reset` leaves of NATS, and then a new store of the same name. Only while nothing runs."""
        for name in wait_for("NATS tells its streams", lambda: self.api("STREAM.NAMES"))["streams"] or []:
            self.api(f"STREAM.DELETE.{name}")
        self.make_bucket()

    def index(self, crash: str = "", shares: tuple = ("all",)) -> None:
        """Starts it, as one process or one for each share of the partitions. `crash`: "POINT:N", where the first kills
        itself."""
        self.write_config()
        for share in shares:
            name = f"index-{share}"
            part = self.parts.setdefault(name, Part(name, [], self.directory))
            part.command = [self.program(), "--config", self.config, "--stages", "index", "--set",
                            f"index.assign={share}"]
            part.env = {k: v for k, v in part.env.items()
                        if k != "RECORDKV_TEST_CRASH"} | ({"RECORDKV_TEST_CRASH": crash} if crash else {})
            part.start()
            crash = ""
        self.indexes = [self.parts[f"index-{share}"] for share in shares]

    @staticmethod
    def program() -> str:
        return program("RECORDKV", "recordkv")

    def died_by_itself(self) -> bool:
        """By the SIGKILL of a crash point; any other end is told as what it is."""
        for part in self.indexes[1:]:
            self.assert_running(part)
        if self.indexes[0].running():  # asked once: it may die at any moment
            return False
        if self.indexes[0].process.returncode != -signal.SIGKILL:
            self.assert_running(self.indexes[0])
        return True

    def kill_index(self) -> None:
        for part in self.indexes:
            part.kill()

    def stop_index(self) -> list:
        """SIGTERM to all of them, and their exit codes."""
        for part in self.indexes:
            part.process.terminate()
        return [part.exit_code() for part in self.indexes]

    @staticmethod
    def assert_running(part: Part) -> None:
        if not part.running():
            raise AssertionError(f"{part.name} has ended with {part.process.returncode}:\n{part.text()[-3000:]}")

    def assert_all_running(self) -> None:
        for part in self.indexes:
            self.assert_running(part)

    def change(self, view: str, pointer: str) -> None:
        """Another definition of a shipped view: one column more, before the others."""
        file = self.path("views", view + ".toml")
        with open(file, encoding="utf-8") as f:
            text = f.read()
        column = f'columns = [\n  {{ name = "{ADDED}", pointer = "{pointer}", type = "text" }},'
        changed, times = re.subn(r"(?m)^columns = \[", lambda _: column, text, count=1)
        if times != 1:
            raise AssertionError(f"{view}.toml has no columns to add to")
        self._replace(file, changed)
        self.changed[view] = pointer

    def change_back(self, view: str) -> None:
        with open(os.path.join(ROOT, "config", "views", view + ".toml"), encoding="utf-8") as f:
            self._replace(self.path("views", view + ".toml"), f.read())
        self.changed.pop(view, None)

    @staticmethod
    def _replace(file: str, text: str) -> None:
        with open(file + ".new", "w", encoding="utf-8") as f:
            f.write(text)
        os.replace(file + ".new", file)

    def check_views(self, seconds: float, views: list | None = None) -> "fold_views.Verdict":
        """The oracle: every view is the fold of the store as it is now. No process may write meanwhile."""
        added = {view: (ADDED, pointer) for view, pointer in self.changed.items()}
        verdict = fold_views.check(self.url, "record", self.database, views or fold_views.SHIPPED, added,
                                   seconds * SLOW,
                                   meanwhile=self.assert_all_running)
        if verdict.differences:
            shown = "\n".join(verdict.differences[:fold_views.SHOWN])
            raise AssertionError(f"the views are not the fold of the store:\n{shown}")
        return verdict
