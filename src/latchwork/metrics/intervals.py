"""Conformal intervals: quantiles corrected on calibration windows until they cover what they promise."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latchwork.errors import ConfigError, DataError

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Conformal:
    """Offsets added to a model's quantiles, one for each step ahead and level, in units of the data or of the scale.

    Conformalized quantile regression (Romano, Patterson, Candès 2019). Levels that mirror each other (0.1 and 0.9) are
    one interval of nominal share 1 - α = upper - lower. On n calibration windows its score is E = max(q_lower - y,
    y - q_upper), and the interval becomes [q_lower - Q, q_upper + Q] with Q the ⌈(n+1)(1-α)⌉-th smallest score. A level
    with no mirror is corrected alone in the same way; the median stays. A point forecast stands for all its quantiles:
    then E = |y - point| and this is split-conformal prediction (Vovk et al. 2005).

    What it promises: over exchangeable windows, a share of at least 1 - α, at each step on its own. Windows of one
    series in time are only nearly exchangeable, so the promise is checked on later data and not taken for granted.

    levels   increasing, inside (0, 1)
    offsets  [horizon, levels]
    scaled   the scores were divided by each window's scale, so `apply` multiplies by it
    note     '' or how the calibration windows were too few, and what was done
    """

    levels: tuple[float, ...]
    offsets: Array
    scaled: bool = False
    note: str = ""

    @classmethod
    def fit(cls, actual: Array, quantiles: Array, levels: Sequence[float], scale: Array | None = None) -> "Conformal":
        """Offsets from calibration windows that the model was not trained on.

        actual     [n, horizon], NaN where missing
        quantiles  [n, horizon, levels], or a point forecast [n, horizon]
        scale      [n] or None: positive; windows of different size then share their scores

        Where a step has too few windows for its level (n < ⌈(n+1)(1-α)⌉) the scores of all steps are pooled, and where
        those are too few the largest is used; `note` says so.
        """
        levels = _checked_levels(levels)
        quantiles = _spread(quantiles, levels)
        if actual.ndim != 2 or quantiles.shape != (*actual.shape, len(levels)):
            raise DataError(f"quantiles have shape {quantiles.shape}, expected {(*actual.shape, len(levels))}")
        if np.isnan(actual).all():
            raise DataError("no calibration window has an actual value; keep some rows back to calibrate on")
        unit = np.ones(len(actual)) if scale is None else np.where(scale > 0, scale, np.nan)
        offsets = np.zeros(quantiles.shape[1:])
        notes: list[str] = []
        for low, high, share in _intervals(levels):
            below = -np.inf if low is None else quantiles[..., low] - actual
            above = -np.inf if high is None else actual - quantiles[..., high]
            scores = np.maximum(below, above) / unit[:, None]
            offset, note = _offsets(scores, share)
            for index, sign in ((low, -1.0), (high, 1.0)):
                if index is not None:
                    offsets[:, index] = sign * offset
            notes += [note] if note else []
        return cls(levels, offsets, scale is not None, "; ".join(notes))

    def apply(self, quantiles: Array, scale: Array | None = None) -> Array:
        """Corrected quantiles [n, horizon, levels], in increasing order along the levels.

        quantiles as in :meth:`fit`; scale [n] is needed when the offsets are scaled.
        """
        if self.scaled == (scale is None):
            had = "was" if self.scaled else "was not"
            raise ConfigError(f"the calibration {had} scaled; give apply() the same: a scale for each window, or none")
        quantiles = _spread(quantiles, self.levels)
        if quantiles.shape[1:] != self.offsets.shape:
            raise DataError(f"quantiles have shape {quantiles.shape}, expected (n, *{self.offsets.shape})")
        unit = np.ones(len(quantiles)) if scale is None else scale
        return np.sort(quantiles + unit[:, None, None] * self.offsets, axis=-1)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return {
            "levels": list(self.levels),
            "offsets": self.offsets.tolist(),
            "scaled": self.scaled,
            "note": self.note,
        }

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> "Conformal":
        """The inverse of :meth:`to_dict`."""
        levels = _checked_levels(saved["levels"])
        offsets = np.asarray(saved["offsets"], dtype=np.float64)
        if offsets.ndim != 2 or offsets.shape[1] != len(levels) or not np.isfinite(offsets).all():
            raise DataError(f"conformal offsets have shape {offsets.shape}, expected finite [horizon, {len(levels)}]")
        return cls(levels, offsets, bool(saved["scaled"]), str(saved["note"]))


def mirrored(levels: Sequence[float]) -> list[tuple[int, int]]:
    """Pairs of indices of levels that mirror each other round 0.5, widest first.

    >>> mirrored((0.05, 0.1, 0.5, 0.9))
    [(1, 3)]
    """
    return [
        (low, high)
        for low, level in enumerate(levels)
        for high, other in enumerate(levels)
        if low < high and abs(level + other - 1) < 1e-9
    ]


def _intervals(levels: Sequence[float]) -> list[tuple[int | None, int | None, float]]:
    """(lower index, upper index, share that must lie inside); one side is None where a level has no mirror."""
    pairs = mirrored(levels)
    both = {index for pair in pairs for index in pair}
    alone = [(i, level) for i, level in enumerate(levels) if i not in both and abs(level - 0.5) > 1e-9]
    found: list[tuple[int | None, int | None, float]] = [(i, j, levels[j] - levels[i]) for i, j in pairs]
    return found + [(i, None, 1 - level) if level < 0.5 else (None, i, level) for i, level in alone]


def _offsets(scores: Array, share: float) -> tuple[Array, str]:
    """[n, horizon] -> the conformal quantile at each step, and a note where the windows were too few."""
    pooled = np.sort(scores[~np.isnan(scores)])
    if not len(pooled):
        raise DataError("no calibration window has both an actual value and a forecast; keep some rows back for it")
    offsets = np.empty(scores.shape[1])
    short = False
    for step in range(scores.shape[1]):
        ordered = np.sort(scores[~np.isnan(scores[:, step]), step])
        if _rank(len(ordered), share) > len(ordered):
            ordered, short = pooled, True
        offsets[step] = ordered[min(_rank(len(ordered), share), len(ordered)) - 1]
    if not short:
        return offsets, ""
    needed = math.ceil(share / max(1 - share, 1e-9) - 1e-9)
    enough = _rank(len(pooled), share) <= len(pooled)
    remedy = "all steps ahead share one offset" if enough else "the largest error seen is used, which may cover less"
    return offsets, f"{len(scores)} calibration windows are too few for {share:.0%} (needs {needed} a step): {remedy}"


def _rank(windows: int, share: float) -> int:
    """⌈(n+1)(1-α)⌉; the small number undoes the rounding of shares such as 0.9 - 0.1."""
    return math.ceil((windows + 1) * share - 1e-9)


def _spread(quantiles: Array, levels: Sequence[float]) -> Array:
    return np.repeat(quantiles[..., None], len(levels), axis=-1) if quantiles.ndim == 2 else quantiles


def _checked_levels(levels: Sequence[float]) -> tuple[float, ...]:
    values = tuple(float(level) for level in levels)
    if not values or any(not 0 < level < 1 for level in values) or list(values) != sorted(set(values)):
        raise ConfigError(f"levels are {values}, expected increasing probabilities inside (0, 1)")
    return values
