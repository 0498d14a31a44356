"""The contract of a model that writes: what was trained can be stepped, batched, saved, forked and scored alike."""

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

from latchwork.layers import Network
from latchwork.modalities import END, Corpus
from latchwork.streaming import Reading, TextStream
from latchwork.tasks import Generate, GenerateSetup, LanguagePipeline, Sampling, load_language, save_language
from latchwork.tasks.generate_job import read_nats
from latchwork.training import Training, fit_setup

SAID = 40
"""Tokens that are generated in a check."""


def check_writer(
    task: Generate,
    texts: Sequence[str],
    *,
    network: Network | None = None,
    steps: int = 4,
    seed: int = 0,
    tolerance: float = 1e-4,
) -> None:
    """Raise AssertionError, naming the invariant, where a language model breaks the contract.

    texts: at least some thousand characters. network: small. tolerance: absolute, in nats; what the design calls exact
    is compared bit for bit. Torch's generator is left as it was.
    """
    corpus = Corpus(tuple(texts), tuple(f"text {number}" for number in range(1, len(texts) + 1)))
    network = network or Network(hidden_size=8)
    options = Training(
        steps=steps, evaluate_every=max(1, steps // 2), batch_size=4, truncate=16, seed=seed, device="cpu"
    )

    def fit(seed: int = seed) -> GenerateSetup:
        setup = GenerateSetup.of(task, corpus, network, seed=seed)
        own = replace(options, seed=seed).resolved(**setup.defaults()).completed()
        return fit_setup(setup, own).setup

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        setup = fit()
        pipeline, stream = setup.pipeline, setup.streams["test"][:200]
        _same_again(pipeline, fit().pipeline, fit(seed + 1).pipeline)
        _scored(pipeline, stream, tolerance)
        _live(pipeline, stream, tolerance)
        _documents(pipeline, texts, tolerance)
        _saved(pipeline, stream)
        _written(pipeline)


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise AssertionError(f"generate: {what}")


def _near(got: Any, expected: Any, tolerance: float, what: str) -> None:
    got, expected = np.asarray(got, np.float64), np.asarray(expected, np.float64)
    _require(got.shape == expected.shape, f"{what}: shape {got.shape}, expected {expected.shape}")
    far = float(np.abs(got - expected).max()) if got.size else 0.0
    _require(far <= tolerance, f"{what}: differs by {far:.3g}")


def _same_again(first: LanguagePipeline, second: LanguagePipeline, other: LanguagePipeline) -> None:
    _require(first.fingerprint() == second.fingerprint(), "the same seed gives the same weights")
    _require(first.fingerprint() != other.fingerprint(), "another seed gives others")


def _scored(pipeline: LanguagePipeline, stream: Any, tolerance: float) -> None:
    """Whole = in chunks of any size = step by step, and probabilities sum to one."""
    whole = read_nats(pipeline.module, stream)
    _near(read_nats(pipeline.module, stream, chunk=7), whole, tolerance, "a text in chunks costs what it costs whole")
    tokens = torch.from_numpy(stream)[None]
    state, found = pipeline.initial_state(), []
    for at in range(len(stream) - 1):
        scores, state = pipeline.step(tokens[:, at : at + 1], state)
        found.append(-float(scores[0, 0, stream[at + 1]]))
        _near(scores[0, 0].exp().sum(), 1.0, tolerance, "probabilities sum to one")
    _near(found, whole, tolerance, "a text token by token costs what it costs whole")


def _live(pipeline: LanguagePipeline, stream: Any, tolerance: float) -> None:
    """What a live text expects is what the score says; a row beside others is as alone."""
    whole = read_nats(pipeline.module, stream)
    live, several = Reading(pipeline), Reading(pipeline, 3)
    found = []
    for token, following in pairwise(stream):
        live.read(np.array([token]))
        several.read(np.array([END, token, END]))
        scores = live.scores[0].astype(np.float64)
        found.append(np.logaddexp.reduce(scores) - scores[following])
        _require(bool((several.scores[1] == live.scores[0]).all()), "a text beside others is scored as alone")
    _near(found, whole, tolerance, "a live text expects what the score says")


def _documents(pipeline: LanguagePipeline, texts: Sequence[str], tolerance: float) -> None:
    """Nothing of a document reaches the next one."""
    one, two = texts[0][:60], texts[-1][-60:]
    alone = read_nats(pipeline.module, pipeline.stream([two]))
    after = read_nats(pipeline.module, pipeline.stream([one, two]))
    _near(after[-len(alone) - 1 : -1], alone, tolerance, "a document costs the same whatever stood before it")


def _saved(pipeline: LanguagePipeline, stream: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        save_language(pipeline, Path(folder), "0")
        again = load_language(Path(folder))
    _near(read_nats(again.module, stream), read_nats(pipeline.module, stream), 0.0, "saved = loaded")


def _written(pipeline: LanguagePipeline) -> None:
    """The same seed writes the same; a fork and a snapshot go on as the original does; what is written is text."""

    def live() -> TextStream:
        return TextStream(pipeline, Sampling(max_new_tokens=SAID, seed=1))

    text = "".join(live().pieces())
    _require("".join(live().pieces()) == text, "the same seed writes the same text")
    first = live()
    for _ in range(5):
        first.next()
    fork, other = first.fork(), live()
    other.restore(first.snapshot())
    said = [first.next() for _ in range(10)]
    _require([fork.next() for _ in range(10)] == said, "a fork goes on as the original does")
    _require([other.next() for _ in range(10)] == said, "a snapshot goes on as the original does")
    _require(not {0, 1} & set(said), "padding and the unknown token are never written")
