"""What the terminal shows beside tables of scores: the data as it was understood, and work under way."""

import contextlib
from collections.abc import Callable, Iterator, Sequence

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from latchwork.evaluation import Finding
from latchwork.modalities import Finding as Written
from latchwork.modalities import RawTable, Text
from latchwork.tasks import SequenceSetup

MOST_COLUMNS = 12


def print_data(raw: RawTable, console: Console) -> None:
    """The columns with their part, kind and range, then what a person should look at."""
    table = Table(
        box=None,
        padding=(0, 2, 0, 0),
        title_justify="left",
        title=f"{raw.name}: {len(raw):,} rows, {len(raw.ids):,} series, {raw.frequency.name}",
    )
    for title in ("column", "part", "kind", "missing", "low", "high"):
        table.add_column(title, justify="right" if title == "missing" else "left")
    columns = raw.describe()
    for one in columns[:MOST_COLUMNS]:
        table.add_row(one.name, one.role, one.kind, f"{one.missing:.1%}", one.low, one.high)
    console.print(table)
    if len(columns) > MOST_COLUMNS:
        console.print(f"  … and {len(columns) - MOST_COLUMNS} more columns", style="dim")
    for finding in [*raw.notes, *raw.lint()]:
        console.print(f"  [yellow]·[/] {finding}", highlight=False)
    console.print()


def print_examples(setup: SequenceSetup, findings: Sequence[Finding], console: Console) -> None:
    """How many sequences of which label each part has, then what a person should look at."""
    targets, split = setup.pipeline.targets, setup.split
    table = Table(
        box=None,
        padding=(0, 2, 0, 0),
        title_justify="left",
        title=f"{len(setup.labelled):,} sequences of {setup.pipeline.modality.kind}, asked for: {targets.kind}",
    )
    table.add_column("part")
    for title in ("sequences", "steps: median", "longest"):
        table.add_column(title, justify="right")
    for name, rows in (("training", split.train), ("validation", split.validation), ("test", split.test)):
        lengths = sorted(len(setup.encoded[row]) for row in rows)
        shown = [f"{lengths[len(lengths) // 2]:,}", f"{lengths[-1]:,}"] if lengths else ["", ""]
        table.add_row(name, f"{len(rows):,}", *shown)
    console.print(table)
    if targets.classes:
        most = sorted(zip(targets.counts, targets.classes, strict=True), reverse=True)[:MOST_COLUMNS]
        shown = ", ".join(f"{escape(name)} {count / sum(targets.counts):.1%}" for count, name in most)
        more = "" if len(targets.classes) <= MOST_COLUMNS else f", … {len(targets.classes)} labels in all"
        console.print(f"  labels in training: {shown}{more}", style="dim", highlight=False)
    modality = setup.pipeline.modality
    for line in modality.summary if isinstance(modality, Text) else ():
        console.print(f"  {escape(line)}", style="dim", highlight=False)
    for finding in findings:
        color = {"leak": "bold red", "suspect": "yellow"}.get(finding.severity, "dim")
        console.print(f"  [{color}]·[/] {escape(str(finding))}", highlight=False)
    console.print()


def print_writing(lines: Sequence[str], findings: Sequence[Written], console: Console) -> None:
    """What each part of a text holds, then what a person should look at."""
    for line in lines:
        console.print(f"  {escape(line)}", style="dim", highlight=False)
    for finding in findings:
        console.print(f"  [yellow]·[/] {escape(str(finding))}", highlight=False)
    console.print()


@contextlib.contextmanager
def telling(console: Console) -> Iterator[Callable[[str, float], None] | None]:
    """Bars for what goes on beside training; None where nobody looks."""
    if not console.is_terminal:
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        known = {}

        def tell(what: str, share: float) -> None:
            if what not in known:
                known[what] = bars.add_task(what, total=1.0)
            bars.update(known[what], completed=share)

        yield tell
