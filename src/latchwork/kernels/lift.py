"""A cell's tensors taken out of it, and put back others: so that a step is a function of its tensors."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from latchwork.cells import Cell
from latchwork.errors import KernelError
from latchwork.sequences import flatten
from latchwork.types import Tensor


@dataclass(frozen=True)
class Form:
    """What a cell takes: names and samples of its tensors, and one row's shapes of everything else."""

    names: tuple[str, ...]
    tensors: tuple[Tensor, ...]
    projected: tuple[tuple[torch.Size, torch.dtype], ...]
    state: tuple[torch.Size, ...]
    state_tree: Any
    constants: tuple[torch.Size, ...]
    dtype: torch.dtype

    def traced(self, dtype: torch.dtype) -> torch.dtype:
        """The type in the trace of a tensor of this type."""
        return self.dtype if dtype.is_floating_point else dtype


def form(cell: Cell, dtype: torch.dtype, constants: tuple[int, ...]) -> Form:
    """The form of a cell; ``dtype`` is the type that it is traced in."""
    names, tensors = lifted_tensors(cell)
    tree = cell.initial_state(2)
    leaves = flatten(tree)
    for name, leaf in leaves.items():
        if not leaf.dtype.is_floating_point:
            raise KernelError(f"the state {name} of {type(cell).__name__} is {leaf.dtype}, expected floating point")
        if leaf.shape[:1] != (2,):
            raise KernelError(f"the state {name} of {type(cell).__name__} has no batch axis in front")
    like = next((tensor for tensor in tensors if tensor.is_floating_point()), torch.zeros((), dtype=dtype))
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        projected = cell.project(like.new_zeros(2, cell.input_size))
    return Form(
        names=names,
        tensors=tensors,
        projected=tuple((part.shape[1:], part.dtype) for part in projected),
        state=tuple(leaf.shape[1:] for leaf in leaves.values()),
        state_tree=tree,
        constants=tuple(torch.Size((width,)) for width in constants),
        dtype=dtype,
    )


def lifted_tensors(cell: nn.Module) -> tuple[tuple[str, ...], tuple[Tensor, ...]]:
    """Parameters and buffers by the dotted names under which they are read as attributes, each once.

    A parametrized tensor stands under its own name, as it is computed.
    """
    found: dict[int, tuple[str, Tensor]] = {}
    for path, module in _modules(cell):
        own: dict[str, Any] = {**module._parameters, **module._buffers}
        if parametrize.is_parametrized(module):
            computed: Any = module.parametrizations
            own.update({name: getattr(module, name) for name in computed})
        for name, tensor in own.items():
            if tensor is not None:
                found.setdefault(id(tensor), (f"{path}{name}", tensor))
    return tuple(name for name, _ in found.values()), tuple(tensor for _, tensor in found.values())


def _modules(module: nn.Module, path: str = "", seen: set[int] | None = None) -> Iterator[tuple[str, nn.Module]]:
    """Every module once, without those that compute parametrized tensors."""
    seen = set() if seen is None else seen
    if id(module) in seen:
        return
    seen.add(id(module))
    yield path, module
    for name, child in module._modules.items():
        if child is not None and name != "parametrizations":
            yield from _modules(child, f"{path}{name}.", seen)


def with_tensors(cell: Cell, names: Sequence[str], originals: Sequence[Tensor], tensors: Sequence[Tensor]) -> Cell:
    """A copy of the cell that computes with ``tensors``; modules and tensors in its containers are replaced too."""
    by_name = dict(zip(names, tensors, strict=True))
    by_id = {id(old): new for old, new in zip(originals, tensors, strict=True)}
    done: dict[int, Any] = {}

    def replaced(value: Any, path: str) -> Any:
        if isinstance(value, nn.Module):
            return module(value, path)
        if isinstance(value, Tensor):
            return by_id.get(id(value), value)
        if type(value) in (list, tuple):
            return type(value)(replaced(item, path) for item in value)
        if type(value) in (dict, OrderedDict):
            return type(value)((key, replaced(item, path)) for key, item in value.items())
        return value

    def module(old: nn.Module, path: str) -> nn.Module:
        if id(old) in done:
            return done[id(old)]
        own: dict[str, Any] = {**old._parameters}
        kind: Any = type(old)
        if parametrize.is_parametrized(old):
            computed: Any = old.parametrizations
            own.update(dict.fromkeys(computed))
            kind = parametrize.type_before_parametrizations(old)
        copy = kind.__new__(kind)
        done[id(old)] = copy
        tables = {
            "_parameters": {name: _pick(by_name, by_id, f"{path}{name}", tensor) for name, tensor in own.items()},
            "_buffers": {name: _pick(by_name, by_id, f"{path}{name}", t) for name, t in old._buffers.items()},
            "_modules": {
                name: None if child is None else module(child, f"{path}{name}.")
                for name, child in old._modules.items()
                if name != "parametrizations"
            },
        }
        copy.__dict__.update({n: v if n in _INTERNAL else replaced(v, path) for n, v in old.__dict__.items()})
        copy.__dict__.update(tables)
        return copy

    return module(cell, "")  # type: ignore[return-value]


_INTERNAL = frozenset(nn.Module().__dict__)


def _pick(by_name: dict[str, Tensor], by_id: dict[int, Tensor], name: str, tensor: Tensor | None) -> Tensor | None:
    return by_name.get(name, None if tensor is None else by_id.get(id(tensor)))


def attribute_tensors(cell: nn.Module) -> dict[int, str]:
    """Tensors that are held as plain attributes, or in containers that are, by id."""
    found: dict[int, str] = {}

    def walk(value: Any, name: str, depth: int) -> None:
        if isinstance(value, Tensor):
            found.setdefault(id(value), name)
        elif depth < 4 and isinstance(value, (list, tuple)):
            for index, item in enumerate(value):
                walk(item, f"{name}[{index}]", depth + 1)
        elif depth < 4 and isinstance(value, dict):
            for key, item in value.items():
                walk(item, f"{name}[{key!r}]", depth + 1)

    for path, module in _modules(cell):
        for name, value in module.__dict__.items():
            if name not in _INTERNAL:
                walk(value, f"{path}{name}", 0)
    return found


def tensors_by_name(cell: Cell, names: Sequence[str]) -> list[Tensor]:
    """The tensors as they are now, read as attributes: parametrized ones are computed."""
    return [attrgetter(name)(cell) for name in names]
