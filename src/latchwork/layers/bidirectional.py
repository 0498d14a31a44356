"""Two directions side by side."""

from typing import Any, NoReturn

import torch
from torch import nn

from latchwork.errors import ConfigError, StateError
from latchwork.kernels import Choice
from latchwork.layers.recurrent import Recurrent
from latchwork.layers.regularize import draw_key, fold
from latchwork.types import Bool, Float, Int, Tensor


class Bidirectional(nn.Module):
    """A layer that reads forwards and one that reads backwards, their outputs side by side.

    outputs: [batch, time, onward.output_size + backward.output_size]. Each row is reversed within its own length. The
    state is the pair of the two layers' states, each at its own end: the onward one after the last step, the backward
    one after the first. It can't be stepped, for it looks into the future.
    """

    def __init__(self, onward: Recurrent, backward: Recurrent) -> None:
        super().__init__()
        if onward.reverse or not backward.reverse:
            raise ConfigError("Bidirectional takes a layer with reverse=False, then one with reverse=True")
        if onward.input_size != backward.input_size:
            raise ConfigError(
                f"the directions take {onward.input_size} and {backward.input_size} inputs, expected the same number"
            )
        self.onward = onward
        self.backward = backward

    @property
    def input_size(self) -> int:
        """Width of the inputs."""
        return self.onward.input_size

    @property
    def output_size(self) -> int:
        """Width of the outputs, both directions together."""
        return self.onward.output_size + self.backward.output_size

    @property
    def draws(self) -> bool:
        """Whether a forward pass in the present mode needs a key."""
        return self.onward.draws or self.backward.draws

    def forward(
        self,
        inputs: Float[Tensor, "batch time input"],
        state: tuple[Any, Any] | None = None,
        *,
        lengths: Int[Tensor, " batch"] | None = None,
        resets: Bool[Tensor, "batch time"] | None = None,
        key: Int[Tensor, ""] | None = None,
    ) -> tuple[Float[Tensor, "batch time output"], tuple[Any, Any]]:
        """Run both directions; the arguments are those of :meth:`Recurrent.forward`, the state is a pair."""
        first, second = (None, None) if state is None else state
        if self.draws and key is None:
            key = draw_key()
        keys = (None, None) if key is None else (fold(key, 0), fold(key, 1))
        onward, first = self.onward(inputs, first, lengths=lengths, resets=resets, key=keys[0])
        backward, second = self.backward(inputs, second, lengths=lengths, resets=resets, key=keys[1])
        return torch.cat((onward, backward), dim=-1), (first, second)

    def initial_state(self, batch: int) -> tuple[Any, Any]:
        """The pair of the directions' initial states."""
        return self.onward.initial_state(batch), self.backward.initial_state(batch)

    def step(self, x_t: Tensor, state: Any) -> NoReturn:
        """Raises :class:`StateError`: the backward direction begins at the end of the sequence."""
        raise StateError(
            "a bidirectional layer looks into the future and can't be stepped; train one with bidirectional=False, "
            "or run it over whole sequences"
        )

    def explain_kernel(
        self,
        inputs: Float[Tensor, "batch time input"],
        *,
        lengths: Int[Tensor, " batch"] | None = None,
        resets: Bool[Tensor, "batch time"] | None = None,
    ) -> tuple[Choice, Choice]:
        """Which kernel runs each direction, and why."""
        return (
            self.onward.explain_kernel(inputs, lengths=lengths, resets=resets),
            self.backward.explain_kernel(inputs, lengths=lengths, resets=resets),
        )
