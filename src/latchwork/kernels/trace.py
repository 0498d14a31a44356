"""A cell's step with its vector-Jacobian product, and its projection, as graphs of ATen operations.

The step is traced on tensors without data, with the cell's true widths and a batch that is a large prime; a second
prime must give the same graph, so that a batch size that found its way into the numbers is noticed.
"""

import contextlib
import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, FakeTensorMode
from torch.func import functionalize, vjp
from torch.fx.experimental.proxy_tensor import make_fx
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import _disable_current_modes

from latchwork.cells import Cell
from latchwork.errors import KernelError
from latchwork.kernels.decompose import decompositions
from latchwork.kernels.lift import Form, attribute_tensors, with_tensors
from latchwork.sequences import flatten, map_state
from latchwork.types import Tensor

PRIMES = (1000003, 2000003)

aten = torch.ops.aten


@dataclass(frozen=True)
class Trace:
    """A graph, what its placeholders are, and what each of its results is: (kind, index) as in a Program's sources
    and targets, and ("parameter", i); for results, ("parameter", i) is that tensor's gradient."""

    graph: fx.GraphModule
    inputs: Mapping[fx.Node, tuple[str, int]]
    outputs: Sequence[tuple[tuple[str, int], fx.Node]]
    batch: int
    dtype: torch.dtype


class NoNumbers(TorchFunctionMode):
    """Refuses to make a number of a tensor: a program would keep the number when the tensor has long changed."""

    READERS = frozenset({"item", "tolist", "numpy", "__bool__", "__float__", "__int__", "__index__", "__complex__"})

    def __init__(self, cell: str) -> None:
        super().__init__()
        self.cell = cell

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name in self.READERS:
            what = f"{self.cell}.step asks for the value of a tensor ({name.strip('_')})"
            raise KernelError(f"{what}, which a program can't follow: use torch.where, and tensors throughout")
        return func(*args, **(kwargs or {}))


def trace_step(cell: Cell, form: Form) -> Trace:
    """The step and its vector-Jacobian product. Placeholders: tensors, projected, state, constants, cotangents."""
    roles = [("parameter", i) for i in range(len(form.names))]
    roles += [("projected", k) for k in range(len(form.projected))]
    roles += [("state", k) for k in range(len(form.state))]
    roles += [("constant", k) for k in range(len(form.constants))]
    inner = len(roles)
    roles += [("grad_output", 0), *(("grad_state", k) for k in range(len(form.state)))]
    count = len(form.names)
    smooth = [
        (kind, k)
        for kind, k in roles[:inner]
        if not (kind == "parameter" and not form.tensors[k].is_floating_point())
        and not (kind == "projected" and not form.projected[k][1].is_floating_point)
    ]
    width = torch.Size((cell.output_size,))

    def samples(batch: int) -> list[Tensor]:
        rows = [(shape, form.traced(kind)) for shape, kind in form.projected]
        rows += [(shape, form.dtype) for shape in (*form.state, *form.constants, width, *form.state)]
        return _empty(form) + [torch.empty(batch, *shape, dtype=kind) for shape, kind in rows]

    def joint(*tensors: Tensor) -> list[Tensor]:
        given = dict(zip(roles, tensors, strict=True))

        def primal(*parts: Tensor) -> tuple[Tensor, ...]:
            now = {**given, **dict(zip(smooth, parts, strict=True))}
            values = list(now.values())
            copy = with_tensors(cell, form.names, form.tensors, values[:count])
            leaves = iter([now["state", k] for k in range(len(form.state))])
            state = map_state(lambda _: next(leaves), form.state_tree)
            projected = tuple(now["projected", k] for k in range(len(form.projected)))
            constants = tuple(now["constant", k] for k in range(len(form.constants)))
            with NoNumbers(type(cell).__name__):
                output, after = copy.step(projected, state, constants)
            results = (output, *flatten(after).values())
            _check_results(cell, form, results, tensors[inner:])
            return results

        pair: Any = vjp(primal, *(given[role] for role in smooth))
        results, pull = pair
        return [*results, *pull(tuple(tensors[inner:]))]

    targets = [("output", 0), *(("state", k) for k in range(len(form.state)))]
    targets += [(kind if kind == "parameter" else f"grad_{kind}", k) for kind, k in smooth]
    return _twice(cell, form, "step", joint, samples, roles, targets)


def _empty(form: Form) -> list[Tensor]:
    return [torch.empty(tensor.shape, dtype=form.traced(tensor.dtype)) for tensor in form.tensors]


def _check_results(cell: Cell, form: Form, results: Sequence[Tensor], cotangents: Sequence[Tensor]) -> None:
    if len(results) != len(cotangents):
        raise KernelError(f"{type(cell).__name__}.step changes the number of its states")
    for result, expected in zip(results, cotangents, strict=True):
        if result.shape != expected.shape:
            raise KernelError(
                f"{type(cell).__name__}.step returns shape {tuple(result.shape[1:])} for each row, expected "
                f"{tuple(expected.shape[1:])}"
            )
        if not result.dtype.is_floating_point:
            raise KernelError(f"{type(cell).__name__}.step returns {result.dtype}, expected floating point")


def trace_project(cell: Cell, form: Form) -> Trace:
    """The projection on rows of inputs, without derivatives."""
    roles = [*(("parameter", i) for i in range(len(form.names))), ("projected", 0)]

    def samples(batch: int) -> list[Tensor]:
        return [*_empty(form), torch.empty(batch, cell.input_size, dtype=form.dtype)]

    def project(*tensors: Tensor) -> list[Tensor]:
        copy = with_tensors(cell, form.names, form.tensors, tensors[:-1])
        return list(copy.project(tensors[-1]))

    targets = [("output", k) for k in range(len(form.projected))]
    return _twice(cell, form, "project", project, samples, roles, targets)


def _twice(
    cell: Cell,
    form: Form,
    method: str,
    function: Callable[..., list[Tensor]],
    samples: Callable[[int], list[Tensor]],
    roles: Sequence[tuple[str, int]],
    targets: Sequence[tuple[str, int]],
) -> Trace:
    where = f"{type(cell).__name__}.{method}"
    graphs = [_traced(where, function, samples, batch) for batch in PRIMES]
    if not _same_graph(*graphs):
        raise KernelError(f"{where} computes with the size of the batch; a row must not depend on the others")
    graph = graphs[0]
    _check_nodes(where, cell, graph)
    nodes = [node for node in graph.graph.nodes if node.op == "placeholder"]
    (results,) = next(node for node in graph.graph.nodes if node.op == "output").args
    return Trace(
        graph,
        dict(zip(nodes, roles, strict=True)),
        [(target, node) for target, node in zip(targets, results, strict=True)],
        PRIMES[0],
        form.dtype,
    )


def _traced(
    where: str, function: Callable[..., list[Tensor]], samples: Callable[[int], list[Tensor]], batch: int
) -> fx.GraphModule:
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_disable_current_modes())
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(torch.autocast("cpu", enabled=False))
        stack.enter_context(_quiet())
        stack.enter_context(mode)
        tensors = samples(batch)
        try:
            graph = make_fx(
                functionalize(function, remove="mutations"),
                decomposition_table=decompositions(),
                tracing_mode="real",
                _allow_non_fake_inputs=True,
            )(*tensors)
        except KernelError:
            raise
        except (DataDependentOutputException, DynamicOutputShapeException) as error:
            raise KernelError(f"{where} asks for the value of a tensor ({error.func}): {_BRANCH}") from error
        except Exception as error:
            if "data-dependent" in str(error):
                raise KernelError(f"{where} asks for the value of a tensor: {_BRANCH}") from error
            if "in-place operation" in str(error):
                raise KernelError(f"{where} changes a tensor in place that is not its own; make a new one") from error
            if named := re.search(
                r"custom \(non-ATen\) operator whose output has alias annotations: (\S+?)\(", str(error)
            ):
                raise KernelError(f"{where} uses {named[1]}, which is outside the compiled set") from error
            line = str(error).strip().split(". ")[0].splitlines()
            raise KernelError(f"{where} can't be traced: {type(error).__name__}: {line[0] if line else ''}") from error
    graph.graph.eliminate_dead_code()
    return graph


_BRANCH = "a branch or number that depends on data can't be compiled, torch.where can"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Torch logs what fails on tensors without data; here it is the error's business."""
    logger = logging.getLogger("torch._subclasses.fake_tensor")
    logger.addFilter(_silent)
    try:
        yield
    finally:
        logger.removeFilter(_silent)


def _silent(record: logging.LogRecord) -> bool:
    return False


def _same_graph(first: fx.GraphModule, second: fx.GraphModule) -> bool:
    nodes: dict[fx.Node, fx.Node] = {}

    def same(a: Any, b: Any) -> bool:
        if isinstance(a, fx.Node):
            return nodes.get(a) is b
        if isinstance(a, (list, tuple)):
            return isinstance(b, (list, tuple)) and len(a) == len(b) and all(map(same, a, b))
        if isinstance(a, dict):
            return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
        if isinstance(a, bool) or not isinstance(a, int):
            return a == b or (a != a and b != b)
        return a == b or (isinstance(b, int) and a % PRIMES[0] == 0 and a // PRIMES[0] * PRIMES[1] == b)

    pairs = list(zip(first.graph.nodes, second.graph.nodes, strict=False))
    if len(first.graph.nodes) != len(second.graph.nodes):
        return False
    for a, b in pairs:
        if a.op != b.op or (a.op == "call_function" and a.target != b.target):
            return False
        if not (same(a.args, b.args) and same(a.kwargs, b.kwargs)):
            return False
        if a.op == "get_attr":
            left, right = getattr(first, str(a.target)), getattr(second, str(b.target))
            if left is not right and not (left.shape == right.shape and torch.equal(left, right)):
                return False
        nodes[a] = b
    return True


def _check_nodes(where: str, cell: Cell, graph: fx.GraphModule) -> None:
    held: dict[int, str] | None = None
    for node in graph.graph.nodes:
        if node.op == "get_attr":
            held = attribute_tensors(cell) if held is None else held
            tensor = getattr(graph, str(node.target))
            literal = all(use.target is aten.lift_fresh_copy.default for use in node.users)
            if id(tensor) in held or not literal:
                name = held.get(id(tensor), "from outside")
                raise KernelError(
                    f"{where} uses the tensor {name}, which is neither a parameter nor a buffer nor an argument; "
                    f"make it one (register_buffer)"
                )
        if node.op == "call_function" and torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ()):
            raise KernelError(f"{where} draws random numbers ({node.target}); draw them in project, as masks")
        if node.op == "call_function" and node.target is aten.copy_.default:
            raise KernelError(f"{where} changes a tensor that it was given in place")
