"""The network of classifying and labelling: grades by hand, lengths, and scores that must be finite."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from latchwork.errors import DataError
from latchwork.layers import CRF, InputEncoder, Network, Pooling
from latchwork.sequences import Features, Inputs
from latchwork.tasks.reader import Cuts, Reader


def test_grades_by_hand() -> None:
    cuts = Cuts(3)
    with torch.no_grad():
        cuts.first.fill_(-0.5)
        cuts.gaps.fill_(math.log(math.expm1(1.2)))
    got = cuts(torch.tensor([[0.3]])).exp()[0]

    def above(cut: float) -> float:
        return 1 / (1 + math.exp(-(0.3 - cut)))

    expected = [1 - above(-0.5), above(-0.5) - above(0.7), above(0.7)]
    torch.testing.assert_close(got, torch.tensor(expected))


@given(st.floats(-1e4, 1e4), st.integers(2, 9))
def test_probabilities_of_grades_are_finite_and_add_up_to_1(score: float, classes: int) -> None:
    found = Cuts(classes)(torch.tensor([[score]])).detach()
    assert found.shape == (1, classes)
    assert torch.isfinite(found).all()
    assert float(found.exp().sum()) == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize(("score", "grade"), [(300.0, 0), (-300.0, 2), (300.0, 1)])
def test_there_is_a_way_back_from_a_score_that_is_far_off(score: float, grade: int) -> None:
    one = torch.tensor([[score]], requires_grad=True)
    found = Cuts(3)(one)[0, grade]
    (slope,) = torch.autograd.grad(found, one)
    assert abs(float(slope)) > 0.5


def reader(pooling: str | None = "max", crf: bool = False) -> Reader:
    torch.manual_seed(0)
    encoder = InputEncoder(Features(numbers=2))
    body = Network(hidden_size=4, bidirectional=False, dropout=0.0).build(2)
    pooled = None if pooling is None else Pooling(pooling, 4)  # type: ignore[arg-type]
    return Reader(encoder, body, pooled, 3, crf=CRF(3) if crf else None).eval()


def test_shapes_and_lengths() -> None:
    inputs = Inputs(torch.tensor([4, 2]), numbers=torch.randn(2, 4, 2))
    scores, lengths = reader()(inputs)
    assert scores.shape == (2, 3)
    scores, lengths = reader(None)(inputs)
    assert scores.shape == (2, 4, 3)
    assert lengths.tolist() == [4, 2]


def test_scores_beyond_all_numbers_are_refused_when_asked_and_not_in_training() -> None:
    one = reader()
    inputs = Inputs(torch.tensor([1]), numbers=torch.full((1, 1, 2), float("nan")))
    with pytest.raises(DataError, match="beyond all numbers"):
        one(inputs)
    assert one.train()(inputs)[0].isnan().any()
