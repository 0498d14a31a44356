"""One joint list of operations in two programs: the step, which keeps some values, and its backward pass.

What the backward pass needs of the forward one is either kept or computed again from what is kept. Keeping a number
costs a write and a read of memory; arithmetic costs a tenth of that, a transcendental function a third, and a product
or a sum is never done again. The cheapest choice is a smallest cut between the two passes.
"""

import itertools
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from latchwork.kernels.lower import Lowered, inputs, renamed, tidy
from latchwork.kernels.program import Op, Program, Source, Write

CHEAP = frozenset(
    "full neg abs relu sign floor not add sub mul maximum minimum lt le gt ge eq ne and or where".split()  # noqa: SIM905
)
DEAR = frozenset("sigmoid tanh exp".split())  # noqa: SIM905
KEPT, READ, AGAIN, AGAIN_DEAR = 4096, 3072, 320, 1280
"""What a number costs: kept and read, read alone, computed again by one operation, by one of the dear ones."""
FORWARD = ("output", "state")
INFINITE = 1 << 50


@dataclass(frozen=True)
class Split:
    """The programs, and the widths of what is kept."""

    forward: Program
    saving: Program
    backward: Program
    saved: tuple[int, ...]


def split(joint: Lowered, kept: Sequence[int]) -> Split:
    """``kept``: widths of the arrays that are kept in any case, the "saved" writes of the joint program."""
    ops = joint.ops
    ahead = [w for w in joint.writes if w.kind in FORWARD]
    forced = [w for w in joint.writes if w.kind == "saved"]
    back = [w for w in joint.writes if w.kind not in (*FORWARD, "saved")]
    there = {w.value: (w.index, w.offset) for w in reversed(forced)}
    forward = tidy(Program(tuple(ops), tuple(ahead)))

    late = _late(ops)
    wanted = _closure(ops, [w.value for w in back])
    edge = {i for i in wanted if not late[i]} & (
        {w.value for w in back} | {j for i in wanted if late[i] for j in inputs(ops[i])}
    )
    computed = _closure(ops, [w.value for w in (*ahead, *forced)])
    chosen = _cut(ops, edge, set(there), computed)

    # Values of one width side by side: a row of them lies on fewer pages, and is read on from one to the next.
    widths, extra, arrays = list(kept), [], {}
    for index in sorted(chosen - set(there)):
        array = arrays.setdefault(ops[index].width, len(kept) + len(arrays))
        if array == len(widths):
            widths.append(0)
        there[index] = (array, widths[array])
        extra.append(Write("saved", *there[index], index))
        widths[array] += ops[index].width
    saving = tidy(Program(tuple(ops), (*ahead, *forced, *extra)))
    loaded = {i: place for i, place in there.items() if i in chosen}
    return Split(forward, saving, _backward(ops, back, loaded), tuple(widths))


def _late(ops: Sequence[Op]) -> list[bool]:
    """What is made of cotangents."""
    late: list[bool] = []
    for op in ops:
        made = op.source is not None and op.source.kind.startswith("grad_")
        late.append(made or any(late[index] for index in inputs(op)))
    return late


def _closure(ops: Sequence[Op], values: Sequence[int]) -> set[int]:
    found: set[int] = set()
    open_ = list(values)
    while open_:
        index = open_.pop()
        if index not in found:
            found.add(index)
            open_.extend(inputs(ops[index]))
    return found


def _free(op: Op) -> bool:
    """Loaded again as it was."""
    return op.kind == "load" and op.source is not None and op.source.kind in ("projected", "constant", "vector")


def _again(op: Op) -> int:
    """What it costs to have a value once more without keeping it."""
    if op.kind == "full" or _free(op):
        return op.width * READ if op.source is not None and op.source.kind == "projected" else 0
    if op.kind in CHEAP:
        return op.width * AGAIN
    return op.width * AGAIN_DEAR if op.kind in DEAR else INFINITE


def _cut(ops: Sequence[Op], edge: set[int], kept: set[int], computed: set[int]) -> set[int]:
    """The values to load in the backward pass so that all of ``edge`` can be had: a smallest cut by vertices."""
    scope = _closure(ops, sorted(edge))
    source, sink = -1, -2
    flow: dict[object, dict[object, int]] = {source: {}, sink: {}}

    def join(a: object, b: object, room: int) -> None:
        flow.setdefault(a, {})
        flow.setdefault(b, {})
        flow[a][b] = flow[a].get(b, 0) + room
        flow[b].setdefault(a, 0)

    for index in scope:
        op = ops[index]
        again = _again(op)
        room = op.width * (READ if index in kept else KEPT)
        if index not in computed:  # the step has to compute it as well
            room += 1 + sum(_again(ops[made]) % INFINITE for made in _closure(ops, [index]) - computed)
        join((index, 0), (index, 1), room + 2)
        if again:
            join(source, (index, 0), again)
        if again < INFINITE:
            for before in set(inputs(op)):
                join((before, 1), (index, 0), INFINITE)
        if index in edge:
            join((index, 1), sink, INFINITE)
    while path := _path(flow, source, sink):
        room = min(flow[a][b] for a, b in itertools.pairwise(path))
        for a, b in itertools.pairwise(path):
            flow[a][b] -= room
            flow[b][a] += room
    # The cut nearest to the backward pass: what can still reach the sink lies behind it.
    behind = _reaches(flow, sink)
    return {index for index in scope if (index, 1) in behind and (index, 0) not in behind}


def _path(flow: Mapping[object, Mapping[object, int]], source: object, sink: object) -> list[object]:
    came: dict[object, object] = {source: source}
    open_ = deque([source])
    while open_ and sink not in came:
        at = open_.popleft()
        for to, room in flow[at].items():
            if room > 0 and to not in came:
                came[to] = at
                open_.append(to)
    if sink not in came:
        return []
    path = [sink]
    while path[-1] != source:
        path.append(came[path[-1]])
    return path[::-1]


def _reaches(flow: Mapping[object, Mapping[object, int]], sink: object) -> set[object]:
    found = {sink}
    open_ = [sink]
    while open_:
        at = open_.pop()
        for before in flow[at]:
            if before not in found and flow[before].get(at, 0) > 0:
                found.add(before)
                open_.append(before)
    return found


def _backward(ops: Sequence[Op], writes: Sequence[Write], loaded: Mapping[int, tuple[int, int]]) -> Program:
    made: list[Op] = []
    names: dict[int, int] = {}
    needed: set[int] = set()
    open_ = [w.value for w in writes]
    while open_:
        index = open_.pop()
        if index not in needed:
            needed.add(index)
            if index not in loaded:
                open_.extend(inputs(ops[index]))
    for index in sorted(needed):
        if index in loaded:
            at, offset = loaded[index]
            op = Op("load", ops[index].width, source=Source("saved", at, offset, ops[index].width))
        else:
            op = renamed(ops[index], names)
        names[index] = len(made)
        made.append(op)
    return tidy(Program(tuple(made), tuple(Write(w.kind, w.index, w.offset, names[w.value]) for w in writes)))
