"""Tables of events: each row says when which variable of which sequence had which value; the steps are made of them."""

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from latchwork.errors import ConfigError, DataError, did_you_mean
from latchwork.modalities.records import Array, Columns, Record
from latchwork.modalities.records_columns import (
    FEW,
    Ordered,
    about,
    categories,
    coded,
    finish,
    finite,
    in_order,
    label_column,
    need,
    period_of,
    static_of,
    text_matrix,
)
from latchwork.modalities.records_files import Rows
from latchwork.modalities.source import SourceOptions
from latchwork.modalities.values import to_numbers, to_texts, why_no_number
from latchwork.sequences.examples import Labelled

MAX_CELLS = 2**29
"""Steps times variables; each takes 8 bytes."""


def read_events(rows: Rows, options: SourceOptions, source: Any, labelled: bool, *, strict: bool = True) -> Labelled:
    """A table of events (id, time, variable, value) as sequences.

    The events of one time, or of one ``period``, become a step: the mean of a variable's numbers, the last of its
    texts, missing where there is none. A variable in ``static`` holds for the whole sequence: its first value that is
    not missing. A sequence with no other events has one step in which all is missing. In a folder or archive with a
    file for each sequence, the name of the sequence may be an event as well (the variable ``id``); else it is the name
    of the file. ``strict``: a variable that ``columns`` or ``ignore`` names must be there.
    """
    assert options.variable is not None
    assert options.value is not None
    if options.time is None:
        raise ConfigError("a table of events wants time=: the column of an event's time")
    ordered = in_order(rows, options)
    names = to_texts(need(rows, options.variable, "variable")).str.strip_chars().fill_null("")
    if (names == "").any():
        row = int((names == "").arg_true()[0])
        raise DataError(f'{rows.place(row)}: column "{options.variable}" is empty; every event wants its variable')
    series = need(rows, options.value, "value")
    variables, codes = coded(names)
    for role in ("columns", "ignore") if strict else ():
        for name in getattr(options, role):
            if name not in variables and not (role == "ignore" and name in rows.frame.columns):
                raise DataError(f'{rows.name}: no variable is called "{name}" ({role}){did_you_mean(name, variables)}')
    values, texts = _values(rows, series, variables, codes, options)
    columns = set(rows.frame.columns)
    events = _Events(ordered, variables, codes[ordered.order], values[ordered.order], texts, options)
    if options.id is not None and options.id not in columns and options.id in events.variables:
        ordered = replace(ordered, names=events.ids(options.id))
    content = events.records([name for name in options.static if name in columns])
    return finish(ordered, content, about(ordered, label_column(rows, options, labelled), options, source, labelled))


def _values(
    rows: Rows, series: pl.Series, variables: list[str], codes: Any, options: SourceOptions
) -> tuple[Array, dict[str, list[str]]]:
    """[rows] the numbers, and for each variable of texts the texts of all rows."""

    def where(row: int) -> str:
        return f'{rows.place(row)}: column "{options.value}"'

    values, bad = to_numbers(series)
    values = finite(values, options.missing, where)
    texts: dict[str, list[str]] = {}
    if bad.any():
        held = np.bincount(codes[bad | ~np.isnan(values)], minlength=len(variables))
        wrong = np.bincount(codes[bad], minlength=len(variables))
        for code in np.flatnonzero(wrong).tolist():
            row = int(np.flatnonzero(bad & (codes == code))[0])
            if variables[code] == options.id:
                continue
            if wrong[code] <= FEW * held[code]:
                raise DataError(
                    f'{where(row)} holds "{str(series[row])[:40]}" for "{variables[code]}", of which other values are '
                    f"numbers; {why_no_number(str(series[row]))}"
                )
            own = codes == code
            texts[variables[code]] = categories(
                series.zip_with(pl.Series(own), pl.Series([None], dtype=series.dtype)), where
            )
    if options.id is not None and options.id in variables:
        texts[options.id] = to_texts(series).str.strip_chars().fill_null("").to_list()
    return values, texts


class _Events:
    """Events by sequence and time: the code of the variable, and the value, of each."""

    def __init__(self, ordered: Ordered, variables: list[str], codes: Any, values: Array,
                 texts: dict[str, list[str]], options: SourceOptions) -> None:  # fmt: skip
        self.ordered, self.variables, self.codes, self.values = ordered, variables, codes, values
        self.words = {name: np.array(own, object)[ordered.order] for name, own in texts.items()}
        self.options, self.owner = options, ordered.owner

    def ids(self, name: str) -> tuple[str, ...]:
        """The names of the sequences, where they are events."""
        found: dict[int, str] = {}
        for at in np.flatnonzero(self.codes == self.variables.index(name)).tolist():
            word = self.words[name][at]
            if found.setdefault(int(self.owner[at]), word) != word:
                raise DataError(f'{self.ordered.rows.place(int(self.ordered.order[at]))}: a second {name}, "{word}"')
        names = tuple(found.get(at) or stem for at, stem in enumerate(self.ordered.names))
        twice = next((one for one in names if names.count(one) > 1), None) if len(set(names)) < len(names) else None
        if twice is not None:
            at = [place for place, one in zip(self.ordered.places, names, strict=True) if one == twice]
            raise DataError(f'{at[1]}: the {name} is "{twice}", as at {at[0]}; expected one file for each')
        return names

    def first(self, name: str) -> list[Any]:
        """[sequences] the first value of a variable that is not missing; None where there is none."""
        found: list[Any] = [None] * len(self.ordered.names)
        if name not in self.variables:
            return found
        own = self.codes == self.variables.index(name)
        there = self.words[name] != "" if name in self.words else ~np.isnan(self.values)
        at = np.flatnonzero(own & there)
        given = self.words.get(name, self.values)
        for row in at[::-1].tolist():
            found[int(self.owner[row])] = given[row]
        return found

    def records(self, static_columns: list[str]) -> list[Record]:
        """The sequences. ``static_columns``: those of the static ones that are columns of the table."""
        options, count = self.options, len(self.ordered.names)
        columns, static = static_of(self.ordered, options, static_columns)
        asked = [name for name in options.static if name not in static_columns]
        numbers = {name: self.first(name) for name in asked if name not in self.words}
        words = {name: self.first(name) for name in asked if name in self.words}
        out = {*options.static, *options.ignore, options.id}
        steps = [name for name in options.columns or self.variables if name in self.variables and name not in out]
        if not steps:
            raise DataError(
                f'{self.ordered.rows.name}: no variable (column "{options.variable}") is left for the steps'
            )
        texts = [name for name in steps if name in self.words]
        plain = [name for name in steps if name not in self.words]
        columns = Columns(
            tuple(plain), tuple(texts), (*columns.static_numbers, *numbers), (*columns.static_texts, *words), open=True,
            time=columns.time,
        )  # fmt: skip
        times, starts, matrix, held = self._pivot(plain, texts)
        bounds = [*starts.tolist(), len(times)]
        records = []
        for at in range(count):
            begin, end = bounds[at], bounds[at + 1]
            own = [np.nan if column[at] is None else column[at] for column in numbers.values()]
            records.append(
                Record(
                    columns, times[begin:end] - times[begin], matrix[begin:end],
                    text_matrix([column[begin:end].tolist() for column in held], end - begin),
                    np.array([*static[at][0], *own], np.float64),
                    (*static[at][1], *(column[at] or "" for column in words.values())),
                )
            )  # fmt: skip
        return records

    def _pivot(self, plain: list[str], texts: list[str]) -> tuple[Array, Any, Array, list[Any]]:
        """The time of each step, where each sequence begins, [steps, numbers], and a column of texts each."""
        times = self.ordered.times
        assert times is not None
        if self.options.period is not None:
            times = period_of(times, self.options.period) * self.options.period
        number_at = np.array([plain.index(name) if name in plain else -1 for name in self.variables])
        there = np.where(number_at[self.codes] >= 0, ~np.isnan(self.values), False)
        for name in texts:
            there |= (self.codes == self.variables.index(name)) & (self.words[name] != "")
        alone = np.bincount(self.owner[there], minlength=len(self.ordered.names)) == 0
        used = there.copy()
        used[self.ordered.starts[alone]] = True  # a sequence without values has one step
        owner, own_times = self.owner[used], times[used]
        new = (np.diff(own_times, prepend=np.nan) != 0) | (np.diff(owner, prepend=-1) != 0)
        step = np.full(len(times), -1)
        step[used] = np.cumsum(new) - 1
        steps = int(new.sum())
        if steps * max(len(plain) + len(texts), 1) > MAX_CELLS:
            raise DataError(
                f"{self.ordered.rows.name}: {steps:,} steps of {len(plain) + len(texts)} variables are too many; "
                "give period= to bring events together, or name the variables with columns="
            )
        matrix = np.full((steps, len(plain)), np.nan)
        rows = np.flatnonzero(there & (number_at[self.codes] >= 0))
        cell = step[rows] * max(len(plain), 1) + number_at[self.codes[rows]]
        order = np.lexsort((self.values[rows], cell))  # by value: the mean is the same in any order of rows
        cell, value = cell[order], self.values[rows][order]
        if len(cell):
            begins = np.flatnonzero(np.diff(cell, prepend=-1))
            counts = np.diff(np.append(begins, len(cell)))
            matrix.reshape(-1)[cell[begins]] = np.add.reduceat(value, begins) / counts
        held = []
        for name in texts:
            column = np.full(steps, "", object)
            own = np.flatnonzero(there & (self.codes == self.variables.index(name)))
            column[step[own]] = self.words[name][own]  # of several in one step, the last stays
            held.append(column)
        starts = np.flatnonzero(np.diff(owner[new], prepend=-1))
        return own_times[new], starts, matrix, held
