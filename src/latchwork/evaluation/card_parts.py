"""What reports and cards say of a scoreboard in words, and Markdown that is safe to read."""

import re

from latchwork.evaluation.scoreboard import Scoreboard, figure, interval
from latchwork.evaluation.svg import clean


def verdict_of(board: Scoreboard) -> tuple[str, str]:
    """The verdict, and the interval and reservations that follow it."""
    whole = board.verdict()
    headline, bracket, rest = re.sub(r" \((95% interval .*?)\)", "\n\\1\n", whole, count=1).partition("\n")
    between, _, after = rest.partition("\n")
    headline = headline[:1].upper() + headline[1:] + ("." if bracket else "")
    if not bracket:
        return headline, ""
    after = re.sub("^[:,; ]+", "", after)
    reserve = f"{between[:1].upper()}{between[1:]}." + (f" {after[:1].upper()}{after[1:]}." if after else "")
    return headline.removesuffix(".."), reserve


def figures_table(board: Scoreboard) -> list[str]:
    """Every figure of every method, as a table of Markdown."""
    names = [board.main, *(name for name in board.metrics if name != board.main)]
    rows = ["| | " + " | ".join(plain(board.titles[name]) for name in names) + " |", "|---" * (len(names) + 1) + "|"]
    for row in board.rows:
        cells = [figure(row.values[name]) if name in row.values else "" for name in names]
        if interval(row):
            cells[0] += f" ({interval(row)})"
        rows.append(f"| {plain(row.name)} | " + " | ".join(cells) + " |")
    return rows


def plain(text: str) -> str:
    """Text that Markdown leaves as it is: nothing in it is a tag, a link or a column."""
    return re.sub(r"([\\`*_\[\]<|#~])", r"\\\1", re.sub(r"\s+", " ", clean(text))).replace("\\<", "&lt;")
