"""Kneser-Ney against its formula and on the Penn Treebank; the rivals of a language model."""

import gzip
import math
import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from latchwork.baselines import KneserNey, TextSide, kneser_ney, run_language_baselines
from latchwork.baselines import language as rules
from latchwork.errors import ConfigError, DataError

Array = NDArray[np.float64]
text_of = st.lists(st.integers(0, 4), max_size=60)
START = 5


def by_formula(text: Sequence[int], vocabulary: int, order: int, history: Sequence[int]) -> Array:
    """p of every token after a history, by the sums of the module's docstring, n-gram by n-gram."""
    padded = [START] * order + list(text)
    grams = [{tuple(padded[end - n : end]) for end in range(order + 1, len(padded) + 1)} for n in range(1, order + 2)]
    p = np.full(vocabulary, 1 / vocabulary)
    for n in range(1, order + 1):
        counts: dict[tuple[int, ...], int] = defaultdict(int)
        if n == order:
            for end in range(order + 1, len(padded) + 1):
                counts[tuple(padded[end - n : end])] += 1
        else:
            for gram in grams[n]:
                counts[gram[1:]] += 1
        n1, n2, n3, n4 = (sum(c == k for c in counts.values()) for k in (1, 2, 3, 4))
        discounts = [0.5, 1.0, 1.5]
        if n1 and n2 and n3 and n4:
            y = n1 / (n1 + 2 * n2)
            found = [1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3]
            discounts = found if min(found) > 0 else discounts
        before = tuple(([START] * order + list(history))[len(history) + order - n + 1 :])
        own = {gram[-1]: c for gram, c in counts.items() if gram[:-1] == before}
        if own:
            taken = sum(discounts[min(c, 3) - 1] for c in own.values())
            p = p * taken / sum(own.values())
            for token, c in own.items():
                p[token] += (c - discounts[min(c, 3) - 1]) / sum(own.values())
    return p


@settings(max_examples=60)
@given(text_of, st.integers(1, 4), st.lists(st.integers(0, 4), max_size=5))
@example([0, 1, 0, 1, 0, 1, 0, 2, 0, 1], 3, [0, 1])
@example([], 2, [3])
def test_probabilities_are_the_formula_and_sum_to_one(text: list[int], order: int, history: list[int]) -> None:
    model = KneserNey.fit(text, 5, order=order)
    found = model.probabilities(history)
    assert found.sum() == pytest.approx(1, abs=1e-12)
    assert found.min() > 0
    np.testing.assert_allclose(found, by_formula(text, 5, order, history), rtol=1e-12)


def test_the_discounts_are_those_of_the_counts() -> None:
    text = np.random.default_rng(0).geometric(0.05, 3_000) % 200
    model = KneserNey.fit(text, 200, order=3)
    assert all(0 < one.discounts[1] < 1 and one.discounts[2] < 2 and one.discounts[3] < 3 for one in model.orders)
    assert len({tuple(one.discounts) for one in model.orders}) == 3


@settings(max_examples=40)
@given(text_of, st.lists(st.integers(0, 4), max_size=20), st.lists(st.integers(0, 4), max_size=6), st.integers(1, 4))
def test_a_text_costs_what_its_tokens_do(text: list[int], asked: list[int], context: list[int], order: int) -> None:
    model = KneserNey.fit(text, 5, order=order)
    each = model.nats(asked, context)
    alone = [-math.log(model.probabilities(context + asked[:at])[token]) for at, token in enumerate(asked)]
    np.testing.assert_allclose(each, alone, rtol=1e-9)
    cut = len(asked) // 2
    apart = np.concatenate([model.nats(asked[:cut], context), model.nats(asked[cut:], context + asked[:cut])])
    np.testing.assert_array_equal(each, apart)


def test_a_long_text_is_looked_up_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    text = np.random.default_rng(1).integers(0, 20, 500)
    model = KneserNey.fit(text, 20, order=4)
    whole = model.nats(text[:100], text[-5:])
    monkeypatch.setattr(kneser_ney, "_AT_ONCE", 7)
    np.testing.assert_array_equal(model.nats(text[:100], text[-5:]), whole)


def test_what_is_too_much_is_left_out_and_told() -> None:
    text = np.random.default_rng(2).integers(0, 50, 2_000)
    few = KneserNey.fit(text, 50, order=5, most_tokens=500)
    assert few.note == "fitted on the last 500 of 2,000 tokens"
    np.testing.assert_array_equal(few.nats(text[:50]), KneserNey.fit(text[-500:], 50, order=5).nats(text[:50]))
    lower = KneserNey.fit(text, 50, order=5, most_ngrams=2_000)
    assert lower.note == "2 tokens in a row, as 3 make more than 2,000 different ones"
    np.testing.assert_array_equal(lower.nats(text), KneserNey.fit(text, 50, order=2).nats(text))


def test_tokens_of_another_vocabulary_are_refused() -> None:
    with pytest.raises(DataError, match="token 5 is none of the vocabulary's, expected 0 to 4"):
        KneserNey.fit([1, 5], 5)
    with pytest.raises(DataError, match="token -1"):
        KneserNey.fit([1, 2], 5).nats([-1])
    with pytest.raises(DataError, match="expected whole numbers"):
        KneserNey.fit([[1, 2]], 5)
    with pytest.raises(ConfigError, match="order is 0"):
        KneserNey.fit([1, 2], 5, order=0)


@pytest.mark.data
def test_the_penn_treebank_costs_what_was_published() -> None:
    """About 141 of 5 words in a row (Mikolov 2012, "Statistical language models based on neural networks", 4.2)."""
    folder = Path(os.environ["LATCHWORK_DATA"]) / "ptb"

    def words(part: str) -> list[str]:
        return gzip.decompress((folder / f"ptb.{part}.txt.gz").read_bytes()).decode().replace("\n", " <eos> ").split()

    train, test = words("train"), words("test")
    number = {word: at for at, word in enumerate(dict.fromkeys(train))}
    end = number["<eos>"]
    model = KneserNey.fit([end, *(number[word] for word in train)], len(number))
    nats = model.nats([number[word] for word in test], [end])
    assert len(nats) == 82_430
    assert 140 < math.exp(nats.mean()) < 142


# ---- the rivals


def side(text: str) -> TextSide:
    return TextSide(np.array([2, *(ord(sign) - 90 for sign in text)]), text)


def test_the_rivals_answer_in_one_unit() -> None:
    random = np.random.default_rng(3)
    words = ["alpha", "beta", "gamma", "delta", "epsilon"]
    train, test = (" ".join(random.choice(words, count)) for count in (2_000, 200))
    train, test = train.replace(" ", "z"), test.replace(" ", "z")
    seen: list[tuple[str, float]] = []
    answers = run_language_baselines(
        side(train), side(test), 40, "char", progress=lambda name, part: seen.append((name, part))
    )
    assert [one.name for one in answers] == ["single tokens", "Kneser-Ney n-grams", "xz compressor"]
    single, counted, packed = answers
    assert single.each is not None
    assert counted.each is not None
    assert packed.each is None
    assert len(single.each) == len(counted.each) == len(test)
    assert counted.nats == pytest.approx(counted.each.sum())
    least = 200 * math.log(len(words))  # what such a text can't be told in less than
    assert least < counted.nats < 1.2 * least
    assert counted.nats < packed.nats < single.nats
    assert counted.note == "7 characters in a row"
    assert seen[-1] == ("baselines", 1.0)


def test_other_units_count_fewer_tokens_in_a_row() -> None:
    one = side("abcabc")
    assert run_language_baselines(one, one, 40, "word")[1].note == "5 tokens in a row"


def test_a_long_training_text_is_cut_for_the_compressor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "MOST_BYTES", 1 << 16)
    long = side("ab" * 40_000)
    assert "of the training text" in run_language_baselines(long, side("abab"), 40, "char")[2].note


def test_an_empty_test_text_costs_nothing() -> None:
    assert [one.nats for one in run_language_baselines(side("abc"), side(""), 40, "char")] == [0, 0, 0]
    with pytest.raises(DataError, match="a stream of shape"):
        TextSide(np.zeros(0, np.int64), "")
