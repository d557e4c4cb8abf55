#!/usr/bin/env python3
"""./dev bench repos: accounts fetched in full, and again with nothing changed, beside the bare limits of the same run.

Owns: the measurements, their targets, the table. Does not know: how accounts are repaired.
The oracle compares the store of every run with the truth: a number for a wrong answer is worth nothing.
"""
import argparse
import json
import os
import pathlib
import sqlite3
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from repo_rig import LIKE, Mirror, Network  # noqa: E402

TARGETS = {"first": 40_000, "again": 200_000, "memory": 3.0, "network": 15.0}
FULL = {"large": dict(accounts=1, records=300_000), "many": dict(accounts=3_000, hosts=20, records=100),
        "budget": dict(accounts=12, hosts=12, records=40_000),
        "network": dict(accounts=1_633, hosts=200, records=0, likes=20_882, delay=20)}
QUICK = {"large": dict(accounts=1, records=30_000), "many": dict(accounts=300, hosts=20, records=100),
         "budget": dict(accounts=8, hosts=8, records=15_000),
         "network": dict(accounts=200, hosts=40, records=0, likes=2_557, delay=20)}
BUDGET = {"full": "32MB", "quick": "16MB"}
FIRST_PARTS, AGAIN_PARTS = ("download", "check", "json", "publish"), ("download", "check", "keys")


class Clock:
    """Seconds, and CPU time of each process, since it was made."""

    def __init__(self, mirror):
        self.mirror, self.before, self.began = mirror, mirror.used(), time.monotonic()

    def row(self, records, bare, parts):
        seconds = time.monotonic() - self.began
        limit = records / sum(bare["seconds"][p] for p in parts)
        cpu = {name: (now - self.before[name]) / records * 1e6 for name, now in self.mirror.used().items()}
        bare_cpu = sum(bare["cpu"][p] + bare["nats_cpu"][p] for p in parts) / records * 1e6
        return {"seconds": seconds, "rate": records / seconds, "bare": limit, "ratio": records / seconds / limit,
                "cpu_us": cpu, "bare_cpu_us": bare_cpu}


def fetched(mirror, bare, start):
    """Every account from no state to a complete one; then each again, with nothing changed."""
    records = mirror.network.records
    mirror.run_and_wait()
    base = mirror.memory()["resident_mb"]
    clock = Clock(mirror)
    start()
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


def repos(build, sizes, rounds):
    """Of several rounds, each with a store of its own, the best counts."""
    with Network(build, **sizes) as network:
        out = {"accounts": len(network.accounts), "records": network.records, "rounds": []}
        for _ in range(rounds):
            bare = network.bare()
            with Mirror(build, network) as mirror:
                out["rounds"].append({"bare": bare, **fetched(mirror, bare, lambda: mirror.wish("add"))})
        out["car_bytes"], out["json_bytes"] = bare["car_bytes"], bare["json_bytes"]
        for what in ("first", "again"):
            out[what] = max((r[what] for r in out["rounds"]), key=lambda r: r["ratio"])
        return out


def budget(build, sizes, memory):
    """Repos that do not fit into repos.memory together: they wait for each other, and all of them come."""
    with Network(build, **sizes) as network, Mirror(build, network, **{"repos.memory": memory}) as mirror:
        mirror.run_and_wait()
        base = mirror.memory()["resident_mb"]
        mirror.wish("add")
        began = time.monotonic()
        counters = mirror.repaired(1)
        took = time.monotonic() - began
        mirror.check()
        refused = counters.get("kv.repo_requests.getRepo_no_memory", 0)
        return {"accounts": len(network.accounts), "records": network.records, "seconds": took, "budget": memory,
                "refused": refused, "memory_mb": mirror.memory()["peak_mb"] - base}


def rows_of(database):
    """The rows of the likes table that answers now; -1 before there is one."""
    try:
        with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as rows:
            live = rows.execute("SELECT count(*) FROM recordkv_builds WHERE view = 'likes' AND live = 1").fetchone()[0]
            return rows.execute("SELECT count(*) FROM likes").fetchone()[0] if live else -1
    except sqlite3.Error:
        return -1


def network_first_run(build, sizes, enumerate_accounts):
    """From an empty store to the last row of the likes view, over a network with round trips."""
    settings = {"source.collections": json.dumps([LIKE]), "index.views": '["config/views/likes.toml"]'}
    if enumerate_accounts:
        settings |= {"repos.mode": "signal", "repos.signal_collection": LIKE}
    with Network(build, **sizes) as network, Mirror(build, network, **settings) as mirror:
        bare = network.bare()
        database = mirror.dir / "state" / "likes.db"
        if not enumerate_accounts:
            mirror.make_buckets()
            mirror.add_states()
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
        return {"accounts": len(network.accounts), "records": network.records, "hosts": sizes["hosts"],
                "delay_ms": sizes["delay"], "rows": rows, "seconds": took, "enumerated": enumerate_accounts,
                "bare": bare, "cpu_us": {n: s / network.records * 1e6 for n, s in mirror.used().items()}}


def met(good):
    return "met" if good else "MISSED"


def show_rate(what, row, target):
    cpu = ", ".join(f"{name} {us:.1f}" for name, us in row["cpu_us"].items())
    print(f"  {what}: {row['rate']:,.0f} records/s in {row['seconds']:.2f} s; bare {row['bare']:,.0f}/s, ratio "
          f"{row['ratio']:.2f}; CPU us a record: {cpu}; bare program and nats {row['bare_cpu_us']:.1f}; target "
          f"{target:,}: {met(row['rate'] >= target)}")


def show_repos(row):
    records = row["records"]
    print(f"{row['accounts']:,} repo{'s' * (row['accounts'] != 1)}, {records:,} records, "
          f"{row['car_bytes'] / records:.0f} bytes a record in the CAR, {row['json_bytes'] / records:.0f} as JSON")
    bare = row["rounds"][-1]["bare"]
    print("  bare, records/s (CPU us a record, nats-server's): " + ", ".join(
        f"{part} {records / s:,.0f} ({bare['cpu'][part] / records * 1e6:.1f}, "
        f"{bare['nats_cpu'][part] / records * 1e6:.1f})" for part, s in bare["seconds"].items()))
    show_rate("fetched, verified, diffed, stored", row["first"], TARGETS["first"])
    show_rate("again, nothing changed", row["again"], TARGETS["again"])
    if row["accounts"] == 1:
        car = row["car_bytes"] / 1e6
        most = max(r["memory_mb"] for r in row["rounds"]) * 1.048576
        print(f"  memory of kv above its start: {most:.0f} MB, {most / car:.2f} of the CAR ({car:.1f} MB); target "
              f"{TARGETS['memory']}: {met(most <= TARGETS['memory'] * car)}")
    sys.stdout.flush()


def show_budget(row):
    most = row["memory_mb"] * 1.048576
    print(f"repos.memory = {row['budget']}: {row['accounts']} repos of {row['records'] // row['accounts']:,} records "
          f"in {row['seconds']:.1f} s, {row['refused']:.0f} times one had to wait for memory; kv had {most:.0f} MB "
          f"above its start", flush=True)


def show_network(row):
    how = "enumerated" if row["enumerated"] else "given"
    print(f"first run, {row['accounts']:,} accounts ({how}) with {row['records']:,} likes on {row['hosts']} hosts, "
          f"round trips of {row['delay_ms']} ms: {row['rows']:,} rows after {row['seconds']:.1f} s; bare download "
          f"{row['bare']['seconds']['download']:.1f} s; target {TARGETS['network']:.0f} s: "
          f"{met(row['seconds'] <= TARGETS['network'])}", flush=True)


def measure(given):
    sizes = QUICK if given.quick else FULL
    rows = {}
    for what in ("large", "many"):
        if what not in given.skip:
            rows[what] = repos(given.build, sizes[what], 1 if given.quick else given.rounds)
            show_repos(rows[what])
    if "budget" not in given.skip:
        rows["budget"] = budget(given.build, sizes["budget"], BUDGET["quick" if given.quick else "full"])
        show_budget(rows["budget"])
    if "network" not in given.skip:
        rows["network"] = network_first_run(given.build, sizes["network"], not given.given)
        show_network(rows["network"])
    return rows


def main():
    ask = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ask.add_argument("build")
    ask.add_argument("--quick", action="store_true", help="a tenth of the records, one round")
    ask.add_argument("--rounds", type=int, default=3)
    ask.add_argument("--skip", action="append", default=[], choices=list(FULL))
    ask.add_argument("--given", action="store_true",
                     help="accounts of the slow network have states before the start; else they are found")
    ask.add_argument("--json", help="a file for all figures")
    given = ask.parse_args()
    rows = measure(given)
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; nats-server and simulator on the same ones")
    if given.json:
        pathlib.Path(given.json).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
