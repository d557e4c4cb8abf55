"""No document, redirect or DNS answer makes recordkv connect to an address that is not of the public internet.

Owns: the table of hostile input, run in a network where every address answers (own_network.py). Each row is run twice.
With the rule, nothing may be noted but what the row permits. Without the rule, its forbidden addresses must be noted:
so the row does lead there, and the listeners do notice.
"""

import json
import os
import subprocess
import tempfile
import unittest

import own_network

PUBLIC, DIRECTORY, PUBLIC6 = "93.184.216.34", "93.184.216.10", "2606:4700::77"
KEY = "zQ3shXjHeiBuRCKmM36cuYnm7YEMzhGnCmCyW92sRJ9pribSF"
PLC_URL = "http://plc.test"

ZONE = {
    "plc.test": [DIRECTORY], "good.test": [PUBLIC], "good6.test": [PUBLIC6], "redirect.test": [PUBLIC],
    "did-redirect.test": [PUBLIC], "mixed.test": ["10.1.2.3", PUBLIC, "fd00::1"], "silent.test": None,
    "rebinding.test": [[PUBLIC], ["10.9.9.9"]],
    "private.test": ["10.1.2.3"], "metadata.test": ["169.254.169.254"], "loopback.test": ["127.0.0.1"],
    "loopback6.test": ["::1"], "zero.test": ["0.0.0.0"], "ula.test": ["fc00::1"], "mapped.test": ["::ffff:10.1.2.3"],
    "nat64.test": ["64:ff9b::a01:203"], "6to4.test": ["2002:a01:203::1"], "teredo.test": ["2001:0:a01:203::1"],
    "compatible.test": ["::10.1.2.3"], "alias.test": ["= private.test"], "carrier.test": ["100.64.0.1"],
    "documentation6.test": ["2001:db8::1"], "multicast.test": ["224.0.0.1"], "both.test": ["192.168.1.1", "fd00::1"],
    "host.internal": ["10.1.2.3"], "localhost.localdomain": ["127.0.0.1"],
}
TLS_NAMES = [name for name in ZONE if name != "plc.test"]

LITERALS = ["127.0.0.1", "127.8.9.10", "10.1.2.3", "172.16.5.5", "172.31.255.255", "192.168.1.1", "169.254.169.254",
            "100.64.0.1", "0.0.0.0", "198.18.0.1", "192.0.0.8", "192.0.2.1", "192.88.99.1", "198.51.100.1",
            "203.0.113.1", "240.0.0.1", "224.0.0.1", "255.255.255.255", "[::1]", "[::]", "[fc00::1]",
            "[fd00:ec2::254]", "[fec0::1]", "[::ffff:10.1.2.3]", "[::10.1.2.3]", "[64:ff9b::a01:203]",
            "[2002:a01:203::1]", "[2001:0:a01:203::1]", "[2001:db8::1]", "[3fff::1]", "[100::1]", "[ff02::1]"]
# The kernel connects to none of these, or takes another address for it.
UNREACHABLE = {"224.0.0.1", "255.255.255.255", "ff02::1"}
SAME = {"0.0.0.0": "127.0.0.1", "::": "::1", "::ffff:10.1.2.3": "10.1.2.3"}

# spellings that resolvers of names read as addresses, and hosts that hide behind others
REFUSED_URLS = ["http://127.1/", "http://2130706433/", "http://0x7f000001/", "http://0177.0.0.1/", "http://127.0.0.1./",
                "http://0x7f.1/", "http://user@10.1.2.3/", "http://good.test@10.1.2.3/", "http://good.test\\@10.1.2.3/",
                "http://10.1.2.3#@good.test/", "http://[::1%25lo]/", "http://[fe80::1%25lo]/", "file:///etc/passwd",
                "gopher://10.1.2.3/"]
FORBIDDEN_NAMES = ["private.test", "metadata.test", "loopback.test", "loopback6.test", "zero.test", "ula.test",
                   "mapped.test", "nat64.test", "6to4.test", "teredo.test", "compatible.test", "alias.test",
                   "carrier.test", "documentation6.test", "multicast.test", "both.test"]
REFUSED_DID_WEB = ["127.0.0.1", "10.1.2.3%3A80", "good.test%3A8080", "good.test%3A80", "%5B%3A%3A1%5D", "0x7f.1",
                   "host.internal", "localhost.localdomain.local", "metadata.test%2Fx", "good.test:user:x",
                   "user@metadata.test", "good.test#x"]
REDIRECTS = ["http://10.1.2.3/", "http://169.254.169.254/latest/meta-data/", "http://127.0.0.1/", "http://[::1]/",
             "http://[::ffff:10.1.2.3]/", "http://private.test/", "http://loopback6.test/", "http://good.test:8080/",
             "http://redirect.test/8", "https://metadata.test/", "http://redirect.test:22/"]
LAST_REDIRECT = "http://10.7.7.7/"  # behind another redirect, the ninth row
PDS = ["https://10.1.2.3", "https://169.254.169.254", "https://private.test", "https://loopback6.test",
       "https://[::1]", "https://[64:ff9b::a01:203]", "https://good.test:8080", "https://redirect.test"]
PDS_IS_NONE = ["http://127.0.0.1", "https://user:pw@10.1.2.3", "https://good.test@10.1.2.3",
               "https://10.1.2.3#good.test", "https://2130706433", "https://127.1", "file:///etc/passwd",
               "https://10.1.2.3/path"]


def addresses(host: str) -> list:
    """Where a connection to that host would be noted."""
    host = host.strip("[]")
    found = []
    for one in ZONE.get(host) or [host]:
        found += addresses(one[2:]) if one.startswith("= ") else [one]
    return [SAME.get(a, a) for a in found if a not in UNREACHABLE]


def target_of(url: str) -> set:
    """The addresses and ports of an URL."""
    scheme, rest = url.split("://")
    authority = rest.split("/")[0]
    host, port = authority, 443 if scheme == "https" else 80
    if not authority.endswith("]") and ":" in authority:
        host, _, number = authority.rpartition(":")
        port = int(number)
    return {(a, port) for a in addresses(host)}


def did(number: int) -> str:
    return "did:plc:" + "".join("abcdefghij"[int(c)] for c in f"{number:024}")


def document(subject: str, pds: str) -> bytes:
    return http(200, json.dumps({
        "id": subject, "verificationMethod": [{"id": f"{subject}#atproto", "type": "Multikey", "controller": subject,
                                               "publicKeyMultibase": KEY}],
        "service": [{"id": "#atproto_pds", "type": "AtprotoPersonalDataServer", "serviceEndpoint": pds}]}))


def http(status: int, body: str = "", location: str = "") -> bytes:
    where = f"Location: {location}\r\n" if location else ""
    return f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\nConnection: close\r\n{where}\r\n{body}".encode()


def web() -> dict:
    """What the web servers say, by host and path."""
    out = {"": http(200, "hello")}
    for n, to in enumerate(REDIRECTS):
        out[f"redirect.test/{n}"] = http((301, 302, 303, 307, 308)[n % 5], location=to)
    out["redirect.test/8"] = http(302, location=LAST_REDIRECT)
    out["redirect.test/good"] = http(302, location="https://good.test/")
    out["redirect.test/xrpc/com.atproto.sync.getRepo"] = http(302, location="https://10.1.2.3/")
    out["did-redirect.test/.well-known/did.json"] = http(302, location="http://169.254.169.254/")
    for name in "good.test", "good6.test":
        out[f"{name}/.well-known/did.json"] = document(f"did:web:{name}", f"https://{name}")
    for n, pds in enumerate([*PDS, *PDS_IS_NONE, "https://good.test"]):
        out[f"plc.test/{did(n)}"] = document(did(n), pds)
    return out


def hostile_rows():
    """(line, outcome, what may be noted, what is noted without the rule)"""
    good, directory = {(PUBLIC, 443), (PUBLIC, 80)}, {(DIRECTORY, 80)}
    for host in LITERALS:
        yield f"url http://{host}/", "malformed", set(), target_of(f"http://{host}/")
    for url in REFUSED_URLS:
        yield f"url {url}", "malformed", set(), set()
    for name in FORBIDDEN_NAMES:
        yield f"url https://{name}/", "malformed", set(), target_of(f"https://{name}/")
        yield f"did did:web:{name}", "malformed", set(), target_of(f"https://{name}/")
    for name in REFUSED_DID_WEB:
        yield f"did did:web:{name}", "malformed", set(), set()
    yield "url http://good.test:8080/", "malformed", set(), {(PUBLIC, 8080)}
    yield "url https://good.test:22/", "malformed", set(), {(PUBLIC, 22)}
    for line in "url http://localhost/", "did did:web:localhost":
        yield line, "malformed", set(), {("127.0.0.1", 80), ("::1", 80)}
    for n, to in enumerate(REDIRECTS):
        further = {("10.7.7.7", 80)} if n == 8 else target_of(to)
        yield f"url http://redirect.test/{n}", "malformed", good, further
    yield "did did:web:did-redirect.test", "unreachable", good, set()
    for n, pds in enumerate(PDS):
        further = {("10.1.2.3", 443)} if pds == "https://redirect.test" else target_of(pds)
        yield f"did {did(n)}", "malformed", good | directory, further
    for n in range(len(PDS), len(PDS) + len(PDS_IS_NONE)):
        yield f"did {did(n)}", "no pds", directory, set()


class SsrfTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = cls.enterClassContext(tempfile.TemporaryDirectory())
        own_network.enter(cls.directory)
        cls.certificate = own_network.certificate_for(TLS_NAMES, cls.directory)
        cls.names = own_network.NameServer(ZONE)
        cls.listeners = own_network.Listeners(cls.certificate, web())

    def setUp(self):
        self.listeners.notes_of()  # forgets what an earlier test has left

    def program(self, rule: str) -> subprocess.Popen:
        trusting = {**os.environ, "SSL_CERT_FILE": self.certificate}
        started = subprocess.Popen([os.environ["RECORDKV_RESOLVE_ONCE"], PLC_URL, rule], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, text=True, env=trusting)
        self.addCleanup(started.stdout.close)
        self.addCleanup(started.wait, 20)
        self.addCleanup(started.stdin.close)
        return started

    def ask(self, program: subprocess.Popen, line: str) -> str:
        program.stdin.write(line + "\n")
        program.stdin.flush()
        return program.stdout.readline().rstrip("\n")

    def test_the_table_is_large(self):
        rows = list(hostile_rows())
        self.assertEqual(len({line for line, *_ in rows}), len(rows))
        self.assertGreater(len(rows), 100)

    def test_nothing_forbidden_is_connected(self):
        program = self.program("public")
        for line, outcome, may, _ in hostile_rows():
            with self.subTest(line):
                said = self.ask(program, line)
                self.assertTrue(said.startswith(outcome + "\t"), said)
                self.assertLessEqual(set(self.listeners.notes_of()), may)

    def test_without_the_rule_the_same_table_leads_there(self):
        """The control: what the test above does not find would have been found."""
        program = self.program("any")
        for line, _, _, further in hostile_rows():
            with self.subTest(line):
                self.ask(program, line)
                noted = set(self.listeners.notes_of())
                # Of several addresses of one host the first that answers is enough.
                self.assertTrue(not further or noted & further, noted)

    def test_the_listeners_notice_every_forbidden_address(self):
        reachable = {(a, port) for host in LITERALS for a in addresses(host) for port in own_network.PORTS}
        self.assertEqual(self.listeners.notes_of(*sorted(reachable)), [])

    def test_public_hosts_are_reached(self):
        program = self.program("public")
        for line, where in {
                "url http://good.test/": {(PUBLIC, 80)}, "url https://good.test/": {(PUBLIC, 443)},
                "url https://good6.test/": {(PUBLIC6, 443)}, "url http://mixed.test/": {(PUBLIC, 80)},
                "url http://redirect.test/good": {(PUBLIC, 80), (PUBLIC, 443)},
                "url http://[::ffff:93.184.216.34]/": {(PUBLIC, 80)},
                "did did:web:good.test": {(PUBLIC, 443)}, "did did:web:good6.test": {(PUBLIC6, 443)},
                f"did {did(len(PDS) + len(PDS_IS_NONE))}": {(DIRECTORY, 80), (PUBLIC, 443)}}.items():
            with self.subTest(line):
                said = self.ask(program, line)
                self.assertTrue(said.startswith("status 200\t"), said)
                self.assertEqual(set(self.listeners.notes_of()), where)

    def test_a_name_that_changes_its_address(self):
        """Each connection is made to an address that was checked; a later answer is checked again."""
        program = self.program("public")
        self.assertTrue(self.ask(program, "url http://rebinding.test/").startswith("status 200\t"))
        self.assertTrue(self.ask(program, "url http://rebinding.test/").startswith("malformed\t"))
        self.assertEqual(set(self.listeners.notes_of()), {(PUBLIC, 80)})

    def test_a_silent_name_server_holds_up_neither_others_nor_the_end(self):
        """The name server's silence lasts 30 s here, and the program's patience 3 s."""
        program = self.program("public")
        self.assertTrue(self.ask(program, "url http://silent.test/").startswith("timed_out\t"))
        self.assertTrue(self.ask(program, "url http://good.test/").startswith("status 200\t"))
        program.stdin.close()
        self.assertEqual(program.wait(20), 0)


if __name__ == "__main__":
    unittest.main()
