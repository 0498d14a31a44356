"""The held-back rows pushed one at a time through a live stream, beside the same forecasts made offline."""

import time

import numpy as np
import polars as pl

from latchwork.evaluation import Evaluation, Streamed
from latchwork.modalities import RawTable
from latchwork.streaming.session import Stream
from latchwork.streaming.tracked import Tracked, rows_of
from latchwork.tasks import ForecastSetup

MOST_PUSHES = 600


def replay(setup: ForecastSetup, raw: RawTable, evaluation: Evaluation, most: int = MOST_PUSHES) -> Streamed | None:
    """Stream the test rows of a few series, about ``most`` pushes in all, and score what comes out at the test's
    origins.

    The stream starts where the training and validation rows end. None where no origin can be reached.
    """
    pipeline, windows = setup.pipeline, evaluation.windows
    offline = next(one for one in evaluation.forecasts if one.name == setup.name)
    targets, horizon = len(pipeline.modality.targets), pipeline.task.horizon
    pushed, spent, found, wanted, cost = 0, 0.0, [], [], ""
    ahead = None
    if pipeline.modality.of("future"):
        columns = {name: raw.numbers.get(name, raw.texts.get(name)) for name in pipeline.task.table.future}
        stamps = pl.Series(raw.times).cast(pl.Datetime("ns")) if raw.dates else pl.Series(raw.times)
        ids = np.repeat(np.array(raw.ids, dtype=object), raw.counts)
        ahead = pipeline.modality.read_future(pl.DataFrame({raw.options.id: ids, raw.options.time: stamps, **columns}))
    for index in np.unique(windows.series).tolist():
        mine = np.flatnonzero(windows.series == index)
        series, first = setup.series[index], int(setup.split.test[index, 0])
        live = Stream(pipeline, Tracked.after(pipeline, [series.until(first)]))
        origins = {int(windows.origin[row]): row for row in mine[::targets]}
        name = raw.ids.index(series.id)
        known = live.tracked.held.get(series.id)
        after = known.row.time if known else np.iinfo(np.int64).min
        place = {int(stamp): row + 1 for row, stamp in enumerate(series.times.tolist())}
        if known and (row := origins.get(place[after])) is not None:
            found.append(live.forecast(series.id, ahead))
            wanted.append(row)
        for record in rows_of(raw, [name]):
            stamp = int(record[raw.options.time].astype(np.int64)) if raw.dates else int(record[raw.options.time])
            if stamp <= after:
                continue
            if pushed >= most or place[stamp] > max(origins):
                break
            begin = time.perf_counter()
            live.observe(record)
            answer = live.forecast(series.id, ahead) if place[stamp] + horizon <= len(series) else None
            if answer is not None and (row := origins.get(place[stamp])) is not None:
                found.append(answer)
                wanted.append(row)
            spent += time.perf_counter() - begin
            pushed += 1
        cost = live.cost
        if pushed >= most:
            break
    if not found:
        return None
    rows = np.concatenate([np.arange(row, row + targets) for row in wanted])
    median = pipeline.levels.index(0.5)
    streamed = np.concatenate([answer.quantiles[0, ..., median].T.numpy() for answer in found])
    actual = windows.actual[rows]
    return Streamed(
        offline=float(np.nanmean(np.abs(offline.point[rows] - actual))),
        streamed=float(np.nanmean(np.abs(streamed - actual))),
        metric="MAE",
        rows=pushed,
        largest_difference=float(np.abs(streamed - offline.point[rows]).max()),
        microseconds_a_push=spent / max(pushed, 1) * 1e6,
        note=cost,
    )
