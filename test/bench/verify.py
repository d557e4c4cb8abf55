#!/usr/bin/env python3
"""./dev bench verify: what it costs to verify every commit, in the pipe, on one core, and in memory.

Owns: the three measurements, their targets, the table. Does not know: how commits are verified.
The oracle checks the store of every run: a number for a wrong answer is worth nothing.
"""
import argparse
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from bench_rig import (Connection, ROOT, Rig, bare, counters_at, cpu_seconds, free_port, messages_in,  # noqa: E402
                       peak_mb, resident_mb)
from recordings import Network, record  # noqa: E402

TARGETS = {"pipe": 6_000, "core": 0.6, "memory": 250}
PATIENCE = 900  # seconds for one run


class Replay(Rig):
    """A nats-server, a recording served as a relay and a directory, and recordkv following it."""

    def __init__(self, build, recording):
        super().__init__(build)
        self.recording = recording
        self.nats = self.start_nats()
        self.http = f"127.0.0.1:{free_port()}"
        sim = self.start(self.build / "test" / "recordkv-sim", "--network", "signed", "--replay", recording.path,
                         "--die-with-parent", stdout=subprocess.PIPE, text=True)
        self.places = {}
        while "listening" not in self.places:
            kind, url = sim.stdout.readline().split()
            self.places[kind] = url

    def know(self, accounts):
        """Writes account states, as a recordkv that has run for long would have left them."""
        done = subprocess.run([self.build / "test" / "bench-account-states", self.url, self.recording.path,
                               str(accounts)], capture_output=True, text=True, check=True, timeout=PATIENCE)
        return int(done.stdout)

    def follow(self, *stages, http=""):
        return self.recordkv({"source.kind": "firehose", "source.url": self.places["listening"],
                              "source.start": "oldest", "nats.sync_interval": "10s", "kv.verify": "full",
                              "identity.plc_url": self.places["plc"], "identity.allow_private_hosts": "true",
                              "http.listen": http}, f"--stages={','.join(stages)}", "run")

    def counters(self):
        return counters_at(self.http)

    def plc_requests(self):
        with urllib.request.urlopen(self.places["control"] + "/state", timeout=10) as answer:
            return json.load(answer)["plc_requests"]

    def wait_until_stored(self, *processes):
        """Until stage kv has settled every message of the recording, and the buffer is empty."""
        deadline = time.monotonic() + PATIENCE
        with Connection(self.url) as client:
            while time.monotonic() < deadline:
                for p in processes:
                    self.must_run(p)
                with contextlib.suppress(OSError):
                    now = self.counters()
                    if now.get("kv.events", 0) >= self.recording.messages and messages_in(client, "ingest", 1) == 0:
                        return now
                time.sleep(0.1)
        raise SystemExit(f"bench: not stored within {PATIENCE} s\n" + self.log().read_text(encoding="utf-8"))

    def check(self, counters):
        """Every key and value of the store against the truth of the simulator; no commit was doubted."""
        done = subprocess.run([sys.executable, "-B", ROOT / "test" / "oracle" / "check_store.py", "--url", self.url,
                               "--truth", self.recording.truth], capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit("bench: the store differs from the truth\n" + done.stdout + done.stderr)
        commits = counters["kv.commits"]
        if counters.get("kv.verdicts.proven") != commits or any("account_faults" in c for c in counters):
            raise SystemExit(f"bench: {commits:.0f} commits, and not all of them proven: {counters}")
        return done.stdout.strip()


def pipe(build, recording, known):
    """Commits a second from the relay's socket to the store. `known`: so many accounts have a state with a key; none:
    the key of each is looked up."""
    limit = bare(build, recording.messages, int(recording.mean_bytes)).rate
    with Replay(build, recording) as rig:
        if known:
            rig.know(known)
        began, nats_before = time.monotonic(), cpu_seconds(rig.nats.pid)
        kv = rig.follow("ingest", "kv", http=rig.http)
        counters = rig.wait_until_stored(kv)
        took = time.monotonic() - began
        commits = counters["kv.commits"]
        return {"known": known, "commits": commits, "seconds": took, "rate": commits / took, "bare": limit,
                "mean_bytes": recording.mean_bytes, "senders": recording.senders, "plc_requests": rig.plc_requests(),
                "recordkv_us": cpu_seconds(kv.pid) / commits * 1e6,
                "nats_us": (cpu_seconds(rig.nats.pid) - nats_before) / commits * 1e6,
                "recordkv_mb": peak_mb(kv.pid), "oracle": rig.check(counters)}


def core(build, recording, commits, rounds):
    done = subprocess.run([pathlib.Path(build) / "test" / "bench-verify-core", recording.path, str(commits),
                           str(rounds)], capture_output=True, text=True, check=True, timeout=PATIENCE)
    row = json.loads(done.stdout)
    row["ratios"] = {part: row["us"]["bare"] / us for part, us in row["us"].items()}
    return row


def memory(build, recording, accounts):
    """Resident memory of a kv process that knows so many accounts, while those of the recording send commits."""
    with Replay(build, recording) as rig:
        known = rig.know(accounts)
        kv = rig.follow("kv", http=rig.http)
        wait_for_line(rig, kv, f"{known + 1} accounts have a state")  # key meta counts as one
        started = resident_mb(kv.pid)
        requests = rig.plc_requests()
        ingest = rig.follow("ingest")
        counters = rig.wait_until_stored(kv, ingest)
        return {"accounts": known, "started_mb": started, "start_requests": requests, "peak_mb": peak_mb(kv.pid),
                "end_mb": resident_mb(kv.pid), "commits": counters["kv.commits"], "senders": recording.senders,
                "look_ups_without_key": counters.get("kv.key_look_ups.no_key", 0),
                "plc_requests": rig.plc_requests(), "oracle": rig.check(counters)}


def wait_for_line(rig, process, text):
    deadline = time.monotonic() + PATIENCE
    while text not in rig.log().read_text(encoding="utf-8"):
        rig.must_run(process)
        if time.monotonic() > deadline:
            raise SystemExit(f"bench: the log never says: {text}")
        time.sleep(0.1)


def met(good):
    return "met" if good else "MISSED"


def show_core(row):
    us, ratios = row["us"], row["ratios"]
    print(f"one core, {row['commits']:,} commits of {row['mean_bytes']:,.0f} bytes, {row['p256_share']:.0%} of them "
          f"p256: bare signature check {us['bare']:.1f} us")
    for part, what in (("signature", "signature, with reading the key"), ("checks", "every check, no JSON"),
                       ("decode", "decoding alone, to JSON"), ("everything", "every check and JSON")):
        print(f"  {what}: {us[part]:.1f} us, {1e6 / us[part]:,.0f}/s, {ratios[part]:.2f} of bare")
    print(f"  target {TARGETS['core']} of bare, every check: {met(ratios['checks'] >= TARGETS['core'])}", flush=True)


def show_pipe(row):
    print(f"pipe, {row['commits']:,.0f} commits, {row['mean_bytes']:,.0f} bytes a message, {row['senders']:,} "
          f"accounts sending, {row['known']:,} accounts known before, {row['plc_requests']:,} look-ups: "
          f"{row['rate']:,.0f} commits/s; bare NATS pipe {row['bare']:,.0f}/s, ratio {row['rate'] / row['bare']:.2f}; "
          f"CPU a commit: recordkv {row['recordkv_us']:.0f} us, nats-server {row['nats_us']:.0f} us; "
          f"{row['recordkv_mb']:.0f} MB; target {TARGETS['pipe']:,}: {met(row['rate'] >= TARGETS['pipe'])}", flush=True)


def show_memory(row):
    print(f"memory of kv with {row['accounts']:,} accounts known: {row['started_mb']:.0f} MB after the start, "
          f"{row['peak_mb']:.0f} MB at most while {row['senders']:,} of them sent {row['commits']:,.0f} commits; "
          f"target {TARGETS['memory']}: {met(row['peak_mb'] <= TARGETS['memory'])}")
    print(f"look-ups at the start: {row['start_requests']}; for want of a key: {row['look_ups_without_key']:.0f}; "
          f"after #identity: {row['plc_requests']}", flush=True)


def measure(given, directory):
    small = given.quick
    pipe_network = Network(20_000, 30_000, 3_000) if small else Network(200_000, 300_000, 3_000)
    memory_network = Network(100_000, 30_000, 20) if small else Network(1_000_000, 900_000, 20)
    rows = {}
    if "core" not in given.skip or "pipe" not in given.skip:
        frames = record(given.build, directory, pipe_network)
    if "core" not in given.skip:
        rows["core"] = core(given.build, frames, 3_000, 3 if small else 10)
        show_core(rows["core"])
    if "pipe" not in given.skip:
        rows["pipe"] = []
        for known in (pipe_network.accounts, 0):
            rows["pipe"].append(pipe(given.build, frames, known))
            show_pipe(rows["pipe"][-1])
    if "memory" not in given.skip:
        frames = record(given.build, directory, memory_network)
        rows["memory"] = memory(given.build, frames, memory_network.accounts)
        show_memory(rows["memory"])
    return rows


def main():
    ask = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ask.add_argument("build")
    ask.add_argument("--quick", action="store_true", help="a tenth of the accounts and messages")
    ask.add_argument("--skip", action="append", default=[], choices=["core", "pipe", "memory"])
    ask.add_argument("--recordings", help="a directory that keeps the recordings for the next run")
    ask.add_argument("--json", help="a file for all figures")
    given = ask.parse_args()
    with contextlib.ExitStack() as opened:
        directory = given.recordings or opened.enter_context(tempfile.TemporaryDirectory(prefix="recordkv-bench-"))
        os.makedirs(directory, exist_ok=True)
        rows = measure(given, directory)
    if given.json:
        pathlib.Path(given.json).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
