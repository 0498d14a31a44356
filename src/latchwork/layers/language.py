"""A network that reads tokens and says what comes next."""

from typing import Any, NamedTuple

from torch import nn

from latchwork.errors import ConfigError
from latchwork.layers.regularize import check_rate, draw_key, fold, locked_dropout, mask
from latchwork.layers.softmax import softmax_nats
from latchwork.layers.stack import Stack
from latchwork.types import Bool, Float, Int, Tensor

_WORDS, _INPUT, _LAYERS, _OUTPUT = range(4)
"""The places that draw a dropout mask."""


class Read(NamedTuple):
    """What reading gives.

    hidden  [batch, time, embedding] what the scores are made from, dropout applied
    raw     [batch, time, hidden] the last layer's outputs, nothing dropped
    dropped [batch, time, hidden] the same, dropout applied
    state   of every layer
    """

    hidden: Tensor
    raw: Tensor
    dropped: Tensor
    state: tuple[Any, ...]


class NextToken(nn.Module):
    """Tokens to the probability of each token to come next, the state carried.

        x_t = E[token_t]
        y_t, state = layers(x_t, state)
        scores_t = W P y_t + b          P: embedding × hidden where they differ and W is E, else none

    tied: W is E (Press & Wolf 2017, arXiv:1608.05859). cutoffs: an adaptive softmax, in which the tokens from
    cutoffs[0] on stand in clusters of fewer dimensions (Grave et al. 2017, arXiv:1609.04309); tokens must be sorted by
    their frequency.

    Dropout, all of it by masks that stay the same over the steps of a row (Gal & Ghahramani 2016; Merity et al. 2018,
    arXiv:1708.02182): embedding_dropout of whole tokens, wherever they stand in the batch; input_dropout of what the
    layers read; output_dropout of what they give.
    """

    def __init__(
        self,
        vocabulary: int,
        embedding: int,
        layers: Stack,
        *,
        tied: bool = True,
        cutoffs: tuple[int, ...] = (),
        embedding_dropout: float = 0.0,
        input_dropout: float = 0.0,
        output_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if layers.bidirectional:
            raise ConfigError("a network that says what comes next can't read from the end; use bidirectional=False")
        if tied and cutoffs:
            raise ConfigError("an adaptive softmax has weights of its own; leave tied out, or adaptive_softmax")
        if any(low >= high for low, high in zip((0, *cutoffs), (*cutoffs, vocabulary), strict=True)):
            raise ConfigError(
                f"adaptive_softmax is {list(cutoffs)}, expected rising numbers below the vocabulary's {vocabulary}"
            )
        self.embedding_dropout = check_rate("embedding_dropout", embedding_dropout)
        self.input_dropout = check_rate("input_dropout", input_dropout)
        self.output_dropout = check_rate("output_dropout", output_dropout)
        self.embedding = nn.Embedding(vocabulary, embedding)
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        self.layers = layers
        width = layers.output_size
        self.projection = nn.Linear(width, embedding, bias=False) if tied and width != embedding else None
        self.adaptive = None
        self.output = None
        if cutoffs:
            # Each cluster has a quarter of the dimensions of the one before, where that leaves the last one any.
            share = max(1.0, min(4.0, (width / 2) ** (1 / len(cutoffs))))
            self.adaptive = nn.AdaptiveLogSoftmaxWithLoss(width, vocabulary, list(cutoffs), div_value=share)
        else:
            self.output = nn.Linear(width if self.projection is None else embedding, vocabulary)
            nn.init.zeros_(self.output.bias)
            if tied:
                self.output.weight = self.embedding.weight
            else:
                nn.init.uniform_(self.output.weight, -0.1, 0.1)

    @property
    def vocabulary(self) -> int:
        """Tokens that are told apart."""
        return self.embedding.num_embeddings

    @property
    def tied(self) -> bool:
        """Whether the output's weights are the embedding's."""
        return self.output is not None and self.output.weight is self.embedding.weight

    def forward(
        self,
        tokens: Int[Tensor, "batch time"],
        state: tuple[Any, ...] | None = None,
        *,
        lengths: Int[Tensor, " batch"] | None = None,
        resets: Bool[Tensor, "batch time"] | None = None,
        key: Int[Tensor, ""] | None = None,
    ) -> Read:
        """Read some steps. resets: the state before the step is fresh. key: the counter of the dropout masks."""
        rates = (self.embedding_dropout, self.input_dropout, self.output_dropout)
        if key is None and self.training and any(rates):
            key = draw_key()
        vectors = self._embedded(tokens, key)
        own = None if key is None else fold(key, _LAYERS)
        raw, after = self.layers(vectors, state, lengths=lengths, resets=resets, key=own)
        dropped = raw
        if self.training and self.output_dropout and key is not None:
            dropped = locked_dropout(raw, self.output_dropout, fold(key, _OUTPUT))
        hidden = dropped if self.projection is None else self.projection(dropped)
        return Read(hidden, raw, dropped, after)

    def _embedded(self, tokens: Tensor, key: Tensor | None) -> Tensor:
        vectors = self.embedding(tokens)
        if not self.training or key is None:
            return vectors
        if self.embedding_dropout:
            kept = mask((self.vocabulary,), self.embedding_dropout, fold(key, _WORDS), device=vectors.device)
            vectors = vectors * kept.to(vectors.dtype)[tokens].unsqueeze(-1)
        return locked_dropout(vectors, self.input_dropout, fold(key, _INPUT)) if self.input_dropout else vectors

    def nats(self, hidden: Float[Tensor, "*batch width"], targets: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """-log p(target), in natural units, of each step."""
        flat, wanted = hidden.flatten(0, -2), targets.flatten()
        if self.adaptive is not None:
            return -self.adaptive(flat, wanted).output.float().view(targets.shape)
        assert self.output is not None
        return softmax_nats(self.output, flat, wanted).view(targets.shape)

    def log_probabilities(self, hidden: Float[Tensor, "batch width"]) -> Float[Tensor, "batch vocabulary"]:
        """log p of every token."""
        if self.adaptive is not None:
            return self.adaptive.log_prob(hidden).float()
        assert self.output is not None
        return self.output(hidden).float().log_softmax(-1)

    def initial_state(self, batch: int) -> tuple[Any, ...]:
        """The state before the first step."""
        return self.layers.initial_state(batch)

    def step(
        self, tokens: Int[Tensor, " batch"], state: tuple[Any, ...]
    ) -> tuple[Float[Tensor, "batch vocabulary"], tuple[Any, ...]]:
        """One step of inference: log p of every token to come next, and the state after."""
        output, state = self.layers.step(self.embedding(tokens), state)
        hidden = output if self.projection is None else self.projection(output)
        return self.log_probabilities(hidden), state
