"""What torch computes once a pass: tensors of parameters before the steps, gradients of parameters after them.

Weights' gradients are products over all tokens (steps of all rows) at once. What they take is kept by the engine, a row
for each token; the graph's own views are then run on these, with the number of tokens in place of the batch.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import fx

from latchwork.kernels.calls import Call, Recorder, Ref, run
from latchwork.kernels.elements import SAME, Elements, Ids, Pairs, Plain, Post, Row, Uniform, operation
from latchwork.types import Tensor

Key = tuple[str, int]


class Prologue:
    """The tensors of parameters that a program takes."""

    def __init__(self, elements: Elements, nodes: Sequence[fx.Node]) -> None:
        recorder = Recorder(elements)
        self.calls, self.results = recorder.finished([recorder.plain(node) for node in nodes])

    @property
    def plain(self) -> tuple[int | None, ...]:
        """Which of the cell's tensors each result is, as it stands; None for one that is made of them."""
        return tuple(key[1] if isinstance(key, tuple) and key[0] == "parameter" else None for key in self.results)

    def __call__(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        if not self.calls:  # most cells take their parameters as they are
            return [tensors[index].contiguous() for _, index in self.results]
        given = {("parameter", index): tensor for index, tensor in enumerate(tensors)}
        dtype = next((t.dtype for t in tensors if t.is_floating_point()), None)
        found = run(self.calls, given)
        return [found[key].to(dtype).contiguous() for key in self.results]


class Epilogue:
    """The gradients of parameters, from rows that were kept and from sums."""

    def __init__(self, calls: Sequence[Call], results: Sequence[Any], row_inputs: Sequence[Key]) -> None:
        self.calls, self.results, self.row_inputs = tuple(calls), tuple(results), tuple(row_inputs)

    def __call__(
        self, tensors: Sequence[Tensor], rows: Mapping[Key, Tensor], sums: Sequence[Tensor]
    ) -> list[Tensor | None]:
        given: dict[Any, Tensor] = {("parameter", index): tensor.detach() for index, tensor in enumerate(tensors)}
        given |= {key: rows[key] for key in self.row_inputs}
        given |= {("sum", index): tensor for index, tensor in enumerate(sums)}
        tokens = next((len(rows[key]) for key in self.row_inputs), 0)
        found = run(self.calls, given, tokens)
        return [None if key is None else found[key] for key in self.results]


_SHAPES = SAME | {"view", "_unsafe_view", "reshape", "permute", "t", "transpose", "unsqueeze", "squeeze"}


class Gradients:
    """Plans an :class:`Epilogue`. ``kept``: what has to be kept for it, ids by ("saved" | "cut" | "sum", index).

    known: arrays that the engine has anyway, a row for each token.
    """

    def __init__(self, elements: Elements, known: Mapping[Key, Ids]) -> None:
        self.elements = elements
        self.recorder = Recorder(elements)
        self.arrays: dict[Key, Ids] = dict(known)
        self.kept: dict[Key, Ids] = {}
        self.row_inputs: list[Key] = []
        gradients = {index: node for (kind, index), node in elements.trace.outputs if kind == "parameter"}
        count = sum(kind == "parameter" for kind, _ in elements.trace.inputs.values())
        self.results = [self.gradient(gradients[i]) if i in gradients else None for i in range(count)]

    def epilogue(self) -> Epilogue:
        return Epilogue(*self.recorder.finished(self.results), self.row_inputs)

    def widths(self, kind: str) -> tuple[int, ...]:
        """Of the arrays that are kept."""
        return tuple(ids.size for (other, _), ids in self.kept.items() if other == kind)

    def gradient(self, node: fx.Node) -> Ref | None:
        value = self.elements.values[node]
        if isinstance(value, Uniform) and value.value == 0:
            return None
        return self.argument(node)

    def argument(self, node: fx.Node) -> Ref:
        value = self.elements.values[node]
        if isinstance(value, Row):
            return self.row(node, value)
        if isinstance(value, Post) and isinstance(value.summed, Pairs):
            return self.paired(node, value.summed)
        if isinstance(value, Post) and isinstance(value.summed, Row):
            return self.summed(node, value.summed)
        if isinstance(value, Post):
            return self.recorder.node(node, self.argument)
        if isinstance(value, (Plain, Uniform)) and not self.elements.has_batch(self.elements.shape(node)):
            return self.recorder.plain(node)
        raise self.elements.refuse(node, "in the gradient of a parameter")

    def summed(self, node: fx.Node, row: Row) -> Ref:
        """The sum over the batch, added up by the engine; over other axes too, by torch."""
        flat = row.ids.reshape(-1)
        ids, places = np.unique(flat, return_inverse=True)
        if len(ids) == len(flat):
            whole = Ref(self.keep("sum", flat))
        else:
            whole = Ref(self.keep("sum", ids))
            index = torch.from_numpy(places.reshape(-1).astype(np.int64))
            whole = self.recorder.call((node, "pick"), _pick, whole, index)
        dims, keepdim = _summed_over(node, row.ids.ndim)
        return self.recorder.call(node, _sum_of, whole, tuple(row.ids.shape), dims, keepdim)

    def paired(self, node: fx.Node, pairs: Pairs) -> Ref:
        """The sum over the batch of a batched product: one product over all tokens."""
        x, y = pairs.node.args[:2]
        assert isinstance(x, fx.Node)
        assert isinstance(y, fx.Node)
        left, right = self.row(x, pairs.left), self.row(y, pairs.right)
        dims, keepdim = _summed_over(node, len(pairs.shape))
        return self.recorder.call(node, _paired, left, right, pairs.left.inner, pairs.shape, dims, keepdim)

    def row(self, node: fx.Node, row: Row) -> Ref:
        """A tensor of rows: an array that is kept anyway, seen as the graph sees it, or one kept for this."""
        if node in self.recorder.done:
            return Ref(node)
        found = self.find(row.ids.reshape(-1))
        if found is None and operation(node) in _SHAPES:
            (source,) = node.all_input_nodes
            before = self.elements.values[source]
            if isinstance(before, Row):
                return self.recorder.node(node, lambda _: self.row(source, before), batch=True)
        if found is None:
            found = (self.keep("cut" if row.cotangent else "saved", row.ids.reshape(-1)), 0)
        key, start = found
        if key not in self.row_inputs:
            self.row_inputs.append(key)
        return self.recorder.call(node, _rows, Ref(key), start, tuple(row.ids.shape), row.axis, row.outer, row.inner)

    def find(self, ids: Ids) -> tuple[Key, int] | None:
        """An array whose columns from some place on are these elements, and that place."""
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


def _summed_over(node: fx.Node, ndim: int) -> tuple[tuple[int, ...], bool]:
    args: Any = node.args
    dims = args[1] if len(args) > 1 and args[1] else range(ndim)
    keepdim: Any = args[2] if len(args) > 2 else node.kwargs.get("keepdim", False)
    return tuple(dims), keepdim


def _paired(
    left: Tensor, right: Tensor, inner: int, shape: tuple[int, ...], dims: tuple[int, ...], keepdim: bool
) -> Tensor:
    """Σ over tokens of left [tokens · inner, n, k] by right [tokens · inner, k, m], seen as ``shape`` and summed on."""
    tokens = left.shape[0] // inner
    left = left.reshape(tokens, inner, *left.shape[1:]).permute(1, 2, 0, 3).flatten(2)
    right = right.reshape(tokens, inner, *right.shape[1:]).transpose(0, 1).flatten(1, 2)
    return torch.bmm(left, right).reshape(shape).sum(dims, keepdim=keepdim)


def _pick(values: Tensor, index: Tensor) -> Tensor:
    return values[index.to(values.device)]


def _sum_of(values: Tensor, shape: tuple[int, ...], dims: tuple[int, ...], keepdim: bool) -> Tensor:
    return values.reshape(shape).sum(dims, keepdim=keepdim)


def _rows(kept: Tensor, start: int, shape: tuple[int, ...], axis: int, outer: int, inner: int) -> Tensor:
    """[tokens, width] as the graph has it: the tokens at ``axis``, between outer and inner."""
    tokens = kept.shape[0]
    columns = kept[:, start : start + math.prod(shape)]
    if len(shape) == 2 and shape[axis] == outer == inner == 1:
        return columns.t() if axis else columns
    before, after = shape[:axis], shape[axis + 1 :]
    spread = columns.reshape(tokens, *before, outer, inner, *after).movedim(0, len(before) + 1)
    return spread.reshape(*before, outer * tokens * inner, *after)
