"""What prints itself."""

import io

from rich.console import Console


class Printed:
    """What ``__rich_console__`` of a class shows, on a console and as text."""

    def print(self, console: Console | None = None) -> None:
        """All of it, on standard output where no console is given."""
        (console or Console()).print(self)

    def __str__(self) -> str:
        console = Console(file=io.StringIO(), width=120, no_color=True, force_terminal=False)
        with console.capture() as capture:
            console.print(self)
        return "\n".join(line.rstrip() for line in capture.get().splitlines())
