"""The choice is explained and is what runs; nothing falls back in silence."""

import pytest
import torch

from latchwork import kernels
from latchwork.cells import GRU, LSTM, Cell, MinGRU
from latchwork.errors import ConfigError, DataError, KernelError


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """As installed without the engine."""
    monkeypatch.setattr(kernels.cpu, "engine", lambda: None)


@pytest.mark.skipif(kernels.engine() is None, reason="latchwork was installed without its engine")
@pytest.mark.parametrize("cell", [LSTM(3, 5), MinGRU(3, 5)])
def test_auto_takes_the_engine(cell: Cell) -> None:
    assert kernels.choose(cell).name == "cpu"
    assert kernels.choose(cell, lengths=torch.tensor([1, 2]), resets=torch.ones(2, 4, dtype=torch.bool)).name == "cpu"
    assert kernels.choose(cell).reason.endswith(kernels.instruction_set())


def test_auto_without_the_engine_takes_pytorchs_own_where_it_can(bare: None) -> None:
    choice = kernels.choose(LSTM(3, 5))
    assert choice.name == "torch"
    assert str(choice).startswith(
        "torch: LSTM is PyTorch's own, fused; the engine can't: latchwork was installed without"
    )


def test_auto_says_why_it_takes_the_loop(bare: None) -> None:
    assert "MinGRU is not one of PyTorch's own" in kernels.choose(MinGRU(3, 5)).reason
    assert "resets" in kernels.choose(LSTM(3, 5), resets=torch.ones(2, 4, dtype=torch.bool)).reason


def test_ragged_rows_on_a_cpu_are_packed_by_order_only(bare: None) -> None:
    lengths = torch.tensor([2, 4])
    assert kernels.choose(LSTM(3, 5), lengths=lengths).name == "loop"
    assert "packing" in kernels.choose(LSTM(3, 5), lengths=lengths).reason
    assert kernels.choose(LSTM(3, 5), "torch", lengths=lengths).name == "torch"
    assert kernels.choose(GRU(3, 5), lengths=lengths).name == "torch"


def test_a_name_that_can_not_run_raises() -> None:
    with pytest.raises(KernelError, match="MinGRU"):
        kernels.choose(MinGRU(3, 5), "torch")
    with pytest.raises(KernelError, match="MinGRU"):
        kernels.run(MinGRU(3, 5), torch.zeros(1, 2, 3), kernel="torch")
    with pytest.raises(ConfigError, match='did you mean "torch"'):
        kernels.choose(LSTM(3, 5), "torhc")


@pytest.mark.parametrize(
    ("kernel", "expected"), [("auto", "cpu" if kernels.engine() else "torch"), ("torch", "torch"), ("loop", "loop")]
)
def test_what_was_chosen_is_what_runs(monkeypatch: pytest.MonkeyPatch, kernel: str, expected: str) -> None:
    ran = []
    for name, run in kernels.KERNELS.items():
        monkeypatch.setitem(kernels.KERNELS, name, lambda *a, _n=name, _r=run, **o: (ran.append(_n), _r(*a, **o))[1])
    kernels.run(LSTM(3, 5), torch.zeros(1, 2, 3), kernel=kernel)
    assert ran == [expected]


def test_full_lengths_are_no_lengths() -> None:
    assert kernels.ragged(torch.tensor([4, 4]), 4) is None
    lengths = torch.tensor([4, 3])
    assert kernels.ragged(lengths, 4) is lengths
    assert kernels.ragged(None, 4) is None


@pytest.mark.parametrize("lengths", [[5, 1], [-1, 4]])
def test_lengths_outside_the_batch(lengths: list[int]) -> None:
    with pytest.raises(DataError, match="expected 0 to 4"):
        kernels.run(GRU(3, 5), torch.zeros(2, 4, 3), lengths=torch.tensor(lengths))
