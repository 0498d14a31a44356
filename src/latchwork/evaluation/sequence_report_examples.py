"""The sections of a report that show single sequences: the surest mistakes, and steps with their labels."""

from typing import Any
from xml.etree.ElementTree import Element

import numpy as np

from latchwork.evaluation.report_parts import section
from latchwork.evaluation.sequence_report_small import COLORS, sparks, thumbnail
from latchwork.evaluation.sequence_report_view import Example, Mistake, SequenceView
from latchwork.evaluation.svg import element as h
from latchwork.evaluation.svg_ticks import number
from latchwork.metrics import spans_of

LETTERS = 280
"""Of a text that is shown; of a longer one both ends."""


def mistakes(view: SequenceView) -> Element | None:
    """The mistakes that the model was surest of, with what it read."""
    found, count = view.mistakes()
    if view.truth.kind in ("spans", "steps"):
        return None
    whole = len(view.evaluation.rows)
    if not found:
        return section("mistakes", "Mistakes", f"None in {whole:,} test sequences.")
    if view.truth.kind == "number":
        said = f"The {len(found)} numbers that are furthest off, the worst first."
    else:
        named = f"{count:,} of {whole:,} test sequences are called wrong"
        named += f"; these {len(found)} the model was surest of" if count > len(found) else ""
        said = f"{named}. Look at the labels too: here is where wrong ones show first."
    cards = (_card(view, one) for one in found)
    return section("mistakes", "Surest mistakes", h("p", said, cls="quiet"), h("ol", *cards, cls="cards"))


def _card(view: SequenceView, one: Mistake) -> Element:
    far = view.truth.kind == "number"
    sure = f"off by {number(one.sure)}" if far else f"{one.sure:.1%} sure"
    head = h("p", h("strong", one.said), f", {sure}; truly ", h("strong", one.true), cls="head")
    return h("li", head, content(view, one.row), _where(view, one.row))


def _where(view: SequenceView, row: int) -> Element:
    name, place = view.labelled.ids[row], view.labelled.places[row]
    return h("p", place if name in place else f"{name} · {place}", cls="where")


def content(view: SequenceView, row: int) -> Element:
    """What a sequence holds, small: its text, its lines, or its image."""
    held: Any = view.labelled.content[row]
    if view.kind == "image":
        return h("figure", thumbnail(np.asarray(held), f"image {view.labelled.ids[row]}"))
    if view.kind == "records":
        names = held.columns.numbers
        some = f", {len(names)} columns, the first drawn" if len(names) > 6 else ""
        return h("figure", sparks(held), h("figcaption", f"{held.steps:,} steps{some}"))
    text = held if isinstance(held, str) else " ".join(held)
    if len(text) > LETTERS:
        text = f"{text[: 2 * LETTERS // 3]} … {text[-LETTERS // 3 :]}"
    return h("blockquote", text)


# Steps


def steps(view: SequenceView) -> Element | None:
    """Some sequences with the label of every step: what is true above what was said."""
    found = view.examples()
    if not found:
        return None
    names = [kind.name for kind in view.kinds] or list(view.classes)
    spans = view.truth.kind == "spans"
    colors = {name: f"tag-{at % COLORS}" for at, name in enumerate(names)}
    said = "A dashed frame: not right in start, end or kind. " if spans else "Only steps that are wrong are marked. "
    lead = f"From the one with most mistakes to one that is all right. {said if view.kind == 'text' else ''}"
    cards = (_example(view, one, colors, spans) for one in found)
    keys = [] if view.kind == "text" else [h("mark", name, cls=color) for name, color in list(colors.items())[:COLORS]]
    legend = h("p", *(part for key in keys for part in (key, " "))) if keys else None
    return section(
        "examples", "True and said", h("p", lead, cls="quiet"), legend, h("ol", *cards, cls="cards wide-cards")
    )


def _example(view: SequenceView, one: Example, colors: dict[str, str], spans: bool) -> Element:
    head = h("p", h("strong", one.why), cls="head")
    if view.kind != "text":
        code = {name: at for at, name in enumerate(view.classes)}
        marks = [(name, [code.get(tag, 7) for tag in tags]) for name, tags in (("true", one.true), ("said", one.said))]
        record: Any = view.labelled.content[one.row]
        kept = view.pipeline.modality.kept(record.steps)  # type: ignore[union-attr]
        times = None if record.times is None else record.times[kept]
        record = record._replace(numbers=record.numbers[kept], times=times)
        return h("li", head, h("figure", sparks(record, 860, marks)), _where(view, one.row))
    whole = view.pipeline.cut(view.labelled.select([one.row])).content[0]
    words = whole[one.start : one.start + len(one.true)]
    lines = []
    for name, tags, others in (("true", one.true, one.said), ("said", one.said, one.true)):
        drawn = _spans(words, tags, others, colors) if spans else _words(words, tags, others, colors)
        lines.append(h("div", h("dt", name), h("dd", *drawn)))
    where = _where(view, one.row)
    if len(one.true) < len(whole):
        where.text = f"{where.text}, steps {one.start + 1} to {one.start + len(one.true)} of {len(whole)}"
    return h("li", head, h("dl", *lines, cls="tags"), where)


def _spans(words: Any, tags: tuple[str, ...], others: tuple[str, ...], colors: dict[str, str]) -> list[Element | str]:
    right, drawn, reached = set(spans_of(others)), [], 0
    for span in spans_of(tags):
        drawn.append(" ".join(words[reached : span.start]) + " ")
        wrong = "" if span in right else " wrong"
        text = " ".join(words[span.start : span.end])
        drawn += [h("mark", text, h("small", span.kind), cls=colors.get(span.kind, "tag-7") + wrong), " "]
        reached = span.end
    return [*drawn, " ".join(words[reached:])]


def _words(words: Any, tags: tuple[str, ...], others: tuple[str, ...], colors: dict[str, str]) -> list[Element | str]:
    drawn: list[Element | str] = []
    for word, tag, other in zip(words, tags, others, strict=True):
        style = colors.get(tag, "tag-7")
        drawn += [word if tag == other else h("mark", word, h("small", tag), cls=f"{style} wrong"), " "]
    return drawn
