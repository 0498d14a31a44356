"""CoNLL-2000 chunks: the official test part, the validation part cut from training; F1 of spans."""

from common import data, labelled, run

import latchwork as lw


def measure(seed: int) -> dict[str, object]:
    task = lw.Label(test=data("conll2000", "conll2000.zip") / "conll2000" / "test.txt")
    return labelled(task, data("conll2000", "conll2000.zip") / "conll2000" / "train.txt", seed)


if __name__ == "__main__":
    run("conll2000", measure)
