"""What a cell is: an equation over one step."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

import torch
from torch import nn

from latchwork.errors import ConfigError
from latchwork.types import Float, Tensor


class HiddenState(NamedTuple):
    """The state of a cell that remembers its output alone. h: [batch, hidden]."""

    h: Float[Tensor, "batch hidden"]


class Cell(nn.Module, ABC):
    """An equation over one step, and nothing else: no batch, no time, no direction, no file.

        projected = cell.project(inputs)                       # what depends on the input alone, for all steps at once
        output, state = cell.step(projected_t, state)          # one step

    A subclass states its equation, gate order, state fields and source in its docstring and gives

    * ``gates``: the names of its gates in the order in which they stand in the weights;
    * ``State``: a NamedTuple with named fields, batch first in every leaf;
    * ``project(inputs) -> tuple of [..., width]``: hoisted out of the recurrence;
    * ``step(projected, state, constants) -> (output, state)``: ``projected`` is one step's tuple, ``constants`` are
      values that stay the same over a sequence (an encoder's memory);
    * ``initial_state(batch)``: zeros where it says nothing else;
    * ``reset_parameters()``: uniform in ±1/√hidden where it says nothing else, as torch.nn's;
    * ``keeps``: the gates that hold on to the state, each with the sign of the bias that makes it hold: ``{"f": 1.0}``;
    * ``independent``: the fields of the state that mean something on their own, so that they may be learned as an
      initial state and mixed by zoneout; None: all of them;
    * ``tokenwise``: whether ``project`` takes each step's input by itself, so that padding may be left out; False
      where it needs to know which row and step it stands at.

    Named products (``nn.Linear``, :mod:`latchwork.cells.products`) are attributes; a cell may have any number of
    them. Those whose name starts with ``recurrent`` take part of the state: they start orthogonal in a ``Network``,
    and recurrent dropout and weight drop act on them and on nothing else.
    """

    gates: ClassVar[tuple[str, ...]] = ()
    keeps: ClassVar[Mapping[str, float]] = MappingProxyType({})
    independent: ClassVar[tuple[str, ...] | None] = None
    tokenwise: ClassVar[bool] = True
    State: type[Any] = HiddenState

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

    @property
    def gate_bias(self) -> Tensor | None:
        """The bias of all gates, [gates · hidden], in their order: that of the product named ``input``."""
        return getattr(getattr(self, "input", None), "bias", None)

    def recurrent_products(self) -> dict[str, nn.Module]:
        """The products that take part of the state, by name."""
        return {name: module for name, module in self.named_children() if name.startswith("recurrent")}

    def project(self, inputs: Float[Tensor, "*batch input"]) -> tuple[Tensor, ...]:
        """[..., input_size] -> what the input contributes to each step. Here: the inputs as they are."""
        return (inputs,)

    @abstractmethod
    def step(self, projected: tuple[Tensor, ...], state: Any, constants: tuple[Tensor, ...] = ()) -> tuple[Tensor, Any]:
        """One step: (tuple of [batch, …], state) -> (output [batch, output_size], state)."""

    def backwards(self, inputs: Tensor, lengths: Tensor | None = None) -> Tensor:
        """What a layer that reads from the end is given in place of its inputs [batch, time, input], in their order:
        the same, but for inputs that count from what came before.
        """
        return inputs

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
