"""Figures of answers with an order or a size: ordinal classes and numbers."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latchwork import optional
from latchwork.errors import DataError
from latchwork.metrics.scores import Array, Scores, checked_classes, checked_names, checked_numbers


def ordinal(truth: NDArray[Any], predicted: NDArray[Any], classes: Sequence[str]) -> Scores:
    """Figures of classes in their order; truth and predicted ``[n]`` class numbers.

    quadratic_kappa  1 - Σ w O / Σ w E, w = (i - j)², E by chance: -1 .. 1 (Cohen 1968)
    mae_steps        mean |i - j|: how many classes beside it
    accuracy         share that is exactly right
    """
    classes = checked_names(classes, 2)
    true = checked_classes(truth, len(classes))
    said = checked_classes(predicted, len(classes), "predictions")
    if len(said) != len(true):
        raise DataError(f"{len(said)} predictions for {len(true)} examples, expected as many")
    metrics = optional.load("sklearn.metrics")
    one_class = len(np.unique(true)) == 1
    kappa = math.nan
    if not one_class:
        kappa = float(metrics.cohen_kappa_score(true, said, labels=range(len(classes)), weights="quadratic"))
    return Scores(
        count=len(true),
        values={
            "quadratic_kappa": kappa,
            "mae_steps": float(metrics.mean_absolute_error(true, said)),
            "accuracy": float(metrics.accuracy_score(true, said)),
        },
        labels={
            "quadratic_kappa": "quadratic kappa",
            "mae_steps": "mean error in classes",
            "accuracy": "accuracy",
        },
        notes={"quadratic_kappa": "undefined: only one class occurs here"} if one_class else {},
    )


def number(truth: NDArray[Any], predicted: NDArray[Any]) -> Scores:
    """Figures of numbers; truth and predicted ``[n]``, finite.

    mae       mean |y - f|, in the units of y
    rmse      √ mean (y - f)², in the units of y
    r2        1 - Σ (y - f)² / Σ (y - mean y)², up to 1
    spearman  correlation of the ranks, equal values sharing theirs, -1 .. 1
    """
    truth = np.asarray(truth)
    true = checked_numbers(truth, (truth.size,), "true values")
    said = checked_numbers(predicted, true.shape, "predictions")
    if not len(true):
        raise DataError("true values are empty, expected at least one example to score")
    metrics = optional.load("sklearn.metrics")
    notes: dict[str, str] = {}
    flat = true.min() == true.max()
    if flat:
        notes["r2"] = notes["spearman"] = "undefined: all true values are the same"
    elif said.min() == said.max():
        notes["spearman"] = "undefined: all predictions are the same"
    mse = float(metrics.mean_squared_error(true, said))
    return Scores(
        count=len(true),
        values={
            "mae": float(metrics.mean_absolute_error(true, said)),
            "rmse": math.sqrt(mse),
            "r2": math.nan if flat else float(metrics.r2_score(true, said)),
            "spearman": math.nan if "spearman" in notes else float(np.corrcoef(_ranks(true), _ranks(said))[0, 1]),
        },
        labels={"mae": "mean absolute error", "rmse": "RMSE", "r2": "R²", "spearman": "Spearman correlation"},
        notes=notes,
    )


def _ranks(values: Array) -> Array:
    """1 .. n, equal values sharing the mean of theirs."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return (count.cumsum() - (count - 1) / 2)[place]
