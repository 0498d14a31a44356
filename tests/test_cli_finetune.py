"""Changes of a model's task on the command line."""

from typing import Any

import pytest

from latchwork.cli.finetune import Changes
from latchwork.errors import ConfigError
from latchwork.tasks import Classify, Label

AIMED = Classify(aim="recall>=0.8", bound="exact", aim_folds=3, positive="pos")
PRICED = Classify(cost="fn=10,fp=1", aim_folds=3)


@pytest.mark.parametrize(
    ("own", "changes", "expected"),
    [
        (AIMED, {}, ("recall>=0.8", None, "exact", 3)),
        (AIMED, {"aim": "precision>=0.9"}, ("precision>=0.9", None, "exact", 3)),
        (AIMED, {"aim": ""}, (None, None, "none", 0)),
        (AIMED, {"bound": "none"}, ("recall>=0.8", None, "none", 3)),
        (AIMED, {"aim_folds": 0}, ("recall>=0.8", None, "exact", 0)),
        (AIMED, {"cost": "fn=1,fp=1"}, (None, "fn=1,fp=1", "none", 3)),
        (AIMED, {"target": "number", "positive": ""}, (None, None, "none", 0)),
        (PRICED, {"aim": "recall>=0.9", "bound": "bootstrap"}, ("recall>=0.9", None, "bootstrap", 3)),
        (PRICED, {"cost": ""}, (None, None, "none", 0)),
        (PRICED, {"aim": ""}, (None, "fn=10,fp=1", "none", 3)),
        (Classify(), {"aim": "recall>=0.9", "aim_folds": 2}, ("recall>=0.9", None, "none", 2)),
    ],
)
def test_an_aim_is_kept_changed_or_left(own: Classify, changes: dict[str, Any], expected: tuple[Any, ...]) -> None:
    task = Changes(**changes).applied(own)
    assert isinstance(task, Classify)
    assert (task.aim, task.cost, task.bound, task.aim_folds) == expected


def test_what_contradicts_is_refused() -> None:
    with pytest.raises(ConfigError, match="give one of them"):
        Changes(aim="recall>=0.9", cost="fn=1,fp=1").applied(AIMED)
    with pytest.raises(ConfigError, match="no aim to hold for it"):
        Changes(aim="", bound="exact").applied(AIMED)
    with pytest.raises(ConfigError, match="aim_folds is for the task classify"):
        Changes(aim_folds=3).applied(Label())
