import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from latchwork.cells import CELLS, GRU, LSTM
from latchwork.errors import ConfigError, DataError, StateError
from latchwork.layers import BatchNorm, Bidirectional, LayerNorm, Network, Recurrent, Stack, draw_key, dropout, fold
from latchwork.sequences import flatten, select


def test_equals_its_equation() -> None:
    torch.manual_seed(0)
    layers = [Recurrent(GRU(3, 4)), Recurrent(LSTM(4, 4)), Recurrent(GRU(4, 4))]
    stack = Stack(layers, dropout=0.4, residual=True, norm="layer")
    x = torch.randn(2, 5, 3)
    key = draw_key()
    got, state = stack(x, key=key)
    below = layers[0](x)[0]
    for index in (1, 2):
        above = dropout(stack.norms[index - 1](below), 0.4, fold(key, index))
        below = layers[index](above)[0] + below
    torch.testing.assert_close(got, below)
    assert [type(part).__name__ for part in state] == ["HiddenState", "LSTMState", "HiddenState"]


def test_the_first_layer_is_skipped_over_where_widths_agree_only() -> None:
    x = torch.randn(2, 5, 4)
    layer = Recurrent(GRU(4, 4))
    assert torch.equal(Stack([layer], residual=True)(x)[0], layer(x)[0] + x)
    narrow = Recurrent(GRU(4, 3))
    assert torch.equal(Stack([narrow], residual=True)(x)[0], narrow(x)[0])


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("norm", [None, "layer", "batch"])
def test_stepped_equals_run_for_any_chunks(name: str, norm: str | None) -> None:
    torch.manual_seed(0)
    stack = Network(name, hidden_size=4, layers=3, residual=True, norm=norm, dropout=0.3, zoneout=0.1).build(2)
    for _ in range(3):
        stack(torch.randn(8, 6, 2))
    stack.eval()
    x = torch.randn(3, 7, 2)
    expected, end = stack(x)
    state, outputs = stack.initial_state(3), []
    for x_t in x.unbind(1):
        output, state = stack.step(x_t, state)
        outputs.append(output)
    torch.testing.assert_close(torch.stack(outputs, 1), expected)
    first, state = stack(x[:, :3])
    second, state = stack(x[:, 3:], state)
    torch.testing.assert_close(torch.cat((first, second), 1), expected)
    for got, leaf in zip(flatten(state).values(), flatten(end).values(), strict=True):
        torch.testing.assert_close(got, leaf)


@settings(max_examples=15)
@given(
    lengths=st.lists(st.integers(0, 5), min_size=2, max_size=4), bidirectional=st.booleans(), seed=st.integers(0, 99)
)
def test_padded_equals_alone_whatever_the_padding(lengths: list[int], bidirectional: bool, seed: int) -> None:
    torch.manual_seed(seed)
    stack = Network("gru", hidden_size=3, layers=2, residual=True, norm="layer", bidirectional=bidirectional).build(6)
    x = torch.randn(len(lengths), 5, 6)
    for row, length in enumerate(lengths):
        x[row, length:] = torch.nan
    outputs, state = stack(x, lengths=torch.tensor(lengths))
    for row, length in enumerate(lengths):
        alone, end = stack(x[row : row + 1, :length])
        torch.testing.assert_close(outputs[row, :length], alone[0])
        assert outputs[row, length:].eq(0).all()
        for got, leaf in zip(flatten(select(state, [row])).values(), flatten(end).values(), strict=True):
            torch.testing.assert_close(got, leaf)


def test_the_same_seed_gives_the_same_masks_and_one_draw_is_made() -> None:
    stack = Network("lstm", hidden_size=4, layers=2, dropout=0.5, recurrent_dropout=0.5, bidirectional=True).build(2)
    x = torch.randn(3, 5, 2)
    torch.manual_seed(1)
    first = stack(x)[0]
    after = torch.get_rng_state()
    torch.manual_seed(1)
    draw_key()
    assert torch.equal(torch.get_rng_state(), after)
    torch.manual_seed(1)
    assert torch.equal(stack(x)[0], first)
    assert not torch.equal(stack(x)[0], first)


def test_checks() -> None:
    with pytest.raises(ConfigError, match="no layers"):
        Stack([])
    with pytest.raises(ConfigError, match="layer 0 gives 3 outputs, layer 1 takes 4"):
        Stack([Recurrent(GRU(2, 3)), Recurrent(GRU(4, 3))])
    with pytest.raises(ConfigError, match='did you mean "layer"'):
        Stack([Recurrent(GRU(2, 3))], norm="layr")
    with pytest.raises(ConfigError, match="dropout"):
        Stack([Recurrent(GRU(2, 3))], dropout=20)
    stack = Stack([Recurrent(GRU(2, 3))])
    with pytest.raises(StateError, match="one for each layer"):
        stack(torch.zeros(1, 2, 2), ())
    both = Stack([Bidirectional(Recurrent(GRU(2, 3)), Recurrent(GRU(2, 3), reverse=True))])
    assert both.bidirectional
    with pytest.raises(StateError, match="looks into the future"):
        both.step(torch.zeros(1, 2), both.initial_state(1))


def test_batch_norm_counts_the_steps_that_exist() -> None:
    torch.manual_seed(0)
    ours, torchs = BatchNorm(3), nn.BatchNorm1d(3)
    x, lengths = torch.randn(4, 6, 3), torch.tensor([6, 2, 0, 3])
    there = torch.arange(6) < lengths[:, None]
    got = ours(x.masked_fill(~there[..., None], torch.nan), lengths)
    torch.testing.assert_close(got[there], torchs(x[there]))
    assert got[~there].eq(0).all()
    torch.testing.assert_close(ours.running_var, torchs.running_var)
    ours.eval()
    torchs.eval()
    torch.testing.assert_close(ours(x)[2, 3], torchs(x[2, 3:4])[0])
    with pytest.raises(DataError, match="at least 2"):
        BatchNorm(3)(x[:1, :1])


def test_layer_norm_is_torchs() -> None:
    x = torch.randn(2, 4, 3)
    torch.testing.assert_close(LayerNorm(3)(x, torch.tensor([1, 4])), nn.LayerNorm(3)(x))


@pytest.mark.gpu
def test_a_stack_gives_the_same_numbers_on_a_gpu() -> None:
    network = Network(
        "lstm", hidden_size=4, layers=3, dropout=0.5, recurrent_dropout=0.3, bidirectional=True, norm="batch"
    )
    x, lengths = torch.randn(3, 5, 2, dtype=torch.float64), torch.tensor([5, 3, 1])
    results = []
    for device in ("cpu", "cuda"):
        torch.manual_seed(1)
        stack = network.build(2, device=device, dtype=torch.float64)
        outputs, _ = stack(x.to(device), lengths=lengths.to(device))
        results.append(outputs.cpu())
    torch.testing.assert_close(*results)
