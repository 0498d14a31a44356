"""Training sequences changed a little each time they are seen, so that a network learns what stays the same.

Every function takes a batch and a generator and gives another batch; nothing is changed in place, padding stays zero.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch

from latchwork.errors import ConfigError
from latchwork.layers.augment_steps import mask_steps, mask_values, pick_steps, span, warp_steps
from latchwork.layers.regularize import check_rate, fold
from latchwork.sequences import PAD, Features, Inputs, mask_from_lengths
from latchwork.types import Tensor

UNKNOWN = 1
"""The token that stands for all unknown ones."""


def jitter(inputs: Inputs, amount: float, generator: torch.Generator) -> Inputs:
    """Noise of this deviation on every number that was seen, and on every pixel."""

    def noisy(values: Tensor) -> Tensor:
        return values + amount * torch.randn(values.shape, generator=generator).to(values)

    return _on_values(inputs, noisy)


def scale(inputs: Inputs, amount: float, generator: torch.Generator) -> Inputs:
    """Each feature of each sequence (each channel of an image) times a number around 1, of this deviation."""

    def scaled(values: Tensor) -> Tensor:
        # Over the time, which is the first axis of numbers and the last ones of an image.
        shape = (len(values), 1, values.shape[2]) if values.dim() == 3 else (*values.shape[:2], 1, 1)
        return values * (1 + amount * torch.randn(shape, generator=generator)).to(values)

    return _on_values(inputs, scaled)


def time_mask(inputs: Inputs, amount: float, generator: torch.Generator) -> Inputs:
    """A stretch of steps, up to this part of a sequence, is blanked: numbers count as missing, pixels are 0.

    Source: Park et al. 2019, SpecAugment, arXiv:1904.08779.
    """
    start, length = span(inputs.lengths, amount, generator)
    return mask_steps(inputs, start, length)


def value_dropout(inputs: Inputs, rate: float, generator: torch.Generator) -> Inputs:
    """Numbers count as missing with this probability, each on its own; the time since each was seen follows."""
    if inputs.numbers is None:
        return inputs
    return mask_values(inputs, torch.rand(inputs.numbers.shape, generator=generator).to(inputs.numbers) < rate)


def word_dropout(inputs: Inputs, rate: float, generator: torch.Generator, *, unknown: int = UNKNOWN) -> Inputs:
    """Tokens become the unknown one with this probability, each on its own; their letters stay."""
    if inputs.tokens is None:
        return inputs
    dropped = torch.rand(inputs.tokens.shape, generator=generator).to(inputs.tokens.device) < rate
    return inputs._replace(tokens=inputs.tokens.masked_fill(dropped & (inputs.tokens != PAD), unknown))


def crop(inputs: Inputs, amount: float, generator: torch.Generator) -> Inputs:
    """A stretch of steps, up to this part of a sequence, is cut off, some at the start and some at the end."""
    _, cut = span(inputs.lengths, amount, generator)
    before = (torch.rand(len(cut), generator=generator).to(cut.device) * (cut + 1)).long()
    return pick_steps(inputs, before, inputs.lengths - cut)


def warp(inputs: Inputs, amount: float, generator: torch.Generator) -> Inputs:
    """The clock runs faster here and slower there, by up to this part; ends and number of steps stay.

    Numbers are read between steps on a line. Source: Um et al. 2017, arXiv:1706.00527.
    """
    return warp_steps(inputs, amount, generator)


def flip(inputs: Inputs, rate: float, generator: torch.Generator) -> Inputs:
    """Images are turned left for right with this probability."""
    if inputs.image is None:
        return inputs
    turned = torch.rand(len(inputs.image), generator=generator).to(inputs.image.device) < rate
    columns = torch.arange(inputs.image.shape[-1], device=inputs.image.device).expand(len(turned), -1)
    back = inputs.lengths.unsqueeze(1) - 1 - columns
    place = torch.where(turned.unsqueeze(1) & (back >= 0), back, columns)
    return inputs._replace(image=inputs.image.gather(3, place[:, None, None].expand_as(inputs.image)))


def shift(inputs: Inputs, amount: float, generator: torch.Generator) -> Inputs:
    """Images are moved up or down and left or right by up to this part of their size; zeros come in."""
    if inputs.image is None:
        return inputs
    image, device = inputs.image, inputs.image.device
    height = torch.full_like(inputs.lengths, image.shape[2])
    for axis, sizes in ((2, height), (3, inputs.lengths)):
        far = (torch.rand(len(sizes), generator=generator).to(device) * 2 - 1) * amount * sizes
        place = torch.arange(image.shape[axis], device=device) - far.round().long().unsqueeze(1)
        there = (place >= 0) & (place < sizes.unsqueeze(1)) & mask_from_lengths(sizes, image.shape[axis])
        shape = (-1, 1, place.shape[1], 1) if axis == 2 else (-1, 1, 1, place.shape[1])
        moved = image.gather(axis, place.clamp(0, image.shape[axis] - 1).view(shape).expand_as(image))
        image = moved.masked_fill(~there.view(shape), 0.0)
    return inputs._replace(image=image)


def _on_values(inputs: Inputs, change: Callable[[Tensor], Tensor]) -> Inputs:
    """``change`` on numbers that were seen, or on pixels; the rest stays zero."""
    changed = {}
    if inputs.numbers is not None:
        there = mask_from_lengths(inputs.lengths, inputs.numbers.shape[1]).unsqueeze(-1)
        there = there if inputs.mask is None else there & (inputs.mask > 0)
        changed["numbers"] = change(inputs.numbers).masked_fill(~there, 0.0)
    if inputs.image is not None:
        there = mask_from_lengths(inputs.lengths, inputs.image.shape[-1])[:, None, None]
        changed["image"] = change(inputs.image).masked_fill(~there, 0.0)
    return inputs._replace(**changed)


_TOLD = {
    "jitter": "noise of deviation {:g} on numbers and pixels",
    "scale": "each feature times a number around 1, of deviation {:g}",
    "time_mask": "a stretch of up to {:.0%} of the steps blanked",
    "value_dropout": "{:.0%} of the numbers taken as missing",
    "word_dropout": "{:.0%} of the tokens read as unknown",
    "crop": "up to {:.0%} of the steps cut off at the ends",
    "warp": "the clock up to {:.0%} faster or slower",
    "flip": "{:.0%} of the images turned left for right",
    "shift": "images moved by up to {:.0%} of their size",
}
_FUNCTIONS: dict[str, Callable[[Inputs, float, torch.Generator], Inputs]] = {
    "crop": crop,
    "warp": warp,
    "flip": flip,
    "shift": shift,
    "scale": scale,
    "jitter": jitter,
    "value_dropout": value_dropout,
    "time_mask": time_mask,
    "word_dropout": word_dropout,
}
"""In the order in which they are applied: what moves steps, what changes numbers, what hides them."""


@dataclass(frozen=True, kw_only=True)
class Augment:
    """What is done to training sequences, each time anew; nothing to others. All is off at first.

    Args:
        jitter: Deviation of the noise on numbers and pixels, which have a deviation of about 1.
        scale: Deviation of a factor around 1 for each feature of a sequence.
        time_mask: Longest stretch of steps that is blanked, as a part of the sequence.
        value_dropout: Part of the numbers that count as missing.
        word_dropout: Part of the tokens that are read as unknown.
        crop: Most that is cut off a sequence's ends, as a part of it.
        warp: How much faster or slower the clock runs at times, as a part.
        flip: Part of the images that are turned left for right.
        shift: How far images are moved, as a part of their size.
    """

    jitter: float = 0.0
    scale: float = 0.0
    time_mask: float = 0.0
    value_dropout: float = 0.0
    word_dropout: float = 0.0
    crop: float = 0.0
    warp: float = 0.0
    flip: float = 0.0
    shift: float = 0.0

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if one.name not in ("jitter", "scale"):
                if one.name != "flip" or value != 1.0:
                    check_rate(one.name, value)
            elif isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
                raise ConfigError(f"{one.name} is {value!r}, expected a number from 0 (off): a deviation")

    @property
    def on(self) -> tuple[str, ...]:
        """The names of what is done."""
        return tuple(one.name for one in fields(self) if getattr(self, one.name))

    @property
    def moves_steps(self) -> bool:
        """Whether a step may come to stand elsewhere, so that a label for each step would no longer fit."""
        return any(name in self.on for name in ("crop", "warp", "flip", "shift"))

    def check(self, features: Features) -> None:
        """Raise :class:`ConfigError` where something is on that these sequences have nothing for."""
        image = features.image is not None
        fits = {
            "word_dropout": (features.vocabulary > 0, "tokens"),
            "value_dropout": (features.masked, "numbers that are missing at times"),
            "warp": (features.numbers > 0 and not (features.masked or features.vocabulary or features.characters),
                     "numbers that are evenly apart and never missing, alone"),
            "crop": (not image, "sequences that are no images"),
            "jitter": (features.numbers > 0 or image, "numbers or images"),
            "scale": (features.numbers > 0 or image, "numbers or images"),
            "time_mask": (features.numbers > 0 or image, "numbers or images"),
            "flip": (image, "images"),
            "shift": (image, "images"),
        }  # fmt: skip
        for name in self.on:
            fitting, wanted = fits[name]
            if not fitting:
                raise ConfigError(f"{name} is for {wanted}, and these sequences hold {features}; leave {name} at 0")

    def apply(self, inputs: Inputs, seed: int, step: int) -> Inputs:
        """The batch of training step ``step`` with all that is on done to it: a function of these three alone."""
        if not self.on:
            return inputs
        key = fold(fold(torch.tensor(seed, dtype=torch.int64, device="cpu"), 0), step)
        for site, (name, function) in enumerate(_FUNCTIONS.items()):
            if amount := getattr(self, name):
                # Each has numbers of its own, so that one more leaves the others' as they are.
                generator = torch.Generator().manual_seed(int(fold(key, site)))
                inputs = function(inputs, amount, generator)
        return inputs

    def describe(self) -> tuple[str, ...]:
        """What is done, a line each, for the report."""
        return tuple(f"{name}: {_TOLD[name].format(getattr(self, name))}" for name in self.on)
