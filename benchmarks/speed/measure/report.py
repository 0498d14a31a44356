"""Rows and summaries, as JSON lines or as text."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from latchwork.errors import LatchworkError
from measure.timing import Contender, difference, geometric_mean, medians

Shape = tuple[int, int, int, int]

GRID: tuple[Shape, ...] = (
    (32, 100, 128, 256),
    (64, 50, 512, 512),
    (16, 200, 64, 128),
    (256, 30, 32, 64),
    (1, 500, 64, 128),
    (12, 50, 128, 256),
    (7, 33, 19, 100),
)
"""batch, steps, input, hidden."""


@dataclass
class Options:
    """What the command line said."""

    threads: int = 2
    rounds: int = 9
    quick: bool = False
    compile: bool = False
    kernel: str = "cpu"
    as_json: bool = False
    shapes: tuple[Shape, ...] = GRID
    missed: list[str] = field(default_factory=list)

    def say(self, facts: dict[str, Any]) -> None:
        """One line: JSON, or words."""
        if self.as_json:
            print(json.dumps(facts), flush=True)
        else:
            print("  ".join(_words(name, value) for name, value in facts.items()), flush=True)


def _words(name: str, value: Any) -> str:
    if name in ("work", "what"):
        return f"{value:<6}"
    if isinstance(value, dict):
        value = ", ".join(f"{key} {one}" for key, one in value.items())
    return f"{name.replace('_', ' ')}: {value}"


class Entrants:
    """The contenders of one row, and those that could not enter, each with its reason: none is left out in silence."""

    def __init__(self) -> None:
        self.ready: list[Contender] = []
        self.absent: dict[str, str] = {}
        self.first: dict[str, float] = {}

    def enter(self, name: str, make: Callable[..., Contender], *given: Any) -> None:
        """Make it of what is given and run it once (compiling is then behind it; ``first`` has the seconds)."""
        try:
            one = make(*given)
            one.name = name
            self.first[name] = one.seconds()
        except ImportError as error:
            ours = (error.name or "").startswith("latchwork")
            self.absent[name] = str(error) if ours else f"not installed: {error.name or error}"
        except (LatchworkError, NotImplementedError, RuntimeError) as error:
            self.absent[name] = str(error).partition("\n")[0][:200]
        else:
            self.ready.append(one)

    def errors(self, reference: str) -> dict[str, float]:
        """How far each one's outputs and recurrent gradient are from the reference's."""
        expected = next((one.result() for one in self.ready if one.name == reference and one.result), None)
        if expected is None:
            return {}
        return {
            one.name: float(f"{difference(one.result(), expected):.1e}")
            for one in self.ready
            if one.name != reference and one.result
        }

    def medians(self, rounds: int) -> dict[str, float]:
        return medians(self.ready, rounds)


def milliseconds(seconds: dict[str, float]) -> dict[str, float]:
    return {name: float(f"{1e3 * value:.4g}") for name, value in seconds.items()}


def microseconds(seconds: dict[str, float]) -> dict[str, float]:
    return {name: float(f"{1e6 * value:.4g}") for name, value in seconds.items()}


def best(seconds: dict[str, float], names: list[str]) -> str | None:
    """Of these, the one with the least time."""
    return min((name for name in names if name in seconds), key=lambda name: seconds[name], default=None)


def versus(seconds: dict[str, float], ours: list[str], peers: list[str]) -> dict[str, Any]:
    """The best of ours beside the best of theirs; nothing where a side is empty."""
    mine, theirs = best(seconds, ours), best(seconds, peers)
    if mine is None or theirs is None:
        return {"ratio": None, "best_peer": theirs, "ours": mine}
    return {"ratio": round(seconds[theirs] / seconds[mine], 3), "best_peer": theirs, "ours": mine}


def summarise(
    options: Options,
    work: str,
    against: str,
    ratios: dict[str, float | None],
    *,
    reach: float | None = None,
    floor: float | None = None,
    at_most: float | None = None,
    without: Iterable[str] = (),
) -> None:
    """The line that is held against the table. reach: the least geometric mean; floor: the least of any; at_most: the
    greatest of any, where less is better. without: peers that were wanted and are missing: then nothing is reached."""
    found = {name: value for name, value in ratios.items() if value is not None}
    facts: dict[str, Any] = {"work": work, "summary": against, "measured": f"{len(found)} of {len(ratios)}"}
    if missing := sorted(set(without)):
        facts["without"] = missing
    if found:
        worst = (max if at_most is not None else min)(found, key=lambda name: found[name])
        mean = geometric_mean(found.values())
        facts |= {"geometric_mean": round(mean, 3), "worst": {worst: round(found[worst], 3)}}
        facts |= {
            name: limit
            for name, limit in (("reach", reach), ("floor", floor), ("at_most", at_most))
            if limit is not None
        }
        facts["reached"] = (
            len(found) == len(ratios)
            and not missing
            and (reach is None or mean >= reach)
            and (floor is None or found[worst] >= floor)
            and (at_most is None or found[worst] <= at_most)
        )
    if not facts.get("reached"):
        options.missed.append(f"{work}, {against}")
    options.say(facts)
