"""The probability from which on an example counts as positive, chosen on validation rows for a stated aim."""

import math
import re
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from latchwork.errors import ConfigError, DataError, did_you_mean
from latchwork.metrics.paired import Interval, bootstrap_mean
from latchwork.metrics.resample import binomial_tail, bootstrap_each, bootstrap_sums, exact_lower, proportion
from latchwork.metrics.scores import Array, checked_classes, checked_numbers

Bound = Literal["none", "exact", "bootstrap"]
Figure = Literal["recall", "precision", "specificity"]
FIGURES: tuple[Figure, ...] = ("recall", "precision", "specificity")
NAMES: dict[str, Figure] = {**{name: name for name in FIGURES}, "sensitivity": "recall"}
AT_MOST = 256
"""Thresholds whose lower bounds are computed one by one; of more that might do, so many spread over all are tried."""


@dataclass(frozen=True)
class Aim:
    """What a threshold is to reach: a figure of at least so much, or the smallest cost of misses and false alarms."""

    figure: Figure | None = None
    least: float = math.nan
    miss: float = math.nan
    alarm: float = math.nan

    @classmethod
    def parse(cls, text: str) -> "Aim":
        """``recall>=0.95``, ``sensitivity>=0.95``, ``precision>=0.99``, ``specificity>=0.9`` or ``fn=10,fp=1``.

        >>> Aim.parse("precision >= 0.99").least
        0.99
        >>> str(Aim.parse("fn=10,fp=1"))
        'fn=10,fp=1'
        """
        expected = "expected such as recall>=0.95, precision>=0.99, specificity>=0.9, or a cost such as fn=10,fp=1"
        plain = re.sub(r"\s+", "", text).lower()
        if found := re.fullmatch(r"([a-z_]+)(?:>=|≥)([^=]+)", plain):
            name, value = found[1], _number(found[2])
            if name not in NAMES:
                raise ConfigError(f'aim "{text}": no figure is called "{name}"{did_you_mean(name, NAMES)}; {expected}')
            if value is None or not 0 < value <= 1:
                raise ConfigError(f'aim "{text}": "{found[2]}" is no share above 0 and up to 1; {expected}')
            return cls(figure=NAMES[name], least=value)
        pairs = dict(part.split("=", 1) for part in plain.split(",") if part.count("=") == 1)
        costs = [_number(pairs.get(name, "")) for name in ("fn", "fp")]
        if set(pairs) != {"fn", "fp"} or plain.count(",") != 1 or None in costs:
            raise ConfigError(f'aim "{text}": {expected}')
        miss, alarm = (value or 0.0 for value in costs)
        if min(miss, alarm) < 0 or max(miss, alarm) == 0:
            raise ConfigError(f'aim "{text}": costs of {miss:g} and {alarm:g}, expected none below 0 and one above')
        return cls(miss=miss, alarm=alarm)

    def __str__(self) -> str:
        return f"fn={self.miss:g},fp={self.alarm:g}" if self.figure is None else f"{self.figure}>={self.least:g}"


@dataclass(frozen=True)
class Threshold:
    """The threshold, and what it does on the rows that it was chosen on (where it looks a little too good).

    value    an example is positive where its score is at least this
    met      whether the aim holds on those rows, with the bound that was asked for
    figures  recall, precision, specificity, and the cost per example where that is the aim, with their intervals:
             exact ones, or for groups and ``bound="bootstrap"`` the wider of the exact and the bootstrap's
    counts   tp, fp, fn, tn
    note     a plain sentence
    """

    value: float
    aim: Aim
    met: bool
    figures: dict[str, Interval]
    counts: dict[str, int]
    note: str


def choose_threshold(
    truth: NDArray[Any],
    scores: NDArray[Any],
    aim: Aim | str,
    *,
    bound: Bound = "none",
    groups: NDArray[Any] | None = None,
    level: float = 0.95,
    samples: int = 1000,
    seed: int = 0,
) -> Threshold:
    """Choose on validation: truth ``[n]`` 0 or 1, scores ``[n]`` (probabilities of 1).

    Of all thresholds that keep the aim: for a recall the one with the fewest false alarms, for a precision or a
    specificity the one with the greatest recall. For a cost the smallest fn · misses + fp · false alarms. Ties go to
    the higher threshold. A threshold lies half way between two scores.

    Args:
        bound: What must reach the aim: ``"none"``: the figure itself; ``"exact"``: the lower end of its interval by
            Clopper and Pearson; ``"bootstrap"``: that of the wider of this and the bootstrap by group (which alone
            would trust a figure without a single error). It is the bound of one threshold, not of the best of many:
            what it is worth shows on a fresh test part.
        groups: ``[n]`` the sequence or entity of each row, drawn together by the bootstrap; None: each is its own.
        level: Of the intervals, which are two-sided.

    Where the aim can't be met the threshold is the one that comes nearest, and the note says so. Where there is one
    class only it is 0.5, and the note says that too. Raises :class:`ConfigError` for an exact bound of rows that share
    a group: it would take them for independent.
    """
    aim = Aim.parse(aim) if isinstance(aim, str) else aim
    truth = np.asarray(truth)
    true = checked_classes(truth.astype(np.int64) if truth.dtype == np.bool_ else truth, 2)
    sure = checked_numbers(scores, (len(true),), "scores")
    if bound not in ("none", "exact", "bootstrap") or not 0 < level < 1:
        raise ConfigError(f'bound "{bound}", level {level}; expected none, exact or bootstrap, and a level in (0, 1)')
    groups = np.arange(len(true)) if groups is None else np.asarray(groups)
    if groups.shape != true.shape:
        raise DataError(f"groups have shape {groups.shape}, expected {true.shape}: one for each example")
    if bound == "exact" and len(np.unique(groups)) < len(groups):
        raise ConfigError("an exact bound takes every row for independent, and these share groups: use the bootstrap's")
    rows = _Rows(true, sure, groups, bound, level, samples, seed)
    if true.min() == true.max():
        which = "positive" if true[0] else "negative"
        note = f"every one of {len(true)} validation rows is {which}: nothing can be chosen for {aim}, 0.5 is kept"
        return rows.result(0.5, aim, False, note)
    if aim.figure is None:
        cost = aim.miss * (rows.positives - rows.hits) + aim.alarm * rows.alarms
        best = int(np.argmin(cost))
        note = f"the smallest cost on {len(true)} validation rows is {cost[best] / len(true):.4g} an example"
        if best in (0, len(rows.falling)):
            note += f": by predicting {'everything' if best else 'nothing'}"
        return rows.result(rows.threshold(best), aim, True, note)
    met, best = rows.reaching(aim.figure, aim.least)
    found = rows.result(rows.threshold(best), aim, met, "")
    return replace(found, note=_said(found, aim.figure, bound, level))


def _said(found: Threshold, figure: Figure, bound: Bound, level: float) -> str:
    """The note of an aim for a share."""
    counts, shown = found.counts, found.figures[figure]
    positives, negatives = counts["tp"] + counts["fn"], counts["fp"] + counts["tn"]
    here = f"{positives + negatives} validation rows ({positives} positive)"
    other = "precision" if figure == "recall" else "recall"
    beside = found.figures[other].value
    beside_text = f"{other} {beside:.4f}" if not math.isnan(beside) else "nothing is predicted"
    reached = f"{figure} {shown.value:.4f}, with {beside_text}"
    if bound != "none":
        reached = f"{figure} {shown.value:.4f} with lower bound {shown.lower:.4f}, {beside_text}"
    if found.met:
        return f"{found.aim} holds on {here}: {reached}"
    note = f"{found.aim} can't be met on {here}; the best there is: {reached}"
    if bound != "none" and found.aim.least < 1:
        needed = math.ceil(math.log((1 - level) / 2) / math.log(found.aim.least))
        there = {"recall": positives, "precision": positives, "specificity": negatives}[figure]
        if there < needed:
            what = {"recall": "positive", "precision": "predicted positive", "specificity": "negative"}[figure]
            note += f"; even without an error the bound would take {needed} {what} rows"
    elif bound != "none":
        note += "; no number of rows has a lower bound of 1"
    return note


class _Rows:
    """Validation rows by falling score. Candidate j calls the j highest different scores positive, j = 0 none."""

    def __init__(
        self,
        true: NDArray[np.int64],
        scores: Array,
        groups: NDArray[Any],
        bound: Bound,
        level: float,
        samples: int,
        seed: int,
    ) -> None:
        self.true, self.scores, self.bound, self.level = true, scores, bound, level
        self.samples, self.seed = samples, seed
        _, self.unit = np.unique(groups, return_inverse=True)
        self.falling, self.rank = np.unique(-scores, return_inverse=True)
        levels = len(self.falling)
        self.hits = np.append(0, np.bincount(self.rank, true, minlength=levels).cumsum()).astype(np.int64)
        self.alarms = np.append(0, np.bincount(self.rank, 1 - true, minlength=levels).cumsum()).astype(np.int64)
        self.positives, self.negatives = int(self.hits[-1]), int(self.alarms[-1])

    def threshold(self, candidate: int) -> float:
        levels = -self.falling
        if candidate == 0:
            return float(np.nextafter(levels[0], np.inf))
        if candidate == len(levels):
            return float(levels[-1])
        above, below = levels[candidate - 1], levels[candidate]
        middle = below + (above - below) / 2
        return float(middle if middle > below else above)

    def share(self, figure: Figure) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Of each candidate: how many are right, and of how many."""
        if figure == "recall":
            return self.hits, np.full_like(self.hits, self.positives)
        if figure == "specificity":
            return self.negatives - self.alarms, np.full_like(self.hits, self.negatives)
        return self.hits, self.hits + self.alarms

    def reaching(self, figure: Figure, least: float) -> tuple[bool, int]:
        """The best candidate that reaches the aim and True, or the nearest to it and False."""
        right, of = self.share(figure)
        # 0.95 of 20 is just above 19 in floating point.
        keeps = (of > 0) & (right >= np.ceil(least * of - 1e-9))
        if self.bound != "none":
            beyond = (1 - self.level) / 2
            chance = least if least < 1 else 0.5
            keeps &= (right > 0) & (binomial_tail(np.maximum(right, 1), of, chance) <= beyond) & (least < 1)
        # Of two candidates with the same two figures only the threshold differs: the higher one comes first.
        fewest_alarms, most_hits = self.alarms, -self.hits
        keys = (most_hits, fewest_alarms) if figure == "recall" else (fewest_alarms, most_hits)
        preferred = np.lexsort(keys)
        preferred = preferred[keeps[preferred]]
        if self.bound == "bootstrap" and len(preferred):
            preferred = _spread(preferred)
            preferred = preferred[self.lower_by_group(figure, preferred) >= least]
        if len(preferred):
            return True, int(preferred[0])
        tried = np.flatnonzero(of > 0)
        if self.bound == "none":
            return False, int(tried[np.lexsort((-right[tried], -right[tried] / of[tried]))[0]])
        tried = _spread(tried)
        return False, int(tried[np.argmax(exact_lower(right[tried], of[tried], self.level))])

    def lower_by_group(self, figure: Figure, candidates: NDArray[np.int64]) -> Array:
        """Lower bounds ``[candidates]`` by the bootstrap, NaN where there is none."""
        units = int(self.unit.max()) + 1
        right, of = np.zeros((2, units, len(candidates)))
        for column, candidate in enumerate(candidates):
            right[:, column], of[:, column] = self.by_unit(figure, self.rank < candidate)

        def figures(weights: Array) -> Array:
            below = weights @ of
            return (weights @ right) / np.where(below == 0, np.nan, below)

        found = bootstrap_each(
            figures, np.arange(units), samples=self.samples, level=self.level, seed=self.seed, within=(0.0, 1.0)
        )
        return np.array([interval.lower for interval in found])

    def by_unit(self, figure: Figure, said: NDArray[np.bool_]) -> tuple[Array, Array]:
        """Sums of each group: how many are right, and of how many."""
        true = self.true == 1
        right = ~said & ~true if figure == "specificity" else said & true
        of = {"recall": true, "specificity": ~true, "precision": said}[figure]
        summed = [np.bincount(self.unit, one).astype(np.float64) for one in (right, of)]
        return summed[0], summed[1]

    def result(self, value: float, aim: Aim, met: bool, note: str) -> Threshold:
        said, true = self.scores >= value, self.true == 1
        counts = {
            "tp": int((said & true).sum()),
            "fp": int((said & ~true).sum()),
            "fn": int((~said & true).sum()),
            "tn": int((~said & ~true).sum()),
        }
        figures = {name: self.interval(name, said) for name in FIGURES}
        if aim.figure is None:
            cost = aim.miss * (~said & true) + aim.alarm * (said & ~true)
            figures["cost"] = bootstrap_mean(cost, self.unit, samples=self.samples, level=self.level, seed=self.seed)
        return Threshold(value, aim, met, figures, counts, note)

    def interval(self, figure: Figure, said: NDArray[np.bool_]) -> Interval:
        right, of = self.by_unit(figure, said)
        exact = proportion(int(right.sum()), int(of.sum()), self.level)
        alone = len(right) == len(self.true)
        if (self.bound != "bootstrap" and alone) or math.isnan(exact.value):
            return exact
        drawn = bootstrap_sums(
            np.stack([right, of], axis=1),
            lambda sums: sums[..., 0] / np.where(sums[..., 1] == 0, np.nan, sums[..., 1]),
            np.arange(len(right)),
            samples=self.samples,
            level=self.level,
            seed=self.seed,
        )
        if math.isnan(drawn.lower):
            return drawn
        return Interval(exact.value, min(exact.lower, drawn.lower), max(exact.upper, drawn.upper))


def _spread(candidates: NDArray[np.int64]) -> NDArray[np.int64]:
    """At most 256 of them, the first and the last among them."""
    kept = np.unique(np.linspace(0, len(candidates) - 1, min(AT_MOST, len(candidates))).round().astype(int))
    return candidates[kept]


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
