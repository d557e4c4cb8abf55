"""Runs one test program and reports how it ended: its counts, and everything known about an end without a verdict.

Owns: the program's process group, its time limit, its directory for temporary files, reading its closing lines.
Does not know: which programs there are, and in which order they run (run_tests.py).
"""
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

SKIPPED = 77  # the exit code by which Meson knows a skipped test
LOG_LINES = 50
LOG_FILES = 30
TERM_SECONDS, ABORT_SECONDS = 20, 10  # for a program that is too slow: to clean up, and to print where it stands
GONE_SECONDS = 10  # for children, which die when the program dies
UNITTEST = r"^Ran (\d+) tests? in .*\n\n(?:OK|FAILED|NO TESTS RAN)(.*)$"
running = set()  # the groups that stop_all() ends


def counts(output):
    """(passed, failed, skipped) from the program's own closing lines; None if it printed none."""
    catch = re.findall(r"^All tests passed \(.* in (\d+) test cases?\)", output, re.M)
    if catch:
        return int(catch[-1]), 0, 0
    catch = re.findall(r"^test cases:\s+(.*)$", output, re.M)
    if catch:
        by_word = {word: int(n) for n, word in re.findall(r"(\d+) (passed|failed|skipped)", catch[-1])}
        return by_word.get("passed", 0), by_word.get("failed", 0), by_word.get("skipped", 0)
    ran = re.findall(UNITTEST, output, re.M)
    if ran:
        by_word = {word: int(n) for word, n in re.findall(r"(failures|errors|skipped)=(\d+)", ran[-1][1])}
        failed = by_word.get("failures", 0) + by_word.get("errors", 0)
        skipped = by_word.get("skipped", 0)
        return int(ran[-1][0]) - failed - skipped, failed, skipped
    plain = re.findall(r"^(?:\w+: )?(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$", output, re.M)
    return tuple(int(n or 0) for n in plain[-1]) if plain else None


def ending(code):
    """"exit code 3", or "killed by SIGSEGV (signal 11)"."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name} (signal {-code})"
    except ValueError:
        return f"killed by signal {-code}"


def judge(output, code, late):
    """(passed, failed, skipped, what was wrong with the end). A verdict: a closing line and an exit code that agree."""
    told = counts(output)
    if late:
        return 0, 1, 0, f"ended without a verdict: not within {late:.0f} s, then {ending(code)}"
    if code == SKIPPED and told is None:
        return 0, 0, 1, ""
    if told is None:
        return 0, 1, 0, f"ended without a verdict: {ending(code)}, and no closing line"
    passed, failed, skipped = told
    if code < 0:
        return passed, failed or 1, skipped, f"{ending(code)} after its closing line"
    if sum(told) == 0:
        return 0, 1, 0, f"ran no test: {ending(code)}"
    if (code == 0) != (failed == 0):
        return passed, failed or 1, skipped, f"{ending(code)}, but its closing line counts {failed} failed tests"
    return passed, failed, skipped, ""


def last_lines(directory):
    """The last lines of every log below a directory: what the parts of a test said before it ended."""
    found = []
    for folder, _, names in os.walk(directory):
        found += [os.path.join(folder, name) for name in sorted(names) if name == "log" or name.endswith(".log")]
    told = []
    for path in found[:LOG_FILES]:
        with open(path, errors="replace") as f:
            lines = f.read().splitlines()
        shown = lines[-LOG_LINES:]
        told += [f"===== {os.path.relpath(path, directory)}: last {len(shown)} of {len(lines)} lines", *shown]
    return told


def group_members(group):
    """The living processes of a process group, by number and name."""
    members = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat", errors="replace") as f:
                name, rest = f.read().split("(", 1)[1].rsplit(")", 1)
        except OSError:
            continue
        state, _, its_group = rest.split()[:3]
        if int(its_group) == group and state not in "ZX":
            members.append(f"{name} ({pid})")
    return members


def send(group, number):
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        pass


def stop_all():
    """Ends every test program that is running, with its children."""
    for group in list(running):
        send(group, signal.SIGKILL)


def end_late(process):
    """SIGTERM, so that it cleans up; SIGABRT, on which Python and Catch2 print where they stand; then SIGKILL."""
    for number, seconds in ((signal.SIGTERM, TERM_SECONDS), (signal.SIGABRT, ABORT_SECONDS)):
        process.send_signal(number)
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            pass
    send(process.pid, signal.SIGKILL)
    return process.wait()


def members_after(group, seconds):
    """The members that are still living after this time; as soon as there are none, nothing is waited for."""
    deadline = time.monotonic() + seconds
    while (members := group_members(group)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return members


def left_behind(group):
    """Ends the children that outlived their program, waits until they have gone, and names them."""
    members = members_after(group, GONE_SECONDS)
    send(group, signal.SIGKILL)
    if members:
        members_after(group, GONE_SECONDS)  # a signal is sent at once, and acts a moment later
    return members


def environment(extra, directory):
    settings = {**os.environ, **extra, "TMPDIR": directory, "PYTHONFAULTHANDLER": "1"}
    settings.setdefault("ASAN_OPTIONS", "detect_leaks=1:halt_on_error=1")
    settings.setdefault("UBSAN_OPTIONS", "halt_on_error=1:print_stacktrace=1")
    return settings


def wait(process, seconds):
    """(exit code, 0), or (exit code, seconds) for a program that had to be ended."""
    try:
        return process.wait(seconds), 0
    except subprocess.TimeoutExpired:
        return end_late(process), seconds


def execute(test, directory):
    """(output, exit code, time limit that was passed or 0, children that outlived it)."""
    # A file and not a pipe: a child that outlives the program would keep a pipe open, and hide that it has ended.
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(test["cmd"], env=environment(test["env"], directory), cwd=test["workdir"] or None,
                                   stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
        running.add(process.pid)
        try:
            code, late = wait(process, test["timeout"])
            members = left_behind(process.pid)
        finally:
            send(process.pid, signal.SIGKILL)
            running.discard(process.pid)
        out.seek(0)
        return out.read().decode(errors="replace"), code, late, members


def run(test):
    """Runs one of Meson's tests (a dictionary of `meson introspect --tests`); the result is a dictionary, too."""
    started = time.monotonic()
    directory = tempfile.mkdtemp(prefix="rkv-")
    os.chmod(directory, 0o755)  # a PostgreSQL server that root starts runs as `nobody`, and reads below it
    try:
        try:
            output, code, late, members = execute(test, directory)
            passed, failed, skipped, wrong = judge(output, code, late)
        except OSError as e:
            output, members, passed, failed, skipped, wrong = "", [], 0, 1, 0, f"could not be started: {e}"
        if members:
            failed, wrong = failed or 1, "; ".join(filter(None, [wrong, "left behind: " + ", ".join(members)]))
        lines = output.splitlines()
        if wrong:
            lines += last_lines(directory) + [f"===== {test['name']}: {wrong}"]
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return {"name": test["name"], "passed": passed, "failed": failed, "skipped": skipped, "lines": lines,
            "seconds": time.monotonic() - started, "wrong": wrong}
