"""What a cell is, without its numbers: two cells of one structure have the same program."""

from enum import Enum
from types import BuiltinFunctionType, FunctionType
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from latchwork.types import Tensor

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_INTERNAL = frozenset(nn.Module().__dict__) - {"training"}
_VALUES = frozenset({int, str, bool, bytes, type(None), complex, torch.dtype, torch.device, torch.Size, type(...)})
_NAMED = (type, FunctionType, BuiltinFunctionType, Enum)


class Same:
    """An object by identity; holding it keeps its id from being given to another."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and other.value is self.value

    def __hash__(self) -> int:
        return id(self.value)


def structure(cell: nn.Module) -> tuple[Any, ...]:
    """A hashable description: classes, attributes by value (others by identity), shapes and types of tensors, which
    of them are one and the same, training flags, hooks."""
    parts: list[Any] = []
    seen: dict[int, int] = {}
    _module(cell, parts, seen)
    return tuple(parts)


def hooked(cell: nn.Module) -> str | None:
    """The name of a module whose call does more than its forward, or None."""
    for name, module in cell.named_modules():
        if name and any(module.__dict__[hooks] for hooks in _HOOKS):
            return name
    return None


def _module(module: nn.Module, parts: list[Any], seen: dict[int, int]) -> None:
    count = len(seen)
    place = seen.setdefault(id(module), count)
    parts.append(place)
    if place != count:
        return
    own = module.__dict__
    kind: Any = type(module)
    if "parametrizations" in own["_modules"]:
        kind = parametrize.type_before_parametrizations(module)
    parts.append(kind)
    for table in ("_parameters", "_buffers"):
        for name, tensor in own[table].items():
            parts.append(name)
            _tensor(tensor, parts, seen)
    for name, child in own["_modules"].items():
        parts.append(name)
        if child is None:
            parts.append(None)
        else:
            _module(child, parts, seen)
    for name, value in own.items():
        if name not in _INTERNAL:
            parts.append(name)
            _value(value, parts, seen)
    if own["_forward_hooks"] or own["_forward_pre_hooks"] or own["_backward_hooks"] or own["_backward_pre_hooks"]:
        parts.append("hooks")
    parts.append(0.5)  # the end of a module


def _tensor(tensor: Tensor | None, parts: list[Any], seen: dict[int, int]) -> None:
    if tensor is None:
        parts.append(None)
        return
    count = len(seen)
    place = seen.setdefault(id(tensor), count)
    parts.append(place)
    if place == count:
        parts.append(tensor.shape)
        parts.append(tensor.dtype)


def _value(value: Any, parts: list[Any], seen: dict[int, int]) -> None:
    kind = type(value)
    if kind in _VALUES:
        parts.append(kind)
        parts.append(value)
    elif kind is float:
        parts.append(value.hex())
    elif kind is tuple or kind is list:
        parts.append(kind)
        parts.append(len(value))
        for item in value:
            _value(item, parts, seen)
    elif kind is dict:
        parts.append(kind)
        parts.append(len(value))
        for key, item in value.items():
            _value(key, parts, seen)
            _value(item, parts, seen)
    elif isinstance(value, Tensor):
        _tensor(value, parts, seen)
    elif isinstance(value, nn.Module):
        _module(value, parts, seen)
    elif isinstance(value, _NAMED):
        parts.append(value)
    else:
        parts.append(Same(value))
