"""The rate against the step; which parameters decay."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from latchwork.training import Training
from latchwork.training.schedule import parameter_groups, rate


def rates(**options: object) -> list[float]:
    training = Training.from_mapping(options)
    return [rate(step, training) for step in range(training.steps or 0)]


def test_shapes() -> None:
    assert rates(steps=4, warmup=0, schedule="constant") == [1, 1, 1, 1]
    assert rates(steps=5, warmup=2, schedule="constant") == [0.5, 1, 1, 1, 1]
    assert rates(steps=4, warmup=0, schedule="linear") == [1, 0.75, 0.5, 0.25]
    assert rates(steps=4, warmup=0, schedule="cosine") == pytest.approx([1, 0.853553, 0.5, 0.146447], abs=1e-6)
    assert rates(steps=40, warmup=0.1, schedule="constant")[:5] == [0.25, 0.5, 0.75, 1, 1]
    assert rates(steps=2, warmup=10, schedule="cosine") == [0.1, 0.2]


@given(
    steps=st.integers(1, 60),
    warmup=st.integers(0, 70),
    schedule=st.sampled_from(["cosine", "linear", "constant"]),
)
def test_rises_then_falls_and_stays_above_zero(steps: int, warmup: int, schedule: str) -> None:
    values = rates(steps=steps, warmup=warmup, schedule=schedule)
    assert all(0 < value <= 1 for value in values)
    assert values[:warmup] == sorted(values[:warmup])
    assert values[warmup:] == sorted(values[warmup:], reverse=True)
    if warmup < steps:
        assert values[warmup] == 1


class Scale(nn.Module):
    """A two-dimensional bias and a lone scale, as cells have them."""

    def __init__(self) -> None:
        super().__init__()
        self.recurrent_bias = nn.Parameter(nn.init.ones_(nn.Linear(2, 3).weight.detach()))
        self.peephole = nn.Parameter(nn.Linear(2, 3).bias.detach())


class RowNorm(nn.Module):
    """A user's own normalisation, with a matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(nn.Linear(2, 3).weight.detach())


def test_only_weight_matrices_decay() -> None:
    model = nn.ModuleDict(
        {
            "rnn": nn.GRU(2, 3),
            "norm": nn.LayerNorm([3, 2]),
            "own": RowNorm(),
            "scale": Scale(),
            "head": nn.Linear(3, 2),
            "frozen": nn.Linear(2, 2).requires_grad_(False),
        }
    )
    model["tied"] = model["head"]
    decayed, spared = parameter_groups(model, 0.3)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    assert {names[id(parameter)] for parameter in decayed["params"]} == {
        "rnn.weight_ih_l0",
        "rnn.weight_hh_l0",
        "head.weight",
    }
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.3, 0.0)
    together = [names[id(parameter)] for group in (decayed, spared) for parameter in group["params"]]
    assert sorted(together) == sorted(name for name in names.values() if not name.startswith("frozen"))


def test_a_module_may_learn_at_a_share_of_the_rate() -> None:
    class Slow(nn.Linear):
        rate_scale = 0.5

    inner = nn.Sequential(Slow(2, 2), nn.Linear(2, 2))
    inner.rate_scale = 0.1  # type: ignore[assignment]
    model = nn.Sequential(nn.Linear(2, 2), inner)
    scales = {
        id(parameter): (group["rate_scale"], group["weight_decay"])
        for group in parameter_groups(model, 0.3)
        for parameter in group["params"]
    }
    found = {name: scales[id(parameter)] for name, parameter in model.named_parameters()}
    assert {name: scale for name, (scale, _) in found.items() if name.endswith("weight")} == {
        "0.weight": 1.0,
        "1.0.weight": pytest.approx(0.05),
        "1.1.weight": pytest.approx(0.1),
    }
    assert all(decay == (0.3 if name.endswith("weight") else 0.0) for name, (_, decay) in found.items())
