"""One vector from the steps of a sequence."""

from typing import Literal, get_args

import torch
from torch import nn

from latchwork.errors import ConfigError, did_you_mean
from latchwork.sequences import mask_from_lengths
from latchwork.types import Float, Int, Tensor

PoolingKind = Literal["last", "mean", "max", "attention"]
POOLINGS: tuple[str, ...] = get_args(PoolingKind)


class Pooling(nn.Module):
    """[batch, time, width] and each row's own length -> [batch, width]. What lies past a length is never read.

    last        the last step; of the ``backward`` columns at the end, which were read from the other side, the first
    mean, max   over the steps, column by column
    attention   Σ a_t h_t,  a = softmax(q · tanh(W h_t + b)) over the steps;  q: learned query.  Yang et al. 2016

    A row of length 0 gives zeros. ``backward``: width of the backward direction's outputs, 0 where there is none.
    """

    def __init__(self, kind: PoolingKind, width: int, *, backward: int = 0) -> None:
        super().__init__()
        check_pooling(kind)
        if width < 1 or not 0 <= backward <= width:
            raise ConfigError(f"width is {width}, backward {backward} of it; expected 1 or more, and a part of it")
        self.kind = kind
        self.width = width
        self.backward = backward
        if kind == "attention":
            self.score = nn.Linear(width, width)
            self.query = nn.Parameter(torch.empty(width).uniform_(-(width**-0.5), width**-0.5))

    def forward(
        self, outputs: Float[Tensor, "batch time width"], lengths: Int[Tensor, " batch"] | None = None
    ) -> Float[Tensor, "batch width"]:
        """lengths: steps of each row; None: all of them."""
        batch, time, width = outputs.shape
        if not time:
            return outputs.new_zeros(batch, width)
        lengths, active, outputs = _masked(outputs, lengths)
        if self.kind == "last":
            return self._last(outputs, lengths)
        if self.kind == "mean":
            return outputs.sum(1) / lengths.clamp(min=1).unsqueeze(-1).to(outputs.dtype)
        if self.kind == "max":
            most = outputs.masked_fill(~active.unsqueeze(-1), -torch.inf).amax(1)
            return most.masked_fill((lengths == 0).unsqueeze(-1), 0.0)
        return torch.einsum("bt,btw->bw", self._attention(outputs, active), outputs)

    def weights(
        self, outputs: Float[Tensor, "batch time width"], lengths: Int[Tensor, " batch"] | None = None
    ) -> Float[Tensor, "batch time"]:
        """What attention gives to each step: they add up to 1 over a row's own steps, and are 0 past them."""
        if self.kind != "attention":
            raise ConfigError(f'pooling is "{self.kind}", and only attention has weights')
        _, active, outputs = _masked(outputs, lengths)
        return self._attention(outputs, active)

    def _last(self, outputs: Tensor, lengths: Tensor) -> Tensor:
        # What was read backwards has its last state at the first step. Past a length stand zeros, so a row of length 0
        # gives them.
        place = (lengths - 1).clamp(min=0).view(-1, 1, 1).expand(-1, 1, outputs.shape[-1])
        last = outputs.gather(1, place).squeeze(1)
        if not self.backward:
            return last
        onward = outputs.shape[-1] - self.backward
        return torch.cat((last[:, :onward], outputs[:, 0, onward:]), -1)

    def _attention(self, outputs: Tensor, active: Tensor) -> Tensor:
        scores = self.score(outputs).tanh() @ self.query
        # A finite number: a row without steps would otherwise be 0 / 0.
        scores = scores.masked_fill(~active, torch.finfo(scores.dtype).min)
        return scores.softmax(-1) * active

    def extra_repr(self) -> str:
        return f"{self.kind}, {self.width}" + (f", backward={self.backward}" if self.backward else "")


def check_pooling(kind: str) -> None:
    """Raise :class:`ConfigError` where there is no pooling of that name."""
    if kind not in POOLINGS:
        raise ConfigError(
            f'pooling is "{kind}", expected one of {", ".join(POOLINGS)}{did_you_mean(str(kind), POOLINGS)}'
        )


def _masked(outputs: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Lengths, which steps exist, and the outputs with zeros at the others."""
    batch, time, _ = outputs.shape
    if lengths is None:
        lengths = torch.full((batch,), time, device=outputs.device)
        return lengths, mask_from_lengths(lengths, time), outputs
    active = mask_from_lengths(lengths, time)
    return lengths, active, outputs.masked_fill(~active.unsqueeze(-1), 0.0)
