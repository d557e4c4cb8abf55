"""Is the likes view exactly the fold of the store?

Owns: the rows that the store's likes amount to, and the comparison with the table.
Does not know: NATS, the truth file; the store as it is read is right by definition here.
"""

import re
import sqlite3
from contextlib import closing

from json_value import value_of

LIKES = "app.bsky.feed.like"


def decoded(token: str) -> str:
    return re.sub("/([0-9A-F]{2})", lambda m: chr(int(m[1], 16)), token)


def rows_expected(store: dict) -> dict[tuple, str]:
    """The likes table as the fold of the store has it."""
    rows = {}
    for key, found in store.items():
        tokens = key.split(".")
        if not found.live or len(tokens) != 7 or ".".join(tokens[1:5]) != LIKES:
            continue
        try:
            uri = value_of(found.payload)["subject"]["uri"]
        except (ValueError, KeyError, TypeError):
            continue
        if isinstance(uri, str):
            rows[decoded(tokens[5]), LIKES, decoded(tokens[6])] = uri
    return rows


def check(report, store: dict, path: str) -> None:
    expected = rows_expected(store)
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as database:
            got = database.execute("SELECT did, collection, rkey, subject FROM likes").fetchall()
    except sqlite3.Error as e:
        report.add("likes table", f"{path}: {e}")
        return
    rows = {row[:3]: row[3] for row in got}
    if len(rows) != len(got):
        report.add("likes row twice", f"{len(got)} rows, {len(rows)} keys")
    for key in expected.keys() - rows.keys():
        report.add("likes row missing", "/".join(key))
    for key in rows.keys() - expected.keys():
        report.add("likes row extra", "/".join(map(str, key)))
    for key in expected.keys() & rows.keys():
        if rows[key] != expected[key]:
            report.add("likes row different", f"{'/'.join(key)}: {rows[key]!r}, expected {expected[key]!r}")
    report.note("likes rows", len(rows))
