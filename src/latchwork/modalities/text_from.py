"""Texts read as a language model reads them, so that what it learnt of its tokens can be taken over."""

import json
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from latchwork.modalities import text_tokens
from latchwork.modalities.source import SourceOptions
from latchwork.modalities.text import Text, TextCounts, TextSettings
from latchwork.modalities.text_tokens import SPECIAL, UNKNOWN, Unit
from latchwork.modalities.vocabulary import END, Vocabulary
from latchwork.modalities.writer import JOIN
from latchwork.optional import load
from latchwork.sequences.examples import Labelled


def text_from(
    vocabulary: Vocabulary, labelled: Labelled, rows: Sequence[int] | NDArray[np.int64], options: SourceOptions
) -> tuple[Text, NDArray[np.int64]]:
    """A :class:`Text` that cuts these texts as the vocabulary does, with its tokens; and [tokens] the vocabulary's
    number of each.

    Words lose their mark of standing without a blank; where a word is known with it and without, the more frequent one
    is taken. Ends of lines and of texts have no place in a text that is classified.
    """
    part = labelled.select(rows)
    given = isinstance(part.content[0], tuple)
    tokens, numbers = _tokens(vocabulary)
    unit: Unit = "given" if given else "word" if vocabulary.unit in ("word", "given") else vocabulary.unit
    tokenizer = (
        _pieces(vocabulary) if unit == "bpe" else text_tokens.fixed(unit, tokens, lowercase=vocabulary.lowercase)
    )
    read = list(text_tokens.numbers(tokenizer, list(part.content), given=given))
    lengths = [len(one) for one in read]
    limit = options.max_length
    about = TextCounts(
        texts=len(read), tokens=sum(lengths), middle=float(np.median(lengths)), longest=max(lengths),
        cut=0 if limit is None else sum(one > limit for one in lengths),
        unknown=int((np.concatenate(read) == UNKNOWN).sum()), rare=0,
    )  # fmt: skip
    settings = TextSettings(unit, len(tokens) + len(SPECIAL), None, limit, options.keep, about)
    return Text(settings, text_tokens.dump(tokenizer)), np.array([*range(len(SPECIAL)), *numbers], np.int64)


def _tokens(vocabulary: Vocabulary) -> tuple[list[str], list[int]]:
    """The tokens that texts have, and their numbers."""
    found: dict[str, int] = {}
    for number, token in enumerate(vocabulary.tokens):
        word = token.removeprefix(JOIN) if vocabulary.unit == "word" else token
        if number > END and word and (word != "\n" or vocabulary.unit in ("char", "bpe")) and word not in SPECIAL:
            found.setdefault(word, number)
    return list(found), list(found.values())


def _pieces(vocabulary: Vocabulary) -> text_tokens.Tokenizer:
    """The vocabulary's own tokenizer, its numbers moved behind the special ones."""
    library = load("tokenizers")
    cleaner = library.normalizers
    held = json.loads(vocabulary.tokenizer.to_str())
    tokens, _ = _tokens(vocabulary)
    held["model"]["vocab"] = {token: number for number, token in enumerate((*SPECIAL, *tokens))}
    held["model"]["unk_token"] = SPECIAL[UNKNOWN]
    made = library.Tokenizer.from_str(json.dumps(held))
    steps = [cleaner.Lowercase()] * vocabulary.lowercase + [cleaner.NFC()]
    made.normalizer = cleaner.Sequence(steps)
    return made
