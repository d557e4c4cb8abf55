"""The programs of docs/examples, each killed again and again over a store that changes: what they keep is the fold of
it.

Owns: how each is built and begun, kill -9 in the middle, the comparison. Does not know: how the store came about.
"""

import contextlib
import json
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import unittest

import rig as support
from rig import ROOT, SLOW, Rig, die_with_parent, plain_environment, program, wait_for

import likes_table

EXAMPLES = os.path.join(ROOT, "docs", "examples")
LIKES = "$KV.record.*.app.bsky.feed.like.*.*"
MODES = [(), ("--new",), ("--no-ack",), ("--new", "--no-ack")]


def uri_of(subject: str) -> str:
    _, _, _, *collection, did, rkey = (likes_table.decoded(t) for t in subject.split("."))
    return f"at://{did}/{'.'.join(collection)}/{rkey}"


def snapshot(rig: Rig) -> dict:
    """uri -> (sequence, what is liked or nothing)."""
    found = {}
    for subject, _, payload, seq in support.nats_wire.read_stream(rig.url, "KV_record", LIKES):
        try:
            liked = json.loads(payload)["subject"]["uri"] if payload else ""
        except (ValueError, LookupError, TypeError):
            liked = None  # the network holds likes of nothing, too: what a program makes of these is its own affair
        found[uri_of(subject)] = (seq, liked)
    return found


class Program:
    """One example in one of its ways, with its file; what it starts belongs to its process group."""

    def __init__(self, rig: Rig, command: list, name: str, options: tuple, env: dict):
        self.command, self.env, self.options, self.rig = command, env, options, rig
        self.durable = name + "".join(o.removeprefix("-") for o in options)
        self.file = rig.path(self.durable + ".likes")
        self.starts, self.process = 0, None

    def start(self) -> None:
        with open(self.file + ".log", "ab") as out:
            words = [w.format(url=self.rig.url, durable=self.durable, file=self.file) for w in self.command]
            env = {k: v.format(durable=self.durable, file=self.file) for k, v in self.env.items()}
            words += self.options if "LIKES_FILE" not in env else ()
            if "LIKES_FILE" in env:
                env |= {"LIKES_NEW": "--new" in self.options and "yes" or "",
                        "LIKES_OWN_POSITION": "--no-ack" in self.options and "yes" or ""}
            self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                            start_new_session=True,
                                            env={**plain_environment(), **env}, preexec_fn=die_with_parent)
        self.starts += 1

    def kill(self) -> None:
        if self.process:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.process.wait(60 * SLOW)  # killed; on a busy machine it takes its time to go

    def lines(self) -> list:
        """(sequence, uri, what is liked) of each whole line."""
        try:
            with open(self.file, "rb") as f:
                whole = f.read().split(b"\n")[:-1]
        except FileNotFoundError:
            return []
        return [line for line in map(self.parsed, whole) if line and line[1]]

    @staticmethod
    def parsed(line: bytes):
        if line.startswith(b"{"):  # recordkv tail's; half a line that a kill left is none
            try:
                o = json.loads(line)
            except ValueError:
                return None
            return o["seq"], o["uri"], (o.get("record") or {}).get("subject", {}).get("uri", "")
        seq, uri, subject = line.decode().split("\t")
        return int(seq), uri, subject

    def begun(self) -> bool:
        if self.process.poll() is not None:  # a program ends when it finds that messages were given to its predecessor
            if self.starts > 20:
                raise AssertionError(f"{self.durable} ends again and again with {self.process.returncode}")
            self.kill()
            self.start()
        return any(c["name"] == self.durable for c in self.rig.api("CONSUMER.LIST.KV_record").get("consumers", []))

    def said(self) -> str:
        with open(self.file + ".log", errors="replace") as f:
            return f.read()[-3000:]


class ExamplesTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.rig = Rig().__enter__()
        cls.addClassCleanup(cls.rig.__exit__, None, None, None)
        cls.rig.nats()
        cls.rig.simulator("--accounts", 60, "--past", 2000, "--events", 60000, "--rate", 100, "--churn", 200000,
                          truth=False)
        cls.rig.recordkv("ingest,kv")
        wait_for("the past is in the store", lambda: cls.rig.report("ingest").get("events", 0) >= 2000 and
                 cls.rig.stream("KV_record")["messages"] > 1000, 60)

    def survives(self, name: str, command: list, env: dict | None = None) -> None:
        draw = random.Random(name)
        rig = self.rig
        programs = [Program(rig, command, name, mode, env or {}) for mode in MODES]
        try:
            before = rig.stream("KV_record")["last_seq"]
            for p in programs:
                p.start()
            for p in programs:
                wait_for(f"{p.durable} has begun", p.begun, 60)
            begun = rig.stream("KV_record")["last_seq"]
            for _ in range(3):
                for p in programs:
                    goal = len(p.lines()) + draw.randint(1, 60)
                    wait_for(f"{p.durable} writes", lambda p=p, goal=goal: p.begun() and len(p.lines()) >= goal, 60)
                    p.kill()
                    p.start()
            for p in programs:
                self.compare(p, before, begun)
        except AssertionError:
            for p in programs:
                print(f"===== {p.durable}, {p.starts} starts", p.said(), sep="\n")
            raise
        finally:
            for p in programs:
                p.kill()

    @contextlib.contextmanager
    def standstill(self):
        """The network is stopped, and all that it said is in the store: a snapshot and a file tell of the same
        moment."""
        network = self.rig.parts["sim"].process
        network.send_signal(signal.SIGSTOP)
        try:
            wait_for("the store has all that was read", lambda: self.rig.stream("ingest")["messages"] == 0, 60)
            ends = [self.rig.stream("KV_record")["last_seq"]]

            def stands() -> bool:
                ends.append(self.rig.stream("KV_record")["last_seq"])
                return len(ends) > 3 and len(set(ends[-3:])) == 1 and self.rig.stream("ingest")["messages"] == 0
            wait_for("the store stands still", stands, 60, every=0.5)
            yield
        finally:
            network.send_signal(signal.SIGCONT)

    def compare(self, p: Program, before: int, begun: int) -> None:
        """Each like of this moment is there in its state or a later one; nothing is there that the store never had."""
        with self.standstill():
            self.compare_now(p, before, begun)

    def compare_now(self, p: Program, before: int, begun: int) -> None:
        store = snapshot(self.rig)
        newest = max(seq for seq, _ in store.values())
        wait_for(f"{p.durable} has come to {newest}", lambda: p.begun()
                 and any(line[0] >= newest for line in p.lines()[-3000:]), 60)
        kept, order = {}, {}
        for seq, uri, subject in p.lines():
            self.assertGreaterEqual(seq, order.get(uri, 0) if "--no-ack" in p.options else 0)
            kept[uri], order[uri] = (seq, subject), max(seq, order.get(uri, 0))
        for uri, (seq, subject) in store.items():
            if "--new" in p.options and seq <= begun:
                continue
            self.assertTrue(uri in kept, f"{p.durable} missed {uri} at {seq}")
            self.assertGreaterEqual(kept[uri][0], seq, f"{p.durable} ends with an old {uri}")
            if kept[uri][0] == seq and isinstance(subject, str):
                self.assertEqual(kept[uri][1], subject)
        for uri, (seq, _) in kept.items():
            self.assertEqual(seq, order[uri], f"{p.durable} ends with an old {uri}")
            self.assertTrue(uri in store or seq > newest, f"{p.durable} invented {uri}")
            self.assertTrue("--new" not in p.options or seq > before, f"{p.durable} was to follow new ones only")

    def test_python(self):
        packages = os.path.join(ROOT, ".tools", "python")
        self.survives("python", [sys.executable, "-B", os.path.join(EXAMPLES, "python", "likes.py"), "{url}",
                                 "{durable}", "{file}"],
                      {"PYTHONPATH": packages})

    def test_typescript(self):
        here = os.path.join(EXAMPLES, "typescript")
        subprocess.run([os.path.join(here, "node_modules", ".bin", "tsc"), "-p", here], check=True, timeout=120 * SLOW)
        self.survives("typescript", [program("RECORDKV_NODE", "node"), os.path.join(here, ".cache", "likes.js"),
                                     "{url}", "{durable}", "{file}"])

    def test_go(self):
        go = os.environ.get("RECORDKV_GO") or shutil.which("go") or "/usr/local/go/bin/go"
        binary = self.rig.path("likes-go")
        subprocess.run([go, "build", "-buildvcs=false", "-o", binary, "."], cwd=os.path.join(EXAMPLES, "go"),
                       check=True,
                       env={**os.environ, "GOTOOLCHAIN": "auto"}, timeout=300 * SLOW)
        self.survives("go", [binary, "{url}", "{durable}", "{file}"])

    def test_shell(self):
        where = os.path.dirname(program("RECORDKV", "recordkv"))
        self.survives("shell", [os.path.join(EXAMPLES, "shell", "likes.sh"), "{durable}", "{file}"],
                      {"PATH": where + os.pathsep + os.environ["PATH"], "RECORDKV_NATS_URL": self.rig.url})

    def test_cpp(self):
        """Against an installed prefix, with pkg-config alone."""
        prefix = self.rig.path("prefix")
        subprocess.run(["meson", "install", "-C", os.environ["RECORDKV_BUILD"], "--no-rebuild", "--tags", "devel",
                        "--destdir",
                        prefix], check=True, stdout=subprocess.DEVNULL, timeout=120 * SLOW)
        found = next(d for d, _, files in os.walk(prefix) if "recordkv.pc" in files)
        with open(os.path.join(found, "recordkv.pc"), "r+") as f:  # as if it had been configured with that prefix
            text = f.read()
            f.seek(0)
            f.write(text.replace("prefix=/", f"prefix={prefix}/", 1))
        ask = subprocess.run(["pkg-config", "--cflags", "--libs", "recordkv"], check=True, text=True,
                             capture_output=True, env={**os.environ, "PKG_CONFIG_PATH": found})
        flags = shlex.split(ask.stdout)
        self.assertIn("-std=c++23", flags)
        sanitize = os.environ.get("RECORDKV_SANITIZE", "none")
        more = [] if sanitize == "none" else [f"-fsanitize={sanitize}"]
        binary = self.rig.path("likes-cpp")
        compiler = shlex.split(os.environ.get("RECORDKV_CXX", "clang++-19"))
        subprocess.run([*compiler, *more, os.path.join(EXAMPLES, "cpp", "likes.cpp"), "-o", binary, *flags], check=True,
                       timeout=240 * SLOW)
        with open(os.path.join(EXAMPLES, "cpp", "likes.cpp")) as f:
            code = [line for line in f.read().splitlines() if line and not line.startswith(("//", "#include"))]
        self.assertLessEqual(len(code), 30, "an indexer is thirty lines")
        self.survives("cpp", [binary, "--set", f"nats.url={self.rig.url}", "--set", "http.listen=", "--stages",
                              "likes"],
                      {"LIKES_DURABLE": "{durable}", "LIKES_FILE": "{file}"})


if __name__ == "__main__":
    unittest.main()
