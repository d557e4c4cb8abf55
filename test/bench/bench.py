#!/usr/bin/env python3
"""./dev bench: every figure of recordkv beside its limit of the same machine and run.

Owns: which sections are run how often, the table, the JSON, the guard. Does not know: how a figure is measured.
"""
import argparse
import json
import os
import pathlib
import platform
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import instructions  # noqa: E402
import latency  # noqa: E402
import pipe  # noqa: E402
import repos  # noqa: E402
import verify  # noqa: E402
import views  # noqa: E402
from bench_rig import NATS_SERVER  # noqa: E402
from figures import Setting, Table, falls  # noqa: E402

SECTIONS = {"pipe": pipe.figures, "verify": verify.figures, "views": views.figures, "latency": latency.figures,
            "repos": repos.figures, "growth": pipe.growth, "parts": instructions.figures}
QUICK = ("pipe", "verify", "views", "latency", "repos", "parts")
HELP = """\
examples:
  ./dev bench                      every section, three runs: it takes long
  ./dev bench pipe latency         two of them
  ./dev bench --quick              one short run of each, in under two minutes
  ./dev bench --quick --guard test/bench/recorded.json    fails where a ratio fell below 60 % of the recorded one,
                                                           or a part takes 10 % more instructions
"""


def first_line(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[0]


def cpu_name():
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        return next((line.split(":", 1)[1].strip() for line in f if line.startswith("model name")), platform.machine())


def machine(build):
    return {"cpu": cpu_name(), "cores": os.cpu_count(), "load before": round(os.getloadavg()[0], 1),
            "kernel": platform.release(), "nats-server": first_line(NATS_SERVER, "--version"),
            "recordkv": first_line(pathlib.Path(build) / "src" / "cli" / "recordkv", "--version")}


def run_section(name, s, table):
    for figure in SECTIONS[name](s):
        if s.quick:  # what is wanted is wanted at full size
            figure = figure._replace(wanted=None)
        table.add(name, figure)
        say(f"run {s.run + 1}: {name}: {figure.what}: {figure.value:,.2f} {figure.unit}" +
            (f", {figure.value / figure.limit:.2f} of {figure.of}" if figure.limit else ""))


def measure(given, where, directory, table):
    """Writes the JSON after each section: a run that is ended early has measured something."""
    for run in range(given.runs):
        for name in given.section or (QUICK if given.quick else SECTIONS):
            run_section(name, Setting(given.build, given.quick, run, directory), table)
            if given.json:
                told = {"machine": where, "quick": given.quick, "figures": table.json()}
                pathlib.Path(given.json).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def say(line):
    print(line, file=sys.stderr, flush=True)


def guard(given, directory, table):
    """A section that fell is measured twice more, since other work on the machine may have been why."""
    recorded = json.loads(pathlib.Path(given.guard).read_text(encoding="utf-8"))["figures"]
    if given.section:
        recorded = [r for r in recorded if r["section"] in given.section]
    for run in range(given.runs, given.runs + 3):
        fallen = list(falls(table.json(), recorded))
        for _, line in fallen:
            say(f"FELL {line}")
        if not fallen or run == given.runs + 2:
            break
        for name in {section for section, _ in fallen}:
            run_section(name, Setting(given.build, given.quick, run, directory), table)
    say(f"guard: {len(fallen)} of {len(recorded)} figures fell; {given.guard} has what was recorded")
    return 1 if fallen else 0


def arguments():
    ask = argparse.ArgumentParser(prog="./dev bench", description=__doc__.splitlines()[0], epilog=HELP,
                                  formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("build", help=argparse.SUPPRESS)
    ask.add_argument("section", nargs="*", help=", ".join(SECTIONS))
    ask.add_argument("--quick", action="store_true", help="small sizes, one run")
    ask.add_argument("--runs", type=int, help="3; with --quick 1")
    ask.add_argument("--json", metavar="FILE", help="writes every figure, and the machine")
    ask.add_argument("--guard", metavar="FILE", help="compares the ratios with those of such a file")
    given = ask.parse_intermixed_args()
    if unknown := set(given.section) - set(SECTIONS):
        ask.error(f"no section {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    given.runs = given.runs or (1 if given.quick else 3)
    return given


def main():
    given = arguments()
    where = machine(given.build)
    table = Table()
    with tempfile.TemporaryDirectory(prefix="recordkv-bench-") as directory:
        measure(given, where, directory, table)
        code = guard(given, directory, table) if given.guard else 0
    print(*table.lines(), sep="\n")
    print("\n" + "; ".join(f"{key}: {value}" for key, value in where.items()))
    sys.exit(code)


if __name__ == "__main__":
    main()
