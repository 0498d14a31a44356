"""Convolutions before the recurrence: over time for raw signals, over both axes for images."""

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from latchwork.errors import ConfigError
from latchwork.kernels import ragged
from latchwork.layers.norm import check_norm, norm_layer
from latchwork.sequences import mask_from_lengths
from latchwork.types import Float, Int, Tensor


@dataclass(frozen=True)
class Convolution:
    """One block: a convolution, a norm, max(0, ·), and the largest of every ``pool``.

    channels: what it finds. kernel: its width, odd. stride: a step is taken at every so manyth place. On an image all
    three hold for both axes.
    """

    channels: int
    kernel: int = 3
    stride: int = 1
    pool: int = 1

    def __post_init__(self) -> None:
        for name in ("channels", "kernel", "stride", "pool"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} of a convolution is {getattr(self, name)}, expected at least 1")
        if self.kernel % 2 == 0:
            raise ConfigError(f"kernel of a convolution is {self.kernel}, expected an odd number: it has a middle")

    def shorten(self, size: int) -> int:
        """Places that are left of ``size``."""
        return math.ceil(math.ceil(size / self.stride) / self.pool)


class Convolutions(nn.Module):
    """Blocks on top of each other. [batch, time, width] or, with ``height``, [batch, channels, height, time] ->
    [batch, time', width'].

    An image's columns become the steps, its channels times the rows that are left the width. A row of the batch gives
    the same numbers alone and padded: zeros stand past its own end before each block, as they do beyond the edge, and
    it has ⌈⌈n / stride⌉ / pool⌉ steps afterwards. ``causal``: a step sees none after it (not for images). ``norm``:
    batch, layer (over the channels of a place), or None.
    """

    def __init__(
        self,
        blocks: tuple[Convolution, ...],
        channels: int,
        height: int | None = None,
        *,
        norm: str | None = "batch",
        causal: bool = False,
    ) -> None:
        super().__init__()
        check_norm(norm)
        if causal and (height is not None or any(block.pool > 1 for block in blocks)):
            raise ConfigError("a causal convolution is one over time without pooling; leave causal off")
        self.blocks = blocks
        self.image = height is not None
        self.causal = causal
        kind = nn.Conv2d if self.image else nn.Conv1d
        layers, norms = [], []
        for block in blocks:
            padding = 0 if causal else block.kernel // 2
            layers.append(kind(channels, block.channels, block.kernel, block.stride, padding))
            norms.append(nn.Identity() if norm is None else norm_layer(norm, block.channels))
            channels = block.channels
            height = None if height is None else block.shorten(height)
        self.layers = nn.ModuleList(layers)
        self.norms = nn.ModuleList(norms)
        for layer in self.layers:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")  # type: ignore[arg-type]
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        self.normed = norm is not None
        self.width = channels * (height or 1)

    def shorten(self, lengths: Int[Tensor, " batch"]) -> Int[Tensor, " batch"]:
        """Steps that are left of so many."""
        for block in self.blocks:
            lengths = _ceil(_ceil(lengths, block.stride), block.pool)
        return lengths

    def forward(
        self, values: Float[Tensor, "batch ..."], lengths: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch steps width"]:
        if not self.image:
            values = values.transpose(1, 2)
        if not values.shape[-1]:
            return values.new_zeros(len(values), 0, self.width)
        # Padding counts for nothing but a batch norm's own figures, and only in training.
        full = not self.training or (not torch.compiler.is_compiling() and ragged(lengths, values.shape[-1]) is None)
        values = _clean(values, lengths)
        for block, layer, norm in zip(self.blocks, self.layers, self.norms, strict=True):
            if self.causal:
                values = functional.pad(values, (block.kernel - 1, 0))
            values = layer(values)
            lengths = _ceil(lengths, block.stride)
            if self.normed:
                values = _normed(norm, values, lengths, full)
            values = _clean(values.relu(), lengths)
            if block.pool > 1:
                # Nothing is below 0, so that zeros past the end take no part in a window that crosses it.
                pool = functional.max_pool2d if self.image else functional.max_pool1d
                values = pool(values, block.pool, ceil_mode=True)
                lengths = _ceil(lengths, block.pool)
        return values.permute(0, 3, 1, 2).flatten(2) if self.image else values.transpose(1, 2)


def _ceil(lengths: Tensor, by: int) -> Tensor:
    return (lengths + by - 1).div(by, rounding_mode="floor")


def _clean(values: Tensor, lengths: Tensor) -> Tensor:
    """Zeros past each row's own length; time is the last axis."""
    active = mask_from_lengths(lengths, values.shape[-1])
    return values.masked_fill(~active.view(len(values), *[1] * (values.dim() - 2), -1), 0.0)


def _normed(norm: nn.Module, values: Tensor, lengths: Tensor, full: bool) -> Tensor:
    """A norm takes [batch, steps, width]: the places of an image's column are steps of their own."""
    columns = values.movedim(-1, 1).movedim(2, -1)
    each = columns.shape[2:-1].numel()
    done = norm(columns.flatten(1, -2), None if full else lengths * each).view(columns.shape)
    return done.movedim(-1, 2).movedim(1, -1)
