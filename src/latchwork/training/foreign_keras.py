"""Recurrent layers of a Keras weights file, read with h5py; nothing in it is run, and no other file is followed to.

Keras 3 (.weights.h5):      layers/lstm/cell/vars/{0: kernel, 1: recurrent kernel, 2: bias}
                            layers/bidirectional/forward_layer/cell/vars/…, …/backward_layer/cell/vars/…
Keras 2 (.h5):              lstm/lstm/lstm_cell/{kernel:0, recurrent_kernel:0, bias:0}, in a whole model under
                            model_weights; its attribute layer_names has the order of the layers
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from latchwork.errors import ConfigError, ModelFileError, did_you_mean
from latchwork.optional import load

KERAS = (".h5", ".hdf5")
MAX_NUMBERS = 1 << 30
"""Numbers of one tensor that are read."""

_VARS = {"0": "kernel", "1": "recurrent_kernel", "2": "bias"}
_ABOVE = ("model_weights", "layers", "_layer_checkpoint_dependencies")

Arrays = dict[str, np.ndarray[Any, np.dtype[np.float32]]]
Read = tuple[str, tuple[tuple[dict[str, Tensor], ...], ...], int, tuple[str, ...]]


def read_keras(path: Path, names: Sequence[str], cell: str | None) -> Read:
    """(the cell, for each layer a cell's parameters for each direction, numbers left out, notes).

    cell: what a GRU without biases is, which its shapes don't say; None: gru, Keras' default.
    """
    found, order, whole = _read(path)
    if not found:
        raise ModelFileError(
            f"{path} holds no recurrent layers of Keras (LSTM, GRU or SimpleRNN: kernel, recurrent_kernel, bias)"
        )
    notes: list[str] = []
    layers, kinds, used = [], set(), 0
    for name in _ordered(list(found), order, names, path):
        places = found[name]
        directions = []
        for side in ("onward", "backward"):
            if side in places:
                kind, direction = _converted(places[side], f"{path}: {name}", cell, notes)
                kinds.add(kind)
                directions.append(direction)
                used += sum(one.size for one in places[side].values())
        if "onward" not in places:
            raise ModelFileError(f"{path}: {name} has a backward layer alone; is the file whole?")
        layers.append(tuple(directions))
    if len(kinds) > 1:
        raise ConfigError(
            f"{path}: its layers are {' and '.join(sorted(kinds))}; name those to take, of one kind (recurrent=)"
        )
    return kinds.pop(), tuple(layers), whole - used, tuple(dict.fromkeys(notes))


def _read(path: Path) -> tuple[dict[str, dict[str, Arrays]], list[str], int]:
    """(layer -> direction -> arrays, the layers' order where the file says it, numbers of the whole file)."""
    library = load("h5py")
    found: dict[str, dict[str, Arrays]] = {}
    order: list[str] = []
    whole = 0

    def visit(place: str, one: Any) -> None:
        nonlocal whole
        if place == "model_weights":
            order.extend(_names(one))
        if not isinstance(one, library.Dataset) or place.split("/")[0].startswith("optimizer"):
            return
        whole += int(one.size or 0)
        named = _named(place)
        if named is not None:
            layer, side, what = named
            found.setdefault(layer, {}).setdefault(side, {})[what] = _array(one, f"{path}: {place}")

    try:
        with library.File(path, "r") as file:
            order.extend(_names(file))
            file.visititems(visit)  # hard links alone: no other file is opened
    except FileNotFoundError as error:
        raise ModelFileError(f"no such file: {path}") from error
    except (OSError, RuntimeError, KeyError, UnicodeDecodeError) as error:
        raise ModelFileError(f"{path} is damaged or no HDF5 file: {' '.join(str(error).split())}") from error
    recurrent = {
        layer: sides
        for layer, sides in found.items()
        if all("kernel" in one and "recurrent_kernel" in one for one in sides.values())
    }
    return recurrent, order, whole


def _names(group: Any) -> list[str]:
    """The layers of a model in their order, where a file of Keras 2 has them."""
    return [one.decode() if isinstance(one, bytes) else str(one) for one in group.attrs.get("layer_names", ())]


def _named(place: str) -> tuple[str, str, str] | None:
    """(the layer, onward or backward, which array) of a path in the file; None for what is no part of a recurrent cell.

    >>> _named("layers/bidirectional_1/backward_layer/cell/vars/1")
    ('bidirectional_1', 'backward', 'recurrent_kernel')
    """
    parts = place.replace("\\", "/").split("/")
    while parts and parts[0] in _ABOVE:
        parts = parts[1:]
    side = "backward" if any(part.startswith("backward_") for part in parts) else "onward"
    if parts[-3:-1] == ["cell", "vars"] and parts[-1] in _VARS:
        layer = [part for part in parts[:-3] if part not in ("forward_layer", "backward_layer")]
        return "/".join(layer), side, _VARS[parts[-1]]
    what = parts[-1].removesuffix(":0")
    if len(parts) > 1 and what in _VARS.values():
        return parts[0], side, what
    return None


def _array(one: Any, where: str) -> np.ndarray[Any, np.dtype[np.float32]]:
    if one.is_virtual or one.external:
        raise ModelFileError(f"{where} lies in another file, which is not followed to; save the weights in one file")
    if one.dtype.kind != "f" or one.size > MAX_NUMBERS:
        raise ModelFileError(f"{where} is {one.dtype} {one.shape}, expected at most {MAX_NUMBERS:,} fractional numbers")
    values = np.asarray(one[()], np.float32)
    if not np.isfinite(values).all():
        raise ModelFileError(f"{where} holds NaN or infinite values, expected finite ones; it is damaged")
    return values


def _ordered(found: list[str], order: Sequence[str], names: Sequence[str], path: Path) -> list[str]:
    """The layers from the input up: as named, as the file says, or lstm, lstm_1, lstm_2, ….

    Keras 3 files have no order but these numbers.
    """
    shown = ", ".join(f'"{one}"' for one in sorted(found))
    if names:
        for name in names:
            if name not in found:
                raise ConfigError(
                    f'{path} has no recurrent layer "{name}", expected one of {shown}{did_you_mean(name, found)}'
                )
        return list(names)
    if all(one in order for one in found):
        return sorted(found, key=order.index)
    numbered = [re.fullmatch(r"(.*?)(?:_(\d+))?", one) for one in found]
    bases = {match[1] for match in numbered if match}
    if len(found) > 1 and len(bases) > 1:
        raise ConfigError(f"{path} has the recurrent layers {shown}; name those to take from the input up (recurrent=)")
    return sorted(found, key=lambda one: int(one.rpartition("_")[2]) if re.search(r"_\d+$", one) else 0)


def _converted(
    arrays: Mapping[str, np.ndarray[Any, np.dtype[np.float32]]], where: str, cell: str | None, notes: list[str]
) -> tuple[str, dict[str, Tensor]]:
    """(the cell, its parameters) from kernel [input, gates · units], recurrent kernel [units, gates · units], bias."""
    kernel, recurrent, bias = arrays["kernel"], arrays["recurrent_kernel"], arrays.get("bias")
    units = recurrent.shape[0] if recurrent.ndim == 2 else 0
    gates = recurrent.shape[1] // units if units else 0
    width = gates * units
    if gates not in (1, 3, 4) or recurrent.shape != (units, width) or kernel.ndim != 2 or kernel.shape[1] != width:
        raise ModelFileError(
            f"{where}: kernel {kernel.shape} and recurrent_kernel {recurrent.shape} are no LSTM, GRU or SimpleRNN: "
            "expected [input, gates · units] and [units, gates · units] with 4, 3 or 1 gates"
        )
    both = gates == 3 and bias is not None and bias.shape == (2, width)
    if bias is not None and not both and bias.shape != (width,):
        raise ModelFileError(
            f"{where}: bias {bias.shape}, expected ({width},)" + (f" or (2, {width})" if gates == 3 else "")
        )
    if gates != 3:
        kind, order = ("lstm", (0, 1, 2, 3)) if gates == 4 else ("rnn", (0,))
    else:
        if bias is None:
            notes.append(
                "a GRU without biases does not say where its reset gate stands; Keras' default is taken: after"
            )
        before = cell == "gru_reset_before" if bias is None else not both
        kind, order = ("gru_reset_before" if before else "gru"), (1, 0, 2)  # z r h -> r z n

    def gated(values: np.ndarray[Any, Any]) -> Tensor:
        parts = np.split(values, gates, axis=-1)
        return torch.from_numpy(np.concatenate([parts[gate] for gate in order], -1).T.copy())

    zeros = np.zeros(width, np.float32)
    if both:
        assert bias is not None
        first, second = bias[0], bias[1]
    else:
        first, second = zeros if bias is None else bias, zeros
    made = {"input.weight": gated(kernel), "input.bias": gated(first)}
    weight = gated(recurrent)
    if kind == "gru_reset_before":
        split = {"recurrent.weight": weight[: 2 * units], "recurrent_candidate.weight": weight[2 * units :]}
        return kind, {**made, **{name: one.clone() for name, one in split.items()}}
    return kind, {**made, "recurrent.weight": weight, "recurrent.bias": gated(second)}
