"""The network of classifying and labelling: an encoder of the inputs, recurrent layers, and a head."""

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from latchwork.errors import DataError
from latchwork.layers import CRF, InputEncoder, Pooling
from latchwork.sequences import Inputs
from latchwork.types import Float, Int, Tensor


class Reader(nn.Module):
    """[batch of sequences] -> scores: of each class [batch, outputs], or with ``pooling`` None of each class at each
    step [batch, time, outputs].

    body: recurrent layers (:class:`latchwork.layers.Stack`), or whatever takes their place in a comparison: called with
    (values, lengths=…), it returns (outputs, state), and knows its ``output_size``.
    """

    def __init__(
        self,
        encoder: InputEncoder,
        body: nn.Module,
        pooling: Pooling | None,
        outputs: int,
        *,
        dropout: float = 0.0,
        ordered: int = 0,
        crf: CRF | None = None,
    ) -> None:
        super().__init__()
        self.encoder, self.body, self.pooling, self.crf = encoder, body, pooling, crf
        width: Any = body.output_size
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, outputs)
        self.cuts = Cuts(ordered) if ordered else None

    def forward(self, inputs: Inputs) -> tuple[Float[Tensor, "..."], Int[Tensor, " batch"]]:
        """The scores, and how many steps of each row count."""
        values, lengths = self.encoder(inputs)
        outputs, _ = self.body(values, lengths=lengths)
        if self.pooling is not None:
            outputs = self.pooling(outputs, lengths)
        scores = self.head(self.dropout(outputs))
        if self.cuts is not None:
            scores = self.cuts(scores)
        if not torch.isfinite(scores).all() and not self.training:
            raise DataError("the scores lie beyond all numbers; is a value of the sequence wrong?")
        return scores, lengths


class Cuts(nn.Module):
    """One score s and increasing cuts θ between classes in order: log p(y = k), p(y > k) = σ(s − θ_k).

    log (σ(a) − σ(b)) = log σ(a) + log σ(−b) + log (1 − e^(b − a)), so that no probability is 0, however wrong a score.

    Source: McCullagh 1980, the proportional odds model.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.tensor(-1.0))
        self.gaps = nn.Parameter(torch.zeros(max(classes - 2, 0)))

    def forward(self, score: Float[Tensor, "batch 1"]) -> Float[Tensor, "batch classes"]:
        """log p of each class."""
        score = score.float()
        gaps = functional.softplus(self.gaps)
        cuts = torch.cat((self.first.view(1), self.first + gaps.cumsum(0)))
        over, under = functional.logsigmoid(score - cuts), functional.logsigmoid(cuts - score)
        between = over[:, :-1] + under[:, 1:] + (-torch.expm1(-gaps)).clamp(min=1e-12).log()
        return torch.cat((under[:, :1], between, over[:, -1:]), -1)
