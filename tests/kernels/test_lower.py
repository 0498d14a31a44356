"""Operations in order: as text, tidied, cut in two, and what is refused before that."""

import pytest
import torch
from torch import nn

from latchwork.cells import RNN, Cell, HiddenState, MinGRU
from latchwork.kernels.cell_program import program_for
from latchwork.kernels.evaluate import evaluate
from latchwork.kernels.lower import Lowered, affine, tidy
from latchwork.kernels.program import Op, Program, Source, Term, Value, Write, describe
from latchwork.kernels.split import split


def load(kind: str, width: int = 4, index: int = 0) -> Op:
    return Op("load", width, source=Source(kind, index, 0, width))


def test_a_program_as_text() -> None:
    program = program_for(RNN(3, 4, bias=False), dtype=torch.float32)
    assert describe(program.forward) == (
        "v0 [4] = projected[0][0:4]\n"
        "v1 [4] = state[0][0:4]\n"
        "v2 [4] = W0<4x4 @0 0,4,1> v1\n"
        "v3 [4] = add(v0, v2)\n"
        "v4 [4] = tanh(v3)\n"
        "output[0][0:4] = v4\n"
        "state[0][0:4] = v4"
    )
    assert "W0<4x4 @0 0,1,4>" in describe(program.backward)
    assert "full(0)" in describe(program_for(Ignoring(), dtype=torch.float32).backward)


class Ignoring(Cell):
    """Looks at neither its input nor its state."""

    def __init__(self) -> None:
        super().__init__(3, 4)
        self.bias_ = nn.Parameter(torch.zeros(4))

    def step(self, projected, state, constants=()):
        h = self.bias_.exp().expand(len(state.h), 4)
        return h, HiddenState(h)


def test_every_gradient_is_written(check_program) -> None:
    program = check_program(Ignoring().double())
    written = {(write.kind, write.index) for write in program.backward.writes}
    assert written == {("grad_projected", 0), ("grad_state", 0), ("sum", 0)}
    assert program.saved == ()


def test_tidy() -> None:
    term = Term(0, 0, 1, 4, 4, 0, 0, 4, 1)
    ops = (
        load("state"),
        Op("product", 4, terms=(term,)),
        Op("product", 4, terms=(term, term)),
        Op("add", 4, (Value(1), Value(2))),
        Op("tanh", 4, (Value(0),)),
        Op("neg", 4, (Value(0),)),
        Op("add", 4, (Value(5), Value(3))),
    )
    made = tidy(Program(ops, (Write("output", 0, 0, 6),)))
    assert [op.kind for op in made.ops] == ["load", "product", "sub"]
    assert len(made.ops[1].terms) == 3
    assert made.ops[2].args == (Value(1), Value(0))
    assert made.writes == (Write("output", 0, 0, 2),)
    # Neither a product nor a negative that something else takes is taken away.
    both = tidy(Program(ops, (Write("output", 0, 0, 6), Write("output", 0, 4, 1), Write("output", 0, 8, 5))))
    assert [op.kind for op in both.ops] == ["load", "product", "product", "add", "neg", "add"]


def test_what_is_affine() -> None:
    def answer(*ops: Op) -> bool:
        program = Program((load("state"), load("projected"), *ops), (Write("state", 0, 0, 1 + len(ops)),))
        return affine(program)

    h, x = Value(0), Value(1)
    assert answer(Op("mul", 4, (h, x)), Op("add", 4, (Value(2), x)))
    assert answer(Op("div", 4, (h, x)))
    assert answer(Op("gt", 4, (x, 0.0)), Op("where", 4, (Value(2), h, x)))
    assert answer(Op("sum", 1, (h,)))
    assert answer(Op("exp", 4, (x,)))
    assert not answer(Op("mul", 4, (h, h)))
    assert not answer(Op("div", 4, (x, h)))
    assert not answer(Op("tanh", 4, (h,)))
    assert not answer(Op("where", 4, (h, x, x)))
    assert program_for(MinGRU(2, 3), dtype=torch.float32).affine


def joint(*ops: Op) -> Lowered:
    """Those operations after h and x, the last of them the gradient of h."""
    made = [load("state"), load("projected"), load("grad_state"), *ops]
    return Lowered(made, [Write("state", 0, 0, 3), Write("grad_state", 0, 0, len(made) - 1)], [])


def test_the_smallest_cut_is_kept() -> None:
    h, x, g = Value(0), Value(1), Value(2)
    # σ(h) is kept, and what is cheap to make of it is not.
    halves = split(
        joint(
            Op("sigmoid", 4, (h,)),
            Op("sub", 4, (1.0, Value(3))),
            Op("mul", 4, (Value(4), Value(3))),
            Op("mul", 4, (g, Value(5))),
        ),
        [],
    )
    assert halves.saved == (4,)
    assert [op.kind for op in halves.saving.ops if op.kind != "load"] == ["sigmoid"]
    assert [op.kind for op in halves.backward.ops if op.kind != "load"] == ["sub", "mul", "mul"]
    # The input would have to be read as well: what was made of it and σ(h) is one number in place of two.
    gate = joint(
        Op("add", 4, (h, x)), Op("sigmoid", 4, (Value(3),)), Op("mul", 4, (Value(4), x)), Op("mul", 4, (g, Value(5)))
    )
    halves = split(Lowered(gate.ops, [Write("state", 0, 0, 4), gate.writes[1]]), [])
    assert halves.saved == (4,)
    assert [op.kind for op in halves.backward.ops] == ["load", "load", "mul"]
    # tanh of a number that is kept anyway is taken once more.
    halves = split(
        joint(
            Op("sum", 1, (h,)),
            Op("mul", 4, (h, Value(3))),
            Op("tanh", 4, (Value(4),)),
            Op("mul", 4, (Value(4), Value(5))),
            Op("mul", 4, (g, Value(5))),
            Op("mul", 4, (Value(7), Value(6))),
        ),
        [],
    )
    assert halves.saved == (4,)
    assert "tanh" in [op.kind for op in halves.backward.ops]
    # A number for each row is kept rather than the columns that it was made of.
    halves = split(joint(Op("tanh", 4, (h,)), Op("sum", 1, (Value(3),)), Op("mul", 4, (g, Value(4)))), [])
    assert halves.saved == (1,)
    # Of several that are as wide, one that the step computes anyway.
    halves = split(joint(Op("tanh", 4, (h,)), Op("abs", 4, (Value(3),)), Op("mul", 4, (g, Value(4)))), [])
    assert halves.saved == (4,)
    assert [op.kind for op in halves.saving.ops if op.kind != "load"] == ["tanh"]
    # Two sums of one value and two of another: the values, not what is made of them.
    halves = split(
        joint(
            Op("tanh", 4, (h,)),
            Op("mul", 4, (Value(3), x)),
            Op("mul", 4, (Value(3), Value(3))),
            Op("mul", 4, (g, Value(4))),
            Op("mul", 4, (Value(6), Value(5))),
        ),
        [],
    )
    assert halves.saved == (4,)


def test_evaluation_of_every_operation() -> None:
    ops = (
        load("state", 6),
        Op("load", 3, source=Source("state", 0, 3, 3)),
        Op("load", 3, source=Source("vector", 1, 1, 3)),
        Op("product", 4, terms=(Term(0, 0, 2, 2, 3, 1, 6, 3, 1), Term(1, 0, 1, 4, 3, 0, 0, 1, 4))),
        Op("sum", 1, (Value(3),)),
        Op("mul", 3, (Value(4), Value(2))),
        Op("gt", 3, (Value(5), 0.5)),
        Op("where", 3, (Value(6), Value(1), float("-inf"))),
        Op("amax", 1, (Value(7),)),
        Op("full", 2, (3.0,)),
        Op("not", 3, (Value(6),)),
    )
    targets = [("output", 3), ("output", 5), ("output", 7), ("output", 8), ("output", 9), ("output", 10), ("sum", 5)]
    offsets: dict[str, int] = {}
    writes = []
    for kind, value in targets:
        writes.append(Write(kind, 0, offsets.get(kind, 0), value))
        offsets[kind] = offsets.get(kind, 0) + ops[value].width
    h = torch.randn(5, 6, dtype=torch.float64)
    weights = [torch.randn(13, dtype=torch.float64), torch.randn(5, dtype=torch.float64)]
    made = evaluate(Program(ops, tuple(writes)), {"state": [h]}, weights)
    blocks = weights[0][1:].reshape(2, 2, 3)
    product = torch.cat([h[:, :3] @ blocks[0].T, h[:, 3:] @ blocks[1].T], 1) + h[:, 3:] @ weights[0][:12].reshape(3, 4)
    scaled = product.sum(1, keepdim=True) * weights[1][1:4]
    picked = torch.where(scaled > 0.5, h[:, 3:], -torch.inf)
    expected = [product, scaled, picked, picked.amax(1, keepdim=True), torch.full((5, 2), 3.0), ~(scaled > 0.5)]
    torch.testing.assert_close(made["output"][0], torch.cat([part.double() for part in expected], 1))
    torch.testing.assert_close(made["sum"][0], scaled.sum(0))


@pytest.mark.parametrize("width", [1, 5])
def test_no_rows(width: int) -> None:
    program = program_for(RNN(3, width), dtype=torch.float64)
    weights = program.weights(
        [torch.zeros(width, 3), torch.zeros(width), torch.zeros(width, width), torch.zeros(width)]
    )
    made = evaluate(program.forward, {"projected": [torch.zeros(0, width)], "state": [torch.zeros(0, width)]}, weights)
    assert made["output"][0].shape == (0, width)
