"""The pictures of a report. Each is drawn at a width, so that a page can show one to a screen, another to a phone."""

import math
from collections.abc import Sequence
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from latchwork.evaluation.leaderboard import Row
from latchwork.evaluation.report_view import Panel, Trained, View, column
from latchwork.evaluation.svg import Bar, Key, Plot, Scale, bars, element, figure, shortened, text_width
from latchwork.evaluation.svg_ticks import number

LAYERS = 8
SPLIT_ROWS = 12
PARTS = {"train": "training", "validation": "validation", "gap": "gap, unused", "test": "test"}


def leaderboard(view: View, width: int) -> Element:
    """The deciding metric of every method that was run, with its interval; the model stands out."""
    board = view.board
    rows = [row for row in board.rows if math.isfinite(row.values[board.main])]
    texts = [_reading(row, board.main, board.windows, short=width < 500) for row in rows]
    drawn = [
        Bar(row.name, row.values[board.main], row.lower, row.upper, text, _style(row, board.windows))
        for row, text in zip(rows, texts, strict=True)
    ]
    label = f"{view.metric} of {len(rows)} methods, lower is better; the model is {view.model.name}"
    title = f"{view.metric}, with 95% interval; lower is better"
    return bars(drawn, width=width, label=label, x_title=title)


def _style(row: Row, windows: int) -> str:
    return "chosen" if row.model else "partial" if row.windows < windows else "other"


def _reading(row: Row, main: str, windows: int, *, short: bool) -> str:
    value = number(row.values[main])
    if short:
        return value + (f" ({row.windows:,} of {windows:,})" if row.windows < windows else "")
    some = f"on {row.windows:,} of {windows:,}: " if row.windows < windows else ""
    return some + (value if math.isnan(row.lower) else f"{value} [{number(row.lower)}, {number(row.upper)}]")


# Forecasts


def forecast(view: View, panel: Panel, width: int, height: int, *, keys: bool = False, rival: bool = True) -> Element:
    """Forecasts over what came true: history in grey, the bands, the median, and the best baseline dashed."""
    windows, horizon, rows = view.windows, view.windows.horizon, panel.rows
    index, target = int(windows.series[rows[0]]), int(windows.target[rows[0]])
    one = view.series[index]
    first, last = int(windows.origin[rows[0]]), int(windows.origin[rows[-1]]) + horizon
    start = max(0, first - _history(view, last - first))
    times, actual = one.times.astype(np.float64), one.target[:, target]
    bands = view.bands()
    other = view.rival if rival else None
    shown: list[NDArray[np.float64]] = [actual[start:last], view.model.point[rows]]
    if view.model.quantiles is not None:
        shown += [view.model.quantiles[rows][..., [band.low, band.high]] for band in bands]
    if other is not None:
        shown.append(other.point[rows])
    reached = one.times[min(last, len(one)) - 1]
    plot = Plot(
        Scale.over([times[start], float(reached)], kind=view.time_kind),
        Scale.over(*shown, pad=0.04),
        width=width,
        height=height,
        label=_told(view, panel),
        y_title=view.raw.targets[target],
        keys=_keys(view, other is not None) if keys else (),
    )
    for row in rows:
        ahead = times[int(windows.origin[row]) :][:horizon]
        if view.model.quantiles is not None:
            quantiles = view.model.quantiles[row, : len(ahead)]
            for place, band in enumerate(bands, start=4 - len(bands)):
                plot.band(ahead, quantiles[:, band.low], quantiles[:, band.high], f"band-{place}")
    for row in rows:
        plot.upright(times[int(windows.origin[row])], "origin")
    plot.line(times[start : first + 1], actual[start : first + 1], "history")
    plot.line(times[first:last], actual[first:last], "actual")
    for row in rows:
        ahead = times[int(windows.origin[row]) :][:horizon]
        for method, style in ((other, "rival"), (view.model, "model")):
            if method is not None:
                plot.line(ahead, method.point[row, : len(ahead)], style)
                if len(ahead) == 1:
                    plot.dots(ahead, method.point[row], style)
    return plot.root


def _history(view: View, shown: int) -> int:
    """Rows before the first origin: two seasons, or two horizons, but not much more than what is forecast."""
    wanted = max(2 * view.windows.horizon, 2 * view.plan.season, 30)
    return int(min(wanted, max(shown, 2 * view.windows.horizon, 30)))


def _told(view: View, panel: Panel) -> str:
    row, windows = int(panel.rows[0]), view.windows
    name = view.name(int(windows.series[row]), int(windows.target[row]))
    origin = view.stamp(int(windows.series[row]), int(windows.origin[row]))
    errors = view.losses[panel.rows]
    many = "" if len(errors) == 1 else f" and {len(errors) - 1} later origins"
    error = f"{view.metric_name} {number(float(errors.mean()))}"
    return f"Forecast of {name} from {origin}{many} over what came true: {error}"


def _keys(view: View, rival: bool) -> list[Key]:
    bands = view.bands()
    keys = [Key("history", "history"), Key("actual", "actual"), Key(f"{view.model.name} (median)", "model")]
    keys += [Key(view.board.best, "rival")] if rival else []
    places = enumerate(bands, start=4 - len(bands))
    return keys + [Key(f"{band.share:.0%}", f"band-{place}", "band") for place, band in places]


def by_step(view: View, width: int) -> Element:
    """The mean error at each step ahead, the model against the best baseline."""
    ours, theirs = view.by_step()
    steps = np.arange(1, len(ours) + 1)
    keys = [Key(view.model.name, "model")] + ([] if theirs is None else [Key(view.board.best, "rival")])
    lines = [(ours, "model")] + ([] if theirs is None else [(theirs, "rival")])
    plot = Plot(
        Scale.over(steps),
        Scale.over(*(values for values, _ in lines), zero=True, pad=0.05),
        width=width,
        height=280,
        label=f"Mean error by step ahead, 1 to {len(ours)}",
        x_title="steps ahead",
        y_title=view.error_unit,
        keys=keys,
    )
    for values, style in reversed(lines):
        plot.line(steps, values, style)
        if len(ours) <= 24:
            plot.dots(steps, values, style, [f"step {s}: {number(v)}" for s, v in zip(steps, values, strict=True)], 3)
    return plot.root


def calibration(view: View, width: int) -> Element:
    """The share of values below each quantile against what the level promises."""
    rival = [] if view.rival is None else view.calibration(view.rival)
    keys = [Key(view.model.name, "model", "dot")] + ([Key(view.board.best, "rival", "dot")] if rival else [])
    plot = Plot(
        Scale(0.0, 1.0),
        Scale(0.0, 1.0),
        width=width,
        height=280,
        label="Share of values below each quantile against the share it promises",
        x_title="promised share below the quantile",
        y_title="found share",
        keys=[*keys, Key("as promised", "reference")],
    )
    plot.line([0, 1], [0, 1], "reference")
    for points, style in ((rival, "rival"), (view.calibration(view.model), "model")):
        if points:
            levels, found = np.array(points).T
            plot.line(levels, found, style)
            plot.dots(levels, found, style, [f"promised {a:.0%}, found {b:.1%}" for a, b in points], 4)
    return plot.root


# Data


def split(view: View, width: int) -> Element:
    """Which rows of each series were learned from, which stopped training, which were kept for the score."""
    chosen = split_rows(view)
    times = [view.series[index].times[: max(1, view.series[index].observed)] for index in chosen]
    scale = Scale.over(*([own[0], own[-1]] for own in times), kind=view.time_kind)
    names = [view.series[index].id for index in chosen]
    left = 12.0 if len(chosen) == 1 else min(0.3 * width, max(map(text_width, names)) * 1.1) + 12
    row_height, top, right = (34 if len(chosen) == 1 else 20), 26, width - 12.0
    bottom = top + row_height * len(chosen)
    root = figure(width, bottom + 26, f"Training, validation and test rows of {len(chosen)} series")
    _split_keys(root, {part for index in chosen for part, _, _ in parts(view, index)})
    for line, (index, own) in enumerate(zip(chosen, times, strict=True)):
        middle = top + row_height * (line + 0.5)
        if len(chosen) > 1:
            name = shortened(view.series[index].id, left - 12)
            root.append(element("text", name, cls="name", x=left - 8, y=middle + 4, text_anchor="end"))
        for part, first, stop in parts(view, index):
            if stop > first:
                begin, end = scale.place([own[first], own[min(stop, len(own) - 1)]], left, right).tolist()
                told = (
                    f"{view.series[index].id}, {PARTS[part]}: {stop - first:,} rows, {_span(view, index, first, stop)}"
                )
                shape = {"x": begin, "y": middle - row_height * 0.36, "width": max(end - begin - 1, 1.0)}
                title = element("title", told)
                root.append(element("rect", title, cls=f"part-{part}", height=row_height * 0.72, **shape))
    for tick in scale.ticks(max(2, int((right - left) / (76 if scale.kind == "date" else 62)))):
        place = float(scale.place(tick.value, left, right))
        half = text_width(tick.label) / 2
        middle = min(max(place, half + 1), width - half - 1)
        root.append(element("path", cls="axis", d=f"M{place:.1f} {bottom}v5"))
        root.append(element("text", tick.label, cls="tick", x=middle, y=bottom + 18, text_anchor="middle"))
    return root


def _split_keys(root: Element, there: set[str]) -> None:
    across = 12.0
    for part, text in PARTS.items():
        if part not in there:
            continue
        root.append(element("rect", cls=f"part-{part}", x=across, y=5, width=14, height=10))
        root.append(element("text", text, cls="key", x=across + 20, y=14))
        across += 20 + text_width(text) + 16


def parts(view: View, series: int) -> list[tuple[str, int, int]]:
    """(part, first row, one past the last) of a series, in order of time; the gaps between them too."""
    bounds, observed = view.setup.split, view.series[series].observed
    named = [("train", 0, int(bounds.train[series]))]
    named += [("validation", *map(int, bounds.validation[series])), ("test", *map(int, bounds.test[series]))]
    found, reached = [], 0
    for part, first, stop in named:
        stop = min(stop, observed)
        if stop > first:
            if first > reached:
                found.append(("gap", reached, first))
            found.append((part, first, stop))
            reached = stop
    return found


def split_rows(view: View) -> list[int]:
    """The series drawn: all of few, of many some spread evenly over the file."""
    usable = [index for index, one in enumerate(view.series) if one.observed]
    if len(usable) <= SPLIT_ROWS:
        return usable
    return [usable[place] for place in np.linspace(0, len(usable) - 1, SPLIT_ROWS).round().astype(int)]


def _span(view: View, series: int, first: int, stop: int) -> str:
    return f"{view.stamp(series, first)} to {view.stamp(series, stop - 1)}"


# Training


def learning(view: Trained, width: int) -> Element:
    """Loss by step, its mean between validations, the validation figure, and the room between the two."""
    steps, loss = column(view.steps, "step"), column(view.steps, "loss")
    at, train, validation = view.validated()
    positive = loss[np.isfinite(loss)]
    wide = len(positive) > 0 and positive.min() > 0 and positive.max() > 25 * np.median(positive)
    keys = [Key("training, each step", "faint")]
    if len(at):
        keys += [Key("training, mean", "model"), Key("validation", "rival"), Key("overfitting gap", "gap", "band")]
    plot = Plot(
        Scale.over([0.0], steps),
        Scale.over(loss, train, validation, kind="log" if wide else "number", pad=0.03),
        width=width,
        height=320,
        label="Training and validation loss by step",
        x_title="step",
        y_title="loss (log scale)" if wide else "loss",
        keys=keys,
    )
    plot.band(at, train, np.maximum(train, validation), "gap")
    plot.line(steps, loss, "faint")
    if len(at):
        plot.line(at, train, "model")
        plot.line(at, validation, "rival")
        texts = [f"step {s:.0f}: validation {number(v)}" for s, v in zip(at, validation, strict=True)]
        plot.dots(at, validation, "rival", texts, 3)
    if view.outcome.best_step:
        plot.upright(view.outcome.best_step, "reference", f"kept: step {view.outcome.best_step:,}")
    return plot.root


def learning_rate(view: Trained, width: int) -> Element:
    """The learning rate by step."""
    steps, rates = column(view.steps, "step"), column(view.steps, "learning_rate")
    plot = Plot(
        Scale.over([0.0], steps),
        Scale.over(rates, zero=True, pad=0.05),
        width=width,
        height=300,
        label="Learning rate by step",
        x_title="step",
        y_title="learning rate",
    )
    plot.steps(np.concatenate([[0.0], steps]), rates, "model")
    return plot.root


def gradients(view: Trained, width: int) -> Element:
    """The norm of the whole gradient by step, and of each layer's, on a log scale; where clipping begins."""
    steps, norms = column(view.steps, "step"), column(view.steps, "gradient_norm")
    layered = [record for record in view.steps if record.get("gradient_norms")]
    names = layers(view)
    curves = [[record["gradient_norms"].get(name) for record in layered] for name in names[:LAYERS]]
    lines = [np.array(curve, dtype=np.float64) for curve in curves]
    clip = view.options.clip
    keys = [Key("whole gradient", "faint")] + [Key(name, f"layer-{i}") for i, name in enumerate(names[:LAYERS])]
    plot = Plot(
        Scale.over([0.0], steps),
        Scale.over(norms, *lines, [clip] if clip else [], kind="log"),
        width=width,
        height=300,
        label="Norm of the gradient by step, whole and by layer, on a log scale",
        x_title="step",
        y_title="gradient norm (log scale)",
        keys=keys,
    )
    plot.line(steps, norms, "faint")
    at = column(layered, "step")
    for place, line in enumerate(lines):
        plot.line(at, line, f"layer-{place}", most=400)
    if clip:
        plot.level(clip, "reference", f"clipped above {clip:g}")
    return plot.root


def layers(view: Trained) -> list[str]:
    """The layers whose gradients were logged, in the order of the network."""
    names: dict[str, None] = {}
    for record in view.steps:
        names.update(dict.fromkeys(record.get("gradient_norms") or ()))
    return list(names)


def usable(values: Sequence[float] | NDArray[np.float64]) -> bool:
    """Whether a line has at least two points to draw."""
    return int(np.isfinite(np.asarray(values, dtype=np.float64)).sum()) > 1
