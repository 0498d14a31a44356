"""Streaming: a trained model, one row, or one token, at a time."""

from latchwork.streaming.completion import Completer, Completion
from latchwork.streaming.replay import replay
from latchwork.streaming.session import Prediction, Stream
from latchwork.streaming.text import Reading, TextStream, unknown_words
from latchwork.streaming.tracked import Held, Tracked, column_names

__all__ = [
    "Completer",
    "Completion",
    "Held",
    "Prediction",
    "Reading",
    "Stream",
    "TextStream",
    "Tracked",
    "column_names",
    "replay",
    "unknown_words",
]
