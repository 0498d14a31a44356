import re
import sys
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import polars as pl
import pytest

from latchwork.errors import ConfigError
from latchwork.evaluation import report as page
from latchwork.evaluation.backtest import Evaluation, model_forecasts
from latchwork.evaluation.report import Report, Streamed, render, write_report
from latchwork.evaluation.report_figures import parts
from latchwork.evaluation.report_view import View
from latchwork.evaluation.score import score
from latchwork.evaluation.svg import NAMESPACE
from latchwork.layers import Network
from latchwork.modalities import read
from latchwork.sequences import Forecasts
from latchwork.tasks import Forecast
from latchwork.training import Training, fit

sys.path.insert(0, str(Path(__file__).parents[1]))
from pages import Reader

SCRIPT = '<script>alert("1")</script>'
STREAMED = Streamed(0.5, 0.5, "MAE", 24, 1e-7, 840.0, "a push reads the last 16 rows anew")


def frame(ids: list[str], rows: int, *, dates: bool = True, gaps: bool = True) -> pl.DataFrame:
    generator = np.random.default_rng(7)
    t = np.arange(rows)
    parts = []
    for place, name in enumerate(ids):
        values = (place + 1) * (10 + 3 * np.sin(2 * np.pi * t / 4) + generator.normal(0, 0.5, rows))
        if gaps:
            values[5:8] = np.nan
        stamps = pl.Series(np.datetime64("2021-01-04") + t * 7) if dates else pl.Series(t)
        parts.append(pl.DataFrame({"unique_id": [name] * rows, "ds": stamps, "y": values}))
    return pl.concat(parts).with_columns(pl.col("y").fill_nan(None))


@cache
def made(
    ids: tuple[str, ...] = ("a",),
    *,
    rows: int = 90,
    horizon: int = 4,
    dates: bool = True,
    steps: int = 12,
    **options: object,
) -> Report:
    usual = {"horizon": horizon, "season": 4, "lookback": 12, "test_size": 16}
    if options.get("memory") == "carried":
        usual.pop("lookback")
    task = Forecast(**(usual | options))  # type: ignore[arg-type]
    raw = read(frame(list(ids), rows, dates=dates), task)
    training = Training(steps=steps, evaluate_every=4, batch_size=8, seed=3)
    fitted = fit(task, raw, Network(hidden_size=4), training)
    evaluation = scored(fitted.setup)
    return Report(
        fitted.setup, raw, fitted.training, fitted.outcome, evaluation, STREAMED, '[forecast]\ntarget = "y"\n'
    )


def scored(setup) -> Evaluation | None:
    """Beside last value, season's value, and a method that was not run; fast, where real baselines take their time."""
    windows = setup.windows()
    if not len(windows):
        return None
    starts = zip(windows.series, windows.target, windows.origin, strict=True)
    known = [setup.series[s].target[:o, t] for s, t, o in starts]
    last = np.array([values[~np.isnan(values)][-1] for values in known])[:, None].repeat(windows.horizon, axis=1)
    season = np.array([np.resize(values[-4:], windows.horizon) for values in known])
    levels = (0.1, 0.5, 0.9)
    spread = season[..., None] + np.array([-1.0, 0.0, 1.0]) * windows.scale[:, None, None]
    methods = [
        model_forecasts(setup, windows),
        Forecasts("naive", last),
        Forecasts("seasonal naive", season, spread, levels),
        Forecasts("ETS", np.full_like(last, np.nan), None, (), 'not run, install "latchwork[forecast]"'),
    ]
    return Evaluation(windows, methods, score(windows, methods, season=4, samples=200))


def checked(report: Report) -> Reader:
    """A page that is well formed, loads nothing, runs nothing, and says what every picture shows."""
    text = render(report)
    reader = Reader(text)
    for drawing in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        assert ElementTree.fromstring(drawing).get("role") == "img"
        assert "nan" not in drawing.lower()
    for drawing in reader.all("svg"):
        assert drawing["aria-label"]
    assert all(header["scope"] in ("row", "col") for header in reader.all("th"))
    assert not {"script", "link", "img", "iframe", "object", "embed", "base", "form"} & {tag for tag, _ in reader.tags}
    assert "<script" not in text
    assert set(re.findall(r"https?://[^\s\"'<]+", text)) <= {NAMESPACE}
    assert not re.search(r"url\(|@import", text)
    names = {name for _, attributes in reader.tags for name in attributes}
    assert not {name for name in names if name.startswith("on") or name in ("src", "srcset", "style", "xlink:href")}
    anchors = {attributes["id"] for _, attributes in reader.tags if "id" in attributes}
    links = [link["href"] or "" for link in reader.all("a")]
    assert {link.removeprefix("#") for link in links} == anchors
    assert len(links) == len(anchors)
    return reader


# A whole report


def test_the_page_says_all_of_it() -> None:
    report = made()
    reader = checked(report)
    assert report.evaluation is not None
    verdict = report.evaluation.leaderboard.verdict()
    assert verdict.partition(";")[0].partition(", Diebold")[0] in reader.text
    for said in (
        'ETS: not run, install "latchwork[forecast]"',
        "weekly",
        "2021-01-04",
        "missing",
        report.raw.sha256,
        "840 µs",
        "the same as offline",
        'target = "y"',
        "Overfitting gap".lower(),
        "Nothing out of the ordinary",
        "clipped above 1",
        "seed 3",
    ):
        assert said in reader.text, said
    headings = ["Score", "Forecasts over actuals", "Where the error is, and whether the intervals hold"]
    headings += ["Data", "Training", "Stream", "How it was made"]
    assert [heading for heading in headings if heading in reader.text] == headings


def test_every_picture_can_be_traced() -> None:
    report = made()
    source = View(report).source
    assert source == f"data {report.raw.sha256[:8]} · config {source.split('config ')[1][:8]} · seed 3"
    text = render(report)
    assert text.count(source) >= 7
    assert View(replace(report, config="other")).source != source


def test_the_same_report_gives_the_same_bytes(tmp_path: Path) -> None:
    path = tmp_path / "run" / "report.html"
    write_report(path, made())
    assert path.read_text() == render(made())
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]


def test_names_from_the_data_can_do_no_harm() -> None:
    nasty = (SCRIPT, "a & b", "' onload='x", "]]><b>", "x\x00\x1by", "weiß 日本")
    report = made(nasty, dates=False)
    reader = checked(replace(report, config=SCRIPT, command=f"latchwork {SCRIPT}"))
    assert SCRIPT in reader.text
    assert "weiß 日本" in reader.text
    for drawn in (page.forecast_svg(report), page.leaderboard_svg(report), page.picture_svg(report)):
        ElementTree.fromstring(drawn)
        assert "<script" not in drawn


@pytest.mark.parametrize("memory", ["window", "carried"])
@pytest.mark.parametrize("loss", ["pinball", "mae"])
def test_every_kind_of_forecast_has_a_page(memory: str, loss: str) -> None:
    checked(made(("a", "b"), memory=memory, loss=loss, intervals="model"))


def test_one_step_ahead_and_one_step_of_training() -> None:
    reader = checked(made(horizon=1, steps=1, test_size=5))
    assert "no error by step" in reader.text
    assert "too few to draw a curve" in reader.text


def test_without_validation_there_is_no_gap() -> None:
    reader = checked(made(validation_size=0))
    assert "There were no validation rows" in reader.text
    assert "overfitting gap" not in reader.text
    assert "No rows were kept for validation" in reader.text


def test_without_a_test_part_the_page_says_that_nothing_was_scored() -> None:
    report = replace(made(test_size=0), streamed=None)
    assert report.evaluation is None
    reader = checked(report)
    assert "not yet scored" in reader.text
    assert "were not streamed" in reader.text
    assert "Forecasts over actuals" not in reader.text
    for drawing in (page.forecast_svg, page.leaderboard_svg, page.picture_svg):
        with pytest.raises(ConfigError, match="nothing to draw"):
            drawing(report)


def test_an_empty_or_odd_history_is_told() -> None:
    report = made()
    assert "No step was logged" in checked(replace(report, outcome=replace(report.outcome, history=[]))).text
    history = [
        {"step": 1, "loss": None, "gradient_norm": None, "learning_rate": 0.1},
        {"step": 1, "event": f"loss is NaN at step 2: back to step 1 {SCRIPT}"},
        {"step": 2, "loss": 0.0, "gradient_norm": 0.0, "learning_rate": 0.1, "gradient_norms": {"head": None}},
        {"step": 3, "loss": 1e9, "gradient_norm": 2.0, "learning_rate": 0.1, "gradient_norms": {"head": 1e-9}},
        {"step": 4, "loss": 2.0, "gradient_norm": 2.0, "validation": {"loss": None}, "train": 1.0, "gap": None},
    ]
    outcome = replace(report.outcome, history=history, best_step=0, best={}, stopped="interrupted")
    reader = checked(replace(report, outcome=outcome))
    assert "after step 1: loss is NaN at step 2" in reader.text
    assert "interrupted" in reader.text


def test_a_stream_that_differs_is_not_called_the_same() -> None:
    reader = checked(replace(made(), streamed=replace(STREAMED, streamed=0.55, microseconds_a_push=12_300.0)))
    assert "10.00% off its score offline" in reader.text
    assert "12.3 ms" in reader.text


def test_many_layers_are_cut_to_what_can_be_told_apart() -> None:
    report = made()
    record = {"step": 1, "loss": 1.0, "gradient_norm": 1.0, "learning_rate": 0.1}
    norms = {f"layers.{place}": 0.1 * place + 0.1 for place in range(12)}
    history = [record | {"step": step, "gradient_norms": norms} for step in (1, 2, 3)]
    reader = checked(replace(report, outcome=replace(report.outcome, history=history)))
    assert "The first 8 of 12 layers" in reader.text


# Many series


def test_four_hundred_series_stay_below_a_megabyte() -> None:
    report = made(tuple(f"H{place}" for place in range(400)), rows=44, dates=False, test_size=4, gap=2, steps=2)
    text = render(report)
    reader = checked(report)
    assert len(text.encode()) < 1_000_000
    assert "12 of 400 series" in reader.text
    assert "six of 400 series" in reader.text
    assert "gap, unused" in reader.text
    assert "MASE" in reader.text


def test_panels_run_from_the_best_series_to_the_worst() -> None:
    view = View(made(tuple(f"H{place}" for place in range(12)), dates=False))
    panels = view.panels()
    losses = {pair: view.losses[view.pairs == pair].mean() for pair in range(12)}
    order = sorted(losses, key=lambda pair: losses[pair])
    drawn = [int(view.pairs[panel.rows[0]]) for panel in panels]
    assert drawn[0] == order[0]
    assert drawn[-1] == order[-1]
    assert [panel.why for panel in panels] == [
        "best",
        "better quarter",
        "median",
        "worse quarter",
        "worst tenth",
        "worst",
    ]
    assert drawn == sorted(drawn, key=order.index)
    long = view.long_panel()
    assert long is not None
    assert int(view.pairs[long.rows[0]]) == order[6]


def test_the_long_picture_does_not_overlap_itself() -> None:
    view = View(made(step_size=1))
    long = view.long_panel()
    assert long is not None
    assert (np.diff(view.windows.origin[long.rows]) >= view.windows.horizon).all()
    assert len(view.panels()) == 6
    checked(made(step_size=1))


# The numbers


def test_errors_and_coverage_are_those_of_the_forecasts() -> None:
    view = View(made())
    windows, model = view.windows, view.model
    ours, theirs = view.by_step()
    np.testing.assert_allclose(ours, np.nanmean(np.abs(windows.actual - model.point), axis=0))
    assert view.rival is not None
    np.testing.assert_allclose(theirs, np.nanmean(np.abs(windows.actual - view.rival.point), axis=0))
    assert view.board.row(model.name).values["mae"] == pytest.approx(float(view.losses.mean()))
    assert model.quantiles is not None
    for (level, found), column in zip(view.calibration(model), range(len(model.levels)), strict=True):
        assert level == model.levels[column]
        assert found == pytest.approx(np.mean(windows.actual <= model.quantiles[..., column]))
    widest = view.coverages()[0]
    assert widest.nominal == pytest.approx(0.9)
    inside = (model.quantiles[..., 0] <= windows.actual) & (windows.actual <= model.quantiles[..., -1])
    assert widest.found == pytest.approx(inside.mean())
    assert [band.share for band in view.bands()] == pytest.approx([0.9, 0.8, 0.5])


def test_errors_of_several_series_are_put_on_one_scale() -> None:
    view = View(made(("a", "b"), dates=False))
    assert view.scaled
    expected = np.abs(view.windows.actual - view.model.point) / view.windows.scale[:, None]
    np.testing.assert_allclose(view.by_step()[0], expected.mean(axis=0))
    assert "MASE" in view.error_unit


def test_the_gap_is_that_of_the_step_kept() -> None:
    report = made()
    record = {"loss": 1.0, "gradient_norm": 1.0, "learning_rate": 0.1}
    history = [
        record | {"step": 1, "validation": {"loss": 2.0}, "train": 1.9, "gap": 0.1},
        record | {"step": 2, "validation": {"loss": 1.5}, "train": 1.2, "gap": 0.3},
        record | {"step": 3, "validation": {"loss": 1.8}, "train": 0.9, "gap": 0.9},
    ]
    outcome = replace(report.outcome, history=history, best_step=2, best={"loss": 1.5})
    text = checked(replace(report, outcome=outcome)).text
    assert "At the step kept: training 1.20, validation 1.50, a gap of 25%." in text


def test_parts_of_the_split_follow_each_other() -> None:
    view = View(made(gap=2))
    found = parts(view, 0)
    assert [part for part, _, _ in found] == ["train", "gap", "validation", "gap", "test"]
    assert found[0][1] == 0
    assert found[-1][2] == view.series[0].observed
    assert all(first[2] == second[1] for first, second in pairwise(found))
    assert all(stop - first == 2 for part, first, stop in found if part == "gap")
