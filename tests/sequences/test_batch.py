import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from latchwork.errors import DataError
from latchwork.sequences import Batch, mask_from_lengths


@given(lengths=st.lists(st.integers(0, 6), min_size=1, max_size=5))
def test_mask(lengths: list[int]) -> None:
    mask = mask_from_lengths(torch.tensor(lengths), 6)
    assert mask.sum(1).tolist() == lengths
    assert mask.tolist() == [[t < length for t in range(6)] for length in lengths]


def test_shapes_are_checked() -> None:
    values = torch.zeros(2, 4, 3)
    Batch(values, torch.tensor([0, 4]), torch.zeros(2, 4, dtype=torch.bool))
    with pytest.raises(DataError, match="one for each row"):
        Batch(values, torch.tensor([1, 2, 3]))
    with pytest.raises(DataError, match="resets"):
        Batch(values, None, torch.zeros(4, 2, dtype=torch.bool))


@pytest.mark.parametrize("lengths", [[5, 0], [-1, 3]])
def test_lengths_lie_in_the_batch(lengths: list[int]) -> None:
    with pytest.raises(DataError, match="expected 0 to 4"):
        Batch(torch.zeros(2, 4, 3), torch.tensor(lengths))


def test_to_moves_what_is_there() -> None:
    batch = Batch(torch.zeros(2, 4, 3), lengths=torch.tensor([1, 2])).to("meta")
    assert batch.values.device.type == "meta"
    assert batch.lengths is not None
    assert batch.lengths.device.type == "meta"
    assert batch.resets is None
