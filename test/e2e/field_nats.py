"""A NATS server that is slow to answer, or has just been restarted: starts wait for it, and stops do not.

Owns: requests that are swallowed, restarts behind a stop. Does not know: which stage asks what.
"""

import time
import unittest

from rig import Rig, wait_for
from swallowing_proxy import SwallowingProxy


class NoAnswerAtTheStartTest(unittest.TestCase):
    def starts_all_the_same(self, pattern: str, stages: str, part: str) -> None:
        with Rig(**{"nats.start_timeout": "10m"}) as rig:
            rig.nats()
            with SwallowingProxy(rig.nats_port) as proxy:
                rig.settings["nats.url"] = f"nats://127.0.0.1:{proxy.port}"
                proxy.swallow(pattern)
                process = rig.recordkv(stages)
                wait_for("a request is swallowed", lambda: proxy.swallowed)
                wait_for("it says so, or ends", lambda: "did not answer" in process.text() or not process.running(), 20)
                proxy.swallow(None)
                wait_for("it runs", lambda: rig.report(part).get("state") in ("running", "stalled")
                         or not process.running(), 20)
                self.assertTrue(process.running(), "it has ended")
                self.assertEqual(process.stop(), 0)

    def test_opening_the_store(self):
        self.starts_all_the_same(r"STREAM\.INFO\.KV_repo", "ingest", "ingest")

    def test_the_consumer_of_kv(self):
        self.starts_all_the_same(r"CONSUMER\.DURABLE\.CREATE\.ingest", "kv", "kv")

    def test_the_lock_of_a_view(self):
        self.starts_all_the_same(r"STREAM\.INFO\.KV_lock", "index", "view-likes")

    def test_the_consumer_of_a_view(self):
        self.starts_all_the_same(r"CONSUMER\.DURABLE\.CREATE\.KV_record", "index", "view-likes")


class StopAfterARestartTest(unittest.TestCase):
    def test_it_takes_what_draining_takes(self):
        with Rig() as rig:
            rig.nats()
            rig.simulator("--events", 100_000, "--rate", 500)
            for pause in (0.3, 1.7):
                process = rig.recordkv()
                wait_for("it runs", lambda: all(rig.report(p).get("state") == "running"
                                                for p in ("ingest", "kv", "view-likes")))
                rig.parts["nats"].kill()
                rig.parts["nats"].start()
                rig.wait_nats()
                time.sleep(pause)  # what is tried: the stop falls into this moment
                begun = time.monotonic()
                self.assertEqual(process.stop(), 0, process.text()[-2000:])
                took = time.monotonic() - begun
                self.assertLess(took, 6, f"{pause} s after the restart")  # 7 to 10 s when it waits for lost answers


if __name__ == "__main__":
    unittest.main()
