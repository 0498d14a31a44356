"""Files of the UEA and UCR archives: .ts (sktime, aeon) and .arff (Weka), http://www.timeseriesclassification.com."""

import csv
import re
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from latchwork.errors import DataError, did_you_mean
from latchwork.modalities.records import Array, Columns, Record
from latchwork.modalities.records_files import Rows, read_text
from latchwork.modalities.source import SourceOptions, only
from latchwork.modalities.text_values import as_label
from latchwork.modalities.values import MISSING
from latchwork.sequences.examples import Labelled

_KNOWN = ("problemname", "timestamps", "missing", "univariate", "dimensions", "dimension", "equallength",
          "serieslength", "classlabel", "targetlabel", "data")  # fmt: skip
_INSTEAD = "give a table with a row for each step"
_PAIR = re.compile(r"\(([^(),]*),([^(),]*)\)")


def read_ts(path: Path, options: SourceOptions, *, labelled: bool = True) -> Labelled:
    """A .ts file: a sequence a line, its dimensions with ``:`` between them, the label last.

    Values are separated by commas, ``?`` is a missing one. With ``@timeStamps true`` they are (time, value) with
    numbers as times; a time that only some dimensions have is a step in which the others are missing. Dimensions of
    one sequence are as long as each other; sequences may differ. Raises :class:`DataError` naming the line, and
    :class:`ConfigError` for an option that such a file has no use for, where it is ``labelled``.
    """
    if labelled:
        only(options, ("missing",), "a .ts file", _INSTEAD)
    text, digest = read_text(path)
    name, lines = path.name, text.splitlines()
    header, first = _ts_header(lines, name)
    stamped = header.get("timestamps", "false").split()[0].lower() == "true"
    label = next((header[key] for key in ("classlabel", "targetlabel") if key in header), "false")
    has_labels, classes = label.split()[:1] == ["true"], label.split()[1:]
    content, labels, places = [], [], []
    width = None
    for number, line in enumerate(lines[first:], first + 1):
        if not line.strip() or line.startswith(("#", "%")):
            continue
        place = f"{name}: line {number}"
        cells = [cell.strip() for cell in line.split(":")]
        if has_labels:
            labels.append(as_label(cells.pop(), place))
            if classes and labels[-1] not in classes:
                labels[-1] = next((one for one in classes if _same_number(one, labels[-1])), labels[-1])
            if classes and labels[-1] not in classes:
                raise DataError(
                    f'{place}: the label is "{str(labels[-1])[:40]}", expected one of {", ".join(classes)}, '
                    "as the line @classLabel says"
                )
        width = width or len(cells)
        if len(cells) != width or not cells:
            raise DataError(f"{place}: has {len(cells)} dimensions, expected {width} as in the first sequence")
        times, matrix = _stamped(cells, place) if stamped else (None, _matrix(cells, place))
        if options.missing is not None:
            matrix[matrix == options.missing] = np.nan
        content.append(_record(times, matrix, place))
        places.append(place)
    return _all(name, content, labels if has_labels else [None] * len(content), places, digest)


def _record(times: Array | None, matrix: Array, place: str) -> Record:
    """Steps that are missing altogether at the end are no steps: sequences are filled up with them."""
    there = np.flatnonzero(~np.isnan(matrix).all(axis=1))
    if not len(there):
        raise DataError(f"{place}: the sequence has no value; leave the line out")
    steps = int(there[-1]) + 1
    names = ("value",) if matrix.shape[1] == 1 else tuple(f"dimension_{at}" for at in range(1, matrix.shape[1] + 1))
    times = None if times is None else times[:steps] - times[0]
    return Record(
        Columns(numbers=names, time="none" if times is None else "numbers"),
        times,
        matrix[:steps],
        np.zeros((steps, 0), str),
        np.zeros(0),
    )


def _all(name: str, content: list[Record], labels: list, places: list[str], digest: str) -> Labelled:
    if not content:
        raise DataError(f"{name}: no sequence stands below @data")
    ids = tuple(str(number) for number in range(1, len(content) + 1))
    return Labelled(tuple(content), tuple(labels), ids, tuple(places), sha256=digest)


def _ts_header(lines: list[str], name: str) -> tuple[dict[str, str], int]:
    """What the lines with ``@`` say, and the first line of data."""
    header: dict[str, str] = {}
    for number, line in enumerate(lines):
        stripped = line.strip()
        if not stripped or stripped.startswith(("#", "%")):
            continue
        if not stripped.startswith("@"):
            raise DataError(f'{name}: line {number + 1} is "{stripped[:40]}"; expected a line @data before the data')
        key, _, value = stripped[1:].partition(" ")
        if key.lower() not in _KNOWN:
            raise DataError(f'{name}: line {number + 1}: "@{key}" is not known{did_you_mean(key.lower(), _KNOWN)}')
        if key.lower() == "data":
            return header, number + 1
        header[key.lower()] = " ".join([value.strip().split(" ")[0].lower(), *value.split()[1:]]) or "true"
    raise DataError(f"{name}: there is no line @data; the file is cut short, or is no .ts file")


def _matrix(cells: list[str], place: str) -> Array:
    """[steps, dimensions]"""
    columns = [_numbers(cell.split(","), f"{place}, dimension {at}") for at, cell in enumerate(cells, 1)]
    for at, column in enumerate(columns, 1):
        if len(column) != len(columns[0]):
            raise DataError(f"{place}: dimension {at} has {len(column)} values, dimension 1 has {len(columns[0])}")
    return np.stack(columns, axis=1)


def _numbers(texts: list[str], place: str) -> NDArray[np.float64]:
    try:
        values = np.array(texts, np.float64)
    except ValueError:
        values = np.array([np.nan if text.strip() in MISSING else _number(text, place) for text in texts])
    if np.isinf(values).any():
        raise DataError(f"{place}: holds an infinite number, expected finite ones; write ? for a missing one")
    return values


def _number(text: str, place: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise DataError(f'{place}: holds "{text[:40]}", expected a number; write ? for a missing one') from error


def _same_number(one: str, other: str | None) -> bool:
    try:
        return float(one) == float(other or "")
    except ValueError:
        return False


def _stamped(cells: list[str], place: str) -> tuple[Array, Array]:
    """(time, value) pairs of each dimension, on all times that there are."""
    read = []
    for at, cell in enumerate(cells, 1):
        pairs = _PAIR.findall(cell)
        if not pairs or _PAIR.sub("", cell).strip(", "):
            raise DataError(
                f'{place}, dimension {at}: holds "{cell[:40]}", expected (time,value) pairs with numbers as times, '
                "as @timeStamps true says"
            )
        times = _numbers([time for time, _ in pairs], f"{place}, dimension {at}")
        if np.isnan(times).any() or len(np.unique(times)) < len(times):
            raise DataError(f"{place}, dimension {at}: a time is missing, or stands twice")
        read.append((times, _numbers([value for _, value in pairs], f"{place}, dimension {at}")))
    every = np.unique(np.concatenate([times for times, _ in read]))
    matrix = np.full((len(every), len(read)), np.nan)
    for at, (times, values) in enumerate(read):
        matrix[np.searchsorted(every, times), at] = values
    return every, matrix


# .arff


def read_arff(path: Path, options: SourceOptions, *, labelled: bool = True) -> Rows | Labelled:
    """An .arff file: a table, which is read on as any other, or sequences where an attribute is ``relational``.

    The last attribute is the label if it is nominal ({…}). A relational attribute holds all dimensions of a sequence,
    with ``\\n`` between them; of such a file, options that it has no use for are refused as for .ts. Sparse rows are
    refused. Raises :class:`DataError` naming the line.
    """
    text, digest = read_text(path)
    name, lines = path.name, text.splitlines()
    attributes, relational, first = _attributes(lines, name)
    rows, places = [], []
    body = "\n".join(lines[first:])
    sign = '"' if body.count('"') > body.count("'") else "'"
    before, number = csv.field_size_limit(1 << 30), first
    try:
        for number, line in enumerate(lines[first:], first + 1):
            if not line.strip() or line.lstrip().startswith("%"):
                continue
            place = f"{name}: line {number}"
            if line.lstrip().startswith("{"):
                raise DataError(f"{place}: is a sparse row, which is not read; save the file with all values")
            cells = next(csv.reader([line], quotechar=sign, skipinitialspace=True, strict=True))
            if len(cells) != len(attributes):
                raise DataError(f"{place}: has {len(cells)} values, expected {len(attributes)} as there are attributes")
            rows.append([None if cell.strip() == "?" else cell.strip() for cell in cells])
            places.append(place)
    except csv.Error as error:
        raise DataError(f"{name}: line {number} can't be read ({error}); is a quote never closed?") from error
    finally:
        csv.field_size_limit(before)
    if not rows:
        raise DataError(f"{name}: no row stands below @data")
    last, kind = attributes[-1]
    label = last if kind.startswith("{") else None
    names = [one for one, _ in attributes]
    if relational is None:
        frame = pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row")
        return Rows(frame, name, places.__getitem__, digest, label=label)
    if labelled:
        only(options, ("label", "missing"), "an .arff file of sequences", _INSTEAD)
    if labelled and options.label is not None and options.label not in names:
        raise DataError(f'{name}: there is no attribute "{options.label}" (label){did_you_mean(options.label, names)}')
    label = options.label or label
    at = names.index(label) if label in names else None
    content = []
    for row, place in zip(rows, places, strict=True):
        parts = re.split(r"\\n|\n", (row[names.index(relational)] or "").strip())
        matrix = _matrix([part for part in parts if part.strip()] or ["?"], place)
        if content and matrix.shape[1] != len(content[0].columns.numbers):
            raise DataError(f"{place}: has {matrix.shape[1]} dimensions, expected {len(content[0].columns.numbers)}")
        if options.missing is not None:
            matrix[matrix == options.missing] = np.nan
        content.append(_record(None, matrix, place))
    labels = [None if at is None else as_label(row[at], place) for row, place in zip(rows, places, strict=True)]
    return _all(name, content, labels, places, digest)


def _attributes(lines: list[str], name: str) -> tuple[list[tuple[str, str]], str | None, int]:
    """Names and kinds, the relational one, and the first line of data."""
    attributes: list[tuple[str, str]] = []
    relational, inside = None, None
    for number, line in enumerate(lines):
        stripped = line.strip()
        lower = stripped.lower()
        if not stripped or stripped.startswith("%") or lower.startswith("@relation"):
            continue
        if lower.startswith("@data"):
            if not attributes:
                raise DataError(f"{name}: line {number + 1}: @data comes before any @attribute")
            return attributes, relational, number + 1
        if lower.startswith("@end"):
            inside = None
            continue
        found = re.fullmatch(r"""@attribute\s+("[^"]*"|'[^']*'|\S+?)\s*(\{.*\}|\s\S.*)""", stripped, re.IGNORECASE)
        if found is None:
            raise DataError(f'{name}: line {number + 1} is "{stripped[:40]}"; expected @attribute, name and type')
        own, kind = found[1].strip("\"'"), found[2].strip().lower()
        if inside is not None:
            continue  # the steps of the relational attribute
        if any(own == other for other, _ in attributes):
            raise DataError(f'{name}: line {number + 1}: the attribute "{own}" stands twice')
        attributes.append((own, kind))
        if kind.startswith("relational"):
            if relational is not None:
                raise DataError(f"{name}: line {number + 1}: a second relational attribute; expected one")
            relational = inside = own
    raise DataError(f"{name}: there is no line @data; the file is cut short, or is no .arff file")
