"""How many instructions each pure part takes an event, counted by callgrind: the same on every run and every load.

Owns: the count. Does not know: what the parts do (pure_parts.cpp).
"""
import os
import pathlib
import re
import subprocess
from concurrent import futures

from bench_rig import ROOT
from figures import Figure

FEW, MANY = 100, 500  # events


def run(program, part, at_least):
    """(instructions, events)"""
    done = subprocess.run(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", program,
                           ROOT / "test" / "fixtures", part, str(at_least)],
                          cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    counted = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode or not counted:
        raise SystemExit(f"bench: bench-pure-parts {part} did not run under callgrind\n{done.stdout}{done.stderr}")
    return int(counted[1]), int(done.stdout)


def count(build):
    """Instructions an event, by part."""
    program = pathlib.Path(build) / "test" / "bench-pure-parts"
    parts = subprocess.run([program, "--list"], capture_output=True, text=True, check=True).stdout.split()

    def of(part):
        (few, events), (many, more) = run(program, part, FEW), run(program, part, MANY)
        return round((many - few) / (more - events))

    with futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(parts, pool.map(of, parts)))


def figures(s):
    if s.run == 0:  # another run counts the same
        for part, instructions in count(s.build).items():
            yield Figure(f"instructions an event, {part}", "instructions", instructions)
