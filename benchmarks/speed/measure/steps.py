"""One step of one stream, from Python, one thread: an array in, an array out, the state inside."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from latchwork.cells import CELLS
from measure.onnx_side import steppers
from measure.report import Entrants, Options, microseconds, summarise, versus
from measure.timing import Contender
from measure.torch_side import torch_layer

REACH = {64: 3.0, 128: 3.0, 256: 1.5, 512: 1.1}
NARROW_REACH = {512: 2.0}
"""With weights in bfloat16."""

BLOCK = 0.002
"""Seconds of steps timed together: the clock itself takes no part then."""

Step = Callable[[np.ndarray], np.ndarray]


def steps(options: Options) -> None:
    """The input is as wide as the state."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for kind in ("LSTM", "GRU"):
            ratios: dict[int, float | None] = {}
            narrow: dict[int, float | None] = {}
            for hidden in (64, 128) if options.quick else REACH:
                ratios[hidden], narrow[hidden] = _one(options, kind, hidden)
            for hidden, ratio in ratios.items():
                summarise(options, "step", f"{kind} {hidden}, onnxruntime", {str(hidden): ratio}, reach=REACH[hidden])
            for hidden in narrow.keys() & NARROW_REACH.keys():
                against = f"{kind} {hidden} in bfloat16, onnxruntime"
                summarise(options, "step", against, {str(hidden): narrow[hidden]}, reach=NARROW_REACH[hidden])
    finally:
        torch.set_num_threads(threads)


def _one(options: Options, kind: str, hidden: int) -> tuple[float | None, float | None]:
    shape = (1, 1, hidden, hidden)
    layer = torch_layer(kind, shape)
    given = np.random.default_rng(0).normal(size=(64, 1, hidden)).astype(np.float32)
    expected = layer(torch.from_numpy(given).movedim(0, 1))[0][0].detach().numpy()
    field = Entrants()
    try:
        peers = steppers(kind, layer)
    except ImportError as error:
        peers = {}
        field.absent["onnxruntime"] = f"not installed: {error.name or error}"
    for name, step in peers.items():
        field.enter(name, _contender, step, given, expected)
    field.enter("torch.nn", _contender, _torch_step(layer), given, expected)
    for name, narrow_weights in (("latchwork", False), ("latchwork bfloat16", True)):
        field.enter(name, _ours, kind, layer, narrow_weights, given, expected)
    seconds = field.medians(options.rounds)
    outcome = versus(seconds, ["latchwork"], list(peers))
    narrow = versus(seconds, ["latchwork bfloat16"], list(peers))["ratio"]
    facts: dict[str, Any] = {"work": "step", "what": kind, "hidden": hidden, "microseconds": microseconds(seconds)}
    facts |= {"ratio": outcome["ratio"], "ratio_bfloat16": narrow, "best_peer": outcome["best_peer"]}
    facts["error"] = {one.name: float(f"{one.result()[0].max():.1e}") for one in field.ready if one.result}
    options.say(facts | ({"absent": field.absent} if field.absent else {}))
    return outcome["ratio"], narrow


def _contender(step: Step, given: np.ndarray, expected: np.ndarray) -> Contender:
    """Many steps at once, over the same 64 inputs. result: the largest error of the first 64 outputs, taken now."""
    error = np.abs(np.concatenate([np.array(step(x)) for x in given]) - expected).max(keepdims=True)
    repeats = 64

    def run() -> None:
        for _ in range(repeats // 64):
            for x in given:
                step(x)

    one = Contender("", run, result=lambda: [error])
    spent = one.seconds()
    repeats = 64 * max(1, round(BLOCK / spent))
    one.repeats = repeats
    return one


def _torch_step(layer: Any) -> Step:
    state = None

    def step(x: np.ndarray) -> np.ndarray:
        nonlocal state
        with torch.inference_mode():
            output, state = layer(torch.from_numpy(x)[None], state)
        return output[0].numpy()

    return step


def _ours(kind: str, layer: Any, narrow: bool, given: np.ndarray, expected: np.ndarray) -> Contender:
    """A session on a cell with the same weights; it starts at the initial state."""
    from latchwork.kernels.session import Session

    cell = CELLS[kind.lower()](layer.input_size, layer.hidden_size)
    for own, name in (("input", "ih_l0"), ("recurrent", "hh_l0")):
        product = getattr(cell, own)
        product.load_state_dict({part: getattr(layer, f"{part}_{name}") for part in ("weight", "bias")})
    return _contender(Session([cell], narrow=narrow).step, given, expected)
