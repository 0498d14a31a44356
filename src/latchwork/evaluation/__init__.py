"""How good it is, beside what, and how sure that is."""

from latchwork.evaluation.backtest import Evaluation, cross_validate, evaluate, judge, model_forecasts
from latchwork.evaluation.leaderboard import Comparison, Leaderboard, Row
from latchwork.evaluation.leaks import Finding, audit
from latchwork.evaluation.report import Report, Streamed, picture_svg, write_report
from latchwork.evaluation.score import DEFAULT_METRICS, score
from latchwork.evaluation.scoreboard import Scoreboard, ScoreRow, Versus
from latchwork.evaluation.sequence_score import Method, SequenceEvaluation, score_labelled, score_sequences
from latchwork.evaluation.validation import Difference, Folds, FoldScore, Scored, Spread, validate

__all__ = [
    "DEFAULT_METRICS",
    "Comparison",
    "Difference",
    "Evaluation",
    "Finding",
    "FoldScore",
    "Folds",
    "Leaderboard",
    "Method",
    "Report",
    "Row",
    "ScoreRow",
    "Scoreboard",
    "Scored",
    "SequenceEvaluation",
    "Spread",
    "Streamed",
    "Versus",
    "audit",
    "cross_validate",
    "evaluate",
    "judge",
    "model_forecasts",
    "picture_svg",
    "score",
    "score_labelled",
    "score_sequences",
    "validate",
    "write_report",
]
