"""Which share of the matrix product's peak an LSTM reaches, the peak being measured in the same run.

Peak: the fastest of torch.mm over the products that occur (below) and a square one of 2048, in the same type and on the
same threads. FLOPs of forward and backward, multiply and add counted as two, pointwise work not counted, no gradient of
the inputs, with N = batch · steps and G = 4 hidden:

    forward     W x: 2 N G input      R h: 2 N G hidden
    backward    dh: 2 N G hidden      dW: 2 N G input      dR: 2 N G hidden
    together    2 N G (2 input + 3 hidden)
"""

from functools import partial
from typing import Any

import torch

from measure.report import Entrants, Options, Shape, summarise
from measure.timing import Contender
from measure.torch_side import data, in_autocast, in_bfloat16, our_layer, torch_layer, whole

SHAPES: tuple[Shape, ...] = ((64, 50, 512, 512), (32, 100, 128, 256))
REACH = {"float32": 0.7, "bfloat16": 0.4}
TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def flops(shape: Shape) -> float:
    """Of a forward and a backward pass of an LSTM; see above."""
    batch, steps, inputs, hidden = shape
    return 2.0 * batch * steps * 4 * hidden * (2 * inputs + 3 * hidden)


def products(shape: Shape) -> dict[str, tuple[int, int, int]]:
    """The products of the pass: rows, columns, depth."""
    batch, steps, inputs, hidden = shape
    tokens, gates = batch * steps, 4 * hidden
    return {
        "W x": (tokens, gates, inputs),
        "R h": (batch, gates, hidden),
        "dh": (batch, hidden, gates),
        "dW": (gates, inputs, tokens),
        "dR": (gates, hidden, tokens),
        "square": (2048, 2048, 2048),
    }


def peak(options: Options) -> None:
    """The peak and the pass are timed in the same rounds."""
    for name, dtype in TYPES.items():
        shares: dict[str, float | None] = {}
        for shape in ((12, 50, 128, 256),) if options.quick else SHAPES:
            inputs, cotangent = data(shape)
            theirs, ours = partial(torch_layer, "LSTM", shape), partial(our_layer, "LSTM", shape, options.kernel)
            field = Entrants()
            sizes = {
                label: size for label, size in products(shape).items() if not (options.quick and label == "square")
            }
            for label, size in sizes.items():
                field.enter(label, _product, size, dtype)
            if name == "float32":
                field.enter("latchwork", whole, ours, inputs, cotangent)
                field.enter("torch.nn", whole, theirs, inputs, cotangent)
            else:
                field.enter("latchwork", in_bfloat16, ours, inputs, cotangent)
                field.enter("latchwork autocast", in_autocast, ours, inputs, cotangent)
                field.enter("torch.nn", in_bfloat16, theirs, inputs, cotangent)
            seconds = field.medians(options.rounds)
            rates = {
                label: 2e-9 * size[0] * size[1] * size[2] / seconds[label]
                for label, size in sizes.items()
                if label in seconds
            }
            top = max(rates, key=lambda label: rates[label])
            found = {
                side: round(flops(shape) / seconds[side] * 1e-9 / rates[top], 3)
                for side in ("latchwork", "latchwork autocast", "torch.nn")
                if side in seconds
            }
            shares[str(list(shape))] = max((found[side] for side in found if side != "torch.nn"), default=None)
            facts: dict[str, Any] = {"work": "peak", "what": name, "shape": list(shape), "share": found}
            facts |= {
                "peak": {top: round(rates[top], 1)},
                "gflops": {one: round(rate, 1) for one, rate in rates.items()},
            }
            options.say(facts | ({"absent": field.absent} if field.absent else {}))
        summarise(options, "peak", f"{name}, share of the peak of torch.mm", shares, floor=REACH[name])


def _product(size: tuple[int, int, int], dtype: torch.dtype) -> Contender:
    rows, columns, depth = size
    left, right = torch.randn(rows, depth).to(dtype), torch.randn(depth, columns).to(dtype)
    out = torch.empty(rows, columns, dtype=dtype)
    return Contender("", lambda: torch.mm(left, right, out=out))
