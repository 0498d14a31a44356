"""Per-window reversible normalisation: all that puts a window on a common scale is taken from the window itself.

So a series never seen in training, a stream and an offline prediction are treated alike, and no statistic of the future
or of another series can leak in.
"""

from typing import Literal, NamedTuple

import torch

from latchwork.types import Float, Tensor

View = Literal["season", "level"]
"""How a window is looked at. season: corrections to the last season repeated, from seasonal differences. level:
corrections to the last value. Strongly periodic series want the first, wandering ones the second."""

LEVEL_FLOOR = 0.2
"""In the season view the level is divided by at least this share of the window's deviation: a series with a stable
season has a small seasonal difference, and its level would come out in the hundreds."""

SCALE_FLOOR = {"season": 1e-3, "level": 1e-2}
LIMIT = {"season": 30.0, "level": 50.0}
"""Inputs are clamped here: one outlier may not drive the gates of all other rows into saturation."""

CONTEXT = 4

RESOLUTION = 1e-13
"""A scale below this share of the level is rounding: float64 resolves 2e-16."""

BLANK = 1e-6
"""The scale of a constant window, as a share of its level."""


class Normalized(NamedTuple):
    """A window on a common scale.

    level     [batch, time, targets]     (y - last observed) / spread, 0 where missing
    change    [batch, time, targets]     (y_t - y_{t-season}) / scale, 0 where either is missing
    observed  [batch, time, targets]     1 where there was a value
    context   [batch, 4 targets]         how the window's scales relate: spread, roughness, deviation, level to its mean
    base      [batch, horizon, targets]  the simple forecast that the network corrects, in the units of the file
    scale     [batch, targets]           mean absolute seasonal difference, in the units of the file
    """

    level: Tensor
    change: Tensor
    observed: Tensor
    context: Tensor
    base: Tensor
    scale: Tensor


def last_observed(
    values: Float[Tensor, "batch time targets"], otherwise: Float[Tensor, "batch targets"]
) -> Float[Tensor, "batch targets"]:
    """The last value that is not NaN along time; ``otherwise`` where there is none."""
    time = values.shape[1]
    position = torch.arange(1, time + 1, device=values.device).view(1, time, 1)
    latest = torch.where(values.isnan(), 0, position).amax(dim=1)
    picked = values.gather(1, (latest - 1).clamp(min=0).unsqueeze(1)).squeeze(1)
    return torch.where(latest > 0, picked, otherwise)


def seasonal_profile(values: Float[Tensor, "batch time targets"], season: int) -> Float[Tensor, "batch season targets"]:
    """The last season of values; a missing one is taken from the season before, and so on. NaN where never seen."""
    time = values.shape[1]
    profile = values[:, time - season :]
    for back in range(2, time // season + 1):
        missing = profile.isnan()
        if not missing.any():
            break
        profile = torch.where(missing, values[:, time - back * season : time - (back - 1) * season], profile)
    return profile


def normalize(
    values: Float[Tensor, "batch time targets"], season: int, horizon: int, view: View = "season"
) -> Normalized:
    """Put windows (float64, NaN where missing) on a common scale; see :class:`Normalized`.

    ``season`` is below the window's length, so that there is a difference to take. A window without any value has
    level 0 and scale 1: its forecast is 0, which is all that can be said.
    """
    seen = ~values.isnan()
    count = seen.sum(1).clamp(min=1)
    known = values.nan_to_num()
    mean = known.sum(1) / count
    deviation = ((known - mean.unsqueeze(1)).square() * seen).sum(1).div(count).sqrt()

    both = seen[:, season:] & seen[:, :-season]
    change = torch.where(both, known[:, season:] - known[:, :-season], 0.0)
    pairs = both.sum(1)
    scale = torch.where(pairs > 0, change.abs().sum(1) / pairs.clamp(min=1), deviation)
    # A perfectly periodic window has differences of nothing but rounding; a constant one has no scale at all.
    scale = torch.maximum(scale, SCALE_FLOOR[view] * deviation)
    scale = torch.where(scale > RESOLUTION * mean.abs(), scale, BLANK * mean.abs())
    scale = torch.where(scale > 1e-30, scale, 1.0)

    limit = LIMIT[view]
    spread = torch.maximum(scale, LEVEL_FLOOR * deviation) if view == "season" else scale
    last = last_observed(values, mean)
    level = torch.where(seen, (known - last.unsqueeze(1)) / spread.unsqueeze(1), 0.0).clamp(-limit, limit)
    change = torch.nn.functional.pad((change / scale.unsqueeze(1)).clamp(-limit, limit), (0, 0, season, 0))
    steps = seen[:, 1:] & seen[:, :-1]
    roughness = ((known[:, 1:] - known[:, :-1]).abs() * steps).sum(1) / steps.sum(1).clamp(min=1)
    context = [
        (spread / scale).log(),
        torch.log1p(roughness / scale),
        torch.log1p(deviation / scale),
        torch.where(deviation > 1e-12 * mean.abs(), (last - mean) / deviation.clamp(min=1e-30), 0.0),
    ]
    if view == "season":
        profile = seasonal_profile(values, season)
        profile = torch.where(profile.isnan(), last.unsqueeze(1), profile)
        base = profile.repeat(1, -(-horizon // season), 1)[:, :horizon]
    else:
        base = last.unsqueeze(1).expand(-1, horizon, -1)
    return Normalized(
        level.float(), change.float(), seen.float(), torch.cat(context, -1).clamp(-10, 10).float(), base, scale
    )
