"""A file, or a frame in memory, becomes one polars frame: csv cells as texts, all else with the types it has."""

import csv
import gzip
import hashlib
import io
import json
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import narwhals as nw
import numpy as np
import polars as pl
from narwhals.exceptions import DuplicateError

from latchwork.errors import DataError, did_you_mean
from latchwork.modalities.table_schema import TableOptions

FORMATS = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".parquet", ".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")
_SEPARATORS = (",", ";", "\t", "|")


@dataclass(frozen=True)
class Loaded:
    """What was loaded: ``frame`` in the order of the file, ``row`` the number of each row (the first is 1).

    name    of the file, or "the frame"
    header  lines above row 1, for files of lines where lines and rows go together; None for others
    sha256  of the bytes of the file as it lies there, or of the frame written as csv
    """

    frame: pl.DataFrame
    row: pl.Series
    name: str
    header: int | None
    sha256: str

    def place(self, row: int) -> str:
        """Where row ``row`` (an index into ``frame``) stands, for people: ``sales.csv: row 3 (line 4)``."""
        number = int(self.row[row])
        line = "" if not self.header else f" (line {number + self.header})"
        return f"{self.name}: row {number}{line}"


def load(source: Any, options: TableOptions) -> Loaded:
    """Load a path (``-``: standard input), or a pandas, polars or pyarrow frame. Raises :class:`DataError`."""
    if isinstance(source, (str, Path)):
        name, data = _bytes(source)
        digest = hashlib.sha256(data).hexdigest()
        suffix = "".join(Path(name).suffixes[-2:]).lower()
        kind = _guess(data) if str(source) == "-" else suffix.removesuffix(".gz").rpartition(".")[2]
        data = _unpack(data, name) if data[:2] == b"\x1f\x8b" else data
        if not data.removeprefix(b"\xef\xbb\xbf").strip():
            raise DataError(f"{name}: the file is empty; expected a table with a header")
        if kind == "parquet":
            frame, header, row = _parquet(data, name), None, None
        elif kind in ("jsonl", "ndjson"):
            frame, header, row = _json_lines(data, name), 0, None
        else:
            frame, header, row = _csv(data, name, "\t" if kind == "tsv" else None, options)
        row = pl.int_range(1, len(frame) + 1, eager=True) if row is None else row
    else:
        name, frame = "the frame", _frame(source)
        digest = _digest(frame)
        header, row = None, pl.int_range(1, len(frame) + 1, eager=True)
    if not len(frame):
        raise DataError(f"{name}: there is a header but no row below it; expected at least one row")
    return Loaded(frame, row, name, header, digest)


def _bytes(source: str | Path) -> tuple[str, bytes]:
    if str(source) == "-":
        return "standard input", sys.stdin.buffer.read()
    path = Path(source).expanduser()
    try:
        if path.is_dir():
            raise DataError(f"{path} is a folder; expected a file ({', '.join(FORMATS)})")
        if not path.exists():
            raise DataError(f"no such file: {path}{_near(path)}")
        if not path.name.lower().endswith(FORMATS):
            ending = "".join(path.suffixes[-2:] if path.suffix == ".gz" else path.suffixes[-1:])
            raise DataError(f'{path.name}: a file that ends in "{ending}" is not known; expected {", ".join(FORMATS)}')
        return path.name, path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: can't be read: {error.strerror or error}") from error


def _near(path: Path) -> str:
    try:
        names = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else None
    except OSError:
        names = []
    return f" (there is no folder {path.parent})" if names is None else did_you_mean(path.name, names)


def _guess(data: bytes) -> str:
    start = data[:64].lstrip(b"\xef\xbb\xbf \r\n\t")
    return "parquet" if start[:4] == b"PAR1" else "jsonl" if start[:1] == b"{" else "csv"


def _unpack(data: bytes, name: str) -> bytes:
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{name}: the gzip file is damaged or cut short ({error}); copy it again") from error


def _parquet(data: bytes, name: str) -> pl.DataFrame:
    try:
        return pl.read_parquet(io.BytesIO(data))
    except pl.exceptions.PolarsError as error:
        raise DataError(f"{name}: not a readable Parquet file ({_first_line(error)})") from error


def _json_lines(data: bytes, name: str) -> pl.DataFrame:
    try:
        return pl.read_ndjson(io.BytesIO(data.removeprefix(b"\xef\xbb\xbf")), infer_schema_length=None)
    except pl.exceptions.PolarsError as error:
        for number, line in enumerate(data.splitlines(), 1):
            try:
                good = not line.strip() or isinstance(json.loads(line), dict)
            except ValueError:
                good = False
            if not good:
                raise DataError(f"{name}: line {number} is not a JSON object; expected one object a line") from error
        raise DataError(f"{name}: the lines do not make a table ({_first_line(error)})") from error


def _csv(
    data: bytes, name: str, separator: str | None, options: TableOptions
) -> tuple[pl.DataFrame, int | None, pl.Series]:
    """Every cell as text, so that 007 stays 007 and a bad number can be shown; blank lines are left out but counted."""
    data = _utf8(data, name, options.encoding)
    if b"\r" in data and b"\n" not in data:
        data = data.replace(b"\r", b"\n")
    first = data.split(b"\n", 1)[0].decode()
    separator = options.separator or separator or max(_SEPARATORS, key=first.count)
    names = next(csv.reader(io.StringIO(data[: 1 << 20].decode("utf-8", "ignore")), delimiter=separator))
    names = _header([column.strip() for column in names], name)
    if _ragged(data, separator, len(names)):
        _refuse_ragged(data, name, separator, len(names))
    try:
        frame = pl.read_csv(data, separator=separator, infer_schema=False, new_columns=names, low_memory=False)
    except pl.exceptions.NoDataError as error:
        raise DataError(f"{name}: there is a header but no row below it; expected at least one row") from error
    except pl.exceptions.PolarsError as error:
        _refuse_ragged(data, name, separator, len(names))
        raise DataError(f"{name}: not a readable csv file ({_first_line(error)}); is a quote never closed?") from error
    row = pl.int_range(1, len(frame) + 1, eager=True)
    lines = data.count(b"\n") + (not data.endswith(b"\n"))
    header = 1 if lines == len(frame) + 1 else None  # a cell may hold a line break
    if frame.width == 1:  # a blank line is a missing value
        return frame, header, row
    blank = frame.select(pl.all_horizontal(pl.all().is_null() | (pl.all() == ""))).to_series()
    return (frame.filter(~blank), header, row.filter(~blank)) if blank.any() else (frame, header, row)


def _utf8(data: bytes, name: str, encoding: str) -> bytes:
    """The text as UTF-8 without a byte order mark."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") and encoding == "utf-8":
        encoding = "utf-16"
    try:
        text = data.decode(encoding)
    except LookupError as error:
        raise DataError(f'encoding "{encoding}" is not known; expected one like utf-8 or latin-1') from error
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{name}: line {line}: byte 0x{data[error.start]:02x} is not {encoding} text; "
            f'save the file as UTF-8, or give encoding="latin-1" if that is what it is'
        ) from error
    return data.removeprefix(b"\xef\xbb\xbf") if encoding in ("utf-8", "utf8") else text.removeprefix("\ufeff").encode()


def _header(names: list[str], name: str) -> list[str]:
    if not names:
        raise DataError(f"{name}: line 1 is blank, expected the names of the columns; remove the line")
    names = [column or f"column_{number}" for number, column in enumerate(names, 1)]
    if all(_is_number(column) for column in names):
        raise DataError(
            f'{name}: line 1 holds numbers ("{names[0]}", …), expected the names of the columns; add a header'
        )
    twice = next((column for column in names if names.count(column) > 1), None)
    if twice is not None:
        raise DataError(f'{name}: line 1 names the column "{twice}" twice; rename one of them')
    return names


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _ragged(data: bytes, separator: str, columns: int) -> bool:
    """Whether some line seems to have more or fewer cells than the header; separators between quotes don't count."""
    text = np.frombuffer(data, np.uint8)
    quotes, cuts, ends = (np.flatnonzero(text == ord(sign)) for sign in ('"', separator, "\n"))
    ends = ends if data.endswith(b"\n") else np.append(ends, len(text))
    if len(quotes):
        cuts, ends = (at[np.searchsorted(quotes, at) % 2 == 0] for at in (cuts, ends))
    cells = np.diff(np.searchsorted(cuts, ends), prepend=0) + 1
    lengths = np.diff(ends, prepend=-1) - 1
    blank = (lengths == 0) | ((lengths == 1) & (text[ends - 1] == ord("\r")))
    return bool((cells[~blank] != columns).any())


def _refuse_ragged(data: bytes, name: str, separator: str, columns: int) -> None:
    for line, cells in _rows(data, name, separator):
        if cells and cells != [""] and len(cells) != columns:
            raise DataError(
                f"{name}: line {line} has {len(cells)} cells, expected {columns} as in the header; "
                f'put quotes around a cell that holds "{separator}"'
            )


def _rows(data: bytes, name: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(data.decode(), newline=""), delimiter=separator, strict=True)
    begin = 1
    try:
        for cells in reader:
            yield begin, cells
            begin = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{name}: the cell that begins in line {begin} can't be read ({error})") from error


def _frame(source: Any) -> pl.DataFrame:
    try:
        frame = nw.from_native(source)
    except TypeError as error:
        raise DataError(
            f"a table is a path or a pandas, polars or pyarrow frame, got {type(source).__name__}"
            + ("; make a frame of it with .to_frame()" if type(source).__name__ == "Series" else "")
        ) from error
    except DuplicateError as error:
        raise DataError("the frame has two columns of the same name; rename one of them") from error
    if isinstance(frame, nw.LazyFrame):
        frame = frame.collect()
    try:
        return frame.to_polars()
    except (TypeError, ValueError, pl.exceptions.PolarsError) as error:
        raise DataError(
            f"the frame has a column of mixed or unknown types ({_first_line(error)}); give each column one plain type"
        ) from error


def _digest(frame: pl.DataFrame) -> str:
    simple = [column.name for column in frame if not column.dtype.is_nested() and column.dtype != pl.Object]
    try:
        return hashlib.sha256(frame.select(simple).write_csv().encode()).hexdigest()
    except pl.exceptions.PolarsError as error:
        raise DataError(f"the frame has a column of an unknown type ({_first_line(error)}); make it plain") from error


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
