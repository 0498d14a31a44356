"""Translating as the training loop sees it: batches of pairs of similar length, a loss, a validation score."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from latchwork.errors import DataError
from latchwork.modalities import END
from latchwork.sequences import PAD, Encoded, EpochSampler, collate
from latchwork.tasks.translator import Lesson, Translator
from latchwork.types import Tensor

Tokens = NDArray[np.int64]
AT_ONCE = 64
"""Pairs of a batch outside of training."""

STEPS_AT_ONCE = 1 << 15
"""Steps of such a batch, padding included: of very long sources fewer are read together."""

RISE = 10
"""Epochs in which scheduled sampling gets to its last probability."""


@dataclass(frozen=True)
class Pair:
    """A source and its target in numbers.

    target  [tokens] without an END; from the vocabulary's size on words that are copied. None: not known
    copied  [steps] the source as words of the target; None: nothing is copied
    extra   the words behind the vocabulary, in their order
    """

    source: Encoded
    target: Tokens | None = None
    copied: Tokens | None = None
    extra: tuple[str, ...] = ()


class TranslateJob:
    """Training of a :class:`Translator`.

    smoothing, coverage, sampling  as :class:`latchwork.tasks.Translate` has them
    answer    figures of what the model says now, on a sample; the first is the metric, the higher the better
    by_metric whether that decides, and not the loss
    """

    def __init__(
        self,
        module: Translator,
        train: Sequence[Pair],
        validation: Sequence[Pair],
        *,
        batch_size: int,
        seed: int,
        smoothing: float = 0.0,
        coverage: float = 0.0,
        sampling: float = 0.0,
        answer: Callable[[], dict[str, float]] | None = None,
        by_metric: bool = False,
    ) -> None:
        self.module, self.pairs, self.held = module, train, validation
        self.seed, self.smoothing, self.coverage, self.sampling = seed, smoothing, coverage, sampling
        self.answer, self.by_metric = answer, by_metric
        lengths = [length_of(one) for one in train]
        if not any(one.target is not None and len(one.target) for one in train):
            raise DataError("every training target is empty; there is nothing to learn from")
        self.sampler = EpochSampler(len(train), batch_size, seed, None if len(set(lengths)) == 1 else lengths)

    def batch(self, step: int) -> Lesson:
        """Pairs of similar length; a pure function of the step."""
        lesson = batched([self.pairs[row] for row in self.sampler.rows(step)])
        if not self.sampling:
            return lesson
        epoch = step / self.sampler.steps_per_epoch
        share = self.sampling * min(1.0, epoch / RISE)
        own = np.random.default_rng((self.seed, step, 3)).random(lesson.history.shape) < share
        return lesson._replace(own=torch.from_numpy(own))

    def loss(self, batch: Lesson, carried: Any) -> tuple[Tensor, None]:
        """Mean nats of a word, smoothed, and of a word what coverage costs."""
        steps, memory = self.module(batch)
        active = batch.active
        decoder = self.module.decoder
        loss = decoder.nats(steps, batch.targets, active, memory, smoothing=self.smoothing).mean()
        if self.coverage and steps.repeated is not None:
            loss = loss + self.coverage * steps.repeated[active].mean()
        return loss, None

    def validate(self) -> dict[str, float]:
        """Nats of a word given those before it, the perplexity, and the figures of answers to a sample."""
        if not self.held:
            return {}
        mean = float(np.concatenate(nats_of(self.module, self.held)).mean())
        told = {"loss": mean, "perplexity": float(np.exp(min(mean, 700.0)))}
        said = {} if self.answer is None else self.answer()
        if self.by_metric and said:
            return {"choice": -next(iter(said.values())), **told, **said}
        return {**told, **said}


def length_of(pair: Pair) -> int:
    """What a pair costs."""
    return len(pair.source) + (0 if pair.target is None else len(pair.target))


def batched(pairs: Sequence[Pair]) -> Lesson:
    """Pairs as a batch. Without a target a row's is empty."""
    targets = [np.zeros(0, np.int64) if one.target is None else one.target for one in pairs]
    longest = max(len(one) for one in targets) + 1
    history = np.full((len(pairs), longest), PAD)
    wanted = np.full((len(pairs), longest), PAD)
    for row, target in enumerate(targets):
        history[row, 0] = END
        history[row, 1 : len(target) + 1] = wanted[row, : len(target)] = target
        wanted[row, len(target)] = END
    lengths = torch.tensor([len(one) + 1 for one in targets])
    inputs = collate([one.source for one in pairs])
    copied, extra = None, None
    if all(one.copied is not None for one in pairs):
        steps = int(inputs.lengths.max())
        held = np.full((len(pairs), steps), PAD)
        for row, one in enumerate(pairs):
            assert one.copied is not None
            held[row, : len(one.copied)] = one.copied
        copied, extra = torch.from_numpy(held), torch.tensor([max(len(one.extra) for one in pairs)])
    return Lesson(inputs, torch.from_numpy(history), torch.from_numpy(wanted), lengths, copied, extra)


def in_batches(module: Translator, pairs: Sequence[Pair], size: int = AT_ONCE) -> Any:
    """(rows, their batch on the module's device), pairs of similar length together."""
    device = next(module.parameters()).device
    lengths = np.array([length_of(one) for one in pairs], np.int64)
    order = np.argsort(lengths, kind="stable")
    begin = 0
    while begin < len(order):
        room = np.arange(1, size + 1)[: len(order) - begin] * lengths[order[begin : begin + size]]
        count = max(1, int((room <= STEPS_AT_ONCE).sum()))
        rows = order[begin : begin + count]
        yield rows, batched([pairs[row] for row in rows]).to(device)
        begin += count


@torch.no_grad()
def nats_of(module: Translator, pairs: Sequence[Pair]) -> list[NDArray[np.float64]]:
    """-log p of each word of each target and of its END, given the words before it; nothing is dropped."""
    training = module.training
    module.eval()
    found: list[Any] = [None] * len(pairs)
    for rows, lesson in in_batches(module, pairs):
        every = module.nats(lesson).double().cpu().numpy()
        ends = np.cumsum(lesson.lengths.cpu().numpy())
        for row, own in zip(rows, np.split(every, ends[:-1]), strict=True):
            found[row] = own
    module.train(training)
    return found
