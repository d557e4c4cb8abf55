"""The pipe over TLS: a burst, a server that dies, a record of TLS that never becomes whole.

Owns: what the seam (src/nats/bridge.cpp) must do because OpenSSL stands between nats.c and the socket.
"""

import contextlib
import re
import unittest

from authority import Authority
from rig import SLOW, Rig, wait_for
from secure_rig import HOSTS, SecureRig, SecureTest
from secure_wires import CutWire, PlainDoor


class PipeTest(SecureTest):
    EVENTS = 50_000 // SLOW

    def test_pipe_over_tls(self):
        """A burst over TLS with a client certificate and a password, the server killed in the middle, twice: the
        process goes on, nothing is lost, and nothing stays unread behind TLS."""
        with SecureRig() as rig:
            rig.secrets = ["s3cret-word"]
            ours = Authority(rig.directory, "ours")
            mine = ours.sign("me", "DNS:me")
            alice = 'authorization { user: alice, password: "s3cret-word" }'
            rig.nats(rig.tls(ours.sign("server", HOSTS), "verify: true", ca=ours.certificate) + alice)
            rig.secure(user="alice:s3cret-word@")
            rig.settings.update({"nats.tls_ca": ours.certificate, "nats.tls_cert": mine[0], "nats.tls_key": mine[1]})
            with PlainDoor(rig.nats_port, ours.certificate, mine) as door:
                rig.url = f"nats://alice:s3cret-word@127.0.0.1:{door.port}"
                rig.simulator("--events", self.EVENTS, "--accounts", 500)
                part = rig.recordkv()
                for n in (1, 2):
                    mark = n * self.EVENTS // 4
                    wait_for(f"{mark} events", lambda: rig.stream("KV_record")["last_seq"] > mark, 60)
                    rig.parts["nats"].kill()
                    rig.parts["nats"].start()
                    rig.wait_nats()
                    wait_for("it is connected again", lambda: part.text().count("reconnected to server") >= n, 30)
                rig.check_store(120)
                self.assertTrue(part.running())
                self.assertEqual(part.starts, 1)
                self.assertEqual(part.stop(), 0)

    @contextlib.contextmanager
    def half_a_record(self, rig: Rig):
        """A process in the middle of its work that has half a record, and no more will come on this connection."""
        ours = Authority(rig.directory, "ours")
        rig.nats(rig.tls(ours.sign("server", HOSTS)))
        rig.settings["nats.tls_ca"] = ours.certificate
        with PlainDoor(rig.nats_port, ours.certificate) as door, CutWire(rig.nats_port) as wire:
            rig.url = f"nats://127.0.0.1:{door.port}"
            rig.secure(port=wire.port)
            rig.simulator("--events", 20_000, "--accounts", 100, "--rate", 1000)
            part = rig.recordkv()
            wait_for("events flow", lambda: rig.stream("KV_record")["last_seq"] > 1000, 60)
            wire.cut()
            wait_for("more has been sent behind the half", lambda: wire.withheld >= 3, 30, every=0.01)
            self.assertEqual(wire.cuts, 1)
            yield part

    def test_half_a_record_holds_up_nothing(self):
        """The loop goes on turning. (A signal would prove nothing: it ends poll(), too.)"""
        def turns() -> int:
            with open(f"/proc/{part.process.pid}/status") as f:
                return int(re.search(r"\nvoluntary_ctxt_switches:\s+(\d+)", f.read())[1])
        with SecureRig() as rig, self.half_a_record(rig) as part:
            before = turns()
            wait_for("the loop turns", lambda: turns() > before + 3, 4)

    def test_half_a_record_is_noticed(self):
        with SecureRig() as rig, self.half_a_record(rig) as part:
            wait_for("it is connected again", lambda: part.text().count("reconnected to server") >= 1, 60)
            rig.check_store(120)
            self.assertEqual(part.stop(), 0)


if __name__ == "__main__":
    unittest.main()
