"""Twins: the same network on sequences from which one thing was taken, to see whether that thing was needed."""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from latchwork.errors import ConfigError, did_you_mean
from latchwork.layers import Network
from latchwork.modalities.records import elapsed
from latchwork.sequences import Encoded
from latchwork.types import Float, Int, Tensor

Array = NDArray[np.float64]
TWINS = ("shuffled", "truncated")
QUARTER = 0.25


@dataclass(frozen=True)
class Twin:
    """What is taken away, in training and in the test alike.

    shuffled   the steps of each sequence stand in an order drawn from its name
    truncated  only the last ``keep`` steps are seen, of each the last quarter where it is None; where each step has a
               label all are seen, and the state is forgotten after every ``keep``, or a quarter of the median length
    """

    kind: str
    keep: int | None = None

    @classmethod
    def parse(cls, text: str) -> "Twin":
        """``shuffled``, ``truncated`` or ``truncated=20``.

        >>> Twin.parse("truncated=20")
        Twin(kind='truncated', keep=20)
        """
        name, equals, steps = text.strip().partition("=")
        if name not in TWINS:
            raise ConfigError(f'twin is "{name}", expected one of {", ".join(TWINS)}{did_you_mean(name, TWINS)}')
        if not equals:
            return cls(name)
        if name != "truncated" or not steps.isdecimal() or int(steps) < 1:
            raise ConfigError(f'twin is "{text}", expected a number of steps after truncated alone: truncated=20')
        return cls(name, int(steps))

    def taken(self, example: Encoded, name: str) -> Encoded:
        """What is left of a sequence of this name."""
        return shuffled(example, name) if self.kind == "shuffled" else truncated(example, self.keep)

    def title(self, *, steps: int | None = None) -> str:
        """As a table names it; ``steps`` between two losses of memory."""
        if self.kind == "shuffled":
            return "steps shuffled"
        if steps is not None:
            return f"forgets every {_count(steps)}"
        return "last quarter" if self.keep is None else f"last {_count(self.keep)}"

    def said(
        self, figure: str, change: float, lower: float, upper: float, *, less: bool = False, steps: int | None = None
    ) -> str:
        """In plain words: was it needed? change: the twin's figure less the network's, with its interval. less: a small
        figure is a good one.
        """
        what, way = "order", "with the steps of every sequence shuffled"
        if self.kind == "truncated":
            what, way = "memory", f"with the {self.title()} of every sequence alone"
        if steps is not None:
            way = f"with all forgotten after every {_count(steps)}"
        found = f"{way}, {figure} is {abs(change):.3g} {'lower' if change < 0 else 'higher'}"
        if math.isnan(lower):
            return f"{found}; too little to tell whether {what} was needed"
        found += f" (95% interval of the difference {lower:+.3g} to {upper:+.3g})"
        if lower <= 0 <= upper:
            return f"no sign that {what} was needed: {found}"
        return f"{what} was needed: {found}" if (change > 0) == less else f"{what} did harm: {found}"


def shuffled(example: Encoded, name: str) -> Encoded:
    """The steps in another order, which the name decides. Times stay where they were; what was measured at them is
    moved, and the time since each number was seen follows.
    """
    steps = len(example)
    seed = int.from_bytes(hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
    return _picked(example, np.random.default_rng(seed).permutation(steps), _times(example))


def truncated(example: Encoded, keep: int | None = None) -> Encoded:
    """The last ``keep`` steps, or the last quarter, at least one; the time since a number was seen begins anew."""
    steps = len(example)
    keep = math.ceil(QUARTER * steps) if keep is None else keep
    rows = np.arange(max(0, steps - keep), steps)
    return _picked(example, rows, _times(example)[rows])


def _picked(example: Encoded, rows: NDArray[np.int64], times: Array) -> Encoded:
    """These steps in this order, at these times."""
    changed: dict[str, Any] = {
        field: array[rows]
        for field in ("tokens", "characters", "numbers", "mask")
        if (array := getattr(example, field)) is not None
    }
    if example.image is not None:
        changed["image"] = example.image[..., rows]
    if example.gaps is not None and example.mask is not None:
        changed["gaps"] = elapsed(times, changed["mask"] > 0).astype(np.float32)
    return replace(example, **changed)


def _times(example: Encoded) -> Array:
    """When the steps were, from the time since each number was seen: δ_t = s_t - s_{t-1} + (seen at t-1 ? 0 : δ_{t-1}).

    What is longest counts: a gap may have been cut off at a limit, and never grows by that.
    """
    steps = len(example)
    if example.gaps is None or example.mask is None or not steps:
        return np.arange(steps, dtype=np.float64)
    gaps, unseen = example.gaps.astype(np.float64), example.mask == 0
    between = (gaps[1:] - np.where(unseen[:-1], gaps[:-1], 0.0)).max(1, initial=0.0)
    return np.concatenate([np.zeros(1), between.cumsum()])


class Forgetful(nn.Module):
    """Recurrent layers whose state is fresh again after every ``every`` steps, in both directions."""

    def __init__(self, network: Network, width: int, every: int) -> None:
        super().__init__()
        self.stack, self.every = network.build(width), every

    @property
    def output_size(self) -> int:
        """Width of the outputs."""
        return self.stack.output_size

    def forward(
        self, inputs: Float[Tensor, "batch time input"], *, lengths: Int[Tensor, " batch"] | None = None
    ) -> tuple[Float[Tensor, "batch time output"], tuple[Any, ...]]:
        """As :class:`latchwork.layers.Stack`."""
        fresh = torch.arange(inputs.shape[1], device=inputs.device) % self.every == 0
        return self.stack(inputs, lengths=lengths, resets=fresh.expand(inputs.shape[0], -1))


def forgetful(network: Network, every: int) -> Callable[[int], Forgetful]:
    """What makes these layers, from the width of their inputs."""
    return lambda width: Forgetful(network, width, every)


def _count(steps: int) -> str:
    return f"{steps:,} step" if steps == 1 else f"{steps:,} steps"
