"""The leaderboard: figures, subsets, what is resampled, the sentence, files and the printed table."""

import io
import json
import math

import numpy as np
import pytest
from rich.console import Console

from latchwork import metrics
from latchwork.errors import ConfigError, DataError
from latchwork.evaluation import Comparison, Leaderboard, score
from latchwork.sequences import Forecasts, Windows

LEVELS = (0.1, 0.5, 0.9)


def many(series: int = 40, horizon: int = 6, seed: int = 0) -> Windows:
    generator = np.random.default_rng(seed)
    index = np.arange(series)
    actual = generator.normal(50, 10, size=(series, horizon))
    return Windows(index, np.zeros(series, int), np.full(series, 100), actual, generator.uniform(1, 5, size=series))


def one(origins: int = 200, horizon: int = 6, targets: int = 1, seed: int = 0) -> Windows:
    generator = np.random.default_rng(seed)
    values = generator.normal(size=(300 + origins + horizon, targets))
    target = np.tile(np.arange(targets), origins)
    origin = np.repeat(300 + np.arange(origins), targets)
    actual = np.stack([values[o : o + horizon, t] for o, t in zip(origin, target, strict=True)])
    return Windows(np.zeros(len(origin), int), target, origin, actual, np.ones(len(origin)))


def answer(windows: Windows, name: str, error: float, seed: int = 1, note: str = "") -> Forecasts:
    """Errors of a given size; with the same seed they differ between methods by that factor alone."""
    noise = np.random.default_rng(seed).normal(scale=error, size=windows.actual.shape)
    point = windows.actual + noise
    return Forecasts(name, point, point[..., None] + np.array([-1.0, 0.0, 1.0]), LEVELS, note)


def unanswered(forecast: Forecasts, rows: slice) -> Forecasts:
    point = forecast.point.copy()
    point[rows] = math.nan
    return Forecasts(forecast.name, point, None, (), forecast.note)


def test_figures_are_those_of_the_metrics() -> None:
    windows = many()
    model, naive2 = answer(windows, "model", 1.0), answer(windows, "naive2", 2.0, seed=2)
    board = score(windows, [model, naive2], season=7, metrics=("mae", "mse", "rmse", "smape", "mase", "owa", "width"))
    values = board.row("model").values
    assert values["mae"] == pytest.approx(metrics.mae(windows.actual, model.point))
    assert values["mse"] == pytest.approx(values["rmse"] ** 2)
    assert values["smape"] == pytest.approx(metrics.smape(windows.actual, model.point))
    assert values["mase"] == pytest.approx(metrics.mase(windows.actual, model.point, windows.scale))
    assert values["width"] == pytest.approx(2.0)
    assert board.row("naive2").values["owa"] == pytest.approx(1.0)
    other = board.row("naive2").values
    assert values["owa"] == pytest.approx((values["smape"] / other["smape"] + values["mase"] / other["mase"]) / 2)
    assert (board.main, board.best, board.models) == ("mase", "naive2", ["model"])
    assert board.row("model").lower < values["mase"] < board.row("model").upper


def test_quantile_figures_use_the_levels_that_all_have() -> None:
    windows = many()
    model = answer(windows, "model", 1.0)
    assert model.quantiles is not None
    fewer = Forecasts("ridge", model.point, model.quantiles[..., ::2], (0.1, 0.9))
    board = score(windows, [model, fewer, Forecasts("naive", model.point)], season=7)
    assert board.levels == (0.1, 0.9)
    assert board.interval == pytest.approx(0.8)
    expected = metrics.scaled_crps(windows.actual, fewer.quantiles, (0.1, 0.9))
    assert board.row("model").values["scrps"] == pytest.approx(expected)
    assert board.row("ridge").values["scrps"] == pytest.approx(expected)
    assert math.isnan(board.row("naive").values["coverage"])
    assert math.isnan(board.row("naive").values["owa"])


def test_which_metric_decides() -> None:
    forecast = answer(one(), "model", 1.0)
    assert score(one(), [forecast], season=1).main == "mae"
    windows = many()
    assert score(windows, [answer(windows, "model", 1.0)], season=1).main == "mase"
    no_scale = Windows(
        windows.series, windows.target, windows.origin, windows.actual, np.append(np.nan, windows.scale[1:])
    )
    assert score(no_scale, [answer(windows, "model", 1.0)], season=1).main == "mae"
    assert score(no_scale, [answer(windows, "model", 1.0)], season=1, main="mase").main == "mase"
    several = one(targets=2)
    assert score(several, [answer(several, "model", 1.0)], season=1).main == "mase"


@pytest.mark.parametrize(
    ("error", "says"),
    [(0.9, "model beats ridge by 10"), (1.2, "model is worse than ridge by 20"), (1.0, "adds nothing here")],
)
def test_the_verdict_over_many_series(error: float, says: str) -> None:
    windows = many(series=200)
    noise = answer(windows, "model", error, seed=3 if error == 1.0 else 1)
    board = score(windows, [noise, answer(windows, "ridge", 1.0), answer(windows, "naive", 3.0)], season=7)
    found = board.comparison("model", "ridge")
    assert says in board.verdict()
    assert "MASE" in board.verdict()
    assert "evidence" not in board.verdict()
    assert "Diebold" not in board.verdict()
    assert (found.unit, found.independent, found.windows) == ("series", 200, 200)
    assert found.lower <= found.difference <= found.upper
    if error > 1:
        assert board.verdict().endswith(": use ridge")
    if error == 1.0:
        assert found.lower < 0 < found.upper


def test_one_series_is_resampled_in_blocks_of_origins_and_tested() -> None:
    windows = one(origins=240, targets=2)
    board = score(windows, [answer(windows, "model", 0.7), answer(windows, "ridge", 1.0, seed=4)], season=7, main="mae")
    found = board.comparison("model", "ridge")
    assert found.unit == "origin"
    assert found.independent == pytest.approx(240 / 7)
    assert found.p < 0.001
    assert board.verdict().startswith("model beats ridge by ")
    assert board.verdict().endswith("in MAE, Diebold-Mariano p < 0.001")


def test_few_origins_are_thin_and_one_is_too_little() -> None:
    few = one(origins=20)
    board = score(few, [answer(few, "model", 1.0), answer(few, "ridge", 1.1, seed=2)], season=7)
    assert "the evidence is thin: about 3 independent origins" in board.verdict()
    alone = one(origins=1)
    board = score(alone, [answer(alone, "model", 1.0), answer(alone, "ridge", 2.0)], season=7)
    assert board.verdict() == (
        "model has a 50% lower MAE than ridge; too little to tell: fewer than two independent origins"
    )


def test_a_row_that_stopped_early_is_compared_where_it_answered() -> None:
    windows = many(series=100)
    model, naive = answer(windows, "model", 1.0), answer(windows, "naive", 1.5, seed=2)
    slow = unanswered(answer(windows, "ETS", 0.5, seed=3), slice(40, None))
    board = score(windows, [model, naive, slow], season=7)
    assert board.best == "ETS"
    row = board.row("ETS")
    assert (row.windows, row.note) == (40, "on 40 of 100 windows")
    assert row.values["mae"] == pytest.approx(metrics.mae(windows.actual[:40], slow.point[:40]))
    first = windows.select(np.arange(40))
    expected = metrics.mase(first.actual, model.point[:40], first.scale) / row.values["mase"] - 1
    assert board.row("model").relative == pytest.approx(expected)
    assert "on the 40 of 100 windows that both answered" in board.verdict()
    assert "on the windows that both answered" in str(board)
    assert [found.name for found in board.rows] == ["ETS", "model", "naive"]


def test_a_row_with_a_few_answers_is_not_the_best_one() -> None:
    windows = many(series=100)
    lucky = unanswered(answer(windows, "ETS", 0.01), slice(5, None))
    board = score(windows, [answer(windows, "model", 1.0), answer(windows, "naive", 1.5), lucky], season=7)
    assert board.best == "naive"


def test_a_row_that_was_not_run_is_last_and_says_why() -> None:
    windows = many()
    absent = Forecasts("ETS", np.full(windows.actual.shape, np.nan), None, (), "not run, install latchwork[forecast]")
    board = score(windows, [answer(windows, "model", 1.0), absent, answer(windows, "naive", 2.0)], season=7)
    assert [row.name for row in board.rows] == ["model", "naive", "ETS"]
    assert board.rows[-1].windows == 0
    assert math.isnan(board.rows[-1].values["mae"])
    assert "ETS: not run, install latchwork[forecast]" in str(board)
    assert "can't be compared" in board.comparison("model", "ETS").sentence("MAE", 40)


def test_windows_without_an_actual_value_are_left_out() -> None:
    windows = many()
    actual = windows.actual.copy()
    actual[:10] = np.nan
    holes = Windows(windows.series, windows.target, windows.origin, actual, windows.scale)
    model = answer(windows, "model", 1.0)
    board = score(holes, [model], season=7)
    assert board.windows == 30
    assert board.row("model").values["mae"] == pytest.approx(metrics.mae(actual[10:], model.point[10:]))
    nothing = Windows(windows.series, windows.target, windows.origin, np.full(actual.shape, np.nan), windows.scale)
    with pytest.raises(DataError, match="no window has an actual value"):
        score(nothing, [model], season=7)


def test_several_models_and_none() -> None:
    windows = many()
    forecasts = [
        answer(windows, name, error, seed=i) for i, (name, error) in enumerate(zip("abc", (1, 2, 3), strict=True))
    ]
    board = score(windows, forecasts, season=7, models=["b", "c"])
    assert board.best == "a"
    assert board.verdict("c").startswith("c is worse than a by")
    assert {(found.model, found.rival) for found in board.comparisons} == {
        ("b", "a"),
        ("b", "c"),
        ("c", "a"),
        ("c", "b"),
    }
    assert "no model was scored" in score(windows, forecasts, season=7, models=[]).verdict()
    assert "stands alone" in score(windows, forecasts[:1], season=7).verdict()
    with pytest.raises(ConfigError, match='"bb"'):
        score(windows, forecasts, season=7, models=["bb"])
    with pytest.raises(ConfigError, match='no row "d"'):
        board.verdict("d")


def test_the_metric_that_decides_is_always_shown() -> None:
    windows = many()
    board = score(windows, [answer(windows, "model", 1.0)], season=7, metrics=("rmse",))
    assert board.metrics == ("mase", "rmse")


def test_the_same_seed_gives_the_same_board() -> None:
    windows = many()
    forecasts = [answer(windows, "model", 1.0), answer(windows, "naive", 2.0, seed=2)]
    boards = [score(windows, forecasts, season=7, seed=seed).to_dict() for seed in (0, 0, 1)]
    assert boards[0] == boards[1] != boards[2]


def test_round_trip_through_json_and_nan_is_null() -> None:
    windows = many()
    absent = Forecasts("ETS", np.full(windows.actual.shape, np.nan))
    board = score(windows, [answer(windows, "model", 1.0), answer(windows, "naive", 2.0), absent], season=7)
    text = json.dumps(board.to_dict(), allow_nan=False)
    again = Leaderboard.from_dict(json.loads(text))
    assert json.dumps(again.to_dict(), allow_nan=False) == text
    assert str(again) == str(board)
    assert again.verdict() == board.verdict()


def test_table_and_print() -> None:
    windows = many()
    board = score(windows, [answer(windows, "model", 1.0), answer(windows, "naive", 2.0)], season=7)
    table = board.table()
    assert [row["method"] for row in table] == ["model", "naive"]
    assert table[0]["mase"] == board.row("model").values["mase"]
    assert table[1]["relative"] == 0
    text = str(board)
    for word in (
        "sMAPE",
        "0-200",
        "MASE [95%]",
        "covers",
        "80%",
        "40 windows of 40 series, 6 steps ahead",
        "model beats naive",
    ):
        assert word in text, word
    narrow = io.StringIO()
    board.print(Console(file=narrow, width=80))
    assert "[95%]" not in narrow.getvalue()
    assert max(map(len, narrow.getvalue().splitlines())) <= 80


@pytest.mark.parametrize(
    ("difference", "lower", "upper", "says"),
    [
        (-0.06, -0.09, -0.02, "m beats r by 6% [2, 9] in MASE"),
        (-0.006, -0.009, -0.002, "m beats r by 0.6% [0.2, 0.9] in MASE"),
        (-0.03, -0.09, 0.04, "m adds nothing here: it is within the interval of r (-3% [-9, 4] in MASE)"),
        (0.2, 0.1, 0.3, "m is worse than r by 20% [10, 30] in MASE: use r"),
    ],
)
def test_sentences(difference: float, lower: float, upper: float, says: str) -> None:
    found = Comparison("m", "r", difference, lower, upper, 50, "series", 50, math.nan)
    assert found.sentence("MASE", 50) == says


def test_options_are_checked() -> None:
    windows = many()
    model = answer(windows, "model", 1.0)
    with pytest.raises(ConfigError, match=r'unknown metric "maes".*did you mean'):
        score(windows, [model], season=7, metrics=("maes",))
    with pytest.raises(ConfigError, match="name of its own"):
        score(windows, [model, model], season=7)
    with pytest.raises(ConfigError, match="no forecasts"):
        score(windows, [], season=7)
    with pytest.raises(DataError, match=r"model: forecasts have shape \(40, 6\), windows ask for \(39, 6\)"):
        score(windows.select(np.arange(39)), [model], season=7)
