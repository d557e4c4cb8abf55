"""recordkv in an empty directory, and commands in another: shipped views and quickstart compiled in, the running index
found.

Owns: `up` without a configuration, `init`, builtin views, `likes`/`query`/`wait` from elsewhere. What an answer holds:
test_commands.py.
"""

import json
import os
import subprocess
import tempfile
import unittest

from rig import ROOT, SLOW, Part, Rig, die_with_parent, plain_environment, program, wait_for

ME = "did:plc:44ybard66vv44zksje25o7dz"
POST = f"at://{ME}/app.bsky.feed.post/3kabcdefghijk"
LIKE = f"at://{ME}/app.bsky.feed.like/a"
RECORD = json.dumps({"$type": "app.bsky.feed.like", "subject": {"uri": POST}, "createdAt": "2024-11-05T12:00:00Z"})


class FromAnywhereTest(unittest.TestCase):
    def run_in(self, directory: str, code: int, *words, env: dict | None = None) -> str:
        done = subprocess.run([program("RECORDKV", "recordkv"), *words], text=True, capture_output=True,
                              timeout=60 * SLOW,
                              cwd=directory, env={**plain_environment(), **(env or {})}, stdin=subprocess.DEVNULL,
                              preexec_fn=die_with_parent, check=False)
        self.assertEqual(done.returncode, code, f"{words}: {done.stdout}{done.stderr}")
        self.said = done.stderr
        return done.stdout

    def test_up_in_an_empty_directory(self):
        """Without --config it is the quickstart; another terminal in another directory needs no configuration
        either."""
        with Rig() as rig, tempfile.TemporaryDirectory() as elsewhere:
            rig.simulator("--events", 2000, "--accounts", 50, truth=False)
            empty = rig.path("empty")
            os.mkdir(empty)
            sets = [f"source.url={rig.settings['source.url']}", "source.kind=jetstream", "source.start=oldest",
                    f"nats.url={rig.url}", "http.listen="]
            command = [program("RECORDKV", "recordkv"), *(w for s in sets for w in ("--set", s)), "up"]
            up = rig.parts["up"] = Part("up", command, empty)
            up.start()
            at = {"RECORDKV_NATS_URL": rig.url}
            wait_for("it follows", lambda: "NATS    " in up.text(), 60)
            wait_for("all is folded", lambda: rig.report("view-likes").get("rows", 0) > 0 and rig.drained(), 60)
            self.assertIn("started, data in ./recordkv-data/nats", up.text())
            for name in ("likes", "replies", "links"):
                wait_for(f"view {name} is kept", lambda name=name: rig.report(f"view-{name}").get("state") == "running")
            self.assertEqual(rig.report("view-likes")["database"],
                             f"sqlite:{os.path.realpath(empty)}/recordkv-data/likes.db")
            wait_for("all is well, judged without a configuration", lambda: subprocess.run(
                [program("RECORDKV", "recordkv"), "status", "--quiet"], cwd=elsewhere, check=False,
                env={**plain_environment(), **at}).returncode == 0, 30)
            self.run_in(elsewhere, 0, "put", LIKE, RECORD, "--wait", env=at)
            self.assertEqual(self.run_in(elsewhere, 0, "likes", "--of", POST, env=at), f"{ME}  {LIKE}\n")
            row = json.loads(self.run_in(elsewhere, 0, "query", "likes", "--where", f"did={ME}", "--json", env=at))
            self.assertEqual(row["subject"], POST)
            counted = json.loads(self.run_in(elsewhere, 0, "query", "likes_by_subject", "--where", f"subject={POST}",
                                             "--json", env=at))
            self.assertEqual(counted["count"], 1)
            self.run_in(elsewhere, 0, "wait", env=at)
            self.assertIn("sqlite:", self.run_in(elsewhere, 0, "view", "show", "likes", env=at))
            views = self.run_in(elsewhere, 0, "view", "list", "--json", env=at).splitlines()
            self.assertEqual([json.loads(v)["view"] for v in views], ["likes", "links", "replies"])
            self.assertEqual(os.listdir(elsewhere), [], "commands make nothing")
            # What a configuration writes wins over what runs.
            self.run_in(elsewhere, 1, "--set", "index.database=sqlite:/nowhere/x.db", "likes", "--of", POST, env=at)
            self.assertIn("/nowhere/x.db", self.said)
            self.assertEqual(up.stop(), 0, up.text())

    def test_shipped_views_and_quickstart(self):
        with tempfile.TemporaryDirectory() as empty:
            shipped = sorted(os.listdir(os.path.join(ROOT, "config", "views")))
            shown = self.run_in(empty, 0, "config", "show")
            self.assertRegex(shown, r'(?m)^index.views += \["builtin:follows", .*"builtin:reposts"\] +# default$')
            for file in shipped:
                with open(os.path.join(ROOT, "config", "views", file), encoding="utf-8") as f:
                    self.assertEqual(self.run_in(empty, 0, "view", "show", file.removesuffix(".toml"), "--toml"),
                                     f.read())
                self.assertIn("tests pass", self.run_in(empty, 0, "view", "check",
                                                        "builtin:" + file.removesuffix(".toml")))
            self.assertEqual(self.run_in(empty, 0, "view", "check").count("tests pass"), len(shipped) - 1,
                             "all but accounts are the default")
            self.run_in(empty, 0, "config", "check")
            self.run_in(empty, 2, "--set", "index.views=builtin:dislikes", "config", "check")
            self.assertIn("builtin:likes", self.said)
            quick = self.run_in(empty, 0, "--config", "builtin:quickstart", "config", "show")
            self.assertRegex(quick, r"(?m)^kv.max_keys += 5000000 +# builtin:quickstart:\d+$")
            self.assertRegex(quick, r'(?m)^nats.sync_interval += "10s" ')
            self.assertEqual(os.listdir(empty), [])

    def test_init(self):
        with tempfile.TemporaryDirectory() as home, tempfile.TemporaryDirectory() as elsewhere:
            told = self.run_in(home, 0, "init", "mine")
            mine = os.path.join(os.path.realpath(home), "mine")
            settings = os.path.join(mine, "recordkv.toml")
            self.assertIn(f"recordkv --config {settings} up", told)
            self.assertEqual(sorted(os.listdir(mine)), ["recordkv.toml", "views"])
            self.assertEqual(os.listdir(os.path.join(mine, "views")), ["likes.toml"])
            self.run_in(elsewhere, 0, "--config", settings, "config", "check")
            self.assertIn("tests pass", self.run_in(elsewhere, 0, "--config", settings, "view", "check"))
            shown = self.run_in(elsewhere, 0, "--config", settings, "config", "show")
            self.assertRegex(shown, rf'(?m)^state.dir += "{mine}/recordkv-data" +# {settings}:\d+$')
            self.assertRegex(shown, r"(?m)^source.collections += \[\"app.bsky.feed.like\", \"app.bsky.feed.post\"\] ")
            self.assertEqual(shown.count(settings), 4, shown)
            with open(settings, encoding="utf-8") as f:
                written = f.read()
            for line in shown.splitlines():  # every key stands there, to be uncommented
                self.assertIn(line.split(" ")[0].split(".")[-1] + " = ", written)
            self.run_in(home, 1, "init", "mine")
            self.assertIn("exists already", self.said)
            with open(settings, encoding="utf-8") as f:
                self.assertEqual(f.read(), written)
            os.remove(settings)
            self.run_in(home, 1, "init", "mine")  # nor the other one
            self.assertIn("likes.toml exists already", self.said)
            self.assertFalse(os.path.exists(settings))
            self.run_in(elsewhere, 0, "init")
            self.assertEqual(sorted(os.listdir(elsewhere)), ["recordkv.toml", "views"])


if __name__ == "__main__":
    unittest.main()
