"""A projection that is one product of the inputs, as most cells' is: taken into the pass, with its gradients.

By itself it would be a step of autograd's with arrays of its own, mapped anew each pass; here its result comes from the
pool and is gone when the steps are done, and its bias's gradient is a sum that the engine has anyway.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch.nn import functional as F

from latchwork.kernels.lower import renamed
from latchwork.kernels.program import Op, Program, Source, Term, Value
from latchwork.types import Tensor


@dataclass(frozen=True)
class Linear:
    """projected = x Wᵀ + b, the one projected value. size: of x; weight, bias: which of the program's tensors; total:
    which of its sums is the bias's gradient.
    """

    size: int
    weight: int
    bias: int | None = None
    total: int | None = None

    def into(self, out: Tensor, inputs: Tensor, tensors: list[Tensor]) -> Tensor:
        """x Wᵀ + b in ``out``, [tokens, width], whose type the product has."""
        x, weight = inputs.detach().to(out.dtype), tensors[self.weight].detach().to(out.dtype).t()
        if self.bias is None:
            return torch.mm(x, weight, out=out)
        return torch.addmm(tensors[self.bias].detach().to(out.dtype), x, weight, out=out)

    def inlined(self, step: Program, weights: int) -> Program:
        """A step that takes x where it took the projected value, as projected[0]. Its weights are those of ``step``,
        ``weights`` of them, then W, then b where there is one.
        """
        ops: list[Op] = []
        names: dict[int, int] = {}
        for index, op in enumerate(step.ops):
            source = op.source
            if source is None or source.kind != "projected":
                names[index] = len(ops)
                ops.append(renamed(op, names))
                continue
            if -1 not in names:
                names[-1] = len(ops)
                ops.append(Op("load", self.size, source=Source("projected", 0, 0, self.size)))
            first = source.offset * self.size
            term = Term(names[-1], weights, 1, op.width, self.size, first, 0, self.size, 1)
            ops.append(Op("product", op.width, terms=(term,)))
            if self.bias is not None:
                ops.append(Op("load", op.width, source=Source("vector", weights + 1, source.offset, op.width)))
                ops.append(Op("add", op.width, (Value(len(ops) - 2), Value(len(ops) - 1))))
            names[index] = len(ops) - 1
        return Program(tuple(ops), tuple(replace(write, value=names[write.value]) for write in step.writes))

    def own(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """W, and b where there is one."""
        return [tensors[index] for index in (self.weight, self.bias) if index is not None]

    def reference(self, inputs: Tensor, tensors: list[Tensor], dtype: torch.dtype) -> Tensor:
        """The same, differentiable any number of times."""
        bias = None if self.bias is None else tensors[self.bias].to(dtype)
        return F.linear(inputs.to(dtype), tensors[self.weight].to(dtype), bias)

    def gradients(
        self, cotangent: Tensor, inputs: Tensor, tensors: list[Tensor], sums: list[Tensor], wanted: bool
    ) -> tuple[Tensor | None, dict[int, Tensor]]:
        """(of the inputs where ``wanted``, of the tensors by their place), from the projected value's cotangent."""
        weight = tensors[self.weight].detach()
        own = cotangent.t().mm(inputs.detach().to(cotangent.dtype)).to(weight.dtype)
        found = {self.weight: own}
        if self.bias is not None:
            assert self.total is not None
            found[self.bias] = sums[self.total].to(tensors[self.bias].dtype)
        return (cotangent.mm(weight.to(cotangent.dtype)).to(inputs.dtype) if wanted else None), found


def linear(
    project: Program | None, weights: tuple[int | None, ...], shapes: Sequence[torch.Size], size: int
) -> Linear | None:
    """The projection as one product of whole tensors, or None where it is something else.

    weights: for each of the project program's weights which of the cell's tensors it is, None where it is made of
    several. shapes: of the cell's tensors; a program takes slices and views of them as it takes the whole. size: of the
    inputs.
    """
    if project is None or len(project.writes) != 1:
        return None
    ops = project.ops
    result = ops[project.writes[0].value]
    bias: int | None = None
    if result.kind == "add":
        first, second = result.args
        if not isinstance(first, Value) or not isinstance(second, Value):
            return None
        product, vector = ops[first.index], ops[second.index]
        if product.kind != "product":
            product, vector = vector, product
        source = vector.source
        whole = source is not None and source.kind == "vector" and source.offset == 0 and source.width == result.width
        bias = weights[source.index] if source is not None and whole else None
        if bias is None or shapes[bias] != (result.width,):
            return None
        result = product
    if result.kind != "product" or len(result.terms) != 1 or result.args:
        return None
    (term,) = result.terms
    operand = ops[term.operand].source
    dense = term.heads == 1 and term.offset == 0 and (term.stride_row, term.stride_column) == (term.columns, 1)
    at = weights[term.weight]
    read = operand is not None and operand.kind == "projected" and operand.offset == 0 and operand.width == term.columns
    whole = at is not None and shapes[at] == (result.width, size) == (term.rows, term.columns)
    return Linear(size, at, bias) if at is not None and dense and read and whole else None
