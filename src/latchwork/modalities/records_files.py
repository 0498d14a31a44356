"""Tables of measurements from one file, or from a folder or an archive of files, one sequence each.

Nothing is ever unpacked to the disk. Sizes and counts are checked before anything is read, since an archive of a few
kilobytes can hold gigabytes.
"""

import hashlib
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from latchwork.errors import DataError
from latchwork.modalities import table_files
from latchwork.modalities.source import SourceOptions
from latchwork.modalities.table_schema import TableOptions
from latchwork.modalities.values import to_texts

MAX_FILES = 200_000
MAX_FILE = 256 * 2**20
MAX_TOTAL = 2 * 2**30
ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".zip")
TABLES = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz")


@dataclass(frozen=True)
class Rows:
    """A table in the order of its file or files.

    frame   the cells, most as texts
    name    of the file, folder or archive
    place   where a row stands, for people
    sha256  of the file; of a folder or archive, of its files' names and bytes
    files   [rows] which file a row is from, where there are several
    stems   of these, the names without folders and endings
    label   the column of the label where the kind of file says which it is
    bare    whether the columns have no names: they are called 1, 2, …
    """

    frame: pl.DataFrame
    name: str
    place: Callable[[int], str]
    sha256: str
    files: NDArray[np.int64] | None = None
    stems: tuple[str, ...] = ()
    label: str | None = None
    bare: bool = False


def load_rows(source: Any, options: SourceOptions, beside: Path | None = None) -> Rows:
    """A table from a path (a file, a folder, an archive, ``-``) or a frame. Raises :class:`DataError`.

    beside  a file in that folder which is not one of the sequences: the labels
    """
    if isinstance(source, (str, Path)) and str(source) != "-":
        path = Path(source).expanduser()
        if path.is_dir() or path.name.lower().endswith(ARCHIVES):
            return _several(path, beside)
        if path.name.lower().endswith(TABLES):
            return _text_table(path.name, read_bytes(path), options)
    loaded = table_files.load(source, TableOptions())
    return Rows(loaded.frame, loaded.name, loaded.place, loaded.sha256)


def read_bytes(path: Path) -> bytes:
    """A whole file, not larger than ``MAX_TOTAL``."""
    try:
        if not path.is_file():
            raise DataError(f"no such file: {path}{table_files._near(path)}")
        _check_size(path.name, path.stat().st_size, MAX_TOTAL)
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: can't be read: {error.strerror or error}") from error


def unpack(data: bytes, name: str, limit: int | None = None) -> bytes:
    """The bytes, unpacked if they are gzip, up to ``limit`` (``MAX_TOTAL`` by default)."""
    limit = MAX_TOTAL if limit is None else limit
    if data[:2] != b"\x1f\x8b":
        return data
    parts, size = [], 0
    try:
        while data[:2] == b"\x1f\x8b":
            stream = zlib.decompressobj(31)
            parts.append(stream.decompress(data, limit - size + 1))
            size += len(parts[-1])
            _check_size(name, size, limit)
            if not stream.eof:
                raise EOFError("it ends too early")
            data = stream.unused_data
    except (EOFError, zlib.error) as error:
        raise DataError(f"{name}: the gzip file is damaged or cut short ({error}); copy it again") from error
    return b"".join(parts)


def read_text(path: Path) -> tuple[str, str]:
    """The text of a file that may be gzipped, and the sha256 of the file."""
    data = read_bytes(path)
    text = table_files._utf8(unpack(data, path.name), path.name, "utf-8").decode()
    if not text.strip():
        raise DataError(f"{path.name}: the file is empty")
    return text, hashlib.sha256(data).hexdigest()


def _check_size(name: str, size: int, limit: int) -> None:
    if size > limit:
        raise DataError(f"{name}: holds {size:,} bytes or more, at most {limit:,} are read; split it into smaller ones")


def _text_table(name: str, data: bytes, options: SourceOptions) -> Rows:
    """A csv, tsv or txt file; with a first line of numbers it has no header, as in the UCR archive: label first."""
    digest = hashlib.sha256(data).hexdigest()
    data = unpack(data, name)
    if not data.strip():
        raise DataError(f"{name}: the file is empty; expected a table with a header")
    kind = name.lower().removesuffix(".gz").rpartition(".")[2]
    data = _spaces(data) if kind == "txt" else data
    separator = "\t" if kind == "tsv" else None
    width = _headless(data)
    by_number = (options.label or "").isdigit()
    bare = width > 0 and (by_number or (kind != "csv" and options.id is None and options.variable is None))
    if bare:  # named for the reading, by number afterwards
        first = data.split(b"\n", 1)[0]
        mark = max((b",", b";", b"\t", b"|"), key=first.count)
        data = mark.join(b"column_%d" % number for number in range(1, width + 1)) + b"\n" + data
    frame, header, row = _csv(data, name, separator)
    label = None
    if bare:
        frame = frame.rename({f"column_{number}": str(number) for number in range(1, width + 1)})
        label = options.label or "1"
        if label in frame.columns:  # a class may be written 1.0000000e+00
            plain = frame[label].str.strip_chars().cast(pl.Float64, strict=False)
            frame = frame.with_columns(to_texts(plain).alias(label)) if plain.is_not_null().all() else frame
        header = None if header is None else header - 1
    loaded = table_files.Loaded(frame, row, name, header, digest)
    return Rows(frame, name, loaded.place, digest, label=label, bare=bare)


def _csv(data: bytes, name: str, separator: str | None) -> tuple[pl.DataFrame, int | None, pl.Series]:
    """Cells as texts, the lines above the first row (None where lines and rows do not go together), rows by number."""
    data = table_files._utf8(data, name, "utf-8")
    if not data.split(b"\n", 1)[0].strip():
        raise DataError(f"{name}: line 1 is empty; expected the names of the columns")
    frame, header, row = table_files._csv(data, name, separator, TableOptions())
    if not len(frame):
        raise DataError(f"{name}: there is a header but no row below it; expected at least one row")
    return frame, header, row


def _spaces(data: bytes) -> bytes:
    """Columns that are cut by spaces, cut by commas."""
    first = data.lstrip().split(b"\n", 1)[0]
    if any(sign in first for sign in (b",", b";", b"\t", b"|", b'"')) or b" " not in first.strip():
        return data
    return b"\n".join(b",".join(line.split()) for line in data.splitlines())


def _headless(data: bytes) -> int:
    """How many numbers the first line holds; 0 where it holds something else."""
    first = data.removeprefix(b"\xef\xbb\xbf").split(b"\n", 1)[0].strip()
    cells = first.replace(b";", b",").replace(b"\t", b",").replace(b"|", b",").split(b",")
    return len(cells) if all(table_files._is_number(cell.decode("latin-1")) for cell in cells) else 0


# Several files


def _several(path: Path, beside: Path | None) -> Rows:
    """The files of a folder or an archive, below each other. They must have the same columns."""
    names: list[str] = []
    texts: list[bytes] = []
    digest = hashlib.sha256()
    for name, data in _members(path, beside):
        digest.update(name.encode("utf-8", "surrogateescape") + b"\0" + hashlib.sha256(data).digest())
        where = f"{path.name}: {name}"
        data = unpack(data, where, MAX_FILE).removeprefix(b"\xef\xbb\xbf")
        if not data.strip():
            raise DataError(f"{where}: the file is empty; expected a table with a header")
        names.append(name)
        texts.append(data)
    if not names:
        raise DataError(f"{path.name}: holds no {', '.join(TABLES[:3])} file; expected one for each sequence")
    stems = tuple(_stem(name) for name in names)
    twice = next((stem for stem, other in zip(sorted(stems), sorted(stems)[1:], strict=False) if stem == other), None)
    if twice is not None:
        stems = tuple(names)
    frame, files, rows = _at_once(path.name, names, texts) or _one_by_one(path.name, names, texts)

    def place(row: int) -> str:
        return f"{path.name}: {names[int(files[row])]}: row {int(rows[row])}"

    return Rows(frame, path.name, place, digest.hexdigest(), files, stems)


def _stem(name: str) -> str:
    base = name.rpartition("/")[2]
    return base.removesuffix(".gz").rpartition(".")[0] or base


def _at_once(
    name: str, names: list[str], texts: list[bytes]
) -> tuple[pl.DataFrame, NDArray[np.int64], NDArray[np.int64]] | None:
    """All in one reading, for files with the same header and one line for each row; None where they are not so."""
    header = texts[0].partition(b"\n")[0].rstrip()
    bodies = []
    for data in texts:
        own, _, body = data.partition(b"\n")
        if own.rstrip() != header or b'"' in data or not body.strip():
            return None
        bodies.append(body if body.endswith(b"\n") else body + b"\n")
    kinds = {file.lower().removesuffix(".gz").rpartition(".")[2] == "tsv" for file in names}
    if len(kinds) > 1:
        return None
    try:
        frame, lines, row = _csv(header + b"\n" + b"".join(bodies), name, "\t" if kinds.pop() else None)
    except DataError:
        return None  # read one by one, the file that is wrong is named
    if lines != 1:
        return None
    ends = np.cumsum([body.count(b"\n") for body in bodies])
    at = row.to_numpy().astype(np.int64) - 1
    files = np.searchsorted(ends, at, side="right")
    return frame, files, at - np.concatenate([[0], ends])[files] + 1


def _one_by_one(
    name: str, names: list[str], texts: list[bytes]
) -> tuple[pl.DataFrame, NDArray[np.int64], NDArray[np.int64]]:
    frames: list[pl.DataFrame] = []
    rows = []
    for file, data in zip(names, texts, strict=True):
        tabs = file.lower().removesuffix(".gz").endswith(".tsv")
        where = f"{name}: {file}"
        frame, _, row = _csv(data, where, "\t" if tabs else None)
        if frames and set(frame.columns) != set(frames[0].columns):
            raise DataError(
                f"{where}: has the columns {', '.join(frame.columns)}; expected {', '.join(frames[0].columns)}, "
                f"as in {names[0]}"
            )
        frames.append(frame.select(frames[0].columns) if frames else frame)
        rows.append(row.to_numpy().astype(np.int64))
    files = np.repeat(np.arange(len(frames)), [len(frame) for frame in frames])
    return pl.concat(frames), files, np.concatenate(rows)


def _members(path: Path, beside: Path | None) -> Iterator[tuple[str, bytes]]:
    """The tables of a folder or archive, by name, in order of their names."""
    read = _folder if path.is_dir() else _zip if path.name.lower().endswith(".zip") else _tar
    try:
        if not path.exists():
            raise DataError(f"no such file: {path}{table_files._near(path)}")
        skipped = beside and beside.resolve()
        yield from sorted(one for one in read(path) if skipped is None or (path / one[0]).resolve() != skipped)
    except (OSError, EOFError, tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error, RuntimeError) as error:
        raise DataError(f"{path.name}: can't be read as an archive or folder ({error}); copy it again") from error


def _wanted(name: str) -> bool:
    parts = name.replace("\\", "/").split("/")
    hidden = any((part.startswith(("._", ".")) and part not in (".", "..")) or part == "__MACOSX" for part in parts)
    return not hidden and name.lower().endswith(TABLES)


class _Count:
    """What an archive may hold: it refuses before it is too much."""

    def __init__(self, name: str) -> None:
        self.name, self.files, self.size = name, 0, 0

    def __call__(self, name: str, size: int) -> None:
        self.files += 1
        self.size += size
        _check_size(f"{self.name}: {name}", size, MAX_FILE)
        _check_size(self.name, self.size, MAX_TOTAL)
        if self.files > MAX_FILES:
            raise DataError(f"{self.name}: holds more than {MAX_FILES:,} files; split it into smaller ones")


def _folder(path: Path) -> Iterator[tuple[str, bytes]]:
    count = _Count(path.name)
    for file in path.rglob("*"):
        name = file.relative_to(path).as_posix()
        if _wanted(name) and file.is_file():
            count(name, file.stat().st_size)
            yield name, file.read_bytes()


def _zip(path: Path) -> Iterator[tuple[str, bytes]]:
    count = _Count(path.name)
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            count(entry.filename, entry.file_size)
        for entry in archive.infolist():
            if not entry.is_dir() and _wanted(entry.filename):
                yield entry.filename, archive.read(entry)


class _Bounded(io.RawIOBase):
    """A stream that refuses to give more than an archive may hold, whatever the headers inside of it say."""

    def __init__(self, inner: Any, name: str) -> None:
        self.inner, self.name, self.given = inner, name, 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if size < 0 or size > MAX_FILE:
            raise DataError(f"{self.name}: a part of the archive wants {size:,} bytes, at most {MAX_FILE:,} are read")
        data = self.inner.read(size)
        self.given += len(data)
        _check_size(self.name, self.given, MAX_TOTAL + MAX_FILES * 1024)
        return data


def _tar(path: Path) -> Iterator[tuple[str, bytes]]:
    import bz2
    import gzip

    lower = path.name.lower()
    opened = next(
        (opener for endings, opener in (((".gz", ".tgz"), gzip.open), ((".xz", ".txz"), lzma.open),
                                        ((".bz2",), bz2.open)) if lower.endswith(endings)), open,
    )  # fmt: skip
    count = _Count(path.name)
    with opened(path, "rb") as inner, tarfile.open(fileobj=_Bounded(inner, path.name), mode="r|") as archive:
        for entry in archive:
            count(entry.name, entry.size)
            if not _wanted(entry.name) or entry.isdir():
                continue
            file = archive.extractfile(entry) if entry.isreg() else None
            if file is None:
                raise DataError(f"{path.name}: {entry.name} is a link or a device; expected plain files")
            yield entry.name, file.read()
