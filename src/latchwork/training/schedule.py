"""The learning rate against the step, and which parameters decay."""

import math
import re
from typing import Any

from torch import nn

from latchwork.training.options import Training


def rate(step: int, options: Training) -> float:
    """The share of ``options.learning_rate`` with which step ``step`` (from 0) is made.

        warm-up of w steps:   (step + 1) / w
        after it, with p = (step - w) / (steps - w):
        cosine  (1 + cos πp) / 2      linear  1 - p      constant  1

    A pure function of the step: nothing to save, nothing to replay. Cosine: Loshchilov & Hutter 2017, arXiv:1608.03983.

    >>> [round(rate(step, Training(steps=6, warmup=2, schedule="linear")), 2) for step in range(6)]
    [0.5, 1.0, 1.0, 0.75, 0.5, 0.25]
    """
    steps, warmup = options.steps or 1, options.warmup_steps
    if step < warmup:
        return (step + 1) / warmup
    position = (step - warmup) / max(1, steps - warmup)
    if options.schedule == "cosine":
        return (1 + math.cos(math.pi * min(1.0, position))) / 2
    if options.schedule == "linear":
        return max(0.0, 1 - position)
    return 1.0


def parameter_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """The trainable parameters in groups for the optimizer: by whether they decay, and by their share of the rate.

    Weight matrices decay. Biases, the parameters of normalisation layers and everything with one dimension or none do
    not: shrinking them takes capacity away and regularises nothing. A module with a ``rate_scale`` has its parameters,
    and those of the modules inside it, trained at that share of the learning rate.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    scales: dict[str, float] = {}
    seen: set[int] = set()
    for path, owner in module.named_modules():
        above = scales[path.rpartition(".")[0]] if path else 1.0
        scales[path] = above * float(getattr(owner, "rate_scale", 1.0))
        norm = re.search(r"norm(\dd)?$", type(owner).__name__.lower()) is not None
        for name, parameter in owner.named_parameters(recurse=False):
            if not parameter.requires_grad or id(parameter) in seen:
                continue
            seen.add(id(parameter))
            spare = norm or parameter.dim() < 2 or "bias" in name.lower()
            groups.setdefault((0.0 if spare else weight_decay, scales[path]), []).append(parameter)
    return [
        {"params": parameters, "weight_decay": decay, "rate_scale": scale}
        for (decay, scale), parameters in groups.items()
    ]
