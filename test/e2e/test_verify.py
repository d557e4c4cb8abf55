"""Promise: what the store holds was signed by its account, or the account is named with the reason why something is
missing. Every fault of the signed network, kills in between, and what became of each account.

Owns: the schedule of faults and kills, and the proof that each fault happened. RECORDKV_VERIFY_SEEDS (2) is the number
of seeds; 20 make the long form. A seed makes the same network with the same plan of faults.
"""

import os
import random
import time
import unittest

from rig import wait_for
from signed_rig import SignedRig

SEEDS = int(os.environ.get("RECORDKV_VERIFY_SEEDS", "2"))
EVENTS, RATE, ACCOUNTS = 1_500, 150, 120
OF_COMMITS = ["forged", "mutated", "future_rev", "replay", "repeat", "foreign", "corrupted", "wrong_key", "high_s",
              "wrong_prev_data", "no_prev_data", "op_left_out", "seq_back", "gap", "bad_record", "sync", "sync_moved"]
OF_ACCOUNTS = ["rotation", "rotation_silent", "rotation_late", "handle", "deactivated", "deleted"]
# Of the directory, while recordkv is killed: all of them end before a look-up gives up.
OUTAGES = [{"mode": "down"}, {"mode": "slow", "ms": 700}, {"mode": "429"}, {"mode": "500"}]
REFUSALS = ["404", "410"]  # answers, no failures
LAYOUTS = [["ingest,kv"], ["ingest", "kv"]]


class Battle:
    def __init__(self, rig: SignedRig, seed: int):
        self.rig, self.random = rig, random.Random(seed)
        self.parts = [rig.recordkv(stages) for stages in LAYOUTS[seed % len(LAYOUTS)]]
        self.kills = 0
        wait_for("accounts are known", lambda: len(self.fresh()) > 20)

    def kill_one(self) -> None:
        part = self.random.choice(self.parts)
        if not part.running():
            raise AssertionError(f"{part.name} ended by itself: {part.state()}")
        part.kill()
        self.kills += 1
        time.sleep(self.random.uniform(0, 0.4))  # what happens meanwhile is tried, no fact is waited for
        part.start()

    def fresh(self) -> list[str]:
        """Accounts that are known, and that no fault has touched."""
        states = self.rig.states()
        return sorted(did for did, a in self.rig.accounts().items()
                      if a["status"] == "active" and not a["faults"]
                      and states.get(did, {}).get("status") == "synchronised")

    def run(self) -> None:
        """The network's own faults happen meanwhile."""
        outages = list(OUTAGES)
        while not self.rig.control("state")["finished"] or self.rig.control("faults")["armed"]:
            if self.rig.control("state")["finished"]:
                self.rig.control("emit", count=50)
            if outages:
                self.break_directory(outages.pop())
            self.rig.control("fault", kind="disconnect")
            time.sleep(self.random.uniform(0.3, 1.2))
            self.kill_one()

    def break_directory(self, outage: dict) -> None:
        """The directory fails twice. An #identity makes recordkv ask."""
        word = "plc_" + outage["mode"]
        self.rig.control("plc", count=2, **outage)
        self.rig.control("fault", kind="handle", did=self.random.choice(self.fresh()))
        wait_for(word, lambda: self.rig.counts().get(word, 0) > 0)

    def one_of_each(self) -> set[str]:
        """Each kind for an account of its own, while recordkv is level with the stream. Returns the accounts."""
        accounts = self.random.sample(self.fresh(), len(OF_COMMITS) + len(OF_ACCOUNTS) + len(REFUSALS) + 1)
        left = iter(accounts)
        for kind in OF_COMMITS + OF_ACCOUNTS:
            self.rig.control("fault", kind=kind, did=(did := next(left)))
            if kind in OF_COMMITS:
                self.rig.commit(did)
        for mode in REFUSALS:
            self.rig.control("plc", mode=mode, did=(did := next(left)), count=1)
            self.rig.control("fault", kind="forged", did=did)
            self.rig.commit(did)
        self.rig.control("fault", kind="deactivated", did=(did := next(left)))
        self.rig.control("fault", kind="reactivated", did=did)
        return set(accounts)

    def finish(self) -> None:
        """One more commit of each account: it shows what is missing before it."""
        for did, a in self.rig.accounts().items():
            if a["status"] == "active":
                self.rig.commit(did)
        self.rig.wait_level(40)


class VerifyTest(unittest.TestCase):
    def test_every_fault_under_kills(self):
        for seed in range(SEEDS):
            with self.subTest(seed=seed):
                self.battle(seed)

    def battle(self, seed: int) -> None:
        began = time.monotonic()
        plan = ",".join(f"{kind}=2" for kind in OF_COMMITS + OF_ACCOUNTS)
        with SignedRig("--seed", seed, "--events", EVENTS, "--rate", RATE, "--accounts", ACCOUNTS, "--settled", 20,
                       "--records", 6, "--p256", 30, "--pds", 3, "--web", 4, "--wait-for-client", "--fault",
                       plan) as rig:
            battle = Battle(rig, seed)
            battle.run()
            rig.wait_level(60)
            quiet = battle.one_of_each()
            rig.wait_level(40)
            battle.finish()
            report = rig.check_accounts(quiet)
            counts = rig.counts()
            print(f"seed {seed}: {time.monotonic() - began:.0f} s, {battle.kills} kills, {report.notes}, "
                  f"{sum(counts.values())} faults: {counts}")
            self.assert_happened(counts)
            self.assertGreater(battle.kills, 3)
            self.assert_told(rig)

    def assert_happened(self, counts: dict) -> None:
        kinds = OF_COMMITS + OF_ACCOUNTS + ["reactivated", "disconnect"]
        kinds += ["plc_" + outage["mode"] for outage in OUTAGES] + ["plc_" + mode for mode in REFUSALS]
        self.assertEqual([kind for kind in kinds if not counts.get(kind)], [])

    def assert_told(self, rig: SignedRig) -> None:
        """A user sees the number."""
        stale = sum(s["status"] == "desynchronised" for s in rig.states().values())
        wait_for(f"status names {stale} accounts", lambda: rig.status()["accounts_maybe_stale"] == stale)


if __name__ == "__main__":
    unittest.main()
