"""What can't be applied deletes nothing and leaves a trace: its account, by reason and host.

Owns: the whole way from a source that sends flawed events to the store, the account's state, the metrics and `status`.
Does not know: the decoders' corners; the unit and stage tests have them.
"""

import base64
import hashlib
import json
import unittest

from fake_source import (LIKE, FakeSource, as_bytes, commit_frame, commit_payload, did, frame, jetstream_event, like,
                         link, now_us, tid)
from rig import Rig, answer, free_port, wait_for
import dag_cbor  # from test/oracle, which fake_source has put into the path
import nats_wire


def rig_for(source: FakeSource, kind: str, **settings) -> Rig:
    return Rig(**{"source.kind": kind, "source.url": source.url, "source.start": "oldest", "index.views": [],
                  **settings})


def status(rig: Rig) -> dict:
    return json.loads(rig.command("status", "--json").stdout)


def state_of(rig: Rig, account: str) -> dict:
    for m in states(rig):
        if m["did"] == account:
            return m
    return {}


def states(rig: Rig) -> list:
    out, seq = [], 1
    while True:
        try:
            m = rig.api("STREAM.MSG.GET.KV_repo", seq=seq, next_by_subj="$KV.repo.>")["message"]
        except nats_wire.Failure:
            return out
        seq = m["seq"] + 1
        value = json.loads(base64.b64decode(m.get("data", "")) or "{}")
        if "did" in value:
            out.append(value)


def cid_of(raw: bytes) -> str:
    return "b" + base64.b32encode(b"\x01\x71\x12\x20" + hashlib.sha256(raw).digest()).decode().lower().rstrip("=")


def value_of(rig: Rig, account: str, rkey: str):
    return rig.command("get", f"at://{account}/{LIKE}/{rkey}")


class Flaws(unittest.TestCase):
    def test_a_record_that_is_not_there_is_not_deleted(self):
        """B: an update whose block is missing over the firehose."""
        account, rkey = did(1), "a"

        def script(client):
            client.binary(commit_frame(account, 1, [("create", f"{LIKE}/{rkey}", like(1))]))
            payload = commit_payload(account, 2, [("update", f"{LIKE}/{rkey}", like(2))])
            whole = base64.b64decode(payload["blocks"]["$bytes"] + "==")
            record = dag_cbor.encode(like(2))
            at = whole.index(record) - 36 - len(b"\x00\x00")  # two bytes of length, then the CID
            payload["blocks"] = as_bytes(whole[:at])
            client.binary(frame("#commit", payload))
            client.stay()

        with FakeSource(script) as source, rig_for(source, "firehose") as rig:
            rig.nats()
            rig.recordkv("ingest,kv")
            wait_for("both commits are settled", lambda: rig.report("kv").get("commits") == 2, 30)
            wait_for("the account is marked", lambda: "missing_block" in state_of(rig, account).get("reasons", []), 10)
            got = value_of(rig, account, rkey)
            self.assertEqual(json.loads(got.stdout), like(1))
            self.assertEqual(rig.report("kv")["deleted"], 0)
            self.assertEqual(status(rig)["accounts_stale_by_reason"].get("missing_block"), 1)
            self.assertIn("127.0.0.1", state_of(rig, account)["error"])

    def test_jetstream_records_that_are_missing_or_do_not_fit_their_cid(self):
        """B and D: each flawed update leaves the old value, and marks its account with the reason."""
        of_float = {"1.0": "fb3ff0000000000000", "1e3": "fb408f400000000000", "-0.0": "fb8000000000000000"}
        cases = {n: (record, reason) for n, (record, reason) in enumerate([
            ("1.0", "cid_mismatch"), ("1e3", "cid_mismatch"), ("-0.0", "cid_mismatch"), ("1.5", "float"),
            (None, "missing_block"), ("null", "missing_block")])}

        def event(n):
            number, _ = cases[n]
            e = jetstream_event(did(n), "a", {"n": 0}, operation="update")
            if number is None:
                del e["commit"]["record"]
            elif number == "null":
                e["commit"]["record"] = None
            else:
                raw = bytes.fromhex("a1616e" + of_float.get(number, "fb3ff8000000000000"))
                e["commit"]["cid"] = cid_of(raw)
                return json.dumps(e).replace('"record": {"n": 0}', f'"record": {{"n": {number}}}')
            return json.dumps(e)

        def script(client):
            for n in cases:
                client.text(jetstream_event(did(n), "a", like(n)))
                client.text(event(n))
            client.stay()

        port = free_port()
        with FakeSource(script) as source, rig_for(source, "jetstream", **{"http.listen": f"127.0.0.1:{port}"}) as rig:
            rig.nats()
            process = rig.recordkv("ingest,kv")
            wait_for("all is settled", lambda: rig.report("kv").get("commits") == 2 * len(cases) and rig.drained(), 30)
            wait_for("all are marked", lambda: status(rig)["accounts_maybe_stale"] == len(cases), 20)
            self.assertEqual(status(rig)["accounts_stale_by_reason"],
                             {"cid_mismatch": 3, "float": 1, "missing_block": 2})
            for n in cases:
                self.assertEqual(json.loads(value_of(rig, did(n), "a").stdout), like(n), cases[n])
            lines = [line for line in process.text().splitlines() if "skipped for cid_mismatch" in line]
            self.assertEqual(len(lines), 1, "once per collection and minute")
            self.assertIn(LIKE, lines[0])
            metrics = answer(port, "/metrics")[1]
            self.assertRegex(metrics,
                             r'recordkv_account_faults_total\{[^}]*host="127\.0\.0\.1[^"]*",reason="cid_mismatch"\} 3')

    def test_events_that_cannot_be_applied_mark_their_accounts(self):
        """C: the firehose's list, and a host that leaves out what is not needed."""
        def flawed(n):
            seq, path, at = 100 + n, f"{LIKE}/a", now_us()
            whole = lambda **more: commit_frame(did(n), seq, [("create", path, like(n))], **more)
            return [
                lambda: whole(since=link(dag_cbor.cid({}))),
                lambda: commit_frame(did(n), seq, [("create", path, like(n)), ("create", path, like(n))]),
                lambda: commit_frame(did(n), seq, [("create", f"{LIKE}/r{i}", {"n": i}) for i in range(201)]),
                lambda: frame("#commit", commit_payload(did(n), seq,
                                                        [("create", path, like(n))]) | {"rev": tid(at - 5000)}),
                lambda: whole(blocks=...),
            ][n - 1]()

        def script(client):
            for n in range(1, 6):
                client.binary(flawed(n))
            for n in range(20):  # no `since`, no `tooBig`, and a delete without `cid`
                payload = commit_payload(did(50 + n), 200 + n, [("create", f"{LIKE}/a", like(n))], since=...,
                                         tooBig=...)
                client.binary(frame("#commit", payload))
            gone = commit_payload(did(80), 300, [("delete", f"{LIKE}/a", None)])
            del gone["ops"][0]["cid"]
            client.binary(frame("#commit", gone))
            client.stay()

        with FakeSource(script) as source, rig_for(source, "firehose") as rig:
            rig.nats()
            rig.recordkv("ingest,kv")
            wait_for("what can be applied is", lambda: rig.report("kv").get("commits") == 21 and rig.drained(), 30)
            self.assertEqual(rig.report("kv")["written"], 20)
            self.assertEqual(rig.report("kv")["deleted"], 1)
            wait_for("five accounts are marked", lambda: status(rig)["accounts_maybe_stale"] == 5, 20)
            self.assertEqual(status(rig)["accounts_stale_by_reason"],
                             {"since": 1, "duplicate_path": 1, "ops": 1, "rev_mismatch": 1, "blocks": 1})
            self.assertIn("may be stale: blocks 1, ", rig.command("status").stdout)

    def test_frames_out_of_place(self):
        """C: one that comes a place late, the second of one number, and what is no more than a repetition."""
        first = now_us()

        def one(n, seq, at):
            return commit_frame(did(n), seq, [("create", f"{LIKE}/{tid(at)}", like(at))], time_us=at)

        frames = [one(1, 1, first), one(3, 3, first), one(2, 2, first), one(4, 3, first + 1),  # late, and a second 3
                  one(5, 5, first + 10), one(5, 4, first)]  # one account's own two, the wrong way round

        def script(client):
            for f in frames + frames[:3] + [one(9, 9, first)]:
                client.binary(f)
            client.stay()

        with FakeSource(script) as source, rig_for(source, "firehose") as rig:
            rig.nats()
            rig.recordkv("ingest,kv")
            wait_for("all is settled", lambda: rig.report("kv").get("commits") == 6 and rig.drained(), 30)
            self.assertEqual(rig.report("kv")["written"], 6)
            wait_for("one is marked", lambda: status(rig)["accounts_maybe_stale"] == 1, 20)
            self.assertEqual(state_of(rig, did(5))["reasons"], ["late"])
            self.assertEqual(len(source.clients), 1)

    def test_malformed_dids_are_no_new_kinds(self):
        bad = ["did", "DID:plc:abc", "did:PLC:abc", "did:plc:", "did:plc:a b", "did:plc:a/b", "did:plc:a#b", "plc:abc",
               "did:m123:val"]

        def script(client):
            for n, account in enumerate(bad):
                client.text(jetstream_event(account, f"a{n}", like(n)))
            client.text(jetstream_event(did(1), "a", like(1)))
            client.stay()

        with FakeSource(script) as source, rig_for(source, "jetstream") as rig:
            rig.nats()
            rig.recordkv("ingest,kv")
            wait_for("the good one is stored", lambda: rig.report("kv").get("written") == 1, 30)
            wait_for("they are counted", lambda: rig.report("ingest")["counted"].get("skipped bad_did") == len(bad), 10)
            self.assertNotIn("skipped unknown", rig.report("ingest")["counted"])


if __name__ == "__main__":
    unittest.main()
