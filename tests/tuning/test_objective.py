"""What a trial sees, and what it is worth."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latchwork.errors import ConfigError
from latchwork.layers import Network
from latchwork.sequences import Labelled
from latchwork.tasks import Classify, SequenceSetup, read_examples, split_of
from latchwork.training import Training
from latchwork.tuning import Objective, Options
from latchwork.tuning.objective import UNITS, OutOfTimeError

TASK = Classify(embedding=4, split="part")
OPTIONS = Options(TASK, Network(hidden_size=3), Training(steps=9, evaluate_every=1, batch_size=8))


def labelled(count: int, entities: int | None = None) -> Labelled:
    """As many texts of two classes, some of the same entity."""
    groups = None if entities is None else tuple(f"e{row % entities}" for row in range(count))
    content = tuple(f"text number {'x' * row}" for row in range(count))
    ids = tuple(map(str, range(count)))
    labels = tuple("ab"[row // 3 % 2] for row in range(count))
    order = np.arange(count, dtype=np.float64)
    return Labelled(content, labels, ids, ids, groups=groups, order=order)


@given(st.integers(30, 80), st.integers(2, 5), st.integers(0, 9), st.sampled_from([None, 25]), st.booleans())
def test_the_test_part_is_not_there(count: int, folds: int, seed: int, entities: int | None, by_time: bool) -> None:
    task, whole = Classify(by_time=by_time), labelled(count, None if by_time else entities)
    outer = split_of(task, whole, seed=seed)
    test = {whole.ids[row] for row in outer.test}
    objective = Objective.of(task, "text", whole, folds=folds, seed=seed)
    assert test
    assert not test & set(objective.labelled.ids)
    assert len(objective.splits) == folds
    judged = np.concatenate([one.validation for one in objective.splits])
    assert len(judged) == len(set(judged.tolist()))
    if not by_time:
        assert sorted(judged) == list(range(len(objective.labelled)))
    for one in objective.splits:
        assert not len(one.test)
        assert not set(one.train) & set(one.validation)
        if entities and not by_time:
            assert objective.labelled.groups is not None
            sides = [{objective.labelled.groups[row] for row in part} for part in (one.train, one.validation)]
            assert not sides[0] & sides[1]
        if by_time:
            assert max(one.train) < min(one.validation)


@given(st.integers(30, 80), st.integers(0, 9))
def test_one_fold_is_the_validation_part(count: int, seed: int) -> None:
    whole = labelled(count)
    outer = split_of(TASK, whole, seed=seed)
    objective = Objective.of(TASK, "text", whole, folds=1, seed=seed)
    (inner,) = objective.splits
    for name in ("train", "validation"):
        rows = [int(objective.labelled.ids[row]) for row in inner.part(name)]
        assert rows == sorted(outer.part(name).tolist())


def test_without_a_validation_part_there_are_folds_or_nothing() -> None:
    task = Classify(validation_size=0)
    with pytest.raises(ConfigError, match="validation_size above 0, or folds"):
        Objective.of(task, "text", labelled(40), folds=1, seed=0)
    assert len(Objective.of(task, "text", labelled(40), folds=2, seed=0).splits) == 2


def test_what_stands_in_the_test_part_changes_nothing(texts: Path, other_texts: Path) -> None:
    found = []
    for path in (texts, other_texts):
        kind, whole = read_examples(TASK, path)
        found.append(Objective.of(TASK, kind, whole, folds=2, seed=0).worth(OPTIONS))
    assert found[0] == found[1]


def test_a_trial_is_worth_what_training_judges_by(texts: Path) -> None:
    kind, whole = read_examples(TASK, texts)
    objective = Objective.of(TASK, kind, whole, folds=2, seed=0)
    told: list[tuple[int, float]] = []
    found = objective.worth(OPTIONS, report=lambda unit, value: told.append((unit, value)))
    assert [unit for unit, _ in told] == list(range(1, UNITS))
    assert found.value == np.mean(found.folds)
    assert told[-1][1] >= found.value
    setup = SequenceSetup.of(TASK, kind, objective.labelled, OPTIONS.network, seed=0, split=objective.splits[0])
    assert setup.metric == "accuracy"
    assert 0 <= found.figure <= 1


def test_a_report_may_end_a_trial_and_so_may_the_time(texts: Path) -> None:
    kind, whole = read_examples(TASK, texts)
    objective = Objective.of(TASK, kind, whole, folds=2, seed=0)

    def stop(unit: int, value: float) -> None:
        raise RuntimeError(f"at {unit}")

    with pytest.raises(RuntimeError, match="at 1"):
        objective.worth(OPTIONS, report=stop)
    with pytest.raises(OutOfTimeError):
        objective.worth(OPTIONS, deadline=0.0)


def test_an_aim_is_for_later(texts: Path) -> None:
    task = Classify(embedding=4, split="part", aim="recall>=0.9", bound="exact")
    kind, whole = read_examples(task, texts)
    plain, aimed = (
        Objective.of(one, kind, whole, folds=1, seed=0).worth(OPTIONS._replace(task=one)) for one in (TASK, task)
    )
    assert plain == aimed
