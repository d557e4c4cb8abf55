#!/usr/bin/env python3
"""Runs the tests of a build directory by tier and tells each tier's count and time.

Owns: which tier runs when, the counting, the closing line.
Refuses to know: what a test does. Tests are those that Meson knows, by suite: unit, stages, nats, e2e.
"""
import argparse
import concurrent.futures
import json
import os
import re
import subprocess
import sys
import time

TIERS = ["unit", "stages", "nats", "e2e"]


def count(output, code):
    """(passed, failed, skipped) as the program's own closing lines tell; a program that tells nothing counts as one."""
    catch = re.search(r"All tests passed \(.* in (\d+) test cases?\)", output)
    if catch:
        return int(catch[1]), 0, 0
    catch = re.search(r"^test cases:\s+(.*)$", output, re.M)
    if catch:
        by_word = {word: int(n) for n, word in re.findall(r"(\d+) (passed|failed|skipped)", catch[1])}
        return by_word.get("passed", 0), by_word.get("failed", 0), by_word.get("skipped", 0)
    ran = re.search(r"^Ran (\d+) tests? in", output, re.M)
    if ran:
        by_word = {word: int(n) for word, n in re.findall(r"(failures|errors|skipped)=(\d+)", output)}
        failed = by_word.get("failures", 0) + by_word.get("errors", 0)
        skipped = by_word.get("skipped", 0)
        return int(ran[1]) - failed - skipped, failed, skipped
    plain = re.findall(r"^(?:\w+: )?(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$", output, re.M)
    if plain:
        return tuple(int(n or 0) for n in plain[-1])
    return (1, 0, 0) if code == 0 else (0, 1, 0)


def run_one(test):
    """Runs one of Meson's tests; the result is a dictionary."""
    started = time.monotonic()
    environment = {**os.environ, **test["env"]}
    environment.setdefault("ASAN_OPTIONS", "detect_leaks=1:halt_on_error=1")
    environment.setdefault("UBSAN_OPTIONS", "halt_on_error=1:print_stacktrace=1")
    try:
        done = subprocess.run(test["cmd"], env=environment, cwd=test["workdir"] or None, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=test["timeout"], check=False)
        output, code = done.stdout.decode(errors="replace"), done.returncode
    except subprocess.TimeoutExpired as late:
        output, code = (late.stdout or b"").decode(errors="replace") + "\nno end within the time it has\n", 124
    passed, failed, skipped = count(output, code)
    if code != 0 and failed == 0:
        failed = 1
    return {"name": test["name"], "passed": passed, "failed": failed, "skipped": skipped, "output": output,
            "seconds": time.monotonic() - started}


def tell(result, verbose):
    word = "FAILED" if result["failed"] else "ok"
    skipped = f", {result['skipped']} skipped" if result["skipped"] else ""
    print(f"  {word:<6} {result['name']:<24} {result['passed']:>4} passed{skipped}  {result['seconds']:.1f} s", flush=True)
    for line in result["output"].splitlines():
        if result["skipped"] and re.search(r"SKIPPED|skipped:|skipped '|absent", line) and not result["failed"]:
            print(f"           {line.strip()}")
            break
    if result["failed"] or verbose:
        print("\n".join("      | " + line for line in result["output"].splitlines()[-400:]), flush=True)


def run_tier(tests, verbose):
    """Those that may run beside others first, two at a time; then the rest alone."""
    together = [t for t in tests if t["is_parallel"]]
    alone = [t for t in tests if not t["is_parallel"]]
    results = []
    with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count() or 2) as pool:
        for result in pool.map(run_one, together):
            tell(result, verbose)
            results.append(result)
    for test in alone:
        results.append(run_one(test))
        tell(results[-1], verbose)
    return results


def main():
    ask = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ask.add_argument("build")
    ask.add_argument("--tier", action="append", choices=TIERS, help="only this tier; may be repeated")
    ask.add_argument("--only", default="", help="only tests whose name contains this")
    ask.add_argument("--long", action="store_true", help="the long form of those tests that have one (RECORDKV_LONG=1), with an hour each")
    ask.add_argument("--verbose", action="store_true", help="the output of tests that pass, too")
    given = ask.parse_args()
    if given.long:
        os.environ["RECORDKV_LONG"] = "1"
    known = json.loads(subprocess.run(["meson", "introspect", "--tests", given.build], capture_output=True, check=True).stdout)
    rows, total = [], [0, 0, 0]
    for tier in given.tier or TIERS:
        tests = [t for t in known if tier in [s.split(":")[-1] for s in t["suite"]] and given.only in t["name"]]
        for t in tests if given.long else []:
            t["timeout"] = 3600
        if not tests:
            if given.only:
                continue
            sys.exit(f"tier {tier} has no test: that is a mistake, not a pass")
        print(f"tier {tier}", flush=True)
        started = time.monotonic()
        results = run_tier(tests, given.verbose)
        sums = [sum(r[k] for r in results) for k in ("passed", "failed", "skipped")]
        rows.append((tier, *sums, time.monotonic() - started))
        total = [a + b for a, b in zip(total, sums)]
    print("\ntier      passed  failed  skipped     time")
    for tier, passed, failed, skipped, seconds in rows:
        print(f"{tier:<8} {passed:>7} {failed:>7} {skipped:>8} {seconds:>7.1f}s")
    if total[2]:
        print("Skipped tests say above what they miss: recorded protocol data (../shared/fixtures), or a namespace of their own.")
    print(f"\n{total[0]} passed, {total[1]} failed, {total[2]} skipped")
    if total[1] or not total[0]:
        sys.exit(1)


main()
