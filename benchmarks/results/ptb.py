"""The Penn Treebank in words: 10,000 of them, the end of a line as <eos>; perplexity of the test text."""

from common import data, run, written

import latchwork as lw


def measure(seed: int) -> dict[str, object]:
    task = lw.Generate(validation=data("ptb", "ptb.valid.txt.gz"), test=data("ptb", "ptb.test.txt.gz"))
    return written(task, data("ptb", "ptb.train.txt.gz"), seed)


if __name__ == "__main__":
    run("ptb", measure)
