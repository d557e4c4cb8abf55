"""check_words.py finds what it must find, and lets good text stand.

Owns: the good and the bad samples. Does not know: the texts of the project.
"""
import contextlib
import io
import os
import sys
import tempfile
import textwrap
import unittest
from unittest import mock

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "scripts"))
import check_words  # noqa: E402
import prose  # noqa: E402

THIRTY_FIVE = " ".join(["word"] * 34) + " end."
THIRTY_SIX = " ".join(["word"] * 35) + " end."


def found(path: str, text: str, *allowed: dict) -> list:
    """(line, rule) of each finding."""
    all_of_them = check_words.findings(path, textwrap.dedent(text), check_words.Allowed(allowed))
    return [(line, rule) for line, rule, _ in all_of_them]


def sentences(path: str, text: str) -> list:
    return [tuple(s) for s in prose.sentences(path, textwrap.dedent(text))]


class WordTest(unittest.TestCase):
    def test_every_banned_word(self):
        for word in "who whom he him his himself somebody nobody everybody anybody He Who".split():
            self.assertEqual(found("a.md", f"The old process and {word} end.\n"), [(1, "word")], word)

    def test_words_that_only_look_alike(self):
        self.assertEqual(found("a.md", "The whole history of this header is shown here.\n"), [])

    def test_quoted_words_stand(self):
        self.assertEqual(found("a.md", 'PostgreSQL runs as `nobody`. "Who is he?" is a question.\n'), [])
        self.assertEqual(found("a.cpp", "// The user is `nobody`.\n"), [])

    def test_in_every_language(self):
        for path in ("a.sh", "dev", "meson.build", "a.toml", "a.yaml", "a.conf", "a.wrap", "a.py"):
            self.assertEqual(found(path, "x = 1\n# Here somebody waits.\n"), [(2, "word")], path)
        for path in ("a.cpp", "a.hpp", "a.mjs", "a.ts"):
            self.assertEqual(found(path, "x = 1;\n// Here somebody waits.\n"), [(2, "word")], path)
            self.assertEqual(found(path, "x = 1;\n/** Here\n * somebody waits. */\n"), [(2, "word")], path)

    def test_code_is_not_prose(self):
        self.assertEqual(found("a.cpp", 'auto s = "somebody // who";\nauto r = R"(// he\n)";\nint he = \'"\';\n'), [])
        self.assertEqual(found("a.py", "he = '# who'\n"), [])
        self.assertEqual(found("a.sh", "echo '# who' \"# he\" $#\ncat <<'EOT'\n# who\nEOT\n"), [])
        self.assertEqual(found("a.toml", 'who = "# he"\n'), [])
        self.assertEqual(found("a.json", '{"who": "he"}\n') if prose.kind_of("a.json") else [], [])

    def test_behind_code_and_in_docstrings(self):
        text = 'int a;  // for somebody\nauto u = "http://x";  // his\n'
        self.assertEqual(found("a.cpp", text), [(1, "word"), (2, "word")])
        self.assertEqual(found("a.py", 'def f():\n    """Asks\n    somebody."""\n'), [(2, "word")])


class SentenceTest(unittest.TestCase):
    def test_the_limit(self):
        self.assertEqual(len(prose.words(THIRTY_FIVE)), 35)
        halves = THIRTY_SIX.split(" ", 18)
        two = " ".join([*halves[:18], "end. And", halves[18]])
        for path, form in (("a.md", "{}\n"), ("a.py", "# {}\n"), ("a.cpp", "// {}\n"), ("a.md", "| x | {} |\n")):
            self.assertIn((1, "sentence"), found(path, form.format(THIRTY_SIX)), path)
            self.assertNotIn((1, "sentence"), found(path, form.format(THIRTY_FIVE)), path)
            self.assertNotIn((1, "sentence"), found(path, form.format(two)), path)

    def test_over_several_lines(self):
        lines = textwrap.wrap(THIRTY_SIX, 40)
        self.assertEqual(found("a.cpp", "int a;\n// " + "\n// ".join(lines) + "\n"), [(2, "sentence")])
        self.assertEqual(found("a.md", "# Heading\n\n" + "\n".join(lines) + "\n"), [(3, "sentence")])

    def test_where_sentences_end(self):
        self.assertEqual(sentences("a.md", """\
            # A heading without a stop

            The first, e.g. this one. The second ends (here.) `code` begins the third! nats.c begins another.
            - A point of a list
            - Another, over
              two lines

            | one cell | another |
            | --- | --- |
            """), [(1, "A heading without a stop"), (3, "The first, e.g. this one."), (3, "The second ends (here.)"),
                   (3, "□ begins the third!"), (3, "nats.c begins another."), (4, "A point of a list"),
                   (5, "Another, over two lines"), (8, "one cell"), (8, "another")])

    def test_comments_that_do_not_belong_together(self):
        self.assertEqual(sentences("a.cpp", """\
            // The first paragraph
            // has two lines
            //
            // The second.
            int a;  // the size
            int b;  // the place
            //   code(that, is, shown);
            """), [(1, "The first paragraph has two lines"), (4, "The second."), (5, "the size"), (6, "the place")])

    def test_code_counts_as_one_word(self):
        only, = sentences("a.md", "Run `./dev test --tier e2e --repeat 3` first.\n")
        self.assertEqual(len(prose.words(only[1])), 3)

    def test_code_blocks_of_documents(self):
        self.assertEqual(found("a.md", f"```sh\nwho {THIRTY_SIX}\n```\n\n    who {THIRTY_SIX}\n"), [])


class LineTest(unittest.TestCase):
    def test_the_limits(self):
        self.assertEqual(found("a.md", "x" * 100 + "\n" + "x" * 101 + "\n"), [(2, "line")])
        self.assertEqual(found("a.cpp", "x" * 120 + "\n" + "x" * 121 + "\n"), [(2, "line")])
        self.assertEqual(found("meson.build", "x = '" + "x" * 120 + "'\n"), [(1, "line")])

    def test_what_is_free_in_data(self):
        value = '"' + "x" * 121 + '"'
        self.assertEqual(found("a.toml", f"a = {value}\nb = {value}  # comment\n# {value}\n"),
                         [(2, "line"), (3, "line")])
        self.assertEqual(found("a.mjs", f"a = {value};\nb = {value}; // comment\n"), [(2, "line")])
        self.assertEqual(found("a.sh", f"a={value}\n"), [(1, "line")])

    def test_what_is_free_in_documents(self):
        long = "x" * 101
        self.assertEqual(found("a.md", f"| {long} |\n```\n{long}\n```\n[{long}](a)\nhttps://{long}\n"), [])
        self.assertEqual(found("a.py", f"# https://{long}{long}\n"), [(1, "line")])


class AllowedTest(unittest.TestCase):
    ENTRY = {"file": "a.md", "text": "people who", "reason": "people, not programs"}

    def test_an_exception(self):
        self.assertEqual(found("a.md", "For people who operate it.\n", self.ENTRY), [])
        self.assertEqual(found("b.md", "For people who operate it.\n", self.ENTRY), [(1, "word")])

    def test_an_exception_wants_a_reason(self):
        with self.assertRaises(ValueError):
            check_words.Allowed([{"file": "a.md", "text": "who"}])

    def test_an_exception_that_nothing_needs(self):
        allowed = check_words.Allowed([self.ENTRY])
        self.assertEqual(check_words.findings("a.md", "For operators.\n", allowed), [])
        self.assertEqual(allowed.unused(["a.md"]), [self.ENTRY])
        self.assertEqual(allowed.unused(["b.md"]), [])


class ProgramTest(unittest.TestCase):
    def run_on(self, text: str, *options: str) -> tuple:
        """(exit code, what it prints) for a file with that text."""
        with tempfile.TemporaryDirectory() as directory:
            with open(os.path.join(directory, "page.md"), "w", encoding="utf-8") as f:
                f.write(text)
            with open(os.path.join(directory, "allowed.toml"), "w", encoding="utf-8"):
                pass
            with mock.patch.multiple(check_words, ROOT=directory, ALLOWED=f"{directory}/allowed.toml"), \
                    mock.patch.object(sys, "argv", ["check_words.py", *options, "page.md"]), \
                    contextlib.redirect_stdout(io.StringIO()) as out, self.assertRaises(SystemExit) as end:
                check_words.main()
        return end.exception.code, out.getvalue()

    def test_what_it_prints(self):
        self.assertEqual(self.run_on("All is well.\n"), (0, "words: 1 files read well\n"))
        code, said = self.run_on("\nHe waits.\n")
        self.assertEqual((code, said), (1, 'page.md:2: word: "He": He waits.\nwords: 1 findings in 1 files\n'))

    def test_counts(self):
        code, said = self.run_on(f"He waits.\n\nHe ends.\n\n{THIRTY_SIX}\n", "--count")
        self.assertEqual(code, 1)
        self.assertRegex(said, r"\nall +2 +1 +1\n")

    def test_the_list_of_exceptions_can_be_read(self):
        import tomllib
        with open(check_words.ALLOWED, "rb") as f:
            check_words.Allowed(tomllib.load(f).get("allow", []))


if __name__ == "__main__":
    unittest.main()
