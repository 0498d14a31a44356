"""Rows of different lengths, a sixth of the steps on average, beside torch's packed sequences."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.nn.utils.rnn import pack_padded_sequence

from measure.report import Entrants, Options, milliseconds, summarise, versus
from measure.timing import Contender
from measure.torch_side import data, our_layer, passes, torch_layer, whole


def lengths_of(batch: int, steps: int) -> torch.Tensor:
    """Geometric with mean steps / 6, at least 1, at most steps; longest first, as packing wants them."""
    generator = torch.Generator().manual_seed(0)
    chance = min(1.0, 6.0 / steps)
    uniform = torch.rand(batch, generator=generator, dtype=torch.float64)
    drawn = 1 + torch.floor(torch.log(uniform) / torch.log1p(torch.tensor(-chance, dtype=torch.float64)))
    return drawn.clamp(1, steps).long().sort(descending=True).values


def ragged(options: Options) -> None:
    """Both get the same rows, packed beforehand, and their outputs stay packed; ours also run padded, by lengths."""
    for kind in ("LSTM", "GRU"):
        ratios: dict[str, float | None] = {}
        costs: dict[str, float | None] = {}
        for shape in options.shapes:
            batch, steps = shape[:2]
            inputs, cotangent = data(shape)
            lengths = lengths_of(batch, steps)
            share = float(lengths.sum()) / (batch * steps)
            within = torch.arange(steps) < lengths[:, None]
            masked = cotangent * within[..., None]
            ours = partial(our_layer, kind, shape, options.kernel)
            field = Entrants()
            field.enter("torch packed", _packed, partial(torch_layer, kind, shape), inputs, cotangent, lengths)
            field.enter("latchwork", _packed, ours, inputs, cotangent, lengths)
            field.enter("latchwork, padded", _ours, ours, inputs, masked, lengths)
            field.enter("latchwork, full", _full, ours, inputs, cotangent)
            errors = field.errors("torch packed")
            seconds = field.medians(options.rounds)
            outcome = versus(seconds, ["latchwork"], ["torch packed"])
            key = str(list(shape))
            ratios[key] = outcome["ratio"]
            of_full = versus(seconds, ["latchwork"], ["latchwork, full"])["ratio"]
            cost = None if not of_full else round(1 / of_full / share, 3)
            if batch >= 64:
                costs[key] = cost
            facts: dict[str, Any] = {"work": "ragged", "what": kind, "shape": list(shape), "tokens": round(share, 3)}
            facts |= {"milliseconds": milliseconds(seconds), "ratio": outcome["ratio"], "cost_by_tokens": cost}
            options.say(
                facts | ({"error": errors} if errors else {}) | ({"absent": field.absent} if field.absent else {})
            )
        summarise(options, "ragged", f"{kind}, torch packed", ratios, floor=4)
        if costs:
            summarise(options, "ragged", f"{kind}, cost by tokens at batch >= 64", costs, at_most=1.15)


def _packed(make: Callable[[], Any], inputs: torch.Tensor, cotangent: torch.Tensor, lengths: torch.Tensor) -> Contender:
    layer = make()
    packed = pack_padded_sequence(inputs, lengths, batch_first=True)
    given = pack_padded_sequence(cotangent, lengths, batch_first=True).data
    return _gradient_alone(passes(layer, lambda: layer(packed)[0].data, given, layer.weight_hh_l0))


def _ours(make: Callable[[], Any], inputs: torch.Tensor, cotangent: torch.Tensor, lengths: torch.Tensor) -> Contender:
    layer = make()
    return _gradient_alone(passes(layer, lambda: layer(inputs, lengths=lengths)[0], cotangent, layer.weight_hh_l0))


def _full(make: Callable[[], Any], inputs: torch.Tensor, cotangent: torch.Tensor) -> Contender:
    """Every row of full length: what a token costs otherwise. It computes something else, so there is no result."""
    one = whole(make, inputs, cotangent)
    one.result = None
    return one


def _gradient_alone(one: Contender) -> Contender:
    """Packed outputs lie otherwise than padded ones; the gradient of the weights has seen them all."""
    both = one.result
    assert both is not None
    one.result = lambda: both()[1:]
    return one
