import os
import string
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latchwork.modalities import PairOptions, lint_corpus, lint_pairs, read_corpus, read_pairs
from latchwork.modalities.lint_language import Profile, strangers

ENGLISH = "the old man and a young woman were walking with their small brown dog through this green park in winter"
GERMAN = "der alte Mann und eine junge Frau gingen mit ihrem kleinen braunen Hund durch diesen grünen Park im Winter"
FINNISH = "vanha mies ja nuori nainen kävelivät pienen ruskean koiransa kanssa tämän vihreän puiston läpi talvella"


def lines(words, count, seed=0, length=9):
    drawn = np.random.default_rng(seed)
    return [" ".join(drawn.choice(words.split(), length)).capitalize() + "." for _ in range(count)]


SOURCES, TARGETS = lines(GERMAN, 200), lines(ENGLISH, 200)


def pairs(**changed):
    sources, targets = list(SOURCES), list(TARGETS)
    for row, (source, target) in changed.items():
        at = int(row.removeprefix("at"))
        sources[at], targets[at] = source or sources[at], target or targets[at]
    return read_pairs(list(zip(sources, targets, strict=True)))


def kinds(findings):
    return {one.kind: one for one in findings}


def test_nothing_is_odd():
    assert lint_pairs(pairs()) == []
    assert lint_corpus(read_corpus(["\n".join(TARGETS) + "\n"])) == []


def test_empty_sides_of_pairs():
    found = kinds(lint_pairs(pairs(at3=(" ", None), at5=(" ", None))))["empty"]
    assert (found.count, found.total) == (2, 200)
    assert str(found) == "2 of 200 sources are empty (pair 4; pair 6)"


def test_pairs_that_stand_twice_or_in_two_parts():
    own = pairs(at7=(SOURCES[1], TARGETS[1].upper()))
    assert str(kinds(lint_pairs(own))["repeated"]).startswith(
        "1 of 200 pairs stood before, source and target (pair 8: "
    )
    parts = ("train",) * 100 + ("validation",) * 50 + ("test",) * 50
    apart = replace(pairs(at120=(SOURCES[1], "Another answer that is as long as the others are here."),
                          at199=(SOURCES[2].upper(), None)), parts=parts)  # fmt: skip
    shared = [one for one in lint_pairs(apart) if one.kind == "shared"]
    assert [one.text for one in shared] == [
        "1 of 50 sources of the validation part stand in the training part too",
        "1 of 50 sources of the test part stand in the training part too",
    ]
    assert shared[1].examples[0][0] == "pair 200"


def test_lengths_of_pairs():
    long = " ".join(lines(GERMAN, 20, seed=1))
    found = kinds(lint_pairs(pairs(at9=(long, None))))
    assert found["long"].examples[0][0] == found["ratio"].examples[0][0] == "pair 10"
    assert "200 sources are over 10 times as long as is usual there" in found["long"].text
    assert found["ratio"].count == 1


def test_targets_that_are_their_sources():
    found = kinds(lint_pairs(pairs(at9=(TARGETS[9], None), at4=(None, SOURCES[4]))))
    assert found["same"].count == 2
    languages = [
        one for one in lint_pairs(pairs(at9=(TARGETS[9], None), at4=(None, SOURCES[4]))) if one.kind == "language"
    ]
    assert [one.examples[0][0] for one in languages] == ["pair 10", "pair 5"]


def test_tokenised_beside_raw_text():
    cut = TARGETS[6].replace(".", " .")
    found = kinds(lint_pairs(pairs(at6=(None, cut))))["tokenised"]
    assert (found.count, found.examples[0]) == (1, ("pair 7", cut))
    most = read_corpus(["\n".join([*(one.replace(".", " .") for one in TARGETS), *TARGETS[:3]])])
    found = kinds(lint_corpus(most))["tokenised"]
    assert found.count == 3
    assert "most are tokenised" in found.text


def test_lines_in_another_language():
    strange = lines(FINNISH, 4, seed=3)
    texts = [*TARGETS[:50], *strange, *TARGETS[50:]]
    found = kinds(lint_corpus(read_corpus(["\n".join(texts)])))["language"]
    assert {text for _, text in found.examples} <= set(strange)
    assert found.count == 4
    assert found.examples[0][0].startswith("text 1: line 5")


def test_lines_of_a_corpus(tmp_path):
    (tmp_path / "a.txt").write_text("\n".join([*TARGETS[:20], "", TARGETS[3], "x" * 5000, "Yes.", "Yes."]) + "\n")
    found = kinds(lint_corpus(read_corpus(tmp_path / "a.txt")))
    assert found["empty"].examples == (("a.txt: line 21", ""),)
    assert found["repeated"].examples == (("a.txt: line 22", TARGETS[3]),)
    assert found["long"].examples[0] == ("a.txt: line 23", "x" * 79 + "…")
    parts = {"train": tmp_path / "a.txt", "test": ["\n".join(["Yes.", TARGETS[3], "No."])]}
    assert kinds(lint_corpus(read_corpus(parts)))["shared"].text == (
        "1 of 3 lines of the test part stand in the training part too"
    )


def test_texts_of_a_corpus():
    found = kinds(lint_corpus(read_corpus(["a text", "", "A  text", "b"])))
    assert found["empty"].text == "1 of 4 texts are empty"
    assert found["repeated"].examples == (("text 3", "A text"),)
    parts = {"train": ["a text", "b"], "validation": ["B"], "test": ["c"]}
    assert "validation" in kinds(lint_corpus(read_corpus(parts)))["shared"].text


def test_long_lines_and_strange_letters():
    texts = ["x" * 1_000_000, "猫が好き\n" * 50, "\ud83d".encode("utf-8", "replace").decode(), *TARGETS]
    assert kinds(lint_corpus(read_corpus(texts)))["long"].count >= 1


@given(st.lists(st.text(string.ascii_letters + " .é猫", max_size=60), min_size=1, max_size=8))
def test_any_texts_have_findings_or_none(texts):
    count = len(texts)
    rows = strangers(texts * 5, np.ones(count * 5, np.bool_), Profile.of(TARGETS))
    assert set(rows.tolist()) <= set(range(count * 5))
    if any(one.strip() for one in texts):
        assert all(0 < one.count <= one.total for one in lint_corpus(read_corpus(texts)))
        labelled = read_pairs([(one, "x") for one in texts])
        assert all(0 < one.count <= one.total for one in lint_pairs(labelled))


def test_a_profile_of_much_text_is_of_some_of_it(monkeypatch):
    monkeypatch.setattr("latchwork.modalities.lint_language._MANY", 500)
    monkeypatch.setattr("latchwork.modalities.lint_language._BLOCK", 100)
    some = Profile.of(TARGETS)
    assert 0 < some.letters < 1000
    fit, letters = some.fit(TARGETS)
    assert len(fit) == len(letters) == 200
    alone = some.fit(TARGETS[7:8])
    np.testing.assert_allclose(alone[0][0], fit[7])


@pytest.mark.data
def test_planted_lines_are_found_in_public_pairs():
    folder = Path(os.environ["LATCHWORK_DATA"]) / "multi30k"
    found = read_pairs(folder, PairOptions(source="de", target="en"))
    french = read_pairs(folder, PairOptions(source="fr", target="en"))
    sources = list(found.content)
    rows = np.random.default_rng(0).choice(29_000, 60, replace=False)
    for row in rows[:30]:
        sources[row] = french.content[row]
    for row in rows[30:]:
        sources[row] = found.labels[row]
    findings = lint_pairs(replace(found, content=tuple(sources)))
    told = next(one for one in findings if one.kind == "language" and "sources" in one.text)
    assert 45 <= told.count <= 75
