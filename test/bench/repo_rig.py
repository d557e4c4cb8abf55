"""What ./dev bench repos runs: a network whose accounts have repos from the start, and recordkv fetching them.

Owns: the simulator and recordkv with their settings, the wishes and states that start repairs, how far these are, and
the comparison of the store with the network's truth.
Does not know: what is measured, and the targets.
"""
import contextlib
import json
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.request
from types import SimpleNamespace
from typing import NamedTuple

from bench_rig import Connection, ROOT, Rig, counters_at, cpu_seconds, free_port, peak_mb, resident_mb
import check_store  # from test/oracle, which bench_rig has put into the path
import likes_table
from record_place import encoded

PATIENCE = 900  # seconds for one run
LIKE = "app.bsky.feed.like"
COMPARED = SimpleNamespace(no_headers=True, cids=False)  # a fetched record has the time at which it was fetched


class Account(NamedTuple):
    did: str
    pds: str
    records: int


class Network:
    """The simulator: relay, directory and PDS hosts. Every export is made before the first request."""

    def __init__(self, build, accounts, hosts=1, **options):
        self.dir = tempfile.TemporaryDirectory(prefix="recordkv-bench-network-")
        words = [str(w) for name, value in options.items() for w in (f"--{name}", value)]
        self.process = subprocess.Popen(
            [pathlib.Path(build) / "test" / "recordkv-sim", "--network", "signed", "--settled", "100", "--accounts",
             str(accounts), "--pds", str(hosts), *words, "--events", "1", "--wait-for-client", "--keep-exports",
             "--die-with-parent"], stdout=subprocess.PIPE, text=True)
        self.places = {}
        while "listening" not in self.places:
            line = self.process.stdout.readline()
            if not line:
                raise SystemExit("bench: the simulator ended")
            kind, url = line.split()
            self.places[kind] = url
        lines = map(json.loads, self.control("accounts").splitlines())
        self.accounts = [Account(a["did"], a["pds"], a["records"]) for a in lines]
        self.records = sum(a.records for a in self.accounts)
        self.list = pathlib.Path(self.dir.name) / "accounts"
        self.list.write_text("".join(f"{a.pds} {a.did}\n" for a in self.accounts), encoding="utf-8")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(30)
        self.dir.cleanup()

    def control(self, route):
        with urllib.request.urlopen(f"{self.places['control']}/{route}", timeout=120) as answer:
            return answer.read().decode()

    def facts(self):
        path = pathlib.Path(self.dir.name) / "truth.tsv"
        path.write_text(self.control("truth"), encoding="utf-8", newline="\n")
        return check_store.read_truth(str(path), [])

    def bare(self):
        """Seconds and CPU seconds of each part with nothing else done, by bench-bare-repos."""
        with Rig(pathlib.Path(self.process.args[0]).parents[1]) as rig:
            server = rig.start_nats()
            done = subprocess.run([rig.build / "test" / "bench-bare-repos", rig.url, str(server.pid), self.list],
                                  capture_output=True, text=True, check=False, timeout=PATIENCE)
            if done.returncode:
                raise SystemExit("bench: " + done.stderr)
            row = json.loads(done.stdout)
        if row["records"] != self.records:
            raise SystemExit(f"bench: {row['records']} records, must be {self.records}")
        return row


class Mirror(Rig):
    """A nats-server with an empty store, and recordkv beside a network."""

    def __init__(self, build, network, **settings):
        super().__init__(build)
        self.network = network
        self.settings = settings
        self.http = f"127.0.0.1:{free_port()}"
        self.nats = self.start_nats()
        self.wire = Connection(self.url, timeout=60)
        self.kv = None

    def run(self, stages="kv"):
        """Starts recordkv, and returns once it answers and its store is there."""
        places = self.network.places
        self.kv = self.recordkv({"source.kind": "firehose", "source.url": places["listening"],
                                 "nats.sync_interval": "10s", "identity.plc_url": places["plc"],
                                 "identity.allow_private_hosts": "true", "http.listen": self.http, **self.settings},
                                f"--stages={stages}", "run")

    def run_and_wait(self):
        self.run()
        self.wait(lambda now: now.get("kv.stage_up") == 1)

    def wish(self, what):
        """Writes a wish for each account."""
        for a in self.network.accounts:
            self.wire.publish(f"$KV.repo.want.{encoded(a.did)}", json.dumps({"did": a.did, "what": what}).encode())
        self.wire.api("STREAM.INFO.KV_repo")

    def wait(self, reached, every=0.02):
        """The counters, once `reached` says so of them."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            self.must_run(self.kv)
            with contextlib.suppress(OSError):
                now = counters_at(self.http)
                if reached(now):
                    return now
            time.sleep(every)
        raise SystemExit(f"bench: not done within {PATIENCE} s: {now}\n" + self.log().read_text(encoding="utf-8"))

    def repaired(self, times=1):
        """Waits until each account was repaired so often, and all of it is durable."""
        goal = times * len(self.network.accounts)
        return self.wait(lambda now: now.get("kv.repairs.done", 0) >= goal and now.get("kv.in_flight", 1) == 0)

    def used(self):
        """CPU seconds of each process so far."""
        return {"recordkv": cpu_seconds(self.kv.pid), "nats": cpu_seconds(self.nats.pid),
                "simulator": cpu_seconds(self.network.process.pid)}

    def memory(self):
        return {"resident_mb": resident_mb(self.kv.pid), "peak_mb": peak_mb(self.kv.pid)}

    def last_sequence(self):
        return self.wire.api("STREAM.INFO.KV_record")["state"]["last_seq"]

    def rows_in_the_end(self):
        """How many likes of the truth are rows of the likes view."""
        return len(likes_table.rows_expected({key: check_store.Found({}, fact.record.encode(), 0)
                                              for key, fact in self.network.facts().items()}))

    def check(self, sqlite=None):
        """Every key, CID and value of the store against the truth; with `sqlite`, the rows of its likes as well."""
        facts = self.network.facts()
        store = check_store.read_store(self.url, "record", ["KV_record"])
        report = check_store.check_records(facts, store, COMPARED)
        for key, found in store.items():
            if key in facts and found.headers.get("cid") != facts[key].cid:
                report.add("cid", f"{key}: {found.headers.get('cid')}, must be {facts[key].cid}")
        if sqlite:
            likes_table.check(report, store, sqlite)
        if report.faults or len(facts) < self.network.records:
            report.print(sys.stdout)
            raise SystemExit(f"bench: the store differs from the truth, which has {len(facts)} records")
        return report.notes
