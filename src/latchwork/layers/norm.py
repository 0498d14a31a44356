"""Normalisation between layers."""

from typing import Any

import torch
from torch import nn

from latchwork.errors import ConfigError, DataError, did_you_mean
from latchwork.sequences import mask_from_lengths
from latchwork.types import Float, Int, Tensor

NORMS = ("layer", "batch")


class LayerNorm(nn.LayerNorm):
    """Each step of each row on its own: torch.nn.LayerNorm over the last axis, so lengths make no difference.

    Source: Ba, Kiros & Hinton 2016, arXiv:1607.06450.
    """

    def forward(
        self, input: Float[Tensor, "*batch width"], lengths: Int[Tensor, " batch"] | None = None
    ) -> Float[Tensor, "*batch width"]:
        return super().forward(input)


class BatchNorm(nn.BatchNorm1d):
    """Sequence-wise batch normalisation: one mean and variance for each unit, over all steps that exist of all rows.

    What lies past a row's length is neither counted nor changed. In evaluation the running figures are used, so a row
    alone, in a batch, or stepped gives the same numbers; in training the rows of a batch see one another, by its
    nature.

    Source: Laurent et al. 2016, arXiv:1510.01378.
    """

    def forward(
        self, input: Float[Tensor, "*batch width"], lengths: Int[Tensor, " batch"] | None = None
    ) -> Float[Tensor, "*batch width"]:
        if lengths is None:
            return self._normalise(input.flatten(0, -2)).view_as(input)
        active = mask_from_lengths(lengths, input.shape[1])
        return torch.zeros_like(input).masked_scatter(active.unsqueeze(-1), self._normalise(input[active]))

    def _normalise(self, flat: Tensor) -> Tensor:
        if self.training and len(flat) < 2:
            raise DataError(
                f"batch normalisation got {len(flat)} steps to train on, expected at least 2; use norm='layer'"
            )
        return super().forward(flat)


def check_norm(norm: Any) -> None:
    """Raise :class:`ConfigError` where there is no norm of that name; None is none."""
    if norm is not None and norm not in NORMS:
        raise ConfigError(f"norm is {norm!r}, expected None, {' or '.join(NORMS)}{did_you_mean(str(norm), NORMS)}")


def norm_layer(
    name: str, width: int, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None
) -> LayerNorm | BatchNorm:
    """``layer`` or ``batch``, by name."""
    check_norm(name)
    kind = LayerNorm if name == "layer" else BatchNorm
    return kind(width, device=device, dtype=dtype)
