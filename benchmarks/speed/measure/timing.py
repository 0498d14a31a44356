"""Times of several contenders in one process, in turn, so that whatever the machine does meets all of them alike."""

import gc
import math
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

PAUSE = 0.005
"""Seconds before a contender's turn: the threads of the one before have stopped spinning by then."""

TURN = 0.03
"""Seconds that a turn lasts at least, so that one of microseconds is timed many times."""

WARM = 0.06
"""A contender whose run is shorter than this runs once untimed before each turn: the pause left its caches cold."""


@dataclass
class Contender:
    """Something to time. prepare runs before each run, outside of the clock. result: the outputs and the gradient of
    the recurrent weights, as torch lays them out, for the check that all compute the same. repeats: what ``run`` does
    that many times; the time is for one."""

    name: str
    run: Callable[[], Any]
    prepare: Callable[[], Any] = lambda: None
    result: Callable[[], Sequence[np.ndarray]] | None = None
    repeats: int = 1

    def seconds(self) -> float:
        self.prepare()
        begin = time.perf_counter()
        self.run()
        return (time.perf_counter() - begin) / self.repeats


def medians(contenders: Iterable[Contender], rounds: int) -> dict[str, float]:
    """Median seconds of each, over ``rounds`` rounds in which each has its turn; the order moves on each round."""
    order = list(contenders)
    first = {one.name: (one.seconds(), one.seconds())[1] for one in order}
    turns: dict[str, list[float]] = {one.name: [] for one in order}
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            for one in order:
                time.sleep(PAUSE)
                if first[one.name] * one.repeats < WARM:
                    one.seconds()
                turns[one.name].append(_turn(one))
            order = order[1:] + order[:1]
    finally:
        gc.enable()
    return {name: statistics.median(found) for name, found in turns.items()}


def _turn(one: Contender) -> float:
    found: list[float] = []
    begin = time.perf_counter()
    while not found or time.perf_counter() - begin < TURN:
        found.append(one.seconds())
    return statistics.median(found)


def geometric_mean(values: Iterable[float]) -> float:
    """exp of the mean of the logarithms."""
    return math.exp(statistics.fmean(math.log(value) for value in values))


def difference(found: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> float:
    """The largest difference of any entry, relative to the largest expected entry of its array."""
    worst = 0.0
    for one, other in zip(found, expected, strict=True):
        scale = max(float(np.abs(other).max()), 1e-12)
        worst = max(worst, float(np.abs(np.asarray(one, dtype=np.float32) - other).max()) / scale)
    return worst
