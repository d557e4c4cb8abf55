"""What the benchmarks share: a nats-server of their own, recordkv and the simulator against it, and their figures.

Owns: the processes and their end, free ports, CPU time and memory of a process.
Does not know: what is measured.
"""
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from typing import NamedTuple

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

    def recordkv(self, settings, *words):
        """Starts recordkv with these settings; its log is recordkv.log."""
        both = {"nats.url": self.url, "state.dir": f"{self.dir}/state", "http.listen": ""} | settings
        options = [word for key, value in both.items() for word in ("--set", f"{key}={value}")]
        with open(self.log(), "ab") as log:
            return self.start(self.build / "src" / "cli" / "recordkv", *options, *words, cwd=ROOT, stderr=log)

    def log(self):
        return self.dir / "recordkv.log"

    def must_run(self, child):
        if child.poll() is not None:
            raise SystemExit("bench: recordkv ended\n" + self.log().read_text(encoding="utf-8"))

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


def messages_in(client, stream, otherwise=0):
    """How many messages a stream holds; `otherwise` while there is no such stream."""
    info = json.loads(client.request(f"$JS.API.STREAM.INFO.{stream}").payload)
    return info.get("state", {}).get("messages", otherwise)


class Bare(NamedTuple):
    """The same NATS streams with nothing else done."""

    rate: float  # events a second
    nats_cpu_us: float  # of nats-server, an event


def bare(build, events, size):
    with Rig(build) as rig:
        server = rig.start_nats()
        done = subprocess.run([rig.build / "test" / "bench-bare-pipe", rig.url, str(events), str(size)],
                              capture_output=True, text=True, check=True, timeout=600)
        return Bare(float(done.stdout), cpu_seconds(server.pid) / events * 1e6)


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
