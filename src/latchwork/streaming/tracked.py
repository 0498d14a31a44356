"""Where every series stands: its state, its last row, what is known of its future. A value: updating makes a new
one.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from latchwork import storage
from latchwork.errors import DataError, StateError
from latchwork.modalities import EncodedRow, RawTable, RowState
from latchwork.sequences import Series, concatenate, select
from latchwork.tasks import Answer, Pipeline, Rows, State, pack_state, unpack_state

AT_ONCE = 1024


@dataclass(frozen=True)
class Held:
    """One series: the checks' state (its last stamp, its static columns), the network's, and the rows known ahead.

    ``tail`` is the last row and those after it that carry future covariates only.
    """

    row: RowState
    state: State
    tail: Series


@dataclass(frozen=True)
class Tracked:
    """All series of a model, each where its known rows end."""

    pipeline: Pipeline
    held: Mapping[str, Held] = field(default_factory=dict)

    @classmethod
    def after(cls, pipeline: Pipeline, series: Sequence[Series]) -> "Tracked":
        """After the last observed row of each; a series without any is left out."""
        series = [one for one in series if one.observed]
        if not series:
            return cls(pipeline)
        table, states = pipeline.modality, pipeline.state_after(series)
        held = {}
        for index, one in enumerate(series):
            tail = _slice(one, one.observed - 1)
            held[one.id] = Held(table.row_state(one.until(one.observed)), select(states, [index]), tail)
        return cls(pipeline, held)

    def encode(self, row: Mapping[str, Any]) -> tuple[str, list[EncodedRow], RowState]:
        """Check one row against where its series stands; nothing changes."""
        table = self.pipeline.modality
        known = self.held.get(table.row_id(row))
        return table.row(row, None if known is None else known.row)

    def with_rows(self, name: str, rows: Sequence[EncodedRow], after: RowState) -> "Tracked":
        """After some more encoded rows of one series."""
        held = self.held.get(name)
        if held is None:
            static = torch.tensor(rows[0].static, dtype=torch.float32).unsqueeze(0)
            state = self.pipeline.initial_state([name], static)
        else:
            state = held.state
        state = self.pipeline.observe(_chunk(rows), state)
        last = rows[-1]
        tail = Series(name, np.array([last.time]), np.zeros((1, len(last.target))), future=last.future[None])
        if held is not None:
            later = held.tail.times > last.time
            tail = Series(
                name,
                np.concatenate([tail.times, held.tail.times[later]]),
                np.concatenate([tail.target, held.tail.target[later] * np.nan]),
                future=np.concatenate([tail.future, held.tail.future[later]]),
            )
        return replace(self, held={**self.held, name: Held(after, state, tail)})

    def updated(self, raw: RawTable) -> tuple["Tracked", int]:
        """After all rows of a table, and how many there were. All of them are checked before any is taken in."""
        tracked, count = self, 0
        table = self.pipeline.modality
        waiting: dict[str, list[tuple[list[EncodedRow], RowState]]] = {}
        for row in rows_of(raw):
            name = table.row_id(row)
            taken, known = waiting.setdefault(name, []), self.held.get(name)
            before = taken[-1][1] if taken else None if known is None else known.row
            taken.append(table.row(row, before)[1:])
            count += 1
        for name, taken in waiting.items():
            # Rows behind the last one with a target are what is known of the future; they are not missing values.
            seen = [index for index, (rows, _) in enumerate(taken) if not np.isnan(rows[-1].target).all()]
            end = seen[-1] + 1 if seen else 0
            if end:
                rows = [row for more, _ in taken[:end] for row in more]
                tracked = tracked.with_rows(name, rows, taken[end - 1][1])
            tracked = tracked._with_ahead(name, [row for more, _ in taken[end:] for row in more])
        return tracked, count

    def _with_ahead(self, name: str, rows: Sequence[EncodedRow]) -> "Tracked":
        held = self.held.get(name)
        if held is None or not rows:
            return self
        times = np.array([row.time for row in rows])
        kept = held.tail.times < times[0]
        tail = Series(
            name,
            np.concatenate([held.tail.times[kept], times]),
            np.concatenate([held.tail.target[kept], np.full((len(rows), held.tail.target.shape[1]), np.nan)]),
            future=np.concatenate([held.tail.future[kept], np.stack([row.future for row in rows])]),
        )
        return replace(self, held={**self.held, name: replace(held, tail=tail)})

    def forecast(self, names: Sequence[str], future: RawTable | None = None) -> tuple[Answer, list[NDArray[np.int64]]]:
        """Forecasts of these series from where they stand, and the stamps they speak of."""
        table, horizon = self.pipeline.modality, self.pipeline.task.horizon
        answers, times = [], []
        for start in range(0, len(names), AT_ONCE):
            held = [self.held[name] for name in names[start : start + AT_ONCE]]
            known = np.stack([table.future_frame(one.tail, horizon, future) for one in held])
            times += [table.times_ahead(one.tail, horizon, future) for one in held]
            state = concatenate([one.state for one in held])
            answers.append(self.pipeline.forecast(state, torch.from_numpy(known).float()))
        return Answer(*(torch.cat(part) for part in zip(*answers, strict=True))), times

    def frame(self, future: RawTable | None = None) -> pl.DataFrame:
        """One row for each series and step ahead: id, stamp, each target's point forecast and quantiles."""
        if not self.held:
            raise DataError("no series is known yet; give predict() some data, or push rows to a stream")
        names = list(self.held)
        answer, times = self.forecast(names, future)
        return forecast_frame(self.pipeline, names, answer.quantiles.numpy(), times)

    # ---- files ---------------------------------------------------------------------------------------------------

    def pack(self) -> bytes:
        """Every state, with the model's fingerprint: a state belongs to one model."""
        names = list(self.held)
        like = self.pipeline.initial_state([""])
        state = concatenate([self.held[name].state for name in names]) if names else select(like, [])
        tails = [{"times": one.tail.times.tolist(), "future": one.tail.future.tolist()} for one in self.held.values()]
        rows = [one.row._asdict() for one in self.held.values()]
        facts = {"model": self.pipeline.fingerprint(), "series": names, "rows": rows, "tails": tails}
        return pack_state(state, facts)

    @classmethod
    def unpack(cls, pipeline: Pipeline, data: bytes, source: str) -> "Tracked":
        """The inverse of :meth:`pack`; refuses the state of another model."""
        like = pipeline.initial_state([""])
        state, facts = unpack_state(data, source, like)
        if facts.get("model") != pipeline.fingerprint():
            raise StateError(f"{source} is the state of another model; give the snapshot of this one, or start anew")
        names, rows, tails = facts["series"], facts["rows"], facts["tails"]
        held = {}
        for index, (name, row, tail) in enumerate(zip(names, rows, tails, strict=True)):
            times = np.array(tail["times"], dtype=np.int64)
            target = np.full((len(times), pipeline.plan.targets), np.nan)
            target[0] = 0.0
            future = np.array(tail["future"], dtype=np.float64).reshape(len(times), -1)
            held[name] = Held(
                RowState.from_dict(row), select(state, [index]), Series(name, times, target, future=future)
            )
        return cls(pipeline, held)

    def save(self, path: Path) -> None:
        """Write :meth:`pack` to a file."""
        storage.write_bytes(path, self.pack())

    @classmethod
    def load(cls, path: Path, pipeline: Pipeline) -> "Tracked":
        """Read what :meth:`save` wrote."""
        return cls.unpack(pipeline, storage.read_bytes(path), str(path))


def rows_of(raw: RawTable, series: Sequence[int] | None = None) -> Iterator[dict[str, Any]]:
    """The rows of a table as a stream takes them, in order of series and time."""
    options = raw.options
    for index in range(len(raw.ids)) if series is None else series:
        first = int(raw.starts[index])
        for place in range(first, first + int(raw.counts[index])):
            time = int(raw.times[place])
            row: dict[str, Any] = {options.id: raw.ids[index]}
            row[options.time] = np.datetime64(time, "ns") if raw.dates else time
            row |= {name: _given(column[place]) for name, column in raw.numbers.items()}
            yield row | {name: column[place] for name, column in raw.texts.items()}


def _given(number: float) -> float | None:
    return None if np.isnan(number) else float(number)


def _slice(series: Series, start: int) -> Series:
    return Series(
        series.id,
        series.times[start:],
        series.target[start:],
        series.past[start:],
        series.future[start:],
        series.static,
    )


def _chunk(rows: Sequence[EncodedRow]) -> Rows:
    """Encoded rows as a batch of one."""
    target = torch.from_numpy(np.stack([row.target for row in rows])).double()
    past, future = (
        torch.from_numpy(np.stack([getattr(row, part) for row in rows])).float() for part in ("past", "future")
    )
    return Rows(target.unsqueeze(0), past.unsqueeze(0), future.unsqueeze(0))


def column_names(targets: Iterable[str], levels: Iterable[float]) -> list[str]:
    """Columns of a forecast: each target, then its quantiles.

    ``units``, ``units_q05``, …: the median is the point forecast, and stands under the target's own name.
    """
    return [f"{name}{_suffix(level)}" for name in targets for level in (None, *levels)]


def _suffix(level: float | None) -> str:
    return "" if level is None else "_q" + f"{level:.12f}"[2:].rstrip("0").ljust(2, "0")


def forecast_frame(
    pipeline: Pipeline, names: Sequence[str], quantiles: NDArray[np.float64], times: Sequence[NDArray[np.int64]]
) -> pl.DataFrame:
    """[series, horizon, targets, levels] as a frame in the columns of the training file."""
    table, levels = pipeline.modality, pipeline.levels
    stamps = pl.Series(np.concatenate(times))
    if table.dates:
        moments = stamps.cast(pl.Datetime("ns"))
        days = moments.cast(pl.Date)
        whole = table.frequency.whole_days and (days.cast(pl.Datetime("ns")) == moments).all()
        stamps = days if whole else moments
    columns: dict[str, Any] = {
        table.options.id: np.repeat(np.array(names, dtype=object), pipeline.task.horizon),
        table.options.time: stamps,
    }
    for index, name in enumerate(table.targets):
        flat = quantiles[:, :, index].reshape(-1, len(levels))
        columns[name] = flat[:, levels.index(0.5)]
        if len(levels) > 1:
            columns.update({name + _suffix(level): flat[:, one] for one, level in enumerate(levels)})
    return pl.DataFrame(columns)
