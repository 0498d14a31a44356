"""Spans from tags of each step (entities, chunks, events), and how many of them are right: as conlleval counts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from latchwork.errors import ConfigError, DataError
from latchwork.metrics.paired import Interval
from latchwork.metrics.resample import bootstrap_sums
from latchwork.metrics.scores import Array, Scores

BEGINS = frozenset("BSU")
ENDS = frozenset("ESLU")
KNOWN = BEGINS | ENDS | frozenset("IM")


class Span(NamedTuple):
    """Steps ``start`` up to, and without, ``end``."""

    start: int
    end: int
    kind: str


def spans_of(tags: Sequence[str]) -> list[Span]:
    """The spans of one sequence of tags: ``O``, or B-, I-, E-, S- (also M-, L-, U-) and the kind.

    One rule reads IOB1, IOB2, IOBES and BILOU, and what a model makes of them, as conlleval does (Tjong Kim Sang &
    Buchholz 2000, with S as its later versions have it; U is S, L is E): a span begins at B or S, after O, after E or
    S, and where the kind changes; it goes on until the next begins or an O comes. So I after O opens a span. A span
    never reaches over the end of its sequence.

    Raises :class:`DataError` for a tag with no such prefix.
    """
    found: list[Span] = []
    start, last, kind = 0, "O", ""
    for step, tag in enumerate([*tags, "O"]):
        prefix, _, named = tag.partition("-")
        if tag == "O":
            prefix = "O"
        elif prefix not in KNOWN:
            raise DataError(f'tag "{tag}" at step {step}, expected O or a prefix of B-, I-, E-, S- before its kind')
        begins = prefix != "O" and (prefix in BEGINS or last == "O" or last in ENDS or named != kind)
        if last != "O" and (begins or prefix == "O"):
            found.append(Span(start, step, kind))
        if begins:
            start = step
        last, kind = prefix, named
    return found


@dataclass(frozen=True, eq=False)
class SpanScores(Scores):
    """Spans that are right: same start, end and kind.

    kinds   [kinds] every kind that occurs, sorted
    counts  [sequences, kinds, 3] of each sequence: spans right, predicted, true
    table   precision, recall, F1 of each kind, [kinds] each; NaN where there is nothing to divide by
    """

    kinds: tuple[str, ...]
    counts: NDArray[np.int64]
    table: dict[str, Array]

    def interval(
        self,
        name: str = "span_f1",
        groups: NDArray[Any] | None = None,
        *,
        kind: str | None = None,
        samples: int = 1000,
        level: float = 0.95,
        seed: int = 0,
    ) -> Interval:
        """Bootstrap interval of span_f1, span_precision or span_recall, whole sequences (or groups of them) drawn."""
        figure = {"span_precision": _precision, "span_recall": _recall, "span_f1": _f1}.get(name)
        if figure is None or (kind is not None and kind not in self.kinds):
            raise ConfigError(f'no figure "{name}" of kind "{kind}"; there are span_precision, span_recall and span_f1')
        counts = self.counts.sum(axis=1) if kind is None else self.counts[:, self.kinds.index(kind)]
        sequences = np.arange(len(counts)) if groups is None else groups
        return bootstrap_sums(counts, figure, sequences, samples=samples, level=level, seed=seed, within=(0.0, 1.0))


def span_scores(truth: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> SpanScores:
    """Precision, recall and F1 of spans over all sequences and kinds together (micro), and of each kind.

    precision = right / predicted, recall = right / true, F1 = 2 right / (predicted + true); and the share of steps with
    the right tag. conlleval prints 0 where there is nothing to divide by; here it is NaN with a note.
    """
    if len(truth) != len(predicted) or not len(truth):
        raise DataError(f"{len(truth)} true and {len(predicted)} predicted sequences, expected as many, at least one")
    pairs: list[tuple[list[Span], list[Span]]] = []
    steps = right_steps = 0
    for row, (true_tags, tags) in enumerate(zip(truth, predicted, strict=True)):
        if len(true_tags) != len(tags):
            raise DataError(
                f"sequence {row} has {len(true_tags)} true and {len(tags)} predicted tags, expected as many"
            )
        pairs.append((spans_of(true_tags), spans_of(tags)))
        steps += len(tags)
        right_steps += sum(one == other for one, other in zip(true_tags, tags, strict=True))
    kinds = tuple(sorted({span.kind for both in pairs for some in both for span in some}))
    place = {kind: column for column, kind in enumerate(kinds)}
    counts = np.zeros((len(pairs), len(kinds), 3), np.int64)
    for row, (true_spans, found) in enumerate(pairs):
        for column, some in enumerate((set(true_spans) & set(found), found, true_spans)):
            for span in some:
                counts[row, place[span.kind], column] += 1
    each, total = counts.sum(axis=0).astype(np.float64), counts.sum(axis=(0, 1)).astype(np.float64)
    values = {
        "span_f1": float(_f1(total)),
        "span_precision": float(_precision(total)),
        "span_recall": float(_recall(total)),
        "step_accuracy": right_steps / steps if steps else math.nan,
    }
    reasons = {
        "span_f1": "there is no span, neither true nor predicted",
        "span_precision": "no span was predicted",
        "span_recall": "there is no true span",
        "step_accuracy": "no sequence has a step",
    }
    return SpanScores(
        count=len(pairs),
        values=values,
        labels={
            "span_f1": "span F1 (micro)",
            "span_precision": "span precision (micro)",
            "span_recall": "span recall (micro)",
            "step_accuracy": "accuracy of steps",
        },
        notes={name: f"undefined: {reasons[name]}" for name, value in values.items() if math.isnan(value)},
        kinds=kinds,
        counts=counts,
        table={"precision": _precision(each), "recall": _recall(each), "f1": _f1(each)},
    )


def _ratio(above: Array, below: Array) -> Array:
    return np.asarray(above) / np.where(below == 0, np.nan, below)


def _precision(counts: Array) -> Array:
    return _ratio(counts[..., 0], counts[..., 1])


def _recall(counts: Array) -> Array:
    return _ratio(counts[..., 0], counts[..., 2])


def _f1(counts: Array) -> Array:
    return _ratio(2 * counts[..., 0], counts[..., 1] + counts[..., 2])
