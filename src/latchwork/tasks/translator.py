"""The network of translating: an encoder of the source, recurrent layers, and a decoder that says the target."""

from typing import NamedTuple

import torch
from torch import nn

from latchwork.errors import DataError
from latchwork.layers import AttentionDecoder, InputEncoder, Memory, Pooling, Stack
from latchwork.layers.memory import Steps
from latchwork.sequences import Inputs, mask_from_lengths
from latchwork.types import Bool, Int, Tensor


class Lesson(NamedTuple):
    """A batch of pairs.

    inputs   the sources
    history  [batch, time] what the target has before each of its steps: END, then the target
    targets  [batch, time] the target, then END; words that are only copied behind the vocabulary
    lengths  [batch] of the target with its END
    copied   [batch, steps] the source as words of the target, see latchwork.layers.copying; None: nothing is copied
    extra    [1] how many of these the vocabulary doesn't know
    own      [batch, time] where the model's own word is read in place of the history's; None: nowhere
    """

    inputs: Inputs
    history: Int[Tensor, "batch time"]
    targets: Int[Tensor, "batch time"]
    lengths: Int[Tensor, " batch"]
    copied: Int[Tensor, "batch steps"] | None = None
    extra: Int[Tensor, " one"] | None = None
    own: Bool[Tensor, "batch time"] | None = None

    def to(self, device: torch.device | str) -> "Lesson":
        """The same on another device."""
        return Lesson(*(None if one is None else one.to(device) for one in self))  # type: ignore[arg-type]

    @property
    def active(self) -> Bool[Tensor, "batch time"]:
        """Which steps are a target's own."""
        return mask_from_lengths(self.lengths, self.targets.shape[1])


class Translator(nn.Module):
    """Sources to targets. body: recurrent layers over what the encoder gives; their outputs are the memory.

    Its summary is the last output of the layers that read forwards and the first of those that read backwards.
    """

    def __init__(self, encoder: InputEncoder, body: Stack, decoder: AttentionDecoder) -> None:
        super().__init__()
        self.encoder, self.body, self.decoder = encoder, body, decoder
        width = body.output_size
        self.summary = Pooling("last", width, backward=width // 2 if body.bidirectional else 0)

    def memory(self, inputs: Inputs, copied: Tensor | None = None, extra: Tensor | None = None) -> Memory:
        """What the decoder looks at."""
        values, lengths = self.encoder(inputs)
        outputs, _ = self.body(values, lengths=lengths)
        if not self.training and not torch.isfinite(outputs).all():
            raise DataError("what was read lies beyond all numbers; is a value of the sequence wrong?")
        summary = self.summary(outputs, lengths)
        return self.decoder.memory(
            outputs, lengths, summary, source=copied, extra=None if extra is None else int(extra)
        )

    def forward(self, batch: Lesson) -> tuple[Steps, Memory]:
        """The decoder's steps over the history, before words are scored, and the memory."""
        memory = self.memory(batch.inputs, batch.copied, batch.extra)
        steps, _ = self.decoder.run(batch.history, memory, lengths=batch.lengths, own=batch.own)
        return steps, memory

    def nats(self, batch: Lesson) -> Tensor:
        """-log p of the words of the targets, with their ENDs, row by row."""
        steps, memory = self(batch)
        return self.decoder.nats(steps, batch.targets, batch.active, memory)
