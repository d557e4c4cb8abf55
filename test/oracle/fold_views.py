#!/usr/bin/env python3
"""Are the shipped views exactly the fold of the store: every row, every counter, every record that does not fit?

Owns: the fold of a store into the views of view_rows.py, and its comparison with SQLite or PostgreSQL.
Does not know: view files as a program would read them; it shares no code with what wrote the tables.

Example: fold_views.py --url nats://127.0.0.1:4222 --database recordkv-data/views.db --wait 30
Exit codes: 0 equal, 1 different, 2 wrong usage, 3 NATS or database unreachable, or no such bucket.
"""

import argparse
import collections
import sys
import time
from typing import NamedTuple

import nats_wire
import view_tables
from check_store import read_store, state_of, streams_of
from record_place import place_of
from view_rows import VIEWS, Added, Misfit, View, parsed, same_cell

SHOWN = 20
SHIPPED = list(VIEWS)


class Verdict(NamedTuple):
    differences: list
    rows: dict      # view -> how many the store amounts to
    rejects: dict

    def text(self) -> str:
        counts = ", ".join(f"{view} {n} rows and {self.rejects[view]} rejects" for view, n in self.rows.items())
        return ("DIFFERENT: " if self.differences else "EQUAL: ") + counts


class Fold(NamedTuple):
    rows: dict     # key of the table -> cells of the other columns
    rejects: dict  # uri -> sequence


def fold(store: dict, view: View) -> Fold:
    rows, rejects = {}, {}
    for key, found in store.items():
        place = place_of(key)
        if place is None or not found.live or not view.wants(place.collection):
            continue
        try:
            made = view.rows(parsed(found.payload), place, found.headers)
        except Misfit:
            rejects[place.uri] = found.seq
            continue
        for index, row in enumerate(made):
            rows[(*place, index) if view.many else tuple(place)] = row
    return Fold(rows, rejects)


def compare(view: View, expected: Fold, got: view_tables.Tables) -> list:
    out = []
    key = ["did", "collection", "rkey", *(["idx"] if view.many else [])]
    columns = key + [name for name, _ in view.columns]
    if got.columns != columns:
        return [f"{view.name}: its columns are {got.columns}, expected {columns}"]
    rows = {tuple(row[:len(key)]): row[len(key):] for row in got.rows}
    if len(rows) != len(got.rows):
        out.append(f"{view.name}: {len(got.rows)} rows with {len(rows)} keys")
    out += [f"{view.name}: row missing: {at}: {expected.rows[at]}" for at in expected.rows.keys() - rows.keys()]
    out += [f"{view.name}: row too many: {at}: {rows[at]}" for at in rows.keys() - expected.rows.keys()]
    for at in expected.rows.keys() & rows.keys():
        for (name, kind), wanted, found in zip(view.columns, expected.rows[at], rows[at]):
            if not same_cell(kind, wanted, found):
                out.append(f"{view.name}: {at}: {name} is {found!r:.200}, expected {wanted!r:.200}")
    return out + compare_counters(view, columns, expected, got) + compare_rejects(view, expected, got)


def compare_counters(view: View, columns: list, expected: Fold, got: view_tables.Tables) -> list:
    """GROUP BY, of the rows that ought to be there and of those that are: a counter may be wrong by itself."""
    out = []
    for column in view.counted:
        place = columns.index(column)
        true = collections.Counter(([*at, *row])[place] for at, row in expected.rows.items())
        true.pop(None, None)
        told = dict(map(tuple, got.counters[column]))
        if len(told) != len(got.counters[column]):
            out.append(f"{view.name}_by_{column}: a value twice")
        for value in true.keys() | told.keys():
            if true.get(value) != told.get(value):
                out.append(f"{view.name}_by_{column}: {value!r:.200} counts {told.get(value)}, expected "
                           f"{true.get(value)}")
    return out


def compare_rejects(view: View, expected: Fold, got: view_tables.Tables) -> list:
    told = {uri: seq for uri, _, seq in got.rejects}
    out = [f"{view.name}_rejects: {uri} without a reason" for uri, reason, _ in got.rejects if not reason]
    if len(told) != len(got.rejects):
        out.append(f"{view.name}_rejects: a uri twice")
    for uri in expected.rejects.keys() | told.keys():
        if expected.rejects.get(uri) != told.get(uri):
            out.append(f"{view.name}_rejects: {uri} at sequence {told.get(uri)}, expected {expected.rejects.get(uri)}")
    return out


def check_once(store: dict, database: str, views: list) -> Verdict:
    verdict = Verdict([], {}, {})
    for view in views:
        expected = fold(store, view)
        verdict.rows[view.name], verdict.rejects[view.name] = len(expected.rows), len(expected.rejects)
        try:
            verdict.differences.extend(compare(view, expected, view_tables.read(database, view.name, view.counted)))
        except view_tables.NoTable as e:
            verdict.differences.append(f"{view.name}: {e}")
    return verdict


def check(url: str, bucket: str, database: str, names: list, added: dict | None = None, wait: float = 0,
          meanwhile=None) -> Verdict:
    """Checks, and goes on for `wait` seconds until all is equal. `added`: view -> (column, pointer) that a changed
    definition has before its columns."""
    views = [Added(VIEWS[name], *added[name]) if added and name in added else VIEWS[name] for name in names]
    deadline = time.monotonic() + wait
    read, store = None, {}
    while True:
        try:
            with nats_wire.Connection(url) as nats:
                streams = streams_of(nats, bucket)
                if (state := state_of(nats, streams)) != read:
                    store, read = read_store(url, bucket, streams), state
            verdict = check_once(store, database, views)
            if not verdict.differences or time.monotonic() >= deadline:
                return verdict
        except (nats_wire.Failure, view_tables.Unreachable, OSError):
            if time.monotonic() >= deadline:
                raise
        if meanwhile:
            meanwhile()
        time.sleep(0.1)


def main(argv: list, out=sys.stdout) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="nats://127.0.0.1:4222")
    parser.add_argument("--bucket", default="record")
    parser.add_argument("--database", required=True, help="path of an SQLite file, or a postgresql:// URL")
    parser.add_argument("--views", default=",".join(SHIPPED), help="which ones, with commas between")
    parser.add_argument("--wait", type=float, default=0, help="seconds to wait for equality")
    args = parser.parse_args(argv)
    names = args.views.split(",")
    if unknown := [name for name in names if name not in VIEWS]:
        print(f"fold_views: no such view: {', '.join(unknown)}; there are {', '.join(SHIPPED)}", file=sys.stderr)
        return 2
    try:
        verdict = check(args.url, args.bucket, args.database, names, wait=args.wait)
    except (nats_wire.Failure, view_tables.Unreachable, OSError) as e:
        print(f"fold_views: {e}", file=sys.stderr)
        return 3
    for line in verdict.differences[:SHOWN]:
        print(" ", line, file=out)
    if len(verdict.differences) > SHOWN:
        print(f"  and {len(verdict.differences) - SHOWN} more", file=out)
    print(verdict.text(), file=out)
    return 1 if verdict.differences else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
