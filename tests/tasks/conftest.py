"""Small forecasters with random weights, over series with gaps, covariates and two targets."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from latchwork.layers import Network
from latchwork.sequences import Series
from latchwork.tasks import Forecast, ForecastData
from latchwork.tasks.forecast_offline import Forecaster
from latchwork.tasks.forecast_plan import Plan


def make_series(rows: int, name: str, seed: int = 0, missing: float = 0.1) -> Series:
    random = np.random.default_rng([seed, rows])
    t = np.arange(rows)
    y = 10 + np.sin(2 * np.pi * t / 7)[:, None] * [1.0, 3.0] + 0.2 * random.normal(size=(rows, 2))
    y[random.random((rows, 2)) < missing] = np.nan
    y[-1] = 10.0
    covariates = random.normal(size=(rows, 3))
    return Series(name, t.astype(np.int64), y, covariates[:, :1], covariates[:, 1:], random.normal(size=1))


@pytest.fixture
def some_series() -> list[Series]:
    return [make_series(100, "a"), make_series(60, "b"), make_series(140, "c")]


@pytest.fixture
def forecaster(some_series: list[Series]) -> Callable[..., tuple[Forecaster, ForecastData]]:
    def build(cell: str = "gru", **options: object) -> tuple[Forecaster, ForecastData]:
        task = Forecast(horizon=5, target=("u", "v"), **options)  # type: ignore[arg-type]
        network = Network(cell=cell, hidden_size=8)
        sizes = ForecastData(some_series[:1], before=0, after=0).sizes
        plan = Plan.of(task, network, sizes, season=7, rows=np.array([80, 40, 120]))
        torch.manual_seed(0)
        module = plan.build(task, network)
        with torch.no_grad():
            for parameter in module.parameters():
                parameter += 0.1 * torch.randn_like(parameter)
        if "mix" in dict(module.named_buffers()):
            module.mix.fill_(0.75)
        return module.eval(), ForecastData(some_series, before=plan.lookback, after=6)

    return build
