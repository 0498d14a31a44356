"""A model in a folder: config.json, model.safetensors, and files of the modality's own; each with its hash."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict
from torch import nn

from latchwork import storage
from latchwork.errors import ModelFileError

FORMAT = 1


class ModelFile(BaseModel):
    """config.json. parts: what the task has beside its options and its network, by name. files: the hash of each of the
    modality's files. own: that of all the rest of the file, see :meth:`digest`.
    """

    model_config = ConfigDict(extra="forbid")

    format: int
    latchwork: str
    task: dict[str, Any]
    network: dict[str, Any]
    parts: dict[str, Any]
    files: dict[str, str]
    weights: str
    own: str = ""

    def digest(self) -> str:
        """A hash of every value but ``own``: a digit that changed on the disk gives no error of its own."""
        values = json.dumps(self.model_dump(mode="json", exclude={"own"}), sort_keys=True)
        return hashlib.sha256(values.encode()).hexdigest()


def save_model(
    folder: Path,
    module: nn.Module,
    *,
    version: str,
    task: Mapping[str, Any],
    network: Mapping[str, Any],
    parts: Mapping[str, Any],
    files: Mapping[str, bytes],
) -> None:
    """Write the files, whole or not at all; config.json comes last and names the hashes of those it belongs to.

    task: its options, and its name as ``name``.
    """
    weights = storage.pack_tensors(module.state_dict())
    storage.write_bytes(folder / "model.safetensors", weights)
    for name, data in files.items():
        storage.write_bytes(folder / name, data)
    file = ModelFile(
        format=FORMAT,
        latchwork=version,
        task=dict(task),
        network=dict(network),
        parts=dict(parts),
        files={name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
        weights=storage.sha256(weights),
    )
    storage.write_json(folder / "config.json", file.model_copy(update={"own": file.digest()}))


def read_model(folder: Path) -> tuple[ModelFile, dict[str, bytes]]:
    """(config.json, the modality's files), checked against their hashes; :class:`ModelFileError` says what is wrong."""
    path = folder / "config.json"
    raw = storage.read_json(path)
    if not isinstance(raw, dict):
        raise ModelFileError(f"{path} is damaged: it holds a {type(raw).__name__}, expected an object")
    storage.check_version(raw.get("format"), FORMAT, path)
    file = storage.read_json(path, ModelFile)
    if file.own != file.digest():
        raise ModelFileError(f"{path} is damaged: its values are not those that were written; take it from a backup")
    files = {}
    for name, digest in file.files.items():
        if Path(name).name != name:
            raise ModelFileError(f'{path} is damaged: it names the file "{name}"')
        files[name] = storage.read_bytes(folder / name)
        if hashlib.sha256(files[name]).hexdigest() != digest:
            raise ModelFileError(f"{folder / name} is not the file that config.json was written with")
    return file, files


def read_weights(folder: Path, module: nn.Module, file: ModelFile) -> None:
    """Give the module the weights of the folder, checked against its shapes and the file's hash; in eval mode."""
    expected = {name: (tuple(value.shape), value.dtype) for name, value in module.state_dict().items()}
    weights = storage.read_tensors(folder / "model.safetensors", expected)
    if storage.sha256(folder / "model.safetensors") != file.weights:
        raise ModelFileError(f"{folder}: model.safetensors is not the file that config.json was written with")
    module.load_state_dict(weights)
    module.eval()
