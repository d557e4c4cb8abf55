"""The commands `repo add`, `repo remove` and `repo resync`, beside a real NATS server. The test plays stage kv.

Owns: the wishes they write, what they say, how --wait ends, exit codes.
Does not know: what stage kv does with a wish.
"""

import base64
import json
import re
import signal
import time
import unittest

from rig import Rig, nats_wire, program, wait_for
from record_place import encoded, partition_of  # from test/oracle, which rig has put into the path

ALICE, BOB, NEW = (f"did:plc:{letter * 24}" for letter in "abc")
REV = "3kabcdefgh222"


def state(account: str, **members) -> dict:
    return {"did": account, "rev": REV, "status": "synchronised", "verified": True, "complete": True, "filter": "f",
            "at": 1, "collections": [], **members}


class Change(unittest.TestCase):
    def setUp(self):
        self.rig = self.enterContext(Rig(**{"index.views": [], "identity.plc_url": "http://127.0.0.1:1"}))
        self.rig.nats()

    def store(self) -> None:
        """A store with two known accounts. No process runs a stage."""
        for name in ("record", "repo", "lock"):
            self.rig.api(f"STREAM.CREATE.KV_{name}", name=f"KV_{name}", subjects=[f"$KV.{name}.>"],
                         max_msgs_per_subject=1)
        self.write_state(state(ALICE, handle="Alice.Example.com"))
        self.write_state(state(BOB, handle="bob.example.com", status="desynchronised", error="a commit is missing",
                               reasons=["gap"]))

    def put(self, subject: str, value: str, headers: dict | None = None) -> None:
        answer = json.loads(self.rig.wire.request(subject, value.encode(), headers).payload)
        self.assertIn("seq", answer, subject)

    def write_state(self, s: dict) -> None:
        self.put(f"$KV.repo.{partition_of(s['did'])}.{encoded(s['did'])}", json.dumps(s))

    def stage_lives(self) -> None:
        self.put("$KV.lock.kv", json.dumps({"id": "x", "pid": 1, "renewed": "", "report": {}}))

    def stage_acts(self, s: dict) -> None:
        """As stage kv does: first the state, then the wish goes."""
        self.write_state(s)
        self.put("$KV.repo.want." + encoded(s["did"]), "", {"KV-Operation": "DEL"})

    def wish(self, account: str) -> dict:
        try:
            m = self.rig.api("STREAM.MSG.GET.KV_repo", last_by_subj="$KV.repo.want." + encoded(account))["message"]
        except nats_wire.Failure as e:
            self.assertRegex(str(e), r"\(10037\)$")
            return {}
        return json.loads(base64.b64decode(m["data"])) if m.get("data") else {}

    def repo(self, code: int, *words, seconds: float = 60) -> list:
        done = self.rig.command("repo", *words, seconds=seconds)
        self.said = done.stderr
        self.assertEqual(done.returncode, code, f"{words}: {done.stdout}{done.stderr}")
        return done.stdout.splitlines()

    def begin(self, *words):
        """The command runs on; its wish is there."""
        self.stage_lives()
        self.rig.write_config()
        part = self.rig.add("repo", [program("RECORDKV", "recordkv"), "--config", self.rig.config, "repo", *words])
        wait_for("the wish is there", lambda: self.wish(words[1]), meanwhile=self.stage_lives)
        return part

    def ended(self, part) -> tuple:
        """Exit code and what it has said."""
        wait_for("the command ends", lambda: not part.running(), meanwhile=self.stage_lives)
        return part.exit_code(), part.text()


class Wishes(Change):
    def test_each_command_leaves_its_wish(self):
        self.store()
        for action, says in (("add", "will be followed in full"), ("remove", "its records will be removed"),
                             ("resync", "its repo will be fetched")):
            before = time.time()
            with self.subTest(action):
                lines = self.repo(0, action, NEW, ALICE)
                self.assertEqual([line.split(": ")[0] for line in lines], [NEW, ALICE])
                self.assertTrue(all(says in line for line in lines), lines)
                self.assertIn("no process runs stage kv for partition", self.said)
                self.assertIn("waits for the next start", self.said)
                for account in (NEW, ALICE):
                    wish = self.wish(account)
                    self.assertEqual(wish["did"], account)
                    self.assertEqual(wish["what"], action)
                    self.assertRegex(wish["at"], r"^20\d\d-\d\d-\d\dT.*Z$")
                    self.assertGreaterEqual(wish["at"][:19], time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(before)))
        self.assertFalse(self.wish(BOB))
        self.stage_lives()
        self.repo(0, "resync", ALICE)
        self.assertNotIn("no process", self.said)
        self.assertIn(f"`recordkv repo show {ALICE}`", self.said)

    def test_json(self):
        self.store()
        one, two = (json.loads(line) for line in self.repo(0, "add", "--json", ALICE, "@bob.example.com", BOB))
        self.assertEqual((one["did"], one["wish"], one["outcome"], one["running"]), (ALICE, "add", "waiting", False))
        self.assertEqual(one["at"], self.wish(ALICE)["at"])
        self.assertEqual((two["did"], two["handle"]), (BOB, "bob.example.com"))
        self.assertNotIn("handle", one)

    def test_a_handle_of_a_known_account(self):
        self.store()
        line, = self.repo(0, "resync", "@ALICE.example.com")
        self.assertTrue(line.startswith(f"ALICE.example.com ({ALICE}): "), line)
        self.assertTrue(self.wish(ALICE))

    def test_an_unknown_handle_changes_nothing(self):
        self.store()
        self.repo(1, "remove", ALICE, "nobody.invalid")
        self.assertIn("nobody.invalid is no handle that can be looked up", self.said)
        self.assertFalse(self.wish(ALICE))
        done = self.rig.command("repo", "add", ALICE, "nobody.recordkv-tests.test", seconds=60)
        self.assertIn(done.returncode, (1, 3), done.stderr)  # 3: there is no DNS here
        self.assertIn("nobody.recordkv-tests.test leads to no DID", done.stderr)
        self.assertIn("_atproto.nobody.recordkv-tests.test", done.stderr)
        self.assertFalse(self.wish(ALICE))

    def test_wrong_usage(self):
        for words in (("add",), ("remove",), ("resync", "--wait"), ("add", "nodots"), ("resync", "did:"),
                      ("remove", ALICE, "a b"), ("add", ALICE, "--for-ever")):
            with self.subTest(words):
                self.repo(2, *words)
                self.assertTrue(self.said)
        for action in ("add", "remove", "resync"):
            self.repo(1, action, ALICE)
            self.assertIn("there is no store yet", self.said)
            self.assertIn("Example:", "\n".join(self.repo(0, action, "--help")))
        self.rig.api("STREAM.CREATE.KV_record", name="KV_record", subjects=["$KV.record.>"], max_msgs_per_subject=1)
        self.repo(1, "add", ALICE)
        self.assertIn("there is no bucket repo that could take a wish", self.said)


class Waiting(Change):
    def test_until_it_is_fulfilled(self):
        self.store()
        part = self.begin("resync", ALICE, "--wait")
        self.stage_acts(state(ALICE, status="desynchronised"))
        self.stage_lives()
        self.write_state(state(ALICE, rev="3kabcdefgh999", resynced=int(time.time())))
        code, text = self.ended(part)
        self.assertEqual(code, 0, text)
        self.assertIn(f"{ALICE}: synchronised at rev 3kabcdefgh999", text)

        part = self.begin("remove", ALICE, "--wait", "--json")
        self.stage_acts(state(ALICE, status="removed"))
        code, text = self.ended(part)
        self.assertEqual(code, 0, text)
        report = json.loads(text.splitlines()[-1])
        self.assertEqual((report["outcome"], report["running"], report["wish"]), ("fulfilled", True, "remove"))

    def test_until_a_try_has_failed(self):
        self.store()
        part = self.begin("add", BOB, "--wait")
        self.stage_acts(state(BOB, status="desynchronised", error="pds.example.com: HTTP 500", tries=1,
                              next_try=int(time.time()) + 60))
        code, text = self.ended(part)
        self.assertEqual(code, 1, text)
        self.assertRegex(text, rf"recordkv: {BOB}: the try has failed: pds\.example\.com: HTTP 500\. "
                               r"The next one comes at 20\d\d-\S+Z")

    def test_an_inactive_account(self):
        self.store()
        part = self.begin("add", BOB, "--wait")
        self.stage_acts(state(BOB, status="inactive", upstream_status="takendown"))
        code, text = self.ended(part)
        self.assertEqual(code, 1, text)
        self.assertIn("its PDS says that it is not active (takendown)", text)

    def test_one_of_several(self):
        self.store()
        part = self.begin("resync", ALICE, BOB, "--wait")
        wait_for("the second wish is there", lambda: self.wish(BOB), meanwhile=self.stage_lives)
        self.stage_acts(state(BOB, status="inactive"))
        wait_for("the first end is told", lambda: BOB + ": its PDS" in part.text(), meanwhile=self.stage_lives)
        self.assertTrue(part.running())
        self.stage_acts(state(ALICE, resynced=int(time.time())))
        code, text = self.ended(part)
        self.assertEqual(code, 1, text)
        self.assertIn(f"{ALICE}: synchronised", text)

    def test_an_interruption_ends_the_wait_and_not_the_wish(self):
        self.store()
        part = self.begin("add", ALICE, "--wait")
        wait_for("it waits", lambda: "will be followed" in part.text(), meanwhile=self.stage_lives)
        part.process.send_signal(signal.SIGINT)
        code, text = self.ended(part)
        self.assertEqual(code, 1, text)
        self.assertIn("no longer waiting; the wish stays", text)
        self.assertEqual(self.wish(ALICE)["did"], ALICE)

    def test_without_a_stage_the_wait_ends(self):
        self.store()
        self.repo(3, "resync", ALICE, "--wait")
        self.assertRegex(self.said, re.compile(r"no process runs stage kv for partition .: .*Waiting 10 s", re.S))
        self.assertIn("nothing to wait for; the wish stays", self.said)
        self.assertTrue(self.wish(ALICE))


if __name__ == "__main__":
    unittest.main()
