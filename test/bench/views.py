#!/usr/bin/env python3
"""./dev bench views: rebuilding, lag and six views at once, beside the bare consumer of the same machine and run.

Owns: the stores that are measured on, the clock, the table. Does not know: how views are kept.
Every measurement ends with a check of the rows' number: a figure for a wrong answer is worth nothing.
"""
import argparse
import contextlib
import glob
import json
import os
import pathlib
import sqlite3
import subprocess
import sys
import threading
import time
import uuid

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "test" / "oracle"), str(ROOT / "test" / "e2e"), str(ROOT / "test" / "bench")]
from record_place import Place, key_of  # noqa: E402
from postgres import Postgres  # noqa: E402
from bench_rig import Connection, Rig, cpu_seconds, resident_mb  # noqa: E402

LIKES = "$KV.record.*.app.bsky.feed.like.*.*"


class Store(Rig):
    """A nats-server with a store in it, and recordkv processes over it."""

    def __init__(self, build):
        super().__init__(build)
        self.nats = self.start_nats()
        self.wire = Connection(self.url, timeout=60)

    def tool(self, *words) -> float:
        done = subprocess.run([self.build / "test" / "bench-view-store", self.url, *map(str, words)],
                              capture_output=True,
                              text=True, check=True, timeout=1200)
        return float(done.stdout)

    def index(self, database, views, http="") -> subprocess.Popen:
        return self.recordkv({"index.database": database, "index.views": json.dumps(views), "http.listen": http},
                             "--stages=index", "run")

    def command(self, database, views, *words):
        return subprocess.run([self.build / "src" / "cli" / "recordkv", "--set", f"nats.url={self.url}", "--set",
                               f"state.dir={self.dir}/state", "--set", f"index.database={database}", "--set",
                               f"index.views={json.dumps(views)}", *words], cwd=ROOT, capture_output=True, text=True,
                              timeout=1200)

    def last(self, subject) -> int:
        return self.wire.api("STREAM.MSG.GET.KV_record", last_by_subj=subject)["message"]["seq"]


def likes_only():
    return [str(ROOT / "config" / "views" / "likes.toml")]


def all_views():
    """Those of records, which are the default."""
    return sorted(f for f in glob.glob(str(ROOT / "config" / "views" / "*.toml")) if not f.endswith("/accounts.toml"))


def rows_in(database, state, table, postgres):
    if postgres:
        return int(postgres.query(f"SELECT count(*) FROM {table}"))
    with contextlib.closing(sqlite3.connect(f"file:{state}/{database.removeprefix('sqlite:')}?mode=ro",
                                            uri=True)) as db:
        return db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


def rebuilds(store, rows, postgres):
    """Rows a second from the first key to the swap, indexes and counters included."""
    database = postgres.url() if postgres else "sqlite:likes.db"
    index = store.index(database, likes_only())
    try:
        rates = []
        for n in range(2):
            before, began = cpu_seconds(index.pid), time.monotonic()
            if n == 0:
                done = store.command(database, likes_only(), "wait", "--view", "likes")
            else:
                done = store.command(database, likes_only(), "view", "rebuild", "likes")
            took = time.monotonic() - began
            if done.returncode:
                raise SystemExit(f"bench: {done.stderr}\n{store.log().read_text()}")
            there = rows_in(database, store.dir / "state", "likes", postgres)
            if there != rows:
                raise SystemExit(f"bench: {there} rows, must be {rows}")
            rates.append((rows / took, (cpu_seconds(index.pid) - before) / rows * 1e6, resident_mb(index.pid)))
        return rates
    finally:
        index.terminate()
        index.wait(30)


def lag(build, seconds, rate):
    """From the moment NATS has a like to the moment a reader of the database sees its row, while `rate` others a second
    come."""
    store = Store(build)
    try:
        store.tool("fill", 20_000, 0)
        index = store.index("sqlite:likes.db", likes_only())
        if store.command("sqlite:likes.db", likes_only(), "wait").returncode:
            raise SystemExit("bench: the view does not come up")
        filler = threading.Thread(target=lambda: store.tool("fill", rate * seconds, rate))
        filler.start()
        took = []
        with contextlib.closing(sqlite3.connect(f"file:{store.dir}/state/likes.db?mode=ro", uri=True)) as db:
            wire = Connection(store.url, timeout=30)
            while filler.is_alive():
                rkey = uuid.uuid4().hex[:13]
                post = "at://did:plc:abcdefghijklmnopqrstuvwx/app.bsky.feed.post/3k2222222222a"
                record = json.dumps({"subject": {"uri": post}})
                wire.request("$KV.record." + key_of(Place("did:plc:abcdefghijklmnopqrstuvwx", "app.bsky.feed.like",
                                                          rkey)), record.encode())
                began = time.monotonic()
                while not db.execute("SELECT 1 FROM likes WHERE did = ? AND collection = ? AND rkey = ?",
                                     ("did:plc:abcdefghijklmnopqrstuvwx", "app.bsky.feed.like", rkey)).fetchone():
                    if time.monotonic() - began > 20:
                        raise SystemExit("bench: a like does not arrive")
                    time.sleep(0.0005)
                took.append(time.monotonic() - began)
                time.sleep(0.01)
        index.terminate()
        index.wait(30)
        took.sort()
        return len(took), took[len(took) // 2], took[int(len(took) * 0.99)], took[-1]
    finally:
        store.end()


def six_views(build, seconds, rate):
    """Six views while `rate` events a second come: how far behind they are when the last has come."""
    store = Store(build)
    try:
        store.tool("fill", 50_000, 0)
        index = store.index("sqlite:views.db", all_views())
        if store.command("sqlite:views.db", all_views(), "wait").returncode:
            raise SystemExit("bench: the views do not come up")
        before = cpu_seconds(index.pid)
        came = store.tool("fill", rate * seconds, rate)
        began = time.monotonic()
        if store.command("sqlite:views.db", all_views(), "wait").returncode:
            raise SystemExit("bench: the views do not catch up")
        behind = time.monotonic() - began
        used = (cpu_seconds(index.pid) - before) / (rate * seconds) * 1e6
        links = rows_in("sqlite:views.db", store.dir / "state", "links", None)
        index.terminate()
        index.wait(30)
        return came, behind, used, links
    finally:
        store.end()


def main():
    ask = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ask.add_argument("build")
    ask.add_argument("--records", type=int, default=4_000_000)
    ask.add_argument("--seconds", type=int, default=30, help="of the paced measurements")
    ask.add_argument("--skip", action="append", default=[], choices=["rebuild", "postgres", "lag", "six"])
    given = ask.parse_args()
    if "rebuild" not in given.skip:
        store = Store(given.build)
        try:
            filled = store.tool("fill", given.records, 0)
            bare = [store.tool("read", LIKES) for _ in range(2)]
            print(f"store: {given.records:,} records, half of them likes, filled at {filled:,.0f}/s; bare consumer of "
                  f"the likes "
                  f"{bare[0]:,.0f} and {bare[1]:,.0f} rows/s", flush=True)
            with contextlib.ExitStack() as opened:
                kinds = [("SQLite, WAL, synchronous=NORMAL", None)]
                if "postgres" not in given.skip:
                    server = opened.enter_context(Postgres(fsync="on", full_page_writes="on", shared_buffers="512MB",
                                                           max_wal_size="4GB"))
                    kinds.append(("PostgreSQL, fsync on, synchronous_commit off", server))
                for name, postgres in kinds:
                    for what, (rate, cpu, mb) in zip(("first build", "view rebuild"),
                                                     rebuilds(store, given.records // 2, postgres)):
                        print(f"likes into {name}: {what}: {rate:,.0f} rows/s with indexes and counter, ratio to bare "
                              f"{rate / max(bare):.2f}; recordkv {cpu:.1f} us CPU a row, {mb:.0f} MB", flush=True)
            print(f"bare consumer again: {store.tool('read', LIKES):,.0f} rows/s", flush=True)
        finally:
            store.end()
    if "lag" not in given.skip:
        n, median, p99, worst = lag(given.build, given.seconds, 2000)
        print(f"lag of the likes view at 2,000 events/s, {n} probes: median {median * 1e3:.1f} ms, p99 {p99 * 1e3:.1f} "
              f"ms, "
              f"worst {worst * 1e3:.1f} ms", flush=True)
    if "six" not in given.skip:
        came, behind, cpu, links = six_views(given.build, given.seconds, 10_000)
        print(f"six views at 10,000 events/s for {given.seconds} s (came at {came:,.0f}/s): {behind:.2f} s behind at "
              f"the end, "
              f"{cpu:.0f} us CPU an event; {links:,} links", flush=True)


if __name__ == "__main__":
    main()
