"""Modalities: raw files become sequences, fitted on training data only; live rows become the same, one at a time."""

from latchwork.modalities.frequency import Frequency
from latchwork.modalities.season import detect_season
from latchwork.modalities.table import Table
from latchwork.modalities.table_raw import RawTable
from latchwork.modalities.table_read import read
from latchwork.modalities.table_report import ColumnSummary
from latchwork.modalities.table_row import EncodedRow, RowState
from latchwork.modalities.table_schema import TableOptions

__all__ = [
    "ColumnSummary",
    "EncodedRow",
    "Frequency",
    "RawTable",
    "RowState",
    "Table",
    "TableOptions",
    "detect_season",
    "read",
]
