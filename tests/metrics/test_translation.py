"""BLEU and chrF are sacrebleu's, and their sums give the same; ROUGE against values found by hand."""

import math
import random

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from latchwork.errors import ConfigError, DataError
from latchwork.metrics import bleu, chrf, closeness, copied, repeated, rouge
from latchwork.metrics.translation import _common, ngrams, words

TEXTS = ["A dog runs over the grass.", "Two men are at a table", "", "The child, who laughs, jumps."]
REFERENCES = [
    "A brown dog runs across the grass.",
    ["Two men sit at a table.", "Two people are sitting at a table."],
    "Nothing was said.",
    "The child who laughs jumps into the pool!",
]
sentence = st.lists(st.sampled_from(["a", "b", "c", "dog", ".", "the"]), max_size=9).map(" ".join)


# ---- BLEU, chrF


def test_the_figures_carry_sacrebleus_signature() -> None:
    found = bleu(TEXTS, REFERENCES)
    assert found.signature.startswith("nrefs:var|case:mixed|eff:no|tok:13a|smooth:exp|version:")
    assert "tok:zh" in bleu(["我们"], ["我 们"], tokenizer="zh").signature
    assert chrf(TEXTS, REFERENCES).signature.startswith("nrefs:var|case:mixed|eff:yes|nc:6|nw:0|space:no")
    assert chrf(TEXTS, REFERENCES, word_order=2).name == "chrF2++"


def test_a_bleu_found_by_hand() -> None:
    # 5 of 6 words, 3 of 5 pairs, 1 of 4 triples, 0 of 3 fours, which count half: (5/6 3/5 1/4 1/6)^(1/4).
    found = bleu(["a b c x e f"], ["a b c d e f"], tokenizer="none")
    assert found.value == pytest.approx(100 * (5 / 6 * 3 / 5 * 1 / 4 * 1 / 6) ** 0.25)


@settings(max_examples=60)
@given(st.lists(st.tuples(sentence, st.lists(sentence, min_size=1, max_size=2)), min_size=1, max_size=5))
@example([("", [""])])
@example([("a", ["a"])])
@example([("a b c dog", ["b a dog c"])])
def test_the_sums_give_the_corpus_figure(pairs: list[tuple[str, list[str]]]) -> None:
    texts, references = [one for one, _ in pairs], [several for _, several in pairs]
    for found in (bleu(texts, references), bleu(texts, references, tokenizer="char"), chrf(texts, references)):
        assert float(found.figure(found.sums.sum(0))) == pytest.approx(found.value, abs=1e-9)


def test_intervals_and_differences_draw_whole_texts() -> None:
    shuffled = random.Random(0)
    references = [" ".join(shuffled.choices(["one", "two", "three", "four", "five", "six"], k=12)) for _ in range(60)]
    good = [one.replace("six", "seven") for one in references]
    bad = [one.replace("five", "eight").replace("four", "nine") for one in good]
    for measure in (bleu, chrf):
        first, second = measure(good, references), measure(bad, references)
        interval = first.interval(samples=200)
        assert interval.lower < interval.value == first.value < interval.upper <= 100
        found = first.minus(second, samples=200)
        assert found.value == pytest.approx(first.value - second.value)
        assert found.lower > 0
    with pytest.raises(DataError, match="expected the same"):
        bleu(good, references).minus(chrf(bad, references))
    with pytest.raises(ConfigError, match="word_order"):
        chrf(good, references, word_order=2).interval()


def test_text_that_was_cut_into_words_is_noted() -> None:
    assert "1 of 2 texts end in a blank before the sign" in bleu(["a b .", "c."], ["a b .", "c."]).note
    assert bleu(["a b."], ["a b."]).note == ""


def test_what_can_not_be_compared_is_refused() -> None:
    for texts, references, told in (
        (["a"], [], "1 texts and 0 references"),
        ([], [], "at least one"),
        (["a"], [[]], "text 0 has no reference"),
    ):
        for measure in (bleu, chrf, rouge):
            with pytest.raises(DataError, match=told):
                measure(texts, references)  # type: ignore[operator]
    with pytest.raises(ConfigError, match="flores200"):
        bleu(["a"], ["a"], tokenizer="flores200")  # type: ignore[arg-type]


# ---- ROUGE


def test_rouge_found_by_hand() -> None:
    # 5 of 6 words on both sides; "the cat", "on the", "the mat" of 5 pairs; the cat … on the mat.
    found = rouge(["The cat was on the mat."], ["the cat sat on the mat"])
    assert found["rouge1"].value == pytest.approx(100 * 5 / 6)
    assert found["rouge2"].value == pytest.approx(100 * 3 / 5)
    assert found["rougeL"].value == pytest.approx(100 * 5 / 6)
    assert closeness("The cat was on the mat.", "the cat sat on the mat") == pytest.approx(100 * (5 / 3 + 3 / 5) / 3)


def test_rouge_counts_a_word_as_often_as_both_have_it() -> None:
    found = rouge(["b a a", "x"], ["a b a a a", "y"])
    assert found["rouge1"].value == pytest.approx(100 * (2 * 3 / 8) / 2)  # the second text shares nothing
    assert found["rougeL"].value == pytest.approx(100 * (2 * 3 / 8) / 2)
    assert found["rouge2"].value == pytest.approx(100 * (2 * 2 / 6) / 2)


def test_the_best_reference_counts_for_each_figure() -> None:
    found = rouge(["a b c"], [["c b a", "a b z y x w v"]])
    assert found["rouge1"].value == pytest.approx(100)
    assert found["rouge2"].value == pytest.approx(100 * 2 / 8)
    assert found["rougeL"].value == pytest.approx(100 * 4 / 10)
    assert found["rouge1"].signature.startswith("nrefs:2|")


@given(st.lists(st.sampled_from("abc"), max_size=12), st.lists(st.sampled_from("abc"), max_size=12))
def test_the_longest_common_subsequence_is_that_of_the_table(first: list[str], second: list[str]) -> None:
    table = np.zeros((len(first) + 1, len(second) + 1), int)
    for i, one in enumerate(first):
        for j, other in enumerate(second):
            table[i + 1, j + 1] = table[i, j] + 1 if one == other else max(table[i, j + 1], table[i + 1, j])
    assert _common(first, second) == table[-1, -1]


@pytest.mark.parametrize(
    "text", ["привет мир", "深層学習とは何か", "हिन्दी में लिखा", "สวัสดีครับ", "άλφα βήτα", "مرحبا بالعالم"]
)
def test_every_script_is_kept(text: str) -> None:
    assert words(text)
    assert "".join(words(text)) == "".join(text.split())
    assert rouge([text], [text])["rouge1"].value == pytest.approx(100)


def test_words() -> None:
    assert words("It's 3.5% Straße, e\u0301te\u0301!") == ["it", "s", "3", "5", "strasse", "été"]
    assert words("A-b?!", signs=True) == ["a", "-", "b", "?", "!"]
    assert words("GPT模型2号") == ["gpt", "模", "型", "2", "号"]
    assert words(" .,; ") == []


# ---- loops and copies


def test_loops_are_seen() -> None:
    assert repeated(["no loop in this one at all"]).value == 0
    # "a b a b a b a b": five fours, two of them different.
    assert repeated(["a b " * 4]).value == pytest.approx(100 * 3 / 5)
    assert repeated(["!!!!!!"]).value == pytest.approx(100 * 2 / 3)
    assert repeated(["too short"]).value == 0
    assert repeated(["a a a", "b c d"], n=1).value == pytest.approx(100 * 2 / 6)


def test_copies_are_seen() -> None:
    assert copied(["The dog runs"], ["the dog sleeps"]).value == pytest.approx(100 * 2 / 3)
    assert copied(["The dog runs"], ["the dog sleeps"], 2).value == pytest.approx(100 / 2)
    assert copied([""], ["a"]).value == 0
    found = copied(["a b", "c d"] * 10, ["a x", "c d"] * 10)
    assert found.interval(samples=200).lower < 75 < found.interval(samples=200).upper
    with pytest.raises(ConfigError, match="n is 0"):
        ngrams(["a"], 0)


@given(st.lists(st.text(max_size=20), min_size=1, max_size=4))
def test_any_text_has_figures(texts: list[str]) -> None:
    for found in (*rouge(texts, texts[::-1]).values(), repeated(texts), copied(texts, texts)):
        assert 0 <= found.value <= 100
        assert not math.isnan(found.value)
