"""A classifier or labeller in a folder: config.json, model.safetensors, and the modality's own files."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict

from latchwork import storage
from latchwork.cells import Cell
from latchwork.errors import DataError, ModelFileError
from latchwork.layers import Network
from latchwork.tasks.saved import plain, task_from
from latchwork.tasks.sequence_pipeline import MODALITIES, SequencePipeline, build
from latchwork.tasks.targets import Targets

FORMAT = 1


class SequenceFile(BaseModel):
    """config.json of a classifier or labeller. files: the hash of each of the modality's. own: that of all the rest of
    the file, see :meth:`digest`.
    """

    model_config = ConfigDict(extra="forbid")

    format: int
    latchwork: str
    task: dict[str, Any]
    network: dict[str, Any]
    kind: str
    modality: dict[str, Any]
    files: dict[str, str]
    targets: dict[str, Any]
    temperature: float
    threshold: float | None
    embedding: int
    weights: str
    own: str = ""

    def digest(self) -> str:
        """A hash of every value but ``own``: a digit that changed on the disk gives no error of its own."""
        values = json.dumps(self.model_dump(mode="json", exclude={"own"}), sort_keys=True)
        return hashlib.sha256(values.encode()).hexdigest()


def save_sequences(pipeline: SequencePipeline, folder: Path, version: str) -> None:
    """Write the files, whole or not at all; config.json names the hashes of those it belongs to."""
    weights = storage.pack_tensors(pipeline.module.state_dict())
    storage.write_bytes(folder / "model.safetensors", weights)
    files = pipeline.modality.files()
    for name, data in files.items():
        storage.write_bytes(folder / name, data)
    embedding = getattr(pipeline.module.encoder, "embedding", None)
    file = SequenceFile(
        format=FORMAT,
        latchwork=version,
        task={"name": pipeline.name, **plain(pipeline.task)},
        network=pipeline.network.to_dict(),
        kind=pipeline.modality.kind,
        modality=pipeline.modality.to_dict(),
        files={name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
        targets=pipeline.targets.to_dict(),
        temperature=pipeline.temperature,
        threshold=pipeline.threshold,
        embedding=pipeline.task.embedding if embedding is None else embedding.embedding_dim,
        weights=storage.sha256(weights),
    )
    storage.write_json(folder / "config.json", file.model_copy(update={"own": file.digest()}))


def load_sequences(folder: Path, cells: Mapping[str, type[Cell]] | None = None) -> SequencePipeline:
    """Read and check them. A cell of one's own is named in ``cells``: code is never read from a file."""
    path = folder / "config.json"
    raw = storage.read_json(path)
    if not isinstance(raw, dict):
        raise ModelFileError(f"{path} is damaged: it holds a {type(raw).__name__}, expected an object")
    storage.check_version(raw.get("format"), FORMAT, path)
    file = storage.read_json(path, SequenceFile)
    if file.own != file.digest():
        raise ModelFileError(f"{path} is damaged: its values are not those that were written; take it from a backup")
    files = {}
    for name, digest in file.files.items():
        if Path(name).name != name:
            raise ModelFileError(f'{path} is damaged: it names the file "{name}"')
        files[name] = storage.read_bytes(folder / name)
        if hashlib.sha256(files[name]).hexdigest() != digest:
            raise ModelFileError(f"{folder / name} is not the file that config.json was written with")
    try:
        if file.kind not in MODALITIES:
            raise ModelFileError(f'{path} is damaged: it names the kind "{file.kind}"')
        task = task_from(file.task)
        network = Network.from_dict(file.network, cells=cells)
        modality = MODALITIES[file.kind].from_dict(file.modality, files)
        targets = Targets.from_dict(file.targets)
        vectors = torch.zeros(modality.features.vocabulary, file.embedding) if modality.features.vocabulary else None
        module = build(task, modality.features, targets, network, vectors)
    except (DataError, KeyError, TypeError, ValueError) as error:
        raise ModelFileError(f"{path} is damaged: {error}; train the model anew or take it from a backup") from error
    expected = {name: (tuple(value.shape), value.dtype) for name, value in module.state_dict().items()}
    weights = storage.read_tensors(folder / "model.safetensors", expected)
    if storage.sha256(folder / "model.safetensors") != file.weights:
        raise ModelFileError(f"{folder}: model.safetensors is not the file that config.json was written with")
    if not file.temperature > 0:
        raise ModelFileError(f"{path} is damaged: the temperature is {file.temperature}")
    module.load_state_dict(weights)
    module.eval()
    return SequencePipeline(modality, task, network, targets, module, file.temperature, file.threshold)
