"""Tasks: what is asked of a sequence, and the pipeline that answers it."""

from latchwork.tasks.forecast import Forecast
from latchwork.tasks.forecast_data import Answer, ForecastData, Rows, Window
from latchwork.tasks.forecast_setup import ForecastSetup
from latchwork.tasks.pipeline import Pipeline, State
from latchwork.tasks.pipeline_file import load_pipeline, pack_state, save_pipeline, unpack_state

__all__ = [
    "Answer",
    "Forecast",
    "ForecastData",
    "ForecastSetup",
    "Pipeline",
    "Rows",
    "State",
    "Window",
    "load_pipeline",
    "pack_state",
    "save_pipeline",
    "unpack_state",
]
