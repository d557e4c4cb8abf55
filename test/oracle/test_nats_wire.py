"""The oracle's NATS client against a real server."""

import time
import unittest

import nats_wire
from real_server import RealServer, make_bucket


class NatsWire(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(RealServer())

    def setUp(self):
        self.nats = self.enterContext(nats_wire.Connection(self.server.url))

    def bucket(self, name, count=0):
        make_bucket(self.nats, name)
        for i in range(count):
            # Without acknowledgements a busy server drops what its queue has no room for, so every so often one is
            # awaited.
            send = self.nats.request if i % 1000 == 999 else self.nats.publish
            send(f"$KV.{name}.key.{i}", b"value %d" % i, headers={"cid": f"c{i}"})
        self.nats.api("INFO")  # what was published before is there now

    def read(self, name, **more):
        return list(nats_wire.read_stream(self.server.url, f"KV_{name}", **more))

    def test_request_and_headers(self):
        self.bucket("one")
        ack = self.nats.request("$KV.one.a.b", b"\r\nMSG \x00", headers={"op": "create", "empty": ""})
        self.assertIn(b'"seq":1', ack.payload.replace(b" ", b""))
        self.assertEqual(self.read("one"), [("$KV.one.a.b", {"op": "create", "empty": ""}, b"\r\nMSG \x00", 1)])

    def test_nobody_answers(self):
        with self.assertRaises(nats_wire.Failure):
            self.nats.request("nobody.listens")
        with self.assertRaisesRegex(nats_wire.Failure, "stream not found"):
            self.read("absent")

    def test_nobody_is_there(self):
        with self.assertRaises(nats_wire.Failure):
            nats_wire.Connection("nats://127.0.0.1:1", 1)

    def test_an_empty_stream_ends(self):
        self.bucket("none")
        self.assertEqual(self.read("none"), [])

    def test_filter(self):
        self.bucket("some", 20)
        got = self.read("some", filter="$KV.some.key.7")
        self.assertEqual([(m[0], m[2], m[3]) for m in got], [("$KV.some.key.7", b"value 7", 8)])

    def test_a_filter_whose_last_message_is_not_the_streams(self):
        self.bucket("tail", 5)
        self.nats.request("$KV.tail.other", b"x")
        self.assertEqual(len(self.read("tail", filter="$KV.tail.key.*")), 5)

    def test_only_the_last_of_each_subject_in_order(self):
        self.bucket("last", 100)
        for i in range(0, 100, 2):
            self.nats.publish(f"$KV.last.key.{i}", b"new")
        self.nats.api("INFO")
        got = self.read("last")
        self.assertEqual(len(got), 100)
        self.assertEqual([m[3] for m in got], sorted(m[3] for m in got))
        self.assertEqual(sum(m[2] == b"new" for m in got), 50)

    def test_everything_removed_while_reading(self):
        self.bucket("gone", 5000)
        reader = nats_wire.read_stream(self.server.url, "KV_gone")
        next(reader)
        self.nats.api("STREAM.PURGE.KV_gone")
        self.assertLess(sum(1 for _ in reader), 5000)  # and it comes to an end

    def test_fast_enough(self):
        self.bucket("many", 50_000)
        begin = time.monotonic()
        self.assertEqual(sum(1 for _ in nats_wire.read_stream(self.server.url, "KV_many")), 50_000)
        self.assertLess(time.monotonic() - begin, 10)  # usually well under one second


if __name__ == "__main__":
    unittest.main()
