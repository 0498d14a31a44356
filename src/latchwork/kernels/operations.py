"""What each ATen operation makes of rows: pointwise operations, reductions and products make new elements."""

import math
from typing import Any

import numpy as np
import torch
from torch import fx

from latchwork.kernels.elements import Elements, Ids, Pairs, Plain, Post, Row
from latchwork.kernels.interpret import Handler, Interpreter
from latchwork.kernels.program import UNARY
from latchwork.kernels.trace import Trace
from latchwork.kernels.views import VIEWS
from latchwork.types import Tensor


def interpret(trace: Trace, where: str) -> Elements:
    """The elements of a graph. ``where`` names the method in errors."""
    return Interpreter(trace, where, HANDLERS).run()


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


def _to_copy(it: Interpreter, node: fx.Node, x: Any, **_: Any) -> Row:
    before, after = x.meta["val"].dtype, node.meta["val"].dtype
    row = it.row(x, node)
    if after == torch.bool and before != torch.bool:
        return it.pointwise(node, [x], lambda op, a: op("ne", a, 0.0))
    if before.is_floating_point and not after.is_floating_point:
        raise it.e.refuse(node, f"from {before} to {after}")
    return row


# Reductions


def _dims(ndim: int, dims: Any) -> list[int]:
    if dims is None or (isinstance(dims, (list, tuple)) and not dims):
        return list(range(ndim))
    return [d % ndim for d in ([dims] if isinstance(dims, int) else dims)]


def _reduction(kind: str, *, mean: bool = False, negative: bool = False) -> Handler:
    def handler(it: Interpreter, node: fx.Node, x: Any, dims: Any = None, keepdim: bool = False, **_: Any) -> Any:
        value = it.values[x]
        if isinstance(value, Pairs) and kind == "sum" and not mean and value.outer == 1:
            if value.axis in _dims(len(value.shape), dims):
                return Post(node, summed=value)
            value = it.pairs(node, value)
        row = it.row(value, node)
        axes = _dims(row.ids.ndim, dims)
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
    **VIEWS,
    **{name: _unary(name) for name in UNARY if name != "not"},
    **{name: _binary(name) for name in ("mul", "maximum", "minimum", "lt", "le", "gt", "ge", "eq", "ne")},
    **{f"logical_{name}": _binary(name) for name in ("and", "or")},
    **{f"bitwise_{name}": _logical(name) for name in ("and", "or")},
    "logical_not": _unary("not"),
    "bitwise_not": _logical("not"),
    "bitwise_xor": _logical("ne"),
    "add": _add,
    "sub": _sub,
    "rsub": _rsub,
    "div": _div,
    "pow": _pow,
    "clamp": _clamp,
    "clamp_min": lambda it, node, x, low: _clamp(it, node, x, low),
    "clamp_max": lambda it, node, x, high: _clamp(it, node, x, None, high),
    "where": _where,
    "log2": lambda it, node, x: it.pointwise(node, [x], lambda op, a: op("mul", op("log", a), 1 / math.log(2))),
    "log10": lambda it, node, x: it.pointwise(node, [x], lambda op, a: op("mul", op("log", a), 1 / math.log(10))),
    "exp2": lambda it, node, x: it.pointwise(node, [x], lambda op, a: op("exp", op("mul", a, math.log(2)))),
    "isnan": lambda it, node, x: it.pointwise(node, [x], lambda op, a: op("ne", a, a)),
    "isinf": lambda it, node, x: it.pointwise(node, [x], lambda op, a: op("eq", op("abs", a), math.inf)),
    "trunc": lambda it, node, x: it.pointwise(
        node, [x], lambda op, a: op("mul", op("sign", a), op("floor", op("abs", a)))
    ),
    "_to_copy": _to_copy,
    "sum": _reduction("sum"),
    "mean": _reduction("sum", mean=True),
    "amax": _reduction("amax"),
    "amin": _reduction("amax", negative=True),
    "mm": _mm,
    "bmm": _bmm,
    "addmm": _addmm,
    "baddbmm": _addmm,
}
