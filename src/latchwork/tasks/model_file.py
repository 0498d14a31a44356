"""A model in a folder: config.json, model.safetensors, and files of the modality's own; each with its hash."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict
from torch import nn

from latchwork import storage
from latchwork.errors import ModelFileError


class ConfigFile(BaseModel):
    """config.json, as far as every task has it. ``format`` counts up when an older latchwork could not read what a
    newer one wrote; ``weights`` is the hash of model.safetensors.
    """

    model_config = ConfigDict(extra="forbid")
    FORMAT: ClassVar[int] = 1

    format: int
    latchwork: str
    task: dict[str, Any]
    network: dict[str, Any]
    weights: str


class SealedFile(ConfigFile):
    """With the hash of each of the modality's files, and ``own``: that of all the rest, see :meth:`digest`."""

    files: dict[str, str]
    own: str = ""

    def digest(self) -> str:
        """A hash of every value but ``own``: a digit that changed on the disk gives no error of its own."""
        values = json.dumps(self.model_dump(mode="json", exclude={"own"}), sort_keys=True)
        return storage.sha256(values.encode())


class ModelFile(SealedFile):
    """Of a model that writes. parts: what the task has beside its options and its network, by name."""

    parts: dict[str, Any]


Config = TypeVar("Config", bound=ConfigFile)
Sealed = TypeVar("Sealed", bound=SealedFile)


def save_model(
    folder: Path,
    module: nn.Module,
    kind: type[SealedFile],
    /,
    *,
    version: str,
    task: Mapping[str, Any],
    network: Mapping[str, Any],
    files: Mapping[str, bytes],
    **own: Any,
) -> None:
    """Write the files, whole or not at all; config.json comes last and names the hashes of those it belongs to.

    task: its options, and its name as ``name``. own: the values that this kind of config.json has beside the others.
    """
    weights = write_weights(folder, module)
    for name, data in files.items():
        storage.write_bytes(folder / name, data)
    file = kind(
        format=kind.FORMAT,
        latchwork=version,
        task=dict(task),
        network=dict(network),
        files={name: storage.sha256(data) for name, data in files.items()},
        weights=weights,
        **own,
    )
    storage.write_json(folder / "config.json", file.model_copy(update={"own": file.digest()}))


def read_model(folder: Path, kind: type[Sealed]) -> tuple[Sealed, dict[str, bytes]]:
    """(config.json, the modality's files), checked against their hashes; :class:`ModelFileError` says what is wrong."""
    path = folder / "config.json"
    file = read_config(path, kind)
    if file.own != file.digest():
        raise ModelFileError(f"{path} is damaged: its values are not those that were written; take it from a backup")
    files = {}
    for name, digest in file.files.items():
        if Path(name).name != name:
            raise ModelFileError(f'{path} is damaged: it names the file "{name}"')
        files[name] = storage.read_bytes(folder / name)
        if storage.sha256(files[name]) != digest:
            raise ModelFileError(f"{folder / name} is not the file that config.json was written with")
    return file, files


def read_config(path: Path, kind: type[Config]) -> Config:
    """config.json alone, its format and the types of its values checked."""
    raw = storage.read_json(path)
    if not isinstance(raw, dict):
        raise ModelFileError(f"{path} is damaged: it holds a {type(raw).__name__}, expected an object")
    storage.check_version(raw.get("format"), kind.FORMAT, path)
    return storage.read_json(path, kind)


def write_weights(folder: Path, module: nn.Module) -> str:
    """Write model.safetensors; its hash."""
    weights = storage.pack_tensors(module.state_dict())
    storage.write_bytes(folder / "model.safetensors", weights)
    return storage.sha256(weights)


def read_weights(folder: Path, module: nn.Module, file: ConfigFile) -> None:
    """Give the module the weights of the folder, checked against its shapes and the file's hash; in eval mode."""
    expected = {name: (tuple(value.shape), value.dtype) for name, value in module.state_dict().items()}
    weights = storage.read_tensors(folder / "model.safetensors", expected)
    if storage.sha256(folder / "model.safetensors") != file.weights:
        raise ModelFileError(f"{folder}: model.safetensors is not the file that config.json was written with")
    module.load_state_dict(weights)
    module.eval()
