"""Beam search: the most probable sequences that a step function can say, several batches of them at once."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from latchwork.errors import ConfigError, DataError
from latchwork.modalities import END
from latchwork.sequences import PAD, select
from latchwork.types import Tensor

Step = Callable[[Tensor, Any, Tensor], tuple[Tensor, Any, Tensor | None]]
"""(tokens [rows], state, sentences) -> (log p of every token to come [rows, vocabulary], state, what is to be kept of
this step [rows, …] or None). sentences: the numbers of those that are still searched; each has as many rows as the beam
is wide, side by side. A token that must not be said has -inf."""


STRONGEST = 10
"""The highest α: with more, the penalty of a long answer lies beyond all numbers."""


@dataclass(frozen=True, kw_only=True)
class Beam:
    """How is searched.

    Args:
        beam: Sequences that are kept at each step. 1: greedy, the most probable token each time.
        n_best: Answers that are given, the best first.
        length_penalty: α of the length penalty lp: of finished sequences the one with the highest log p / lp wins, with
            lp = ((5 + length) / 6)^α and the length that of all tokens, the last one (END) too (Wu et al. 2016). 0: the
            most probable one, which is often short.
        max_length: Tokens of an answer at most, END not counted: after so many nothing but END may follow.
        min_length: Tokens of an answer at least.
        no_repeat_ngram_size: No run of so many tokens stands twice in an answer. 0: it may.

    Source: arXiv:1609.08144, section 7.
    """

    beam: int = 5
    n_best: int = 1
    length_penalty: float = 1.0
    max_length: int = 100
    min_length: int = 0
    no_repeat_ngram_size: int = 0

    def __post_init__(self) -> None:
        for name, least in (("beam", 1), ("n_best", 1), ("max_length", 1), ("min_length", 0),
                            ("no_repeat_ngram_size", 0)):  # fmt: skip
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ConfigError(f"{name} is {value!r}, expected a whole number from {least}")
        if not 0 <= self.length_penalty <= STRONGEST:
            raise ConfigError(f"length_penalty is {self.length_penalty}, expected a number from 0 to {STRONGEST}")
        if self.n_best > self.beam:
            raise ConfigError(f"n_best is {self.n_best}, and a beam of {self.beam} holds no more than that; widen it")
        if self.min_length > self.max_length:
            raise ConfigError(f"min_length is {self.min_length}, above max_length, which is {self.max_length}")

    def penalty(self, length: int | NDArray[np.int64]) -> Any:
        """lp of a sequence of so many tokens, END among them."""
        return ((5 + length) / 6) ** self.length_penalty


class Hypothesis(NamedTuple):
    """One answer.

    tokens  without END
    score   log p / lp, by which answers are ranked
    log_p   of all tokens, END too
    kept    what the step function gave to keep, a row for each token
    cut     it stood at its longest, and END was the only token left
    """

    tokens: NDArray[np.int64]
    score: float
    log_p: float
    kept: NDArray[np.float32] | None = None
    cut: bool = False


@torch.no_grad()
def beam_search(
    step: Step, state: Any, count: int, options: Beam | None = None, *, limits: Sequence[int] | None = None
) -> list[list[Hypothesis]]:
    """Of each of ``count`` sentences the ``n_best`` best hypotheses, the best first.

    state: before the first token, a row for each sentence; it is read after END, as every text begins. limits: the
    longest answer of each sentence, where that is less than ``max_length`` (and no less than ``min_length``).

    At each step all continuations of a sentence's beam are ranked by log p. Those among the first ``beam`` that end are
    answers; the first ``beam`` that go on are the new beam. The search of a sentence ends when no sequence of its beam
    can become better than the ``n_best`` answers there are, however much longer it gets: log p never rises, so a score
    stays below log p / lp(longest). With a beam of 1 the first end is the answer: that is greedy search.

    Raises :class:`ConfigError` where the beam is wider than the vocabulary, and :class:`DataError` where a score is NaN
    or above all numbers.
    """
    options = options or Beam()
    search = _Search(options, count, limits)
    if not count:
        return []
    first = next(iter(_leaves(state)))
    device = first.device
    state = select(state, torch.arange(count, device=device).repeat_interleave(options.beam))
    search.begin(device)
    while search.live:
        scores, state, kept = step(search.last, state, search.sentences)
        rows, going = search.advance(scores, kept)
        if rows is not None:
            state = select(state, rows)
        if not going:
            break
    return [search.answers(sentence) for sentence in range(count)]


def _leaves(state: Any) -> Any:
    if isinstance(state, Tensor):
        yield state
    elif state is not None:
        for part in state:
            yield from _leaves(part)


@dataclass
class _Search:
    """Where the search stands: n sentences are live, each with a beam of k sequences of t tokens.

    said    [n, k, t]
    log_p   [n, k] -inf where there is no sequence
    kept    [n, k, t, …]
    """

    options: Beam
    count: int
    limits: Sequence[int] | None
    found: list[list[Hypothesis]] = field(default_factory=list)
    said: Any = None
    log_p: Any = None
    kept: Any = None
    sentences: Any = None

    def begin(self, device: torch.device) -> None:
        k = self.options.beam
        longest = self.options.max_length
        least = max(1, self.options.min_length)
        limits = [longest] * self.count if self.limits is None else self.limits
        given = [min(longest, max(least, one)) for one in limits]
        self.longest = torch.tensor(given, device=device)
        self.found = [[] for _ in range(self.count)]
        self.sentences = torch.arange(self.count, device=device)
        self.said = torch.zeros(self.count, k, 0, dtype=torch.int64, device=device)
        self.log_p = torch.full((self.count, k), -torch.inf, device=device)
        self.log_p[:, 0] = 0.0

    @property
    def live(self) -> bool:
        return len(self.sentences) > 0

    @property
    def last(self) -> Tensor:
        """The token that each row has just said."""
        if not self.said.shape[2]:
            return torch.full((len(self.sentences) * self.options.beam,), END, device=self.log_p.device)
        return self.said[:, :, -1].flatten()

    def advance(self, scores: Tensor, kept: Tensor | None) -> tuple[Tensor | None, bool]:
        """Take in the scores of a step: (which rows of the state go on, in their new order; whether any do)."""
        n, k = self.log_p.shape
        scores = self._allowed(_checked(scores, k).clone())
        vocabulary = scores.shape[1]
        self.log_p = self.log_p.to(scores.dtype)
        total = (self.log_p.unsqueeze(-1) + scores.view(n, k, vocabulary)).flatten(1)
        best, index = total.topk(min(2 * k, total.shape[1]), -1)
        parent, token = index // vocabulary, index % vocabulary
        ends = (token == END) & (best > -torch.inf)
        self._collect(best[:, :k], parent[:, :k], ends[:, :k], kept)
        # Of 2 k continuations at most k end, one of each sequence: k are left to go on.
        rank = torch.arange(best.shape[1], device=best.device).expand_as(best)
        order = torch.where(token == END, rank + best.shape[1], rank).argsort(-1)[:, :k]
        best = best.gather(1, order).masked_fill(token.gather(1, order) == END, -torch.inf)
        parent, token = parent.gather(1, order), token.gather(1, order)
        if parent.shape[1] < k:
            more = k - parent.shape[1]
            parent, token = (torch.nn.functional.pad(one, (0, more)) for one in (parent, token))
            best = torch.nn.functional.pad(best, (0, more), value=-torch.inf)
        stuck = (best == -torch.inf).all(1)
        self._rescue(stuck)
        going = (~(stuck | self._done(best[:, 0]))).nonzero().squeeze(1)
        parent, token = parent[going], token[going]
        rows = (going.unsqueeze(1) * k + parent).flatten()
        self.sentences, self.longest, self.log_p = self.sentences[going], self.longest[going], best[going]
        before = self.said.flatten(0, 1)[rows].unflatten(0, (len(going), k))
        self.said = torch.cat((before, token.unsqueeze(-1)), -1)
        if kept is not None:
            now = kept.unsqueeze(1) if self.kept is None else torch.cat((self.kept.flatten(0, 1), kept.unsqueeze(1)), 1)
            self.kept = now[rows].unflatten(0, (len(going), k))
        return rows, len(going) > 0

    def _allowed(self, scores: Tensor) -> Tensor:
        """The scores [rows, vocabulary] with -inf for what must not be said."""
        options, length = self.options, self.said.shape[2]
        scores[:, PAD] = -torch.inf
        if length < options.min_length:
            scores[:, END] = -torch.inf
        if options.no_repeat_ngram_size and length >= options.no_repeat_ngram_size:
            _block_repeats(scores, self.said.flatten(0, 1), options.no_repeat_ngram_size)
        full = (self.longest <= length).repeat_interleave(options.beam)
        if full.any():
            end = scores[full, END]
            scores[full] = -torch.inf
            scores[full, END] = end
        return scores

    def _collect(self, best: Tensor, parent: Tensor, ends: Tensor, kept: Tensor | None) -> None:
        """Take the sequences that ended among the answers."""
        length = self.said.shape[2]
        for place, rank in ends.nonzero().tolist():
            log_p = float(best[place, rank])
            row = int(parent[place, rank])
            held = None
            if kept is not None:
                held = kept.new_zeros(0, *kept.shape[1:]) if self.kept is None else self.kept[place, row]
                held = held.float().cpu().numpy()
            score = log_p / self.options.penalty(length + 1)
            cut = bool(self.longest[place] <= length)
            answer = Hypothesis(self.said[place, row].cpu().numpy(), score, log_p, held, cut)
            own = self.found[int(self.sentences[place])]
            own.append(answer)
            own.sort(key=lambda one: -one.score)
            del own[self.options.beam :]

    def _rescue(self, stuck: Tensor) -> None:
        """Of a sentence that can't go on and has no answer its best sequence is one, though it has no end."""
        length = self.said.shape[2]
        for place in stuck.nonzero().squeeze(1).tolist():
            own = self.found[int(self.sentences[place])]
            if own:
                continue
            log_p, row = (one.item() for one in self.log_p[place].max(0))
            held = None if self.kept is None else self.kept[place, int(row)].float().cpu().numpy()
            score = log_p / self.options.penalty(max(1, length))
            own.append(Hypothesis(self.said[place, int(row)].cpu().numpy(), score, log_p, held, True))

    def _done(self, best: Tensor) -> Tensor:
        """[n] whether no sequence that goes on can become better than the answers there are."""
        n_best = self.options.n_best
        held = [self.found[sentence] for sentence in self.sentences.tolist()]
        if self.options.beam == 1:
            return torch.tensor([bool(own) for own in held], device=best.device)
        worst = torch.tensor([own[n_best - 1].score if len(own) >= n_best else -math.inf for own in held])
        bound = best.double().cpu() / torch.from_numpy(np.asarray(self.options.penalty(self.longest.cpu().numpy() + 1)))
        return (bound <= worst).to(best.device)

    def answers(self, sentence: int) -> list[Hypothesis]:
        """The best of a sentence."""
        return self.found[sentence][: self.options.n_best]


def check_width(beam: int, vocabulary: int) -> None:
    """Raise :class:`ConfigError` where a beam is wider than the vocabulary."""
    if beam > vocabulary:
        raise ConfigError(f"the beam is {beam}, wider than the vocabulary, which has {vocabulary} tokens")


def _checked(scores: Tensor, beam: int) -> Tensor:
    check_width(beam, scores.shape[1])
    if scores.isnan().any() or (scores == torch.inf).any():
        raise DataError("the model's scores are not numbers (NaN or infinite); its weights or its input are damaged")
    return scores


def _block_repeats(scores: Tensor, said: Tensor, size: int) -> None:
    """-inf for each token that would end a run of ``size`` tokens that stands in its row already."""
    runs = said.unfold(1, size, 1)
    before = said[:, said.shape[1] - size + 1 :].unsqueeze(1)
    again = (runs[..., :-1] == before).all(-1)
    rows, places = again.nonzero(as_tuple=True)
    scores[rows, runs[rows, places, -1]] = -torch.inf
