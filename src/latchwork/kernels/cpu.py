"""The engine as a kernel: any cell whose step can be written as a program, on a CPU, trained and run."""

from typing import Any

import torch

from latchwork.cells import Cell
from latchwork.errors import KernelError
from latchwork.kernels.cell_program import CellProgram, program_for, tensors_of
from latchwork.kernels.native import MISSING, engine
from latchwork.kernels.operator import name_of, project, recur, working_type
from latchwork.sequences import flatten, mask_from_lengths, unflatten
from latchwork.types import Bool, Float, Int, Tensor

TYPES = (torch.float32, torch.float64, torch.bfloat16)


def refusal(cell: Cell, *, constants: tuple[Tensor, ...] = ()) -> str | None:
    """Why the engine can't run this cell, or None where it can."""
    if engine() is None:
        return MISSING
    for tensor in cell.parameters():
        if tensor.device.type != "cpu":
            return f"the engine runs on a CPU, and {type(cell).__name__} is on {tensor.device.type}"
        if tensor.dtype not in TYPES:
            return f"the engine knows float32, float64 and bfloat16, not {tensor.dtype}"
    try:
        traced(cell, constants)
    except KernelError as error:
        return str(error)
    return None


def traced(cell: Cell, constants: tuple[Tensor, ...] = ()) -> CellProgram:
    """The cell's program; :class:`KernelError` where there is none."""
    first = next(cell.parameters(), None)
    dtype = working_type(first.dtype if first is not None else torch.get_default_dtype())
    return program_for(cell, dtype=dtype, constants=tuple(constant.shape[1:].numel() for constant in constants))


def run(
    cell: Cell,
    inputs: Float[Tensor, "batch time input"],
    state: Any = None,
    *,
    lengths: Int[Tensor, " batch"] | None = None,
    resets: Bool[Tensor, "batch time"] | None = None,
    reverse: bool = False,
    fresh: Any = None,
    constants: tuple[Tensor, ...] = (),
) -> tuple[Float[Tensor, "batch time output"], Any]:
    """The same answer as :func:`latchwork.kernels.loop.run`, by the engine.

    Without gradients the inputs' part is computed by the engine too, and a row gives the same bits alone and in any
    batch; with gradients torch computes it, whose products may differ in the last bit from batch to batch. Ragged rows
    cost what their steps cost: padding is taken out before anything is computed.

    Raises :class:`KernelError` where :func:`refusal` names a reason.
    """
    if reason := refusal(cell, constants=constants):
        raise KernelError(f'kernel "cpu" can\'t run this: {reason}; use kernel="loop" or "auto"')
    program = traced(cell, constants)
    batch, time = inputs.shape[:2]
    fresh = cell.initial_state(batch) if fresh is None else fresh
    state = fresh if state is None else state
    if not batch or not time:
        return inputs.new_zeros(batch, time, cell.output_size), state
    starts = places = None
    if lengths is not None:
        lengths = lengths.to(torch.int64).contiguous()
        active = mask_from_lengths(lengths, time)
        inputs = inputs.masked_fill(~active.unsqueeze(-1), 0.0) if not cell.tokenwise else inputs
        if cell.tokenwise:
            places = active.flatten().nonzero().squeeze(1)
            starts = lengths.cumsum(0) - lengths
    values = inputs if places is None else inputs.flatten(0, 1).index_select(0, places)
    if resets is not None:
        resets = resets.flatten() if places is None else resets.flatten().index_select(0, places)
        resets = resets.to(torch.uint8).contiguous()
    tensors = tensors_of(cell, program)
    leaves = flatten(state)
    own = [leaf.flatten(1) for leaf in leaves.values()]
    anew = [leaf.flatten(1) for leaf in flatten(fresh).values()] if resets is not None else []
    given = [constant.flatten(1) for constant in constants]
    keep = torch.is_grad_enabled() and any(t.requires_grad for t in (inputs, *tensors, *own, *anew, *given))
    name = name_of(program, cell.input_size)
    if keep or program.project is None:
        parts = [part.flatten(0, -2) for part in cell.project(values)]
        outer = next((part.dtype for part in parts if part.is_floating_point()), inputs.dtype)
        projected = [part.to(outer) for part in parts]
    else:
        outer = torch.bfloat16 if _narrow(inputs) else inputs.dtype
        projected = project(values.flatten(0, -2), tensors, outer, name)
    outputs, *rest = recur(
        projected, own, anew, given, tensors, lengths, starts, resets, batch, time, reverse, keep, name
    )
    if places is not None:
        outputs = outputs.new_zeros(batch * time, outputs.shape[-1]).index_copy(0, places, outputs)
    final = {name: leaf.view(like.shape) for (name, like), leaf in zip(leaves.items(), rest, strict=False)}
    return outputs.view(batch, time, -1), unflatten(state, final)


def _narrow(inputs: Tensor) -> bool:
    """Whether products are in bfloat16: as torch's own would be."""
    narrowed = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
    return inputs.dtype == torch.bfloat16 or (narrowed and inputs.dtype == torch.float32)
