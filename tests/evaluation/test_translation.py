"""The scores of a translator: the model and its baselines on the same sources, with what a reader must know."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from latchwork.errors import DataError
from latchwork.evaluation import Scoreboard, score_translated, score_translations
from latchwork.evaluation.translation import by_length
from latchwork.evaluation.translation_report import attention_picture, translation_lines, translation_sections
from latchwork.metrics import rouge

sys.path.insert(0, str(Path(__file__).parents[1]))
import toys


def test_the_board_is_of_the_test_part_and_comes_back_from_a_file() -> None:
    setup = toys.turner()
    progress: list[str] = []
    found = score_translations(setup, progress=lambda what, share: progress.append(what))
    board = found.scoreboard
    labels = [setup.labelled.labels[row] for row in setup.split.test]
    texts = [several[0].text for several in setup.pipeline.translate(setup.labelled.select(setup.split.test))]
    assert board.model.values["rouge_l"] == pytest.approx(rouge(texts, labels)["rougeL"].value)
    assert board.model.lower <= board.model.values["rouge_l"] <= board.model.upper
    assert {"latchwork", "copy of the source", "nearest training source"} <= {row.name for row in board.rows}
    assert [one.rival for one in board.versus] == [row.name for row in found.methods if not row.model]
    assert "beats" in board.verdict()
    assert Scoreboard.from_dict(board.to_dict()) == board
    assert any(note.startswith("ROUGE-L: nrefs:1") for note in board.notes)
    assert any("after the true words" in note for note in board.notes)
    assert "translating" in progress
    assert found.exposure is not None


def test_bleu_comes_with_its_signature_and_chrf_beside_it() -> None:
    setup = toys.turner()
    pipeline = replace(setup.pipeline, task=replace(setup.task, metric="bleu"))
    board = score_translated(pipeline, setup.labelled.select(setup.split.test)).scoreboard
    assert board.metrics[:2] == ("bleu", "chrf")
    assert any("tok:13a" in note for note in board.notes)
    assert 0 < board.model.values["bleu"] <= 100
    assert "stands alone" in board.verdict()


def test_bleu_cuts_texts_as_it_was_told() -> None:
    setup = toys.turner()
    test = setup.labelled.select(setup.split.test)
    boards = [
        score_translated(replace(setup.pipeline, task=replace(setup.task, metric="bleu", bleu_tokenizer=own)), test)
        for own in ("13a", "char")
    ]
    assert any("tok:char" in note for note in boards[1].scoreboard.notes)
    assert boards[0].scoreboard.model.values["bleu"] != boards[1].scoreboard.model.values["bleu"]


def test_several_references_are_all_right() -> None:
    setup = toys.turner()
    rows = setup.split.test
    alone = setup.labelled.select(rows)
    several = replace(alone, labels=tuple((str(label), "AB CD AB CD AB CD") for label in alone.labels))
    figures = [score_translated(setup.pipeline, one).scoreboard.model.values["rouge_l"] for one in (alone, several)]
    assert figures[1] >= figures[0]


def test_without_a_target_there_is_nothing_to_score() -> None:
    setup = toys.turner()
    with pytest.raises(DataError, match="no source has a target"):
        score_translated(setup.pipeline, replace(setup.labelled, labels=(None,) * len(setup.labelled)))


def test_the_report_shows_answers_and_where_they_come_from() -> None:
    setup = toys.copier()
    found = score_translations(setup, baselines=False)
    parts = {part.get("id") for part in translation_sections(found)}
    assert parts == {"answers", "attention", "exposure"}
    assert translation_sections(None) == []
    drawing = attention_picture(found.answers[0])
    marks = [one for one in drawing.iter("rect") if one.get("class") == "hit"]
    assert len(marks) >= len(found.answers[0].words)
    lines = translation_lines(setup)
    assert any(line.startswith("train: 240 pairs") for line in lines)
    assert any("of the kind given" in line for line in lines)
    assert by_length(found) == []
    many = setup.labelled.select(np.resize(setup.split.test, 120))
    groups = by_length(score_translated(setup.pipeline, many))
    assert len(groups) == 4
    assert all(low <= high for low, high, _ in groups)
