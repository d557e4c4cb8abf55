"""What may happen to a store: random histories of records, well formed, unfit and hostile, written as any client would.

Owns: the drawing of records and operations, and their publishing with acknowledgement.
Does not know: views. A seed replays the same history, whatever happens to its readers.
"""

import json
import random
import time

from rig import SLOW, nats_wire

from record_place import Place, key_of

ALPHABET = "234567abcdefghijklmnopqrstuvwxyz"
LIKE, REPOST, FOLLOW = "app.bsky.feed.like", "app.bsky.feed.repost", "app.bsky.graph.follow"
POST, PROFILE, BLOCK = "app.bsky.feed.post", "app.bsky.actor.profile", "app.bsky.graph.block"
PAGE, LISTITEM = "com.example.page.v2", "app.bsky.graph.listitem"
# neighbours of the shipped views' collections: a careless filter takes their records for those
NEIGHBOURS = [LIKE + ".extra", REPOST + ".extra", FOLLOW + ".x.y", PROFILE + ".old", POST + "s", "app.bsky.feed"]
COLLECTIONS = [LIKE] * 8 + [REPOST] * 4 + [FOLLOW] * 4 + [POST] * 8 + [PROFILE] * 3 + [BLOCK, PAGE, PAGE, LISTITEM,
                                                                                       *NEIGHBOURS]

# Texts that a careless quoting, COPY or escaping turns into something else.
AWKWARD = ["", " ", "\\N", "\\.", "a\tb", "line\r\nline\n", "it's \"quoted\"", "\\x41\\u0041\\\\", "NULL", "{a,b}",
           "%s $1 :did ?1",
           "'; DROP TABLE likes; --", "é e\u0301 שלום 👩‍🚀 \u2028\uffff\U0010ffff", "\x01\x1f\x7f", "--", "/*",
           "x" * 3000, "𝄞" * 500]
TIMES = ["2024-11-05T12:00:00Z", "2024-11-05T12:00:00.000Z", "2024-11-05T12:00:00.123456Z",
         "2024-11-05T12:00:00.123456789Z",
         "2024-11-05T12:00:00.5+05:30", "2024-03-01T00:30:00-11:45", "2024-12-31T23:59:59.999999Z",
         "2024-02-29T01:00:00+02:00",
         "2024-12-31T23:59:60Z"]
NO_TIMES = ["", "yesterday", "2024-11-05", "2024-13-05T12:00:00Z", "2023-02-29T12:00:00Z", "2024-11-05T25:00:00Z",
            "2024-11-05T12:00:00",
            "2024-11-05T12:00:00\0Z", 12, None, True, {"at": 1}, ["2024-11-05T12:00:00Z"]]
NO_LINKS = ["", "at://", "at:/x", "https://example.com/a b", "did:", "did:plc", "nothing", "at://a b/c/d", 42, None,
            True, 1.5, [], {},
            ["at://did:plc:x/app.bsky.feed.post/y"], {"uri": None}, {"uri": 7}, {"uri": {"uri": "x"}}, {"uri": "a\0b"},
            {"URI": "at://x"}]
NO_JSON = [b"{", b"", b"nothing", b'{"subject":}', b'{"subject":{"uri":"at://x"}} x', b'{"text":"\xff\xfe"}',
           b'{"a":01}', b"{'a':1}",
           b'{"text":"\\ud800"}', b'\xef\xbb\xbf{}', b'{"a":NaN}', b'{"a":1,}', b'{"text":"tab\there"}']
NO_OBJECTS = [b"[]", b"7", b"null", b'"text"', b"true", b'[{"subject":{"uri":"at://x"}}]']
# on either side of what an index holds: 2,000 bytes, over all its columns
LONG = [1000, 1001, 2000, 2001, 8000]
NUMBERS = ["9223372036854775807", "9223372036854775808", "-9223372036854775808", "18446744073709551615", "1e300", "-0",
           "1.5", "123456789012345678901234567890"]
DEEP = [10, 60, 100, 400, 5000]  # far from any bound that a parser may have, on either side


class Population:
    """Accounts and what they write about. Few, so that histories meet the same key again and again."""

    def __init__(self, chance: random.Random, accounts: int):
        self.chance = chance
        self.dids = [f"did:plc:{self.tid(24)}" for _ in range(accounts - 3)]
        self.dids += ["did:web:user.example.com", "did:web:localhost%3A3000", "did:plc:zeropartitionaaaaawdub2y"]
        self.posts = [f"at://{chance.choice(self.dids)}/{POST}/{self.tid(13)}" for _ in range(accounts)]
        self.rkeys = {did: [self.tid(13) for _ in range(6)] + ["~.", "pre:fix"] for did in self.dids}

    def tid(self, length: int) -> str:
        return "".join(self.chance.choices(ALPHABET, k=length))

    def ref(self) -> dict:
        return {"uri": self.chance.choice(self.posts), "cid": "bafyrei" + self.tid(52)}

    def created(self):
        return self.chance.choice(TIMES if self.chance.random() < 0.9 else NO_TIMES)

    def text(self) -> str:
        return self.chance.choice(AWKWARD) if self.chance.random() < 0.3 else " ".join(self.tid(5) for _ in range(4))

    def record(self, collection: str) -> dict:
        made = {"$type": collection, "createdAt": self.created()}
        return made | {LIKE: self.like, REPOST: self.like, FOLLOW: self.follow, BLOCK: self.follow, POST: self.post,
                       PROFILE: self.profile, LISTITEM: self.listitem}.get(collection, self.page)()

    def like(self) -> dict:
        return {"subject": self.ref()} | ({"via": self.ref()} if self.chance.random() < 0.3 else {})

    def follow(self) -> dict:
        return {"subject": self.chance.choice(self.dids)}

    def listitem(self) -> dict:
        return self.follow() | {"list": f"at://{self.chance.choice(self.dids)}/app.bsky.graph.list/{self.tid(13)}"}

    def profile(self) -> dict:
        whole = {"displayName": self.text(), "description": self.text(), "pinnedPost": self.ref(), "pronouns": "they",
                 "website": "https://example.com/" + self.tid(3), "labels": {"values": [{"val": "x"}]},
                 "avatar": {"$type": "blob", "ref": {"$link": "bafkrei" + self.tid(52)}, "mimeType": "image/png",
                            "size": 7},
                 "joinedViaStarterPack": self.ref()}
        return {k: v for k, v in whole.items() if self.chance.random() < 0.7}

    def facet(self) -> dict:
        kinds = [{"$type": "app.bsky.richtext.facet#mention", "did": self.chance.choice(self.dids)},
                 {"$type": "app.bsky.richtext.facet#link",
                  "uri": self.chance.choice(["https://example.com/", "http://a.example/?q=1#f"]) + self.tid(2)},
                 {"$type": "app.bsky.richtext.facet#tag", "tag": self.text()}]
        return {"index": {"byteStart": 0, "byteEnd": 3}, "features": self.chance.sample(kinds,
                                                                                        self.chance.randint(0, 3))}

    def post(self) -> dict:
        made = {"text": self.text(), "langs": ["en"]}
        if self.chance.random() < 0.4:
            made["reply"] = {"root": self.ref(), "parent": self.ref()}
        if self.chance.random() < 0.4:
            made["facets"] = [self.facet() for _ in range(self.chance.randint(0, 3))]
        if self.chance.random() < 0.3:
            made["embed"] = self.chance.choice([
                {"$type": "app.bsky.embed.record", "record": self.ref()},
                {"$type": "app.bsky.embed.external", "external": {"uri": "https://example.com/" + self.tid(4),
                                                                  "title": self.text()}}])
        return made

    def page(self) -> dict:
        """Links wherever a lexicon may put them."""
        return {"subject": self.ref(), "people": [self.chance.choice(self.dids)
                                                  for _ in range(self.chance.randint(0, 4))],
                "a/b~c": [[self.ref()["uri"]], {"": self.chance.choice(self.dids),
                                                "x y": "https://example.com/%20?a=b"}],
                "text": "not https://example.com alone", "n": [1, None, True, {}],
                "twice": [self.posts[0], self.posts[0]]}


def spoilt(chance: random.Random, record: dict) -> bytes:
    """A record that does not fit, or holds what only a hostile author writes."""
    way = chance.randrange(11)
    if way == 0:
        return chance.choice(NO_JSON[2:] if chance.random() < 0.9 else NO_JSON[:1])
    if way == 1:
        return chance.choice(NO_OBJECTS)
    if way == 2:
        depth = chance.choice(DEEP)
        deep = "[" * depth + "]" * depth if chance.random() < 0.5 else '{"in":' * depth + "1" + "}" * depth
        return json.dumps(record).encode()[:-1] + b', "deep": ' + deep.encode() + b"}"
    if way == 3:
        return json.dumps(record).encode()[:-1] + b', "n": ' + chance.choice(NUMBERS).encode() + b"}"
    if way == 4:
        twin = json.dumps(record)
        second = json.dumps({"subject": {"uri": "at://did:plc:second/app.bsky.feed.post/z"}})
        return twin.encode()[:-1] + b", " + second.encode()[1:]
    record = dict(record)
    if way == 5:
        record["langs"] = record["banner"] = record["labels"] = chance.choice([{"values": ["a\0b", -0.0, 2**63, 10**25,
                                                                                           0.1]}, [], {}, "en", 0,
                                                                               False,
                                                                               {"values": {"": [[], {}]}}, ["\\N\t\n"],
                                                                               {"values": None}])
    elif way == 6 and record:
        record.pop(chance.choice(sorted(record)))
    elif way == 7:
        size = chance.choice(LONG)
        uri = "at://did:web:" + "a" * (size - 13)
        record |= {"displayName": "é" * (size // 2) + "a" * (size % 2), "via": {"uri": uri},
                   "page": "https://" + "b" * (size - 8)}
        if "subject" in record:
            record["subject"] = uri[5:] + "aaaaa" if isinstance(record["subject"], str) else {"uri": uri,
                                                                                              "cid": "c" * size}
        if "reply" in record:
            record["reply"] = {"parent": {"uri": uri}, "root": {"uri": uri}}
    elif way == 8:
        record["text"] = record["displayName"] = record["description"] = chance.choice(["nul \0 here", "\0", 7, {},
                                                                                        None])
    else:
        field = chance.choice(["subject", "reply", "facets", "embed", "via"])
        value = chance.choice(NO_LINKS)
        record[field] = {"parent": value, "root": value} if field == "reply" and chance.random() < 0.5 else value
    return json.dumps(record, ensure_ascii=chance.random() < 0.5, indent=chance.choice([None, None, 1])).encode()


class History:
    """Draws operations: (key, headers, payload). It remembers what stands, so that updates and deletes meet
    something."""

    def __init__(self, seed: int, accounts: int = 24):
        self.chance = random.Random(f"history {seed}")
        self.people = Population(self.chance, accounts)
        self.standing: dict[str, set] = {did: set() for did in self.people.dids}
        self.clock = 1_700_000_000_000_000
        self.counts: dict[str, int] = {}

    def count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1

    def headers(self, op: str) -> dict:
        if self.chance.random() < 0.1:  # put by hand
            return {}
        self.clock += self.chance.randint(1, 10_000_000)
        whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(self.clock // 1_000_000))
        made = {"rev": self.people.tid(13), "time": f"{whole}.{self.clock % 1_000_000:06d}Z", "op": op}
        return made if op == "delete" else made | {"cid": "bafyrei" + self.people.tid(52)}

    def put(self, place: Place) -> tuple:
        stood = place in self.standing[place.did]
        self.count("update" if stood else "create")
        self.standing[place.did].add(place)
        record = self.people.record(place.collection)
        if self.chance.random() < 0.2:
            self.count("spoilt")
            payload = spoilt(self.chance, record)
        else:
            payload = json.dumps(record, ensure_ascii=self.chance.random() < 0.5).encode()
        return key_of(place), self.headers("update" if stood else "create"), payload

    def delete(self, place: Place) -> tuple:
        self.count("delete")
        self.standing[place.did].discard(place)
        purge = self.chance.random() < 0.05  # no habit of ours, but stock clients have the button
        marker = {"KV-Operation": "PURGE", "Nats-Rollup": "sub"} if purge else {"KV-Operation": "DEL"}
        return key_of(place), self.headers("delete") | marker, b""

    def somewhere(self) -> Place:
        did = self.chance.choice(self.people.dids)
        collection = self.chance.choice(COLLECTIONS)
        return Place(did, collection, "self" if collection == PROFILE else self.chance.choice(self.people.rkeys[did]))

    def step(self) -> list:
        """One operation; of an account that goes, many."""
        dice = self.chance.random()
        if dice < 0.004:
            did = self.chance.choice(self.people.dids)
            self.count("account gone")
            return [self.delete(place) for place in sorted(self.standing[did])]
        if dice < 0.15:
            standing = self.standing[self.chance.choice(self.people.dids)]
            return [self.delete(self.chance.choice(sorted(standing)) if standing and dice > 0.02 else self.somewhere())]
        if dice < 0.40:
            standing = self.standing[self.chance.choice(self.people.dids)]
            return [self.put(self.chance.choice(sorted(standing)) if standing else self.somewhere())]
        return [self.put(self.somewhere())]

    def burst(self, size: int) -> list:
        out = []
        while len(out) < size:
            out += self.step()
        return out


class Writer:
    """Publishes and waits for every acknowledgement. A server that dies meanwhile gets the whole burst again."""

    def __init__(self, url: str, bucket: str = "record"):
        self.url, self.prefix, self.nats, self.written = url, f"$KV.{bucket}.", None, 0

    def close(self) -> None:
        if self.nats:
            self.nats.close()
        self.nats = None

    def write(self, operations: list, seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds * SLOW
        while True:
            try:
                return self._write(operations)
            except (nats_wire.Failure, OSError, ValueError):
                self.close()
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def _write(self, operations: list) -> None:
        if self.nats is None:
            self.nats = nats_wire.Connection(self.url, timeout=5)
            self.nats.subscribe(self.nats.inbox + ".*")
        for number, (key, headers, payload) in enumerate(operations):
            self.nats.publish(self.prefix + key, payload, f"{self.nats.inbox}.{number}", headers)
        for _ in operations:
            answer = self.nats.next()
            if answer.status or "error" in json.loads(answer.payload):
                raise nats_wire.Failure(f"a put was refused: {answer.payload[:200]!r} (status {answer.status})")
        self.written += len(operations)
