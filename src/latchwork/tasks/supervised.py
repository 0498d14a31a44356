"""What classifying and labelling have in common: where the sequences are, how they are split and read."""

import re
from dataclasses import dataclass, field, fields
from pathlib import Path

from latchwork.errors import ConfigError
from latchwork.layers import Augment, Convolution
from latchwork.layers.regularize import check_rate
from latchwork.modalities import SourceOptions


@dataclass(frozen=True, kw_only=True)
class Supervised(SourceOptions):
    """Options of every task that learns from labelled sequences, beside those that say how they are read.

    Args:
        validation: A file of its own with the sequences to choose by. None: a share of the training file.
        test: A file of its own with the sequences to score on. None: a share of the training file.
        validation_size: That share, or a number of sequences.
        test_size: That share, or a number of sequences. 0: none are held back, and nothing is scored.
        refit: Train once more, on the validation sequences too, for the steps that they chose; temperature and
            threshold stay those of the first training. None: where there are few sequences and the file names no
            validation part; with an aim only where folds chose the threshold (aim_folds).
        metric: What validation is judged by. None: by the labels.
        embedding: Numbers that stand for a token.
        freeze: Pre-trained vectors stay as they are.
        convolutions: Blocks before the recurrence, such as ``32x5/2``: 32 channels, 5 wide, the largest of every 2.
            None: two for images, else none.
        causal: Convolutions look at no later step.
        embedding_dropout: Part of the vocabulary that is dropped from a batch. None: by the data.
        input_dropout: Part of the recurrent layers' inputs that is dropped. None: by the data.
        augment: What is done to training sequences, each time anew.
    """

    validation: Path | None = None
    test: Path | None = None
    validation_size: float = 0.15
    test_size: float = 0.2
    refit: bool | None = None
    metric: str | None = None
    embedding: int = 100
    freeze: bool = False
    convolutions: tuple[str, ...] | None = None
    causal: bool = False
    embedding_dropout: float | None = None
    input_dropout: float | None = None
    augment: Augment = field(default_factory=Augment)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.embedding < 1:
            raise ConfigError(f"embedding is {self.embedding}, expected at least 1")
        for name in ("embedding_dropout", "input_dropout"):
            value = getattr(self, name)
            if value is not None:
                check_rate(name, value)
        for name, least in (("validation_size", 0), ("test_size", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected a share below 1 or a number of sequences")
        if self.convolutions is not None:
            for one in self.convolutions:
                convolution(one)
        if self.freeze and self.vectors is None:
            raise ConfigError("freeze is for pre-trained vectors, and there are none; name a file with vectors")
        if self.keep != "start" and self.max_length is None:
            raise ConfigError(f'keep is "{self.keep}", and nothing is cut; say how many steps are kept with max_length')

    @property
    def source(self) -> SourceOptions:
        """The part that says how sequences are read."""
        return SourceOptions(**{one.name: getattr(self, one.name) for one in fields(SourceOptions)})


def convolution(text: str) -> Convolution:
    """``32x5/2``: 32 channels, 5 wide, the largest of every 2; ``32``: 3 wide, all kept.

    >>> convolution("32x5/2")
    Convolution(channels=32, kernel=5, stride=1, pool=2)
    """
    found = re.fullmatch(r"(\d+)(?:x(\d+))?(?:/(\d+))?", text)
    if found is None:
        raise ConfigError(f'convolution "{text}" is not known; expected channels x width / pool, such as 32x5/2')
    channels, kernel, pool = (
        int(part) if part else usual for part, usual in zip(found.groups(), (1, 3, 1), strict=True)
    )
    return Convolution(channels, kernel, 1, pool)
