"""Cells: one equation a file. A cell is added by its file, its line here and its test."""

from latchwork.cells.cell import Cell, HiddenState
from latchwork.cells.lstm import LSTM, LSTMState

CELLS: dict[str, type[Cell]] = {
    "lstm": LSTM,
}

__all__ = ["CELLS", "LSTM", "Cell", "HiddenState", "LSTMState"]
