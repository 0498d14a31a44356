"""Pieces of a page: figures with captions, tables, lists of facts."""

from collections.abc import Callable, Iterable, Sequence
from importlib.resources import files
from xml.etree.ElementTree import Element

from latchwork.evaluation.svg import element as h
from latchwork.evaluation.svg import stylesheet, write

Draw = Callable[[int], Element]

WIDE, NARROW, HALF = 960, 380, 440
"""Widths at which figures are drawn: for a screen, for a phone, and for one of two beside each other on a screen."""


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
{title}
<style>
{style}</style>
</head>
{body}
</html>
"""


def page(title: str, body: Element, *sheets: str) -> str:
    """A whole page as HTML text, its style inside; ``sheets``: files of style beside the one of every report."""
    folder = files("latchwork.evaluation")
    style = "".join(folder.joinpath(name).read_text(encoding="utf-8") for name in ("report.css", *sheets))
    return _PAGE.format(title=write(h("title", title)), style=stylesheet() + style, body=write(body))


def picture(draw: Draw, caption: str, source: str, *, heading: str = "") -> Element:
    """A figure over the whole page, drawn a second time for a phone."""
    wide, narrow = draw(WIDE), draw(NARROW)
    wide.set("class", "figure wide")
    narrow.set("class", "figure narrow")
    return _captioned([wide, narrow], caption, source, heading)


def half(drawing: Element, caption: str, source: str = "", *, heading: str = "") -> Element:
    """A figure that stands beside another."""
    return _captioned([drawing], caption, source, heading)


def _captioned(drawings: Sequence[Element], caption: str, source: str, heading: str) -> Element:
    origin = h("span", source, cls="source") if source else None
    return h("figure", h("h3", heading) if heading else None, *drawings, h("figcaption", caption, " ", origin))


def pair(*figures: Element) -> Element:
    """Figures beside each other where there is room."""
    return h("div", *figures, cls="pair")


def section(anchor: str, heading: str, *content: Element | str | None) -> Element:
    """A part of the page; texts become paragraphs."""
    parts = [h("p", part) if isinstance(part, str) else part for part in content]
    return h("section", h("h2", heading), *parts, id=anchor)


def facts(pairs: Iterable[tuple[str, str]]) -> Element:
    """Short facts beside each other."""
    return h("dl", *(h("div", h("dt", name), h("dd", value), cls=_long(value)) for name, value in pairs), cls="facts")


def _long(value: str) -> str | None:
    """A hash takes a line of its own."""
    return "long" if len(value) == 64 and " " not in value else None


def table(
    headers: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    caption: str,
    numeric: Iterable[int] = (),
    chosen: Iterable[int] = (),
) -> Element:
    """A table whose first column names its rows; numeric columns stand to the right, chosen rows stand out."""
    right, marked = set(numeric), set(chosen)
    head = h("tr", *(h("th", name, scope="col", cls=_column(place, right)) for place, name in enumerate(headers)))
    body = []
    for index, row in enumerate(rows):
        first = h("th", row[0], scope="row", cls="wrap")
        cells = (h("td", text, cls=_column(place, right)) for place, text in enumerate(row[1:], start=1))
        body.append(h("tr", first, *cells, cls="chosen" if index in marked else None))
    small = "small" if len(headers) <= 5 else None
    whole = h("table", h("caption", caption), h("thead", head), h("tbody", *body), cls=small)
    return h("div", whole, cls="scroll", tabindex="0", role="region", aria_label=caption)


def _column(place: int, numeric: set[int]) -> str | None:
    return "num" if place in numeric else None


def bullets(lines: Iterable[str]) -> Element:
    """A plain list."""
    return h("ul", *(h("li", line) for line in lines))
