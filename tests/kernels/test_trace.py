"""Graphs of steps: what they begin and end with, and the operations that are taken apart on the way."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from latchwork.cells import CELLS, LSTM, Cell, HiddenState
from latchwork.errors import KernelError
from latchwork.kernels import trace as tracing
from latchwork.kernels.cell_program import program_for
from latchwork.kernels.decompose import decompositions
from latchwork.kernels.lift import attribute_tensors, form, lifted_tensors, with_tensors

aten = torch.ops.aten


def test_a_step_with_its_gradients() -> None:
    cell = LSTM(3, 4)
    own = form(cell, torch.float32, (2,))
    trace = tracing.trace_step(cell, own)
    assert [*trace.inputs.values()] == [
        *(("parameter", i) for i in range(4)),
        ("projected", 0),
        *(("state", k) for k in range(2)),
        ("constant", 0),
        ("grad_output", 0),
        *(("grad_state", k) for k in range(2)),
    ]
    targets = [target for target, _ in trace.outputs]
    assert targets[:3] == [("output", 0), ("state", 0), ("state", 1)]
    assert targets[3:] == [
        *(("parameter", i) for i in range(4)),
        ("grad_projected", 0),
        ("grad_state", 0),
        ("grad_state", 1),
        ("grad_constant", 0),
    ]
    assert {node.meta["val"].shape[0] for node, (kind, _) in trace.inputs.items() if kind != "parameter"} == {
        trace.batch
    }


@pytest.mark.parametrize("name", CELLS)
def test_tensors_are_lifted_and_put_back(name: str) -> None:
    cell = CELLS[name](3, 4)
    names, tensors = lifted_tensors(cell)
    assert dict(zip(names, tensors, strict=True)) == dict(cell.named_parameters())
    others = [torch.randn_like(tensor) for tensor in tensors]
    copy = with_tensors(cell, names, tensors, others)
    assert all(one is other for one, other in zip(lifted_tensors(copy)[1], others, strict=True))
    assert all(one is other for one, other in zip(lifted_tensors(cell)[1], tensors, strict=True))


class Kept(Cell):
    """Keeps modules and tensors in its attributes."""

    def __init__(self) -> None:
        super().__init__(2, 3)
        self.recurrent = nn.Linear(3, 3)
        self.parts = {"all": [self.recurrent, self.recurrent.bias]}
        self.held = ({"a": [torch.zeros(1)]},)

    def step(self, projected, state, constants=()):
        module, bias = self.parts["all"]
        h = module(state.h) * bias
        return h, HiddenState(h)


def test_attributes_follow() -> None:
    cell = Kept()
    names, tensors = lifted_tensors(cell)
    copy: Any = with_tensors(cell, names, tensors, [torch.zeros_like(tensor) for tensor in tensors])
    assert copy.parts["all"][0] is copy.recurrent
    assert copy.parts["all"][1] is copy.recurrent.bias
    assert cell.parts["all"][0] is cell.recurrent
    found = attribute_tensors(cell)
    assert found[id(cell.held[0]["a"][0])] == "held[0]['a'][0]"


def test_attributes_are_compiled_too(check_program) -> None:
    check_program(Kept().double())


class Counts(Cell):
    """State that is not a number, and state that has no batch."""

    def __init__(self, *, whole: bool) -> None:
        super().__init__(2, 3)
        self.recurrent = nn.Linear(3, 3)
        self.whole = whole

    def initial_state(self, batch: int) -> HiddenState:
        return HiddenState(torch.zeros(batch, 3, dtype=torch.int64) if self.whole else torch.zeros(3))

    def step(self, projected, state, constants=()):
        raise AssertionError


def test_states_that_are_refused() -> None:
    with pytest.raises(KernelError, match=r"the state h of Counts is torch\.int64, expected floating point"):
        program_for(Counts(whole=True), dtype=torch.float32)
    with pytest.raises(KernelError, match="the state h of Counts has no batch axis in front"):
        program_for(Counts(whole=False), dtype=torch.float32)


@pytest.mark.parametrize("size", [512, 600])
def test_wide_cells_stay_in_one_piece(size: int) -> None:
    for name in ("lstm", "layernorm_lstm", "slstm"):
        program = program_for(CELLS[name](8, size), dtype=torch.float32)
        assert {op.width for op in program.backward.ops} <= {size, 1}
        assert {op.width for op in program.saving.ops} <= {size, 1}
        assert all(width % size == 0 or width < size for width in program.saved)


def compare(name: str, got: Any, expected: Any) -> None:
    for one, other in zip(got, expected, strict=True):
        if other is not None:
            torch.testing.assert_close(one, other, msg=name)


def test_operations_taken_apart() -> None:
    table = decompositions()
    torch.manual_seed(0)
    x, gain, shift, grad = (torch.randn(shape, dtype=torch.float64) for shape in ((4, 6), (6,), (6,), (4, 6)))
    expected = aten.native_layer_norm(x, [6], gain, shift, 1e-5)
    compare("layer norm", table[aten.native_layer_norm.default](x, [6], gain, shift, 1e-5), expected)
    for masks in ([True] * 3, [True, False, False], [False, True, True]):
        args = (grad, x, [6], *expected[1:], gain, shift, masks)
        compare(
            "its gradient",
            table[aten.native_layer_norm_backward.default](*args),
            aten.native_layer_norm_backward(*args),
        )
    plain = table[aten.native_layer_norm.default](x, [6], None, None, 1e-5)
    compare("no gain", plain, aten.native_layer_norm(x, [6], None, None, 1e-5))
    args = (x, gain, shift, 4, 6, 1, 3, 1e-5)
    compare("group norm", table[aten.native_group_norm.default](*args), aten.native_group_norm(*args))
    for correction in (0, 1, None):
        made = table[aten.var_mean.correction](x, [1], correction=correction, keepdim=True)
        compare("moments", made, torch.var_mean(x, 1, correction=1 if correction is None else correction, keepdim=True))
    for order in (1, 2, float("inf")):
        norm = table[aten.linalg_vector_norm.default](x, order, [1], True)
        compare("norm", [norm], [torch.linalg.vector_norm(x, order, 1, True)])
    z = torch.tensor([-800.0, -1.0, 0.0, 1.0, 800.0], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(F.logsigmoid(z).sum(), z)
    compare("log σ", [table[aten.log_sigmoid_backward.default](torch.ones(5), z.detach(), torch.empty(0))], [slope])
