"""The blocks of a page of the documentation that a test runs: `sh run` is run, `toml file=NAME` is written, in order,
in a directory of the test's own.

Owns: reading the blocks, running one, and ending what it leaves running. Does not know: what the blocks hold.
"""

import os
import re
import signal
import subprocess

from rig import ROOT, SLOW, Rig, die_with_parent


def blocks(page: str) -> list:
    """(line, file to be written or "", text) of each block that is used. `page`: its path below the root."""
    with open(os.path.join(ROOT, page), encoding="utf-8") as f:
        text = f.read()
    found = re.finditer(r"(?ms)^```(?:sh run|toml file=(\S+))[ \t]*\n(.*?)^```[ \t]*$", text)
    return [(text.count("\n", 0, m.start()) + 1, m[1] or "", m[2]) for m in found]


def end_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        pass


def run_block(test, rig: Rig, place: str, commands: str, environment: dict) -> str:
    """What a block prints. A process that it leaves running goes on until the test ends. `place`: "page:line"."""
    log = rig.path(f"line-{place.rsplit(':', 1)[1]}.log")
    with open(log, "wb") as out:
        process = subprocess.Popen(["bash", "-euo", "pipefail", "-c", commands], cwd=rig.directory, env=environment,
                                   stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
                                   preexec_fn=die_with_parent)
        test.addCleanup(end_group, process.pid)
        code = process.wait(120 * SLOW)
    with open(log, encoding="utf-8", errors="replace") as f:
        said = f.read()
    print(f"{place}: {commands.count(chr(10))} lines, exit code {code}\n{said}", end="")
    test.assertEqual(code, 0, f"{place}:\n{commands}{said}")
    return said


def run_page(test, rig: Rig, page: str, environment: dict) -> str:
    """Runs the whole page. Returns what its last block prints."""
    said = ""
    for line, file, text in blocks(page):
        if not file:
            said = run_block(test, rig, f"{page}:{line}", text, environment)
            continue
        os.makedirs(os.path.dirname(rig.path(file)), exist_ok=True)
        with open(rig.path(file), "w", encoding="utf-8") as f:
            f.write(text)
    return said
