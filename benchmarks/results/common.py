"""What the result scripts share: where the data is, how a run is told."""

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

import latchwork
import latchwork as lw
from latchwork.training import Callback, Progress


def data(*parts: str) -> Path:
    """A file of the public data sets, below the folder that LATCHWORK_DATA names."""
    root = os.environ.get("LATCHWORK_DATA")
    if not root:
        sys.exit("LATCHWORK_DATA is not set; give the folder that holds the public data sets")
    path = Path(root, *parts)
    if not path.exists():
        sys.exit(f"{path} is not there; LATCHWORK_DATA names another folder, or the set is missing")
    return path


def labelled(
    task: lw.Classify | lw.Label,
    source: Any,
    seed: int,
    also: Mapping[str, Callable[[Any], Any]] | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Train, score once on the test part beside the baselines: every method's figures, the verdict, what validation
    found. Nothing is chosen here. also: more to ask of the trained model, by name.
    """
    training = lw.Training(seed=seed, **options.pop("training", {}))
    model = lw.fit(task, source, training=training, callbacks=[Progress()], **options)
    return {
        **told(model),
        "sequences": model.leaderboard().count,
        "leaks": [str(one) for one in model.findings if one.severity == "leak"],
        **{name: ask(model) for name, ask in (also or {}).items()},
    }


def written(
    task: lw.Generate | lw.Translate,
    source: Any,
    seed: int,
    also: Mapping[str, Callable[[Any], Any]] | None = None,
    **options: Any,
) -> dict[str, Any]:
    """The same for a language model or a translator, with what training alone took."""
    training = lw.Training(seed=seed, **options.pop("training", {}))
    began, ends = time.perf_counter(), _Clock()
    model = lw.fit(task, source, training=training, callbacks=[Progress(), ends], **options)
    return {
        **told(model),
        "training_seconds": round(ends.at - began, 1),
        **{name: ask(model) for name, ask in (also or {}).items()},
    }


def told(model: Any) -> dict[str, Any]:
    """Every method's figures, the verdict, what validation found."""
    board = model.leaderboard()
    return {
        "main": board.main,
        "figures": {row.name: {name: round(value, 4) for name, value in row.values.items()} for row in board.rows},
        "interval": [round(board.model.lower, 4), round(board.model.upper, 4)],
        "verdict": board.verdict(),
        "notes": list(board.notes),
        "validation": model.outcome.best,
        "steps": model.outcome.best_step,
    }


class _Clock(Callback):
    """When training ended."""

    at = 0.0

    def end(self, outcome: Any) -> None:
        self.at = time.perf_counter()


def run(name: str, measure: Callable[[int], dict[str, Any]]) -> None:
    """Measure once for each seed asked for; print the figures, as JSON with --json."""
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("--seed", type=int, nargs="+", default=[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true", help="one JSON line a seed on standard output")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for seed in options.seed:
        begin = time.perf_counter()
        figures = measure(seed)
        facts = {
            "result": name,
            "seed": seed,
            **figures,
            "seconds": round(time.perf_counter() - begin, 1),
            "threads": options.threads,
            "latchwork": latchwork.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        }
        if options.json:
            print(json.dumps(facts), flush=True)
        else:
            print("\n".join(f"{key:>20}  {value}" for key, value in facts.items()), flush=True)
