"""Products of a loop whose weights are the same at every step: their gradient is made once, of all steps together."""

from collections.abc import Iterable
from typing import Any, TypeVar

import torch
from torch import nn
from torch.autograd.function import once_differentiable

from latchwork.layers.bind import shallow
from latchwork.types import Float, Tensor

M = TypeVar("M", bound=nn.Module)


def over_steps(module: M, parts: Iterable[str] = ()) -> M:
    """A copy of ``module`` for the steps of one pass, in which every linear product is made with :class:`Product`.

    parts: only these of its modules. The copy shares all weights and is to be thrown away after the pass.
    """
    copy = shallow(module)
    if type(copy) is nn.Linear:
        return Repeated(copy)  # type: ignore[return-value]
    for name, child in copy._modules.items():
        if child is not None and (name in parts or not parts):
            copy._modules[name] = over_steps(child)
    return copy


class Repeated(nn.Linear):
    """A linear product that is made at many steps, for one pass."""

    def __init__(self, linear: nn.Linear) -> None:
        nn.Module.__init__(self)
        self.__dict__.update(linear.__dict__)
        self._product: Product | None = None

    def forward(self, input: Float[Tensor, "*batch inputs"]) -> Float[Tensor, "*batch outputs"]:
        if self._product is None:
            self._product = Product(self.weight.t(), self.bias)
        return self._product(input)


class Product:
    """x W + b, or without b, at many steps of a loop: W [inputs, outputs], or one for each row [rows, inputs, outputs].

    Autograd makes the gradient of W anew at each step and adds it up: a product of few rows and a sum over a whole
    matrix for every step. Here the steps keep what the gradient is made of, and it is one product over all of them. In
    the backward pass the steps come before what they all hold on to, which is where it is made.

    Under autocast it computes in autocast's type, as a linear layer does. Second derivatives are refused.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        self._kept = _Kept(weight, bias)
        self._token: Tensor | None = None
        if torch.is_grad_enabled() and (weight.requires_grad or (bias is not None and bias.requires_grad)):
            self._token = _Weights.apply(weight, bias, self._kept)

    def __call__(self, inputs: Float[Tensor, "*batch inputs"]) -> Float[Tensor, "*batch outputs"]:
        result: Tensor = _Step.apply(inputs, self._token, self._kept)
        return result


class _Kept:
    """The weights in the type that is computed in, and what a backward pass leaves for their gradient."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        kind = weight.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype
        self.weight = weight.detach().to(dtype)
        self.bias = None if bias is None else bias.detach().to(dtype)
        self.steps: list[tuple[Tensor, Tensor]] = []
        self.backward = -1

    def add(self, inputs: Tensor, gradient: Tensor) -> None:
        # A backward pass that wanted other gradients alone leaves its steps behind.
        now = torch._C._current_graph_task_id()
        if now != self.backward:
            self.steps, self.backward = [], now
        if self.weight.dim() == 2:
            inputs, gradient = inputs.flatten(0, -2), gradient.flatten(0, -2)
        self.steps.append((inputs, gradient))


class _Weights(torch.autograd.Function):
    """The weights as something that steps hold on to: a number that says nothing."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, bias: Tensor | None, kept: _Kept) -> Tensor:
        ctx.kept, ctx.bias = kept, bias
        ctx.dtype = weight.dtype
        return weight.new_zeros(())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *_: Tensor) -> tuple[Tensor | None, Tensor | None, None]:  # type: ignore[override]
        steps, ctx.kept.steps = ctx.kept.steps, []
        inputs, gradients = (torch.cat(parts, -2) for parts in zip(*steps, strict=True))
        weight = (inputs.mT @ gradients).to(ctx.dtype) if ctx.needs_input_grad[0] else None
        bias = gradients.sum(0, dtype=ctx.bias.dtype) if ctx.needs_input_grad[1] else None
        return weight, bias, None


class _Step(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, token: Tensor | None, kept: _Kept) -> Tensor:
        ctx.kept, ctx.dtype = kept, inputs.dtype
        used = inputs.to(kept.weight.dtype)
        ctx.save_for_backward(used, token)
        results = used @ kept.weight
        return results if kept.bias is None else results.add_(kept.bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:  # type: ignore[override]
        (gradient,) = gradients
        inputs, token = ctx.saved_tensors
        if token is not None:
            ctx.kept.add(inputs, gradient)
        own = (gradient @ ctx.kept.weight.mT).to(ctx.dtype) if ctx.needs_input_grad[0] else None
        return own, None if token is None else torch.zeros_like(token), None


__all__ = ["Product", "Repeated", "over_steps"]
