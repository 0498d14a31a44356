"""Every cell as programs gives what autograd gives; programs are made once for each structure."""

import copy
import threading
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from latchwork.cells import ACTIVATIONS, CELLS, GRU, LSTM, RNN, SLSTM, Cell, HiddenState, LayerNormLSTM, PeepholeLSTM
from latchwork.errors import KernelError
from latchwork.kernels import cell_program
from latchwork.kernels.cell_program import program_for, tensors_of
from latchwork.kernels.program import Program
from latchwork.layers.bind import bound
from latchwork.layers.regularize import RecurrentDropout, Zoneout, draw_key, drop_weights, regularized

WITH_RECURRENT = [name for name in CELLS if not name.startswith("min")]


def made(cell: Cell) -> Cell:
    """In float64, with weights that are random, distinct and not zero."""
    cell = cell.double()
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.4 + 0.1)
    return cell


def widths(program: Program) -> set[int]:
    return {op.width for op in program.ops}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", CELLS)
def test_cells(check_program, name: str, bias: bool) -> None:
    cell = made(CELLS[name](3, 6, bias=bias))
    program = check_program(cell)
    assert program.name == type(cell).__name__
    assert program.project is not None
    # Whatever it computes, a unit's gates lie side by side: nothing is torn into smaller pieces.
    assert widths(program.forward) | widths(program.backward) <= {6, 1}
    assert program.affine == name.startswith("min")
    check_program(cell, start="fresh")


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations(check_program, activation: str) -> None:
    program = check_program(made(RNN(3, 5, activation=activation)))
    assert program.affine == (activation == "linear")


@pytest.mark.parametrize("heads", [1, 2, 3, 6])
def test_heads(check_program, heads: int) -> None:
    program = check_program(made(SLSTM(2, 6, heads=heads)))
    products = [op for op in program.forward.ops if op.terms]
    assert len(products) == (4 if heads < 6 else 0)  # six heads of one unit are a diagonal
    assert all(term.heads == heads for op in products for term in op.terms)
    assert widths(program.backward) == {6}


def test_a_projected_output(check_program) -> None:
    program = check_program(made(LSTM(3, 6, proj_size=2)))
    assert (program.output, program.state) == (2, (2, 6))


@pytest.mark.parametrize("name", WITH_RECURRENT)
def test_wrappers(check_program, name: str) -> None:
    cell = made(CELLS[name](3, 4))
    for wrap in (
        lambda: RecurrentDropout(cell, 0.4, draw_key()),
        lambda: Zoneout(cell, 0.4, draw_key()),
        lambda: Zoneout(cell, 0.4),
        lambda: drop_weights(cell, 0.4, draw_key()),
        lambda: regularized(cell, recurrent_dropout=0.2, zoneout=0.3, weight_drop=0.4, key=draw_key()),
    ):
        first = check_program(wrap())
        # They are made anew for each pass, with other masks and the same structure.
        assert program_for(wrap(), dtype=torch.float64) is first
    assert program_for(Zoneout(cell, 0.4), dtype=torch.float64) is not program_for(
        Zoneout(cell, 0.5), dtype=torch.float64
    )
    assert program_for(drop_weights(cell, 0.4, draw_key()), dtype=torch.float64) is program_for(
        cell, dtype=torch.float64
    )


def test_the_projection_of_masks_is_refused() -> None:
    program = program_for(RecurrentDropout(LSTM(3, 4), 0.5, draw_key()), dtype=torch.float32)
    assert program.project is None
    assert program.project_refusal is not None
    with pytest.raises(KernelError, match=r"RecurrentDropout\.project has no program"):
        program.project_weights([])


def test_what_an_lstm_keeps() -> None:
    program = program_for(LSTM(3, 8), dtype=torch.float32)
    assert program.saved == (8, 5 * 8)  # h before the step; c before it and the four gates
    assert program.cuts == ()
    assert program.sums == (32,)
    assert set(program.row_inputs) == {("grad_projected", 0), ("saved", 0)}
    assert program.parameters == ("input.weight", "input.bias", "recurrent.weight", "recurrent.bias")
    assert len([op for op in program.forward.ops if op.terms]) == 4
    (product,) = [op for op in program.backward.ops if op.terms]
    assert len(product.terms) == 4


def test_a_layer_norm_is_two_sums() -> None:
    program = program_for(LayerNormLSTM(3, 8), dtype=torch.float32)
    assert [op.kind for op in program.forward.ops].count("product") == 4
    assert [op.kind for op in program.forward.ops].count("sum") == 4
    assert program.saved == (8, 9 * 8, 3)  # h; c, the gates and normalised products; means and scales


def test_what_is_cheap_is_not_kept() -> None:
    # The new cell enters the gradient of a peephole, and comes again from what is kept anyway.
    assert program_for(PeepholeLSTM(3, 8), dtype=torch.float32).saved == (8, 5 * 8)


class NormGRU(Cell):
    """A GRU whose products are layer-normalised, as a user would write it."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.input = nn.Linear(input_size, 3 * hidden_size)
        self.recurrent = nn.Linear(hidden_size, 3 * hidden_size)
        self.norm = nn.LayerNorm(3 * hidden_size)
        self.norm_recurrent = nn.LayerNorm(hidden_size)

    def project(self, inputs):
        return (self.norm(self.input(inputs)),)

    def step(self, projected, state, constants=()):
        (h,) = state
        parts = zip(projected[0].chunk(3, -1), self.recurrent(h).chunk(3, -1), strict=True)
        (r, rr), (z, zz), (n, nn_) = [(x, self.norm_recurrent(y)) for x, y in parts]
        r, z = torch.sigmoid(r + rr), torch.sigmoid(z + zz)
        h = torch.lerp(torch.tanh(n + r * nn_), h, z)
        return h, HiddenState(h)


class Inner(NamedTuple):
    """Two leaves, one of them not a plain row."""

    memory: Tensor
    trace: Tensor


class OddState(NamedTuple):
    """A state in a state."""

    h: Tensor
    inner: Inner


class Odd(Cell):
    """What nobody should write: a tree of states, tied weights, a buffer, weights made of weights, loops, constants."""

    State = OddState

    def __init__(self) -> None:
        super().__init__(3, 4)
        self.first = nn.Linear(3, 8, bias=False)
        self.tied = nn.Linear(4, 8)
        self.again = nn.Linear(4, 8)
        self.again.weight = self.tied.weight
        self.scale = nn.Parameter(torch.tensor(0.3))
        self.register_buffer("mask", torch.tensor([True, False, True, True]))
        self.register_buffer("decay", torch.linspace(0.1, 0.9, 4))
        self.products = {"tied": self.tied}
        self.steps = [0.5, 2]

    @property
    def output_size(self) -> int:
        return 8

    def initial_state(self, batch: int) -> OddState:
        new = self.scale.new_zeros
        return OddState(new(batch, 4), Inner(new(batch, 4), new(batch, 2, 4)))

    def project(self, inputs):
        x = self.first(inputs)
        return x.relu(), x > 0, inputs

    def step(self, projected, state, constants=()):
        x, positive, raw = projected
        h, (memory, trace) = state
        weight = self.tied.weight * torch.sigmoid(self.tied.weight).t().reshape(8, 4)
        for step in self.steps:
            h = h + step * torch.tanh(h @ weight[:4].t() + x[:, 4:] * self.mask)
        both = torch.cat([h, memory], -1) @ torch.cat([self.products["tied"].weight, self.again.weight], 1).t()
        both = torch.where(positive, both, self.scale * both.exp().clamp(max=3)) + constants[0][:, :1]
        memory = self.decay * memory + (1 - self.decay) * both.view(-1, 4, 2).amax(-1)
        outer = torch.stack([memory, raw.sum(-1, keepdim=True).expand_as(h)], 1)
        trace = 0.9 * trace + torch.softmax(outer, -1) * constants[1].unsqueeze(1)
        return both * trace.flatten(1), OddState(h, Inner(memory, trace))


def test_cells_of_users(check_program) -> None:
    torch.manual_seed(0)
    program = check_program(made(NormGRU(3, 6)))
    assert widths(program.forward) | widths(program.backward) <= {6, 1}
    odd = check_program(made(Odd()), constants=(3, 4))
    assert odd.state == (4, 4, 8)
    assert odd.projected == (8, 8, 3)
    assert odd.parameters == ("scale", "mask", "decay", "first.weight", "tied.weight", "tied.bias", "again.bias")


def test_parametrized_and_bound_weights(check_program) -> None:
    cell = made(GRU(3, 4))
    parametrizations.weight_norm(cell.recurrent, "weight")
    program = program_for(cell, dtype=torch.float64)
    assert "recurrent.weight" in program.parameters
    assert torch.equal(tensors_of(cell, program)[program.parameters.index("recurrent.weight")], cell.recurrent.weight)
    other = bound(cell, {"input.bias": torch.zeros(12, dtype=torch.float64)})
    assert program_for(other, dtype=torch.float64) is program
    assert not tensors_of(other, program)[program.parameters.index("input.bias")].any()
    check_program(other)
    lent = bound(cell, {"recurrent.weight": torch.ones(12, 4, dtype=torch.float64)})
    assert tensors_of(lent, program)[program.parameters.index("recurrent.weight")].eq(1).all()
    check_program(lent)


def test_weights_in_other_types_and_more_tokens_than_rows() -> None:
    cell = SLSTM(3, 4, heads=2)
    program = program_for(cell, dtype=torch.float32)
    tensors = [tensor.detach().bfloat16() for tensor in tensors_of(cell, program)]
    assert {weight.dtype for weight in program.weights(tensors)} == {torch.bfloat16}
    widths = {"saved": program.saved, "cut": program.cuts, "grad_projected": program.projected}
    for tokens in (0, 1, 77):
        rows = {(kind, k): torch.randn(tokens, widths[kind][k]) for kind, k in program.row_inputs}
        gradients = program.gradients(tensors_of(cell, program), rows, [])
        shapes = [None if g is None else g.shape for g in gradients]
        assert shapes == [None, None, cell.recurrent.weight.shape]


def test_programs_are_kept_by_structure() -> None:
    first = program_for(LSTM(3, 5), dtype=torch.float32)
    assert program_for(LSTM(3, 5), dtype=torch.bfloat16) is first
    assert program_for(copy.deepcopy(LSTM(3, 5)).eval(), dtype=torch.float32).saved == first.saved
    others = [LSTM(3, 6), LSTM(3, 5, bias=False), LSTM(3, 5, proj_size=2), PeepholeLSTM(3, 5)]
    programs = [program_for(cell, dtype=torch.float32) for cell in others]
    assert len({id(program) for program in (first, *programs)}) == 5
    assert program_for(LSTM(3, 5), dtype=torch.float64) is not first


def test_a_known_program_is_not_traced_again(monkeypatch) -> None:
    cell = LSTM(3, 5)
    program = program_for(cell, dtype=torch.float32)
    monkeypatch.setattr(cell_program, "_make", None)
    assert program_for(cell, dtype=torch.float32) is program
    assert program_for(LSTM(3, 5), dtype=torch.float32) is program


def test_the_oldest_program_goes_first(monkeypatch) -> None:
    monkeypatch.setattr(cell_program, "KEPT", 2)
    monkeypatch.setattr(cell_program, "_programs", type(cell_program._programs)())
    first = program_for(RNN(1, 1), dtype=torch.float32)
    program_for(RNN(1, 2), dtype=torch.float32)
    assert program_for(RNN(1, 1), dtype=torch.float32) is first
    program_for(RNN(1, 3), dtype=torch.float32)
    assert program_for(RNN(1, 1), dtype=torch.float32) is first
    assert len(cell_program._programs) == 2


TRACED: list[int] = []  # not on the class: what stands there is part of the structure


class Refused(Cell):
    """Asks for the value of a tensor."""

    def __init__(self) -> None:
        super().__init__(2, 2)
        self.input = nn.Linear(2, 2)

    def step(self, projected, state, constants=()):
        TRACED.append(1)
        h = self.input(projected[0])
        return (h, HiddenState(h)) if h.sum() > 0 else (h, state)


def test_a_refusal_is_kept_too() -> None:
    for _ in range(3):
        with pytest.raises(KernelError, match=r"Refused\.step asks for the value of a tensor"):
            program_for(Refused(), dtype=torch.float32)
    assert len(TRACED) == 1


def test_threads_trace_once() -> None:
    class Own(RNN):
        """A class of its own, so that nothing is known of it."""

    found: list[object] = []
    threads = [
        threading.Thread(target=lambda: found.append(program_for(Own(2, 3), dtype=torch.float32))) for _ in "abc"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3
    assert len(set(map(id, found))) == 1


def test_tracing_leaves_the_generator_and_the_modes_alone() -> None:
    class Own(LSTM):
        """A class of its own, so that nothing is known of it."""

    torch.manual_seed(5)
    before = torch.get_rng_state()
    cell = Own(2, 3)
    after = torch.get_rng_state()
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        program = program_for(Zoneout(cell, 0.1), dtype=torch.float32)
    assert torch.equal(torch.get_rng_state(), after)
    assert not torch.equal(before, after)
    assert program.saved == program_for(Zoneout(Own(2, 3), 0.1), dtype=torch.float32).saved
