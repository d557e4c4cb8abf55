"""Exact views: random histories, kill -9 at named points, rebuilds, changed definitions, another store; the fold is the
fold.

Owns: the schedule of troubles and the proof that each happened. RECORDKV_SEEDS ("0 1 2 …") chooses the runs; by default
20, with RECORDKV_LONG=1 200. A seed replays the same records and the same plan; what a kill then meets is up to the
clock. Even seeds live through it in SQLite and are then folded anew into PostgreSQL, again under kills; odd seeds the
other way round.
"""

import collections
import concurrent.futures
import json
import os
import random
import subprocess
import sys
import time
import unittest

from histories import History, Writer
from postgres import Postgres
from rig import SLOW, die_with_parent, wait_for
from views_rig import POINTS, SHIPPED, ViewsRig

SEEDS = 200 if os.environ.get("RECORDKV_LONG") else 20
LIVES, OPERATIONS = 7, 1500
AT_A_TIME = 4
QUIET_LIFE = 3  # has no crash point: it lives long enough for a server to be killed under its feet
TOLD = "over all seeds: "
ALTERABLE = {"likes": "/via/uri", "reposts": "/via/cid", "follows": "/createdAt", "profiles": "/website"}
RARE = ("swap", "bulk")
DIVISIONS = (("0-7", "8-f"), ("8-f", "0-7"), ("0-2", "3-9", "a-f"), ("all",))
TROUBLES = ("rebuild", "definition changed", "definition changed back", "nats killed", "store recreated",
            "database killed",
            "killed anywhere", "stopped", "divided")


class Battle:
    """One seed. A life is one process of `index`, from its start to its death."""

    def __init__(self, rig: ViewsRig, seed: int, postgres: Postgres | None):
        self.rig, self.seed, self.postgres = rig, seed, postgres
        self.history, self.writer = History(seed), Writer(rig.url)
        self.met: collections.Counter = collections.Counter()

    def write(self, operations: int) -> None:
        """In bursts of any size: what one burst leaves together, `index` tends to take in one transaction."""
        left = operations
        while left > 0 and not self.rig.died_by_itself():
            size = min(left, self.chance.choice([1, 1, 3, 20, 20, 100, 300]))
            self.writer.write(self.history.burst(size))
            left -= size
            time.sleep(self.chance.uniform(0, 0.03))
        if left > 0:
            self.writer.write(self.history.burst(left))

    def command(self, *words: str) -> None:
        """It may meet a process that dies in that moment; it may not crash or hang itself."""
        done = self.rig.command(*words)
        if done.returncode not in (0, 1, 3) or (done.returncode and "\nrecordkv: " not in "\n" + done.stderr):
            raise AssertionError(f"{words}: exit code {done.returncode}: {done.stdout}{done.stderr}")
        self.met["rebuild"] += done.returncode == 0

    def crash_point(self, life: int) -> str:
        """Every point has its turn; those at a swap or a load wait for fewer passings, since they are rarer."""
        point = POINTS[(self.seed + 3 * life) % len(POINTS)]
        return f"{point}:{self.chance.choice([1, 1, 2] if point.endswith(RARE) else range(1, 9))}"

    def live(self, life: int, operations: int) -> None:
        self.chance = random.Random(f"life {self.seed} {life}")
        crash = self.crash_point(life)
        shares = self.chance.choice(DIVISIONS) if self.seed % 5 == 2 else ("all",)
        trouble = "rebuild" if crash.split(":")[0].endswith(RARE) else self.chance.choice(["none", "rebuild", "nats",
                                                                                           "database"])
        if life == QUIET_LIFE:
            crash, trouble = "never:1", "database" if self.postgres else "nats"
        views = self.chance.sample(SHIPPED, 2 if crash.split(":")[0].endswith(RARE) else 1)
        self.met["divided"] += len(shares) > 1
        self.rig.index(crash, shares)
        self.write(operations // 2)
        if trouble == "rebuild":
            for view in views:
                self.command("view", "rebuild", view)
        elif trouble != "none" and shares == ("all",) and self.runs():
            self.interrupt(trouble)
        self.write(operations - operations // 2)
        self.die(crash)

    def runs(self) -> bool:
        """It has begun its work, or ended it: one that still begins may give up where a server is away, and says so."""
        index, = self.rig.indexes
        wait_for("it works or dies", lambda: self.rig.died_by_itself() or (
            (told := self.rig.report("view-links")).get("pid") == index.process.pid and told.get("state") == "running"),
                 20)
        return index.running()

    def interrupt(self, trouble: str) -> None:
        """kill -9 of a server under its feet."""
        if trouble == "nats":
            self.rig.parts["nats"].kill()
            time.sleep(self.chance.uniform(0, 0.3))
            self.rig.parts["nats"].start()
            self.rig.wait_nats()
            self.met["nats killed"] += 1
        elif self.postgres:
            self.postgres.kill()
            time.sleep(self.chance.uniform(0, 0.2))
            self.postgres.start()
            self.met["database killed"] += 1

    def die(self, crash: str) -> None:
        """At the point where it was to; else, when that did not come within a second, anywhere; now and then in
        peace."""
        until = time.monotonic() + self.chance.choice([0.1, 0.3, 0.9]) * SLOW
        while time.monotonic() < until:
            if self.rig.died_by_itself():
                self.met[crash.split(":")[0]] += 1
                break
            time.sleep(0.01)
        if self.rig.died_by_itself():
            self.rig.kill_index()
        elif self.seed % 4 == 0 or self.chance.random() < 0.2:
            codes = self.rig.stop_index()
            # its crash point may come on the way out, SIGTERM before it minds signals
            if not set(codes) <= {0, -9, -15}:
                raise AssertionError(f"SIGTERM: exit codes {codes}")
            self.met["stopped"] += 1
        else:
            self.rig.kill_index()
            self.met["killed anywhere"] += 1

    def between_lives(self, life: int) -> None:
        """What happens while nothing runs."""
        self.chance = random.Random(f"between {self.seed} {life}")
        if self.seed % 4 == 3 and life == LIVES // 2:
            self.rig.recreate_store()
            self.writer.write(self.history.burst(150))
            self.met["store recreated"] += 1
        if self.rig.changed and self.chance.random() < 0.4:
            self.rig.change_back(next(iter(self.rig.changed)))
            self.met["definition changed back"] += 1
        elif not self.rig.changed and self.chance.random() < 0.5:
            view = self.chance.choice(sorted(ALTERABLE))
            self.rig.change(view, ALTERABLE[view])
            self.met["definition changed"] += 1

    def fight(self) -> None:
        self.rig.nats()
        self.rig.make_bucket()
        self.writer.write(self.history.burst(OPERATIONS // 3))  # so that the first build has something to load
        for life in range(LIVES):
            self.live(life, OPERATIONS * 2 // 3 // LIVES)
            self.between_lives(life)

    def fold_again(self, database: str) -> None:
        """Another database, and the store as it is by now: a fold from the first key, under kills."""
        self.rig.settings["index.database"] = database
        self.chance = random.Random(f"again {self.seed}")
        for point in ("view.in_bulk:2", "view.before_swap:3"):
            self.rig.index(point)
            self.die(point)


class ViewsPropertyTest(unittest.TestCase):
    def run_one(self, seed: int, postgres: Postgres) -> collections.Counter:
        began, name = time.monotonic(), f"seed{seed}"
        postgres.query(f"CREATE DATABASE {name}")
        databases = ["sqlite:views.db", postgres.url().replace("/postgres?", f"/{name}?")]
        if seed % 2:
            databases.reverse()
        with ViewsRig(databases[0]) as rig:
            battle = Battle(rig, seed, postgres if seed % 2 else None)
            try:
                battle.fight()
                rows = self.check(battle, databases[0])
                rig.kill_index()
                battle.fold_again(databases[1])
                again = self.check(battle, databases[1])
                self.assertEqual(rows, again, "both are the fold of the store, and not the same")
                self.assertTrue(battle.runs())
                self.assertEqual(rig.stop_index(), [0])
            finally:
                battle.writer.close()
                happened = ", ".join(f"{what} {n}" for what,
                                     n in sorted({**battle.history.counts, **battle.met}.items()))
                print(f"RECORDKV_SEEDS={seed}: {happened}; {time.monotonic() - began:.1f} s", flush=True)
        postgres.query(f"DROP DATABASE {name} WITH (FORCE)")
        return battle.met

    def check(self, battle: Battle, database: str) -> dict:
        battle.rig.index()
        verdict = battle.rig.check_views(60)
        print(f"  {database.split(':')[0]}: {verdict.text()}", flush=True)
        for view, count in verdict.rows.items():
            self.assertGreater(count, 0, f"{view}: no row at all proves nothing")
        self.assertGreater(sum(verdict.rejects.values()), 0, "no record that does not fit")
        return verdict.rows

    def test_histories(self):
        chosen = os.environ.get("RECORDKV_SEEDS")
        met = self.run_seeds(map(int, chosen.split())) if chosen else self.run_beside_each_other()
        print(TOLD + json.dumps(met))
        if not chosen:  # a single seed need not meet everything
            for what in (*POINTS, *TROUBLES):
                self.assertGreater(met[what], 0, f"{what}: that never happened")

    def run_seeds(self, seeds) -> collections.Counter:
        met: collections.Counter = collections.Counter()
        with Postgres() as postgres:
            for seed in seeds:
                with self.subTest(seed=seed):
                    met += self.run_one(seed, postgres)
        return met

    def run_beside_each_other(self) -> collections.Counter:
        """A seed mostly waits for processes to start and to die: several are run at a time, each by a process of its
        own."""
        parts = [subprocess.Popen([sys.executable, "-B", "-m", "unittest", "-v", "test_views_property"], text=True,
                                  env={**os.environ, "RECORDKV_SEEDS": " ".join(map(str, range(n, SEEDS, AT_A_TIME)))},
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=die_with_parent)
                 for n in range(AT_A_TIME)]
        with concurrent.futures.ThreadPoolExecutor(AT_A_TIME) as readers:
            outputs = list(readers.map(lambda part: part.communicate()[0], parts))
        met: collections.Counter = collections.Counter()
        for part, output in zip(parts, outputs):
            print(output, flush=True)
            for line in output.splitlines():
                if line.startswith(TOLD):
                    met += collections.Counter(json.loads(line.removeprefix(TOLD)))
        self.assertEqual([p.returncode for p in parts], [0] * AT_A_TIME)
        return met


if __name__ == "__main__":
    unittest.main()
