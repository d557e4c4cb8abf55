#!/usr/bin/env python3
"""Runs the tests of a build directory by tier and tells each tier's count and time.

Owns: which tier runs when, how often, the counting, the closing line. Tests are those that Meson knows, by suite.
Does not know: how a test program ends (test_program.py), and what it does.
"""
import argparse
import concurrent.futures
import ctypes
import json
import os
import re
import signal
import subprocess
import sys
import time

import test_program

TIERS = ["unit", "stages", "nats", "e2e"]
SHORT = 30  # seconds; what lasts less than that is repeated --repeat-short times
SHOWN = 600  # lines of the output of a program that failed
PR_SET_PDEATHSIG = 1


def tell(result, verbose):
    word = "FAILED" if result["failed"] else "ok" if result["passed"] else "skipped"
    skipped = f", {result['skipped']} skipped" if result["skipped"] else ""
    passed, seconds = result["passed"], result["seconds"]
    print(f"  {word:<7} {result['name']:<24} {passed:>4} passed{skipped}  {seconds:.1f} s", flush=True)
    if result["skipped"] and not result["failed"]:
        for line in result["lines"]:
            if re.search(r"SKIPPED|skipped:|skipped '|absent", line):
                print(f"           {line.strip()}")
                break
    if result["failed"] or verbose:
        print("\n".join("      | " + line for line in result["lines"][-SHOWN:]), flush=True)


def run_tier(tests, at_once, verbose):
    """First those that may run beside others, `at_once` of them; then the rest alone."""
    together = [t for t in tests if t["is_parallel"]]
    alone = [t for t in tests if not t["is_parallel"]]
    results = []
    with concurrent.futures.ThreadPoolExecutor(max_workers=at_once) as pool:
        try:
            for result in pool.map(test_program.run, together):
                tell(result, verbose)
                results.append(result)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            test_program.stop_all()
            raise
    for test in alone:
        results.append(test_program.run(test))
        tell(results[-1], verbose)
    return results


class BusyCore:
    """A process that keeps one core busy, so that tests run as on a machine that others use, too."""

    def __enter__(self):
        libc = ctypes.CDLL(None)
        self.process = subprocess.Popen([sys.executable, "-c", "while True: pass"],
                                        preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL))
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


class Tally:
    """The counts of each tier, what failed in which round, and how long each program took at first."""

    def __init__(self):
        self.rows, self.failures, self.seconds = {}, [], {}

    def add(self, tier, results, seconds, turn):
        row = self.rows.setdefault(tier, [0, 0, 0, 0.0])
        for r in results:
            for n, key in enumerate(("passed", "failed", "skipped")):
                row[n] += r[key]
            self.seconds.setdefault(r["name"], r["seconds"])
            if r["failed"]:
                self.failures.append(f"{r['name']}, round {turn}: {r['wrong'] or str(r['failed']) + ' failed'}")
        row[3] += seconds

    def total(self):
        return [sum(row[n] for row in self.rows.values()) for n in range(3)]

    def print(self):
        print("\ntier      passed  failed  skipped     time")
        for tier, (passed, failed, skipped, seconds) in self.rows.items():
            print(f"{tier:<8} {passed:>7} {failed:>7} {skipped:>8} {seconds:>7.1f}s")
        passed, failed, skipped = self.total()
        if skipped:
            print("Skipped tests say above what they miss.")
        for line in self.failures:
            print(f"FAILED {line}")
        print(f"\n{passed} passed, {failed} failed, {skipped} skipped")


def chosen(known, given, tier):
    """The tests of a tier that were asked for."""
    tests = [t for t in known if tier in [s.split(":")[-1] for s in t["suite"]]
             and (not given.only or any(part in t["name"] for part in given.only))]
    if not tests and not given.only:
        sys.exit(f"tier {tier} has no test: that is a mistake, not a pass")
    return [{**t, "timeout": 3600} for t in tests] if given.long else tests


def run_round(known, given, tally, turn):
    """Every tier once; beyond round --repeat, only what was short in the first one. False when nothing is left."""
    ran = False
    for tier in given.tier or TIERS:
        tests = chosen(known, given, tier)
        if turn > given.repeat:
            tests = [t for t in tests if tally.seconds[t["name"]] < SHORT]
        if not tests:
            continue
        ran = True
        print(f"tier {tier}" + (f", round {turn}" if max(given.repeat, given.repeat_short) > 1 else ""), flush=True)
        started = time.monotonic()
        tally.add(tier, run_tier(tests, given.at_once, given.verbose), time.monotonic() - started, turn)
    return ran


def arguments():
    ask = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ask.add_argument("build")
    ask.add_argument("--tier", action="append", choices=TIERS, help="only this tier; may be given again")
    ask.add_argument("--only", action="append", metavar="NAME",
                     help="only tests whose name contains this; may be given again")
    ask.add_argument("--repeat", type=int, default=1, metavar="N", help="the whole selection N times")
    ask.add_argument("--repeat-short", type=int, default=1, metavar="N",
                     help=f"each program that lasted under {SHORT} s in the first round N times in all")
    ask.add_argument("--at-once", type=int, default=(os.cpu_count() or 2) + 1, metavar="N",
                     help="how many programs run beside each other, of those that may (one more than there are cores: "
                          "most of them wait)")
    ask.add_argument("--busy", action="store_true", help="a second process keeps a core busy meanwhile")
    ask.add_argument("--long", action="store_true",
                     help="the long form of those tests that have one (RECORDKV_LONG=1), with an hour each")
    ask.add_argument("--verbose", action="store_true", help="the output of tests that pass, too")
    return ask.parse_args()


def main():
    given = arguments()
    if given.long:
        os.environ["RECORDKV_LONG"] = "1"
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    asked = subprocess.run(["meson", "introspect", "--tests", given.build], capture_output=True, check=True)
    known = [test | {"workdir": test["workdir"] or given.build} for test in json.loads(asked.stdout)]  # as meson test
    tally = Tally()
    with BusyCore() if given.busy else open(os.devnull):
        try:
            for turn in range(1, max(given.repeat, given.repeat_short) + 1):
                if not run_round(known, given, tally, turn):
                    break
        finally:
            test_program.stop_all()
    tally.print()
    passed, failed, _ = tally.total()
    sys.exit(1 if failed or not passed else 0)


if __name__ == "__main__":
    main()
