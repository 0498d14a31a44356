"""The contract of a cell. A cell that passes can be batched, padded, stepped, reset, saved and run by every kernel."""

from collections.abc import Callable
from itertools import combinations
from typing import Any

import torch
from safetensors.torch import load, save

from latchwork import kernels
from latchwork.cells import Cell
from latchwork.errors import KernelError
from latchwork.layers import Recurrent
from latchwork.sequences import concatenate, detach, flatten, select
from latchwork.types import Tensor

Make = Callable[[int, int], Cell]

TIME = 7
BATCH = 4
LENGTHS = (7, 3, 0, 1)


def check_cell(
    make: Make, *, input_size: int = 3, hidden_size: int = 5, seed: int = 0, tolerance: float = 1e-5
) -> None:
    """Raise AssertionError, naming the cell and the invariant, where a cell breaks the contract.

    make: ``make(input_size, hidden_size) -> Cell``; the sizes are odd, so that a wrong stride shows. tolerance:
    relative to the largest number compared, in float32; what the design calls exact is compared bit for bit. Torch's
    generator is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        subject = _Subject(make, input_size, hidden_size, tolerance)
        for invariant, check in CHECKS.items():
            try:
                check(subject)
            except (RuntimeError, TypeError, ValueError, AttributeError, IndexError) as error:
                name = type(subject.cell).__name__
                raise AssertionError(f"{name}: {invariant}: {type(error).__name__}: {error}") from error


class _Subject:
    """The cell under test, random inputs, and comparisons that name both."""

    def __init__(self, make: Make, input_size: int, hidden_size: int, tolerance: float) -> None:
        self.make, self.sizes, self.tolerance = make, (input_size, hidden_size), tolerance
        self.cell = self.fresh()
        self.inputs = torch.randn(BATCH, TIME, input_size)
        self.lengths = torch.tensor(LENGTHS)

    def fresh(self) -> Cell:
        """A cell whose weights are random, distinct and not zero."""
        cell = self.make(*self.sizes)
        with torch.no_grad():
            for parameter in cell.parameters():
                parameter.copy_(torch.randn_like(parameter) * 0.5 + 0.1)
        return cell

    def run(self, inputs: Tensor, state: Any = None, **options: Any) -> tuple[Tensor, Any]:
        return kernels.run(self.cell, inputs, state, kernel="loop", **options)

    def require(self, holds: bool, what: str) -> None:
        if not holds:
            raise AssertionError(f"{type(self.cell).__name__}: {what}")

    def same(self, got: Any, expected: Any, what: str, *, exact: bool = False) -> None:
        """Leaf by leaf; ``exact``: bit for bit."""
        expected_leaves = flatten(expected)
        self.require(flatten(got).keys() == expected_leaves.keys(), f"{what}: not the same fields")
        for name, leaf in flatten(got).items():
            other = expected_leaves[name]
            where = f"{what}{f' (field {name})' if name else ''}"
            self.require(
                leaf.shape == other.shape, f"{where}: shape {tuple(leaf.shape)}, expected {tuple(other.shape)}"
            )
            if exact:
                self.require(torch.equal(leaf, other), f"{where}: not the same bits")
                continue
            difference = float((leaf - other).detach().abs().max()) if leaf.numel() else 0.0
            scale = max(1.0, float(other.detach().abs().max())) if leaf.numel() else 1.0
            self.require(difference <= self.tolerance * scale, f"{where}: differs by {difference:.3g}")


def _form(s: _Subject) -> None:
    what = "form: the state is the cell's State, a NamedTuple with named fields, batch first in every leaf"
    for state in (s.cell.initial_state(BATCH), s.run(s.inputs)[1]):
        s.require(isinstance(state, tuple) and hasattr(state, "_fields") and type(state) is s.cell.State, what)
        s.require(all(leaf.shape[0] == BATCH for leaf in flatten(state).values()), what)
    outputs, state = s.run(s.inputs)
    expected = (BATCH, TIME, s.cell.output_size)
    s.require(outputs.shape == expected, f"form: outputs have shape {tuple(outputs.shape)}, expected {expected}")
    empty, untouched = s.run(s.inputs[:, :0], state)
    s.require(empty.shape == (BATCH, 0, s.cell.output_size), "form: no steps give no outputs")
    s.same(untouched, state, "form: no steps leave the state as it was", exact=True)
    double = s.make(*s.sizes).double()
    outputs, state = kernels.run(double, s.inputs.double(), kernel="loop")
    leaves = [outputs, *flatten(state).values()]
    s.require(
        all(leaf.dtype == torch.float64 for leaf in leaves), "form: a float64 cell computes in float64 throughout"
    )


def _state_is_a_value(s: _Subject) -> None:
    what = "state is a value: the cell keeps nothing of a sequence"
    start = s.cell.initial_state(BATCH)
    kept = {name: leaf.clone() for name, leaf in flatten(start).items()}
    first, after = s.run(s.inputs, start)
    s.require(
        all(torch.equal(leaf, kept[name]) for name, leaf in flatten(start).items()), f"{what}; the state given changed"
    )
    s.run(torch.randn_like(s.inputs) * 3, after)
    s.same(s.run(s.inputs)[0], first, what, exact=True)
    s.same(s.run(s.inputs[:2])[0], first[:2], what)


def _alone_padded_batched(s: _Subject) -> None:
    what = "1 padded = ragged = alone"
    # Rows of different age: a question asked of the whole batch ("is this the first step?") shows here.
    aged = s.run(torch.randn_like(s.inputs), lengths=torch.tensor([5, 0, 2, 0]))[1]
    for reverse in (False, True):
        for start in (None, aged):
            outputs, state = s.run(s.inputs, start, lengths=s.lengths, reverse=reverse)
            for row, length in enumerate(LENGTHS):
                own = s.cell.initial_state(1) if start is None else select(start, [row])
                alone, end = s.run(s.inputs[row : row + 1, :length], own, reverse=reverse)
                name = f"{what} (row of length {length}, reverse={reverse}, own state={start is not None})"
                s.same(outputs[row : row + 1, :length], alone, name)
                s.same(
                    outputs[row, length:],
                    torch.zeros_like(outputs[row, length:]),
                    f"{name}: zeros past the end",
                    exact=True,
                )
                s.same(select(state, [row]), end, name)


def _stepped(s: _Subject) -> None:
    what = "2 stepped = run, for any chunking"
    whole, end = s.run(s.inputs)
    for trial in range(4):
        sizes = [1] * TIME if trial == 0 else _chunks(TIME)
        state, parts = None, []
        for chunk in s.inputs.split(sizes, dim=1):
            outputs, state = s.run(chunk, state)
            parts.append(outputs)
        s.same(torch.cat(parts, dim=1), whole, f"{what} (chunks {sizes})")
        s.same(state, end, f"{what} (chunks {sizes})")
    layer = Recurrent(s.cell)
    state, parts = layer.initial_state(BATCH), []
    for x_t in s.inputs.unbind(1):
        output, state = layer.step(x_t, state)
        parts.append(output)
    s.same(torch.stack(parts, dim=1), whole, f"{what} (Recurrent.step)")
    s.same(state, end, f"{what} (Recurrent.step)")


def _chunks(total: int) -> list[int]:
    """A random way to cut ``total`` steps, empty chunks allowed."""
    cuts = torch.randint(0, total + 1, (3,)).sort().values.tolist()
    return [b - a for a, b in zip([0, *cuts], [*cuts, total], strict=True)]


def _reset(s: _Subject) -> None:
    what = "3 reset = fresh state"
    at = 3
    resets = torch.zeros(BATCH, TIME, dtype=torch.bool)
    resets[1, at] = resets[3, at] = True
    outputs, state = s.run(s.inputs, resets=resets)
    other = torch.cat((torch.randn(BATCH, at, s.sizes[0]) * 3, s.inputs[:, at:]), dim=1)
    forgot, end = s.run(other, resets=resets)
    rows = [1, 3]
    s.same(forgot[rows, at:], outputs[rows, at:], f"{what}: nothing before a reset comes through it", exact=True)
    s.same(select(end, rows), select(state, rows), f"{what}: nothing before a reset comes through it", exact=True)
    begun, end = s.run(s.inputs[:, at:])
    s.same(outputs[rows, at:], begun[rows], what)
    s.same(select(state, rows), select(end, rows), what)
    kept, end = s.run(s.inputs)
    s.same(outputs[[0, 2]], kept[[0, 2]], f"{what}: the other rows go on", exact=True)
    warm = s.run(torch.randn_like(s.inputs))[1]
    resets[:, 0] = True
    s.same(s.run(s.inputs, warm, resets=resets), s.run(s.inputs, resets=resets), f"{what} (at step 0)", exact=True)
    turned = s.run(s.inputs.flip(1), resets=resets.flip(1), reverse=True)
    s.same(
        (turned[0].flip(1)[:, :at], turned[0].flip(1)[:, at:]),
        _after(s, resets, at),
        f"{what} (reverse: after the step)",
    )


def _after(s: _Subject, resets: Tensor, at: int) -> tuple[Tensor, Tensor]:
    """The run with each reset one step later, by hand: what a reversed run does."""
    later = torch.cat((torch.zeros_like(resets[:, :1]), resets[:, :-1]), dim=1)
    outputs = s.run(s.inputs, resets=later)[0]
    return outputs[:, :at], outputs[:, at:]


def _saved(s: _Subject) -> None:
    other = s.fresh()
    other.load_state_dict(load(save({name: leaf.contiguous() for name, leaf in s.cell.state_dict().items()})))
    got = kernels.run(other, s.inputs, kernel="loop")
    s.same(got, s.run(s.inputs), "4 saved = loaded, through its state_dict", exact=True)


def _every_parameter(s: _Subject) -> None:
    what = "5 every parameter changes the output"
    before = s.run(s.inputs)[0]
    for name, parameter in s.cell.named_parameters():
        with _changed(parameter, parameter + torch.randn_like(parameter)):
            s.require(not torch.allclose(s.run(s.inputs)[0], before), f"{what}: {name} does not")
    gates, hidden = s.cell.gates, s.sizes[1]
    gated = {n: p for n, p in s.cell.named_parameters() if p.shape[0] == len(gates) * hidden}
    if len(gates) < 2:
        return
    s.require(bool(gated), f"5 swapping two gates changes the output: no parameter holds the gates {', '.join(gates)}")
    for name, parameter in gated.items():
        for first, second in combinations(range(len(gates)), 2):
            order = list(range(len(gates)))
            order[first], order[second] = second, first
            swapped = parameter.unflatten(0, (len(gates), hidden))[order].flatten(0, 1)
            with _changed(parameter, swapped):
                moved = not torch.allclose(s.run(s.inputs)[0], before)
            pair = f"{gates[first]} and {gates[second]}"
            s.require(moved, f"5 swapping two gates changes the output: {pair} in {name} do not")


class _changed:
    """Other numbers in a parameter, for the time of a with block."""

    def __init__(self, parameter: Tensor, values: Tensor) -> None:
        self.parameter, self.values, self.kept = parameter, values.detach().clone(), parameter.detach().clone()

    def __enter__(self) -> None:
        self.parameter.data.copy_(self.values)

    def __exit__(self, *_: object) -> None:
        self.parameter.data.copy_(self.kept)


def _kernels(s: _Subject) -> None:
    """Outputs, final state and every gradient, of each kernel that says it can run the cell."""
    for kernel in kernels.KERNELS:
        try:
            kernels.choose(s.cell, kernel)
        except KernelError:
            continue
        for lengths in (None, s.lengths):
            for reverse in (False, True):
                what = f"6 kernel {kernel} = reference (ragged={lengths is not None}, reverse={reverse})"
                got = _with_gradients(s, kernel, lengths, reverse)
                for part, value, expected in zip(PARTS, got, _with_gradients(s, "loop", lengths, reverse), strict=True):
                    s.same(value, expected, f"{what}: {part}")


PARTS = ("outputs", "final state", "gradients of inputs, initial state and parameters")


def _with_gradients(s: _Subject, kernel: str, lengths: Tensor | None, reverse: bool) -> tuple[Any, Any, Any]:
    generator = torch.Generator().manual_seed(1)
    inputs = s.inputs.clone().requires_grad_()
    start = detach(s.run(torch.randn(s.inputs.shape, generator=generator))[1])
    leaves = [leaf.requires_grad_() for leaf in flatten(start).values()]
    outputs, state = kernels.run(s.cell, inputs, start, kernel=kernel, lengths=lengths, reverse=reverse)
    # Random weights in the sum: with equal ones, gradients that went to the wrong place could cancel out.
    results = [outputs, *flatten(state).values()]
    weighted = [(result * torch.randn(result.shape, generator=generator)).sum() for result in results]
    wanted = [inputs, *leaves, *s.cell.parameters()]
    gradients = torch.autograd.grad(torch.stack(weighted).sum(), wanted, allow_unused=True, materialize_grads=True)
    return outputs.detach(), detach(state), tuple(gradients)


def _gradcheck(s: _Subject) -> None:
    cell = s.fresh().double()
    inputs = s.inputs[:2, :3].double().requires_grad_()
    lengths = torch.tensor([3, 2])

    def outputs(x: Tensor, *_: Tensor) -> tuple[Tensor, ...]:
        result, state = kernels.run(cell, x, kernel="loop", lengths=lengths)
        return result, *flatten(state).values()

    right = torch.autograd.gradcheck(outputs, (inputs, *cell.parameters()), fast_mode=True, raise_exception=False)
    s.require(right, "gradients are those of the equation (gradcheck in float64)")


def _nan(s: _Subject) -> None:
    what = "9 NaN in one row never reaches another"
    bad = s.inputs.clone()
    bad[1, 2] = torch.nan
    others = [0, 2, 3]
    (outputs, state), (clean, end) = s.run(bad), s.run(s.inputs)
    s.require(bool(outputs[1, 2:].isnan().any()), "9 NaN in the input shows in the output of its own row")
    s.same(outputs[others], clean[others], what, exact=True)
    s.same(select(state, others), select(end, others), what, exact=True)
    padded = s.inputs.clone()
    for row, length in enumerate(LENGTHS):
        padded[row, length:] = torch.nan
    for reverse in (False, True):
        grads = []
        for inputs in (padded, s.inputs):
            outputs, state = s.run(inputs, lengths=s.lengths, reverse=reverse)
            total = torch.stack([leaf.square().sum() for leaf in (outputs, *flatten(state).values())]).sum()
            grads.append(torch.autograd.grad(total, list(s.cell.parameters()), allow_unused=True))
        for (name, _), got, expected in zip(s.cell.named_parameters(), *grads, strict=True):
            if expected is not None:
                s.same(got, expected, f"9 NaN in the padding never reaches the gradient of {name}", exact=True)


def _rows(s: _Subject) -> None:
    what = "states are selected and concatenated row by row"
    _, state = s.run(s.inputs[:, :3])
    rows = [2, 0, 0]
    picked, end = s.run(s.inputs[rows, 3:], select(state, rows))
    whole, last = s.run(s.inputs[:, 3:], state)
    s.same(picked, whole[rows], what)
    s.same(end, select(last, rows), what)
    joined = concatenate([select(state, [row]) for row in range(BATCH)])
    s.same(joined, state, what, exact=True)


CHECKS: dict[str, Callable[[_Subject], None]] = {
    "form": _form,
    "state is a value": _state_is_a_value,
    "1 padded = ragged = alone": _alone_padded_batched,
    "2 stepped = run": _stepped,
    "3 reset = fresh state": _reset,
    "4 saved = loaded": _saved,
    "5 every parameter changes the output": _every_parameter,
    "6 every kernel = reference": _kernels,
    "gradcheck": _gradcheck,
    "9 NaN in one row never reaches another": _nan,
    "rows are selected and concatenated": _rows,
}
