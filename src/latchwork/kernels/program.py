"""What a cell does in one step, written as a short list of operations over rows: the form that the engine runs.

A row is one sequence of the batch. Every value is a row vector of a fixed width; operations never mix rows. A program
is in single assignment form: value ``i`` is the result of ``ops[i]``. It is made by :mod:`latchwork.kernels.lower` from
a trace of the cell, evaluated in plain torch by :mod:`latchwork.kernels.evaluate` (the check), and cut into stages for
the engine by :mod:`latchwork.kernels.schedule`.
"""

from dataclasses import dataclass

UNARY = (
    "neg abs sqrt rsqrt reciprocal exp expm1 log log1p sigmoid tanh relu erf sin cos sign floor not".split()  # noqa: SIM905
)
BINARY = "add sub mul div maximum minimum lt le gt ge eq ne and or pow".split()  # noqa: SIM905
TERNARY = ("where",)
REDUCTIONS = ("sum", "amax")

SOURCES = ("projected", "state", "constant", "vector", "saved", "grad_output", "grad_state")
TARGETS = ("output", "state", "saved", "cut", "grad_projected", "grad_state", "grad_constant", "sum")


@dataclass(frozen=True)
class Value:
    """An argument that is the result of operation ``index``, so that it can't be taken for a number."""

    index: int


@dataclass(frozen=True)
class Source:
    """Where a loaded value comes from: ``width`` numbers from ``offset`` on of array ``index`` of that kind.

    projected, state, constant: this step's inputs (state: before the step). vector: numbers that are the same for all
    rows, made from the parameters. saved: what the forward pass kept of this step. grad_output, grad_state: the
    cotangents of the step's output and of the state after it.
    """

    kind: str
    index: int
    offset: int
    width: int


@dataclass(frozen=True)
class Term:
    """A summand of a product: y[h·n + j] += Σᵢ x[h·k + i] M[h, j, i],   h < heads, j < rows, i < columns.

    operand: the value x, of width heads · columns. M lies in weight ``weight`` (a tensor of the prologue, seen as its
    storage from its own first element on): element (h, j, i) at offset + h stride_head + j stride_row + i
    stride_column. A dense product has one head.
    """

    operand: int
    weight: int
    heads: int
    rows: int
    columns: int
    offset: int
    stride_head: int
    stride_row: int
    stride_column: int


@dataclass(frozen=True)
class Op:
    """One operation; its result is a value of width ``width``.

    load            source
    full            args = (number,)
    UNARY … TERNARY args: values or numbers; a value of width 1 stands for all columns of a wider result.
                    Comparisons give 0 or 1; ``where`` takes its second argument where the first is not 0.
    REDUCTIONS      args = (value,), over the columns of the row; width 1
    product         terms, summed
    """

    kind: str
    width: int
    args: tuple[Value | float, ...] = ()
    source: Source | None = None
    terms: tuple[Term, ...] = ()


@dataclass(frozen=True)
class Write:
    """Value ``value`` goes to ``offset`` of array ``index`` of that kind of :data:`TARGETS`.

    output, state: the step's results. saved: kept for the backward pass and for the weights' gradients, a row for each
    step. cut: the same, written by the backward pass. grad_projected, grad_state (before the step): cotangents.
    grad_constant: added up over the steps of a row. sum: added up over all rows and steps.
    """

    kind: str
    index: int
    offset: int
    value: int


@dataclass(frozen=True)
class Program:
    """Operations in order, and what is written of them."""

    ops: tuple[Op, ...]
    writes: tuple[Write, ...]


def describe(program: Program) -> str:
    """The program as text, a line for each operation and each write."""
    lines = []
    for index, op in enumerate(program.ops):
        if op.source is not None:
            s = op.source
            what = f"{s.kind}[{s.index}][{s.offset}:{s.offset + s.width}]"
        elif op.terms:
            what = " + ".join(_described(term) for term in op.terms)
        else:
            given = ", ".join(f"v{arg.index}" if isinstance(arg, Value) else f"{arg:g}" for arg in op.args)
            what = f"{op.kind}({given})"
        lines.append(f"v{index} [{op.width}] = {what}")
    for write in program.writes:
        end = write.offset + program.ops[write.value].width
        lines.append(f"{write.kind}[{write.index}][{write.offset}:{end}] = v{write.value}")
    return "\n".join(lines)


def _described(term: Term) -> str:
    heads = f"{term.heads}·" if term.heads > 1 else ""
    strides = f"{term.stride_head},{term.stride_row},{term.stride_column}"
    return f"W{term.weight}<{heads}{term.rows}x{term.columns} @{term.offset} {strides}> v{term.operand}"
