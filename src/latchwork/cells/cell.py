"""What a cell is: an equation over one step."""

from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from latchwork.errors import ConfigError


class HiddenState(NamedTuple):
    """The state of a cell that remembers its output alone. h: [batch, hidden]."""

    h: Tensor


class Cell(nn.Module):
    """An equation over one step, and nothing else: no batch, no time, no direction, no file.

        projected = cell.project(inputs)                       # what depends on the input alone, for all steps at once
        output, state = cell.step(projected_t, state)          # one step

    A subclass states its equation, gate order, state fields and source in its docstring and gives

    * ``gates``: the names of its gates in the order in which they stand in the weights;
    * ``State``: a NamedTuple with named fields, batch first in every leaf;
    * ``project(inputs) -> tuple of [..., width]``: hoisted out of the recurrence;
    * ``step(projected, state, constants) -> (output, state)``: ``projected`` is one step's tuple, ``constants`` are
      values that stay the same over a sequence (dropout masks, an encoder's memory);
    * ``initial_state(batch)``: zeros where it says nothing else;
    * ``reset_parameters()``: uniform in ±1/√hidden where it says nothing else, as torch.nn's.

    Named products (``nn.Linear`` and the like) are attributes; a cell may have any number of them.
    """

    gates: ClassVar[tuple[str, ...]] = ()
    State: ClassVar[type[Any]] = HiddenState

    def __init__(self, input_size: int, hidden_size: int, *, bias: bool = True) -> None:
        super().__init__()
        for name, size in (("input_size", input_size), ("hidden_size", hidden_size)):
            if size < 1:
                raise ConfigError(f"{name} is {size}, expected at least 1")
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias

    @property
    def output_size(self) -> int:
        """Width of the output, which is hidden_size unless a projection says otherwise."""
        return self.hidden_size

    def project(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """[..., input_size] -> what the input contributes to each step. Here: the inputs as they are."""
        return (inputs,)

    def step(self, projected: tuple[Tensor, ...], state: Any, constants: tuple[Tensor, ...] = ()) -> tuple[Tensor, Any]:
        """One step: (tuple of [batch, …], state) -> (output [batch, output_size], state)."""
        raise NotImplementedError(f"{type(self).__name__} must define step(projected, state, constants)")

    def initial_state(self, batch: int) -> Any:
        """The state before the first step: zeros [batch, hidden] in every field, on the parameters' device and type."""
        like = next(self.parameters())
        return self.State(*(like.new_zeros(batch, self.hidden_size) for _ in self.State._fields))

    def reset_parameters(self) -> None:
        """Uniform in ±1/√hidden_size, biases too."""
        bound = self.hidden_size**-0.5
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.uniform_(-bound, bound)

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}"
