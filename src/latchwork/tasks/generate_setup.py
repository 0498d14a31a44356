"""From a text to a language model that can be trained: parts, vocabulary, and what the data decides."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from latchwork.errors import ConfigError, DataError
from latchwork.layers import Network
from latchwork.modalities import Corpus, Vocabulary, read_corpus, tokenised
from latchwork.sequences import PARTS, Part
from latchwork.tasks.generate import Generate
from latchwork.tasks.generate_job import GenerateJob
from latchwork.tasks.generate_pipeline import LanguagePipeline, Stream, build_language, stream_of

SHORT = 3_000_000
"""Characters of the training text up to which it is read character by character where nothing was said."""

PIECES, WORDS, SIGNS = 8_000, 20_000, 1_000
"""Tokens known at most where nothing was said: of BPE, of words, of characters."""

FEW, SOME, MANY = 100_000, 400_000, 5_000_000
"""Tokens of the training text from which on networks are larger, and then less is dropped."""

LEAST = 64
"""Tokens of the shortest training text."""


def read_texts(task: Generate, source: Any) -> Corpus:
    """All texts that the task names, each in its part."""
    given = {name: getattr(task, name) for name in ("validation", "test") if getattr(task, name) is not None}
    return read_corpus({"train": source, **given} if given else source, task.source)


@dataclass
class GenerateSetup:
    """Everything between a text and a trained model. texts: the documents of each part; streams: in tokens."""

    pipeline: LanguagePipeline
    corpus: Corpus
    texts: Mapping[Part, tuple[str, ...]]
    streams: Mapping[Part, Stream]
    notes: list[str] = field(default_factory=list)

    enough = True
    refits = False

    @classmethod
    def of(cls, task: Generate, corpus: Corpus, network: Network, *, seed: int) -> "GenerateSetup":
        """Split, find the vocabulary in the training part, build the network. The seed decides its start."""
        texts, notes = split_texts(task, corpus, seed=seed)
        letters = sum(map(len, texts["train"]))
        unit = task.tokenizer
        if unit is None:
            # What stands between blanks is the unit of a text that somebody has cut into words.
            unit = "given" if tokenised("\n".join(texts["train"])) else "char" if letters <= SHORT else "bpe"
        size = task.vocabulary_size or {"bpe": PIECES, "char": SIGNS}.get(unit, WORDS)
        vocabulary = Vocabulary.fit(texts["train"], unit, size, lowercase=task.lowercase)
        if task.vocabulary_size is not None and len(vocabulary) < task.vocabulary_size // 2 and unit == "bpe":
            notes.append(f"the text has {len(vocabulary):,} tokens, fewer than the {task.vocabulary_size:,} asked for")
        streams: dict[Part, Stream] = {part: stream_of(vocabulary, texts[part]) for part in PARTS}
        count = len(streams["train"]) - 1
        if count < LEAST:
            raise DataError(
                f"the training text has {count} tokens, expected at least {LEAST}; give more text, or hold less back "
                f"(validation_size={task.validation_size}, test_size={task.test_size})"
            )
        task = replace(task, tokenizer=unit, vocabulary_size=size)
        task, network = resolved(task, network, count, len(vocabulary))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            module = build_language(task, len(vocabulary), network)
        return cls(LanguagePipeline(vocabulary, task, network, module), corpus, texts, streams, notes)

    @property
    def task(self) -> Generate:
        return self.pipeline.task

    @property
    def sha256(self) -> str:
        """Of the files."""
        return self.corpus.sha256

    def defaults(self) -> dict[str, Any]:
        """What training does where it was not told."""
        count = len(self.streams["train"]) - 1
        words = self.pipeline.vocabulary.unit != "char"
        lanes = int(np.clip(count // 3000, 8, 32))
        chunk = 40 if words else 64 if count < SOME else 128
        epoch = max(1, count // (lanes * chunk))
        epochs = 12 if words else 15
        steps = int(np.clip(epochs * epoch, 1500, 40_000))
        return {
            "batch_size": lanes,
            "truncate": chunk,
            "steps": steps,
            "learning_rate": 2e-3 if words else 3e-3,
            "weight_decay": 0.01,
            "patience": 0,
            "average": 0.999 if steps > 4000 else 0.99,
            "evaluate_every": max(50, steps // 20),
        }

    def job(self, *, batch_size: int, seed: int, truncate: int = 0) -> GenerateJob:
        """What the training loop trains."""
        return GenerateJob(
            self.pipeline.module,
            self.streams["train"],
            self.streams["validation"],
            batch_size=batch_size,
            truncate=truncate,
            seed=seed,
            activation=self.task.activation_regularization,
            change=self.task.temporal_activation_regularization,
        )

    def calibrate(self) -> None:
        """Nothing: probabilities are what it was trained for."""


def resolved(task: Generate, network: Network, count: int, vocabulary: int) -> tuple[Generate, Network]:
    """Task and network with what was left open decided by the number of training tokens and the vocabulary."""
    words = task.tokenizer != "char"
    if network.bidirectional:
        raise ConfigError("what comes next can't be read from the end; leave bidirectional out")
    units = (128 if words else 256) if count < FEW else 256 if count < SOME else 400 if words else 512
    usual = 0.1 if count > MANY else 0.4 if words else 0.5
    network = network.resolved(cell="lstm", hidden_size=units, dropout=usual, bidirectional=False)
    assert network.dropout is not None
    dropout = network.dropout
    embedding = task.embedding or (64 if not words else 128 if count < FEW else 200)
    # A few characters have nothing to share; words have most of the weights.
    tied = words and not task.adaptive_softmax if task.tied is None else task.tied
    if task.adaptive_softmax and task.adaptive_softmax[-1] >= vocabulary:
        raise ConfigError(
            f"adaptive_softmax is {list(task.adaptive_softmax)}, and there are {vocabulary:,} tokens; expected numbers "
            "below that"
        )

    def rate(value: float | None, usual: float) -> float:
        return usual if value is None else value

    return replace(
        task,
        embedding=embedding,
        tied=tied,
        embedding_dropout=rate(task.embedding_dropout, min(dropout, 0.1) if words and count < MANY else 0.0),
        input_dropout=rate(task.input_dropout, dropout if words else 0.0),
        output_dropout=rate(task.output_dropout, dropout),
    ), network


def split_texts(task: Generate, corpus: Corpus, *, seed: int) -> tuple[dict[Part, tuple[str, ...]], list[str]]:
    """The documents of each part, and what there is to say about it.

    A text alone is cut by its place: the test part is its end, and the validation part its beginning, so that what
    stands right before the test part, which is most like it, is learnt from. Of
    several documents some are drawn, equal ones together; the one that is left alone by that is cut.
    """
    notes: list[str] = []
    documents = corpus.documents
    texts: dict[Part, tuple[str, ...]] = dict.fromkeys(PARTS, ())
    own = corpus.parts or (None,) * len(documents)
    for part in ("validation", "test"):
        texts[part] = tuple(one for one, where in zip(documents, own, strict=True) if where == part)
    rest = [one for one, where in zip(documents, own, strict=True) if where in (None, "train")]
    if not rest:
        raise DataError("no text is for training; give one")
    wanted = {
        "test": 0.0 if texts["test"] else task.test_size,
        "validation": 0.0 if texts["validation"] else task.validation_size,
    }
    for part in ("test", "validation"):
        share = wanted[part]
        if not share:
            continue
        if len(rest) == 1:
            by_character = task.tokenizer in (None, "char")
            rest, held = _cut(rest[0], share, end=part == "test", by_character=by_character)
        else:
            rest, held = _some_of(rest, share, seed)
        texts[part] = tuple(held)
        if not held:
            notes.append(f"there is too little text for a {part} part")
    texts["train"] = tuple(rest)
    return texts, notes


def parted(corpus: Corpus, texts: Mapping[Part, tuple[str, ...]]) -> Corpus:
    """The corpus with each text in its part: as it was read, or the pieces that it was cut into."""
    places: dict[str, list[str]] = {}
    for one, place in zip(corpus.documents, corpus.places, strict=True):
        places.setdefault(one, []).append(place)
    documents = tuple(one for part in PARTS for one in texts[part])
    parts: tuple[Part | None, ...] = tuple(part for part in PARTS for _ in texts[part])
    named = [
        places[one].pop(0) if places.get(one) else f"{corpus.places[0] if corpus.places else corpus.name} ({part} part)"
        for one, part in zip(documents, parts, strict=True)
    ]
    return Corpus(documents, tuple(named), parts, corpus.sha256, corpus.name)


def _cut(text: str, share: float, *, end: bool, by_character: bool) -> tuple[list[str], list[str]]:
    """(what stays, what is held back) of one text: its end or its beginning, whole lines where it is not read by
    character.
    """
    at = len(text) - round(len(text) * share) if end else round(len(text) * share)
    if not by_character and (line := text.find("\n", at)) >= 0 and line + 1 < len(text):
        at = line + 1
    held, rest = (text[at:], text[:at]) if end else (text[:at], text[at:])
    return [rest], [held] if held else []


def _some_of(documents: Sequence[str], share: float, seed: int) -> tuple[list[str], list[str]]:
    """(what stays, what is held back) of several texts: some that are drawn, equal ones together."""
    different = list(dict.fromkeys(documents))
    order = np.random.default_rng((seed, 17)).permutation(len(different))
    counts = Counter(documents)
    sizes = {one: len(one) * count for one, count in counts.items()}
    goal, taken = share * sum(sizes.values()), 0
    held: set[str] = set()
    for index in order[:-1]:
        one = different[index]
        # A text that is far larger than what is missing stays: else little would be left to learn from.
        if taken < goal and taken + sizes[one] - goal <= goal - taken:
            held.add(one)
            taken += sizes[one]
    if not held and len(different) > 1:
        held.add(min((different[index] for index in order), key=sizes.__getitem__))
    return [one for one in documents if one not in held], [one for one in documents if one in held]
