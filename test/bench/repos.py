"""Accounts fetched in full, and again with nothing changed, beside the bare limits of the same run.

Owns: the measurements. Does not know: how accounts are repaired.
The oracle compares the store of every run with the truth: a number for a wrong answer is worth nothing.
"""
import json
import sqlite3
import time

from figures import Figure, Wanted
from repo_rig import LIKE, Mirror, Network

FULL = {"large": dict(accounts=1, records=300_000), "many": dict(accounts=3_000, hosts=20, records=100),
        "budget": dict(accounts=12, hosts=12, records=40_000),
        "network": dict(accounts=1_633, hosts=200, records=0, likes=20_882, delay=20)}
QUICK = {"large": dict(accounts=1, records=30_000), "many": dict(accounts=300, hosts=20, records=100)}
BUDGET = "32MB"
FIRST_PARTS, AGAIN_PARTS = ("download", "check", "json", "publish"), ("download", "check", "keys")


class Clock:
    """Seconds, and CPU time of each process, since it was made."""

    def __init__(self, mirror):
        self.mirror, self.before, self.began = mirror, mirror.used(), time.monotonic()

    def row(self, records, bare, parts):
        seconds = time.monotonic() - self.began
        limit = records / sum(bare["seconds"][p] for p in parts)
        cpu = {name: (now - self.before[name]) / records * 1e6 for name, now in self.mirror.used().items()}
        return {"rate": records / seconds, "bare": limit, "cpu_us": cpu}


def fetched(mirror, bare):
    """Every account from no state to a complete one; then each again, with nothing changed."""
    records = mirror.network.records
    mirror.run_and_wait()
    base = mirror.memory()["resident_mb"]
    clock = Clock(mirror)
    mirror.wish("add")
    counters = mirror.repaired(1)
    first = clock.row(records, bare, FIRST_PARTS)
    if counters["kv.repair_records.put"] != records:
        raise SystemExit(f"bench: {counters['kv.repair_records.put']} records put, must be {records}")
    mirror.check()
    before = mirror.last_sequence()
    clock = Clock(mirror)
    mirror.wish("resync")
    counters = mirror.repaired(2)
    again = clock.row(records, bare, AGAIN_PARTS)
    if mirror.last_sequence() != before or counters["kv.repair_records.unchanged"] != records:
        raise SystemExit(f"bench: the store was written to, or {counters} are not {records} unchanged records")
    return {"first": first, "again": again, "memory_mb": mirror.memory()["peak_mb"] - base}


def repos(build, sizes):
    with Network(build, **sizes) as network:
        bare = network.bare()
        with Mirror(build, network) as mirror:
            return {"car_bytes": bare["car_bytes"], **fetched(mirror, bare)}


def budget(build, sizes, memory):
    """What repos take that do not fit into repos.memory together. They wait for each other, and all of them come."""
    with Network(build, **sizes) as network, Mirror(build, network, **{"repos.memory": memory}) as mirror:
        mirror.run_and_wait()
        base = mirror.memory()["resident_mb"]
        mirror.wish("add")
        mirror.repaired(1)
        mirror.check()
        return mirror.memory()["peak_mb"] - base


def rows_of(database):
    """The rows of the likes table that answers now; -1 before there is one."""
    try:
        with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as rows:
            live = rows.execute("SELECT count(*) FROM recordkv_builds WHERE view = 'likes' AND live = 1").fetchone()[0]
            return rows.execute("SELECT count(*) FROM likes").fetchone()[0] if live else -1
    except sqlite3.Error:
        return -1


def network_first_run(build, sizes):
    """From an empty store to the last row of the likes view, over a network with round trips."""
    settings = {"source.collections": json.dumps([LIKE]), "index.views": '["config/views/likes.toml"]',
                "repos.mode": "signal", "repos.signal_collection": LIKE}
    with Network(build, **sizes) as network, Mirror(build, network, **settings) as mirror:
        bare = network.bare()
        database = mirror.dir / "state" / "likes.db"
        began = time.monotonic()
        mirror.run("ingest,kv,index")
        rows = mirror.rows_in_the_end()
        deadline = began + 600
        while rows_of(database) < rows:
            mirror.must_run(mirror.kv)
            if time.monotonic() > deadline:
                raise SystemExit(f"bench: {rows_of(database)} rows, must be {rows}")
            time.sleep(0.05)
        took = time.monotonic() - began
        mirror.repaired(1)
        mirror.check(database)
        return took, bare["seconds"]["download"]


def figures(s):
    sizes = QUICK if s.quick else FULL
    for what, name in (("large", f"a repo of {sizes['large']['records']:,} records"),
                       ("many", f"{sizes['many']['accounts']:,} repos of {sizes['many']['records']} records")):
        row = repos(s.build, sizes[what])
        for part, said, wanted in (("first", "fetched", 40_000), ("again", "again, unchanged", 200_000)):
            yield Figure(f"{name}, {said}", "/s", row[part]["rate"], "the parts one after the other",
                         row[part]["bare"], Wanted(wanted))
            for process, named in (("recordkv", "recordkv"), ("nats", "nats-server")):
                yield Figure(f"{named}'s CPU a record, {name}, {said}", "us", row[part]["cpu_us"][process])
        if what == "large":
            yield Figure("memory of kv above its start, of the CAR", "MB", row["memory_mb"] * 1.048576, "the CAR",
                         row["car_bytes"] / 1e6, Wanted(3, of_ratio=True, at_most=True))
    if s.quick:
        return
    took = budget(s.build, sizes["budget"], BUDGET)
    yield Figure(f"memory above its start, {sizes['budget']['accounts']} repos, repos.memory = {BUDGET}", "MB",
                 took * 1.048576)
    seconds, downloads = network_first_run(s.build, sizes["network"])
    what = "first run, {accounts:,} accounts, {hosts} hosts, round trips of {delay} ms".format(**sizes["network"])
    yield Figure(what, "s", seconds, "bare downloads", downloads, Wanted(15, at_most=True))
