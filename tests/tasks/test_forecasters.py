"""Both memories: streamed equals offline, nothing leaks, padding and neighbours count for nothing."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from latchwork.errors import ConfigError, StateError
from latchwork.layers import Network
from latchwork.sequences import Series, concatenate, flatten, select
from latchwork.tasks import Forecast, ForecastData, Rows
from latchwork.tasks.forecast_carried import CarriedForecaster
from latchwork.tasks.forecast_offline import offline
from latchwork.tasks.forecast_plan import Plan

KINDS = [
    {"memory": "window"},
    {"memory": "window", "strategy": "recursive"},
    {"memory": "window", "highway": False},
    {"memory": "window", "members": 2},
    {"memory": "carried"},
    {"memory": "carried", "strategy": "recursive"},
    {"memory": "carried", "highway": False},
]
PAIRS = torch.tensor([[0, 50], [1, 1], [1, 30], [2, 130], [0, 20], [2, 3], [2, 0]])


def one_by_one(module, data: ForecastData, series: int, origin: int, chunks: list[int]) -> torch.Tensor:
    state, row = module.initial_state(data.static[[series]]), 0
    index = np.array([series])
    for size in chunks:
        take = min(size, origin - row)
        if take:
            state = module.observe(data.rows(index, np.array([row]), take), state)
        row += take
    assert row == origin
    return module.forecast(state, data.ahead(torch.tensor([[series, origin]]), module.horizon)).quantiles[0]


@pytest.mark.parametrize("kind", KINDS, ids=str)
@torch.no_grad()
def test_streamed_in_any_chunks_equals_offline(forecaster, kind) -> None:
    module, data = forecaster(**kind)
    found = offline(module, data, PAIRS).quantiles
    assert torch.isfinite(found).all()
    assert (found.diff(dim=-1) >= 0).all()
    random = np.random.default_rng(0)
    for pair, expected in zip(PAIRS.tolist(), found, strict=True):
        for chunks in ([1] * 200, [200], random.integers(0, 9, 200).tolist()):
            torch.testing.assert_close(one_by_one(module, data, *pair, chunks), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_rows_from_the_origin_on_are_never_seen(forecaster, some_series, kind) -> None:
    module, data = forecaster(**kind)
    before = offline(module, data, torch.tensor([[0, 50]])).quantiles
    target, past = some_series[0].target.copy(), some_series[0].past.copy()
    target[50:], past[50:] = 1e6, 1e6
    changed = [replace(some_series[0], target=target, past=past), *some_series[1:]]
    after = offline(module, ForecastData(changed, before=data.before, after=data.after), torch.tensor([[0, 50]]))
    torch.testing.assert_close(after.quantiles, before, rtol=0, atol=0)
    future = some_series[0].future.copy()
    future[52] += 1.0  # but what is known ahead is
    known = [replace(some_series[0], future=future), *some_series[1:]]
    moved = offline(module, ForecastData(known, before=data.before, after=data.after), torch.tensor([[0, 50]]))
    assert not torch.allclose(moved.quantiles, before)


@pytest.mark.parametrize("kind", KINDS, ids=str)
@torch.no_grad()
def test_states_of_many_series_are_batched_and_taken_apart(forecaster, kind) -> None:
    module, data = forecaster(**kind)
    states = [
        module.observe(data.rows(np.array([i]), np.array([0]), 40), module.initial_state(data.static[[i]]))
        for i in range(3)
    ]
    together = concatenate(states)
    ahead = data.ahead(torch.tensor([[0, 40], [1, 40], [2, 40]]), 5)
    alone = torch.cat([module.forecast(state, ahead[[i]]).quantiles for i, state in enumerate(states)])
    torch.testing.assert_close(module.forecast(together, ahead).quantiles, alone, rtol=1e-5, atol=1e-6)
    for name, leaf in flatten(select(together, [1])).items():
        torch.testing.assert_close(leaf, flatten(states[1])[name], rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_every_parameter_changes_the_answer(forecaster, kind) -> None:
    module, data = forecaster(**kind)
    before = offline(module, data, PAIRS).quantiles
    for name, parameter in module.named_parameters():
        kept = parameter.detach().clone()
        with torch.no_grad():
            parameter += 0.1 * torch.randn_like(parameter)
        assert not torch.equal(offline(module, data, PAIRS).quantiles, before), f"{name} is dead"
        with torch.no_grad():
            parameter.copy_(kept)


@pytest.mark.parametrize("memory", ["window", "carried"])
@torch.no_grad()
def test_a_missing_row_and_a_neighbour_of_nan_leave_the_others_alone(forecaster, memory) -> None:
    module, data = forecaster(memory=memory)
    rows = data.rows(np.array([0, 1]), np.array([0, 0]), 30)
    dirty = Rows(rows.target.clone(), rows.past, rows.future)
    dirty.target[0] = torch.nan
    ahead = data.ahead(torch.tensor([[0, 30], [1, 30]]), 5)
    clean, other = (
        module.forecast(module.observe(given, module.initial_state(data.static[[0, 1]])), ahead).quantiles
        for given in (rows, dirty)
    )
    assert torch.isfinite(other).all()
    torch.testing.assert_close(clean[1], other[1], rtol=0, atol=0)


@pytest.mark.parametrize("cell", ["rnn", "lstm", "layernorm_lstm", "slstm", "mingru"])
def test_any_cell_serves(forecaster, cell) -> None:
    for memory in ("window", "carried"):
        module, data = forecaster(cell=cell, memory=memory)
        assert torch.isfinite(offline(module, data, PAIRS).quantiles).all()


def test_a_fixed_scale_stays_and_a_running_one_moves(forecaster) -> None:
    running, data = forecaster(memory="carried")
    assert isinstance(running, CarriedForecaster)
    fixed, _ = forecaster(memory="carried", scale="fixed")
    state = running.initial_state(data.static[[0]])
    rows = data.rows(np.array([0]), np.array([0]), 30)
    assert running.observe(rows, state).scale.level.abs().sum() > 0
    given = state.scale._replace(
        level=state.scale.level + 9, spread=state.scale.spread + 2, change=state.scale.change + 1
    )
    after = fixed.observe(rows, fixed.initial_state(data.static[[0]], given))
    for name in ("level", "spread", "change"):
        torch.testing.assert_close(getattr(after.scale, name), getattr(given, name), rtol=0, atol=0)


def test_a_network_that_reads_backwards_is_refused_with_the_remedy(some_series: list[Series]) -> None:
    sizes = ForecastData(some_series[:1], before=0, after=0).sizes
    for memory in ("window", "carried"):
        task, network = Forecast(horizon=3, memory=memory), Network(bidirectional=True)
        plan = Plan.of(task, network, sizes, season=7, rows=np.array([80]))
        with pytest.raises(ConfigError, match="bidirectional"):
            plan.build(task, network)


def test_a_horizon_of_the_wrong_length_is_refused(forecaster) -> None:
    for memory in ("window", "carried"):
        module, data = forecaster(memory=memory)
        with pytest.raises(StateError, match="expected 5"):
            module.forecast(module.initial_state(data.static[[0]]), torch.zeros(1, 4, 2))
