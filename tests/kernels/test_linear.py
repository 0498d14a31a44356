"""A projection that is one product is found, and its gradients are the reference's."""

import pytest
import torch
from torch import nn

from latchwork import kernels
from latchwork.cells import CELLS, GRU, LSTM, RNN, Cell, HiddenState
from latchwork.kernels.cell_program import program_for
from latchwork.types import Tensor

pytestmark = pytest.mark.skipif(kernels.engine() is None, reason="the engine is not built")


class Tied(Cell):
    """The weights of the inputs are those of the state too."""

    def __init__(self, input_size: int, hidden_size: int, *, bias: bool = True) -> None:
        super().__init__(input_size, hidden_size, bias=bias)
        self.input = nn.Linear(hidden_size, hidden_size, bias=bias)
        self.reset_parameters()

    def project(self, inputs: Tensor) -> tuple[Tensor, ...]:
        return (self.input(inputs),)

    def step(
        self, projected: tuple[Tensor, ...], state: HiddenState, constants: tuple[Tensor, ...] = ()
    ) -> tuple[Tensor, HiddenState]:
        h = (projected[0] + state.h @ self.input.weight.t()).tanh()
        return h, HiddenState(h=h)


class Doubled(Tied):
    def project(self, inputs: Tensor) -> tuple[Tensor, ...]:
        return (2 * self.input(inputs),)


@pytest.mark.parametrize("name", list(CELLS))
def test_what_is_found(name: str) -> None:
    cell = CELLS[name](6, 4)
    found = program_for(cell, dtype=torch.float32).linear
    several = name in ("mingru", "minlstm", "layernorm_lstm", "gru_d")
    assert (found is None) == several
    if found is not None:
        program = program_for(cell, dtype=torch.float32)
        assert program.parameters[found.weight] == "input.weight"
        assert found.bias is not None
        assert program.parameters[found.bias] == "input.bias"


def test_more_than_a_product_is_not_taken_for_one() -> None:
    assert program_for(Tied(4, 4), dtype=torch.float32).linear is not None
    assert program_for(Doubled(4, 4), dtype=torch.float32).linear is None


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", [RNN, LSTM, GRU, Tied, Doubled])
def test_gradients_are_the_references(kind: type[Cell], bias: bool) -> None:
    torch.manual_seed(0)
    cell = kind(5, 5, bias=bias).double()
    inputs = torch.randn(4, 7, 5, dtype=torch.float64, requires_grad=True)
    lengths = torch.tensor([7, 3, 5, 1])
    found = []
    for kernel in ("loop", "cpu"):
        outputs, _ = kernels.run(cell, inputs, kernel=kernel, lengths=lengths)
        leaves = [inputs, *cell.parameters()]
        first = torch.autograd.grad(outputs.square().sum(), leaves, create_graph=True)
        second = torch.autograd.grad(sum(grad.square().sum() for grad in first), leaves)
        found.append([*first, *second])
    for ours, expected in zip(found[1], found[0], strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-9)


def test_inputs_that_want_no_gradient_get_none() -> None:
    cell, inputs = LSTM(3, 4), torch.randn(2, 6, 3)
    outputs, _ = kernels.run(cell, inputs, kernel="cpu")
    outputs.sum().backward()
    assert inputs.grad is None
    assert all(parameter.grad is not None for parameter in cell.parameters())


def test_under_autocast_the_product_is_in_bfloat16() -> None:
    torch.manual_seed(0)
    cell, inputs = LSTM(16, 8), torch.randn(3, 5, 16, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs, _ = kernels.run(cell, inputs, kernel="cpu")
    assert outputs.dtype == torch.bfloat16
    outputs.float().sum().backward()
    expected, _ = kernels.run(cell, inputs.detach(), kernel="loop")
    assert inputs.grad is not None
    assert inputs.grad.dtype == torch.float32
    torch.testing.assert_close(outputs.float(), expected, rtol=0.05, atol=0.02)
