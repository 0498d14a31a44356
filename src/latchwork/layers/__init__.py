"""Layers: cells run over sequences and stepped, alone, stacked, in both directions; drop-ins for torch.nn's."""

from latchwork.layers.attention import ATTENTIONS, Attended, Attention, AttentionKind, check_attention
from latchwork.layers.augment import Augment
from latchwork.layers.bidirectional import Bidirectional
from latchwork.layers.bind import bound
from latchwork.layers.convolutions import Convolution, Convolutions
from latchwork.layers.crf import CRF, NO_LABEL, Allowed, bio_rules
from latchwork.layers.decoder import AttentionDecoder
from latchwork.layers.dropin import GRU, LSTM, RNN
from latchwork.layers.encoders import InputEncoder, LetterReader
from latchwork.layers.language import NextToken
from latchwork.layers.memory import DecoderState, Memory, Steps
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
    locked_dropout,
    mask,
    regularized,
)
from latchwork.layers.rivals import RIVALS, FeedForward, Transformer, check_rival, rival
from latchwork.layers.stack import Stack
from latchwork.layers.start import start

__all__ = [
    "ATTENTIONS",
    "CRF",
    "GRU",
    "LSTM",
    "NO_LABEL",
    "POOLINGS",
    "RIVALS",
    "RNN",
    "Allowed",
    "Attended",
    "Attention",
    "AttentionDecoder",
    "AttentionKind",
    "Augment",
    "BatchNorm",
    "Bidirectional",
    "Convolution",
    "Convolutions",
    "DecoderState",
    "Dropout",
    "FeedForward",
    "InputEncoder",
    "LayerNorm",
    "LetterReader",
    "Memory",
    "Network",
    "NextToken",
    "Pooling",
    "PoolingKind",
    "Recurrent",
    "RecurrentDropout",
    "Stack",
    "Steps",
    "Transformer",
    "Zoneout",
    "bio_rules",
    "bound",
    "check_attention",
    "check_pooling",
    "check_rate",
    "check_rival",
    "draw_key",
    "drop_weights",
    "dropout",
    "fold",
    "locked_dropout",
    "mask",
    "regularized",
    "rival",
    "start",
]
