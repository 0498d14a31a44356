"""Splits by time: nothing reaches across, and too little is refused with the number that is needed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latchwork.errors import ConfigError, DataError
from latchwork.sequences import Series, split_by_time

DAY = 86_400_000_000_000


def series(name: str, rows: int, start: int = 0) -> Series:
    times = (start + np.arange(rows, dtype=np.int64)) * DAY
    return Series(name, times, np.arange(rows, dtype=np.float64)[:, None])


@settings(max_examples=60)
@given(
    rows=st.lists(st.integers(60, 300), min_size=1, max_size=5),
    horizon=st.integers(1, 8),
    gap=st.integers(0, 4),
    dated=st.booleans(),
)
def test_parts_never_overlap_and_the_gap_is_kept(rows: list[int], horizon: int, gap: int, dated: bool) -> None:
    longest = max(rows)
    every = [series(str(i), n, start=longest - n) for i, n in enumerate(rows)]
    split = split_by_time(every, horizon=horizon, gap=gap, dated=dated, test_size=2 * horizon, validation_size=horizon)
    for one, train, validation, test in zip(every, split.train, split.validation, split.test, strict=True):
        assert 0 <= train <= validation[0] <= validation[1] <= test[0] <= test[1] == len(one)
        if train > 0:
            assert validation[0] - train == gap
            assert test[0] - validation[1] == gap


def test_series_that_end_together_are_cut_at_one_date() -> None:
    split = split_by_time([series("a", 100), series("b", 60, start=40)], horizon=5, test_size=20, dated=True)
    assert split.by_date
    assert (100 - split.test[0, 0], 60 - split.test[1, 0]) == (20, 20)


def test_a_series_that_ended_early_has_no_test_but_never_teaches_of_the_test_time() -> None:
    every = [series("a", 100), series("b", 100), series("old", 85)]
    split = split_by_time(every, horizon=5, test_size=10, validation_size=10, dated=True)
    assert split.by_date
    assert split.train[2] == split.train[0] == 80
    assert split.validation[2].tolist() == [80, 85]
    assert split.test[2].tolist() == [85, 85]


def test_each_is_cut_at_its_own_end_without_dates() -> None:
    split = split_by_time([series("a", 100), series("b", 60)], horizon=5, test_size=10, validation_size=10)
    assert not split.by_date
    assert split.train.tolist() == [80, 40]


def test_too_few_rows_say_how_many_are_needed() -> None:
    with pytest.raises(DataError, match=r"the longest series has 20 rows, but 44 are needed for a horizon of 14"):
        split_by_time([series("a", 20)], horizon=14)


def test_a_part_shorter_than_the_horizon_is_refused() -> None:
    with pytest.raises(
        ConfigError, match="test_size is 3 rows, expected at least the horizon of 5 rows, or 0 for none"
    ):
        split_by_time([series("a", 100)], horizon=5, test_size=3)
