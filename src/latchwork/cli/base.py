"""The command line's root: what every command hangs on, and where it writes."""

from cyclopts import App, Parameter
from rich.console import Console

from latchwork.version import __version__

Options = Parameter(name="*")
out, err = Console(), Console(stderr=True)

app = App(
    name="latchwork",
    help="Learn from sequences with recurrent networks: from a raw file to a trained, scored model that runs live.",
    version=__version__,
    result_action="return_value",
)
train = App(name="train", help="Train a task on a file; writes a run folder.")
backtest = App(name="backtest", help="Train and score a task several times on a file: at origins, or over folds.")
app.command(train)
app.command(backtest)
