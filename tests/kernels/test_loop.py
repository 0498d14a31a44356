"""The reference against a fold written by hand, row by row."""

import pytest
import torch

from latchwork import kernels
from latchwork.cells import GRU, LSTM, SLSTM, Cell
from latchwork.kernels import loop
from latchwork.sequences import map_state, select


def by_hand(cell: Cell, inputs, state, lengths, resets, reverse, fresh):
    """One row at a time, one step at a time, with Python's own loops and ifs."""
    batch, time = inputs.shape[:2]
    outputs = torch.zeros(batch, time, cell.output_size)
    ends = []
    for row in range(batch):
        own = select(state, [row])
        length = int(lengths[row])
        for t in reversed(range(length)) if reverse else range(length):
            if resets[row, t] and not reverse:
                own = select(fresh, [row])
            output, own = cell.step(cell.project(inputs[row : row + 1, t]), own)
            if resets[row, t] and reverse:
                own = select(fresh, [row])
            outputs[row, t] = output[0]
        ends.append(own)
    return outputs, cell.State(*(torch.cat(leaves) for leaves in zip(*ends, strict=True)))


@pytest.mark.parametrize("kind", [GRU, LSTM, SLSTM])
@pytest.mark.parametrize("reverse", [False, True])
def test_lengths_resets_and_directions(kind: type[Cell], reverse: bool) -> None:
    torch.manual_seed(0)
    cell = kind(3, 4)
    inputs = torch.randn(6, 8, 3)
    lengths = torch.tensor([8, 5, 0, 1, 8, 3])
    resets = torch.rand(6, 8) < 0.3
    state = loop.run(cell, torch.randn(6, 2, 3))[1]
    fresh = loop.run(cell, torch.randn(6, 2, 3))[1]
    got, end = loop.run(cell, inputs, state, lengths=lengths, resets=resets, reverse=reverse, fresh=fresh)
    expected, last = by_hand(cell, inputs, state, lengths, resets, reverse, fresh)
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(tuple(end), tuple(last))


def test_a_reset_in_the_padding_does_nothing() -> None:
    cell = GRU(2, 3)
    inputs = torch.randn(2, 4, 2)
    lengths = torch.tensor([2, 4])
    resets = torch.tensor([[False, False, True, False], [False] * 4])
    for reverse in (False, True):
        got = loop.run(cell, inputs, lengths=lengths, resets=resets, reverse=reverse)
        expected = loop.run(cell, inputs, lengths=lengths, reverse=reverse)
        assert torch.equal(got[0], expected[0])
        assert torch.equal(got[1].h, expected[1].h)


def test_no_steps_and_no_rows() -> None:
    cell = LSTM(2, 3)
    outputs, state = loop.run(cell, torch.zeros(4, 0, 2))
    assert outputs.shape == (4, 0, 3)
    assert state.c.shape == (4, 3)
    outputs, state = loop.run(cell, torch.zeros(0, 5, 2))
    assert outputs.shape == (0, 5, 3)
    assert state.c.shape == (0, 3)


def test_nan_in_the_padding_leaves_no_trace() -> None:
    torch.manual_seed(0)
    cell = LSTM(2, 3)
    inputs = torch.randn(3, 5, 2)
    lengths = torch.tensor([5, 2, 0])
    results = []
    for padding in (0.0, torch.nan, torch.inf):
        padded = torch.where((torch.arange(5) < lengths[:, None])[..., None], inputs, padding).requires_grad_()
        outputs, state = loop.run(cell, padded, lengths=lengths)
        total = outputs.sum() + state.c.sum()
        results.append((outputs, *torch.autograd.grad(total, [padded, *cell.parameters()])))
    for result in results[1:]:
        for got, expected in zip(result, results[0], strict=True):
            assert torch.equal(got, expected)


def test_gradient_through_a_reset_reaches_the_fresh_state_alone() -> None:
    cell = GRU(2, 3)
    start, fresh = (map_state(lambda leaf: leaf.clone().requires_grad_(), cell.initial_state(1)) for _ in range(2))
    resets = torch.tensor([[False, False, True, False]])
    outputs, _ = kernels.run(cell, torch.randn(1, 4, 2), start, resets=resets, fresh=fresh)
    outputs[:, 3].sum().backward()
    assert start.h.grad is not None
    assert start.h.grad.eq(0).all()
    assert fresh.h.grad is not None
    assert fresh.h.grad.ne(0).any()
