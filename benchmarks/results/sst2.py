"""SST-2 from scratch, on its sentences: the official parts, accuracy; and pairs of sentences that differ by "not"."""

from typing import Any

import numpy as np
from common import data, labelled, run
from numpy.typing import NDArray

import latchwork as lw
from latchwork.baselines import CLASSIFY_BASELINES, Side, run_sequence_baselines

GOOD = ("good", "funny", "great", "interesting", "original", "entertaining", "moving", "clever", "fun", "enjoyable")
BAD = ("bad", "dull", "boring", "terrible", "predictable", "stupid", "silly", "ugly", "slow", "awful")
SENTENCES = ("the film is {}{} .", "this is {}a {} movie .", "the story is {}{} , and so is the acting .",
             "i found it {}{} .", "it 's {}a {} film , from first to last .")  # fmt: skip


def pairs() -> tuple[list[str], NDArray[np.bool_]]:
    """Sentences, each followed by itself with a "not"; and whether the first of each pair praises."""
    texts = [one.format(no, word) for word in GOOD + BAD for one in SENTENCES for no in ("", "not ")]
    return texts, np.repeat([True, False], [len(GOOD) * len(SENTENCES), len(BAD) * len(SENTENCES)])


def probed(praise: NDArray[np.float64], praises: NDArray[np.bool_]) -> dict[str, float]:
    """From the probability of praise of each sentence: how the two of a pair are judged.

    moves: "not" moves the probability to the other side's; both: the two sentences get opposite labels, the right ones.
    """
    plain, negated = praise.reshape(-1, 2).T
    sign = np.where(praises, 1, -1)
    moves, both = sign * (plain - negated) > 0, (sign * (plain - 0.5) > 0) & (sign * (negated - 0.5) < 0)
    return {
        "not good: moves": round(float(moves[praises].mean()), 3),
        "not good: both right": round(float(both[praises].mean()), 3),
        "not bad: moves": round(float(moves[~praises].mean()), 3),
        "not bad: both right": round(float(both[~praises].mean()), 3),
    }


def negation(model: Any) -> dict[str, dict[str, float]]:
    """The probe, of the network and of TF-IDF with words and pairs of words."""
    texts, praises = pairs()
    asked, setup = model.pipeline.read(texts), model.setup
    found = {"latchwork": np.asarray(model.pipeline.predict(asked).probabilities)[:, 1]}
    train, validation = (Side(setup.labelled.select(rows)) for rows in (setup.split.train, setup.split.validation))
    classes = model.pipeline.targets.classes
    rivals = [one for one in CLASSIFY_BASELINES if one.name.startswith("TF-IDF")]
    for one in run_sequence_baselines(train, validation, Side(asked), classes, baselines=rivals):
        if one.probabilities is not None:
            found[one.name] = one.probabilities[:, 1]
    return {name: probed(np.asarray(praise), praises) for name, praise in found.items()}


def measure(seed: int) -> dict[str, object]:
    task = lw.Classify(text="1", label="2", validation=data("sst", "sst2.dev.tsv"), test=data("sst", "sst2.test.tsv"))
    return labelled(task, data("sst", "sst2.train.tsv"), seed, also={"negation": negation})


if __name__ == "__main__":
    run("sst2", measure)
