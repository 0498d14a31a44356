"""A pipeline: modality, network and task bound together, fitted. Everything above works on one of these."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from latchwork import storage
from latchwork.errors import DataError
from latchwork.layers import Network
from latchwork.metrics import Conformal
from latchwork.modalities import RawTable, Table
from latchwork.sequences import Series, concatenate, select
from latchwork.tasks.forecast import Forecast
from latchwork.tasks.forecast_carried import CarriedForecaster, CarriedState, Scale
from latchwork.tasks.forecast_data import Answer, ForecastData, Rows
from latchwork.tasks.forecast_offline import Forecaster, device_of, offline
from latchwork.tasks.forecast_plan import Plan
from latchwork.tasks.forecast_window import WindowForecaster, WindowState

State = WindowState | CarriedState


@dataclass
class Pipeline:
    """A fitted forecaster with all it needs from raw rows to numbers in the file's units.

    The stream contract: ``state = initial_state(…)``; ``answers, state = step(rows, state, ahead)`` for any number
    of rows; ``flush(state)``. State is a value: nothing is kept here between calls.
    """

    modality: Table
    task: Forecast
    network: Network
    plan: Plan
    forecaster: Forecaster
    conformal: Conformal | None = None
    scales: dict[str, list[list[float]]] = field(default_factory=dict)
    """With scale="fixed": (level, spread, change) of each known series over its training rows, [3][targets]; "" for
    the others.
    """

    def fingerprint(self) -> str:
        """A hash of the weights: a state belongs to one model."""
        return storage.sha256(storage.pack_tensors(self.forecaster.state_dict()))

    @property
    def levels(self) -> tuple[float, ...]:
        """The probabilities its quantiles stand for; 0.5 is the point forecast."""
        return self.task.outputs if self.conformal is None else self.conformal.levels

    def encode(self, raw: RawTable) -> list[Series]:
        """The table as series, covariates encoded as they were for training."""
        return self.modality.series(raw)

    def data(self, series: Sequence[Series]) -> ForecastData:
        """The series laid out so that any forecast of this pipeline can be gathered."""
        return ForecastData(series, before=self.plan.lookback, after=self.task.horizon + 1)

    def scale(self, ids: Sequence[str]) -> Scale | None:
        """The fixed scales of these series, None where the scale runs."""
        if not isinstance(self.forecaster, CarriedForecaster) or not self.forecaster.fixed:
            return None
        known = torch.tensor([self.scales.get(one, self.scales[""]) for one in ids], dtype=torch.float64)
        level, spread, change = known.unbind(1)
        ones = torch.ones_like(level)
        season = torch.zeros(len(ids), self.plan.season, self.plan.targets, dtype=torch.float64)
        return Scale(ones, ones, level, level, spread, change, season, season)

    # ---- offline -------------------------------------------------------------------------------------------------

    def forecast_at(self, series: Sequence[Series], pairs: Tensor) -> Answer:
        """Forecasts at (series index, origin) pairs, intervals adjusted."""
        data = self.data(series)
        return self.adjust(offline(self.forecaster, data, pairs, self.scale([one.id for one in series])))

    def adjust(self, answer: Answer) -> Answer:
        """Move the quantiles to the coverage they had on validation rows; the median stays."""
        if self.conformal is None:
            return answer
        quantiles, scale = answer
        flat = quantiles.transpose(1, 2).flatten(0, 1).numpy()
        flat = flat if flat.shape[-1] > 1 else flat[..., 0]
        moved = torch.from_numpy(self.conformal.apply(flat, scale.flatten().numpy()))
        return Answer(moved.view(*scale.shape, *moved.shape[1:]).transpose(1, 2), scale)

    # ---- stream --------------------------------------------------------------------------------------------------

    def initial_state(self, ids: Sequence[str], static: Tensor | None = None) -> State:
        """Nothing seen yet, for one row of the batch each."""
        device = device_of(self.forecaster)
        static = torch.zeros(len(ids), self.plan.static) if static is None else static
        if isinstance(self.forecaster, WindowForecaster):
            return self.forecaster.initial_state(static.to(device))
        scale = self.scale(ids)
        scale = None if scale is None else Scale(*(leaf.to(device) for leaf in scale))
        with torch.no_grad():
            return self.forecaster.initial_state(static.to(device), scale)

    @torch.no_grad()
    def observe(self, rows: Rows, state: State) -> State:
        """The state after some more rows, without asking for a forecast."""
        rows = Rows(*(part.to(device_of(self.forecaster)) for part in rows))
        return self._evaluating().observe(rows, state)  # type: ignore[arg-type]

    @torch.no_grad()
    def forecast(self, state: State, ahead: Tensor) -> Answer:
        """The forecast from here, given what is known ahead [batch, horizon, future]; intervals adjusted."""
        answer = self._evaluating().forecast(state, ahead.to(device_of(self.forecaster)))
        quantiles, scale = (part.cpu() for part in answer)
        if not torch.isfinite(quantiles).all() or not torch.isfinite(scale).all():
            raise DataError("the forecast lies beyond all numbers; is a value of the last rows wrong?")
        return self.adjust(Answer(quantiles, scale))

    def step(self, rows: Rows, state: State, ahead: Tensor) -> tuple[Tensor, State]:
        """A forecast after each row: ahead [batch, time, horizon, future] -> [batch, time, horizon, targets,
        levels], state.
        """
        answers = []
        for t in range(rows.target.shape[1]):
            state = self.observe(Rows(*(part[:, t : t + 1] for part in rows)), state)
            answers.append(self.forecast(state, ahead[:, t]).quantiles)
        return torch.stack(answers, dim=1), state

    def flush(self, state: State) -> None:
        """Nothing: a forecaster holds no output back."""

    def _evaluating(self) -> Any:
        if self.forecaster.training:
            self.forecaster.eval()
        return self.forecaster

    def state_after(self, series: Sequence[Series]) -> State:
        """The state of each series after its last observed row: where a stream goes on."""
        data = self.data(series)
        rows = torch.from_numpy(data.observed)
        state = self.initial_state([one.id for one in series], data.static)
        if isinstance(state, WindowState):
            index = np.arange(len(series))
            window, _ = data.windows(index, rows.numpy(), self.plan.lookback, self.task.horizon)
            device = device_of(self.forecaster)
            target, past, future, static = (leaf.to(device) for leaf in window)
            return WindowState(target, past, future[:, : self.plan.lookback], static)
        return self._fold(data, rows, state)

    def _fold(self, data: ForecastData, observed: Tensor, state: State) -> State:
        parts = []
        for index, count in enumerate(observed.tolist()):
            one, row = select(state, [index]), 0
            while row < count:
                step = min(256, count - row)
                one = self.observe(data.rows(np.array([index]), np.array([row]), step), one)
                row += step
            parts.append(one)
        return concatenate(parts)
