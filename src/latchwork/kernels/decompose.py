"""ATen operations in terms of fewer, down to those that a program has."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch._decomp import core_aten_decompositions, get_decompositions

from latchwork.types import Tensor

aten = torch.ops.aten


@functools.cache
def decompositions() -> dict[Any, Callable[..., Any]]:
    """Core ATen, and from there down to what a program has."""
    table: dict[Any, Callable[..., Any]] = dict(core_aten_decompositions())
    more: Any = get_decompositions(
        [
            aten._softmax, aten._softmax_backward_data, aten._log_softmax, aten._log_softmax_backward_data,
            aten.native_layer_norm_backward, aten.native_group_norm_backward, aten.gelu, aten.gelu_backward,
            aten.leaky_relu, aten.leaky_relu_backward, aten.elu, aten.elu_backward, aten.softplus,
            aten.softplus_backward, aten.silu, aten.silu_backward, aten.mish, aten.mish_backward, aten.hardtanh,
            aten.hardtanh_backward, aten.hardsigmoid, aten.hardsigmoid_backward, aten.hardswish,
            aten.hardswish_backward, aten.sigmoid_backward, aten.tanh_backward, aten.threshold_backward,
            aten.log_sigmoid_forward, aten.log_sigmoid_backward, aten.slice_backward, aten.select_backward,
            aten.addcmul, aten.addcdiv, aten.lerp, aten.baddbmm, aten.mv, aten.addmv, aten.dot, aten.logsumexp,
            aten.logaddexp, aten.std, aten.std_mean, aten.square, aten.masked_fill, aten.rsub,
            aten.clamp_min, aten.clamp_max,
        ]
    )  # fmt: skip
    table.update(more)
    table[aten.linalg_vector_norm.default] = _vector_norm
    table[aten.native_layer_norm.default] = _layer_norm
    table[aten.native_layer_norm_backward.default] = _layer_norm_backward
    table[aten.log_sigmoid_backward.default] = lambda grad, x, buffer: grad * torch.sigmoid(-x)
    table[aten.native_group_norm.default] = _group_norm
    table[aten.var.correction] = lambda x, dim=None, *, correction=None, keepdim=False: _variance(
        x, dim, correction, keepdim
    )[0]
    table[aten.var_mean.correction] = lambda x, dim=None, *, correction=None, keepdim=False: _variance(
        x, dim, correction, keepdim
    )
    for keep in (aten.sigmoid, aten.tanh, aten.relu, aten.addmm, aten.expm1, aten.log1p, aten.abs, aten.rsqrt):
        for overload in keep.overloads():
            table.pop(getattr(keep, overload), None)
    return table


def _variance(x: Tensor, dim: Any, correction: float | None, keepdim: bool) -> tuple[Tensor, Tensor]:
    dims = list(range(x.dim())) if dim is None or len(dim) == 0 else [d % x.dim() for d in dim]
    count = 1
    for d in dims:
        count *= x.shape[d]
    mean = x.sum(dims, keepdim=True) * (1.0 / count)
    centred = x - mean
    variance = (centred * centred).sum(dims, keepdim=keepdim) / max(
        0, count - (1 if correction is None else correction)
    )
    return variance, mean if keepdim else mean.squeeze(dims)


def _vector_norm(x: Tensor, ord: float = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    dims = list(range(x.dim())) if dim is None else dim
    if ord == 2:
        return (x * x).sum(dims, keepdim=keepdim).sqrt()
    if ord == 1:
        return x.abs().sum(dims, keepdim=keepdim)
    if ord == float("inf"):
        return x.abs().amax(dims, keepdim=keepdim)
    return NotImplemented


def _layer_norm(
    x: Tensor, shape: Sequence[int], weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    variance, mean = _variance(x, list(range(x.dim() - len(shape), x.dim())), 0, True)
    scale = (variance + eps).rsqrt()
    y = (x - mean) * scale
    y = y if weight is None else y * weight
    return y if bias is None else y + bias, mean, scale


def _layer_norm_backward(
    grad: Tensor,
    x: Tensor,
    shape: Sequence[int],
    mean: Tensor,
    scale: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    mask: Sequence[bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    first = x.dim() - len(shape)
    inside, outside = list(range(first, x.dim())), list(range(first))
    y = (x - mean) * scale
    inner = grad if weight is None else grad * weight
    part = 1.0 / math.prod(shape)
    along = (inner * y).sum(inside, keepdim=True) * part
    grad_x = (inner - inner.sum(inside, keepdim=True) * part - y * along) * scale
    grad_weight = (grad * y).sum(outside) if mask[1] and outside else grad * y if mask[1] else None
    grad_bias = grad.sum(outside) if mask[2] and outside else grad if mask[2] else None
    return grad_x if mask[0] else None, grad_weight, grad_bias


def _group_norm(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, n: int, channels: int, rest: int, groups: int, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    grouped = x.reshape(n, groups, channels // groups * rest)
    variance, mean = _variance(grouped, [2], 0, True)
    scale = (variance + eps).rsqrt()
    y = ((grouped - mean) * scale).reshape(x.shape)
    ones = [1] * (x.dim() - 2)
    y = y if weight is None else y * weight.reshape(channels, *ones)
    return y if bias is None else y + bias.reshape(channels, *ones), mean.squeeze(2), scale.squeeze(2)
