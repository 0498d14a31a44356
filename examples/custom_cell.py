"""A cell of one's own: its equation, the contract it must pass, its speed, and a network of it on real data."""

import statistics
import time

import torch
from torch import nn

import latchwork as lw
from latchwork.cells import LSTM, Cell, HiddenState
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


def milliseconds(layers: dict[str, nn.Module], inputs: torch.Tensor, rounds: int = 7) -> dict[str, float]:
    """A forward and a backward pass of each, in turn; the median."""
    spent: dict[str, list[float]] = {name: [] for name in layers}
    for _ in range(rounds + 1):
        for name, layer in layers.items():
            begin = time.perf_counter()
            layer(inputs)[0].sum().backward()
            spent[name].append(1e3 * (time.perf_counter() - begin))
    return {name: statistics.median(found[1:]) for name, found in spent.items()}


def main() -> None:
    check_cell(Leaky)
    print("Leaky keeps the contract: padding, chunks, resets, NaN, gradients, kernels.")

    inputs = torch.randn(32, 100, 64)
    layer = lw.Recurrent(Leaky(64, 128))
    print(layer.explain_kernel(inputs))
    layers = {
        "Leaky on the engine": layer,
        "Leaky in the loop": lw.Recurrent(Leaky(64, 128), kernel="loop"),
        "LSTM on the engine": lw.Recurrent(LSTM(64, 128)),
        "torch.nn.LSTM": nn.LSTM(64, 128, batch_first=True),
    }
    print("Forward and backward, 32 rows of 100 steps, 64 inputs, 128 units:")
    for name, median in milliseconds(layers, inputs).items():
        print(f"  {name:20} {median:7.1f} ms")

    task = lw.Forecast(target="co2", horizon=52, test_size=4 * 52, step_size=26)
    model = lw.fit(task, co2(), network=lw.Network(cell=Leaky))
    print(model.leaderboard())


if __name__ == "__main__":
    main()
