"""The sections of the report of a classifier or labeller that say how good it is."""

import math
from typing import Any, Protocol
from xml.etree.ElementTree import Element

from latchwork.evaluation import sequence_report_figures as draw
from latchwork.evaluation.report_parts import HALF, bullets, facts, half, pair, picture, section, table
from latchwork.evaluation.scoreboard import Scoreboard, figure, interval
from latchwork.evaluation.sequence_report_view import FIGURES, SequenceView
from latchwork.evaluation.svg import element as h
from latchwork.evaluation.svg_ticks import number
from latchwork.metrics import LOWER_IS_BETTER, Interval

ROWS = 60
"""Classes that a table lists."""


class Scored(Protocol):
    """What a section of scores is made from."""

    @property
    def board(self) -> Scoreboard: ...
    @property
    def model(self) -> Any: ...
    @property
    def title(self) -> str: ...
    @property
    def source(self) -> str: ...


def score(view: Scored) -> Element:
    """Every method on the same sequences: dots on the bars of their intervals, then all figures."""
    board = view.board
    headers = ["method", board.titles[board.main], "95% interval"]
    others = [name for name in board.metrics if name != board.main]
    others = [name for name in others if any(math.isfinite(row.values.get(name, math.nan)) for row in board.rows)]
    headers += [board.titles[name] for name in others]
    rows = []
    for row in board.rows:
        cells = [row.name, figure(row.values.get(board.main, math.nan)) or "–", interval(row) or "–"]
        cells += [figure(row.values.get(name, math.nan)) or "–" for name in others]
        rows.append(cells)
    unit = {"sequence": "sequences", "entity": "whole entities", "stretch of text": "stretches of text"}.get(
        board.unit, board.unit
    )
    notes = [f"{row.name}: {row.note}" for row in board.rows if row.note] + list(board.notes)
    lower = [board.titles[name] for name in board.metrics if name in LOWER_IS_BETTER and name in (*others, board.main)]
    caption = f"All figures; higher is better{f', but for {_and(lower)}' if lower else ''}."
    drawn = any(math.isfinite(row.values.get(board.main, math.nan)) for row in board.rows)
    return section(
        "score",
        "Score",
        h(
            "p",
            f"All methods answered for the same {_many(board.count, board.what)}, which none had seen.",
            cls="quiet",
        ),
        picture(
            lambda width: draw.scores(board, width),
            f"A dot on its 95% interval, found by resampling {unit}. The shaded band is the model's; "
            "where it reaches over another dot, look at the differences below. An arrow: far outside.",
            f"test part · {view.source}",
        )
        if drawn
        else f"{board.titles[board.main]} is undefined here, so there is nothing to draw.",
        table(
            headers,
            rows,
            caption=caption,
            numeric=range(1, len(headers)),
            chosen=[index for index, row in enumerate(board.rows) if row.model],
        ),
        _differences(view) if board.versus else None,
        bullets(notes) if notes else None,
    )


def _differences(view: Scored) -> Element:
    rows = []
    order = {row.name: place for place, row in enumerate(view.board.rows)}
    for one in sorted(view.board.versus, key=lambda one: order[one.rival]):
        bounds = "–" if math.isnan(one.lower) else f"{one.lower:+.3g} to {one.upper:+.3g}"
        rows.append([one.rival, "–" if math.isnan(one.difference) else f"{one.difference:+.3g}", bounds, _p(one.p)])
    caption = f"{view.model.name} less each other method, in {view.title}, on the same draws."
    return table(["less", "difference", "95% interval", "p"], rows, caption=caption, numeric=range(1, 4))


def _p(value: float) -> str:
    return "–" if math.isnan(value) else "< 0.002" if value < 0.002 else f"{value:.2g}"


# Classes


def classes(view: SequenceView) -> Element | None:
    """The confusion matrix, and precision and recall of each class or kind of span."""
    if view.truth.kind == "number":
        caption = "Each dot a test sequence; on the dashed line the model is right."
        drawing = picture(lambda width: draw.spread(view, width), caption, f"test part · {view.source}")
        return section("classes", "Said and true", drawing)
    confusion, listed = view.confusion, list(view.board.table)
    true = {kind.name: kind.true for kind in view.kinds}
    listed.sort(key=lambda row: -true.get(row["class"], 0))
    content: list[Element | str | None] = []
    drawn: list[Element] = []
    source = f"test part · {view.source}"
    if confusion is not None:
        caption = (
            "A row for each true class: the share of it that was called what stands above. Blue is right, orange "
            "wrong; counts where the pointer rests."
        )
        wide = len(view.classes) > draw.CELLS
        if wide:
            content.append(picture(lambda width: draw.confusion(confusion, view.classes, width), caption, source))
        else:
            picture_of = draw.confusion(confusion, view.classes, HALF)
            drawn.append(half(picture_of, caption, source, heading="Confusion"))
    if listed:
        shown = sorted(listed, key=lambda row: -row.get("support", 0.0))[:24] if len(listed) > 24 else listed
        caption = f"The {len(shown)} most frequent classes." if len(shown) < len(listed) else "Each class."
        caption += " Recall: of those that are it, the share found. Precision: of those called it, the share right."
        if drawn:
            drawn.append(half(draw.by_class(shown, HALF), caption, source, heading="Recall and precision"))
        else:
            content.append(picture(lambda width: draw.by_class(shown, width), caption, source))
    content.append(pair(*drawn) if drawn else None)
    content.append(_kinds(view) if view.kinds else _class_table(view) if listed else None)
    name = "Kinds of spans" if view.truth.kind == "spans" else "Classes"
    return section("classes", name, *content) if any(one is not None for one in content) else None


def _class_table(view: SequenceView) -> Element:
    rows = []
    for row in view.board.table:
        figures = [_cell(row.get(name)) for name in ("recall", "precision", "f1")]
        rows.append([str(row["class"]), *figures, f"{row['support']:,.0f}" if "support" in row else "–"])
    what = "steps" if view.truth.kind == "steps" else "sequences"
    some = f" The first {ROWS} of {len(rows)} are listed." if len(rows) > ROWS else ""
    return table(
        ["class", "recall", "precision", "F1", what],
        rows[:ROWS],
        caption=f"Figures of each class on the test part, and how many {what} truly are of it.{some}",
        numeric=range(1, 5),
    )


def _kinds(view: SequenceView) -> Element:
    rows = []
    for kind in view.kinds:
        recall, precision = _ratio(kind.right, kind.true), _ratio(kind.right, kind.said)
        f1 = _ratio(2 * kind.right, kind.true + kind.said)
        rows.append([kind.name or "(no name)", *map(_cell, (f1, precision, recall))])
        rows[-1] += [f"{count:,}" for count in (kind.true, kind.said, kind.right)]
    some = f" The first {ROWS} of {len(rows)} are listed." if len(rows) > ROWS else ""
    return table(
        ["kind", "F1", "precision", "recall", "true", "said", "right"],
        rows[:ROWS],
        caption=f"Spans by kind: right where start, end and kind are.{some}",
        numeric=range(1, 7),
    )


def _ratio(above: int, below: int) -> float:
    return above / below if below else math.nan


def _cell(value: float | None) -> str:
    return "–" if value is None or math.isnan(value) else figure(value)


# Ranking, calibration and the threshold


def ranking(view: SequenceView) -> Element | None:
    """ROC and precision-recall curves, and whether a probability means what it says."""
    drawn: list[Element] = []
    source = f"test part · {view.source}"
    chosen = view.curve_classes
    if chosen:
        one = len(chosen) == 1
        about = f'"{view.classes[chosen[0]]}"' if one else f"each of {len(chosen)} classes against the rest"
        if not one and len(chosen) < len(view.classes):
            about += f", the most frequent of {len(view.classes)}"
        dot = " The dot is the threshold in use." if one and view.reached else ""
        text = f"Of {about}. A curve near the upper left corner ranks well; the dashed line ranks by chance.{dot}"
        drawn.append(half(draw.curves(view, HALF, "roc"), text, source, heading="ROC curve"))
        text = f"Of {about}: how many of those called it are right, the more of them are to be found.{dot}"
        drawn.append(half(draw.curves(view, HALF, "recall"), text, source, heading="Precision and recall"))
    if view.reliability:
        drawing = draw.reliability(view, HALF)
        drawn.append(half(drawing, _calibrated(view), source, heading="Promised and found shares"))
        text = f"How often each probability of {_promised(view)} was given: the two lines should lie apart."
        drawn.append(half(draw.sureness(view, HALF), text, source, heading="How sure it is"))
    return section("ranking", "Ranking and calibration", pair(*drawn)) if drawn else None


def _promised(view: SequenceView) -> str:
    if view.truth.kind == "labels":
        return "each label"
    known = view.truth.kind == "class" and view.truth.positive
    return f'"{view.truth.positive}"' if known else "the most probable class"


def _calibrated(view: SequenceView) -> str:
    errors = {name: found.error for name, found in view.reliability}
    text = f"The probability of {_promised(view)} in ten bins; on the dashed line it means what it says. "
    if "alone" in errors:
        return f"{text}Mean distance from it {number(errors['alone'])}; no temperature was fitted."
    return (
        f"{text}Mean distance from it {number(errors['before'])} before, {number(errors['after'])} after the "
        f"temperature of {number(view.pipeline.temperature)}, which was fitted on the validation part."
    )


def threshold(view: SequenceView) -> Element | None:
    """What the threshold is for, what it reaches on validation, and what it reaches on sequences it has not seen."""
    if not view.reached:
        return None
    chosen, pipeline = view.pipeline.chosen, view.pipeline
    value = 0.5 if pipeline.threshold is None else pipeline.threshold
    names = [name for name in (*FIGURES, "cost") if name in view.reached]
    headers = ["figure", *(["validation", "95% interval"] if chosen is not None else []), "test", "95% interval"]
    rows = []
    for name in names:
        cells = ["cost of a sequence" if name == "cost" else name]
        for found in ([] if chosen is None else [chosen.figures[name]]) + [view.reached[name]]:
            cells += [_cell(found.value), _bounds(found)]
        rows.append(cells)
    asked = "no aim was asked for" if chosen is None else str(chosen.aim)
    said = [("Said from", number(value)), ("Class", view.truth.positive or ""), ("Aim", asked)]
    if chosen is not None and chosen.aim.figure is not None:
        bound = getattr(view.task, "bound", "none")
        said.append(("It is to hold for", "the figure itself" if bound == "none" else f"the lower bound ({bound})"))
    return section(
        "threshold",
        "Threshold",
        threshold_verdict(view),
        facts(said),
        table(
            headers,
            rows,
            caption="What saying the more probable class reaches."
            if chosen is None
            else "What the threshold reaches. It was chosen on the validation part, where it looks a bit too good.",
            numeric=range(1, len(headers)),
        ),
    )


def threshold_verdict(view: SequenceView) -> str:
    """A sentence: whether the aim held where it was chosen, and whether it held on the test part."""
    chosen = view.pipeline.chosen
    if chosen is None:
        return (
            "No aim was asked for, so the more probable class is said. --aim precision>=0.99, --aim recall>=0.95 or "
            "--cost fn=10,fp=1 choose a threshold on the validation part."
        )
    text = chosen.note[:1].upper() + chosen.note[1:] + "."
    name = chosen.aim.figure
    if name is None:
        found = view.reached["cost"]
        return f"{text} On the test part the cost is {_cell(found.value)} a sequence ({_bounds(found)})."
    found = view.reached[name]
    if math.isnan(found.value):
        return f"{text} On the test part {name} is undefined: there is nothing to divide by."
    here = f"On the test part {name} is {found.value:.4f}, 95% interval {_bounds(found)}"
    if found.lower >= chosen.aim.least:
        return f"{text} {here}: the aim holds there, the interval included."
    if found.value >= chosen.aim.least:
        return f"{text} {here}: the aim is reached there, though the interval reaches below it."
    if found.upper >= chosen.aim.least:
        return f"{text} {here}: below the aim, by no more than chance allows."
    return f"{text} {here}: the aim does not hold there."


def _bounds(found: Interval) -> str:
    return "–" if math.isnan(found.lower + found.upper) else f"{figure(found.lower)}–{figure(found.upper)}"


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def _and(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
