"""What a decoder looks at, what it remembers, and what its steps give."""

from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

from latchwork.types import Tensor


@dataclass(frozen=True)
class Memory:
    """What a decoder looks at: made once for a batch of sequences by :meth:`AttentionDecoder.memory`.

    values   [batch, steps, width] the encoder's outputs, zero past a row's end
    keys     [batch, steps, key width]
    there    [batch, steps] which steps are a row's own
    summary  [batch, summary width] what the first state is made from
    source   [batch, steps] the words that can be copied, see :mod:`latchwork.layers.copying`; None: none can
    extra    how many words behind the vocabulary these are, in the whole batch
    """

    values: Tensor
    keys: Tensor
    there: Tensor
    summary: Tensor
    source: Tensor | None = None
    extra: int = 0

    def __len__(self) -> int:
        return len(self.values)

    def select(self, rows: Tensor) -> "Memory":
        """The memory of some sequences, in the order given."""
        tensors = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "extra"}
        return replace(self, **{name: None if value is None else value[rows] for name, value in tensors.items()})


class DecoderState(NamedTuple):
    """layers: of every recurrent layer. feed: [rows, width] the attentional vector of the step before, None where it is
    not fed back. coverage: [rows, steps] what was read so far, summed; None where nobody asks.
    """

    layers: tuple[Any, ...]
    feed: Tensor | None = None
    coverage: Tensor | None = None


class Steps(NamedTuple):
    """Some steps of a decoder, before words are scored.

    vectors   [batch, time, width] the attentional vectors, dropout applied
    weights   [batch, time, steps] what each step read of the memory
    scores    [batch, time, steps] from which these were made
    gate      [batch, time] of the copying mixture; None: nothing is copied
    repeated  [batch, time] Σ min(weights, coverage); None: coverage is not kept
    """

    vectors: Tensor
    weights: Tensor
    scores: Tensor
    gate: Tensor | None = None
    repeated: Tensor | None = None
