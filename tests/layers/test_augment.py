"""Augmentation: the same for the same seed and step, padding untouched, and mask and time still telling the truth."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from latchwork.errors import ConfigError
from latchwork.layers import Augment
from latchwork.layers.augment import crop, flip, jitter, scale, shift, time_mask, value_dropout, warp, word_dropout
from latchwork.sequences import Features, Inputs, mask_from_lengths

LENGTHS = torch.tensor([9, 4, 1, 0])
EVERYTHING = {
    "jitter": 0.1,
    "scale": 0.2,
    "time_mask": 0.5,
    "value_dropout": 0.3,
    "word_dropout": 0.4,
    "crop": 0.5,
    "warp": 0.3,
    "flip": 0.5,
    "shift": 0.4,
}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def times_and_gaps(mask: torch.Tensor, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Random times of the steps, and the time since each number was seen, step by step."""
    batch, steps, _ = mask.shape
    elapsed = torch.randint(1, 9, (batch, steps), generator=generator(seed)).float()
    elapsed[:, 0] = 0
    return elapsed.cumsum(1), gaps_of(elapsed, mask)


def gaps_of(elapsed: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    gaps = torch.zeros_like(mask)
    for t in range(1, mask.shape[1]):
        gaps[:, t] = elapsed[:, t, None] + gaps[:, t - 1] * (1 - mask[:, t - 1])
    return gaps


def everything(seed: int = 0) -> Inputs:
    rng = generator(seed)
    there = mask_from_lengths(LENGTHS, 9)
    mask = (torch.rand(4, 9, 3, generator=rng) < 0.6).float()
    _, gaps = times_and_gaps(mask)
    return Inputs(
        LENGTHS,
        tokens=torch.randint(2, 20, (4, 9), generator=rng) * there,
        characters=torch.randint(1, 9, (4, 9, 5), generator=rng) * there[..., None],
        numbers=torch.randn(4, 9, 3, generator=rng) * mask * there[..., None],
        mask=mask * there[..., None],
        gaps=gaps * there[..., None],
        static=torch.randn(4, 2, generator=rng),
        image=torch.randn(4, 2, 6, 9, generator=rng) * there[:, None, None],
    )


def same(one: Inputs, other: Inputs) -> bool:
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in Inputs._fields)


@pytest.mark.parametrize("name", EVERYTHING)
def test_seed_and_step_decide_alone(name: str) -> None:
    inputs, kept = everything(), everything()
    augment = Augment(**{name: EVERYTHING[name]})
    torch.manual_seed(1)
    first = augment.apply(inputs, 7, 3)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert same(first, augment.apply(inputs, 7, 3))
    assert torch.equal(torch.get_rng_state(), state)
    assert same(inputs, kept)
    assert not same(first, inputs)
    assert any(not same(first, augment.apply(inputs, 7, step)) for step in range(4, 8))
    assert any(not same(first, augment.apply(inputs, seed, 3)) for seed in range(8, 12))


def test_what_is_off_does_nothing() -> None:
    inputs = everything()
    assert Augment().apply(inputs, 0, 0) is inputs
    assert Augment().on == ()
    assert Augment().describe() == ()


@pytest.mark.parametrize("name", EVERYTHING)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_padding_stays_zero_and_static_numbers_stay(name: str, seed: int) -> None:
    inputs = everything()
    after = Augment(**{name: EVERYTHING[name]}).apply(inputs, seed, 0)
    assert torch.equal(after.static, inputs.static)
    for field in ("tokens", "characters", "numbers", "mask", "gaps", "image"):
        value = getattr(after, field)
        assert value.dtype == getattr(inputs, field).dtype
        assert value.isfinite().all()
        lengths = inputs.lengths if field == "image" else after.lengths
        for row, length in enumerate(lengths):
            beyond = value[row, ..., length:] if field == "image" else value[row, length:]
            assert beyond.eq(0).all(), field
    if name != "warp":  # which is for numbers that are never missing
        assert after.numbers[after.mask == 0].eq(0).all()


def test_one_more_leaves_the_others_numbers() -> None:
    inputs = everything()
    alone = Augment(word_dropout=0.3).apply(inputs, 1, 2)
    both = Augment(word_dropout=0.3, jitter=0.1).apply(inputs, 1, 2)
    assert torch.equal(alone.tokens, both.tokens)


def test_jitter_and_scale() -> None:
    inputs = Inputs(torch.tensor([2000]), numbers=torch.ones(1, 2000, 2))
    noise = jitter(inputs, 0.3, generator()).numbers - 1
    assert noise.std().item() == pytest.approx(0.3, abs=0.03)
    scaled = scale(inputs, 0.3, generator()).numbers
    assert scaled.std(1).abs().max() < 1e-5
    assert scaled[0, 0, 0] != scaled[0, 0, 1]
    masked = everything()
    assert torch.equal(jitter(masked, 1.0, generator()).numbers == 0, masked.numbers == 0)


def test_word_dropout_reads_some_as_unknown() -> None:
    inputs = Inputs(torch.tensor([1000]), tokens=torch.arange(2, 1002)[None])
    after = word_dropout(inputs, 0.25, generator(), unknown=1).tokens
    changed = after != inputs.tokens
    assert after[changed].eq(1).all()
    assert changed.float().mean().item() == pytest.approx(0.25, abs=0.05)


@given(st.integers(0, 10_000), st.floats(0.0, 0.99), st.sampled_from([time_mask, value_dropout]))
@settings(max_examples=40)
def test_gaps_follow_what_is_hidden(seed: int, amount: float, function) -> None:
    mask = (torch.rand(2, 8, 3, generator=generator(seed)) < 0.6).float()
    times, gaps = times_and_gaps(mask, seed)
    inputs = Inputs(torch.tensor([8, 8]), numbers=torch.randn(2, 8, 3) * mask, mask=mask, gaps=gaps)
    after = function(inputs, amount, generator(seed + 1))
    assert (after.mask <= mask).all()
    elapsed = torch.cat((torch.zeros(2, 1), times.diff(dim=1)), 1)
    torch.testing.assert_close(after.gaps, gaps_of(elapsed, after.mask))
    kept = after.mask > 0
    assert torch.equal(after.numbers[kept], inputs.numbers[kept])


@given(st.integers(0, 10_000), st.floats(0.0, 0.99))
@settings(max_examples=40)
def test_a_crop_is_a_stretch_with_all_that_stands_at_its_steps(seed: int, amount: float) -> None:
    inputs = everything(seed)
    times, gaps = times_and_gaps(inputs.mask, seed)
    inputs = inputs._replace(gaps=gaps * mask_from_lengths(LENGTHS, 9)[..., None])
    after = crop(inputs, amount, generator(seed))
    assert (after.lengths >= (1 - amount) * LENGTHS - 1e-6).all()
    assert ((after.lengths > 0) == (LENGTHS > 0)).all()
    for row in range(4):
        length = int(after.lengths[row])
        spans = [
            s for s in range(10 - length) if torch.equal(after.tokens[row, :length], inputs.tokens[row, s:][:length])
        ]
        assert spans
        start = next(
            s for s in spans if torch.equal(after.characters[row, :length], inputs.characters[row, s:][:length])
        )
        own = slice(start, start + length)
        assert torch.equal(after.numbers[row, :length], inputs.numbers[row, own])
        assert torch.equal(after.mask[row, :length], inputs.mask[row, own])
        elapsed = times[row : row + 1, own].diff(dim=1, prepend=times[row : row + 1, own][:, :1])
        expected = gaps_of(elapsed, inputs.mask[row : row + 1, own])[0]
        torch.testing.assert_close(after.gaps[row, :length], expected)


def test_time_mask_blanks_one_stretch() -> None:
    lengths = torch.tensor([20, 7])
    inputs = Inputs(lengths, numbers=torch.ones(2, 20, 2) * mask_from_lengths(lengths, 20)[..., None])
    widths = set()
    for seed in range(40):
        gone = (time_mask(inputs, 0.5, generator(seed)).numbers == 0).all(-1)
        for row, length in enumerate(lengths.tolist()):
            places = gone[row, :length].nonzero().flatten()
            assert len(places) <= length // 2
            assert not len(places) or places[-1] - places[0] == len(places) - 1
            widths.add(len(places))
    assert widths == set(range(11))


def test_warp_keeps_the_ends_and_the_order() -> None:
    lengths = torch.tensor([30, 11, 1])
    ramp = torch.arange(30.0).expand(3, 30) * mask_from_lengths(lengths, 30)
    for seed in range(10):
        after = warp(Inputs(lengths, numbers=ramp[..., None]), 0.5, generator(seed)).numbers[..., 0]
        for row, length in enumerate(lengths.tolist()):
            own = after[row, :length]
            assert own[0].item() == pytest.approx(0, abs=1e-5)
            assert own[-1].item() == pytest.approx(length - 1, abs=1e-4)
            assert (own.diff() > 0).all()
            assert after[row, length:].eq(0).all()
        assert not torch.allclose(after[0], ramp[0], atol=0.1) or seed


def test_flip_turns_each_image_within_its_own_width() -> None:
    inputs = everything()
    turned = flip(inputs, 1.0, generator()).image
    for row, width in enumerate(LENGTHS.tolist()):
        assert torch.equal(turned[row, ..., :width], inputs.image[row, ..., :width].flip(-1))
    back = flip(inputs._replace(image=turned), 1.0, generator()).image
    assert torch.equal(back, inputs.image)


def test_shift_moves_an_image_and_brings_in_zeros() -> None:
    inputs = everything()
    seen = set()
    for seed in range(20):
        moved = shift(inputs, 0.3, generator(seed)).image[0]
        found = [
            (down, right)
            for down in range(-2, 3)
            for right in range(-3, 4)
            if np.array_equal(moved.numpy(), _moved(inputs.image[0].numpy(), down, right))
        ]
        assert len(found) == 1
        seen.add(found[0])
    assert len(seen) > 8


def _moved(image: np.ndarray, down: int, right: int) -> np.ndarray:
    rows, columns = image.shape[1:]
    large = np.pad(image, ((0, 0), (5, 5), (5, 5)))
    return large[:, 5 - down : 5 - down + rows, 5 - right : 5 - right + columns]


def test_what_is_said_of_it() -> None:
    augment = Augment(jitter=0.05, word_dropout=0.1)
    assert augment.on == ("jitter", "word_dropout")
    assert augment.describe() == (
        "jitter: noise of deviation 0.05 on numbers and pixels",
        "word_dropout: 10% of the tokens read as unknown",
    )
    assert not augment.moves_steps
    assert Augment(crop=0.1).moves_steps


def test_errors() -> None:
    for name in EVERYTHING:
        with pytest.raises(ConfigError, match=f"{name} is -0.1"):
            Augment(**{name: -0.1})
    with pytest.raises(ConfigError, match=r"crop is 1\.0"):
        Augment(crop=1.0)
    with pytest.raises(ConfigError, match="jitter is nan"):
        Augment(jitter=float("nan"))
    assert Augment(flip=1.0).on == ("flip",)
    for name, features in (
        ("flip", Features(numbers=2)),
        ("word_dropout", Features(image=(1, 8))),
        ("value_dropout", Features(numbers=2)),
        ("warp", Features(numbers=2, masked=True)),
        ("crop", Features(image=(1, 8))),
        ("jitter", Features(vocabulary=8)),
    ):
        with pytest.raises(ConfigError, match=f"{name} is for "):
            Augment(**{name: 0.1}).check(features)
    Augment(jitter=0.1, scale=0.1, warp=0.1, crop=0.1, time_mask=0.1).check(Features(numbers=2, static=1))
