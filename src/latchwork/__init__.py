"""latchwork: learn from sequences with recurrent networks.

import latchwork as lw
model = lw.fit(lw.Forecast(target="units", horizon=28), "sales.csv")
print(model.leaderboard())
"""

from latchwork.version import __version__  # isort: skip  (the modules below ask for it)

from latchwork.evaluation import compare, cross_validate
from latchwork.language_model import LanguageModel
from latchwork.layers import GRU, LSTM, RNN, Network, Recurrent
from latchwork.model import Model, finetune, fit, load
from latchwork.sequence_model import SequenceModel
from latchwork.tasks import Classify, Forecast, Generate, Label, Sampling, Translate
from latchwork.training import Training, Transfer
from latchwork.translation_model import TranslationModel

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Classify",
    "Forecast",
    "Generate",
    "Label",
    "LanguageModel",
    "Model",
    "Network",
    "Recurrent",
    "Sampling",
    "SequenceModel",
    "Training",
    "Transfer",
    "Translate",
    "TranslationModel",
    "__version__",
    "compare",
    "cross_validate",
    "finetune",
    "fit",
    "load",
]
