"""Gaps in time are seen: a clipped or outdated cursor, numbering that begins anew, another instance, a cursor from the
future.

Owns: what users see of them. The corners: stages/source (continuity), nats/store (cursor, gaps).
"""

import base64
import json
import re
import unittest

from fake_source import FakeSource, commit_frame, did, frame, jetstream_event, like, now_us, rfc3339, tid
from rig import Rig, answer, free_port, wait_for

DAY = 86_400_000_000
LIKE = "app.bsky.feed.like"


def relay_frame(seq: int, at: int, n: int | None = None) -> bytes:
    n = seq if n is None else n
    return commit_frame(did(n), seq, [("create", f"{LIKE}/{tid(at)}", like(n))], time_us=at)


def jetstream_with_number(number: int, at: int) -> dict:
    return {"cursor": number, **jetstream_event(did(number), tid(at), like(number), time_us=at)}


class FieldRig(Rig):
    def __init__(self, source: FakeSource, kind: str = "firehose", **more):
        self.http = free_port()
        super().__init__(**{"source.kind": kind, "source.url": source.url, "source.start": "live",
                            "http.listen": f"127.0.0.1:{self.http}", **more})

    def records(self) -> int:
        return self.stream("KV_record")["messages"]

    def stored(self, n: int) -> None:
        wait_for(f"{n} records are stored", lambda: self.records() == n)

    def cursor(self) -> dict:
        """The cursor's value and headers."""
        m = self.api("STREAM.MSG.GET.KV_cursor", next_by_subj=f"$KV.cursor.{self.settings['source.kind']}.>",
                     seq=1)["message"]
        head = base64.b64decode(m.get("hdrs", "")).decode()
        return {"value": int(base64.b64decode(m["data"])), **dict(re.findall(r"(\w+): (.*)\r\n", head))}

    def status(self) -> dict:
        return json.loads(self.command("status", "--json").stdout)

    def gap(self) -> dict:
        return wait_for("status tells the gap", lambda: self.status()["gaps"], every=0.2)[0]


class RelayGapTest(unittest.TestCase):
    def told(self, first_words) -> None:
        """Three days old events, then numbers and times of now on the next connection."""
        then, now, second_seq = now_us() - 3 * DAY, now_us(), 1_750_000
        first, second = [relay_frame(5000 + i, then + i) for i in range(3)], [relay_frame(second_seq + i, now + i)
                                                                              for i in range(3)]

        def script(client):
            for f in first if len(source.clients) == 1 else [*first_words, *second]:
                client.binary(f)
        with FakeSource(script) as source, FieldRig(source) as rig:
            rig.nats()
            rig.recordkv("ingest,kv")
            rig.stored(3)
            wait_for("the cursor's time is that of its event",
                     lambda: rig.cursor().get("time", "")[:19] == rfc3339(then)[:19])
            self.assertEqual(rig.status()["gaps"], [])
            rig.parts["ingest-kv"].kill()
            rig.recordkv("ingest,kv")
            rig.stored(6)
            gap = rig.gap()
            self.assertEqual((gap["from"][:19], gap["to"][:19]), (rfc3339(then)[:19], rfc3339(now)[:19]))
            self.assertEqual(gap["cause"], "outdated_cursor" if first_words else "clipped")
            self.assertRegex(answer(rig.http, "/metrics")[1], r'(?m)^recordkv_source_gaps\{.*part="ingest"\} 1$')
            # A cursor that still stands before the gap would find it again at the next start, and note it anew.
            wait_for("the cursor has passed the gap", lambda: rig.cursor()["value"] >= second_seq + 2)
            rig.parts["ingest-kv"].kill()  # it is durable
            text = rig.command("status").stdout
            self.assertIn("events may be missing", text)
            self.assertRegex(text, r"may be stale, and those with events in a gap")
            rig.recordkv("ingest,kv")
            rig.report("ingest")
            rig.api(f"STREAM.PURGE.KV_cursor", filter=f"$KV.cursor.{gap['key']}")
            wait_for("acknowledged, it is gone", lambda: re.search(r'(?m)^recordkv_source_gaps\{.*\} 0$',
                                                                   answer(rig.http, "/metrics")[1]))

    def test_a_relay_clips_the_cursor_without_a_word(self):
        self.told([])

    def test_a_relay_says_outdated_cursor(self):
        self.told([frame("#info", {"name": "OutdatedCursor"})])

    def test_a_hole_in_the_numbers_alone_is_no_gap(self):
        at = now_us() - DAY

        def script(client):
            for f in [relay_frame(5000, at)] if len(source.clients) == 1 else [relay_frame(9000, at + 1),
                                                                               relay_frame(9001, now_us())]:
                client.binary(f)
        with FakeSource(script) as source, FieldRig(source) as rig:
            rig.nats()
            rig.recordkv("ingest,kv")
            rig.stored(1)
            rig.parts["ingest-kv"].kill()
            rig.recordkv("ingest,kv")
            rig.stored(3)
            self.assertEqual(rig.status()["gaps"], [])


class NumberingTest(unittest.TestCase):
    def test_numbering_restarts_lower_and_nothing_is_lost(self):
        """On one connection, and on a host that has no more than a few events to tell it by."""
        def script(client):
            if len(source.clients) > 1:
                return
            for i in range(3):
                client.binary(relay_frame(1_000_000 + i, now_us(), i))
            wait_for("the first are stored", lambda: rig.records() == 3)
            for i in range(1, 9):
                client.binary(relay_frame(i, now_us(), 100 + i))
        with FakeSource(script) as source, FieldRig(source) as rig:
            rig.nats()
            rig.recordkv("ingest,kv")
            rig.stored(11)
            wait_for("a new epoch's cursor", lambda: (rig.cursor()["value"], rig.cursor()["epoch"]) == (8, "1"))
            self.assertEqual(len(source.clients), 1)
            self.assertEqual(rig.status()["gaps"], [])

    def test_the_cursor_does_not_fall_back(self):
        begin = now_us() - 3_600_000_000

        def script(client):
            client.text(jetstream_event(did(1), tid(begin), like(1), time_us=begin))
            if len(source.clients) == 1:
                client.text(jetstream_event(did(2), tid(begin + 49 * 60_000_000), like(2),
                                            time_us=begin + 49 * 60_000_000))
        with FakeSource(script) as source, FieldRig(source, "jetstream") as rig:
            rig.nats()
            rig.recordkv("ingest,kv")
            furthest = begin + 49 * 60_000_000
            wait_for("the cursor stands at the last event", lambda: rig.cursor()["value"] == furthest)
            rig.parts["ingest-kv"].kill()
            rig.recordkv("ingest,kv")
            wait_for("the replay has been settled", lambda: rig.report("ingest").get("buffered") == 1 and rig.drained()
                     and
                     rig.report("ingest")["events"] == 1)
            rig.parts["ingest-kv"].stop()
            self.assertEqual(rig.cursor()["value"], furthest)


class JetstreamTest(unittest.TestCase):
    def test_another_instance_with_lower_numbers(self):
        """A number beyond its newest means "live" there: what came in between is asked for by time."""
        begin = now_us() - 60_000_000
        first = [(5_000_000 + i, begin + i) for i in range(2)]
        other = [(900 + i, begin - 4_000_000 + i) for i in range(2)] + [(1000 + i, begin + 1_000_000 + i)
                                                                        for i in range(10)]

        def script(client):
            if len(source.clients) == 1:
                events = first
            elif client.cursor is not None and client.cursor < 10**15:
                events = [e for e in other if client.cursor <= e[0]] or [(1100, now_us())]
            else:
                events = [e for e in other if e[1] >= client.cursor] + [(1100, now_us())]
            for number, at in events:
                client.text(jetstream_with_number(number, at))
        with FakeSource(script) as source, FieldRig(source, "jetstream") as rig:
            rig.nats()
            rig.recordkv("ingest,kv")
            rig.stored(2)
            wait_for("the cursor is a number", lambda: rig.cursor()["value"] == 5_000_001)
            rig.parts["ingest-kv"].kill()
            rig.recordkv("ingest,kv")
            rig.stored(2 + len(other) + 1)
            wait_for("the cursor is of the other's numbers", lambda: rig.cursor()["value"] == 1100)
            self.assertEqual(rig.status()["gaps"], [])

    def test_a_time_of_the_year_2100_is_no_cursor(self):
        begin = now_us()

        def script(client):
            if client.cursor is None:
                client.text(jetstream_event(did(1), tid(begin), like(1), time_us=begin))
                client.text(jetstream_event(did(2), tid(now_us()), like(2), time_us=4_102_444_800_000_000,
                                            rev=tid(now_us())))
            elif client.cursor <= now_us():
                for i in range(3, 8):
                    client.text(jetstream_event(did(i), tid(now_us()), like(i)))
        with FakeSource(script) as source, FieldRig(source, "jetstream") as rig:
            rig.nats()
            rig.recordkv("ingest,kv")
            rig.stored(2)
            wait_for("both are settled", lambda: rig.cursor()["value"] >= begin)
            rig.parts["ingest-kv"].stop()
            self.assertEqual(rig.cursor()["value"], begin)
            rig.recordkv("ingest,kv")
            rig.stored(7)


if __name__ == "__main__":
    unittest.main()
