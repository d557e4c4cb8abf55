"""Real processes for a test: nats-server, recordkv, recordkv-sim; killed, restarted, watched, and gone at the end.

Owns: the temporary directory, ports, logs, the configuration written for one test, and waiting for facts.
Does not know: what a test proves. Programs: $RECORDKV, $RECORDKV_SIM, $RECORDKV_NATS_SERVER (or nats-server in PATH).
"""

import atexit
import base64
import contextlib
import ctypes
import itertools
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
ORACLE = os.path.join(ROOT, "test", "oracle")
sys.path.insert(0, ORACLE)
import nats_wire  # noqa: E402

PR_SET_PDEATHSIG = 1
libc = ctypes.CDLL(None, use_errno=True)
SANITIZER = re.compile(r"(ERROR|WARNING): \w+Sanitizer|runtime error:")
TAIL = 50
FIRST_PORT, PORTS = 10_000, 64
offered = itertools.count(random.randrange(PORTS))
blocks_held: dict[int, tuple[int, socket.socket]] = {}  # by process id: a block of ports, and what claims it
SLOW = 3 if os.environ.get("RECORDKV_SLOW") else 1  # a sanitizer build wants patience, not other facts


def program(variable: str, fallback: str) -> str:
    path = os.environ.get(variable) or shutil.which(fallback)
    if not path:
        raise FileNotFoundError(f"no {fallback}: set {variable}")
    return os.path.abspath(path)


def block_of_ports(blocks: int) -> int:
    """A block that no other process of these tests has. Two with one block would be wrong: while a server of the one is
    killed, the other may start its own at that port. A socket's name claims it, and goes with the process."""
    me = os.getpid()
    if me not in blocks_held:
        for block in itertools.islice(itertools.cycle(range(blocks)), me % blocks, me % blocks + blocks):
            claim = socket.socket(socket.AF_UNIX)
            with contextlib.suppress(OSError):
                claim.bind(f"\0recordkv-test-ports-{block}")
                blocks_held[me] = block, claim
                atexit.register(claim.close)
                break
            claim.close()
        else:
            raise AssertionError(f"all {blocks} blocks of ports are taken")
    return blocks_held[me][0]


def free_port() -> int:
    """Below the range from which the system gives ports away: hardly another program takes it before the right one
    binds it, nor while that one is killed and started again."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as f:
        blocks = (int(f.read().split()[0]) - FIRST_PORT) // PORTS
    for _ in range(PORTS):
        # Where there is no room below that range, any port will do.
        port = FIRST_PORT + block_of_ports(blocks) * PORTS + next(offered) % PORTS if blocks > 0 else 0
        with socket.socket() as s, contextlib.suppress(OSError):
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind(("127.0.0.1", port))
            return s.getsockname()[1]
    raise AssertionError("all ports of this process's block are taken")


def plain_environment(inherit: tuple = ()) -> dict:
    """RECORDKV_… are settings of recordkv: what was meant for the tests must not reach it."""
    kept = ("RECORDKV_NATS_SERVER", *inherit)
    return {k: v for k, v in os.environ.items() if not k.startswith("RECORDKV_") or k in kept}


def die_with_parent() -> None:
    """In the child, before its program begins. A shell that runs the tests in the background, or under nohup, ignores
    signals that the tests send, and a program inherits that."""
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    for ignored in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
        signal.signal(ignored, signal.SIG_DFL)


def wait_for(what: str, condition, seconds: float = 20, every: float = 0.05, meanwhile=None):
    """Waits until condition() is true and returns it. A NATS that is away just now counts as false."""
    deadline = time.monotonic() + seconds * SLOW
    while True:
        try:
            if found := condition():
                return found
            last = repr(found)
        except nats_wire.Failure as e:
            last = str(e)
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds * SLOW:.0f} s: {what} (at last: {last})")
        if meanwhile:
            meanwhile()
        time.sleep(every)


def answer(port: int, path: str) -> tuple:
    """(status, body) of a process's HTTP; not up yet counts as NATS away, so that wait_for() goes on."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as got:
            return got.status, got.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode()
    except (urllib.error.URLError, OSError) as e:
        raise nats_wire.Failure(str(e)) from e


class Part:
    """One program that can be started again and again. Start it from the main thread: it dies with its starter."""

    def __init__(self, name: str, command: list, directory: str, env: dict | None = None):
        self.name, self.command, self.directory = name, command, directory
        self.env = {**plain_environment(), **(env or {})}
        self.log = os.path.join(directory, name + ".log")
        self.process = None
        self.starts = 0

    def start(self) -> "Part":
        with open(self.log, "ab") as out:
            out.write(f"--- start {self.starts + 1} of {self.name}\n".encode())
            out.flush()
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                            cwd=self.directory, env=self.env, preexec_fn=die_with_parent)
        self.starts += 1
        return self

    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        if self.running():
            os.kill(self.process.pid, signal.SIGKILL)
        if self.process:
            self.process.wait(10)

    def stop(self, seconds: float = 20) -> int:
        """SIGTERM, and the exit code."""
        self.process.terminate()
        return self.exit_code(seconds)

    def exit_code(self, seconds: float = 20) -> int:
        try:
            return self.process.wait(seconds * SLOW)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} has not ended within {seconds * SLOW:.0f} s") from None

    def text(self) -> str:
        with open(self.log, errors="replace") as f:
            return f.read()

    def state(self) -> str:
        """Whether it runs, and if not, how it ended."""
        code = self.process.poll() if self.process else None
        if code is None:
            return "running" if self.process else "not started"
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"

    def rss_kib(self) -> int:
        with open(f"/proc/{self.process.pid}/status") as f:
            return int(re.search(r"VmRSS:\s+(\d+) kB", f.read())[1])


class Rig:
    """Use as a context manager: a failure prints the tail of every log, and nothing survives the end."""

    def __init__(self, sync_interval: str = "200ms", **settings):
        self.directory = tempfile.mkdtemp(prefix="recordkv-e2e-")
        self.parts: dict[str, Part] = {}
        self.nats_port = free_port()
        self.url = f"nats://127.0.0.1:{self.nats_port}"
        self.sync_interval = sync_interval
        self.settings = {"nats.url": self.url, "nats.sync_interval": sync_interval, "state.dir": self.path("state"),
                         "kv.verify": "none",  # the frames of fake sources are not signed
                         "source.kind": "jetstream", "source.url": "ws://127.0.0.1:1", "source.start": "oldest",
                         "http.listen": "",
                         "index.views": [os.path.join(ROOT, "config", "views", "likes.toml")], **settings}
        self.config = self.path("recordkv.toml")
        self.wire = None

    def path(self, *names: str) -> str:
        return os.path.join(self.directory, *names)

    def __enter__(self):
        # A runner that has waited long enough sends SIGTERM. The test then ends as by Ctrl-C: with the logs, and clean.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        return self

    def __exit__(self, kind, *_):
        states = {name: part.state() for name, part in self.parts.items()}
        if kind and not issubclass(kind, KeyboardInterrupt):  # then there is no time to ask anything
            self.print_status()
        for part in reversed(list(self.parts.values())):
            part.kill()
        if self.wire:
            self.wire.close()
        unclean = [p for p in self.parts.values() if SANITIZER.search(p.text())]
        if kind or unclean:
            self.print_logs(states)
        shutil.rmtree(self.directory, ignore_errors=True)
        if unclean and not kind:
            raise AssertionError(f"a sanitizer speaks in the log of {', '.join(p.name for p in unclean)}")

    def print_status(self) -> None:
        try:
            print("===== status", self.command("status", "--json").stdout, sep="\n")
        except (subprocess.TimeoutExpired, OSError) as e:
            print(e)

        for what in ("STREAM.INFO.ingest", "CONSUMER.INFO.ingest.kv", "STREAM.INFO.KV_record"):
            try:
                print(f"===== {what}", json.dumps(self.api(what)), sep="\n")
            except nats_wire.Failure as e:
                print(f"===== {what}: {e}")

    def print_logs(self, states: dict) -> None:
        """The last lines of each part, and its state from before the end of the test."""
        for part in self.parts.values():
            lines = part.text().splitlines()
            kept = lines[-TAIL:] if not SANITIZER.search(part.text()) else lines[-10 * TAIL:]
            print(f"===== {part.name}, {states[part.name]}: last {len(kept)} of {len(lines)} lines", *kept, sep="\n")
        sys.stdout.flush()

    # processes

    def nats(self, extra: str = "", jetstream: bool = True, limits: str = "") -> Part:
        conf = self.path("nats.conf")
        with open(conf, "w") as f:
            f.write(f'listen: "127.0.0.1:{self.nats_port}"\nmax_payload: 8MB\n{extra}\n')
            if jetstream:
                f.write(f'jetstream '
                        f'{{ store_dir: "{self.path("nats")}", sync_interval: "{self.sync_interval}" {limits}}}\n')
        part = self.add("nats", [program("RECORDKV_NATS_SERVER", "nats-server"), "-c", conf])
        self.wait_nats()
        return part

    def wait_nats(self) -> None:
        """Until it answers; with JetStream, until that does."""
        def ready():
            log = self.parts["nats"].text().rsplit("--- start", 1)[1]
            return "Server is ready" in log
        wait_for("nats-server is ready", ready, 30)

    def add(self, name: str, command: list, env: dict | None = None) -> Part:
        self.parts[name] = Part(name, command, self.directory, env)
        return self.parts[name].start()

    def simulator(self, *options, truth: bool = True) -> Part:
        """Its events are a millisecond apart; the last of a finite history, or of an endless one's past, is of now."""
        port = free_port()
        before = max((int(n) for what, n in zip(options, options[1:]) if what in ("--events", "--past")), default=0)
        base = [] if "--base" in options else ["--base", str(int(time.time() * 1e6) - before * 1000)]
        command = [program("RECORDKV_SIM", "recordkv-sim"), "--port", str(port), *base, *map(str, options)]
        part = self.add("sim", command + (["--truth", self.path("truth.tsv")] if truth else []))
        wait_for("the simulator listens", lambda: "listening" in part.text(), 60)
        self.sim_port = port
        self.settings["source.url"] = f"ws://127.0.0.1:{port}"
        return part

    def sim_state(self) -> dict:
        return json.loads(answer(self.sim_port, "/")[1])

    def write_config(self) -> None:
        tables: dict[str, list] = {}
        for key, value in self.settings.items():
            table, name = key.split(".")
            tables.setdefault(table, []).append(f"{name} = {json.dumps(value)}")
        with open(self.config + ".new", "w") as f:
            for table, lines in tables.items():
                f.write("\n".join([f"[{table}]", *lines, ""]))
        # a process that is just starting reads the old one or the new one
        os.replace(self.config + ".new", self.config)

    def recordkv(self, stages: str = "ingest,kv,index", name: str | None = None, sets: tuple = ()) -> Part:
        self.write_config()
        command = [program("RECORDKV", "recordkv"), "--config", self.config, "--stages", stages]
        for s in sets:
            command += ["--set", s]
        return self.add(name or stages.replace(",", "-"), command)

    def command(self, *words, stdin: str = "", seconds: float = 30, config: bool = True,
                inherit: tuple = ()) -> subprocess.CompletedProcess:
        self.write_config()
        head = [program("RECORDKV", "recordkv")] + (["--config", self.config] if config else [])
        return subprocess.run([*head, *words], input=stdin, text=True, capture_output=True, timeout=seconds * SLOW,
                              cwd=self.directory, env=plain_environment(inherit), preexec_fn=die_with_parent)

    def machine(self) -> dict:
        """An environment in which a page's commands mean this rig: `recordkv` with its configuration, `nats` with its
        server."""
        os.makedirs(self.path("bin"))
        tools = {"recordkv": f'"{program("RECORDKV", "recordkv")}" --config "{self.config}"',
                 "nats": f'"{program("RECORDKV_NATS_CLI", "nats")}"'}
        for name, command in tools.items():
            with open(self.path("bin", name), "w", encoding="utf-8") as f:
                f.write(f'#!/bin/sh\nexec {command} "$@"\n')
            os.chmod(self.path("bin", name), 0o755)
        return {**plain_environment(), "PATH": f"{self.path('bin')}:{os.environ['PATH']}", "NATS_URL": self.url,
                "HOME": self.directory}

    # facts

    def api(self, what: str, **body) -> dict:
        """A JetStream API call over a connection that is kept."""
        try:
            if self.wire is None:
                self.wire = nats_wire.Connection(self.url, timeout=5)
            return self.wire.api(what, **body)
        except (nats_wire.Failure, OSError) as e:
            if self.wire and not re.search(r"\(\d+\)$", str(e)):  # the server is gone, rather than its answer a no
                self.wire.close()
                self.wire = None
            raise nats_wire.Failure(str(e)) from e

    def stream(self, name: str) -> dict:
        return self.api(f"STREAM.INFO.{name}")["state"]

    def report(self, lock_key: str) -> dict:
        """What a stage says of itself, with the process that says it; empty when none is there."""
        try:
            m = self.api("STREAM.MSG.GET.KV_lock", last_by_subj=f"$KV.lock.{lock_key}")["message"]
        except nats_wire.Failure as e:
            if re.search(r"\(100(37|59)\)$", str(e)):
                return {}
            raise
        if not m.get("data"):
            return {}
        value = json.loads(base64.b64decode(m["data"]))
        return {**value["report"], "process": value["id"], "pid": value["pid"]}

    def drained(self) -> bool:
        """Everything that was buffered has been settled in the store."""
        return self.stream("ingest")["messages"] == 0

    def check_store(self, seconds: float, *options, meanwhile=None) -> None:
        """The oracle: the store is the simulator's truth, and the likes table the fold of the store."""
        command = [sys.executable, "-B", os.path.join(ORACLE, "check_store.py"), "--url", self.url, "--truth",
                   self.path("truth.tsv"), "--sqlite", self.path("state", "likes.db"), "--wait", str(seconds * SLOW)]
        self.verdict = self.add("oracle", [*command, *options])
        wait_for("the oracle's verdict", lambda: not self.verdict.running(), seconds + 60, meanwhile=meanwhile)
        if self.verdict.process.returncode != 0:
            raise AssertionError("the oracle says:\n" + self.verdict.text())
