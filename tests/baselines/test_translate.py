"""The rivals of a translator and a summariser: which apply, and what they say."""

from typing import Any

import pytest

from latchwork import optional
from latchwork.baselines import Side, run_text_baselines, sentences
from latchwork.errors import DataError, MissingExtra
from latchwork.sequences import Labelled


def side(content: list[Any], labels: list[Any]) -> Side:
    names = tuple(map(str, range(len(content))))
    return Side(Labelled(tuple(content), tuple(labels), names, names))


def score(text: str, target: str) -> float:
    own, theirs = set(text.split()), set(target.split())
    return 2 * len(own & theirs) / max(len(own) + len(theirs), 1)


GERMAN = ["Ein Hund rennt.", "Zwei Männer sitzen am Tisch.", "Ein Kind lacht im Garten."]
ENGLISH = ["A dog runs.", "Two men sit at a table.", "A child laughs in the garden."]
LONG = [
    "We know little of cells. We propose a gate for each cell. It works well on text. Nothing else was tried here.",
    "Texts are long and dull. A summary of a text helps everyone. We made one in a day. More will follow soon.",
]
SHORT = ["We propose a gate for each cell.", "A summary of a text helps everyone."]


def test_a_translation_is_compared_with_copies_and_neighbours() -> None:
    test = side(["Zwei Männer lachen am Tisch.", "Ein Hund rennt schnell.", "Völlig Unbekanntes"], [None] * 3)
    answers = {one.name: one for one in run_text_baselines(side(GERMAN, ENGLISH), test, score)}
    assert set(answers) == {"copy of the source", "nearest training source"}
    assert answers["copy of the source"].texts == list(test.labelled.content)
    nearest = answers["nearest training source"].texts
    assert nearest is not None
    assert nearest[:2] == [ENGLISH[1], ENGLISH[0]]
    assert nearest[2] in ENGLISH


def test_a_summary_is_compared_with_leads_and_the_oracle() -> None:
    train, test = side(LONG * 5, SHORT * 5), side(LONG, [SHORT[0], ("Something else.", "We made one in a day.")])
    answers = {one.name: one for one in run_text_baselines(train, test, score)}
    lead, oracle = answers["leading sentences"], answers["oracle extract"]
    assert lead.note == "the first 2 sentences"
    assert lead.texts == ["We know little of cells. We propose a gate for each cell.", " ".join(sentences(LONG[1])[:2])]
    assert oracle.texts == [SHORT[0], "We made one in a day."]
    assert [one.name for one in answers.values() if one.oracle] == ["oracle extract"]


def test_an_oracle_stops_where_no_sentence_helps_and_keeps_their_order() -> None:
    pairs = side(["One here. Two here. Three here. Other words follow."] * 4, ["Three Two"] * 4)
    test = side(["Three a b. More c d. Two e f. Then g h."], ["Two e f. Three a b."])
    answers = {one.name: one for one in run_text_baselines(pairs, test, score)}
    assert answers["leading sentences"].note == "the first 3 sentences"
    assert answers["oracle extract"].texts == ["Three a b. Two e f."]


def test_sources_that_are_no_texts_have_the_most_frequent_target() -> None:
    (answer,) = run_text_baselines(side([1, 2, 3], ["a", "b", "b"]), side([4, 5], [None, None]), score)
    assert (answer.name, answer.texts, answer.note) == ("most frequent target", ["b", "b"], "of 2 in training")


def test_sources_without_a_word_have_no_neighbours() -> None:
    answers = run_text_baselines(side([" ", "  "], ["a", "a"]), side(["x"], [None]), score)
    assert answers[1].texts == ["a"]


def test_scripts_without_blanks_have_neighbours() -> None:
    train = side(["我喜欢猫", "他在跑步"], ["I like cats", "he runs"])
    answers = run_text_baselines(train, side(["他跑步了", "猫很可爱"], [None, None]), score)
    assert answers[1].texts == ["he runs", "I like cats"]


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(module: str) -> None:
        raise MissingExtra(f"no {module}")

    monkeypatch.setattr(optional, "load", absent)
    answers = run_text_baselines(side(GERMAN, ENGLISH), side(["x"], [None]), score)
    assert answers[1].texts is None
    assert answers[1].note == "no sklearn.feature_extraction.text"


def test_sources_without_targets_are_refused() -> None:
    with pytest.raises(DataError, match="no training source has a target"):
        run_text_baselines(side(["a"], [None]), side(["a"], [None]), score)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        (
            "As in Fig. 3, e.g. BERT by J. Smith et al. Then more.",
            ["As in Fig. 3, e.g. BERT by J. Smith et al. Then more."],
        ),
        ("It is 3.5 m. long", ["It is 3.5 m. long"]),
        ('He said "Yes." She left.', ['He said "Yes."', "She left."]),
        ("这是一句。这是第二句！好", ["这是一句。", "这是第二句！", "好"]),
        ("a line\n\n another one ", ["a line", "another one"]),
        ("Ende. Übung macht den Meister. ¿Qué? Élan.", ["Ende.", "Übung macht den Meister.", "¿Qué?", "Élan."]),
        ("", []),
        (" \n ", []),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected
