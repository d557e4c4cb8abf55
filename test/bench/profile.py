#!/usr/bin/env python3
"""Where recordkv's CPU time goes an event, from Jetstream to the likes row: perf's samples, by what they belong to.

Owns: the run under perf, the table of parts. Does not know: how it is drawn (plots.py).
Usage: test/bench/profile.py BUILD [--json FILE]. Needs perf, and the right to use it.
"""
import argparse
import json
import pathlib
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import pipe  # noqa: E402

# The first that fits both the library and the symbol.
PARTS = [("kernel: sockets, files, waiting", r"\[kernel|\[unknown|vdso", ""),
         ("SQLite", r"sqlite", ""),
         ("nats.c", r"libnats", ""),
         ("memory: allocating and freeing", r"jemalloc", ""),
         ("memory: allocating and freeing", "", r"\b(malloc|free|calloc|realloc|operator new|operator delete|je_)"),
         ("libc: copying, comparing", r"libc[.-]|ld-linux", ""),
         ("hashes", r"libcrypto", ""),
         ("JSON", "", r"boost::json"),
         ("decoding, CIDs, CBOR", "", r"recordkv::atproto"),
         ("publishing and consuming", "", r"recordkv::nats"),
         ("views", "", r"recordkv::(view|projection|indexer)"),
         ("event loop, coroutines", "", r"boost::asio|std::__n4861|coroutine"),
         ("stages and states", "", r"recordkv::")]


def part_of(library, symbol):
    return next((name for name, lib, sym in PARTS if re.search(lib, library) and re.search(sym, symbol)), "the rest")


def shares(samples, pid):
    """Each part's share of the samples of the process."""
    done = subprocess.run(["perf", "report", "-i", samples, "--pid", str(pid), "--no-children", "-F",
                           "overhead,dso,sym", "--stdio", "-g", "none", "-t", "\t", "-w", "0,0,0"],
                          capture_output=True, text=True, check=True)
    out = {}
    for line in done.stdout.splitlines():
        if m := re.match(r"\s*([\d.]+)%\s*\t([^\t]*)\t\s*\[.\] (.*)", line):
            name = part_of(m[2], m[3])
            out[name] = out.get(name, 0) + float(m[1]) / 100
    return out


def main():
    ask = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ask.add_argument("build")
    ask.add_argument("--events", type=int, default=300_000)
    ask.add_argument("--json", metavar="FILE")
    given = ask.parse_args()
    with tempfile.TemporaryDirectory(prefix="recordkv-profile-") as directory:
        samples = pathlib.Path(directory) / "perf.data"
        row = pipe.Run(given.build, given.events, 200_000, 7, samples=samples)
        found = shares(samples, row.pid)
    total = sum(found.values())
    parts = {name: share / total * row.own_us for name, share in sorted(found.items(), key=lambda p: -p[1])}
    for name, us in parts.items():
        print(f"{us:6.2f} us  {us / row.own_us:4.0%}  {name}")
    print(f"{row.own_us:6.2f} us an event in all, of {given.events:,} events")
    if given.json:
        pathlib.Path(given.json).write_text(json.dumps({"us": row.own_us, "parts": parts}, indent=1) + "\n",
                                            encoding="utf-8")


if __name__ == "__main__":
    main()
