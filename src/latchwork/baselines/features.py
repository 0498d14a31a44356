"""What the baselines look at: one row of numbers for each sequence, whatever its length."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from latchwork.errors import DataError
from latchwork.sequences import Encoded, Labelled

Array = NDArray[np.float64]

BLOCK = 4_000_000
"""Numbers that are summed up at a time, which bounds the memory."""

SUMMARIES = ("mean", "deviation", "min", "max", "last", "first", "slope", "missing")


@dataclass(frozen=True, eq=False)
class Side:
    """One side of a split as the baselines see it: the sequences as they were read, and in numbers where there are any.

    learned  of the validation side: the model was trained on it in the end, so a baseline is fitted on it as well, with
             what it chose there

    Of the test side's labels only :data:`~latchwork.baselines.label.LAST_LABEL` reads any, and it says so.
    """

    labelled: Labelled
    encoded: Sequence[Encoded] | None = None
    learned: bool = False

    def __post_init__(self) -> None:
        if self.encoded is not None and len(self.encoded) != len(self.labelled):
            raise DataError(f"{len(self.encoded)} encoded of {len(self.labelled)} sequences, expected as many")

    def __len__(self) -> int:
        return len(self.labelled)

    def has(self, name: str) -> bool:
        """Whether the encoded sequences hold this field."""
        return bool(self.encoded) and getattr(self.encoded[0], name) is not None

    @property
    def texts(self) -> bool:
        """Whether the contents are texts or lists of words."""
        return bool(self.labelled.content) and all(
            isinstance(one, str) or (isinstance(one, (tuple, list)) and all(isinstance(word, str) for word in one))
            for one in self.labelled.content[:100]
        )

    def as_texts(self) -> list[str]:
        """Every content as one text."""
        return [one if isinstance(one, str) else " ".join(one) for one in self.labelled.content]


@dataclass(frozen=True, eq=False)
class Summary:
    """values [sequences, features], NaN where nothing was seen; names of the features."""

    values: Array
    names: tuple[str, ...]


def summaries(
    encoded: Sequence[Encoded],
    kinds: Sequence[str] = (*SUMMARIES, "steps"),
    *,
    columns: Sequence[str] = (),
    static: Sequence[str] = (),
) -> Summary:
    """Mean, deviation, extremes, ends, slope and missing share of each number over the steps where it was seen.

    Then the count of steps, and what holds for the whole sequence. The slope is that of a straight line, for each step.
    ``columns`` and ``static`` name the numbers; without them they are counted.
    """
    parts: list[Array] = []
    names: list[str] = []
    if encoded and encoded[0].numbers is not None:
        width = encoded[0].numbers.shape[1]
        known = [*columns[:width], *(f"number {one + 1}" for one in range(len(columns), width))]
        wanted = [kind for kind in SUMMARIES if kind in kinds and (kind != "missing" or encoded[0].mask is not None)]
        blocks = [_summed(block) for block in _blocks(encoded)]
        parts += [np.concatenate([block[kind] for block in blocks]) for kind in wanted]
        names += [f"{kind} of {one}" for kind in wanted for one in known]
    if "steps" in kinds:
        parts.append(np.array([[len(one)] for one in encoded], np.float64).reshape(-1, 1))
        names.append("steps")
    if encoded and (first := encoded[0].static) is not None:
        parts.append(np.stack([one.static for one in encoded if one.static is not None]).astype(np.float64))
        names += [*static[: len(first)], *(f"static {one + 1}" for one in range(len(static), len(first)))]
    if not parts:
        return Summary(np.zeros((len(encoded), 0)), ())
    return Summary(np.concatenate(parts, axis=1), tuple(names))


def _blocks(encoded: Sequence[Encoded]) -> Iterator[Sequence[Encoded]]:
    start, size = 0, 0
    for row, one in enumerate(encoded):
        count = 0 if one.numbers is None else one.numbers.size
        if size + count > BLOCK and row > start:
            yield encoded[start:row]
            start, size = row, 0
        size += count
    yield encoded[start:]


def _summed(encoded: Sequence[Encoded]) -> dict[str, Array]:
    """kind -> [sequences, numbers]."""
    arrays = [one.numbers for one in encoded if one.numbers is not None]
    x = np.concatenate(arrays).astype(np.float64)
    lengths = np.array([len(one) for one in arrays])
    masks = [one.mask for one in encoded if one.mask is not None]
    seen = np.concatenate(masks) > 0 if masks else np.ones(x.shape, bool)
    rows, width = len(arrays), x.shape[1]
    some = np.flatnonzero(lengths > 0)
    starts = (np.cumsum(lengths) - lengths)[some]
    owner = np.repeat(np.arange(rows), lengths)
    step = (np.arange(len(x)) - np.repeat(np.cumsum(lengths) - lengths, lengths)).astype(np.float64)[:, None]

    def fold(function: np.ufunc, values: Array, empty: float) -> Array:
        """A function over the steps of each sequence; reduceat gives nonsense for those of no steps."""
        out = np.full((rows, width), empty)
        if len(some):
            out[some] = function.reduceat(values, starts, axis=0)
        return out

    def total(values: Array) -> Array:
        return fold(np.add, np.where(seen, values, 0.0), 0.0)

    def at(place: Array) -> Array:
        """The number at a step of each sequence."""
        offset = (np.cumsum(lengths) - lengths)[:, None]
        rows_of = np.where(np.isfinite(place), place + offset, 0).astype(np.int64)
        picked = x[rows_of, np.arange(width)] if len(x) else np.zeros((rows, width))
        return np.where(np.isfinite(place), picked, np.nan)

    count = total(np.ones_like(x))
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total(x) / count
        middle = total(np.broadcast_to(step, x.shape)) / count
        off, when = x - mean[owner], step - middle[owner]
        spread = total(when**2)
        found = {
            "mean": mean,
            "deviation": np.sqrt(total(off**2) / count),
            "slope": np.where(spread > 0, total(off * when) / spread, np.where(count > 0, 0.0, np.nan)),
            "missing": 1 - count / lengths[:, None],
        }
    found["min"] = fold(np.minimum, np.where(seen, x, np.inf), np.inf)
    found["max"] = fold(np.maximum, np.where(seen, x, -np.inf), -np.inf)
    for kind in ("min", "max"):
        found[kind][np.isinf(found[kind])] = np.nan
    found["first"] = at(fold(np.minimum, np.where(seen, step, np.inf), np.inf))
    found["last"] = at(fold(np.maximum, np.where(seen, step, -np.inf), -np.inf))
    return found


def pixels(encoded: Sequence[Encoded], width: int) -> Array:
    """[images, channels · height · width]: every pixel; another width is brought to this one by its nearest columns."""
    rows = []
    for one in encoded:
        if one.image is None:
            raise DataError("a sequence without an image among images")
        have = one.image.shape[-1]
        image = one.image
        if have != width:
            image = image[..., (np.arange(width) * have) // width] if have else np.zeros((*image.shape[:2], width))
        rows.append(image.reshape(-1))
    return np.stack(rows).astype(np.float64)


def all_steps(encoded: Sequence[Encoded], steps: int) -> Array:
    """[sequences, steps · numbers + static]: every number of every step; NaN where missing or past the end."""
    rows = []
    for one in encoded:
        if one.numbers is None:
            raise DataError("a sequence without numbers among numbers")
        numbers = one.numbers[:steps].astype(np.float64)
        if one.mask is not None:
            numbers[one.mask[:steps] == 0] = np.nan
        numbers = np.pad(numbers, ((0, steps - len(numbers)), (0, 0)), constant_values=np.nan).reshape(-1)
        rows.append(numbers if one.static is None else np.concatenate([numbers, one.static]))
    return np.stack(rows)


def step_windows(encoded: Sequence[Encoded], reach: int) -> Array:
    """[all steps, (2 reach + 1) numbers + static]: each step with its neighbours, 0 past the ends of its sequence."""
    rows = []
    for one in encoded:
        if one.numbers is None:
            raise DataError("a sequence without numbers among numbers")
        steps = len(one.numbers)
        padded = np.pad(one.numbers, ((reach, reach), (0, 0)))
        parts = [padded[shift : shift + steps] for shift in range(2 * reach + 1)]
        if one.static is not None:
            parts.append(np.broadcast_to(one.static, (steps, len(one.static))))
        rows.append(np.concatenate(parts, axis=1))
    return np.concatenate(rows).astype(np.float64)
