"""Words of the source as words of the answer: the mixture of a vocabulary and of a pointer into the memory.

p(w) = g p_vocabulary(w) + (1 - g) Σ_{s: source_s = w} a_s,    g = σ(gate),  a = softmax(scores)

Words of the source that the vocabulary doesn't know stand behind it, as numbers from its size on: they can be copied
alone. All of it is computed with logarithms, and no finite input gives NaN, in the values or in the gradients.

Source: See, Liu & Manning 2017, arXiv:1704.04368.
"""

import torch
from torch.nn import functional as F

from latchwork.types import Bool, Float, Int, Tensor

NEVER = -1e30
"""The logarithm of no probability at all where gradients pass: finite, so that no difference of two is NaN."""


def pointed(
    logits: Float[Tensor, "*batch vocabulary"],
    gate: Float[Tensor, "*batch"],
    scores: Float[Tensor, "*batch steps"],
    source: Int[Tensor, "*batch steps"],
    there: Bool[Tensor, "*batch steps"],
    extra: int,
) -> Float[Tensor, "*batch words"]:
    """log p of every word of the vocabulary and of the ``extra`` behind it; -inf where such a word is not in the
    memory. there: which steps are the memory's own; without any, nothing is copied.
    """
    gate = _gate(gate, there)
    own = logits.log_softmax(-1).clamp(min=NEVER) + F.logsigmoid(gate).unsqueeze(-1)
    weights = scores.masked_fill(~there, NEVER).softmax(-1).masked_fill(~there, 0.0)
    words = logits.shape[-1] + extra
    copied = weights.new_zeros(*weights.shape[:-1], words).scatter_add(-1, source.clamp(0, words - 1), weights)
    least = torch.finfo(copied.dtype).tiny
    seen = copied >= least
    second = copied.clamp(min=least).log().masked_fill(~seen, NEVER) + F.logsigmoid(-gate).unsqueeze(-1)
    both = torch.logaddexp(F.pad(own, (0, extra), value=NEVER), second)
    behind = torch.arange(words, device=logits.device) >= logits.shape[-1]
    return both.masked_fill(behind & ~seen, -torch.inf)


def pointed_at(
    logits: Float[Tensor, "*batch vocabulary"],
    gate: Float[Tensor, "*batch"],
    scores: Float[Tensor, "*batch steps"],
    source: Int[Tensor, "*batch steps"],
    there: Bool[Tensor, "*batch steps"],
    targets: Int[Tensor, "*batch"],
) -> Float[Tensor, "*batch"]:
    """log p of one word each, as :func:`pointed` has it, without the distribution over all that can be copied."""
    gate = _gate(gate, there)
    known = targets < logits.shape[-1]
    own = logits.log_softmax(-1).gather(-1, targets.where(known, 0).unsqueeze(-1)).squeeze(-1)
    own = own.masked_fill(~known, NEVER).clamp(min=NEVER) + F.logsigmoid(gate)
    match = (source == targets.unsqueeze(-1)) & there
    copied = scores.masked_fill(~there, NEVER).log_softmax(-1).masked_fill(~match, NEVER)
    # A column of its own: of a memory without steps there would be nothing to take the logarithm of.
    second = F.pad(copied.clamp(min=NEVER), (0, 1), value=NEVER).logsumexp(-1) + F.logsigmoid(-gate)
    return torch.logaddexp(own, second)


def coverage_loss(
    weights: Float[Tensor, "*batch steps"], coverage: Float[Tensor, "*batch steps"]
) -> Float[Tensor, "*batch"]:
    """Σ_s min(a_s, c_s): how much is read that was read before (See et al. 2017)."""
    return torch.minimum(weights, coverage).sum(-1)


def _gate(gate: Tensor, there: Tensor) -> Tensor:
    """The gate, open where there is nothing to copy."""
    return torch.where(there.any(-1), gate, torch.full_like(gate, 100.0))
