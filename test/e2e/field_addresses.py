"""Addresses: IPv6, and names of which one address swallows packets.

Owns: servers that listen on ::1, listeners that accept no connection, names with several addresses.
Does not know: how recordkv connects.
"""

import contextlib
import json
import os
import socket
import subprocess
import unittest

from postgres import Postgres
from rig import Rig, free_port, program, wait_for

ME = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"


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


class Blackhole:
    """An address that answers nothing: a listener whose queue is full, so that the kernel drops what comes."""

    def __init__(self, address: str, port: int):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.sockets = [socket.socket(family)]
        listener = self.sockets[0]
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((address, port))
        listener.listen(0)
        for _ in range(16):
            one = socket.socket(family)
            self.sockets.append(one)
            one.settimeout(1)
            try:
                one.connect((address, port))
            except TimeoutError:
                return
        raise AssertionError(f"{address}:{port} still takes connections")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for one in self.sockets:
            one.close()


def may_unshare() -> bool:
    return subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode == 0


@unittest.skipUnless(has_ipv6() and may_unshare(), "wants ::1 and a mount namespace, for a name with two addresses")
class OneAddressSwallowsTest(unittest.TestCase):
    """Name `both` is ::1 and 127.0.0.1, as a host with a broken IPv6 is."""

    @contextlib.contextmanager
    def name_of_two(self, rig: Rig):
        with open(rig.path("hosts"), "w", encoding="ascii") as f:
            f.write("127.0.0.1 localhost\n::1 both\n127.0.0.1 both\n")
        real = program("RECORDKV", "recordkv")
        wrapper = rig.path("in-namespace")
        with open(wrapper, "w", encoding="ascii") as f:
            f.write(f'#!/bin/sh\nexec unshare -m sh -c \'mount --bind "{rig.path("hosts")}" /etc/hosts && exec "$0" '
                    f'"$@"\' '
                    f'"{real}" "$@"\n')
        os.chmod(wrapper, 0o755)
        before = os.environ.get("RECORDKV")
        os.environ["RECORDKV"] = wrapper
        try:
            yield
        finally:
            os.environ.pop("RECORDKV")
            if before:
                os.environ["RECORDKV"] = before

    def test_nats(self):
        with Rig() as rig, self.name_of_two(rig), Blackhole("::1", rig.nats_port):
            rig.nats()
            rig.settings["nats.url"] = f"nats://both:{rig.nats_port}"
            part = rig.recordkv("kv")
            wait_for("it runs", lambda: rig.report("kv").get("state") == "running", 20)
            self.assertEqual(part.stop(), 0, part.text())
            done = rig.command("status", "--json")
            self.assertEqual(json.loads(done.stdout)["nats"]["url"], f"nats://both:{rig.nats_port}", done.stderr)

    def test_postgresql(self):
        port = free_port()
        with Postgres(listen_addresses="127.0.0.1", port=port) as postgres, Rig() as rig, self.name_of_two(rig), \
                Blackhole("::1", port), Blackhole("127.0.0.2", port):
            rig.nats()
            rig.settings["index.database"] = f"postgresql://recordkv@both:{port}/postgres"
            part = rig.recordkv("kv,index")
            wait_for("the view runs", lambda: rig.report("view-likes").get("state") == "running", 20)
            for where in (f"recordkv@both:{port}/postgres?target_session_attrs=read-write",
                          f"recordkv@127.0.0.2:{port},127.0.0.1:{port}/postgres",
                          f"recordkv@127.0.0.2:{port},both:{port}/postgres?target_session_attrs=prefer-standby",
                          f"/postgres?user=recordkv&hostaddr=::1,127.0.0.1&port={port}",
                          f"/postgres?user=recordkv&host=/nowhere,both&port={port}",
                          f"/postgres?user=recordkv&host={postgres.directory},both&port={port}"):
                with self.subTest(where):
                    done = rig.command("--set", f"index.database=postgresql://{where}", "likes", "--by", ME)
                    # nothing found, and nothing to complain of
                    self.assertEqual((done.returncode, done.stderr), (1, ""))
            self.assertEqual(part.stop(), 0, part.text())


if __name__ == "__main__":
    unittest.main()
