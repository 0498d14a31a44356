"""How a cell's programs are compared with the cell itself under autograd."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils import parametrize

from latchwork.cells import Cell
from latchwork.kernels.cell_program import CellProgram, program_for, tensors_of
from latchwork.kernels.evaluate import evaluate
from latchwork.sequences import flatten, map_state, unflatten

Check = Callable[..., CellProgram]


@pytest.fixture
def check_program() -> Check:
    """``check(cell, constants=(), start=None)``: forward, kept values, every gradient, projection; the program."""
    return _check


def _check(
    cell: Cell, constants: tuple[int, ...] = (), *, start: Any = None, batch: int = 5, tolerance: float = 1e-10
) -> CellProgram:
    program = program_for(cell, dtype=torch.float64, constants=constants)
    assert program_for(cell, dtype=torch.float64, constants=constants) is program
    # A parametrized tensor is another one each time it is asked for, unless it is cached.
    with torch.random.fork_rng(devices=[]), parametrize.cached():
        torch.manual_seed(3)
        _compare(cell, program, constants, start, batch, tolerance)
    return program


def _compare(
    cell: Cell, program: CellProgram, constants: tuple[int, ...], start: Any, batch: int, tolerance: float
) -> None:
    inputs = torch.randn(batch, cell.input_size, dtype=torch.float64)
    projected = [part.detach() for part in cell.project(inputs)]
    projected = [part.requires_grad_(part.is_floating_point()) for part in projected]
    fresh = cell.initial_state(batch)
    state = map_state(lambda leaf: torch.randn_like(leaf) if start is None else leaf.clone(), fresh)
    leaves = {name: leaf.detach().requires_grad_() for name, leaf in flatten(state).items()}
    given = [torch.randn(batch, width, dtype=torch.float64).requires_grad_() for width in constants]
    output, after = cell.step(tuple(projected), unflatten(fresh, leaves), tuple(given))
    results = [output, *flatten(after).values()]
    cotangents = [torch.randn_like(result) for result in results]
    tensors = tensors_of(cell, program)
    smooth = [part for part in projected if part.requires_grad]
    learned = [tensor for tensor in tensors if tensor.requires_grad]
    wanted = [*smooth, *leaves.values(), *given, *learned]
    expected = torch.autograd.grad(results, wanted, cotangents, allow_unused=True, materialize_grads=True)

    def same(got: Tensor | None, other: Tensor, what: str) -> None:
        got = torch.zeros_like(other) if got is None else got
        torch.testing.assert_close(
            got.reshape(other.shape), other.detach(), rtol=tolerance, atol=tolerance, equal_nan=True, msg=what
        )

    def rows(parts: Any) -> list[Tensor]:
        return [part.detach().reshape(batch, -1).to(torch.float64) for part in parts]

    weights = program.weights(tensors)
    assert all(weight.is_contiguous() for weight in weights)
    sources = {"projected": rows(projected), "state": rows(leaves.values()), "constant": rows(given)}
    for one in (program.forward, program.saving):
        made = evaluate(one, sources, weights)
        for got, other in zip([*made["output"], *made["state"]], results, strict=True):
            same(got, other, f"{program.name}: output and state")
    assert [kept.shape[1] for kept in made.get("saved", [])] == list(program.saved)
    grads = rows(cotangents)
    back = evaluate(
        program.backward,
        {
            "saved": made.get("saved", []),
            "projected": sources["projected"],
            "constant": sources["constant"],
            "grad_output": grads[:1],
            "grad_state": grads[1:],
        },
        weights,
    )
    assert [cut.shape[1] for cut in back.get("cut", [])] == list(program.cuts)
    assert [total.shape[0] for total in back.get("sum", [])] == list(program.sums)
    for part, got in zip(projected, back["grad_projected"], strict=True):
        assert got.shape == (batch, part[0].numel())
    kinds = {
        "saved": made.get("saved", []),
        "cut": back.get("cut", []),
        "grad_projected": back["grad_projected"],
        "projected": sources["projected"],
        "grad_output": grads[:1],
    }
    kept = {(kind, index): kinds[kind][index] for kind, index in program.row_inputs}
    gradients = program.gradients(tensors, kept, back.get("sum", []))
    got_projected = [got for part, got in zip(projected, back["grad_projected"], strict=True) if part.requires_grad]
    got_learned = [got for tensor, got in zip(tensors, gradients, strict=True) if tensor.requires_grad]
    got_all = [*got_projected, *back["grad_state"], *back.get("grad_constant", []), *got_learned]
    for index, (got, other) in enumerate(zip(got_all, expected, strict=True)):
        same(got, other, f"{program.name}: gradient {index} of {len(expected)}")
    if program.project is not None:
        made = evaluate(program.project, {"projected": [inputs]}, program.project_weights(tensors))
        for got, part in zip(made["output"], projected, strict=True):
            same(got, part.to(torch.float64), f"{program.name}: project")
