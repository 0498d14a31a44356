"""Files of text: found, unpacked and decoded; and tables of texts, cell by cell, with the line that each row is in."""

import bz2
import csv
import gzip
import hashlib
import io
import json
import lzma
import sys
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from latchwork.errors import DataError, did_you_mean
from latchwork.modalities.table_files import load
from latchwork.modalities.table_schema import TableOptions

COLUMNS = (".conll", ".conllu", ".bio", ".iob")
KINDS = (".csv", ".tsv", ".txt", ".jsonl", ".ndjson", ".parquet", *COLUMNS)
PACKED = (".gz", ".xz", ".bz2", ".zip")
MAX_BYTES = 4 << 30
"""Of a text file once unpacked."""

_OPENERS = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}
_DAMAGED = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, RuntimeError)
_SEPARATORS = (",", ";", "\t", "|")
_EXAMPLE = 'text="2", label="1"'
_TEXT_NAMES = ("text", "sentence", "message", "content", "review", "tokens")
_LABEL_NAMES = ("label", "labels", "class", "category", "target", "sentiment", "tags")


@dataclass(frozen=True)
class TextFile:
    """A file as text: its name, its kind (the suffix, without those of packing), its lines without their ends."""

    name: str
    kind: str
    lines: list[str]
    sha256: str


@dataclass(frozen=True)
class Cells:
    """A table: the columns by name, and where each row stands, for people."""

    name: str
    columns: dict[str, list[Any]]
    places: list[str]
    sha256: str
    headed: bool = True

    def need(self, column: str, role: str, example: str = "") -> list[Any]:
        """A column that must be there; raises :class:`DataError` with what the file has.

        example  how columns are given by number: of labelled texts as there
        """
        if column in self.columns:
            return self.columns[column]
        known = list(self.columns)
        shown = ", ".join(_short(name) for name in known[:8]) + (", …" if len(known) > 8 else "")
        hint = did_you_mean(column, known) or f"; name the right one with {role}="
        if role == "text" and not example and not hint.startswith("; did"):
            hint += "; for measurements give id= or columns="
        if self.headed and len(known) > 1 and not hint.startswith("; did"):
            hint += f", or, if line 1 is no header, give the columns by number, as in {example or _EXAMPLE}"
        raise DataError(f'{self.name}: there is no column "{column}" ({role}){hint} (columns: {shown})')


@contextmanager
def stream(source: str | Path) -> Iterator[tuple[str, BinaryIO]]:
    """(name, open file) of a file, unpacked on the way: .gz, .xz, .bz2, or one file of a .zip.

    Where a .zip holds several files, the path goes on inside: ``corpus.zip/train.txt``. Raises :class:`DataError`.
    """
    path, suffix = Path(source).expanduser(), ""
    try:
        path, inside = _find(path)
        suffix = path.suffix.lower()
        if suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                member = _member(archive, path, inside)
                with archive.open(member) as file:
                    yield Path(member).name, file  # type: ignore[misc]
        else:
            with _OPENERS.get(suffix, open)(path, "rb") as file:
                yield path.name.removesuffix(path.suffix) if suffix in _OPENERS else path.name, file
    except _DAMAGED as error:
        why = f"{suffix} file is damaged or cut short" if suffix in PACKED else "can't be read:"
        raise DataError(f"{path}: {why} ({getattr(error, 'strerror', None) or error})") from error


def _find(path: Path) -> tuple[Path, str]:
    for parent in path.parents:
        if parent.suffix.lower() == ".zip" and parent.is_file():
            return parent, path.relative_to(parent).as_posix()
    if path.is_dir():
        raise DataError(f"{path} is a folder; expected a file ({', '.join(KINDS)})")
    if not path.exists():
        names = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        raise DataError(f"no such file: {path}{did_you_mean(path.name, names)}")
    return path, ""


def _member(archive: zipfile.ZipFile, path: Path, inside: str) -> str:
    names = [one.filename for one in archive.infolist() if not one.is_dir()]
    if inside:
        if inside not in names:
            raise DataError(f'{path.name} holds no file "{inside}"{did_you_mean(inside, names)}')
        return inside
    sizes = {one.filename: one.file_size for one in archive.infolist()}
    names = [name for name in names if name.lower().endswith(KINDS) and not name.startswith("__MACOSX/")] or names
    if len(names) != 1:
        example = f"; name one, as in {path.name}/{max(names, key=sizes.__getitem__)}" if names else ""
        raise DataError(f"{path.name} holds {len(names)} files that could be meant, expected one{example}")
    return names[0]


def open_text(source: str | Path) -> TextFile:
    """Read a text file whole. Raises :class:`DataError`: not found, of no known kind, damaged, or not UTF-8."""
    if str(source) == "-":
        name, kind, data = "standard input", "", _standard_input()
    else:
        name, kind, data = _read(source)
    text = _decode(data, name)
    if not text.strip():
        raise DataError(f"{name}: the file is empty; expected texts")
    # not splitlines: a text may hold U+2028 or U+0085
    lines = text.removesuffix("\n").split("\n")
    return TextFile(name, kind or _guess(text), lines, hashlib.sha256(data).hexdigest())


def read_whole(source: str | Path) -> tuple[str, str, str]:
    """(name, text, sha256) of a file of text, whatever its ending says; lines end with a newline, also the last one
    where it did. Raises :class:`DataError` as :func:`open_text` does, but an empty file is an empty text."""
    if str(source) == "-":
        name, data = "standard input", _standard_input()
    else:
        with stream(source) as (name, file):
            data = file.read(MAX_BYTES + 1)
    return name, _decode(data, name), hashlib.sha256(data).hexdigest()


def _standard_input() -> bytes:
    return sys.stdin.buffer.read(MAX_BYTES + 1)


def _read(source: str | Path) -> tuple[str, str, bytes]:
    with stream(source) as (name, file):
        kind = Path(name).suffix.lower()
        if kind not in KINDS or kind == ".parquet":
            raise DataError(f'{name}: a file that ends in "{kind}" is not known here; expected {", ".join(KINDS)}')
        return name, kind, file.read(MAX_BYTES + 1)


def _guess(text: str) -> str:
    """The kind of what came without a name: JSON lines, a table with a column of texts, or plain text."""
    if text.lstrip().startswith("{"):
        return ".jsonl"
    first = text.lstrip().partition("\n")[0]
    separator = max(_SEPARATORS, key=first.count)
    known = {cell.strip(' "').lower() for cell in first.split(separator)} & set(_TEXT_NAMES)
    return (".tsv" if separator == "\t" else ".csv") if known else ".txt"


def _decode(data: bytes, name: str) -> str:
    if len(data) > MAX_BYTES:
        raise DataError(f"{name}: more than {MAX_BYTES:,} bytes once unpacked; split the file")
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
    try:
        text = data.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        raise DataError(
            f"{name}: line {line}, byte {column}: 0x{data[error.start]:02x} is not {encoding} text; "
            "save the file as UTF-8"
        ) from error
    return text.replace("\r\n", "\n") if "\n" in text else text.replace("\r", "\n")


def read_cells(source: Any, wanted: Mapping[str, str | None]) -> Cells:
    """A table of texts: csv, tsv, JSON lines, Parquet, or a pandas, polars or pyarrow frame.

    wanted  the columns that options name, by their part. A csv or tsv file whose columns are named by number has no
            header: its first line is a row.

    A tsv file is split at its tabs, and quotes are letters like others; only where its lines then differ in the number
    of cells are quotes read as in a csv file.
    """
    if not isinstance(source, (str, Path)) or str(source).lower().endswith(".parquet"):
        loaded = load(source, TableOptions())
        places = [loaded.place(row) for row in range(len(loaded.frame))]
        return Cells(loaded.name, {c.name: _listed(c) for c in loaded.frame}, places, loaded.sha256, headed=False)
    return cells_of(open_text(source), wanted)


def _listed(column: Any) -> list[Any]:
    return column.cast(str).to_list() if column.dtype.is_temporal() else column.to_list()


def _json_lines(file: TextFile) -> Cells:
    rows: list[dict[str, Any]] = []
    numbers: list[int] = []
    for number, line in enumerate(file.lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise DataError(f"{file.name}: line {number} is not a JSON object; expected one object a line")
        rows.append(row)
        numbers.append(number)
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {name: [row.get(name) for row in rows] for name in names}
    return Cells(file.name, columns, [f"{file.name}: line {number}" for number in numbers], file.sha256, headed=False)


def cells_of(file: TextFile, wanted: Mapping[str, str | None]) -> Cells:
    """The table that a file of lines holds; see :func:`read_cells`."""
    if file.kind in (".jsonl", ".ndjson"):
        return _json_lines(file)
    first = next(line for line in file.lines if line.strip())
    separator = max(_SEPARATORS, key=first.count) if file.kind == ".csv" else "\t"
    rows = [(number, line.split("\t")) for number, line in enumerate(file.lines, 1) if line.strip()]
    if separator != "\t" or len({len(cells) for _, cells in rows}) > 1:
        rows = list(_csv_rows(file, separator))
    names = [cell.strip() for cell in rows[0][1]]
    headless = _headless(file.name, names, wanted)
    if headless:
        names = [str(number) for number in range(1, len(names) + 1)]
    else:
        names = [name or f"column_{number}" for number, name in enumerate(names, 1)]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise DataError(f'{file.name}: line 1 names the column "{_short(twice)}" twice; rename one of them')
        rows = rows[1:]
        if not rows:
            raise DataError(f"{file.name}: there is a header but no row below it; expected at least one row")
    for number, cells in rows:
        if len(cells) != len(names):
            raise DataError(
                f"{file.name}: line {number} has {len(cells)} cells, expected {len(names)} as in the first line"
                + ("" if separator == "\t" else f'; put quotes around a cell that holds "{separator}"')
            )
    columns = {name: [cells[index] for _, cells in rows] for index, name in enumerate(names)}
    if headless:
        places = [f"{file.name}: line {number}" for number, _ in rows]
    else:
        places = [f"{file.name}: row {row} (line {number})" for row, (number, _) in enumerate(rows, 1)]
    return Cells(file.name, columns, places, file.sha256, headed=not headless)


def _headless(name: str, header: list[str], wanted: Mapping[str, str | None]) -> bool:
    """Whether the options name columns by number, and the first line is a row."""
    numbers = {role: int(name) for role, name in wanted.items() if name and name.isascii() and name.isdigit()}
    if not numbers:
        return False
    for role, number in numbers.items():
        if not 1 <= number <= len(header):
            raise DataError(f"{name}: {role} is column {number}, but the first line has {len(header)}")
        known = {"text": _TEXT_NAMES, "label": _LABEL_NAMES}.get(role, ())
        if header[number - 1].lower() in known:
            raise DataError(
                f"{name}: line 1 looks like a header ({', '.join(map(_short, header))}); "
                f'name the columns by it, as in {role}="{header[number - 1]}"'
            )
    named = [role for role, column in wanted.items() if column and role not in numbers]
    if named:
        raise DataError(
            f'{name}: {next(iter(numbers))} is given by number and {named[0]} by name ("{wanted[named[0]]}"); '
            "give all of them by number (no header) or all by name"
        )
    return True


def _csv_rows(file: TextFile, separator: str) -> Iterator[tuple[int, list[str]]]:
    before = csv.field_size_limit(1 << 30)
    reader = csv.reader(io.StringIO("\n".join(file.lines), newline=""), delimiter=separator, strict=True)
    begin = 1
    try:
        for cells in reader:
            if cells and (len(cells) > 1 or cells[0].strip()):
                yield begin, cells
            begin = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"{file.name}: the cell that begins in line {begin} can't be read ({error}); is a quote never closed?"
        ) from error
    finally:
        csv.field_size_limit(before)


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:39] + "…"
