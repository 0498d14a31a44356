import numpy as np
import pytest
import torch

from latchwork import kernels
from latchwork.cells import GRU, GRUD, GRUDState, HiddenState
from latchwork.errors import ConfigError
from latchwork.layers import Network, Recurrent
from latchwork.modalities.records import elapsed
from latchwork.testing import check_cell


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("inputs", "features"), [(12, None), (3, None), (11, 2), (8, None), (2, None), (6, 0)])
def test_contract(inputs: int, features: int | None, bias: bool) -> None:
    check_cell(lambda i, h: GRUD(i, h, bias=bias, features=features), input_size=inputs)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def random_cell(inputs: int, hidden: int, **options) -> GRUD:
    torch.manual_seed(5)
    cell = GRUD(inputs, hidden, **options).double()
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.normal_(std=0.5)
    return cell


def records(batch: int, time: int, features: int, rest: int = 0) -> torch.Tensor:
    """Values, mask, time since last seen, and numbers that are always there."""
    generator = torch.Generator().manual_seed(2)
    mask = (torch.rand(batch, time, features, generator=generator) < 0.5).double()
    values = torch.randn(batch, time, features, generator=generator, dtype=torch.float64) * mask
    elapsed = torch.rand(batch, time, 1, generator=generator, dtype=torch.float64)
    gaps = torch.zeros_like(values)
    for t in range(1, time):
        gaps[:, t] = elapsed[:, t] + gaps[:, t - 1] * (1 - mask[:, t - 1])
    other = torch.randn(batch, time, rest, generator=generator, dtype=torch.float64)
    return torch.cat((values, mask, gaps, other), -1)


@pytest.mark.parametrize("kernel", ["loop", "cpu"])
def test_equation(kernel: str) -> None:
    if kernel == "cpu" and not kernels.engine():
        pytest.skip("this build has no engine")
    features, rest, hidden = 3, 2, 4
    cell = random_cell(3 * features + rest, hidden, features=features)
    w = {name: parameter.detach().numpy() for name, parameter in cell.named_parameters()}
    inputs = records(2, 9, features, rest)
    got, end = kernels.run(cell, inputs, kernel=kernel)
    h, last = np.zeros((2, hidden)), np.zeros((2, features))
    for t in range(9):
        x, m, d, u = np.split(inputs[:, t].numpy(), [features, 2 * features, 3 * features], axis=-1)
        fade = np.exp(-np.maximum(0, w["decay_input.weight"] * d + w["decay_input.bias"]))
        decay = np.exp(-np.maximum(0, d @ w["decay_state.weight"].T + w["decay_state.bias"]))
        read = m * x + (1 - m) * fade * last
        last = m * x + (1 - m) * last
        h = decay * h
        a = np.concatenate((read, m, fade, u), -1) @ w["input.weight"].T + w["input.bias"]
        r, z, n = np.split(a, 3, axis=-1)
        rr, rz, rn = np.split(h @ w["recurrent.weight"].T + w["recurrent.bias"], 3, axis=-1)
        r, z = sigmoid(r + rr), sigmoid(z + rz)
        h = (1 - z) * np.tanh(n + r * rn) + z * h
        np.testing.assert_allclose(got[:, t].detach().numpy(), h, atol=1e-10)
    np.testing.assert_allclose(end.h.detach().numpy(), h, atol=1e-10)
    np.testing.assert_allclose(end.x.detach().numpy(), last, atol=1e-10)


def test_with_all_seen_and_no_time_gone_by_it_is_a_gru() -> None:
    cell, other = GRUD(6, 5), GRU(2, 5)
    with torch.no_grad():
        cell.input.weight[:, 2:] = 0.0
        other.input.weight.copy_(cell.input.weight[:, :2])
        other.input.bias.copy_(cell.input.bias)
        other.recurrent.load_state_dict(cell.recurrent.state_dict())
    x = torch.randn(3, 7, 2)
    got, _ = Recurrent(cell)(torch.cat((x, torch.ones_like(x), torch.zeros_like(x)), -1))
    torch.testing.assert_close(got, Recurrent(other)(x)[0])


def test_what_stands_where_nothing_was_seen_is_not_read() -> None:
    cell = random_cell(6, 4)
    inputs = records(3, 8, 2)
    other = inputs.clone()
    other[..., :2] = torch.where(inputs[..., 2:4] > 0, inputs[..., :2], 99.0)
    (got, end), (expected, last) = (kernels.run(cell, one, kernel="loop") for one in (other, inputs))
    assert torch.equal(got, expected)
    assert torch.equal(end.x, last.x)


def test_what_was_not_seen_for_long_fades() -> None:
    cell = GRUD(3, 4)
    with torch.no_grad():
        cell.decay_input.weight.fill_(1.0)
        cell.decay_state.weight.fill_(1.0)
    seen = GRUDState(h=torch.full((1, 4), 0.7), x=torch.full((1, 1), 5.0))
    fresh = cell.initial_state(1)
    missing = torch.tensor([[0.0, 0.0, 200.0]])
    assert not torch.allclose(cell.step(cell.project(missing * 0), seen)[0], cell.step(cell.project(missing), fresh)[0])
    torch.testing.assert_close(
        cell.step(cell.project(missing), seen)[0], cell.step(cell.project(missing), fresh)[0], atol=1e-6, rtol=0
    )


def test_decays_start_slow_and_learn() -> None:
    layer = Network("gru_d", hidden_size=16).build(30).layers[0]
    cell = layer.cell
    for decay in (cell.decay_input, cell.decay_state):
        assert 0.9 < decay(torch.ones(10)).min().item() < 1.0
    layer(records(4, 12, 10).float())[0].square().sum().backward()
    for decay in (cell.decay_input, cell.decay_state):
        assert decay.weight.grad.ne(0).all()


def test_the_layers_above_the_first_are_grus() -> None:
    stack = Network("gru_d", hidden_size=8, layers=3, bidirectional=True).build(9)
    kinds = [[type(one.cell) for one in (layer.onward, layer.backward)] for layer in stack.layers]
    assert kinds == [[GRUD] * 2, [GRU] * 2, [GRU] * 2]


@pytest.mark.skipif(not kernels.engine(), reason="this build has no engine")
def test_it_streams_on_the_engine() -> None:
    layer = Recurrent(GRUD(9, 8), kernel="cpu").eval()
    inputs = records(2, 6, 3).float()
    with torch.no_grad():
        expected, end = layer(inputs)
    session = layer.session(batch=2)
    for t in range(6):
        got = session.step(inputs[:, t].numpy())
        np.testing.assert_allclose(got, expected[:, t].numpy(), atol=1e-5)
    torch.testing.assert_close(tuple(session.state[0]), tuple(end))


def test_without_features_it_remembers_h_alone() -> None:
    cell = GRUD(2, 4)
    assert cell.features == 0
    assert isinstance(cell.initial_state(3), HiddenState)


@pytest.mark.parametrize("features", [-1, 3])
def test_features_are_checked(features: int) -> None:
    with pytest.raises(ConfigError, match="at most a third of the 8 inputs"):
        GRUD(8, 4, features=features)


@pytest.mark.parametrize("rest", [0, 2])
def test_backwards_is_the_mirrored_record_read_onwards(rest: int) -> None:
    """The gaps of the mirrored records are those that the reader of records gives."""
    random, features, longest = np.random.default_rng(3), 3, 9
    cell = random_cell(3 * features + rest, 4, features=features)
    onward, backward = Recurrent(cell), Recurrent(cell, reverse=True)
    lengths = [longest, 5, 1, 0]
    given, mirrored = np.zeros((2, len(lengths), longest, 3 * features + rest))
    for row, steps in enumerate(lengths):
        times = np.cumsum(random.choice([0.0, 0.5, 2.0], steps))
        seen = random.random((steps, features)) < 0.4
        parts = [random.normal(size=(steps, features)) * seen, seen, random.normal(size=(steps, rest))]
        for made, turn in ((given, slice(None)), (mirrored, slice(None, None, -1))):
            passed = times if turn.step is None else times[-1:] - times[::-1]
            x, mask, others = (part[turn] for part in parts)
            made[row, :steps] = np.concatenate([x, mask, elapsed(passed, mask), others], -1)
    held = torch.tensor(lengths)
    outputs, state = backward(torch.from_numpy(given), lengths=held)
    expected, end = onward(torch.from_numpy(mirrored), lengths=held)
    for row, steps in enumerate(lengths):
        torch.testing.assert_close(outputs[row, :steps].flip(0), expected[row, :steps])
    torch.testing.assert_close(state.h, end.h)
    alone, _ = backward(torch.from_numpy(given[1:2, :5]))
    torch.testing.assert_close(outputs[1:2, :5], alone)


def test_backwards_leaves_what_is_always_there() -> None:
    """A feature beside which no time is counted: it stands for a token, or for what holds at every step."""
    cell = random_cell(6, 2)
    inputs = torch.tensor([[[1.0, 2, 1, 1, 0, 0], [0, 2, 0, 1, 3, 0], [5, 2, 1, 1, 4, 0]]]).double()
    made = cell.backwards(inputs)
    assert made[0, :, 4].tolist() == [4, 1, 0]
    assert made[0, :, 5].tolist() == [0, 0, 0]
    torch.testing.assert_close(made[..., :4], inputs[..., :4])
