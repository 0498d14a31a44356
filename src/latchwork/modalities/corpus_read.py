"""Reading texts that a model learns to write: one file, a folder of them, a table with a column of texts, a list.

Texts are as the file has them, blanks and newlines included: what is done to them (NFC, lower case) is part of the
fitted :class:`~latchwork.modalities.vocabulary.Vocabulary`. An empty one among others stays, and the lint tells of it.
"""

import fnmatch
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from latchwork.errors import ConfigError, DataError, did_you_mean
from latchwork.modalities.corpus import Corpus, CorpusOptions
from latchwork.modalities.text_files import PACKED, Cells, read_cells, read_whole, stream
from latchwork.modalities.text_values import as_part, as_text
from latchwork.sequences.examples import Part

TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
_COLUMNS = ("text", "sentence", "tokens", "words", "content")
_TEXTS = (".txt", ".text", ".md")


def read_corpus(source: Any, options: CorpusOptions | None = None) -> Corpus:
    """Read texts from a path (``-``: standard input), a frame, a list of texts, or several of these by part.

    source   one of
             a file                   one text, whatever its ending says; packed (.gz, .xz, .bz2, a .zip's) or not
             a folder                 a text each, in the order of their paths; see ``pattern``
             csv, tsv, jsonl, parquet a text each row; and so are frames (pandas, polars, pyarrow)
             a list                   a text each
             {"train": …, "validation": …, "test": …} of these

    Raises :class:`DataError`: not found, damaged, not UTF-8 (and where), no such column, no text at all.
    """
    options = options or CorpusOptions()
    if isinstance(source, Mapping):
        return _joined({part: read_corpus(one, options) for part, one in by_part(source).items()})
    corpus = _read(source, options)
    if not any(one.strip() for one in corpus.documents):
        raise DataError(f"{corpus.name}: there is no text in it; expected at least one word")
    return corpus


def by_part(given: Mapping[str, Any]) -> dict[Part, Any]:
    """What a mapping gives for each part, called by any of their usual names."""
    found: dict[Part, Any] = {}
    for name, one in given.items():
        part = as_part(str(name), "the mapping")
        if part in found:
            raise ConfigError(f'the mapping gives the part {part} twice, the second time as "{name}"')
        found[part] = one
    if not found:
        raise DataError("the mapping is empty; expected train, and perhaps validation and test")
    return found


def _joined(given: dict[Part, Corpus]) -> Corpus:
    several = len({one.name for one in given.values()}) > 1
    return Corpus(
        documents=tuple(text for one in given.values() for text in one.documents),
        places=tuple(place if several else f"{part}: {place}" for part, one in given.items() for place in one.places),
        parts=tuple(part for part, one in given.items() for _ in one.documents),
        sha256=text_hash(part + one.sha256 for part, one in given.items()),
        name=next(iter(given.values())).name,
    )


def _read(source: Any, options: CorpusOptions) -> Corpus:
    if isinstance(source, (list, tuple)):
        places = [f"text {number}" for number in range(1, len(source) + 1)]
        return _of_cells(
            Cells("the list", {"text": list(source)}, places, "", headed=False), replace(options, text="text")
        )
    if not isinstance(source, (str, Path)):
        return _of_cells(read_cells(source, {}), options)
    path = Path(source).expanduser()
    if path.is_dir():
        return _folder(path, options)
    if options.pattern is not None:
        raise ConfigError(f'pattern="{options.pattern}" is for a folder, and {path.name or path} is none; leave it out')
    if _is_table(source, options):
        return _of_cells(read_cells(source, {"text": options.text}), options)
    name, text, digest = read_whole(source)
    return Corpus((text,), (name,), sha256=digest, name=name)


def _is_table(source: str | Path, options: CorpusOptions) -> bool:
    """By the name inside any packing; plain text is one where a column is named."""
    if str(source) == "-":
        return options.text is not None
    with stream(source) as (name, _):
        return name.lower().endswith(TABLES) or options.text is not None


def _of_cells(cells: Cells, options: CorpusOptions) -> Corpus:
    usual = next((name for name in _COLUMNS if name in cells.columns), "text")
    if options.text is None and usual not in cells.columns and len(cells.columns) == 1:
        usual = next(iter(cells.columns))
    column = cells.need(options.text or usual, "text", 'text="1"')
    texts = [
        sentences(value, place) if isinstance(value, (list, tuple)) else str(as_text(value, place, False))
        for value, place in zip(column, cells.places, strict=True)
    ]
    return Corpus(tuple(texts), tuple(cells.places), sha256=cells.sha256 or text_hash(texts), name=cells.name)


def _folder(folder: Path, options: CorpusOptions) -> Corpus:
    if options.text is not None:
        raise ConfigError(f'text="{options.text}" is a column, and {folder} is a folder; give a table, or leave it out')
    there = [path for path in folder.rglob("*") if path.is_file()]
    names = {path.relative_to(folder).as_posix(): path for path in there}
    seen = sorted(name for name in names if not any(part.startswith(".") for part in name.split("/")))
    wanted = [name for name in seen if _matches(name, options.pattern)]
    if not wanted:
        raise DataError(f"{folder}: {_no_files(seen, options.pattern)}")
    read = []
    for name in wanted:
        try:
            read.append(read_whole(names[name]))
        except DataError as error:
            where = str(error).replace(names[name].name, name, 1) if "/" in name else str(error)
            raise DataError(f"{where}; or leave the file out by pattern=") from error
    texts = tuple(text for _, text, _ in read)
    digest = text_hash(part for name, one in zip(wanted, read, strict=True) for part in (name, one[2]))
    return Corpus(texts, tuple(wanted), sha256=digest, name=folder.name or str(folder))


def _matches(name: str, pattern: str | None) -> bool:
    if pattern is None:
        plain = name.lower()
        for packed in PACKED:
            plain = plain.removesuffix(packed)
        return plain.endswith(_TEXTS)
    return fnmatch.fnmatchcase(name if "/" in pattern else name.rpartition("/")[2], pattern)


def _no_files(seen: Sequence[str], pattern: str | None) -> str:
    endings = sorted({Path(name).suffix for name in seen} - {""})
    has = f"it has {', '.join(endings[:8])}" if endings else "it is empty"
    if pattern is None:
        example = f'; name the files, as in pattern="*{endings[0]}"' if endings else ""
        return f"no text file ({', '.join(_TEXTS)}) is in the folder; {has}{example}"
    near = did_you_mean(pattern.lstrip("*"), endings)
    return f'no file of the folder matches pattern="{pattern}"{near}; {has}'


def sentences(value: Any, place: str, role: str = "text") -> str:
    """The text of a cell: the sentences of a list joined with blanks; "" where there is none."""
    if isinstance(value, (list, tuple)):
        return " ".join(text for one in value if (text := sentences(one, place, role)))
    if value is not None and not isinstance(value, str) and value == value:
        raise DataError(f"{place}: the {role} is {type(value).__name__} {str(value)[:40]}, expected a text")
    text = as_text(value if isinstance(value, str) else None, place, False)
    assert isinstance(text, str)
    return text.strip()


def text_hash(parts: Iterable[str]) -> str:
    """A hash of texts, one after the other."""
    hashed = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        hashed.update(b"%d:" % len(data) + data)
    return hashed.hexdigest()
