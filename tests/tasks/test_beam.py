import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from latchwork.errors import ConfigError, DataError
from latchwork.tasks.beam import Beam, Hypothesis, beam_search

END = 2
Model = Callable[[int, tuple[int, ...]], np.ndarray]
"""log p of every token, of a sentence and what was said of it."""


def dense(vocabulary: int, seed: int) -> Model:
    def model(sentence: int, said: tuple[int, ...]) -> np.ndarray:
        scores = np.random.default_rng((seed, sentence, *said)).normal(size=vocabulary) * 2
        return scores - np.logaddexp.reduce(scores)

    return model


def sparse(vocabulary: int, seed: int, few: int = 2) -> Model:
    """END and ``few`` others can follow."""

    def model(sentence: int, said: tuple[int, ...]) -> np.ndarray:
        random = np.random.default_rng((seed, sentence, *said))
        allowed = np.append(random.choice(np.arange(3, vocabulary), few, replace=False), END)
        scores = np.full(vocabulary, -np.inf)
        scores[allowed] = random.normal(size=few + 1) * 2
        return scores - np.logaddexp.reduce(scores)

    return model


def as_step(model: Model, beam: int) -> Callable[..., Any]:
    """The state of a row is what it has read."""

    def step(tokens: torch.Tensor, state: Any, sentences: torch.Tensor) -> Any:
        read = torch.cat((state[0], tokens.unsqueeze(1)), 1)
        rows = zip(sentences.repeat_interleave(beam).tolist(), read[:, 1:].tolist(), strict=True)
        scores = np.stack([model(sentence, tuple(said)) for sentence, said in rows])
        return torch.from_numpy(scores), (read,), read[:, -1:].float()

    return step


def searched(model: Model, count: int, options: Beam, limits: Any = None) -> list[list[Hypothesis]]:
    state = (torch.zeros(count, 0, dtype=torch.int64),)
    return beam_search(as_step(model, options.beam), state, count, options, limits=limits)


def scored(model: Model, sentence: int, said: tuple[int, ...]) -> float:
    return sum(float(model(sentence, said[:at])[token]) for at, token in enumerate((*said, END)))


def naive(model: Model, sentence: int, options: Beam) -> list[tuple[float, tuple[int, ...]]]:
    """The same in lists, that goes on to the longest answers there can be."""
    live, found = [(0.0, ())], []
    for length in range(options.max_length + 1):
        every = []
        for log_p, said in live:
            for token, own in enumerate(model(sentence, said)):
                runs = [said[at : at + options.no_repeat_ngram_size] for at in range(len(said))]
                again = (*said, token)[-options.no_repeat_ngram_size :] if options.no_repeat_ngram_size else None
                if token == 0 or again in runs or own == -math.inf:
                    continue
                if (token == END and length < options.min_length) or (token != END and length == options.max_length):
                    continue
                every.append((log_p + own, (*said, token)))
        every.sort(key=lambda one: -one[0])
        found += [(log_p, said[:-1]) for log_p, said in every[: options.beam] if said[-1] == END]
        live = [one for one in every if one[1][-1] != END][: options.beam]
    ranked = sorted(((log_p / options.penalty(len(said) + 1), said) for log_p, said in found), reverse=True)
    return ranked[: options.n_best]


@given(
    st.integers(0, 9999),
    st.sampled_from([0.0, 0.6, 1.0, 2.0]),
    st.integers(2, 6),
    st.integers(1, 3),
    st.integers(1, 6),
    st.integers(0, 3),
)
@settings(max_examples=60)
def test_it_is_as_in_lists(seed: int, alpha: float, beam: int, n_best: int, longest: int, ngram: int) -> None:
    model = dense(6, seed)
    options = Beam(
        beam=beam,
        n_best=min(n_best, beam),
        length_penalty=alpha,
        max_length=longest,
        min_length=min(1, longest - 1),
        no_repeat_ngram_size=ngram,
    )
    for sentence, answers in enumerate(searched(model, 3, options)):
        wanted = naive(model, sentence, options)
        assert [one.score for one in answers] == pytest.approx([score for score, _ in wanted])
        assert [tuple(one.tokens.tolist()) for one in answers] == [said for _, said in wanted]
        for one in answers:
            said = tuple(one.tokens.tolist())
            assert one.log_p == pytest.approx(scored(model, sentence, said))
            assert one.score == pytest.approx(one.log_p / ((5 + len(said) + 1) / 6) ** alpha)
            assert one.cut == (len(said) == longest)
            assert one.kept is not None
            assert one.kept[:, 0].tolist() == [END, *said][: len(said)]


@given(st.integers(0, 9999), st.sampled_from([0.0, 0.7, 1.0, 3.0]), st.integers(1, 16))
@settings(max_examples=40)
def test_a_beam_that_holds_everything_finds_the_best(seed: int, alpha: float, n_best: int) -> None:
    model = sparse(16, seed)
    options = Beam(beam=16, n_best=n_best, length_penalty=alpha, max_length=3)
    for sentence, answers in enumerate(searched(model, 2, options)):
        texts: list[tuple[int, ...]] = [()]
        for said in texts:
            if len(said) < 3:
                texts += [(*said, token) for token in range(3, 16) if model(sentence, said)[token] > -np.inf]
        every = [(scored(model, sentence, said) / options.penalty(len(said) + 1), said) for said in texts]
        every.sort(reverse=True)
        assert len(every) == 15
        assert [one.score for one in answers] == pytest.approx([score for score, _ in every[:n_best]])
        assert tuple(answers[0].tokens.tolist()) == every[0][1]


@given(st.integers(0, 9999), st.sampled_from([0.0, 1.0, 2.0]), st.integers(3, 9))
@settings(max_examples=40)
def test_a_beam_of_one_is_greedy(seed: int, alpha: float, vocabulary: int) -> None:
    model = dense(vocabulary, seed)
    for sentence, (answer,) in enumerate(searched(model, 4, Beam(beam=1, length_penalty=alpha, max_length=7))):
        said: tuple[int, ...] = ()
        while len(said) < 7:
            scores = model(sentence, said)
            scores[0] = -np.inf
            if scores.argmax() == END:
                break
            said = (*said, int(scores.argmax()))
        assert tuple(answer.tokens.tolist()) == said


@given(st.integers(0, 9999), st.integers(1, 4), st.integers(1, 5))
@settings(max_examples=30)
def test_a_sentence_alone_is_as_among_others(seed: int, beam: int, count: int) -> None:
    options = Beam(beam=beam, max_length=6)
    model = dense(7, seed)
    limits = [1 + (seed + one) % 6 for one in range(count)]
    together = searched(model, count, options, limits)
    for sentence in range(count):
        (alone,) = searched(lambda _, said, own=sentence: model(own, said), 1, options, [limits[sentence]])
        assert [one.tokens.tolist() for one in alone] == [one.tokens.tolist() for one in together[sentence]]
        assert len(alone[0].tokens) <= limits[sentence]


def test_a_longer_one_can_still_win() -> None:
    def model(_: int, said: tuple[int, ...]) -> np.ndarray:
        p = {(): {END: 0.5, 3: 0.49, 4: 0.01}, (3,): {3: 0.99, END: 0.01}, (3, 3): {END: 0.99, 4: 0.01}}.get(said)
        scores = np.full(5, -np.inf)
        for token, own in (p or {END: 1.0}).items():
            scores[token] = np.log(own)
        return scores

    ((best,),) = searched(model, 1, Beam(beam=2, length_penalty=0.0, max_length=4))
    assert best.tokens.tolist() == []
    ((best,),) = searched(model, 1, Beam(beam=2, length_penalty=1.0, max_length=4))
    assert best.tokens.tolist() == [3, 3]


def test_what_can_not_end_is_an_answer_all_the_same() -> None:
    def model(_: int, said: tuple[int, ...]) -> np.ndarray:
        scores = np.full(5, -np.inf)
        if len(said) < 3:
            scores[3:] = np.log(0.5)
        return scores

    ((best,),) = searched(model, 1, Beam(beam=2, max_length=9))
    assert len(best.tokens) == 3
    assert best.cut
    assert best.kept is not None
    assert len(best.kept) == 3
    assert beam_search(as_step(model, 2), (torch.zeros(0, 0),), 0, Beam(beam=2)) == []


def test_what_is_wrong_is_said() -> None:
    model = dense(5, 0)
    with pytest.raises(ConfigError, match="the beam is 6, wider than the vocabulary, which has 5 tokens"):
        searched(model, 1, Beam(beam=6))
    for bad in (math.nan, math.inf):
        with pytest.raises(DataError, match="not numbers"):
            searched(lambda _, __, bad=bad: np.array([0.0, bad, -1.0, -2.0, -3.0]), 1, Beam(beam=2))
    for options, told in (
        ({"beam": 0}, "beam is 0, expected a whole number from 1"),
        ({"length_penalty": -1.0}, "length_penalty is -1.0, expected a number from 0"),
        ({"length_penalty": math.nan}, "length_penalty is nan"),
        ({"length_penalty": 300.0}, "length_penalty is 300.0, expected a number from 0 to 10"),
        ({"beam": 2, "n_best": 3}, "n_best is 3, and a beam of 2 holds no more"),
        ({"min_length": 9, "max_length": 8}, "min_length is 9, above max_length, which is 8"),
        ({"no_repeat_ngram_size": -1}, "no_repeat_ngram_size is -1"),
    ):
        with pytest.raises(ConfigError, match=told):
            Beam(**options)


def test_the_least_length_holds_beside_the_limits() -> None:
    options = Beam(beam=2, min_length=6, max_length=9)
    for limits in ((1, 8), None):
        answers = searched(dense(5, 0), 2, options, limits)
        assert all(6 <= len(several[0].tokens) <= 9 for several in answers)
