"""The task of saying what comes next in a text: language models, for prose and source code alike."""

from dataclasses import dataclass, fields
from pathlib import Path

from latchwork.errors import ConfigError
from latchwork.layers.regularize import check_rate
from latchwork.modalities import CorpusOptions


@dataclass(frozen=True, kw_only=True)
class Generate(CorpusOptions):
    """Say what comes next in a text.

    The text is read as one stream, its state carried from batch to batch; several documents (files of a folder, rows of
    a table) are each read from a fresh state, and end with a token of their own.

    Args:
        validation: A text of its own to choose by. None: the beginning of the training text; of several documents, some
            of them.
        test: A text of its own to score on. None: the end of the text; of several documents, some of them.
        validation_size: The share of the text that is held back for that, of what the test leaves.
        test_size: That share. 0: nothing is scored.
        embedding: Numbers that stand for a token. None: by the data.
        tied: The weights that score tokens are those of the embedding. None: of words and
            pieces, where there is no adaptive softmax.
        adaptive_softmax: Numbers of tokens at which a softmax of fewer dimensions begins, such as 2000 10000; none: a
            full softmax.
        embedding_dropout: Part of the vocabulary that is dropped from a batch. None: by the data.
        input_dropout: Part of the layers' inputs that is dropped, the same at every step. None: by the data.
        output_dropout: Part of the layers' outputs that is dropped, the same at every step. None: by the data.
        activation_regularization: Times the mean square of the dropped outputs, added to the loss.
        temporal_activation_regularization: Times the mean square of what outputs change by from step to step, added to
            the loss.
    """

    validation: Path | None = None
    test: Path | None = None
    validation_size: float = 0.05
    test_size: float = 0.1
    embedding: int | None = None
    tied: bool | None = None
    adaptive_softmax: tuple[int, ...] = ()
    embedding_dropout: float | None = None
    input_dropout: float | None = None
    output_dropout: float | None = None
    activation_regularization: float = 0.0
    temporal_activation_regularization: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("validation_size", "test_size"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected a share from 0 to below 1")
        if self.embedding is not None and self.embedding < 1:
            raise ConfigError(f"embedding is {self.embedding}, expected at least 1")
        for name in ("embedding_dropout", "input_dropout", "output_dropout"):
            if getattr(self, name) is not None:
                check_rate(name, getattr(self, name))
        for name in ("activation_regularization", "temporal_activation_regularization"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected a number from 0")
        if self.adaptive_softmax and self.tied:
            raise ConfigError("tied weights have no adaptive softmax; leave one of tied and adaptive_softmax out")
        if list(self.adaptive_softmax) != sorted(set(self.adaptive_softmax)) or min((1, *self.adaptive_softmax)) < 1:
            raise ConfigError(f"adaptive_softmax is {list(self.adaptive_softmax)}, expected rising numbers above 0")

    @property
    def source(self) -> CorpusOptions:
        """The part that says how texts are read."""
        return CorpusOptions(**{one.name: getattr(self, one.name) for one in fields(CorpusOptions)})
