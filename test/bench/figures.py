"""The figures of a benchmark: each beside its limit of the same run, over several runs, as a table and as JSON.

Owns: medians and spreads, what is wanted of a figure and whether it was met, the guard against a fall.
Does not know: how a figure is measured.
"""
import statistics
from typing import NamedTuple

FORMS = {"/s": ",.0f", "us": ".1f", "ms": ".1f", "MB": ",.0f", "s": ".1f", "instructions": ",.0f", "": ",.2f"}
COSTS = ("us", "ms", "MB", "s")  # good when they are small
FLOOR = 0.6  # of the recorded ratio: below it, the guard fails
ROOM = 0.1  # by so much may a count of instructions rise


class Setting(NamedTuple):
    """What a section is told. It yields its figures; what is measured only once is yielded in run 0."""

    build: str
    quick: bool
    run: int
    directory: str  # kept from run to run, gone at the end


class Wanted(NamedTuple):
    """`number` is of the figure's ratio to its limit, or of the figure itself."""

    number: float
    of_ratio: bool = False
    at_most: bool = False

    def met(self, value, ratio):
        measured = ratio if self.of_ratio else value
        return measured <= self.number if self.at_most else measured >= self.number

    def __str__(self):
        return f"{'≤' if self.at_most else '≥'} {self.number:g}{' of it' if self.of_ratio else ''}"


class Figure(NamedTuple):
    """One run's figure. `limit` is in the same unit, measured in the same run; `of` says what it is."""

    what: str
    unit: str
    value: float
    of: str = ""
    limit: float = 0
    wanted: Wanted | None = None


class Row:
    """A figure over all runs."""

    def __init__(self, section, figure):
        self.section, self.what, self.unit, self.of = section, figure.what, figure.unit, figure.of
        self.wanted, self.values, self.limits = figure.wanted, [], []

    def add(self, figure):
        self.values.append(figure.value)
        if figure.limit:
            self.limits.append(figure.limit)

    def value(self):
        return statistics.median(self.values)

    def ratio(self):
        """The median of each run's own ratio; None without a limit."""
        return statistics.median(v / limit for v, limit in zip(self.values, self.limits)) if self.limits else None

    def best_ratio(self):
        """Of all runs. Other work on the machine makes a run worse, and never better."""
        ratios = [v / limit for v, limit in zip(self.values, self.limits)]
        return (min if self.unit in COSTS else max)(ratios) if ratios else None

    def met(self):
        return self.wanted.met(self.value(), self.ratio()) if self.wanted else None

    def json(self):
        return {"section": self.section, "what": self.what, "unit": self.unit, "median": self.value(),
                "least": min(self.values), "most": max(self.values), "runs": len(self.values), "of": self.of,
                "limit": statistics.median(self.limits) if self.limits else None, "ratio": self.ratio(),
                "best_ratio": self.best_ratio(), "wanted": str(self.wanted) if self.wanted else None, "met": self.met()}


class Table:
    def __init__(self):
        self.rows = {}

    def add(self, section, figure):
        self.rows.setdefault((section, figure.what), Row(section, figure)).add(figure)

    def json(self):
        return [row.json() for row in self.rows.values()]

    def lines(self):
        """Markdown, as README shows it."""
        yield "| what | median | least to most | limit, same run | of it | wanted |"
        yield "| --- | --- | --- | --- | --- | --- |"
        for row in self.rows.values():
            form = FORMS[row.unit]
            unit = row.unit if row.unit.startswith("/") else f" {row.unit}" if row.unit else ""
            spread = f"{min(row.values):{form}} to {max(row.values):{form}}" if len(row.values) > 1 else "one run"
            limit = f"{statistics.median(row.limits):{form}}{unit} ({row.of})" if row.limits else ""
            ratio = f"{row.ratio():.2f}" if row.limits else ""
            wanted = f"{row.wanted}: {'met' if row.met() else '**missed**'}" if row.wanted else ""
            value = f"{row.value():{form}}{unit}"
            yield f"| {row.section}: {row.what} | {value} | {spread} | {limit} | {ratio} | {wanted} |"


def falls(rows, recorded):
    """What a guard says of these rows: (section, line) for each ratio that fell below FLOOR of the recorded one, for
    each count of instructions that rose, and for those that are gone. Machines differ, so no other figure counts."""
    now = {(r["section"], r["what"]): r for r in rows}
    nothing = {"best_ratio": None, "median": None}
    for was in recorded:
        fallen = fall_of(now.get((was["section"], was["what"]), nothing), was)
        if fallen:
            yield was["section"], f"{was['section']}: {was['what']}: {fallen}"


def fall_of(row, was):
    if was["unit"] == "instructions":
        if row["median"] is None:
            return "was not counted"
        risen = row["median"] > was["median"] * (1 + ROOM)
        return f"{row['median']:,}; recorded were {was['median']:,}" if risen else ""
    if was["ratio"] is None:
        return ""
    if row["best_ratio"] is None:
        return "was not measured"
    share = was["ratio"] / row["best_ratio"] if was["unit"] in COSTS else row["best_ratio"] / was["ratio"]
    return f"{row['best_ratio']:.2f} of {row['of']}; recorded were {was['ratio']:.2f}" if share < FLOOR else ""
