"""Long short-term memory."""

from typing import NamedTuple

import torch
from torch import nn

from latchwork.cells.cell import Cell
from latchwork.errors import ConfigError
from latchwork.types import Float, Tensor


class LSTMState(NamedTuple):
    """h: [batch, hidden], or [batch, proj_size], the output; c: [batch, hidden], the cell, the latch proper."""

    h: Float[Tensor, "batch output"]
    c: Float[Tensor, "batch hidden"]


class LSTM(Cell):
    """Long short-term memory with a forget gate.

        i, f, g, o = W x + b + R h + b'
        c' = σ(f) c + σ(i) tanh(g)
        h' = σ(o) tanh(c')                 with a projection: h' = P (σ(o) tanh(c'))

    Gates stand in the weights in the order i, f, g, o (input, forget, candidate, output), as torch.nn's.
    W: [4 hidden, input], R: [4 hidden, width of h], each with its bias; P: [proj_size, hidden], where proj_size > 0.
    State: h, [batch, hidden] or [batch, proj_size]; c, [batch, hidden]. The output is h.
    Initialisation: uniform in ±1/√hidden, as torch.nn.LSTM's.

    Source: Hochreiter & Schmidhuber 1997, doi:10.1162/neco.1997.9.8.1735; the forget gate: Gers et al. 2000,
    doi:10.1162/089976600300015015; the projection: Sak et al. 2014, arXiv:1402.1128.
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
        proj_size: int = 0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias=bias)
        if not 0 <= proj_size < hidden_size:
            raise ConfigError(f"proj_size is {proj_size}, expected 0 (none) to {hidden_size - 1} (below hidden_size)")
        self.proj_size = proj_size
        self.input = nn.Linear(input_size, 4 * hidden_size, bias=bias, device=device, dtype=dtype)
        self.recurrent = nn.Linear(self.output_size, 4 * hidden_size, bias=bias, device=device, dtype=dtype)
        if proj_size:
            self.projection = nn.Linear(hidden_size, proj_size, bias=False, device=device, dtype=dtype)
        self.reset_parameters()

    @property
    def output_size(self) -> int:
        return self.proj_size or self.hidden_size

    def initial_state(self, batch: int) -> LSTMState:
        zeros = next(self.parameters()).new_zeros
        return LSTMState(h=zeros(batch, self.output_size), c=zeros(batch, self.hidden_size))

    def project(self, inputs: Float[Tensor, "*batch input"]) -> tuple[Tensor, ...]:
        return (self.input(inputs),)

    def step(
        self, projected: tuple[Tensor, ...], state: LSTMState, constants: tuple[Tensor, ...] = ()
    ) -> tuple[Tensor, LSTMState]:
        i, f, g, o = (projected[0] + self.recurrent(state.h)).chunk(4, -1)
        c = f.sigmoid() * state.c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        if self.proj_size:
            h = self.projection(h)
        return h, LSTMState(h=h, c=c)

    def extra_repr(self) -> str:
        return super().extra_repr() + (f", proj_size={self.proj_size}" if self.proj_size else "")
