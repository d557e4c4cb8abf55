"""A network of this process's own, in which every address of the internet is this machine.

Owns: the namespaces, a name server, listeners that note each connection by the address it was made to, and a
certificate that the listeners show. Does not know: what connects, and whether it may.
The kernel delivers connections to any address to the listeners ("local default dev lo"), so none can be missed.
Root is needed, or user namespaces; needs.py looks for them.
"""

import contextlib
import ctypes
import ipaddress
import os
import socket
import ssl
import struct
import subprocess
import threading

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWNET = 0x00020000, 0x10000000, 0x40000000
NAME_SERVER = "127.0.0.53"
A, AAAA, CNAME = 1, 28, 5
PORTS = (80, 443, 22, 2375, 4222, 5432, 6379, 8080)

libc = ctypes.CDLL(None, use_errno=True)


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=30)


def enter(directory: str) -> None:
    """From now on this process, and what it starts, has the network to itself. There is no way back."""
    uid, gid = os.geteuid(), os.getegid()
    flags = CLONE_NEWNS | CLONE_NEWNET | (CLONE_NEWUSER if uid else 0)
    if libc.unshare(flags) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    if uid:
        for name, text in ("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1"):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as f:
                f.write(text)
    run("mount", "--make-rprivate", "/")
    for name, text in {"resolv.conf": f"nameserver {NAME_SERVER}\noptions timeout:30 attempts:1\n",
                       "nsswitch.conf": "hosts: files dns\n", "hosts": "127.0.0.1 localhost\n::1 localhost\n"}.items():
        path = os.path.join(directory, name)
        with open(path, "w", encoding="ascii") as f:
            f.write(text)
        run("mount", "--bind", path, f"/etc/{name}")
    run("ip", "link", "set", "lo", "up")
    run("ip", "route", "add", "local", "default", "dev", "lo")
    run("ip", "-6", "route", "add", "local", "default", "dev", "lo")


def certificate_for(names, directory: str) -> str:
    """A self-signed certificate and its key, in one file."""
    path = os.path.join(directory, "certificate.pem")
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
        "-subj", "/CN=test", "-addext", "subjectAltName=" + ",".join(f"DNS:{n}" for n in names),
        "-keyout", path + ".key", "-out", path)
    with open(path + ".key", encoding="ascii") as key, open(path, "a", encoding="ascii") as both:
        both.write(key.read())
    return path


class NameServer:
    """Answers from a table: a name to its addresses, to "= OTHER NAME", or to None for silence. A list of lists is told
    in turn, the last one for ever."""

    def __init__(self, zone: dict):
        self.zone, self.asked = zone, {}
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((NAME_SERVER, 53))
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        while True:
            query, client = self.socket.recvfrom(4096)
            if (said := self.answer(query)) is not None:
                self.socket.sendto(said, client)

    def addresses(self, name: str, kind: int):
        found = self.zone[name]
        if found and isinstance(found[0], list):
            turn = self.asked[name, kind] = self.asked.get((name, kind), -1) + 1
            found = found[min(turn, len(found) - 1)]
        return found

    def records(self, name: str, kind: int) -> list:
        out = []
        for text in self.addresses(name, kind):
            if text.startswith("= "):
                labels = text[2:].split(".")
                out.append((CNAME, b"".join(bytes([len(x)]) + x.encode() for x in labels) + b"\0", name))
                out += [(k, data, text[2:]) for k, data, _ in self.records(text[2:], kind)]
                continue
            address = ipaddress.ip_address(text)
            if (A if address.version == 4 else AAAA) == kind:
                out.append((kind, address.packed, name))
        return out

    def answer(self, query: bytes):
        at, labels = 12, []
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode().lower())
            at += 1 + query[at]
        name, kind = ".".join(labels), struct.unpack(">H", query[at + 1:at + 3])[0]
        if name in self.zone and self.zone[name] is None:
            return None
        records = self.records(name, kind) if name in self.zone else []
        head = query[:2] + struct.pack(">HHHHH", 0x8180 if name in self.zone else 0x8183, 1, len(records), 0, 0)
        body = b"".join(b"".join(bytes([len(x)]) + x.encode() for x in owner.split(".")) + b"\0" +
                        struct.pack(">HHIH", k, 1, 0, len(data)) + data for k, data, owner in records)
        return head + query[12:at + 5] + body


class Listeners:
    """Connections to every address, at PORTS. Behind 80 and 443 a web server: `answers` maps "HOST/PATH" to bytes."""

    def __init__(self, certificate: str, answers: dict):
        self.answers = answers
        self.noted, self.changed = [], threading.Condition()
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(certificate)
        for port in PORTS:
            for family, everywhere in (socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::"):
                listener = socket.create_server((everywhere, port), family=family, backlog=200)
                threading.Thread(target=self.serve, args=(listener, port), daemon=True).start()

    def serve(self, listener: socket.socket, port: int) -> None:
        while True:
            guest, _ = listener.accept()
            with self.changed:
                self.noted.append((guest.getsockname()[0], port))
                self.changed.notify_all()
            threading.Thread(target=self.talk, args=(guest, port), daemon=True).start()

    def talk(self, guest: socket.socket, port: int) -> None:
        with contextlib.suppress(OSError), guest:
            guest.settimeout(20)
            if port != 443:
                self.say(guest)
                return
            with self.tls.wrap_socket(guest, server_side=True) as stream:
                self.say(stream)

    def say(self, stream: socket.socket) -> None:
        asked = b""
        while not asked.endswith(b"\r\n\r\n") and (more := stream.recv(4096)):
            asked += more
        lines = asked.decode(errors="replace").split("\r\n")
        if len(lines) > 2:
            host = next((line[6:] for line in lines if line.lower().startswith("host: ")), "")
            path = lines[0].split(" ")[1]
            stream.sendall(self.answers.get(host + path, self.answers[""]))

    def notes_of(self, *to: tuple) -> list:
        """All that has been noted. Each listener takes its connections in their order: once it has noted a connection
        made now, it has noted all earlier ones. `to`: further addresses and ports to connect to."""
        probes = [(address, port) for port in PORTS for address in ("127.255.0.1", "2001:db8:ffff::1")] + list(to)
        with self.changed:
            before = len(self.noted)
        for address, port in probes:
            socket.create_connection((address, port), 10).close()
        with self.changed:
            done = self.changed.wait_for(lambda: all(p in self.noted[before:] for p in probes), 20)
            assert done, "the listeners do not notice connections"
            found = self.noted[:]
            self.noted.clear()
        for probe in probes:
            found.remove(probe)
        return found
