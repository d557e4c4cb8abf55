"""NATS as it is really used: TLS, client certificates, passwords, credentials files, several servers; a wrong one of
each is one line that says which; and no secret stands in anything that recordkv writes.

Owns: servers with certificates and accounts made for the test. Does not know: the pipe (test_secure_pipe.py).
"""

import time
import unittest

from authority import Authority, Operator, openssl
from rig import free_port, wait_for
from secure_rig import HOSTS, SecureRig, SecureTest


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
            broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
            for name, content, pattern in (("missing.pem", None, "can't be read: No such file"),
                                           ("empty.pem", "", "not a PEM file"),
                                           ("words.pem", "hello", "not a PEM file"),
                                           ("broken.pem", broken, "is not usable")):
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
        with SecureRig() as rig:
            ours, other = Authority(rig.directory, "ours"), Authority(rig.directory, "other")
            rig.nats(rig.tls(ours.sign("server", HOSTS), "verify: true", ca=ours.certificate))
            rig.secure()
            rig.settings["nats.tls_ca"] = ours.certificate
            self.refused(rig, r"asks for a client certificate; set nats\.tls_cert and nats\.tls_key")
            mine, theirs = ours.sign("me", "DNS:me"), other.sign("me", "DNS:me")
            rig.settings["nats.tls_cert"], rig.settings["nats.tls_key"] = mine
            self.works(rig)
            rig.settings["nats.tls_cert"], rig.settings["nats.tls_key"] = theirs
            for again in range(5):  # the refusal comes after the handshake, and races with what we send
                self.refused(rig, rf"refuses the client certificate, nats\.tls_cert {theirs[0]} \(", run=again == 0)
            rig.settings["nats.tls_cert"] = mine[0]
            self.refused(rig, rf"nats\.tls_key: {mine[0]} with {theirs[1]} is not usable: .*mismatch")

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
            self.stages_run(rig)
            rig.parts["nats"].stop()
            server("an0ther-word")
            wait_for("the refusal is told", lambda: "refuses the credentials in nats.url" in part.text(), 30)
            rig.parts["nats"].stop()
            server("s3cret-word")
            wait_for("connected again", lambda: part.text().count("reconnected to server") >= 1, 30)
            self.stages_run(rig)
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
                                  (whole.replace(seed, seed[:-4]), "key"),
                                  (whole.replace("NATS USER JWT", "X"), "JWT")):
                with open(wrong, "w") as f:
                    f.write(text)
                self.refused(rig, rf"nats\.creds: {wrong} is no credentials file \(its user {missing} is", run=False)
            with open(wrong, "w") as f:  # its checksum is wrong (not the last letter: its low bits say nothing)
                f.write(whole.replace(seed, seed[:20] + ("A" if seed[20] != "A" else "B") + seed[21:]))
            self.refused(rig, "nats.creds", run=False)
            rig.settings["nats.creds"] = rig.directory
            self.refused(rig, r"nats\.creds: .*Is a directory", run=False)
            self.assertNotIn(seed, rig.parts["nats"].text())


if __name__ == "__main__":
    unittest.main()
