"""Comparisons: one split for all, the test part once, the same again with the same seeds, and what is said of it."""

import json
import math
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

import latchwork as lw
from latchwork.errors import ConfigError, DataError
from latchwork.evaluation import contest as contest_module
from latchwork.evaluation.compare import student
from latchwork.evaluation.contest import contenders_of, seeds_of
from latchwork.evaluation.twins import shuffled, truncated
from latchwork.sequences import Encoded
from latchwork.tasks import sequence_job
from latchwork.training import Callback

QUICK = lw.Training(steps=6, evaluate_every=3, batch_size=8)
SMALL = lw.Network(hidden_size=4)
TASK = lw.Classify(id="id", time="t", group="person", refit=False)


def ramps(count: int = 60, seed: int = 0) -> pl.DataFrame:
    """The same numbers rising or falling: the order is all there is to learn."""
    random = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        values = np.sort(random.normal(size=int(random.integers(6, 12))))[:: 1 if number % 2 else -1]
        label = "up" if number % 2 else "down"
        rows += [(f"s{number}", f"p{number // 2}", t, float(x), label) for t, x in enumerate(values)]
    return pl.DataFrame(rows, schema=["id", "person", "t", "x", "label"], orient="row")


def tags(count: int = 30) -> list[tuple[list[str], list[str]]]:
    random = np.random.default_rng(1)
    words = [random.choice(["a", "b", "c"], size=int(random.integers(3, 9))).tolist() for _ in range(count)]
    return [(one, [("X" if before == "a" else "Y") for before in ["b", *one[:-1]]]) for one in words]


@pytest.fixture
def labelled_words(tmp_path: Any) -> Any:
    path = tmp_path / "tags.conll"
    path.write_text("\n\n".join("\n".join(f"{w} {t}" for w, t in zip(*one, strict=True)) for one in tags()) + "\n")
    return path


def run(**options: Any) -> Any:
    given = {"cells": ("gru", "rnn"), "seeds": 2, "network": SMALL, "training": QUICK, **options}
    return lw.compare(given.pop("task", TASK), given.pop("data", ramps()), **given)


def test_every_network_is_trained_alike_and_scored_once_on_the_same_sequences(monkeypatch: Any) -> None:
    asked: list[tuple[str, int]] = []
    splits: list[Any] = []
    real, made = contest_module.model_method, contest_module.SequenceSetup.of

    def counted(pipeline: Any, encoded: Any, truth: Any, name: str) -> Any:
        asked.append((name, len(encoded)))
        return real(pipeline, encoded, truth, name)

    def kept(*given: Any, **options: Any) -> Any:
        splits.append(options["split"])
        return made(*given, **options)

    monkeypatch.setattr(contest_module, "model_method", counted)
    monkeypatch.setattr(contest_module.SequenceSetup, "of", kept)
    found = run(rivals=("feedforward", "transformer"), twins=("shuffled", "truncated"), baselines=False)
    names = ["gru", "rnn", "feedforward", "transformer", "gru, shuffled", "gru, truncated"]
    size = len(splits[0].test)
    assert Counter(asked) == {(name, size): 2 for name in names}
    assert len(splits) == 1
    assert {one.steps for one in found.trials} == {6}
    assert [(one.name, one.seed) for one in found.trials] == [(name, seed) for seed in (0, 1) for name in names]


def test_the_test_sequences_are_looked_at_by_the_network_once(monkeypatch: Any) -> None:
    seen: Counter[int] = Counter()
    real = sequence_job.collate
    marks: dict[int, Any] = {}

    def watched(examples: Any) -> Any:
        seen.update(id(one) for one in examples)
        marks.update({id(one): one for one in examples})
        return real(examples)

    tested: list[int] = []
    monkeypatch.setattr(sequence_job, "collate", watched)

    def ready(setup: Any, findings: Any) -> None:
        tested.extend(id(setup.encoded[row]) for row in setup.split.test)

    run(cells=("gru", "rnn"), seeds=2, baselines=False, ready=ready)
    assert tested
    assert {seen[one] for one in tested} == {4}  # two cells, two seeds


def test_the_same_seeds_give_the_same_figures_and_another_seed_others() -> None:
    one, other = run(rivals=("transformer",)), run(rivals=("transformer",))
    for name in one.folds.methods:
        for metric in one.folds.metrics:
            np.testing.assert_array_equal(one.folds.figures(name, metric), other.folds.figures(name, metric))
    assert [trial.choice for trial in one.trials] == [trial.choice for trial in other.trials]
    assert one.against == other.against
    by_seed = one.folds.figures("gru", "log_loss")[0]
    assert by_seed[0] != by_seed[1]
    alone = run(seeds=[1], cells=("gru",), baselines=False).folds.figures("gru", "log_loss")[0, 0]
    assert alone == by_seed[1]


def test_a_cell_has_the_figures_of_a_fit_of_its_own() -> None:
    task = replace(TASK, refit=None)
    found = run(task=task, cells=("gru",), seeds=1, baselines=False)
    model = lw.fit(task, ramps(), network=SMALL, training=QUICK)
    assert found.folds.scores[0].values["log_loss"] == model.leaderboard().model.values["log_loss"]
    assert found.folds.scores[0].values["accuracy"] == model.leaderboard().model.values["accuracy"]


def test_twins_see_what_is_left_and_the_labels_stay(monkeypatch: Any) -> None:
    seen: dict[str, Any] = {}
    base: list[Any] = []
    real = contest_module._Run.seen

    def kept(self: Any, contender: Any) -> Any:
        setup, forgets = real(self, contender)
        seen[contender.name] = setup
        return setup, forgets

    monkeypatch.setattr(contest_module._Run, "seen", kept)
    run(cells=("gru",), seeds=1, twins=("shuffled", "truncated=3"), baselines=False, ready=lambda s, _: base.append(s))
    for row, name in enumerate(base[0].labelled.ids):
        one: Encoded = base[0].encoded[row]
        np.testing.assert_array_equal(seen["gru, shuffled"].encoded[row].numbers, shuffled(one, name).numbers)
        np.testing.assert_array_equal(seen["gru, truncated=3"].encoded[row].numbers, truncated(one, 3).numbers)
        assert seen["gru"].encoded[row] is one
    assert all(setup.truth is base[0].truth and setup.split is base[0].split for setup in seen.values())


def test_order_is_found_to_be_needed_where_it_is() -> None:
    training = lw.Training(steps=50, evaluate_every=50, batch_size=16, learning_rate=0.03)
    found = run(
        data=ramps(120),
        cells=("gru",),
        seeds=3,
        twins=("shuffled",),
        training=training,
        baselines=False,
    )
    assert found.difference("gru, shuffled").upper < 0
    assert found.twins[0].startswith("order was needed")
    assert "Order was needed" in str(found)


def test_labels_of_steps_are_compared_with_a_state_that_is_forgotten(labelled_words: Any) -> None:
    found = run(task=lw.Label(), data=labelled_words, cells=("gru", "rnn"), seeds=1, twins=("truncated=2",))
    assert {one.forgets for one in found.trials if one.kind == "twin"} == {2}
    assert "forgotten after every 2 steps" in found.twins[0]
    assert found.main == "accuracy"
    assert not [one for one in found.findings if one.check == "fitted"]  # letters are the task's own choice here
    with pytest.raises(ConfigError, match="use truncated"):
        run(task=lw.Label(), data=labelled_words, twins=("shuffled",))


def test_over_folds_each_sequence_is_scored_once_and_differences_are_by_fold() -> None:
    found = run(folds=3, seeds=1)
    assert len(found.folds.names) == 3
    assert sum(test for _, _, test in found.folds.sizes) == 60
    each = (found.folds.figures("rnn") - found.folds.figures("gru"))[:, 0]
    one = found.difference("rnn")
    sizes = np.array(found.folds.sizes)
    half = 4.302653 * each.std(ddof=1) * math.sqrt(1 / 3 + (sizes[:, 2] / sizes[:, 0]).mean())
    np.testing.assert_allclose([one.value, one.lower, one.upper], each.mean() + half * np.array([0, -1, 1]), rtol=1e-4)
    assert found.folds.figures("majority").shape == (3, 1)


def test_the_interval_holds_the_spread_of_seeds() -> None:
    one, several = run(seeds=1, baselines=False), run(seeds=3, baselines=False)
    assert math.isnan(one.difference("rnn").error)
    found = several.difference("rnn")
    parts = [several.folds.figures(name)[0].var(ddof=1) / 3 for name in ("gru", "rnn")]
    np.testing.assert_allclose(found.error, math.sqrt(sum(parts)))
    assert found.upper - found.lower >= 2 * 1.9 * found.error
    np.testing.assert_allclose(found.value, several.folds.figures("rnn").mean() - several.folds.figures("gru").mean())


def test_students_quantiles() -> None:
    np.testing.assert_allclose([student(1), student(4), student(30)], [12.7062, 2.7764, 2.0423], rtol=1e-4)
    assert student(2) < student(1.5) < student(1)
    assert student(0.3) == student(1)
    assert abs(student(1e9) - 1.97) < 0.02


def test_the_table_fits_and_the_file_is_plain() -> None:
    found = run(rivals=("feedforward",), twins=("truncated",))
    text = str(found)
    assert "less gru" in text
    assert "majority" in text
    assert "Validation would choose" in text
    assert max(map(len, text.splitlines())) <= 120
    saved = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert saved["chosen"] in ("gru", "rnn")
    assert len(saved["trials"]) == 8
    assert saved["kinds"]["majority"] == "baseline"


def test_an_interruption_leaves_the_figures_of_what_was_trained(monkeypatch: Any) -> None:
    real, done = contest_module.fit_setup, []

    def stopping(*given: Any, **options: Any) -> Any:
        fitted = real(*given, **options)
        done.append(1)
        if len(done) == 3:
            fitted = replace(fitted, outcome=replace(fitted.outcome, stopped="interrupted"))
        return fitted

    monkeypatch.setattr(contest_module, "fit_setup", stopping)
    found = run()
    assert found.stopped
    assert [one.name for one in found.trials] == ["gru", "rnn"]
    assert "interrupted after 2 of 4" in str(found)
    done[:] = [1, 1]
    with pytest.raises(KeyboardInterrupt):
        run()


def test_progress_and_callbacks_are_told() -> None:
    shares: list[float] = []
    told: list[tuple[str, int]] = []
    steps: list[int] = []

    class Each(Callback):
        def step(self, record: Any) -> None:
            steps.append(record["step"])

    run(
        seeds=1,
        baselines=False,
        progress=lambda what, share: shares.append(share),
        callbacks=[Each()],
        each=lambda trial, left: told.append((trial.name, left)),
    )
    assert told == [("gru", 1), ("rnn", 0)]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert steps == [*range(1, 7), *range(1, 7)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cells": ("gru", "lstmm")}, 'did you mean "lstm"'),
        ({"cells": ()}, "no cell to compare"),
        ({"cells": ("gru", "gru")}, "asked for twice"),
        ({"cells": ("gru", "transformer")}, "rivals=transformer"),
        ({"rivals": ("feed-forward",)}, 'did you mean "feedforward"'),
        ({"twins": ("shufled",)}, 'did you mean "shuffled"'),
        ({"seeds": 0}, "a number from 1"),
        ({"seeds": [1, 1]}, "different whole numbers"),
        ({"folds": 1}, "folds is 1"),
        ({"task": lw.Classify(id="id", time="t", test_size=0.0)}, "no sequences are held back"),
        ({"task": lw.Forecast(target="x", horizon=2)}, "for Classify and Label"),
        ({"network": lw.Network(weight_drop=0.1), "cells": ("gru", "mingru")}, "weight_drop"),
    ],
)
def test_bad_options_are_refused_before_anything_is_trained(
    options: dict[str, Any], message: str, monkeypatch: Any
) -> None:
    monkeypatch.setattr(contest_module, "fit_setup", lambda *given, **rest: pytest.fail("trained"))
    with pytest.raises(ConfigError, match=message):
        run(**options)


def test_bad_data_is_refused() -> None:
    with pytest.raises(DataError, match='every label is "up"'):
        run(data=ramps().with_columns(label=pl.lit("up")))


def test_names_and_seeds() -> None:
    assert [one.name for one in contenders_of(["lstm"], ["transformer"], ["truncated=5"])] == [
        "lstm", "transformer", "lstm, truncated=5",
    ]  # fmt: skip
    assert seeds_of(3, 5) == [5, 6, 7]
    assert seeds_of([7, 2], 5) == [7, 2]


def test_twins_are_not_compared_by_a_threshold_of_folds() -> None:
    task = lw.Classify(aim="recall>=0.5", aim_folds=3)
    with pytest.raises(ConfigError, match="aim_folds is for a threshold"):
        lw.compare(task, "nothing.csv", twins=("shuffled",))
