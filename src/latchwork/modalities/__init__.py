"""Modalities: raw files become sequences, fitted on training data only; live rows become the same, one at a time."""

from latchwork.modalities.frequency import Frequency
from latchwork.modalities.image import Images, read_images
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

__all__ = [
    "ColumnSummary",
    "EncodedRow",
    "Frequency",
    "Images",
    "RawTable",
    "Record",
    "Records",
    "RowState",
    "SourceOptions",
    "Table",
    "TableOptions",
    "Text",
    "detect_season",
    "read",
    "read_images",
    "read_records",
    "read_text",
]
