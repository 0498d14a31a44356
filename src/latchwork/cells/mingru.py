"""The minimal gated recurrent unit: its gate sees the input alone."""

import torch
from torch import nn

from latchwork.cells.cell import Cell, HiddenState
from latchwork.types import Float, Tensor


class MinGRU(Cell):
    """minGRU: no product of the state, so the update is affine in it, h' = a h + b with a, b known beforehand.

        z = σ(W_z x + b_z);  n = W_n x + b_n
        h' = (1 - z) h + z n

    Gates stand in the weights in the order z, n (update, candidate); z near 1 *overwrites* the state, the other way
    round from
    :class:`latchwork.cells.GRU`. W: [2 hidden, input] with the bias. State: h, [batch, hidden], which is the output.
    Initialisation: uniform in ±1/√hidden. It is the paper's plain form: the candidate passes through no activation.

    Source: Feng et al. 2024, Were RNNs all we needed?, arXiv:2410.01201, section 3.1.
    """

    gates = ("z", "n")
    keeps = {"z": -1.0}  # noqa: RUF012 (a class constant, read only)

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
        self.input = nn.Linear(input_size, 2 * hidden_size, bias=bias, device=device, dtype=dtype)
        self.reset_parameters()

    def project(self, inputs: Float[Tensor, "*batch input"]) -> tuple[Tensor, ...]:
        z, n = self.input(inputs).chunk(2, -1)
        return z.sigmoid(), n

    def step(
        self, projected: tuple[Tensor, ...], state: HiddenState, constants: tuple[Tensor, ...] = ()
    ) -> tuple[Tensor, HiddenState]:
        z, n = projected
        h = (1 - z) * state.h + z * n
        return h, HiddenState(h=h)
