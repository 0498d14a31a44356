"""Tasks: what is asked of a sequence, and the pipeline that answers it."""

from latchwork.tasks.classify import Classify
from latchwork.tasks.forecast import Forecast
from latchwork.tasks.forecast_data import Answer, ForecastData, Rows, Window
from latchwork.tasks.forecast_setup import ForecastSetup
from latchwork.tasks.label import Label
from latchwork.tasks.pipeline import Pipeline, State
from latchwork.tasks.pipeline_file import load_pipeline, pack_state, save_pipeline, unpack_state
from latchwork.tasks.sequence_file import load_sequences, save_sequences, task_from
from latchwork.tasks.sequence_pipeline import Answers, SequencePipeline, SequenceTask
from latchwork.tasks.sequence_setup import SequenceSetup, folds_of, read_examples, split_of
from latchwork.tasks.targets import Targets

__all__ = [
    "Answer",
    "Answers",
    "Classify",
    "Forecast",
    "ForecastData",
    "ForecastSetup",
    "Label",
    "Pipeline",
    "Rows",
    "SequencePipeline",
    "SequenceSetup",
    "SequenceTask",
    "State",
    "Targets",
    "Window",
    "folds_of",
    "load_pipeline",
    "load_sequences",
    "pack_state",
    "read_examples",
    "save_pipeline",
    "save_sequences",
    "split_of",
    "task_from",
    "unpack_state",
]
