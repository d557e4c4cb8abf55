"""Databases of views as people run them: a reader that stays, a server without free connections, a pooler in between.

Owns: those three, each with the real program. Does not know: what a row ought to be (oracle/fold_views.py).
"""

import contextlib
import json
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import unittest

from histories import LIKE, Writer
from postgres import Postgres
from rig import answer, die_with_parent, free_port, wait_for
from views_rig import ViewsRig

from record_place import Place, key_of

SHIPPED = ["follows", "likes", "links", "profiles", "replies", "reposts"]
SETTINGS = ["synchronous_commit", "enable_seqscan", "enable_hashjoin", "lock_timeout", "statement_timeout", "TimeZone",
            "jit",
            "idle_in_transaction_session_timeout", "client_min_messages", "extra_float_digits"]
WIDE = """
[[view]]
name = "wide"
collection = "app.bsky.feed.like"
columns = [ { name = "text", pointer = "/text" } ]
"""


def like(number: int, text: str = "") -> tuple:
    place = Place(f"did:plc:{number % 50:a>24}", LIKE, f"3k{number}")
    record = {"$type": LIKE, "subject": {"uri": f"at://did:plc:x/app.bsky.feed.post/3k{number % 7}", "cid": "bafyrei"},
              "createdAt": "2024-11-05T12:00:00.000Z", "text": text}
    return key_of(place), {"op": "create", "rev": "3k", "cid": "bafyrei",
                           "time": "2024-11-05T12:00:00.000Z"}, json.dumps(record).encode()


def write(rig: ViewsRig, likes: list) -> None:
    with contextlib.closing(Writer(rig.url)) as writer:
        writer.write(likes)


class PgBouncer:
    """In transaction mode, with one connection to the server for all clients."""

    def __init__(self, postgres: Postgres, mode: str = "transaction"):
        self.postgres, self.port = postgres, free_port()
        program = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
        if not os.path.exists(program):
            raise FileNotFoundError("no pgbouncer: ./dev setup installs Debian's, or install it")
        self.file = os.path.join(postgres.directory, "pgbouncer.ini")
        with open(os.path.join(postgres.directory, "users.txt"), "w") as f:
            f.write('"recordkv" ""\n')
        with open(self.file, "w") as f:
            f.write(f"[databases]\npostgres = host={postgres.directory} port={postgres.port} "
                    f"user=recordkv\n[pgbouncer]\n"
                    f"listen_addr = 127.0.0.1\nlisten_port = {self.port}\nunix_socket_dir =\nauth_type = "
                    f"any\npool_mode = {mode}\n"
                    f"default_pool_size = 1\nmax_client_conn = 50\nlogfile = {postgres.directory}/bouncer.log\n")
        self.process = subprocess.Popen([program, self.file], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL,
                                        cwd=postgres.directory, preexec_fn=die_with_parent, **postgres.as_user())
        wait_for("pgbouncer listens", self.listens)

    def listens(self) -> bool:
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0

    def url(self) -> str:
        return f"postgresql://recordkv@127.0.0.1:{self.port}/postgres"

    def query(self, sql: str) -> str:
        done = subprocess.run([os.path.join(self.postgres.bin, "psql"), "-XAtq", "-d", self.url(), "-c", sql],
                              capture_output=True, text=True,
                              timeout=60)
        if done.returncode:
            raise AssertionError(f"{sql}: {done.stderr.strip()}")
        return done.stdout.removesuffix("\n")

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


class Holder:
    """A program that leaves its transaction open."""

    def __init__(self, postgres: Postgres, sql: str):
        self.process = subprocess.Popen([os.path.join(postgres.bin, "psql"), "-XAtq", "-d", postgres.url()], text=True,
                                        stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, preexec_fn=die_with_parent)
        self.process.stdin.write(f"BEGIN; {sql}; SELECT 'pid=' || pg_backend_pid();\n")
        self.process.stdin.flush()
        line = ""
        while not line.startswith("pid="):
            line = self.process.stdout.readline()
        self.pid = line.strip().removeprefix("pid=")

    def close(self) -> None:
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(20)


def warnings(rig: ViewsRig) -> list:
    return json.loads(rig.command("status", "--json").stdout).get("warnings", [])


class WalTest(unittest.TestCase):
    def test_a_reader_that_stays_is_named_before_the_disk_is_full(self):
        http = free_port()
        with ViewsRig(views="wide.toml", **{"http.listen": f"127.0.0.1:{http}"}) as rig:
            with open(rig.path("views", "wide.toml"), "w", encoding="utf-8") as f:
                f.write(WIDE)
            rig.nats()
            rig.make_bucket()
            write(rig, [like(0)])
            rig.index()
            wait_for("the view answers", lambda: os.path.exists(rig.database) and self.rows(rig) == 1)
            reader = subprocess.Popen(["python3", "-c",
                                       "import sqlite3, sys; d = sqlite3.connect(sys.argv[1], isolation_level=None); "
                                       "d.execute('BEGIN'); print(d.execute('SELECT count(*) FROM "
                                       "wide').fetchone()[0], flush=True); input()",
                                       rig.database], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                      preexec_fn=die_with_parent)
            self.assertEqual(reader.stdout.readline(), "1\n")
            write(rig, [like(n, "x" * 60_000) for n in range(1, 2200)])
            wait_for("status tells of the log", lambda: warnings(rig), 40, every=0.3)
            said = warnings(rig)
            self.assertEqual(len(said), 1)
            self.assertRegex(said[0], rf"{re.escape(rig.database)}-wal has grown to 1\d\d MB")
            self.assertIn(f"process {reader.pid} (python3) keeps a transaction open", said[0])
            self.assertIn("fuser -v", said[0])
            told = rig.command("status")
            self.assertRegex(told.stdout, r"(?m)^WARNING .*keeps a transaction open")
            self.assertIn("keeps a transaction open", rig.indexes[0].text())
            self.assertGreater(float(re.search(r"recordkv_view_wal_bytes\{database=\"[^\"]*views.db\"\} (\S+)",
                                               self.metrics(http))[1]), 1e8)
            self.assertEqual(rig.report("view-wide")["state"], "running")  # it goes on
            reader.communicate("\n", timeout=20)
            wait_for("the log is small again", lambda: os.path.getsize(rig.database + "-wal") < 1e6, 30)
            wait_for("status says no more of it", lambda: not warnings(rig), 20, every=0.3)

    @staticmethod
    def rows(rig: ViewsRig) -> int:
        with contextlib.suppress(sqlite3.OperationalError), contextlib.closing(sqlite3.connect(rig.database)) as d:
            return d.execute("SELECT count(*) FROM wide").fetchone()[0]
        return 0

    @staticmethod
    def metrics(port: int) -> str:
        return answer(port, "/metrics")[1]


class SlotsTest(unittest.TestCase):
    def start(self, postgres: Postgres, rig: ViewsRig, slots: int) -> None:
        postgres.query(f"CREATE ROLE views LOGIN CONNECTION LIMIT {slots}; GRANT CREATE ON SCHEMA public TO views")
        rig.settings["index.database"] = postgres.url().replace("user=recordkv", "user=views")
        rig.nats()
        rig.make_bucket()
        write(rig, [like(n) for n in range(500)])
        rig.index(shares=("0-7", "8-f"))

    def test_two_processes_share_the_slots_that_there_are(self):
        for slots in (6, 2):
            with self.subTest(slots=slots), Postgres() as postgres, ViewsRig() as rig:
                self.start(postgres, rig, slots)

                def built() -> bool:
                    there = postgres.query("SELECT count(*) FROM recordkv_builds WHERE live AND created <> ''") \
                        if postgres.query("SELECT to_regclass('recordkv_builds') IS NOT NULL") == "t" else "0"
                    return there == str(len(SHIPPED)) and postgres.query("SELECT count(*) FROM likes") == "500"
                wait_for("all views are built", built, 40, every=0.2, meanwhile=rig.assert_all_running)

    def test_without_any_the_remedy_is_told(self):
        with Postgres() as postgres, ViewsRig() as rig:
            self.start(postgres, rig, 0)
            wait_for("status tells why", lambda: rig.report("view-likes-0-7").get("cause") == "database", 20)
            said = rig.report("view-likes-0-7")["reason"]
            self.assertRegex(said, "too many connections for role")
            self.assertRegex(said, "raise max_connections, or the CONNECTION LIMIT of the role")
            self.assertRegex(said, r"this process needs one connection, and uses up to \d for its views")
            postgres.query("ALTER ROLE views CONNECTION LIMIT 2")
            wait_for("all is well", lambda: all(rig.report(f"view-likes-{part}")["state"] == "running"
                                                for part in ("0-7", "8-f")), 30)


class PoolerTest(unittest.TestCase):
    def test_other_programs_of_the_pool_keep_their_settings(self):
        with Postgres() as postgres, ViewsRig(views="likes.toml") as rig:
            bouncer = PgBouncer(postgres)
            try:
                ask = "SELECT string_agg(name || '=' || setting, ' ' ORDER BY name) FROM pg_settings WHERE name IN " \
                      f"({', '.join(repr(s) for s in SETTINGS)})"
                before = bouncer.query(ask)
                rig.settings["index.database"] = bouncer.url()
                rig.nats()
                rig.make_bucket()
                write(rig, [like(n) for n in range(300)])
                rig.index()
                wait_for("rows are there", lambda: self.rows(postgres) == 300, 30, meanwhile=rig.assert_all_running)
                write(rig, [like(n) for n in range(300, 400)])
                wait_for("live rows, too", lambda: self.rows(postgres) == 400, 30, meanwhile=rig.assert_all_running)
                self.assertEqual(rig.command("query", "likes", "--limit", "1", "--json").returncode, 0)
                rebuilt = rig.command("view", "rebuild", "likes", seconds=40)
                self.assertEqual(rebuilt.returncode, 0, rebuilt.stderr)
                # one for all
                self.assertEqual(bouncer.query("SELECT pg_backend_pid()"), bouncer.query("SELECT pg_backend_pid()"))
                self.assertEqual(bouncer.query(ask), before)
            finally:
                bouncer.close()

    @staticmethod
    def rows(postgres: Postgres) -> int:
        if postgres.query("SELECT to_regclass('likes') IS NOT NULL") != "t":
            return 0
        return int(postgres.query("SELECT count(*) FROM likes"))


class SwapTest(unittest.TestCase):
    def test_a_transaction_that_holds_a_rebuild_up_is_named(self):
        with Postgres() as postgres, ViewsRig(views="likes.toml") as rig:
            rig.settings["index.database"] = postgres.url()
            rig.nats()
            rig.make_bucket()
            write(rig, [like(n) for n in range(50)])
            rig.index()
            wait_for("rows are there", lambda: PoolerTest.rows(postgres) == 50, 30, meanwhile=rig.assert_all_running)
            before = postgres.query("SELECT number FROM recordkv_builds WHERE live")
            holder = Holder(postgres, "SELECT count(*) FROM likes")
            postgres.query("UPDATE recordkv_builds SET wanted = TRUE")
            wait_for("status names the holder",
                     lambda: any(f"process {holder.pid} (psql, user recordkv, idle in transaction" in w
                                 for w in warnings(rig)), 30, every=0.3)
            self.assertEqual(rig.report("view-likes")["state"], "running")
            holder.close()
            wait_for("the next build answers",
                     lambda: postgres.query("SELECT number FROM recordkv_builds WHERE live") != before, 30)
            wait_for("status says no more of it", lambda: not warnings(rig), 20, every=0.3)


if __name__ == "__main__":
    unittest.main()
