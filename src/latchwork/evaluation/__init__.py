"""How good it is, beside what, and how sure that is."""

from latchwork.evaluation.backtest import Evaluation, evaluate, judge, model_forecasts
from latchwork.evaluation.compare import compare
from latchwork.evaluation.compared import Against, Compared
from latchwork.evaluation.contest import Contender, Contest, Trial, run_contest
from latchwork.evaluation.cross_validation import CrossValidated, cross_validate, cross_validate_sequences
from latchwork.evaluation.language import LanguageEvaluation, score_language, score_texts
from latchwork.evaluation.language_report import data_lines, language_sections
from latchwork.evaluation.leaderboard import Comparison, Leaderboard, Row
from latchwork.evaluation.leaks import Finding, audit
from latchwork.evaluation.report import Report, Streamed, picture_svg, write_report
from latchwork.evaluation.score import DEFAULT_METRICS, score
from latchwork.evaluation.scoreboard import Scoreboard, ScoreRow, Versus
from latchwork.evaluation.sequence_report import SequenceReport, sequence_card, write_sequence_report
from latchwork.evaluation.sequence_score import Method, SequenceEvaluation, score_labelled, score_sequences
from latchwork.evaluation.text_report import TextReport, text_card, write_text_report
from latchwork.evaluation.translation import TranslationEvaluation, score_translated, score_translations
from latchwork.evaluation.translation_report import attention_picture, translation_lines, translation_sections
from latchwork.evaluation.twins import Twin
from latchwork.evaluation.validation import Difference, Folds, FoldScore, Scored, Spread, validate

__all__ = [
    "DEFAULT_METRICS",
    "Against",
    "Compared",
    "Comparison",
    "Contender",
    "Contest",
    "CrossValidated",
    "Difference",
    "Evaluation",
    "Finding",
    "FoldScore",
    "Folds",
    "LanguageEvaluation",
    "Leaderboard",
    "Method",
    "Report",
    "Row",
    "ScoreRow",
    "Scoreboard",
    "Scored",
    "SequenceEvaluation",
    "SequenceReport",
    "Spread",
    "Streamed",
    "TextReport",
    "TranslationEvaluation",
    "Trial",
    "Twin",
    "Versus",
    "attention_picture",
    "audit",
    "compare",
    "cross_validate",
    "cross_validate_sequences",
    "data_lines",
    "evaluate",
    "judge",
    "language_sections",
    "model_forecasts",
    "picture_svg",
    "run_contest",
    "score",
    "score_labelled",
    "score_language",
    "score_sequences",
    "score_texts",
    "score_translated",
    "score_translations",
    "sequence_card",
    "text_card",
    "translation_lines",
    "translation_sections",
    "validate",
    "write_report",
    "write_sequence_report",
    "write_text_report",
]
