"""Calls of torch that are taken from a graph once and made again each pass, on other tensors."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import fx

from latchwork.kernels.elements import Elements, operation
from latchwork.types import Tensor


@dataclass(frozen=True)
class Ref:
    """An argument that is what was computed, or given, under this key."""

    key: Any


@dataclass(frozen=True)
class Tokens:
    """An argument that is this many times the number of tokens."""

    times: int


@dataclass(frozen=True)
class Like:
    """An argument that is the type or the device of the tensors that are given."""

    what: str


@dataclass(frozen=True)
class Call:
    """One call of torch, and the key of its result."""

    key: Any
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    @cached_property
    def simple(self) -> bool:
        """Whether nothing but whole arguments has to be looked up."""
        return not self.kwargs and not any(
            isinstance(value, (Tokens, Like)) or (isinstance(value, (list, tuple)) and not _constant(value))
            for value in self.args
        )


def _constant(values: Sequence[Any]) -> bool:
    return all(isinstance(value, (int, float)) or value is None for value in values)


def run(calls: Sequence[Call], given: Mapping[Any, Tensor], tokens: int = 0) -> dict[Any, Any]:
    """Everything that was given and computed, by key."""
    found: dict[Any, Any] = dict(given)
    like = next((t for t in given.values() if t.is_floating_point()), None)
    for call in calls:
        if call.simple:
            args = [found[value.key] if type(value) is Ref else value for value in call.args]
            found[call.key] = call.function(*args)
        else:
            kwargs = {name: _resolved(value, found, like, tokens) for name, value in call.kwargs.items()}
            found[call.key] = call.function(*_resolved(call.args, found, like, tokens), **kwargs)
    return found


def _resolved(value: Any, found: Mapping[Any, Any], like: Tensor | None, tokens: int) -> Any:
    """An argument with what it refers to. Not a function inside ``run``: one that calls itself holds itself, and all
    arrays of the pass with it, until the garbage is collected.
    """
    kind = type(value)
    if kind is Ref:
        return found[value.key]
    if kind is Tokens:
        return value.times * tokens
    if kind is Like:
        return None if like is None else getattr(like, value.what)
    if kind is list or kind is tuple:
        return kind(_resolved(item, found, like, tokens) for item in value)
    return value


@dataclass
class Recorder:
    """Takes calls from a graph, in order. What is given has pairs for keys: ("parameter", i), ("saved", i) …"""

    elements: Elements
    calls: list[Call] = field(default_factory=list)
    done: set[Any] = field(default_factory=set)

    def call(self, key: Any, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Ref:
        """A call of any function; one for each key."""
        if key not in self.done:
            self.done.add(key)
            self.calls.append(Call(key, function, args, kwargs))
        return Ref(key)

    def plain(self, node: fx.Node) -> Ref:
        """A tensor made of parameters alone, or a constant."""
        if node.op == "placeholder":
            return Ref(self.elements.trace.inputs[node])
        if node.op == "get_attr":
            literal: Tensor = getattr(self.elements.trace.graph, str(node.target))
            return self.call(node, _literal, literal, Like("dtype"), Like("device"))
        return self.node(node, self.plain)

    def node(self, node: fx.Node, argument: Callable[[fx.Node], Ref], *, batch: bool = False) -> Ref:
        """The node's own call. ``batch``: sizes that have the batch in them become tokens."""
        own, traced = self.elements.trace.batch, self.elements.trace.dtype

        def argued(value: Any) -> Any:
            if isinstance(value, fx.Node):
                return argument(value)
            if isinstance(value, (list, tuple)):
                return [argued(item) for item in value]
            if isinstance(value, torch.device):
                return Like("device")
            if isinstance(value, torch.dtype) and value == traced:
                return Like("dtype")
            if batch and type(value) is int and value and value % own == 0:
                return Tokens(value // own)
            return value

        target: Any = torch.reshape if operation(node) in ("view", "_unsafe_view") else node.target
        args = tuple(argued(value) for value in node.args)
        kwargs = {name: argued(value) for name, value in node.kwargs.items()}
        return self.call(node, target, *args, **kwargs)

    def finished(self, results: Sequence[Ref | None]) -> tuple[tuple[Call, ...], list[Any]]:
        """The calls and the keys of these results, without the graph that they were taken from."""
        names = {call.key: index for index, call in enumerate(self.calls)}

        def renamed(value: Any) -> Any:
            if isinstance(value, Ref):
                return Ref(names.get(value.key, value.key))
            if isinstance(value, (list, tuple)):
                return type(value)(renamed(item) for item in value)
            return value

        calls = tuple(
            replace(
                call,
                key=names[call.key],
                args=renamed(call.args),
                kwargs={name: renamed(value) for name, value in call.kwargs.items()},
            )
            for call in self.calls
        )
        return calls, [None if ref is None else renamed(ref).key for ref in results]


def constant(elements: Elements, node: fx.Node) -> Tensor | None:
    """A tensor that depends on nothing but the cell's structure, or None."""
    seen: set[fx.Node] = set()
    open_ = [node]
    while open_:
        at = open_.pop()
        if at.op == "placeholder":
            return None
        if at not in seen:
            seen.add(at)
            open_.extend(at.all_input_nodes)
    recorder = Recorder(elements)
    ref = recorder.plain(node)
    return run(recorder.calls, {("like", 0): torch.zeros((), dtype=elements.trace.dtype)})[ref.key]


def _literal(tensor: Tensor, dtype: torch.dtype | None, device: torch.device | None) -> Tensor:
    """A tensor that is written out in the cell: float32 there, whatever the cell computes in."""
    return tensor.to(device=device, dtype=dtype if tensor.is_floating_point() else None)
