"""From a table to a live forecast, in Python. It makes its own data, and takes about half a minute."""

import datetime
import random

import polars as pl

import latchwork as lw


def sales() -> pl.DataFrame:
    """Two shops, two years of days: a week, a trend, a price that is planned ahead."""
    draw = random.Random(0)
    rows = []
    for shop, level in (("north", 40.0), ("south", 25.0)):
        for day in range(730):
            date = datetime.date(2024, 1, 1) + datetime.timedelta(days=day)
            price = draw.choice((2.0, 2.5, 3.0))
            weekend = 12.0 if date.weekday() >= 5 else 0.0
            units = level + 0.01 * day + weekend - 6 * (price - 2.5) + draw.gauss(0, 2)
            rows.append({"unique_id": shop, "ds": date, "units": round(units, 1), "price": price})
    return pl.DataFrame(rows)


def main() -> None:
    table = sales()
    known, later = table.filter(pl.col("ds") < pl.date(2025, 11, 1)), table.filter(pl.col("ds") >= pl.date(2025, 11, 1))
    task = lw.Forecast(target="units", horizon=14, future=("price",))
    model = lw.fit(task, known)
    print(model.leaderboard())
    print(model.predict(future=later).head())
    with model.stream() as live:
        for row in later.filter(pl.col("unique_id") == "north").head(3).to_dicts():
            ahead = later.filter((pl.col("unique_id") == "north") & (pl.col("ds") > row["ds"])).head(14)
            answer = live.push(row, ahead.select("unique_id", "ds", "price").to_dicts())
            print(answer.after, "->", answer.times[0], round(answer.point["units"][0], 1), "was", row["units"])


if __name__ == "__main__":
    main()
