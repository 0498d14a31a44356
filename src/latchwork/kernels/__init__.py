"""How a cell is run over sequences: the reference loop, and PyTorch's own recurrences where the cell is one of them."""

from latchwork.kernels.choose import KERNELS, Choice, check_kernel, choose, ragged, run

__all__ = ["KERNELS", "Choice", "check_kernel", "choose", "ragged", "run"]
