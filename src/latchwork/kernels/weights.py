"""What torch computes once a pass: tensors of parameters before the steps, gradients of parameters after them.

Weights' gradients are products over all tokens (steps of all rows) at once. What they take is kept by the engine, a row
for each token; the graph's own views are then run on these, with the number of tokens in place of the batch.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import fx

from latchwork.kernels.elements import Elements, Ids, Pairs, Plain, Post, Row, Uniform, operation
from latchwork.types import Tensor

Key = tuple[str, int]


@dataclass(frozen=True)
class Ref:
    """An argument that is what was computed under this key."""

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


@dataclass
class Calls:
    """Calls of torch in order. What is given stands under ("parameter", i), ("sum", i), ("saved", i) …"""

    elements: Elements
    calls: list[Call] = field(default_factory=list)
    done: set[Any] = field(default_factory=set)

    def call(self, key: Any, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Ref:
        if key not in self.done:
            self.done.add(key)
            self.calls.append(Call(key, function, args, kwargs))
        return Ref(key)

    def run(self, given: Mapping[Any, Tensor], tokens: int = 0) -> dict[Any, Any]:
        """Everything that was computed, by key."""
        found: dict[Any, Any] = dict(given)
        like = next((t for t in given.values() if t.is_floating_point()), None)

        def resolve(value: Any) -> Any:
            kind = type(value)
            if kind is Ref:
                return found[value.key]
            if kind is Tokens:
                return value.times * tokens
            if kind is Like:
                return None if like is None else getattr(like, value.what)
            if kind is list or kind is tuple:
                return kind(resolve(item) for item in value)
            return value

        for call in self.calls:
            kwargs = {name: resolve(value) for name, value in call.kwargs.items()}
            found[call.key] = call.function(*resolve(call.args), **kwargs)
        return found

    def plain(self, node: fx.Node) -> Ref:
        """A tensor made of parameters alone, or a constant."""
        if node.op == "placeholder":
            return Ref(self.elements.trace.inputs[node])
        if node.op == "get_attr":
            literal: Tensor = getattr(self.elements.trace.graph, str(node.target))
            # What is written as a number in the cell is float32 in the trace of a float32 cell.
            return self.call(node, _literal, literal, Like("dtype"), Like("device"))
        return self.torch(node, self.plain)

    def constant(self, node: fx.Node) -> Tensor | None:
        """A tensor that depends on nothing, or None."""
        seen, open_ = set(), [node]
        while open_:
            at = open_.pop()
            if at.op == "placeholder":
                return None
            if at not in seen:
                seen.add(at)
                open_.extend(at.all_input_nodes)
        ref = self.plain(node)
        return self.run({("like", 0): torch.zeros(())})[ref.key]

    def torch(self, node: fx.Node, argument: Callable[[fx.Node], Ref], batch: bool = False) -> Ref:
        """The node's own call. ``batch``: sizes that have the batch in them become tokens."""
        own = self.elements.trace.batch
        floating = next(
            (n.meta["val"].dtype for n in self.elements.trace.inputs if n.meta["val"].dtype.is_floating_point), None
        )

        def argued(value: Any) -> Any:
            if isinstance(value, fx.Node):
                return argument(value)
            if isinstance(value, (list, tuple)):
                return [argued(item) for item in value]
            if isinstance(value, torch.device):
                return Like("device")
            if isinstance(value, torch.dtype) and value == floating:
                return Like("dtype")
            if batch and type(value) is int and value and value % own == 0:
                return Tokens(value // own)
            return value

        target: Any = node.target
        if operation(node) in ("view", "_unsafe_view"):
            target = torch.reshape
        args = tuple(argued(value) for value in node.args)
        kwargs = {name: argued(value) for name, value in node.kwargs.items()}
        return self.call(node, target, *args, **kwargs)


def _literal(tensor: Tensor, dtype: torch.dtype | None, device: torch.device | None) -> Tensor:
    return tensor.to(device=device, dtype=dtype if tensor.is_floating_point() else None)


class Prologue:
    """The tensors of parameters that a program takes."""

    def __init__(self, elements: Elements, nodes: Sequence[fx.Node]) -> None:
        self.calls = Calls(elements)
        self.results = [self.calls.plain(node) for node in nodes]

    def __call__(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        given = {("parameter", index): tensor for index, tensor in enumerate(tensors)}
        dtype = next((t.dtype for t in tensors if t.is_floating_point()), None)
        found = self.calls.run(given)
        return [found[ref.key].to(dtype).contiguous() for ref in self.results]


_SHAPES = frozenset(
    "view _unsafe_view reshape permute t transpose unsqueeze squeeze clone alias detach contiguous".split()  # noqa: SIM905
)


class Epilogue:
    """The gradients of parameters, and what has to be kept for them: ids of elements by ("saved" | "cut" | "sum", k)."""

    def __init__(self, elements: Elements, known: Mapping[Key, Ids]) -> None:
        self.elements = elements
        self.calls = Calls(elements)
        self.arrays: dict[Key, Ids] = dict(known)
        self.kept: dict[Key, Ids] = {}
        self.row_inputs: list[Key] = []
        self.results: list[Ref | None] = []
        gradients = {index: node for (kind, index), node in elements.trace.outputs if kind == "parameter"}
        count = sum(kind == "parameter" for kind, _ in elements.trace.inputs.values())
        self.results = [self.gradient(gradients[i]) if i in gradients else None for i in range(count)]

    def gradient(self, node: fx.Node) -> Ref | None:
        value = self.elements.values[node]
        if isinstance(value, Uniform) and value.value == 0:
            return None
        return self.argument(node)

    def __call__(
        self, tensors: Sequence[Tensor], rows: Mapping[Key, Tensor], sums: Sequence[Tensor]
    ) -> list[Tensor | None]:
        given: dict[Any, Tensor] = {("parameter", index): tensor.detach() for index, tensor in enumerate(tensors)}
        given |= {key: rows[key] for key in self.row_inputs}
        given |= {("sum", index): tensor for index, tensor in enumerate(sums)}
        tokens = next((len(rows[key]) for key in self.row_inputs), 0)
        found = self.calls.run(given, tokens)
        return [None if ref is None else found[ref.key] for ref in self.results]

    def argument(self, node: fx.Node) -> Ref:
        value = self.elements.values[node]
        if isinstance(value, Row):
            return self.row(node, value)
        if isinstance(value, Post) and isinstance(value.summed, Pairs):
            return self.paired(node, value.summed)
        if isinstance(value, Post) and value.summed is not None:
            return self.summed(node, value.summed)
        if isinstance(value, Post):
            return self.calls.torch(node, self.argument)
        if isinstance(value, (Plain, Uniform)) and not self.elements.has_batch(self.elements.shape(node)):
            return self.calls.plain(node)
        raise self.elements.refuse(node, "in the gradient of a parameter")

    def summed(self, node: fx.Node, row: Row) -> Ref:
        """The sum over the batch, added up by the engine; over other axes too, by torch."""
        ids, places = np.unique(row.ids, return_inverse=True)
        key = self.keep("sum", ids)
        whole = Ref(key)
        if not np.array_equal(places.reshape(-1), np.arange(len(ids))):
            index = torch.from_numpy(places.reshape(-1).astype(np.int64))
            whole = self.calls.call((node, "pick"), _pick, whole, index)
        dims, keepdim = _summed_over(node, row.ids.ndim)
        return self.calls.call(node, _sum_of, whole, tuple(row.ids.shape), dims, keepdim)

    def paired(self, node: fx.Node, pairs: Pairs) -> Ref:
        """The sum over the batch of a batched product: one product over all tokens."""
        x, y = pairs.node.args[:2]
        assert isinstance(x, fx.Node)
        assert isinstance(y, fx.Node)
        left, right = self.row(x, pairs.left), self.row(y, pairs.right)
        dims, keepdim = _summed_over(node, len(pairs.shape))
        return self.calls.call(node, _paired, left, right, pairs.left.inner, pairs.shape, dims, keepdim)

    def row(self, node: fx.Node, row: Row) -> Ref:
        """A tensor of rows: an array that is kept anyway, seen as the graph sees it, or one kept for this."""
        if node in self.calls.done:
            return Ref(node)
        found = self.find(row.ids.reshape(-1))
        value = self.elements.values.get(node)
        if found is None and operation(node) in _SHAPES and isinstance(value, Row):
            (source,) = node.all_input_nodes
            before = self.elements.values[source]
            if isinstance(before, Row):
                return self.calls.torch(node, lambda _: self.row(source, before), batch=True)
        if found is None:
            kind = "cut" if row.cotangent else "saved"
            found = (self.keep(kind, row.ids.reshape(-1)), 0)
        key, start = found
        if key not in self.row_inputs:
            self.row_inputs.append(key)
        return self.calls.call(node, _rows, Ref(key), start, tuple(row.ids.shape), row.axis, row.outer, row.inner)

    def find(self, ids: Ids) -> tuple[Key, int] | None:
        """An array whose columns from some place on are these elements."""
        for key, array in self.arrays.items():
            if key[0] == "sum" or len(array) < len(ids):
                continue
            for start in np.flatnonzero(array[: len(array) - len(ids) + 1] == ids[0]):
                if np.array_equal(array[start : start + len(ids)], ids):
                    return key, int(start)
        return None

    def keep(self, kind: str, ids: Ids) -> Key:
        for key, array in self.kept.items():
            if key[0] == kind and np.array_equal(array, ids):
                return key
        key = (kind, sum(other == kind for other, _ in self.kept))
        self.kept[key] = self.arrays[key] = ids
        return key


def _summed_over(node: fx.Node, ndim: int) -> tuple[list[int], bool]:
    args: Any = node.args
    dims = args[1] if len(args) > 1 and args[1] else list(range(ndim))
    return dims, args[2] if len(args) > 2 else node.kwargs.get("keepdim", False)


def _paired(
    left: Tensor, right: Tensor, inner: int, shape: tuple[int, ...], dims: Sequence[int], keepdim: bool
) -> Tensor:
    """Σ over tokens of left [tokens · inner, n, k] by right [tokens · inner, k, m], seen as ``shape`` and summed on."""
    tokens = left.shape[0] // inner
    left = left.reshape(tokens, inner, *left.shape[1:]).permute(1, 2, 0, 3).flatten(2)
    right = right.reshape(tokens, inner, *right.shape[1:]).transpose(0, 1).flatten(1, 2)
    return torch.bmm(left, right).reshape(shape).sum(dims, keepdim=keepdim)


def _pick(values: Tensor, index: Tensor) -> Tensor:
    return values[index.to(values.device)]


def _sum_of(values: Tensor, shape: tuple[int, ...], dims: Sequence[int], keepdim: bool) -> Tensor:
    return values.reshape(shape).sum(dims, keepdim=keepdim)


def _rows(kept: Tensor, start: int, shape: tuple[int, ...], axis: int, outer: int, inner: int) -> Tensor:
    """[tokens, width] as the graph has it: the tokens at ``axis``, between outer and inner."""
    tokens = kept.shape[0]
    columns = kept[:, start : start + math.prod(shape)]
    before, after = shape[:axis], shape[axis + 1 :]
    spread = columns.reshape(tokens, *before, outer, inner, *after).movedim(0, len(before) + 1)
    return spread.reshape(*before, outer * tokens * inner, *after)
