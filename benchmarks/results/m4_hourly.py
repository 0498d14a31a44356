"""M4 Hourly: 414 series, 48 hours ahead, the competition's test part, OWA against Naive2. Nothing is tuned here: the
defaults.
"""

import numpy as np
import polars as pl
from common import data, run

import latchwork as lw
from latchwork.metrics import mase, owa, seasonal_naive_error, smape
from latchwork.training import Progress

HORIZON, SEASON = 48, 24


def read(name: str) -> dict[str, np.ndarray]:
    """id -> values, of one of the competition's files."""
    rows = pl.read_csv(data("m4", name), infer_schema_length=None).iter_rows()
    return {row[0]: np.array([value for value in row[1:] if value is not None], dtype=np.float64) for row in rows}


def measure(seed: int) -> dict[str, object]:
    train, test, naive2 = (
        read(f"{name}.csv.gz") for name in ("Hourly-train", "Hourly-test", "forecasts/Hourly-Naive2")
    )
    frame = pl.DataFrame(
        {
            "unique_id": [name for name, values in train.items() for _ in values],
            "ds": np.concatenate([np.arange(1, len(values) + 1) for values in train.values()]),
            "y": np.concatenate(list(train.values())),
        }
    )
    task = lw.Forecast(horizon=HORIZON, test_size=0)
    model = lw.fit(task, frame, training=lw.Training(seed=seed), callbacks=[Progress()])
    answer = model.predict()
    forecast = {name[0]: part["y"].to_numpy() for name, part in answer.group_by(["unique_id"], maintain_order=True)}
    names = list(train)
    actual = np.stack([test[name] for name in names])
    scale = np.array([seasonal_naive_error(train[name], SEASON) for name in names])
    found, rival = (np.stack([given[name] for name in names]) for given in (forecast, naive2))
    figures = {"smape": smape(actual, found), "mase": mase(actual, found, scale)}
    against = {"smape": smape(actual, rival), "mase": mase(actual, rival, scale)}
    assert model.outcome is not None
    return {
        **{name: round(float(value), 4) for name, value in figures.items()},
        "owa": round(float(owa(figures["smape"], figures["mase"], against["smape"], against["mase"])), 4),
        "naive2_smape": round(float(against["smape"]), 3),
        "naive2_mase": round(float(against["mase"]), 3),
        "validation": model.outcome.best,
        "steps": model.outcome.best_step,
    }


if __name__ == "__main__":
    run("m4_hourly", measure)
