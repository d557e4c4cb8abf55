"""Finds the sentences that people read in a file: those of its comments, or of a document.

Owns: where comments and paragraphs begin and end, in C++, Python, shell, Meson, TOML, YAML and Markdown.
Does not know: which words and lengths are good (check_words.py).
"""
import ast
import io
import os
import re
import tokenize
from typing import NamedTuple

SCRIPTS = {".mjs", ".js", ".ts"}
SLASHES = {".cpp", ".hpp", *SCRIPTS}
DATA = {".toml", ".yaml", ".yml", ".conf", ".service"}
HASHES = {".sh", ".wrap", *DATA}
HASH_NAMES = {"dev", "run", "meson.build", "meson_options.txt", "Dockerfile", ".clang-tidy", ".clang-format"}
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
DOCUMENT, SLASH, HASH, PYTHON = "document", "slash", "hash", "python"

ENDS = re.compile(r"(?<=[.!?])([\"')\]”]*)\s+")
ABBREVIATION = re.compile(r"\b(?:e\.g|i\.e|etc|vs|cf|no|approx)\.$", re.I)
BULLET = re.compile(r"^\s*(?:[-*+]|\d+[.)])\s+")
TABLE = re.compile(r"^\s*\|")
FENCE = re.compile(r"^\s*(```|~~~)")
CODE_SPAN = re.compile(r"(`+)(?:.(?!\1))*.?\1")
LINK = re.compile(r"!?\[([^\]]*)\](?:\([^)]*\)|\[[^\]]*\])")
CODE = "\N{WHITE SQUARE}"  # stands for quoted code, as one word


class Sentence(NamedTuple):
    line: int
    text: str


def kind_of(path):
    """How the file is read; None for what people do not read as prose."""
    name, ending = os.path.basename(path), os.path.splitext(path)[1]
    if ending == ".md":
        return DOCUMENT
    if ending == ".py":
        return PYTHON
    if ending in SLASHES:
        return SLASH
    return HASH if ending in HASHES or name in HASH_NAMES else None


class Paragraphs:
    """Collects lines into paragraphs, and paragraphs into sentences that know their line."""

    def __init__(self):
        self.lines, self.sentences = [], []

    def add(self, number, text):
        if BULLET.match(text) or not text.strip():
            self.end()
            text = BULLET.sub("", text)
        if text.strip():
            self.lines.append((number, text.strip()))

    def alone(self, number, text):
        self.end()
        self.add(number, text)
        self.end()

    def end(self):
        if not self.lines:
            return
        text, starts = "", []
        for number, line in self.lines:
            starts.append((len(text), number))
            text += line + " "
        self.lines = []
        begin = 0
        for found in [*ENDS.finditer(text), None]:
            end = found.end(1) if found else len(text)
            if found and ABBREVIATION.search(text[begin:end]):
                continue
            sentence = text[begin:end].strip()
            if re.search(r"\w", sentence):
                offset = begin + len(text[begin:end]) - len(text[begin:end].lstrip())
                line = max(number for start, number in starts if start <= offset)
                self.sentences.append(Sentence(line, sentence))
            begin = found.end() if found else end


def plain(text):
    """Markdown without its marks: links as their text, code as one sign."""
    return LINK.sub(r"\1", CODE_SPAN.sub(CODE, text))


def document_sentences(text):
    paragraphs, fenced, after_blank = Paragraphs(), False, True
    for number, line in enumerate(text.splitlines(), 1):
        if FENCE.match(line):
            fenced = not fenced
            paragraphs.end()
            continue
        if fenced or (after_blank and line.startswith("    ") and not BULLET.match(line)):
            continue
        if TABLE.match(line):
            for cell in plain(line).strip().strip("|").split("|"):
                paragraphs.alone(number, cell)
        elif line.startswith("#"):
            paragraphs.alone(number, plain(line).lstrip("# "))
        elif not re.match(r"^\s*(?:<[!/a-z]|\[[^\]]+\]:)", line):
            paragraphs.add(number, plain(line))
        after_blank = not line.strip()
    paragraphs.end()
    return paragraphs.sentences


def comments_of_slashes(text):
    """(line, column, text) of each line of a comment in C++ or JavaScript."""
    token = re.compile(r"""//[^\n]*|/\*.*?\*/|R"(?P<mark>[^()\\ ]{0,16})\(.*?\)(?P=mark)"|"(?:\\.|[^"\\\n])*"|"""
                       r"""'(?:\\.|[^'\\\n]){1,12}'|`(?:\\.|[^`\\])*`""", re.S)
    for found in token.finditer(text):
        if not found[0].startswith(("//", "/*")):
            continue
        number = text.count("\n", 0, found.start()) + 1
        column = found.start() - (text.rfind("\n", 0, found.start()) + 1)
        if found[0].startswith("//"):
            yield number, column, found[0].lstrip("/").removeprefix("!").removeprefix("<")
            continue
        for n, line in enumerate(found[0][2:-2].split("\n")):
            yield number + n, column, re.sub(r"^\s*\*+ ?", " ", line)


def comments_of_hashes(text):
    """The same for shell, Meson, TOML and YAML: what stands behind a # that is outside of quotes."""
    here_document = None
    for number, line in enumerate(text.splitlines(), 1):
        if here_document:
            here_document = None if line.strip() == here_document else here_document
            continue
        if begins := re.search(r"<<-?\s*['\"]?([A-Z]{2,})['\"]?", line):
            here_document = begins[1]
        bare = re.sub(r"'[^']*'|\"(?:\\.|[^\"\\])*\"", lambda m: "x" * len(m[0]), line)
        if (found := re.search(r"(?:^|(?<=\s))#", bare)) and not line.startswith("#!"):
            yield number, found.start(), line[found.end():].lstrip("#")


def comments_of_python(text):
    """Comments and docstrings."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT and not token.string.startswith("#!"):
            yield token.start[0], token.start[1], token.string.lstrip("#")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node):
            constant = node.body[0].value
            for n, line in enumerate(constant.value.split("\n")):
                yield constant.lineno + n, -1, line if n == 0 else " " + line[constant.col_offset:]


def comment_sentences(found, lines):
    """Comment lines below each other in one column are one paragraph. What is indented inside a comment is code."""
    paragraphs, last, place = Paragraphs(), 0, None
    for number, column, text in found:
        trailing = column > 0 and lines[number - 1][:column].strip() != ""
        if number != last + 1 or column != place or trailing:
            paragraphs.end()
        last, place = number, column
        if re.match(r"^\s{3,}\S", text) and not BULLET.match(text):
            paragraphs.end()
        elif not re.match(r"^\s*(?:NOLINT|clang-format|noqa|@)", text):
            paragraphs.add(number, CODE_SPAN.sub(CODE, text))
    paragraphs.end()
    return paragraphs.sentences


def comments(path, text):
    """(line, column, text) of each line of a comment."""
    return {SLASH: comments_of_slashes, HASH: comments_of_hashes, PYTHON: comments_of_python}[kind_of(path)](text)


def sentences(path, text):
    if kind_of(path) == DOCUMENT:
        return document_sentences(text)
    return comment_sentences(comments(path, text), text.splitlines())


def words(sentence):
    """The words of a sentence; quoted code is one."""
    return [w for w in sentence.split() if re.search(rf"[\w{CODE}]", w)]
