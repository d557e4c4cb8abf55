"""Certificates, keys and credentials files for a test, made with the openssl program and nothing else.

Owns: certificate authorities and what they sign; NATS operators, accounts, users (nkeys and JWTs, written from their
specification). Does not know: servers, recordkv.
"""

import base64
import binascii
import hashlib
import json
import os
import subprocess
import time

OPERATOR, ACCOUNT, USER, SEED = 14 << 3, 0, 20 << 3, 18 << 3


def openssl(*words, stdin: bytes = b"") -> bytes:
    done = subprocess.run(["openssl", *map(str, words)], input=stdin, capture_output=True, timeout=60)
    if done.returncode != 0:
        raise AssertionError(f"openssl {' '.join(map(str, words))}: {done.stderr.decode()}")
    return done.stdout


class Authority:
    """A certificate authority in a directory; sign() returns the paths of a certificate and its key."""

    def __init__(self, directory: str, name: str):
        self.directory, self.name = directory, name
        self.certificate = self.path(name + "-ca.pem")
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", 2, "-subj",
                f"/CN={name} authority", "-keyout", self.path(name + "-ca.key"), "-out", self.certificate)

    def path(self, name: str) -> str:
        return os.path.join(self.directory, name)

    def sign(self, name: str, alternative: str, days: int = 2) -> tuple[str, str]:
        cert, key, extra = (self.path(f"{self.name}-{name}.{end}") for end in ("pem", "key", "ext"))
        with open(extra, "w") as f:
            f.write(f"subjectAltName={alternative}\nextendedKeyUsage=serverAuth,clientAuth\n")
        request = openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
                          f"/CN={name}", "-keyout", key)
        openssl("x509", "-req", "-days", days, "-CA", self.certificate, "-CAkey", self.path(self.name + "-ca.key"),
                "-CAcreateserial", "-extfile", extra, "-out", cert, stdin=request)
        return cert, key


def nkey_text(raw: bytes) -> str:
    return base64.b32encode(raw + binascii.crc_hqx(raw, 0).to_bytes(2, "little")).decode().rstrip("=")


class Nkey:
    """An Ed25519 pair as NATS writes it: the public key begins with O, A or U, the seed with S."""

    def __init__(self, directory: str, name: str, kind: int):
        self.file = os.path.join(directory, name + ".ed25519")
        openssl("genpkey", "-algorithm", "ed25519", "-out", self.file)
        private = openssl("pkey", "-in", self.file, "-outform", "DER")[-32:]
        public = openssl("pkey", "-in", self.file, "-pubout", "-outform", "DER")[-32:]
        self.public = nkey_text(bytes([kind]) + public)
        self.seed = nkey_text(bytes([SEED | kind >> 5, (kind & 31) << 3]) + private)

    def sign(self, data: bytes) -> bytes:
        blob = self.file + ".data"  # openssl wants the length of it beforehand
        with open(blob, "wb") as f:
            f.write(data)
        return openssl("pkeyutl", "-sign", "-rawin", "-inkey", self.file, "-in", blob)


def unpadded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def jwt(issuer: Nkey, subject: Nkey, name: str, claims: dict, expires: int = 0) -> str:
    body = {"iat": int(time.time()), "iss": issuer.public, "name": name, "sub": subject.public,
            "nats": {**claims, "version": 2}, **({"exp": expires} if expires else {})}
    body["jti"] = base64.b32encode(hashlib.sha256(json.dumps(body).encode()).digest()).decode().rstrip("=")
    head = unpadded(json.dumps({"typ": "JWT", "alg": "ed25519-nkey"}).encode())
    text = f"{head}.{unpadded(json.dumps(body).encode())}"
    return f"{text}.{unpadded(issuer.sign(text.encode()))}"


class Operator:
    """An operator with one account that has JetStream, and users of it."""

    LIMITS = {"subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": True, "conn": -1,
              "leaf": -1, "mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1}

    def __init__(self, directory: str, name: str):
        self.directory, self.name = directory, name
        operator = Nkey(directory, name + "-operator", OPERATOR)
        self.account = Nkey(directory, name + "-account", ACCOUNT)
        self.jwt = jwt(operator, operator, name, {"type": "operator"})
        self.account_jwt = jwt(operator, self.account, "A", {"type": "account", "limits": self.LIMITS})
        self.system = Nkey(directory, name + "-system", ACCOUNT)  # JetStream wants one
        jetstream = ("mem_storage", "disk_storage", "streams", "consumer")
        plain = {k: v for k, v in self.LIMITS.items() if k not in jetstream}
        self.system_jwt = jwt(operator, self.system, "SYS", {"type": "account", "limits": plain})

    def server_config(self) -> str:
        preload = f"{self.account.public}: {self.account_jwt}\n{self.system.public}: {self.system_jwt}"
        return (f"operator: {self.jwt}\nresolver: MEMORY\nsystem_account: {self.system.public}\n"
                f"resolver_preload: {{\n{preload}\n}}\n")

    def credentials(self, name: str, expires: int = 0) -> tuple[str, str]:
        """The path of a credentials file, and the secret in it."""
        user = Nkey(self.directory, f"{self.name}-{name}", USER)
        limits = {"subs": -1, "data": -1, "payload": -1}
        text = jwt(self.account, user, name, {"type": "user", "pub": {}, "sub": {}, **limits}, expires)
        path = os.path.join(self.directory, f"{self.name}-{name}.creds")
        with open(path, "w") as f:
            f.write(f"-----BEGIN NATS USER JWT-----\n{text}\n------END NATS USER JWT------\n\n"
                    f"-----BEGIN USER NKEY SEED-----\n{user.seed}\n------END USER NKEY SEED------\n")
        return path, user.seed
