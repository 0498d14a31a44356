"""-log p of targets under a softmax over many words, a few rows at a time."""

from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from latchwork.types import Float, Int, Tensor

AT_ONCE = 1 << 20
"""Scores that are computed with at once: 4 MiB, which stay in a processor's cache."""


def softmax_nats(
    output: nn.Linear,
    hidden: Float[Tensor, "rows width"],
    targets: Int[Tensor, " rows"],
    *,
    smoothing: float = 0.0,
) -> Float[Tensor, " rows"]:
    """-log softmax(W h + b)[target] of each row, float32 at least; smoothing: a part of the target that is spread
    evenly over all words (Szegedy et al. 2016, arXiv:1512.00567).

    What torch.nn.functional.cross_entropy of all scores says, which makes several arrays of rows × words on the way to
    the gradient. Here there is one, the gradient of the scores, in the type of the product, and none where no gradient
    is wanted. Second derivatives are refused.
    """
    found: Tensor = _Nats.apply(hidden, output.weight, output.bias, targets, smoothing)
    return found


class _Nats(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, smoothing: float
    ) -> Tensor:
        kind = hidden.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype
        wide = torch.float64 if dtype == torch.float64 else torch.float32
        used, factor = hidden.to(dtype), weight.to(dtype)
        wanted = any(ctx.needs_input_grad)
        words = len(weight)
        slope = used.new_empty(len(used), words) if wanted else None
        found = torch.empty(len(used), dtype=wide, device=hidden.device)
        some = max(1, AT_ONCE // max(1, words))
        for at in range(0, len(used), some):
            here = slice(at, at + some)
            scores = F.linear(used[here], factor).to(wide)
            if bias is not None:
                scores += bias
            log_p = scores.log_softmax(-1)
            target = targets[here].unsqueeze(-1)
            nats = -log_p.gather(-1, target).squeeze(-1)
            if smoothing:
                nats = (1 - smoothing) * nats - smoothing * log_p.mean(-1)
            found[here] = nats
            if slope is not None:
                p = log_p.exp_()
                if smoothing:
                    p -= smoothing / words
                slope[here] = p.scatter_add_(-1, target, p.new_full(target.shape, smoothing - 1))
        if slope is not None:
            ctx.save_for_backward(slope, used, factor)
            ctx.types = hidden.dtype, weight.dtype, None if bias is None else bias.dtype
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None, None]:  # type: ignore[override]
        (gradient,) = gradients
        slope, used, factor = ctx.saved_tensors
        # A row's gradient is its slope times a number, and the number is cheaper on the narrow side of a product.
        number = gradient.to(used.dtype).unsqueeze(-1)
        wanted = ctx.needs_input_grad
        hidden = ((slope @ factor) * number).to(ctx.types[0]) if wanted[0] else None
        weight = (slope.t() @ (used * number)).to(ctx.types[1]) if wanted[1] else None
        bias = (number.t() @ slope).squeeze(0).to(ctx.types[2]) if wanted[2] else None
        return hidden, weight, bias, None, None


__all__ = ["softmax_nats"]
