"""What must not reach the engine does not, and a changed cell is never run by the program of what it was."""

import pickle
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.autograd import forward_ad
from torch.nn.functional import linear
from torch.nn.utils import parametrizations
from torch.utils.checkpoint import checkpoint

import latchwork as lw
from latchwork import kernels
from latchwork.cells import GRU, LSTM, Cell, HiddenState
from latchwork.errors import DataError, KernelError, StateError
from latchwork.kernels import Session
from latchwork.layers import Recurrent

pytestmark = pytest.mark.skipif(kernels.engine() is None, reason="latchwork was installed without its engine")


class Scaled(Cell):
    """h' = tanh(W x + R h · scale), the scale from wherever a test puts it."""

    def __init__(self, input_size: int = 3, hidden_size: int = 4) -> None:
        super().__init__(input_size, hidden_size)
        self.input = nn.Linear(input_size, hidden_size)
        self.recurrent = nn.Linear(hidden_size, hidden_size)

    def project(self, inputs: Any) -> Any:
        return (self.input(inputs),)

    def scale(self) -> Any:
        return 1.0

    def step(self, projected: Any, state: Any, constants: Any = ()) -> Any:
        h = torch.tanh(projected[0] + self.recurrent(state.h) * self.scale())
        return h, HiddenState(h=h)


def as_the_reference(cell: Cell, **options: Any) -> str:
    """Asserts that the choice gives the reference's numbers; its name."""
    x = torch.randn(2, 6, 3, generator=torch.Generator().manual_seed(0))
    for grad in (True, False):
        with torch.set_grad_enabled(grad):
            got, expected = (kernels.run(cell, x, kernel=kernel, **options)[0] for kernel in ("auto", "loop"))
        torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)
    return kernels.choose(cell).name


class _Slotted:
    __slots__ = ("alpha",)


def _namespace(cell: Any) -> tuple[Callable[[], Any], Callable[[], None]]:
    cell.cfg = types.SimpleNamespace(alpha=1.0)
    return lambda: cell.cfg.alpha, lambda: setattr(cell.cfg, "alpha", 3.0)


def _slots(cell: Any) -> tuple[Callable[[], Any], Callable[[], None]]:
    cell.cfg = _Slotted()
    cell.cfg.alpha = 1.0
    return lambda: cell.cfg.alpha, lambda: setattr(cell.cfg, "alpha", 3.0)


def _array(cell: Any) -> tuple[Callable[[], Any], Callable[[], None]]:
    cell.values = np.ones(2)
    return lambda: float(cell.values[0]), lambda: cell.values.fill(3.0)


def _set(cell: Any) -> tuple[Callable[[], Any], Callable[[], None]]:
    cell.values = {1.0}
    return lambda: sum(cell.values), lambda: cell.values.add(2.0)


def _plain(cell: Any) -> tuple[Callable[[], Any], Callable[[], None]]:
    cell.alpha = 1.0
    return lambda: cell.alpha, lambda: setattr(cell, "alpha", 3.0)


def _tensor(cell: Any) -> tuple[Callable[[], Any], Callable[[], None]]:
    cell.__dict__["held"] = torch.ones(())
    return lambda: cell.held.item(), lambda: cell.held.fill_(3.0)


def _class(cell: Any) -> tuple[Callable[[], Any], Callable[[], None]]:
    type(cell).alpha = 1.0
    return lambda: type(cell).alpha, lambda: setattr(type(cell), "alpha", 3.0)


@pytest.mark.parametrize("where", [_namespace, _slots, _array, _set, _plain, _tensor, _class])
def test_a_changed_cell_gets_another_program(where: Callable[..., Any]) -> None:
    kind = type("Own", (Scaled,), {})
    cell = kind()
    read, change = where(cell)
    kind.scale = lambda self: read()  # type: ignore[attr-defined]
    as_the_reference(cell)
    change()
    as_the_reference(cell)


def test_a_method_patched_on_the_class() -> None:
    kind: Any = type("Own", (Scaled,), {})
    cell = kind()
    assert as_the_reference(cell) == "cpu"
    kind.scale = lambda self: 3.0
    assert as_the_reference(cell) == "cpu"


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.float16, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("grad", [True, False])
def test_inputs_of_another_type_are_refused(dtype: torch.dtype, grad: bool) -> None:
    x = torch.randint(0, 2, (2, 5, 3)).to(dtype)
    for layer in (Recurrent(LSTM(3, 4)), lw.LSTM(3, 4, batch_first=True)):
        with torch.set_grad_enabled(grad), pytest.raises((RuntimeError, DataError, TypeError)):
            layer(x)


def test_float16_autocast_runs_in_a_type_that_the_engine_has() -> None:
    layer, x = Recurrent(LSTM(3, 4)), torch.randn(2, 5, 3)
    with torch.autocast("cpu", torch.float16):
        outputs, _ = layer(x)
    outputs.float().sum().backward()
    torch.testing.assert_close(outputs.float(), layer(x)[0], atol=2e-2, rtol=0)


def test_states_and_constants_of_other_shapes() -> None:
    cell, x = Scaled(), torch.randn(3, 5, 3)
    with torch.no_grad():
        one = kernels.run(cell, x, HiddenState(h=torch.ones(1, 4)))
        every = kernels.run(cell, x, HiddenState(h=torch.ones(3, 4)))
        assert torch.equal(one[0], every[0])
        for wrong in (torch.ones(2, 4), torch.ones(3, 5)):
            with pytest.raises(StateError, match="batch comes first"):
                kernels.run(cell, x, HiddenState(h=wrong))


@pytest.mark.parametrize(
    "options",
    [
        {"resets": torch.ones(4, 2, dtype=torch.bool)},
        {"resets": torch.ones(6, 4, dtype=torch.bool)},
        {"resets": torch.ones(4, 6)},
        {"lengths": torch.tensor([3])},
        {"lengths": torch.tensor([3.5, 2, 1, 1])},
    ],
)
def test_lengths_and_resets_of_another_batch(options: dict[str, Any]) -> None:
    with pytest.raises(
        (DataError, TypeError), match=r"(?i)expected"
    ):  # the shape checker of these tests may come first
        kernels.run(Scaled(), torch.randn(4, 6, 3), **options)


def test_lengths_changed_between_the_passes() -> None:
    layer, x = Recurrent(GRU(3, 4)), torch.randn(3, 6, 3)
    grads = []
    for change in (False, True):
        lengths = torch.tensor([6, 3, 2])
        outputs, _ = layer(x, lengths=lengths)
        if change:
            lengths.fill_(1)
        grads.append(torch.autograd.grad(outputs.square().sum(), list(layer.parameters())))
    assert all(map(torch.equal, *grads))


def test_the_callers_context_leaves_no_trace() -> None:
    x = torch.randn(2, 5, 3, requires_grad=True)
    checkpoint(lambda v: Recurrent(LSTM(3, 23))(v)[0], x, use_reentrant=False)
    assert kernels.choose(LSTM(3, 23)).name == "cpu"
    layer = Recurrent(GRU(3, 23))
    parameters = dict(layer.named_parameters())
    inputs = x.detach()

    def loss(values: Any) -> Any:
        return torch.func.functional_call(layer, values, (inputs,))[0].sum()

    got = torch.func.grad(loss)(parameters)
    expected = torch.autograd.grad(layer(inputs)[0].sum(), list(layer.parameters()))
    for one, other in zip(got.values(), expected, strict=True):
        torch.testing.assert_close(one, other)
    assert kernels.choose(GRU(3, 23)).name == "cpu"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, of what it makes its formulas with
def test_forward_mode() -> None:
    layer, x = Recurrent(GRU(3, 4)).requires_grad_(False), torch.randn(2, 5, 3)
    with forward_ad.dual_level():
        tangent = forward_ad.unpack_dual(layer(forward_ad.make_dual(x, torch.ones_like(x)))[0]).tangent
    assert tangent is not None
    assert float(tangent.abs().max()) > 0


def test_an_empty_batch_still_has_a_graph() -> None:
    layer = Recurrent(GRU(3, 4))
    layer(torch.zeros(0, 5, 3))[0].sum().backward()


def test_constants_with_axes_run_in_the_loop() -> None:
    class Attending(Scaled):
        def step(self, projected: Any, state: Any, constants: Any = ()) -> Any:
            h = torch.tanh(projected[0] + self.recurrent(state.h) + constants[0].sum(1))
            return h, HiddenState(h=h)

    memory = (torch.randn(2, 3, 4),)
    x = torch.randn(2, 5, 3)
    assert kernels.choose(Attending(), constants=memory).name == "loop"
    with pytest.raises(KernelError, match="constants"):
        kernels.run(Attending(), x, kernel="cpu", constants=memory)


def test_a_session_follows_whatever_replaces_its_weights() -> None:
    cell = Scaled()
    session = Session([cell])
    x = np.ones((1, 3), np.float32)
    start = session.state

    def check() -> None:
        session.state = start
        with torch.no_grad():
            expected = kernels.run(cell, torch.ones(1, 1, 3), kernel="cpu")[0][0]
        for _ in range(2):
            session.state = start
            assert np.array_equal(session.step(x), expected.numpy())

    check()
    cell.recurrent.weight = nn.Parameter(torch.randn(4, 4))
    check()
    cell.input = nn.Linear(3, 4)
    check()
    cell.load_state_dict({k: v * 2 for k, v in cell.state_dict().items()}, assign=True)
    check()
    parametrizations.weight_norm(cell.input)
    check()
    with torch.no_grad():
        cell.input.parametrizations.weight.original0.mul_(2)
    check()
    cell.scale = lambda: 3.0
    session.repack()
    check()


def test_a_narrow_layers_session_keeps_its_state_in_float32() -> None:
    session = Session([LSTM(3, 8).bfloat16()])
    x = np.ones((1, 3), np.float32)
    session.step(x)
    state = session.state
    after = session.step(x)
    session.state = state
    assert np.array_equal(session.step(x), after)


def test_states_that_are_no_sessions() -> None:
    session = Session([LSTM(3, 4)])
    for wrong in (None, LSTM(3, 4).initial_state(1), (HiddenState(h=torch.zeros(1, 4)),), ()):
        with pytest.raises(StateError, match="expected"):
            session.state = wrong
    with pytest.raises(StateError, match="value"):
        pickle.dumps(session)


class Projecting(Cell):
    """h' = tanh(projected + R h), the projection whatever a test makes of the two parameters."""

    def __init__(self, weight: tuple[int, ...], bias: tuple[int, ...], project: Callable[..., Any]) -> None:
        super().__init__(5, 5)
        self.weight, self.bias = (nn.Parameter(torch.randn(shape, dtype=torch.float64)) for shape in (weight, bias))
        self.recurrent = nn.Linear(5, 5, dtype=torch.float64)
        self.projection = project

    def project(self, inputs: Any) -> Any:
        return (self.projection(inputs, self.weight, self.bias),)

    def step(self, projected: Any, state: Any, constants: Any = ()) -> Any:
        h = torch.tanh(projected[0] + self.recurrent(state.h))
        return h, HiddenState(h=h)


@pytest.mark.parametrize(
    ("weight", "bias", "project"),
    [
        ((8, 5), (5,), lambda x, weight, bias: linear(x, weight[:5], bias)),
        ((5, 5), (8,), lambda x, weight, bias: linear(x, weight, bias[:5])),
        ((5, 3), (5,), lambda x, weight, bias: linear(x[..., :3], weight, bias)),
        ((5, 5), (1, 5), lambda x, weight, bias: linear(x, weight) + bias),
        ((5, 5), (5, 1), lambda x, weight, bias: linear(x, weight, bias.view(5))),
        ((25,), (5,), lambda x, weight, bias: linear(x, weight.view(5, 5), bias)),
        ((2, 5, 5), (5,), lambda x, weight, bias: linear(x, weight[0], bias)),
        ((3, 5), (5,), lambda x, weight, bias: linear(x[..., :3], weight.reshape(5, 3), bias)),
        ((5, 5), (5,), lambda x, weight, bias: linear(x, weight, weight[0]) + 0 * bias),
        ((5, 5), (5,), lambda x, weight, bias: linear(x, weight, weight[0])),
    ],
)
def test_a_projection_that_takes_parts_or_views(weight: Any, bias: Any, project: Callable[..., Any]) -> None:
    torch.manual_seed(0)
    cell, found = Projecting(weight, bias, project), []
    x = torch.randn(3, 6, 5, dtype=torch.float64, requires_grad=True)
    for kernel in ("loop", "cpu"):
        outputs, _ = kernels.run(cell, x, kernel=kernel)
        leaves = [x, *cell.parameters()]
        grads = torch.autograd.grad(outputs.square().sum(), leaves, allow_unused=True, materialize_grads=True)
        found.append([outputs, *grads])
    for ours, expected in zip(found[1], found[0], strict=True):
        torch.testing.assert_close(ours, expected)


@pytest.mark.parametrize("reentrant", [True, False])
def test_gradients_through_a_checkpoint(reentrant: bool) -> None:
    layer, x = lw.GRU(3, 4, batch_first=True), torch.randn(2, 5, 3, requires_grad=True)
    found = []
    for outputs in (layer(x)[0], checkpoint(lambda v: layer(v)[0], x, use_reentrant=reentrant)):
        layer.zero_grad()
        x.grad = None
        outputs.square().sum().backward()
        found.append([x.grad, *(parameter.grad for parameter in layer.parameters())])
    for ours, expected in zip(found[1], found[0], strict=True):
        torch.testing.assert_close(ours, expected)


def test_pytorchs_own_kernel_does_not_pass_over_hooks() -> None:
    cell, called = LSTM(3, 4), []
    cell.input.register_forward_hook(lambda *_: called.append(True))
    with pytest.raises(KernelError, match="has hooks"):
        kernels.run(cell, torch.randn(2, 5, 3), kernel="torch")
    kernels.run(cell, torch.randn(2, 5, 3))
    assert called


@pytest.mark.parametrize("resets", [False, True])
def test_many_cotangents_at_once(resets: bool) -> None:
    layer, x = lw.LSTM(3, 4, batch_first=True).double(), torch.randn(2, 3, 3, dtype=torch.float64, requires_grad=True)
    outputs, _ = layer(x, resets=torch.tensor([[False, True, False]] * 2) if resets else None)
    leaves = [x, *layer.parameters()]
    each = torch.eye(outputs.numel(), dtype=outputs.dtype).view(-1, *outputs.shape)
    got = torch.autograd.grad(outputs, leaves, each, is_grads_batched=True, retain_graph=True)
    for place, cotangent in enumerate(each):
        expected = torch.autograd.grad(outputs, leaves, cotangent, retain_graph=True)
        for ours, one in zip(got, expected, strict=True):
            torch.testing.assert_close(ours[place], one)
