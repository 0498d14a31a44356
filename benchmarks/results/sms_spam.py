"""SMS spam: equal messages on one side, a threshold for a precision of 0.99 by its lower bound on validation."""

from dataclasses import replace

from common import data, labelled, run

import latchwork as lw


def measure(seed: int) -> dict[str, object]:
    task = lw.Classify(
        text="2", label="1", positive="spam", metric="f1", aim="precision>=0.99", bound="exact", aim_folds=5
    )
    figures = labelled(task, data("sms_spam", "sms.tsv"), seed)
    plain = labelled(replace(task, aim=None, bound="none", aim_folds=0), data("sms_spam", "sms.tsv"), seed)
    return {**plain, "for precision 0.99": figures}


if __name__ == "__main__":
    run("sms_spam", measure)
