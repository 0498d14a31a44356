import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from latchwork.cells import GRU
from latchwork.errors import ConfigError
from latchwork.layers import POOLINGS, Bidirectional, Pooling, Recurrent, check_pooling

LENGTHS = torch.tensor([5, 0, 2, 1])


@pytest.mark.parametrize("kind", POOLINGS)
@pytest.mark.parametrize("backward", [0, 3])
def test_padded_is_alone_and_padding_is_never_read(kind: str, backward: int) -> None:
    torch.manual_seed(0)
    pooling = Pooling(kind, 6, backward=backward)
    outputs = torch.randn(4, 5, 6)
    bad = outputs.clone()
    for row, length in enumerate(LENGTHS):
        bad[row, length:] = torch.nan
    bad.requires_grad_()
    pooled = pooling(bad, LENGTHS)
    pooled.square().sum().backward()
    for row, length in enumerate(LENGTHS.tolist()):
        alone = pooling(outputs[row : row + 1, :length])
        torch.testing.assert_close(pooled[row : row + 1], alone)
        assert bad.grad[row, length:].eq(0).all()
    assert pooled[1].eq(0).all()
    assert bad.grad.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in pooling.parameters())


@given(st.integers(1, 6), st.integers(0, 4), st.integers(0, 99))
@settings(max_examples=30)
def test_values(time: int, less: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    outputs = torch.randn(1, time, 4, generator=generator)
    steps = max(time - less, 1)
    lengths, own = torch.tensor([steps]), outputs[0, :steps]
    torch.testing.assert_close(Pooling("mean", 4)(outputs, lengths)[0], own.mean(0))
    assert torch.equal(Pooling("max", 4)(outputs, lengths)[0], own.amax(0))
    assert torch.equal(Pooling("last", 4)(outputs, lengths)[0], own[-1])
    attention = Pooling("attention", 4)
    weights = attention.weights(outputs, lengths)
    assert weights.sum().item() == pytest.approx(1, abs=1e-5)
    assert weights[0, steps:].eq(0).all()
    torch.testing.assert_close(attention(outputs, lengths)[0], weights[0] @ outputs[0])


def test_last_of_two_directions_is_their_states_at_their_ends() -> None:
    layer = Bidirectional(Recurrent(GRU(3, 4)), Recurrent(GRU(3, 2), reverse=True))
    lengths = torch.tensor([6, 3, 1])
    outputs, (onward, backward) = layer(torch.randn(3, 6, 3), lengths=lengths)
    pooled = Pooling("last", 6, backward=2)(outputs, lengths)
    torch.testing.assert_close(pooled, torch.cat((onward.h, backward.h), -1))


def test_every_parameter_of_attention_learns() -> None:
    pooling = Pooling("attention", 6).double()
    outputs = torch.randn(4, 5, 6, dtype=torch.float64, requires_grad=True)
    names = [name for name, _ in pooling.named_parameters()]

    def run(x: torch.Tensor, *parameters: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(pooling, dict(zip(names, parameters, strict=True)), (x, LENGTHS))

    assert torch.autograd.gradcheck(run, (outputs, *pooling.parameters()))
    pooling(outputs, LENGTHS).square().sum().backward()
    assert all(parameter.grad.ne(0).any() for parameter in pooling.parameters())


def test_no_steps_at_all() -> None:
    for kind in POOLINGS:
        assert Pooling(kind, 3)(torch.zeros(2, 0, 3), torch.tensor([0, 0])).eq(0).all()


def test_errors() -> None:
    with pytest.raises(ConfigError, match='did you mean "attention"'):
        check_pooling("atention")
    with pytest.raises(ConfigError, match="only attention has weights"):
        Pooling("mean", 3).weights(torch.zeros(1, 2, 3))
    with pytest.raises(ConfigError, match="width is 3, backward 4"):
        Pooling("mean", 3, backward=4)
