"""Tests that run beside each other never share ports, whatever ids their processes have.

Owns: processes that ask rig.py for a port. Does not know: what listens there.
"""
import os
import subprocess
import sys
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ASKS = """
import os, sys
os.getpid = lambda: 1000
import rig
print((rig.free_port() - rig.FIRST_PORT) // rig.PORTS, flush=True)
sys.stdin.read()
"""


class PortsTest(unittest.TestCase):
    def test_processes_whose_ids_lead_to_one_block(self):
        asking = [subprocess.Popen([sys.executable, "-B", "-c", ASKS], cwd=os.path.join(ROOT, "test", "e2e"), text=True,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(3)]
        blocks = [int(process.stdout.readline()) for process in asking]
        for process in asking:
            process.communicate()
        self.assertEqual(len(set(blocks)), 3, blocks)


if __name__ == "__main__":
    unittest.main()
