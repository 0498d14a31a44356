"""SciTLDR: an abstract said in one sentence, ROUGE beside its first sentence and the oracle extract."""

from common import data, run, written

import latchwork as lw


def measure(seed: int) -> dict[str, object]:
    task = lw.Translate(source="source", target="target", references=True, copy=True, coverage=1.0)
    return written(task, data("scitldr"), seed)


if __name__ == "__main__":
    run("scitldr", measure)
