"""Several processes: shares of partitions, a standby ingester, a stopped and awakened one; store and views stay the
truth.

Owns: the division of work, its change, take-over times (printed, not asserted beyond the promise), fencing.
RECORDKV_SYSTEM_SECONDS (25) and RECORDKV_SYSTEM_STOPS (2) make the long form: 180 and 10.
"""

import os
import random
import signal
import time
import unittest

from rig import SLOW, Rig, wait_for

SECONDS = int(os.environ.get("RECORDKV_SYSTEM_SECONDS", "25"))
STOPS = int(os.environ.get("RECORDKV_SYSTEM_STOPS", "2"))
EVENTS = 60_000  # while processes are suspended
FROM_KILL, FROM_STOP = 15, 2  # the promise, in seconds


def share(part: str) -> tuple:
    return (f"kv.assign={part}", f"index.assign={part}")


def owner(rig: Rig, key: str) -> int:
    return rig.report(key).get("pid", 0)


class DivisionTest(unittest.TestCase):
    def test_five_processes_under_kills(self):
        """One ingester, a standby, two kv of eight partitions, one index; kill -9 every few seconds."""
        chance = random.Random(7)
        with Rig(**{"ingest.max_msgs": 20_000}) as rig:
            rig.nats()
            rig.simulator("--events", SECONDS * 2000, "--rate", 2000, "--accounts", 500, "--wait-for-client")
            rig.recordkv("ingest", "ingest-a")
            rig.recordkv("ingest", "ingest-b")
            rig.recordkv("kv", "kv-low", share("0-7"))
            rig.recordkv("kv", "kv-high", share("8-f"))
            rig.recordkv("index")
            wait_for("records arrive", lambda: rig.stream("KV_record")["messages"] > 500)
            wait_for("both kv own their shares", lambda: rig.report("kv-0-7") and rig.report("kv-8-f"))
            took, kills = [], 0
            until = time.monotonic() + SECONDS
            while time.monotonic() < until:
                time.sleep(chance.uniform(1.5, 3.5))
                victim = rig.parts[chance.choice(["ingest-a", "ingest-b", "kv-low", "kv-high", "index"])]
                heir = {"ingest-a": "ingest-b", "ingest-b": "ingest-a"}.get(victim.name)
                owned = heir and owner(rig, "ingest") == victim.process.pid
                victim.kill()
                kills += 1
                if owned:  # another process takes over before the dead one comes back
                    began = time.monotonic()
                    wait_for("the standby has taken over", lambda: owner(rig, "ingest") == rig.parts[heir].process.pid,
                             FROM_KILL)
                    took.append(time.monotonic() - began)
                victim.start()
            print(f"{kills} kills; the standby took over within {', '.join(f'{t:.2f}' for t in took) or '-'} s")
            self.assertTrue(took, "no ingester was killed while it owned")
            rig.check_store(60)

    def test_divided_anew(self):
        """From one process to four shares to two and back: a restart each time, nothing left behind, nothing
        repeated."""
        with Rig() as rig:
            rig.nats()
            rig.simulator("--events", 16_000, "--rate", 2500, "--accounts", 300, "--wait-for-client")
            rig.recordkv("ingest")
            divisions = [["all"], ["0-3", "4-7", "8-b", "c-f"], ["0-7", "8-f"], ["f,0-e"]]
            for number, shares in enumerate(divisions):
                parts = [rig.recordkv("kv,index", f"worker-{number}-{s}", share(s)) for s in shares]
                want = 2000 + 3000 * number
                wait_for("records arrive", lambda: rig.stream("KV_record")["last_seq"] >= want, 30)
                names = {"" if s in ("all", "f,0-e") else "-" + s for s in shares}
                wait_for("only these durables are there", lambda: (
                    set(rig.api("CONSUMER.NAMES.ingest")["consumers"]) == {"kv" + n for n in names} and
                    set(rig.api("CONSUMER.NAMES.KV_record")["consumers"]) == {"view-likes" + n for n in names}))
                if number + 1 < len(divisions):
                    for part in parts:
                        self.assertEqual(part.stop(), 0, part.text()[-1500:])
            rig.check_store(60)

    def test_overlap_is_refused(self):
        with Rig() as rig:
            rig.nats()
            rig.simulator("--events", 4000, "--rate", 2000, "--wait-for-client")
            rig.recordkv("ingest")
            first = rig.recordkv("kv,index", "first", share("0-7,a"))
            wait_for("it owns its share", lambda: rig.report("kv-0-7_a") and rig.report("view-likes-0-7_a"))
            for stage, key in (("kv", "kv-7-9"), ("index", "view-likes-7-9"), ("kv", "kv")):
                second = rig.recordkv(stage, f"second-{key}", share("7-9" if "-" in key else "all"))
                self.assertEqual(second.exit_code(), 1, second.text())
                said = [line for line in second.text().splitlines() if line.startswith("recordkv: ")]
                self.assertEqual(len(said), 1, second.text())
                self.assertRegex(said[0], rf"{key} overlaps .*-0-7_a, which process {first.process.pid}")
                self.assertEqual(rig.report(key), {})
            self.assertTrue(first.running())
            told = rig.command("status")
            self.assertEqual(told.returncode, 1)
            for words in ("kv partitions 8,9,b,c,d,e,f", "view-likes partitions 8,9,b,c,d,e,f"):
                self.assertRegex(told.stdout, rf"(?m)^{words} +no process runs this")
            rig.recordkv("kv,index", "rest", share("8-9,b-f"))
            wait_for("every partition is taken", lambda: rig.command("status", "--quiet").returncode == 0, every=0.2)
            rig.check_store(60)

    def test_stopped_writer(self):
        """SIGSTOP of a kv in full work until another has taken over and gone on, then SIGCONT: what it had in hand is
        old by now, and the store's puts have no fence. It asks for its lock before it sends anything. The simulator's
        events are finite, so the second round does not wait until the first process has ended. It resumes its process
        once everything is stored: what is written then would stay."""
        with Rig(**{"ingest.max_msgs": 5_000}) as rig:
            rig.nats()
            rig.simulator("--events", EVENTS, "--rate", 2500, "--accounts", 40, "--churn", 250_000, "--wait-for-client")
            rig.recordkv("ingest,index")
            old = rig.recordkv("kv", "old")
            resumed = []
            for last in (False, True):
                want = rig.stream("KV_record")["last_seq"] + 2000 if rig.report("kv") else 2000
                wait_for("it works", lambda: rig.stream("KV_record")["last_seq"] > want)
                old.process.send_signal(signal.SIGSTOP)
                new = rig.recordkv("kv", f"new-{old.starts}-{old.name}")
                wait_for("the other owns kv", lambda: owner(rig, "kv") == new.process.pid, FROM_KILL)
                went_on = rig.stream("KV_record")["last_seq"] + 2000
                wait_for("and goes on", lambda: rig.stream("KV_record")["last_seq"] > went_on or rig.drained(), 30)
                if last:
                    wait_for("all is stored", lambda: rig.sim_state()["emitted"] == EVENTS and rig.drained(), 60)
                old.process.send_signal(signal.SIGCONT)
                resumed.append(old)
                old = new
            for part in resumed:
                self.assertEqual(part.exit_code(15), 1, part.text()[-2000:])
            self.assertEqual(rig.sim_state()["clients"], 1)
            rig.check_store(60)

    def test_no_such_partition(self):
        with Rig(**{"kv.partitions": 4}) as rig:
            rig.nats()
            part = rig.recordkv("kv", sets=share("0-7"))
            self.assertEqual(part.exit_code(), 2)
            self.assertIn('kv.assign: "0-7" names no partitions of a store with 4; they are', part.text())


class StandbyTest(unittest.TestCase):
    def start(self, rig: Rig, seconds: int) -> None:
        rig.nats()
        rig.simulator("--events", seconds * 1000, "--rate", 1000, "--accounts", 300, "--wait-for-client")
        rig.recordkv("kv,index")
        rig.recordkv("ingest", "first")
        wait_for("the first one owns ingest", lambda: owner(rig, "ingest") == rig.parts["first"].process.pid)
        second = rig.recordkv("ingest", "second")
        wait_for("the second one stands by", lambda: "standing by" in second.text())

    def test_clean_stop(self):
        with Rig() as rig:
            self.start(rig, 6)
            first, second = rig.parts["first"], rig.parts["second"]
            for turn in range(2):
                self.assertEqual(first.stop(), 0)
                began = time.monotonic()
                wait_for("the other has taken over", lambda: owner(rig, "ingest") == second.process.pid, FROM_STOP)
                print(f"clean stop: taken over within {time.monotonic() - began:.2f} s")
                first, second = second, first.start()
                wait_for("it stands by", lambda: second.text().rsplit("--- start", 1)[1].count("standing by"))
            second.process.send_signal(signal.SIGTERM)  # one that stands by ends at once, too
            self.assertEqual(second.exit_code(5), 0)
            rig.check_store(60)

    def test_stopped_and_awakened(self):
        """SIGSTOP until another has taken over, then SIGCONT: the old one learns it before it writes anything, and
        goes. Its publishes name a sequence that no longer is the last, its cursor writes a revision that no longer
        is."""
        # Long enough that the successor has not yet written a cursor when the old process resumes with its own.
        with Rig(sync_interval="1s") as rig:
            pause = float(os.environ.get("RECORDKV_SYSTEM_PAUSE", "1"))
            self.start(rig, int((14 + pause) * STOPS * SLOW))  # something happens until the end
            owning, waiting = rig.parts["first"], rig.parts["second"]
            for turn in range(STOPS):
                written = rig.stream("KV_cursor")["last_seq"]
                wait_for("it writes the cursor", lambda: rig.stream("KV_cursor")["last_seq"] >= written + 2)
                owning.process.send_signal(signal.SIGSTOP)
                began = time.monotonic()
                wait_for("the other has taken over", lambda: owner(rig, "ingest") == waiting.process.pid, FROM_KILL)
                print(f"stopped: taken over within {time.monotonic() - began:.2f} s")
                time.sleep(pause)  # how long it sleeps is what is tried, no fact is waited for
                owning.process.send_signal(signal.SIGCONT)
                self.assertEqual(owning.exit_code(15), 1, owning.text()[-2000:])
                self.assertEqual(owner(rig, "ingest"), waiting.process.pid)
                self.assertIn("recordkv: ingest: another process has taken over", owning.text())
                owning, waiting = waiting, owning.start()
                wait_for("it stands by", lambda: waiting.text().rsplit("--- start", 1)[1].count("standing by"), 30)
            rig.check_store(90 + 14 * STOPS)


if __name__ == "__main__":
    unittest.main()
