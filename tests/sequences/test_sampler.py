"""The samplers are pure functions of the step that visit everything exactly once an epoch."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latchwork.errors import ConfigError, DataError
from latchwork.sequences import ChunkSampler, EpochSampler

lengths_of = st.lists(st.integers(min_value=1, max_value=40), min_size=1, max_size=30)
seeds = st.integers(min_value=0, max_value=2**32)


@given(lengths=lengths_of, batch_size=st.integers(1, 8), seed=seeds, epoch=st.integers(0, 5), buckets=st.booleans())
def test_each_row_once_an_epoch(lengths: list[int], batch_size: int, seed: int, epoch: int, buckets: bool) -> None:
    sampler = EpochSampler(len(lengths), batch_size, seed, lengths if buckets else None)
    first = epoch * sampler.steps_per_epoch
    batches = [sampler.rows(first + step) for step in range(sampler.steps_per_epoch)]
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    sizes = sorted(len(batch) for batch in batches)
    assert sizes[1:] == [batch_size] * (len(batches) - 1)
    assert 1 <= sizes[0] <= batch_size


@given(
    count=st.integers(1, 30), batch_size=st.integers(1, 8), seed=seeds, steps=st.lists(st.integers(0, 200), max_size=9)
)
def test_rows_are_a_pure_function_of_the_step(count: int, batch_size: int, seed: int, steps: list[int]) -> None:
    lengths = list(range(1, count + 1))
    asked_in_any_order = EpochSampler(count, batch_size, seed, lengths)
    for step in steps:
        assert (asked_in_any_order.rows(step) == EpochSampler(count, batch_size, seed, lengths).rows(step)).all()


def test_epochs_and_seeds_differ() -> None:
    one, other = EpochSampler(50, 50, seed=1), EpochSampler(50, 50, seed=2)
    assert (one.rows(0) != one.rows(1)).any()
    assert (one.rows(0) != other.rows(0)).any()
    # A sum of seed and epoch would make these the same.
    assert (one.rows(1) != other.rows(0)).any()


def test_buckets_hold_similar_lengths_and_differ_between_epochs() -> None:
    lengths = np.random.default_rng(0).integers(1, 1000, size=400)
    sampler = EpochSampler(400, 10, 0, lengths)
    epochs = [[sampler.rows(40 * epoch + step) for step in range(40)] for epoch in range(2)]
    padded = sum(lengths[rows].max() * len(rows) for rows in epochs[0])
    assert padded < 1.2 * lengths.sum()
    assert {frozenset(rows) for rows in epochs[0]} != {frozenset(rows) for rows in epochs[1]}
    longest = [int(lengths[rows].max()) for rows in epochs[0]]
    assert longest != sorted(longest)


@given(lengths=lengths_of, lanes=st.integers(1, 6), chunk=st.integers(0, 9), seed=seeds, epoch=st.integers(0, 3))
def test_chunks_visit_every_step_once_in_order(
    lengths: list[int], lanes: int, chunk: int, seed: int, epoch: int
) -> None:
    sampler = ChunkSampler(lengths, lanes, chunk, seed)
    visited: dict[int, list[int]] = {index: [] for index in range(len(lengths))}
    reading = dict.fromkeys(range(sampler.lanes), (0, 0, True))  # sequence, next step, through with it
    for step in range(sampler.steps_per_epoch):
        sequence, start, stop, resets = sampler.chunk(epoch * sampler.steps_per_epoch + step)
        assert resets.shape == (sampler.lanes, max(stop - start))
        assert 0 < resets.shape[1] <= (chunk or max(lengths))
        assert not resets[:, 1:].any()
        for lane in range(sampler.lanes):
            if stop[lane] == start[lane]:
                assert not resets[lane].any()
                continue
            before, following, through = reading[lane]
            assert resets[lane, 0] == through
            assert (sequence[lane], start[lane]) == ((sequence[lane], 0) if through else (before, following))
            reading[lane] = (sequence[lane], stop[lane], stop[lane] == lengths[sequence[lane]])
            visited[int(sequence[lane])] += range(start[lane], stop[lane])
    assert visited == {index: list(range(length)) for index, length in enumerate(lengths)}


@given(lengths=lengths_of, steps=st.lists(st.integers(0, 100), max_size=9))
def test_chunks_are_a_pure_function_of_the_step(lengths: list[int], steps: list[int]) -> None:
    asked_in_any_order = ChunkSampler(lengths, 3, 4, seed=5)
    for step in steps:
        fresh = ChunkSampler(lengths, 3, 4, seed=5).chunk(step)
        assert all((got == want).all() for got, want in zip(asked_in_any_order.chunk(step), fresh, strict=True))


def test_chunk_epochs_differ_and_lanes_are_balanced() -> None:
    sampler = ChunkSampler([30, 10, 10, 10, 20, 20], lanes=2, chunk=10, seed=0)
    assert sampler.steps_per_epoch == 5
    epochs = [[sampler.chunk(5 * epoch + step).sequence.tolist() for step in range(5)] for epoch in range(2)]
    assert epochs[0] != epochs[1]


def test_a_chunk_is_the_callers_own() -> None:
    sampler = ChunkSampler([9, 9], lanes=2, chunk=3, seed=0)
    sampler.chunk(1).start[:] = -1
    assert sampler.chunk(1).start.tolist() == [3, 3]


def test_bad_sizes() -> None:
    with pytest.raises(DataError, match="there are 0 rows"):
        EpochSampler(0, 1, 0)
    with pytest.raises(ConfigError, match="batch_size is 0"):
        EpochSampler(1, 0, 0)
    with pytest.raises(DataError, match="there are 2 lengths for 3 rows"):
        EpochSampler(3, 1, 0, [1, 2])
    for lengths in ([], [3, 0]):
        with pytest.raises(DataError, match="expected at least one, all above 0"):
            ChunkSampler(lengths, 1, 1, 0)
    with pytest.raises(ConfigError, match="batch_size is 0"):
        ChunkSampler([1], 0, 1, 0)
    with pytest.raises(ConfigError, match="truncate is -1"):
        ChunkSampler([1], 1, -1, 0)
