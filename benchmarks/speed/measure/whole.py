"""Forward and backward over full sequences: the drop-ins in float32 and in bfloat16, and cells of any kind."""

from functools import partial
from typing import Any

import torch

from latchwork.cells import LSTM, LayerNormLSTM, PeepholeLSTM
from latchwork.layers import Recurrent
from measure import jax_side
from measure.cells import Coupled, unrolled
from measure.report import Entrants, Options, Shape, milliseconds, summarise, versus
from measure.timing import Contender
from measure.torch_side import data, in_autocast, in_bfloat16, our_layer, passes, torch_layer, whole

FLOAT32 = {"LSTM": (1.3, 0.95), "GRU": (2.5, 1.2), "RNN": (2.0, None)}
"""The least geometric mean, and the least of any shape."""

BFLOAT16 = {"LSTM": 2.0, "GRU": 5.0}
CELLS = {"LayerNormLSTM": LayerNormLSTM, "PeepholeLSTM": PeepholeLSTM, "Coupled": Coupled}


def float32(options: Options, kind: str) -> None:
    """A drop-in beside the better of torch.nn and jax."""
    ratios: dict[str, float | None] = {}
    without: set[str] = set()
    for shape in options.shapes:
        inputs, cotangent = data(shape)
        theirs, ours = partial(torch_layer, kind, shape), partial(our_layer, kind, shape, options.kernel)
        field = Entrants()
        field.enter("torch.nn", whole, theirs, inputs, cotangent)
        field.enter("jax", jax_side.scan, kind, theirs, inputs, cotangent)
        field.enter("latchwork", whole, ours, inputs, cotangent)
        errors = field.errors("torch.nn")
        seconds = field.medians(options.rounds)
        outcome = versus(seconds, ["latchwork"], ["torch.nn", "jax"])
        ratios[str(list(shape))] = outcome["ratio"]
        without |= {"jax"} & field.absent.keys()
        _row(options, kind.lower(), kind, shape, field, seconds, outcome, errors)
    reach, floor = FLOAT32[kind]
    against = "the best of torch.nn and jax scan"
    summarise(options, kind.lower(), against, ratios, reach=reach, floor=floor, without=without)


def bfloat16(options: Options) -> None:
    """LSTM and GRU in bfloat16, each side by the better of its two ways."""
    for kind, reach in BFLOAT16.items():
        ratios: dict[str, float | None] = {}
        for shape in options.shapes:
            inputs, cotangent = data(shape)
            theirs, ours = partial(torch_layer, kind, shape), partial(our_layer, kind, shape, options.kernel)
            field = Entrants()
            field.enter("torch.nn float32", whole, theirs, inputs, cotangent)
            for name, way in (("bfloat16", in_bfloat16), ("autocast", in_autocast)):
                field.enter(f"torch.nn {name}", way, theirs, inputs, cotangent)
                field.enter(f"latchwork {name}", way, ours, inputs, cotangent)
            errors = field.errors("torch.nn float32")
            seconds = field.medians(options.rounds)
            ways = ("bfloat16", "autocast")
            outcome = versus(seconds, [f"latchwork {one}" for one in ways], [f"torch.nn {one}" for one in ways])
            ratios[str(list(shape))] = outcome["ratio"]
            _row(options, "bf16", kind, shape, field, seconds, outcome, errors)
        summarise(options, "bf16", f"{kind}, the better of torch bf16 and autocast", ratios, reach=reach)


def custom(options: Options) -> None:
    """Cells that torch has no fused form of, beside the loop that one would write, and beside our own LSTM."""
    for name, cell in CELLS.items():
        eager: dict[str, float | None] = {}
        of_lstm: dict[str, float | None] = {}
        compiled: dict[str, float | None] = {}
        for shape in options.shapes:
            inputs, cotangent = data(shape)
            with_compile = options.compile and shape[1] <= 50
            field = Entrants()
            field.enter("loop", _looped, cell, shape, inputs, cotangent)
            field.enter("latchwork", _ours, cell, shape, inputs, cotangent, options.kernel)
            field.enter("latchwork LSTM", _lstm, shape, inputs, cotangent, options.kernel)
            if with_compile:
                field.enter("torch.compile", _compiled, cell, shape, inputs, cotangent)
            errors = field.errors("loop")
            seconds = field.medians(options.rounds)
            outcome = versus(seconds, ["latchwork"], ["loop"])
            lstm = versus(seconds, ["latchwork"], ["latchwork LSTM"])["ratio"]
            key = str(list(shape))
            eager[key], of_lstm[key] = outcome["ratio"], None if not lstm else round(1 / lstm, 3)
            if with_compile:
                compiled[key] = versus(seconds, ["latchwork"], ["torch.compile"])["ratio"]
                outcome["ratio_to_compiled"] = compiled[key]
            outcome["of_our_lstm"] = of_lstm[key]
            outcome["first_seconds"] = {one: round(spent, 2) for one, spent in field.first.items()}
            _row(options, "custom", name, shape, field, seconds, outcome, errors)
        summarise(options, "custom", f"{name}, eager loop", eager, reach=4)
        summarise(options, "custom", f"{name}, time of our LSTM", of_lstm, at_most=1.4)
        if compiled:
            summarise(options, "custom", f"{name}, torch.compile of the loop", compiled, reach=2)


def _made(cell: Any, shape: Shape) -> Any:
    torch.manual_seed(0)
    return cell(shape[2], shape[3])


def _looped(kind: Any, shape: Shape, inputs: torch.Tensor, cotangent: torch.Tensor) -> Contender:
    cell = _made(kind, shape)
    return passes(cell, lambda: unrolled(cell, inputs), cotangent, cell.recurrent.weight)


def _ours(kind: Any, shape: Shape, inputs: torch.Tensor, cotangent: torch.Tensor, kernel: str) -> Contender:
    layer = Recurrent(_made(kind, shape), kernel=kernel)
    return passes(layer, lambda: layer(inputs)[0], cotangent, layer.cell.recurrent.weight)


def _lstm(shape: Shape, inputs: torch.Tensor, cotangent: torch.Tensor, kernel: str) -> Contender:
    one = _ours(LSTM, shape, inputs, cotangent, kernel)
    one.result = None  # another equation
    return one


def _compiled(kind: Any, shape: Shape, inputs: torch.Tensor, cotangent: torch.Tensor) -> Contender:
    cell = _made(kind, shape)
    torch._dynamo.reset()
    run = torch.compile(lambda given: unrolled(cell, given))
    return passes(cell, lambda: run(inputs), cotangent, cell.recurrent.weight)


def loss_curves(options: Options) -> None:
    """The adding problem with our LSTM in float32 and in bfloat16: the mean squared error along the way.

    Hochreiter & Schmidhuber 1997, experiment 4: two of the numbers of a sequence are marked; their sum is asked for.
    """
    steps = 60 if options.quick else 600
    curves = {}
    for name, narrow in (("float32", False), ("autocast", True)):
        torch.manual_seed(0)
        layer = our_layer("LSTM", (0, 0, 2, 64), options.kernel)
        head = torch.nn.Linear(64, 1)
        optimizer = torch.optim.Adam([*layer.parameters(), *head.parameters()], lr=5e-3)
        generator = torch.Generator().manual_seed(1)
        losses = []
        try:
            for _ in range(steps):
                values, target = _adding(generator)
                with torch.autocast("cpu", torch.bfloat16, enabled=narrow):
                    outputs = layer(values)[0]
                loss = (head(outputs[:, -1].float()) - target).square().mean()
                optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(layer.parameters(), 1.0)
                optimizer.step()
                losses.append(float(loss.detach()))
        except RuntimeError as error:
            options.say({"work": "bf16", "what": "curve", "not_measured": f"{name}: {error}"})
            return
        tenth = steps // 10
        curves[name] = [round(sum(losses[at : at + tenth]) / tenth, 5) for at in range(0, steps, tenth)]
    options.say({"work": "bf16", "what": "curve", "task": "adding, 30 steps, LSTM of 64", "loss": curves})


def _adding(generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    numbers = torch.rand(64, 30, generator=generator)
    marks = torch.zeros(64, 30)
    for half in (
        torch.randint(0, 15, (64, 1), generator=generator),
        torch.randint(15, 30, (64, 1), generator=generator),
    ):
        marks.scatter_(1, half, 1.0)
    return torch.stack([numbers, marks], -1), (numbers * marks).sum(1, keepdim=True)


def _row(
    options: Options,
    work: str,
    what: str,
    shape: Shape,
    field: Entrants,
    seconds: dict[str, float],
    outcome: dict[str, Any],
    errors: dict[str, float],
) -> None:
    facts: dict[str, Any] = {"work": work, "what": what, "shape": list(shape), "milliseconds": milliseconds(seconds)}
    facts |= {name: value for name, value in outcome.items() if name != "ours"}
    if errors:
        facts["error"] = errors
    if field.absent:
        facts["absent"] = field.absent
    options.say(facts)
