"""Series laid out for training and scoring: windows and chunks are gathered from flat tensors, never copied
beforehand.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from latchwork.sequences import Series


class Sizes(NamedTuple):
    """How many columns of each role there are, after encoding."""

    targets: int
    past: int
    future: int
    static: int


class Window(NamedTuple):
    """What a forecast sees.

    target  [batch, lookback, targets]          float64, in the units of the file, NaN where missing
    past    [batch, lookback, past]             covariates known up to now
    future  [batch, lookback + horizon, future] covariates known ahead
    static  [batch, static]
    """

    target: Tensor
    past: Tensor
    future: Tensor
    static: Tensor


class Rows(NamedTuple):
    """Some rows of a series, as a stream receives them; batch and time first, as in :class:`Window`."""

    target: Tensor
    past: Tensor
    future: Tensor


class Answer(NamedTuple):
    """A forecast in the units of the file, and the unit its network worked in (what intervals scale with).

    quantiles [batch, horizon, targets, levels], in order along the levels; scale [batch, targets]
    """

    quantiles: Tensor
    scale: Tensor


class ForecastData:
    """All series in flat tensors, each with room before it (missing rows) and after it, so that every window can be
    gathered.

    ``before`` rows of padding stand in front of each series and ``after`` behind it. Padding is missing (NaN) in the
    target and 0 in the covariates, exactly as a stream's state starts.
    """

    def __init__(self, series: Sequence[Series], *, before: int, after: int) -> None:
        self.before, self.after = before, after
        self.lengths = np.array([len(one) for one in series], dtype=np.int64)
        self.observed = np.array([one.observed for one in series], dtype=np.int64)
        sizes = self.lengths + before + after
        self.offsets = np.concatenate([[0], np.cumsum(sizes)[:-1]]) + before
        total = int(sizes.sum())
        first = series[0]
        self.sizes = Sizes(first.target.shape[1], first.past.shape[1], first.future.shape[1], len(first.static))
        self.target = torch.full((total, self.sizes.targets), torch.nan, dtype=torch.float64)
        self.past = torch.zeros(total, self.sizes.past)
        self.future = torch.zeros(total, self.sizes.future)
        self.static = torch.tensor(np.stack([one.static for one in series]), dtype=torch.float32)
        for offset, one in zip(self.offsets, series, strict=True):
            rows = slice(offset, offset + len(one))
            self.target[rows] = torch.from_numpy(one.target)
            self.past[rows] = torch.from_numpy(one.past).float()
            self.future[rows] = torch.from_numpy(one.future).float()

    def windows(
        self, series: NDArray[np.int64], origins: NDArray[np.int64], lookback: int, horizon: int
    ) -> tuple[Window, Tensor]:
        """The windows that end at ``origins``, and what came after them: [batch, horizon, targets], NaN where
        missing.
        """
        start = torch.from_numpy(self.offsets[series] + origins).unsqueeze(1)
        history = start + torch.arange(-lookback, 0)
        ahead = start + torch.arange(horizon)
        window = Window(
            self.target[history],
            self.past[history],
            self.future[torch.cat([history, ahead], dim=1)],
            self.static[torch.from_numpy(series)],
        )
        return window, self.target[ahead]

    def truth(self, pairs: Tensor, horizon: int) -> Tensor:
        """What came after each (series, origin) of ``pairs [n, 2]``: [n, horizon, targets]."""
        series, origins = pairs.numpy().T
        return self.target[torch.from_numpy(self.offsets[series] + origins).unsqueeze(1) + torch.arange(horizon)]

    def ahead(self, pairs: Tensor, horizon: int) -> Tensor:
        """What is known ahead at each (series, origin) of ``pairs [n, 2]``: [n, horizon, future]."""
        series, origins = pairs.numpy().T
        return self.future[torch.from_numpy(self.offsets[series] + origins).unsqueeze(1) + torch.arange(horizon)]

    def rows(self, series: NDArray[np.int64], starts: NDArray[np.int64], count: int) -> Rows:
        """``count`` rows of each series from ``starts`` on; what comes past a series' own padding means nothing."""
        index = torch.from_numpy(self.offsets[series] + starts).unsqueeze(1) + torch.arange(count)
        index = index.clamp(max=len(self.target) - 1)
        return Rows(self.target[index], self.past[index], self.future[index])

    def origins(self, start: NDArray[np.int64], stop: NDArray[np.int64], horizon: int, step: int = 1) -> Tensor:
        """All (series, origin) whose whole horizon lies in rows [start, stop): [n, 2]; nothing reaches across ``stop``.

        Origins without a single observed value ahead are left out: there is nothing to learn from or to score.
        """
        seen = torch.cat([torch.zeros(1), (~self.target.isnan()).any(1).double().cumsum(0)])
        pairs = []
        for index, (first, end) in enumerate(zip(start, stop, strict=True)):
            origin = torch.arange(int(first), max(int(first), int(end) - horizon + 1), step)
            place = origin + int(self.offsets[index])
            origin = origin[seen[place + horizon] > seen[place]]
            pairs.append(torch.stack([torch.full_like(origin, index), origin], dim=1))
        return torch.cat(pairs) if pairs else torch.zeros(0, 2, dtype=torch.long)
