"""Stages and buffers: how many there are, and that no value is written over before it was read for the last time."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import latchwork as lw
from latchwork.cells import CELLS, Cell, LSTMState
from latchwork.kernels import native
from latchwork.kernels.cell_program import program_for
from latchwork.kernels.native import engine
from latchwork.kernels.schedule import Schedule

pytestmark = pytest.mark.skipif(engine() is None, reason="installed without the engine")

STAGES = {"rnn": (1, 2), "lstm": (1, 2), "gru": (1, 2), "layernorm_lstm": (9, 7)}


@pytest.mark.parametrize("name", STAGES)
def test_stages(name: str) -> None:
    made = native.Native(program_for(CELLS[name](3, 8), dtype=torch.float32), 3)
    assert (made.saving.stages, made.backward.stages) == STAGES[name]


class Norms(Cell):
    """A step of sums, products and what lies between them, by a plan."""

    State = LSTMState

    def __init__(self, size: int, plan: tuple[int, ...]) -> None:
        super().__init__(2, size)
        self.size, self.plan = size, plan
        self.input = nn.Linear(2, 2 * size)
        self.products = nn.ModuleList([nn.Linear(size, size) for _ in plan])
        self.norms = nn.ModuleList([nn.LayerNorm(size, eps=0.1) for _ in plan])
        self.double()

    def initial_state(self, batch: int) -> LSTMState:
        zeros = self.input.weight.new_zeros(batch, self.size)
        return LSTMState(zeros, zeros)

    def project(self, inputs):
        return (self.input(inputs),)

    def step(self, projected, state, constants=()):
        values = [*projected[0].chunk(2, -1), state.h, state.c]
        for at, (kind, product, norm) in enumerate(zip(self.plan, self.products, self.norms, strict=True)):
            a, b = values[-1 - at % 3], values[-4 + at % 2]
            values.append(
                (
                    lambda a=a, b=b, product=product: product(a) + b,
                    lambda a=a, b=b, norm=norm: norm(a) * b,
                    lambda a=a, b=b: a.sigmoid() * b,
                    lambda a=a, b=b: a - (a * b).mean(-1, keepdim=True),
                    lambda a=a, b=b: (a + b).tanh(),
                    lambda a=a, b=b, product=product: product(a * b).amax(-1, keepdim=True) - b,
                )[kind]()
            )
        h = values[-1].tanh()
        return h, LSTMState(h=h, c=0.5 * values[-2].tanh() + 0.1 * values[-3].sin())


@settings(max_examples=8)
@given(st.lists(st.integers(0, 5), min_size=2, max_size=7).map(tuple), st.sampled_from([5, 70]), st.integers(1, 9))
def test_buffers_are_shared_without_harm(plan: tuple[int, ...], size: int, batch: int) -> None:
    torch.manual_seed(0)
    cell = Norms(size, plan)
    inputs = torch.randn(batch, 4, 2, dtype=torch.float64)
    found = {}
    for kernel in ("cpu", "loop"):
        layer = lw.Recurrent(cell, kernel=kernel)
        layer.zero_grad()
        given = inputs.clone().requires_grad_()
        output, _ = layer(given)
        (output * torch.arange(1, size + 1)).sum().backward()
        grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in cell.parameters()]
        found[kernel] = [output.detach(), given.grad, *grads]
    for own, expected in zip(found["cpu"], found["loop"], strict=True):
        torch.testing.assert_close(own, expected, rtol=1e-8, atol=1e-8 * float(expected.abs().max() + 1))


def test_buffers_are_fewer_than_values(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Schedule] = []
    cut = native.schedule
    monkeypatch.setattr(native, "schedule", lambda *args, **given: made.append(cut(*args, **given)) or made[-1])
    program = program_for(CELLS["layernorm_lstm"](3, 8), dtype=torch.float32)
    assert native.Native(program, 3).backward.stages == 7
    count = made[0].code[0]
    assert count <= 16  # four for the state; four for the products; the rest numbers for each row, and what is added up
