"""Addresses of IPv6.

Owns: servers that listen on ::1. Refuses to know: how recordkv connects.
"""

import unittest

from rig import Rig, free_port, program, wait_for


def has_ipv6() -> bool:
    with open("/proc/net/if_inet6", encoding="ascii") as f:
        return any(line.startswith("00000000000000000000000000000001") for line in f)


class UpTest(unittest.TestCase):
    @unittest.skipUnless(has_ipv6(), "this machine has no ::1")
    def test_it_starts_a_server_at_the_loopback_address_of_ipv6(self):
        with Rig() as rig:
            rig.settings["nats.url"] = f"nats://[::1]:{free_port()}"
            rig.write_config()
            part = rig.add("up", [program("RECORDKV", "recordkv"), "--config", rig.config, "up"],
                           {"RECORDKV_NATS_SERVER": program("RECORDKV_NATS_SERVER", "nats-server")})
            wait_for("it runs", lambda: "NATS    nats://[::1]:" in part.text() or not part.running())
            self.assertTrue(part.running(), part.text())
            self.assertEqual(part.stop(), 0)


if __name__ == "__main__":
    unittest.main()
