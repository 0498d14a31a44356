"""Modalities: raw files become sequences, fitted on training data only; live rows become the same, one at a time."""

from latchwork.modalities.corpus import Corpus, CorpusOptions, tokenised
from latchwork.modalities.corpus_read import read_corpus
from latchwork.modalities.frequency import Frequency
from latchwork.modalities.image import Images, read_images
from latchwork.modalities.lint import Finding, lint_corpus, lint_pairs
from latchwork.modalities.pairs import PairOptions
from latchwork.modalities.pairs_read import pair_notes, read_pairs
from latchwork.modalities.records import Record, Records
from latchwork.modalities.records_read import read_records
from latchwork.modalities.season import detect_season
from latchwork.modalities.source import SourceOptions
from latchwork.modalities.table import Table
from latchwork.modalities.table_raw import RawTable
from latchwork.modalities.table_read import read
from latchwork.modalities.table_report import ColumnSummary
from latchwork.modalities.table_row import EncodedRow, RowState
from latchwork.modalities.table_schema import TableOptions
from latchwork.modalities.text import Text
from latchwork.modalities.text_read import read_text
from latchwork.modalities.vocabulary import END, Vocabulary
from latchwork.modalities.writer import Writer

__all__ = [
    "END",
    "ColumnSummary",
    "Corpus",
    "CorpusOptions",
    "EncodedRow",
    "Finding",
    "Frequency",
    "Images",
    "PairOptions",
    "RawTable",
    "Record",
    "Records",
    "RowState",
    "SourceOptions",
    "Table",
    "TableOptions",
    "Text",
    "Vocabulary",
    "Writer",
    "detect_season",
    "lint_corpus",
    "lint_pairs",
    "pair_notes",
    "read",
    "read_corpus",
    "read_images",
    "read_pairs",
    "read_records",
    "read_text",
    "tokenised",
]
