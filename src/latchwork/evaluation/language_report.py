"""What the report of a language model shows of its own: texts it writes, how far back it remembers, what is hard."""

from collections.abc import Sequence
from xml.etree.ElementTree import Element

import numpy as np

from latchwork.evaluation.language import LanguageEvaluation
from latchwork.evaluation.report_parts import picture, section
from latchwork.evaluation.svg import Plot, Scale
from latchwork.evaluation.svg import element as h
from latchwork.tasks import GenerateSetup, LanguagePipeline

SHOWN = 600
"""Tokens of the test text that are shown by how hard they were."""

SHADES = 5


def language_sections(
    pipeline: LanguagePipeline, evaluation: LanguageEvaluation | None, samples: Sequence[tuple[float, str, str]]
) -> list[Element]:
    """samples: (temperature, prompt, what the model makes of it)."""
    found = [_samples(samples)]
    if evaluation is not None:
        if len(evaluation.histories) > 2:
            found.append(_memory(evaluation))
        found.append(_hard(pipeline, evaluation))
    return found


def data_lines(setup: GenerateSetup) -> list[str]:
    """What each part holds."""
    lines = []
    for part, texts in setup.texts.items():
        count = len(setup.streams[part]) - 1
        many = f"{len(texts):,} text{'' if len(texts) == 1 else 's'}, " if len(texts) != 1 else ""
        lines.append(f"{part}: {many}{sum(map(len, texts)):,} characters, {max(count, 0):,} tokens")
    vocabulary = setup.pipeline.vocabulary
    lines.append(f"vocabulary: {len(vocabulary):,} tokens of the kind {vocabulary.unit}, found in the training part")
    return [*lines, *setup.notes]


def _samples(samples: Sequence[tuple[float, str, str]]) -> Element:
    parts: list[Element] = []
    for temperature, prompt, text in samples:
        parts.append(h("h3", f"temperature {temperature:g}"))
        parts.append(h("pre", h("b", prompt), text, cls="prose", tabindex="0"))
    about = "The prompt, in bold, is how the test text begins. Below 1 the temperature makes the probable more so."
    return section("texts", "What it writes", h("p", about, cls="quiet"), *parts)


def _memory(evaluation: LanguageEvaluation) -> Element:
    sizes = np.array([size for size in evaluation.histories if size < len(evaluation.stream)], np.float64)
    nats = np.array([evaluation.histories[int(size)] for size in sizes])
    whole = evaluation.histories[len(evaluation.stream)]
    what = evaluation.score.token

    def draw(width: int) -> Element:
        plot = Plot(
            Scale.over(sizes, kind="log"),
            Scale.over(nats, [whole], pad=0.06),
            width=width,
            height=280,
            label=f"nats of a {what} by how much text before it is read",
            x_title=f"{what}s of history that are read",
            y_title=f"nats per {what}",
        )
        plot.level(whole, "reference", "all of the history")
        plot.line(sizes, nats, "model")
        texts = [f"{int(size)}: {value:.3f}" for size, value in zip(sizes, nats, strict=True)]
        plot.dots(sizes, nats, "model", texts, 3)
        return plot.root

    enough = next((int(size) for size, one in zip(sizes, nats, strict=True) if one - whole < 0.01 * whole), None)
    said = (
        f"With {enough} {what}s of history it is within a hundredth of what the whole history gives."
        if enough is not None
        else f"Even {int(sizes[-1])} {what}s of history are not within a hundredth of what the whole gives."
    )
    return section(
        "memory",
        "How far back it remembers",
        said,
        picture(draw, f"The same {what}s of the test text, asked for with a short history and with all of it.", "test"),
    )


def _hard(pipeline: LanguagePipeline, evaluation: LanguageEvaluation) -> Element:
    """The beginning of the test text, each token shaded by its nats."""
    nats = np.asarray(evaluation.methods[0].nats)[:SHOWN]
    tokens = evaluation.stream[1 : SHOWN + 1].tolist()
    writer = pipeline.vocabulary.writer()
    pieces = [writer.push(token) or "" for token in tokens]
    edges = np.quantile(nats, np.linspace(0, 1, SHADES + 1)[1:-1]) if len(nats) else np.zeros(0)
    shades = np.searchsorted(edges, nats)
    spans = [
        h("span", piece, cls=f"shade-{shade}", title=f"{value:.2f} nats")
        for piece, shade, value in zip(pieces, shades.tolist(), nats.tolist(), strict=True)
        if piece
    ]
    return section(
        "hard",
        "What was hard to expect",
        h("p", "The beginning of the test text; the darker, the less the model expected it.", cls="quiet"),
        h("pre", *spans, cls="prose"),
    )
