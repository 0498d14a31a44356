"""Dropout from a counter, and what it is used for: recurrent dropout, zoneout and weight drop.

A mask is a function of (key, site, element), computed with integers: the same on every device. The key of a forward
pass is one draw from torch's CPU generator, so ``torch.manual_seed`` reproduces it, restoring that generator resumes
it, and nothing lives on a module. The counter is SplitMix64 (Steele, Lea & Flood 2014, doi:10.1145/2660193.2660195).
"""

from typing import Any

import torch
from torch import nn

from latchwork.cells import Cell
from latchwork.errors import ConfigError
from latchwork.layers.bind import bound
from latchwork.types import Float, Int, Tensor

# SplitMix64's constants as signed integers: torch's int64 wraps around as its unsigned ones do.
_GAMMA = 0x9E3779B97F4A7C15 - 2**64
_FIRST = 0xBF58476D1CE4E5B9 - 2**64
_SECOND = 0x94D049BB133111EB - 2**64

OUTPUT, RECURRENT, ZONEOUT, WEIGHT = range(4)
"""The sites of a layer: what a mask is for."""


def check_rate(name: str, rate: Any) -> float:
    """The rate as it came from options, or :class:`ConfigError` where it is not in [0, 1)."""
    if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0.0 <= rate < 1.0:
        raise ConfigError(f"{name} is {rate!r}, expected a number from 0 (off) to below 1: the part that is dropped")
    return float(rate)


def draw_key() -> Int[Tensor, ""]:
    """The key of one forward pass: one draw from torch's global CPU generator."""
    return torch.randint(2**63 - 1, (), dtype=torch.int64, device="cpu")


def fold(key: Int[Tensor, ""], site: int) -> Int[Tensor, ""]:
    """Another key, for one of the places that use ``key``."""
    return _mix(torch.tensor(site + 1, dtype=torch.int64, device="cpu").mul_(_GAMMA).add_(key))


def bits(count: int, key: Int[Tensor, ""], device: torch.device | str | None = None) -> Int[Tensor, " count"]:
    """``count`` words of SplitMix64 started at ``key``: [count], int64, all 64 bits random."""
    steps = torch.arange(1, count + 1, dtype=torch.int64, device=device)
    return _mix(steps.mul_(_GAMMA).add_(key))


def _mix(x: Tensor) -> Tensor:
    """SplitMix64's finaliser, in place. An arithmetic shift and a mask make the logical one."""
    x ^= (x >> 30) & (2**34 - 1)
    x *= _FIRST
    x ^= (x >> 27) & (2**37 - 1)
    x *= _SECOND
    x ^= (x >> 31) & (2**33 - 1)
    return x


def mask(
    shape: tuple[int, ...] | torch.Size,
    p: float,
    key: Int[Tensor, ""],
    site: int = 0,
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> Float[Tensor, "..."]:
    """A dropout mask: 0 with probability ``p``, otherwise 1 / (1 - p), each element on its own.

    The same bits for the same key, site and place in the tensor, on any device and in any type.
    """
    check_rate("p", p)
    count = torch.Size(shape).numel()
    words = bits((count + 1) // 2, fold(key, site), device)
    keep = words.view(torch.int32)[:count] >= round(p * 2**32) - 2**31
    return keep.view(shape).to(dtype or torch.get_default_dtype()).mul_(1.0 / (1.0 - p))


def dropout(x: Float[Tensor, "..."], p: float, key: Int[Tensor, ""], site: int = 0) -> Float[Tensor, "..."]:
    """x times a mask of its own shape; x itself where p is 0."""
    return x * mask(x.shape, p, key, site, device=x.device, dtype=x.dtype) if check_rate("p", p) else x


def locked_dropout(
    x: Float[Tensor, "batch time features"], p: float, key: Int[Tensor, ""], site: int = 0
) -> Float[Tensor, "batch time features"]:
    """x [batch, time, features] times a mask that is the same at every step of a row.

    Source: Gal & Ghahramani 2016, arXiv:1512.05287.
    """
    if not check_rate("p", p):
        return x
    return x * mask((x.shape[0], 1, x.shape[2]), p, key, site, device=x.device, dtype=x.dtype)


class Dropout(nn.Module):
    """``torch.nn.Dropout`` with masks from the counter: one draw of a key each time in training, none otherwise."""

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = check_rate("dropout", p)

    def forward(self, x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        return dropout(x, self.p, draw_key()) if self.training and self.p else x

    def extra_repr(self) -> str:
        return f"p={self.p}"


class _Wrapper(Cell):
    """A cell around a cell, made for one forward pass, with masks that differ from row to row."""

    tokenwise = False

    def __init__(self, cell: Cell) -> None:
        super().__init__(cell.input_size, cell.hidden_size, bias=cell.bias)
        self.cell = cell
        self.State = cell.State

    @property
    def output_size(self) -> int:
        return self.cell.output_size

    def initial_state(self, batch: int) -> Any:
        return self.cell.initial_state(batch)


class RecurrentDropout(_Wrapper):
    """A cell whose recurrent products see h ⊙ mask, the mask being the same at every step of a sequence.

    One mask for each product whose name starts with ``recurrent``, as wide as what it takes. What else the equation
    does with the state (the GRU's z h, the LSTM's c) sees it whole.

    Source: Gal & Ghahramani 2016, arXiv:1512.05287.
    """

    def __init__(self, cell: Cell, p: float, key: Int[Tensor, ""]) -> None:
        super().__init__(cell)
        self.p, self.key = check_rate("recurrent_dropout", p), key
        self.products = require_recurrent(cell, "recurrent_dropout")

    def project(self, inputs: Float[Tensor, "batch *time input"]) -> tuple[Tensor, ...]:
        masks = []
        for site, product in enumerate(self.products.values()):
            width: Any = getattr(product, "in_features", self.cell.output_size)
            once = mask((inputs.shape[0], width), self.p, self.key, site, device=inputs.device, dtype=inputs.dtype)
            over_time = once.view(-1, *[1] * (inputs.dim() - 2), width)
            masks.append(over_time.expand(*inputs.shape[:-1], width))
        return *masks, *self.cell.project(inputs)

    def step(self, projected: tuple[Tensor, ...], state: Any, constants: tuple[Tensor, ...] = ()) -> tuple[Tensor, Any]:
        masks, projected = projected[: len(self.products)], projected[len(self.products) :]
        masked = {name: _Masked(product, m) for (name, product), m in zip(self.products.items(), masks, strict=True)}
        cell = bound(self.cell, {})
        cell._modules.update(masked)
        return cell.step(projected, state, constants)


class _Masked(nn.Module):
    """product(x ⊙ mask)."""

    def __init__(self, product: nn.Module, m: Tensor) -> None:
        super().__init__()
        self.product, self.mask = product, m

    def forward(self, x: Tensor) -> Tensor:
        return self.product(x * self.mask)


class Zoneout(_Wrapper):
    """A cell whose state keeps its old value, unit by unit and step by step, with probability p.

        state' = d state + (1 - d) step(state),    d ~ Bernoulli(p) in training, d = p in evaluation (``key`` None)

    Each field of the state has masks of its own; only the fields in ``cell.independent`` take part (an sLSTM's c, n
    and m are one number in three parts). Where the output is the state's h, it is the mixed one.

    Source: Krueger et al. 2017, arXiv:1606.01305.
    """

    def __init__(self, cell: Cell, p: float, key: Int[Tensor, ""] | None = None) -> None:
        super().__init__(cell)
        self.p, self.key = check_rate("zoneout", p), key
        self.fields = cell.independent or cell.State._fields

    def project(self, inputs: Float[Tensor, "batch *time input"]) -> tuple[Tensor, ...]:
        masks = []
        if self.key is not None:
            fresh = self.cell.initial_state(1)
            for site, field in enumerate(self.fields):
                shape = (*inputs.shape[:-1], *getattr(fresh, field).shape[1:])
                dropped = mask(shape, self.p, self.key, site, device=inputs.device, dtype=inputs.dtype) == 0
                masks.append(dropped)
        return *masks, *self.cell.project(inputs)

    def step(self, projected: tuple[Tensor, ...], state: Any, constants: tuple[Tensor, ...] = ()) -> tuple[Tensor, Any]:
        count = 0 if self.key is None else len(self.fields)
        output, after = self.cell.step(projected[count:], state, constants)
        mixed = {}
        for site, field in enumerate(self.fields):
            old, new = getattr(state, field), getattr(after, field)
            # A mask picks, it does not multiply: what is not picked may be NaN and must leave no trace.
            mixed[field] = torch.where(projected[site], old, new) if count else self.p * old + (1 - self.p) * new
        zoned = after._replace(**mixed)
        return (zoned.h if output is getattr(after, "h", None) else output), zoned


def drop_weights(cell: Cell, p: float, key: Int[Tensor, ""]) -> Cell:
    """The cell with a part of its recurrent weights set to 0 for one forward pass, the others scaled by 1 / (1 - p).

    Every tensor named ``weight`` of every product whose name starts with ``recurrent``.

    Source: DropConnect on the recurrent weights, Merity et al. 2018, arXiv:1708.02182.
    """
    products = require_recurrent(cell, "weight_drop")
    tensors = {}
    for site, (name, product) in enumerate(products.items()):
        weight: Any = getattr(product, "weight", None)
        if weight is None:
            raise ConfigError(f"weight_drop acts on tensors named weight, and {type(cell).__name__}.{name} has none")
        tensors[f"{name}.weight"] = dropout(weight, p, key, site)
    return bound(cell, tensors)


def require_recurrent(cell: Cell, option: str) -> dict[str, nn.Module]:
    """The recurrent products of the cell, or :class:`ConfigError` where there is none for the option to act on."""
    products = cell.recurrent_products()
    if not products:
        raise ConfigError(
            f"{option} acts on recurrent products, and {type(cell).__name__} has none (products whose names start with "
            f'"recurrent"); leave {option} at 0, or use dropout or zoneout'
        )
    return products


def regularized(
    cell: Cell,
    *,
    recurrent_dropout: float = 0.0,
    zoneout: float = 0.0,
    weight_drop: float = 0.0,
    key: Int[Tensor, ""] | None = None,
) -> Cell:
    """The cell of one forward pass. ``key`` None: evaluation, where zoneout mixes in expectation and no drops."""
    if key is not None and weight_drop:
        cell = drop_weights(cell, weight_drop, fold(key, WEIGHT))
    if key is not None and recurrent_dropout:
        cell = RecurrentDropout(cell, recurrent_dropout, fold(key, RECURRENT))
    if zoneout:
        cell = Zoneout(cell, zoneout, None if key is None else fold(key, ZONEOUT))
    return cell
