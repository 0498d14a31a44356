"""report.html and card.md of a classifier or labeller: how good it is beside what, and why; nothing is loaded."""

from pathlib import Path
from xml.etree.ElementTree import Element

from latchwork import storage
from latchwork.evaluation import sequence_report_data as about
from latchwork.evaluation import sequence_report_examples as examples
from latchwork.evaluation import sequence_report_sections as sections
from latchwork.evaluation.card_parts import figures_table, plain, verdict_of
from latchwork.evaluation.report_parts import page
from latchwork.evaluation.sequence_report_view import SequenceReport, SequenceView
from latchwork.evaluation.svg import element as h
from latchwork.version import __version__

__all__ = ["SequenceReport", "render_sequences", "sequence_card", "write_sequence_report"]

SHEET = "sequence_report.css"


def write_sequence_report(path: Path, report: SequenceReport) -> None:
    """Write the page, whole or not at all. The same report gives the same bytes."""
    storage.write_text(path, render_sequences(report))


def render_sequences(report: SequenceReport) -> str:
    """The page as HTML text."""
    view = SequenceView(report)
    parts: list[Element | None] = []
    if report.evaluation is not None:
        parts += [sections.score(view), sections.classes(view), sections.threshold(view), sections.ranking(view)]
        parts += [examples.steps(view), examples.mistakes(view)]
    parts += [about.audit(view), about.data(view), about.training(view), *report.more, about.made(view)]
    shown = [part for part in parts if part is not None]
    title = f"latchwork: {view.pipeline.name}, {view.name}"
    body = h("body", _top(view, shown), h("main", *shown), h("footer", f"latchwork report · {view.source}"))
    return page(title, body, SHEET)


def _top(view: SequenceView, shown: list[Element]) -> Element:
    what = {"text": "texts", "records": "series", "image": "images"}[view.kind]
    eyebrow = f"{view.pipeline.name} · {view.name} · {len(view.labelled):,} {what}"
    reserve, alarm = "", _alarm(view)
    if view.report.evaluation is None:
        headline = "Trained, and not yet scored"
        lead = "No sequences were held back for a test, so nothing here says how good the answers are."
    else:
        headline, reserve = verdict_of(view.board)
        lead = (
            f"Judged by {view.title} on {view.board.count:,} sequence{'' if view.board.count == 1 else 's'} that no "
            "method had seen; brackets are 95% intervals."
        )
    links = (h("a", part[0].text or "", href=f"#{part.get('id')}") for part in shown)
    return h(
        "header",
        h("p", eyebrow, cls="eyebrow"),
        h("h1", headline),
        h("p", reserve, cls="reserve") if reserve else None,
        h("p", alarm, cls="alarm") if alarm else None,
        h("p", lead, cls="lead"),
        h("nav", *links, aria_label="Contents"),
    )


def _alarm(view: SequenceView) -> str:
    """What makes the score hard to believe, where anything does."""
    leaks = [one for one in view.report.findings if one.severity == "leak"]
    if not leaks:
        return ""
    many = "1 leak was found" if len(leaks) == 1 else f"{len(leaks)} leaks were found"
    return f"{many}: until mended, don't believe the score. {leaks[0].sentence[:1].upper()}{leaks[0].sentence[1:]}."


# The card


def sequence_card(report: SequenceReport) -> str:
    """What the model is, in a page of Markdown."""
    view = SequenceView(report)
    task, pipeline = view.pipeline.name, view.pipeline
    lines = [f"# {task}: {plain(view.name)}", ""]
    if report.evaluation is None:
        lines += ["Not scored: no sequences were held back."]
    else:
        verdict = view.board.verdict()
        lines += [plain(verdict[:1].upper() + verdict[1:]) + ".", "", *figures_table(view.board)]
        if view.reached and pipeline.chosen is not None:
            lines += ["", plain(sections.threshold_verdict(view))]
    weights = sum(parameter.numel() for parameter in pipeline.module.parameters())
    names = view.targets.classes
    labels = ", ".join(names[:20]) + (f", … ({len(names)} in all)" if len(names) > 20 else "")
    parts = ", ".join(f"{len(view.part(name)):,} {name}" for name in ("training", "validation", "test"))
    bad = [one for one in report.findings if one.severity != "note"]
    lines += [
        "",
        "## What it is",
        "",
        f"Made with latchwork {__version__}, seed {view.options.seed}, {weights:,} parameters.",
        f"Data: {plain(view.name)} (sha256 {view.labelled.sha256}): {parts} sequences.",
        *([f"Labels: {plain(labels)}."] if names else []),
        *(f"{plain(line[:1].upper() + line[1:])}." for line in about.read_lines(view)),
        "",
        "## Before it is used",
        "",
        *([f"- {plain(str(one))}" for one in bad] or ["- The leak audit found nothing to worry about."]),
        "- The figures hold as far as new sequences are like those of the test part.",
        "- It always answers: a sequence that is none of its labels gets one of them.",
        "",
        "The options are in config.toml, the scores in leaderboard.json, the pictures in report.html.",
        "",
    ]
    return "\n".join(lines)
