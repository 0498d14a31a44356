"""From pairs to a translator that can be trained: parts, vocabularies, and what the data decides."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from latchwork import metrics
from latchwork.errors import ConfigError, DataError
from latchwork.layers import Network
from latchwork.modalities import Record, SourceOptions, Vocabulary, pair_notes, read_pairs, tokenised
from latchwork.sequences import Labelled, Split, split_examples
from latchwork.tasks.beam import check_width
from latchwork.tasks.translate import Translate
from latchwork.tasks.translate_job import Pair, TranslateJob
from latchwork.tasks.translate_pipeline import SOURCES, TranslatePipeline, build_translator, first_of
from latchwork.tasks.translate_source import SourceText

Rows = NDArray[np.int64]
ENOUGH = 100
"""Validation pairs from which on the step that they like best is believed."""

SAMPLE = 100
"""Validation sources that are answered at each validation."""

OUTLYING = 4
"""A text of more than so many times the tokens that 99 of 100 have is an outlier, see :func:`usual_length`."""

LOOKED_AT = 2000
"""Texts by which the kind of a side is guessed."""


def read_translations(task: Translate, source: Any) -> tuple[Labelled, list[str]]:
    """(all pairs of the files that the task names, each in its part; what a reader of the scores must know of them).

    What is :class:`Labelled` already stays as it is: so records and images can be the source too.
    """
    if isinstance(source, Labelled):
        return source, []
    given = {name: getattr(task, name) for name in ("validation", "test") if getattr(task, name) is not None}
    labelled = read_pairs({"train": source, **given} if given else source, task.pairs)
    return labelled, list(pair_notes(source, task.pairs))


def judge(task: Translate, texts: Sequence[str], references: Sequence[Any], metric: str | None = None) -> Any:
    """The figure of some texts, see :class:`latchwork.metrics.translation.TextScore`. metric: None for the task's."""
    match metric or task.metric:
        case "bleu":
            return metrics.bleu(texts, references, tokenizer=task.bleu_tokenizer)
        case "chrf":
            return metrics.chrf(texts, references)
    return metrics.rouge(texts, references)["rougeL"]


def kind_of_content(labelled: Labelled) -> str:
    """text, records or image, by what was read."""
    first = next(iter(labelled.content), "")
    return "text" if isinstance(first, str) else "records" if isinstance(first, Record) else "image"


@dataclass
class TranslateSetup:
    """Everything between pairs and a trained pipeline. encoded: in the order of ``labelled``; None in no part."""

    pipeline: TranslatePipeline
    labelled: Labelled
    split: Split
    encoded: list[Pair | None]
    notes: list[str] = field(default_factory=list)

    @classmethod
    def of(
        cls,
        task: Translate,
        labelled: Labelled,
        network: Network,
        *,
        seed: int,
        split: Split | None = None,
        source: Any = None,
        target: Vocabulary | None = None,
    ) -> "TranslateSetup":
        """Split, find the vocabularies in the training part, build the network. The seed decides its start.

        Contents are texts, records or images, labels are texts. source, target: fitted before.
        """
        if not len(labelled):
            raise DataError("there are no pairs; give at least three: to train, to choose by, and to score on")
        split = split_of(task, labelled, seed=seed) if split is None else split
        kind = kind_of_content(labelled)
        notes = list(split.notes)
        learned = labelled.select(split.train)
        task = _sides(task, kind, learned)
        if source is None or target is None:
            source, found, told = _fitted(task, kind, learned, labelled, split)
            notes += told
            target = found if target is None else target
        task, network = resolved(task, network, len(split.train), kind, source, target)
        if isinstance(source, SourceText):
            task = replace(task, source_length=source.limit)
        if task.beam > len(target) and task.beam == Translate.beam:
            task = replace(task, beam=len(target))
            notes.append(f"beam: {len(target)}, as many as the target has tokens")
        check_width(task.beam, len(target))
        assert task.metric is not None
        judge(task, ["a"], ["a"])  # a package that is missing is missed before training
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            module = build_translator(task, source.features, len(target), network)
        pipeline = TranslatePipeline(source, target, task, network, module)
        used = np.concatenate([split.train, split.validation, split.test])
        encoded: list[Pair | None] = [None] * len(labelled)
        for row, pair in zip(used.tolist(), pipeline.encode(labelled.select(used), targets=True), strict=True):
            encoded[row] = pair
        setup = cls(pipeline, labelled, split, encoded, notes)
        setup._measure()
        return setup

    def _measure(self) -> None:
        """Find how long answers are, and leave targets out that are too long to be learned from."""
        pipeline, task = self.pipeline, self.task
        source, limit = pipeline.source, task.source_length
        known = self._some(self.split.train)
        if not known:
            raise DataError("no training source has a target, so there is nothing to learn from")
        if isinstance(source, SourceText) and limit is not None:
            cut = sum(len(one.source) > limit for one in known)
            if cut:
                self.notes.append(f"{cut:,} training sources of {limit:,} tokens or more end there (source_length)")
        lengths = np.array([len(one.target) for one in known if one.target is not None])
        most = usual_length(lengths) if task.target_length is None else task.target_length
        long = {id(one) for one, length in zip(known, lengths.tolist(), strict=True) if length > most}
        if len(long) == len(known):
            raise DataError(f"every training target has more than {most:,} tokens; raise target_length")
        if long:
            self.notes.append(f"{len(long):,} training targets of more than {most:,} tokens are not learned from "
                              "(target_length)")  # fmt: skip
            kept = [row for row in self.split.train.tolist() if id(self.encoded[row]) not in long]
            self.split = replace(self.split, train=np.array(kept, np.int64))
        pipeline.ratio = float(lengths.sum()) / max(1, sum(len(one.source) for one in known))
        longest = int(lengths[lengths <= most].max())
        usual = int(1.5 * longest) + 5 if task.max_length is None else task.max_length
        pipeline.task = replace(task, target_length=most, max_length=usual)

    @property
    def task(self) -> Translate:
        return self.pipeline.task

    @property
    def metric(self) -> str:
        """What it is scored with."""
        assert self.task.metric is not None
        return self.task.metric

    @property
    def sha256(self) -> str:
        """Of the files."""
        return self.labelled.sha256

    @property
    def enough(self) -> bool:
        """Whether the validation part can tell one step from another."""
        return len(self.split.validation) >= ENOUGH

    @property
    def refits(self) -> bool:
        """Whether a second network is trained on the validation pairs too."""
        return self.task.refit and len(self.split.validation) > 0

    def extended(self, seed: int) -> "TranslateSetup":
        """The same with a new network, to be trained on the validation pairs too."""
        own = self.pipeline
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            module = build_translator(own.task, own.source.features, len(own.target), own.network)
        rows = np.concatenate([self.split.train, self.split.validation])
        split = replace(self.split, train=rows, validation=rows[:0])
        return replace(self, pipeline=replace(own, module=module), split=split)

    def defaults(self) -> dict[str, Any]:
        """What training does where it was not told: by the number of pairs."""
        count = len(self.split.train)
        batch = 16 if count < 1000 else 32 if count < 5000 else 64
        epoch = -(-count // batch)
        steps = int(np.clip(15 * epoch, 1000, 12_000))
        return {
            "batch_size": batch,
            "steps": steps,
            "learning_rate": 2e-3 if count < 5000 else 1e-3,
            "patience": 0,
            "average": 0.999 if steps > 4000 else 0.99,
            "evaluate_every": max(1, min(epoch, steps // 12)),
            "truncate": 0,
        }

    def job(self, *, batch_size: int, seed: int, truncate: int = 0) -> TranslateJob:
        """What the training loop trains."""
        if truncate:
            raise ConfigError(f"truncate is {truncate}, and whole sequences are read here; leave it out")
        task = self.task
        return TranslateJob(
            self.pipeline.module,
            self._some(self.split.train),
            self._some(self.split.validation),
            batch_size=batch_size,
            seed=seed,
            smoothing=task.label_smoothing,
            coverage=task.coverage,
            sampling=task.scheduled_sampling,
            answer=self._answer if len(self.split.validation) else None,
            by_metric=task.choose == "metric",
        )

    def _some(self, rows: Rows) -> list[Pair]:
        """The pairs of some rows that have a target."""
        return [one for row in rows if (one := self.encoded[row]) is not None and one.target is not None]

    def _answer(self) -> dict[str, float]:
        """The metric of greedy answers to a sample of the validation part."""
        rows = [
            row for row in self.split.validation if (one := self.encoded[row]) is not None and one.target is not None
        ]
        rows = rows[:: max(1, len(rows) // SAMPLE)][:SAMPLE]
        texts = self.pipeline.translate(
            self.labelled.select(rows),
            self.pipeline.greedy,
            pairs=[one for row in rows if (one := self.encoded[row]) is not None],
        )
        references = [self.labelled.labels[row] for row in rows]
        return {self.metric: float(judge(self.task, [one[0].text for one in texts], references).value)}

    def calibrate(self) -> None:
        """Nothing is left to choose."""


def split_of(task: Translate, labelled: Labelled, *, seed: int) -> Split:
    """The hold-out split that the task asks for: equal sources in one part, long and short targets in each."""
    texts = [first_of(one, place) for one, place in zip(labelled.labels, labelled.places, strict=True)]
    lengths = tuple(None if one is None else float(len(one)) for one in texts)
    measured = replace(labelled, labels=lengths)
    return split_examples(measured, test=task.test_size, validation=task.validation_size, seed=seed)[0]


def _sides(task: Translate, kind: str, learned: Labelled) -> Translate:
    """The task with its tokenizers decided."""
    if kind != "text":
        for name in ("tokenizer", "vocabulary_size", "shared_vocabulary", "copy", "lowercase", "source_length"):
            if name in ("tokenizer", "vocabulary_size") and getattr(task, f"target_{name}") is None:
                continue
            if getattr(task, name):
                raise ConfigError(f"{name} is for sources that are texts, and these are {kind}; leave it out")
    targets = "\n".join(first_of(one) or "" for one in learned.labels[:LOOKED_AT])
    sources = "\n".join(learned.content[:LOOKED_AT]) if kind == "text" else targets
    usual = "word" if task.copy else "given" if tokenised(sources) and tokenised(targets) else "bpe"
    unit = task.tokenizer or usual
    other = None if task.shared_vocabulary else task.target_tokenizer or unit
    return replace(task, tokenizer=unit, target_tokenizer=other)


def _fitted(
    task: Translate, kind: str, learned: Labelled, labelled: Labelled, split: Split
) -> tuple[Any, Vocabulary, list[str]]:
    """(source, target, what there is to say about them)."""
    texts = [text for one in learned.labels if (text := first_of(one)) is not None]
    if not texts:
        raise DataError("no training source has a target, so there is nothing to learn from")
    unit = task.tokenizer
    assert unit is not None
    other = task.target_tokenizer or unit
    size = task.vocabulary_size or usual_size(unit, len(texts))
    wanted = task.target_vocabulary_size or (size if unit == other else usual_size(other, len(texts)))
    if kind != "text":
        target = Vocabulary.fit(texts, other, task.target_vocabulary_size or task.vocabulary_size or wanted)
        return SOURCES[kind].fit(labelled, split.train, SourceOptions()), target, []
    if task.shared_vocabulary:
        both = Vocabulary.fit([*learned.content, *texts], unit, size)
        return SourceText(both, _limit(task, both, learned)), both, _small("vocabulary", both, task.vocabulary_size)
    source = Vocabulary.fit(learned.content, unit, size, lowercase=task.lowercase)
    target = Vocabulary.fit(texts, other, wanted)
    told = _small("source", source, task.vocabulary_size)
    told += _small("target", target, task.target_vocabulary_size or task.vocabulary_size)
    return SourceText(source, _limit(task, source, learned)), target, told


def _limit(task: Translate, vocabulary: Vocabulary, learned: Labelled) -> int:
    """Tokens that are read of a source at most."""
    if task.source_length is not None:
        return task.source_length
    return usual_length(np.array([len(one) for one in vocabulary.encode_all(learned.content)]))


def usual_length(lengths: Rows) -> int:
    """From how many tokens on a text is an outlier: it would cost as much as thousands of others."""
    return max(500, OUTLYING * int(np.quantile(lengths, 0.99)))


def _small(name: str, vocabulary: Vocabulary, asked: int | None) -> list[str]:
    told = "" if asked is None else vocabulary.told(asked)
    return [f"{name}: {told}"] if told else []


def usual_size(unit: str, pairs: int) -> int:
    """Tokens known at most where nothing was said."""
    if unit == "bpe":
        return 8000 if pairs >= 20_000 else 4000 if pairs >= 4000 else 1000
    return 1000 if unit == "char" else 20_000


def resolved(
    task: Translate, network: Network, count: int, kind: str, source: Any, target: Vocabulary
) -> tuple[Translate, Network]:
    """Task and network with what was left open decided by the number of pairs and what they are."""
    if task.copy:
        own = source.vocabulary.unit if isinstance(source, SourceText) else kind
        if own != target.unit:
            raise ConfigError(f"what is copied must be cut alike on both sides, and these are {own} and {target.unit}")
    units = 512 if count >= 20_000 else 256 if count >= 2000 else 128
    dropout = 0.3 if count >= 2000 else 0.2
    network = network.resolved(cell="gru", hidden_size=units, dropout=dropout, bidirectional=True)
    assert network.hidden_size is not None
    if network.cell == "gru_d":
        raise ConfigError("gru_d reads masks and times, and words have none; use gru")
    rare = 0.1 if count >= 2000 and target.unit != "char" else 0.0
    return replace(
        task,
        embedding=task.embedding or min(network.hidden_size, 256),
        embedding_dropout=rare if task.embedding_dropout is None else task.embedding_dropout,
        input_dropout=network.dropout if task.input_dropout is None else task.input_dropout,
        metric=task.metric or ("rouge_l" if task.copy else "bleu"),
    ), network


__all__ = ["TranslateSetup", "judge", "read_translations", "resolved", "split_of"]
