"""How a cell is run over sequences: the reference loop, PyTorch's own recurrences, and the compiled engine.

A cell's step is traced (``trace``), lowered to a small program (``lower``, ``program``), cut into stages (``schedule``)
and run by the engine (``native``, ``operator``, ``cpu``); ``choose`` says which kernel runs, and why.
"""

from latchwork.kernels.choose import KERNELS, Choice, check_kernel, choose, ragged, run, run_rows
from latchwork.kernels.cpu import Rows, named, takes
from latchwork.kernels.native import engine, instruction_set
from latchwork.kernels.session import Session

__all__ = [
    "KERNELS",
    "Choice",
    "Rows",
    "Session",
    "check_kernel",
    "choose",
    "engine",
    "instruction_set",
    "named",
    "ragged",
    "run",
    "run_rows",
    "takes",
]
