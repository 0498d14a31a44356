"""The sections of a report, in the order in which they are read."""

import math
import platform
from importlib.metadata import version
from xml.etree.ElementTree import Element

import numpy as np

from latchwork import storage
from latchwork.evaluation import report_figures as draw
from latchwork.evaluation.leaderboard import TITLES
from latchwork.evaluation.report_parts import HALF, bullets, facts, half, pair, picture, section, table
from latchwork.evaluation.report_view import Coverage, Panel, Streamed, Trained, View
from latchwork.evaluation.svg import element as h
from latchwork.evaluation.svg_ticks import number

COLUMNS = 60
"""Columns of the file that are listed."""

SAME = 1e-4
"""Two scores that differ by a smaller share than this are called the same."""

MEANINGS = {
    "mae": "MAE: mean absolute error, in the units of the target",
    "mse": "MSE: mean squared error",
    "rmse": "RMSE: root of the mean squared error, in the units of the target; large errors weigh more",
    "smape": "sMAPE: 200 |y - f| / (|y| + |f|), from 0 to 200",
    "mase": "MASE: mean absolute error over that of the last season's value on the training rows",
    "owa": "OWA: mean of sMAPE and MASE, each over naive2's; below 1 is better than naive2",
    "scrps": "sCRPS: mean quantile loss over the mean absolute value; judges the whole distribution",
    "coverage": "covers: share of values inside the interval; right when it equals the share named",
    "width": "width: mean width of that interval, in the units of the target",
}


def score(view: View) -> Element:
    """The leaderboard: bars, table, what the columns mean, and what is to be said of the rows."""
    board = view.board
    shown = [name for name in board.metrics if any(math.isfinite(row.values[name]) for row in board.rows)]
    titles = {name: f"covers {board.interval:.0%}" if name == "coverage" else TITLES[name].split()[0] for name in shown}
    headers = ["method", *(titles[name] for name in shown)]
    if board.main in shown:
        headers.insert(shown.index(board.main) + 2, "95% interval")
    headers += [f"to {board.best}"] if board.best else []
    rows = []
    for row in board.rows:
        cells = [row.name]
        for name in shown:
            value = row.values[name]
            cells.append(f"{value:.1%}" if name == "coverage" and math.isfinite(value) else number(value, 4))
            if name == board.main:
                cells.append("–" if math.isnan(row.lower) else f"{number(row.lower)} to {number(row.upper)}")
        if board.best:
            cells.append("–" if math.isnan(row.relative) else f"{row.relative:+.1%}")
        rows.append(cells)
    asked = f"{_many(board.windows, 'forecast')} of {_many(board.series, 'series')}"
    what = f"{asked}, {_many(board.horizon, 'step')} ahead"
    notes = [f"{row.name}: {row.note}" for row in board.rows if row.note]
    caption = (
        "Shorter is better. The thin line is the 95% interval, found by resampling whole series or stretches of time; "
        "the model's bar is the blue one in bold."
    )
    if any(0 < row.windows < board.windows for row in board.rows):
        caption += " A dashed outline: a method that ran out of time and answered some of the questions only."
    return section(
        "score",
        "Score",
        h("p", f"All methods answered the same questions on rows that none had seen: {what}.", cls="quiet"),
        picture(lambda width: draw.leaderboard(view, width), caption, f"test windows · {view.source}"),
        table(
            headers,
            rows,
            caption=f"All figures, the interval being that of {view.metric}; lower is better, but for coverage.",
            numeric=range(1, len(headers)),
            chosen=[index for index, row in enumerate(board.rows) if row.model],
        ),
        bullets(notes) if notes else None,
        h("ul", *(h("li", MEANINGS[name]) for name in shown), cls="meanings"),
    )


def forecasts(view: View) -> Element | None:
    """Forecasts over what came true."""
    long = view.long_panel()
    if long is None:
        return None
    bands = [f"{band.share:.0%}" for band in view.bands()]
    shades = f" The shaded bands should hold {_and(bands)} of the values." if bands else ""
    row, windows = int(long.rows[0]), view.windows
    name = view.name(int(windows.series[row]), int(windows.target[row]))
    many = f"forecast anew from {len(long.rows)} origins (dotted)" if len(long.rows) > 1 else "from one origin (dotted)"
    median = ", the series of median error" if long.why else ""
    content = [
        picture(
            lambda width: draw.forecast(view, long, width, 380 if width > 500 else 300, keys=True),
            f"{name}{median}, {many}: black came true, blue was forecast before it.{shades}",
            f"test windows · {view.source}",
        )
    ]
    panels = view.panels()
    if len(panels) > 1:
        content.append(pair(*(_panel(view, panel) for panel in panels)))
    several = len(view.ranked) >= 6
    said = (
        f"Below, six of {len(view.ranked):,} series, from the lowest error to the highest, each at a typical origin."
        if several
        else "Below, one origin at a time."
    )
    lead = "What the model said, drawn over what came true." + (f" {said}" if len(panels) > 1 else "")
    return section("forecasts", "Forecasts over actuals", h("p", lead, cls="quiet"), *content)


def _panel(view: View, panel: Panel) -> Element:
    row, windows = int(panel.rows[0]), view.windows
    series, origin = int(windows.series[row]), int(windows.origin[row])
    name, start = view.name(series, int(windows.target[row])), view.stamp(series, origin)
    heading = f"{panel.why.capitalize()}: {name}" if panel.why else f"{name}, from {start}"
    caption = f"From {start}: {view.metric_name} {number(float(view.losses[row]))}"
    if view.rival is not None and np.isfinite(theirs := float(np.nanmean(_quiet(view.errors(view.rival)[row])))):
        caption += f", {view.rival.name} {number(theirs)}"
    return half(draw.forecast(view, panel, HALF, 250), caption + ".", heading=heading)


def _quiet(values: np.ndarray) -> np.ndarray:
    """Values with at least one number to average."""
    return values if np.isfinite(values).any() else np.full(1, np.inf)


def errors(view: View) -> Element:
    """Error by step ahead, and how often the intervals hold."""
    source, content = f"test windows · {view.source}", []
    if view.windows.horizon > 1:
        against = f", against {view.board.best}, the best baseline" if view.rival is not None else ""
        units = " Errors are in units of each series, so that large ones do not drown the small." if view.scaled else ""
        caption = f"How the error grows with the distance{against}. Lower is better.{units}"
        content.append(half(draw.by_step(view, HALF), caption, source, heading="Error by step ahead"))
    else:
        content.append(h("p", "The horizon is one step, so there is no error by step to draw."))
    covered = view.coverages()
    if covered:
        caption = "Points on the dashed line keep their promise; the middle of the picture is the median."
        content.append(half(draw.calibration(view, HALF), caption, source, heading="Promised and found shares"))
    many = len({int(one) for one in view.pairs}) > 1
    return section(
        "errors",
        "Where the error is, and whether the intervals hold",
        pair(*content),
        _coverage(covered, view, many)
        if covered
        else "The model gives a point alone, so there are no intervals to check.",
    )


def _coverage(covered: list[Coverage], view: View, many: bool) -> Element:
    headers = ["interval", "found", "off by"] + ([] if many else ["mean width"])
    rows = [
        [f"{one.nominal:.0%}", f"{one.found:.1%}", f"{100 * (one.found - one.nominal):+.1f} points"]
        + ([] if many else [number(one.width)])
        for one in covered
    ]
    conformal = view.setup.pipeline.conformal
    how = "as the network gave them" if conformal is None else "corrected on the validation rows (conformal)"
    note = f" {conformal.note}" if conformal is not None and conformal.note else ""
    caption = f"Share of test values inside each interval, {how}.{note}"
    return table(headers, rows, caption=caption, numeric=range(1, len(headers)))


def data(view: View) -> Element:
    """What was in the file, what is odd about it, and how it was split."""
    raw, setup = view.raw, view.setup
    known = np.concatenate([one.target[: one.observed].ravel() for one in view.series] or [np.zeros(0)])
    missing = float(np.isnan(known).mean()) if len(known) else 0.0
    span = f"{raw.stamp(int(raw.times.min()))} to {raw.stamp(int(raw.times.max()))}"
    season = view.plan.season
    columns = raw.describe()
    found = raw.lint()
    rows = [[one.name, one.role, one.kind, f"{one.missing:.1%}", one.low, one.high, one.examples] for one in columns]
    more = f" The first {COLUMNS} of {len(rows)} are listed." if len(rows) > COLUMNS else ""
    return section(
        "data",
        "Data",
        facts(
            [
                ("File", raw.name),
                ("Rows", f"{len(raw):,}"),
                ("Series", f"{len(view.series):,}"),
                ("Span", span),
                ("Frequency", raw.frequency.name),
                ("Season", f"{season} rows" if season > 1 else "none found"),
                ("Target", ", ".join(raw.targets)),
                ("Target missing", f"{missing:.1%} of the rows on the grid"),
                ("SHA-256", raw.sha256),
            ]
        ),
        table(
            ["column", "part", "kind", "missing", "lowest", "highest", "examples"],
            rows[:COLUMNS],
            caption=f"Columns of the file.{more}",
            numeric=[3],
        ),
        h("h3", "What is odd about it"),
        bullets(found) if found else h("p", "Nothing was found: no gap, no repeated series, no empty column."),
        h("h3", "What was learned from, and what was held back"),
        picture(lambda width: draw.split(view, width), _split_caption(view), f"split by time · {view.source}"),
        _split_table(view),
        None if len(setup.validation) else "No rows were kept for validation: nothing could stop training early.",
    )


def _split_caption(view: View) -> str:
    shown, every = len(draw.split_rows(view)), sum(1 for one in view.series if one.observed)
    some = f" {shown} of {every:,} series, spread evenly over the file." if shown < every else ""
    cut = "All series are cut at the same dates." if view.setup.split.by_date else "Each series is cut at its own end."
    cut = "" if len(view.series) == 1 else f" {cut}"
    return f"Nothing to the right of a part was known to it; test rows were looked at only for the score.{cut}{some}"


def _split_table(view: View) -> Element:
    spans: dict[str, list[tuple[int, int, int]]] = {part: [] for part in draw.PARTS}
    for index in range(len(view.series)):
        for part, first, stop in draw.parts(view, index):
            spans[part].append((index, first, stop))
    rows = []
    for part, found in spans.items():
        if not found:
            rows += [] if part == "gap" else [[draw.PARTS[part], "0", "–", "–"]]
            continue
        first = min(int(view.series[index].times[start]) for index, start, _ in found)
        last = max(int(view.series[index].times[stop - 1]) for index, _, stop in found)
        total = f"{sum(stop - start for _, start, stop in found):,}"
        rows.append([draw.PARTS[part], total, view.raw.stamp(first), view.raw.stamp(last)])
    return table(["part", "rows", "first", "last"], rows, caption="Rows of each part, over all series.", numeric=[1])


def training(view: Trained) -> Element:
    """Learning curves, learning rate, gradients, and what happened."""
    outcome, options = view.outcome, view.options
    why = {
        "budget": "the budget of steps was used up",
        "patience": "validation did not get better any more",
        "interrupted": "it was interrupted",
    }[outcome.stopped]
    kept = f"; the weights of step {outcome.best_step:,}, the best validated, were kept" if outcome.best_step else ""
    lead = f"{_many(outcome.steps, 'step')}, then {why}{kept}."
    if view.refitted:
        lead += (
            " Then it was trained anew on training and validation rows together; the curves are those of the first "
            "training."
        )
    content: list[Element | str | None] = [h("p", lead, cls="quiet")]
    source = f"metrics.jsonl · {view.source}"
    losses = [record["loss"] for record in view.steps if record["loss"] is not None]
    if draw.usable(losses):
        content.append(picture(lambda width: draw.learning(view, width), _gap(view), source, heading="Loss"))
        layers = draw.layers(view)
        over = f" The first {draw.LAYERS} of {len(layers)} layers are drawn." if len(layers) > draw.LAYERS else ""
        clip = (
            f" A gradient longer than {options.clip:g} was shortened to that." if options.clip else " None was clipped."
        )
        content.append(
            pair(
                half(
                    draw.gradients(view, HALF),
                    f"How strongly each layer was pulled; one that falls far below the rest learns little.{clip}{over}",
                    source,
                    heading="Gradient norm",
                ),
                half(
                    draw.learning_rate(view, HALF),
                    f"The size of a step: {options.schedule}, {options.learning_rate or 0.0:g} at the highest.",
                    source,
                    heading="Learning rate",
                ),
            )
        )
    else:
        steps = len(view.steps)
        content.append("No step was logged." if not steps else f"{_many(steps, 'step')}: too few to draw a curve.")
    content.append(h("h3", "What happened"))
    events = [f"after step {step:,}: {message}" for step, message in view.events]
    content.append(bullets(events) if events else h("p", "Nothing out of the ordinary: no roll-back, no interruption."))
    return section("training", "Training", *content)


def _gap(view: Trained) -> str:
    if not view.validations:
        return "The loss of each step. There were no validation rows, so nothing tells overfitting from learning."
    measured = view.validation_name
    text = (
        f"Training and validation ({measured}). Where validation lies above training, the room between them is shaded."
    )
    best = view.best_gap()
    if best is not None:
        train, validation = best
        share = (
            f", a gap of {(validation - train) / train:.0%}" if validation > train > 0 else ", which is not above it"
        )
        text += f" At the step kept: training {number(train)}, validation {number(validation)}{share}."
    return text


def stream(streamed: Streamed | None) -> Element:
    """The score of a stream beside the score offline."""
    if streamed is None:
        return section("stream", "Stream", "The held-back rows were not streamed in this run.")
    gap = abs(streamed.streamed - streamed.offline) / max(abs(streamed.offline), 1e-300)
    verdict = (
        "Pushed one row at a time, the model scores the same as offline."
        if gap <= SAME
        else f"Pushed one row at a time, the model scores {gap:.2%} off its score offline: find out why before use."
    )
    metric = streamed.metric
    rows = [["offline", number(streamed.offline, 5)], ["streamed", number(streamed.streamed, 5)]]
    return section(
        "stream",
        "Stream",
        verdict,
        table(["how", metric], rows, caption=f"{metric} of the same forecasts, made both ways.", numeric=[1]),
        facts(
            [
                ("Rows pushed", f"{streamed.rows:,}"),
                ("Largest difference", number(streamed.largest_difference)),
                ("A push takes", _time(streamed.microseconds_a_push)),
            ]
        ),
        h("p", streamed.note, cls="quiet") if streamed.note else None,
    )


def _time(microseconds: float) -> str:
    return f"{number(microseconds)} µs" if microseconds < 1000 else f"{number(microseconds / 1000)} ms"


def made(view: View) -> Element:
    """All that it takes to make the report again."""
    pipeline, report = view.setup.pipeline, view.report
    weights = sum(parameter.numel() for parameter in pipeline.forecaster.parameters())
    network = pipeline.network
    memory = "carried for ever" if view.task.memory == "carried" else f"the last {view.plan.lookback:,} rows"
    shape = f"{view.setup.name}, {_many(pipeline.plan.hidden_size, 'unit')}, {_many(network.layers, 'layer')}"
    return section(
        "made",
        "How it was made",
        facts(
            [
                ("Network", shape),
                ("Weights", f"{weights:,}"),
                ("Memory", memory),
                ("Seed", str(report.training.seed)),
                ("Device", f"{report.training.device}, {report.training.precision}"),
                ("latchwork", version("latchwork")),
                ("torch", version("torch")),
                ("Python", f"{platform.python_version()} on {platform.machine()}"),
                ("Data, SHA-256", view.raw.sha256),
                ("Options, SHA-256", storage.sha256(report.config.encode())),
            ]
        ),
        h("pre", h("code", report.command)) if report.command else None,
        h(
            "p",
            "The same options, data and seed give the same model on the same machine. Saved as run.toml, this is "
            "what --config takes:",
        ),
        h("pre", h("code", report.config), tabindex="0"),
    )


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 or noun.endswith("s") else "s")


def _and(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
