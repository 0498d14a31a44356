"""How a network is trained: the options, the loop, and fitting a task to data."""

from latchwork.training.checkpoint import Checkpoints
from latchwork.training.fit import Fitted, FittedSequences, fit, fit_sequences
from latchwork.training.job import Callback, Job, Outcome
from latchwork.training.loop import train
from latchwork.training.options import Training
from latchwork.training.progress import Progress

__all__ = [
    "Callback",
    "Checkpoints",
    "Fitted",
    "FittedSequences",
    "Job",
    "Outcome",
    "Progress",
    "Training",
    "fit",
    "fit_sequences",
    "train",
]
