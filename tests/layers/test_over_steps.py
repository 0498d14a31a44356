"""The gradient of weights that a loop uses at each step is autograd's, made once."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from latchwork.cells import GRU
from latchwork.layers.over_steps import Product, Repeated, over_steps

WIDE = torch.float64


def chain(product, first: torch.Tensor, steps: int) -> torch.Tensor:
    """Each step reads what the one before gave."""
    found = [first]
    for _ in range(steps):
        found.append(product(found[-1]).tanh())
    return torch.stack(found[1:])


@pytest.mark.parametrize("shape", [(4, 5), (2, 3, 5)], ids=["rows", "rows of rows"])
def test_a_loop_has_autograds_gradients(shape: tuple[int, ...]) -> None:
    linear = nn.Linear(5, 5, dtype=WIDE)
    first = torch.randn(shape, dtype=WIDE, requires_grad=True)
    wanted = [first, linear.weight, linear.bias]
    cotangent = torch.randn(6, *shape, dtype=WIDE)
    plain = torch.autograd.grad(chain(linear, first, 6), wanted, cotangent)
    once = torch.autograd.grad(chain(Repeated(linear), first, 6), wanted, cotangent)
    torch.testing.assert_close(once, plain)


def test_weights_of_each_row() -> None:
    values = torch.randn(3, 4, 4, dtype=WIDE, requires_grad=True)
    first = torch.randn(3, 2, 4, dtype=WIDE, requires_grad=True)
    cotangent = torch.randn(5, 3, 2, 4, dtype=WIDE)
    plain = torch.autograd.grad(chain(lambda x: torch.bmm(x, values), first, 5), [first, values], cotangent)
    once = torch.autograd.grad(chain(Product(values), first, 5), [first, values], cotangent)
    torch.testing.assert_close(once, plain)


def test_a_backward_pass_for_other_gradients_leaves_nothing_behind() -> None:
    linear = nn.Linear(5, 5, dtype=WIDE)
    first = torch.randn(4, 5, dtype=WIDE, requires_grad=True)
    found = chain(Repeated(linear), first, 6)
    torch.autograd.grad(found.sum(), first, retain_graph=True)
    part = torch.autograd.grad(found[:3].sum(), linear.weight, retain_graph=True)
    torch.testing.assert_close(part, torch.autograd.grad(chain(linear, first, 3).sum(), linear.weight))
    whole = torch.autograd.grad(found.sum(), linear.weight, retain_graph=True)
    torch.testing.assert_close(whole, torch.autograd.grad(found.sum(), linear.weight))


@pytest.mark.parametrize("frozen", ["weight", "bias", "both"])
def test_frozen_parts_get_none(frozen: str) -> None:
    linear = nn.Linear(5, 5, dtype=WIDE)
    for name in ("weight", "bias"):
        getattr(linear, name).requires_grad_(frozen not in (name, "both"))
    first = torch.randn(4, 5, dtype=WIDE, requires_grad=True)
    chain(Repeated(linear), first, 3).sum().backward()
    found = {name: one.grad for name, one in linear.named_parameters()} | {"first": first.grad}
    linear.zero_grad()
    first.grad = None
    chain(linear, first, 3).sum().backward()
    wanted = {name: one.grad for name, one in linear.named_parameters()} | {"first": first.grad}
    assert {name for name, one in found.items() if one is None} == {name for name, one in wanted.items() if one is None}
    torch.testing.assert_close(found, wanted)


def test_types_under_autocast_are_those_of_a_linear_layer() -> None:
    linear, first = nn.Linear(5, 5), torch.randn(4, 5, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        plain, once = linear(first), Repeated(linear)(first)
        batch = Product(torch.randn(4, 5, 3))(torch.randn(4, 2, 5))
    assert plain.dtype == once.dtype == batch.dtype == torch.bfloat16
    once.float().sum().backward()
    assert linear.weight.grad is not None
    assert first.grad is not None
    assert linear.weight.grad.dtype == first.grad.dtype == torch.float32
    torch.testing.assert_close(linear.weight.grad, first.detach().sum(0).expand(5, 5), atol=0.05, rtol=0.02)


def test_the_copy_shares_the_weights_and_knows_the_cells_own_products() -> None:
    cell = GRU(3, 4)
    copy = over_steps(cell)
    assert isinstance(copy.recurrent, Repeated)
    assert isinstance(copy, GRU)
    assert type(cell.recurrent) is nn.Linear
    assert copy.recurrent.weight is cell.recurrent.weight
    part = over_steps(cell, ["recurrent"])
    assert type(part.input) is nn.Linear
    assert isinstance(part.recurrent, Repeated)


def test_parametrized_weights_get_their_gradient() -> None:
    linear = parametrizations.weight_norm(nn.Linear(5, 5, dtype=WIDE))
    first = torch.randn(4, 5, dtype=WIDE)
    wanted = list(linear.parameters())
    plain = torch.autograd.grad(chain(linear, first, 3).sum(), wanted)
    torch.testing.assert_close(torch.autograd.grad(chain(over_steps(linear), first, 3).sum(), wanted), plain)


def test_second_derivatives_are_refused() -> None:
    linear, first = nn.Linear(3, 3, dtype=WIDE), torch.randn(2, 3, dtype=WIDE, requires_grad=True)
    (slope,) = torch.autograd.grad(chain(Repeated(linear), first, 2).sum(), first, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope.sum().backward()


def test_without_gradients_it_is_the_product() -> None:
    linear, first = nn.Linear(3, 3), torch.randn(2, 3)
    with torch.inference_mode():
        torch.testing.assert_close(Repeated(linear)(first), F.linear(first, linear.weight, linear.bias))
