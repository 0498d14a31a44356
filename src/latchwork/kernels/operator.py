"""The engine under autograd, in two forms of the same: an operator for graphs, and a function for eager use.

    output, states = recur(projected, state, fresh, constants, tensors, …)

Under ``torch.compile`` the pass is one operator over lists of tensors, so that a graph stays whole. Eagerly it is an
``autograd.Function``: the operator's Python wrapper takes apart and checks every list, which cost 0.3 ms a pass, more
than a small batch itself (docs/log.md). Both call :mod:`latchwork.kernels.compute`. The gradient of a gradient is taken
by the reference: the same program evaluated in torch, step by step.
"""

from dataclasses import dataclass
from typing import Any

import torch

from latchwork.cells import Cell
from latchwork.kernels import compute, loop
from latchwork.kernels.cell_program import CellProgram
from latchwork.kernels.compute import native
from latchwork.kernels.evaluate import evaluate
from latchwork.kernels.linear import Linear
from latchwork.types import Tensor

project = torch.library.custom_op("latchwork::project", compute.project, mutates_args=())
recur = torch.library.custom_op("latchwork::recur", compute.forward, mutates_args=())
recur_backward = torch.library.custom_op("latchwork::recur_backward", compute.backward, mutates_args=())


@project.register_fake
def _(inputs: Tensor, tensors: list[Tensor], outer: torch.dtype, program: str) -> list[Tensor]:
    return [inputs.new_empty(inputs.shape[0], width, dtype=outer) for width in native(program).program.projected]


@recur.register_fake
def _(
    projected: list[Tensor],
    state: list[Tensor],
    fresh: list[Tensor],
    constants: list[Tensor],
    tensors: list[Tensor],
    lengths: Tensor | None,
    starts: Tensor | None,
    resets: Tensor | None,
    rows: int,
    steps: int,
    reverse: bool,
    keep: bool,
    program: str,
) -> list[Tensor]:
    own = native(program).program
    tokens = projected[0].shape[0]
    written = [projected[0].new_empty(tokens, width) for width in (own.output, *(own.saved if keep else ()))]
    finals = [torch.empty_like(leaf, memory_format=torch.contiguous_format) for leaf in state]
    return [written[0], *finals, *written[1:]]


@recur_backward.register_fake
def _(
    grad_output: Tensor,
    grad_state: list[Tensor],
    saved: list[Tensor],
    projected: list[Tensor],
    state: list[Tensor],
    fresh: list[Tensor],
    constants: list[Tensor],
    tensors: list[Tensor],
    lengths: Tensor | None,
    starts: Tensor | None,
    resets: Tensor | None,
    rows: int,
    steps: int,
    reverse: bool,
    program: str,
) -> list[Tensor]:
    leaves = [*projected, *state, *(fresh if resets is not None else ()), *constants, *tensors]
    return [torch.empty_like(leaf, memory_format=torch.contiguous_format) for leaf in leaves]


@dataclass(frozen=True)
class Pass:
    """What a pass takes beside the five lists: where rows lie and begin anew, how many, which way, what program.

    linear: the first list holds the inputs, which the pass projects itself; None: it holds what was projected. outer:
    the type that they are projected in.
    """

    lengths: Tensor | None
    starts: Tensor | None
    resets: Tensor | None
    rows: int
    steps: int
    reverse: bool
    program: str
    linear: Linear | None = None
    outer: torch.dtype = torch.float32


TOGETHER = 4
"""Rows at a step, in the mean, from which on steps project their inputs themselves: what is projected is then neither
written to memory nor read (measured: docs/log.md). For fewer rows the weights are read for little.
"""

WEIGHTS_OF_ROW = 1 << 16
"""Bytes of the projection's weights that a row at a step makes up for; larger ones are read once for all steps."""

Groups = list[list[Tensor]]
"""projected (or the inputs), state, fresh, constants, tensors."""


def grouped(flat: list[Any], sizes: list[int]) -> list[list[Any]]:
    """Consecutive pieces of a list."""
    rest = iter(flat)
    return [[next(rest) for _ in range(size)] for size in sizes]


def _answered(flat: list[Tensor | None], sizes: list[int], resets: Tensor | None) -> list[list[Tensor | None]]:
    """The gradients of the five lists. Without resets nothing came from the fresh states, and they have none."""
    there = [size if at != 2 or resets is not None else 0 for at, size in enumerate(sizes)]
    parts = grouped(flat, there)
    return [list(part) if len(part) == size else [None] * size for part, size in zip(parts, sizes, strict=True)]


class _ProgramCell(Cell):
    """The program as a cell: one step evaluated in torch, for the reference."""

    def __init__(self, program: CellProgram, tensors: list[Tensor]) -> None:
        super().__init__(1, 1)
        self.program, self.weights = program, program.weights(tensors, differentiable=True)

    @property
    def output_size(self) -> int:
        return self.program.output

    def step(self, projected: tuple[Tensor, ...], state: Any, constants: tuple[Tensor, ...] = ()) -> tuple[Tensor, Any]:
        sources = {"projected": list(projected), "state": list(state), "constant": list(constants)}
        results = evaluate(self.program.forward, sources, self.weights)
        return results["output"][0], tuple(results["state"])


def reference(groups: Groups, call: Pass) -> list[Tensor]:
    """What ``recur`` computes without ``keep``, in plain torch: differentiable any number of times."""
    projected, state, fresh, constants, tensors = groups
    if call.linear is not None:
        projected = [call.linear.reference(projected[0], tensors, call.outer)]
    tokens = projected[0].shape[0]
    begin = torch.arange(call.rows) * call.steps if call.starts is None else call.starts
    index = (begin.unsqueeze(1) + torch.arange(call.steps)).clamp(max=max(tokens - 1, 0))
    cell = _ProgramCell(native(call.program).program, tensors)
    # The loop takes one tensor of inputs: side by side, and cut apart again by the cell.
    widths = [part.shape[-1] for part in projected]
    cell.project = lambda inputs: inputs.split(widths, -1)  # type: ignore[method-assign]
    outputs, final = loop.run(
        cell,
        torch.cat(projected, dim=-1)[index],
        tuple(state),
        lengths=call.lengths,
        resets=None if call.resets is None else call.resets.bool()[index],
        reverse=call.reverse,
        fresh=tuple(fresh) or tuple(state),
        constants=tuple(constants),
    )
    flat = projected[0].new_zeros(tokens, outputs.shape[-1])
    active = torch.ones(call.rows, call.steps, dtype=torch.bool)
    if call.lengths is not None:
        active = torch.arange(call.steps) < call.lengths.unsqueeze(1)
    return [flat.index_put((index[active],), outputs[active]), *final]


def second(
    call: Pass, groups: Groups, cotangents: list[Tensor], grads: list[Tensor | None]
) -> tuple[list[Tensor], Groups]:
    """The gradients of a backward pass: of the cotangents it was given, and of the five lists."""
    with torch.enable_grad():
        groups = [[tensor.detach().requires_grad_() for tensor in group] for group in groups]
        cotangents = [tensor.detach().requires_grad_() for tensor in cotangents]
        results = reference(groups, call)
        leaves = [tensor for group in groups for tensor in group]
        first = list(
            torch.autograd.grad(
                results, leaves, cotangents, create_graph=True, allow_unused=True, materialize_grads=True
            )
        )
        if call.resets is None:  # the gradient of the fresh state was not among the results
            skip = len(groups[0]) + len(groups[1])
            first[skip : skip + len(groups[2])] = []
        pairs = [(one, grad) for one, grad in zip(first, grads, strict=True) if grad is not None and one.requires_grad]
        flat = torch.autograd.grad(
            [one for one, _ in pairs],
            [*cotangents, *leaves],
            [grad for _, grad in pairs],
            allow_unused=True,
            materialize_grads=True,
        )
    sizes = [len(group) for group in groups]
    return list(flat[: len(cotangents)]), grouped(list(flat[len(cotangents) :]), sizes)


def _batched(call: Pass, groups: Groups, cotangents: list[Tensor]) -> list[Tensor | None]:
    """The gradients of the five lists for many cotangents at once, stand-ins that the engine can't read."""
    with torch.enable_grad():
        groups = [[tensor.detach().requires_grad_() for tensor in group] for group in groups]
        results = reference(groups, call)
    leaves = [tensor for group in groups for tensor in group]
    found: list[Tensor | None] = list(torch.autograd.grad(results, leaves, cotangents, allow_unused=True))
    if call.resets is None:  # as the engine has it: no gradients of fresh states
        skip = len(groups[0]) + len(groups[1])
        found[skip : skip + len(groups[2])] = []
    return found


# ---- for graphs: the operators


def _keep(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    groups, (*optional, rows, steps, reverse, _, program) = inputs[:5], inputs[5:]
    ctx.sizes = [len(group) for group in groups]
    saved = output[1 + len(groups[1]) :]
    ctx.saved = len(saved)
    ctx.rest = (rows, steps, reverse, program)
    ctx.present = [tensor is not None for tensor in optional]
    there = [tensor for tensor in optional if tensor is not None]
    ctx.save_for_backward(*saved, *(tensor for group in groups for tensor in group), *there)
    ctx.mark_non_differentiable(*saved)


def _optional(tensors: list[Tensor], present: list[bool]) -> list[Tensor | None]:
    rest = iter(tensors)
    return [next(rest) if there else None for there in present]


def _backward(ctx: Any, grads: list[Tensor | None]) -> tuple[Any, ...]:
    tensors = list(ctx.saved_tensors)
    saved, rest = tensors[: ctx.saved], tensors[ctx.saved :]
    count = sum(ctx.sizes)
    groups, optional = grouped(rest[:count], ctx.sizes), _optional(rest[count:], ctx.present)
    grad_output, *grad_state = _cotangents(list(grads[: 1 + ctx.sizes[1]]), groups, ctx.rest[-1])
    flat = recur_backward(grad_output, grad_state, saved, *groups, *optional, *ctx.rest)
    return (*_answered(flat, ctx.sizes, optional[2]), *[None] * 8)


def _cotangents(grads: list[Tensor | None], groups: Groups, program: str) -> list[Tensor]:
    """Zeros where there are none."""
    projected, state = groups[:2]
    like = [projected[0].new_empty(()).expand(len(projected[0]), native(program).program.output), *state]
    return [torch.zeros_like(one) if grad is None else grad for grad, one in zip(grads, like, strict=True)]


def _keep_double(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    grad_output, grad_state, saved, *rest = inputs
    groups, optional = rest[:5], rest[5:8]
    ctx.sizes = [1 + len(grad_state), *(len(group) for group in groups)]
    ctx.saved, ctx.rest = len(saved), rest[8:]
    ctx.present = [tensor is not None for tensor in optional]
    there = [tensor for tensor in optional if tensor is not None]
    ctx.save_for_backward(grad_output, *grad_state, *(tensor for group in groups for tensor in group), *there)


def _double_backward(ctx: Any, grads: list[Tensor | None]) -> tuple[Any, ...]:
    tensors = list(ctx.saved_tensors)
    count = sum(ctx.sizes)
    cotangents, *groups = grouped(tensors[:count], ctx.sizes)
    lengths, starts, resets = _optional(tensors[count:], ctx.present)
    call = Pass(lengths, starts, resets, *ctx.rest)
    first, answer = second(call, groups, cotangents, grads)
    return (first[0], first[1:], [None] * ctx.saved, *answer, *[None] * 7)


recur.register_autograd(_backward, setup_context=_keep)
recur_backward.register_autograd(_double_backward, setup_context=_keep_double)


# ---- for eager use: the same as functions


class Recur(torch.autograd.Function):
    """(call, sizes, *the five lists) -> output, *final states."""

    @staticmethod
    def forward(ctx: Any, call: Pass, sizes: list[int], *flat: Tensor) -> tuple[Tensor, ...]:
        projected, state, fresh, constants, tensors = grouped(list(flat), sizes)
        own = native(call.program).program
        where = call.lengths, call.starts, call.resets, call.rows, call.steps, call.reverse
        results = None
        if call.linear is not None:
            inputs = projected[0]
            together = len(inputs) / max(1, call.steps)
            weights = own.projected[0] * inputs.shape[-1] * call.outer.itemsize
            if together >= TOGETHER and weights <= WEIGHTS_OF_ROW * together:
                rest = state, fresh, constants, tensors, where, call.outer, call.program
                results = compute.forward_inlined(inputs, *rest)
            if results is None:
                out = compute.empty(len(inputs), own.projected[0], call.outer)
                projected = [call.linear.into(out, inputs, tensors)]
        if results is None:
            results = compute.forward(projected, state, fresh, constants, tensors, *where, True, call.program)
        given = 1 + sizes[1]
        kept = [*results[given:], *(projected if call.linear is not None and own.rereads else ())]
        ctx.call, ctx.sizes, ctx.saved = call, sizes, len(kept)
        ctx.save_for_backward(*kept, *flat)
        return tuple(results[:given])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        tensors = ctx.saved_tensors  # once: a checkpoint hands each out a single time
        kept, flat = tensors[: ctx.saved], tensors[ctx.saved :]
        stand_in = torch._C._functorch.is_legacy_batchedtensor  # type: ignore[attr-defined]
        if any(map(stand_in, grads)):  # autograd.grad(…, is_grads_batched=True)
            found = _batched(ctx.call, grouped(list(flat), ctx.sizes), list(grads))
        elif torch.is_grad_enabled():  # the gradient is to be differentiated again
            found = list(RecurBackward.apply(ctx.call, ctx.sizes, ctx.saved, *grads, *kept, *flat))
        else:
            wanted = ctx.needs_input_grad[2]
            found = RecurBackward.computed(ctx.call, ctx.sizes, list(grads), list(kept), list(flat), wanted)
        answer = _answered(found, ctx.sizes, ctx.call.resets)
        return (None, None, *(grad for group in answer for grad in group))


class RecurBackward(torch.autograd.Function):
    """(call, sizes, kept, *cotangents, *kept arrays, *the five lists) -> the gradients of the lists."""

    @staticmethod
    def computed(
        call: Pass,
        sizes: list[int],
        grads: list[Tensor],
        kept: list[Tensor],
        flat: list[Tensor],
        wanted: bool = True,
    ) -> list[Tensor | None]:
        """``wanted``: whether the inputs' gradient is; that of a projected value always comes."""
        projected, state, fresh, constants, tensors = grouped(flat, sizes)
        linear, inputs = call.linear, projected[0]
        if linear is not None:
            own = native(call.program).program
            shape = len(inputs), own.projected[0]
            projected = [kept.pop() if own.rereads else inputs.new_empty((), dtype=call.outer).expand(shape)]
        found, sums = compute.gradients(
            *(grads[0], grads[1:], kept),
            *(projected, state, fresh, constants, tensors),
            *(call.lengths, call.starts, call.resets),
            *(call.rows, call.steps, call.reverse, call.program),
        )
        if linear is None:
            return found
        cotangent = found[0]
        assert cotangent is not None
        first, own_gradients = linear.gradients(cotangent, inputs, tensors, sums, wanted)
        last = len(found) - len(tensors)
        for place, grad in own_gradients.items():
            other = found[last + place]
            found[last + place] = grad if other is None else other + grad
        return [first, *found[1:]]

    @staticmethod
    def forward(ctx: Any, call: Pass, sizes: list[int], kept: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        cotangents, arrays, flat = grouped(list(tensors), [1 + sizes[1], kept, sum(sizes)])
        ctx.call, ctx.sizes, ctx.kept = call, sizes, kept
        ctx.save_for_backward(*cotangents, *flat)
        found = RecurBackward.computed(call, sizes, cotangents, arrays, flat)
        first = len(found) - sizes[-1]
        leaves = flat[len(flat) - sizes[-1] :]
        return tuple(torch.zeros_like(leaves[at - first]) if one is None else one for at, one in enumerate(found))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        cotangents, *groups = grouped(list(ctx.saved_tensors), [1 + ctx.sizes[1], *ctx.sizes])
        first, answer = second(ctx.call, groups, cotangents, list(grads))
        return (None, None, None, *first, *[None] * ctx.kept, *(grad for group in answer for grad in group))
