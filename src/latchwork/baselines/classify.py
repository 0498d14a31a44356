"""Answers for whole sequences without a recurrent network: by frequency, by words, by summaries, by pixels."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from latchwork import optional
from latchwork.baselines.features import Array, Side, all_steps, pixels, summaries
from latchwork.baselines.learners import Answer, Kind, Matrix, Targets, boosted, kind_of, linear
from latchwork.errors import DataError, MissingExtra

LETTERS = 400
"""Of a long text so many letters are read by their n-grams."""

MOST_NGRAMS = 200_000
MOST_STEPS = 5_000
PIXELS = 20_000
"""An image of more is read at every second, third … row and column."""

Fit = Callable[[Side, Side, Side, Sequence[str], int], Answer]


@dataclass(frozen=True)
class SequenceBaseline:
    """A rival without a recurrent network.

    applies      whether it has something to look at, from the training side
    fit_predict  (train, validation, test, classes, seed) -> probabilities and note. Fitted on the training side; what
                 is to be chosen is chosen on the validation side. Classes are named as in training; a label that is not
                 among them is left out. A number as label gives [n] numbers, and no classes.
    """

    name: str
    applies: Callable[[Side], bool]
    fit_predict: Fit


@dataclass(frozen=True, eq=False)
class BaselineAnswer:
    """One baseline's answers, as :class:`SequenceBaseline` gives them; None where its package is missing."""

    name: str
    probabilities: Array | None
    note: str
    seconds: float


def run_sequence_baselines(
    train: Side,
    validation: Side,
    test: Side,
    classes: Sequence[str],
    *,
    seed: int = 0,
    baselines: "Sequence[SequenceBaseline] | None" = None,
    progress: Callable[[str, float], None] | None = None,
) -> list[BaselineAnswer]:
    """Every baseline that applies, fitted and asked. ``baselines`` default to those for whole sequences.

    A missing package gives an answer of None, whose note names the extra to install. Raises :class:`DataError` where
    the training side has no label.
    """
    applying = [one for one in (CLASSIFY_BASELINES if baselines is None else baselines) if one.applies(train)]
    answers = []
    for index, one in enumerate(applying):
        if progress is not None:
            progress(one.name, index / len(applying))
        began = time.perf_counter()
        try:
            probabilities, note = one.fit_predict(train, validation, test, classes, seed)
        except MissingExtra as error:
            probabilities, note = None, str(error)
        answers.append(BaselineAnswer(one.name, probabilities, note, time.perf_counter() - began))
    if progress is not None:
        progress("baselines", 1.0)
    return answers


def _majority(train: Side, validation: Side, test: Side, classes: Sequence[str], seed: int) -> Answer:
    """The class frequencies in training, or the mean of a number."""
    targets = Targets.of(train.labelled.labels, classes, kind_of(train.labelled.labels))
    return Answer(targets.constant(len(test)))


def _tfidf(train: Side, validation: Side, test: Side, classes: Sequence[str], seed: int) -> Answer:
    """Words and pairs of words, weighted by how rare they are. Every sign counts as a word."""
    options = {"ngram_range": (1, 2), "sublinear_tf": True, "token_pattern": r"(?u)\w+|[^\w\s]"}
    return _of_texts(options, None, train, validation, test, classes, seed)


def _letters(train: Side, validation: Side, test: Side, classes: Sequence[str], seed: int) -> Answer:
    """One to four letters in a row, within words: for short texts, names, and scripts without spaces."""
    options = {"analyzer": "char_wb", "ngram_range": (1, 4), "sublinear_tf": True}
    return _of_texts(options, LETTERS, train, validation, test, classes, seed)


def _of_texts(
    options: dict[str, object],
    most: int | None,
    train: Side,
    validation: Side,
    test: Side,
    classes: Sequence[str],
    seed: int,
) -> Answer:
    texts = [[text[:most] for text in side.as_texts()] for side in (train, validation, test)]
    cut = most is not None and any(len(text) > most for text in train.as_texts())
    made = optional.load("sklearn.feature_extraction.text").TfidfVectorizer
    vectors = made(max_features=MOST_NGRAMS, dtype=np.float64, **options)
    try:
        found = [vectors.fit_transform(texts[0]), *(vectors.transform(one) if one else None for one in texts[1:])]
    except ValueError as error:  # scikit-learn's own word for texts without a word
        if "no terms remain" not in str(error) and "empty vocabulary" not in str(error):
            raise
        return Answer(_majority(train, validation, test, classes, seed).probabilities, "no word to learn from")
    answer = _learned(linear, found, train, validation, test, classes, seed)
    return Answer(answer.probabilities, f"{answer.note}; the first {most} letters" if cut else answer.note)


def _bag(train: Side, validation: Side, test: Side, classes: Sequence[str], seed: int) -> Answer:
    """What occurs how often, in any order: tokens, or the means of the steps."""
    if train.has("tokens"):
        made = optional.load("sklearn.feature_extraction.text").TfidfVectorizer
        vectors = made(analyzer=_same, use_idf=False, dtype=np.float64)
        bags = [_tokens(side) for side in (train, validation, test)]
        if not any(bags[0]):
            return _majority(train, validation, test, classes, seed)
        found = [vectors.fit_transform(bags[0]), *(vectors.transform(one) if one else None for one in bags[1:])]
        return _learned(linear, found, train, validation, test, classes, seed)
    kinds = ("mean", "missing")
    found = [summaries(side.encoded, kinds).values if side.encoded else None for side in (train, validation, test)]
    return _learned(linear, scaled(found), train, validation, test, classes, seed)


def _same(tokens: Sequence[int]) -> Sequence[int]:
    return tokens


def _tokens(side: Side) -> list[list[int]]:
    return [[] if one.tokens is None else one.tokens.tolist() for one in side.encoded or ()]


def _one_length(side: Side) -> bool:
    """Whether all have the same steps, few enough for a feature each."""
    sizes = {one.numbers.shape for one in side.encoded or () if one.numbers is not None}
    return len(sizes) == 1 and 0 < int(np.prod(next(iter(sizes)))) <= MOST_STEPS


def _steps(train: Side, validation: Side, test: Side, classes: Sequence[str], seed: int) -> Answer:
    """Every number of every step a feature, for sequences of one length; others are cut, or filled with the mean."""
    steps = max(len(one) for one in train.encoded or ())
    found = [all_steps(side.encoded, steps) if side.encoded else None for side in (train, validation, test)]
    return _learned(linear, scaled(found), train, validation, test, classes, seed)


def _boosting(train: Side, validation: Side, test: Side, classes: Sequence[str], seed: int) -> Answer:
    """Trees on the summaries of each number: see :func:`latchwork.baselines.features.summaries`."""
    found = [summaries(side.encoded).values if side.encoded else None for side in (train, validation, test)]
    return _learned(boosted, found, train, validation, test, classes, seed)


def _pixels(train: Side, validation: Side, test: Side, classes: Sequence[str], seed: int) -> Answer:
    """Every pixel a feature."""
    images = [one.image for one in train.encoded or () if one.image is not None]
    width = int(np.median([image.shape[-1] for image in images]))
    every = int(np.ceil(np.sqrt(images[0][..., 0].size * width / PIXELS))) if len(images) else 1
    shape = (*images[0].shape[:2], width)

    def features(side: Side) -> Array | None:
        if not side.encoded:
            return None
        whole = pixels(side.encoded, width)
        if every == 1:
            return whole
        return whole.reshape(-1, *shape)[..., ::every, ::every].reshape(len(whole), -1)

    found = scaled([features(side) for side in (train, validation, test)])
    answer = _learned(linear, found, train, validation, test, classes, seed)
    note = f"{answer.note}; every {every}th row and column" if every > 1 else answer.note
    return Answer(answer.probabilities, note)


def scaled(found: Sequence[Array | None]) -> list[Array | None]:
    """Mean 0 and deviation 1 in training; what is missing is the mean."""
    first = found[0]
    if first is None:
        return list(found)
    seen = np.isfinite(first)
    count = np.maximum(seen.sum(0), 1)
    mean = np.where(seen, first, 0.0).sum(0) / count
    deviation = np.sqrt(np.square(np.where(seen, first - mean, 0.0)).sum(0) / count)
    deviation[deviation < 1e-9 * np.maximum(np.abs(mean), 1e-9)] = 1.0
    return [None if one is None else np.where(np.isfinite(one), (one - mean) / deviation, 0.0) for one in found]


def _learned(
    learner: Callable[..., Answer],
    found: Sequence[Matrix],
    train: Side,
    validation: Side,
    test: Side,
    classes: Sequence[str],
    seed: int,
) -> Answer:
    """The rows that have a label, handed to a learner."""
    kind: Kind = kind_of(train.labelled.labels)
    y = Targets.of(train.labelled.labels, classes, kind)
    v = Targets.of(validation.labelled.labels, classes, kind)
    if not len(y.rows):
        raise DataError("no training sequence has a label, so there is nothing to learn from")
    if not len(test):
        return Answer(y.constant(0))
    chosen_on = found[0][:0] if found[1] is None else found[1][v.rows]
    return learner(found[0][y.rows], y, chosen_on, v, found[2], seed, again=validation.learned)


CLASSIFY_BASELINES: tuple[SequenceBaseline, ...] = (
    SequenceBaseline("majority", lambda side: True, _majority),
    SequenceBaseline("TF-IDF + linear", lambda side: side.texts, _tfidf),
    SequenceBaseline("letters + linear", lambda side: side.texts, _letters),
    SequenceBaseline("bag of steps + linear", lambda side: side.has("tokens") or side.has("numbers"), _bag),
    SequenceBaseline("linear on all steps", _one_length, _steps),
    SequenceBaseline("boosting on summaries", lambda side: side.has("numbers") or side.has("static"), _boosting),
    SequenceBaseline("linear on pixels", lambda side: side.has("image"), _pixels),
)
