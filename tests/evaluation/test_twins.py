"""Twins: what they take away, and that they take nothing else."""

from dataclasses import fields
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from latchwork.errors import ConfigError
from latchwork.evaluation.twins import Forgetful, Twin, shuffled, truncated
from latchwork.layers import Network
from latchwork.modalities.records import elapsed
from latchwork.sequences import Encoded

ROWS = ("tokens", "characters", "numbers", "mask")


def example(steps: int, seed: int = 0) -> Encoded:
    random = np.random.default_rng(seed)
    mask = (random.random((steps, 3)) < 0.5).astype(np.float32)
    times = np.cumsum(random.random(steps))
    return Encoded(
        tokens=np.arange(1, steps + 1),
        characters=random.integers(1, 9, (steps, 4)),
        numbers=(random.normal(size=(steps, 3)) * mask).astype(np.float32),
        mask=mask,
        gaps=elapsed(times, mask > 0).astype(np.float32),
        static=random.normal(size=2).astype(np.float32),
    )


@given(steps=st.integers(0, 30), seed=st.integers(0, 50))
def test_shuffled_moves_whole_steps_and_leaves_length_and_the_rest(steps: int, seed: int) -> None:
    one: Any = example(steps, seed)
    other: Any = shuffled(one, "a")
    assert len(other) == steps
    order = other.tokens - 1
    assert sorted(order.tolist()) == list(range(steps))
    for name in ROWS:
        np.testing.assert_array_equal(getattr(other, name), getattr(one, name)[order])
    assert other.static is one.static
    for field in fields(Encoded):
        before, after = getattr(one, field.name), getattr(other, field.name)
        assert (before is None) == (after is None)
        assert before is None or (before.dtype == after.dtype and before.shape == after.shape)


def test_shuffled_is_by_name_alone() -> None:
    one: Any = example(20)
    first, again, other = (shuffled(one, name).tokens for name in ("a", "a", "b"))
    np.testing.assert_array_equal(np.array(first), np.array(again))
    assert not np.array_equal(np.array(first), np.array(other))
    assert not np.array_equal(np.array(first), one.tokens)


@given(steps=st.integers(1, 30), seed=st.integers(0, 50))
def test_the_time_since_a_number_was_seen_follows_and_tells_no_order(steps: int, seed: int) -> None:
    one: Any = example(steps, seed)
    random = np.random.default_rng(seed)
    random.random((steps, 3))
    times = np.cumsum(random.random(steps))
    other: Any = shuffled(one, "a")
    np.testing.assert_allclose(other.gaps, elapsed(times, other.mask > 0), atol=1e-4)
    cut: Any = truncated(one, 4)
    np.testing.assert_allclose(cut.gaps, elapsed(times[-4:], cut.mask > 0), atol=1e-4)


@given(steps=st.integers(0, 30), keep=st.none() | st.integers(1, 40))
def test_truncated_keeps_the_end(steps: int, keep: int | None) -> None:
    one = example(steps)
    other = truncated(one, keep)
    left = min(steps, -(-steps // 4) if keep is None else keep)
    assert len(other) == left
    for name in ROWS:
        np.testing.assert_array_equal(getattr(other, name), getattr(one, name)[steps - left :])
    assert other.static is one.static


def test_columns_of_an_image_are_its_steps() -> None:
    one: Any = Encoded(image=np.arange(24, dtype=np.float32).reshape(1, 3, 8))
    moved: Any = shuffled(one, "a")
    order = moved.image[0, 0].astype(int)
    assert sorted(order.tolist()) == list(range(8))
    np.testing.assert_array_equal(moved.image, one.image[..., order])
    cut: Any = truncated(one)
    np.testing.assert_array_equal(cut.image, one.image[..., 6:])


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_a_forgetful_body_gives_what_pieces_alone_give(cell: str) -> None:
    torch.manual_seed(0)
    made = Forgetful(Network(cell=cell, hidden_size=4, bidirectional=True), 3, every=2).eval()
    values = torch.randn(2, 5, 3)
    outputs, _ = made(values, lengths=torch.tensor([5, 3]))
    for begin, end in ((0, 2), (2, 4), (4, 5)):
        torch.testing.assert_close(outputs[:1, begin:end], made.stack(values[:1, begin:end])[0])
    torch.testing.assert_close(outputs[1:, 2:3], made.stack(values[1:, 2:3])[0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("shufled", 'did you mean "shuffled"'),
        ("truncated=0", "truncated=20"),
        ("truncated=x", "truncated=20"),
        ("shuffled=3", "after truncated alone"),
    ],
)
def test_bad_names_are_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Twin.parse(text)


def test_what_is_said_in_plain_words() -> None:
    order, memory = Twin.parse("shuffled"), Twin.parse("truncated=20")
    assert order.said("accuracy", -0.2, -0.3, -0.1).startswith("order was needed: with the steps")
    assert "0.2 lower" in order.said("accuracy", -0.2, -0.3, -0.1)
    assert order.said("accuracy", -0.2, -0.5, 0.1).startswith("no sign that order was needed")
    assert order.said("accuracy", 0.2, 0.1, 0.3).startswith("order did harm")
    assert order.said("RMSE", 0.2, 0.1, 0.3, less=True).startswith("order was needed")
    assert memory.said("accuracy", -0.2, -0.3, -0.1).startswith("memory was needed: with the last 20 steps")
    assert "forgotten after every 6 steps" in memory.said("F1", -0.2, -0.3, -0.1, steps=6)
    assert "too little to tell" in order.said("accuracy", 0.2, np.nan, np.nan)
