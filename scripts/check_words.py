#!/usr/bin/env python3
"""Checks what people read: comments and documents.

  check_words.py [--count] [FILE...]     without files: all that git knows

Three rules. "word": no program is called "who", "he" or "somebody". "sentence": at most 35 words. "line": at most 100
columns in documents, at most 120 in code. Tables, links and code blocks of documents are free. In JavaScript and in
data files the rule holds for lines with a comment.
Owns: the rules, and the list of what is allowed. Does not know: where sentences begin and end (prose.py).
Exceptions stand in allowed_words.toml, each with its reason; an entry that nothing needs is a mistake, too.
"""
import argparse
import collections
import os
import re
import subprocess
import sys
import tomllib

import prose

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ALLOWED = os.path.join(ROOT, "scripts", "allowed_words.toml")
BANNED = re.compile(r"\b(who|whom|whoever|he|him|his|himself|somebody|nobody|everybody|anybody)\b", re.I)
QUOTED = re.compile(r"[\"“][^\"”]*[\"”]")
MAX_WORDS = 35
MAX_DOCUMENT, MAX_CODE = 100, 120
DATA = re.compile(r"^test/(?:fixtures/.*/|deploy/compose-spec/|fuzz/seeds/|unit/wrong_views/)")


class Allowed:
    """The exceptions. Each names a file, a part of the sentence or line, and why it stands."""

    def __init__(self, entries):
        self.entries, self.used = entries, set()
        for entry in entries:
            if not all(entry.get(key) for key in ("file", "text", "reason")):
                raise ValueError(f"an entry wants file, text and reason: {entry}")

    def has(self, path, text):
        found = [n for n, e in enumerate(self.entries) if e["file"] == path and e["text"] in text]
        self.used.update(found)
        return bool(found)

    def unused(self, paths):
        return [e for n, e in enumerate(self.entries) if n not in self.used and e["file"] in paths]


def long_lines(path, text):
    """(line, text) beyond the limit."""
    if prose.kind_of(path) == prose.DOCUMENT:
        yield from long_lines_of_document(text)
        return
    commented = None  # in data files, where a value cannot always be broken, and in JavaScript: lines with a comment
    if os.path.splitext(path)[1] in prose.DATA | prose.SCRIPTS:
        commented = {number for number, _, _ in prose.comments(path, text)}
    for number, line in enumerate(text.splitlines(), 1):
        if len(line) > MAX_CODE and (commented is None or number in commented):
            yield number, line


def long_lines_of_document(text):
    fenced = False
    for number, line in enumerate(text.splitlines(), 1):
        if prose.FENCE.match(line):
            fenced = not fenced
        free = fenced or prose.TABLE.match(line) or line.startswith("    ") or re.search(r"\]\(|\]:|https?://", line)
        if len(line) > MAX_DOCUMENT and not free:
            yield number, line


def findings(path, text, allowed):
    """(line, rule, what is wrong) of one file."""
    found = [(number, "line", f"{len(line)} columns") for number, line in long_lines(path, text)
             if not allowed.has(path, line)]
    for number, sentence in prose.sentences(path, text):
        length = len(prose.words(sentence))
        if length > MAX_WORDS and not allowed.has(path, sentence):
            found.append((number, "sentence", f"{length} words: {sentence}"))
        if (word := BANNED.search(QUOTED.sub("", sentence))) and not allowed.has(path, sentence):
            found.append((number, "word", f"\"{word[0]}\": {sentence}"))
    return sorted(found)


def tracked():
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    return [p for p in listed if p and os.path.isfile(os.path.join(ROOT, p)) and not DATA.search(p)]


def print_counts(rows):
    """How often each rule is broken, by folder."""
    folders = collections.Counter((os.path.dirname(path) or ".", rule) for path, _, rule, _ in rows)
    names = sorted({folder for folder, _ in folders})
    print(f"{'folder':<28} {'word':>6} {'sentence':>9} {'line':>6}")
    for name in [*names, "all"]:
        by_rule = [sum(n for (f, r), n in folders.items() if r == rule and name in (f, "all"))
                   for rule in ("word", "sentence", "line")]
        print(f"{name:<28} {by_rule[0]:>6} {by_rule[1]:>9} {by_rule[2]:>6}")


def main():
    ask = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ask.add_argument("--count", action="store_true", help="how often each rule is broken, by folder")
    ask.add_argument("files", nargs="*", help="relative to the root of the project")
    given = ask.parse_args()
    paths = [p for p in given.files or tracked() if prose.kind_of(p)]
    with open(ALLOWED, "rb") as f:
        allowed = Allowed(tomllib.load(f).get("allow", []))
    rows = []
    for path in paths:
        with open(os.path.join(ROOT, path), encoding="utf-8") as f:
            rows += [(path, *finding) for finding in findings(path, f.read(), allowed)]
    rows += [(os.path.relpath(ALLOWED, ROOT), 1, "allowed", f"nothing needs this entry: {e['file']}: {e['text']}")
             for e in allowed.unused(paths)]
    if given.count:
        print_counts(rows)
    else:
        for path, line, rule, what in rows:
            print(f"{path}:{line}: {rule}: {what}")
        print(f"words: {len(rows)} findings in {len(paths)} files" if rows else f"words: {len(paths)} files read well")
    sys.exit(1 if rows else 0)


if __name__ == "__main__":
    main()
