"""The main job on real data: weekly CO2 at Mauna Loa, 1958 to 2001, with its real gaps."""

import shutil
from pathlib import Path

import polars as pl
from rich.console import Console

from latchwork import optional, storage
from latchwork.errors import ConfigError
from latchwork.evaluation import picture_svg
from latchwork.model import Model, fit
from latchwork.tasks import Forecast
from latchwork.training import Progress, Training
from latchwork.view import print_data, telling

HORIZON = 52
YEARS_HELD_BACK = 8
WEEKS_BETWEEN = 13


def co2() -> pl.DataFrame:
    """The series that comes with statsmodels: weeks (ds), parts per million (co2), NaN where a week is missing."""
    frame = optional.load("statsmodels.datasets").co2.load_pandas().data
    return pl.DataFrame({"ds": frame.index.to_numpy().astype("datetime64[ns]"), "co2": frame["co2"].to_numpy()})


def demo(run: Path, out: Console, err: Console) -> Model:
    """Train, score, report, stream; prints what it does and what to type next."""
    if run.exists():
        if not (run / "demo.csv").exists():
            raise ConfigError(f"{run} exists and is no earlier demo; give another folder with --run")
        shutil.rmtree(run)
    data = run / "demo.csv"
    storage.write_text(data, co2().write_csv())
    out.print(
        f"[bold]CO2 at Mauna Loa[/]: weekly, {HORIZON} weeks ahead; the last {YEARS_HELD_BACK} years are held back, "
        f"with a forecast every {WEEKS_BETWEEN} weeks",
        highlight=False,
    )
    out.print(
        f"[dim]$ latchwork train forecast {data} --target co2 --horizon {HORIZON} "
        f"--test-size {YEARS_HELD_BACK * HORIZON} --step-size {WEEKS_BETWEEN} --run {run}[/]",
        highlight=False,
    )
    with telling(err) as tell:
        task = Forecast(target="co2", horizon=HORIZON, test_size=YEARS_HELD_BACK * HORIZON, step_size=WEEKS_BETWEEN)
        model = fit(task, data, training=Training(), run=run, callbacks=[Progress(err)], progress=tell)
    assert model.raw is not None
    print_data(model.raw, out)
    model.leaderboard().print(out)
    report = model.reported
    assert report is not None
    assert report.streamed is not None
    storage.write_text(run / "demo.svg", picture_svg(report))
    streamed = report.streamed
    out.print(
        f"[bold]Live[/]: the held-back rows pushed one at a time, a forecast after each: {streamed.rows} pushes, "
        f"{streamed.microseconds_a_push / 1000:.1f} ms each, MAE {streamed.streamed:.4f} beside "
        f"{streamed.offline:.4f} offline (largest difference {streamed.largest_difference:.1e})",
        highlight=False,
    )
    out.print(f"      {streamed.note}", style="dim", highlight=False)
    out.print(f"report   {run / 'report.html'}\npicture  {run / 'demo.svg'}", highlight=False)
    out.print(f"next     .venv/bin/latchwork predict {run}", highlight=False)
    return model
