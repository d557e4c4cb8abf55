"""HTTP clients that are slow, silent, oversized or malformed, and a thousand idle ones, harm neither the pipe nor
honest clients.

Owns: one history sent through the whole pipe twice, without and with them. What a single connection may do is proved by
stages/http; here all of them together cost no record, no answer and no memory. The rates are printed, not judged.
"""

import datetime
import http.client
import json
import os
import sys
import time
import unittest

from rig import HERE, SLOW, Rig, free_port, wait_for

EVENTS = 120_000 if SLOW == 1 else 40_000
PATIENCE = 120
MORE_MEMORY = 48 * 1024 if SLOW == 1 else 400 * 1024  # KiB; a sanitizer keeps what was freed


class Honest:
    """Asks /readyz now and then, on a new connection, as a probe does."""

    def __init__(self, port: int):
        self.port, self.answers, self.last, self.slowest = port, [], 0.0, 0.0

    def ask(self, path: str = "/readyz") -> tuple:
        started = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10 * SLOW)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            got = answer.status, answer.read().decode()
        finally:
            connection.close()
        self.slowest = max(self.slowest, time.monotonic() - started)
        return got

    def listens(self) -> bool:
        try:
            return self.ask("/healthz")[0] == 200
        except OSError:
            return False

    def look(self) -> None:
        if time.monotonic() - self.last < 0.1:
            return
        self.last = time.monotonic()
        try:
            self.answers.append(self.ask())
        except (OSError, http.client.HTTPException) as e:
            self.answers.append((0, repr(e)))


class HostileTest(unittest.TestCase):
    def pour(self, hostile: bool) -> dict:
        """The history through the pipe into the likes table: its rate, and the most memory the process took."""
        port = free_port()
        with Rig(**{"http.listen": f"127.0.0.1:{port}"}) as rig:
            rig.nats()
            rig.simulator("--events", EVENTS, "--rate", 0, "--accounts", 2000, "--churn", 0, "--wait-for-client")
            part = rig.recordkv("ingest,kv,index")
            honest = Honest(port)
            wait_for("recordkv serves HTTP", lambda: honest.listens(), 30)
            if hostile:
                crowd = rig.add("hostile", [sys.executable, "-B", os.path.join(HERE, "hostile_clients.py"), str(port)])
            most = 0

            def meanwhile():
                nonlocal most
                most = max(most, part.rss_kib())
                honest.look()

            rig.check_store(PATIENCE, meanwhile=meanwhile)
            if hostile:
                self.attacked_to_the_end(rig, crowd, meanwhile)
            wait_for("recordkv is ready", lambda: honest.ask()[0] == 200, 20)
            refused = [a for a in honest.answers if a[0] not in (200, 503) or "Too many connections" in a[1]]
            self.assertEqual(refused, [], f"an honest client among {len(honest.answers)} was not answered")
            self.assertGreater(len(honest.answers), 5)
            self.metrics = honest.ask("/metrics")[1]
            self.assertEqual(part.stop(), 0)
            return {"rate": round(EVENTS / self.seconds_of_the_pipe(rig)), "most_kib": most,
                    "slowest_ms": round(1000 * honest.slowest)}

    def seconds_of_the_pipe(self, rig: Rig) -> float:
        """From the first record in the store to the last likes folded, by nats-server's clock: the test may ask
        late."""
        def when(stamp: str) -> float:
            whole, _, fraction = stamp.rstrip("Z").partition(".")
            return datetime.datetime.fromisoformat(whole + "+00:00").timestamp() + float(f"0.{fraction or 0}")
        folded = rig.api("CONSUMER.INFO.KV_record.view-likes")["ack_floor"]["last_active"]
        return when(folded) - when(rig.stream("KV_record")["first_ts"])

    def attacked_to_the_end(self, rig: Rig, crowd, meanwhile) -> None:
        """All kinds were there, and the server answered each in its way. A slow one takes ten seconds to be given
        up."""
        wait_for("all kinds attack", lambda: "attacking" in crowd.text(), 60, meanwhile=meanwhile)
        started = time.monotonic()
        wait_for("slow clients have been given up", lambda: time.monotonic() - started > 12, 30, meanwhile=meanwhile)
        self.assertTrue(crowd.running(), crowd.text())
        self.assertEqual(crowd.stop(), 0, crowd.text())
        said = json.loads(crowd.text().splitlines()[-1])
        print("hostile clients:", json.dumps(said))
        self.assertGreater(said["ended"].get("idle: closed", 0), 800, "idle clients made no room")
        for kind in ("slow: 408", "oversized: 431", "oversized: 413", "malformed: 400"):
            self.assertGreater(said["ended"].get(kind, 0), 0, f"{kind} has not happened")
        self.assertNotIn("idle: 408", said["ended"], "an idle client was taken for one at work")

    def test_hostile_clients_harm_nobody(self):
        plain, hostile = self.pour(False), self.pour(True)
        ratio = hostile["rate"] / plain["rate"]
        print(f"likes pipe: {plain['rate']}/s alone, {hostile['rate']}/s beside hostile clients: {ratio:.2f}; "
              f"memory {plain['most_kib'] // 1024} and {hostile['most_kib'] // 1024} MiB; "
              f"slowest /readyz {plain['slowest_ms']} and {hostile['slowest_ms']} ms")
        self.assertLess(hostile["most_kib"] - plain["most_kib"], MORE_MEMORY, "hostile clients cost memory")
        for reason in ("slow", "malformed", "header_too_large", "body_too_large"):
            self.assertRegex(self.metrics, rf'http_refused\w*{{[^}}]*"{reason}"[^}}]*}} [1-9]')


if __name__ == "__main__":
    unittest.main()
