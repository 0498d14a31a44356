"""The forecasting task: what is forecast, how far, from what, and how it is judged."""

import math
from dataclasses import dataclass, fields
from typing import Literal

from latchwork.errors import ConfigError
from latchwork.modalities import TableOptions

LEVELS = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)


@dataclass(frozen=True, kw_only=True)
class Forecast(TableOptions):
    """Forecast the next rows of one or many series, with the options of the table besides.

    Args:
        horizon: Rows ahead.
        memory: "window": each forecast looks at the last ``lookback`` rows, and a live push recomputes them.
            "carried": the recurrence runs on for ever, and a push costs one step.
        strategy: "direct": all steps at once. "recursive": segment by segment, each fed the median before it
            (with memory="carried" row by row); the same as direct where one segment holds the horizon.
        lookback: Rows a forecast looks at (memory="window"). None: from the season and the history there is.
        segment: Rows read in one recurrent step (memory="window"). None: from the season.
        loss: "pinball": quantiles, the median being the point forecast. "mae", "mse": a point alone.
        levels: Probabilities of the quantiles; 0.5 must be among them.
        intervals: "conformal": quantiles widened or narrowed until they cover as often as they say on the validation
            rows. "model": as the network gives them.
        transform: "log": windows are read as logarithms, where growth and season multiply (positive data,
            memory="window"). "auto": if that is better on validation rows. "none": never.
        refit: Train once more, on validation rows too, for the steps that validation chose (memory="window"). The
            intervals keep the widths found on rows that training had not seen.
        highway: Add a linear autoregressive path to the network's output (LSTNet, Lai et al. 2018), started from ridge.
        members: Networks in each view trained side by side on different windows, their quantiles averaged.
        scale: How memory="carried" puts rows on a common scale: "running" averages kept in the state, or "fixed" on
            the training rows.
        test_size: Rows of each series held back for the final score; a number below 1 is a share. None: from length
            and horizon.
        validation_size: Rows before those, for early stopping and intervals. None: from length and horizon. 0: none.
        gap: Rows left out between training, validation and test.
        step_size: Rows between two forecast origins in the test part. None: the horizon.
    """

    horizon: int
    memory: Literal["window", "carried"] = "window"
    strategy: Literal["direct", "recursive"] = "direct"
    lookback: int | None = None
    segment: int | None = None
    loss: Literal["pinball", "mae", "mse"] = "pinball"
    levels: tuple[float, ...] = LEVELS
    intervals: Literal["conformal", "model"] = "conformal"
    transform: Literal["auto", "none", "log"] = "auto"
    refit: bool = True
    highway: bool = True
    members: int = 1
    scale: Literal["running", "fixed"] = "running"
    test_size: float | None = None
    validation_size: float | None = None
    gap: int = 0
    step_size: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least in (("horizon", 1), ("members", 1), ("gap", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected at least {least}")
        for name in ("lookback", "segment", "step_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} is {value}, expected at least 1")
        for name in ("test_size", "validation_size"):
            value = getattr(self, name)
            if value is not None and not (0 <= value < math.inf and (value < 1 or value == int(value))):
                raise ConfigError(f"{name} is {value}, expected a number of rows, or a share below 1")
        choices = {
            "memory": ("window", "carried"),
            "strategy": ("direct", "recursive"),
            "loss": ("pinball", "mae", "mse"),
            "intervals": ("conformal", "model"),
            "scale": ("running", "fixed"),
            "transform": ("auto", "none", "log"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ConfigError(f'{name} is "{getattr(self, name)}", expected one of {", ".join(allowed)}')
        if self.memory == "carried" and (self.lookback is not None or self.segment is not None):
            raise ConfigError("lookback and segment are those of memory=window; leave them out with memory=carried")
        if self.memory == "window" and self.scale == "fixed":
            raise ConfigError("scale=fixed is for memory=carried; a window is always on its own scale")
        if self.transform == "log" and (self.memory == "carried" or not self.highway):
            raise ConfigError('transform=log works with memory=window and highway=true; use transform=auto or "none"')
        levels = self.levels
        if 0.5 not in levels or list(levels) != sorted(set(levels)) or not 0 < levels[0] <= levels[-1] < 1:
            raise ConfigError(f"levels is {levels}, expected increasing numbers between 0 and 1 with 0.5 among them")

    @property
    def table(self) -> TableOptions:
        """The part that says how to read the table."""
        return TableOptions(**{one.name: getattr(self, one.name) for one in fields(TableOptions)})

    @property
    def outputs(self) -> tuple[float, ...]:
        """The levels the network answers: the quantiles, or the point alone (as 0.5)."""
        return self.levels if self.loss == "pinball" else (0.5,)
