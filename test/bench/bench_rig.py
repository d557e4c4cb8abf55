"""What the benchmarks share: a nats-server of their own, recordkv and the simulator against it, and their figures.

Owns: the processes and their end, free ports, CPU time and memory of a process.
Does not know: what is measured.
"""
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from typing import NamedTuple

PATIENCE = 1800  # seconds for one run
NATS_SERVER = os.environ.get("RECORDKV_NATS_SERVER") or "nats-server"
# recordkv takes such variables for settings, and refuses those that it does not know.
for variable in [name for name in os.environ if name.startswith("RECORDKV_")]:
    del os.environ[variable]
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

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def start(self, *command, **how):
        child = subprocess.Popen([str(c) for c in command], **how)
        self.children.append(child)
        return child

    def start_nats(self):
        config = self.dir / "nats.conf"
        config.write_text(f'listen: "{self.url[7:]}"\nmax_payload: 8MB\n'
                          f'jetstream {{ store_dir: "{self.dir}/js", sync_interval: "10s" }}\n')
        server = self.start(NATS_SERVER, "-c", config, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                Connection(self.url).close()
                return server
            except (OSError, Failure):
                time.sleep(0.05)
        raise SystemExit("bench: nats-server did not start")

    def recordkv(self, settings, *words, **environment):
        """Starts recordkv with these settings and no others; its log is recordkv.log."""
        both = {"nats.url": self.url, "state.dir": f"{self.dir}/state", "http.listen": ""} | settings
        options = [word for key, value in both.items() for word in ("--set", f"{key}={value}")]
        with open(self.log(), "ab") as log:
            return self.start(self.build / "src" / "cli" / "recordkv", *options, *words, cwd=ROOT, stderr=log,
                              env=os.environ | environment)

    def log(self):
        return self.dir / "recordkv.log"

    def must_run(self, child):
        if child.poll() is not None:
            said = [line for line in self.log().read_text(encoding="utf-8").splitlines() if "jemalloc" not in line]
            raise SystemExit("\n".join(["bench: recordkv ended", *said]))

    @staticmethod
    def stop(child):
        if child.poll() is None:
            child.send_signal(signal.SIGINT)
            try:
                child.wait(15)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()

    def end(self):
        for child in reversed(self.children):
            self.stop(child)
        shutil.rmtree(self.dir, ignore_errors=True)


def messages_in(client, stream, otherwise=0):
    """How many messages a stream holds; `otherwise` while there is no such stream."""
    info = json.loads(client.request(f"$JS.API.STREAM.INFO.{stream}").payload)
    return info.get("state", {}).get("messages", otherwise)


class Bare(NamedTuple):
    """NATS traffic with nothing else done."""

    rate: float  # events a second
    nats_cpu_us: float  # of nats-server, an event


def bare(build, events, size, shape="frames", last=0):
    """`shape`: see bare_pipe.cpp. `last`: the rate is that of so many events at the end."""
    with Rig(build) as rig:
        server = rig.start_nats()
        done = subprocess.run([rig.build / "test" / "bench-bare-pipe", rig.url, str(events), str(size), shape,
                               str(last or events)], capture_output=True, text=True, check=True, timeout=PATIENCE)
        return Bare(float(done.stdout), cpu_seconds(server.pid) / events * 1e6)


def likes_sequence(database):
    """How far the likes table is, in the store's sequence; -1 before it exists."""
    try:
        with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as rows:
            value = rows.execute("SELECT seq FROM recordkv_builds WHERE view = 'likes' AND live = 1").fetchone()
        return max((int(n) for n in json.loads(value[0]).values()), default=0) if value and value[0] else 0
    except (sqlite3.Error, ValueError):
        return -1


def last_like(client):
    query = json.dumps({"last_by_subj": "$KV.record.*.app.bsky.feed.like.*.*"}).encode()
    answer = json.loads(client.request("$JS.API.STREAM.MSG.GET.KV_record", query).payload)
    return answer.get("message", {}).get("seq", 0)


def folded(rig, truth, kv, view=True):
    """Waits until the buffer is empty, the store holds as many keys as the truth, and the view has its last like."""
    records = sum(1 for line in open(truth, encoding="utf-8") if not line.startswith("#"))
    deadline = time.monotonic() + PATIENCE
    with Connection(rig.url) as client:
        while time.monotonic() < deadline:
            rig.must_run(kv)
            if messages_in(client, "KV_record") >= records and messages_in(client, "ingest", 1) == 0:
                if not view or likes_sequence(rig.dir / "state" / "likes.db") >= last_like(client):
                    return
            time.sleep(0.02)
    raise SystemExit(f"bench: not folded within {PATIENCE} s")


def check_likes(rig, truth, kv, view=True):
    """Every key and value of the store, and every row of the likes view, against the truth of the simulator."""
    folded(rig, truth, kv, view)
    rows = ["--sqlite", rig.dir / "state" / "likes.db"] if view else []
    done = subprocess.run([sys.executable, "-B", ROOT / "test" / "oracle" / "check_store.py", "--url", rig.url,
                           "--truth", truth, "--no-headers", *rows], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit("bench: the store differs from the truth\n" + done.stdout + done.stderr)


def counters_at(http):
    """Every counter of the process that answers there, by its stage, name and reason: "kv.repairs.done"."""
    with urllib.request.urlopen(f"http://{http}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    out = {}
    for name, labels, value in re.findall(r"^recordkv_(\w+?)(?:_total)?\{([^}]*)\} (\S+)$", text, re.M):
        reason = re.search(r'(?:reason|cause)="(\w+)"', labels)
        stage = re.search(r'stage="(\w+)"', labels)
        key = f"{name}.{reason[1]}" if reason else name
        out[f"{stage[1]}.{key}" if stage else key] = float(value)
    return out


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def status_mb(pid, field):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) / 1024
    return 0


def resident_mb(pid):
    return status_mb(pid, "VmRSS")


def peak_mb(pid):
    """The most that was resident since the process started."""
    return status_mb(pid, "VmHWM")
