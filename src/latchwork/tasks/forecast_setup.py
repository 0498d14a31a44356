"""From a raw table to a pipeline and a training job: the split, the encoding, the plan, the windows."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from latchwork.cells import GRUD, cell_class
from latchwork.errors import ConfigError, DataError
from latchwork.layers import Network
from latchwork.metrics import Conformal, seasonal_naive_error
from latchwork.modalities import RawTable, Table
from latchwork.sequences import ChunkSampler, EpochSampler, Series, TimeSplit, Windows, split_by_time
from latchwork.tasks.forecast import Forecast
from latchwork.tasks.forecast_carried import CarriedForecaster
from latchwork.tasks.forecast_data import ForecastData
from latchwork.tasks.forecast_job import CarriedJob, Pieces, WindowJob, series_units, thin
from latchwork.tasks.forecast_plan import ENOUGH, Plan
from latchwork.tasks.forecast_window import WindowForecaster
from latchwork.tasks.pipeline import Pipeline

CALIBRATION_WINDOWS = 4096


@dataclass
class ForecastSetup:
    """A forecasting task bound to data: what training, scoring and reports work from."""

    pipeline: Pipeline
    series: list[Series]
    split: TimeSplit
    data: ForecastData
    train: Tensor
    validation: Tensor
    ridges: list[tuple[int, float]] = field(default_factory=list)
    """The ridge regressions that the linear path starts from, as validation chose them: (rows back, penalty)."""

    @classmethod
    def of(cls, task: Forecast, raw: RawTable, network: Network, *, seed: int) -> "ForecastSetup":
        """Split by time, fit the modality on the training rows alone, choose the plan, build a fresh network."""
        series = Table.fit(raw).series(raw)
        split = split_by_time(
            series,
            horizon=task.horizon,
            test_size=task.test_size,
            validation_size=task.validation_size,
            gap=task.gap,
            dated=raw.dates,
        )
        table = Table.fit(raw, until={one.id: int(rows) for one, rows in zip(series, split.train, strict=True)})
        series = table.series(raw)
        sizes = ForecastData(series[:1], before=0, after=0).sizes
        plan = Plan.of(task, network, sizes, season=table.season, rows=split.known)
        cell = network.cell or "gru"
        if issubclass(cell_class(cell), GRUD):
            raise ConfigError(
                "cell gru_d reads a mask and times, and a forecast's rows come at even times; give cell=gru"
            )
        network = replace(network, cell=cell)
        torch.manual_seed(seed)
        pipeline = Pipeline(table, task, network, plan, plan.build(task, network))
        setup = cls._over(pipeline, series, split)
        if not len(setup.train):
            raise DataError(
                f"no training window has a value of {', '.join(table.targets)} to learn from within the first "
                f"{int(split.train.max())} rows; give more rows, a shorter horizon or a smaller test_size"
            )
        setup.pipeline.scales = setup._fixed_scales()
        return setup

    @classmethod
    def _over(cls, pipeline: Pipeline, series: list[Series], split: TimeSplit) -> "ForecastSetup":
        data, horizon = pipeline.data(series), pipeline.task.horizon
        least = least_history(split.train, pipeline.plan.lookback, horizon)
        train = data.origins(least, split.train, pipeline.forecaster.reach)
        validation = data.origins(split.validation[:, 0], split.validation[:, 1], horizon)
        return cls(pipeline, series, split, data, train, validation)

    @classmethod
    def over(cls, pipeline: Pipeline, raw: RawTable) -> "ForecastSetup":
        """A trained pipeline over other data, for scoring: the last rows are the test, baselines learn from those
        before.
        """
        task = pipeline.task
        series = pipeline.encode(raw)
        split = split_by_time(
            series, horizon=task.horizon, test_size=task.test_size, validation_size=0, gap=task.gap, dated=raw.dates
        )
        return cls._over(pipeline, series, split)

    def extended(self, seed: int) -> "ForecastSetup":
        """The same with the validation rows to learn from as well, and a fresh network that knows what validation
        chose.
        """
        pipeline, split = self.pipeline, self.split
        torch.manual_seed(seed)
        fresh = pipeline.plan.build(pipeline.task, pipeline.network)
        for name, chosen in pipeline.forecaster.named_buffers(recurse=False):
            fresh.get_buffer(name).copy_(chosen)
        train = split.known
        blank = np.stack([train, train], axis=1)
        longer = TimeSplit(train=train, validation=blank, test=split.test, by_date=split.by_date)
        again = self._over(replace(pipeline, forecaster=fresh), self.series, longer)
        again.ridges = self.ridges
        return again

    @property
    def name(self) -> str:
        """What the leaderboard calls the model."""
        return str(self.pipeline.network.to_dict()["cell"])

    def defaults(self) -> dict[str, Any]:
        """What training does where its options are silent, by the number of windows and the memory."""
        windows = len(self.train)
        if self.pipeline.task.memory == "carried":
            return {
                "batch_size": 32,
                "learning_rate": 2e-3,
                "steps": 1000,
                "patience": 8,
                "truncate": 128,
                "average": 0.99,
            }
        batch = 256 if windows >= ENOUGH else 64
        steps = int(np.clip(3.5 * windows / batch, 200, 2000))
        return {
            "batch_size": batch,
            "learning_rate": 4e-3,
            "steps": steps,
            "patience": 8,
            "truncate": 0,
            "average": 0.998,
        }

    @property
    def units(self) -> Tensor:
        """[series, targets] the unit of each series: its mean absolute seasonal difference over the training rows."""
        return series_units(self.data, self.split.train, self.pipeline.plan.season)

    def job(self, *, batch_size: int, truncate: int, seed: int) -> WindowJob | CarriedJob:
        """The training job: what the loop asks for batches, losses and validation figures."""
        pipeline, task = self.pipeline, self.pipeline.task
        forecaster = pipeline.forecaster
        shared: dict[str, Any] = {
            "units": self.units,
            "levels": task.outputs,
            "loss": task.loss,
            "validation": self.validation,
            "scales": pipeline.scale([one.id for one in self.series]),
        }
        if isinstance(forecaster, WindowForecaster):
            sampler = EpochSampler(len(self.train), batch_size * len(forecaster.members), seed)
            job = WindowJob(forecaster, self.data, train=self.train, rows=self.split.train, sampler=sampler, **shared)
            self.ridges = job.start(self.ridges, self._floor(), always=task.transform == "log")
            return job
        assert isinstance(forecaster, CarriedForecaster)
        season = pipeline.plan.season
        pieces = Pieces.of(self.split.train, batch_size, max(truncate, 4 * season, 4 * task.horizon))
        chunks = ChunkSampler(pieces.rows, batch_size, truncate, seed)
        return CarriedJob(forecaster, self.data, pieces=pieces, stops=self.split.train, sampler=chunks, **shared)

    def _floor(self) -> float | None:
        """Where the training rows are positive throughout and the task asks for nothing else: a tenth of the least
        value.
        """
        if self.pipeline.task.transform == "none":
            return None
        least = min(
            (float(np.nanmin(one.target[:rows])) for one, rows in zip(self.series, self.split.train, strict=True)
             if rows and not np.isnan(one.target[:rows]).all()),
            default=0.0,
        )  # fmt: skip
        if least > 0:
            return 0.1 * least
        if self.pipeline.task.transform == "log":
            raise DataError(
                f"transform=log needs positive values, the training rows go down to {least:g}; use transform=auto"
            )
        return None

    def calibrate(self) -> None:
        """Interval offsets from the validation windows, where there are any and the task wants them."""
        task, pipeline = self.pipeline.task, self.pipeline
        pipeline.conformal = None
        if task.intervals != "conformal" or not len(self.validation):
            return
        pairs = thin(self.validation, CALIBRATION_WINDOWS)
        quantiles, scale = pipeline.forecast_at(self.series, pairs)
        truth = self.data.truth(pairs, task.horizon).transpose(1, 2).flatten(0, 1).numpy()
        if np.isnan(truth).all():
            return
        flat = quantiles.transpose(1, 2).flatten(0, 1).numpy()
        if task.loss != "pinball":
            flat = flat[..., 0]
        pipeline.conformal = Conformal.fit(truth, flat, task.levels, scale.flatten().numpy())

    def windows(self, part: str = "test", step: int | None = None) -> Windows:
        """The forecasts asked for in a part: every ``step`` rows (the horizon, unless the task says otherwise)."""
        task = self.pipeline.task
        bounds = {"test": self.split.test, "validation": self.split.validation}[part]
        step = step or task.step_size or task.horizon
        return self.windows_at(self.data.origins(bounds[:, 0], bounds[:, 1], task.horizon, step))

    def windows_at(self, pairs: Tensor) -> Windows:
        """The forecasts asked for at (series, origin) pairs, one row for each target."""
        truth = self.data.truth(pairs, self.pipeline.task.horizon)
        targets = truth.shape[2]
        series, origin = (column.repeat_interleave(targets).numpy() for column in pairs.T)
        return Windows(
            series=series,
            target=np.tile(np.arange(targets), len(pairs)),
            origin=origin,
            actual=truth.transpose(1, 2).flatten(0, 1).numpy(),
            scale=self._naive_errors()[pairs[:, 0].numpy()].ravel(),
        )

    def _naive_errors(self) -> np.ndarray:
        """[series, targets] what MASE divides by; NaN where the training rows don't tell."""
        season, rows = self.pipeline.plan.season, self.split.train.tolist()
        errors = [
            [seasonal_naive_error(column, season) for column in one.target[:count].T]
            for one, count in zip(self.series, rows, strict=True)
        ]
        return np.array(errors, dtype=np.float64)

    def _fixed_scales(self) -> dict[str, list[list[float]]]:
        forecaster = self.pipeline.forecaster
        if not isinstance(forecaster, CarriedForecaster) or not forecaster.fixed:
            return {}
        scales: dict[str, list[list[float]]] = {}
        units = self.units
        for index, (one, rows) in enumerate(zip(self.series, self.split.train, strict=True)):
            values = torch.from_numpy(one.target[:rows])
            level = values.nanmean(0).nan_to_num()
            spread = (values - level).abs().nanmean(0).nan_to_num()
            scales[one.id] = [level.tolist(), spread.tolist(), units[index].tolist()]
        scales[""] = np.mean(list(scales.values()), axis=0).tolist()
        return scales


def least_history(train: np.ndarray, lookback: int, horizon: int) -> np.ndarray:
    """[series] the first origin to learn from: after a whole window where that leaves enough windows, after half of
    one else.

    What lies before the first row is missing then, as it is for a short series in use.
    """
    rows = train[train > 0]
    short = int(np.quantile(rows, 0.05)) if len(rows) else 0
    whole = np.maximum(rows - horizon - lookback, 0).sum() >= ENOUGH and short - horizon - lookback >= lookback // 2
    least = lookback if whole else min(lookback // 2, max(1, short // 2))
    return np.minimum(np.full_like(train, least), np.maximum(train - horizon, 1))
