"""The CID of a record, from its JSON.

Owns: DAG-CBOR encoding of the AT Protocol's data model, and the text of CIDs.
Does not know: decoding, stores. An encoder of its own, so that simulator and recordkv can be
wrong, but not unnoticed.
"""

import base64
import hashlib


def _head(major: int, n: int) -> bytes:
    if n < 24:
        return bytes([major << 5 | n])
    for size, code in ((1, 24), (2, 25), (4, 26), (8, 27)):
        if n < 1 << 8 * size:
            return bytes([major << 5 | code]) + n.to_bytes(size, "big")
    raise ValueError("integer over 64 bits")


def _unpadded(text: str, block: int) -> str:
    return text + "=" * (-len(text) % block)


def encode(value) -> bytes:
    if value is None:
        return b"\xf6"
    if value is True or value is False:
        return b"\xf5" if value else b"\xf4"
    if isinstance(value, int):
        return _head(0, value) if value >= 0 else _head(1, -1 - value)
    if isinstance(value, str):
        raw = value.encode()
        return _head(3, len(raw)) + raw
    if isinstance(value, list):
        return _head(4, len(value)) + b"".join(map(encode, value))
    if isinstance(value, dict):
        if value.keys() == {"$link"}:
            raw = b"\x00" + base64.b32decode(_unpadded(value["$link"][1:].upper(), 8))
            return b"\xd8\x2a" + _head(2, len(raw)) + raw
        if value.keys() == {"$bytes"}:
            raw = base64.b64decode(_unpadded(value["$bytes"], 4))
            return _head(2, len(raw)) + raw
        pairs = sorted((encode(k), encode(v)) for k, v in value.items())  # a shorter key has the smaller head
        return _head(5, len(pairs)) + b"".join(k + v for k, v in pairs)
    raise ValueError(f"{type(value).__name__} has no place in a record")


def cid(value) -> str:
    binary = b"\x01\x71\x12\x20" + hashlib.sha256(encode(value)).digest()
    return "b" + base64.b32encode(binary).decode().lower().rstrip("=")
