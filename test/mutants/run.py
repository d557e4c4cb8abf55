#!/usr/bin/env python3
"""Would the tests notice? Each patch here breaks one rule; the tests must then fail.

Owns: a scratch copy of the tree for each mutant, its build, and the verdict. A patch names the test that must notice it
in its first line: "# test: test/e2e/test_kill.py", or "# test: test/unit-atproto verify: step 9*" for test cases of a
program. Example: run.py build-test --only no_rewind
Exit codes: 0 every mutant was noticed, 1 one survived, 2 a patch does not apply or build, or the tests fail anyway.
"""

import argparse
import filecmp
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD_SECONDS, TEST_SECONDS = 1200, 900


def name_of(patch: str) -> str:
    return os.path.basename(patch).removesuffix(".patch")


def test_of(patch: str, build: str) -> list[str]:
    with open(patch) as f:
        named = re.match(r"# test: (\S+) ?(.*)", f.readline())
    if not named:
        raise ValueError(f"{patch}: its first line must be \"# test: FILE\"")
    if not named[1].endswith(".py"):
        return [os.path.abspath(os.path.join(build, named[1])), named[2]]
    return [sys.executable, "-B", "-m", "unittest", "-f", os.path.splitext(os.path.basename(named[1]))[0]]


def copy_tree(to: str) -> None:
    """What stands in the working tree, committed or not: that is what is being tested."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout.decode()
    for name in filter(None, listed.split("\0")):
        source, target = os.path.join(ROOT, name), os.path.join(to, name)
        if name.startswith("test/fuzz/seeds/") or not os.path.isfile(source):
            continue
        if os.path.exists(target) and filecmp.cmp(source, target, shallow=False):
            continue
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copyfile(source, target)  # the time is now: what a mutant had changed must be built again
        shutil.copymode(source, target)


def call(what: str, command: list[str], seconds: int, **options) -> bool:
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds,
                          check=False, **options)
    if done.returncode:
        print(f"{what}:\n{done.stdout[-4000:]}", flush=True)
    return done.returncode == 0


def build(tree: str, patch: str) -> bool:
    """A mutant is one changed file, and ninja builds no more. A cached precompiled header names its tree: hence the
    namespace."""
    out = os.path.join(tree, "build")
    cached = {"CXX": "ccache clang++-19", "CC": "ccache clang-19"} if shutil.which("ccache") else {}
    habits = "pch_defines,time_macros,include_file_mtime,include_file_ctime"
    environment = {**cached, **os.environ, "CCACHE_SLOPPINESS": habits, "CCACHE_NAMESPACE": tree}
    setup = ["meson", "setup", out, "-Dbuildtype=release"]
    if not os.path.isdir(out) and not call("meson", setup, 120, cwd=tree, env=environment):
        return False
    test = test_of(patch, out)[0]
    programs = ["src/cli/recordkv", "test/recordkv-sim"] if test == sys.executable else [os.path.relpath(test, out)]
    return call("ninja", ["ninja", "-C", out, *programs], BUILD_SECONDS, env=environment)


def noticed(tree: str, build: str, patch: str, seeds: str) -> str | None:
    """What the test said first; None when it was content."""
    binaries = {"RECORDKV": os.path.abspath(os.path.join(build, "src", "cli", "recordkv")),
                "RECORDKV_SIM": os.path.abspath(os.path.join(build, "test", "recordkv-sim")),
                "RECORDKV_SEEDS": seeds}
    done = subprocess.run(test_of(patch, build), cwd=os.path.join(tree, "test", "e2e"), env={**os.environ, **binaries},
                          text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=TEST_SECONDS,
                          check=False)
    if done.returncode == 0:
        return None
    with open(os.path.join(tree, os.path.basename(patch) + ".log"), "w") as log:  # to be read after --keep
        log.write(done.stdout)
    said = re.findall(r"^(?:AssertionError|\w*Error): .*(?:\n.*){0,2}|^DIFFERENT.*", done.stdout, re.M)
    return said[0] if said else done.stdout[-500:]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", help="a build directory of the tree as it is: its programs must pass")
    parser.add_argument("--only", action="append", metavar="NAME", help="these mutants; repeatable")
    parser.add_argument("--seeds", default="1 2 3", help="for the kill test")
    parser.add_argument("--unchecked", action="store_true", help="leave out the run without a mutant, which must pass")
    parser.add_argument("--keep", metavar="DIR", help="build in DIR and leave it there, so that the next run is quick")
    args = parser.parse_args()
    patches = [p for p in sorted(glob.glob(os.path.join(HERE, "*.patch"))) if not args.only or name_of(p) in args.only]
    survivors = 0
    with tempfile.TemporaryDirectory(prefix="recordkv-mutants-") as scratch:
        tree = args.keep or scratch
        tests = {tuple(test_of(p, args.build)): p for p in patches}  # each once, without its mutant
        for patch, changed in [(p, False) for p in tests.values() if not args.unchecked] + [(p, True) for p in patches]:
            name = name_of(patch) if changed else f"unchanged, {test_of(patch, args.build)[-1]}"
            copy_tree(tree)
            if changed and (not call(name, ["patch", "-p1", "-i", patch], 20, cwd=tree) or not build(tree, patch)):
                return 2
            began = time.monotonic()
            verdict = noticed(tree, os.path.join(tree, "build") if changed else args.build, patch, args.seeds)
            word = "passes" if verdict is None else "fails"
            print(f"{name}: {word} after {time.monotonic() - began:.0f} s\n{verdict or ''}", flush=True)
            if not changed and verdict:
                return 2  # a test that fails anyway says nothing about mutants
            survivors += changed and verdict is None
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
