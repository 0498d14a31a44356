"""A traced graph as arrays of elements: every number that a row has gets an id, and views become index arithmetic.

A tensor with the batch in it is an array of ids of its other axes. What computes something makes a :class:`Base`, a run
of new ids: an input of the step, a vector or a number from the parameters, a pointwise operation, a reduction, a
product. Slices, permutes, cat and the like only rearrange ids, so that a gate and the gradient of a gate are the same
columns wherever they lie. What has no batch axis is left to torch: made of parameters alone (:class:`Plain`), or made
of rows, which are the gradients of weights (:class:`Post`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import fx

from latchwork.errors import KernelError
from latchwork.kernels.trace import Trace
from latchwork.types import Tensor

Ids = np.ndarray[Any, np.dtype[np.int64]]
Marks = np.ndarray[Any, np.dtype[np.bool_]]

LIMIT = 1 << 24
"""Most elements of a parameter that is read element by element."""


@dataclass(frozen=True)
class Row:
    """A tensor with the batch at ``axis``: ids of the rest, where that axis has outer · inner entries.

    The axis of the tensor has size outer · batch · inner: a view may have merged the batch with its neighbours.
    ``cotangent``: it was made of cotangents.
    """

    ids: Ids
    axis: int
    outer: int = 1
    inner: int = 1
    cotangent: bool = False

    def like(self, ids: Ids) -> "Row":
        return Row(ids, self.axis, self.outer, self.inner, self.cotangent)


@dataclass(frozen=True)
class Pairs:
    """A batched product of two rows, [many, n, k] by [many, k, m], not computed yet: where it is summed over the batch
    it is a weight's gradient. ``shape``, axis, outer, inner: how the result is seen now, as in :class:`Row`.
    """

    node: fx.Node
    left: Row
    right: Row
    shape: tuple[int, ...]
    axis: int
    outer: int
    inner: int

    @property
    def cotangent(self) -> bool:
        return self.left.cotangent or self.right.cotangent


@dataclass(frozen=True)
class Uniform:
    """A tensor of one number. Its shape may have the batch in it."""

    value: float
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Plain:
    """A tensor made of parameters alone."""

    node: fx.Node


@dataclass(frozen=True)
class Post:
    """A tensor made of rows that has no batch axis any more. ``summed``: the row whose sum over the batch it is."""

    node: fx.Node
    summed: Row | Pairs | None = None


@dataclass(eq=False)
class Base:
    """``size`` elements from id ``start`` on.

    load: ``source`` (kind, index). vector: of the prologue's tensor ``node``. number: ``value``. pointwise: ``kind``
    of ``args``, arrays of size ids. reduce: ``kind`` over the second axis of args[0]. product: element (h, j), given
    by ``coordinates`` h · rows + j, is the sum over i of args[0][h, i] · M[h, j, i], where ``matrix`` holds the
    places of M's elements in the prologue's tensor ``node``.
    """

    form: str
    start: int
    size: int
    kind: str = ""
    args: list[Ids] = field(default_factory=list)
    source: tuple[str, int] = ("", 0)
    node: fx.Node | None = None
    value: float = 0.0
    matrix: Tensor | None = None
    coordinates: Ids | None = None


class Elements:
    """The bases of a graph, and for each node what it is."""

    def __init__(self, trace: Trace, where: str) -> None:
        self.trace = trace
        self.where = where
        self.batch = trace.batch
        self.bases: list[Base] = []
        self.count = 0
        self.values: dict[fx.Node, Any] = {}
        self._numbers: dict[str, int] = {}
        self._number_of: dict[int, float] = {}
        self._vectors: dict[fx.Node, Base] = {}
        self._places: dict[fx.Node, tuple[fx.Node, Any]] = {}
        self._known: dict[Any, Base] = {}

    # Bases

    def base(self, form: str, size: int, **about: Any) -> Base:
        made = Base(form, self.count, size, **about)
        self.bases.append(made)
        self.count += size
        return made

    def ids(self, base: Base) -> Ids:
        return np.arange(base.start, base.start + base.size)

    def number(self, value: float) -> int:
        """The id of a number; 0.0 and -0.0 are two."""
        key = float(value).hex()
        if key not in self._numbers:
            made = self.base("number", 1, value=float(value))
            self._numbers[key] = made.start
            self._number_of[made.start] = made.value
        return self._numbers[key]

    def constant(self, ids: Ids) -> float | None:
        """The number that all of these elements are, or None."""
        if not ids.size:
            return None
        first = int(ids.flat[0])
        return self._number_of.get(first) if (ids == first).all() else None

    def shape(self, node: fx.Node) -> tuple[int, ...]:
        return tuple(node.meta["val"].shape)

    def has_batch(self, shape: tuple[int, ...]) -> bool:
        return any(size and size % self.batch == 0 for size in shape)

    def refuse(self, node: fx.Node | str, why: str = "") -> KernelError:
        name = node if isinstance(node, str) else str(node.target)
        return KernelError(f"{self.where} uses {name}{', ' + why if why else ', which is outside the compiled set'}")

    # Tensors of parameters, element by element

    def places(self, node: fx.Node) -> tuple[fx.Node, Any]:
        """The tensor that ``node`` is a view of, and where its elements lie there (int32, shaped as the node)."""
        if node not in self._places:
            self._places[node] = self._find_places(node)
        return self._places[node]

    def _find_places(self, node: fx.Node) -> tuple[fx.Node, Any]:
        name = operation(node)
        if name == "getitem":
            parent: Any = node.args[0]
            if isinstance(parent, fx.Node) and operation(parent) in _VIEWS:
                root, parts = self.places(parent)
                return root, parts[node.args[1]]
        elif name in _VIEWS and isinstance(node.args[0], fx.Node):
            root, places = self.places(node.args[0])
            if name in ("view", "_unsafe_view", "reshape"):
                return root, places.reshape(node.args[1])
            if name in SAME:
                return root, places
            target: Any = node.target
            return root, target(places, *node.args[1:], **node.kwargs)
        value = node.meta["val"]
        if isinstance(value, (list, tuple)):
            raise self.refuse(node)
        if value.numel() > 2**31 - 1:
            raise self.refuse(node, "a tensor of more than 2³¹ elements")
        return node, torch.arange(value.numel(), dtype=torch.int32).reshape(value.shape)

    def vector(self, node: fx.Node) -> Ids:
        """A tensor of parameters as ids."""
        root, places = self.places(node)
        if root not in self._vectors:
            size = root.meta["val"].numel()
            if size > LIMIT:
                raise self.refuse(node, f"a tensor of {size} elements taken element by element")
            self._vectors[root] = self.base("vector", size, node=root)
        return np.asarray(self._vectors[root].start + places.numpy().astype(np.int64))

    def vector_root(self, ids: Ids) -> tuple[fx.Node, int] | None:
        """The one tensor of parameters that all of these elements are of, and its first id; or None."""
        for root, base in self._vectors.items():
            if ((ids >= base.start) & (ids < base.start + base.size)).all():
                return root, base.start
        return None

    def strided(self, root: fx.Node, places: Tensor) -> bool:
        """Whether these places were never copied, so that their strides say where everything is."""
        whole: Tensor = self.places(root)[1]
        return places.untyped_storage().data_ptr() == whole.untyped_storage().data_ptr()

    # Pointwise operations, reductions and products

    def op(self, kind: str, *args: "Ids | float", cotangent: bool = False) -> Ids:
        """``kind`` of arrays of ids of one shape, and numbers: known results first, a new base for the rest."""
        shape = np.broadcast_shapes(*(a.shape for a in args if isinstance(a, np.ndarray)))
        arrays = [
            np.broadcast_to(a if isinstance(a, np.ndarray) else np.int64(self.number(a)), shape).reshape(-1)
            for a in args
        ]
        # A literal 0 is not folded: 0 · ∞ is no number. In a gradient, 0 stands for what was never there.
        known = self._simplify(kind, arrays, cotangent)
        open_ = known < 0
        if open_.all():
            return self._pointwise(kind, arrays).reshape(shape)
        if open_.any():
            known[open_] = self._pointwise(kind, [a[open_] for a in arrays])
        return known.reshape(shape)

    def _pointwise(self, kind: str, arrays: list[Ids]) -> Ids:
        constants = [self.constant(a) for a in arrays]
        if all(c is not None for c in constants):
            value = number_of(kind, [c for c in constants if c is not None])
            return np.full(arrays[0].shape, self.number(value))
        if kind in _COMMUTE and arrays[0][0] > arrays[1][0]:
            arrays = [arrays[1], arrays[0]]
        key = (kind, *(a.tobytes() for a in arrays))
        if key not in self._known:
            self._known[key] = self.base("pointwise", len(arrays[0]), kind=kind, args=[np.array(a) for a in arrays])
        return self.ids(self._known[key])

    def _simplify(self, kind: str, arrays: list[Ids], cotangent: bool) -> Ids:
        """Elements whose result is known, and -1 for the others."""
        zero, one = self.number(0.0), self.number(1.0)
        known = np.full(arrays[0].shape, -1, dtype=np.int64)
        a, b = arrays[0], arrays[-1]
        if kind == "add":
            known = np.where(b == zero, a, np.where(a == zero, b, known))
        elif kind == "sub":
            known = np.where(b == zero, a, known)
        elif kind == "mul":
            known = np.where(b == one, a, np.where(a == one, b, known))
            if cotangent:
                known = np.where((a == zero) | (b == zero), zero, known)
        elif kind == "div":
            known = np.where(b == one, a, known)
            if cotangent:
                known = np.where(a == zero, zero, known)
        elif kind == "neg":
            known = np.where(a == zero, zero, known)
        elif kind == "where":
            known = np.where(arrays[1] == arrays[2], arrays[1], known)
        return known

    def reduce(self, kind: str, ids: Ids) -> Ids:
        """``sum`` or ``amax`` over the last axis of [n, m]."""
        outer, inner = ids.shape
        if inner == 0:
            raise self.refuse(kind, "over no elements")
        if inner == 1:
            return ids[:, 0]
        constants = [self.constant(row) for row in ids]
        if all(c is not None for c in constants):
            return np.array([self.number((c or 0.0) * (inner if kind == "sum" else 1)) for c in constants])
        if inner <= min(outer, 64):
            total = ids[:, 0]
            for column in range(1, inner):
                total = self.op("add" if kind == "sum" else "maximum", total, ids[:, column])
            return total
        if outer > 256:
            raise self.refuse(kind, f"{outer} reductions over {inner} columns each in one row")
        key = ("reduce", kind, ids.shape, ids.tobytes())
        if key not in self._known:
            self._known[key] = self.base("reduce", outer, kind=kind, args=[np.array(ids)])
        return self.ids(self._known[key])

    def product(self, operand: Ids, root: fx.Node, matrix: Tensor) -> Ids:
        """operand [heads, columns], matrix [heads, rows, columns] of places in ``root`` -> [heads, rows]."""
        heads, rows, _ = matrix.shape
        zero = self.number(0.0)
        if (operand == zero).all():
            return np.full((heads, rows), zero)
        key = ("product", root, matrix.stride(), matrix.storage_offset(), tuple(matrix.shape), operand.tobytes())
        if not self.strided(root, matrix):
            key = (*key, matrix.numpy().tobytes())
        if key not in self._known:
            self._known[key] = self.base(
                "product",
                heads * rows,
                args=[np.array(operand)],
                node=root,
                matrix=matrix,
                coordinates=np.arange(heads * rows),
            )
        return self.ids(self._known[key]).reshape(heads, rows)


def number_of(kind: str, args: Sequence[float]) -> float:
    """An operation on plain numbers, as torch does it."""
    tensors = [torch.tensor(a, dtype=torch.float64) for a in args]
    names = {"neg": "neg", "not": "logical_not", "and": "logical_and", "or": "logical_or", "erf": "erf"}
    if kind == "where":
        return args[1] if args[0] != 0 else args[2]
    return float(getattr(torch, names.get(kind, kind))(*tensors))


def operation(node: fx.Node) -> str:
    """The name of what a node calls, without its overload."""
    target: Any = node.target
    if node.op != "call_function":
        return node.op
    packet = getattr(target, "_overloadpacket", None)
    return packet.__name__ if packet is not None else target.__name__


_COMMUTE = frozenset({"add", "mul", "maximum", "minimum", "eq", "ne", "and", "or"})
SAME = frozenset({"clone", "alias", "detach", "contiguous", "lift_fresh", "lift_fresh_copy"})
_VIEWS = SAME | frozenset(
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
        "split",
        "split_with_sizes",
        "unbind",
    ]
)
