"""What a cell is, without its numbers: two cells of one structure have the same program."""

from collections.abc import Mapping
from enum import Enum
from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType, WrapperDescriptorType
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils import parametrize

from latchwork.errors import KernelError
from latchwork.types import Tensor

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_INTERNAL = frozenset(nn.Module().__dict__) - {"training"}
_VALUES = frozenset({int, str, bool, bytes, type(None), complex, torch.dtype, torch.device, torch.Size, type(...)})
_NAMED = (type, FunctionType, BuiltinFunctionType, WrapperDescriptorType, Enum)
_OF_CLASSES = frozenset({"__dict__", "__weakref__", "__doc__", "__module__", "__annotations__", "_abc_impl"})


def structure(cell: nn.Module) -> tuple[Any, ...]:
    """A hashable description: classes with their attributes, attributes by value, shapes and types of tensors, which of
    them are one and the same, training flags, hooks.

    Raises :class:`KernelError` for an attribute whose changes could not be seen. What a step takes from elsewhere
    (globals, closures) is read when it is traced, and not again.
    """
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
    for base in kind.__mro__:
        if base.__module__.startswith(("torch.", "latchwork.")):
            break
        for name, value in vars(base).items():
            if name not in _OF_CLASSES:
                parts.append(name)
                _value(value, parts, seen, f"{kind.__name__}.{name}")
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
            _value(value, parts, seen, f"{kind.__name__}.{name}")
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


def _value(value: Any, parts: list[Any], seen: dict[int, int], name: str) -> None:
    kind = type(value)
    if kind in _VALUES:
        parts.append(kind)
        parts.append(value)
    elif kind is float:
        parts.append(value.hex())
    elif kind in (tuple, list, set, frozenset) or isinstance(value, tuple):
        parts.append(kind)
        parts.append(len(value))
        for item in sorted(value, key=repr) if kind in (set, frozenset) else value:
            _value(item, parts, seen, name)
    elif isinstance(value, Mapping):
        parts.append(kind)
        parts.append(len(value))
        for key, item in value.items():
            _value(key, parts, seen, name)
            _value(item, parts, seen, name)
    elif isinstance(value, Tensor):
        _tensor(value, parts, seen)
    elif isinstance(value, nn.Module):
        _module(value, parts, seen)
    elif isinstance(value, _NAMED):
        parts.append(value)
    elif isinstance(value, partial):
        parts.append(kind)
        _value((value.func, value.args, value.keywords), parts, seen, name)
    elif kind in (MethodType, classmethod, staticmethod):
        _value(value.__func__, parts, seen, name)
        _value(getattr(value, "__self__", None), parts, seen, name)
    elif kind is property:
        for part in (value.fget, value.fset, value.fdel):
            _value(part, parts, seen, name)
    elif isinstance(value, np.ndarray) and value.dtype != object:
        parts += (value.shape, value.dtype.str, value.tobytes())
    elif hasattr(value, "__dict__") and not hasattr(kind, "__slots__") and not callable(value):
        place = seen.setdefault(id(value), len(seen))
        parts += (kind, place)
        if place == len(seen) - 1:
            for key, item in vars(value).items():
                parts.append(key)
                _value(item, parts, seen, f"{name}.{key}")
    else:
        raise KernelError(
            f"{name} is a {kind.__name__}, whose changes a compiled step could not see; keep numbers, strings, lists, "
            "dictionaries, tensors as buffers, or plain objects of these"
        )
