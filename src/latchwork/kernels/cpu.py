"""The engine as a kernel: any cell whose step can be written as a program, on a CPU, trained and run."""

from collections.abc import Sequence
from operator import attrgetter
from typing import Any, NamedTuple

import torch
from torch.autograd import forward_ad
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

from latchwork.cells import Cell
from latchwork.errors import DataError, KernelError, StateError
from latchwork.kernels import compute, loop, operator
from latchwork.kernels.cell_program import CellProgram, program_for, tensors_of
from latchwork.kernels.compute import name_of, working_type
from latchwork.kernels.native import MISSING, engine
from latchwork.sequences import flatten, mask_from_lengths, unflatten
from latchwork.types import Bool, Float, Int, Tensor

TYPES = (torch.float32, torch.float64, torch.bfloat16)


def takes(tensor: Tensor) -> bool:
    """Whether the engine is there, and computes with tensors such as this one, here and now."""
    return engine() is not None and tensor.device.type == "cpu" and tensor.dtype in TYPES and _surroundings() is None


def _surroundings() -> str | None:
    """What stands around the call that the engine can't be part of: it takes numbers, and no stand-ins for them."""
    if torch.compiler.is_compiling():
        return None
    if torch._C._functorch.peek_interpreter_stack() is not None:  # type: ignore[attr-defined]
        return "torch.func transforms take the step apart"
    if forward_ad._current_level >= 0:
        return "forward-mode differentiation takes the step apart"
    if torch.jit.is_tracing():  # type: ignore[attr-defined]
        return "torch.jit.trace records torch's own operations"
    if is_in_torch_dispatch_mode():
        return "a dispatch mode (fake tensors, tracing) is active"
    return None


class Plan(NamedTuple):
    """What runs a cell: the program by its name, the cell's tensors as they are now, and whether it has a program for
    ``project`` as well.
    """

    name: str
    tensors: list[Tensor]
    projects: bool

    @property
    def program(self) -> CellProgram:
        return compute.native(self.name).program


def plan(cell: Cell, constants: tuple[Tensor, ...] = ()) -> Plan | str:
    """What the engine runs for this cell, or why it can't."""
    if engine() is None:
        return MISSING
    if (around := _surroundings()) is not None:
        return around
    if any(constant.dim() != 2 for constant in constants):
        return "its constants are not [batch, width]"
    first = next(cell.parameters(), None)
    dtype = working_type(first.dtype if first is not None else torch.get_default_dtype())
    try:
        program = program_for(cell, dtype=dtype, constants=tuple(constant[0].numel() for constant in constants))
    except KernelError as error:
        return str(error)
    tensors = tensors_of(cell, program)
    for tensor in tensors:
        if tensor.device.type != "cpu":
            return f"the engine runs on a CPU, and {type(cell).__name__} is on {tensor.device.type}"
        if tensor.dtype not in TYPES:
            return f"the engine knows float32, float64 and bfloat16, not {tensor.dtype}"
    return Plan(name_of(program, cell.input_size), tensors, program.project is not None and cell.tokenwise)


Named = tuple[str, tuple[str, ...], bool] | str


def named(cell: Cell) -> Named:
    """:func:`plan` in plain values, for a graph: the program, the names of its tensors, whether it projects; or why
    not. A layer asks for it once, when the graph is made.
    """
    found = plan(cell)
    return found if isinstance(found, str) else (found.name, found.program.parameters, found.projects)


def plan_in_graph(cell: Cell, named: Named) -> Plan | str:
    """The plan under ``torch.compile``, where the cell's tensors are the graph's."""
    if isinstance(named, str):
        return named
    name, parameters, projects = named
    return Plan(name, [attrgetter(path)(cell) for path in parameters], projects)


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
    planned: Plan | str | None = None,
) -> tuple[Float[Tensor, "batch time output"], Any]:
    """The same answer as :func:`latchwork.kernels.loop.run`, by the engine.

    Without gradients the inputs' part is computed by the engine too, and a row gives the same bits alone and in any
    batch; with gradients it is torch's, or a step's where there are several rows, and may differ in the last bit from
    batch to batch. Ragged rows cost what their steps cost: padding is taken out before anything is computed.

    planned: what :func:`plan` says, where it was asked already. Raises :class:`KernelError` where that is a reason.
    """
    planned = _required(plan(cell, constants) if planned is None else planned)
    batch, time = inputs.shape[:2]
    fresh = cell.initial_state(batch) if fresh is None else fresh
    state = fresh if state is None else state
    if not batch or not time:
        return loop.run(cell, inputs, state, fresh=fresh, constants=constants)
    places = None
    rows = Rows(batch, time)
    if lengths is not None:
        lengths = lengths.to(torch.int64, copy=True).contiguous()  # the backward pass reads them too
        active = mask_from_lengths(lengths, time)
        if torch.compiler.is_compiling() or not cell.tokenwise:  # a graph's shapes do not depend on lengths
            inputs, rows = inputs.masked_fill(~active.unsqueeze(-1), 0.0), Rows(batch, time, lengths)
        else:
            places = active.flatten().nonzero().squeeze(1)
            rows = Rows.ragged(lengths, time)
    values = inputs if places is None else inputs.flatten(0, 1).index_select(0, places)
    if resets is not None:
        resets = resets.flatten() if places is None else resets.flatten().index_select(0, places)
    options: dict[str, Any] = {"resets": resets, "reverse": reverse, "fresh": fresh, "constants": constants}
    outputs, final = run_rows(cell, values, state, rows, planned=planned, **options)
    if places is not None:
        outputs = outputs.new_zeros(batch * time, outputs.shape[-1]).index_copy_(0, places, outputs)
    return outputs.view(batch, time, -1), final


class Rows(NamedTuple):
    """How the steps of a batch lie among its tokens: row b's are those from ``starts[b]`` on, ``lengths[b]`` of them.

    Without starts row b begins at b · steps; without lengths all rows have ``steps`` steps.
    """

    batch: int
    steps: int
    lengths: Int[Tensor, " batch"] | None = None
    starts: Int[Tensor, " batch"] | None = None

    @classmethod
    def ragged(cls, lengths: Int[Tensor, " batch"], steps: int) -> "Rows":
        """One row's steps right behind the other's, and no padding."""
        return cls(len(lengths), steps, lengths, lengths.cumsum(0) - lengths)


def run_rows(
    cell: Cell,
    values: Tensor,
    state: Any,
    rows: Rows,
    *,
    resets: Tensor | None = None,
    reverse: bool = False,
    fresh: Any = None,
    constants: tuple[Tensor, ...] = (),
    planned: Plan | str | None = None,
) -> tuple[Float[Tensor, "tokens output"], Any]:
    """:func:`run` on rows as they lie: values [tokens, input] ([batch, time, input] without starts), resets [tokens]
    -> outputs [tokens, output].
    """
    name, tensors, projects = planned = _required(plan(cell, constants) if planned is None else planned)
    batch = rows.batch
    fresh = cell.initial_state(batch) if fresh is None else fresh
    state = fresh if state is None else state
    if resets is not None:
        resets = resets.to(torch.uint8).contiguous()
    leaves = flatten(state)
    own = [leaf.flatten(1) for leaf in leaves.values()]
    anew = [leaf.flatten(1) for leaf in flatten(fresh).values()] if resets is not None else []
    given = [constant.flatten(1) for constant in constants]
    widths = planned.program if not torch.compiler.is_compiling() else None
    if widths is not None:
        for what, parts, expected in (
            ("state", own, widths.state),
            ("fresh", anew, widths.state if anew else ()),
            ("constants", given, widths.constants),
        ):
            _check(what, parts, expected, batch)
    grad = torch.is_grad_enabled()
    plain = values.dtype in TYPES and all(t.dtype == values.dtype for t in tensors if t.is_floating_point())
    linear = None if widths is None or not (grad and projects and plain) else widths.linear
    if linear is not None:
        projected, outer = [values.flatten(0, -2)], torch.bfloat16 if _narrow(values) else values.dtype
    elif grad or not projects or not plain:
        parts = [part.flatten(0, -2) for part in cell.project(values)]
        outer = _outer([part.dtype for part in parts if part.is_floating_point()], tensors)
        projected = [part.to(outer) for part in parts]
    else:
        outer = torch.bfloat16 if _narrow(values) else values.dtype
        made = operator.project if torch.compiler.is_compiling() else compute.project
        projected = made(values.flatten(0, -2), tensors, outer, name)
    keep = grad and any(t.requires_grad for t in (*projected, *tensors, *own, *anew, *given))
    if linear is not None and not keep:
        projected, linear = compute.project(projected[0], tensors, outer, name), None
    where = (rows.lengths, rows.starts, resets, batch, rows.steps, reverse)
    outputs, *rest = _pass(operator.Pass(*where, name, linear, outer), [projected, own, anew, given, tensors], keep)
    final = {name: leaf.view(batch, *like.shape[1:]) for (name, like), leaf in zip(leaves.items(), rest, strict=False)}
    return outputs, unflatten(state, final)


def _required(planned: Plan | str) -> Plan:
    if isinstance(planned, str):
        raise KernelError(f'kernel "cpu" can\'t run this: {planned}; use kernel="loop" or "auto"')
    return planned


def _check(what: str, parts: list[Tensor], widths: tuple[int, ...], batch: int) -> None:
    """Spread a single row over the batch, and refuse what is of no such shape: addresses are all that goes on."""
    if len(parts) != len(widths):
        raise StateError(f"{what} has {len(parts)} parts, expected {len(widths)}")
    for index, (part, width) in enumerate(zip(parts, widths, strict=True)):
        if len(part) == 1 != batch:
            parts[index] = part = part.expand(batch, -1)
        if part.shape != (batch, width):
            raise StateError(
                f"{what}[{index}] has shape {tuple(part.shape)}, expected {(batch, width)}: the batch comes first"
            )


def _outer(dtypes: list[torch.dtype], tensors: list[Tensor]) -> torch.dtype:
    """The type of what goes in and out: that of the projected values, float32 where the engine has no such type."""
    own = next((tensor.dtype for tensor in tensors if tensor.is_floating_point()), torch.get_default_dtype())
    outer = dtypes[0] if dtypes else own
    if outer not in TYPES:
        outer = torch.float32
    if working_type(outer) != working_type(own):
        raise DataError(f"inputs give {outer}, and the cell is {own}: expected the same type; convert one of them")
    return outer


def _pass(call: operator.Pass, groups: operator.Groups, keep: bool) -> Sequence[Tensor]:
    """[output, *final states, …], as an operator where a graph is made, and without its cost where none is."""
    places: Any = (call.lengths, call.starts, call.resets, call.rows, call.steps, call.reverse, keep, call.program)
    if torch.compiler.is_compiling():
        return operator.recur(*groups, *places)
    if keep:
        sizes = [len(group) for group in groups]
        return operator.Recur.apply(call, sizes, *(tensor for group in groups for tensor in group))
    lists: Any = groups
    return compute.forward(*lists, *places)


def _narrow(inputs: Tensor) -> bool:
    """Whether products are in bfloat16: as torch's own would be."""
    narrowed = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
    return inputs.dtype == torch.bfloat16 or (narrowed and inputs.dtype == torch.float32)
