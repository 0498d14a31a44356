"""The engine's forward and backward pass over a batch, on tensors, without autograd.

Rows lie token by token: ``projected[k]`` is [tokens, width], row b's own from ``starts[b]`` on (``b · steps`` where
there are no starts), so that padding needs no place.
"""

import torch

from latchwork.kernels.cell_program import CellProgram
from latchwork.kernels.native import Native, Scheduled, required
from latchwork.types import Tensor

_NATIVES: dict[str, Native] = {}
"""By the name under which a graph knows them; kept, because a graph may be run at any time."""
_NAMES: dict[int, str] = {}

Where = tuple[Tensor | None, Tensor | None, Tensor | None, int, int, bool]
"""lengths, starts, resets, rows, steps, reverse: how rows lie among the tokens, and which way they are read."""

POOLED = 1 << 17
"""Bytes from which on malloc maps pages for an array alone."""


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
    return [
        tensor if tensor.dtype is dtype and tensor.is_contiguous() else tensor.detach().to(dtype).contiguous()
        for tensor in tensors
    ]


def empty(rows: int, width: int, dtype: torch.dtype) -> Tensor:
    """[rows, width], not filled. A large one comes from the engine's pool: from malloc it would be mapped page by page
    each time.
    """
    size = rows * width * dtype.itemsize
    if size < POOLED:
        return torch.empty(rows, width, dtype=dtype)
    return torch.from_dlpack(required().array(size)).view(dtype).view(rows, width)


def working_type(dtype: torch.dtype) -> torch.dtype:
    """What the engine computes in: float64 for itself, float32 for everything narrower."""
    return torch.float64 if dtype == torch.float64 else torch.float32


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


def forward(
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
    own = native(program)
    given = projected, own.program.weights(plain(tensors, working_type(projected[0].dtype)))
    where = lengths, starts, resets, rows, steps, reverse
    return _forward(own.saving if keep else own.forward, own, *given, state, fresh, constants, where, keep)


def forward_inlined(
    inputs: Tensor,
    state: list[Tensor],
    fresh: list[Tensor],
    constants: list[Tensor],
    tensors: list[Tensor],
    where: Where,
    outer: torch.dtype,
    program: str,
) -> list[Tensor] | None:
    """:func:`forward` with ``keep`` from the inputs, which each step projects itself: what is projected is neither
    written to memory nor read from it. outer: the type of what goes out. None where there is no such program.
    """
    own = native(program)
    scheduled, linear = own.inlined, own.program.linear
    if scheduled is None or linear is None:
        return None
    values = plain(tensors, working_type(outer))
    given = [inputs.detach().to(outer)], [*own.program.weights(values), *linear.own(values)]
    return _forward(scheduled, own, *given, state, fresh, constants, where, True)


def _forward(
    scheduled: Scheduled,
    own: Native,
    given: list[Tensor],
    weights: list[Tensor],
    state: list[Tensor],
    fresh: list[Tensor],
    constants: list[Tensor],
    where: Where,
    keep: bool,
) -> list[Tensor]:
    lengths, starts, resets, rows, steps, reverse = where
    outer = given[0].dtype
    dtype = working_type(outer)
    tokens = given[0].shape[0]
    padded = lengths is not None and starts is None
    written = [(torch.zeros if padded else torch.empty)(tokens, own.program.output, dtype=outer)]
    written += _rows(tokens, own.program.saved if keep else (), outer, padded)
    finals, _, _ = scheduled.run(
        externals=[tensor.detach().contiguous() for tensor in given] + written,
        weights=plain(weights, dtype),
        rows=rows,
        steps=steps,
        dtype=dtype,
        narrow=outer == torch.bfloat16,
        reverse=reverse,
        lengths=lengths,
        starts=starts,
        resets=resets,
        states=plain(state, dtype),
        fresh=plain(fresh, dtype),
        constants=plain(constants, dtype),
    )
    return [written[0], *(final.to(leaf.dtype) for final, leaf in zip(finals, state, strict=True)), *written[1:]]


def backward(
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
    found, _ = gradients(
        *(grad_output, grad_state, saved, projected, state, fresh, constants, tensors),
        *(lengths, starts, resets, rows, steps, reverse, program),
    )
    first = len(found) - len(tensors)  # every other gradient is there
    return [torch.zeros_like(tensors[at - first]) if grad is None else grad for at, grad in enumerate(found)]


def gradients(
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
) -> tuple[list[Tensor | None], list[Tensor]]:
    """What :func:`backward` gives, None for a tensor that the step does not use, and the sums that the program makes.

    Of ``projected`` only type and shape are looked at where the program does not read it again.
    """
    own = native(program).program
    scheduled = native(program).backward
    outer = projected[0].dtype
    dtype = working_type(outer)
    tokens = projected[0].shape[0]
    padded = lengths is not None and starts is None
    grad_projected = _rows(tokens, own.projected, outer, padded)
    cuts = _rows(tokens, own.cuts, outer, padded)
    fresh_gradients = [torch.zeros(rows, width, dtype=dtype) for width in own.state] if resets is not None else []
    # What is not read needs an address all the same.
    again = projected if own.rereads else grad_projected
    read = [tensor.detach().contiguous() for tensor in (*again, *saved, grad_output.to(outer))]
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
    found: list[Tensor | None] = [
        *grad_projected,
        *(grad.to(leaf.dtype) for grad, leaf in zip(grad_states, state, strict=True)),
        *(grad.to(leaf.dtype) for grad, leaf in zip(fresh_gradients, fresh, strict=True)),
        *grad_constants,
        *(
            None if grad is None else _own(grad.to(tensor.dtype), arrays)
            for grad, tensor in zip(grads, tensors, strict=True)
        ),
    ]
    return found, sums


def _rows(tokens: int, widths: tuple[int, ...], dtype: torch.dtype, padded: bool) -> list[Tensor]:
    """[tokens, width] each; zeros where there is padding, which the engine does not touch."""
    made = [empty(tokens, width, dtype) for width in widths]
    return [array.zero_() for array in made] if padded else made


def _own(grad: Tensor, arrays: dict[tuple[str, int], Tensor]) -> Tensor:
    """The gradient as memory of its own: an operator's results may not be views of what it was given."""
    return grad.clone() if any(grad.data_ptr() == array.data_ptr() for array in arrays.values()) else grad.contiguous()
