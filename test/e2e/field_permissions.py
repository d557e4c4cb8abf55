"""Narrow permissions: what a NATS server refuses is named with subject and direction; the shipped users suffice.

Owns: servers with users. Does not know: which request of recordkv is refused first.
"""

import os
import re
import signal
import unittest

from rig import ROOT, Rig, wait_for

USERS = ("ingest", "kv", "index", "readonly")
LIKE = "at://did:plc:aaaaaaaaaaaaaaaaaaaaaaaa/app.bsky.feed.like/a"


class GuardedRig(Rig):
    """The tests' own connection is `admin`, which may do everything; recordkv is `narrow`."""

    def __init__(self, **settings):
        super().__init__(**settings)
        self.settings["nats.url"] = self.url_of("narrow")
        self.url = self.url_of("admin")

    def url_of(self, user: str) -> str:
        return f"nats://{user}:secret@127.0.0.1:{self.nats_port}"

    @staticmethod
    def users(denied: str) -> str:
        return ('authorization { users: [ { user: admin, password: secret }\n'
                f'{{ user: narrow, password: secret, permissions: {{ {denied} }} }} ] }}\n')

    def permit(self, denied: str = "publish: { allow: \">\" }") -> None:
        """Other permissions, under the running server."""
        conf = self.path("nats.conf")
        with open(conf, encoding="utf-8") as f:
            text = f.read()
        with open(conf, "w", encoding="utf-8") as f:
            f.write(re.sub(r"(?s)authorization \{.*?\] \}\n", lambda _: self.users(denied), text))
        os.kill(self.parts["nats"].process.pid, signal.SIGHUP)

    def stalled(self, stage: str) -> str:
        report = self.report(stage)
        return report.get("reason", "") if report.get("cause") == "nats_denied" else ""


class AtTheStartTest(unittest.TestCase):
    def ends_with_3(self, denied: str, *words: str, stages: str = "ingest,kv") -> None:
        with GuardedRig() as rig:
            rig.nats(rig.users(denied))
            part = rig.recordkv(stages)
            self.assertEqual(part.exit_code(10), 3)
            for word in words:
                self.assertIn(word, part.text())
            self.assertIn("does not permit", part.text())

    def test_the_inbox(self):
        self.ends_with_3('subscribe: { deny: "_INBOX.>" }', "subscribe to _INBOX.",
                         "Permissions Violation for Subscription")

    def test_making_a_stream(self):
        self.ends_with_3('publish: { deny: "$JS.API.STREAM.CREATE.>" }', "publish to $JS.API.STREAM.CREATE.KV_record")

    def test_making_a_consumer(self):
        self.ends_with_3('publish: { deny: "$JS.API.CONSUMER.*.CREATE.>" }',
                         "publish to $JS.API.CONSUMER.DURABLE.CREATE.ingest.kv",
                         stages="kv")

    def test_what_may_not_be_read_is_not_empty(self):
        with GuardedRig(**{"index.views": []}) as rig:
            rig.nats(rig.users('publish: { deny: "$JS.API.STREAM.MSG.GET.ingest" }'))
            rig.simulator("--events", 50, "--rate", 2000, "--wait-for-client")
            part = rig.recordkv("ingest", sets=("nats.url=" + rig.url,))
            wait_for("the buffer is filled", lambda: rig.stream("ingest")["messages"] > 0)
            self.assertEqual(part.stop(), 0)
            done = rig.command("repo", "traces", "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa")
            self.assertEqual(done.returncode, 3, done.stdout + done.stderr)
            self.assertIn("CAN'T BE READ", done.stdout)

    def test_a_command_names_it_too(self):
        with GuardedRig() as rig:
            rig.nats(rig.users('publish: { deny: "$JS.API.STREAM.INFO.>" }'))
            done = rig.command("get", LIKE)
            self.assertEqual(done.returncode, 3, done.stderr)
            self.assertIn("does not permit this user to publish to $JS.API.", done.stderr)


class WhileItRunsTest(unittest.TestCase):
    def stalls_until_permitted(self, denied: str, stage: str, subject: str) -> None:
        with GuardedRig() as rig:
            rig.nats(rig.users(denied))
            rig.simulator("--events", 200, "--rate", 2000, "--wait-for-client")
            part = rig.recordkv("ingest,kv")
            reason = wait_for("the stall names it", lambda: rig.stalled(stage), 10)
            self.assertIn(f"publish to {subject}", reason)
            self.assertIn("Permissions Violation for Publish", reason)
            self.assertIn(f"does not permit this user to publish to {subject}", part.text())
            rig.permit()
            wait_for("everything settles", lambda: rig.stream("KV_record")["messages"] > 0 and rig.drained(), 30)
            wait_for("the stall ends", lambda: rig.report(stage).get("state") == "running", 30)
            self.assertEqual(part.stop(), 0)

    def test_acknowledgements(self):
        self.stalls_until_permitted('publish: { deny: "$JS.ACK.>" }', "kv", "$JS.ACK.ingest.kv.")

    def test_the_store(self):
        self.stalls_until_permitted('publish: { deny: "$KV.record.>" }', "kv", "$KV.record.")

    def test_the_buffer(self):
        self.stalls_until_permitted('publish: { deny: "ingest.*" }', "ingest", "ingest.")


class ShippedUsersTest(unittest.TestCase):
    def shipped(self, rig: Rig, without: str = "$none") -> str:
        with open(os.path.join(ROOT, "config", "nats-permissions.conf"), encoding="utf-8") as f:
            text = f.read()
        for user in USERS:
            text = text.replace(f"$RECORDKV_{user.upper()}_PASSWORD", "secret")
        lines = [line for line in text.splitlines() if without not in line]
        return "\n".join(lines).replace("users: [", "users: [ { user: admin, password: secret }", 1) + "\n"

    def start(self, rig: GuardedRig) -> list:
        parts = []
        for stage in ("ingest", "kv", "index"):
            rig.settings["nats.url"] = rig.url_of(stage)
            rig.config = rig.path(f"{stage}.toml")
            parts.append(rig.recordkv(stage))
            wait_for(f"{stage} runs", lambda s=stage: rig.report("view-likes" if s == "index"
                                                                 else s).get("state") == "running")
        return parts

    def also_of_accounts(self, text: str) -> str:
        """What the file says of a view of accounts: the lines of `index` with CONSUMER and ACK, for KV_repo, too."""
        before, index = text.split('user: "index"')
        index, after = index.split('user: "readonly"')
        lines = index.splitlines()
        again = [line.replace("KV_record", "KV_repo") for line in lines
                 if "KV_record" in line and ("CONSUMER" in line or "$JS.ACK" in line)]
        self.assertEqual(len(again), 6)
        place = next(i for i, line in enumerate(lines) if "CONSUMER" in line)
        lines[place:place] = again
        return before + 'user: "index"' + "\n".join(lines) + 'user: "readonly"' + after

    def test_a_view_of_accounts(self):
        with GuardedRig(**{"index.views": ["builtin:likes", "builtin:accounts"]}) as rig:
            rig.nats(self.also_of_accounts(self.shipped(rig)))
            rig.simulator("--events", 300, "--rate", 2000, "--wait-for-client")
            parts = self.start(rig)
            wait_for("there are accounts", lambda: rig.command("query", "accounts").stdout.count("synchronised") > 10)
            for part in parts:
                self.assertEqual(part.stop(), 0, part.name)
                self.assertNotIn("Permissions Violation", part.text())

    def test_each_stage_as_its_own_user(self):
        with GuardedRig() as rig:
            rig.nats(self.shipped(rig))
            rig.simulator("--events", 300, "--rate", 2000, "--wait-for-client")
            parts = self.start(rig)
            rig.check_store(30)
            rig.settings["nats.url"] = rig.url_of("admin")
            self.assertEqual(rig.command("put", LIKE, '{"$type":"app.bsky.feed.like"}').returncode, 0)
            rig.settings["nats.url"] = rig.url_of("readonly")
            for words in (("get", LIKE), ("ls", "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"), ("status", "--json"), ("status",),
                          ("repo", "list")):
                done = rig.command(*words)
                self.assertEqual(done.returncode, 0, f"{words}: {done.stdout}{done.stderr}")
            shown = rig.command("repo", "show", done.stdout.split()[0])
            self.assertEqual(shown.returncode, 0, shown.stderr)
            traces = rig.command("repo", "traces", done.stdout.split()[0])
            self.assertEqual(traces.returncode, 1, traces.stdout + traces.stderr)
            self.assertNotIn("CAN'T BE READ", traces.stdout)
            done = rig.command("put", LIKE, '{"$type":"app.bsky.feed.like"}')
            self.assertEqual(done.returncode, 3, done.stdout + done.stderr)
            for part in parts:
                self.assertEqual(part.stop(), 0, part.name)
            for part in parts:
                self.assertNotIn("Permissions Violation", part.text())

            # Streams that exist suffice where making them is denied.
            conf = rig.path("nats.conf")
            with open(conf, encoding="utf-8") as f:
                lines = [line for line in f if "STREAM.CREATE" not in line]
            with open(conf, "w", encoding="utf-8") as f:
                f.writelines(lines)
            os.kill(rig.parts["nats"].process.pid, signal.SIGHUP)
            for part in self.start(rig):
                self.assertEqual(part.stop(), 0, part.name)


if __name__ == "__main__":
    unittest.main()
