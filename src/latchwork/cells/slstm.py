"""Scalar long short-term memory with exponential gates, from xLSTM."""

import math
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

from latchwork.cells.cell import Cell
from latchwork.cells.products import BlockDiagonal
from latchwork.types import Float, Tensor


class SLSTMState(NamedTuple):
    """[batch, hidden] each. h: the output; c: the cell, n: the normaliser, both times e⁻ᵐ; m: the stabiliser."""

    h: Float[Tensor, "batch hidden"]
    c: Float[Tensor, "batch hidden"]
    n: Float[Tensor, "batch hidden"]
    m: Float[Tensor, "batch hidden"]


class SLSTM(Cell):
    """sLSTM: exponential input gate, a normaliser, and a recurrence within each head.

        i, f, z, o = W x + b + R h         R is block-diagonal: a unit sees the units of its own head
        m' = max(log σ(f) + m, i)          m counts as -∞ where n = 0: an empty memory
        c' = e^(log σ(f) + m - m') c + e^(i - m') tanh(z)
        n' = e^(log σ(f) + m - m') n + e^(i - m')
        h' = σ(o) c' / n'

    The stabiliser m drops out of c' / n': it keeps the exponentials in range and changes nothing else. Since one of
    the two exponents is 0, n' ≥ 1 after a first step from the fresh state, and no clamp is needed. Whether the memory
    is empty is asked of each unit of each row, never of the batch, so that rows may begin anew at different steps.

    Gates stand in the weights in the order i, f, z, o (input, forget, candidate, output). W: [4 hidden, input] with
    the bias; R: [4 hidden, hidden / heads] (see :class:`latchwork.cells.products.BlockDiagonal`). ``heads=None``
    takes the paper's four where four divides the hidden size, otherwise two or one. State: h, c, n, m, [batch,
    hidden] each, zeros at first. The output is h. Only h means something on its own: an initial state is learned, and
    zoneout acts, on h alone. Initialisation: uniform in ±1/√hidden. It is the cell alone, without the block's
    convolution and group norm.

    Source: Beck et al. 2024, xLSTM, arXiv:2405.04517, equations 8 to 17; the forget gate is the sigmoid one.
    """

    gates = ("i", "f", "z", "o")
    keeps = {"f": 1.0}  # noqa: RUF012 (a class constant, read only)
    independent = ("h",)
    State = SLSTMState

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        bias: bool = True,
        heads: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias=bias)
        self.heads = math.gcd(4, hidden_size) if heads is None else heads
        self.input = nn.Linear(input_size, 4 * hidden_size, bias=bias, device=device, dtype=dtype)
        self.recurrent = BlockDiagonal(hidden_size, gates=4, heads=self.heads, device=device, dtype=dtype)
        self.reset_parameters()

    def project(self, inputs: Float[Tensor, "*batch input"]) -> tuple[Tensor, ...]:
        return (self.input(inputs),)

    def step(
        self, projected: tuple[Tensor, ...], state: SLSTMState, constants: tuple[Tensor, ...] = ()
    ) -> tuple[Tensor, SLSTMState]:
        i, f, z, o = (projected[0] + self.recurrent(state.h)).chunk(4, -1)
        kept = functional.logsigmoid(f) + state.m.masked_fill(state.n == 0, -math.inf)
        m = torch.maximum(kept, i)
        forget, write = (kept - m).exp(), (i - m).exp()
        c = forget * state.c + write * z.tanh()
        n = forget * state.n + write
        h = o.sigmoid() * c / n
        return h, SLSTMState(h=h, c=c, n=n, m=m)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, heads={self.heads}"
