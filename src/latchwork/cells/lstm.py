"""Long short-term memory."""

from typing import NamedTuple

from torch import Tensor, nn

from latchwork.cells.cell import Cell


class LSTMState(NamedTuple):
    """h: [batch, hidden] the output; c: [batch, hidden] the cell, the latch proper."""

    h: Tensor
    c: Tensor


class LSTM(Cell):
    """Long short-term memory with a forget gate.

        i, f, g, o = W x + b + R h
        c' = σ(f) c + σ(i) tanh(g)
        h' = σ(o) tanh(c')

    Gates stand in the weights in the order i, f, g, o (input, forget, candidate, output), as torch.nn's.
    W: [4 hidden, input], R: [4 hidden, hidden], each with its bias. State: h, c, [batch, hidden] each.
    Initialisation: uniform in ±1/√hidden, as torch.nn.LSTM's.

    Source: Hochreiter & Schmidhuber 1997, doi:10.1162/neco.1997.9.8.1735; the forget gate: Gers et al. 2000.
    """

    gates = ("i", "f", "g", "o")
    State = LSTMState

    def __init__(self, input_size: int, hidden_size: int, *, bias: bool = True) -> None:
        super().__init__(input_size, hidden_size, bias=bias)
        self.input = nn.Linear(input_size, 4 * hidden_size, bias=bias)
        self.recurrent = nn.Linear(hidden_size, 4 * hidden_size, bias=bias)
        self.reset_parameters()

    def project(self, inputs: Tensor) -> tuple[Tensor, ...]:
        return (self.input(inputs),)

    def step(
        self, projected: tuple[Tensor, ...], state: LSTMState, constants: tuple[Tensor, ...] = ()
    ) -> tuple[Tensor, LSTMState]:
        i, f, g, o = (projected[0] + self.recurrent(state.h)).chunk(4, -1)
        c = f.sigmoid() * state.c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        return h, LSTMState(h=h, c=c)
