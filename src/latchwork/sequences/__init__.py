"""What every stage shares: batches, series, forecast windows, states as values."""

from latchwork.sequences.batch import Batch, mask_from_lengths
from latchwork.sequences.examples import PAD, PARTS, Encoded, Features, Inputs, Labelled, Part, collate
from latchwork.sequences.folds import Split, hold_out, k_fold, split_examples
from latchwork.sequences.sampler import Chunk, ChunkSampler, EpochSampler
from latchwork.sequences.series import Column, Kind, Role, Series
from latchwork.sequences.split import TimeSplit, split_by_time
from latchwork.sequences.state import concatenate, detach, flatten, map_state, select, unflatten, where, zip_states
from latchwork.sequences.windows import Forecasts, Windows

__all__ = [
    "PAD",
    "PARTS",
    "Batch",
    "Chunk",
    "ChunkSampler",
    "Column",
    "Encoded",
    "EpochSampler",
    "Features",
    "Forecasts",
    "Inputs",
    "Kind",
    "Labelled",
    "Part",
    "Role",
    "Series",
    "Split",
    "TimeSplit",
    "Windows",
    "collate",
    "concatenate",
    "detach",
    "flatten",
    "hold_out",
    "k_fold",
    "map_state",
    "mask_from_lengths",
    "select",
    "split_by_time",
    "split_examples",
    "unflatten",
    "where",
    "zip_states",
]
