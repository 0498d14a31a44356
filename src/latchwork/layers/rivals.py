"""Bodies that are not recurrent, to stand in the recurrent layers' place in a comparison.

Both are called as a :class:`~latchwork.layers.Stack` is, ``body(values, lengths=…) -> (outputs, state)``, know their
``output_size``, give zeros past a row's length and never read what stands there.
"""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import nn

from latchwork.errors import ConfigError, did_you_mean
from latchwork.layers.network import Network
from latchwork.layers.regularize import Dropout
from latchwork.sequences import mask_from_lengths
from latchwork.types import Float, Int, Tensor

LEAST_LAYERS = 2
HEADS = 4
LONGEST_WAVE = 10_000.0
INNER_DROPOUT = 0.1
"""Of a Transformer's own layers, where the network drops anything; more of it is dropped before and after them."""


class FeedForward(nn.Module):
    """Each step by itself, whatever stands beside it: it knows no order and no neighbour.

        hₖ₊₁ = dropout(GELU(Wₖ hₖ + bₖ)),   h₀ = x_t

    [batch, time, input] -> [batch, time, width].
    """

    def __init__(self, input_size: int, width: int, *, layers: int = LEAST_LAYERS, dropout: float = 0.0) -> None:
        super().__init__()
        _check(width, layers)
        sizes = [input_size, *[width] * layers]
        self.layers = nn.Sequential()
        for below, above in pairwise(sizes):
            self.layers.extend([nn.Linear(below, above), nn.GELU(), Dropout(dropout)])
        self.input_size, self.output_size = input_size, width

    def forward(
        self, inputs: Float[Tensor, "batch time input"], *, lengths: Int[Tensor, " batch"] | None = None
    ) -> tuple[Float[Tensor, "batch time width"], tuple[()]]:
        """lengths: steps of each row; None: all of them."""
        active = _active(inputs, lengths)
        outputs = self.layers(inputs.masked_fill(~active, 0.0))
        return outputs.masked_fill(~active, 0.0), ()


class Transformer(nn.Module):
    """A small Transformer encoder: every step looks at every other of its own row.

        x = W inputs + s · waves(time)                  s: learned, started at ``scale``
        x = x + Attention(LayerNorm(x));  x = x + MLP(LayerNorm(x))       for each layer
        outputs = LayerNorm(x)

    [batch, time, input] -> [batch, time, width]; the MLP is four times as wide, its activation GELU. Steps past a row's
    length are no keys. The cost grows with the square of the time. ``scale`` is small, or the waves would drown vectors
    of words, whose length is about 1.

    Source: Vaswani et al. 2017, arXiv:1706.03762; norms before the parts: Xiong et al. 2020, arXiv:2002.04745.
    """

    def __init__(
        self,
        input_size: int,
        width: int,
        *,
        layers: int = LEAST_LAYERS,
        heads: int | None = None,
        dropout: float = 0.0,
        scale: float = 0.1,
    ) -> None:
        super().__init__()
        _check(width, layers)
        heads = next(n for n in range(HEADS, 0, -1) if width % n == 0) if heads is None else heads
        if heads < 1 or width % heads:
            raise ConfigError(f"{heads} heads can't share a width of {width}; give a width that is a multiple of them")
        self.input_size, self.output_size, self.heads = input_size, width, heads
        self.input = nn.Linear(input_size, width)
        self.scale = nn.Parameter(torch.tensor(scale))
        self.dropout = Dropout(dropout)
        # Each made anew: torch.nn.TransformerEncoder copies one layer, and all would start with the same weights.
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width, heads, 4 * width, dropout, activation="gelu", batch_first=True, norm_first=True
            )
            for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)

    def forward(
        self, inputs: Float[Tensor, "batch time input"], *, lengths: Int[Tensor, " batch"] | None = None
    ) -> tuple[Float[Tensor, "batch time width"], tuple[()]]:
        """lengths: steps of each row; None: all of them."""
        active = _active(inputs, lengths)
        if not inputs.shape[1]:
            return inputs.new_zeros(*inputs.shape[:2], self.output_size), ()
        x = self.input(inputs.masked_fill(~active, 0.0))
        x = self.dropout(x + self.scale * waves(x.shape[1], self.output_size, x))
        absent = ~active.squeeze(-1)
        # A row without steps would share its attention among no keys, 0 / 0: it looks at its first step, a zero.
        absent = absent & ~(absent.all(1, keepdim=True) & (torch.arange(x.shape[1], device=x.device) == 0))
        for layer in self.layers:
            x = layer(x, src_key_padding_mask=absent)
        return self.norm(x).masked_fill(~active, 0.0), ()


def waves(time: int, width: int, like: Tensor) -> Float[Tensor, "time width"]:
    """sin(t / 10000^(2i/width)) in the first half of the columns, cos in the second. Vaswani et al. 2017, 3.5."""
    half = -(-width // 2)
    speed = LONGEST_WAVE ** (-torch.arange(half, device=like.device, dtype=torch.float32) / half)
    angle = torch.arange(time, device=like.device, dtype=torch.float32).unsqueeze(1) * speed
    return torch.cat((angle.sin(), angle.cos()), 1)[:, :width].to(like.dtype)


RIVALS: tuple[str, ...] = ("feedforward", "transformer")


def rival(name: str, network: Network) -> Callable[[int], FeedForward | Transformer]:
    """What makes the body of that name, from the width of its inputs.

    As wide as the recurrent layers of ``network``: the feed-forward one as their outputs, both directions together, the
    Transformer as one direction; with its layers, at least two, and its dropout (a Transformer's own at most 0.1).
    Raises :class:`ConfigError` where there is none of that name.
    """
    check_rival(name)
    options = network.resolved()
    assert options.hidden_size is not None
    assert options.dropout is not None
    hidden, layers, drop = options.hidden_size, max(LEAST_LAYERS, options.layers), options.dropout
    if name == "feedforward":
        both = hidden * (2 if options.bidirectional else 1)
        return lambda width: FeedForward(width, both, layers=layers, dropout=drop)
    return lambda width: Transformer(width, hidden, layers=layers, dropout=min(drop, INNER_DROPOUT))


def check_rival(name: str) -> None:
    """Raise :class:`ConfigError` where there is no rival of that name."""
    if name not in RIVALS:
        raise ConfigError(f'rival is "{name}", expected one of {", ".join(RIVALS)}{did_you_mean(str(name), RIVALS)}')


def _check(width: int, layers: int) -> None:
    if width < 1 or layers < 1:
        raise ConfigError(f"width is {width} and layers {layers}, expected at least 1 of each")


def _active(inputs: Tensor, lengths: Tensor | None) -> Tensor:
    """[batch, time, 1]: which steps exist."""
    if lengths is None:
        return torch.ones(*inputs.shape[:2], 1, dtype=torch.bool, device=inputs.device)
    return mask_from_lengths(lengths, inputs.shape[1]).unsqueeze(-1)
