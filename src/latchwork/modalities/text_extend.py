"""A fitted vocabulary with the words of other texts behind it: what was learnt of the known words stays theirs."""

from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latchwork.errors import ConfigError
from latchwork.modalities import text_tokens
from latchwork.modalities.text import MANY, Text
from latchwork.modalities.text_letters import MANY_LETTERS, known_letters
from latchwork.modalities.text_tokens import SPECIAL, UNKNOWN
from latchwork.optional import load
from latchwork.sequences import Labelled


def extended(text: Text, labelled: Labelled, rows: NDArray[np.int64], *, limit: int) -> Text:
    """``text`` with the words (or characters) of the texts ``rows`` that it does not know, ``limit`` at most.

    Every token keeps its number, so that rows of an embedding can be copied; new ones stand behind, the more frequent
    first. As where a vocabulary is fitted, words that stand once in 10,000 tokens or more stay unknown. Letters that
    words are read by are extended alike.

    Raises :class:`ConfigError` where the vocabulary is of pieces (bpe, unigram): these read any text.
    """
    settings = text.settings
    if settings.unit in ("bpe", "unigram"):
        raise ConfigError(f"a vocabulary of {settings.unit} pieces reads any text and is not extended; keep it")
    known = text_tokens.parse(text.tokenizer)
    texts: list[Any] = list(labelled.select(rows).content)
    given = settings.unit == "given"
    every = text_tokens.keep(known, ())
    trainer = load("tokenizers.trainers").WordLevelTrainer(
        vocab_size=1 << 40, special_tokens=list(SPECIAL), show_progress=False
    )
    every.train_from_iterator(chain.from_iterable(texts) if given else texts, trainer)
    numbers = list(text_tokens.numbers(every, texts, given=given))
    words = text_tokens.vocabulary(every)
    counts = np.bincount(np.concatenate(numbers), minlength=len(words))
    least = 2 if counts.sum() >= MANY else 1
    old = set(text.words)
    new = [word for word, count in zip(words, counts, strict=True) if word not in old and count >= least][:limit]
    tokenizer = text_tokens.keep(known, [*text.words, *new])
    letters = settings.letters
    if letters is not None:
        spelt = texts if given else text_tokens.surfaces(tokenizer, texts)
        found = [one for one in known_letters(spelt, once=least == 1) if one not in letters]
        letters += "".join(found[: max(0, MANY_LETTERS - len(letters))])
    read = np.concatenate(list(text_tokens.numbers(tokenizer, texts, given=given)))
    lengths = [len(one) for one in numbers]
    about = replace(
        settings.counts, texts=len(texts), tokens=int(counts.sum()), middle=float(np.median(lengths)),
        longest=max(lengths), unknown=int((read == UNKNOWN).sum()), rare=0,
        cut=0 if settings.max_length is None else sum(one > settings.max_length for one in lengths),
    )  # fmt: skip
    vocabulary = len(text.words) + len(new)
    return Text(replace(settings, vocabulary=vocabulary, letters=letters, counts=about), text_tokens.dump(tokenizer))
