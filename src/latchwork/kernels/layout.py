"""The order of the elements of each base, and where it is cut into values: so that every operation takes whole values.

An operation of a program takes whole values of one width, or values of width 1. Elements that lie side by side in all
that takes them stay together; where one consumer sees them apart (the gates of a product), they are cut for all, so
that nothing is computed twice.
"""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from latchwork.errors import KernelError
from latchwork.kernels.elements import Base, Elements, Ids, Marks

PIECES = 4096
"""Most values of a program; more are a cell that shuffles its columns."""

Target = tuple[str, int]


class Layout:
    """Bases that are needed, with ids of their own, and ``cut``: whether a value begins at an id."""

    def __init__(self, elements: Elements, targets: Mapping[Target, Ids]) -> None:
        self.elements = elements
        self.bases, self.targets = _ordered(elements, targets)
        self.starts = np.array([base.start for base in self.bases])
        self.count = self.bases[-1].start + self.bases[-1].size
        self.cut = np.zeros(self.count + 1, dtype=bool)
        self.cut[self.starts] = True
        self.cut[-1] = True
        self.number = {base.start: base.value for base in self.bases if base.form == "number"}
        self.target_cuts = {target: _first(ids) for target, ids in self.targets.items()}
        self._settle()

    def base_of(self, element: int) -> Base:
        return self.bases[int(np.searchsorted(self.starts, element, side="right")) - 1]

    def ends(self, start: int) -> int:
        """Where the value that begins at ``start`` ends."""
        return start + 1 + int(np.argmax(self.cut[start + 1 :]))

    def segments(self, base: Base) -> list[tuple[int, int]]:
        """The values of a base: (first, end) counted from its start."""
        at = [*np.flatnonzero(self.cut[base.start : base.start + base.size]).tolist(), base.size]
        return list(itertools.pairwise(at))

    def runs(self, ids: Ids, cuts: Marks | None = None) -> list[tuple[int, int]]:
        """Parts of an array that are one value each, or one element again and again."""
        if not ids.size:
            return []
        begins = _first(ids) | self._inside(ids)
        if cuts is not None:
            begins |= cuts
        at = [*np.flatnonzero(begins).tolist(), len(ids)]
        return list(itertools.pairwise(at))

    def _inside(self, ids: Ids) -> Marks:
        """Where a value begins inside a run that goes up by one."""
        up = np.zeros(len(ids), dtype=bool)
        up[1:] = ids[1:] == ids[:-1] + 1
        return up & self.cut[ids]

    def _mark(self, ids: Ids, begins: Marks) -> None:
        """Values must begin and end where these runs do."""
        at = np.flatnonzero(begins)
        self.cut[ids[at]] = True
        self.cut[ids[at[1:] - 1] + 1] = True
        self.cut[ids[-1] + 1] = True

    def _settle(self) -> None:
        count = -1
        while count != (count := self._total()):
            if count > PIECES:
                raise KernelError(
                    f"{self.elements.where} takes its columns apart into more than {PIECES} pieces; "
                    f"gates that lie side by side (chunk, split) stay whole"
                )
            for target, ids in self.targets.items():
                self.target_cuts[target] |= self._inside(ids)
                self._mark(ids, self.target_cuts[target])
            for base in reversed(self.bases):
                if base.form == "pointwise":
                    self._settle_pointwise(base)
                elif base.form == "reduce":
                    self.cut[base.start : base.start + base.size] = True
                    for row in base.args[0]:
                        self._mark(row, _first(row) | self._inside(row))
                elif base.form == "product":
                    self._settle_product(base)

    def _total(self) -> int:
        return int(self.cut.sum()) + sum(int(cuts.sum()) for cuts in self.target_cuts.values())

    def _settle_pointwise(self, base: Base) -> None:
        own = self.cut[base.start : base.start + base.size]
        for ids in base.args:
            own |= _first(ids) | self._inside(ids)
        for ids in base.args:
            self._mark(ids, own)

    def _settle_product(self, base: Base) -> None:
        assert base.coordinates is not None
        assert base.matrix is not None
        own = self.cut[base.start : base.start + base.size]
        _heads, rows, _ = base.matrix.shape
        head, row = base.coordinates // rows, base.coordinates % rows
        straight = np.zeros(base.size, dtype=bool)
        straight[1:] = (head[1:] == head[:-1]) & (row[1:] == row[:-1] + 1)
        straight &= ~_row_breaks(self.elements, base)[row]
        for first, end in self.segments(base):
            begins = np.flatnonzero(~straight[first:end]) + first
            begins = begins if begins.size and begins[0] == first else np.array([first, *begins])
            if len(begins) > 1 and not self._block(base, head, row, begins, end):
                own[begins] = True
        for first, end in self.segments(base):
            low, high = int(head[first]), int(head[end - 1]) + 1
            ids = base.args[0][low:high]
            for begin, stop in self.blocks(base, low, high):
                if ids[0, begin] not in self.number:
                    self.cut[ids[0, begin]] = True
                    self.cut[ids[-1, stop - 1] + 1] = True

    def _block(self, base: Base, head: Ids, row: Ids, begins: Ids, end: int) -> bool:
        """Whether these runs are the same rows of neighbouring heads, whose operands lie side by side."""
        width = begins[1] - begins[0]
        if not (np.diff([*begins, end]) == width).all():
            return False
        if not ((np.diff(head[begins]) == 1).all() and (row[begins] == row[begins[0]]).all()):
            return False
        low, high = int(head[begins[0]]), int(head[begins[-1]]) + 1
        ids = base.args[0][low:high]
        for begin, stop in self.blocks(base, low, high):
            part = ids[:, begin:stop].reshape(-1)
            same = (part == part[0]).all() and int(part[0]) in self.number
            whole = (np.diff(part) == 1).all() and not self.cut[part[1:]].any()
            if not (same or whole):
                return False
        return True

    def blocks(self, base: Base, low: int, high: int) -> list[tuple[int, int]]:
        """The columns of a product cut where the operand of any of these heads is."""
        assert base.matrix is not None
        ids = base.args[0][low:high]
        begins = _column_breaks(self.elements, base)
        for row in ids:
            begins = begins | _first(row) | self._inside(row)
        at = [*np.flatnonzero(begins).tolist(), ids.shape[1]]
        return list(itertools.pairwise(at))


def _first(ids: Ids) -> Marks:
    """Where a run begins that goes up by one or stays."""
    begins = np.zeros(len(ids), dtype=bool)
    if not len(ids):
        return begins
    begins[0] = True
    step = np.diff(ids)
    begins[1:] = (step != 0) & (step != 1)
    # A run that goes up and then stays, or the other way round, is two.
    begins[2:] |= (step[1:] != step[:-1]) & ~begins[2:] & ~begins[1:-1]
    return begins


def _steps(places: np.ndarray) -> Marks:
    """Where a sequence of places changes its step."""
    begins = np.zeros(len(places), dtype=bool)
    begins[0] = True
    step = np.diff(places)
    begun = 0
    for at in np.flatnonzero(step[1:] != step[:-1]) + 2:
        if at - begun >= 2:
            begins[at] = True
            begun = int(at)
    return begins


def _row_breaks(elements: Elements, base: Base) -> Marks:
    assert base.matrix is not None
    assert base.node is not None
    if elements.strided(base.node, base.matrix):
        return np.zeros(base.matrix.shape[1], dtype=bool)
    return _breaks(base.matrix[:, :, 0].numpy())


def _column_breaks(elements: Elements, base: Base) -> Marks:
    assert base.matrix is not None
    assert base.node is not None
    if elements.strided(base.node, base.matrix):
        begins = np.zeros(base.matrix.shape[2], dtype=bool)
        begins[0] = True
        return begins
    return _breaks(base.matrix[:, 0, :].numpy())


def _breaks(places: np.ndarray) -> Marks:
    begins = _steps(places[0])
    for row in places[1:]:
        if (np.diff(row) != np.diff(places[0])).any():
            begins = begins | _steps(row)
    return begins


def _ordered(elements: Elements, targets: Mapping[Target, Ids]) -> tuple[list[Base], dict[Target, Ids]]:
    """The bases that are needed, each with its needed elements in the order in which they are taken."""
    starts = np.array([base.start for base in elements.bases])
    takers: list[list[Ids]] = [[] for _ in elements.bases]

    def take(ids: Ids) -> None:
        for index in np.unique(np.searchsorted(starts, np.unique(ids), side="right") - 1):
            takers[index].append(ids)

    for ids in targets.values():
        take(ids.reshape(1, -1))
    kept: list[Base] = []
    for index in reversed(range(len(elements.bases))):
        base = elements.bases[index]
        if not takers[index]:
            continue
        made = replace(base)
        order = np.arange(base.size)
        if base.form in ("pointwise", "product", "reduce"):
            order = _order(base, takers[index])
            made.size = len(order)
            if base.coordinates is not None:
                made.coordinates = base.coordinates[order]
            else:
                made.args = [ids[order] for ids in base.args]
        for ids in made.args:
            take(ids if base.form in ("product", "reduce") else ids.reshape(1, -1))
        kept.append(made)
        takers[index] = [order]
    kept.reverse()
    names = np.full(elements.count, -1, dtype=np.int64)
    start = 0
    for base in kept:
        (order,) = takers[int(np.searchsorted(starts, base.start))]
        names[base.start + order] = np.arange(start, start + base.size)
        base.start, start = start, start + base.size
    for base in kept:
        base.args = [names[ids] for ids in base.args]
    return kept, {target: names[ids] for target, ids in targets.items()}


def _order(base: Base, takers: list[Ids]) -> Ids:
    """The needed elements of a base, in the order that leaves the fewest breaks in what takes them."""
    own = [np.where((ids >= base.start) & (ids < base.start + base.size), ids - base.start, -1) for ids in takers]
    needed = np.zeros(base.size, dtype=bool)
    for ids in own:
        needed[ids[ids >= 0]] = True

    def score(order: Ids) -> int:
        place = np.full(base.size + 1, -2, dtype=np.int64)
        place[order] = np.arange(len(order))
        total = 0
        for ids in own:
            at = place[ids]
            step = np.diff(at, axis=1)
            total += int(((step != 0) & (step != 1) & (at[:, 1:] >= 0) & (at[:, :-1] >= 0)).any(axis=0).sum())
        return total

    def orders() -> Iterator[Ids]:
        yield np.flatnonzero(needed)
        for ids in own:
            flat = ids[ids >= 0]
            _, first = np.unique(flat, return_index=True)
            seen = flat[np.sort(first)]
            rest = needed.copy()
            rest[seen] = False
            yield np.concatenate([seen, np.flatnonzero(rest)])

    best, least = None, None
    for order in orders():
        breaks = score(order)
        if least is None or breaks < least:
            best, least = order, breaks
        if least == 0:
            break
    assert best is not None
    return best
