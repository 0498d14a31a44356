"""What can be said about training: the same names in Python, on the command line and in a config file."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

import torch

from latchwork.errors import ConfigError, did_you_mean


@dataclass(frozen=True, kw_only=True)
class Training:
    """How a network is trained. None leaves the choice to the task, which knows the data.

    Budgets and schedules count steps (one step is one update of the weights), never seconds, so that the same options
    give the same model on a slow machine and on a fast one.

    Args:
        steps: Updates of the weights, at most; early stopping may end sooner.
        batch_size: Sequences in one step.
        learning_rate: The highest rate of the schedule. None, and the task silent: 0.001.
        weight_decay: AdamW's decay, on weight matrices only: not on biases, norms or anything one-dimensional.
        warmup: Steps in which the rate rises in a line from zero. Below 1: that share of all steps.
        schedule: The rate after the warm-up: "cosine" or "linear" down to zero at the last step, or "constant".
        clip: Largest norm of the whole gradient; a longer one is shortened to it. 0: no clipping.
        patience: Validations in a row without a better figure before training stops. 0: never stop early.
        evaluate_every: Steps between two validations; there is always one after the last step. None: a twentieth.
        average: Decay of an exponential moving average of the weights, which is then what is validated and kept; the
            decay rises from 0.1 to this, (1 + step) / (10 + step), so that the start is forgotten. 0: no average.
            None, and the task silent: none.
        precision: "bfloat16" runs the network under autocast; the loss, the weights and the carried state stay float32.
        device: "cpu", "cuda", or "auto": cuda where there is one.
        seed: Seeds the order of the data and every random choice of training; below 2**63.
        truncate: Steps through which the gradient flows (truncated backpropagation). 0: through the whole sequence.
        checkpoint_every: Steps between two checkpoints, which are also where a roll-back returns to. None: as
            evaluate_every.
        deterministic: Refuse operations whose result may differ from run to run; needed for exact resume on a GPU.
    """

    steps: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    weight_decay: float = 0.01
    warmup: float = 0.05
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    clip: float = 1.0
    patience: int | None = None
    evaluate_every: int | None = None
    average: float | None = None
    precision: Literal["float32", "bfloat16"] = "float32"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    seed: int = 0
    truncate: int | None = None
    checkpoint_every: int | None = None
    deterministic: bool = False

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "evaluate_every", "checkpoint_every"):
            _whole(name, getattr(self, name), 1)
        for name in ("patience", "truncate", "seed"):
            _whole(name, getattr(self, name), 0)
        if self.seed >= 2**63:
            raise ConfigError(f"seed is {self.seed}, expected a whole number below 2**63")
        _number("learning_rate", self.learning_rate, 0.0, math.inf, open_low=True)
        _number("weight_decay", self.weight_decay, 0.0, math.inf)
        _number("warmup", self.warmup, 0.0, math.inf)
        _number("clip", self.clip, 0.0, math.inf)
        _number("average", self.average, 0.0, 1.0)
        if self.warmup >= 1 and self.warmup != int(self.warmup):
            raise ConfigError(f"warmup is {self.warmup}, expected a share below 1 or a whole number of steps")
        _choice("schedule", self.schedule, ("cosine", "linear", "constant"))
        _choice("precision", self.precision, ("float32", "bfloat16"))
        _choice("device", self.device, ("auto", "cpu", "cuda"))
        if not isinstance(self.deterministic, bool):
            raise ConfigError(f"deterministic is {self.deterministic!r}, expected true or false")

    @classmethod
    def from_mapping(cls, options: Mapping[str, Any]) -> "Training":
        """From a config file's table. An unknown name is a ConfigError that says which was probably meant.

        >>> Training.from_mapping({"learning_rat": 0.1})
        Traceback (most recent call last):
            ...
        latchwork.errors.ConfigError: training has no option "learning_rat"; did you mean "learning_rate"?
        """
        _known(options)
        return cls(**options)

    def resolved(self, **defaults: Any) -> "Training":
        """The same options, with ``defaults`` in the place of every None.

        >>> Training(steps=10).resolved(steps=500, batch_size=32).steps
        10
        """
        _known(defaults)
        return replace(self, **{name: value for name, value in defaults.items() if getattr(self, name) is None})

    def completed(self) -> "Training":
        """The options as the loop uses them: the device named, every None that the loop reads resolved as described.

        ``batch_size`` and ``truncate`` are the job's own and stay as they are.

        Raises ConfigError where ``steps`` is still None, or where "cuda" is asked for and there is none.
        """
        if self.steps is None:
            raise ConfigError("steps is not set and the task chose none; give training a number of steps")
        options = self.resolved(learning_rate=1e-3, average=0.0, evaluate_every=max(1, self.steps // 20), patience=0)
        options = options.resolved(checkpoint_every=options.evaluate_every)
        if options.device == "cuda" and not torch.cuda.is_available():
            raise ConfigError('device is "cuda", but torch sees no GPU here; use device="cpu" or "auto"')
        if options.device == "auto":
            options = replace(options, device="cuda" if torch.cuda.is_available() else "cpu")
        return options

    @property
    def warmup_steps(self) -> int:
        """The warm-up in steps; of a share, the whole steps in it."""
        return int(self.warmup) if self.warmup >= 1 else int(self.warmup * (self.steps or 0))

    def to_mapping(self) -> dict[str, Any]:
        """Every option by name; the inverse of :meth:`from_mapping`."""
        return asdict(self)


def _known(options: Mapping[str, Any]) -> None:
    names = [field.name for field in fields(Training)]
    for name in options:
        if name not in names:
            raise ConfigError(f'training has no option "{name}"{did_you_mean(name, names)}')


def _whole(name: str, value: Any, least: int) -> None:
    if value is None and name != "seed":
        return
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ConfigError(f"{name} is {value!r}, expected a whole number, at least {least}")


def _number(name: str, value: Any, low: float, high: float, *, open_low: bool = False) -> None:
    if value is None and name in ("learning_rate", "average"):
        return
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value < high
    if not good or (open_low and value == low):
        least = f"above {low:g}" if open_low else f"at least {low:g}"
        raise ConfigError(
            f"{name} is {value!r}, expected a number, {least} and below {high:g}".replace(" and below inf", "")
        )


def _choice(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        near = did_you_mean(value, allowed) if isinstance(value, str) else ""
        raise ConfigError(f"{name} is {value!r}, expected one of {', '.join(allowed)}{near}")
