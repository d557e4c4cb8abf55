"""The codec agrees with what the reference computed (facts in docs/subjects.md; a zero at either end of a hash is the
trap)."""

import unittest

from record_place import Place, encoded, key_of, murmur3, partition_of, place_of

# computed by the reference's own code
KEYS = [
    (Place("did:plc:l3rouwludahu3ui3bt66mfvj", "app.bsky.feed.like", "3k5nobkf2w72g"),
     "1.app.bsky.feed.like.did/3Aplc/3Al3rouwludahu3ui3bt66mfvj.3k5nobkf2w72g"),
    (Place("did:web:localhost%3A3000", "com.example.thing", "~1.2-3_"),
     "1.com.example.thing.did/3Aweb/3Alocalhost/253A3000./7E1/2E2-3_"),
    (Place("did:plc:3dxeoy4hmcfzrztuyyts6uuw", "app.bsky.feed.post", "3mptbypcq372f"),  # 03b33a82
     "3.app.bsky.feed.post.did/3Aplc/3A3dxeoy4hmcfzrztuyyts6uuw.3mptbypcq372f"),
    (Place("did:plc:joptu6d2nwwdsvdvsb74pwrv", "place.stream.chat.message", "self"),  # 008bc5fc
     "8.place.stream.chat.message.did/3Aplc/3Ajoptu6d2nwwdsvdvsb74pwrv.self"),
    (Place("did:plc:zeropartitionaaaaawdub2y", "a-0.b-1.c", "_"),  # 0000000a
     "0.a-0.b-1.c.did/3Aplc/3Azeropartitionaaaaawdub2y._"),
]
HASHES = {"": 0, "a": 0x3C2569B2, "ab": 0x9BBFD75F, "abc": 0xB3DD93FA, "abcd": 0x43ED676A, "hello": 0x248BFA47,
          "hello, world": 0x149BBB7F, "did:web:éxample.com": 0xC58E7CF0}


class RecordPlace(unittest.TestCase):
    def test_keys(self):
        for place, key in KEYS:
            self.assertEqual(key_of(place), key)
            self.assertEqual(place_of(key), place)

    def test_hashes(self):
        for text, value in HASHES.items():
            self.assertEqual(murmur3(text.encode()), value, text)
        self.assertEqual(partition_of(""), "0")

    def test_what_is_escaped(self):
        self.assertEqual(encoded("ā€😀"), "/101/20AC/D83D/DE00")
        self.assertEqual(encoded("AZaz09_=/-"), "AZaz09_=/-")

    def test_what_is_no_place(self):
        for key in ("", "1", "1.a", "1.a.b"):
            self.assertIsNone(place_of(key), key)
        self.assertEqual(place_of("1.a.b.c"), Place("b", "a", "c"))


if __name__ == "__main__":
    unittest.main()
