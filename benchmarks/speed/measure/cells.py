"""A cell as a user would write one: nothing of it is known to the package."""

from typing import NamedTuple

import torch
from torch import nn

from latchwork.cells import Cell


class CoupledState(NamedTuple):
    """h: the output; m: the memory; [batch, hidden] each."""

    h: torch.Tensor
    m: torch.Tensor


class Coupled(Cell):
    """k, u, v = W x + b + R h;  m' = σ(k) m + (1 - σ(k)) tanh(v);  h' = σ(u + p m') tanh(m') + (1 - σ(u + p m')) h."""

    gates = ("k", "u", "v")
    State = CoupledState

    def __init__(self, input_size: int, hidden_size: int, *, bias: bool = True) -> None:
        super().__init__(input_size, hidden_size, bias=bias)
        self.input = nn.Linear(input_size, 3 * hidden_size, bias=bias)
        self.recurrent = nn.Linear(hidden_size, 3 * hidden_size, bias=False)
        self.peephole = nn.Parameter(torch.zeros(hidden_size))
        self.reset_parameters()

    def project(self, inputs):
        return (self.input(inputs),)

    def step(self, projected, state, constants=()):
        k, u, v = (projected[0] + self.recurrent(state.h)).chunk(3, -1)
        k = k.sigmoid()
        m = k * state.m + (1 - k) * v.tanh()
        u = (u + self.peephole * m).sigmoid()
        h = u * m.tanh() + (1 - u) * state.h
        return h, CoupledState(h=h, m=m)


def unrolled(cell: Cell, inputs: torch.Tensor) -> torch.Tensor:
    """The loop that one writes without any library: what torch runs operation by operation, and torch.compile gets."""
    projected = cell.project(inputs)
    state = cell.initial_state(inputs.shape[0])
    outputs = []
    for step in range(inputs.shape[1]):
        output, state = cell.step(tuple(part[:, step] for part in projected), state)
        outputs.append(output)
    return torch.stack(outputs, 1)
