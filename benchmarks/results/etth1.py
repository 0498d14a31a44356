"""ETTh1, 96 hours ahead: standard split 8640/2880/2880, every test window, MSE and MAE on values standardised by the
training rows.
"""

import numpy as np
import polars as pl
from common import data, run

import latchwork as lw
from latchwork.baselines import Ridge, run_baselines
from latchwork.evaluation import model_forecasts
from latchwork.modalities import read
from latchwork.training import Progress, fit

HORIZON, TRAIN, VALIDATION, TEST = 96, 8640, 2880, 2880


def measure(seed: int) -> dict[str, object]:
    frame = pl.read_csv(data("ett", "ETTh1.csv.gz")).head(TRAIN + VALIDATION + TEST)
    task = lw.Forecast(
        horizon=HORIZON, time="date", wide=True, test_size=TEST, validation_size=VALIDATION, step_size=1, refit=False
    )
    fitted = fit(task, read(frame, task.table), training=lw.Training(seed=seed), callbacks=[Progress()])
    setup = fitted.setup
    values = frame.drop("date").to_numpy()[:TRAIN]
    mean, deviation = values.mean(0), values.std(0)
    # The published protocol's test windows may look back into the validation rows; their first target is row 11520.
    windows = setup.windows()
    model = model_forecasts(setup, windows)
    train = setup.split.train.tolist()
    ridge = run_baselines(
        setup.series, windows, train, setup.pipeline.plan.season, baselines=[Ridge()], seconds_cap=600
    )[0]
    m, s = mean[windows.series][:, None], deviation[windows.series][:, None]
    actual = (windows.actual - m) / s

    def errors(point: np.ndarray) -> tuple[float, float]:
        wrong = (point - m) / s - actual
        return round(float(np.square(wrong).mean()), 4), round(float(np.abs(wrong).mean()), 4)

    (mse, mae), (ridge_mse, ridge_mae) = errors(model.point), errors(ridge.point)
    return {
        "mse": mse,
        "mae": mae,
        "ridge_mse": ridge_mse,
        "ridge_mae": ridge_mae,
        "ridge": ridge.note,
        "windows": len(windows) // 7,
        "validation": fitted.outcome.best,
        "steps": fitted.outcome.best_step,
    }


if __name__ == "__main__":
    run("etth1", measure)
