"""Operations that only rearrange the elements of a row: views, and what puts rows together."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from torch import fx

from latchwork.kernels.calls import constant
from latchwork.kernels.elements import SAME, Ids, Pairs, Plain, Row, Uniform
from latchwork.kernels.interpret import Handler, Interpreter


def _view(it: Interpreter, node: fx.Node, x: Any, size: Any = None, **_: Any) -> Row | Pairs:
    value = it.values[x]
    row = value if isinstance(value, Pairs) else it.row(value, node)
    before = row.shape if isinstance(row, Pairs) else row.ids.shape
    shape = it.e.shape(node)
    after = row.inner * math.prod(before[row.axis + 1 :])
    # The batch lies in the axis behind which there are too few elements to be the whole rest.
    behind = 1
    for axis in reversed(range(len(shape))):
        size = shape[axis]
        if size and size % it.e.batch == 0:
            if after % behind == 0 and size % (it.e.batch * (after // behind)) == 0:
                inner = after // behind
                outer = size // (it.e.batch * inner)
                target = (*shape[:axis], outer * inner, *shape[axis + 1 :])
                if isinstance(row, Pairs):
                    return replace(row, shape=target, axis=axis, outer=outer, inner=inner)
                return Row(row.ids.reshape(target), axis, outer, inner, row.cotangent)
            break
        behind *= size
    raise it.e.refuse(node, "which takes the batch apart")


def _permute(it: Interpreter, node: fx.Node, x: Any, dims: Sequence[int], **_: Any) -> Row:
    row = it.row(x, node)
    order = [d % row.ids.ndim for d in dims]
    return Row(row.ids.transpose(order), order.index(row.axis), row.outer, row.inner, row.cotangent)


def _transpose(it: Interpreter, node: fx.Node, x: Any, first: int = 0, second: int = 1, **_: Any) -> Row:
    order = list(range(it.row(x, node).ids.ndim))
    order[first], order[second] = order[second], order[first]
    return _permute(it, node, x, order)


def _unsqueeze(it: Interpreter, node: fx.Node, x: Any, dim: int) -> Row:
    row = it.row(x, node)
    return _with_axis(row, dim % (row.ids.ndim + 1))


def _squeeze(it: Interpreter, node: fx.Node, x: Any, dims: Any = None) -> Row:
    row = it.row(x, node)
    ndim = row.ids.ndim
    asked = range(ndim) if dims is None else [d % ndim for d in ([dims] if isinstance(dims, int) else dims)]
    gone = [d for d in asked if d != row.axis and row.ids.shape[d] == 1]
    axis = row.axis - sum(d < row.axis for d in gone)
    return Row(row.ids.squeeze(tuple(gone)), axis, row.outer, row.inner, row.cotangent)


def _expand(it: Interpreter, node: fx.Node, x: Any, *_: Any, **__: Any) -> Row:
    return it.broadcast(node, x, it.e.shape(node))


def _repeat(it: Interpreter, node: fx.Node, x: Any, repeats: Sequence[int]) -> Row:
    value = it.values[x]
    if isinstance(value, Row):
        lead = len(repeats) - value.ids.ndim
        if repeats[lead + value.axis] == 1:
            return Row(np.tile(value.ids, repeats), lead + value.axis, value.outer, value.inner, value.cotangent)
    elif isinstance(value, Plain):
        axes = [axis for axis, count in enumerate(repeats) if count % it.e.batch == 0]
        ids = it.e.vector(value.node)
        ids = ids.reshape(*(1,) * (len(repeats) - ids.ndim), *ids.shape)
        if len(axes) == 1 and ids.shape[axes[0]] == 1:
            times = [count // it.e.batch if axis == axes[0] else count for axis, count in enumerate(repeats)]
            return Row(np.tile(ids, times), axes[0], 1, times[axes[0]])
    raise it.e.refuse(node)


def _is_batch(row: Row, dim: int) -> bool:
    return dim % row.ids.ndim == row.axis


def _slice(
    it: Interpreter,
    node: fx.Node,
    x: Any,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> Row:
    row = it.row(x, node)
    if _is_batch(row, dim):
        return _batches(it, node, row, start, end, step)
    index = [slice(None)] * row.ids.ndim
    index[dim] = slice(start, end, step)
    return row.like(row.ids[tuple(index)])


def _batches(it: Interpreter, node: fx.Node, row: Row, start: int | None, end: int | None, step: int = 1) -> Row:
    """Whole batches out of several that lie one after the other."""
    places = _whole_batches(it, node, row, start, end, step)
    ids = np.moveaxis(row.ids, row.axis, 0).reshape(row.outer, row.inner, -1)[places]
    others = [size for axis, size in enumerate(row.ids.shape) if axis != row.axis]
    ids = np.moveaxis(ids.reshape(-1, *others), 0, row.axis)
    return Row(ids, row.axis, places.stop - places.start, row.inner, row.cotangent)


def _whole_batches(
    it: Interpreter, node: fx.Node, row: Row, start: int | None, end: int | None, step: int = 1
) -> slice:
    unit = it.e.batch * row.inner
    first, last, step = slice(start, end, step).indices(unit * row.outer)
    if step != 1 or first % unit or last % unit or last <= first:
        raise it.e.refuse(node, "which takes rows out of the batch")
    return slice(first // unit, last // unit)


def _select(it: Interpreter, node: fx.Node, x: Any, dim: int, index: int) -> Row:
    row = it.row(x, node)
    if _is_batch(row, dim):
        raise it.e.refuse(node, "which takes a row out of the batch")
    dim %= row.ids.ndim
    axis = row.axis - (dim < row.axis)
    return Row(np.asarray(row.ids.take(index, axis=dim)), axis, row.outer, row.inner, row.cotangent)


def _split(it: Interpreter, node: fx.Node, x: Any, sizes: Any, dim: int = 0) -> list[Row]:
    total = it.e.shape(x)[dim]
    ends = [*range(sizes, total, sizes), total] if isinstance(sizes, int) else np.cumsum(sizes).tolist()
    return [_slice(it, node, x, dim, start, end) for start, end in itertools.pairwise([0, *ends])]


def _unbind(it: Interpreter, node: fx.Node, x: Any, dim: int = 0) -> list[Row]:
    return [_select(it, node, x, dim, index) for index in range(it.row(x, node).ids.shape[dim])]


def _flip(it: Interpreter, node: fx.Node, x: Any, dims: Sequence[int]) -> Row:
    row = it.row(x, node)
    if any(_is_batch(row, dim) for dim in dims):
        raise it.e.refuse(node, "which turns the batch around")
    return row.like(np.flip(row.ids, tuple(dims)))


def _cat(it: Interpreter, node: fx.Node, parts: Sequence[Any], dim: int = 0) -> Row:
    rows = [it.broadcast(node, part, it.e.shape(part)) for part in parts if math.prod(it.e.shape(part))]
    return _together(it, node, rows, dim % len(it.e.shape(node)))


def _stack(it: Interpreter, node: fx.Node, parts: Sequence[Any], dim: int = 0) -> Row:
    dim %= len(it.e.shape(node))
    return _together(it, node, [_with_axis(it.broadcast(node, part, it.e.shape(part)), dim) for part in parts], dim)


def _together(it: Interpreter, node: fx.Node, rows: Sequence[Row], dim: int) -> Row:
    first = rows[0]
    if len({(row.axis, row.inner, row.axis == dim or row.outer) for row in rows}) != 1:
        raise it.e.refuse(node, "on two rows of the batch at once; a row must not depend on the others")
    outer = sum(row.outer for row in rows) if first.axis == dim else first.outer
    ids = np.concatenate([row.ids for row in rows], axis=dim)
    return Row(ids, first.axis, outer, first.inner, any(row.cotangent for row in rows))


def _with_axis(row: Row, dim: int) -> Row:
    return Row(np.expand_dims(row.ids, dim), row.axis + (dim <= row.axis), row.outer, row.inner, row.cotangent)


def _slice_scatter(
    it: Interpreter,
    node: fx.Node,
    x: Any,
    part: Any,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> Row:
    form, source = it.broadcast(node, x, it.e.shape(node)), it.broadcast(node, part, it.e.shape(part))
    ids = np.array(form.ids)
    index = [slice(None)] * ids.ndim
    if _is_batch(form, dim):
        if isinstance(it.values[x], Uniform):  # how the batch lies in it is for the other to say
            form = replace(form, outer=form.outer * form.inner // source.inner, inner=source.inner)
        places = _whole_batches(it, node, form, start, end, step)
        index[dim] = slice(places.start * form.inner, places.stop * form.inner)
    else:
        index[dim] = slice(start, end, step)
    ids[tuple(index)] = source.ids
    return Row(ids, form.axis, form.outer, form.inner, form.cotangent or source.cotangent)


def _select_scatter(it: Interpreter, node: fx.Node, x: Any, part: Any, dim: int, index: int) -> Row:
    form, source = it.broadcast(node, x, it.e.shape(node)), it.broadcast(node, part, it.e.shape(part))
    if _is_batch(form, dim):
        raise it.e.refuse(node, "which takes a row out of the batch")
    ids = np.array(form.ids)
    np.moveaxis(ids, dim, 0)[index] = source.ids
    return Row(ids, form.axis, form.outer, form.inner, form.cotangent or source.cotangent)


def _as_strided(
    it: Interpreter, node: fx.Node, x: Any, size: Sequence[int], stride: Sequence[int], offset: int | None = None
) -> Row:
    row = it.row(x, node)
    at, axis = _strided(it, node, row, size, stride, offset)
    return Row(row.ids.reshape(-1)[at], axis, 1, 1, row.cotangent)


def _as_strided_scatter(
    it: Interpreter,
    node: fx.Node,
    x: Any,
    part: Any,
    size: Sequence[int],
    stride: Sequence[int],
    offset: int | None = None,
) -> Row:
    row = it.row(x, node)
    source = it.broadcast(node, part, tuple(size))
    at, axis = _strided(it, node, row, size, stride, offset)
    if axis != source.axis:
        raise it.e.refuse(node)
    ids = np.array(row.ids.reshape(-1))
    ids[at] = source.ids
    return Row(ids.reshape(row.ids.shape), row.axis, 1, 1, row.cotangent or source.cotangent)


def _strided(
    it: Interpreter, node: fx.Node, row: Row, size: Sequence[int], stride: Sequence[int], offset: int | None
) -> tuple[Ids, int]:
    """The columns of a tensor with the batch in front, as what writing into a slice leaves behind; and its axis."""
    width = row.ids.size
    axes = [axis for axis, n in enumerate(size) if n == it.e.batch]
    if row.axis != 0 or row.outer * row.inner != 1 or len(axes) != 1 or stride[axes[0]] != width:
        raise it.e.refuse(node)
    at = np.array(offset or 0)
    for axis, (n, step) in enumerate(zip(size, stride, strict=True)):
        n = 1 if axis == axes[0] else n
        at = at[..., None] + np.arange(n) * step
    return at, axes[0]


def _index_select(it: Interpreter, node: fx.Node, x: Any, dim: int, index: Any) -> Row:
    row = it.row(x, node)
    places = constant(it.e, index)
    if places is None or _is_batch(row, dim):
        raise it.e.refuse(node, "with an index that is not the same for all rows")
    return row.like(row.ids.take(places.numpy(), axis=dim))


def _pad(it: Interpreter, node: fx.Node, x: Any, pad: Sequence[int], value: float = 0.0) -> Row:
    row = it.row(x, node)
    widths = [(0, 0)] * row.ids.ndim
    for position in range(len(pad) // 2):
        widths[row.ids.ndim - 1 - position] = (pad[2 * position], pad[2 * position + 1])
    if widths[row.axis] != (0, 0):
        raise it.e.refuse(node, "which adds rows to the batch")
    ids = row.ids
    for axis, (before, after) in enumerate(widths):
        ends = []
        for count in (before, after):
            shape = list(ids.shape)
            shape[axis] = max(count, 0)
            ends.append(np.full(shape, it.e.number(value)))
        inside = [slice(None)] * ids.ndim
        inside[axis] = slice(max(-before, 0), ids.shape[axis] - max(-after, 0))
        ids = np.concatenate([ends[0], ids[tuple(inside)], ends[1]], axis=axis)
    return row.like(ids)


def _copy(it: Interpreter, node: fx.Node, x: Any, source: Any, *_: Any) -> Row:
    return it.broadcast(node, source, it.e.shape(node))


def _same(it: Interpreter, node: fx.Node, x: Any, *_: Any, **__: Any) -> Any:
    return it.values[x]


VIEWS: dict[str, Handler] = {
    **dict.fromkeys(("view", "_unsafe_view", "reshape"), _view),
    **dict.fromkeys(SAME, _same),
    "permute": _permute,
    "transpose": _transpose,
    "t": _transpose,
    "unsqueeze": _unsqueeze,
    "squeeze": _squeeze,
    "expand": _expand,
    "repeat": _repeat,
    "slice": _slice,
    "select": _select,
    "split": _split,
    "split_with_sizes": _split,
    "unbind": _unbind,
    "flip": _flip,
    "cat": _cat,
    "stack": _stack,
    "slice_scatter": _slice_scatter,
    "select_scatter": _select_scatter,
    "as_strided": _as_strided,
    "as_strided_scatter": _as_strided_scatter,
    "index_select": _index_select,
    "constant_pad_nd": _pad,
    "copy": _copy,
}
