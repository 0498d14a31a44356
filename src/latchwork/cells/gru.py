"""Gated recurrent units: the reset gate after the recurrent product, and before it."""

import torch
from torch import nn

from latchwork.cells.cell import Cell, HiddenState
from latchwork.types import Float, Tensor


class GRU(Cell):
    """Gated recurrent unit, reset gate after the product: torch.nn's, cuDNN's and Keras' default.

        r, z, n = W x + b;  r', z', n' = R h + b'
        r = σ(r + r');  z = σ(z + z')
        n = tanh(n + r n')                 b'ₙ stands inside the reset, so the two biases can't be merged
        h' = (1 - z) n + z h

    Gates stand in the weights in the order r, z, n (reset, update, candidate), as torch.nn's; z near 1 keeps the state.
    W: [3 hidden, input], R: [3 hidden, hidden], each with its bias. State: h, [batch, hidden], which is the output.
    Initialisation: uniform in ±1/√hidden, as torch.nn.GRU's. It is not the first published form: that is
    :class:`GRUResetBefore`.

    Source: Cho et al. 2014, arXiv:1406.1078, with the reset moved behind the product as cuDNN and torch.nn.GRU do.
    """

    gates = ("r", "z", "n")
    keeps = {"z": 1.0}  # noqa: RUF012 (a class constant, read only)

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
        self.recurrent = nn.Linear(hidden_size, 3 * hidden_size, bias=bias, device=device, dtype=dtype)
        self.reset_parameters()

    def project(self, inputs: Float[Tensor, "*batch input"]) -> tuple[Tensor, ...]:
        return (self.input(inputs),)

    def step(
        self, projected: tuple[Tensor, ...], state: HiddenState, constants: tuple[Tensor, ...] = ()
    ) -> tuple[Tensor, HiddenState]:
        input_r, input_z, input_n = projected[0].chunk(3, -1)
        recurrent_r, recurrent_z, recurrent_n = self.recurrent(state.h).chunk(3, -1)
        r = (input_r + recurrent_r).sigmoid()
        z = (input_z + recurrent_z).sigmoid()
        n = (input_n + r * recurrent_n).tanh()
        h = (1 - z) * n + z * state.h
        return h, HiddenState(h=h)


class GRUResetBefore(Cell):
    """Gated recurrent unit, reset gate before the product: the first published form, and ONNX's default.

        r, z = σ(W x + b + R h)            the first two thirds of W and b
        n = tanh(Wₙ x + bₙ + Rₙ (r h))
        h' = (1 - z) n + z h

    Gates stand in the weights in the order r, z, n (reset, update, candidate); z near 1 keeps the state.
    W: [3 hidden, input] with the bias; ``recurrent``: R, [2 hidden, hidden]; ``recurrent_candidate``: Rₙ, [hidden,
    hidden]; both without a bias, which would add nothing to b. State: h, [batch, hidden], which is the output.
    Initialisation: uniform in ±1/√hidden.

    Source: Cho et al. 2014, arXiv:1406.1078, equations 5 to 8.
    """

    gates = ("r", "z", "n")
    keeps = {"z": 1.0}  # noqa: RUF012 (a class constant, read only)

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
        self.recurrent = nn.Linear(hidden_size, 2 * hidden_size, bias=False, device=device, dtype=dtype)
        self.recurrent_candidate = nn.Linear(hidden_size, hidden_size, bias=False, device=device, dtype=dtype)
        self.reset_parameters()

    def project(self, inputs: Float[Tensor, "*batch input"]) -> tuple[Tensor, ...]:
        return (self.input(inputs),)

    def step(
        self, projected: tuple[Tensor, ...], state: HiddenState, constants: tuple[Tensor, ...] = ()
    ) -> tuple[Tensor, HiddenState]:
        input_r, input_z, input_n = projected[0].chunk(3, -1)
        recurrent_r, recurrent_z = self.recurrent(state.h).chunk(2, -1)
        r = (input_r + recurrent_r).sigmoid()
        z = (input_z + recurrent_z).sigmoid()
        n = (input_n + self.recurrent_candidate(r * state.h)).tanh()
        h = (1 - z) * n + z * state.h
        return h, HiddenState(h=h)
