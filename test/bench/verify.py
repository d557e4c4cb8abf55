"""What it costs to verify every commit, in the pipe, on one core, and in memory.

Owns: the three measurements. Does not know: how commits are verified.
The oracle checks the store of every run: a number for a wrong answer is worth nothing.
"""
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import time
import urllib.request

from bench_rig import (PATIENCE, Connection, ROOT, Rig, bare, counters_at, cpu_seconds, free_port, last_like,
                       likes_sequence, messages_in, peak_mb, resident_mb)
from figures import Figure, Wanted
from recordings import Network, record

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
                              "index.views": '["config/views/likes.toml"]', "http.listen": http},
                             f"--stages={','.join(stages)}", "run")

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

    def wait_until_folded(self):
        """Until the likes view has the store's last like."""
        with Connection(self.url) as client:
            wanted, deadline = last_like(client), time.monotonic() + PATIENCE
        while likes_sequence(self.dir / "state" / "likes.db") < wanted:
            if time.monotonic() > deadline:
                raise SystemExit(f"bench: the view does not have its rows within {PATIENCE} s")
            time.sleep(0.02)

    def check(self, counters, *more):
        """Every key and value of the store against the truth of the simulator; no commit was doubted. `more`: of the
        oracle's options."""
        done = subprocess.run([sys.executable, "-B", ROOT / "test" / "oracle" / "check_store.py", "--url", self.url,
                               "--truth", self.recording.truth, *more], capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit("bench: the store differs from the truth\n" + done.stdout + done.stderr)
        commits = counters["kv.commits"]
        if counters.get("kv.verdicts.proven") != commits or any("account_faults" in c for c in counters):
            raise SystemExit(f"bench: {commits:.0f} commits, and not all of them proven: {counters}")


def pipe(build, recording, known):
    """Commits a second from the relay's socket to the likes row. `known`: so many accounts have a state with a key;
    none: the key of each is looked up."""
    limit = bare(build, recording.messages, int(recording.mean_bytes)).rate
    with Replay(build, recording) as rig:
        if known:
            rig.know(known)
        began, nats_before = time.monotonic(), cpu_seconds(rig.nats.pid)
        kv = rig.follow("ingest", "kv", "index", http=rig.http)
        counters = rig.wait_until_stored(kv)
        rig.wait_until_folded()
        took = time.monotonic() - began
        commits = counters["kv.commits"]
        row = {"rate": commits / took, "bare": limit, "recordkv_us": cpu_seconds(kv.pid) / commits * 1e6,
               "nats_us": (cpu_seconds(rig.nats.pid) - nats_before) / commits * 1e6}
        rig.check(counters, "--sqlite", rig.dir / "state" / "likes.db")
        return row


def core(build, recording, commits, rounds):
    done = subprocess.run([pathlib.Path(build) / "test" / "bench-verify-core", recording.path, str(commits),
                           str(rounds)], capture_output=True, text=True, check=True, timeout=PATIENCE)
    return json.loads(done.stdout)["us"]


def memory(build, recording, accounts):
    """Resident memory of a kv process that knows so many accounts, while those of the recording send commits."""
    with Replay(build, recording) as rig:
        known = rig.know(accounts)
        kv = rig.follow("kv", http=rig.http)
        wait_for_line(rig, kv, f"{known} accounts have a state")
        started = resident_mb(kv.pid)
        if rig.plc_requests():
            raise SystemExit("bench: known accounts were looked up at the start")
        ingest = rig.follow("ingest")
        counters = rig.wait_until_stored(kv, ingest)
        most = peak_mb(kv.pid)
        rig.check(counters)
        return started, most


def wait_for_line(rig, process, text):
    deadline = time.monotonic() + PATIENCE
    while text not in rig.log().read_text(encoding="utf-8"):
        rig.must_run(process)
        if time.monotonic() > deadline:
            raise SystemExit(f"bench: the log never says: {text}")
        time.sleep(0.1)


def figures(s):
    small = s.quick
    network = Network(20_000, 30_000, 3_000) if small else Network(200_000, 300_000, 3_000)
    frames = record(s.build, s.directory, network)
    alone = core(s.build, frames, 3_000, 3 if small else 10)
    for part, what in (("checks", "every check of a commit, one core"), ("everything", "the same, and JSON")):
        yield Figure(what, "/s", 1e6 / alone[part], "bare signature check", 1e6 / alone["bare"],
                     Wanted(0.6, of_ratio=True) if part == "checks" else None)
    row = pipe(s.build, frames, network.accounts)
    both = 1 / (1 / row["bare"] + alone["everything"] / 1e6 / os.cpu_count())
    yield Figure("verified commits to the likes row", "/s", row["rate"], "bare pipe and verification", both,
                 Wanted(0.75, of_ratio=True))
    yield Figure("the same beside the bare pipe", "/s", row["rate"], "one frame a message", row["bare"])
    yield Figure("recordkv's CPU a commit", "us", row["recordkv_us"])
    yield Figure("nats-server's CPU a commit", "us", row["nats_us"])
    if s.run or small:
        return
    yield Figure("each account looked up once", "/s", pipe(s.build, frames, 0)["rate"], "one frame a message",
                 row["bare"])
    network = Network(1_000_000, 900_000, 20)
    frames = record(s.build, s.directory, network)
    started, most = memory(s.build, frames, network.accounts)
    yield Figure("memory of kv, 1,000,000 accounts known, at its start", "MB", started)
    yield Figure(f"at most, while {frames.senders:,} of them send", "MB", most, wanted=Wanted(250, at_most=True))
