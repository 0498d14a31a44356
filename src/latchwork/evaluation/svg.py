"""Plots as SVG: axes with round marks, lines with gaps, bands, steps, bars with whiskers, legends.

No script, no font, no network. Colours come from classes (figure.css), so that one drawing serves a page in light and
in dark; :func:`standalone` writes the light ones into the file. Trees are built with xml.etree, which escapes every
text and attribute.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import pairwise
from typing import Literal, NamedTuple, Self
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import ArrayLike, NDArray

from latchwork.evaluation.svg_ticks import Tick, date_ticks, log_ticks, number_ticks

Array = NDArray[np.float64]

NAMESPACE = "http://www.w3.org/2000/svg"
MOST_POINTS = 900
"""Points of a line; a longer one keeps the lowest and the highest of each stretch, so that peaks stay."""

FONT = 12
_LETTER = 6.8  # mean width of a character in the tick font, an estimate
_UNSAFE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


def clean(text: object) -> str:
    """Text as XML can hold it: control characters and half characters become �."""
    return _UNSAFE.sub("�", str(text))


def element(tag: str, *children: Element | str | None, **attributes: object) -> Element:
    """An element; children are elements or texts, None is left out. Names: ``cls`` is class, ``_`` is ``-``.

    >>> ElementTree.tostring(element("p", "a < b", cls="note"), encoding="unicode")
    '<p class="note">a &lt; b</p>'
    """
    names = {"cls": "class", "view_box": "viewBox"}
    node = Element(
        tag,
        {
            names.get(name, name.replace("_", "-")): clean(_short(value))
            for name, value in attributes.items()
            if value is not None
        },
    )
    for child in children:
        if isinstance(child, Element):
            node.append(child)
        elif child is not None and len(node):
            node[-1].tail = (node[-1].tail or "") + clean(child)
        elif child is not None:
            node.text = (node.text or "") + clean(child)
    return node


def _short(value: object) -> object:
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else value


def text_width(text: str) -> float:
    """About how wide a text is drawn, in pixels; no font is asked."""
    return _LETTER * sum(0.55 if letter in "iljtfr.,:;|'! " else 1.45 if letter in "mwMW@%" else 1.0 for letter in text)


def shortened(text: str, pixels: float) -> str:
    """The text, cut with … where it would be wider."""
    if text_width(text) <= pixels:
        return text
    while text and text_width(text + "…") > pixels:
        text = text[:-1]
    return text.rstrip() + "…"


@dataclass(frozen=True)
class Scale:
    """One axis in units of the data."""

    low: float
    high: float
    kind: Literal["number", "log", "date"] = "number"

    @classmethod
    def over(
        cls,
        *values: ArrayLike,
        kind: Literal["number", "log", "date"] = "number",
        zero: bool = False,
        pad: float = 0.0,
    ) -> Self:
        """From the lowest to the highest finite value, and a share ``pad`` more at both ends; ``zero``: from 0 on."""
        every = np.concatenate([np.zeros(0), *(np.asarray(part, dtype=np.float64).ravel() for part in values)])
        every = every[np.isfinite(every)]
        if kind == "log":
            every = every[every > 0]
            low, high = (float(every.min()), float(every.max())) if len(every) else (1.0, 10.0)
            return cls(low / 1.25, high * 1.25, kind)
        low, high = (float(every.min()), float(every.max())) if len(every) else (0.0, 1.0)
        if zero:
            low, high = min(low, 0.0), max(high, 0.0)
        if high - low <= 1e-12 * max(abs(low), abs(high)):
            room = max(abs(low) * 0.05, 1.0 if kind == "number" else 1e9)
            low, high = (0.0, high or 1.0) if zero else (low - room, high + room)
        room = pad * (high - low)
        return cls(low - (0 if zero and low == 0 else room), high + room, kind)

    def place(self, values: ArrayLike, start: float, end: float) -> Array:
        """Pixels of values, held to the axis; NaN stays."""
        numbers = np.asarray(values, dtype=np.float64)
        low, high = self.low, self.high
        if self.kind == "log":
            positive = np.where(numbers > 0, numbers, np.nan)
            numbers, low, high = np.log10(positive), np.log10(low), np.log10(high)
        return start + np.clip((numbers - low) / (high - low), 0.0, 1.0) * (end - start)

    def ticks(self, count: int) -> list[Tick]:
        """About ``count`` marks."""
        ticks = {"number": number_ticks, "log": log_ticks, "date": date_ticks}[self.kind]
        return ticks(self.low, self.high, count)


class Key(NamedTuple):
    """A line of the legend."""

    label: str
    style: str
    mark: Literal["line", "band", "dot"] = "line"


class Plot:
    """A frame with two axes, to draw in. ``style`` everywhere is a class of figure.css."""

    def __init__(
        self,
        x: Scale,
        y: Scale,
        *,
        width: int,
        height: int,
        label: str,
        x_title: str = "",
        y_title: str = "",
        keys: Sequence[Key] = (),
    ) -> None:
        self.x, self.y, self.width, self.height = x, y, width, height
        self.root = figure(width, height, label)
        y_count = max(2, round(height / 52))
        y_ticks = y.ticks(y_count)
        self.left = 10 + max([text_width(tick.label) for tick in y_ticks] or [0.0])
        self.right = width - 12.0
        top = _legend(self.root, keys, self.left, self.right) if keys else 6.0
        if y_title:
            self.root.append(element("text", y_title, cls="title", x=self.left, y=top + 11))
            top += 17
        self.top, self.bottom = top + 5, height - (40.0 if x_title else 24.0)
        self._axes(y_ticks, x_title)

    def _axes(self, y_ticks: Sequence[Tick], x_title: str) -> None:
        for tick, place in zip(y_ticks, self._down([tick.value for tick in y_ticks]), strict=True):
            self.root.append(element("path", cls="grid", d=f"M{_n(self.left)} {_n(place)}H{_n(self.right)}"))
            attributes = {"cls": "tick", "x": self.left - 6, "y": float(place) + 4, "text_anchor": "end"}
            self.root.append(element("text", tick.label, **attributes))
        widest = 76 if self.x.kind == "date" else 62
        x_ticks = self.x.ticks(max(2, int((self.right - self.left) / widest)))
        taken = -np.inf
        for tick, place in zip(x_ticks, self._across([tick.value for tick in x_ticks]), strict=True):
            self.root.append(element("path", cls="axis", d=f"M{_n(place)} {_n(self.bottom)}v4"))
            half = text_width(tick.label) / 2
            middle = float(np.clip(place, half + 1, self.width - half - 1))
            if middle - half > taken:  # a label that would run into the last one is left out
                attributes = {"cls": "tick", "x": middle, "y": self.bottom + 17, "text_anchor": "middle"}
                self.root.append(element("text", tick.label, **attributes))
                taken = middle + half + 6
        self.root.append(element("path", cls="axis", d=f"M{_n(self.left)} {_n(self.bottom)}H{_n(self.right)}"))
        if x_title:
            middle = (self.left + self.right) / 2
            attributes = {"cls": "title", "x": middle, "y": self.height - 6.0, "text_anchor": "middle"}
            self.root.append(element("text", x_title, **attributes))

    def _across(self, values: ArrayLike) -> Array:
        return self.x.place(values, self.left, self.right)

    def _down(self, values: ArrayLike) -> Array:
        return self.y.place(values, self.bottom, self.top)

    def line(self, x: ArrayLike, y: ArrayLike, style: str, *, most: int = MOST_POINTS) -> None:
        """A line, broken where y is NaN; a value between two gaps is a dot."""
        kept = thin(np.asarray(y, dtype=np.float64), most)
        across, down = self._across(np.asarray(x)[kept]), self._down(np.asarray(y)[kept])
        parts = []
        for run in runs(down):
            points = [f"{_n(a)} {_n(d)}" for a, d in zip(across[run], down[run], strict=True)]
            parts.append("M" + "L".join(points) + ("h0.1" if len(points) == 1 else ""))
        if parts:
            self.root.append(element("path", cls=f"line {style}", d="".join(parts)))

    def steps(self, x: ArrayLike, y: ArrayLike, style: str) -> None:
        """y[i] holds from x[i] to x[i + 1]; x has one entry more than y."""
        edges = np.repeat(np.asarray(x, dtype=np.float64), 2)[1:-1]
        self.line(edges, np.repeat(np.asarray(y, dtype=np.float64), 2), style)

    def band(self, x: ArrayLike, low: ArrayLike, high: ArrayLike, style: str) -> None:
        """The room between two lines, where both are known."""
        across, floor, roof = self._across(x), self._down(low), self._down(high)
        parts = []
        for run in runs(floor + roof):
            there = [f"{_n(a)} {_n(d)}" for a, d in zip(across[run], roof[run], strict=True)]
            back = [f"{_n(a)} {_n(d)}" for a, d in zip(across[run][::-1], floor[run][::-1], strict=True)]
            parts.append("M" + "L".join(there + back) + "Z")
        if parts:
            self.root.append(element("path", cls=f"band {style}", d="".join(parts)))

    def dots(self, x: ArrayLike, y: ArrayLike, style: str, titles: Sequence[str] = (), radius: float = 3.5) -> None:
        """A dot at each known point; a title is shown where the pointer rests."""
        for index, (a, d) in enumerate(zip(self._across(x), self._down(y), strict=True)):
            if np.isfinite(a + d):
                title = element("title", titles[index]) if index < len(titles) else None
                self.root.append(element("circle", title, cls=f"dot {style}", cx=float(a), cy=float(d), r=radius))

    def upright(self, x: float, style: str, label: str = "") -> None:
        """A line from the bottom to the top, its label at the top on the side with more room."""
        place = float(self._across(x))
        self.root.append(element("path", cls=f"line {style}", d=f"M{_n(place)} {_n(self.bottom)}V{_n(self.top)}"))
        if label:
            room = place + text_width(label) + 8 < self.right
            at, anchor = (place + 5, "start") if room else (place - 5, "end")
            self.root.append(element("text", label, cls="note", x=at, y=self.top + 10, text_anchor=anchor))

    def level(self, y: float, style: str, label: str = "") -> None:
        """A line from side to side, its label above it at the right."""
        place = float(self._down(y))
        self.root.append(element("path", cls=f"line {style}", d=f"M{_n(self.left)} {_n(place)}H{_n(self.right)}"))
        if label:
            up = place - 5 if place - 16 > self.top else place + 13
            self.root.append(element("text", label, cls="note", x=self.right - 4, y=up, text_anchor="end"))


class Bar(NamedTuple):
    """A row of a bar chart: a value, its interval (NaN: none), how it reads; ``style`` is chosen, other or partial."""

    name: str
    value: float
    low: float
    high: float
    text: str
    style: str = "other"


def bars(rows: Sequence[Bar], *, width: int, label: str, x_title: str = "", row_height: int = 30) -> Element:
    """Bars from 0, one below the other, with whiskers; one that is far longer than the others ends in an arrow."""
    values = np.array([row.value for row in rows], dtype=np.float64)
    tips = np.fmax(values, [row.high for row in rows])
    usual = float(np.nanmedian(values)) if np.isfinite(values).any() else 1.0
    scale = Scale.over(np.where(tips > 4 * usual, np.minimum(values, 4 * usual), tips), zero=True)
    names = min(0.34 * width, max((text_width(row.name) * 1.1 for row in rows), default=0.0)) + 14
    texts = max((text_width(row.text) * 1.1 for row in rows), default=0.0) + 14
    left, right = names, max(width - texts, names + 60)
    height = len(rows) * row_height + (44 if x_title else 28)
    root = figure(width, height, label)
    bottom = float(len(rows) * row_height + 4)
    for tick in scale.ticks(max(2, int((right - left) / 70))):
        place = float(scale.place(tick.value, left, right))
        root.append(element("path", cls="grid", d=f"M{_n(place)} 2V{_n(bottom)}"))
        root.append(element("text", tick.label, cls="tick", x=place, y=bottom + 15, text_anchor="middle"))
    for index, row in enumerate(rows):
        root.append(_bar(row, scale, (left, right, width), index * row_height + row_height / 2 + 2, row_height))
    root.append(element("path", cls="axis", d=f"M{_n(left)} 2V{_n(bottom)}"))
    if x_title:
        middle = (left + right) / 2
        root.append(element("text", x_title, cls="title", x=middle, y=bottom + 34, text_anchor="middle"))
    return root


def _bar(row: Bar, scale: Scale, sides: tuple[float, float, float], middle: float, row_height: int) -> Element:
    left, right, width = sides
    name = shortened(row.name, left - 12)
    group = element("g", element("title", f"{row.name}: {row.text}"), cls=f"bar {row.style}")
    group.append(element("text", name, cls="name", x=left - 8, y=middle + 4, text_anchor="end"))
    if np.isfinite(row.value):
        end, thick = float(scale.place(row.value, left, right)), row_height * 0.5
        shape = {"x": left, "y": middle - thick / 2, "width": max(end - left, 0.5), "height": thick}
        group.append(element("rect", cls="body", **shape))
        if row.value > scale.high * 1.001:
            arrow = f"M{_n(right - 9)} {_n(middle - 4)}l4 4l-4 4"
            group.append(element("path", cls="arrow", d=arrow))
        elif np.isfinite(row.low + row.high):
            low, high = (float(scale.place(bound, left, right)) for bound in (row.low, row.high))
            whisker = f"M{_n(low)} {_n(middle - 4)}v8M{_n(low)} {_n(middle)}H{_n(high)}M{_n(high)} {_n(middle - 4)}v8"
            group.extend([element("path", cls="halo", d=whisker), element("path", cls="whisker", d=whisker)])
    group.append(element("text", row.text, cls="value", x=width - 2.0, y=middle + 4, text_anchor="end"))
    return group


def figure(width: float, height: float, label: str) -> Element:
    """An empty drawing with its text for those who can't see it."""
    return element("svg", cls="figure", role="img", aria_label=label, view_box=f"0 0 {width:g} {height:g}")


def _legend(root: Element, keys: Sequence[Key], left: float, right: float) -> float:
    """Draw the keys in as many lines as they take; returns where they end."""
    across, down = left, 10.0
    for key in keys:
        room = 26 + text_width(key.label) + 16
        if across + room - 16 > right and across > left:
            across, down = left, down + 18
        mark = {
            "line": element("path", cls=f"line {key.style}", d=f"M{_n(across)} {_n(down)}h20"),
            "band": element("rect", cls=f"band {key.style}", x=across, y=down - 5, width=20, height=10),
            "dot": element("circle", cls=f"dot {key.style}", cx=across + 10, cy=down, r=4),
        }[key.mark]
        root.append(mark)
        root.append(element("text", key.label, cls="key", x=across + 26, y=down + 4))
        across += room
    return down + 12


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def runs(values: Array) -> list[slice]:
    """The stretches without NaN.

    >>> runs(np.array([1.0, np.nan, 2.0, 3.0]))
    [slice(0, 1, None), slice(2, 4, None)]
    """
    known = np.concatenate([[False], np.isfinite(values), [False]])
    edges = np.flatnonzero(known[1:] != known[:-1])
    return [slice(int(first), int(last)) for first, last in zip(edges[::2], edges[1::2], strict=True)]


def thin(values: Array, most: int) -> NDArray[np.int64]:
    """Which points of a line to keep, about ``most``: the first, lowest and highest of each stretch, one of a gap."""
    if len(values) <= most:
        return np.arange(len(values))
    edges = np.linspace(0, len(values), max(2, most // 3) + 1).astype(np.int64)
    kept = {len(values) - 1}
    for first, last in pairwise(edges):
        part, gaps = values[first:last], np.flatnonzero(~np.isfinite(values[first:last]))
        kept.add(int(first))
        if len(gaps):
            kept.add(int(first + gaps[0]))
        if len(gaps) < len(part):
            kept |= {int(first + np.nanargmin(part)), int(first + np.nanargmax(part))}
    return np.array(sorted(kept), dtype=np.int64)


# Writing


@cache
def stylesheet() -> str:
    """figure.css: the colours as variables, for light and for dark, and what each class looks like."""
    return files("latchwork.evaluation").joinpath("figure.css").read_text(encoding="utf-8")


def standalone(drawing: Element, *, title: str) -> str:
    """An SVG file of its own: light colours on white, sizes fixed, nothing to load."""
    sheet = stylesheet()
    palette = dict(re.findall(r"--([\w-]+):\s*([^;]+);", sheet.partition("@media")[0]))
    rules = re.sub(r"var\(--([\w-]+)\)", lambda found: palette[found[1]], sheet.rpartition("/* rules */")[2])
    width, height = drawing.get("viewBox", "").split()[2:]
    root = Element("svg", {"xmlns": NAMESPACE, **drawing.attrib, "width": width, "height": height})
    root.append(element("title", title))
    root.append(element("style", rules.strip()))
    root.append(element("rect", width="100%", height="100%", fill=palette["paper"]))
    root.extend(drawing)
    return ElementTree.tostring(root, encoding="unicode", short_empty_elements=True) + "\n"


def side_by_side(drawings: Sequence[Element], *, label: str, gap: int = 24, margin: int = 12) -> Element:
    """Several drawings in one, from left to right, each in the middle of the height."""
    sizes = [tuple(float(part) for part in one.get("viewBox", "").split()[2:]) for one in drawings]
    height = max(size[1] for size in sizes) + 2 * margin
    root = figure(sum(size[0] for size in sizes) + gap * (len(sizes) - 1) + 2 * margin, height, label)
    across = float(margin)
    for one, (wide, high) in zip(drawings, sizes, strict=True):
        inner = element("svg", x=across, y=(height - high) / 2, width=wide, height=high, view_box=one.get("viewBox"))
        inner.extend(one)
        root.append(inner)
        across += wide + gap
    return root


def write(node: Element) -> str:
    """An element as text that is both HTML and XML: every < of a text or an attribute escaped, every element closed."""
    return ElementTree.tostring(node, encoding="unicode", short_empty_elements=False)
