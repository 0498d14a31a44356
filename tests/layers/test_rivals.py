"""Bodies that stand in the recurrent layers' place: padding is never read, every weight learns."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from latchwork.errors import ConfigError
from latchwork.layers import RIVALS, FeedForward, Network, Transformer, rival

NETWORK = Network(hidden_size=8, dropout=0.3, bidirectional=True)


def body(name: str, width: int = 5) -> nn.Module:
    torch.manual_seed(1)
    return rival(name, NETWORK)(width)


@pytest.mark.parametrize("name", RIVALS)
@given(lengths=st.lists(st.integers(0, 7), min_size=1, max_size=4), seed=st.integers(0, 99))
@settings(max_examples=20)
def test_padded_is_alone_and_padding_is_never_read(name: str, lengths: list[int], seed: int) -> None:
    made = body(name).eval()
    rows = torch.tensor(lengths)
    values = torch.randn(len(lengths), max(lengths) + 2, 5, generator=torch.Generator().manual_seed(seed))
    spoilt = values.clone()
    for row, length in enumerate(lengths):
        spoilt[row, length:] = torch.nan
    outputs, _ = made(values, lengths=rows)
    # In evaluation torch takes another way where no gradient is asked for.
    with torch.no_grad():
        quick, _ = made(spoilt, lengths=rows)
    torch.testing.assert_close(quick, outputs, rtol=1e-4, atol=2e-5)
    torch.testing.assert_close(made(spoilt, lengths=rows)[0], outputs, rtol=0, atol=0)
    for row, length in enumerate(lengths):
        assert not outputs[row, length:].any()
        if length:
            alone, _ = made(values[row : row + 1, :length])
            torch.testing.assert_close(alone[0], outputs[row, :length], rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("name", RIVALS)
def test_every_weight_has_a_gradient_that_is_finite_even_with_an_empty_row(name: str) -> None:
    made = body(name).train()
    outputs, state = made(torch.randn(3, 6, 5), lengths=torch.tensor([6, 2, 0]))
    outputs.square().sum().backward()
    assert state == ()
    assert outputs.shape == (3, 6, made.output_size)
    for parameter in made.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()
        assert parameter.grad.any()


@pytest.mark.parametrize("name", RIVALS)
def test_no_step_and_nan_in_one_row_stays_there(name: str) -> None:
    made = body(name).eval()
    assert made(torch.zeros(2, 0, 5), lengths=torch.tensor([0, 0]))[0].shape == (2, 0, made.output_size)
    values = torch.randn(2, 4, 5)
    clean, _ = made(values)
    values[0, 1] = torch.nan
    torch.testing.assert_close(made(values)[0][1], clean[1])


def test_a_feed_forward_body_knows_no_order_and_a_transformer_does() -> None:
    values, turned = torch.randn(2, 6, 5), torch.arange(5, -1, -1)
    each = body("feedforward").eval()
    torch.testing.assert_close(each(values[:, turned])[0], each(values)[0][:, turned])
    whole = body("transformer").eval()
    assert (whole(values[:, turned])[0] - whole(values)[0][:, turned]).abs().max() > 1e-3


def test_a_transformer_looks_at_every_step_of_its_row() -> None:
    values = torch.randn(1, 6, 5, requires_grad=True)
    body("transformer").eval()(values)[0][0, 0].square().sum().backward()
    assert values.grad is not None
    assert (values.grad[0].abs().sum(1) > 0).all()


def test_layers_of_a_transformer_start_differently() -> None:
    made: Any = Transformer(5, 8)
    first, second = (layer.linear1.weight for layer in made.layers)
    assert not torch.equal(first, second)


def test_widths_and_heads() -> None:
    assert rival("feedforward", NETWORK)(3).output_size == 16
    assert rival("transformer", NETWORK)(3).output_size == 8
    assert Transformer(3, 10).heads == 2
    assert Transformer(3, 7)(torch.zeros(1, 2, 3))[0].shape == (1, 2, 7)
    assert len(rival("transformer", Network(hidden_size=8, layers=3))(3).layers) == 3


def test_bad_names_and_sizes_are_refused() -> None:
    with pytest.raises(ConfigError, match='did you mean "transformer"'):
        rival("transfomer", NETWORK)
    with pytest.raises(ConfigError, match="3 heads can't share a width of 8"):
        Transformer(3, 8, heads=3)
    with pytest.raises(ConfigError, match="at least 1"):
        FeedForward(3, 0)
