"""What the report of a translator shows of its own: answers, what they were read from, what hearing itself costs."""

from collections.abc import Sequence
from xml.etree.ElementTree import Element

import numpy as np

from latchwork.evaluation.report_parts import picture, section, table
from latchwork.evaluation.svg import Key, Plot, Scale, figure, shortened, text_width
from latchwork.evaluation.svg import element as h
from latchwork.evaluation.translation import TranslationEvaluation, by_length
from latchwork.tasks import TranslateSetup, Translation
from latchwork.tasks.translate_exposure import Exposure
from latchwork.tasks.translate_source import SourceText

SHOWN, PICTURED = 8, 3
LONGEST = 30
"""Words of an answer and of a source whose attention is drawn."""

CELL, NAMES = 17.0, 120.0
"""Sizes of such a drawing: of a cell, and of the room for words at its sides at most."""

LETTERS = 400
"""Characters of a source that a table shows."""


def translation_lines(setup: TranslateSetup) -> list[str]:
    """What each part holds, and how it is read."""
    pipeline, lines = setup.pipeline, []
    for part in ("train", "validation", "test"):
        own = [one for row in setup.split.part(part) if (one := setup.encoded[row]) is not None]
        steps = np.median([len(one.source) for one in own]) if own else 0
        words = np.median([len(one.target) for one in own if one.target is not None]) if own else 0
        lines.append(f"{part}: {len(own):,} pairs, of {steps:,.0f} and {words:,.0f} tokens (median)")
    source, target = pipeline.source, pipeline.target
    if isinstance(source, SourceText):
        lines.append(f"source: {len(source.vocabulary):,} tokens of the kind {source.vocabulary.unit}")
    lines.append(f"target: {len(target):,} tokens of the kind {target.unit}, found in the training part")
    return [*lines, *dict.fromkeys(setup.notes)]


def translation_sections(evaluation: TranslationEvaluation | None) -> list[Element]:
    """The sections between the score and the data."""
    if evaluation is None:
        return []
    found = [_answers(evaluation)]
    drawn = _drawn(evaluation)
    if drawn:
        found.append(_looks(drawn))
    if evaluation.exposure is not None and len(evaluation.exposure.positions) > 1:
        found.append(_exposed(evaluation.exposure))
    return found


def _answers(evaluation: TranslationEvaluation) -> Element:
    labelled = evaluation.labelled
    rows = []
    for row in np.linspace(0, len(labelled) - 1, min(SHOWN, len(labelled))).astype(int).tolist():
        label, content = labelled.labels[row], labelled.content[row]
        rows.append(
            [
                _short(content) if isinstance(content, str) else labelled.ids[row],
                evaluation.answers[row].text,
                label if isinstance(label, str) else " | ".join(label),
            ]
        )
    lengths = [[f"{low:,} to {high:,}", f"{value:.1f}"] for low, high, value in by_length(evaluation)]
    title = evaluation.scoreboard.titles[evaluation.scoreboard.main]
    return section(
        "answers",
        "What it says",
        table(["source", "said", "reference"], rows, caption="Sources of the test part, evenly drawn from it."),
        table(
            ["length of the source", title], lengths, caption="Short sources and long ones, as many each.", numeric=[1]
        )
        if lengths
        else None,
    )


def _short(text: str) -> str:
    return text if len(text) <= LETTERS else text[: LETTERS - 1].rstrip() + "…"


def _drawn(evaluation: TranslationEvaluation) -> list[Translation]:
    fitting = [
        one
        for one in evaluation.answers
        if one.source is not None and 3 <= len(one.words) <= LONGEST and 3 <= len(one.source) <= LONGEST
    ]
    if not fitting:
        return []
    places = np.linspace(0, len(fitting) - 1, min(PICTURED, len(fitting))).astype(int)
    return [fitting[place] for place in dict.fromkeys(places.tolist())]


def _looks(answers: Sequence[Translation]) -> Element:
    about = "Each row is a word that was said; the darker a square, the more of the source's word was read for it."
    pictures = [
        h("div", attention_picture(one), cls="scroll", tabindex="0", role="region", aria_label="attention")
        for one in answers
    ]
    return section("attention", "What it looked at", h("p", about, cls="quiet"), *pictures)


def attention_picture(answer: Translation) -> Element:
    """The words said, one below the other, and what of the source each was read from."""
    source, words = answer.source or (), answer.words
    left = min(NAMES, max(map(text_width, words), default=0.0) * 1.1) + 10
    top = 0.72 * min(NAMES, max(map(text_width, source), default=0.0) * 1.1) + 16
    right = 0.72 * NAMES
    root = figure(left + CELL * len(source) + right, top + CELL * len(words) + 4, f"attention of: {answer.text}")
    for at, word in enumerate(source):
        across = left + CELL * (at + 0.5)
        turn = f"rotate(-45 {across:.1f} {top - 5:.1f})"
        root.append(h("text", shortened(word, NAMES), cls="name", x=across, y=top - 5, transform=turn))
    for line, word in enumerate(words):
        down = top + CELL * line
        name = shortened(word, left - 8)
        root.append(h("text", name, cls="name", x=left - 6, y=down + CELL / 2 + 4, text_anchor="end"))
        for at, part in enumerate(answer.attention[line].tolist()[: len(source)]):
            where = {"x": left + CELL * at, "y": down, "width": CELL - 1, "height": CELL - 1}
            title = h("title", f"{word} from {source[at]}: {part:.0%}")
            root.append(h("rect", cls="cell", **where))
            if part >= 0.005:
                root.append(h("rect", title, cls="hit", fill_opacity=f"{part:.3f}", **where))
    return root


def _exposed(found: Exposure) -> Element:
    def draw(width: int) -> Element:
        plot = Plot(
            Scale.over(found.positions),
            Scale.over(found.right_at, zero=True, pad=0.05),
            width=width,
            height=260,
            label="share of right words by their place in the target, after true words and after its own",
            x_title="place of the word in the target",
            y_title="share of words that are right",
            keys=[Key("after the true words", "model"), Key("after its own words", "rival")],
        )
        for style, values in zip(("model", "rival"), found.right_at, strict=True):
            plot.line(found.positions, values, style)
        return plot.root

    said = found.told()
    rows = [
        [name, f"{right:.1%}", f"{nats:.3f}", f"{score:.1f}"]
        for name, right, nats, score in zip(
            ("after the true words", "after its own words"), found.right, found.nats, found.score, strict=True
        )
    ]
    return section(
        "exposure",
        "What it loses by hearing itself",
        said[:1].upper() + said[1:] + ".",
        table(
            ["history", "right words", "nats a word", found.metric], rows, numeric=[1, 2, 3],
            caption="In training the words before each one were the true ones; in use they are the model's own.",
        ),
        picture(
            draw,
            "A word is right where the target has it at the same place; the same said in another order is not.",
            f"{int(found.counts[0]):,} targets",
        ),
    )  # fmt: skip
