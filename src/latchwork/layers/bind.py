"""The same cell with other tensors: how drop-in layers lend their weights to a cell, and how weights are dropped."""

from collections.abc import Mapping
from typing import Any, TypeVar

from torch import nn
from torch.nn.utils import parametrize

from latchwork.types import Tensor

M = TypeVar("M", bound=nn.Module)


def bound(module: M, tensors: Mapping[str, Tensor]) -> M:
    """A copy of ``module`` that computes with ``tensors`` (by the names of its parameters) in place of its own.

    The copy shares everything else, the tensors keep their graph, and the module itself is never touched: so this is
    safe in threads, and nothing has to be put back. A parametrized tensor is replaced like any other. The copy is to
    be used and thrown away: it is not what an optimiser should see.
    """
    copy = _copy(module)
    owners: dict[str, nn.Module] = {"": copy}
    for path, tensor in tensors.items():
        *parents, name = path.split(".")
        owner: nn.Module = copy
        for depth, parent in enumerate(parents, 1):
            place = ".".join(parents[:depth])
            if place not in owners:
                child = owner._modules[parent]
                assert child is not None
                owner._modules[parent] = owners[place] = _copy(child)
            owner = owners[place]
        if name not in owner._parameters:
            raise KeyError(f"{type(module).__name__} has no parameter {path}")
        owner._parameters[name] = tensor  # type: ignore[assignment]
    return copy


def _copy(module: M) -> M:
    """A shallow copy, with tables of its own. Parametrized tensors are computed once and then stand as plain ones."""
    kind: Any = type(module)
    tensors: dict[str, Any] = dict(module._parameters)
    if parametrize.is_parametrized(module):
        names: Any = module.parametrizations
        tensors.update({name: getattr(module, name) for name in names})
        kind = parametrize.type_before_parametrizations(module)
    copy = kind.__new__(kind)
    copy.__dict__.update(module.__dict__)
    copy.__dict__["_parameters"] = tensors
    copy.__dict__["_modules"] = {name: child for name, child in module._modules.items() if name != "parametrizations"}
    return copy
