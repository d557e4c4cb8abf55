"""A reader of a view: once a millisecond, until its standard input ends; then it prints as JSON what it has met.

Owns: one connection as an application holds it (SQLite by Python's module, PostgreSQL by a psql that is fed), and the
rules that each answer must keep. Does not know: why the view might break them.
Words: DATABASE VIEW COUNTED FLOOR DID RKEY KIND. The row of that key is always there. KIND "statement" counts the
whole table and asks for the row in statements of their own. "transaction" does so in one. "row" asks for the row alone,
as often as it was told.
"""

import json
import os
import select
import sqlite3
import subprocess
import sys
import time

from rig import ORACLE  # noqa: F401  puts the oracle's directory on the path

import view_tables

EVERY = 0.001


class Sqlite:
    def __init__(self, path: str):
        self.connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10, isolation_level=None)

    def ask(self, queries: list, together: bool) -> list:
        """The rows of each query as dictionaries."""
        out = []
        if together:
            self.connection.execute("BEGIN")
        try:
            for query in queries:
                cursor = self.connection.execute(query)
                names = [d[0] for d in cursor.description]
                out.append([dict(zip(names, row)) for row in cursor.fetchall()])
        finally:
            if together:
                self.connection.execute("COMMIT")
        return out


class Psql:
    def __init__(self, url: str):
        self.process = subprocess.Popen([view_tables.psql(), "-XqAt", "-d", url], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT)

    def ask(self, queries: list, together: bool) -> list:
        script = ["BEGIN;"] if together else []
        for query in queries:
            script += [f"SELECT row_to_json(t) FROM ({query}) AS t;", "\\echo ="]
        script += ["COMMIT;", "\\echo #", ""] if together else ["\\echo #", ""]
        self.process.stdin.write("\n".join(script).encode())
        self.process.stdin.flush()
        answers, said = [[]], []
        while (line := self.process.stdout.readline()) not in (b"#\n", b""):
            if line == b"=\n":
                answers.append([])
            elif line.startswith(b"{"):
                answers[-1].append(json.loads(line))
            else:
                said.append(line.decode(errors="replace").strip())
        if said or not line:
            raise RuntimeError("; ".join(said) or "psql has ended")
        return answers[:-1]


class Rules:
    """What each answer must keep, and what was seen."""

    def __init__(self, floor: int):
        self.floor, self.last = floor, 0
        self.seen = {"reads": 0, "wrong": [], "columns": [], "least": None, "most": 0, "steps_back": 0, "deepest": 0,
                     "slowest": 0.0}

    def wrong(self, what: str) -> None:
        if len(self.seen["wrong"]) < 20:
            self.seen["wrong"].append(f"{time.strftime('%H:%M:%S')}: {what}")

    def take_counts(self, counts: list) -> None:
        seen, count, total = self.seen, counts[0]["standing"], counts[0]["counted"]
        seen["least"] = count if seen["least"] is None else min(seen["least"], count)
        seen["most"] = max(seen["most"], count)
        if count < self.floor:
            self.wrong(f"{count} rows, {self.floor} at the start")
        if count < self.last:
            seen["steps_back"] += 1
            seen["deepest"] = max(seen["deepest"], self.last - count)
        self.last = count
        if total != count:
            self.wrong(f"{count} rows, and the counter counts {total}")

    def take_row(self, rows: list) -> None:
        seen = self.seen
        if len(rows) != 1:
            self.wrong("a row that is always there was not")
            return
        names = list(rows[0])
        if not seen["columns"] or names != seen["columns"][-1]:
            seen["columns"].append(names)


def main(database: str, view: str, counted: str, floor: str, did: str, rkey: str, kind: str) -> None:
    reader = Psql(database) if view_tables.is_postgres(database) else Sqlite(database)
    queries = [f"SELECT (SELECT count(*) FROM {view} WHERE {counted} IS NOT NULL) AS standing, "
               f"(SELECT sum(count) FROM {view}_by_{counted}) AS counted",
               f"SELECT * FROM {view} WHERE did = '{did}' AND rkey = '{rkey}'"]
    if kind == "row":
        queries = queries[1:]
    rules = Rules(int(floor))
    began = time.monotonic()
    while not select.select([sys.stdin], [], [], 0)[0]:
        asked = time.monotonic()
        try:
            *counts, rows = reader.ask(queries, kind == "transaction")
            if counts:
                rules.take_counts(*counts)
            rules.take_row(rows)
        except (sqlite3.Error, RuntimeError, OSError, ValueError) as e:
            rules.wrong(f"{type(e).__name__}: {e}")
        rules.seen["reads"] += 1
        took = time.monotonic() - asked
        rules.seen["slowest"] = max(rules.seen["slowest"], took)
        time.sleep(max(0, EVERY - took))
    print(json.dumps({**rules.seen, "seconds": time.monotonic() - began}))


if __name__ == "__main__":
    os.environ.setdefault("PGCLIENTENCODING", "UTF8")
    main(*sys.argv[1:])
