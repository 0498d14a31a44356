import json
from dataclasses import fields
from typing import Any

import pytest
import torch
from torch import nn

from latchwork.cells import CELLS, GRU, LSTM, RNN, Cell
from latchwork.errors import ConfigError
from latchwork.layers import Network, Stack, start


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_build(cell: str, bidirectional: bool) -> None:
    stack = Network(cell, hidden_size=6, layers=2, bidirectional=bidirectional, learn_initial_state=True).build(3)
    assert isinstance(stack, Stack)
    assert stack.output_size == 6 * (1 + bidirectional)
    outputs, _ = stack(torch.randn(2, 4, 3))
    assert outputs.shape == (2, 4, stack.output_size)


def test_what_is_left_open_is_decided_by_the_task() -> None:
    left_open: dict[str, Any] = {"cell": "lstm", "hidden_size": 32, "dropout": 0.2, "bidirectional": True}
    assert Network().resolved(**left_open) == Network(**left_open)
    decided = Network("rnn", hidden_size=8, dropout=0.0, bidirectional=False)
    assert decided.resolved(**left_open) == decided
    assert Network().build(1).output_size == 128
    assert isinstance(Network().build(1).get_submodule("layers.0.cell"), GRU)


def test_the_same_seed_starts_the_same() -> None:
    stacks = []
    for _ in range(2):
        torch.manual_seed(4)
        stacks.append(Network("lstm", hidden_size=5, layers=2).build(3).state_dict())
    assert all(torch.equal(stacks[0][name], stacks[1][name]) for name in stacks[0])
    assert Network(hidden_size=5).build(3, dtype=torch.float64)(torch.zeros(1, 2, 3).double())[0].dtype == torch.float64


@pytest.mark.parametrize("name", CELLS)
def test_start(name: str) -> None:
    cell = start(CELLS[name](3, 8), forget_bias=1.5)
    eye = torch.eye(8)
    for product in cell.recurrent_products().values():
        dense = product.dense() if hasattr(product, "dense") else product.weight
        for gate in dense.split(8):
            torch.testing.assert_close(gate @ gate.T, eye, atol=1e-5, rtol=0)
    bound = (6 / (3 + 8)) ** 0.5
    for gate in cell.input.weight.split(8):
        assert bound * 0.8 < gate.abs().max() <= bound
    bias = cell.gate_bias
    assert bias is not None
    for index, gate in enumerate(cell.gates):
        expected = cell.keeps[gate] * 1.5 if gate in cell.keeps else 0.0
        assert bias.view(len(cell.gates), -1)[index].eq(expected).all()
    others = [p for n, p in cell.named_parameters() if n.endswith("recurrent.bias")]
    assert all(p.eq(0).all() for p in others)


def test_a_forget_bias_makes_every_cell_hold_on() -> None:
    """The sign in ``keeps`` is the right one: with a large bias the state hardly changes."""
    for name, kind in CELLS.items():
        if not kind.keeps or name == "slstm":  # an sLSTM's exponential input gate can outweigh any forget gate
            continue
        cell = start(kind(2, 6), forget_bias=30.0)
        state = cell.State(*(torch.full((1, 6), 0.5) for _ in cell.State._fields))
        kept = "c" if "c" in cell.State._fields else "h"
        with torch.no_grad():
            cell.input.weight.zero_()
            for product in cell.recurrent_products().values():
                product.weight.zero_()
            if "i" in cell.gates:
                cell.gate_bias.view(len(cell.gates), -1)[cell.gates.index("i")] = -30.0
        _, after = cell.step(cell.project(torch.randn(1, 2)), state)
        torch.testing.assert_close(getattr(after, kept), getattr(state, kept), msg=name)


def test_rectifiers_start_after_he() -> None:
    torch.manual_seed(0)
    cell = Network("rnn", hidden_size=256, activation="relu").build(100).layers[0].cell
    assert cell.input.weight.std().item() == pytest.approx((2 / 100) ** 0.5, rel=0.03)
    cell = Network("rnn", hidden_size=256).build(100).layers[0].cell
    assert cell.input.weight.std().item() == pytest.approx((2 / 356) ** 0.5, rel=0.03)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cell": "gruu"}, 'did you mean "gru"'),
        ({"cell": 3}, "expected a name or a subclass"),
        ({"hidden_size": 0}, "hidden_size is 0"),
        ({"hidden_size": 2.5}, "hidden_size is 2.5"),
        ({"layers": None}, "layers is None"),
        ({"layers": True}, "layers is True"),
        ({"dropout": 20}, "dropout is 20"),
        ({"dropout": "0.1"}, "dropout is '0.1'"),
        ({"zoneout": -0.1}, "zoneout is -0.1"),
        ({"recurrent_dropout": 1.0}, "recurrent_dropout is 1.0"),
        ({"norm": "batches"}, 'did you mean "batch"'),
        ({"activation": "tanhh", "cell": "rnn"}, 'did you mean "tanh"'),
        ({"activation": "relu"}, "only the rnn takes one"),
        ({"forget_bias": "1"}, "expected a number"),
        ({"kernel": "lop"}, 'did you mean "loop"'),
    ],
)
def test_options_are_checked(options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Network(**options)


def test_options_that_the_cell_lacks_raise() -> None:
    with pytest.raises(ConfigError, match="MinGRU has none"):
        Network("mingru", hidden_size=4, recurrent_dropout=0.1).build(2)


def test_every_option_is_documented() -> None:
    text = Network.__doc__ or ""
    assert all(f"\n    {field.name}\n" in text for field in fields(Network))


class Own(RNN):
    pass


def test_options_through_json() -> None:
    for network in (Network(), Network("lstm", hidden_size=7, dropout=0.1, norm="layer"), Network(GRU, layers=3)):
        assert Network.from_dict(json.loads(json.dumps(network.to_dict()))).to_dict() == network.to_dict()
    assert Network(LSTM).to_dict()["cell"] == "lstm"
    saved = json.loads(json.dumps(Network(Own, activation="relu").to_dict()))
    assert saved["cell"] == "Own"
    assert Network.from_dict(saved, cells={"Own": Own}) == Network(Own, activation="relu")
    with pytest.raises(ConfigError, match=r'cells=\{"Own": Own\}'):
        Network.from_dict(saved)
    with pytest.raises(ConfigError, match='did you mean "layers"'):
        Network.from_dict({"layer": 2})


def test_a_cell_of_ones_own_starts_and_builds() -> None:
    class Plain(Cell):
        def __init__(self, input_size: int, hidden_size: int) -> None:
            super().__init__(input_size, hidden_size)
            self.read = nn.Linear(input_size, hidden_size)
            self.recurrent = nn.Linear(hidden_size, hidden_size)

        def step(self, projected, state, constants=()):
            h = (self.read(projected[0]) + self.recurrent(state.h)).tanh()
            return h, self.State(h)

    stack = Network(Plain, hidden_size=4, layers=2, recurrent_dropout=0.2, zoneout=0.1, weight_drop=0.1).build(3)
    assert stack(torch.randn(2, 5, 3))[0].shape == (2, 5, 4)
