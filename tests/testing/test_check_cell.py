"""The contract must refuse what is broken: each of these cells breaks it in a way seen in a real library."""

from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from torch import nn

from latchwork.cells import Cell, HiddenState
from latchwork.testing import check_cell


class Sound(Cell):
    """The cell that the broken ones derive from passes."""

    gates = ("a", "h")

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.input = nn.Linear(input_size, 2 * hidden_size)
        self.recurrent = nn.Linear(hidden_size, 2 * hidden_size)

    def project(self, inputs):
        return (self.input(inputs),)

    def step(self, projected, state, constants=()):
        a, h = (projected[0] + self.recurrent(state.h)).chunk(2, -1)
        h = a.sigmoid() * state.h + h.tanh()
        return h, HiddenState(h)


class MixesRows(Sound):
    def step(self, projected, state, constants=()):
        _, after = super().step(projected, state)
        h = after.h - 0.1 * after.h.mean(0, keepdim=True)
        return h, HiddenState(h)


class KeepsStateOnTheModule(Sound):
    def step(self, projected, state, constants=()):
        output, after = super().step(projected, state)
        self.kept = getattr(self, "kept", 0.0) * 0.5 + after.h.detach().mean()
        return output + self.kept, after


class IgnoresAParameter(Sound):
    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.unused = nn.Parameter(torch.ones(hidden_size))


class CountsTheFirstStepOverTheBatch(Sound):
    def step(self, projected, state, constants=()):
        output, _ = super().step(projected, state)
        h = output * 2 if bool((state.h == 0).all()) else output
        return h, HiddenState(h)


class GatesDoNotMatter(Sound):
    def step(self, projected, state, constants=()):
        a, h = (projected[0] + self.recurrent(state.h)).chunk(2, -1)
        h = (a + h).tanh() + 0.5 * state.h
        return h, HiddenState(h)


class IsNotSavedWhole(Sound):
    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.scale = torch.rand(hidden_size) + 0.5

    def step(self, projected, state, constants=()):
        h = super().step(projected, state)[0] * self.scale.to(state.h)
        return h, HiddenState(h)


class WritesIntoTheState(Sound):
    def step(self, projected, state, constants=()):
        output, after = super().step(projected, state)
        state.h.data.copy_(after.h)
        return output, after


class CutsTheGradient(Sound):
    def step(self, projected, state, constants=()):
        return super().step(projected, HiddenState(state.h.detach()))


class LooksAhead(Sound):
    def project(self, inputs):
        x = self.input(inputs)
        return (x + x.mean(1, keepdim=True) if x.dim() == 3 else x,)


class HidesNaN(Sound):
    def project(self, inputs):
        return (self.input(inputs.nan_to_num()),)


class AlwaysFloat32(Sound):
    def step(self, projected, state, constants=()):
        output, after = super().step(projected, state)
        return output.float(), HiddenState(after.h.float())


class TimeFirst(Sound):
    def initial_state(self, batch: int):
        return HiddenState(torch.zeros(1, batch, self.hidden_size))


class Unnamed(Sound):
    State = tuple

    def initial_state(self, batch: int):
        return (torch.zeros(batch, self.hidden_size),)

    def step(self, projected, state, constants=()):
        output, after = super().step(projected, HiddenState(*state))
        return output, tuple(after)


class TwoFields(NamedTuple):
    h: torch.Tensor
    age: torch.Tensor


class RemembersAcrossAReset(Sound):
    """Its fresh state depends on what the module saw last."""

    State = TwoFields
    last = 0.0

    def initial_state(self, batch: int):
        like = self.input.weight
        return TwoFields(like.new_full((batch, self.hidden_size), self.last), like.new_zeros(batch, 1))

    def step(self, projected, state, constants=()):
        output, after = super().step(projected, HiddenState(state.h))
        self.last = float(output.detach().mean())
        return output, TwoFields(after.h, state.age + 1)


BROKEN: dict[type[Cell], str] = {
    MixesRows: "alone|value",
    KeepsStateOnTheModule: "value",
    IgnoresAParameter: "5 every parameter",
    CountsTheFirstStepOverTheBatch: "1 padded",
    GatesDoNotMatter: "5 swapping two gates",
    IsNotSavedWhole: "4 saved",
    WritesIntoTheState: "value",
    CutsTheGradient: "gradcheck",
    LooksAhead: "1 padded",
    HidesNaN: "9 NaN",
    TimeFirst: "form",
    Unnamed: "form",
    AlwaysFloat32: "form",
    RemembersAcrossAReset: "value",
}


def test_sound() -> None:
    check_cell(Sound)


@pytest.mark.parametrize("broken", BROKEN)
def test_broken(broken: Callable[[int, int], Cell]) -> None:
    with pytest.raises(AssertionError, match=BROKEN[broken]) as error:  # type: ignore[index]
        check_cell(broken)
    assert broken.__name__ in str(error.value)


def test_the_generator_is_left_as_it_was() -> None:
    before = torch.get_rng_state()
    check_cell(Sound)
    assert torch.equal(torch.get_rng_state(), before)
