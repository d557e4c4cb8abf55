"""Promise 1: kill -9 of anything at any moment; nothing lost, nothing invented, and order kept.

Owns: the kill schedule, its supervisor, and the proof that the kills met something. RECORDKV_SEEDS ("1 2 3") choose the
runs, RECORDKV_LAYOUTS ("single split") the processes; a seed replays the same events and the same schedule.
"""

import os
import random
import time
import unittest

from rig import SLOW, Rig, nats_wire

EVENTS, PAST, RATE, KILLS, BUFFER = 50_000, 8_000, 2_500, 20, 2_000
LAYOUTS = {"single": ["ingest,kv,index"], "split": ["ingest", "kv", "index"]}


class Watch:
    """Samples, between everything else, what the processes say of themselves; a killed one's last word counts."""

    def __init__(self, rig: Rig):
        self.rig, self.last = rig, 0.0
        self.words: dict[tuple, dict] = {}
        self.full = self.samples = self.standing = 0

    def look(self) -> None:
        if time.monotonic() - self.last < 0.1:
            return
        self.last = time.monotonic()
        try:
            self.standing = self.rig.stream("ingest")["messages"]
            self.samples += 1
            self.full += self.standing >= BUFFER
            for key in ("ingest", "kv", "view-likes"):
                if report := self.rig.report(key):
                    self.words[key, report["process"]] = report
        except nats_wire.Failure:
            pass

    def total(self, counter) -> int:
        return sum(counter(r) for r in self.words.values())


class Battle:
    def __init__(self, rig: Rig, seed: int, layout: str):
        self.rig, self.layout = rig, layout
        self.random = random.Random(f"{seed} {layout}")
        self.watch = Watch(rig)
        self.down: dict[str, float] = {}  # part -> when it is started again
        self.schedule, self.left_by_themselves = [], []
        self.in_flight = 0
        self.rig.nats()
        self.rig.simulator("--seed", seed, "--events", EVENTS, "--past", PAST, "--rate", RATE, "--accounts", 400,
                           "--churn", 250_000, "--wait-for-client")
        self.stages = [self.rig.recordkv(s).name for s in LAYOUTS[layout]]

    def tend(self) -> None:
        """The supervisor: whatever is down comes back when its time has come."""
        now = time.monotonic()
        for name in ["nats", *self.stages]:
            part = self.rig.parts[name]
            if name not in self.down and not part.running():
                said = [line for line in part.text().splitlines() if line.startswith("recordkv: ")]
                self.left_by_themselves.append(f"{name} ({part.process.returncode}): {said[-1:]}")
                self.down[name] = now + 0.2
            if self.down.get(name, now + 1) <= now:
                del self.down[name]
                part.start()
        self.watch.look()

    def rest(self, seconds: float) -> None:
        until = time.monotonic() + seconds * SLOW
        while time.monotonic() < until:
            self.tend()
            time.sleep(0.01)

    def strike(self, began: float) -> None:
        everything = ["nats", *self.stages]
        victims = self.random.choice([*([s] for s in self.stages), ["nats"], self.random.sample(everything, len(everything))])
        if all(v in self.down for v in victims):
            victims = everything
        pause = self.random.uniform(0.0, 1.0)
        self.in_flight += self.watch.standing > 0
        for name in victims:
            self.rig.parts[name].kill()
        for name in victims:  # all at once is how a machine dies; how fast each comes back is another matter
            self.down[name] = time.monotonic() + (pause if len(victims) == 1 else self.random.uniform(0.0, 1.0))
        self.schedule.append(f"{time.monotonic() - began:.2f} {'+'.join(victims)} ({self.watch.standing} standing)")

    def fight(self) -> None:
        began = time.monotonic()
        for _ in range(KILLS):
            self.rest(self.random.uniform(0.3, 1.4))
            self.strike(began)
        self.rest(0)


def skipped(report: dict) -> int:
    return report.get("counted", {}).get("kv_events_skipped older", 0)


class KillTest(unittest.TestCase):
    def run_one(self, seed: int, layout: str) -> None:
        began = time.monotonic()
        with Rig(**{"ingest.max_msgs": BUFFER}) as rig:
            battle = Battle(rig, seed, layout)
            try:
                battle.fight()
                rig.check_store(90, "--cids", meanwhile=battle.tend)
                battle.rest(0.5)
                self.assertTrue(rig.drained(), "the store is right, but the buffer still holds events")
                self.assert_it_was_a_fight(rig, battle)
            finally:
                print(f"\nRECORDKV_SEEDS={seed} RECORDKV_LAYOUTS={layout}: {'; '.join(battle.schedule)}")
                print(f"left by themselves: {battle.left_by_themselves or 'none'}")
                print(f"{time.monotonic() - began:.1f} s", flush=True)

    def assert_it_was_a_fight(self, rig: Rig, battle: Battle) -> None:
        watch = battle.watch
        repeated = rig.stream("KV_record")["last_seq"] - EVENTS
        older = watch.total(skipped)
        reconnects = sum(rig.parts[s].text().count(" reconnected to server ") for s in battle.stages)
        print(f"\n{battle.in_flight}/{KILLS} kills met a filled buffer; it was full in {watch.full} of {watch.samples} samples; "
              f"{repeated} records written twice, {older} events skipped as repeated, {reconnects} reconnects")
        self.assertEqual(len(battle.schedule), KILLS)
        self.assertGreaterEqual(battle.in_flight, KILLS // 4, "too few kills met events in flight")
        self.assertGreater(watch.full, 0, "the buffer was never full")
        self.assertGreater(repeated + older, 0, "nothing was ever repeated")
        self.assertGreater(reconnects, 0, "no process outlived a server")

    def test_kill(self):
        for seed in os.environ.get("RECORDKV_SEEDS", "1 2 3").split():
            for layout in os.environ.get("RECORDKV_LAYOUTS", "single split").split():
                with self.subTest(seed=seed, layout=layout):
                    self.run_one(int(seed), layout)


if __name__ == "__main__":
    unittest.main()
