"""torch.nn's layers, ours, and any cell, as contenders: one forward and one backward pass."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

import latchwork as lw
from measure.timing import Contender

KINDS: dict[str, tuple[type[nn.Module], type[nn.Module]]] = {
    "LSTM": (nn.LSTM, lw.LSTM),
    "GRU": (nn.GRU, lw.GRU),
    "RNN": (nn.RNN, lw.RNN),
}
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def data(shape: tuple[int, int, int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs, and the cotangent of the outputs: the same for every contender. The inputs are data: no gradient."""
    batch, steps, inputs, hidden = shape
    generator = torch.Generator().manual_seed(0)
    return (
        torch.randn(batch, steps, inputs, generator=generator),
        torch.randn(batch, steps, hidden, generator=generator),
    )


def torch_layer(kind: str, shape: tuple[int, int, int, int]) -> Any:
    """torch.nn's layer with weights from seed 0."""
    torch.manual_seed(0)
    return KINDS[kind][0](shape[2], shape[3], batch_first=True)


def our_layer(kind: str, shape: tuple[int, int, int, int], kernel: str) -> Any:
    """Ours, with the same weights."""
    layer = KINDS[kind][1](shape[2], shape[3], batch_first=True, kernel=kernel)
    layer.load_state_dict(torch_layer(kind, shape).state_dict(), strict=False)
    return layer


def passes(
    module: nn.Module, call: Callable[[], torch.Tensor], cotangent: torch.Tensor, weight: torch.Tensor | None = None
) -> Contender:
    """Forward and backward of ``call``, whose parameters are ``module``'s. weight: whose gradient is compared."""
    kept: list[torch.Tensor] = []

    def run() -> None:
        outputs = call()
        outputs.backward(cotangent)
        kept[:] = [outputs.detach()]

    def prepare() -> None:
        kept.clear()
        module.zero_grad(set_to_none=True)

    def result() -> list[np.ndarray]:
        prepare()
        run()
        found = [*kept, *([] if weight is None else [weight.grad])]
        return [one.float().numpy() for one in found if one is not None]

    return Contender("", run, prepare, result)


def whole(make: Callable[[], Any], inputs: torch.Tensor, cotangent: torch.Tensor) -> Contender:
    """A drop-in layer over whole sequences."""
    layer = make()
    return passes(layer, lambda: layer(inputs)[0], cotangent, layer.weight_hh_l0)


def in_bfloat16(make: Callable[[], Any], inputs: torch.Tensor, cotangent: torch.Tensor) -> Contender:
    """The layer, the inputs and the cotangent turned into bfloat16."""
    return whole(lambda: make().bfloat16(), inputs.bfloat16(), cotangent.bfloat16())


def in_autocast(make: Callable[[], Any], inputs: torch.Tensor, cotangent: torch.Tensor) -> Contender:
    """float32 weights under autocast. The inputs come as float32, as data does."""
    layer = make()

    def call() -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return layer(inputs)[0]

    return passes(layer, call, cotangent.to(call().dtype), layer.weight_hh_l0)
