"""What the training loop asks of a task, what it tells while it runs, and what it gives back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from torch import Tensor, nn


class Job(Protocol):
    """Something that can be trained. A task makes one from its data; the loop knows nothing else of either.

    The module is moved to the device by the loop, and so is what :meth:`batch` returns: tensors in tuples, lists,
    dicts, or objects with a method ``to(device)``; all else is passed on as it is.
    """

    @property
    def module(self) -> nn.Module:
        """What is trained: its parameters, and its buffers besides, are the whole model."""
        ...

    def batch(self, step: int) -> Any:
        """The data of step ``step``, from 0: a pure function of the step (see :mod:`latchwork.sequences.sampler`).

        A resumed or rolled-back run asks again for steps that it had before, and must get the same.
        """
        ...

    def loss(self, batch: Any, carried: Any) -> tuple[Tensor, Any]:
        """(the loss of the batch, a tensor of one number; the state to carry to the next step, or None).

        ``carried`` is None at step 0, and later what this method returned last, cut from the graph: a tree of tensors
        and (named) tuples, batch first, always of the same structure and sizes. Where rows begin anew the batch itself
        must say (``resets``); the loop passes the state on and knows no sequences. With precision="bfloat16" this runs
        under autocast: bring the network's output back to float32 before the loss is taken.
        """
        ...

    def validate(self) -> Mapping[str, float]:
        """Figures on the validation data; the first one is minimised and decides which weights are kept.

        Called with the module in eval mode, its averaged weights in place, no gradient and no autocast. An empty
        mapping: there is nothing to validate on, training runs its budget and the last weights are kept.
        """
        ...


@dataclass(frozen=True)
class Outcome:
    """What training came to. The module has its final weights: the best validated, else the average, else the last.

    steps       updates made
    best_step   the step of the best validation; 0 where there was none
    best        what it found, first key minimised; None where a figure was not finite
    history     the records of metrics.jsonl (see :func:`latchwork.training.train`)
    stopped     "budget": all steps made. "patience": no better validation for too long. "interrupted": by a signal
    rollbacks   how often the loss was lost, and the rate halved
    checkpoint  the folder that a resumed run starts from; None where nothing is written
    """

    steps: int
    best_step: int
    best: dict[str, float | None]
    history: list[dict[str, Any]] = field(repr=False)
    stopped: Literal["budget", "patience", "interrupted"]
    rollbacks: int = 0
    checkpoint: Path | None = None


class Callback:
    """Told what happens, in the order of these methods; does nothing until a subclass says what.

    It must not touch the module, the random state or the records it is given: a run with a callback and one without it
    give the same weights.
    """

    def begin(self, step: int, steps: int) -> None:
        """Training starts after ``step`` steps (0, or where it is resumed) and will make at most ``steps``."""

    def step(self, record: Mapping[str, Any]) -> None:
        """A step was made; the record is its line of metrics.jsonl."""

    def event(self, step: int, message: str) -> None:
        """Something out of the ordinary: a resume, a roll-back, a damaged checkpoint, an interruption."""

    def end(self, outcome: Outcome) -> None:
        """Training is over. Not called where it ends in an error."""

    def close(self) -> None:
        """Called last, always, an error or not."""
