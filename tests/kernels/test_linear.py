"""A projection that is one product is found, and its gradients are the reference's."""

import pytest
import torch
from torch import nn

from latchwork import kernels
from latchwork.cells import CELLS, GRU, LSTM, RNN, Cell, HiddenState, PeepholeLSTM
from latchwork.kernels import compute, operator
from latchwork.kernels.cell_program import program_for, tensors_of
from latchwork.kernels.evaluate import evaluate
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


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", [RNN, LSTM, GRU, PeepholeLSTM, Tied])
def test_steps_that_project_are_the_step_and_the_projection(kind: type[Cell], bias: bool) -> None:
    torch.manual_seed(0)
    cell = kind(5, 5, bias=bias).double()
    program = program_for(cell, dtype=torch.float64)
    tensors = tensors_of(cell, program)
    assert program.inlined is not None
    assert program.linear is not None
    inputs = torch.randn(3, 5, dtype=torch.float64)
    state = [torch.randn(3, width, dtype=torch.float64) for width in program.state]
    weights = program.weights(tensors)
    projected = list(cell.project(inputs))
    expected = evaluate(program.saving, {"projected": projected, "state": state}, weights)
    own = [*weights, *program.linear.own(tensors)]
    found = evaluate(program.inlined, {"projected": [inputs], "state": state}, own)
    for kind_, arrays in expected.items():
        for one, other in zip(found[kind_], arrays, strict=True):
            torch.testing.assert_close(one, other)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("kind", [RNN, LSTM, GRU])
def test_many_rows_project_step_by_step(
    kind: type[Cell], reverse: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    cell = kind(6, 70, bias=True).to(torch.float64 if dtype == torch.float64 else torch.float32)
    rows = operator.TOGETHER + 3
    lengths = torch.tensor([6, 6, 5, 6, 4, 6, 5])
    inputs = torch.randn(rows, 6, 6).to(dtype if dtype == torch.float64 else torch.float32)
    asked: list[int] = []
    inlined = compute.forward_inlined
    monkeypatch.setattr(compute, "forward_inlined", lambda *given: asked.append(1) or inlined(*given))
    resets = torch.rand(rows, 6) < 0.2
    found: dict[str, list[torch.Tensor]] = {}
    for kernel in ("cpu", "loop"):
        cell.zero_grad()
        narrow = kernel == "cpu" and dtype == torch.bfloat16
        with torch.autocast("cpu", torch.bfloat16, enabled=narrow):
            outputs, _ = kernels.run(cell, inputs, kernel=kernel, lengths=lengths, resets=resets, reverse=reverse)
        (outputs.to(inputs.dtype) * torch.arange(outputs.numel()).view_as(outputs).cos()).sum().backward()
        found[kernel] = [
            outputs.detach().to(inputs.dtype),
            *(one.grad for one in cell.parameters() if one.grad is not None),
        ]
    assert asked == [1]
    within = {torch.float64: 1e-9, torch.float32: 1e-4, torch.bfloat16: 0.05}[dtype]
    for one, other in zip(*found.values(), strict=True):
        torch.testing.assert_close(one, other, rtol=within, atol=within * max(1.0, float(other.abs().max())))


def test_large_weights_are_read_once_for_all_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compute, "forward_inlined", lambda *_: pytest.fail("each step read the weights"))
    monkeypatch.setattr(operator, "WEIGHTS_OF_ROW", 4 * 3 * 16 * 4 // 8 - 1)
    outputs, _ = kernels.run(LSTM(3, 16), torch.randn(8, 9, 3), kernel="cpu")
    outputs.sum().backward()


def test_few_rows_are_projected_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compute, "forward_inlined", lambda *_: pytest.fail("steps of one row projected themselves"))
    outputs, _ = kernels.run(LSTM(3, 4), torch.randn(1, 9, 3), kernel="cpu")
    outputs.sum().backward()


def test_what_is_wanted_once_more_is_projected_at_once() -> None:
    class Again(Tied):
        """The projected value stands in the backward pass."""

        def step(
            self, projected: tuple[Tensor, ...], state: HiddenState, constants: tuple[Tensor, ...] = ()
        ) -> tuple[Tensor, HiddenState]:
            h = (projected[0] * (state.h @ self.input.weight.t())).tanh()
            return h, HiddenState(h=h)

    program = program_for(Again(4, 4), dtype=torch.float32)
    assert program.linear is not None
    assert program.rereads
    assert program.inlined is None
