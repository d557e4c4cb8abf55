"""What recordkv can't work with, it refuses at once: one line that names the fault, and the right exit code.

Owns: servers that are absent, too old, known to lose messages, without JetStream, or want other credentials; stores
made otherwise; configurations with a mistake.
"""

import json
import os
import socket
import threading
import time
import unittest
import unittest.mock

from rig import SLOW, Rig, free_port

LIKE = "at://did:plc:aaaaaaaaaaaaaaaaaaaaaaaa/app.bsky.feed.like/a"


class FakeServer:
    """Greets like a NATS server of some version, and says no more."""

    def __init__(self, greeting: bytes):
        self.greeting = greeting
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.guests = []
        threading.Thread(target=self.serve, daemon=True).start()

    @classmethod
    def version(cls, version: str):
        info = {"server_id": "FAKE", "version": version, "proto": 1, "headers": True, "jetstream": True}
        return cls(b"INFO " + json.dumps({**info, "max_payload": 1048576}).encode() + b" \r\n")

    def serve(self) -> None:
        while True:
            try:
                guest, _ = self.listener.accept()
                guest.sendall(self.greeting)
                self.guests.append(guest)
            except OSError:
                return

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()
        for g in self.guests:
            g.close()


class RefusalTest(unittest.TestCase):
    def refused(self, rig: Rig, code: int, pattern: str, *words, stages: bool = True) -> None:
        """`words`, and running the stages too, end with `code` and one line that matches."""
        for command in [words] + ([("run",)] if stages else []):
            done = rig.command(*command, seconds=25)
            said = [line for line in done.stderr.splitlines() if line.startswith("recordkv: ")]
            self.assertEqual(len(said), 1, f"{command}: {done.stderr}")
            self.assertRegex(said[0], pattern)
            self.assertEqual(done.returncode, code, f"{command}: {done.stderr}")
            if command != ("run",):
                self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)


class ServerTest(RefusalTest):
    def test_absent(self):
        with Rig() as rig:
            began = time.monotonic()
            self.refused(rig, 3, rf"no NATS server answers.*{rig.nats_port}.*nats\.url", "get", LIKE, stages=False)
            self.assertLess(time.monotonic() - began, 5 * SLOW)
            self.refused(rig, 3, "no NATS server answers", "status")

    def test_not_nats(self):
        for greeting in (b"SSH-2.0-OpenSSH_9.2p1\r\n", b"INFO {nonsense}\r\n"):
            with Rig() as rig, FakeServer(greeting) as fake:
                rig.settings["nats.url"] = f"nats://127.0.0.1:{fake.port}"
                self.refused(rig, 3, "NATS|INFO", "get", LIKE, stages=False)

    def test_silent(self):
        """A server accepts the connection and sends nothing. That must end, too."""
        with Rig() as rig, FakeServer(b"") as fake:
            rig.settings["nats.url"] = f"nats://127.0.0.1:{fake.port}"
            self.refused(rig, 3, "does not greet|no NATS server", "get", LIKE, stages=False)

    def test_versions(self):
        for version, why in (("1.4.1", "2.10"), ("2.9.25", "2.10"), ("2.12.7", "hide"), ("2.12.8", "hide"),
                             ("2.12.9", "hide"), ("2.14.0", "hide"), ("2.14.1", "hide")):
            with self.subTest(version=version), Rig() as rig, FakeServer.version(version) as fake:
                rig.settings["nats.url"] = f"nats://127.0.0.1:{fake.port}"
                self.refused(rig, 3, rf"{version}.*{why}", "status", stages=version in ("2.9.25", "2.14.1"))

    def test_without_jetstream(self):
        with Rig() as rig:
            rig.nats(jetstream=False)
            self.refused(rig, 3, "JetStream.*-js", "get", LIKE)

    def test_account_without_jetstream(self):
        """The server has it, this account does not: the greeting does not tell, the API does."""
        with Rig() as rig:
            rig.nats('accounts { A { users [ { user: a, password: secret } ] } }')
            rig.settings["nats.url"] = f"nats://a:secret@127.0.0.1:{rig.nats_port}"
            self.refused(rig, 3, "JetStream", "get", LIKE)

    def test_credentials(self):
        with Rig() as rig:
            rig.nats('authorization { user: someone, password: secret }')
            self.refused(rig, 3, "(?i)credential|authori[sz]ation", "get", LIKE)
            rig.settings["nats.url"] = f"nats://someone:wrong@127.0.0.1:{rig.nats_port}"
            done = rig.command("get", LIKE)
            self.assertNotIn("wrong@", done.stderr, "a password in an error line")
            self.refused(rig, 3, "(?i)credential|authori[sz]ation", "get", LIKE)
            rig.settings["nats.url"] = f"nats://someone:secret@127.0.0.1:{rig.nats_port}"
            self.assertEqual(rig.command("put", LIKE, "{}").returncode, 0)


class StoreTest(RefusalTest):
    BUCKET = {"name": "KV_record", "subjects": ["$KV.record.>"], "max_msgs_per_subject": 1, "discard": "new",
              "storage": "file", "allow_direct": True, "allow_rollup_hdrs": True, "deny_delete": True,
              "num_replicas": 1}

    def test_other_partitions(self):
        with Rig() as rig:
            rig.nats()
            self.assertEqual(rig.command("put", LIKE, "{}").returncode, 0)
            rig.settings["kv.partitions"] = 8
            self.refused(rig, 2, r"kv\.partitions = 16.*8", "run", stages=False)

    def test_other_bucket_settings(self):
        day = 86_400_000_000_000
        marker = {"allow_msg_ttl": True, "subject_delete_marker_ttl": day}
        subjects = r"subjects is \$KV\.record\.\*, must be \$KV\.record\.>"
        for change, shown in (({"max_msgs_per_subject": 5}, "max_msgs_per_subject is 5, must be 1"),
                              ({"max_age": day}, f"max_age is {day}, must be 0"),
                              ({"discard": "old"}, "discard is old, must be new"),
                              ({"retention": "interest"}, "retention is interest, must be limits"),
                              ({"subjects": ["$KV.record.*"]}, subjects), (marker, "subject_delete_marker_ttl is")):
            with self.subTest(change=change), Rig() as rig:
                rig.nats()
                made = rig.api("STREAM.CREATE.KV_record", **{**self.BUCKET, **change})["config"]
                self.refused(rig, 2, shown, "put", LIKE, "{}")
                self.assertEqual(rig.api("STREAM.INFO.KV_record")["config"], made)
                self.assertEqual(rig.stream("KV_record")["last_seq"], 0)

    def test_stock_bucket_is_taken(self):
        """Settings that do not touch the contract are left as they are."""
        with Rig() as rig:
            rig.nats()
            made = rig.api("STREAM.CREATE.KV_record", **{**self.BUCKET, "deny_delete": False, "description": "mine",
                                                         "compression": "s2", "max_msg_size": 100_000})["config"]
            self.assertEqual(rig.command("put", LIKE, "{}").returncode, 0)
            self.assertEqual(rig.api("STREAM.INFO.KV_record")["config"], made)

    def test_recreated_bucket(self):
        """States of accounts that belong to another store must not be trusted."""
        with Rig() as rig:
            rig.nats()
            self.assertEqual(rig.command("put", LIKE, "{}").returncode, 0)
            rig.api("STREAM.DELETE.KV_record")
            self.refused(rig, 2, "recreated.*nats stream rm KV_repo", "put", LIKE, "{}")


class ConfigTest(RefusalTest):
    def with_file(self, text: str, code: int, pattern: str, *more) -> None:
        with Rig() as rig:
            with open(rig.path("mine.toml"), "w") as f:
                f.write(text)
            for words in (("config", "check"), ("config", "show"), ("run",)):
                done = rig.command("--config", rig.path("mine.toml"), *more, *words, config=False)
                self.assertEqual(done.returncode, code, f"{text!r}: {done.stderr}")
                self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
                self.assertRegex(done.stderr, pattern)

    def test_mistakes_name_file_line_and_key(self):
        for text, pattern in (("[nats]\nurl = 'nats://x'\nurll = 1\n", r"mine\.toml:3: nats\.urll"),
                              ("[ingest]\n\nmax_msgs = 'many'\n", r"mine\.toml:3: ingest\.max_msgs"),
                              ("[ingest]\nstorage = 'tape'\n", r"mine\.toml:2: ingest\.storage.*file.*memory"),
                              ("[nats]\nsync_interval = '10 parsecs'\n", r"mine\.toml:2: nats\.sync_interval"),
                              ("[kv]\npartitions = 0\n", r"mine\.toml:2: kv\.partitions"),
                              ("[sauce]\nkind = 'file'\n", r"mine\.toml:1: \[sauce\]"),
                              ("stages = ['ingest', 'cook']\n", r"cook"),
                              ("[kv]\npartitions = = 3\n", r"mine\.toml:2"),
                              ("[kv]\nverify = 'half'\n", r"mine\.toml:2: kv\.verify.*full.*none")):
            with self.subTest(text=text):
                self.with_file(text, 2, pattern)

    def test_other_origins(self):
        with Rig() as rig:
            for words, pattern in ((("--set", "nats.urll=1"), r"nats\.urll"), (("--set", "nats"), "nats"),
                                   (("--config", "/nowhere.toml"), "/nowhere.toml"),
                                   (("--set", "source.kind=carrier-pigeon"), r"source\.kind.*firehose")):
                self.refused(rig, 2, pattern, *words, "config", "check", stages=False)
            self.assertEqual(rig.command("config", "check").stdout, "the configuration is valid\n")

    def test_show_tells_where_a_value_comes_from(self):
        with Rig() as rig:
            with unittest.mock.patch.dict(os.environ, {"RECORDKV_INGEST_MAX_MSGS": "1234"}):
                words = ("--set", "ingest.storage=memory", "config", "show")
                shown = rig.command(*words, inherit=("RECORDKV_INGEST_MAX_MSGS",)).stdout
            lines = {line.split()[0]: line for line in shown.splitlines()}
            self.assertRegex(lines["ingest.max_msgs"], r"= 1234 .*RECORDKV_INGEST_MAX_MSGS")
            self.assertRegex(lines["ingest.storage"], r'= "?memory"? .*--set')
            self.assertRegex(lines["nats.url"], rf"{rig.nats_port}.*recordkv\.toml:\d+")
            self.assertRegex(lines["kv.partitions"], r"= 16 .*default")

    def test_up_elsewhere(self):
        """`up` starts a server on this machine only."""
        with Rig() as rig:
            rig.settings["nats.url"] = f"nats://127.0.0.2:{free_port()}"
            self.refused(rig, 3, r"up.*this machine only", "up", stages=False)


if __name__ == "__main__":
    unittest.main()
