"""Promise: repos.mode says whose records are in the store, those from before recordkv began included. Lists are read
while commits go on, and recordkv is killed in between; at the end the store is the truth of exactly those accounts.

Owns: the modes list, signal and all against a network that has had records before. Does not know: how lists are read.
"""

import unittest

from rig import wait_for
from test_repair import FETCHED, RepairRig
import check_store  # from test/oracle, which rig has put into the path

LIKE, FOLLOW = "app.bsky.feed.like", "app.bsky.graph.follow"
SOME = ("--seed", 3, "--events", 300, "--rate", 150, "--accounts", 80, "--settled", 60, "--records", 12, "--pds", 3,
        "--web", 2, "--wait-for-client")


def of_uri(uri: str) -> tuple[str, str]:
    _, _, did, collection, _ = uri.split("/")
    return did, collection


class FollowRig(RepairRig):
    def wanted(self, dids: set, collection: str | None) -> dict:
        return {key: f for key, f in self.truth().facts.items()
                if f.live and of_uri(f.uri)[0] in dids and collection in (None, of_uri(f.uri)[1])}

    def live_store(self) -> dict:
        return {key: found for key, found in self.mirror().store.items() if found.live}

    def with_record_of(self, collection: str) -> set:
        accounts = self.accounts()
        return {of_uri(f.uri)[0] for f in self.truth().facts.values()
                if f.live and of_uri(f.uri)[1] == collection and accounts[of_uri(f.uri)[0]]["status"] == "active"}

    def lists(self) -> dict:
        return self.report("kv").get("lists", {})

    def emitted_all(self) -> bool:
        return self.control("state")["finished"] and self.drained()

    def faults(self, dids: set, collection: str | None) -> list:
        facts, store = self.wanted(dids, collection), self.live_store()
        found = [f"{kind}: {len(items)}, first {items[0]}"
                 for kind, items in check_store.check_records(facts, store, FETCHED).faults.items()]
        return found + [f"{key} is of nobody who is followed" for key in store if key not in facts][:3]


class FollowTest(unittest.TestCase):
    def wait_equal(self, rig: FollowRig, dids_of, collection: str | None) -> None:
        told = ["nothing was compared"]

        def equal() -> bool:
            dids, states = dids_of(), rig.states()
            open_ones = [d for d in dids if states.get(d, {}).get("status") != "synchronised"
                         or not states[d].get("complete")]
            told[0] = f"{len(open_ones)} of {len(dids)} are not complete, among them {open_ones[:3]}"
            if open_ones or not rig.emitted_all():
                return False
            told[0] = "\n".join(rig.faults(dids, collection))
            return not told[0]
        try:
            wait_for("the store is the truth of those who are followed", equal, 120, every=0.5)
        except AssertionError as e:
            raise AssertionError(f"{e}\n{told[0]}") from None

    def killed_while_it_reads(self, rig: FollowRig, kills: int = 2) -> None:
        part = rig.recordkv("ingest,kv", name="recordkv")
        for n in range(1, kills + 1):
            wait_for(f"{5 * n} accounts have a state", lambda n=n: len(rig.states()) >= 5 * n)
            part.kill()
            part.start()

    def test_signal(self):
        with FollowRig(*SOME, **{"repos.mode": "signal", "repos.signal_collection": FOLLOW,
                                 "source.collections": [LIKE]}) as rig:
            at_first = rig.with_record_of(FOLLOW)
            self.killed_while_it_reads(rig)

            def followed() -> set:
                return {did for did, s in rig.states().items() if s.get("followed")} | at_first
            self.wait_equal(rig, followed, LIKE)
            self.assertGreaterEqual(followed(), rig.with_record_of(FOLLOW), "who writes such a record is followed")
            self.assertLess(len(followed()), len(rig.accounts()), "all accounts have the signal: nothing was tried")
            self.assertTrue(rig.lists()["finished"])
            self.assertIn(f"the accounts with {FOLLOW} of http://127.0.0.1:", rig.command("status").stdout)

    def all_of(self, **settings) -> None:
        with FollowRig(*SOME, **{"repos.mode": "all", **settings}) as rig:
            self.killed_while_it_reads(rig)

            def active() -> set:
                return {did for did, a in rig.accounts().items() if a["status"] == "active" and a["rev"]}
            self.wait_equal(rig, active, None)
            wait_for("the lists are read to their end", lambda: rig.lists().get("finished"))

    def test_all_of_the_relay(self):
        self.all_of()

    def test_all_of_each_host(self):
        self.all_of(**{"repos.each_host": True})

    def test_a_list_and_nobody_else(self):
        with FollowRig(*SOME) as rig:
            dids = sorted(rig.with_record_of(LIKE))
            first, added = set(dids[:5]), dids[5]
            rig.settings |= {"repos.mode": "list", "repos.dids": sorted(first)}
            rig.recordkv("ingest,kv", name="recordkv")
            self.wait_equal(rig, lambda: first, None)
            done = rig.command("repo", "add", added)  # beside the list
            self.assertEqual(done.returncode, 0, done.stderr)
            self.wait_equal(rig, lambda: first | {added}, None)
            self.assertEqual(set(rig.states()), first | {added})

    def test_a_relay_without_lists(self):
        """The stage works on, and says what is wrong; once there are lists, they are read."""
        with FollowRig(*SOME, **{"repos.mode": "all", "repos.list_host": "http://127.0.0.1:1"}) as rig:
            part = rig.recordkv("ingest,kv", name="recordkv")
            wait_for("status says that the lists can't be read",
                     lambda: "http://127.0.0.1:1: listRepos" in rig.command("status").stdout)
            wait_for("live accounts are followed all the same", lambda: len(rig.states()) > 5)
            part.kill()
            del rig.settings["repos.list_host"]
            rig.write_config()
            part.start()
            self.wait_equal(rig, lambda: {did for did, a in rig.accounts().items()
                                          if a["status"] == "active" and a["rev"]}, None)


if __name__ == "__main__":
    unittest.main()
