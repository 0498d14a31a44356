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
from latchwork.baselines.kneser_ney import KneserNey
from latchwork.baselines.label import LABEL_BASELINES
from latchwork.baselines.language import (
    LANGUAGE_BASELINES,
    LanguageAnswer,
    LanguageBaseline,
    TextSide,
    run_language_baselines,
)
from latchwork.baselines.naive import Formula
from latchwork.baselines.ridge import Ridge
from latchwork.baselines.smoothing import ETS, STLETS
from latchwork.baselines.translate import TEXT_BASELINES, TextAnswer, TextBaseline, run_text_baselines, sentences

__all__ = [
    "CLASSIFY_BASELINES",
    "ETS",
    "FORECAST_BASELINES",
    "LABEL_BASELINES",
    "LANGUAGE_BASELINES",
    "STLETS",
    "TEXT_BASELINES",
    "Baseline",
    "BaselineAnswer",
    "Column",
    "Fitted",
    "Formula",
    "KneserNey",
    "LanguageAnswer",
    "LanguageBaseline",
    "Ridge",
    "SequenceBaseline",
    "Side",
    "TextAnswer",
    "TextBaseline",
    "TextSide",
    "run_baselines",
    "run_language_baselines",
    "run_sequence_baselines",
    "run_text_baselines",
    "sentences",
    "summaries",
]
