"""A fitted translator with all it needs from a raw sequence to text."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from latchwork import storage
from latchwork.errors import ConfigError, DataError
from latchwork.layers import AttentionDecoder, DecoderState, InputEncoder, Network
from latchwork.modalities import Images, Records, Vocabulary, Writer
from latchwork.modalities.text_tokens import UNKNOWN
from latchwork.modalities.writer import JOIN
from latchwork.sequences import Encoded, Features, Labelled
from latchwork.tasks.beam import Beam, Hypothesis, beam_search, check_width
from latchwork.tasks.sequence_pipeline import IMAGE_BLOCKS
from latchwork.tasks.supervised import convolution
from latchwork.tasks.translate import Translate
from latchwork.tasks.translate_job import Pair, in_batches
from latchwork.tasks.translate_source import Known, SourceText, Tokens
from latchwork.tasks.translator import Translator
from latchwork.types import Tensor

Source = SourceText | Records | Images
SOURCES: dict[str, type[Any]] = {"text": SourceText, "records": Records, "image": Images}
WORDS = ("word", "given")
SLACK = 10
"""Tokens that an answer may be longer than three times what the source makes expected."""


class Translation(NamedTuple):
    """One answer.

    text       as people read it
    score      log p / length penalty, by which answers are ranked
    log_p      of all its tokens
    words      its tokens, for people
    source     the source's tokens, for people; None where it is no text
    attention  [words, steps] what of the source each word was read from
    cut        it stood at its longest
    """

    text: str
    score: float
    log_p: float
    words: tuple[str, ...]
    source: tuple[str, ...] | None
    attention: NDArray[np.float32]
    cut: bool


@dataclass
class TranslatePipeline:
    """Source, target, network and task bound together, fitted. The task and the network have no open options left.

    ratio   tokens of a target for one step of a source, in training
    """

    source: Source
    target: Vocabulary
    task: Translate
    network: Network
    module: Translator
    ratio: float = 1.0

    name = "translate"

    def fingerprint(self) -> str:
        """A hash of the weights."""
        return storage.sha256(storage.pack_tensors(self.module.state_dict()))

    @cached_property
    def known(self) -> Known:
        """The target's words."""
        return Known(self.target)

    @property
    def greedy(self) -> Beam:
        """The search with a beam of 1."""
        return replace(self.task.search, beam=1)

    def encode(self, labelled: Labelled, *, targets: bool = False) -> list[Pair]:
        """Sources in numbers, and with ``targets`` what is said of them (of several the first)."""
        encoded = self.source.encode(labelled)
        pairs = [Pair(one) for one in encoded]
        if self.task.copy:
            pairs = [
                replace(pair, copied=copied, extra=extra)
                for pair, text in zip(pairs, labelled.content, strict=True)
                for copied, extra in [self.known.copied(self._words(text, pair.source))]
            ]
        if not targets:
            return pairs
        texts = [first_of(label, place) for label, place in zip(labelled.labels, labelled.places, strict=True)]
        wanted = iter(self.target.encode_all([text for text in texts if text is not None]))
        return [
            pair if text is None else replace(pair, target=self.known.target(text, next(wanted), pair.extra))
            for pair, text in zip(pairs, texts, strict=True)
        ]

    def _words(self, text: Any, encoded: Encoded) -> list[str]:
        assert isinstance(self.source, SourceText)
        assert encoded.tokens is not None
        return self.source.words(text, encoded.tokens)

    @property
    def replaces(self) -> bool:
        """Whether a word of the source can stand for one that the target has not."""
        if not self.task.replace_unknown or not isinstance(self.source, SourceText):
            return False
        return self.source.vocabulary.unit in WORDS and self.target.unit in WORDS

    def translate(
        self,
        labelled: Labelled,
        options: Beam | None = None,
        *,
        pairs: Sequence[Pair] | None = None,
        at_once: int | None = None,
    ) -> list[list[Translation]]:
        """The best answers to each source, in their order; of a text without a word, nothing.

        No text stands twice: where one can be cut into tokens in several ways the best of them counts. So a beam can
        hold fewer texts than were asked for.

        pairs: the sources, encoded before. at_once: sources that are searched together.
        """
        pairs = self.encode(labelled) if pairs is None else pairs
        options = options or self.task.search
        count = options.n_best
        if count > 1:
            options = replace(options, n_best=options.beam)
        found = search(self.module, pairs, options, ratio=self.ratio, at_once=at_once)
        words = isinstance(self.source, SourceText)
        nothing = Translation("", 0.0, 0.0, (), ("<eos>",), np.zeros((0, 1), np.float32), False)
        answers = []
        for several, pair, text in zip(found, pairs, labelled.content, strict=True):
            if words and not text.strip():
                answers.append([nothing])
                continue
            own = self._words(text, pair.source) if words else None
            distinct: dict[str, Translation] = {}
            for one in several:
                answer = self._answer(one, pair, own)
                distinct.setdefault(answer.text, answer)
            answers.append(list(distinct.values())[:count])
        return answers

    def _answer(self, found: Hypothesis, pair: Pair, words: list[str] | None) -> Translation:
        attention = found.kept if found.kept is not None else np.zeros((0, len(pair.source)), np.float32)
        attention = attention[:, : len(pair.source)]
        tokens, extra = found.tokens.copy(), list(pair.extra)
        if words is not None and self.replaces:
            for place in np.flatnonzero(tokens == UNKNOWN).tolist():
                # The END at a source's end is no word.
                if len(words) > 1 and attention.shape[1] > 1:
                    tokens[place] = len(self.target) + len(extra)
                    extra.append(words[int(attention[place, : len(words) - 1].argmax())])
        every = (*self.target.tokens, *extra)
        said = tuple(
            self.target.show(token) if token < len(self.target) else every[token].removeprefix(JOIN)
            for token in tokens.tolist()
        )
        source = None if words is None else tuple(word.removeprefix(JOIN) if word else "<eos>" for word in words)
        if isinstance(self.source, SourceText) and self.source.vocabulary.unit == "bpe":
            assert pair.source.tokens is not None
            # Pieces are written in signs for bytes.
            source = tuple(self.source.vocabulary.show(token) for token in pair.source.tokens.tolist())
        text = self.text(tokens, extra)
        return Translation(text, found.score, found.log_p, said, source, attention, found.cut)

    def told(self, tokens: Tokens, attention: NDArray[np.float32], pair: Pair, content: Any) -> str:
        """The text of tokens that were read from a source so, as an answer has it: the unknown is replaced."""
        words = self._words(content, pair.source) if isinstance(self.source, SourceText) else None
        return self._answer(Hypothesis(tokens, 0.0, 0.0, attention), pair, words).text

    def text(self, tokens: Tokens, extra: Sequence[str] = ()) -> str:
        """The text of some tokens; those behind the vocabulary are the words of ``extra``."""
        writer = Writer(self.target.unit, (*self.target.tokens, *extra))
        return "".join([writer.push(token) for token in tokens.tolist()]) + writer.flush()


def first_of(label: Any, place: str = "") -> str | None:
    """A target as text; of several the first."""
    if label is None or isinstance(label, str):
        return label
    if isinstance(label, (tuple, list)) and label and isinstance(label[0], str):
        return label[0]
    raise DataError(f"{place}: the target is a {type(label).__name__}, expected a text")


@torch.no_grad()
def search(
    module: Translator,
    pairs: Sequence[Pair],
    options: Beam,
    *,
    ratio: float = 1.0,
    at_once: int | None = None,
) -> list[list[Hypothesis]]:
    """The best hypotheses of each source, in their order; sources of similar length are searched together.

    ratio: how many tokens a step of the source makes expected; an answer may have three times as many, and a few more.
    """
    # Before so many rows are made of each source.
    check_width(options.beam, module.decoder.vocabulary + max((len(one.extra) for one in pairs), default=0))
    training = module.training
    module.eval()
    found: list[Any] = [None] * len(pairs)
    size = at_once or max(1, 320 // options.beam)
    try:
        for rows, lesson in in_batches(module, [replace(pair, target=None) for pair in pairs], size):
            memory = module.memory(lesson.inputs, lesson.copied, lesson.extra)
            held = {"sentences": len(rows), "memory": memory}

            def step(tokens: Tensor, state: DecoderState, sentences: Tensor, held: Any = held) -> Any:
                if len(sentences) < held["sentences"]:
                    held.update(sentences=len(sentences), memory=held["all"].select(sentences))
                log_p, weights, state = module.decoder.step(tokens, state, held["memory"])
                return log_p, state, weights

            held["all"] = memory
            lengths = lesson.inputs.lengths.tolist()
            limits = [SLACK + math.ceil(3 * ratio * length) for length in lengths]
            state = module.decoder.initial_state(memory)
            several = beam_search(step, state, len(rows), options, limits=limits)
            for row, own in zip(rows, several, strict=True):
                found[row] = own
    finally:
        module.train(training)
    return found


def build_translator(task: Translate, features: Features, vocabulary: int, network: Network) -> Translator:
    """The network of a task without open options, not trained."""
    assert task.embedding is not None
    assert network.cell is not None
    assert network.dropout is not None
    texts = features.vocabulary > 0
    drop = network.dropout if task.input_dropout is None else task.input_dropout
    encoder = InputEncoder(
        features,
        embedding=task.embedding,
        convolutions=tuple(convolution(one) for one in IMAGE_BLOCKS) if features.image is not None else (),
        embedding_dropout=(task.embedding_dropout or 0.0) if texts else 0.0,
        dropout=drop if texts else 0.0,
    )
    body = network.build(encoder.width)
    if task.shared_vocabulary:
        if features.vocabulary != vocabulary:
            raise ConfigError("shared_vocabulary is for texts on both sides, and the source is none; leave it out")
        embedding = encoder.embedding
    else:
        embedding = nn.Embedding(vocabulary, task.embedding)
        bound = (3 / task.embedding) ** 0.5
        nn.init.uniform_(embedding.weight, -bound, bound)
    above = replace(network, bidirectional=False, learn_initial_state=False)
    units = body.output_size if task.attention == "dot" else network.hidden_size
    width = task.embedding if task.tied else units
    assert width is not None
    layers = replace(above, hidden_size=units).build(task.embedding + (width if task.input_feeding else 0))
    decoder = AttentionDecoder(
        embedding,
        layers,
        body.output_size,
        attention=task.attention,
        width=width,
        input_feeding=task.input_feeding,
        tied=task.tied,
        copy=task.copy,
        coverage=task.coverage > 0,
        embedding_dropout=task.embedding_dropout or 0.0,
        dropout=drop,
    )
    return Translator(encoder, body, decoder)
