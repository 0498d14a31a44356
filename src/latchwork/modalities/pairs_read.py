"""Reading pairs of texts: tables, and two files with a text a line; in one file, or in one for each part."""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from latchwork.errors import ConfigError, DataError
from latchwork.modalities.corpus_read import TABLES, by_part, sentences, text_hash
from latchwork.modalities.pairs import PairOptions
from latchwork.modalities.pairs_files import found_files, is_prefix
from latchwork.modalities.text_files import Cells, TextFile, cells_of, open_text, read_cells, read_whole, stream
from latchwork.sequences.examples import Labelled, Part

_NAMES = {"source": ("source", "src"), "target": ("target", "tgt")}
_TWO = (
    'give the folder of two files with a text a line, or what their names begin with, and source="de", target="en" for '
    "their endings"
)
_EXAMPLE = 'source="1", target="2"'
_HEADER = 1 << 12
"""Bytes of a first line in which names of columns are looked for."""


def read_pairs(source: Any, options: PairOptions | None = None, *, labelled: bool = True) -> Labelled:
    """Read pairs: content is the source text, the label the target text (None where it is empty).

    source    one of
              csv, tsv, txt with tabs  a pair a line; without a header the first two columns, or columns by number
              jsonl, parquet, frames   a pair a row; a cell that is a list of sentences is joined with blanks
              (file, file)             line-parallel: line n of the second belongs to line n of the first
              a folder, or a prefix    files of it for each part, by their names: train*, val* or dev*, test*: two that
                                       end in the names of ``source`` and ``target`` (train.de, train.en), or a table.
                                       Of several for one part the first is taken, see :func:`pair_notes`.
              a list                   of pairs, or (not ``labelled``) of sources
              {"train": …, "validation": …, "test": …} of these
    labelled  False: the sources are asked about. Then a line of plain text is a source, also an empty one.

    Files may be packed. Each source text is a group, so that it is not in training and test at once; the labels are
    tuples where there are several ``references``. Raises :class:`DataError`: files of different length (and where they
    part), not UTF-8, no such column, no pair at all.
    """
    options = options or PairOptions()
    if isinstance(source, Mapping):
        given: dict[Part, Labelled] = {}
        for part, one in by_part(source).items():
            given[part] = read_pairs(one, options, labelled=labelled)
        for part, one in given.items():
            if len(set(one.parts or (None,))) > 1:
                raise ConfigError(f"what is given for the {part} part has parts of its own; give one file, or a prefix")
        return Labelled.joined(given)
    found = _read(source, options, labelled)
    if labelled and not any(
        text and label is not None for text, label in zip(found.content, found.labels, strict=True)
    ):
        raise DataError(f"{found.places[0].partition(':')[0]}: there is no pair with two texts in it")
    return found


def _read(source: Any, options: PairOptions, labelled: bool) -> Labelled:
    if isinstance(source, tuple) and len(source) == 2 and all(isinstance(one, (str, Path)) for one in source):
        return _parallel(source[0], source[1])
    if isinstance(source, (list, tuple)):
        return _in_memory(source, options, labelled)
    if not isinstance(source, (str, Path)):
        return _of_cells(read_cells(source, {}), options, labelled)
    path = Path(source).expanduser()
    if path.is_dir() or (labelled and is_prefix(path)):
        files, _ = found_files(path, options)
        if None in files:
            return _read(files[None], options, labelled)
        several: dict[Part, Labelled] = {}
        for part, one in files.items():
            if part is not None:
                several[part] = _read(one, options, labelled)
        return Labelled.joined(several)
    if str(source) != "-":
        with stream(source) as (name, _):
            kind = Path(name).suffix.lower()
        if kind == ".parquet":
            return _of_cells(read_cells(source, {}), options, labelled)
        if not labelled and kind not in TABLES:
            return _lines(source)
        if kind not in (*TABLES, ".txt"):
            raise DataError(f"{name}: a pair has two texts, and this is one file of lines; {_TWO}")
    file = open_text(source)
    if file.kind == ".txt" and not labelled:
        return _sources(file.lines, file.name, file.sha256)
    return _of_cells(*_line_table(file, options, labelled), labelled)


def _line_table(file: TextFile, options: PairOptions, labelled: bool) -> tuple[Cells, PairOptions]:
    """The table of a file, and its columns: of csv and tsv without a header by number."""
    if file.kind not in (".jsonl", ".ndjson"):
        number, first = next((n, line) for n, line in enumerate(file.lines, 1) if line.strip())
        if file.kind != ".csv" and "\t" not in first and labelled:
            raise DataError(
                f"{file.name}: line {number} has no tab; expected source, tab, target in each line; or {_TWO}"
            )
        if options.source is None:
            known = {cell.strip(' "').lower() for cell in first.replace(";", "\t").replace(",", "\t").split("\t")}
            if not _headed(known, labelled):
                options = replace(options, source="1", target="2")
    wanted = {"source": options.source} | ({"target": options.target} if labelled else {})
    return cells_of(file, wanted), options


def _of_cells(cells: Cells, options: PairOptions, labelled: bool) -> Labelled:
    def column(role: str) -> list[Any]:
        usual = next((name for name in cells.columns if name.strip().lower() in _NAMES[role]), role)
        return cells.need(getattr(options, role) or usual, role, _EXAMPLE)

    sources = [sentences(value, place, "source") for value, place in zip(column("source"), cells.places, strict=True)]
    targets: list[Any] = [None] * len(sources)
    if labelled:
        targets = [
            _target(value, place, options.references)
            for value, place in zip(column("target"), cells.places, strict=True)
        ]
    return _labelled(sources, targets, cells.places, cells.sha256)


def _target(value: Any, place: str, references: bool) -> str | tuple[str, ...] | None:
    if references and isinstance(value, (list, tuple)):
        found = tuple(one for one in (sentences(each, place, "target") for each in value) if one)
        return (found[0] if len(found) == 1 else found) or None
    return sentences(value, place, "target") or None


def _in_memory(given: Sequence[Any], options: PairOptions, labelled: bool) -> Labelled:
    if not len(given):
        raise DataError("the list is empty; expected pairs of texts" if labelled else "the list is empty")
    places = [f"pair {number}" if labelled else f"text {number}" for number in range(1, len(given) + 1)]
    if not labelled and all(isinstance(one, str) for one in given):
        return _labelled([sentences(one, place, "source") for one, place in zip(given, places, strict=True)],
                         [None] * len(given), places, "")  # fmt: skip
    for one, place in zip(given, places, strict=True):
        if not isinstance(one, (list, tuple)) or len(one) != 2:
            raise DataError(f"{place}: {repr(one)[:40]}, expected a source and a target")
    sources = [sentences(one[0], place, "source") for one, place in zip(given, places, strict=True)]
    targets = [_target(one[1], place, options.references) for one, place in zip(given, places, strict=True)]
    return _labelled(sources, targets if labelled else [None] * len(sources), places, "")


def _lines(source: str | Path) -> Labelled:
    name, text, digest = read_whole(source)
    return _sources(_split(text), name, digest)


def _sources(lines: list[str], name: str, digest: str) -> Labelled:
    places = [f"{name}: line {number}" for number in range(1, len(lines) + 1)]
    return _labelled([line.strip() for line in lines], [None] * len(lines), places, digest)


def _split(text: str) -> list[str]:
    return text.removesuffix("\n").split("\n")


def _parallel(source: str | Path, target: str | Path) -> Labelled:
    """Two files with a text a line."""
    (name, text, digest), (other, translated, second) = read_whole(source), read_whole(target)
    for one, has in ((name, text), (other, translated)):
        if not has.strip():
            raise DataError(f"{one}: the file is empty; expected a text a line")
    lines, answers = _split(text), _split(translated)
    if len(lines) != len(answers):
        raise DataError(
            f"{name} has {len(lines):,} lines and {other} has {len(answers):,}; expected as many: each line belongs "
            f"to one of the other. {_parting(lines, answers, name, other)}"
        )
    places = [f"{name}: line {number}" for number in range(1, len(lines) + 1)]
    both = text_hash((digest, second))
    return _labelled([one.strip() for one in lines], [one.strip() or None for one in answers], places, both)


def _parting(lines: list[str], answers: list[str], name: str, other: str) -> str:
    """Where a line (or several in a row) that the other file lacks most probably is: before it the lengths of the lines
    fit those of the same number, behind it those of numbers shifted by the difference."""
    longer, shorter = (lines, answers) if len(lines) > len(answers) else (answers, lines)
    long, short = (np.log1p([len(line.strip()) for line in one]) for one in (longer, shorter))
    count, shift = len(short), len(long) - len(short)
    usual = np.median(long) - np.median(short)
    before = np.abs(long[:count] - short - usual)
    behind = np.abs(long[shift:] - short - usual)
    cost = np.concatenate([[0.0], np.cumsum(before)]) + behind.sum() - np.concatenate([[0.0], np.cumsum(behind)])
    at = int(cost.argmin())
    which = name if longer is lines else other
    if at == count or shift > max(10, count // 20):
        return f"From line {count + 1:,} on {which} stands alone"
    return f"By the lengths of the lines, they part near line {at + 1:,}"


def _labelled(sources: list[str], targets: list[Any], places: Sequence[str], digest: str) -> Labelled:
    return Labelled(
        content=tuple(sources),
        labels=tuple(targets),
        ids=tuple(str(number) for number in range(1, len(sources) + 1)),
        places=tuple(places),
        groups=tuple(" ".join(unicodedata.normalize("NFC", one).split()) for one in sources),
        sha256=digest or text_hash(part for pair in zip(sources, targets, strict=True) for part in map(str, pair)),
    )


def pair_notes(source: Any, options: PairOptions | None = None) -> tuple[str, ...]:
    """What a reader of the scores must know of which files of a folder were taken, or which columns of a table whose
    first line may be a header; nothing for other sources.
    """
    if not isinstance(source, (str, Path)) or str(source) == "-":
        return ()
    options = options or PairOptions()
    path = Path(source).expanduser()
    if path.is_dir() or is_prefix(path):
        return found_files(path, options)[1]
    if options.source is not None:
        return ()
    with stream(source) as (name, file):
        kind = Path(name).suffix.lower()
        line = file.readline(_HEADER).decode("utf-8", "replace") if kind in (".csv", ".tsv", ".txt") else ""
    separator = max(",;|\t", key=line.count) if kind == ".csv" else "\t"
    cells = [cell.strip(' "\ufeff\r\n') for cell in line.split(separator)]
    named = {cell.lower() for cell in cells}
    if len(cells) < 2 or any(len(cell.split()) != 1 for cell in cells) or _headed(named):
        return ()
    return (
        f"{name}: columns 1 and 2 are read, and line 1 ({', '.join(cells[:5])}) as a pair; if that is a header, name "
        f'the columns, as in source="{cells[0]}", target="{cells[1]}"',
    )


def _headed(names: set[str], labelled: bool = True) -> bool:
    """Whether these are the usual names of the columns that are needed."""
    return all(names & set(usual) for role, usual in _NAMES.items() if labelled or role == "source")
