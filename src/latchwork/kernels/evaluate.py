"""A program in plain torch, for one step: slow and easy to read, the check of everything that runs programs."""

from collections.abc import Mapping, Sequence

import torch

from latchwork.kernels.program import Op, Program, Term, Value
from latchwork.types import Tensor


def evaluate(
    program: Program, sources: Mapping[str, Sequence[Tensor]], weights: Sequence[Tensor]
) -> dict[str, list[Tensor]]:
    """One step of all rows. ``sources``: [batch, width] by kind, without "vector", which are ``weights``.

    Returns what is written, by kind, arrays in order: [batch, width], and the sum over the batch, [width], for "sum".
    """
    batch = next((len(t) for tensors in sources.values() for t in tensors), 1)
    values: list[Tensor] = []
    for op in program.ops:
        values.append(_value(op, values, sources, weights, batch))
    parts: dict[str, dict[int, list[tuple[int, Tensor]]]] = {}
    for write in program.writes:
        parts.setdefault(write.kind, {}).setdefault(write.index, []).append((write.offset, values[write.value]))
    made: dict[str, list[Tensor]] = {}
    for kind, arrays in parts.items():
        made[kind] = []
        for index in range(max(arrays) + 1):
            pieces = sorted(arrays.get(index, []), key=lambda piece: piece[0])
            whole = torch.cat([piece for _, piece in pieces], dim=1) if pieces else values[0].new_zeros(batch, 0)
            made[kind].append(whole.sum(0) if kind == "sum" else whole)
    return made


def _value(
    op: Op, values: Sequence[Tensor], sources: Mapping[str, Sequence[Tensor]], weights: Sequence[Tensor], batch: int
) -> Tensor:
    like = next(t for t in [*weights, *(t for ts in sources.values() for t in ts)] if t.is_floating_point())
    if op.source is not None:
        s = op.source
        if s.kind == "vector":
            return weights[s.index].reshape(-1)[s.offset : s.offset + s.width].to(like.dtype).expand(batch, -1)
        return sources[s.kind][s.index][:, s.offset : s.offset + s.width].to(like.dtype)
    if op.terms:
        return torch.stack([_term(term, values[term.operand], weights[term.weight]) for term in op.terms]).sum(0)
    args = [values[a.index] if isinstance(a, Value) else like.new_tensor(a) for a in op.args]
    if op.kind in ("sum", "amax"):
        return getattr(torch, op.kind)(args[0], dim=1, keepdim=True)
    if op.kind == "full":
        result = args[0]
    elif op.kind == "where":
        result = torch.where(args[0] != 0, args[1], args[2])
    elif op.kind in ("and", "or", "not"):
        result = getattr(torch, f"logical_{op.kind}")(*args)
    else:
        result = getattr(torch, op.kind)(*args)
    return result.to(like.dtype).expand(batch, op.width)


def _term(term: Term, x: Tensor, weight: Tensor) -> Tensor:
    size = (term.heads, term.rows, term.columns)
    matrix = weight.as_strided(size, (term.stride_head, term.stride_row, term.stride_column), term.offset)
    product = torch.einsum("bhi,hji->bhj", x.reshape(len(x), term.heads, term.columns), matrix)
    return product.flatten(1)
