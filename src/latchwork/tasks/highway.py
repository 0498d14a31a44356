"""A linear autoregressive path beside the recurrence, started from ridge regression."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from latchwork.tasks.normalize import Normalized

SEASONS_BACK = (1, 2, 4, 7, 14, 30)
PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)
BLENDED = 5
"""Fits that are averaged where there are few windows to learn from: the best of them is chosen with much noise."""

MEANS = 3
MEAN_WEIGHT = 3.0
"""The mean changes enter magnified, so that the penalty spares them: they carry the trend."""

Fits = dict[tuple[int, float], Tensor]


class Highway(nn.Module):
    """A linear path around the recurrence (LSTNet, Lai et al. 2018, arXiv:1703.07015), one map for all targets.

        ŷ = A [change of the older rows; level of the last season; mean changes of late] + a

    It starts as the mean of a few ridge regressions, so that training begins where the linear model ends.
    """

    rate_scale = 0.1
    """Share of the learning rate: it starts where it should be."""

    def __init__(self, lookback: int, season: int, horizon: int) -> None:
        super().__init__()
        self.lookback, self.season = lookback, season
        self.linear = nn.Linear(lookback + MEANS, horizon)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def features(self, z: Normalized) -> Tensor:
        """[batch, targets, lookback + 3]"""
        season, late = self.season, max(1, self.season // 6)
        means = [z.change[:, -season:].mean(1), z.change[:, -late:].mean(1), z.level[:, -season:].mean(1)]
        rows = torch.cat([z.change[:, season:], z.level[:, -season:]], dim=1).transpose(1, 2)
        return torch.cat([rows, MEAN_WEIGHT * torch.stack(means, dim=-1)], dim=-1)

    def forward(self, z: Normalized) -> Tensor:
        """-> [batch, horizon, targets]"""
        return self.linear(self.features(z)).transpose(1, 2)

    @torch.no_grad()
    def set(self, solution: Tensor) -> None:
        """Take over a map [features + 1, horizon], the last row being the constant."""
        self.linear.weight.copy_(solution[:-1].T)
        self.linear.bias.copy_(solution[-1])

    @torch.no_grad()
    def fit(self, features: Tensor, answers: Tensor, weights: Tensor) -> Fits:
        """Ridge in closed form for every look-back and penalty: (rows back, penalty) -> map [features + 1, horizon].

        features [n, lookback + 3], answers [n, horizon] without NaN, weights [n]. Squares first, then once
        re-weighted towards absolute errors.
        """
        reaches = [back * self.season for back in SEASONS_BACK if back * self.season <= self.lookback] or [
            self.lookback
        ]
        x = torch.cat([features.double(), torch.ones(len(features), 1, dtype=torch.float64)], dim=1)
        y, weights = answers.double(), weights.double()
        fits: Fits = {}
        for reach in reaches:
            used = x[:, -(reach + MEANS + 1) :]
            for penalty in PENALTIES:
                importance = weights.square()
                solution = _ridge(used, y, importance, penalty)
                importance = weights / (y - used @ solution).abs().mean(1).clamp(min=0.05)
                solution = _ridge(used, y, importance, penalty)
                fits[reach, penalty] = torch.cat([solution.new_zeros(x.shape[1] - used.shape[1], y.shape[1]), solution])
        return fits


def _ridge(x: Tensor, y: Tensor, importance: Tensor, penalty: float) -> Tensor:
    weighted = x * importance.unsqueeze(1)
    gram = x.T @ weighted
    gram = gram + penalty * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
    return torch.linalg.solve(gram, weighted.T @ y)


def blend(fits: Fits, keys: Sequence[tuple[int, float]]) -> Tensor:
    """The mean of several maps: still one linear map, and steadier than the best of them."""
    return torch.stack([fits[key] for key in keys]).mean(0)


def best(fits: Fits, error: Callable[[Tensor], float], count: int) -> list[tuple[int, float]]:
    """The ``count`` fits with the least ``error``."""
    return sorted(fits, key=lambda key: error(fits[key]))[:count]
