"""Tatoeba, English to French, split by distinct English sentence: chrF."""

from common import data, run, written

import latchwork as lw


def measure(seed: int) -> dict[str, object]:
    task = lw.Translate(test_size=5000, validation_size=2000, metric="chrf")
    return written(task, f"{data('tatoeba_fra_eng', 'fra-eng.zip')}/fra.txt", seed)


if __name__ == "__main__":
    run("tatoeba", measure)
