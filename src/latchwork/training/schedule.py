"""The learning rate against the step, which parameters decay, and which learn slower or later than others."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from torch import nn

from latchwork.errors import ConfigError, did_you_mean
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


class Group(NamedTuple):
    """Parameters that learn at their own rate, or later than others.

    names  of parameters, or of modules for all inside them; where two groups name one, the longer name counts
    rate   share of the learning rate
    start  the step (from 0) from which on they learn
    """

    names: tuple[str, ...]
    rate: float = 1.0
    start: int = 0


def parameter_groups(module: nn.Module, weight_decay: float, groups: Sequence[Group] = ()) -> list[dict[str, Any]]:
    """The trainable parameters in groups for the optimizer: by whether they decay, share of the rate, start.

    Weight matrices decay. Biases, the parameters of normalisation layers and everything with one dimension or none do
    not: shrinking them takes capacity away and regularises nothing. A module with a ``rate_scale`` has its parameters,
    and those of the modules inside it, trained at that share of the learning rate; ``groups`` come on top of that.

    Raises :class:`ConfigError` where a group names nothing.
    """
    named = {name: group for group in groups for name in group.names}
    _check_names(module, named)
    made: dict[tuple[float, float, int], list[nn.Parameter]] = {}
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
            own = _group(f"{path}.{name}" if path else name, named)
            key = (0.0 if spare else weight_decay, scales[path] * own.rate, own.start)
            made.setdefault(key, []).append(parameter)
    return [
        {"params": parameters, "weight_decay": decay, "rate_scale": scale, "start": start}
        for (decay, scale, start), parameters in made.items()
    ]


def _check_names(module: nn.Module, named: Mapping[str, Group]) -> None:
    known = {name for name, _ in (*module.named_modules(), *module.named_parameters())}
    for name in named:
        if name not in known or not name:
            raise ConfigError(f'a group names "{name}", which is no part of the network{did_you_mean(name, known)}')


def _group(name: str, named: Mapping[str, Group]) -> Group:
    while name and name not in named:
        name = name.rpartition(".")[0]
    return named.get(name, Group(()))


class Thaw:
    """Lets each group of the optimizer learn from its own step on, a pure function of the step.

    What does not learn yet, or is frozen for good, has no gradient: it is in no norm, gathers no momentum, does not
    decay; and a batch normalisation whose weights do not learn keeps its running figures.
    """

    def __init__(self, module: nn.Module, groups: Sequence[Mapping[str, Any]]) -> None:
        self.waiting = [group for group in groups if group["start"] > 0]
        if groups and len(self.waiting) == len(groups):
            raise ConfigError("nothing of the network learns from the first step on; let one group start at step 0")
        self.norms = [
            one
            for one in module.modules()
            if getattr(one, "running_mean", None) is not None and any(True for _ in one.parameters(recurse=False))
        ]

    def to(self, step: int) -> None:
        """As it is for step ``step``, the module being in training mode."""
        self._open(step)
        for norm in self.norms:
            if not any(parameter.requires_grad for parameter in norm.parameters(recurse=False)):
                norm.eval()

    def done(self) -> None:
        """All groups may learn again."""
        self._open(None)

    def _open(self, step: int | None) -> None:
        for group in self.waiting:
            for parameter in group["params"]:
                parameter.requires_grad_(step is None or step >= group["start"])
