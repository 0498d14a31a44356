"""The loop on toy jobs: it learns, keeps the best, leaves nothing behind, and says what is wrong."""

import json
import math
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from latchwork.errors import ConfigError
from latchwork.training import Callback, Training, train
from latchwork.training.loop import move


class Scripted:
    """A job of one weight, pulled to 1, whose validation figures are read from a list."""

    def __init__(self, figures: list[float]) -> None:
        self.module = nn.Linear(1, 1, bias=False)
        with torch.no_grad():
            self.module.weight.zero_()
        self.figures = figures
        self.seen: list[float] = []

    def batch(self, step: int) -> None:
        return None

    def loss(self, batch: None, carried: None) -> tuple[Tensor, None]:
        return (self.module.weight - 1).square().sum(), None

    def validate(self) -> Mapping[str, float]:
        assert not self.module.training
        assert not torch.is_grad_enabled()
        self.seen.append(self.module.weight.item())
        return {"error": self.figures[len(self.seen) - 1], "other": 5.0} if self.figures else {}


def options(**changes: Any) -> Training:
    return Training.from_mapping({"device": "cpu", "learning_rate": 0.01, "warmup": 0, "weight_decay": 0.0} | changes)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("job", ["Adding", "Walks"])
def test_the_loss_falls(toy: ModuleType, job: str, precision: str) -> None:
    task = getattr(toy, job)(dropout=0.0)
    outcome = train(task, options(steps=300, learning_rate=0.02, precision=precision, clip=1.0))
    scores = [record["validation"]["mse"] for record in outcome.history if "validation" in record]
    assert outcome.best["mse"] == min(scores) < 0.2 * scores[0]
    assert len(scores) == 20
    assert outcome.stopped == "budget"
    assert outcome.steps == 300
    assert all(parameter.dtype == torch.float32 for parameter in task.module.parameters())
    assert not task.module.training


def test_the_best_weights_are_kept_and_patience_ends() -> None:
    job = Scripted([3.0, 2.0, 4.0, 2.0, float("nan"), 1.0])
    outcome = train(job, options(steps=100, evaluate_every=5, patience=3))
    assert (outcome.stopped, outcome.steps, outcome.best_step) == ("patience", 25, 10)
    assert outcome.best == {"error": 2.0, "other": 5.0}
    assert job.module.weight.item() == job.seen[1]
    assert outcome.history[-1]["validation"] == {"error": None, "other": 5.0}


def test_patience_counts_from_the_last_better_one() -> None:
    outcome = train(Scripted([5.0, 4.0, 4.5, 3.0, 3.5, 2.0, 2.5]), options(steps=7, evaluate_every=1, patience=2))
    assert (outcome.stopped, outcome.best_step) == ("budget", 6)


def test_without_validation_the_last_weights_are_kept() -> None:
    job = Scripted([])
    outcome = train(job, options(steps=6, evaluate_every=2, patience=1, schedule="constant"))
    assert (outcome.steps, outcome.best_step, outcome.best) == (6, 0, {})
    assert job.module.weight.item() == pytest.approx(0.06, abs=1e-3)
    assert all("validation" not in record for record in outcome.history)


def test_the_last_step_is_validated() -> None:
    job = Scripted([3.0, 2.0, 1.0])
    assert train(job, options(steps=12, evaluate_every=5)).best_step == 12


def test_stopping_after_some_steps_of_the_schedule() -> None:
    whole = train(Scripted([]), options(steps=10))
    part = train(Scripted([]), options(steps=10), stop_after=4)
    assert (part.steps, part.stopped) == (4, "budget")
    rates = [record["learning_rate"] for record in whole.history]
    assert [record["learning_rate"] for record in part.history] == rates[:4]


def test_the_average_is_validated_and_kept() -> None:
    plain, averaged, weights, average = Scripted([]), Scripted([1.0] * 9), [0.0], 0.0

    class Watch(Callback):
        def step(self, record: Mapping[str, Any]) -> None:
            weights.append(plain.module.weight.item())

    train(plain, options(steps=8), callbacks=[Watch()])
    train(averaged, options(steps=8, average=0.5, evaluate_every=1))
    for step, weight in enumerate(weights[1:]):
        decay = min(0.5, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * weight
        assert averaged.seen[step] == pytest.approx(average, abs=1e-6)
    without_validation = Scripted([])
    train(without_validation, options(steps=8, average=0.5))
    assert without_validation.module.weight.item() == pytest.approx(average, abs=1e-6)


def test_clipping_limits_the_gradient_and_logs_what_it_was() -> None:
    seen: list[float] = []

    class Steep(Scripted):
        def loss(self, batch: None, carried: None) -> tuple[Tensor, None]:
            return 1000 * (self.module.weight - 1).square().sum(), None

    class Watch(Callback):
        def step(self, record: Mapping[str, Any]) -> None:
            assert job.module.weight.grad is not None
            seen.append(job.module.weight.grad.norm().item())

    job = Steep([])
    outcome = train(job, options(steps=3, clip=0.5), callbacks=[Watch()])
    assert seen == pytest.approx([0.5] * 3)
    assert outcome.history[0]["gradient_norm"] == pytest.approx(2000)
    seen.clear()
    job = Steep([])
    train(job, options(steps=1, clip=0), callbacks=[Watch()])
    assert seen == pytest.approx([2000])


def test_only_matrices_decay() -> None:
    class Still(Scripted):
        def __init__(self) -> None:
            super().__init__([])
            self.module = nn.Linear(2, 2)
            with torch.no_grad():
                for parameter in self.module.parameters():
                    parameter.fill_(1.0)

        def loss(self, batch: None, carried: None) -> tuple[Tensor, None]:
            return sum((0.0 * parameter.sum() for parameter in self.module.parameters()), torch.zeros(())), None

        def validate(self) -> Mapping[str, float]:
            return {}

    job = Still()
    train(job, options(steps=1, weight_decay=0.5, schedule="constant"))
    assert job.module.weight.flatten().tolist() == pytest.approx([1 - 0.01 * 0.5] * 4)
    assert job.module.bias.tolist() == [1.0, 1.0]


def test_the_log(toy: ModuleType, tmp_path: Path) -> None:
    outcome = train(toy.Adding(), options(steps=30, evaluate_every=10), folder=tmp_path)
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert records == outcome.history
    assert [record["step"] for record in records] == list(range(1, 31))
    for record in records:
        assert {"step", "loss", "learning_rate", "gradient_norm"} <= record.keys()
        layers = record["gradient_norms"]
        assert layers.keys() == {"rnn.0", "norm", "head"}
        assert math.hypot(*layers.values()) == pytest.approx(record["gradient_norm"], rel=1e-4)
    evaluated = records[19]
    assert evaluated["train"] == pytest.approx(sum(record["loss"] for record in records[10:20]) / 10)
    assert evaluated["gap"] == pytest.approx(evaluated["validation"]["mse"] - evaluated["train"])


def test_runs_leave_nothing_behind(toy: ModuleType) -> None:
    torch.manual_seed(123)
    before, prints = torch.get_rng_state(), []
    for deterministic in (False, True, False):
        job = toy.Walks()
        torch.set_rng_state(before)
        train(job, replace(toy.OPTIONS, deterministic=deterministic))
        assert torch.equal(torch.get_rng_state(), before)
        assert not torch.are_deterministic_algorithms_enabled()
        prints.append(toy.fingerprint(job.module))
    assert len(set(prints)) == 1


def test_the_seed_decides(toy: ModuleType) -> None:
    prints = set()
    for seed in (0, 0, 1):
        job = toy.Adding()
        train(job, options(steps=5, seed=seed))
        prints.add(toy.fingerprint(job.module))
    assert len(prints) == 2


def test_the_carried_state_is_cut_from_the_graph_and_float32(toy: ModuleType) -> None:
    class Checked(toy.Walks):
        def loss(self, batch: Any, carried: Any) -> tuple[Tensor, Any]:
            if carried is not None:
                assert not carried.h.requires_grad
                assert carried.h.dtype == torch.float32
            loss, after = super().loss(batch, carried)
            return loss, after._replace(h=after.h.bfloat16())

    train(Checked(), options(steps=4))


def test_callbacks_hear_everything_in_order() -> None:
    heard: list[Any] = []

    class Listen(Callback):
        def begin(self, step: int, steps: int) -> None:
            heard.append(("begin", step, steps))

        def step(self, record: Mapping[str, Any]) -> None:
            heard.append(record["step"])

        def end(self, outcome: Any) -> None:
            heard.append(outcome.stopped)

        def close(self) -> None:
            heard.append("close")

    train(Scripted([]), options(steps=2), callbacks=[Listen()])
    assert heard == [("begin", 0, 2), 1, 2, "budget", "close"]


def test_close_is_called_after_an_error() -> None:
    closed: list[bool] = []

    class Listen(Callback):
        def step(self, record: Mapping[str, Any]) -> None:
            raise RuntimeError("stop here")

        def close(self) -> None:
            closed.append(True)

    with pytest.raises(RuntimeError, match="stop here"):
        train(Scripted([]), options(steps=2), callbacks=[Listen()])
    assert closed == [True]


def test_training_works_outside_the_main_thread() -> None:
    outcomes: list[Any] = []
    thread = threading.Thread(target=lambda: outcomes.append(train(Scripted([]), options(steps=2))))
    thread.start()
    thread.join()
    assert outcomes[0].steps == 2


def test_nothing_to_train() -> None:
    job = Scripted([])
    job.module.requires_grad_(False)
    with pytest.raises(ConfigError, match="no parameter that can be trained"):
        train(job, options(steps=1))
    with pytest.raises(ConfigError, match="steps is not set"):
        train(Scripted([]), options())


def test_batches_move_as_a_whole(toy: ModuleType) -> None:
    meta = torch.device("meta")
    moved = move({"a": [torch.ones(2), 3], "b": toy.Carried(torch.ones(1), torch.ones(1)), "c": None}, meta)
    assert moved["a"][0].device == meta
    assert moved["a"][1] == 3
    assert moved["b"].h.device == meta
    assert moved["c"] is None
