"""Small pairs of texts that a translator learns in seconds, and translators that have."""

import random
from functools import cache
from typing import Any

from latchwork.layers import Network
from latchwork.tasks import Translate, TranslateSetup, read_translations
from latchwork.training import Training, fit_setup

WORDS = ["ab", "cd", "ef", "gh", "ij", "kl", "mn", "op"]
SMALL = Network(hidden_size=64, dropout=0.0)
QUICK = Training(steps=150, learning_rate=1e-2, average=0.9, device="cpu")


def backwards(count: int = 400, seed: int = 0) -> list[tuple[str, str]]:
    """Words, and the same from the last to the first in capital letters."""
    own = random.Random(seed)
    texts = [[own.choice(WORDS) for _ in range(own.randint(2, 6))] for _ in range(count)]
    return [(" ".join(text), " ".join(reversed(text)).upper()) for text in texts]


def names(count: int = 300, seed: int = 0) -> list[tuple[str, str]]:
    """Names that stand nowhere else, to be said again."""
    own = random.Random(seed)
    pairs = []
    for _ in range(count):
        name, town = ("".join(own.choice(letters) for _ in range(5)) for letters in ("abcdefghijkl", "mnopqrst"))
        pairs.append((f"my name is {name} and i live in {town}", f"{name} lives in {town}"))
    return pairs


def prepared(data: Any, network: Network = SMALL, **options: Any) -> TranslateSetup:
    """A setup that is not trained."""
    task = Translate(**{"tokenizer": "given", "metric": "rouge_l", "label_smoothing": 0.0, **options})
    labelled, _ = read_translations(task, data)
    return TranslateSetup.of(task, labelled, network, seed=0)


def learnt(data: Any, training: Training = QUICK, network: Network = SMALL, **options: Any) -> TranslateSetup:
    """A setup that is trained."""
    setup = prepared(data, network, **options)
    return fit_setup(setup, training.resolved(**setup.defaults()).completed()).setup


@cache
def turner() -> TranslateSetup:
    """Has learnt :func:`backwards`."""
    return learnt(backwards())


@cache
def copier() -> TranslateSetup:
    """Has learnt :func:`names`, by copying."""
    return learnt(names(), copy=True, coverage=0.1)
