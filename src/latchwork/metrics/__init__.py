"""Numbers from predictions, and how sure they are."""

from latchwork.metrics.forecast import (
    absolute_errors,
    coverage,
    interval_width,
    mae,
    mase,
    mse,
    owa,
    pinball,
    rmse,
    scaled_crps,
    scaled_errors,
    seasonal_naive_error,
    smape,
    squared_errors,
    symmetric_errors,
)
from latchwork.metrics.intervals import Conformal, mirrored
from latchwork.metrics.paired import (
    DieboldMariano,
    Interval,
    Resampling,
    bootstrap_mean,
    bootstrap_ratio,
    diebold_mariano,
)

__all__ = [
    "Conformal",
    "DieboldMariano",
    "Interval",
    "Resampling",
    "absolute_errors",
    "bootstrap_mean",
    "bootstrap_ratio",
    "coverage",
    "diebold_mariano",
    "interval_width",
    "mae",
    "mase",
    "mirrored",
    "mse",
    "owa",
    "pinball",
    "rmse",
    "scaled_crps",
    "scaled_errors",
    "seasonal_naive_error",
    "smape",
    "squared_errors",
    "symmetric_errors",
]
