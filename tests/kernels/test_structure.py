"""Two cells have one structure where one program runs both."""

import functools
from collections.abc import Callable

import pytest
import torch
from torch import nn

from latchwork.cells import CELLS, LSTM, RNN, Cell, HiddenState
from latchwork.kernels.structure import hooked, structure
from latchwork.layers.regularize import RecurrentDropout, Zoneout, draw_key


class Holder(Cell):
    """A cell with an attribute."""

    def __init__(self, value: object = None) -> None:
        super().__init__(2, 3)
        self.recurrent = nn.Linear(3, 3)
        self.value = value

    def step(self, projected, state, constants=()):
        h = self.recurrent(state.h)
        return h, HiddenState(h)


@pytest.mark.parametrize("name", CELLS)
def test_of_one_kind_and_size(name: str) -> None:
    assert structure(CELLS[name](3, 4)) == structure(CELLS[name](3, 4))
    assert hash(structure(CELLS[name](3, 4))) == hash(structure(CELLS[name](3, 4)))
    assert structure(CELLS[name](3, 4)) != structure(CELLS[name](3, 5))
    assert structure(CELLS[name](3, 4)) != structure(CELLS[name](3, 4).double())
    assert structure(CELLS[name](3, 4)) != structure(CELLS[name](3, 4).eval())


def test_across_kinds() -> None:
    found = {structure(make(3, 4)) for make in CELLS.values()}
    assert len(found) == len(CELLS)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (1, 2),
        (1, 1.0),
        (1, True),
        (0.0, -0.0),
        ("a", b"a"),
        ([1], (1,)),
        ([[1], 2], [1, [2]]),
        ({"a": 1}, {"b": 1}),
        (torch.tanh, torch.sigmoid),
        (LSTM, RNN),
        (torch.float32, torch.float64),
        (torch.zeros(2), torch.zeros(3)),
        (nn.Linear(2, 2), nn.Linear(2, 3)),
        (functools.partial(torch.softmax, dim=-1), functools.partial(torch.softmax, dim=0)),
    ],
)
def test_attributes_that_differ(first: object, second: object) -> None:
    assert structure(Holder(first)) == structure(Holder(first))
    assert structure(Holder(first)) != structure(Holder(second))


@pytest.mark.parametrize(
    "make",
    [lambda: [1, 2.5, {"a": (None, "b")}], lambda: torch.ones(3), lambda: nn.Linear(2, 2), lambda: float("nan")],
)
def test_attributes_that_do_not(make: Callable[[], object]) -> None:
    assert structure(Holder(make())) == structure(Holder(make()))


def test_tied_tensors_and_modules() -> None:
    def pair(tied: bool) -> Holder:
        cell = Holder()
        cell.recurrent_again = nn.Linear(3, 3)
        if tied:
            cell.recurrent_again.weight = cell.recurrent.weight
        return cell

    assert structure(pair(True)) == structure(pair(True))
    assert structure(pair(True)) != structure(pair(False))
    one, two = Holder(nn.Linear(3, 3)), Holder(nn.Linear(3, 3))
    two.value = two.recurrent
    assert structure(one) != structure(two)


def test_cells_of_one_pass() -> None:
    cell = LSTM(3, 4)
    assert structure(RecurrentDropout(cell, 0.1, draw_key())) == structure(RecurrentDropout(cell, 0.1, draw_key()))
    assert structure(Zoneout(cell, 0.1)) != structure(Zoneout(cell, 0.1, draw_key()))
    assert structure(Zoneout(cell, 0.1)) != structure(cell)


def test_hooks() -> None:
    cell = LSTM(3, 4)
    plain = structure(cell)
    assert hooked(cell) is None
    handle = cell.recurrent.register_forward_hook(lambda *_: None)
    assert hooked(cell) == "recurrent"
    assert structure(cell) != plain
    handle.remove()
    assert structure(cell) == plain
