"""Cross-validation of classifiers and labellers: whole entities stay together, every sequence is answered once."""

import datetime
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import latchwork as lw
from latchwork.errors import ConfigError
from latchwork.evaluation import Evaluation
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
