"""The steps after the last observed row of a table's series: their stamps, and what is known of them ahead of time."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from latchwork.errors import ConfigError, DataError
from latchwork.modalities.table_encode import Array, join
from latchwork.modalities.table_raw import RawTable
from latchwork.modalities.table_read import read
from latchwork.sequences import Series

if TYPE_CHECKING:
    from latchwork.modalities.table import Table


def read_ahead(table: "Table", source: Any) -> RawTable:
    """Read future covariates: rows of any stamps, wanted are those that a forecast speaks of."""
    if isinstance(source, RawTable):
        return source
    if not table.of("future"):
        raise ConfigError("this model takes no future columns, so it needs no table of them")
    return read(source, table.options, known=table.known, roles=("future",))


def stamps_ahead(table: "Table", series: Series, horizon: int, future: RawTable | None = None) -> NDArray[np.int64]:
    """[horizon] stamps from ``series.observed`` on."""
    if horizon < 1:
        raise ConfigError(f"horizon is {horizon}, expected at least 1")
    if not len(series):
        raise DataError(f'series "{series.id}" has no row at all; a forecast wants one at least')
    own = series.times[series.observed :][:horizon]
    rest = horizon - len(own)
    last = int(series.times[-1])
    after = np.zeros(0, np.int64)
    if future is not None and table.frequency.unit == "row":
        given = future.times[_own_rows(future, series.id)]
        after = given[given > last][:rest]
        last = int(after[-1]) if len(after) else last
    return np.concatenate([own, after, table.frequency.ahead(last, rest - len(after))])


def future_matrix(table: "Table", series: Series, horizon: int, future: Any = None) -> Array:
    """[horizon, future] for the stamps of :func:`stamps_ahead`."""
    raw = None if future is None else read_ahead(table, future)
    times = stamps_ahead(table, series, horizon, raw)
    own = series.future[series.observed :][:horizon]
    rest = times[len(own) :]
    if not len(rest):
        return own
    encoded = [_lookup(table, series, rest, raw)] if table.of("future") else []
    return np.concatenate([own, join([*encoded, table.calendar(rest)], len(rest))])


def _own_rows(raw: RawTable, name: str) -> slice:
    """The rows of one series, none where the table does not have it."""
    if name not in raw.ids:
        return slice(0, 0)
    series = raw.ids.index(name)
    return slice(int(raw.starts[series]), int(raw.starts[series] + raw.counts[series]))


def _lookup(table: "Table", series: Series, times: NDArray[np.int64], raw: RawTable | None) -> Array:
    """Encoded future columns at ``times``, or an error that says what is missing."""
    encoders = table.of("future")
    wanted = [encoder.column.name for encoder in encoders]
    rows = slice(0, 0) if raw is None else _own_rows(raw, series.id)
    given = np.zeros(0, np.int64) if raw is None else raw.times[rows]
    found = np.isin(times, given)
    if raw is None or not found.all():
        raise _lacking(table, series, wanted, times[~found])
    place = np.searchsorted(given, times)
    columns = []
    for encoder in encoders:
        name = encoder.column.name
        if encoder.column.kind == "number":
            values = raw.numbers[name][rows][place]
            missing = np.isnan(values)
        else:
            texts = raw.texts[name][rows].gather(place)
            values, missing = encoder.codes(texts), texts.is_null().to_numpy()
        if missing.any() and not encoder.flag:  # the training rows always had it, so the model can't do without
            raise _lacking(table, series, [name], times[missing])
        columns.append(encoder.encode(values))
    return join(columns, len(times))


def _lacking(table: "Table", series: Series, columns: list[str], times: NDArray[np.int64]) -> DataError:
    shown = ", ".join(table.format_time(int(time)) for time in times[:3])
    count = f" … {table.format_time(int(times[-1]))} ({len(times)} stamps)" if len(times) > 3 else ""
    head = [table.options.id] if table.has_id else []
    return DataError(
        f'series "{series.id}": the forecast needs {" and ".join(columns)} at {shown}{count}; '
        f"give a future table with the columns {', '.join([*head, table.options.time, *columns])}"
    )
