"""Start from a language model: classifiers and labellers read with what it learnt, translators say with it."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from latchwork import storage
from latchwork.errors import ConfigError
from latchwork.layers import Network
from latchwork.modalities import Text
from latchwork.modalities.text_extend import extended
from latchwork.modalities.text_from import text_from
from latchwork.sequences import PAD, Labelled, Split
from latchwork.tasks import LanguagePipeline, SequenceTask, Translate, TranslateSetup
from latchwork.training.fit import FittedSetup, fit_setup
from latchwork.training.options import Training
from latchwork.training.takeover import Row, Takeover, frozen
from latchwork.training.transfer_options import Transfer

FIRST = "layers.layers.0.cell.input."
"""The product of what the decoder's first layer reads: the word's vector, and with input feeding what it looked at."""


def from_language(
    start: LanguagePipeline, task: SequenceTask, kind: str, labelled: Labelled, split: Split, *, extend: bool
) -> tuple[SequenceTask, Text, dict[str, Tensor]]:
    """(the task that reads as the language model does, its modality, the weights by the names they get)."""
    if kind != "text":
        raise ConfigError(f"a language model reads texts, and this is {kind}; train without it")
    for name in ("vectors", "characters", "convolutions"):
        if getattr(task, name):
            raise ConfigError(f"{name} changes what the layers read, and a language model's read tokens; leave it out")
    vocabulary = start.vocabulary
    unit: Any = {"given": "word"}.get(vocabulary.unit, vocabulary.unit)
    vectors = start.module.embedding.weight.detach()
    task = replace(task, tokenizer=unit, lowercase=vocabulary.lowercase, embedding=vectors.shape[1], characters=False)
    modality, numbers = text_from(vocabulary, labelled, split.train, task.source)
    taken = vectors[torch.from_numpy(numbers)].clone()
    taken[PAD] = 0.0
    layers = {f"body.{name}": one for name, one in start.module.layers.state_dict().items()}
    if extend:
        modality = extended(modality, labelled, split.train, limit=task.vocabulary_size)
    return task, modality, {"encoder.embedding.weight": taken, **layers}


def finetune_translation(
    start: LanguagePipeline,
    task: Translate,
    labelled: Labelled,
    network: Network,
    training: Training | None = None,
    transfer: Transfer | None = None,
    *,
    source: str = "the model",
    folder: Path | None = None,
    show: Callable[[Takeover], None] | None = None,
    **shared: Any,
) -> tuple[FittedSetup[TranslateSetup], Takeover]:
    """Train a translator whose decoder begins as the language model: with its vocabulary, its vectors, its layers and,
    where tied, its scores of words. All that looks at the source is new. network: of the language model's shape.

    Source: Ramachandran, Liu & Le 2017, arXiv:1611.02683 (there the encoder too).
    """
    transfer, options = transfer or Transfer(), training or Training()
    usual = Transfer()
    for name in ("unfreeze", "layer_decay", "vocabulary", "recurrent"):
        if getattr(transfer, name) != getattr(usual, name):
            raise ConfigError(f"{name} is for classifiers and labellers that start from a model; leave it out here")
    width = start.module.embedding.embedding_dim
    task = replace(task, embedding=width, target_tokenizer=start.vocabulary.unit)
    setup = TranslateSetup.of(task, labelled, network, seed=options.seed, target=start.vocabulary)
    options = options.resolved(**setup.defaults()).completed()
    state = start.module.state_dict()

    @contextlib.contextmanager
    def begun(module: nn.Module) -> Iterator[tuple[()]]:
        decoder: Any = module.get_submodule("decoder")
        _say_as(decoder, start)
        with frozen(module, transfer.freeze):
            yield ()

    with begun(setup.pipeline.module):
        taken = _say_as(setup.pipeline.module.get_submodule("decoder"), start)
    whole = sum(one.numel() for one in setup.pipeline.module.parameters())
    left = sum(one.numel() for one in start.module.parameters()) - taken
    rows = (Row("decoder", taken, whole - taken, max(0, left)),)
    takeover = Takeover(source, rows, ("the decoder begins as the language model; all that reads the source is new",))
    if show is not None:
        show(takeover)
    identity = {"transfer": asdict(transfer), "start": storage.sha256(storage.pack_tensors(state))}
    return fit_setup(setup, options, folder=folder, config=identity, begin=begun, **shared), takeover


@torch.no_grad()
def _say_as(decoder: nn.Module, start: LanguagePipeline) -> int:
    """Copy what the decoder has of a language model; returns how many weights that were."""
    known = start.module.state_dict()
    tied = start.module.tied and start.module.projection is None
    taken, seen = 0, set()
    for name, own in decoder.state_dict().items():
        wanted = name.startswith(("embedding.", "layers.")) or (tied and name == "output.bias")
        given = known.get(name)
        if not wanted or given is None or own.data_ptr() in seen:
            continue
        seen.add(own.data_ptr())
        if own.shape != given.shape:
            if not name.startswith(FIRST) or own.shape[0] != given.shape[0]:
                raise ConfigError(
                    f"the decoder's {name} has shape {tuple(own.shape)}, the language model's {tuple(given.shape)}; "
                    "leave cell, hidden_size, layers and embedding out: they are the language model's"
                )
            own = own[:, : given.shape[1]]
        own.copy_(given)
        taken += given.numel()
    return taken
