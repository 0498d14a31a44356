"""Activations by name, as options and files spell them."""

from collections.abc import Callable, Mapping

from torch import Tensor
from torch.nn import functional

from latchwork.errors import ConfigError, did_you_mean


def _linear(x: Tensor) -> Tensor:
    return x


def _softmax(x: Tensor) -> Tensor:
    return functional.softmax(x, dim=-1)


ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "linear": _linear,
    "sigmoid": Tensor.sigmoid,
    "tanh": Tensor.tanh,
    "relu": Tensor.relu,
    "leaky_relu": functional.leaky_relu,
    "swish": functional.silu,
    "gelu": functional.gelu,
    "softmax": _softmax,
}
"""linear x; sigmoid 1/(1+e⁻ˣ); tanh; relu max(x, 0); leaky_relu max(x, 0) + 0.01 min(x, 0); swish x σ(x);
gelu x Φ(x), with the error function; softmax over the last axis."""

RECTIFIERS = frozenset({"relu", "leaky_relu", "swish", "gelu"})
"""Those that pass about half of their input: weights before them start after He et al. 2015, not after Glorot."""


def activation(name: str) -> Callable[[Tensor], Tensor]:
    """The activation of that name.

    >>> import torch
    >>> activation("relu")(torch.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """
    if name not in ACTIVATIONS:
        hint = did_you_mean(name, ACTIVATIONS)
        raise ConfigError(f"activation is {name!r}, expected one of {', '.join(ACTIVATIONS)}{hint}")
    return ACTIVATIONS[name]
