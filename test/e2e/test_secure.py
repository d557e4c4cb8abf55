"""NATS as it is really used: TLS, client certificates, passwords, credentials files, several servers; a wrong one of
each is one line that says which; and no secret stands in anything that recordkv writes.

Owns: servers with certificates and accounts made for the test. Refuses to know: how a record is stored.
"""

import json
import socket
import threading
import time
import unittest

from authority import Authority, Operator, PlainDoor, openssl
from rig import Rig, free_port, wait_for

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
        return f'tls {{ cert_file: "{certificate[0]}", key_file: "{certificate[1]}", timeout: 5\n{trusted} {more} }}\n'


class SecureTest(unittest.TestCase):
    def works(self, rig: Rig) -> None:
        """A record in, the record out; and the stages start and stop."""
        done = rig.command("put", LIKE, RECORD)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(json.loads(rig.command("get", LIKE).stdout)["$type"], "app.bsky.feed.like")
        part = rig.recordkv("kv,index")
        wait_for("the stages hold their locks", lambda: rig.command("status", "--json").stdout.count('"pid"') >= 2, 30)
        self.assertEqual(part.stop(), 0)

    def refused(self, rig: Rig, pattern: str, run: bool = True) -> str:
        """get, and running the stages, end with 3 and one line that matches."""
        for words in [("get", LIKE)] + ([("run",)] if run else []):
            done = rig.command(*words, seconds=25)
            said = [line for line in done.stderr.splitlines() if line.startswith("recordkv: ")]
            self.assertEqual(len(said), 1, f"{words}: {done.stderr}")
            self.assertRegex(said[0], pattern)
            self.assertEqual(done.returncode, 3, f"{words}: {done.stderr}")
        return said[0]


class CutWire:
    """Between recordkv and its server; cut() lets half of what comes next through, and then nothing more on the
    connections that stand. Later ones are whole."""

    def __init__(self, port: int):
        self.server, self.cutting, self.cuts = port, False, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()

    def cut(self) -> None:
        self.cutting = True

    def serve(self) -> None:
        while True:
            try:
                guest, _ = self.listener.accept()
                server = socket.create_connection(("127.0.0.1", self.server), 10)
            except OSError:
                return
            server.settimeout(None)
            threading.Thread(target=self.pump, args=(guest, server, False), daemon=True).start()
            threading.Thread(target=self.pump, args=(server, guest, True), daemon=True).start()

    def pump(self, a: socket.socket, b: socket.socket, down: bool) -> None:
        mine = False
        try:
            while data := a.recv(1 << 16):
                if mine:
                    continue
                if down and self.cutting:
                    mine, self.cutting, self.cuts = True, False, self.cuts + 1
                    data = data[:len(data) // 2]
                b.sendall(data)
        except OSError:
            pass
        for s in (a, b):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class TlsTest(SecureTest):
    def test_server_certificate(self):
        with SecureRig() as rig:
            ours, other = Authority(rig.directory, "ours"), Authority(rig.directory, "other")
            rig.nats(rig.tls(ours.sign("server", HOSTS)))
            rig.secure()
            rig.settings["nats.tls_ca"] = ours.certificate
            self.works(rig)
            rig.secure(host="localhost")
            self.works(rig)
            rig.secure(scheme="nats")
            self.works(rig)
            rig.settings["nats.tls_ca"] = other.certificate
            self.refused(rig, rf"certificate.*not trusted by nats\.tls_ca {other.certificate} \(")
            rig.settings["nats.tls_ca"] = ""
            self.refused(rig, r"certificate.*not trusted by this system \(.*set nats\.tls_ca")
            rig.secure()
            self.refused(rig, r"certificate.*not trusted by this system \(.*set nats\.tls_ca", run=False)

    def test_ca_file(self):
        with SecureRig() as rig:
            ours = Authority(rig.directory, "ours")
            rig.nats(rig.tls(ours.sign("server", HOSTS)))
            rig.secure()
            for name, content, pattern in (("missing.pem", None, "can't be read: No such file"),
                                           ("empty.pem", "", "not a PEM file"), ("words.pem", "hello", "not a PEM file"),
                                           ("broken.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                                            "is not usable")):
                rig.settings["nats.tls_ca"] = rig.path(name)
                if content is not None:
                    with open(rig.path(name), "w") as f:
                        f.write(content)
                self.refused(rig, rf"nats\.tls_ca: {rig.path(name)} .*{pattern}", run=name == "missing.pem")

    def test_another_host(self):
        for host, names in (("localhost", "DNS:elsewhere.example"), ("127.0.0.1", "DNS:localhost,IP:10.0.0.1")):
            with self.subTest(host=host), SecureRig() as rig:
                ours = Authority(rig.directory, "ours")
                rig.nats(rig.tls(ours.sign("server", names)))
                rig.settings["nats.tls_ca"] = ours.certificate
                for scheme in ("tls", "nats"):
                    rig.secure(host=host, scheme=scheme)
                    self.refused(rig, r"certificate.*is for another host \(.*mismatch\)", run=scheme == "tls")

    def test_expired(self):
        with SecureRig() as rig:
            ours = Authority(rig.directory, "ours")
            rig.nats(rig.tls(ours.sign("server", HOSTS, days=-1)))
            rig.secure()
            rig.settings["nats.tls_ca"] = ours.certificate
            self.refused(rig, "certificate.*expired")

    def test_plain_server(self):
        """tls:// is never answered in plain text."""
        with SecureRig() as rig:
            rig.nats()
            rig.secure()
            self.refused(rig, "requires no TLS.*write nats://")

    def test_tls_first(self):
        """nats.c waits for a greeting in plain text: a server without one is told, one that gives in is used."""
        with SecureRig() as rig:
            ours = Authority(rig.directory, "ours")
            cert = ours.sign("server", HOSTS)
            rig.settings["nats.tls_ca"] = ours.certificate
            rig.nats(rig.tls(cert, "handshake_first: true"))
            rig.secure()
            self.refused(rig, r'says nothing before TLS.*handshake_first: "auto"', run=False)
            rig.parts["nats"].stop()
            rig.nats(rig.tls(cert, "handshake_first: auto"))
            self.works(rig)


class ClientCertificateTest(SecureTest):
    def test_client_certificate(self):
        for version in ("1.2", "1.3"):
            with self.subTest(tls=version), SecureRig() as rig:
                ours, other = Authority(rig.directory, "ours"), Authority(rig.directory, "other")
                least = f'min_version: "1.3"' if version == "1.3" else 'cipher_suites: ["TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"]'
                rig.nats(rig.tls(ours.sign("server", HOSTS), f"verify: true, {least}", ca=ours.certificate))
                rig.secure()
                rig.settings["nats.tls_ca"] = ours.certificate
                self.refused(rig, r"asks for a client certificate; set nats\.tls_cert and nats\.tls_key")
                mine, theirs = ours.sign("me", "DNS:me"), other.sign("me", "DNS:me")
                rig.settings["nats.tls_cert"], rig.settings["nats.tls_key"] = mine
                self.works(rig)
                for _ in range(5):
                    rig.settings["nats.tls_cert"], rig.settings["nats.tls_key"] = theirs
                    self.refused(rig, rf"refuses our client certificate, nats\.tls_cert {theirs[0]} \(", run=False)
                rig.settings["nats.tls_cert"] = mine[0]
                self.refused(rig, rf"nats\.tls_key.*{mine[0]} with {theirs[1]} is not usable: .*mismatch")

    def test_files(self):
        with SecureRig() as rig:
            ours = Authority(rig.directory, "ours")
            rig.nats(rig.tls(ours.sign("server", HOSTS), "verify: true", ca=ours.certificate))
            rig.secure()
            rig.settings["nats.tls_ca"] = ours.certificate
            cert, key = ours.sign("me", "DNS:me")
            with open(key) as f:
                rig.secrets = f.read().splitlines()[1:-1]
            locked = rig.path("locked.key")
            openssl("pkey", "-in", key, "-aes256", "-passout", "pass:a-phrase", "-out", locked)
            for a, b, pattern in ((cert, "/nowhere.key", r"nats\.tls_key: /nowhere\.key can't be read"),
                                  ("/nowhere.pem", key, r"nats\.tls_cert: /nowhere\.pem can't be read"),
                                  (cert, locked, r"nats\.tls_key: .*locked\.key is not usable: it is encrypted"),
                                  (key, cert, r"nats\.tls_cert.*is not usable")):
                rig.settings["nats.tls_cert"], rig.settings["nats.tls_key"] = a, b
                self.refused(rig, pattern, run=False)


class PasswordTest(SecureTest):
    PASSWORD = "Correct/Horse,9@staple"

    def test_password(self):
        with SecureRig() as rig:
            rig.secrets = [self.PASSWORD, "Horse,9", "wr0ng-one", "T0ken-of-nobody"]
            rig.nats(f'authorization {{ user: alice, password: "{self.PASSWORD}" }}')
            rig.secure(scheme="nats", user=f"alice:{self.PASSWORD}@")
            self.works(rig)
            for user in ("alice:wr0ng-one@", "T0ken-of-nobody@"):
                rig.secure(scheme="nats", user=user)
                self.refused(rig, r"refuses the credentials in nats\.url; check user and password")
            rig.secure(scheme="nats")
            self.refused(rig, r"wants credentials; set nats\.creds, or write user:password@")
            rig.secure(scheme="nats", user=f"alice:{self.PASSWORD}@", port=free_port())
            self.refused(rig, "no NATS server answers", run=False)

    def test_token_over_tls(self):
        with SecureRig() as rig:
            rig.secrets = ["T0ken-of-mine"]
            ours = Authority(rig.directory, "ours")
            rig.nats(rig.tls(ours.sign("server", HOSTS)) + 'authorization { token: "T0ken-of-mine" }')
            rig.settings["nats.tls_ca"] = ours.certificate
            rig.secure(user="T0ken-of-mine@")
            self.works(rig)

    def test_several_servers(self):
        """The first that answers is used; user and password of one serve the others of its cluster, not of the list."""
        with SecureRig() as rig:
            rig.secrets = ["s3cret-word", "wr0ng-one"]
            rig.nats('authorization { user: alice, password: "s3cret-word" }')
            dead, good = f"nats://127.0.0.1:{free_port()}", f"nats://alice:s3cret-word@127.0.0.1:{rig.nats_port}"
            bad = good.replace("s3cret-word", "wr0ng-one")
            for urls in (f"{dead},{good}", f"{good},{dead}", f"{dead},{good},{dead}"):
                rig.settings["nats.url"] = urls
                self.works(rig)
            for urls in (f"{dead},{bad}", f"{bad},{dead}"):
                rig.settings["nats.url"] = urls
                self.refused(rig, r"refuses the credentials in nats\.url")
            rig.settings["nats.url"] = f"{dead},nats://bob:s3cret-word@127.0.0.1:{free_port()}"
            self.refused(rig, "no NATS server answers.*;.*;", run=False)

    def test_password_changed_while_running(self):
        """Refused at a reconnect is no end: it is told, tried again, and mended by the right password on the server."""
        with SecureRig() as rig:
            rig.secrets = ["s3cret-word", "an0ther-word"]
            def server(word: str) -> None:
                rig.nats(f'authorization {{ user: alice, password: "{word}" }}')
            server("s3cret-word")
            rig.secure(scheme="nats", user="alice:s3cret-word@")
            rig.url = rig.settings["nats.url"]
            part = rig.recordkv("kv,index")
            wait_for("connected", lambda: " connected to server" in part.text(), 30)
            rig.parts["nats"].stop()
            server("an0ther-word")
            wait_for("the refusal is told", lambda: "refuses the credentials in nats.url" in part.text(), 30)
            rig.parts["nats"].stop()
            server("s3cret-word")
            wait_for("connected again", lambda: part.text().count("reconnected to server") >= 1, 30)
            wait_for("both stages hold their locks", lambda: rig.command("status", "--json").stdout.count('"pid"') >= 2, 30)
            self.assertEqual(part.stop(), 0)


class CredentialsTest(SecureTest):
    def test_credentials_file(self):
        with SecureRig() as rig:
            ours, other = Operator(rig.directory, "ours"), Operator(rig.directory, "other")
            rig.nats(ours.server_config())
            rig.secure(scheme="nats")
            self.refused(rig, r"wants credentials; set nats\.creds")
            rig.settings["nats.creds"], seed = ours.credentials("me")
            rig.secrets.append(seed)
            self.works(rig)
            foreign, foreign_seed = other.credentials("me")
            expired, expired_seed = ours.credentials("old", expires=int(time.time()) - 60)
            rig.secrets += [foreign_seed, expired_seed]
            for path in (foreign, expired):
                rig.settings["nats.creds"] = path
                self.refused(rig, rf"refuses the credentials in nats\.creds {path};", run=path == foreign)

    def test_malformed(self):
        """nats.c would send all of such a file to the server."""
        with SecureRig() as rig:
            ours = Operator(rig.directory, "ours")
            rig.nats(ours.server_config() + "\ntrace: true\n")
            rig.secure(scheme="nats")
            path, seed = ours.credentials("me")
            rig.secrets.append(seed)
            with open(path) as f:
                whole = f.read()
            wrong = rig.path("wrong.creds")
            rig.settings["nats.creds"] = wrong
            self.refused(rig, rf"nats\.creds: {wrong} can't be read: No such file")
            jwt, key = whole.split("\n\n")
            for text, missing in (("", "JWT"), ("hello", "JWT"), (key, "JWT"), (jwt, "key"), (seed, "JWT"),
                                  (whole.replace(seed, seed[:-4]), "key"), (whole.replace("NATS USER JWT", "X"), "JWT")):
                with open(wrong, "w") as f:
                    f.write(text)
                self.refused(rig, rf"nats\.creds: {wrong} is no credentials file \(its user {missing} is missing", run=False)
            with open(wrong, "w") as f:  # a character too many of a checksum
                f.write(whole.replace(seed, seed[:-1] + ("A" if seed[-1] != "A" else "B")))
            self.refused(rig, "nats.creds", run=False)
            rig.settings["nats.creds"] = rig.directory
            self.refused(rig, r"nats\.creds: .*Is a directory", run=False)
            self.assertNotIn(seed, rig.parts["nats"].text())


class PipeTest(SecureTest):
    EVENTS = 50_000

    def test_pipe_over_tls(self):
        """A burst over TLS with a client certificate and a password, the server killed in the middle, twice: the process
        goes on, nothing is lost, and nothing stays unread behind TLS."""
        with SecureRig() as rig:
            rig.secrets = ["s3cret-word"]
            ours = Authority(rig.directory, "ours")
            mine = ours.sign("me", "DNS:me")
            alice = 'authorization { user: alice, password: "s3cret-word" }'
            rig.nats(rig.tls(ours.sign("server", HOSTS), "verify: true", ca=ours.certificate) + alice)
            rig.secure(user="alice:s3cret-word@")
            rig.settings.update({"nats.tls_ca": ours.certificate, "nats.tls_cert": mine[0], "nats.tls_key": mine[1]})
            with PlainDoor(rig.nats_port, ours.certificate, mine) as door:
                rig.url = f"nats://alice:s3cret-word@127.0.0.1:{door.port}"
                rig.simulator("--events", self.EVENTS, "--accounts", 500)
                part = rig.recordkv()
                for n in (1, 2):
                    mark = n * self.EVENTS // 4
                    wait_for(f"{mark} events", lambda: rig.stream("KV_record")["last_seq"] > mark, 60)
                    rig.parts["nats"].kill()
                    rig.parts["nats"].start()
                    rig.wait_nats()
                    wait_for("it is connected again", lambda: part.text().count("reconnected to server") >= n, 30)
                rig.check_store(120)
                self.assertTrue(part.running())
                self.assertEqual(part.starts, 1)
                self.assertEqual(part.stop(), 0)

    def test_half_a_record(self):
        """A record that never becomes whole does not hold up the process: it notices, and connects anew."""
        with SecureRig() as rig:
            ours = Authority(rig.directory, "ours")
            rig.nats(rig.tls(ours.sign("server", HOSTS)))
            rig.settings["nats.tls_ca"] = ours.certificate
            with PlainDoor(rig.nats_port, ours.certificate) as door, CutWire(rig.nats_port) as wire:
                rig.url = f"nats://127.0.0.1:{door.port}"
                rig.secure(port=wire.port)
                rig.simulator("--events", 20_000, "--accounts", 100, "--rate", 1000)
                part = rig.recordkv()
                wait_for("events flow", lambda: rig.stream("KV_record")["last_seq"] > 1000, 60)
                wire.cut()
                wait_for("it is connected again", lambda: part.text().count("reconnected to server") >= 1, 60)
                self.assertEqual(wire.cuts, 1)
                rig.check_store(120)
                self.assertEqual(part.stop(), 0)


if __name__ == "__main__":
    unittest.main()
