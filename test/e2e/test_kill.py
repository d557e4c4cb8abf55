"""Promise 1: kill -9 of anything at any moment; nothing lost, nothing invented, and order kept.

Owns: the kill schedule, its supervisor, and the proof that the kills met something. RECORDKV_SEEDS ("1 2 3") choose the
runs, RECORDKV_LAYOUTS ("single split") the processes; a seed replays the same events and the same schedule. Two runs go
on at once, each in a process of its own, since each of them mostly waits.
"""

import contextlib
import os
import random
import threading
import time
import unittest
from concurrent import futures
from typing import NamedTuple

from rig import SLOW, Rig, die_with_parent, nats_wire, wait_for

EVENTS, KILLS, AT_ONCE = 50_000, 20, 2


class Layout(NamedTuple):
    stages: list
    buffer: int  # ingest.max_msgs
    past: int    # events that are there at the start; the others happen at `rate`
    rate: int


# A small buffer makes kv work in step with it, full or empty; a large one keeps records and states flowing together.
LAYOUTS = {"single": Layout(["ingest,kv,index"], 2_000, 8_000, 2_500),
           "split": Layout(["ingest", "kv", "index"], 20_000, 40_000, 500)}


class Watch:
    """Samples, between everything else, what the processes say of themselves; a killed one's last word counts."""

    def __init__(self, rig: Rig, buffer: int):
        self.rig, self.buffer, self.last = rig, buffer, 0.0
        self.words: dict[tuple, dict] = {}
        self.full = self.samples = self.standing = 0
        self.seen = 0.0  # when `standing` was true

    def look(self) -> None:
        if time.monotonic() - self.last < 0.1:
            return
        self.last = time.monotonic()
        try:
            self.standing = self.rig.stream("ingest")["messages"]
            self.seen = time.monotonic()
            self.samples += 1
            self.full += self.standing >= self.buffer
            for key in ("ingest", "kv", "view-likes"):
                if report := self.rig.report(key):
                    self.words[key, report["process"]] = report
        except nats_wire.Failure:
            pass

    def total(self, counter) -> int:
        return sum(counter(r) for r in self.words.values())


class Onlooker(threading.Thread):
    """A client that lists the store's keys without end. It slows the store's stream and no other, so that states, were
    they written too early, overtake records; and it sees states on their way, which is when a crash hurts most."""

    NOTHING = b'{"subjects_filter":"$KV.record.*.*.*.*.*.*.nobody"}'

    def __init__(self, url: str):
        super().__init__(daemon=True)
        self.url, self.ended, self.states = url, False, threading.Event()
        self.start()

    def run(self) -> None:
        while not self.ended:
            try:
                with nats_wire.Connection(self.url) as nats:
                    nats.subscribe("$KV.repo.>")
                    nats.subscribe(nats.inbox)
                    for _ in range(3):
                        nats.publish("$JS.API.STREAM.INFO.KV_record", self.NOTHING, nats.inbox)
                    self.watch(nats)
            except (nats_wire.Failure, OSError, ValueError):
                time.sleep(0.05)  # the server is away, or the stream not there yet

    def watch(self, nats: nats_wire.Connection) -> None:
        while not self.ended:
            m = nats.next(1)
            if m.subject != nats.inbox:
                self.states.set()
            else:
                nats.publish("$JS.API.STREAM.INFO.KV_record", self.NOTHING, nats.inbox)

    def await_states(self) -> None:
        self.states.clear()
        self.states.wait(0.6)


class Battle:
    def __init__(self, rig: Rig, seed: int, name: str):
        self.rig, layout = rig, LAYOUTS[name]
        self.random = random.Random(f"{seed} {name}")
        self.watch = Watch(rig, layout.buffer)
        self.down: dict[str, float] = {}  # part -> when it is started again
        self.schedule, self.left_by_themselves = [], []
        self.in_flight, self.restless = 0, time.monotonic()
        self.rig.nats()
        self.rig.simulator("--seed", seed, "--events", EVENTS, "--past", layout.past, "--rate", layout.rate,
                           "--accounts", 60, "--churn", 250_000, "--wait-for-client")
        self.onlooker = Onlooker(rig.url)
        self.stages = [self.rig.recordkv(s).name for s in layout.stages]
        self.writer = next(s for s in self.stages if "kv" in s.split("-"))
        self.filled = 0

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
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.tend()
            time.sleep(0.01)

    def strike(self, began: float) -> None:
        everything = ["nats", *self.stages]
        victims = self.random.choice([*([s] for s in self.stages), ["nats"], everything, everything])
        if len(self.schedule) % 7 == 3:  # not by chance: this one dies at a full store
            victims = [self.writer]
        if all(v in self.down for v in victims):
            victims = everything
        pause = self.random.uniform(0.0, 1.0)
        self.in_flight += self.watch.standing > 0 and time.monotonic() - self.watch.seen < 0.5
        full = victims == [self.writer] and "nats" not in self.down and self.fill_store()
        if full or victims == everything:
            self.onlooker.await_states()
            time.sleep(self.random.uniform(0, 0.02))
        for name in victims:
            self.rig.parts[name].kill()
        if full:
            wait_for("the store has room again", lambda: self.limit_store(-1) or True)
        for name in victims:  # all at once is how a machine dies; how fast each comes back is another matter
            self.down[name] = time.monotonic() + (pause if len(victims) == 1 else self.random.uniform(0.0, 1.0))
        self.schedule.append(f"{time.monotonic() - began:.2f} {'+'.join(victims)} ({self.watch.standing} standing)")

    def limit_store(self, keys: int) -> None:
        config = self.rig.api("STREAM.INFO.KV_record")["config"]
        self.rig.api("STREAM.UPDATE.KV_record", **{**config, "max_msgs": keys})

    def fill_store(self) -> bool:
        """A store that takes a few more keys and then refuses: of one account an earlier event stands and a later one
        does not, and that is how the process dies. A state that ran ahead of the refused event would lose it."""
        try:
            limit = self.rig.stream("KV_record")["messages"] + 20
            self.limit_store(limit)
            self.filled += 1
        except nats_wire.Failure as e:
            return "(100" not in str(e)  # not made yet; but an answer that did not come in time says nothing
        until = time.monotonic() + 0.5
        with contextlib.suppress(nats_wire.Failure):  # too busy to answer: it fills none the less
            while time.monotonic() < until and self.rig.stream("KV_record")["messages"] < limit:
                time.sleep(0.005)
        return True

    def settled(self) -> bool:
        """For three seconds on end: an ingest that has just come back has to read again first."""
        if self.down or self.rig.sim_state()["emitted"] < EVENTS or not self.rig.drained():
            self.restless = time.monotonic()
        return time.monotonic() - self.restless > 3 * SLOW

    def fight(self) -> None:
        began = time.monotonic()
        for _ in range(KILLS):
            self.rest(self.random.uniform(0.3, 1.4))
            self.strike(began)
        self.rest(0)


def ignored(report: dict) -> int:
    return report.get("counted", {}).get("ignored older", 0)


def run_one(seed: int, layout: str) -> dict:
    """What the run met, by kind."""
    began = time.monotonic()
    with Rig(**{"ingest.max_msgs": LAYOUTS[layout].buffer}) as rig:
        battle = Battle(rig, seed, layout)
        try:
            battle.fight()
            battle.onlooker.ended = True
            wait_for("all has happened and is settled", battle.settled, 90, meanwhile=battle.tend)
            rig.check_store(30, "--cids", meanwhile=battle.tend)
            return met(rig, battle)
        finally:
            battle.onlooker.ended = True
            print(f"\nRECORDKV_SEEDS={seed} RECORDKV_LAYOUTS={layout}: {'; '.join(battle.schedule)}")
            print(f"left by themselves: {battle.left_by_themselves or 'none'}")
            print(f"{time.monotonic() - began:.1f} s", flush=True)


def met(rig: Rig, battle: Battle) -> dict:
    watch = battle.watch
    repeated = rig.stream("KV_record")["last_seq"] - EVENTS
    older = watch.total(ignored)
    reconnects = sum(rig.parts[s].text().count(" reconnected to server ") for s in battle.stages)
    print(f"\n{battle.in_flight}/{KILLS} kills met events in the buffer; it was full in {watch.full} of "
          f"{watch.samples} samples; {repeated} records written twice, {older} events ignored as repeated, "
          f"{reconnects} reconnects, the store full {battle.filled} times")
    return {"kills": len(battle.schedule), "in flight": battle.in_flight, "full": watch.full,
            "repeated": repeated + older, "reconnects": reconnects, "full store": battle.filled}


class KillTest(unittest.TestCase):
    def test_kill(self):
        seeds = os.environ.get("RECORDKV_SEEDS", "1 2 3").split()
        layouts = os.environ.get("RECORDKV_LAYOUTS", "single split").split()
        fights = []
        with futures.ProcessPoolExecutor(AT_ONCE, initializer=die_with_parent) as pool:
            runs = {(seed, layout): pool.submit(run_one, int(seed), layout) for seed in seeds for layout in layouts}
            for (seed, layout), run in runs.items():
                with self.subTest(seed=seed, layout=layout):
                    fights.append(run.result())
        self.assert_it_was_a_fight(fights)

    def assert_it_was_a_fight(self, fights: list) -> None:
        """Over all runs, since chance decides what a single one meets: every kind of trouble must have happened."""
        total = {what: sum(fight[what] for fight in fights) for what in fights[0]}
        self.assertEqual(total.pop("kills"), len(fights) * KILLS)
        self.assertGreaterEqual(total.pop("in flight"), len(fights) * KILLS // 4, "too few kills met events in flight")
        for what, times in total.items():
            self.assertGreater(times, 0, f"{what}: that never happened")


if __name__ == "__main__":
    unittest.main()
