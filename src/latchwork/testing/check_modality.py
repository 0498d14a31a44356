"""The contract of a modality: what was fitted on training rows, saved, and fed row by row gives the same numbers."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from latchwork.modalities import RawTable, RowState, SourceOptions, Table, TableOptions, read
from latchwork.sequences import Series
from latchwork.testing.check_sequences import check_sequences

_TIGHT = 1e-12  # sines of many angles at once and of one may differ in the last bit


def check_modality(
    source: Any, options: TableOptions | SourceOptions | None = None, cuts: Sequence[float] = (0.0, 0.4, 0.8)
) -> None:
    """Check a table (a path or a frame) against the contract; raises AssertionError.

    With :class:`~latchwork.modalities.SourceOptions` texts, records or images, see
    :func:`~latchwork.testing.check_sequences`.

    1. reading twice gives the same series, increasing, finite where encoded
    2. what is fitted depends on the training rows only: changing any value after them changes nothing
    3. saved as JSON and loaded is the same table, and encodes the same
    4. the rows up to a cut, then the rest one live row at a time, give the series of the whole file, for each share
       in ``cuts``; the states survive JSON on the way
    """
    if isinstance(options, SourceOptions):
        check_sequences(source, options)
        return
    raw = read(source, options)
    until = {name: max(1, int(0.7 * length)) for name, length in raw.lengths.items()}
    table = Table.fit(raw, until=until)
    whole = table.series(raw)
    for series, again in zip(whole, table.series(table.read(source)), strict=True):
        _equal(series, again, "read again")
        for role in ("past", "future", "static"):
            matrix = getattr(series, role)
            assert matrix.shape[-1] == len(table.features(role)), f"{role}: {matrix.shape[-1]} columns, other names"
            assert np.isfinite(matrix).all(), f"series {series.id}: {role} is not finite"
    check_fitted_on_training_rows(raw, table, until)
    saved = json.loads(json.dumps(table.to_dict(), allow_nan=False))
    loaded = Table.from_dict(saved)
    assert loaded == table, "a table saved and loaded is another one"
    for series, again in zip(whole, loaded.series(raw), strict=True):
        _equal(series, again, "saved and loaded")
    for cut in cuts:
        check_rows(raw, table, whole, cut)


def check_fitted_on_training_rows(raw: RawTable, table: Table, until: dict[str, int]) -> None:
    """Change every value that is not static after the training rows: the fitted table stays the same."""
    limit = np.repeat([until[name] for name in raw.ids], raw.counts)
    later = raw.index >= limit
    static = set(raw.options.static)
    numbers = {
        name: values if name in static else np.where(later, -3 * np.nan_to_num(values) + 17, values)
        for name, values in raw.numbers.items()
    }
    texts = {
        name: column if name in static else column.set(pl.Series(later), "never seen before")
        for name, column in raw.texts.items()
    }
    changed = Table.fit(replace(raw, numbers=numbers, texts=texts), until=until)
    assert changed.to_dict() == table.to_dict(), "values after the training rows changed what was fitted"


def check_rows(raw: RawTable, table: Table, whole: Sequence[Series], cut: float) -> None:
    """Read a share ``cut`` of each series as a file, push the rest row by row, compare with the whole."""
    split = np.floor(cut * raw.counts).astype(np.int64)
    nth = np.arange(len(raw)) - np.repeat(raw.starts, raw.counts)
    early = nth < np.repeat(split, raw.counts)
    begun = {series.id: series for series in table.series(_take(raw, early))} if early.any() else {}
    states: dict[str, RowState] = {}
    for name, series in begun.items():
        states[name] = RowState.from_dict(json.loads(json.dumps(table.row_state(series)._asdict())))
    pushed: dict[str, list[Any]] = {series.id: [] for series in whole}
    owner = np.repeat(np.arange(len(raw.ids)), raw.counts)
    for row in np.flatnonzero(~early):
        mapping = _live(raw, int(row), raw.ids[int(owner[row])])
        name = table.row_id(mapping)
        before = states.get(name)
        name, rows, states[name] = table.row(mapping, before)
        pushed[name].extend(rows)
    for series in whole:
        first = begun.get(series.id)
        rows = pushed[series.id]
        parts: dict[str, list[Any]] = {"times": [row.time for row in rows]}
        parts |= {role: [getattr(row, role) for row in rows] for role in ("target", "past", "future")}
        joined = {}
        for field, values in parts.items():
            head = getattr(series, field)[:0] if first is None else getattr(first, field)
            joined[field] = np.concatenate([head, np.array(values, head.dtype).reshape(len(rows), *head.shape[1:])])
        streamed = Series(
            series.id, joined["times"].astype(np.int64), joined["target"], joined["past"], joined["future"]
        )
        static = rows[-1].static if rows else series.static
        _equal(series, replace(streamed, static=static), f"row by row after {cut:.0%}")


def _live(raw: RawTable, row: int, name: str) -> dict[str, Any]:
    """A row as a stream would send it: the cells of the file."""
    cells = raw.loaded.frame.row(int(raw.order[row]), named=True)
    if not raw.options.wide:
        return cells
    stamp = {raw.options.time: cells[raw.options.time]} if raw.has_time else {}
    return {raw.options.id: name, **stamp, "y": cells[name]}


def _take(raw: RawTable, rows: NDArray[np.bool_]) -> RawTable:
    """Some rows of a table; the first rows of each series, so that the grid still begins where it did."""
    owner = np.repeat(np.arange(len(raw.ids)), raw.counts)[rows]
    starts = np.flatnonzero(np.diff(owner, prepend=-1))
    return replace(
        raw,
        ids=tuple(raw.ids[i] for i in owner[starts]),
        starts=starts,
        times=raw.times[rows],
        index=raw.index[rows],
        numbers={name: values[rows] for name, values in raw.numbers.items()},
        texts={name: column.filter(pl.Series(rows)) for name, column in raw.texts.items()},
        order=raw.order[rows],
    )


def _equal(left: Series, right: Series, what: str) -> None:
    where = f"series {left.id}, {what}"
    assert left.id == right.id, f"{where}: it became {right.id}"
    assert np.array_equal(left.times, right.times), f"{where}: other times"
    for field in ("target", "past", "future", "static"):
        one, two = getattr(left, field), getattr(right, field)
        assert one.shape == two.shape, f"{where}: {field} has shape {two.shape}, expected {one.shape}"
        assert np.allclose(one, two, rtol=_TIGHT, atol=_TIGHT, equal_nan=True), f"{where}: {field} differs"
