"""SST-2 from scratch, on its sentences: the official parts, accuracy."""

from common import data, labelled, run

import latchwork as lw


def measure(seed: int) -> dict[str, object]:
    task = lw.Classify(text="1", label="2", validation=data("sst", "sst2.dev.tsv"), test=data("sst", "sst2.test.tsv"))
    return labelled(task, data("sst", "sst2.train.tsv"), seed)


if __name__ == "__main__":
    run("sst2", measure)
