"""Forecasting with a window for a memory: each forecast reads the last rows anew."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from latchwork.errors import ConfigError, StateError
from latchwork.layers import Network
from latchwork.sequences import map_state
from latchwork.tasks.forecast_data import Answer, Rows, Sizes, Window
from latchwork.tasks.highway import Highway
from latchwork.tasks.normalize import CONTEXT, Normalized, View, normalize

RATE: dict[View, float] = {"season": 1.0, "level": 0.25}
"""Share of the learning rate."""

LARGEST_LOGARITHM = 700.0
"""Beyond it exp overflows."""

DROPOUT: dict[View, float] = {"season": 0.1, "level": 0.5}
"""Where the network's options leave it open: the season view starts from ridge and moves little, the level view
overfits.
"""


class WindowState(NamedTuple):
    """The window itself, batch first: the last ``lookback`` rows (see :class:`Window`; ``future`` up to the
    present).
    """

    target: Tensor
    past: Tensor
    future: Tensor
    static: Tensor


class SegmentNetwork(nn.Module):
    """A recurrence over segments of a window, asked for each segment ahead.

        x_k = relu(E [segment_k, context, static])          k = 1 … lookback / segment
        s   = recurrence(x_1, x_2, …)
        ŷ_j = V recurrence.step(p_j + F [known ahead_j], s)  j = 1 … horizon / segment, all from the same state s

    as in SegRNN (Lin et al. 2023, arXiv:2308.11200), for any cell and depth; ``p_j`` is learned. In the season view a
    :class:`Highway` is added, and the recurrence starts with nothing to say beside it.
    """

    def __init__(
        self, sizes: Sizes, *, lookback: int, horizon: int, segment: int, season: int, outputs: int, network: Network,
        view: View, highway: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        self.targets, self.outputs, self.horizon, self.segment = sizes.targets, outputs, horizon, segment
        self.season = season
        self.view: View = view
        self.rate_scale = RATE[view]
        self.ahead = -(-horizon // segment)
        network = network if network.dropout is not None else network.resolved(dropout=DROPOUT[view])
        width = network.hidden_size
        assert width is not None, "the task resolves hidden_size before it builds"
        row = (3 if view == "season" else 2) * sizes.targets + sizes.past + sizes.future
        self.embed = nn.Linear(row * segment + CONTEXT * sizes.targets + sizes.static, width)
        self.recurrence = network.build(width)
        self.ask = nn.Parameter(torch.randn(self.ahead, width) * 0.1)
        self.known = nn.Linear(sizes.future * segment, width, bias=False) if sizes.future else None
        self.dropout = nn.Dropout(network.dropout or 0.0)
        self.head = nn.Linear(self.recurrence.output_size, segment * sizes.targets * outputs)
        self.highway = Highway(lookback, season, horizon) if highway and view == "season" else None
        if self.highway is not None:
            nn.init.zeros_(self.head.weight)
            nn.init.zeros_(self.head.bias)

    def normalize(self, target: Tensor) -> Normalized:
        """[batch, lookback, targets] -> the window on its own scale, in this network's view."""
        return normalize(target, self.season, self.horizon, self.view)

    def forward(self, z: Normalized, window: Window) -> Tensor:
        """-> [batch, horizon, targets, outputs]: corrections to the window's base, on its scale."""
        batch, time = z.level.shape[:2]
        own = [z.level, z.change, z.observed] if self.view == "season" else [z.level, z.observed]
        rows = torch.cat([*own, window.past, window.future[:, :time]], dim=-1)
        segments = rows.reshape(batch, time // self.segment, -1)
        constant = torch.cat([z.context, window.static], dim=-1).unsqueeze(1).expand(-1, segments.shape[1], -1)
        _, state = self.recurrence(self.embed(torch.cat([segments, constant], dim=-1)).relu())
        question = self.ask.expand(batch, -1, -1)
        if self.known is not None:
            ahead = nn.functional.pad(window.future[:, time:], (0, 0, 0, self.ahead * self.segment - self.horizon))
            question = question + self.known(ahead.reshape(batch, self.ahead, -1))
        copies = map_state(lambda leaf: leaf.repeat_interleave(self.ahead, 0), state)
        # One step each, through forward: in training what is dropped between layers is dropped here too.
        answer, _ = self.recurrence(question.reshape(batch * self.ahead, 1, -1), copies)
        answer = self.head(self.dropout(answer))
        answer = answer.view(batch, -1, self.targets, self.outputs)[:, : self.horizon]
        return answer if self.highway is None else answer + self.highway(z).unsqueeze(-1)


class WindowForecaster(nn.Module):
    """Forecasts from the last ``lookback`` rows alone: the window is the state, and it is read anew at each forecast.

    ``members`` networks in each view answer side by side; their quantiles are averaged level by level, the season
    view with weight ``mix``, the level view with the rest. Validation chooses the weight.
    """

    mix: Tensor
    logarithm: Tensor
    floor: Tensor
    validated: Tensor
    retired: Tensor

    def __init__(
        self,
        sizes: Sizes,
        *,
        horizon: int,
        lookback: int,
        segment: int,
        season: int,
        levels: tuple[float, ...],
        network: Network,
        members: int = 1,
        views: tuple[View, ...] = ("season", "level"),
        highway: bool = True,
        recursive: bool = False,
    ) -> None:
        super().__init__()
        if network.bidirectional:
            raise ConfigError(
                "bidirectional=true reads a window from its future end; forecasting needs bidirectional=false"
            )
        if not 1 <= season < lookback or lookback % segment:
            raise ConfigError(
                f"a lookback of {lookback} rows does not hold a season of {season} and whole segments of {segment}; "
                "give a multiple of the segment above the season"
            )
        self.sizes, self.horizon, self.lookback, self.segment, self.season = sizes, horizon, lookback, segment, season
        self.recursive, self.levels, self.median = recursive, levels, levels.index(0.5)
        self.reach = min(segment, horizon) if recursive else horizon
        self.members = nn.ModuleList(
            SegmentNetwork(
                sizes, lookback=lookback, horizon=self.reach, segment=segment, season=season, outputs=len(levels),
                network=network, view=view, highway=highway,
            )
            for view in views
            for _ in range(members)
        )  # fmt: skip
        # Weight of the season view; 1 until validation says otherwise. A view that validation finds hopeless is
        # retired.
        self.register_buffer("mix", torch.tensor(1.0 if "season" in views else 0.0, dtype=torch.float64))
        # Whether windows are read as logarithms, and the least value that has one; chosen when training starts.
        self.register_buffer("logarithm", torch.tensor(False))
        self.register_buffer("floor", torch.tensor(0.0, dtype=torch.float64))
        self.register_buffer("validated", torch.tensor(0))
        self.register_buffer("retired", torch.zeros(len(self.members), dtype=torch.bool))

    def networks(self, view: View | None = None) -> list[SegmentNetwork]:
        """The members, or those of one view."""
        every = [member for member in self.members if isinstance(member, SegmentNetwork)]
        return [member for member in every if view is None or member.view == view]

    def enter(self, values: Tensor) -> Tensor:
        """From the units of the file to those the networks work in: the same, or logarithms."""
        return values.clamp(min=float(self.floor)).log() if self.logarithm else values

    def leave(self, values: Tensor) -> Tensor:
        """The inverse of :meth:`enter`."""
        return values.clamp(max=LARGEST_LOGARITHM).exp() if self.logarithm else values

    # ---- the stream contract: state is a value -----------------------------------------------------------------

    def initial_state(self, static: Tensor) -> WindowState:
        """An empty window for each row of ``static [batch, static]``: all missing."""
        batch, sizes = len(static), self.sizes
        return WindowState(
            static.new_full((batch, self.lookback, sizes.targets), torch.nan, dtype=torch.float64),
            static.new_zeros(batch, self.lookback, sizes.past),
            static.new_zeros(batch, self.lookback, sizes.future),
            static,
        )

    def observe(self, rows: Rows, state: WindowState) -> WindowState:
        """The window after some more rows, any number of them."""
        keep = [torch.cat([old, new], dim=1)[:, -self.lookback :] for old, new in zip(state[:3], rows, strict=True)]
        return WindowState(keep[0], keep[1], keep[2], state.static)

    def forecast(self, state: WindowState, ahead: Tensor) -> Answer:
        """The forecast from here, given what is known ahead [batch, horizon, future]."""
        season, level = (self.view(state, ahead, view) for view in ("season", "level"))
        if season is None or level is None:
            found = level if season is None else season
            assert found is not None
            return found
        mix = self.mix
        return Answer(mix * season.quantiles + (1 - mix) * level.quantiles, season.scale)

    def view(self, state: WindowState, ahead: Tensor, view: View, *, always: bool = False) -> Answer | None:
        """The answer of one view's members; None where there are none, or (unless ``always``) where they have no
        weight.
        """
        weight = float(self.mix) if view == "season" else 1.0 - float(self.mix)
        networks = self.networks(view)
        if not networks or (weight == 0 and not always):
            return None
        if ahead.shape[1] != self.horizon:
            raise StateError(f"{ahead.shape[1]} rows of known future came, expected {self.horizon}: the horizon")
        parts: list[Tensor] = []
        scale: Tensor | None = None
        for start in range(0, self.horizon, self.reach):
            known = ahead[:, start : start + self.reach]
            known = nn.functional.pad(known, (0, 0, 0, self.reach - known.shape[1]))
            window = Window(state.target, state.past, torch.cat([state.future, known], dim=1), state.static)
            z = networks[0].normalize(self.enter(state.target))
            answer = torch.stack([member(z, window) for member in networks]).mean(0)
            answer = z.base.unsqueeze(-1) + z.scale[:, None, :, None] * answer.double()
            answer = self.leave(answer.sort(dim=-1).values)
            parts.append(answer)
            if scale is None:
                scale = z.scale * self.leave(z.base[:, 0]) if self.logarithm else z.scale
            if self.recursive:
                past = state.past[:, -1:].expand(-1, self.reach, -1)
                state = self.observe(Rows(answer[..., self.median], past, known), state)
        assert scale is not None
        return Answer(torch.cat(parts, dim=1)[:, : self.horizon], scale)
