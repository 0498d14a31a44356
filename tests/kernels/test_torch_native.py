"""PyTorch's own recurrences against the reference, on every path of theirs: outputs, final state, every gradient."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from latchwork.cells import GRU, LSTM, RNN, Cell, PeepholeLSTM
from latchwork.errors import KernelError
from latchwork.kernels import loop, torch_native
from latchwork.sequences import flatten

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")

STANDARD = {
    "lstm": lambda **o: LSTM(3, 5, **o),
    "lstm projection": lambda **o: LSTM(3, 5, proj_size=2, **o),
    "gru": lambda **o: GRU(3, 5, **o),
    "rnn tanh": lambda **o: RNN(3, 5, **o),
    "rnn relu": lambda **o: RNN(3, 5, activation="relu", **o),
}


def compare(cell: Cell, batch: int, time: int, lengths: list[int] | None, reverse: bool, stateful: bool) -> None:
    results = []
    inputs = torch.randn(batch, time, 3)
    start = loop.run(cell, torch.randn(batch, 2, 3))[1]
    ends = None if lengths is None else torch.tensor(lengths)
    weights = torch.randn(batch, time, cell.output_size)
    for kernel in (loop, torch_native):
        x = inputs.clone().requires_grad_()
        own = cell.State(*(leaf.detach().clone().requires_grad_() for leaf in start)) if stateful else None
        outputs, state = kernel.run(cell, x, own, lengths=ends, reverse=reverse)
        total = (outputs * weights).sum() + sum((leaf * leaf.sin()).sum() for leaf in state)
        wanted = [x, *cell.parameters(), *(own or ())]
        results.append((outputs, *state, *torch.autograd.grad(total, wanted)))
        assert type(state) is cell.State
    for got, expected in zip(*results, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", STANDARD)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("lengths", [None, [4, 7, 0, 1]])
def test_equals_the_reference(name: str, bias: bool, reverse: bool, lengths: list[int] | None) -> None:
    torch.manual_seed(1)
    cell = STANDARD[name](bias=bias)
    compare(cell, 4, 7, lengths, reverse, stateful=False)
    compare(cell, 4, 7, lengths, reverse, stateful=True)


@settings(max_examples=30)
@given(data=st.data(), name=st.sampled_from(sorted(STANDARD)), reverse=st.booleans())
def test_equals_the_reference_for_any_lengths(data: st.DataObject, name: str, reverse: bool) -> None:
    time = data.draw(st.integers(1, 5))
    lengths = data.draw(st.lists(st.integers(0, time), min_size=1, max_size=5))
    torch.manual_seed(2)
    compare(STANDARD[name](), len(lengths), time, lengths, reverse, stateful=True)


@pytest.mark.parametrize("name", STANDARD)
def test_no_steps_and_no_rows(name: str) -> None:
    cell = STANDARD[name]()
    state = loop.run(cell, torch.randn(4, 2, 3))[1]
    outputs, end = torch_native.run(cell, torch.zeros(4, 0, 3), state)
    assert outputs.shape == (4, 0, cell.output_size)
    assert all(torch.equal(a, b) for a, b in zip(end, state, strict=True))
    assert torch_native.run(cell, torch.zeros(0, 5, 3))[0].shape == (0, 5, cell.output_size)


@pytest.mark.parametrize("name", STANDARD)
def test_nan_in_the_padding_leaves_no_trace(name: str) -> None:
    torch.manual_seed(0)
    cell = STANDARD[name]()
    inputs = torch.randn(3, 5, 3)
    lengths = torch.tensor([5, 2, 0])
    past = ~(torch.arange(5) < lengths[:, None])[..., None]
    results = []
    for padding in (0.0, torch.nan):
        outputs, state = torch_native.run(cell, inputs.masked_fill(past, padding), lengths=lengths)
        total = outputs.sum() + sum(leaf.sum() for leaf in state)
        results.append((outputs, *flatten(state).values(), *torch.autograd.grad(total, list(cell.parameters()))))
    assert all(torch.equal(got, expected) for got, expected in zip(*results, strict=True))


def test_a_relu_that_overflows_in_the_padding_leaves_no_trace() -> None:
    cell = RNN(1, 1, activation="relu", bias=False)
    with torch.no_grad():
        cell.input.weight.fill_(1.0)
        cell.recurrent.weight.fill_(100.0)
    inputs = torch.ones(2, 60, 1)
    inputs[1] = 0.0
    outputs, _ = torch_native.run(cell, inputs, lengths=torch.tensor([2, 60]))
    gradients = torch.autograd.grad(outputs.sum(), list(cell.parameters()))
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_what_it_refuses() -> None:
    inputs = torch.zeros(2, 4, 3)
    with pytest.raises(KernelError, match="PeepholeLSTM is not one of PyTorch"):
        torch_native.run(PeepholeLSTM(3, 5), inputs)
    with pytest.raises(KernelError, match="tanh and relu, not gelu"):
        torch_native.run(RNN(3, 5, activation="gelu"), inputs)
    with pytest.raises(KernelError, match="no resets"):
        torch_native.run(LSTM(3, 5), inputs, resets=torch.zeros(2, 4, dtype=torch.bool))
    with pytest.raises(KernelError, match="no constants"):
        torch_native.run(LSTM(3, 5), inputs, constants=(torch.zeros(2),))


def test_a_subclass_may_have_another_equation_and_is_refused() -> None:
    class Other(LSTM):
        pass

    assert torch_native.refusal(Other(3, 5)) == "Other is not one of PyTorch's own recurrences"


@pytest.mark.gpu
@pytest.mark.parametrize("name", STANDARD)
def test_equals_the_reference_on_a_gpu(name: str) -> None:
    torch.manual_seed(1)
    cell = STANDARD[name]().cuda().double()
    inputs = torch.randn(4, 7, 3, device="cuda", dtype=torch.float64)
    lengths = torch.tensor([4, 7, 0, 1], device="cuda")
    for reverse in (False, True):
        got = torch_native.run(cell, inputs, lengths=lengths, reverse=reverse)
        expected = loop.run(cell, inputs, lengths=lengths, reverse=reverse)
        torch.testing.assert_close(got[0], expected[0])
        torch.testing.assert_close(tuple(got[1]), tuple(expected[1]))
