# SPDX-License-Identifier: ISC
"""What bench.py makes of its figures: a table and a plot. Both are made from the same rows."""

import math
import statistics
from html import escape


class Row:
    """One figure of one work, of all systems; ours is judged."""

    def __init__(self, work, figure, rounds):
        """rounds: {label: [figures of each round]}"""
        self.figure = figure
        self.values = {label: [one[figure.key] for one in all if figure.key in one] for label, all in rounds.items()}
        self.values = {label: values for label, values in self.values.items() if values}
        self.ours = next((label for label in reversed(self.values) if label == "postroad" or "worker" in label), None)
        base = self.values.get(work.base)
        self.ratios = {}
        if base:
            for label, values in self.values.items():
                ratios = [figure.ratio(value, other) for value, other in zip(values, base) if value or other]
                if label != work.base and ratios:
                    self.ratios[label] = statistics.median(ratios)
        self.ratio = self.ratios.get(self.ours)

    def median(self, label):
        return statistics.median(self.values[label])

    @property
    def goal(self):
        if self.figure.factor:
            return f"{self.figure.factor:g} x"
        if self.figure.limit:
            return f"{'>=' if self.figure.more else '<='} {self.figure.limit:g}"
        return ""

    @property
    def met(self):
        """None: no goal, or nothing to compare with."""
        if self.figure.factor:
            return None if self.ratio is None else self.ratio >= self.figure.factor
        if self.figure.limit and self.ours:
            value = self.median(self.ours)
            return value >= self.figure.limit if self.figure.more else value <= self.figure.limit
        return None

    def cell(self, label):
        values = self.values.get(label)
        if not values:
            return ""
        middle = short(statistics.median(values))
        if len(values) > 1 and max(values) > min(values):
            middle += f" ({short(min(values))}-{short(max(values))})"
        return middle


def short(number):
    return f"{number:.0f}" if abs(number) >= 100 else f"{number:.3g}"


def rows_of(work, rounds):
    return [row for row in (Row(work, figure, rounds) for figure in work.figures) if row.values]


def table(name, work, rounds):
    """Text of one work: a line per figure, a column per system; how many times better than the base each is, ours against the goal."""
    labels = [label for label in rounds]
    lines = [f"\n{name}: {work.what}"]
    width = {label: max([len(label)] + [len(row.cell(label)) for row in rows_of(work, rounds)]) + 2 for label in labels}
    head = "".join(f"{label:>{width[label]}}" for label in labels)
    lines.append(f"  {'':36}{head}{'better':>10}{'goal':>9}")
    for row in rows_of(work, rounds):
        cells = "".join(f"{row.cell(label):>{width[label]}}" for label in labels)
        ratio = f"{row.ratio:.2f} x" if row.ratio is not None else ""
        verdict = "" if row.met is None else "  met" if row.met else "  NOT MET"
        lines.append(f"  {row.figure.words:36}{cells}{ratio:>10}{row.goal:>9}{verdict}".rstrip())
    for label, all_rounds in rounds.items():
        failed = sum(one.get("failed", 0) for one in all_rounds)
        if failed:
            lines.append(f"  {label}: {failed} FAILED")
    return "\n".join(lines)


def summary(everything):
    """All goals on one page: {name: (work, rounds)}."""
    lines = [f"\n{'work':16}{'figure':36}{'base':>10}{'postroad':>10}{'better':>10}{'goal':>9}"]
    met = judged = 0
    for name, (work, rounds) in everything.items():
        for row in rows_of(work, rounds):
            if row.met is None:
                continue
            judged += 1
            met += row.met
            base = short(row.median(work.base)) if work.base in row.values else ""
            ratio = f"{row.ratio:.2f} x" if row.ratio is not None else ""
            lines.append(f"{name:16}{row.figure.words:36}{base:>10}{short(row.median(row.ours)):>10}{ratio:>10}{row.goal:>9}"
                         f"{'  met' if row.met else '  NOT MET'}")
    lines.append(f"{met} of {judged} goals met")
    return "\n".join(lines)


BAR, LEFT, RIGHT, TOP = 18, 330, 480, 50


def svg(everything, title):
    """A bar for each figure with a factor for a goal: how many times better than the base, on a logarithmic scale; the goal as a mark."""
    rows = [(name, row) for name, (work, rounds) in everything.items() for row in rows_of(work, rounds)
            if row.figure.factor and row.ratio]
    most = max([row.ratio for _, row in rows] + [row.figure.factor for _, row in rows] + [10]) * 1.1
    least = min([row.ratio for _, row in rows] + [1]) / 1.1

    def x(ratio):
        return LEFT + RIGHT * math.log(max(ratio, least) / least) / math.log(most / least)

    height = TOP + BAR * len(rows) + 40
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + RIGHT + 80}" height="{height}" font-family="sans-serif" font-size="11">',
           f'<rect width="100%" height="100%" fill="#fff"/><text x="10" y="20" font-size="14">{escape(title)}</text>']
    for tick in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500):
        if least <= tick <= most:
            out.append(f'<line x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{TOP - 10}" y2="{height - 30}" stroke="{"#666" if tick == 1 else "#ddd"}"/>'
                       f'<text x="{x(tick):.1f}" y="{TOP - 14}" text-anchor="middle">{tick:g} x</text>')
    for number, (name, row) in enumerate(rows):
        y = TOP + number * BAR
        low, high = sorted((x(1), x(row.ratio)))
        out.append(f'<text x="10" y="{y + 12}">{escape(name)}: {escape(row.figure.words)}</text>'
                   f'<rect x="{low:.1f}" y="{y + 2}" width="{high - low:.1f}" height="{BAR - 5}" fill="{"#4a8" if row.met else "#d84"}"/>'
                   f'<line x1="{x(row.figure.factor):.1f}" x2="{x(row.figure.factor):.1f}" y1="{y}" y2="{y + BAR - 1}" stroke="#000" stroke-width="2"/>'
                   f'<text x="{LEFT + RIGHT + 8}" y="{y + 12}">{row.ratio:.1f} x</text>')
    out.append(f'<text x="10" y="{height - 10}">Black mark: the goal.</text></svg>')
    return "\n".join(out)
