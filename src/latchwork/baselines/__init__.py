"""Answers without a neural network, which stand beside every score."""

from latchwork.baselines.classify import (
    CLASSIFY_BASELINES,
    BaselineAnswer,
    SequenceBaseline,
    run_sequence_baselines,
)
from latchwork.baselines.column import Baseline, Column, Fitted
from latchwork.baselines.features import Side, summaries
from latchwork.baselines.forecast import FORECAST_BASELINES, run_baselines
from latchwork.baselines.label import LABEL_BASELINES
from latchwork.baselines.naive import Formula
from latchwork.baselines.ridge import Ridge
from latchwork.baselines.smoothing import ETS, STLETS

__all__ = [
    "CLASSIFY_BASELINES",
    "ETS",
    "FORECAST_BASELINES",
    "LABEL_BASELINES",
    "STLETS",
    "Baseline",
    "BaselineAnswer",
    "Column",
    "Fitted",
    "Formula",
    "Ridge",
    "SequenceBaseline",
    "Side",
    "run_baselines",
    "run_sequence_baselines",
    "summaries",
]
