"""Tiny texts that can be told apart, and a search over them that takes a moment."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from latchwork.tasks import Classify
from latchwork.training import Training
from latchwork.tuning import Tuned, tune

SPACE: dict[str, Any] = {
    "network.hidden_size": [3, 4],
    "training.learning_rate": {"low": 1e-3, "high": 3e-2, "log": True},
    "classify.pooling": ["mean", "max"],
}


def texts_of(count: int = 60, *, test: str = "fine") -> str:
    """A csv of short texts, pos and neg by a word; the last fifth is the test part. test: what stands in that."""
    random = np.random.default_rng(0)
    lines = ["text,label,part"]
    for number in range(count):
        held = number >= 0.8 * count
        word = "grim" if number % 2 else test if held else "fine"
        words = [*random.choice(["the", "a", "film", "was", "and", "it"], 3), word, f"n{number}"]
        lines.append(f"{' '.join(words)},{('pos', 'neg')[number % 2]},{'test' if held else 'train'}")
    return "\n".join(lines) + "\n"


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """A file of them."""
    path = tmp_path / "texts.csv"
    path.write_text(texts_of(), encoding="utf-8")
    return path


@pytest.fixture
def other_texts(tmp_path: Path) -> Path:
    """The same but for the test part."""
    path = tmp_path / "other.csv"
    path.write_text(texts_of(test="unheard-of"), encoding="utf-8")
    return path


@pytest.fixture
def small() -> Callable[..., Tuned]:
    """A search of a second."""

    def run(data: Any, folder: Path, **options: Any) -> Tuned:
        given: dict[str, Any] = {
            "space": SPACE,
            "training": Training(steps=4, batch_size=8),
            "trials": 3,
            "task": Classify(embedding=4, split="part"),
            **options,
        }
        return tune(given.pop("task"), data, run=folder, **given)

    return run
