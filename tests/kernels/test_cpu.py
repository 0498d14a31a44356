"""The engine gives the reference's numbers, a row's own bits in any company, and says when it can't run."""

import gc
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from latchwork import doctor, kernels
from latchwork.cells import CELLS, GRU, LSTM, SLSTM, Cell, HiddenState, LayerNormLSTM, MinGRU
from latchwork.errors import ConfigError, KernelError
from latchwork.kernels import native
from latchwork.layers import Recurrent
from latchwork.layers.regularize import RecurrentDropout, Zoneout
from latchwork.sequences import flatten, select

pytestmark = pytest.mark.skipif(kernels.engine() is None, reason="latchwork was installed without its engine")

SETS = [name for name, missing in (kernels.engine().instruction_sets() if kernels.engine() else []) if not missing]


@pytest.fixture(autouse=True)
def poisoned() -> Any:
    """Scratch memory starts as NaN, so that whatever is read before it was written shows."""
    native.required().poison(True)
    yield
    native.required().poison(False)


def weighted(results: tuple[Any, Any], generator: torch.Generator) -> torch.Tensor:
    leaves = [results[0], *flatten(results[1]).values()]
    return torch.stack(
        [(leaf * torch.randn(leaf.shape, generator=generator, dtype=leaf.dtype)).sum() for leaf in leaves]
    ).sum()


def everything(cell: Cell, kernel: str, inputs: torch.Tensor, **options: Any) -> list[torch.Tensor]:
    """Outputs, final state and the gradients of inputs, initial state, fresh state and parameters."""
    generator = torch.Generator().manual_seed(3)
    batch = len(inputs)
    inputs = inputs.clone().requires_grad_()
    kind = type(cell.initial_state(batch))
    shapes = [leaf.shape for leaf in cell.initial_state(batch)]
    state = kind(*(torch.rand(shape, generator=generator, dtype=inputs.dtype).requires_grad_() for shape in shapes))
    fresh = kind(*(torch.rand(shape, generator=generator, dtype=inputs.dtype).requires_grad_() for shape in shapes))
    outputs, final = kernels.run(cell, inputs, state, fresh=fresh, kernel=kernel, **options)
    wanted = [inputs, *state, *fresh, *cell.parameters()]
    grads = torch.autograd.grad(
        weighted((outputs, final), generator), wanted, allow_unused=True, materialize_grads=True
    )
    return [outputs, *final, *grads]


def close(got: list[torch.Tensor], expected: list[torch.Tensor], tolerance: float) -> None:
    for index, (one, other) in enumerate(zip(got, expected, strict=True)):
        scale = max(1.0, float(other.detach().abs().max())) if other.numel() else 1.0
        torch.testing.assert_close(
            one, other, atol=tolerance * scale, rtol=0, msg=lambda m, i=index: f"result {i}: {m}"
        )


@pytest.mark.parametrize("instructions", SETS)
@pytest.mark.parametrize("name", CELLS)
def test_every_cell_on_every_instruction_set(name: str, instructions: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(native.VARIABLE, instructions)
    torch.manual_seed(0)
    cell = CELLS[name](5, 20)
    inputs = torch.randn(9, 6, 5)
    assert instructions in kernels.choose(cell, "cpu").reason
    close(everything(cell, "cpu", inputs), everything(cell, "loop", inputs), 1e-5)


@settings(max_examples=40)
@given(
    name=st.sampled_from(sorted(CELLS)),
    batch=st.integers(1, 20),
    time=st.integers(1, 8),
    hidden=st.integers(1, 70),
    ragged=st.booleans(),
    reset=st.booleans(),
    reverse=st.booleans(),
    threads=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_any_batch(
    name: str, batch: int, time: int, hidden: int, ragged: bool, reset: bool, reverse: bool, threads: int, seed: int
) -> None:
    torch.manual_seed(seed)
    if name == "layernorm_lstm":  # the norm of one or two numbers is all rounding
        hidden += 4
    cell = CELLS[name](3, hidden)
    inputs = torch.randn(batch, time, 3)
    options: dict[str, Any] = {"reverse": reverse}
    if ragged:
        options["lengths"] = torch.randint(0, time + 1, (batch,))
    if reset:
        options["resets"] = torch.rand(batch, time) < 0.3
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        close(everything(cell, "cpu", inputs, **options), everything(cell, "loop", inputs, **options), 2e-5)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("reverse", [False, True])
def test_more_rows_than_a_task_takes(reverse: bool) -> None:
    torch.manual_seed(1)
    cell = LSTM(4, 130)
    inputs, lengths = torch.randn(700, 3, 4), torch.randint(0, 4, (700,))
    close(
        everything(cell, "cpu", inputs, lengths=lengths, reverse=reverse),
        everything(cell, "loop", inputs, lengths=lengths, reverse=reverse),
        2e-5,
    )


@pytest.mark.parametrize("wrapped", ["recurrent dropout", "zoneout", "zoneout in evaluation"])
@pytest.mark.parametrize("name", ["lstm", "gru", "slstm", "layernorm_lstm"])
def test_masks_are_part_of_the_program(name: str, wrapped: str) -> None:
    torch.manual_seed(2)
    inner, key = CELLS[name](3, 12), torch.tensor(7)
    wraps = {
        "recurrent dropout": lambda: RecurrentDropout(inner, 0.4, key),
        "zoneout": lambda: Zoneout(inner, 0.4, key),
        "zoneout in evaluation": lambda: Zoneout(inner, 0.4),
    }
    inputs, lengths = torch.randn(5, 6, 3), torch.tensor([6, 2, 0, 5, 1])
    for options in ({}, {"lengths": lengths}):
        got, expected = (everything(wraps[wrapped](), kernel, inputs, **options) for kernel in ("cpu", "loop"))
        close(got, expected, 1e-5)


@pytest.mark.parametrize("instructions", SETS)
@pytest.mark.parametrize("name", CELLS)
def test_a_row_alone_has_the_bits_it_has_in_any_batch(
    name: str, instructions: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(native.VARIABLE, instructions)
    torch.manual_seed(4)
    cell = CELLS[name](7, 136)  # several chunks of columns, the last one not full
    inputs, lengths = torch.randn(13, 9, 7), torch.randint(1, 10, (13,))
    with torch.no_grad():
        outputs, state = kernels.run(cell, inputs, kernel="cpu")
        some, _ = kernels.run(cell, inputs, kernel="cpu", lengths=lengths)
        for row in range(13):
            alone, end = kernels.run(cell, inputs[row : row + 1], kernel="cpu")
            assert torch.equal(alone, outputs[row : row + 1])
            assert all(map(torch.equal, end, select(state, [row])))
            length = int(lengths[row])
            assert torch.equal(some[row, :length], alone[0, :length])
        for rows in (2, 5, 8):
            assert torch.equal(kernels.run(cell, inputs[:rows], kernel="cpu")[0], outputs[:rows])


def test_chunks_have_the_bits_of_the_whole() -> None:
    cell = GRU(3, 20)
    inputs = torch.randn(4, 10, 3)
    with torch.no_grad():
        whole, end = kernels.run(cell, inputs, kernel="cpu")
        first, state = kernels.run(cell, inputs[:, :3], kernel="cpu")
        second, state = kernels.run(cell, inputs[:, 3:], state, kernel="cpu")
    assert torch.equal(torch.cat((first, second), 1), whole)
    assert torch.equal(state.h, end.h)


def test_the_number_of_threads_changes_no_output() -> None:
    cell, inputs = LSTM(3, 40), torch.randn(11, 7, 3)
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            with torch.no_grad():
                found.append(kernels.run(cell, inputs, kernel="cpu")[0])
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_the_same_seed_gives_the_same_gradients() -> None:
    cell, inputs = LayerNormLSTM(3, 40), torch.randn(11, 7, 3)
    once, again = (everything(cell, "cpu", inputs) for _ in range(2))
    assert all(map(torch.equal, once, again))


def test_no_padding_is_read_or_counted() -> None:
    cell, lengths = LSTM(3, 8), torch.tensor([4, 0, 2])
    inputs = torch.randn(3, 5, 3)
    clean = everything(cell, "cpu", inputs, lengths=lengths)
    for row, length in enumerate(lengths):
        inputs[row, length:] = torch.nan
    assert all(map(torch.equal, everything(cell, "cpu", inputs, lengths=lengths), clean))


def test_weights_changed_behind_torchs_back_are_read_anew() -> None:
    """An average of weights is kept by edits through .data, which torch does not count."""
    cell, inputs = LSTM(3, 8), torch.randn(2, 4, 3)
    with torch.no_grad():
        kernels.run(cell, inputs, kernel="cpu")
        for parameter in cell.parameters():
            parameter.data.mul_(0.5)
        torch.testing.assert_close(
            kernels.run(cell, inputs, kernel="cpu")[0], kernels.run(cell, inputs, kernel="loop")[0]
        )
        cell.load_state_dict({name: value * 3 for name, value in cell.state_dict().items()})
        torch.testing.assert_close(
            kernels.run(cell, inputs, kernel="cpu")[0], kernels.run(cell, inputs, kernel="loop")[0]
        )
    with torch.inference_mode():
        other = GRU(3, 8)
        torch.testing.assert_close(
            kernels.run(other, inputs, kernel="cpu")[0], kernels.run(other, inputs, kernel="loop")[0]
        )


def test_two_threads_at_once() -> None:
    cells = [GRU(3, 24), LSTM(3, 24), SLSTM(3, 24)]
    inputs = torch.randn(6, 20, 3)

    def one(index: int) -> torch.Tensor:
        with torch.no_grad():
            return kernels.run(cells[index % 3], inputs, kernel="cpu")[0]

    expected = [one(index) for index in range(3)]
    with ThreadPoolExecutor(4) as pool:
        for index, found in enumerate(pool.map(one, range(60))):
            assert torch.equal(found, expected[index % 3])


class _Odd(Cell):
    """A cell that no library has: a leak of its own for each unit, a maximum, a division, and a constant."""

    gates = ("a", "b")

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.input = nn.Linear(input_size, 2 * hidden_size)
        self.recurrent = nn.Linear(hidden_size, 2 * hidden_size, bias=False)
        self.rate = nn.Parameter(torch.zeros(hidden_size))
        self.reset_parameters()

    def project(self, inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (self.input(inputs),)

    def step(self, projected: Any, state: Any, constants: Any = ()) -> tuple[torch.Tensor, Any]:
        a, b = (projected[0] + self.recurrent(state.h)).chunk(2, -1)
        leak = self.rate.sigmoid()
        h = (1 - leak) * state.h + leak * torch.maximum(a.tanh(), b) / (1 + b.square())
        if constants:
            h = h + constants[0] * a.sigmoid()
        return h, HiddenState(h=h)


def test_a_cell_of_ones_own_with_constants() -> None:
    torch.manual_seed(5)
    cell, inputs = _Odd(3, 21), torch.randn(6, 5, 3)
    results = []
    for kernel in ("cpu", "loop"):
        constant = torch.ones(6, 21).mul(0.3).requires_grad_()
        outputs, _ = kernels.run(
            cell, inputs, kernel=kernel, constants=(constant,), lengths=torch.tensor([5, 1, 0, 3, 5, 2])
        )
        grads = torch.autograd.grad(outputs.square().sum(), [constant, *cell.parameters()])
        results.append([outputs, *grads])
    close(*results, 1e-5)
    assert kernels.choose(cell).name == "cpu"


class _Sorted(_Odd):
    def step(self, projected: Any, state: Any, constants: Any = ()) -> tuple[torch.Tensor, Any]:
        h = (projected[0][..., : self.hidden_size] + state.h).sort(-1).values
        return h, HiddenState(h=h)


def test_what_no_program_can_say_is_refused_by_name_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    cell, inputs = _Sorted(3, 8), torch.randn(2, 3, 3)
    with pytest.raises(KernelError, match="sort"):
        kernels.run(cell, inputs, kernel="cpu")
    with caplog.at_level(logging.WARNING, logger="latchwork"):
        choice = kernels.choose(cell)
    assert choice.name == "loop"
    assert "sort" in choice.reason
    assert "sort" in caplog.text
    torch.testing.assert_close(kernels.run(cell, inputs)[0], kernels.run(cell, inputs, kernel="loop")[0])


def test_without_the_extension(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels.cpu, "engine", lambda: None)
    monkeypatch.setattr(doctor, "engine", lambda: None)
    assert kernels.choose(LSTM(3, 5)).name == "torch"
    assert "without its engine" in kernels.choose(MinGRU(3, 5)).reason
    with pytest.raises(KernelError, match="pip install"):
        kernels.run(LSTM(3, 5), torch.zeros(1, 2, 3), kernel="cpu")
    assert "without its engine" in doctor.engine_facts()[0][1]


def test_an_unknown_instruction_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(native.VARIABLE, "avx3")
    with pytest.raises(ConfigError, match="LATCHWORK_CPU=avx3"):
        kernels.run(LSTM(3, 5), torch.zeros(1, 2, 3), kernel="cpu")


def test_doctor_names_the_instruction_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(native.VARIABLE, "portable")
    said = doctor.engine_facts()[0][1]
    assert said.startswith("portable (forced by LATCHWORK_CPU)")


@pytest.mark.parametrize("name", ["lstm", "gru", "layernorm_lstm", "rnn", "peephole_lstm", "slstm"])
def test_bfloat16_is_no_further_off_than_torch_is(name: str) -> None:
    torch.manual_seed(6)
    cell = CELLS[name](16, 64)
    inputs = torch.randn(5, 40, 16)

    def results(kernel: str, narrow: bool) -> list[torch.Tensor]:
        cell.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=narrow):
            outputs, state = kernels.run(cell, inputs, kernel=kernel)
        if narrow and kernel == "cpu":
            assert outputs.dtype == torch.bfloat16
            assert all(leaf.dtype == torch.float32 for leaf in state)  # the state is never rounded
        (outputs.float().square().sum() / 100).backward()
        grads = [parameter.grad for parameter in cell.parameters()]
        return [outputs.detach().float(), *(grad.clone() for grad in grads if grad is not None)]

    exact, ours, theirs = results("loop", False), results("cpu", True), results("loop", True)
    for index, (expected, one, other) in enumerate(zip(exact, ours, theirs, strict=True)):
        error = (one - expected).norm() / expected.norm()
        assert error < max(0.01, 1.1 * float((other - expected).norm() / expected.norm())), index
    layer = CELLS[name](16, 64).bfloat16()
    outputs, state = kernels.run(layer, inputs.bfloat16(), kernel="cpu")
    assert outputs.dtype == torch.bfloat16
    assert all(leaf.dtype == torch.bfloat16 for leaf in state)


def test_a_layer_says_and_runs_the_same() -> None:
    layer = Recurrent(LSTM(3, 8), recurrent_dropout=0.2, zoneout=0.1)
    assert layer.explain_kernel(torch.zeros(1, 2, 3)).name == "cpu"
    forced = Recurrent(LSTM(3, 8), kernel="loop")
    assert forced.explain_kernel(torch.zeros(1, 2, 3)).name == "loop"


@pytest.mark.parametrize("kernel", ["cpu", "loop"])
@pytest.mark.parametrize("name", CELLS)
def test_a_pass_leaves_nothing_for_the_garbage_collector(name: str, kernel: str) -> None:
    """What holds itself keeps its arrays until the garbage is collected: they grow, and each pass maps new ones."""
    cell = CELLS[name](3, 4)
    inputs = torch.randn(2, 5, 3)

    def train() -> None:
        outputs, state = kernels.run(cell, inputs, kernel=kernel, lengths=torch.tensor([5, 3]))
        (outputs.sum() + sum(leaf.sum() for leaf in flatten(state).values())).backward()

    train()
    gc.collect()
    gc.disable()
    try:
        train()
        assert gc.collect() == 0
    finally:
        gc.enable()
