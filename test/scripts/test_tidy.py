"""tidy.py chooses the files that changed, and tells what it had no time for. With a repository of its own.

Owns: a small history, and a clang-tidy that finds what it is told to find. Does not know: the real checks.
"""
import os
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FAKE = """#!/bin/sh
for file; do :; done
echo "$file" >> checked
grep -H fault "$file" && exit 1
exit 0
"""


class TidyTest(unittest.TestCase):
    def setUp(self):
        self.directory = self.enterContext(tempfile.TemporaryDirectory())
        self.write("bin/clang-tidy-19", FAKE)
        os.chmod(os.path.join(self.directory, "bin", "clang-tidy-19"), 0o755)
        self.write(".gitignore", "bin/\nchecked\n")
        self.git("init", "-q", "-b", "main")
        for name in ("a", "b", "c"):
            self.write(f"src/{name}.cpp", f'#include "{name}.hpp"\n')
            self.write(f"src/{name}.hpp", "")
        self.write("src/compile/asio.cpp", "")
        self.write("include/recordkv/core/only.hpp", "")
        self.write("stages/user.cpp", '#include "recordkv/core/only.hpp"\n')
        self.commit()

    def write(self, name: str, text: str) -> None:
        path = os.path.join(self.directory, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)

    def git(self, *words: str) -> None:
        who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        subprocess.run(["git", *who, *words], cwd=self.directory, check=True, capture_output=True)

    def commit(self) -> None:
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "x")

    def tidy(self, *options: str, since: str = "") -> tuple:
        """(exit code, files checked, output)"""
        env = {**os.environ, "PATH": f"{self.directory}/bin:{os.environ['PATH']}", "LINT_SINCE": since}
        done = subprocess.run([sys.executable, "-B", os.path.join(ROOT, "scripts", "tidy.py"), "build", *options],
                              cwd=self.directory, env=env, text=True, capture_output=True, timeout=60, check=False)
        self.assertEqual(done.stderr, "")
        checked = os.path.join(self.directory, "checked")
        files = []
        if os.path.exists(checked):
            with open(checked, encoding="utf-8") as f:
                files = f.read().split()
            os.remove(checked)
        return done.returncode, sorted(files), done.stdout

    def test_everything(self):
        code, files, _ = self.tidy()
        self.assertEqual((code, files), (0, ["src/a.cpp", "src/b.cpp", "src/c.cpp", "stages/user.cpp"]))

    def test_a_finding(self):
        self.write("src/b.cpp", "// fault\n")
        code, _, said = self.tidy()
        self.assertEqual(code, 1)
        self.assertIn("src/b.cpp:// fault", said)
        self.assertIn("4 files checked, 1 with findings", said)

    def test_on_a_branch(self):
        self.git("checkout", "-q", "-b", "branch")
        self.write("src/a.cpp", "// changed\n")
        self.commit()
        self.write("src/c.hpp", "// changed, not committed\n")
        self.write("src/new.cpp", "// not known to git\n")
        self.assertEqual(self.tidy("--changed")[:2], (0, ["src/a.cpp", "src/c.cpp", "src/new.cpp"]))

    def test_on_main(self):
        """What the last 20 commits touched."""
        self.write("src/a.cpp", "// too long ago\n")
        self.commit()
        self.write("src/b.cpp", "// 20 commits ago\n")
        self.commit()
        for _ in range(19):
            self.commit()
        self.assertEqual(self.tidy("--changed")[:2], (0, ["src/b.cpp"]))
        self.assertEqual(self.tidy("--changed", since="HEAD~21")[:2], (0, ["src/a.cpp", "src/b.cpp"]))

    def test_a_merge_counts_with_all_it_brought(self):
        self.git("checkout", "-q", "-b", "branch")
        self.write("src/a.cpp", "// on the branch\n")
        self.commit()
        self.git("checkout", "-q", "main")
        for _ in range(25):
            self.commit()
        self.git("merge", "-q", "--no-ff", "-m", "merge", "branch")
        self.git("branch", "-D", "branch")
        self.assertEqual(self.tidy("--changed")[:2], (0, ["src/a.cpp"]))

    def test_a_header_without_a_source_of_its_name(self):
        for _ in range(25):
            self.commit()
        self.write("include/recordkv/core/only.hpp", "// changed\n")
        self.assertEqual(self.tidy("--changed")[:2], (0, ["stages/user.cpp"]))

    def test_a_file_that_is_gone(self):
        for _ in range(25):
            self.commit()
        os.remove(os.path.join(self.directory, "src", "a.cpp"))
        self.commit()
        self.assertEqual(self.tidy("--changed")[:2], (0, []))

    def test_no_time_left(self):
        self.write("bin/clang-tidy-19", FAKE.replace("#!/bin/sh", "#!/bin/sh\nsleep 2"))
        total = 4 + 2 * os.cpu_count()
        for n in range(total - 4):
            self.write(f"src/more{n}.cpp", "")
        code, files, said = self.tidy("--seconds", "1")
        self.assertEqual(code, 0)
        self.assertLess(len(files), total)
        self.assertRegex(said, rf"no time for {total - len(files)} of {total} files .*: src/")


if __name__ == "__main__":
    unittest.main()
