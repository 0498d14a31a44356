"""PneumoniaMNIST: the official parts, accuracy, beside a linear model of the pixels."""

from common import data, labelled, run

import latchwork as lw


def measure(seed: int) -> dict[str, object]:
    return labelled(lw.Classify(), data("pneumoniamnist", "pneumoniamnist.npz"), seed)


if __name__ == "__main__":
    run("pneumonia", measure)
