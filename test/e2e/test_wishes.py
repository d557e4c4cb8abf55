"""Promise: `repo add`, `repo remove` and `repo resync` do beside a running system what they say, and --wait says when.

Owns: the commands on the signed network, and the comparison of an account's records with the truth.
Does not know: handles (stages/identity), and wishes without a stage kv (test_repo_change.py).
"""

import json
import unittest

from rig import answer, wait_for
from signed_rig import SignedRig
import check_store  # from test/oracle, which rig has put into the path
from record_place import place_of


class Wishes(unittest.TestCase):
    def network(self) -> SignedRig:
        """Accounts that are older than the stream, so that nothing of them comes by itself."""
        rig = self.enterContext(SignedRig("--accounts", 20, "--events", 1, "--settled", 100, **{"repos.repair": True}))
        self.part = rig.recordkv("ingest,kv")
        wait_for("recordkv runs", lambda: rig.command("status").returncode == 0)
        return rig

    def quiet(self, rig: SignedRig) -> str:
        """An account that has said nothing."""
        states = rig.states()
        return next(did for did in rig.accounts() if did not in states)

    def stored(self, rig: SignedRig, did: str) -> dict[str, str]:
        """CIDs by path."""
        found = {}
        for key, record in check_store.read_store(rig.url, "record", ["KV_record"]).items():
            place = place_of(key)
            if record.live and place and place.did == did:
                found[f"{place.collection}/{place.rkey}"] = record.headers["cid"]
        return found

    def truth(self, rig: SignedRig, did: str) -> dict[str, str]:
        account = json.loads(answer(rig.sim_port, f"/control/truth?did={did}")[1])
        return {r["path"]: r["cid"] for r in account["records"]}

    def done(self, rig: SignedRig, *words: str) -> str:
        told = rig.command("repo", *words, "--wait", seconds=60)
        self.assertEqual(told.returncode, 0, told.stdout + told.stderr)
        return told.stdout

    def test_add_resync_remove(self):
        rig = self.network()
        did = self.quiet(rig)
        self.assertEqual(self.stored(rig, did), {})

        self.done(rig, "add", did)
        self.assertGreater(len(self.truth(rig, did)), 10)
        self.assertEqual(self.stored(rig, did), self.truth(rig, did))
        state = rig.states()[did]
        self.assertTrue(state["followed"] and state["complete"] and state["verified"])
        rig.commit(did, 3)
        wait_for("it is followed", lambda: self.stored(rig, did) == self.truth(rig, did))

        path = sorted(self.truth(rig, did))[0]
        self.assertEqual(rig.command("del", f"at://{did}/{path}").returncode, 0)
        self.assertNotIn(path, self.stored(rig, did))
        rig.commit(did)  # a repo is not fetched for a rev that is known
        self.done(rig, "resync", did)
        self.assertEqual(self.stored(rig, did), self.truth(rig, did))

        self.done(rig, "remove", did)
        self.assertEqual(self.stored(rig, did), {})
        rev = rig.commit(did)
        other = next(d for d in rig.accounts() if d != did)
        last = rig.commit(other)
        wait_for("a later commit is applied", lambda: rig.states().get(other, {}).get("rev") == last)
        self.assertEqual(self.stored(rig, did), {})
        self.assertLess(rig.states()[did]["rev"], rev)
        self.assertEqual(rig.command("repo", "list", "--status", "removed").stdout.count(did), 1)

        self.done(rig, "add", did)
        self.assertEqual(self.stored(rig, did), self.truth(rig, did))

    def test_a_wish_is_fulfilled_after_a_kill(self):
        rig = self.network()
        did = self.quiet(rig)
        self.part.kill()
        told = rig.command("repo", "add", did)
        self.assertEqual(told.returncode, 0, told.stderr)
        self.part.start()
        wait_for("it is fetched", lambda: rig.states().get(did, {}).get("resynced", 0) > 0, 40)
        self.assertEqual(self.stored(rig, did), self.truth(rig, did))

    def test_a_host_that_fails_is_named(self):
        rig = self.network()
        did = self.quiet(rig)
        rig.control("pds", mode="500", did=did)
        told = rig.command("repo", "add", did, "--wait", seconds=60)
        self.assertEqual(told.returncode, 1, told.stdout + told.stderr)
        self.assertIn("500", told.stdout + told.stderr)
        self.assertIn("500", rig.command("repo", "show", did).stdout)


if __name__ == "__main__":
    unittest.main()
