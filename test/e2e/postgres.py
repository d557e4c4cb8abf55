"""A real PostgreSQL of a test's own: on a unix socket in a temporary directory, killed and restarted at will.

Owns: the directory and the server in it; both go at the end, the server also with the test.
Does not know: what is stored. Programs: $RECORDKV_POSTGRES_BIN, or Debian's newest below /usr/lib/postgresql.
"""

import contextlib
import glob
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time

from rig import SLOW, die_with_parent, wait_for

FAST = {"fsync": "off", "full_page_writes": "off", "shared_buffers": "64MB", "max_connections": "40"}


def binaries() -> str:
    found = os.environ.get("RECORDKV_POSTGRES_BIN")
    if found:
        return found
    all_of_them = glob.glob("/usr/lib/postgresql/*/bin/postgres")
    if not all_of_them:
        raise FileNotFoundError("no PostgreSQL server: install Debian's postgresql, or set RECORDKV_POSTGRES_BIN")
    return os.path.dirname(max(all_of_them, key=lambda p: int(re.search(r"/(\d+)/bin", p)[1])))


def lives(pid: int) -> bool:
    """One that has ended holds nothing any more, even before it is waited for."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError), open(f"/proc/{pid}/stat", encoding="ascii") as f:
        return f.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    return False


class Postgres:
    """Use as a context manager. `settings`: more of postgresql.conf, e.g. lock_timeout="1s"."""

    def __init__(self, **settings):
        self.bin = binaries()
        # A socket's path has at most 107 letters.
        self.directory = tempfile.mkdtemp(prefix="rkv-pg-", dir=None if len(tempfile.gettempdir()) < 60 else "/tmp")
        self.data = os.path.join(self.directory, "data")
        self.log = os.path.join(self.directory, "log")
        self.port = str(settings.get("port", 5432))
        self.process = None
        # PostgreSQL refuses to run as root.
        self.user = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        try:
            if os.geteuid() == 0:
                shutil.chown(self.directory, self.user)
            self.run("initdb", "-D", self.data, "-U", "recordkv", "-A", "trust", "-N", "-E", "UTF8", "--locale=C.UTF-8")
            with open(os.path.join(self.data, "postgresql.conf"), "a") as f:
                own = {"listen_addresses": "", "unix_socket_directories": self.directory, **FAST, **settings}
                f.writelines(f"{key} = '{value}'\n" for key, value in own.items())
            self.start()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Postgres":
        return self

    def __exit__(self, kind, *_):
        if kind:
            print("===== postgres", *self.text().splitlines()[-40:], sep="\n")
        self.close()

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def text(self) -> str:
        if not os.path.exists(self.log):
            return ""
        with open(self.log, errors="replace") as f:
            return f.read()

    def url(self) -> str:
        return f"postgresql:///postgres?host={self.directory}&port={self.port}&user=recordkv"

    def query(self, sql: str) -> str:
        """What `psql -At` prints, without the last newline."""
        done = subprocess.run([os.path.join(self.bin, "psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", self.url(), "-c",
                               sql],
                              capture_output=True, text=True, timeout=60 * SLOW)
        if done.returncode:
            raise AssertionError(f"{sql}: {done.stderr.strip()}")
        return done.stdout.removesuffix("\n")

    def as_user(self) -> dict:
        return {"user": self.user, "group": pwd.getpwnam(self.user).pw_gid,
                "extra_groups": []} if os.geteuid() == 0 else {}

    def run(self, program: str, *words: str) -> None:
        done = subprocess.run([os.path.join(self.bin, program), *words], capture_output=True, text=True,
                              cwd=self.directory,
                              timeout=120 * SLOW, **self.as_user())
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stderr or done.stdout}")

    def start(self) -> None:
        with open(self.log, "ab") as out:
            self.process = subprocess.Popen([os.path.join(self.bin, "postgres"), "-D", self.data],
                                            stdin=subprocess.DEVNULL, stdout=out,
                                            stderr=out, cwd=self.directory, preexec_fn=die_with_parent,
                                            **self.as_user())
        deadline = time.monotonic() + 60 * SLOW
        while subprocess.run([os.path.join(self.bin, "pg_isready"), "-q", "-h", self.directory, "-p",
                              self.port]).returncode:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("PostgreSQL does not start:\n" + self.text())
            time.sleep(0.05)

    def kill(self) -> None:
        """kill -9 of the server and of all its children: no backend may go on by itself, nor hold the shared memory
        when the next server wants it. Stopped first, the server has no child that is not seen."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGSTOP)
        children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self.process.pid)], capture_output=True, text=True)
        pids = [self.process.pid, *map(int, children.stdout.split())]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(10)
        wait_for("all of PostgreSQL is gone", lambda: not any(map(lives, pids)))

    def serve_tls(self, certificate: str, key: str, user: str, password: str) -> None:
        """On TCP, by TLS alone, to one user with a password. The settings must name listen_addresses and port."""
        for source, name in ((certificate, "server.crt"), (key, "server.key")):
            target = os.path.join(self.data, name)
            shutil.copyfile(source, target)
            shutil.chown(target, self.user)
            os.chmod(target, 0o600)
        self.query(f"CREATE ROLE {user} LOGIN PASSWORD '{password}'; GRANT CREATE ON SCHEMA public TO {user}")
        with open(os.path.join(self.data, "pg_hba.conf"), "w") as f:
            f.write("local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n")
        with open(os.path.join(self.data, "postgresql.conf"), "a") as f:
            f.write("ssl = on\n")
        self.restart()

    def stop(self) -> None:
        """In an orderly manner: sessions are ended, data is written."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(60 * SLOW)

    def restart(self) -> None:
        self.kill()
        self.start()
