"""From elements to operations: one step and its vector-Jacobian product as one list, before it is split in two."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import fx

from latchwork.errors import KernelError
from latchwork.kernels.elements import Base, Elements, Ids, number_of
from latchwork.kernels.layout import Layout, Target
from latchwork.kernels.program import Op, Program, Source, Term, Value, Write


@dataclass
class Lowered:
    """Operations in order, what is written of them, and the tensors that the prologue has to make."""

    ops: list[Op] = field(default_factory=list)
    writes: list[Write] = field(default_factory=list)
    weights: list[fx.Node] = field(default_factory=list)


def lower(elements: Elements, targets: Mapping[Target, Ids]) -> Lowered:
    """Operations that compute ``targets``: (kind, index) as in :class:`Write` -> ids, in the order of the columns."""
    if not targets or not any(ids.size for ids in targets.values()):
        return Lowered()
    targets = {target: ids for target, ids in targets.items() if ids.size}
    return _Lowering(Layout(elements, targets)).run()


class _Lowering:
    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.made = Lowered()
        self.value: dict[int, int] = {}  # the value that begins at an id
        self.known: dict[Op, int] = {}

    def run(self) -> Lowered:
        needed = self.needed()
        for base in self.layout.bases:
            for first, end in self.layout.segments(base):
                if base.form != "number" and base.start + first in needed:
                    self.value[base.start + first] = self.emit(base, first, end)
        for (kind, index), ids in self.layout.targets.items():
            for first, end in self.layout.runs(ids, self.layout.target_cuts[kind, index]):
                self.made.writes.append(Write(kind, index, first, self.whole(ids[first:end])))
        return self.made

    def needed(self) -> set[int]:
        """Where the values begin that something written needs."""
        needed: set[int] = set()

        def need(ids: Ids) -> None:
            needed.update(int(ids[first]) for first, _ in self.layout.runs(ids))

        for target, ids in self.layout.targets.items():
            needed.update(int(ids[first]) for first, _ in self.layout.runs(ids, self.layout.target_cuts[target]))
        for base in reversed(self.layout.bases):
            for first, end in self.layout.segments(base):
                if base.start + first not in needed:
                    continue
                if base.form == "pointwise":
                    needed.update(int(ids[first]) for ids in base.args)
                elif base.form == "reduce":
                    need(base.args[0][first])
                elif base.form == "product":
                    low, high = self.heads(base, first, end)
                    for begin, _ in self.layout.blocks(base, low, high):
                        needed.add(int(base.args[0][low, begin]))
        return needed

    def heads(self, base: Base, first: int, end: int) -> tuple[int, int]:
        assert base.coordinates is not None
        assert base.matrix is not None
        rows = base.matrix.shape[1]
        return int(base.coordinates[first]) // rows, int(base.coordinates[end - 1]) // rows + 1

    def add(self, op: Op) -> int:
        if op not in self.known:
            self.known[op] = len(self.made.ops)
            self.made.ops.append(op)
        return self.known[op]

    def weight(self, node: fx.Node) -> int:
        if node not in self.made.weights:
            self.made.weights.append(node)
        return self.made.weights.index(node)

    def emit(self, base: Base, first: int, end: int) -> int:
        width = end - first
        if base.form == "load":
            return self.add(Op("load", width, source=Source(*base.source, first, width)))
        if base.form == "vector":
            assert base.node is not None
            return self.add(Op("load", width, source=Source("vector", self.weight(base.node), first, width)))
        if base.form == "pointwise":
            return self.pointwise(base, first, end)
        if base.form == "reduce":
            return self.reduction(base, first)
        return self.product(base, first, end)

    def pointwise(self, base: Base, first: int, end: int) -> int:
        args = tuple(self.argument(int(ids[first])) for ids in base.args)
        numbers = [arg for arg in args if not isinstance(arg, Value)]
        if len(numbers) == len(args):
            return self.add(Op("full", end - first, (number_of(base.kind, numbers),)))
        return self.add(Op(base.kind, end - first, args))

    def argument(self, element: int) -> Value | float:
        number = self.layout.number.get(element)
        return Value(self.value[element]) if number is None else number

    def whole(self, ids: Ids) -> int:
        """The value of a run of elements, as wide as the run."""
        arg = self.argument(int(ids[0]))
        if not isinstance(arg, Value):
            return self.add(Op("full", len(ids), (arg,)))
        if self.made.ops[arg.index].width == len(ids):
            return arg.index
        return self.add(Op("mul", len(ids), (arg, 1.0)))

    def reduction(self, base: Base, first: int) -> int:
        row = base.args[0][first]
        parts: list[Value | float] = []
        alike: dict[int, list[Value]] = {}
        join = "add" if base.kind == "sum" else "maximum"
        for begin, stop in self.layout.runs(row):
            arg = self.argument(int(row[begin]))
            repeated = stop - begin > 1 and row[begin] == row[begin + 1]
            if base.kind == "amax" and (repeated or stop - begin == 1):
                parts.append(arg)
            elif not isinstance(arg, Value):
                parts.append(arg * (stop - begin))
            elif repeated:
                parts.append(Value(self.add(Op("mul", 1, (arg, float(stop - begin))))))
            elif stop - begin == 1:
                parts.append(arg)
            else:
                alike.setdefault(stop - begin, []).append(arg)
        for width, (whole, *others) in alike.items():
            # Column by column first: one sum over the row in place of several.
            for other in others:
                whole = Value(self.add(Op(join, width, (whole, other))))
            parts.append(Value(self.add(Op(base.kind, 1, (whole,)))))
        total, *rest = parts
        for part in rest:
            total = Value(self.add(Op(join, 1, (total, part))))
        return total.index if isinstance(total, Value) else self.add(Op("full", 1, (total,)))

    def product(self, base: Base, first: int, end: int) -> int:
        assert base.coordinates is not None
        assert base.matrix is not None
        assert base.node is not None
        matrix = base.matrix
        low, high = self.heads(base, first, end)
        rows = (end - first) // (high - low)
        row = int(base.coordinates[first]) % matrix.shape[1]
        weight = self.weight(base.node)
        terms = []
        for begin, stop in self.layout.blocks(base, low, high):
            ids = base.args[0][low:high, begin:stop].reshape(-1)
            if self.layout.number.get(int(ids[0])) == 0.0:
                continue
            place = _affine(matrix[low:high, row : row + rows, begin:stop])
            terms.append(Term(self.whole(ids), weight, high - low, rows, stop - begin, *place))
        if not terms:
            return self.add(Op("full", end - first, (0.0,)))
        return self.add(Op("product", end - first, terms=tuple(terms)))


def _affine(places: torch.Tensor) -> tuple[int, int, int, int]:
    """Offset and strides of a block of a matrix."""
    offset = int(places[0, 0, 0])
    strides = []
    for axis, size in enumerate(places.shape):
        strides.append(int(places.select(axis, 1)[0, 0]) - offset if size > 1 else 0)
    if places._base is None or places.numel() < 1 << 16:
        rebuilt = sum(
            torch.arange(size).reshape([-1 if a == axis else 1 for a in range(3)]) * step
            for axis, (size, step) in enumerate(zip(places.shape, strides, strict=True))
        )
        if not torch.equal(places.long(), (rebuilt + offset).expand(places.shape)):  # type: ignore[operator]
            raise KernelError("a product's matrix is a parameter whose elements lie out of order")
    return offset, *strides  # type: ignore[return-value]


def tidy(program: Program) -> Program:
    """Without what nothing needs; sums of products that nothing else takes become one, and a + (-b) becomes a - b."""
    ops = list(program.ops)
    uses = [0] * len(ops)
    for op in ops:
        for index in inputs(op):
            uses[index] += 1
    for write in program.writes:
        uses[write.value] += 1
    for index, op in enumerate(ops):
        values = [a.index for a in op.args if isinstance(a, Value)]
        if op.kind != "add" or len(values) < 2:
            continue
        first, second = (ops[value] for value in values)
        once = [uses[value] == 1 for value in values]
        if all(once) and all(part.kind == "product" and part.width == op.width for part in (first, second)):
            ops[index] = Op("product", op.width, terms=first.terms + second.terms)
        elif second.kind == "neg" and once[1]:
            ops[index] = Op("sub", op.width, (op.args[0], *second.args))
        elif first.kind == "neg" and once[0]:
            ops[index] = Op("sub", op.width, (op.args[1], *first.args))
    needed = {write.value for write in program.writes}
    for index in reversed(range(len(ops))):
        if index in needed:
            needed.update(inputs(ops[index]))
    names: dict[int, int] = {}
    kept: list[Op] = []
    for index, op in enumerate(ops):
        if index in needed:
            names[index] = len(kept)
            kept.append(renamed(op, names))
    return Program(tuple(kept), tuple(replace(write, value=names[write.value]) for write in program.writes))


def inputs(op: Op) -> list[int]:
    """The values that an operation takes."""
    return [a.index for a in op.args if isinstance(a, Value)] + [term.operand for term in op.terms]


def renamed(op: Op, names: Mapping[int, int]) -> Op:
    """The same operation of other values."""
    args = tuple(Value(names[a.index]) if isinstance(a, Value) else a for a in op.args)
    terms = tuple(replace(term, operand=names[term.operand]) for term in op.terms)
    return replace(op, args=args, terms=terms)


def affine(program: Program) -> bool:
    """Whether the state after the step is affine in the state before it."""
    degrees: list[int] = []
    for op in program.ops:
        of = [degrees[index] for index in inputs(op)]
        if op.kind == "load":
            degree = int(op.source is not None and op.source.kind == "state")
        elif op.kind in ("add", "sub", "neg", "product", "sum"):
            degree = max(of, default=0)
        elif op.kind == "mul":
            degree = sum(of)
        elif op.kind in ("div", "where"):
            # Affine where it is the numerator, or one of the two that a known mask picks.
            whether = op.args[1] if op.kind == "div" else op.args[0]
            known = not (isinstance(whether, Value) and degrees[whether.index])
            degree = max(of, default=0) if known else 2
        else:
            degree = 2 * any(of)
        degrees.append(min(degree, 2))
    return all(degrees[write.value] < 2 for write in program.writes if write.kind == "state")
