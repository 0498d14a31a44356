"""What the terminal shows beside tables of scores: the data as it was understood, and work under way."""

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from latchwork.modalities import RawTable

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
