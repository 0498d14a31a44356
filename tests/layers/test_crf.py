from itertools import pairwise, product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from latchwork.errors import ConfigError
from latchwork.layers import CRF, NO_LABEL, Allowed, bio_rules

BIO = ("O", "B-x", "I-x", "B-y", "I-y")


def made(labels: int, allowed: Allowed | None = None) -> CRF:
    crf = CRF(labels, allowed=allowed).double()
    with torch.no_grad():
        for parameter in crf.parameters():
            parameter.normal_()
    return crf


def brute_force(crf: CRF, scores: torch.Tensor) -> dict[tuple[int, ...], float]:
    """The score of every sequence of labels, term by term; those against the rules are left out."""
    found = {}
    start, follow, end = (part.detach() for part in (crf.start, crf.follow, crf.end))
    for path in product(range(crf.labels), repeat=len(scores)):
        moves = list(pairwise(path))
        if path and crf.rules_start[path[0]] < 0:
            continue
        if any(crf.rules_follow[move] < 0 for move in moves):
            continue
        total = sum(float(scores[t, label]) for t, label in enumerate(path)) + sum(
            float(follow[move]) for move in moves
        )
        found[path] = total + (float(start[path[0]] + end[path[-1]]) if path else 0.0)
    return found


@given(st.integers(1, 4), st.integers(0, 999), st.booleans())
@settings(max_examples=25)
def test_everything_is_as_by_enumeration(labels: int, seed: int, rules: bool) -> None:
    torch.manual_seed(seed)
    crf = made(labels, bio_rules(BIO[:labels]) if rules else None)
    lengths = torch.tensor([5, 3, 1, 0])
    scores = torch.randn(4, 5, labels, dtype=torch.float64)
    padded = scores.clone()
    for row, length in enumerate(lengths):
        padded[row, length:] = torch.nan
    total = crf.log_partition(padded, lengths)
    marginals = crf.marginals(padded, lengths)
    decoded, log_p = crf.decode(padded, lengths)
    for row, length in enumerate(lengths.tolist()):
        paths = brute_force(crf, scores[row, :length])
        own = torch.tensor(list(paths.values()), dtype=torch.float64)
        torch.testing.assert_close(total[row], own.logsumexp(0))
        best = max(paths, key=lambda path: paths[path])
        assert tuple(decoded[row, :length].tolist()) == best
        assert decoded[row, length:].eq(NO_LABEL).all()
        torch.testing.assert_close(log_p[row], own.max() - own.logsumexp(0))
        for path in list(paths)[:7]:
            labelled = torch.full((1, 5), -100)
            labelled[0, :length] = torch.tensor(path, dtype=torch.long)
            got = crf(padded[row : row + 1], labelled, lengths[row : row + 1])
            torch.testing.assert_close(got[0], paths[path] - total[row])
        for t in range(length):
            for label in range(labels):
                with_it = [score for path, score in paths.items() if path[t] == label]
                part = torch.tensor(with_it, dtype=torch.float64).logsumexp(0) if with_it else torch.tensor(-torch.inf)
                torch.testing.assert_close(marginals[row, t, label], (part - total[row]).exp().double())
        assert marginals[row, length:].eq(0).all()


def test_gradients() -> None:
    torch.manual_seed(1)
    crf = made(3)
    names = [name for name, _ in crf.named_parameters()]
    labels, lengths = torch.randint(0, 3, (4, 5)), torch.tensor([5, 0, 2, 1])
    scores = torch.randn(4, 5, 3, dtype=torch.float64, requires_grad=True)

    def run(s: torch.Tensor, *parameters: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(crf, dict(zip(names, parameters, strict=True)), (s, labels, lengths))

    assert torch.autograd.gradcheck(run, (scores, *crf.parameters()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_large_scores_and_nan_in_the_padding(dtype: torch.dtype) -> None:
    crf = CRF(5, allowed=bio_rules(BIO))
    scores = (torch.randn(3, 40, 5) * 500).to(dtype)
    lengths = torch.tensor([40, 7, 0])
    scores[1, 7:] = torch.nan
    scores[2] = torch.nan
    scores.requires_grad_()
    log_p = crf(scores, torch.zeros(3, 40, dtype=torch.long), lengths)
    log_p.sum().backward()
    assert log_p.dtype == torch.float32
    assert log_p.isfinite().all()
    assert log_p.le(1e-3).all()
    assert log_p[2] == 0
    assert scores.grad.isfinite().all()
    assert scores.grad[1, 7:].eq(0).all()
    assert all(parameter.grad.isfinite().all() for parameter in crf.parameters())


def test_a_row_alone_is_the_row_in_a_batch() -> None:
    torch.manual_seed(2)
    crf = made(4)
    scores, labels = torch.randn(3, 6, 4, dtype=torch.float64), torch.randint(0, 4, (3, 6))
    lengths = torch.tensor([6, 2, 4])
    whole = crf(scores, labels, lengths)
    for row, length in enumerate(lengths.tolist()):
        own = slice(row, row + 1), slice(0, length)
        torch.testing.assert_close(crf(scores[own], labels[own])[0], whole[row])


def test_rules_are_kept_whatever_the_scores() -> None:
    allowed = bio_rules(BIO)
    crf = CRF(5, allowed=allowed)
    decoded, _ = crf.decode(torch.randn(20, 12, 5) * 5)
    assert allowed.start[decoded[:, 0]].all()
    assert allowed.follow[decoded[:, :-1], decoded[:, 1:]].all()
    broken = torch.tensor([[2, 0, 4]])
    assert crf(torch.zeros(1, 3, 5), broken).item() < -1e4
    assert "rules_start" not in crf.state_dict()


def test_bio_rules() -> None:
    start, follow = bio_rules(["O", "B-x", "I-x", "B-y", "I-y", "other"])
    assert start.tolist() == [True, True, False, True, False, True]
    assert follow[:, 2].tolist() == [False, True, True, False, False, False]
    assert follow[:, 4].tolist() == [False, False, False, True, True, False]
    assert follow[:, [0, 1, 3, 5]].all()


def test_it_learns_what_follows_what() -> None:
    """Scores that say nothing: only the transitions can know that 0 and 1 take turns."""
    torch.manual_seed(0)
    crf = CRF(2)
    labels = torch.arange(8).remainder(2).expand(4, 8)
    optimiser = torch.optim.Adam(crf.parameters(), lr=0.3)
    for _ in range(40):
        optimiser.zero_grad()
        (-crf(torch.zeros(4, 8, 2), labels).mean()).backward()
        optimiser.step()
    assert torch.equal(crf.decode(torch.zeros(1, 8, 2))[0], labels[:1])


def test_marginals_under_inference_mode() -> None:
    with torch.inference_mode():
        marginals = CRF(3).marginals(torch.zeros(1, 2, 3))
    torch.testing.assert_close(marginals, torch.full((1, 2, 3), 1 / 3))


def test_no_steps_at_all() -> None:
    crf, scores, none = CRF(3), torch.zeros(2, 0, 3), torch.zeros(2, 0, dtype=torch.long)
    assert crf(scores, none).eq(0).all()
    assert crf.decode(scores)[0].shape == (2, 0)
    assert crf.marginals(scores).shape == (2, 0, 3)


def test_errors() -> None:
    with pytest.raises(ConfigError, match="labels is 0"):
        CRF(0)
    with pytest.raises(ConfigError, match="the rules are for 5 labels"):
        CRF(4, allowed=bio_rules(BIO))
