"""A program cut into stages for the engine: what is finished while a product is at hand, and what has to wait.

A stage goes over the columns of one width, chunk by chunk, and over the rows, block by block; all its operations are
done on a block while it is in the cache. An operation has to wait for the next stage where it needs whole rows of
something computed in this one: a product its operand, a mean its sum. So an LSTM's step is one stage forwards and two
backwards; layer normalisation adds one for each sum.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from latchwork.errors import KernelError
from latchwork.kernels.program import REDUCTIONS, Op, Program, Source, Value, Write

EXTERNAL = ("projected", "saved", "grad_output")
"""Sources that lie outside the engine, a row for each token. The others are buffers and vectors."""

CARRIED = {"state": "state", "grad_state": "grad_state"}
"""Source -> the write that replaces it after the step."""

Array = tuple[str, int]
"""A kind of source or target, and its index."""


@dataclass(frozen=True)
class Layout:
    """Which arrays a program takes from outside, in the order in which the engine is given them.

    externals: read first, then written. states: widths. vectors: (weight, width). row_sums: (constant, offset, width).
    sums: widths.
    """

    externals: tuple[tuple[Array, int], ...]
    states: tuple[int, ...]
    constants: tuple[int, ...]
    vectors: tuple[tuple[int, int], ...]
    row_sums: tuple[tuple[int, int, int], ...]
    sums: tuple[int, ...]


@dataclass(frozen=True)
class Schedule:
    """The engine's form of a program: ``code`` and ``numbers`` are what csrc/program.cpp decodes."""

    layout: Layout
    code: tuple[int, ...]
    numbers: tuple[float, ...]
    stages: int


def schedule(
    program: Program,
    *,
    codes: dict[str, int],
    spaces: dict[str, int],
    reads: Iterable[tuple[Array, int]],
    writes: Iterable[tuple[Array, int]],
    states: tuple[int, ...] = (),
    constants: tuple[int, ...] = (),
    sums: tuple[int, ...] = (),
) -> Schedule:
    """Cut a program into stages.

    codes, spaces: the engine's numbers for operations and kinds of argument. reads, writes: the external arrays with
    their widths, used or not. states, constants, sums: widths of what is carried, what is the same for all steps of a
    row, and what is added up over all of them.
    """
    layout = Layout(
        externals=(*reads, *writes),
        states=states,
        constants=constants,
        vectors=_vectors(program),
        row_sums=tuple(
            (w.index, w.offset, program.ops[w.value].width) for w in program.writes if w.kind == "grad_constant"
        ),
        sums=sums,
    )
    return _Scheduler(program, layout, codes, spaces).result()


def _vectors(program: Program) -> tuple[tuple[int, int], ...]:
    """The weights that are read as row vectors, and how much of each."""
    ends: dict[int, int] = {}
    for op in program.ops:
        if op.source is not None and op.source.kind == "vector":
            ends[op.source.index] = max(ends.get(op.source.index, 0), op.source.offset + op.source.width)
    return tuple(sorted(ends.items()))


def _absorbed(program: Program) -> tuple[Op, ...]:
    """The operations, with what is added to a product made its start: a product may begin with two values."""
    ops = list(program.ops)
    uses: dict[int, int] = {}
    for op in ops:
        for index in [arg.index for arg in op.args if isinstance(arg, Value)] + [term.operand for term in op.terms]:
            uses[index] = uses.get(index, 0) + 1
    for write in program.writes:
        uses[write.value] = uses.get(write.value, 0) + 1
    for index, op in enumerate(ops):
        if op.kind != "add":
            continue
        for product, other in (op.args, op.args[::-1]):
            if isinstance(product, Value) and uses[product.index] == 1:
                first = ops[product.index]
                alike = not isinstance(other, Value) or ops[other.index].width in (1, op.width)
                if first.kind == "product" and len(first.args) < 2 and first.width == op.width and alike:
                    ops[index] = Op("product", op.width, args=(*first.args, other), terms=first.terms)
                    ops[product.index] = Op("full", 1, args=(0.0,))
                    break
    return tuple(ops)


Argument = tuple[int, int, int]
Moment = tuple[int, float]
"""A stage, and a place among its operations."""
OPEN = -1
"""A buffer that has not been chosen yet."""


class _Scheduler:
    """One use: cuts, places, and writes the code down."""

    def __init__(self, program: Program, layout: Layout, codes: dict[str, int], spaces: dict[str, int]) -> None:
        self.ops, self.writes, self.layout = _absorbed(program), program.writes, layout
        self.codes, self.spaces = codes, spaces
        self.external = {array: at for at, (array, _) in enumerate(layout.externals)}
        self.vector = {index: at for at, (index, _) in enumerate(layout.vectors)}
        self.buffers: list[int] = []
        self.numbers: list[float] = []
        # The carried values first: (now, next) of each state, then the constants and the row sums.
        self.states = [(self._buffer(width), self._buffer(width)) for width in layout.states]
        self.constants = [self._buffer(width) for width in layout.constants]
        self.row_sums = {(i, offset): self._buffer(width) for i, offset, width in layout.row_sums}
        self.home: dict[int, int] = {}
        """Value -> the buffer it lies in, where it lies in one."""
        self.products: list[list[int]] = []

    def result(self) -> Schedule:
        self._levels()
        self._homes()
        stages = [(width, self._instructions(level, width)) for level, width in self._stage_keys]
        code = [len(self.buffers), *self.buffers, max([used for _, (_, used) in stages], default=0)]
        code += [len(self.layout.externals), *(width for _, width in self.layout.externals)]
        code += [len(self.layout.vectors), *(width for _, width in self.layout.vectors)]
        code += [len(self.layout.sums), *self.layout.sums]
        code += [len(self.states), *(buffer for pair in self.states for buffer in pair)]
        code += [len(self.constants), *self.constants]
        code += [len(self.row_sums), *self.row_sums.values()]
        code += [len(self.products), *(number for product in self.products for number in product)]
        code.append(len(stages))
        for width, (instructions, _) in stages:
            code += [width, len(instructions), *(number for one in instructions for number in one)]
        return Schedule(self.layout, tuple(code), tuple(self.numbers), len(stages))

    # ---- what a value is

    def _source(self, index: int) -> Source | None:
        return self.ops[index].source

    def _is_external(self, index: int) -> bool:
        source = self._source(index)
        return source is not None and source.kind in EXTERNAL

    def _is_computed(self, index: int) -> bool:
        return self.ops[index].kind not in ("load", "full")

    def _domain(self, index: int) -> int:
        """The columns that a stage goes over to compute it."""
        op = self.ops[index]
        return self.ops[self._values(op)[0]].width if op.kind in REDUCTIONS else op.width

    @staticmethod
    def _values(op: Op) -> list[int]:
        return [arg.index for arg in op.args if isinstance(arg, Value)]

    # ---- levels: in which round an operation is done

    def _levels(self) -> None:
        level: dict[int, int] = {}
        for index, op in enumerate(self.ops):
            if not self._is_computed(index):
                level[index] = -1  # what has to be fetched into a buffer is, before the first stage
                continue
            needs = [0]
            for arg in self._values(op):
                needs.append(level[arg] + (1 if self._waits(index, arg) else 0))
            for term in op.terms:
                needs.append(level[term.operand] + (0 if self._direct(term.operand) else 1))
            level[index] = max(needs)
        # As late as what needs it allows: then more of them stay in a block's cache and fewer in buffers.
        latest: dict[int, int] = {}
        for index in reversed(range(len(self.ops))):
            op = self.ops[index]
            if self._is_computed(index):
                level[index] = max(level[index], latest.get(index, level[index]))
            for arg in self._values(op):
                limit = level[index] - (1 if self._waits(index, arg) else 0)
                latest[arg] = min(latest.get(arg, limit), limit)
            for term in op.terms:
                limit = level[index] - (0 if self._direct(term.operand) else 1)
                latest[term.operand] = min(latest.get(term.operand, limit), limit)
        self.level = level

    def _waits(self, index: int, arg: int) -> bool:
        """Whether an operation needs whole rows of its argument, so that it can't be done in the same stage."""
        if not self._is_computed(arg):
            # A number for each row is fetched into a buffer first.
            return self._is_external(arg) and self.ops[arg].width != self._domain(index)
        return self.ops[arg].kind in REDUCTIONS or self.ops[arg].width != self._domain(index)

    def _direct(self, operand: int) -> bool:
        """Whether a product can read it where it lies: a carried value or a constant, whole."""
        return self._carried(operand) is not None

    def _carried(self, index: int) -> int | None:
        """The buffer of a whole carried value or constant."""
        source = self._source(index)
        if source is None or source.offset:
            return None
        if source.kind in CARRIED and source.width == self.layout.states[source.index]:
            return self.states[source.index][0]
        if source.kind == "constant" and source.width == self.layout.constants[source.index]:
            return self.constants[source.index]
        return None

    # ---- buffers

    def _buffer(self, width: int) -> int:
        self.buffers.append(width)
        return len(self.buffers) - 1

    @cached_property
    def _operands(self) -> set[int]:
        return {term.operand for op in self.ops for term in op.terms}

    def _homes(self) -> None:
        """Give a buffer to what outlives its stage, the next state's own to what becomes it."""
        taken: set[int] = set()
        for write in self.writes:
            if write.kind in CARRIED.values() and self._is_computed(write.value) and write.value not in self.home:
                buffer = self.states[write.index][1]
                width = self.ops[write.value].width
                if not write.offset and width == self.layout.states[write.index] and buffer not in taken:
                    self.home[write.value] = buffer
                    taken.add(buffer)
        for index, op in enumerate(self.ops):
            if op.kind in REDUCTIONS:
                self.home.setdefault(index, OPEN)
            for arg in self._values(op):
                fetched = self._is_external(arg) and self._waits(index, arg)
                if fetched or (self._is_computed(arg) and self._stage(arg) != self._stage(index)):
                    self.home.setdefault(arg, OPEN)
            for term in op.terms:
                carried = self._carried(term.operand)
                self.home.setdefault(term.operand, OPEN if carried is None else carried)
        for write in self.writes:
            if self._is_computed(write.value) and self._write_stage(write) != self._stage(write.value):
                self.home.setdefault(write.value, OPEN)
        self._share()

    def _share(self) -> None:
        """Buffers for the values that are to have one, each taken again as soon as its value is not read any more."""
        stages = {key: at for at, key in enumerate(self._stage_keys)}
        ends: dict[int, Moment] = {}

        def used(index: int, stage: tuple[int, int], at: float) -> None:
            ends[index] = max(ends.get(index, (0, 0.0)), (stages[stage], at))

        for index, op in enumerate(self.ops):
            for arg in self._values(op):
                # A whole row is read, by blocks that come later too, or the same columns as are written.
                whole = op.kind == "product" or self.ops[arg].width != self._domain(index) or self._is_reduced(arg)
                used(arg, self._stage(index), math.inf if whole else index)
            for term in op.terms:
                used(term.operand, self._stage(index), math.inf)
        for write in self.writes:
            if self._is_computed(write.value):
                used(write.value, self._write_stage(write), math.inf)

        begins: dict[int, Moment] = {}
        for index in (index for index, buffer in self.home.items() if buffer == OPEN):
            if not self._is_computed(index):
                begins[index] = (stages[-1, self.ops[index].width], -1)
            else:
                begins[index] = (stages[self._stage(index)], -1 if self._is_reduced(index) else index)
        free: dict[int, list[tuple[Moment, int]]] = {}
        for index in sorted(begins, key=lambda index: begins[index]):
            spare = free.setdefault(self.ops[index].width, [])
            # The one that was read last: it is the likeliest to be in the cache.
            found = max((one for one in spare if one[0] <= begins[index]), default=None)
            if found is not None:
                spare.remove(found)
            self.home[index] = self._buffer(self.ops[index].width) if found is None else found[1]
            spare.append((max(ends[index], begins[index]), self.home[index]))

    def _is_reduced(self, index: int) -> bool:
        return self.ops[index].kind in REDUCTIONS

    # ---- stages

    def _stage(self, index: int) -> tuple[int, int]:
        return self.level[index], self._domain(index)

    def _write_stage(self, write: Write) -> tuple[int, int]:
        """With the value, but for a reduction's: that is complete only when the stage is over."""
        op = self.ops[write.value]
        late = op.kind in REDUCTIONS
        return max(self.level[write.value], 0) + (1 if late else 0), op.width

    def _fetched(self) -> list[int]:
        """Loads that go into a buffer of their own, in the stage (0, width)."""
        return [i for i in self.home if not self._is_computed(i) and self._carried(i) is None]

    @cached_property
    def _stage_keys(self) -> list[tuple[int, int]]:
        keys = {self._stage(i) for i in range(len(self.ops)) if self._is_computed(i)}
        keys |= {self._write_stage(write) for write in self.writes if not self._in_place(write)}
        keys |= {(-1, self.ops[i].width) for i in self._fetched()}
        return sorted(keys)

    def _in_place(self, write: Write) -> bool:
        """Whether the value already lies in the next state's buffer."""
        return write.kind in CARRIED.values() and self.home.get(write.value) == self.states[write.index][1]

    # ---- instructions

    def _instructions(self, level: int, width: int) -> tuple[list[tuple[int, ...]], int]:
        """The code of a stage, and how many temps it has at most."""
        steps: list[tuple[str, int | None, Write | None]] = []
        if level == -1:
            steps += [("fetch", i, None) for i in self._fetched() if self.ops[i].width == width]
        else:
            late = [w for w in self.writes if self._write_stage(w) == (level, width) and not self._in_place(w)]
            pending: dict[int, list[Write]] = {}
            for write in late:
                pending.setdefault(write.value, []).append(write)
            for index in range(len(self.ops)):
                if self._is_computed(index) and self._stage(index) == (level, width):
                    steps.append(("op", index, None))
                    if self.ops[index].kind not in REDUCTIONS:
                        steps += [("write", None, write) for write in pending.pop(index, [])]
            steps += [("write", None, write) for writes in pending.values() for write in writes]
        return _Stage(self, steps).emitted()

    def direct(self, index: int, domain: int) -> Argument | None:
        """The argument of a value that needs no temp in this stage; None for one that lies in a temp."""
        op, source = self.ops[index], self._source(index)
        if op.kind == "full":
            return self.number(op.args[0])
        if source is not None and source.kind == "vector":
            kind = "scalar" if source.width == 1 != domain else "vector"
            return self.spaces[kind], self.vector[source.index], source.offset
        if index in self.home:
            kind = "row_scalar" if op.width == 1 != domain or op.kind in REDUCTIONS else "buffer"
            return self.spaces[kind], self.home[index], 0
        if source is None or source.kind in EXTERNAL:
            return None
        if source.kind == "constant":
            buffer = self.constants[source.index]
        else:
            buffer = self.states[source.index][0]
        if source.width == 1 != domain:
            if source.offset:
                raise KernelError("the engine has no column of a state as a number for each row")
            return self.spaces["row_scalar"], buffer, 0
        return self.spaces["buffer"], buffer, source.offset

    def number(self, value: Value | float) -> Argument:
        assert not isinstance(value, Value)
        self.numbers.append(float(value))
        return self.spaces["number"], len(self.numbers) - 1, 0

    def product(self, op: Op) -> Argument:
        code = [op.width, len(op.terms)]
        for term in op.terms:
            code += [self.home[term.operand], term.weight, term.heads, term.rows, term.columns, term.offset]
            code += [term.stride_head, term.stride_row, term.stride_column]
        self.products.append(code)
        return self.spaces["product"], len(self.products) - 1, 0

    def load(self, index: int) -> Argument:
        source = self._source(index)
        assert source is not None
        return self.spaces["external"], self.external[source.kind, source.index], source.offset


NONE: Argument = (0, 0, 0)


class _Stage:
    """Writes the instructions of one stage, with temps given out and taken back."""

    def __init__(self, owner: _Scheduler, steps: list[tuple[str, int | None, Write | None]]) -> None:
        self.owner, self.steps = owner, steps
        self.code: list[tuple[int, ...]] = []
        self.temps: dict[int, int] = {}
        self.free: list[int] = []
        self.used = 0
        self.last = self._last_uses()

    def emitted(self) -> tuple[list[tuple[int, ...]], int]:
        for at, (what, index, write) in enumerate(self.steps):
            if what == "fetch":
                assert index is not None
                self._fetch(index)
            elif what == "op":
                assert index is not None
                self._operation(at, index)
            elif write is not None:
                self._write(at, write)
        return self.code, self.used

    def _reads(self, step: tuple[str, int | None, Write | None]) -> list[int]:
        what, index, write = step
        if what == "op" and index is not None:
            return self.owner._values(self.owner.ops[index])
        return [write.value] if write is not None else []

    def _last_uses(self) -> dict[int, int]:
        last: dict[int, int] = {}
        for at, step in enumerate(self.steps):
            for index in self._reads(step):
                last[index] = at
        return last

    def _put(self, name: str, dst: Argument, *args: Argument) -> None:
        padded = (*args, NONE, NONE, NONE)[:3]
        self.code.append((self.owner.codes[name], *dst, *padded[0], *padded[1], *padded[2]))

    def _temp(self, index: int) -> Argument:
        if not self.free:
            self.free.append(self.used)
            self.used += 1
        self.temps[index] = self.free.pop()
        return self.owner.spaces["temp"], self.temps[index], 0

    def _argument(self, index: int, domain: int) -> Argument:
        direct = self.owner.direct(index, domain)
        if direct is not None:
            return direct
        if index not in self.temps:
            self._put("load", self._temp(index), self.owner.load(index))
        return self.owner.spaces["temp"], self.temps[index], 0

    def _release(self, at: int, indices: Iterable[int]) -> None:
        for index in set(indices):
            if index in self.temps and self.last.get(index, at) <= at:
                self.free.append(self.temps.pop(index))

    def _result(self, index: int) -> Argument:
        owner = self.owner
        if index in owner.home:
            kind = "row_scalar" if owner.ops[index].kind in REDUCTIONS else "buffer"
            return owner.spaces[kind], owner.home[index], 0
        return self._temp(index)

    def _operation(self, at: int, index: int) -> None:
        owner, op = self.owner, self.owner.ops[index]
        domain = owner._domain(index)
        args = [self._argument(arg.index, domain) if isinstance(arg, Value) else owner.number(arg) for arg in op.args]
        if op.kind == "product":
            args.insert(0, owner.product(op))
        # A temp read for the last time may take the result: each vector is read before it is written.
        self._release(at, owner._values(op))
        self._put(op.kind, self._result(index), *args)
        if index in self.temps and index not in self.last:
            self.free.append(self.temps.pop(index))

    def _fetch(self, index: int) -> None:
        owner = self.owner
        dst = (owner.spaces["buffer"], owner.home[index], 0)
        if owner._is_external(index):
            self._put("load", dst, owner.load(index))
            return
        home = owner.home.pop(index)
        source = owner.direct(index, owner.ops[index].width)
        owner.home[index] = home
        assert source is not None
        self._put("copy", dst, source)

    def _write(self, at: int, write: Write) -> None:
        owner = self.owner
        width = owner.ops[write.value].width
        value = self._argument(write.value, width)
        if write.kind in CARRIED.values():
            self._put("put", (owner.spaces["buffer"], owner.states[write.index][1], write.offset), value)
        elif write.kind == "grad_constant":
            total = (owner.spaces["buffer"], owner.row_sums[write.index, write.offset], 0)
            self._put("add", total, total, value)
        elif write.kind == "sum":
            self._put("accumulate", (owner.spaces["accumulator"], write.index, write.offset), value)
        else:
            self._put("store", (owner.spaces["external"], owner.external[write.kind, write.index], write.offset), value)
        self._release(at, [write.value])
