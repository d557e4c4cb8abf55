"""The figures of ./dev bench: medians, what is wanted, and the guard."""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "bench"))
from figures import Figure, Table, Wanted, falls  # noqa: E402


def table(*figures):
    made = Table()
    for figure in figures:
        made.add("pipe", figure)
    return made


class TableTest(unittest.TestCase):
    def test_median_of_each_runs_own_ratio(self):
        """A machine that was slow in one run was slow for the limit, too."""
        row, = table(*(Figure("rate", "/s", value, "bare", limit) for value, limit in
                       ((10, 20), (90, 100), (30, 40)))).json()
        self.assertEqual((row["median"], row["least"], row["most"], row["limit"], row["ratio"], row["runs"]),
                         (30, 10, 90, 40, 0.75, 3))

    def test_a_line(self):
        lines = list(table(Figure("rate", "/s", 12_345.6, "bare", 20_000, Wanted(0.65, of_ratio=True)),
                           Figure("memory", "MB", 99.7)).lines())
        self.assertEqual(lines[2:], [
            "| pipe: rate | 12,346/s | one run | 20,000/s (bare) | 0.62 | ≥ 0.65 of it: **missed** |",
            "| pipe: memory | 100 MB | one run |  |  |  |"])

    def test_wanted(self):
        for wanted, value, ratio, met in ((Wanted(5), 5, None, True), (Wanted(5), 4.9, None, False),
                                          (Wanted(5, at_most=True), 5, None, True),
                                          (Wanted(5, at_most=True), 5.1, None, False),
                                          (Wanted(1, of_ratio=True), 0, 1, True),
                                          (Wanted(1, of_ratio=True, at_most=True), 0, 1.1, False)):
            self.assertEqual(wanted.met(value, ratio), met, (wanted, value, ratio))


class GuardTest(unittest.TestCase):
    def fallen(self, unit, recorded, now):
        was = table(Figure("it", unit, recorded, "bare", 100)).json()
        rows = table(Figure("it", unit, now, "bare", 100)).json()
        return [line for _, line in falls(rows, was)]

    def test_a_rate_that_falls(self):
        self.assertEqual(self.fallen("/s", 50, 31), [])
        self.assertEqual(self.fallen("/s", 50, 29), ["pipe: it: 0.29 of bare; recorded were 0.50"])
        self.assertEqual(self.fallen("/s", 50, 500), [])

    def test_a_cost_that_rises(self):
        for unit in ("us", "ms", "MB", "s"):
            self.assertEqual(self.fallen(unit, 50, 80), [])
            self.assertEqual(len(self.fallen(unit, 50, 90)), 1)
            self.assertEqual(self.fallen(unit, 50, 1), [])

    def test_the_best_of_several_runs_counts(self):
        for unit, best in (("/s", 50), ("us", 50)):
            was = table(Figure("it", unit, 50, "bare", 100)).json()
            worse = 20 if unit == "/s" else 200
            now = table(Figure("it", unit, worse, "bare", 100), Figure("it", unit, best, "bare", 100)).json()
            self.assertEqual(list(falls(now, was)), [])

    def test_a_count_of_instructions(self):
        def counted(number):
            return table(Figure("it", "instructions", number)).json()
        self.assertEqual(list(falls(counted(1_100), counted(1_000))), [])
        fell = [("pipe", "pipe: it: 1,101; recorded were 1,000")]
        self.assertEqual(list(falls(counted(1_101), counted(1_000))), fell)
        self.assertEqual(list(falls(counted(1), counted(1_000))), [])
        self.assertEqual(list(falls([], counted(1_000))), [("pipe", "pipe: it: was not counted")])

    def test_what_is_not_measured_has_fallen(self):
        was = table(Figure("it", "/s", 50, "bare", 100)).json()
        self.assertEqual(list(falls([], was)), [("pipe", "pipe: it: was not measured")])

    def test_what_has_no_limit_is_not_compared(self):
        was = table(Figure("it", "/s", 50)).json()
        self.assertEqual(list(falls(table(Figure("it", "/s", 1)).json(), was)), [])


if __name__ == "__main__":
    unittest.main()
