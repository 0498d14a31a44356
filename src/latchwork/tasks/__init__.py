"""Tasks: what is asked of a sequence, and the pipeline that answers it."""

from latchwork.tasks.beam import Beam, Hypothesis, beam_search
from latchwork.tasks.classify import Classify
from latchwork.tasks.forecast import Forecast
from latchwork.tasks.forecast_data import Answer, ForecastData, Rows, Window
from latchwork.tasks.forecast_setup import ForecastSetup
from latchwork.tasks.generate import Generate
from latchwork.tasks.generate_job import GenerateJob
from latchwork.tasks.generate_pipeline import LanguagePipeline, load_language, save_language
from latchwork.tasks.generate_setup import GenerateSetup, parted, read_texts
from latchwork.tasks.label import Label
from latchwork.tasks.pipeline import Pipeline, State
from latchwork.tasks.pipeline_file import load_pipeline, pack_state, save_pipeline, unpack_state
from latchwork.tasks.sampling import Sampler, Sampling, Stopping
from latchwork.tasks.saved import task_from
from latchwork.tasks.sequence_file import load_sequences, save_sequences
from latchwork.tasks.sequence_pipeline import Answers, SequencePipeline, SequenceTask
from latchwork.tasks.sequence_setup import SequenceSetup, folds_of, read_examples, split_of
from latchwork.tasks.targets import Targets
from latchwork.tasks.translate import Translate
from latchwork.tasks.translate_file import load_translator, save_translator
from latchwork.tasks.translate_job import TranslateJob
from latchwork.tasks.translate_pipeline import TranslatePipeline, Translation
from latchwork.tasks.translate_setup import TranslateSetup, read_translations

__all__ = [
    "Answer",
    "Answers",
    "Beam",
    "Classify",
    "Forecast",
    "ForecastData",
    "ForecastSetup",
    "Generate",
    "GenerateJob",
    "GenerateSetup",
    "Hypothesis",
    "Label",
    "LanguagePipeline",
    "Pipeline",
    "Rows",
    "Sampler",
    "Sampling",
    "SequencePipeline",
    "SequenceSetup",
    "SequenceTask",
    "State",
    "Stopping",
    "Targets",
    "Translate",
    "TranslateJob",
    "TranslatePipeline",
    "TranslateSetup",
    "Translation",
    "Window",
    "beam_search",
    "folds_of",
    "load_language",
    "load_pipeline",
    "load_sequences",
    "load_translator",
    "pack_state",
    "parted",
    "read_examples",
    "read_texts",
    "read_translations",
    "save_language",
    "save_pipeline",
    "save_sequences",
    "save_translator",
    "split_of",
    "task_from",
    "unpack_state",
]
