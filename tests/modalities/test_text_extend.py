"""A vocabulary that grows keeps the number of every token it had."""

import numpy as np
import pytest

from latchwork.errors import ConfigError
from latchwork.modalities import SourceOptions, Text
from latchwork.modalities.text_extend import extended
from latchwork.sequences import Labelled


def labelled(*content: object) -> Labelled:
    names = tuple(str(number) for number in range(len(content)))
    return Labelled(content=content, labels=(None,) * len(content), ids=names, places=names)


OLD = ("the cat sat", "the dog sat", "a cat ran")
NEW = ("the owl sat", "an owl ran", "the fox")


def every(one: Labelled) -> np.ndarray:
    return np.arange(len(one))


@pytest.mark.parametrize("options", [SourceOptions(), SourceOptions(characters=True), SourceOptions(tokenizer="char")])
def test_known_tokens_keep_their_numbers_and_new_ones_follow(options: SourceOptions) -> None:
    old = labelled(*OLD)
    text = Text.fit(old, every(old), options)
    wide = extended(text, labelled(*NEW), np.array([0, 1]), limit=100)
    assert wide.words[: len(text.words)] == text.words
    added = set(wide.words[len(text.words) :])
    assert added == (
        {"o", "w", "l"} - set(text.words) | {"n"} - set(text.words) if text.settings.unit == "char" else {"owl", "an"}
    )
    for before, after in zip(text.encode(old), wide.encode(old), strict=True):
        assert np.array_equal(before.tokens, after.tokens)  # type: ignore[arg-type]
    if options.characters:
        assert (wide.settings.letters or "").startswith(text.settings.letters or "?")
    again = Text.from_dict(wide.to_dict(), wide.files())
    assert again.words == wide.words
    assert wide.settings.vocabulary == len(wide.words) == wide.features.vocabulary


def test_only_the_rows_given_are_looked_at_and_only_so_many_taken() -> None:
    old = labelled(*OLD)
    text = Text.fit(old, every(old))
    new = labelled(*NEW, "the owl owl")
    assert "fox" not in extended(text, new, np.array([0, 1]), limit=100).words
    assert extended(text, new, every(new), limit=1).words[len(text.words) :] == ("owl",)
    assert extended(text, new, every(new), limit=0).words == text.words


def test_given_words_are_extended_and_pieces_are_not() -> None:
    given = labelled(("The", "cat"), ("A", "dog"))
    text = Text.fit(given, every(given))
    assert extended(text, labelled(("An", "Owl"), ("2", "owls")), np.array([0, 1]), limit=9).words[-4:] == (
        "0", "an", "owl", "owls",
    )  # fmt: skip
    old = labelled(*OLD * 4)
    pieces = Text.fit(old, every(old), SourceOptions(tokenizer="bpe", vocabulary_size=30))
    with pytest.raises(ConfigError, match="reads any text"):
        extended(pieces, old, every(old), limit=9)
