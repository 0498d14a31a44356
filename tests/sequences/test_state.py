from typing import NamedTuple

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from latchwork.errors import StateError
from latchwork.sequences import concatenate, detach, flatten, map_state, select, unflatten, where, zip_states


class Pair(NamedTuple):
    h: torch.Tensor
    c: torch.Tensor


def state(batch: int = 3, offset: float = 0.0) -> tuple:
    """Two layers and a part that is not there, rows numbered."""
    rows = torch.arange(batch, dtype=torch.float32)
    return (
        Pair(rows[:, None] + offset, rows[:, None, None] * torch.ones(2, 2) + offset),
        None,
        (Pair(rows[:, None] * 10, -rows[:, None]),),
    )


def equal(left: object, right: object) -> bool:
    a, b = flatten(left), flatten(right)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_trees_keep_their_types() -> None:
    got = map_state(lambda leaf: leaf * 2, state())
    assert isinstance(got[0], Pair)
    assert got[1] is None
    assert isinstance(got[2][0], Pair)
    assert torch.equal(got[0].h, state()[0].h * 2)


@given(rows=st.lists(st.integers(0, 2), min_size=1, max_size=5))
def test_select_takes_rows_in_order_and_repeats_them(rows: list[int]) -> None:
    for index in (rows, torch.tensor(rows)):
        assert select(state(), index)[0].h[:, 0].tolist() == rows
    assert equal(concatenate([select(state(), [row]) for row in rows]), select(state(), rows))


def test_select_by_slice() -> None:
    assert equal(select(state(), slice(1, 3)), select(state(), [1, 2]))


def test_where_picks_row_by_row_and_stops_nan() -> None:
    other = map_state(lambda leaf: leaf * torch.nan, state())
    condition = torch.tensor([True, False, True])
    picked = where(condition, state(), other)
    assert equal(select(picked, [0, 2]), select(state(), [0, 2]))
    assert all(leaf[1].isnan().all() for leaf in flatten(picked).values())


def test_detach_cuts_the_graph() -> None:
    leaf = torch.ones(2, requires_grad=True) * 2
    assert not detach((leaf,))[0].requires_grad


def test_flatten_and_unflatten() -> None:
    leaves = flatten(state())
    assert list(leaves) == ["0.h", "0.c", "2.0.h", "2.0.c"]
    assert equal(unflatten(state(5), leaves), state())
    assert isinstance(unflatten(state(), leaves)[0], Pair)


def test_unflatten_refuses_what_does_not_fit() -> None:
    leaves = flatten(state())
    with pytest.raises(StateError, match=r"missing \['0.c'\]"):
        unflatten(state(), {name: leaf for name, leaf in leaves.items() if name != "0.c"})
    with pytest.raises(StateError, match="not known"):
        unflatten(state(), {**leaves, "more": torch.zeros(3)})
    with pytest.raises(StateError, match=r"0\.h is"):
        unflatten(state(), {**leaves, "0.h": torch.zeros(3, 2)})
    with pytest.raises(StateError, match="float64"):
        unflatten(state(), {**leaves, "0.h": leaves["0.h"].double()})
    with pytest.raises(StateError, match=r"batches of \[2, 3\]"):
        unflatten(state(), {**leaves, "0.h": leaves["0.h"][:2]})


def test_only_tensors_and_tuples() -> None:
    with pytest.raises(StateError, match="list"):
        map_state(lambda leaf: leaf, [torch.zeros(1)])
    with pytest.raises(ValueError, match="argument 2"):
        zip_states(torch.add, (torch.zeros(1), torch.zeros(1)), (torch.zeros(1),))
