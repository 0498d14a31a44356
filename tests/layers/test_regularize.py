"""Masks from a counter, and what they do in a cell, against equations written by hand."""

import math

import pytest
import torch
from torch import nn

from latchwork.cells import CELLS, GRU, LSTM, RNN, SLSTM, GRUResetBefore, MinGRU
from latchwork.errors import ConfigError
from latchwork.kernels import loop
from latchwork.layers import (
    Dropout,
    Recurrent,
    RecurrentDropout,
    Zoneout,
    check_rate,
    draw_key,
    drop_weights,
    dropout,
    fold,
    mask,
)
from latchwork.layers.regularize import bits, regularized


def key(number: int = 7) -> torch.Tensor:
    return torch.tensor(number)


def test_the_counter_is_splitmix64() -> None:
    # The published outputs for the seed 1234567, as unsigned numbers.
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    assert [word % 2**64 for word in bits(4, key(1234567)).tolist()] == expected


@pytest.mark.parametrize("p", [0.1, 0.5, 0.85])
def test_the_keep_rate_is_right_and_elements_are_independent(p: float) -> None:
    count = 200_000
    dropped = mask((count,), p, key()).eq(0)
    assert mask((count,), p, key()).unique().tolist() == pytest.approx([0.0, 1 / (1 - p)])
    assert abs(dropped.double().mean().item() - p) < 4 * math.sqrt(p * (1 - p) / count)
    # Pairs at several distances, other sites and other keys: chi-square of the 2 x 2 table, one degree of freedom.
    others = [dropped.roll(lag) for lag in (1, 2, 3, 64)]
    others += [mask((count,), p, key(), 1).eq(0), mask((count,), p, key(8)).eq(0)]
    for other in others:
        a, b = dropped.double(), other.double()
        covariance = ((a - a.mean()) * (b - b.mean())).mean().item()
        chi2 = count * covariance**2 / (p * (1 - p)) ** 2
        assert chi2 < 15.1  # exceeded by chance once in 10 000


def test_masks_depend_on_key_site_and_place_alone() -> None:
    a = mask((4, 6), 0.5, key())
    assert torch.equal(a, mask((4, 6), 0.5, key()))
    assert torch.equal(a.flatten(), mask((24,), 0.5, key()))
    assert torch.equal(a, mask((4, 6), 0.5, key(), dtype=torch.float64).float())
    assert not torch.equal(a, mask((4, 6), 0.5, key(), 1))
    assert not torch.equal(a, mask((4, 6), 0.5, key(8)))
    assert not torch.equal(a, mask((4, 6), 0.5, fold(key(), 0)))


def test_masks_of_any_size() -> None:
    for shape in ((), (0,), (1,), (3, 0, 2), (7,)):
        assert mask(shape, 0.5, key()).shape == shape


@pytest.mark.parametrize("p", [20, 1.0, -0.1, math.nan, True])
def test_rates_out_of_range_are_errors(p: float) -> None:
    with pytest.raises(ConfigError, match="from 0"):
        Dropout(p)
    with pytest.raises(ConfigError, match="zoneout"):
        Recurrent(LSTM(2, 3), zoneout=p)


@pytest.mark.parametrize("p", ["0.5", None])
def test_rates_of_another_type_are_errors(p: object) -> None:
    with pytest.raises(ConfigError, match=f"dropout is {p!r}, expected a number"):
        check_rate("dropout", p)


def test_the_key_comes_from_torchs_generator_once_a_pass() -> None:
    layer = Recurrent(LSTM(2, 3), recurrent_dropout=0.5, zoneout=0.5, weight_drop=0.5)
    x = torch.randn(4, 5, 2)
    torch.manual_seed(1)
    first = layer(x)[0]
    after = torch.get_rng_state()
    assert not torch.equal(layer(x)[0], first)
    torch.manual_seed(1)
    assert torch.equal(layer(x)[0], first)
    torch.manual_seed(1)
    draw_key()
    assert torch.equal(torch.get_rng_state(), after)
    layer.eval()
    torch.manual_seed(1)
    before = torch.get_rng_state()
    layer(x)
    assert torch.equal(torch.get_rng_state(), before)


def test_dropout_module() -> None:
    layer = Dropout(0.5)
    x = torch.ones(50, 50)
    torch.manual_seed(3)
    expected = dropout(x, 0.5, draw_key())
    torch.manual_seed(3)
    assert torch.equal(layer(x), expected)
    assert expected.eq(0).any()
    assert torch.equal(layer.eval()(x), x)


def test_recurrent_dropout_by_hand() -> None:
    """One mask over all steps, on what the product sees; the GRU's z h sees the state whole."""
    torch.manual_seed(0)
    cell, x = GRU(2, 4), torch.randn(3, 6, 2)
    got, _ = loop.run(RecurrentDropout(cell, 0.5, key()), x)
    kept = mask((3, 4), 0.5, key(), 0)
    h = torch.zeros(3, 4)
    for t in range(6):
        r, z, n = cell.input(x[:, t]).chunk(3, -1)
        rr, rz, rn = cell.recurrent(h * kept).chunk(3, -1)
        r, z = (r + rr).sigmoid(), (z + rz).sigmoid()
        h = (1 - z) * (n + r * rn).tanh() + z * h
        torch.testing.assert_close(got[:, t], h)


def test_recurrent_dropout_masks_every_recurrent_product() -> None:
    torch.manual_seed(0)
    cell, x = GRUResetBefore(2, 4), torch.randn(3, 6, 2)
    got, _ = loop.run(RecurrentDropout(cell, 0.5, key()), x)
    gates, candidate = mask((3, 4), 0.5, key(), 0), mask((3, 4), 0.5, key(), 1)
    h = torch.zeros(3, 4)
    for t in range(6):
        r, z, n = cell.input(x[:, t]).chunk(3, -1)
        rr, rz = cell.recurrent(h * gates).chunk(2, -1)
        r, z = (r + rr).sigmoid(), (z + rz).sigmoid()
        h = (1 - z) * (n + cell.recurrent_candidate(r * h * candidate)).tanh() + z * h
        torch.testing.assert_close(got[:, t], h)


@pytest.mark.parametrize("training", [True, False])
def test_zoneout_by_hand(training: bool) -> None:
    torch.manual_seed(0)
    cell, x = LSTM(2, 4), torch.randn(3, 6, 2)
    got, end = loop.run(Zoneout(cell, 0.3, key() if training else None), x)
    held = [mask((3, 6, 4), 0.3, key(), site).eq(0).float() for site in (0, 1)]
    state = cell.initial_state(3)
    for t in range(6):
        _, after = cell.step(cell.project(x[:, t]), state)
        d = [part[:, t] if training else 0.3 for part in held]
        state = cell.State(*(a * old + (1 - a) * new for a, old, new in zip(d, state, after, strict=True)))
        torch.testing.assert_close(got[:, t], state.h)
    torch.testing.assert_close(tuple(end), tuple(state))


def test_zoneout_of_an_slstm_acts_on_h_alone() -> None:
    cell = SLSTM(2, 4)
    x_t, state = torch.randn(3, 2), loop.run(cell, torch.randn(3, 5, 2))[1]
    zoned = Zoneout(cell, 0.5)
    _, after = zoned.step(zoned.project(x_t), state)
    _, plain = cell.step(cell.project(x_t), state)
    torch.testing.assert_close(after.h, 0.5 * (state.h + plain.h))
    assert all(torch.equal(getattr(after, field), getattr(plain, field)) for field in ("c", "n", "m"))


def test_zoneout_of_a_projected_lstm() -> None:
    outputs, state = loop.run(Zoneout(LSTM(2, 5, proj_size=3), 0.5, key()), torch.randn(2, 4, 2))
    assert outputs.shape == (2, 4, 3)
    assert state.c.shape == (2, 5)


def test_dropped_weights_change_the_output_and_nothing_else() -> None:
    torch.manual_seed(0)
    cell, x = LSTM(2, 4), torch.randn(3, 6, 2)
    before = {name: value.clone() for name, value in cell.state_dict().items()}
    dropped = drop_weights(cell, 0.5, key())
    weight = cell.recurrent.weight * mask((16, 4), 0.5, key())
    assert torch.equal(dropped.recurrent.weight, weight)
    assert torch.equal(dropped.input.weight, cell.input.weight)
    got = loop.run(dropped, x)[0]
    assert not torch.allclose(got, loop.run(cell, x)[0])
    other = LSTM(2, 4)
    other.load_state_dict({**before, "recurrent.weight": weight.detach()})
    torch.testing.assert_close(got, loop.run(other, x)[0])
    assert all(torch.equal(value, before[name]) for name, value in cell.state_dict().items())
    got.sum().backward()
    assert cell.recurrent.weight.grad is not None
    # What was dropped gets no gradient, what was kept does.
    assert torch.equal(cell.recurrent.weight.grad.ne(0), weight.ne(0))


@pytest.mark.parametrize("name", CELLS)
def test_weight_drop_changes_the_output_in_training_only(name: str) -> None:
    cell, x = CELLS[name](2, 4), torch.randn(3, 6, 2)
    if not cell.recurrent_products():
        with pytest.raises(ConfigError, match="weight_drop acts on recurrent products"):
            Recurrent(cell, weight_drop=0.5)
        return
    layer, plain = Recurrent(cell, weight_drop=0.5), Recurrent(cell)
    assert not torch.allclose(layer(x)[0], plain(x)[0])
    assert torch.equal(layer.eval()(x)[0], plain(x)[0])


@pytest.mark.parametrize("name", CELLS)
def test_every_cell_under_everything_it_has(name: str) -> None:
    """Gradients flow, lengths hold, and an evaluation with p = 0 is the plain cell."""
    torch.manual_seed(0)
    cell = CELLS[name](2, 4)
    rate = 0.3 if cell.recurrent_products() else 0.0
    layer = Recurrent(cell, recurrent_dropout=rate, zoneout=0.3, weight_drop=rate)
    outputs, _ = layer(torch.randn(3, 6, 2), lengths=torch.tensor([6, 0, 2]))
    assert outputs[2, 2:].eq(0).all()
    outputs.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in layer.parameters())


def test_what_has_nothing_to_act_on_raises() -> None:
    with pytest.raises(ConfigError, match="MinGRU has none"):
        Recurrent(MinGRU(2, 3), recurrent_dropout=0.1)

    class Odd(RNN):
        def __init__(self) -> None:
            super().__init__(2, 3)
            self.recurrent = nn.Identity()  # type: ignore[assignment]

    with pytest.raises(ConfigError, match="tensors named weight"):
        drop_weights(Odd(), 0.1, key())


def test_in_evaluation_nothing_wraps_a_cell_without_zoneout() -> None:
    cell = LSTM(2, 3)
    assert regularized(cell, recurrent_dropout=0.5, weight_drop=0.5) is cell


@pytest.mark.gpu
def test_masks_are_the_same_bits_on_a_gpu() -> None:
    for shape in ((5,), (33, 17), (1001, 999)):
        a, b = mask(shape, 0.3, key()), mask(shape, 0.3, key(), device="cuda")
        assert torch.equal(a, b.cpu())


@pytest.mark.gpu
def test_the_same_seed_gives_the_same_numbers_on_a_gpu() -> None:
    layer = Recurrent(LSTM(2, 5), recurrent_dropout=0.5, zoneout=0.3, weight_drop=0.4).double()
    x = torch.randn(4, 7, 2, dtype=torch.float64)
    torch.manual_seed(5)
    expected = layer(x)[0]
    torch.manual_seed(5)
    torch.testing.assert_close(layer.cuda()(x.cuda())[0].cpu(), expected)
