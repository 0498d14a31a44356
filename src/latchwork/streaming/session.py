"""One live stream: push a row, get the forecast. Many series side by side, each with a state of its own."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from latchwork.errors import DataError
from latchwork.modalities import RawTable
from latchwork.streaming.tracked import Tracked
from latchwork.tasks import Answer, Pipeline

AHEAD = "ahead"
"""The field of a JSON row that holds what is known of the rows to come."""


@dataclass(frozen=True)
class Prediction:
    """A forecast made after a row.

    id         the series
    after      the stamp of the row it was made after
    times      [horizon] the stamps it speaks of
    point      target -> [horizon]
    quantiles  target -> level -> [horizon]
    """

    id: str
    after: str
    times: list[str]
    point: dict[str, list[float]]
    quantiles: dict[str, dict[float, list[float]]]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a JSON line."""
        quantiles = {name: {str(level): row for level, row in rows.items()} for name, rows in self.quantiles.items()}
        return {"id": self.id, "after": self.after, "times": self.times, "point": self.point, "quantiles": quantiles}


class Stream:
    """A live session over a pipeline. A row that is refused leaves every state as it was.

    >>> with model.stream() as live:                                    # doctest: +SKIP
    ...     forecast = live.push({"unique_id": "a", "ds": "2026-11-21", "units": 3})
    """

    def __init__(self, pipeline: Pipeline, tracked: Tracked | None = None) -> None:
        self.pipeline = pipeline
        self.tracked = Tracked(pipeline) if tracked is None else tracked

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is held open: the state is a value, and stays readable."""

    @property
    def series(self) -> list[str]:
        """The series that have a state, those never seen in training among them once a row of theirs came."""
        return list(self.tracked.held)

    @property
    def cost(self) -> str:
        """What a push costs, by kind of memory, as measured here."""
        names = self.series[:1]
        spent = ""
        if names and not self.pipeline.modality.of("future"):
            self.tracked.forecast(names)
            begin = time.perf_counter()
            for _ in range(5):
                self.tracked.forecast(names)
            spent = f", about {(time.perf_counter() - begin) / 5 * 1e3:.1f} ms here"
        plan = self.pipeline.plan
        if self.pipeline.task.memory == "carried":
            return f"memory is carried: a push costs one recurrent step, whatever came before{spent}"
        return (
            f"memory is a window: each push reads the last {plan.lookback} rows anew, "
            f"{plan.lookback // plan.segment} recurrent steps{spent}"
        )

    def push(self, row: Mapping[str, Any], ahead: Sequence[Mapping[str, Any]] | None = None) -> Prediction:
        """Take in a row and forecast from after it.

        Args:
            row: Column name -> value, as in the training file; None for a missing value. A series never seen opens a
                state.
            ahead: Rows with the covariates that are known ahead, where the model takes any.

        Raises DataError for a row that can't be used, StateError for one that is out of order; nothing has changed
        then.
        """
        tracked, name = self._taken(row)
        answer, times = tracked.forecast([name], self._known(ahead))
        self.tracked = tracked
        table, levels = self.pipeline.modality, self.pipeline.levels
        rows = answer.quantiles[0].permute(1, 2, 0).tolist()
        return Prediction(
            id=name,
            after=table.format_time(tracked.held[name].row.time),
            times=[table.format_time(int(stamp)) for stamp in times[0]],
            point={target: rows[i][levels.index(0.5)] for i, target in enumerate(table.targets)},
            quantiles={target: dict(zip(levels, rows[i], strict=True)) for i, target in enumerate(table.targets)},
        )

    def forecast(self, series: str, future: RawTable | None = None) -> Answer:
        """The forecast of a series from where it stands; nothing is taken in."""
        return self.tracked.forecast([series], future)[0]

    def observe(self, row: Mapping[str, Any]) -> str:
        """Take in a row without asking for a forecast; returns the series."""
        self.tracked, name = self._taken(row)
        return name

    def _taken(self, row: Mapping[str, Any]) -> tuple[Tracked, str]:
        name, rows, after = self.tracked.encode(row)
        return self.tracked.with_rows(name, rows, after), name

    def _known(self, ahead: Sequence[Mapping[str, Any]] | None) -> RawTable | None:
        if not ahead:
            return None
        if not isinstance(ahead, Sequence) or not all(isinstance(one, Mapping) for one in ahead):
            raise DataError(f"{AHEAD} is a list of rows, each an object of columns and values; got {str(ahead)[:60]}")
        try:
            frame = pl.DataFrame([dict(one) for one in ahead], infer_schema_length=None)
        except (pl.exceptions.PolarsError, TypeError) as error:
            raise DataError(f"{AHEAD} is no table: {str(error).splitlines()[0]}") from None
        return self.pipeline.modality.read_future(frame)

    def push_json(self, line: str) -> list[Prediction]:
        """Push one JSON line; a row of a wide table gives a forecast for each series. All of it is taken in or
        nothing.
        """
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f'not a JSON line: {error}; expected an object such as {{"column": value, …}}') from None
        if not isinstance(row, dict):
            raise DataError(f"a row is an object of columns and values, got a {type(row).__name__}")
        ahead = row.pop(AHEAD, None) if self.pipeline.modality.of("future") else None
        trial = self.fork()
        answers = [trial.push(one, ahead) for one in self.pipeline.modality.long_rows(row)]
        self.tracked = trial.tracked
        return answers

    def snapshot(self) -> bytes:
        """Every state as bytes (safetensors, with the model's fingerprint)."""
        return self.tracked.pack()

    def restore(self, snapshot: bytes) -> None:
        """Go on from a snapshot of the same model."""
        self.tracked = Tracked.unpack(self.pipeline, snapshot, "the snapshot")

    def fork(self) -> "Stream":
        """Another stream from the same moment; neither knows of the other."""
        return Stream(self.pipeline, self.tracked)
