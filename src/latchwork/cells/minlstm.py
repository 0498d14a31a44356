"""The minimal long short-term memory: its gates see the input alone."""

import torch
from torch import nn
from torch.nn import functional

from latchwork.cells.cell import Cell, HiddenState
from latchwork.types import Float, Tensor


class MinLSTM(Cell):
    """minLSTM: no product of the state, so the update is affine in it, h' = a h + b with a, b known beforehand.

        f, i = σ(W_f x + b_f), σ(W_i x + b_i);  g = W_g x + b_g
        h' = f / (f + i) h + i / (f + i) g

    The two fractions add up to 1. They are computed as σ(k) and σ(-k) with k = log f - log i, which is the same
    number and is not 0 / 0 where both gates are shut. Gates stand in the weights in the order f, i, g (forget, input,
    candidate). W: [3 hidden, input] with the bias. State: h, [batch, hidden], which is the output. Initialisation:
    uniform in ±1/√hidden. It is the paper's plain form: the candidate passes through no activation.

    Source: Feng et al. 2024, Were RNNs all we needed?, arXiv:2410.01201, section 3.2.
    """

    gates = ("f", "i", "g")
    keeps = {"f": 1.0}  # noqa: RUF012 (a class constant, read only)

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
        self.input = nn.Linear(input_size, 3 * hidden_size, bias=bias, device=device, dtype=dtype)
        self.reset_parameters()

    def project(self, inputs: Float[Tensor, "*batch input"]) -> tuple[Tensor, ...]:
        f, i, g = self.input(inputs).chunk(3, -1)
        k = functional.logsigmoid(f) - functional.logsigmoid(i)
        return k.sigmoid(), (-k).sigmoid(), g

    def step(
        self, projected: tuple[Tensor, ...], state: HiddenState, constants: tuple[Tensor, ...] = ()
    ) -> tuple[Tensor, HiddenState]:
        f, i, g = projected
        h = f * state.h + i * g
        return h, HiddenState(h=h)
