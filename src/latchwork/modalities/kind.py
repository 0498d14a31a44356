"""What a source holds, by its name and its first lines: texts, measurements or images."""

import csv
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import polars as pl

from latchwork.errors import DataError
from latchwork.modalities.image_read import IMAGES, PATHS
from latchwork.modalities.records_files import ARCHIVES
from latchwork.modalities.table_files import load
from latchwork.modalities.table_schema import TableOptions
from latchwork.modalities.text_files import COLUMNS, stream
from latchwork.modalities.values import to_number

FIRST = 1 << 16
"""Bytes that are looked at."""

ROWS = 50
"""Of a frame or a Parquet file."""

_TEXTS = {"text", "tokens", "words", "sentence"}
_SENTENCE = re.compile(r"[^\W\d_]\S*\s+(?:\S+\s+)*?\S*[^\W\d_]")
"""Letters, a blank, letters; a date with a time behind it is none."""


def kind_of(source: Any, apart: Collection[str] = ()) -> str:
    """text, records or image; records where nothing can be seen: their reader says what is wrong.

    A column of paths of images makes a table one of images. A column called text, tokens, words or sentence makes it
    one of texts, and so does a cell with several words, a list of words, or that no column holds numbers alone.

    apart  columns that play another part (the label, the group): several words in them say nothing
    """
    if isinstance(source, (list, tuple)):
        return "text"
    if not isinstance(source, (str, Path)):
        return of_columns(_of_frame(source), apart)
    path = Path(source).expanduser()
    lower = path.name.lower()
    plain = lower.removesuffix(".gz")
    if path.is_dir():
        return "image" if any(one.suffix.lower() in IMAGES for one in path.rglob("*")) else "records"
    if plain.endswith((".npz", *IMAGES)):
        return "image"
    if plain.endswith((".ts", ".arff")) or (lower.endswith(ARCHIVES) and not lower.endswith(".zip")):
        return "records"
    if plain.endswith(COLUMNS) or ".zip/" in path.as_posix():
        return "text"
    if plain.endswith(".parquet"):
        return of_columns(_of_parquet(path), apart)
    name, lines = _first_lines(path)
    if not lines:
        return "records"
    if name.endswith((".jsonl", ".ndjson")):
        return of_columns(_of_json(lines), apart)
    if name.endswith(".txt"):
        return "records" if _numbers_alone(lines) else "text"
    return of_columns(_of_lines(lines), apart)


def of_columns(columns: Mapping[str, Sequence[Any]], apart: Collection[str] = ()) -> str:
    """text, records or image, by the names of columns and their first values."""
    if any(
        str(name).lower() in PATHS and any(isinstance(cell, str) and cell.lower().endswith(IMAGES) for cell in cells)
        for name, cells in columns.items()
    ):
        return "image"
    if any(str(name).lower() in _TEXTS for name in columns):
        return "text"
    held = {name: cells for name, cells in columns.items() if name not in {"label", *apart}}
    if any(_is_text(cell) for cells in held.values() for cell in cells):
        return "text"
    return "records" if not columns or any(map(_is_numeric, columns.values())) else "text"


def _is_text(cell: Any) -> bool:
    """Several words, or a list of them."""
    if isinstance(cell, (list, tuple)):
        return bool(cell) and all(isinstance(one, str) and to_number(one) is None for one in cell)
    return isinstance(cell, str) and to_number(cell) is None and _SENTENCE.search(cell) is not None


def _is_numeric(cells: Sequence[Any]) -> bool:
    """Numbers alone, and at least one."""
    values = [to_number(cell) for cell in cells if not isinstance(cell, (list, tuple))]
    return len(values) == len(cells) and None not in values and any(value == value for value in values)


def _numbers_alone(lines: list[str]) -> bool:
    """Whether each line holds two numbers or more, and nothing else."""
    rows = [re.split(r"[\s,;|]+", line.strip(" ,;|\t\r")) for line in lines if line.strip()]
    return all(len(row) > 1 and all(to_number(cell) is not None for cell in row) for row in rows)


# The first values


def _first_lines(path: Path) -> tuple[str, list[str]]:
    """The name of the file inside of any packing, and its first whole lines; none where it can't be read."""
    try:
        with stream(path) as (name, file):
            data = bytes(file.read(FIRST + 1))
    except DataError:
        return "", []
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    lines = data[:FIRST].decode(encoding, "ignore").splitlines()
    lines = lines[:-1] if len(data) > FIRST and len(lines) > 1 else lines
    return name.lower(), [line for line in lines if line.strip()]


def _of_lines(lines: list[str]) -> dict[str, list[Any]]:
    """Of csv or tsv. A first line alone is looked at as if it were data."""
    mark = max(",;\t|", key=lines[0].count)
    try:
        rows = list(csv.reader(lines, delimiter=mark, skipinitialspace=True))
    except csv.Error:  # a quote is open where the first bytes end
        rows = [line.split(mark) for line in lines]
    body = rows[1:] or rows
    columns = list(zip_longest(*body, fillvalue=""))
    names = [*(cell.strip() for cell in rows[0]), *(f"column_{at}" for at in range(len(rows[0]), len(columns)))]
    return {name: [cell.strip() for cell in cells] for name, cells in zip(names, columns, strict=False)}


def _of_json(lines: list[str]) -> dict[str, list[Any]]:
    rows = list(_objects(lines))
    return {name: [row.get(name) for row in rows] for name in dict.fromkeys(name for row in rows for name in row)}


def _objects(lines: list[str]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            return
        if not isinstance(row, dict):
            return
        yield row


def _of_parquet(path: Path) -> dict[str, list[Any]]:
    try:
        return pl.read_parquet(path, n_rows=ROWS).to_dict(as_series=False)
    except (pl.exceptions.PolarsError, OSError):
        return {}


def _of_frame(source: Any) -> dict[str, list[Any]]:
    try:
        first = source.head(ROWS) if hasattr(source, "head") else source.slice(0, ROWS)
        return load(first, TableOptions()).frame.to_dict(as_series=False)
    except (DataError, AttributeError, TypeError):
        return {}
