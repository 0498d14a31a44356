"""Attention: what a decoder reads of an encoder's outputs, anew at each of its steps."""

from typing import Literal, NamedTuple, get_args

import torch
from torch import nn

from latchwork.errors import ConfigError, DataError, did_you_mean
from latchwork.types import Bool, Float, Tensor

AttentionKind = Literal["bahdanau", "luong", "dot"]
ATTENTIONS: tuple[str, ...] = get_args(AttentionKind)

AT_ONCE = 1 << 22
"""Numbers that additive attention makes at once: 16 MiB. Of many queries some at a time."""


class Attended(NamedTuple):
    """What queries got from the memory.

    context  [batch, queries, width] the memory's values, weighted
    weights  [batch, queries, steps] how: each row adds up to 1 over the memory's own steps; all 0 where it has none
    scores   [batch, queries, steps] from which the weights were made, the least finite number where there is no step
    """

    context: Tensor
    weights: Tensor
    scores: Tensor


class Attention(nn.Module):
    """What some queries see of a memory [batch, steps, memory].

        context = Σ_s a_s m_s,    a = softmax over the memory's own steps of

        bahdanau    v · tanh(U m_s + W q + b + w c_s)                    additive; Bahdanau et al. 2015
        luong       q · (U m_s) + w c_s                                  "general"; Luong et al. 2015
        dot         q · m_s + w c_s                                      the widths of query and memory are the same

    c_s: how much of step s was read so far, with ``coverage`` alone (See et al. 2017). U m_s are the keys: they are
    made once for a memory, by :meth:`keys`. What lies past a memory's end never counts, whatever stands there; of a
    memory without steps the context is zero. width: of the keys of additive attention; None: as the query.

    Sources: arXiv:1409.0473, arXiv:1508.04025, arXiv:1704.04368.
    """

    def __init__(self, kind: str, query: int, memory: int, *, width: int | None = None, coverage: bool = False) -> None:
        super().__init__()
        check_attention(kind)
        if kind == "dot" and query != memory:
            raise ConfigError(
                f"dot attention wants a query as wide as the memory, and these are {query} and {memory} wide; "
                'use "luong" or "bahdanau"'
            )
        if kind != "bahdanau" and width not in (None, query):
            raise ConfigError(f"width is for bahdanau's keys, and those of {kind} are as wide as the query")
        self.kind = kind
        self.coverage = coverage
        width = query if width is None else width
        if kind == "bahdanau":
            self.key = _linear(memory, width)
            self.query = _linear(query, width)
            self.query.bias = nn.Parameter(torch.zeros(width))
            self.score = nn.Parameter(torch.empty(width).uniform_(-(width**-0.5), width**-0.5))
            self.covered = nn.Parameter(torch.zeros(width)) if coverage else None
        else:
            if kind == "luong":
                self.key = _linear(memory, query)
            self.covered = nn.Parameter(torch.zeros(())) if coverage else None

    def keys(self, memory: Float[Tensor, "batch steps memory"]) -> Float[Tensor, "batch steps width"]:
        """What the queries are compared with."""
        return memory if self.kind == "dot" else self.key(memory)

    def forward(
        self,
        queries: Float[Tensor, "batch queries query"],
        keys: Float[Tensor, "batch steps width"],
        values: Float[Tensor, "batch steps memory"],
        there: Bool[Tensor, "batch steps"],
        coverage: Float[Tensor, "batch queries steps"] | None = None,
    ) -> Attended:
        """there: which steps of the memory are its own; at the others the values must be finite. Weights and scores are
        float32 at least.
        """
        if self.coverage and coverage is None:
            raise DataError("this attention looks at what was read so far, and there is no coverage; give one")
        scores = self._scores(queries, keys, coverage if self.coverage else None)
        scores = scores if scores.dtype == torch.float64 else scores.float()
        absent = ~there.unsqueeze(1)
        # The least finite number: all of a row without steps is the same, and nothing becomes 0 / 0.
        scores = scores.masked_fill(absent, torch.finfo(scores.dtype).min)
        weights = scores.softmax(-1).masked_fill(absent, 0.0)
        return Attended(torch.bmm(weights.to(values.dtype), values), weights, scores)

    def _scores(self, queries: Tensor, keys: Tensor, coverage: Tensor | None) -> Tensor:
        if self.kind == "bahdanau":
            queries = self.query(queries)
            some = max(1, AT_ONCE // max(1, keys.numel()))
            if queries.shape[1] <= some:
                return self._additive(queries, keys, coverage)
            parts = []
            for at in range(0, queries.shape[1], some):
                covered = None if coverage is None else coverage[:, at : at + some]
                parts.append(self._additive(queries[:, at : at + some], keys, covered))
            return torch.cat(parts, 1)
        scores = torch.bmm(queries, keys.transpose(1, 2))
        return scores if coverage is None else scores + self._covered * coverage

    def _additive(self, queries: Tensor, keys: Tensor, coverage: Tensor | None) -> Tensor:
        energy = keys.unsqueeze(1) + queries.unsqueeze(2)
        if coverage is not None:
            energy = energy + coverage.unsqueeze(-1) * self._covered
        return energy.tanh() @ self.score.to(energy.dtype)

    @property
    def _covered(self) -> Tensor:
        assert self.covered is not None
        return self.covered

    def extra_repr(self) -> str:
        return self.kind + (", coverage=True" if self.coverage else "")


def check_attention(kind: str) -> None:
    """Raise :class:`ConfigError` where there is no attention of that name."""
    if kind not in ATTENTIONS:
        raise ConfigError(
            f'attention is "{kind}", expected one of {", ".join(ATTENTIONS)}{did_you_mean(str(kind), ATTENTIONS)}'
        )


def _linear(width: int, outputs: int) -> nn.Linear:
    """Without a bias, Glorot uniform."""
    made = nn.Linear(width, outputs, bias=False)
    nn.init.xavier_uniform_(made.weight)
    return made
