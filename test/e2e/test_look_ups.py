"""Promise: a directory that is slow, down or provoked delays only accounts whose key is unknown, and a storm of events
costs a few look-ups.

Owns: the directory's faults, and the counts of requests that it has had.
Does not know: what an answer says; test_verify.py has the keys and their changes.
"""

import unittest

from rig import wait_for
from signed_rig import SignedRig

STORM = 100
SLOW_MS = 3_000  # an answer takes longer than a storm
AN_HOUR_MS = 3_600_000  # longer than any patience


class LookUps(unittest.TestCase):
    def network(self, accounts: int, events: int) -> SignedRig:
        return self.enterContext(SignedRig("--accounts", accounts, "--events", events, "--past", events))

    def test_a_slow_look_up_delays_no_other_account(self):
        rig = self.network(40, 600)
        slow = next(iter(rig.accounts()))
        rig.control("plc", mode="slow", ms=AN_HOUR_MS, did=slow)
        rig.recordkv("ingest,kv")
        others = rig.accounts().keys() - {slow}
        for did in others:
            rig.commit(did)

        def arrived() -> bool:
            accounts, states = rig.accounts(), rig.states()
            return all(states.get(did, {}).get("rev") == accounts[did]["rev"] for did in others)
        wait_for("the others arrive", arrived, every=0.2)
        self.assertNotIn(slow, rig.states())
        self.assertFalse(rig.drained(), "what waits must stay in the buffer")
        rig.control("plc", mode="ok", did=slow)
        wait_for("the slow one arrives", lambda: slow in rig.states() and rig.drained(), every=0.2)
        rig.check_accounts()

    def test_a_directory_that_is_down(self):
        """It is down from before a start on. Known accounts need no look-up. The others arrive once it is back."""
        rig = self.network(2_000, 300)
        part = rig.recordkv("ingest,kv")
        for did in rig.accounts():
            rig.commit(did)
        rig.wait_level(40)
        known = rig.accounts().keys()
        self.assertEqual(rig.states().keys(), known)
        # An #identity that is read again after the restart would be a reason to ask.
        wait_for("the cursor follows", lambda: rig.report("ingest")["cursor"] == rig.control("state")["seq"])
        self.assertEqual(part.stop(), 0)

        rig.control("plc", mode="down")
        before = rig.look_ups()
        part.start()
        for did in known:
            rig.commit(did)
        rig.wait_level(40)
        self.assertEqual(rig.look_ups(), before)
        rig.check_accounts()

        rig.control("emit", count=100)
        unknown = rig.accounts().keys() - known
        self.assertGreater(len(unknown), 10)
        wait_for("recordkv asks for the others", lambda: rig.look_ups() > before)
        wait_for("status names the cause", lambda: "signing keys can't be looked up" in rig.command("status").stdout)
        self.assertFalse(unknown & rig.states().keys())
        rig.control("plc", mode="ok")
        for did in unknown:
            rig.commit(did)
        wait_for("the others arrive", lambda: unknown <= rig.states().keys() and rig.drained(), every=0.2)
        rig.check_accounts()

    def test_storms_for_one_account(self):
        rig = self.network(40, 400)
        rig.recordkv("ingest,kv")
        for did in rig.accounts():
            rig.commit(did)
        rig.wait_level(40)
        of_signatures, of_identities, *_ = rig.accounts()

        before = rig.look_ups()
        rig.control("fault", kind="forged", did=of_signatures, count=STORM)
        rig.commit(of_signatures, STORM)
        rig.wait_level(40)
        self.assertEqual(rig.counts()["forged"], STORM)
        self.assertEqual(rig.look_ups() - before, 2, "one, and one more because the directory may lag behind")

        before = rig.look_ups()
        rig.control("plc", mode="slow", ms=SLOW_MS, did=of_identities)
        for _ in range(STORM):
            rig.control("fault", kind="handle", did=of_identities)
        rig.wait_level(40)
        self.assertEqual(rig.counts()["handle"], STORM)
        self.assertIn(rig.look_ups() - before, (1, 2), "one, and one more for all events that came meanwhile")
        rig.check_accounts({of_signatures, of_identities})


if __name__ == "__main__":
    unittest.main()
