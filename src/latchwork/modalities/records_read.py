"""Reading sequences of measurements: tables of steps, tables of sequences, events, and files of the UEA/UCR archive."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from latchwork.errors import ConfigError, DataError
from latchwork.modalities.records import Array, Record, Records
from latchwork.modalities.records_columns import (
    Ordered,
    about,
    finish,
    in_order,
    label_column,
    labels_path,
    need,
    numbers_or_texts,
    period_of,
    static_of,
    text_matrix,
)
from latchwork.modalities.records_events import read_events
from latchwork.modalities.records_files import Rows, load_rows
from latchwork.modalities.source import SourceOptions
from latchwork.modalities.text_values import as_label
from latchwork.modalities.ts_file import read_arff, read_ts
from latchwork.modalities.values import to_texts
from latchwork.sequences.examples import Labelled

Task = Literal["classify", "label"]


def read_records(
    source: Any,
    options: SourceOptions,
    task: Task = "classify",
    *,
    labelled: bool = True,
    fitted: Records | None = None,
) -> Labelled:
    """Read sequences of measurements; the content is one :class:`~latchwork.modalities.records.Record` each.

    source    a csv, tsv, txt, jsonl, parquet, .ts or .arff file (``-``: standard input), a frame (pandas, polars,
              pyarrow), or a folder or .zip, .tar, .tar.gz, .tar.xz, .tar.bz2 archive of csv, tsv or txt files
    labelled  False: the sequences are asked about, not learnt from; then the label may be absent, and a file of labels
              is not read
    fitted    what the training sequences were like: lines of numbers may then lack their label, and variables may be
              absent from events

        a table with ``id``          rows of one id are the steps of a sequence, in order of ``time`` if given
        files of a folder, archive   each file is a sequence; with a column ``id`` in them, by that
        neither, task classify       a row is a sequence, its columns of numbers the steps ("value"); empty cells at
                                     the end are past its end. Lines of numbers without a header (.txt, .tsv): the first
                                     is the label, columns are called 1, 2, …
        neither, task label          the whole file is a sequence; with ``max_length`` it is cut into pieces of so many
        ``variable`` and ``value``   a table of events, see :func:`~latchwork.modalities.records_events.read_events`
        .ts, .arff                   see :mod:`~latchwork.modalities.ts_file`

    For the task label, the labels of a sequence are a tuple of texts, one for each step. Time is in the units of the
    file: hours for dates and for hours and minutes. ``period`` brings the rows of the same period together: the mean
    of numbers, the last category, the last label. The order of sequences (for splits by time) is that of their first
    dates or numbers, where these differ. A column of which most values are no numbers holds categories.

    Raises :class:`DataError` naming file, row and column.
    """
    if options.labels is not None and task == "label":
        raise ConfigError("labels= gives a label for a whole sequence; for the task label, each row has its own")
    rows: Rows | Labelled
    lower = str(source).lower() if isinstance(source, (str, Path)) else ""
    if lower.endswith((".ts", ".ts.gz")):
        rows = read_ts(Path(source), options, labelled=labelled)
    elif lower.endswith((".arff", ".arff.gz")):
        rows = read_arff(Path(source), options, labelled=labelled)
    else:
        rows = load_rows(source, options, labels_path(options, source))
    if isinstance(rows, Labelled):
        if task == "label":
            raise DataError(
                f"{Path(source).name}: has a label for each sequence, the task label wants one for each step"
            )
        return rows
    if options.variable is not None:
        if task == "label":
            raise ConfigError("a table of events (variable=, value=) has no label for each step; use the task classify")
        return read_events(rows, options, source, labelled, strict=labelled and fitted is None)
    if task == "classify" and options.id is None and options.time is None and rows.files is None:
        return _wide(rows if fitted is None or labelled else _numbered(rows, options, fitted), options, labelled)
    return _long(rows, options, task, source, labelled)


# A row is a step


def _long(rows: Rows, options: SourceOptions, task: Task, source: Any, labelled: bool) -> Labelled:
    label = label_column(rows, options, labelled)
    ordered = in_order(rows, options)
    said = about(ordered, None if task == "label" else label, options, source, labelled)
    numbers: dict[str, Array] = {}
    texts: dict[str, NDArray[np.object_]] = {}
    for name in _columns(rows, label, options):
        values = numbers_or_texts(rows, name, "columns", options)
        if isinstance(values, list):
            texts[name] = np.array(values, object)[ordered.order]
        else:
            numbers[name] = values[ordered.order]
    tags = None
    if task == "label" and label is not None:
        tags = np.array(to_texts(need(rows, label, "label")).to_list(), object)[ordered.order]
    times, starts, steps = ordered.times, ordered.starts, len(ordered.order)
    if options.period is not None:
        if times is None:
            raise ConfigError("period= wants time=: the column of a step's time")
        times = period_of(times, options.period) * options.period
        begins = np.flatnonzero((np.diff(times, prepend=np.nan) != 0) | (np.diff(ordered.owner, prepend=-1) != 0))
        numbers = {name: _means(values, begins) for name, values in numbers.items()}
        texts = {name: _last(values, begins) for name, values in texts.items()}
        tags = None if tags is None else _last(tags, begins)
        times, starts, steps = times[begins], np.searchsorted(begins, starts), len(begins)
    columns, static = static_of(ordered, options, options.static)
    columns = columns._replace(numbers=tuple(numbers), texts=tuple(texts))
    matrix = np.stack(list(numbers.values()), axis=1) if numbers else np.zeros((steps, 0))
    bounds = list(pairwise([*starts.tolist(), steps]))
    content = [
        Record(
            columns,
            None if times is None else times[begin:end] - times[begin],
            matrix[begin:end],
            text_matrix([values[begin:end].tolist() for values in texts.values()], end - begin),
            *static[at],
        )
        for at, (begin, end) in enumerate(bounds)
    ]
    if task == "classify":
        return finish(ordered, content, said)
    if tags is not None:
        given = [_tags(tags[begin:end], ordered.places[at]) for at, (begin, end) in enumerate(bounds)]
        said = replace(said, labels=tuple(given))
    whole = finish(ordered, content, said)
    if options.max_length is None:
        return whole
    return _pieces(whole, options.max_length, len(content) > 1 and not options.by_time)


def _columns(rows: Rows, label: str | None, options: SourceOptions) -> list[str]:
    """The columns of a step's numbers and categories: those that are named, or those that play no other part."""
    parts = {"label": label, "id": options.id, "time": options.time, "group": options.group, "split": options.split}
    for name in options.columns:
        need(rows, name, "columns")
        part = next((part for part, column in parts.items() if column == name), None)
        if part in ("label", "id", "split"):
            raise ConfigError(f'column "{name}" is the {part}, and can\'t be read as a number of a step as well')
    for name in options.ignore:
        need(rows, name, "ignore")
    taken = {*parts.values(), *options.static, *options.ignore}
    names = list(options.columns) or [name for name in rows.frame.columns if name not in taken]
    if not names:
        raise DataError(f"{rows.name}: no column is left for the numbers of a step; name some with columns=")
    return names


def _means(values: Array, begins: NDArray[np.int64]) -> Array:
    """The mean of each group of rows over what is there."""
    there = ~np.isnan(values)
    sums = np.add.reduceat(np.where(there, values, 0), begins)
    counts = np.add.reduceat(there.astype(np.int64), begins)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _last(values: NDArray[np.object_], begins: NDArray[np.int64]) -> NDArray[np.object_]:
    """The last of each group of rows that is not empty."""
    at = np.maximum.reduceat(np.where([bool(value) for value in values], np.arange(len(values)), -1), begins)
    ends = np.append(begins[1:], len(values)) - 1
    return values[np.where(at >= 0, at, ends)]


def _tags(tags: NDArray[np.object_], place: str) -> tuple[str, ...] | None:
    """The labels of the steps; None where no step has one."""
    found = [as_label(tag and tag.strip(), place, step=True) for tag in tags.tolist()]
    if all(tag is None for tag in found):
        return None
    if None in found:
        raise DataError(
            f"{place}: step {found.index(None) + 1} of the sequence that begins here has no label; "
            "expected one for each step, or none at all"
        )
    return tuple(found)


def _pieces(whole: Labelled, size: int, groups: bool) -> Labelled:
    """Sequences in pieces of at most ``size`` steps; their order is that of their first steps.

    groups  pieces of one sequence belong together
    """
    content, labels, ids, places, names, parts, order = [], [], [], [], [], [], []
    for at, record in enumerate(whole.content):
        for begin in range(0, record.steps, size):
            end = min(begin + size, record.steps)
            content.append(record.cut(begin, end))
            labels.append(None if whole.labels[at] is None else whole.labels[at][begin:end])
            ids.append(f"{whole.ids[at]}/{begin + 1}")
            places.append(f"{whole.places[at]}, steps {begin + 1} to {end}")
            names.append(whole.ids[at] if whole.groups is None else whole.groups[at])
            parts.append(None if whole.parts is None else whole.parts[at])
            since = float(begin) if record.times is None else float(record.times[begin])
            order.append(since + (0.0 if whole.order is None else float(whole.order[at])))
    return Labelled(
        tuple(content), tuple(labels), tuple(ids), tuple(places),
        tuple(names) if groups or whole.groups is not None else None,
        None if whole.parts is None else tuple(parts), np.array(order), whole.sha256,
    )  # fmt: skip


# A row is a sequence


def _numbered(rows: Rows, options: SourceOptions, fitted: Records) -> Rows:
    """Lines of numbers with their columns called as in training, where the label may be lacking now."""
    names = [*fitted.steps, *options.static, *options.ignore, *filter(None, (options.group, options.split))]
    if not rows.bare or not fitted.steps or not all(name.isdigit() for name in names):
        return rows
    label = int(rows.label or 1)
    width, held = max(label, *map(int, names)), rows.frame.width
    if held not in (width, width - 1):
        raise DataError(
            f"{rows.place(0)}: has {held} numbers, expected {width} as in training, or {width - 1} without the label"
        )
    if held == width:
        return rows
    moved = {str(at): str(at + 1) for at in range(label, width)}
    return replace(rows, frame=rows.frame.rename(moved))


def _wide(rows: Rows, options: SourceOptions, labelled: bool) -> Labelled:
    if options.period is not None:
        raise ConfigError("period= wants time=: the column of a step's time; here a row is a sequence")
    label = label_column(rows, options, labelled)
    count = len(rows.frame)
    each = np.arange(count)
    ordered = Ordered(rows, tuple(str(number) for number in range(1, count + 1)), each, each, None, False)
    said = about(ordered, label, options, None, labelled)
    names = tuple(_columns(rows, label, options))
    matrix = np.stack([_steps(rows, name, options) for name in names], axis=1)
    there = ~np.isnan(matrix)
    empty = ~there.any(axis=1)
    if empty.any():
        raise DataError(f"{rows.place(int(np.flatnonzero(empty)[0]))}: the sequence has no value; leave the row out")
    lengths = matrix.shape[1] - np.argmax(there[:, ::-1], axis=1)
    columns, static = static_of(ordered, options, options.static)
    columns = columns._replace(numbers=("value",), steps=names)
    content = [
        Record(columns, None, matrix[at, : lengths[at], None], text_matrix([], int(lengths[at])), *static[at])
        for at in range(count)
    ]
    return finish(ordered, content, said)


def _steps(rows: Rows, name: str, options: SourceOptions) -> Array:
    values = numbers_or_texts(rows, name, "columns", options)
    if isinstance(values, list):
        row = next(row for row, text in enumerate(values) if text)
        raise DataError(
            f'{rows.place(row)}: column "{name}" holds "{values[row][:40]}"; without id= and time= each row is a '
            "sequence and its columns are numbers; give id=, or name the column with text=, label=, static= or ignore="
        )
    return values
