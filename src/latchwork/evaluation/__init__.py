"""How good it is, beside what, and how sure that is."""

from latchwork.evaluation.backtest import Evaluation, cross_validate, evaluate, judge, model_forecasts
from latchwork.evaluation.leaderboard import Comparison, Leaderboard, Row
from latchwork.evaluation.report import Report, Streamed, picture_svg, write_report
from latchwork.evaluation.score import DEFAULT_METRICS, score

__all__ = [
    "DEFAULT_METRICS",
    "Comparison",
    "Evaluation",
    "Leaderboard",
    "Report",
    "Row",
    "Streamed",
    "cross_validate",
    "evaluate",
    "judge",
    "model_forecasts",
    "picture_svg",
    "score",
    "write_report",
]
