"""Drawing tokens: each option against its formula, bounded memory, the same text from the same seed."""

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from latchwork.errors import ConfigError, LatchworkError, StateError
from latchwork.tasks.sampling import WINDOW, Sampler, Sampling, Stopping

Array = NDArray[np.float64]
scores_of = st.lists(st.floats(-20, 20), min_size=2, max_size=40)


def softmax(scores: Any) -> Array:
    p = np.exp(np.asarray(scores, np.float64) - np.max(scores))
    return p / p.sum()


def probabilities(sampler: Sampler, scores: Any) -> Array:
    """[vocabulary], 0 for what can't come."""
    found = np.zeros(sampler.vocabulary_size)
    tokens, p = sampler.distribution(scores)
    found[tokens] = p
    return found


def of(scores: Any, said: tuple[int, ...] = (), **options: Any) -> Array:
    sampler = Sampler(Sampling(**options), len(scores))
    sampler.seen(said)
    return probabilities(sampler, scores)


# ---- each option


@given(scores_of, st.floats(0.1, 5))
def test_temperature_divides_the_scores(scores: list[float], temperature: float) -> None:
    np.testing.assert_allclose(of(scores, temperature=temperature), softmax(np.array(scores) / temperature), atol=1e-12)


@given(scores_of, st.integers(1, 50))
def test_top_k_keeps_the_highest_and_ties(scores: list[float], k: int) -> None:
    least = sorted(scores)[-min(k, len(scores))]
    np.testing.assert_allclose(of(scores, top_k=k), softmax([s if s >= least else -np.inf for s in scores]), atol=1e-12)


@given(scores_of, st.floats(0.01, 0.999))
def test_top_p_keeps_the_fewest_that_reach_the_share(scores: list[float], share: float) -> None:
    p = softmax(scores)
    kept = of(scores, top_p=share) > 0
    assert p[kept].sum() >= share - 1e-9
    assert p[kept].sum() - p[kept].min() < share + 1e-9
    assert p[kept].min() >= np.max(p[~kept], initial=0.0)


def test_top_p_looks_further_where_many_tokens_share_the_probability() -> None:
    flat = np.linspace(0, 1e-3, 5_000)
    p = softmax(flat)
    kept = of(flat, top_p=0.9) > 0
    assert kept.sum() == np.searchsorted(np.cumsum(np.sort(p)[::-1]), 0.9) + 1
    assert kept[-1]
    assert not kept[0]


@given(scores_of, st.floats(0, 1))
def test_min_p_is_a_share_of_the_most_probable(scores: list[float], share: float) -> None:
    p = softmax(scores)
    clear = np.abs(p - share * p.max()) > 1e-9
    np.testing.assert_array_equal((of(scores, min_p=share) > 0)[clear], (p >= share * p.max())[clear])


def test_the_penalty_depends_on_the_sign_of_the_score() -> None:
    found = of([2.0, -2.0, 2.0, -2.0], said=(0, 1, 1), repetition_penalty=1.25)
    np.testing.assert_allclose(found, softmax([1.6, -2.5, 2.0, -2.0]))


def test_no_ngram_comes_twice() -> None:
    # "1 2" was followed by 3 and by 0, and stands at the end again.
    found = of(np.zeros(5), said=(1, 2, 3, 1, 2, 0, 1, 2), no_repeat_ngram_size=3)
    np.testing.assert_allclose(found, [0, 1 / 3, 1 / 3, 0, 1 / 3])


def test_a_repeat_is_allowed_where_nothing_else_is_left() -> None:
    np.testing.assert_allclose(of([0.0, 0.0], said=(0, 1), no_repeat_ngram_size=1), [0.5, 0.5])


def test_options_apply_in_the_order_that_is_told() -> None:
    scores = np.log([0.4, 0.3, 0.2, 0.1])
    # Of the two that top_k leaves, 0.57 and 0.43, top_p keeps the first alone; of all four it would keep two.
    np.testing.assert_allclose(of(scores, top_k=2, top_p=0.55), [1, 0, 0, 0])
    np.testing.assert_allclose(of(scores, top_p=0.55), np.array([4, 3, 0, 0]) / 7)
    # The temperature comes before them.
    p = softmax(scores / 0.5)
    assert (of(scores, temperature=0.5, top_p=float(p[0])) > 0).tolist() == [True, False, False, False]


def test_a_score_of_minus_infinity_never_comes() -> None:
    np.testing.assert_allclose(of([-np.inf, 0.0, -np.inf], top_k=3, repetition_penalty=1.5, said=(0,)), [0, 1, 0])
    assert Sampler(Sampling(top_k=1), 3, never=(2,)).next([0.0, 1.0, 9.0]) == 1


def test_a_tiny_temperature_is_the_most_probable_token() -> None:
    assert Sampler(Sampling(temperature=1e-300), 3).next([0.0, 5.0, -1e300]) == 1


# ---- drawing


def test_draws_follow_the_probabilities() -> None:
    p = np.array([0.5, 0.3, 0.15, 0.05, 0.0])
    sampler = Sampler(Sampling(seed=3), 5)
    with np.errstate(divide="ignore"):
        scores = np.log(p)
    counts = np.bincount([sampler.next(scores) for _ in range(5_000)], minlength=5)
    assert counts[4] == 0
    expected = 5_000 * p[:4]
    assert (np.square(counts[:4] - expected) / expected).sum() < 16.3  # chi-square, 3 degrees: p = 0.001


def test_the_seed_and_the_number_decide_the_text() -> None:
    def text(**options: int) -> list[int]:
        number = options.pop("number", 0)
        sampler = Sampler(Sampling(**options), 50, number=number)
        return [sampler.next(np.zeros(50)) for _ in range(30)]

    assert text(seed=1) == text(seed=1)
    assert len({tuple(one) for one in (text(seed=1), text(seed=2), text(seed=1, number=1), text(seed=0))}) == 4
    assert text(seed=0)[:6] == [6, 48, 13, 45, 32, 15]  # the same on every machine


@settings(max_examples=30)
@given(st.integers(0, 60), st.integers(0, 3), st.sampled_from([1.0, 1.3]))
def test_a_copy_and_a_saved_one_go_on_as_the_original(steps: int, size: int, penalty: float) -> None:
    options = Sampling(seed=5, no_repeat_ngram_size=size, repetition_penalty=penalty, top_p=0.9)
    scores = np.random.default_rng(0).normal(size=(80, 12))
    sampler = Sampler(options, 12, never=(0,), number=2)
    sampler.seen([3, 4, 5])
    for row in scores[:steps]:
        sampler.next(row)
    others = [sampler.copy(), Sampler.from_dict(options, 12, json.loads(json.dumps(sampler.to_dict())), never=(0,))]
    rest = [sampler.next(row) for row in scores[steps:]]
    assert 0 not in rest
    for other in others:
        assert [other.next(row) for row in scores[steps:]] == rest


@settings(max_examples=10)
@given(st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_only_the_last_tokens_are_remembered(size: int, seed: int) -> None:
    said = np.random.default_rng(seed).integers(0, 6, WINDOW + 50).tolist()
    options = Sampling(no_repeat_ngram_size=size, repetition_penalty=1.2)
    sampler, late = Sampler(options, 6), Sampler(options, 6)
    for one in said:
        sampler.seen(one)
    late.seen(said[-WINDOW:])
    assert sampler.to_dict() == late.to_dict()
    assert sampler._after == late._after
    assert sampler._counts.tolist() == np.bincount(said[-WINDOW:], minlength=6).tolist()
    assert sum(map(len, sampler._after.values())) <= WINDOW


# ---- what can't be used


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"temperature": 0}, "temperature is 0, expected a number above 0; top_k=1"),
        ({"temperature": -1.0}, "temperature is -1.0"),
        ({"temperature": math.nan}, "temperature is nan"),
        ({"top_p": 1.5}, "top_p is 1.5"),
        ({"top_p": 0.0}, "top_p is 0.0"),
        ({"min_p": 1.1}, "min_p is 1.1"),
        ({"top_k": -1}, "top_k is -1, expected a whole number"),
        ({"top_k": 2.0}, "top_k is 2.0"),
        ({"repetition_penalty": 0.0}, "repetition_penalty is 0.0"),
        ({"no_repeat_ngram_size": WINDOW + 1}, "so many tokens are remembered"),
        ({"max_new_tokens": 0}, "max_new_tokens is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 2**63}, "below 2"),
        ({"stop": ("",)}, "at least one character"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        Sampling(**options)


def test_options_come_back_from_a_mapping() -> None:
    options = Sampling(stop=["\n"], top_k=5)  # type: ignore[arg-type]  # a config file has lists
    assert options.stop == ("\n",)
    assert Sampling.from_mapping(options.to_mapping()) == options
    assert Sampling(stop="END").stop == ("END",)  # type: ignore[arg-type]  # the command line has one word


@pytest.mark.parametrize(
    ("scores", "told"),
    [
        ([0.0, math.nan, 1.0], "score of token 1 is nan, expected a number: did training diverge"),
        ([0.0, 1.0, math.inf], "score of token 2 is inf"),
        ([-math.inf] * 3, "no token to draw"),
        ([0.0, 1.0], r"shape \(2,\), expected \[3\]"),
        ([0.0, -math.inf, -math.inf], "no token to draw"),
    ],
)
def test_scores_that_are_none_are_refused(scores: list[float], told: str) -> None:
    sampler = Sampler(Sampling(), 3, never=(0,))
    with pytest.raises(LatchworkError, match=told):
        sampler.next(scores)
    assert sampler.to_dict() == Sampler(Sampling(), 3).to_dict()


def test_tokens_and_states_of_another_vocabulary_are_refused() -> None:
    with pytest.raises(LatchworkError, match="token 3 is none of the vocabulary's, expected 0 to 2"):
        Sampler(Sampling(), 3).seen([0, 3])
    with pytest.raises(ConfigError, match="never"):
        Sampler(Sampling(), 3, never=(3,))
    for broken in ({}, {"number": 0, "drawn": -1, "recent": []}, {"number": 0, "drawn": 0, "recent": [3]}):
        with pytest.raises(StateError):
            Sampler.from_dict(Sampling(), 3, broken)


# ---- the end


@given(
    st.text("ab", max_size=30),
    st.lists(st.text("ab", min_size=1, max_size=4), max_size=3),
    st.lists(st.integers(0, 5), max_size=30),
)
def test_a_text_in_pieces_stops_where_the_whole_would(text: str, stop: list[str], cuts: list[int]) -> None:
    watch, shown, at = Stopping(stop), "", 0
    for size in [*cuts, len(text)]:
        shown += watch.push(text[at : at + size])
        at += size
    shown += watch.flush()
    single = Stopping(stop)
    expected = "".join(single.push(sign) for sign in text) + single.flush()
    assert watch.stopped == single.stopped == any(one in text for one in stop)
    assert shown == expected
    assert not any(one in shown for one in stop)


def test_no_more_is_held_back_than_could_be_the_beginning() -> None:
    watch = Stopping(("\n\n",))
    assert [watch.push(piece) for piece in ("a\n", "b", "\n", "\nc")] == ["a", "\nb", "", ""]
    assert watch.stopped
    assert watch.push("more") == watch.flush() == ""
    other = Stopping(("xy",))
    assert other.push("ax") == "a"
    assert (other.copy().push("y"), other.flush()) == ("", "x")
