"""Offline forecasts at any origins: the same fold as a live stream, batched."""

from collections.abc import Iterator

import torch
from torch import Tensor

from latchwork.tasks.forecast_carried import CarriedForecaster, CarriedState, Scale
from latchwork.tasks.forecast_data import Answer, ForecastData, Rows
from latchwork.tasks.forecast_window import WindowForecaster, WindowState
from latchwork.tasks.normalize import View

Forecaster = WindowForecaster | CarriedForecaster

WINDOWS_AT_ONCE = 1024
LANES = 256
ROWS_AT_ONCE = 256


@torch.no_grad()
def offline(module: Forecaster, data: ForecastData, pairs: Tensor, scales: Scale | None = None) -> Answer:
    """Forecasts at ``pairs [n, 2]`` of (series, origin), which see rows [0, origin) alone.

    Computed on the module's device, in evaluation mode; the answer is float64 on the CPU.
    """
    was_training = module.training
    module.eval()
    try:
        if isinstance(module, WindowForecaster):
            return _windows(module, data, pairs)
        return _recursive(module, data, pairs, scales) if module.recursive else _fold(module, data, pairs, scales)
    finally:
        module.train(was_training)


def device_of(module: Forecaster) -> torch.device:
    """Where the module's parameters are."""
    return next(module.parameters()).device


@torch.no_grad()
def offline_view(module: WindowForecaster, data: ForecastData, pairs: Tensor, view: View) -> Answer | None:
    """What the members of one view say, whatever their weight; None where there are none."""
    answers = [module.view(state, ahead, view, always=True) for state, ahead in _states(module, data, pairs)]
    found = [answer for answer in answers if answer is not None]
    return _joined(found) if found else None


def _windows(module: WindowForecaster, data: ForecastData, pairs: Tensor) -> Answer:
    return _joined([module.forecast(state, ahead) for state, ahead in _states(module, data, pairs)])


def _states(module: WindowForecaster, data: ForecastData, pairs: Tensor) -> Iterator[tuple[WindowState, Tensor]]:
    for part in pairs.split(WINDOWS_AT_ONCE):
        series, origins = part.numpy().T
        window, _ = data.windows(series, origins, module.lookback, module.horizon)
        target, past, future, static = (leaf.to(device_of(module)) for leaf in window)
        state = WindowState(target, past, future[:, : module.lookback], static)
        yield state, future[:, module.lookback :]


def _joined(answers: list[Answer]) -> Answer:
    return Answer(*(torch.cat(part).cpu() for part in zip(*answers, strict=True)))


def _blank(module: Forecaster, data: ForecastData, count: int) -> Answer:
    targets = data.sizes.targets
    quantiles = torch.full((count, module.horizon, targets, len(module.levels)), torch.nan, dtype=torch.float64)
    return Answer(quantiles, torch.ones(count, targets, dtype=torch.float64))


def _put(answers: Answer, places: Tensor, quantiles: Tensor, scale: Tensor) -> None:
    answers.quantiles[places] = quantiles.cpu()
    answers.scale[places] = scale.cpu()


def fresh_state(module: CarriedForecaster, data: ForecastData, series: Tensor, scales: Scale | None) -> CarriedState:
    """The state before the first row of these series; ``scales`` where the scale is fixed."""
    device = device_of(module)
    scale = None if scales is None else Scale(*(leaf[series].to(device) for leaf in scales))
    return module.initial_state(data.static[series].to(device), scale)


def _fold(module: CarriedForecaster, data: ForecastData, pairs: Tensor, scales: Scale | None) -> Answer:
    """Each series once from its first row on, many side by side; the answer of an origin is read off as its last row
    passes.
    """
    device = device_of(module)
    wanted = torch.unique(pairs[:, 0])
    latest = torch.zeros(len(data.lengths), dtype=torch.long).scatter_reduce(0, pairs[:, 0], pairs[:, 1], "amax")
    wanted = wanted[latest[wanted].argsort()]
    answers = _blank(module, data, len(pairs))
    for lanes in wanted.split(LANES):
        lane_of = torch.full((len(data.lengths),), -1).scatter(0, lanes, torch.arange(len(lanes)))
        state = fresh_state(module, data, lanes, scales)
        blank = torch.nonzero((lane_of[pairs[:, 0]] >= 0) & (pairs[:, 1] == 0)).squeeze(1)
        if len(blank):
            ahead = data.ahead(pairs[blank], module.horizon).to(device)
            held = fresh_state(module, data, pairs[blank, 0], scales)
            _put(answers, blank, *module.forecast(held, ahead))
        for start in range(0, int(latest[lanes].max()), ROWS_AT_ONCE):
            count = min(ROWS_AT_ONCE, int(latest[lanes].max()) - start)
            rows = data.rows(lanes.numpy(), torch.full((len(lanes),), start).numpy(), count)
            reading, outputs, state = module.run(Rows(*(leaf.to(device) for leaf in rows)), state)
            here = (lane_of[pairs[:, 0]] >= 0) & (pairs[:, 1] > start) & (pairs[:, 1] <= start + count)
            for part in torch.nonzero(here).squeeze(1).split(WINDOWS_AT_ONCE):
                lane, row = lane_of[pairs[part, 0]], pairs[part, 1] - start - 1
                ahead = data.ahead(pairs[part], module.horizon).to(device)
                moment = (reading.path[lane, row], reading.base[lane, row], reading.scale[lane, row])
                _put(answers, part, module.answer(outputs[lane, row], *moment, ahead), reading.scale[lane, row])
    return answers


def _recursive(module: CarriedForecaster, data: ForecastData, pairs: Tensor, scales: Scale | None) -> Answer:
    """Series by series, origin by origin: a recursive forecast needs the whole state of its moment."""
    device = device_of(module)
    answers = _blank(module, data, len(pairs))
    for series in torch.unique(pairs[:, 0]):
        state, row = fresh_state(module, data, series.unsqueeze(0), scales), 0
        places = torch.nonzero(pairs[:, 0] == series).squeeze(1)
        for place in places[pairs[places, 1].argsort()]:
            origin = int(pairs[place, 1])
            if origin > row:
                rows = data.rows(series.unsqueeze(0).numpy(), torch.tensor([row]).numpy(), origin - row)
                state, row = module.observe(Rows(*(leaf.to(device) for leaf in rows)), state), origin
            ahead = data.ahead(pairs[place].unsqueeze(0), module.horizon).to(device)
            _put(answers, place.unsqueeze(0), *module.forecast(state, ahead))
    return answers
