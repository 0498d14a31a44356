"""Numbers and texts as a file holds them: whole columns by polars, one live value by Python, with the same answer."""

import math
import re
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

MISSING = ("", "NA", "N/A", "n/a", "NaN", "nan", "-nan", "null", "NULL", "None", "<NA>", "?", "-")
"""Texts that stand for a missing number. In a column of texts only the empty one does: NA may be a country."""

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[+-]?(?:inf|infinity)", re.IGNORECASE)
_PATTERN = rf"(?i)^(?:{_NUMBER.pattern})$"


def to_numbers(column: pl.Series, decimal: str = ".") -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The column as float64 with NaN where missing, and a mask of the values that are no numbers (NaN as well)."""
    if column.dtype == pl.Null:
        return np.full(len(column), np.nan), np.zeros(len(column), bool)
    if column.dtype.is_numeric() or column.dtype == pl.Boolean:
        return column.cast(pl.Float64).fill_null(math.nan).to_numpy().copy(), np.zeros(len(column), bool)
    text = clean(column, decimal)
    good = text.str.contains(_PATTERN)
    values = text.set(~good.fill_null(True), None).cast(pl.Float64, strict=False)
    return values.fill_null(math.nan).to_numpy().copy(), (~good).fill_null(False).to_numpy()


def clean(column: pl.Series, decimal: str = ".") -> pl.Series:
    """Texts without spaces around them, null where they stand for a missing number."""
    text = column.cast(pl.String).str.strip_chars()
    text = text.set(text.is_in(list(MISSING)), None)
    if decimal == ",":  # a point would be a thousands separator, which is refused
        text = text.str.replace_all(".", "point", literal=True).str.replace(",", ".", literal=True)
    return text


def to_number(value: Any, decimal: str = ".") -> float | None:
    """One value as :func:`to_numbers` reads it: NaN where missing, None where it is no number."""
    if value is None:
        return math.nan
    if isinstance(value, (bool, int, float, np.integer, np.floating, np.bool_)):
        try:
            return float(value)
        except OverflowError:  # a whole number beyond 1e308
            return math.inf
    if not isinstance(value, str):
        return None
    text = value.strip()
    if text in MISSING:
        return math.nan
    text = text.replace(".", "point").replace(",", ".", 1) if decimal == "," else text
    return float(text) if _NUMBER.fullmatch(text) else None


def to_texts(column: pl.Series) -> pl.Series:
    """The column as text, null where missing; whole numbers without a point, as in a csv file."""
    if column.dtype.is_float():
        whole = column.is_finite() & (column == column.round()) & (column.abs() < 2**53)
        texts = column.fill_nan(None).cast(pl.String)
        return texts.zip_with(~whole.fill_null(False), column.cast(pl.Int64, strict=False).cast(pl.String))
    text = column.cast(pl.String)
    return text.set(text == "", None)


def to_text(value: Any) -> str | None:
    """One value as :func:`to_texts` reads it; None where it is missing."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    if isinstance(value, (float, np.floating)) and float(value).is_integer() and abs(value) < 2**53:
        return str(int(value))
    return str(value) or None


def why_no_number(text: str) -> str:
    """What a text that is no number probably is, and what to do."""
    if re.fullmatch(r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?", text):
        return f"it looks like a number with thousands separators: write {text.replace(',', '')}"
    if re.fullmatch(r"[+-]?\d{1,3}(\.\d{3})+(,\d+)?", text):
        return "it looks like a number with points as thousands separators: write it without them"
    if re.fullmatch(r"[+-]?(\d+|\d{1,3}(\.\d{3})+),\d+", text):
        return 'it looks like a number with a decimal comma: give decimal=","'
    if re.search(r"\d", text) and re.search(r"[%$€£¥]", text):
        return "write the number without a unit"
    return "write a number, or leave the cell empty if it is missing"
