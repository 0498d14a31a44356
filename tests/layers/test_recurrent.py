import copy

import pytest
import torch
from safetensors.torch import load, save
from torch import nn
from torch.nn.utils import parametrize

from latchwork import kernels
from latchwork.cells import CELLS, GRU, LSTM, SLSTM, HiddenState, LSTMState
from latchwork.errors import ConfigError, DataError, KernelError, StateError
from latchwork.layers import Bidirectional, Recurrent


@pytest.mark.parametrize("name", CELLS)
def test_stepped_equals_run(name: str) -> None:
    layer = Recurrent(CELLS[name](2, 4), zoneout=0.2, learn_initial_state=True).eval()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_(std=0.5)
    x = torch.randn(3, 6, 2)
    expected, end = layer(x)
    state, outputs = layer.initial_state(3), []
    for x_t in x.unbind(1):
        output, state = layer.step(x_t, state)
        outputs.append(output)
    torch.testing.assert_close(torch.stack(outputs, 1), expected)
    torch.testing.assert_close(tuple(state), tuple(end))


def test_stepping_drops_nothing_in_training_mode() -> None:
    layer = Recurrent(GRU(2, 4), recurrent_dropout=0.5, weight_drop=0.5)
    x_t, state = torch.randn(3, 2), layer.initial_state(3)
    training = layer.step(x_t, state)[0]
    assert torch.equal(training, layer.eval().step(x_t, state)[0])


@pytest.mark.parametrize("name", CELLS)
def test_learned_initial_state(name: str) -> None:
    cell = CELLS[name](2, 4)
    layer = Recurrent(cell, learn_initial_state=True)
    fields = cell.independent or cell.State._fields
    learned = {n for n, _ in layer.named_parameters() if n.startswith("initial_")}
    assert learned == {f"initial_{field}" for field in fields}
    x = torch.randn(3, 5, 2)
    # It starts where the cell itself starts.
    torch.testing.assert_close(layer(x)[0], Recurrent(cell)(x)[0])
    with torch.no_grad():
        layer.initial_h.normal_()
    outputs, _ = layer(x, resets=torch.tensor([[False, False, True, False, False]]).expand(3, 5))
    begun, _ = layer(x[:, 2:])
    torch.testing.assert_close(outputs[:, 2:], begun)
    begun.sum().backward()
    assert layer.initial_h.grad is not None
    assert layer.initial_h.grad.ne(0).any() or name.startswith("min")
    assert layer.initial_state(7).h.shape == (7, 4)


def test_the_state_is_a_value() -> None:
    layer = Recurrent(LSTM(2, 4))
    before = set(layer.__dict__) | set(layer.cell.__dict__)
    x = torch.randn(3, 5, 2)
    first, state = layer(x)
    layer(torch.randn(3, 5, 2), state)
    assert torch.equal(layer(x)[0], first)
    assert set(layer.__dict__) | set(layer.cell.__dict__) == before
    assert isinstance(state, LSTMState)


def test_explain_kernel_names_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(2, 5, 2)
    if kernels.engine():
        assert Recurrent(LSTM(2, 4), zoneout=0.1).explain_kernel(x).name == "cpu"
    monkeypatch.setattr(kernels.cpu, "engine", lambda: None)
    layer = Recurrent(LSTM(2, 4), zoneout=0.1)
    assert "Zoneout" in layer.explain_kernel(x).reason
    assert Recurrent(LSTM(2, 4), weight_drop=0.1).explain_kernel(x).name == "torch"
    dropped = Recurrent(LSTM(2, 4), recurrent_dropout=0.1)
    assert dropped.explain_kernel(x).name == "loop"
    assert dropped.eval().explain_kernel(x).name == "torch"
    assert Recurrent(LSTM(2, 4)).explain_kernel(x, lengths=torch.tensor([2, 5])).name == "loop"
    layer = Recurrent(LSTM(2, 4), weight_drop=0.1)
    before = torch.get_rng_state()
    layer.explain_kernel(x)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_kernel_that_can_not_run_raises() -> None:
    layer = Recurrent(LSTM(2, 4), zoneout=0.1, kernel="torch")
    with pytest.raises(KernelError, match="Zoneout"):
        layer(torch.randn(2, 5, 2))
    with pytest.raises(ConfigError, match="kernel"):
        Recurrent(LSTM(2, 4), kernel="cudnn")


def test_errors_say_what_was_expected() -> None:
    layer = Recurrent(LSTM(2, 4))
    x = torch.randn(3, 5, 2)
    with pytest.raises(DataError, match=r"expected \[batch, time, 2\]"):
        layer(torch.randn(3, 5, 4))
    with pytest.raises(StateError, match="HiddenState, expected the cell's LSTMState"):
        layer(x, HiddenState(torch.zeros(3, 4)))
    with pytest.raises(StateError, match=r"state.c has shape \(2, 4\), expected \(3, 4\)"):
        layer(x, LSTMState(torch.zeros(3, 4), torch.zeros(2, 4)))
    with pytest.raises(StateError, match="reverse"):
        Recurrent(LSTM(2, 4), reverse=True).step(x[:, 0], layer.initial_state(3))


def test_state_dict_through_a_file_and_deep_copy() -> None:
    layer = Recurrent(SLSTM(2, 4), learn_initial_state=True, zoneout=0.1).eval()
    other = Recurrent(SLSTM(2, 4), learn_initial_state=True, zoneout=0.1).eval()
    other.load_state_dict(load(save(layer.state_dict())))
    x = torch.randn(3, 5, 2)
    assert torch.equal(other(x)[0], layer(x)[0])
    assert torch.equal(copy.deepcopy(layer)(x)[0], layer(x)[0])


def test_parametrized_weights() -> None:
    layer = Recurrent(LSTM(2, 4), weight_drop=0.4)
    parametrize.register_parametrization(layer.cell.recurrent, "weight", nn.Tanh())
    outputs, _ = layer(torch.randn(3, 5, 2))
    outputs.sum().backward()
    original = layer.cell.recurrent.parametrizations.weight.original
    assert original.grad is not None
    assert original.grad.ne(0).any()


def test_bidirectional_is_two_layers_each_reversed_within_its_rows() -> None:
    onward, backward = Recurrent(LSTM(2, 4)), Recurrent(GRU(2, 3), reverse=True)
    layer = Bidirectional(onward, backward)
    x, lengths = torch.randn(3, 5, 2), torch.tensor([5, 2, 0])
    outputs, (first, second) = layer(x, lengths=lengths)
    assert outputs.shape == (3, 5, 7)
    assert layer.output_size == 7
    for row, length in enumerate([5, 2, 0]):
        own = x[row : row + 1, :length]
        a, s = kernels.run(onward.cell, own, kernel="loop")
        b, u = kernels.run(backward.cell, own.flip(1), kernel="loop")
        torch.testing.assert_close(outputs[row, :length], torch.cat((a[0], b[0].flip(0)), -1))
        torch.testing.assert_close(first.c[row], s.c[0])
        torch.testing.assert_close(second.h[row], u.h[0])
    again, _ = layer(x, layer.initial_state(3), lengths=lengths)
    assert torch.equal(again, outputs)
    with pytest.raises(StateError, match="bidirectional=False"):
        layer.step(x[:, 0], (first, second))
    assert len(layer.explain_kernel(x)) == 2


def test_bidirectional_masks_differ_by_direction_and_come_from_one_key() -> None:
    cell = LSTM(2, 4)
    layer = Bidirectional(Recurrent(cell, zoneout=0.5), Recurrent(cell, reverse=True, zoneout=0.5))
    x = torch.randn(1, 1, 2)
    x[:] = 1.0
    torch.manual_seed(0)
    outputs = torch.cat([layer(x.expand(64, 1, 2))[0]])
    assert not torch.equal(outputs[..., :4], outputs[..., 4:])
    torch.manual_seed(0)
    assert torch.equal(layer(x.expand(64, 1, 2))[0], outputs)


def test_bidirectional_checks_its_parts() -> None:
    with pytest.raises(ConfigError, match="reverse=True"):
        Bidirectional(Recurrent(GRU(2, 3)), Recurrent(GRU(2, 3)))
    with pytest.raises(ConfigError, match="2 and 3 inputs"):
        Bidirectional(Recurrent(GRU(2, 3)), Recurrent(GRU(3, 3), reverse=True))
