"""A fitted classifier or labeller with all it needs from a raw file to answers."""

import gzip
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
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
from latchwork.modalities import Images, Records, Text, read_images, read_records, read_text
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
        """A file as it was read for training; labels may be absent."""
        return READERS[self.modality.kind](source, self.task.source, self.name, labelled=labelled)

    def encode(self, labelled: Labelled) -> list[Encoded]:
        """The sequences in numbers, as they were for training."""
        return self.modality.encode(labelled)

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
                middle = (np.cumsum(sure, 1) < 0.5).sum(1).clip(max=len(names) - 1)
                return Answers([names[code] for code in middle], sure)
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


def positive_of(targets: Targets, task: SequenceTask) -> int | None:
    """The class of two that figures are about: as asked, else the rarer one in training."""
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
    return int(targets.counts[1] <= targets.counts[0])


def kind_of_source(source: Any, task: SequenceTask) -> str:
    """text, records or image, by what the options and the file say."""
    if task.text is not None or isinstance(source, (list, tuple)):
        return "text"
    if task.id is not None or task.variable is not None or task.columns:
        return "records"
    if not isinstance(source, (str, Path)):
        names = [str(name).lower() for name in getattr(source, "columns", ())]
        return "text" if "text" in names or "tokens" in names else "records"
    path = Path(source)
    lower = path.name.lower().removesuffix(".gz")
    if lower.endswith(".npz") or (path.is_dir() and _has_images(path)):
        return "image"
    if lower.endswith((".png", ".jpg", ".jpeg")):
        return "image"
    if lower.endswith((".ts", ".arff", ".tar", ".tar.xz", ".tar.bz2")) or path.is_dir():
        return "records"
    if lower.endswith((".conll", ".conllu", ".bio", ".iob")) or ".zip/" in str(source):
        return "text"
    return "text" if _names_text(path) else "records"


def _has_images(folder: Path) -> bool:
    return any(path.suffix.lower() in (".png", ".jpg", ".jpeg") for path in folder.rglob("*"))


def _names_text(path: Path) -> bool:
    """Whether the first line names a column of texts, or holds words where numbers would stand."""
    try:
        with gzip.open(path, "rb") if path.name.endswith(".gz") else path.open("rb") as file:
            lines = bytes(file.read(1 << 16)).decode("utf-8", "ignore").splitlines()
    except OSError:
        return False
    if not lines:
        return False
    first = [cell.strip(' "').lower() for cell in lines[0].replace("\t", ",").replace("{", "").split(",")]
    named = [cell.split(":")[0].strip(' "') for cell in first]
    if any(cell in ("text", "tokens", "words", "sentence") for cell in named):
        return True
    if path.suffix.lower() == ".txt":
        return True
    cells = lines[min(1, len(lines) - 1)].replace("\t", ",").split(",")
    return not any(_is_number(cell) for cell in cells)


def _is_number(cell: str) -> bool:
    try:
        float(cell.strip(' "'))
    except ValueError:
        return False
    return True


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
    decays = issubclass(cell_class(network.cell), GRUD)
    assert network.dropout is not None
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
    if isinstance(task, Label) and (targets.spans if task.crf is None else task.crf):
        crf = CRF(len(targets.classes), allowed=bio_rules(targets.classes) if targets.spans else None)
    ordered = len(targets.classes) if targets.kind == "ordinal" else 0
    return Reader(encoder, layers, pooling, targets.outputs, dropout=network.dropout, ordered=ordered, crf=crf)


def resolved(task: SequenceTask, features: Features, targets: Targets) -> SequenceTask:
    """The task with what was left open decided by the data."""
    if not isinstance(task, Classify):
        return task
    if task.wanted is not None and positive_of(targets, task) is None:
        raise ConfigError(f"an aim or a cost is for two classes, and there are {len(targets.classes)}")
    if task.pooling is None:
        task = replace(task, pooling="last" if features.masked else "max")
    if task.sampling == "balanced" and targets.kind not in ("class", "ordinal"):
        raise DataError("sampling=balanced is for sequences of one class each")
    return task
