"""Cross-validation of classifiers and labellers: whole entities stay together, every sequence is answered once."""

import datetime
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import latchwork as lw
from latchwork.errors import ConfigError, DataError
from latchwork.evaluation import Evaluation, cross_validation
from latchwork.tasks import folds_of, read_examples

QUICK = lw.Training(steps=6, evaluate_every=3, batch_size=8)
SMALL = lw.Network(hidden_size=4)
TASK = lw.Classify(id="id", time="t", group="person", refit=False)


def series(count: int = 60, share: float = 0.5) -> pl.DataFrame:
    random = np.random.default_rng(0)
    rows = []
    for number in range(count):
        up = random.random() < share
        values = random.normal(size=int(random.integers(4, 8))) + (0.5 if up else -0.5)
        rows += [(f"s{number}", f"p{number // 3}", t, float(x), "up" if up else "down") for t, x in enumerate(values)]
    return pl.DataFrame(rows, schema=["id", "person", "t", "x", "label"], orient="row")


def run(**options: Any) -> Any:
    given = {"folds": 3, "network": SMALL, "training": QUICK, **options}
    return lw.cross_validate(given.pop("task", TASK), given.pop("data", series()), **given)


def test_every_fold_and_the_pooled_answers() -> None:
    setups: list[Any] = []
    found = run(seeds=2, ready=lambda setup, findings: setups.append((setup, findings)))
    assert len(setups) == 1
    assert not [one for one in setups[0][1] if one.check == "entity"]
    assert found.folds.figures("latchwork").shape == (3, 2)
    assert [(one.fold, one.seed) for one in found.trials] == [(f, s) for f in range(3) for s in range(2)]
    assert sum(test for _, _, test in found.folds.sizes) == 60
    assert found.pooled.count == 60
    assert found.pooled.unit == "entity"
    each = [one for one in found.folds.scores if one.name == "latchwork" and one.seed == 0]
    sizes = [test for _, _, test in found.folds.sizes]
    mean = np.average([one.values["accuracy"] for one in each], weights=sizes)
    np.testing.assert_allclose(found.pooled.model.values["accuracy"], mean)
    text = str(found)
    assert "every fold" in text
    assert "by entity; seed 0" in text
    json.dumps(found.to_dict(), allow_nan=False)


def test_no_entity_is_on_both_sides_of_any_fold() -> None:
    _, labelled = read_examples(TASK, series())
    for split in folds_of(TASK, labelled, 3, seed=0):
        assert labelled.groups is not None
        sides = [{labelled.groups[row] for row in split.part(name)} for name in ("train", "validation", "test")]
        assert not sides[0] & sides[2]
        assert not sides[1] & sides[2]
        assert not sides[0] & sides[1]


def test_a_rare_class_decides_the_figure_for_all_folds_alike() -> None:
    found = run(data=series(120, 0.15), baselines=False)
    assert found.folds.main == "roc_auc"
    assert found.pooled.main == "roc_auc"
    assert found.beside is None


def test_folds_with_thresholds_of_their_own_are_not_pooled() -> None:
    task = lw.Classify(id="id", time="t", group="person", aim="recall>=0.9", validation_size=0.3)
    assert run(task=task, data=series(90), baselines=False).pooled is None


def test_labels_of_steps(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    blocks = []
    for _ in range(24):
        words = random.choice(["a", "b", "c"], size=5)
        blocks.append("\n".join(f"{word} {'B-X' if word == 'a' else 'O'}" for word in words))
    (tmp_path / "x.conll").write_text("\n\n".join(blocks) + "\n")
    found = run(task=lw.Label(), data=tmp_path / "x.conll", folds=2)
    assert found.folds.main == "span_f1"
    assert found.pooled.count == 24


def test_a_number(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    frame = series(60).group_by("id").len().sort("id")
    labels = dict(zip(frame["id"].to_list(), random.normal(size=60).tolist(), strict=True))
    data = series(60).with_columns(label=pl.col("id").replace_strict(labels))
    found = run(data=data, folds=2, baselines=False)
    assert found.folds.main == "rmse"
    assert found.pooled.main == "rmse"


def test_each_task_has_its_own_options() -> None:
    with pytest.raises(ConfigError, match="no option n_windows"):
        run(n_windows=3)
    with pytest.raises(ConfigError, match='did you mean "seeds"'):
        run(seed=3)
    with pytest.raises(ConfigError, match="Forecast has no option folds"):
        lw.cross_validate(lw.Forecast(target="x", horizon=2), series(), folds=3)  # type: ignore[call-overload]
    with pytest.raises(ConfigError, match="folds is 1"):
        run(folds=1)


def test_a_forecaster_is_still_backtested() -> None:
    days = [datetime.date(2024, 1, 1) + datetime.timedelta(days=day) for day in range(120)]
    frame = pl.DataFrame({"ds": days, "y": np.sin(np.arange(120) / 3.0)})
    task = lw.Forecast(target="y", horizon=3, validation_size=10)
    found = lw.cross_validate(task, frame, n_windows=2, network=SMALL, training=lw.Training(steps=3))
    assert isinstance(found, Evaluation)


def torn(seed: int = 0) -> pl.DataFrame:
    """Series of which nearly all that rise are of two people: a class is rare in the training of some folds."""
    random = np.random.default_rng(seed)
    rows = []
    for number in range(60):
        person = "A" if number < 9 else "B" if number < 13 else str(number)
        label = "up" if number < 13 else "down"
        rows += [(f"s{number}", person, t, float(x), label) for t, x in enumerate(random.normal(size=5))]
    return pl.DataFrame(rows, schema=["id", "person", "t", "x", "label"], orient="row")


@pytest.mark.parametrize("turned", [False, True])
def test_the_figure_and_its_note_do_not_depend_on_the_order_of_folds(turned: bool, monkeypatch: Any) -> None:
    real = cross_validation.folds_of
    monkeypatch.setattr(cross_validation, "folds_of", lambda *a, **k: real(*a, **k)[:: -1 if turned else 1])
    task = lw.Classify(id="id", time="t", group="person", refit=False, validation_size=0)
    found = run(task=task, data=torn(), baselines=False)
    missing = int(np.isnan(found.folds.figures("latchwork")).sum())
    told = [note for note in found.folds.notes if "runs have no" in note]
    assert found.folds.main == "roc_auc"
    assert missing
    assert told == [f"{missing} of 3 runs have no roc_auc: the means are over the others"]


def test_every_fold_is_looked_at_before_anything_is_trained() -> None:
    data = series(60).with_columns(label=pl.when(pl.col("id") == "s7").then(pl.lit("rare")).otherwise(pl.col("label")))
    task = lw.Classify(id="id", time="t", refit=False, metric="balanced_accuracy", target="class")
    done: list[Any] = []
    with pytest.raises(DataError, match="undefined on the validation part"):
        run(task=task, data=data, baselines=False, each=lambda trial, left: done.append(trial))
    assert not done


def test_the_last_label_is_shown_and_never_the_best(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    rows = []
    for number in range(24):
        state = np.repeat(random.integers(0, 2, 3), 5)
        rows += [(f"s{number}", t, float(random.normal()), "on" if x else "off") for t, x in enumerate(state)]
    data = pl.DataFrame(rows, schema=["id", "t", "x", "label"], orient="row")
    found = run(task=lw.Label(id="id", time="t"), data=data)
    assert found.beside is not None
    assert found.beside.rival != "last label"
    assert "last label" in found.folds.methods
    assert found.pooled.best is not None
    assert found.pooled.best.name != "last label"
    assert "is told the true label" in str(found)
    compared = lw.compare(lw.Label(id="id", time="t"), data, cells=("rnn",), seeds=1, network=SMALL, training=QUICK)
    assert compared.kinds["last label"] == "oracle"
    assert "last label" not in {one.method for one in compared.against}
    assert compared.beside is not None
    assert compared.beside.rival != "last label"
    assert "is told the true label" in str(compared)
