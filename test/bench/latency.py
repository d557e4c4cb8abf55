"""How long a row takes to be visible after its event came, at a fixed rate.

Owns: the pace, the reader of the table, the percentiles. Does not know: how events become rows.
Each event happens at a time that is fixed before the run starts, and this time is in the record key. A latency counts
from there, not from when the sender got round to it: an event that has to wait behind others counts its whole wait
(no coordinated omission).
"""
import contextlib
import datetime
import sqlite3
import subprocess
import time

from bench_rig import Rig, check_likes, free_port
from figures import Figure, Wanted

TID_DIGITS = "234567abcdefghijklmnopqrstuvwxyz"
LOOK = 0.0005  # seconds between two looks at the table: what a figure may be too large by
LEAD = 8  # seconds from the start of the simulator to the first event
WANTED = {"p50": 3, "p99": 15, "worst": 100}  # milliseconds at 2,000 events a second


def time_of(rkey):
    """The microsecond that a TID names (https://atproto.com/specs/tid)."""
    number = 0
    for digit in rkey:
        number = number << 5 | TID_DIGITS.index(digit)
    return number >> 10


def event_time(rkey, created):
    """A key that was deleted and comes again has an older TID. Then the record says when, to the millisecond."""
    told = round(datetime.datetime.fromisoformat(created).timestamp() * 1000) * 1000
    exact = time_of(rkey)
    return exact if 0 <= exact - told < 1000 else told


class Reader:
    """Reads new rows of the likes table as they become visible, and notes how old each is."""

    def __init__(self, database):
        self.rows = sqlite3.connect(f"file:{database}?mode=ro", uri=True, isolation_level=None)
        self.last, self.ages = 0, []

    def look(self):
        found = self.rows.execute("SELECT rowid, rkey, created_at FROM likes WHERE rowid > ? ORDER BY rowid",
                                  (self.last,)).fetchall()
        now = time.time_ns() // 1000
        for self.last, rkey, created in found:
            self.ages.append(now - event_time(rkey, created))


def wait_for_table(rig, kv, database):
    deadline = time.monotonic() + LEAD
    while time.monotonic() < deadline:
        rig.must_run(kv)
        with contextlib.suppress(sqlite3.Error):
            reader = Reader(database)
            reader.look()
            return reader
        time.sleep(0.02)
    raise SystemExit(f"bench: no likes table within {LEAD} s\n" + rig.log().read_text(encoding="utf-8"))


def latencies(build, rate, seconds, seed=7):
    """Milliseconds from event to row, sorted, at `rate` events a second. The store and the rows equal the truth."""
    with Rig(build) as rig:
        truth, port = rig.dir / "truth.tsv", free_port()
        rig.start_nats()
        first = time.time_ns() // 1000 + LEAD * 1_000_000
        sim = rig.start(rig.build / "test" / "recordkv-sim", "--seed", seed, "--accounts", 20_000, "--events",
                        rate * seconds, "--base", first, "--step", 1_000_000 // rate, "--on-time", "--port", port,
                        "--truth", truth, "--die-with-parent", stdout=subprocess.PIPE, text=True)
        sim.stdout.readline()
        kv = rig.recordkv({"source.kind": "jetstream", "source.url": f"ws://127.0.0.1:{port}",
                           "source.start": "oldest", "index.views": '["config/views/likes.toml"]'}, "run")
        reader = wait_for_table(rig, kv, rig.dir / "state" / "likes.db")
        if time.time_ns() // 1000 > first:
            raise SystemExit("bench: the table was made after the first event")
        end = first + seconds * 1_000_000
        while (now := time.time_ns() // 1000) < end + 1_000_000:
            reader.look()
            time.sleep(LOOK)
        check_likes(rig, truth, kv)
        reader.look()
        if not reader.ages:
            raise SystemExit("bench: no like came")
        return sorted(age / 1000 for age in reader.ages)


def figures(s):
    for rate in (2_000,) if s.quick else (500, 2_000, 5_000):
        ages = latencies(s.build, rate, 5 if s.quick else 30, 7 + s.run)
        for what, share in (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("worst", 1)):
            wanted = Wanted(WANTED[what], at_most=True) if rate == 2_000 and what in WANTED else None
            yield Figure(f"event to row at {rate:,} events/s, {what}", "ms",
                         ages[min(len(ages) - 1, int(len(ages) * share))], wanted=wanted)
