"""The task of giving each step of a sequence a label: parts of speech, entities, events in a signal."""

from dataclasses import dataclass
from typing import Literal

from latchwork.errors import ConfigError
from latchwork.tasks.supervised import Supervised


@dataclass(frozen=True, kw_only=True)
class Label(Supervised):
    """Give each step a label; see :class:`Supervised` for how sequences are read and split.

    Args:
        crf: Score whole sequences of labels (a conditional random field over the network's scores): labels that can't
            follow each other don't. None: for spans (B-…, I-…).
        spans: Labels mark spans (B-PER, I-PER, O), scored as a whole. None: by the labels.
        class_weight: "balanced": a rare label counts as much as a common one (not with crf).
    """

    crf: bool | None = None
    spans: bool | None = None
    class_weight: Literal["none", "balanced"] = "none"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.class_weight not in ("none", "balanced"):
            raise ConfigError(f'class_weight is "{self.class_weight}", expected none or balanced')
        if self.class_weight == "balanced" and self.crf:
            raise ConfigError("class_weight is for the loss of single steps; leave it out with crf")
        if self.augment.moves_steps:
            raise ConfigError(
                f"augment: {', '.join(self.augment.on)} would move steps away from their labels; leave it at 0"
            )
        if self.convolutions is not None and any("/" in one for one in self.convolutions):
            raise ConfigError("convolutions that leave out steps (/…) leave none to label; leave the pool out")
