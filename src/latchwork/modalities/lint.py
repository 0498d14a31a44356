"""What is odd in texts before a model learns to write them: counted and shown, and nothing is left out for it.

empty       lines, texts, or sides of a pair, that hold nothing
repeated    lines that stand in a text twice; pairs that do
shared      what stands in the training part and is scored in another
long        more than ten times as long as is usual there, and more than 400 characters
ratio       target and source differ in length three times more than is usual (more, where that varies much)
same        the target is its source
tokenised   punctuation stands alone in some places and not in others
language    most probably in another language, see :mod:`~latchwork.modalities.lint_language`
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latchwork.modalities.corpus import Corpus, cut_by_blanks
from latchwork.modalities.lint_language import Profile, strangers
from latchwork.sequences.examples import Labelled

LONG, AT_LEAST = 10, 400
RATIO, BOTH = 3.0, 30
"""How many times more two lengths may differ than is usual; characters of the longer one from which on it is told."""

SAID = 25
"""Characters from which on a line that stands twice says something: short ones do so by nature."""

_EXAMPLES = 3
_SHOWN = 80  # characters


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    kind      see the top of this file
    count     how often, ``total`` what was looked at
    text      in one sentence
    examples  (place, text) of the first
    """

    kind: str
    count: int
    total: int
    text: str
    examples: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        shown = "; ".join(f'{place}: "{text}"' if text else place for place, text in self.examples)
        return f"{self.text} ({shown})" if shown else self.text

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return asdict(self)


@dataclass(frozen=True)
class _Side:
    """Texts of one kind: lines of a corpus, or the sources or targets of pairs."""

    name: str
    texts: Sequence[str]
    places: Sequence[str]
    training: NDArray[np.bool_]

    def finding(self, kind: str, rows: Iterable[int], text: str) -> list[Finding]:
        """None where there are no such rows. In the text {} is how many."""
        found = [int(row) for row in rows]
        if not found:
            return []
        first = tuple((self.places[row], _short(self.texts[row])) for row in found[:_EXAMPLES])
        total = len(self.texts)
        return [Finding(kind, len(found), total, text.format(f"{len(found):,} of {total:,} {self.name}"), first)]

    def empty(self) -> list[Finding]:
        return self.finding("empty", (row for row, one in enumerate(self.texts) if not one.strip()), "{} are empty")

    def long(self) -> list[Finding]:
        lengths = np.array([len(one) for one in self.texts])
        usual = np.median(lengths[lengths > 0]) if (lengths > 0).any() else 0
        rows = np.flatnonzero((lengths > LONG * usual) & (lengths > AT_LEAST))
        rows = rows[np.argsort(-lengths[rows], kind="stable")]
        most = f"{int(lengths.max(initial=0)):,}"
        told = f"{{}} are over {LONG} times as long as is usual there ({usual:,.0f} characters); the longest has {most}"
        return self.finding("long", rows, told)

    def tokenised(self) -> list[Finding]:
        """The rarer way of writing."""
        cut = np.array([np.nan if (one := cut_by_blanks(line)) is None else one for line in self.texts], np.float64)
        alone, attached = np.flatnonzero(cut == 1), np.flatnonzero(cut == 0)
        if len(alone) <= len(attached):
            text = "{} have points or commas that stand alone, as in tokenised text; most have not"
            return self.finding("tokenised", alone, text)
        text = "{} have points or commas right behind a word; most are tokenised, and there these stand alone"
        return self.finding("tokenised", attached, text)

    def language(self, other: "Profile | None" = None) -> list[Finding]:
        rows = strangers(self.texts, self.training, other)
        return self.finding("language", rows, "{} are unlike the others in their letters: another language?")


def lint_corpus(corpus: Corpus) -> list[Finding]:
    """What is odd in these texts. Of one text, or few, its lines are looked at; of many also whole texts."""
    lines, places, own, training = _lines(corpus)
    side = _Side("lines", lines, places, training)
    found: list[Finding] = []
    if len(corpus) > 1:
        texts = _Side("texts", corpus.documents, corpus.places, np.ones(len(corpus), np.bool_))
        found += texts.empty()
        found += _twice(texts, "{} stood before, word for word")
        if corpus.parts is not None:
            found += _shared(texts, corpus.parts, least=1)
    if any("\n" in one.strip() for one in corpus.documents):
        found += side.empty()
        if corpus.parts is not None:
            found += _shared(side, [corpus.parts[document] for document in own], least=SAID)
        found += _twice(side, f"{{}} stood before (of those with at least {SAID} characters)", least=SAID)
    return found + side.long() + side.tokenised() + side.language()


def _lines(corpus: Corpus) -> tuple[list[str], list[str], list[int], NDArray[np.bool_]]:
    """(lines, where each stands, the document of each, whether it is in the training part)."""
    lines: list[str] = []
    places: list[str] = []
    own: list[int] = []
    for number, (text, place) in enumerate(zip(corpus.documents, corpus.places, strict=True)):
        some = text.removesuffix("\n").split("\n")
        lines += some
        own += [number] * len(some)
        mark = "," if ":" in place else ":"
        places += [place] if len(some) == 1 else [f"{place}{mark} line {line}" for line in range(1, len(some) + 1)]
    parts = corpus.parts or (None,) * len(corpus)
    return lines, places, own, _training([parts[document] for document in own])


def _training(parts: Sequence[str | None]) -> NDArray[np.bool_]:
    """The rows of the training part, or all where there is none."""
    rows = np.array([part in (None, "train") for part in parts], np.bool_)
    return rows if rows.any() else np.ones_like(rows)


def lint_pairs(labelled: Labelled) -> list[Finding]:
    """What is odd in these pairs. Of several right answers to a source the first is looked at."""
    sources = [str(one) for one in labelled.content]
    targets = ["" if one is None else one if isinstance(one, str) else str(one[0]) for one in labelled.labels]
    parts = labelled.parts or (None,) * len(labelled)
    training = _training(parts)
    sides = [_Side("sources", sources, labelled.places, training), _Side("targets", targets, labelled.places, training)]
    both = _Side("pairs", [f"{a} → {b}" for a, b in zip(sources, targets, strict=True)], labelled.places, training)
    found = [one for side in sides for one in side.empty()]
    found += _twice(both, "{} stood before, source and target")
    if labelled.parts is not None:
        found += _shared(sides[0], parts, least=1)
    found += [one for side in sides for one in side.long()]
    found += _ratio(both, sources, targets)
    alike = [row for row, (a, b) in enumerate(zip(sources, targets, strict=True)) if a and _plain(a) == _plain(b)]
    found += both.finding("same", alike, "{} have a target that is its source")
    found += [one for side in sides for one in side.tokenised()]
    profiles = [Profile.of([one for one, own in zip(side.texts, training, strict=True) if own]) for side in sides]
    return found + sides[0].language(profiles[1]) + sides[1].language(profiles[0])


def _plain(text: str) -> str:
    return " ".join(text.lower().split())


def _twice(side: _Side, text: str, least: int = 1) -> list[Finding]:
    seen: set[str] = set()
    rows: list[int] = []
    for row, one in enumerate(map(_plain, side.texts)):
        if len(one) >= least:
            if one in seen:
                rows.append(row)
            seen.add(one)
    return side.finding("repeated", rows, text)


def _shared(side: _Side, parts: Sequence[str | None], least: int) -> list[Finding]:
    """Of each part that is scored what stands in the training part too."""
    plain = [_plain(one) for one in side.texts]
    learnt = {one for one, part in zip(plain, parts, strict=True) if part in (None, "train") and len(one) >= least}
    found: list[Finding] = []
    sizes = Counter(parts)
    for part in ("validation", "test"):
        rows = [row for row, (one, own) in enumerate(zip(plain, parts, strict=True)) if own == part and one in learnt]
        told = f"{len(rows):,} of {sizes[part]:,} {side.name} of the {part} part stand in the training part too"
        found += side.finding("shared", rows, told)
    return found


def _ratio(both: _Side, sources: Sequence[str], targets: Sequence[str]) -> list[Finding]:
    lengths = np.array([[len(one), len(other)] for one, other in zip(sources, targets, strict=True)], np.float64)
    whole = (lengths > 0).all(1)
    if not whole.any():
        return []
    logs = np.log(np.maximum(lengths, 1))
    ratio = logs[:, 1] - logs[:, 0]
    usual = np.median(ratio[whole])
    spread = 1.4826 * np.median(np.abs(ratio[whole] - usual))
    factor = max(RATIO, float(np.exp(5 * spread)))
    odd = whole & (np.abs(ratio - usual) > np.log(factor)) & (lengths.max(1) >= BOTH)
    rows = np.flatnonzero(odd)
    rows = rows[np.argsort(-np.abs(ratio - usual)[rows], kind="stable")]
    text = f"{{}} differ in length over {factor:.1f} times more than is usual ({np.exp(usual):.2f} characters to one)"
    return both.finding("ratio", rows, text)


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
