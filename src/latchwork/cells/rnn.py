"""The plain recurrent cell."""

import torch
from torch import nn

from latchwork.cells.activations import activation as named
from latchwork.cells.cell import Cell, HiddenState
from latchwork.types import Float, Tensor


class RNN(Cell):
    """The plain (Elman) recurrent cell.

        h' = φ(W x + b + R h + b')

    φ: tanh, relu, or any other name in :data:`latchwork.cells.ACTIVATIONS`. W: [hidden, input], R: [hidden, hidden],
    each with its bias. One gate, the candidate. State: h, [batch, hidden], which is the output.
    Initialisation: uniform in ±1/√hidden, as torch.nn.RNN's.

    Source: Elman 1990, doi:10.1207/s15516709cog1402_1; with relu: Le et al. 2015, arXiv:1504.00941.
    """

    gates = ("h",)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        bias: bool = True,
        activation: str = "tanh",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias=bias)
        named(activation)
        self.activation = activation
        self.input = nn.Linear(input_size, hidden_size, bias=bias, device=device, dtype=dtype)
        self.recurrent = nn.Linear(hidden_size, hidden_size, bias=bias, device=device, dtype=dtype)
        self.reset_parameters()

    def project(self, inputs: Float[Tensor, "*batch input"]) -> tuple[Tensor, ...]:
        return (self.input(inputs),)

    def step(
        self, projected: tuple[Tensor, ...], state: HiddenState, constants: tuple[Tensor, ...] = ()
    ) -> tuple[Tensor, HiddenState]:
        h = named(self.activation)(projected[0] + self.recurrent(state.h))
        return h, HiddenState(h=h)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, activation={self.activation}"
