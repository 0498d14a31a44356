"""A cell of one's own: its equation, the contract it must pass, and a network of it on real data."""

import torch
from torch import nn

import latchwork as lw
from latchwork.cells import Cell, HiddenState
from latchwork.demo import co2
from latchwork.testing import check_cell


class Leaky(Cell):
    """h' = (1 - a) h + a tanh(W x + b + R h),  a = sigmoid(rate).

    Source: Jaeger et al. 2007, doi:10.1016/j.neunet.2007.04.016.
    """

    def __init__(self, input_size: int, hidden_size: int, *, bias: bool = True) -> None:
        super().__init__(input_size, hidden_size, bias=bias)
        self.input = nn.Linear(input_size, hidden_size, bias=bias)
        self.recurrent = nn.Linear(hidden_size, hidden_size, bias=False)
        self.rate = nn.Parameter(torch.zeros(hidden_size))
        self.reset_parameters()

    def project(self, inputs):
        return (self.input(inputs),)

    def step(self, projected, state, constants=()):
        rate = self.rate.sigmoid()
        h = (1 - rate) * state.h + rate * (projected[0] + self.recurrent(state.h)).tanh()
        return h, HiddenState(h=h)


def main() -> None:
    check_cell(Leaky)
    print("Leaky keeps the contract: padding, chunks, resets, NaN, gradients, kernels.")
    task = lw.Forecast(target="co2", horizon=52, test_size=4 * 52, step_size=26)
    model = lw.fit(task, co2(), network=lw.Network(cell=Leaky))
    print(model.leaderboard())


if __name__ == "__main__":
    main()
