"""Which kernel runs a cell, and why. Nothing falls back in silence: it raises, or under "auto" is logged."""

import logging
from typing import Any, NamedTuple

import torch

from latchwork.cells import Cell
from latchwork.errors import ConfigError, DataError, KernelError, did_you_mean
from latchwork.kernels import cpu, loop, torch_native
from latchwork.kernels.native import instruction_set
from latchwork.sequences import mask_from_lengths
from latchwork.types import Bool, Float, Int, Tensor

KERNELS = {"loop": loop.run, "torch": torch_native.run, "cpu": cpu.run}
"""loop: the reference, any cell, step by step. torch: PyTorch's own fused recurrences, standard cells only. cpu: the
compiled engine, any cell whose step can be traced."""

_LOG = logging.getLogger("latchwork")
_told: set[str] = set()


class Choice(NamedTuple):
    """The kernel that runs, and the reason."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


def check_kernel(kernel: str) -> None:
    """Raise :class:`ConfigError` where there is no kernel of that name."""
    if kernel not in ("auto", *KERNELS):
        hint = did_you_mean(kernel, ("auto", *KERNELS))
        raise ConfigError(f'kernel is "{kernel}", expected auto, {", ".join(KERNELS)}{hint}')


def ragged(lengths: Int[Tensor, " batch"] | None, time: int) -> Int[Tensor, " batch"] | None:
    """The lengths, or None where every row is full; :class:`DataError` where one is not in 0 … time."""
    if lengths is None or not len(lengths):
        return None
    shortest, longest = (int(end) for end in lengths.aminmax())
    if shortest < 0 or longest > time:
        raise DataError(f"lengths go from {shortest} to {longest}, expected 0 to {time}, the steps of the batch")
    return None if shortest == time else lengths


def choose(
    cell: Cell,
    kernel: str = "auto",
    *,
    lengths: Int[Tensor, " batch"] | None = None,
    resets: Bool[Tensor, "batch time"] | None = None,
    constants: tuple[Tensor, ...] = (),
) -> Choice:
    """The kernel for this cell and these options (``lengths``: as :func:`ragged` left them). The direction and the
    state make no difference: every kernel takes them.

    ``auto`` takes the engine where it can run the cell, then PyTorch's own, then the loop. So was it measured over the
    shapes of ``benchmarks/speed/engine.py`` (docs/performance.md): the engine takes 0.7 to 1.1 of the time of PyTorch's
    LSTM, 0.1 to 0.8 of its GRU's and RNN's, less of everything that PyTorch runs step by step; and it alone gives a row
    the same bits in any batch. A name that can't run the cell raises :class:`KernelError` with the reason.
    """
    return _choose(cell, kernel, lengths, resets, constants)[0]


def _choose(
    cell: Cell, kernel: str, lengths: Tensor | None, resets: Tensor | None, constants: tuple[Tensor, ...]
) -> tuple[Choice, cpu.Plan | None]:
    """The choice, and the engine's plan where that is it."""
    check_kernel(kernel)
    if kernel == "loop":
        return Choice("loop", "asked for by name; the reference, step by step"), None
    name = type(cell).__name__
    if kernel == "torch":
        if refused := torch_native.refusal(cell, resets=resets, constants=constants):
            raise KernelError(f'kernel "torch" can\'t run this: {refused}; use kernel="loop" or "auto"')
        return Choice("torch", f"asked for by name; {name} is PyTorch's own"), None
    plan = cpu.plan(cell, constants)
    if isinstance(plan, str):
        if kernel == "cpu":
            raise KernelError(f'kernel "cpu" can\'t run this: {plan}; use kernel="loop" or "auto"')
        return _without_engine(cell, plan, lengths, resets, constants), None
    if kernel == "cpu":
        return Choice("cpu", f"asked for by name; the engine, {instruction_set()}"), plan
    return Choice("cpu", f"the engine runs {name}'s step as one program, {instruction_set()}"), plan


def _without_engine(
    cell: Cell, unfit: str, lengths: Tensor | None, resets: Tensor | None, constants: tuple[Tensor, ...]
) -> Choice:
    name = type(cell).__name__
    on_cpu = all(parameter.device.type == "cpu" for parameter in cell.parameters())
    why = f"; the engine can't: {unfit}" if on_cpu else ""
    if why and (note := f"{name}: {unfit}") not in _told:
        _told.add(note)
        _LOG.warning("%s does not run on the engine: %s", name, unfit)
    if refused := torch_native.refusal(cell, resets=resets, constants=constants):
        return Choice("loop", f"step by step, because {refused}{why}")
    if lengths is not None and torch_native.packs(cell) and on_cpu:
        return Choice("loop", f"step by step, because packing ragged rows of {name} costs more on a CPU{why}")
    return Choice("torch", f"{name} is PyTorch's own, fused{why}")


def _in_graph(cell: Cell, kernel: str, named: cpu.Named | None) -> tuple[str, cpu.Plan | None]:
    """The choice while a graph is made: the engine where the layer found a program for it, else what can be traced."""
    if kernel in ("auto", "cpu") and named is not None:
        plan = cpu.plan_in_graph(cell, named)
        if not isinstance(plan, str):
            return "cpu", plan
    if kernel == "cpu":
        raise KernelError('kernel "cpu" can\'t run this in a graph; use kernel="loop" or "auto"')
    return ("torch" if kernel == "torch" else "loop"), None


def _check(inputs: Tensor, lengths: Tensor | None, resets: Tensor | None) -> None:
    """Raise :class:`DataError` where lengths or resets are not of this batch."""
    batch, time = inputs.shape[:2]
    if lengths is not None:
        whole = not (lengths.is_floating_point() or lengths.is_complex() or lengths.dtype == torch.bool)
        if lengths.shape != (batch,) or not whole:
            raise DataError(
                f"lengths is {lengths.dtype} {tuple(lengths.shape)}, expected whole numbers of shape {(batch,)}"
            )
    if resets is not None and (resets.shape != (batch, time) or resets.dtype != torch.bool):
        raise DataError(f"resets is {resets.dtype} {tuple(resets.shape)}, expected bool of shape {(batch, time)}")


def run(
    cell: Cell,
    inputs: Float[Tensor, "batch time input"],
    state: Any = None,
    *,
    kernel: str = "auto",
    lengths: Int[Tensor, " batch"] | None = None,
    resets: Bool[Tensor, "batch time"] | None = None,
    reverse: bool = False,
    fresh: Any = None,
    constants: tuple[Tensor, ...] = (),
    named: cpu.Named | None = None,
) -> tuple[Float[Tensor, "batch time output"], Any]:
    """Run a cell over sequences with the kernel that :func:`choose` names.

    inputs [batch, time, input]; lengths [batch]: steps of each row, what lies past them is never read; resets [batch,
    time]: True where the state before the step (with ``reverse``: after it) is ``fresh``; state: None for ``fresh``,
    which is the cell's initial state where it is None; named: under ``torch.compile``, what :func:`named` said of the
    cell. Returns outputs [batch, time, output], zero past a row's
    length, and each row's state at its own end.
    """
    if torch.compiler.is_compiling():
        name, plan = _in_graph(cell, kernel, named)
    else:
        _check(inputs, lengths, resets)
        lengths = ragged(lengths, inputs.shape[1])
        (name, _), plan = _choose(cell, kernel, lengths, resets, constants)
    return KERNELS[name](
        cell,
        inputs,
        state,
        lengths=lengths,
        resets=resets,
        reverse=reverse,
        fresh=fresh,
        constants=constants,
        **({} if plan is None else {"planned": plan}),
    )


def run_rows(
    cell: Cell,
    values: Float[Tensor, "tokens input"],
    state: Any,
    rows: cpu.Rows,
    *,
    kernel: str = "auto",
    reverse: bool = False,
) -> tuple[Float[Tensor, "tokens output"], Any]:
    """:func:`run` on ragged rows that lie one behind the other, without padding; not under ``torch.compile``."""
    _, plan = _choose(cell, kernel, rows.lengths, None, ())
    if plan is not None and cell.tokenwise:
        return cpu.run_rows(cell, values, state, rows, reverse=reverse, planned=plan)
    assert rows.lengths is not None
    places = mask_from_lengths(rows.lengths, rows.steps).flatten().nonzero().squeeze(1)
    padded = values.new_zeros(rows.batch * rows.steps, values.shape[-1]).index_copy_(0, places, values)
    padded = padded.view(rows.batch, rows.steps, -1)
    outputs, final = run(cell, padded, state, kernel=kernel, lengths=rows.lengths, reverse=reverse)
    return outputs.flatten(0, 1).index_select(0, places), final
