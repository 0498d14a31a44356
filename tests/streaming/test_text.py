"""Live texts: the same from Python, stream and command line; forked, written down, gone on with."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from latchwork.errors import ConfigError, DataError, StateError
from latchwork.modalities import END
from latchwork.streaming import Reading, TextStream
from latchwork.tasks import Sampling

sys.path.insert(0, str(Path(__file__).parents[1]))
from prose import prose, writer

UNITS = ["char", "word", "given", "bpe"]


@pytest.mark.parametrize("unit", UNITS)
def test_a_seed_gives_the_same_text_however_it_is_asked_for(unit: str) -> None:
    model = writer(unit)
    text = model.generate("Ann sees", max_new_tokens=30, seed=4)
    assert text == "".join(model.pieces("Ann sees", Sampling(max_new_tokens=30, seed=4)))
    with model.stream("Ann ", max_new_tokens=30, seed=4) as live:
        live.push("sees")
        streamed = "".join(live.pieces())
    assert streamed == text or unit == "bpe"  # where a prompt is cut, so are its pieces
    assert text != model.generate("Ann sees", max_new_tokens=30, seed=5)


@pytest.mark.parametrize("cell", ["lstm", "gru", "slstm"])
def test_steps_read_as_the_network_does(cell: str) -> None:
    model = writer("char", cell)
    tokens = model.pipeline.stream([prose(2, seed=3)])
    reading = Reading(model.pipeline)
    for token in tokens:
        reading.read(np.array([token]))
    scores = reading.scores[0].astype(np.float64)
    expected, _ = model.pipeline.step(torch.from_numpy(tokens)[None], model.pipeline.initial_state())
    found = scores - scores.max() - np.log(np.exp(scores - scores.max()).sum())
    np.testing.assert_allclose(found, expected[0, -1].numpy(), atol=1e-4)


def test_many_tokens_at_once_leave_what_steps_leave() -> None:
    model = writer()
    tokens = model.pipeline.stream([prose(4, seed=5)])
    steps, whole = Reading(model.pipeline), Reading(model.pipeline)
    for token in tokens:
        steps.read(np.array([token]))
    whole.read_all(tokens)
    np.testing.assert_allclose(whole.scores, steps.scores, atol=1e-4)


def test_rows_side_by_side_score_as_alone() -> None:
    model = writer()
    several, alone = Reading(model.pipeline, 3), Reading(model.pipeline)
    tokens = np.array([[END, END, END], [3, 4, 5], [6, 3, 4]])
    for row in tokens:
        several.read(row)
        alone.read(row[1:2])
    np.testing.assert_array_equal(several.scores[1], alone.scores[0])


def test_fork_and_snapshot_go_on_as_the_original_does() -> None:
    model = writer()
    live = model.stream("Bob", Sampling(max_new_tokens=20, seed=2, no_repeat_ngram_size=12))
    written = live.snapshot()
    fork = live.fork()
    expected = "".join(live.pieces())
    assert "".join(fork.pieces()) == expected
    again = TextStream(model.pipeline, Sampling(max_new_tokens=20, seed=2, no_repeat_ngram_size=12))
    again.restore(written)
    assert "".join(again.pieces()) == expected


def test_the_snapshot_of_another_model_is_refused() -> None:
    with pytest.raises(StateError, match=r"another model|does not fit"):
        writer("char").stream().restore(writer("char", "gru").stream().snapshot())


def test_a_stop_text_ends_it_and_is_not_shown() -> None:
    text = writer().generate("Ann", max_new_tokens=300, seed=1, stop=("the",))
    assert "the" not in text


def test_the_most_probable_token_is_taken_with_top_k_1() -> None:
    model = writer()
    assert model.generate("Ann ", max_new_tokens=40, top_k=1, seed=1) == model.generate(
        "Ann ", max_new_tokens=40, top_k=1, seed=9
    )


def test_characters_never_seen_are_refused_and_words_read_as_unknown() -> None:
    with pytest.raises(DataError, match=r"'é' .character 4.*tokenizer=bpe"):
        writer("char").generate("Anné")
    live = writer("char").stream("Ann")
    before = live.snapshot()
    with pytest.raises(DataError, match="never saw"):
        live.push(" é")
    assert live.snapshot() == before
    assert writer("word").generate("Zzyzx sees", max_new_tokens=3, seed=0)
    assert writer("bpe").generate("日本", max_new_tokens=3, seed=0) is not None


@pytest.mark.parametrize("option", [{"temperature": 0.0}, {"top_p": 1.5}, {"max_new_tokens": 0}, {"temprature": 1}])
def test_options_that_can_not_be_are_refused(option: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(option))):
        writer().generate("Ann", **option)


def test_padding_and_unknown_are_never_said() -> None:
    live = writer("word").stream("", Sampling(seed=3))
    assert not {0, 1} & {live.next() for _ in range(400)}


def test_probabilities_sum_to_one() -> None:
    assert writer().stream("Ann").probabilities.sum() == pytest.approx(1.0)


@pytest.mark.parametrize("cell", ["lstm", "slstm"])
def test_after_a_text_has_ended_another_begins_and_knows_nothing_of_it(cell: str) -> None:
    model = writer("word", cell)
    live = model.stream("Ann sees", max_new_tokens=5)
    live.sampler.next = lambda scores: END  # type: ignore[method-assign]
    assert "".join(live.pieces()) == ""
    assert live.ended
    np.testing.assert_array_equal(live.reading.scores, TextStream(model.pipeline).reading.scores)
    assert live.writer.start


def test_steps_over_an_end_are_those_of_two_texts() -> None:
    pipeline = writer().pipeline
    first, second = (torch.from_numpy(pipeline.stream([one]))[None] for one in ("Ann sees", "Bob"))
    joined, _ = pipeline.step(torch.cat([first, second], 1), pipeline.initial_state())
    alone, _ = pipeline.step(second, pipeline.initial_state())
    torch.testing.assert_close(joined[:, first.shape[1] :], alone, atol=1e-5, rtol=1e-5)
