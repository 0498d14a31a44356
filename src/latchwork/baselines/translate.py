"""Texts for texts without a neural network: the source itself, another source's target, sentences of the source."""

import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from latchwork import optional
from latchwork.baselines.features import Side
from latchwork.errors import DataError, MissingExtra

Score = Callable[[str, str], float]
"""How near an answer is to its target, the higher the nearer."""

MOST_PAIRS = 200_000
"""Of more training pairs so many are searched for the nearest source."""

MANY, COMMON = 10_000, 0.3
"""Of more training pairs, words in a larger share of the sources are left out: they tell least and cost most."""

MOST_SCORED = 500
"""Training pairs on which the number of leading sentences is chosen."""

MOST_LEAD = 5

_AT_ONCE = 256  # sources that are compared with all of training at a time, which bounds the memory
_WORDS = r"(?u)[぀-ヿ㐀-鿿]|\w+|[^\w\s]"
_END = re.compile(r"(?<=[.!?…])[\"'”’»)\]]*\s+(?=[\"'“‘«(\[¿¡]*[^\W_a-zß-öø-ÿ])|(?<=[。！？])[」』”）]*\s*|\s*\n\s*")
_SHORTENED = re.compile(r"\b(?i:e\.g|i\.e|cf|vs|al|figs?|eqs?|dr|mr|mrs|ms|prof|approx)\.$|\b[A-Z]\.$")


@dataclass(frozen=True)
class TextBaseline:
    """A rival without a network.

    applies  whether the training side has what it needs
    answer   (train, test, score) -> a text for each test source, and a note
    oracle   it reads the test targets: what the best choice of its kind would reach, and no rival
    """

    name: str
    applies: Callable[[Side], bool]
    answer: Callable[[Side, Side, Score], tuple[list[str], str]]
    oracle: bool = False


@dataclass(frozen=True, eq=False)
class TextAnswer:
    """One baseline's texts; None where its package is missing."""

    name: str
    texts: list[str] | None
    note: str
    seconds: float
    oracle: bool


def run_text_baselines(
    train: Side,
    test: Side,
    score: Score,
    *,
    baselines: Sequence[TextBaseline] | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> list[TextAnswer]:
    """Every baseline that applies. Contents are the sources, labels the targets: a text, or several that are as good.

    ``score`` decides how many leading sentences are taken, on the training side, and what the oracle takes. A missing
    package gives an answer of None, whose note names the extra to install. Raises :class:`DataError` where no training
    source has a target.
    """
    if not _targets(train):
        raise DataError("no training source has a target text, so there is nothing to learn from")
    applying = [one for one in (TEXT_BASELINES if baselines is None else baselines) if one.applies(train)]
    answers = []
    for index, one in enumerate(applying):
        if progress is not None:
            progress(one.name, index / len(applying))
        began = time.perf_counter()
        try:
            texts, note = one.answer(train, test, score)
        except MissingExtra as error:
            texts, note = None, str(error)
        answers.append(TextAnswer(one.name, texts, note, time.perf_counter() - began, one.oracle))
    if progress is not None:
        progress("baselines", 1.0)
    return answers


def sentences(text: str) -> list[str]:
    """The sentences of a text, cut at ends of lines, and after . ! ? before what does not begin in lower case.

    A guess by signs alone: a few shortened words (e.g., et al., Fig., initials) do not end a sentence.

    >>> sentences("We test it on BERT, e.g. Vaswani et al. 2017. It works! 好。也好。")
    ['We test it on BERT, e.g. Vaswani et al. 2017.', 'It works!', '好。', '也好。']
    """
    found: list[str] = []
    at = 0
    for end in _END.finditer(text):
        closing = end.group().rstrip() if "\n" not in end.group() else ""
        one = text[at : end.start()] + closing
        if "\n" not in end.group() and _SHORTENED.search(one):
            continue
        if one.strip():
            found.append(one.strip())
        at = end.end()
    if text[at:].strip():
        found.append(text[at:].strip())
    return found


def _targets(side: Side) -> list[tuple[int, str]]:
    """Rows that have a target, and it; of several the first."""
    several = [(row, _several(one)) for row, one in enumerate(side.labelled.labels)]
    return [(row, one[0]) for row, one in several if one]


def _several(label: Any) -> tuple[str, ...]:
    """The targets of a source."""
    return () if label is None else (label,) if isinstance(label, str) else tuple(label)


def _shorter(train: Side) -> bool:
    """Whether sources are texts of several sentences, and targets are much shorter: summaries."""
    pairs = _targets(train)[:MOST_SCORED]
    if not train.texts or not pairs:
        return False
    sources = [train.as_texts()[row] for row, _ in pairs]
    several = float(np.mean([len(sentences(one)) for one in sources]))
    return several >= 2 and sum(len(one) for _, one in pairs) < 0.6 * sum(map(len, sources))


def _copy(train: Side, test: Side, score: Score) -> tuple[list[str], str]:
    """The source as it is."""
    return test.as_texts(), ""


def _most_frequent(train: Side, test: Side, score: Score) -> tuple[list[str], str]:
    """Of sources that are no texts: the target that most of them have."""
    ((text, times),) = Counter(one for _, one in _targets(train)).most_common(1)
    return [text] * len(test), f"of {times} in training"


def _nearest(train: Side, test: Side, score: Score) -> tuple[list[str], str]:
    """The target of the training source with the highest cosine of TF-IDF."""
    pairs = _targets(train)
    note = ""
    if len(pairs) > MOST_PAIRS:
        note = f"among {MOST_PAIRS:,} of {len(pairs):,} training sources"
        picked = np.random.default_rng(0).choice(len(pairs), MOST_PAIRS, replace=False)
        pairs = [pairs[place] for place in np.sort(picked)]
    sources, asked = train.as_texts(), test.as_texts()
    made = optional.load("sklearn.feature_extraction.text").TfidfVectorizer
    common = COMMON if len(pairs) > MANY else 1.0
    vectors = made(token_pattern=_WORDS, sublinear_tf=True, max_df=common, dtype=np.float32)
    try:
        known = vectors.fit_transform([sources[row] for row, _ in pairs]).T.tocsr()
    except ValueError as error:  # scikit-learn's own word for texts without a word
        if "empty vocabulary" not in str(error):
            raise
        return _most_frequent(train, test, score)
    texts = []
    for at in range(0, len(asked), _AT_ONCE):
        near = vectors.transform(asked[at : at + _AT_ONCE]) @ known
        texts += [pairs[place][1] for place in np.asarray(near.argmax(1)).ravel().tolist()]
    return texts, note


def _lead(train: Side, test: Side, score: Score) -> tuple[list[str], str]:
    """The first k sentences; k by the score on training pairs."""
    k = _leading(train, score)
    return [_first(text, k) for text in test.as_texts()], f"the first {k} sentence{'s' if k > 1 else ''}"


def _leading(train: Side, score: Score) -> int:
    sources = train.as_texts()
    pairs = _targets(train)[:MOST_SCORED]
    means = [
        np.mean([score(_first(sources[row], k), target) for row, target in pairs]) for k in range(1, MOST_LEAD + 1)
    ]
    return 1 + int(np.argmax(means))


def _first(text: str, k: int) -> str:
    return " ".join(sentences(text)[:k])


def _oracle(train: Side, test: Side, score: Score) -> tuple[list[str], str]:
    """The sentences that are nearest to the target, taken one by one as long as that helps, at most k as above."""
    k = _leading(train, score)
    texts = []
    for text, label in zip(test.as_texts(), test.labelled.labels, strict=True):
        targets = _several(label)
        texts.append(_best(sentences(text), targets, k, score) if targets else _first(text, k))
    return texts, f"the best {k} sentence{'s' if k > 1 else ''}, by the targets of the test part"


def _best(every: Sequence[str], targets: Sequence[str], k: int, score: Score) -> str:
    taken: list[int] = []
    reached = -np.inf
    while len(taken) < min(k, len(every)):
        trials = {
            place: max(score(" ".join(every[one] for one in sorted([*taken, place])), one) for one in targets)
            for place in range(len(every))
            if place not in taken
        }
        place = max(trials, key=trials.__getitem__)
        if trials[place] <= reached:
            break
        reached = trials[place]
        taken.append(place)
    return " ".join(every[one] for one in sorted(taken))


TEXT_BASELINES: tuple[TextBaseline, ...] = (
    TextBaseline("copy of the source", lambda side: side.texts, _copy),
    TextBaseline("most frequent target", lambda side: not side.texts, _most_frequent),
    TextBaseline("nearest training source", lambda side: side.texts, _nearest),
    TextBaseline("leading sentences", _shorter, _lead),
    TextBaseline("oracle extract", _shorter, _oracle, oracle=True),
)
