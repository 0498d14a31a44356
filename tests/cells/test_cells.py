"""Every cell against its contract, and against its equation written a second time, in numpy, term by term."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from latchwork import kernels
from latchwork.cells import (
    CELLS,
    GRU,
    LSTM,
    RNN,
    SLSTM,
    Cell,
    GRUResetBefore,
    HiddenState,
    LayerNormLSTM,
    MinGRU,
    MinLSTM,
    PeepholeLSTM,
    cell_class,
)
from latchwork.errors import ConfigError
from latchwork.testing import check_cell

VARIANTS = {
    "rnn relu": lambda i, h: RNN(i, h, activation="relu"),
    "rnn gelu": lambda i, h: RNN(i, h, activation="gelu"),
    "rnn softmax": lambda i, h: RNN(i, h, activation="softmax"),
    "lstm projection": lambda i, h: LSTM(i, h, proj_size=2),
    "slstm one head": lambda i, h: SLSTM(i, h, heads=1),
}


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("bias", [True, False])
def test_contract(name: str, bias: bool) -> None:
    check_cell(lambda i, h: CELLS[name](i, h, bias=bias))


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("name", VARIANTS)
def test_contract_of_variants(name: str) -> None:
    check_cell(VARIANTS[name])


@pytest.mark.parametrize("heads", [2, 3, 6])
def test_contract_of_heads(heads: int) -> None:
    check_cell(lambda i, h: SLSTM(i, h, heads=heads), hidden_size=6)


class Leaky(Cell):
    """A cell as a user would write one: a = σ(W_a x + b_a);  h' = a h + (1 - a) tanh(W x + b + R h)."""

    gates = ("a", "h")

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.input = nn.Linear(input_size, 2 * hidden_size)
        self.recurrent = nn.Linear(hidden_size, hidden_size, bias=False)

    def project(self, inputs):
        a, x = self.input(inputs).chunk(2, -1)
        return a.sigmoid(), x

    def step(self, projected, state, constants=()):
        a, x = projected
        h = a * state.h + (1 - a) * (x + self.recurrent(state.h)).tanh()
        return h, HiddenState(h)


def test_contract_of_a_users_cell() -> None:
    check_cell(Leaky)
    check_cell(Leaky, input_size=1, hidden_size=1)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def weights(cell: Cell) -> dict[str, np.ndarray]:
    return {name: parameter.detach().numpy() for name, parameter in cell.named_parameters()}


def norm(v, gain, shift=0.0):
    return gain * (v - v.mean(-1, keepdims=True)) / np.sqrt(v.var(-1, keepdims=True) + 1e-5) + shift


def gates(x, count):
    return np.split(x, count, axis=-1)


def rnn(w, x, s):
    h = np.tanh(x @ w["input.weight"].T + w["input.bias"] + s[0] @ w["recurrent.weight"].T + w["recurrent.bias"])
    return h, (h,)


def lstm(w, x, s):
    h, c = s
    a = x @ w["input.weight"].T + w["input.bias"] + h @ w["recurrent.weight"].T + w["recurrent.bias"]
    i, f, g, o = gates(a, 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    h = sigmoid(o) * np.tanh(c)
    return h, (h, c)


def gru(w, x, s):
    (h,) = s
    r, z, n = gates(x @ w["input.weight"].T + w["input.bias"], 3)
    rr, rz, rn = gates(h @ w["recurrent.weight"].T + w["recurrent.bias"], 3)
    r, z = sigmoid(r + rr), sigmoid(z + rz)
    h = (1 - z) * np.tanh(n + r * rn) + z * h
    return h, (h,)


def gru_reset_before(w, x, s):
    (h,) = s
    r, z, n = gates(x @ w["input.weight"].T + w["input.bias"], 3)
    rr, rz = gates(h @ w["recurrent.weight"].T, 2)
    r, z = sigmoid(r + rr), sigmoid(z + rz)
    h = (1 - z) * np.tanh(n + (r * h) @ w["recurrent_candidate.weight"].T) + z * h
    return h, (h,)


def layernorm_lstm(w, x, s):
    h, c = s
    a = norm(x @ w["input.weight"].T, w["norm_input.weight"], w["norm_input.bias"])
    i, f, g, o = gates(a + norm(h @ w["recurrent.weight"].T, w["norm_recurrent.weight"]), 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    h = sigmoid(o) * np.tanh(norm(c, w["norm_cell.weight"], w["norm_cell.bias"]))
    return h, (h, c)


def peephole_lstm(w, x, s):
    h, c = s
    i, f, g, o = gates(x @ w["input.weight"].T + w["input.bias"] + h @ w["recurrent.weight"].T, 4)
    i = sigmoid(i + w["peephole_i.weight"] * c)
    f = sigmoid(f + w["peephole_f.weight"] * c)
    c = f * c + i * np.tanh(g)
    h = sigmoid(o + w["peephole_o.weight"] * c) * np.tanh(c)
    return h, (h, c)


def mingru(w, x, s):
    z, n = gates(x @ w["input.weight"].T + w["input.bias"], 2)
    h = (1 - sigmoid(z)) * s[0] + sigmoid(z) * n
    return h, (h,)


def minlstm(w, x, s):
    f, i, g = gates(x @ w["input.weight"].T + w["input.bias"], 3)
    f, i = sigmoid(f), sigmoid(i)
    h = f / (f + i) * s[0] + i / (f + i) * g
    return h, (h,)


ORACLES = {
    RNN: rnn,
    LSTM: lstm,
    GRU: gru,
    GRUResetBefore: gru_reset_before,
    LayerNormLSTM: layernorm_lstm,
    PeepholeLSTM: peephole_lstm,
    MinGRU: mingru,
    MinLSTM: minlstm,
}


def random_cell(kind: type[Cell], *sizes: int, **options) -> Cell:
    torch.manual_seed(3)
    cell = kind(*sizes, **options).double()
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.normal_(std=0.6)
    return cell


@pytest.mark.parametrize("kind", ORACLES)
def test_equation(kind: type[Cell]) -> None:
    cell = random_cell(kind, 3, 5)
    inputs = torch.randn(2, 6, 3, dtype=torch.float64)
    got, end = kernels.run(cell, inputs, kernel="loop")
    state = tuple(np.zeros((2, 5)) for _ in end)
    for t in range(6):
        h, state = ORACLES[kind](weights(cell), inputs[:, t].numpy(), state)
        np.testing.assert_allclose(got[:, t].detach().numpy(), h, atol=1e-12)
    for leaf, expected in zip(end, state, strict=True):
        np.testing.assert_allclose(leaf.detach().numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("heads", [1, 2, 3])
def test_slstm_equals_its_equation_without_the_stabiliser(heads: int) -> None:
    cell = random_cell(SLSTM, 3, 6, heads=heads)
    inputs = torch.randn(2, 6, 3, dtype=torch.float64)
    got, end = kernels.run(cell, inputs, kernel="loop")
    w, dense = weights(cell), cell.recurrent.dense().detach().numpy()
    h = c = n = np.zeros((2, 6))
    for t in range(6):
        i, f, z, o = gates(inputs[:, t].numpy() @ w["input.weight"].T + w["input.bias"] + h @ dense.T, 4)
        c = sigmoid(f) * c + np.exp(i) * np.tanh(z)
        n = sigmoid(f) * n + np.exp(i)
        h = sigmoid(o) * c / n
        np.testing.assert_allclose(got[:, t].detach().numpy(), h, atol=1e-12)
    scale = end.m.detach().exp().numpy()
    np.testing.assert_allclose(end.c.detach().numpy() * scale, c, atol=1e-12)
    np.testing.assert_allclose(end.n.detach().numpy() * scale, n, atol=1e-12)


def test_slstm_stays_finite_where_its_plain_exponentials_overflow() -> None:
    cell = SLSTM(1, 2)
    inputs = torch.tensor([[[900.0], [-900.0], [0.0], [900.0]]], requires_grad=True)
    with torch.no_grad():
        cell.input.weight.fill_(1.0)
    outputs, state = kernels.run(cell, inputs)
    outputs.sum().backward()
    assert outputs.isfinite().all()
    assert inputs.grad is not None
    assert inputs.grad.isfinite().all()
    assert all(leaf.isfinite().all() for leaf in state)
    assert (state.n >= 1).all()


def test_slstm_writes_its_first_step_however_shut_the_input_gate() -> None:
    """c / n of one value is that value, in a fresh row beside an old one too: e⁻⁹⁰⁰ / e⁻⁹⁰⁰ must not become 0 / 0."""
    cell = SLSTM(1, 2)
    with torch.no_grad():
        cell.input.weight.zero_()
        cell.input.weight[:2] = 1.0  # the input gate alone
    low = torch.full((2, 1, 1), -900.0)
    old = kernels.run(cell, torch.ones(2, 3, 1))[1]
    outputs, _ = kernels.run(cell, low, old, resets=torch.tensor([[True], [False]]))
    _, _, z, o = cell.input.bias.chunk(4)
    torch.testing.assert_close(outputs[0, 0], o.sigmoid() * z.tanh())
    assert outputs.isfinite().all()


def test_minlstm_stays_finite_where_both_gates_are_shut() -> None:
    cell = MinLSTM(1, 1)
    with torch.no_grad():
        cell.input.weight.copy_(torch.tensor([[0.0], [0.0], [1.0]]))
        cell.input.bias.copy_(torch.tensor([-500.0, -501.0, 0.0]))
    outputs, _ = kernels.run(cell, torch.ones(1, 1, 1))
    # f / (f + i) of two vanishing gates, e⁻⁵⁰⁰ and e⁻⁵⁰¹: the new value has weight 1 / (1 + e).
    assert outputs.item() == pytest.approx(1 / (1 + math.e), rel=1e-5)


@pytest.mark.parametrize("kind", [MinGRU, MinLSTM])
def test_update_is_affine_in_the_state(kind: type[Cell]) -> None:
    cell = random_cell(kind, 3, 5)
    projected = cell.project(torch.randn(1, 3, dtype=torch.float64).expand(3, 3))
    low, high = torch.randn(2, 5, dtype=torch.float64)
    states = torch.stack((low, high, 0.3 * low + 0.7 * high))
    h, _ = cell.step(projected, HiddenState(states))
    torch.testing.assert_close(h[2], 0.3 * h[0] + 0.7 * h[1])


@pytest.mark.parametrize(
    ("kind", "peer", "options"),
    [
        (LSTM, nn.LSTMCell, {}),
        (GRU, nn.GRUCell, {}),
        (RNN, nn.RNNCell, {}),
        (RNN, lambda i, h: nn.RNNCell(i, h, nonlinearity="relu"), {"activation": "relu"}),
    ],
)
def test_one_step_equals_torch(kind, peer, options) -> None:
    cell, other = random_cell(kind, 3, 5, **options), peer(3, 5).double()
    names = {"weight_ih": "input.weight", "weight_hh": "recurrent.weight"}
    names |= {"bias_ih": "input.bias", "bias_hh": "recurrent.bias"}
    other.load_state_dict({theirs: cell.state_dict()[own] for theirs, own in names.items()})
    x = torch.randn(4, 3, dtype=torch.float64)
    state = cell.State(*(torch.randn(4, 5, dtype=torch.float64) for _ in cell.State._fields))
    _, after = cell.step(cell.project(x), state)
    expected = other(x, tuple(state) if len(state) > 1 else state.h)
    torch.testing.assert_close(tuple(after), expected if isinstance(expected, tuple) else (expected,))


@pytest.mark.parametrize("name", CELLS)
def test_documentation_names_equation_gates_and_source(name: str) -> None:
    text = CELLS[name].__doc__ or ""
    assert "Source:" in text
    assert "State:" in text
    assert "Initialisation:" in text
    assert ("order" in text) == (len(CELLS[name].gates) > 1)
    assert all(gate in CELLS[name].gates for gate in CELLS[name].keeps)


@pytest.mark.parametrize("name", CELLS)
def test_device_and_type(name: str) -> None:
    cell = CELLS[name](3, 4, device="meta", dtype=torch.float64)
    assert {p.device.type for p in cell.parameters()} == {"meta"}
    assert {p.dtype for p in cell.parameters()} == {torch.float64}


def test_cell_class() -> None:
    assert cell_class("slstm") is SLSTM
    assert cell_class(Leaky) is Leaky
    with pytest.raises(ConfigError, match='did you mean "lstm"'):
        cell_class("lstn")
    with pytest.raises(ConfigError, match="expected a name or a subclass"):
        cell_class(3)  # type: ignore[arg-type]


@pytest.mark.parametrize("sizes", [(0, 3), (3, 0), (3, -1)])
def test_sizes_are_checked(sizes: tuple[int, int]) -> None:
    with pytest.raises(ConfigError, match="expected at least 1"):
        LSTM(*sizes)


def test_options_are_checked() -> None:
    with pytest.raises(ConfigError, match="proj_size"):
        LSTM(3, 4, proj_size=4)
    with pytest.raises(ConfigError, match="divisor"):
        SLSTM(3, 4, heads=3)
    with pytest.raises(ConfigError, match='did you mean "relu"'):
        RNN(3, 4, activation="rellu")


def test_a_cell_without_a_step_is_not_made() -> None:
    class Empty(Cell):
        pass

    with pytest.raises(TypeError, match="step"):
        Empty(1, 1)  # type: ignore[abstract]


@pytest.mark.parametrize(("hidden", "heads"), [(8, 4), (6, 2), (5, 1)])
def test_slstm_takes_four_heads_where_they_fit(hidden: int, heads: int) -> None:
    assert SLSTM(3, hidden).heads == heads
