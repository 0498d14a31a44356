"""Covariates as numbers a network can take: scaled, categories one-hot, with flags for what is missing or unknown."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from latchwork.errors import DataError
from latchwork.sequences import Column

Array = NDArray[np.float64]

MOST_CATEGORIES = 1000
_MISSING, _UNKNOWN = -1, -2  # codes beside the categories, which count from 0


@dataclass(frozen=True)
class Encoder:
    """One column, as fitted on the training rows.

    number    (x - mean) / sd, 0 where missing; then, if training rows had missing ones, a flag that is 1 there
    category  one column for each category of the training rows; one that is 1 for a category that they did not have;
              then the flag for missing, if training rows had missing ones (otherwise a missing one is unknown)
    """

    column: Column
    mean: float = 0.0
    sd: float = 1.0
    flag: bool = False

    @cached_property
    def names(self) -> tuple[str, ...]:
        """What the encoded columns are called: ``price``, ``price:missing``, ``day=Monday``, ``day:unknown``."""
        name = self.column.name
        own = [name]
        if self.column.kind == "category":
            own = [f"{name}={category}" for category in self.column.categories] + [f"{name}:unknown"]
        return (*own, f"{name}:missing") if self.flag else tuple(own)

    @cached_property
    def _code_of(self) -> dict[str, int]:
        return {category: code for code, category in enumerate(self.column.categories)}

    def code(self, text: str | None) -> float:
        """The number that stands for a category in :meth:`encode`."""
        return _MISSING if text is None else self._code_of.get(text, _UNKNOWN)

    def codes(self, texts: pl.Series) -> Array:
        """:meth:`code` of a whole column."""
        known = texts.cast(pl.Enum(list(self.column.categories)), strict=False).to_physical().cast(pl.Float64)
        codes = known.fill_null(_UNKNOWN).to_numpy().copy()
        codes[texts.is_null().to_numpy()] = _MISSING
        return codes

    def is_missing(self, values: Array) -> NDArray[np.bool_]:
        """Where numbers are NaN, or codes stand for missing."""
        return np.isnan(values) if self.column.kind == "number" else values == _MISSING

    def encode(self, values: Array) -> Array:
        """[rows] numbers (NaN: missing) or codes -> [rows, len(names)], all finite."""
        missing = self.is_missing(values)
        if self.column.kind == "number":
            scaled = np.where(missing, 0.0, (values - self.mean) / self.sd)
            return np.stack([scaled, missing.astype(np.float64)], axis=1) if self.flag else scaled[:, None]
        width = len(self.column.categories)
        encoded = np.zeros((len(values), len(self.names)))
        place = np.where(values == _UNKNOWN, width, np.where(missing, width + self.flag, values)).astype(np.int64)
        encoded[np.arange(len(values)), place] = 1.0
        return encoded

    @property
    def missing(self) -> Array:
        """[len(names)] what a row that is not in the file holds."""
        return self.encode(np.array([np.nan if self.column.kind == "number" else _MISSING]))[0]


def fit_number(column: Column, values: Array, flag: bool) -> Encoder:
    """Mean and standard deviation of the training rows ``values``; a constant column keeps sd 1."""
    known = values[~np.isnan(values)]
    if not len(known):
        return Encoder(column, flag=flag)
    mean, sd = float(known.mean()), float(known.std())
    if not (np.isfinite(mean) and np.isfinite(sd)):
        raise DataError(
            f'column "{column.name}" holds numbers too large to scale, up to {np.abs(known).max():g}; rescale it'
        )
    return Encoder(column, mean, sd if sd > max(1e-12 * abs(mean), 1e-300) else 1.0, flag)


def fit_category(column: Column, texts: pl.Series, flag: bool) -> Encoder:
    """The categories of the training rows ``texts``, in alphabetical order."""
    categories = tuple(texts.drop_nulls().unique().sort().to_list())
    if len(categories) > MOST_CATEGORIES:
        raise DataError(
            f'column "{column.name}" holds {len(categories)} different texts, such as "{categories[0]}"; '
            f"a category column has {MOST_CATEGORIES} at most: leave it out, or group them"
        )
    return Encoder(Column(column.name, column.role, "category", categories), flag=flag)


def join(parts: Iterable[Array], rows: int) -> Array:
    """Encoded columns side by side; [rows, 0] where there are none."""
    parts = list(parts)
    return np.concatenate(parts, axis=1) if parts else np.zeros((rows, 0))
