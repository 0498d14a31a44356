"""SMS spam: equal messages on one side; the F1 of spam, and a threshold for a precision of 0.99 by its lower bound on
the answers of five networks to the messages that each had not seen.
"""

from dataclasses import replace
from typing import Any

from common import data, labelled, run

import latchwork as lw
from latchwork.metrics import proportion


def reached(model: Any) -> dict[str, object]:
    """What the aim came to: where the threshold was chosen, and on the test part."""
    confusion, classes = model.leaderboard().confusion, model.leaderboard().classes
    spam = classes.index("spam")
    said, right = sum(row[spam] for row in confusion), confusion[spam][spam]
    precision = proportion(right, said)
    return {
        "chosen": model.pipeline.chosen.note,
        "test precision": [round(one, 4) for one in (precision.value, precision.lower, precision.upper)],
        "test recall": round(right / sum(confusion[spam]), 4),
        "said to be spam": said,
    }


def measure(seed: int) -> dict[str, object]:
    plain = lw.Classify(text="2", label="1", positive="spam", metric="f1")
    aimed = replace(plain, aim="precision>=0.99", bound="exact", aim_folds=5)
    source = data("sms_spam", "sms.tsv")
    figures = labelled(plain, source, seed)
    return {**figures, "for precision 0.99": labelled(aimed, source, seed, also={"reached": reached})["reached"]}


if __name__ == "__main__":
    run("sms_spam", measure)
