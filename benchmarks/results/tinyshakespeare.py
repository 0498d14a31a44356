"""Tiny shakespeare: characters, nats on the last tenth; chosen on the first twentieth."""

from typing import Any

from common import data, run, written

import latchwork as lw


def measure(seed: int) -> dict[str, object]:
    def sample(model: Any) -> str:
        return model.generate("ROMEO:", max_new_tokens=200, temperature=0.8, seed=1)

    return written(lw.Generate(), data("tinyshakespeare", "input.txt"), seed, {"sample": sample})


if __name__ == "__main__":
    run("tinyshakespeare", measure)
