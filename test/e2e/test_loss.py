"""Promise: what NATS has taken back, and what the source has left out, is noticed, said and repaired, also for accounts
that never commit again. At the end the store is the truth, and the likes table the fold of the store.

Owns: setting NATS back to an older copy, while recordkv runs and while it is stopped; a relay whose window moved on.
Does not know: how a loss is noticed (nats/lost_writes) and marked (stages/kv).
"""

import base64
import contextlib
import json
import os
import re
import shutil
import sqlite3
import unittest

from rig import answer, free_port, wait_for
from swallowing_proxy import SwallowingProxy
from test_repair import RepairRig, differences, page
import check_store  # from test/oracle, which rig has put into the path
import likes_table

ACCOUNTS, RATE = 40, 150


class LossRig(RepairRig):
    def __init__(self, *options, **settings):
        self.http = free_port()
        super().__init__("--rate", RATE, "--accounts", ACCOUNTS, "--settled", 100, "--records", 6, "--pds", 2,
                         "--wait-for-client", *options,
                         **{"repos.mode": "live", "http.listen": f"127.0.0.1:{self.http}",
                            "index.views": [os.path.join(os.path.dirname(__file__), "..", "..", "config", "views",
                                                         "likes.toml")], **settings})

    def streams(self, *names: str) -> str:
        return self.path("nats", "jetstream", "$G", "streams", *names)

    def copy(self) -> None:
        """How NATS's disk stands now."""
        self.parts["nats"].kill()
        shutil.copytree(self.streams(), self.path("copy"))
        self.start_nats()

    def set_back(self, names: list[str] | None = None) -> None:
        self.parts["nats"].kill()
        for name in names or os.listdir(self.streams()):
            shutil.rmtree(self.streams(name))
        for name in names or os.listdir(self.path("copy")):
            shutil.copytree(self.path("copy", name), self.streams(name))
        self.start_nats()

    def start_nats(self) -> None:
        self.parts["nats"].start()
        self.wait_nats()

    def everyone_commits(self) -> dict[str, str]:
        """Each active account writes a post. Returns the revs."""
        return {did: self.commit(did) for did, a in self.accounts().items() if a["status"] == "active"}

    def level(self, revs: dict[str, str]) -> None:
        def arrived() -> bool:
            states = self.states()
            return self.drained() and all(states.get(did, {}).get("rev", "") >= rev for did, rev in revs.items())
        wait_for("all commits are stored", arrived, 60, every=0.3)

    def said(self, words: str) -> list[str]:
        return [line for line in self.parts["recordkv"].text().splitlines() if re.search(words, line)]

    def after_loss(self) -> dict:
        return next(s["after_loss"] for s in self.status()["stages"] if s.get("stage") == "kv")

    def wait_repaired(self) -> None:
        told = ["nothing was compared"]

        def repaired() -> bool:
            if stale := self.stale():
                told[0] = "\n".join(f"{did}: {s.get('error')!r} {s.get('reasons')}"
                                    for did, s in list(stale.items())[:5])
                return False
            truth, mirror = self.truth(), self.mirror()
            wrong = differences(truth, mirror)
            told[0] = page(wrong, truth, mirror)
            return not wrong and self.drained()
        try:
            wait_for("everything is repaired", repaired, 90, every=1)
        except AssertionError as e:
            raise AssertionError(f"{e}\n{told[0]}") from None

    def wait_generation(self) -> None:
        """The live build is of the store's present generation."""
        def same() -> bool:
            meta = json.loads(base64.b64decode(self.api("STREAM.MSG.GET.KV_repo",
                                                        last_by_subj="$KV.repo.meta")["message"]["data"]))
            with contextlib.closing(sqlite3.connect(self.path("state", "likes.db"))) as database:
                built = database.execute("SELECT generation FROM recordkv_builds WHERE live").fetchall()
            return built == [(meta["generation"],)]
        wait_for("the view is of the store's generation", same, 60, every=0.5)

    def wait_view(self) -> None:
        """The likes table is the fold of the store."""
        told = [""]

        def equal() -> bool:
            report = check_store.Report()
            store = check_store.read_store(self.url, "record", ["KV_record"])
            likes_table.check(report, store, self.path("state", "likes.db"))
            told[0] = str({kind: items[:3] for kind, items in report.faults.items()})
            return not report.faults
        try:
            wait_for("the view follows", equal, 60, every=0.5)
        except AssertionError as e:
            raise AssertionError(f"{e}\n{told[0]}") from None


class TakenBackTest(unittest.TestCase):
    """The network has made its events and is silent from then on: nothing but the loss itself shows what is lost."""

    def begin(self, rig: LossRig) -> None:
        rig.recordkv(name="recordkv")
        self.lose_writes(rig)

    def lose_writes(self, rig: LossRig) -> None:
        """What is written after the copy will be lost when NATS is set back."""
        wait_for("half of the events", lambda: rig.control("state")["emitted"] >= 300, 60)
        rig.level(rig.everyone_commits())
        rig.copy()
        wait_for("all events", lambda: rig.control("state")["finished"], 60)
        rig.level(rig.everyone_commits())
        rig.wait_view()

    def end(self, rig: LossRig) -> None:
        rig.wait_repaired()
        rig.wait_view()
        self.assertTrue(rig.parts["recordkv"].running(), rig.parts["recordkv"].state())

    def restart_nats(self, rig: LossRig) -> None:
        rig.parts["nats"].kill()
        rig.start_nats()
        rig.level(rig.everyone_commits())
        self.end(rig)

    def test_a_store_is_set_back_while_recordkv_is_stopped(self):
        with LossRig("--seed", 1, "--events", 600) as rig:
            self.begin(rig)
            self.assertEqual(rig.parts["recordkv"].stop(), 0)
            rig.set_back(["KV_record"])
            rig.parts["recordkv"].start()
            self.end(rig)
            self.assert_repaired(rig)

    def test_a_store_is_set_back_under_recordkv(self):
        with LossRig("--seed", 2, "--events", 600) as rig:
            self.begin(rig)
            rig.set_back(["KV_record"])
            self.end(rig)
            self.assert_repaired(rig)
            self.assertEqual(len(rig.said("the stage begins again")), 1)
            rig.wait_generation()
            rebuilt = len(rig.said("rebuilding"))
            self.restart_nats(rig)
            self.assertEqual(len(rig.said("rebuilding")), rebuilt)

    def assert_repaired(self, rig: LossRig) -> None:
        told = rig.said("NATS has taken back writes")
        self.assertEqual(len(told), 1, told)
        self.assertRegex(told[0], r"from sequence \d+ on, in \d+ partitions?: \d+ accounts are marked \(taken_back\)")
        marked = int(re.search(r"(\d+) accounts are marked", told[0])[1])
        wait_for("the count", lambda: rig.after_loss()["waiting"] == 0)
        loss = rig.after_loss()
        self.assertEqual((loss["checked"], loss["resynced"]), (marked, marked))
        self.assertGreater(loss["records_differed"], 0)
        self.assertRegex(rig.said("the repair after a loss is done")[-1],
                         rf"{marked} accounts checked, {marked} resynced, \d+ records differed")
        self.assertIn(f"{marked} accounts checked, {marked} resynced", rig.command("status").stdout)
        self.assertRegex(answer(rig.http, "/metrics")[1],
                         rf'(?m)^recordkv_after_loss_total\{{.*reason="checked".*\}} {marked}$')

    def test_all_of_nats_is_set_back_under_recordkv(self):
        """States and store agree, and the source is read again from the older cursor."""
        with LossRig("--seed", 3, "--events", 600) as rig:
            self.begin(rig)
            rig.set_back()
            self.end(rig)
            self.assertEqual(rig.said("NATS has taken back writes"), [])
            self.assertEqual(len(rig.said("NATS was set back together with the accounts' states")), 1)

    def test_what_is_read_again_stays_in_the_buffer_until_the_store_was_asked(self):
        """To the states in memory it is a repetition. In NATS, which was set back, it is news."""
        with LossRig("--seed", 6, "--events", 600) as rig, SwallowingProxy(rig.nats_port) as proxy:
            rig.recordkv("ingest,index", name="others")
            rig.recordkv("kv", name="recordkv",
                         sets=(f"nats.url=nats://127.0.0.1:{proxy.port}", f"http.listen=127.0.0.1:{free_port()}"))
            self.lose_writes(rig)
            proxy.swallow(r"STREAM\.INFO\.KV_(record|repo)$")
            rig.set_back()
            wait_for("two questions", lambda: len(proxy.swallowed) >= 2, 60)
            wait_for("what is read again", lambda: rig.status()["buffer"]["messages"] > 0)
            proxy.swallow(None)
            self.end(rig)
            self.assertEqual(len(rig.said("NATS was set back together with the accounts' states")), 1)

    def test_a_plain_restart_of_nats_marks_nothing_and_rebuilds_nothing(self):
        with LossRig("--seed", 4, "--events", 600) as rig:
            self.begin(rig)
            self.restart_nats(rig)
            self.assertEqual(rig.said("taken back|begins again|set back|rebuilding"), [])


class SourceGapTest(unittest.TestCase):
    def test_accounts_that_are_silent_after_a_gap_are_asked_about(self):
        with LossRig("--seed", 5, "--events", 100, "--window", 100) as rig:
            rig.recordkv("ingest,kv,index", name="recordkv")
            wait_for("all events", lambda: rig.control("state")["finished"], 60)
            revs = rig.everyone_commits()
            rig.level(revs)
            # A cursor in front of the gap is what makes it one.
            wait_for("the cursor", lambda: rig.report("ingest").get("cursor", 0) >= rig.control("state")["seq"] - 1)
            self.assertEqual(rig.parts["recordkv"].stop(), 0)
            silent = sorted(revs)[:ACCOUNTS // 2]
            lost = {did: rig.commit(did, 3) for did in silent}  # the relay will have forgotten these
            loud = [did for did in revs if did not in lost]
            for did in loud[:4]:
                rig.commit(did, 300)  # the relay keeps the last mebibyte or two
            rig.parts["recordkv"].start()
            wait_for("the gap", lambda: rig.status()["gaps"], 30)
            rig.wait_repaired()
            rig.wait_view()
            for did, rev in lost.items():
                self.assertEqual(rig.states()[did]["rev"], rev)
            wait_for("the count", lambda: rig.after_loss()["checked"] and not rig.after_loss()["waiting"])
            loss = rig.after_loss()
            self.assertEqual(loss["checked"], len(revs))
            self.assertGreaterEqual(loss["resynced"], len(silent))
            self.assertLess(loss["resynced"], len(revs))  # most have missed nothing
            self.assertGreaterEqual(loss["records_differed"], 3 * len(silent))
            self.assertTrue(rig.said("the repair after a loss is done"))
            before = len(rig.said("the source had a gap"))
            self.assertGreaterEqual(before, 1)
            rig.parts["recordkv"].stop()
            rig.parts["recordkv"].start()
            rig.level(rig.everyone_commits())
            self.assertEqual(len(rig.said("the source had a gap")), before)  # it was dealt with


if __name__ == "__main__":
    unittest.main()
