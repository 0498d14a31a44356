"""Answers for every step without a recurrent network: by frequency, by word, by the step before, by a window."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latchwork import optional
from latchwork.baselines.classify import SequenceBaseline, scaled
from latchwork.baselines.features import Array, Side, step_windows
from latchwork.baselines.learners import Answer, Targets, linear, stochastic
from latchwork.errors import DataError

REACH = 2
"""Steps to each side that a window looks at."""

HASHED = 2**18
"""Columns that the features of a window of words are hashed into."""


def steps_of(side: Side) -> NDArray[np.int64]:
    """[sequences] how many steps each has: its words, or its numbers."""
    if _words(side) or not side.encoded:
        return np.array([len(one) for one in side.labelled.content], np.int64)
    return np.array([len(one) for one in side.encoded], np.int64)


def _words(side: Side) -> bool:
    return side.texts and not isinstance(side.labelled.content[0], str)


def _flat(side: Side) -> list[Any]:
    """The label of every step, one sequence after the other; None where there is none."""
    found: list[Any] = []
    for row, (label, steps) in enumerate(zip(side.labelled.labels, steps_of(side).tolist(), strict=True)):
        if label is not None and (isinstance(label, str) or len(label) != steps):
            given = "a text" if isinstance(label, str) else f"{len(label)} labels"
            raise DataError(f"{side.labelled.places[row]}: {given} for {steps} steps, expected a label for each")
        found += [None] * steps if label is None else list(label)
    return found


def _frequencies(train: Side, validation: Side, test: Side, classes: Sequence[str], seed: int) -> Answer:
    """How often each label is in training, at every step."""
    targets = Targets.of(_flat(train), classes, "class")
    return Answer(targets.constant(int(steps_of(test).sum())))


def _by_word(train: Side, validation: Side, test: Side, classes: Sequence[str], seed: int) -> Answer:
    """The labels that a word had in training: as written, else in lower case, else those of words seen once."""
    code = {name: index for index, name in enumerate(classes)}
    written: dict[str, Array] = {}
    lower: dict[str, Array] = {}
    seen: Counter[str] = Counter()
    for word, label in zip(chain.from_iterable(train.labelled.content), _flat(train), strict=True):
        if label not in code:
            continue
        for counts, form in ((written, word), (lower, word.casefold())):
            counts.setdefault(form, np.zeros(len(classes)))[code[label]] += 1
        seen[word] += 1
    overall = Targets.of(_flat(train), classes, "class").constant(1)[0]
    once = sum((written[word] for word, times in seen.items() if times == 1), np.zeros(len(classes)))
    unknown = (once + overall) / (once.sum() + 1)
    asked = list(chain.from_iterable(test.labelled.content))
    answers = np.empty((len(asked), len(classes)))
    strange = 0
    for row, word in enumerate(asked):
        held = written.get(word)
        held = lower.get(word.casefold()) if held is None else held
        strange += held is None
        # A tenth of an occurrence of the unknown word's labels: no probability is 0 for what was seen once.
        answers[row] = unknown if held is None else (held + 0.1 * unknown) / (held.sum() + 0.1)
    return Answer(answers, f"{strange / max(len(asked), 1):.1%} of the words never seen in training")


def _last_label(train: Side, validation: Side, test: Side, classes: Sequence[str], seed: int) -> Answer:
    """P(label | the true label of the step before), as often as it was so in training."""
    code = {name: index for index, name in enumerate(classes)}
    overall = Targets.of(_flat(train), classes, "class").constant(1)[0]
    first, follows = overall.copy(), np.tile(0.1 * overall, (len(classes), 1))
    for label in train.labelled.labels:
        known = [code.get(one, -1) for one in label or ()]
        if known and known[0] >= 0:
            first[known[0]] += 1
        for before, after in pairwise(known):
            if before >= 0 and after >= 0:
                follows[before, after] += 1
    first, follows = first / first.sum(), follows / follows.sum(1, keepdims=True)
    answers = []
    for label, steps in zip(test.labelled.labels, steps_of(test).tolist(), strict=True):
        known = [code.get(one, -1) for one in (label or [None] * steps)]
        answers += [first] * min(steps, 1)
        answers += [follows[before] if before >= 0 else overall for before in known[: max(steps - 1, 0)]]
    found = np.stack(answers) if answers else np.zeros((0, len(classes)))
    return Answer(found, "is told the true label of the step before, which the model is not")


def _word_window(train: Side, validation: Side, test: Side, classes: Sequence[str], seed: int) -> Answer:
    """Logistic regression on a word, its ends and shape, and its neighbours."""
    hasher = optional.load("sklearn.feature_extraction").FeatureHasher(
        n_features=HASHED, input_type="string", alternate_sign=False, dtype=np.float64
    )

    def features(side: Side) -> Any:
        return hasher.transform(chain.from_iterable(_described(words) for words in side.labelled.content))

    return _learned(stochastic, features, train, validation, test, classes, seed)


def _described(words: Sequence[str]) -> Iterator[list[str]]:
    lower = ["<s>"] * REACH + [word.casefold() for word in words] + ["</s>"] * REACH
    for place, word in enumerate(words):
        middle = place + REACH
        found = [f"{shift}:{lower[middle + shift]}" for shift in range(-REACH, REACH + 1)]
        found += [f"-{size}:{lower[middle][-size:]}" for size in (1, 2, 3)]
        found += [f"+{size}:{lower[middle][:size]}" for size in (1, 2, 3)]
        shape = "".join(map(_shape, word[:6]))
        yield [*found, f"shape:{shape}", f"pair:{lower[middle - 1]} {lower[middle]}", "all"]


def _shape(letter: str) -> str:
    if letter.isalpha():
        return "X" if letter.isupper() else "x"
    return "0" if letter.isdigit() else letter


def _number_window(train: Side, validation: Side, test: Side, classes: Sequence[str], seed: int) -> Answer:
    """Logistic regression on the numbers of a step and its neighbours."""
    found = [step_windows(side.encoded, REACH) if side.encoded else None for side in (train, validation, test)]
    kept = {id(side): one for side, one in zip((train, validation, test), scaled(found), strict=True)}
    return _learned(linear, lambda side: kept[id(side)], train, validation, test, classes, seed)


def _learned(
    learner: Any, features: Any, train: Side, validation: Side, test: Side, classes: Sequence[str], seed: int
) -> Answer:
    y, v = (Targets.of(_flat(side), classes, "class") for side in (train, validation))
    steps = int(steps_of(test).sum())
    if not len(y.rows) or not steps:
        return Answer(y.constant(steps))
    x = features(train)
    chosen_on = features(validation)[v.rows] if len(v.rows) else x[:0]
    return learner(x[y.rows], y, chosen_on, v, features(test), seed, again=validation.learned)


LAST_LABEL = SequenceBaseline("last label", lambda side: side.has("numbers"), _last_label)

LABEL_BASELINES: tuple[SequenceBaseline, ...] = (
    SequenceBaseline("majority", lambda side: True, _frequencies),
    SequenceBaseline("most frequent by word", _words, _by_word),
    LAST_LABEL,
    SequenceBaseline("window of words + linear", _words, _word_window),
    SequenceBaseline("window of numbers + linear", lambda side: side.has("numbers"), _number_window),
)
"""Their probabilities are [all steps, classes], one test sequence after the other."""
