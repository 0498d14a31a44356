"""A loss that is lost: back to the last good state, half the rate, an error after three."""

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from latchwork.errors import TrainingError
from latchwork.storage import read_jsonl
from latchwork.training import Callback, Training, train
from latchwork.training.guard import accept, trouble
from latchwork.training.state import Facts

OPTIONS = Training(steps=20, learning_rate=0.01, warmup=0, checkpoint_every=5, evaluate_every=4, device="cpu")


class Events(Callback):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.messages: list[tuple[int, str]] = []

    def event(self, step: int, message: str) -> None:
        self.messages.append((step, message))


def poisoned(toy: ModuleType, kind: str, at: int, times: int) -> Any:
    """A carried job whose loss goes wrong at one step, the first few times that it is asked for."""

    class Poisoned(toy.Walks):
        left, now = times, -1

        def batch(self, step: int) -> Any:
            self.now = step
            return super().batch(step)

        def loss(self, batch: Any, carried: Any) -> tuple[Tensor, Any]:
            loss, after = super().loss(batch, carried)
            if self.now == at and self.left:
                self.left -= 1
                if kind == "loss":
                    return loss * float("nan"), after
                # A finite loss whose gradient is not: the square root's derivative at zero.
                return loss + (self.module.head.weight * 0).sum().sqrt(), after
            return loss, after

    return Poisoned()


@pytest.mark.parametrize(("kind", "word"), [("loss", "the loss is nan"), ("gradient", "the gradient's norm is nan")])
def test_rolls_back_and_halves(toy: ModuleType, tmp_path: Path, kind: str, word: str) -> None:
    events = Events()
    outcome = train(poisoned(toy, kind, at=7, times=2), OPTIONS, folder=tmp_path, callbacks=[events])
    assert (outcome.rollbacks, outcome.steps, outcome.stopped) == (2, 20, "budget")
    assert events.messages == [
        (5, f"{word} at step 8: back to step 5, with the learning rate halved to 0.005 (1 of 3 roll-backs)"),
        (5, f"{word} at step 8: back to step 5, with the learning rate halved to 0.0025 (2 of 3 roll-backs)"),
    ]
    steps = [record for record in outcome.history if "event" not in record]
    assert [record["step"] for record in steps] == list(range(1, 21))
    plain = train(toy.Walks(), OPTIONS).history
    for record, other in zip(steps, plain, strict=True):
        assert record["learning_rate"] == other["learning_rate"] * (1 if record["step"] <= 5 else 0.25)
    assert steps[:5] == plain[:5]
    assert steps[5]["loss"] == plain[5]["loss"]  # the carried state and the random numbers came back too
    assert read_jsonl(tmp_path / "metrics.jsonl") == outcome.history


def test_gives_up_after_three_with_the_last_good_weights(toy: ModuleType, tmp_path: Path) -> None:
    events, job, good = Events(), poisoned(toy, "loss", at=7, times=99), toy.Walks()
    with pytest.raises(TrainingError, match=r"the loss is nan at step 8, after 3 roll-backs .* lower learning_rate"):
        train(job, OPTIONS, folder=tmp_path, callbacks=[events])
    assert len(events.messages) == 3
    assert all(bool(parameter.isfinite().all()) for parameter in job.module.parameters())

    class Stop(Callback):
        def step(self, record: Any) -> None:
            if record["step"] == 5:
                kept.update({name: tensor.clone() for name, tensor in good.module.state_dict().items()})

    kept: dict[str, Tensor] = {}
    train(good, OPTIONS, callbacks=[Stop()])
    assert all(torch.equal(tensor, kept[name]) for name, tensor in job.module.state_dict().items())


def test_a_rate_far_too_high_ends_in_an_error(toy: ModuleType) -> None:
    with pytest.raises(TrainingError, match=r"the (loss|gradient's norm) is .* after 3 roll-backs"):
        train(toy.Adding(), Training(steps=200, learning_rate=1e30, warmup=0, device="cpu", clip=0))


def test_resume_after_a_roll_back_is_exact(toy: ModuleType, tmp_path: Path) -> None:
    class Crash(Callback):
        def step(self, record: Any) -> None:
            if record["step"] == 13:
                raise RuntimeError("crash")

    whole = poisoned(toy, "loss", at=7, times=1)
    train(whole, OPTIONS)
    with pytest.raises(RuntimeError, match="crash"):
        train(poisoned(toy, "loss", at=7, times=1), OPTIONS, folder=tmp_path, callbacks=[Crash()])
    again = poisoned(toy, "loss", at=7, times=1)
    outcome = train(again, OPTIONS, folder=tmp_path, resume=True)
    assert outcome.rollbacks == 1
    assert toy.fingerprint(again.module) == toy.fingerprint(whole.module)


def after(losses: list[float]) -> Facts:
    facts = Facts()
    for loss in losses:
        accept(loss, facts)
        facts.step += 1
    return facts


def test_what_counts_as_an_explosion() -> None:
    usual = after([1.0] * 30)
    assert trouble(999.0, 1.0, usual, warmup=0) is None
    assert trouble(1001.0, 1.0, usual, warmup=0) == "the loss is 1001, more than 1000 times its usual 1"
    assert trouble(1001.0, 1.0, usual, warmup=31) is None
    assert trouble(1e9, 1.0, after([1.0] * 19), warmup=0) is None
    assert trouble(float("inf"), 1.0, after([]), warmup=9) == "the loss is inf"
    # Near zero the floor holds, and a likelihood may be negative.
    assert trouble(9.0, 1.0, after([1.0] * 20 + [1e-9] * 200), warmup=0) is None
    assert trouble(11.0, 1.0, after([1.0] * 20 + [1e-9] * 200), warmup=0) is not None
    assert trouble(-5.0, 1.0, after([-3.0] * 30), warmup=0) is None
    assert trouble(3001.0, 1.0, after([-3.0] * 30), warmup=0) is not None
    assert trouble(5.0, 1.0, after([0.0] * 30), warmup=0) is None
