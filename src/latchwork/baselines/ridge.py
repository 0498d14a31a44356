"""Ridge regression on lags: the linear rival that a recurrent model has to beat."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from latchwork.baselines.column import Answer, Array, Column, Rows
from latchwork.baselines.naive import naive, seasonal_naive
from latchwork.errors import DataError

Products = tuple[Array, Array]
"""Σ xᵀx [features, features] and Σ xᵀy [features, horizon]."""


@dataclass(frozen=True)
class Ridge:
    """One linear map for all series, from the last L values less the last one to the next H less the last one.

        y[t + 1 … t + H] - y[t] = W (y[t - L + 1 … t - 1] - y[t]) + w,   all divided by the series' scale

    in closed form, min Σ|error|² + λ|W|². L (season multiples) and λ (a multiple of the features' mean square) are
    those of lowest squared error on the last fifth of the training rows; then all training rows are fitted. What lies
    before a series' first value is taken to be equal to it.
    """

    name: str = "ridge"
    slow: bool = False
    seasons: tuple[int, ...] = (1, 2, 4, 7, 14, 30)
    lags: tuple[int, ...] = (8, 16, 32, 64, 128, 256)
    penalties: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0)
    most_lags: int = 1024
    most_windows: int = 60_000

    def fit(self, training: Sequence[Column], horizon: int, season: int) -> "FittedRidge":
        """Raises DataError when no series has more training rows than the horizon."""
        training = [column if column.trained else Column.nothing(column.scale) for column in training]
        lengths = [len(column.values) for column in training if len(column.values) > horizon]
        if not lengths:
            raise DataError(f"no series has more than {horizon} training rows (the horizon)")
        half = int(np.median(lengths)) // 2
        wanted = [season * count for count in self.seasons] if season > 1 else self.lags
        lags = [lag for lag in wanted if lag <= min(half, self.most_lags)] or [max(2, min(half, self.most_lags))]
        data = _TrainingWindows.of(training, max(lags), horizon, self.most_windows)
        early = data.products(data.early)
        penalty, look_back = 0.1, lags[0]
        if early is not None and data.late:
            losses = {
                (penalty, lag): data.loss(_solve(early, lag, penalty)) for lag in lags for penalty in self.penalties
            }
            penalty, look_back = min(losses, key=lambda choice: losses[choice])
            held_back = data.residuals(_solve(early, look_back, penalty))
        else:
            held_back = {}
        whole = data.products(data.every)
        if whole is None:
            raise DataError(f"no series has more than {horizon} training rows (the horizon)")
        return FittedRidge(training, horizon, season, _solve(whole, look_back, penalty), held_back, penalty)


@dataclass(frozen=True, eq=False)
class FittedRidge:
    """weights [L, horizon]: the lags from the oldest, without the last, then the constant."""

    training: Sequence[Column]
    horizon: int
    season: int
    weights: Array
    held_back: dict[int, Array]
    penalty: float

    def forecast(self, column: int, values: Array, ends: Rows, steps: int) -> Answer:
        """Steps before the last ``horizon`` (missing rows just before the origin) are filled with the last season."""
        lags = len(self.weights)
        gap = max(steps - self.horizon, 0)
        rows = ends[:, None] + np.arange(-lags, 0)
        history = values[np.maximum(rows, 0)]
        rule = seasonal_naive if self.season > 1 else naive
        fill = rule(values, ends, gap, self.season)
        history = np.concatenate([history, fill], axis=1)[:, gap:]
        last = history[:, -1:]
        scale = self.training[column].scale
        features = _features((history - last) / scale)
        forecast = features @ self.weights * scale + last
        return Answer(np.concatenate([fill, forecast], axis=1)[:, :steps])

    def residuals(self, column: int) -> Array | None:
        """Errors on the held-back fifth, of the model that had not seen it."""
        return self.held_back.get(column)

    @property
    def note(self) -> str:
        """The look-back and penalty chosen."""
        return f"look-back {len(self.weights)}, penalty {self.penalty:g}"


@dataclass(frozen=True, eq=False)
class _TrainingWindows:
    """Origins in each column: those whose targets end before the last fifth, those inside it, and all."""

    training: Sequence[Column]
    lags: int
    horizon: int
    early: dict[int, Rows]
    late: dict[int, Rows]
    every: dict[int, Rows]

    @classmethod
    def of(cls, training: Sequence[Column], lags: int, horizon: int, most: int) -> "_TrainingWindows":
        total = sum(max(len(column.values) - horizon, 0) for column in training)
        stride = max(1, total // most)
        early: dict[int, Rows] = {}
        late: dict[int, Rows] = {}
        every: dict[int, Rows] = {}
        for index, column in enumerate(training):
            rows = len(column.values)
            first = max(1, min(lags, rows // 2))
            origins = np.arange(first, rows - horizon + 1, stride)
            boundary = rows - max(horizon, rows // 5)
            parts = (origins[origins + horizon <= boundary], origins[origins >= boundary], origins)
            for place, part in zip((early, late, every), parts, strict=True):
                if len(part):
                    place[index] = part
        return cls(training, lags, horizon, early, late, every)

    def blocks(self, origins: dict[int, Rows]) -> Iterator[tuple[int, Rows, Array, Array]]:
        """(column, origins, features, targets less the last value), scaled, some thousands of windows at a time."""
        for index, rows in origins.items():
            column = self.training[index]
            padded = np.concatenate([np.full(self.lags, column.values[0]), column.values])
            view = np.lib.stride_tricks.sliding_window_view(padded, self.lags + self.horizon)
            for start in range(0, len(rows), 4096):
                part = rows[start : start + 4096]
                window = view[part]
                window = (window - window[:, self.lags - 1 : self.lags]) / column.scale
                yield index, part, _features(window[:, : self.lags]), window[:, self.lags :]

    def products(self, origins: dict[int, Rows]) -> Products | None:
        square = np.zeros((self.lags, self.lags))
        cross = np.zeros((self.lags, self.horizon))
        for _, _, features, targets in self.blocks(origins):
            square += features.T @ features
            cross += features.T @ targets
        return (square, cross) if origins else None

    def loss(self, weights: Array) -> float:
        """Mean squared scaled error on the held-back windows: what the fit minimises too."""
        total, count = 0.0, 0
        for _, _, features, targets in self.blocks(self._thinned()):
            total += float(np.square(features[:, -len(weights) :] @ weights - targets).sum())
            count += targets.size
        return total / count

    def residuals(self, weights: Array) -> dict[int, Array]:
        """Errors in the units of the data, NaN where the row was filled; one array for each column."""
        found: dict[int, list[Array]] = {}
        for index, rows, features, targets in self.blocks(self._thinned()):
            column = self.training[index]
            errors = (targets - features[:, -len(weights) :] @ weights) * column.scale
            seen = column.observed[rows[:, None] + np.arange(self.horizon)]
            found.setdefault(index, []).append(np.where(seen, errors, np.nan))
        return {index: np.concatenate(parts) for index, parts in found.items()}

    def _thinned(self, most: int = 6000) -> dict[int, Rows]:
        stride = max(1, sum(map(len, self.late.values())) // most)
        return {index: rows[::stride] for index, rows in self.late.items()}


def _features(history: Array) -> Array:
    """[n, L] values less the last one -> [n, L]: all but the last, which is 0, and a constant."""
    return np.concatenate([history[:, :-1], np.ones((len(history), 1))], axis=1)


def _solve(products: Products, look_back: int, penalty: float) -> Array:
    """Weights [look_back, horizon] for the last lags alone; the constant is not penalised."""
    square, cross = products[0][-look_back:, -look_back:], products[1][-look_back:]
    weight = np.full(look_back, penalty * np.trace(square[:-1, :-1]) / max(look_back - 1, 1))
    weight[-1] = 0.0
    # A constant series has no variance at all: the tiny term keeps the system solvable.
    return np.linalg.solve(square + np.diag(weight + 1e-9), cross).astype(np.float64, copy=False)
