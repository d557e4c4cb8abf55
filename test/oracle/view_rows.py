"""What each shipped view means: the rows of one record, written by hand from docs/views.md.

Owns: the meaning of likes, follows, reposts, replies, profiles and links, and of the cells in them.
Does not know: stores, databases, view files.
"""

import itertools
import json
import math
import re
import sys
from datetime import datetime, timedelta
from typing import Callable, NamedTuple

DEEPEST = 128  # of arrays and objects in one another; a record beyond that is no record
MOST_LINKS, LONGEST_LINK = 1000, 2000  # of one record; bytes of one
sys.set_int_max_str_digits(0)  # records may hold numbers of any length


class Misfit(Exception):
    """The record has no rows, and a place among the rejects."""


class View(NamedTuple):
    name: str
    collections: tuple  # exact NSIDs, or "*"
    columns: tuple      # (name, type) in the table's order, behind the key
    counted: tuple
    rows: Callable      # (record, place, headers) -> list of lists; raises Misfit
    many: bool = False  # the key has an index

    def wants(self, collection: str) -> bool:
        return collection in self.collections or "*" in self.collections


def Added(view: View, name: str, pointer: str) -> View:
    """The view with a text column before its others."""
    return view._replace(columns=((name, "text"), *view.columns),
                         rows=lambda record, *rest: [[text(at(record, pointer)), *row]
                                                     for row in view.rows(record, *rest)])


# records

def _depth(text: str) -> int:
    depth = deepest = 0
    for character in re.sub(r'"(?:[^"\\]|\\.)*"', "", text):
        depth += (character in "[{") - (character in "]}")
        deepest = max(deepest, depth)
    return deepest


def parsed(payload: bytes) -> dict:
    """Strict JSON, UTF-8 without lone surrogates, an object; of a name that is there twice the last counts."""
    def no_constant(word):
        raise ValueError(word)
    try:
        whole = payload.decode()
        if _depth(whole) > DEEPEST:
            raise ValueError("too deep")
        record = json.loads(whole, parse_constant=no_constant)
        json.dumps(record, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as e:
        raise Misfit(str(e)) from e
    if not isinstance(record, dict):
        raise Misfit("no object")
    return record


def at(value, pointer: str):
    """RFC 6901; None where nothing is."""
    for step in pointer.split("/")[1:]:
        step = step.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and re.fullmatch("0|[1-9][0-9]*", step) and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value


# cells

INDEXED = 2000  # bytes that an index holds, over all its columns; a text that is longer counts as one of another type


def text(value, longest=math.inf):
    fits = isinstance(value, str) and "\0" not in value and len(value.encode()) <= longest
    return value if fits else None


def plain_json(value):
    """Any JSON but null, and none with U+0000 in it."""
    return None if "\\u0000" in json.dumps(value).replace("\\\\", "") else value


def timestamp(value):
    m = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(?:Z|([+-])(\d\d):(\d\d))", value,
                     re.ASCII) if text(value) else None
    if not m or m[4] and (int(m[4]) > 23 or int(m[5]) > 59):
        return None
    try:
        leap = m[1].endswith(":60")  # the first second of the next minute
        moment = datetime.fromisoformat(m[1][:-2] + "59" if leap else m[1])
        moment += timedelta(seconds=leap, microseconds=int((m[2] or "0")[:6].ljust(6, "0")))
        away = timedelta(hours=int(m[4] or 0), minutes=int(m[5] or 0))
        return (moment + away if m[3] == "-" else moment - away).isoformat(timespec="microseconds") + "Z"
    except (ValueError, OverflowError):
        return None


DID = r"did:[a-z]+:[a-zA-Z0-9._:%-]*[a-zA-Z0-9._-]"
HANDLE = r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?\.)+[a-zA-Z](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
NSID = (r"[a-zA-Z](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)+"
        r"\.[a-zA-Z][a-zA-Z0-9]{0,62}")
RKEY = r"(?!\.\.?$)[a-zA-Z0-9_~.:-]{1,512}"
AT_URI = re.compile(f"at://({DID}|{HANDLE})(?:/({NSID})(?:/({RKEY}))?)?", re.ASCII)


def at_uri(value, longest=INDEXED):
    """[the text, did, collection, rkey], or four times None."""
    m = AT_URI.fullmatch(value) if text(value, longest) else None
    return [value, m[1] if m[1].startswith("did:") else None, m[2], m[3]] if m else [None] * 4


def required(cell):
    if cell is None:
        raise Misfit("a required column is missing")
    return cell


def same_json(a, b) -> bool:
    """Numbers by value: what no 64 bits hold is a fraction to most parsers."""
    numbers = (int, float)
    if type(a) in numbers and type(b) in numbers:
        return a == b if type(a) is type(b) is int else math.isclose(a, b, rel_tol=1e-15)
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same_json(v, b[k]) for k, v in a.items())
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same_json, a, b))
    return a == b


def same_cell(kind: str, wanted, found) -> bool:
    """`wanted` as the functions below make it, `found` as a database has it."""
    if wanted is None or found is None:
        return wanted is found
    if kind == "json" and isinstance(found, str):  # a database may have a type for JSON, or keep its text
        try:
            found = json.loads(found)
        except ValueError:
            return False
    return same_json(wanted, found) if kind == "json" else type(wanted) is type(found) and wanted == found


# views

AT_URI_PARTS = ("", "_did", "_collection", "_rkey")


def uri_columns(name: str) -> list:
    return [(name + part, "text") for part in AT_URI_PARTS]


def subject_of(record) -> list:
    uri = at_uri(at(record, "/subject/uri"))
    required(uri[0])
    return [*uri, text(at(record, "/subject/cid"))]


def like(record, place, headers):
    return [[*subject_of(record), text(at(record, "/createdAt"))]]


def repost(record, place, headers):
    return [[*subject_of(record), text(at(record, "/via/uri")), timestamp(at(record, "/createdAt"))]]


def follow(record, place, headers):
    return [[required(text(at(record, "/subject"), INDEXED // 2)), timestamp(at(record, "/createdAt"))]]


def reply(record, place, headers):
    if at(record, "/reply") is None:
        return []
    parent, root = (at_uri(at(record, f"/reply/{which}/uri"), INDEXED // 2) for which in ("parent", "root"))
    required(parent[0]), required(root[0])
    said = text(at(record, "/text"))
    return [[*parent, *root, "" if said is None else said, plain_json(at(record, "/langs")),
             timestamp(at(record, "/createdAt"))]]


def profile(record, place, headers):
    return [[text(at(record, "/displayName"), INDEXED), text(at(record, "/description")),
             text(at(record, "/avatar/ref/$link")),
             plain_json(at(record, "/avatar")), plain_json(at(record, "/banner")), text(at(record, "/pinnedPost/uri")),
             plain_json(at(record, "/labels/values")), timestamp(at(record, "/createdAt"))]]


def link_kind(value: str) -> str:
    if text(value, LONGEST_LINK) is None:
        return ""
    if AT_URI.fullmatch(value):
        return "at-uri"
    if re.fullmatch(DID, value, re.ASCII):
        return "did"
    return "url" if re.fullmatch(r"https?://[^\x00-\x20\x7f/?#\"<>][^\x00-\x20\x7f]*", value) else ""


def links_in(value, path: str):
    """In the order in which they are written."""
    if isinstance(value, str):
        if kind := link_kind(value):
            yield [kind, path, value]
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from links_in(inner, f"{path}.{name}")
    elif isinstance(value, list):
        for inner in value:
            named = inner.get("$type") if isinstance(inner, dict) else None
            yield from links_in(inner, f"{path}[{named if isinstance(named, str) else ''}]")


def links(record, place, headers):
    return list(itertools.islice(links_in(record, ""), MOST_LINKS))


CREATED = ("created_at", "timestamp")
SUBJECT = (*uri_columns("subject"), ("subject_cid", "text"))
VIEWS = {view.name: view for view in [
    View("likes", ("app.bsky.feed.like",), (*SUBJECT, ("created_at", "text")), ("subject",), like),
    View("follows", ("app.bsky.graph.follow",), (("subject", "text"), CREATED), ("subject",), follow),
    View("reposts", ("app.bsky.feed.repost",), (*SUBJECT, ("via", "text"), CREATED), ("subject",), repost),
    View("replies", ("app.bsky.feed.post",), (*uri_columns("parent"), *uri_columns("root"), ("text", "text"),
                                              ("langs", "json"), CREATED),
         ("parent", "root"), reply),
    View("profiles", ("app.bsky.actor.profile",),
         (("display_name", "text"), ("description", "text"), ("avatar_cid", "text"), ("avatar", "json"),
          ("banner", "json"),
          ("pinned_post", "text"), ("labels", "json"), CREATED), (), profile),
    View("links", ("*",), (("kind", "text"), ("path", "text"), ("target", "text")), ("target",), links, many=True),
]}
