import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from latchwork.cells import LSTM
from latchwork.layers import bound


def test_the_copy_computes_with_the_tensors_and_the_module_is_untouched() -> None:
    cell = LSTM(2, 3)
    before = dict(cell.named_parameters())
    weight = torch.randn(12, 3, requires_grad=True)
    copy = bound(cell, {"recurrent.weight": weight, "input.bias": torch.zeros(12)})
    assert copy.recurrent.weight is weight
    assert copy.recurrent.bias is cell.recurrent.bias
    assert copy.input.bias.eq(0).all()
    assert isinstance(copy, LSTM)
    assert all(dict(cell.named_parameters())[name] is value for name, value in before.items())
    copy.recurrent(torch.ones(1, 3)).sum().backward()
    assert weight.grad is not None


def test_a_parametrized_tensor_is_replaced_like_any_other() -> None:
    class Double(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * 2

    cell = LSTM(2, 3)
    parametrize.register_parametrization(cell.recurrent, "weight", Double())
    same = bound(cell, {"recurrent.bias": cell.recurrent.bias})
    assert torch.equal(same.recurrent.weight, cell.recurrent.weight)
    weight = torch.randn(12, 3)
    assert torch.equal(bound(cell, {"recurrent.weight": weight}).recurrent.weight, weight)
    assert parametrize.is_parametrized(cell.recurrent)


def test_unknown_names() -> None:
    with pytest.raises(KeyError, match=r"no parameter recurrent\.wait"):
        bound(LSTM(2, 3), {"recurrent.wait": torch.zeros(1)})
