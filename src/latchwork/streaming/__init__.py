"""Streaming: a trained model, one row at a time."""

from latchwork.streaming.replay import replay
from latchwork.streaming.session import Prediction, Stream
from latchwork.streaming.tracked import Held, Tracked, column_names

__all__ = ["Held", "Prediction", "Stream", "Tracked", "column_names", "replay"]
