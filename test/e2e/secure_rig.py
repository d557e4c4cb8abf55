"""A rig with a server that wants TLS or credentials, and the two ways in which a test of it ends.

Owns: looking for the secrets of a test in everything that recordkv wrote. Does not know: which fault is tried.
"""

import json
import unittest

from rig import Rig, wait_for

LIKE = "at://did:plc:aaaaaaaaaaaaaaaaaaaaaaaa/app.bsky.feed.like/a"
RECORD = '{"$type":"app.bsky.feed.like"}'
HOSTS = "DNS:localhost,IP:127.0.0.1"


class SecureRig(Rig):
    """A rig that remembers the secrets of its test and looks for them in everything that was written."""

    def __init__(self, **settings):
        super().__init__(**settings)
        self.secrets: list[str] = []
        self.written: list[str] = []

    def command(self, *words, **how):
        done = super().command(*words, **how)
        self.written.append(f"{words}: {done.stdout}{done.stderr}")
        return done

    def __exit__(self, kind, *rest):
        found = []
        if not kind:
            for words in (("config", "show"), ("config", "check"), ("status",), ("status", "--json")):
                self.command(*words)
            logs = [p.text() for p in self.parts.values() if p.name != "nats"]
            found = [text for text in self.written + logs if any(s in text for s in self.secrets)]
        super().__exit__(kind, *rest)
        if found:
            raise AssertionError("a secret in: " + "\n".join(found))

    def secure(self, port: int | None = None, host: str = "127.0.0.1", scheme: str = "tls", user: str = "") -> str:
        self.settings["nats.url"] = f"{scheme}://{user}{host}:{port or self.nats_port}"
        return self.settings["nats.url"]

    def tls(self, certificate: tuple, more: str = "", ca: str = "") -> str:
        """The server's tls block."""
        trusted = f'ca_file: "{ca}"' if ca else ""
        return (f'tls {{\ncert_file: "{certificate[0]}"\nkey_file: "{certificate[1]}"\ntimeout: 5\n{trusted}\n'
                f"{more}\n}}\n")


class SecureTest(unittest.TestCase):
    def works(self, rig: Rig) -> None:
        """A record in, the record out; and the stages start and stop."""
        done = rig.command("put", LIKE, RECORD)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(json.loads(rig.command("get", LIKE).stdout)["$type"], "app.bsky.feed.like")
        part = rig.recordkv("kv,index")
        self.stages_run(rig)
        self.assertEqual(part.stop(), 0)

    def stages_run(self, rig: Rig) -> None:
        def pids() -> int:
            return rig.command("status", "--json").stdout.count('"pid"')
        wait_for("both stages hold their locks", lambda: pids() >= 2, 30)

    def refused(self, rig: Rig, pattern: str, run: bool = True) -> str:
        """get, and running the stages, end with 3 and one line that matches."""
        for words in [("get", LIKE)] + ([("run",)] if run else []):
            done = rig.command(*words, seconds=25)
            said = [line for line in done.stderr.splitlines() if line.startswith("recordkv: ")]
            self.assertEqual(len(said), 1, f"{words}: {done.stderr}")
            self.assertRegex(said[0], pattern)
            self.assertEqual(done.returncode, 3, f"{words}: {done.stderr}")
        return said[0]
