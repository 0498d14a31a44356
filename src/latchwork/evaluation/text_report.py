"""report.html and card.md of models that write: what all of them tell, around the sections of each task's own."""

import hashlib
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

from latchwork import storage
from latchwork.evaluation import report_sections
from latchwork.evaluation import sequence_report_figures as draw
from latchwork.evaluation.card_parts import figures_table, plain, verdict_of
from latchwork.evaluation.report_parts import bullets, facts, page, picture, section
from latchwork.evaluation.report_view import Trained
from latchwork.evaluation.scoreboard import Scoreboard
from latchwork.evaluation.sequence_report_sections import score
from latchwork.evaluation.svg import element as h
from latchwork.modalities import Finding
from latchwork.training import Outcome, Training
from latchwork.version import __version__

SHEETS = ("sequence_report.css", "text_report.css")


@dataclass(frozen=True)
class TextReport:
    """All that a report of a model that writes tells of.

    task      generate or translate
    name      the files
    data      what each part holds, a line each
    pipeline  network, module
    sha256    of the files
    sections  the task's own
    known     facts beside those that every report has
    command   what to type next
    """

    task: str
    name: str
    data: Sequence[str]
    pipeline: Any
    sha256: str
    training: Training
    outcome: Outcome
    board: Scoreboard | None
    findings: Sequence[Finding]
    config: str
    command: str
    sections: Sequence[Element] = ()
    known: Sequence[tuple[str, str]] = field(default_factory=tuple)


class TextView(Trained):
    """A report's numbers."""

    def __init__(self, report: TextReport) -> None:
        super().__init__(report.outcome, report.training)
        self.report = report

    @property
    def source(self) -> str:
        """What a figure is traced by."""
        config = hashlib.sha256(self.report.config.encode()).hexdigest()
        return f"data {self.report.sha256[:8]} · config {config[:8]} · seed {self.options.seed}"

    @property
    def board(self) -> Scoreboard:
        """Only to be asked for where there is one."""
        assert self.report.board is not None
        return self.report.board

    @cached_property
    def model(self) -> Any:
        """The model's row."""
        return self.board.model

    @property
    def title(self) -> str:
        """How the figure that decides is called."""
        return self.board.titles[self.board.main]


def write_text_report(path: Path, report: TextReport) -> None:
    """Write the page, whole or not at all. The same report gives the same bytes."""
    storage.write_text(path, render_text(report))


def render_text(report: TextReport) -> str:
    """The page as HTML text."""
    view = TextView(report)
    parts: list[Element] = [] if report.board is None else [score(view)]
    parts += [*report.sections, _data(view), _training(view), _made(view)]
    title = f"latchwork: {report.task}, {report.name}"
    body = h("body", _top(view, parts), h("main", *parts), h("footer", f"latchwork report · {view.source}"))
    return page(title, body, *SHEETS)


def _top(view: TextView, shown: Sequence[Element]) -> Element:
    report, reserve = view.report, ""
    if report.board is None:
        headline = "Trained, and not yet scored"
        lead = "Nothing was held back for a test, so nothing here says how good the model is."
    else:
        headline, reserve = verdict_of(report.board)
        lead = (
            f"Judged by {view.title} on {view.board.count:,} {view.board.what}s that no method had seen; brackets are "
            "95% intervals."
        )
    links = (h("a", part[0].text or "", href=f"#{part.get('id')}") for part in shown)
    return h(
        "header",
        h("p", f"{report.task} · {report.name}", cls="eyebrow"),
        h("h1", headline),
        h("p", reserve, cls="reserve") if reserve else None,
        h("p", lead, cls="lead"),
        h("nav", *links, aria_label="Contents"),
    )


def _data(view: TextView) -> Element:
    """What was read, and what looks odd in it. Nothing was dropped."""
    report = view.report
    if not report.findings:
        said: list[Element] = [h("p", "Nothing looked odd: no empty lines, no text in two parts, no odd lengths.")]
    else:
        said = [h("p", "What looked odd when it was read; nothing was dropped:")]
        for one in report.findings:
            said.append(h("h3", one.text[:1].upper() + one.text[1:]))
            if one.examples:
                said.append(bullets(f"{place}: {text}" if text else place for place, text in one.examples))
    return section("data", "Data", bullets(report.data), *said)


def _training(view: TextView) -> Element:
    part = report_sections.training(view)
    figures = [name for name in (view.validations[0]["validation"] if view.validations else {}) if name != "nats"]
    if figures and len(view.validations) > 1:
        name = figures[0]
        caption = "Taken at each validation."
        heading = f"{name.replace('_', ' ')} on validation"
        part.insert(
            2,
            picture(
                lambda width: draw.judged(view, name, name.replace("_", " "), width),
                caption,
                f"metrics.jsonl · {view.source}",
                heading=heading[:1].upper() + heading[1:],
            ),
        )
    return part


def _made(view: TextView) -> Element:
    report, network = view.report, view.report.pipeline.network
    weights = sum(parameter.numel() for parameter in report.pipeline.module.parameters())
    cell = network.cell if isinstance(network.cell, str) else getattr(network.cell, "__name__", str(network.cell))
    layers = f"{network.layers} layer{'' if network.layers == 1 else 's'}"
    known = [
        ("Network", f"{cell}, {network.hidden_size} units, {layers}"),
        ("Weights", f"{weights:,}"),
        *report.known,
        ("Seed", str(view.options.seed)),
        ("Device", f"{view.options.device}, {view.options.precision}"),
        ("latchwork", version("latchwork")),
        ("torch", version("torch")),
        ("Python", f"{platform.python_version()} on {platform.machine()}"),
        ("Data, SHA-256", report.sha256),
        ("Options, SHA-256", storage.sha256(report.config.encode())),
    ]
    return section(
        "made",
        "How it was made, and what is next",
        facts(known),
        h("p", "Next:"),
        h("pre", h("code", report.command)),
        h(
            "p",
            "The same options, data and seed give the same model on the same machine. Saved as run.toml, this is "
            "what --config takes:",
        ),
        h("pre", h("code", report.config), tabindex="0"),
    )


def text_card(report: TextReport) -> str:
    """What the model is, in a page of Markdown."""
    lines = [f"# {report.task}: {plain(report.name)}", ""]
    if report.board is None:
        lines += ["Not scored: nothing was held back."]
    else:
        verdict = report.board.verdict()
        lines += [plain(verdict[:1].upper() + verdict[1:]) + ".", "", *figures_table(report.board)]
        lines += ["", *(f"{plain(note[:1].upper() + note[1:])}." for note in report.board.notes)]
    weights = sum(parameter.numel() for parameter in report.pipeline.module.parameters())
    lines += [
        "",
        "## What it is",
        "",
        f"Made with latchwork {__version__}, seed {report.training.seed}, {weights:,} parameters.",
        f"Data: {plain(report.name)} (sha256 {report.sha256}).",
        *(f"- {plain(line)}" for line in report.data),
        "",
        "## Before it is used",
        "",
        "- It writes what is like its training text, with what stands there: names, errors, opinions; whole lines of "
        "it may come out as they are.",
        "- What it writes reads well and need not be true.",
        *(f"- {plain(one.text[:1].upper() + one.text[1:])}." for one in report.findings),
        "",
        "The options are in config.toml, the scores in leaderboard.json, the pictures in report.html.",
        "",
    ]
    return "\n".join(lines)
