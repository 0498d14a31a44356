"""Live rows: one at a time, with the same checks and the same numbers as a whole file."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from latchwork.errors import DataError, StateError, did_you_mean
from latchwork.modalities.dates import BadStamp, to_stamp
from latchwork.modalities.table_encode import Array, Encoder
from latchwork.modalities.values import to_number, to_text, why_no_number
from latchwork.sequences import Series

if TYPE_CHECKING:
    from latchwork.modalities.table import Table

LONGEST_GAP = 10_000  # grid steps that a live row may skip
_ID = "series"


class RowState(NamedTuple):
    """Where a live series stands; plain values, so that ``_asdict()`` is JSON and :meth:`from_dict` its inverse.

    id      of the series
    start   stamp of its first row, from which the grid counts
    time    stamp of its last row
    static  its encoded static columns
    """

    id: str
    start: int
    time: int
    static: tuple[float, ...] = ()

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "RowState":
        """Rebuild a state from JSON; raises :class:`StateError` where it is not one."""
        try:
            name, start, time, static = data["id"], data["start"], data["time"], tuple(data["static"])
        except (KeyError, TypeError) as error:
            raise StateError(f"the saved state of a row lacks a field ({error})") from error
        whole = all(isinstance(stamp, int) and not isinstance(stamp, bool) for stamp in (start, time))
        if not isinstance(name, str) or not whole or not all(isinstance(value, float) for value in static):
            raise StateError("the saved state of a row has a field of a wrong type")
        return cls(name, start, time, static)


class EncodedRow(NamedTuple):
    """One row to push: what ``Table.series`` holds for it.

    time      its stamp
    target    [targets] in the units of the file, NaN where missing
    past      [past]
    future    [future]
    static    [static]
    inserted  whether the row is missing in the stream, and stands for a gap
    """

    time: int
    target: Array
    past: Array
    future: Array
    static: Array
    inserted: bool = False


def state_after(series: Series) -> RowState:
    """The state after the last row of a series."""
    if not len(series):
        raise StateError(f'series "{series.id}" has no row, so it has no state; start with its first row')
    static = tuple(float(value) for value in series.static)
    return RowState(series.id, int(series.times[0]), int(series.times[-1]), static)


def long_rows(table: "Table", row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Split a row of a wide table into one for each series."""
    if not table.options.wide:
        return [dict(row)]
    time = table.options.time
    stamp = {time: _field(table, row, time)} if table.has_time else {}
    chosen = [name for name in row if name != time] if table.options.is_default("target") else table.options.targets
    return [{table.options.id: name, **stamp, "y": _field(table, row, name)} for name in chosen]


def row_id(table: "Table", row: Mapping[str, Any]) -> str:
    """The id that a row names; ``series`` where the table has no id column."""
    if not table.has_id:
        return _ID
    text = _text(_field(table, row, table.options.id), table.options.id, "the row")
    if text is None:
        raise DataError(f'the row has no id: column "{table.options.id}" is empty; name the series it belongs to')
    return text


def encode_row(
    table: "Table", row: Mapping[str, Any], state: RowState | None
) -> tuple[str, list[EncodedRow], RowState]:
    """See ``Table.row``."""
    name = row_id(table, row)
    if state is not None and state.id != name:
        raise StateError(f'the row belongs to series "{name}", the state given to series "{state.id}"; give its own')
    time = _time(table, row, name, state)
    where = f'series "{name}" at {table.format_time(time)}'
    skipped = _steps(table, time, state, where)
    target = np.array([_number(table, row, column, where) for column in table.targets])
    past, future = (_covariates(table, row, role, where) for role in ("past", "future"))
    static = _static(table, row, where, state)
    if table.frequency.unit == "row":
        elapsed = 0 if state is None else time - state.time
        past = np.append(past, table.gap(np.array([elapsed])))
    rows = []
    if skipped:
        assert state is not None
        times = table.frequency.at(state.start, _index(table, state.time, state.start) + np.arange(1, skipped + 1))
        calendar = table.calendar(times)
        nothing = np.full(len(target), np.nan)
        bare_past, bare_future = (
            np.concatenate([np.zeros(0), *(encoder.missing for encoder in table.of(role))])
            for role in ("past", "future")
        )
        rows = [
            EncodedRow(int(stamp), nothing, bare_past, np.append(bare_future, calendar[i]), static, inserted=True)
            for i, stamp in enumerate(times)
        ]
    future = np.append(future, table.calendar(np.array([time]))[0])
    rows.append(EncodedRow(time, target, past, future, static))
    begin = time if state is None else state.start
    return name, rows, RowState(name, begin, time, tuple(static.tolist()))


def _field(table: "Table", row: Mapping[str, Any], column: str) -> Any:
    if column not in row:
        raise DataError(
            f'the row lacks column "{column}"{did_you_mean(column, row)}; '
            f"write null where a value is missing (the row has {', '.join(map(str, row)) or 'nothing'})"
        )
    return row[column]


def _time(table: "Table", row: Mapping[str, Any], name: str, state: RowState | None) -> int:
    column = table.options.time
    if not table.has_time:
        return 0 if state is None else state.time + 1
    try:
        return to_stamp(_field(table, row, column), dates=table.dates, date_format=table.date_format)
    except BadStamp as error:
        raise DataError(f'series "{name}": column "{column}" of the row {error.why}') from error


def _index(table: "Table", time: int, start: int) -> int:
    return int(table.frequency.position(time, start)[0])


def _steps(table: "Table", time: int, state: RowState | None, where: str) -> int:
    """Grid steps between the last row and this one that are missing."""
    if state is not None and time <= state.time:
        kind = "a second row with this stamp" if time == state.time else "out of order"
        raise StateError(
            f"{where}: {kind}; the last row was at {table.format_time(state.time)}, the next must be later"
        )
    if table.frequency.unit == "row":
        return 0
    start = time if state is None else state.start
    index, on_grid = table.frequency.position(time, start)
    if not on_grid:
        raise DataError(
            f"{where}: the stamp is not on the grid of its series ({table.frequency.name}, "
            f"from {table.format_time(start)}); send the rows that belong to it"
        )
    if state is None:
        return 0
    skipped = int(index) - _index(table, state.time, state.start) - 1
    if skipped > LONGEST_GAP:
        raise StateError(
            f"{where}: {skipped} steps are missing since the last row at {table.format_time(state.time)}, "
            f"at most {LONGEST_GAP} may be; is the stamp right? If so, begin a new stream"
        )
    return skipped


def _number(table: "Table", row: Mapping[str, Any], column: str, where: str) -> float:
    value = _field(table, row, column)
    number = to_number(value, table.options.decimal)
    if number is None or np.isinf(number):
        why = why_no_number(value.strip()) if isinstance(value, str) else "give a number, or null if it is missing"
        raise DataError(f'{where}: column "{column}" holds {value!r}, expected a finite number; {why}')
    return number


def _text(value: Any, column: str, where: str) -> str | None:
    if isinstance(value, (Mapping, list, tuple, set)):
        raise DataError(
            f'{where}: column "{column}" holds {value!r}, expected a text; give one, or null if it is missing'
        )
    return to_text(value)


def _encode(table: "Table", row: Mapping[str, Any], encoder: Encoder, where: str) -> Array:
    column = encoder.column.name
    if encoder.column.kind == "number":
        return encoder.encode(np.array([_number(table, row, column, where)]))[0]
    return encoder.encode(np.array([encoder.code(_text(_field(table, row, column), column, where))]))[0]


def _covariates(table: "Table", row: Mapping[str, Any], role: Any, where: str) -> Array:
    return np.concatenate([np.zeros(0), *(_encode(table, row, encoder, where) for encoder in table.of(role))])


def _static(table: "Table", row: Mapping[str, Any], where: str, state: RowState | None) -> Array:
    """The static columns: wanted in the first row of a series, and unchanged where they come again."""
    parts, at = [np.zeros(0)], 0
    for encoder in table.of("static"):
        column, width = encoder.column.name, len(encoder.names)
        before = None if state is None else np.array(state.static[at : at + width])
        at += width
        if before is not None and (column not in row or to_text(row[column]) is None):
            parts.append(before)
            continue
        now = _encode(table, row, encoder, where)
        if before is not None and not np.array_equal(now, before) and not np.array_equal(before, encoder.missing):
            raise DataError(
                f'{where}: static column "{column}" changed to {row[column]!r}; it stays the same in a series'
            )
        parts.append(now)
    return np.concatenate(parts)
