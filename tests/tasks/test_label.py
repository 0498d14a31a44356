"""The options of labelling: what is refused, rules of spans, and labels that are cut with their steps."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from latchwork.errors import ConfigError, DataError
from latchwork.evaluation import score_labelled, score_sequences
from latchwork.layers import Augment, Network
from latchwork.sequence_model import SequenceModel
from latchwork.tasks import Label, SequenceSetup, read_examples
from latchwork.training import Training, fit_sequences

sys.path.insert(0, str(Path(__file__).parents[1]))
import tiny

QUICK = Training(steps=4, batch_size=8, evaluate_every=2, device="cpu")
SMALL = Network(hidden_size=4)


def prepared(task: Label, source: Path) -> SequenceSetup:
    return SequenceSetup.of(task, *read_examples(task, source), SMALL, seed=0)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"class_weight": "some"}, "class_weight"),
        ({"class_weight": "balanced", "crf": True}, "leave it out with crf"),
        ({"augment": Augment(crop=0.1)}, "would move steps away from their labels"),
        ({"convolutions": ("8x3/2",)}, "leave none to label"),
    ],
)
def test_what_can_not_be_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Label(**options)


def test_options_without_a_use_are_refused(tmp_path: Path) -> None:
    spans = tiny.write_words(tmp_path / "a.conll")
    with pytest.raises(ConfigError, match=r"class_weight is for the loss of single steps.*crf=false"):
        prepared(Label(class_weight="balanced"), spans)
    assert prepared(Label(class_weight="balanced", crf=False), spans).pipeline.module.crf is None
    words = tiny.write_words(tmp_path / "b.conll", spans=False)
    with pytest.raises(ConfigError, match='metric is "span_f1"'):
        prepared(Label(metric="span_f1"), words)
    with pytest.raises(ConfigError, match='metric is "roc_auc"'):
        prepared(Label(metric="roc_auc"), words)
    with pytest.raises(DataError, match="marks no span"):
        prepared(Label(spans=True), words)
    states = tiny.write_states(tmp_path / "c.csv")
    with pytest.raises(ConfigError, match="cut into pieces that all stay"):
        prepared(Label(id="id", max_length=3, keep="end"), states)


@pytest.mark.parametrize("options", [{"crf": False}, {"spans": False}, {"characters": False}, {"metric": "accuracy"}])
def test_every_option_changes_something(options: dict[str, Any], tmp_path: Path) -> None:
    source = tiny.write_words(tmp_path / "a.conll")
    made = []
    for task in (Label(), Label(**options)):
        fitted = fit_sequences(task, *read_examples(task, source), SMALL, QUICK)
        made.append((fitted.setup.pipeline.fingerprint(), tuple(fitted.outcome.best)))
    assert made[0] != made[1]


def test_weights_change_the_loss_of_steps(tmp_path: Path) -> None:
    source = tiny.write_words(tmp_path / "a.conll", spans=False)
    made = [fit_sequences(one, *read_examples(one, source), SMALL, QUICK).setup.pipeline.fingerprint()
            for one in (Label(), Label(class_weight="balanced"))]  # fmt: skip
    assert made[0] != made[1]


def test_spans_that_begin_with_i_are_learnt_without_the_rules(tmp_path: Path) -> None:
    lines = "".join(f"{name} I-PER\nruns O\nin O\nRome I-LOC\n\n" for name in tiny.NAMES * 8)
    (tmp_path / "a.conll").write_text(lines)
    task = Label()
    fitted = fit_sequences(task, *read_examples(task, tmp_path / "a.conll"), SMALL, QUICK)
    assert any("IOB1" in note for note in fitted.setup.notes)
    losses = [record["loss"] for record in fitted.outcome.history if "loss" in record]
    assert max(losses) < 10  # a rule that is broken would cost 10,000
    crf = fitted.setup.pipeline.module.crf
    assert crf is not None
    assert not crf.rules_start.any()
    ruled = prepared(Label(), tiny.write_words(tmp_path / "b.conll")).pipeline.module.crf
    assert ruled is not None
    assert ruled.rules_start.any()


@pytest.mark.parametrize(("keep", "steps"), [("start", [0, 1, 2, 3]), ("end", [2, 3, 4, 5]), ("both", [0, 3, 4, 5])])
def test_labels_are_cut_with_their_steps(keep: str, steps: list[int], tmp_path: Path) -> None:
    """Six words, each with a label of its own: whichever four are left, each keeps its own."""
    lines = [
        f"{word}{'x' * (row % 3)} {tag}" for row in range(24) for word, tag in zip("abcdef", "ABCDEF", strict=True)
    ]
    text = "".join(line + ("\n\n" if place % 6 == 5 else "\n") for place, line in enumerate(lines))
    (tmp_path / "a.conll").write_text(text)
    task = Label(max_length=4, keep=keep, crf=False)
    setup = prepared(task, tmp_path / "a.conll")
    names = setup.pipeline.targets.classes
    for row, truth in enumerate(setup.truth):
        assert "".join(names[code] for code in truth) == "".join("ABCDEF"[step] for step in steps)
        words = setup.pipeline.modality.strings(setup.labelled.select([row]))[0]  # type: ignore[union-attr]
        assert [word[0] for word in words] == ["abcdef"[step] for step in steps]
    fitted = fit_sequences(task, *read_examples(task, tmp_path / "a.conll"), SMALL, QUICK)
    evaluation = score_sequences(fitted.setup)
    assert {"".join(one) for one in evaluation.truth.names} == {"".join("ABCDEF"[step] for step in steps)}
    by_word = evaluation.scoreboard.row(next(r.name for r in evaluation.scoreboard.rows if "word" in r.name))
    assert by_word.values["accuracy"] == 1.0
    model = SequenceModel(fitted.setup.pipeline)
    alone = model.evaluate(tmp_path / "a.conll")
    assert alone.truth.names[0] == evaluation.truth.names[0]
    frame = model.predict(tmp_path / "a.conll")
    assert frame["step"].to_list()[:4] == [step + 1 for step in steps]
    assert [word[0] for word in frame["word"].to_list()[:4]] == ["abcdef"[step] for step in steps]


def test_labels_that_training_never_saw_are_wrong_and_said(tmp_path: Path) -> None:
    source = tiny.write_words(tmp_path / "a.conll", spans=False)
    (tmp_path / "test.conll").write_text("the WORD\nParis CITY\nAnn NAME\n\nthe WORD\n\n")
    task = Label(test=tmp_path / "test.conll")
    fitted = fit_sequences(task, *read_examples(task, source), SMALL, QUICK)
    board = score_sequences(fitted.setup).scoreboard
    assert any('1 step has a label that training never saw ("CITY")' in note for note in board.notes)
    by_word = board.row(next(row.name for row in board.rows if "word" in row.name))
    assert by_word.values["accuracy"] == pytest.approx(3 / 4)
    assert by_word.lower <= 3 / 4 <= by_word.upper or np.isnan(by_word.lower)
    alone = score_labelled(fitted.setup.pipeline, fitted.setup.pipeline.read(tmp_path / "test.conll", labelled=True))
    assert alone.scoreboard.model.values["accuracy"] <= 3 / 4


def test_spans_that_training_never_saw_are_missed_on_validation(tmp_path: Path) -> None:
    source = tiny.write_words(tmp_path / "a.conll")
    (tmp_path / "dev.conll").write_text("Paris B-CITY\nis O\n\nthe O\n\n")
    task = Label(validation=tmp_path / "dev.conll")
    setup = prepared(task, source)
    truth = setup.part(setup.split.validation)[1]
    scores = [np.zeros((len(one), len(setup.pipeline.targets.classes))) for one in truth]
    outside = setup.pipeline.targets.classes.index("O")
    for one in scores:
        one[:, outside] = 50.0
    assert setup.judged(scores, truth)["span_f1"] == 0.0
    assert setup.judged(scores, truth)["choice"] == 1.0


def test_scored_without_a_validation_part(tmp_path: Path) -> None:
    source = tiny.write_words(tmp_path / "a.conll")
    task = Label(validation_size=0)
    fitted = fit_sequences(task, *read_examples(task, source), SMALL, QUICK)
    assert fitted.outcome.best == {}
    assert len(score_sequences(fitted.setup).scoreboard.rows) > 2
