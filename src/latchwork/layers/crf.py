"""A linear-chain conditional random field: labels that know their neighbours."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import nn

from latchwork.errors import ConfigError
from latchwork.sequences import mask_from_lengths
from latchwork.types import Bool, Float, Int, Tensor

FORBIDDEN = -1e4
"""The score of what is not allowed: e to it is 0 in every type, and it stays a number in sums and gradients."""
NO_LABEL = -1
"""What stands past a row's end in decoded labels."""


class Allowed(NamedTuple):
    """Which labels may begin a sequence, [labels], and which may follow which, [labels, labels] (from, to)."""

    start: Bool[Tensor, " labels"]
    follow: Bool[Tensor, "labels labels"]


def bio_rules(names: Sequence[str]) -> Allowed:
    """What the BIO scheme allows: ``I-x`` stands after ``B-x`` or ``I-x`` and nowhere else.

    Names that begin with neither ``B-`` nor ``I-`` are outside of any span.

    >>> bio_rules(["O", "B-x", "I-x"]).follow.int().tolist()
    [[1, 1, 0], [1, 1, 1], [1, 1, 1]]
    """
    inside = [name.startswith("I-") for name in names]
    spans = [name[2:] if name.startswith(("B-", "I-")) else None for name in names]
    follow = [[not begun or before == span for begun, span in zip(inside, spans, strict=True)] for before in spans]
    return Allowed(~torch.tensor(inside, dtype=torch.bool), torch.tensor(follow, dtype=torch.bool))


class CRF(nn.Module):
    """The probability of a whole sequence of labels y, given scores s of each label at each step.

        log p(y) = a(y) - log Σ e^a(y')  over all y';   a(y) = start[y_1] + Σ s_t[y_t] + Σ follow[y_t-1, y_t] + end[y_n]

    Parameters: ``start`` and ``end``, [labels]; ``follow``, [labels, labels], from and to; zeros at first. With
    ``allowed``, sequences that break its rules have the probability 0: they count e^-10000 for each break. Sums are
    taken as logarithms, in float32 at least. Scores past a row's length are never read, and a row of length 0 has the
    one sequence without labels, of probability 1.

    Source: Lafferty, McCallum & Pereira 2001; Lample et al. 2016, arXiv:1603.01360.
    """

    rules_start: Tensor
    rules_follow: Tensor

    def __init__(self, labels: int, *, allowed: Allowed | None = None) -> None:
        super().__init__()
        if labels < 1:
            raise ConfigError(f"labels is {labels}, expected at least 1")
        if allowed is not None and (allowed.start.shape, allowed.follow.shape) != ((labels,), (labels, labels)):
            raise ConfigError(
                f"the rules are for {len(allowed.start)} labels ({tuple(allowed.follow.shape)}), expected {labels}"
            )
        self.labels = labels
        self.start = nn.Parameter(torch.zeros(labels))
        self.follow = nn.Parameter(torch.zeros(labels, labels))
        self.end = nn.Parameter(torch.zeros(labels))
        # The rules belong to the labels' names, not to what was learned: they are not saved with the weights.
        for name, rule in (("start", self.start), ("follow", self.follow)):
            whole = torch.zeros_like(rule, requires_grad=False)
            broken = whole if allowed is None else whole.masked_fill(~getattr(allowed, name), FORBIDDEN)
            self.register_buffer(f"rules_{name}", broken, persistent=False)

    def forward(
        self,
        scores: Float[Tensor, "batch time labels"],
        labels: Int[Tensor, "batch time"],
        lengths: Int[Tensor, " batch"] | None = None,
    ) -> Float[Tensor, " batch"]:
        """log p(labels) of each row. What stands in ``labels`` past a row's length may be anything."""
        lengths, active, scores = self._prepared(scores, lengths)
        return self._path(scores, labels.masked_fill(~active, 0), lengths, active) - self._total(scores, active)

    def log_partition(
        self, scores: Float[Tensor, "batch time labels"], lengths: Int[Tensor, " batch"] | None = None
    ) -> Float[Tensor, " batch"]:
        """log Σ e^a(y) over all sequences of labels."""
        _, active, scores = self._prepared(scores, lengths)
        return self._total(scores, active)

    def marginals(
        self, scores: Float[Tensor, "batch time labels"], lengths: Int[Tensor, " batch"] | None = None
    ) -> Float[Tensor, "batch time labels"]:
        """p(y_t = label) at each step, 0 past a row's length: the gradient of the partition in the scores."""
        with torch.inference_mode(False), torch.enable_grad():
            leaf = scores.detach().clone().requires_grad_()
            return torch.autograd.grad(self.log_partition(leaf, lengths).sum(), leaf)[0]

    @torch.no_grad()
    def decode(
        self, scores: Float[Tensor, "batch time labels"], lengths: Int[Tensor, " batch"] | None = None
    ) -> tuple[Int[Tensor, "batch time"], Float[Tensor, " batch"]]:
        """(the most probable labels, -1 past a row's length; the logarithm of their probability), by Viterbi."""
        lengths, active, scores = self._prepared(scores, lengths)
        batch, time = active.shape
        if not time:
            return active.long(), scores.new_zeros(batch)
        start, follow, end = self._transitions(scores)
        best = start + scores[:, 0]
        stay = torch.arange(self.labels, device=scores.device).expand(batch, -1)
        back = []
        for t in range(1, time):
            most, before = (best.unsqueeze(2) + follow).max(1)
            here = active[:, t].unsqueeze(1)
            best = torch.where(here, most + scores[:, t], best)
            back.append(torch.where(here, before, stay))
        last = (best + end).argmax(1)
        labels = [last]
        for before in reversed(back):
            last = before.gather(1, last.unsqueeze(1)).squeeze(1)
            labels.append(last)
        found = torch.stack(labels[::-1], 1)
        path = self._path(scores, found.masked_fill(~active, 0), lengths, active)
        return found.masked_fill(~active, NO_LABEL), path - self._total(scores, active)

    def _prepared(self, scores: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Lengths, which steps exist, and the scores, zero at the others: NaN there would reach the gradients."""
        batch, time, _ = scores.shape
        scores = scores.float() if scores.dtype in (torch.float16, torch.bfloat16) else scores
        if lengths is None:
            lengths = torch.full((batch,), time, device=scores.device)
            return lengths, mask_from_lengths(lengths, time), scores
        active = mask_from_lengths(lengths, time)
        return lengths, active, scores.masked_fill(~active.unsqueeze(-1), 0.0)

    def _transitions(self, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        start, follow, end = self.start + self.rules_start, self.follow + self.rules_follow, self.end
        return start.to(like.dtype), follow.to(like.dtype), end.to(like.dtype)

    def _path(self, scores: Tensor, labels: Tensor, lengths: Tensor, active: Tensor) -> Tensor:
        """a(labels). The labels are 0 where no step is."""
        if not labels.shape[1]:
            return scores.sum((1, 2))
        start, follow, end = self._transitions(scores)
        steps = scores.gather(2, labels.unsqueeze(2)).squeeze(2).sum(1)
        moves = (follow[labels[:, :-1], labels[:, 1:]] * active[:, 1:]).sum(1)
        last = labels.gather(1, (lengths - 1).clamp(min=0).unsqueeze(1)).squeeze(1)
        return torch.where(lengths > 0, start[labels[:, 0]] + steps + moves + end[last], 0.0)

    def _total(self, scores: Tensor, active: Tensor) -> Tensor:
        """log Σ e^a over all labels, step by step."""
        if not active.shape[1]:
            return scores.sum((1, 2))
        start, follow, end = self._transitions(scores)
        first, *rest = scores.unbind(1)
        alpha = start + first
        for t, step in enumerate(rest, 1):
            after = (alpha.unsqueeze(2) + follow).logsumexp(1) + step
            alpha = torch.where(active[:, t].unsqueeze(1), after, alpha)
        return torch.where(active[:, 0], (alpha + end).logsumexp(1), 0.0)

    def extra_repr(self) -> str:
        return str(self.labels)
