"""Examples: whole sequences with what is asked about them, as they are read, as they are encoded, and as a batch.

file ─ modality.read ─ Labelled ─ modality.encode ─ Encoded ─ collate ─ Inputs ─ encoder ─ recurrent layers
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from latchwork.errors import DataError
from latchwork.types import Float, Int, Tensor

Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = ("train", "validation", "test")
PAD = 0
"""The token that stands past a sequence's end, and is never read."""


@dataclass(frozen=True)
class Labelled:
    """Sequences in the order of the file, before anything was fitted to them.

    content  what the modality read, one object each (a text, a list of words, arrays of numbers, an image)
    labels   one each, as the file has them: a text, a number, a tuple of texts (several labels), or a text for each
             step; None where there is no label
    ids      the sequence's own name, unique
    groups   the entity that it is about (a patient, a speaker): never on both sides of a split; None: each its own
    parts    the part of a split that the file itself puts it in, None where it says nothing
    order    a number that increases with time, for splits by time; None: unknown
    places   where each stands, for people: ``reviews.csv: row 3 (line 4)``
    sha256   of the file
    """

    content: tuple[Any, ...]
    labels: tuple[Any, ...]
    ids: tuple[str, ...]
    places: tuple[str, ...]
    groups: tuple[str, ...] | None = None
    parts: tuple[Part | None, ...] | None = None
    order: NDArray[np.float64] | None = None
    sha256: str = ""

    def __post_init__(self) -> None:
        for name in ("labels", "ids", "places", "groups", "parts", "order"):
            value = getattr(self, name)
            if value is not None and len(value) != len(self.content):
                raise DataError(f"{name} has {len(value)} entries for {len(self.content)} sequences, expected as many")

    def __len__(self) -> int:
        return len(self.content)

    def select(self, rows: Sequence[int] | NDArray[np.int64]) -> "Labelled":
        """Some of them, in the order asked for."""
        rows = np.asarray(rows, np.int64)

        def pick(value: Any) -> Any:
            return value[rows] if isinstance(value, np.ndarray) else tuple(value[row] for row in rows)

        chosen = {
            one.name: pick(value)
            for one in fields(self)
            if one.name != "sha256" and (value := getattr(self, one.name)) is not None
        }
        return replace(self, **chosen)

    def fingerprints(self) -> list[str]:
        """A hash of each content: equal where two sequences are the same, whatever they are called."""
        return [_fingerprint(content) for content in self.content]

    @classmethod
    def joined(cls, given: dict[Part, "Labelled"]) -> "Labelled":
        """Several files as one, each in the part it was given for."""
        several = len(given) > 1
        sets = list(given.items())

        def chain(name: str) -> Any:
            return tuple(value for _, one in sets for value in getattr(one, name))

        return cls(
            content=chain("content"),
            labels=chain("labels"),
            ids=tuple(f"{part}/{name}" if several else name for part, one in sets for name in one.ids),
            places=chain("places"),
            groups=chain("groups") if all(one.groups is not None for _, one in sets) else None,
            parts=tuple(part for part, one in sets for _ in one.ids),
            order=np.concatenate([one.order for _, one in sets if one.order is not None])
            if all(one.order is not None for _, one in sets)
            else None,
            sha256=hashlib.sha256("".join(one.sha256 for _, one in sets).encode()).hexdigest(),
        )


def _fingerprint(content: Any) -> str:
    """Texts as they are; arrays by their bytes, shape and type; sequences of these by their parts."""
    hashed = hashlib.blake2b(digest_size=16)

    def take(value: Any) -> None:
        if value is None:
            hashed.update(b"-")
        elif isinstance(value, str):
            data = value.encode("utf-8", "surrogatepass")
            hashed.update(b"s%d:" % len(data) + data)
        elif isinstance(value, np.ndarray):
            hashed.update(f"a{value.dtype}{value.shape}:".encode() + np.ascontiguousarray(value).tobytes())
        elif isinstance(value, (tuple, list)):
            hashed.update(b"t%d:" % len(value))
            for one in value:
                take(one)
        else:
            hashed.update(repr(value).encode())

    take(content)
    return hashed.hexdigest()


@dataclass(frozen=True)
class Features:
    """What encoded sequences hold, and so what reads them.

    vocabulary  tokens, the padding token 0 included; 0: no tokens
    characters  characters of each token, the padding character 0 included; 0: none
    numbers     numbers at each step; 0: none
    masked      whether these come with a mask (1: seen, 0: missing) and the time since each was seen last
    static      numbers that hold for the whole sequence; 0: none
    image       (channels, height): images are read column by column, the width being the steps; None: no image
    """

    vocabulary: int = 0
    characters: int = 0
    numbers: int = 0
    masked: bool = False
    static: int = 0
    image: tuple[int, int] | None = None


@dataclass(frozen=True)
class Encoded:
    """One sequence in numbers; the fields that :class:`Features` names, the others None.

    tokens      [steps] int64
    characters  [steps, letters] int64, 0 past a token's end
    numbers     [steps, features] float32, finite; where the mask is 0: 0
    mask        [steps, features] float32, 1 where the number was seen
    gaps        [steps, features] float32 ≥ 0: time since that feature was seen last (0 at the first step)
    static      [static] float32
    image       [channels, height, width] float32
    """

    tokens: NDArray[np.int64] | None = None
    characters: NDArray[np.int64] | None = None
    numbers: NDArray[np.float32] | None = None
    mask: NDArray[np.float32] | None = None
    gaps: NDArray[np.float32] | None = None
    static: NDArray[np.float32] | None = None
    image: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        """Steps."""
        for name in ("tokens", "numbers", "characters"):
            if (array := getattr(self, name)) is not None:
                return len(array)
        return 0 if self.image is None else self.image.shape[-1]


class Inputs(NamedTuple):
    """A batch of encoded sequences, padded with zeros on the right: the fields of :class:`Encoded`, batch first."""

    lengths: Int[Tensor, " batch"]
    tokens: Int[Tensor, "batch time"] | None = None
    characters: Int[Tensor, "batch time letters"] | None = None
    numbers: Float[Tensor, "batch time features"] | None = None
    mask: Float[Tensor, "batch time features"] | None = None
    gaps: Float[Tensor, "batch time features"] | None = None
    static: Float[Tensor, "batch static"] | None = None
    image: Float[Tensor, "batch channels height width"] | None = None

    def to(self, device: torch.device | str) -> "Inputs":
        """The same batch on another device; the lengths too."""
        return Inputs(**{name: value.to(device) for name, value in self._asdict().items() if value is not None})


def collate(examples: Sequence[Encoded]) -> Inputs:
    """Pad and stack. Raises :class:`DataError` where there are none, or they hold different things."""
    if not examples:
        raise DataError("a batch of no sequences, expected at least one")
    lengths = torch.tensor([len(example) for example in examples])
    held: dict[str, Tensor] = {}
    for one in fields(Encoded):
        arrays = [getattr(example, one.name) for example in examples]
        if all(array is None for array in arrays):
            continue
        if any(array is None for array in arrays):
            raise DataError(f"some sequences of a batch have {one.name} and some have none")
        shape = tuple(max(sizes) for sizes in zip(*(array.shape for array in arrays), strict=True))
        whole = np.zeros((len(arrays), *shape), arrays[0].dtype)
        for row, array in enumerate(arrays):
            whole[(row, *(slice(size) for size in array.shape))] = array
        held[one.name] = torch.from_numpy(whole)
    return Inputs(lengths, **held)
