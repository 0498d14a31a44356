"""Start from what was trained before: a model of latchwork, or the recurrent layers of another library."""

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from latchwork import storage
from latchwork.errors import ConfigError
from latchwork.layers import Network
from latchwork.modalities import Text
from latchwork.modalities.text_extend import extended
from latchwork.modalities.text_tokens import UNKNOWN
from latchwork.sequences import Labelled, Split
from latchwork.tasks import (
    Classify,
    LanguagePipeline,
    SequencePipeline,
    SequenceSetup,
    SequenceTask,
    Targets,
    split_of,
)
from latchwork.training.fit import FittedSequences, fit_setup
from latchwork.training.foreign import Foreign
from latchwork.training.options import Training
from latchwork.training.schedule import Group
from latchwork.training.takeover import HEAD, Row, Takeover, frozen, planned, take
from latchwork.training.transfer_language import from_language
from latchwork.training.transfer_options import Transfer

KEPT = ("embedding", "convolutions", "causal", "tokenizer", "lowercase", "characters", "max_length", "keep",
        "vectors", "image_size")  # fmt: skip
"""Options of the task that are the trained model's: they say how a sequence is read, or what shape the encoder has."""

FREE = ("dropout", "recurrent_dropout", "zoneout", "weight_drop", "forget_bias", "kernel")
"""Options of the network that leave the weights what they mean."""


@dataclass
class Tuned:
    """What fine-tuning leaves. before: the model as it was, where it answers the same question; else None."""

    fitted: FittedSequences
    takeover: Takeover
    before: SequencePipeline | None


def inherited(task: SequenceTask) -> SequenceTask:
    """A trained model's task for other data: without the files that belonged to its own."""
    return replace(task, validation=None, test=None, labels=None)


def finetune_sequences(
    start: SequencePipeline | LanguagePipeline | Foreign,
    task: SequenceTask,
    kind: str,
    labelled: Labelled,
    network: Network | None = None,
    training: Training | None = None,
    transfer: Transfer | None = None,
    *,
    source: str = "the model",
    split: Split | None = None,
    folder: Path | None = None,
    show: Callable[[Takeover], None] | None = None,
    **shared: Any,
) -> Tuned:
    """Train ``task`` on ``labelled``, from ``start`` on.

    * A model: its modality is kept (or its vocabulary extended), its weights are taken over. The head too where all
      labels of the training part are among the model's own; else it is new.
    * A language model: texts are read with its vocabulary; its vectors of tokens and its recurrent layers are taken
      over, the head is new.
    * Layers of another library: they are the recurrent layers, all else is new.

    source: what the start is called. show: told what was taken over, before training. shared: resume, callbacks,
    resume_hint, as in :func:`latchwork.training.train`; a resumed run must have the same start and transfer.

    Raises :class:`ConfigError` where task or network contradict the start.
    """
    transfer, options = transfer or Transfer(), training or Training()
    split = split_of(task, labelled, seed=options.seed) if split is None else split
    fixed: dict[str, Any] = {"seed": options.seed, "split": split}
    before, anew, notes = None, (), []
    if isinstance(start, Foreign):
        if transfer.vocabulary != "keep":
            raise ConfigError("vocabulary=extend is for a model of latchwork: a weights file has no vocabulary")
        setup = SequenceSetup.of(task, kind, labelled, start.network(network), **fixed)
        state = {f"body.{name}": one for name, one in start.state().items()}
        _check_width(start, setup)
        notes += start.notes
    elif isinstance(start, LanguagePipeline):
        task, modality, state = from_language(
            start, task, kind, labelled, split, extend=transfer.vocabulary == "extend"
        )
        own = shaped(network, replace(start.network, dropout=None))
        setup = SequenceSetup.of(task, kind, labelled, own, modality=modality, **fixed)
        anew = (HEAD,)
        notes += [
            *_read_note(len(state["encoder.embedding.weight"]), setup),
            "the head is new: a language model has none for labels",
        ]
    else:
        task = _agreed(task, start)
        targets, same = _targets(start.targets, task, labelled, split)
        task, about = _aimed(task, start, targets)
        notes += about
        modality = _modality(start, task, labelled, split, transfer)
        own = shaped(network, start.network)
        setup = SequenceSetup.of(task, kind, labelled, own, modality=modality, targets=targets, **fixed)
        state = start.module.state_dict()
        before, anew = (start, ()) if same else (None, (HEAD,))
        notes += [*_read_note(start.modality.features.vocabulary, setup), *_label_note(start.targets, targets, same)]
    options = options.resolved(**setup.defaults()).completed()
    epoch = math.ceil(len(setup.part(split.train)[0]) / (options.batch_size or 1))
    table: list[Row] = []

    @contextlib.contextmanager
    def begun(module: nn.Module) -> Iterator[list[Group]]:
        rows = take(module, state, source, anew=anew)
        with frozen(module, transfer.freeze):
            gradual = transfer.unfreeze == "gradual"
            table[:], groups = planned(module, rows, layer_decay=transfer.layer_decay, epoch=epoch, gradual=gradual)
            yield groups

    with begun(setup.pipeline.module):
        for row in table:
            if row.part == "encoder" and row.new and row.taken and (row.start or row.rate < 1):
                notes.append(
                    f"the vectors of new words learn as those of the known ones do: {row.learns}; "
                    "layer_decay=1 and unfreeze=all for the full rate"
                )
            if row.start >= (options.steps or 0) and row.frozen < row.taken:
                notes.append(f"training ends after {options.steps:,} steps, before {row.part} learns: give more steps")
    if isinstance(start, Foreign) and start.left_out:
        table.append(Row("(else in the file)", 0, 0, start.left_out))
    takeover = Takeover(source, tuple(table), tuple(notes))
    if show is not None:
        show(takeover)
    identity = {"transfer": asdict(transfer), "start": storage.sha256(storage.pack_tensors(state))}
    fitted = fit_setup(setup, options, folder=folder, config=identity, begin=begun, **shared)
    return Tuned(fitted, takeover, before)


def _agreed(task: SequenceTask, start: SequencePipeline) -> SequenceTask:
    """The task, with what it leaves open as the model has it; raises ConfigError where it reads otherwise."""
    task = replace(task, **{name: getattr(start.task, name) for name in KEPT if getattr(task, name) is None})
    for name in KEPT:
        given, own = getattr(task, name), getattr(start.task, name)
        if given != own:
            raise ConfigError(
                f"{name} is {given!r}, and the model was trained with {own!r}; leave it: a model reads as it learnt to "
                "(in Python, take its own task: dataclasses.replace(model.pipeline.task, …))"
            )
    embedding = getattr(start.module.encoder, "embedding", None)
    return task if embedding is None else replace(task, embedding=embedding.embedding_dim)


def _aimed(task: SequenceTask, start: SequencePipeline, targets: Targets) -> tuple[SequenceTask, list[str]]:
    """(the task without the model's own aim and positive class where they are about other labels; what was left out)"""
    own = start.task
    if not isinstance(task, Classify) or not isinstance(own, Classify):
        return task, []
    notes: list[str] = []
    wanted = own.aim if own.aim is not None else own.cost
    if wanted is not None and task.wanted is None:
        notes.append(f"the model's aim, {wanted}, is left out")
    two = targets.kind == "class" and len(targets.classes) == 2
    if task.wanted is not None and (task.aim, task.cost) == (own.aim, own.cost) and not two:
        what = f"these are {len(targets.classes)}" if targets.kind == "class" else f"these are of {targets.kind}"
        notes.append(f"the model's aim, {wanted}, is left out: it is for two classes, and {what}")
        task = replace(task, aim=None, cost=None, bound="none", aim_folds=0)
    if task.positive is not None and task.positive == own.positive and task.positive not in targets.classes:
        notes.append(f'the model\'s positive class, "{task.positive}", is not among these labels and is left out')
        task = replace(task, positive=None)
    return task, notes


def shaped(given: Network | None, own: Network) -> Network:
    """The trained network's options, with what a new one may say of dropout and kernels; raises ConfigError where it
    says something else of the weights.
    """
    if given is None:
        return own
    resolved = own.resolved()
    for one in fields(Network):
        value = getattr(given, one.name)
        if one.name not in FREE and value is not None and value != getattr(resolved, one.name):
            raise ConfigError(
                f"{one.name} of the network is {value!r}, and the model has {getattr(resolved, one.name)!r}; "
                f"only {', '.join(FREE)} may differ"
            )
    changed = {name: getattr(given, name) for name in FREE if getattr(given, name) is not None}
    return replace(own, **changed)


def _modality(start: SequencePipeline, task: SequenceTask, labelled: Labelled, split: Split, transfer: Transfer) -> Any:
    modality = start.modality
    if transfer.vocabulary == "keep":
        return modality
    if not isinstance(modality, Text):
        raise ConfigError(f"vocabulary=extend is for texts, and the model reads {modality.kind}")
    return extended(modality, labelled, split.train, limit=task.vocabulary_size)


def _targets(own: Targets, task: SequenceTask, labelled: Labelled, split: Split) -> tuple[Targets, bool]:
    """(the labels as numbers; whether they are the model's own, so that its head says the same)."""
    if isinstance(task, Classify):
        asked = own.kind if task.target == "auto" and own.kind not in ("class", "steps") else task.target
        found = Targets.fit(labelled, split.train, asked)
    else:
        found = Targets.fit(labelled, split.train, "steps", task.spans)
    if found.kind != own.kind or found.spans != own.spans or not set(found.classes) <= set(own.classes):
        return found, False
    counts = dict(zip(found.classes, found.counts, strict=True))
    return replace(own, counts=tuple(counts.get(name, 0) for name in own.classes),
                   strict=own.strict and found.strict), True  # fmt: skip


def _label_note(own: Targets, targets: Targets, same: bool) -> list[str]:
    if same and targets.kind == "number":
        return [f"numbers count from {own.center:.4g} in units of {own.spread:.4g}, as in the model's own training"]
    if same:
        absent = [name for name, count in zip(targets.classes, targets.counts, strict=True) if not count]
        return [f"the head is kept, labels it knows and nobody has here: {_few(absent)}"] if absent else []
    shown = [f"{_few(list(one.classes))} ({one.kind})" if one.classes else "a number" for one in (targets, own)]
    return [f"the head is new: asked for is {shown[0]}, and the model knows {shown[1]}"]


def _few(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _read_note(known: int, setup: SequenceSetup) -> list[str]:
    """What is kept of how sequences are read, and what of the new ones that can't tell apart. known: tokens."""
    modality = setup.pipeline.modality
    if not isinstance(modality, Text):
        what = "size, mean and deviation of images" if modality.kind == "image" else "scales and categories of columns"
        return [f"{what} are kept as the model had them"]
    tokens = [setup.encoded[row].tokens for row in setup.split.train]
    read = np.concatenate([one for one in tokens if one is not None])
    unknown = f"{(read == UNKNOWN).mean():.1%} of what is read is unknown"
    added = modality.settings.vocabulary - known
    if added:
        return [f"the vocabulary is extended: {added:,} new words beside those of the model; {unknown} now"]
    hint = "; vocabulary=extend learns new words" if modality.settings.unit not in ("bpe", "unigram") else ""
    return [f"the vocabulary is kept: {unknown} in the new training texts{hint}"]


def _check_width(start: Foreign, setup: SequenceSetup) -> None:
    width = setup.pipeline.module.encoder.width
    if width != start.input_size:
        plain = setup.pipeline.modality.kind == "text" and not setup.pipeline.modality.features.characters
        remedy = f"give embedding={start.input_size}" if plain else "bring the data to that width"
        raise ConfigError(
            f"the layers of {start.name} read {start.input_size} numbers a step, and there are {width}: {remedy}"
        )
