"""Any cell as programs: its step, its step with what the backward pass wants kept, its backward pass, its projection.

Programs depend on a cell's structure alone (classes, options, widths), never on its numbers, and are made once for each
structure. What torch computes once a pass stands beside them: tensors of parameters before, their gradients after.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

from latchwork.cells import Cell
from latchwork.errors import KernelError
from latchwork.kernels.elements import Elements, Ids, Row
from latchwork.kernels.lift import Form, form, tensors_by_name
from latchwork.kernels.linear import Linear, linear
from latchwork.kernels.lower import affine, lower, tidy
from latchwork.kernels.operations import interpret
from latchwork.kernels.program import Program
from latchwork.kernels.split import split
from latchwork.kernels.structure import hooked, structure
from latchwork.kernels.trace import Trace, trace_project, trace_step
from latchwork.kernels.weights import Epilogue, Gradients, Prologue
from latchwork.types import Tensor

KEPT = 256
"""Programs that are kept; the one that was not asked for longest goes first."""


@dataclass(frozen=True)
class CellProgram:
    """The programs of a cell. Widths are those of one row, flattened past the batch.

    parameters: dotted names of the parameters and buffers that take part, the order of ``tensors`` below. projected,
    state (leaves in the order of :func:`latchwork.sequences.flatten`), constants, output: widths. forward: writes
    output and state. saving: the same, and what the backward pass and the weights' gradients want of each step,
    arrays of widths ``saved``. backward: from saved, projected, constant, grad_output and grad_state to
    grad_projected, grad_state, grad_constant, and arrays of widths ``cuts`` and ``sums`` for the weights' gradients.
    project: cell.project on rows of inputs, which are projected[0], written as output[k]; None where it can't be
    expressed, with the reason. linear: what ``project`` is where it is one
    product. affine: the state after a step is affine in the state before it. row_inputs: the arrays, (kind, index),
    that ``gradients`` wants with a row for each token.
    """

    name: str
    parameters: tuple[str, ...]
    projected: tuple[int, ...]
    state: tuple[int, ...]
    constants: tuple[int, ...]
    output: int
    forward: Program
    saving: Program
    backward: Program
    saved: tuple[int, ...]
    cuts: tuple[int, ...]
    sums: tuple[int, ...]
    project: Program | None
    project_refusal: str | None
    linear: Linear | None
    affine: bool
    row_inputs: tuple[tuple[str, int], ...]
    _prologue: Prologue = field(repr=False)
    _epilogue: Epilogue = field(repr=False)
    _project_prologue: Prologue | None = field(repr=False)

    @cached_property
    def rereads(self) -> bool:
        """Whether the backward pass wants what was projected once more."""
        loads = (op.source for op in self.backward.ops if op.source is not None)
        return any(source.kind == "projected" for source in loads) or any(k == "projected" for k, _ in self.row_inputs)

    @cached_property
    def inlined(self) -> Program | None:
        """``saving`` that projects the inputs itself; None where they are projected otherwise, or wanted once more."""
        if self.linear is None or self.rereads:
            return None
        return self.linear.inlined(self.saving, len(self._prologue.results))

    def weights(self, tensors: Sequence[Tensor], *, differentiable: bool = False) -> list[Tensor]:
        """The contiguous tensors that ``Term.weight`` and ``Source("vector", …)`` count."""
        with torch.set_grad_enabled(differentiable):
            return self._prologue(tensors)

    def project_weights(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """The same for ``project``; KernelError where there is none."""
        if self._project_prologue is None:
            raise KernelError(f"{self.name}.project has no program: {self.project_refusal}")
        with torch.no_grad():
            return self._project_prologue(tensors)

    def gradients(
        self, tensors: Sequence[Tensor], rows: Mapping[tuple[str, int], Tensor], sums: Sequence[Tensor]
    ) -> list[Tensor | None]:
        """The gradient of each of ``tensors``, or None where the step does not depend on it.

        rows: the arrays named in ``row_inputs``, [tokens, width] each. sums: what ``backward`` added up, [width] each.
        """
        with torch.no_grad():
            return self._epilogue(tensors, rows, sums)


_programs: OrderedDict[Any, CellProgram | str] = OrderedDict()
_lock = threading.Lock()
_here = threading.local()
_tracing = threading.RLock()  # a cell may run another in its projection


def program_for(cell: Cell, *, dtype: torch.dtype, constants: tuple[int, ...] = ()) -> CellProgram:
    """The programs of a cell, made once for cells of the same structure; dtype: the type that it computes in.

    Raises :class:`KernelError` naming the operation that a program can't express, without tracing a second time.
    """
    traced = torch.float64 if dtype == torch.float64 else torch.float32
    key = (traced, constants, *structure(cell))
    found = _known(key)
    if found is None:
        found = _alone(lambda: _remembered(key, cell, traced, constants))
    if isinstance(found, str):
        raise KernelError(found)
    return found


def _remembered(key: Any, cell: Cell, dtype: torch.dtype, constants: tuple[int, ...]) -> CellProgram | str:
    with _tracing:
        found = _known(key)
        if found is None:
            found = _made(cell, dtype, constants)
            with _lock:
                _programs[key] = found
                while len(_programs) > KEPT:
                    _programs.popitem(last=False)
        return found


def _alone(function: Callable[[], CellProgram | str]) -> CellProgram | str:
    """The function's result, found in a thread of its own: what its caller is inside of (checkpointing, autocast, a
    transform, a dispatch mode) belongs to the thread and must leave no trace in a program, nor in a refusal.
    """
    if getattr(_here, "tracing", False):
        return function()
    results: list[CellProgram | str] = []
    errors: list[BaseException] = []

    def run() -> None:
        _here.tracing = True
        try:
            results.append(function())
        except BaseException as error:  # noqa: BLE001 (raised again in the thread that asked)
            errors.append(error)

    thread = threading.Thread(target=run, name="latchwork tracing")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def _known(key: Any) -> CellProgram | str | None:
    with _lock:
        found = _programs.get(key)
        if found is not None:
            _programs.move_to_end(key)
        return found


def _made(cell: Cell, dtype: torch.dtype, constants: tuple[int, ...]) -> CellProgram | str:
    """The program, or why there is none."""
    try:
        return _make(cell, form(cell, dtype, constants))
    except KernelError as error:
        return str(error)


def tensors_of(cell: Cell, program: CellProgram) -> list[Tensor]:
    """The cell's tensors as they are now, in the order of ``program.parameters``."""
    return tensors_by_name(cell, program.parameters)


def _make(cell: Cell, form: Form) -> CellProgram:
    name = type(cell).__name__
    if (module := hooked(cell)) is not None:
        raise KernelError(f"{name}.{module} has hooks, which a compiled step would not call; remove them")
    trace = trace_step(cell, form)
    elements = interpret(trace, f"{name}.step")
    targets: dict[tuple[str, int], Ids] = {}
    for target, node in trace.outputs:
        if target[0] != "parameter":
            targets[target] = _flat(elements, node)
    for k, (shape, _) in enumerate(form.projected):
        targets.setdefault(("grad_projected", k), np.full(shape.numel(), elements.number(0.0)))
    known = {key: ids for key, ids in targets.items() if key[0] == "grad_projected"}
    for node, (kind, index) in trace.inputs.items():
        if kind in ("projected", "grad_output"):
            known[kind, index] = _flat(elements, node)
    gradients = Gradients(elements, known)
    project, project_prologue, refusal = _project(cell, form)
    single = None
    if project_prologue is not None:
        single = linear(project, project_prologue.plain, [tensor.shape for tensor in form.tensors], cell.input_size)
    if single is not None and single.bias is not None:
        _, total = gradients.keep("sum", targets["grad_projected", 0])
        single = replace(single, total=total)
    targets |= gradients.kept
    joint = lower(elements, targets)
    halves = split(joint, gradients.widths("saved"))
    return CellProgram(
        name=name,
        parameters=form.names,
        projected=tuple(shape.numel() for shape, _ in form.projected),
        state=tuple(shape.numel() for shape in form.state),
        constants=tuple(shape.numel() for shape in form.constants),
        output=cell.output_size,
        forward=halves.forward,
        saving=halves.saving,
        backward=halves.backward,
        saved=halves.saved,
        cuts=gradients.widths("cut"),
        sums=gradients.widths("sum"),
        project=project,
        project_refusal=refusal,
        linear=single,
        affine=affine(halves.forward),
        row_inputs=tuple(gradients.row_inputs),
        _prologue=Prologue(elements, joint.weights),
        _epilogue=gradients.epilogue(),
        _project_prologue=project_prologue,
    )


def _flat(elements: Elements, node: Any) -> Ids:
    """The columns of a result."""
    value = elements.values[node]
    shape = elements.shape(node)
    if isinstance(value, Row):
        if value.axis != 0 or value.outer * value.inner != 1:
            raise KernelError(f"{elements.where} returns a tensor whose first axis is not the batch")
        return value.ids.reshape(-1)
    number = getattr(value, "value", None)
    if number is None:
        raise KernelError(f"{elements.where} returns a tensor without a batch axis")
    return np.full(int(np.prod(shape[1:])), elements.number(number))


def _project(cell: Cell, form: Form) -> tuple[Program | None, Prologue | None, str | None]:
    try:
        trace: Trace = trace_project(cell, form)
        elements = interpret(trace, f"{type(cell).__name__}.project")
        lowered = lower(elements, {target: _flat(elements, node) for target, node in trace.outputs})
    except KernelError as error:
        return None, None, str(error)
    return tidy(Program(tuple(lowered.ops), tuple(lowered.writes))), Prologue(elements, lowered.weights), None
