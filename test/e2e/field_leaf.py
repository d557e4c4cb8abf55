"""Leaf nodes and JetStream domains, bare NKeys, an inbox of one's own.

Owns: a hub and a leaf node, servers that know one user by its NKey or permit one inbox only.
Does not know: how recordkv forms its subjects.
"""

import base64
import json
import os
import subprocess
import unittest

from rig import Rig, free_port, program, wait_for
from secure_rig import LIKE, RECORD, SecureRig
import nats_wire


class LeafRig(Rig):
    """`self.url` is the hub, on which the facts are looked up; recordkv is given the leaf."""

    def servers(self, leaf: str = 'jetstream { store_dir: "%s", domain: edge }', user: str = "") -> None:
        self.join, self.leaf_port = free_port(), free_port()
        self.nats(f'leafnodes {{ listen: "127.0.0.1:{self.join}" }}\n', limits=", domain: hub")
        conf = self.path("leaf.conf")
        with open(conf, "w", encoding="utf-8") as f:
            f.write(f'listen: "127.0.0.1:{self.leaf_port}"\nmax_payload: 8MB\n{user}\n'
                    f'leafnodes {{ reconnect: "1s", remotes: [ {{ url: "nats://127.0.0.1:{self.join}" }} ] }}\n')
            f.write((leaf % self.path("edge") if "%s" in leaf else leaf) + "\n")
        part = self.add("leaf", [program("RECORDKV_NATS_SERVER", "nats-server"), "-c", conf])
        wait_for("the leaf is connected", lambda: "Leafnode connection created" in part.text(), 30)
        self.leaf_url = f"nats://127.0.0.1:{self.leaf_port}"
        self.settings["nats.url"] = self.leaf_url

    def streams_at(self, domain: str) -> list:
        with nats_wire.Connection(self.leaf_url) as at_leaf:
            answer = json.loads(at_leaf.request(f"$JS.{domain}.API.STREAM.NAMES").payload)
        return answer.get("streams") or []


class DomainTest(unittest.TestCase):
    def whole_pipe(self, rig: LeafRig) -> None:
        """From the source to the view, all at the leaf, all in the hub."""
        rig.simulator("--events", 400, "--rate", 2000, "--wait-for-client")
        part = rig.recordkv("ingest,kv,index")
        rig.check_store(40)
        self.assertIn("in JetStream domain hub", part.text())
        status = json.loads(rig.command("status", "--json").stdout)
        self.assertEqual(status["nats"]["domain"], "hub")
        self.assertIn("JetStream domain hub", rig.command("status").stdout)
        self.assertEqual(rig.command("put", LIKE, RECORD).returncode, 0)
        self.assertEqual(json.loads(rig.command("get", LIKE).stdout)["$type"], "app.bsky.feed.like")
        self.assertEqual(part.stop(), 0, part.text())
        part = rig.recordkv("ingest,kv,index")  # rewinds its durables, reads its states
        wait_for("it runs again", lambda: rig.report("kv").get("state") == "running"
                 and rig.report("kv")["pid"] == part.process.pid)
        self.assertEqual(part.stop(), 0, part.text())

    def test_a_leaf_with_a_domain_of_its_own(self):
        with LeafRig() as rig:
            rig.servers()
            rig.settings["nats.domain"] = "hub"
            self.whole_pipe(rig)
            self.assertEqual(rig.streams_at("edge"), [])

    def test_a_leaf_without_jetstream(self):
        with LeafRig() as rig:
            rig.servers(leaf="")
            rig.settings["nats.api_prefix"] = "$JS.hub.API"
            self.whole_pipe(rig)

    def test_without_the_option_the_domain_is_told(self):
        with LeafRig() as rig:
            rig.servers()
            part = rig.recordkv("kv")
            wait_for("it runs", lambda: "KV_record" in rig.streams_at("edge")
                     and "in JetStream domain edge" in part.text())
            self.assertIn("that of this server; nats.domain names another", part.text())
            self.assertEqual(json.loads(rig.command("status", "--json").stdout)["nats"]["domain"], "edge")
            self.assertEqual(part.stop(), 0)

    def test_without_jetstream_one_line_names_the_option(self):
        with LeafRig() as rig:
            rig.servers(leaf="")
            for words in (("get", LIKE), ("--stages=kv", "run")):
                done = rig.command(*words)
                said = [line for line in done.stderr.splitlines() if line.startswith("recordkv: ")]
                self.assertEqual((done.returncode, len(said)), (3, 1), done.stderr)
                self.assertIn("set nats.domain", said[0])

    def test_a_domain_that_is_not_there(self):
        with LeafRig() as rig:
            rig.servers()
            rig.settings["nats.domain"] = "hbu"
            done = rig.command("get", LIKE)
            self.assertEqual(done.returncode, 3, done.stderr)
            self.assertRegex(done.stderr, r"\$JS\.hbu\.API\.INFO: nats\.domain")

    def test_a_buffer_at_the_edge_would_take_the_frames(self):
        with LeafRig() as rig:
            rig.servers()
            part = rig.recordkv("kv", name="before")  # as it was started before nats.domain was set
            wait_for("it made its streams at the edge", lambda: "ingest" in rig.streams_at("edge"))
            self.assertEqual(part.stop(), 0)
            rig.settings["nats.domain"] = "hub"
            done = rig.command("--stages=ingest", "run")
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn("nats --js-domain edge stream rm ingest", done.stderr)

    def test_what_the_leaf_denies_is_told_as_the_server_sees_it(self):
        with LeafRig() as rig:
            rig.servers(user='authorization { users [ { user: me, password: secret, permissions: { publish: '
                             '{ deny: "$JS.hub.API.$KV.record.>" } } } ] }')
            rig.settings["nats.url"] = f"nats://me:secret@127.0.0.1:{rig.leaf_port}"
            rig.settings["nats.domain"] = "hub"
            rig.simulator("--events", 200, "--rate", 2000, "--wait-for-client")
            part = rig.recordkv("ingest,kv")
            stalled = wait_for("kv stalls", lambda: (r := rig.report("kv")).get("state") == "stalled" and r)
            self.assertIn("publish to $JS.hub.API.$KV.record.", stalled["reason"])
            lines = [line for line in part.text().splitlines() if "does not permit" in line and "$KV.record." in line]
            self.assertLessEqual(len(lines), 3, lines)  # not one a record
            part.kill()


def crc16(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc


def encoded(data: bytes) -> str:
    return base64.b32encode(data + crc16(data).to_bytes(2, "little")).decode().rstrip("=")


def new_nkey(directory: str) -> tuple[str, str]:
    """Seed and public key of a user; the key pair is OpenSSL's."""
    pem = os.path.join(directory, "key.pem")
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", pem], check=True, capture_output=True)
    private = subprocess.run(["openssl", "pkey", "-in", pem, "-outform", "DER"], check=True,
                             capture_output=True).stdout[-32:]
    public = subprocess.run(["openssl", "pkey", "-in", pem, "-pubout", "-outform", "DER"], check=True,
                            capture_output=True).stdout[-32:]
    user = 20 << 3
    return encoded(bytes([18 << 3 | user >> 5, (user & 31) << 3]) + private), encoded(bytes([user]) + public)


class NkeyTest(unittest.TestCase):
    def test_a_bare_seed(self):
        with SecureRig() as rig:
            seed, public = new_nkey(rig.directory)
            other, _ = new_nkey(rig.directory)
            rig.secrets += [seed, other]
            rig.nats(f"authorization {{ users [ {{ nkey: {public} }} ] }}")
            done = rig.command("get", LIKE)
            self.assertIn("nats.nkey_seed", done.stderr)
            rig.settings["nats.nkey_seed"] = path = rig.path("me.nk")
            for text, wrong in ((other + "\n", "refuses the NKey in nats.nkey_seed"),
                                (seed[:-1] + "\n", "no file with the seed"),
                                ("S" + seed, "no file with the seed"), (public, "no file with the seed"),
                                ("", "no file with the seed"),
                                (seed, ""), (seed + "\r\n", ""), ("\n " + seed + "\n\n", "")):
                with open(path, "w", encoding="ascii") as f:
                    f.write(text)
                with self.subTest(text=text.replace(seed, "SEED")):
                    done = rig.command("put", LIKE, RECORD)
                    self.assertEqual(done.returncode, 3 if wrong else 0, done.stderr)
                    self.assertIn(wrong, done.stderr)
            os.remove(path)
            self.assertIn("can't be read", rig.command("get", LIKE).stderr)
            with open(path, "w", encoding="ascii") as f:
                f.write(seed)
            part = rig.recordkv("kv")
            wait_for("it runs", lambda: '"state":"running"' in rig.command("status", "--json").stdout.replace(" ", ""))
            rig.parts["nats"].kill()  # it signs anew at every connect
            rig.parts["nats"].start()
            wait_for("it is connected again", lambda: "reconnected" in part.text())
            self.assertEqual(part.stop(), 0, part.text())


class InboxTest(unittest.TestCase):
    def test_only_one_prefix_is_permitted(self):
        with Rig() as rig:
            admin, narrow = (f"nats://{u}:secret@127.0.0.1:{rig.nats_port}" for u in ("admin", "narrow"))
            rig.url, rig.settings["nats.url"] = admin, narrow
            rig.nats('authorization { users [ { user: admin, password: secret }, { user: narrow, password: secret, '
                     'permissions: '
                     '{ subscribe: { allow: [ "_INBOX.team.a.>" ] } } } ] }')
            done = rig.command("get", LIKE)
            self.assertEqual(done.returncode, 3, done.stderr)
            self.assertIn("set nats.inbox_prefix", done.stderr)
            rig.settings["nats.inbox_prefix"] = "_INBOX.team.a"
            rig.simulator("--events", 200, "--rate", 2000, "--wait-for-client")
            part = rig.recordkv()
            rig.check_store(40)
            self.assertEqual(part.stop(), 0)
            self.assertNotIn("Permissions Violation", part.text())


if __name__ == "__main__":
    unittest.main()
