"""What hearing itself costs: nothing to who makes no error, and what is counted is what it says."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from latchwork.errors import DataError
from latchwork.modalities.text_tokens import UNKNOWN
from latchwork.tasks import Translate
from latchwork.tasks.translate_exposure import exposure
from latchwork.tasks.translate_job import nats_of
from latchwork.tasks.translate_setup import judge

sys.path.insert(0, str(Path(__file__).parents[1]))
import toys


def score(texts: object, references: object) -> float:
    return float(judge(Translate(metric="rouge_l"), texts, references).value)  # type: ignore[arg-type]


@pytest.mark.parametrize("copies", [False, True])
def test_who_makes_no_error_loses_nothing(copies: bool) -> None:
    setup = toys.copier() if copies else toys.turner()
    pipeline, test = setup.pipeline, setup.labelled.select(setup.split.test)
    answers = [several[0].text for several in pipeline.translate(test, pipeline.greedy)]
    right = [row for row, text in enumerate(answers) if text == test.labels[row]]
    found = exposure(pipeline, test.select(right), score, metric="ROUGE-L")
    assert found.right == (1.0, 1.0)
    assert found.nats[0] == pytest.approx(found.nats[1], abs=1e-5)
    assert found.score == (100.0, 100.0)
    assert found.words == sum(len(str(test.labels[row]).split()) + 1 for row in right)
    assert "ROUGE-L 100.0 and 100.0" in found.told()


def test_errors_follow_each_other() -> None:
    setup = toys.learnt(toys.backwards(), replace(toys.QUICK, steps=60))
    pipeline, test = setup.pipeline, setup.labelled.select(setup.split.test)
    found = exposure(pipeline, test, score)
    assert found.right[1] < found.right[0] < 1
    assert found.nats[1] > found.nats[0]
    nats = nats_of(pipeline.module, pipeline.encode(test, targets=True))
    assert found.nats[0] == pytest.approx(float(np.concatenate(nats).mean()), rel=1e-5)
    assert found.positions[0] == 1
    assert (np.diff(found.counts) <= 0).all()
    # The first word has no history yet.
    assert found.right_at[0, 0] == found.right_at[1, 0]
    with pytest.raises(DataError, match="no source has a target"):
        exposure(pipeline, replace(test, labels=(None,) * len(test)), score)


def test_the_unknown_is_replaced_on_both_sides() -> None:
    setup = toys.prepared([(f"a{number} b", f"A{number} B") for number in range(12)], target_vocabulary_size=4)
    pipeline = setup.pipeline
    with torch.no_grad():
        pipeline.module.decoder.output.bias[UNKNOWN] = 100.0
    seen: list[list[str]] = []

    def judge(texts: Sequence[str], _: object) -> float:
        seen.append(list(texts))
        return 0.0

    exposure(pipeline, setup.labelled, judge)
    after_true, after_own = seen
    assert all(after_true)
    for texts in (after_true, after_own):
        for text, source in zip(texts, setup.labelled.content, strict=True):
            assert set(text.split()) <= set(source.split())
