"""Forecasting as the training loop sees it: a batch for each step, a loss, a validation score."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from latchwork.sequences import where
from latchwork.tasks.forecast_carried import CarriedForecaster, CarriedState, Scale
from latchwork.tasks.forecast_data import ForecastData, Rows, Window
from latchwork.tasks.forecast_offline import fresh_state, offline, offline_view
from latchwork.tasks.forecast_plan import ENOUGH
from latchwork.tasks.forecast_window import SegmentNetwork, WindowForecaster
from latchwork.tasks.highway import BLENDED, blend
from latchwork.tasks.highway import best as best_fits

Loss = Literal["pinball", "mae", "mse"]

WEIGHT_LIMIT = 5.0
"""A window counts in units of its series; one whose own scale is far above may not rule the batch."""


class RowSampler(Protocol):
    """Which rows make up the batch of a step: a pure function of the step."""

    def rows(self, step: int) -> NDArray[np.int64]: ...


class Chunk(Protocol):
    """Where the lanes stand: sequence, first step, one past the last step; a sequence begins with a fresh state."""

    @property
    def sequence(self) -> NDArray[np.int64]: ...
    @property
    def start(self) -> NDArray[np.int64]: ...
    @property
    def stop(self) -> NDArray[np.int64]: ...


class ChunkSampler(Protocol):
    """The chunk of a step: a pure function of the step."""

    def chunk(self, step: int) -> Chunk: ...


VALIDATION_WINDOWS = 3000

MIXES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Weights of the season view that validation chooses from."""

RIDGE_WINDOWS = 20_000

HOPELESS = 1.5
PILOT = 5
"""A view whose validation loss stands so far above the other's after so many validations is trained no further."""


def forecast_loss(answer: Tensor, truth: Tensor, weight: Tensor, levels: Sequence[float], loss: Loss) -> Tensor:
    """Mean over the values that exist of the loss on the common scale, each weighted.

    answer [..., horizon, targets, levels], truth [..., horizon, targets] with NaN where missing, weight [..., targets].
    pinball: 2 max(q e, (q - 1) e) averaged over levels, so that the median's term is the absolute error.
    """
    seen = ~truth.isnan()
    error = truth.nan_to_num().unsqueeze(-1) - answer
    if loss == "pinball":
        q = torch.tensor(levels, device=answer.device)
        each = 2.0 * torch.maximum(q * error, (q - 1.0) * error).mean(-1)
    else:
        each = (error.abs() if loss == "mae" else error.square()).squeeze(-1)
    each = torch.where(seen, each, 0.0) * weight.clamp(max=WEIGHT_LIMIT).unsqueeze(-2)
    return each.sum() / seen.sum().clamp(min=1)


def series_units(
    data: ForecastData, train: NDArray[np.int64], season: int, enter: Callable[[Tensor], Tensor] | None = None
) -> Tensor:
    """[series, targets] mean absolute seasonal difference over the training rows (their deviation where there is none).

    ``enter`` takes the values to another space first.
    """
    units = torch.ones(len(train), data.sizes.targets, dtype=torch.float64)
    for index, (offset, rows) in enumerate(zip(data.offsets, train, strict=True)):
        values = data.target[offset : offset + rows]
        values = values if enter is None else enter(values)
        change = (
            (values[season:] - values[:-season]).abs().nanmean(0) if rows > season else values.new_full((1,), torch.nan)
        )
        spread = (values - values.nanmean(0)).abs().nanmean(0) if rows else change
        unit = torch.where(change > 1e-9 * spread, change, spread)
        units[index] = torch.where(unit > 0, unit, 1.0)
    return units


def thin(pairs: Tensor, most: int) -> Tensor:
    """At most ``most`` of the rows, evenly spaced."""
    return pairs if len(pairs) <= most else pairs[torch.linspace(0, len(pairs) - 1, most).round().long()]


class _ForecastJob:
    """What both memories share: units, devices, the validation score."""

    def __init__(
        self,
        module: Any,
        data: ForecastData,
        *,
        units: Tensor,
        levels: Sequence[float],
        loss: Loss,
        validation: Tensor,
        scales: Scale | None = None,
    ) -> None:
        self.module, self.data, self.units = module, data, units
        self.levels = levels
        self.kind: Loss = loss
        self.validation, self.scales = thin(validation, VALIDATION_WINDOWS), scales

    def validate(self) -> dict[str, float]:
        """The training loss of whole forecasts, and the median's absolute error, both in units of each series."""
        if not len(self.validation):
            return {}
        return self.figures(offline(self.module, self.data, self.validation, self.scales).quantiles)

    def figures(self, quantiles: Tensor) -> dict[str, float]:
        """Loss and scaled absolute error of answers to the validation windows."""
        truth = self.data.truth(self.validation, quantiles.shape[1])
        unit = self.units[self.validation[:, 0]].unsqueeze(1)
        z, y = quantiles / unit.unsqueeze(-1), truth / unit
        median = z[..., list(self.levels).index(0.5)]
        loss = forecast_loss(z, y, z.new_ones(1), self.levels, self.kind)
        return {"loss": float(loss), "scaled_mae": float((median - y).abs().nanmean())}


class WindowJob(_ForecastJob):
    """Training of a :class:`WindowForecaster` on (series, origin) pairs; each member has its own windows."""

    module: WindowForecaster

    def __init__(
        self,
        module: WindowForecaster,
        data: ForecastData,
        *,
        train: Tensor,
        rows: NDArray[np.int64],
        sampler: RowSampler,
        **shared: Any,
    ) -> None:
        super().__init__(module, data, **shared)
        self.train, self.sampler, self.rows = train, sampler, rows
        self._weights: dict[bool, Tensor] = {}

    @property
    def weights(self) -> Tensor:
        """[series, targets] the units of the series in the space the networks work in."""
        logarithm = bool(self.module.logarithm)
        if logarithm not in self._weights:
            units = series_units(self.data, self.rows, self.module.season, self.module.enter)
            self._weights[logarithm] = units
        return self._weights[logarithm]

    def gather(self, pairs: Tensor, horizon: int) -> tuple[Window, Tensor]:
        """Windows and what came after them."""
        series, origins = pairs.numpy().T
        window, truth = self.data.windows(series, origins, self.module.lookback, horizon)
        return window, truth

    def batch(self, step: int) -> tuple[Window, Tensor, Tensor]:
        pairs = self.train[torch.from_numpy(self.sampler.rows(step))]
        window, truth = self.gather(pairs, self.module.reach)
        return window, truth, self.weights[pairs[:, 0]]

    def loss(self, batch: tuple[Window, Tensor, Tensor], carried: Any) -> tuple[Tensor, None]:
        window, truth, units = batch
        networks = self.module.networks()
        mix = float(self.module.mix)
        share = {view: max(1, len(self.module.networks(view))) for view in ("season", "level")}
        losses, shown = [], []
        for index, network in enumerate(networks):
            if self.module.retired[index]:
                continue
            own = slice(index, None, len(networks)) if len(truth) >= len(networks) else slice(None)
            part = Window(*(value[own] for value in window))
            z = network.normalize(self.module.enter(part.target))
            y = ((self.module.enter(truth[own]) - z.base) / z.scale.unsqueeze(1)).clamp(-100, 100).float()
            weight = (z.scale / units[own]).float()
            loss = forecast_loss(network(z, part), y, weight, self.levels, self.kind)
            losses.append(loss)
            shown.append(loss.detach() * (mix if network.view == "season" else 1.0 - mix) / share[network.view])
        total = torch.stack(losses).sum()
        # Each network learns by its own loss; what is logged is weighted as the answer is, to stand beside validation.
        return torch.stack(shown).sum() + (total - total.detach()), None

    def validate(self) -> dict[str, float]:
        """As for any forecaster; and the weight of the two views is chosen here, each time."""
        if not len(self.validation):
            return {}
        views = {view: offline_view(self.module, self.data, self.validation, view) for view in ("season", "level")}
        season, level = views["season"], views["level"]
        if season is None or level is None:
            return super().validate()
        alone = {view: self.figures(answer.quantiles)["loss"] for view, answer in views.items() if answer is not None}
        mixed = {mix: self.figures(mix * season.quantiles + (1 - mix) * level.quantiles) for mix in MIXES}
        best = min(MIXES, key=lambda mix: mixed[mix]["loss"])
        self.module.mix.fill_(best)
        self.module.validated += 1
        if int(self.module.validated) >= PILOT:
            worse = max(alone, key=lambda view: alone[view])
            if alone[worse] > HOPELESS * min(alone.values()):
                best = 1.0 if worse == "level" else 0.0
                self.module.mix.fill_(best)
                for index, network in enumerate(self.module.networks()):
                    self.module.retired[index] |= network.view == worse
        return {**mixed[best], "season_weight": best, **{f"{view}_loss": value for view, value in alone.items()}}

    @torch.no_grad()
    def start(
        self, ridges: Sequence[tuple[int, float]] = (), floor: float | None = None, always: bool = False
    ) -> list[tuple[int, float]]:
        """Start the linear paths from ridge; returns which ridges were blended.

        ridges  those to blend; none: validation chooses them
        floor   of positive data: validation also chooses whether windows are read as logarithms, by those ridges
        alone: by the
                product of their scaled and their relative error, the two that M4 weighs alike
        always  they are, whatever validation says
        """
        networks = [network for network in self.module.networks("season") if network.highway is not None]
        if not networks:
            return []
        choices = [bool(self.module.logarithm) or always]
        if floor is not None and not always and not ridges and len(self.validation):
            choices = [False, True]
        if floor is not None:
            self.module.floor.fill_(floor)
        found = []
        for logarithm in choices:
            self.module.logarithm.fill_(logarithm)
            keys, solution = self._ridge(networks[0], ridges)
            for network in networks:
                assert network.highway is not None
                network.highway.set(solution)
            error = 0.0
            if len(choices) > 1:
                answer = offline_view(self.module, self.data, self.validation, "season")
                assert answer is not None
                error = self.figures(answer.quantiles)["scaled_mae"] * self._relative(answer.quantiles)
            found.append((error, logarithm, keys, solution))
        _, logarithm, keys, solution = min(found, key=lambda one: one[0])
        self.module.logarithm.fill_(logarithm)
        for network in networks:
            assert network.highway is not None
            network.highway.set(solution)
        return keys

    def _relative(self, quantiles: Tensor) -> float:
        """Mean of |y - f| / (|y| + |f|) over the validation windows, as in sMAPE."""
        truth = self.data.truth(self.validation, quantiles.shape[1])
        median = quantiles[..., self.module.median]
        return float(((median - truth).abs() / (median.abs() + truth.abs()).clamp(min=1e-30)).nanmean())

    def _ridge(
        self, network: SegmentNetwork, ridges: Sequence[tuple[int, float]]
    ) -> tuple[list[tuple[int, float]], Tensor]:
        assert network.highway is not None
        features, answers, weights = self._linear(network, thin(self.train, RIDGE_WINDOWS))
        if not len(features):
            return [], torch.zeros(features.shape[1] + 1, answers.shape[1], dtype=torch.float64)
        fits = network.highway.fit(features, answers, weights)
        if ridges:
            chosen = list(ridges)
        elif len(self.validation):
            held, truth, importance = self._linear(network, self.validation)
            x = torch.cat([held.double(), torch.ones(len(held), 1, dtype=torch.float64)], dim=1)
            count = 1 if len(self.train) >= ENOUGH else BLENDED
            chosen = best_fits(fits, lambda a: float(((truth - x @ a).abs().mean(1) * importance).mean()), count)
        else:
            chosen = [key for key in fits if key[1] == 1.0]
        return chosen, blend(fits, chosen)

    def _linear(self, network: SegmentNetwork, pairs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(features, answers, weights) of the complete windows, one row for each target."""
        assert network.highway is not None
        found = []
        for part in pairs.split(4096):
            window, truth = self.gather(part, self.module.reach)
            z = network.normalize(self.module.enter(window.target))
            y = (
                ((self.module.enter(truth) - z.base) / z.scale.unsqueeze(1))
                .clamp(-100, 100)
                .transpose(1, 2)
                .flatten(0, 1)
            )
            complete = ~y.isnan().any(1)
            weight = (z.scale / self.weights[part[:, 0]]).clamp(max=WEIGHT_LIMIT)
            rows = (network.highway.features(z).flatten(0, 1), y, weight.flatten())
            found.append([value[complete] for value in rows])
        features, answers, weights = (torch.cat(column) for column in zip(*found, strict=True))
        return features, answers, weights


class Pieces(NamedTuple):
    """Stretches of series, each read from its first row with a fresh state: [pieces] series, first row, rows."""

    series: NDArray[np.int64]
    start: NDArray[np.int64]
    rows: NDArray[np.int64]

    @classmethod
    def of(cls, train: NDArray[np.int64], lanes: int, least: int) -> "Pieces":
        """The training rows of every series; a long one is cut, so that ``lanes`` lanes have work, into pieces of at
        least ``least``.
        """
        length = max(least, -(-int(train.sum()) // lanes))
        found = []
        for series, rows in enumerate(train.tolist()):
            count = max(1, rows // length)
            edges = np.linspace(0, rows, count + 1).round().astype(np.int64)
            found += [(series, first, last - first) for first, last in pairwise(edges) if last > first]
        return cls(*np.array(found, dtype=np.int64).T)


class CarriedJob(_ForecastJob):
    """Training of a :class:`CarriedForecaster` by truncated backpropagation: the state goes on from chunk to chunk."""

    module: CarriedForecaster

    def __init__(
        self,
        module: CarriedForecaster,
        data: ForecastData,
        *,
        pieces: Pieces,
        stops: NDArray[np.int64],
        sampler: ChunkSampler,
        **shared: Any,
    ) -> None:
        super().__init__(module, data, **shared)
        self.pieces, self.stops, self.sampler = pieces, stops, sampler

    def batch(self, step: int) -> tuple[Tensor, Tensor, Rows, Tensor, Tensor]:
        """(series [lanes], which begin anew [lanes], rows, what comes after each row [lanes, time, reach, targets],
        known ahead).
        """
        chunk = self.sampler.chunk(step)
        series = self.pieces.series[chunk.sequence]
        first = self.pieces.start[chunk.sequence] + chunk.start
        time = int((chunk.stop - chunk.start).max())
        rows = self.data.rows(series, first, time)
        t = torch.arange(time)
        place = torch.from_numpy(first)[:, None, None] + 1 + t[:, None] + torch.arange(self.module.reach)
        # Only rows of the piece are asked; a horizon that reaches past the training rows counts for nothing, nor does a
        # moment before the first season has passed: there is no seasonal difference to put it on a scale with.
        asked = t < torch.from_numpy(chunk.stop - chunk.start)[:, None]
        asked &= place[..., -1] < torch.from_numpy(self.stops[series])[:, None]
        warm = np.minimum(self.module.season, self.pieces.rows[chunk.sequence] // 4)
        asked &= t + torch.from_numpy(chunk.start)[:, None] >= torch.from_numpy(warm)[:, None]
        place = (place + torch.from_numpy(self.data.offsets[series])[:, None, None]).clamp(
            max=len(self.data.target) - 1
        )
        truth = torch.where(asked[..., None, None], self.data.target[place], torch.nan)
        anew = torch.from_numpy(chunk.start == 0)
        return torch.from_numpy(series), anew, rows, truth, self.data.future[place]

    def loss(self, batch: tuple[Tensor, Tensor, Rows, Tensor, Tensor], carried: Any) -> tuple[Tensor, CarriedState]:
        series, anew, rows, truth, ahead = batch
        series = series.cpu()
        fresh = fresh_state(self.module, self.data, series, self.scales)
        state = fresh if carried is None else where(anew, fresh, carried)
        reading, outputs, after = self.module.run(rows, state)
        reach, season = self.module.reach, self.module.season
        base = reading.base.repeat(1, 1, -(-reach // season), 1)[:, :, :reach]
        y = ((truth - base) / reading.scale.unsqueeze(2)).clamp(-100, 100).float()
        weight = (reading.scale / self.units[series].to(truth.device).unsqueeze(1)).float()
        answers = [self.module.correct(outputs, reading.path, ahead, one) for one in range(len(self.module.members))]
        losses = [forecast_loss(answer, y, weight, self.levels, self.kind) for answer in answers]
        return torch.stack(losses).mean(), after
