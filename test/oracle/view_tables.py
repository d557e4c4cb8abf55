"""The tables of a view as they stand in a database: SQLite by Python's own module, PostgreSQL by psql.

Owns: reading one view's rows, counters and rejects in one snapshot, without changing anything.
Does not know: what ought to stand there.
"""

import glob
import json
import os
import re
import shutil
import sqlite3
import subprocess
from contextlib import closing
from datetime import datetime, timezone
from typing import NamedTuple


class Unreachable(Exception):
    """The database is not there, or does not answer."""


class NoTable(Exception):
    """The database answers, and has no such table."""


class Tables(NamedTuple):
    columns: list   # names, in the table's order
    rows: list      # lists, in that order
    counters: dict  # column -> [[value, count], ...]
    rejects: list   # [uri, reason, seq]


def is_postgres(database: str) -> bool:
    return database.startswith(("postgresql://", "postgres://"))


def read(database: str, view: str, counted: list) -> Tables:
    """`database`: a path, with or without "sqlite:" before it, or a postgresql:// URL."""
    tables = [f"{view}_rejects", *(f"{view}_by_{column}" for column in counted)]
    columns = ["uri, reason, seq", *(f"{column}, count" for column in counted)]
    queries = [f"SELECT {c} FROM {t}" for c, t in zip(columns, tables)]
    ask = _psql if is_postgres(database) else _sqlite
    names, rows, rejects, *counters = ask(database, view, queries)
    return Tables(names, rows, dict(zip(counted, counters)), rejects)


def _sqlite(database: str, view: str, queries: list) -> list:
    path = database.removeprefix("sqlite:")
    if not os.path.exists(path):
        raise Unreachable(f"{path}: no such file")
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10, isolation_level=None)) as connection:
            connection.execute("BEGIN")  # one snapshot for all of them
            whole = connection.execute(f"SELECT * FROM {view}")
            out = [[d[0] for d in whole.description], list(map(list, whole.fetchall()))]
            return out + [list(map(list, connection.execute(query).fetchall())) for query in queries]
    except sqlite3.Error as e:
        raise (NoTable if "no such" in str(e) else Unreachable)(f"{path}: {e}") from e


def psql() -> str:
    directory = os.environ.get("RECORDKV_POSTGRES_BIN")
    found = [os.path.join(directory, "psql")] if directory else glob.glob("/usr/lib/postgresql/*/bin/psql")
    number = lambda path: int((re.search(r"/(\d+)/", path) or ["", "0"])[1])
    return max(found, key=number) if found else shutil.which("psql") or "psql"


def _psql(url: str, view: str, queries: list) -> list:
    """Each row as JSON in hex, on a line of its own: psql's own way of printing leaves out what it takes for no
    characters."""
    names = (f"SELECT attname || ' ' || atttypid::regtype::text FROM pg_attribute WHERE attrelid = '{view}'::regclass "
             "AND attnum > 0 AND NOT attisdropped ORDER BY attnum;")
    script = ["BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;", "SET LOCAL TIME ZONE 'UTC';", names]
    for query in [f"SELECT * FROM {view}", *queries]:
        script += ["\\echo =", f"SELECT encode(convert_to(row_to_json(t)::text, 'UTF8'), 'hex') FROM ({query}) AS t;"]
    done = subprocess.run([psql(), "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", url, "-f", "-"],
                          input="\n".join(script).encode(),
                          capture_output=True, timeout=300, check=False, env={**os.environ, "PGCLIENTENCODING": "UTF8"})
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip()
        raise (NoTable if "does not exist" in said and 'relation "' in said else Unreachable)(f"psql: {said}")
    names, *answers = done.stdout.decode().split("=\n")
    if not names.strip():
        raise NoTable(f"{view}: it went while it was read")
    columns, types = zip(*(line.split(" ", 1) for line in names.splitlines()))
    whole, *others = [[json.loads(bytes.fromhex(line)) for line in answer.split()] for answer in answers]
    if any(tuple(row) != columns for row in whole):  # the catalogue is read as it is, not as it was
        raise NoTable(f"{view}: another table has taken the name in between")
    whole, *others = [[list(row.values()) for row in rows] for rows in (whole, *others)]
    return [list(columns), [[_as_sqlite(cell, kind) for cell, kind in zip(row, types)] for row in whole], *others]


def _as_sqlite(cell, kind: str):
    if cell is None:
        return None
    if kind == "json":
        return json.dumps(cell)  # the column's text has become a value within the row's
    return _utc(cell) if kind == "timestamp with time zone" else cell


def _utc(cell):
    """A timestamp with time zone as SQLite's text has it: UTC with microseconds."""
    return datetime.fromisoformat(cell).astimezone(timezone.utc).isoformat(timespec="microseconds").replace("+00:00",
                                                                                                            "Z")
