"""What every set of figures has in common: values, how each is called, and a plain word where one is undefined."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latchwork.errors import ConfigError, DataError, did_you_mean
from latchwork.metrics.paired import Interval
from latchwork.metrics.resample import bootstrap_each

Array = NDArray[np.float64]
Numbers = NDArray[np.int64]

LOWER_IS_BETTER = frozenset(
    {
        "brier", "log_loss", "calibration_error", "hamming", "mae", "mae_steps", "rmse", "perplexity",
        "bits_per_character", "nats",
    }
)  # fmt: skip
UNBOUNDED = frozenset({"log_loss", "mae", "mae_steps", "rmse", "r2", "perplexity", "bits_per_character", "nats"})
"""Figures with no scale of their own between 0 (or -1) and 1."""


@dataclass(frozen=True, eq=False)
class Scores:
    """Figures of one answer on ``count`` examples.

    values  name -> figure, in the order shown; NaN where it is undefined, and then ``notes`` says why
    labels  name -> what people read, with the averaging: ``F1 (macro)``
    notes   name -> a sentence
    """

    count: int
    values: dict[str, float]
    labels: dict[str, str]
    notes: dict[str, str]

    def __getitem__(self, name: str) -> float:
        if name not in self.values:
            raise ConfigError(
                f'no figure is called "{name}"{did_you_mean(name, self.values)}; there are {", ".join(self.values)}'
            )
        return self.values[name]


@dataclass(frozen=True)
class Composite:
    """A weighted mean of several figures; ``label`` shows the weights, ``note`` what is undefined in it."""

    value: float
    label: str
    note: str = ""


def composite(scores: Scores, weights: Mapping[str, float]) -> Composite:
    """Σ w v / Σ w over figures that are better when higher and lie within -1 and 1; NaN where one of them is.

    For those who must rank by one number: no table of latchwork's own uses one. The label shows the weights, so that
    nobody meets the number without them.

    Raises :class:`ConfigError` for an unknown figure, one that is better when lower, or a weight that is not above 0.
    """
    if not weights:
        raise ConfigError("a composite of no figures, expected at least one, such as f1=0.5,roc_auc=0.5")
    for name, weight in weights.items():
        scores[name]
        if name in LOWER_IS_BETTER or name in UNBOUNDED:
            raise ConfigError(f'"{name}" can\'t be in a composite: expected figures up to 1, the higher the better')
        if not (weight > 0 and math.isfinite(weight)):
            raise ConfigError(f'the weight of "{name}" is {weight}, expected a number above 0')
    total = sum(weights.values())
    label = " + ".join(f"{weight / total:.3g} {scores.labels[name]}" for name, weight in weights.items())
    missing = [scores.labels[name] for name in weights if math.isnan(scores[name])]
    note = f"undefined: so is {', '.join(missing)}" if missing else ""
    return Composite(sum(weight * scores[name] for name, weight in weights.items()) / total, label, note)


def score_intervals(
    score: Callable[[Numbers], Scores],
    groups: NDArray[Any],
    *,
    names: Sequence[str] | None = None,
    samples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, Interval]:
    """Bootstrap intervals of every figure of any set of scores: ``score`` is given the row numbers drawn.

    Whole groups are drawn. :func:`~latchwork.metrics.classification_intervals` is much faster for what it covers.
    """
    chosen = tuple(score(np.arange(len(groups))).values if names is None else names)

    def figures(draws: list[Numbers]) -> Array:
        return np.array([[scores[name] for name in chosen] for scores in map(score, draws)])

    found = bootstrap_each(figures, groups, takes="rows", samples=samples, level=level, seed=seed)
    return {name: within_range(name, interval) for name, interval in zip(chosen, found, strict=True)}


def within_range(name: str, interval: Interval) -> Interval:
    """The same, its bounds inside what the figure can be."""
    signed = name in ("mcc", "quadratic_kappa", "spearman")
    lowest = -math.inf if name == "r2" else -1.0 if signed else 0.0
    highest = 1.0 if name not in UNBOUNDED or name == "r2" else math.inf
    if name == "brier":
        highest = 2.0
    value, lower, upper = interval
    return interval if math.isnan(lower) else Interval(value, max(lowest, lower), min(highest, upper))


def perplexity(loss: float, tokens: int) -> float:
    """exp(total negative log-likelihood / total tokens), once over everything; nats. NaN without tokens."""
    if not tokens:
        return math.nan
    return math.exp(loss / tokens) if loss / tokens < 700 else math.inf


def checked_classes(truth: NDArray[Any], count: int, what: str = "truth") -> Numbers:
    """Class numbers ``[n]`` of 0 .. count - 1, at least one. Raises :class:`DataError`."""
    truth = np.asarray(truth)
    if truth.ndim != 1 or not np.issubdtype(truth.dtype, np.integer):
        raise DataError(f"{what} is {truth.dtype} of shape {truth.shape}, expected whole class numbers [n]")
    if not len(truth):
        raise DataError(f"{what} is empty, expected at least one example to score")
    if truth.min() < 0 or truth.max() >= count:
        wrong = truth[(truth < 0) | (truth >= count)][0]
        raise DataError(f"{what} has class {wrong}, expected 0 to {count - 1}: a label that the model does not know?")
    return truth.astype(np.int64)


def checked_numbers(values: NDArray[Any], shape: tuple[int, ...], what: str) -> Array:
    """Finite float64 of that shape. Raises :class:`DataError`."""
    values = np.asarray(values)
    if values.shape != shape:
        raise DataError(f"{what} have shape {values.shape}, expected {shape}")
    if not np.issubdtype(values.dtype, np.number) and values.dtype != np.bool_:
        raise DataError(f"{what} are {values.dtype}, expected numbers")
    values = values.astype(np.float64)
    bad = ~np.isfinite(values)
    if bad.any():
        row = int(np.nonzero(bad)[0][0])
        raise DataError(
            f"{what} of example {row} hold {values[bad][0]}, expected finite numbers: did training diverge?"
        )
    return values


def checked_probabilities(values: NDArray[Any], shape: tuple[int, ...], *, rows_sum: bool) -> Array:
    """Probabilities of that shape in float64; ``rows_sum``: each row's sum is 1 within 0.001. May raise DataError."""
    found = checked_numbers(values, shape, "probabilities")
    if found.size and (found.min() < -1e-6 or found.max() > 1 + 1e-6):
        raise DataError(f"probabilities lie in {found.min():g} .. {found.max():g}, expected 0 .. 1: are they logits?")
    found = np.clip(found, 0.0, 1.0)
    total = found.sum(axis=-1)
    if rows_sum and found.size and np.abs(total - 1).max() > 1e-3:
        row = int(np.abs(total - 1).argmax())
        raise DataError(f"probabilities of example {row} sum to {total[row]:g}, expected 1")
    return found


def checked_names(names: Sequence[str], least: int, what: str = "classes") -> tuple[str, ...]:
    """At least so many names, all different. Raises :class:`ConfigError`."""
    names = tuple(names)
    if len(names) < least or len(set(names)) < len(names):
        raise ConfigError(f"{what} are {list(names)}, expected at least {least} different names")
    return names
