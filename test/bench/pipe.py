"""Jetstream events from the websocket into the store and the likes view, as fast as they go.

Owns: the clock. Does not know: how the parts work.
"""
import json
import re
import subprocess
import time

from bench_rig import Connection, Rig, bare, check_likes, cpu_seconds, folded, free_port, messages_in, resident_mb
from figures import Figure, Wanted

FRAME_BYTES = 600  # of the bare pipe; the simulator's events have as many on average


def allocations(log):
    """How often a process has allocated, by jemalloc's own statistics at its end; 0 where it is not linked."""
    with open(log, encoding="utf-8", errors="replace") as f:
        found = re.search(r'\{"jemalloc":.*\}', f.read(), re.S)
    if not found:
        return 0
    merged = json.loads(found[0])["jemalloc"]["stats.arenas"]["merged"]
    return merged["small"]["nmalloc"] + merged["large"]["nmalloc"]


class Run:
    """One run from an empty store. `keys`: so many events come before the clock starts. `samples`: a file for perf's
    samples of recordkv."""

    def __init__(self, build, events, accounts, seed, stages="ingest,kv,index", keys=0, samples=None):
        self.events = events
        with Rig(build) as self.rig:
            self.measure(accounts, seed, stages, keys, samples)

    def measure(self, accounts, seed, stages, keys, samples):
        rig, total = self.rig, self.events + keys
        truth, port = rig.dir / "truth.tsv", free_port()
        sim = rig.start(rig.build / "test" / "recordkv-sim", "--seed", seed, "--accounts", accounts, "--events",
                        total, "--port", port, "--truth", truth, "--die-with-parent",
                        stdout=subprocess.PIPE, text=True)
        sim.stdout.readline()  # "listening …": the history is made, the clock begins after it
        server = rig.start_nats()
        kv = rig.recordkv({"source.kind": "jetstream", "source.url": f"ws://127.0.0.1:{port}",
                           "source.start": "oldest", "nats.sync_interval": "10s",
                           "index.views": '["config/views/likes.toml"]'}, f"--stages={stages}", "run",
                          MALLOC_CONF="stats_print:true,stats_print_opts:Jdablxe")
        self.pid, began = kv.pid, Mark(kv.pid, server.pid)
        if samples:  # of the whole machine: perf does not find every thread of a process that runs already
            rig.start("perf", "record", "-q", "-a", "-F", "999", "-o", samples, "--",
                      "tail", "-f", "/dev/null", "--pid", kv.pid)
        if keys:
            wait_for_writes(rig, kv, keys)
            began = Mark(kv.pid, server.pid)
            self.events = total - written(rig)
        folded(rig, truth, kv, "index" in stages)
        self.seconds, self.own_us, self.nats_us = Mark(kv.pid, server.pid).since(began, self.events)
        self.rate, self.memory = self.events / self.seconds, resident_mb(kv.pid)
        check_likes(rig, truth, kv, "index" in stages)
        rig.stop(kv)
        self.allocations = allocations(rig.log()) / total


class Mark:
    def __init__(self, *pids):
        self.at, self.used = time.monotonic(), [cpu_seconds(p) for p in pids]

    def since(self, before, events):
        """Seconds, and microseconds of CPU time an event of each process."""
        return self.at - before.at, *((now - was) / events * 1e6 for now, was in zip(self.used, before.used))


def written(rig):
    with Connection(rig.url) as client:
        info = json.loads(client.request("$JS.API.STREAM.INFO.KV_record").payload)
        return info.get("state", {}).get("last_seq", 0)


def wait_for_writes(rig, kv, count):
    while written(rig) < count:
        rig.must_run(kv)
        time.sleep(0.05)


def figures(s):
    """From the websocket to the row; and from the websocket to the store, with no view."""
    events, accounts = (60_000, 50_000) if s.quick else (300_000, 200_000)
    limits = {shape: bare(s.build, events, FRAME_BYTES, shape) for shape in ("frames", "ours", "records")}
    row = Run(s.build, events, accounts, 7 + s.run)
    yield Figure("Jetstream events to the likes row", "/s", row.rate, "one frame a message", limits["frames"].rate,
                 Wanted(0.65, of_ratio=True))
    yield Figure("the same beside exactly our messages", "/s", row.rate, "our messages", limits["ours"].rate)
    yield Figure("the same beside what no design can do without", "/s", row.rate, "a stored record, delivered",
                 limits["records"].rate)
    yield Figure("recordkv's CPU an event", "us", row.own_us, "nats-server, one frame a message",
                 limits["frames"].nats_cpu_us, Wanted(1, of_ratio=True, at_most=True))
    yield Figure("nats-server's CPU an event", "us", row.nats_us, "nats-server, our messages",
                 limits["ours"].nats_cpu_us)
    if row.allocations:
        yield Figure("allocations an event", "", row.allocations)
    yield Figure("recordkv's memory", "MB", row.memory)
    store = Run(s.build, events, accounts, 7 + s.run, "ingest,kv")
    yield Figure("Jetstream events to the store alone", "/s", store.rate, "one frame a message", limits["frames"].rate)
    yield Figure("recordkv's CPU an event, store alone", "us", store.own_us)


def growth(s):
    """The rate of the last events, when the store holds so many keys already. Once: it takes long."""
    if s.run:
        return
    events = 40_000 if s.quick else 300_000
    sizes = (20_000, 60_000) if s.quick else (100_000, 1_000_000, 5_000_000)
    rates, limits = [], []
    for keys in sizes:
        limits.append(bare(s.build, keys + events, FRAME_BYTES, "frames", last=events).rate)
        row = Run(s.build, events, 200_000, 7, keys=keys)
        rates.append(row.rate)
        yield Figure(f"at {keys:,} keys", "/s", row.rate, "one frame a message", limits[-1])
        yield Figure(f"memory at {keys:,} keys", "MB", row.memory)
    yield Figure("the last beside the first", "/s", rates[-1], "the first", rates[0], Wanted(0.8, of_ratio=True))
    yield Figure("the same of the bare pipe", "/s", limits[-1], "the first", limits[0])
