"""What each node of a traced graph is: rows, numbers, parameters, or gradients of parameters."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import fx

from latchwork.kernels.elements import Elements, Ids, Pairs, Plain, Post, Row, Uniform, operation
from latchwork.kernels.trace import Trace
from latchwork.types import Tensor

Handler = Callable[..., Any]


class Interpreter:
    """Goes through a graph once, node by node. ``handlers`` say by name what an operation makes of rows."""

    def __init__(self, trace: Trace, where: str, handlers: Mapping[str, Handler]) -> None:
        self.e = Elements(trace, where)
        self.values = self.e.values
        self.handlers = handlers

    def run(self) -> Elements:
        for node in self.e.trace.graph.graph.nodes:
            if node.op == "placeholder":
                self.values[node] = self.placeholder(node)
            elif node.op == "get_attr":
                self.values[node] = Plain(node)
            elif node.op == "call_function":
                self.values[node] = self.call(node)
        return self.e

    def placeholder(self, node: fx.Node) -> Any:
        kind, index = self.e.trace.inputs[node]
        if kind == "parameter":
            return Plain(node)
        shape = self.e.shape(node)
        base = self.e.base("load", math.prod(shape[1:]), source=(kind, index))
        return Row(self.e.ids(base).reshape(1, *shape[1:]), 0, cotangent=kind.startswith("grad_"))

    def call(self, node: fx.Node) -> Any:
        name = operation(node)
        if name == "getitem":
            source, index = cast("tuple[fx.Node, int]", node.args)
            parent = self.values[source]
            return parent[index] if isinstance(parent, list) else type(parent)(node)
        given = [self.values[n] for n in node.all_input_nodes]
        flat = [v for value in given for v in (value if isinstance(value, list) else [value])]
        uniform = self.uniform(node, name, flat)
        if uniform is not None:
            return uniform
        val = node.meta["val"]
        shapes = [tuple(v.shape) for v in (val if isinstance(val, (list, tuple)) else [val])]
        batched = any(map(self.e.has_batch, shapes)) or any(
            isinstance(v, Uniform) and self.e.has_batch(v.shape) for v in flat
        )
        if not batched and not any(isinstance(v, (Row, Pairs)) for v in flat):
            self.without_batch(node)
            return Post(node) if any(isinstance(v, Post) for v in flat) else Plain(node)
        if any(isinstance(v, Post) for v in flat):
            raise self.e.refuse(node, "on a value made of the whole batch; a row must not depend on the others")
        handler = self.handlers.get(name)
        if handler is None:
            raise self.e.refuse(node)
        return handler(self, node, *node.args, **node.kwargs)

    def without_batch(self, node: fx.Node) -> None:
        """The size of the batch must not be among the arguments of what torch computes."""

        def walk(value: Any) -> None:
            if isinstance(value, (list, tuple)):
                for item in value:
                    walk(item)
            elif isinstance(value, int) and value and value % self.e.batch == 0:
                raise self.e.refuse(node, "on the size of the batch; a row must not depend on the others")

        walk([*node.args, *node.kwargs.values()])

    def uniform(self, node: fx.Node, name: str, given: Sequence[Any]) -> Uniform | None:
        """A tensor of one number, where that is plain to see."""
        args: Any = node.args
        value: Any = None
        if name in ("full", "full_like", "new_full"):
            value = args[2] if name == "new_full" else args[1]
        elif name == "scalar_tensor":
            value = args[0]
        elif name in _ZEROS:
            value = 0.0
        elif name in ("ones", "ones_like", "new_ones"):
            value = 1.0
        elif name in ("lift_fresh_copy", "lift_fresh") and args[0].op == "get_attr":
            literal: Tensor = getattr(self.e.trace.graph, str(args[0].target))
            value = literal.item() if literal.numel() == 1 else None
        elif given and all(isinstance(v, Uniform) for v in given) and isinstance(node.meta["val"], torch.Tensor):
            same = {v.value for v in given}
            if name in _SHAPED and (len(same) == 1 or any(v != v for v in same)):
                value = given[0].value
            elif name in _FOLDED:
                value = self.folded(node)
        if not isinstance(value, (bool, int, float)):
            return None
        return Uniform(float(self.not_the_batch(node, value)), self.e.shape(node))

    def not_the_batch(self, node: fx.Node, value: float) -> float:
        """A number, which must not be the size of the batch."""
        if type(value) is int and value and value % self.e.batch == 0:
            raise self.e.refuse(node, "on the size of the batch; a row must not depend on the others")
        return value

    def folded(self, node: fx.Node) -> float:
        """A pointwise operation on tensors of one number each."""

        def small(value: Any) -> Any:
            if isinstance(value, fx.Node):
                return torch.tensor(self.values[value].value, dtype=value.meta["val"].dtype)
            return [small(v) for v in value] if isinstance(value, (list, tuple)) else value

        target: Any = node.target
        return float(target(*small(node.args), **{k: small(v) for k, v in node.kwargs.items()}))

    # Operands

    def row(self, value: Any, node: fx.Node) -> Row:
        """A row, also of a number that has the batch in its shape."""
        if isinstance(value, fx.Node):
            value = self.values[value]
        if isinstance(value, Row):
            return value
        if isinstance(value, Pairs):
            return self.pairs(node, value)
        if isinstance(value, Uniform):
            axes = [axis for axis, size in enumerate(value.shape) if size and size % self.e.batch == 0]
            if len(axes) == 1:
                axis = axes[0]
                inner = value.shape[axis] // self.e.batch
                shape = (*value.shape[:axis], inner, *value.shape[axis + 1 :])
                return Row(np.full(shape, self.e.number(value.value)), axis, 1, inner)
        raise self.e.refuse(node, "on a value without a batch axis")

    def pairs(self, node: fx.Node, value: Pairs) -> Row:
        """A product of two values of a row, element by element where it is small."""
        left, right = value.left, value.right
        many, rows, columns = left.ids.shape
        width = right.ids.shape[2]
        if many * rows * width * (columns if columns > 1 else 0) > 4096 or many * rows * columns > 256:
            raise self.e.refuse(value.node, f"on two values of a row at once ({rows}x{columns} by {columns}x{width})")
        cotangent = left.cotangent or right.cotangent
        a = np.broadcast_to(left.ids[:, :, None, :], (many, rows, width, columns))
        b = np.broadcast_to(right.ids.transpose(0, 2, 1)[:, None, :, :], a.shape)
        ids = self.e.reduce("sum", self.e.op("mul", a, b, cotangent=cotangent).reshape(-1, columns))
        return Row(ids.reshape(value.shape), value.axis, value.outer, value.inner, cotangent)

    def align(
        self, node: fx.Node, operands: Sequence[Any], shape: tuple[int, ...] | None = None
    ) -> tuple[Row, list[Any]]:
        """Operands broadcast to the node's shape as arrays of ids, and a row of that form; numbers stay."""
        shape = self.e.shape(node) if shape is None else shape
        values = [self.values[o] if isinstance(o, fx.Node) else o for o in operands]
        values = [self.pairs(node, v) if isinstance(v, Pairs) else v for v in values]
        rows = [v for v in values if isinstance(v, Row)]
        if not rows:
            rows = [self.row(Uniform(0.0, shape), node)]
        axes = {len(shape) - r.ids.ndim + r.axis for r in rows}
        forms = {(r.outer, r.inner) for r in rows}
        if len(axes) > 1 or len(forms) > 1:
            raise self.e.refuse(node, "on two rows of the batch at once; a row must not depend on the others")
        (axis,), ((outer, inner),) = axes, forms
        if shape[axis] != outer * inner * self.e.batch:
            raise self.e.refuse(node, "across the batch")
        target = (*shape[:axis], outer * inner, *shape[axis + 1 :])
        arrays: list[Any] = []
        for value in values:
            if isinstance(value, Uniform):
                arrays.append(value.value)
            elif isinstance(value, (Row, Plain)):
                ids = value.ids if isinstance(value, Row) else self.e.vector(value.node)
                arrays.append(np.broadcast_to(ids, target))
            elif isinstance(value, (bool, int, float)):
                arrays.append(float(self.not_the_batch(node, value)))
            else:
                raise self.e.refuse(node)
        cotangent = any(r.cotangent for r in rows)
        return Row(np.full(target, self.e.number(0.0)), axis, outer, inner, cotangent), arrays

    def broadcast(self, node: fx.Node, value: Any, shape: tuple[int, ...]) -> Row:
        """A value broadcast to a shape that has the batch in it."""
        form, (ids,) = self.align(node, [value], shape)
        return form.like(ids if isinstance(ids, np.ndarray) else np.full(form.ids.shape, self.e.number(ids)))

    def pointwise(self, node: fx.Node, operands: Sequence[Any], compute: Callable[..., Ids]) -> Row:
        """``compute(op, *arrays)``, where op is :meth:`Elements.op`."""
        form, arrays = self.align(node, operands)

        def op(kind: str, *args: Any) -> Any:
            if not any(isinstance(a, np.ndarray) for a in args):
                args = tuple(np.full(form.ids.shape, self.e.number(a)) for a in args)
            return self.e.op(kind, *args, cotangent=form.cotangent)

        arrays = [a if isinstance(a, np.ndarray) else np.full(form.ids.shape, self.e.number(a)) for a in arrays]
        return form.like(compute(op, *arrays))


_ZEROS = frozenset(
    "zeros zeros_like new_zeros empty empty_like new_empty new_empty_strided empty_strided empty_permuted".split()  # noqa: SIM905
)
_FOLDED = frozenset(
    [
        "add",
        "sub",
        "rsub",
        "mul",
        "div",
        "neg",
        "abs",
        "sqrt",
        "rsqrt",
        "reciprocal",
        "exp",
        "expm1",
        "log",
        "log1p",
        "sigmoid",
        "tanh",
        "relu",
        "erf",
        "sin",
        "cos",
        "sign",
        "floor",
        "maximum",
        "minimum",
        "lt",
        "le",
        "gt",
        "ge",
        "eq",
        "ne",
        "logical_and",
        "logical_or",
        "logical_not",
        "bitwise_and",
        "bitwise_or",
        "bitwise_not",
        "pow",
        "where",
        "clamp",
        "_to_copy",
    ]
)
_SHAPED = frozenset(
    [
        "view",
        "_unsafe_view",
        "reshape",
        "permute",
        "t",
        "transpose",
        "unsqueeze",
        "squeeze",
        "expand",
        "slice",
        "select",
        "repeat",
        "clone",
        "alias",
        "detach",
        "contiguous",
        "lift_fresh",
        "lift_fresh_copy",
        "cat",
        "stack",
        "slice_scatter",
        "select_scatter",
        "copy",
        "as_strided",
        "flip",
    ]
)
