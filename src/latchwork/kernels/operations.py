"""What each ATen operation makes of rows: views rearrange ids, the rest makes new ones."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import fx

from latchwork.kernels.elements import Elements, Ids, Pairs, Plain, Post, Row, Uniform
from latchwork.kernels.interpret import Handler, Interpreter
from latchwork.kernels.trace import Trace
from latchwork.kernels.weights import Calls
from latchwork.types import Tensor


def interpret(trace: Trace, where: str) -> Elements:
    """The elements of a graph. ``where`` names the method in errors."""
    return Interpreter(trace, where, HANDLERS).run()


# Views


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
    dim %= row.ids.ndim + 1
    axis = row.axis + (dim <= row.axis)
    return Row(np.expand_dims(row.ids, dim), axis, row.outer, row.inner, row.cotangent)


def _squeeze(it: Interpreter, node: fx.Node, x: Any, dims: Any = None) -> Row:
    row = it.row(x, node)
    ndim = row.ids.ndim
    asked = range(ndim) if dims is None else [d % ndim for d in ([dims] if isinstance(dims, int) else dims)]
    gone = [d for d in asked if d != row.axis and row.ids.shape[d] == 1]
    axis = row.axis - sum(d < row.axis for d in gone)
    return Row(row.ids.squeeze(tuple(gone)), axis, row.outer, row.inner, row.cotangent)


def _expand(it: Interpreter, node: fx.Node, x: Any, *_: Any, **__: Any) -> Row:
    form, (ids,) = it.align(node, [x])
    return form.like(ids if isinstance(ids, np.ndarray) else np.full(form.ids.shape, it.e.number(ids)))


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


def _whole(it: Interpreter, node: fx.Node, row: Row, dim: int) -> bool:
    """Whether ``dim`` is the batch's; it may be none but whole."""
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
    if _whole(it, node, row, dim):
        if it.e.shape(node) == it.e.shape(x):
            return row
        raise it.e.refuse(node, "which takes rows out of the batch")
    index = [slice(None)] * row.ids.ndim
    index[dim] = slice(start, end, step)
    return row.like(row.ids[tuple(index)])


def _select(it: Interpreter, node: fx.Node, x: Any, dim: int, index: int) -> Row:
    row = it.row(x, node)
    if _whole(it, node, row, dim):
        raise it.e.refuse(node, "which takes a row out of the batch")
    dim %= row.ids.ndim
    axis = row.axis - (dim < row.axis)
    return Row(row.ids.take(index, axis=dim), axis, row.outer, row.inner, row.cotangent)


def _split(it: Interpreter, node: fx.Node, x: Any, sizes: Any, dim: int = 0) -> list[Row]:
    row = it.row(x, node)
    if _whole(it, node, row, dim):
        raise it.e.refuse(node, "which splits the batch")
    if isinstance(sizes, int):
        ends = list(range(sizes, row.ids.shape[dim], sizes))
    else:
        ends = list(np.cumsum(sizes)[:-1])
    return [row.like(part) for part in np.split(row.ids, ends, axis=dim)]


def _unbind(it: Interpreter, node: fx.Node, x: Any, dim: int = 0) -> list[Row]:
    return [_select(it, node, x, dim, index) for index in range(it.row(x, node).ids.shape[dim])]


def _flip(it: Interpreter, node: fx.Node, x: Any, dims: Sequence[int]) -> Row:
    row = it.row(x, node)
    if any(_whole(it, node, row, dim) for dim in dims):
        raise it.e.refuse(node, "which turns the batch around")
    return row.like(np.flip(row.ids, tuple(dims)))


def _cat(it: Interpreter, node: fx.Node, parts: Sequence[Any], dim: int = 0) -> Row:
    shape = it.e.shape(node)
    dim %= len(shape)
    aligned: list[Row] = []
    for part in parts:
        own = it.e.shape(part)
        if math.prod(own) == 0:
            continue
        value = it.values[part]
        form, (ids,) = it.align(node, [value], own)
        row = form.like(ids if isinstance(ids, np.ndarray) else np.full(form.ids.shape, it.e.number(ids)))
        if _whole(it, node, row, dim):
            raise it.e.refuse(node, "which puts batches together")
        aligned.append(row)
    if len({(r.axis, r.outer, r.inner) for r in aligned}) != 1:
        raise it.e.refuse(node, "of different batch axes")
    first = aligned[0]
    ids = np.concatenate([r.ids for r in aligned], axis=dim)
    return Row(ids, first.axis, first.outer, first.inner, any(r.cotangent for r in aligned))


def _stack(it: Interpreter, node: fx.Node, parts: Sequence[Any], dim: int = 0) -> Row:
    rows = [_unsqueeze_row(it.row(part, node), dim % len(it.e.shape(node))) for part in parts]
    first = rows[0]
    if len({(r.axis, r.outer, r.inner) for r in rows}) != 1:
        raise it.e.refuse(node, "of different batch axes")
    ids = np.concatenate([r.ids for r in rows], axis=dim)
    return Row(ids, first.axis, first.outer, first.inner, any(r.cotangent for r in rows))


def _unsqueeze_row(row: Row, dim: int) -> Row:
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
    form, (ids,) = it.align(node, [x])
    ids = np.array(ids if isinstance(ids, np.ndarray) else np.full(form.ids.shape, it.e.number(ids)))
    source, (put,) = it.align(node, [part], it.e.shape(part))
    put = put if isinstance(put, np.ndarray) else np.full(source.ids.shape, it.e.number(put))
    index = [slice(None)] * ids.ndim
    if _whole(it, node, form, dim):
        if it.e.shape(part) != it.e.shape(node):
            raise it.e.refuse(node, "which takes rows out of the batch")
    else:
        index[dim] = slice(start, end, step)
    ids[tuple(index)] = put
    return Row(ids, form.axis, form.outer, form.inner, form.cotangent or source.cotangent)


def _select_scatter(it: Interpreter, node: fx.Node, x: Any, part: Any, dim: int, index: int) -> Row:
    form, (ids,) = it.align(node, [x])
    ids = np.array(ids if isinstance(ids, np.ndarray) else np.full(form.ids.shape, it.e.number(ids)))
    dim %= ids.ndim
    if dim == form.axis:
        raise it.e.refuse(node, "which takes a row out of the batch")
    source, (put,) = it.align(node, [part], it.e.shape(part))
    np.moveaxis(ids, dim, 0)[index] = put if isinstance(put, np.ndarray) else it.e.number(put)
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
    source, (put,) = it.align(node, [part], tuple(size))
    at, axis = _strided(it, node, row, size, stride, offset)
    if axis != source.axis:
        raise it.e.refuse(node)
    ids = np.array(row.ids.reshape(-1))
    ids[at] = put if isinstance(put, np.ndarray) else it.e.number(put)
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
    places = Calls(it.e).constant(index)
    if places is None or _whole(it, node, row, dim):
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
    return _expand(it, node, source)


def _same(it: Interpreter, node: fx.Node, x: Any, *_: Any, **__: Any) -> Any:
    return it.values[x]


def _to_copy(it: Interpreter, node: fx.Node, x: Any, **_: Any) -> Row:
    before, after = x.meta["val"].dtype, node.meta["val"].dtype
    row = it.row(x, node)
    if after == torch.bool and before != torch.bool:
        return it.pointwise(node, [x], lambda op, a: op("ne", a, 0.0))
    if before.is_floating_point and not after.is_floating_point:
        raise it.e.refuse(node, f"from {before} to {after}")
    return row


# Pointwise operations


def _unary(kind: str) -> Handler:
    return lambda it, node, x, **_: it.pointwise(node, [x], lambda op, a: op(kind, a))


def _binary(kind: str) -> Handler:
    return lambda it, node, x, y, **_: it.pointwise(node, [x, y], lambda op, a, b: op(kind, a, b))


def _logical(kind: str) -> Handler:
    def handler(it: Interpreter, node: fx.Node, *args: Any) -> Row:
        if any(a.meta["val"].dtype != torch.bool for a in args if isinstance(a, fx.Node)):
            raise it.e.refuse(node, "on numbers that are not bool")
        return it.pointwise(node, args, lambda op, *arrays: op(kind, *arrays))

    return handler


def _add(it: Interpreter, node: fx.Node, x: Any, y: Any, *, alpha: float = 1) -> Row:
    if node.meta["val"].dtype == torch.bool:
        return it.pointwise(node, [x, y], lambda op, a, b: op("or", a, b))
    return it.pointwise(node, [x, y], lambda op, a, b: op("add", a, b if alpha == 1 else op("mul", b, float(alpha))))


def _sub(it: Interpreter, node: fx.Node, x: Any, y: Any, *, alpha: float = 1) -> Row:
    return it.pointwise(node, [x, y], lambda op, a, b: op("sub", a, b if alpha == 1 else op("mul", b, float(alpha))))


def _rsub(it: Interpreter, node: fx.Node, x: Any, y: Any, alpha: float = 1) -> Row:
    return it.pointwise(node, [x, y], lambda op, a, b: op("sub", b, a if alpha == 1 else op("mul", a, float(alpha))))


def _div(it: Interpreter, node: fx.Node, x: Any, y: Any, *, rounding_mode: str | None = None) -> Row:
    if rounding_mode == "floor":
        return it.pointwise(node, [x, y], lambda op, a, b: op("floor", op("div", a, b)))
    if rounding_mode is not None:
        raise it.e.refuse(node, f"rounding to {rounding_mode}")
    return it.pointwise(node, [x, y], lambda op, a, b: op("div", a, b))


def _pow(it: Interpreter, node: fx.Node, x: Any, y: Any) -> Row:
    def compute(op: Any, a: Ids, b: Ids) -> Ids:
        power = it.e.constant(b)
        if power == 0:
            return np.full(a.shape, it.e.number(1.0))
        if power == 1:
            return a
        if power == 2:
            return op("mul", a, a)
        if power == 3:
            return op("mul", op("mul", a, a), a)
        simple = {0.5: "sqrt", -0.5: "rsqrt", -1.0: "reciprocal"}
        return op(simple[power], a) if power in simple else op("pow", a, b)

    return it.pointwise(node, [x, y], compute)


def _clamp(it: Interpreter, node: fx.Node, x: Any, low: Any = None, high: Any = None) -> Row:
    bounds = [(kind, bound) for kind, bound in (("maximum", low), ("minimum", high)) if bound is not None]

    def compute(op: Any, a: Ids, *limits: Ids) -> Ids:
        for (kind, _), limit in zip(bounds, limits, strict=True):
            a = op(kind, a, limit)
        return a

    return it.pointwise(node, [x, *(bound for _, bound in bounds)], compute)


def _where(it: Interpreter, node: fx.Node, condition: Any, x: Any, y: Any) -> Row:
    return it.pointwise(node, [condition, x, y], lambda op, *arrays: op("where", *arrays))


def _other_base(scale: float, kind: str) -> Handler:
    """log2, log10, exp2: another base."""
    if kind == "exp":
        return lambda it, node, x: it.pointwise(node, [x], lambda op, a: op("exp", op("mul", a, scale)))
    return lambda it, node, x: it.pointwise(node, [x], lambda op, a: op("mul", op("log", a), scale))


# Reductions


def _dims(row: Row, dims: Any) -> list[int]:
    if dims is None or (isinstance(dims, (list, tuple)) and not dims):
        return list(range(row.ids.ndim))
    return [d % row.ids.ndim for d in ([dims] if isinstance(dims, int) else dims)]


def _reduction(kind: str, *, mean: bool = False, negative: bool = False) -> Handler:
    def handler(it: Interpreter, node: fx.Node, x: Any, dims: Any = None, keepdim: bool = False, **_: Any) -> Any:
        value = it.values[x]
        if isinstance(value, Pairs) and kind == "sum" and not mean and value.outer == 1:
            if value.axis in [d % len(value.shape) for d in ([dims] if isinstance(dims, int) else dims or range(len(value.shape)))]:
                return Post(node, summed=value)
        row = it.row(x, node)
        axes = _dims(row, dims)
        if row.axis in axes:
            if kind != "sum" or mean:
                raise it.e.refuse(node, "over the batch; a row must not depend on the others")
            return Post(node, summed=row)
        kept = [axis for axis in range(row.ids.ndim) if axis not in axes]
        moved = row.ids.transpose([*kept, *axes])
        count = math.prod(row.ids.shape[axis] for axis in axes)
        flat = moved.reshape(-1, count)
        if negative:
            flat = it.e.op("neg", flat)
        result = it.e.reduce(kind, flat)
        if mean:
            result = it.e.op("mul", result, 1.0 / count, cotangent=row.cotangent)
        if negative:
            result = it.e.op("neg", result)
        shape = [1 if axis in axes else row.ids.shape[axis] for axis in range(row.ids.ndim)]
        result = result.reshape(shape)
        if keepdim:
            return row.like(result)
        axis = row.axis - sum(a < row.axis for a in axes)
        return Row(result.squeeze(tuple(axes)), axis, row.outer, row.inner, row.cotangent)

    return handler


# Products


def _matrix(it: Interpreter, value: Any) -> tuple[fx.Node, Tensor] | None:
    """Places of a matrix that is the same for all rows, or None."""
    if isinstance(value, Plain):
        return it.e.places(value.node)
    return None


def _mm(it: Interpreter, node: fx.Node, x: Any, y: Any) -> Any:
    left, right = it.values[x], it.values[y]
    if isinstance(left, Row) and isinstance(right, Row):
        return _outer(it, node, left, right, 1, 0)
    if isinstance(left, Row):
        return _product(it, node, left, right, turned=False)
    return _product(it, node, _flipped(it.row(right, node)), left, turned=True)


def _flipped(row: Row) -> Row:
    order = [*range(row.ids.ndim - 2), row.ids.ndim - 1, row.ids.ndim - 2]
    return Row(row.ids.transpose(order), order.index(row.axis), row.outer, row.inner, row.cotangent)


def _product(it: Interpreter, node: fx.Node, row: Row, other: Any, *, turned: bool) -> Row:
    """[…, batch, columns] times a matrix of parameters [columns, rows]; turned: it came as [rows, columns]."""
    found = _matrix(it, other)
    if found is None or row.axis != row.ids.ndim - 2:
        raise it.e.refuse(node, "on two values of a row at once")
    root, places = found
    matrix = places if turned else places.transpose(-1, -2)
    heads = row.ids.shape[0] * row.ids.shape[1] if row.ids.ndim == 3 else row.ids.shape[0]
    if row.ids.ndim == 3:
        matrix = matrix.unsqueeze(1).expand(-1, row.ids.shape[1], -1, -1)
        matrix = matrix.squeeze(1) if row.ids.shape[1] == 1 else matrix.reshape(heads, *matrix.shape[2:])
    else:
        matrix = matrix.unsqueeze(0).expand(heads, -1, -1)
    ids = it.e.product(row.ids.reshape(heads, -1), root, matrix)
    made = Row(ids.reshape(*row.ids.shape[:-1], -1), row.axis, row.outer, row.inner, row.cotangent)
    return _flipped(made) if turned else made


def _bmm(it: Interpreter, node: fx.Node, x: Any, y: Any) -> Any:
    left, right = it.values[x], it.values[y]
    if isinstance(left, Row) and isinstance(right, Row):
        if left.axis == 2 and right.axis == 1:
            return _outer(it, node, left, right, 2, 1)
        return _same_matrix(it, node, left, right)
    if isinstance(left, Row):
        return _product(it, node, left, right, turned=False)
    return _product(it, node, _flipped(it.row(right, node)), left, turned=True)


def _outer(it: Interpreter, node: fx.Node, left: Row, right: Row, first: int, second: int) -> Any:
    """A product whose sum goes over the batch: a weight's gradient."""
    if (left.axis, right.axis) != (first, second) or (left.outer, left.inner) != (right.outer, right.inner):
        raise it.e.refuse(node, "on two values of a row at once")
    return Post(node)


def _same_matrix(it: Interpreter, node: fx.Node, left: Row, right: Row) -> Row | Pairs:
    """[many, n, k] times [many, k, m], the batch among the many; one of them may be a parameter expanded over it."""
    if (left.axis, right.axis) != (0, 0) or (left.outer, left.inner) != (right.outer, right.inner):
        raise it.e.refuse(node, "on two values of a row at once")
    for row, other, turned in ((left, right, False), (_flipped(right), left, True)):
        root = it.e.vector_root(other.ids)
        if root is None:
            continue
        of, start = root
        places = torch.from_numpy((other.ids - start).astype(np.int32))
        matrix = places if turned else places.transpose(1, 2)
        many, count, columns = row.ids.shape
        matrix = matrix.unsqueeze(1).expand(-1, count, -1, -1).reshape(many * count, -1, columns)
        ids = it.e.product(row.ids.reshape(-1, columns), of, matrix).reshape(many, count, -1)
        made = row.like(ids)
        return _flipped(made) if turned else made
    shape = (left.ids.shape[0], left.ids.shape[1], right.ids.shape[2])
    return Pairs(node, left, right, shape, 0, left.outer, left.inner)


def _addmm(it: Interpreter, node: fx.Node, bias: Any, x: Any, y: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    made = _bmm(it, node, x, y) if len(it.e.shape(node)) == 3 else _mm(it, node, x, y)
    if isinstance(made, Post):
        raise it.e.refuse(node)
    form, (product, plus) = it.align(node, [made, bias])
    plus = plus if isinstance(plus, np.ndarray) else np.full(product.shape, it.e.number(plus))
    if alpha != 1:
        product = it.e.op("mul", product, float(alpha))
    if beta != 1:
        plus = it.e.op("mul", plus, float(beta))
    return form.like(it.e.op("add", product, plus))


HANDLERS: dict[str, Handler] = {
    **dict.fromkeys(("view", "_unsafe_view", "reshape"), _view),
    **dict.fromkeys(("clone", "alias", "detach", "contiguous", "lift_fresh", "lift_fresh_copy"), _same),
    **{
        name: _unary(name)
        for name in ["neg", "abs", "sqrt", "rsqrt", "reciprocal", "exp", "expm1", "log", "log1p", "sigmoid", "tanh"]
    },
    **{name: _unary(name) for name in ["relu", "erf", "sin", "cos", "sign", "floor"]},
    **{name: _binary(name) for name in ["mul", "maximum", "minimum", "lt", "le", "gt", "ge", "eq", "ne"]},
    **{f"logical_{name}": _binary(name) for name in ("and", "or")},
    **{f"bitwise_{name}": _logical(name) for name in ("and", "or")},
    **{f"__{name}__": _logical(name) for name in ("and", "or")},
    "logical_not": _unary("not"),
    "bitwise_not": _logical("not"),
    "logical_xor": _binary("ne"),
    "bitwise_xor": _logical("ne"),
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
    "_to_copy": _to_copy,
    "add": _add,
    "sub": _sub,
    "rsub": _rsub,
    "div": _div,
    "pow": _pow,
    "clamp": _clamp,
    "clamp_min": lambda it, node, x, low: _clamp(it, node, x, low),
    "clamp_max": lambda it, node, x, high: _clamp(it, node, x, None, high),
    "where": _where,
    "log2": _other_base(1 / math.log(2), "log"),
    "log10": _other_base(1 / math.log(10), "log"),
    "exp2": _other_base(math.log(2), "exp"),
    "isnan": lambda it, node, x: it.pointwise(node, [x], lambda op, a: op("ne", a, a)),
    "isinf": lambda it, node, x: it.pointwise(node, [x], lambda op, a: op("eq", op("abs", a), math.inf)),
    "trunc": lambda it, node, x: it.pointwise(
        node, [x], lambda op, a: op("mul", op("sign", a), op("floor", op("abs", a)))
    ),
    "sum": _reduction("sum"),
    "mean": _reduction("sum", mean=True),
    "amax": _reduction("amax"),
    "amin": _reduction("amax", negative=True),
    "mm": _mm,
    "bmm": _bmm,
    "addmm": _addmm,
    "baddbmm": _addmm,
}
