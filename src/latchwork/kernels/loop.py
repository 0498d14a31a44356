"""The reference: a cell run step by step in plain torch. Everything faster is tested against this file."""

from typing import Any

import torch

from latchwork.cells import Cell
from latchwork.sequences import mask_from_lengths, where
from latchwork.types import Bool, Float, Int, Tensor


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
    """Fold ``cell.step`` over time.

    Returns the outputs, zero past a row's length, and each row's state at its own end (with length 0: the state it came
    with). ``reverse`` runs each row from its own last step to its first. ``resets[t]``: the state before step t is
    ``fresh``; with ``reverse``, the state after step t is. A reset past a row's length does nothing.
    """
    batch, time = inputs.shape[:2]
    fresh = cell.initial_state(batch) if fresh is None else fresh
    state = fresh if state is None else state
    active = None if lengths is None else mask_from_lengths(lengths, time)
    if active is not None:
        # Padding may hold anything, NaN too: 0 * NaN in the weights' gradient would reach every other row.
        inputs = inputs.masked_fill(~active.unsqueeze(-1), 0.0)
        resets = None if resets is None else resets & active
    # Split once: the gradient of a slice fills a tensor as large as the whole, for every step anew.
    steps = list(zip(*(part.unbind(1) for part in cell.project(inputs)), strict=True))
    outputs: list[Tensor] = [inputs.new_empty(0)] * time
    for t in reversed(range(time)) if reverse else range(time):
        if resets is not None and not reverse:
            state = where(resets[:, t], fresh, state)
        output, after = cell.step(steps[t], state, constants)
        if resets is not None and reverse:
            after = where(resets[:, t], fresh, after)
        if active is not None:
            after = where(active[:, t], after, state)
            output = torch.where(active[:, t].unsqueeze(-1), output, 0.0)
        outputs[t], state = output, after
    stacked = torch.stack(outputs, dim=1) if time else inputs.new_zeros(batch, 0, cell.output_size)
    return stacked, state
