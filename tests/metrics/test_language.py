"""Perplexity and bits per character against their formulas; intervals of whole stretches; differences of pairs."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latchwork.errors import DataError
from latchwork.metrics import language_difference, language_score
from latchwork.metrics.language import blocks


def test_the_figures_are_their_formulas() -> None:
    # Four words at 1/8 each, 20 characters: perplexity 8, 12 bits over 20 characters.
    found = language_score(np.full(4, math.log(8)), tokens=4, characters=20, unit="word")
    assert found.perplexity.value == pytest.approx(8)
    assert found.bits_per_character.value == pytest.approx(0.6)
    assert found.nats == pytest.approx(4 * math.log(8))


@given(st.lists(st.floats(0, 10), min_size=1, max_size=50))
def test_bits_per_character_do_not_depend_on_the_tokens(nats: list[float]) -> None:
    whole = language_score(np.array(nats), tokens=len(nats), characters=100, unit="word")
    single = language_score(float(np.sum(nats)), tokens=100, characters=100, unit="char")
    assert whole.bits_per_character.value == pytest.approx(single.bits_per_character.value)
    assert single.perplexity.value == pytest.approx(2**single.bits_per_character.value)


def test_a_sum_has_no_interval() -> None:
    found = language_score(300.0, tokens=100, characters=400, unit="bpe")
    assert found.perplexity.value == pytest.approx(math.exp(3))
    assert math.isnan(found.perplexity.lower)
    assert math.isnan(found.bits_per_character.upper)


def test_the_interval_holds_the_figure_and_is_wider_where_neighbours_are_alike() -> None:
    random = np.random.default_rng(0)
    alone = random.exponential(4, 100_000)
    alike = 4 * np.repeat(random.exponential(1, 100), 1_000)
    widths = []
    for nats in (alone, alike):
        found = language_score(nats, tokens=len(nats), characters=500_000, unit="word")
        assert found.perplexity.lower < found.perplexity.value < found.perplexity.upper
        assert found.bits_per_character.lower < found.bits_per_character.value < found.bits_per_character.upper
        widths.append(found.perplexity.upper / found.perplexity.lower)
    assert widths[1] > 2 * widths[0]
    again = language_score(alone, tokens=len(alone), characters=500_000, unit="word")
    assert again == language_score(alone, tokens=len(alone), characters=500_000, unit="word")


def test_the_rule_is_told() -> None:
    found = language_score(np.ones(100), tokens=100, characters=500, unit="given", lines=7, ends=2, unknown=5)
    assert found.rule.startswith("perplexity is for each of 100 words, 7 ends of lines and 2 <eos> among them; 5.0%")
    scores = found.scores()
    assert scores.labels["perplexity"] == "perplexity per word"
    assert scores["bits_per_character"] == found.bits_per_character.value
    none = language_score(np.ones(9), tokens=9, characters=9, unit="char")
    assert none.rule == "perplexity is for each of 9 characters, no <eos> among them"


def test_an_impossible_token_makes_the_perplexity_infinite() -> None:
    found = language_score(np.array([1.0, math.inf]), tokens=2, characters=2, unit="char")
    assert found.perplexity.value == math.inf


def test_what_is_no_score_is_refused() -> None:
    for nats, tokens, characters, told in (
        (np.zeros(0), 0, 0, "0 tokens and 0 characters"),
        (np.ones(3), 4, 4, r"shape \(3,\), expected \[4\]"),
        (np.array([1.0, math.nan]), 2, 2, "token 1 costs NaN"),
    ):
        with pytest.raises(DataError, match=told):
            language_score(nats, tokens=tokens, characters=characters, unit="char")


def test_a_difference_is_of_the_same_stretches() -> None:
    random = np.random.default_rng(1)
    hard = np.repeat(random.exponential(2, 60), 500)
    better = hard - 0.05 + random.normal(0, 0.01, len(hard))
    found = language_difference(better, hard)
    assert found.value < 0
    assert found.upper < 0
    assert found.p < 0.05
    assert language_difference(hard, hard).value == 0
    with pytest.raises(DataError, match="the same"):
        language_difference(hard, hard[1:])


@given(st.integers(1, 200_000))
def test_stretches_are_long_but_many(tokens: int) -> None:
    sizes = np.bincount(blocks(tokens))
    assert len(blocks(tokens)) == tokens
    assert sizes.max() <= 1_000
    assert len(sizes) >= min(40, math.ceil(tokens / 50))
