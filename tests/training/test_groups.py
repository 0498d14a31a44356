"""Parts of a network that learn slower, later or not at all; and that a resumed run does not notice."""

from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from latchwork.errors import ConfigError
from latchwork.training import Callback, train
from latchwork.training.schedule import Group, parameter_groups

LATER = (Group(("norm", "rnn.weight_hh_l0"), 0.5, 12), Group(("rnn",), 0.25, 24))


class Watch(Callback):
    """Keeps a copy of weights and buffers after each step; crashes after one."""

    def __init__(self, module: nn.Module, crash: int = 0) -> None:
        self.module, self.crash = module, crash
        self.seen: list[dict[str, Tensor]] = [self.now()]

    def now(self) -> dict[str, Tensor]:
        return {name: one.detach().clone() for name, one in self.module.state_dict().items()}

    def step(self, record: Any) -> None:
        self.seen.append(self.now())
        if record["step"] == self.crash:
            raise RuntimeError("crash")

    def moved(self, name: str) -> list[int]:
        """The steps (from 0) in which a tensor changed."""
        pairs = enumerate(zip(self.seen, self.seen[1:], strict=False))
        return [step for step, (before, after) in pairs if not torch.equal(before[name], after[name])]


def test_parts_learn_from_their_own_step_on(toy: ModuleType) -> None:
    job = toy.Adding()
    watch = Watch(job.module)
    outcome = train(job, replace(toy.OPTIONS, average=0.0), groups=LATER, callbacks=[watch])
    assert watch.moved("head.weight") == list(range(40))
    assert watch.moved("norm.weight") == watch.moved("norm.running_mean") == list(range(12, 40))
    assert watch.moved("rnn.weight_hh_l0") == list(range(12, 40))
    assert watch.moved("rnn.weight_ih_l0") == list(range(24, 40))
    assert all(one.requires_grad for one in job.module.parameters())
    assert outcome.steps == 40


def test_what_is_frozen_stays_in_every_bit(toy: ModuleType) -> None:
    job = toy.Adding()
    for name in ("rnn", "norm"):
        job.module.get_submodule(name).requires_grad_(False)
    watch = Watch(job.module)
    train(job, replace(toy.OPTIONS, weight_decay=0.5), callbacks=[watch])
    for name in watch.seen[0]:
        assert bool(watch.moved(name)) == name.startswith("head"), name
        if not name.startswith("head"):
            assert torch.equal(watch.seen[0][name], job.module.state_dict()[name])


def test_the_first_step_is_as_long_as_the_rate_says(toy: ModuleType) -> None:
    """Adam's first step is the rate in every weight whose gradient is not next to nothing."""
    job = toy.Adding(dropout=0.0)
    options = replace(toy.OPTIONS, steps=1, warmup=0, weight_decay=0.0, average=0.0, schedule="constant")
    watch = Watch(job.module)
    train(job, options, groups=[Group(("rnn",), 0.25), Group(("rnn.weight_hh_l0",), 0.125)], callbacks=[watch])
    for name, rate in (("head.weight", 0.01), ("rnn.weight_ih_l0", 0.0025), ("rnn.weight_hh_l0", 0.00125)):
        step = (watch.seen[1][name] - watch.seen[0][name]).abs().max()
        assert float(step) == pytest.approx(rate, rel=1e-3)


@pytest.mark.parametrize("job", ["Adding", "Walks"])
@pytest.mark.parametrize("at", [4, 13, 31])
def test_a_crashed_run_with_groups_resumes_exactly(toy: ModuleType, tmp_path: Path, job: str, at: int) -> None:
    whole, broken, again = (getattr(toy, job)() for _ in range(3))
    expected = train(whole, toy.OPTIONS, groups=LATER)
    with pytest.raises(RuntimeError, match="crash"):
        train(broken, toy.OPTIONS, folder=tmp_path, groups=LATER, callbacks=[Watch(broken.module, at)])
    assert all(one.requires_grad for one in broken.module.parameters())
    outcome = train(again, toy.OPTIONS, folder=tmp_path, resume=True, groups=LATER)
    assert toy.fingerprint(again.module) == toy.fingerprint(whole.module)
    assert (outcome.best, outcome.best_step) == (expected.best, expected.best_step)


def test_groups_that_can_not_be_are_refused(toy: ModuleType) -> None:
    job = toy.Adding()
    with pytest.raises(ConfigError, match='names "hed", which is no part of the network; did you mean "head"'):
        train(job, toy.OPTIONS, groups=[Group(("hed",))])
    with pytest.raises(ConfigError, match="let one group start at step 0"):
        train(job, toy.OPTIONS, groups=[Group(("rnn", "norm", "head"), 1.0, 5)])


def test_groups_multiply_what_modules_say_of_their_rate() -> None:
    inner = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    inner.rate_scale = 0.5  # type: ignore[assignment]
    groups = parameter_groups(nn.ModuleDict({"a": inner, "b": nn.Linear(2, 2)}), 0.1, [Group(("a.1",), 0.5, 3)])
    found = {(one["weight_decay"], one["rate_scale"], one["start"]) for one in groups}
    assert found == {(decay, *rest) for decay in (0.1, 0.0) for rest in ((0.5, 0), (0.25, 3), (1.0, 0))}
