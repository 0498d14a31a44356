"""Layers of torch and Keras give here what they gave there; what does not fit is refused in one line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from latchwork.errors import ConfigError, LatchworkError, ModelFileError
from latchwork.layers import Network
from latchwork.training import Foreign, read_weights

WIDTH, UNITS, STEPS = 5, 4, 7


def inputs() -> torch.Tensor:
    return torch.randn(3, STEPS, WIDTH, generator=torch.Generator().manual_seed(1))


def outputs(foreign: Foreign, network: Network | None = None) -> torch.Tensor:
    """What a network with these layers gives."""
    stack = foreign.network(network).build(foreign.input_size)
    stack.load_state_dict(foreign.state())
    return stack.eval()(inputs())[0].detach()


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_torch_layers_give_the_same(kind: Any, layers: int, bidirectional: bool, bias: bool) -> None:
    torch.manual_seed(0)
    there = kind(WIDTH, UNITS, layers, bias=bias, bidirectional=bidirectional, batch_first=True)
    foreign = read_weights(there.state_dict())
    assert tuple(foreign.shape) == (kind.__name__.lower(), UNITS, layers, bidirectional)
    assert foreign.left_out == 0
    torch.testing.assert_close(outputs(foreign), there(inputs())[0].detach(), rtol=1e-5, atol=1e-6)


def test_a_relu_layer_is_what_the_network_says(tmp_path: Path) -> None:
    there = nn.RNN(WIDTH, UNITS, nonlinearity="relu", batch_first=True)
    model = nn.ModuleDict({"embed": nn.Embedding(9, WIDTH), "rnn": there})
    save_file(model.state_dict(), tmp_path / "a.safetensors")
    foreign = read_weights(tmp_path / "a.safetensors")
    assert foreign.left_out == 9 * WIDTH
    assert "tanh or relu" in foreign.notes[0]
    network = Network(cell="rnn", activation="relu")
    torch.testing.assert_close(outputs(foreign, network), there(inputs())[0].detach(), rtol=1e-5, atol=1e-6)


def test_one_of_several_torch_layers_is_named() -> None:
    model = nn.ModuleDict({"first": nn.GRU(WIDTH, UNITS), "second": nn.LSTM(UNITS, UNITS)})
    with pytest.raises(ConfigError, match=r'under "first", "second"; name one of them \(recurrent=\)'):
        read_weights(model)
    with pytest.raises(ConfigError, match='did you mean "second"'):
        read_weights(model, names=["secnd"])
    assert read_weights(model, names=["second"]).shape.cell == "lstm"


# Keras: what its layers compute, written down again in numpy from the documentation, gate by gate.


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def keras_forward(kind: str, x: np.ndarray, kernel: Any, recurrent: Any, bias: Any) -> np.ndarray:
    """[batch, time, input] -> [batch, time, units]."""
    units = recurrent.shape[0]
    h = c = np.zeros((len(x), units))
    found = []

    def part(matrix: np.ndarray, gate: int) -> np.ndarray:
        return matrix[..., gate * units : (gate + 1) * units]

    for t in range(x.shape[1]):
        now = x[:, t]
        if kind == "lstm":  # i f c o
            i, f, g, o = (now @ part(kernel, k) + h @ part(recurrent, k) + part(bias, k) for k in range(4))
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
        elif kind == "simple_rnn":
            h = np.tanh(now @ kernel + h @ recurrent + bias)
        else:  # z r h
            first, second = bias if bias.ndim == 2 else (bias, np.zeros_like(bias))
            of_x = [now @ part(kernel, k) + part(first, k) for k in range(3)]
            z = sigmoid(of_x[0] + h @ part(recurrent, 0) + part(second, 0))
            r = sigmoid(of_x[1] + h @ part(recurrent, 1) + part(second, 1))
            if bias.ndim == 2:
                new = np.tanh(of_x[2] + r * (h @ part(recurrent, 2) + part(second, 2)))
            else:
                new = np.tanh(of_x[2] + (r * h) @ part(recurrent, 2))
            h = z * h + (1 - z) * new
        found.append(h)
    return np.stack(found, 1)


GATES = {"lstm": 4, "gru": 3, "gru_before": 3, "simple_rnn": 1}
CELLS = {"lstm": "lstm", "gru": "gru", "gru_before": "gru_reset_before", "simple_rnn": "rnn"}


def arrays(kind: str, width: int, seed: int) -> list[np.ndarray]:
    random, gates = np.random.default_rng(seed), GATES[kind]
    bias = (2, gates * UNITS) if kind == "gru" else (gates * UNITS,)
    shapes = ((width, gates * UNITS), (UNITS, gates * UNITS), bias)
    return [random.normal(scale=0.7, size=shape).astype(np.float32) for shape in shapes]


def keras_3(path: Path, cells: dict[str, list[np.ndarray]]) -> Path:
    """As model.save_weights("x.weights.h5") lays it out; cells by their path."""
    with h5py.File(path, "w") as file:
        for place, three in cells.items():
            group = file.create_group(f"layers/{place}/cell/vars")
            for number, array in enumerate(three):
                group[str(number)] = array
        file["layers/dense/vars/0"] = np.ones((UNITS, 2), np.float32)
        file["optimizer/vars/0"] = np.array(3, np.int64)
    return path


def keras_2(path: Path, cells: dict[str, list[np.ndarray]], order: list[str], root: str = "") -> Path:
    """As Keras 2 laid out .h5; cells by the path of their weights."""
    with h5py.File(path, "w") as file:
        top = file.create_group(root) if root else file
        top.attrs["layer_names"] = [name.encode() for name in order]
        for place, three in cells.items():
            for name, array in zip(("kernel", "recurrent_kernel", "bias"), three, strict=True):
                top[f"{place}/{name}:0"] = array
    return path


@pytest.mark.parametrize("kind", list(GATES))
def test_keras_layers_give_the_same(kind: str, tmp_path: Path) -> None:
    own = arrays(kind, WIDTH, 0)
    for path in (
        keras_3(tmp_path / "a.weights.h5", {"rnn": own}),
        keras_2(tmp_path / "b.h5", {"first/first/cell_7": own}, ["embedding", "first"]),
    ):
        foreign = read_weights(path)
        assert tuple(foreign.shape) == (CELLS[kind], UNITS, 1, False)
        expected = keras_forward(kind, inputs().double().numpy(), *own)
        np.testing.assert_allclose(outputs(foreign).numpy(), expected, rtol=1e-4, atol=1e-5)
    assert read_weights(tmp_path / "a.weights.h5").left_out == 2 * UNITS


def test_bidirectional_keras_layers_stand_on_top_of_each_other(tmp_path: Path) -> None:
    names = ["bidirectional_1", "bidirectional_10", "bidirectional"]
    rising = ["bidirectional", "bidirectional_1", "bidirectional_10"]
    made = {
        name: [arrays("lstm", WIDTH if not depth else 2 * UNITS, 10 * depth + side) for side in (0, 1)]
        for depth, name in enumerate(rising)
    }
    cells = {}
    for name in names:
        cells[f"{name}/forward_layer"], cells[f"{name}/backward_layer"] = made[name]
    values = inputs().double().numpy()
    for name in rising:
        onward = keras_forward("lstm", values, *made[name][0])
        backward = keras_forward("lstm", values[:, ::-1], *made[name][1])[:, ::-1]
        values = np.concatenate([onward, backward], -1)
    foreign = read_weights(keras_3(tmp_path / "a.weights.h5", cells))
    assert tuple(foreign.shape) == ("lstm", UNITS, 3, True)
    np.testing.assert_allclose(outputs(foreign).numpy(), values, rtol=1e-4, atol=1e-5)


def test_keras_2_says_the_order_of_its_layers(tmp_path: Path) -> None:
    lower, upper = arrays("gru", WIDTH, 0), arrays("gru", UNITS, 1)
    cells = {"zebra/zebra/gru_cell": lower, "apple/apple/gru_cell_1": upper}
    path = keras_2(tmp_path / "a.h5", cells, ["zebra", "drop", "apple"], root="model_weights")
    expected = keras_forward("gru", keras_forward("gru", inputs().double().numpy(), *lower), *upper)
    np.testing.assert_allclose(outputs(read_weights(path)).numpy(), expected, rtol=1e-4, atol=1e-5)


def test_keras_3_layers_with_names_of_their_own_are_named(tmp_path: Path) -> None:
    lower, upper = arrays("gru", WIDTH, 0), arrays("gru", UNITS, 1)
    path = keras_3(tmp_path / "a.weights.h5", {"zebra": lower, "apple": upper})
    with pytest.raises(ConfigError, match=r'"apple", "zebra"; name those to take from the input up'):
        read_weights(path)
    with pytest.raises(ConfigError, match='did you mean "zebra"'):
        read_weights(path, names=["zebr"])
    assert read_weights(path, names=["zebra", "apple"]).shape.layers == 2
    with pytest.raises(ModelFileError, match=r"input\.weight of layer 1 has shape"):
        read_weights(path, names=["apple", "zebra"])


def test_a_gru_without_biases_is_what_the_network_says(tmp_path: Path) -> None:
    path = keras_3(tmp_path / "a.weights.h5", {"gru": arrays("gru", WIDTH, 0)[:2]})
    after, before = read_weights(path), read_weights(path, network=Network(cell="gru_reset_before"))
    assert (after.shape.cell, before.shape.cell) == ("gru", "gru_reset_before")
    assert "reset gate" in after.notes[0]
    assert not torch.allclose(outputs(after), outputs(before))


# What is refused


def save(path: Path, tensors: dict[str, torch.Tensor]) -> Path:
    save_file(tensors, path)
    return path


def lstm(**changed: torch.Tensor) -> dict[str, torch.Tensor]:
    return {**nn.LSTM(WIDTH, UNITS).state_dict(), **changed}


def whole(file: Path, text: bytes = b"") -> Path:
    file.write_bytes(text)
    return file


BAD: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a pickle": (lambda p: p / "weights.pt", r"weights_only=True.*save_file|save_file.*weights_only=True"),
    "a whole Keras model": (lambda p: p / "model.keras", "save_weights"),
    "another file": (lambda p: p / "weights.npz", r"expected \.safetensors"),
    "no file": (lambda p: p / "none.safetensors", "no such file"),
    "no Keras file": (lambda p: p / "none.h5", "no such file"),
    "no HDF5": (lambda p: whole(p / "a.h5", b"nothing"), "no HDF5 file"),
    "no safetensors": (lambda p: whole(p / "a.safetensors", b"nothing"), "not safetensors"),
    "no layers": (lambda p: save(p / "a.safetensors", {"x": torch.ones(2)}), "give its run folder"),
    "no Keras layers": (lambda p: keras_3(p / "a.h5", {}), "no recurrent layers of Keras"),
    "a layer missing": (
        lambda p: {"weight_ih_l1": torch.ones(4, 1), "weight_hh_l1": torch.ones(4, 1)},
        "l0 is missing",
    ),
    "half a layer": (lambda p: {"weight_ih_l0": torch.ones(4, 1)}, "weight_hh_l0 is missing"),
    "a projection": (lambda p: nn.LSTM(4, 4, proj_size=2), "projection"),
    "two gates": (lambda p: lstm(weight_hh_l0=torch.ones(2 * UNITS, UNITS)), "2 gates"),
    "no matrix": (lambda p: lstm(weight_hh_l0=torch.ones(UNITS)), "weight_hh has shape"),
    "a wrong shape": (lambda p: lstm(weight_ih_l0=torch.ones(3 * UNITS, WIDTH)), r"expected \(16, 5\)"),
    "a wrong bias": (lambda p: lstm(bias_ih_l0=torch.ones(3)), r"input.bias of layer 0 has shape \(3,\)"),
    "whole numbers": (lambda p: lstm(bias_ih_l0=torch.ones(16, dtype=torch.int64)), "floating-point"),
    "no tensor": (lambda p: {**lstm(), "bias_ih_l0": [1.0]}, "is list"),
    "not finite": (lambda p: lstm(bias_ih_l0=torch.full((16,), torch.nan)), "NaN"),
    "a Keras bias": (
        lambda p: keras_3(p / "a.h5", {"gru": [*arrays("gru", WIDTH, 0)[:2], np.ones(5, np.float32)]}),
        r"bias \(5,\), expected \(12,\) or \(2, 12\)",
    ),
    "Keras shapes": (
        lambda p: keras_3(p / "a.h5", {"gru": [np.ones((5, 12), np.float32), np.ones((4, 8), np.float32)]}),
        "are no LSTM, GRU or SimpleRNN",
    ),
    "two kinds": (
        lambda p: keras_2(p / "a.h5", {"a/c": arrays("gru", 5, 0), "b/c": arrays("lstm", 4, 0)}, ["a", "b"]),
        "gru and lstm",
    ),
}


@pytest.mark.parametrize("case", list(BAD))
def test_what_does_not_fit_is_refused_in_one_line(case: str, tmp_path: Path) -> None:
    make, said = BAD[case]
    with pytest.raises(LatchworkError, match=said) as caught:
        read_weights(make(tmp_path))
    assert len(str(caught.value).splitlines()) == 1


def test_no_other_file_is_followed_to(tmp_path: Path) -> None:
    keras_3(tmp_path / "secret.h5", {"lstm": arrays("lstm", WIDTH, 0)})
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["layers"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "/layers")
    with pytest.raises(ModelFileError, match="no recurrent layers"):
        read_weights(tmp_path / "a.h5")
    layout = h5py.VirtualLayout((WIDTH, 4 * UNITS), np.float32)
    layout[:] = h5py.VirtualSource(tmp_path / "secret.h5", "layers/lstm/cell/vars/0", (WIDTH, 4 * UNITS))
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.create_virtual_dataset("layers/lstm/cell/vars/0", layout)
    with pytest.raises(ModelFileError, match="another file"):
        read_weights(tmp_path / "b.h5")


def test_a_network_that_is_not_these_layers_is_refused() -> None:
    foreign = read_weights(nn.LSTM(WIDTH, UNITS, 2))
    with pytest.raises(ConfigError, match=r"cell='gru'.*cell='lstm', hidden_size=4, layers=2, bidirectional=False"):
        foreign.network(Network("gru"))
    assert foreign.network(Network(cell="lstm", layers=2, dropout=0.4)).dropout == 0.4
