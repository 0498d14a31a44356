"""The task of generating: how a text is split, read in lanes, and what the data decides."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from latchwork import Generate, Network
from latchwork.errors import ConfigError, DataError
from latchwork.layers import NextToken
from latchwork.modalities import END, Corpus
from latchwork.tasks import GenerateJob, GenerateSetup, LanguagePipeline, load_language, save_language
from latchwork.tasks.generate_job import read_nats
from latchwork.tasks.generate_setup import split_texts

sys.path.insert(0, str(Path(__file__).parents[1]))
from prose import prose, writer


def corpus(*documents: str, parts: tuple[str, ...] | None = None) -> Corpus:
    places = tuple(f"text {number}" for number in range(1, len(documents) + 1))
    return Corpus(documents, places, parts)  # type: ignore[arg-type]


def network(vocabulary: int = 30) -> NextToken:
    torch.manual_seed(0)
    return NextToken(vocabulary, 5, Network(cell="lstm", hidden_size=8).build(5), tied=False)


def stream(count: int, vocabulary: int = 30) -> np.ndarray:
    return np.concatenate([[END], 3 + np.arange(count) % (vocabulary - 3)])


# Parts


@given(st.text("ab \n", min_size=40, max_size=300), st.sampled_from(["char", "given"]))
def test_one_text_is_cut_by_place_and_nothing_is_lost(text: str, unit: str) -> None:
    texts, _ = split_texts(Generate(tokenizer=unit), corpus(text), seed=0)  # type: ignore[arg-type]
    assert "".join(texts["validation"] + texts["train"] + texts["test"]) == text
    if unit == "char":
        assert len(texts["test"][0]) == round(len(text) * 0.1)


@given(st.lists(st.text("abc", min_size=1, max_size=30), min_size=5, max_size=40))
def test_equal_documents_are_in_one_part(documents: list[str]) -> None:
    texts, _ = split_texts(Generate(), corpus(*documents), seed=1)
    every = texts["train"] + texts["validation"] + texts["test"]
    assert sorted("".join(every)) == sorted("".join(documents))
    assert texts["train"]
    if sorted(every) != sorted(documents):  # one was left alone, and is cut
        assert len(texts["train"]) == 1
        return
    sides = [set(one) for one in texts.values()]
    assert not sides[0] & sides[1]
    assert not sides[0] & sides[2]
    assert not sides[1] & sides[2]


@pytest.mark.parametrize("seed", range(6))
def test_one_large_text_among_small_ones_is_learnt_from(seed: int) -> None:
    texts, _ = split_texts(Generate(), corpus("a" * 9000, "b" * 300, "c" * 200, "d" * 150), seed=seed)
    assert sum(map(len, texts["train"])) > 7000
    assert texts["validation"]
    assert texts["test"]


def test_parts_that_were_given_are_taken() -> None:
    found, _ = split_texts(Generate(), corpus("a" * 100, "v", "t", parts=("train", "validation", "test")), seed=0)
    assert (found["train"], found["validation"], found["test"]) == (("a" * 100,), ("v",), ("t",))


def test_a_test_text_alone_leaves_the_validation_to_the_training_text() -> None:
    found, _ = split_texts(Generate(tokenizer="char"), corpus("a" * 100, "t", parts=("train", "test")), seed=0)
    assert (len(found["train"][0]), len(found["validation"][0]), found["test"]) == (95, 5, ("t",))


# Lanes


@given(st.integers(20, 400), st.integers(1, 6), st.integers(1, 12), st.integers(0, 3))
def test_lanes_are_read_in_order_and_each_target_is_the_next_token(
    count: int, lanes: int, chunk: int, seed: int
) -> None:
    text = np.concatenate([[END], np.arange(3, count + 3)])
    job = GenerateJob(network(), text, text[:1], batch_size=lanes, truncate=chunk, seed=seed)
    before = None
    for step in range(2 * job.chunks):
        batch = job.batch(step)
        assert torch.equal(batch.targets, torch.where(batch.tokens == END, 3, batch.tokens + 1))
        fresh = step % job.chunks == 0
        assert bool(batch.resets[:, 0].all()) or not fresh
        if not fresh:
            assert before is not None
            assert torch.equal(batch.tokens[:, 0], before[:, -1])  # goes on where the last chunk ended
        before = batch.targets


def test_a_batch_is_a_function_of_its_step() -> None:
    jobs = [GenerateJob(network(), stream(300), stream(0), batch_size=4, truncate=9, seed=5) for _ in range(2)]
    for step in (17, 3, 40):
        assert torch.equal(jobs[0].batch(step).tokens, jobs[1].batch(step).tokens)


def test_documents_begin_from_a_fresh_state() -> None:
    text = np.array([END, 5, 6, 7, END, 8, 9, 10, END])
    job = GenerateJob(network(), text, text[:1], batch_size=1, truncate=8, seed=0)
    batch = job.batch(0)
    assert batch.resets.tolist() == [[True, False, False, False, True, False, False, False]]
    assert batch.targets.tolist() == [[5, 6, 7, END, 8, 9, 10, END]]


def test_the_validation_text_is_read_whole_whatever_the_chunks() -> None:
    module, text = network(), stream(83)
    whole = read_nats(module, text)
    assert len(whole) == 83
    np.testing.assert_allclose(read_nats(module, text, chunk=7), whole, rtol=1e-5)
    apart = read_nats(module, text, lanes=3)
    np.testing.assert_allclose(apart[:28], whole[:28], rtol=1e-5)
    assert len(apart) == 83


def test_regularisers_are_added_to_the_loss() -> None:
    def loss(**options: float) -> float:
        job = GenerateJob(network(), stream(200), stream(0), batch_size=2, truncate=9, seed=0, **options)
        return float(job.loss(job.batch(0), None)[0].detach())

    assert loss(activation=2.0) > loss()
    assert loss(change=2.0) > loss()


@pytest.mark.parametrize("tokens", [1, 5])
def test_a_text_shorter_than_a_batch_says_what_would_do(tokens: int) -> None:
    with pytest.raises(DataError, match=r"batch_size=\d"):
        GenerateJob(network(), stream(tokens), stream(0), batch_size=8, truncate=5, seed=0)


# What the data decides


def test_an_empty_or_tiny_text_is_refused_by_name() -> None:
    with pytest.raises(DataError, match="at least 64"):
        GenerateSetup.of(Generate(), corpus("too short"), Network(), seed=0)


def test_what_was_left_open_is_decided_and_what_was_said_stays() -> None:
    setup = GenerateSetup.of(Generate(embedding=7, tied=False), corpus(prose()), Network(hidden_size=9), seed=0)
    task, network = setup.task, setup.pipeline.network
    assert (task.tokenizer, task.embedding, task.tied) == ("char", 7, False)
    assert (network.cell, network.hidden_size, network.bidirectional) == ("lstm", 9, False)
    assert (
        GenerateSetup.of(Generate(), corpus("a <unk> b . c , d .\n" * 60), Network(), seed=0).task.tokenizer == "given"
    )


def test_the_vocabulary_is_the_training_part_alone() -> None:
    text = "ab " * 200 + "Z" * 60
    setup = GenerateSetup.of(Generate(tokenizer="char"), corpus(text), Network(hidden_size=4), seed=0)
    assert "Z" not in setup.pipeline.vocabulary.tokens


def test_reading_from_both_ends_is_refused() -> None:
    with pytest.raises(ConfigError, match="bidirectional"):
        GenerateSetup.of(Generate(), corpus(prose()), Network(bidirectional=True), seed=0)


@pytest.mark.parametrize(
    "options",
    [{"validation_size": 1.0}, {"test_size": -0.1}, {"embedding": 0}, {"adaptive_softmax": (5, 2)},
     {"adaptive_softmax": (5,), "tied": True}, {"activation_regularization": -1.0}, {"output_dropout": 1.0}],
)  # fmt: skip
def test_options_that_can_not_be_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        Generate(**options)  # type: ignore[arg-type]


# The stream contract


def test_steps_of_any_length_give_the_same() -> None:
    pipeline = writer().pipeline
    tokens = torch.from_numpy(pipeline.stream([prose(3, seed=9)]))[None]
    whole, last = pipeline.step(tokens, pipeline.initial_state())
    parts, state = [], pipeline.initial_state()
    for size in (1, 5, 0, 30, tokens.shape[1]):
        scores, state = pipeline.step(tokens[:, :size], state)
        parts.append(scores)
        tokens = tokens[:, size:]
    torch.testing.assert_close(torch.cat(parts, 1), whole, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(state[0].h, last[0].h, atol=1e-5, rtol=1e-5)
    assert torch.allclose(whole.exp().sum(-1), torch.ones(1))


def test_saved_is_loaded(tmp_path) -> None:
    pipeline: LanguagePipeline = writer().pipeline
    save_language(pipeline, tmp_path, "0")
    again = load_language(tmp_path)
    assert again.fingerprint() == pipeline.fingerprint()
    assert again.task == pipeline.task
    np.testing.assert_array_equal(again.nats([prose(5)]), pipeline.nats([prose(5)]))


def test_it_learns_what_is_to_be_learnt() -> None:
    board = writer().leaderboard()
    assert board.model.values["nats"] < board.row("single tokens").values["nats"] / 3
