"""A language model as the training loop sees it: one long stream in lanes, its state carried from batch to batch."""

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from latchwork.errors import ConfigError, DataError
from latchwork.layers import NextToken
from latchwork.modalities import END
from latchwork.types import Tensor

Stream = NDArray[np.int64]
VALIDATION_LANES = 16
LANE = 2000
"""Tokens of a lane of the validation part at least: each lane begins without a past."""

CHUNK = 256
"""Steps that are read at once outside of training."""


class Passage(NamedTuple):
    """A batch: tokens [lanes, time], what comes next, and where a document begins."""

    tokens: Tensor
    targets: Tensor
    resets: Tensor

    def to(self, device: torch.device | str) -> "Passage":
        """The same on another device."""
        return Passage(*(one.to(device) for one in self))


class GenerateJob:
    """Training of :class:`NextToken` on a stream (see ``LanguagePipeline.stream``).

    The stream is cut into ``batch_size`` lanes, read side by side in chunks of ``truncate`` tokens. Where the lanes
    begin is drawn anew for each epoch, so that chunks are not always cut at the same places; an epoch leaves out what
    does not fill a chunk of every lane, at most one chunk of each.

    activation, change: times the mean square of the dropped outputs, and of the outputs' changes, added to the loss
    (Merity, McCann & Socher 2017, arXiv:1708.01009).
    """

    def __init__(
        self,
        module: NextToken,
        train: Stream,
        validation: Stream,
        *,
        batch_size: int,
        truncate: int,
        seed: int,
        activation: float = 0.0,
        change: float = 0.0,
    ) -> None:
        self.module, self.train, self.held = module, train, validation
        self.seed, self.activation, self.change = seed, activation, change
        self.lanes, self.chunk = batch_size, truncate
        steps = len(train) - 1
        if truncate < 1:
            raise ConfigError(f"truncate is {truncate}, expected at least 1: the text is read in chunks")
        if steps < 2 * batch_size:
            raise DataError(
                f"the training text has {max(0, steps):,} tokens, and {batch_size} lanes want {2 * batch_size:,} at "
                f"least; give more text, or batch_size={max(1, steps // 2)}"
            )
        self.chunk = min(truncate, steps // batch_size)
        self.chunks = max(1, steps // (batch_size * self.chunk) - 1)
        """Steps of an epoch."""

    def batch(self, step: int) -> Passage:
        """A chunk of each lane; a pure function of the step."""
        epoch, at = divmod(step, self.chunks)
        width = self.chunks * self.chunk
        slack = len(self.train) - 1 - self.lanes * width
        begin = int(np.random.default_rng((self.seed, epoch)).integers(slack + 1)) if slack else 0
        starts = begin + width * np.arange(self.lanes) + at * self.chunk
        index = starts[:, None] + np.arange(self.chunk + 1)
        taken = torch.from_numpy(self.train[index])
        tokens, targets = taken[:, :-1].contiguous(), taken[:, 1:].contiguous()
        resets = tokens == END
        if at == 0:
            resets[:, 0] = True
        return Passage(tokens, targets, resets)

    def loss(self, batch: Passage, carried: Any) -> tuple[Tensor, Any]:
        """Mean nats of a token, with what is added; and the state."""
        read = self.module(batch.tokens, carried, resets=batch.resets)
        loss = self.module.nats(read.hidden, batch.targets).mean()
        if self.activation:
            loss = loss + self.activation * read.dropped.float().square().mean()
        if self.change and read.raw.shape[1] > 1:
            loss = loss + self.change * (read.raw[:, 1:] - read.raw[:, :-1]).float().square().mean()
        return loss, read.state

    def validate(self) -> dict[str, float]:
        """Nats of a token, and the perplexity, on the validation text, read in a few lanes."""
        if len(self.held) < 2:
            return {}
        lanes = int(np.clip((len(self.held) - 1) // LANE, 1, VALIDATION_LANES))
        mean = float(read_nats(self.module, self.held, lanes=lanes).mean())
        return {"nats": mean, "perplexity": float(np.exp(min(mean, 700.0)))}


@torch.no_grad()
def read_nats(module: NextToken, stream: Stream, *, lanes: int = 1, chunk: int = CHUNK) -> NDArray[np.float64]:
    """-log p of each token of the stream but its first, in order; the state is carried from end to end.

    lanes: so many pieces are read side by side, each from a fresh state, which is faster and costs a little.
    """
    steps = len(stream) - 1
    device = next(module.parameters()).device
    training = module.training
    module.eval()
    width = -(-steps // lanes)
    found = np.zeros((lanes, width))
    state = None
    padded = np.full(lanes * width + 1, END)
    padded[: steps + 1] = stream
    for at in range(0, width, chunk):
        count = min(chunk, width - at)
        index = width * np.arange(lanes)[:, None] + at + np.arange(count + 1)
        taken = torch.from_numpy(padded[index]).to(device)
        tokens, targets = taken[:, :-1].contiguous(), taken[:, 1:].contiguous()
        read = module(tokens, state, resets=tokens == END)
        found[:, at : at + count] = module.nats(read.hidden, targets).double().cpu().numpy()
        state = read.state
    module.train(training)
    return found.ravel()[:steps]
