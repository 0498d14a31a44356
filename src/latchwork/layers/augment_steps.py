"""Steps of a batch taken away, blanked or moved, with all that stands at them."""

import torch

from latchwork.sequences import Inputs, mask_from_lengths
from latchwork.types import Bool, Float, Int, Tensor

Steps = Int[Tensor, " batch"]


def span(lengths: Steps, amount: float, generator: torch.Generator) -> tuple[Steps, Steps]:
    """(start, length) of a random stretch of each row: 0 to ``amount`` of its steps, rounded down."""
    draws = torch.rand(2, len(lengths), generator=generator, dtype=torch.float64).to(lengths.device)
    length = (draws[0] * ((amount * lengths).floor() + 1)).long()
    return (draws[1] * (lengths - length + 1)).long(), length


def mask_steps(inputs: Inputs, start: Steps, length: Steps) -> Inputs:
    """A stretch of each row blanked: its numbers count as missing, its pixels are 0."""

    def hidden(time: int) -> Bool[Tensor, "batch time"]:
        places = torch.arange(time, device=start.device)
        return (places >= start.unsqueeze(1)) & (places < (start + length).unsqueeze(1))

    if inputs.image is not None:
        columns = hidden(inputs.image.shape[-1])[:, None, None]
        inputs = inputs._replace(image=inputs.image.masked_fill(columns, 0.0))
    if inputs.numbers is not None:
        inputs = mask_values(inputs, hidden(inputs.numbers.shape[1]).unsqueeze(-1).expand_as(inputs.numbers))
    return inputs


def mask_values(inputs: Inputs, hidden: Bool[Tensor, "batch time features"]) -> Inputs:
    """Numbers taken as missing: 0, their mask too, and the time since each was seen last goes on."""
    assert inputs.numbers is not None
    changed = inputs._replace(numbers=inputs.numbers.masked_fill(hidden, 0.0))
    if inputs.mask is None or inputs.gaps is None:
        return changed
    times, mask = _times(inputs.mask, inputs.gaps), inputs.mask.masked_fill(hidden, 0.0)
    return changed._replace(mask=mask, gaps=_gaps(times, mask, inputs.lengths))


def pick_steps(inputs: Inputs, start: Steps, lengths: Steps) -> Inputs:
    """``lengths`` steps of each row from ``start`` on, of all that stands at a step; images stay."""
    time = int(lengths.max()) if len(lengths) else 0
    there = mask_from_lengths(lengths, time)
    places = torch.where(there, start.unsqueeze(1) + torch.arange(time, device=start.device), 0)

    def pick(values: Tensor) -> Tensor:
        shape = (*places.shape, *[1] * (values.dim() - 2))
        taken = values.gather(1, places.view(shape).expand(*places.shape, *values.shape[2:]))
        return taken.masked_fill(~there.view(shape), 0)

    names = ("tokens", "characters", "numbers", "mask")
    picked = {name: pick(value) for name in names if (value := getattr(inputs, name)) is not None}
    if inputs.mask is not None and inputs.gaps is not None:
        times = pick(_times(inputs.mask, inputs.gaps))
        picked["gaps"] = _gaps(times - times[:, :1], picked["mask"], lengths)
    return inputs._replace(lengths=lengths, **picked)


def warp_steps(inputs: Inputs, amount: float, generator: torch.Generator) -> Inputs:
    """Numbers read at other times: a clock whose speed is 1 ± ``amount`` along a smooth curve, from end to end."""
    if inputs.numbers is None:
        return inputs
    numbers = inputs.numbers
    batch, time, _ = numbers.shape
    last = (inputs.lengths - 1).clamp(min=0).to(numbers.dtype).unsqueeze(1)
    part = torch.arange(time, device=numbers.device).to(numbers.dtype) / last.clamp(min=1)
    # With position u + a sin(πku) / (πk) the speed 1 + a cos(πku) stays above 0, and both ends stay.
    draws = torch.rand(2, batch, 1, generator=generator, dtype=torch.float64).to(numbers)
    waves = (draws[0] * 3).floor() + 1
    depth = (draws[1] * 2 - 1) * amount
    place = (part + depth * (torch.pi * waves * part).sin() / (torch.pi * waves)).clamp(0, 1) * last
    low = place.floor().clamp(max=last)
    between = (place - low).unsqueeze(-1)

    def at(index: Tensor) -> Float[Tensor, "batch time features"]:
        return numbers.gather(1, index.long().unsqueeze(-1).expand_as(numbers))

    mixed = at(low) * (1 - between) + at((low + 1).minimum(last)) * between
    there = mask_from_lengths(inputs.lengths, time).unsqueeze(-1)
    return inputs._replace(numbers=mixed.masked_fill(~there, 0.0))


def _times(mask: Tensor, gaps: Tensor) -> Float[Tensor, "batch time 1"]:
    """When each step was, from the first one on: gaps grow by the time between two steps where nothing was seen."""
    own, seen = gaps[..., :1], mask[..., :1] > 0
    before = own[:, :-1].masked_fill(seen[:, :-1], 0.0)
    return torch.cat((torch.zeros_like(own[:, :1]), own[:, 1:] - before), 1).cumsum(1)


def _gaps(times: Tensor, mask: Tensor, lengths: Tensor) -> Float[Tensor, "batch time features"]:
    """Time since each feature was seen before a step, or since the first step."""
    seen = (times * (mask > 0)).cummax(1).values
    before = torch.cat((torch.zeros_like(seen[:, :1]), seen[:, :-1]), 1)
    there = mask_from_lengths(lengths, times.shape[1]).unsqueeze(-1)
    return (times - before).clamp(min=0.0).masked_fill(~there, 0.0)
