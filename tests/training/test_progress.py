"""Progress: a bar on a terminal, short lines elsewhere."""

import io
from types import ModuleType

from rich.console import Console

from latchwork.training import Progress, train


def shown(toy: ModuleType, terminal: bool) -> str:
    text = io.StringIO()
    console = Console(file=text, force_terminal=terminal, width=160)
    train(toy.Adding(), toy.OPTIONS, callbacks=[Progress(console)])
    return text.getvalue()


def test_short_lines_without_a_terminal(toy: ModuleType) -> None:
    lines = shown(toy, terminal=False).splitlines()
    assert len(lines) == 7
    assert lines[0].startswith("step 7 of 40  loss ")
    assert "  mse " in lines[0]
    assert ", best " in lines[0]
    assert lines[-1].startswith("trained 40 steps: all steps made, the weights of step ")
    assert "\x1b" not in "".join(lines)


def test_a_bar_on_a_terminal(toy: ModuleType) -> None:
    text = shown(toy, terminal=True)
    assert "40/40" in text
    assert "left" in text
    assert "norm " in text
