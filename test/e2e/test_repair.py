"""Promise: what is missing or wrong is repaired. Every fault of the signed network, hosts that fail while they are
asked, kills in between; and at the end no account is desynchronised, and the store is the truth.

Owns: the schedule of faults and kills, the proof that each fault happened, and the comparison of each account with what
a mirror that repairs must reach. RECORDKV_REPAIR_SEEDS (20) is the number of seeds; the long form has 200. Two run at
once, each in a process of its own, since each of them mostly waits. With an even seed one recordkv runs both stages.
With an odd one each stage has a process, so that the buffer can fill while stage kv waits for a repo.
Does not know: how a repair is done.
"""

import json
import os
import random
import signal
import time
import unittest
from collections.abc import Mapping
from concurrent import futures
from types import MappingProxyType, SimpleNamespace

from rig import answer, die_with_parent, wait_for
from signed_rig import SignedRig
import check_accounts  # from test/oracle, which rig has put into the path
import check_store
from record_place import place_of

SEEDS = int(os.environ.get("RECORDKV_REPAIR_SEEDS", "200" if os.environ.get("RECORDKV_LONG") else "20"))
AT_ONCE = 2
EVENTS, RATE, ACCOUNTS = 1_200, 150, 120
MAX_MSGS = 100  # of the buffer; each holds up to 16 frames
BACKOFF_MS = 200  # between two tries; the maximum is 60 times as long
DESYNCHRONISING = ["corrupted", "wrong_key", "high_s", "wrong_prev_data", "no_prev_data", "op_left_out", "seq_back",
                   "gap", "sync_moved"]
OF_ACCOUNTS = ["deactivated", "takendown", "suspended", "deleted", "recreated", "migrated", "false_deleted"]
OTHERS = ["forged", "future_rev", "replay", "bad_record", "sync", "rotation", "rotation_silent"]
PLANNED = DESYNCHRONISING + OF_ACCOUNTS + OTHERS
# Of the PDS hosts, each for the first requests about an account of its own.
OUTAGES = [{"mode": "torn"}, {"mode": "half"}, {"mode": "half"}, {"mode": "429", "retry_after": 1}, {"mode": "500"},
           {"mode": "old"}, {"mode": "slow", "ms": 1_500}, {"mode": "redirect"}, {"mode": "down"}, {"mode": "401"}]
COUNT = {"slow": 1, "redirect": 1}  # requests that an outage lasts; 2 unless the first one succeeds
# An old copy may be newer than what the mirror has seen so far, as after a kill, and is then as good as a new one.
NEEDED = {**COUNT, "old": 1}
STATUS = {"equal": {"synchronised"}, "inactive": {"inactive"}, "gone": {"deleted"}}
COMPARED = check_accounts.COMPARED
FETCHED = SimpleNamespace(no_headers=True, cids=True)
Gone = Mapping[str, str]  # accounts whose PDS is gone for good, each with the rev of the commit that it has lost
NONE_GONE: Gone = MappingProxyType({})
GONE = 2  # accounts whose PDS never answers again
TRIES = 4  # that such an account must have had
SHOWN = 5


class RepairRig(SignedRig):
    def __init__(self, *options, **settings):
        super().__init__(*options, **settings)
        self.settings["repos.repair"] = True
        self.settings["ingest.max_msgs"] = MAX_MSGS

    def add(self, name: str, command: list, env: dict | None = None):
        """A minute between two tries is too long for a test."""
        if name.startswith("recordkv"):
            env = {**(env or {}), "RECORDKV_REPOS_RETRY": f"{BACKOFF_MS}ms"}
        return super().add(name, command, env)

    def stale(self) -> dict[str, dict]:
        """What a user is told: the accounts that are still to be repaired."""
        done = self.command("repo", "list", "--status", "desynchronised", "--json")
        if done.returncode not in (0, 1):  # 1: there is none
            raise AssertionError(f"repo list: {done.returncode} {done.stderr}")
        return {s["did"]: s for s in map(json.loads, done.stdout.splitlines())}

    def truth(self) -> check_accounts.Truth:
        path = self.path("truth.tsv")
        with open(path, "w", encoding="utf-8") as f:
            f.write(answer(self.sim_port, "/control/truth")[1])
        return check_accounts.Truth(self.accounts(), self.control("faults")["injected"],
                                    check_store.read_truth(path, []))

    def mirror(self) -> check_accounts.Mirror:
        return check_accounts.Mirror(self.states(), check_store.read_store(self.url, "record", ["KV_record"]))


def wrong_state(a: check_accounts.Account):
    expected = a.truth["repaired"]
    if not a.state and expected != "equal":
        return  # it went before it was known
    if a.state.get("status") not in STATUS[expected]:
        yield f"status is {a.state.get('status')!r}, and it must be {expected}"
    if expected != "equal":
        return
    for name in ("rev", "data", "pds"):
        if a.state.get(name) != a.truth[name]:
            yield f"{name} is {a.state.get(name)!r}, expected {a.truth[name]!r}"


def is_before(begun: str, fact) -> bool:
    """Whether the record is older than the account's first commit that the mirror saw, of rev `begun`."""
    return bool(begun) and (fact.op == "settled" or fact.rev < begun)


def wrong_records(a: check_accounts.Account):
    """Live records only: what a resync removes leaves a marker that no commit has told of. A settled account that
    nothing has harmed begins with the first commit that the mirror saw."""
    begun = "" if a.state.get("complete") else a.state.get("begun", "")
    facts = {k: f for k, f in a.facts.items() if f.live and not is_before(begun, f)}
    store = {k: f for k, f in a.store.items() if f.live}
    fetched = bool(a.state.get("resynced"))  # such records carry the repo's rev, and the time of their writing
    for kind, items in check_store.check_records(facts, store, FETCHED if fetched else COMPARED).faults.items():
        yield f"{kind}: {len(items)}, first {items[0]}"
    for key, fact in facts.items():
        if fetched and key in store and store[key].headers.get("rev", "") < fact.rev:
            yield f"{key}: of rev {store[key].headers.get('rev')}, which is before {fact.rev}"


def wrong_without_pds(a: check_accounts.Account, lost: str):
    """What no PDS gives any more stays desynchronised. Its later commits are applied; only the one of rev `lost` is
    missing."""
    if a.state.get("status") != "desynchronised" or not a.state.get("error"):
        yield f"status is {a.state.get('status')!r}, error {a.state.get('error')!r}; its PDS is gone"
    if a.state.get("tries", 0) < TRIES:
        yield f"its PDS was tried {a.state.get('tries', 0)} times"
    rev, begun = a.state.get("rev", ""), a.state.get("begun", "")
    store = {k: f for k, f in a.store.items() if f.live}
    if not store:
        yield "it has no records"
    for key, record in store.items():
        if key not in a.facts or record.headers.get("rev", "") > rev:
            yield f"{key}: of rev {record.headers.get('rev')}, and the account's newest is {rev}"
    for key, fact in a.facts.items():
        if not fact.live or fact.rev > rev or fact.rev == lost or is_before(begun, fact):
            continue
        if key not in store or store[key].headers.get("rev") != fact.rev:
            yield f"{key}: rev {fact.rev} is missing"


def differences(truth: check_accounts.Truth, mirror: check_accounts.Mirror, gone: Gone = NONE_GONE) -> dict:
    """By account: what is not yet as a mirror that repairs must have it."""
    out = {}
    for did, a in check_accounts.by_account(truth, mirror, set()).items():
        if texts := [*wrong_without_pds(a, gone[did])] if did in gone else [*wrong_state(a), *wrong_records(a)]:
            out[did] = texts
    for key in mirror.store:
        place = place_of(key)
        if not place or place.did not in truth.accounts:
            out.setdefault(key, []).append("a key of no account")
    return out


def page(wrong: dict[str, list[str]], truth: check_accounts.Truth, mirror: check_accounts.Mirror) -> str:
    """The first accounts that differ, for a person."""
    lines = [f"{len(wrong)} accounts differ, among them:"]
    for did in list(wrong)[:SHOWN]:
        state = mirror.states.get(did, {})
        faults = truth.accounts.get(did, {}).get("faults", [])
        lines.append(f"{did}: {state.get('status', 'no state')}, error {state.get('error', '')!r}, reasons "
                     f"{state.get('reasons', [])}, tries {state.get('tries', 0)}, faults {faults}")
        lines += [f"    {text}" for text in wrong[did][:SHOWN]]
    return "\n".join(lines)


class Battle:
    def __init__(self, rig: RepairRig, seed: int):
        self.rig, self.random = rig, random.Random(seed)
        of_process = ["ingest", "kv"] if seed % 2 else ["ingest,kv"]
        self.parts = [rig.recordkv(stages, name="recordkv-" + stages.replace(",", "-")) for stages in of_process]
        self.apart = len(self.parts) > 1
        self.suspended = False  # stage kv has been
        self.kills = 0
        self.gone: dict[str, str] = {}
        self.armed: list[tuple[str, str]] = []  # (kind, DID) of outages
        wait_for("accounts are known", lambda: len(self.fresh()) > 2 * len(OUTAGES), meanwhile=self.alive)

    def fresh(self) -> list[str]:
        """Accounts that are known, and that no fault has touched."""
        states = self.rig.states()
        return sorted(did for did, a in self.rig.accounts().items()
                      if a["status"] == "active" and not a["faults"]
                      and states.get(did, {}).get("status") == "synchronised")

    def alive(self) -> None:
        """A suspended process may lose its lease. It then ends, and its service manager starts it again."""
        for part in self.parts:
            if not part.running():
                if not (self.suspended and part is self.parts[-1]):
                    raise AssertionError(f"{part.name} ended by itself: {part.state()}")
                self.suspended = False
                part.start()

    def kill(self, part) -> None:
        self.alive()
        part.kill()
        self.kills += 1
        time.sleep(self.random.uniform(0, 0.4))  # what happens meanwhile is tried, no fact is waited for
        part.start()

    def arm_outages(self) -> None:
        """Each for an account of its own. An old copy wants some commits before that."""
        wait_for("accounts without a fault", lambda: len(self.fresh()) >= len(OUTAGES) + GONE + 1,
                 meanwhile=self.alive)
        chosen = self.random.sample(self.fresh(), len(OUTAGES) + GONE)
        for outage, did in zip(OUTAGES, chosen):
            self.rig.commit(did, 4)
            self.rig.control("pds", did=did, count=COUNT.get(outage["mode"], 2), **outage)
            self.armed.append(("pds_" + outage["mode"], did))
            self.lose_commit(did)
        for did in chosen[-GONE:]:
            self.rig.control("pds", did=did, mode="down")
            self.armed.append(("pds_down", did))
            self.gone[did] = self.lose_commit(did)

    def lose_commit(self, did: str) -> str:
        """A commit is missing before the next one, so the account's repo must be asked for. Returns its rev."""
        self.rig.control("fault", kind="gap", did=did)
        lost = self.rig.commit(did)
        self.rig.commit(did)
        return lost

    def fill_buffer(self) -> None:
        """Stage kv is suspended while it waits for a slow repo. The buffer fills meanwhile, and commits of that account
        are in it."""
        did = self.random.choice([did for did in self.fresh() if did not in self.gone])
        self.rig.control("pds", did=did, mode="slow", ms=3_000, count=1)
        self.lose_commit(did)
        wait_for("the repo is asked for", lambda: ("pds_slow", did) in self.met(), meanwhile=self.alive)
        kv = self.parts[-1]
        self.suspended = True
        kv.process.send_signal(signal.SIGSTOP)
        try:
            self.rig.commit(did, 3)
            wait_for("the buffer is full", self.is_full_after_more)
        finally:
            kv.process.send_signal(signal.SIGCONT)

    def is_full_after_more(self) -> bool:
        self.rig.control("emit", count=MAX_MSGS)
        return self.rig.stream("ingest")["messages"] == MAX_MSGS

    def run(self) -> None:
        """One kill comes among the network's own faults, and one among hosts that fail, while commits go on."""
        first = self.random.randint(EVENTS // 4, EVENTS // 2)
        wait_for(f"{first} events", lambda: self.rig.control("state")["emitted"] >= first, 60)
        self.kill(self.parts[0])
        self.rig.control("fault", kind="disconnect")
        while not self.rig.control("state")["finished"] or self.rig.control("faults")["armed"]:
            if self.rig.control("state")["finished"]:
                self.rig.control("emit", count=50)
            time.sleep(0.2)
        self.arm_outages()
        self.rig.control("emit", count=100)
        if self.apart:
            self.fill_buffer()
        time.sleep(self.random.uniform(0, 2))  # at any place of a repair
        self.kill(self.parts[-1])
        self.rig.control("emit", count=100)

    def finish(self) -> None:
        """No more faults, beside the hosts that are gone. One more commit of each account shows what is missing before
        it."""
        for did, a in self.rig.accounts().items():
            if a["status"] == "active":
                self.rig.commit(did)

    def met(self) -> list[tuple[str, str]]:
        """Kind and account of every fault that has happened."""
        return [(i["kind"], i["did"]) for i in self.rig.control("faults")["injected"]]

    def unmet(self) -> list[tuple[str, str]]:
        """Outages that too few requests have met."""
        met = self.met()
        return [one for one in self.armed if met.count(one) < NEEDED.get(one[0].removeprefix("pds_"), 2)]


def fight(seed: int) -> None:
    RepairTest().battle(seed)


class RepairTest(unittest.TestCase):
    def test_everything_is_repaired(self):
        with futures.ProcessPoolExecutor(AT_ONCE, initializer=die_with_parent) as pool:
            battles = {seed: pool.submit(fight, seed) for seed in range(SEEDS)}
            for seed, battle in battles.items():
                with self.subTest(seed=seed):
                    battle.result()

    def battle(self, seed: int) -> None:
        began = time.monotonic()
        plan = ",".join(f"{kind}=2" for kind in PLANNED)
        with RepairRig("--seed", seed, "--events", EVENTS, "--rate", RATE, "--accounts", ACCOUNTS, "--settled", 20,
                       "--records", 6, "--p256", 30, "--pds", 3, "--web", 4, "--wait-for-client", "--fault", plan,
                       **{"repos.mode": "live"}) as rig:
            battle = Battle(rig, seed)
            battle.run()
            battle.finish()
            self.wait_repaired(rig, battle)
            counts = rig.counts()
            print(f"seed {seed}: {time.monotonic() - began:.0f} s, {battle.kills} kills, {sum(counts.values())} "
                  f"faults: {counts}")
            self.assert_happened(battle, counts)

    def wait_repaired(self, rig: RepairRig, battle: Battle) -> None:
        """Until every account is what a mirror that repairs must reach, and a user is told of exactly those that
        can't be repaired."""
        told = ["nothing was compared"]

        def repaired() -> bool:
            if (stale := rig.stale()).keys() != battle.gone.keys():
                told[0] = f"{len(stale)} accounts are desynchronised, among them:\n" + "\n".join(
                    f"{did}: {s.get('error')!r}, reasons {s.get('reasons', [])}, tries {s.get('tries', 0)}"
                    for did, s in list(stale.items())[:SHOWN])
                return False
            truth, mirror = rig.truth(), rig.mirror()
            wrong = differences(truth, mirror, battle.gone)
            told[0] = page(wrong, truth, mirror)
            return not wrong and rig.drained()
        try:
            wait_for("everything is repaired", repaired, 120, every=1, meanwhile=battle.alive)
        except AssertionError as e:
            raise AssertionError(f"{e}\n{told[0]}") from None

    def assert_happened(self, battle: Battle, counts: dict) -> None:
        self.assertEqual({kind: counts.get(kind, 0) for kind in PLANNED if counts.get(kind, 0) < 2}, {})
        self.assertEqual(battle.rig.control("faults")["armed"], {})
        self.assertEqual(battle.unmet(), [], "outages of PDS hosts that no request met")
        for kind in ("reactivated", "disconnect"):
            self.assertGreater(counts.get(kind, 0), 0, kind)
        self.assertEqual(battle.kills, 2)


if __name__ == "__main__":
    unittest.main()
