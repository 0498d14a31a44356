"""A search space holds what the options take, and nothing else."""

from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latchwork.errors import ConfigError
from latchwork.layers import Network
from latchwork.tasks import Classify, Label
from latchwork.training import Training
from latchwork.tuning import Choice, Options, Range, Space

OPTIONS = Options(Classify(), Network(), Training())

CHOICES: dict[str, st.SearchStrategy[Any]] = {
    "network.hidden_size": st.integers(1, 500),
    "network.cell": st.sampled_from(["rnn", "gru", "lstm", "mingru"]),
    "network.bidirectional": st.booleans(),
    "network.dropout": st.floats(0, 0.9),
    "training.learning_rate": st.floats(1e-6, 1),
    "training.schedule": st.sampled_from(["cosine", "linear", "constant"]),
    "classify.pooling": st.sampled_from(["last", "mean", "max", "attention"]),
    "classify.tokenizer": st.sampled_from(["word", "char", "bpe", "unigram"]),
    "classify.convolutions": st.lists(st.sampled_from(["8", "16x5", "32x5/2"]), max_size=2),
    "classify.augment.word_dropout": st.floats(0, 0.9),
}
WHOLE = ("network.hidden_size", "network.layers", "training.batch_size", "classify.embedding")


def dimensions() -> st.SearchStrategy[dict[str, Any]]:
    """Options with choices, and some with ranges."""
    lists = st.fixed_dictionaries(
        {},
        optional={name: st.lists(values, min_size=1, max_size=4, unique_by=repr) for name, values in CHOICES.items()},
    )
    whole = st.tuples(st.integers(1, 50), st.integers(1, 100)).map(lambda two: {"low": two[0], "high": sum(two)})
    logged = st.floats(1e-6, 0.1).map(lambda low: {"low": low, "high": 2 * low, "log": True})
    ranges = st.fixed_dictionaries({}, optional=dict.fromkeys(WHOLE, whole) | {"training.learning_rate": logged})
    return st.tuples(lists, ranges).map(lambda two: two[0] | two[1]).filter(bool)


@given(dimensions(), st.integers(0, 2**31))
def test_what_is_suggested_is_in_the_space_and_reaches_the_options(named: dict[str, Any], seed: int) -> None:
    space = Space.of(named, OPTIONS)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed))
    trial = study.ask()
    labels = {name: trial.params[name] for name in space.suggest(trial)}
    values = space.values(labels)
    options = OPTIONS.having(values)
    assert set(values) == set(named)
    assert space.labels(values) == labels
    for name, value in values.items():
        assert space.dimensions[name].holds(value)
        found = options.get(name)
        assert (list(found) if isinstance(found, tuple) else found) == value
    untouched = [name for name in OPTIONS.known() if name not in named]
    assert [options.get(name) for name in untouched] == [OPTIONS.get(name) for name in untouched]


@given(dimensions())
def test_a_space_survives_being_written(named: dict[str, Any]) -> None:
    space = Space.of(named, OPTIONS)
    assert Space.of(space.to_dict(), OPTIONS) == space


@given(st.sampled_from(OPTIONS.known()), st.integers(0, 30), st.sampled_from("xqz"))
def test_a_slip_of_the_pen_is_named(name: str, place: int, letter: str) -> None:
    wrong = name[:place] + letter + name[place:]
    with pytest.raises(ConfigError, match="search space names") as told:
        Space.of({wrong: [1, 2]}, OPTIONS)
    assert "did you mean" in str(told.value)


@given(st.floats(-10, 10), st.floats(0, 10))
def test_a_range_that_runs_backwards_is_refused(high: float, down: float) -> None:
    with pytest.raises(ConfigError, match=r"expected low below high"):
        Space.of({"network.dropout": {"low": high + down, "high": high}}, OPTIONS)


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ({}, "empty"),
        ({"network.hidden_size": []}, "no values"),
        ({"network.hidden_size": [64, 64]}, "twice"),
        ({"network.hidden_size": 64}, "expected values to choose from"),
        ({"network.hidden_size": ["64"]}, "valid integer"),
        ({"network.hidden_size": [True]}, "valid integer"),
        ({"network.hidden_size": [0]}, "whole number from 1"),
        ({"network.hidden_size": {"low": 1.5, "high": 9}}, "whole numbers"),
        ({"network.hidden_size": {"low": 1, "hihg": 9}}, 'did you mean "high"'),
        ({"network.hidden_size": {"low": 1}}, "high = None"),
        ({"network.cell": ["gru", "lstn"]}, "lstn"),
        ({"network.cell": {"low": 1, "high": 2}}, "takes no numbers"),
        ({"network.dropout": {"low": 0.0, "high": 1.0}}, "dropout"),
        ({"network.dropout": {"low": 0.0, "high": 0.5, "log": True}}, "low above 0"),
        ({"network.dropout": {"low": 0.0, "high": 0.5, "step": 0.6}}, "at most 0.5"),
        ({"training.learning_rate": {"low": 0.1, "high": float("inf")}}, "finite"),
        ({"training.learning_rate": {"low": 0.1, "high": 0.2, "log": 1}}, "true or false"),
        ({"training.seed": [0, 1]}, "the same for all trials"),
        ({"classify.test_size": [0.1, 0.2]}, "the same for all trials"),
        ({"classify.metric": ["accuracy"]}, "the same for all trials"),
        ({"hidden_size": [64]}, 'did you mean "network.hidden_size"'),
        ({"label.crf": [True]}, "no option of classify"),
        ({"classify.pooling": ["median"]}, "median"),
    ],
)
def test_bad_spaces_are_refused_in_a_line(named: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as told:
        Space.of(named, OPTIONS)
    assert "\n" not in str(told.value)


def test_values_that_need_each_other_are_searched_together() -> None:
    named = {"classify.max_length": [3, 5], "classify.keep": ["start", "end"]}
    assert set(Space.of(named, OPTIONS).dimensions) == set(named)
    with pytest.raises(ConfigError, match=r"gives classify\.keep the value 'end'"):
        Space.of({"classify.keep": ["start", "end"]}, OPTIONS)


def test_where_series_are_cut_is_not_searched() -> None:
    options = Options(Label(), Network(), Training())
    Space.of({"label.max_length": [10, 20]}, options, "text")
    with pytest.raises(ConfigError, match="where series are cut"):
        Space.of({"label.max_length": [10, 20]}, options, "records")


def test_a_step_ends_where_it_comes_to() -> None:
    space = Space.of({"network.hidden_size": {"low": 16, "high": 60, "step": 16}}, OPTIONS)
    assert space.dimensions["network.hidden_size"] == Range(16, 48, step=16, whole=True)
    assert [value for value in range(70) if space.dimensions["network.hidden_size"].holds(value)] == [16, 32, 48]


def test_tables_and_dotted_names_are_the_same(tmp_path: Path) -> None:
    one, other = tmp_path / "one.toml", tmp_path / "other.toml"
    one.write_text(
        '[space]\n"network.layers" = [1, 2]\n"training.learning_rate" = {low = 1e-4, high = 1e-2, log = true}'
    )
    other.write_text("[space.network]\nlayers = [1, 2]\n[space.training.learning_rate]\nlow=1e-4\nhigh=1e-2\nlog=true")
    assert Space.read(one, OPTIONS) == Space.read(other, OPTIONS)
    assert Space.read(one, OPTIONS).dimensions["network.layers"] == Choice((1, 2))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[space", "not TOML"),
        ("[spaces]\na = 1", 'did you mean "space"'),
        ("", "no table"),
        ('[space]\n"network.layer" = [1]', r"space.toml: the search space names .* did you mean"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "space.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said):
        Space.read(path, OPTIONS)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"can't read .*none.toml: no such file"):
        Space.read(tmp_path / "none.toml", OPTIONS)
