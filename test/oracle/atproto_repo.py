"""Repos as their specification has them, read from bytes: CBOR, CAR files, trees, keys.

Owns: decoders that refuse what is not canonical, the tree of a set of records, undoing a commit.
Does not know: the stream. It shares no code with recordkv or its simulator, and builds trees in
another way than both: whole, from the sorted paths.
"""

import base64
import functools
import hashlib
import subprocess
import tempfile
from typing import NamedTuple

import dag_cbor


class Cid(bytes):
    """36 binary bytes."""

    def __str__(self):
        return "b" + base64.b32encode(self).decode().lower().rstrip("=")


def cid_of(block: bytes) -> Cid:
    return Cid(b"\x01\x71\x12\x20" + hashlib.sha256(block).digest())


class Malformed(ValueError):
    """The bytes break their format."""


def require(condition, text: str) -> None:
    if not condition:
        raise Malformed(text)


def _head(data: bytes, at: int) -> tuple[int, int, int]:
    require(at < len(data), "cut off")
    major, info = data[at] >> 5, data[at] & 31
    if info < 24:
        return major, info, at + 1
    require(info <= 27 and major < 7, f"head {data[at]:#x}")
    size = 1 << info - 24
    n = int.from_bytes(data[at + 1:at + 1 + size], "big")
    require(n >= (24 if size == 1 else 1 << 4 * size), "not the shortest form")
    return major, n, at + 1 + size


def _map(data: bytes, count: int, at: int):
    out, last = {}, b""
    for _ in range(count):
        begin = at
        key, at = decode_one(data, at)
        require(isinstance(key, str), "a key that is no text")
        coded = data[begin:at]
        require(coded > last if len(coded) == len(last) else len(coded) > len(last), "keys out of order")
        out[key], at = decode_one(data, at)
        last = coded
    return out, at


def decode_one(data: bytes, at: int = 0):
    """(value, end). Bytes stay bytes, links become Cid."""
    if data[at:at + 1] in (b"\xf4", b"\xf5", b"\xf6"):
        return (False, True, None)[data[at] - 0xf4], at + 1
    major, n, at = _head(data, at)
    if major in (0, 1):
        return (n if major == 0 else -1 - n), at
    if major in (2, 3):
        require(at + n <= len(data), "cut off")
        raw = data[at:at + n]
        return (raw if major == 2 else raw.decode()), at + n
    if major == 4:
        items = []
        for _ in range(n):
            item, at = decode_one(data, at)
            items.append(item)
        return items, at
    if major == 5:
        return _map(data, n, at)
    require(major == 6 and n == 42, f"tag {n}")
    raw, at = decode_one(data, at)
    require(isinstance(raw, bytes) and len(raw) == 37 and raw[0] == 0, "a link of another form")
    return Cid(raw[1:]), at


def decode(data: bytes):
    value, end = decode_one(data)
    require(end == len(data), "bytes after the item")
    return value


def as_json(value):
    """A decoded record as the values of JSON."""
    if isinstance(value, Cid):
        return {"$link": str(value)}
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode().rstrip("=")}
    if isinstance(value, list):
        return [as_json(v) for v in value]
    if isinstance(value, dict):
        return {k: as_json(v) for k, v in value.items()}
    return value


def _varint(data: bytes, at: int) -> tuple[int, int]:
    n = shift = 0
    while True:
        require(at < len(data) and shift < 63, "a bad varint")
        n |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 128:
            return n, at


def read_car(data: bytes) -> tuple[Cid, dict[Cid, bytes]]:
    """The root and the blocks, each checked against its CID."""
    size, at = _varint(data, 0)
    header = decode(data[at:at + size])
    require(header.keys() == {"roots", "version"} and header["version"] == 1 and len(header["roots"]) == 1, "header")
    at, blocks = at + size, {}
    while at < len(data):
        size, at = _varint(data, at)
        require(size > 36 and at + size <= len(data), "a section of a wrong size")
        cid, block = Cid(data[at:at + 36]), data[at + 36:at + size]
        require(cid[:1] == b"\x01" and cid[2:] == b"\x12\x20" + hashlib.sha256(block).digest(), "a block's CID")
        blocks[cid], at = block, at + size
    return header["roots"][0], blocks


class Commit(NamedTuple):
    did: str
    rev: str
    data: Cid
    prev: Cid | None
    sig: bytes
    signed: bytes  # the bytes that are signed


def read_commit(block: bytes) -> Commit:
    c = decode(block)
    require(c.keys() == {"did", "rev", "sig", "data", "prev", "version"} and c["version"] == 3, "fields of the commit")
    link = {k: {"$link": str(c[k])} if c[k] else None for k in ("data", "prev")}
    unsigned = dag_cbor.encode({"did": c["did"], "rev": c["rev"], "version": 3, **link})
    return Commit(c["did"], c["rev"], c["data"], c["prev"], c["sig"], unsigned)


@functools.cache
def height(path: bytes) -> int:
    value = int.from_bytes(hashlib.sha256(path).digest(), "big")
    return (256 - value.bit_length()) // 2


class Node(NamedTuple):
    left: "Node | Cid | None"
    entries: list  # of (path, value, subtree after it)


EMPTY = Node(None, [])


def encode_node(node: Node) -> bytes:
    entries, last = [], b""
    for path, value, right in node.entries:
        shared = 0
        while shared < min(len(last), len(path)) and last[shared] == path[shared]:
            shared += 1
        entries.append({"k": {"$bytes": base64.b64encode(path[shared:]).decode()}, "p": shared, "t": link_of(right),
                        "v": {"$link": str(value)}})
        last = path
    return dag_cbor.encode({"e": entries, "l": link_of(node.left)})


def link_of(child):
    if child is None:
        return None
    return {"$link": str(child if isinstance(child, Cid) else cid_of(encode_node(child)))}


def root_of(node) -> Cid:
    return node if isinstance(node, Cid) else cid_of(encode_node(node))


def build(records: dict[bytes, Cid]) -> Node:
    """The one tree of these records, from the top down."""
    paths = sorted(records)
    heights = [height(p) for p in paths]

    def subtree(begin: int, end: int, level: int):
        if begin == end:
            return None
        cuts = [i for i in range(begin, end) if heights[i] == level]
        ends = cuts[1:] + [end]
        left = subtree(begin, cuts[0] if cuts else end, level - 1)
        return Node(left, [(paths[i], records[paths[i]], subtree(i + 1, e, level - 1)) for i, e in zip(cuts, ends)])

    return subtree(0, len(paths), max(heights)) if paths else EMPTY


def load(blocks: dict[Cid, bytes], cid: Cid | None, level: int | None = None):
    """The tree below `cid` as far as blocks reach; the rest stays a Cid."""
    if cid is None or cid not in blocks:
        return cid
    raw = decode(blocks[cid])
    require(raw.keys() == {"e", "l"}, "fields of a node")
    paths, last = [], b""
    for e in raw["e"]:
        require(e.keys() == {"k", "p", "t", "v"} and e["k"], "fields of an entry")
        last = last[:e["p"]] + e["k"]
        paths.append(last)
    require(paths == sorted(set(paths)), "paths out of order")
    own = {height(p) for p in paths} | ({level} if level is not None else set())
    require(len(own) == 1 or not paths, "heights differ in a node")
    below = own.pop() - 1 if own else None
    node = Node(load(blocks, raw["l"], below),
                [(p, e["v"], load(blocks, e["t"], below)) for p, e in zip(paths, raw["e"])])
    require(cid_of(encode_node(node)) == cid, "a node that is not canonical")
    return node


def records_of(node) -> dict[bytes, Cid]:
    """Every record below the node; all of it must be there."""
    if node is None:
        return {}
    require(not isinstance(node, Cid), "a block is missing")
    out = records_of(node.left)
    for path, value, right in node.entries:
        out[path] = value
        out |= records_of(right)
    return out


class NotProvable(Exception):
    """The blocks do not reach far enough."""


class Stub(NamedTuple):
    """A subtree that is known by its CID only, and where it lies."""

    cid: Cid
    level: int
    low: bytes
    high: bytes | None


def level_of(node: Node) -> int:
    return height(node.entries[0][0]) if node.entries else level_of(node.left) + 1 if node.left else 0


def flatten(node, level: int, low=b"", high=None) -> list:
    """A tree as what is known of it, in order: (path, value) and stubs."""
    if node is None:
        return []
    if isinstance(node, Cid):
        return [Stub(node, level, low, high)]
    edges = [low, *(e[0] for e in node.entries), high]
    out = flatten(node.left, level - 1, edges[0], edges[1])
    for i, (path, value, right) in enumerate(node.entries, 1):
        out += [(path, value), *flatten(right, level - 1, edges[i], edges[i + 1])]
    return out


def rebuild(items: list) -> "Node | Cid":
    """The tree of flattened items, or NotProvable where a stub would have to be opened."""
    def level(item):
        return item.level if isinstance(item, Stub) else height(item[0])

    def subtree(begin: int, end: int, at: int):
        if begin == end:
            return None
        if isinstance(items[begin], Stub) and level(items[begin]) == at and end - begin == 1:
            return items[begin].cid
        if any(isinstance(i, Stub) and i.level >= at for i in items[begin:end]):
            raise NotProvable("a stub and something else in one place")
        cuts = [i for i in range(begin, end) if not isinstance(items[i], Stub) and height(items[i][0]) == at]
        ends = cuts[1:] + [end]
        left = subtree(begin, cuts[0] if cuts else end, at - 1)
        return Node(left, [(*items[i], subtree(i + 1, e, at - 1)) for i, e in zip(cuts, ends)])

    return subtree(0, len(items), max(map(level, items))) if items else EMPTY


def undo(items: list, op: dict) -> None:
    """Takes one op of a commit message back."""
    path = op["path"].encode()
    at = next((i for i, item in enumerate(items) if not isinstance(item, Stub) and item[0] >= path), len(items))
    there = items[at][1] if at < len(items) and items[at][0] == path else None
    if any(isinstance(s, Stub) and s.low < path and (s.high is None or path < s.high) for s in items):
        raise NotProvable(op["path"])
    require(there == op.get("cid"), f"{op['path']} is not what the op says")
    if there is not None:
        del items[at]
    elif at > 0 and isinstance(items[at - 1], Stub) and items[at - 1].low >= path:
        at -= 1
    if op.get("prev"):
        items.insert(at, (path, op["prev"]))


def roots_before(blocks: dict[Cid, bytes], data: Cid, ops: list[dict]) -> set[Cid]:
    """The roots that undoing the ops gives, in three orders. Every step of each must be provable."""
    deletes_first = sorted(ops, key=lambda op: op["action"] != "delete")
    found = set()
    for order in (deletes_first, ops, ops[::-1]):
        tree = load(blocks, data)
        require(isinstance(tree, Node), "the root's block is missing")
        items = flatten(tree, level_of(tree))
        for op in order:
            undo(items, op)
            result = rebuild(items)
        found.add(root_of(result) if ops else data)
    return found


def read_multikey(text: str) -> tuple[str, bytes]:
    """The curve and the compressed point."""
    n = 0
    for c in text[1:]:
        n = n * 58 + "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz".index(c)
    raw = n.to_bytes(35, "big")
    curve = {b"\xe7\x01": "k256", b"\x80\x24": "p256"}.get(raw[:2])
    require(text[:1] == "z" and curve is not None, f"{text} is no multikey")
    return curve, raw[2:]


ORDER = {"k256": 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141,
         "p256": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551}
CURVE_OID = {"k256": bytes.fromhex("06052b8104000a"), "p256": bytes.fromhex("06082a8648ce3d030107")}


def _der(tag: int, content: bytes) -> bytes:
    assert len(content) < 128
    return bytes([tag, len(content)]) + content


def _der_integer(n: int) -> bytes:
    return _der(2, n.to_bytes(n.bit_length() // 8 + 1, "big"))


def is_low(curve: str, sig: bytes) -> bool:
    return len(sig) == 64 and 0 < int.from_bytes(sig[32:], "big") <= ORDER[curve] // 2


def verifies(multikey: str, signed: bytes, sig: bytes) -> bool:
    """By the command `openssl`. It takes high-S signatures, too."""
    curve, point = read_multikey(multikey)
    algorithm = _der(0x30, bytes.fromhex("06072a8648ce3d0201") + CURVE_OID[curve])
    key = _der(0x30, algorithm + _der(3, b"\0" + point))
    der = _der(0x30, _der_integer(int.from_bytes(sig[:32], "big")) + _der_integer(int.from_bytes(sig[32:], "big")))
    with tempfile.TemporaryDirectory(prefix="oracle-sig-") as directory:
        for name, content in (("key", key), ("sig", der), ("data", signed)):
            with open(f"{directory}/{name}", "wb") as file:
                file.write(content)
        done = subprocess.run(["openssl", "dgst", "-sha256", "-keyform", "DER", "-verify", f"{directory}/key",
                               "-signature", f"{directory}/sig", f"{directory}/data"], capture_output=True)
    return done.returncode == 0
