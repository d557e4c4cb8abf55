#!/usr/bin/env python3
"""./dev bench: events a second from the websocket to the likes row, beside the bare limit of the same machine and run.

Owns: starting the parts, the clock, the table. Does not know: how the parts work.
The oracle checks the result of every run: a number for a wrong answer is worth nothing.
"""
import argparse
import json
import os
import pathlib
import sqlite3
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from bench_rig import Connection, ROOT, Rig, bare, cpu_seconds, free_port, messages_in, resident_mb  # noqa: E402


# what, its name in the JSON, and how it is written
COLUMNS = [("events/s", "rate", ",.0f"), ("of the bare pipe", "ratio", ".2f"),
           ("recordkv, us of CPU an event", "recordkv_cpu_us", ".1f"),
           ("nats-server, us of CPU an event", "nats_cpu_us", ".1f"),
           ("nats-server in the bare pipe", "bare_nats_cpu_us", ".1f"), ("recordkv, MB", "recordkv_mb", ",.0f")]


def likes_sequence(database):
    """How far the likes table is, in the store's sequence; -1 before it exists."""
    try:
        with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as rows:
            value = rows.execute("SELECT seq FROM recordkv_builds WHERE view = 'likes' AND live = 1").fetchone()
        return max((int(n) for n in json.loads(value[0]).values()), default=0) if value and value[0] else 0
    except (sqlite3.Error, ValueError):
        return -1


def pipe(build, events, accounts, seed):
    rig = Rig(build)
    try:
        truth = rig.dir / "truth.tsv"
        sim_port = free_port()
        sim = rig.start(rig.build / "test" / "recordkv-sim", "--seed", seed, "--accounts", accounts, "--events", events,
                        "--port", sim_port, "--truth", truth, "--die-with-parent", stdout=subprocess.PIPE, text=True)
        sim.stdout.readline()  # "listening …": the history is made, the clock begins after it
        server = rig.start_nats()
        began = time.monotonic()
        kv = rig.recordkv({"source.kind": "jetstream", "source.url": f"ws://127.0.0.1:{sim_port}",
                           "source.start": "oldest", "nats.sync_interval": "10s",
                           "index.views": '["config/views/likes.toml"]'}, "run")
        check = [sys.executable, "-B", str(ROOT / "test" / "oracle" / "check_store.py"), "--url", rig.url, "--truth",
                 str(truth),
                 "--sqlite", f"{rig.dir}/state/likes.db", "--no-headers"]
        took = wait_until_folded(rig, truth, began, kv)
        row = {"events": events, "seconds": took, "rate": events / took,
               "recordkv_cpu_us": cpu_seconds(kv.pid) / events * 1e6,
               "nats_cpu_us": cpu_seconds(server.pid) / events * 1e6, "recordkv_mb": resident_mb(kv.pid)}
        equal = subprocess.run(check, capture_output=True, text=True, check=False)
        if equal.returncode:
            raise SystemExit("bench: the store differs from the truth\n" + equal.stdout)
        return row
    finally:
        rig.end()


def wait_until_folded(rig, truth, began, kv):
    """Seconds until the buffer is empty, the store stands still and the likes table has reached its last like."""
    client = Connection(rig.url)

    def last_like():
        query = json.dumps({"last_by_subj": "$KV.record.*.app.bsky.feed.like.*.*"}).encode()
        return json.loads(client.request("$JS.API.STREAM.MSG.GET.KV_record", query).payload).get("message",
                                                                                                 {}).get("seq", 0)

    records = sum(1 for line in open(truth, encoding="utf-8") if not line.startswith("#"))
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        rig.must_run(kv)
        if messages_in(client, "KV_record") >= records and messages_in(client, "ingest", 1) == 0:
            now = time.monotonic() - began
            if likes_sequence(rig.dir / "state" / "likes.db") >= last_like():
                client.close()
                return now
        time.sleep(0.02)
    raise SystemExit("bench: not folded within 600 s")


def main():
    ask = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ask.add_argument("build")
    ask.add_argument("--events", type=int, default=300_000)
    ask.add_argument("--accounts", type=int, default=200_000)
    ask.add_argument("--runs", type=int, default=3)
    ask.add_argument("--json", action="store_true")
    given = ask.parse_args()
    rows = []
    for run in range(given.runs):
        limit = bare(given.build, given.events, 600)
        row = pipe(given.build, given.events, given.accounts, 7 + run)
        row |= {"bare": limit.rate, "bare_nats_cpu_us": limit.nats_cpu_us, "ratio": row["rate"] / limit.rate}
        rows.append(row)
        if not given.json:
            print(f"run {run + 1}: {row['rate']:,.0f} events/s from websocket to likes row; bare NATS pipe "
                  f"{row['bare']:,.0f}/s; ratio {row['ratio']:.2f}; CPU an event: recordkv "
                  f"{row['recordkv_cpu_us']:.0f} us, nats-server {row['nats_cpu_us']:.0f} us, in the bare pipe "
                  f"{row['bare_nats_cpu_us']:.0f} us; recordkv {row['recordkv_mb']:.0f} MB", flush=True)
    if given.json:
        print(json.dumps(rows))
        return
    print(f"median of {given.runs} ({given.events:,} events, {given.accounts:,} accounts, {os.cpu_count()} cores, load "
          "generator and nats-server on the same ones):")
    for what, key, form in COLUMNS:
        values = sorted(row[key] for row in rows)
        print(f"  {what:<38} {statistics.median(values):{form}}  ({values[0]:{form}} to {values[-1]:{form}})")


if __name__ == "__main__":
    main()
