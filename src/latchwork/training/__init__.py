"""How a network is trained: the options, the loop, and fitting a task to data."""

from latchwork.training.checkpoint import Checkpoints
from latchwork.training.fit import Fitted, FittedSequences, FittedSetup, fit, fit_sequences, fit_setup, nothing_left
from latchwork.training.foreign import Foreign, read_weights
from latchwork.training.job import Callback, Job, Outcome
from latchwork.training.loop import train
from latchwork.training.options import Training
from latchwork.training.progress import Progress
from latchwork.training.takeover import Takeover
from latchwork.training.transfer import Tuned, finetune_sequences, inherited, shaped
from latchwork.training.transfer_language import finetune_translation
from latchwork.training.transfer_options import Transfer

__all__ = [
    "Callback",
    "Checkpoints",
    "Fitted",
    "FittedSequences",
    "FittedSetup",
    "Foreign",
    "Job",
    "Outcome",
    "Progress",
    "Takeover",
    "Training",
    "Transfer",
    "Tuned",
    "finetune_sequences",
    "finetune_translation",
    "fit",
    "fit_sequences",
    "fit_setup",
    "inherited",
    "nothing_left",
    "read_weights",
    "shaped",
    "train",
]
