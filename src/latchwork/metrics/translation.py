"""Texts against reference texts: BLEU, chrF, ROUGE; and what goes wrong in generated text, loops and copying.

BLEU and chrF are sacrebleu's (Post 2018, https://aclanthology.org/W18-6319), with its signature, on detokenised text.

ROUGE (Lin 2004, https://aclanthology.org/W04-1013) is the mean over texts of F1 of shared words, of shared pairs of
words, and of the longest common subsequence over the whole text (ROUGE-L; not the sentence by sentence ROUGE-Lsum). Of
several references the one with the best F1 counts. It differs from the package rouge-score in what is a word: there it
is a run of a-z and 0-9, so that other scripts vanish and "naïve" is "na" and "ve"; here a run of letters, their marks
and digits of every script, and a single character in scripts without blanks between words. Words are not stemmed. On
ASCII text both agree.
"""

import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from latchwork import optional
from latchwork.errors import ConfigError, DataError
from latchwork.metrics.paired import Interval
from latchwork.metrics.resample import Difference, bootstrap_sums, paired_difference

Array = NDArray[np.float64]
References = Sequence[str | Sequence[str]]
"""The reference of each text, or several."""

BleuTokenizer = Literal["13a", "intl", "zh", "char", "none"]
BLEU_TOKENIZERS: tuple[str, ...] = ("13a", "intl", "zh", "char", "none")

_ORDER = 6  # characters in a row that chrF compares
_UNSPACED = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Burmese
    (0x1780, 0x17FF),  # Khmer
    (0x2E80, 0x30FF),  # radicals of Han, kana
    (0x31F0, 0x31FF),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x3FFFF),
)


@dataclass(frozen=True, eq=False)
class TextScore:
    """A figure of a corpus of texts.

    value       from 0 to 100
    signature   how it was measured, for a paper: sacrebleu's own, or in the same manner
    sums        [texts, k] what the figure is made of, summed over the texts
    figure      sums [..., k] -> the figure [...]; of all texts together it is ``value``
    note        what a reader must know
    """

    name: str
    value: float
    signature: str
    figure: Callable[[Array], Array]
    make_sums: Callable[[], Array]
    note: str = ""

    @cached_property
    def sums(self) -> Array:
        """[texts, k]."""
        return self.make_sums()

    def interval(
        self, groups: NDArray[Any] | None = None, *, samples: int = 1000, level: float = 0.95, seed: int = 0
    ) -> Interval:
        """Bootstrap interval that draws texts again, or whole groups [texts] of them (a document, a source)."""
        chosen = np.arange(len(self.sums)) if groups is None else groups
        drawn = bootstrap_sums(
            self.sums, self.figure, chosen, samples=samples, level=level, seed=seed, within=(0.0, 100.0)
        )
        return Interval(self.value, drawn.lower, drawn.upper)

    def minus(
        self,
        other: "TextScore",
        groups: NDArray[Any] | None = None,
        *,
        samples: int = 1000,
        level: float = 0.95,
        seed: int = 0,
    ) -> Difference:
        """The same figure of two models on the same texts: this less the other, both drawn together."""
        if len(self.sums) != len(other.sums) or self.name != other.name:
            raise DataError(
                f"{self.name} of {len(self.sums)} texts and {other.name} of {len(other.sums)}, expected the same"
            )
        return paired_difference(
            lambda weights: float(self.figure(weights @ self.sums)),
            lambda weights: float(other.figure(weights @ other.sums)),
            np.arange(len(self.sums)) if groups is None else groups,
            samples=samples,
            level=level,
            seed=seed,
        )


# ---- translation


def bleu(
    texts: Sequence[str], references: References, *, tokenizer: BleuTokenizer = "13a", lowercase: bool = False
) -> TextScore:
    """BLEU-4 of the corpus (Papineni et al. 2002). Texts as people read them: sacrebleu cuts them into words.

    tokenizer: "13a" for scripts with blanks, "zh" for Chinese, "char" for Japanese or Thai. Raises :class:`DataError`
    for unequal numbers of texts, :class:`MissingExtra` without sacrebleu.
    """
    every = _checked(texts, references)
    if tokenizer not in BLEU_TOKENIZERS:
        raise ConfigError(f'tokenizer is "{tokenizer}", expected one of {", ".join(BLEU_TOKENIZERS)}')
    made = optional.load("sacrebleu.metrics").BLEU
    options = {"tokenize": tokenizer, "lowercase": lowercase, "force": True}
    metric = made(**options)
    found = metric.corpus_score(list(texts), _streams(every))

    def sums() -> Array:
        alone = made(effective_order=True, **options)  # without it sacrebleu warns at each sentence
        rows = [alone.sentence_score(text, list(several)) for text, several in zip(texts, every, strict=True)]
        return np.array([[*row.counts, *row.totals, row.sys_len, row.ref_len] for row in rows], np.float64)

    cut = sum(text.endswith((" .", " !", " ?")) for text in texts)
    note = f"{cut} of {len(texts)} texts end in a blank before the sign: BLEU is for detokenised text" if cut else ""
    return TextScore("BLEU", float(found.score), str(metric.get_signature()), _bleu, sums, note)


def _bleu(sums: Array) -> Array:
    """sacrebleu's, with its smoothing of orders without a match (Chen & Cherry 2014, method 3)."""
    counts, totals, own, wanted = sums[..., :4], sums[..., 4:8], sums[..., 8], sums[..., 9]
    with np.errstate(divide="ignore", invalid="ignore"):
        halved = 2.0 ** np.cumsum((counts == 0) & (totals > 0), axis=-1)
        precision = np.where(counts > 0, counts, 1 / halved) / totals
        brevity = np.where(own < wanted, 1 - wanted / own, 0.0)
        score = 100 * np.exp(brevity + np.log(precision).mean(-1))
    return np.where((totals > 0).all(-1) & (counts > 0).any(-1), score, 0.0)


def chrf(texts: Sequence[str], references: References, *, word_order: int = 0) -> TextScore:
    """chrF2 (Popović 2015): F2 of up to six characters in a row, blanks left out. word_order=2: chrF++.

    Raises :class:`DataError` for unequal numbers of texts, :class:`MissingExtra` without sacrebleu. The interval is for
    word_order=0.
    """
    every = _checked(texts, references)
    metric = optional.load("sacrebleu.metrics").CHRF(word_order=word_order)
    found = metric.corpus_score(list(texts), _streams(every))

    def sums() -> Array:
        if word_order:
            raise ConfigError("the interval of chrF is for characters alone; leave word_order at 0")
        return np.stack([_chrf_sums(text, several) for text, several in zip(texts, every, strict=True)])

    return TextScore(str(found.name), float(found.score), str(metric.get_signature()), _chrf, sums)


def _chrf_sums(text: str, references: Sequence[str]) -> Array:
    """[18]: characters in a row of the text, of the reference, shared by both; for each length. The best reference."""
    own = _characters(text)
    rows = []
    for reference in references:
        theirs = _characters(reference)
        row = [
            (ours.total() if others else 0, others.total(), (ours & others).total())
            for ours, others in zip(own, theirs, strict=True)
        ]
        rows.append(np.array(row, np.float64).reshape(-1))
    return rows[int(np.argmax([_chrf(row) for row in rows]))]


def _characters(text: str) -> list[Counter[str]]:
    line = "".join(text.split())
    return [Counter(line[at : at + n] for at in range(len(line) - n + 1)) for n in range(1, _ORDER + 1)]


def _chrf(sums: Array) -> Array:
    own, theirs, shared = (sums[..., place::3] for place in range(3))
    both = (own > 0) & (theirs > 0)
    count = np.maximum(both.sum(-1), 1)
    precision = np.where(both, shared / np.maximum(own, 1), 0.0).sum(-1) / count
    recall = np.where(both, shared / np.maximum(theirs, 1), 0.0).sum(-1) / count
    return 500 * precision * recall / np.maximum(4 * precision + recall, 1e-300)


# ---- summaries


def rouge(texts: Sequence[str], references: References) -> dict[str, TextScore]:
    """ "rouge1", "rouge2" and "rougeL", each from 0 to 100; see the top of this module for what is a word.

    Raises :class:`DataError` for unequal numbers of texts.
    """
    every = _checked(texts, references)
    rows = np.zeros((len(texts), 3))
    for row, (text, several) in enumerate(zip(texts, every, strict=True)):
        own = words(text)
        rows[row] = np.max([_overlaps(own, words(one)) for one in several], axis=0)
    count = max(map(len, every))
    signature = f"nrefs:{count if count == min(map(len, every)) else 'var'}|case:lc|stem:no|tok:letters|f1"
    found = {}
    for place, name in enumerate(("rouge1", "rouge2", "rougeL")):
        sums = np.stack([100 * rows[:, place], np.ones(len(rows))], axis=1)
        found[name] = TextScore(
            f"ROUGE-{name[5:]}", float(sums[:, 0].mean()), signature, _ratio, lambda sums=sums: sums
        )
    return found


def closeness(text: str, reference: str) -> float:
    """The mean of ROUGE-1, -2 and -L of one text, from 0 to 100: what an extract is chosen by."""
    return 100 * sum(_overlaps(words(text), words(reference))) / 3


def _overlaps(own: Sequence[str], theirs: Sequence[str]) -> tuple[float, float, float]:
    """F1 of words, pairs of words and the longest common subsequence."""
    pairs = [(ngrams(own, n), ngrams(theirs, n)) for n in (1, 2)]
    ones, twos = (_f1((a & b).total(), a.total(), b.total()) for a, b in pairs)
    return ones, twos, _f1(_common(own, theirs), len(own), len(theirs))


def _f1(shared: int, own: int, theirs: int) -> float:
    return 2 * shared / (own + theirs) if shared else 0.0


def _common(first: Sequence[str], second: Sequence[str]) -> int:
    """Length of the longest common subsequence, a bit for each word (Hyyrö 2004)."""
    places: dict[str, int] = {}
    for at, word in enumerate(first):
        places[word] = places.get(word, 0) | 1 << at
    every = (1 << len(first)) - 1
    row = every
    for word in second:
        met = row & places.get(word, 0)
        row = ((row + met) | (row - met)) & every
    return len(first) - row.bit_count()


# ---- what goes wrong


def repeated(texts: Sequence[str], n: int = 4) -> TextScore:
    """Share of n-grams that stood before in the same text: loops. Beside that of the references it tells a model's own.

    Every sign is a word here. Texts of fewer than n words count for nothing.
    """
    if not len(texts):
        raise DataError("no text to look at, expected at least one")
    rows = []
    for text in texts:
        found = ngrams(words(text, signs=True), n)
        rows.append((100.0 * (found.total() - len(found)), found.total()))
    return _share(f"repeated {n}-grams", np.array(rows, np.float64), f"n:{n}|tok:letters+signs")


def copied(texts: Sequence[str], sources: Sequence[str], n: int = 1) -> TextScore:
    """Share of n-grams that stand in the source: what of a summary is copied, of a translation left as it was."""
    every = _checked(texts, sources)
    rows = []
    for text, (source,) in zip(texts, every, strict=True):
        found, given = ngrams(words(text), n), ngrams(words(source), n)
        rows.append((100.0 * sum(times for one, times in found.items() if one in given), found.total()))
    return _share(f"copied {n}-grams", np.array(rows, np.float64), f"n:{n}|case:lc|tok:letters")


def _share(name: str, sums: Array, signature: str) -> TextScore:
    return TextScore(name, float(_ratio(sums.sum(0))), signature, _ratio, lambda: sums)


def _ratio(sums: Array) -> Array:
    return sums[..., 0] / np.maximum(sums[..., 1], 1e-300)


# ---- words


def words(text: str, *, signs: bool = False) -> list[str]:
    """Runs of letters, marks and digits, case folded; characters in scripts without blanks. signs: other signs too.

    >>> words("Naïve Bayes (1.5x), e.g.")
    ['naïve', 'bayes', '1', '5x', 'e', 'g']
    >>> words("深層学習 ที่ हिन्दी")
    ['深', '層', '学', '習', 'ที่', 'हिन्दी']
    >>> words("don't!", signs=True)
    ['don', "'", 't', '!']
    """
    folded = unicodedata.normalize("NFC", text).casefold()
    spread = folded.translate(_WITH_SIGNS if signs else _LETTERS)
    found: list[str] = []
    for run in spread.split():
        if run.isascii():
            found.append(run)
            continue
        kind = ""
        for sign in run:
            own = _kind(sign)
            if own == "mark" and kind:
                found[-1] += sign
                continue
            if own == "alone" or own != kind:
                found.append(sign)
            else:
                found[-1] += sign
            kind = own
    return found


def ngrams(tokens: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    """How often each n tokens stand in a row."""
    if n < 1:
        raise ConfigError(f"n is {n}, expected at least 1")
    return Counter(zip(*(tokens[at:] for at in range(n)), strict=False))


def _kind(sign: str) -> str:
    """ "mark", "alone" (a script without blanks), or "letter"."""
    if unicodedata.category(sign)[0] == "M":
        return "mark"
    code = ord(sign)
    return "alone" if any(low <= code <= high for low, high in _UNSPACED) else "letter"


class _Table(dict[int, str]):
    """For str.translate: what is neither letter, mark nor digit becomes a blank, or stands between blanks."""

    def __init__(self, *, signs: bool) -> None:
        super().__init__()
        self.signs = signs

    def __missing__(self, code: int) -> str:
        sign = chr(code)
        kept = unicodedata.category(sign)[0] in "LMN"
        self[code] = sign if kept else f" {sign} " if self.signs and not sign.isspace() else " "
        return self[code]


_LETTERS, _WITH_SIGNS = _Table(signs=False), _Table(signs=True)


def _checked(texts: Sequence[str], references: References) -> list[tuple[str, ...]]:
    """The references of each text, one at least."""
    if not len(texts) or len(texts) != len(references):
        raise DataError(f"{len(texts)} texts and {len(references)} references, expected as many, at least one")
    every = [(one,) if isinstance(one, str) else tuple(one) for one in references]
    bare = next((row for row, several in enumerate(every) if not several), None)
    if bare is not None:
        raise DataError(f"text {bare} has no reference, expected at least one")
    return every


def _streams(every: Sequence[Sequence[str]]) -> list[list[str | None]]:
    """As sacrebleu wants them: the first reference of all, the second of all; None where there are fewer."""
    most = max(map(len, every))
    return [[several[at] if at < len(several) else None for several in every] for at in range(most)]
