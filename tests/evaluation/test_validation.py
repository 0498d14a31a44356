"""Folds and seeds: every figure is kept, means and spreads are those of numpy, what is undefined is said."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from latchwork.errors import ConfigError, DataError, ModelFileError
from latchwork.evaluation import Folds, Scored, validate
from latchwork.sequences import Split, k_fold

LABELS = ["a", "b"] * 30


def splits(folds: int = 3) -> list[Split]:
    return k_fold(LABELS, folds=folds)


def run(split: Split, seed: int) -> list[Scored]:
    fold = int(split.name.split()[1])
    auc = math.nan if fold == 3 else 0.8 + 0.01 * fold
    return [
        Scored("majority", {"accuracy": 0.5, "log_loss": 0.7, "roc_auc": 0.5}),
        Scored("LSTM", {"accuracy": 0.9 + 0.01 * fold + 0.001 * seed, "log_loss": 0.2, "roc_auc": auc}, model=True),
    ]


def test_means_and_spreads() -> None:
    found = validate(splits(), run, main="accuracy", seeds=(0, 1, 2))
    figures = np.array([[0.9 + 0.01 * fold + 0.001 * seed for seed in range(3)] for fold in (1, 2, 3)])
    np.testing.assert_allclose(found.figures("LSTM"), figures)
    spread = found.spread("LSTM")
    assert spread.mean == pytest.approx(figures.mean())
    assert spread.folds == pytest.approx(figures.mean(1).std(ddof=1))
    assert spread.seeds == pytest.approx(figures[0].std(ddof=1))
    assert spread.count == 3
    assert found.methods == ["LSTM", "majority"]


def test_a_fold_without_a_figure_is_left_out_and_said() -> None:
    found = validate(splits(), run, main="roc_auc")
    spread = found.spread("LSTM")
    assert (spread.count, spread.mean) == (2, pytest.approx(0.815))
    assert "1 of 6 runs have no roc_auc: the means are over the others" in found.notes
    text = str(found)
    assert "(2 folds)" in text
    assert "undefined" in text


def test_differences_are_paired_and_know_which_way_is_better() -> None:
    found = validate(splits(), run, main="accuracy")
    one = found.difference("LSTM", "majority")
    assert (one.better, one.count) == (3, 3)
    assert str(one) == "LSTM less majority: +0.42 ± 0.0100 in accuracy, better in 3 of 3 folds"
    assert found.difference("LSTM", "majority", "log_loss").better == 3
    assert found.difference("LSTM", "majority", "roc_auc").count == 2


def test_the_lowest_loss_comes_first() -> None:
    assert validate(splits(), run, main="log_loss").methods == ["LSTM", "majority"]


def test_every_fold_seed_and_note_is_shown() -> None:
    noted = [*k_fold([*LABELS, "rare", "rare"], folds=3)]
    titles = {"accuracy": "accuracy", "log_loss": "log loss"}
    found = validate(noted, run, main="accuracy", seeds=(0, 1), titles=titles)
    text = str(found)
    for part in (
        "0.911",
        "0.921",
        "0.931",
        "log loss",
        "over 2 seeds",
        "every fold",
        "fewer examples than the 3 folds",
    ):
        assert part in text
    console = Console(width=60, record=True, no_color=True)
    with console.capture():
        console.print(found)


def test_one_split_has_no_spread() -> None:
    found = validate(splits()[:1], run, main="accuracy")
    assert math.isnan(found.spread("LSTM").folds)
    assert math.isnan(found.spread("LSTM").seeds)
    assert "±" not in str(found).partition("Sorted by")[0]


def test_a_method_may_be_run_with_the_first_seed_alone() -> None:
    def some(split: Split, seed: int) -> list[Scored]:
        return run(split, seed) if seed == 0 else run(split, seed)[1:]

    found = validate(splits(), some, main="accuracy", seeds=(0, 1))
    assert found.spread("majority").count == 3
    assert math.isnan(found.spread("majority").seeds)


@settings(max_examples=30)
@given(values=st.lists(st.floats(-5, 5) | st.just(math.nan), min_size=6, max_size=6))
def test_what_is_saved_is_what_is_loaded(values: list[float]) -> None:
    drawn = iter(values)
    found = validate(
        splits(), lambda split, seed: [Scored("m", {"f1": next(drawn), "x": 1.0})], main="f1", seeds=(0, 1)
    )
    loaded = Folds.from_dict(json.loads(json.dumps(found.to_dict(), allow_nan=False)))
    assert json.dumps(loaded.to_dict()) == json.dumps(found.to_dict())
    assert str(loaded) == str(found)


def test_the_summary_has_every_fold() -> None:
    summary = validate(splits(), run, main="accuracy").to_dict()["summary"]
    first = summary[0]
    assert (first["method"], first["metric"], len(first["each"])) == ("LSTM", "accuracy", 3)
    assert [one["each"][2] for one in summary if one["metric"] == "roc_auc"] == [None, 0.5]


def test_progress_is_told() -> None:
    seen: list[tuple[str, float]] = []
    validate(splits(), run, main="accuracy", progress=lambda name, share: seen.append((name, share)))
    assert seen[0] == ("fold 1 of 3, seed 0", 0.0)
    assert seen[-1] == ("validation", 1.0)


def test_what_can_not_be_validated_is_refused() -> None:
    with pytest.raises(ConfigError, match="no split"):
        validate([], run, main="accuracy")
    with pytest.raises(ConfigError, match="all different"):
        validate(splits(), run, main="accuracy", seeds=(1, 1))
    with pytest.raises(ConfigError, match='did you mean "accuracy"'):
        validate(splits(), run, main="acuracy")
    with pytest.raises(DataError, match="the same name"):
        validate(splits(), lambda split, seed: run(split, seed) * 2, main="accuracy")
    found = validate(splits(), run, main="accuracy")
    with pytest.raises(ConfigError, match='did you mean "LSTM"'):
        found.figures("LSTMM")
    with pytest.raises(ConfigError, match="no metric"):
        found.spread("LSTM", "nothing")
    with pytest.raises(ModelFileError, match="damaged"):
        Folds.from_dict({"scores": 3})
