"""Single features that give the label away: a column, a static value, a word."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from latchwork.baselines import Side
from latchwork.baselines.features import summaries
from latchwork.sequences import Encoded, Labelled

NEARLY_ALL = 0.98
"""From this share on a feature tells the label by itself."""

FEWEST = 40
"""With fewer training sequences chance alone could find such a feature."""

RANKED, FEWEST_RANKED = 0.99, 5
"""The ROC-AUC from which on a feature tells one class from the other, and how many of each that takes."""

FEWEST_OF_A_CLASS = 10
MOST_ROWS, MOST_STEPS, MOST_LABELS = 10_000, 20_000, 20
BINS = 32
SHOWN = 5

Array = NDArray[np.float64]


class Telling(NamedTuple):
    """A feature that tells the label alone; rows: a few where it does."""

    sentence: str
    figure: float
    rows: tuple[int, ...]


def telling_features(
    labelled: Labelled,
    encoded: Sequence[Encoded] | None,
    train: Sequence[int],
    *,
    columns: Sequence[str] = (),
    static: Sequence[str] = (),
) -> list[Telling]:
    """Features of the training rows that alone predict the label nearly perfectly, the best first.

    A number is cut into bins, learned on every second row and judged on the others: the share of right answers, every
    class counting alike, or R² (of bins, or of ranks) for a number as label. Of two classes it is judged by its ranks
    too (ROC-AUC, whichever way), which learn nothing and so find the number of a class of a few sequences. A word or a
    sign is judged by F1: does it occur where, and only where, the class is? How many words and letters a text has are
    numbers as well.
    """
    rows = [row for row in train if labelled.labels[row] is not None]
    if len(rows) > MOST_ROWS:
        rows = [rows[int(at)] for at in np.linspace(0, len(rows) - 1, MOST_ROWS)]
    if len(rows) < FEWEST:
        return []
    labels = [labelled.labels[row] for row in rows]
    found: list[Telling] = []
    by_step = not isinstance(labels[0], str) and _one_each_step(labelled, encoded, rows)
    first = next((one for one in encoded or () if one is not None), None)
    if encoded and first is not None and (first.numbers is not None or first.static is not None):
        chosen = [encoded[row] for row in rows]
        if by_step:
            found += _of_steps(chosen, labels, rows, columns)
        else:
            summary = summaries(chosen, columns=columns, static=static)
            found += _of_numbers(summary.values, summary.names, labels, rows, "sequences")
    if not by_step and Side(labelled).texts:
        texts = [text if isinstance(text, str) else " ".join(text) for text in map(labelled.content.__getitem__, rows)]
        sizes = np.array([[len(text.split()), len(text)] for text in texts], np.float64)
        found += _of_numbers(sizes, ("number of words", "number of letters"), labels, rows, "sequences")
        if not isinstance(labels[0], (int, float, np.number)):
            found += _of_words(texts, labels, rows)
    return sorted(found, key=lambda one: -one.figure)[:SHOWN]


def _one_each_step(labelled: Labelled, encoded: Sequence[Encoded] | None, rows: Sequence[int]) -> bool:
    """Whether the labels are one for each step rather than several for the whole."""
    some = [row for row in rows[:100] if isinstance(labelled.labels[row], (tuple, list))]
    if not some:
        return False
    if Side(labelled).texts:
        return all(len(labelled.labels[row]) == len(labelled.content[row]) for row in some)
    return bool(encoded) and all(len(labelled.labels[row]) == len(encoded[row]) for row in some)


def _of_steps(
    chosen: Sequence[Encoded], labels: Sequence[Any], rows: Sequence[int], columns: Sequence[str]
) -> list[Telling]:
    values, targets, owners = [], [], []
    total = 0
    for one, label, row in zip(chosen, labels, rows, strict=True):
        if one.numbers is None:
            return []
        numbers = one.numbers.astype(np.float64)
        values.append(numbers if one.mask is None else np.where(one.mask > 0, numbers, np.nan))
        targets += list(label)
        owners += [row] * len(numbers)
        total += len(numbers)
        if total > MOST_STEPS:
            break
    if not values or len(targets) != total:
        return []
    width = values[0].shape[1]
    names = [*columns[:width], *(f"number {at + 1}" for at in range(len(columns), width))]
    return _of_numbers(np.concatenate(values), names, targets, owners, "steps")


def _of_numbers(
    values: Array, names: Sequence[str], labels: Sequence[Any], rows: Sequence[int], what: str
) -> list[Telling]:
    kept = [at for at, label in enumerate(labels) if label is not None]
    if len(kept) < FEWEST:
        return []
    labels, rows, values = [labels[at] for at in kept], [rows[at] for at in kept], values[kept]
    # Every second row is learned from; whichever way the rows are sorted, both halves have the same classes.
    random = np.random.default_rng(0)
    half = np.zeros(len(labels), bool)
    half[random.permutation(len(labels))[: len(labels) // 2]] = True
    found = []
    for name, target in _targets(labels):
        numeric = target.dtype.kind == "f"
        classes = 0 if numeric else int(target.max()) + 1
        fewest = (
            0 if numeric else min(int(np.bincount(target[part], minlength=classes).min()) for part in (half, ~half))
        )
        if not numeric and min(len(np.unique(target[half])), len(np.unique(target[~half]))) < 2:
            continue
        for column in range(values.shape[1]):
            bins, count = _binned(values[:, column], half, max(BINS, 4 * classes))
            if numeric:
                figure = max(_r_squared(bins, count, target, half), _monotone(values[:, column], target))
                how = f"with R² {figure:.4f} over held-back training {what}"
            else:
                # What few sequences of a class show by chance is not told of two classes.
                figure = _right(bins, count, target, half) if classes > 2 or fewest >= FEWEST_RANKED else 0.0
                how = f"in {figure:.1%} of held-back training {what}, classes alike"
                if figure < NEARLY_ALL and (area := _ranked(values[:, column], target)) >= RANKED:
                    figure, how = area, f"with ROC-AUC {area:.4f} over training {what}"
            if figure >= NEARLY_ALL:
                of = f' "{name}"' if name else ""
                sentence = f'the feature "{names[column]}" predicts the label{of} alone {how}'
                found.append(Telling(sentence, float(figure), tuple(rows[:2])))
    return found


def _targets(labels: Sequence[Any]) -> list[tuple[str, NDArray[Any]]]:
    """(name, codes or numbers): one for a class or a number, one for each of several labels."""
    if isinstance(labels[0], (int, float, np.number)):
        return [("", np.array(labels, np.float64))]
    if isinstance(labels[0], str):
        return [("", np.unique(labels, return_inverse=True)[1].astype(np.int64))]
    counts = Counter(one for label in labels for one in set(label))
    return [
        (str(name), np.array([name in label for label in labels], np.int64))
        for name, count in counts.most_common(MOST_LABELS)
        if FEWEST_OF_A_CLASS <= count <= len(labels) - FEWEST_OF_A_CLASS
    ]


def _binned(values: Array, half: NDArray[np.bool_], most: int) -> tuple[NDArray[np.int64], int]:
    """(bin of each row, how many bins there are): of equal size over the rows learned from, one for each value where
    there are at most so many; the last for missing.
    """
    seen = np.isfinite(values)
    learned = np.unique(values[half & seen])
    few = len(learned) <= most
    if not few:
        learned = np.unique(np.quantile(values[half & seen], np.arange(most) / most))
    cuts = (learned[1:] + learned[:-1]) / 2 if few else learned
    return np.where(seen, np.searchsorted(cuts, values, side="right"), len(cuts) + 1), len(cuts) + 2


def _right(bins: NDArray[np.int64], count: int, target: NDArray[np.int64], half: NDArray[np.bool_]) -> float:
    """Mean over classes of the share of right answers, each bin answering with the class that it has the largest share
    of.
    """
    classes = int(target.max()) + 1
    counts = np.zeros((count, classes))
    np.add.at(counts, (bins[half], target[half]), 1)
    answers = (counts / np.maximum(counts.sum(0), 1)).argmax(1)[bins[~half]]
    truth = target[~half]
    total = np.bincount(truth, minlength=classes)
    right = np.bincount(truth[answers == truth], minlength=classes)
    return float((right[total > 0] / total[total > 0]).mean())


def _ranked(values: Array, target: NDArray[np.int64]) -> float:
    """ROC-AUC of two classes, whichever way round; what is missing ranks first or last. 0 for more classes, or few."""
    counts = np.bincount(target, minlength=2)
    if len(counts) > 2 or counts.min() < FEWEST_RANKED:
        return 0.0
    best = 0.0
    for missing in (-np.inf, np.inf):
        _, place, held = np.unique(
            np.where(np.isfinite(values), values, missing), return_inverse=True, return_counts=True
        )
        ranks = (np.cumsum(held) - (held - 1) / 2)[place]
        area = (ranks[target == 1].sum() - counts[1] * (counts[1] + 1) / 2) / (counts[0] * counts[1])
        best = max(best, float(area), 1 - float(area))
    return best


def _r_squared(bins: NDArray[np.int64], count: int, target: Array, half: NDArray[np.bool_]) -> float:
    counts = np.bincount(bins[half], minlength=count)
    sums = np.bincount(bins[half], weights=target[half], minlength=count)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), target[half].mean())
    spread = np.square(target[~half] - target[~half].mean()).sum()
    if spread <= 0:
        return 0.0
    return float(1 - np.square(target[~half] - means[bins[~half]]).sum() / spread)


def _monotone(values: Array, target: Array) -> float:
    """Spearman's rank correlation, squared; 0 where a value is missing or nothing varies."""
    if not np.isfinite(values).all():
        return 0.0
    ranks = [np.unique(one, return_inverse=True)[1].astype(np.float64) for one in (values, target)]
    one, other = (rank - rank.mean() for rank in ranks)
    scale = float(np.square(one).sum() * np.square(other).sum())
    return float((one * other).sum()) ** 2 / scale if scale > 0 else 0.0


def _of_words(texts: Sequence[str], labels: Sequence[Any], rows: Sequence[int]) -> list[Telling]:
    """Words and signs that occur in the sequences of a class and in no others."""
    several = not isinstance(labels[0], str)
    occurs: Counter[str] = Counter()
    together: Counter[tuple[str, str]] = Counter()
    size: Counter[str] = Counter()
    for label, text in zip(labels, texts, strict=True):
        words = set(_WORD.findall(text.casefold()))
        occurs.update(words)
        for name in set(label) if several else {label}:
            size[name] += 1
            together.update((word, name) for word in words)
    found = []
    for (word, name), both in together.items():
        if size[name] < FEWEST_OF_A_CLASS or size[name] > len(rows) - FEWEST_OF_A_CLASS:
            continue
        f1 = 2 * both / (occurs[word] + size[name])
        if f1 >= NEARLY_ALL:
            what = "word" if re.match(r"\w", word) else "sign"
            sentence = f'the {what} "{word}" alone tells the label "{name}" with F1 {f1:.3f} over training sequences'
            examples = [
                row for row, label in zip(rows, labels, strict=True) if label == name or (several and name in label)
            ]
            found.append(Telling(sentence, f1, tuple(examples[:2])))
    return found


_WORD = re.compile(r"\w+|[^\w\s]+")
