"""A cell's step with its vector-Jacobian product, and its projection, as graphs of ATen operations.

The step is traced on tensors without data, with the cell's true widths and a batch that is a large prime; a second
prime must give the same graph, so that a batch size that found its way into the numbers is noticed.
"""

import contextlib
import functools
import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import torch
from torch import fx, nn
from torch._decomp import core_aten_decompositions, get_decompositions
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, FakeTensorMode
from torch.func import functionalize, vjp
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.utils import parametrize
from torch.utils._python_dispatch import _disable_current_modes

from latchwork.cells import Cell
from latchwork.errors import KernelError
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


@dataclass(frozen=True)
class Form:
    """What a cell takes: names and samples of its tensors, and one row's shapes of everything else."""

    names: tuple[str, ...]
    tensors: tuple[Tensor, ...]
    projected: tuple[tuple[torch.Size, torch.dtype], ...]
    state: tuple[torch.Size, ...]
    state_tree: Any
    constants: tuple[torch.Size, ...]
    dtype: torch.dtype

    def floating(self, index: int) -> bool:
        return self.tensors[index].dtype.is_floating_point


def form(cell: Cell, dtype: torch.dtype, constants: tuple[int, ...]) -> Form:
    """The form of a cell; ``dtype`` is the type that it is traced in."""
    names, tensors = lifted_tensors(cell)
    tree = cell.initial_state(2)
    leaves = flatten(tree)
    for name, leaf in leaves.items():
        if not leaf.dtype.is_floating_point:
            raise KernelError(f"the state {name} of {type(cell).__name__} is {leaf.dtype}, expected floating point")
        if leaf.shape[:1] != (2,):
            raise KernelError(f"the state {name} of {type(cell).__name__} has no batch axis in front")
    with torch.no_grad():
        projected = cell.project(
            next((t for t in tensors if t.is_floating_point()), torch.zeros(())).new_zeros(2, cell.input_size)
        )
    return Form(
        names=names,
        tensors=tensors,
        projected=tuple((part.shape[1:], part.dtype) for part in projected),
        state=tuple(leaf.shape[1:] for leaf in leaves.values()),
        state_tree=tree,
        constants=tuple(torch.Size((width,)) for width in constants),
        dtype=dtype,
    )


def lifted_tensors(cell: nn.Module) -> tuple[tuple[str, ...], tuple[Tensor, ...]]:
    """Parameters and buffers by the dotted names under which they are read as attributes, each once.

    A parametrized tensor stands under its own name, as it is computed.
    """
    found: dict[int, tuple[str, Tensor]] = {}
    for path, module in _modules(cell):
        own: dict[str, Any] = {**module._parameters, **module._buffers}
        if parametrize.is_parametrized(module):
            computed: Any = module.parametrizations
            own.update({name: getattr(module, name) for name in computed})
        for name, tensor in own.items():
            if tensor is not None:
                found.setdefault(id(tensor), (f"{path}{name}", tensor))
    return tuple(name for name, _ in found.values()), tuple(tensor for _, tensor in found.values())


def _modules(module: nn.Module, path: str = "", seen: set[int] | None = None) -> Iterator[tuple[str, nn.Module]]:
    """Every module once, without those that compute parametrized tensors."""
    seen = set() if seen is None else seen
    if id(module) in seen:
        return
    seen.add(id(module))
    yield path, module
    for name, child in module._modules.items():
        if child is not None and name != "parametrizations":
            yield from _modules(child, f"{path}{name}.", seen)


def with_tensors(cell: Cell, names: Sequence[str], originals: Sequence[Tensor], tensors: Sequence[Tensor]) -> Cell:
    """A copy of the cell that computes with ``tensors``; modules and tensors in its containers are replaced too."""
    by_name = dict(zip(names, tensors, strict=True))
    by_id = {id(old): new for old, new in zip(originals, tensors, strict=True)}
    done: dict[int, Any] = {}

    def replaced(value: Any, path: str) -> Any:
        if isinstance(value, nn.Module):
            return module(value, path)
        if isinstance(value, Tensor):
            return by_id.get(id(value), value)
        if type(value) in (list, tuple):
            return type(value)(replaced(item, path) for item in value)
        if isinstance(value, dict) and type(value).__init__ is dict.__init__:
            return type(value)((key, replaced(item, path)) for key, item in value.items())
        return value

    def module(old: nn.Module, path: str) -> nn.Module:
        if id(old) in done:
            return done[id(old)]
        own: dict[str, Any] = {**old._parameters}
        kind: Any = type(old)
        if parametrize.is_parametrized(old):
            computed: Any = old.parametrizations
            own.update(dict.fromkeys(computed))
            kind = parametrize.type_before_parametrizations(old)
        copy = kind.__new__(kind)
        done[id(old)] = copy
        tables = {
            "_parameters": {name: _pick(by_name, by_id, f"{path}{name}", tensor) for name, tensor in own.items()},
            "_buffers": {name: _pick(by_name, by_id, f"{path}{name}", t) for name, t in old._buffers.items()},
            "_modules": {
                name: None if child is None else module(child, f"{path}{name}.")
                for name, child in old._modules.items()
                if name != "parametrizations"
            },
        }
        copy.__dict__.update({n: v if n in _INTERNAL else replaced(v, path) for n, v in old.__dict__.items()})
        copy.__dict__.update(tables)
        return copy

    return module(cell, "")  # type: ignore[return-value]


_INTERNAL = frozenset(nn.Module().__dict__)


def _pick(by_name: dict[str, Tensor], by_id: dict[int, Tensor], name: str, tensor: Tensor | None) -> Tensor | None:
    return by_name.get(name, None if tensor is None else by_id.get(id(tensor)))


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
        if not (kind == "parameter" and not form.floating(k))
        and not (kind == "projected" and not form.projected[k][1].is_floating_point)
    ]
    width = torch.Size((cell.output_size,))

    def samples(batch: int) -> list[Tensor]:
        types = [form.dtype if kind.is_floating_point else kind for _, kind in form.projected]
        parameters = [
            torch.empty(t.shape, dtype=form.dtype if t.is_floating_point() else t.dtype) for t in form.tensors
        ]
        rows = [(shape, kind) for (shape, _), kind in zip(form.projected, types, strict=True)]
        rows += [(shape, form.dtype) for shape in (*form.state, *form.constants, width, *form.state)]
        return parameters + [torch.empty(batch, *shape, dtype=kind) for shape, kind in rows]

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
            output, after = copy.step(projected, state, constants)
            results = (output, *flatten(after).values())
            _check_results(cell, form, results, tensors[inner:])
            return results

        results, pull = vjp(primal, *(given[role] for role in smooth))
        return [*results, *pull(tuple(tensors[inner:]))]

    targets = [("output", 0), *(("state", k) for k in range(len(form.state)))]
    targets += [(kind if kind == "parameter" else f"grad_{kind}", k) for kind, k in smooth]
    return _twice(cell, "step", joint, samples, roles, targets)


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
        parameters = [
            torch.empty(t.shape, dtype=form.dtype if t.is_floating_point() else t.dtype) for t in form.tensors
        ]
        return [*parameters, torch.empty(batch, cell.input_size, dtype=form.dtype)]

    def project(*tensors: Tensor) -> list[Tensor]:
        copy = with_tensors(cell, form.names, form.tensors, tensors[:-1])
        return list(copy.project(tensors[-1]))

    targets = [("output", k) for k in range(len(form.projected))]
    return _twice(cell, "project", project, samples, roles, targets)


def _twice(
    cell: Cell,
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
        with mode:
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


def attribute_tensors(cell: nn.Module) -> dict[int, str]:
    """Tensors that are held as plain attributes, or in containers that are, by id."""
    found: dict[int, str] = {}

    def walk(value: Any, name: str, depth: int) -> None:
        if isinstance(value, Tensor):
            found.setdefault(id(value), name)
        elif depth < 4 and isinstance(value, (list, tuple)):
            for index, item in enumerate(value):
                walk(item, f"{name}[{index}]", depth + 1)
        elif depth < 4 and isinstance(value, dict):
            for key, item in value.items():
                walk(item, f"{name}[{key!r}]", depth + 1)

    for path, module in _modules(cell):
        for name, value in module.__dict__.items():
            if name not in _INTERNAL:
                walk(value, f"{path}{name}", 0)
    return found


def tensors_by_name(cell: Cell, names: Sequence[str]) -> list[Tensor]:
    """The tensors as they are now, read as attributes: parametrized ones are computed."""
    return [attrgetter(name)(cell) for name in names]


@functools.cache
def decompositions() -> dict[Any, Callable[..., Any]]:
    """Core ATen, and from there down to what a program has."""
    table: dict[Any, Callable[..., Any]] = dict(core_aten_decompositions())
    more: Any = get_decompositions(
        [
            aten._softmax, aten._softmax_backward_data, aten._log_softmax, aten._log_softmax_backward_data,
            aten.native_layer_norm_backward, aten.native_group_norm_backward, aten.gelu, aten.gelu_backward,
            aten.leaky_relu, aten.leaky_relu_backward, aten.elu, aten.elu_backward, aten.softplus,
            aten.softplus_backward, aten.silu, aten.silu_backward, aten.mish, aten.mish_backward, aten.hardtanh,
            aten.hardtanh_backward, aten.hardsigmoid, aten.hardsigmoid_backward, aten.hardswish,
            aten.hardswish_backward, aten.sigmoid_backward, aten.tanh_backward, aten.threshold_backward,
            aten.log_sigmoid_forward, aten.log_sigmoid_backward, aten.slice_backward, aten.select_backward,
            aten.addcmul, aten.addcdiv, aten.lerp, aten.baddbmm, aten.mv, aten.addmv, aten.dot, aten.logsumexp,
            aten.logaddexp, aten.std, aten.std_mean, aten.square, aten.masked_fill, aten.rsub,
            aten.clamp_min, aten.clamp_max,
        ]
    )  # fmt: skip
    table.update(more)
    table[aten.linalg_vector_norm.default] = _vector_norm
    table[aten.native_layer_norm.default] = _layer_norm
    table[aten.native_layer_norm_backward.default] = _layer_norm_backward
    table[aten.log_sigmoid_backward.default] = lambda grad, x, buffer: grad * torch.sigmoid(-x)
    table[aten.native_group_norm.default] = _group_norm
    table[aten.var.correction] = lambda x, dim=None, *, correction=None, keepdim=False: _variance(
        x, dim, correction, keepdim
    )[0]
    table[aten.var_mean.correction] = lambda x, dim=None, *, correction=None, keepdim=False: _variance(
        x, dim, correction, keepdim
    )
    for keep in (aten.sigmoid, aten.tanh, aten.relu, aten.addmm, aten.expm1, aten.log1p, aten.abs, aten.rsqrt):
        for overload in keep.overloads():
            table.pop(getattr(keep, overload), None)
    return table


def _variance(x: Tensor, dim: Any, correction: float | None, keepdim: bool) -> tuple[Tensor, Tensor]:
    dims = list(range(x.dim())) if dim is None or len(dim) == 0 else [d % x.dim() for d in dim]
    count = 1
    for d in dims:
        count *= x.shape[d]
    mean = x.sum(dims, keepdim=True) * (1.0 / count)
    centred = x - mean
    variance = (centred * centred).sum(dims, keepdim=keepdim) / max(
        0, count - (1 if correction is None else correction)
    )
    return variance, mean if keepdim else mean.squeeze(dims)


def _vector_norm(x: Tensor, ord: float = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    dims = list(range(x.dim())) if dim is None else dim
    if ord == 2:
        return (x * x).sum(dims, keepdim=keepdim).sqrt()
    if ord == 1:
        return x.abs().sum(dims, keepdim=keepdim)
    if ord == float("inf"):
        return x.abs().amax(dims, keepdim=keepdim)
    return NotImplemented


def _layer_norm(
    x: Tensor, shape: Sequence[int], weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    variance, mean = _variance(x, list(range(x.dim() - len(shape), x.dim())), 0, True)
    scale = (variance + eps).rsqrt()
    y = (x - mean) * scale
    y = y if weight is None else y * weight
    return y if bias is None else y + bias, mean, scale


def _layer_norm_backward(
    grad: Tensor,
    x: Tensor,
    shape: Sequence[int],
    mean: Tensor,
    scale: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    mask: Sequence[bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    first = x.dim() - len(shape)
    inside, outside = list(range(first, x.dim())), list(range(first))
    y = (x - mean) * scale
    inner = grad if weight is None else grad * weight
    part = 1.0 / math.prod(shape)
    along = (inner * y).sum(inside, keepdim=True) * part
    grad_x = (inner - inner.sum(inside, keepdim=True) * part - y * along) * scale
    grad_weight = (grad * y).sum(outside) if mask[1] and outside else grad * y if mask[1] else None
    grad_bias = grad.sum(outside) if mask[2] and outside else grad if mask[2] else None
    return grad_x if mask[0] else None, grad_weight, grad_bias


def _group_norm(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, n: int, channels: int, rest: int, groups: int, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    grouped = x.reshape(n, groups, channels // groups * rest)
    variance, mean = _variance(grouped, [2], 0, True)
    scale = (variance + eps).rsqrt()
    y = ((grouped - mean) * scale).reshape(x.shape)
    ones = [1] * (x.dim() - 2)
    y = y if weight is None else y * weight.reshape(channels, *ones)
    return y if bias is None else y + bias.reshape(channels, *ones), mean.squeeze(2), scale.squeeze(2)
