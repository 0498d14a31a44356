"""Answers without a neural network, which stand beside every score."""

from latchwork.baselines.column import Baseline, Column, Fitted
from latchwork.baselines.forecast import FORECAST_BASELINES, run_baselines
from latchwork.baselines.naive import Formula
from latchwork.baselines.ridge import Ridge
from latchwork.baselines.smoothing import ETS, STLETS

__all__ = ["ETS", "FORECAST_BASELINES", "STLETS", "Baseline", "Column", "Fitted", "Formula", "Ridge", "run_baselines"]
