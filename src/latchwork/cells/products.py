"""Products other than the dense one (which is ``nn.Linear``): what a cell multiplies its state with."""

import torch
from torch import nn

from latchwork.errors import ConfigError
from latchwork.types import Float, Tensor


class Diagonal(nn.Module):
    """y = w ⊙ x: each unit sees itself alone. weight: [features], started uniform in ±1/√features."""

    def __init__(
        self, features: int, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> None:
        super().__init__()
        self.in_features = self.out_features = features
        self.weight = nn.Parameter(torch.empty(features, device=device, dtype=dtype))
        nn.init.uniform_(self.weight, -(features**-0.5), features**-0.5)

    def forward(self, x: Float[Tensor, "*batch features"]) -> Float[Tensor, "*batch features"]:
        return x * self.weight

    def extra_repr(self) -> str:
        return str(self.in_features)


class BlockDiagonal(nn.Module):
    """y = blockdiag(W₁ … W_heads) x for each of several gates: a unit sees the units of its own head.

    weight: [gates · features, features / heads], the dense matrix [gates · features, features] without its zeros:
    rows stand by gate, then head, then unit, so that ``chunk(gates, -1)`` of the product gives the gates, as with a
    dense product. Started uniform in ±1/√(features / heads).
    """

    def __init__(
        self,
        features: int,
        *,
        gates: int = 1,
        heads: int = 1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if heads < 1 or features % heads:
            raise ConfigError(f"heads is {heads}, expected a divisor of the {features} hidden units")
        self.in_features, self.out_features = features, gates * features
        self.gates, self.heads = gates, heads
        width = features // heads
        self.weight = nn.Parameter(torch.empty(gates * features, width, device=device, dtype=dtype))
        nn.init.uniform_(self.weight, -(width**-0.5), width**-0.5)

    def forward(self, x: Float[Tensor, "*batch features"]) -> Float[Tensor, "*batch gated"]:
        blocks = self.weight.unflatten(0, (self.gates, self.heads, -1))
        product = torch.einsum("...hi,ghoi->...gho", x.unflatten(-1, (self.heads, -1)), blocks)
        return product.flatten(-3)

    def dense(self) -> Float[Tensor, "gated features"]:
        """The same matrix with its zeros."""
        gates = self.weight.unflatten(0, (self.gates, self.heads, -1))
        return torch.cat([torch.block_diag(*gate) for gate in gates])

    def extra_repr(self) -> str:
        return f"{self.in_features}, gates={self.gates}, heads={self.heads}"
