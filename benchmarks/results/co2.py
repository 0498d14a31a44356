"""Weekly CO2 at Mauna Loa (statsmodels' copy), 52 weeks ahead, eight origins over the last eight years: the demo's
figures.
"""

from common import run

import latchwork as lw
from latchwork.demo import HORIZON, WEEKS_BETWEEN, YEARS_HELD_BACK, co2


def measure(seed: int) -> dict[str, object]:
    task = lw.Forecast(target="co2", horizon=HORIZON, test_size=YEARS_HELD_BACK * HORIZON, step_size=WEEKS_BETWEEN)
    model = lw.fit(task, co2(), training=lw.Training(seed=seed))
    board = model.leaderboard()
    figures = {row["method"]: round(float(row["mae"]), 4) for row in board.table()}
    return {"mae": figures, "verdict": board.verdict()}


if __name__ == "__main__":
    run("co2", measure)
