"""Laws of the per-window normalisation."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from latchwork.tasks.normalize import last_observed, normalize, seasonal_profile

VIEWS = ("season", "level")


def window(seed: int, missing: float = 0.0, batch: int = 3, time: int = 28, targets: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    t = torch.arange(time, dtype=torch.float64).view(1, time, 1)
    values = 5 + torch.sin(2 * torch.pi * t / 7) + 0.3 * torch.randn(batch, time, targets, generator=generator).double()
    return torch.where(torch.rand(values.shape, generator=generator) < missing, torch.nan, values)


@pytest.mark.parametrize("view", VIEWS)
@settings(max_examples=25)
@given(seed=st.integers(0, 1000), shift=st.floats(-1e4, 1e4), scale=st.floats(1e-3, 1e3))
def test_inputs_know_neither_unit_nor_level(view: str, seed: int, shift: float, scale: float) -> None:
    plain = window(seed, missing=0.2)
    one, other = normalize(plain, 7, 5, view), normalize(plain * scale + shift, 7, 5, view)
    for name in ("level", "change", "observed", "context"):
        torch.testing.assert_close(getattr(one, name), getattr(other, name), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(other.base, one.base * scale + shift, rtol=1e-9, atol=1e-6)
    torch.testing.assert_close(other.scale, one.scale * scale, rtol=1e-6, atol=1e-9)


def test_season_by_hand() -> None:
    values = torch.tensor([1.0, 2, 3, 2, 4, 6], dtype=torch.float64).view(1, 6, 1)
    z = normalize(values, season=3, horizon=4)
    torch.testing.assert_close(z.scale, torch.tensor([[2.0]], dtype=torch.float64))  # (1 + 2 + 3) / 3
    torch.testing.assert_close(z.change[0, :, 0], torch.tensor([0, 0, 0, 0.5, 1.0, 1.5]))
    torch.testing.assert_close(z.level[0, :, 0], (values[0, :, 0] - 6).float() / 2)
    torch.testing.assert_close(z.base[0, :, 0], torch.tensor([2.0, 4, 6, 2], dtype=torch.float64))


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize(
    "values", [torch.full((1, 20, 1), 7.0), torch.zeros(1, 20, 1), torch.full((1, 20, 1), torch.nan)]
)
def test_windows_without_scale_stay_finite(view: str, values: torch.Tensor) -> None:
    z = normalize(values.double(), 5, 6, view)
    assert all(torch.isfinite(leaf).all() for leaf in z)
    assert (z.scale > 0).all()
    torch.testing.assert_close(z.base, values.double().nan_to_num()[:, :6])


def test_missing_values_are_taken_from_the_season_before() -> None:
    values = torch.arange(9, dtype=torch.float64).view(1, 9, 1).clone()
    values[0, 7] = values[0, 4] = torch.nan
    profile = seasonal_profile(values, 3)
    assert profile[0, :, 0].tolist() == [6.0, 1.0, 8.0]
    values[0, 8] = torch.nan
    assert last_observed(values, torch.zeros(1, 1, dtype=torch.float64)).item() == 6.0


def test_nan_of_one_row_never_reaches_another() -> None:
    clean = window(1)
    dirty = clean.clone()
    dirty[0] = torch.nan
    for one, other in zip(normalize(clean, 7, 5), normalize(dirty, 7, 5), strict=True):
        torch.testing.assert_close(one[1:], other[1:], rtol=0, atol=0)
