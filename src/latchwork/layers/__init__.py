"""Layers: cells run over sequences and stepped, alone, stacked, in both directions; drop-ins for torch.nn's."""

from latchwork.layers.augment import Augment
from latchwork.layers.bidirectional import Bidirectional
from latchwork.layers.bind import bound
from latchwork.layers.convolutions import Convolution, Convolutions
from latchwork.layers.crf import CRF, NO_LABEL, Allowed, bio_rules
from latchwork.layers.dropin import GRU, LSTM, RNN
from latchwork.layers.encoders import InputEncoder, LetterReader
from latchwork.layers.network import Network
from latchwork.layers.norm import BatchNorm, LayerNorm
from latchwork.layers.pooling import POOLINGS, Pooling, PoolingKind, check_pooling
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
from latchwork.layers.rivals import RIVALS, FeedForward, Transformer, check_rival, rival
from latchwork.layers.stack import Stack
from latchwork.layers.start import start

__all__ = [
    "CRF",
    "GRU",
    "LSTM",
    "NO_LABEL",
    "POOLINGS",
    "RIVALS",
    "RNN",
    "Allowed",
    "Augment",
    "BatchNorm",
    "Bidirectional",
    "Convolution",
    "Convolutions",
    "Dropout",
    "FeedForward",
    "InputEncoder",
    "LayerNorm",
    "LetterReader",
    "Network",
    "Pooling",
    "PoolingKind",
    "Recurrent",
    "RecurrentDropout",
    "Stack",
    "Transformer",
    "Zoneout",
    "bio_rules",
    "bound",
    "check_pooling",
    "check_rate",
    "check_rival",
    "draw_key",
    "drop_weights",
    "dropout",
    "fold",
    "mask",
    "regularized",
    "rival",
    "start",
]
