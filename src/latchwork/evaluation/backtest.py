"""Score a forecaster beside baselines: on the rows held back, and at rolling origins."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from latchwork.baselines import run_baselines
from latchwork.errors import ConfigError
from latchwork.evaluation.score import Leaderboard, score
from latchwork.layers import Network
from latchwork.modalities import RawTable, read
from latchwork.sequences import Forecasts, Windows
from latchwork.tasks import Forecast, ForecastSetup
from latchwork.training import Training, fit

SECONDS_FOR_BASELINES = 60.0


@dataclass(frozen=True)
class Evaluation:
    """What was asked, what every method answered, and who won."""

    windows: Windows
    forecasts: list[Forecasts]
    leaderboard: Leaderboard


def model_forecasts(setup: ForecastSetup, windows: Windows) -> Forecasts:
    """The pipeline's answers to the windows."""
    targets = setup.pipeline.plan.targets
    pairs = torch.from_numpy(np.stack([windows.series[::targets], windows.origin[::targets]], axis=1))
    quantiles = setup.pipeline.forecast_at(setup.series, pairs).quantiles
    flat = quantiles.transpose(1, 2).flatten(0, 1).numpy()
    levels = setup.pipeline.levels
    return Forecasts(setup.name, flat[..., levels.index(0.5)], flat if len(levels) > 1 else None, levels)


def evaluate(
    setup: ForecastSetup,
    *,
    part: str = "test",
    seconds: float = SECONDS_FOR_BASELINES,
    progress: Callable[[str, float], None] | None = None,
) -> Evaluation:
    """The leaderboard of a part: the model and every baseline on the same windows, none of which it was trained on."""
    windows = setup.windows(part)
    if not len(windows):
        raise ConfigError(f"no rows were held back for the {part}; give {part}_size at least the horizon")
    return judge(setup, windows, [model_forecasts(setup, windows)], seconds=seconds, progress=progress)


def judge(
    setup: ForecastSetup,
    windows: Windows,
    answers: list[Forecasts],
    *,
    seconds: float = SECONDS_FOR_BASELINES,
    progress: Callable[[str, float], None] | None = None,
) -> Evaluation:
    """``answers`` beside the baselines, which learn from the training rows of ``setup`` alone."""
    season = setup.pipeline.plan.season
    baselines = run_baselines(
        setup.series,
        windows,
        setup.split.train.tolist(),
        season=season,
        levels=setup.pipeline.levels,
        seconds_cap=seconds,
        progress=progress,
    )
    forecasts = [*answers, *baselines]
    return Evaluation(windows, forecasts, score(windows, forecasts, season=season))


def cross_validate(
    task: Forecast,
    data: Any,
    *,
    n_windows: int = 5,
    step_size: int | None = None,
    refit: bool = True,
    network: Network | None = None,
    training: Training | None = None,
    seconds: float = SECONDS_FOR_BASELINES,
    progress: Callable[[str, float], None] | None = None,
) -> Evaluation:
    """Rolling-origin backtest: ``n_windows`` origins, ``step_size`` rows apart, the last one a horizon before the end.

    With ``refit`` the network is trained anew for each origin on what was known then; otherwise once, before the first.
    Baselines are fitted on the training rows of the first origin.
    """
    if n_windows < 1:
        raise ConfigError(f"n_windows is {n_windows}, expected at least 1")
    if step_size is not None and step_size < 1:
        raise ConfigError(f"step_size is {step_size}, expected at least 1")
    raw = data if isinstance(data, RawTable) else read(data, task.table)
    step = step_size or task.horizon
    reach = [task.horizon + back * step for back in reversed(range(n_windows))]
    first = fit(replace(task, test_size=reach[0], step_size=step), raw, network, training).setup
    windows = first.windows()
    answers = model_forecasts(first, windows)
    if refit:
        point, quantiles = answers.point.copy(), None if answers.quantiles is None else answers.quantiles.copy()
        start = first.split.test[:, 0]
        fold = (windows.origin - start[windows.series]) // step
        for index, rows in enumerate(reach[1:], start=1):
            if progress is not None:
                progress("training at each origin", index / n_windows)
            here = np.flatnonzero(fold == index)
            if not len(here):
                continue
            later = fit(replace(task, test_size=rows, step_size=step), raw, network, training).setup
            answer = model_forecasts(later, windows.select(here))
            point[here] = answer.point
            if quantiles is not None:
                quantiles[here] = answer.quantiles
        answers = replace(answers, point=point, quantiles=quantiles)
    return judge(first, windows, [answers], seconds=seconds, progress=progress)
