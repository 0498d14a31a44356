"""What the data decides where the options are silent: how far back to look, how long a segment, how large a network."""

from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self

import numpy as np
from pydantic import TypeAdapter, ValidationError

from latchwork.errors import ConfigError, ModelFileError
from latchwork.layers import Network
from latchwork.tasks.forecast import Forecast
from latchwork.tasks.forecast_carried import CarriedForecaster
from latchwork.tasks.forecast_data import Sizes
from latchwork.tasks.forecast_offline import Forecaster
from latchwork.tasks.forecast_window import WindowForecaster

MOST_ROWS_BACK = 1024
ENOUGH = 5000
"""Training windows from which on the network is wider, the batches larger, and the best ridge is taken alone."""


@dataclass(frozen=True)
class Plan:
    """Every number that building the forecaster takes. Written into the model's config."""

    targets: int
    past: int
    future: int
    static: int
    season: int
    lookback: int
    segment: int
    hidden_size: int

    @classmethod
    def of(cls, task: Forecast, network: Network, sizes: Sizes, *, season: int, rows: np.ndarray) -> Self:
        """Choose from the season, the horizon and ``rows`` [series], those there are before the test part."""
        some = rows[rows > 0]
        short = int(np.quantile(some, 0.05)) if len(some) else 0
        if season > short // 3:
            if task.season is not None:
                raise ConfigError(
                    f"season is {season}, but a series has {short} rows to learn from, and three seasons are wanted "
                    f"({3 * season} rows); give more rows, or season=1"
                )
            season = 1
        segment, lookback = task.segment or segment_of(season), task.lookback or lookback_of(season, short)
        if task.lookback is not None and task.segment is None:
            segment = max(size for size in range(1, min(segment, lookback) + 1) if lookback % size == 0)
        elif task.lookback is None:
            lookback = max(segment, -(-lookback // segment) * segment)
            lookback += segment if lookback <= season else 0
        windows = int(np.maximum(rows - task.horizon - lookback, 0).sum())
        return cls(
            *sizes,
            season=season,
            lookback=lookback,
            segment=segment,
            hidden_size=network.hidden_size or (128 if windows >= ENOUGH else 64),
        )

    @classmethod
    def from_mapping(cls, values: dict[str, Any]) -> Self:
        """Checked, for a model file."""
        try:
            return TypeAdapter(cls).validate_python(values)
        except ValidationError as error:
            first = error.errors()[0]
            raise ModelFileError(f"the plan in config.json is damaged: {first['loc']}: {first['msg']}") from None

    def __post_init__(self) -> None:
        for one in fields(self):
            least = 0 if one.name in ("past", "future", "static") else 1
            if getattr(self, one.name) < least:
                raise ConfigError(f"{one.name} is {getattr(self, one.name)}, expected at least {least}")

    def to_mapping(self) -> dict[str, Any]:
        """Plain numbers."""
        return asdict(self)

    def network(self, options: Network) -> Network:
        """The network's options, complete."""
        return replace(options, hidden_size=self.hidden_size)

    def build(self, task: Forecast, network: Network) -> Forecaster:
        """A fresh forecaster; torch's generator decides its weights."""
        sizes = Sizes(self.targets, self.past, self.future, self.static)
        shared: dict[str, Any] = {
            "horizon": task.horizon,
            "season": self.season,
            "levels": task.outputs,
            "network": self.network(network),
            "members": task.members,
            "highway": task.highway,
            "recursive": task.strategy == "recursive",
        }
        if task.memory == "carried":
            return CarriedForecaster(sizes, fixed=task.scale == "fixed", **shared)
        if self.lookback < 2:
            raise ConfigError(f"lookback is {self.lookback}, expected at least 2 rows")
        return WindowForecaster(sizes, lookback=self.lookback, segment=self.segment, **shared)


def segment_of(season: int) -> int:
    """A season in one step where it is short; else its largest divisor up to 48 rows. Without a season: 8 rows."""
    if season <= 1:
        return 8
    return season if season <= 64 else max(size for size in range(1, 49) if season % size == 0)


def lookback_of(season: int, rows: int) -> int:
    """Whole seasons: up to 30 of them and 1024 rows, as far as half the history of the short series goes, and two at
    least where that is no more than half."""
    if season <= 1:
        return max(8, min(96, rows // 2))
    seasons = min(30, rows // 2 // season, MOST_ROWS_BACK // season)
    return season * max(seasons, min(2, rows // season // 2), 1)
