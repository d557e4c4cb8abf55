#!/usr/bin/env python3
"""Runs clang-tidy over the product's sources, or over those that changed.

  tidy.py BUILD [--changed] [--seconds N]

Owns: which files count as changed, and how long it may take. Does not know: the checks (.clang-tidy).
Changed is what the working tree and the commits since the merge base with main touch. On main itself, where CI runs,
it is what the last 20 commits touch, and a merge counts as one. LINT_SINCE names another revision.
A changed header is checked through one source that includes it. The newest changes come first. After N seconds no
further file is begun, and those that are left are named.
"""
import argparse
import concurrent.futures
import os
import re
import subprocess
import sys
import time

COMMITS = 20
PRODUCT = re.compile(r"^(?:src|stages|include)/(?!compile/).*\.[ch]pp$")
TIDY = ["clang-tidy-19", "--quiet", "--warnings-as-errors=*"]


def git(*words):
    done = subprocess.run(["git", *words], capture_output=True, text=True, check=False)
    return done.stdout.splitlines() if done.returncode == 0 else []


def since():
    """The revision from which on changes count."""
    if named := os.environ.get("LINT_SINCE"):
        return named
    head = git("rev-parse", "HEAD")
    for main in ("main", "origin/main"):
        base = git("merge-base", "HEAD", main)
        if base and base != head:
            return base[0]
    return (git("rev-list", "--first-parent", f"--max-count={COMMITS + 1}", "HEAD") or ["HEAD"])[-1]


def changed_files(start):
    """The product's files that changed, the newest change first, each once."""
    names = git("diff", "--name-only", "HEAD") + git("ls-files", "--others", "--exclude-standard")
    names += git("log", "--first-parent", "-m", "--format=", "--name-only", f"{start}..HEAD")
    return [n for n in dict.fromkeys(names) if PRODUCT.match(n) and os.path.isfile(n)]


def sources():
    listed = git("ls-files", "--cached", "--others", "--exclude-standard", "src", "stages")
    return [n for n in listed if n.endswith(".cpp") and PRODUCT.match(n) and os.path.isfile(n)]


def through(header, all_sources):
    """A source that includes a header: the one of its name, or the first."""
    tail = os.path.basename(header)
    including = re.compile(rf'^#include [<"](?:[^">]*/)?{re.escape(tail)}[>"]', re.M)
    users = []
    for name in all_sources:
        with open(name, encoding="utf-8") as f:
            if including.search(f.read()):
                users.append(name)
    same = [u for u in users if os.path.splitext(os.path.basename(u))[0] == os.path.splitext(tail)[0]]
    return (same or users or [None])[0]


def to_check(changed, all_sources):
    chosen = (name if name.endswith(".cpp") else through(name, all_sources) for name in changed)
    return [name for name in dict.fromkeys(chosen) if name in all_sources]


def check(name, build, deadline):
    """The findings in a file; None if there was no time left to begin."""
    if deadline and time.monotonic() > deadline:
        return None
    done = subprocess.run([*TIDY, "-p", build, name], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr or f"{name}: exit code {done.returncode}"


def main():
    ask = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ask.add_argument("build", help="a directory with compile_commands.json, and built")
    ask.add_argument("--changed", action="store_true", help="only what changed")
    ask.add_argument("--seconds", type=int, default=0, help="begin no file after that time")
    given = ask.parse_args()
    all_sources = sources()
    names = to_check(changed_files(since()), all_sources) if given.changed else all_sources
    deadline = time.monotonic() + given.seconds if given.seconds else 0
    with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count() or 2) as pool:
        found = list(pool.map(lambda name: check(name, given.build, deadline), names))
    left = [name for name, findings in zip(names, found) if findings is None]
    print("".join(filter(None, found)), end="")
    if left:
        print(f"clang-tidy: no time for {len(left)} of {len(names)} files (./dev lint checks all): {' '.join(left)}")
    bad = sum(1 for findings in found if findings)
    print(f"clang-tidy: {len(names) - len(left)} files checked, {bad} with findings")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
