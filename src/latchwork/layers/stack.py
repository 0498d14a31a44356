"""Layers on top of each other."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from torch import nn

from latchwork.errors import ConfigError, StateError
from latchwork.kernels import Choice, Session, ragged
from latchwork.layers.bidirectional import Bidirectional
from latchwork.layers.norm import check_norm, norm_layer
from latchwork.layers.recurrent import Recurrent
from latchwork.layers.regularize import OUTPUT, check_rate, draw_key, dropout, fold, locked_dropout, regularized
from latchwork.sequences import mask_from_lengths
from latchwork.types import Bool, Float, Int, Tensor

Layer = Recurrent | Bidirectional


class Stack(nn.Module):
    """Recurrent layers on top of each other, batch first.

        x₁ = layer₀(x₀)
        xₖ₊₁ = layerₖ(dropout(norm(xₖ)))             k = 1, 2, …      with residual: + xₖ where the widths agree

    dropout: of what passes between layers, never of the inputs or of the last outputs, as torch.nn's. variational: its
    masks are the same at every step (Gal & Ghahramani 2016, arXiv:1512.05287). residual: each
    layer adds its input to its output where both are equally wide, the first layer too; where they are not (usually
    the first layer), the connection is left out rather than made of weights of its own. norm: None, ``layer`` or
    ``batch``, between layers, inside the residual connection. The state is a tuple over the layers: the cell's
    NamedTuple, or a pair of them for a bidirectional layer.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        *,
        dropout: float = 0.0,
        variational: bool = False,
        residual: bool = False,
        norm: str | None = None,
    ) -> None:
        super().__init__()
        if not layers:
            raise ConfigError("a stack has no layers, expected at least one")
        for index, (below, above) in enumerate(pairwise(layers)):
            if below.output_size != above.input_size:
                raise ConfigError(
                    f"layer {index} gives {below.output_size} outputs, layer {index + 1} takes {above.input_size}"
                )
        self.layers = nn.ModuleList(layers)
        self.dropout = check_rate("dropout", dropout)
        self.variational = variational
        self.residual = residual
        check_norm(norm)
        self.norm = norm
        like = next(self.parameters())
        self.norms = nn.ModuleList(
            [norm_layer(norm, layer.input_size, device=like.device, dtype=like.dtype) for layer in layers[1:]]
            if norm is not None
            else []
        )

    @property
    def input_size(self) -> int:
        """Width of the inputs."""
        return self._layers[0].input_size

    @property
    def output_size(self) -> int:
        """Width of the outputs of the last layer."""
        return self._layers[-1].output_size

    @property
    def bidirectional(self) -> bool:
        """Whether a layer looks into the future, so that the stack can't be stepped."""
        return any(isinstance(layer, Bidirectional) or layer.reverse for layer in self._layers)

    @property
    def _layers(self) -> list[Layer]:
        return list(self.layers)  # type: ignore[arg-type]

    def forward(
        self,
        inputs: Float[Tensor, "batch time input"],
        state: tuple[Any, ...] | None = None,
        *,
        lengths: Int[Tensor, " batch"] | None = None,
        resets: Bool[Tensor, "batch time"] | None = None,
        key: Int[Tensor, ""] | None = None,
    ) -> tuple[Float[Tensor, "batch time output"], tuple[Any, ...]]:
        """Run over sequences: outputs of the last layer, zero past a row's length, and the state of every layer.

        The arguments are those of :meth:`Recurrent.forward`; all masks of a pass come from one key.
        """
        layers = self._layers
        states = self._states(state)
        lengths = ragged(lengths, inputs.shape[1])
        if lengths is not None:
            # A residual connection must not carry what stands in the padding past the layers.
            inputs = inputs.masked_fill(~mask_from_lengths(lengths, inputs.shape[1]).unsqueeze(-1), 0.0)
        between = self.training and self.dropout > 0 and len(layers) > 1
        if key is None and (between or any(layer.draws for layer in layers)):
            key = draw_key()
        after = []
        for index, layer in enumerate(layers):
            own = None if key is None else fold(key, index)
            below = self._between(index, inputs, lengths)
            if index and between and own is not None:
                below = (locked_dropout if self.variational else dropout)(below, self.dropout, own, OUTPUT)
            outputs, final = layer(below, states[index], lengths=lengths, resets=resets, key=own)
            inputs = self._joined(inputs, outputs)
            after.append(final)
        return inputs, tuple(after)

    def step(
        self, x_t: Float[Tensor, "batch input"], state: tuple[Any, ...]
    ) -> tuple[Float[Tensor, "batch output"], tuple[Any, ...]]:
        """One step of inference through all layers: nothing is dropped. The state given is left as it was."""
        after = []
        for index, (layer, own) in enumerate(zip(self._layers, self._states(state), strict=True)):
            output, final = layer.step(self._between(index, x_t, None), own)
            x_t = self._joined(x_t, output)
            after.append(final)
        return x_t, tuple(after)

    def session(self, batch: int = 1, *, narrow: bool = False) -> Session:
        """A live session of ``batch`` rows through all layers on the engine; see :class:`Session`."""
        if self.bidirectional:
            raise StateError(
                "a bidirectional layer looks into the future and can't be stepped; train one with bidirectional=False"
            )
        if self.residual or self.norm is not None:
            raise StateError("a session has no residual connections and no norm between layers; use step")
        cells = [
            regularized(layer.cell, zoneout=layer.zoneout) for layer in self._layers if isinstance(layer, Recurrent)
        ]
        session = Session(cells, batch=batch, narrow=narrow)
        session.state = self.initial_state(batch)
        return session

    def initial_state(self, batch: int) -> tuple[Any, ...]:
        """The state of every layer before the first step."""
        return tuple(layer.initial_state(batch) for layer in self._layers)

    def explain_kernel(
        self,
        inputs: Float[Tensor, "batch time input"],
        *,
        lengths: Int[Tensor, " batch"] | None = None,
        resets: Bool[Tensor, "batch time"] | None = None,
    ) -> tuple[Choice | tuple[Choice, Choice], ...]:
        """Which kernel runs each layer, and why: a choice for each, a pair for a bidirectional one."""
        return tuple(layer.explain_kernel(inputs, lengths=lengths, resets=resets) for layer in self._layers)

    def _between(self, index: int, values: Tensor, lengths: Tensor | None) -> Tensor:
        return self.norms[index - 1](values, lengths) if index and self.norm is not None else values

    def _joined(self, below: Tensor, outputs: Tensor) -> Tensor:
        return outputs + below if self.residual and outputs.shape == below.shape else outputs

    def _states(self, state: tuple[Any, ...] | None) -> tuple[Any, ...]:
        if state is None:
            return (None,) * len(self.layers)
        if len(state) != len(self.layers):
            raise StateError(f"state has {len(state)} parts, expected {len(self.layers)}: one for each layer")
        return state

    def extra_repr(self) -> str:
        return f"dropout={self.dropout}, variational={self.variational}, residual={self.residual}, norm={self.norm}"
