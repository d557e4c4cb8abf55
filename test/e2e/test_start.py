"""A start that has to wait, and what systemd and HTTP are told of it.

Owns: nats.start_timeout, sd_notify, the port of http.listen that is taken. How a wrong server is refused:
test_refusals.
"""

import json
import signal
import socket
import subprocess
import unittest

from rig import SLOW, Rig, answer, die_with_parent, free_port, plain_environment, program, wait_for


class Listener:
    """systemd's end of NOTIFY_SOCKET."""

    def __init__(self, path: str):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.socket.setblocking(False)
        self.heard = []

    def lines(self) -> list:
        while True:
            try:
                self.heard += self.socket.recv(4096).decode().splitlines()
            except BlockingIOError:
                return self.heard


class WaitTest(unittest.TestCase):
    def waiting(self, rig: Rig, seconds: int) -> tuple:
        port = free_port()
        rig.settings.update({"nats.start_timeout": f"{seconds}s", "http.listen": f"127.0.0.1:{port}"})
        rig.write_config()
        systemd = Listener(rig.path("notify"))
        self.addCleanup(systemd.socket.close)
        command = [program("RECORDKV", "recordkv"), "--config", rig.config]
        part = rig.add("recordkv", command, {"NOTIFY_SOCKET": rig.path("notify")})
        wait_for("it waits", lambda: any(s.startswith("EXTEND_TIMEOUT_USEC=") for s in systemd.lines()))
        return part, systemd, port

    def test_a_server_that_comes_late_is_waited_for(self):
        with Rig() as rig:
            part, systemd, port = self.waiting(rig, 300)
            self.assertNotIn("READY=1", systemd.lines())
            self.assertEqual(answer(port, "/healthz"), (200, "ok\n"))
            code, body = answer(port, "/readyz")
            self.assertEqual((code, json.loads(body)["ready"]), (503, False))
            rig.nats()
            wait_for("systemd hears that it is ready", lambda: "READY=1" in systemd.lines(), 30)
            self.assertEqual(part.stop(), 0)
            self.assertIn("STOPPING=1", systemd.lines())

    def test_who_waits_can_be_stopped(self):
        with Rig() as rig:
            part, _, _ = self.waiting(rig, 300)
            part.process.send_signal(signal.SIGTERM)
            self.assertEqual(part.exit_code(8), 0)

    def test_the_wait_ends(self):
        with Rig() as rig:
            part, systemd, _ = self.waiting(rig, 1)
            self.assertEqual(part.exit_code(15), 3)
            self.assertIn("no NATS server answers", part.text())
            self.assertNotIn("READY=1", systemd.lines())


class PortTest(unittest.TestCase):
    def test_a_port_that_was_asked_for_and_is_taken(self):
        with Rig() as rig, socket.create_server(("127.0.0.1", 0)) as taken:
            rig.nats()
            rig.settings["http.listen"] = f"127.0.0.1:{taken.getsockname()[1]}"
            part = rig.recordkv()
            self.assertNotEqual(part.exit_code(), 0)
            said = [line for line in part.text().splitlines() if line.startswith("recordkv: ")]
            self.assertEqual(len(said), 1, part.text())
            self.assertIn(rig.settings["http.listen"], said[0])

    def test_the_default_port_that_is_taken(self):
        """A warning, and the work goes on. In a network of its own, since another program may have the default port
        here."""
        with Rig() as rig:
            probe = subprocess.run(["unshare", "-rn", "ip", "link", "set", "lo", "up"], capture_output=True,
                                   check=False)
            if probe.returncode != 0:
                self.skipTest(f"no network namespace can be made here: {probe.stderr.decode().strip()}")
            del rig.settings["http.listen"]
            rig.write_config()
            script = ("ip link set lo up; python3 -m http.server --bind 127.0.0.1 2580 >/dev/null 2>&1 & holder=$!; "
                      "until (exec 3<>/dev/tcp/127.0.0.1/2580) 2>/dev/null; do kill -0 $holder || exit 99; done; "
                      "\"$@\"; code=$?; kill $holder; exit $code")
            done = subprocess.run(["unshare", "-rn", "bash", "-c", script, "sh", program("RECORDKV", "recordkv"),
                                   "--config", rig.config, "--set", "nats.start_timeout=1s"], text=True,
                                  capture_output=True, timeout=40 * SLOW, env=plain_environment(),
                                  preexec_fn=die_with_parent, check=False)
            self.assertEqual(done.returncode, 3, done.stderr)  # there is no NATS in that network
            self.assertRegex(done.stderr, "(?m)warn .*127.0.0.1:2580.*going on without HTTP")


if __name__ == "__main__":
    unittest.main()
