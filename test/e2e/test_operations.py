"""docs/operations.md does what it says: its blocks marked `sh run` are run in order, on real parts, while a network
happens.

Owns: reading the blocks, and the machine they expect: `recordkv` and `nats` in PATH, a configuration, a server, a
source.
Does not know: what the blocks hold. `sh run stopped` is run while no recordkv process is there, and then one starts.
"""

import os
import re
import subprocess
import unittest

from rig import ROOT, SLOW, Rig, free_port, wait_for

PAGE = os.path.join(ROOT, "docs", "operations.md")
EVENTS = 6000
HTTP = "127.0.0.1:2580"  # as the page writes it; the test has a port of its own


def blocks() -> list:
    """(line, is recordkv stopped, commands) of each block to be run."""
    with open(PAGE, encoding="utf-8") as f:
        page = f.read()
    found = re.finditer(r"(?ms)^```sh run( stopped)?\n(.*?)^```$", page)
    return [(page.count("\n", 0, m.start()) + 1, bool(m[1]), m[2]) for m in found]


class OperationsTest(unittest.TestCase):
    def run_block(self, rig: Rig, line: int, commands: str, environment: dict) -> None:
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", commands.replace(HTTP, rig.settings["http.listen"])],
                              cwd=rig.directory, env=environment, text=True, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120 * SLOW, check=False)
        print(f"docs/operations.md:{line}: {commands.count(chr(10))} lines, exit code {done.returncode}")
        self.assertEqual(done.returncode, 0, f"docs/operations.md:{line}:\n{commands}{done.stdout}")

    def test_the_page_is_run(self):
        todo = blocks()
        self.assertGreaterEqual(len(todo), 4, "docs/operations.md has lost its blocks")
        self.assertTrue(any(stopped for _, stopped, _ in todo), "the restore is no longer run")
        with Rig() as rig:
            rig.settings["http.listen"] = f"127.0.0.1:{free_port()}"
            rig.settings["source.silent_after"] = "1h"  # the network ends before the test does
            environment = rig.machine()
            rig.nats()
            rig.simulator("--events", EVENTS, "--rate", 400 // SLOW, "--accounts", 500)
            part = rig.recordkv(name="first")
            wait_for("part of the network is stored", lambda: rig.stream("KV_record")["last_seq"] > EVENTS // 6, 60)
            for line, stopped, commands in todo:
                if not stopped:
                    self.run_block(rig, line, commands, environment)
                    continue
                # The copy is older by then: more has happened, been stored and indexed.
                wait_for("the network goes on", lambda: rig.stream("KV_record")["last_seq"] > EVENTS // 2, 60)
                self.assertEqual(part.stop(), 0, part.text())
                self.run_block(rig, line, commands, environment)
                restored = rig.stream("KV_record")["last_seq"]
                self.assertLess(restored, EVENTS // 2, "the copy was not older: this proves nothing")
                print(f"restored: the store as it was at {restored}")
                part = rig.recordkv(name="restored")
            rig.check_store(90)
            print(rig.verdict.text().strip().splitlines()[-1])
            self.assertIn("rebuilding", part.text(), "the view must notice that the store is another one")
            self.assertEqual(rig.command("status", "--quiet").returncode, 0)


if __name__ == "__main__":
    unittest.main()
