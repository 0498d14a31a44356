"""latchwork: learn from sequences with recurrent networks.

import latchwork as lw
model = lw.fit(lw.Forecast(target="units", horizon=28), "sales.csv")
print(model.leaderboard())
"""

from latchwork.version import __version__  # isort: skip  (the modules below ask for it)

from latchwork.evaluation import cross_validate
from latchwork.layers import GRU, LSTM, RNN, Network, Recurrent
from latchwork.model import Model, fit, load
from latchwork.tasks import Forecast
from latchwork.training import Training

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Forecast",
    "Model",
    "Network",
    "Recurrent",
    "Training",
    "__version__",
    "cross_validate",
    "fit",
    "load",
]
