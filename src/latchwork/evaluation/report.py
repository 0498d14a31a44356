"""report.html: one file that says how good the model is, and shows why; nothing in it is loaded from elsewhere."""

import re
from pathlib import Path
from xml.etree.ElementTree import Element

from latchwork import storage
from latchwork.errors import ConfigError
from latchwork.evaluation import report_figures as draw
from latchwork.evaluation import report_sections as sections
from latchwork.evaluation.report_parts import page
from latchwork.evaluation.report_view import Report, Streamed, View
from latchwork.evaluation.svg import element as h
from latchwork.evaluation.svg import side_by_side, standalone

__all__ = ["Report", "Streamed", "forecast_svg", "leaderboard_svg", "picture_svg", "render", "write_report"]


def write_report(path: Path, report: Report) -> None:
    """Write the page, whole or not at all. The same report gives the same bytes."""
    storage.write_text(path, render(report))


def render(report: Report) -> str:
    """The page as HTML text."""
    view = View(report)
    parts: list[Element | None] = []
    if report.evaluation is not None:
        parts += [sections.score(view), sections.forecasts(view), sections.errors(view)]
    parts += [sections.data(view), sections.training(view)]
    parts += [sections.stream(report.streamed), sections.made(view)]
    shown = [part for part in parts if part is not None]
    title = f"latchwork: {', '.join(report.raw.targets)} of {report.raw.name}"
    body = h("body", _top(view, shown), h("main", *shown), h("footer", f"latchwork report · {view.source}"))
    return page(title, body)


def _top(view: View, shown: list[Element]) -> Element:
    raw, horizon, reserve = view.raw, view.task.horizon, ""
    eyebrow = f"{', '.join(raw.targets)} · {raw.name} · {horizon:,} {'step' if horizon == 1 else 'steps'} ahead"
    if view.report.evaluation is None:
        headline = "Trained, and not yet scored"
        lead = "No rows were held back for a test, so nothing here says how good the forecasts are."
    else:
        headline, reserve = _verdict(view)
        board = view.board
        lead = (
            f"Judged by {view.metric} on {board.windows:,} {'forecast' if board.windows == 1 else 'forecasts'} of rows "
            "that no method had seen; brackets are 95% intervals."
        )
    links = (h("a", part[0].text or "", href=f"#{part.get('id')}") for part in shown)
    return h(
        "header",
        h("p", eyebrow, cls="eyebrow"),
        h("h1", headline),
        h("p", reserve, cls="reserve") if reserve else None,
        h("p", lead, cls="lead"),
        h("nav", *links, aria_label="Contents"),
    )


def _verdict(view: View) -> tuple[str, str]:
    """The verdict, and the tests and reservations that follow it."""
    whole = view.board.verdict(view.model.name)
    headline, _, rest = re.sub(r"(, Diebold-|, on the |; )", r"\n\1", whole, count=1).partition("\n")
    rest = re.sub("^[,;] ", "", rest)
    return headline, rest[:1].upper() + rest[1:] + ("." if rest else "")


# Pictures for elsewhere


def forecast_svg(report: Report, *, width: int = 720, height: int = 360) -> str:
    """The forecasts of the median series over what came true, as an SVG file: light colours on white, nothing to load.

    Raises ConfigError where nothing was scored.
    """
    view = _scored(report)
    return standalone(_forecast(view, width, height), title="Forecasts over actual values")


def leaderboard_svg(report: Report, *, width: int = 560) -> str:
    """The bars of the leaderboard as an SVG file; see :func:`forecast_svg`."""
    view = _scored(report)
    return standalone(draw.leaderboard(view, width), title="Leaderboard")


def picture_svg(report: Report, *, width: int = 1200, height: int = 380) -> str:
    """Leaderboard and forecasts beside each other as one SVG file: a run in one picture."""
    view = _scored(report)
    board = draw.leaderboard(view, round(width * 0.42))
    label = view.board.verdict(view.model.name)
    whole = side_by_side([board, _forecast(view, round(width * 0.54), height)], label=label)
    return standalone(whole, title=label)


def _scored(report: Report) -> View:
    if report.evaluation is None:
        raise ConfigError("no rows were held back for a test, so there is nothing to draw; train with a test_size")
    return View(report)


def _forecast(view: View, width: int, height: int) -> Element:
    panel = view.long_panel()
    assert panel is not None
    return draw.forecast(view, panel, width, height, keys=True)
