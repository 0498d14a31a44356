"""When training has gone wrong: the loss or its gradient is not a number, or the loss explodes."""

import math
from statistics import median

from latchwork.training.state import Facts

WINDOW = 100
SETTLED = 20
EXPLOSION = 1e3
FLOOR = 0.01


def trouble(loss: float, norm: float, facts: Facts, warmup: int) -> str | None:
    """What is wrong with a step, in words; None: nothing.

    * the loss or the norm of its gradient is NaN or infinite;
    * after the warm-up and the first 20 steps: the loss is above 1000 s, where s is the median absolute loss of the
      last 100 steps, but not less than a hundredth of that of the first 20. The floor keeps a loss that has come close
      to zero, or passes through it as a likelihood may, from being called an explosion when it moves a little.
    """
    if not math.isfinite(loss):
        return f"the loss is {loss}"
    if not math.isfinite(norm):
        return f"the gradient's norm is {norm}"
    if facts.start is not None and facts.step >= warmup:
        typical = max(median(map(abs, facts.recent)), FLOOR * facts.start)
        if loss > EXPLOSION * typical > 0:
            return f"the loss is {loss:.4g}, more than {EXPLOSION:g} times its usual {typical:.4g}"
    return None


def accept(loss: float, facts: Facts) -> None:
    """Note the loss of a good step."""
    facts.recent = [*facts.recent, loss][-WINDOW:]
    if facts.start is None and len(facts.recent) == SETTLED:
        facts.start = median(map(abs, facts.recent))
