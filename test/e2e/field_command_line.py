"""The command line as people use it: closed pipes and full devices, hangups, buckets mistyped, views that no process
keeps, places that belong to another user.

Owns: what each command prints, ends with and leaves undone in these cases.
"""

import json
import os
import shutil
import signal
import stat
import subprocess
import tempfile
import unittest

from rig import SLOW, Rig, die_with_parent, plain_environment, program, wait_for

ME = "did:plc:44ybard66vv44zksje25o7dz"
POST = f"at://{ME}/app.bsky.feed.post/3kabcdefghijk"
LIKE = f"at://{ME}/app.bsky.feed.like/a"
RECORD = json.dumps({"$type": "app.bsky.feed.like", "subject": {"uri": POST}, "createdAt": "2024-11-05T12:00:00Z"})
NOBODY = 65534


class FieldTest(unittest.TestCase):
    def ask(self, rig: Rig, code: int, *words, stdin: str = "") -> str:
        done = rig.command(*words, stdin=stdin)
        self.assertEqual(done.returncode, code, f"{words}: {done.stdout}{done.stderr}")
        self.said = done.stderr
        return done.stdout

    def shell(self, rig: Rig, script: str) -> subprocess.CompletedProcess:
        """bash with pipefail; `recordkv` means this rig's."""
        rig.write_config()
        function = f'recordkv() {{ "{program("RECORDKV", "recordkv")}" --config "{rig.config}" "$@"; }}\n'
        return subprocess.run(["bash", "-o", "pipefail", "-c", function + script], text=True, capture_output=True,
                              cwd=rig.directory, env=plain_environment(), timeout=60 * SLOW, stdin=subprocess.DEVNULL,
                              preexec_fn=die_with_parent, check=False)

    def streams(self, rig: Rig) -> list:
        return sorted(rig.api("STREAM.NAMES")["streams"] or [])


class OutputTest(FieldTest):
    def filled(self, rig: Rig, keys: int) -> None:
        """So many records of one account: more than a pipe holds."""
        rig.nats()
        self.ask(rig, 0, "put", LIKE, RECORD)
        key = json.loads(self.ask(rig, 0, "get", LIKE, "--meta"))["key"][:-1]
        rig.api("STREAM.NAMES")
        for n in range(keys):
            rig.wire.publish(f"$KV.record.{key}{n:06}", b"{}")
        wait_for("all are stored", lambda: rig.stream("KV_record")["messages"] == keys + 1)

    def test_a_reader_who_has_seen_enough(self):
        with Rig() as rig:
            self.filled(rig, 5000)
            rig.recordkv("index")
            wait_for("the view is folded", lambda: rig.report("view-likes").get("position", 0) > 5000)
            for words in (f"ls {ME}", "status --watch", "status --watch --json", "status", "config show",
                          "query likes_rejects --limit 100000", f"get {LIKE}", "view list", "tail '*'", "--help",
                          f"likes --by {ME} --json", "--list"):
                with self.subTest(words):
                    done = self.shell(rig, f"recordkv {words} | head -1")
                    self.assertEqual((done.returncode, done.stderr),
                                     (0 if "status" not in words else done.returncode, ""))
                    self.assertIn(done.returncode, (0, 1))
                    self.assertEqual(len(done.stdout.splitlines()), 1)

    def test_an_answer_that_cannot_be_written(self):
        with Rig() as rig:
            self.filled(rig, 5000)
            for words in (f"ls {ME}", f"get {LIKE}", "status", "status --watch", "config show", "config check",
                          "tail '*'", "--help",
                          "--version", "view list", "view check", "view show likes --toml", "get --help"):
                for where, why in ((">/dev/full", "No space left"), (">&-", "Bad file descriptor")):
                    with self.subTest(words, where=where):
                        done = self.shell(rig, f"recordkv {words} {where}")
                        lines = [line for line in done.stderr.splitlines() if "standard output" in line]
                        self.assertEqual((done.returncode, len(lines)), (1, 1), done.stderr)
                        self.assertTrue(lines[0].startswith("recordkv: "), done.stderr)
                        self.assertIn(why, lines[0])
            for words, code in (("get at://nobody", 2), (f"put {LIKE} '{{'", 2), (f"get {LIKE}x", 1),
                                ("frobnicate", 2)):
                with self.subTest(words):  # nowhere to complain is no reason to die
                    self.assertEqual(self.shell(rig, f"recordkv {words} 2>/dev/full").returncode, code)
                    self.assertEqual(self.shell(rig, f"recordkv {words} 2>&-").returncode, code)


class GoodbyeTest(FieldTest):
    def test_nothing_is_left_to_wait_for(self):
        """nats.c waits 500 ms at its close while bytes are unwritten. The last that a command sends is its UNSUB: the
        server must have seen as many as there were commands."""
        with Rig() as rig:
            nats = rig.nats("debug: true\ntrace: true")
            self.ask(rig, 0, "put", LIKE, RECORD)
            for words in (("get", LIKE), ("ls", ME), ("status",), ("del", LIKE)):
                with self.subTest(words=words):
                    before = nats.text().count("<<- [UNSUB 1 ]")
                    rig.command(*words)
                    wait_for("the server has seen it",
                             lambda before=before: nats.text().count("<<- [UNSUB 1 ]") > before, 5)


class HangupTest(FieldTest):
    def test_up_and_tail_drain(self):
        with Rig() as rig:
            rig.settings["source.url"] = "ws://127.0.0.1:1"
            rig.write_config()
            up = rig.add("up", [program("RECORDKV", "recordkv"), "--config", rig.config, "up"])
            wait_for("it runs", lambda: rig.report("kv").get("state") == "running", 60)
            tail = rig.add("tail", [program("RECORDKV", "recordkv"), "--config", rig.config, "tail", "*", "--durable",
                                    "d"])
            wait_for("tail runs", lambda: rig.report("tail-d").get("state") == "running", 30)
            tail.process.send_signal(signal.SIGHUP)
            self.assertEqual(tail.exit_code(), 0, tail.text())
            self.assertEqual(rig.report("tail-d"), {}, "the lock is given back")
            up.process.send_signal(signal.SIGHUP)
            up.process.send_signal(signal.SIGHUP)  # the shell sends one of its own: no reason to leave undrained
            self.assertEqual(up.exit_code(), 0, up.text())
            self.assertIn("stopped", up.text())

    def test_run_goes_on(self):
        with Rig() as rig:
            rig.nats()
            part = rig.recordkv("kv")
            wait_for("it runs", lambda: rig.report("kv").get("state") == "running")
            for n in (1, 2):
                part.process.send_signal(signal.SIGHUP)
                wait_for("it says so", lambda n=n: part.text().count("nothing to reopen") == n)
            self.assertTrue(part.running())
            self.assertEqual(part.stop(), 0)

    def test_nohup_is_respected(self):
        with Rig() as rig:
            rig.settings["source.url"] = "ws://127.0.0.1:1"
            rig.write_config()
            up = rig.add("up", ["env", "--ignore-signal=HUP", program("RECORDKV", "recordkv"), "--config", rig.config,
                                "up"])
            wait_for("it runs", lambda: rig.report("kv").get("state") == "running", 60)
            with open(f"/proc/{up.process.pid}/status", encoding="ascii") as f:
                ignored = next(int(line.split()[1], 16) for line in f if line.startswith("SigIgn:"))
            self.assertTrue(ignored >> (signal.SIGHUP - 1) & 1)
            self.assertEqual(up.stop(), 0)


class NothingMadeTest(FieldTest):
    def test_a_bucket_mistyped(self):
        with Rig() as rig:
            rig.nats()
            self.ask(rig, 0, "put", LIKE, RECORD)
            before = self.streams(rig)
            wrong = ("--set", "kv.bucket=recrod")
            for code, words in ((2, ("put", LIKE, RECORD)), (1, ("del", LIKE)), (1, ("get", LIKE)), (1, ("ls", ME)),
                                (1, ("wait",)),
                                (1, ("wait", LIKE)), (1, ("tail", "*")), (1, ("view", "list")),
                                (1, ("view", "show", "likes")),
                                (1, ("view", "rebuild", "likes")), (1, ("view", "retry", "likes"))):
                with self.subTest(words=words):
                    self.ask(rig, code, *wrong, *words)
                    self.assertIn("there is no bucket recrod; there is: record", self.said)
                    self.assertEqual(len(self.said.splitlines()), 1)
            self.assertIn("recrod: there is no such bucket; there is: record", self.ask(rig, 1, *wrong, "status"))
            self.assertEqual(self.streams(rig), before)
            self.assertEqual(rig.stream("KV_record")["last_seq"], 1)

    def test_where_nothing_is(self):
        with Rig() as rig:
            rig.nats()
            for code, words in ((1, ("view", "rebuild", "likes")), (1, ("view", "retry", "likes")),
                                (1, ("view", "show", "likes")),
                                (1, ("del", LIKE)), (1, ("get", LIKE)), (1, ("ls", ME)), (1, ("query", "likes")),
                                (1, ("likes", "--by", ME)),
                                (1, ("wait",)), (1, ("tail", "*")), (2, ("put", LIKE, "{")), (1, ("status",)),
                                (0, ("view", "list"))):
                with self.subTest(words=words):
                    self.ask(rig, code, *words)
            self.assertEqual(self.streams(rig), [])
            self.assertFalse(os.path.exists(rig.path("state")))

    def test_a_view_that_no_process_keeps(self):
        with Rig() as rig:
            rig.nats()
            self.ask(rig, 3, "put", LIKE, RECORD, "--wait")
            self.assertIn("no process keeps view likes", self.said.splitlines()[0])
            self.assertEqual(self.streams(rig), [], "nothing is written by a put that can't be waited for")
            self.ask(rig, 0, "put", LIKE, RECORD)
            self.ask(rig, 3, "wait")
            self.assertIn("no process keeps view likes", self.said.splitlines()[0])
            self.ask(rig, 3, "del", LIKE, "--wait")
            self.assertEqual(rig.stream("KV_record")["last_seq"], 1)
            self.ask(rig, 2, "--set", "index.views=nowhere/*.toml", "put", LIKE, RECORD, "--wait")
            self.assertEqual(rig.stream("KV_record")["last_seq"], 1)
            rig.write_config()
            waiting = rig.add("wait", [program("RECORDKV", "recordkv"), "--config", rig.config, "wait"])
            wait_for("it says so at once", lambda: "no process keeps view likes" in waiting.text())
            part = rig.recordkv("index", sets=("index.assign=0-7",))
            wait_for("half of it is kept", lambda: rig.report("view-likes-0-7").get("state") == "running")
            self.ask(rig, 3, "wait")
            self.assertIn("partitions 8,9,a,b,c,d,e,f of view likes", self.said)
            self.assertEqual(part.stop(), 0)


@unittest.skipUnless(os.geteuid() == 0, "only root can be another user")
class OtherUsersTest(FieldTest):
    def as_nobody(self, directory: str, *words) -> subprocess.CompletedProcess:
        def become():
            die_with_parent()
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        return subprocess.run([self.program, *words], text=True, capture_output=True, cwd=directory,
                              env=plain_environment(),
                              timeout=60 * SLOW, stdin=subprocess.DEVNULL, preexec_fn=become, check=False)

    def setUp(self):
        self.home = tempfile.mkdtemp(prefix="recordkv-e2e-")
        self.addCleanup(shutil.rmtree, self.home)
        os.chmod(self.home, 0o755)
        self.program = os.path.join(self.home, "recordkv")  # the build may lie where only root can look
        shutil.copy(program("RECORDKV", "recordkv"), self.program)
        os.chmod(self.program, 0o755)

    def one_line(self, done: subprocess.CompletedProcess, *parts) -> None:
        self.assertNotEqual(done.returncode, 0)
        lines = [line for line in done.stderr.splitlines() if line.startswith("recordkv: ")]
        self.assertEqual(len(lines), 1, done.stderr)
        for part in parts:
            self.assertIn(part, lines[0])

    def test_a_directory_of_another_user(self):
        with Rig() as rig:
            rig.nats()
            theirs = os.path.join(self.home, "theirs")
            os.mkdir(theirs)
            who = ("belongs to user root", f"nobody (uid {NOBODY})")
            at = ("--set", f"nats.url={rig.url}", "--set", "http.listen=")
            nowhere = ("--set", "nats.url=nats://127.0.0.1:1", "--set", "http.listen=")
            self.one_line(self.as_nobody(theirs, "init"), theirs, *who, "name a directory")
            self.one_line(self.as_nobody(self.home, *nowhere, "up"), f"{self.home}", *who, "set state.dir")
            self.one_line(self.as_nobody(self.home, *at, "--stages=index", "run"), f"{self.home}", *who,
                          "set state.dir")
            self.assertEqual(os.listdir(theirs), [])
            database = os.path.join(theirs, "likes.db")  # there, and not to be read
            with open(database, "wb"):
                os.chmod(database, stat.S_IRUSR | stat.S_IWUSR)
            self.one_line(self.as_nobody(self.home, "--set", f"index.database=sqlite:{database}", "likes", "--by", ME),
                          database,
                          *who, "ask as its owner")
            os.chmod(theirs, 0o700)
            self.one_line(self.as_nobody(self.home, "--set", f"index.database=sqlite:{database}", "likes", "--by", ME),
                          theirs, *who)

    def test_a_read_only_root(self):
        probe = subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False)
        if probe.returncode != 0:
            self.skipTest(f"no mount namespace can be made here: {probe.stderr.decode().strip()}")
        with Rig() as rig:
            rig.nats()
            at = f"--set nats.url={rig.url} --set http.listen="
            script = f'mount -t tmpfs -o ro none "{self.home}/ro" && cd "{self.home}/ro" && exec "{self.program}" '
            os.mkdir(os.path.join(self.home, "ro"))
            for words in ("--set nats.url=nats://127.0.0.1:1 --set http.listen= up", f"{at} --stages=index run",
                          "init"):
                with self.subTest(words):
                    done = subprocess.run(["unshare", "-m", "bash", "-c", script + words], text=True,
                                          capture_output=True,
                                          timeout=60 * SLOW, env=plain_environment(), preexec_fn=die_with_parent,
                                          check=False)
                    self.one_line(done, f"{self.home}/ro", "is on a read-only file system")


class OriginTest(FieldTest):
    def test_config_show_in_a_pipe(self):
        with Rig() as rig:
            rig.write_config()
            done = self.shell(rig,
                              'RECORDKV_LOG_LEVEL=warn recordkv --stages=kv --set kv.bucket=other config show | cat')
            for line in (r'stages += \["kv"\] +# --stages', r'log.level += "warn" +# RECORDKV_LOG_LEVEL',
                         r'kv.bucket += "other" +# --set',
                         rf'source.start += "oldest" +# {rig.config}:\d+', r"kv.partitions += 16 +# default"):
                self.assertRegex(done.stdout, f"(?m)^{line}$")


if __name__ == "__main__":
    unittest.main()
