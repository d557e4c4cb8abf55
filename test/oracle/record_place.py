"""Where a record stands in the store: the key of nats-record-kv, written and read.

Owns: the escaping, MurmurHash3 and the partition of an account. Written from docs/subjects.md and the reference's
description. Does not know: streams, and what a record holds.
"""

import re
from typing import NamedTuple

WORD = 0xFFFFFFFF


class Place(NamedTuple):
    did: str
    collection: str
    rkey: str

    @property
    def uri(self) -> str:
        return f"at://{self.did}/{self.collection}/{self.rkey}"


def encoded(part: str) -> str:
    """Every UTF-16 unit outside A-Za-z0-9_=/- becomes "/" and its value in hex."""
    out = ""
    for character in part:
        if re.fullmatch("[A-Za-z0-9_=/-]", character):
            out += character
            continue
        raw = character.encode("utf-16-be")
        for at in range(0, len(raw), 2):
            out += f"/{int.from_bytes(raw[at:at + 2], 'big'):02X}"
    return out


def decoded(token: str) -> str:
    return re.sub("/([0-9A-F]{2})", lambda m: chr(int(m[1], 16)), token)


def _turned(x: int, by: int) -> int:
    return (x << by | x >> (32 - by)) & WORD


def murmur3(data: bytes) -> int:
    h = 0
    whole = len(data) // 4 * 4
    for at in range(0, len(data), 4):
        k = int.from_bytes(data[at:at + 4], "little") * 0xCC9E2D51 & WORD
        h ^= _turned(k, 15) * 0x1B873593 & WORD
        if at < whole:
            h = (_turned(h, 13) * 5 + 0xE6546B64) & WORD
    h ^= len(data)
    h = (h ^ h >> 16) * 0x85EBCA6B & WORD
    h = (h ^ h >> 13) * 0xC2B2AE35 & WORD
    return h ^ h >> 16


def partition_of(did: str) -> str:
    """Of sixteen: the first digit of the hash, whose leading zeros are not there; "0" only below 0x10."""
    return f"{murmur3(did.encode()):02x}"[0]


def key_of(place: Place) -> str:
    return ".".join([partition_of(place.did), *map(encoded, place.collection.split(".")), encoded(place.did),
                     encoded(place.rkey)])


def place_of(key: str) -> Place | None:
    """Read from the right, as the collection has any number of tokens; None where it is no record's key."""
    tokens = key.split(".")
    if len(tokens) < 4:
        return None
    *collection, did, rkey = map(decoded, tokens[1:])
    return Place(did, ".".join(collection), rkey)
