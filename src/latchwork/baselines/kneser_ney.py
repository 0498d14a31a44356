"""How often n tokens stand in a row: modified interpolated Kneser-Ney smoothing.

    p(w | h)  = max(c(h w) - D(c(h w)), 0) / c(h ·) + γ(h) p(w | h'),    h' = h without its first token
    γ(h)      = (D₁ N₁(h ·) + D₂ N₂(h ·) + D₃ N₃₊(h ·)) / c(h ·),         N_k(h ·): tokens with c(h w) = k
    p(w | h') where h was never seen; below a single token stands 1 / vocabulary

At the highest order c(h w) is how often that was seen; below, after how many different tokens. The discounts of an
order come from n_k, how many of its n-grams have c = k: Y = n₁ / (n₁ + 2 n₂), D₁ = 1 - 2 Y n₂ / n₁,
D₂ = 2 - 3 Y n₃ / n₂, D₃ = 3 - 4 Y n₄ / n₃; 0.5, 1 and 1.5 where an n_k is 0 or one of these not above 0.

Chen & Goodman 1999, "An empirical study of smoothing techniques for language modeling",
https://doi.org/10.1006/csla.1999.0128. They pad each sentence; here a text is one stream.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from latchwork.errors import ConfigError, DataError

Array = NDArray[np.float64]
Numbers = NDArray[np.int64]

MOST_TOKENS = 10_000_000
"""Of a longer text so many tokens at its end are counted, which takes about 100 bytes each while it lasts."""

MOST_NGRAMS = 30_000_000
"""Different n-grams of all orders together, 24 bytes each. An order that would go beyond is left out, with a note."""

_AT_ONCE = 1_000_000  # tokens that are looked up at a time, which bounds the memory of an answer


@dataclass(frozen=True, eq=False)
class _Order:
    """The n-grams of one order. An n-gram's number is its place in ``codes``, which are sorted.

    codes      number of its first n - 1 tokens, in the order below, · (vocabulary + 1) + its last token
    counts     c
    total      c(h ·) of each n-gram of the order below; 0 where it was never followed
    backed     γ(h) of each of those
    discounts  [4] D of c = 0, 1, 2 and more
    """

    codes: Numbers
    counts: NDArray[np.int32]
    total: NDArray[np.int32]
    backed: Array
    discounts: Array

    def find(self, codes: Numbers) -> Numbers:
        """The number of each n-gram, -1 where it was never seen."""
        places = np.minimum(np.searchsorted(self.codes, codes), len(self.codes) - 1)
        return np.where(self.codes[places] == codes, places, -1)

    def discounted(self, counts: NDArray[np.int32]) -> Array:
        """max(c - D(c), 0)."""
        return counts - self.discounts[np.minimum(counts, 3)]


@dataclass(frozen=True, eq=False)
class KneserNey:
    """A model of the tokens 0 .. vocabulary - 1 that :meth:`fit` made; ``note`` says what was too much to count."""

    vocabulary: int
    orders: tuple[_Order, ...]
    note: str = ""

    @classmethod
    def fit(
        cls,
        tokens: ArrayLike,
        vocabulary: int,
        *,
        order: int = 5,
        most_tokens: int = MOST_TOKENS,
        most_ngrams: int = MOST_NGRAMS,
    ) -> "KneserNey":
        """Count a text [tokens], read as one stream; its first tokens stand after a start that is nowhere else.

        Takes a sort of the text for each order. Raises :class:`DataError` for tokens outside the vocabulary,
        :class:`ConfigError` for an order or a vocabulary below 1.
        """
        if order < 1 or vocabulary < 1:
            raise ConfigError(f"order is {order} and vocabulary {vocabulary}, expected at least 1 each")
        text = _checked(tokens, vocabulary)
        notes = []
        if len(text) > most_tokens:
            notes.append(f"fitted on the last {most_tokens:,} of {len(text):,} tokens")
            text = text[len(text) - most_tokens :]
        text = np.concatenate([[vocabulary], text])
        numbers = np.zeros(len(text), np.int64)  # of the n-gram that ends at each place
        counted: list[tuple[Numbers, Numbers]] = []
        for n in range(1, order + 1):
            before = np.concatenate([numbers[:1], numbers[:-1]])
            codes, first, follow, counts = np.unique(
                before * (vocabulary + 1) + text, return_index=True, return_inverse=True, return_counts=True
            )
            if n > 1 and sum(len(one) for one, _ in counted) + len(codes) > most_ngrams:
                notes.append(f"{n - 1} tokens in a row, as {n} make more than {most_ngrams:,} different ones")
                break
            counts[follow[0]] = 0  # the start is never said
            if counted:
                after = np.bincount(numbers[first], minlength=len(counted[-1][0]))
                after[numbers[0]] = 0
                counted[-1] = counted[-1][0], after
            counted.append((codes, counts))
            numbers = follow
        sizes = [1, *(len(codes) for codes, _ in counted)]
        orders = [_order(*one, size, vocabulary + 1) for one, size in zip(counted, sizes[:-1], strict=True)]
        return cls(vocabulary, tuple(orders), "; ".join(notes))

    def nats(self, tokens: ArrayLike, context: ArrayLike = ()) -> Array:
        """-ln p of each token of a text [tokens], given all before it; ``context``: what stands before the text."""
        text = _checked(tokens, self.vocabulary)
        before = self._context(context)
        parts = []
        for at in range(0, len(text), _AT_ONCE):
            part = np.concatenate([before, text[at : at + _AT_ONCE]])
            parts.append(self._nats(part)[len(before) :])
            before = part[len(part) - len(before) :]
        return np.concatenate(parts) if parts else np.zeros(0)

    def probabilities(self, context: ArrayLike = ()) -> Array:
        """[vocabulary] p of every token after a context; they sum to 1."""
        before = self._context(context)
        p = np.full(self.vocabulary, 1 / self.vocabulary)
        numbers = np.zeros(len(before), np.int64)
        for n, one in enumerate(self.orders, start=1):
            history = numbers[-1] if n > 1 else 0
            if history >= 0 and one.total[history]:
                own = np.searchsorted(one.codes, np.array([history, history + 1]) * (self.vocabulary + 1))
                codes, counts = one.codes[own[0] : own[1]], one.counts[own[0] : own[1]]
                said = codes % (self.vocabulary + 1) < self.vocabulary
                p = p * one.backed[history]
                p[codes[said] % (self.vocabulary + 1)] += one.discounted(counts[said]) / one.total[history]
            numbers = one.find(self._codes(numbers, before, first=n == 1))
        return p

    def _nats(self, text: Numbers) -> Array:
        """Of each token of a text that starts with its context."""
        p = np.full(len(text), 1 / self.vocabulary)
        numbers = np.zeros(len(text), np.int64)
        for n, one in enumerate(self.orders, start=1):
            codes = self._codes(numbers, text, first=n == 1)
            history = np.maximum(codes, 0) // (self.vocabulary + 1)
            total = np.where(codes >= 0, one.total[history], 0)
            numbers = one.find(codes)
            counts = np.where(numbers >= 0, one.counts[np.maximum(numbers, 0)], 0)
            known = one.discounted(counts) / np.maximum(total, 1) + one.backed[history] * p
            p = np.where(total > 0, known, p)
        return -np.log(p)

    def _codes(self, numbers: Numbers, text: Numbers, *, first: bool) -> Numbers:
        """Of the n-gram that ends at each place, from the (n - 1)-grams that do; -1 where what is before is unknown."""
        before = numbers if first else np.concatenate([[-1], numbers[:-1]])
        return np.where(before >= 0, before * (self.vocabulary + 1) + text, -1)

    def _context(self, context: ArrayLike) -> Numbers:
        """As many tokens as matter, after the start as often as it may be asked for."""
        given = _checked(context, self.vocabulary)
        width = len(self.orders) - 1
        start = np.full(width, self.vocabulary, np.int64)
        return np.concatenate([start, given[max(len(given) - width, 0) :]])


def _order(codes: Numbers, counts: Numbers, contexts: int, base: int) -> _Order:
    of = codes // base
    total = np.bincount(of, counts, contexts)
    n1, n2, n3, n4 = (int((counts == k).sum()) for k in (1, 2, 3, 4))
    discounts = np.array([0.0, 0.5, 1.0, 1.5])
    if n1 and n2 and n3 and n4:
        y = n1 / (n1 + 2 * n2)
        found = [1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3]
        if min(found) > 0:
            discounts[1:] = found
    backed = np.bincount(of, discounts[np.minimum(counts, 3)], contexts) / np.maximum(total, 1)
    return _Order(codes, counts.astype(np.int32), total.astype(np.int32), backed, discounts)


def _checked(tokens: ArrayLike, vocabulary: int) -> Numbers:
    found = np.asarray(tokens)
    if not found.size:
        return np.zeros(0, np.int64)
    if found.ndim != 1 or not np.issubdtype(found.dtype, np.integer):
        raise DataError(f"tokens are {found.dtype} of shape {found.shape}, expected whole numbers [tokens]")
    if found.min() < 0 or found.max() >= vocabulary:
        wrong = found[(found < 0) | (found >= vocabulary)][0]
        raise DataError(f"token {wrong} is none of the vocabulary's, expected 0 to {vocabulary - 1}")
    return found.astype(np.int64)
