"""The pictures of the report of a classifier or labeller."""

import math
from collections.abc import Sequence
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from latchwork import metrics as numbers
from latchwork.evaluation.report_view import Trained
from latchwork.evaluation.scoreboard import Scoreboard, ScoreRow
from latchwork.evaluation.scoreboard import figure as reading
from latchwork.evaluation.sequence_report_view import PARTS, SequenceView
from latchwork.evaluation.svg import Key, Plot, Scale, element, figure, shortened, text_width
from latchwork.evaluation.svg_ticks import number
from latchwork.metrics import LOWER_IS_BETTER, Curve

CELLS = 12
"""Classes up to which a cell of the confusion matrix is written out on half a page."""


def scores(board: Scoreboard, width: int) -> Element:
    """The deciding figure of every method as a dot on the bar of its interval; the model's is shaded over all."""
    rows = [row for row in board.rows if math.isfinite(row.values.get(board.main, math.nan))]
    texts = [_reading(row, board.main, short=width < 500) for row in rows]
    near = _near(rows, board.main)
    scale = Scale.over(*([row.values[board.main], row.lower, row.upper] for row in near), pad=0.06)
    left = min(0.4 * width, max(text_width(row.name) * 1.1 for row in rows)) + 14
    right = max(width - max(text_width(text) * 1.1 for text in texts) - 14, left + 60)
    high, bottom = 28, float(28 * len(rows) + 4)
    better = "lower" if board.main in LOWER_IS_BETTER else "higher"
    label = f"{board.titles[board.main]} of {len(rows)} methods, {better} is better; the model is {board.model.name}"
    root = figure(width, bottom + 40, label)
    if math.isfinite(board.model.lower + board.model.upper):
        low, up = scale.place([board.model.lower, board.model.upper], left, right).tolist()
        root.append(element("rect", cls="band-1", x=low, y=2.0, width=max(up - low, 1.0), height=bottom - 2))
    for tick in scale.ticks(max(2, int((right - left) / 70))):
        place = float(scale.place(tick.value, left, right))
        root.append(element("path", cls="grid", d=f"M{place:.1f} 2V{bottom:.1f}"))
        root.append(element("text", tick.label, cls="tick", x=place, y=bottom + 15, text_anchor="middle"))
    for line, (row, text) in enumerate(zip(rows, texts, strict=True)):
        root.append(_dot(row, text, board.main, scale, (left, right, width), 2 + high * (line + 0.5)))
    title = f"{board.titles[board.main]}, with 95% interval; {better} is better"
    middle = (left + right) / 2
    root.append(element("text", title, cls="title", x=middle, y=bottom + 34, text_anchor="middle"))
    return root


def _reading(row: ScoreRow, main: str, *, short: bool) -> str:
    value = reading(row.values[main])
    return value if short or math.isnan(row.lower) else f"{value} [{reading(row.lower)}, {reading(row.upper)}]"


def _near(rows: Sequence[ScoreRow], main: str) -> list[ScoreRow]:
    """Those that set the axis: without the last ones where these would squeeze all others together."""
    kept = list(rows)
    while len(kept) > 3:
        ends = [one.values[main] for one in (kept[0], kept[-2], kept[-1])]
        if abs(ends[2] - ends[0]) < 3 * abs(ends[1] - ends[0]) or any(one.model for one in kept[-1:]):
            break
        kept.pop()
    return kept


def _dot(
    row: ScoreRow, text: str, main: str, scale: Scale, sides: tuple[float, float, float], middle: float
) -> Element:
    left, right, width = sides
    style = "chosen" if row.model else "other"
    group = element("g", element("title", f"{row.name}: {text}"), cls=f"bar {style}")
    name = shortened(row.name, left - 12)
    group.append(element("text", name, cls="name", x=left - 8, y=middle + 4, text_anchor="end"))
    if math.isfinite(row.lower + row.upper) and scale.low <= row.values[main] <= scale.high:
        low, up = scale.place([row.lower, row.upper], left, right).tolist()
        group.append(element("rect", cls="body", x=low, y=middle - 3, width=max(up - low, 1.0), height=6, rx=3))
    at = float(scale.place(row.values[main], left, right))
    if scale.low <= row.values[main] <= scale.high:
        group.append(element("circle", cls="point", cx=at, cy=middle, r=5))
    else:  # far outside
        way = -1 if row.values[main] < scale.low else 1
        arrow = f"M{at - 2 * way:.1f} {middle:.1f}h{-16 * way}m{16 * way} 0l{-5 * way} -4m{5 * way} 4l{-5 * way} 4"
        group.append(element("path", cls="whisker", d=arrow))
    group.append(element("text", text, cls="value", x=width - 2.0, y=middle + 4, text_anchor="end"))
    return group


# Classes


def confusion(counts: NDArray[np.int64], names: Sequence[str], width: int) -> Element:
    """A square of shares by true class: a row for each true class, a column for each said one."""
    size = len(names)
    left = max(48.0, min(0.32 * width, max(map(text_width, names)) * 1.1) + 12)
    cell = min((width - left - 4) / size, 64.0)
    flat = max(map(text_width, names)) <= cell - 4
    top = 40.0 if flat else min(110.0, 0.72 * max(map(text_width, names)) + 12) + 22
    bottom = top + cell * size
    root = figure(width, bottom + 8, f"Confusion of {size} classes: shares of each true class by what was said")
    root.append(element("text", "said →", cls="title", x=left, y=13.0))
    root.append(element("text", "true ↓", cls="title", x=left - 8, y=13.0, text_anchor="end"))
    totals = counts.sum(1)
    for at, name in enumerate(names):
        across, down = left + cell * (at + 0.5), top + cell * (at + 0.5)
        if flat:
            root.append(element("text", name, cls="name", x=across, y=top - 8, text_anchor="middle"))
        elif cell >= 9:
            turn = f"rotate(-45 {across:.1f} {top - 8:.1f})"
            root.append(element("text", shortened(name, 130), cls="name", x=across, y=top - 8, transform=turn))
        if cell >= 9:
            short = shortened(name, left - 12)
            root.append(element("text", short, cls="name", x=left - 8, y=down + 4, text_anchor="end"))
    for true in range(size):
        for said in range(size):
            part = counts[true, said] / totals[true] if totals[true] else 0.0
            where = {"x": left + cell * said, "y": top + cell * true}
            title = f"{names[true]}, called {names[said]}: {counts[true, said]:,} of {totals[true]:,} ({part:.1%})"
            shape = element("rect", element("title", title), cls="cell", width=cell - 1, height=cell - 1, **where)
            root.append(shape)
            if counts[true, said]:
                kind = "hit" if true == said else "miss"
                fill = {"width": cell - 1, "height": cell - 1, "fill_opacity": f"{0.12 + 0.88 * part:.3f}"}
                root.append(element("rect", element("title", title), cls=kind, **fill, **where))
                text = f"{part:.0%}" if counts[true, said] < totals[true] or cell < 34 else "100%"
                text = "<1%" if part < 0.005 else ">99%" if 0.995 <= part < 1 else text
                if text_width(text) < cell - 2:
                    place = {"x": where["x"] + cell / 2 - 0.5, "y": where["y"] + cell / 2 + 4}
                    on = "on" if part > 0.5 else "off"
                    root.append(element("text", text, cls=f"share {on}", text_anchor="middle", **place))
    return root


def by_class(table: Sequence[dict[str, Any]], width: int) -> Element:
    """Precision and recall of each class, 0 to 1."""
    names = [str(row["class"]) for row in table]
    left = min(0.34 * width, max(map(text_width, names)) * 1.1) + 14
    right, high, top = width - 14.0, 24, 24
    bottom = float(top + high * len(table))
    root = figure(width, bottom + 22, f"Precision and recall of {len(table)} classes")
    for at, (style, text) in enumerate((("model", "recall"), ("rival", "precision"))):
        across = left + 4 + 84 * at
        root.append(element("circle", cls=f"dot {style}", cx=across, cy=10.0, r=4))
        root.append(element("text", text, cls="key", x=across + 10, y=14.0))
    scale = Scale(0.0, 1.0)
    for tick in scale.ticks(5):
        place = float(scale.place(tick.value, left, right))
        root.append(element("path", cls="grid", d=f"M{place:.1f} {top}V{bottom:.1f}"))
        root.append(element("text", tick.label, cls="tick", x=place, y=bottom + 15, text_anchor="middle"))
    for line, row in enumerate(table):
        middle = top + high * (line + 0.5)
        name = shortened(names[line], left - 12)
        root.append(element("text", name, cls="name", x=left - 8, y=middle + 4, text_anchor="end"))
        places = {}
        for style, column in (("rival", "precision"), ("model", "recall")):
            value = row.get(column, math.nan)
            if math.isfinite(value):
                places[style] = float(scale.place(value, left, right))
        if len(places) == 2:
            root.append(element("path", cls="axis", d=f"M{places['rival']:.1f} {middle:.1f}H{places['model']:.1f}"))
        for style, place in places.items():
            column = "recall" if style == "model" else "precision"
            title = element("title", f"{names[line]}: {column} {reading(row[column])}")
            root.append(element("circle", title, cls=f"dot {style}", cx=place, cy=middle, r=4.5))
    return root


def curves(view: SequenceView, width: int, which: str) -> Element:
    """Recall against false alarms ("roc"), or precision against recall; beside the best of the others for one class."""
    function = numbers.roc_curve if which == "roc" else numbers.precision_recall_curve
    chosen, one = view.curve_classes, len(view.curve_classes) == 1
    drawn: list[tuple[Key, Curve]] = []
    for at, index in enumerate(chosen):
        style = "model" if one else f"layer-{at}"
        name = view.model.name if one else view.classes[index]
        drawn.append((Key(name, style), function(*view.marks(index)).thinned()))
    if one and view.rival is not None and view.rival.sure is not None:
        drawn.append((Key(view.rival.name, "rival"), function(*view.marks(chosen[0], view.rival)).thinned()))
    about = view.classes[chosen[0]] if one else "each class against the rest"
    named = "ROC curve" if which == "roc" else "Precision and recall"
    plot = Plot(
        Scale(0.0, 1.0),
        Scale(0.0, 1.0),
        width=width,
        height=330,
        label=f"{named}, {about}",
        x_title="false alarms: share of the others taken for it" if which == "roc" else "recall",
        y_title="recall" if which == "roc" else "precision",
        keys=[key for key, _ in drawn],
    )
    if which == "roc":
        plot.line([0, 1], [0, 1], "reference")
    elif one:
        plot.level(float(view.marks(chosen[0])[0].mean()), "reference", "by chance")
    for key, curve in reversed(drawn):
        if which == "roc":
            plot.line(curve.x, curve.y, key.style, most=400)
        elif len(curve.x):  # between two thresholds precision is no straight line: it holds from the last recall on
            plot.steps(curve.x, curve.y[1:], key.style)
    if one and view.reached:
        recall, precision = view.reached["recall"].value, view.reached["precision"].value
        alarms = 1 - view.reached["specificity"].value
        at = (alarms, recall) if which == "roc" else (recall, precision)
        told = f"as used: recall {reading(recall)}, precision {reading(precision)}, false alarms {reading(alarms)}"
        plot.dots([at[0]], [at[1]], "model", [told], 5.5)
    return plot.root


def reliability(view: SequenceView, width: int) -> Element:
    """How often what was held so probable came true; before and after the temperature."""
    styles = {"before": "rival", "after": "model", "alone": "model"}
    heat = view.pipeline.temperature
    names = {"before": "before", "after": f"after (T = {number(heat)})", "alone": view.model.name}
    plot = Plot(
        Scale(0.0, 1.0),
        Scale(0.0, 1.0),
        width=width,
        height=330,
        label="How often what was held so probable came true",
        x_title="probability given",
        y_title="share that came true",
        keys=[Key(names[name], styles[name]) for name, _ in view.reliability] + [Key("as promised", "reference")],
    )
    plot.line([0, 1], [0, 1], "reference")
    for name, found in view.reliability:
        rows = zip(found.confidence, found.share, found.count, strict=True)
        texts = [f"{name}: given {sure:.1%}, came true {true:.1%} of {count:,}" for sure, true, count in rows]
        plot.line(found.confidence, found.share, styles[name])
        plot.dots(found.confidence, found.share, styles[name], texts, 4)
    return plot.root


def sureness(view: SequenceView, width: int) -> Element:
    """How often each probability was given, where it came true and where it did not."""
    sure, true = view.promised(view.model.sure)
    edges = np.linspace(0, 1, 21)
    groups = {"came true": ("model", true == 1), "did not": ("rival", true == 0)}
    shares = {name: np.histogram(sure[own], edges)[0] / own.sum() for name, (_, own) in groups.items() if own.any()}
    plot = Plot(
        Scale(0.0, 1.0),
        Scale.over(*shares.values(), zero=True, pad=0.05),
        width=width,
        height=330,
        label="How often each probability was given, by whether it came true",
        x_title="probability given",
        y_title="share of those that came true, and of those that did not",
        keys=[Key(f"{name} ({groups[name][1].sum():,})", groups[name][0]) for name in shares],
    )
    for name, own in shares.items():
        plot.steps(edges, own, groups[name][0])
    return plot.root


def spread(view: SequenceView, width: int) -> Element:
    """Said against true, of numbers."""
    true, said = view.truth.values, view.model.sure
    assert said is not None
    kept = np.linspace(0, len(true) - 1, min(len(true), 1500)).astype(int)
    scale = Scale.over(true, said, pad=0.04)
    plot = Plot(scale, scale, width=width, height=360, label="Said against true", x_title="true", y_title="said")
    plot.line([scale.low, scale.high], [scale.low, scale.high], "reference")
    plot.dots(true[kept], said[kept], "model", radius=2.5)
    return plot.root


# Data and training


def lengths(view: SequenceView, width: int) -> Element:
    """How long the sequences of each part are."""
    found = {name: view.lengths(name) for name in PARTS}
    longest = max(int(own.max(initial=1)) for own in found.values())
    edges = np.arange(0, longest + 1 + (each := -(-(longest + 1) // 48)), each) - 0.5
    styles = {"training": "history", "validation": "rival", "test": "model"}
    shares = {name: np.histogram(own, edges)[0] / len(own) for name, own in found.items() if len(own)}
    plot = Plot(
        Scale(0.0, float(edges[-1])),
        Scale.over(*shares.values(), zero=True, pad=0.05),
        width=width,
        height=260,
        label="Steps of the sequences of each part",
        x_title="steps of a sequence",
        y_title="share of the part",
        keys=[Key(name, styles[name]) for name in shares],
    )
    for name, own in shares.items():
        plot.steps(edges, own, styles[name])
    return plot.root


def judged(view: Trained, name: str, title: str, width: int) -> Element:
    """The figure on validation that decided which weights were kept."""
    steps = [float(record["step"]) for record in view.validations]
    found = np.array([record["validation"].get(name) for record in view.validations], np.float64)
    plot = Plot(
        Scale.over([0.0], steps),
        Scale.over(found, pad=0.06),
        width=width,
        height=260,
        label=f"{title} on validation by step",
        x_title="step",
        y_title=f"{title} on validation",
    )
    plot.line(steps, found, "model")
    texts = [f"step {step:.0f}: {number(value)}" for step, value in zip(steps, found, strict=True)]
    plot.dots(steps, found, "model", texts, 3)
    if view.outcome.best_step:
        plot.upright(view.outcome.best_step, "reference", f"kept: step {view.outcome.best_step:,}")
    return plot.root
