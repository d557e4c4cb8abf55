"""needs.py runs a test whose tools are here, and names what is missing otherwise.

Owns: a PATH that holds nothing but what a test puts there. Does not know: the tools of this machine.
"""
import os
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
NEEDS = os.path.join(ROOT, "test", "needs.py")


class NeedsTest(unittest.TestCase):
    def setUp(self):
        self.bin = self.enterContext(tempfile.TemporaryDirectory())

    def tool(self, name: str, script: str) -> str:
        path = os.path.join(self.bin, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(f"#!/bin/sh\n{script}\n")
        os.chmod(path, 0o755)
        return path

    def needs(self, *tools: str, script: str = "echo ran", **env: str) -> tuple:
        """(exit code, what was printed)"""
        command = [sys.executable, "-B", NEEDS, "nats/name", *tools, "--", "/bin/sh", "-c", script]
        done = subprocess.run(command, env={"PATH": self.bin, **env}, text=True, capture_output=True, timeout=60,
                              check=False)
        return done.returncode, done.stdout + done.stderr

    def test_nothing_needed(self):
        self.assertEqual(self.needs(), (0, "ran\n"))
        self.assertEqual(self.needs(script="exit 3"), (3, ""))

    def test_missing(self):
        self.assertEqual(self.needs("no-such-tool", "neither"),
                         (77, "SKIPPED nats/name: no no-such-tool in PATH; no neither in PATH\n"))

    def test_missing_where_all_are_required(self):
        self.assertEqual(self.needs("no-such-tool", TEST_TOOLS="required"),
                         (1, "MISSING nats/name: no no-such-tool in PATH\n"))

    def test_here(self):
        self.tool("some-tool", "")
        self.assertEqual(self.needs("some-tool"), (0, "ran\n"))

    def test_nats_server_by_version(self):
        for version, fits in (("2.15.2", True), ("2.10.0", True), ("2.12.10", True), ("2.12.6", True),
                              ("2.9.25", False),
                              ("2.12.7", False), ("2.12.9", False), ("2.14.0", False), ("2.14.1", False), ("", False)):
            with self.subTest(version=version):
                path = self.tool("server", f"echo nats-server: v{version}")
                code, said = self.needs("nats-server", script='echo "$RECORDKV_NATS_SERVER"', RECORDKV_NATS_SERVER=path)
                self.assertEqual((code, said) == (0, path + "\n"), fits, said)
                self.assertEqual(code, 0 if fits else 77)

    def test_postgres_that_is_named(self):
        self.assertEqual(self.needs("postgres", RECORDKV_POSTGRES_BIN="/somewhere"), (0, "ran\n"))

    def test_every_need_of_the_build_is_known(self):
        """A word in test/meson.build that is neither a tool of needs.py nor a program of Debian would skip for ever."""
        sys.path.insert(0, os.path.dirname(NEEDS))
        import needs
        with open(os.path.join(ROOT, "test", "meson.build"), encoding="utf-8") as f:
            text = f.read()
        plain = {"openssl", "curl", "promtool", "pkg-config", "systemd-analyze", "git"}
        for table in ("e2e_beside", "e2e_alone"):
            body = text.split(f"{table} = {{")[1].split("\n}")[0]
            for line in body.strip().splitlines():
                for tool in line.split(":")[1].strip(" [],").replace("'", "").split(", "):
                    self.assertIn(tool, {"", *needs.TOOLS, *plain}, line)


if __name__ == "__main__":
    unittest.main()
