"""The command line: thin commands over the front door. Options are the dataclass fields, the same names as in
Python.
"""

import os
import sys
from pathlib import Path

from cyclopts import CycloptsError
from cyclopts.config import Dict

from latchwork.cli import compare, finetune, generate, runs, train, translate, tune
from latchwork.cli.base import app, err, out
from latchwork.cli.config import TASKS, check_whole, configured
from latchwork.demo import demo as run_demo
from latchwork.doctor import doctor as examine
from latchwork.errors import LatchworkError, out_of_memory

__all__ = ["app", "compare", "finetune", "generate", "main", "runs", "train", "translate", "tune"]


@app.command
def demo(*, run: Path = Path("runs/co2")) -> None:
    """The main job on real data: 44 years of weekly CO2, trained, scored beside baselines, streamed.

    Args:
        run: Run folder; replaced if it is an earlier demo's.
    """
    run_demo(run, out, err)


@app.command
def doctor() -> None:
    """What is installed, what is missing, and which kernel runs which cell here."""
    examine(out)


def main(tokens: list[str] | None = None) -> None:
    """The entry point: one line on standard error and exit status 2 for whatever the user can mend."""
    words = list(sys.argv[1:] if tokens is None else tokens)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    try:
        app.config = ()  # nothing is left of an earlier call
        words, options = configured(words)
        if options:
            tasks = dict.fromkeys(TASKS, options)
            shared = {name: value for name, value in options.items() if name != "cell"}  # compare has several
            compared = {"classify": shared, "label": shared}
            app.config = Dict({"train": tasks, "tune": tasks, "backtest": tasks, "compare": compared})
        check_whole(app, words)
        app(words, exit_on_error=False, print_error=False)
    except (LatchworkError, CycloptsError) as error:
        if debug:
            raise
        message = " ".join(str(error).split())
        sys.stderr.write(f"latchwork: {message}\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.stderr.write("latchwork: interrupted; a run in training goes on with the same command and --resume\n")
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except (MemoryError, RuntimeError, TypeError) as error:
        if debug or not out_of_memory(error):
            raise
        sys.stderr.write("latchwork: too little memory for this network; lower hidden_size, embedding or batch_size\n")
        sys.exit(2)
    except (OSError, UnicodeError) as error:
        if debug:
            raise
        sys.stderr.write(f"latchwork: {' '.join(str(error).split())}\n")
        sys.exit(2)
