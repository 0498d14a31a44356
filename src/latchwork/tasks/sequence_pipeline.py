"""A fitted classifier or labeller with all it needs from a raw file to answers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from latchwork import storage
from latchwork.cells import GRUD, cell_class
from latchwork.errors import ConfigError, DataError
from latchwork.layers import CRF, Convolution, InputEncoder, Network, Pooling
from latchwork.layers.crf import bio_rules
from latchwork.metrics import Temperature, Threshold
from latchwork.modalities import Images, Records, SourceOptions, Text, read_images, read_records, read_text
from latchwork.modalities.image_read import is_table
from latchwork.modalities.kind import kind_of
from latchwork.modalities.source import without_places
from latchwork.sequences import Encoded, Features, Labelled
from latchwork.tasks.classify import Classify
from latchwork.tasks.label import Label
from latchwork.tasks.reader import Reader
from latchwork.tasks.sequence_job import scores_of
from latchwork.tasks.supervised import convolution
from latchwork.tasks.targets import Targets

Array = NDArray[np.float64]
SequenceTask = Classify | Label
Modality = Text | Records | Images
MODALITIES: dict[str, type[Any]] = {"text": Text, "records": Records, "image": Images}
READERS: dict[str, Any] = {"text": read_text, "records": read_records, "image": read_images}
IMAGE_BLOCKS = ("16x3/2", "32x3/2")
ROWS = 64
RARER = 0.4
"""Share of the first of two classes below which it is the one that is looked for."""


class Answers(NamedTuple):
    """What is said of each sequence.

    labels         class name, tuple of names, number, or tuple of a name for each step
    probabilities  [n, classes] of whole sequences; a list of [steps, classes] for steps; None for a number
    """

    labels: list[Any]
    probabilities: Any


@dataclass
class SequencePipeline:
    """Modality, network and task bound together, fitted.

    temperature  by which scores are divided before they become probabilities
    threshold    from which probability on the positive class of two is said; None: the more probable one is
    """

    modality: Modality
    task: SequenceTask
    network: Network
    targets: Targets
    module: Reader
    temperature: float = 1.0
    threshold: float | None = None
    chosen: Threshold | None = None

    @property
    def name(self) -> str:
        """classify or label."""
        return "classify" if isinstance(self.task, Classify) else "label"

    def fingerprint(self) -> str:
        """A hash of the weights."""
        return storage.sha256(storage.pack_tensors(self.module.state_dict()))

    def read(self, source: Any, *, labelled: bool = False) -> Labelled:
        """A file as it was read for training; labels may be absent, and a file of their own is then not read.

        Scored on, a file that such a file of labels does not know may have its labels in a column itself.
        """
        options, modality = self.task.source, self.modality
        more = {"fitted": modality} if isinstance(modality, Records) else {}
        if isinstance(modality, Images) and not is_table(source):
            options = without_places(options)

        def read(options: SourceOptions) -> Labelled:
            return READERS[modality.kind](source, options, self.name, labelled=labelled, **more)

        if not labelled or options.labels is None:
            return read(options)
        try:
            return read(options)
        except DataError:
            name = options.label or "label"
            if name in options.ignore or (isinstance(modality, Records) and name in modality.columns):
                raise
            try:
                own = read(replace(options, labels=None))
            except DataError:
                own = None
            if own is None or all(label is None for label in own.labels):
                raise
            return own

    def encode(self, labelled: Labelled) -> list[Encoded]:
        """The sequences in numbers, as they were for training."""
        return self.modality.encode(labelled)

    def kept(self, length: int) -> NDArray[np.int64]:
        """The steps that are left of a sequence of so many."""
        return np.arange(length) if isinstance(self.modality, Images) else self.modality.kept(length)

    def cut(self, labelled: Labelled) -> Labelled:
        """Words and labels of the steps that are left of sequences that are too long; see :func:`cut_steps`."""
        return cut_steps(self.modality, labelled) if self.targets.kind == "steps" else labelled

    def truth(self, labelled: Labelled, *, skip: bool = False) -> list[Any]:
        """The labels in numbers, as ``Targets.encode`` gives them: of steps, those that are left."""
        return self.targets.encode(self.cut(labelled), skip=skip)

    def scores(self, encoded: Sequence[Encoded]) -> list[Array]:
        """The network's scores of each sequence: [outputs], or [steps, outputs]."""
        return scores_of(self.module, encoded)

    @cached_property
    def positive(self) -> int | None:
        """The class of two that figures and the threshold are about: as asked, else the rarer one."""
        return positive_of(self.targets, self.task)

    def probabilities(self, scores: Sequence[Array]) -> Any:
        """[n, classes], or for steps a list of [steps, classes]; None for a number."""
        if self.targets.kind == "number":
            return None
        if self.targets.kind == "steps":
            if self.module.crf is not None:
                return self._over_rows(scores, lambda given, ends: self._crf.marginals(given, ends))
            return [self._scale.softmax(one) for one in scores]
        stacked = np.stack(scores) if len(scores) else np.zeros((0, max(1, len(self.targets.classes))))
        scale = self._scale
        return scale.sigmoid(stacked) if self.targets.kind == "labels" else scale.softmax(stacked)

    def decode(self, scores: Sequence[Array]) -> Answers:
        """What is said of each sequence, from its scores."""
        names = self.targets.classes
        sure = self.probabilities(scores)
        match self.targets.kind:
            case "number":
                return Answers([float(one[0]) * self.targets.spread + self.targets.center for one in scores], None)
            case "labels":
                return Answers([tuple(n for n, p in zip(names, row, strict=True) if p >= 0.5) for row in sure], sure)
            case "steps":
                return Answers([tuple(names[code] for code in one) for one in self.paths(scores)], sure)
            case "ordinal":
                return Answers([names[code] for code in median_of(sure)], sure)
        codes = sure.argmax(1)
        if self.threshold is not None and self.positive is not None:
            codes = np.where(sure[:, self.positive] >= self.threshold, self.positive, 1 - self.positive)
        return Answers([names[code] for code in codes], sure)

    def paths(self, scores: Sequence[Array]) -> list[NDArray[np.int64]]:
        """The labels of each sequence's steps, as numbers."""
        if self.module.crf is None:
            return [one.argmax(-1) for one in scores]
        return self._over_rows(scores, lambda given, ends: self._crf.decode(given, ends)[0])

    @property
    def _crf(self) -> CRF:
        assert self.module.crf is not None
        return self.module.crf

    @property
    def _scale(self) -> Temperature:
        return Temperature(self.temperature, math.nan, math.nan)

    def _over_rows(self, scores: Sequence[Array], function: Any) -> list[Any]:
        """A function of padded scores and lengths, on some rows of similar length at a time."""
        device = self._crf.start.device
        found: list[Any] = [None] * len(scores)
        order = np.argsort([len(one) for one in scores], kind="stable")
        for begin in range(0, len(order), ROWS):
            rows = order[begin : begin + ROWS]
            lengths = torch.tensor([len(scores[row]) for row in rows])
            padded = torch.zeros(len(rows), int(lengths.max()), len(self.targets.classes))
            for place, row in enumerate(rows):
                padded[place, : len(scores[row])] = torch.from_numpy(scores[row])
            answer = function(padded.to(device), lengths.to(device)).cpu().numpy()
            for place, row in enumerate(rows):
                found[row] = answer[place, : len(scores[row])]
        return found

    def predict(self, labelled: Labelled) -> Answers:
        """Read to answered."""
        return self.decode(self.scores(self.encode(labelled)))


def median_of(sure: Array) -> NDArray[np.int64]:
    """[n] of classes in their order the one that the middle of the probabilities [n, classes] lies in."""
    return (np.cumsum(sure, 1) < 0.5).sum(1).clip(max=sure.shape[1] - 1)


def cut_steps(modality: Modality, labelled: Labelled) -> Labelled:
    """Words and labels of the same steps that the modality leaves of a sequence (``max_length``, ``keep``)."""
    if isinstance(modality, Images):
        return labelled

    def cut(steps: Any) -> Any:
        return None if steps is None else tuple(steps[step] for step in modality.kept(len(steps)))

    content = tuple(map(cut, labelled.content)) if isinstance(modality, Text) else labelled.content
    return replace(labelled, content=content, labels=tuple(map(cut, labelled.labels)))


def positive_of(targets: Targets, task: SequenceTask) -> int | None:
    """The class of two that figures are about: as asked, else the rarer one in training, or the second of two that are
    about as common.
    """
    if targets.kind != "class" or not isinstance(task, Classify):
        return None
    if task.positive is not None:
        if task.positive not in targets.classes:
            raise ConfigError(
                f'positive is "{task.positive}", expected one of the classes {", ".join(targets.classes)}'
            )
        return targets.classes.index(task.positive)
    if len(targets.classes) != 2:
        return None
    return 0 if targets.counts[0] < RARER * sum(targets.counts) else 1


def kind_of_source(source: Any, task: SequenceTask) -> str:
    """text, records or image, by what the options and the file say."""
    if task.text is not None or isinstance(source, (list, tuple)):
        return "text"
    if task.variable is not None or task.columns:
        return "records"
    named = (task.label, task.id, task.group, task.time, task.split, *task.static, *task.ignore)
    kind = kind_of(source, {name for name in named if name is not None})
    # An id has texts too, but then their column is named; a table of paths of images needs no other option.
    return "records" if task.id is not None and kind != "image" else kind


def build(
    task: SequenceTask,
    features: Features,
    targets: Targets,
    network: Network,
    vectors: torch.Tensor | None,
    body: Any = None,
) -> Reader:
    """The network of a task, not trained. ``body``: what takes the place of the recurrent layers, by their input's
    width.
    """
    texts = features.vocabulary > 0
    blocks = task.convolutions
    if blocks is None:
        blocks = IMAGE_BLOCKS if features.image is not None else ()
    convolutions: tuple[Convolution, ...] = tuple(convolution(one) for one in blocks)
    if task.causal and not blocks:
        raise ConfigError("causal is for convolutions, and there are none; give some, or leave it out")
    assert network.cell is not None
    assert network.dropout is not None
    decays = issubclass(cell_class(network.cell), GRUD)
    encoder = InputEncoder(
        features,
        embedding=task.embedding,
        vectors=vectors,
        freeze=task.freeze,
        convolutions=convolutions,
        causal=task.causal,
        decays=decays,
        embedding_dropout=task.embedding_dropout or 0.0,
        dropout=(network.dropout if texts else 0.0) if task.input_dropout is None else task.input_dropout,
    )
    layers = network.build(encoder.width) if body is None else body(encoder.width)
    pooling = None
    if isinstance(task, Classify):
        width = layers.output_size
        both = body is None and bool(network.bidirectional)
        pooling = Pooling(task.pooling or "max", width, backward=width // 2 if both else 0)
    crf = None
    if has_crf(task, targets):
        ruled = targets.spans and targets.strict
        crf = CRF(len(targets.classes), allowed=bio_rules(targets.classes) if ruled else None)
    ordered = len(targets.classes) if targets.kind == "ordinal" else 0
    return Reader(encoder, layers, pooling, targets.outputs, dropout=network.dropout, ordered=ordered, crf=crf)


def has_crf(task: SequenceTask, targets: Targets) -> bool:
    """Whether labels of a sequence are scored as a whole: as asked, else for spans."""
    return isinstance(task, Label) and (targets.spans if task.crf is None else task.crf)


FOR_KINDS: dict[str, tuple[str, ...]] = {
    "text": ("tokenizer", "vocabulary_size", "lowercase", "vectors", "characters", "embedding", "embedding_dropout"),
    "records": ("columns", "static", "variable", "value", "missing", "period"),
    "image": ("image_size",),
    "text or records": ("max_length",),
}


def check_options(task: SequenceTask, features: Features, targets: Targets) -> None:
    """Raise :class:`ConfigError` for an option that these sequences, or these labels, have no use for."""
    kind = "text" if features.vocabulary else "records" if features.image is None else "image"
    usual = {one.name: one.default for one in fields(task)}
    for wanted, names in FOR_KINDS.items():
        for name in names:
            if kind not in wanted and getattr(task, name) != usual[name]:
                raise ConfigError(f"{name} is for {wanted}, and this is {kind}; leave it out")
    if task.vectors is not None and task.embedding != usual["embedding"]:
        raise ConfigError(f"embedding is {task.embedding}, and vectors= says how many numbers a word has; "
                          "leave one of them out")  # fmt: skip
    if not isinstance(task, Classify):
        if task.class_weight == "balanced" and has_crf(task, targets):
            raise ConfigError("class_weight is for the loss of single steps, and spans are scored as a whole; "
                              "leave it out, or give crf=false")  # fmt: skip
        if kind == "records" and task.keep != "start":
            raise ConfigError(f'keep is "{task.keep}", and labelled records are cut into pieces that all stay')
        return
    if targets.kind not in ("class", "ordinal"):
        for name in ("focal", "label_smoothing", "class_weight"):
            if getattr(task, name) != usual[name]:
                raise ConfigError(f"{name} is for one class of several, and the labels are of the kind {targets.kind}")
    if task.positive is not None and targets.kind != "class":
        raise ConfigError(f"positive is for classes, and the labels are of the kind {targets.kind}")
    if task.wanted is not None and (targets.kind != "class" or len(targets.classes) != 2):
        found = f"there are {len(targets.classes)}" if targets.classes else "the labels are numbers"
        raise ConfigError(f"an aim or a cost is for two classes, and {found}")


def resolved(task: SequenceTask, features: Features, targets: Targets) -> SequenceTask:
    """The task with what was left open decided by the data. Raises :class:`ConfigError`, see :func:`check_options`."""
    check_options(task, features, targets)
    if not isinstance(task, Classify):
        return task
    positive_of(targets, task)  # a class of that name must be there
    if task.pooling is None:
        task = replace(task, pooling="last" if features.masked else "max")
    if task.sampling == "balanced" and targets.kind not in ("class", "ordinal"):
        raise DataError("sampling=balanced is for sequences of one class each")
    return task
