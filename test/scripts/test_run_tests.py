"""The runner of tests, with programs that end in every way in which a test program can end.

Owns: the programs that misbehave. Does not know: the tests of recordkv.
"""
import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "scripts"))
import run_tests  # noqa: E402
import test_program  # noqa: E402

LOG = """
import os
os.mkdir(os.environ["TMPDIR"] + "/recordkv-e2e-x")
with open(os.environ["TMPDIR"] + "/recordkv-e2e-x/nats.log", "w") as f:
    f.writelines(f"line {n} of nats\\n" for n in range(1, 61))
"""
CASE = """
import unittest
class A(unittest.TestCase):
    def test_a(self): {body}
unittest.main()
"""


def entry(program: str, seconds: float = 60, name: str = "e2e/fake") -> dict:
    return {"name": name, "cmd": [sys.executable, "-c", program], "env": {}, "workdir": None, "timeout": seconds,
            "suite": ["recordkv:e2e"], "is_parallel": True}


class EndTest(unittest.TestCase):
    """Each end of a program: what is counted, and what is printed."""

    def runs(self, program: str, seconds: float = 60) -> dict:
        with mock.patch.multiple(test_program, TERM_SECONDS=1, ABORT_SECONDS=5, GONE_SECONDS=1):
            result = test_program.run(entry(program, seconds))
        self.said = "\n".join(result["lines"])
        return result

    def counted(self, result: dict) -> tuple:
        return result["passed"], result["failed"], result["skipped"]

    def test_a_verdict(self):
        self.assertEqual(self.counted(self.runs(CASE.format(body="pass"))), (1, 0, 0))
        self.assertEqual(self.counted(self.runs(CASE.format(body="self.fail()"))), (0, 1, 0))
        self.assertEqual(self.counted(self.runs(CASE.format(body="self.skipTest('')"))), (0, 0, 1))
        self.assertEqual(self.counted(self.runs("print('All tests passed (9 assertions in 4 test cases)')")), (4, 0, 0))
        self.assertEqual(self.counted(self.runs("print('test cases: 5 | 3 passed | 2 skipped')")), (3, 0, 2))
        self.assertEqual(self.counted(self.runs("print('test cases: 5 | 3 passed | 2 failed'); exit(2)")), (3, 2, 0))
        self.assertEqual(self.counted(self.runs("print('7 passed, 0 failed')")), (7, 0, 0))

    def test_killed_by_a_signal(self):
        result = self.runs(LOG + CASE.format(body="os.kill(os.getpid(), 11)"))
        self.assertEqual(self.counted(result), (0, 1, 0))
        self.assertIn("e2e/fake: ended without a verdict: killed by SIGSEGV (signal 11)", self.said)
        self.assertIn("recordkv-e2e-x/nats.log: last 50 of 60 lines\nline 11 of nats\n", self.said)
        self.assertIn("line 60 of nats", self.said)
        self.assertIn("in test_a", self.said)  # where the program stood

    def test_killed_after_its_closing_line(self):
        result = self.runs("import os; print('3 passed, 0 failed', flush=True); os.kill(os.getpid(), 9)")
        self.assertEqual(self.counted(result), (3, 1, 0))
        self.assertIn("killed by SIGKILL (signal 9) after its closing line", self.said)

    def test_exit_code_0_without_a_closing_line(self):
        result = self.runs(LOG + CASE.format(body="os._exit(0)"))
        self.assertEqual(self.counted(result), (0, 1, 0))
        self.assertIn("ended without a verdict: exit code 0, and no closing line", self.said)
        self.assertIn("line 60 of nats", self.said)

    def test_half_a_closing_line(self):
        result = self.runs("print('Ran 3 tests in 1.0s')")
        self.assertEqual(self.counted(result), (0, 1, 0))

    def test_no_test(self):
        self.assertEqual(self.counted(self.runs("import unittest; unittest.main()")), (0, 1, 0))
        self.assertIn("ran no test", self.said)

    def test_closing_line_and_exit_code_disagree(self):
        self.assertEqual(self.counted(self.runs("print('3 passed, 0 failed'); exit(23)")), (3, 1, 0))
        self.assertIn("exit code 23, but its closing line counts 0 failed tests", self.said)

    def test_a_hang_that_heeds_sigterm(self):
        result = self.runs(LOG + "import time\ntime.sleep(600)", seconds=1)
        self.assertEqual(self.counted(result), (0, 1, 0))
        self.assertIn("ended without a verdict: not within 1 s, then killed by SIGTERM (signal 15)", self.said)
        self.assertIn("line 60 of nats", self.said)

    def test_a_hang_that_heeds_nothing(self):
        """SIGABRT makes Python print where every thread stands."""
        result = self.runs("import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
                           "def stands_here(): time.sleep(600)\nstands_here()", seconds=1)
        self.assertEqual(self.counted(result), (0, 1, 0))
        self.assertIn("then killed by SIGABRT (signal 6)", self.said)
        self.assertIn("in stands_here", self.said)

    def test_a_child_that_stays(self):
        """It holds the program's output open. The program's end is seen all the same, and the child is ended."""
        result = self.runs("import subprocess, sys\nprint('1 passed, 0 failed', flush=True)\n"
                           "print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']).pid)")
        self.assertEqual(self.counted(result), (1, 1, 0))
        self.assertRegex(self.said, r"e2e/fake: left behind: \S+ \(\d+\)$")
        self.assertFalse(os.path.exists(f"/proc/{int(result['lines'][1])}/exe"))

    def test_a_program_that_is_not_there(self):
        test = {**entry(""), "cmd": ["/no/such/program"]}
        result = test_program.run(test)
        self.assertEqual(self.counted(result), (0, 1, 0))
        self.assertRegex(result["lines"][-1], r"e2e/fake: could not be started: .*/no/such/program")

    def test_a_tool_is_missing(self):
        result = self.runs("print('SKIPPED e2e/fake: no nats-server'); exit(77)")
        self.assertEqual(self.counted(result), (0, 0, 1))
        with contextlib.redirect_stdout(io.StringIO()) as out:
            run_tests.tell(result, False)
        self.assertRegex(out.getvalue(), r"skipped e2e/fake .*\n +SKIPPED e2e/fake: no nats-server\n")


class RunTest(unittest.TestCase):
    """The runner as a whole, with a `meson` that knows the tests of this file."""

    def setUp(self):
        self.directory = self.enterContext(tempfile.TemporaryDirectory())
        self.ran = os.path.join(self.directory, "ran")
        with open(os.path.join(self.directory, "meson"), "w") as f:
            f.write(f'#!/bin/sh\nexec cat {self.directory}/tests.json\n')
        os.chmod(f.name, 0o755)

    def tests(self, **programs: str) -> None:
        """Programs by name; each notes in a file that it ran."""
        note = f"open({self.ran!r}, 'a').write('{{name}} ')\n"
        known = [entry(note.format(name=name) + text, name="e2e/" + name) for name, text in programs.items()]
        with open(os.path.join(self.directory, "tests.json"), "w") as f:
            json.dump(known, f)

    def runner(self, *options: str) -> subprocess.CompletedProcess:
        path = f"{self.directory}:{os.environ['PATH']}"
        command = [sys.executable, "-B", os.path.join(ROOT, "scripts", "run_tests.py"), ".", *options]
        return subprocess.run(command, text=True, capture_output=True, env={**os.environ, "PATH": path}, timeout=120,
                              check=False)

    def ran_programs(self) -> list:
        with open(self.ran) as f:
            return sorted(f.read().split())

    def test_repeat(self):
        self.tests(one="print('1 passed, 0 failed')", two="print('1 passed, 0 failed')", other="exit(1)")
        done = self.runner("--tier", "e2e", "--only", "one", "--only", "two", "--repeat", "3", "--busy")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(self.ran_programs(), ["one"] * 3 + ["two"] * 3)
        self.assertIn("6 passed, 0 failed, 0 skipped", done.stdout)

    def test_failures_are_listed_at_the_end(self):
        once = f"print('1 passed, 0 failed') if open({self.ran!r}).read().count('one') == 1 else exit(3)"
        self.tests(one=once)
        done = self.runner("--tier", "e2e", "--repeat", "2")
        self.assertEqual(done.returncode, 1)
        self.assertIn("\nFAILED e2e/one, round 2: ended without a verdict: exit code 3, ", done.stdout)

    def test_only_short_programs_are_repeated_further(self):
        self.tests(short="print('1 passed, 0 failed')", long="print('1 passed, 0 failed')")
        tally = run_tests.Tally()
        tally.seconds["e2e/long"] = run_tests.SHORT + 1
        with mock.patch.object(sys, "argv", ["", "build", "--tier=e2e", "--repeat=2", "--repeat-short=4"]):
            given = run_tests.arguments()
        with open(os.path.join(self.directory, "tests.json")) as f, contextlib.redirect_stdout(io.StringIO()):
            known = json.load(f)
            self.assertTrue(all(run_tests.run_round(known, given, tally, turn) for turn in range(1, 5)))
        self.assertEqual(self.ran_programs(), ["long"] * 2 + ["short"] * 4)

    def test_nothing_passed_is_no_pass(self):
        self.tests(one="print('SKIPPED e2e/one: no tool'); exit(77)")
        self.assertEqual(self.runner("--tier", "e2e").returncode, 1)


if __name__ == "__main__":
    unittest.main()
