"""Options: checked, resolved, the same names everywhere."""

import inspect
from dataclasses import fields
from typing import Any

import pytest
import torch

from latchwork.errors import ConfigError
from latchwork.training import Training


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps is 0, expected a whole number, at least 1"),
        ({"steps": 1.5}, "steps is 1.5, expected a whole number"),
        ({"batch_size": True}, "batch_size is True, expected a whole number"),
        ({"patience": -1}, "patience is -1, expected a whole number, at least 0"),
        ({"seed": None}, "seed is None, expected a whole number"),
        ({"seed": 2**63}, r"seed is 9223372036854775808, expected a whole number below 2\*\*63"),
        ({"learning_rate": 0}, "learning_rate is 0, expected a number, above 0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan, expected a number"),
        ({"learning_rate": "fast"}, "learning_rate is 'fast', expected a number"),
        ({"weight_decay": None}, "weight_decay is None, expected a number, at least 0"),
        ({"clip": float("inf")}, "clip is inf, expected a number"),
        ({"average": 1.0}, "average is 1.0, expected a number, at least 0 and below 1"),
        ({"warmup": 2.5}, "warmup is 2.5, expected a share below 1 or a whole number of steps"),
        ({"schedule": "cosin"}, 'schedule is .cosin., expected one of .*did you mean "cosine"'),
        ({"precision": "float16"}, "precision is 'float16', expected one of float32, bfloat16"),
        ({"device": 0}, "device is 0, expected one of auto, cpu, cuda"),
        ({"deterministic": 1}, "deterministic is 1, expected true or false"),
        ({"learning_rat": 0.1}, 'training has no option "learning_rat"; did you mean "learning_rate"'),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Training.from_mapping(options)


def test_resolving_fills_what_is_none_and_nothing_else() -> None:
    options = Training(steps=10, clip=0.0).resolved(steps=500, batch_size=32)
    assert (options.steps, options.batch_size, options.clip) == (10, 32, 0.0)
    with pytest.raises(ConfigError, match='"step"; did you mean "steps"'):
        options.resolved(step=3)


def test_completing() -> None:
    options = Training(steps=100).completed()
    assert (options.learning_rate, options.evaluate_every, options.checkpoint_every, options.patience) == (
        1e-3,
        5,
        5,
        0,
    )
    assert options.device == ("cuda" if torch.cuda.is_available() else "cpu")
    assert options.completed() == options
    assert Training(steps=3, evaluate_every=2).completed().checkpoint_every == 2
    with pytest.raises(ConfigError, match="steps is not set"):
        Training().completed()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_cuda_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match='device is "cuda", but torch sees no GPU here; use device="cpu"'):
        Training(steps=1, device="cuda").completed()


def test_mappings_go_round() -> None:
    options = Training(steps=5, schedule="linear", average=0.5)
    assert Training.from_mapping(options.to_mapping()) == options


def test_every_option_is_described() -> None:
    described = inspect.getdoc(Training) or ""
    for field in fields(Training):
        assert f"\n    {field.name}: " in described
