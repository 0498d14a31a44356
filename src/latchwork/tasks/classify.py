"""The task of giving each sequence a label: one class, several labels, a grade, or a number."""

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

from latchwork.errors import ConfigError
from latchwork.layers.pooling import PoolingKind, check_pooling
from latchwork.metrics import Aim
from latchwork.tasks.supervised import Supervised

TargetKind = Literal["class", "labels", "ordinal", "number"]


@dataclass(frozen=True, kw_only=True)
class Classify(Supervised):
    """Give each sequence a label: texts, series, images; see :class:`Supervised` for how they are read and split.

    Args:
        target: "class": one of several. "labels": any number of several, ``|`` between them. "ordinal": classes in
            order, which are numbers. "number": a number. "auto": by the labels.
        pooling: One vector from the steps: the last, their mean, their largest, or attention. None: by the data.
        class_weight: "balanced": a rare class counts as much as a common one.
        sampling: "balanced": batches hold as many of each class.
        focal: Exponent of the focal loss (Lin et al. 2017), (1 - p)^focal of the cross entropy. 0: plain.
        label_smoothing: Part of the target that is spread over all classes.
        positive: The class that figures of two classes, and the aim, are about. None: the rarer of
            two, or the second of two that are about as common.
        aim: What the threshold of two classes is to reach on validation, such as recall>=0.95 or precision>=0.99.
        cost: Or what a miss and a false alarm cost, such as fn=10,fp=1: the threshold with the smallest cost.
        bound: The aim holds for the figure itself ("none"), or for the lower bound of its 95% interval ("exact", or
            "bootstrap" where sequences share entities).
        aim_folds: Choose the threshold on the answers to all training and validation sequences, each by a network that
            was trained on the other of so many folds. It takes as many trainings more, and is for a bound that a
            validation part is too small for. 0: on the validation part.
        calibrate: Scale probabilities by a temperature found on validation (Guo et al. 2017).
    """

    target: Literal["auto", "class", "labels", "ordinal", "number"] = "auto"
    pooling: PoolingKind | None = None
    class_weight: Literal["none", "balanced"] = "none"
    sampling: Literal["natural", "balanced"] = "natural"
    focal: float = 0.0
    label_smoothing: float = 0.0
    positive: str | None = None
    aim: str | None = None
    cost: str | None = None
    bound: Literal["none", "exact", "bootstrap"] = "none"
    aim_folds: int = 0
    calibrate: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        choices: dict[str, tuple[Any, ...]] = {
            "target": ("auto", *get_args(TargetKind)),
            "class_weight": ("none", "balanced"),
            "sampling": ("natural", "balanced"),
            "bound": ("none", "exact", "bootstrap"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ConfigError(f'{name} is "{getattr(self, name)}", expected one of {", ".join(allowed)}')
        if self.pooling is not None:
            check_pooling(self.pooling)
        if not 0 <= self.label_smoothing < 1:
            raise ConfigError(f"label_smoothing is {self.label_smoothing}, expected a part from 0 to below 1")
        if not 0 <= self.focal < math.inf:
            raise ConfigError(f"focal is {self.focal}, expected a number of at least 0")
        if self.aim is not None and self.cost is not None:
            raise ConfigError("aim and cost both choose the threshold; give one of them")
        if self.wanted is not None and self.target not in ("auto", "class"):
            raise ConfigError(f"an aim or a cost is for two classes, and target is {self.target}")
        if self.bound != "none" and (self.wanted is None or self.wanted.figure is None):
            raise ConfigError(f"bound is {self.bound}, and there is no aim to hold for it; give one, or leave it out")
        if self.aim_folds and (self.aim_folds < 2 or self.wanted is None):
            why = "expected 2 or more" if self.wanted is not None else "and there is no aim to choose for"
            raise ConfigError(f"aim_folds is {self.aim_folds}, {why}")

    @property
    def wanted(self) -> Aim | None:
        """What the threshold is chosen for."""
        text = self.aim if self.aim is not None else self.cost
        return None if text is None else Aim.parse(text)
