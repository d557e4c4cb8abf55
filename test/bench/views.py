"""Rebuilding a view, in both databases, beside the bare consumer of the same machine and run; and six views at once.

Owns: the stores that are measured on, the clock. Does not know: how views are kept.
Every measurement ends with a check of the rows' number: a figure for a wrong answer is worth nothing.
"""
import contextlib
import glob
import json
import sqlite3
import subprocess
import sys
import time

from bench_rig import ROOT, Connection, Rig, cpu_seconds, resident_mb
from figures import Figure, Wanted

sys.path.append(str(ROOT / "test" / "e2e"))
from postgres import Postgres  # noqa: E402

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

    def close(self) -> None:
        self.end()


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
        if not rows_in("sqlite:views.db", store.dir / "state", "links", None):
            raise SystemExit("bench: the view of links has no row")
        index.terminate()
        index.wait(30)
        return came, behind, used
    finally:
        store.end()


def figures(s):
    records = 200_000 if s.quick else 4_000_000
    with contextlib.closing(Store(s.build)) as store, contextlib.ExitStack() as opened:
        store.tool("fill", records, 0)
        kinds = [("SQLite", None, 0.7)]
        if not s.quick:
            kinds.append(("PostgreSQL", opened.enter_context(Postgres(
                fsync="on", full_page_writes="on", shared_buffers="512MB", max_wal_size="4GB")), 0.5))
        for name, postgres, wanted in kinds:
            bare = store.tool("read", LIKES)
            for what, (rate, cpu, mb) in zip(("first build", "rebuild"), rebuilds(store, records // 2, postgres)):
                yield Figure(f"{what} of likes, {name}", "/s", rate, "bare consumer", bare,
                             Wanted(wanted, of_ratio=True))
                yield Figure(f"recordkv's CPU a row, {what}, {name}", "us", cpu)
                yield Figure(f"recordkv's memory, {what}, {name}", "MB", mb)
    if s.quick:
        return
    came, behind, cpu = six_views(s.build, 30, 10_000)
    yield Figure("six views at 10,000 events/s: came", "/s", came)
    yield Figure("six views, behind at the end", "s", behind)
    yield Figure("recordkv's CPU an event, six views", "us", cpu)
