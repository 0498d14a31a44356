import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from latchwork.layers.copying import coverage_loss, pointed, pointed_at

WORDS, EXTRA, STEPS = 4, 3, 5
EXTREME = st.sampled_from([0.0, 1.0, -1.0, 50.0, -50.0, 1e4, -1e4, 1e30, -1e30, 3e38, -3e38])
SOURCES = st.lists(st.integers(0, WORDS + EXTRA - 1), min_size=STEPS, max_size=STEPS)


@given(st.integers(0, 999), SOURCES, st.integers(0, STEPS))
@settings(max_examples=50)
def test_the_mixture_is_as_by_hand(seed: int, source: list[int], length: int) -> None:
    torch.manual_seed(seed)
    logits, gate, scores = (torch.randn(size).double() for size in ((WORDS,), (), (STEPS,)))
    there = torch.arange(STEPS) < length
    found = pointed(logits, gate, scores, torch.tensor(source), there, EXTRA)
    share = float(gate.sigmoid()) if length else 1.0
    wanted = [share * float(p) for p in logits.softmax(0)] + [0.0] * EXTRA
    if length:
        for word, weight in zip(source, scores[:length].softmax(0).tolist(), strict=False):
            wanted[word] += (1 - share) * weight
    assert float(found.exp().sum()) == pytest.approx(1.0)
    assert found.exp().tolist() == pytest.approx(wanted, abs=1e-12)
    for word in range(WORDS + EXTRA):
        alone = pointed_at(logits, gate, scores, torch.tensor(source), there, torch.tensor(word))
        if wanted[word] > 0:
            assert float(alone) == pytest.approx(float(found[word]), abs=1e-9)
        else:
            assert found[word] == -math.inf
            assert -math.inf < float(alone) < -1e3


@given(
    st.lists(EXTREME, min_size=WORDS, max_size=WORDS),
    EXTREME,
    st.lists(EXTREME, min_size=STEPS, max_size=STEPS),
    SOURCES,
    st.integers(0, STEPS),
    st.integers(0, WORDS + EXTRA - 1),
)
@settings(max_examples=200)
def test_no_finite_number_gives_nan(
    logits: list[float], gate: float, scores: list[float], source: list[int], length: int, target: int
) -> None:
    tensors = [torch.tensor(one, requires_grad=True) for one in (logits, gate, scores)]
    there = torch.arange(STEPS) < length
    alone = pointed_at(*tensors, torch.tensor(source), there, torch.tensor(target))
    assert alone.isfinite()
    alone.backward()
    for one in tensors:
        assert one.grad is not None
        assert one.grad.isfinite().all()
        one.grad = None
    whole = pointed(*tensors, torch.tensor(source), there, EXTRA)
    assert not whole.isnan().any()
    assert whole.logsumexp(0) <= 1e-4
    whole[whole.isfinite()].sum().backward()
    for one in tensors:
        assert one.grad is not None
        assert not one.grad.isnan().any()


def test_gradients() -> None:
    torch.manual_seed(0)
    tensors = [torch.randn(2, size).double().requires_grad_() for size in (WORDS, STEPS)]
    gate = torch.randn(2).double().requires_grad_()
    source = torch.tensor([[1, 5, 1, 6, 0], [2, 2, 4, 0, 0]])
    there = torch.arange(STEPS) < torch.tensor([[5], [3]])
    targets = torch.tensor([1, 4])

    def loss(logits: torch.Tensor, gate: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        return pointed_at(logits, gate, scores, source, there, targets)

    def whole(logits: torch.Tensor, gate: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        found = pointed(logits, gate, scores, source, there, EXTRA)
        return found.gather(-1, torch.tensor([[1, 5], [4, 3]]))

    assert torch.autograd.gradcheck(loss, (tensors[0], gate, tensors[1]))
    assert torch.autograd.gradcheck(whole, (tensors[0], gate, tensors[1]))


def test_coverage_is_what_is_read_again() -> None:
    weights, coverage = torch.tensor([[0.5, 0.5, 0.0]]), torch.tensor([[0.2, 0.9, 1.0]])
    assert coverage_loss(weights, coverage).tolist() == pytest.approx([0.7])
