"""Recurrent layers that were trained elsewhere: torch's names and layout here, Keras' in :mod:`foreign_keras`.

from              gates in the weights   becomes
torch.nn.LSTM     i f g o                lstm, as it is
torch.nn.GRU      r z n                  gru, as it is
torch.nn.RNN      h                      rnn, as it is
Keras LSTM        i f c o                lstm; weights transposed, the one bias is the input's
Keras GRU         z r h                  gru, or gru_reset_before where reset_after was False; gates in our order
Keras SimpleRNN   h                      rnn
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from latchwork import storage
from latchwork.cells import CELLS
from latchwork.errors import ConfigError, ModelFileError, did_you_mean
from latchwork.layers import Network
from latchwork.training.foreign_keras import KERAS, read_keras

TORCH_CELLS = {1: "rnn", 3: "gru", 4: "lstm"}
PICKLED = (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle")
_NAME = re.compile(r"(?:(.*)\.)?(weight_ih|weight_hh|weight_hr|bias_ih|bias_hh)_l(\d+)(_reverse)?")
_KEPT = {"weight_ih": "input.weight", "weight_hh": "recurrent.weight", "bias_ih": "input.bias",
         "bias_hh": "recurrent.bias"}  # fmt: skip

Direction = dict[str, Tensor]
"""The parameters of one cell, by latchwork's names and in its order of gates."""


class Shape(NamedTuple):
    """What recurrent layers are, as :class:`Network` says it."""

    cell: str
    hidden_size: int
    layers: int
    bidirectional: bool

    def __str__(self) -> str:
        return ", ".join(f"{name}={value!r}" for name, value in self._asdict().items())


@dataclass(frozen=True)
class Foreign:
    """Recurrent layers from elsewhere.

    name        of the file, for people
    input_size  width of what the first layer reads
    layers      from the input up; a cell for each direction
    left_out    numbers of the file that belong to no recurrent layer
    notes       what the file does not say, and was taken for granted
    """

    name: str
    shape: Shape
    input_size: int
    layers: tuple[tuple[Direction, ...], ...]
    left_out: int = 0
    notes: tuple[str, ...] = ()

    def network(self, network: Network | None = None) -> Network:
        """The options of a network that these layers fit, or ``network`` where it is one.

        Raises :class:`ConfigError` where it is not.
        """
        if network is None:
            return Network(**self.shape._asdict())
        shape = self.shape
        wide = network.resolved(cell=shape.cell, hidden_size=shape.hidden_size, bidirectional=shape.bidirectional)
        found = Shape(str(wide.to_dict()["cell"]), wide.hidden_size or 0, wide.layers, bool(wide.bidirectional))
        if found != self.shape:
            raise ConfigError(f"the network is {found}, and {self.name} holds {self.shape}; give the network as that")
        return wide

    def state(self) -> dict[str, Tensor]:
        """The parameters by their names in a :class:`latchwork.layers.Stack`."""
        made: Direction = {}
        for index, directions in enumerate(self.layers):
            sides = ("onward.", "backward.") if len(directions) > 1 else ("",)
            for side, direction in zip(sides, directions, strict=True):
                made |= {f"layers.{index}.{side}cell.{name}": tensor for name, tensor in direction.items()}
        return made


def read_weights(
    source: str | Path | nn.Module | Mapping[str, Any], *, names: Sequence[str] = (), network: Network | None = None
) -> Foreign:
    """Recurrent layers of a ``state_dict``, a module, a safetensors file, or a Keras weights file (.weights.h5, .h5).

    names    of the layers to take, from the input up; of torch's modules one, such as "encoder.rnn". () where there is
             no doubt
    network  says what a file can't (a Keras GRU without biases does not say where its reset gate stands)

    Raises :class:`ModelFileError` where the file is no such file or its shapes do not fit each other, and
    :class:`ConfigError` where a name is not in it, or where more than one could be meant.
    """
    if isinstance(source, nn.Module):
        return read_torch(source.state_dict(), type(source).__name__, names)
    if isinstance(source, Mapping):
        return read_torch(source, "the state_dict", names)
    path = Path(source)
    suffix = path.suffix.lower()
    if suffix in PICKLED:
        raise ModelFileError(
            f"{path} may run code when it is opened, and is not; convert it where you trust it: python -c "
            f'"import torch, safetensors.torch as s; s.save_file({{k: v.clone().contiguous() for k, v in '
            f"torch.load('{path.name}', map_location='cpu', weights_only=True).items()}}, "
            f"'{path.stem}.safetensors')\""
        )
    if suffix == ".keras":
        raise ModelFileError(f'{path} is a whole Keras model; give its weights: model.save_weights("x.weights.h5")')
    if suffix in KERAS:
        asked = None if network is None or network.cell is None else str(network.cell)
        cell, layers, left_out, notes = read_keras(path, names, asked)
        return _checked(Foreign(path.name, Shape(cell, 0, 0, False), 0, layers, left_out, notes))
    if suffix != ".safetensors":
        raise ModelFileError(
            f"{path} holds no weights that are known here, expected .safetensors, {' or '.join(KERAS)}"
        )
    return read_torch(storage.read_tensors(path), path.name, names)


def read_torch(tensors: Mapping[str, Any], name: str, names: Sequence[str] = ()) -> Foreign:
    """The layers of torch.nn.LSTM, GRU or RNN among some tensors."""
    found: dict[str, dict[tuple[int, bool], dict[str, Tensor]]] = {}
    for key, tensor in tensors.items():
        match = _NAME.fullmatch(str(key))
        if match is None:
            continue
        place = found.setdefault(match[1] or "", {}).setdefault((int(match[3]), bool(match[4])), {})
        place[match[2]] = _numbers(tensor, f"{name}: {key}")
    if not found:
        raise ModelFileError(
            f"{name} holds no recurrent layers of torch (weight_ih_l0, weight_hh_l0, …); "
            "of a model of latchwork give its run folder"
        )
    prefix = _chosen(found, names, name)
    places = found[prefix]
    layers, kinds = [], set()
    both = any(backwards for _, backwards in places)
    for index in range(max(index for index, _ in places) + 1):
        directions = []
        for end in (f"l{index}", f"l{index}_reverse")[: 1 + both]:
            place = places.get((index, end.endswith("reverse")), {})
            if "weight_ih" not in place or "weight_hh" not in place:
                raise ModelFileError(f"{name}: weight_ih_{end} or weight_hh_{end} is missing; is the file whole?")
            if "weight_hr" in place:
                raise ModelFileError(f"{name}: weight_hr_{end} is a projection, and networks here have none")
            kind, direction = _direction(place, f"{name}: {end}")
            kinds.add(kind)
            directions.append(direction)
        layers.append(tuple(directions))
    if len(kinds) > 1:
        raise ModelFileError(f"{name}: its layers are {' and '.join(sorted(kinds))}, expected one kind of cell")
    cell = kinds.pop()
    used = sum(one.numel() for place in places.values() for one in place.values())
    whole = sum(one.numel() for one in tensors.values() if isinstance(one, Tensor))
    return _checked(Foreign(name, Shape(cell, 0, 0, False), 0, tuple(layers), whole - used))


def _direction(place: Mapping[str, Tensor], where: str) -> tuple[str, Direction]:
    """(the cell, its parameters); without biases they are zero."""
    recurrent = place["weight_hh"]
    if recurrent.dim() != 2 or not recurrent.shape[1] or recurrent.shape[0] % recurrent.shape[1]:
        raise ModelFileError(
            f"{where}: weight_hh has shape {tuple(recurrent.shape)}, expected [gates · hidden, hidden]"
        )
    gates = recurrent.shape[0] // recurrent.shape[1]
    if gates not in TORCH_CELLS:
        raise ModelFileError(f"{where}: weight_hh has {gates} gates, expected 1 (RNN), 3 (GRU) or 4 (LSTM)")
    rows = recurrent.shape[0]
    zeros = {"bias_ih": torch.zeros(rows), "bias_hh": torch.zeros(rows)}
    return TORCH_CELLS[gates], {own: {**zeros, **place}[name] for name, own in _KEPT.items()}


def _chosen(found: Mapping[str, Any], names: Sequence[str], name: str) -> str:
    if not names and len(found) == 1:
        return next(iter(found))
    shown = ", ".join(f'"{one}"' for one in sorted(found))
    if len(names) != 1:
        raise ConfigError(f"{name} holds recurrent layers under {shown}; name one of them (recurrent=)")
    if names[0] not in found:
        hint = did_you_mean(names[0], found)
        raise ConfigError(f'{name} holds no recurrent layers under "{names[0]}", expected {shown}{hint}')
    return names[0]


def _numbers(tensor: Any, where: str) -> Tensor:
    if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
        kind = str(tensor.dtype) if isinstance(tensor, Tensor) else type(tensor).__name__
        raise ModelFileError(f"{where} is {kind}, expected a tensor of floating-point numbers")
    tensor = tensor.detach().to("cpu", torch.float32)
    if not bool(tensor.isfinite().all()):
        raise ModelFileError(f"{where} holds NaN or infinite values, expected finite ones; it is damaged")
    return tensor


def _checked(foreign: Foreign) -> Foreign:
    """With its shape and input size, every tensor of the shape that the cell wants, each layer fed by the one below."""
    first = foreign.layers[0][0]
    hidden, width = first["recurrent.weight"].shape[-1], first["input.weight"].shape[-1]
    shape = foreign.shape._replace(
        hidden_size=hidden, layers=len(foreign.layers), bidirectional=len(foreign.layers[0]) > 1
    )
    kind: Any = CELLS[shape.cell]
    reads = width
    for index, directions in enumerate(foreign.layers):
        if len(directions) != len(foreign.layers[0]):
            raise ModelFileError(f"{foreign.name}: layer {index} has {len(directions)} directions, others do not")
        expected = kind(reads, hidden, device="meta").state_dict()
        for direction in directions:
            for name, like in expected.items():
                got = tuple(direction[name].shape)
                if got != tuple(like.shape):
                    raise ModelFileError(
                        f"{foreign.name}: {name} of layer {index} has shape {got}, expected {tuple(like.shape)}: "
                        f"a {shape.cell} of {hidden} units that reads {reads} numbers"
                    )
        reads = hidden * len(directions)
    notes = foreign.notes
    if shape.cell == "rnn":
        notes = (*notes, f"whether {foreign.name} was trained with tanh or relu stands nowhere; the network's is taken")
    return replace(foreign, shape=shape, input_size=width, notes=notes)
