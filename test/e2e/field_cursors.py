"""One source has one cursor, however its address is spelled; and reading may begin at a number or a time.

Owns: what users see of it. The corners: nats/store (source keys).
"""

import unittest

from fake_source import FakeSource, commit_frame, did, jetstream_event, like, now_us, rfc3339, tid
from rig import Rig, wait_for

LIKE = "app.bsky.feed.like"


class CursorRig(Rig):
    def __init__(self, source: FakeSource, kind: str, **more):
        super().__init__(**{"source.kind": kind, "source.url": source.url, "source.start": "live", **more})

    def connected(self, source: FakeSource, n: int) -> str:
        """The n-th connection's request, from 1 on."""
        wait_for(f"connection {n}", lambda: len(source.targets) >= n)
        return source.targets[n - 1]


class OneCursorTest(unittest.TestCase):
    def script(self, client):
        if client.cursor is None:
            client.binary(commit_frame(did(1), 41, [("create", f"{LIKE}/{tid(now_us())}", like(1))]))

    def test_spellings_are_one_source_and_paths_are_several(self):
        with FakeSource(self.script) as source, CursorRig(source, "firehose") as rig:
            rig.nats()
            rig.settings["source.url"] = f"ws://LocalHost:{source.port}"
            rig.recordkv("ingest")
            wait_for("it has a cursor", lambda: rig.report("ingest").get("cursor") is not None)
            rig.parts["ingest"].stop()
            asked = []
            for spelled in (f"ws://localhost:{source.port}/", f"ws://LOCALHOST:{source.port}",
                            f"ws://localhost:{source.port}/xrpc/com.atproto.sync.subscribeRepos",
                            f"ws://localhost:{source.port}/a"):
                rig.settings["source.url"] = spelled
                before = len(source.targets)
                rig.recordkv("ingest")
                asked.append("cursor=" in rig.connected(source, before + 1))
                rig.parts["ingest"].stop()
            self.assertEqual(asked, [True, True, True, False])

    def test_an_earlier_versions_cursor_is_taken_over(self):
        with FakeSource(self.script) as source, CursorRig(source, "firehose") as rig:
            rig.nats()
            rig.recordkv("ingest")
            wait_for("it has a cursor", lambda: rig.report("ingest").get("cursor") is not None)
            rig.parts["ingest"].stop()
            key = f"firehose.127/2E0/2E0/2E1/3A{source.port}"
            rig.api("STREAM.PURGE.KV_cursor", filter=f"$KV.cursor.{key}")
            rig.wire.request(f"$KV.cursor.firehose.LOCALHOST/3A{source.port}", b"77")
            rig.settings["source.url"] = f"ws://localhost:{source.port}"
            rig.recordkv("ingest")
            self.assertIn("cursor=77", rig.connected(source, 2))


class StartTest(unittest.TestCase):
    def asked(self, kind: str, start) -> str:
        with FakeSource() as source, CursorRig(source, kind, **{"source.start": start}) as rig:
            rig.nats()
            rig.recordkv("ingest")
            return rig.connected(source, 1)

    def test_a_number(self):
        self.assertIn("cursor=41", self.asked("firehose", 41))

    def test_nought_is_the_oldest(self):
        self.assertIn("cursor=0", self.asked("firehose", "0"))

    def test_a_time(self):
        self.assertIn("cursor=1767225600000000", self.asked("jetstream", "2026-01-01T01:00:00+01:00"))

    def test_what_can_not_work_is_refused(self):
        with FakeSource() as source, CursorRig(source, "firehose") as rig:
            for start, says in (("2026-01-01T00:00:00Z", "no cursor by time"),
                                ("yesterday", '"oldest", a sequence number')):
                rig.settings["source.start"] = start
                done = rig.command("config", "check")
                self.assertEqual(done.returncode, 2)
                self.assertIn("source.start", done.stderr)
                self.assertIn(says, done.stderr)


if __name__ == "__main__":
    unittest.main()
