"""Long short-term memory with peephole connections."""

import torch
from torch import nn

from latchwork.cells.cell import Cell
from latchwork.cells.lstm import LSTMState
from latchwork.cells.products import Diagonal
from latchwork.types import Float, Tensor


class PeepholeLSTM(Cell):
    """Long short-term memory whose gates see the cell.

        i, f, g, o = W x + b + R h
        c' = σ(f + p_f c) c + σ(i + p_i c) tanh(g)
        h' = σ(o + p_o c') tanh(c')        the output gate sees the new cell

    Gates stand in the weights in the order i, f, g, o (input, forget, candidate, output). W: [4 hidden, input] with
    the bias; R: [4 hidden, hidden]; the peepholes p_i, p_f, p_o are diagonal, [hidden] each. State: h, c, [batch,
    hidden] each. The output is h. Initialisation: uniform in ±1/√hidden.

    Source: Gers & Schmidhuber 2000, doi:10.1109/IJCNN.2000.861302.
    """

    gates = ("i", "f", "g", "o")
    keeps = {"f": 1.0}  # noqa: RUF012 (a class constant, read only)
    State = LSTMState

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias=bias)
        self.input = nn.Linear(input_size, 4 * hidden_size, bias=bias, device=device, dtype=dtype)
        self.recurrent = nn.Linear(hidden_size, 4 * hidden_size, bias=False, device=device, dtype=dtype)
        self.peephole_i = Diagonal(hidden_size, device=device, dtype=dtype)
        self.peephole_f = Diagonal(hidden_size, device=device, dtype=dtype)
        self.peephole_o = Diagonal(hidden_size, device=device, dtype=dtype)
        self.reset_parameters()

    def project(self, inputs: Float[Tensor, "*batch input"]) -> tuple[Tensor, ...]:
        return (self.input(inputs),)

    def step(
        self, projected: tuple[Tensor, ...], state: LSTMState, constants: tuple[Tensor, ...] = ()
    ) -> tuple[Tensor, LSTMState]:
        i, f, g, o = (projected[0] + self.recurrent(state.h)).chunk(4, -1)
        i = (i + self.peephole_i(state.c)).sigmoid()
        f = (f + self.peephole_f(state.c)).sigmoid()
        c = f * state.c + i * g.tanh()
        o = (o + self.peephole_o(c)).sigmoid()
        h = o * c.tanh()
        return h, LSTMState(h=h, c=c)
