"""Every stall is named: produced on purpose, told by status, /readyz and the metric within ten seconds, and gone when
it ends.

Owns: one test a cause. The figures of a process that is well: test_http.
"""

import datetime
import json
import os
import re
import signal
import sqlite3
import subprocess
import time
import unittest

from rig import ROOT, Rig, answer, free_port, program, wait_for

NAMED_WITHIN = 10


class StallRig(Rig):
    def __init__(self, **settings):
        self.http = free_port()
        super().__init__(**{"http.listen": f"127.0.0.1:{self.http}", **settings})

    def ask(self, path: str) -> tuple:
        return answer(self.http, path)

    def stalled_in_metrics(self) -> set:
        return set(re.findall(r'^recordkv_stalled\{stage="\w+",part="([\w-]+)",cause="(\w+)"\} 1$',
                              self.ask("/metrics")[1], re.M))

    def stalled_in_readyz(self) -> set:
        code, body = self.ask("/readyz")
        parts = {(p["part"], p["cause"]) for p in json.loads(body)["parts"] if "cause" in p}
        if bool(parts) != (code == 503) and code != 200:
            return {(str(code), body)}
        return parts

    def stalled_in_status(self) -> set:
        done = self.command("status", "--json")
        if done.returncode == 3:
            return {("nats", done.stderr)}
        return {(s["key"], s["cause"]) for s in json.loads(done.stdout)["stages"] if s["state"] == "stalled"}

    def well(self) -> bool:
        return self.ask("/readyz")[0] == 200 and not self.stalled_in_metrics()

    def named(self, part: str, cause: str, by_status: bool = True) -> None:
        want = (part, cause)
        wait_for(f"the metric names {want}", lambda: want in self.stalled_in_metrics(), NAMED_WITHIN)
        wait_for(f"/readyz names {want}", lambda: want in self.stalled_in_readyz(), NAMED_WITHIN)
        self.assert_unready()
        if by_status:
            wait_for(f"status names {want}", lambda: want in self.stalled_in_status(), NAMED_WITHIN, every=0.2)

    def assert_unready(self) -> None:
        code, body = self.ask("/readyz")
        assert code == 503 and json.loads(body)["reasons"], (code, body)

    def cleared(self) -> None:
        wait_for("it ends", lambda: self.well() and not self.stalled_in_status(), 30, every=0.2)


class MetricsTest(unittest.TestCase):
    def test_promtool_accepts_them(self):
        """Prometheus' own judge, on a process that has worked and one that stands by; and the alarms know these
        series."""
        with StallRig() as rig:
            rig.nats()
            rig.simulator("--events", 3000, "--rate", 1000, "--wait-for-client")
            rig.recordkv()
            wait_for("records arrive", lambda: rig.stream("KV_record")["messages"] > 500)
            wait_for("rows are visible", lambda: re.search(r"^recordkv_visible_seconds_count\{.*\} [1-9]",
                                                           rig.ask("/metrics")[1], re.M))
            wait_for("the streams are known", lambda: "recordkv_store_keys" in rig.ask("/metrics")[1])
            first, other = rig.ask("/metrics")[1], free_port()
            rig.settings["http.listen"] = f"127.0.0.1:{other}"
            second = rig.recordkv("ingest", "second")
            wait_for("it stands by", lambda: "standing by" in second.text())
            rig.http = other
            wait_for("/metrics says so",
                     lambda: 'recordkv_standby{stage="ingest",part="ingest"} 1' in rig.ask("/metrics")[1])
            self.assertEqual(rig.ask("/readyz")[0], 200)
            for text in (first, rig.ask("/metrics")[1]):
                judged = subprocess.run([program("PROMTOOL", "promtool"), "check", "metrics"], input=text, text=True,
                                        capture_output=True, timeout=30, check=False)
                self.assertEqual((judged.returncode, judged.stdout + judged.stderr), (0, ""))
            with open(os.path.join(ROOT, "config", "alerts.yaml"), encoding="utf-8") as f:
                asked_for = set(re.findall(r"recordkv_[a-z_]+", f.read()))
            absent = {name for name in asked_for if f"\n{name}" not in "\n" + first}
            # A series from the first on; and one that PostgreSQL alone has.
            counted_later = {"recordkv_errors_total", "recordkv_source_reconnects_total",
                             "recordkv_view_oldest_transaction_seconds"}
            self.assertEqual(absent - counted_later, set())


class BehindTest(unittest.TestCase):
    def test_far_behind_the_network_it_is_not_ready(self):
        """A user of records that are two hours old is told so, although nothing waits in NATS."""
        with StallRig() as rig:
            rig.nats()
            rig.simulator("--events", 100_000, "--rate", 400, "--wait-for-client", "--base",
                          int((time.time() - 7200) * 1e6), truth=False)
            rig.recordkv()
            wait_for("records arrive", lambda: rig.stream("KV_record")["messages"] > 100)
            wait_for("/readyz says so", lambda: "ingest: lags by 7" in rig.ask("/readyz")[1])
            self.assertEqual(rig.ask("/readyz")[0], 503)
            behind = re.search(r'^recordkv_lag_seconds\{stage="ingest",part="ingest"\} (\S+)$', rig.ask("/metrics")[1],
                               re.M)
            self.assertGreater(float(behind[1]), 7000)
            wait_for("status says so", lambda: rig.report("ingest").get("lag_seconds", 0) > 7000)


class StallTest(unittest.TestCase):
    def flowing(self, rig: StallRig, rate: int = 400) -> None:
        rig.simulator("--events", 100_000, "--rate", rate, "--accounts", 300, "--wait-for-client", truth=False)
        rig.recordkv()
        wait_for("records arrive", lambda: rig.stream("KV_record")["messages"] > 100)
        wait_for("all is well", rig.well)

    def test_source_silent(self):
        with StallRig(**{"source.silent_after": "2s"}) as rig:
            rig.nats()
            self.flowing(rig)
            rig.parts["sim"].process.send_signal(signal.SIGSTOP)
            rig.named("ingest", "source_silent")
            rig.parts["sim"].process.send_signal(signal.SIGCONT)
            rig.cleared()

    def test_source_down(self):
        with StallRig() as rig:
            rig.nats()
            self.flowing(rig)
            rig.parts["sim"].kill()
            rig.named("ingest", "source_down")
            rig.parts["sim"].start()
            rig.cleared()

    def test_buffer_full(self):
        with StallRig(**{"ingest.max_msgs": 300}) as rig:
            rig.nats()
            rig.simulator("--events", 100_000, "--rate", 400, "--accounts", 300, truth=False)
            rig.recordkv("ingest")
            rig.named("ingest", "buffer_full")
            self.assertIn("kv", json.loads(rig.command("status", "--json").stdout)["missing"])
            rig.settings["http.listen"] = ""
            rig.recordkv("kv,index")
            rig.cleared()

    def test_store_full_by_our_mark(self):
        """kv.max_keys: ingest pauses, says so, and goes on when keys are removed."""
        with StallRig(**{"kv.max_keys": 1500}) as rig:
            rig.nats()
            self.flowing(rig, 800)
            wait_for("it pauses", lambda: ("ingest", "store_full") in rig.stalled_in_metrics(), NAMED_WITHIN)
            # What gathers upstream meanwhile would fill it again before the test has looked.
            rig.parts["sim"].process.send_signal(signal.SIGSTOP)
            rig.named("ingest", "store_full")
            held = rig.stream("KV_record")["last_seq"]
            rig.api("STREAM.PURGE.KV_record", keep=200)
            wait_for("it is told no longer", lambda: ("ingest", "store_full") not in rig.stalled_in_metrics(), 10)
            rig.parts["sim"].process.send_signal(signal.SIGCONT)
            wait_for("ingest goes on", lambda: rig.stream("KV_record")["last_seq"] > held + 200)

    def test_store_full_by_its_own_limit(self):
        with StallRig() as rig:
            rig.nats()
            self.flowing(rig)
            config = rig.api("STREAM.INFO.KV_record")["config"]
            rig.api("STREAM.UPDATE.KV_record", **{**config, "max_msgs": rig.stream("KV_record")["messages"] + 50})
            rig.named("kv", "store_full")
            rig.api("STREAM.UPDATE.KV_record", **{**config, "max_msgs": -1})
            rig.cleared()

    def test_nats_down(self):
        with StallRig() as rig:
            rig.nats()
            self.flowing(rig)
            rig.parts["nats"].kill()
            for part in ("ingest", "kv", "view-likes"):
                rig.named(part, "nats_down", by_status=False)
            self.assertRegex(rig.ask("/metrics")[1], r"(?m)^recordkv_nats_up 0$")
            told = rig.command("status")
            self.assertEqual((told.returncode, len(told.stderr.splitlines())), (3, 1), told.stderr)
            self.assertIn("no NATS server answers", told.stderr)
            rig.parts["nats"].start()
            rig.cleared()

    def test_nats_hangs(self):
        with StallRig() as rig:
            rig.nats()
            self.flowing(rig)
            rig.parts["nats"].process.send_signal(signal.SIGSTOP)
            want = {("kv", "store_refuses"), ("ingest", "store_refuses")}
            wait_for("the metric names it", lambda: want & rig.stalled_in_metrics(), NAMED_WITHIN)
            rig.assert_unready()
            rig.parts["nats"].process.send_signal(signal.SIGCONT)
            rig.cleared()

    def test_consumer_not_moving(self):
        with StallRig() as rig:
            rig.nats()
            self.flowing(rig)
            until = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)).isoformat()
            for stream, consumer in (("ingest", "kv"), ("KV_record", "view-likes")):
                rig.api(f"CONSUMER.PAUSE.{stream}.{consumer}", pause_until=until)
                rig.named(consumer, "consumer_not_moving")
                self.assertIn("paused", rig.ask("/readyz")[1])
                rig.api(f"CONSUMER.PAUSE.{stream}.{consumer}")
                rig.cleared()

    def test_database_locked(self):
        with StallRig() as rig:
            rig.nats()
            self.flowing(rig)
            other = sqlite3.connect(rig.path("state", "likes.db"), isolation_level=None)
            other.execute("BEGIN EXCLUSIVE")
            rig.named("view-likes", "database_locked")
            other.execute("ROLLBACK")
            other.close()
            rig.cleared()

    def test_disk_full_of_nats(self):
        with StallRig(**{"ingest.storage": "memory"}) as rig:
            rig.nats(limits=", max_file_store: 3MB")
            rig.simulator("--events", 200_000, "--rate", 4000, "--accounts", 300, "--wait-for-client", truth=False)
            rig.recordkv()
            rig.named("kv", "disk_full", by_status=False)  # the lock's bucket is on that disk, too: status can't know
            with open(rig.path("nats.conf"), "r+", encoding="utf-8") as f:
                roomy = f.read().replace("max_file_store: 3MB", "max_file_store: 900MB")
                f.seek(0)
                f.write(roomy)
            rig.parts["nats"].kill()
            rig.parts["nats"].start()
            rig.wait_nats()
            rig.cleared()

    def test_disk_full_of_the_database(self):
        """A file system of 4 MB, in a mount namespace of its own; skipped, aloud, where none may be made."""
        with StallRig(**{"index.database": "sqlite:locked/likes.db"}) as rig:  # no path decides about a cause
            mount = ["unshare", "-rm", "bash", "-c", 'mount -t tmpfs -o size=4m tmpfs "$0" && exec "$@"']
            os.makedirs(rig.path("state"))
            probe = subprocess.run([*mount, rig.path("state"), "true"], capture_output=True, text=True, check=False)
            if probe.returncode != 0:
                self.skipTest(f"no mount namespace can be made here: {probe.stderr.strip()}")
            rig.nats()
            rig.simulator("--events", 200_000, "--rate", 4000, "--accounts", 300, "--wait-for-client", truth=False)
            rig.write_config()
            part = rig.add("recordkv", [*mount, rig.path("state"), program("RECORDKV", "recordkv"), "--config",
                                        rig.config])
            rig.named("view-likes", "disk_full")
            self.assertIn("disk is full", rig.ask("/readyz")[1])
            room = ["nsenter", "-t", str(part.process.pid), "-U", "-m", "--preserve-credentials",
                    "mount", "-o", "remount,size=400m", rig.path("state")]
            self.assertEqual(subprocess.run(room, capture_output=True, text=True, check=False).stderr, "")
            rig.cleared()

    def test_stopped_process(self):
        """It can say nothing itself: status sees that its lock is not renewed."""
        with StallRig() as rig:
            rig.nats()
            rig.simulator("--events", 100_000, "--rate", 400, "--accounts", 300, "--wait-for-client", truth=False)
            rig.recordkv("ingest,index")
            rig.settings["http.listen"] = ""
            kv = rig.recordkv("kv")
            wait_for("all is well", lambda: rig.command("status", "--quiet").returncode == 0, every=0.2)
            kv.process.send_signal(signal.SIGSTOP)
            wait_for("status says that kv does not run", lambda: re.search(
                r"^kv +NOT RUNNING, last seen \d{4}-", rig.command("status").stdout, re.M), NAMED_WITHIN, every=0.2)
            self.assertEqual(rig.command("status", "--quiet").returncode, 1)
            kv.process.send_signal(signal.SIGCONT)
            wait_for("all is well again", lambda: rig.command("status", "--quiet").returncode == 0, 30, every=0.2)


if __name__ == "__main__":
    unittest.main()
