#!/usr/bin/env python3
"""./dev bench: events a second from the websocket to the likes row, beside the bare limit of the same machine and run.

Owns: starting the parts, the clock, the table. Does not know: how the parts work.
The oracle checks the result of every run: a number for a wrong answer is worth nothing.
"""
import argparse
import json
import os
import pathlib
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "test" / "oracle"))
from nats_wire import Connection, Failure  # noqa: E402


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Rig:
    """A nats-server in a directory of its own, and what runs against it; all of it gone at the end."""

    def __init__(self, build):
        self.build = pathlib.Path(build)
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="recordkv-bench-"))
        self.children = []
        self.url = f"nats://127.0.0.1:{free_port()}"

    def start(self, *command, **how):
        child = subprocess.Popen([str(c) for c in command], **how)
        self.children.append(child)
        return child

    def start_nats(self):
        config = self.dir / "nats.conf"
        config.write_text(f'listen: "{self.url[7:]}"\nmax_payload: 8MB\n'
                          f'jetstream {{ store_dir: "{self.dir}/js", sync_interval: "10s" }}\n')
        server = self.start(os.environ.get("RECORDKV_NATS_SERVER") or "nats-server", "-c", config,
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                Connection(self.url).close()
                return server
            except (OSError, Failure):
                time.sleep(0.05)
        raise SystemExit("bench: nats-server did not start")

    def end(self):
        for child in reversed(self.children):
            if child.poll() is None:
                child.send_signal(signal.SIGINT)
                try:
                    child.wait(15)
                except subprocess.TimeoutExpired:
                    child.kill()
                    child.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0


def bare(build, events, size):
    rig = Rig(build)
    try:
        rig.start_nats()
        done = subprocess.run([rig.build / "test" / "bench-bare-pipe", rig.url, str(events), str(size)],
                              capture_output=True, text=True, check=True, timeout=300)
        return float(done.stdout)
    finally:
        rig.end()


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
        log = open(rig.dir / "recordkv.log", "w", encoding="utf-8")
        began = time.monotonic()
        kv = rig.start(rig.build / "src" / "cli" / "recordkv", "--set", f"nats.url={rig.url}", "--set",
                       "source.kind=jetstream",
                       "--set", f"source.url=ws://127.0.0.1:{sim_port}", "--set", "source.start=oldest", "--set",
                       f"state.dir={rig.dir}/state", "--set", "nats.sync_interval=10s", "--set",
                       'index.views=["config/views/likes.toml"]', "--set", "http.listen=", "run", cwd=ROOT, stderr=log)
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

    def info(stream):
        return json.loads(client.request(f"$JS.API.STREAM.INFO.{stream}").payload)

    def last_like():
        query = json.dumps({"last_by_subj": "$KV.record.*.app.bsky.feed.like.*.*"}).encode()
        return json.loads(client.request("$JS.API.STREAM.MSG.GET.KV_record", query).payload).get("message",
                                                                                                 {}).get("seq", 0)

    records = sum(1 for line in open(truth, encoding="utf-8") if not line.startswith("#"))
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        if kv.poll() is not None:
            raise SystemExit("bench: recordkv ended\n" + (rig.dir / "recordkv.log").read_text())
        keys = info("KV_record").get("state", {}).get("messages", 0)
        if keys >= records and info("ingest").get("state", {}).get("messages", 1) == 0:
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
        row["bare"] = limit
        rows.append(row)
        if not given.json:
            print(f"run {run + 1}: {row['rate']:,.0f} events/s from websocket to likes row; bare NATS pipe "
                  f"{limit:,.0f}/s; "
                  f"ratio {row['rate'] / limit:.2f}; CPU an event: recordkv {row['recordkv_cpu_us']:.0f} us, "
                  f"nats-server {row['nats_cpu_us']:.0f} us; recordkv {row['recordkv_mb']:.0f} MB", flush=True)
    best = max(rows, key=lambda r: r["rate"])
    if given.json:
        print(json.dumps(rows))
    else:
        print(f"best of {given.runs}: {best['rate']:,.0f} events/s ({given.events:,} events, {given.accounts:,} "
              f"accounts, "
              f"{os.cpu_count()} cores, load generator and nats-server on the same ones)")


if __name__ == "__main__":
    main()
