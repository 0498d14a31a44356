"""-log p under a softmax, some rows at a time, is torch's cross entropy, and so is its gradient."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from latchwork.layers import softmax
from latchwork.layers.softmax import softmax_nats


def both(
    rows: int, words: int, smoothing: float, dtype: torch.dtype = torch.float64, bias: bool = True
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """What ours and torch's give: the nats, and the gradients of each row weighed by itself."""
    output = nn.Linear(4, words, dtype=dtype, bias=bias)
    hidden = torch.randn(rows, 4, dtype=dtype, requires_grad=True)
    targets, weights = torch.randint(0, words, (rows,)), torch.randn(rows, dtype=dtype)
    wanted = [hidden, *output.parameters()]
    ours = softmax_nats(output, hidden, targets, smoothing=smoothing)
    torchs = F.cross_entropy(output(hidden), targets, reduction="none", label_smoothing=smoothing)
    return tuple([one, *torch.autograd.grad(one, wanted, weights)] for one in (ours, torchs))  # type: ignore[return-value]


@given(
    rows=st.integers(0, 9),
    words=st.integers(1, 12),
    at_once=st.integers(1, 40),
    smoothing=st.sampled_from([0.0, 0.1, 0.9]),
    bias=st.booleans(),
)
def test_values_and_gradients_are_torchs(rows: int, words: int, at_once: int, smoothing: float, bias: bool) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(softmax, "AT_ONCE", at_once)
        ours, torchs = both(rows, words, smoothing, bias=bias)
    torch.testing.assert_close(ours, torchs)


def test_float32() -> None:
    ours, torchs = both(300, 5000, 0.1, torch.float32)
    torch.testing.assert_close(ours, torchs, atol=1e-4, rtol=1e-4)


def test_under_autocast_the_product_is_made_in_its_type_and_the_rest_in_float32() -> None:
    output, hidden = nn.Linear(8, 50), torch.randn(20, 8, requires_grad=True)
    targets = torch.randint(0, 50, (20,))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = softmax_nats(output, hidden, targets)
    assert found.dtype == torch.float32
    found.mean().backward()
    wanted = F.cross_entropy(output(hidden), targets, reduction="none")
    torch.testing.assert_close(found, wanted, atol=0.02, rtol=0.02)
    gradients = [hidden.grad, output.weight.grad, output.bias.grad]
    exact = torch.autograd.grad(wanted.mean(), [hidden, output.weight, output.bias])
    for one, other in zip(gradients, exact, strict=True):
        assert one is not None
        assert one.dtype == torch.float32
        torch.testing.assert_close(one, other, atol=2e-3, rtol=0.03)


def test_frozen_parts_get_none_and_no_gradient_makes_no_array() -> None:
    output, hidden = nn.Linear(4, 6).requires_grad_(False), torch.randn(3, 4, requires_grad=True)
    targets = torch.tensor([0, 5, 2])
    softmax_nats(output, hidden, targets).sum().backward()
    assert hidden.grad is not None
    assert output.weight.grad is None
    found = softmax_nats(output, hidden.detach(), targets)
    assert found.grad_fn is None
    torch.testing.assert_close(found, F.cross_entropy(output(hidden), targets, reduction="none").detach())


def test_scores_far_apart_stay_finite() -> None:
    output = nn.Linear(1, 3)
    output.weight.data = torch.tensor([[1e4], [0.0], [-1e4]])
    output.bias.data.zero_()
    found = softmax_nats(output, torch.ones(3, 1), torch.tensor([0, 1, 2]))
    torch.testing.assert_close(found, torch.tensor([0.0, 1e4, 2e4]))
