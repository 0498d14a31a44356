"""Small tables that a test can write in a moment."""

import datetime
from pathlib import Path

import numpy as np
import polars as pl


def shop(
    rows: int = 160, stores: tuple[str, ...] = ("north", "south"), seed: int = 0, missing: float = 0.03
) -> pl.DataFrame:
    """Daily sales with a week in them: unique_id, ds, units, visits (past), price (future), region (static)."""
    random = np.random.default_rng(seed)
    parts = []
    for number, store in enumerate(stores):
        t = np.arange(rows)
        price = np.round(2 + random.random(rows), 2)
        units = 20 * (number + 1) + 5 * np.sin(2 * np.pi * t / 7) - 3 * (price - 2.5) + random.normal(size=rows)
        units[random.random(rows) < missing] = np.nan
        units[-1] = 20.0 * (number + 1)
        days = [datetime.date(2024, 1, 1) + datetime.timedelta(days=int(day)) for day in t]
        parts.append(
            pl.DataFrame(
                {
                    "unique_id": [store] * rows,
                    "ds": days,
                    "units": units,
                    "visits": units * 3 + random.normal(size=rows),
                    "price": price,
                    "region": ["hill" if number % 2 else "coast"] * rows,
                }
            )
        )
    frame = pl.concat(parts)
    return frame.with_columns(pl.col("units", "visits").fill_nan(None))


def write(frame: pl.DataFrame, path: Path) -> Path:
    """As csv."""
    frame.write_csv(path)
    return path
