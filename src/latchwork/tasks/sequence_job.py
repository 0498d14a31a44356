"""Classifying and labelling as the training loop sees them: a batch for each step, a loss, a validation score."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from latchwork.errors import DataError
from latchwork.layers import CRF, Augment
from latchwork.sequences import Encoded, EpochSampler, Inputs, collate, mask_from_lengths
from latchwork.tasks.reader import Reader
from latchwork.tasks.targets import UNKNOWN, Targets
from latchwork.types import Tensor

VALIDATED_AT_ONCE = 64


class Lesson(NamedTuple):
    """A batch: the sequences, and what is asked of them."""

    inputs: Inputs
    truth: Tensor

    def to(self, device: torch.device | str) -> "Lesson":
        """The same on another device."""
        return Lesson(self.inputs.to(device), self.truth.to(device))


class Loss(NamedTuple):
    """How far scores are from the truth. weights [classes], focal and smoothing: of classes alone."""

    kind: str
    weights: Tensor | None = None
    focal: float = 0.0
    smoothing: float = 0.0

    def __call__(self, module: Reader, scores: Tensor, lengths: Tensor, truth: Tensor) -> Tensor:
        scores = scores.float()
        if self.kind == "steps":
            truth = truth[:, : scores.shape[1]]
            known = mask_from_lengths(lengths, scores.shape[1]) & (truth != UNKNOWN)
            if module.crf is not None:
                return -_log_likelihood(module.crf, scores, truth, lengths, known) / known.sum().clamp(min=1)
            if not known.any():
                return scores.sum() * 0.0
            return self.classes(scores[known], truth[known])
        if self.kind == "number":
            return F.mse_loss(scores.squeeze(-1), truth.to(scores.dtype))
        if self.kind == "labels":
            return F.binary_cross_entropy_with_logits(scores, truth.to(scores.dtype))
        return self.classes(scores, truth)

    def weight(self, truth: Tensor) -> float:
        """What the mean over this truth is a mean of: sequences, or steps with a known label, by their class weights.

        Means of several batches, weighted by it, are the mean over all.
        """
        if self.kind in ("number", "labels"):
            return float(len(truth))
        known = truth[truth != UNKNOWN]
        return float(len(known) if self.weights is None else self.weights.to(truth.device)[known].sum())

    def classes(self, scores: Tensor, truth: Tensor) -> Tensor:
        """Cross entropy, weighted by class, (1 - p)^focal of it, the target smoothed."""
        weights = None if self.weights is None else self.weights.to(scores.device)
        if not self.focal:
            return F.cross_entropy(scores, truth, weight=weights, label_smoothing=self.smoothing)
        each = F.cross_entropy(scores, truth, reduction="none", label_smoothing=self.smoothing)
        own = scores.log_softmax(-1).gather(-1, truth.unsqueeze(-1)).squeeze(-1).exp()
        scale = each.new_ones(()).expand_as(each) if weights is None else weights[truth]
        return ((1 - own) ** self.focal * each * scale).sum() / scale.sum().clamp(min=1e-12)


def _log_likelihood(crf: CRF, scores: Tensor, truth: Tensor, lengths: Tensor, known: Tensor) -> Tensor:
    """Σ log p of the known labels: over all that the unknown ones may be."""
    unknown = (mask_from_lengths(lengths, scores.shape[1]) & ~known).any()
    if not unknown:
        return crf(scores, truth.clamp(min=0), lengths).sum()
    others = torch.ones_like(scores, dtype=torch.bool).scatter(2, truth.clamp(min=0).unsqueeze(2), value=False)
    held = scores.masked_fill(others & known.unsqueeze(2), -torch.inf)
    return (crf.log_partition(held, lengths) - crf.log_partition(scores, lengths)).sum()


class SequenceJob:
    """Training of a :class:`Reader`. train, validation: encoded sequences and their numbers (see ``Targets.encode``).

    score  figures of (logits of each validation sequence, truth), the first to be minimised
    """

    def __init__(
        self,
        module: Reader,
        train: tuple[Sequence[Encoded], Sequence[Any]],
        validation: tuple[Sequence[Encoded], Sequence[Any]],
        *,
        loss: Loss,
        score: Callable[[list[NDArray[np.float64]], Sequence[Any]], dict[str, float]],
        batch_size: int,
        seed: int,
        augment: Augment,
        balanced: bool = False,
    ) -> None:
        self.module, self.loss_of, self.score = module, loss, score
        self.examples, self.truth = train
        self.held, self.held_truth = validation
        self.seed, self.augment, self.batch_size = seed, augment, batch_size
        lengths = [len(one) for one in self.examples]
        if not any(lengths):
            raise DataError("every training sequence is empty; there is nothing to learn from")
        same = len(set(lengths)) == 1
        self.sampler = EpochSampler(len(self.examples), batch_size, seed, None if same else lengths)
        self.classes = _by_class(self.truth) if balanced else None

    def batch(self, step: int) -> Lesson:
        """Sequences of similar length, augmented; a pure function of the step."""
        rows = self.sampler.rows(step) if self.classes is None else self._even(step)
        inputs = collate([self.examples[row] for row in rows])
        return Lesson(self.augment.apply(inputs, self.seed, step), stacked([self.truth[row] for row in rows]))

    def _even(self, step: int) -> NDArray[np.int64]:
        """As many of each class, drawn anew for each step; of more classes than a batch holds, each in its turn."""
        assert self.classes is not None
        random = np.random.default_rng((self.seed, step, 1))
        first = step * self.batch_size
        kinds = random.permutation(np.arange(first, first + self.batch_size) % len(self.classes))
        return np.array([random.choice(self.classes[kind]) for kind in kinds])

    def loss(self, batch: Lesson, carried: Any) -> tuple[Tensor, None]:
        scores, lengths = self.module(batch.inputs)
        return self.loss_of(self.module, scores, lengths, batch.truth), None

    def validate(self) -> dict[str, float]:
        """What ``score`` says, and the training loss on the validation sequences."""
        if not self.held:
            return {}
        total, weight = 0.0, 0.0
        order = np.argsort([len(one) for one in self.held], kind="stable")
        found: list[Any] = [None] * len(self.held)
        for rows, answer, lengths, truth in _in_batches(self.module, self.held, self.held_truth, order):
            share = self.loss_of.weight(truth)
            total += share * float(self.loss_of(self.module, answer, lengths, truth))
            weight += share
            for row, one, length in zip(rows, answer.double().cpu().numpy(), lengths.tolist(), strict=True):
                found[row] = one[:length] if one.ndim == 2 else one
        return {**self.score(found, self.held_truth), "loss": total / weight if weight else float("nan")}


def _in_batches(module: Reader, encoded: Sequence[Encoded], truth: Sequence[Any], order: NDArray[np.int64]) -> Any:
    device = next(module.parameters()).device
    for begin in range(0, len(order), VALIDATED_AT_ONCE):
        rows = order[begin : begin + VALIDATED_AT_ONCE]
        lesson = Lesson(collate([encoded[row] for row in rows]), stacked([truth[row] for row in rows])).to(device)
        scores, lengths = module(lesson.inputs)
        yield rows, scores, lengths, lesson.truth


def stacked(truth: Sequence[Any]) -> Tensor:
    """Numbers [batch], marks [batch, classes], or labels of steps [batch, time], padded with :data:`UNKNOWN`."""
    if isinstance(truth[0], np.ndarray) and truth[0].dtype == np.int64:
        longest = max(len(one) for one in truth)
        whole = np.full((len(truth), longest), UNKNOWN, np.int64)
        for row, one in enumerate(truth):
            whole[row, : len(one)] = one
        return torch.from_numpy(whole)
    return torch.from_numpy(np.stack([np.asarray(one) for one in truth]))


@torch.no_grad()
def scores_of(module: Reader, encoded: Sequence[Encoded]) -> list[NDArray[np.float64]]:
    """The scores of each sequence, in order: [outputs], or [steps, outputs]."""
    training, device = module.training, next(module.parameters()).device
    module.eval()
    found: list[Any] = [None] * len(encoded)
    order = np.argsort([len(one) for one in encoded], kind="stable")
    for begin in range(0, len(order), VALIDATED_AT_ONCE):
        rows = order[begin : begin + VALIDATED_AT_ONCE]
        scores, lengths = module(collate([encoded[row] for row in rows]).to(device))
        for row, one, length in zip(rows, scores.double().cpu().numpy(), lengths.tolist(), strict=True):
            found[row] = one[:length] if one.ndim == 2 else one
    module.train(training)
    return found


def _by_class(truth: Sequence[Any]) -> list[NDArray[np.int64]]:
    codes = np.array(truth)
    if codes.ndim != 1 or codes.dtype.kind != "i":
        raise DataError("sampling=balanced is for sequences of one class each")
    return [np.flatnonzero(codes == code) for code in np.unique(codes)]


def loss_for(targets: Targets, *, balanced: bool, focal: float = 0.0, smoothing: float = 0.0) -> Loss:
    """The loss of a task."""
    kind = "class" if targets.kind == "ordinal" else targets.kind
    weights = torch.from_numpy(targets.weights()) if balanced and targets.classes else None
    return Loss(kind, weights, focal, smoothing)
