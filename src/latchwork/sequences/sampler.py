"""Which rows, or which steps of which sequences, make step n. Pure functions of n: a resumed run replays nothing.

The order of an epoch comes from (seed, epoch) alone. Both samplers keep the order of the last epoch asked for, which
saves time and changes no answer.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from latchwork.errors import ConfigError, DataError

Index = NDArray[np.int64]
JITTER = 0.1


class EpochSampler:
    """Every row exactly once an epoch, in a new order each epoch; the last, smaller batch is kept.

    With ``lengths``, batches are made of rows of similar lengths, so that little of a batch is padding: rows are sorted
    by their length, each blurred by up to ±10% so that batches differ from epoch to epoch, cut into batches, and the
    batches are shuffled.

    count       rows
    batch_size  rows in a batch
    seed        with the epoch, decides the order
    lengths     [count] steps of each row; None: no buckets

    >>> sampler = EpochSampler(5, 2, seed=0)
    >>> sampler.steps_per_epoch, sorted(np.concatenate([sampler.rows(step) for step in range(3)]).tolist())
    (3, [0, 1, 2, 3, 4])
    """

    def __init__(self, count: int, batch_size: int, seed: int, lengths: Sequence[int] | Index | None = None) -> None:
        if count < 1:
            raise DataError(f"there are {count} rows to train on, expected at least 1")
        if batch_size < 1:
            raise ConfigError(f"batch_size is {batch_size}, expected at least 1")
        if lengths is not None and len(lengths) != count:
            raise DataError(f"there are {len(lengths)} lengths for {count} rows, expected one for each")
        self.count = count
        self.batch_size = batch_size
        self.seed = seed
        self.lengths = None if lengths is None else np.asarray(lengths, dtype=np.float64)
        self._epoch: tuple[int, list[Index]] = (-1, [])

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch, the smaller last one among them."""
        return -(-self.count // self.batch_size)

    def rows(self, step: int) -> Index:
        """The rows of step ``step`` (from 0): [batch_size], or fewer in one batch of each epoch."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if self._epoch[0] != epoch:
            self._epoch = (epoch, self._batches(epoch))
        return self._epoch[1][position]

    def _batches(self, epoch: int) -> list[Index]:
        random = np.random.default_rng((self.seed, epoch))
        order = random.permutation(self.count)
        if self.lengths is not None:
            blurred = self.lengths[order] * random.uniform(1 - JITTER, 1 + JITTER, self.count)
            order = order[np.argsort(blurred, kind="stable")]
        batches = [order[start : start + self.batch_size] for start in range(0, self.count, self.batch_size)]
        if self.lengths is not None:
            batches = [batches[index] for index in random.permutation(len(batches))]
        return batches


class Chunk(NamedTuple):
    """One step of truncated backpropagation: what each lane reads.

    sequence  [lanes]        which sequence; 0 where the lane is idle
    start     [lanes]        first step read
    stop      [lanes]        one past the last; stop - start is the row's length, 0 where the lane is idle
    resets    [lanes, time]  True: the state before this step is fresh; time is the longest row of the chunk
    """

    sequence: Index
    start: Index
    stop: Index
    resets: NDArray[np.bool_]


class ChunkSampler:
    """Long sequences side by side in lanes, read chunk by chunk, so that the state can be carried from step to step.

    A lane reads one sequence after the other. A chunk never spans two sequences: the last chunk of a sequence is as
    short as what is left of it, and the next sequence begins with the next chunk, with a reset at its first step. Each
    step of each sequence is read exactly once an epoch, in order. A lane that is through before the others is idle:
    its rows have length 0.

    Sequences are dealt to lanes once, the longest first to the lane with the least to do, so that every epoch has the
    same number of chunks; their order within a lane, and the order of the lanes, are new in each epoch.

    lengths  [sequences]  steps of each sequence
    lanes    rows of a batch; no more than there are sequences are used
    chunk    steps in a chunk; 0: whole sequences
    """

    def __init__(self, lengths: Sequence[int] | Index, lanes: int, chunk: int, seed: int) -> None:
        self.lengths = np.asarray(lengths, dtype=np.int64)
        if len(self.lengths) == 0 or self.lengths.min() < 1:
            raise DataError(
                f"the lengths to train on are {self.lengths.tolist()[:5]}, expected at least one, all above 0"
            )
        if lanes < 1:
            raise ConfigError(f"batch_size is {lanes}, expected at least 1")
        if chunk < 0:
            raise ConfigError(f"truncate is {chunk}, expected at least 1, or 0 for whole sequences")
        self.lanes = min(lanes, len(self.lengths))
        self.chunk_size = chunk or int(self.lengths.max())
        self.seed = seed
        self._dealt, self._length = self._deal()
        self._epoch: tuple[int, NDArray[np.int64]] = (-1, np.zeros((0, 0, 3), dtype=np.int64))

    @property
    def steps_per_epoch(self) -> int:
        """Chunks in an epoch: those of the lane with the most to do."""
        return self._length

    def chunk(self, step: int) -> Chunk:
        """What step ``step`` (from 0) reads."""
        epoch, position = divmod(step, self._length)
        if self._epoch[0] != epoch:
            self._epoch = (epoch, self._layout(epoch))
        sequence, start, stop = self._epoch[1][position].T
        resets = np.zeros((self.lanes, int((stop - start).max())), dtype=np.bool_)
        resets[:, 0] = (start == 0) & (stop > 0)
        return Chunk(sequence.copy(), start.copy(), stop.copy(), resets)

    def _chunks(self, sequences: Index) -> Index:
        return -(-self.lengths[sequences] // self.chunk_size)

    def _deal(self) -> tuple[list[Index], int]:
        lanes: list[list[int]] = [[] for _ in range(self.lanes)]
        load = np.zeros(self.lanes, dtype=np.int64)
        chunks = self._chunks(np.arange(len(self.lengths)))
        for index in np.argsort(-chunks, kind="stable"):
            lane = int(load.argmin())
            lanes[lane].append(int(index))
            load[lane] += chunks[index]
        return [np.asarray(lane, dtype=np.int64) for lane in lanes], int(load.max())

    def _layout(self, epoch: int) -> NDArray[np.int64]:
        """[chunks, lanes, (sequence, start, stop)] of an epoch."""
        random = np.random.default_rng((self.seed, epoch))
        layout = np.zeros((self._length, self.lanes, 3), dtype=np.int64)
        for lane, dealt in enumerate(random.permutation(self.lanes)):
            position = 0
            for sequence in random.permutation(self._dealt[dealt]):
                length = int(self.lengths[sequence])
                for start in range(0, length, self.chunk_size):
                    layout[position, lane] = sequence, start, min(start + self.chunk_size, length)
                    position += 1
        return layout
