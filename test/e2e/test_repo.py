"""The commands `repo list` and `repo show`, and what `status` tells of accounts, on states of a real run and on
hand-written ones of each kind.

Owns: lines, counts, filters, the search by handle, exit codes.
Does not know: how stage kv comes to a state (field_flaws.py).
"""

import json
import re
import time
import unittest

from fake_source import FakeSource, did, jetstream_event, like
from rig import Rig, program, wait_for
from record_place import encoded, partition_of  # from test/oracle, which rig has put into the path

GOOD, FLAWED, CLEAN, HALF, GONE, NAMESAKE, TORN = (did(n) for n in range(1, 8))
REV = "3kabcdefgh222"
COUNTS = re.compile(r"recordkv: (\d+) accounts?: (\d+) desynchronised, (\d+) incomplete, (\d+) unverified, "
                    r"(\d+) inactive")


def state(account: str, **members) -> dict:
    return {"did": account, "rev": REV, "status": "synchronised", "verified": True, "complete": True, "filter": "f",
            "at": 1, "collections": [], **members}


HAND_WRITTEN = [
    state(CLEAN, key="zQ3shkey", key_checked=int(time.time()) - 3 * 3600, pds="https://pds.example.com",
          handle="Clean.Example.com"),
    state(HALF, complete=False, status="desynchronised", error="pds.example.com: a commit is\nmissing",
          reasons=["gap", "sync"], seen="3kabcdefgh333"),
    state(GONE, upstream_status="deactivated"),
    state(NAMESAKE, verified=False, handle="clean.example.com"),
]


def subject_of(account: str) -> str:
    return f"$KV.repo.{partition_of(account)}.{encoded(account)}"


class RepoTest(unittest.TestCase):
    def stored(self, rig: Rig, subject: str, value: str, headers: dict | None = None) -> None:
        rig.api("STREAM.INFO.KV_repo")  # opens the connection
        answer = json.loads(rig.wire.request(subject, value.encode(), headers).payload)
        self.assertIn("seq", answer, subject)

    def run_once(self, rig: Rig) -> None:
        """Two accounts over a source without proofs; the second misses a record."""
        rig.nats()
        part = rig.recordkv("ingest,kv")

        def states() -> int:
            subjects = rig.api("STREAM.INFO.KV_repo", subjects_filter="$KV.repo.*.*")["state"].get("subjects") or {}
            return sum(".did/3A" in subject and ".want." not in subject for subject in subjects)
        wait_for("both accounts have a state", lambda: states() == 2 and rig.drained(), 30)
        self.assertEqual(part.stop(), 0)

    def written_by_hand(self, rig: Rig) -> None:
        for s in HAND_WRITTEN:
            self.stored(rig, subject_of(s["did"]), json.dumps(s, indent=1))
        self.stored(rig, "$KV.repo.at.3", "{}")
        self.stored(rig, "$KV.repo.want." + encoded(CLEAN), "{}")
        removed = did(99)
        self.stored(rig, subject_of(removed), "", {"KV-Operation": "DEL"})

    def repo(self, rig: Rig, code: int, *words) -> list:
        done = rig.command("repo", *words)
        self.said = done.stderr
        self.assertEqual(done.returncode, code, f"{words}: {done.stdout}{done.stderr}")
        return done.stdout.splitlines()

    def counts(self) -> tuple:
        """Accounts, desynchronised, incomplete, unverified, inactive."""
        match = COUNTS.fullmatch(self.said.strip())
        self.assertTrue(match, self.said)
        return tuple(map(int, match.groups()))

    def listed(self, rig: Rig, *words) -> dict:
        lines = [line.split() for line in self.repo(rig, 0, "list", *words)]
        self.assertTrue(all(len(line) == 7 for line in lines), lines)
        return {line[0]: line[1:] for line in lines}

    def source(self):
        def script(client):
            client.text(jetstream_event(GOOD, "a", like(1)))
            client.text(jetstream_event(FLAWED, "a", None))
            client.stay()
        return FakeSource(script)

    def rig_for(self, source: FakeSource) -> Rig:
        return Rig(**{"source.url": source.url, "index.views": []})


class ListTest(RepoTest):
    def test_states_of_a_real_run(self):
        with self.source() as source, self.rig_for(source) as rig:
            self.run_once(rig)
            rows = self.listed(rig)
            self.assertEqual(set(rows), {GOOD, FLAWED})
            status, upstream, rev, complete, verified, reason = rows[FLAWED]
            self.assertEqual((status, upstream, complete, verified, reason),
                             ("desynchronised", "active", "incomplete", "unverified", "missing_block"))
            self.assertEqual((rows[GOOD][0], rows[GOOD][-1]), ("synchronised", "-"))
            self.assertRegex(rows[GOOD][2], "^[2-7a-z]{13}$")
            self.assertEqual(self.counts(), (2, 1, 2, 2, 0))
            self.assertEqual(set(self.listed(rig, "--status", "desynchronised")), {FLAWED})
            again = rig.recordkv("kv", "again")
            wait_for("the stage has read which accounts there are", lambda: "have a state" in again.text())
            self.assertIn("2 accounts have a state", again.text(), "key meta is none")

    def test_each_kind_and_each_filter(self):
        with self.source() as source, self.rig_for(source) as rig:
            self.run_once(rig)
            self.written_by_hand(rig)
            rows = self.listed(rig)
            self.assertEqual(rows[CLEAN], ["synchronised", "active", REV, "complete", "verified", "-"])
            self.assertEqual(rows[HALF], ["desynchronised", "active", REV, "incomplete", "verified", "gap"])
            self.assertEqual(rows[GONE], ["synchronised", "deactivated", REV, "complete", "verified", "-"])
            self.assertEqual(len(rows), 6)
            self.assertEqual(self.counts(), (6, 2, 3, 3, 1))
            for word, accounts in {"synchronised": {GOOD, CLEAN, GONE, NAMESAKE}, "desynchronised": {FLAWED, HALF},
                                   "incomplete": {GOOD, FLAWED, HALF}, "unverified": {GOOD, FLAWED, NAMESAKE},
                                   "inactive": {GONE}}.items():
                with self.subTest(word):
                    self.assertEqual(set(self.listed(rig, "--status", word)), accounts)
                    self.assertEqual(self.counts(), (6, 2, 3, 3, 1), "counted are all")
            values = [json.loads(line) for line in self.repo(rig, 0, "list", "--json", "--status", "inactive")]
            self.assertEqual(values, [HAND_WRITTEN[2]])
            self.assertEqual(len(self.repo(rig, 0, "list", "--limit", "2")), 2)
            self.assertIn("read up to --limit: 2 accounts: ", self.said)

    def test_what_can_not_be_read_is_named(self):
        with self.source() as source, self.rig_for(source) as rig:
            self.run_once(rig)
            self.stored(rig, subject_of(TORN), '{"did":')
            self.assertEqual(set(self.listed(rig)), {GOOD, FLAWED})
            self.assertIn(f"the state of {TORN} can't be read: ", self.said)
            self.assertIn("2 accounts: 1 desynchronised", self.said)
            self.assertIn("; 1 more can't be read", self.said)
            self.repo(rig, 1, "show", TORN)
            self.assertIn("can't be read", self.said)

    def test_nothing_there_and_wrong_words(self):
        with Rig() as rig:
            rig.nats()
            self.repo(rig, 1, "list")
            self.assertIn("there is no store yet", self.said)
            self.repo(rig, 1, "show", GOOD)
            self.assertIn("there is no store yet", self.said)
            self.repo(rig, 2, "list", "--status", "fine")
            for word in ("synchronised", "desynchronised", "incomplete", "unverified", "inactive"):
                self.assertIn(word, self.said)
            for words in (("show",), (), ("burn",), ("show", "nodots"), ("show", "did:"), ("list", "--limit", "x")):
                with self.subTest(words):
                    self.repo(rig, 2, *words)
                    self.assertTrue(self.said)
            rig.api("STREAM.CREATE.KV_record", name="KV_record", subjects=["$KV.record.>"], max_msgs_per_subject=1)
            self.repo(rig, 1, "list")
            self.assertIn("no account has a state: there is no bucket repo", self.said)
            rig.api("STREAM.CREATE.KV_repo", name="KV_repo", subjects=["$KV.repo.>"], max_msgs_per_subject=1)
            self.assertEqual(self.repo(rig, 1, "list"), [])
            self.assertEqual(self.counts(), (0, 0, 0, 0, 0))

    def test_many_while_they_are_written(self):
        """Each account once, though some states are written again and again while they are read."""
        many = 30_000
        with Rig(**{"index.views": []}) as rig:
            rig.nats()
            for name in ("record", "repo"):
                rig.api(f"STREAM.CREATE.KV_{name}", name=f"KV_{name}", subjects=[f"$KV.{name}.>"],
                        max_msgs_per_subject=1)
            values = [(f"$KV.repo.{n % 16:x}.{encoded(did(n))}", json.dumps(state(did(n))).encode())
                      for n in range(many)]
            for subject, value in values:
                rig.wire.publish(subject, value)
            wait_for("all are stored", lambda: rig.stream("KV_repo")["messages"] == many, 60)
            again = values[-many // 3::7]
            listing = rig.add("list", [*self.head(rig), "repo", "list"])
            while listing.running():
                before = rig.stream("KV_repo")["last_seq"]
                for subject, value in again:
                    rig.wire.publish(subject, value)
                wait_for("they are stored", lambda: rig.stream("KV_repo")["last_seq"] == before + len(again))
            self.assertEqual(listing.exit_code(), 0)
            accounts = [line.split()[0] for line in listing.text().splitlines() if line.startswith("did:")]
            self.assertEqual(len(accounts), many)
            self.assertEqual(len(set(accounts)), many)
            self.assertIn(f"recordkv: {many} accounts: ", listing.text())

    @staticmethod
    def head(rig: Rig) -> list:
        rig.write_config()
        return [program("RECORDKV", "recordkv"), "--config", rig.config]


class ShowTest(RepoTest):
    def test_by_did_and_by_handle(self):
        with self.source() as source, self.rig_for(source) as rig:
            self.run_once(rig)
            self.written_by_hand(rig)
            page = "\n".join(self.repo(rig, 0, "show", HALF))
            for line in (r"account +" + HALF, r"status +desynchronised: records may be missing or stale",
                         r"error +pds\.example\.com: a commit is missing", r"reasons +gap, sync",
                         r"newest rev seen +3kabcdefgh333", r"complete +no: ", r"verified +yes", r"key +not known",
                         r"written +20\d\d-"):
                self.assertRegex(page, re.compile("^" + line, re.M))
            page = "\n".join(self.repo(rig, 0, "show", CLEAN))
            self.assertRegex(page, r"key +zQ3shkey, looked up 3 h ago \(20\d\d-\S+Z\)")
            self.assertEqual(json.loads("".join(self.repo(rig, 0, "show", CLEAN, "--json"))), HAND_WRITTEN[0])
            page = "\n".join(self.repo(rig, 0, "show", "@CLEAN.example.com"))
            self.assertIn("account          " + CLEAN, page)
            self.assertIn("account          " + NAMESAKE, page)
            self.assertIn("2 accounts name this handle", self.said)
            found = [json.loads(line) for line in self.repo(rig, 0, "show", "clean.example.com", "--json")]
            self.assertEqual(sorted(s["did"] for s in found), sorted([CLEAN, NAMESAKE]))
            page = "\n".join(self.repo(rig, 0, "show", FLAWED))
            self.assertRegex(page, r"reasons +missing_block")
            self.assertRegex(page, r"error .*missing_block \(from 127\.0\.0\.1:")

    def test_not_found(self):
        with self.source() as source, self.rig_for(source) as rig:
            self.run_once(rig)
            self.written_by_hand(rig)
            self.assertEqual(self.repo(rig, 1, "show", did(50)), [])
            self.assertIn("recordkv repo list", self.said)
            self.assertEqual(self.repo(rig, 1, "show", did(99)), [], "its state was removed")
            self.assertEqual(self.repo(rig, 1, "show", "other.example.com"), [])
            self.assertIn("https://other.example.com/.well-known/atproto-did", self.said)


class StatusTest(RepoTest):
    REPORT = {"stage": "kv", "state": "running", "accounts": 1234}

    def test_what_the_stage_counts_is_shown(self):
        with self.source() as source, self.rig_for(source) as rig:
            self.run_once(rig)
            self.assertNotIn("known", rig.command("status").stdout, "no stage runs that could report it")
            lease = json.dumps({"id": "x", "pid": 1, "renewed": "2026-01-01T00:00:00.000Z", "report": self.REPORT})

            def told():
                self.stored(rig, "$KV.lock.kv", lease)  # a lease lives for five seconds
                facts = json.loads(rig.command("status", "--json").stdout)
                return facts if "accounts" in facts else None
            facts = wait_for("status has the number", told)
            self.assertEqual(facts["accounts"], {"known": 1234})
            self.assertEqual(facts["accounts_maybe_stale"], 1)

            def line():
                self.stored(rig, "$KV.lock.kv", lease)
                return re.search("^accounts .* known, .*$", rig.command("status").stdout, re.M)
            self.assertRegex(wait_for("status says it", line)[0],
                             r"^accounts +1234 known, 1 may be stale: missing_block 1$")


if __name__ == "__main__":
    unittest.main()
