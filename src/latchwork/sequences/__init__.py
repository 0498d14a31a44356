"""What every stage shares: batches, series, forecast windows, states as values."""

from latchwork.sequences.batch import Batch, mask_from_lengths
from latchwork.sequences.series import Column, Kind, Role, Series
from latchwork.sequences.state import concatenate, detach, flatten, map_state, select, unflatten, where, zip_states
from latchwork.sequences.windows import Forecasts, Windows

__all__ = [
    "Batch",
    "Column",
    "Forecasts",
    "Kind",
    "Role",
    "Series",
    "Windows",
    "concatenate",
    "detach",
    "flatten",
    "map_state",
    "mask_from_lengths",
    "select",
    "unflatten",
    "where",
    "zip_states",
]
