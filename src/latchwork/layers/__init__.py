"""Layers: cells run over sequences and stepped, alone, stacked, in both directions; drop-ins for torch.nn's."""

from latchwork.layers.bidirectional import Bidirectional
from latchwork.layers.bind import bound
from latchwork.layers.dropin import GRU, LSTM, RNN
from latchwork.layers.network import Network
from latchwork.layers.norm import BatchNorm, LayerNorm
from latchwork.layers.recurrent import Recurrent
from latchwork.layers.regularize import (
    Dropout,
    RecurrentDropout,
    Zoneout,
    check_rate,
    draw_key,
    drop_weights,
    dropout,
    fold,
    mask,
    regularized,
)
from latchwork.layers.stack import Stack
from latchwork.layers.start import start

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "BatchNorm",
    "Bidirectional",
    "Dropout",
    "LayerNorm",
    "Network",
    "Recurrent",
    "RecurrentDropout",
    "Stack",
    "Zoneout",
    "bound",
    "check_rate",
    "draw_key",
    "drop_weights",
    "dropout",
    "fold",
    "mask",
    "regularized",
    "start",
]
