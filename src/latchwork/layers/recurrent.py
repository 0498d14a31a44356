"""One layer, one direction, any cell: run over sequences, or stepped."""

from typing import Any

import torch
from torch import nn

from latchwork import kernels
from latchwork.cells import Cell
from latchwork.errors import ConfigError, DataError, StateError
from latchwork.kernels import Choice, Session, check_kernel
from latchwork.layers.regularize import check_rate, draw_key, regularized, require_recurrent
from latchwork.sequences import flatten, map_state
from latchwork.types import Bool, Float, Int, Tensor


class Recurrent(nn.Module):
    """A cell run over sequences, batch first.

        layer = Recurrent(PeepholeLSTM(3, 8))
        outputs, state = layer(inputs)                                     # [batch, time, 3] -> [batch, time, 8]
        output, state = layer.step(x_t, layer.initial_state(batch))        # [batch, 3] -> [batch, 8]

    cell: any :class:`Cell`. reverse: each row from its own last step to its first. recurrent_dropout, zoneout,
    weight_drop: see :mod:`latchwork.layers.regularize`; they raise :class:`ConfigError` where the cell lacks what
    they act on. learn_initial_state: the state before the first step is a parameter, started at the cell's own.
    kernel: ``auto``, ``cpu`` for the engine, ``torch`` for PyTorch's own, or ``loop`` for the reference.

    The state is a value: nothing of a sequence is kept on the module.
    """

    def __init__(
        self,
        cell: Cell,
        *,
        reverse: bool = False,
        recurrent_dropout: float = 0.0,
        zoneout: float = 0.0,
        weight_drop: float = 0.0,
        learn_initial_state: bool = False,
        kernel: str = "auto",
    ) -> None:
        super().__init__()
        if not isinstance(cell, Cell):
            raise ConfigError(f"cell is a {type(cell).__name__}, expected an instance of a Cell, such as LSTM(3, 8)")
        check_kernel(kernel)
        self.cell = cell
        self.reverse = reverse
        self.recurrent_dropout = check_rate("recurrent_dropout", recurrent_dropout)
        self.zoneout = check_rate("zoneout", zoneout)
        self.weight_drop = check_rate("weight_drop", weight_drop)
        self.learn_initial_state = learn_initial_state
        self.kernel = kernel
        for option in ("recurrent_dropout", "weight_drop"):
            if getattr(self, option):
                require_recurrent(cell, option)
        if learn_initial_state:
            for name in self._learned():
                field = flatten(cell.initial_state(1))[name]
                self.register_parameter(_parameter(name), nn.Parameter(field[0].detach().clone()))

    @property
    def input_size(self) -> int:
        """Width of the inputs."""
        return self.cell.input_size

    @property
    def output_size(self) -> int:
        """Width of the outputs."""
        return self.cell.output_size

    def forward(
        self,
        inputs: Float[Tensor, "batch time input"],
        state: Any = None,
        *,
        lengths: Int[Tensor, " batch"] | None = None,
        resets: Bool[Tensor, "batch time"] | None = None,
        key: Int[Tensor, ""] | None = None,
    ) -> tuple[Float[Tensor, "batch time output"], Any]:
        """Run over sequences: outputs, zero past a row's length, and each row's state at its own end.

        lengths: steps of each row. resets: True where the state before the step (``reverse``: after it) is the
        initial one. key: the counter of this pass's dropout masks, drawn from torch's generator where it is None; not
        used in evaluation.
        """
        if inputs.shape[-1] != self.input_size:
            raise DataError(
                f"inputs has shape {tuple(inputs.shape)}, expected [batch, time, {self.input_size}] (batch first)"
            )
        if self.reverse:
            inputs = self.cell.backwards(inputs, lengths)
        fresh = self.initial_state(inputs.shape[0])
        if state is not None:
            _check_state(state, fresh)
        return kernels.run(
            self._cell(key),
            inputs,
            state,
            kernel=self.kernel,
            lengths=lengths,
            resets=resets,
            reverse=self.reverse,
            fresh=fresh,
            named=_named(self) if torch.compiler.is_compiling() else None,
        )

    def step(self, x_t: Float[Tensor, "batch input"], state: Any) -> tuple[Float[Tensor, "batch output"], Any]:
        """One step of inference: nothing is dropped, in training mode neither. The state given is left as it was."""
        if self.reverse:
            raise StateError("a reversed layer begins at the end of a sequence and can't be stepped; use reverse=False")
        cell = regularized(self.cell, zoneout=self.zoneout)
        return cell.step(cell.project(x_t), state)

    def session(self, batch: int = 1, *, narrow: bool = False) -> Session:
        """A live session of ``batch`` rows on the engine, for stepping at speed; see :class:`Session`.

        Nothing is dropped. It holds weights packed from the layer's and follows their changes.
        """
        if self.reverse:
            raise StateError("a reversed layer begins at the end of a sequence and can't be stepped; use reverse=False")
        session = Session([regularized(self.cell, zoneout=self.zoneout)], batch=batch, narrow=narrow)
        session.state = (self.initial_state(batch),)
        return session

    def initial_state(self, batch: int) -> Any:
        """The state before the first step, learned where it is."""
        state = self.cell.initial_state(batch)
        if not self.learn_initial_state:
            return state
        leaves = iter(flatten(state))
        learned = set(self._learned())

        def leaf(own: Tensor) -> Tensor:
            name = next(leaves)
            return getattr(self, _parameter(name)).expand_as(own) if name in learned else own

        return map_state(leaf, state)

    def explain_kernel(
        self,
        inputs: Float[Tensor, "batch time input"],
        *,
        lengths: Int[Tensor, " batch"] | None = None,
        resets: Bool[Tensor, "batch time"] | None = None,
    ) -> Choice:
        """Which kernel runs these inputs in the present mode, and why. Draws no random number."""
        ragged = kernels.ragged(lengths, inputs.shape[1])
        cell = self._cell(torch.zeros((), dtype=torch.int64))
        return kernels.choose(cell, self.kernel, lengths=ragged, resets=resets)

    @property
    def draws(self) -> bool:
        """Whether a forward pass in the present mode needs a key."""
        return self.training and any((self.recurrent_dropout, self.zoneout, self.weight_drop))

    def _cell(self, key: Tensor | None) -> Cell:
        """The cell of one forward pass."""
        if self.draws:
            key = draw_key() if key is None else key
        else:
            key = None
        return regularized(
            self.cell,
            recurrent_dropout=self.recurrent_dropout,
            zoneout=self.zoneout,
            weight_drop=self.weight_drop,
            key=key,
        )

    def _learned(self) -> list[str]:
        """The names of the state's leaves that are learned."""
        names = flatten(self.cell.initial_state(1))
        return [name for name in names if self.cell.independent is None or name.split(".")[0] in self.cell.independent]

    def extra_repr(self) -> str:
        shown = {
            "reverse": False,
            "recurrent_dropout": 0.0,
            "zoneout": 0.0,
            "weight_drop": 0.0,
            "learn_initial_state": False,
            "kernel": "auto",
        }
        now = {name: getattr(self, name) for name in shown}
        return ", ".join(f"{name}={value}" for name, value in now.items() if value != shown[name])


@torch.compiler.assume_constant_result
def _named(layer: Recurrent) -> Any:
    """What the engine knows of the layer's cell in its present mode, as a constant of a graph."""
    return kernels.named(layer._cell(torch.zeros((), dtype=torch.int64)))


def _parameter(leaf: str) -> str:
    return "initial_" + leaf.replace(".", "_")


def _check_state(state: Any, like: Any) -> None:
    """Raise :class:`StateError` where ``state`` is not one of this cell for this batch."""
    if type(state) is not type(like):
        raise StateError(
            f"state is a {type(state).__name__}, expected the cell's {type(like).__name__}; "
            "start with initial_state(batch)"
        )
    for (name, got), expected in zip(flatten(state).items(), flatten(like).values(), strict=True):
        if got.shape != expected.shape:
            raise StateError(
                f"state.{name} has shape {tuple(got.shape)}, expected {tuple(expected.shape)}: the batch comes first"
            )
