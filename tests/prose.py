"""Texts that a test can learn in a moment, and a small language model of each kind of token."""

from functools import cache

import numpy as np

from latchwork import Generate, LanguageModel, Network, Training, fit

VERBS = ("sees", "likes", "finds", "hears")
NAMES = ("Ann", "Bob", "Eve", "Max")
ENDS = (".", "!", ", and how!")
THINGS = ("the cat", "the dog", "a bird", "the old house")


def prose(sentences: int = 400, seed: int = 0) -> str:
    """Sentences of few words, ten to a line."""
    random = np.random.default_rng(seed)
    made = [
        f"{random.choice(NAMES)} {random.choice(VERBS)} {random.choice(THINGS)}{random.choice(ENDS)}"
        for _ in range(sentences)
    ]
    return "\n".join(" ".join(made[at : at + 10]) for at in range(0, sentences, 10)) + "\n"


@cache
def writer(unit: str = "char", cell: str = "lstm") -> LanguageModel:
    """A trained one; not to be changed."""
    size = 280 if unit == "bpe" else None
    return fit(
        Generate(tokenizer=unit, vocabulary_size=size),  # type: ignore[arg-type]
        [prose()],
        network=Network(cell=cell, hidden_size=48, dropout=0.1),
        training=Training(steps=150, learning_rate=1e-2, batch_size=8, truncate=40),
    )
