"""A classifier or labeller in a folder: config.json, model.safetensors, and the modality's own files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from latchwork.cells import Cell
from latchwork.errors import DataError, ModelFileError
from latchwork.layers import Network
from latchwork.tasks.model_file import SealedFile, read_model, read_weights, save_model
from latchwork.tasks.saved import plain, task_from
from latchwork.tasks.sequence_pipeline import MODALITIES, SequencePipeline, build
from latchwork.tasks.targets import Targets


class SequenceFile(SealedFile):
    """config.json of a classifier or labeller."""

    kind: str
    modality: dict[str, Any]
    targets: dict[str, Any]
    temperature: float
    threshold: float | None
    embedding: int


def save_sequences(pipeline: SequencePipeline, folder: Path, version: str) -> None:
    """Write the model's folder."""
    embedding = getattr(pipeline.module.encoder, "embedding", None)
    save_model(
        folder,
        pipeline.module,
        SequenceFile,
        version=version,
        task={"name": pipeline.name, **plain(pipeline.task)},
        network=pipeline.network.to_dict(),
        files=pipeline.modality.files(),
        kind=pipeline.modality.kind,
        modality=pipeline.modality.to_dict(),
        targets=pipeline.targets.to_dict(),
        temperature=pipeline.temperature,
        threshold=pipeline.threshold,
        embedding=pipeline.task.embedding if embedding is None else embedding.embedding_dim,
    )


def load_sequences(folder: Path, cells: Mapping[str, type[Cell]] | None = None) -> SequencePipeline:
    """Read and check it. A cell of one's own is named in ``cells``: code is never read from a file."""
    path = folder / "config.json"
    file, files = read_model(folder, SequenceFile)
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
    read_weights(folder, module, file)
    if not file.temperature > 0:
        raise ModelFileError(f"{path} is damaged: the temperature is {file.temperature}")
    return SequencePipeline(modality, task, network, targets, module, file.temperature, file.threshold)
