"""Spans: conlleval's own rules written out as they are, schemes there and back, and counts by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latchwork.errors import ConfigError, DataError
from latchwork.metrics import Span, span_scores, spans_of

KINDS = ("PER", "LOC")
TAGS = st.lists(st.sampled_from(["O", *(f"{prefix}-{kind}" for prefix in "BIES" for kind in KINDS)]), max_size=12)
PAIRS = st.lists(TAGS, min_size=1, max_size=5).flatmap(
    lambda rows: st.tuples(
        st.just(rows),
        st.tuples(
            *(
                st.lists(
                    st.sampled_from(["O", "B-PER", "I-PER", "I-LOC", "E-LOC"]), min_size=len(row), max_size=len(row)
                )
                for row in rows
            )
        ),
    )
)


def ends(before: str, tag: str, kind_before: str, kind: str) -> bool:
    """endOfChunk of conlleval.pl, with S as its Python ports have it."""
    pairs = {"BB", "BO", "BS", "IB", "IO", "IS", "EE", "EI", "EO", "EB", "ES", "SE", "SI", "SO", "SB", "SS"}
    return before + tag in pairs or (before not in "O." and kind_before != kind)


def starts(before: str, tag: str, kind_before: str, kind: str) -> bool:
    """startOfChunk of conlleval.pl."""
    single = before + tag in {"EE", "EI", "OE", "OI", "SE", "SI"}
    return tag in "BS" or single or (tag not in "O." and kind_before != kind)


def conlleval(truth: list[list[str]], predicted: list[list[str]]) -> tuple[int, int, int]:
    """Chunks right, found, true: the main loop of conlleval.pl, an empty line after each sentence."""
    right = found = true = 0
    inside = False
    old, old_kind, old_said, old_said_kind = "O", "", "O", ""
    for row, other in zip(truth, predicted, strict=True):
        for tag, said in zip([*row, "O"], [*other, "O"], strict=True):
            (mark, _, kind), (guess, _, guess_kind) = tag.partition("-"), said.partition("-")
            true_ends = ends(old, mark, old_kind, kind)
            said_ends = ends(old_said, guess, old_said_kind, guess_kind)
            true_starts = starts(old, mark, old_kind, kind)
            said_starts = starts(old_said, guess, old_said_kind, guess_kind)
            if inside:
                if true_ends and said_ends and old_kind == old_said_kind:
                    inside, right = False, right + 1
                elif true_ends != said_ends or kind != guess_kind:
                    inside = False
            if true_starts and said_starts and kind == guess_kind:
                inside = True
            true, found = true + true_starts, found + said_starts
            old, old_kind, old_said, old_said_kind = mark, kind, guess, guess_kind
    return right, found, true


@settings(max_examples=200)
@given(PAIRS)
def test_counts_are_conlleval_s(pair: tuple[list[list[str]], tuple[list[str], ...]]) -> None:
    truth, predicted = pair[0], list(pair[1])
    found = span_scores(truth, predicted)
    right, said, true = found.counts.sum(axis=(0, 1)).tolist()
    assert (right, said, true) == conlleval(truth, predicted)


def tagged(spans: list[Span], steps: int, scheme: str) -> list[str]:
    """The tags of spans that do not overlap, as each scheme writes them."""
    tags = ["O"] * steps
    last = Span(-1, -1, "")
    for span in spans:
        for step in range(span.start, span.end):
            first, final = step == span.start, step == span.end - 1
            prefix = "I"
            if scheme in ("IOBES", "BILOU"):
                single, end = ("S", "E") if scheme == "IOBES" else ("U", "L")
                prefix = single if first and final else "B" if first else end if final else "I"
            elif scheme == "IOB2":
                prefix = "B" if first else "I"
            elif first and last.end == span.start and last.kind == span.kind:  # IOB1: B only between two of a kind
                prefix = "B"
            tags[step] = f"{prefix}-{span.kind}"
        last = span
    return tags


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 4), st.sampled_from(KINDS))))
def test_every_scheme_is_read_back(drawn: list[tuple[int, int, str]]) -> None:
    spans: list[Span] = []
    for gap, length, kind in drawn:
        start = (spans[-1].end if spans else 0) + gap
        spans.append(Span(start, start + length, kind))
    steps = (spans[-1].end if spans else 0) + 1
    for scheme in ("IOB1", "IOB2", "IOBES", "BILOU"):
        assert spans_of(tagged(spans, steps, scheme)) == spans, scheme


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("O I-PER I-PER O", [(1, 3, "PER")]),
        ("I-PER I-LOC", [(0, 1, "PER"), (1, 2, "LOC")]),
        ("B-PER I-LOC I-LOC", [(0, 1, "PER"), (1, 3, "LOC")]),
        ("B-PER B-PER", [(0, 1, "PER"), (1, 2, "PER")]),
        ("E-PER I-PER", [(0, 1, "PER"), (1, 2, "PER")]),
        ("S-PER I-PER", [(0, 1, "PER"), (1, 2, "PER")]),
        ("U-PER I-PER", [(0, 1, "PER"), (1, 2, "PER")]),
        ("U-PER L-PER", [(0, 1, "PER"), (1, 2, "PER")]),
        ("B-PER-1 I-PER-1", [(0, 2, "PER-1")]),
        ("B I O B", [(0, 2, ""), (3, 4, "")]),
        ("", []),
    ],
)
def test_spans_by_hand(tags: str, expected: list[tuple[int, int, str]]) -> None:
    assert spans_of(tags.split()) == expected


def test_figures_by_hand() -> None:
    truth = [["B-PER", "I-PER", "O", "B-LOC"], ["B-LOC", "O"], ["O"]]
    said = [["B-PER", "I-PER", "O", "B-PER"], ["B-LOC", "I-LOC"], ["B-PER"]]
    found = span_scores(truth, said)
    assert found.kinds == ("LOC", "PER")
    assert found.counts.tolist() == [[[0, 0, 1], [1, 2, 1]], [[0, 1, 1], [0, 0, 0]], [[0, 0, 0], [0, 1, 0]]]
    assert found["span_precision"] == 1 / 4
    assert found["span_recall"] == 1 / 3
    assert found["span_f1"] == 2 / 7
    assert found["step_accuracy"] == 4 / 7
    assert found.table["f1"] == pytest.approx([0.0, 2 / 4])
    assert found.notes == {}


def test_where_there_is_no_span_it_is_said() -> None:
    nothing = span_scores([["O", "O"]], [["O", "O"]])
    assert math.isnan(nothing["span_f1"])
    assert nothing.notes["span_f1"] == "undefined: there is no span, neither true nor predicted"
    assert nothing["step_accuracy"] == 1.0
    missed = span_scores([["B-X", "O"]], [["O", "O"]])
    assert missed["span_f1"] == missed["span_recall"] == 0.0
    assert missed.notes == {"span_precision": "undefined: no span was predicted"}
    assert math.isnan(span_scores([[]], [[]])["step_accuracy"])


def test_intervals_draw_whole_sequences() -> None:
    generator = np.random.default_rng(0)
    truth, said = [], []
    for _ in range(40):
        right = generator.uniform() < 0.7
        truth.append(["B-X", "O"] * 10)
        said.append((["B-X", "O"] if right else ["O", "B-X"]) * 10)  # all ten right, or none
    found = span_scores(truth, said)
    interval = found.interval()
    assert interval.value == pytest.approx(found["span_f1"])
    assert 0.2 < interval.upper - interval.lower < 0.4  # forty pieces of evidence, not four hundred
    entity = found.interval("span_recall", np.repeat(np.arange(4), 10), kind="X")
    assert entity.value == pytest.approx(found["span_recall"])
    with pytest.raises(ConfigError, match="no figure"):
        found.interval("f1")
    with pytest.raises(ConfigError, match='of kind "Y"'):
        found.interval(kind="Y")


def test_what_are_no_tags_is_refused() -> None:
    with pytest.raises(DataError, match='tag "NN" at step 1'):
        spans_of(["O", "NN"])
    with pytest.raises(DataError, match="sequence 1 has 2 true and 1 predicted"):
        span_scores([["O"], ["O", "O"]], [["O"], ["O"]])
    with pytest.raises(DataError, match="2 true and 1 predicted sequences"):
        span_scores([["O"], ["O"]], [["O"]])
    with pytest.raises(DataError, match="at least one"):
        span_scores([], [])
