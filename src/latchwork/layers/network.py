"""The options of a recurrent network, and how they become layers."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import torch

from latchwork.cells import CELLS, RNN, Cell, activation, cell_class
from latchwork.errors import ConfigError, did_you_mean
from latchwork.kernels import check_kernel
from latchwork.layers.bidirectional import Bidirectional
from latchwork.layers.norm import check_norm
from latchwork.layers.recurrent import Recurrent
from latchwork.layers.regularize import check_rate
from latchwork.layers.stack import Stack
from latchwork.layers.start import start


@dataclass(frozen=True)
class Network:
    """The options of a recurrent network, the same for every task.

    Parameters
    ----------
    cell
        A name in ``latchwork.cells.CELLS`` (rnn, lstm, gru, gru_reset_before, gru_d, layernorm_lstm, peephole_lstm,
        slstm, mingru, minlstm), or a subclass of Cell. gru_d reads values, their mask and the time since each was
        seen; the layers above it are gru. None: the task decides: gru, and gru_d for sequences to classify or to
        label in which numbers are missing.
    hidden_size
        Units of each layer, and of each direction. None: the task decides.
    layers
        Layers on top of each other.
    dropout
        Part of what passes between layers that is dropped in training, from 0 to below 1. None: the task decides.
    variational
        What dropout drops between layers is the same at every step of a sequence.
    recurrent_dropout
        Part of the state that the recurrent products don't see, the same at every step of a sequence.
    zoneout
        Probability that a unit of the state keeps its old value for a step.
    weight_drop
        Part of the recurrent weights that is dropped in each training step.
    bidirectional
        Read backwards too. Such a network can't stream. None: the task decides.
    residual
        Each layer adds its input to its output where both are equally wide.
    norm
        Normalisation between layers: "layer", "batch", or None.
    activation
        What the plain rnn's candidate passes through: linear, sigmoid, tanh, relu, leaky_relu, swish, gelu, softmax.
        Other cells have theirs in their equation.
    learn_initial_state
        Learn the state before the first step.
    forget_bias
        Bias at the start of the gates that hold on to the state: an LSTM's f, a GRU's z.
    kernel
        What runs the cells: "auto", "loop" (the reference) or "torch" (PyTorch's own, standard cells only).
    """

    cell: str | type[Cell] | None = None
    hidden_size: int | None = None
    layers: int = 1
    dropout: float | None = None
    variational: bool = False
    recurrent_dropout: float = 0.0
    zoneout: float = 0.0
    weight_drop: float = 0.0
    bidirectional: bool | None = None
    residual: bool = False
    norm: str | None = None
    activation: str = "tanh"
    learn_initial_state: bool = False
    forget_bias: float = 1.0
    kernel: str = "auto"

    def __post_init__(self) -> None:
        kind = None if self.cell is None else cell_class(self.cell)
        for name in ("hidden_size", "layers"):
            size = getattr(self, name)
            if size is None and name == "hidden_size":
                continue
            if isinstance(size, bool) or not isinstance(size, int) or size < 1:
                raise ConfigError(f"{name} is {size!r}, expected a whole number from 1")
        for name in ("dropout", "recurrent_dropout", "zoneout", "weight_drop"):
            if name != "dropout" or self.dropout is not None:
                check_rate(name, getattr(self, name))
        check_norm(self.norm)
        activation(self.activation)
        if self.activation != "tanh" and (kind is None or not issubclass(kind, RNN)):
            what = "give cell=rnn" if kind is None else f"{kind.__name__} has its own in its equation"
            raise ConfigError(f'activation is "{self.activation}", and only the rnn takes one: {what}')
        if isinstance(self.forget_bias, bool) or not isinstance(self.forget_bias, (int, float)):
            raise ConfigError(f"forget_bias is {self.forget_bias!r}, expected a number")
        check_kernel(self.kernel)

    def resolved(
        self, *, cell: str = "gru", hidden_size: int = 128, dropout: float = 0.0, bidirectional: bool = False
    ) -> "Network":
        """The same options with the given values where they were left to the task (None)."""
        return replace(
            self,
            cell=cell if self.cell is None else self.cell,
            hidden_size=hidden_size if self.hidden_size is None else self.hidden_size,
            dropout=dropout if self.dropout is None else self.dropout,
            bidirectional=bidirectional if self.bidirectional is None else self.bidirectional,
        )

    def build(
        self, input_size: int, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> Stack:
        """The layers, started as :func:`latchwork.layers.start` says; a gru of 128 units without dropout where they
        were left open.

        Built on the CPU and then moved, so the same seed gives the same weights on every device.
        """
        options = self.resolved()
        assert options.hidden_size is not None
        assert options.dropout is not None
        assert options.cell is not None
        layers: list[Recurrent | Bidirectional] = []
        width = input_size
        kind = cell_class(options.cell)
        for _ in range(self.layers):
            layer = self._layer(kind, width, options.hidden_size)
            if self.bidirectional:
                layer = Bidirectional(layer, self._layer(kind, width, options.hidden_size, reverse=True))
            kind = getattr(kind, "above", kind)
            width = layer.output_size
            layers.append(layer)
        stack = Stack(
            layers, dropout=options.dropout, variational=self.variational, residual=self.residual, norm=self.norm
        )
        return stack.to(device=device, dtype=dtype)

    def _layer(self, kind: type[Cell], input_size: int, hidden_size: int, *, reverse: bool = False) -> Recurrent:
        cell = (
            kind(input_size, hidden_size, activation=self.activation)
            if issubclass(kind, RNN)
            else kind(input_size, hidden_size)
        )
        return Recurrent(
            start(cell, forget_bias=self.forget_bias),
            reverse=reverse,
            recurrent_dropout=self.recurrent_dropout,
            zoneout=self.zoneout,
            weight_drop=self.weight_drop,
            learn_initial_state=self.learn_initial_state,
            kernel=self.kernel,
        )

    def to_dict(self) -> dict[str, Any]:
        """The options as plain values for JSON; a cell of one's own is written by its name."""
        options = asdict(self)
        if self.cell is not None and not isinstance(self.cell, str):
            names = {kind: name for name, kind in CELLS.items()}
            options["cell"] = names.get(self.cell, self.cell.__name__)
        return options

    @classmethod
    def from_dict(cls, options: Mapping[str, Any], *, cells: Mapping[str, type[Cell]] | None = None) -> "Network":
        """The inverse of :meth:`to_dict`. ``cells``: the classes of one's own that the options may name."""
        known = [field.name for field in fields(cls)]
        for name in options:
            if name not in known:
                hint = did_you_mean(name, known)
                raise ConfigError(f"network has no option {name!r}, expected {', '.join(known)}{hint}")
        values = dict(options)
        cell = values.get("cell")
        if cells and isinstance(cell, str) and cell in cells:
            values["cell"] = cells[cell]
        elif isinstance(cell, str) and cell not in CELLS:
            hint = did_you_mean(cell, CELLS)
            raise ConfigError(
                f'the options name the cell "{cell}", which is not one of {", ".join(CELLS)}{hint}; if it is your own, '
                f'pass its class: cells={{"{cell}": {cell}}}'
            )
        return cls(**values)
