"""A pipeline in a folder: config.json and model.safetensors, all that loading needs."""

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from latchwork import storage
from latchwork.cells import Cell
from latchwork.errors import ConfigError, DataError, ModelFileError, did_you_mean
from latchwork.layers import Network
from latchwork.metrics import Conformal
from latchwork.modalities import Table
from latchwork.sequences import flatten, unflatten
from latchwork.tasks.forecast import Forecast
from latchwork.tasks.forecast_plan import Plan
from latchwork.tasks.model_file import ConfigFile, read_config, read_weights, write_weights
from latchwork.tasks.pipeline import Pipeline

MISSING = "?missing"


class PipelineFile(ConfigFile):
    """config.json of a forecaster."""

    modality: dict[str, Any]
    plan: dict[str, Any]
    conformal: dict[str, Any] | None
    scales: dict[str, list[list[float]]]


def save_pipeline(pipeline: Pipeline, folder: Path, version: str) -> None:
    """Write the two files, whole or not at all; config.json names the hash of the weights it belongs to."""
    weights = write_weights(folder, pipeline.forecaster)
    conformal = pipeline.conformal
    storage.write_json(
        folder / "config.json",
        PipelineFile(
            format=PipelineFile.FORMAT,
            latchwork=version,
            task={"name": "forecast", **asdict(pipeline.task)},
            network=pipeline.network.to_dict(),
            modality=pipeline.modality.to_dict(),
            plan=pipeline.plan.to_mapping(),
            conformal=None if conformal is None else conformal.to_dict(),
            scales=pipeline.scales,
            weights=weights,
        ),
    )


def load_pipeline(folder: Path, cells: Mapping[str, type[Cell]] | None = None) -> Pipeline:
    """Read and check the two files. A cell of one's own is named in ``cells``: code is never read from a file."""
    path = folder / "config.json"
    if not path.is_file():
        raise ModelFileError(f"{folder} holds no model: config.json is not there; give the folder of a finished run")
    file = read_config(path, PipelineFile)
    try:
        task = forecast_from(file.task)
        network = Network.from_dict(file.network, cells=cells)
        table = Table.from_dict(file.modality)
        plan = Plan.from_mapping(file.plan)
        conformal = None if file.conformal is None else Conformal.from_dict(file.conformal)
        forecaster = plan.build(task, network)
    except (DataError, KeyError, TypeError) as error:
        raise ModelFileError(f"{path} is damaged: {error}; train the model anew or take it from a backup") from error
    read_weights(folder, forecaster, file)
    return Pipeline(table, task, network, plan, forecaster, conformal, file.scales)


def forecast_from(options: Mapping[str, Any]) -> Forecast:
    """The task from plain values; an unknown name is a ConfigError that says which was meant."""
    known = {one.name for one in fields(Forecast)}
    values = {name: value for name, value in options.items() if name != "name"}
    for name in values:
        if name not in known:
            raise ConfigError(f'forecast has no option "{name}"{did_you_mean(name, known)}')
    try:
        return TypeAdapter(Forecast).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"forecast option {'.'.join(map(str, first['loc']))}: {first['msg'].lower()}") from None


def pack_state(state: Any, facts: Mapping[str, Any]) -> bytes:
    """A state as safetensors bytes, with facts that JSON can hold; the same state gives the same bytes.

    Missing values are written as 0 beside a mask, so that a file holds finite numbers only.
    """
    leaves: dict[str, Tensor] = {}
    for name, leaf in flatten(state).items():
        missing = leaf.isnan()
        leaves[name] = leaf.nan_to_num() if missing.any() else leaf
        if missing.any():
            leaves[name + MISSING] = missing
    return storage.pack_tensors(leaves, {"facts": json.dumps(facts)})  # one key: safetensors keeps no order among them


def unpack_state(data: bytes, source: str, like: Any) -> tuple[Any, dict[str, Any]]:
    """The inverse of :func:`pack_state`, checked against a state of the same pipeline: (state, facts)."""
    tensors, metadata = storage.unpack_tensors(data, source)
    leaves: dict[str, Tensor] = {}
    for name, leaf in tensors.items():
        if not name.endswith(MISSING):
            mask = tensors.get(name + MISSING)
            leaves[name] = leaf if mask is None else torch.where(mask, torch.nan, leaf)
    try:
        facts = json.loads(metadata["facts"])
    except (KeyError, ValueError) as error:
        raise ModelFileError(f"{source} is damaged: it does not say what state it holds ({error})") from error
    return unflatten(like, leaves), facts
