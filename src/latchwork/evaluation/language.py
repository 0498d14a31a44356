"""Scores of a language model beside baselines, on text that no method had seen; and how far back it remembers."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from latchwork.baselines.language import TextSide, run_language_baselines
from latchwork.errors import DataError
from latchwork.evaluation.scoreboard import Scoreboard, ScoreRow, Versus
from latchwork.metrics import LanguageScore, language_difference, language_score, paired_difference
from latchwork.metrics.language import blocks
from latchwork.modalities import END, Vocabulary
from latchwork.modalities.text_tokens import UNKNOWN
from latchwork.tasks import GenerateSetup, LanguagePipeline
from latchwork.tasks.generate_job import Stream, read_nats

Array = NDArray[np.float64]
Progress = Callable[[str, float], None]

HISTORIES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
PLACES = 1000
"""Tokens of the test text that are asked for again with a short history."""


@dataclass(frozen=True, eq=False)
class Method:
    """One way to expect the text: nats of each token, or their sum where nothing else is known."""

    name: str
    nats: Array | float | None
    note: str = ""
    model: bool = False


@dataclass(frozen=True, eq=False)
class LanguageEvaluation:
    """The scoreboard and what it was made from.

    stream     the test text in tokens, see ``LanguagePipeline.stream``
    score      the model's figures
    histories  how many tokens of history -> mean nats of the next token, at the same places; the last is the whole
    """

    scoreboard: Scoreboard
    methods: tuple[Method, ...]
    stream: Stream
    score: LanguageScore
    histories: dict[int, float]


def score_language(
    setup: GenerateSetup, *, baselines: bool = True, progress: Progress | None = None
) -> LanguageEvaluation:
    """The model and its baselines on the test part, once."""
    stream, texts = setup.streams["test"], setup.texts["test"]
    if len(stream) < 2:
        raise DataError("no text was held back, so there is nothing to score on")
    if progress is not None:
        progress("scoring", 0.0)
    pipeline = setup.pipeline
    methods = [Method("latchwork", read_nats(pipeline.module, stream), model=True)]
    if baselines:
        vocabulary = pipeline.vocabulary
        train, test = (
            TextSide(setup.streams[part], _as_read(vocabulary, setup.texts[part])) for part in ("train", "test")
        )
        found = run_language_baselines(train, test, len(vocabulary), vocabulary.unit, progress=progress)
        methods += [Method(one.name, one.nats if one.each is None else one.each, one.note) for one in found]
    return _evaluation(pipeline, methods, stream, texts, setup.notes)


def _as_read(vocabulary: Vocabulary, texts: Sequence[str]) -> str:
    text = "\n".join(texts)
    return text.lower() if vocabulary.lowercase else text


def score_texts(pipeline: LanguagePipeline, texts: Sequence[str]) -> LanguageEvaluation:
    """The model alone on other texts."""
    stream = pipeline.stream(texts)
    if len(stream) < 2:
        raise DataError("the text is empty, so there is nothing to score on")
    method = Method("latchwork", read_nats(pipeline.module, stream), model=True)
    return _evaluation(pipeline, [method], stream, texts, [])


def _evaluation(
    pipeline: LanguagePipeline, methods: Sequence[Method], stream: Stream, texts: Sequence[str], notes: Sequence[str]
) -> LanguageEvaluation:
    targets, vocabulary = stream[1:], pipeline.vocabulary
    words = vocabulary.unit in ("word", "given")
    newline = vocabulary.tokens.index("\n") if words and "\n" in vocabulary.tokens else -1
    facts: dict[str, Any] = {
        "tokens": len(targets),
        "characters": sum(map(len, texts)),
        "unit": vocabulary.unit,
        "lines": int((targets == newline).sum()),
        "ends": int((targets == END).sum()),
        "unknown": int((targets == UNKNOWN).sum()),
    }
    main = "perplexity" if words else "bits_per_character"
    rows, versus = [], []
    model = methods[0]
    assert isinstance(model.nats, np.ndarray)
    score = language_score(model.nats, **facts)
    for method in methods:
        if method.nats is None:
            rows.append(ScoreRow(method.name, method.model, {}, note=method.note))
            continue
        own = score if method is model else language_score(method.nats, **facts)
        figures = {"perplexity": own.perplexity, "bits_per_character": own.bits_per_character}
        values = {name: one.value for name, one in figures.items()} | {"nats": own.nats / own.tokens}
        rows.append(ScoreRow(method.name, method.model, values, figures[main].lower, figures[main].upper, method.note))
        if method is not model:
            versus.append(_versus(method, model.nats, main, facts, own, score))
    rows.sort(key=lambda row: (math.isnan(row.values.get(main, math.nan)), row.values.get(main, 0.0)))
    titles = {
        "perplexity": f"perplexity per {score.token}",
        "bits_per_character": "bits per character",
        "nats": f"nats per {score.token}",
    }
    board = Scoreboard(
        tuple(rows), main, ("perplexity", "bits_per_character", "nats"), titles, tuple(versus), len(targets),
        "stretch of text", (*notes, score.rule, *_lost(vocabulary)), what=score.token,
    )  # fmt: skip
    return LanguageEvaluation(board, tuple(methods), stream, score, histories(pipeline, stream, model.nats))


def _lost(vocabulary: Vocabulary) -> list[str]:
    """What of the text no method was asked for."""
    if not vocabulary.lowercase:
        return []
    return ["the text is read in lower case, so bits for each character are too few by what its capitals would cost"]


def _versus(
    rival: Method, ours: Array, main: str, facts: dict[str, Any], own: LanguageScore, score: LanguageScore
) -> Versus:
    """The model's main figure less the rival's, over the same stretches of text."""
    if not isinstance(rival.nats, np.ndarray):
        first, second = getattr(score, main), getattr(own, main)
        return Versus(rival.name, first.value - second.value, math.nan, math.nan, math.nan)
    if main == "perplexity":
        found = language_difference(ours, rival.nats)
        return Versus(rival.name, found.value, found.lower, found.upper, found.p)
    block = blocks(len(ours))
    count = np.bincount(block)
    sums = np.stack([np.bincount(block, ours), np.bincount(block, rival.nats), count], axis=1)
    scale = facts["tokens"] / math.log(2) / facts["characters"]

    def bits(column: int) -> Callable[[Array], float]:
        return lambda weights: float(weights @ sums[:, column] / (weights @ sums[:, 2])) * scale

    found = paired_difference(bits(0), bits(1), np.arange(len(sums)))
    return Versus(rival.name, found.value, found.lower, found.upper, found.p)


@torch.no_grad()
def histories(pipeline: LanguagePipeline, stream: Stream, whole: Array) -> dict[int, float]:
    """Mean nats of some tokens of the stream by how much of what stands before them is read, from a fresh state.

    The last entry is what they cost with all of it. Where it stops falling, the memory ends.
    """
    longest = max((size for size in HISTORIES if size <= (len(stream) - 1) // 4), default=0)
    if not longest:
        return {}
    count = min(PLACES, len(stream) - 1 - longest)
    places = np.linspace(longest, len(stream) - 2, count).astype(np.int64)
    module = pipeline.module.eval()
    device = next(module.parameters()).device
    found: dict[int, float] = {}
    targets = torch.from_numpy(stream[places + 1]).to(device)
    for size in HISTORIES:
        if size > longest:
            break
        nats = []
        for some, wanted in zip(
            np.array_split(places, -(-count // 64)), targets.tensor_split(-(-count // 64)), strict=True
        ):
            index = some[:, None] - np.arange(size)[::-1]
            tokens = torch.from_numpy(stream[index]).to(device)
            hidden = module(tokens, resets=tokens == END).hidden[:, -1]
            nats.append(module.nats(hidden, wanted))
        found[size] = float(torch.cat(nats).double().mean())
    found[len(stream)] = float(whole[places].mean())
    return found


__all__ = ["LanguageEvaluation", "Method", "histories", "score_language", "score_texts"]
