"""Reading texts: tables, plain text and files of columns become labelled sequences, with nothing fitted to them.

    for the task    the content of a sequence       its label
    classify        a text (or a tuple of words,    what the file has: a text, a number, a tuple of texts (a JSON list);
                    from a JSON list)               "a|b" is left as it is, taking it apart is the task's
    label           a tuple of words                a tuple of texts, one for each word

Texts are left as the file has them: what is done to them (NFC, lower case) is part of the fitted
:class:`~latchwork.modalities.text.Text`. Labels are brought to NFC, so that one label is one label.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from latchwork.errors import DataError
from latchwork.modalities.dates import BadStamp, to_stamps
from latchwork.modalities.source import SourceOptions
from latchwork.modalities.text_columns import read_columns
from latchwork.modalities.text_files import COLUMNS, Cells, TextFile, cells_of, open_text, read_cells
from latchwork.modalities.text_values import as_label, as_part, as_tags, as_text, as_words, not_twice
from latchwork.modalities.values import to_numbers, to_text
from latchwork.sequences.examples import Labelled

TextTask = Literal["classify", "label"]
_CONTENT = {"classify": ("text", "tokens", "words"), "label": ("tokens", "words", "text")}
_LABELS = {"classify": ("label",), "label": ("tags", "labels", "label")}
_ROLES = ("text", "label", "id", "group", "time", "split")


def read_text(source: Any, options: SourceOptions, task: TextTask, *, labelled: bool = True) -> Labelled:
    """Read texts from a path (``-``: standard input), a frame (pandas, polars, pyarrow), or a list of texts.

    labelled  False: the texts are asked about, not learnt from. Then only the column of the text must be there, and a
              text may be empty.

    csv, tsv, jsonl, parquet   a row is a text (or a JSON list of words). For the task label, rows of the same id are
                               the words of a sequence. A csv or tsv file without a header: columns by number.
    txt                        classify: a text a line; with a tab in each line: the text and its label
    conll, conllu, bio, iob    label: columns, see :func:`~latchwork.modalities.text_columns.read_columns`; and so are
                               txt, and a tsv file whose first line names no column of texts

    Each may be packed: .gz, .xz, .bz2, or one file of a .zip (``corpus.zip/train.txt``). Raises :class:`DataError`:
    not UTF-8, an empty text, an id that stands twice, a lone surrogate, columns that are missing.
    """
    if isinstance(source, (list, tuple)):
        places = [f"text {number}" for number in range(1, len(source) + 1)]
        cells = Cells("the list", {"text": list(source)}, places, "", headed=False)
        return _from_cells(cells, replace(options, text="text"), task, labelled)
    if not isinstance(source, (str, Path)) or str(source).lower().endswith(".parquet"):
        return _from_cells(read_cells(source, {}), options, task, labelled)
    file = open_text(source)
    if _is_columns(file, options, task):
        return _from_columns(file, options, labelled)
    if file.kind == ".txt" and (plain := _plain(file, options)) is not None:
        return _from_cells(plain, replace(options, text="text"), task, labelled)
    return _from_cells(cells_of(file, _wanted(options, labelled)), options, task, labelled)


def _wanted(options: SourceOptions, labelled: bool) -> dict[str, str | None]:
    """The columns that options name; of a label in another file, or that is not asked for, only where it is there."""
    wanted: dict[str, str | None] = {role: getattr(options, role) for role in _ROLES}
    return wanted if labelled and not options.labels else {"text": options.text}


def _is_columns(file: TextFile, options: SourceOptions, task: TextTask) -> bool:
    if task == "classify":
        if file.kind in COLUMNS:
            raise DataError(f"{file.name}: a file of columns has a label for each word; it is read by the task label")
        return False
    if file.kind == ".tsv":
        header = {cell.strip() for cell in file.lines[0].split("\t")}
        return not header & ({options.text} if options.text else set(_CONTENT["label"]))
    return file.kind in (*COLUMNS, ".txt")


# Plain text


def _plain(file: TextFile, options: SourceOptions) -> Cells | None:
    """A text a line, or with a tab in each line text and label; None where options name its columns by number."""
    lines = [(number, line) for number, line in enumerate(file.lines, 1) if line.strip()]
    tabs = np.array([line.count("\t") for _, line in lines])
    if tabs.any() and (options.text or "").isdigit():
        return None
    places = [f"{file.name}: line {number}" for number, _ in lines]
    if not tabs.any():
        return Cells(file.name, {"text": [line for _, line in lines]}, places, file.sha256, headed=False)
    if (tabs != 1).any():
        number, line = lines[int(np.flatnonzero(tabs != 1)[0])]
        raise DataError(
            f"{file.name}: line {number} has {line.count(chr(9))} tabs, others have 1 or more; expected a text a line "
            "without tabs, or in each line a text, a tab and its label"
        )
    texts, labels = (list(column) for column in zip(*(line.split("\t") for _, line in lines), strict=True))
    if len(set(texts)) < len(set(labels)) and sum(map(len, texts)) < sum(map(len, labels)):
        raise DataError(
            f'{file.name}: the second column looks like the text ("{labels[0][:40]}"), the first like the label; '
            'give text="2", label="1"'
        )
    return Cells(file.name, {"text": texts, "label": labels}, places, file.sha256, headed=False)


# Files of columns


def _from_columns(file: TextFile, options: SourceOptions, labelled: bool) -> Labelled:
    if labelled:
        for role in ("id", "group", "time", "split", "labels"):
            if getattr(options, role) is not None:
                raise DataError(f"{file.name}: a file of columns has no {role}; leave the option out, or give a table")
    sentences = read_columns(file, options.text, options.label, labelled=labelled)
    places = [f"{file.name}: sentence {n} (line {one.line})" for n, one in enumerate(sentences, 1)]
    names = [one.name or "" for one in sentences]
    if len(set(names)) < len(names) or "" in names:
        names = [str(number) for number in range(1, len(sentences) + 1)]
    return Labelled(
        content=tuple(one.words for one in sentences), labels=tuple(one.tags for one in sentences),
        ids=tuple(names), places=tuple(places), sha256=file.sha256,
    )  # fmt: skip


# Tables


def _from_cells(cells: Cells, options: SourceOptions, task: TextTask, labelled: bool) -> Labelled:
    name = _present(cells, options.text, _CONTENT[task]) or _CONTENT[task][-1 if task == "label" else 0]
    content = cells.need(options.text or name, "text")
    tags: list[Any] | None = None
    ids = _texts(cells, options.id, "id", needed=labelled)
    if options.labels is None:
        label = _present(cells, options.label, _LABELS[task])
        if label is None and options.label is not None and labelled:
            cells.need(options.label, "label")
        if label == name:
            raise DataError(
                f'{cells.name}: column "{name}" would be the text and the label; expected a column for each'
            )
        tags = cells.columns[label] if label else None
    if task == "label" and ids is not None and len(set(ids)) < len(ids):
        return _steps(cells, content, tags, ids, options, labelled)
    if task == "label":
        words = [as_words(value, place) for value, place in zip(content, cells.places, strict=True)]
        labels = [None] * len(words) if tags is None else [
            as_tags(value, place, len(own)) for value, place, own in zip(tags, cells.places, words, strict=True)
        ]  # fmt: skip
        content = words
    else:
        content = [as_text(value, place, labelled) for value, place in zip(content, cells.places, strict=True)]
        labels = [None] * len(content) if tags is None else list(map(as_label, tags, cells.places))
    if ids is None:
        ids = _unique(cells) or [str(number) for number in range(1, len(content) + 1)]
    not_twice(ids, cells.places)
    if options.labels is not None and labelled:
        labels = _labels_elsewhere(options, task, ids, content, cells.places)
    return _labelled(cells, content, labels, ids, list(range(len(content))), options, labelled)


def _present(cells: Cells, given: str | None, usual: Sequence[str]) -> str | None:
    return next((name for name in ((given,) if given else usual) if name in cells.columns), None)


def _unique(cells: Cells) -> list[str] | None:
    """What a column that is called id holds, where it can be names."""
    values = [to_text(value) for value in cells.columns.get("id", [None])]
    return [value for value in values if value] if all(values) and len(set(values)) == len(values) else None


def _texts(cells: Cells, column: str | None, role: str, *, needed: bool) -> list[str] | None:
    """A column of names; None where there is none."""
    if column is None or (not needed and column not in cells.columns):
        return None
    found: list[str] = []
    for value, place in zip(cells.need(column, role), cells.places, strict=True):
        text = (to_text(value) or "").strip()
        if not text:
            raise DataError(f'{place}: the {role} (column "{column}") is empty')
        found.append(text)
    return found


def _steps(
    cells: Cells, words: list[Any], tags: list[Any] | None, ids: list[str], options: SourceOptions, labelled: bool
) -> Labelled:
    """A table of words: rows with the same id are one sequence, in the order of the file."""
    if options.labels is not None and labelled:
        raise DataError(f"{cells.name}: a table of words has their labels in a column of its own; leave out labels=")
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(ids):
        rows.setdefault(name, []).append(row)
    for row, (word, place) in enumerate(zip(words, cells.places, strict=True)):
        if not isinstance(word, str) or not word.strip() or len(word.split()) > 1:
            shown = repr(word)[:40]
            raise DataError(
                f'{place}: the id "{ids[row]}" stands in several rows, so that each holds a word, but this one holds '
                f"{shown}; expected a word, or an id that stands once"
            )
    content, labels = [], []
    for own in rows.values():
        content.append(as_words([words[row].strip() for row in own], cells.places[own[0]]))
        given = None if tags is None else [to_text(tags[row]) for row in own]
        labels.append(given and (as_tags(given, cells.places[own[0]], len(own)) if any(given) else None))
    return _labelled(cells, content, labels, list(rows), [own[0] for own in rows.values()], options, labelled)


def _labels_elsewhere(
    options: SourceOptions, task: TextTask, ids: list[str], content: list[Any], places: list[str]
) -> list[Any]:
    """The labels that a file of its own gives for the ids; None for those that it does not name."""
    other = read_cells(options.labels, {"id": options.id, "label": options.label})
    names = _texts(other, options.id or "id", "id", needed=True) or []
    not_twice(names, other.places)
    values = other.need(options.label or _present(other, None, _LABELS[task]) or "label", "label")
    found = {name: (value, place) for name, value, place in zip(names, values, other.places, strict=True)}
    if not found.keys() & set(ids):
        raise DataError(f'{other.name}: none of its ids ("{names[0]}", …) is one of the texts\' ("{ids[0]}", …)')
    labels: list[Any] = []
    for name, own, _ in zip(ids, content, places, strict=True):
        value, place = found.get(name, (None, ""))
        labels.append(as_tags(value, place, len(own)) if task == "label" else as_label(value, place))
    return labels


def _labelled(
    cells: Cells, content: list[Any], labels: list[Any], ids: list[str], rows: list[int], options: SourceOptions,
    needed: bool,
) -> Labelled:  # fmt: skip
    def pick(column: str | None, role: str, read: Callable[[str, str], Any] = lambda text, _: text) -> Any:
        texts = _texts(cells, column, role, needed=needed)
        return None if texts is None else tuple(read(texts[row], cells.places[row]) for row in rows)

    return Labelled(
        content=tuple(content), labels=tuple(labels), ids=tuple(ids), places=tuple(cells.places[row] for row in rows),
        groups=pick(options.group, "group"), parts=pick(options.split, "split", as_part),
        order=_order(cells, pick(options.time, "time"), rows, options.time), sha256=cells.sha256,
    )  # fmt: skip


def _order(
    cells: Cells, texts: Sequence[str] | None, rows: list[int], column: str | None
) -> NDArray[np.float64] | None:
    """Numbers that increase with time: the numbers of the column, or its dates."""
    if texts is None:
        return None
    series = pl.Series(list(texts))
    numbers, bad = to_numbers(series)
    if not bad.any() and np.isfinite(numbers).all():
        return numbers
    try:
        return to_stamps(series).times.astype(np.float64)
    except BadStamp as error:
        raise DataError(f'{cells.places[rows[error.row]]}: column "{column}" {error.why}') from error
