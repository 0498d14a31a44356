"""A translator in a folder: config.json, model.safetensors, and the vocabularies of both sides."""

from collections.abc import Mapping
from pathlib import Path

from latchwork.cells import Cell
from latchwork.errors import DataError, ModelFileError
from latchwork.layers import Network
from latchwork.modalities import Vocabulary
from latchwork.tasks.model_file import ModelFile, read_model, read_weights, save_model
from latchwork.tasks.saved import plain, task_from
from latchwork.tasks.translate import Translate
from latchwork.tasks.translate_pipeline import SOURCES, TranslatePipeline, build_translator

TARGET = "target.json"


def save_translator(pipeline: TranslatePipeline, folder: Path, version: str) -> None:
    """Write the model's folder."""
    save_model(
        folder,
        pipeline.module,
        ModelFile,
        version=version,
        task={"name": pipeline.name, **plain(pipeline.task)},
        network=pipeline.network.to_dict(),
        files={**pipeline.source.files(), **pipeline.target.files(TARGET)},
        parts={
            "kind": pipeline.source.kind,
            "source": pipeline.source.to_dict(),
            "target": pipeline.target.to_dict(),
            "ratio": pipeline.ratio,
        },
    )


def load_translator(folder: Path, cells: Mapping[str, type[Cell]] | None = None) -> TranslatePipeline:
    """Read and check it. A cell of one's own is named in ``cells``: code is never read from a file."""
    file, files = read_model(folder, ModelFile)
    try:
        task = task_from(file.task)
        if not isinstance(task, Translate):
            raise ModelFileError(f"{folder} holds a model of another task")
        network = Network.from_dict(file.network, cells=cells)
        source = SOURCES[file.parts["kind"]].from_dict(file.parts["source"], files)
        target = Vocabulary.from_dict(file.parts["target"], files, TARGET)
        ratio = float(file.parts["ratio"])
        if not 0 <= ratio < 1e6:
            raise ModelFileError(f"{folder} is damaged: it gives {ratio} tokens for a step of the source")
        module = build_translator(task, source.features, len(target), network)
    except (DataError, KeyError, TypeError, ValueError, AssertionError) as error:
        raise ModelFileError(f"{folder} is damaged: {error}; train the model anew or take it from a backup") from error
    read_weights(folder, module, file)
    return TranslatePipeline(source, target, task, network, module, ratio)
