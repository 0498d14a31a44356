"""What a translator loses by hearing itself: its score after the true words against that after its own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from latchwork.errors import DataError
from latchwork.modalities import END
from latchwork.sequences import Labelled
from latchwork.tasks.translate_job import Pair, in_batches
from latchwork.tasks.translate_pipeline import TranslatePipeline

Array = NDArray[np.float64]
AT_ONCE = 16
"""Pairs whose words are all scored at once."""

FEWEST = 10
"""Targets that must be as long for a position to be told of."""


@dataclass(frozen=True)
class Exposure:
    """Training shows the words before a step as they should be (teacher forcing), in use they are the model's own.

    Each figure is a pair: after the true words, after its own. The word at a position counts as right where it is the
    target's at that position: after its own words the model may say the same in another order, so text is compared too.

    words      of the targets, their ENDs too
    right      share of words that are right
    nats       -log p of the target's words
    score      ``metric`` of the whole texts: each word after the true ones; and greedily said
    positions  [positions] of the target, from 1, that enough targets have
    counts     [positions] how many have it
    right_at   [2, positions]
    nats_at    [2, positions]
    """

    words: int
    metric: str
    right: tuple[float, float]
    nats: tuple[float, float]
    score: tuple[float, float]
    positions: NDArray[np.int64]
    counts: NDArray[np.int64]
    right_at: Array
    nats_at: Array

    def told(self) -> str:
        """In a sentence."""
        before, after = self.score
        return (
            f"after the true words {self.right[0]:.1%} of the next ones are right, after its own {self.right[1]:.1%}; "
            f"{self.metric} {before:.1f} and {after:.1f}"
        )


@torch.no_grad()
def exposure(
    pipeline: TranslatePipeline,
    labelled: Labelled,
    judge: Callable[[Sequence[str], Sequence[Any]], float],
    *,
    metric: str = "score",
    pairs: Sequence[Pair] | None = None,
) -> Exposure:
    """The same pairs with the true history and with the model's own. judge: a figure of texts and their targets,
    called ``metric``.

    Raises :class:`DataError` where no pair has a target.
    """
    pairs = pipeline.encode(labelled, targets=True) if pairs is None else pairs
    known = [row for row, one in enumerate(pairs) if one.target is not None]
    if not known:
        raise DataError("no source has a target, so there is nothing to compare with")
    pairs, labelled = [pairs[row] for row in known], labelled.select(known)
    module, found = pipeline.module, Counted()
    training = module.training
    module.eval()
    texts = [""] * len(pairs)
    for rows, lesson in in_batches(module, pairs, AT_ONCE):
        active = lesson.active
        own = torch.ones_like(active)
        for side, batch in enumerate((lesson, lesson._replace(own=own))):
            steps, memory = module(batch)
            log_p = module.decoder.log_probabilities(steps, memory)
            nats = -log_p.gather(-1, lesson.targets.unsqueeze(-1)).squeeze(-1)
            said = log_p.argmax(-1)
            found.add(side, nats, said == lesson.targets, active)
            if side == 0:
                every = zip(rows, said.cpu().numpy(), steps.weights.cpu().numpy(), lesson.lengths.tolist(), strict=True)
                for row, tokens, weights, length in every:
                    ends = np.flatnonzero(tokens[:length] == END)
                    stop = int(ends[0]) if len(ends) else length - 1
                    texts[row] = pipeline.told(tokens[:stop], weights[:stop], pairs[row], labelled.content[row])
    module.train(training)
    answers = pipeline.translate(labelled, pipeline.greedy, pairs=pairs)
    free = [several[0].text for several in answers]
    score = (judge(texts, labelled.labels), judge(free, labelled.labels))
    return found.told(metric, score)


class Counted:
    """Sums by position."""

    def __init__(self) -> None:
        self.sums = np.zeros((2, 2, 0))
        self.count = np.zeros((2, 0))

    def add(self, side: int, nats: torch.Tensor, right: torch.Tensor, active: torch.Tensor) -> None:
        """Add a batch [rows, time]."""
        time = nats.shape[1]
        more = max(0, time - self.sums.shape[2])
        self.sums = np.pad(self.sums, ((0, 0), (0, 0), (0, more)))
        self.count = np.pad(self.count, ((0, 0), (0, more)))
        for place, value in enumerate((nats.double(), right.double())):
            self.sums[side, place, :time] += torch.where(active, value, 0.0).sum(0).cpu().numpy()
        self.count[side, :time] += active.sum(0).cpu().numpy()

    def told(self, metric: str, score: tuple[float, float]) -> Exposure:
        """What it came to."""
        count = self.count[0]
        words = int(count.sum())
        nats, right = self.sums.sum(2).T / words
        kept = count >= min(FEWEST, count.max())
        at = self.sums[:, :, kept] / count[kept]
        return Exposure(
            words,
            metric,
            (float(right[0]), float(right[1])),
            (float(nats[0]), float(nats[1])),
            score,
            np.flatnonzero(kept) + 1,
            count[kept].astype(np.int64),
            at[:, 1],
            at[:, 0],
        )
