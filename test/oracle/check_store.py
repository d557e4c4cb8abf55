#!/usr/bin/env python3
"""Is a record store what the ground truth says, key by key?

Owns: the fold of a store, its comparison with recordkv-sim's truth file, and of a likes table with the store.
Does not know: how the store came about; it shares no code with what wrote it.

Example: check_store.py --url nats://127.0.0.1:4222 --truth truth.tsv --sqlite likes.db --wait 30
Exit codes: 0 equal, 1 different, 2 wrong usage, 3 NATS unreachable or no such bucket.
"""

import argparse
import re
import sys
import time
from datetime import datetime, timezone
from typing import NamedTuple

import dag_cbor
import likes_table
import nats_wire
from json_value import same, value_of

SHOWN = 20


class Fact(NamedTuple):
    """What the truth says about one key."""

    live: bool
    uri: str
    cid: str
    rev: str
    op: str
    time_us: int
    record: str


class Found(NamedTuple):
    """The last message of one key."""

    headers: dict
    payload: bytes
    seq: int

    @property
    def live(self) -> bool:
        return self.headers.get("KV-Operation") not in ("DEL", "PURGE")


def same_record(payload: bytes, record: str) -> bool:
    if payload == record.encode():
        return True
    try:
        return same(value_of(payload), value_of(record))
    except ValueError:
        return False


def cid_of(payload: bytes) -> str:
    try:
        return dag_cbor.cid(value_of(payload))
    except ValueError as e:
        return f"none, {e}"


def wanted(collection: str, filters: list[str]) -> bool:
    return not filters or any(
        collection == f or f == "*" or (f.endswith(".*") and collection.startswith(f[:-1])) for f in filters)


def read_truth(path: str, filters: list[str]) -> dict[str, Fact]:
    facts = {}
    with open(path, encoding="utf-8", newline="\n") as lines:
        for line in lines:
            if line.startswith("#"):
                continue
            key, state, uri, cid, rev, op, time_us, record = line.rstrip("\n").split("\t")
            if wanted(uri.split("/")[3], filters):
                facts[key] = Fact(state == "live", uri, cid, rev, op, int(time_us), record)
    return facts


def streams_of(nats: nats_wire.Connection, bucket: str) -> list[str]:
    names = nats.api("STREAM.NAMES", subject=f"$KV.{bucket}.>")["streams"]
    if not names:
        raise nats_wire.Failure(f"no stream holds the bucket {bucket}")
    return sorted(names)


def state_of(nats: nats_wire.Connection, streams: list[str]) -> list:
    infos = [nats.api(f"STREAM.INFO.{name}") for name in streams]
    return [(i["created"], i["state"]["first_seq"], i["state"]["last_seq"], i["state"]["messages"]) for i in infos]


def read_store(url: str, bucket: str, streams: list[str]) -> dict[str, Found]:
    """The last message of each key."""
    prefix = len(f"$KV.{bucket}.")
    found = {}
    for stream in streams:
        for subject, headers, payload, seq in nats_wire.read_stream(url, stream, f"$KV.{bucket}.>"):
            found[subject[prefix:]] = Found(headers, payload, seq)
    return found


def microseconds(rfc3339: str) -> tuple[int, int] | None:
    """Unix microseconds and how many of them one unit of the last digit is."""
    m = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z", rfc3339)
    if not m:
        return None
    seconds = int(datetime.fromisoformat(m[1]).replace(tzinfo=timezone.utc).timestamp())
    digits = (m[2] or "")[:6]
    return seconds * 1_000_000 + int(digits.ljust(6, "0")), 10 ** (6 - len(digits))


def header_faults(fact: Fact, found: Found):
    expected = {"op": fact.op, "rev": fact.rev}
    if fact.live:
        expected["cid"] = fact.cid
    for name, value in expected.items():
        if found.headers.get(name) != value:
            yield f"header {name} is {found.headers.get(name)!r}, expected {value!r}"
    if not fact.live and found.headers.get("cid"):
        yield "a delete has a header cid"
    told = microseconds(found.headers.get("time", ""))
    if told is None or abs(fact.time_us - told[0]) >= told[1]:
        yield f"header time is {found.headers.get('time')!r}, expected {fact.time_us} µs"


def delete_fault(found: Found) -> str:
    if found.headers.get("KV-Operation") != "DEL":
        return f"KV-Operation is {found.headers.get('KV-Operation')!r}, only DEL is allowed"
    return "a delete has a payload" if found.payload else ""


class Report:
    def __init__(self):
        self.faults: dict[str, list[str]] = {}
        self.notes: dict[str, int] = {}

    def add(self, kind: str, text: str) -> None:
        self.faults.setdefault(kind, []).append(text)

    def note(self, kind: str, count: int = 1) -> None:
        self.notes[kind] = self.notes.get(kind, 0) + count

    def print(self, out) -> None:
        for kind, items in self.faults.items():
            print(f"{kind}: {len(items)}", file=out)
            for item in items[:SHOWN]:
                print(f"  {item}", file=out)
        counts = ", ".join(f"{name} {count}" for name, count in self.notes.items())
        print(("DIFFERENT: " if self.faults else "EQUAL: ") + counts, file=out)


def check_found(report: Report, key: str, fact: Fact | None, found: Found, args) -> None:
    where = f"{key} (seq {found.seq})"
    if not found.live and (fault := delete_fault(found)):
        report.add("bad delete", f"{where}: {fault}")
    if fact is None:
        report.add("extra", f"{where}: {found.payload[:80]!r}")
        return
    if found.live and not fact.live:
        report.add("resurrected", f"{where}: deleted at rev {fact.rev}, the store has rev {found.headers.get('rev')}")
        return
    if fact.live and not found.live:
        report.add("missing", f"{where}: deleted in the store at rev {found.headers.get('rev')}, live at {fact.rev}")
        return
    if fact.live and not same_record(found.payload, fact.record):
        rev = found.headers.get("rev")
        report.add("different", f"{where}: rev {rev}, expected {fact.rev}: {found.payload[:120]!r}")
    if not args.no_headers:
        for fault in header_faults(fact, found):
            report.add("header", f"{where}: {fault}")
    if args.cids and fact.live and (true := cid_of(found.payload)) != found.headers.get("cid"):
        report.add("cid", f"{where}: the value's is {true}, the header's {found.headers.get('cid')}")


def check_records(facts: dict[str, Fact], store: dict[str, Found], args) -> Report:
    report = Report()
    for key, found in store.items():
        check_found(report, key, facts.get(key), found, args)
    for key, fact in facts.items():
        if fact.live and key not in store:
            report.add("missing", f"{key}: {fact.op} at rev {fact.rev}")
    report.note("live keys", sum(f.live for f in store.values()))
    report.note("delete markers", sum(not f.live for f in store.values()))
    report.note("deleted without marker", sum(not f.live and k not in store for k, f in facts.items()))
    return report


def check(args) -> Report:
    """Checks, and with --wait goes on until all is equal or the time is over."""
    facts = read_truth(args.truth, args.collection)
    deadline = time.monotonic() + args.wait
    seen, read, store, report = None, None, {}, Report()
    while True:
        try:
            with nats_wire.Connection(args.url) as nats:
                streams = streams_of(nats, args.bucket)
                while (state := state_of(nats, streams)) != seen and time.monotonic() < deadline:
                    seen = state  # reading a store that is still being filled would only slow the filling
                    time.sleep(0.3)
            if state != read:
                store, read = read_store(args.url, args.bucket, streams), state
            report = check_records(facts, store, args)
            if args.sqlite:
                likes_table.check(report, store, args.sqlite)
        except nats_wire.Failure:
            if time.monotonic() >= deadline:
                raise
            report.add("unreachable", "")
        if not report.faults or time.monotonic() >= deadline:
            return report
        time.sleep(0.5)


def main(argv: list[str], out=sys.stdout) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="nats://127.0.0.1:4222")
    parser.add_argument("--truth", required=True, help="file written by recordkv-sim --truth")
    parser.add_argument("--bucket", default="record")
    parser.add_argument("--collection", action="append", default=[], help="only these: NSID, prefix.* or *; repeatable")
    parser.add_argument("--sqlite", help="also compare table likes of this database with the store")
    parser.add_argument("--wait", type=float, default=0, help="seconds to wait for equality")
    parser.add_argument("--no-headers", action="store_true", help="for stores whose writer sets none")
    parser.add_argument("--cids", action="store_true", help="compute the CID of every value")
    args = parser.parse_args(argv)
    try:
        report = check(args)
    except nats_wire.Failure as e:
        print(f"check_store: {e}", file=sys.stderr)
        return 3
    report.print(out)
    return 1 if report.faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
