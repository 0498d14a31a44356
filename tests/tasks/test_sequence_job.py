"""Losses by hand, batches that are functions of the step, validation figures that do not depend on the batches."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from latchwork.errors import DataError
from latchwork.layers import CRF, Augment, InputEncoder, Network, Pooling
from latchwork.sequences import Encoded, Features
from latchwork.tasks.reader import Reader
from latchwork.tasks.sequence_job import Loss, SequenceJob, scores_of, stacked
from latchwork.tasks.targets import UNKNOWN

SCORES = torch.tensor([[2.0, -1.0, 0.5], [0.1, 0.2, 0.3], [-3.0, 1.0, 4.0]])
TRUTH = torch.tensor([0, 2, 1])


def module(outputs: int = 3, *, steps: bool = False, crf: bool = False) -> Reader:
    torch.manual_seed(0)
    encoder = InputEncoder(Features(numbers=2))
    body = Network(hidden_size=4, bidirectional=False, dropout=0.0).build(2)
    made = Reader(encoder, body, None if steps else Pooling("max", 4), outputs, crf=CRF(outputs) if crf else None)
    if made.crf is not None:
        with torch.no_grad():
            for parameter in made.crf.parameters():
                parameter.copy_(torch.randn_like(parameter))
    return made.eval()


def log_p(row: int, code: int) -> float:
    return float(SCORES[row].double().log_softmax(-1)[code])


def loss(of: Loss, scores: torch.Tensor, truth: torch.Tensor, lengths: Any = None, reader: Any = None) -> float:
    lengths = torch.full((len(scores),), scores.shape[1]) if lengths is None else lengths
    return float(of(module() if reader is None else reader, scores, lengths, truth))


def test_cross_entropy_by_hand() -> None:
    rows = [-log_p(0, 0), -log_p(1, 2), -log_p(2, 1)]
    assert loss(Loss("class"), SCORES, TRUTH) == pytest.approx(np.mean(rows))
    weights = [0.5, 2.0, 4.0]
    weighted = (0.5 * rows[0] + 4.0 * rows[1] + 2.0 * rows[2]) / 6.5
    assert loss(Loss("class", torch.tensor(weights)), SCORES, TRUTH) == pytest.approx(weighted)


def test_smoothing_by_hand() -> None:
    each = []
    for row, code in enumerate(TRUTH.tolist()):
        wanted = [0.1 / 3 + (0.9 if other == code else 0.0) for other in range(3)]
        each.append(-sum(share * log_p(row, other) for other, share in enumerate(wanted)))
    assert loss(Loss("class", smoothing=0.1), SCORES, TRUTH) == pytest.approx(np.mean(each))


def test_focal_loss_by_hand() -> None:
    each = [-((1 - math.exp(log_p(row, code))) ** 2) * log_p(row, code) for row, code in enumerate(TRUTH.tolist())]
    assert loss(Loss("class", focal=2.0), SCORES, TRUTH) == pytest.approx(np.mean(each))
    weighted = (0.5 * each[0] + 4.0 * each[1] + 2.0 * each[2]) / 6.5
    assert loss(Loss("class", torch.tensor([0.5, 2.0, 4.0]), focal=2.0), SCORES, TRUTH) == pytest.approx(weighted)
    # of the exponent 0 nothing is left but the cross entropy
    assert loss(Loss("class", focal=1e-9), SCORES, TRUTH) == pytest.approx(loss(Loss("class"), SCORES, TRUTH))


def test_numbers_and_several_labels_by_hand() -> None:
    assert loss(Loss("number"), torch.tensor([[1.0], [3.0]]), torch.tensor([0.0, 1.0])) == pytest.approx(2.5)
    marks = torch.tensor([[1.0, 0.0, 1.0]])
    p = [1 / (1 + math.exp(-x)) for x in (2.0, -1.0, 0.5)]
    by_hand = -(math.log(p[0]) + math.log(1 - p[1]) + math.log(p[2])) / 3
    assert loss(Loss("labels"), SCORES[:1], marks) == pytest.approx(by_hand)


def test_padded_and_unknown_steps_are_in_no_loss() -> None:
    scores = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(1))
    truth = torch.tensor([[0, 1, UNKNOWN, 2], [2, 0, 0, 0]])
    lengths = torch.tensor([4, 1])
    logs = scores.log_softmax(-1)
    by_hand = -float(logs[0, 0, 0] + logs[0, 1, 1] + logs[0, 3, 2] + logs[1, 0, 2]) / 4
    assert loss(Loss("steps"), scores, truth, lengths, module(steps=True)) == pytest.approx(by_hand, rel=1e-5)
    none = torch.full((2, 4), UNKNOWN)
    assert loss(Loss("steps"), scores, none, lengths, module(steps=True)) == 0.0


def paths(scores: torch.Tensor, crf: CRF, known: list[int]) -> float:
    """log Σ e^a over all labels of one sequence that agree with the known ones (-1: any), one by one."""
    found = []
    for code in range(3 ** len(known)):
        labels = [code // 3**step % 3 for step in range(len(known))]
        if any(one not in (UNKNOWN, label) for one, label in zip(known, labels, strict=True)):
            continue
        score = float(crf.start[labels[0]] + crf.end[labels[-1]])
        score += sum(float(scores[step, label]) for step, label in enumerate(labels))
        score += sum(float(crf.follow[a, b]) for a, b in pairwise(labels))
        found.append(score)
    return float(torch.tensor(found).double().logsumexp(0))


def test_sequences_of_labels_by_hand_for_each_known_step() -> None:
    reader = module(steps=True, crf=True)
    crf = reader.crf
    assert crf is not None
    scores = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(1))
    lengths = torch.tensor([4, 2])
    with torch.no_grad():
        for rows in ([[0, 1, 1, 2], [2, 0]], [[0, UNKNOWN, 1, UNKNOWN], [UNKNOWN, 0]]):
            truth = torch.tensor([one + [UNKNOWN] * (4 - len(one)) for one in rows])
            total = sum(
                paths(scores[row], crf, known) - paths(scores[row], crf, [UNKNOWN] * len(known))
                for row, known in enumerate(rows)
            )
            steps = sum(code != UNKNOWN for known in rows for code in known)
            assert loss(Loss("steps"), scores, truth, lengths, reader) == pytest.approx(-total / steps, rel=1e-4)


def test_gradients_over_unknown_steps_are_numbers() -> None:
    reader = module(steps=True, crf=True).train()
    scores = torch.randn(2, 3, 3, requires_grad=True)
    truth = torch.tensor([[UNKNOWN, UNKNOWN, UNKNOWN], [0, UNKNOWN, 1]])
    Loss("steps")(reader, scores, torch.tensor([3, 2]), truth).backward()
    assert scores.grad is not None
    assert torch.isfinite(scores.grad).all()
    assert scores.grad[0].abs().max() < 1e-5
    assert scores.grad[1].abs().max() > 1e-3


# Batches


def job(truth: list[Any], *, lengths: list[int] | None = None, balanced: bool = False, **options: Any) -> SequenceJob:
    random = np.random.default_rng(0)
    sizes = lengths or [3] * len(truth)
    examples = [Encoded(numbers=random.normal(size=(size, 2)).astype(np.float32)) for size in sizes]
    given = {"loss": Loss("class"), "score": lambda scores, truth: {"choice": 0.0}, "augment": Augment(), **options}
    reader = given.pop("module", None) or module()
    return SequenceJob(
        reader, (examples, truth), (examples, truth), batch_size=4, seed=3, balanced=balanced, **given
    )  # fmt: skip


def test_balanced_batches_hold_as_many_of_each_class_and_are_pure_in_the_step() -> None:
    made = job([0] * 30 + [1] * 2, balanced=True)
    for step in (0, 7, 8):
        truth = made.batch(step).truth
        assert sorted(truth.tolist()) == [0, 0, 1, 1]
        assert torch.equal(truth, made.batch(step).truth)
        numbers = made.batch(step).inputs.numbers
        assert numbers is not None
        assert torch.equal(numbers, job([0] * 30 + [1] * 2, balanced=True).batch(step).inputs.numbers)


def test_balanced_batches_reach_more_classes_than_a_batch_holds() -> None:
    made = job([code for code in range(10) for _ in range(2)], balanced=True)
    seen = np.concatenate([made.batch(step).truth.numpy() for step in range(5)])
    assert np.bincount(seen, minlength=10).tolist() == [2] * 10


def test_balanced_batches_are_for_classes() -> None:
    with pytest.raises(DataError, match="one class each"):
        job([np.array([0, 1]), np.array([1, 0])], balanced=True)


def test_every_sequence_once_an_epoch_and_augmented_by_the_step_alone() -> None:
    made = job(list(range(10)), lengths=[1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
    seen = [code for step in range(3) for code in made.batch(step).truth.tolist()]
    assert sorted(seen) == list(range(10))
    noisy = job([0, 1, 0, 1], augment=Augment(jitter=0.5))
    one, again, later = (noisy.batch(step).inputs.numbers for step in (1, 1, 3))
    assert one is not None
    assert torch.equal(one, again)  # type: ignore[arg-type]
    assert not torch.equal(one.sort().values, later.sort().values)  # type: ignore[union-attr]


def test_empty_sequences_alone_teach_nothing() -> None:
    with pytest.raises(DataError, match="every training sequence is empty"):
        job([0, 1], lengths=[0, 0])


# Validation


@pytest.mark.parametrize("weights", [None, torch.tensor([0.2, 1.0, 5.0])])
def test_the_validation_loss_is_that_of_all_at_once(weights: Any) -> None:
    random = np.random.default_rng(1)
    lengths = random.integers(1, 9, 150).tolist()
    truth = [random.integers(-1, 3, size).astype(np.int64) for size in lengths]
    made = job(truth, lengths=lengths, loss=Loss("steps", weights), module=module(steps=True))
    with torch.no_grad():
        found = made.validate()["loss"]
        scores = torch.from_numpy(np.concatenate(scores_of(made.module, made.held)))
    flat = torch.from_numpy(np.concatenate(truth))
    double = None if weights is None else weights.double()
    expected = F.cross_entropy(scores[flat >= 0], flat[flat >= 0], weight=double)
    assert found == pytest.approx(float(expected), rel=1e-5)


def test_nothing_to_validate_on_gives_no_figure() -> None:
    made = job([0, 1])
    made.held, made.held_truth = [], []
    assert made.validate() == {}


def test_scores_come_in_the_order_of_the_sequences_and_leave_the_mode() -> None:
    made = job([0] * 7, lengths=[5, 1, 4, 2, 3, 9, 1])
    made.module.train()
    found = scores_of(made.module, made.examples)
    assert made.module.training
    made.module.eval()
    for one, example in zip(found, made.examples, strict=True):
        np.testing.assert_allclose(one, scores_of(made.module, [example])[0], atol=1e-6)
    assert scores_of(made.module, []) == []


def test_truth_of_every_kind_is_stacked() -> None:
    assert stacked([0, 2]).tolist() == [0, 2]
    assert stacked([np.array([1, 2], np.int64), np.array([3], np.int64)]).tolist() == [[1, 2], [3, UNKNOWN]]
    assert stacked([np.array([1, 0], np.float32)]).dtype == torch.float32
    assert stacked([0.5, 1.5]).tolist() == [0.5, 1.5]
