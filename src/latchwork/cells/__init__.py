"""Cells: one equation a file. A cell is added by its file, its line here and its test."""

from latchwork.cells.activations import ACTIVATIONS, RECTIFIERS, activation
from latchwork.cells.cell import Cell, HiddenState
from latchwork.cells.gru import GRU, GRUResetBefore
from latchwork.cells.gru_d import GRUD, GRUDState
from latchwork.cells.layernorm_lstm import LayerNormLSTM
from latchwork.cells.lstm import LSTM, LSTMState
from latchwork.cells.mingru import MinGRU
from latchwork.cells.minlstm import MinLSTM
from latchwork.cells.peephole_lstm import PeepholeLSTM
from latchwork.cells.rnn import RNN
from latchwork.cells.slstm import SLSTM, SLSTMState
from latchwork.errors import ConfigError, did_you_mean

CELLS: dict[str, type[Cell]] = {
    "rnn": RNN,
    "lstm": LSTM,
    "gru": GRU,
    "gru_reset_before": GRUResetBefore,
    "gru_d": GRUD,
    "layernorm_lstm": LayerNormLSTM,
    "peephole_lstm": PeepholeLSTM,
    "slstm": SLSTM,
    "mingru": MinGRU,
    "minlstm": MinLSTM,
}


def cell_class(cell: str | type[Cell]) -> type[Cell]:
    """The class of a cell given by its name in :data:`CELLS`, or by itself.

    >>> cell_class("gru").__name__
    'GRU'
    """
    if isinstance(cell, type) and issubclass(cell, Cell):
        return cell
    if not isinstance(cell, str):
        raise ConfigError(f"cell is {cell!r}, expected a name or a subclass of Cell")
    if cell not in CELLS:
        hint = did_you_mean(cell, CELLS)
        raise ConfigError(f'cell is "{cell}", expected one of {", ".join(CELLS)}, or a subclass of Cell{hint}')
    return CELLS[cell]


__all__ = [
    "ACTIVATIONS",
    "CELLS",
    "GRU",
    "GRUD",
    "LSTM",
    "RECTIFIERS",
    "RNN",
    "SLSTM",
    "Cell",
    "GRUDState",
    "GRUResetBefore",
    "HiddenState",
    "LSTMState",
    "LayerNormLSTM",
    "MinGRU",
    "MinLSTM",
    "PeepholeLSTM",
    "SLSTMState",
    "activation",
    "cell_class",
]
