"""What a table holds and what is odd about it: for a person to read before training."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl

from latchwork.modalities.dates import BadStamp, to_stamps
from latchwork.modalities.values import to_numbers, to_texts

if TYPE_CHECKING:
    from latchwork.modalities.table_raw import RawTable

_SHORT = 20  # rows
_STUCK = 0.9
_NEARLY = 0.95


class ColumnSummary(NamedTuple):
    """One column of the file. ``missing`` is a share from 0 to 1; ``low`` and ``high`` are written as in the file."""

    name: str
    role: str  # id, time, target, past, future, static, unused
    kind: str  # number, category, date, whole number, empty
    missing: float
    low: str
    high: str
    examples: str


def describe(raw: "RawTable") -> list[ColumnSummary]:
    """The columns of the file in its order; those that nothing uses are ``unused``."""
    options, frame = raw.options, raw.loaded.frame
    roles = {column: role for role, columns in options.roles.items() for column in columns}
    if options.wide:
        names = raw.ids
        roles = dict.fromkeys(names, "target")
    roles |= {options.time: "time"} | ({} if options.wide else {options.id: "id"})
    return [_summary(frame[name], roles.get(name, "unused"), raw) for name in frame.columns]


def _summary(column: pl.Series, role: str, raw: "RawTable") -> ColumnSummary:
    def result(kind: str, missing: float, low: object = "", high: object = "") -> ColumnSummary:
        seen = column.drop_nulls().unique(maintain_order=True).head(3).to_list()
        return ColumnSummary(column.name, role, kind, missing, _short(low), _short(high), ", ".join(map(_short, seen)))

    if role == "time":
        low, high = raw.stamp(int(raw.times.min())), raw.stamp(int(raw.times.max()))
        return result("date" if raw.dates else "whole number", 0.0, low, high)
    if column.dtype.is_nested() or column.dtype in (pl.Binary, pl.Object):
        return ColumnSummary(column.name, role, str(column.dtype), _missing(column), "", "", "")
    if column.dtype.is_temporal():
        return result("date", _missing(column), column.min(), column.max())
    text = role == "id" or column.name in raw.texts or column.dtype in (pl.Categorical, pl.Enum)
    if not text:
        values, bad = to_numbers(column, raw.options.decimal)
        known = values[~np.isnan(values)]
        if not bad.any():
            missing = 1 - len(known) / len(values)
            return result("number", missing, known.min(), known.max()) if len(known) else result("empty", 1.0)
        if role == "unused" and _is_date(column):
            dates = column.drop_nulls()
            return result("date", 1 - len(dates) / len(column), dates.min(), dates.max())
    texts = to_texts(column)
    return result("category", _missing(texts), texts.min(), texts.max())


def _owner(raw: "RawTable", row: int) -> str:
    return raw.ids[int(np.searchsorted(raw.starts, row, side="right")) - 1]


def _count(rows: int) -> str:
    return f"{rows} row" + "s" * (rows != 1)


def _missing(column: pl.Series) -> float:
    return column.null_count() / len(column)


def _is_date(column: pl.Series) -> bool:
    try:
        return to_stamps(column.drop_nulls().head(100)).dates
    except BadStamp:
        return False


def _short(value: object, most: int = 24) -> str:
    text = f"{value:g}" if isinstance(value, float) else "" if value is None else str(value)
    return text if len(text) <= most else text[: most - 1] + "…"


def lint(raw: "RawTable") -> list[str]:
    """One line for each finding; none is an error."""
    return [*raw.notes, *_rows(raw), *_stamps(raw), *_columns(raw)]


def _rows(raw: "RawTable") -> list[str]:
    found = []
    counts, most = raw.counts, raw.grid_rows
    short = int((counts < _SHORT).sum())
    if short:
        first = raw.ids[int(np.flatnonzero(counts < _SHORT)[0])]
        found.append(
            f"{short} of {len(counts)} series {'is' if short == 1 else 'are'} shorter than {_SHORT} rows, "
            f'first "{first}" (the shortest has {_count(int(counts.min()))})'
        )
    empty = int(most.sum() - len(raw))
    if empty:
        gaps = np.diff(raw.index)
        gaps[raw.starts[1:] - 1] = 0
        row = int(gaps.argmax())
        where = f'in series "{_owner(raw, row)}" after {raw.stamp(int(raw.times[row]))}'
        found.append(
            f"{_count(empty)} ({empty / most.sum():.1%}) missing from the grid ({raw.frequency.name}); "
            f"the longest gap has {_count(int(gaps[row]) - 1)}, {where}"
        )
    seen: dict[bytes, str] = {}
    twins = []
    if len(raw.ids) > 1:
        for series, begin in enumerate(raw.starts.tolist()):
            own = b"".join(
                raw.numbers[t][begin : begin + int(counts[series])].tobytes() for t in raw.targets if t in raw.numbers
            )
            first = seen.setdefault(own, raw.ids[series])
            if first != raw.ids[series]:
                twins.append((first, raw.ids[series]))
    if twins:
        found.append(
            f"some series repeat another one value for value ({len(twins)}), "
            f'first "{twins[0][1]}" that of "{twins[0][0]}"'
        )
    return found


def _stamps(raw: "RawTable") -> list[str]:
    if raw.frequency.unit != "row" or len(raw) < 3 or raw.options.frequency is not None:
        return []
    gaps = np.diff(raw.times)
    inside = np.ones(len(gaps), bool)
    inside[raw.starts[1:] - 1] = False
    rows = np.flatnonzero(inside)
    if not len(rows):
        return []
    steps, counts = np.unique(gaps[rows], return_counts=True)
    usual = int(steps[counts.argmax()])
    odd = rows[gaps[rows] % usual != 0]
    if len(odd) and len(odd) <= (1 - _NEARLY) * len(rows):
        return [
            f"the time stamps lie on a regular grid but for {len(odd)} of {len(rows)} steps, first at "
            f"{raw.place(int(odd[0]) + 1)}: all rows are taken as irregular; fix or remove these to have a grid"
        ]
    found = "the time stamps are irregular: each row is a step, and the time since the last row is an input"
    longest = int(rows[gaps[rows].argmax()])
    if not len(odd) and gaps[longest] > 0.5 * gaps[rows].sum():  # a slip in one date is enough to lose the grid
        found += (
            f'; the longest gap, in series "{_owner(raw, longest)}", goes on at {raw.place(longest + 1)}: is it right?'
        )
    return [found]


def _columns(raw: "RawTable") -> list[str]:
    found = []
    roles = {column: role for role, columns in raw.options.roles.items() for column in columns}
    for name, values in raw.numbers.items():
        missing = np.isnan(values)
        known = values[~missing]
        if missing.any():
            found.append(f"column {name}: {missing.mean():.1%} missing")
        if len(known) > 1 and (known == known[0]).all():
            found.append(f"column {name}: always {known[0]:g}, so it says nothing")
        elif name in raw.targets and len(known) > _SHORT and np.mean(np.diff(known) == 0) > _STUCK:
            found.append(f"column {name}: {np.mean(np.diff(known) == 0):.0%} of the rows repeat the one before")
        if roles.get(name) in ("past", "future", "static"):
            same = [
                t for t in raw.targets if t in raw.numbers and np.array_equal(values, raw.numbers[t], equal_nan=True)
            ]
            if same:
                leak = " and would give it away" if roles[name] == "future" else ""
                found.append(f"column {name} ({roles[name]}): equals the target {same[0]}{leak}; leave it out")
    for name, texts in raw.texts.items():
        share = _missing(texts)
        if share:
            found.append(f"column {name}: {share:.1%} missing")
        count = texts.n_unique() - (share > 0)
        if count <= 1:
            found.append(f"column {name}: always the same, so it says nothing")
    found.extend(_thin(raw))
    return found


def _thin(raw: "RawTable") -> list[str]:
    """Series without any target."""
    if not all(target in raw.numbers for target in raw.targets):
        return []
    known = np.zeros(len(raw), bool)
    for target in raw.targets:
        known |= ~np.isnan(raw.numbers[target])
    empty = np.flatnonzero(np.add.reduceat(known.astype(np.int64), raw.starts) == 0)
    return [f'some series hold no target at all ({len(empty)}), first "{raw.ids[int(empty[0])]}"'] if len(empty) else []
