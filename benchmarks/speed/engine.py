"""The engine beside its peers: torch.nn, jax, torch.compile and ONNX Runtime, in one process, in turn, medians.

Every contender gets the same inputs, weights and cotangent; its outputs and its gradient of the recurrent weights are
compared, and the difference printed. The inputs want no gradient, as a first layer's. Ratios are the peer's time by
ours: above 1 we are faster. After each part stands a line with the geometric mean, the worst shape and what is to be
reached. A peer that is not installed (requirements/bench.txt; ``make bench`` installs them) is named, never left out in
silence. What each part measures is said at the top of its file in measure/.
"""

import argparse
import importlib.metadata
import os
import platform
import sys
from pathlib import Path

WORK = ("lstm", "gru", "rnn", "bf16", "custom", "ragged", "step", "peak")
PEERS = ("torch", "jax", "onnxruntime", "onnx")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", choices=WORK, nargs="+", default=WORK, help="these parts only")
    parser.add_argument("--threads", type=int, default=2, help="of all contenders; a step takes one")
    parser.add_argument("--rounds", type=int, default=9, help="turns of each contender")
    parser.add_argument("--kernel", default="cpu", help="what our layers run")
    parser.add_argument("--compile", action="store_true", help="torch.compile too, up to 50 steps: minutes for each")
    parser.add_argument("--quick", action="store_true", help="two small shapes, three rounds: to see that it runs")
    parser.add_argument("--json", action="store_true", help="one JSON line a row on standard output")
    return parser.parse_args()


def machine(threads: int) -> dict[str, object]:
    """Where this runs. On Linux all contenders are held to as many processors as they have threads."""
    held = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if held:
        os.sched_setaffinity(0, held[:threads])
    model = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
    versions = {}
    for peer in PEERS:
        try:
            versions[peer] = importlib.metadata.version(peer)
        except importlib.metadata.PackageNotFoundError:
            versions[peer] = "not installed"
    load = round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
    return {"processor": model, "processors": len(held) or os.cpu_count(), "load": load, "versions": versions}


def main() -> None:
    asked = arguments()
    # Before torch and jax start their threads.
    where = machine(asked.threads)
    os.environ["OMP_NUM_THREADS"] = str(asked.threads)

    import torch
    from measure import peak, ragged, report, steps, whole

    torch.set_num_threads(asked.threads)
    options = report.Options(
        threads=asked.threads,
        rounds=3 if asked.quick else asked.rounds,
        quick=asked.quick,
        compile=asked.compile,
        kernel=asked.kernel,
        as_json=asked.json,
        shapes=report.GRID[-2:] if asked.quick else report.GRID,
    )
    options.say({"work": "machine", "threads": asked.threads, "rounds": options.rounds, **where})
    for work in asked.work:
        if work in ("lstm", "gru", "rnn"):
            whole.float32(options, work.upper())
        elif work == "bf16":
            whole.bfloat16(options)
            whole.loss_curves(options)
        elif work == "custom":
            whole.custom(options)
        elif work == "ragged":
            ragged.ragged(options)
        elif work == "step":
            steps.steps(options)
        else:
            peak.peak(options)
    print(f"not reached: {'; '.join(options.missed) or 'nothing'}", file=sys.stderr)


if __name__ == "__main__":
    main()
