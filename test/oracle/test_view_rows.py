"""What is folded by hand is what the view files mean.

Owns: the examples of config/views/*.toml, folded by view_rows.py; the cells that are easily got wrong.
Does not know: tables (test_fold_views.py).
"""

import glob
import json
import os
import tomllib
import unittest

import view_rows
from record_place import Place
from view_rows import VIEWS, Misfit, parsed

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
DID, OTHER = "did:plc:l3rouwludahu3ui3bt66mfvj", "did:web:example.com"
POST = f"at://{OTHER}/app.bsky.feed.post/3k5nobkf2w72g"
LIKE = "app.bsky.feed.like"
WHERE = {"replies": [{"pointer": "/reply", "exists": True}]}


def definitions() -> dict:
    """Of the views that have rows of records."""
    out = {}
    for file in glob.glob(os.path.join(ROOT, "config", "views", "*.toml")):
        with open(file, "rb") as f:
            out |= {view["name"]: view for view in tomllib.load(f)["view"] if "source" not in view}
    return out


def columns_of(definition: dict) -> list:
    """What the file says of its columns, in the words of view_rows.py."""
    if definition.get("extract") == "links":
        return [("kind", "text"), ("path", "text"), ("target", "text")]
    out = []
    for column in definition["columns"]:
        kind = column.get("type", "text")
        out += view_rows.uri_columns(column["name"]) if kind == "at-uri" else [(column["name"], kind)]
    return out


def made(view: str, record, collection: str = LIKE) -> list:
    """Rows of a record by the name of their column; "misfit" where it has none for that reason."""
    text = record if isinstance(record, (str, bytes)) else json.dumps(record)
    try:
        rows = VIEWS[view].rows(parsed(text if isinstance(text, bytes) else text.encode()),
                                Place(DID, collection, "3k"), {})
    except Misfit:
        return "misfit"
    return [dict(zip((name for name, _ in VIEWS[view].columns), row)) for row in rows]


class Definitions(unittest.TestCase):
    def test_what_is_shipped_is_what_is_folded(self):
        """A view file that is changed wants its meaning here changed, too."""
        shipped = definitions()
        self.assertEqual(shipped.keys(), VIEWS.keys())
        for name, definition in shipped.items():
            collections = definition.get("collections") or [definition["collection"]]
            self.assertEqual(tuple(collections), VIEWS[name].collections, name)
            self.assertEqual(columns_of(definition), list(VIEWS[name].columns), name)
            self.assertEqual(tuple(definition.get("count", [])), VIEWS[name].counted, name)
            self.assertEqual(definition.get("where", []), WHERE.get(name, []), name)
            self.assertLessEqual(definition.keys(), {"name", "collection", "collections", "columns", "count", "index",
                                                     "where", "extract", "test"}, name)

    def test_examples_of_the_view_files(self):
        ran = 0
        for name, definition in definitions().items():
            kinds = dict(VIEWS[name].columns)
            for example in definition.get("test", []):
                with self.subTest(view=name, record=example["record"]):
                    got = made(name, example["record"])
                    ran += 1
                    if example.get("rejected"):
                        self.assertEqual(got, "misfit")
                        continue
                    expected = example["rows"] if "rows" in example else [example["row"]]
                    self.assertEqual(len(got), len(expected), got)
                    for row, wanted in zip(got, expected):
                        for column, cell in row.items():
                            self.check_cell(kinds, wanted, column, cell)
        self.assertGreater(ran, 15)

    def check_cell(self, kinds: dict, wanted: dict, column: str, cell) -> None:
        if column not in wanted:
            parts = column.rsplit("_", 1)
            self.assertTrue(cell is None or parts[0] in wanted and parts[-1] in ("did", "collection", "rkey"),
                            f"{column} is {cell!r}")
        elif kinds[column] == "timestamp":
            self.assertEqual(cell, view_rows.timestamp(wanted[column]))
        elif kinds[column] == "json":
            self.assertTrue(view_rows.same_cell("json", cell, wanted[column]), f"{column} is {cell!r}")
        else:
            self.assertEqual(cell, wanted[column])


class Cells(unittest.TestCase):
    def test_timestamps(self):
        for text, normal in {"2024-11-05T12:00:00Z": "2024-11-05T12:00:00.000000Z",
                             "2024-11-05T12:00:00.5+05:30": "2024-11-05T06:30:00.500000Z",
                             "2024-03-01T00:30:00-11:45": "2024-03-01T12:15:00.000000Z",
                             "2024-03-01T00:30:00+01:00": "2024-02-29T23:30:00.000000Z",
                             "2024-11-05T12:00:00.9999999Z": "2024-11-05T12:00:00.999999Z",
                             "2024-12-31T23:59:60Z": "2025-01-01T00:00:00.000000Z",
                             "0001-01-01T00:00:00Z": "0001-01-01T00:00:00.000000Z"}.items():
            self.assertEqual(view_rows.timestamp(text), normal)
        for text in ("", "2024-11-05", "2024-11-05T12:00:00", "2023-02-29T12:00:00Z", "2024-11-05T12:00:00+24:00",
                     "2024-11-05T12:00:00.Z", "2024-11-05T12:00:61Z",
                     "9999-12-31T23:59:59-01:00", 7, None):
            self.assertIsNone(view_rows.timestamp(text), text)

    def test_at_uris(self):
        for text, parts in {f"at://{DID}": [DID, None, None], f"at://{DID}/a.b.c": [DID, "a.b.c", None],
                            f"at://{DID}/a.b.c/~.:_-": [DID, "a.b.c", "~.:_-"],
                            "at://jay.example.com/a.b.c/x": [None, "a.b.c", "x"]}.items():
            self.assertEqual(view_rows.at_uri(text), [text, *parts])
        for text in ("", "at://", "at://x", f"at://{DID}/", f"at://{DID}/a.b", f"at://{DID}/a.b.c/",
                     f"at://{DID}/a.b.c/x#y", f"at://{DID}/a.b.c/..",
                     f"at://{DID}/a.b.c/x\0", f"AT://{DID}", f" at://{DID}", f"at://{DID}/a.b.c/x/y", None, 7):
            self.assertEqual(view_rows.at_uri(text), [None] * 4, text)

    def test_what_is_no_record(self):
        for payload in (b"", b"{", b"[]", b"7", b"null", b'{"a":1,}', b'{"a":NaN}', b'{"a":"\xff"}', b'{"a":"\\ud800"}',
                        b"\xef\xbb\xbf{}", b"{} x",
                        b'{"a":' + b"[" * 200 + b"]" * 200 + b"}", b'{"a":' + b"[" * 50_000 + b"]" * 50_000 + b"}"):
            self.assertEqual(made("profiles", payload), "misfit", payload[:20])
        self.assertEqual(len(made("profiles", b'{"a":"[[[\\"[[[","b":' + b"[" * 100 + b"]" * 100 + b"}")), 1)
        self.assertEqual(made("profiles", b'{"displayName":"a","displayName":"b"}')[0]["display_name"], "b")

    def test_what_no_index_holds(self):
        uri = lambda size: "at://did:web:" + "a" * (size - 13)
        self.assertEqual(made("likes", {"subject": {"uri": uri(2000)}})[0]["subject"], uri(2000))
        self.assertEqual(made("likes", {"subject": {"uri": uri(2001)}}), "misfit")
        self.assertEqual(len(made("follows", {"subject": "a" * 1000})), 1)
        self.assertEqual(made("follows", {"subject": "é" * 501}), "misfit")
        self.assertEqual(made("replies", {"reply": {"parent": {"uri": uri(1001)}, "root": {"uri": uri(9)}}}), "misfit")
        self.assertEqual([made("profiles", {"displayName": "a" * n})[0]["display_name"] for n in (2000, 2001)],
                         ["a" * 2000, None])

    def test_json(self):
        self.assertIsNone(made("profiles", {"banner": {"a": ["x\0"]}})[0]["banner"])
        self.assertEqual(made("profiles", {"banner": ["\\u0000"]})[0]["banner"], ["\\u0000"])
        self.assertTrue(view_rows.same_cell("json", {"a": [1, 2**70]}, '{"a": [1, 1180591620717411303424]}'))
        for wanted, found in ((1, True), (0, False), ({}, []), ("1", 1), ([1], [1, 2]), (None, ""), (2**53 + 1, 2**53)):
            self.assertFalse(view_rows.same_cell("json", wanted, json.dumps(found)), (wanted, found))


class Views(unittest.TestCase):
    def test_likes(self):
        like = {"subject": {"uri": POST, "cid": "c"}, "createdAt": "yesterday"}
        self.assertEqual(made("likes", like), [{"subject": POST, "subject_did": OTHER,
                                                "subject_collection": "app.bsky.feed.post",
                                                "subject_rkey": "3k5nobkf2w72g",
                                                "subject_cid": "c", "created_at": "yesterday"}])
        for subject in (None, POST, {}, {"uri": None}, {"uri": 7}, {"uri": "at://a b"}, {"uri": POST + "\0"},
                        [{"uri": POST}]):
            self.assertEqual(made("likes", like | {"subject": subject}), "misfit", subject)
        self.assertIsNone(made("likes", like | {"createdAt": "nul\0"})[0]["created_at"])

    def test_follows_and_replies(self):
        self.assertEqual(made("follows", {"subject": DID, "createdAt": 7}), [{"subject": DID, "created_at": None}])
        for subject in (None, 7, DID + "\0", {"uri": DID}):
            self.assertEqual(made("follows", {"subject": subject}), "misfit")
        whole = {"reply": {"parent": {"uri": POST}, "root": {"uri": POST}}, "text": "a\0b", "langs": ["en"]}
        self.assertEqual([(r["text"], r["langs"], r["parent"], r["root_did"]) for r in made("replies", whole)],
                         [("", ["en"], POST, OTHER)])
        self.assertEqual(made("replies", {"reply": None}), [])
        for half in ({"reply": 7}, {"reply": ""}, {"reply": {}}, {"reply": {"parent": {"uri": POST}}},
                     {"reply": {"parent": {"uri": POST}, "root": {"uri": "x"}}}):
            self.assertEqual(made("replies", half), "misfit", half)

    def test_links(self):
        record = {"a": DID, "text": f"see {POST}", "b": [POST, [f"https://example.com/{DID}"],
                                                         {"$type": "t#u", "c": DID}, {"$type": 7, "c": DID}],
                  "": "http://a"}
        self.assertEqual([(link["kind"], link["path"], link["target"]) for link in made("links", record)],
                         [("did", ".a", DID), ("at-uri", ".b[]", POST), ("url", ".b[][]", f"https://example.com/{DID}"),
                          ("did", ".b[t#u].c", DID),
                          ("did", ".b[].c", DID), ("url", ".", "http://a")])
        self.assertEqual(len(made("links", {"all": [DID] * 1500})), 1000)
        self.assertEqual(len(made("links", {"all": ["https://" + "a" * 1992, "https://" + "a" * 1993]})), 1)


if __name__ == "__main__":
    unittest.main()
