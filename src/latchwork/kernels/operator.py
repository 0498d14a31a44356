"""The engine under autograd: one operator over lists of tensors, its backward, and the backward of that.

    output, states, saved = recur(projected, state, fresh, constants, tensors, …)

Rows lie token by token: ``projected[k]`` is [tokens, width], row b's own from ``starts[b]`` on (``b · steps`` where
there are no starts), so that padding needs no place. The gradient of a gradient is taken by the reference: the same
program evaluated in torch, step by step.
"""

from typing import Any

import torch

from latchwork.cells import Cell
from latchwork.kernels import loop
from latchwork.kernels.cell_program import CellProgram
from latchwork.kernels.evaluate import evaluate
from latchwork.kernels.native import Native
from latchwork.types import Tensor

_NATIVES: dict[str, Native] = {}
"""By the name under which a graph knows them; kept, because a graph may be run at any time."""
_NAMES: dict[int, str] = {}


def name_of(program: CellProgram, input_size: int) -> str:
    """The name of a program in the operators' arguments, which hold plain values alone."""
    name = _NAMES.get(id(program))
    if name is None:
        name = _NAMES[id(program)] = f"{program.name}-{len(_NAMES)}"
        _NATIVES[name] = Native(program, input_size)
    return name


def native(name: str) -> Native:
    """The program of that name."""
    return _NATIVES[name]


def plain(tensors: list[Tensor], dtype: torch.dtype) -> list[Tensor]:
    """Contiguous, in the engine's number type."""
    return [tensor.detach().to(dtype).contiguous() for tensor in tensors]


def working_type(dtype: torch.dtype) -> torch.dtype:
    """What the engine computes in: float64 for itself, float32 for everything narrower."""
    return torch.float64 if dtype == torch.float64 else torch.float32


@torch.library.custom_op("latchwork::project", mutates_args=())
def project(inputs: Tensor, tensors: list[Tensor], outer: torch.dtype, program: str) -> list[Tensor]:
    """What the inputs [tokens, width] contribute to each step, without gradients: each token by itself, so that it
    gives the same bits in any company.
    """
    own = native(program).program
    dtype = working_type(outer)
    tokens = inputs.shape[0]
    written = [torch.empty(tokens, width, dtype=outer) for width in own.projected]
    native(program).project.run(
        externals=[inputs.detach().contiguous(), *written],
        weights=plain(own.project_weights(plain(tensors, dtype)), dtype),
        rows=tokens,
        steps=1,
        dtype=dtype,
        narrow=outer == torch.bfloat16,
    )
    return written


@project.register_fake
def _(inputs: Tensor, tensors: list[Tensor], outer: torch.dtype, program: str) -> list[Tensor]:
    return [inputs.new_empty(inputs.shape[0], width, dtype=outer) for width in native(program).program.projected]


@torch.library.custom_op("latchwork::recur", mutates_args=())
def recur(
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
    """[output [tokens, width], final state leaves, and with ``keep`` what the backward pass wants]."""
    own = native(program).program
    outer = projected[0].dtype
    dtype = working_type(outer)
    scheduled = native(program).saving if keep else native(program).forward
    tokens = projected[0].shape[0]
    new = torch.zeros if lengths is not None and starts is None else torch.empty
    widths = (own.output, *(own.saved if keep else ()))
    written = [new(tokens, width, dtype=outer) for width in widths]
    states = plain(state, dtype)
    finals, _, _ = scheduled.run(
        externals=[tensor.detach().contiguous() for tensor in projected] + written,
        weights=plain(own.weights(plain(tensors, dtype)), dtype),
        rows=rows,
        steps=steps,
        dtype=dtype,
        narrow=outer == torch.bfloat16,
        reverse=reverse,
        lengths=lengths,
        starts=starts,
        resets=resets,
        states=states,
        fresh=plain(fresh, dtype),
        constants=plain(constants, dtype),
    )
    return [written[0], *(final.to(leaf.dtype) for final, leaf in zip(finals, state, strict=True)), *written[1:]]


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


@torch.library.custom_op("latchwork::recur_backward", mutates_args=())
def recur_backward(
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
    """The gradients of projected, state, fresh, constants and tensors, in this order."""
    own = native(program).program
    scheduled = native(program).backward
    outer = projected[0].dtype
    dtype = working_type(outer)
    tokens = projected[0].shape[0]
    new = torch.zeros if lengths is not None and starts is None else torch.empty
    grad_projected = [new(tokens, width, dtype=outer) for width in own.projected]
    cuts = [new(tokens, width, dtype=outer) for width in own.cuts]
    fresh_gradients = [torch.zeros(rows, width, dtype=dtype) for width in own.state] if resets is not None else []
    read = [tensor.detach().contiguous() for tensor in (*projected, *saved, grad_output.to(outer))]
    values = plain(tensors, dtype)
    grad_states, row_sums, sums = scheduled.run(
        externals=[*read, *grad_projected, *cuts],
        weights=plain(own.weights(values), dtype),
        rows=rows,
        steps=steps,
        dtype=dtype,
        narrow=outer == torch.bfloat16,
        backward=True,
        reverse=reverse,
        lengths=lengths,
        starts=starts,
        resets=resets,
        states=plain(grad_state, dtype),
        fresh_gradients=fresh_gradients,
        constants=plain(constants, dtype),
    )
    kept = dict(zip(("projected", "saved"), (read[: len(projected)], read[len(projected) : -1]), strict=True))
    kept |= {"grad_output": [read[-1]], "grad_projected": grad_projected, "cut": cuts}
    arrays = {(kind, index): kept[kind][index] for kind, index in own.row_inputs}
    grads = own.gradients([value.to(outer) for value in values], arrays, [total.to(outer) for total in sums])
    grad_constants = [torch.zeros_like(constant) for constant in constants]
    for (index, offset, width), total in zip(scheduled.layout.row_sums, row_sums, strict=True):
        grad_constants[index][:, offset : offset + width] += total
    return [
        *grad_projected,
        *(grad.to(leaf.dtype) for grad, leaf in zip(grad_states, state, strict=True)),
        *(grad.to(leaf.dtype) for grad, leaf in zip(fresh_gradients, fresh, strict=True)),
        *grad_constants,
        *(
            torch.zeros_like(tensor) if grad is None else _own(grad.to(tensor.dtype), arrays)
            for grad, tensor in zip(grads, tensors, strict=True)
        ),
    ]


def _own(grad: Tensor, arrays: dict[tuple[str, int], Tensor]) -> Tensor:
    """The gradient as memory of its own: an operator's results may not be views of what it was given."""
    return grad.clone() if any(grad.data_ptr() == array.data_ptr() for array in arrays.values()) else grad.contiguous()


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


def _keep_context(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    projected, state, fresh, constants, tensors, *rest = inputs
    ctx.sizes = [len(part) for part in (projected, state, fresh, constants, tensors)]
    *optional, ctx.rows, ctx.steps, ctx.reverse, _, ctx.program = rest
    ctx.optional = [tensor is not None for tensor in optional]
    saved = output[1 + len(state) :]
    present = [tensor for tensor in optional if tensor is not None]
    ctx.save_for_backward(*saved, *projected, *state, *fresh, *constants, *tensors, *present)
    ctx.saved = len(saved)
    ctx.mark_non_differentiable(*saved)


def _backward(ctx: Any, grads: list[Tensor | None]) -> tuple[Any, ...]:
    tensors = list(ctx.saved_tensors)
    saved = [tensors.pop(0) for _ in range(ctx.saved)]
    parts = [[tensors.pop(0) for _ in range(size)] for size in ctx.sizes]
    optional = [tensors.pop(0) if there else None for there in ctx.optional]
    projected, state = parts[:2]
    program = native(ctx.program).program
    grad_output = grads[0]
    if grad_output is None:
        grad_output = projected[0].new_zeros(projected[0].shape[0], program.output)
    grad_state = [
        torch.zeros_like(leaf) if grad is None else grad
        for grad, leaf in zip(grads[1 : 1 + len(state)], state, strict=True)
    ]
    rest = (ctx.rows, ctx.steps, ctx.reverse, ctx.program)
    flat = recur_backward(grad_output, grad_state, saved, *parts, *optional, *rest)
    sizes = list(ctx.sizes)
    if optional[2] is None:
        sizes[2] = 0
    results: list[Any] = []
    for size, given in zip(sizes, ctx.sizes, strict=True):
        results.append([flat.pop(0) for _ in range(size)] or [None] * given)
    return (*results, *[None] * 8)


recur.register_autograd(_backward, setup_context=_keep_context)


class _ProgramCell(Cell):
    """The program as a cell: one step evaluated in torch, for the reference."""

    def __init__(self, program: CellProgram, tensors: list[Tensor]) -> None:
        super().__init__(1, 1)
        self.program, self.weights = program, program.weights(tensors)

    @property
    def output_size(self) -> int:
        return self.program.output

    def step(self, projected: tuple[Tensor, ...], state: Any, constants: tuple[Tensor, ...] = ()) -> tuple[Tensor, Any]:
        sources = {"projected": list(projected), "state": list(state), "constant": list(constants)}
        results = evaluate(self.program.forward, sources, self.weights)
        return results["output"][0], tuple(results["state"])


def reference(
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
    """What ``recur`` computes without ``keep``, in plain torch: differentiable any number of times."""
    tokens = projected[0].shape[0]
    begin = torch.arange(rows) * steps if starts is None else starts
    index = (begin.unsqueeze(1) + torch.arange(steps)).clamp(max=max(tokens - 1, 0))
    cell = _ProgramCell(native(program).program, tensors)
    # The loop takes one tensor of inputs: side by side, and cut apart again by the cell.
    widths = [part.shape[-1] for part in projected]
    cell.project = lambda inputs: inputs.split(widths, -1)  # type: ignore[method-assign]
    outputs, final = loop.run(
        cell,
        torch.cat(projected, dim=-1)[index],
        tuple(state),
        lengths=lengths,
        resets=None if resets is None else resets.bool()[index],
        reverse=reverse,
        fresh=tuple(fresh) or tuple(state),
        constants=tuple(constants),
    )
    flat = projected[0].new_zeros(tokens, outputs.shape[-1])
    active = torch.ones(rows, steps, dtype=torch.bool)
    if lengths is not None:
        active = torch.arange(steps) < lengths.unsqueeze(1)
    return [flat.index_put((index[active],), outputs[active]), *final]


def _keep_double(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    grad_output, grad_state, _, *parts = inputs
    groups, optional, ctx.rest = parts[:5], parts[5:8], parts[8:]
    ctx.sizes = [len(grad_state), *(len(group) for group in groups)]
    ctx.optional = [tensor is not None for tensor in optional]
    ctx.kept = len(inputs[2])
    present = [tensor for tensor in optional if tensor is not None]
    ctx.save_for_backward(grad_output, *grad_state, *(tensor for group in groups for tensor in group), *present)


def _double_backward(ctx: Any, grads: list[Tensor | None]) -> tuple[Any, ...]:
    tensors = list(ctx.saved_tensors)
    grad_output, *grad_state = [tensors.pop(0) for _ in range(1 + ctx.sizes[0])]
    groups = [[tensors.pop(0) for _ in range(size)] for size in ctx.sizes[1:]]
    optional = [tensors.pop(0) if there else None for there in ctx.optional]
    with torch.enable_grad():
        groups = [[tensor.detach().requires_grad_() for tensor in group] for group in groups]
        cotangents = [tensor.detach().requires_grad_() for tensor in (grad_output, *grad_state)]
        results = reference(*groups, *optional, *ctx.rest)
        leaves = [tensor for group in groups for tensor in group]
        first = torch.autograd.grad(
            results, leaves, cotangents, create_graph=True, allow_unused=True, materialize_grads=True
        )
        if optional[2] is None:  # without resets, the gradient of the fresh state was not among the results
            skip = len(groups[0]) + len(groups[1])
            first = (*first[:skip], *first[skip + len(groups[2]) :])
        pairs = [(one, grad) for one, grad in zip(first, grads, strict=True) if grad is not None and one.requires_grad]
        wanted = [*cotangents, *leaves]
        second = torch.autograd.grad(
            [one for one, _ in pairs], wanted, [grad for _, grad in pairs], allow_unused=True, materialize_grads=True
        )
    flat = list(second)
    answer: list[Any] = [flat.pop(0), [flat.pop(0) for _ in range(ctx.sizes[0])], [None] * ctx.kept]
    answer += [[flat.pop(0) for _ in range(size)] for size in ctx.sizes[1:]]
    return (*answer, *[None] * 7)


recur_backward.register_autograd(_double_backward, setup_context=_keep_double)
