"""What a network takes over from one that was trained before, what starts anew, and how fast and from when each learns.

Layer groups stand from the head down: ``head`` (all that is neither body nor encoder), ``body.layers.N`` … ``0`` with
the norm before it, ``encoder``.
"""

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markup import escape
from rich.table import Table
from torch import Tensor, nn

from latchwork.errors import ConfigError, ModelFileError, did_you_mean
from latchwork.training.schedule import Group

HEAD = "head"


class Part(NamedTuple):
    """A layer group: its name, and the modules in it by theirs."""

    name: str
    modules: tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """One part. taken, new, left_out, frozen: how many weights; frozen are of those that the network has.

    rate, start: the share of the learning rate, and the step from which on it learns
    """

    part: str
    taken: int
    new: int
    left_out: int
    frozen: int = 0
    rate: float = 1.0
    start: int = 0

    @property
    def learns(self) -> str:
        """How it goes on, for people."""
        whole = self.taken + self.new
        if self.frozen >= whole:
            return "frozen" if whole else ""
        rate = "full rate" if self.rate == 1 else f"{self.rate:.3g} of the rate"
        later = f", from step {self.start + 1:,}" if self.start else ""
        return rate + later + (f" ({self.frozen:,} frozen)" if self.frozen else "")


@dataclass(frozen=True)
class Takeover:
    """What was taken over, printable. source: where from. notes: what a reader must know."""

    source: str
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()

    @property
    def groups(self) -> dict[str, Row]:
        """The rows by part."""
        return {row.part: row for row in self.rows}

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table = Table(title=f"Weights from {escape(self.source)}", title_justify="left", box=SIMPLE_HEAD)
        table.add_column("part")
        for title in ("taken", "new", "left out"):
            table.add_column(title, justify="right")
        table.add_column("learns at")
        for row in self.rows:
            table.add_row(escape(row.part), f"{row.taken:,}", f"{row.new:,}", f"{row.left_out:,}", row.learns)
        yield table
        for note in self.notes:
            yield f"  [yellow]·[/] {escape(note)}"


def parts_of(module: nn.Module) -> list[Part]:
    """The layer groups that have parameters, from the head down."""
    held = dict.fromkeys(name.partition(".")[0] for name, _ in module.named_parameters())
    parts = [Part(HEAD, tuple(name for name in held if name not in ("body", "encoder")))]
    body: Any = module.get_submodule("body")
    norms = len(getattr(body, "norms", ()))
    for index in reversed(range(len(body.layers))):
        before = (f"body.norms.{index - 1}",) if index and norms else ()
        parts.append(Part(f"body.layers.{index}", (f"body.layers.{index}", *before)))
    return [*parts, Part("encoder", ("encoder",))] if "encoder" in held else parts


def take(module: nn.Module, state: Mapping[str, Tensor], source: str, *, anew: Collection[str] = ()) -> list[Row]:
    """Copy ``state`` into ``module`` by name; what ``anew`` names (parts) starts as it is.

    Where a tensor has more rows than there were, the first ones are taken: a vocabulary that grew. Raises
    :class:`ModelFileError` where the shapes are others.
    """
    own = module.state_dict()
    counts: dict[str, list[int]] = {part.name: [0, 0, 0] for part in parts_of(module)}
    with torch.no_grad():
        for name, target in own.items():
            part, known = _part_of(name, counts), state.get(name)
            copied = 0
            if known is not None and part not in anew:
                grown = name.endswith("embedding.weight") and known.shape[1:] == target.shape[1:]
                if known.shape != target.shape and not (grown and len(known) < len(target)):
                    raise ModelFileError(
                        f"{source}: {name} has shape {tuple(known.shape)}, and the network's has {tuple(target.shape)}"
                    )
                (target[: len(known)] if grown else target).copy_(known)
                copied = known.numel()
            if target.is_floating_point():
                counts[part][0] += copied
                counts[part][1] += target.numel() - copied
    for name, known in state.items():
        part = _part_of(name, counts)
        if (name not in own or part in anew) and known.is_floating_point():
            counts[part][2] += known.numel()
    return [Row(part, *three) for part, three in counts.items()]


def _part_of(name: str, parts: Mapping[str, Any]) -> str:
    """The part of a tensor: norms between layers belong to the layer above, whatever else is no part to the head."""
    first, *rest = name.split(".")
    if first == "body":
        index = int(rest[1]) + (rest[0] == "norms")
        return f"body.layers.{index}"
    return first if first in parts else HEAD


def planned(
    module: nn.Module, rows: Sequence[Row], *, layer_decay: float, epoch: int, gradual: bool
) -> tuple[list[Row], list[Group]]:
    """The rows with their rates and starts, and the groups for the training loop.

    rate   layer_decay^depth, the head's depth being 0
    start  gradual: one more group each epoch of so many steps, from the head down

    Parts of which nothing was taken learn at the full rate from the first step on, frozen ones never. Source: Howard &
    Ruder 2018, arXiv:1801.06146 (there the rate of a layer is 1/2.6 of the one above).
    """
    found, groups, waiting = [], [], 0
    by_name = {row.part: row for row in rows}
    for depth, part in enumerate(parts_of(module)):
        row = by_name[part.name]
        parameters = [one for name in part.modules for one in module.get_submodule(name).parameters()]
        frozen = sum(one.numel() for one in parameters if not one.requires_grad)
        still = all(not one.requires_grad for one in parameters)
        if row.taken:
            row = Row(part.name, row.taken, row.new, row.left_out, rate=layer_decay**depth,
                      start=epoch * waiting if gradual and not still else 0)  # fmt: skip
        whole = row.taken + row.new
        found.append(Row(part.name, row.taken, row.new, row.left_out, whole if still else frozen, row.rate, row.start))
        if not still:
            groups.append(Group(part.modules, row.rate, row.start))
            waiting += 1
    return found, groups


@contextlib.contextmanager
def frozen(module: nn.Module, names: Sequence[str]) -> Iterator[None]:
    """Inside the block the parameters of these parts, or of these modules, do not learn.

    Raises :class:`ConfigError` where a name is no part of the network.
    """
    known = [name for name, one in module.named_modules() if name and any(True for _ in one.parameters())]
    known += [name for name, _ in module.named_parameters()]
    parts = {part.name: part.modules for part in parts_of(module)}
    held: list[nn.Parameter] = []
    for name in names:
        if name not in known:
            shown = ", ".join((*parts, "body"))
            raise ConfigError(
                f'freeze names "{name}", which is no part of the network{did_you_mean(name, known)}; parts: {shown}'
            )
        for inner in parts.get(name, (name,)):
            held += [one for path, one in module.named_parameters() if f"{path}.".startswith(f"{inner}.")]
    held = [one for one in held if one.requires_grad]
    for one in held:
        one.requires_grad_(False)
    try:
        yield
    finally:
        for one in held:
            one.requires_grad_(True)
