"""The buffer between source and store: it fills, holds, is lost, is fought over, and nothing is missing afterwards.

Owns: back-pressure, the loss of the buffer, one owner per stage, and the orderly end.
"""

import json
import signal
import time
import unittest

from rig import SLOW, Rig, wait_for
import dag_cbor  # from test/oracle, which rig has put into the path

EVENTS = 20_000
LOCKS = ("ingest", "kv", "view-likes")


def like_event(n: int) -> bytes:
    """As Jetstream sends it, with a rev that grows."""
    digits = "234567abcdefghijklmnopqrstuvwxyz"
    rev = "3kabcdefgh" + "".join(digits[n // 32 ** k % 32] for k in (2, 1, 0))
    subject = {"uri": "at://did:plc:44ybard66vv44zksje25o7dz/app.bsky.feed.post/3k",
               "cid": "bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a"}
    record = {"$type": "app.bsky.feed.like", "subject": subject, "createdAt": "2024-08-30T00:00:00Z"}
    return json.dumps({"did": "did:plc:z72i7hdynmk6r22z27h6tvur", "time_us": 1_725_000_000_000_000 + n,
                       "kind": "commit", "commit": {
        "rev": rev, "operation": "create", "collection": "app.bsky.feed.like", "rkey": f"n{n}",
                           "cid": dag_cbor.cid(record),
        "record": record}}).encode()


def reconnects(report: dict) -> int:
    return sum(n for what, n in report.get("counted", {}).items() if "reconnect" in what)


class BackPressureTest(unittest.TestCase):
    def test_full_buffer_holds_and_loses_nothing(self):
        """Without kv the stream fills to its bound; ingest then waits, at rest, and goes on when kv comes."""
        with Rig(**{"ingest.max_msgs": 1000}) as rig:
            rig.nats()
            rig.simulator("--events", 120_000, "--rate", 0, "--accounts", 500)
            ingest = rig.recordkv("ingest")
            wait_for("the buffer is full", lambda: rig.stream("ingest")["messages"] == 1000)
            before = wait_for("ingest says that it waits", lambda: self.stalled(rig), 15)
            # What it has read goes into its window, up to 16 MB. Then it reads no more.
            held = wait_for("ingest reads no more", lambda: self.at_rest(rig), 20)
            size = ingest.rss_kib()
            lines = ingest.text().count("\n")
            renewals = set()  # the stage says anew how it is, several times: it lives, and holds still

            def lived_on() -> bool:
                renewals.add(self.renewal(rig))
                return len(renewals) >= 8
            wait_for("ingest renews its lock while it waits", lived_on, 20)
            after = rig.report("ingest")
            self.assertEqual(rig.stream("ingest")["messages"], 1000)
            self.assertEqual(after["state"], "stalled")
            self.assertEqual(after["stalled_since"], before["stalled_since"])
            self.assertEqual(after["frames"], held, "ingest goes on reading what it can put nowhere")
            self.assertLess(after["frames"], 60_000, "the source was read to its end, the bounds bound nothing")
            self.assertEqual(reconnects(after), 0)
            self.assertLess(ingest.rss_kib() - size, 16 * 1024 * SLOW, "memory grows while the buffer is full")
            self.assertLess(ingest.text().count("\n") - lines, 5, "a line for each refusal")
            self.assertEqual(rig.sim_state()["clients"], 1)
            rig.recordkv("kv")
            rig.recordkv("index")
            rig.check_store(60)
            wait_for("ingest runs again", lambda: rig.report("ingest")["state"] == "running", 10)
            self.assertEqual(reconnects(rig.report("ingest")), 0)

    def at_rest(self, rig: Rig) -> int:
        """The frames that were read, if three reports in a row say the same."""
        told: dict[int, int] = {}  # by the sequence of the report
        while len(told) < 3:
            told[self.renewal(rig)] = rig.report("ingest")["frames"]
            time.sleep(0.05)
        return told.popitem()[1] if len(set(told.values())) == 1 else 0

    def renewal(self, rig: Rig) -> int:
        return rig.api("STREAM.MSG.GET.KV_lock", last_by_subj="$KV.lock.ingest")["message"]["seq"]

    def stalled(self, rig: Rig) -> dict:
        report = rig.report("ingest")
        return report if report.get("state") == "stalled" and "maximum messages" in report["reason"] else {}

    def test_bytes_bound_the_buffer_too(self):
        with Rig(**{"ingest.max_bytes": "16MB", "ingest.max_msgs": 1_000_000}) as rig:
            rig.nats()
            rig.simulator("--events", 50_000, "--accounts", 500)
            rig.recordkv("ingest")
            wait_for("the buffer is full", lambda: "maximum bytes" in rig.report("ingest").get("reason", ""))
            self.assertLessEqual(rig.stream("ingest")["bytes"], 16_000_000)
            rig.recordkv("kv")
            rig.recordkv("index")
            rig.check_store(60)


class LostBufferTest(unittest.TestCase):
    def start(self, rig: Rig, rate: int = 4000) -> None:
        rig.nats()
        rig.simulator("--events", EVENTS, "--rate", rate, "--accounts", 500, "--churn", 100_000, "--wait-for-client")
        rig.recordkv()

    def test_deleted_stream_loses_nothing(self):
        """Deleted three times on the way, each time with something in it."""
        with Rig() as rig:
            self.start(rig)
            for part in (1, 2, 3):
                wait_for("more events", lambda: rig.sim_state()["emitted"] >= part * EVENTS // 5)
                part == 2 and rig.parts["ingest-kv-index"].process.send_signal(signal.SIGSTOP)
                taken = rig.stream("ingest")["messages"]
                rig.api("STREAM.DELETE.ingest")
                part == 2 and rig.parts["ingest-kv-index"].process.send_signal(signal.SIGCONT)
                wait_for("the stream is there again", lambda: rig.stream("ingest")["last_seq"] > 0, 20)
                print(f"deleted with {taken} messages")
            rig.check_store(60)
            self.assertTrue(rig.parts["ingest-kv-index"].running(), rig.parts["ingest-kv-index"].text()[-2000:])

    def test_deleted_full_stream_loses_nothing(self):
        """What was acknowledged and not yet read by kv is read again from the source."""
        with Rig(**{"ingest.max_msgs": 500}) as rig:
            rig.nats()
            rig.simulator("--events", EVENTS, "--accounts", 500)
            rig.recordkv("ingest")
            wait_for("the buffer is full", lambda: rig.stream("ingest")["messages"] == 500)
            rig.api("STREAM.DELETE.ingest")
            wait_for("the new stream is full", lambda: rig.stream("ingest")["messages"] == 500, 20)
            rig.recordkv("kv")
            rig.recordkv("index")
            rig.check_store(60)

    def test_lost_after_the_end_of_a_file(self):
        """Nothing more comes from a file that was read to its end. What the buffer then loses is read again."""
        events = 2000
        with Rig() as rig:
            rig.nats()
            with open(rig.path("frames.bin"), "wb") as file:
                for n in range(events):
                    message = like_event(n)
                    file.write(len(message).to_bytes(4, "little") + message)
            rig.settings.update({"source.kind": "file", "source.url": rig.path("frames.bin")})
            ingest = rig.recordkv("ingest")
            wait_for("all of it is buffered", lambda: rig.report("ingest").get("buffered", 0) == events)
            rig.api("STREAM.DELETE.ingest")
            wait_for("all of it is buffered again", lambda: rig.report("ingest")["buffered"] == 2 * events, 20)
            rig.recordkv("kv")
            wait_for("all of it is stored", lambda: rig.stream("KV_record")["messages"] == events, 60)
            self.assertTrue(ingest.running())
            self.assertEqual(ingest.stop(), 0)

    def test_nobody_purges_the_buffer(self):
        """What was purged would count as settled, and the cursor move past it."""
        with Rig(**{"ingest.max_msgs": 500}) as rig:
            rig.nats()
            rig.simulator("--events", EVENTS, "--accounts", 500)
            rig.recordkv("ingest")
            wait_for("the buffer is full", lambda: rig.stream("ingest")["messages"] == 500)
            for request in ("STREAM.PURGE.ingest", "STREAM.MSG.DELETE.ingest"):
                with self.assertRaisesRegex(Exception, "not permitted"):
                    rig.api(request, **({"seq": 1} if "MSG" in request else {}))
            self.assertEqual(rig.stream("ingest")["messages"], 500)
            rig.recordkv("kv")
            rig.recordkv("index")
            rig.check_store(60)

    def test_memory_buffer_gone_with_its_server(self):
        with Rig(**{"ingest.storage": "memory", "ingest.max_msgs": 3000}) as rig:
            self.start(rig)
            nats = rig.parts["nats"]
            for part in (1, 2, 3):
                wait_for("more events", lambda: rig.sim_state()["emitted"] >= part * EVENTS // 5)
                wait_for("something is buffered", lambda: rig.stream("ingest")["messages"] > 0, every=0.005)
                nats.kill()
                nats.start()
                wait_for("the stream is there again", lambda: rig.stream("ingest")["last_seq"] > 0, 20)
            rig.check_store(60)
            self.assertTrue(rig.parts["ingest-kv-index"].running(), rig.parts["ingest-kv-index"].text()[-2000:])
            self.assertEqual(rig.api("STREAM.INFO.ingest")["config"]["storage"], "memory")


class OwnerTest(unittest.TestCase):
    def test_second_process_is_refused(self):
        """X7: of kv and the views, one line, exit code 1, and the first one works on. Ingesters stand by:
        test_system."""
        with Rig() as rig:
            rig.nats()
            rig.simulator("--events", EVENTS, "--rate", 2000, "--accounts", 500)
            first = rig.recordkv()
            for key in LOCKS:
                wait_for(f"{key} is owned", lambda: rig.report(key))
            seconds = [(key, rig.recordkv(stage, f"second-{stage}")) for key, stage in
                       (("kv", "kv"), ("view-likes", "index"))]
            for key, part in seconds:
                self.assertEqual(part.exit_code(), 1, part.name)
                said = [line for line in part.text().splitlines() if line.startswith("recordkv: ")]
                self.assertEqual(len(said), 1, part.text())
                self.assertRegex(said[0], f"{key}.*process {first.process.pid}")
            self.assertTrue(first.running())
            rig.check_store(60)

    def test_heir_takes_over_at_once(self):
        """A dead owner on the same machine is not waited for."""
        with Rig() as rig:
            rig.nats()
            rig.simulator("--events", EVENTS, "--rate", 4000, "--accounts", 500)
            first = rig.recordkv()
            wait_for("records arrive", lambda: rig.stream("KV_record")["messages"] > 1000)
            first.kill()
            began = time.monotonic()
            heir = rig.recordkv(name="heir")
            wait_for("the heir owns kv", lambda: rig.report("kv").get("pid") == heir.process.pid, 10)
            self.assertLess(time.monotonic() - began, 4 * SLOW, "a lease was waited for")
            rig.check_store(60)


class OrderlyEndTest(unittest.TestCase):
    def test_sigterm_drains_and_the_restart_repeats_next_to_nothing(self):
        """Five ends in a busy run: exit code 0 each. What is read again from the cursor is known by its rev, so that at
        most the newest commit of each account is written twice; a commit has up to 200 records."""
        accounts, ends = 100, 5
        with Rig() as rig:
            rig.nats()
            rig.simulator("--events", EVENTS, "--rate", 2500, "--accounts", accounts, "--churn", 0, "--wait-for-client")
            part = rig.recordkv()
            for turn in range(1, ends + 1):
                wait_for("more events", lambda: rig.stream("KV_record")["last_seq"] >= turn * EVENTS // 8, 30)
                wait_for("all stages run", lambda: {rig.report(k).get("pid") for k in LOCKS} == {part.process.pid})
                self.assertEqual(part.stop(), 0, part.text()[-2000:])
                self.assertEqual([k for k in LOCKS if rig.report(k)], [], "a lock was not released")
                part.start()
            rig.check_store(60)
            repeated = rig.stream("KV_record")["last_seq"] - EVENTS
            print(f"{repeated} of {EVENTS} records were written twice in {ends} restarts")
            self.assertLess(repeated, ends * (accounts + 200))

    def test_sigint_while_the_buffer_is_full(self):
        """What can't be put anywhere must not keep the process."""
        with Rig(**{"ingest.max_msgs": 500}) as rig:
            rig.nats()
            rig.simulator("--events", EVENTS, "--accounts", 500)
            ingest = rig.recordkv("ingest")
            wait_for("the buffer is full", lambda: rig.report("ingest").get("state") == "stalled")
            ingest.process.send_signal(signal.SIGINT)
            self.assertEqual(ingest.exit_code(12), 0, ingest.text()[-2000:])


if __name__ == "__main__":
    unittest.main()
