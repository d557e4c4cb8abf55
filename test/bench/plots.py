#!/usr/bin/python3
"""Draws docs/bench/*.svg from the JSON of ./dev bench: rates beside their limits, latency, growth, CPU an event.

Owns: the pictures. Does not know: how a figure is measured. Needs matplotlib, so it runs with the system's Python.
"""
import argparse
import json
import pathlib
import re

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt  # noqa: E402

OURS = "#2f6f9f"
plt.rcParams.update({"svg.hashsalt": "recordkv", "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 10,
                     "axes.spines.top": False, "axes.spines.right": False})


def save(figure, directory, name):
    figure.savefig(directory / f"{name}.svg", bbox_inches="tight", metadata={"Date": None, "Creator": None})
    plt.close(figure)


def rates(rows, directory):
    """Each rate as a share of its limit, which is the line at 1."""
    chosen = [r for r in rows if r["unit"] == "/s" and r["ratio"] and r["section"] != "growth"]
    figure, axes = plt.subplots(figsize=(9, 0.45 * len(chosen) + 1))
    for n, r in enumerate(reversed(chosen)):
        axes.barh(n, r["ratio"], 0.6, color=OURS)
        axes.text(r["ratio"], n, f" {r['ratio']:.2f}: {r['median']:,.0f}/s", va="center", fontsize=8)
    axes.axvline(1, color="#888888", linewidth=1)
    names = [f"{r['section']}: {r['what']}\nof {r['of']}" for r in reversed(chosen)]
    axes.set_yticks(range(len(chosen)), names, fontsize=8)
    axes.set_xlim(0, max(1.2, 1.2 * max(r["ratio"] for r in chosen)))
    axes.set_xlabel("share of the limit of the same run")
    save(figure, directory, "rates")


def latency(rows, directory):
    found = {}
    for r in rows:
        if m := re.match(r"event to row at ([\d,]+) events/s, (\S+)", r["what"]):
            found.setdefault(m[1], {})[m[2]] = r["median"]
    if not found:
        return
    figure, axes = plt.subplots(figsize=(7, 3))
    for rate, shares in found.items():
        axes.plot(list(shares), list(shares.values()), marker="o", label=f"{rate} events/s")
        for what, value in shares.items():
            axes.annotate(f"{value:.1f}", (what, value), textcoords="offset points", xytext=(4, 4), fontsize=8)
    axes.set_yscale("log")
    axes.set_ylabel("ms from event to row")
    axes.legend(frameon=False)
    save(figure, directory, "latency")


def growth(rows, directory):
    points = [(int(m[1].replace(",", "")), r) for r in rows
              if r["section"] == "growth" and (m := re.match(r"at ([\d,]+) keys", r["what"]))]
    if not points:
        return
    figure, axes = plt.subplots(figsize=(7, 3))
    keys = [k for k, _ in points]
    axes.plot(keys, [r["median"] for _, r in points], marker="o", color=OURS, label="recordkv, events to the likes row")
    axes.plot(keys, [r["limit"] for _, r in points], marker="o", color="#888888", label=points[0][1]["of"])
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("keys in the store")
    axes.set_ylabel("events a second")
    axes.legend(frameon=False)
    save(figure, directory, "growth")


def cost(path, directory):
    """The stacked picture: microseconds of CPU an event by what they are spent on (test/bench/profile.py)."""
    parts = json.loads(path.read_text(encoding="utf-8"))["parts"]
    figure, axes = plt.subplots(figsize=(9, 2.2))
    colours, left = plt.get_cmap("tab20"), 0
    for n, (name, us) in enumerate(parts.items()):
        axes.barh(0, us, left=left, color=colours(n % 20), label=f"{name} {us:.1f}")
        left += us
    axes.set_yticks([])
    axes.set_xlabel("microseconds of recordkv's CPU an event")
    axes.legend(frameon=False, ncols=3, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.35))
    save(figure, directory, "cost")


def main():
    ask = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ask.add_argument("figures", help="the JSON of ./dev bench")
    ask.add_argument("--profile", help="the JSON of profile.py")
    ask.add_argument("--into", default="docs/bench")
    given = ask.parse_args()
    directory = pathlib.Path(given.into)
    directory.mkdir(parents=True, exist_ok=True)
    rows = json.loads(pathlib.Path(given.figures).read_text(encoding="utf-8"))["figures"]
    for draw in (rates, latency, growth):
        draw(rows, directory)
    if given.profile:
        cost(pathlib.Path(given.profile), directory)


if __name__ == "__main__":
    main()
