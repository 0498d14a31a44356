"""From a batch of encoded sequences to what recurrent layers read: [batch, time, width] and lengths."""

from typing import Any

import torch
from torch import nn

from latchwork.cells import cell_class
from latchwork.errors import ConfigError, DataError
from latchwork.layers.bidirectional import Bidirectional
from latchwork.layers.convolutions import Convolution, Convolutions
from latchwork.layers.recurrent import Recurrent
from latchwork.layers.regularize import OUTPUT, check_rate, draw_key, dropout, fold, mask
from latchwork.layers.start import start
from latchwork.sequences import PAD, Features, Inputs, mask_from_lengths
from latchwork.types import Bool, Float, Int, Tensor

_EMBEDDING, _OUTPUT = 0, 1
"""The places that draw a dropout mask."""


class InputEncoder(nn.Module):
    """Reads what :class:`Features` names and lays it side by side at each step; what is past a length is never read.

    * tokens: a vector each. ``vectors`` [vocabulary, embedding]: what they start from; rows with NaN start as the
      others do. ``freeze``: they stay so.
    * characters of a token: :class:`LetterReader`.
    * numbers, as they are; where they are masked, beside the mask and log(1 + the time since each was seen).
    * images: columns from left to right are the steps, their channels and rows the width.
    * ``convolutions`` over time, or over both axes of an image, before anything else is laid beside.
    * static numbers, at each step.

    ``decays``: the cell takes mask and time itself, as :class:`latchwork.cells.GRUD` does. Then the whole is three
    equal parts, values, mask and time, in which all that is not a masked number counts as seen just now.

    embedding_dropout: part of the vocabulary that is dropped from a whole batch, wherever it stands (Gal & Ghahramani
    2016). dropout: part of the result that is dropped. Both in training only, from the counter of
    :mod:`latchwork.layers.regularize`.
    """

    def __init__(
        self,
        features: Features,
        *,
        embedding: int = 100,
        vectors: Tensor | None = None,
        freeze: bool = False,
        character_embedding: int = 32,
        character_hidden: int = 32,
        character_cell: str = "lstm",
        convolutions: tuple[Convolution, ...] = (),
        convolution_norm: str | None = "batch",
        causal: bool = False,
        decays: bool = False,
        embedding_dropout: float = 0.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.features = features
        self.decays = decays
        self.embedding_dropout = check_rate("embedding_dropout", embedding_dropout)
        self.dropout = check_rate("dropout", dropout)
        _check(features, convolutions, decays, vectors)
        width = 0
        if features.vocabulary:
            self.embedding = _embedding(features.vocabulary, embedding, vectors, freeze)
            width += self.embedding.embedding_dim
        if features.characters:
            self.letters = LetterReader(features.characters, character_embedding, character_hidden, cell=character_cell)
            width += self.letters.width
        width += features.numbers * (3 if features.masked and not decays else 1)
        if features.image is not None:
            width = features.image[0] * features.image[1]
        self.convolutions = None
        if convolutions:
            channels, height = features.image or (width, None)
            self.convolutions = Convolutions(convolutions, channels, height, norm=convolution_norm, causal=causal)
            width = self.convolutions.width
        width += features.static
        self.width = 3 * width if decays else width
        """Width of the result."""

    @property
    def draws(self) -> bool:
        """Whether a forward pass in the present mode needs a key."""
        return self.training and bool(self.dropout or (self.embedding_dropout and self.features.vocabulary))

    def shorten(self, lengths: Int[Tensor, " batch"]) -> Int[Tensor, " batch"]:
        """Steps of the result for sequences of so many steps: convolutions with a stride leave fewer."""
        return lengths if self.convolutions is None else self.convolutions.shorten(lengths)

    def forward(
        self, inputs: Inputs, *, key: Int[Tensor, ""] | None = None
    ) -> tuple[Float[Tensor, "batch time width"], Int[Tensor, " batch"]]:
        """The steps, zero past a row's length, and the lengths. key: the counter of this pass's dropout masks, drawn
        from torch's generator where it is None; not used in evaluation.
        """
        if self.draws and key is None:
            key = draw_key()
        lengths = inputs.lengths
        if self.features.image is not None:
            values = _held(inputs, "image")
            values = values.permute(0, 3, 1, 2).flatten(2) if self.convolutions is None else values
        else:
            values = self._steps(inputs, mask_from_lengths(lengths, self._time(inputs)), key)
        if self.convolutions is not None:
            values = self.convolutions(values, lengths)
        lengths = self.shorten(lengths)
        active = mask_from_lengths(lengths, values.shape[1]).unsqueeze(-1)
        if self.features.static:
            static = _held(inputs, "static").unsqueeze(1).expand(-1, values.shape[1], -1)
            values = torch.cat((values, static.to(values.dtype)), -1)
        values = values.masked_fill(~active, 0.0)
        if self.draws and self.dropout and key is not None:
            values = dropout(values, self.dropout, fold(key, _OUTPUT), OUTPUT)
        if self.decays:
            values = torch.cat((values, *self._seen(inputs, values)), -1).masked_fill(~active, 0.0)
        return values, lengths

    def _time(self, inputs: Inputs) -> int:
        for name in ("tokens", "characters", "numbers"):
            value: Tensor | None = getattr(inputs, name)
            if value is not None:
                return value.shape[1]
        raise DataError(f"the batch holds nothing that this encoder reads, expected {self.features}")

    def _steps(self, inputs: Inputs, active: Bool[Tensor, "batch time"], key: Tensor | None) -> Tensor:
        """Tokens, characters and numbers side by side."""
        parts: list[Tensor] = []
        if self.features.vocabulary:
            parts.append(self._embedded(_held(inputs, "tokens").masked_fill(~active, PAD), key))
        if self.features.characters:
            parts.append(self.letters(_held(inputs, "characters").masked_fill(~active.unsqueeze(-1), PAD)))
        if self.features.numbers:
            parts.append(_held(inputs, "numbers"))
            if self.features.masked and not self.decays:
                parts += (_held(inputs, "mask"), _held(inputs, "gaps").clamp(min=0.0).log1p())
        absent = ~active.unsqueeze(-1)
        return torch.cat([part.masked_fill(absent, 0.0) for part in parts], -1)

    def _embedded(self, tokens: Tensor, key: Tensor | None) -> Tensor:
        vectors = self.embedding(tokens)
        if self.training and self.embedding_dropout and key is not None:
            words = (self.features.vocabulary,)
            kept = mask(words, self.embedding_dropout, fold(key, _EMBEDDING), device=vectors.device)
            vectors = vectors * kept.to(vectors.dtype)[tokens].unsqueeze(-1)
        return vectors

    def _seen(self, inputs: Inputs, values: Tensor) -> tuple[Tensor, Tensor]:
        """Mask and time as wide as the values; masked numbers stand before the static ones, after all others."""
        seen, gaps = torch.ones_like(values), torch.zeros_like(values)
        if self.features.masked:
            end = values.shape[-1] - self.features.static
            own = slice(end - self.features.numbers, end)
            seen[..., own] = _held(inputs, "mask").to(values.dtype)
            gaps[..., own] = _held(inputs, "gaps").to(values.dtype)
        return seen, gaps


class LetterReader(nn.Module):
    """A vector for each word from its letters: the last states of a small layer that reads them from both ends.

    [batch, time, letters], 0 past a word's end -> [batch, time, width]. A word without letters gives zeros.

    Source: Lample et al. 2016, arXiv:1603.01360, section 4.1.
    """

    def __init__(self, characters: int, embedding: int, hidden: int, *, cell: str = "lstm") -> None:
        super().__init__()
        self.embedding = _embedding(characters, embedding)
        kind: Any = cell_class(cell)
        self.layer = Bidirectional(
            Recurrent(start(kind(embedding, hidden))), Recurrent(start(kind(embedding, hidden)), reverse=True)
        )
        self.width = self.layer.output_size

    def forward(self, characters: Int[Tensor, "batch time letters"]) -> Float[Tensor, "batch time width"]:
        words = characters.flatten(0, 1)
        # Words of padding have no letters: as ragged rows they cost nothing.
        lengths = (words != PAD).sum(-1)
        _, (onward, backward) = self.layer(self.embedding(words), lengths=lengths)
        return torch.cat((onward.h, backward.h), -1).unflatten(0, characters.shape[:2])


def _embedding(entries: int, width: int, vectors: Tensor | None = None, freeze: bool = False) -> nn.Embedding:
    """Started uniform in ±√(3 / width), so that a vector's length is about 1; the padding's is zero."""
    if vectors is not None:
        width = vectors.shape[1]
    made = nn.Embedding(entries, width, padding_idx=PAD)
    with torch.no_grad():
        made.weight.uniform_(-((3 / width) ** 0.5), (3 / width) ** 0.5)
        if vectors is not None:
            known = ~vectors.isnan()
            made.weight.copy_(torch.where(known, vectors.to(made.weight.dtype), made.weight))
        made.weight[PAD] = 0.0
    made.weight.requires_grad_(not freeze)
    return made


def _held(inputs: Inputs, name: str) -> Tensor:
    """A field that must be there."""
    value = getattr(inputs, name)
    if value is None:
        raise DataError(f"the batch holds no {name}, and this encoder reads some; encode it with the model's modality")
    return value


def _check(features: Features, convolutions: tuple[Convolution, ...], decays: bool, vectors: Tensor | None) -> None:
    others = features.vocabulary or features.characters or features.numbers
    if features.image is not None and others:
        raise ConfigError(f"an image stands with other steps ({features}), expected an image and static numbers alone")
    if features.image is None and not others:
        raise ConfigError(f"there is nothing to read at a step ({features}), expected tokens, numbers or an image")
    if decays and convolutions:
        raise ConfigError("convolutions leave no mask and time for a cell that takes them; use one or the other")
    if vectors is not None and (vectors.dim() != 2 or vectors.shape[0] != features.vocabulary):
        raise ConfigError(f"vectors has shape {tuple(vectors.shape)}, expected [{features.vocabulary}, width]")
