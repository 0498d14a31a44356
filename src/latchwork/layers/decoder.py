"""A decoder: recurrent layers that say a sequence word by word and look back at what an encoder has read."""

from typing import Any

import torch
from torch import nn

from latchwork.errors import ConfigError, DataError, StateError
from latchwork.layers.attention import Attention
from latchwork.layers.copying import coverage_loss, pointed, pointed_at
from latchwork.layers.memory import DecoderState, Memory, Steps
from latchwork.layers.recurrent import Recurrent
from latchwork.layers.regularize import check_rate, draw_key, dropout, fold, locked_dropout, mask
from latchwork.layers.softmax import softmax_nats
from latchwork.layers.stack import Stack
from latchwork.layers.walk import Walk
from latchwork.sequences import flatten, mask_from_lengths, unflatten
from latchwork.types import Bool, Float, Int, Tensor

UNKNOWN = 1
"""The token that is read in place of a copied word that the vocabulary doesn't know."""

_WORDS, _INPUT, _FEED, _OUTPUT, _LAYERS = range(5)
"""The places that draw a dropout mask."""


class AttentionDecoder(nn.Module):
    """Recurrent layers that read words and an encoder's memory, and score the word to come.

        x_t = [E w_t ; feed_t]                               feed_t = v_{t-1} with input feeding, else nothing
        h_t, state = layers(x_t, state)
        c_t = Σ_s a_s m_s                                    a: attention of h_t over the memory, see Attention
        v_t = tanh(W [c_t ; h_t])                            the attentional vector
        log p = log softmax(O v_t + b)                       tied: O is E (P v_t where v_t is of another width)
        copy: p = g p + (1 - g) Σ a, g = σ(u · [c_t ; h_t ; E w_t]), see latchwork.layers.copying

    The first state is made from the memory's summary: each field of it tanh(linear), where the field means something by
    itself, else as the cell begins. The feed and the coverage begin at zero.

        memory = decoder.memory(values, lengths, summary)    # [batch, steps, memory] of an encoder, keys made once
        log_p, state = decoder(tokens, memory)               # all words known: teacher forcing
        log_p, weights, state = decoder.step(tokens_t, state, memory)        # word by word, several rows a sequence

    embedding: of the words, may be shared. layers: read [embedding (+ width with input_feeding)]. memory_size: width of
    the memory; summary_size: of the summary (None: the same). width: of the attentional vector; None: the embedding's
    where tied, else the layers'. coverage: attention looks at what was read so far. embedding_dropout: part of the
    vocabulary that is dropped from a batch. dropout: of the words' vectors and of the feed, the same at every step of a
    row (Gal & Ghahramani 2016), and of the attentional vectors that are scored.

    Without input feeding the layers run over all steps at once, on the engine where it is there; with it they are
    computed step by step, and dropout between layers is then the same at every step.

    Sources: Luong, Pham & Manning 2015, arXiv:1508.04025; See, Liu & Manning 2017, arXiv:1704.04368; tied: Press & Wolf
    2017, arXiv:1608.05859.
    """

    def __init__(
        self,
        embedding: nn.Embedding,
        layers: Stack,
        memory_size: int,
        *,
        summary_size: int | None = None,
        attention: str = "bahdanau",
        width: int | None = None,
        input_feeding: bool = True,
        tied: bool = False,
        copy: bool = False,
        coverage: bool = False,
        embedding_dropout: float = 0.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        words = embedding.embedding_dim
        hidden = layers.output_size
        width = width or (words if tied else hidden)
        wanted = words + (width if input_feeding else 0)
        if layers.input_size != wanted:
            parts = f"the embedding's {words}" + (f" and the attentional vector's {width}" if input_feeding else "")
            raise ConfigError(f"the decoder's layers take {layers.input_size} inputs, expected {wanted}: {parts}")
        if layers.bidirectional:
            raise ConfigError("a decoder can't read from the end what it has yet to say; use bidirectional=False")
        if input_feeding and layers.norm == "batch":
            raise ConfigError("norm=batch is over all steps, which input feeding makes one by one; use norm=layer")
        self.input_feeding, self.copy = input_feeding, copy
        self.embedding_dropout = check_rate("embedding_dropout", embedding_dropout)
        self.dropout = check_rate("dropout", dropout)
        self.embedding = embedding
        self.layers = layers
        self.attention = Attention(attention, hidden, memory_size, coverage=coverage)
        self.combine = _glorot(nn.Linear(memory_size + hidden, width, bias=False))
        self.reduce = _glorot(nn.Linear(width, words, bias=False)) if tied and width != words else None
        self.output = nn.Linear(words if tied else width, embedding.num_embeddings)
        nn.init.zeros_(self.output.bias)
        if tied:
            self.output.weight = embedding.weight
        else:
            nn.init.xavier_uniform_(self.output.weight)
        self.gate = _glorot(nn.Linear(memory_size + hidden + words, 1)) if copy else None
        summary = memory_size if summary_size is None else summary_size
        self.first = nn.ModuleDict()
        for name, leaf in flatten(layers.initial_state(1)).items():
            cell = self._recurrent[int(name.split(".")[0])].cell
            if cell.independent is None or name.split(".")[1] in cell.independent:
                self.first[name.replace(".", "_")] = _glorot(nn.Linear(summary, leaf[0].numel()))

    @property
    def vocabulary(self) -> int:
        """Words that are told apart, those that are only copied not among them."""
        return self.embedding.num_embeddings

    @property
    def width(self) -> int:
        """Width of the attentional vector."""
        return self.combine.out_features

    @property
    def coverage(self) -> bool:
        """Whether what was read so far is kept."""
        return self.attention.coverage

    @property
    def _recurrent(self) -> list[Recurrent]:
        return list(self.layers.layers)  # type: ignore[arg-type]

    def memory(
        self,
        values: Float[Tensor, "batch steps memory"],
        lengths: Int[Tensor, " batch"],
        summary: Float[Tensor, "batch summary"],
        *,
        source: Int[Tensor, "batch steps"] | None = None,
        extra: int | None = None,
    ) -> Memory:
        """What can be looked at: the encoder's outputs, how many there are of each row, and what begins the state.

        source: with ``copy``, the words by their numbers here; from the vocabulary's size on those that it doesn't
        know. extra: how many these are; None: as ``source`` has them.
        """
        if self.copy and source is None:
            raise DataError("this decoder copies words of the source, and there are none; give source")
        there = mask_from_lengths(lengths, values.shape[1])
        values = values.masked_fill(~there.unsqueeze(-1), 0.0)
        if not self.copy or source is None:
            return Memory(values, self.attention.keys(values), there, summary)
        source = source.masked_fill(~there, 0)
        if extra is None:
            extra = max(0, int(source.max()) + 1 - self.vocabulary) if source.numel() else 0
        return Memory(values, self.attention.keys(values), there, summary, source, extra)

    def initial_state(self, memory: Memory) -> DecoderState:
        """Before the first word: a row for each sequence of the memory."""
        fresh = self.layers.initial_state(len(memory))
        leaves = flatten(fresh)
        for name, leaf in leaves.items():
            key = name.replace(".", "_")
            if key in self.first:
                leaves[name] = self.first[key](memory.summary).tanh().view(leaf.shape).to(leaf.dtype)
        values = memory.values
        return DecoderState(
            unflatten(fresh, leaves),
            values.new_zeros(len(memory), self.width) if self.input_feeding else None,
            memory.there.new_zeros(memory.there.shape, dtype=_wide(values)) if self.coverage else None,
        )

    # Words one by one

    def step(
        self, tokens: Int[Tensor, " rows"], state: DecoderState, memory: Memory
    ) -> tuple[Float[Tensor, "rows words"], Float[Tensor, "rows steps"], DecoderState]:
        """One step of inference: log p of every word to come (those only copied behind the vocabulary), what was read
        of the memory, and the state after. Nothing is dropped, and the state given is left as it was.

        rows: as many as the memory has sequences, or so many times more, those of a sequence side by side.
        """
        each = self._each(len(tokens), memory)
        embedded = self.embedding(self._known(tokens))
        inputs = embedded if state.feed is None else torch.cat((embedded, state.feed.to(embedded.dtype)), -1)
        outputs, layers = self.layers.step(inputs, state.layers)
        steps, after = self._look(embedded, outputs, state._replace(layers=layers), memory, each)
        return self.log_probabilities(steps, memory).flatten(0, 1), steps.weights.flatten(0, 1), after

    def _each(self, rows: int, memory: Memory) -> int:
        """Rows of each sequence."""
        if not len(memory) or rows % len(memory):
            raise StateError(f"{rows} rows look at a memory of {len(memory)} sequences, expected as many for each")
        return rows // len(memory)

    def _known(self, tokens: Tensor) -> Tensor:
        return tokens.masked_fill(tokens >= self.vocabulary, UNKNOWN)

    def _look(
        self, embedded: Tensor, outputs: Tensor, state: DecoderState, memory: Memory, each: int = 1
    ) -> tuple[Steps, DecoderState]:
        """One step's attention of rows [batch · each, …]: as :class:`Steps` of [batch, each, …]."""
        queries = outputs.unflatten(0, (-1, each))
        coverage = None if state.coverage is None else state.coverage.unflatten(0, (-1, each))
        steps = self._attend(queries, embedded.unflatten(0, (-1, each)), memory, coverage)
        if coverage is not None:
            state = state._replace(coverage=(coverage + steps.weights).flatten(0, 1))
        if self.input_feeding:
            state = state._replace(feed=steps.vectors.flatten(0, 1))
        return steps, state

    def _attend(self, outputs: Tensor, embedded: Tensor, memory: Memory, coverage: Tensor | None) -> Steps:
        seen = self.attention(outputs, memory.keys, memory.values, memory.there, coverage)
        both = torch.cat((seen.context, outputs), -1)
        gate = None
        if self.gate is not None:
            gate = self.gate(torch.cat((both, embedded), -1)).squeeze(-1)
        repeated = None if coverage is None else coverage_loss(seen.weights, coverage)
        return Steps(self.combine(both).tanh(), seen.weights, seen.scores, gate, repeated)

    # All words at once

    def forward(
        self,
        tokens: Int[Tensor, "batch time"],
        memory: Memory,
        state: DecoderState | None = None,
        *,
        lengths: Int[Tensor, " batch"] | None = None,
        key: Int[Tensor, ""] | None = None,
    ) -> tuple[Float[Tensor, "batch time words"], DecoderState]:
        """log p of every word to come after each of these, and the state after the last word of each row."""
        steps, state = self.run(tokens, memory, state, lengths=lengths, key=key)
        return self.log_probabilities(steps, memory), state

    def run(
        self,
        tokens: Int[Tensor, "batch time"],
        memory: Memory,
        state: DecoderState | None = None,
        *,
        lengths: Int[Tensor, " batch"] | None = None,
        own: Bool[Tensor, "batch time"] | None = None,
        key: Int[Tensor, ""] | None = None,
    ) -> tuple[Steps, DecoderState]:
        """The steps of words that are known, before scores are made of them (:meth:`nats`, :meth:`log_probabilities`).

        lengths: words of each row. own: where, in place of the word given, the one is read that this decoder scored
        highest at the step before (scheduled sampling; Bengio et al. 2015, arXiv:1506.03099); never at the first step.
        key: the counter of the dropout masks.
        """
        state = self.initial_state(memory) if state is None else state
        if key is None and self._draws:
            key = draw_key()
        if own is not None and not bool(own[:, 1:].any()):
            own = None
        embedded = self._embedded(self._known(tokens), key)
        if not self.input_feeding and own is None:
            return self._at_once(embedded, memory, state, lengths, key)
        return self._one_by_one(tokens, embedded, memory, state, lengths, own, key)

    @property
    def _draws(self) -> bool:
        rates = self.dropout or self.embedding_dropout or self.layers.dropout
        return self.training and (bool(rates) or any(layer.draws for layer in self._recurrent))

    def _embedded(self, tokens: Tensor, key: Tensor | None) -> Tensor:
        vectors = self.embedding(tokens)
        if not self.training or key is None:
            return vectors
        if self.embedding_dropout:
            kept = mask((self.vocabulary,), self.embedding_dropout, fold(key, _WORDS), device=vectors.device)
            vectors = vectors * kept.to(vectors.dtype)[tokens].unsqueeze(-1)
        return locked_dropout(vectors, self.dropout, fold(key, _INPUT))

    def _at_once(
        self, embedded: Tensor, memory: Memory, state: DecoderState, lengths: Tensor | None, key: Tensor | None
    ) -> tuple[Steps, DecoderState]:
        own = None if key is None else fold(key, _LAYERS)
        outputs, layers = self.layers(embedded, state.layers, lengths=lengths, key=own)
        if state.coverage is None:
            steps = self._attend(outputs, embedded, memory, None)
            return self._dropped(steps, key), DecoderState(layers)
        found = []
        coverages: list[Tensor | None] = [state.coverage]
        for embedded_t, output in zip(embedded.unbind(1), outputs.unbind(1), strict=True):
            steps, state = self._look(embedded_t, output, state, memory)
            found.append(steps)
            coverages.append(state.coverage)
        steps = self._dropped(_joined(found), key)
        return steps, DecoderState(layers, None, _at_end(coverages, lengths))

    def _one_by_one(
        self,
        tokens: Tensor,
        embedded: Tensor,
        memory: Memory,
        state: DecoderState,
        lengths: Tensor | None,
        own: Tensor | None,
        key: Tensor | None,
    ) -> tuple[Steps, DecoderState]:
        key_of = (lambda place: None) if key is None or not self.training else (lambda place: fold(key, place))
        walk = Walk(
            self.layers,
            embedded,
            feed=self.width if self.input_feeding else 0,
            feed_dropout=self.dropout,
            key=key_of(_LAYERS),
            feed_key=key_of(_FEED),
            ahead=own is None,
        )
        found: list[Steps] = []
        states = [state]
        words = embedded.unbind(1)
        for t, word in enumerate(words):
            if t and own is not None and bool(own[:, t].any()):
                said = self._said(found[-1], memory)
                word = torch.where(own[:, t].unsqueeze(-1), self._embedded(said.unsqueeze(1), key).squeeze(1), word)
            output, layers = walk.step(t, word, state.feed, state.layers)
            steps, state = self._look(word, output, state._replace(layers=layers), memory)
            found.append(steps)
            states.append(state)
        if not found:
            raise DataError("there is no word to read, expected at least one step")
        final = flatten(states[-1])
        if lengths is not None:
            every = [flatten(one) for one in states]
            final = {name: _at_end([one[name] for one in every], lengths) for name in final}
        return self._dropped(_joined(found), key), unflatten(states[-1], final)

    @torch.no_grad()
    def _said(self, steps: Steps, memory: Memory) -> Tensor:
        """The word that is scored highest, of those that can be read."""
        return self._known(self.log_probabilities(steps, memory).squeeze(1).argmax(-1))

    def _dropped(self, steps: Steps, key: Tensor | None) -> Steps:
        """With dropout on what is scored."""
        if key is None or not self.training or not self.dropout:
            return steps
        return steps._replace(vectors=dropout(steps.vectors, self.dropout, fold(key, _OUTPUT)))

    # Scores

    def logits(self, vectors: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch vocabulary"]:
        """Scores of the vocabulary, not normalised; float32 at least."""
        scores = self.output(self._reduced(vectors))
        return scores if scores.dtype == torch.float64 else scores.float()

    def _reduced(self, vectors: Tensor) -> Tensor:
        return vectors if self.reduce is None else self.reduce(vectors)

    def log_probabilities(self, steps: Steps, memory: Memory) -> Float[Tensor, "batch time words"]:
        """log p of every word of the vocabulary, then of those that can only be copied."""
        logits = self.logits(steps.vectors)
        if steps.gate is None or memory.source is None:
            return logits.log_softmax(-1)
        source, there = (one.unsqueeze(1).expand(steps.scores.shape) for one in (memory.source, memory.there))
        return pointed(logits, steps.gate.to(logits.dtype), steps.scores, source, there, memory.extra)

    def nats(
        self,
        steps: Steps,
        targets: Int[Tensor, "batch time"],
        active: Bool[Tensor, "batch time"],
        memory: Memory,
        *,
        smoothing: float = 0.0,
    ) -> Float[Tensor, " words"]:
        """-log p of the targets at the active steps, row by row. Nothing is computed for the other steps.

        smoothing: a part of the target that is spread evenly over the vocabulary (Szegedy et al. 2016); with ``copy``
        over what the vocabulary scores alone.
        """
        vectors, wanted = steps.vectors[active], targets[active]
        if steps.gate is None or memory.source is None:
            return softmax_nats(self.output, self._reduced(vectors), wanted, smoothing=smoothing)
        logits = self.logits(vectors)
        rows = active.nonzero()[:, 0]
        gate, scores = steps.gate[active].to(logits.dtype), steps.scores[active]
        found = -pointed_at(logits, gate, scores, memory.source[rows], memory.there[rows], wanted)
        if not smoothing:
            return found
        return (1 - smoothing) * found - smoothing * logits.log_softmax(-1).mean(-1)

    def extra_repr(self) -> str:
        tied = self.output.weight is self.embedding.weight
        return f"input_feeding={self.input_feeding}, tied={tied}, copy={self.copy}"


def _joined(found: list[Steps]) -> Steps:
    """Single steps side by side."""
    parts = (None if one[0] is None else torch.cat(one, 1) for one in zip(*found, strict=True))
    return Steps(*parts)  # type: ignore[arg-type]


def _at_end(values: list[Any], lengths: Tensor | None) -> Tensor:
    """Of values [rows, …] before the first step and after each those at each row's own end."""
    final = values[-1]
    if lengths is None:
        return final
    for end in lengths.unique().tolist():
        if end < len(values) - 1:
            here = (lengths == end).view(-1, *[1] * (final.dim() - 1))
            final = torch.where(here, values[end], final)
    return final


def _wide(values: Tensor) -> torch.dtype:
    return torch.float64 if values.dtype == torch.float64 else torch.float32


def _glorot(product: nn.Linear) -> nn.Linear:
    nn.init.xavier_uniform_(product.weight)
    if product.bias is not None:
        nn.init.zeros_(product.bias)
    return product
