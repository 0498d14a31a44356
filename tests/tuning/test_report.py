"""What is said of a search."""

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from latchwork.errors import ConfigError
from latchwork.optional import load
from latchwork.tuning import Trial, Tuned, history_svg

NAN = float("nan")


def trial(number: int, value: float, state: str = "finished", **rest: object) -> Trial:
    values = {"network.layers": 1 + number % 2, "training.learning_rate": 1e-3 * (number + 1)}
    one = Trial(number, state, value, 1 - value, (value, value), values, 1.0, 1.0)
    return replace(one, **rest)  # pyright: ignore[reportArgumentType]


def tuned(*trials: Trial) -> Tuned:
    space = {"network.layers": [1, 2], "training.learning_rate": {"low": 1e-3, "high": 1e-2}}
    return Tuned("classify", "accuracy", 2, 0, trials, space, {}, "not known", "enough", len(trials), None)


def test_the_verdict_holds_the_best_against_what_was_given() -> None:
    given, better, worse = trial(0, 0.3, given=True), trial(1, 0.2), trial(2, 0.4)
    assert tuned(given, worse).verdict() == "nothing was better than the options as they were given"
    told = tuned(given, better, worse).verdict()
    assert told.startswith("trial 1 is 0.1 better than the options as they were given")
    assert told.endswith("better in 2 of 2 folds")
    assert "were not among the trials" in tuned(better, worse).verdict()
    nothing = tuned(trial(0, NAN, "failed"))
    assert nothing.verdict() == "no trial was finished"
    with pytest.raises(ConfigError, match="no best options"):
        nothing.chosen()


def test_what_was_given_is_shown_though_it_is_not_among_the_best() -> None:
    shown = str(tuned(trial(0, 0.9, given=True), *(trial(number, number / 10) for number in range(1, 8))))
    assert "0 as given" in shown
    assert " 7 " not in shown.splitlines()[2]
    assert "the test part was not looked at" in " ".join(shown.split())


def test_a_failure_is_told() -> None:
    assert "trial 1 failed: too large" in str(tuned(trial(0, 0.1), trial(1, NAN, "failed", error="too large")))


def test_the_file_holds_numbers_and_null(texts: Path, tmp_path: Path, small: Callable[..., Tuned]) -> None:
    found = small(texts, tmp_path / "run", trials=6)
    saved = json.loads((tmp_path / "run" / "tuning.json").read_text())
    assert saved == json.loads(json.dumps(found.to_dict(), allow_nan=False))
    if found.importance:
        assert set(found.importance) == set(found.space)
        assert sum(found.importance.values()) == pytest.approx(1)
        assert "finished trials" in found.how


def test_importance_without_scikit_learn(
    texts: Path, tmp_path: Path, small: Callable[..., Tuned], monkeypatch: pytest.MonkeyPatch
) -> None:
    from latchwork.errors import MissingExtra
    from latchwork.tuning import report

    def absent(module: str) -> object:
        if module == "sklearn":
            raise MissingExtra("not there")
        return load(module)

    monkeypatch.setattr(report, "load", absent)
    monkeypatch.setattr(report, "FEW", 1)
    found = small(texts, tmp_path / "run", trials=6)
    assert "PED-ANOVA, since scikit-learn is not installed" in found.how


def test_the_picture_is_svg_and_has_a_dot_for_each_trial() -> None:
    found = tuned(trial(0, 0.3), trial(1, 0.2), trial(2, 0.8, "stopped early"), trial(3, NAN, "failed"))
    root = ElementTree.fromstring(history_svg(found))
    names = [one.tag.rpartition("}")[2] for one in root.iter()]
    assert names[0] == "svg"
    assert len([one for one in root.iter() if "dot" in one.get("class", "") and len(one)]) == 3
