"""A live text: what is pushed is read, what is generated is read too, one token at a time and at the same cost each."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from latchwork.errors import DataError, KernelError, StateError
from latchwork.modalities import END
from latchwork.modalities.text_tokens import UNKNOWN
from latchwork.modalities.writer import Writer
from latchwork.sequences import PAD
from latchwork.tasks import LanguagePipeline, Sampler, Sampling, Stopping, pack_state, unpack_state

SEVERAL = 8
"""Tokens from which on they are read at once and not step by step. Both give the same bits on the engine."""

AT_ONCE = 4096
"""Tokens that are read at once."""

NEVER = (PAD, UNKNOWN)
"""Tokens that are no text."""


class Reading:
    """A language model that stands somewhere in ``batch`` texts: steps by the engine, or by torch where it can't.

    scores  [batch, vocabulary] of the token to come next, up to a constant log-probabilities; None before the first
            token
    """

    def __init__(self, pipeline: LanguagePipeline, batch: int = 1) -> None:
        self.pipeline, self.batch = pipeline, batch
        module = pipeline.module.eval()
        self._embedding = module.embedding.weight.detach().float().cpu().numpy()
        self._weight = self._bias = self._projection = None
        if module.output is not None:
            self._weight = module.output.weight.detach().float().cpu().numpy()
            self._bias = module.output.bias.detach().float().cpu().numpy()
        if module.projection is not None:
            self._projection = module.projection.weight.detach().float().cpu().numpy()
        self._session: Any = None
        self._state: Any = None
        self.why = ""
        """Why steps go through torch; "" where the engine makes them."""
        try:
            self._session = module.layers.session(batch)
        except (KernelError, StateError) as error:
            self.why = str(error)
            self._state = module.initial_state(batch)
        self._output: NDArray[np.float32] | None = None

    @property
    def state(self) -> Any:
        """The state of every layer: a value."""
        return self._state if self._session is None else self._session.state

    def place(self, state: Any, output: NDArray[np.float32] | None) -> None:
        """Go on from a state and the last layer's outputs there."""
        if self._session is None:
            self._state = state
        else:
            self._session.state = state
        self._output = output

    @property
    def output(self) -> NDArray[np.float32] | None:
        """The last layer's outputs, from which the scores are made."""
        return self._output

    def begin(self) -> None:
        """Begin new texts: nothing is known of what was read, as in training where a text begins."""
        self.place(self.pipeline.module.initial_state(self.batch), None)
        self.read(np.full(self.batch, END))

    def read(self, tokens: NDArray[np.int64]) -> None:
        """One token for each text: [batch]."""
        if self._session is not None:
            self._output = self._session.step(self._embedding[tokens])
            return
        layers = self.pipeline.module.layers
        with torch.no_grad():
            output, self._state = layers.step(torch.from_numpy(self._embedding[tokens]), self._state)
        self._output = output.numpy()

    @torch.no_grad()
    def read_all(self, tokens: NDArray[np.int64]) -> None:
        """Many tokens of one text."""
        module = self.pipeline.module
        if len(tokens) < SEVERAL or self.batch != 1:
            for token in tokens.tolist():
                self.read(np.array([token] * self.batch))
            return
        state, raw = self.state, None
        for at in range(0, len(tokens), AT_ONCE):
            read = module(torch.from_numpy(tokens[None, at : at + AT_ONCE]), state)
            state, raw = read.state, read.raw
        assert raw is not None
        self.place(state, raw[:, -1].numpy())

    @property
    def scores(self) -> NDArray[np.float32]:
        """[batch, vocabulary] of what comes next."""
        if self._output is None:
            raise StateError("nothing was read yet, so nothing is known of what comes next")
        # Row by row: then a text's scores do not depend on how many others there are.
        weight = self._weight
        if weight is None:
            with torch.no_grad():
                rows = torch.from_numpy(self._output).split(1)
                return torch.cat([self.pipeline.module.log_probabilities(row) for row in rows]).numpy()
        hidden = list(self._output)
        if self._projection is not None:
            hidden = [self._projection @ row for row in hidden]
        return np.stack([weight @ row for row in hidden]) + self._bias


class TextStream:
    """A live text over a language model. The state is a value: fork it, write it down, go on from it.

    >>> with model.stream("To be, or not", seed=1) as live:            # doctest: +SKIP
    ...     for piece in live.pieces():
    ...         print(piece, end="")

    Memory and time of a token do not grow with the text.
    """

    def __init__(self, pipeline: LanguagePipeline, sampling: Sampling | None = None, *, number: int = 0) -> None:
        self.pipeline, self.sampling = pipeline, sampling or Sampling()
        self.sampler = Sampler(self.sampling, len(pipeline.vocabulary), never=NEVER, number=number)
        self.writer = pipeline.vocabulary.writer()
        self.reading = Reading(pipeline)
        self.ended = False
        """Whether the model said that the text ends; what comes then is another text."""
        self.reading.begin()

    def __enter__(self) -> "TextStream":
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is held open: the state is a value, and stays readable."""

    def push(self, text: str) -> int:
        """Read a text without generating anything; returns its tokens. Words are cut where it begins and ends.

        Raises :class:`DataError` for characters that training never saw (words that it never saw are read as the
        unknown one); nothing is read then.
        """
        tokens = tokens_of(self.pipeline, text)
        self._take(tokens)
        return len(tokens)

    def _take(self, tokens: NDArray[np.int64]) -> None:
        if not len(tokens):
            return
        self.reading.read_all(tokens)
        self.sampler.seen(tokens.tolist())
        for token in tokens.tolist():
            self.writer.push(token)
        self.ended = False

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """[vocabulary] of each token to come next, before any sampling option."""
        scores = self.reading.scores[0].astype(np.float64)
        scores -= scores.max()
        shares = np.exp(scores)
        return shares / shares.sum()

    def next(self) -> int:
        """Draw the next token, and read it. After the one that ends the text, another begins from a fresh state."""
        token = self.sampler.next(self.reading.scores[0])
        self.ended = token == END
        if self.ended:
            self.reading.begin()
        else:
            self.reading.read(np.array([token]))
        return token

    def pieces(self) -> Iterator[str]:
        """The text that comes next, piece by piece, until the model ends it, a stop text comes, or there were
        ``max_new_tokens``.
        """
        watch = Stopping(self.sampling.stop)
        self.ended = False
        for _ in range(self.sampling.max_new_tokens):
            token = self.next()
            piece = watch.push(self.writer.push(token))
            if piece:
                yield piece
            if watch.stopped:
                return
            if token == END:
                break
        rest = watch.push(self.writer.flush()) + watch.flush()
        if rest:
            yield rest

    def fork(self) -> "TextStream":
        """Another text from the same moment; neither knows of the other."""
        other = TextStream(self.pipeline, self.sampling)
        other.sampler, other.writer, other.ended = self.sampler.copy(), self.writer.copy(), self.ended
        output = self.reading.output
        other.reading.place(self.reading.state, None if output is None else output.copy())
        return other

    def snapshot(self) -> bytes:
        """The state as bytes (safetensors, with the model's fingerprint)."""
        output = self.reading.output
        assert output is not None
        state = (self.reading.state, torch.from_numpy(output.copy()))
        facts = {
            "model": self.pipeline.fingerprint(),
            "sampler": self.sampler.to_dict(),
            "writer": {"start": self.writer.start, "rest": self.writer.rest.hex()},
            "ended": self.ended,
        }
        return pack_state(state, facts)

    def restore(self, snapshot: bytes) -> None:
        """Go on from a snapshot of the same model."""
        output = self.reading.output
        assert output is not None
        like = (self.reading.state, torch.from_numpy(output.copy()))
        (state, last), facts = unpack_state(snapshot, "the snapshot", like)
        if facts.get("model") != self.pipeline.fingerprint():
            raise StateError("the snapshot is the state of another model; give the snapshot of this one, or start anew")
        try:
            sampler = Sampler.from_dict(self.sampling, len(self.pipeline.vocabulary), facts["sampler"], never=NEVER)
            writer = Writer(
                self.writer.unit, self.writer.tokens, bool(facts["writer"]["start"]),
                bytes.fromhex(facts["writer"]["rest"]),
            )  # fmt: skip
            ended = bool(facts["ended"])
        except (KeyError, TypeError, ValueError) as error:
            raise StateError(f"the snapshot is damaged: {error!r}; start anew") from error
        self.reading.place(state, last.numpy())
        self.sampler, self.writer, self.ended = sampler, writer, ended


def tokens_of(pipeline: LanguagePipeline, text: str) -> NDArray[np.int64]:
    """The tokens of a text. Raises :class:`DataError` for characters that training never saw."""
    vocabulary = pipeline.vocabulary
    if vocabulary.unit == "char" and (unknown := vocabulary.unknown(text)):
        shown = ", ".join(f"{one!r} (character {place})" for one, place in unknown[:3])
        more = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
        raise DataError(
            f"the text has {shown}{more}, which training never saw; leave it out, or train with tokenizer=bpe, "
            "which reads any character"
        )
    return vocabulary.encode(text)


def unknown_words(pipeline: LanguagePipeline, text: str) -> Sequence[str]:
    """The words of a text that are read as the unknown one."""
    return [word for word, _ in pipeline.vocabulary.unknown(text)]
