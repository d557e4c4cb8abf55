"""What a complete message says is never a reason to reconnect: it is skipped, counted, and its account marked.

Owns: the whole way from a source that sends such messages to the store, the metrics and `status`.
Does not know: why a message can't be read; the unit tests of src/atproto have the corners.
"""

import json
import unittest

from fake_source import FakeSource, commit_frame, commit_payload, did, frame, jetstream_event, like, now_us, tid
from rig import Rig, wait_for
import dag_cbor  # from test/oracle, which fake_source has put into the path


def rig_for(source: FakeSource, kind: str, **settings) -> Rig:
    return Rig(**{"source.kind": kind, "source.url": source.url, "source.start": "oldest", "index.views": [],
                  **settings})


def keys(rig: Rig) -> int:
    return rig.stream("KV_record")["messages"]


def status(rig: Rig) -> dict:
    return json.loads(rig.command("status", "--json").stdout)


def bad_event(n: int, record: str) -> str:
    """An event of account n whose record is given as text, since no JSON library would write it."""
    event = jetstream_event(did(n), tid(now_us(), n % 1000), like(n))
    event["commit"]["record"] = "HERE"
    return json.dumps(event).replace('"HERE"', record)


def turned(mapping: dict) -> bytes:
    """A map with its keys in the wrong order."""
    pairs = [dag_cbor.encode(k) + dag_cbor.encode(v) for k, v in mapping.items()]
    pairs.sort(key=lambda p: p, reverse=True)
    return bytes([0xa0 | len(pairs)]) + b"".join(pairs)


class JetstreamMessages(unittest.TestCase):
    def test_events_that_cannot_be_read_between_good_ones(self):
        deep, surrogate = "[" * 600 + "]" * 600, '{"t":"\\ud83d"}'
        good = 40

        def script(client):
            for n in range(good):
                client.text(jetstream_event(did(n), tid(now_us(), n), like(n)))
                client.text(bad_event(1000 + n, deep if n % 2 else surrogate))
                client.text("")
            client.stay()

        with FakeSource(script) as source, rig_for(source, "jetstream") as rig:
            rig.nats()
            process = rig.recordkv("ingest,kv")
            wait_for("all good events are stored", lambda: keys(rig) == good and rig.drained(), 30)
            self.assertEqual(len(source.clients), 1, "each of them cost a connection")
            counted = rig.report("ingest")["counted"]
            wait_for("they are counted",
                     lambda: rig.report("ingest")["counted"].get("source_skipped unreadable") == good, 10)
            self.assertEqual(rig.report("ingest")["counted"]["source_skipped keep_alive"], good, counted)
            lines = [line for line in process.text().splitlines() if "can't be read" in line]
            self.assertLessEqual(len(lines), 2, "one line a minute")
            wait_for("their accounts are marked", lambda: status(rig)["accounts_maybe_stale"] == good, 10)
            self.assertEqual(status(rig)["accounts_stale_by_reason"], {"json": good})

    def test_after_a_restart_the_source_goes_on_behind_them(self):
        at = now_us() - 60_000_000

        def script(client):
            start = client.cursor or 0
            for n in range(30):
                if at + n * 1_000_000 < start:
                    continue
                if n % 3 == 2:
                    client.text(bad_event(1000 + n, "[" * 600 + "]" * 600))
                else:
                    client.text(jetstream_event(did(n), tid(at + n), like(n), time_us=at + n * 1_000_000))
            client.stay()

        with FakeSource(script) as source, rig_for(source, "jetstream") as rig:
            rig.nats()
            first = rig.recordkv("ingest,kv")
            wait_for("all good events are stored", lambda: keys(rig) == 20 and rig.drained(), 30)
            newest = at + 28 * 1_000_000
            wait_for("the cursor has passed", lambda: rig.report("ingest")["cursor"] == newest, 20)
            self.assertEqual(first.stop(), 0)
            rig.recordkv("ingest,kv", "again")
            wait_for("it connects again", lambda: len(source.clients) == 2, 20)
            self.assertEqual(source.clients[1].cursor, newest - 5_000_000)


class RelayMessages(unittest.TestCase):
    def test_envelopes_with_unsorted_keys_are_read(self):
        count = 30

        def script(client):
            for n in range(1, count + 1):
                at = now_us()
                payload = commit_payload(did(n), n, [("create", f"app.bsky.feed.like/{tid(at)}", like(n))])
                head = b"\xa2" + dag_cbor.encode("op") + b"\x01" + dag_cbor.encode("t") + dag_cbor.encode("#commit")
                client.binary(head + turned(payload) if n % 2 else frame("#commit", payload))
            client.stay()

        with FakeSource(script) as source, rig_for(source, "firehose") as rig:
            rig.nats()
            rig.recordkv("ingest,kv")
            wait_for("all records are stored", lambda: keys(rig) == count and rig.drained(), 30)
            self.assertEqual(len(source.clients), 1)
            self.assertEqual(status(rig)["accounts_maybe_stale"], 0)

    def test_messages_that_no_one_can_read(self):
        def script(client):
            for n in range((client.cursor or 0) + 1, 31):
                client.binary(commit_frame(did(n), n, [("create", f"app.bsky.feed.like/{tid(now_us())}", like(n))]))
                bad = commit_frame(did(1000 + n), n, [("create", f"app.bsky.feed.like/{tid(now_us())}", like(n))])
                if n % 5 == 0:
                    client.text("hello")
                elif n % 5 == 1:
                    client.text("")
                elif n % 5 == 2:
                    client.binary(bad + b"\x00")
                elif n % 5 == 3:
                    client.binary(bad[:-10])
                else:
                    client.binary(frame("", {"error": "Weather"}, op=-1))
            client.stay()

        with FakeSource(script) as source, rig_for(source, "firehose") as rig:
            rig.nats()
            rig.recordkv("ingest,kv")
            wait_for("all good records are stored", lambda: keys(rig) == 30 and rig.drained(), 30)
            # The first error frame ends its connection, as the protocol has it; the others must not.
            self.assertLessEqual(len(source.clients), 2)
            wait_for("the readable accounts are marked", lambda: status(rig)["accounts_maybe_stale"] == 12, 10)


class QuietSource(unittest.TestCase):
    def test_delays_do_not_grow_where_connections_stand_for_a_while(self):
        def script(client):
            client.gone.wait(3.5)
            client.close()

        with FakeSource(script) as source, rig_for(source, "firehose") as rig:
            rig.nats()
            process = rig.recordkv("ingest")
            wait_for("several connections", lambda: len(source.clients) >= 3, 30)
            waits = [int(line.split("again in ")[1].split()[0]) for line in process.text().splitlines()
                     if "again in " in line]
            self.assertTrue(all(w <= 500 for w in waits), waits)


if __name__ == "__main__":
    unittest.main()
