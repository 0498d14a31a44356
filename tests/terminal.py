"""The command line as a test calls it."""

import pytest

from latchwork.cli import main


def command(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    """(exit status, standard output, standard error)."""
    code = 0
    try:
        main([str(word) for word in words])
    except SystemExit as stop:
        code = int(stop.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """The one line that is said of words that can't be."""
    code, _, err = command(capsys, *words)
    assert code == 2, err
    assert err.startswith("latchwork: ")
    assert len(err.strip().splitlines()) == 1, err
    return err
