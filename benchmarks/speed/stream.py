"""What a push costs from Python for both kinds of memory: a row checked and taken in, a forecast of 24 steps."""

import argparse
import json
import statistics
import time

import numpy as np
import polars as pl
import torch

import latchwork as lw


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--pushes", type=int, default=300)
    parser.add_argument("--json", action="store_true", help="one JSON line a memory on standard output")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    random = np.random.default_rng(0)
    t = np.arange(4000)
    frame = pl.DataFrame({"ds": t, "y": 10 + np.sin(2 * np.pi * t / 24) + 0.1 * random.normal(size=len(t))})
    for memory in ("window", "carried"):
        task = lw.Forecast(horizon=24, memory=memory, season=24, refit=False)
        training = lw.Training(steps=10)
        model = lw.fit(task, frame, network=lw.Network(hidden_size=128), training=training)
        live = model.stream()
        spent = []
        for step in range(options.pushes):
            row = {"ds": len(t) + step, "y": 10.0}
            begin = time.perf_counter()
            live.push(row)
            spent.append(time.perf_counter() - begin)
        facts = {
            "memory": memory,
            "lookback": model.pipeline.plan.lookback if memory == "window" else None,
            "median_milliseconds": round(1e3 * statistics.median(spent), 3),
            "p95_milliseconds": round(1e3 * float(np.quantile(spent, 0.95)), 3),
            "pushes": options.pushes,
            "threads": options.threads,
        }
        print(json.dumps(facts) if options.json else facts, flush=True)


if __name__ == "__main__":
    main()
