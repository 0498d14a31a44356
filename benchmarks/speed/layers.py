"""The drop-in layers beside torch.nn's, and the reference loop: forward and backward, interleaved, medians."""

import argparse
import json
import statistics
import time

import torch

import latchwork as lw

SHAPES = [(32, 100, 128, 256), (64, 50, 512, 512), (16, 200, 64, 128), (256, 30, 32, 64), (7, 33, 19, 100)]


def timed(layer: torch.nn.Module, inputs: torch.Tensor) -> float:
    """Seconds of a forward and a backward pass."""
    begin = time.perf_counter()
    layer(inputs)[0].sum().backward()
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--json", action="store_true", help="one JSON line a shape on standard output")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for name, ours, theirs in (("LSTM", lw.LSTM, torch.nn.LSTM), ("GRU", lw.GRU, torch.nn.GRU)):
        for batch, steps, inputs, hidden in SHAPES:
            x = torch.randn(batch, steps, inputs)
            rivals = {
                "torch.nn": theirs(inputs, hidden, batch_first=True),
                "latchwork": ours(inputs, hidden, batch_first=True),
                "loop": ours(inputs, hidden, batch_first=True, kernel="loop"),
            }
            times: dict[str, list[float]] = {rival: [] for rival in rivals}
            for _ in range(options.runs + 1):
                for rival, layer in rivals.items():
                    times[rival].append(timed(layer, x))
            median = {rival: statistics.median(found[1:]) for rival, found in times.items()}
            facts = {
                "layer": name,
                "shape": [batch, steps, inputs, hidden],
                "milliseconds": {rival: round(1e3 * value, 2) for rival, value in median.items()},
                "latchwork_of_torch": round(median["latchwork"] / median["torch.nn"], 3),
                "loop_of_torch": round(median["loop"] / median["torch.nn"], 3),
                "threads": options.threads,
            }
            print(json.dumps(facts) if options.json else facts, flush=True)


if __name__ == "__main__":
    main()
