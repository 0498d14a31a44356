"""Forecasting with a carried memory: the recurrence runs on for ever, and a new row costs one step."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from latchwork.errors import ConfigError, StateError
from latchwork.layers import Network
from latchwork.tasks.forecast_data import Answer, Rows, Sizes
from latchwork.tasks.normalize import BLANK, LEVEL_FLOOR, RESOLUTION
from latchwork.tasks.normalize import LIMIT as LIMITS

LIMIT = LIMITS["season"]


class Scale(NamedTuple):
    """What is known of a series' scale so far, float64, in the units of the file.

    seen    [batch, targets]          values seen
    pairs   [batch, targets]          values seen that had one a season before
    last    [batch, targets]          the last value seen; 0 before any
    level   [batch, targets]          running mean
    spread  [batch, targets]          running mean of |y - level|
    change  [batch, targets]          running mean of |y_t - y_{t-season}|
    season  [batch, season, targets]  the last season; a missing value keeps the one of the season before
    known   [batch, season, targets]  1 where ``season`` holds a value
    """

    seen: Tensor
    pairs: Tensor
    last: Tensor
    level: Tensor
    spread: Tensor
    change: Tensor
    season: Tensor
    known: Tensor


class CarriedState(NamedTuple):
    """memory: the recurrence's state, one for each member; output: [batch, members, width]; scale; static [batch,
    static].
    """

    memory: tuple[Any, ...]
    output: Tensor
    scale: Scale
    static: Tensor


class Reading(NamedTuple):
    """Rows on the scale of their own moment, and what turns an answer of that moment back into the file's units.

    inputs  [batch, time, row]; path [batch, time, targets, season]; base [batch, time, season, targets];
    scale   [batch, time, targets]
    """

    inputs: Tensor
    path: Tensor
    base: Tensor
    scale: Tensor


def _running(mean: Tensor, value: Tensor, count: Tensor, seen: Tensor, span: float) -> Tensor:
    """A plain mean over the first ``span`` values, an exponential one after that; unchanged where nothing was seen."""
    rate = 1.0 / count.clamp(min=1.0, max=span)
    return torch.where(seen, mean + rate * (value - mean), mean)


class CarriedNetwork(nn.Module):
    """h_t = recurrence(relu(E row_t), h_{t-1});  ŷ_{t+1 … t+horizon} = V (h_t + F [known ahead])."""

    def __init__(self, sizes: Sizes, *, horizon: int, outputs: int, network: Network) -> None:
        super().__init__()
        self.shape = (horizon, sizes.targets, outputs)
        width = network.hidden_size
        assert width is not None, "the task resolves hidden_size before it builds"
        self.embed = nn.Linear(5 * sizes.targets + sizes.past + sizes.future + sizes.static, width)
        self.recurrence = network.build(width)
        out = self.recurrence.output_size
        self.known = nn.Linear(sizes.future * horizon, out, bias=False) if sizes.future else None
        self.dropout = nn.Dropout(network.dropout or 0.0)
        self.head = nn.Linear(out, horizon * sizes.targets * outputs)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def run(self, inputs: Tensor, memory: Any) -> tuple[Tensor, Any]:
        """[batch, time, row] -> outputs [batch, time, width], memory."""
        return self.recurrence(self.embed(inputs).relu(), memory)

    def answer(self, output: Tensor, ahead: Tensor) -> Tensor:
        """[..., width], [..., horizon, future] -> [..., horizon, targets, levels], relative to base, on the scale."""
        if self.known is not None:
            output = output + self.known(ahead.flatten(-2))
        return self.head(self.dropout(output)).unflatten(-1, self.shape)


class CarriedForecaster(nn.Module):
    """Forecasts from a state that has seen every row so far. Offline prediction is the same fold as the live stream."""

    def __init__(
        self,
        sizes: Sizes,
        *,
        horizon: int,
        season: int,
        levels: tuple[float, ...],
        network: Network,
        members: int = 1,
        highway: bool = True,
        recursive: bool = False,
        fixed: bool = False,
    ) -> None:
        super().__init__()
        if network.bidirectional:
            raise ConfigError(
                "bidirectional=true needs the future to read the past; forecasting needs bidirectional=false"
            )
        self.sizes, self.horizon, self.season, self.fixed, self.recursive = sizes, horizon, season, fixed, recursive
        self.levels, self.median = levels, levels.index(0.5)
        self.reach = 1 if recursive else horizon
        self.span = float(max(64, 2 * season))
        self.members = nn.ModuleList(
            CarriedNetwork(sizes, horizon=self.reach, outputs=len(levels), network=network) for _ in range(members)
        )
        self.highway = nn.Linear(season, self.reach) if highway else None
        if self.highway is not None:
            nn.init.zeros_(self.highway.weight)
            nn.init.zeros_(self.highway.bias)

    def initial_state(self, static: Tensor, scale: Scale | None = None) -> CarriedState:
        """Nothing seen yet. ``scale``: the training rows' own, where the scale is fixed."""
        batch = len(static)
        if scale is None:
            blank = static.new_zeros(batch, self.sizes.targets, dtype=torch.float64)
            season = static.new_zeros(batch, self.season, self.sizes.targets, dtype=torch.float64)
            scale = Scale(blank, blank, blank, blank, blank, blank, season, season)
        memory = tuple(member.recurrence.initial_state(batch) for member in self._networks())
        width = self._networks()[0].recurrence.output_size
        return CarriedState(memory, static.new_zeros(batch, len(self.members), width), scale, static)

    def _networks(self) -> list[CarriedNetwork]:
        return [member for member in self.members if isinstance(member, CarriedNetwork)]

    def read(self, rows: Rows, state: CarriedState) -> tuple[Reading, Scale]:
        """Put each row on the scale known when it arrives (itself included), and the scale after the last."""
        scale = state.scale
        inputs, contexts = [], []
        for t in range(rows.target.shape[1]):
            y, previous = rows.target[:, t], scale
            seen = ~y.isnan()
            both = seen & (scale.known[:, 0] > 0)
            y = y.nan_to_num()
            step = torch.where(both, y - scale.season[:, 0], 0.0)
            scale = self._update(scale, y, step, seen, both)
            unit, spread = self._units(scale)
            level = torch.where(seen, (y - scale.level) / spread, 0.0)
            jump = torch.where(seen & (previous.seen > 0), (y - previous.last) / unit, 0.0)
            channels = [level, step / unit, jump, (spread / unit).log()]
            values = torch.cat([part.clamp(-LIMIT, LIMIT).float() for part in channels] + [seen.float()], dim=-1)
            inputs.append(torch.cat([values, rows.past[:, t], rows.future[:, t], state.static], dim=-1))
            contexts.append(self._context(scale))
        stacked = (torch.stack(part, dim=1) for part in zip(*contexts, strict=True))
        return Reading(torch.stack(inputs, dim=1), *stacked), scale

    def _context(self, scale: Scale) -> tuple[Tensor, Tensor, Tensor]:
        """(path, base, scale) of one moment, as in :class:`Reading`."""
        unit, spread = self._units(scale)
        last = scale.last.unsqueeze(1)
        base = torch.where(scale.known > 0, scale.season, last)
        path = ((base - last) / spread.unsqueeze(1)).clamp(-LIMIT, LIMIT).float().transpose(1, 2)
        return path, base, unit

    def _update(self, scale: Scale, y: Tensor, step: Tensor, seen: Tensor, both: Tensor) -> Scale:
        count, pairs = scale.seen + seen, scale.pairs + both
        level, spread, change = scale.level, scale.spread, scale.change
        if not self.fixed:
            level = _running(level, y, count, seen, self.span)
            spread = _running(spread, (y - level).abs(), count, seen, self.span)
            change = _running(change, step.abs(), pairs, both, self.span)
        newest = torch.where(seen, y, scale.season[:, 0])
        season = torch.cat([scale.season[:, 1:], newest.unsqueeze(1)], dim=1)
        known = torch.cat([scale.known[:, 1:], (scale.known[:, 0] + seen).clamp(max=1.0).unsqueeze(1)], dim=1)
        return Scale(count, pairs, torch.where(seen, y, scale.last), level, spread, change, season, known)

    def _units(self, scale: Scale) -> tuple[Tensor, Tensor]:
        """(unit of the answers, divisor of the level), never 0."""
        unit = torch.where(scale.pairs > 0, scale.change, scale.spread)
        unit = torch.maximum(unit, 1e-3 * scale.spread)
        unit = torch.where(unit > RESOLUTION * scale.level.abs(), unit, BLANK * scale.level.abs())
        unit = torch.where(unit > 1e-30, unit, 1.0)
        return unit, torch.maximum(unit, LEVEL_FLOOR * scale.spread)

    def run(self, rows: Rows, state: CarriedState) -> tuple[Reading, Tensor, CarriedState]:
        """The fold: rows -> their reading, outputs [batch, time, members, width], the state after the last row."""
        reading, scale = self.read(rows, state)
        outputs, memory = zip(
            *(member.run(reading.inputs, held) for member, held in zip(self._networks(), state.memory, strict=True)),
            strict=True,
        )
        stacked = torch.stack(outputs, dim=2)
        return reading, stacked, CarriedState(tuple(memory), stacked[:, -1], scale, state.static)

    def observe(self, rows: Rows, state: CarriedState) -> CarriedState:
        """The state after some more rows; a step each."""
        return self.run(rows, state)[2]

    def correct(self, outputs: Tensor, path: Tensor, ahead: Tensor, member: int) -> Tensor:
        """[..., members, width], [..., targets, season], [..., horizon, future] -> [..., reach, targets, levels]."""
        answer = self._networks()[member].answer(outputs[..., member, :], ahead)
        if self.highway is not None:
            answer = answer + self.highway(path).transpose(-1, -2).unsqueeze(-1)
        return answer

    def forecast(self, state: CarriedState, ahead: Tensor) -> Answer:
        """The forecast from here, given what is known ahead [batch, horizon, future]."""
        if ahead.shape[1] != self.horizon:
            raise StateError(f"{ahead.shape[1]} rows of known future came, expected {self.horizon}: the horizon")
        parts: list[Tensor] = []
        scale = self._units(state.scale)[0]
        for start in range(0, self.horizon, self.reach):
            known = ahead[:, start : start + self.reach]
            answer = self.answer(state.output, *self._context(state.scale), known)
            parts.append(answer)
            if self.recursive:
                past = state.static.new_zeros(len(answer), self.reach, self.sizes.past)
                state = self.observe(Rows(answer[..., self.median], past, known), state)
        return Answer(torch.cat(parts, dim=1), scale)

    def answer(self, output: Tensor, path: Tensor, base: Tensor, unit: Tensor, ahead: Tensor) -> Tensor:
        """One moment's output and reading -> [batch, reach, targets, levels] in the units of the file, levels in
        order.
        """
        corrections = [self.correct(output, path, ahead, member) for member in range(len(self.members))]
        base = base.repeat(1, -(-self.reach // self.season), 1)[:, : self.reach]
        answer = torch.stack(corrections).mean(0).double() * unit[:, None, :, None] + base.unsqueeze(-1)
        return answer.sort(dim=-1).values
