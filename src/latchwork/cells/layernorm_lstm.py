"""Long short-term memory with layer normalisation."""

import torch
from torch import nn

from latchwork.cells.cell import Cell
from latchwork.cells.lstm import LSTMState
from latchwork.types import Float, Tensor


class LayerNormLSTM(Cell):
    """Long short-term memory whose two products and whose cell are layer-normalised.

        i, f, g, o = LN(W x; α, b) + LN(R h; α')
        c' = σ(f) c + σ(i) tanh(g)
        h' = σ(o) tanh(LN(c'; α'', β))
        LN(v; α, β) = α (v - mean v) / √(var v + 10⁻⁵) + β       over all entries of v (the four gates together)

    Gates stand in the weights in the order i, f, g, o (input, forget, candidate, output). W: [4 hidden, input],
    R: [4 hidden, hidden], without biases of their own; α, b, α': [4 hidden]; α'', β: [hidden]. The paper's further
    shift in LN(R h) would add nothing to b and is left out. State: h, c, [batch, hidden] each; c is kept as it is,
    not normalised. The output is h. Initialisation: W, R uniform in ±1/√hidden; gains 1, shifts 0.

    Source: Ba, Kiros & Hinton 2016, arXiv:1607.06450, equations 20 to 22.
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
        self.input = nn.Linear(input_size, 4 * hidden_size, bias=False, device=device, dtype=dtype)
        self.recurrent = nn.Linear(hidden_size, 4 * hidden_size, bias=False, device=device, dtype=dtype)
        self.norm_input = nn.LayerNorm(4 * hidden_size, bias=bias, device=device, dtype=dtype)
        self.norm_recurrent = nn.LayerNorm(4 * hidden_size, bias=False, device=device, dtype=dtype)
        self.norm_cell = nn.LayerNorm(hidden_size, bias=bias, device=device, dtype=dtype)
        self.reset_parameters()

    @property
    def gate_bias(self) -> Tensor | None:
        return self.norm_input.bias

    def reset_parameters(self) -> None:
        """W, R uniform in ±1/√hidden_size; gains 1, shifts 0."""
        bound = self.hidden_size**-0.5
        for product in (self.input, self.recurrent):
            nn.init.uniform_(product.weight, -bound, bound)
        for norm in (self.norm_input, self.norm_recurrent, self.norm_cell):
            norm.reset_parameters()

    def project(self, inputs: Float[Tensor, "*batch input"]) -> tuple[Tensor, ...]:
        return (self.norm_input(self.input(inputs)),)

    def step(
        self, projected: tuple[Tensor, ...], state: LSTMState, constants: tuple[Tensor, ...] = ()
    ) -> tuple[Tensor, LSTMState]:
        i, f, g, o = (projected[0] + self.norm_recurrent(self.recurrent(state.h))).chunk(4, -1)
        c = f.sigmoid() * state.c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * self.norm_cell(c).tanh()
        return h, LSTMState(h=h, c=c)
